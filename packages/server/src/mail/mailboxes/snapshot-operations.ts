// Operations that tell how a mailbox is and what changed in it. None reads more rows than a few milliseconds allow: what is more comes in pages.

import type { FlagSet } from '@aviso/imap'
import { derived, read, type SqlRow, type Transaction } from '../../store/contracts.ts'
import { type Columns, ColumnsBuilder, distinct, lowerBound, mergeColumns, NO_ROWS } from './columns.ts'
import { BLOCK, changedInBlock, firstUid, type FlagBlock, FlagBlocks, readBlock } from './flag-blocks.ts'
import { allKeywords } from './flags.ts'
import { mailboxById, type MailboxRow } from './mailbox-rows.ts'
import { MESSAGE_COLUMNS, rowsOf } from './message-rows.ts'
import { unpackColumns } from './packed-columns.ts'

/** Rows in one page: about 4 ms. */
const PAGE = 4096
/** New rows that are counted: with more, the rows are read in their own order, which is quicker for each. */
const MANY = 8 * PAGE
/** Blocks of flags in one page. */
const BLOCKS_PAGE = PAGE / BLOCK
/** UIDs of expunged messages in one page. */
const VANISHED_PAGE = 16_384

/** The flag sets that some columns name. */
export type NamedSets = readonly (readonly [id: number, flags: FlagSet])[]

/** A set that was forgotten meanwhile is answered as empty: the rows that had it when they were packed have another now. */
async function namedSets(tx: Transaction, ids: Iterable<number>): Promise<NamedSets> {
  const named: (readonly [number, FlagSet])[] = []
  for (const id of ids) {
    const row = await tx.get('SELECT flags FROM mail_flagset WHERE id = ?', id)
    const flags = String(row?.[0] ?? '')
    named.push([id, flags === '' ? [] : flags.split(' ')])
  }
  return named
}

/** Some rows and what their flag sets mean. */
export interface NamedRows {
  readonly columns: Columns
  readonly sets: NamedSets
}

/** A mailbox at some moment. */
export interface Moment {
  readonly uidValidity: number
  readonly highestModseq: number
  readonly uidNext: number
}

const momentOf = (mailbox: MailboxRow): Moment => ({
  uidValidity: mailbox.uidValidity,
  highestModseq: mailbox.modseq,
  uidNext: mailbox.uidNext,
})

/** What happened in a mailbox after some modseq. */
export interface Changes extends NamedRows {
  readonly moment: Moment
  readonly vanished: Uint32Array
  /** Of what was expunged up to this modseq, nothing may be known any more. */
  readonly trimmed: number
  /** Where there is too much for one answer, nothing is in this one, and all of it in pages: new rows, then flagged ones, or by UID where most rows are new. */
  readonly paged: 'by-change' | 'by-uid' | undefined
}

/** With `came`, only rows that came after that modseq are told, as they are now, and those that were only flagged are not. */
async function changesOf(tx: Transaction, mailbox: MailboxRow, since: number, came?: number): Promise<Changes> {
  const flagged = came === undefined
  const moment = momentOf(mailbox)
  const nothing = { moment, columns: NO_ROWS, sets: [], vanished: new Uint32Array(), trimmed: mailbox.trimmedModseq }
  if (since === mailbox.modseq) return { ...nothing, paged: undefined }
  const counts = await tx.get(
    `SELECT (SELECT count(*) FROM (SELECT 1 FROM mail_message WHERE mailbox = ? AND modseq > ? LIMIT ?) AS fresh),
            (SELECT count(*) FROM (SELECT 1 FROM mail_flags WHERE mailbox = ? AND modseq > ? LIMIT ?) AS flagged),
            (SELECT count(*) FROM (SELECT 1 FROM mail_expunged WHERE mailbox = ? AND modseq > ? LIMIT ?) AS gone)`,
    mailbox.id,
    came ?? since,
    MANY + 1,
    mailbox.id,
    since,
    BLOCKS_PAGE + 1,
    mailbox.id,
    since,
    VANISHED_PAGE + 1,
  )
  const [fresh = 0, blocks = 0, gone = 0] = (counts ?? []).map(Number)
  if (fresh > PAGE || (flagged && blocks > BLOCKS_PAGE) || gone > VANISHED_PAGE) {
    const paged = fresh > MANY || fresh > mailbox.messages / 3 ? 'by-uid' : 'by-change'
    return { ...nothing, paged }
  }
  const inserted = await tx.all(
    `SELECT ${MESSAGE_COLUMNS} FROM mail_message WHERE mailbox = ? AND modseq > ?`,
    mailbox.id,
    came ?? since,
  )
  const vanished = await tx.all('SELECT uid FROM mail_expunged WHERE mailbox = ? AND modseq > ?', mailbox.id, since)
  // What was flagged since it came is in both, and as it is now in the second.
  const columns = flagged
    ? mergeColumns(
        columnsOf(byUid(inserted)),
        blocks === 0 ? NO_ROWS : (await flaggedRows(tx, mailbox.id, since, 0)).columns,
        new Uint32Array(),
      )
    : await columnsNow(tx, mailbox.id, byUid(inserted))
  return {
    ...nothing,
    columns,
    sets: await namedSets(tx, distinct(columns.flagsets)),
    vanished: Uint32Array.from(vanished, (row) => Number(row[0])).sort(),
    paged: undefined,
  }
}

