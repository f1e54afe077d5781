// RFC 5256 §3 THREAD=REFERENCES, step 5: threads with one base subject become one.

import type { Pace } from '../search/pace.ts'
import { type Forest, group, groupOf, ROOT } from './forest.ts'

/**
 * `byDate`: the messages by sent date, which is the order in which threads are looked at (step 4). `subjects`: equal numbers for equal base subjects, 0 for an
 * empty one. `replies[i]` is 1 when the subject of `i` says that it is a reply or forward.
 */
export async function gatherSubjects(
  { up: given, groups: givenGroups }: Forest,
  byDate: Uint32Array,
  subjects: ArrayLike<number>,
  replies: ArrayLike<number>,
  pace: Pace,
): Promise<Forest> {
  const up = given.slice()
  const threads = await topmost(up, givenGroups, byDate, pace)
  // (A), (B): one thread for each subject.
  const table = new Map<number, Thread>()
  for (const [at, thread] of threads.entries()) {
    if ((at & 1023) === 1023 && pace.winded) await pace.breathe()
    const subject = subjects[thread.first] ?? 0
    if (subject === 0) continue
    const known = table.get(subject)
    const better =
      known === undefined ||
      (known.group < 0 && (thread.group >= 0 || (replies[known.first] === 1 && replies[thread.first] !== 1)))
    if (better) table.set(subject, thread)
  }
  if (pace.winded) await pace.breathe()

  // (C)
  let groups = givenGroups
  /** Groups whose members went to another. */
  const joined = new Map<number, number>()
  for (const [at, thread] of threads.entries()) {
    if ((at & 1023) === 1023 && pace.winded) await pace.breathe()
    const subject = subjects[thread.first] ?? 0
    const known = table.get(subject)
    // A message that is no more at the top was merged already.
    if (subject === 0 || known === undefined || known === thread) continue
    if (thread.group < 0 && up[thread.first] !== ROOT) continue
    if (thread.group >= 0) joined.set(thread.group, known.group)
    else if (known.group >= 0) up[thread.first] = group(known.group)
    else if (replies[thread.first] === 1 && replies[known.first] !== 1) up[thread.first] = known.first
    else {
      const together = groups++
      up[thread.first] = group(together)
      up[known.first] = group(together)
      table.set(subject, { first: known.first, group: together })
    }
  }
  if (pace.winded) await pace.breathe()
  if (joined.size > 0) {
    for (let i = 0; i < up.length; i++) {
      const into = joined.get(groupOf(up[i] ?? ROOT))
      if (into !== undefined) up[i] = group(into)
    }
  }
  return { up, groups }
}

/** A child of the root: a message, or a group, of which `first` is the earliest. */
interface Thread {
  readonly first: number
  /** -1 for a message. */
  readonly group: number
}

/** Children of the root by sent date, a group by its earliest message. */
async function topmost(up: Int32Array, groups: number, byDate: Uint32Array, pace: Pace): Promise<Thread[]> {
  const told = new Uint8Array(groups)
  const threads: Thread[] = []
  for (let at = 0; at < byDate.length; at++) {
    const first = byDate[at] ?? 0
    const parent = up[first] ?? ROOT
    const under = groupOf(parent)
    if (parent === ROOT) threads.push({ first, group: -1 })
    else if (under >= 0 && told[under] === 0) {
      told[under] = 1
      threads.push({ first, group: under })
    }
    if ((at & 4095) === 4095 && pace.winded) await pace.breathe()
  }
  return threads
}
