// RFC 5321 §2.3.8: lines end with CRLF, and CR or LF must not stand alone. RFC 5321 §4.5.2: transparency of leading dots.

const CR = 0x0d
const LF = 0x0a
const DOT = 0x2e
const STUFFED = Buffer.from('\r\n.', 'latin1')

/** What is wrong with the lines of a message. */
export type LineFault = 'bare' | 'long'

/** Looks for a CR or LF alone and for a line of more than `max` octets (without CRLF); undefined when all is well. */
export function lineFault(message: Buffer, max: number): LineFault | undefined {
  let start = 0
  for (;;) {
    const lf = message.indexOf(LF, start)
    const end = lf < 0 ? message.length : lf
    const cr = message.indexOf(CR, start)
    if (lf < 0 ? cr >= 0 : cr < 0 || cr !== lf - 1) return 'bare'
    if (end - start > max + 1) return 'long'
    if (lf < 0) return undefined
    start = lf + 1
  }
}

/** The same text with every CR and LF that stood alone made a CRLF; the very same buffer when there was none. */
export function normaliseLines(message: Buffer): Buffer {
  if (lineFault(message, Infinity) !== 'bare') return message
  const normal = Buffer.allocUnsafeSlow(message.length * 2)
  let length = 0
  for (let at = 0; at < message.length; at++) {
    const octet = message[at] ?? 0
    if (octet === CR || octet === LF) {
      normal[length++] = CR
      normal[length++] = LF
      if (octet === CR && message[at + 1] === LF) at++
    } else {
      normal[length++] = octet
    }
  }
  return Buffer.from(normal.subarray(0, length))
}

/** Takes the dot off every line that begins with one. The message itself is left alone; without such a line it is returned as it is. */
export function unstuffDots(message: Buffer): Buffer {
  let dot = message[0] === DOT ? 0 : dotAfter(message, 0)
  if (dot < 0) return message
  const plain = Buffer.allocUnsafeSlow(message.length)
  let length = 0
  let from = 0
  while (dot >= 0) {
    length += message.copy(plain, length, from, dot)
    from = dot + 1
    dot = dotAfter(message, from)
  }
  length += message.copy(plain, length, from)
  return plain.subarray(0, length)
}

/** The place of the next dot that begins a line behind a CRLF at or after `from`, -1 when there is none. */
function dotAfter(message: Buffer, from: number): number {
  const found = message.indexOf(STUFFED, from)
  return found < 0 ? -1 : found + 2
}

/**
 * A message as DATA carries it: lines made CRLF, dots doubled, the end marked. `message` is any text; its octets are otherwise kept.
 */
export function stuffDots(message: Uint8Array): Buffer {
  const text = normaliseLines(Buffer.from(message.buffer, message.byteOffset, message.length))
  const pieces: Buffer[] = []
  let from = 0
  let dot = text[0] === DOT ? 0 : dotAfter(text, 0)
  while (dot >= 0) {
    pieces.push(text.subarray(from, dot + 1))
    from = dot
    dot = dotAfter(text, dot + 1)
  }
  pieces.push(text.subarray(from))
  const ended = text.length === 0 || (text[text.length - 1] === LF && text[text.length - 2] === CR)
  pieces.push(Buffer.from(ended ? '.\r\n' : '\r\n.\r\n', 'latin1'))
  return Buffer.concat(pieces)
}
