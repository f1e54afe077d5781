// RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5267, RFC 6203, RFC 9394: what a search is to return.

import { bad } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'

/** The results from one place to another: 1 is the first, -1 the last. `text` as the client wrote it. */
export interface PartialRange {
  readonly from: number
  readonly to: number
  readonly text: string
}

export interface ReturnOptions {
  readonly words: ReadonlySet<ReturnWord>
  readonly partial: PartialRange | undefined
}

const WORDS = ['ALL', 'CONTEXT', 'COUNT', 'MAX', 'MIN', 'RELEVANCY', 'SAVE', 'UPDATE'] as const
type ReturnWord = (typeof WORDS)[number]

/** What IMAP4rev2 returns where nothing is said. */
export const RETURN_ALL: ReturnOptions = { words: new Set(['ALL']), partial: undefined }

/** `RETURN (...)` and the space behind it. Undefined when there is none. An empty list means ALL. */
export function parseReturn(parser: Parser): ReturnOptions | undefined {
  if (!parser.tryWord('RETURN')) return undefined
  parser.space()
  const words = new Set<ReturnWord>()
  let partial: PartialRange | undefined
  parser.list(() => {
    const name = parser.word()
    if (name === 'PARTIAL') {
      if (partial !== undefined) throw bad('PARTIAL is possible once only')
      parser.space()
      partial = parsePartial(parser)
      return
    }
    const word = WORDS.find((one) => one === name)
    if (word === undefined) throw bad(`There is no return option ${name.slice(0, 40)}`)
    words.add(word)
  })
  parser.space()
  // RFC 9394 §3.1
  if (partial !== undefined && words.has('ALL')) throw bad('PARTIAL and ALL exclude each other')
  // CONTEXT is but a hint; asking for nothing else asks for all.
  const asks = partial !== undefined || [...words].some((word) => word !== 'CONTEXT')
  if (!asks) words.add('ALL')
  return { words, partial }
}

function parsePartial(parser: Parser): PartialRange {
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
