// XEP-0198: one client's stream that survives its connections: what was sent and not acknowledged yet

import { type Element, NS, StreamError, el } from '@aviso/xmpp'
import type { Clock, Timer } from '../../kernel/clock.ts'
import type { Session, Wire } from '../core/session.ts'
import { importance } from './importance.ts'

export interface ManagedLimits {
  /** What is kept of stanzas that are not acknowledged; characters. */
  readonly stanzas: number
  readonly characters: number
  /** How long a client may take to acknowledge. Milliseconds. */
  readonly ackTimeout: number
  /** How many stanzas a client whose user is not looking may leave unacknowledged before it is asked. */
  readonly unasked: number
}

/** What a stream goes on from. */
export interface StreamState {
  readonly sent: number
  readonly acknowledged: number
  readonly queue: readonly Unacknowledged[]
}

/** A stanza that was sent, or is to be. */
export interface Unacknowledged {
  text: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

const SM = NS.streamManagement
const REQUEST = `<r xmlns='${SM}'/>`
const NOTHING: ReadonlySet<string> = new Set()

/** What is written while no connection is there, cut loose from the octets that it came in. */
const loose = (text: string): string => Buffer.from(text).toString()

export class ManagedStream implements Wire {
  /** Empty where the client does not want to resume. */
  readonly id: string
  readonly session: Session
  readonly #limits: ManagedLimits
  readonly #clock: Clock
  /** Told how the queue of a client that is away grows and shrinks, in characters. */
  readonly #grown: (by: number) => void
  #wire: Wire | undefined
  /** The youngest of what is not acknowledged: all of it, unless there was too much. */
  #queue: Unacknowledged[] = []
  #characters = 0
  /** Stanzas sent and acknowledged, modulo 2^32 (§4). */
  #sent = 0
  #acknowledged = 0
  #asking = false
  #askedAt = 0
  /** What was sent before the last question. */
  #asked = 0
  #timer: Timer | undefined
  #silent = false
  /** When the client went away. Milliseconds on the monotonic clock. */
  #since = 0
  /** While the client is away: the places of stanzas that a later one makes needless. */
  #keyed: Map<string, Unacknowledged> | undefined

  constructor(
    id: string,
    session: Session,
    { limits, clock, grown }: { readonly limits: ManagedLimits; readonly clock: Clock; grown(by: number): void },
    /** Of a client that is away. */
    state?: StreamState,
  ) {
    this.id = id
    this.session = session
    this.#limits = limits
    this.#clock = clock
    this.#grown = grown
    if (state === undefined) this.#wire = session.wire
    else {
      this.#sent = state.sent
      this.#acknowledged = state.acknowledged
      this.#queue = [...state.queue]
      for (const { text } of state.queue) this.#characters += text.length
      this.detach()
    }
  }

