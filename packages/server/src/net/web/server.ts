// A server of HTTP/1.1 over connections that are handed to it: who answers which request is told by routes.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Scope } from '../../kernel/scope.ts'
import { AddressSet } from '../addresses.ts'
import { Bans, type Connection, Limits } from '../contracts.ts'
import { HttpConnection, UpgradedConnection } from './connection.ts'
import { WebError } from './contracts.ts'
import { Exchange, type ExchangeTerms } from './exchange.ts'
import { forwarded, trustedBy } from './forwarded.ts'
import { createServer, ServerResponse as Response } from './node-http.ts'
import type { Place, Routes } from './routes.ts'

/** Times in milliseconds, sizes in octets. */
export interface HttpSettings {
  /** Proxies that are believed whom they speak for. */
  readonly 'trusted-proxies': readonly string[]
  /** Pages of other sites that are trusted. */
  readonly origins: readonly string[]
  readonly 'max-header': number
  readonly 'header-timeout': number
  readonly 'idle-timeout': number
  readonly 'stall-timeout': number
}

/** How often connections are looked at that may have waited too long. Milliseconds. */
const SWEEP_MS = 1000
const MAX_HEADER_LINES = 100

export class HttpServer implements ExchangeTerms {
  readonly #config: HttpSettings
  readonly #scope: Scope
  readonly #routes: Routes
  readonly #server: Server
  readonly #limits: Limits | undefined
  readonly #bans: Bans | undefined
  readonly #trusts: (address: string) => boolean
  /** By the socket that carries it. */
  readonly #connections = new Map<Duplex, HttpConnection>()

