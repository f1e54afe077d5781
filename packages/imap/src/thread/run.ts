// RFC 5256 §3, draft-ietf-morg-inthread: the threads of messages that were found.

import type { Pace } from '../search/pace.ts'
import type { SearchTarget } from '../search/target.ts'
import { pick, pickWhole, sameUids } from '../sort/align.ts'
import { subjectHashes } from '../sort/columns.ts'
import { sortedBy } from '../sort/radix.ts'
import { sentOrReceived } from '../sort/run.ts'
import { type Forest, groupOf, layOut, ROOT } from './forest.ts'
import { gatherSubjects } from './gather.ts'
import { linksOf } from './links.ts'
import { threadByReferences } from './references.ts'

export const ALGORITHMS = ['ORDEREDSUBJECT', 'REFERENCES', 'REFS'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

interface Threads {
  readonly uids: Uint32Array
  readonly laidOut: Int32Array
}

/** The threads of `positions` (ascending), laid out (see `forestText`) with indexes into `positions`. Those of a whole mailbox are remembered. */
export async function threadPositions(
  target: SearchTarget,
  positions: Uint32Array,
  algorithm: Algorithm,
  pace: Pace,
): Promise<Int32Array> {
  const { mailbox, rows, count } = target
  const name = `threads ${algorithm}`
  const whole = positions.length === count
  const known = whole ? (mailbox.cache.get(name) as Threads | undefined) : undefined
  if (known !== undefined && sameUids(known.uids, rows.uids)) return known.laidOut

  const dates = await sentOrReceived(target, pace)
  if (pace.winded) await pace.breathe()
  const ofFound = pick(dates, positions)
  const byDate = await sortedBy(indexes(positions.length), ofFound, false, pace)
  const laidOut =
    algorithm === 'ORDEREDSUBJECT'
      ? await layOut(await orderedSubject(target, positions, byDate, pace), byDate, pace)
      : await referenced(target, positions, byDate, ofFound, algorithm, pace)
  if (whole) mailbox.cache.set(name, { uids: rows.uids, laidOut } satisfies Threads, 4 * (laidOut.length + count))
  return laidOut
}

async function referenced(
  target: SearchTarget,
  positions: Uint32Array,
  byDate: Uint32Array,
  dates: Float64Array,
  algorithm: Algorithm,
  pace: Pace,
): Promise<Int32Array> {
  const { links, at: all } = await linksOf(target.mailbox, target.rows.uids, pace)
  const at = new Int32Array(pick(all, positions, -1))
  const forest = await threadByReferences(links, at, pace)
  if (pace.winded) await pace.breathe()
  if (algorithm === 'REFS') return layOut(forest, byDate, pace, await latestLast(forest, dates, pace))
  const subjects = await subjectsOf(target, positions, pace)
  const replies = pickWhole(links.replies, at)
  return layOut(await gatherSubjects(forest, byDate, subjects, replies, pace), byDate, pace)
}

async function subjectsOf({ mailbox, rows }: SearchTarget, positions: Uint32Array, pace: Pace): Promise<Float64Array> {
  const hashes = await subjectHashes(mailbox, rows.uids, pace)
  return pick(hashes, positions)
}

/** Messages with one base subject are one thread: the earliest, and all others as answers to it. */
async function orderedSubject(
  target: SearchTarget,
  positions: Uint32Array,
  byDate: Uint32Array,
  pace: Pace,
): Promise<Forest> {
  const subjects = await subjectsOf(target, positions, pace)
  const firsts = new Map<number, number>()
  const up = new Int32Array(positions.length).fill(ROOT)
  for (let at = 0; at < byDate.length; at++) {
    const i = byDate[at] ?? 0
    const subject = subjects[i] ?? 0
    const first = firsts.get(subject)
    if (first === undefined) firsts.set(subject, i)
    else up[i] = first
    if ((at & 4095) === 4095 && pace.winded) await pace.breathe()
  }
  return { up, groups: 0 }
}

/** THREAD=REFS: the order of threads, by their latest message. */
async function latestLast({ up, groups }: Forest, dates: Float64Array, pace: Pace): Promise<Uint32Array> {
  const count = up.length
  // The top of each message: itself, or count + its group.
  const top = new Int32Array(count).fill(-1)
  const path: number[] = []
  const latest = new Float64Array(count + groups).fill(-Infinity)
  // A group is named by the first of its topmost messages.
  const members = new Int32Array(groups).fill(-1)
  const order: number[] = []
  for (let i = 0; i < count; i++) {
    let found = -1
    for (let at = i; found < 0;) {
      const parent = up[at] ?? ROOT
      path.push(at)
      if ((top[at] ?? -1) >= 0) found = top[at] ?? 0
      else if (parent >= 0) at = parent
      else found = parent === ROOT ? at : count + groupOf(parent)
    }
    for (let at = path.pop(); at !== undefined; at = path.pop()) top[at] = found
    latest[found] = Math.max(latest[found] ?? -Infinity, dates[i] ?? 0)
    const under = groupOf(up[i] ?? ROOT)
    if (up[i] === ROOT) order.push(i)
    else if (under >= 0 && members[under] === -1) {
      members[under] = i
      order.push(count + under)
    }
    if ((i & 4095) === 4095 && pace.winded) await pace.breathe()
  }
  const sorted = await sortedBy(Uint32Array.from(order), latest, false, pace)
  return sorted.map((one) => (one < count ? one : (members[one - count] ?? 0)))
}

/** 0, 1, 2, ... */
function indexes(count: number): Uint32Array {
  const out = new Uint32Array(count)
  for (let i = 0; i < count; i++) out[i] = i
  return out
}
