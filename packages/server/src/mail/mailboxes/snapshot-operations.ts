// Operations that tell how a mailbox is and what changed in it. None reads more rows than a few milliseconds allow: what is more comes in pages.

import type { FlagSet } from '@aviso/imap'
import { read, type SqlRow, type Transaction, write } from '../../store/contracts.ts'
import { type Columns, ColumnsBuilder, distinct, NO_ROWS, unpackColumns } from './columns.ts'
import { mailboxById, type MailboxRow } from './mailbox-rows.ts'

/** Rows in one page: about 4 ms. */
const PAGE = 4096
/** UIDs of expunged messages in one page. */
const VANISHED_PAGE = 16_384

/** The flag sets that some columns name. */
export type NamedSets = readonly (readonly [id: number, flags: FlagSet])[]

/** A set that was forgotten meanwhile is answered as empty: the rows that had it when they were packed have another now. */
async function namedSets(tx: Transaction, columns: Columns): Promise<NamedSets> {
  const named: (readonly [number, FlagSet])[] = []
  for (const id of distinct(columns.flagsets)) {
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
  /** False when history before was trimmed. */
  readonly complete: boolean
  /** True when there is too much for one answer: nothing is in this one, and all of it in the pages. */
  readonly paged: boolean
}

async function changesOf(tx: Transaction, mailbox: MailboxRow, since: number): Promise<Changes> {
  const moment = momentOf(mailbox)
  const complete = since >= mailbox.trimmedModseq
  if (since === mailbox.modseq)
    return { moment, columns: NO_ROWS, sets: [], vanished: new Uint32Array(), complete, paged: false }
  const changed = await tx.all(
    'SELECT uid, flagset, modseq, size, internal_date, zone FROM mail_message WHERE mailbox = ? AND modseq > ? LIMIT ?',
    mailbox.id,
    since,
    PAGE + 1,
  )
  const vanished = await tx.all(
    'SELECT uid FROM mail_expunged WHERE mailbox = ? AND modseq > ? LIMIT ?',
    mailbox.id,
    since,
    VANISHED_PAGE + 1,
  )
  if (changed.length > PAGE || vanished.length > VANISHED_PAGE)
    return { moment, columns: NO_ROWS, sets: [], vanished: new Uint32Array(), complete, paged: true }
  const columns = new ColumnsBuilder(changed.length)
  for (const row of [...changed].sort((a, b) => Number(a[0]) - Number(b[0]))) pushRow(columns, row)
  const finished = columns.finish()
  return {
    moment,
    columns: finished,
    sets: await namedSets(tx, finished),
    vanished: Uint32Array.from(vanished, (row) => Number(row[0])).sort(),
    complete,
    paged: false,
  }
}

function pushRow(columns: ColumnsBuilder, row: SqlRow): void {
  const [uid = 0, flagset = 0, modseq = 0, size = 0, internalDate = 0, zone = 0] = row as readonly number[]
  columns.push(uid, flagset, modseq, size, internalDate, zone)
}

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
  /** UIDs above this. */
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
    'SELECT uid, flagset, modseq, size, internal_date, zone FROM mail_message WHERE mailbox = ? AND uid > ? ORDER BY uid LIMIT ?',
    mailbox,
    after,
    PAGE,
  )
  const columns = new ColumnsBuilder(rows.length)
  for (const row of rows) if (Number(row[2]) > since) pushRow(columns, row)
  const finished = columns.finish()
  return {
    columns: finished,
    sets: await namedSets(tx, finished),
    next: rows.length < PAGE ? undefined : Number(rows.at(-1)?.[0]),
  }
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

/** What a snapshot is made of where nothing is known yet. */
export interface Beginning {
  /** Columns as they were at `modseq`; none where nothing was packed, or nothing that can still be brought up to date. */
  readonly packed: (NamedRows & { readonly modseq: number }) | undefined
  /** What happened after that; everything, where nothing was packed. */
  readonly changes: Changes
}

export const begin = read(async (tx, { mailbox: id }: { mailbox: number }): Promise<Beginning> => {
  const mailbox = await mailboxById(tx, id)
  const row = await tx.get('SELECT modseq, columns FROM mail_snapshot WHERE mailbox = ?', id)
  const modseq = Number(row?.[0] ?? -1)
  const columns = row?.[1] instanceof Uint8Array && modseq >= mailbox.trimmedModseq ? unpackColumns(row[1]) : undefined
  if (columns === undefined) return { packed: undefined, changes: await changesOf(tx, mailbox, 0) }
  return {
    packed: { modseq, columns, sets: await namedSets(tx, columns) },
    changes: await changesOf(tx, mailbox, modseq),
  }
})

export interface PackOrder {
  readonly mailbox: number
  readonly modseq: number
  /** Made by `packColumns`. */
  readonly columns: Uint8Array
}

/** Keeps packed columns for the snapshots to come, unless newer ones are there. */
export const pack = write(async (tx, { mailbox: id, modseq, columns }: PackOrder): Promise<void> => {
  const mailbox = await mailboxById(tx, id)
  if (modseq > mailbox.modseq) return
  await tx.run(
    'INSERT INTO mail_snapshot (mailbox, modseq, columns) VALUES (?, ?, ?) ON CONFLICT (mailbox) DO UPDATE SET modseq = excluded.modseq, columns = excluded.columns WHERE mail_snapshot.modseq < excluded.modseq',
    id,
    modseq,
    columns,
  )
})

export const keywords = read(async (tx, { mailbox }: { mailbox: number }) => {
  await mailboxById(tx, mailbox)
  return (await tx.all('SELECT name FROM mail_keyword ORDER BY fold')).map(([name]) => String(name))
})
