// Search keys as a test of one message, with as little of the message as possible: first its row, then its header, then all of it.

import { parseDate } from '@aviso/mime'
import type { MessageRow } from '../backend.ts'
import type { MailboxView } from '../server/view.ts'
import { dayNumber, dayOf } from '../wire/dates.ts'
import { type Span, spansOfSequence, spansOfUids } from '../wire/number-set.ts'
import { fold } from './fold.ts'
import { bodyContains, type HeaderText } from './message-text.ts'
import type { SearchKey } from './keys.ts'

/** A message as far as it is known. `bytes` of one that is gone are empty. */
export interface Candidate {
  position: number
  row: MessageRow
  header: HeaderText | undefined
  bytes: Uint8Array | undefined
}

/** Undefined: cannot be told from what is known of the message. */
export type Test = (message: Candidate) => boolean | undefined

export function compile(key: SearchKey, view: MailboxView): Test {
  switch (key.kind) {
    case 'all':
      return () => true
    case 'not': {
      const test = compile(key.key, view)
      return (message) => {
        const result = test(message)
        return result === undefined ? undefined : !result
      }
    }
    case 'and':
    case 'or':
      return junction(
        key.keys.map((one) => compile(one, view)),
        key.kind === 'or',
      )
    case 'sequence': {
      const inside = member(spansOfSequence(key.set, view.count).spans)
      return ({ position }) => inside(position)
    }
    case 'uid': {
      const inside = member(spansOfUids(key.set, view.uids))
      return ({ position }) => inside(position)
    }
    case 'flag': {
      const wanted = key.flag.toLowerCase()
      // Messages with the same flags share one set: each set is looked at once.
      const known = new Map<readonly string[], boolean>()
      return ({ row }) => {
        let result = known.get(row.flags)
        if (result === undefined) {
          result = row.flags.some((flag) => flag.toLowerCase() === wanted)
          known.set(row.flags, result)
        }
        return result
      }
    }
    case 'recent':
      return ({ row }) => view.isRecent(row.uid)
    case 'larger':
      return ({ row }) => row.size > key.size
    case 'smaller':
      return ({ row }) => row.size < key.size
    case 'before':
    case 'on':
    case 'since':
      return dateTest(key.kind, key.sent, key.day)
    case 'header': {
      const needle = fold(key.text)
      return ({ header }) => header?.values(key.name).some((value) => value.includes(needle))
    }
    case 'body': {
      const needle = fold(key.text)
      return ({ bytes }) => bytes && bodyContains(bytes, needle)
    }
    case 'text': {
      const needle = fold(key.text)
      return ({ header, bytes }) => {
        if (header?.all.includes(needle) === true) return true
        return bytes && bodyContains(bytes, needle)
      }
    }
  }
}

/** AND (`decisive` false) or OR (`decisive` true) that stops as soon as the answer is certain. */
function junction(tests: readonly Test[], decisive: boolean): Test {
  return (message) => {
    let unknown = false
    for (const test of tests) {
      const result = test(message)
      if (result === decisive) return decisive
      if (result === undefined) unknown = true
    }
    return unknown ? undefined : !decisive
  }
}

function member(spans: readonly Span[]): (position: number) => boolean {
  return (position) => {
    let low = 0
    let high = spans.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((spans[middle]?.end ?? 0) <= position) low = middle + 1
      else high = middle
    }
    const span = spans[low]
    return span !== undefined && position >= span.start
  }
}

function dateTest(kind: 'before' | 'on' | 'since', sent: boolean, day: number): Test {
  const compare = (found: number): boolean =>
    kind === 'before' ? found < day : kind === 'on' ? found === day : found >= day
  if (!sent) return ({ row }) => compare(dayOf(row.internalDate))
  return ({ header }) => {
    if (header === undefined) return undefined
    const date = parseDate(header.first('Date') ?? '')
    const found = date && dayNumber(date.year, date.month - 1, date.day)
    return found !== undefined && compare(found)
  }
}
