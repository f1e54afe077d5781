// RFC 2045 §5.1, 2183 and 2231: the bodies of Content-Type and Content-Disposition, read as generously as mail demands.

import { decodeCharset } from './charset.ts'

/** Name as written (compare in lower case) and value, decoded. */
export type Parameter = [name: string, value: string]

export interface ContentType {
  type: string
  subtype: string
  parameters: Parameter[]
}

export interface Disposition {
  /** `attachment`, `inline` ...: as written. */
  type: string
  parameters: Parameter[]
}

/** Reads an unfolded Content-Type; undefined when there is no type/subtype. `most` limits the parameters. */
export function parseContentType(text: string, most = 100): ContentType | undefined {
  const at = skipComments(text, 0)
  const typeEnd = tokenEnd(text, at)
  const slash = skipComments(text, typeEnd)
  if (typeEnd === at || text[slash] !== '/') return undefined
  const subtypeStart = skipComments(text, slash + 1)
  const subtypeEnd = tokenEnd(text, subtypeStart)
  if (subtypeEnd === subtypeStart) return undefined
  return {
    type: text.slice(at, typeEnd),
    subtype: text.slice(subtypeStart, subtypeEnd),
    parameters: parseParameters(text, subtypeEnd, most),
  }
}

/** Reads an unfolded Content-Disposition; undefined when there is no type. `most` limits the parameters. */
export function parseDisposition(text: string, most = 100): Disposition | undefined {
  const at = skipComments(text, 0)
  const end = tokenEnd(text, at)
  if (end === at) return undefined
  return { type: text.slice(at, end), parameters: parseParameters(text, end, most) }
}

/** A field body that is one token: comments cut, quotes taken off. */
export function unquoted(text: string): string {
  const at = skipComments(text, 0)
  if (text[at] === '"') return quotedString(text, at).value.trim()
  return text.slice(at, tokenEnd(text, at))
}

/** A piece of a parameter before RFC 2231 continuations are joined. */
interface Segment {
  readonly value: string
  readonly extended: boolean
}

/** A parameter as its segments by number; `plain` is the form without an asterisk. */
interface Pieces {
  readonly name: string
  plain: string | undefined
  segments: Map<number, Segment> | undefined
}

/** The name with RFC 2231's section and asterisk: `filename*0*`. */
const SECTIONED = /^([^*]+)\*(?:(\d{1,4})(\*)?)?$/

function parseParameters(text: string, start: number, most: number): Parameter[] {
  const found: Pieces[] = []
  const byName = new Map<string, Pieces>()
  let segments = 0
  let at = start
  while (at < text.length && segments < most) {
    const semicolon = text.indexOf(';', skipComments(text, at))
    if (semicolon < 0) break
    const nameStart = skipComments(text, semicolon + 1)
    const nameEnd = tokenEnd(text, nameStart)
    const equals = skipComments(text, nameEnd)
    at = nameEnd
    if (nameEnd === nameStart || text[equals] !== '=') continue
    const { value, end } = parameterValue(text, skipComments(text, equals + 1))
    at = end
    segments++

    const written = text.slice(nameStart, nameEnd)
    const sectioned = written.includes('*') ? SECTIONED.exec(written) : null
    const name = sectioned?.[1] ?? written
    const key = name.toLowerCase()
    let pieces = byName.get(key)
    if (!pieces) {
      pieces = { name, plain: undefined, segments: undefined }
      byName.set(key, pieces)
      found.push(pieces)
    }
    if (!sectioned) pieces.plain ??= value
    else {
      const number = sectioned[2] === undefined ? 0 : Number(sectioned[2])
      const extended = sectioned[2] === undefined || sectioned[3] !== undefined
      pieces.segments ??= new Map()
      if (!pieces.segments.has(number)) pieces.segments.set(number, { value, extended })
    }
  }
  return found.map((pieces) => [pieces.name, (pieces.segments && joined(pieces.segments)) ?? pieces.plain ?? ''])
}

