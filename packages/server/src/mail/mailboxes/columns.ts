// The rows of a mailbox as typed columns: what crosses threads, is kept packed in the database, and becomes a session's snapshot.

import { isRun } from './uids.ts'

/** Columns of equal length, ascending by UID. `flagsets` are ids of the account's flag sets, or indexes into a list, as the holder says. */
export interface Columns {
  readonly uids: Uint32Array
  readonly flagsets: Uint32Array
  readonly modseqs: Float64Array
  readonly sizes: Float64Array
  readonly internalDates: Float64Array
  /** Minutes east of UTC. */
  readonly zones: Int16Array
}

/** From this many rows on, columns lie in memory that threads share: handing them over then costs nothing. */
const SHARED_ROWS = 1024

const memoryFor = (rows: number, octetsEach: number): ArrayBufferLike =>
  rows < SHARED_ROWS ? new ArrayBuffer(rows * octetsEach) : new SharedArrayBuffer(rows * octetsEach)

/** Room for so many numbers of a column. */
export const room: { readonly [Name in keyof Columns]: (rows: number) => Columns[Name] } = {
  uids: (rows) => new Uint32Array(memoryFor(rows, 4)),
  flagsets: (rows) => new Uint32Array(memoryFor(rows, 4)),
  modseqs: (rows) => new Float64Array(memoryFor(rows, 8)),
  sizes: (rows) => new Float64Array(memoryFor(rows, 8)),
  internalDates: (rows) => new Float64Array(memoryFor(rows, 8)),
  zones: (rows) => new Int16Array(memoryFor(rows, 2)),
}

/** Room for so many rows. */
const allocate = (rows: number): Columns => ({
  uids: room.uids(rows),
  flagsets: room.flagsets(rows),
  modseqs: room.modseqs(rows),
  sizes: room.sizes(rows),
  internalDates: room.internalDates(rows),
  zones: room.zones(rows),
})

type Make = <Name extends keyof Columns>(name: Name) => Columns[Name]
type Fixed = { -readonly [Name in Exclude<keyof Columns, keyof Flags>]?: Columns[Name] }
type Flags = { -readonly [Name in 'flagsets' | 'modseqs']?: Columns[Name] }

/**
 * Columns each of which is made when it is asked for first. They belong to the class (accessors of the object's own would live, with all that they hold, until V8 collects
 * everything): `allColumns` before they are copied, or sent to another thread.
 */
export class ColumnsWhenAsked implements Columns {
  readonly #make: Make
  /** Shared by all that differ in flags only. */
  readonly #fixed: Fixed
  readonly #flags: Flags

  constructor(make: Make, fixed: Fixed = {}, flags: Flags = {}) {
    this.#make = make
    this.#fixed = fixed
    this.#flags = flags
  }

