// RFC 9051 §2.2.1, §4.3; RFC 7888: from octets to commands. Frames only; meaning is the parser's.
//
// A command is lines of text with literals between them. Announced octets are always consumed (kept or skipped) before anything behind
// them is looked at, whatever the answer to the command will be: what a literal holds can never run as a command.

/** A string sent as `{n}` octets. `binary` for `~{n}` (RFC 3516 literal8). */
export interface Literal {
  readonly octets: Uint8Array
  readonly binary: boolean
}

/** Text and literals of one command, alternating, text first and last. Text holds no line ends and no `{n}` marks. */
export type Segments = readonly (Uint8Array | Literal)[]

export interface ReaderLimits {
  /** Octets of text in one command, literals not counted. */
  readonly line: number
  /** Octets that are skipped to get behind a refused command, before giving the connection up. */
  readonly skip: number
}

export interface Refusal {
  readonly status: 'NO' | 'BAD'
  readonly code: string | undefined
  readonly message: string
}

export type ReaderEvent =
  | { readonly kind: 'command'; readonly segments: Segments }
  /** The reader stands still until `accept` or `refuse` is called. */
  | {
      readonly kind: 'literal'
      readonly segments: Segments
      readonly size: number
      readonly synchronising: boolean
      readonly binary: boolean
    }
  | { readonly kind: 'line'; readonly octets: Uint8Array }
  /** A refused command is now wholly behind us. `start` is its first octets, enough to find the tag. */
  | { readonly kind: 'refused'; readonly start: Uint8Array; readonly refusal: Refusal }
  | { readonly kind: 'fatal'; readonly message: string }

interface LiteralMark {
  readonly length: number
  readonly size: number
  readonly synchronising: boolean
  readonly binary: boolean
}

const LF = 0x0a
const CR = 0x0d
const EMPTY = new Uint8Array(0)
/** Longest useful literal mark: `~{9007199254740991+}` and a CR. */
const TAIL = 32
const START = 101
const TOO_LONG: Refusal = {
  status: 'BAD',
  code: 'TOOBIG',
  message: 'The command line is too long: split the command, or send long strings as literals',
}

/** The `{n}` at the end of a line (without CRLF), if there is one. */
export function literalMark(line: Uint8Array): LiteralMark | undefined {
  let at = line.length - 1
  if (at < 2 || line[at] !== 0x7d) return undefined
  at--
  const synchronising = line[at] !== 0x2b
  if (!synchronising) at--
  let size = 0
  let scale = 1
  const last = at
  for (; at >= 0; at--) {
    const digit = (line[at] ?? 0) - 0x30
    if (digit < 0 || digit > 9) break
    if (digit > 0) size += digit * scale
    scale *= 10
  }
  if (at === last || at < 0 || line[at] !== 0x7b) return undefined
  const binary = at > 0 && line[at - 1] === 0x7e
  if (!Number.isSafeInteger(size)) size = Number.MAX_SAFE_INTEGER
  return { length: line.length - at + (binary ? 1 : 0), size, synchronising, binary }
}

/** Push chunks in, take events out until `undefined`. Holds nothing between commands. */
export class CommandReader {
  #limits: ReaderLimits
  #chunk: Uint8Array = EMPTY
  #at = 0
  #state: 'text' | 'decide' | 'literal' | 'skip-octets' | 'skip-line' = 'text'
  #segments: (Uint8Array | Literal)[] = []
  #textLength = 0
  /** The line so far, when it came in more than one chunk. Owned: never a slice of what the socket gave. */
  #partial: Uint8Array = EMPTY
  #partialLength = 0
  #literal: Uint8Array = EMPTY
  #literalLength = 0
  #mark: LiteralMark | undefined
  #skip = 0
  #skipped = 0
  #refusal: Refusal | undefined
  #start: Uint8Array = EMPTY
  #tail: Uint8Array = EMPTY
  #lines = false
  #dead = false

  constructor(limits: ReaderLimits) {
    this.#limits = limits
  }

  get limits(): ReaderLimits {
    return this.#limits
  }

  set limits(limits: ReaderLimits) {
    this.#limits = limits
  }

  /** While on, every line is an event of its own and `{n}` means nothing (AUTHENTICATE, IDLE). */
  set lineMode(on: boolean) {
    this.#lines = on
  }

