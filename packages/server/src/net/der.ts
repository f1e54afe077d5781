// ITU-T X.690: just enough DER to write certificates (RFC 5280)

/** A value with its tag and its length (§8.1). */
export function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const size: number[] = []
  for (let rest = content.length; rest > 0; rest >>= 8) size.unshift(rest & 0xff)
  const length = content.length < 0x80 ? [content.length] : [0x80 | size.length, ...size]
  return Buffer.concat([Buffer.of(tag, ...length), content])
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => tlv(0x30, ...parts)
export const set = (...parts: readonly Uint8Array[]): Buffer => tlv(0x31, ...parts)
/** An INTEGER of octets in two's complement (§8.3). */
export const integer = (octets: Uint8Array): Buffer => tlv(0x02, octets)
export const utf8 = (text: string): Buffer => tlv(0x0c, Buffer.from(text, 'utf8'))

/** An object identifier (§8.19). */
export function oid(...arcs: readonly number[]): Buffer {
  const [first = 0, second = 0, ...rest] = arcs
  const octets = [first * 40 + second]
  for (const arc of rest) {
    const digits = [arc & 0x7f]
    for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift(0x80 | (left & 0x7f))
    octets.push(...digits)
  }
  return tlv(0x06, Buffer.from(octets))
}

/** RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime afterwards. */
export function time(at: Date): Buffer {
  const text = at.toISOString().replace(/[-:T]|\.\d+/g, '')
  return at.getUTCFullYear() < 2050 ? tlv(0x17, Buffer.from(text.slice(2))) : tlv(0x18, Buffer.from(text))
}
