// A claim: one endpoint's right to the connections of one address, and the sessions that came of it.

import type { Socket } from 'node:net'
import { randomWord } from '../kernel/random.ts'
import type { Scope } from '../kernel/scope.ts'
import { addressGroup, AddressSet, plainAddress } from './addresses.ts'
import type { Certificates } from './certificates.ts'
import { AcceptedConnection, type ConnectionTerms } from './connection.ts'
import type { Bans, ListenOptions } from './contracts.ts'
import { readBeginning } from './beginning.ts'
import { type Origin, readProxyHeader } from './proxy-protocol.ts'
import { purposeOf, serveBySpeech } from './sharing.ts'
import type { HandshakeTerms } from './tls.ts'

/** How many connections are open: in all, by protocol, by peer. One for the whole process. */
export class Tally {
  total = 0
  readonly byProtocol = new Map<string, number>()
  readonly byPeer = new Map<string, number>()
}

const add = (counts: Map<string, number>, key: string, by: 1 | -1): void => {
  const count = (counts.get(key) ?? 0) + by
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}

/** The rules that one generation of the configuration has for its connections. */
export interface Rules {
  readonly connections: number
  readonly perAddress: number
  readonly shutdownDeadline: number
  readonly trusted: AddressSet
  readonly certificates: Certificates | undefined
  readonly bans: Bans | undefined
}

const SESSION_ID_LENGTH = 10
const NO_TLS_TIMEOUT = 30_000
/** Milliseconds for a proxy to send its header: it does so with the first packet, or after one that was lost. */
const PROXY_TIMEOUT = 10_000

/** Serves the connections of one address for one `listen`. */
export class Claim {
  readonly scope: Scope
  readonly options: ListenOptions
  readonly #rules: Rules
  readonly #tally: Tally
  readonly #terms: ConnectionTerms
  readonly #open = new Set<AcceptedConnection>()
  readonly #onDrained: (() => void)[] = []
  readonly #proxies: AddressSet
  readonly #unixProxies: boolean
  /** Connections of which it is not known yet whose they are, or what for. */
  readonly #nameless = new Set<Socket>()
  #ending: Promise<void> | undefined