  /** Octets that arrived and were not yet looked at. */
  get buffered(): number {
    return this.#chunk.length - this.#at
  }

  /** True between commands with nothing begun: an end of the stream here cuts nothing off. */
  get idle(): boolean {
    return this.#state === 'text' && this.#partialLength === 0 && this.#segments.length === 0 && this.buffered === 0
  }

  push(chunk: Uint8Array): void {
    if (this.buffered === 0) {
      this.#chunk = chunk
      this.#at = 0
      return
    }
    const joined = new Uint8Array(this.buffered + chunk.length)
    joined.set(this.#chunk.subarray(this.#at))
    joined.set(chunk, this.buffered)
    this.#chunk = joined
    this.#at = 0
  }

  /** Keep the literal just announced. The caller sends the continuation when it is synchronising. */
  accept(): void {
    const mark = this.#mark
    if (this.#state !== 'decide' || mark === undefined) throw new Error('no literal is waiting for a decision')
    this.#literal = new Uint8Array(Math.min(mark.size, 16384))
    this.#literalLength = 0
    this.#state = 'literal'
  }

  /** Give the command up. A synchronising literal never comes; the octets of any other are skipped, and the rest of the command with them. */
  refuse(refusal: Refusal): void {
    const mark = this.#mark
    if (this.#state !== 'decide' || mark === undefined) throw new Error('no literal is waiting for a decision')
    const first = this.#segments[0]
    this.#beginSkip(first instanceof Uint8Array ? first : EMPTY, refusal)
    this.#skipMark(mark)
  }

  next(): ReaderEvent | undefined {
    while (!this.#dead) {
      if (this.#state === 'decide') return undefined
      if (this.#state === 'skip-octets' && this.#skip === 0) this.#state = 'skip-line'
      if (this.#state === 'skip-line' && this.#skip < 0) return this.#refused()
      if (this.#state === 'literal' && this.#literalLength === this.#mark?.size) {
        this.#endLiteral(this.#mark.binary)
        continue
      }
      if (this.buffered === 0) {
        this.#chunk = EMPTY
        this.#at = 0
        return undefined
      }
      const event = this.#step()
      if (event !== undefined) return event
    }
    this.#chunk = EMPTY
    this.#at = 0
    return undefined
  }

  #step(): ReaderEvent | undefined {
    switch (this.#state) {
      case 'text':
        return this.#text()
      case 'literal':
        this.#octets(this.#mark?.size ?? 0)
        return undefined
      case 'skip-octets': {
        const taken = Math.min(this.#skip, this.buffered)
        this.#at += taken
        this.#skip -= taken
        return this.#countSkipped(taken)
      }
      case 'skip-line':
        return this.#skipLine()
      case 'decide':
        return undefined
    }
  }

  #text(): ReaderEvent | undefined {
    const end = this.#chunk.indexOf(LF, this.#at)
    const stop = end < 0 ? this.#chunk.length : end
    const total = this.#partialLength + stop - this.#at
    if (this.#textLength + total > this.#limits.line) {
      const first = this.#segments[0]
      const start = first instanceof Uint8Array ? first : this.#peekStart(stop)
      this.#tail = this.#partial.slice(Math.max(0, this.#partialLength - TAIL), this.#partialLength)
      this.#beginSkip(start, TOO_LONG)
      return undefined
    }
    if (end < 0) {
      this.#keep(this.#chunk.subarray(this.#at))
      this.#at = this.#chunk.length
      return undefined
    }
    let line = this.#line(stop)
    this.#at = end + 1
    if (line[line.length - 1] === CR) line = line.subarray(0, line.length - 1)
    if (this.#lines) return { kind: 'line', octets: line }
    // iOS sends an empty line before some commands.
    if (line.length === 0 && this.#segments.length === 0) return undefined
    const mark = literalMark(line)
    this.#textLength += line.length
    if (mark === undefined) {
      const segments = [...this.#segments, line]
      this.#reset()
      return { kind: 'command', segments }
    }
    this.#segments.push(line.subarray(0, line.length - mark.length))
    this.#mark = mark
    this.#state = 'decide'
    const { size, synchronising, binary } = mark
    return { kind: 'literal', segments: this.#segments.slice(), size, synchronising, binary }
  }

  #peekStart(stop: number): Uint8Array {
    const start = new Uint8Array(START)
    const kept = this.#partial.subarray(0, Math.min(START, this.#partialLength))
    start.set(kept)
    const more = this.#chunk.subarray(this.#at, Math.min(stop, this.#at + START - kept.length))
    start.set(more, kept.length)
    return start.subarray(0, kept.length + more.length)
  }

  /** The line up to `stop` as a copy of its own. */
  #line(stop: number): Uint8Array {
    const piece = this.#chunk.subarray(this.#at, stop)
    if (this.#partialLength === 0) return new Uint8Array(piece)
    const line = new Uint8Array(this.#partialLength + piece.length)
    line.set(this.#partial.subarray(0, this.#partialLength))
    line.set(piece, this.#partialLength)
    this.#partial = EMPTY
    this.#partialLength = 0
    return line
  }

  #keep(piece: Uint8Array): void {
    const needed = this.#partialLength + piece.length
    if (needed > this.#partial.length) {
      const grown = new Uint8Array(Math.max(needed, this.#partial.length * 2))
      grown.set(this.#partial.subarray(0, this.#partialLength))
      this.#partial = grown
    }
    this.#partial.set(piece, this.#partialLength)
    this.#partialLength = needed
  }

  #octets(size: number): void {
    const taken = Math.min(size - this.#literalLength, this.buffered)
    const needed = this.#literalLength + taken
    if (needed > this.#literal.length) {
      // Grows with what really came: announcing much costs the peer as much as it costs us.
      const grown = new Uint8Array(Math.min(size, Math.max(needed, this.#literal.length * 2)))
      grown.set(this.#literal.subarray(0, this.#literalLength))
      this.#literal = grown
    }
    this.#literal.set(this.#chunk.subarray(this.#at, this.#at + taken), this.#literalLength)
    this.#literalLength = needed
    this.#at += taken
  }

  #endLiteral(binary: boolean): void {
    this.#segments.push({ octets: this.#literal.subarray(0, this.#literalLength), binary })
    this.#literal = EMPTY
    this.#mark = undefined
    this.#state = 'text'
  }

  #beginSkip(start: Uint8Array, refusal: Refusal): void {
    this.#refusal = refusal
    this.#start = start.slice(0, START)
    this.#segments = []
    this.#partial = EMPTY
    this.#partialLength = 0
    this.#skip = 0
    this.#skipped = 0
    this.#state = 'skip-line'
  }

  #skipMark(mark: LiteralMark): void {
    this.#tail = EMPTY
    this.#mark = undefined
    if (mark.synchronising) {
      this.#skip = -1
      this.#state = 'skip-line'
    } else {
      this.#skip = mark.size
      this.#state = 'skip-octets'
    }
  }

  #skipLine(): ReaderEvent | undefined {
    const end = this.#chunk.indexOf(LF, this.#at)
    const stop = end < 0 ? this.#chunk.length : end
    const piece = this.#chunk.subarray(Math.max(this.#at, stop - TAIL), stop)
    const tail = new Uint8Array(this.#tail.length + piece.length)
    tail.set(this.#tail)
    tail.set(piece, this.#tail.length)
    this.#tail = tail.slice(-TAIL)
    const skipped = stop - this.#at
    this.#at = end < 0 ? stop : end + 1
    if (end < 0) return this.#countSkipped(skipped)
    let line = this.#tail
    if (line[line.length - 1] === CR) line = line.subarray(0, line.length - 1)
    const mark = literalMark(line)
    this.#tail = EMPTY
    if (mark === undefined) return this.#refused()
    this.#skipMark(mark)
    return this.#countSkipped(skipped)
  }

  #countSkipped(count: number): ReaderEvent | undefined {
    this.#skipped += count
    if (this.#skipped + Math.max(0, this.#skip) <= this.#limits.skip) return undefined
    this.#dead = true
    return { kind: 'fatal', message: 'The command is too large' }
  }

  #refused(): ReaderEvent {
    const event: ReaderEvent = { kind: 'refused', start: this.#start, refusal: this.#refusal ?? TOO_LONG }
    this.#reset()
    return event
  }

  #reset(): void {
    this.#segments = []
    this.#textLength = 0
    this.#refusal = undefined
    this.#start = EMPTY
    this.#tail = EMPTY
    this.#skip = 0
    this.#state = 'text'
  }
}
