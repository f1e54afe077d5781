// RFC 5321 §4.1.1.4 and RFC 3030: a message on its way out, in blocks for the socket.

import { TextWriter } from '../body/text-writer.ts'
import type { OutgoingSource } from './adapt.ts'

/** Octets that are gathered before they are sent. */
const BLOCK = 262_144

/** `text`: lines made CRLF. `data`: dots doubled and the end marked, too. `binary`: as it is. */
export type Form = 'text' | 'data' | 'binary'

export interface Block {
  readonly octets: Buffer
  readonly last: boolean
}

/** The message's octets for the wire. There is one block at least, and the last one says so. */
export function blocks(source: OutgoingSource, form: Form): Iterable<Block> | AsyncIterable<Block> {
  const { bytes } = source
  if (bytes === undefined || bytes.length > BLOCK) return stream(source, form)
  const gathered: Buffer[] = []
  const hand = (octets: Buffer): void => void gathered.push(octets)
  write(asBuffer(bytes), form, hand)
  return [{ octets: joined(gathered), last: true }]
}

function write(bytes: Buffer, form: Form, hand: (octets: Buffer) => void): void {
  if (form === 'binary') return hand(bytes)
  const writer = new TextWriter(form === 'data')
  writer.push(bytes, hand)
  writer.end(hand)
}

async function* stream(source: OutgoingSource, form: Form): AsyncGenerator<Block> {
  const writer = form === 'binary' ? undefined : new TextWriter(form === 'data')
  let gathered: Buffer[] = []
  let length = 0
  const hand = (octets: Buffer): void => {
    gathered.push(octets)
    length += octets.length
  }
  for await (const piece of source.chunks()) {
    if (length >= BLOCK) {
      yield { octets: joined(gathered), last: false }
      gathered = []
      length = 0
    }
    if (writer === undefined) hand(asBuffer(piece))
    else writer.push(asBuffer(piece), hand)
  }
  writer?.end(hand)
  yield { octets: joined(gathered), last: true }
}

function joined(gathered: readonly Buffer[]): Buffer {
  const only = gathered[0]
  return only !== undefined && gathered.length === 1 ? only : Buffer.concat(gathered)
}

function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.isBuffer(octets) ? octets : Buffer.from(octets.buffer, octets.byteOffset, octets.length)
}
