// RFC 7889: limits of accounts and mailboxes on the size of one message, known without asking a database.

import { type Scope, serviceKey } from '../../kernel/scope.ts'
import type { Calls, Store } from '../../store/contracts.ts'
import { answered } from './answers.ts'
import { appendLimitStore, WHOLE_ACCOUNT } from './append-limits.store.ts'
import type { Sizes } from './message-sizes.ts'

const AppendLimitsKey = serviceKey<AppendLimits>('mail-append-limits')

/** The limits of all accounts that have some: few, as others have none. One for the process, over all generations of the configuration. */
export class AppendLimits {
  readonly #calls: Calls<typeof appendLimitStore.operations>
  readonly #accounts = new Map<string, Map<number, number>>()

  constructor(calls: Calls<typeof appendLimitStore.operations>) {
    this.#calls = calls
  }

  /** Reads what there is. */
  async load(): Promise<void> {
    for (const { account, mailbox, octets } of await this.#calls.all({})) this.#remember(account, mailbox, octets)
  }

  #remember(account: string, mailbox: number, octets: number): void {
    const known = this.#accounts.get(account)
    if (known === undefined) this.#accounts.set(account, new Map([[mailbox, octets]]))
    else known.set(mailbox, octets)
  }

  /** Undefined for an account without any. */
  of(account: string): Sizes | undefined {
    const known = this.#accounts.get(account)
    if (known === undefined) return undefined
    const mailboxes = new Map(known)
    mailboxes.delete(WHOLE_ACCOUNT)
    return { account: known.get(WHOLE_ACCOUNT), mailboxes }
  }

  /** Of the account (no `mailbox`) or of one of its mailboxes; undefined: none of its own. Rejects with `BackendError`. */
  async set(account: string, mailbox: number | undefined, octets: number | undefined): Promise<void> {
    const place = { account, mailbox: mailbox ?? WHOLE_ACCOUNT }
    if (octets !== undefined) {
      await answered(this.#calls.set({ ...place, octets }))
      this.#remember(account, place.mailbox, octets)
      return
    }
    await answered(this.#calls.unset(place))
    const known = this.#accounts.get(account)
    known?.delete(place.mailbox)
    if (known?.size === 0) this.#accounts.delete(account)
  }

  /** The account is gone. */
  async forget(account: string): Promise<void> {
    if (this.#accounts.delete(account)) await this.#calls.forget({ account })
  }
}

/** The limits that there are. They are known when this resolves, so that no message slips through meanwhile. */
export const openAppendLimits = (scope: Scope, store: Store): Promise<AppendLimits> =>
  scope.keep(AppendLimitsKey, async () => {
    const limits = new AppendLimits(store.core(appendLimitStore))
    await limits.load()
    return limits
  })
