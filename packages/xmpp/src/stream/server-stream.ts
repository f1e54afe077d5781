// RFC 6120 §4-§7: the server's side of a stream, from the first header to the last stanza. What is said in stanzas is others' business.

import { type Identity, SaslFailure } from '@aviso/sasl'
import type { Duplex } from 'node:stream'
import { el, type Element } from '../element.ts'
import { Jid } from '../jid.ts'
import { NS } from '../namespaces.ts'
import { StanzaError, errorReply } from '../stanza-error.ts'
import { StreamError } from '../stream-error.ts'
import { boundReply, isBindRequest, wantedResource } from './binding.ts'
import { Connection } from './connection.ts'
import { type CloseReason, systemTimers } from './contracts.ts'
import { demandKnown, isRequest } from './elements.ts'
import { streamFeatures } from './features.ts'
import { checkHeader, isVersionSupported, streamHeader } from './header.ts'
import { openMessage } from './messages.ts'
import { SaslNegotiation } from './sasl.ts'
import { sasl2Failure, type Sasl2Handlers, Sasl2Negotiation } from './sasl2.ts'
import {
  DEFAULT_STREAM_LIMITS,
  type ServerStreamHandlers,
  type ServerStreamLimits,
  type ServerStreamOptions,
  type StreamState,
} from './server-contracts.ts'
import { Underway } from './underway.ts'

/** A stream that a client or another server has opened to us, from its first header on. Who may log in, and what becomes of stanzas, the handlers say. */
export class ServerStream {
  readonly namespace: string
  readonly #options: ServerStreamOptions
  readonly #handlers: ServerStreamHandlers
  readonly #limits: ServerStreamLimits
  readonly #connection: Connection
  #state: StreamState = 'opening'
  #secure: boolean
  #host = ''
  #id = ''
  #peer: string | undefined
  #lang: string | undefined
  #headerSent = false
  #sasl: SaslNegotiation | undefined
  #sasl2: Sasl2Negotiation | undefined
  /** What waits until `<success/>` of SASL2 was sent. */
  #held: (Element | string)[] | undefined
  #identity: Identity | undefined
  #jid: Jid | undefined
  #deadline: { cancel(): void } | undefined

  constructor(options: ServerStreamOptions, handlers: ServerStreamHandlers) {
    this.#options = options
    this.#handlers = handlers
    this.namespace = options.namespace ?? NS.client
    this.#secure = options.secure
    this.#limits = { ...DEFAULT_STREAM_LIMITS, ...options.limits }
    const timers = options.timers ?? systemTimers
    this.#connection = new Connection(
      options.socket,
      {
        header: (header, contentNamespace) => this.#header(header, contentNamespace),
        element: (element) => this.#element(element),
        mayFollow: (element) => this.#mayFollow(element),
        whitespace: () => this.#handlers.whitespace?.(this),
        closed: (reason) => this.#closed(reason),
        openingForError: () => (this.#headerSent ? '' : this.#openingHeader()),
      },
      {
        limits: { ...this.#limits, stanzaBytes: this.#limits.unauthenticatedStanzaBytes },
        timers,
        closeTimeout: options.closeTimeout ?? 5_000,
        defer: options.defer,
        messages: options.messages,
      },
    )
    this.#deadline = timers.timeout(options.negotiationTimeout ?? 60_000, () =>
      this.close(new StreamError('connection-timeout', 'you took too long to log in')),
    )
  }

  /** How far it has come. */
  get state(): StreamState {
    return this.#state
  }

  /** True once the connection is encrypted. */
  get secure(): boolean {
    return this.#secure
  }

  /** The socket in use; another one after STARTTLS. */
  get socket(): Duplex {
    return this.#connection.socket
  }

  /** The host that the peer addressed, prepared; '' before the header. */
  get host(): string {
    return this.#host
  }

  /** The id of the current stream header. */
  get id(): string {
    return this.#id
  }

  /** The `from` of the peer's header, as it claims. */
  get peer(): string | undefined {
    return this.#peer
  }

  /** The `xml:lang` of the peer's header: the language of its stanzas, and to answer in. */
  get lang(): string | undefined {
    return this.#lang
  }

  /** Who has logged in; undefined before. */
  get identity(): Identity | undefined {
    return this.#identity
  }

  /** The bound address; undefined before. */
  get jid(): Jid | undefined {
    return this.#jid
  }

  /** Octets sent but not taken by the peer. */
  get bufferedBytes(): number {
    return this.#connection.bufferedBytes
  }

  /** Sends an element, or XML text made for this stream's namespace. Written with everything else of this turn of the event loop. False if the stream is over. */
  send(stanza: Element | string): boolean {
    if (this.#held !== undefined) {
      this.#held.push(stanza)
      return !this.#connection.over
    }
    return this.#connection.send(typeof stanza === 'string' ? stanza : stanza.toString(this.namespace))
  }

  /** Takes back what was sent first since SASL2 began to complete a login: the answer to something inline. */
  takeHeld(): Element | undefined {
    const first = this.#held?.shift()
    return typeof first === 'string' ? undefined : first
  }

