// The network as the rooms see it: connections that arrive, TLS, limits and bans.

import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { SecureContext, TLSSocket } from 'node:tls'
import { defineFamily } from '../kernel/module.ts'
import { type Scope, serviceKey } from '../kernel/scope.ts'
import type { Log } from '../kernel/log.ts'

/** What SASL can bind a login to, by type. Which types there are is told at once; the octets are made when they are asked for, as TLS takes its time for them. */
export interface ChannelBindings {
  readonly size: number
  has(type: string): boolean
  keys(): Iterable<string>
  /** Undefined for a type that there is not, and when the connection is gone. */
  get(type: string): Uint8Array | undefined
}

/** What TLS settled on. */
export interface TlsFacts {
  /** `TLSv1.3` ... */
  readonly protocol: string
  readonly cipher: string
  /** The name that the client asked for (SNI). */
  readonly serverName: string | undefined
  readonly alpn: string | undefined
  /** The certificate that the client has shown, where it was asked for one. `trusted`: its chain ends at an authority that we believe, and it is valid now; whose name it bears is not looked at. */
  readonly clientCertificate?: { readonly certificate: X509Certificate; readonly trusted: boolean } | undefined
  /** By type, for SASL: `tls-exporter` (TLS 1.3), `tls-server-end-point`. */
  readonly channelBinding: ChannelBindings
}

/** One connection that was accepted. */
export interface Connection {
  /** The session id that all log lines about this connection carry. */
  readonly id: string
  /** The stream as it is now: `startTls` replaces it. */
  readonly socket: Socket | TLSSocket
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** Undefined as long as the connection is in the clear. */
  readonly tls: TlsFacts | undefined
  readonly log: Log
  /** Makes the TLS handshake on this connection (STARTTLS). Rejects, and destroys the socket, when it fails or takes too long. */
  startTls(): Promise<TLSSocket>
}

/** What a protocol makes of a connection. */
export interface Session {
  /** Ends the session politely (421, BYE, stream error system-shutdown): finishes what is being done, then closes. Resolves when the socket is closed. */
  shutdown(): Promise<void>
  /** New connections go to a newer config: ends where nothing would be interrupted, or when that is so. Without it the session goes on as it is. */
  retire?(): void
}

/** How an endpoint meets its clients. */
export interface ListenOptions {
  /** For logs, metrics and limits: `smtp`, `imap`, `c2s` ... */
  readonly protocol: string
  /** As in the config: `[::]:25`, `127.0.0.1:0`, `25` (all addresses), `unix:/path`, `systemd:name`. */
  readonly address: string
  /** `implicit`: the handshake comes first. `starttls`: in the clear until `startTls`. `none`: TLS is never offered. */
  readonly tls: 'implicit' | 'starttls' | 'none'
  /** ALPN protocol ids offered with implicit TLS. */
  readonly alpn?: readonly string[]
  /**
   * Tells from the first octets of a connection whether it is for this protocol, where several share an address and ALPN does not tell; `more` where that cannot be seen yet.
   * For protocols whose clients speak first.
   */
  readonly opening?: (octets: Buffer) => boolean | 'more'
  /** Clients are asked for a certificate (TLS goes on without one, and with one that nobody believes). `ca`: PEM of the authorities to believe, where they are not those of Node itself; `crl`: PEM of their revocation lists, each its own text. Looked at for each connection. */
  readonly clientCertificates?:
    { readonly ca?: string | undefined; readonly crl?: readonly string[] | undefined } | undefined
  /** Addresses and networks (or `unix`) of proxies: their connections begin with a PROXY header and are then taken for the client's own. */
  readonly proxies?: readonly string[] | undefined
  /** Serves one connection. What it throws closes that connection and is logged. */
  serve(connection: Connection): Session
}

/** Where an endpoint really listens. */
export interface Bound {
  readonly protocol: string
  readonly address: string
  readonly port: number
  readonly tls: ListenOptions['tls']
}

/** The listeners, shared by all generations of the configuration. */
export interface Network {
  /**
   * Listens until `scope` closes. An address that the generation before listens on is taken over without closing the socket: new connections come
   * here, those that are open stay with the session that serves them. Rejects with a message that names the address, the cause and the remedy.
   * When `scope` closes its sessions are shut down; a scope that is only retired (`retire`) lets them finish. Protocols whose clients can be told apart may share an address
   * (`alpn`, `opening`).
   */
  listen(scope: Scope, options: ListenOptions): Promise<Bound>
  /**
   * Counts a session that no connection carries for long (BOSH) among those of this generation: at the end it is shut down and waited for like them, and it keeps
   * the generation up until then. Call what this returns when the session is over.
   */
  adopt(session: Session): () => void
  /** Every place where somebody listens now. */
  bound(): readonly Bound[]
  /** Open connections by protocol. */
  connections(): ReadonlyMap<string, number>
  /** The certificate used for a name (undefined: no SNI), for protocols that need it themselves; undefined where TLS is not configured. `ca` as in {@link ListenOptions}. */
  secureContext(serverName: string | undefined, ca?: string): SecureContext | undefined
}

export const Network = serviceKey<Network>('network')

/** Counts what peers do too often. One mechanism for all protocols. */
export interface Limits {
  /**
   * Takes `amount` (default 1) from the bucket `key` of the limit `name`. True when there was enough; false means: refuse with the protocol's own "try again later".
   * A limit that the config does not name always answers true.
   */
  take(name: string, key: string, amount?: number): boolean
}

export const Limits = serviceKey<Limits>('limits')

/** Addresses that are refused for a while. Kept over restarts. */
export interface Bans {
  /** True when the address (or its /64, for IPv6) is banned now. */
  isBanned(address: string): boolean
  /** Bans for `ms` milliseconds; a longer ban in force stays. */
  ban(address: string, ms: number, reason: string): void
  lift(address: string): boolean
  list(): readonly { readonly address: string; readonly until: number; readonly reason: string }[]
}

export const Bans = serviceKey<Bans>('bans')

/** An endpoint that is up. It is taken down by its scope. */
export interface Endpoint {
  readonly bound: readonly Bound[]
}

/** Everything that accepts connections: smtp, submission, imap, c2s, metrics ... */
export const endpoints = defineFamily<Endpoint>('endpoints', 'where clients and other servers connect')
