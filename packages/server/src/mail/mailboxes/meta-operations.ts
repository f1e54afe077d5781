// Rendered pieces of messages, as FETCH asks for them.

import type { MetaField } from '@aviso/imap'
import { read, type SqlRow, type Transaction } from '../../store/contracts.ts'
import { mailboxById } from './mailbox-rows.ts'
import { anyStale, staleAmong } from './rendering-operations.ts'
import { type Span, spans } from './uids.ts'

/** Fields that are octets, and the others, which are numbers. */
export type OctetField = 'envelope' | 'bodyStructure' | 'body' | 'header' | 'commonHeader' | 'preview'
export type NumberField = Exclude<MetaField, OctetField>

const OCTETS: Readonly<Record<OctetField, string>> = {
  envelope: 'e.envelope',
  bodyStructure: 'e.body_structure',
  body: 'e.body',
  header: 'o.header',
  commonHeader: 'l.common_header',
  preview: 'l.preview',
}
/** `emailId` and `threadId` are the numbers that the ids are made of. */
const NUMBERS: Readonly<Record<NumberField, string>> = {
  emailId: 'm.email',
  threadId: 'k.thread',
  saveDate: 'coalesce(m.saved_at, m.internal_date)',
}
/** `mail_expunged` does not know when its messages came. */
const EXPUNGED_NUMBERS: Readonly<Record<NumberField, string>> = { ...NUMBERS, saveDate: 'NULL' }

/** What emails have only when they are rendered by this edition. */
const RENDERED: readonly MetaField[] = ['commonHeader', 'preview', 'threadId']

/** Octets in one answer, about. */
const BATCH_OCTETS = 256 * 1024

export interface MetaOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly octets: readonly OctetField[]
  readonly numbers: readonly NumberField[]
}

/** Pieces of some messages, field by field. */
export interface MetaPart {
  readonly uids: Uint32Array
  /** For each field its octets end to end, and their lengths. */
  readonly octets: readonly { readonly octets: Uint8Array; readonly lengths: Uint32Array }[]
  /** NaN where it is not known. */
  readonly numbers: readonly Float64Array[]
  /** Headers that must be read from blobs, by their place in `uids`; in `octets` they are empty. */
  readonly headers: readonly { readonly at: number; readonly blob: string; readonly size: number }[]
}

export interface PackedMeta {
  /** How many of the UIDs asked for were dealt with. */
  readonly consumed: number
  readonly parts: readonly MetaPart[]
  /** These emails must be rendered before the UIDs that follow can be answered. */
  readonly stale: readonly number[]
}

export const meta = read(async (tx, order: MetaOrder): Promise<PackedMeta> => {
  const { mailbox, uids } = order
  await mailboxById(tx, mailbox)
  const header = order.octets.includes('header')
  const fields: readonly MetaField[] = [...order.octets, ...order.numbers]
  const unsure = fields.some((field) => RENDERED.includes(field)) && (await anyStale(tx))
  const parts: MetaPart[] = []
  let [consumed, total] = [0, 0]
  for (const span of header ? spans(uids, 2, 32) : spans(uids, 4, 512)) {
    const stale = unsure ? await staleAmong(tx, mailbox, span) : []
    if (stale.length > 0) return { consumed, parts, stale }
    const wanted = uids.subarray(span.start, span.end)
    const part = (await together(tx, order, span, wanted)) ?? (await oneByOne(tx, order, span, wanted))
    if (part.uids.length > 0) parts.push(part)
    for (const { octets } of part.octets) total += octets.byteLength
    consumed = span.end
    if (total >= BATCH_OCTETS || parts.length >= 64) break
  }
  return { consumed, parts, stale: [] }
})

/** The tables that the fields are in. */
function joins(order: MetaOrder): string {
  const columns = [...order.octets.map((field) => OCTETS[field]), ...order.numbers.map((field) => NUMBERS[field])]
  const tables = {
    e: 'mail_email e ON e.id',
    o: 'mail_octets o ON o.email',
    l: 'mail_listing l ON l.email',
    k: 'mail_keys k ON k.email',
  }
  return Object.entries(tables)
    .filter(([name]) => columns.some((column) => column.startsWith(`${name}.`)))
    .map(([, table]) => ` JOIN ${table} = m.email`)
    .join('')
}

/**
 * The pieces of the span's messages, put together by the database: half the time of taking each by itself. Undefined where other rows lie
 * between, some are missing, or a header is elsewhere. There are only so many texts: two for each combination of fields.
 */