  /** Sends white space, which tells a dead connection from a quiet one. Not among messages: what carries them has its own ways. */
  keepalive(): boolean {
    return this.#options.messages === true ? !this.#connection.over : this.#connection.send(' ')
  }

  /** Resolves when the socket takes more: for long results, sent page by page. */
  drained(): Promise<void> {
    return this.#connection.drained()
  }

  /** Closes the stream, with an error if there is one. */
  close(error?: StreamError): void {
    if (error === undefined) this.#connection.close()
    else this.#connection.fail(error)
  }

  /** Drops the connection at once. */
  destroy(): void {
    this.#connection.destroy()
  }

  /**
   * Makes the peer an authenticated one by other means than SASL elements (dialback, SASL2).
   * Where a resource comes with it (SASL2 with Bind 2, stream resumption), give the full address.
   */
  authenticate(identity: Identity, jid?: Jid): void {
    this.#identity = identity
    this.#sasl = undefined
    this.#sasl2 = undefined
    this.#connection.parserLimits = this.#limits
    this.#state = 'authenticated'
    if (jid !== undefined) this.#bound(jid)
    else if (this.namespace === NS.server) this.#settled()
  }

  /** Sends the features of the current state once more (SASL2 does so without a restart). */
  sendFeatures(): void {
    this.#connection.send(streamFeatures(this, { ...this.#options, limits: this.#limits }, this.#handlers))
  }

  // Stream headers

