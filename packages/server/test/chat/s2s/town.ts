// For tests of federation: servers in one process that find each other over loopback, each with its own domain and certificate.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import type { Duplex } from 'node:stream'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { clientMechanism } from '@aviso/sasl'
import {
  Client,
  componentHandshake,
  type Dialback,
  dialbackXml,
  el,
  type Element,
  NS,
  PeerStream,
  type PeerStreamHandlers,
  readDialback,
  ServerStream,
  streamHeader,
} from '@aviso/xmpp'
import * as v from 'valibot'
import { Accounts } from '../../../src/accounts/contracts.ts'
import { Chat } from '../../../src/chat/core/contracts.ts'
import { openCore } from '../../../src/chat/core/core.ts'
import { coreConfig } from '../../../src/chat/core/settings.ts'
import { c2s } from '../../../src/chat/endpoints/c2s.ts'
import { componentEndpoint } from '../../../src/chat/endpoints/component.ts'
import { s2s } from '../../../src/chat/endpoints/s2s.ts'
import { disco } from '../../../src/chat/features/disco.ts'
import { ping } from '../../../src/chat/features/ping.ts'
import { PushRoom, pushRoom } from '../../../src/chat/features/push-room.ts'
import { chatFeatures } from '../../../src/chat/modules.ts'
import { s2sConfig } from '../../../src/chat/s2s/config.ts'
import { openS2s } from '../../../src/chat/s2s/s2s.ts'
import { HandClock } from '../../../src/kernel/clock.ts'
import { recordingLog } from '../../../src/kernel/log.ts'
import { Metrics } from '../../../src/kernel/metrics.ts'
import { SeededRandom } from '../../../src/kernel/random.ts'
import type { Scope } from '../../../src/kernel/scope.ts'
import { loadCertificates } from '../../../src/net/certificates.ts'
import { type Bans, Network } from '../../../src/net/contracts.ts'
import { Resolver } from '../../../src/net/dns/contracts.ts'
import { type ZoneRecords, zoneResolver } from '../../../src/net/dns/testing/index.ts'
import { createNetwork, networkConfig } from '../../../src/net/listeners.ts'
import { tlsConfig } from '../../../src/net/tls.ts'
import { Store } from '../../../src/store/contracts.ts'
import { openStore } from '../../../src/store/open.ts'
import { stores } from '../../../src/stores.ts'
import { type Certified, certify } from '../../fixtures/certificates.ts'
import { testScope } from '../../fixtures/scope.ts'
import { FakeAccounts, Peer, RawStream } from '../house.ts'

/** The authority that all servers of a town believe. */
export const AUTHORITY = certify({ names: ['Authority of the tests'], authority: true })

export const certified = (...names: string[]): Certified => certify({ names, issuer: AUTHORITY })

class OneDomain extends FakeAccounts {
  readonly #domain: string
  constructor(domain: string) {
    super()
    this.#domain = domain
  }
  override domains(): readonly string[] {
    return [this.#domain]
  }
}

export interface HouseWish {
  readonly s2s?: v.InferInput<typeof s2sConfig>
  /** Its certificate; one for the domain, by the authority, if not given. */
  readonly certificate?: Certified
  /** Settings of further features, by their names. */
  readonly features?: Readonly<Record<string, object>>
  readonly bans?: Bans
  /** Listens with direct TLS instead of STARTTLS. */
  readonly direct?: boolean
  /** Its components; the endpoint is there only with some. */
  readonly components?: readonly unknown[]
  /** Settings of their endpoint. */
  readonly component?: object
}

/** Servers, and the DNS that they share. */
export class Town {
  readonly zones: Record<string, ZoneRecords> = {}
  readonly folder = mkdtempSync(join(tmpdir(), 'aviso-s2s-'))
  readonly clock = new HandClock()
  #count = 0

  constructor(t: TestContext) {
    writeFileSync(this.ca, AUTHORITY.certificate.toString())
    t.after(() => rmSync(this.folder, { recursive: true, force: true }))
    this.#t = t
  }
  readonly #t: TestContext

  get ca(): string {
    return join(this.folder, 'ca.pem')
  }

  /** Puts a server into the DNS. */
  announce(domain: string, port: number, direct = false): void {
    const name = direct ? `_xmpps-server._tcp.${domain}` : `_xmpp-server._tcp.${domain}`
    this.zones[name] = { SRV: [[5, 5, port, `xmpp.${domain}`]] }
    this.zones[`xmpp.${domain}`] = { A: ['127.0.0.1'] }
  }

