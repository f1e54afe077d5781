// RFC 2047: text with encoded-words, and the making of them.

import { decodeCharset } from './charset.ts'
import { decodeBase64, decodeQuotedPrintable } from './transfer-encoding.ts'

/** Spaces inside the text are not allowed but common. All repetitions stop at a question mark, so a scan stays linear. */
const ENCODED_WORD = /=\?([^?\s]{1,80})\?([bBqQ])\?([^?\r\n]*)\?=/g
const BLANK = /^[ \t\r\n]*$/

/**
 * Text of an unstructured field or a phrase, with its encoded-words decoded. White space between two of them vanishes, and neighbours in one
 * charset are decoded together, since some software splits a character between words. What cannot be decoded stays as written.
 */
export function decodeWords(text: string): string {
  if (!text.includes('=?')) return text
  let out = ''
  let from = 0
  let charset = ''
  let pending: Buffer[] = []
  const flush = () => {
    if (pending.length > 0) out += decodeCharset(Buffer.concat(pending), charset)
    pending = []
  }
  for (const match of text.matchAll(ENCODED_WORD)) {
    const between = text.slice(from, match.index)
    if (pending.length === 0 || !BLANK.test(between)) {
      flush()
      out += between
    }
    const [word, written = '', encoding, encoded = ''] = match
    const label = written.toLowerCase()
    if (label !== charset) flush()
    charset = label
    const octets = Buffer.from(encoded)
    pending.push(encoding === 'q' || encoding === 'Q' ? decodeQ(octets) : decodeBase64(octets))
    from = match.index + word.length
  }
  flush()
  return out + text.slice(from)
}

/** The Q encoding: quoted-printable where `_` is a space (RFC 2047 §4.2). */
function decodeQ(octets: Buffer): Buffer {
  for (let i = 0; i < octets.length; i++) if (octets[i] === 0x5f) octets[i] = 0x20
  return decodeQuotedPrintable(octets, true)
}

/** Octets of UTF-8 that fit one word: 75 characters less `=?UTF-8?B??=`, in groups of three. */
const WORD_OCTETS = 45

/**
 * Text for a field body in ASCII: as it is where that is possible, else its words from the first to the last that need it as encoded-words of
 * UTF-8, one space between them for folding.
 */
export function encodeWords(text: string): string {
  const clean = text.replace(/[\r\n\0]+/g, ' ')
  if (!/[^\x20-\x7e\t]/.test(clean) && !clean.includes('=?')) return clean
  const words = clean.split(' ')
  const needs = (word: string) => /[^\x21-\x7e]/.test(word) || word.includes('=?')
  const first = words.findIndex(needs)
  const last = words.findLastIndex(needs)
  return [
    ...words.slice(0, first),
    ...encodedWords(words.slice(first, last + 1).join(' ')),
    ...words.slice(last + 1),
  ].join(' ')
}

/** All of a display name as encoded-words: between them no specials are left that would need quotes (RFC 2047 §5). */
export function encodePhrase(name: string): string {
  return encodedWords(name.replace(/[\r\n\0]+/g, ' ')).join(' ')
}

function encodedWords(text: string): string[] {
  const words: string[] = []
  let piece = ''
  let octets = 0
  for (const character of text) {
    const size = Buffer.byteLength(character)
    if (octets + size > WORD_OCTETS) {
      words.push(`=?UTF-8?B?${Buffer.from(piece).toString('base64')}?=`)
      piece = ''
      octets = 0
    }
    piece += character
    octets += size
  }
  words.push(`=?UTF-8?B?${Buffer.from(piece).toString('base64')}?=`)
  return words
}
