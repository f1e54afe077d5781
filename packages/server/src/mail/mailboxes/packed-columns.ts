// The columns of a mailbox as the database keeps them: read without looking at every row, in as few octets as their numbers allow, and made as wide as
// they are in memory only when somebody wants them. A SELECT asks for two of the six, and fresh memory costs more than reading.

import { type Columns, ColumnsWhenAsked, distinct, room } from './columns.ts'

/** What came before 5 is made anew from the rows. */
const VERSION = 5
/** The order in which they are packed. */
const NAMES = ['uids', 'modseqs', 'sizes', 'internalDates', 'flagsets', 'zones'] as const
/** Of these, each row's number is stored: a SELECT wants them, and they are copied without a line of JavaScript for each; and a damaged head cannot name more rows than there are. */
const STORED: readonly (keyof Columns)[] = ['uids', 'flagsets']
/** Version, rows, ids, nothing (32 bits each). */
const HEAD = 16
/** Base and step (64 bits each), octets of a stored number, nothing (32 bits each). */
const COLUMN_HEAD = 24
const CONTENT = HEAD + NAMES.length * COLUMN_HEAD
/** Every column begins where numbers of 8 octets may lie. */
const ALIGNED = 8
const MOST = 0xffffffff
/** Dates are whole seconds, as a rule. */
const SECOND = 1000

type Numbers = Columns[keyof Columns] | Uint16Array | Uint8Array

/** A number is `base + step · what is stored of it`, or of its index where nothing is stored. */
interface PackedColumn {
  readonly base: number
  readonly step: number
  readonly stored: Float64Array | Uint32Array | Uint16Array | Uint8Array | undefined
}

/** What one part holds. */
interface Part {
  readonly rows: number
  /** In the order of `NAMES`. */
  readonly columns: readonly PackedColumn[]
  /** The ids of all flag sets in it. */
  readonly sets: Uint32Array
}

const padded = (octets: number): number => Math.ceil(octets / ALIGNED) * ALIGNED

const octetsOf = (column: Numbers): Uint8Array => new Uint8Array(column.buffer, column.byteOffset, column.byteLength)

// Each of these goes over many rows, in a loop by itself: that is compiled soonest.

const leastOf = (column: Numbers): number => {
  let least = column[0] ?? 0
  for (let i = 1; i < column.length; i++) if ((column[i] ?? 0) < least) least = column[i] ?? 0
  return least
}

const mostOf = (column: Numbers): number => {
  let most = column[0] ?? 0
  for (let i = 1; i < column.length; i++) if ((column[i] ?? 0) > most) most = column[i] ?? 0
  return most
}

/** True where each number is the one before it, and `step` more. */
const isRow = (column: Numbers, step: number): boolean => {
  const base = column[0] ?? 0
  for (let i = 1; i < column.length; i++) if (column[i] !== base + step * i) return false
  return true
}

const allAreMultiples = (column: Numbers, of: number): boolean => {
  for (let i = 0; i < column.length; i++) if ((column[i] ?? 0) % of !== 0) return false
  return true
}

const narrowest = (most: number) => (most <= 0xff ? Uint8Array : most <= 0xffff ? Uint16Array : Uint32Array)

/** With `all`, every number is stored, be they what they may. */
function narrow(column: Numbers, all: boolean): PackedColumn {
  const base = column[0] ?? 0
  for (const step of all ? [] : [0, 1]) if (isRow(column, step)) return { base, step, stored: undefined }
  const least = leastOf(column)
  const most = mostOf(column)
  // As they are, they are copied without a line of JavaScript for each.
  if (least >= 0 && most <= MOST) return { base: 0, step: 1, stored: narrowest(most).from(column) }
  const step = allAreMultiples(column, SECOND) ? SECOND : 1
  const widest = (most - least) / step
  if (widest > MOST) return { base: 0, step: 1, stored: Float64Array.from(column) }
  const stored = new (narrowest(widest))(column.length)
  for (let i = 0; i < stored.length; i++) stored[i] = ((column[i] ?? 0) - least) / step
  return { base: least, step, stored }
}

