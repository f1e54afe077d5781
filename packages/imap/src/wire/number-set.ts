// RFC 9051 §9 `sequence-set`: numbers and ranges of UIDs or sequence numbers.

/** One range as it was written; 0 stands for `*`. */
export interface NumberRange {
  readonly from: number
  readonly to: number
}

/** Ranges in the order the client gave them. */
export type NumberSet = readonly NumberRange[]

/** `$`: what a search has saved (RFC 5182). Known by identity; only `spansOf` and search keys give it a meaning. */
export const SAVED: NumberSet = []

/** Half-open range of positions in a sorted list. */
export interface Span {
  readonly start: number
  readonly end: number
}

const MAX = 0xffffffff

/** Undefined when the text is no sequence-set. */
export function parseNumberSet(text: string): NumberSet | undefined {
  const ranges: NumberRange[] = []
  let at = 0
  const number = (): number => {
    if (text[at] === '*') {
      at++
      return 0
    }
    const start = at
    let value = 0
    while (at < text.length) {
      const digit = text.charCodeAt(at) - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
      if (value > MAX) return -1
      at++
    }
    return at === start || text[start] === '0' ? -1 : value
  }
  for (;;) {
    const from = number()
    if (from < 0) return undefined
    let to = from
    if (text[at] === ':') {
      at++
      to = number()
      if (to < 0) return undefined
    }
    ranges.push({ from, to })
    if (at === text.length) return ranges
    if (text[at++] !== ',') return undefined
  }
}

/** Ascending numbers as a compact set: `1:3,5`. */
export function formatNumbers(numbers: ArrayLike<number>): string {
  let out = ''
  for (let i = 0; i < numbers.length;) {
    const first = numbers[i] ?? 0
    let last = first
    for (i++; i < numbers.length && numbers[i] === last + 1; i++) last++
    if (out !== '') out += ','
    out += last === first ? `${first}` : `${first}:${last}`
  }
  return out
}

/** As `formatNumbers`, in pieces of a few thousand characters, for sets of any size. Numbers in another order keep it. */
export function* numberPieces(numbers: ArrayLike<number>): Generator<string> {
  let out = ''
  for (let i = 0; i < numbers.length;) {
    const first = numbers[i] ?? 0
    let last = first
    const start = i
    for (i++; i < numbers.length && numbers[i] === last + 1; i++) last++
    if (start > 0) out += ','
    out += last === first ? `${first}` : `${first}:${last}`
    if (out.length < 4096) continue
    yield out
    out = ''
  }
  if (out !== '') yield out
}

/** First position in the ascending `list` whose value is at least `value`. */
export function lowerBound(list: ArrayLike<number>, value: number, length = list.length): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((list[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}

/** The positions in `uids` (ascending) that the UID set names. Unknown UIDs are passed over; `*` is the last message (RFC 9051 §6.4.9). */
export function spansOfUids(set: NumberSet, uids: ArrayLike<number>): Span[] {
  const last = uids.length === 0 ? 0 : (uids[uids.length - 1] ?? 0)
  return merge(
    set.map(({ from, to }) => {
      const a = from === 0 ? last : from
      const b = to === 0 ? last : to
      return { start: lowerBound(uids, Math.min(a, b)), end: lowerBound(uids, Math.max(a, b) + 1) }
    }),
  )
}

/** The positions that the sequence set names, and whether it named a number that does not exist. */
export function spansOfSequence(set: NumberSet, count: number): { spans: Span[]; beyond: boolean } {
  let beyond = false
  const spans = set.map(({ from, to }) => {
    const a = from === 0 ? count : from
    const b = to === 0 ? count : to
    const high = Math.max(a, b)
    const low = Math.min(a, b)
    if (high > count || low === 0) beyond = true
    return { start: Math.max(0, low - 1), end: Math.min(count, high) }
  })
  return { spans: merge(spans), beyond }
}

/** The positions in `uids` (ascending) of some of them (ascending). */
export function spansOfKnown(some: ArrayLike<number>, uids: ArrayLike<number>): Span[] {
  const out: { start: number; end: number }[] = []
  let at = 0
  for (let i = 0; i < some.length; i++) {
    const uid = some[i] ?? 0
    while ((uids[at] ?? Infinity) < uid) at++
    if (uids[at] !== uid) continue
    const last = out.at(-1)
    if (last?.end === at) last.end++
    else out.push({ start: at, end: at + 1 })
    at++
  }
  return out
}

/** Sorted, without overlaps and empty spans. */
function merge(spans: Span[]): Span[] {
  spans.sort((a, b) => a.start - b.start)
  const out: { start: number; end: number }[] = []
  for (const { start, end } of spans) {
    if (end <= start) continue
    const last = out.at(-1)
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end)
    else out.push({ start, end })
  }
  return out
}
