// XEP-0313: a message archive in the tables of some store: what is asked of it. Store workers import this file: it must stay light.

import { type SqlRow, type SqlValue, StoreError, type Transaction } from '../../store/contracts.ts'
import { holdsAll } from './text.ts'

/** Where an archive is: its table (with seq, id, at, contact, resource, xml), or the part of a table that belongs to it. All are constant texts but `key`. */
export interface Shelf {
  readonly table: string
  /** `room = ? AND `, or '' where the table is one archive. */
  readonly own: string
  /** `WHERE room = ?`, or ''. */
  readonly all: string
  /** What the question mark stands for. */
  readonly key: readonly SqlValue[]
  /** What is read: `id, at, xml, seq`, and `sender` where that is kept. */
  readonly columns: string
}

/** A message as it is kept. */
export interface ArchivedMessage {
  /** Of the archive (XEP-0359). */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly at: number
  /** XML text that names its namespace. */
  readonly xml: string
  /** The real address of who sent it, where the archive keeps that. */
  readonly sender?: string
}

/** Which messages are asked for. */
export interface ArchiveFilter {
  readonly contact?: string | undefined
  readonly resource?: string | undefined
  /** Milliseconds; both inclusive. */
  readonly start?: number | undefined
  readonly end?: number | undefined
  /** Ids; both exclusive. */
  readonly afterId?: string | undefined
  readonly beforeId?: string | undefined
  readonly ids?: readonly string[] | undefined
}

/** Which part of them (XEP-0059). */
export interface ArchivePage {
  readonly max: number
  readonly backwards: boolean
  readonly after?: string | undefined
  readonly before?: string | undefined
  readonly index?: number | undefined
}

export interface ArchiveQuery {
  readonly filter: ArchiveFilter
  readonly page: ArchivePage
}

export interface ArchiveResult {
  /** In the order of the archive. */
  readonly messages: readonly ArchivedMessage[]
  /** Nothing further in the direction of the paging. */
  readonly complete: boolean
  /** Of all that match, and of how many before the first; undefined where counting would take long. */
  readonly count?: number | undefined
  readonly index?: number | undefined
}

/** A part of a search: what was found, and where the next step begins; undefined when all were looked at. */
export interface SearchStep {
  readonly messages: readonly ArchivedMessage[]
  readonly next: number | undefined
}

/** The first and the last message. */
export type ArchiveEnds = readonly [first: Omit<ArchivedMessage, 'xml'>, last: Omit<ArchivedMessage, 'xml'>]

/** The archive is pruned by so many messages at once, and with each so-manieth one that comes. */
const PRUNED_AT_ONCE = 200
export const PRUNED_EVERY = 64
/** Up to here the messages with one contact are counted. */
const COUNTED = 5000
/** Messages that one step of a text search looks at. */
const SEARCHED = 1000
const END = Number.MAX_SAFE_INTEGER

/** A range of the archive's order, both ends exclusive. */
interface Range {
  readonly low: number
  readonly high: number
}

const toMessage = ([id, at, xml, , sender]: SqlRow): ArchivedMessage => ({
  id: String(id),
  at: Number(at),
  xml: String(xml),
  ...(sender !== undefined && { sender: String(sender) }),
})

async function place(tx: Transaction, shelf: Shelf, id: string): Promise<number> {
  const row = await tx.get(`SELECT seq FROM ${shelf.table} WHERE ${shelf.own}id = ?`, ...shelf.key, id)
  if (row === undefined) throw new StoreError('not-found', 'there is no such message')
  return Number(row[0])
}

async function rangeOf(tx: Transaction, shelf: Shelf, filter: ArchiveFilter): Promise<Range> {
  const { start, end, afterId, beforeId } = filter
  let low = 0
  let high = END
  if (afterId !== undefined) low = Math.max(low, await place(tx, shelf, afterId))
  if (beforeId !== undefined) high = Math.min(high, await place(tx, shelf, beforeId))
  // Times never go back along the archive (see `append`): a time is a place.
  if (start !== undefined) {
    const row = await tx.get(
      `SELECT seq FROM ${shelf.table} WHERE ${shelf.own}at >= ? ORDER BY at, seq LIMIT 1`,
      ...shelf.key,
      start,
    )
    low = row === undefined ? END : Math.max(low, Number(row[0]) - 1)
  }
  if (end !== undefined) {
    const row = await tx.get(
      `SELECT seq FROM ${shelf.table} WHERE ${shelf.own}at > ? ORDER BY at, seq LIMIT 1`,
      ...shelf.key,
      end,
    )
    if (row !== undefined) high = Math.min(high, Number(row[0]))
  }
  return { low, high }
}

