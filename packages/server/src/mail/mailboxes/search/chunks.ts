// The content of a segment: streams of chunks. A chunk holds keys in ascending order, made to be searched as octets, and what each key leads to.

import type { Transaction } from '../../../store/contracts.ts'
import { TERM_EDGE } from './needle.ts'
import { compareOctets, Numbers, OctetReader, Octets } from './octets.ts'

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
export const ANYTHING: Uint8Array = Uint8Array.of(0xfe)
/** Between the values of one email. */
export const VALUE_EDGE: Uint8Array = Uint8Array.of(0xfd)
/** Stands for values that are too long to be kept: they may match anything. */
export const LONG_VALUE: Uint8Array = Uint8Array.of(0xfc)

/** A chunk is full with so many octets of keys, or of postings. */
const KEY_OCTETS = 48 * 1024
const POSTING_OCTETS = 128 * 1024

/** What streams need to know of their segment. */
export interface Place {
  readonly id: number
  /** The first email of the segment: the others are counted from it. */
  readonly first: number
}

/** A chunk on its way into the database. */
export interface Chunk {
  readonly stream: number
  readonly chunk: number
  /** The last key in the order of the stream. */
  readonly last: Uint8Array
  readonly keys: Uint8Array
  readonly postings: Uint8Array
}

/** Puts a chunk into a segment. */
export async function addChunk(tx: Transaction, segment: number, one: Chunk): Promise<void> {
  await tx.run(
    'INSERT INTO mail_search_chunk (segment, stream, chunk, last, keys, postings) VALUES (?, ?, ?, ?, ?, ?)',
    segment,
    one.stream,
    one.chunk,
    one.last,
    one.keys,
    one.postings,
  )
}

/** Makes the chunks of one stream of a segment, in the order of its keys. */
export class StreamWriter {
  readonly #first: number
  readonly #stream: number
  readonly #put: (chunk: Chunk) => Promise<void> | void
  readonly #keys = new Octets()
  readonly #lengths = new Octets()
  readonly #postings = new Octets()
  /** Of a stream of values. */
  readonly #emails = new Numbers()
  #chunk: number
  /** Octets written so far. */
  written = 0

  /** `first`: the first email of the segment; `put` takes each chunk; `chunk`: the number of the first one. */
  constructor(first: number, stream: number, put: (chunk: Chunk) => Promise<void> | void, chunk = 0) {
    this.#first = first
    this.#stream = stream
    this.#put = put
    this.#chunk = chunk
  }

  /** A term, the octets [start, end) of `bytes`, and its emails, [from, to) of `emails`, counted from the first of the segment. */
  term(bytes: Uint8Array, start: number, end: number, emails: Uint32Array, from: number, to: number): void {
    this.#key(bytes, start, end)
    const before = this.#postings.length
    this.#postings.numbers(emails, from, to)
    this.#lengths.varint(this.#postings.length - before)
  }

  /** The values of an email, which is counted from the first of the segment: the octets [start, end) of `bytes`. */
  value(bytes: Uint8Array, start: number, end: number, email: number): void {
    this.#key(bytes, start, end)
    this.#emails.add(email)
  }

  get full(): boolean {
    return this.#keys.length >= KEY_OCTETS || this.#postings.length >= POSTING_OCTETS
  }

  #key(bytes: Uint8Array, start: number, end: number): void {
    if (this.#keys.length === 0) this.#keys.octet(TERM_EDGE)
    this.#keys.append(bytes, start, end)
    this.#keys.octet(TERM_EDGE)
  }

