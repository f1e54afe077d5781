// The rows of a mailbox as typed columns: what crosses threads, is kept packed in the database, and becomes a session's snapshot.

/** Columns of equal length, ascending by UID. `flagsets` are ids of the account's flag sets, or indexes into a list, as the holder says. */
export interface Columns {
  readonly uids: Uint32Array
  readonly flagsets: Uint32Array
  readonly sizes: Uint32Array
  readonly modseqs: Float64Array
  readonly internalDates: Float64Array
}

const allocate = (length: number): Columns => ({
  uids: new Uint32Array(length),
  flagsets: new Uint32Array(length),
  sizes: new Uint32Array(length),
  modseqs: new Float64Array(length),
  internalDates: new Float64Array(length),
})

export const NO_ROWS: Columns = allocate(0)

/** Collects rows one by one. */
export class ColumnsBuilder {
  #columns: Columns
  #length = 0

  constructor(capacity = 64) {
    this.#columns = allocate(Math.max(capacity, 16))
  }

  push(uid: number, flagset: number, modseq: number, size: number, internalDate: number): void {
    if (this.#length === this.#columns.uids.length) {
      const larger = allocate(this.#length * 2)
      copyRows(larger, 0, this.#columns, 0, this.#length)
      this.#columns = larger
    }
    const { uids, flagsets, sizes, modseqs, internalDates } = this.#columns
    const at = this.#length++
    uids[at] = uid
    flagsets[at] = flagset
    sizes[at] = size
    modseqs[at] = modseq
    internalDates[at] = internalDate
  }

  finish(): Columns {
    return cut(this.#columns, this.#length)
  }
}

/** The first `length` rows, in arrays of just that size: a view would drag its whole buffer between threads. */
function cut(columns: Columns, length: number): Columns {
  if (columns.uids.length === length) return columns
  return {
    uids: columns.uids.slice(0, length),
    flagsets: columns.flagsets.slice(0, length),
    sizes: columns.sizes.slice(0, length),
    modseqs: columns.modseqs.slice(0, length),
    internalDates: columns.internalDates.slice(0, length),
  }
}

function copyRows(to: Columns, at: number, from: Columns, start: number, end: number): void {
  to.uids.set(from.uids.subarray(start, end), at)
  to.flagsets.set(from.flagsets.subarray(start, end), at)
  to.sizes.set(from.sizes.subarray(start, end), at)
  to.modseqs.set(from.modseqs.subarray(start, end), at)
  to.internalDates.set(from.internalDates.subarray(start, end), at)
}

/** The first index of `sorted` at or after `from` whose value is `value` or more. */
export function lowerBound(sorted: Uint32Array, value: number, from = 0): number {
  let low = from
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}

/** `old` with the rows of `changed` put in or replaced and the UIDs of `vanished` gone. Makes new arrays. */
export function mergeColumns(old: Columns, changed: Columns, vanished: Uint32Array): Columns {
  const out = allocate(old.uids.length + changed.uids.length)
  let length = 0
  let from = 0
  const copyUntil = (to: number): void => {
    if (to === from) return
    copyRows(out, length, old, from, to)
    length += to - from
    from = to
  }
  let next = 0
  let gone = 0
  while (next < changed.uids.length || gone < vanished.length) {
    const uid = Math.min(changed.uids[next] ?? Infinity, vanished[gone] ?? Infinity)
    copyUntil(old.uids[from] === uid ? from : lowerBound(old.uids, uid, from))
    if (old.uids[from] === uid) from++
    if (changed.uids[next] === uid) {
      out.uids[length] = uid
      out.flagsets[length] = changed.flagsets[next] ?? 0
      out.sizes[length] = changed.sizes[next] ?? 0
      out.modseqs[length] = changed.modseqs[next] ?? 0
      out.internalDates[length] = changed.internalDates[next] ?? 0
      length++
      next++
    }
    if (vanished[gone] === uid) gone++
  }
  copyUntil(old.uids.length)
  return cut(out, length)
}

const VERSION = 1
const HEAD = 8

/** The columns in one piece of memory: version, number of rows, then column after column. */
export function packColumns(columns: Columns): Uint8Array {
  const rows = columns.uids.length
  const out = new Uint8Array(HEAD + rows * 28)
  const head = new Uint32Array(out.buffer, 0, 2)
  head[0] = VERSION
  head[1] = rows
  let at = HEAD
  // The 8-octet columns go first, where they are aligned.
  for (const column of [columns.modseqs, columns.internalDates, columns.uids, columns.flagsets, columns.sizes]) {
    out.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), at)
    at += column.byteLength
  }
  return out
}

/** What `packColumns` packed; undefined for anything else (the caller then reads the rows themselves). */
export function unpackColumns(packed: Uint8Array): Columns | undefined {
  if (packed.byteLength < HEAD) return undefined
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  const rows = view.getUint32(4, true)
  if (view.getUint32(0, true) !== VERSION || packed.byteLength !== HEAD + rows * 28) return undefined
  const columns = allocate(rows)
  let at = packed.byteOffset + HEAD
  for (const column of [columns.modseqs, columns.internalDates, columns.uids, columns.flagsets, columns.sizes]) {
    new Uint8Array(column.buffer).set(new Uint8Array(packed.buffer, at, column.byteLength))
    at += column.byteLength
  }
  return columns
}
