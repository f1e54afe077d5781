// Remote delivery before servers on loopback: each at an address of its own (127.0.0.2 and so on), all at one port, and a DNS made of zones.

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createSecureContext, TLSSocket } from 'node:tls'
import { type Envelope, SmtpServer, type SmtpServerOptions, type SessionHandler, type SmtpSession } from '@aviso/smtp'
import * as v from 'valibot'
import { HandClock } from '../../../src/kernel/clock.ts'
import { recordingLog } from '../../../src/kernel/log.ts'
import type { Scope } from '../../../src/kernel/scope.ts'
import { remoteConfig } from '../../../src/mail/targets/remote/config.ts'
import type { Courier, Parcel, RecipientResult } from '../../../src/mail/targets/remote/contracts.ts'
import type { FetchSts } from '../../../src/mail/targets/remote/mta-sts-fetch.ts'
import { StsFetchError } from '../../../src/mail/targets/remote/mta-sts-fetch.ts'
import { openRemote } from '../../../src/mail/targets/remote/remote.ts'
import { remoteStore } from '../../../src/mail/targets/remote/store.ts'
import type { TlsResults } from '../../../src/mail/targets/remote/tls-results.ts'
import { type ZoneResolver, zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'
import { openStore } from '../../../src/store/open.ts'
import { type Certified, certify } from '../../fixtures/certificates.ts'
import { testScope } from '../../fixtures/scope.ts'

/** What a server took. */
export interface Received {
  readonly envelope: Envelope
  readonly text: string
  readonly secure: boolean
  /** SNI. */
  readonly serverName: string | undefined
}

/** How a server behaves. */
export interface PeerWish {
  /** Its certificate; without one it offers no STARTTLS. */
  readonly tls?: Certified
  /** The handshake fails: it hangs up in the middle. */
  readonly brokenTls?: boolean
  readonly policy?: (session: SmtpSession) => Partial<SessionHandler>
  readonly options?: Partial<Pick<SmtpServerOptions, 'extensions' | 'limits' | 'kind'>>
  /** In place of SMTP. */
  readonly serve?: (socket: Socket) => void
}

export interface Peer {
  readonly received: Received[]
  /** Connections so far. */
  connections: number
  /** Connections open now. */
  open(): number
  /** Cuts all connections. */
  cut(): void
}

export interface RigWish {
  readonly zones: Zones
  readonly servers?: Readonly<Record<string, PeerWish>>
  readonly config?: v.InferInput<typeof remoteConfig>
  /** MTA-STS policies by domain; their texts can be changed on the way. */
  readonly policies?: Record<string, string>
}

export interface Rig {
  readonly courier: Courier
  readonly results: TlsResults
  readonly dns: ZoneResolver
  readonly clock: HandClock
  readonly scope: Scope
  readonly port: number
  readonly peers: Readonly<Record<string, Peer>>
  /** Domains whose policies were fetched. */
  readonly fetched: string[]
  readonly lines: readonly Record<string, unknown>[]
  send(parcel?: Partial<Parcel>, signal?: AbortSignal): Promise<readonly RecipientResult[]>
  /** Starts anew on the same store. */
  again(): Promise<Rig>
}

/** Whom the courier of a rig believes. */
export const authority = certify({ names: ['Test authority'], authority: true })

/** A good certificate for these names. */
export const good = (...names: readonly string[]): Certified => certify({ names, issuer: authority })

export async function rig(t: TestContext, wish: RigWish): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-remote-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const trust = join(folder, 'authority.pem')
  writeFileSync(trust, authority.certificate.toString())
  const { port, peers } = await openPeers(t, wish.servers ?? {})
  const dns = zoneResolver(wish.zones)
  const policies = wish.policies ?? {}
  const fetched: string[] = []
  // eslint-disable-next-line typescript/require-await -- as the real one
  const fetch: FetchSts = async (domain) => {
    fetched.push(domain)
    const text = policies[domain]
    if (text === undefined) throw new StsFetchError('sts-policy-fetch-error', 'the answer was 404')
    return text
  }
  const open = async (): Promise<Rig> => {
    const clock = new HandClock()
    const { log, lines } = recordingLog()
    const scope = testScope({ clock, log })
    t.after(() => scope.close())
    const store = await openStore(scope, { folder, definitions: [remoteStore] })
    const config = v.parse(remoteConfig, { port, 'ignored-addresses': [], 'trust-store': trust, ...wish.config })
    const { courier, results } = openRemote(scope.child('remote'), {
      config,
      hostname: 'mail.example.org',
      resolver: dns,
      store,
      fetch,
    })
    const send = (parcel: Partial<Parcel> = {}, signal = new AbortController().signal) =>
      courier.send(parcelTo(['ben@example.net'], parcel), signal)
    const again = async (): Promise<Rig> => {
      await scope.close()
      return open()
    }
    return { courier, results, dns, clock, scope, port, peers, fetched, lines, send, again }
  }
  return open()
}

