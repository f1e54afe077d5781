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

/** The list in stretches of at most `most` UIDs with gaps of at most `gap`: few statements, few rows read in vain. */
export function* spans(uids: Uint32Array, gap = GAP, most = SPAN): Generator<Span> {
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