async function together(
  tx: Transaction,
  order: MetaOrder,
  span: Span,
  wanted: Uint32Array,
): Promise<MetaPart | undefined> {
  const inner = [
    ...order.octets.map((field, i) => `${OCTETS[field]} AS f${i}`),
    ...order.numbers.map((field, i) => `${NUMBERS[field]} AS n${i}`),
  ]
  const outer = [
    ...order.octets.map((_, i) => `CAST(string_agg(f${i}, '') AS BLOB), string_agg(length(f${i}), ',')`),
    ...order.numbers.map((_, i) => `string_agg(n${i}, ',')`),
  ]
  // Without holes, as many rows as UIDs are the rows of those UIDs.
  const dense = span.last - span.first + 1 === wanted.length
  const row = await tx.get(
    `SELECT count(*), ${dense ? 'NULL' : "string_agg(uid, ',')"}, ${outer.join(', ')} FROM (SELECT m.uid, ${inner.join(', ')} FROM mail_message m${joins(order)} WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? ORDER BY m.uid)`,
    order.mailbox,
    span.first,
    span.last,
  )
  if (row?.[0] !== wanted.length || (!dense && row[1] !== wanted.join(','))) return undefined
  const octets: { octets: Uint8Array; lengths: Uint32Array }[] = []
  for (let i = 0; i < order.octets.length; i++) {
    const [all, list] = [row[2 + 2 * i], row[3 + 2 * i]]
    const lengths = typeof list === 'string' ? wholeNumbers(list, wanted.length) : undefined
    if (lengths === undefined) return undefined
    // Empty pieces together are an empty text.
    octets.push({ octets: all instanceof Uint8Array ? all : new Uint8Array(), lengths })
  }
  const numbers: Float64Array[] = []
  for (let i = 0; i < order.numbers.length; i++) {
    const list = Float64Array.from(String(row[2 + 2 * order.octets.length + i] ?? '').split(','), Number)
    if (list.length !== wanted.length) return undefined
    numbers.push(list)
  }
  return { uids: wanted.slice(), octets, numbers, headers: [] }
}

const COMMA = 0x2c
const ZERO = 0x30

/** `count` whole numbers with commas between them; undefined where there are more or fewer. */
function wholeNumbers(list: string, count: number): Uint32Array | undefined {
  const numbers = new Uint32Array(count)
  let at = 0
  let number = 0
  for (let i = 0; i < list.length; i++) {
    const unit = list.charCodeAt(i)
    if (unit !== COMMA) number = number * 10 + (unit - ZERO)
    else {
      numbers[at++] = number
      number = 0
    }
  }
  numbers[at++] = number
  return at === count ? numbers : undefined
}

/** The same row by row; with messages that were expunged lately. */
async function oneByOne(tx: Transaction, order: MetaOrder, span: Span, wanted: Uint32Array): Promise<MetaPart> {
  const select = (numbers: Readonly<Record<NumberField, string>>): string =>
    `SELECT m.uid, e.header_size, e.blob${[...order.octets.map((field) => OCTETS[field]), ...order.numbers.map((field) => numbers[field])].map((column) => `, ${column}`).join('')}`
  const tables = joins({ ...order, octets: ['envelope', ...order.octets] })
  const where = `${tables} WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? ORDER BY m.uid`
  const chosen = async (sql: string): Promise<readonly SqlRow[]> => {
    let at = 0
    return (await tx.all(sql, order.mailbox, span.first, span.last)).filter(([uid]) => {
      while ((wanted[at] ?? Infinity) < Number(uid)) at++
      return wanted[at] === uid
    })
  }
  let rows = await chosen(`${select(NUMBERS)} FROM mail_message m${where}`)
  if (rows.length < wanted.length) {
    const gone = await chosen(`${select(EXPUNGED_NUMBERS)} FROM mail_expunged m${where}`)
    if (gone.length > 0) rows = [...rows, ...gone].sort((a, b) => Number(a[0]) - Number(b[0]))
  }
  const header = order.octets.indexOf('header')
  const number = (value: unknown): number => (value === null ? NaN : Number(value))
  return {
    uids: Uint32Array.from(rows, ([uid]) => Number(uid)),
    octets: order.octets.map((_, i) => endToEnd(rows.map((row) => row[3 + i]))),
    numbers: order.numbers.map((_, i) => Float64Array.from(rows, (row) => number(row[3 + order.octets.length + i]))),
    headers: rows.flatMap((row, at) =>
      header >= 0 && row[3 + header] === null ? [{ at, blob: String(row[2]), size: Number(row[1]) }] : [],
    ),
  }
}

function endToEnd(pieces: readonly unknown[]): { octets: Uint8Array; lengths: Uint32Array } {
  const lengths = Uint32Array.from(pieces, (piece) => (piece instanceof Uint8Array ? piece.byteLength : 0))
  const octets = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    if (!(piece instanceof Uint8Array)) continue
    octets.set(piece, at)
    at += piece.byteLength
  }
  return { octets, lengths }
}
