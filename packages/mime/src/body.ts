// The content of a part: octets without the transfer encoding, text without the charset, and a glimpse of a message.

import { decodeCharset } from './charset.ts'
import { visibleText } from './html-text.ts'
import { asBuffer } from './octets.ts'
import type { Part } from './structure.ts'
import { decodeTransfer } from './transfer-encoding.ts'

/** The body of a part without its Content-Transfer-Encoding; `bytes` is the whole message. A view into it when nothing was encoded. */
export function decodeBody(part: Part, bytes: Uint8Array): Uint8Array {
  return decodeTransfer(bytes.subarray(part.bodyStart, part.bodyEnd), part.encoding)
}

/** The body of a text part as text, by its charset parameter, that of HTML else by its own declaration; see `decodeCharset` for labels that lie. */
export function decodeText(part: Part, bytes: Uint8Array): string {
  const body = decodeBody(part, bytes)
  return decodeCharset(body, charsetOf(part, body))
}

/** HTML 5 §13.2.3.2 looks for a declaration in the first 1024 octets. */
const DECLARED = /<meta\s[^>]{0,300}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w-]{2,40})/i

/** The label of the charset that `body` (of `part`, decoded) is in; empty where nothing tells. */
function charsetOf(part: Part, body: Uint8Array): string {
  const given = parameter(part.parameters, 'charset') ?? ''
  if (given !== '' || part.subtype.length !== 4 || part.subtype.toLowerCase() !== 'html') return given
  const declared = DECLARED.exec(asBuffer(body).toString('latin1', 0, 1024))?.[1] ?? ''
  // A document that could be read so far is in no encoding of wide units, whatever it says.
  return /^utf-?(?:16|32)/i.test(declared) ? '' : declared
}

/** Value of the parameter with this name (in lower case). */
export function parameter(parameters: readonly (readonly [string, string])[], name: string): string | undefined {
  for (const [key, value] of parameters) if (key.length === name.length && key.toLowerCase() === name) return value
  return undefined
}

/** True when a part is meant to be saved rather than shown. */
export function isAttachment(part: Part): boolean {
  return part.disposition?.type.toLowerCase() === 'attachment'
}

/** Octets of a body that a preview looks at. */
const PREVIEW_OCTETS = 8192

/**
 * The beginning of a message's text in one line of at most `max` characters (code points): of the first text/plain that is no attachment, else
 * of the first text/html as far as a person sees it. Empty when there is none. For RFC 8970 PREVIEW and notifications.
 */
export function previewText(root: Part, bytes: Uint8Array, max = 200): string {
  let html: Part | undefined
  const waiting: Part[] = [root]
  for (let part = waiting.pop(); part; part = waiting.pop()) {
    waiting.push(...part.children.toReversed())
    if (part.type.toLowerCase() !== 'text' || isAttachment(part)) continue
    const subtype = part.subtype.toLowerCase()
    if (subtype === 'html') html ??= part
    else if (subtype === 'plain') {
      const text = oneLine(beginning(part, bytes), max, true)
      if (text !== '') return text
    }
  }
  return html ? oneLine(visibleText(beginning(html, bytes)), max, false) : ''
}

/** Text of the first octets of a part; a character that the cut broke is left out. */
function beginning(part: Part, bytes: Uint8Array): string {
  const cut = part.bodyEnd - part.bodyStart > PREVIEW_OCTETS
  const end = cut ? part.bodyStart + PREVIEW_OCTETS : part.bodyEnd
  const decoded = asBuffer(decodeTransfer(bytes.subarray(part.bodyStart, end), part.encoding))
  let length = decoded.length
  if (cut) {
    // Not inside a UTF-8 sequence, else valid UTF-8 would be taken for Windows-1252.
    while (length > 0 && length > decoded.length - 4 && ((decoded[length - 1] ?? 0) & 0xc0) === 0x80) length--
    if (length > 0 && (decoded[length - 1] ?? 0) >= 0xc0) length--
  }
  return decodeCharset(decoded.subarray(0, length), charsetOf(part, decoded))
}

/**
 * The beginning of a text as one line; with `own`, without the lines that it quotes and its signature. Most texts are longer than what is shown: so much of them as is mostly enough is looked
 * at first.
 */
function oneLine(text: string, max: number, own: boolean): string {
  for (const enough of [max * 2, max * 6]) {
    const start = own ? withoutQuotes(text, enough) : text
    if (start.length <= enough) break
    const line = wholeLine(start.slice(0, enough))
    const end = endOf(line, max)
    // What the cut broke is behind that.
    if (end < line.length) return line.slice(0, end).trimEnd()
  }
  const line = wholeLine(own ? withoutQuotes(text, text.length) : text)
  const end = endOf(line, max)
  return end < line.length ? line.slice(0, end).trimEnd() : line
}

/** The lines that are no quotations, up to the signature: more than `enough` characters of them, or all. */
function withoutQuotes(text: string, enough: number): string {
  let own = ''
  let begun = false
  for (let at = 0; at <= text.length && own.length <= enough;) {
    const lineEnd = text.indexOf('\n', at)
    const end = lineEnd < 0 ? text.length : lineEnd
    if (text.startsWith('-- ', at) && (end === at + 3 || (end === at + 4 && text[at + 3] === '\r'))) {
      if (own !== '' && !begun) break
      // A text that begins with it has nothing else to show.
      begun = true
    }
    if (text[at] !== '>') own += `${text.slice(at, end)}\n`
    at = end + 1
  }
  return own
}

/** Controls and invisible fillers (soft hyphen, zero-width, combining grapheme joiner) pad previews of newsletters. */
const wholeLine = (text: string): string =>
  text
    .replace(/\u00ad|\u034f|[\u200b\u200c\u200e\u200f\u2060-\u2064\ufeff]/g, '')
    // All but the spaces that stand alone already, as nearly all do.
    .replace(/[\s\p{Cc}]{2,}|[^\S ]|\p{Cc}/gu, ' ')
    .trim()

/** Where the first `max` characters end. */
function endOf(text: string, max: number): number {
  let at = 0
  for (let count = 0; count < max && at < text.length; count++) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  return at
}
