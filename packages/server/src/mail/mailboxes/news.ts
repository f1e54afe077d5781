// What is known of an account's mailboxes without asking the store: which of them changed, and up to which modseq.

import { LRUCache } from 'lru-cache'
import { accountTopic, type Bus, type Change, LOST } from '../../store/contracts.ts'
import type { MailboxRow, MailChange } from './mailbox-rows.ts'

/** Accounts that are listened to at one time; each is one entry in two maps. */
const ACCOUNTS = 4096

/** What an owner who opens a mailbox is told. */
export interface Opening {
  readonly mailbox: MailboxRow
  readonly keywords: readonly string[]
}

/** Answers to openings kept for one account; more begin anew. */
const OPENINGS = 64

/** Has listened to one account's changes since it was made. Whoever reads something after that is told here when it is out of date. */
export class Watch {
  readonly #newest = new Map<number, number>()
  readonly #openings = new Map<string, Opening>()
  #changes = 0
  #over = false

  /** True while nobody has changed the mailbox since it was as of `modseq`. */
  knows(mailbox: number, modseq: number): boolean {
    return !this.#over && (this.#newest.get(mailbox) ?? 0) <= modseq
  }

  /** Grows with every change to the account's mail; NaN, which equals nothing, when this watch is over. */
  get changes(): number {
    return this.#over ? NaN : this.#changes
  }

  /** What is told to who opens the mailbox of that name, where it was asked for since the last change. How much was told as \Recent changes silently. */
  opening(name: string): Opening | undefined {
    return this.#over ? undefined : this.#openings.get(name)
  }

  /** Keeps the answer to an opening that was asked for when `changes` was as given. */
  keep(name: string, opening: Opening, changes: number): void {
    if (changes !== this.changes) return
    if (this.#openings.size >= OPENINGS) this.#openings.clear()
    this.#openings.set(name, opening)
  }

  take({ mailbox, modseq }: MailChange): void {
    this.#changes++
    this.#openings.clear()
    if (mailbox !== undefined) this.#newest.set(mailbox, Math.max(modseq, this.#newest.get(mailbox) ?? 0))
  }

  end(): void {
    this.#over = true
    this.#openings.clear()
  }
}

/** The watches of the accounts in use. */
export class News {
  readonly #bus: Bus
  readonly #watches: LRUCache<string, { readonly watch: Watch; readonly stop: () => void }>

  constructor(bus: Bus) {
    this.#bus = bus
    this.#watches = new LRUCache({
      max: ACCOUNTS,
      dispose: ({ watch, stop }) => {
        watch.end()
        stop()
      },
    })
  }

  /** Listens to an account. Ask before reading what is to be kept. */
  follow(account: string): Watch {
    const known = this.#watches.get(account)
    if (known !== undefined) return known.watch
    const watch = new Watch()
    const stop = this.#bus.subscribe(accountTopic(account), (change: Change) => {
      if (change.kind === 'mail') watch.take(change as MailChange)
      else if (change.kind === LOST) this.#watches.delete(account)
    })
    this.#watches.set(account, { watch, stop })
    return watch
  }

  /** The account is gone. */
  forget(account: string): void {
    this.#watches.delete(account)
  }
}
