// RFC 9051 §2.2.2, §4.3: from octets to responses, for both clients. Frames only; meaning is the parser's.
//
// A response is text with literals in it. What becomes of a literal (kept, handed on as it comes, read over) is asked for before its octets
// are looked at; all of them are always consumed.

import { literalMark } from '../../wire/command-reader.ts'
import type { Quirk } from './quirks.ts'

/** A string that came as `{n}` octets. */
export interface ResponseLiteral {
  /** Empty when it was not kept. */
  readonly octets: Buffer
  readonly size: number
  readonly fate: 'kept' | 'streamed' | 'left-out'
}

/** Text (one character per octet, without line ends and `{n}`) and literals, alternating, text first and last. */
export type Segments = readonly (string | ResponseLiteral)[]

export type ReaderEvent =
  | { readonly kind: 'response'; readonly segments: Segments; readonly quirks: readonly Quirk[] }
  /** The reader stands still until `keep`, `stream` or `leaveOut` is called. `segments`: the response so far. */
  | { readonly kind: 'literal'; readonly segments: Segments; readonly size: number }
  /** Octets of a literal that is streamed; empty for the end of it. They are a view into what was pushed. */
  | { readonly kind: 'octets'; readonly octets: Buffer }
  /** The text of one response is longer than `limit`: nothing more is read. */
  | { readonly kind: 'fatal'; readonly message: string }

const LF = 0x0a
const EMPTY: Buffer = Buffer.alloc(0)
const STATUS = /^(?:\S+ )(?:OK|NO|BAD|BYE|PREAUTH)(?: |$)/i

/** Push chunks in, take events out until `undefined`. Holds nothing between responses. */
export class ResponseReader {
  readonly #limit: number
  #chunk = EMPTY
  #at = 0
  #state: 'text' | 'decide' | 'keep' | 'stream' | 'leave-out' = 'text'
  #segments: (string | ResponseLiteral)[] = []
  #quirks: Quirk[] = []
  #textLength = 0
  #partial: Buffer[] = []
  #partialLength = 0
  #literal = EMPTY
  #size = 0
  #taken = 0
  #dead = false

  /** `limit`: octets of text in one response, literals not counted. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Octets that arrived and were not yet looked at. */
  get buffered(): number {
    return this.#chunk.length - this.#at
  }

  /** Takes those octets away: they are of another layer. */
  takeBuffered(): Buffer {
    const rest = this.#chunk.subarray(this.#at)
    this.#chunk = EMPTY
    this.#at = 0
    return rest
  }

  push(chunk: Buffer): void {
    this.#chunk = this.buffered === 0 ? chunk : Buffer.concat([this.#chunk.subarray(this.#at), chunk])
    this.#at = 0
  }

  /** Keeps the literal just announced in memory. */
  keep(): void {
    this.#decide('keep')
    this.#literal = Buffer.allocUnsafeSlow(Math.min(this.#size, 16_384))
  }

  /** Hands its octets out as they come. */
  stream(): void {
    this.#decide('stream')
  }

  /** Reads over it. */
  leaveOut(): void {
    this.#decide('leave-out')
  }

  #decide(state: 'keep' | 'stream' | 'leave-out'): void {
    if (this.#state !== 'decide') throw new Error('no literal is waiting for a decision')
    this.#state = state
    this.#taken = 0
  }

  next(): ReaderEvent | undefined {
    while (!this.#dead && this.#state !== 'decide') {
      if (this.#state !== 'text' && this.#taken === this.#size) {
        const end = this.#endLiteral()
        if (end !== undefined) return end
        continue
      }
      if (this.buffered === 0) {
        this.#chunk = EMPTY
        this.#at = 0
        return undefined
      }
      const event = this.#state === 'text' ? this.#text() : this.#octets()
      if (event !== undefined) return event
    }
    return undefined
  }

  #text(): ReaderEvent | undefined {
    const end = this.#chunk.indexOf(LF, this.#at)
    const stop = end < 0 ? this.#chunk.length : end
    if (this.#textLength + this.#partialLength + stop - this.#at > this.#limit) {
      this.#dead = true
      return { kind: 'fatal', message: `A response of the server is longer than ${this.#limit} octets` }
    }
    if (end < 0) {
      // A copy: a chunk of the socket is not kept alive for the sake of a few octets.
      const piece = Buffer.from(this.#chunk.subarray(this.#at))
      this.#partial.push(piece)
      this.#partialLength += piece.length
      this.#at = this.#chunk.length
      return undefined
    }
    const line = this.#line(stop)
    this.#at = end + 1
    return this.#endLine(line)
  }

  #line(stop: number): Buffer {
    const last = this.#chunk.subarray(this.#at, stop)
    if (this.#partialLength === 0) return last
    const line = Buffer.concat([...this.#partial, last])
    this.#partial = []
    this.#partialLength = 0
    return line
  }

  #endLine(octets: Buffer): ReaderEvent | undefined {
    const cr = octets.at(-1) === 0x0d
    if (!cr) this.#quirks.push('bare-lf')
    const line = cr ? octets.subarray(0, -1) : octets
    const mark = literalMark(line)
    const text = line.toString('latin1', 0, line.length - (mark?.length ?? 0))
    this.#textLength += line.length
    if (mark !== undefined && !this.#isHumanText(text)) {
      this.#segments.push(text)
      this.#size = mark.size
      this.#state = 'decide'
      return { kind: 'literal', segments: this.#segments, size: mark.size }
    }
    if (mark !== undefined) this.#quirks.push('literal-mark-in-text')
    this.#segments.push(mark === undefined ? text : line.toString('latin1'))
    const event: ReaderEvent = { kind: 'response', segments: this.#segments, quirks: this.#quirks }
    this.#segments = []
    this.#quirks = []
    this.#textLength = 0
    return event
  }

  /** Status responses and continuation requests end in human text, which may end in anything. */
  #isHumanText(text: string): boolean {
    return this.#segments.length === 0 && (text.startsWith('+') || STATUS.test(text))
  }

  #octets(): ReaderEvent | undefined {
    const taken = Math.min(this.#size - this.#taken, this.buffered)
    const octets = this.#chunk.subarray(this.#at, this.#at + taken)
    this.#at += taken
    if (this.#state === 'keep') this.#store(octets)
    this.#taken += taken
    return this.#state === 'stream' ? { kind: 'octets', octets } : undefined
  }

  #store(octets: Buffer): void {
    const needed = this.#taken + octets.length
    if (needed > this.#literal.length) {
      // Grows with what really came: announcing much costs the server as much as it costs us.
      const grown = Buffer.allocUnsafeSlow(Math.min(this.#size, Math.max(needed, this.#literal.length * 2)))
      this.#literal.copy(grown, 0, 0, this.#taken)
      this.#literal = grown
    }
    octets.copy(this.#literal, this.#taken)
  }

  #endLiteral(): ReaderEvent | undefined {
    const streamed = this.#state === 'stream'
    const fate = this.#state === 'keep' ? 'kept' : streamed ? 'streamed' : 'left-out'
    this.#segments.push({ octets: this.#literal.subarray(0, fate === 'kept' ? this.#size : 0), size: this.#size, fate })
    this.#literal = EMPTY
    this.#state = 'text'
    return streamed ? { kind: 'octets', octets: EMPTY } : undefined
  }
}
