// SQL of accounts and their credentials.

import { read, type SqlRow, type SqlValue, StoreError, type Transaction, write } from '../../store/contracts.ts'
import type { AccountChange, Role } from '../contracts.ts'
import { audit } from './audit.ts'
import { dropClients, dropTokens } from './clients.ts'

/** `creating` and `deleting` accounts are seen by nobody: their rooms are being made or erased. */
export type AccountState = 'creating' | 'active' | 'disabled' | 'deleting'

export interface AccountRow {
  readonly id: string
  readonly address: string
  readonly local: string
  readonly domain: string
  readonly role: Role
  readonly state: AccountState
  readonly created: number
  readonly updated: number
}

/** Forms of the password by name (`SCRAM-SHA-256`, `SCRAM-SHA-1`, `argon2id`), each one line of text; see credentials.ts. */
export type CredentialTexts = Readonly<Record<string, string>>

export interface NewAccount {
  readonly id: string
  readonly local: string
  readonly domain: string
  readonly role: Role
  readonly credentials: CredentialTexts
}

/** Why a new account could not be begun. */
export interface Refusal {
  readonly code: 'not-found' | 'exists' | 'in-use' | 'unavailable'
  readonly message: string
}

/** What the bus carries after a commit of this store. */
export interface AccountsCommitted {
  readonly kind: 'accounts'
  readonly change: AccountChange
}

export function publish(tx: Transaction, change: AccountChange): void {
  const committed: AccountsCommitted = { kind: 'accounts', change }
  tx.publish(committed)
}

const COLUMNS = 'id, address, local, domain, role, state, created, updated'

const accountOf = (row: SqlRow): AccountRow => ({
  id: String(row[0]),
  address: String(row[1]),
  local: String(row[2]),
  domain: String(row[3]),
  role: row[4] as Role,
  state: row[5] as AccountState,
  created: Number(row[6]),
  updated: Number(row[7]),
})

/** The account of that address that others may see. */
export async function visibleByAddress(tx: Transaction, address: string): Promise<AccountRow | undefined> {
  const row = await tx.get(
    `SELECT ${COLUMNS} FROM accounts_account WHERE address = ? AND state IN ('active', 'disabled')`,
    address,
  )
  return row === undefined ? undefined : accountOf(row)
}

/** The admins who answer for a domain (RFC 5321 §4.5.1 postmaster): those who live in it, else those of the server; oldest first. */
export async function adminsOf(tx: Transaction, domain: string, limit: number): Promise<readonly AccountRow[]> {
  const own = await tx.all(
    `SELECT ${COLUMNS} FROM accounts_account WHERE role = 'admin' AND state = 'active' AND domain = ? ORDER BY created, id LIMIT ?`,
    domain,
    limit,
  )
  if (own.length > 0) return own.map(accountOf)
  const any = await tx.all(
    `SELECT ${COLUMNS} FROM accounts_account WHERE role = 'admin' AND state = 'active' ORDER BY created, id LIMIT ?`,
    limit,
  )
  return any.map(accountOf)
}

async function credentialsOf(tx: Transaction, id: string): Promise<CredentialTexts> {
  const rows = await tx.all('SELECT form, secret FROM accounts_credential WHERE account = ?', id)
  return Object.fromEntries(rows.map(([form, secret]) => [String(form), String(secret)]))
}

async function putCredentials(tx: Transaction, id: string, credentials: CredentialTexts): Promise<void> {
  for (const [form, secret] of Object.entries(credentials))
    await tx.run(
      'INSERT INTO accounts_credential (account, form, secret, created) VALUES (?, ?, ?, ?) ON CONFLICT (account, form) DO UPDATE SET secret = excluded.secret, created = excluded.created',
      id,
      form,
      secret,
      tx.now,
    )
}

export async function visible(tx: Transaction, address: string): Promise<AccountRow> {
  const account = await visibleByAddress(tx, address)
  if (account === undefined)
    throw new StoreError('not-found', `there is no account ${address}: 'aviso account list' shows those that exist`)
  return account
}

const stateById = async (tx: Transaction, id: string): Promise<SqlValue | undefined> =>
  (await tx.get('SELECT state FROM accounts_account WHERE id = ?', id))?.[0]