  /** Writes what was added since the last time. */
  async flush(): Promise<void> {
    if (this.#keys.length === 0) return
    const keys = this.#keys.take()
    const { values, count } = this.#emails
    let last: Uint8Array
    if (count > 0) {
      this.#postings.numbers(values, 0, count)
      last = emailKey(this.#first + (values[count - 1] ?? 0))
      this.#emails.count = 0
    } else {
      last = keys.subarray(keys.lastIndexOf(TERM_EDGE, keys.byteLength - 2) + 1, keys.byteLength - 1)
      const all = this.#postings.take()
      this.#postings.varint(this.#lengths.length)
      this.#postings.append(this.#lengths.take())
      this.#postings.append(all)
    }
    const postings = this.#postings.take()
    await this.#put({ stream: this.#stream, chunk: this.#chunk++, last, keys, postings })
    this.written += keys.byteLength + postings.byteLength
  }
}

/** The place of a value in the order of its stream, which is that of the emails. */
export function emailKey(email: number): Uint8Array {
  const octets = Buffer.alloc(8)
  octets.writeUIntBE(email, 2, 6)
  return octets
}

/** Octets of `StreamReader.beginning`. */
const BEGINNING = 6

/** Reads one stream of a segment, from some key on, one key after the other. */
export class StreamReader {
  readonly #tx: Transaction
  readonly #segment: Place
  readonly #stream: number
  readonly #values: boolean
  readonly #after: Uint8Array
  #keys: Uint8Array = new Uint8Array()
  #next: number | undefined
  /** Of a stream of words: the lengths of the postings, and the postings. */
  #lengths = new OctetReader(this.#keys)
  #postings = new OctetReader(this.#keys)
  #length = 0
  /** Of a stream of values: their emails. */
  #emails = new Numbers()
  #number = 0

  /** The key here: the octets [start, end) of `bytes`. Before the first `load`, and at the end, `end` is 0. */
  start = 0
  end = 0
  /** Its first six octets as a number: what most comparisons need. */
  beginning = 0

  /** `after` is what `reachedIn` answers: the key behind which to begin. */
  constructor(tx: Transaction, segment: Place, stream: number, after: Uint8Array) {
    this.#tx = tx
    this.#segment = segment
    this.#stream = stream
    this.#values = !WORD_STREAMS.includes(stream)
    this.#after = after
  }

  get bytes(): Uint8Array {
    return this.#keys
  }

  /** The email of the value here. */
  get email(): number {
    return this.#segment.first + (this.#emails.values[this.#number] ?? 0)
  }

  /** Adds the emails of the term here to `list`, counted from `from`.  */
  emails(from: number, list: Numbers): void {
    const { at } = this.#postings
    this.#postings.numbers(at + this.#length, this.#segment.first - from, list)
    this.#postings.at = at
  }

  /** To the next key of this chunk; false when there is none: then `load` the next one. */
  step(): boolean {
    this.#postings.at += this.#length
    this.start = this.end + 1
    this.#number++
    if (this.start >= this.#keys.byteLength) return false
    const keys = this.#keys
    let beginning = 0
    let end = this.start
    for (let octet = keys[end] ?? TERM_EDGE; octet !== TERM_EDGE; octet = keys[++end] ?? TERM_EDGE)
      if (end < this.start + BEGINNING) beginning = beginning * 256 + octet
    for (let missing = BEGINNING - (end - this.start); missing > 0; missing--) beginning *= 256
    this.end = end
    this.beginning = beginning
    if (!this.#values) this.#length = this.#lengths.varint()
    return true
  }

  /** To the first key, at the beginning; later to the first key of the next chunk. */
  async load(): Promise<void> {
    const columns = 'SELECT chunk, keys, postings FROM mail_search_chunk WHERE segment = ? AND stream = ?'
    const first = this.#next === undefined
    const row = first
      ? await this.#tx.get(
          `${columns} AND last > ? ORDER BY chunk LIMIT 1`,
          this.#segment.id,
          this.#stream,
          this.#after,
        )
      : await this.#tx.get(`${columns} AND chunk = ?`, this.#segment.id, this.#stream, this.#next ?? 0)
    this.#next = row === undefined ? 0 : Number(row[0]) + 1
    this.start = this.end = 0
    if (row === undefined) return
    this.#keys = octetsOf(row[1])
    const postings = octetsOf(row[2])
    this.#number = -1
    this.#length = 0
    if (this.#values) {
      this.#emails = new Numbers()
      new OctetReader(postings).numbers(postings.byteLength, 0, this.#emails)
    } else {
      ;[this.#lengths, this.#postings] = postingsOf(postings)
    }
    this.step()
    if (!first) return
    while (this.end > 0 && this.#isBehind()) if (!this.step()) this.end = 0
  }

  /** True when the key here is not behind `after` yet. */
  #isBehind(): boolean {
    const [bytes, start, end] = this.#values
      ? [emailKey(this.email), 0, 8]
      : ([this.#keys, this.start, this.end] as const)
    return this.#after.byteLength > 0 && compareOctets(bytes, start, end, this.#after, 0, this.#after.byteLength) <= 0
  }
}

/** Where a stream of a segment that is being made goes on: behind which key, with which chunk. */
export async function reachedIn(
  tx: Transaction,
  segment: number,
  stream: number,
): Promise<{ readonly after: Uint8Array; readonly chunk: number }> {
  const row = await tx.get(
    'SELECT last, chunk FROM mail_search_chunk WHERE segment = ? AND stream = ? ORDER BY chunk DESC LIMIT 1',
    segment,
    stream,
  )
  return row === undefined
    ? { after: new Uint8Array(), chunk: 0 }
    : { after: octetsOf(row[0]), chunk: Number(row[1]) + 1 }
}

const octetsOf = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : new Uint8Array())

/** The lengths of the postings of each term of a chunk, and the postings, each behind the other. */
function postingsOf(octets: Uint8Array): [lengths: OctetReader, postings: OctetReader] {
  const lengths = new OctetReader(octets)
  const size = lengths.varint()
  return [lengths, new OctetReader(octets, lengths.at + size)]
}

/**
 * The keys of a chunk that hold `pattern`, as their numbers, ascending: found by searching the octets, not key by key. A pattern that begins or ends with TERM_EDGE is held by the key that
 * begins or ends so. An empty pattern is in every key.
 */
export function keysWith(keys: Uint8Array, pattern: Uint8Array): Numbers {
  const found = new Numbers()
  if (pattern.byteLength === 0) {
    for (let i = 1, number = 0; i < keys.byteLength; i++) if (keys[i] === TERM_EDGE) found.add(number++)
    return found
  }
  const octets = Buffer.from(keys.buffer, keys.byteOffset, keys.byteLength)
  const inside = pattern[0] === TERM_EDGE ? 1 : 0
  let number = -1
  let counted = 0
  for (let at = octets.indexOf(pattern); at >= 0;) {
    for (const place = at + inside; counted < place; counted++) if (octets[counted] === TERM_EDGE) number++
    found.add(number)
    // Two patterns may share the edge between two terms.
    const end = octets.indexOf(TERM_EDGE, at + inside)
    at = end < 0 ? -1 : octets.indexOf(pattern, end)
  }
  return found
}

/** The keys of a chunk that may match anything, whatever is looked for. */
export function doubtfulKeys(keys: Uint8Array, values: boolean): Numbers {
  if (values) return keysWith(keys, LONG_VALUE)
  return keys[keys.byteLength - 2] === ANYTHING[0] ? keysWith(keys, ANYTHING) : new Numbers()
}

/** Adds to `list` the emails of the terms `numbers` of a chunk of words, each plus `offset`; one may come many times. */
export function emailsOfTerms(octets: Uint8Array, numbers: Numbers, offset: number, list: Numbers): void {
  const [lengths, postings] = postingsOf(octets)
  let term = 0
  for (let i = 0; i < numbers.count; i++) {
    for (const wanted = numbers.values[i] ?? 0; term < wanted; term++) postings.at += lengths.varint()
    term++
    postings.numbers(postings.at + lengths.varint(), offset, list)
  }
}

/** Adds to `list` the emails of the values `numbers` of a chunk of values, each plus `offset`. */
export function emailsOfValues(postings: Uint8Array, numbers: Numbers, offset: number, list: Numbers): void {
  const emails = new Numbers()
  new OctetReader(postings).numbers(postings.byteLength, offset, emails)
  for (let i = 0; i < numbers.count; i++) list.add(emails.values[numbers.values[i] ?? 0] ?? 0)
}
