// RFC 6120 §4-§6: the side of the server that opens a stream to another one. Whom to trust is others' business.

import type { Duplex } from 'node:stream'
import { el, type Element } from '../element.ts'
import { NS } from '../namespaces.ts'
import { StreamError } from '../stream-error.ts'
import { DEFAULT_PARSER_LIMITS } from '../stream-reader.ts'
import { Connection } from './connection.ts'
import { type CloseReason, type ConnectionLimits, systemTimers, type Timers } from './contracts.ts'
import { demandKnown } from './elements.ts'
import { isVersionSupported, streamHeader } from './header.ts'
import type { Defer } from './outbox.ts'
import { saslText } from './sasl.ts'

export interface PeerStreamLimits extends ConnectionLimits {
  /** Bytes of a top-level element before we are authenticated. */
  readonly unauthenticatedStanzaBytes: number
}

/** Safe for a stream to any server. */
export const DEFAULT_PEER_LIMITS: PeerStreamLimits = {
  ...DEFAULT_PARSER_LIMITS,
  unauthenticatedStanzaBytes: 16_384,
  outgoingBytes: 4 * 1024 * 1024,
  waitingBytes: 16_384,
}

export interface PeerStreamOptions {
  readonly socket: Duplex
  /** The socket is encrypted already (direct TLS). */
  readonly secure: boolean
  /** Our domain. */
  readonly from: string
  /** The domain whose server this is to be. */
  readonly to: string
  /** Makes the encrypted socket upon the plain one; without it STARTTLS is not used. */
  startTls?(socket: Duplex): Promise<Duplex>
  /** In the clear nothing is said but the way to encryption. */
  readonly requireTls: boolean
  readonly limits?: Partial<PeerStreamLimits>
  readonly timers?: Timers
  readonly defer?: Defer
  /** Time from the connection to `authenticate`. Milliseconds. */
  readonly negotiationTimeout?: number
  /** How long the peer may take to close its side. Milliseconds. */
  readonly closeTimeout?: number
}

/** What the stream asks of those who use it. Whatever throws ends this stream, with the StreamError thrown or `internal-server-error`. */
export interface PeerStreamHandlers {
  /** The stream is as encrypted as it will be, and this is what the peer offers: prove who we are (`external`, or by dialback), or close. */
  negotiate(features: Element, stream: PeerStream): void | Promise<void>
  /** The peer believes our certificate; the stream was begun anew. */
  authenticated(stream: PeerStream): void
  /** The peer does not believe our certificate: the failure condition of RFC 6120 §6.5. */
  refused(condition: string, stream: PeerStream): void
  /** Any other top-level element (dialback ...). False if it is not known: that ends the stream. */
  nonza(element: Element, stream: PeerStream): boolean | Promise<boolean>
  /** A stanza that comes the other way (XEP-0288); without this none may come. */
  stanza?(stanza: Element, stream: PeerStream): void | Promise<void>
  /** The stream is over; called exactly once. Must not throw. */
  closed(reason: CloseReason, stream: PeerStream): void
}

/** `opening` → `negotiating` → `authenticated`; `closed` from everywhere. */
export type PeerState = 'opening' | 'negotiating' | 'authenticated' | 'closed'

/** A stream to another server, from the first header on: TLS, then whatever `negotiate` proves. */
export class PeerStream {
  readonly #options: PeerStreamOptions
  readonly #handlers: PeerStreamHandlers
  readonly #limits: PeerStreamLimits
  readonly #connection: Connection
  #state: PeerState = 'opening'
  #secure: boolean
  #id = ''
  #maxBytes: number | undefined
  /** What comes next; anything else of those is out of turn. */
  #awaiting: 'header' | 'features' | 'proceed' | 'sasl' | undefined = 'header'
  #deadline: { cancel(): void } | undefined