async function refusalOf(tx: Transaction, account: NewAccount): Promise<Refusal | undefined> {
  const address = `${account.local}@${account.domain}`
  if ((await tx.get('SELECT 1 FROM accounts_domain WHERE name = ?', account.domain)) === undefined)
    return {
      code: 'not-found',
      message: `${account.domain} is not a domain of this server: add it first with 'aviso domain add ${account.domain}'`,
    }
  const other = await tx.get('SELECT state FROM accounts_account WHERE address = ?', address)
  if (other !== undefined)
    return other[0] === 'creating' || other[0] === 'deleting'
      ? {
          code: 'in-use',
          message: `the account ${address} is being ${other[0] === 'creating' ? 'created' : 'deleted'} just now: try again in a moment`,
        }
      : { code: 'exists', message: `the account ${address} exists already` }
  if ((await tx.get('SELECT 1 FROM accounts_alias WHERE address = ? LIMIT 1', address)) !== undefined)
    return {
      code: 'exists',
      message: `${address} is an alias: remove it first with 'aviso alias remove ${address}', or choose another address`,
    }
  const taken =
    (await tx.get('SELECT 1 FROM accounts_tombstone WHERE id = ?', account.id)) ??
    (await tx.get('SELECT 1 FROM accounts_account WHERE id = ?', account.id))
  if (taken !== undefined) return { code: 'unavailable', message: `the account id ${account.id} was used before` }
  return undefined
}

