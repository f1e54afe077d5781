// An incremental parser of XML streams (RFC 6120 §4, §11), on bytes.
//
// Two steps. The framer below walks over the bytes once, in whatever pieces they come, and knows just enough of XML to see where a
// top-level element ends and how deep it goes; the strict reader then takes that element as one string. So time is linear whatever the
// chunking, and between two stanzas nothing is kept. What the framer takes for an element and is none, the reader refuses.

import { isUtf8 } from 'node:buffer'
import type { Element } from './element.ts'
import { NO_CONTEXT, readElement, readStartTag, type NamespaceContext } from './element-reader.ts'
import { NS } from './namespaces.ts'
import { StreamError } from './stream-error.ts'

export interface ParserLimits {
  /** Bytes of a top-level element, or of the stream header. */
  readonly stanzaBytes: number
  /** Nesting of elements; a stanza counts as 1. */
  readonly depth: number
  /** Attributes of one element, namespace declarations included. */
  readonly attributes: number
  /** Namespace prefixes in force at one place. */
  readonly prefixes: number
}

export const DEFAULT_PARSER_LIMITS: ParserLimits = { stanzaBytes: 262_144, depth: 64, attributes: 64, prefixes: 32 }

export interface StreamHandlers {
  /** The stream header, without content, and the default namespace within it (the content namespace). */
  streamStart(header: Element, contentNamespace: string): void
  /** A complete top-level element. */
  element(stanza: Element): void
  /** The stream's end tag. What follows it is ignored. */
  streamEnd(): void
  /** The stream cannot be read any further. Called once; what follows is ignored. */
  error(error: StreamError): void
  /** White space between stanzas: a keepalive (RFC 6120 §4.6.1). */
  whitespace?(): void
}

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
const CLOSED = 10

// What the scan came to.
const MORE = 0
const HEADER = 1
const STANZA = 2
const END = 3
const DECLARED = 4
const BLANK = 5

const CDATA_OPEN = Buffer.from('[CDATA[')
const DECLARATION_BYTES = 200
const XML_DECLARATION =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"1\.0"|'1\.0')(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:"([A-Za-z][\w.-]*)"|'([A-Za-z][\w.-]*)'))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]*\?>$/

/** What nearly all headers declare. */
const USUAL: readonly NamespaceContext[] = [NS.client, NS.server].map((xmlns) => ({
  xmlns,
  bindings: ['stream', NS.streams],
}))
const USUAL_NAME = 'stream:stream'

const isSame = (one: NamespaceContext, other: NamespaceContext): boolean =>
  one.xmlns === other.xmlns &&
  one.bindings.length === other.bindings.length &&
  one.bindings.every((each, index) => each === other.bindings[index])

/** What reads a stream, whatever carries it. */
export interface StreamReader {
  /** May be set at any time; holds from what comes next on. */
  limits: ParserLimits
  /** Reads as far as this reaches, calling the handlers on the way. What a handler throws passes through, with the reader ready to go on. */
  write(chunk: Uint8Array | string): void
  /** Stops before the next item: what comes is kept until `resume`. Meant for handlers. */
  pause(): void
  /** Goes on with what was kept. */
  resume(): void
  /** Octets that were written but not read yet, because of a pause. */
  readonly waitingBytes: number
  /** True where nothing but whitespace waits, which may stand between any two elements (RFC 6120 §4.6.1). */
  readonly waitingIsBlank: boolean
  /** Forgets what waits: what came in the clear behind <starttls/> must never be read as if it had been encrypted (CVE-2011-0411). */
  discard(): void
  /** Expects a new stream header next: after STARTTLS and after SASL (RFC 6120 §4.3.3). What waits is kept. */
  reset(): void
  /** Ignores everything from now on. */
  close(): void
}

export class StreamParser implements StreamReader {
  limits: ParserLimits

  readonly #handlers: StreamHandlers
  #context: NamespaceContext = NO_CONTEXT
  #state = BETWEEN
  #depth = 0
  /** Small memories of the framer: the byte before (in a start tag), how much of a marker was seen (elsewhere). */
  #seen = 0
  /** All bytes of the current item, or-ed: below 0x80 it is ASCII. */
  #bits = 0
  #declared = false
  #headerName = ''
  /** The beginning of an item whose end has not come yet: a copy, never a slice of a read buffer. */
  #held: Buffer | undefined
  #heldLength = 0
  #paused = false
  #writing = false
  #waiting: Uint8Array[] | undefined
  #waitingBytes = 0

  constructor(handlers: StreamHandlers, limits: Partial<ParserLimits> = {}) {
    this.#handlers = handlers
    this.limits = { ...DEFAULT_PARSER_LIMITS, ...limits }
  }

