// Where the items of an XML stream begin and end, found on bytes: header, stanzas, end tag (RFC 6120 §4, §11).
//
// It walks over the bytes once, in whatever pieces they come, and knows just enough of XML to see where a top-level element ends and how
// deep it goes. Time is linear whatever the chunking, and between two items nothing is kept.

import { isUtf8 } from 'node:buffer'
import { StreamError } from './stream-error.ts'
import type { ParserLimits } from './stream-reader.ts'

const SLASH = 0x2f
const LT = 0x3c
const GT = 0x3e
const QUOTE = 0x22
const APOS = 0x27
const BANG = 0x21
const QUESTION = 0x3f
const BRACKET = 0x5d

// Where the framer is.
const BETWEEN = 0
const CONTENT = 1
const TAG_OPEN = 2
const START_TAG = 3
const IN_QUOTES = 4
const IN_APOSTROPHES = 5
const END_TAG = 6
const MARKED = 7
const CDATA = 8
const DECLARATION = 9

/** Nothing yet: the bytes ended within an item. */
export const MORE = 0
/** The stream header. */
export const HEADER = 1
/** A top-level element. */
export const STANZA = 2
/** The stream's end tag. */
export const END = 3
/** The XML declaration. */
export const DECLARED = 4
/** White space between items. */
export const BLANK = 5

/** What a scan came to. */
export type Item = typeof MORE | typeof HEADER | typeof STANZA | typeof END | typeof DECLARED | typeof BLANK

const CDATA_OPEN = Buffer.from('[CDATA[')
const DECLARATION_BYTES = 200

export class Framer {
  /** Where the scan stopped. */
  at = 0
  #state = BETWEEN
  #depth = 0
  /** Small memories: the byte before (in a start tag), how much of a marker was seen (elsewhere). */
  #seen = 0
  /** All bytes of the current item, or-ed: below 0x80 it is ASCII. */
  #bits = 0
  #declared = false
  /** The beginning of an item whose end has not come yet: a copy, never a slice of a read buffer. */
  #held: Buffer | undefined
  #heldLength = 0

  /** Expects a stream from its beginning, and forgets what it has seen. */
  restart(): void {
    this.#state = BETWEEN
    this.#depth = 0
    this.#seen = 0
    this.#bits = 0
    this.#declared = false
    this.#held = undefined
    this.#heldLength = 0
  }

