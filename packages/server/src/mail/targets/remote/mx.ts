// RFC 5321 §5.1, RFC 7505: which servers take the mail of a domain, and in which order.

import type { Random } from '../../../kernel/random.ts'
import type { MxRecord, Resolver } from '../../../net/dns/contracts.ts'
import { DnsError } from '../../../net/dns/contracts.ts'
import { dnsName } from '../../../net/dns/names.ts'
import { answer, Undeliverable } from './answers.ts'

/** A server that a domain's mail may be given to. */
export interface Exchange {
  /** Its name, lower case, A-labels. */
  readonly host: string
  readonly preference: number
}

/** The servers of a domain. */
export interface Exchanges {
  readonly domain: string
  /** In the order in which they are to be tried; those of one preference in a random one. */
  readonly list: readonly Exchange[]
  /** The DNS said so, and it was validated. */
  readonly secure: boolean
  /** There is no MX record: the domain's own addresses are meant. */
  readonly implicit: boolean
}

/** Servers of a domain that are looked at; no domain in its right mind has more. */
const MAX_EXCHANGES = 16

/** Finds the servers of `domain`. Throws Undeliverable for a domain that takes no mail, is not there, or about which nothing can be learned now. */
export async function findExchanges(
  domain: string,
  resolver: Resolver,
  random: Random,
  signal: AbortSignal,
): Promise<Exchanges> {
  const name = dnsName(domain)
  if (name === undefined) throw new Undeliverable(answer(550, '5.1.2', `There can be no domain called ${domain}`))
  const found = await asked(name, () => resolver.mx(name, signal))
  if (found.records.length === 0) {
    if (!found.exists) throw new Undeliverable(answer(550, '5.1.2', `There is no domain called ${name}`))
    return { domain: name, list: [{ host: name, preference: 0 }], secure: found.secure, implicit: true }
  }
  const servers = found.records.filter(({ exchange }) => exchange !== '')
  // RFC 7505 §3: it must stand alone; beside others it says nothing.
  if (servers.length === 0) throw new Undeliverable(answer(556, '5.1.10', `The domain ${name} takes no mail`))
  const list = inOrder(servers, random).slice(0, MAX_EXCHANGES)
  return { domain: name, list, secure: found.secure, implicit: false }
}

/** RFC 5321 §5.1: by preference, those of the same preference in a random order, so that they share the load. A host that is named twice counts once. */
export function inOrder(records: readonly MxRecord[], random: Random): readonly Exchange[] {
  const draws = random.bytes(records.length * 4)
  const drawn = records.map(({ preference, exchange: host }, i) => ({
    exchange: { preference, host },
    draw: draws.readUInt32LE(i * 4),
  }))
  drawn.sort((a, b) => a.exchange.preference - b.exchange.preference || a.draw - b.draw)
  const seen = new Set<string>()
  return drawn
    .map(({ exchange }) => exchange)
    .filter(({ host }) => {
      if (seen.has(host)) return false
      seen.add(host)
      return true
    })
}

/**
 * RFC 5321 §5.1: where we are among the servers of a domain ourselves, only those that stand before us may be tried: sending to the others would bring the mail back.
 * Throws Undeliverable where we are the first of them.
 */
export function beforeUs(
  { domain, list }: Pick<Exchanges, 'domain' | 'list'>,
  isUs: (exchange: Exchange) => boolean,
): readonly Exchange[] {
  const us = list.find(isUs)
  if (us === undefined) return list
  const better = list.filter(({ preference }) => preference < us.preference)
  if (better.length === 0)
    throw new Undeliverable(
      answer(554, '5.4.6', `The mail for ${domain} is led back here, but this server does not take it`),
    )
  return better
}

/** Asks the DNS; no answer is Undeliverable for now. */
export async function asked<T>(
  name: string,
  ask: () => Promise<T>,
  text = `The DNS gives no answer for ${name}`,
  remote?: string,
): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof DnsError)) throw error
    throw new Undeliverable(answer(451, '4.4.3', text), remote, { cause: error })
  }
}

/** The address of an address literal (RFC 5321 §4.1.3): `[192.0.2.1]`, `[IPv6:2001:db8::1]`. Undefined for a name. */
export function literalAddress(domain: string): string | undefined {
  return /^\[(?:IPv6:)?([0-9a-f:.]+)\]$/i.exec(domain)?.[1]
}