function columnsOf(rows: readonly SqlRow[]): Columns {
  const columns = new ColumnsBuilder(rows.length)
  for (const row of rows) {
    const [uid = 0, flagset = 0, modseq = 0, size = 0, internalDate = 0, zone = 0] = row as readonly number[]
    columns.push(uid, flagset, modseq, size, internalDate, zone)
  }
  return columns.finish()
}

/** Rows, ascending by UID, as they are now. */
async function columnsNow(tx: Transaction, mailbox: number, rows: readonly SqlRow[], since = -1): Promise<Columns> {
  const blocks = new FlagBlocks(tx, mailbox)
  if (rows.length > 0) await blocks.load(Number(rows[0]?.[0]), Number(rows.at(-1)?.[0]))
  const columns = new ColumnsBuilder(rows.length)
  for (const row of rows) {
    const [uid = 0, flagset = 0, inserted = 0, size = 0, internalDate = 0, zone = 0] = row as readonly number[]
    const modseq = blocks.modseq(uid, inserted)
    if (modseq > since) columns.push(uid, blocks.flagset(uid, flagset), modseq, size, internalDate, zone)
  }
  return columns.finish()
}

/** A block of flags: its id, and its `entries`. */
type ChangedBlock = readonly [id: number, entries: Uint8Array]

/** The blocks with flags that changed after `since`, and the flag sets that those messages have now. */
async function changedBlocks(
  tx: Transaction,
  mailbox: number,
  since: number,
): Promise<{ readonly blocks: readonly ChangedBlock[]; readonly sets: ReadonlySet<number> }> {
  const blocks: ChangedBlock[] = []
  const sets = new Set<number>()
  const rows = await tx.all('SELECT id, entries FROM mail_flags WHERE mailbox = ? AND modseq > ?', mailbox, since)
  for (const [id, entries] of rows) {
    changedInBlock(Number(id), entries, since, (_, flagset) => sets.add(flagset))
    if (entries instanceof Uint8Array) blocks.push([Number(id), entries])
  }
  return { blocks, sets }
}

/** Packed columns as they are now: what a snapshot begins with. Flag sets are ids. */
export function columnsOfPacked({ kept, parts, blocks }: PackedRows): Columns {
  const columns = unpackColumns(parts)?.columns() ?? NO_ROWS
  // They are ours alone, and nobody has seen them yet.
  for (const [id, entries] of blocks) {
    const { uids, flagsets, modseqs } = columns
    let at = 0
    changedInBlock(id, entries, kept.modseq, (uid, flagset, modseq) => {
      at = lowerBound(uids, uid, at)
      if (uids[at] !== uid) return
      flagsets[at] = flagset
      modseqs[at] = modseq
    })
  }
  return columns
}

