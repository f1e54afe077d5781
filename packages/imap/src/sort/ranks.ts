// The order of a mailbox's messages by one key, as a rank per message: equal keys have equal ranks. Remembered in the mailbox's cache and brought up to date when
// messages came: their places are looked for by halving, with few keys read from the store.

import type { KeyField, Mailbox } from '../backend.ts'
import { splitKeys } from '../render/key-list.ts'
import type { Pace } from '../search/pace.ts'
import { crowded, indexesIn, listOf, missingFrom, pickWhole, sameUids, unionOf } from './align.ts'
import { KeyTexts } from './key-texts.ts'
import { collated } from './strings.ts'

interface Ranks {
  readonly uids: Uint32Array
  readonly ranks: Uint32Array
  /** Ranks are below this. */
  readonly distinct: number
}

/** The rank of each of `uids` (ascending) by a key. Do not change. */
export async function ranksOf(mailbox: Mailbox, field: KeyField, uids: Uint32Array, pace: Pace): Promise<Uint32Array> {
  const name = `ranks ${field}`
  let known = mailbox.cache.get(name) as Ranks | undefined
  const missing = known === undefined ? undefined : missingFrom(known.uids, uids)
  if (known === undefined || missing === undefined || missing.length > 64 + uids.length / 8) {
    known = await build(mailbox, field, uids, pace)
    mailbox.cache.set(name, known, uids.length * 8)
  } else if (missing.length > 0) {
    known = (await extend(mailbox, field, known, uids, missing, pace)) ?? (await build(mailbox, field, uids, pace))
    mailbox.cache.set(name, known, known.uids.length * 8)
  }
  if (sameUids(known.uids, uids)) return known.ranks
  return pickWhole(known.ranks, indexesIn(known.uids, uids))
}

/** Reads the keys of `uids` (ascending), and says of each its index among them. A message that is gone has the empty text. */
async function readKeys(mailbox: Mailbox, field: KeyField, uids: ArrayLike<number>, pace: Pace): Promise<KeyTexts> {
  const texts = new KeyTexts(uids.length)
  let at = 0
  const list = listOf(uids)
  if (pace.winded) await pace.breathe()
  for await (const batch of mailbox.keys(list, field)) {
    const keys = texts.begin(batch.keys)
    for (let i = 0; i < batch.uids.length; i++) {
      const uid = batch.uids[i] ?? 0
      while ((uids[at] ?? Infinity) < uid) at++
      if (uids[at] === uid) keys.set(at)
      else keys.skip()
      if ((i & 31) === 31 && pace.winded) await pace.breathe()
    }
    if (pace.winded) await pace.breathe()
  }
  return texts
}

async function build(mailbox: Mailbox, field: KeyField, uids: Uint32Array, pace: Pace): Promise<Ranks> {
  const texts = await readKeys(mailbox, field, uids, pace)
  return { uids, ...(await texts.ranks(pace)) }
}

/** A text that is new, and where it belongs among the ranks that have a living message. */
interface Search {
  readonly text: string
  low: number
  high: number
  /** Has the text of the rank at `low`. */
  found: boolean
}

/** With `missing` taken in. Undefined when a key could not be read. */
async function extend(
  mailbox: Mailbox,
  field: KeyField,
  known: Ranks,
  uids: Uint32Array,
  missing: readonly number[],
  pace: Pace,
): Promise<Ranks | undefined> {
  const texts = await readKeys(mailbox, field, missing, pace)
  const fresh = await texts.ranks(pace)
  /** By their rank among themselves, one that has it. */
  const examples = new Uint32Array(fresh.distinct)
  for (let i = 0; i < missing.length; i++) examples[fresh.ranks[i] ?? 0] = i

  // One living message for each rank, whose key can be asked for.
  const speakers = new Uint32Array(known.distinct)
  const at = indexesIn(known.uids, uids)
  for (let i = 0; i < uids.length; i++) {
    const index = at[i] ?? -1
    if (index >= 0) speakers[known.ranks[index] ?? 0] = uids[i] ?? 0
  }
  const living: number[] = []
  for (let rank = 0; rank < known.distinct; rank++) if (speakers[rank] !== 0) living.push(rank)

  const searches = Array.from(examples, (example): Search => ({
    text: texts.at(example),
    low: 0,
    high: living.length,
    found: false,
  }))
  const speaker = (middle: number): number => speakers[living[middle] ?? 0] ?? 0
  for (;;) {
    const open = searches.filter(({ low, high, found }) => !found && low < high)
    if (open.length === 0) break
    const middles = new Set(open.map(({ low, high }) => speaker((low + high) >>> 1)))
    const keys = new Map<number, string>()
    for await (const batch of mailbox.keys(
      [...middles].sort((a, b) => a - b),
      field,
    ))
      for (const [i, key] of splitKeys(collated(batch.keys)).entries()) keys.set(batch.uids[i] ?? 0, key)
    for (const search of open) {
      const middle = (search.low + search.high) >>> 1
      const key = keys.get(speaker(middle))
      if (key === undefined) return undefined
      if (key === search.text) {
        search.low = middle
        search.found = true
      } else if (key < search.text) search.low = middle + 1
      else search.high = middle
    }
    if (pace.winded) await pace.breathe()
  }

  // Old ranks move up by the number of new ones before them.
  const inserted = new Uint32Array(known.distinct + 1)
  for (const { low, found } of searches) if (!found) bump(inserted, living[low] ?? known.distinct)
  const moved = new Uint32Array(known.distinct + 1)
  let before = 0
  for (let rank = 0; rank <= known.distinct; rank++) {
    before += inserted[rank] ?? 0
    moved[rank] = rank + before
  }
  const rankOf = new Uint32Array(fresh.distinct)
  const used = new Uint32Array(known.distinct + 1)
  searches.forEach(({ low, found }, i) => {
    const slot = living[low] ?? known.distinct
    const next = moved[slot] ?? 0
    rankOf[i] = found ? next : next - (inserted[slot] ?? 0) + bump(used, slot)
  })

  const base = crowded(known.uids.length, uids.length - missing.length) ? uids : unionOf(known.uids, uids)
  const ranks = new Uint32Array(base.length)
  const old = indexesIn(known.uids, base)
  let next = 0
  for (let i = 0; i < base.length; i++) {
    const index = old[i] ?? -1
    ranks[i] = (index >= 0 ? moved[known.ranks[index] ?? 0] : rankOf[fresh.ranks[next++] ?? 0]) ?? 0
  }
  return { uids: base, ranks, distinct: known.distinct + before }
}

/** Adds one. Answers what was there before. */
function bump(counts: Uint32Array, index: number): number {
  const before = counts[index] ?? 0
  counts[index] = before + 1
  return before
}
