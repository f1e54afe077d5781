// RFC 6152 §3: a message with 8-bit parts for a server that takes none, part by part.

import { isAscii } from 'node:buffer'
import { headerWithEncoding } from './header-encoding.ts'
import { Headers } from './headers.ts'
import { asBuffer } from './octets.ts'
import { parseStructure, type Part } from './structure.ts'
import { encodeBase64, encodeQuotedPrintable } from './transfer-encoding.ts'

/** Encodings that say: the octets as they are. */
const PLAIN: ReadonlySet<string> = new Set(['', '7BIT', '8BIT', 'BINARY'])
const NUL = 0

/**
 * The message in ASCII: parts with other octets are put into quoted-printable (text) or base64 (all else), and labels of the parts around them say 7bit.
 * The same object back when there is nothing to do. Undefined where it cannot be done without harm: 8-bit in a header, in what is signed
 * (RFC 1847 §2.1 forbids to touch it) or between the parts of a multipart. Takes time linear in the octets, some ten ms for each MiB that is encoded.
 */
export function toSevenBit(bytes: Uint8Array): Uint8Array | undefined {
  const source = asBuffer(bytes)
  if (plain(source)) return bytes
  const runs: Uint8Array[] = [unlabelled(bytes)]
  let done = 0
  // In the order of the message, so that each run begins where the last one ended.
  for (const part of inOrder(parseStructure(bytes))) {
    const content = source.subarray(part.bodyStart, part.bodyEnd)
    const inside = part.message !== undefined || part.children.length > 0
    const eightBit = !plain(content)
    if (eightBit && isType(part, 'multipart', 'signed')) return undefined
    if (inside) {
      if (!PLAIN.has(part.encoding)) return undefined
      if (part.encoding !== '8BIT' && part.encoding !== 'BINARY') continue
      runs.push(source.subarray(done, part.headerStart), ...headerWithEncoding(source, part, '7bit'))
      done = part.bodyStart
    } else if (eightBit) {
      const type = part.type.toLowerCase()
      if (!PLAIN.has(part.encoding) || type === 'multipart' || type === 'message') return undefined
      const text = type === 'text' && !content.includes(NUL)
      const encoding = text ? 'quoted-printable' : 'base64'
      runs.push(source.subarray(done, part.headerStart), ...headerWithEncoding(source, part, encoding))
      const encoded = text ? encodeQuotedPrintable(content) : encodeBase64(content)
      // Inside a multipart the last line end is the boundary's own.
      const ended = !text && part.bodyEnd < source.length ? encoded.slice(0, -2) : encoded
      runs.push(Buffer.from(ended, 'latin1'))
      done = part.bodyEnd
    }
  }
  runs.push(source.subarray(done))
  const whole = Buffer.concat(runs)
  return plain(whole) ? whole : undefined
}

/** RFC 1428 §3: what a message of the time before MIME needs, so that its encoding means something. */
function unlabelled(bytes: Uint8Array): Uint8Array {
  const header = Headers.parse(bytes)
  if (header.has('MIME-Version')) return new Uint8Array()
  const type = header.has('Content-Type') ? '' : 'Content-Type: text/plain; charset=unknown-8bit\r\n'
  return Buffer.from(`MIME-Version: 1.0\r\n${type}`)
}

function* inOrder(root: Part): Generator<Part> {
  const waiting = [root]
  for (let part = waiting.pop(); part; part = waiting.pop()) {
    yield part
    waiting.push(...part.children.toReversed())
    if (part.message) waiting.push(part.message)
  }
}

function isType(part: Part, type: string, subtype: string): boolean {
  return part.type.toLowerCase() === type && part.subtype.toLowerCase() === subtype
}

const plain = (octets: Buffer): boolean => isAscii(octets) && !octets.includes(NUL)
