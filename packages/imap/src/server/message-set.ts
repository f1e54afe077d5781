// From the numbers of a command to messages of the view.

import { humanText } from '../wire/encode.ts'
import { bad, no } from '../wire/errors.ts'
import { type NumberSet, SAVED, type Span, spansOfKnown, spansOfSequence, spansOfUids } from '../wire/number-set.ts'
import type { Completion } from './command.ts'
import type { ImapServerSession } from './session.ts'
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
  const [only] = spans
  if (only !== undefined && spans.length === 1) return Array.from(view.uids.subarray(only.start, only.end))
  const uids: number[] = []
  for (const { start, end } of spans) for (let at = start; at < end; at++) uids.push(view.uidAt(at))
  return uids
}

/** The positions that one command may work on. */
export interface LimitedSpans {
  readonly spans: readonly Span[]
  /** When messages were left out: the response code that says so, with the lowest UID worked on. For the tagged response. */
  readonly code: string | undefined
}

/**
 * RFC 9738 §3.1: at most `limit` messages, the newest of them, so that the client goes on below the UID it is told. Without a limit, all.
 */
export function limited(view: MailboxView, spans: readonly Span[], limit: number | undefined): LimitedSpans {
  if (limit === undefined || countOf(spans) <= limit) return { spans, code: undefined }
  const kept: Span[] = []
  let left = limit
  for (const { start, end } of spans.toReversed()) {
    if (left === 0) break
    const from = Math.max(start, end - left)
    kept.unshift({ start: from, end })
    left -= end - from
  }
  return { spans: kept, code: `MESSAGELIMIT ${limit} ${view.uidAt(kept[0]?.start ?? 0)}` }
}

/** For commands that do all or nothing: more than `limit` messages are NO, with the lowest UID of those that could be done at once (RFC 9738 §3.1). */
export function refuseBeyond(view: MailboxView, spans: readonly Span[], limit: number | undefined): void {
  const { code } = limited(view, spans, limit)
  if (code !== undefined) throw no(`At most ${limit} messages can be worked on at once: take fewer`, code)
}

/**
 * The end of a command of which `limit` (a code of `limited`) says that it left messages out. One response has one code: where the tagged one is needed for
 * another, the limit is told before it, in an untagged NO (RFC 9738 §3.1).
 */
export function withLimit(session: ImapServerSession, limit: string | undefined, done: Completion): Completion {
  if (limit === undefined) return done
  if (done.code === undefined) return { ...done, code: limit }
  session.out.untagged(`NO [${limit}] ${humanText('Only the newest of the messages were worked on')}`)
  return done
}

const countOf = (spans: readonly Span[]): number => spans.reduce((sum, { start, end }) => sum + end - start, 0)
