// RFC 9738 §3.1 MESSAGELIMIT: a search looks at no more messages than other commands work on, the newest of those that its keys allow. SORT, THREAD and searches
// in many mailboxes are worth nothing by halves: they are refused (§3.3).

import { no } from '../wire/errors.ts'
import type { SearchKey } from './keys.ts'
import { rowTest, type RowTest } from './row-test.ts'
import type { Mask } from './run.ts'
import type { SearchTarget } from './target.ts'

/** What is looked at, and the response code that says that it was not all. */
export interface LimitedSearch {
  readonly among: Mask
  readonly code: string
}

/**
 * Undefined: the limit leaves nothing out. What counts is what is looked at, not what matches: a set of numbers, UID, UIDAFTER and UIDBEFORE narrow it down,
 * which is how a client goes on below the UID that the code names.
 */
export function limitedSearch(
  target: SearchTarget,
  key: SearchKey,
  limit: number | undefined,
): LimitedSearch | undefined {
  if (limit === undefined || target.count <= limit) return undefined
  const tests = bounds(key, target)
  const among = new Uint8Array(target.count)
  let left = limit
  let lowest = 0
  for (let position = target.count - 1; position >= 0; position--) {
    if (!tests.every((test) => test(position))) continue
    if (left-- === 0) return { among, code: `MESSAGELIMIT ${limit} ${target.rows.uids[lowest] ?? 0}` }
    among[position] = 1
    lowest = position
  }
  return undefined
}

/** Messages that a search would look at, `most` + 1 when they are more than that. */
export function lookedAt(target: SearchTarget, key: SearchKey, most: number): number {
  if (target.count <= most) return target.count
  const tests = bounds(key, target)
  let count = 0
  for (let position = 0; position < target.count && count <= most; position++)
    if (tests.every((test) => test(position))) count++
  return count
}

/** For what is done whole or not at all. Throws NO when a search would look at more than `limit` messages. */
export function refuseLargeSearch(target: SearchTarget, key: SearchKey, limit: number | undefined): void {
  if (limit !== undefined && lookedAt(target, key, limit) > limit) throw tooMany(limit)
}

/** NO for a command that would look at more messages than it may, whichever those are. */
export const tooMany = (limit: number): Error =>
  no(`At most ${limit} messages can be looked at here: name fewer of them by UID`, `MESSAGELIMIT ${limit}`)

/** The tests by number that every match has to pass. */
function bounds(key: SearchKey, target: SearchTarget): RowTest[] {
  switch (key.kind) {
    case 'and':
      return key.keys.flatMap((one) => bounds(one, target))
    case 'sequence':
    case 'uid':
    case 'uidAfter':
    case 'uidBefore':
      // These look at the row only: no time is asked for.
      return [rowTest(key, target, 0) ?? (() => true)]
    default:
      return []
  }
}
