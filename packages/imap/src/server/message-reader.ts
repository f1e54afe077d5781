// The octets of one message for BODY[...], read from the store as little as possible and never twice.

import { Headers, parseStructure, type Part } from '@aviso/mime'
import type { Mailbox } from '../backend.ts'
import { binarySection } from '../render/binary.ts'
import { partAt, type Section, sectionRange } from '../render/section.ts'

/** Octets of a section, in one piece or as a range of the message that is still to be read. */
export type SectionContent =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'range'; readonly start: number; readonly end: number }
  /** No such part. */
  | { readonly kind: 'absent' }
  /** The message is gone for good. */
  | { readonly kind: 'gone' }

const ROOT_HEADER = new Set(['HEADER', 'HEADER.FIELDS', 'HEADER.FIELDS.NOT'])

/** True when the section can be had from the header block alone. */
export const needsHeaderOnly = (section: Section): boolean =>
  section.part.length === 0 && section.text !== undefined && ROOT_HEADER.has(section.text)

/** HEADER, HEADER.FIELDS or HEADER.FIELDS.NOT of a header block. */
export function headerSection(header: Uint8Array, section: Section): Uint8Array {
  if (section.text === 'HEADER' || section.text === 'MIME') return header
  return Headers.parse(header).filter(section.fields, section.text === 'HEADER.FIELDS.NOT')
}

/** One message being fetched. Keeps its octets only until it is dropped. */
export class MessageReader {
  readonly #mailbox: Mailbox
  readonly #uid: number
  readonly #size: number
  readonly #header: Uint8Array | undefined
  #bytes: Uint8Array | undefined
  #root: Part | undefined

  /** `size` is RFC822.SIZE; `header` the header block, if the store gave it; `bytes` the whole message, if it was read already. */
  constructor(mailbox: Mailbox, uid: number, size: number, header: Uint8Array | undefined, bytes?: Uint8Array) {
    this.#mailbox = mailbox
    this.#uid = uid
    this.#size = size
    this.#header = header
    this.#bytes = bytes
  }

  async section(section: Section): Promise<SectionContent> {
    if (needsHeaderOnly(section) && this.#header !== undefined)
      return { kind: 'bytes', bytes: headerSection(this.#header, section) }
    if (section.part.length === 0 && section.text === undefined) return { kind: 'range', start: 0, end: this.#size }
    if (section.part.length === 0 && section.text === 'TEXT' && this.#header !== undefined) {
      return { kind: 'range', start: Math.min(this.#header.length, this.#size), end: this.#size }
    }
    const bytes = await this.#whole()
    if (bytes === undefined) return { kind: 'gone' }
    this.#root ??= parseStructure(bytes)
    const range = sectionRange(this.#root, section)
    if (range === undefined) return { kind: 'absent' }
    if (section.fields.length === 0) return { kind: 'range', ...range }
    return { kind: 'bytes', bytes: headerSection(bytes.subarray(range.start, range.end), section) }
  }

  /** A part without its transfer encoding. Throws NO with UNKNOWN-CTE. */
  async binary(numbers: readonly number[]): Promise<SectionContent> {
    if (numbers.length === 0) return { kind: 'range', start: 0, end: this.#size }
    const bytes = await this.#whole()
    if (bytes === undefined) return { kind: 'gone' }
    this.#root ??= parseStructure(bytes)
    const part = partAt(this.#root, numbers)
    return part === undefined ? { kind: 'absent' } : { kind: 'bytes', bytes: binarySection(part, bytes) }
  }

  async #whole(): Promise<Uint8Array | undefined> {
    this.#bytes ??= await this.#mailbox.raw(this.#uid)
    return this.#bytes
  }

  /** Octets [start, end) of the message. */
  async read(start: number, end: number): Promise<Uint8Array | undefined> {
    if (this.#bytes !== undefined) return this.#bytes.subarray(start, end)
    if (start === 0 && end >= this.#size) return this.#mailbox.raw(this.#uid)
    return this.#mailbox.raw(this.#uid, start, end)
  }
}
