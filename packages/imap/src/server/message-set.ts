// From the numbers of a command to messages of the view.

import { bad } from '../wire/errors.ts'
import { type NumberSet, SAVED, type Span, spansOfKnown, spansOfSequence, spansOfUids } from '../wire/number-set.ts'
import type { MailboxView } from './view.ts'

/** Positions that a command names. A sequence number beyond the mailbox is BAD; an unknown UID is passed over. */
export function spansOf(view: MailboxView, set: NumberSet, uid: boolean): Span[] {
  if (set === SAVED) return spansOfKnown(view.saved, view.uids)
  if (uid) return spansOfUids(set, view.uids)
  const { spans, beyond } = spansOfSequence(set, view.count)
  if (beyond)
    throw bad(
      view.count === 0 ? 'The mailbox is empty: there is no such message' : `There are only ${view.count} messages`,
    )
  return spans
}

/** UIDs of the positions, ascending. */
export function uidsOf(view: MailboxView, spans: readonly Span[]): number[] {
  const uids: number[] = []
  for (const { start, end } of spans) for (let at = start; at < end; at++) uids.push(view.uidAt(at))
  return uids
}
