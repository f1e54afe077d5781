// RFC 9394: a piece of a list of results, counted from either end. For SEARCH, SORT and FETCH.

import { bad } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'

/** The results from one place to another: 1 is the first, -1 the last. `text` as the client wrote it. */
export interface PartialRange {
  readonly from: number
  readonly to: number
  readonly text: string
}

/** `1:100` or `-1:-100`: both ends of one sign, in any order. */
export function parsePartial(parser: Parser): PartialRange {
  const negative = parser.tryChar('-')
  const from = parser.nonZero()
  parser.char(':')
  if (parser.tryChar('-') !== negative) throw bad('Both ends of PARTIAL count from the same end')
  const to = parser.nonZero()
  const [low, high] = from <= to ? [from, to] : [to, from]
  const sign = negative ? '-' : ''
  return {
    ...(negative ? { from: -high, to: -low } : { from: low, to: high }),
    text: `${sign}${from}:${sign}${to}`,
  }
}

/** The indexes [start, end) of `count` results that a range names. */
export function partialSlice({ from, to }: PartialRange, count: number): { start: number; end: number } {
  const start = from > 0 ? from - 1 : Math.max(0, count + from)
  const end = from > 0 ? Math.min(count, to) : count + to + 1
  return start < end ? { start, end } : { start: 0, end: 0 }
}
