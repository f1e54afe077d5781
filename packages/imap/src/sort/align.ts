// Columns that were made for one list of messages, used for another: the mailbox as one session knows it is not always the one that another session sorted.

/** For each of `uids` its index in `known`, or -1. Both ascend. */
export function indexesIn(known: Uint32Array, uids: Uint32Array): Int32Array {
  const out = new Int32Array(uids.length)
  let at = 0
  for (let i = 0; i < uids.length; i++) {
    const uid = uids[i] ?? 0
    while (at < known.length && (known[at] ?? 0) < uid) at++
    out[i] = known[at] === uid ? at : -1
  }
  return out
}

export function sameUids(a: Uint32Array, b: Uint32Array): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Those of `uids` that are not `known`. Both ascend. */
export function missingFrom(known: Uint32Array, uids: Uint32Array): number[] {
  if (known.length === 0) return listOf(uids)
  const out: number[] = []
  let at = 0
  for (let i = 0; i < uids.length; i++) {
    const uid = uids[i] ?? 0
    while (at < known.length && (known[at] ?? 0) < uid) at++
    if (known[at] !== uid) out.push(uid)
  }
  return out
}

/** As an array. (`Array.from` would take ten times as long.) */
export function listOf(numbers: ArrayLike<number>): number[] {
  const out: number[] = []
  for (let i = 0; i < numbers.length; i++) out.push(numbers[i] ?? 0)
  return out
}

/** All of both lists, ascending. */
export function unionOf(a: Uint32Array, b: Uint32Array): Uint32Array {
  if (a.length === 0) return b
  const out = new Uint32Array(a.length + b.length)
  let i = 0
  let j = 0
  let to = 0
  while (i < a.length || j < b.length) {
    const left = a[i] ?? Infinity
    const right = b[j] ?? Infinity
    out[to++] = Math.min(left, right)
    if (left <= right) i++
    if (right <= left) j++
  }
  return out.slice(0, to)
}

/** True when so many of the messages known are gone that the rest is better kept alone. Some stay: another session may not have heard yet. */
export const crowded = (known: number, living: number): boolean => known - living > 1024 + living / 4

/** `values` of the elements named by `indexes`; `fallback` where there is none. (`from` with a function would take ten times as long.) */
export function pick(values: ArrayLike<number>, indexes: ArrayLike<number>, fallback = 0): Float64Array {
  const out = new Float64Array(indexes.length)
  for (let i = 0; i < out.length; i++) out[i] = values[indexes[i] ?? -1] ?? fallback
  return out
}

/** As `pick`, for small whole numbers. */
export function pickWhole(values: ArrayLike<number>, indexes: ArrayLike<number>): Uint32Array {
  const out = new Uint32Array(indexes.length)
  for (let i = 0; i < out.length; i++) out[i] = values[indexes[i] ?? -1] ?? 0
  return out
}
