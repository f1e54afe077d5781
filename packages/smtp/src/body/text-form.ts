// RFC 3030 §3: a binary message as text, its binary parts in base64, for whoever takes no other.

import { isAscii } from 'node:buffer'
import { BinaryEncoder } from '@aviso/mime'
import type { MessageSource } from './message.ts'
import { type TextFault, TextReader } from './text-reader.ts'

const nobody = (): void => {}

/** Looks at a binary message as it goes by: around its binary parts it must be text like any other. */
export class BinaryReader {
  readonly #encoder = new BinaryEncoder()
  readonly #text: TextReader
  #size = 0
  #ascii = true

  /** `maxLine`: octets of a line outside of binary parts. */
  constructor(maxLine: number) {
    this.#text = new TextReader({ dots: false, bareLineEndings: 'reject', maxLine })
  }

  /** Octets of the text so far. */
  get size(): number {
    return this.#size
  }
  /** The first thing that is wrong outside of binary parts. */
  get fault(): TextFault | undefined {
    return this.#text.fault
  }
  get ascii(): boolean {
    return this.#ascii
  }
  /** The text is another than the message. */
  get changed(): boolean {
    return this.#encoder.changed
  }

  push(piece: Uint8Array): void {
    this.#encoder.push(piece, this.#see)
  }

  /** The message is over. */
  end(): void {
    this.#encoder.end(this.#see)
    this.#text.end(nobody)
  }

  readonly #see = (octets: Buffer): void => {
    this.#size += octets.length
    this.#ascii &&= isAscii(octets)
    this.#text.push(octets, nobody)
  }
}

/** A message as text. It is made anew each time it is read. */
export interface TextForm extends MessageSource {
  /** It is another than the message that it was made of. */
  readonly changed: boolean
  readonly ascii: boolean
  /** What keeps it from being text all the same: NUL outside of binary parts, CR or LF alone. */
  readonly fault: TextFault | undefined
}

/** Puts the binary parts of a message into base64. Reads it once for the size. */
export async function textForm(source: MessageSource): Promise<TextForm> {
  const reader = new BinaryReader(Infinity)
  for await (const piece of source.chunks()) reader.push(piece)
  reader.end()
  const { size, changed, ascii, fault } = reader
  return { size, changed, ascii, fault, chunks: (from = 0) => (changed ? encoded(source, from) : source.chunks(from)) }
}

async function* encoded(source: MessageSource, from: number): AsyncGenerator<Uint8Array> {
  const encoder = new BinaryEncoder()
  let made: Buffer[] = []
  let skip = from
  const hand = (octets: Buffer): void => {
    if (octets.length > skip) made.push(skip > 0 ? octets.subarray(skip) : octets)
    skip -= Math.min(skip, octets.length)
  }
  for await (const piece of source.chunks()) {
    encoder.push(piece, hand)
    yield* made
    made = []
  }
  encoder.end(hand)
  yield* made
}
