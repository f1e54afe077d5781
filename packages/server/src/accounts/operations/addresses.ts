// SQL of domains and aliases, and what an address means.

import { read, StoreError, type Transaction, write } from '../../store/contracts.ts'
import { type AccountRow, adminsOf, publish, visibleByAddress } from './accounts.ts'
import { audit } from './audit.ts'

/** Aliases that lead to aliases: how many in a row. */
export const ALIAS_DEPTH = 10
/** Accounts and foreign addresses that one address may lead to. */
export const ALIAS_FANOUT = 1000
/** Aliases looked at for one address, so that a dense web of them ends too. */
const ALIAS_STEPS = 5000
const POSTMASTERS = 10

export interface AliasRow {
  /** `local@domain`, or `*@domain` for every address of the domain that is nobody's. */
  readonly address: string
  readonly targets: readonly string[]
}

export interface DomainRow {
  readonly name: string
  readonly created: number
  readonly accounts: number
  readonly aliases: number
}

/** Where mail for an address goes; undefined: the address is nobody's. */
export type Expansion = { readonly accounts: readonly AccountRow[]; readonly forwards: readonly string[] } | undefined

/** The steps of one expansion. Every address is looked at once, so loops end by themselves. */
class Walk {
  readonly accounts = new Map<string, AccountRow>()
  readonly forwards = new Set<string>()
  readonly #seen = new Set<string>()
  readonly #tx: Transaction
  readonly #start: string

  constructor(tx: Transaction, start: string) {
    this.#tx = tx
    this.#start = start
  }

