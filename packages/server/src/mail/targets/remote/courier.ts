// Brings mail to other servers by the DNS: MX, addresses, DANE, MTA-STS, then one server after the other.

import { isIP } from 'node:net'
import { ClientPool, type PoolOptions, type SmtpClient } from '@aviso/smtp'
import { type AddressSet, plainAddress } from '../../../net/addresses.ts'
import { type Dane, findDane, NO_DANE } from '../../../net/dane.ts'
import { type Families, hostAddresses, type HostAddresses } from '../../../net/dns/addresses.ts'
import type { Resolver } from '../../../net/dns/contracts.ts'
import { dnsName } from '../../../net/dns/names.ts'
import type { Scope } from '../../../kernel/scope.ts'
import { answer, Undeliverable } from './answers.ts'
import type { Answer, Courier, MxLevel, Parcel, RecipientResult, TlsLevel } from './contracts.ts'
import { type DestinationLimits, Destinations } from './destinations.ts'
import { HopTrial, type Told, verdict } from './hops.ts'
import { Interfaces } from './interfaces.ts'
import { type Hop, HopError, type Link, type LinkTools } from './link.ts'
import type { StsCache, StsFinding } from './mta-sts-cache.ts'
import { asked, beforeUs, type Exchange, findExchanges, literalAddress } from './mx.ts'
import { type Demands, demandsOf, type LocalPolicy } from './policy.ts'
import { reportSession } from './report.ts'
import { smtpClock } from './smtp-clock.ts'
import type { TlsResults } from './tls-results.ts'

/** How the config wants a destination. */
export interface DestinationRule extends LocalPolicy {
  readonly limits: DestinationLimits
  /** Set: mail goes there, whatever the DNS says. */
  readonly host: string | undefined
  readonly port: number
}

export interface RemoteOptions {
  /** Our own name, A-labels. */
  readonly hostname: string
  rule(domain: string): DestinationRule
  readonly families: Families
  readonly dane: boolean
  readonly relaxedRequireTls: boolean
  /** `TLS-Required: No` is heeded. */
  readonly heedTlsOptional: boolean
  readonly addressLiterals: boolean
  /** Our own addresses, as others see them; those of this machine's interfaces are known. */
  readonly own: AddressSet
  /** Addresses that no server of others has: a name that leads there leads astray. */
  readonly ignored: AddressSet
  /** How connections are kept. */
  readonly pool: Pick<PoolOptions, 'idle' | 'idleTime' | 'messages'>
}

export interface RemoteParts {
  readonly resolver: Resolver
  readonly sts: StsCache
  readonly results: TlsResults
  readonly tools: LinkTools
}

/** Where the names of servers came from. */
type Origin = 'config' | 'literal' | 'secure' | 'insecure'

/** A server with its addresses. */
interface Located {
  readonly exchange: Exchange
  readonly addresses: HostAddresses | Undeliverable
}

/** The courier to everybody else's servers. */
export class RemoteCourier implements Courier {
  readonly #scope: Scope
  readonly #options: RemoteOptions
  readonly #parts: RemoteParts
  readonly #destinations: Destinations
  readonly #pool: ClientPool
  readonly #links = new WeakMap<SmtpClient, Link>()
  readonly #interfaces: Interfaces

