// The words and values of a few emails, on their way into a segment of their own.

import { bodyTexts, HeaderText } from '@aviso/imap/search'
import { parseStructure, type Part } from '@aviso/mime'
import type { Transaction } from '../../../store/contracts.ts'
import {
  addChunk,
  ANYTHING,
  type Chunk,
  LONG_VALUE,
  STREAM,
  StreamWriter,
  VALUE_EDGE,
  VALUE_STREAMS,
} from './chunks.ts'
import { Numbers } from './octets.ts'
import { addSegment, levelOf, SEGMENT } from './segments.ts'
import { TermTable } from './term-table.ts'

/** What one email may put into the index; of more, it is marked and looked at itself. In UTF-16 units of text, and in different words. */
const LONGEST_TEXT = 1024 * 1024
const MOST_WORDS = 20_000
/** Octets of a part that is text, as it came. What is longer is not even decoded: that would take several times its memory. */
const LONGEST_PART = 4 * LONGEST_TEXT
/** Values of one field, in UTF-16 units. */
const LONGEST_VALUES = 16 * 1024

/** Emails of each word. */
class Words {
  readonly #terms = new TermTable()
  readonly #marked = new Numbers()

  /** Notes the words of `texts`, which email `email` consists of. */
  add(email: number, texts: Iterable<string>): void {
    const budget = { words: MOST_WORDS }
    let left = LONGEST_TEXT
    let complete = true
    for (const text of texts) {
      left -= text.length
      if (left < 0) complete = false
      if (left < 0 || budget.words <= 0) break
      if (!this.#terms.add(text, email, budget)) complete = false
    }
    if (!complete || budget.words <= 0) this.mark(email)
  }

  /** Email `email` may match anything. */
  mark(email: number): void {
    this.#marked.add(email)
  }

  async write(writer: StreamWriter): Promise<void> {
    await this.#terms.write(writer)
    if (this.#marked.count > 0)
      writer.term(ANYTHING, 0, ANYTHING.byteLength, this.#marked.values, 0, this.#marked.count)
    await writer.flush()
  }
}

/** Gathers emails, in their order, for a new segment. */
export class Batch {
  readonly #body = new Words()
  readonly #header = new Words()
  readonly #values = new Map<number, { readonly email: number; readonly values: Uint8Array }[]>()
  /** Every email up to this one is in the index, or in no need of it. */
  readonly from: number
  readonly #chunks: Chunk[] = []
  #made = 0
  #first: number | undefined
  #last: number
  #emails = 0

  constructor(from: number) {
    this.from = this.#last = from
  }

  /** The last email added; `from` when there is none. */
  get last(): number {
    return this.#last
  }

  get emails(): number {
    return this.#emails
  }

  /** What was made. */
  get chunks(): readonly Chunk[] {
    return this.#chunks
  }

  /** Nothing is added any more. */
  get closed(): boolean {
    return this.#made > 0
  }

  /** `octets` undefined: they cannot be had, so the email may match anything. */
  add(email: number, octets: Uint8Array | undefined): void {
    this.#first ??= email
    this.#last = email
    this.#emails++
    const number = email - this.#first
    if (octets === undefined) {
      this.#body.mark(number)
      this.#header.mark(number)
      for (const stream of VALUE_STREAMS.values()) this.#value(stream, number, LONG_VALUE)
      return
    }
    const root = parseStructure(octets)
    const header = new HeaderText(octets.subarray(0, root.bodyStart))
    this.#header.add(number, [header.all])
    if (hasLongText(root)) this.#body.mark(number)
    else this.#body.add(number, bodyTexts(octets, root))
    for (const [name, stream] of VALUE_STREAMS) {
      const values = header.values(name)
      if (values.length > 0) this.#value(stream, number, valueOctets(values))
    }
  }

  #value(stream: number, email: number, values: Uint8Array): void {
    const list = this.#values.get(stream)
    if (list === undefined) this.#values.set(stream, [{ email, values }])
    else list.push({ email, values })
  }

  /** Makes another part of the segment: its words and values are put in order. False when all is made, and `write` may come. */
  async make(): Promise<boolean> {
    const first = this.#first ?? 0
    const writer = (stream: number): StreamWriter =>
      new StreamWriter(first, stream, (chunk) => void this.#chunks.push(chunk))
    const step = this.#made++
    if (step === 0) await this.#body.write(writer(STREAM.body))
    else if (step === 1) await this.#header.write(writer(STREAM.header))
    else if (step === 2)
      for (const [stream, list] of this.#values) {
        const values = writer(stream)
        for (const one of list) {
          values.value(one.values, 0, one.values.byteLength, one.email)
          if (values.full) await values.flush()
        }
        await values.flush()
      }
    return step < 2
  }

  /** Writes the segment. */
  async write(tx: Transaction): Promise<void> {
    const first = this.#first
    if (first === undefined) return
    const order = { level: levelOf(this.#emails), first, last: this.#last, emails: this.#emails }
    const { id } = await addSegment(tx, SEGMENT.live, order)
    for (const chunk of this.#chunks) await addChunk(tx, id, chunk)
  }
}

/** True when one part that `bodyTexts` would decode is too long for that. */
function hasLongText(part: Part): boolean {
  if (part.children.some(hasLongText)) return true
  if (part.message !== undefined) return hasLongText(part.message)
  return part.bodyEnd - part.bodyStart > LONGEST_PART && /^(?:text|message)$/i.test(part.type)
}

function valueOctets(values: readonly string[]): Uint8Array {
  if (values.reduce((sum, value) => sum + value.length, 0) > LONGEST_VALUES) return LONG_VALUE
  const [only] = values
  if (only !== undefined && values.length === 1) return Buffer.from(only)
  return Buffer.concat(values.flatMap((value, i) => (i > 0 ? [VALUE_EDGE, Buffer.from(value)] : [Buffer.from(value)])))
}
