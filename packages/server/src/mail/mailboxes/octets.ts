// A message on its way into the store and out of it: its rendered pieces, its octets compressed where that pays.

import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { KeyField } from '@aviso/imap'
import { commonHeader, messageKeys, renderBodyStructure, renderEnvelope } from '@aviso/imap/render'
import { Headers, normaliseNewlines, parseStructure, previewText } from '@aviso/mime'

/** Messages up to this many octets live in the account's database, larger ones in blobs. */
export const INLINE_OCTETS = 256 * 1024

/** The header of a message in a blob is kept beside it up to this size: nearly all FETCHes of headers then need no file. */
const KEPT_HEADER_OCTETS = 64 * 1024

/** The least that zlib takes for a buffer. */
const SPARE = 64

/** How `mail_octets.content` holds what follows the header. Numbers are stored: never change one. */
export const CODEC = { raw: 0, zstd: 1, blob: 2 } as const

/** Measured on mail of 4 to 256 KiB: one octet in two saved, for 45 µs at 4 KiB; higher levels save hardly more. */
const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }
/** Below this, setting up a compressor and its counterpart costs far more than the octets saved, of which a page of the database holds no more rows. */
const WORTH_COMPRESSING = 4096

/** What is made of a message once, when it comes. */
export interface Rendered {
  readonly size: number
  readonly headerSize: number
  readonly envelope: Uint8Array
  readonly bodyStructure: Uint8Array
  readonly body: Uint8Array
  /** The header block with its empty line; undefined where it is too long to keep beside a blob. */
  readonly header: Uint8Array | undefined
  readonly commonHeader: Uint8Array
  /** UTF-8. */
  readonly preview: Uint8Array
  readonly keys: Readonly<Record<KeyField, string>>
}

/** A message handed to the store: small, as octets, or large, rendered before and safe in a blob. */
export type Incoming = { readonly bytes: Uint8Array } | { readonly blob: string; readonly rendered: Rendered }

/** Parses a message and renders what FETCH asks for. `bytes` has CRLF line ends. */
export function render(bytes: Uint8Array): Rendered {
  const root = parseStructure(bytes)
  const headers = Headers.parse(bytes, 0, root.bodyStart)
  return {
    size: bytes.byteLength,
    headerSize: root.bodyStart,
    envelope: renderEnvelope(headers),
    bodyStructure: renderBodyStructure(root, bytes, true),
    body: renderBodyStructure(root, bytes, false),
    header:
      bytes.byteLength > INLINE_OCTETS && root.bodyStart > KEPT_HEADER_OCTETS
        ? undefined
        : bytes.subarray(0, root.bodyStart),
    commonHeader: commonHeader(headers),
    preview: Buffer.from(previewText(root, bytes)),
    keys: storableKeys(messageKeys(headers)),
  }
}

/** Keys without what a TEXT column or a list of them cannot hold. */
export function storableKeys(keys: Readonly<Record<KeyField, string>>): Readonly<Record<KeyField, string>> {
  return {
    subject: storable(keys.subject),
    from: storable(keys.from),
    to: storable(keys.to),
    cc: storable(keys.cc),
    displayFrom: storable(keys.displayFrom),
    displayTo: storable(keys.displayTo),
    sent: storable(keys.sent),
    threading: storable(keys.threading),
  }
}

const storable = (key: string): string => key.toWellFormed().replaceAll(/[\0\x1f]/g, ' ')

/** A message as the rows hold it. */
export interface Stored extends Rendered {
  readonly codec: number
  readonly blob: string | null
  readonly content: Uint8Array | null
}

/** Makes of an incoming message what the rows hold. Line ends are made CRLF, so that RFC822.SIZE is the length of what FETCH gives. */
export function store(incoming: Incoming): Stored {
  if ('blob' in incoming) return { ...incoming.rendered, codec: CODEC.blob, blob: incoming.blob, content: null }
  const bytes = normaliseNewlines(incoming.bytes)
  const rendered = render(bytes)
  const content = bytes.subarray(rendered.headerSize)
  if (content.byteLength >= WORTH_COMPRESSING) {
    // The size handed in, and small steps, spare the compressor most of its setting up: a third of the time for a usual mail.
    const packed = zstdCompressSync(content, { ...ZSTD, pledgedSrcSize: content.byteLength, chunkSize: 4096 })
    // What saves less than an eighth is not worth the time to open it again.
    if (packed.byteLength < content.byteLength - (content.byteLength >> 3))
      return { ...rendered, codec: CODEC.zstd, blob: null, content: packed }
  }
  return { ...rendered, codec: CODEC.raw, blob: null, content }
}

/** What the rows of one message hold of its octets. */
export interface Held {
  readonly codec: number
  readonly size: number
  readonly header: Uint8Array
  readonly content: Uint8Array
}

/** What follows the header, as it came: `size` octets, unless it is damaged. Throws where it cannot be opened. */
export function opened(codec: number, content: Uint8Array, size: number): Uint8Array {
  if (codec !== CODEC.zstd) return content
  // In one step, and with room that tells zlib that it was the last.
  return zstdDecompressSync(content, { chunkSize: SPARE + Math.max(0, Math.min(size, INLINE_OCTETS)) })
}

/** The octets [start, end) of a message that is in the rows. */
export function octets(held: Held, start: number, end: number): Uint8Array {
  const to = Math.max(0, Math.min(end, held.size))
  const from = Math.min(Math.max(0, start), to)
  const out = new Uint8Array(to - from)
  copyOctets(held, from, to, out, 0)
  return out
}

/** Writes the octets [from, to), which the message has, into `out` at `at`. */
export function copyOctets(held: Held, from: number, to: number, out: Uint8Array, at: number): void {
  const { header, size } = held
  if (from < header.byteLength) out.set(header.subarray(from, to), at)
  if (to <= header.byteLength) return
  const content = opened(held.codec, held.content, size - header.byteLength)
  const skip = Math.max(0, from - header.byteLength)
  out.set(content.subarray(skip, to - header.byteLength), at + Math.max(0, header.byteLength - from))
}
