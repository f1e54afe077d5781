// RFC 5464: annotations of the server and of mailboxes. `/private/` entries are each user's own, `/shared/` ones the mailbox's.

import { BackendError, type Bytes } from '../backend.ts'

/** Octets of one value, and entries that one place takes. */
const LARGEST = 65_536
const MOST = 1000

/** The annotations that one user (or one mailbox, for the shared ones) has. */
export class Annotations {
  #places = new WeakMap<object, Map<string, Bytes>>()

  /** Entries kept of `place`. */
  of(place: object): ReadonlyMap<string, Bytes> {
    return this.#places.get(place) ?? new Map<string, Bytes>()
  }

  /** Sets or (undefined) removes entries. Check them before. */
  set(place: object, entries: ReadonlyMap<string, Bytes | undefined>): void {
    const kept = new Map(this.#places.get(place))
    for (const [name, value] of entries) {
      if (value === undefined) kept.delete(name)
      else kept.set(name, new Uint8Array(value))
    }
    this.#places.set(place, kept)
  }

  /** `METADATA MAXSIZE`, `METADATA TOOMANY` when these entries cannot be kept of `place`. */
  check(place: object, entries: ReadonlyMap<string, Bytes | undefined>): void {
    const names = new Set(this.of(place).keys())
    for (const [name, value] of entries) {
      if (value === undefined) names.delete(name)
      else names.add(name)
      if (value !== undefined && value.length > LARGEST)
        throw new BackendError(`METADATA MAXSIZE ${LARGEST}`, `An annotation may have ${LARGEST} octets at most`)
    }
    if (names.size > MOST) throw new BackendError('METADATA TOOMANY', `No more than ${MOST} annotations can be kept`)
  }
}