/** Messages whose flags changed after `since`, in the blocks above the id `after`; at most so many blocks. */
async function flaggedRows(
  tx: Transaction,
  mailbox: number,
  since: number,
  after: number,
): Promise<{ readonly columns: Columns; readonly next: number | undefined }> {
  const changed = await tx.all(
    'SELECT id, entries FROM mail_flags WHERE mailbox = ? AND modseq > ? AND id > ? ORDER BY id LIMIT ?',
    mailbox,
    since,
    after,
    BLOCKS_PAGE,
  )
  const uids: number[] = []
  const blocks = new Map<number, FlagBlock>()
  for (const [id, entries] of changed) {
    const block = readBlock(Number(id), entries)
    const first = firstUid(Number(id))
    blocks.set(first, block)
    for (let i = 0; i < BLOCK; i++) if ((block.modseqs[i] ?? 0) > since) uids.push(first + i)
  }
  const columns = new ColumnsBuilder(uids.length)
  for (const row of await rowsOf(tx, mailbox, Uint32Array.from(uids))) {
    const [uid = 0, , , size = 0, internalDate = 0, zone = 0] = row as readonly number[]
    const { flagsets, modseqs } = blocks.get(uid - (uid % BLOCK)) ?? { flagsets: [], modseqs: [] }
    columns.push(uid, flagsets[uid % BLOCK] ?? 0, modseqs[uid % BLOCK] ?? 0, size, internalDate, zone)
  }
  return { columns: columns.finish(), next: changed.length < BLOCKS_PAGE ? undefined : Number(changed.at(-1)?.[0]) }
}

const byUid = (rows: readonly SqlRow[]): SqlRow[] => [...rows].sort((a, b) => Number(a[0]) - Number(b[0]))

/** What happened after `since`. */
export const changes = read(async (tx, { mailbox, since }: { mailbox: number; since: number }): Promise<Changes> => {
  const row = await mailboxById(tx, mailbox)
  // A modseq from the future (a restored backup, a client of another life) is answered as if nothing were known.
  return changesOf(tx, row, since > row.modseq ? 0 : since)
})

export interface PageOrder {
  readonly mailbox: number
  /** Rows that changed after this modseq. */
  readonly since: number
  /** UIDs above this; 0: from the beginning. */
  readonly after: number
}

/** One page of the rows that changed. */
export interface RowPage extends NamedRows {
  /** Where the next page begins; undefined when this was the last. */
  readonly next: number | undefined
}

/** Rows by UID. Those of another moment than their neighbours' are put right by the changes since the first page. */
export const changedPage = read(async (tx, { mailbox, since, after }: PageOrder): Promise<RowPage> => {
  await mailboxById(tx, mailbox)
  const rows = await tx.all(
    `SELECT ${MESSAGE_COLUMNS} FROM mail_message WHERE mailbox = ? AND uid > ? ORDER BY uid LIMIT ?`,
    mailbox,
    after,
    PAGE,
  )
  const finished = await columnsNow(tx, mailbox, rows, since)
  return {
    columns: finished,
    sets: await namedSets(tx, distinct(finished.flagsets)),
    next: rows.length < PAGE ? undefined : Number(rows.at(-1)?.[0]),
  }
})

export interface RecentOrder {
  readonly mailbox: number
  /** Rows that came after this: by modseq, and by UID where that is the same. */
  readonly modseq: number
  readonly uid: number
  /** Rows that came later than this modseq are left to those who ask what happened since. */
  readonly until: number
}

export interface RecentPage extends NamedRows {
  readonly next: { readonly modseq: number; readonly uid: number } | undefined
}

/** Rows in the order in which they came, as they were then: `flaggedPage` has what changed since. Those of one answer ascend by UID. */
export const recentPage = read(async (tx, { mailbox, modseq, uid, until }: RecentOrder): Promise<RecentPage> => {
  await mailboxById(tx, mailbox)
  const rows = await tx.all(
    `SELECT ${MESSAGE_COLUMNS} FROM mail_message WHERE mailbox = ? AND (modseq, uid) > (?, ?) AND modseq <= ? ORDER BY modseq, uid LIMIT ?`,
    mailbox,
    modseq,
    uid,
    until,
    PAGE,
  )
  const finished = columnsOf(byUid(rows))
  const last = rows.length < PAGE ? undefined : rows.at(-1)
  return {
    columns: finished,
    sets: await namedSets(tx, distinct(finished.flagsets)),
    next: last === undefined ? undefined : { modseq: Number(last[2]), uid: Number(last[0]) },
  }
})

/** Rows whose flags changed after `since`, as they are now, by UID. `after` and `next` are ids of blocks. */
export const flaggedPage = read(async (tx, { mailbox, since, after }: PageOrder): Promise<RowPage> => {
  await mailboxById(tx, mailbox)
  const { columns, next } = await flaggedRows(tx, mailbox, since, after)
  return { columns, sets: await namedSets(tx, distinct(columns.flagsets)), next }
})

export interface VanishedPage {
  readonly uids: Uint32Array
  readonly next: number | undefined
}

