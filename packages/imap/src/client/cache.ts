// What is known of a mailbox, kept between connections: which messages there are, and their flags.

import { lowerBound, type NumberSet, spansOfUids } from '../wire/number-set.ts'

/** Can be written down as JSON. */
export interface MailboxCacheState {
  readonly uidValidity: number
  /** All changes up to this are in (RFC 7162); undefined where the server counts none. */
  readonly modseq: number | undefined
  /** Ascending. */
  readonly uids: readonly number[]
  /** Of the message at the same place in `uids`. Without `\Recent`. */
  readonly flags: readonly (readonly string[])[]
}

/** One difference between what was known of a mailbox and what is known now. See `SelectOptions.cache`. */
export type MailboxChange =
  | { readonly kind: 'added' | 'flags'; readonly uid: number; readonly flags: readonly string[] }
  | { readonly kind: 'removed'; readonly uid: number }
  /** UIDVALIDITY is another: nothing of what was known is true any more. All that is there follows as `added`. */
  | { readonly kind: 'reset'; readonly uidValidity: number }

export class MailboxCache {
  #uidValidity: number
  #uids: number[]
  #flags: (readonly string[])[]
  readonly #changed: (change: MailboxChange) => void
  modseq: number | undefined

  /** `changed` is called for every difference to what was known. Throws `RangeError` for a state that cannot be one. */
  constructor(state: MailboxCacheState | undefined, changed: (change: MailboxChange) => void) {
    if (state !== undefined && !isState(state)) throw new RangeError('The state of the mailbox is damaged')
    this.#uidValidity = state?.uidValidity ?? 0
    this.#uids = [...(state?.uids ?? [])]
    this.#flags = [...(state?.flags ?? [])]
    this.modseq = state?.modseq
    this.#changed = changed
  }

  get uidValidity(): number {
    return this.#uidValidity
  }

  get uids(): readonly number[] {
    return this.#uids
  }

  /** A copy, to be kept. */
  get state(): MailboxCacheState {
    return { uidValidity: this.#uidValidity, modseq: this.modseq, uids: [...this.#uids], flags: [...this.#flags] }
  }

  /** Forgets everything when the mailbox is not the one that was known. */
  validate(uidValidity: number): void {
    if (uidValidity === this.#uidValidity) return
    const known = this.#uidValidity !== 0
    this.#uidValidity = uidValidity
    this.#uids = []
    this.#flags = []
    this.modseq = undefined
    if (known) this.#changed({ kind: 'reset', uidValidity })
  }

  set(uid: number, told: readonly string[]): void {
    const flags = told.filter((flag) => flag.toLowerCase() !== '\\recent')
    const at = lowerBound(this.#uids, uid)
    if (this.#uids[at] === uid) {
      const before = this.#flags[at] ?? []
      this.#flags[at] = flags
      if (!same(before, flags)) this.#changed({ kind: 'flags', uid, flags })
      return
    }
    if (at === this.#uids.length) {
      this.#uids.push(uid)
      this.#flags.push(flags)
    } else {
      this.#uids.splice(at, 0, uid)
      this.#flags.splice(at, 0, flags)
    }
    this.#changed({ kind: 'added', uid, flags })
  }

  /** By sequence number, from 1. */
  removeSequence(sequence: number): void {
    if (sequence >= 1 && sequence <= this.#uids.length) this.#cut(sequence - 1, sequence)
  }

  remove(set: NumberSet): void {
    for (const { start, end } of spansOfUids(set, this.#uids).reverse()) this.#cut(start, end)
  }

  /** Removes all that are not among `uids` (ascending). */
  retain(uids: readonly number[]): void {
    for (let at = this.#uids.length - 1; at >= 0; at--) {
      const uid = this.#uids[at] ?? 0
      if (uids[lowerBound(uids, uid)] !== uid) this.#cut(at, at + 1)
    }
  }

  #cut(start: number, end: number): void {
    this.#flags.splice(start, end - start)
    for (const uid of this.#uids.splice(start, end - start)) this.#changed({ kind: 'removed', uid })
  }
}

function isState({ uidValidity, uids, flags }: MailboxCacheState): boolean {
  if (!Number.isSafeInteger(uidValidity) || uids.length !== flags.length) return false
  return uids.every((uid, at) => Number.isSafeInteger(uid) && uid > (uids[at - 1] ?? 0))
}

function same(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false
  const held = new Set(a.map((flag) => flag.toLowerCase()))
  return b.every((flag) => held.has(flag.toLowerCase()))
}
