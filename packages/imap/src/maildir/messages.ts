// Octets of messages, and what is rendered of them: on demand, with a bounded memory of the last ones.

import { open, readFile } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { Headers } from '@aviso/mime'
import type { Bytes, KeyField } from '../backend.ts'
import { messageKeys } from '../render/keys.ts'
import { renderMessage, type RenderedMessage } from '../render/message.ts'
import { ifThere } from './files.ts'
import { withCrlf } from './scan.ts'

/** What is kept of one message. */
export interface Rendered extends RenderedMessage {
  readonly emailId: string
  readonly keys: Readonly<Record<KeyField, string>>
}

/** Keeps what was used last, up to so many octets. */
export class OctetCache<Value> {
  readonly #most: number
  #held = 0
  #values = new Map<string, { readonly value: Value; readonly octets: number }>()

  constructor(most: number) {
    this.#most = most
  }

  get(key: string): Value | undefined {
    const found = this.#values.get(key)
    if (found === undefined) return undefined
    this.#values.delete(key)
    this.#values.set(key, found)
    return found.value
  }

  set(key: string, value: Value, octets: number): void {
    this.#held -= this.#values.get(key)?.octets ?? 0
    this.#values.delete(key)
    if (octets > this.#most / 2) return
    this.#values.set(key, { value, octets })
    this.#held += octets
    for (const [oldest, { octets }] of this.#values) {
      if (this.#held <= this.#most) break
      this.#values.delete(oldest)
      this.#held -= octets
    }
  }
}

/** Octets beyond what the pieces of a message have themselves. */
const OVERHEAD = 800

export class Messages {
  readonly #rendered: OctetCache<Rendered>
  /** Messages with bare LF as they are served: a reader who asks for ranges asks for many. */
  readonly #converted: OctetCache<Bytes>

  constructor(cacheOctets: number) {
    this.#rendered = new OctetCache(cacheOctets)
    this.#converted = new OctetCache(cacheOctets)
  }

  /** The octets [start, end) of a message file as they are served. Undefined when there is no such file. `size`: octets with CRLF, where known. */
  async octets(
    path: string,
    key: string,
    size: number | undefined,
    start: number,
    end: number | undefined,
  ): Promise<Bytes | undefined> {
    const kept = this.#converted.get(key)
    if (kept !== undefined) return kept.subarray(start, end)
    const handle = await ifThere(open(path, 'r'))
    if (handle === undefined) return undefined
    try {
      const { size: stored } = await handle.stat()
      if (stored === size) {
        const octets = Buffer.alloc(Math.max(0, Math.min(end ?? stored, stored) - start))
        let at = 0
        while (at < octets.length) {
          const { bytesRead } = await handle.read(octets, at, octets.length - at, start + at)
          if (bytesRead === 0) break
          at += bytesRead
        }
        return octets.subarray(0, at)
      }
      const whole = withCrlf(await handle.readFile())
      this.#converted.set(key, whole, whole.length)
      return whole.subarray(start, end)
    } finally {
      await handle.close()
    }
  }

  /** All that is rendered of a message; `read` gets its octets where they are needed. */
  async rendered(key: string, read: () => Promise<Bytes | undefined>): Promise<Rendered | undefined> {
    const kept = this.#rendered.get(key)
    if (kept !== undefined) return kept
    const octets = await read()
    if (octets === undefined) return undefined
    const message = renderMessage(octets)
    const keys = messageKeys(Headers.parse(message.header))
    // Of the content, so that a copy has the same whoever made it, and nothing need be kept.
    const emailId = `E${createHash('sha256').update(octets).digest('base64url').slice(0, 32)}`
    const rendered = { ...message, keys, emailId }
    const pieces = [
      message.envelope,
      message.bodyStructure,
      message.body,
      message.header,
      message.commonHeader,
      message.preview,
    ]
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
    this.#rendered.set(
      key,
      rendered,
      length + 2 * Object.values(keys).reduce((sum, text) => sum + text.length, 0) + OVERHEAD,
    )
    return rendered
  }
}

/** Reads a file as text where it is there. */
export const textOf = (folder: string, name: string): Promise<string | undefined> =>
  ifThere(readFile(join(folder, name), 'utf8'))
