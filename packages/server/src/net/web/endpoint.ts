// RFC 9112: where browsers and other clients of HTTP connect

import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import type { Scope } from '../../kernel/scope.ts'
import { duration, size } from '../../kernel/units.ts'
import { AddressSet, listenAddress, networkRange } from '../addresses.ts'
import { Bans, type Bound, type Connection, endpoints, Limits, Network, type Session } from '../contracts.ts'
import { proxyProtocol } from '../proxy-protocol.ts'
import { HttpConnection, UpgradedConnection } from './connection.ts'
import { WebError } from './contracts.ts'
import { Exchange, type ExchangeTerms } from './exchange.ts'
import { forwarded, trustedBy } from './forwarded.ts'
import { requestOpening } from './target.ts'
import { type Place, type Routes, WebRoutes } from './routes.ts'

const origin = v.pipe(
  v.string(),
  v.check(
    (text) => text === '*' || isOrigin(text),
    (issue) => `expected an origin such as https://chat.example.org, or '*' for all, but found '${issue.input}'`,
  ),
)

const config = v.strictObject({
  listen: v.optional(
    v.pipe(v.array(listenAddress), v.description('addresses where HTTP is spoken in the clear: for a proxy in front')),
    ['127.0.0.1:5280'],
  ),
  'listen-tls': v.optional(
    v.pipe(
      v.array(listenAddress),
      v.description('addresses where HTTPS is spoken; [::]:443 where no other program has it'),
    ),
    ['[::]:5281'],
  ),
  'proxy-protocol': proxyProtocol,
  'trusted-proxies': v.optional(
    v.pipe(
      v.array(v.union([v.literal('unix'), networkRange], 'expected an address, a network, or unix')),
      v.description(
        'proxies (unix: whoever connects to a unix socket) that are believed what they say of the client: Forwarded, or X-Forwarded-For, -Proto and -Host',
      ),
    ),
    ['127.0.0.0/8', '::1', 'unix'],
  ),
  url: v.optional(
    v.pipe(
      v.string(),
      v.check(
        (text) => /^https?:\/\/[^/?#]+$/.test(text) && URL.canParse(text.replace('{host}', 'host')),
        'expected an address such as https://chat.example.org or https://{host}',
      ),
      v.description(
        'how clients get here, where that is not the first address above: through a proxy, say. {host} stands for the domain or the host that is meant',
      ),
    ),
  ),
  origins: v.optional(
    v.pipe(
      v.array(origin),
      v.description(
        'web pages of other sites that may chat here, by their origin (https://chat.example.org); * for all',
      ),
    ),
    [],
  ),
  'max-header': v.pipe(size('16KiB'), v.minValue(1024), v.description('the biggest header of a request')),
  'header-timeout': v.pipe(duration('20s'), v.description('how long the header of a request may take')),
  'idle-timeout': v.pipe(duration('60s'), v.description('how long a connection may wait for its next request')),
  'stall-timeout': v.pipe(
    duration('30s'),
    v.description('how long a request or a reply may go on with less than 512 octets a second'),
  ),
})
type Config = v.InferOutput<typeof config>

/** How often connections are looked at that may have waited too long. Milliseconds. */
const SWEEP_MS = 1000
const MAX_HEADER_LINES = 100

export const http = defineModule({
  family: endpoints,
  name: 'http',
  summary: 'The web: chat for browsers (WebSocket, BOSH), where clients find them, and the page /chat/.',
  config,

  async create(config, scope) {
    const network = scope.use(Network)
    const routes = scope.use(WebRoutes)
    const server = new HttpServer(config, scope, routes)
    const bound: Bound[] = []
    const serve = (connection: Connection): Session => server.take(connection)
    const proxies = config['proxy-protocol']
    for (const [addresses, tls] of [
      [config['listen-tls'], 'implicit'],
      [config.listen, 'none'],
    ] as const)
      for (const address of addresses) {
        const alpn = tls === 'implicit' ? { alpn: ['http/1.1'] } : {}
        bound.push(
          await network.listen(scope, {
            protocol: 'http',
            address,
            tls,
            ...alpn,
            opening: requestOpening,
            proxies,
            serve,
          }),
        )
      }
    const first = bound[0]
    const url = config.url ?? (first && defaultUrl(first))
    if (url !== undefined) routes.reached(scope, (host) => url.replace('{host}', host))
    return { bound }
  },
})

/** `https://{host}:5281`. */
function defaultUrl({ tls, port }: Bound): string | undefined {
  if (port === 0) return undefined
  const [scheme, usual] = tls === 'implicit' ? (['https', 443] as const) : (['http', 80] as const)
  return `${scheme}://{host}${port === usual ? '' : `:${port}`}`
}

class HttpServer implements ExchangeTerms {
  readonly #config: Config
  readonly #scope: Scope
  readonly #routes: Routes
  readonly #server: Server
  readonly #limits: Limits | undefined
  readonly #bans: Bans | undefined
  readonly #trusts: (address: string) => boolean
  /** By the socket that carries it. */
  readonly #connections = new Map<Duplex, HttpConnection>()

  constructor(config: Config, scope: Scope, routes: Routes) {
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
    const response = new ServerResponse(request)
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

function isOrigin(text: string): boolean {
  return /^https?:\/\/[^/?#]+$/i.test(text) && URL.canParse(text)
}
