// Brings mail to servers that the config names, one after the other: smart hosts, and LMTP servers.

import { isIP } from 'node:net'
import { ClientPool, type SmtpClient } from '@aviso/smtp'
import type { Scope } from '../../../kernel/scope.ts'
import { NO_DANE } from '../../../net/dane.ts'
import { sourceFor } from '../../../net/dns/addresses.ts'
import { Resolver } from '../../../net/dns/contracts.ts'
import { dnsName } from '../../../net/dns/names.ts'
import { MailSettings } from '../../settings.ts'
import { answer, Undeliverable } from '../remote/answers.ts'
import { clientContext, poolOf, timeoutsOf } from '../remote/config.ts'
import type { Answer, Courier, Parcel, RecipientResult } from '../remote/contracts.ts'
import { all, located } from '../remote/courier.ts'
import { Destinations } from '../remote/destinations.ts'
import { HopTrial, verdict } from '../remote/hops.ts'
import type { Hop, Link, LinkTools } from '../remote/link.ts'
import { demandsOf } from '../remote/policy.ts'
import { smtpClock } from '../remote/smtp-clock.ts'
import type { DownstreamConfig } from './config.ts'
import { logIn, mayCarryPassword } from './login.ts'
import { type Downstream, parseDownstream } from './servers.ts'

export class DownstreamCourier implements Courier {
  readonly #scope: Scope
  readonly #config: DownstreamConfig
  readonly #kind: Hop['kind']
  readonly #servers: readonly Downstream[]
  readonly #tools: LinkTools
  readonly #resolver: Resolver
  readonly #pool: ClientPool
  readonly #links = new WeakMap<SmtpClient, Link>()
  readonly #destinations: Destinations

  /** Sends until `scope` closes. Throws StartError for a trust store or a certificate that cannot be used. */
  constructor(scope: Scope, config: DownstreamConfig, kind: Hop['kind'], port: number) {
    this.#scope = scope
    this.#config = config
    this.#kind = kind
    this.#servers = config.servers.flatMap((text) => parseDownstream(text, port) ?? [])
    this.#resolver = scope.use(Resolver)
    this.#destinations = new Destinations(scope.clock)
    this.#pool = new ClientPool({ ...poolOf(config), clock: smtpClock(scope.clock) })
    scope.defer(() => this.#pool.close())
    const { login } = config
    const own =
      login?.certificate === undefined || login.key === undefined
        ? undefined
        : { cert: login.certificate, key: login.key }
    const name = config.hostname ?? scope.use(MailSettings).hostname
    this.#tools = {
      hostname: dnsName(name) ?? name,
      clock: scope.clock,
      timeouts: timeoutsOf(config),
      secureContext: clientContext(config['trust-store'], own),
      source: (address) => sourceFor(address, config.source),
      ...(login === undefined
        ? {}
        : {
            authenticate: (client, hop, level) =>
              logIn(client, login, hop.host, mayCarryPassword(hop, level, config.tls)),
          }),
    }
  }

  async send(parcel: Parcel, signal: AbortSignal): Promise<readonly RecipientResult[]> {
    const both = AbortSignal.any([signal, this.#scope.signal])
    try {
      both.throwIfAborted()
      const limits = { concurrency: this.#config.concurrency, rate: undefined }
      const release = await this.#destinations.turn(this.#servers.map(nameOf).join(' '), limits, both)
      try {
        return await this.#deliver(parcel, both)
      } finally {
        release()
      }
    } catch (error) {
      if (both.aborted) throw both.reason
      if (error instanceof Undeliverable) return all(parcel, error.answer, error.remote)
      if (error instanceof RangeError) return all(parcel, answer(553, '5.1.3', error.message), undefined)
      this.#scope.log.error({ err: error }, 'mail could not be sent')
      return all(parcel, answer(451, '4.3.0', 'This server met an error, and tries again later'), undefined)
    }
  }

  async #deliver(parcel: Parcel, signal: AbortSignal): Promise<readonly RecipientResult[]> {
    const trial = new HopTrial({
      parcel,
      tools: this.#tools,
      pool: this.#pool,
      links: this.#links,
      signal,
      told: () => {},
      reused: this.#scope.metrics.counter('aviso_remote_reused_total', 'Messages sent over a connection that was kept'),
      relaxed: false,
    })
    for (const server of this.#servers) {
      const host = nameOf(server)
      const demands = demandsOf({
        host,
        secure: true,
        dane: NO_DANE,
        sts: undefined,
        local: { mx: 'none', tls: 'path' in server ? 'none' : this.#config.tls },
        // A socket of this machine is no network that TLS would have to protect.
        requireTls: parcel.requireTls && !('path' in server),
        tlsOptional: false,
      })
      if ('refused' in demands) {
        trial.fail(host, demands.refused)
        continue
      }
      const hops = await this.#hops(server, signal)
      if ('code' in hops) {
        trial.fail(host, hops)
        continue
      }
      const results = await trial.try({ hops, demands })
      if (results !== undefined) return results
    }
    const { answer: said, remote } = verdict('this target', trial.failures)
    return all(parcel, said, remote)
  }

  /** A server at each of its addresses, or why it has none. */
  async #hops(server: Downstream, signal: AbortSignal): Promise<readonly Hop[] | Answer> {
    const kind = this.#kind
    if ('path' in server) return [{ host: nameOf(server), at: { path: server.path }, tls: 'none', kind }]
    const { host, port, tls } = server
    if (isIP(host) !== 0) return [{ host, at: { address: host, port }, tls, kind }]
    try {
      const { addresses } = await located(host, 'both', this.#resolver, signal)
      if (addresses.length > 0) return addresses.map((address): Hop => ({ host, at: { address, port }, tls, kind }))
    } catch (error) {
      if (error instanceof Undeliverable) return error.answer
      throw error
    }
    // A name that is wrong in the config is no reason to give mail back.
    return answer(451, '4.4.4', `The server ${host} has no address`)
  }
}

const nameOf = (server: Downstream): string => ('path' in server ? 'localhost' : server.host)