  async open(domain: string, wish: HouseWish = {}): Promise<TownHouse> {
    const folder = join(this.folder, `house${++this.#count}`)
    const { log, lines } = recordingLog('debug')
    const metrics = new Metrics()
    const scope = testScope({ clock: this.clock, log, metrics, random: new SeededRandom(this.#count) })
    this.#t.after(() => scope.close())
    const { chain, keyPem } = wish.certificate ?? certified(domain)
    const files = { certificate: `${folder}.crt`, key: `${folder}.key` }
    writeFileSync(files.certificate, chain)
    writeFileSync(files.key, keyPem)
    const certificates = await loadCertificates(scope, v.parse(tlsConfig, files))
    const network = await createNetwork(scope, {
      // Loopback is trusted, and never banned, unless the config says otherwise.
      config: v.parse(networkConfig, wish.bans ? { trusted: [] } : {}),
      certificates,
      ...(wish.bans && { bans: wish.bans }),
    })
    const accounts = new OneDomain(domain)
    scope.provide(Network, network)
    scope.provide(Accounts, accounts)
    scope.provide(Resolver, zoneResolver(this.zones))
    scope.provide(Store, await openStore(scope, { folder, definitions: stores }))
    const core = await openCore(scope, v.parse(coreConfig, {}))
    scope.provide(Chat, core)
    scope.provide(pushRoom, new PushRoom())
    await openS2s(scope, v.parse(s2sConfig, { 'trust-store': this.ca, ...wish.s2s }))
    const further = chatFeatures.filter(({ name }) => Object.hasOwn(wish.features ?? {}, name))
    for (const feature of [disco, ping, ...further])
      await feature.create(v.parse(feature.config, wish.features?.[feature.name] ?? {}), scope.child(feature.name))
    await c2s.create(
      v.parse(c2s.config, { listen: ['127.0.0.1:0'], 'listen-tls': [], 'require-tls': false }),
      scope.child('c2s'),
    )
    const where =
      wish.direct === true
        ? { listen: [], 'listen-tls': ['127.0.0.1:0'] }
        : { listen: ['127.0.0.1:0'], 'listen-tls': [] }
    await s2s.create(v.parse(s2s.config, where), scope.child('s2s'))
    if (wish.components !== undefined)
      await componentEndpoint.create(
        v.parse(componentEndpoint.config, { listen: ['127.0.0.1:0'], components: wish.components, ...wish.component }),
        scope.child('component'),
      )
    const port = (protocol: string): number => network.bound().find((bound) => bound.protocol === protocol)?.port ?? 0
    this.announce(domain, port('s2s'), wish.direct)
    return new TownHouse(domain, scope, accounts, lines, port('c2s'), port('s2s'), port('component'), metrics)
  }
}

export class TownHouse {
  readonly domain: string
  readonly scope: Scope
  readonly accounts: FakeAccounts
  /** Of the log. */
  readonly lines: Record<string, unknown>[]
  readonly clients: number
  readonly servers: number
  readonly components: number
  readonly metrics: Metrics

  constructor(
    domain: string,
    scope: Scope,
    accounts: FakeAccounts,
    lines: Record<string, unknown>[],
    clients: number,
    servers: number,
    components: number,
    metrics: Metrics,
  ) {
    this.domain = domain
    this.scope = scope
    this.accounts = accounts
    this.lines = lines
    this.clients = clients
    this.servers = servers
    this.components = components
    this.metrics = metrics
  }

  /** Somebody logs in, gets the roster and becomes available. */
  async arrive(name: string, resource = 'r'): Promise<Peer> {
    const address = `${name}@${this.domain}`
    this.accounts.add(address)
    const early: Element[] = []
    const receiver = { take: (stanza: Element): void => void early.push(stanza) }
    const client = await Client.connect({
      domain: this.domain,
      resource,
      connect: async () => connect(this.clients, '127.0.0.1'),
      sasl: (names) =>
        clientMechanism(names, { authcid: address, password: 'pencil', secure: true, mechanisms: ['PLAIN'] }),
      onStanza: (stanza) => receiver.take(stanza),
    })
    const peer = new Peer(client)
    receiver.take = (stanza) => peer.take(stanza)
    for (const stanza of early) peer.take(stanza)
    await peer.roster()
    peer.send('<presence/>')
    await peer.sync()
    peer.clear()
    return peer
  }

  /** The log lines with this message. */
  said(message: string): Record<string, unknown>[] {
    return this.lines.filter(({ msg }) => msg === message)
  }
}

/** What a {@link Stranger} has seen. */
export type Sight = Element | { readonly ended: string }

/** Somebody who connects to a server and says he is a domain: as far as the way is prescribed, he keeps to it. */
export class Stranger implements PeerStreamHandlers {
  readonly stream: PeerStream
  readonly #seen: Sight[] = []
  #waiting: ((sight: Sight) => void) | undefined

  constructor(port: number, from: string, to: string, certificate?: Certified | 'no TLS') {
    const socket: Socket = connect(port, '127.0.0.1').on('error', () => {})
    this.stream = new PeerStream(
      {
        socket,
        secure: false,
        from,
        to,
        requireTls: false,
        ...(certificate !== 'no TLS' && {
          startTls: (plain: Duplex): Promise<TLSSocket> =>
            new Promise<TLSSocket>((resolve, reject) => {
              const tls = connectTls({
                socket: plain,
                rejectUnauthorized: false,
                ...(certificate && { cert: certificate.chain, key: certificate.keyPem }),
              })
              tls.once('secureConnect', () => resolve(tls)).on('error', reject)
            }),
        }),
      },
      this,
    )
  }

  next(): Promise<Sight> {
    const sight = this.#seen.shift()
    if (sight !== undefined) return Promise.resolve(sight)
    return new Promise((resolve) => (this.#waiting = resolve))
  }

  async element(): Promise<Element> {
    const sight = await this.next()
    if ('ended' in sight) throw new Error(`the stream is over: ${sight.ended}`)
    return sight
  }

  async ended(): Promise<string> {
    for (;;) {
      const sight = await this.next()
      if ('ended' in sight) return sight.ended
    }
  }

  #see(sight: Sight): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) this.#seen.push(sight)
    else waiting(sight)
  }

  negotiate(features: Element): void {
    this.#see(features)
  }
  authenticated(): void {
    this.#see(el('authenticated', { xmlns: NS.sasl }))
  }
  refused(condition: string): void {
    this.#see(el('refused', { xmlns: NS.sasl }, condition))
  }
  nonza(element: Element, stream: PeerStream): boolean {
    const dialback = readDialback(element)
    if (dialback?.name === 'result' && dialback.type === 'valid') stream.authenticate()
    this.#see(element)
    return true
  }
  stanza(stanza: Element): void {
    this.#see(stanza)
  }
  closed(reason: { readonly by: string; readonly error?: Error }): void {
    this.#see({ ended: reason.error?.message ?? reason.by })
  }
}

/** Listens on loopback until the test is over, when what is open is closed. Resolves with the port. */
export async function listening(t: TestContext, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)))
    serve(socket)
  })
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Listens as the server of a domain, in the clear, and believes every key. It offers bidi where it wants to hear of it. Resolves with its port. */
export function gullible(
  t: TestContext,
  told: {
    key?(dialback: Dialback, streamId: string): void
    stanza?(stanza: Element, socket: Socket): void
    bidi?(element: Element): void
  },
): Promise<number> {
  return listening(t, (socket) => {
    const stream = new ServerStream(
      { socket, secure: false, namespace: NS.server, streamId: () => 'an-id', defaultHost: 'x.example' },
      {
        isServed: () => true,
        mechanisms: () => [],
        begin: () => undefined,
        features: () => (told.bidi === undefined ? [] : [el('bidi', { xmlns: NS.bidiFeature })]),
        stanza: (stanza) => told.stanza?.(stanza, socket),
        nonza(element, stream) {
          if (element.is('bidi', NS.bidi)) {
            told.bidi?.(element)
            return true
          }
          const dialback = readDialback(element)
          if (dialback === undefined) return false
          told.key?.(dialback, stream.id)
          stream.authenticate({ authcid: dialback.from, authzid: undefined })
          stream.send(dialbackXml({ name: 'result', from: dialback.to, to: dialback.from, type: 'valid' }))
          return true
        },
        closed: () => {},
      },
    )
    socket.once('close', () => stream.destroy())
  })
}

/** A component of a house, as far as the handshake; what the server makes of that is still to be read. */
export async function component(t: TestContext, house: TownHouse, domain: string, secret = 'shh'): Promise<RawStream> {
  const raw = new RawStream(connect(house.components, '127.0.0.1'))
  t.after(() => raw.socket.destroy())
  raw.write(streamHeader({ namespace: NS.componentAccept, to: domain, version: false }))
  const [, id = ''] = await raw.until(/ id='([^']*)'[^>]*>/)
  raw.write(`<handshake>${componentHandshake(id, secret)}</handshake>`)
  return raw
}