/** UIDs expunged after `since`, in pages by UID. */
export const vanishedPage = read(async (tx, { mailbox, since, after }: PageOrder): Promise<VanishedPage> => {
  await mailboxById(tx, mailbox)
  const rows = await tx.all(
    'SELECT uid, modseq FROM mail_expunged WHERE mailbox = ? AND uid > ? ORDER BY uid LIMIT ?',
    mailbox,
    after,
    VANISHED_PAGE,
  )
  return {
    uids: Uint32Array.from(
      rows.filter((row) => Number(row[1]) > since),
      (row) => Number(row[0]),
    ),
    next: rows.length < VANISHED_PAGE ? undefined : Number(rows.at(-1)?.[0]),
  }
})

/** The columns that the database keeps of a mailbox. */
export interface Packed {
  /** All rows, as of this modseq; -1: there are none. */
  readonly modseq: number
  /** Rows that came later have this UID or a higher one. */
  readonly uidNext: number
  /** Rows that came later and are packed behind them. */
  readonly behind: number
}

/** Packed columns as the database has them: `columnsOfPacked` makes rows of them. */
export interface PackedRows {
  readonly kept: Packed
  readonly parts: readonly Uint8Array[]
  /** Flags and modseqs that changed since. */
  readonly blocks: readonly ChangedBlock[]
  readonly sets: NamedSets
}

/** What a snapshot is made of where nothing is known yet. */
export interface Beginning {
  /** None where nothing was packed, or nothing that can still be brought up to date. */
  readonly packed: PackedRows | undefined
  /** What else happened after that; everything, where nothing was packed. */
  readonly changes: Changes
}

export const begin = read(
  async (tx, { mailbox: id }: { mailbox: number }): Promise<Beginning> => {
    const mailbox = await mailboxById(tx, id)
    const kept = await tx.all('SELECT modseq, columns FROM mail_packed WHERE mailbox = ? ORDER BY part', id)
    const modseq = Number(kept[0]?.[0] ?? -1)
    const parts = kept.flatMap(([, columns]) => (columns instanceof Uint8Array ? [columns] : []))
    const unpacked = modseq >= mailbox.trimmedModseq ? unpackColumns(parts) : undefined
    if (unpacked === undefined) return { packed: undefined, changes: await changesOf(tx, mailbox, 0) }
    const { blocks, sets } = await changedBlocks(tx, id, modseq)
    return {
      packed: {
        kept: { modseq, uidNext: (unpacked.lastUids[0] ?? 0) + 1, behind: unpacked.rows[1] ?? 0 },
        parts,
        blocks,
        sets: await namedSets(tx, new Set([...unpacked.sets, ...sets])),
      },
      changes: await changesOf(tx, mailbox, modseq, Number(kept.at(-1)?.[0])),
    }
  },
  { returned: ({ packed }) => packed?.parts ?? [] },
)

export interface PackOrder {
  readonly mailbox: number
  /** The columns are as they were then. */
  readonly modseq: number
  /** Made by `packColumns`. */
  readonly columns: Uint8Array
  /** The modseq of the packed columns behind which these come, all of their rows later by UID; undefined: these are all rows. */
  readonly behind: number | undefined
}

/** Keeps packed columns for the snapshots to come, unless newer ones are there. */
export const pack = derived(
  async (tx, { mailbox: id, modseq, columns, behind }: PackOrder): Promise<void> => {
    const mailbox = await mailboxById(tx, id)
    if (modseq > mailbox.modseq) return
    const kept = await tx.all('SELECT modseq FROM mail_packed WHERE mailbox = ? ORDER BY part', id)
    if (behind !== undefined && kept[0]?.[0] !== behind) return
    if (Number(kept.at(behind === undefined ? 0 : -1)?.[0] ?? -1) >= modseq) return
    // What came behind other columns says nothing about these.
    if (behind === undefined) await tx.run('DELETE FROM mail_packed WHERE mailbox = ?', id)
    await tx.run(
      'INSERT INTO mail_packed (mailbox, part, modseq, columns) VALUES (?, ?, ?, ?) ON CONFLICT (mailbox, part) DO UPDATE SET modseq = excluded.modseq, columns = excluded.columns',
      id,
      behind === undefined ? 0 : 1,
      modseq,
      columns,
    )
  },
  { given: ({ columns }) => [columns] },
)

export const keywords = read(async (tx, { mailbox }: { mailbox: number }) => {
  await mailboxById(tx, mailbox)
  return allKeywords(tx)
})
