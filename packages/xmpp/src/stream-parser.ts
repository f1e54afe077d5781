// An incremental parser of XML streams (RFC 6120 §4, §11), on bytes.
//
// Two steps. The framer finds where an item ends, and the strict reader then takes that item as one string. What the framer takes for an
// element and is none, the reader refuses.

import type { Element } from './element.ts'
import { NO_CONTEXT, readElement, readStartTag, type NamespaceContext } from './element-reader.ts'
import { BLANK, DECLARED, Framer, HEADER, type Item, MORE, Refusal, refuse, STANZA } from './framer.ts'
import { NS } from './namespaces.ts'
import { StreamError } from './stream-error.ts'
import { DEFAULT_PARSER_LIMITS, type ParserLimits, type StreamHandlers, type StreamReader } from './stream-reader.ts'

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

/** Reads a stream of octets, in whatever pieces they come; see `StreamReader` for its methods. Time is linear, memory bounded by `limits`. */
export class StreamParser implements StreamReader {
  limits: ParserLimits

  readonly #handlers: StreamHandlers
  #context: NamespaceContext = NO_CONTEXT
  readonly #framer = new Framer()
  #closed = false
  #headerName = ''
  #paused = false
  #writing = false
  #waiting: Uint8Array[] | undefined
  #waitingBytes = 0

  constructor(handlers: StreamHandlers, limits: Partial<ParserLimits> = {}) {
    this.#handlers = handlers
    this.limits = { ...DEFAULT_PARSER_LIMITS, ...limits }
  }

  write(chunk: Uint8Array | string): void {
    if (this.#closed || chunk.length === 0) return
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
    this.#closed = false
    this.#framer.restart()
  }

  close(): void {
    this.#closed = true
    this.#framer.restart()
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
      while (done < bytes.length && !this.#closed && !this.#paused) {
        const from = done
        try {
          const item = this.#framer.scan(bytes, from, this.limits)
          done = this.#framer.at
          this.#emit(item, bytes, from)
        } catch (error) {
          if (!(error instanceof Refusal)) throw error
          this.close()
          this.#handlers.error(error.error)
        }
      }
    } finally {
      this.#writing = false
      if (done < bytes.length && !this.#closed) {
        const later = this.#waiting
        this.discard()
        this.#wait(bytes.subarray(done))
        for (const next of later ?? []) this.#wait(next)
      }
    }
    if (!this.#paused) this.#drain()
  }

  #emit(item: Item, bytes: Buffer, from: number): void {
    switch (item) {
      case MORE:
        return this.#framer.hold(bytes, from)
      case BLANK:
        return this.#handlers.whitespace?.()
      case DECLARED: {
        const match = XML_DECLARATION.exec(this.#framer.take(bytes, from))
        if (match === null) throw refuse('not-well-formed', 'XML declaration')
        if (!/^utf-8$/i.test(match[1] ?? match[2] ?? 'utf-8')) throw refuse('unsupported-encoding')
        return
      }
      case HEADER: {
        const source = this.#framer.take(bytes, from)
        const { element, context } = refusing(() => readStartTag(source, this.limits))
        // Pieces of a text keep all of it: what is the same for nearly all streams is shared.
        this.#context = USUAL.find((usual) => isSame(usual, context)) ?? context
        const name = source.slice(1).split(/[\s>]/, 1)[0] ?? ''
        this.#headerName = name === USUAL_NAME ? USUAL_NAME : name
        return this.#handlers.streamStart(element, context.xmlns)
      }
      case STANZA: {
        const source = this.#framer.take(bytes, from)
        let stanza: Element
        try {
          stanza = readElement(source, this.#context, this.limits)
        } catch (error) {
          throw error instanceof StreamError ? new Refusal(error) : error
        }
        return this.#handlers.element(stanza)
      }
      default:
        if (this.#framer.take(bytes, from).slice(2, -1).trimEnd() !== this.#headerName)
          throw refuse('not-well-formed', 'the end tag does not match')
        this.close()
        return this.#handlers.streamEnd()
    }
  }
}

function refusing<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof StreamError ? new Refusal(error) : error
  }
}
