// The content of a segment: streams of chunks. A chunk holds keys in ascending order, made to be searched as octets, and what each key leads to.

import type { Transaction } from '../../../store/contracts.ts'
import { OctetReader, Octets } from './postings.ts'
import { TERM_EDGE } from './words.ts'

/** Streams of a segment. Numbers are stored: never change one without a new INDEX_VERSION. */
export const STREAM = { body: 0, header: 1, subject: 2, from: 3, to: 4, cc: 5, bcc: 6 } as const

/** Streams of words: a key is a term, it leads to the emails that have it, counted from the first of the segment. */
export const WORD_STREAMS: readonly number[] = [STREAM.body, STREAM.header]
/** Streams of values: a key is the text of one email's fields of that name, it leads to that email. */
export const VALUE_STREAMS: ReadonlyMap<string, number> = new Map([
  ['subject', STREAM.subject],
  ['from', STREAM.from],
  ['to', STREAM.to],
  ['cc', STREAM.cc],
  ['bcc', STREAM.bcc],
])

// Octets that are not in UTF-8 set keys apart (TERM_EDGE) and say what no text can.

/** The term of emails that have words which are not in the index: they may match anything. Sorts behind all words. */
export const ANYTHING = '\xfe'
/** Between the values of one email. */
export const VALUE_EDGE = '\xfd'
/** Stands for values that are too long to be kept: they may match anything. */
export const LONG_VALUE = '\xfc'

/** A chunk is full with so many octets of keys, or of postings. */
const KEY_OCTETS = 48 * 1024
const POSTING_OCTETS = 128 * 1024

/** UTF-8 octets as a string of one character each: compares as the octets do, and costs one octet a character. */
export function binary(text: string): string {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return Buffer.from(text).toString('latin1')
  return text
}

/** The order of values: by their email. */
const emailKey = (email: number): string => String.fromCharCode(...emailOctets(email))

