// Who lives here: domains in memory, accounts and addresses looked up in the database and remembered until they change.

import type { Scope } from '../kernel/scope.ts'
import type { Calls, Change, Store } from '../store/contracts.ts'
import { CORE_TOPIC, LOST } from '../store/contracts.ts'
import { canonical } from './address.ts'
import type { Account, AccountChange, Resolution } from './contracts.ts'
import type { AccountRow, AccountsCommitted } from './operations/accounts.ts'
import { RecentMap } from './recent.ts'
import { accountStore, type AccountStore } from './store.ts'

const REMEMBERED = 4096
/** Expansions with more ends than this are not kept in memory. */
const SMALL = 32

const UNKNOWN: Resolution = { kind: 'unknown' }
const FOREIGN: Resolution = { kind: 'foreign' }

export class Directory {
  readonly #rows: Calls<AccountStore['operations']>
  readonly #scope: Scope
  readonly #accounts = new RecentMap<string, Account>(REMEMBERED)
  readonly #ids = new RecentMap<string, Account>(REMEMBERED)
  readonly #resolutions = new RecentMap<string, Resolution>(REMEMBERED)
  readonly #listeners = new Set<(change: AccountChange) => void>()
  #domains: readonly string[] = []
  #isLocal: ReadonlySet<string> = new Set()
  /** Grows with every change, so that what was read before it is not remembered after it. */
  #round = 0

  private constructor(scope: Scope, store: Store) {
    this.#scope = scope
    this.#rows = store.core(accountStore)
  }

  /** Reads the domains and follows the change feed until `scope` closes. */
  static async open(scope: Scope, store: Store): Promise<Directory> {
    const directory = new Directory(scope, store)
    scope.defer(store.bus.subscribe(CORE_TOPIC, (change) => directory.#changed(change)))
    await directory.refresh()
    return directory
  }

  get domains(): readonly string[] {
    return this.#domains
  }

  isLocal(domain: string): boolean {
    return this.#isLocal.has(domain)
  }

  /** Reads the domains again. */
  async refresh(): Promise<void> {
    for (;;) {
      const round = this.#round
      const domains = await this.#rows.domainNames()
      if (round !== this.#round) continue
      this.#domains = domains
      this.#isLocal = new Set(domains)
      return
    }
  }

  /** The account of a primary address in canonical form. */
  async byCanonical(address: string): Promise<Account | undefined> {
    const remembered = this.#accounts.get(address)
    if (remembered !== undefined) return remembered
    const round = this.#round
    return this.#remember(await this.#rows.accountByAddress(address), round)
  }

  /** The account as it is remembered, without asking the database. */
  remembered(address: string): Account | undefined {
    return this.#accounts.get(address)
  }

  async byId(id: string): Promise<Account | undefined> {
    const remembered = this.#ids.get(id)
    if (remembered !== undefined) return remembered
    const round = this.#round
    return this.#remember(await this.#rows.accountById(id), round)
  }

  /** `round`: of before it was read. */
  #remember(row: AccountRow | undefined, round: number): Account | undefined {
    if (row === undefined) return undefined
    const account = accountOf(row)
    if (round === this.#round) {
      this.#accounts.set(account.address, account)
      this.#ids.set(account.id, account)
    }
    return account
  }

  async resolve(text: string): Promise<Resolution> {
    const address = canonical(text)
    if (address === undefined) return UNKNOWN
    if (!this.#isLocal.has(address.slice(address.lastIndexOf('@') + 1))) return FOREIGN
    const remembered = this.#resolutions.get(address)
    if (remembered !== undefined) return remembered
    const round = this.#round
    const expansion = await this.#rows.expand(address)
    // Unknown addresses are not remembered: a peer that tries names could push out those that are used.
    if (expansion === undefined) return UNKNOWN
    const resolution: Resolution = {
      kind: 'local',
      accounts: expansion.accounts.map(accountOf),
      forwards: expansion.forwards,
    }
    if (round === this.#round && expansion.accounts.length + expansion.forwards.length <= SMALL)
      this.#resolutions.set(address, resolution)
    return resolution
  }

  async maySendAs(account: Account, text: string): Promise<boolean> {
    if (account.disabled) return false
    const address = canonical(text)
    if (address === undefined) return false
    if (address === account.address) return true
    const resolution = await this.resolve(address)
    return (
      resolution.kind === 'local' &&
      resolution.forwards.length === 0 &&
      resolution.accounts.length === 1 &&
      resolution.accounts[0]?.id === account.id
    )
  }

  watch(listener: (change: AccountChange) => void): () => void {
    const own = (change: AccountChange): void => listener(change)
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  #changed(committed: Change): void {
    // What changed last may not have been told.
    if (committed.kind === LOST) return this.#forget()
    if (committed.kind !== 'accounts') return
    const { change } = committed as AccountsCommitted
    this.#round++
    if (change.address !== undefined) this.#accounts.delete(change.address)
    if (change.accountId !== undefined) this.#ids.delete(change.accountId)
    // One change may alter what many addresses mean (catch-all, postmaster); changes are rare, so all are looked up again.
    this.#resolutions.clear()
    // Who hears of domains asks for them.
    if (change.kind === 'domains') void this.#refreshSoon(change)
    else this.#tell(change)
  }

  #forget(): void {
    this.#round++
    this.#accounts.clear()
    this.#ids.clear()
    this.#resolutions.clear()
  }

  #tell(change: AccountChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change)
      } catch (error) {
        this.#scope.log.error({ err: error, change: change.kind }, 'a listener to account changes failed')
      }
    }
  }

  /** Reads the domains, and tells of the change when they are known. */
  async #refreshSoon(change: AccountChange): Promise<void> {
    try {
      await this.refresh()
    } catch (error) {
      if (this.#scope.signal.aborted) return
      this.#scope.log.error({ err: error }, 'the domains could not be read: trying again in a second')
      this.#scope.timeout(1000, () => this.#refreshSoon(change))
      return
    }
    this.#tell(change)
  }
}

/** A row as the other rooms see it. */
export const accountOf = ({ id, address, local, domain, role, state }: AccountRow): Account => ({
  id,
  address,
  local,
  domain,
  role,
  disabled: state === 'disabled',
})
