// RFC 5322 §2.3: CR and LF only ever together.

import { CR, LF } from './octets.ts'

/** The octets with every bare CR and bare LF made CRLF; the same object back when there is none. */
export function normaliseNewlines(bytes: Uint8Array): Uint8Array {
  const length = normalisedLength(bytes)
  if (length === bytes.length) return bytes
  const out = Buffer.allocUnsafeSlow(length)
  copyNormalised(bytes, out, 0)
  return out
}

/** How many octets `normaliseNewlines` would answer. */
export function normalisedLength(bytes: Uint8Array): number {
  let missing = 0
  for (let i = 0; i < bytes.length; i++) {
    const octet = bytes[i]
    if (octet === LF) {
      if (i === 0 || bytes[i - 1] !== CR) missing++
    } else if (octet === CR && bytes[i + 1] !== LF) missing++
  }
  return bytes.length + missing
}

/** Writes what `normaliseNewlines` would answer into `out`, from `at` on. Answers where it ends. */
export function copyNormalised(bytes: Uint8Array, out: Uint8Array, at: number): number {
  let length = at
  for (let i = 0; i < bytes.length; i++) {
    const octet = bytes[i] ?? 0
    if (octet === CR || octet === LF) {
      out[length++] = CR
      out[length++] = LF
      if (octet === CR && bytes[i + 1] === LF) i++
    } else out[length++] = octet
  }
  return length
}
