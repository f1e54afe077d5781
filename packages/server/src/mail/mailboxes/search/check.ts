// Whether the text index is what it should be, for `aviso doctor mail`: every email in one segment, chunks that can be read, and of some emails, whether they are found.

import { read, type Transaction } from '../../../store/contracts.ts'
import { Batch } from './batch.ts'
import {
  ANYTHING,
  type Chunk,
  emailKey,
  emailsOfTerms,
  emailsOfValues,
  keysWith,
  LONG_VALUE,
  WORD_STREAMS,
} from './chunks.ts'
import { readEmail } from './email.ts'
import { TERM_EDGE } from './needle.ts'
import { compareOctets, Numbers, OctetReader } from './octets.ts'
import { indexedUpTo, liveSegments, type Segment } from './segments.ts'

/** Where a check goes on: in the segment that holds the emails behind `after`, at the chunk with that number among all of the segment. */
export interface CheckPlace {
  readonly after: number
  readonly chunk: number
}

export interface Checked {
  /** What is wrong, in words. */
  readonly faults: readonly string[]
  /** Undefined at the end. */
  readonly next: CheckPlace | undefined
}

/** Chunks that one call reads: some megabytes. */
const CHUNKS = 24
/** Emails of each segment that are looked up, and words of each. */
const SAMPLES = 8
const WORDS = 24

/** Looks at a piece of the index. */
export const checkTextIndex = read(async (tx, { after, chunk }: CheckPlace): Promise<Checked> => {
  const indexed = await indexedUpTo(tx)
  if (indexed === 0) return { faults: [], next: undefined }
  if (after === 0 && chunk === 0) {
    const faults = await uncovered(tx, indexed)
    if (faults.length > 0) return { faults, next: undefined }
  }
  const [segment] = await liveSegments(tx, after)
  if (segment === undefined) return { faults: [], next: undefined }
  const rows = await tx.all(
    'SELECT stream, chunk, last, keys, postings FROM mail_search_chunk WHERE segment = ? ORDER BY stream, chunk LIMIT ? OFFSET ?',
    segment.id,
    CHUNKS,
    chunk,
  )
  const faults: string[] = []
  for (const [i, [stream, number, last, keys, postings]] of rows.entries()) {
    const before = rows[i - 1]
    const wanted = before !== undefined && before[0] === stream ? Number(before[1]) + 1 : 0
    // The first of a page goes on from the page before.
    const follows = number === wanted || (i === 0 && chunk > 0)
    const fault = follows
      ? chunkFault({ stream, chunk: number, last, keys, postings } as unknown as Chunk, segment)
      : 'a chunk is missing before it'
    if (fault !== undefined) faults.push(`segment ${segment.id}, chunk ${String(stream)}.${String(number)}: ${fault}`)
  }
  if (faults.length > 0) return { faults, next: undefined }
  if (rows.length === CHUNKS) return { faults, next: { after, chunk: chunk + CHUNKS } }
  return { faults: await unfound(tx, segment), next: { after: segment.last, chunk: 0 } }
})

/** Emails that no segment holds, or two do. */
async function uncovered(tx: Transaction, indexed: number): Promise<string[]> {
  let reached = 0
  for (const { id, first, last } of await liveSegments(tx, 0)) {
    if (first <= reached) return [`segment ${id} overlaps the one before it`]
    if (await emailBetween(tx, reached, first)) return [`emails before segment ${id} are in none`]
    reached = last
  }
  return (await emailBetween(tx, reached, indexed + 1)) ? [`emails behind ${reached} are in no segment`] : []
}

const emailBetween = async (tx: Transaction, above: number, below: number): Promise<boolean> =>
  (await tx.get('SELECT 1 FROM mail_email WHERE id > ? AND id < ? LIMIT 1', above, below)) !== undefined

/** What is wrong inside a chunk. */
function chunkFault({ stream, last, keys, postings }: Chunk, segment: Segment): string | undefined {
  if (keys.byteLength < 2 || keys[0] !== TERM_EDGE || keys.at(-1) !== TERM_EDGE) return 'its keys have no edges'
  const words = WORD_STREAMS.includes(stream)
  const span = segment.last - segment.first
  const lengths = words ? lengthsOf(postings) : undefined
  if (words && lengths === undefined) return 'what its words lead to cannot be read'
  const emails = words ? undefined : numbersIn(postings, 0, postings.byteLength, span)
  if (!words && emails === undefined) return 'the emails of its values cannot be read'
  let at = lengths?.start ?? 0
  let count = 0
  let [start, end] = [0, 0]
  for (let from = 1; from < keys.byteLength; from = end + 1, count++) {
    const before = [start, end] as const
    ;[start, end] = [from, keys.indexOf(TERM_EDGE, from)]
    if (!words) continue
    if (count > 0 && compareOctets(keys, before[0], before[1], keys, start, end) >= 0)
      return 'its words are not in order'
    const length = lengths?.values[count] ?? 0
    if (length === 0 || numbersIn(postings, at, at + length, span) === undefined) return 'a word leads nowhere'
    at += length
  }
  if (words && (count !== lengths?.count || at !== postings.byteLength)) return 'it leads to more than its words'
  if (!words && count !== emails?.count) return 'it has not as many emails as values'
  if (words && compareOctets(keys, start, end, last, 0, last.byteLength) !== 0) return 'its last word is another'
  return undefined
}

