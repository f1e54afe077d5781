// RFC 6120 §3.2, RFC 2782, XEP-0368, RFC 7673: where the server of a domain is, and what the DNS assures of it

import { isIP } from 'node:net'
import { StanzaError } from '@aviso/xmpp'
import type { Random } from '../../kernel/random.ts'
import { type Dane, findDane, NO_DANE } from '../../net/dane.ts'
import { type Families, hostAddresses, type HostAddresses } from '../../net/dns/addresses.ts'
import { type Answer, DnsError, type Resolver, type SrvRecord } from '../../net/dns/contracts.ts'

/** What the DNS assures of a server. */
export interface Assurance {
  readonly dane: Dane
  /** The name of the server, where DNSSEC says that it serves the domain: a certificate for it will do (RFC 7673 §4.1). */
  readonly delegate: string | undefined
}

/** One address of another server. */
export interface Hop extends Assurance {
  /** Its name, for the log. */
  readonly host: string
  readonly address: string
  readonly port: number
  /** TLS from the first octet (XEP-0368). */
  readonly direct: boolean
}

interface Target {
  readonly host: string
  readonly port: number
  readonly direct: boolean
  /** DNSSEC says so. */
  readonly secure: boolean
}

/** Addresses that are tried for one domain. */
const MAX_HOPS = 10
/** Targets that are looked up for one domain. */
const MAX_TARGETS = 6
const PORT = 5269

/** What the search for servers needs. */
export interface HopSearch {
  readonly resolver: Resolver
  readonly random: Random
  readonly families: Families
  /** TLSA records are believed. */
  readonly dane: boolean
  /** By domain: `host:port`, in place of the DNS. */
  readonly routes: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** The addresses of a domain's servers, in the order in which they are to be tried; looked up on the way. Rejects with a StanzaError to be told to senders where there is none. */
export async function* hopsOf(domain: string, search: HopSearch): AsyncGenerator<Hop> {
  let found = 0
  let failure: DnsError | undefined
  for (const target of (await targetsOf(domain, search)).slice(0, MAX_TARGETS)) {
    try {
      const { addresses, ...assurance } = await located(domain, target, search)
      for (const address of addresses) {
        if (++found > MAX_HOPS) return
        yield { host: target.host, port: target.port, direct: target.direct, ...assurance, address }
      }
    } catch (error) {
      if (!(error instanceof DnsError)) throw error
      failure = error
    }
  }
  if (found > 0) return
  if (failure !== undefined) throw unanswered(domain, failure)
  throw StanzaError.of('remote-server-not-found', `${domain} has no server that can be found`)
}

const unanswered = (domain: string, cause: DnsError): StanzaError =>
  StanzaError.of('remote-server-timeout', `the DNS gives no answer for ${domain}`, { cause })

async function targetsOf(domain: string, search: HopSearch): Promise<readonly Target[]> {
  const { resolver, routes, signal, random } = search
  const route = Object.hasOwn(routes, domain) ? routes[domain] : undefined
  if (route !== undefined) {
    const colon = route.lastIndexOf(':')
    return [
      {
        host: route.slice(0, colon).replace(/^\[|\]$/g, ''),
        port: Number(route.slice(colon + 1)),
        direct: false,
        secure: false,
      },
    ]
  }
  if (domain.startsWith('[') || isIP(domain) !== 0)
    throw StanzaError.of('remote-server-not-found', 'an IP address is not the name of a server')
  const [plain, direct] = await Promise.all([
    asked(resolver.srv(`_xmpp-server._tcp.${domain}`, signal)),
    asked(resolver.srv(`_xmpps-server._tcp.${domain}`, signal)),
  ])
  const records = [
    ...(plain instanceof DnsError
      ? []
      : plain.records.map((record) => ({ record, direct: false, secure: plain.secure }))),
    ...(direct instanceof DnsError
      ? []
      : direct.records.map((record) => ({ record, direct: true, secure: direct.secure }))),
  ]
  const there = records.filter(({ record }) => record.target !== '')
  if (there.length === 0) {
    // Without an answer it is not known that there are none.
    const failed = [plain, direct].find((answer) => answer instanceof DnsError)
    if (failed instanceof DnsError) throw unanswered(domain, failed)
    if (!(plain instanceof DnsError) && plain.records.length > 0)
      throw StanzaError.of('remote-server-not-found', `${domain} says that it has no chat`)
    const secure = [plain, direct].every((answer) => !(answer instanceof DnsError) && answer.secure)
    return [{ host: domain, port: PORT, direct: false, secure }]
  }
  return sorted(there, random).map(({ record, direct: isDirect, secure }) => ({
    host: record.target,
    port: record.port,
    direct: isDirect,
    secure,
  }))
}

async function asked<T>(asking: Promise<Answer<T>>): Promise<Answer<T> | DnsError> {
  try {
    return await asking
  } catch (error) {
    if (error instanceof DnsError) return error
    throw error
  }
}

/** RFC 2782: by priority; within one, at random by weight. XEP-0368 §3 mixes both kinds. */
export function sorted<T extends { readonly record: SrvRecord }>(records: readonly T[], random: Random): readonly T[] {
  const left = [...records].sort((a, b) => a.record.priority - b.record.priority || a.record.weight - b.record.weight)
  const order: T[] = []
  while (left.length > 0) {
    const priority = left[0]?.record.priority
    const same = left.filter(({ record }) => record.priority === priority)
    const total = same.reduce((sum, { record }) => sum + record.weight, 0)
    let mark = Math.floor((random.bytes(4).readUInt32BE() / 2 ** 32) * (total + 1))
    const chosen = same.find(({ record }) => (mark -= record.weight) <= 0) ?? same[0]
    if (chosen === undefined) break
    order.push(chosen)
    left.splice(left.indexOf(chosen), 1)
  }
  return order
}

/** The addresses of a server, and what the DNS assures of it. Rejects with DnsError where that could not be asked. */
async function located(
  domain: string,
  { host, port, secure }: Target,
  { resolver, families, dane, signal }: HopSearch,
): Promise<Assurance & { readonly addresses: readonly string[] }> {
  if (isIP(host) !== 0) return { addresses: [host], dane: NO_DANE, delegate: undefined }
  const found: HostAddresses = await hostAddresses(host, families, resolver, signal)
  return {
    addresses: found.addresses,
    // RFC 7673 §3.1: where anybody may have named the server, its TLSA records protect nothing.
    dane: dane && secure ? await findDane(host, port, found, domain, resolver, signal) : NO_DANE,
    delegate: secure ? host : undefined,
  }
}
