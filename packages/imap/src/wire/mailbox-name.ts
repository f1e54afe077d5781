// RFC 3501 §5.1.3: mailbox names in modified UTF-7, and what a name is to us: Unicode NFC, levels separated by `/`.

import { astring, quote } from './encode.ts'

/** A mailbox name for the wire, as one string for `ResponseStream.text`: UTF-8 in quotes for clients that asked for it, else modified UTF-7. */
export function writeMailboxName(name: string, utf8: boolean): string {
  // The stream writes one octet for each character, so UTF-8 is handed over as such.
  return utf8 ? quoteUtf8(name) : astring(encodeMutf7(name))
}

function quoteUtf8(name: string): string {
  const plain = astring(name)
  for (let i = 0; i < name.length; i++)
    if (name.charCodeAt(i) >= 0x80) return quote(Buffer.from(name.toWellFormed()).toString('latin1'))
  return plain
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,'

/** Modified UTF-7 of a name. Unpaired surrogates become U+FFFD. */
export function encodeMutf7(name: string): string {
  let plain = true
  for (let i = 0; plain && i < name.length; i++) {
    const unit = name.charCodeAt(i)
    plain = unit >= 0x20 && unit <= 0x7e && unit !== 0x26
  }
  if (plain) return name
  let out = ''
  let bits = 0
  let held = 0
  let shifted = false
  const text = name.toWellFormed()
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0x20 && unit <= 0x7e) {
      if (shifted) {
        if (held > 0) out += BASE64[(bits << (6 - held)) & 63]
        out += '-'
        shifted = false
        bits = held = 0
      }
      out += unit === 0x26 ? '&-' : text[i]
      continue
    }
    if (!shifted) {
      out += '&'
      shifted = true
    }
    bits = (bits << 16) | unit
    held += 16
    while (held >= 6) {
      held -= 6
      out += BASE64[(bits >>> held) & 63]
    }
    bits &= (1 << held) - 1
  }
  if (shifted) {
    if (held > 0) out += BASE64[(bits << (6 - held)) & 63]
    out += '-'
  }
  return out
}

/** The name behind modified UTF-7; undefined when it is not well-formed: null shift, unpaired surrogate, printable ASCII in base64, stray bits. */
export function decodeMutf7(text: string): string | undefined {
  let out = ''
  let i = 0
  while (i < text.length) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 || unit > 0x7e) return undefined
    if (unit !== 0x26) {
      out += text[i++]
      continue
    }
    const end = text.indexOf('-', i)
    if (end < 0) return undefined
    if (end === i + 1) {
      out += '&'
    } else {
      const decoded = decodeShift(text.slice(i + 1, end))
      if (decoded === undefined) return undefined
      out += decoded
      // `&AAA-&BBB-` would have been one shift: a second spelling of the same name.
      if (text[end + 1] === '&' && text[end + 2] !== '-') return undefined
    }
    i = end + 1
  }
  return out
}

function decodeShift(shift: string): string | undefined {
  let out = ''
  let bits = 0
  let held = 0
  for (const char of shift) {
    const value = BASE64.indexOf(char)
    if (value < 0) return undefined
    bits = (bits << 6) | value
    held += 6
    if (held < 16) continue
    held -= 16
    const unit = (bits >>> held) & 0xffff
    if (unit >= 0x20 && unit <= 0x7e) return undefined
    out += String.fromCharCode(unit)
    bits &= (1 << held) - 1
  }
  if (held >= 6 || bits !== 0 || out.length === 0 || !out.isWellFormed()) return undefined
  return out
}

/** Our one spelling of a name: NFC, and `INBOX` (also as first level) in capitals. */
export function canonicalName(name: string): string {
  const normal = name.normalize('NFC')
  // Without the flag `u`, only ASCII letters fold: `ınbox` is another name.
  return /^inbox(?=$|\/)/i.test(normal) ? 'INBOX' + normal.slice(5) : normal
}

/** Why a name cannot be created, as a sentence; undefined when it can. */
export function nameFault(name: string): string | undefined {
  if (name === '') return 'A mailbox name cannot be empty'
  if (Buffer.byteLength(name) > 1000) return 'The mailbox name is too long: at most 1000 octets'
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i)
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0)) return 'A mailbox name cannot hold control characters'
    // RFC 9755 §3
    if (unit === 0x2028 || unit === 0x2029) return 'A mailbox name cannot hold line or paragraph separators'
  }
  if (name.includes('*') || name.includes('%')) return 'A mailbox name cannot hold the wildcards * and %'
  if (name.split('/').some((level) => level === '')) return 'A mailbox name cannot hold an empty level between slashes'
  return undefined
}