function emailOctets(email: number): number[] {
  const octets: number[] = []
  for (let rest = email, i = 0; i < 7; i++, rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return octets
}

/** Writes one stream of a segment, in the order of its keys. */
abstract class StreamWriter {
  protected readonly keys: string[] = []
  protected readonly octets = new Octets()
  readonly #tx: Transaction
  readonly #segment: number
  readonly #stream: number
  #chunk: number
  #keyOctets = 0
  #last = ''
  /** Octets written so far. */
  written = 0

  constructor(tx: Transaction, segment: number, stream: number, chunk = 0) {
    this.#tx = tx
    this.#segment = segment
    this.#stream = stream
    this.#chunk = chunk
  }

  protected added(key: string, last: string): void {
    this.keys.push(key)
    this.#keyOctets += key.length + 1
    this.#last = last
  }

  get full(): boolean {
    return this.#keyOctets >= KEY_OCTETS || this.octets.length >= POSTING_OCTETS
  }

  protected abstract postings(): Uint8Array

  /** Writes what was added since the last time. */
  async flush(): Promise<void> {
    if (this.keys.length === 0) return
    const keys = Buffer.from(`\xff${this.keys.join('\xff')}\xff`, 'latin1')
    const postings = this.postings()
    await this.#tx.run(
      'INSERT INTO mail_search_chunk (segment, stream, chunk, last, keys, postings) VALUES (?, ?, ?, ?, ?, ?)',
      this.#segment,
      this.#stream,
      this.#chunk++,
      Buffer.from(this.#last, 'latin1'),
      keys,
      postings,
    )
    this.written += keys.byteLength + postings.byteLength
    this.keys.length = 0
    this.#keyOctets = 0
  }
}

export class WordWriter extends StreamWriter {
  readonly #lengths = new Octets()

  /** `emails` ascending, counted from the first of the segment. */
  add(term: string, emails: readonly number[]): void {
    const before = this.octets.length
    this.octets.numbers(emails)
    this.#lengths.varint(this.octets.length - before)
    this.added(term, term)
  }

  protected postings(): Uint8Array {
    this.#lengths.append(this.octets.take())
    return this.#lengths.take()
  }
}

export class ValueWriter extends StreamWriter {
  readonly #first: number
  #emails: number[] = []

  constructor(tx: Transaction, segment: number, stream: number, first: number, chunk = 0) {
    super(tx, segment, stream, chunk)
    this.#first = first
  }

  /** `values` of the email `email`. */
  add(values: string, email: number): void {
    this.#emails.push(email - this.#first)
    this.added(values, emailKey(email))
  }

  protected postings(): Uint8Array {
    this.octets.numbers(this.#emails)
    this.#emails = []
    return this.octets.take()
  }
}

/** Reads one stream of a segment from some key on. */
export class StreamReader {
  readonly #tx: Transaction
  readonly #segment: number
  readonly #first: number
  readonly #stream: number
  readonly #values: boolean
  #keys: readonly string[] = []
  #at = 0
  /** Emails of each key of a value stream; where the postings of each term end, of a word stream. */
  #places: number[] = []
  #postings: Uint8Array = new Uint8Array()
  #start = 0
  #after: Uint8Array
  #next: number | undefined

  /** `after`: the key (of values: its email) behind which to begin, as octets. */
  constructor(
    tx: Transaction,
    segment: { readonly id: number; readonly first: number },
    stream: number,
    after: Uint8Array,
  ) {
    this.#tx = tx
    this.#segment = segment.id
    this.#first = segment.first
    this.#stream = stream
    this.#values = !WORD_STREAMS.includes(stream)
    this.#after = after
  }

  /** The key here as `binary`; undefined at the end. Call `load` when it may have come to the end of a chunk. */
  get key(): string | undefined {
    return this.#keys[this.#at]
  }

  /** The email of the value here. */
  get email(): number {
    return this.#first + (this.#places[this.#at] ?? 0)
  }

  /** Calls `each` with the emails of the term here. */
  emails(each: (email: number) => void): void {
    const start = this.#start + (this.#places[this.#at - 1] ?? 0)
    new OctetReader(this.#postings, start).numbers(this.#start + (this.#places[this.#at] ?? 0), (number) =>
      each(this.#first + number),
    )
  }

  /** To the next key. True when another chunk must be loaded first. */
  advance(): boolean {
    return ++this.#at >= this.#keys.length
  }

  async load(): Promise<void> {
    const columns = 'SELECT chunk, keys, postings FROM mail_search_chunk WHERE segment = ? AND stream = ?'
    const row =
      this.#next === undefined
        ? await this.#tx.get(`${columns} AND last > ? ORDER BY chunk LIMIT 1`, this.#segment, this.#stream, this.#after)
        : await this.#tx.get(`${columns} AND chunk = ?`, this.#segment, this.#stream, this.#next)
    this.#at = 0
    this.#keys = []
    if (row === undefined) return
    const [chunk, keys, postings] = row
    this.#keys = asBuffer(keys)
      .toString('latin1', 1, asBuffer(keys).byteLength - 1)
      .split('\xff')
    this.#postings = asBuffer(postings)
    this.#places = []
    const reader = new OctetReader(this.#postings)
    if (this.#values) reader.numbers(this.#postings.byteLength, (number) => void this.#places.push(number))
    else {
      let end = 0
      for (const _ of this.#keys) this.#places.push((end += reader.varint()))
      this.#start = reader.at
    }
    if (this.#next === undefined) {
      const after = asBuffer(this.#after).toString('latin1')
      if (after !== '') while (this.#at < this.#keys.length && this.#position() <= after) this.#at++
    }
    this.#next = Number(chunk) + 1
  }

  #position(): string {
    return this.#values ? emailKey(this.email) : (this.key ?? '')
  }
}

const asBuffer = (value: unknown): Buffer =>
  value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.alloc(0)

/**
 * The keys of a chunk that hold `pattern`, as their numbers, ascending: found by searching the octets, not key by key. A pattern that begins or ends with TERM_EDGE is held by the key that
 * begins or ends so. An empty pattern is in every key.
 */
export function keysWith(keys: Uint8Array, pattern: Uint8Array): number[] {
  const found: number[] = []
  const octets = asBuffer(keys)
  if (pattern.byteLength === 0) {
    let count = -1
    for (const octet of octets) if (octet === TERM_EDGE) count++
    for (let i = 0; i < count; i++) found.push(i)
    return found
  }
  const inside = pattern[0] === TERM_EDGE ? 1 : 0
  let number = -1
  let counted = 0
  for (let at = octets.indexOf(pattern); at >= 0;) {
    for (const place = at + inside; counted < place; counted++) if (octets[counted] === TERM_EDGE) number++
    found.push(number)
    const end = octets.indexOf(TERM_EDGE, at + inside)
    // Two patterns may share the edge between two terms.
    at = end < 0 ? -1 : octets.indexOf(pattern, end)
  }
  return found
}

/** Calls `each` with the emails, counted from the first of the segment, of the terms `numbers` of a chunk of words. */
export function emailsOfTerms(
  postings: Uint8Array,
  keys: Uint8Array,
  numbers: readonly number[],
  each: (email: number) => void,
): void {
  let terms = -1
  for (const octet of keys) if (octet === TERM_EDGE) terms++
  const lengths = new OctetReader(postings)
  const ends: number[] = []
  let end = 0
  for (let i = 0; i < terms; i++) ends.push((end += lengths.varint()))
  const start = lengths.at
  for (const number of numbers)
    new OctetReader(postings, start + (ends[number - 1] ?? 0)).numbers(start + (ends[number] ?? 0), each)
}

/** Calls `each` with the emails of the values `numbers` of a chunk of values. */
export function emailsOfValues(postings: Uint8Array, numbers: readonly number[], each: (email: number) => void): void {
  const emails: number[] = []
  new OctetReader(postings).numbers(postings.byteLength, (email) => void emails.push(email))
  for (const number of numbers) each(emails[number] ?? 0)
}

/** The keys of a chunk that may match anything, whatever is looked for. */
export function doubtfulKeys(keys: Uint8Array, values: boolean): number[] {
  if (!values && keys[keys.byteLength - 2] !== ANYTHING.charCodeAt(0)) return []
  return keysWith(keys, Uint8Array.of((values ? LONG_VALUE : ANYTHING).charCodeAt(0)))
}
