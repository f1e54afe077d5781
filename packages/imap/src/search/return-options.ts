// RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5267, RFC 5465 §7, RFC 6203: what a search is to return.

import { type FetchItem, parseFetchItems } from '../commands/fetch-items.ts'
import { bad } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'
import { parsePartial, type PartialRange } from './partial.ts'

export interface ReturnOptions {
  readonly words: ReadonlySet<ReturnWord>
  readonly partial: PartialRange | undefined
  /** What UPDATE is to tell of each message that arrives later and matches. */
  readonly fetch: readonly FetchItem[]
}

const WORDS = ['ALL', 'CONTEXT', 'COUNT', 'MAX', 'MIN', 'RELEVANCY', 'SAVE', 'UPDATE'] as const
type ReturnWord = (typeof WORDS)[number]

/** What IMAP4rev2 returns where nothing is said. */
export const RETURN_ALL: ReturnOptions = { words: new Set(['ALL']), partial: undefined, fetch: [] }

/** `RETURN (...)` and the space behind it. Undefined when there is none. An empty list means ALL. */
export function parseReturn(parser: Parser): ReturnOptions | undefined {
  if (!parser.tryWord('RETURN')) return undefined
  parser.space()
  const words = new Set<ReturnWord>()
  let partial: PartialRange | undefined
  let fetch: readonly FetchItem[] = []
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
    // The grammar of RFC 5465 has no space here, its example has one.
    if (word !== 'UPDATE' || !(parser.atList || parser.ahead(' ('))) return
    parser.trySpace()
    fetch = parseFetchItems(parser)
  })
  parser.space()
  // RFC 9394 §3.1
  if (partial !== undefined && words.has('ALL')) throw bad('PARTIAL and ALL exclude each other')
  // CONTEXT is but a hint; asking for nothing else asks for all.
  const asks = partial !== undefined || [...words].some((word) => word !== 'CONTEXT')
  if (!asks) words.add('ALL')
  return { words, partial, fetch }
}