  constructor(scope: Scope, options: ListenOptions, rules: Rules, tally: Tally) {
    this.scope = scope
    this.options = options
    this.#rules = rules
    this.#tally = tally
    const { proxies = [] } = options
    this.#proxies = new AddressSet(proxies.filter((range) => range !== 'unix'))
    this.#unixProxies = proxies.includes('unix')
    const alpn = options.alpn === undefined || options.alpn.length === 0 ? undefined : [...options.alpn]
    const { certificates } = rules
    const failures = scope.metrics.counter('aviso_tls_failures_total', 'TLS handshakes that failed', [
      'protocol',
      'reason',
    ])
    this.#terms = {
      log: scope.log,
      clock: scope.clock,
      offersTls: options.tls !== 'none',
      handshakeTimeout: certificates?.handshakeTimeout ?? NO_TLS_TIMEOUT,
      handshakeTerms: (): HandshakeTerms | undefined =>
        certificates?.terms(options.tls === 'implicit' ? alpn : undefined, options.clientCertificates),
      // OpenSSL knows hundreds of reasons, and peers choose among them: few are told apart.
      tlsFailed: (reason) =>
        failures.inc({
          protocol: options.protocol,
          reason: reason === 'timeout' || reason === 'closed' ? reason : 'protocol',
        }),
    }
  }

  get sessions(): number {
    return this.#open.size
  }

  /** Takes a connection that has just been accepted: refuses it, serves it, or asks a proxy first whose it is. `sharers`: all that the address belongs to, where those are several. */
  accept(socket: Socket, sharers: readonly Claim[] = [this]): void {
    const unix = socket.localAddress === undefined || socket.localAddress === ''
    if (socket.destroyed || (socket.remoteAddress === undefined && !unix)) return void socket.destroy()
    const address = plainAddress(socket.remoteAddress ?? '')
    if (unix ? this.#unixProxies : this.#proxies.has(address)) this.#unveil(socket, address, sharers)
    else this.#sort(socket, address, undefined, sharers)
  }

  /** Reads the PROXY header. Until it has come, the connection is one of the proxy's, which has no limit of its own. */
  #unveil(socket: Socket, proxy: string, sharers: readonly Claim[]): void {
    const { protocol } = this.options
    const { clock, log } = this.scope
    const known = this.#suspend(socket, proxy, undefined)
    if (known === undefined) return
    readProxyHeader(socket, clock, PROXY_TIMEOUT, (result) => {
      known()
      if (this.#ending !== undefined) return this.#refuse(socket, proxy, 'ending')
      if ('origin' in result) return this.#sort(socket, result.origin?.remoteAddress ?? proxy, result.origin, sharers)
      // Health checks connect and go: no news.
      if (result.failure !== 'closed')
        log.warn({ proxy, protocol, reason: result.failure }, 'a proxy sent no PROXY header')
      this.#refuse(socket, proxy, 'proxy-header')
    })
  }

  /** Looks what a connection is for, where several share the address. */
  #sort(socket: Socket, address: string, origin: Origin | undefined, sharers: readonly Claim[]): void {
    if (sharers.length < 2) return this.#admit(socket, address, origin)
    const known = this.#suspend(socket, address, this.#peer(address))
    if (known === undefined) return
    const timeout = this.#terms.handshakeTimeout
    readBeginning(
      socket,
      this.scope.clock,
      timeout,
      (octets) => purposeOf(octets, sharers),
      (result) => {
        known()
        if ('failure' in result) return this.#refuse(socket, address, result.failure)
        const purpose = result.value
        if (purpose.kind === 'unknown') return this.#refuse(socket, address, 'unknown-protocol')
        const { sharer } = purpose
        if (sharer.#ending !== undefined) return this.#refuse(socket, address, 'ending')
        sharer.#admit(socket, address, origin, purpose.kind === 'guessed' ? sharers : undefined)
      },
    )
  }

  /** Counts a connection that cannot be served yet; undefined: it was refused. Call what this returns when more is known. */
  #suspend(socket: Socket, address: string, peer: string | undefined): (() => void) | undefined {
    const refusal = this.#ending === undefined ? this.#refusal(address, peer) : 'ending'
    if (refusal !== undefined) return void this.#refuse(socket, address, refusal)
    const count = (by: 1 | -1): void => {
      this.#tally.total += by
      add(this.#tally.byProtocol, this.options.protocol, by)
      if (peer !== undefined) add(this.#tally.byPeer, peer, by)
    }
    count(1)
    this.#nameless.add(socket)
    return () => {
      count(-1)
      this.#nameless.delete(socket)
    }
  }

  /** As whom a client counts; undefined where it has no limit of its own. */
  #peer(address: string): string | undefined {
    return address === '' || this.#rules.trusted.has(address) ? undefined : addressGroup(address)
  }

  /** `sharers`: what the client says when TLS is up tells for whom of them it is. */
  #admit(socket: Socket, address: string, origin: Origin | undefined, sharers?: readonly Claim[]): void {
    const { protocol } = this.options
    const { metrics } = this.scope
    const peer = this.#peer(address)
    const refusal = this.#refusal(address, peer)
    if (refusal !== undefined) return this.#refuse(socket, address, refusal)
    if (socket.destroyed) return
    const id = randomWord(this.scope.random, SESSION_ID_LENGTH)
    const connection = new AcceptedConnection(id, socket, this.#terms, origin)
    this.#count(connection, peer, 1)
    metrics
      .counter('aviso_connections_accepted_total', 'Connections that were accepted', ['protocol'])
      .inc({ protocol })
    socket.once('close', () => this.#count(connection, peer, -1))
    if (this.scope.log.isLevelEnabled('debug'))
      connection.log.debug({ remote: address, port: connection.remotePort, protocol }, 'connected')
    if (this.options.tls !== 'implicit') connection.serve(this.options.serve)
    // A handshake that fails is logged and counted where it happens.
    else
      connection.startTls().then(
        () => connection.serve(sharers === undefined ? this.options.serve : this.#bySpeech(sharers)),
        () => {},
      )
  }

  #bySpeech(sharers: readonly Claim[]): ListenOptions['serve'] {
    const { clock } = this.scope
    return (connection) =>
      serveBySpeech(connection, sharers, clock, this.#terms.handshakeTimeout, (why) =>
        this.#refused(connection.remoteAddress, why),
      )
  }

  #refused(address: string, reason: string): void {
    const { protocol } = this.options
    this.scope.metrics
      .counter('aviso_connections_refused_total', 'Connections that were closed at once', ['protocol', 'reason'])
      .inc({ protocol, reason })
    this.scope.log.debug({ remote: address, reason }, 'connection refused')
  }

  #refuse(socket: Socket, address: string, reason: string): void {
    this.#refused(address, reason)
    socket.on('error', () => {})
    socket.destroy()
  }

  /** Tells the sessions that new connections go elsewhere. */
  retire(): void {
    for (const connection of this.#open) connection.retire()
  }

  /** Resolves when no session is left. */
  drained(): Promise<void> {
    return this.#open.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#onDrained.push(resolve))
  }

  /** Shuts all sessions down, side by side; those that have not ended at the deadline are cut off. Resolves when all are gone. */
  end(): Promise<void> {
    this.#ending ??= this.#endSessions()
    return this.#ending
  }

  async #endSessions(): Promise<void> {
    for (const socket of this.#nameless) socket.destroy()
    const open = this.#open
    if (open.size === 0) return
    const deadline = this.scope.clock.timeout(this.#rules.shutdownDeadline, () => {
      this.scope.log.warn(
        { sessions: open.size, protocol: this.options.protocol },
        'sessions did not end in time: cutting them off',
      )
      for (const connection of open) connection.destroy()
    })
    for (const connection of open) void connection.shutdown()
    await this.drained()
    deadline.cancel()
  }

  #refusal(address: string, peer: string | undefined): string | undefined {
    if (peer !== undefined && this.#rules.bans?.isBanned(address) === true) return 'banned'
    if (this.#tally.total >= this.#rules.connections) return 'too-many'
    if (peer !== undefined && (this.#tally.byPeer.get(peer) ?? 0) >= this.#rules.perAddress)
      return 'too-many-from-address'
    return undefined
  }

  #count(connection: AcceptedConnection, peer: string | undefined, by: 1 | -1): void {
    const { protocol } = this.options
    this.#tally.total += by
    add(this.#tally.byProtocol, protocol, by)
    if (peer !== undefined) add(this.#tally.byPeer, peer, by)
    this.scope.metrics.gauge('aviso_connections', 'Open connections', ['protocol']).inc({ protocol }, by)
    if (by === 1) this.#open.add(connection)
    else {
      this.#open.delete(connection)
      if (this.#open.size === 0) for (const resolve of this.#onDrained.splice(0)) resolve()
    }
  }
}
