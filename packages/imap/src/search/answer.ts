// RFC 9051 §7.3.4 ESEARCH (RFC 4731), RFC 3501 §7.2.5 SEARCH, RFC 5256 §4 SORT: the answers of searching commands, of any length.

import type { ImapServerSession } from '../server/session.ts'
import { quote } from '../wire/encode.ts'
import { numberPieces } from '../wire/number-set.ts'
import { partialSlice } from './partial.ts'
import type { ReturnOptions } from './return-options.ts'

export interface SearchResult {
  /** UIDs or sequence numbers, in the order asked for. */
  readonly numbers: Uint32Array
  /** They are UIDs. */
  readonly uid: boolean
  /** The mod-sequence of each, where the search had MODSEQ in it. */
  readonly modseqs: ArrayLike<number> | undefined
  /** The relevancy of each, from 1 to 100, where it was asked for. */
  readonly scores: ArrayLike<number> | undefined
}

/** `* SEARCH 1 2 3` or `* SORT ...`, each number by itself. */
export async function writePlain(
  session: ImapServerSession,
  name: 'SEARCH' | 'SORT',
  { numbers, modseqs }: SearchResult,
): Promise<void> {
  const { out } = session
  out.text(`* ${name}`)
  for (let at = 0; at < numbers.length; at += 1024) {
    out.text(` ${numbers.subarray(at, at + 1024).join(' ')}`)
    if (session.winded) await session.breathe()
  }
  if (modseqs !== undefined && numbers.length > 0) out.text(` (MODSEQ ${highest(modseqs, allOf(numbers.length))})`)
  out.text('\r\n')
}

/** `* ESEARCH (TAG "...") ...`. `where`: what else identifies the search, with a space before it. Nothing is written when only SAVE was asked for. */
export async function writeExtended(
  session: ImapServerSession,
  tag: string,
  { words, partial }: ReturnOptions,
  { numbers, uid, modseqs, scores }: SearchResult,
  where = '',
): Promise<void> {
  if (partial === undefined && [...words].every((word) => word === 'SAVE' || word === 'CONTEXT')) return
  const { out } = session
  const set = async (some: Uint32Array): Promise<void> => {
    for (const piece of numberPieces(some)) {
      out.text(piece)
      if (session.winded) await session.breathe()
    }
  }
  const { length } = numbers
  out.text(`* ESEARCH (TAG ${quote(tag)}${where})${uid ? ' UID' : ''}`)
  // MIN, MAX and ALL of nothing are left out; COUNT is 0.
  if (length > 0 && words.has('MIN')) out.text(` MIN ${numbers[0]}`)
  if (length > 0 && words.has('MAX')) out.text(` MAX ${numbers[length - 1]}`)
  if (length > 0 && words.has('ALL')) {
    out.text(' ALL ')
    await set(numbers)
  }
  const slice = partial && partialSlice(partial, length)
  if (partial !== undefined && slice !== undefined) {
    out.text(` PARTIAL (${partial.text} `)
    if (slice.start === slice.end) out.text('NIL')
    else await set(numbers.subarray(slice.start, slice.end))
    out.text(')')
  }
  if (words.has('COUNT')) out.text(` COUNT ${length}`)
  if (words.has('RELEVANCY') && scores !== undefined && length > 0) {
    const shown = words.has('ALL') || slice === undefined ? { start: 0, end: length } : slice
    const text: string[] = []
    for (let i = shown.start; i < shown.end; i++) text.push(String(scores[i] ?? 1))
    if (text.length > 0) out.text(` RELEVANCY (${text.join(' ')})`)
  }
  if (modseqs !== undefined && length > 0) out.text(` MODSEQ ${highest(modseqs, chosen({ words, partial }, length))}`)
  out.text('\r\n')
}

const allOf = (length: number): number[] => Array.from({ length }, (_, i) => i)

function highest(modseqs: ArrayLike<number>, indexes: readonly number[]): number {
  let most = 0
  for (const index of indexes) most = Math.max(most, modseqs[index] ?? 0)
  return most
}

/**
 * Which of `count` results the answer is about, by index: all of them, unless only MIN, MAX or PARTIAL single some out. They are what SAVE saves
 * (RFC 5182 §2.4, RFC 9394 §3.2) and whose mod-sequence is told (RFC 7162 §3.1.10).
 */
export function chosen({ words, partial }: Pick<ReturnOptions, 'words' | 'partial'>, count: number): number[] {
  const single = words.has('MIN') || words.has('MAX') || partial !== undefined
  if (!single || words.has('ALL') || words.has('COUNT')) return allOf(count)
  const indexes = new Set<number>()
  if (count > 0 && words.has('MIN')) indexes.add(0)
  if (count > 0 && words.has('MAX')) indexes.add(count - 1)
  if (partial !== undefined) {
    const { start, end } = partialSlice(partial, count)
    for (let i = start; i < end; i++) indexes.add(i)
  }
  return [...indexes]
}
