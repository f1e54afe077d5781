// RFC 4466 §2.4: what FETCH can be told beside its items: CHANGEDSINCE and VANISHED (RFC 7162 §3.1.4.1, §3.2.6), PARTIAL (RFC 9394 §3.3).

import { parsePartial, type PartialRange, partialSlice } from '../search/partial.ts'
import type { ImapServerSession } from '../server/session.ts'
import type { MailboxView } from '../server/view.ts'
import { bad } from '../wire/errors.ts'
import { formatNumbers, type NumberSet, type Span } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'

export interface FetchModifiers {
  /** Only messages whose mod-sequence is above this. */
  readonly changedSince?: number
  /** Tell which of the UIDs asked for have vanished since. */
  readonly vanished: boolean
  /** Only the messages at these places of the set: 1 is the first, -1 the last. */
  readonly partial?: PartialRange
}

/** ` (CHANGEDSINCE 12 VANISHED)`; nothing there means no modifiers. */
export function parseFetchModifiers(parser: Parser, uid: boolean): FetchModifiers {
  let changedSince: number | undefined
  let vanished = false
  let partial: FetchModifiers['partial']
  if (parser.trySpace()) {
    parser.list(() => {
      const name = parser.word()
      switch (name) {
        case 'CHANGEDSINCE':
          if (changedSince !== undefined) throw bad('CHANGEDSINCE is possible once only')
          parser.space()
          changedSince = parser.number64()
          return
        case 'VANISHED':
          if (!uid) throw bad('VANISHED is only possible with UID FETCH')
          vanished = true
          return
        case 'PARTIAL':
          if (!uid) throw bad('PARTIAL is only possible with UID FETCH')
          if (partial !== undefined) throw bad('PARTIAL is possible once only')
          parser.space()
          partial = parsePartial(parser)
          return
        default:
          throw bad(`FETCH does not know the modifier ${name.slice(0, 40)}`)
      }
    })
  }
  if (vanished && changedSince === undefined) throw bad('VANISHED needs CHANGEDSINCE beside it')
  return {
    vanished,
    ...(changedSince === undefined ? {} : { changedSince }),
    ...(partial === undefined ? {} : { partial }),
  }
}

/** The part of the positions that `partial` names. */
export function partialSpans(spans: readonly Span[], partial: PartialRange): Span[] {
  let total = 0
  for (const { start, end } of spans) total += end - start
  const { start: first, end: last } = partialSlice(partial, total)
  const out: Span[] = []
  let before = 0
  for (const { start, end } of spans) {
    const low = Math.max(start, start + first - before)
    const high = Math.min(end, start + last - before)
    if (low < high) out.push({ start: low, end: high })
    before += end - start
  }
  return out
}

/** `* VANISHED (EARLIER) ...` for those UIDs of `set` that have gone since, except what this session still has and will be told of. `above`: only UIDs above this. */
export async function tellVanishedEarlier(
  session: ImapServerSession,
  view: MailboxView,
  set: NumberSet | undefined,
  since: number,
  above = 0,
): Promise<void> {
  const delta = await view.mailbox.delta(since)
  const asked = sortedRanges(set ?? [{ from: 1, to: Math.max(1, view.uidNext - 1) }], view)
  const wanted = asked.flatMap(({ from, to }) => (to > above ? [{ from: Math.max(from, above + 1), to }] : []))
  const vanished = delta.complete
    ? delta.vanished.filter((uid) => inRanges(wanted, uid) && view.position(uid) < 0)
    : undefined
  const text = vanished === undefined ? missingUids(view, wanted) : formatNumbers(vanished)
  if (text !== '') session.out.untagged(`VANISHED (EARLIER) ${text}`)
}

interface Range {
  readonly from: number
  readonly to: number
}

/** The UIDs of a set as ascending ranges without overlaps; `*` is the highest UID. */
function sortedRanges(set: NumberSet, view: MailboxView): Range[] {
  const last = view.count === 0 ? view.uidNext - 1 : view.uidAt(view.count - 1)
  const ranges = set.map(({ from, to }) => {
    const a = from === 0 ? last : from
    const b = to === 0 ? Math.max(last, view.uidNext - 1) : to
    return { from: Math.min(a, b), to: Math.max(a, b) }
  })
  ranges.sort((a, b) => a.from - b.from)
  const out: { from: number; to: number }[] = []
  for (const range of ranges) {
    const before = out.at(-1)
    if (before !== undefined && range.from <= before.to + 1) before.to = Math.max(before.to, range.to)
    else out.push({ ...range })
  }
  return out
}

function inRanges(ranges: readonly Range[], uid: number): boolean {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ranges[middle]?.to ?? 0) < uid) low = middle + 1
    else high = middle
  }
  return (ranges[low]?.from ?? Infinity) <= uid
}

/** History was trimmed: every UID of the ranges that is not there (RFC 7162 §3.2.5.1: more than needed is right, less is not). */
function missingUids(view: MailboxView, ranges: readonly Range[]): string {
  const gaps: string[] = []
  const gap = (from: number, to: number): void => {
    if (from <= to) gaps.push(from === to ? `${from}` : `${from}:${to}`)
  }
  const { uids } = view
  let at = 0
  for (const { from, to } of ranges) {
    const end = Math.min(to, view.uidNext - 1)
    let next = from
    while (at < uids.length && (uids[at] ?? 0) < from) at++
    for (; at < uids.length && (uids[at] ?? 0) <= end; at++) {
      gap(next, (uids[at] ?? 0) - 1)
      next = (uids[at] ?? 0) + 1
    }
    gap(next, end)
  }
  return gaps.join(',')
}
