// Several segments become one, a slice at a time: what was written so far tells where to go on.

import type { Transaction } from '../../../store/contracts.ts'
import { addChunk, reachedIn, STREAM, StreamReader, StreamWriter, WORD_STREAMS } from './chunks.ts'
import { compareOctets, Numbers } from './octets.ts'
import { deadOf, endMerge, type Merge } from './segments.ts'

/** Octets that one slice writes, about. */
const SLICE = 64 * 1024

/** Works a slice on `merge`. */
export async function workOn(tx: Transaction, merge: Merge): Promise<void> {
  const dead = await deadOf(tx, merge)
  let left = SLICE
  for (const stream of Object.values(STREAM)) {
    left -= WORD_STREAMS.includes(stream)
      ? await mergeWords(tx, merge, stream, dead, left)
      : await mergeValues(tx, merge, stream, dead, left)
    if (left <= 0) return
  }
  await endMerge(tx, merge)
}

/** Answers the octets written: `most` or more, or all that was left. */
async function mergeWords(
  tx: Transaction,
  { target, sources }: Merge,
  stream: number,
  dead: ReadonlySet<number>,
  most: number,
): Promise<number> {
  const { after, chunk } = await reachedIn(tx, target.id, stream)
  const writer = new StreamWriter(target.first, stream, (one) => addChunk(tx, target.id, one), chunk)
  const readers: StreamReader[] = []
  for (const source of sources) {
    const reader = new StreamReader(tx, source, stream, after)
    await reader.load()
    if (reader.end > 0) readers.push(reader)
  }
  const emails = new Numbers()
  // The least keys' readers, the first `same` of it: an array of fixed length, as this is done for every term.
  const least: (StreamReader | undefined)[] = readers.map(() => undefined)
  while (readers.length > 0 && writer.written < most) {
    let same = 0
    for (const reader of readers) {
      const order = least[0] === undefined || same === 0 ? -1 : compare(reader, least[0])
      if (order < 0) same = 0
      if (order <= 0) least[same++] = reader
    }
    emails.count = 0
    // The sources are in the order of their emails.
    for (let i = 0; i < same; i++) least[i]?.emails(target.first, emails)
    if (dead.size > 0) leaveOut(emails, target.first, dead)
    const [any] = least
    if (emails.count > 0 && any !== undefined)
      writer.term(any.bytes, any.start, any.end, emails.values, 0, emails.count)
    for (let i = 0; i < same; i++) {
      const reader = least[i]
      if (reader === undefined || reader.step()) continue
      await reader.load()
      if (reader.end === 0) readers.splice(readers.indexOf(reader), 1)
    }
    if (writer.full) await writer.flush()
  }
  await writer.flush()
  return writer.written
}

const compare = (a: StreamReader, b: StreamReader): number =>
  a.beginning - b.beginning || compareOctets(a.bytes, a.start, a.end, b.bytes, b.start, b.end)

function leaveOut(emails: Numbers, first: number, dead: ReadonlySet<number>): void {
  let kept = 0
  for (let i = 0; i < emails.count; i++) {
    const email = emails.values[i] ?? 0
    if (!dead.has(first + email)) emails.values[kept++] = email
  }
  emails.count = kept
}

async function mergeValues(
  tx: Transaction,
  { target, sources }: Merge,
  stream: number,
  dead: ReadonlySet<number>,
  most: number,
): Promise<number> {
  const { after, chunk } = await reachedIn(tx, target.id, stream)
  const writer = new StreamWriter(target.first, stream, (one) => addChunk(tx, target.id, one), chunk)
  for (const source of sources) {
    const reader = new StreamReader(tx, source, stream, after)
    await reader.load()
    while (reader.end > 0) {
      if (writer.full) await writer.flush()
      if (writer.written >= most) return writer.written
      if (!dead.has(reader.email)) writer.value(reader.bytes, reader.start, reader.end, reader.email - target.first)
      if (!reader.step()) await reader.load()
    }
  }
  await writer.flush()
  return writer.written
}