/** The conditions of a filter, and their parameters. The texts are few, so that each is prepared once. */
function where(
  { own, key }: Shelf,
  { contact, resource }: ArchiveFilter,
  { low, high }: Range,
): readonly [string, SqlValue[]] {
  if (contact === undefined) return [`${own}seq > ? AND seq < ?`, [...key, low, high]]
  if (resource === undefined) return [`${own}contact = ? AND seq > ? AND seq < ?`, [...key, contact, low, high]]
  return [`${own}contact = ? AND resource = ? AND seq > ? AND seq < ?`, [...key, contact, resource, low, high]]
}

/** The range without what lies beyond the archive's own ends. */
async function clipped(tx: Transaction, shelf: Shelf, { low, high }: Range): Promise<Range> {
  const [first = 1] =
    (await tx.get(`SELECT seq FROM ${shelf.table} ${shelf.all} ORDER BY seq LIMIT 1`, ...shelf.key)) ?? []
  const last = await newest(tx, shelf)
  return { low: Math.max(low, Number(first) - 1), high: Math.min(high, last.seq + 1) }
}

async function countIn(
  tx: Transaction,
  shelf: Shelf,
  filter: ArchiveFilter,
  range: Range,
): Promise<number | undefined> {
  if (filter.contact === undefined) {
    // Only the oldest ones ever go: there are no gaps.
    const { low, high } = await clipped(tx, shelf, range)
    return Math.max(0, high - low - 1)
  }
  const [condition, parameters] = where(shelf, filter, range)
  const sql = `SELECT count(*) FROM (SELECT 1 FROM ${shelf.table} WHERE ${condition} LIMIT ${COUNTED + 1}) AS some`
  const count = Number((await tx.get(sql, ...parameters))?.[0])
  return count > COUNTED ? undefined : count
}

async function byIds(tx: Transaction, shelf: Shelf, filter: ArchiveFilter, range: Range): Promise<readonly SqlRow[]> {
  const rows: SqlRow[] = []
  for (const id of new Set(filter.ids)) {
    const row = await tx.get(
      `SELECT ${shelf.columns}, contact, resource FROM ${shelf.table} WHERE ${shelf.own}id = ?`,
      ...shelf.key,
      id,
    )
    if (row === undefined) throw new StoreError('not-found', 'there is no such message')
    const seq = row[3]
    const [contact, resource] = row.slice(-2)
    if (Number(seq) <= range.low || Number(seq) >= range.high) continue
    if (filter.contact !== undefined && filter.contact !== contact) continue
    if (filter.resource !== undefined && filter.resource !== resource) continue
    rows.push(row)
  }
  return rows.sort((a, b) => Number(a[3]) - Number(b[3]))
}

/** Forgets what is older than `oldest` and what is more than `most`, a part of it at once; `last` is the newest place. */
export async function prune(tx: Transaction, shelf: Shelf, oldest: number, most: number, last: number): Promise<void> {
  const { table, own, key } = shelf
  await tx.run(
    `DELETE FROM ${table} WHERE ${own}seq IN (SELECT seq FROM ${table} WHERE ${own}at < ? ORDER BY at LIMIT ?)`,
    ...key,
    ...key,
    oldest,
    PRUNED_AT_ONCE,
  )
  await tx.run(
    `DELETE FROM ${table} WHERE ${own}seq IN (SELECT seq FROM ${table} WHERE ${own}seq <= ? ORDER BY seq LIMIT ?)`,
    ...key,
    ...key,
    last - most,
    PRUNED_AT_ONCE,
  )
}

/** The last place and its time; 0 where there is none. */
export async function newest(tx: Transaction, shelf: Shelf): Promise<{ readonly seq: number; readonly at: number }> {
  const [seq = 0, at = 0] =
    (await tx.get(`SELECT seq, at FROM ${shelf.table} ${shelf.all} ORDER BY seq DESC LIMIT 1`, ...shelf.key)) ?? []
  return { seq: Number(seq), at: Number(at) }
}

