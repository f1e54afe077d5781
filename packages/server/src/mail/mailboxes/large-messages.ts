// Messages too large for a row: in blobs, written before the row that names them, deleted after the last row is gone.

import type { Store } from '../../store/contracts.ts'
import { free } from '../../store/moving.ts'
import { answered } from './answers.ts'
import { INLINE_OCTETS, type Incoming } from './octets.ts'
import { ownCopy } from './own-copy.ts'
import { mailStore } from './store.ts'

/** Keeps messages where they fit. */
export class LargeMessages {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
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
    return this.#store.keeper.hold(async () => {
      const incoming: Incoming[] = []
      for (const bytes of messages)
        incoming.push(bytes.byteLength <= INLINE_OCTETS ? { bytes: tight(bytes) } : await this.#put(account, bytes))
      return commit(incoming)
    })
  }

  async #put(account: string, octets: Uint8Array): Promise<Incoming> {
    // One copy goes to the worker and comes back: one for each would take their memory twice.
    const { rendered, bytes } = await answered(
      this.#store.account(mailStore, account).prerender({ bytes: await ownCopy(octets) }),
    )
    const blob = await answered(this.#store.accountBlobs(account).put(bytes))
    if (bytes.buffer instanceof ArrayBuffer) free(bytes.buffer)
    return { blob, rendered }
  }

  /** Deletes the account's blobs that no message of it is in any more, those of an interrupted delivery too. */
  release(account: string): Promise<void> {
    return this.#store.keeper.deleteUnused(this.#store.accountBlobs(account), () =>
      this.#store.account(mailStore, account).blobs(),
    )
  }
}

/** The octets in memory of just their size: a view would drag its whole buffer to the other thread. Copied only where they lie in a larger one. */
function tight(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength !== bytes.buffer.byteLength) return new Uint8Array(bytes)
  return Object.getPrototypeOf(bytes) === Uint8Array.prototype ? bytes : new Uint8Array(bytes.buffer)
}
