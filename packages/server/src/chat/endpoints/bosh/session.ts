// XEP-0124: one session: its requests in order, those that wait, and answers that may be asked for again

import { NO_CONTEXT, NS, readElement } from '@aviso/xmpp'
import type { Clock, Timer } from '../../../kernel/clock.ts'
import {
  BoshError,
  type BoshRequest,
  CLOSE,
  factsOf,
  openOf,
  REPEATED,
  type TerminalCondition,
  writeBody,
  writeEnd,
} from './body.ts'
import { KeySequence } from './keys.ts'
import { MessagePipe } from './pipe.ts'

/** Milliseconds. */
export interface SessionTerms {
  readonly clock: Clock
  /** How long a client may have no request here. */
  readonly inactivity: number
  /** The shortest time between two empty requests. */
  readonly polling: number
  readonly maxWait: number
  readonly maxPause: number
}

/** An answer; the status is 200 but for clients of old. */
export interface BoshAnswer {
  readonly status: number
  readonly xml: string
}

/** What is known of the connection that a request came over. */
export interface Exchange {
  /** The client has gone away. */
  readonly gone: AbortSignal
  /** The answer is wanted soon. */
  readonly hurry: AbortSignal
}

/** Requests that are kept waiting (as Prosody does). */
const HOLD = 1
/** Requests that a client may make at the same time, and the window of their ids. */
const REQUESTS = HOLD + 1
/** How often in a row requests may come again. */
const REPEATS = 20

const READER = { depth: 2, attributes: 20, prefixes: 4 }

/** §17.1: for clients that know errors by the status of HTTP. */
const STATUS: Partial<Record<TerminalCondition, number>> = {
  'bad-request': 400,
  'policy-violation': 403,
  'item-not-found': 404,
}

/** A request that has come and was not answered. */
interface Waiting {
  readonly request: BoshRequest
  /** When it came. */
  readonly at: number
  /** Undefined: nobody waits there any more, the client has to ask again. */
  answer: ((answer: BoshAnswer) => void) | undefined
}

/** An answer that was given. */
interface Answered {
  readonly rid: number
  readonly key: string | undefined
  readonly answer: BoshAnswer
}

/** The answer to a session that is none. */
export const refusal = (condition: TerminalCondition, legacy = false): BoshAnswer => ({
  status: (legacy ? STATUS[condition] : undefined) ?? 200,
  xml: writeEnd(condition),
})

export class BoshSession {
  readonly sid: string
  /** What the stream of this session runs over. */
  readonly pipe: MessagePipe
  readonly #terms: SessionTerms
  readonly #legacy: boolean
  readonly #ver: BoshRequest['ver']
  /** Milliseconds. */
  readonly #wait: number
  readonly #hold: number
  readonly #keys: KeySequence
  /** The id of the last request that was taken. */
  #rid: number
  /** Those that came before their turn. */
  readonly #early = new Map<number, Waiting>()
  /** Those that were taken and wait for their answer, in order. */
  readonly #held: Waiting[] = []
  readonly #answered: Answered[] = []
  /** The stream was asked for. */
  #opened = false
  /** The session's facts were not told yet. */
  #fresh = true
  #from: string | undefined
  #streamId: string | undefined
  #lastNew: { readonly at: number; readonly empty: boolean }
  #lastAnswerEmpty = false
  #repeats = 0
  /** Until the next request: after a pause another one. */
  #inactivity: number
  #timer: Timer | undefined
  /** The stream has said all. */
  #ended = false
  #failed = false
  #over = false
  #flushing = false
  readonly #onOver: () => void

  /** `request` asks for the session; give it to `receive` when the stream is there. @throws BoshError */
  constructor(sid: string, request: BoshRequest, terms: SessionTerms, onOver: () => void) {
    this.sid = sid
    this.#terms = terms
    this.#onOver = onOver
    this.#legacy = request.ver === undefined
    this.#ver = request.ver
    this.#wait = Math.min((request.wait ?? Infinity) * 1000, terms.maxWait)
    this.#hold = this.#wait === 0 ? 0 : Math.min(request.hold ?? HOLD, HOLD)
    this.#inactivity = this.#patience
    this.#keys = new KeySequence(request)
    this.#rid = request.rid - 1
    this.#lastNew = { at: -Infinity, empty: false }
    if (request.to === undefined || request.to === '')
      throw new BoshError('improper-addressing', 'there is no domain to speak to')
    this.pipe = new MessagePipe({
      written: () => this.#flush(),
      taken: () => this.#goOn(),
      ended: () => this.#end(),
      closed: () => this.#closed(),
    })
  }

