// What an administrator does with accounts, domains and aliases: for the command line and the web.

import { serviceKey } from '../kernel/scope.ts'
import type { Account, Role } from './contracts.ts'
import type { AliasRow, DomainRow } from './operations/addresses.ts'
import type { ClientRow } from './operations/clients.ts'
import type { AuditRow } from './operations/audit.ts'

export interface AccountRecord extends Account {
  /** Milliseconds since the epoch. */
  readonly created: number
  readonly updated: number
}

export interface AccountDetails extends AccountRecord {
  /** In which forms the password is kept. */
  readonly forms: readonly string[]
  /** Aliases that name this account. */
  readonly aliases: readonly string[]
}

export interface NewAccountRequest {
  readonly address: string
  readonly password: string
  /** Default `user`. */
  readonly role?: Role
  /** The name was chosen by a stranger who registers himself: rooms may refuse it. */
  readonly chosen?: boolean
}

export interface Page {
  readonly domain?: string
  /** The last address of the page before; none for the first. */
  readonly after?: string
  /** 1 to 1000, default 1000. */
  readonly limit?: number
}

export interface ImportOptions {
  /**
   * False (the default): only the SCRAM forms are made now, argon2id (twenty times dearer) at each account's first login with PLAIN. That gives nothing away: an attacker who has the database
   * attacks the SCRAM keys in any case. True: all forms now. Without effect where the config keeps no SCRAM form.
   */
  readonly allForms?: boolean
  /** Accounts made in one transaction; default 250. */
  readonly batch?: number
  /** Told after each batch. */
  progress?(created: number, failed: number): void
}

export interface ImportReport {
  readonly created: number
  /** Those that could not be made; the others were. `row` counts from 1. */
  readonly failed: readonly {
    readonly row: number
    readonly address: string
    readonly code: string
    readonly message: string
  }[]
}

/** Methods reject with `AccountError`, whose message is fit to be shown. What they resolve with is durable. */
export interface AccountAdmin {
  /** The same, for somebody whose name then stands in the audit rows (default `system`). */
  as(actor: string): AccountAdmin

  /** Makes the account in every room, or nowhere. */
  createAccount(request: NewAccountRequest): Promise<AccountRecord>
  /** Makes many accounts fast. Each is made whole or not at all; a failure of one does not stop the others. */
  importAccounts(
    requests: Iterable<NewAccountRequest> | AsyncIterable<NewAccountRequest>,
    options?: ImportOptions,
  ): Promise<ImportReport>
  listAccounts(page?: Page): Promise<readonly AccountRecord[]>
  showAccount(address: string): Promise<AccountDetails>
  setPassword(address: string, password: string): Promise<void>
  /** The programs that logged in to the account and gave an id (XEP-0388), who came last first. */
  listClients(address: string): Promise<readonly ClientRow[]>
  /** Forgets a client of that id (as listed, or its beginning), or all of them: their tokens are good for nothing any more. Answers how many. */
  revokeClients(address: string, client?: string): Promise<number>
  setRole(address: string, role: Role): Promise<void>
  /** The roles that accounts can have, and what they may do: permissions by name, `-` before those that are denied. */
  listRoles(): readonly { readonly role: Role; readonly may: readonly string[] }[]
  /** Disabled accounts cannot log in; their mail is still taken. */
  disableAccount(address: string): Promise<void>
  enableAccount(address: string): Promise<void>
  /** Erases the account in every room and its database. Its sessions end first. The id is never used again, the address may be. */
  deleteAccount(address: string): Promise<void>

  /** Answers the name in its one spelling. The first domain completes login names without `@`. */
  addDomain(name: string): Promise<string>
  /** Rejects with `in-use` while it has accounts or aliases. */
  removeDomain(name: string): Promise<void>
  listDomains(): Promise<readonly DomainRow[]>

  /** Makes the alias, or adds targets to it. `*@domain` takes all mail that is nobody's. */
  addAlias(address: string, targets: readonly string[]): Promise<void>
  /** Removes these targets, or the whole alias when none are named. */
  removeAlias(address: string, targets?: readonly string[]): Promise<void>
  listAliases(page?: Page): Promise<readonly AliasRow[]>

  /** Newest first; `before` is the sequence of the last row of the page before. */
  audit(before?: number, limit?: number): Promise<readonly AuditRow[]>
  /** When an account of that address was erased last; undefined where there was none. Milliseconds since the epoch. */
  erased(address: string): Promise<number | undefined>
  /** Finishes what a crash interrupted: half made accounts go, half erased ones and guests too. To be called once at start, when all rooms have registered. Tells how many there were. */
  recover(): Promise<number>
}

export const AccountAdmin = serviceKey<AccountAdmin>('account-admin')
