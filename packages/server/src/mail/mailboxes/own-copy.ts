// A large message in memory of its own, made a piece at a time: nobody else waits for its millions of octets.

import { setImmediate as turn } from 'node:timers/promises'
import { copyNormalised, normalisedLength } from '@aviso/mime'

/** Octets that are looked at in one go: a millisecond or two. */
const PIECE = 512 * 1024

const CR = 0x0d
const LF = 0x0a

/** A copy of `octets` that is the only view of its memory, with CRLF line ends. */
export async function ownCopy(octets: Uint8Array): Promise<Uint8Array> {
  let length = 0
  for (const piece of pieces(octets)) {
    length += normalisedLength(piece)
    await turn()
  }
  const copy = Buffer.allocUnsafeSlow(length)
  const asItIs = length === octets.byteLength
  let at = 0
  for (const piece of pieces(octets)) {
    if (!asItIs) at = copyNormalised(piece, copy, at)
    else {
      copy.set(piece, at)
      at += piece.byteLength
    }
    await turn()
  }
  return copy
}

/** Views of `octets`, one behind the other. No CRLF is cut. */
function* pieces(octets: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < octets.byteLength;) {
    let end = Math.min(start + PIECE, octets.byteLength)
    if (octets[end - 1] === CR && octets[end] === LF) end++
    yield octets.subarray(start, end)
    start = end
  }
}
