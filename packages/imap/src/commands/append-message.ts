// RFC 9051 §6.3.12 `append-message`, which APPEND and REPLACE share: flags, date, and the message as a literal, as CATENATE (RFC 4469) of pieces, or as
// UTF8 (RFC 6855 §4, kept for clients of before RFC 9755).

import type { ZonedTime } from '../wire/dates.ts'
import { bad } from '../wire/errors.ts'
import { type Parser, utf8Text } from '../wire/parser.ts'

/** A run of the message's octets. */
export type Piece =
  | { readonly kind: 'octets'; readonly octets: Uint8Array; readonly binary: boolean }
  | { readonly kind: 'url'; readonly url: string }

/** One message as the client gave it. */
export interface GivenMessage {
  flags: readonly string[]
  date: ZonedTime | undefined
  readonly pieces: Piece[]
}

/** What a literal will be that stands where the text ends: the message, a piece of it, a piece that must be a literal8, or an ordinary string. */
export type Awaited = 'message' | 'text' | 'utf8' | 'string'

const QUOTE = 0x22

/**
 * Reads ` [flags] [date] data`, again and again when `many`, into `out`. Answers what is still missing where the text ends before the command does:
 * undefined when nothing is.
 */
export function readMessages(parser: Parser, out: GivenMessage[], many: boolean): Awaited | undefined {
  for (;;) {
    parser.space()
    const message: GivenMessage = { flags: [], date: undefined, pieces: [] }
    out.push(message)
    if (parser.atList) {
      message.flags = parser.flags()
      parser.space()
    }
    if (parser.peek() === QUOTE) {
      message.date = parser.dateTime()
      parser.space()
    }
    const missing = readData(parser, message.pieces)
    if (missing !== undefined || !many || parser.atEnd) return missing
  }
}

function readData(parser: Parser, pieces: Piece[]): Awaited | undefined {
  if (parser.atEnd) return 'message'
  if (parser.atLiteral) {
    pieces.push({ kind: 'octets', ...parser.literal() })
    return undefined
  }
  const word = parser.atom().toUpperCase()
  if (word === 'UTF8') return readUtf8(parser, pieces)
  if (word !== 'CATENATE')
    throw bad('A literal, CATENATE (...) or a date such as "01-Feb-2026 10:20:30 +0100" is missing')
  parser.space()
  parser.char('(')
  do {
    const kind = parser.word()
    if (kind === 'UTF8') {
      const missing = readUtf8(parser, pieces)
      if (missing !== undefined) return missing
      continue
    }
    if (kind !== 'TEXT' && kind !== 'URL') throw bad('CATENATE takes TEXT literals and URLs')
    parser.space()
    if (parser.atEnd) return kind === 'TEXT' ? 'text' : 'string'
    if (kind === 'TEXT') pieces.push({ kind: 'octets', ...parser.literal() })
    else pieces.push({ kind: 'url', url: utf8Text(parser.astring()) })
  } while (parser.trySpace())
  parser.char(')')
  return undefined
}

/** `(~{n}...)` behind `UTF8`. */
function readUtf8(parser: Parser, pieces: Piece[]): Awaited | undefined {
  if (!parser.utf8) throw bad('UTF8 needs ENABLE UTF8=ACCEPT')
  parser.space()
  parser.char('(')
  if (parser.atEnd) return 'utf8'
  const literal = parser.literal()
  if (!literal.binary) throw bad('UTF8 takes a binary literal (~{n})')
  pieces.push({ kind: 'octets', ...literal })
  parser.char(')')
  return undefined
}