  constructor(config: HttpSettings, scope: Scope, routes: Routes) {
    this.#config = config
    this.#scope = scope
    this.#routes = routes
    this.#limits = scope.find(Limits)
    this.#bans = scope.find(Bans)
    const proxies = config['trusted-proxies']
    const trusted = new AddressSet(proxies.filter((range) => range !== 'unix'))
    this.#trusts = trustedBy(trusted, proxies.includes('unix'))
    // Its own time-outs only work where it listens itself, and do not know our clock.
    this.#server = createServer({
      maxHeaderSize: config['max-header'],
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: 0,
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
    })
    this.#server.maxHeadersCount = MAX_HEADER_LINES
    this.#server
      .on('request', (request, response) => this.#request(request, response, false))
      .on('checkContinue', (request, response) => this.#request(request, response, true))
      .on('upgrade', (request, socket, head) => void this.#upgrade(request, socket, head))
      .on('clientError', (error: NodeJS.ErrnoException, socket) => this.#malformed(error, socket))
    scope.interval(SWEEP_MS, () => {
      const now = scope.clock.monotonic()
      for (const connection of this.#connections.values()) connection.sweep(now)
    })
  }

  /** Serves a connection. */
  take(connection: Connection): HttpConnection {
    const { clock } = this.#scope
    const config = this.#config
    const patience = { header: config['header-timeout'], idle: config['idle-timeout'], stall: config['stall-timeout'] }
    const session = new HttpConnection(connection, patience, clock.monotonic())
    const { socket } = connection
    socket.setNoDelay(true)
    this.#connections.set(socket, session)
    socket.once('close', () => this.#connections.delete(socket))
    this.#server.emit('connection', socket)
    return session
  }

  // ExchangeTerms

  find(host: string, path: string): Place | undefined {
    return this.#routes.find(host, path)
  }

  refusal(address: string): WebError | undefined {
    // Who has connected was looked at then; whom a proxy speaks for was not.
    if (this.#bans?.isBanned(address) === true) return new WebError(403, 'Your address is banned for a while.')
    if (address !== '' && this.#limits?.take('http-requests', address) === false)
      return new WebError(429, 'There were too many requests: try again later.', { 'retry-after': '10' })
    return undefined
  }

  trustsOrigin(origin: string, authority: string): boolean {
    const { origins } = this.#config
    if (origins.includes('*')) return true
    if (!isOrigin(origin)) return false
    const url = new URL(origin)
    if (origins.some((other) => new URL(other).origin === url.origin)) return true
    // A page of this very host: the port counts.
    return URL.canParse(`${url.protocol}//${authority}`) && new URL(`${url.protocol}//${authority}`).host === url.host
  }

  #request(request: IncomingMessage, response: ServerResponse, expects: boolean): void {
    const connection = this.#connections.get(request.socket)
    if (connection === undefined) return void request.socket.destroy()
    const exchange = this.#exchange(connection, request, response, expects)
    if (!connection.begin(exchange)) return void request.socket.destroy()
    if (connection.over) response.shouldKeepAlive = false
    const { clock } = this.#scope
    const began = clock.monotonic()
    void exchange.run().then(() => {
      this.#done(exchange, request, response.statusCode, clock.monotonic() - began)
      connection.end(exchange, clock.monotonic())
    })
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const connection = this.#connections.get(socket)
    if (connection === undefined) return void socket.destroy()
    const response = new Response(request)
    response.assignSocket(connection.connection.socket)
    response.shouldKeepAlive = false
    const exchange = this.#exchange(connection, request, response, false)
    if (!connection.begin(exchange)) return void socket.destroy()
    const { clock } = this.#scope
    const began = clock.monotonic()
    const upgrade = await exchange.upgrade()
    const status = upgrade === undefined ? response.statusCode : 101
    this.#done(exchange, request, status, clock.monotonic() - began)
    if (upgrade === undefined) {
      connection.end(exchange, clock.monotonic())
      return connection.connection.socket.destroySoon()
    }
    response.detachSocket(connection.connection.socket)
    if (socket.destroyed) return
    const lines = Object.entries({ upgrade: 'websocket', connection: 'Upgrade', ...upgrade.headers })
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.map(([k, value]) => `${k}: ${value}\r\n`).join('')}\r\n`)
    try {
      connection.become(upgrade.serve(new UpgradedConnection(connection.connection, exchange.remoteAddress), head))
    } catch (error) {
      connection.connection.log.error({ err: error }, 'the connection could not be served')
      socket.destroy()
    }
    connection.end(exchange, clock.monotonic())
  }

  #exchange(
    { connection }: HttpConnection,
    request: IncomingMessage,
    response: ServerResponse,
    expects: boolean,
  ): Exchange {
    const told = forwarded(connection.remoteAddress, request.headers, this.#trusts)
    const client = {
      address: told.address ?? connection.remoteAddress,
      secure: told.secure ?? connection.tls !== undefined,
      host: told.host,
    }
    return new Exchange(this, client, request, response, connection.log, expects)
  }

  #done(exchange: Exchange, request: IncomingMessage, status: number, ms: number): void {
    const method = request.method ?? ''
    const { metrics } = this.#scope
    const known = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].includes(method)
    metrics
      .counter('aviso_http_requests_total', 'Requests over HTTP that were answered', ['method', 'status'])
      .inc({ method: known ? method : 'other', status: exchange.gone.aborted ? 'gone' : String(status) })
    if (!exchange.log.isLevelEnabled('debug')) return
    const { host, path, remoteAddress } = exchange
    exchange.log.debug(
      { method, host, path: path.slice(0, 200), status, ms: Math.round(ms), remote: remoteAddress },
      'request',
    )
  }

  /** What cannot be read as HTTP. */
  #malformed(error: NodeJS.ErrnoException, socket: Duplex): void {
    const connection = this.#connections.get(socket)
    if (!socket.writable || error.code === 'ECONNRESET' || connection === undefined || connection.busy)
      return void socket.destroy()
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
    connection.connection.log.debug({ code: error.code }, 'the request is malformed')
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    connection.connection.socket.destroySoon()
  }
}

/** True for `https://chat.example.org` and its like (RFC 6454). */
export function isOrigin(text: string): boolean {
  return /^https?:\/\/[^/?#]+$/i.test(text) && URL.canParse(text)
}
