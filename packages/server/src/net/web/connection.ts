// One connection of HTTP/1.1: its requests one after the other, how long it may idle, and what else it may become.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Log } from '../../kernel/log.ts'
import type { Connection, Session, TlsFacts } from '../contracts.ts'
import type { Exchange } from './exchange.ts'

/** How patient a connection is. Milliseconds. */
export interface Patience {
  /** For a header, from its first octet on, or from the connection. */
  readonly header: number
  /** Between two requests. */
  readonly idle: number
  /** For a body or a reply that moves too slowly. */
  readonly stall: number
}

/** Octets in a second, below which a body or a reply does not move. */
const SLOW = 512
/** Requests that are sent before the reply to the first has come. */
const PIPELINED = 16

/** Octets that have moved since a moment. */
interface Window {
  readonly since: number
  readonly octets: number
}

export class HttpConnection implements Session {
  readonly connection: Connection
  readonly #patience: Patience
  readonly #exchanges = new Set<Exchange>()
  #upgraded: Session | undefined
  #over = false
  #idleSince: number
  /** Octets read when it became idle. */
  #idleRead = 0
  #headerSince: number | undefined
  #served = false
  #incoming: Window | undefined
  #outgoing: Window | undefined

  constructor(connection: Connection, patience: Patience, now: number) {
    this.connection = connection
    this.#patience = patience
    this.#idleSince = now
  }

  /** It takes no further request. */
  get over(): boolean {
    return this.#over
  }

  get busy(): boolean {
    return this.#exchanges.size > 0
  }

  /** A request begins; false: there are too many. */
  begin(exchange: Exchange): boolean {
    if (this.#exchanges.size >= PIPELINED) return false
    this.#exchanges.add(exchange)
    return true
  }

  /** A request was answered. */
  end(exchange: Exchange, now: number): void {
    this.#exchanges.delete(exchange)
    if (this.#exchanges.size > 0) return
    this.#served = true
    this.#idleSince = now
    this.#headerSince = undefined
    this.#idleRead = this.connection.socket.bytesRead
    if (this.#over && this.#upgraded === undefined) this.connection.socket.destroySoon()
  }

  /** From here on it is a session of another protocol. */
  become(session: Session): void {
    this.#upgraded = session
    if (this.#over) session.retire?.()
  }

  /** Closes the connection where it has waited too long. */
  sweep(now: number): void {
    const { socket } = this.connection
    if (this.#upgraded !== undefined) return
    if (this.#exchanges.size === 0) return this.#sweepIdle(now)
    const [exchange] = this.#exchanges
    this.#incoming = moved(this.#incoming, exchange?.awaitsBody === true, socket.bytesRead, now)
    const sent = socket.bytesWritten - socket.writableLength
    this.#outgoing = moved(this.#outgoing, socket.writableLength > 0, sent, now)
    const since = Math.min(this.#incoming?.since ?? now, this.#outgoing?.since ?? now)
    if (now - since < this.#patience.stall) return
    this.connection.log.debug({ seconds: Math.round((now - since) / 1000) }, 'the client is too slow')
    socket.destroy()
  }

  #sweepIdle(now: number): void {
    const { socket } = this.connection
    const { header, idle } = this.#patience
    if (socket.bytesRead !== this.#idleRead) this.#headerSince ??= now
    const began = this.#headerSince ?? (this.#served ? undefined : this.#idleSince)
    if (began !== undefined ? now - began < header : now - this.#idleSince < idle) return
    if (this.#headerSince !== undefined) socket.write('HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n')
    socket.destroySoon()
  }

  /** See net's `Session`. */
  retire(): void {
    this.#over = true
    for (const exchange of this.#exchanges) exchange.hurryUp()
    if (this.#upgraded !== undefined) this.#upgraded.retire?.()
    else if (!this.busy) this.connection.socket.destroySoon()
  }

  /** See net's `Session`. */
  shutdown(): Promise<void> {
    if (this.#upgraded !== undefined) return this.#upgraded.shutdown()
    const { socket } = this.connection
    const closed = new Promise<void>((resolve) => {
      if (socket.destroyed) resolve()
      else socket.once('close', () => resolve())
    })
    this.retire()
    return closed
  }
}

/** The window of what moves: none where nothing has to, a new one as often as enough has moved. */
function moved(window: Window | undefined, due: boolean, octets: number, now: number): Window | undefined {
  if (!due) return undefined
  if (window === undefined || octets - window.octets > ((now - window.since) / 1000) * SLOW)
    return { since: now, octets }
  return window
}

/** The connection as another protocol takes it over: it comes from the client, not from the proxy in front. */
export class UpgradedConnection implements Connection {
  readonly #connection: Connection
  readonly remoteAddress: string

  constructor(connection: Connection, remoteAddress: string) {
    this.#connection = connection
    this.remoteAddress = remoteAddress
  }

  get id(): string {
    return this.#connection.id
  }
  get socket(): Socket | TLSSocket {
    return this.#connection.socket
  }
  get remotePort(): number {
    return this.#connection.remotePort
  }
  get localAddress(): string {
    return this.#connection.localAddress
  }
  get localPort(): number {
    return this.#connection.localPort
  }
  get tls(): TlsFacts | undefined {
    return this.#connection.tls
  }
  get log(): Log {
    return this.#connection.log
  }
  startTls(): Promise<TLSSocket> {
    return Promise.reject(new Error('TLS is not begun within HTTP'))
  }
}