  /** Follows `address`, whose domain is ours. False: it is nobody's. */
  async follow(address: string, depth: number): Promise<boolean> {
    if (this.#seen.has(address)) return true
    this.#seen.add(address)
    if (this.#seen.size > ALIAS_STEPS) this.#tooMany()
    const at = address.lastIndexOf('@')
    const domain = address.slice(at + 1)
    const local = address.slice(0, at)
    const plus = local.indexOf('+')
    const names = plus > 0 ? [address, `${local.slice(0, plus)}@${domain}`] : [address]
    for (const name of names) if (await this.#exact(name, depth)) return true
    const role = plus > 0 ? local.slice(0, plus) : local
    // RFC 5321 §4.5.1 and RFC 2142: these must be read by somebody.
    if (role === 'postmaster' || role === 'abuse') {
      const admins = await adminsOf(this.#tx, domain, POSTMASTERS)
      for (const admin of admins) this.#reach(admin)
      if (admins.length > 0) return true
    }
    return this.#alias(`*@${domain}`, depth)
  }

  async #exact(address: string, depth: number): Promise<boolean> {
    const account = await visibleByAddress(this.#tx, address)
    if (account !== undefined) {
      this.#reach(account)
      return true
    }
    return this.#alias(address, depth)
  }

  async #alias(address: string, depth: number): Promise<boolean> {
    const targets = await targetsOf(this.#tx, address)
    if (targets.length === 0) return false
    if (depth >= ALIAS_DEPTH)
      throw new StoreError(
        'limit',
        `${this.#start} leads through more than ${ALIAS_DEPTH} aliases in a row: point some of them at their final addresses`,
      )
    for (const target of targets) {
      // Case was kept while the target's domain was foreign; it may have become ours since.
      if (await isOurs(this.#tx, target)) await this.follow(target.toLowerCase().normalize('NFC'), depth + 1)
      else {
        this.forwards.add(target)
        this.#bounded()
      }
    }
    return true
  }

  #reach(account: AccountRow): void {
    this.accounts.set(account.id, account)
    this.#bounded()
  }

  #bounded(): void {
    if (this.accounts.size + this.forwards.size > ALIAS_FANOUT) this.#tooMany()
  }

  #tooMany(): never {
    throw new StoreError(
      'limit',
      `${this.#start} leads to more than ${ALIAS_FANOUT} addresses: use a mailing list for so many`,
    )
  }
}

async function targetsOf(tx: Transaction, address: string): Promise<readonly string[]> {
  const rows = await tx.all('SELECT target FROM accounts_alias WHERE address = ? ORDER BY target', address)
  return rows.map((row) => String(row[0]))
}

async function isOurs(tx: Transaction, address: string): Promise<boolean> {
  const domain = address.slice(address.lastIndexOf('@') + 1)
  return (await tx.get('SELECT 1 FROM accounts_domain WHERE name = ?', domain)) !== undefined
}

async function expand(tx: Transaction, address: string): Promise<Expansion> {
  const walk = new Walk(tx, address)
  await walk.follow(address, 0)
  if (walk.accounts.size + walk.forwards.size === 0) return undefined
  return { accounts: [...walk.accounts.values()], forwards: [...walk.forwards] }
}

/** All aliases that lead to `address`, itself first. */
async function ancestors(tx: Transaction, address: string): Promise<readonly string[]> {
  const found = new Set([address])
  for (const name of found) {
    for (const row of await tx.all('SELECT address FROM accounts_alias WHERE target = ?', name))
      found.add(String(row[0]))
    if (found.size > ALIAS_STEPS) throw new StoreError('limit', `more than ${ALIAS_STEPS} aliases lead to ${address}`)
  }
  return [...found]
}

/** True when following the stored aliases from `from` comes to `goal`. */
async function leadsTo(tx: Transaction, from: string, goal: string): Promise<boolean> {
  const found = new Set([from])
  for (const name of found) {
    if (name === goal) return true
    for (const target of await targetsOf(tx, name)) found.add(target)
    if (found.size > ALIAS_STEPS) throw new StoreError('limit', `${from} leads to more than ${ALIAS_STEPS} addresses`)
  }
  return false
}

async function ownDomain(tx: Transaction, name: string): Promise<void> {
  if ((await tx.get('SELECT 1 FROM accounts_domain WHERE name = ?', name)) === undefined)
    throw new StoreError(
      'not-found',
      `${name} is not a domain of this server: add it first with 'aviso domain add ${name}'`,
    )
}

const aliasesOf = (rows: readonly (readonly unknown[])[]): readonly AliasRow[] => {
  const byAddress = new Map<string, string[]>()
  for (const [address, target] of rows) {
    const targets = byAddress.get(String(address))
    if (targets === undefined) byAddress.set(String(address), [String(target)])
    else targets.push(String(target))
  }
  return [...byAddress].map(([address, targets]) => ({ address, targets }))
}

export const addressOperations = {
  /** What an address of one of our domains means; the address is normalised. Throws `limit`. */
  expand: read((tx, address: string) => expand(tx, address)),

  /** Our domains, the first one first. */
  domainNames: read<never, readonly string[]>(async (tx) => {
    const rows = await tx.all('SELECT name FROM accounts_domain ORDER BY position')
    return rows.map((row) => String(row[0]))
  }),

  listDomains: read<never, readonly DomainRow[]>(async (tx) => {
    const rows = await tx.all(
      `SELECT d.name, d.created,
        (SELECT COUNT(*) FROM accounts_account a WHERE a.domain = d.name AND a.state IN ('active', 'disabled')),
        (SELECT COUNT(DISTINCT l.address) FROM accounts_alias l WHERE l.domain = d.name)
       FROM accounts_domain d ORDER BY d.position`,
    )
    return rows.map(([name, created, accounts, aliases]) => ({
      name: String(name),
      created: Number(created),
      accounts: Number(accounts),
      aliases: Number(aliases),
    }))
  }),

  addDomain: write(async (tx, { name, by }: { readonly name: string; readonly by: string }) => {
    if ((await tx.get('SELECT 1 FROM accounts_domain WHERE name = ?', name)) !== undefined)
      throw new StoreError('exists', `${name} is a domain of this server already`)
    await tx.run(
      'INSERT INTO accounts_domain (name, position, created) SELECT ?, COALESCE(MAX(position), 0) + 1, ? FROM accounts_domain',
      name,
      tx.now,
    )
    await audit(tx, by, 'domain added', name, '')
    publish(tx, { kind: 'domains', address: name })
  }),

  removeDomain: write(async (tx, { name, by }: { readonly name: string; readonly by: string }) => {
    await ownDomain(tx, name)
    const accounts = Number((await tx.get('SELECT COUNT(*) FROM accounts_account WHERE domain = ?', name))?.[0] ?? 0)
    const aliases = Number(
      (await tx.get('SELECT COUNT(DISTINCT address) FROM accounts_alias WHERE domain = ?', name))?.[0] ?? 0,
    )
    if (accounts + aliases > 0)
      throw new StoreError(
        'in-use',
        `${name} has ${accounts} account${accounts === 1 ? '' : 's'} and ${aliases} alias${aliases === 1 ? '' : 'es'}: delete them first ('aviso account list --domain ${name}', 'aviso alias list --domain ${name}')`,
      )
    await tx.run('DELETE FROM accounts_domain WHERE name = ?', name)
    await audit(tx, by, 'domain removed', name, '')
    publish(tx, { kind: 'domains', address: name })
  }),

  listAliases: read(
    async (
      tx,
      { domain, after, limit }: { readonly domain?: string; readonly after: string; readonly limit: number },
    ) => {
      const rows =
        domain === undefined
          ? await tx.all(
              'SELECT address, target FROM accounts_alias WHERE address IN (SELECT DISTINCT address FROM accounts_alias WHERE address > ? ORDER BY address LIMIT ?) ORDER BY address, target',
              after,
              limit,
            )
          : await tx.all(
              'SELECT address, target FROM accounts_alias WHERE address IN (SELECT DISTINCT address FROM accounts_alias WHERE domain = ? AND address > ? ORDER BY address LIMIT ?) ORDER BY address, target',
              domain,
              after,
              limit,
            )
      return aliasesOf(rows)
    },
  ),

  /** Makes the alias or adds targets to it. */
  addAlias: write(
    async (
      tx,
      { address, targets, by }: { readonly address: string; readonly targets: readonly string[]; readonly by: string },
    ) => {
      const domain = address.slice(address.lastIndexOf('@') + 1)
      await ownDomain(tx, domain)
      if ((await tx.get('SELECT 1 FROM accounts_account WHERE address = ?', address)) !== undefined)
        throw new StoreError(
          'exists',
          `${address} is an account, which gets its own mail: choose another name for the alias`,
        )
      let added = 0
      for (const target of targets) {
        if (target === address || (await leadsTo(tx, target, address)))
          throw new StoreError('invalid', `${target} leads back to ${address}: mail would go round in circles`)
        if ((await isOurs(tx, target)) && (await expand(tx, target)) === undefined)
          throw new StoreError(
            'not-found',
            `${target} is neither an account nor an alias: create it first, or check its spelling`,
          )
        added += await tx.run(
          'INSERT INTO accounts_alias (address, target, domain, created) VALUES (?, ?, ?, ?) ON CONFLICT (address, target) DO NOTHING',
          address,
          target,
          domain,
          tx.now,
        )
      }
      if (added === 0) return
      // The limits hold for every alias that leads here, not only for this one.
      for (const name of await ancestors(tx, address)) await expand(tx, name)
      await audit(tx, by, 'alias added', address, targets.join(' '))
      publish(tx, { kind: 'aliases', address })
    },
  ),

  /** Removes targets from the alias, or the whole alias when none are named. */
  removeAlias: write(
    async (
      tx,
      { address, targets, by }: { readonly address: string; readonly targets: readonly string[]; readonly by: string },
    ) => {
      if ((await targetsOf(tx, address)).length === 0)
        throw new StoreError('not-found', `there is no alias ${address}: 'aviso alias list' shows those that exist`)
      if (targets.length === 0) {
        const user = await tx.get('SELECT address FROM accounts_alias WHERE target = ? LIMIT 1', address)
        if (user !== undefined)
          throw new StoreError('in-use', `the alias ${String(user[0])} leads to ${address}: remove that target first`)
        await tx.run('DELETE FROM accounts_alias WHERE address = ?', address)
      }
      for (const target of targets)
        if ((await tx.run('DELETE FROM accounts_alias WHERE address = ? AND target = ?', address, target)) === 0)
          throw new StoreError('not-found', `the alias ${address} does not lead to ${target}`)
      await audit(tx, by, 'alias removed', address, targets.join(' '))
      publish(tx, { kind: 'aliases', address })
    },
  ),
}