  #header(header: Element, contentNamespace: string): void {
    this.#lang = header.get('xml:lang')
    this.#peer = header.get('from')
    checkHeader(header, contentNamespace, this.namespace)
    const host = this.#addressedHost(header.get('to'))
    // Errors are answered in the name of the addressed host, where that is ours (RFC 6120 §4.9.3.6).
    if (host === undefined) throw new StreamError('host-unknown', 'this host is not served here')
    // A restarted stream is the same one (RFC 6120 §4.3.3).
    if (this.#state === 'authenticated' && host !== this.#host)
      throw new StreamError('host-unknown', 'another host than before')
    this.#host = host
    if (!isVersionSupported(header)) throw new StreamError('unsupported-version', 'XMPP 1.0 is needed')
    if (this.#state === 'opening') this.#state = 'negotiating'
    this.#connection.send(this.#openingHeader())
    this.sendFeatures()
  }

  #addressedHost(to: string | undefined): string | undefined {
    const jid = to === undefined ? Jid.tryParse(this.#options.defaultHost) : Jid.tryParse(to)
    if (jid === undefined || jid.local !== '' || jid.isFull) return undefined
    return this.#handlers.isServed(jid.domain, this) ? jid.domain : undefined
  }

  #openingHeader(): string {
    this.#headerSent = true
    this.#id = this.#options.streamId()
    const peer = this.#peer === undefined ? undefined : Jid.tryParse(this.#peer)?.toString()
    return (this.#options.messages === true ? openMessage : streamHeader)({
      namespace: this.namespace,
      id: this.#id,
      from: this.#host === '' ? this.#options.defaultHost : this.#host,
      to: peer,
      lang: this.#options.lang ?? 'en',
      dialback: this.namespace === NS.server,
    })
  }

  // Elements

  #element(element: Element): void | Promise<void> | Underway {
    const { name, xmlns } = element
    if (this.#handlers.sasl2 !== undefined && this.#state === 'negotiating') {
      if (xmlns === NS.sasl2) return this.#authenticate2(element, this.#handlers.sasl2)
      if (this.#sasl2?.busy === true) throw new StreamError('policy-violation', 'a login is under way')
    }
    if (xmlns === this.namespace && (name === 'message' || name === 'presence' || name === 'iq'))
      return this.#stanza(element)
    if (xmlns === NS.streams && name === 'error') return this.#connection.peerFailed(StreamError.from(element))
    if (xmlns === NS.tls && this.#state === 'negotiating') return this.#startTls(element)
    if (xmlns === NS.sasl && this.#state === 'negotiating') return this.#authenticate(element)
    return this.#nonza(element)
  }

  #mayFollow(element: Element): boolean {
    const isMessage = element.name === 'message' && element.xmlns === this.namespace
    return isMessage && this.#state === 'bound' && this.#handlers.mayFollow?.(element, this) === true
  }

  #stanza(stanza: Element): void | Promise<void> | Underway {
    const ready = this.#state === 'bound' || (this.#state === 'authenticated' && this.namespace === NS.server)
    if (!ready) {
      if (this.#state === 'authenticated' && isBindRequest(stanza)) return this.#bind(stanza)
      if (this.#state === 'negotiating' && this.#handlers.early !== undefined && isRequest(stanza))
        return this.#early(stanza)
      // RFC 6120 §4.9.3.12
      throw new StreamError(
        'not-authorized',
        this.#state === 'authenticated' ? 'bind a resource first' : 'log in first',
      )
    }
    const refuse = (error: unknown): void => this.#refuse(stanza, error)
    try {
      const pending = this.#handlers.stanza(stanza, this)
      return pending instanceof Underway ? pending : pending?.catch(refuse)
    } catch (error) {
      return refuse(error)
    }
  }

  async #early(request: Element): Promise<void> {
    this.#demandEncryption()
    let answer: Element | undefined
    try {
      answer = await this.#handlers.early?.(request, this)
    } catch (error) {
      return this.#refuse(request, error)
    }
    if (answer === undefined) throw new StreamError('not-authorized', 'log in first')
    this.send(answer)
  }

  #refuse(stanza: Element, error: unknown): void {
    if (!(error instanceof StanzaError)) throw error
    const reply = errorReply(stanza, error)
    if (reply !== undefined) this.send(reply)
  }

  #nonza(element: Element): void | Promise<void> {
    this.#demandEncryption()
    return demandKnown(this.#handlers.nonza?.(element, this) ?? false)
  }

  #demandEncryption(): void {
    if (this.#options.starttls?.required === true && !this.#secure) {
      throw new StreamError('policy-violation', 'encryption is required')
    }
  }

  // STARTTLS (RFC 6120 §5)

  async #startTls(element: Element): Promise<void> {
    const starttls = this.#options.starttls
    if (element.name !== 'starttls') throw new StreamError('unsupported-stanza-type')
    if (starttls === undefined || this.#secure) {
      this.#connection.send(el('failure', { xmlns: NS.tls }).toString())
      return this.#connection.close()
    }
    // What follows in the clear would otherwise be taken for encrypted: command injection (CVE-2011-0411).
    // The bytes of this chunk are only known to wait once the parser has paused, hence not before the next turn of the microtask queue.
    await Promise.resolve()
    if (!this.#connection.waitingIsBlank) throw new StreamError('policy-violation', 'bytes behind <starttls/>')
    this.#connection.send(el('proceed', { xmlns: NS.tls }).toString())
    await this.#connection.upgrade((socket) => starttls.start(socket))
    if (this.#connection.over) return
    this.#secure = true
    this.#state = 'opening'
    this.#headerSent = false
  }

  // SASL (RFC 6120 §6)

  async #authenticate(element: Element): Promise<void> {
    this.#demandEncryption()
    const sasl = this.#negotiation()
    const { reply, identity } = await sasl.take(element)
    if (this.#connection.over) return
    if (identity !== undefined) {
      await this.#handlers.authenticated?.(identity, this)
      if (this.#connection.over) return
    }
    this.#connection.send(reply.toString())
    if (identity !== undefined) {
      this.authenticate(identity)
      this.#headerSent = false
      this.#connection.restart()
    } else sasl.demandAttempts()
  }

  #negotiation(): SaslNegotiation {
    this.#sasl ??= new SaslNegotiation(this.#limits.saslAttempts, (mechanism) => this.#handlers.begin(mechanism, this))
    return this.#sasl
  }

  // SASL2 (XEP-0388)

  async #authenticate2(element: Element, handlers: Sasl2Handlers): Promise<void> {
    this.#demandEncryption()
    this.#sasl2 ??= new Sasl2Negotiation(handlers)
    const answer = await this.#sasl2.take(element)
    if (this.#connection.over) return
    if (answer.kind === 'reply') return void this.#connection.send(answer.element.toString())
    if (answer.kind === 'failure') return this.#failed2(answer.element)
    const { identity, request, data } = answer
    this.#held = []
    try {
      const { jid, resumed = false, elements } = await handlers.complete(identity, request)
      if (this.#connection.over) return
      const authorized = el('authorization-identifier', {}, jid?.toString() ?? identity.authcid)
      this.#connection.send(el('success', { xmlns: NS.sasl2 }, data, authorized, ...elements).toString())
      this.authenticate(identity, jid)
      // No restart: the features of what the stream is now follow at once.
      if (!resumed) this.sendFeatures()
    } catch (error) {
      if (!(error instanceof SaslFailure)) throw error
      this.#held = undefined
      if (!this.#connection.over) this.#failed2(sasl2Failure(error.condition, error.message))
    } finally {
      const held = this.#held
      this.#held = undefined
      if (!this.#connection.over) for (const stanza of held ?? []) this.send(stanza)
    }
  }

  /** The attempts of both kinds are counted together. */
  #failed2(failure: Element): void {
    const sasl = this.#negotiation()
    sasl.failed()
    this.#connection.send(failure.toString())
    sasl.demandAttempts()
  }

  // Resource binding (RFC 6120 §7)

  async #bind(request: Element): Promise<void> {
    let jid: Jid
    try {
      if (this.#handlers.bind === undefined) throw StanzaError.of('not-allowed')
      jid = await this.#handlers.bind(wantedResource(request), this)
    } catch (error) {
      return this.#refuse(request, error)
    }
    if (this.#connection.over) return
    this.#bound(jid)
    this.send(boundReply(request, jid))
  }

  #bound(jid: Jid): void {
    this.#jid = jid
    this.#state = 'bound'
    this.#settled()
  }

  #settled(): void {
    this.#deadline?.cancel()
    this.#deadline = undefined
  }

  #closed(reason: CloseReason): void {
    this.#settled()
    this.#state = 'closed'
    this.#handlers.closed(reason, this)
  }
}
