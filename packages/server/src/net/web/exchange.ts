// One request, from its header to the last octet of its reply.

import { Readable, Transform, type TransformCallback } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../../kernel/log.ts'
import {
  type CrossOrigin,
  WebError,
  type WebMethod,
  type WebReply,
  type WebRequest,
  type WebRoute,
  type WebUpgrade,
} from './contracts.ts'
import { errorReply } from './reply.ts'
import { allowed, type Place, restOf } from './routes.ts'
import { readTarget, type Target } from './target.ts'

/** Who asks, as far as the connection and the proxies in front tell. */
export interface Client {
  readonly address: string
  readonly secure: boolean
  /** The host as the client wrote it, where a proxy tells. */
  readonly host: string | undefined
}

/** What an exchange needs of the endpoint that serves it. */
export interface ExchangeTerms {
  find(host: string, path: string): Place | undefined
  /** Why this client is not heard now; undefined: it is. */
  refusal(address: string): WebError | undefined
  /** True where a page of that origin is one of ours, or named in the config. */
  trustsOrigin(origin: string, authority: string): boolean
}

/** Seconds that a browser may remember what a preflight told. */
const PREFLIGHT_SECONDS = 7200

const METHODS: ReadonlySet<string> = new Set<WebMethod>(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])

export class Exchange implements WebRequest {
  readonly log: Log
  readonly head: boolean
  readonly method: WebMethod
  readonly #terms: ExchangeTerms
  readonly #client: Client
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #gone = new AbortController()
  readonly #hurry = new AbortController()
  #target: Target = { host: '', authority: '', path: '/', query: new URLSearchParams() }
  #rest = ''
  #maxBody = 0
  /** The client waits for our word before it sends the body. */
  #expects: boolean
  #wantsBody = false
  #crossOrigin: CrossOrigin | undefined

  constructor(
    terms: ExchangeTerms,
    client: Client,
    request: IncomingMessage,
    response: ServerResponse,
    log: Log,
    expects: boolean,
  ) {
    this.#terms = terms
    this.#client = client
    this.#request = request
    this.#response = response
    this.log = log
    this.#expects = expects
    this.head = request.method === 'HEAD'
    this.method = this.head ? 'GET' : ((request.method ?? 'GET') as WebMethod)
    response.once('close', () => {
      if (!response.writableFinished) this.#gone.abort()
    })
  }

  get host(): string {
    return this.#target.host
  }
  get authority(): string {
    return this.#target.authority
  }
  get path(): string {
    return this.#target.path
  }
  get rest(): string {
    return this.#rest
  }
  get query(): URLSearchParams {
    return this.#target.query
  }
  get headers(): IncomingHttpHeaders {
    return this.#request.headers
  }
  get secure(): boolean {
    return this.#client.secure
  }
  get remoteAddress(): string {
    return this.#client.address
  }
  get origin(): string | undefined {
    return this.#request.headers.origin
  }
  get trustedOrigin(): boolean {
    return this.origin === undefined || this.#terms.trustsOrigin(this.origin, this.authority)
  }
  get gone(): AbortSignal {
    return this.#gone.signal
  }
  get hurry(): AbortSignal {
    return this.#hurry.signal
  }

  get length(): number | undefined {
    const { 'content-length': length, 'transfer-encoding': encoding } = this.#request.headers
    return encoding !== undefined ? undefined : length === undefined ? 0 : Number(length)
  }

  /** The reply is wanted soon. */
  hurryUp(): void {
    this.#hurry.abort()
  }

  /** The client ought to be sending its body now. */
  get awaitsBody(): boolean {
    const request = this.#request
    return this.#wantsBody && !request.complete && request.readableLength < request.readableHighWaterMark
  }

