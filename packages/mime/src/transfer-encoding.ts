// RFC 2045 §6: Content-Transfer-Encodings, read with tolerance and written by the book.

import { hexDigit } from './content-fields.ts'
import { CR, LF, SPACE, TAB, asBuffer } from './octets.ts'

const EQUALS = 0x3d

/** Decodes octets in a Content-Transfer-Encoding (upper case). Encodings that are not known, and 7BIT, 8BIT, BINARY, give the octets themselves. */
export function decodeTransfer(octets: Uint8Array, encoding: string): Uint8Array {
  if (encoding === 'BASE64') return decodeBase64(octets)
  if (encoding === 'QUOTED-PRINTABLE') return decodeQuotedPrintable(octets)
  return octets
}

/** Value of each base64 octet; 64 for padding, 255 for what is skipped. */
const BASE64_VALUES = /* @__PURE__ */ base64Values()

function base64Values(): Uint8Array {
  const values = new Uint8Array(256).fill(255)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  for (let i = 0; i < 64; i++) values[alphabet.charCodeAt(i)] = i
  values[EQUALS] = 64
  return values
}

/**
 * Base64 (RFC 2045 §6.8): what is not in its alphabet is skipped, and padding in the middle ends a group and not the text, since some software
 * joins encoded pieces.
 */
export function decodeBase64(octets: Uint8Array): Buffer {
  const out = Buffer.allocUnsafeSlow(Math.floor((octets.length * 3) / 4) + 3)
  let length = 0
  let group = 0
  let bits = 0
  for (let i = 0; i < octets.length; i++) {
    const value = BASE64_VALUES[octets[i] ?? 0] ?? 0
    if (value < 64) {
      group = ((group << 6) | value) & 0xffffff
      bits += 6
      if (bits >= 8) {
        bits -= 8
        out[length++] = (group >> bits) & 0xff
      }
    } else if (value === 64) {
      group = 0
      bits = 0
    }
  }
  return out.subarray(0, length)
}

/** Quoted-printable (RFC 2045 §6.7). `=` that begins nothing stays as it is; blanks at the ends of lines are transport padding and go. */
export function decodeQuotedPrintable(octets: Uint8Array, keepBlanks = false): Buffer {
  const out = Buffer.allocUnsafeSlow(octets.length)
  const end = octets.length
  let length = 0
  /** Length of the output without blanks that may turn out to be at the end of a line. */
  let solid = 0
  for (let i = 0; i < end; i++) {
    const octet = octets[i] ?? 0
    if (octet === EQUALS) {
      const high = i + 2 < end ? hexDigit(octets[i + 1] ?? 0) : -1
      const low = high >= 0 ? hexDigit(octets[i + 2] ?? 0) : -1
      if (low >= 0) {
        out[length++] = high * 16 + low
        solid = length
        i += 2
        continue
      }
      let next = i + 1
      while (next < end && (octets[next] === SPACE || octets[next] === TAB)) next++
      if (next >= end || octets[next] === LF || (octets[next] === CR && (next + 1 >= end || octets[next + 1] === LF))) {
        // A soft line break: blanks before it are meant.
        solid = length
        i = next < end && octets[next] === CR ? next + 1 : next
        continue
      }
      out[length++] = octet
      solid = length
    } else if (octet === SPACE || octet === TAB) {
      out[length++] = octet
    } else {
      if (!keepBlanks && (octet === LF || (octet === CR && octets[i + 1] === LF))) length = solid
      out[length++] = octet
      solid = length
    }
  }
  return out.subarray(0, keepBlanks ? length : solid)
}

/** Base64 in lines of 76 with CRLF after each. */
export function encodeBase64(octets: Uint8Array): string {
  const text = asBuffer(octets).toString('base64')
  const lines: string[] = []
  for (let i = 0; i < text.length; i += 76) lines.push(text.slice(i, i + 76), '\r\n')
  return lines.join('')
}

const HEX = '0123456789ABCDEF'

/** Quoted-printable of text in UTF-8, or of text octets in any charset: lines of at most 76 octets; line ends in the text become CRLF. */
export function encodeQuotedPrintable(text: string | Uint8Array): string {
  const lines: string[] = []
  const [whole, charset] =
    typeof text === 'string' ? [text, 'utf8' as const] : [asBuffer(text).toString('latin1'), 'latin1' as const]
  for (const source of whole.split(/\r\n|\r|\n/)) {
    const octets = Buffer.from(source, charset)
    let line = ''
    for (let i = 0; i < octets.length; i++) {
      const octet = octets[i] ?? 0
      const last = i === octets.length - 1
      const plain = (octet > 32 && octet < 127 && octet !== EQUALS) || ((octet === SPACE || octet === TAB) && !last)
      const piece = plain ? String.fromCharCode(octet) : `=${HEX[octet >> 4]}${HEX[octet & 15]}`
      if (line.length + piece.length > 75 && !(last && line.length + piece.length <= 76)) {
        lines.push(`${line}=`)
        line = ''
      }
      line += piece
    }
    lines.push(line)
  }
  return lines.join('\r\n')
}
