// Bytes of header fields as text, and the other way.

export const TAB = 9
export const LF = 10
export const CR = 13
export const SPACE = 32
export const COLON = 58
export const DASH = 45

/** The same memory as a Buffer; nothing is copied. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Header octets as text: ASCII as it is, 8-bit as UTF-8 (RFC 6532), and what is not UTF-8 one character per octet, so that nothing is lost and
 * nothing throws.
 */
export function headerText(bytes: Buffer, start: number, end: number): string {
  for (let i = start; i < end; i++) {
    if ((bytes[i] ?? 0) < 0x80) continue
    const slice = bytes.subarray(start, end)
    try {
      return utf8.decode(slice)
    } catch {
      return slice.toString('latin1')
    }
  }
  return bytes.toString('latin1', start, end)
}

/** Unfolds a field body (RFC 5322 §2.2.3): line ends vanish, the white space after them stays; outer white space is cut. */
export function unfold(text: string): string {
  const whole = text.includes('\n') || text.includes('\r') ? text.replace(/[\r\n]/g, '') : text
  return whole.trim()
}