  body(): Readable {
    this.#wantsBody = true
    if (this.#expects) this.#response.writeContinue()
    this.#expects = false
    // An announced length was looked at, and more than it does not come.
    if (this.length !== undefined) return this.#request
    const ceiling = new Ceiling(this.#maxBody)
    this.#request.once('error', (error) => ceiling.destroy(error))
    return this.#request.pipe(ceiling)
  }

  async octets(limit: number): Promise<Buffer> {
    if ((this.length ?? 0) > limit) throw tooLarge()
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of this.body().iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > limit) throw tooLarge()
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }

  /** Finds who answers, and sends what they say. Resolves when the reply was sent, or the client is gone; never rejects. */
  async run(): Promise<void> {
    try {
      const reply = await this.#answer()
      await this.#send(reply)
    } catch (error) {
      await this.#failed(error)
    }
  }

  /** As `run`, for a request to change the protocol: resolves with what to change to, or undefined where it was refused, and the reply was sent. */
  async upgrade(): Promise<WebUpgrade | undefined> {
    try {
      const place = this.#find()
      const route = place.upgrade
      if (route === undefined) throw new WebError(404, 'There is no WebSocket here.')
      this.#crossOrigin = route.crossOrigin
      const answer = await route.upgrade(this)
      if ('serve' in answer) return answer
      await this.#send(answer)
    } catch (error) {
      await this.#failed(error)
    }
    return undefined
  }

  #find(): Place {
    const target = readTarget(this.#request.url ?? '/', this.#client.host ?? this.#request.headers.host ?? '')
    this.#target = target
    const refusal = this.#terms.refusal(this.remoteAddress)
    if (refusal !== undefined) throw refusal
    const place = this.#terms.find(target.host, target.path)
    if (place === undefined) throw new WebError(404, 'There is nothing at this address.')
    this.#rest = restOf(place, target.path)
    return place
  }

  #answer(): WebReply | Promise<WebReply> {
    const place = this.#find()
    if (this.#request.method === 'OPTIONS') return this.#options(place)
    const route = METHODS.has(this.method) ? place.methods.get(this.method) : undefined
    if (route === undefined) {
      if (place.upgrade !== undefined && this.method === 'GET')
        throw new WebError(426, 'This is the address of a WebSocket: it is no page.', {
          upgrade: 'websocket',
          connection: 'upgrade',
        })
      throw new WebError(405, 'This address does not take such requests.', { allow: allowed(place).join(', ') })
    }
    this.#crossOrigin = route.crossOrigin
    this.#maxBody = route.maxBody ?? 0
    if ((this.length ?? 0) > this.#maxBody) throw tooLarge()
    return route.handle(this)
  }

  /** RFC 9110 §9.3.7, and the preflight of CORS. */
  #options(place: Place): WebReply {
    const methods = allowed(place)
    const asked = this.#request.headers['access-control-request-method']
    const route: WebRoute | undefined =
      asked === undefined || !METHODS.has(asked) ? undefined : place.methods.get(asked as WebMethod)
    this.#crossOrigin = route?.crossOrigin
    const headers: Record<string, string> = { allow: methods.join(', ') }
    if (route !== undefined && this.#mayRead()) {
      headers['access-control-allow-methods'] = methods.join(', ')
      const wanted = this.#request.headers['access-control-request-headers']
      if (wanted !== undefined && /^[\w\-, ]{1,1000}$/.test(wanted)) headers['access-control-allow-headers'] = wanted
      headers['access-control-max-age'] = String(PREFLIGHT_SECONDS)
    }
    return { status: 204, headers }
  }

  #mayRead(): boolean {
    return this.#crossOrigin === 'any' || (this.#crossOrigin === 'trusted' && this.trustedOrigin)
  }

  async #send(reply: WebReply): Promise<void> {
    const { status = 200, headers = {}, body } = reply
    const response = this.#response
    if (response.destroyed || response.headersSent) {
      if (body instanceof Readable) body.destroy()
      return
    }
    response.statusCode = status
    response.setHeader('x-content-type-options', 'nosniff')
    response.setHeader('referrer-policy', 'no-referrer')
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    this.#share()
    // What was not read of the request stands in the way of the next one.
    if (this.length !== 0 && !this.#request.complete) response.setHeader('connection', 'close')
    if (body instanceof Readable) {
      if (this.head) body.destroy()
      else return pipeline(body, response)
    }
    if (!(body instanceof Readable) && status !== 204 && status !== 304)
      response.setHeader('content-length', body === undefined ? 0 : Buffer.byteLength(body))
    const sent = new Promise<void>((resolve) => response.once('finish', resolve).once('close', resolve))
    if (body === undefined || this.head || body instanceof Readable) response.end()
    else response.end(body)
    await sent
  }

  /** CORS: pages elsewhere may read it. */
  #share(): void {
    if (this.#crossOrigin === undefined) return
    const response = this.#response
    if (this.#crossOrigin === 'any') response.setHeader('access-control-allow-origin', '*')
    else {
      response.appendHeader('vary', 'Origin')
      if (this.origin !== undefined && this.trustedOrigin)
        response.setHeader('access-control-allow-origin', this.origin)
    }
  }

  async #failed(error: unknown): Promise<void> {
    const response = this.#response
    if (this.gone.aborted || response.destroyed) return
    if (!(error instanceof WebError)) this.log.error({ err: error, path: this.path }, 'a request could not be answered')
    // Half a reply was sent: nothing but the break tells the client so.
    if (response.headersSent) return void response.destroy()
    const refusal =
      error instanceof WebError ? error : new WebError(500, 'Something went wrong here. It was written down.')
    try {
      await this.#send(errorReply(refusal, this.#request.headers.accept))
    } catch {
      response.destroy()
    }
  }
}

const tooLarge = (): WebError => new WebError(413, 'This is more than is taken here.')

/** Lets so many octets through, and no more. */
class Ceiling extends Transform {
  #left: number

  constructor(limit: number) {
    super()
    this.#left = limit
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#left -= chunk.length
    if (this.#left < 0) done(tooLarge())
    else done(null, chunk)
  }
}
