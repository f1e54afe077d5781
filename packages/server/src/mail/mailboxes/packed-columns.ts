// The columns of a mailbox as the database keeps them: narrow where their numbers allow it, and read without looking at every row.

import { allocate, type Columns, distinct } from './columns.ts'

/** 3 had all columns as wide as they are in memory: what came before 4 is made anew from the rows. */
const VERSION = 4
/** Version, rows, ids (32 bits each); octets of a modseq, a size and a flag set, nothing; 1 where all zones are `zone`, `zone` (16 bits each); nothing. */
const HEAD = 24
/** Every column begins where numbers of 8 octets may lie. */
const ALIGNED = 8

type Numbers = Float64Array | Uint32Array | Uint16Array | Uint8Array | Int16Array

const fits = (column: Numbers, most: number): boolean => {
  for (let i = 0; i < column.length; i++) if ((column[i] ?? 0) > most) return false
  return true
}

/** Numbers that are not negative, in 32 bits where they fit. */
const narrow = (column: Float64Array): Float64Array | Uint32Array =>
  fits(column, 0xffffffff) ? Uint32Array.from(column) : column

const narrowIds = (column: Uint32Array): Uint32Array | Uint16Array | Uint8Array =>
  fits(column, 0xff) ? Uint8Array.from(column) : fits(column, 0xffff) ? Uint16Array.from(column) : column

const padded = (octets: number): number => Math.ceil(octets / ALIGNED) * ALIGNED

const octetsOf = (column: Numbers): Uint8Array => new Uint8Array(column.buffer, column.byteOffset, column.byteLength)

/** The columns in one piece of memory: a head, then UIDs, modseqs, sizes, dates, flag sets and zones, each column after the other, then the ids of all flag sets in them. */
export function packColumns({ uids, modseqs, sizes, internalDates, flagsets, zones }: Columns): Uint8Array {
  const ids = Uint32Array.from(distinct(flagsets))
  const zone = zones[0] ?? 0
  const oneZone = zones.every((other) => other === zone)
  const narrowed = [narrow(modseqs), narrow(sizes), narrowIds(flagsets)] as const
  const [modseq, size, flagset] = narrowed
  const content = [uids, modseq, size, internalDates, flagset, oneZone ? new Int16Array() : zones, ids]
  const out = new Uint8Array(content.reduce((sum, { byteLength }) => sum + padded(byteLength), HEAD))
  const head = new DataView(out.buffer)
  for (const [i, number] of [VERSION, uids.length, ids.length].entries()) head.setUint32(i * 4, number, true)
  for (const [i, column] of narrowed.entries()) head.setUint8(12 + i, column.BYTES_PER_ELEMENT)
  head.setUint16(16, oneZone ? 1 : 0, true)
  head.setInt16(18, zone, true)
  let at = HEAD
  for (const column of content) {
    out.set(octetsOf(column), at)
    at += padded(column.byteLength)
  }
  return out
}

/** What lies in packed columns, not copied yet. */
interface Opened {
  readonly rows: number
  readonly columns: readonly (readonly [name: keyof Columns, values: Numbers])[]
  readonly zone: number | undefined
  readonly sets: Uint32Array
}

/** Undefined for anything but what `packColumns` made. */
function open(given: Uint8Array): Opened | undefined {
  if (given.byteLength < HEAD) return undefined
  const packed = given.byteOffset % ALIGNED === 0 ? given : given.slice()
  const { buffer, byteOffset, byteLength } = packed
  const head = new DataView(buffer, byteOffset, HEAD)
  if (head.getUint32(0, true) !== VERSION) return undefined
  const rows = head.getUint32(4, true)
  const oneZone = head.getUint16(16, true) === 1
  let at = HEAD
  const take = <Column>(
    Kind:
      | { new (buffer: ArrayBufferLike, at: number, length: number): Column; readonly BYTES_PER_ELEMENT: number }
      | undefined,
    length: number,
  ): Column | undefined => {
    const octets = (Kind?.BYTES_PER_ELEMENT ?? 0) * length
    if (Kind === undefined || at + octets > byteLength) return undefined
    const column = new Kind(buffer, byteOffset + at, length)
    at += padded(octets)
    return column
  }
  const wide = (octets: number) => ({ 8: Float64Array, 4: Uint32Array })[octets]
  const id = (octets: number) => ({ 4: Uint32Array, 2: Uint16Array, 1: Uint8Array })[octets]
  const taken: (readonly [keyof Columns, Numbers | undefined])[] = [
    ['uids', take(Uint32Array, rows)],
    ['modseqs', take<Numbers>(wide(head.getUint8(12)), rows)],
    ['sizes', take<Numbers>(wide(head.getUint8(13)), rows)],
    ['internalDates', take(Float64Array, rows)],
    ['flagsets', take<Numbers>(id(head.getUint8(14)), rows)],
    ['zones', take(Int16Array, oneZone ? 0 : rows)],
  ]
  const sets = take(Uint32Array, head.getUint32(8, true))
  const columns = taken.flatMap(([name, values]) => (values === undefined ? [] : [[name, values] as const]))
  if (sets === undefined || columns.length < taken.length || at !== byteLength) return undefined
  return { rows, columns, zone: oneZone ? head.getInt16(18, true) : undefined, sets }
}

/** What `packColumns` packed, one part after the other; undefined where one is anything else, older packings included (the caller then reads the rows themselves). `rows`: how many are of each part. */
export function unpackColumns(
  parts: readonly Uint8Array[],
): { readonly columns: Columns; readonly sets: readonly number[]; readonly rows: readonly number[] } | undefined {
  const opened = parts.map(open)
  const columns = allocate(opened.reduce((sum, part) => sum + (part?.rows ?? 0), 0))
  const sets = new Set<number>()
  let at = 0
  for (const part of opened) {
    if (part === undefined) return undefined
    // Wider numbers are made of narrow ones here, without a line of JavaScript for each.
    for (const [name, values] of part.columns) columns[name].set(values, at)
    if (part.zone !== undefined) columns.zones.fill(part.zone, at, at + part.rows)
    for (const set of part.sets) sets.add(set)
    at += part.rows
  }
  return { columns, sets: [...sets], rows: opened.map((part) => part?.rows ?? 0) }
}