/** RFC 2231 §3 and §4: segments from 0 without a gap, percent-decoded where marked, as text in the charset that the first one names. */
function joined(segments: Map<number, Segment>): string | undefined {
  let charset = ''
  const pieces: Buffer[] = []
  let plain = ''
  let anyExtended = false
  for (let number = 0; ; number++) {
    const segment = segments.get(number)
    if (!segment) break
    let { value } = segment
    if (segment.extended) {
      anyExtended = true
      if (number === 0) {
        const first = value.indexOf("'")
        const second = value.indexOf("'", first + 1)
        if (first >= 0 && second >= 0) {
          charset = value.slice(0, first)
          value = value.slice(second + 1)
        }
      }
      pieces.push(percentDecoded(value))
    } else {
      plain += value
      pieces.push(Buffer.from(value))
    }
  }
  if (pieces.length === 0) return undefined
  return anyExtended ? decodeCharset(Buffer.concat(pieces), charset) : plain
}

function percentDecoded(text: string): Buffer {
  if (!text.includes('%')) return Buffer.from(text)
  const source = Buffer.from(text)
  const out = Buffer.allocUnsafeSlow(source.length)
  let length = 0
  for (let i = 0; i < source.length; i++) {
    if (source[i] === 0x25 && i + 2 < source.length) {
      const high = hexDigit(source[i + 1] ?? 0)
      const low = hexDigit(source[i + 2] ?? 0)
      if (high >= 0 && low >= 0) {
        out[length++] = high * 16 + low
        i += 2
        continue
      }
    }
    out[length++] = source[i] ?? 0
  }
  return out.subarray(0, length)
}

/** Value of a hexadecimal digit given as an octet; -1 for others. */
export function hexDigit(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30
  const lower = octet | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function parameterValue(text: string, at: number): { value: string; end: number } {
  if (text[at] === '"') return quotedString(text, at)
  const end = valueEnd(text, at)
  const next = skipComments(text, end)
  if (next >= text.length || text[next] === ';') return { value: text.slice(at, end), end }
  // `name=annual report.pdf` without quotes: everything up to the semicolon is meant.
  const semicolon = text.indexOf(';', next)
  const stop = semicolon < 0 ? text.length : semicolon
  return { value: text.slice(at, stop).trimEnd(), end: stop }
}

/** A quoted-string (RFC 5322 §3.2.4) that begins at `at`; one that is never closed reaches to the end. */
export function quotedString(text: string, at: number): { value: string; end: number } {
  let value = ''
  let from = at + 1
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) return { value: value + text.slice(from, i), end: i + 1 }
    if (code === 0x5c && i + 1 < text.length) {
      value += text.slice(from, i)
      from = ++i
    }
  }
  return { value: value + text.slice(from), end: text.length }
}

/** The place after white space and (nested) comments. */
export function skipComments(text: string, at: number): number {
  let depth = 0
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x28) depth++
    else if (depth > 0) {
      if (code === 0x29) depth--
      else if (code === 0x5c) at++
    } else if (code !== 0x20 && code !== 0x09 && code !== 0x0d && code !== 0x0a) return at
  }
  return Math.min(at, text.length)
}

/** Ends of MIME tokens: white space, controls and the tspecials of RFC 2045. */
function tokenEnd(text: string, at: number): number {
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code <= 0x20 || code === 0x7f) break
    switch (code) {
      case 0x28: // (
      case 0x29: // )
      case 0x3c: // <
      case 0x3e: // >
      case 0x40: // @
      case 0x2c: // ,
      case 0x3b: // ;
      case 0x3a: // :
      case 0x5c: // \
      case 0x22: // "
      case 0x2f: // /
      case 0x5b: // [
      case 0x5d: // ]
      case 0x3f: // ?
      case 0x3d: // =
        return at
    }
  }
  return at
}

/** Unquoted values often hold tspecials (`boundary=a=b/c`): only white space, a semicolon or a comment ends them. */
function valueEnd(text: string, at: number): number {
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code <= 0x20 || code === 0x3b || code === 0x28) break
  }
  return at
}
