// \Recent (RFC 3501 §2.3.2): which messages a session has been told of first.

import { LRUCache } from 'lru-cache'
import type { Scope } from '../../kernel/scope.ts'
import type { Store } from '../../store/contracts.ts'
import { answered } from './answers.ts'
import { mailStore } from './store.ts'

/** Milliseconds until what was claimed is written down. */
const LATER = 1000

/** Mailboxes of which is known what was written. */
const WRITTEN = 8192

interface Claim {
  readonly account: string
  readonly mailbox: number
  /** UIDs below this were told. */
  upTo: number
}

/**
 * A claim holds at once and is written a little later, many at a time: nobody waits for the disk to be told of new mail. What a crash forgets is
 * \Recent once more, as the RFC has it where a server cannot tell.
 */
export class RecentClaims {
  readonly #scope: Scope
  readonly #store: Store
  readonly #claims = new Map<string, Claim>()
  /** What was claimed and is written: known here for those whose row is older. */
  readonly #written = new LRUCache<string, number>({ max: WRITTEN })
  #waiting = false

  constructor(scope: Scope, store: Store) {
    this.#scope = scope
    this.#store = store
    scope.defer(() => this.#write())
  }

  /** Up to which UID messages were told, where the database says `recentUid`. */
  told(account: string, mailbox: number, recentUid: number): number {
    const key = `${account}/${mailbox}`
    return Math.max(recentUid, this.#claims.get(key)?.upTo ?? 0, this.#written.get(key) ?? 0)
  }

  /** Claims what is new: the UIDs from `from` to below `to`. */
  claim(
    account: string,
    mailbox: number,
    { recentUid, uidNext }: { readonly recentUid: number; readonly uidNext: number },
  ): { readonly from: number; readonly to: number } {
    const from = this.told(account, mailbox, recentUid)
    if (from >= uidNext) return { from: uidNext, to: uidNext }
    this.#claims.set(`${account}/${mailbox}`, { account, mailbox, upTo: uidNext })
    if (!this.#waiting && !this.#scope.signal.aborted) {
      this.#waiting = true
      this.#scope.timeout(LATER, () => this.#write())
    }
    return { from, to: uidNext }
  }

  async #write(): Promise<void> {
    this.#waiting = false
    await Promise.all([...this.#claims].map((entry) => this.#writeOne(...entry)))
  }

  async #writeOne(key: string, claim: Claim): Promise<void> {
    const { account, mailbox, upTo } = claim
    try {
      await answered(this.#store.account(mailStore, account).toldRecent({ mailbox, upTo }))
    } catch (error) {
      this.#scope.log.debug({ err: error, account, mailbox }, 'what was told as recent could not be written')
    }
    this.#written.set(key, Math.max(upTo, this.#written.get(key) ?? 0))
    // Kept until it is written, so that nobody claims the same; what was claimed meanwhile is for the next time.
    if (this.#claims.get(key) === claim) this.#claims.delete(key)
  }
}
