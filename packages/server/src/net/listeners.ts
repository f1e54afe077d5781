// The listeners of the process: server sockets that stay open from one generation of the configuration to the next.

import type { Server, Socket } from 'node:net'
import * as v from 'valibot'
import { duration } from '../kernel/units.ts'
import type { Scope } from '../kernel/scope.ts'
import { AddressSet, networkRange, parseListenAddress, type ListenAddress } from './addresses.ts'
import { bind } from './bind.ts'
import type { Certificates } from './certificates.ts'
import { Claim, Tally, type Rules } from './claim.ts'
import type { Bans, Bound, ListenOptions, Network, Session } from './contracts.ts'
import { dnsConfig } from './dns/servers.ts'
import { conflict } from './sharing.ts'
import { StartError } from './start-error.ts'
import { Activation } from './systemd.ts'
import { tarpitConfig } from './tarpit.ts'

const count = v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(1, 'expected at least 1'))

/** The `network` part of the config. */
export const networkConfig = v.pipe(
  v.strictObject({
    connections: v.optional(v.pipe(count, v.description('how many connections may be open at once, in all')), 20_000),
    'connections-per-address': v.optional(
      v.pipe(count, v.description('how many connections one IPv4 address, or one IPv6 /64, may have open at once')),
      200,
    ),
    trusted: v.optional(
      v.pipe(
        v.array(networkRange),
        v.description(
          'addresses and networks that are never banned and have no limit of their own: this machine, a proxy, a webmail server',
        ),
      ),
      ['127.0.0.0/8', '::1'],
    ),
    'shutdown-deadline': v.pipe(
      duration('20s'),
      v.description('how long sessions may take to end when the server stops'),
    ),
    tarpit: v.optional(
      v.pipe(
        tarpitConfig,
        v.description('Slow answers for peers that make many errors, and bans for those that go on.'),
      ),
      {},
    ),
    dns: v.optional(dnsConfig, {}),
  }),
  v.description('Limits for all connections together, and how names are looked up.'),
)
export type NetworkConfig = v.InferOutput<typeof networkConfig>

export interface NetworkOptions {
  readonly config: NetworkConfig
  /** Undefined: no TLS is offered. */
  readonly certificates?: Certificates | undefined
  readonly bans?: Bans | undefined
  /** Sockets that systemd opened. */
  readonly activation?: Activation | undefined
  /** Open the addresses but serve nobody before `start`: the generation before goes on, and connections to new addresses wait. */
  readonly held?: boolean
}

/** The listeners as one generation of the configuration has them. */
export interface GenerationNetwork extends Network {
  /** Begins to serve new connections, where the network was made `held`. */
  start(): void
  /** Takes no new connections any more (of `scope`, or of the whole generation), and lets the sessions finish. Resolves when they all have. */
  retire(scope?: Scope): Promise<void>
  /** Resolves when `scope` (or the whole generation) has no session left. */
  drained(scope?: Scope): Promise<void>
}

/**
 * The network for one generation. The server sockets behind it are shared by all generations of the process: a generation that begins while another is up takes its
 * addresses over. When `scope` begins to close, all sessions of the generation are shut down at once, side by side, before its modules are taken down.
 */
export async function createNetwork(scope: Scope, options: NetworkOptions): Promise<GenerationNetwork> {
  const pool = await scope.keep({ name: 'listeners' }, (): Pool => new Pool(options.activation ?? new Activation()))
  const network = new Generation(pool, options)
  scope.signal.addEventListener('abort', () => network.endAll(), { once: true })
  return network
}

/** How many connections may wait for a generation that is about to start. */
const MAX_WAITING = 256

/** One address, its server sockets, and who claims them: the newest claim that serves gets the connections. */
class Place {
  readonly key: string
  readonly address: ListenAddress
  readonly claims: { readonly claim: Claim; readonly owner: Generation }[] = []
  readonly #waiting: Socket[] = []
  #servers: Server[] = []
  #opening: Promise<void> | undefined
  #closed = false

  constructor(key: string, address: ListenAddress) {
    this.key = key
    this.address = address
  }

  /** Opens the server sockets; a second call waits for the first. */
  open(what: string, activation: Activation): Promise<void> {
    this.#opening ??= bind(this.address, what, activation, (socket) => this.#accept(socket)).then((servers) => {
      this.#servers = servers
      // Out of file descriptors, say: the connection is lost, the server is not.
      for (const server of servers)
        server.on('error', (error) =>
          this.claims.at(-1)?.claim.scope.log.error({ err: error }, 'a connection could not be accepted'),
        )
      if (this.#closed) this.close()
    })
    return this.#opening
  }

  /** Where it listens; the path or systemd's name, and port 0, where there is no port. */
  where(): { address: string; port: number } {
    const actual = this.#servers[0]?.address()
    if (typeof actual === 'object' && actual !== null) return { address: actual.address, port: actual.port }
    return { address: typeof actual === 'string' ? actual : this.key, port: 0 }
  }

  /** Hands connections that waited for a claim to the one that serves now. */
  serveWaiting(): void {
    const claims = this.#serving()
    if (claims.length > 0) for (const socket of this.#waiting.splice(0)) claims[0]?.accept(socket, claims)
  }

  close(): void {
    this.#closed = true
    for (const server of this.#servers) server.close()
    for (const socket of this.#waiting.splice(0)) socket.destroy()
  }

  /** The claims of the newest generation that serves: one for each protocol. */
  #serving(): readonly Claim[] {
    return this.claimsOf(this.claims.findLast(({ owner }) => owner.serving)?.owner)
  }

  claimsOf(generation: Generation | undefined): readonly Claim[] {
    const found = new Map<string, Claim>()
    for (const { claim, owner } of this.claims)
      if (owner === generation) found.set(`${claim.options.protocol} ${claim.options.tls}`, claim)
    return [...found.values()]
  }

  #accept(socket: Socket): void {
    const claims = this.#serving()
    if (claims[0] !== undefined) return claims[0].accept(socket, claims)
    socket.on('error', () => {})
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(socket)
    else socket.destroy()
  }
}