/** A page. Throws `not-found` for an id, or an index, that is not there. */
export async function queryShelf(
  tx: Transaction,
  shelf: Shelf,
  { filter, page }: ArchiveQuery,
): Promise<ArchiveResult> {
  const range = await rangeOf(tx, shelf, filter)
  let { low, high } = range
  if (page.after !== undefined) low = Math.max(low, await place(tx, shelf, page.after))
  if (page.before !== undefined) high = Math.min(high, await place(tx, shelf, page.before))
  const skipped = page.index ?? 0
  let rows: readonly SqlRow[]
  let count: number | undefined
  if (filter.ids !== undefined) {
    const all = await byIds(tx, shelf, filter, range)
    count = all.length
    const inside = all.filter((row) => Number(row[3]) > low && Number(row[3]) < high).slice(skipped)
    rows = page.backwards ? inside.reverse() : inside
  } else {
    count = await countIn(tx, shelf, filter, range)
    if (count === undefined && skipped > COUNTED) throw new StoreError('not-found', 'the index is too high')
    // Where there are no gaps an index is a place.
    const leaps = skipped > 0 && filter.contact === undefined
    if (leaps) low = (await clipped(tx, shelf, { low, high })).low + skipped
    const [condition, parameters] = where(shelf, filter, { low, high })
    const order = page.backwards ? 'DESC' : 'ASC'
    const sql = `SELECT ${shelf.columns} FROM ${shelf.table} WHERE ${condition} ORDER BY seq ${order} LIMIT ? OFFSET ?`
    rows = page.max === 0 ? [] : await tx.all(sql, ...parameters, page.max + 1, leaps ? 0 : skipped)
  }
  if (skipped > 0 && count !== undefined && skipped >= count) throw new StoreError('not-found', 'the index is too high')
  const complete = page.max === 0 ? count === 0 : rows.length <= page.max
  const some = rows.slice(0, page.max)
  if (page.backwards) some.reverse()
  const first = some[0]
  let index: number | undefined
  if (first !== undefined && count !== undefined)
    index =
      filter.ids === undefined
        ? await countIn(tx, shelf, filter, { low: range.low, high: Number(first[3]) })
        : skipped === 0 && page.after === undefined && !page.backwards
          ? 0
          : undefined
  return { messages: some.map(toMessage), complete, count, index }
}

/**
 * One step of a search for messages with all these words (folded, see `text.ts`): looks at some messages from `from` on (undefined: from the beginning, or the end backwards), and
 * tells where the next step begins; undefined when all were looked at.
 */
export async function searchShelf(
  tx: Transaction,
  shelf: Shelf,
  {
    filter,
    page,
    words,
    from,
  }: ArchiveQuery & { readonly words: readonly string[]; readonly from?: number | undefined },
): Promise<SearchStep> {
  let { low, high } = await rangeOf(tx, shelf, filter)
  if (page.after !== undefined) low = Math.max(low, await place(tx, shelf, page.after))
  if (page.before !== undefined) high = Math.min(high, await place(tx, shelf, page.before))
  if (from !== undefined && page.backwards) high = Math.min(high, from)
  if (from !== undefined && !page.backwards) low = Math.max(low, from)
  const [condition, parameters] = where(shelf, filter, { low, high })
  const order = page.backwards ? 'DESC' : 'ASC'
  const sql = `SELECT ${shelf.columns} FROM ${shelf.table} WHERE ${condition} ORDER BY seq ${order} LIMIT ?`
  const rows = await tx.all(sql, ...parameters, SEARCHED)
  const wanted = filter.ids === undefined ? undefined : new Set(filter.ids)
  const messages: ArchivedMessage[] = []
  for (const row of rows)
    if (wanted?.has(String(row[0])) !== false && holdsAll(String(row[2]), words)) {
      messages.push(toMessage(row))
      // One more tells that there are more.
      if (messages.length > page.max) return { messages, next: Number(row[3]) }
    }
  const last = rows.at(-1)
  return { messages, next: rows.length < SEARCHED || last === undefined ? undefined : Number(last[3]) }
}

/** The first message since `start` and the last; undefined where there is none. */
export async function endsOf(
  tx: Transaction,
  { table, own, all, key }: Shelf,
  start: number,
): Promise<ArchiveEnds | undefined> {
  const first = await tx.get(`SELECT id, at FROM ${table} WHERE ${own}at >= ? ORDER BY at, seq LIMIT 1`, ...key, start)
  const last = await tx.get(`SELECT id, at FROM ${table} ${all} ORDER BY seq DESC LIMIT 1`, ...key)
  if (first === undefined || last === undefined) return undefined
  return [
    { id: String(first[0]), at: Number(first[1]) },
    { id: String(last[0]), at: Number(last[1]) },
  ]
}
