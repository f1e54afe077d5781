// RFC 6120: a client of one stream. Sockets, name resolution and credentials are handed in.

import type { ClientMechanism } from '@aviso/sasl'
import type { Duplex } from 'node:stream'
import { authenticate, authenticate2, type Sasl2Options } from './client-login.ts'
import { el, type Element } from './element.ts'
import { Jid } from './jid.ts'
import { NS } from './namespaces.ts'
import { StanzaError } from './stanza-error.ts'
import { StreamError } from './stream-error.ts'
import { Connection } from './stream/connection.ts'
import { type CloseReason, type ConnectionLimits, systemTimers, type Timers } from './stream/contracts.ts'
import { streamHeader } from './stream/header.ts'
import type { Defer } from './stream/outbox.ts'
import { DEFAULT_PARSER_LIMITS } from './stream-reader.ts'

export interface ClientOptions {
  /** The host to log in to. */
  readonly domain: string
  /** The resource to ask for; the server makes one if absent. */
  readonly resource?: string
  /** Opens the connection. */
  connect(): Promise<Duplex>
  /** The connection is encrypted from its first byte. */
  readonly secure?: boolean
  /** Makes the encrypted socket upon the plain one; without it STARTTLS is not used. */
  startTls?(socket: Duplex): Promise<Duplex>
  /** Chooses among the mechanisms offered; undefined for none of them. */
  sasl(mechanisms: readonly string[], socket: Duplex): ClientMechanism | undefined
  /** Logs in by SASL2 where the server has it; as ever otherwise. `resource` is for servers that have it not. */
  readonly sasl2?: Sasl2Options
  /** Takes the stanzas that come in, instead of iteration over the client. */
  readonly onStanza?: (stanza: Element) => void
  readonly limits?: Partial<ConnectionLimits>
  readonly timers?: Timers
  readonly defer?: Defer
  /** For the whole log-in and for each IQ request. Milliseconds. */
  readonly timeout?: number
}

interface Request {
  readonly to: string | undefined
  resolve(result: Element): void
  reject(error: Error): void
  timer: { cancel(): void }
}

/** What may wait for somebody who iterates. */
const MAX_QUEUE = 10_000

/** A client's stream (RFC 6120), logged in and bound: each request gets its result, and who iterates gets what else comes. */
export class Client implements AsyncIterable<Element> {
  readonly #options: ClientOptions
  readonly #connection: Connection
  readonly #timers: Timers
  readonly #requests = new Map<string, Request>()
  readonly #queue: Element[] = []
  #taker: { resolve(stanza: Element | undefined): void; reject(error: Error): void } | undefined
  /** While negotiating, elements go here. */
  #expecting: { resolve(element: Element): void; reject(error: Error): void } | undefined
  readonly #early: Element[] = []
  #negotiating = true
  #jid: Jid | undefined
  #bound: Element | undefined
  #reason: CloseReason | undefined
  #counter = 0
  readonly #ended: ((reason: CloseReason) => void)[] = []

