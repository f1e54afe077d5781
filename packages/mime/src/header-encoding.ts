// RFC 2045 §6: another Content-Transfer-Encoding for a part.

import { Headers } from './headers.ts'
import type { Part } from './structure.ts'

const FIELD = 'content-transfer-encoding'

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