  write(chunk: Uint8Array | string): void {
    if (this.#state === CLOSED || chunk.length === 0) return
    const octets = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    if (this.#paused || this.#writing) this.#wait(octets)
    else this.#run(octets)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    if (this.#writing) return
    this.#drain()
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  get waitingIsBlank(): boolean {
    return (
      this.#waiting?.every((chunk) => chunk.every((b) => b === 0x20 || b === 0x0a || b === 0x0d || b === 0x09)) ?? true
    )
  }

  discard(): void {
    this.#waiting = undefined
    this.#waitingBytes = 0
  }

  reset(): void {
    this.#context = NO_CONTEXT
    this.#depth = 0
    this.#declared = false
    this.#begin(BETWEEN)
  }

  close(): void {
    this.#begin(CLOSED)
    this.discard()
  }

  #wait(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#waiting ??= []
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
  }

  #drain(): void {
    while (this.#waiting !== undefined && !this.#paused) {
      const chunks = this.#waiting
      this.discard()
      const chunk = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
      this.#run(chunk)
    }
  }

  #run(chunk: Uint8Array): void {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    this.#writing = true
    let done = 0
    try {
      while (done < bytes.length && this.#state !== CLOSED && !this.#paused) {
        const from = done
        const outcome = this.#scan(bytes, from)
        done = this.#at
        try {
          this.#emit(outcome, bytes, from)
        } catch (error) {
          if (!(error instanceof Refusal)) throw error
          this.close()
          this.#handlers.error(error.error)
        }
      }
    } finally {
      this.#writing = false
      if (done < bytes.length && this.#state !== CLOSED) {
        const later = this.#waiting
        this.discard()
        this.#wait(bytes.subarray(done))
        for (const next of later ?? []) this.#wait(next)
      }
    }
    if (!this.#paused) this.#drain()
  }

  #emit(outcome: number, bytes: Buffer, from: number): void {
    switch (outcome) {
      case MORE:
        return this.#hold(bytes, from)
      case BLANK:
        return this.#handlers.whitespace?.()
      case DECLARED: {
        const match = XML_DECLARATION.exec(this.#take(bytes, from))
        if (match === null) throw refuse('not-well-formed', 'XML declaration')
        if (!/^utf-8$/i.test(match[1] ?? match[2] ?? 'utf-8')) throw refuse('unsupported-encoding')
        this.#declared = true
        return
      }
      case HEADER: {
        const source = this.#take(bytes, from)
        const { element, context } = refusing(() => readStartTag(source, this.limits))
        // Pieces of a text keep all of it: what is the same for nearly all streams is shared.
        this.#context = USUAL.find((usual) => isSame(usual, context)) ?? context
        const name = source.slice(1).split(/[\s>]/, 1)[0] ?? ''
        this.#headerName = name === USUAL_NAME ? USUAL_NAME : name
        return this.#handlers.streamStart(element, context.xmlns)
      }
      case STANZA: {
        const source = this.#take(bytes, from)
        let stanza: Element
        try {
          stanza = readElement(source, this.#context, this.limits)
        } catch (error) {
          throw error instanceof StreamError ? new Refusal(error) : error
        }
        return this.#handlers.element(stanza)
      }
      default:
        if (this.#take(bytes, from).slice(2, -1).trimEnd() !== this.#headerName)
          throw refuse('not-well-formed', 'the end tag does not match')
        this.close()
        return this.#handlers.streamEnd()
    }
  }

  /** Where the scan stopped. */
  #at = 0

  /** Walks to the end of the current item or of the bytes. Throws a Refusal on what can be refused at once. */
  #scan(bytes: Buffer, from: number): number {
    const end = bytes.length
    let i = from
    let state = this.#state
    let bits = this.#bits
    let seen = this.#seen
    let depth = this.#depth
    let outcome = MORE
    try {
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
            if (depth > this.limits.depth + 1) throw refuse('policy-violation', 'elements are nested too deeply')
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
              outcome = DECLARED
              break scan
            }
            seen = byte
            break
          }
          default:
            i = end
        }
      }
      const size = this.#heldLength + i - from
      if (size > this.limits.stanzaBytes && outcome !== BLANK) throw refuse('policy-violation', 'stanza is too big')
      if (state === DECLARATION && size > DECLARATION_BYTES) throw refuse('not-well-formed', 'XML declaration')
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.#at = end
      this.close()
      this.#handlers.error(error.error)
      return MORE
    }
    this.#at = i
    this.#state = state
    this.#bits = bits
    this.#seen = seen
    this.#depth = depth
    return outcome
  }

  /** Keeps the beginning of an item; grows by doubling, so that single bytes cost no more than large pieces. */
  #hold(bytes: Buffer, from: number): void {
    const to = this.#at
    if (this.#state === CLOSED || to === from) return
    const length = this.#heldLength + to - from
    if (this.#held === undefined || this.#held.length < length) {
      const grown = Buffer.allocUnsafeSlow(this.#held === undefined ? Math.max(length, 128) : length * 2)
      this.#held?.copy(grown, 0, 0, this.#heldLength)
      this.#held = grown
    }
    bytes.copy(this.#held, this.#heldLength, from, to)
    this.#heldLength = length
  }

  /** The source of the item that ends here, as text. */
  #take(bytes: Buffer, from: number): string {
    let source = bytes
    let start = from
    let to = this.#at
    if (this.#held !== undefined) {
      this.#hold(bytes, from)
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

  #begin(state: number): void {
    this.#state = state
    this.#seen = 0
    this.#bits = 0
    this.#held = undefined
    this.#heldLength = 0
  }
}

/** Marks what is wrong with the stream, apart from what a handler throws (which may be a StreamError too). */
class Refusal extends Error {
  readonly error: StreamError

  constructor(error: StreamError) {
    super(error.message)
    this.error = error
  }
}

function refuse(...details: ConstructorParameters<typeof StreamError>): Refusal {
  return new Refusal(new StreamError(...details))
}

function refusing<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof StreamError ? new Refusal(error) : error
  }
}