  private constructor(socket: Duplex, options: ClientOptions) {
    this.#options = options
    this.#timers = options.timers ?? systemTimers
    this.#connection = new Connection(
      socket,
      {
        header: () => {},
        element: (element) => this.#element(element),
        closed: (reason) => this.#closed(reason),
        openingForError: () => '',
      },
      {
        limits: { ...DEFAULT_PARSER_LIMITS, outgoingBytes: 16 * 1024 * 1024, waitingBytes: 65_536, ...options.limits },
        timers: this.#timers,
        closeTimeout: 5_000,
        defer: options.defer,
      },
    )
  }

  /**
   * Connects, encrypts where asked to, logs in and binds.
   * @throws AuthenticationError, StreamError, StanzaError (bind refused), or what the socket said
   */
  static async connect(options: ClientOptions): Promise<Client> {
    const client = new Client(await options.connect(), options)
    const timer = client.#timers.timeout(options.timeout ?? 30_000, () =>
      client.#connection.fail(new StreamError('connection-timeout')),
    )
    try {
      await client.#negotiate()
      return client
    } catch (error) {
      client.#connection.destroy()
      throw error
    } finally {
      timer.cancel()
    }
  }

  /** The bound address. */
  get jid(): Jid {
    if (this.#jid === undefined) throw new Error('not bound yet')
    return this.#jid
  }

  /** What the server said of what was to be switched on with the resource (XEP-0386); undefined where it bound none with the log-in. */
  get bound(): Element | undefined {
    return this.#bound
  }

  /** The socket in use; another one after STARTTLS. */
  get socket(): Duplex {
    return this.#connection.socket
  }

  /** Octets sent but not taken by the server. */
  get bufferedBytes(): number {
    return this.#connection.bufferedBytes
  }

  /** Why the stream is over; undefined while it is not. */
  get closeReason(): CloseReason | undefined {
    return this.#reason
  }

  /** Sends a stanza or XML text. False if the stream is over. */
  send(stanza: Element | string): boolean {
    return this.#connection.send(typeof stanza === 'string' ? stanza : stanza.toString(NS.client))
  }

  /** Resolves when the socket takes more. */
  drained(): Promise<void> {
    return this.#connection.drained()
  }

  /**
   * Sends an IQ request and waits for its result. The id is made here if there is none.
   * @throws StanzaError the error that came back, or 'remote-server-timeout'; Error when the stream ended
   */
  request(iq: Element, timeout: number = this.#options.timeout ?? 30_000): Promise<Element> {
    const id = iq.get('id') ?? `r${++this.#counter}`
    return new Promise((resolve, reject) => {
      const timer = this.#timers.timeout(timeout, () => {
        this.#requests.delete(id)
        reject(StanzaError.of('remote-server-timeout', 'no answer'))
      })
      this.#requests.set(id, { to: iq.get('to'), resolve, reject, timer })
      if (!this.send(iq.with({ id }))) this.#failRequests()
    })
  }

  /** The next stanza that is no answer to a request; undefined when the stream was closed. Rejects when it broke. */
  next(): Promise<Element | undefined> {
    const stanza = this.#queue.shift()
    if (stanza !== undefined) return Promise.resolve(stanza)
    if (this.#reason !== undefined)
      return this.#reason.error === undefined ? Promise.resolve(undefined) : Promise.reject(this.#reason.error)
    if (this.#taker !== undefined) return Promise.reject(new Error('somebody waits for the next stanza already'))
    return new Promise((resolve, reject) => {
      this.#taker = { resolve, reject }
    })
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Element> {
    for (;;) {
      const stanza = await this.next()
      if (stanza === undefined) return
      yield stanza
    }
  }

  /** Closes the stream; resolves when the connection is gone. */
  close(): Promise<void> {
    const socket = this.#connection.socket
    const gone = socket.closed
      ? Promise.resolve()
      : new Promise<void>((resolve) => socket.once('close', () => resolve()))
    this.#connection.close()
    return gone
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.#connection.destroy()
  }

  /** Resolves when the stream is over, however that came. */
  ended(): Promise<CloseReason> {
    if (this.#reason !== undefined) return Promise.resolve(this.#reason)
    return new Promise((resolve) => this.#ended.push(resolve))
  }

  // Negotiation

  async #negotiate(): Promise<void> {
    let secure = this.#options.secure === true
    let features = await this.#open()
    const startTls = this.#options.startTls?.bind(this.#options)
    if (!secure && startTls !== undefined) {
      if (features.child('starttls', NS.tls) === undefined)
        throw new StreamError('unsupported-feature', 'the server offers no STARTTLS')
      this.#connection.send(el('starttls', { xmlns: NS.tls }).toString())
      if ((await this.#answer()).name !== 'proceed')
        throw new StreamError('unsupported-feature', 'the server refused STARTTLS')
      await this.#connection.upgrade(startTls)
      secure = true
      features = await this.#open()
    }
    features = await this.#authenticate(features)
    if (this.#jid === undefined && features.child('bind', NS.bind) !== undefined) await this.#bind()
    this.#negotiating = false
    for (const element of this.#early.splice(0)) this.#element(element)
  }

  async #open(): Promise<Element> {
    this.#connection.send(streamHeader({ namespace: NS.client, to: this.#options.domain, lang: 'en' }))
    return this.#features()
  }

  async #features(): Promise<Element> {
    const features = await this.#answer()
    if (!features.is('features', NS.streams)) throw new StreamError('bad-format', 'stream features expected')
    return features
  }

  /** Logs in, in the newest way that both have; answers the features that there are then. */
  async #authenticate(features: Element): Promise<Element> {
    const { sasl2 } = this.#options
    const negotiation = {
      socket: this.#connection.socket,
      send: (element: Element) => void this.#connection.send(element.toString()),
      answer: () => this.#answer(),
      sasl: this.#options.sasl.bind(this.#options),
    }
    const login = sasl2 && (await authenticate2(negotiation, features, sasl2))
    if (login === undefined) {
      await authenticate(negotiation, features)
      this.#connection.restart()
      return this.#open()
    }
    this.#jid = login.jid
    this.#bound = login.bound
    // The stream goes on as it is (XEP-0388 §2.6).
    return this.#features()
  }

  async #bind(): Promise<void> {
    const { resource } = this.#options
    this.send(
      el(
        'iq',
        { type: 'set', id: 'bind' },
        el('bind', { xmlns: NS.bind }, resource !== undefined && el('resource', {}, resource)),
      ),
    )
    const answer = await this.#answer()
    if (answer.get('type') === 'error') throw StanzaError.from(answer)
    const jid = answer.child('bind', NS.bind)?.childText('jid')
    if (jid === undefined) throw new StreamError('bad-format', 'no address was bound')
    this.#jid = Jid.parse(jid)
  }

  /** The next element while negotiating. */
  #answer(): Promise<Element> {
    const early = this.#early.shift()
    if (early !== undefined) return Promise.resolve(early)
    if (this.#reason !== undefined) return Promise.reject(this.#failure())
    return new Promise((resolve, reject) => {
      this.#expecting = { resolve, reject }
    })
  }

  // Stanzas

  #element(element: Element): void {
    if (element.is('error', NS.streams)) return this.#connection.peerFailed(StreamError.from(element))
    if (this.#negotiating) {
      const expecting = this.#expecting
      this.#expecting = undefined
      if (expecting === undefined) this.#early.push(element)
      else expecting.resolve(element)
      return
    }
    if (element.name === 'iq' && this.#settle(element)) return
    if (this.#options.onStanza !== undefined) return this.#options.onStanza(element)
    const taker = this.#taker
    this.#taker = undefined
    if (taker !== undefined) taker.resolve(element)
    else if (this.#queue.push(element) > MAX_QUEUE)
      throw new StreamError('resource-constraint', 'nobody takes the stanzas')
  }

  #settle(iq: Element): boolean {
    const type = iq.get('type')
    if (type !== 'result' && type !== 'error') return false
    const id = iq.get('id') ?? ''
    const request = this.#requests.get(id)
    if (request === undefined || !this.#mayAnswer(iq.get('from'), request.to)) return false
    this.#requests.delete(id)
    request.timer.cancel()
    if (type === 'result') request.resolve(iq)
    else request.reject(StanzaError.from(iq))
    return true
  }

  /** Only the one asked may answer; for one's own server there are several ways to sign (RFC 6120 §8.1.2.1). */
  #mayAnswer(from: string | undefined, to: string | undefined): boolean {
    if (from === to) return true
    const own = [undefined, this.#jid?.bareString, this.#jid?.toString(), this.#jid?.domain]
    return (to === undefined || to === this.#jid?.bareString) && own.includes(from)
  }

  #failure(): Error {
    return this.#reason?.error ?? new Error(`the stream is over (${this.#reason?.by ?? 'closed'})`)
  }

  #failRequests(): void {
    for (const [id, request] of this.#requests) {
      this.#requests.delete(id)
      request.timer.cancel()
      request.reject(this.#failure())
    }
  }

  #closed(reason: CloseReason): void {
    this.#reason = reason
    this.#expecting?.reject(this.#failure())
    this.#expecting = undefined
    this.#failRequests()
    if (reason.error === undefined) this.#taker?.resolve(undefined)
    else this.#taker?.reject(reason.error)
    this.#taker = undefined
    for (const tell of this.#ended.splice(0)) tell(reason)
  }
}
