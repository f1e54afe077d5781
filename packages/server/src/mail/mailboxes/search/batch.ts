// The words and values of a few emails, on their way into a segment of their own.

import { bodyTexts, HeaderText } from '@aviso/imap/search'
import { parseStructure } from '@aviso/mime'
import type { Transaction } from '../../../store/contracts.ts'
import { ANYTHING, binary, LONG_VALUE, STREAM, VALUE_EDGE, VALUE_STREAMS, ValueWriter, WordWriter } from './chunks.ts'
import { addSegment, levelOf, SEGMENT } from './segments.ts'
import type { Tokeniser } from './words.ts'

/** What one email may put into the index; of more, it is marked and looked at itself. In UTF-16 units of text, and in different words. */
const LONGEST_TEXT = 1024 * 1024
const MOST_WORDS = 20_000
/** Values of one field, in UTF-16 units. */
const LONGEST_VALUES = 16 * 1024

/** Emails of each word. */
class WordLists {
  readonly #tokeniser: Tokeniser
  readonly #lists = new Map<string, number[]>()
  readonly #marked: number[] = []

  constructor(tokeniser: Tokeniser) {
    this.#tokeniser = tokeniser
  }

  /** Notes the words of `texts`, which email `email` consists of. */
  add(email: number, texts: Iterable<string>): void {
    let left = LONGEST_TEXT
    let words = 0
    let complete = true
    const note = (term: string): void => {
      const list = this.#lists.get(term)
      if (list === undefined) {
        if (++words <= MOST_WORDS) this.#lists.set(term, [email])
      } else if (list.at(-1) !== email && ++words <= MOST_WORDS) list.push(email)
    }
    for (const text of texts) {
      left -= text.length
      if (left < 0 || words > MOST_WORDS) {
        complete = false
        break
      }
      if (!this.#tokeniser.words(text, note)) complete = false
    }
    if (!complete || words > MOST_WORDS) this.mark(email)
  }

  /** Email `email` may match anything. */
  mark(email: number): void {
    this.#marked.push(email)
  }

  async write(tx: Transaction, segment: number, stream: number): Promise<void> {
    const writer = new WordWriter(tx, segment, stream)
    const terms: string[] = []
    const wide = new Map<string, string>()
    for (const term of this.#lists.keys()) {
      const key = binary(term)
      if (key !== term) wide.set(key, term)
      terms.push(key)
    }
    for (const key of terms.sort()) {
      writer.add(key, this.#lists.get(wide.get(key) ?? key) ?? [])
      if (writer.full) await writer.flush()
    }
    if (this.#marked.length > 0) writer.add(ANYTHING, this.#marked)
    await writer.flush()
  }
}

/** Gathers emails, in their order, for a new segment. */
export class Batch {
  readonly #body: WordLists
  readonly #header: WordLists
  readonly #values = new Map<number, { readonly email: number; readonly values: string }[]>()
  #first: number | undefined
  #last = 0
  #emails = 0

  constructor(tokeniser: Tokeniser) {
    this.#body = new WordLists(tokeniser)
    this.#header = new WordLists(tokeniser)
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
      for (const stream of VALUE_STREAMS.values()) this.#value(stream, email, LONG_VALUE)
      return
    }
    const root = parseStructure(octets)
    const header = new HeaderText(octets.subarray(0, root.bodyStart))
    this.#header.add(number, [header.all])
    this.#body.add(number, bodyTexts(octets, root))
    for (const [name, stream] of VALUE_STREAMS) {
      const values = header.values(name)
      if (values.length === 0) continue
      const length = values.reduce((sum, value) => sum + value.length, 0)
      this.#value(stream, email, length > LONGEST_VALUES ? LONG_VALUE : values.map(binary).join(VALUE_EDGE))
    }
  }

  #value(stream: number, email: number, values: string): void {
    const list = this.#values.get(stream)
    if (list === undefined) this.#values.set(stream, [{ email, values }])
    else list.push({ email, values })
  }

  /** Writes the segment. */
  async write(tx: Transaction): Promise<void> {
    const first = this.#first
    if (first === undefined) return
    const { id } = await addSegment(tx, SEGMENT.live, {
      level: levelOf(this.#emails),
      first,
      last: this.#last,
      emails: this.#emails,
    })
    await this.#body.write(tx, id, STREAM.body)
    await this.#header.write(tx, id, STREAM.header)
    for (const [stream, list] of this.#values) {
      const writer = new ValueWriter(tx, id, stream, first)
      for (const { email, values } of list) {
        writer.add(values, email)
        if (writer.full) await writer.flush()
      }
      await writer.flush()
    }
  }
}
