// Keeps the text indexes of the accounts in use up with their mail: in the background, after the commits, one slice at a time.

import type { Timer } from '../../../kernel/clock.ts'
import type { Scope } from '../../../kernel/scope.ts'
import { accountTopic, type Change, type Store } from '../../../store/contracts.ts'
import { answered } from '../answers.ts'
import { mailStore } from '../store.ts'
import type { Elsewhere } from './email.ts'

export interface IndexerOptions {
  /** Milliseconds without a change after which an account's new mail is indexed; default 500. */
  readonly quiet?: number
  /** Milliseconds after which it is indexed though more keeps coming; default 10 s. */
  readonly patience?: number
  /** Milliseconds without a change after which an account is not listened to any more; default 10 minutes. */
  readonly forget?: number
}

/** How long indexing rests, in times of the slice before: while the account's mail keeps changing or somebody reads it, and else. */
const BUSY_REST = 4
const REST = 0.1

/** With more to be indexed and merged than this, who brings mail takes part in the work. */
const MOST_DEBT = 1024
/** How many slices that are for each email brought: a little more than the email will need itself, so that the debt gets less. */
const SHARE = 1 / 5

/** Milliseconds between two looks at all accounts, at least. */
const SPACING = 100

/** An account that is listened to. */
interface Followed {
  stop: () => void
  /** When the oldest change came that was not looked at, by the monotonic clock; undefined: nothing came. */
  since: number | undefined
  /** When the last change came. */
  last: number
  /** Emails that its index lacks, or that are to be merged yet: as they were when it was worked at last, and those that were brought since. */
  debt: number
  /** Slices that those who bring mail have to work. */
  share: number
}

/** One for each generation of the configuration; two of them may work on an account at the same time. */
export class Indexer {
  readonly #scope: Scope
  readonly #store: Store
  readonly #quiet: number
  readonly #patience: number
  readonly #forget: number
  readonly #followed = new Map<string, Followed>()
  #timer: { readonly at: number; readonly timer: Timer } | undefined
  #working = false

  constructor(scope: Scope, store: Store, options: IndexerOptions = {}) {
    this.#scope = scope
    this.#store = store
    this.#quiet = options.quiet ?? 500
    this.#patience = options.patience ?? 10_000
    this.#forget = options.forget ?? 600_000
    scope.defer(() => {
      for (const { stop } of this.#followed.values()) stop()
      this.#followed.clear()
    })
  }

  /** The account is in use: looks whether its index lacks something, and follows its changes for a while. */
  follow(account: string): void {
    if (this.#scope.signal.aborted || this.#followed.has(account)) return
    const now = this.#scope.clock.monotonic()
    const followed: Followed = { stop: () => undefined, since: now, last: now, debt: 0, share: 0 }
    followed.stop = this.#store.bus.subscribe(accountTopic(account), (change: Change) => {
      if (change.kind !== 'mail') return
      followed.last = this.#scope.clock.monotonic()
      followed.since ??= followed.last
      this.#wakeAt(this.#due(followed.since, followed.last))
    })
    this.#followed.set(account, followed)
    this.#wakeAt(this.#due(now, now))
  }