/** A parcel for some recipients, all of the first one's domain. */
export function parcelTo(addresses: readonly string[], more: Partial<Parcel> = {}): Parcel {
  const octets = Buffer.from('From: anna@example.org\r\nSubject: hello\r\n\r\nHello Ben\r\n')
  const [first = ''] = addresses
  return {
    sender: 'anna@example.org',
    recipients: addresses.map((address) => ({ address })),
    message: { size: octets.length, chunks: () => pieces(octets) },
    domain: first.slice(first.lastIndexOf('@') + 1),
    requireTls: false,
    tlsOptional: false,
    smtpUtf8: false,
    body: undefined,
    ret: undefined,
    envid: undefined,
    deliverBy: undefined,
    priority: undefined,
    ...more,
  }
}

// eslint-disable-next-line typescript/require-await -- an iterable of two pieces
async function* pieces(octets: Buffer): AsyncGenerator<Uint8Array> {
  yield octets.subarray(0, 10)
  yield octets.subarray(10)
}

async function openPeers(
  t: TestContext,
  wishes: Readonly<Record<string, PeerWish>>,
): Promise<{ port: number; peers: Record<string, Peer> }> {
  const addresses = Object.keys(wishes)
  for (;;) {
    const servers: Server[] = []
    let port = 0
    try {
      for (const address of addresses) {
        const server = createServer()
        server.listen(port, address)
        await once(server, 'listening')
        servers.push(server)
        port = (server.address() as { port: number }).port
      }
    } catch {
      // The port is taken at one of the addresses.
      for (const server of servers) server.close()
      continue
    }
    if (port === 0) port = 1
    const peers = Object.fromEntries(
      servers.map((server, i) => [addresses[i] ?? '', serve(t, server, wishes[addresses[i] ?? ''] ?? {})]),
    )
    return { port, peers }
  }
}

function serve(t: TestContext, listener: Server, wish: PeerWish): Peer {
  const sockets = new Set<Socket>()
  const peer: Peer = {
    received: [],
    connections: 0,
    open: () => sockets.size,
    cut: () => sockets.forEach((socket) => socket.destroy()),
  }
  const { tls } = wish
  const secureContext = tls === undefined ? undefined : createSecureContext({ cert: tls.chain, key: tls.keyPem })
  const server = new SmtpServer({
    kind: 'smtp',
    hostname: 'peer.example.net',
    ...wish.options,
    ...(secureContext === undefined
      ? {}
      : {
          startTls: async (socket) => {
            if (wish.brokenTls === true) {
              socket.destroy()
              throw new Error('no handshake here')
            }
            const secured = new TLSSocket(socket as Socket, { isServer: true, secureContext })
            secured.on('error', () => {})
            await once(secured, 'secure')
            return secured
          },
        }),
    handler: (session) => ({
      mail: () => {},
      rcpt: () => {},
      async data(envelope, body) {
        const { socket } = session
        peer.received.push({
          envelope,
          text: Buffer.from(body.bytes ?? []).toString(),
          secure: session.secure,
          serverName: socket instanceof TLSSocket ? socket.servername || undefined : undefined,
        })
      },
      ...wish.policy?.(session),
    }),
  })
  listener.on('connection', (socket) => {
    peer.connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    if (wish.serve === undefined) server.accept(socket)
    else wish.serve(socket)
  })
  t.after(() => {
    listener.close()
    peer.cut()
  })
  return peer
}