  get uids(): Uint32Array {
    return (this.#fixed.uids ??= this.#make('uids'))
  }

  get flagsets(): Uint32Array {
    return (this.#flags.flagsets ??= this.#make('flagsets'))
  }

  get modseqs(): Float64Array {
    return (this.#flags.modseqs ??= this.#make('modseqs'))
  }

  get sizes(): Float64Array {
    return (this.#fixed.sizes ??= this.#make('sizes'))
  }

  get internalDates(): Float64Array {
    return (this.#fixed.internalDates ??= this.#make('internalDates'))
  }

  get zones(): Int16Array {
    return (this.#fixed.zones ??= this.#make('zones'))
  }

  withFlags(flags: Flags): Columns {
    return new ColumnsWhenAsked(this.#make, this.#fixed, { ...this.#flags, ...flags })
  }
}

/** The rows with other flags. Columns that nobody has asked for are not made for that. */
export const withFlags = (columns: Columns, flags: Flags): Columns =>
  columns instanceof ColumnsWhenAsked ? columns.withFlags(flags) : { ...columns, ...flags }

/** The columns, all of them made. */
export const allColumns = (columns: Columns): Columns => view(columns, 0, columns.uids.length)

export const NO_ROWS: Columns = allocate(0)

/** Rows that are written in memory with room for more, by the memory of their UIDs. */
const written = new WeakMap<ArrayBufferLike, number>()

const roomFor = (rows: number): number => (rows < SHARED_ROWS ? rows : rows + (rows >>> 4))

const view = (
  { uids, flagsets, modseqs, sizes, internalDates, zones }: Columns,
  start: number,
  end: number,
): Columns => ({
  uids: uids.subarray(start, end),
  flagsets: flagsets.subarray(start, end),
  modseqs: modseqs.subarray(start, end),
  sizes: sizes.subarray(start, end),
  internalDates: internalDates.subarray(start, end),
  zones: zones.subarray(start, end),
})

/** The rows from the index `start` on. */
export const rowsFrom = (columns: Columns, start: number): Columns => view(columns, start, columns.uids.length)

/** All of the memory in which these columns begin. */
const whole = ({ uids, flagsets, modseqs, sizes, internalDates, zones }: Columns): Columns => ({
  uids: new Uint32Array(uids.buffer),
  flagsets: new Uint32Array(flagsets.buffer),
  modseqs: new Float64Array(modseqs.buffer),
  sizes: new Float64Array(sizes.buffer),
  internalDates: new Float64Array(internalDates.buffer),
  zones: new Int16Array(zones.buffer),
})

/** Collects rows one by one. */
export class ColumnsBuilder {
  #columns: Columns
  #length = 0

  constructor(capacity = 64) {
    this.#columns = allocate(Math.max(capacity, 16))
  }

  get length(): number {
    return this.#length
  }

  push(uid: number, flagset: number, modseq: number, size: number, internalDate: number, zone: number): void {
    if (this.#length === this.#columns.uids.length) this.#grow(this.#length * 2)
    const { uids, flagsets, sizes, modseqs, internalDates, zones } = this.#columns
    const at = this.#length++
    uids[at] = uid
    flagsets[at] = flagset
    modseqs[at] = modseq
    sizes[at] = size
    internalDates[at] = internalDate
    zones[at] = zone
  }

  /** Adds rows that come after all those that are here. */
  append(rows: Columns): void {
    const wanted = this.#length + rows.uids.length
    if (wanted > this.#columns.uids.length) this.#grow(Math.max(wanted, this.#length * 2))
    copyRows(this.#columns, this.#length, rows, 0, rows.uids.length)
    this.#length = wanted
  }

  finish(): Columns {
    return cut(this.#columns, this.#length)
  }

  #grow(capacity: number): void {
    const larger = allocate(capacity)
    copyRows(larger, 0, this.#columns, 0, this.#length)
    this.#columns = larger
  }
}

/** The first `length` rows, in arrays of just that size: a view would drag its whole buffer between threads. */
function cut(columns: Columns, length: number): Columns {
  if (columns.uids.length === length) return columns
  const out = allocate(length)
  copyRows(out, 0, columns, 0, length)
  return out
}

function copyRows(to: Columns, at: number, from: Columns, start: number, end: number): void {
  to.uids.set(from.uids.subarray(start, end), at)
  to.flagsets.set(from.flagsets.subarray(start, end), at)
  to.modseqs.set(from.modseqs.subarray(start, end), at)
  to.sizes.set(from.sizes.subarray(start, end), at)
  to.internalDates.set(from.internalDates.subarray(start, end), at)
  to.zones.set(from.zones.subarray(start, end), at)
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

/** The rows of those of the UIDs `wanted` (ascending) that are there; views of `columns` where they follow one another. */
export function rowsOfUids(columns: Columns, wanted: Uint32Array): Columns {
  const { uids, flagsets, modseqs, sizes, internalDates, zones } = columns
  const start = lowerBound(uids, wanted[0] ?? 0)
  if (isRunOf(uids, start, wanted)) return view(columns, start, start + wanted.length)
  const found = new ColumnsBuilder(wanted.length)
  let at = start
  for (let i = 0; i < wanted.length; i++) {
    const uid = wanted[i] ?? 0
    if (uids[at] !== uid) at = lowerBound(uids, uid, at)
    if (uids[at] !== uid) continue
    found.push(uid, flagsets[at] ?? 0, modseqs[at] ?? 0, sizes[at] ?? 0, internalDates[at] ?? 0, zones[at] ?? 0)
    at++
  }
  return found.finish()
}

/** True where the rows from `start` on are those of `wanted`, which follow one another: as many rows as UIDs between the first and the last can be no others. */
const isRunOf = (uids: Uint32Array, start: number, wanted: Uint32Array): boolean =>
  isRun(wanted) && uids[start] === wanted[0] && uids[start + wanted.length - 1] === wanted.at(-1)

/** Above this an array by number would be larger than a map. */
const SMALL_NUMBERS = 1 << 20

const largest = (numbers: Uint32Array): number => {
  let most = 0
  for (let i = 0; i < numbers.length; i++) if ((numbers[i] ?? 0) > most) most = numbers[i] ?? 0
  return most
}

/** Every number that is there, once. */
export function distinct(numbers: Uint32Array): number[] {
  const most = largest(numbers)
  if (most >= SMALL_NUMBERS) return [...new Set(numbers)]
  const seen = new Uint8Array(most + 1)
  const found: number[] = []
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i] ?? 0
    if (seen[number] === 1) continue
    seen[number] = 1
    found.push(number)
  }
  return found
}

/** Each number as `names` has it, 0 for one that it has not. */
export function translate(numbers: Uint32Array, names: ReadonlyMap<number, number>): Uint32Array {
  const most = largest(numbers)
  const out = new Uint32Array(memoryFor(numbers.length, 4))
  if (most >= SMALL_NUMBERS) {
    for (let i = 0; i < out.length; i++) out[i] = names.get(numbers[i] ?? 0) ?? 0
    return out
  }
  const table = new Uint32Array(most + 1)
  for (const [number, name] of names) if (number <= most) table[number] = name
  for (let i = 0; i < out.length; i++) out[i] = table[numbers[i] ?? 0] ?? 0
  return out
}

/** `old` with the rows of `changed` put in or replaced and the UIDs of `vanished` gone. `old` is not written to; the result may share columns with it. */
export function mergeColumns(old: Columns, changed: Columns, vanished: Uint32Array): Columns {
  if (vanished.length === 0) {
    if (changed.uids.length === 0) return old
    if (old.uids.length === 0) return changed
    if ((changed.uids[0] ?? 0) > (old.uids.at(-1) ?? 0)) return append(old, changed)
    const same = changeFlags(old, changed)
    if (same !== undefined) return same
  }
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
      if (vanished[gone] !== uid) {
        out.uids[length] = uid
        out.flagsets[length] = changed.flagsets[next] ?? 0
        out.modseqs[length] = changed.modseqs[next] ?? 0
        out.sizes[length] = changed.sizes[next] ?? 0
        out.internalDates[length] = changed.internalDates[next] ?? 0
        out.zones[length] = changed.zones[next] ?? 0
        length++
      }
      next++
    }
    if (vanished[gone] === uid) gone++
  }
  copyUntil(old.uids.length)
  return cut(out, length)
}

/** The merge where all rows are new and the last: they are written behind the old ones where nobody has done so yet and there is room, so that a message that comes into a large mailbox costs little. */
function append(old: Columns, rows: Columns): Columns {
  const length = old.uids.length
  const wanted = length + rows.uids.length
  let memory = written.get(old.uids.buffer) === length ? whole(old) : undefined
  if (memory === undefined || memory.uids.length < wanted || memory.flagsets.length < wanted) {
    memory = allocate(roomFor(wanted))
    copyRows(memory, 0, old, 0, length)
  }
  copyRows(memory, length, rows, 0, rows.uids.length)
  written.set(memory.uids.buffer, wanted)
  return view(memory, 0, wanted)
}

/** The merge where no row is new: only flags and modseqs can differ, the other columns are shared. Undefined where a row is new. */
function changeFlags(old: Columns, changed: Columns): Columns | undefined {
  const start = lowerBound(old.uids, changed.uids[0] ?? 0)
  if (isRunOf(old.uids, start, changed.uids)) {
    const { flagsets, modseqs } = copyOfFlags(old)
    flagsets.set(changed.flagsets, start)
    modseqs.set(changed.modseqs, start)
    return withFlags(old, { flagsets, modseqs })
  }
  const at = new Uint32Array(changed.uids.length)
  let from = 0
  for (let i = 0; i < at.length; i++) {
    const uid = changed.uids[i] ?? 0
    if (old.uids[from] !== uid) from = lowerBound(old.uids, uid, from)
    if (old.uids[from] !== uid) return undefined
    at[i] = from++
  }
  const { flagsets, modseqs } = copyOfFlags(old)
  for (let i = 0; i < at.length; i++) {
    flagsets[at[i] ?? 0] = changed.flagsets[i] ?? 0
    modseqs[at[i] ?? 0] = changed.modseqs[i] ?? 0
  }
  return withFlags(old, { flagsets, modseqs })
}

/** With as much room for more as the old ones have. */
function copyOfFlags(old: Columns): Pick<Columns, 'flagsets' | 'modseqs'> {
  const rows = old.uids.buffer.byteLength / 4
  const flagsets = room.flagsets(rows)
  const modseqs = room.modseqs(rows)
  flagsets.set(old.flagsets)
  modseqs.set(old.modseqs)
  const end = old.uids.length
  return end === rows
    ? { flagsets, modseqs }
    : { flagsets: flagsets.subarray(0, end), modseqs: modseqs.subarray(0, end) }
}
