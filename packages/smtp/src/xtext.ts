// RFC 3461 §4: xtext, the coding of parameter values. RFC 6533 §3: its sister for addresses with UTF-8.

/** Codes printable ASCII and more as xtext: `+`, `=` and every octet (of UTF-8) outside `!`..`~` become `+HH`. */
export function encodeXtext(text: string): string {
  let coded = ''
  for (const octet of Buffer.from(text, 'utf8')) {
    const plain = octet >= 0x21 && octet <= 0x7e && octet !== 0x2b && octet !== 0x3d
    coded += plain ? String.fromCharCode(octet) : '+' + octet.toString(16).toUpperCase().padStart(2, '0')
  }
  return coded
}

/** Reads xtext; undefined when it is none or hides octets that are no UTF-8. A `=` is let through: senders forget to code it. */
export function decodeXtext(coded: string): string | undefined {
  if (!/^(?:[!-*,-~]|\+[0-9A-Fa-f]{2})*$/.test(coded)) return undefined
  if (!coded.includes('+')) return coded
  const octets = Buffer.alloc(coded.length)
  let length = 0
  for (let i = 0; i < coded.length; i++) {
    const unit = coded.charCodeAt(i)
    if (unit === 0x2b) {
      octets[length++] = parseInt(coded.slice(i + 1, i + 3), 16)
      i += 2
    } else {
      octets[length++] = unit
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets.subarray(0, length))
  } catch {
    return undefined
  }
}

/** Reads the address of an `ORCPT=utf-8;...`, where `\x{HEX}` stands for a character (RFC 6533 §3); undefined when malformed. */
export function decodeUtf8AddressXtext(coded: string): string | undefined {
  let text = ''
  for (let i = 0; i < coded.length;) {
    const character = coded[i] ?? ''
    if (character !== '\\') {
      if (character <= ' ' || character === '\u007f') return undefined
      text += character
      i++
      continue
    }
    const close = coded.indexOf('}', i)
    const hex = coded.slice(i + 3, close)
    if (!coded.startsWith('\\x{', i) || close < 0 || !/^[0-9A-Fa-f]{2,6}$/.test(hex)) return undefined
    const point = parseInt(hex, 16)
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined
    text += String.fromCodePoint(point)
    i = close + 1
  }
  return text
}

/** Writes an address for `ORCPT=utf-8;...` in the all-ASCII form. */
export function encodeUtf8AddressXtext(address: string): string {
  let coded = ''
  for (const character of address) {
    const point = character.codePointAt(0) ?? 0
    const plain = point > 0x20 && point < 0x7f && character !== '\\' && character !== '+' && character !== '='
    coded += plain ? character : `\\x{${point.toString(16).toUpperCase().padStart(2, '0')}}`
  }
  return coded
}