  /** Takes a request of this session, and resolves with its answer. Never rejects. */
  receive(request: BoshRequest, exchange: Exchange): Promise<BoshAnswer> {
    return new Promise((resolve) => {
      const waiting: Waiting = { request, at: this.#terms.clock.monotonic(), answer: resolve }
      exchange.gone.addEventListener('abort', () => this.#abandoned(waiting), { once: true })
      exchange.hurry.addEventListener('abort', () => this.#hurry(waiting), { once: true })
      this.#receive(waiting)
      if (exchange.gone.aborted) this.#abandoned(waiting)
    })
  }

  /** Nobody waits for an answer: what is said now is not heard. */
  get deserted(): boolean {
    return !this.#held.some(alive)
  }

  // Requests

  #receive(waiting: Waiting): void {
    const { request } = waiting
    const ahead = request.rid - this.#rid
    if (this.#over) return this.#say(waiting, refusal('item-not-found', this.#legacy))
    if (ahead <= 0) return this.#again(waiting)
    // §11: one more to pause or to leave.
    const room = REQUESTS + (leaves(request) ? 1 : 0)
    if (ahead > room) return this.#fail('item-not-found', waiting)
    const twin = this.#early.get(request.rid)
    if (twin !== undefined) {
      if (!this.#mayRepeat(twin.request.key, waiting)) return
      this.#say(twin, { status: 200, xml: REPEATED })
    } else if (this.#isTooBusy(waiting, room)) return this.#fail('policy-violation', waiting)
    else this.#repeats = 0
    this.#early.set(request.rid, waiting)
    this.#goOn()
  }

  /** Takes those whose turn it is, as long as the stream takes what they bring. */
  #goOn(): void {
    while (this.pipe.waiting === 0 && !this.#over) {
      const next = this.#early.get(this.#rid + 1)
      if (next === undefined) break
      this.#early.delete(this.#rid + 1)
      this.#rid++
      this.#take(next)
    }
  }

  #take(waiting: Waiting): void {
    const { request } = waiting
    const first = !this.#opened
    this.#opened = true
    if (!first && !this.#keys.take(request)) return this.#fail('item-not-found', waiting)
    this.#inactivity = this.#patience
    this.#held.push(waiting)
    if (request.pause !== undefined && !first) return this.#pause(waiting, request.pause * 1000)
    // XEP-0206 §5: what comes with a restart is passed over.
    if (first || request.restarts) this.pipe.give([openOf(request)])
    else this.pipe.give(request.terminates ? [...request.messages, CLOSE] : request.messages)
    this.#flush()
  }

  /** §10: all requests are answered, and the client may be away for longer. */
  #pause(waiting: Waiting, ms: number): void {
    if (ms > this.#terms.maxPause) return this.#fail('policy-violation', waiting)
    this.#held.pop()
    while (this.#held.length > 0) this.#answer([])
    this.#say(waiting, { status: 200, xml: writeBody({}) })
    this.#inactivity = ms
    this.#arm()
  }

  /** §14.3: a request that has come before. */
  #again(waiting: Waiting): void {
    const { rid } = waiting.request
    const answered = this.#answered.find((one) => one.rid === rid)
    if (answered !== undefined) {
      if (!this.#mayRepeat(answered.key, waiting)) return
      this.#say(waiting, answered.answer)
      return this.#arm()
    }
    const at = this.#held.findIndex(({ request }) => request.rid === rid)
    const twin = this.#held[at]
    if (twin === undefined) return this.#fail('item-not-found', waiting)
    if (!this.#mayRepeat(twin.request.key, waiting)) return
    this.#say(twin, { status: 200, xml: REPEATED })
    this.#held[at] = waiting
    this.#flush()
  }

  /** Ends the session where a request comes again too often, or with another key. */
  #mayRepeat(key: string | undefined, waiting: Waiting): boolean {
    this.#repeats++
    if (waiting.request.key === key && this.#repeats <= REPEATS) return true
    this.#fail(this.#repeats > REPEATS ? 'policy-violation' : 'item-not-found', waiting)
    return false
  }

  /** §11, §12: too many requests, or empty ones too soon. */
  #isTooBusy({ request, at }: Waiting, room: number): boolean {
    const previous = this.#lastNew
    const isEmpty = request.messages.length === 0 && !request.restarts && !leaves(request)
    this.#lastNew = { at, empty: isEmpty }
    const open = 1 + this.#held.filter(alive).length + this.#early.size
    if (open > room) return true
    if (!isEmpty || at - previous.at >= this.#terms.polling) return false
    return this.#hold === 0 ? previous.empty && this.#lastAnswerEmpty : open === REQUESTS
  }

  #abandoned(waiting: Waiting): void {
    // It goes nowhere.
    this.#say(waiting, { status: 200, xml: REPEATED })
    this.#early.forEach((other, rid) => other === waiting && this.#early.delete(rid))
    if (this.#held.includes(waiting)) this.#arm()
  }

  #hurry(waiting: Waiting): void {
    if (this.#fresh || this.#over) return
    for (let left = this.#held.indexOf(waiting); left >= 0; left--) this.#answer([])
    this.#arm()
  }

  // Answers

  /** Answers what there is something for, and what waits beyond the number that may. */
  #flush(): void {
    if (this.#flushing || this.#over) return
    this.#flushing = true
    try {
      while (this.#held.length > 0) {
        const { filled } = this.pipe
        if (!filled && this.#ended) return this.#finish()
        // The first answer waits for the features of the stream.
        if (!filled && (this.#fresh || this.#held.length <= this.#hold)) break
        // What is for the client goes to where somebody waits: for what its lost connection carried it might never ask again.
        if (this.deserted) break
        this.#answer(this.#held[0]?.answer === undefined ? [] : this.#fetch())
      }
    } finally {
      this.#flushing = false
    }
    this.#arm()
  }

  /** Payloads that wait. The header of the stream is none, nor is its end. */
  #fetch(): readonly string[] {
    return this.pipe.fetch().filter((message) => {
      if (message === CLOSE) this.#ended = true
      return message !== CLOSE && !this.#isHeader(message)
    })
  }

  #isHeader(message: string): boolean {
    if (!message.startsWith('<open ')) return false
    const open = readElement(message, NO_CONTEXT, READER)
    if (!open.is('open', NS.framing)) return false
    this.#from = open.get('from')
    this.#streamId = open.get('id')
    return true
  }

  /** Answers the oldest request. */
  #answer(payloads: readonly string[]): void {
    const failed = payloads.some((payload) => payload.startsWith('<stream:error'))
    if (failed) return this.#finish('remote-stream-error', payloads)
    if (this.#ended && !this.pipe.filled) return this.#finish(undefined, payloads)
    const waiting = this.#held.shift()
    if (waiting === undefined) return
    const answer = { status: 200, xml: writeBody(this.#fresh ? this.#facts() : {}, payloads) }
    this.#fresh = false
    this.#lastAnswerEmpty = payloads.length === 0
    const { rid, key } = waiting.request
    this.#answered.push({ rid, key, answer })
    if (this.#answered.length > REQUESTS) this.#answered.shift()
    this.#say(waiting, answer)
  }

  #facts(): ReturnType<typeof factsOf> {
    const { polling, maxPause } = this.#terms
    return factsOf({
      sid: this.sid,
      wait: this.#wait / 1000,
      hold: this.#hold,
      requests: REQUESTS,
      inactivity: Math.floor(this.#patience / 1000),
      polling: Math.ceil(polling / 1000),
      maxPause: Math.floor(maxPause / 1000),
      ver: this.#ver,
      from: this.#from,
      streamId: this.#streamId,
    })
  }

  #say(waiting: Waiting, answer: BoshAnswer): void {
    waiting.answer?.(answer)
    waiting.answer = undefined
  }

  /** §12: who polls has no request here most of the time. */
  get #patience(): number {
    const { inactivity, polling } = this.#terms
    return this.#hold === 0 ? inactivity + polling : inactivity
  }

  /** Waits for what comes first: the time of the oldest request, or that of a client that has none. */
  #arm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#over) return
    const { clock } = this.#terms
    const oldest = this.#held.find(alive)
    if (oldest === undefined) this.#timer = clock.timeout(this.#inactivity, () => this.pipe.destroy())
    else if (!this.#fresh)
      this.#timer = clock.timeout(Math.max(0, oldest.at + this.#wait - clock.monotonic()), () => {
        this.#answer([])
        this.#flush()
      })
  }

  // The end

  #end(): void {
    this.#ended = true
    this.#flush()
  }

  /** §13: the oldest request learns how the session ended. */
  #finish(condition?: TerminalCondition, payloads: readonly string[] = []): void {
    const [first, ...others] = this.#held.splice(0).filter(alive)
    if (first !== undefined) this.#say(first, { status: 200, xml: writeEnd(condition, payloads) })
    for (const other of others) this.#say(other, { status: 200, xml: writeBody({}) })
    this.pipe.destroy()
  }

  /** The client has broken the rules: the session is over. */
  #fail(condition: TerminalCondition, waiting: Waiting): void {
    this.#say(waiting, refusal(condition, this.#legacy))
    this.#failed = true
    this.pipe.destroy()
  }

  #closed(): void {
    if (this.#over) return
    this.#over = true
    this.#timer?.cancel()
    const condition = this.#failed ? 'other-request' : 'remote-connection-failed'
    for (const waiting of [...this.#held.splice(0), ...this.#early.values()]) this.#say(waiting, refusal(condition))
    this.#early.clear()
    this.#answered.length = 0
    this.#onOver()
  }
}

const alive = ({ answer }: Waiting): boolean => answer !== undefined

const leaves = ({ terminates, pause }: BoshRequest): boolean => terminates || pause !== undefined
