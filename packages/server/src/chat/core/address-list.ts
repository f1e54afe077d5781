// Sets of addresses as the config names them: accounts, domains, what lies below a domain, and tables.

import { Jid, prepareDomain } from '@aviso/xmpp'
import * as v from 'valibot'
import { type Table, Tables } from '../../accounts/tables/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'

/** `anna@example.org`, or as `preparedDomain`; prepared. */
function preparedPattern(text: string): string | undefined {
  if (!text.includes('@')) return preparedDomain(text)
  const jid = Jid.tryParse(text)
  return jid?.isBare === true && jid.local !== '' ? jid.toString() : undefined
}

/** `example.org` (the domain and everybody there) or `*.example.org` (what lies below it), prepared; undefined for anything else. */
export function preparedDomain(text: string): string | undefined {
  const below = text.startsWith('*.')
  try {
    const domain = prepareDomain(below ? text.slice(2) : text)
    return below ? `*.${domain}` : domain
  } catch {
    return undefined
  }
}

/** A domain, or `*.example.org` for all below it; prepared. */
export const domainPattern = v.pipe(
  v.string(),
  v.check((text) => preparedDomain(text) !== undefined, 'expected a domain such as example.org or *.example.org'),
  v.transform((text) => preparedDomain(text) ?? text),
)

/** One entry that is written in the config. */
export const addressPattern = v.pipe(
  v.string(),
  v.check(
    (text) => preparedPattern(text) !== undefined,
    (issue) => `expected an address, a domain or *.domain for what lies below it, but found '${issue.input}'`,
  ),
  v.transform((text) => preparedPattern(text) ?? text),
)

export const tableEntry = v.strictObject({
  table: v.pipe(v.string(), v.description('a table that holds addresses, domains, or *.domain')),
})

/** A list of addresses in the config. */
export const addressList = (description: string) =>
  v.optional(v.pipe(v.array(v.union([addressPattern, tableEntry])), v.description(description)), [])

export type AddressEntry = string | { readonly table: string }

/** How many names above a domain are looked up: `*.b.c` and `*.c` for `a.b.c`. */
const MAX_ABOVE = 5

/** Domains, and `*.` and a domain for all below it; prepared. */
export class DomainPatterns {
  readonly #exact = new Set<string>()
  readonly #below = new Set<string>()

  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) {
      if (pattern.startsWith('*.')) this.#below.add(pattern.slice(2))
      else this.#exact.add(pattern)
    }
  }

  has(domain: string): boolean {
    if (this.#exact.has(domain)) return true
    if (this.#below.size === 0) return false
    for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1))
      if (this.#below.has(domain.slice(dot + 1))) return true
    return false
  }
}

export class AddressList {
  readonly empty: boolean
  readonly #accounts: ReadonlySet<string>
  readonly #domains: DomainPatterns
  readonly #tables: Table[] = []

  /** Throws an Error that names the table where there is none of that name. */
  constructor(entries: readonly AddressEntry[], scope: Scope) {
    const written = entries.filter((entry) => typeof entry === 'string')
    this.empty = entries.length === 0
    this.#accounts = new Set(written.filter((entry) => entry.includes('@')))
    this.#domains = new DomainPatterns(written.filter((entry) => !entry.includes('@')))
    for (const entry of entries) if (typeof entry !== 'string') this.#tables.push(scope.use(Tables).get(entry.table))
  }

  /** Whether the address, its domain, or a domain above it is in the list. Rejects when a table cannot tell now. */
  has(jid: Jid): boolean | Promise<boolean> {
    if (this.#accounts.has(jid.bareString) || this.#domains.has(jid.domain)) return true
    return this.#tables.length === 0 ? false : this.#inTables(keysOf(jid))
  }

  /** Tables that answer at once make no promise. */
  #inTables(keys: readonly string[]): boolean | Promise<boolean> {
    const pending: Promise<readonly string[]>[] = []
    for (const table of this.#tables)
      for (const key of keys) {
        const found = table.lookup(key)
        if (found instanceof Promise) pending.push(found)
        else if (found.length > 0) return true
      }
    return pending.length > 0 && Promise.all(pending).then((all) => all.some((values) => values.length > 0))
  }
}

function keysOf({ local, domain, bareString }: Jid): readonly string[] {
  const keys = local === '' ? [domain] : [bareString, domain]
  for (let dot = domain.indexOf('.'); dot >= 0 && keys.length < 2 + MAX_ABOVE; dot = domain.indexOf('.', dot + 1))
    keys.push(`*.${domain.slice(dot + 1)}`)
  return keys
}
