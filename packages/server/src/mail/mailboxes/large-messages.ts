// Messages too large for a row: in blobs, written before the row that names them, deleted after the last row is gone.

import { normaliseNewlines } from '@aviso/mime'
import type { Calls, Store } from '../../store/contracts.ts'
import { blobReferences } from './blob-references.ts'
import { INLINE_OCTETS, type Incoming } from './octets.ts'
import { mailStore } from './store.ts'

/**
 * Between the writing of a blob and the commit of the row that names it, nothing may delete that blob. In one process a lock says so:
 * those who store messages share it, those who delete blobs have it alone.
 */
export class LargeMessages {
  readonly #store: Store
  readonly #references: Calls<typeof blobReferences.operations>
  #storing = new Set<Promise<unknown>>()
  #deleting: Promise<unknown> = Promise.resolve()

  constructor(store: Store) {
    this.#store = store
    this.#references = store.core(blobReferences)
  }

  /**
   * Makes the messages ready for the store's transaction and runs it: large ones are safe in blobs before `commit` is called.
   */
  async keep<T>(
    account: string,
    messages: readonly Uint8Array[],
    commit: (incoming: Incoming[]) => Promise<T>,
  ): Promise<T> {
    if (messages.every((bytes) => bytes.byteLength <= INLINE_OCTETS))
      return commit(messages.map((bytes) => ({ bytes: tight(bytes) })))
    // Everyone who waits here enters when the deletion ends; the next deletion waits for all who entered.
    for (let before; before !== this.#deleting;) {
      before = this.#deleting
      await before
    }
    const work = (async () => {
      const incoming: Incoming[] = []
      for (const bytes of messages)
        incoming.push(bytes.byteLength <= INLINE_OCTETS ? { bytes: tight(bytes) } : await this.#put(account, bytes))
      return commit(incoming)
    })()
    this.#storing.add(work)
    try {
      return await work
    } finally {
      this.#storing.delete(work)
    }
  }

  async #put(account: string, octets: Uint8Array): Promise<Incoming> {
    const bytes = tight(normaliseNewlines(octets))
    const [blob, rendered] = await Promise.all([
      this.#store.blobs.put(bytes),
      this.#store.account(mailStore, account).prerender({ bytes }),
    ])
    await this.#references.hold({ blob, account })
    return { blob, rendered }
  }

  /** Deletes the account's blobs that no message of it is in any more and no other account holds. With `all`, the account is going. */
  async release(account: string, all: boolean): Promise<void> {
    const run = this.#deleting.then(async () => {
      await Promise.allSettled(this.#storing)
      const held = await this.#references.ofAccount({ account })
      if (held.length === 0) return
      const used = new Set(all ? [] : await this.#store.account(mailStore, account).blobs())
      for (const { blob, holders } of held) {
        if (used.has(blob)) continue
        // The file goes first: should we die here, the next sweep finds the reference and comes back.
        if (holders === 1) await this.#store.blobs.delete(blob)
        await this.#references.release({ blob, account })
      }
    })
    this.#deleting = run.catch(() => undefined)
    await run
  }
}

/** The octets in memory of just their size: a view would drag its whole buffer to the other thread. */
function tight(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength && Object.getPrototypeOf(bytes) === Uint8Array.prototype
    ? bytes
    : new Uint8Array(bytes)
}
