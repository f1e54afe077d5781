// XEP-0114: the server's side of a component's stream

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Element } from '../element.ts'
import { prepareDomain } from '../jid.ts'
import { NS } from '../namespaces.ts'
import { StreamError } from '../stream-error.ts'
import { DEFAULT_PARSER_LIMITS } from '../stream-reader.ts'
import { Connection } from './connection.ts'
import { type CloseReason, type ConnectionLimits, systemTimers, type Timers } from './contracts.ts'
import { streamHeader } from './header.ts'

export interface ComponentStreamOptions {
  readonly socket: Duplex
  /** A new unguessable stream id: the handshake is made with it. */
  readonly streamId: () => string
  readonly limits?: Partial<ConnectionLimits>
  readonly timers?: Timers
  /** Time from the connection to the handshake. Milliseconds. */
  readonly negotiationTimeout?: number
  /** How long the component may take to close its side. Milliseconds. */
  readonly closeTimeout?: number
}

/** What the stream asks of those who use it. Whatever throws ends this stream, with the StreamError thrown or `internal-server-error`. */
export interface ComponentStreamHandlers {
  /** The secret shared with the component of this domain (prepared); undefined where there is none. */
  secretOf(domain: string): string | undefined
  /** The handshake was right; the component is told so when this returns, and not before. */
  authenticated(stream: ComponentStream): void
  /** The component was told: stanzas may be sent. */
  ready?(stream: ComponentStream): void
  /** A stanza in the namespace `jabber:client`, one by one and in order. */
  stanza(stanza: Element, stream: ComponentStream): void | Promise<void>
  /** The stream is over; called exactly once. Must not throw. */
  closed(reason: CloseReason, stream: ComponentStream): void
}

/** Octets of a handshake element: forty digits and their tags. */
const HANDSHAKE_OCTETS = 1024

const DEFAULT_LIMITS: ConnectionLimits = {
  ...DEFAULT_PARSER_LIMITS,
  outgoingBytes: 4 * 1024 * 1024,
  waitingBytes: 16_384,
}

/** A stream to which a component has connected, from its header on: it proves the shared secret (§3), then stanzas go both ways. */
export class ComponentStream {
  readonly #handlers: ComponentStreamHandlers
  readonly #options: ComponentStreamOptions
  readonly #limits: ConnectionLimits
  readonly #connection: Connection
  readonly #deadline: { cancel(): void }
  #state: 'opening' | 'negotiating' | 'authenticated' | 'closed' = 'opening'
  #domain = ''
  #id = ''

  constructor(options: ComponentStreamOptions, handlers: ComponentStreamHandlers) {
    this.#options = options
    this.#handlers = handlers
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    const timers = options.timers ?? systemTimers
    this.#connection = new Connection(
      options.socket,
      {
        header: (header, contentNamespace) => this.#header(header, contentNamespace),
        element: (element) => this.#element(element),
        closed: (reason) => this.#closed(reason),
        openingForError: () => (this.#id === '' ? this.#opening('') : ''),
      },
      {
        limits: { ...this.#limits, stanzaBytes: HANDSHAKE_OCTETS },
        timers,
        closeTimeout: options.closeTimeout ?? 5_000,
      },
    )
    this.#deadline = timers.timeout(options.negotiationTimeout ?? 60_000, () =>
      this.close(new StreamError('connection-timeout', 'the handshake took too long')),
    )
  }

  /** The component's domain; '' before its header. */
  get domain(): string {
    return this.#domain
  }

  /** Sends a stanza. False if the stream is over. */
  send(stanza: Element): boolean {
    return this.#connection.send(stanza.inNamespace(NS.componentAccept).toString(NS.componentAccept))
  }

  /** Closes the stream, with an error if there is one. */
  close(error?: StreamError): void {
    if (error === undefined) this.#connection.close()
    else this.#connection.fail(error)
  }

  /** XEP-0114 §3: without a version. */
  #opening(domain: string): string {
    this.#id = this.#options.streamId()
    return streamHeader({ namespace: NS.componentAccept, from: domain || undefined, id: this.#id, version: false })
  }

  #header(header: Element, contentNamespace: string): void {
    if (header.xmlns !== NS.streams || contentNamespace !== NS.componentAccept)
      throw new StreamError('invalid-namespace', 'components are spoken with here (jabber:component:accept)')
    if (header.name !== 'stream' || this.#state !== 'opening') throw new StreamError('bad-format')
    const domain = prepared(header.get('to') ?? '')
    if (domain === undefined || this.#handlers.secretOf(domain) === undefined)
      throw new StreamError('host-unknown', 'there is no component of that name')
    this.#domain = domain
    this.#state = 'negotiating'
    this.#connection.send(this.#opening(domain))
  }

  #element(element: Element): void | Promise<void> {
    const { name, xmlns } = element
    if (xmlns === NS.streams && name === 'error') return this.#connection.peerFailed(StreamError.from(element))
    if (xmlns !== NS.componentAccept) throw new StreamError('unsupported-stanza-type')
    if (name === 'handshake' && this.#state === 'negotiating') return this.#handshake(element.text().trim())
    if (name !== 'message' && name !== 'presence' && name !== 'iq') throw new StreamError('unsupported-stanza-type')
    if (this.#state !== 'authenticated') throw new StreamError('not-authorized', 'the handshake comes first')
    return this.#handlers.stanza(element.inNamespace('jabber:client'), this)
  }

  #handshake(given: string): void {
    const secret = this.#handlers.secretOf(this.#domain)
    const digest = secret === undefined ? '' : componentHandshake(this.#id, secret)
    const [a, b] = [Buffer.from(given.toLowerCase()), Buffer.from(digest)]
    if (digest === '' || a.length !== b.length || !timingSafeEqual(a, b))
      throw new StreamError('not-authorized', 'the secret is another one')
    this.#handlers.authenticated(this)
    this.#state = 'authenticated'
    this.#deadline.cancel()
    this.#connection.parserLimits = this.#limits
    this.#connection.send('<handshake/>')
    this.#handlers.ready?.(this)
  }

  #closed(reason: CloseReason): void {
    this.#deadline.cancel()
    this.#state = 'closed'
    this.#handlers.closed(reason, this)
  }
}

/** XEP-0114 §3: what proves that both sides know the secret. Hex digits in lower case. */
export const componentHandshake = (streamId: string, secret: string): string =>
  createHash('sha1')
    .update(streamId + secret)
    .digest('hex')

function prepared(domain: string): string | undefined {
  try {
    return prepareDomain(domain)
  } catch {
    return undefined
  }
}