export const accountOperations = {
  accountByAddress: read((tx, address: string) => visibleByAddress(tx, address)),

  accountById: read(async (tx, id: string): Promise<AccountRow | undefined> => {
    const row = await tx.get(
      `SELECT ${COLUMNS} FROM accounts_account WHERE id = ? AND state IN ('active', 'disabled')`,
      id,
    )
    return row === undefined ? undefined : accountOf(row)
  }),

  /** The account and the forms of its password, for a login. One call for names that exist and for those that do not, so that its time tells nothing. */
  login: read(
    async (
      tx,
      address: string,
    ): Promise<{ readonly account: AccountRow; readonly credentials: CredentialTexts } | undefined> => {
      const account = await visibleByAddress(tx, address)
      return account === undefined ? undefined : { account, credentials: await credentialsOf(tx, account.id) }
    },
  ),

  listAccounts: read(async (tx, page: { readonly domain?: string; readonly after: string; readonly limit: number }) => {
    const rows =
      page.domain === undefined
        ? await tx.all(
            `SELECT ${COLUMNS} FROM accounts_account WHERE state IN ('active', 'disabled') AND address > ? ORDER BY address LIMIT ?`,
            page.after,
            page.limit,
          )
        : await tx.all(
            `SELECT ${COLUMNS} FROM accounts_account WHERE state IN ('active', 'disabled') AND domain = ? AND address > ? ORDER BY address LIMIT ?`,
            page.domain,
            page.after,
            page.limit,
          )
    return rows.map(accountOf)
  }),

  showAccount: read(async (tx, address: string) => {
    const account = await visible(tx, address)
    const aliases = await tx.all('SELECT address FROM accounts_alias WHERE target = ? ORDER BY address', address)
    return {
      account,
      forms: Object.keys(await credentialsOf(tx, account.id)).sort(),
      aliases: aliases.map((row) => String(row[0])),
    }
  }),

  /** When an account of that address was buried last. */
  erased: read(async (tx, address: string): Promise<number | undefined> => {
    const deleted = (await tx.get('SELECT max(deleted) FROM accounts_tombstone WHERE address = ?', address))?.[0]
    return deleted === undefined || deleted === null ? undefined : Number(deleted)
  }),

  /** Accounts that a crash left half made or half erased. */
  interrupted: read<never, readonly AccountRow[]>(async (tx) => {
    const rows = await tx.all(
      `SELECT ${COLUMNS} FROM accounts_account WHERE state IN ('creating', 'deleting') ORDER BY created, id`,
    )
    return rows.map(accountOf)
  }),

  /** Takes the addresses for new accounts, invisible until `activate`. One refusal or `undefined` for each, in order. */
  reserve: write(async (tx, accounts: readonly NewAccount[]): Promise<readonly (Refusal | undefined)[]> => {
    const refusals: (Refusal | undefined)[] = []
    for (const account of accounts) {
      const refusal = await refusalOf(tx, account)
      refusals.push(refusal)
      if (refusal !== undefined) continue
      await tx.run(
        `INSERT INTO accounts_account (id, address, local, domain, role, state, created, updated) VALUES (?, ?, ?, ?, ?, 'creating', ?, ?)`,
        account.id,
        `${account.local}@${account.domain}`,
        account.local,
        account.domain,
        account.role,
        tx.now,
        tx.now,
      )
      await putCredentials(tx, account.id, account.credentials)
    }
    return refusals
  }),

  /** Makes reserved accounts visible. */
  activate: write(async (tx, { ids, by }: { readonly ids: readonly string[]; readonly by: string }) => {
    for (const id of ids) {
      const row = await tx.get(`SELECT ${COLUMNS} FROM accounts_account WHERE id = ? AND state = 'creating'`, id)
      if (row === undefined) throw new StoreError('not-found', `the account ${id} went away while it was created`)
      const account = accountOf(row)
      await tx.run(`UPDATE accounts_account SET state = 'active', updated = ? WHERE id = ?`, tx.now, id)
      await audit(tx, by, 'account created', account.address, `${id} ${account.role}`)
      publish(tx, { kind: 'created', accountId: id, address: account.address })
    }
  }),

  /** Replaces all forms of the password. */
  setCredentials: write(
    async (
      tx,
      {
        address,
        credentials,
        by,
      }: { readonly address: string; readonly credentials: CredentialTexts; readonly by: string },
    ) => {
      const account = await visible(tx, address)
      await tx.run('DELETE FROM accounts_credential WHERE account = ?', account.id)
      await dropTokens(tx, account.id)
      await putCredentials(tx, account.id, credentials)
      await tx.run('UPDATE accounts_account SET updated = ? WHERE id = ?', tx.now, account.id)
      await audit(tx, by, 'password set', address, '')
      publish(tx, { kind: 'password', accountId: account.id, address })
    },
  ),

  /**
   * Adds and removes forms of the same password, after a login that proved it. False, and nothing changed, when the form that proved it is no longer
   * the stored one: the password was changed in between and must not come back.
   */
  upgradeCredentials: write(
    async (
      tx,
      change: {
        readonly id: string
        readonly proof: { readonly form: string; readonly secret: string }
        readonly add: CredentialTexts
        readonly remove: readonly string[]
      },
    ): Promise<boolean> => {
      const stored = await tx.get(
        'SELECT secret FROM accounts_credential WHERE account = ? AND form = ?',
        change.id,
        change.proof.form,
      )
      if (stored?.[0] !== change.proof.secret) return false
      for (const form of change.remove)
        await tx.run('DELETE FROM accounts_credential WHERE account = ? AND form = ?', change.id, form)
      await putCredentials(tx, change.id, change.add)
      return true
    },
  ),

  setDisabled: write(
    async (
      tx,
      { address, disabled, by }: { readonly address: string; readonly disabled: boolean; readonly by: string },
    ) => {
      const account = await visible(tx, address)
      const state: AccountState = disabled ? 'disabled' : 'active'
      if (account.state === state) return
      await tx.run('UPDATE accounts_account SET state = ?, updated = ? WHERE id = ?', state, tx.now, account.id)
      if (disabled) await dropTokens(tx, account.id)
      await audit(tx, by, disabled ? 'account disabled' : 'account enabled', address, '')
      publish(tx, { kind: disabled ? 'disabled' : 'enabled', accountId: account.id, address })
    },
  ),

  setRole: write(
    async (tx, { address, role, by }: { readonly address: string; readonly role: Role; readonly by: string }) => {
      const account = await visible(tx, address)
      if (account.role === role) return
      await tx.run('UPDATE accounts_account SET role = ?, updated = ? WHERE id = ?', role, tx.now, account.id)
      await audit(tx, by, 'role set', address, `${account.role} to ${role}`)
      // Told as `enabled`: who keeps an Account looks again.
      publish(tx, { kind: account.state === 'disabled' ? 'disabled' : 'enabled', accountId: account.id, address })
    },
  ),

  /** Hides the account; its sessions end. Answers the account, whose rooms the caller erases before `bury`. */
  beginDelete: write(
    async (tx, { address, by }: { readonly address: string; readonly by: string }): Promise<AccountRow> => {
      const account = await visible(tx, address)
      await tx.run(`UPDATE accounts_account SET state = 'deleting', updated = ? WHERE id = ?`, tx.now, account.id)
      await tx.run('DELETE FROM accounts_credential WHERE account = ?', account.id)
      await dropClients(tx, account.id)
      const left = await tx.run('DELETE FROM accounts_alias WHERE target = ?', address)
      await audit(tx, by, 'account deleted', address, account.id)
      publish(tx, { kind: 'deleted', accountId: account.id, address })
      if (left > 0) publish(tx, { kind: 'aliases', address })
      return account
    },
  ),

  /** Removes accounts that are `creating` or `deleting` for good; the tombstones keep their ids from being used again. */
  bury: write(async (tx, ids: readonly string[]) => {
    for (const id of ids) {
      const state = await stateById(tx, id)
      if (state === undefined) continue
      if (state !== 'creating' && state !== 'deleting') throw new StoreError('in-use', `the account ${id} is ${state}`)
      await tx.run('DELETE FROM accounts_credential WHERE account = ?', id)
      await tx.run(
        // The name of an account that was never whole was nobody's.
        `INSERT INTO accounts_tombstone (id, address, deleted) SELECT id, CASE WHEN state = 'creating' THEN '' ELSE address END, ? FROM accounts_account WHERE id = ?`,
        tx.now,
        id,
      )
      await tx.run('DELETE FROM accounts_account WHERE id = ?', id)
    }
  }),
}