/** The columns in one piece of memory: heads, then each column after the other, then the ids of all flag sets in them. */
export function packColumns(columns: Columns): Uint8Array {
  const packed = NAMES.map((name) => narrow(columns[name], STORED.includes(name)))
  const ids = Uint32Array.from(distinct(columns.flagsets))
  const content = [...packed.map(({ stored }) => stored ?? new Uint8Array()), ids]
  const out = new Uint8Array(content.reduce((sum, { byteLength }) => sum + padded(byteLength), CONTENT))
  const head = new DataView(out.buffer)
  for (const [i, number] of [VERSION, columns.uids.length, ids.length].entries()) head.setUint32(i * 4, number, true)
  for (const [i, { base, step, stored }] of packed.entries()) {
    const at = HEAD + i * COLUMN_HEAD
    head.setFloat64(at, base, true)
    head.setFloat64(at + 8, step, true)
    head.setUint32(at + 16, stored?.BYTES_PER_ELEMENT ?? 0, true)
  }
  let at = CONTENT
  for (const column of content) {
    out.set(octetsOf(column), at)
    at += padded(column.byteLength)
  }
  return out
}

/** Undefined for anything but what `packColumns` made. Nothing is copied. */
function open(given: Uint8Array): Part | undefined {
  if (given.byteLength < CONTENT) return undefined
  const { buffer, byteOffset, byteLength } = given.byteOffset % ALIGNED === 0 ? given : given.slice()
  const head = new DataView(buffer, byteOffset, CONTENT)
  if (head.getUint32(0, true) !== VERSION) return undefined
  const rows = head.getUint32(4, true)
  let at = CONTENT
  const take = <Column>(
    Kind: { new (buffer: ArrayBufferLike, at: number, length: number): Column; readonly BYTES_PER_ELEMENT: number },
    length: number,
  ): Column | undefined => {
    const octets = Kind.BYTES_PER_ELEMENT * length
    if (at + octets > byteLength) return undefined
    const column = new Kind(buffer, byteOffset + at, length)
    at += padded(octets)
    return column
  }
  const columns: PackedColumn[] = []
  for (const [i, name] of NAMES.entries()) {
    const from = HEAD + i * COLUMN_HEAD
    const width = head.getUint32(from + 16, true)
    const Kind = { 8: Float64Array, 4: Uint32Array, 2: Uint16Array, 1: Uint8Array }[width]
    const stored = Kind && take<NonNullable<PackedColumn['stored']>>(Kind, rows)
    if (stored === undefined && (width !== 0 || STORED.includes(name))) return undefined
    columns.push({ base: head.getFloat64(from, true), step: head.getFloat64(from + 8, true), stored })
  }
  const sets = take(Uint32Array, head.getUint32(8, true))
  return sets === undefined || at !== byteLength ? undefined : { rows, columns, sets }
}

/** Writes the numbers of a part's column into `out`, from `at` on. */
function widen(out: Columns[keyof Columns], at: number, rows: number, { base, step, stored }: PackedColumn): void {
  if (stored === undefined) {
    if (step === 0) out.fill(base, at, at + rows)
    else for (let i = 0; i < rows; i++) out[at + i] = base + step * i
  } else if (base === 0 && step === 1) out.set(stored, at)
  else for (let i = 0; i < rows; i++) out[at + i] = base + step * (stored[i] ?? 0)
}

const lastOf = ({ rows, columns: [uids] }: Part): number =>
  uids === undefined || rows === 0 ? 0 : uids.base + uids.step * (uids.stored?.[rows - 1] ?? rows - 1)

/** Packed columns that were looked at. */
export interface Unpacked {
  /** How many rows are of each part. */
  readonly rows: readonly number[]
  /** The last UID of each part; 0 where there is none. */
  readonly lastUids: readonly number[]
  /** The ids of all flag sets in them. */
  readonly sets: ReadonlySet<number>
  /** All rows, one part after the other; each column is made when it is asked for first. Who writes into one has it for himself. */
  columns(): Columns
}

/** What `packColumns` packed; undefined where one of the parts is anything else, older packings included (the caller then reads the rows themselves). */
export function unpackColumns(parts: readonly Uint8Array[]): Unpacked | undefined {
  const opened: Part[] = []
  for (const octets of parts) {
    const part = open(octets)
    if (part === undefined) return undefined
    opened.push(part)
  }
  const all = opened.reduce((sum, { rows }) => sum + rows, 0)
  return {
    rows: opened.map(({ rows }) => rows),
    lastUids: opened.map(lastOf),
    sets: new Set(opened.flatMap(({ sets }) => [...sets])),
    columns: () =>
      new ColumnsWhenAsked((name) => {
        const column = room[name](all)
        let at = 0
        for (const { rows, columns } of opened) {
          const packed = columns[NAMES.indexOf(name)]
          if (packed !== undefined) widen(column, at, rows, packed)
          at += rows
        }
        return column
      }),
  }
}
