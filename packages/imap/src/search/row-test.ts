// Search keys that a message's row decides, on the columns of the mailbox: no object is made per message.

import { dayOf } from '../wire/dates.ts'
import { SAVED, type Span, spansOfKnown, spansOfSequence, spansOfUids } from '../wire/number-set.ts'
import type { SearchKey } from './keys.ts'
import type { SearchTarget } from './target.ts'

/** Whether the message at a position matches. */
export type RowTest = (position: number) => boolean

const MINUTE = 60_000

/** Undefined when the key needs more of a message than its row. `now` is in milliseconds since the epoch. */
export function rowTest(key: SearchKey, target: SearchTarget, now: number): RowTest | undefined {
  const { rows } = target
  switch (key.kind) {
    case 'all':
      return () => true
    case 'sequence':
    case 'uid':
      return member(spansOfKey(key, target), target.count)
    case 'uidAfter': {
      const { uids } = rows
      return (position) => (uids[position] ?? 0) > key.uid
    }
    case 'uidBefore': {
      const { uids } = rows
      return (position) => (uids[position] ?? 0) < key.uid
    }
    case 'flag':
      return flagTest(key.flag, target)
    case 'recent': {
      const { uids } = rows
      return (position) => target.isRecent(uids[position] ?? 0)
    }
    case 'larger':
    case 'smaller': {
      const { sizes } = rows
      const { size } = key
      return key.kind === 'larger'
        ? (position) => (sizes[position] ?? 0) > size
        : (position) => (sizes[position] ?? 0) < size
    }
    case 'before':
    case 'on':
    case 'since': {
      if (key.date !== 'internal') return undefined
      const { internalDates, zones } = rows
      const compare = dayTest(key.kind, key.day)
      // RFC 9051 §6.4.4: time and zone are disregarded, so the day is the one that is shown.
      return (position) => compare(dayOf((internalDates[position] ?? 0) + (zones[position] ?? 0) * MINUTE))
    }
    case 'older':
    case 'younger': {
      // RFC 5032 §3: by the second, and both ends belong to it.
      const { internalDates } = rows
      const { seconds } = key
      const age = (position: number): number => Math.floor((now - (internalDates[position] ?? 0)) / 1000)
      return key.kind === 'older' ? (position) => age(position) >= seconds : (position) => age(position) <= seconds
    }
    case 'modseq': {
      const { modseqs } = rows
      const { modseq } = key
      return (position) => (modseqs[position] ?? 0) >= modseq
    }
    default:
      return undefined
  }
}

/** Compares a day with that of a key. */
export function dayTest(kind: 'before' | 'on' | 'since', day: number): (found: number) => boolean {
  if (kind === 'before') return (found) => found < day
  return kind === 'on' ? (found) => found === day : (found) => found >= day
}

/** The positions that a set in a search key names. What does not exist is passed over. */
function spansOfKey(
  key: Extract<SearchKey, { kind: 'sequence' | 'uid' }>,
  { rows, saved, count }: SearchTarget,
): Span[] {
  if (key.set === SAVED) return spansOfKnown(saved, rows.uids)
  return key.kind === 'uid' ? spansOfUids(key.set, rows.uids) : spansOfSequence(key.set, count).spans
}

function member(spans: readonly Span[], count: number): RowTest {
  const inside = new Uint8Array(count)
  for (const { start, end } of spans) inside.fill(1, start, end)
  return (position) => inside[position] === 1
}

/** Messages with the same flags share one set: each set is looked at once. */
function flagTest(flag: string, { rows }: SearchTarget): RowTest {
  const wanted = flag.toLowerCase()
  const { flags } = rows
  const has = Uint8Array.from(rows.flagSets, (set) => (set.some((one) => one.toLowerCase() === wanted) ? 1 : 0))
  return (position) => has[flags[position] ?? 0] === 1
}