/** The lengths of the postings in a chunk of words; undefined: they are none. */
function lengthsOf(postings: Uint8Array): { values: Uint32Array; count: number; start: number } | undefined {
  const reader = new OctetReader(postings)
  const size = reader.varint()
  const start = reader.at + size
  if (start > postings.byteLength) return undefined
  const lengths = new Numbers()
  while (reader.at < start) lengths.add(reader.varint())
  return reader.at === start ? { values: lengths.values, count: lengths.count, start } : undefined
}

/** The ascending numbers at [from, to), none above `most`; undefined: they are none. */
function numbersIn(octets: Uint8Array, from: number, to: number, most: number): Numbers | undefined {
  if (to > octets.byteLength) return undefined
  const reader = new OctetReader(octets, from)
  const numbers = new Numbers()
  for (let last = -1; reader.at < to;) {
    const gap = reader.varint()
    const count = gap === 0 ? reader.varint() : 1
    const step = gap === 0 ? 1 : gap
    if (count === 0 || last + step * count > most) return undefined
    for (let i = 0; i < count; i++) numbers.add((last += step))
  }
  return reader.at === to ? numbers : undefined
}

/** Emails that the index does not find by words and values which they hold: some of a segment are tried. */
async function unfound(tx: Transaction, segment: Segment): Promise<string[]> {
  const { first, last } = segment
  for (let i = 0; i < SAMPLES; i++) {
    const from = first + Math.floor(((last - first) * i) / Math.max(1, SAMPLES - 1))
    const row = await tx.get('SELECT min(id) FROM mail_email WHERE id BETWEEN ? AND ?', from, last)
    if (row === undefined || row[0] === null) continue
    const email = Number(row[0])
    const octets = await readEmail(tx, email).catch(() => undefined)
    // In a blob, or damaged: that is looked at elsewhere.
    if (!(octets instanceof Uint8Array)) continue
    const batch = new Batch(email - 1)
    batch.add(email, octets)
    while (await batch.make());
    for (const chunk of batch.chunks)
      for (const key of some(chunk.keys))
        if (!(await leadsTo(tx, segment, chunk.stream, key, email)))
          return [`segment ${segment.id} does not find email ${email}`]
  }
  return []
}

/** Keys of a chunk, the first and the last among them. */
function some(keys: Uint8Array): Uint8Array[] {
  const all: Uint8Array[] = []
  for (let from = 1; from < keys.byteLength;) {
    const end = keys.indexOf(TERM_EDGE, from)
    all.push(keys.subarray(from, end))
    from = end + 1
  }
  const step = Math.max(1, (all.length - 1) / (WORDS - 1))
  return all.filter((_, i) => i === all.length - 1 || Math.floor(i / step) !== Math.floor((i - 1) / step))
}

async function leadsTo(
  tx: Transaction,
  { id, first }: Segment,
  stream: number,
  key: Uint8Array,
  email: number,
): Promise<boolean> {
  const words = WORD_STREAMS.includes(stream)
  for (const wanted of words ? [key, ANYTHING] : [key, LONG_VALUE]) {
    const row = await tx.get(
      'SELECT keys, postings FROM mail_search_chunk WHERE segment = ? AND stream = ? AND last >= ? ORDER BY chunk LIMIT 1',
      id,
      stream,
      words ? wanted : emailKey(email),
    )
    const [keys, postings] = row ?? []
    if (!(keys instanceof Uint8Array) || !(postings instanceof Uint8Array)) continue
    const found = keysWith(keys, Uint8Array.of(TERM_EDGE, ...wanted, TERM_EDGE))
    const emails = new Numbers()
    if (words) emailsOfTerms(postings, found, first, emails)
    else emailsOfValues(postings, found, first, emails)
    if (emails.list().includes(email)) return true
  }
  return false
}
