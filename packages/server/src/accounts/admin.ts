// The administrators' door: every wish is checked, done in one step, and written down.

import type { Calls } from '../store/contracts.ts'
import { parseAccountAddress, parseAliasAddress, parseDomain, parseTarget } from './address.ts'
import type {
  AccountAdmin,
  AccountDetails,
  AccountRecord,
  ImportOptions,
  ImportReport,
  NewAccountRequest,
  Page,
} from './administration.ts'
import type { Role } from './contracts.ts'
import {
  type CreationHouse,
  eraseAccount,
  makeAccounts,
  mustBeRole,
  newCredentials,
  prepareAccount,
} from './creation.ts'
import { accountOf, type Directory } from './directory.ts'
import { AccountError, accountError } from './errors.ts'
import { importAccounts } from './import.ts'
import type { AccountRow } from './operations/accounts.ts'
import type { AliasRow, DomainRow } from './operations/addresses.ts'
import type { ClientRow } from './operations/clients.ts'
import type { AuditRow } from './operations/audit.ts'
import type { AccountStore } from './store.ts'

const PAGE = 1000

export class Administration implements AccountAdmin {
  readonly #house: CreationHouse
  readonly #directory: Directory
  readonly #by: string
  readonly #rows: Calls<AccountStore['operations']>

  constructor(house: CreationHouse, directory: Directory, by = 'system') {
    this.#house = house
    this.#directory = directory
    this.#by = by
    this.#rows = house.rows
  }

  as(actor: string): AccountAdmin {
    return new Administration(this.#house, this.#directory, actor)
  }

  async createAccount(request: NewAccountRequest): Promise<AccountRecord> {
    const { address } = parseAccountAddress(request.address)
    const account = await prepareAccount(this.#house, request)
    const [error] = await makeAccounts(this.#house, [account], this.#by)
    if (error !== undefined) throw error
    return this.showAccount(address)
  }

  importAccounts(
    requests: Iterable<NewAccountRequest> | AsyncIterable<NewAccountRequest>,
    options: ImportOptions = {},
  ): Promise<ImportReport> {
    return importAccounts(this.#house, requests, options, this.#by)
  }

  async listAccounts(page: Page = {}): Promise<readonly AccountRecord[]> {
    return (await told(this.#rows.listAccounts(pageOf(page)))).map(recordOf)
  }

  async showAccount(text: string): Promise<AccountDetails> {
    const { address } = parseAccountAddress(text)
    const { account, forms, aliases } = await told(this.#rows.showAccount(address))
    return { ...recordOf(account), forms, aliases }
  }

  async setPassword(text: string, password: string): Promise<void> {
    const { address } = parseAccountAddress(text)
    const credentials = await newCredentials(this.#house, password)
    await told(this.#rows.setCredentials({ address, credentials, by: this.#by }))
  }

  async listClients(text: string): Promise<readonly ClientRow[]> {
    return told(this.#rows.listClients(parseAccountAddress(text).address))
  }

  async revokeClients(text: string, client?: string): Promise<number> {
    const { address } = parseAccountAddress(text)
    if (client === '') throw new AccountError('invalid', 'an empty id would be that of every client')
    return told(this.#rows.revokeClients({ address, client, by: this.#by }))
  }

  async setRole(text: string, role: Role): Promise<void> {
    const { address } = parseAccountAddress(text)
    mustBeRole(this.#house, role)
    await told(this.#rows.setRole({ address, role, by: this.#by }))
  }

  listRoles(): ReturnType<AccountAdmin['listRoles']> {
    const { roles } = this.#house
    return roles.assignable.map((role) => ({ role, may: roles.described(role) }))
  }

  async disableAccount(text: string): Promise<void> {
    const { address } = parseAccountAddress(text)
    await told(this.#rows.setDisabled({ address, disabled: true, by: this.#by }))
  }

  async enableAccount(text: string): Promise<void> {
    const { address } = parseAccountAddress(text)
    await told(this.#rows.setDisabled({ address, disabled: false, by: this.#by }))
  }

  async deleteAccount(text: string): Promise<void> {
    const { address } = parseAccountAddress(text)
    const account = await told(this.#rows.beginDelete({ address, by: this.#by }))
    try {
      await eraseAccount(this.#house, accountOf(account))
    } catch (error) {
      this.#house.scope.log.error({ err: error, account: account.id, address }, 'a deleted account could not be erased')
      throw new AccountError(
        'unavailable',
        `the account ${address} is closed, but not all of it could be erased (${error instanceof Error ? error.message : String(error)}): the rest goes when the server starts next`,
        { cause: error },
      )
    }
  }

  async addDomain(text: string): Promise<string> {
    const name = parseDomain(text)
    await told(this.#rows.addDomain({ name, by: this.#by }))
    await this.#directory.refresh()
    return name
  }

  async removeDomain(text: string): Promise<void> {
    await told(this.#rows.removeDomain({ name: parseDomain(text), by: this.#by }))
    await this.#directory.refresh()
  }

  listDomains(): Promise<readonly DomainRow[]> {
    return told(this.#rows.listDomains())
  }

  async addAlias(text: string, targets: readonly string[]): Promise<void> {
    const address = parseAliasAddress(text)
    if (targets.length === 0) throw new AccountError('invalid', `name at least one address that ${address} leads to`)
    if (targets.length > PAGE) throw new AccountError('limit', `an alias leads to ${PAGE} addresses at most`)
    await told(this.#rows.addAlias({ address, targets: this.#targets(targets), by: this.#by }))
  }

  async removeAlias(text: string, targets: readonly string[] = []): Promise<void> {
    const address = parseAliasAddress(text)
    await told(this.#rows.removeAlias({ address, targets: this.#targets(targets), by: this.#by }))
  }

  listAliases(page: Page = {}): Promise<readonly AliasRow[]> {
    return told(this.#rows.listAliases(pageOf(page)))
  }

  audit(before = Number.MAX_SAFE_INTEGER, limit = 100): Promise<readonly AuditRow[]> {
    return told(this.#rows.listAudit({ before, limit: Math.min(PAGE, Math.max(1, limit)) }))
  }

  erased(text: string): Promise<number | undefined> {
    return told(this.#rows.erased(parseAccountAddress(text).address))
  }

  async recover(): Promise<number> {
    let cleaned = await told(this.#house.guests.sweep())
    for (const row of await told(this.#rows.interrupted())) {
      const about = { account: row.id, address: row.address, state: row.state }
      try {
        await eraseAccount(this.#house, accountOf(row))
        this.#house.scope.log.info(about, 'cleaned up an account that a crash left behind')
        cleaned++
      } catch (error) {
        // One that resists must not keep the server from starting; its address stays taken until the next try.
        this.#house.scope.log.error(
          { ...about, err: error },
          'an account that a crash left behind could not be cleaned up',
        )
      }
    }
    return cleaned
  }

  #targets(targets: readonly string[]): readonly string[] {
    return targets.map((target) => parseTarget(target, (domain) => this.#directory.isLocal(domain)))
  }
}

const recordOf = (row: AccountRow): AccountRecord => ({ ...accountOf(row), created: row.created, updated: row.updated })

const pageOf = ({ domain, after = '', limit = PAGE }: Page): { domain?: string; after: string; limit: number } => ({
  ...(domain === undefined ? {} : { domain: parseDomain(domain) }),
  after,
  limit: Math.min(PAGE, Math.max(1, limit)),
})

/** The answer of a store call, or an `AccountError` in place of its `StoreError`. */
async function told<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw accountError(error)
  }
}
