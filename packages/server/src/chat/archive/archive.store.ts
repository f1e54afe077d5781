// XEP-0313: an account's message archive, in its own database. Store workers import this file: it must stay light.

import { append, defineStore, read, type SqlRow, StoreError, type Transaction, write } from '../../store/contracts.ts'
import { holdsAll } from './text.ts'

/** A message as it is kept. */
export interface ArchivedMessage {
  /** Of the archive (XEP-0359). */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly at: number
  /** XML text that names its namespace. */
  readonly xml: string
}

/** What an archive may hold. */
export interface Bounds {
  /** What is older than this is forgotten. */
  readonly oldest: number
  /** How many messages are kept. */
  readonly most: number
}

export interface NewMessage extends ArchivedMessage, Bounds {
  /** The other party: its bare JID, and its resource or ''. */
  readonly contact: string
  readonly resource: string
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

export interface Preference {
  /** '' for the default. */
  readonly jid: string
  readonly rule: 'always' | 'never' | 'roster'
}

/** The archive is pruned by so many messages at once, and with each so-manieth one that comes. */
const PRUNED_AT_ONCE = 200
const PRUNED_EVERY = 64
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

const toMessage = ([id, at, xml]: SqlRow): ArchivedMessage => ({ id: String(id), at: Number(at), xml: String(xml) })

async function place(tx: Transaction, id: string): Promise<number> {
  const row = await tx.get('SELECT seq FROM archive_message WHERE id = ?', id)
  if (row === undefined) throw new StoreError('not-found', 'there is no such message')
  return Number(row[0])
}

async function rangeOf(tx: Transaction, filter: ArchiveFilter): Promise<Range> {
  const { start, end, afterId, beforeId } = filter
  let low = 0
  let high = END
  if (afterId !== undefined) low = Math.max(low, await place(tx, afterId))
  if (beforeId !== undefined) high = Math.min(high, await place(tx, beforeId))
  // Times never go back along the archive (see `append`): a time is a place.
  if (start !== undefined) {
    const row = await tx.get('SELECT seq FROM archive_message WHERE at >= ? ORDER BY at, seq LIMIT 1', start)
    low = row === undefined ? END : Math.max(low, Number(row[0]) - 1)
  }
  if (end !== undefined) {
    const row = await tx.get('SELECT seq FROM archive_message WHERE at > ? ORDER BY at, seq LIMIT 1', end)
    if (row !== undefined) high = Math.min(high, Number(row[0]))
  }
  return { low, high }
}

/** The conditions of a filter, and their parameters. The texts are few, so that each is prepared once. */
function where({ contact, resource }: ArchiveFilter, { low, high }: Range): readonly [string, (string | number)[]] {
  if (contact === undefined) return ['seq > ? AND seq < ?', [low, high]]
  if (resource === undefined) return ['contact = ? AND seq > ? AND seq < ?', [contact, low, high]]
  return ['contact = ? AND resource = ? AND seq > ? AND seq < ?', [contact, resource, low, high]]
}

/** The range without what lies beyond the archive's own ends. */
async function clipped(tx: Transaction, { low, high }: Range): Promise<Range> {
  const [first = 1] = (await tx.get('SELECT seq FROM archive_message ORDER BY seq LIMIT 1')) ?? []
  const last = await newest(tx)
  return { low: Math.max(low, Number(first) - 1), high: Math.min(high, last.seq + 1) }
}

async function countIn(tx: Transaction, filter: ArchiveFilter, range: Range): Promise<number | undefined> {
  if (filter.contact === undefined) {
    // Only the oldest ones ever go: there are no gaps.
    const { low, high } = await clipped(tx, range)
    return Math.max(0, high - low - 1)
  }
  const [condition, parameters] = where(filter, range)
  const sql = `SELECT count(*) FROM (SELECT 1 FROM archive_message WHERE ${condition} LIMIT ${COUNTED + 1}) AS some`
  const count = Number((await tx.get(sql, ...parameters))?.[0])
  return count > COUNTED ? undefined : count
}

async function byIds(tx: Transaction, filter: ArchiveFilter, range: Range): Promise<readonly SqlRow[]> {
  const rows: SqlRow[] = []
  for (const id of new Set(filter.ids)) {
    const row = await tx.get('SELECT id, at, xml, seq, contact, resource FROM archive_message WHERE id = ?', id)
    if (row === undefined) throw new StoreError('not-found', 'there is no such message')
    const [, , , seq, contact, resource] = row
    if (Number(seq) <= range.low || Number(seq) >= range.high) continue
    if (filter.contact !== undefined && filter.contact !== contact) continue
    if (filter.resource !== undefined && filter.resource !== resource) continue
    rows.push(row)
  }
  return rows.sort((a, b) => Number(a[3]) - Number(b[3]))
}

async function prune(tx: Transaction, oldest: number, most: number, last: number): Promise<void> {
  await tx.run(
    'DELETE FROM archive_message WHERE seq IN (SELECT seq FROM archive_message WHERE at < ? ORDER BY at LIMIT ?)',
    oldest,
    PRUNED_AT_ONCE,
  )
  await tx.run(
    'DELETE FROM archive_message WHERE seq IN (SELECT seq FROM archive_message WHERE seq <= ? ORDER BY seq LIMIT ?)',
    last - most,
    PRUNED_AT_ONCE,
  )
}

async function newest(tx: Transaction): Promise<{ readonly seq: number; readonly at: number }> {
  const [seq = 0, at = 0] = (await tx.get('SELECT seq, at FROM archive_message ORDER BY seq DESC LIMIT 1')) ?? []
  return { seq: Number(seq), at: Number(at) }
}

export const archiveStore = defineStore({
  name: 'archive',
  scale: 'account',
  migrations: [
    `
CREATE TABLE archive_message (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  at BIGINT NOT NULL,
  contact TEXT NOT NULL,
  resource TEXT NOT NULL,
  xml TEXT NOT NULL
);
CREATE UNIQUE INDEX archive_message_id ON archive_message (id);
CREATE INDEX archive_message_at ON archive_message (at);
CREATE INDEX archive_message_contact ON archive_message (contact, seq);
CREATE TABLE archive_preference (jid TEXT PRIMARY KEY, rule TEXT NOT NULL);
`,
  ],
  operations: {
    /** Keeps a message behind all others. */
    append: append(async (tx, { id, at, contact, resource, xml, oldest, most }: NewMessage) => {
      const last = await newest(tx)
      const seq = last.seq + 1
      await tx.run(
        'INSERT INTO archive_message (seq, id, at, contact, resource, xml) VALUES (?, ?, ?, ?, ?, ?)',
        seq,
        id,
        Math.max(at, last.at),
        contact,
        resource,
        xml,
      )
      if (seq % PRUNED_EVERY === 0) await prune(tx, oldest, most, seq)
    }),

    /** True where something is too old or too much. */
    prunable: read(async (tx, { oldest, most }: Bounds): Promise<boolean> => {
      const first = await tx.get('SELECT seq, at FROM archive_message ORDER BY seq LIMIT 1')
      if (first === undefined) return false
      return Number(first[1]) < oldest || Number(first[0]) <= (await newest(tx)).seq - most
    }),

    /** Forgets what is too old or too much, a part of it at once. */
    prune: write(async (tx, { oldest, most }: Bounds) => {
      await prune(tx, oldest, most, (await newest(tx)).seq)
    }),

    /** A page. Throws `not-found` for an id, or an index, that is not there. */
    query: read(async (tx, { filter, page }: ArchiveQuery): Promise<ArchiveResult> => {
      const range = await rangeOf(tx, filter)
      let { low, high } = range
      if (page.after !== undefined) low = Math.max(low, await place(tx, page.after))
      if (page.before !== undefined) high = Math.min(high, await place(tx, page.before))
      const skipped = page.index ?? 0
      let rows: readonly SqlRow[]
      let count: number | undefined
      if (filter.ids !== undefined) {
        const all = await byIds(tx, filter, range)
        count = all.length
        const inside = all.filter((row) => Number(row[3]) > low && Number(row[3]) < high).slice(skipped)
        rows = page.backwards ? inside.reverse() : inside
      } else {
        count = await countIn(tx, filter, range)
        if (count === undefined && skipped > COUNTED) throw new StoreError('not-found', 'the index is too high')
        // Where there are no gaps an index is a place.
        const leaps = skipped > 0 && filter.contact === undefined
        if (leaps) low = (await clipped(tx, { low, high })).low + skipped
        const [condition, parameters] = where(filter, { low, high })
        const order = page.backwards ? 'DESC' : 'ASC'
        const sql = `SELECT id, at, xml, seq FROM archive_message WHERE ${condition} ORDER BY seq ${order} LIMIT ? OFFSET ?`
        rows = page.max === 0 ? [] : await tx.all(sql, ...parameters, page.max + 1, leaps ? 0 : skipped)
      }
      if (skipped > 0 && count !== undefined && skipped >= count)
        throw new StoreError('not-found', 'the index is too high')
      const complete = page.max === 0 ? count === 0 : rows.length <= page.max
      const some = rows.slice(0, page.max)
      if (page.backwards) some.reverse()
      const first = some[0]
      let index: number | undefined
      if (first !== undefined && count !== undefined)
        index =
          filter.ids === undefined
            ? await countIn(tx, filter, { low: range.low, high: Number(first[3]) })
            : skipped === 0 && page.after === undefined && !page.backwards
              ? 0
              : undefined
      return { messages: some.map(toMessage), complete, count, index }
    }),

    /**
     * One step of a search for messages with all these words (folded, see `text.ts`): looks at some messages from `from` on (undefined: from the beginning, or the end backwards), and
     * tells where the next step begins; undefined when all were looked at.
     */
    search: read(
      async (
        tx,
        {
          filter,
          page,
          words,
          from,
        }: ArchiveQuery & { readonly words: readonly string[]; readonly from?: number | undefined },
      ): Promise<{ readonly messages: readonly ArchivedMessage[]; readonly next: number | undefined }> => {
        let { low, high } = await rangeOf(tx, filter)
        if (page.after !== undefined) low = Math.max(low, await place(tx, page.after))
        if (page.before !== undefined) high = Math.min(high, await place(tx, page.before))
        if (from !== undefined && page.backwards) high = Math.min(high, from)
        if (from !== undefined && !page.backwards) low = Math.max(low, from)
        const [condition, parameters] = where(filter, { low, high })
        const order = page.backwards ? 'DESC' : 'ASC'
        const sql = `SELECT id, at, xml, seq FROM archive_message WHERE ${condition} ORDER BY seq ${order} LIMIT ?`
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
      },
    ),

    /** The first and the last message; undefined where there is none. */
    ends: read(
      async (
        tx,
        { start }: { readonly start: number },
      ): Promise<readonly [first: Omit<ArchivedMessage, 'xml'>, last: Omit<ArchivedMessage, 'xml'>] | undefined> => {
        const first = await tx.get('SELECT id, at FROM archive_message WHERE at >= ? ORDER BY at, seq LIMIT 1', start)
        const last = await tx.get('SELECT id, at FROM archive_message ORDER BY seq DESC LIMIT 1')
        if (first === undefined || last === undefined) return undefined
        return [
          { id: String(first[0]), at: Number(first[1]) },
          { id: String(last[0]), at: Number(last[1]) },
        ]
      },
    ),

    preferences: read(async (tx): Promise<readonly Preference[]> =>
      (await tx.all('SELECT jid, rule FROM archive_preference ORDER BY jid')).map(([jid, rule]) => ({
        jid: String(jid),
        rule: rule === 'never' || rule === 'roster' ? rule : 'always',
      })),
    ),

    /** Takes the place of all preferences before. */
    prefer: write(async (tx, { preferences }: { readonly preferences: readonly Preference[] }) => {
      await tx.run('DELETE FROM archive_preference')
      for (const { jid, rule } of preferences)
        await tx.run('INSERT INTO archive_preference (jid, rule) VALUES (?, ?)', jid, rule)
    }),
  },
})
