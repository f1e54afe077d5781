// Several segments become one, a slice at a time: what was written so far tells where to go on.

import type { Transaction } from '../../../store/contracts.ts'
import { STREAM, StreamReader, ValueWriter, WORD_STREAMS, WordWriter } from './chunks.ts'
import { deadOf, endMerge, type Merge } from './segments.ts'

/** Octets that one slice writes, about. */
const SLICE = 512 * 1024

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

/** The key behind which the target's stream goes on, and the number of its next chunk. */
async function reachedIn(
  tx: Transaction,
  target: number,
  stream: number,
): Promise<{ after: Uint8Array; chunk: number }> {
  const row = await tx.get(
    'SELECT last, chunk FROM mail_search_chunk WHERE segment = ? AND stream = ? ORDER BY chunk DESC LIMIT 1',
    target,
    stream,
  )
  return row?.[0] instanceof Uint8Array
    ? { after: row[0], chunk: Number(row[1]) + 1 }
    : { after: new Uint8Array(), chunk: 0 }
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
  const readers = sources.map((source) => new StreamReader(tx, source, stream, after))
  for (const reader of readers) await reader.load()
  const writer = new WordWriter(tx, target.id, stream, chunk)
  for (;;) {
    let term: string | undefined
    for (const { key } of readers) if (key !== undefined && (term === undefined || key < term)) term = key
    if (term === undefined) break
    const emails: number[] = []
    const note =
      dead.size === 0
        ? (email: number) => void emails.push(email - target.first)
        : (email: number) => void (dead.has(email) || emails.push(email - target.first))
    // The sources are in the order of their emails.
    for (const reader of readers)
      if (reader.key === term) {
        reader.emails(note)
        if (reader.advance()) await reader.load()
      }
    if (emails.length > 0) writer.add(term, emails)
    if (!writer.full) continue
    await writer.flush()
    if (writer.written >= most) break
  }
  await writer.flush()
  return writer.written
}

async function mergeValues(
  tx: Transaction,
  { target, sources }: Merge,
  stream: number,
  dead: ReadonlySet<number>,
  most: number,
): Promise<number> {
  const { after, chunk } = await reachedIn(tx, target.id, stream)
  const writer = new ValueWriter(tx, target.id, stream, target.first, chunk)
  for (const source of sources) {
    const reader = new StreamReader(tx, source, stream, after)
    await reader.load()
    for (let key = reader.key; key !== undefined; key = reader.key) {
      if (!dead.has(reader.email)) writer.add(key, reader.email)
      if (reader.advance()) await reader.load()
      if (!writer.full) continue
      await writer.flush()
      if (writer.written >= most) return writer.written
    }
  }
  await writer.flush()
  return writer.written
}