/** What outlives the generations. */
class Pool {
  readonly places = new Set<Place>()
  readonly tally = new Tally()
  readonly activation: Activation

  constructor(activation: Activation) {
    this.activation = activation
  }
}

class Generation implements GenerationNetwork {
  readonly #pool: Pool
  readonly #rules: Rules
  readonly #claims = new Set<Claim>()
  /** Sessions without a connection of their own. */
  readonly #adopted = new Set<Session>()
  #onLast: (() => void)[] = []
  serving: boolean

  constructor(pool: Pool, { config, certificates, bans, held }: NetworkOptions) {
    this.#pool = pool
    this.serving = held !== true
    this.#rules = {
      connections: config.connections,
      perAddress: config['connections-per-address'],
      shutdownDeadline: config['shutdown-deadline'],
      trusted: new AddressSet(config.trusted),
      certificates,
      bans,
    }
  }

  async listen(scope: Scope, options: ListenOptions): Promise<Bound> {
    const address = parseListenAddress(options.address)
    if (address === undefined) {
      throw new StartError(
        `${options.protocol} cannot listen on '${options.address}': expected [::]:25, 127.0.0.1:25, 25 (all addresses), unix:/path or systemd:NAME.`,
      )
    }
    if (options.tls === 'implicit' && this.#rules.certificates?.context() === undefined) {
      throw new StartError(
        `${options.protocol} on ${options.address} needs TLS, and there is no certificate: name one in the setting tls.`,
      )
    }
    const place = this.#place(address, options)
    const claim = new Claim(scope, options, this.#rules, this.#pool.tally)
    const release = (): Promise<void> => {
      this.#release(place, claim)
      return claim.end().finally(() => this.#claims.delete(claim))
    }
    scope.defer(release)
    place.claims.push({ claim, owner: this })
    this.#pool.places.add(place)
    this.#claims.add(claim)
    try {
      await place.open(options.protocol, this.#pool.activation)
    } catch (error) {
      await release()
      throw error
    }
    place.serveWaiting()
    const bound = { protocol: options.protocol, tls: options.tls, ...place.where() }
    scope.log.info({ protocol: options.protocol, address: bound.address, port: bound.port }, 'listening')
    return bound
  }

  adopt(session: Session): () => void {
    this.#adopted.add(session)
    return () => {
      if (!this.#adopted.delete(session) || this.#adopted.size > 0) return
      for (const resolve of this.#onLast.splice(0)) resolve()
    }
  }

  bound(): readonly Bound[] {
    return [...this.#pool.places].flatMap((place) =>
      place
        .claimsOf(place.claims.at(-1)?.owner)
        .map(({ options: { protocol, tls } }) => ({ protocol, tls, ...place.where() })),
    )
  }

  connections(): ReadonlyMap<string, number> {
    return this.#pool.tally.byProtocol
  }

  secureContext(serverName: string | undefined, ca?: string): ReturnType<Network['secureContext']> {
    return this.#rules.certificates?.context(serverName, ca === undefined ? undefined : { ca })
  }

  start(): void {
    this.serving = true
    for (const place of this.#pool.places) place.serveWaiting()
  }

  async retire(scope?: Scope): Promise<void> {
    for (const claim of this.#of(scope)) {
      for (const place of this.#pool.places) this.#release(place, claim)
      claim.retire()
    }
    await this.drained(scope)
  }

  async drained(scope?: Scope): Promise<void> {
    await Promise.all(this.#of(scope).map((claim) => claim.drained()))
    if (scope === undefined && this.#adopted.size > 0) await new Promise<void>((resolve) => this.#onLast.push(resolve))
  }

  /** Shuts all sessions down, without waiting: the claims' scopes do that. */
  endAll(): void {
    // They say goodbye over connections that are up.
    for (const session of this.#adopted) void session.shutdown()
    for (const claim of this.#claims) {
      for (const place of this.#pool.places) this.#release(place, claim)
      void claim.end()
    }
  }

  #of(scope: Scope | undefined): Claim[] {
    return [...this.#claims].filter((claim) => scope === undefined || claim.scope === scope)
  }

  /** The place for this address: one that is open already, or a new one. */
  #place(address: ListenAddress, options: ListenOptions): Place {
    // Port 0 asks for a port of its own; the next generation's endpoint of the same protocol gets the same one again.
    const any = address.kind === 'tcp' && address.port === 0
    const where = address.kind === 'tcp' ? `${address.host} ${address.port}` : options.address
    const key = any ? `${where} ${options.protocol}` : where
    for (const place of this.#pool.places) {
      if (place.key !== key) continue
      const mine = place.claimsOf(this)
      if (any && mine.length > 0) continue
      for (const { options: other } of mine) {
        const same = other.protocol === options.protocol && other.tls === options.tls
        const problem = same ? undefined : conflict(other, options)
        if (problem !== undefined) throw new StartError(problem)
      }
      return place
    }
    return new Place(key, address)
  }

  #release(place: Place, claim: Claim): void {
    const index = place.claims.findIndex((entry) => entry.claim === claim)
    if (index < 0) return
    place.claims.splice(index, 1)
    if (place.claims.length > 0) return place.serveWaiting()
    this.#pool.places.delete(place)
    place.close()
  }
}
