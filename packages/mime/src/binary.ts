// RFC 3030 and RFC 3516 §4.4: bodies in Content-Transfer-Encoding binary, put into base64 where a store of text lines could not keep them.

import { Headers } from './headers.ts'
import { asBuffer, CR, LF } from './octets.ts'
import { parseStructure, type Part } from './structure.ts'
import { encodeBase64 } from './transfer-encoding.ts'

const FIELD = 'content-transfer-encoding'

/**
 * The message with every binary part that holds NUL, or a CR or LF that is not one of a pair, in base64: decoded, it gives the same octets as before.
 * All else stays as it is; the same object back when there is nothing to do. NUL anywhere else stays too: look for it afterwards.
 */
export function encodeBinaryParts(bytes: Uint8Array): Uint8Array {
  const source = asBuffer(bytes)
  const runs: Uint8Array[] = []
  let done = 0
  for (const part of leaves(parseStructure(bytes))) {
    if (part.encoding !== 'BINARY' || isText(source, part.bodyStart, part.bodyEnd)) continue
    runs.push(source.subarray(done, part.headerStart), ...headerWithEncoding(source, part, 'base64'))
    const encoded = encodeBase64(source.subarray(part.bodyStart, part.bodyEnd))
    // Inside a multipart the last line end is the boundary's own.
    runs.push(Buffer.from(part.bodyEnd < source.length ? encoded.slice(0, -2) : encoded, 'latin1'))
    done = part.bodyEnd
  }
  if (done === 0) return bytes
  runs.push(source.subarray(done))
  return Buffer.concat(runs)
}

/** Parts that may be in base64, in the order of the message: RFC 2045 §6.4 forbids it for multipart and message. */
function* leaves(root: Part): Generator<Part> {
  const waiting = [root]
  for (let part = waiting.pop(); part; part = waiting.pop()) {
    if (part.message) waiting.push(part.message)
    waiting.push(...part.children.toReversed())
    const type = part.type.toLowerCase()
    if (type !== 'multipart' && type !== 'message') yield part
  }
}

/** No NUL, and CR and LF only in pairs. */
function isText(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const octet = bytes[at]
    if (octet === 0) return false
    if (octet === LF) return false
    if (octet !== CR) continue
    if (at + 1 >= end || bytes[at + 1] !== LF) return false
    at++
  }
  return true
}

/** The header of a part with this one Content-Transfer-Encoding, in the place of the first that it had, else on top. */
export function headerWithEncoding(bytes: Buffer, part: Part, encoding: string): Uint8Array[] {
  const runs: Uint8Array[] = []
  let at = part.headerStart
  let named = false
  for (const { name, start, end } of Headers.parse(bytes, part.headerStart, part.bodyStart).fields()) {
    if (name.toLowerCase() !== FIELD) continue
    runs.push(bytes.subarray(at, start))
    if (!named) runs.push(Buffer.from(`Content-Transfer-Encoding: ${encoding}\r\n`))
    named = true
    at = end
  }
  runs.push(bytes.subarray(at, part.bodyStart))
  if (!named) runs.unshift(Buffer.from(`Content-Transfer-Encoding: ${encoding}\r\n`))
  return runs
}
