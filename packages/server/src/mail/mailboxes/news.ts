// What is known of an account's mailboxes without asking the store: which of them changed, and up to which modseq.

import { LRUCache } from 'lru-cache'
import { accountTopic, type Bus, type Change, LOST } from '../../store/contracts.ts'
import type { MailChange } from './mailbox-rows.ts'

/** Accounts that are listened to at one time; each is one entry in two maps. */
const ACCOUNTS = 4096

/** Has listened to one account's changes since it was made. Whoever reads something after that is told here when it is out of date. */
export class Watch {
  readonly #newest = new Map<number, number>()
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

  take({ mailbox, modseq }: MailChange): void {
    this.#changes++
    if (mailbox !== undefined) this.#newest.set(mailbox, Math.max(modseq, this.#newest.get(mailbox) ?? 0))
  }

  end(): void {
    this.#over = true
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
