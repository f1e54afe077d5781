// RFC 3030 and RFC 3516 §4.4: bodies in Content-Transfer-Encoding binary, put into base64 where a store of text lines could not keep them.

import { BinaryEncoder } from './binary-encoder.ts'
import { asBuffer, CR, LF } from './octets.ts'

/**
 * The message with its binary parts in base64: decoded, they give the same octets as before. All else stays as it is; the same object back when there is
 * nothing to do, as for a message that is lines of text already. NUL may be left in parts that do not say that they are binary: look for it afterwards.
 */
export function encodeBinaryParts(bytes: Uint8Array): Uint8Array {
  if (isText(asBuffer(bytes))) return bytes
  const encoder = new BinaryEncoder()
  const runs: Buffer[] = []
  const hand = (octets: Buffer): void => void runs.push(octets)
  encoder.push(bytes, hand)
  encoder.end(hand)
  return encoder.changed ? Buffer.concat(runs) : bytes
}

/** No NUL, and CR and LF only in pairs. */
function isText(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at++) {
    const octet = bytes[at] ?? 0
    if (octet > CR) continue
    if (octet === 0 || octet === LF) return false
    if (octet !== CR) continue
    if (bytes[at + 1] !== LF) return false
    at++
  }
  return true
}