  constructor(scope: Scope, options: RemoteOptions, parts: RemoteParts) {
    this.#scope = scope
    this.#options = options
    this.#parts = parts
    this.#destinations = new Destinations(scope.clock)
    this.#interfaces = new Interfaces(scope.clock)
    this.#pool = new ClientPool({ ...options.pool, clock: smtpClock(scope.clock) })
    scope.defer(() => this.#pool.close())
  }

  async send(parcel: Parcel, signal: AbortSignal): Promise<readonly RecipientResult[]> {
    const both = AbortSignal.any([signal, this.#scope.signal])
    try {
      both.throwIfAborted()
      const rule = this.#options.rule(dnsName(parcel.domain) ?? parcel.domain)
      const release = await this.#destinations.turn(parcel.domain.toLowerCase(), rule.limits, both)
      try {
        return await this.#deliver(parcel, rule, both)
      } finally {
        release()
      }
    } catch (error) {
      if (both.aborted) throw both.reason
      if (error instanceof Undeliverable) return all(parcel, error.answer, error.remote)
      // An address that would break out of its command.
      if (error instanceof RangeError) return all(parcel, answer(553, '5.1.3', error.message), undefined)
      this.#scope.log.error({ err: error, domain: parcel.domain }, 'mail could not be sent')
      return all(parcel, answer(451, '4.3.0', 'This server met an error, and tries again later'), undefined)
    }
  }

  async #deliver(parcel: Parcel, rule: DestinationRule, signal: AbortSignal): Promise<readonly RecipientResult[]> {
    const { domain } = parcel
    const literal = literalAddress(domain)
    if (rule.host !== undefined)
      return this.#toHosts(parcel, rule, [{ host: rule.host, preference: 0 }], 'config', signal)
    if (literal !== undefined || domain.startsWith('[')) {
      if (literal === undefined || isIP(literal) === 0 || !this.#options.addressLiterals)
        throw new Undeliverable(answer(550, '5.1.1', 'Mail to address literals is not sent from here'))
      return this.#toHosts(parcel, rule, [{ host: literal, preference: 0 }], 'literal', signal)
    }
    const exchanges = await findExchanges(domain, this.#parts.resolver, this.#scope.random, signal)
    const named = beforeUs(exchanges, ({ host }) => host === this.#options.hostname)
    const how = exchanges.secure ? 'secure' : 'insecure'
    return this.#toHosts({ ...parcel, domain: exchanges.domain }, rule, named, how, signal)
  }

  /** Tries the servers in their order. `how`: where their names came from. */
  async #toHosts(
    parcel: Parcel,
    rule: DestinationRule,
    exchanges: readonly Exchange[],
    how: Origin,
    signal: AbortSignal,
  ): Promise<readonly RecipientResult[]> {
    const { tools } = this.#parts
    const sts: StsFinding =
      how === 'secure' || how === 'insecure'
        ? await this.#parts.sts.find(parcel.domain, signal)
        : { policy: undefined, text: '', failure: undefined }
    const trial = new HopTrial({
      parcel,
      tools,
      pool: this.#pool,
      links: this.#links,
      signal,
      told: this.#teller(parcel.domain, sts),
      reused: this.#scope.metrics.counter('aviso_remote_reused_total', 'Messages sent over a connection that was kept'),
      relaxed: this.#options.relaxedRequireTls,
    })
    const origin = how === 'secure' || how === 'config'
    for (const { host, addresses } of this.#tryable(
      parcel.domain,
      await this.#located(exchanges, signal),
      how,
      trial,
    )) {
      let dane: Dane
      try {
        // RFC 7672 §2.2.1: with names that anybody may have put there, DANE protects nothing.
        dane =
          origin && this.#options.dane ? await this.#dane(host, addresses, parcel.domain, rule.port, signal) : NO_DANE
      } catch (error) {
        if (!(error instanceof Undeliverable)) throw error
        trial.fail(host, error.answer)
        continue
      }
      const demands = demandsOf({
        host,
        secure: origin,
        dane,
        sts: sts.policy,
        local: rule,
        requireTls: parcel.requireTls,
        tlsOptional: parcel.tlsOptional && this.#options.heedTlsOptional,
      })
      if ('refused' in demands) {
        trial.fail(host, demands.refused)
        continue
      }
      const hops = addresses.addresses.map((address): Hop => ({
        host,
        at: { address, port: rule.port },
        tls: 'starttls',
        kind: 'smtp',
      }))
      const results = await trial.try({ hops, demands })
      if (results !== undefined) return results
    }
    const { answer: said, remote } = verdict(parcel.domain, trial.failures)
    return all(parcel, said, remote)
  }

  /** The addresses of all servers, or why they are not to be had. */
  #located(exchanges: readonly Exchange[], signal: AbortSignal): Promise<readonly Located[]> {
    const { resolver } = this.#parts
    const { families } = this.#options
    return Promise.all(
      exchanges.map(async (exchange) => {
        const { host } = exchange
        if (isIP(host) !== 0) return { exchange, addresses: { addresses: [host], secure: false, name: host } }
        try {
          return { exchange, addresses: await located(host, families, resolver, signal) }
        } catch (error) {
          if (error instanceof Undeliverable) return { exchange, addresses: error }
          throw error
        }
      }),
    )
  }

  /**
   * The servers that may be tried. RFC 5321 §5.1, once more: a server whose address is ours is us, whatever it is called, and those that do not stand before it are left out.
   * Throws Undeliverable where we are the first of them.
   */
  #tryable(
    domain: string,
    located: readonly Located[],
    how: Origin,
    trial: HopTrial,
  ): readonly { readonly host: string; readonly addresses: HostAddresses }[] {
    const isUs = (one: Located): boolean =>
      how !== 'config' &&
      !(one.addresses instanceof Undeliverable) &&
      one.addresses.addresses.some((address) => this.#isOwn(address))
    const list = located.map(({ exchange }) => exchange)
    const us = new Set(located.filter(isUs).map(({ exchange }) => exchange))
    const before = new Set(beforeUs({ domain, list }, (exchange) => us.has(exchange)))
    return located.flatMap(({ exchange, addresses }) => {
      const { host } = exchange
      if (!before.has(exchange)) return []
      if (addresses instanceof Undeliverable) {
        trial.fail(host, addresses.answer)
        return []
      }
      const all = addresses.addresses
      const good = how === 'config' ? all : all.filter((address) => !this.#options.ignored.has(address))
      if (good.length > 0) return [{ host, addresses: { ...addresses, addresses: good } }]
      trial.fail(host, noAddress(host, all.length > 0))
      return []
    })
  }

  #dane(host: string, addresses: HostAddresses, domain: string, port: number, signal: AbortSignal): Promise<Dane> {
    if (isIP(host) !== 0) return Promise.resolve(NO_DANE)
    const find = (): Promise<Dane> => findDane(host, port, addresses, domain, this.#parts.resolver, signal)
    return asked(host, find, `The DNS does not tell whether ${host} uses DANE`, host)
  }

  #isOwn(address: string): boolean {
    const plain = plainAddress(address)
    return this.#options.own.has(plain) || this.#interfaces.addresses().has(plain)
  }

  #teller(domain: string, sts: StsFinding): Told {
    const { metrics } = this.#scope
    return (hop: Hop, demands: Demands, opened: Link | HopError) => {
      reportSession(this.#parts.results, domain, sts, hop, demands, opened)
      if (opened instanceof HopError) return
      metrics
        .counter('aviso_remote_connections_total', 'Connections to other servers, by what TLS and the DNS assure', [
          'tls',
          'mx',
        ])
        .inc({ tls: opened.tls.level, mx: demands.mx })
    }
  }
}

/** The addresses of a server. Rejects with Undeliverable (later) when the DNS does not answer. */
export const located = (
  host: string,
  families: Families,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<HostAddresses> => asked(host, () => hostAddresses(host, families, resolver, signal))

const noAddress = (host: string, ignored: boolean): Answer =>
  ignored
    ? answer(550, '5.4.4', `The addresses of ${host} are none that mail is sent to`)
    : answer(550, '5.4.4', `The server ${host} has no address`)

/** The same answer for all recipients. */
export function all(
  { recipients }: Parcel,
  said: Answer,
  remote: string | undefined,
  levels: { readonly mx: MxLevel; readonly tls: TlsLevel } = { mx: 'none', tls: 'none' },
): readonly RecipientResult[] {
  return recipients.map(({ address }) => ({
    address,
    answer: said,
    remote,
    ...levels,
    how: '',
    relayed: false,
    ambiguous: false,
  }))
}
