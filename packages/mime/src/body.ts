// The content of a part: octets without the transfer encoding, text without the charset, and a glimpse of a message.

import { decodeCharset } from './charset.ts'
import { asBuffer } from './octets.ts'
import type { Part } from './structure.ts'
import { decodeTransfer } from './transfer-encoding.ts'

/** The body of a part without its Content-Transfer-Encoding; `bytes` is the whole message. A view into it when nothing was encoded. */
export function decodeBody(part: Part, bytes: Uint8Array): Uint8Array {
  return decodeTransfer(bytes.subarray(part.bodyStart, part.bodyEnd), part.encoding)
}

/** The body of a text part as text, by its charset parameter; see `decodeCharset` for labels that lie. */
export function decodeText(part: Part, bytes: Uint8Array): string {
  return decodeCharset(decodeBody(part, bytes), parameter(part.parameters, 'charset') ?? '')
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
 * of the first text/html without its tags. Empty when there is none. For RFC 8970 PREVIEW and notifications.
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
      const text = oneLine(withoutQuotes(beginning(part, bytes)), max)
      if (text !== '') return text
    }
  }
  return html ? oneLine(withoutTags(beginning(html, bytes)), max) : ''
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
  return decodeCharset(decoded.subarray(0, length), parameter(part.parameters, 'charset') ?? '')
}

function withoutQuotes(text: string): string {
  const own = text.split('\n').filter((line) => !line.startsWith('>'))
  const signature = own.findIndex((line) => line === '-- ' || line === '-- \r')
  return (signature > 0 ? own.slice(0, signature) : own).join('\n')
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
  ['nbsp', ' '],
])

/** Enough of HTML for a preview: tags, comments, style and script go. The result is text for people, not safe HTML. */
function withoutTags(html: string): string {
  let out = ''
  let at = 0
  while (at < html.length) {
    const tag = html.indexOf('<', at)
    if (tag < 0) break
    out += html.slice(at, tag)
    const comment = html.startsWith('<!--', tag)
    const hidden = comment ? undefined : /^<(style|script|head|title)\b/i.exec(html.slice(tag, tag + 8))?.[1]
    if (hidden === undefined) {
      if (!/^<\/?(a|b|i|u|em|strong|span|font|small|big|sup|sub)\b/i.test(html.slice(tag, tag + 9))) out += ' '
    }
    const end = comment ? html.indexOf('-->', tag) : hidden ? closing(html, hidden, tag) : html.indexOf('>', tag)
    if (end < 0) return entities(out)
    at = end + (comment ? 3 : 1)
  }
  return entities(out + html.slice(at))
}

function closing(html: string, name: string, from: number): number {
  const pattern = new RegExp(`</${name}\\s{0,20}>`, 'gi')
  pattern.lastIndex = from
  const match = pattern.exec(html)
  return match ? match.index + match[0].length - 1 : -1
}

function entities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-z]{2,6}));/g, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES.get(String(name)) ?? whole
    const code = decimal === undefined ? parseInt(String(hex), 16) : Number(decimal)
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : ''
  })
}

/** The beginning of a text as one line. Most texts are longer than what is shown: so much of them as is surely enough is looked at first. */
function oneLine(text: string, max: number): string {
  const enough = max * 6
  if (text.length > enough) {
    const line = wholeLine(text.slice(0, enough), max)
    if (Array.from(line).length >= max) return line
  }
  return wholeLine(text, max)
}

function wholeLine(text: string, max: number): string {
  // Controls and invisible fillers (soft hyphen, zero-width, combining grapheme joiner) pad previews of newsletters.
  const line = text
    .replace(/\u00ad|\u034f|[\u200b\u200c\u200e\u200f\u2060-\u2064\ufeff]/g, '')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  if (line.length <= max) return line
  let out = ''
  let count = 0
  for (const character of line) {
    if (count++ >= max) break
    out += character
  }
  return out.trimEnd()
}