  /** Walks to the end of the current item or of the bytes, and leaves in `at` where that is. @throws Refusal of what can be refused at once */
  scan(bytes: Buffer, from: number, limits: ParserLimits): Item {
    const end = bytes.length
    let i = from
    let state = this.#state
    let bits = this.#bits
    let seen = this.#seen
    let depth = this.#depth
    let outcome: Item = MORE
    scan: while (i < end) {
      switch (state) {
        case BETWEEN: {
          const byte = bytes[i] as number
          if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
            do i++
            while (i < end && (bytes[i] === 0x20 || bytes[i] === 0x0a || bytes[i] === 0x0d || bytes[i] === 0x09))
            outcome = BLANK
            break scan
          }
          if (byte !== LT)
            throw refuse('not-well-formed', depth === 0 ? 'stream header expected' : 'text between stanzas')
          bits = byte
          i++
          state = TAG_OPEN
          break
        }
        case CONTENT: {
          let byte = bytes[i] as number
          while (byte !== LT) {
            bits |= byte
            if (++i >= end) break scan
            byte = bytes[i] as number
          }
          i++
          state = TAG_OPEN
          break
        }
        case TAG_OPEN: {
          const byte = bytes[i++] as number
          bits |= byte
          seen = 0
          if (byte === SLASH) {
            if (depth === 0) throw refuse('not-well-formed', 'end tag before the stream began')
            state = END_TAG
          } else if (byte === BANG) {
            if (depth < 2) throw refuse('restricted-xml', 'comment or declaration')
            state = MARKED
          } else if (byte === QUESTION) {
            if (depth > 0 || this.#declared) throw refuse('restricted-xml', 'processing instruction')
            state = DECLARATION
          } else {
            if (byte === GT || byte === LT || byte <= 0x20) throw refuse('not-well-formed', 'name expected')
            seen = byte
            state = START_TAG
          }
          break
        }
        case START_TAG: {
          let byte = bytes[i] as number
          while (byte !== GT && byte !== QUOTE && byte !== APOS) {
            bits |= byte
            seen = byte
            if (++i >= end) break scan
            byte = bytes[i] as number
          }
          i++
          if (byte !== GT) {
            state = byte === QUOTE ? IN_QUOTES : IN_APOSTROPHES
            break
          }
          if (seen !== SLASH) depth++
          if (depth > limits.depth + 1) throw refuse('policy-violation', 'elements are nested too deeply')
          if (depth === 1) {
            state = BETWEEN
            outcome = seen === SLASH ? STANZA : HEADER
            break scan
          }
          if (depth === 0) {
            outcome = HEADER
            break scan
          }
          state = CONTENT
          break
        }
        case IN_QUOTES:
        case IN_APOSTROPHES: {
          const quote = state === IN_QUOTES ? QUOTE : APOS
          let byte = bytes[i] as number
          while (byte !== quote) {
            bits |= byte
            if (++i >= end) break scan
            byte = bytes[i] as number
          }
          i++
          seen = byte
          state = START_TAG
          break
        }
        case END_TAG: {
          let byte = bytes[i] as number
          while (byte !== GT) {
            bits |= byte
            if (++i >= end) break scan
            byte = bytes[i] as number
          }
          i++
          depth--
          if (depth === 0) {
            outcome = END
            break scan
          }
          if (depth === 1) {
            state = BETWEEN
            outcome = STANZA
            break scan
          }
          state = CONTENT
          break
        }
        case MARKED: {
          const byte = bytes[i++] as number
          if (byte !== CDATA_OPEN[seen]) throw refuse('restricted-xml', 'comment or declaration')
          seen++
          if (seen === CDATA_OPEN.length) {
            seen = 0
            state = CDATA
          }
          break
        }
        case CDATA: {
          const byte = bytes[i++] as number
          bits |= byte
          if (byte === BRACKET) seen = seen === 2 ? 2 : seen + 1
          else if (byte === GT && seen === 2) state = CONTENT
          else seen = 0
          break
        }
        case DECLARATION: {
          const byte = bytes[i++] as number
          bits |= byte
          if (byte === GT && seen === QUESTION) {
            state = BETWEEN
            this.#declared = true
            outcome = DECLARED
            break scan
          }
          seen = byte
          break
        }
      }
    }
    const size = this.#heldLength + i - from
    if (size > limits.stanzaBytes && outcome !== BLANK) throw refuse('policy-violation', 'stanza is too big')
    if (state === DECLARATION && size > DECLARATION_BYTES) throw refuse('not-well-formed', 'XML declaration')
    this.at = i
    this.#state = state
    this.#bits = bits
    this.#seen = seen
    this.#depth = depth
    return outcome
  }

  /** Keeps the beginning of an item; grows by doubling, so that single bytes cost no more than large pieces. */
  hold(bytes: Buffer, from: number): void {
    const to = this.at
    if (to === from) return
    const length = this.#heldLength + to - from
    if (this.#held === undefined || this.#held.length < length) {
      const grown = Buffer.allocUnsafeSlow(this.#held === undefined ? Math.max(length, 128) : length * 2)
      this.#held?.copy(grown, 0, 0, this.#heldLength)
      this.#held = grown
    }
    bytes.copy(this.#held, this.#heldLength, from, to)
    this.#heldLength = length
  }

  /** The source of the item that ends at `at`, as text; the next item begins there. @throws Refusal where it is no UTF-8 */
  take(bytes: Buffer, from: number): string {
    let source = bytes
    let start = from
    let to = this.at
    if (this.#held !== undefined) {
      this.hold(bytes, from)
      source = this.#held
      start = 0
      to = this.#heldLength
      this.#held = undefined
      this.#heldLength = 0
    }
    const ascii = this.#bits < 0x80
    this.#bits = 0
    if (ascii) return source.toString('latin1', start, to)
    // Checked first: decoding alone would put U+FFFD in place of what is wrong.
    if (!isUtf8(source.subarray(start, to))) throw refuse('not-well-formed', 'invalid UTF-8')
    return source.toString('utf8', start, to)
  }
}

/** Marks what is wrong with the stream, apart from what a handler throws (which may be a StreamError too). */
export class Refusal extends Error {
  readonly error: StreamError

  constructor(error: StreamError) {
    super(error.message)
    this.error = error
  }
}

export function refuse(...details: ConstructorParameters<typeof StreamError>): Refusal {
  return new Refusal(new StreamError(...details))
}
