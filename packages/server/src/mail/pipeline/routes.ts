// Which way a recipient's mail takes: rules in the order of the config, the first that fits counts.

import type { MailAddress } from '@aviso/mime'
import type { SmtpError } from '@aviso/smtp'
import { foldLocal } from '../../accounts/address.ts'
import type { Table } from '../../accounts/tables/contracts.ts'
import type { Account } from '../../accounts/contracts.ts'
import type { MailModifier, MailTarget } from './contracts.ts'
import type { NamedCheck } from './stage.ts'

/** A modifier by the name that the config gives it. */
export interface NamedModifier {
  readonly name: string
  readonly modifier: MailModifier
}

/** A target by the key that the config gives it. */
export interface NamedTarget {
  readonly key: string
  readonly target: MailTarget
}

/** Where a route ends. `accounts`: a copy for our accounts and aliases, and for those who may relay everybody else. */
export type End =
  | { readonly kind: 'deliver'; readonly accounts: boolean; readonly targets: readonly NamedTarget[] }
  | { readonly kind: 'reject'; readonly reply: SmtpError }
  | { readonly kind: 'routes'; readonly routes: readonly Route[] }

/** Patterns of which one must fit, for each of the things that a rule names. */
export interface Fitting<Asked = Table> {
  readonly sender?: readonly Pattern<Asked>[]
  readonly recipient?: readonly Pattern<Asked>[]
  readonly account?: readonly Pattern<Asked>[]
}

/** One rule. */
export interface Route extends Fitting {
  /** Its place in the config, for the trace: `routes[0]`. */
  readonly name: string
  readonly checks: readonly NamedCheck[]
  readonly modifiers: readonly NamedModifier[]
  readonly end: End
}

/** What fits an address; `Asked` is a table, or its key in the config. */
export type Pattern<Asked = Table> =
  | { readonly kind: 'any' }
  /** The null reverse-path. */
  | { readonly kind: 'null' }
  /** `postmaster` without a domain, or at one of ours. */
  | { readonly kind: 'postmaster' }
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'domain'; readonly domain: string }
  /** Subdomains of a domain, at any depth: `*.example.org`. */
  | { readonly kind: 'subdomains'; readonly of: string }
  /** The whole address, then its domain. */
  | { readonly kind: 'table'; readonly table: Asked }

/** What the rules look at. */
export interface Travelling {
  readonly sender: MailAddress | null
  readonly recipient: MailAddress
  readonly account: Account | undefined
  isLocal(domain: string): boolean
}

/** The first route that fits; undefined: none. Rejects when a table cannot be asked now: going on with the next rule could be the wrong way. */
export async function choose(routes: readonly Route[], travelling: Travelling): Promise<Route | undefined> {
  for (const route of routes) if (await fitsRoute(route, travelling)) return route
  return undefined
}

/** Whether all mail that a later route is for takes an earlier one, so that the later one is never reached. */
export function covers<Asked>(earlier: Fitting<Asked>, later: Fitting<Asked>): boolean {
  return (['sender', 'recipient', 'account'] as const).every((which) => {
    const [wide, narrow] = [earlier[which], later[which]]
    return wide === undefined || narrow?.every((one) => wide.some((other) => includes(other, one))) === true
  })
}

function includes<Asked>(wide: Pattern<Asked>, narrow: Pattern<Asked>): boolean {
  if (wide.kind === 'any') return true
  if (wide.kind === 'null' || wide.kind === 'postmaster') return wide.kind === narrow.kind
  if (wide.kind === 'table') return narrow.kind === 'table' && narrow.table === wide.table
  if (wide.kind === 'address') return narrow.kind === 'address' && narrow.address === wide.address
  const domain =
    narrow.kind === 'address'
      ? narrow.address.slice(narrow.address.lastIndexOf('@') + 1)
      : narrow.kind === 'domain'
        ? narrow.domain
        : undefined
  if (wide.kind === 'domain') return domain === wide.domain
  return domain?.endsWith(`.${wide.of}`) ?? (narrow.kind === 'subdomains' && `.${narrow.of}`.endsWith(`.${wide.of}`))
}

async function fitsRoute({ sender, recipient, account }: Route, travelling: Travelling): Promise<boolean> {
  const own = travelling.account
  return (
    (sender === undefined || (await fits(sender, travelling.sender, travelling))) &&
    (recipient === undefined || (await fits(recipient, travelling.recipient, travelling))) &&
    (account === undefined ||
      (own !== undefined && (await fits(account, { local: own.local, domain: own.domain }, travelling))))
  )
}

type Parts = Pick<MailAddress, 'local' | 'domain'>

/** Whether one of the patterns fits; null is the null reverse-path. Rejects when a table cannot be asked now. */
export async function fits(
  patterns: readonly Pattern[],
  address: Parts | null,
  travelling: Pick<Travelling, 'isLocal'>,
): Promise<boolean> {
  for (const pattern of patterns) if (await one(pattern, address, travelling)) return true
  return false
}

function one(
  pattern: Pattern,
  address: Parts | null,
  { isLocal }: Pick<Travelling, 'isLocal'>,
): boolean | Promise<boolean> {
  switch (pattern.kind) {
    case 'any':
      return true
    case 'null':
      return address === null
    case 'postmaster':
      return address !== null && foldLocal(address.local) === 'postmaster' && isLocal(address.domain)
    case 'address':
      return address !== null && spelling(address) === pattern.address
    case 'domain':
      return address?.domain === pattern.domain
    case 'subdomains':
      return address?.domain.endsWith(`.${pattern.of}`) === true
    case 'table':
      return inTable(pattern.table, address)
  }
}

async function inTable(table: Table, address: Parts | null): Promise<boolean> {
  if (address === null) return (await table.lookup('')).length > 0
  return (await table.lookup(spelling(address))).length > 0 || (await table.lookup(address.domain)).length > 0
}

/** An address as rules compare it. */
const spelling = ({ local, domain }: Parts): string => `${foldLocal(local)}@${domain}`
