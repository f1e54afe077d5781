// RFC 5256 §3: messages in the order of a sort program; ties by sequence number, also under REVERSE.

import type { KeyField } from '../backend.ts'
import type { Pace } from '../search/pace.ts'
import type { SearchTarget } from '../search/target.ts'
import { sentDates } from './columns.ts'
import type { SortCriterion, SortProgram } from './program.ts'
import { sortedBy } from './radix.ts'
import { ranksOf } from './ranks.ts'

const KEYS: Readonly<Partial<Record<SortCriterion, KeyField>>> = {
  CC: 'cc',
  DISPLAYFROM: 'displayFrom',
  DISPLAYTO: 'displayTo',
  FROM: 'from',
  SUBJECT: 'subject',
  TO: 'to',
}

/**
 * `positions` (ascending) in the order of `program`. `scores`: relevancy from 1 to 100 by position, for RELEVANCY.
 */
export async function sortPositions(
  target: SearchTarget,
  positions: Uint32Array,
  program: SortProgram,
  pace: Pace,
  scores?: ArrayLike<number>,
): Promise<Uint32Array> {
  let order = positions
  for (const { by, reverse } of program.toReversed()) {
    const values = await column(target, by, pace, scores)
    // The best comes first (RFC 6203 §6).
    order = await sortedBy(order, values, by === 'RELEVANCY' ? !reverse : reverse, pace)
  }
  return order
}

async function column(
  target: SearchTarget,
  by: SortCriterion,
  pace: Pace,
  scores: ArrayLike<number> | undefined,
): Promise<ArrayLike<number>> {
  const { mailbox, rows } = target
  const key = KEYS[by]
  if (key !== undefined) return ranksOf(mailbox, key, rows.uids, pace)
  switch (by) {
    case 'DATE':
      return sentOrReceived(target, pace)
    case 'SIZE':
      return rows.sizes
    case 'RELEVANCY':
      return scores ?? []
    default:
      return rows.internalDates
  }
}

/** RFC 5256 §2.2: the sent date of each message by position; INTERNALDATE where there is none. */
export async function sentOrReceived({ mailbox, rows }: SearchTarget, pace: Pace): Promise<Float64Array> {
  const sent = await sentDates(mailbox, rows.uids, pace)
  const received = rows.internalDates
  const out = new Float64Array(sent.length)
  for (let position = 0; position < out.length; position++) {
    const date = sent[position] ?? NaN
    out[position] = Number.isNaN(date) ? (received[position] ?? 0) : date
  }
  return out
}