  get state(): StreamState {
    return { sent: this.#sent, acknowledged: this.#acknowledged, queue: this.#queue }
  }

  /** The client is connected. */
  get attached(): boolean {
    return this.#wire !== undefined
  }

  /** Since when the client is away. Milliseconds on the monotonic clock. */
  get since(): number {
    return this.#since
  }

  /** What is not acknowledged, oldest first. */
  get queue(): readonly Unacknowledged[] {
    return this.#queue
  }

  get characters(): number {
    return this.#characters
  }

  /** More waits for the client than is kept. */
  get overfull(): boolean {
    return this.#queue.length > this.#limits.stanzas || this.#characters > this.#limits.characters
  }

  // Wire

  send(stanza: Element | string): boolean {
    const text = typeof stanza === 'string' ? stanza : stanza.toString(NS.client)
    const wire = this.#wire
    if (wire === undefined) this.#keepForLater(text)
    else {
      this.#push({ text, at: this.#clock.now() })
      // The oldest are let go: resumption is then refused, unless the client has them after all.
      while (this.overfull) this.#drop()
      // A connection that breaks at this moment is told of by `detach`; the stanza is in the queue.
      wire.send(text)
      this.#ask()
    }
    return true
  }

  drained(): Promise<void> {
    return this.#wire?.drained() ?? Promise.resolve()
  }

  close(error?: StreamError): void {
    this.#wire?.close(error)
  }

  // Acknowledgements

  /** Says something that is no stanza. */
  tell(element: Element): void {
    this.#wire?.send(element)
  }

  /** What the client has (§4). @throws StreamError where it is more than it was sent */
  acknowledge(h: number): void {
    const unacknowledged = (this.#sent - this.#acknowledged) >>> 0
    const fresh = (h - this.#acknowledged) >>> 0
    if (fresh > unacknowledged)
      throw new StreamError('undefined-condition', `you acknowledged ${h} stanzas, but were sent ${this.#sent}`, {
        app: el('handled-count-too-high', { xmlns: SM, h, 'send-count': this.#sent }),
      })
    this.#acknowledged = h
    while (this.#queue.length > unacknowledged - fresh) this.#drop()
  }

  /** The client has answered a question. */
  answered(): void {
    this.#asking = false
    // What was sent before the question, the client has answered for: to ask again would be to ask for ever one that counts in its own way.
    if (this.#sent !== this.#asked) this.#ask()
  }

  /** True where all that is not acknowledged is here. */
  get complete(): boolean {
    return this.#queue.length === (this.#sent - this.#acknowledged) >>> 0
  }

  #ask(): void {
    if (this.#asking || this.#wire === undefined) return
    // Each question wakes a phone.
    if (this.session.gate !== undefined && this.#queue.length < this.#limits.unasked) return
    this.#asking = true
    this.#asked = this.#sent
    this.#askedAt = this.#clock.monotonic()
    // Behind what else is sent in this turn.
    queueMicrotask(() => this.#wire?.send(REQUEST))
    this.#timer ??= this.#clock.timeout(this.#limits.ackTimeout, this.#look)
  }

  /** Runs now and then while questions are open, rather than once for each. */
  readonly #look = (): void => {
    this.#timer = undefined
    if (!this.#asking || this.#wire === undefined) return
    const left = this.#askedAt + this.#limits.ackTimeout - this.#clock.monotonic()
    if (left > 0) this.#timer = this.#clock.timeout(left, this.#look)
    else {
      this.#silent = true
      this.#wire.close(new StreamError('connection-timeout', 'you do not acknowledge what is sent to you'))
    }
  }

  // Connections

  /** True where the connection is in use, or was given up for its silence. */
  uses(wire: Wire): boolean {
    return this.#wire === wire
  }

  get fellSilent(): boolean {
    return this.#silent
  }

  /** The connection is gone; what is sent from now on waits. */
  detach(): void {
    this.#wire = undefined
    this.#since = this.#clock.monotonic()
    this.#asking = false
    this.#timer?.cancel()
    this.#timer = undefined
    for (const entry of this.#queue) entry.text = loose(entry.text)
    this.#keyed = new Map()
  }

  /** Lets go of a connection that is still there, and answers it. */
  cut(): Wire | undefined {
    const wire = this.#wire
    this.detach()
    return wire
  }

  /** Goes on over another connection. `greeting` goes before what the client has missed. */
  attach(wire: Wire, greeting: Element): void {
    this.#keyed = undefined
    this.#silent = false
    this.#asking = false
    this.#wire = wire
    wire.send(greeting)
    for (const { text } of this.#queue) wire.send(text)
    if (this.#queue.length > 0) this.#ask()
  }

  /** Ends it: answers what was not acknowledged. */
  end(): readonly Unacknowledged[] {
    const queue = this.#queue
    this.detach()
    this.#keyed = undefined
    this.#queue = []
    this.#characters = 0
    return queue
  }

  #keepForLater(text: string): void {
    const entry = { text: loose(text), at: this.#clock.now() }
    // Of a contact's presence only the last one is of interest to somebody who comes back.
    const key = text.startsWith('<presence ') ? importance(text, NOTHING).key : undefined
    const before = key === undefined ? undefined : this.#keyed?.get(key)
    if (before !== undefined) {
      this.#queue.splice(this.#queue.indexOf(before), 1)
      this.#sent = (this.#sent - 1) >>> 0
      this.#count(-before.text.length)
    }
    if (key !== undefined) this.#keyed?.set(key, entry)
    this.#push(entry)
  }

  #push(entry: Unacknowledged): void {
    this.#queue.push(entry)
    this.#sent = (this.#sent + 1) >>> 0
    this.#count(entry.text.length)
  }

  #drop(): void {
    this.#count(-(this.#queue.shift()?.text.length ?? 0))
  }

  #count(by: number): void {
    this.#characters += by
    if (this.#wire === undefined) this.#grown(by)
  }
}
