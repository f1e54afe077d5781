// Octets to text by a charset label, never failing: wrong labels are common in mail.

import { isAscii } from 'node:buffer'
import { asBuffer } from './octets.ts'

const NAMED_OTHERWISE: ReadonlyMap<string, string> = new Map([
  ['cp1250', 'windows-1250'],
  ['cp1251', 'windows-1251'],
  ['cp1252', 'windows-1252'],
  ['cp1257', 'windows-1257'],
  ['cp932', 'shift_jis'],
  ['cp936', 'gbk'],
  ['cp949', 'euc-kr'],
  ['cp950', 'big5'],
  ['utf-7', ''],
])

/**
 * Text of octets in a charset (an IANA or WHATWG label, any case). No label, US-ASCII and labels that nobody knows mean: UTF-8 if it is valid
 * UTF-8, else Windows-1252 (which holds Latin-1).
 */
export function decodeCharset(octets: Uint8Array, charset: string): string {
  const label = charset.trim().toLowerCase()
  // RFC 2231 §5: a language may follow the charset.
  const star = label.indexOf('*')
  const name = star < 0 ? label : label.slice(0, star)
  if (name !== '' && name !== 'us-ascii' && name !== 'ascii' && name !== 'utf-8' && name !== 'utf8') {
    try {
      return new TextDecoder(NAMED_OTHERWISE.get(name) ?? name).decode(octets)
    } catch {
      // Unknown label (RangeError): as if there were none.
    }
  }
  if (isAscii(octets)) return asBuffer(octets).toString('latin1')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(octets)
  } catch {
    // An honest UTF-8 label with a few broken octets keeps its good characters; an unlabelled text is Windows-1252.
    return new TextDecoder(name === 'utf-8' || name === 'utf8' ? 'utf-8' : 'windows-1252').decode(octets)
  }
}