  constructor(options: PeerStreamOptions, handlers: PeerStreamHandlers) {
    this.#options = options
    this.#handlers = handlers
    this.#secure = options.secure
    this.#limits = { ...DEFAULT_PEER_LIMITS, ...options.limits }
    const timers = options.timers ?? systemTimers
    this.#connection = new Connection(
      options.socket,
      {
        header: (header, contentNamespace) => this.#header(header, contentNamespace),
        element: (element) => this.#element(element),
        closed: (reason) => this.#closed(reason),
        // Ours went out first of all.
        openingForError: () => '',
      },
      {
        limits: { ...this.#limits, stanzaBytes: this.#limits.unauthenticatedStanzaBytes },
        timers,
        closeTimeout: options.closeTimeout ?? 5_000,
        defer: options.defer,
      },
    )
    this.#deadline = timers.timeout(options.negotiationTimeout ?? 60_000, () =>
      this.close(new StreamError('connection-timeout', 'the negotiation took too long')),
    )
    this.#open()
  }

  /** How far it has come. */
  get state(): PeerState {
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

  /** The id that the peer gave to the stream last; '' before its header, or where it gave none. */
  get id(): string {
    return this.#id
  }

  /** How large an element the peer takes, in octets (XEP-0478); undefined where it has not said so. */
  get maxBytes(): number | undefined {
    return this.#maxBytes
  }

  /** Octets sent but not taken by the peer. */
  get bufferedBytes(): number {
    return this.#connection.bufferedBytes
  }

  /** Sends an element, or XML text made for the namespace jabber:server. False if the stream is over. */
  send(stanza: Element | string): boolean {
    return this.#connection.send(typeof stanza === 'string' ? stanza : stanza.toString(NS.server))
  }

  /** Resolves when the socket takes more. */
  drained(): Promise<void> {
    return this.#connection.drained()
  }

  /** Offers our certificate as the proof of who we are (RFC 6120 §6, XEP-0178): `authenticated` or `refused` follows. Meant for `negotiate`. */
  external(): void {
    this.#awaiting = 'sasl'
    const initial = saslText(Buffer.from(this.#options.from))
    this.#connection.send(el('auth', { xmlns: NS.sasl, mechanism: 'EXTERNAL' }, initial).toString())
  }

  /** The peer has believed us by other means (dialback). */
  authenticate(): void {
    if (this.#state === 'closed') return
    this.#state = 'authenticated'
    this.#connection.parserLimits = this.#limits
    this.#settled()
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

  #open(): void {
    this.#awaiting = 'header'
    const { from, to } = this.#options
    this.#connection.send(streamHeader({ namespace: NS.server, from, to, lang: 'en', dialback: true }))
  }

  #header(header: Element, contentNamespace: string): void {
    if (header.xmlns !== NS.streams || contentNamespace !== NS.server)
      throw new StreamError('invalid-namespace', 'jabber:server is spoken here')
    if (header.name !== 'stream' || this.#awaiting !== 'header') throw new StreamError('bad-format')
    if (!isVersionSupported(header)) throw new StreamError('unsupported-version', 'XMPP 1.0 is needed')
    this.#id = header.get('id') ?? ''
    this.#awaiting = 'features'
    if (this.#state === 'opening') this.#state = 'negotiating'
  }

  #element(element: Element): void | Promise<void> {
    const { name, xmlns } = element
    if (xmlns === NS.server && (name === 'message' || name === 'presence' || name === 'iq'))
      return this.#stanza(element)
    if (xmlns === NS.streams && name === 'error') return this.#connection.peerFailed(StreamError.from(element))
    if (xmlns === NS.streams && name === 'features') return this.#features(element)
    if (xmlns === NS.tls) return this.#tls(element)
    if (xmlns === NS.sasl) return this.#sasl(element)
    return demandKnown(this.#handlers.nonza(element, this))
  }

  #stanza(stanza: Element): void | Promise<void> {
    if (this.#state !== 'authenticated' || this.#handlers.stanza === undefined)
      throw new StreamError('not-authorized', 'stanzas come over a stream of your own')
    return this.#handlers.stanza(stanza, this)
  }

  #features(features: Element): void | Promise<void> {
    // Some servers send them again when something has changed: nothing that matters here.
    if (this.#awaiting !== 'features') return undefined
    this.#awaiting = undefined
    const limit = features.child('limits', NS.streamLimits)?.childText('max-bytes')
    this.#maxBytes = limit !== undefined && /^[1-9][0-9]{0,9}$/.test(limit) ? Number(limit) : undefined
    if (this.#state === 'authenticated') {
      this.#settled()
      return this.#handlers.authenticated(this)
    }
    if (!this.#secure && this.#options.startTls !== undefined && features.child('starttls', NS.tls) !== undefined) {
      this.#awaiting = 'proceed'
      this.#connection.send(el('starttls', { xmlns: NS.tls }).toString())
      return undefined
    }
    if (!this.#secure && this.#options.requireTls) throw new StreamError('policy-violation', 'encryption is required')
    return this.#handlers.negotiate(features, this)
  }

  async #tls(element: Element): Promise<void> {
    const { startTls } = this.#options
    if (this.#awaiting !== 'proceed' || startTls === undefined) throw new StreamError('unsupported-stanza-type')
    if (element.name !== 'proceed') throw new StreamError('policy-violation', 'STARTTLS was refused')
    // What came in the clear behind it is thrown away with the plain socket.
    await this.#connection.upgrade((socket) => startTls.call(this.#options, socket))
    if (this.#connection.over) return
    this.#secure = true
    this.#state = 'opening'
    this.#open()
  }

  #sasl(element: Element): void {
    if (this.#awaiting !== 'sasl') throw new StreamError('unsupported-stanza-type')
    switch (element.name) {
      case 'success':
        this.#state = 'authenticated'
        this.#connection.parserLimits = this.#limits
        this.#connection.restart()
        return this.#open()
      case 'challenge':
        // We have said all that there is to say.
        this.#connection.send(el('abort', { xmlns: NS.sasl }).toString())
        return undefined
      default:
        this.#awaiting = undefined
        return this.#handlers.refused(element.firstElement?.name ?? 'not-authorized', this)
    }
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
