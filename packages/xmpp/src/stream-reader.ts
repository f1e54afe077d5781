// What reads a stream: its limits, whom it tells, and how it is stopped and set going. One reads octets (stream-parser.ts), one messages (stream/messages.ts).

import type { Element } from './element.ts'
import type { StreamError } from './stream-error.ts'

/** What a peer may send before its stream ends with policy-violation. */
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

/** Enough for every client and server that is known, and for nobody to harm. */
export const DEFAULT_PARSER_LIMITS: ParserLimits = { stanzaBytes: 262_144, depth: 64, attributes: 64, prefixes: 32 }

/** Whom a reader tells what it has read, in the order of the stream. */
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