  /**
   * So many emails were brought into the account, many at once perhaps. Resolves when more may come: a heap of mail that is not indexed makes every search slow, and the background rests while
   * it grows. Never rejects.
   */
  async grown(account: string, emails: number): Promise<void> {
    const followed = this.#followed.get(account)
    if (followed === undefined) return
    followed.debt += emails
    if (followed.debt <= MOST_DEBT) {
      followed.share = 0
      return
    }
    followed.share += emails * SHARE
    try {
      for (; followed.share >= 1 && followed.debt > MOST_DEBT; followed.share--)
        if (!(await this.#slice(account))) return
    } catch (error) {
      followed.share = 0
      this.#failed(account, error)
    }
  }

  /** The account is gone. */
  drop(account: string): void {
    this.#followed.get(account)?.stop()
    this.#followed.delete(account)
  }

  /**
   * Brings the account's index up to date. Between two slices it waits `rest(busy)` times as long as the slice took; `busy`: somebody else asked for the account meanwhile. Rejects with
   * `BackendError`.
   */
  async catchUp(account: string, rest = (_busy: boolean): number => 0): Promise<void> {
    let asked = this.#store.asked(account)
    while (!this.#scope.signal.aborted) {
      const begin = this.#scope.clock.monotonic()
      if (!(await this.#slice(account))) return
      // A worker that is busy takes longer to answer: then it is left alone for longer, too.
      const before = asked + 1
      asked = this.#store.asked(account)
      const times = rest(asked !== before)
      if (times > 0) await this.#pause(Math.min(1000, times * (this.#scope.clock.monotonic() - begin)))
    }
  }

  /** Works a slice. False when nothing is left to do. */
  async #slice(account: string): Promise<boolean> {
    const calls = this.#store.account(mailStore, account)
    let caught = await answered(calls.searchCatchUp({}))
    if (caught.elsewhere !== undefined) {
      const { elsewhere } = caught
      const fetched = { email: elsewhere.email, octets: await this.#octets(account, elsewhere) }
      caught = await answered(calls.searchCatchUp({ fetched }))
    }
    const followed = this.#followed.get(account)
    if (followed !== undefined) followed.debt = caught.debt
    return caught.more
  }

  #failed(account: string, error: unknown): void {
    if (this.#scope.signal.aborted) return
    this.#scope.log.warn({ err: error, account }, 'indexing the mail of an account failed')
  }

  /** Makes the account's index anew. */
  async reindex(account: string): Promise<void> {
    await answered(this.#store.account(mailStore, account).searchReindex({}))
    await this.catchUp(account)
  }

  async #octets(account: string, { blob, email }: Elsewhere): Promise<Uint8Array | undefined> {
    const octets = await answered(this.#store.accountBlobs(account).get(blob))
    // Deleted since, or lost: searches then look for it themselves.
    if (octets === undefined)
      this.#scope.log.warn({ account, email, blob }, 'a message cannot be indexed: its octets are missing')
    return octets
  }

  /** Works at the time `due`, or a little later. */
  #wakeAt(due: number): void {
    if (this.#working || this.#scope.signal.aborted) return
    // One that is set for earlier looks again then: that is less work than a new one for every change.
    if (due === Infinity || (this.#timer !== undefined && this.#timer.at <= due)) return
    this.#timer?.timer.cancel()
    const wait = Math.max(SPACING, due - this.#scope.clock.monotonic())
    const timer = this.#scope.timeout(wait, async () => {
      this.#timer = undefined
      await this.#work()
    })
    this.#timer = { at: due, timer }
  }

  #due(since: number, last: number): number {
    return Math.min(last + this.#quiet, since + this.#patience)
  }

  /** One account after the other: however many wait, one slice runs at a time. */
  async #work(): Promise<void> {
    this.#working = true
    try {
      for (const [account, followed] of this.#followed) {
        const now = this.#scope.clock.monotonic()
        if (followed.since === undefined) {
          if (now >= followed.last + this.#forget) this.drop(account)
          continue
        }
        if (now < this.#due(followed.since, followed.last)) continue
        followed.since = undefined
        // Looked at anew for each slice: a large mailbox takes minutes, and its user comes and goes.
        const rest = (busy: boolean): number =>
          busy || this.#scope.clock.monotonic() < followed.last + this.#quiet ? BUSY_REST : REST
        try {
          await this.catchUp(account, rest)
        } catch (error) {
          if (this.#scope.signal.aborted) return
          this.#failed(account, error)
        }
      }
    } finally {
      this.#working = false
    }
    let due = Infinity
    for (const { since, last } of this.#followed.values())
      due = Math.min(due, since === undefined ? last + this.#forget : this.#due(since, last))
    this.#wakeAt(due)
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#scope.signal.aborted) {
        resolve()
        return
      }
      const stop = (): void => resolve()
      this.#scope.signal.addEventListener('abort', stop, { once: true })
      this.#scope.timeout(ms, () => {
        this.#scope.signal.removeEventListener('abort', stop)
        resolve()
      })
    })
  }
}
