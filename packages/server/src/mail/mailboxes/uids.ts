// Lists of UIDs, as an operation works through them: in spans, never one statement for each.

/** Ascending and unique; what cannot be a UID (RFC 9051 §2.3.1.1: 1 to 2^32-1) is left out. */
export function uidList(uids: readonly number[]): Uint32Array {
  let sorted = true
  let last = 0
  for (const uid of uids) {
    if (!(uid > last && uid <= 0xffffffff && Number.isInteger(uid))) {
      sorted = false
      break
    }
    last = uid
  }
  if (sorted) return Uint32Array.from(uids)
  const valid = Uint32Array.from(uids.filter((uid) => Number.isInteger(uid) && uid >= 1 && uid <= 0xffffffff)).sort()
  return valid.filter((uid, i) => uid !== valid[i - 1])
}

/** A stretch of the list: its indexes [start, end) and the UIDs at its ends. */
export interface Span {
  readonly start: number
  readonly end: number
  readonly first: number
  readonly last: number
}

/** Rows that are read in vain cost less than one more statement, up to about this many. */
const GAP = 24
/** So that no span's rows fill the memory. */
const SPAN = 8192

/** True where each UID of an ascending list follows the one before: two looks tell. */
export const isRun = (uids: Uint32Array): boolean => (uids.at(-1) ?? 0) - (uids[0] ?? 0) === uids.length - 1

/** The list in stretches of at most `most` UIDs with gaps of at most `gap`: few statements, few rows read in vain. */
export function* spans(uids: Uint32Array, gap = GAP, most = SPAN): Generator<Span> {
  if (isRun(uids)) {
    for (let start = 0; start < uids.length; start += most) {
      const end = Math.min(start + most, uids.length)
      yield { start, end, first: uids[start] ?? 0, last: uids[end - 1] ?? 0 }
    }
    return
  }
  let start = 0
  for (let i = 1; i <= uids.length; i++) {
    const last = uids[i - 1] ?? 0
    if (i < uids.length && (uids[i] ?? 0) - last <= gap && i - start < most) continue
    yield { start, end: i, first: uids[start] ?? 0, last }
    start = i
  }
}

/** Adjacent stretches of rows that were all chosen: `[first, last]` UIDs and the number of rows. */
export interface Run {
  readonly first: number
  last: number
  rows: number
}

/** UIDs that one statement names. */
export const NAMED = 64
/** As many parameters. */
export const NAMES = Array.from({ length: NAMED }, () => '?').join(', ')

/** The list in pieces of NAMED; the last one is filled up with its last UID. */
export function* pieces(uids: ArrayLike<number>): Generator<readonly number[]> {
  for (let at = 0; at < uids.length; at += NAMED) {
    const last = Math.min(at + NAMED, uids.length) - 1
    yield Array.from({ length: NAMED }, (_, i) => uids[Math.min(at + i, last)] ?? 0)
  }
}

/** Below this many UIDs a run is not worth a statement of its own. */
const LONG = 16

/** The list as numbers that follow one another, where that is worth a statement for each run, and the UIDs that are left. */
export function consecutive(uids: readonly number[]): {
  readonly runs: readonly Run[]
  readonly single: readonly number[]
} {
  const runs: Run[] = []
  const single: number[] = []
  for (let start = 0; start < uids.length;) {
    const first = uids[start] ?? 0
    let end = start + 1
    while (uids[end] === first + end - start) end++
    if (end - start >= LONG) runs.push({ first, last: first + end - start - 1, rows: end - start })
    else single.push(...uids.slice(start, end))
    start = end
  }
  return { runs, single }
}
