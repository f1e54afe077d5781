// One connection that was accepted, from its first octet to its last.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import { plainAddress } from './addresses.ts'
import type { Connection, Session, TlsFacts } from './contracts.ts'
import type { Origin } from './proxy-protocol.ts'
import { HandshakeError, SocketTlsFacts, handshake, type HandshakeTerms } from './tls.ts'

/** What all connections of one listener have in common. */
export interface ConnectionTerms {
  readonly log: Log
  readonly clock: Clock
  /** Whether TLS is ever offered here. */
  readonly offersTls: boolean
  /** What a handshake needs now; undefined where there is no certificate. */
  handshakeTerms(): HandshakeTerms | undefined
  readonly handshakeTimeout: number
  /** Counts a handshake that failed. */
  tlsFailed(reason: string): void
}

const ignore = (): void => {}

/** Implements `Connection` over a socket, and ends it when told to. */
export class AcceptedConnection implements Connection {
  readonly id: string
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly #terms: ConnectionTerms
  /** Its 'close' is the end of the connection, with or without TLS over it. */
  readonly #raw: Socket
  #socket: Socket | TLSSocket
  #tls: TlsFacts | undefined
  #log: Log | undefined
  #securing = false
  #session: Session | undefined

  /** `origin`: the client behind a proxy; undefined where the socket is the client's own. */
  constructor(id: string, socket: Socket, terms: ConnectionTerms, origin?: Origin) {
    this.id = id
    this.#raw = socket
    this.#socket = socket
    this.#terms = terms
    // A unix peer has no address.
    this.remoteAddress = origin?.remoteAddress ?? plainAddress(socket.remoteAddress ?? '')
    this.remotePort = origin?.remotePort ?? socket.remotePort ?? 0
    this.localAddress = origin?.localAddress ?? plainAddress(socket.localAddress ?? '')
    this.localPort = origin?.localPort ?? socket.localPort ?? 0
    // 'close' follows every error, and sessions look there; an error that nobody listens for would end the process.
    socket.on('error', ignore)
  }

  get socket(): Socket | TLSSocket {
    return this.#socket
  }

  get tls(): TlsFacts | undefined {
    return this.#tls
  }

  get log(): Log {
    this.#log ??= this.#terms.log.child({ session: this.id })
    return this.#log
  }

  /** See `Connection`. What the session has set on the clear socket (readers, time-out) is taken off it; octets that came in behind the request for TLS and were not read are taken as TLS, so that none can be slipped in as commands. */
  async startTls(): Promise<TLSSocket> {
    const raw = this.#raw
    const terms = this.#terms.offersTls ? this.#terms.handshakeTerms() : undefined
    if (terms === undefined) throw new Error('TLS is not offered here')
    if (this.#securing) throw new Error('TLS was begun already')
    this.#securing = true
    if (raw.destroyed) throw new HandshakeError('closed')
    for (const event of ['data', 'readable', 'timeout']) raw.removeAllListeners(event)
    raw.setTimeout(0)
    try {
      const secured = await handshake(raw, terms, this.#terms.handshakeTimeout, this.#terms.clock)
      this.#socket = secured
      this.#tls = new SocketTlsFacts(secured, terms.endPoint)
      return secured
    } catch (error) {
      const reason = error instanceof HandshakeError ? error.reason : 'error'
      this.#terms.tlsFailed(reason)
      this.log.info({ remote: this.remoteAddress, reason }, 'TLS handshake failed')
      raw.destroy()
      throw error
    }
  }

  /** Lets `serve` make its session of this connection; a throw is logged and closes the connection. */
  serve(serve: (connection: Connection) => Session): void {
    if (this.#raw.destroyed) return
    try {
      this.#session = serve(this)
    } catch (error) {
      this.log.error({ err: error }, 'the connection could not be served')
      this.destroy()
    }
  }

  /** Tells the session that a newer config has taken over. */
  retire(): void {
    this.#session?.retire?.()
  }

  /** Ends the session politely; at once where there is none yet. Resolves when the session says that it has ended; never rejects. */
  async shutdown(): Promise<void> {
    if (this.#session === undefined) return this.destroy()
    try {
      await this.#session.shutdown()
    } catch (error) {
      this.log.error({ err: error }, 'the session could not be shut down')
      this.destroy()
    }
    if (!this.#socket.destroyed) this.#socket.destroySoon()
  }

  /** Closes the socket at once. */
  destroy(): void {
    this.#socket.destroy()
    this.#raw.destroy()
  }
}
