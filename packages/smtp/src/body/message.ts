// A message that has arrived: in memory when it is small, in a spool when it is not.

import type { BodyType } from '../parameters.ts'
import type { SpoolFile } from './spool.ts'

/** Octets of a message that can be read again and again. */
export interface MessageSource {
  /** Octets. */
  readonly size: number
  /** The octets from `from` (default 0) on, in pieces. */
  chunks(from?: number): AsyncIterable<Uint8Array>
}

/** The message, with its own dots and nothing of the protocol's. It can be read until `data` has answered, or `dispose` was called. */
export interface MessageBody extends MessageSource {
  readonly type: BodyType
  /** All of it where it is held in memory; undefined for a large message, which only `chunks` gives. */
  readonly bytes: Uint8Array | undefined
  /** The header section with the empty line that ends it; the whole message where there is no such line. */
  readonly header: Uint8Array
  /** Gives memory and file back, before `data` has answered. Never rejects; may be called again. */
  dispose(): Promise<void>
}

/** What of a message comes in pieces: one after the other, then nothing. */
async function* one(octets: Uint8Array): AsyncGenerator<Uint8Array> {
  if (octets.length > 0) yield octets
}

export class HeldMessage implements MessageBody {
  readonly type: BodyType
  readonly bytes: Uint8Array
  readonly header: Uint8Array
  readonly #release: () => Promise<void>

  constructor(type: BodyType, bytes: Uint8Array, header: Uint8Array, release: () => Promise<void>) {
    this.type = type
    this.bytes = bytes
    this.header = header
    this.#release = release
  }

  get size(): number {
    return this.bytes.length
  }

  chunks(from = 0): AsyncIterable<Uint8Array> {
    return one(this.bytes.subarray(from))
  }

  dispose(): Promise<void> {
    return this.#release()
  }
}

export class SpooledMessage implements MessageBody {
  readonly type: BodyType
  readonly size: number
  readonly bytes = undefined
  readonly header: Uint8Array
  readonly #file: SpoolFile
  readonly #release: () => Promise<void>

  constructor(type: BodyType, size: number, header: Uint8Array, file: SpoolFile, release: () => Promise<void>) {
    this.type = type
    this.size = size
    this.header = header
    this.#file = file
    this.#release = release
  }

  chunks(from = 0): AsyncIterable<Uint8Array> {
    return this.#file.read(from, this.size)
  }

  dispose(): Promise<void> {
    return this.#release()
  }
}

const EMPTY_LINE = Buffer.from('\r\n\r\n', 'latin1')

/** Octets of the header section with its empty line; -1 while that is not there. */
export function headerEnd(bytes: Buffer): number {
  // RFC 5322 §2.1: the body is behind the first empty line, even where that is the first line of all.
  if (bytes[0] === 0x0d && bytes[1] === 0x0a) return 2
  const found = bytes.indexOf(EMPTY_LINE)
  return found < 0 ? -1 : found + EMPTY_LINE.length
}
