// Operations that read: snapshots, deltas, rendered pieces, octets.

import type { FlagSet } from '@aviso/imap'
import { read, type SqlRow, type Transaction, write } from '../../store/contracts.ts'
import { type Columns, ColumnsBuilder, mergeColumns, packColumns, unpackColumns } from './columns.ts'
import { FlagSets } from './flags.ts'
import { mailboxById, type MailboxRow } from './mailbox-rows.ts'
import { CODEC, octets, render, type Rendered } from './octets.ts'
import { type Span, spans } from './uids.ts'

const PAGE = 8192
/** Mailboxes with fewer rows than this are read row by row in a few milliseconds: their columns are not kept packed. */
const WORTH_PACKING = 4096

/** The flag sets that some columns name. */
export type NamedSets = readonly (readonly [id: number, flags: FlagSet])[]

async function namedSets(tx: Transaction, columns: Columns): Promise<NamedSets> {
  const sets = new FlagSets(tx)
  const named: (readonly [number, FlagSet])[] = []
  const seen = new Set<number>()
  let last = -1
  for (const id of columns.flagsets) {
    if (id === last) continue
    last = id
    if (seen.has(id)) continue
    seen.add(id)
    named.push([id, (await sets.byId(id)).flags])
  }
  return named
}

/** All rows with a modseq above `since`, ascending by UID. */
async function rowsSince(tx: Transaction, mailbox: MailboxRow, since: number): Promise<Columns> {
  let expected = mailbox.messages
  if (since > 0) {
    const row = await tx.get('SELECT count(*) FROM mail_message WHERE mailbox = ? AND modseq > ?', mailbox.id, since)
    expected = Number(row?.[0])
  }
  const columns = new ColumnsBuilder(expected)
  const push = (rows: readonly SqlRow[]): void => {
    for (const [uid, flagset, modseq, size, internalDate] of rows as readonly (readonly number[])[])
      columns.push(uid ?? 0, flagset ?? 0, modseq ?? 0, size ?? 0, internalDate ?? 0)
  }
  if (expected === 0) return columns.finish()
  if (expected < PAGE && since > 0) {
    push(
      await tx.all(
        'SELECT uid, flagset, modseq, size, internal_date FROM mail_message WHERE mailbox = ? AND modseq > ? ORDER BY uid',
        mailbox.id,
        since,
      ),
    )
    return columns.finish()
  }
  for (let last = 0; ;) {
    // The plus keeps the planner on the primary key: the rows come in order, page by page.
    const rows = await tx.all(
      'SELECT uid, flagset, modseq, size, internal_date FROM mail_message WHERE mailbox = ? AND uid > ? AND +modseq > ? ORDER BY uid LIMIT ?',
      mailbox.id,
      last,
      since,
      PAGE,
    )
    push(rows)
    if (rows.length < PAGE) return columns.finish()
    last = Number(rows.at(-1)?.[0])
  }
}

async function vanishedSince(tx: Transaction, mailbox: number, since: number): Promise<Uint32Array> {
  const rows = await tx.all('SELECT uid FROM mail_expunged WHERE mailbox = ? AND modseq > ?', mailbox, since)
  return Uint32Array.from(rows, (row) => Number(row[0])).sort()
}

/** What happened in a mailbox after some modseq. */
export interface PackedDelta {
  readonly highestModseq: number
  readonly uidNext: number
  readonly changed: Columns
  readonly sets: NamedSets
  readonly vanished: Uint32Array
  readonly complete: boolean
}

async function deltaOf(tx: Transaction, mailbox: MailboxRow, since: number): Promise<PackedDelta> {
  const changed = await rowsSince(tx, mailbox, since)
  return {
    highestModseq: mailbox.modseq,
    uidNext: mailbox.uidNext,
    changed,
    sets: await namedSets(tx, changed),
    vanished: await vanishedSince(tx, mailbox.id, since),
    complete: since >= mailbox.trimmedModseq,
  }
}

export const delta = read(async (tx, { mailbox, since }: { mailbox: number; since: number }): Promise<PackedDelta> => {
  const row = await mailboxById(tx, mailbox)
  // A modseq from the future (a restored backup, a client of another life) is answered as if nothing were known.
  return deltaOf(tx, row, since > row.modseq ? 0 : since)
})

/** All rows, from the packed columns and what changed since, or from the rows themselves; and how many rows were not in the packed ones. */
async function currentColumns(tx: Transaction, mailbox: MailboxRow): Promise<{ columns: Columns; fresh: number }> {
  if (mailbox.messages >= WORTH_PACKING) {
    const kept = await tx.get('SELECT modseq, columns FROM mail_snapshot WHERE mailbox = ?', mailbox.id)
    const since = Number(kept?.[0] ?? -1)
    if (since >= mailbox.trimmedModseq && kept?.[1] instanceof Uint8Array) {
      const count = await tx.get(
        'SELECT count(*) FROM mail_message WHERE mailbox = ? AND modseq > ?',
        mailbox.id,
        since,
      )
      // With half of the rows changed, reading all of them is quicker than reading the changed ones and merging.
      const columns = Number(count?.[0]) <= mailbox.messages / 2 ? unpackColumns(kept[1]) : undefined
      if (columns !== undefined) {
        const changed = await rowsSince(tx, mailbox, since)
        const vanished = await vanishedSince(tx, mailbox.id, since)
        return {
          columns: changed.uids.length + vanished.length === 0 ? columns : mergeColumns(columns, changed, vanished),
          fresh: changed.uids.length + vanished.length,
        }
      }
    }
  }
  return { columns: await rowsSince(tx, mailbox, 0), fresh: mailbox.messages }
}

export interface PackedSnapshot {
  readonly uidValidity: number
  /** True when `delta` is to be put on the snapshot that the caller has, false when `columns` hold all rows. */
  readonly onTop: boolean
  readonly delta: PackedDelta
  /** True when packing the columns anew would make the next snapshot noticeably quicker. */
  readonly worthPacking: boolean
}

/** The rows of a mailbox, as a delta to those of modseq `have` where that is little. */
export const snapshot = read(
  async (tx, { mailbox: id, have }: { mailbox: number; have: number | undefined }): Promise<PackedSnapshot> => {
    const mailbox = await mailboxById(tx, id)
    const { uidValidity } = mailbox
    if (have !== undefined && have >= mailbox.trimmedModseq && have <= mailbox.modseq) {
      const row = await tx.get('SELECT count(*) FROM mail_message WHERE mailbox = ? AND modseq > ?', id, have)
      if (Number(row?.[0]) <= 256 + mailbox.messages / 8)
        return { uidValidity, onTop: true, delta: await deltaOf(tx, mailbox, have), worthPacking: false }
    }
    const { columns, fresh } = await currentColumns(tx, mailbox)
    return {
      uidValidity,
      onTop: false,
      delta: {
        highestModseq: mailbox.modseq,
        uidNext: mailbox.uidNext,
        changed: columns,
        sets: await namedSets(tx, columns),
        vanished: new Uint32Array(),
        complete: true,
      },
      worthPacking: mailbox.messages >= WORTH_PACKING && fresh > 512 + mailbox.messages / 16,
    }
  },
)

/** Packs the columns of a large mailbox for the snapshots to come. */
export const pack = write(async (tx, { mailbox: id }: { mailbox: number }): Promise<void> => {
  const mailbox = await mailboxById(tx, id)
  if (mailbox.messages < WORTH_PACKING) return
  await tx.run(
    'INSERT INTO mail_snapshot (mailbox, modseq, columns) VALUES (?, ?, ?) ON CONFLICT (mailbox) DO UPDATE SET modseq = excluded.modseq, columns = excluded.columns',
    id,
    mailbox.modseq,
    packColumns((await currentColumns(tx, mailbox)).columns),
  )
})

export const keywords = read(async (tx, { mailbox }: { mailbox: number }) => {
  await mailboxById(tx, mailbox)
  return (await tx.all('SELECT name FROM mail_keyword ORDER BY fold')).map(([name]) => String(name))
})

// ---- rendered pieces ----

export type StoredField = 'envelope' | 'bodyStructure' | 'body' | 'header'

const FIELD_COLUMNS: Readonly<Record<StoredField, string>> = {
  envelope: 'e.envelope',
  bodyStructure: 'e.body_structure',
  body: 'e.body',
  header: 'o.header',
}

/** Octets in one batch of rendered pieces, about. */
const BATCH_OCTETS = 256 * 1024

export interface MetaOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly fields: readonly StoredField[]
}

/** The pieces of one batch in one piece of memory: for each UID its fields, in the order asked for, end to end. */
export interface PackedMeta {
  /** How many of the UIDs asked for were dealt with. */
  readonly consumed: number
  readonly uids: Uint32Array
  /** Length of each piece, row by row. */
  readonly lengths: Uint32Array
  readonly octets: Uint8Array
  /** Headers that must be read from blobs: index into `lengths`, where 0 stands for them. */
  readonly elsewhere: readonly { readonly at: number; readonly blob: string; readonly size: number }[]
}

export const meta = read(async (tx, { mailbox, uids, fields }: MetaOrder): Promise<PackedMeta> => {
  await mailboxById(tx, mailbox)
  const withHeader = fields.includes('header')
  const select = `SELECT m.uid, e.header_size, e.blob${fields.map((field) => `, ${FIELD_COLUMNS[field]}`).join('')}`
  const join = `JOIN mail_email e ON e.id = m.email${withHeader ? ' JOIN mail_octets o ON o.email = m.email' : ''} WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? ORDER BY m.uid`
  // One of a few texts: there are only so many combinations of fields.
  const live = `${select} FROM mail_message m ${join}`
  const expunged = `${select} FROM mail_expunged m ${join}`

  const found: number[] = []
  const lengths: number[] = []
  const pieces: Uint8Array[] = []
  const elsewhere: { at: number; blob: string; size: number }[] = []
  let total = 0
  let consumed = 0
  for (const span of withHeader ? spans(uids, 2, 32) : spans(uids, 4, 128)) {
    let rows = chosenRows(await tx.all(live, mailbox, span.first, span.last), uids, span)
    if (rows.length < span.end - span.start) {
      const gone = chosenRows(await tx.all(expunged, mailbox, span.first, span.last), uids, span)
      if (gone.length > 0) rows = [...rows, ...gone].sort((a, b) => Number(a[0]) - Number(b[0]))
    }
    for (const row of rows) {
      found.push(Number(row[0]))
      for (let i = 3; i < row.length; i++) {
        const piece = row[i]
        if (piece instanceof Uint8Array) {
          lengths.push(piece.byteLength)
          pieces.push(piece)
          total += piece.byteLength
        } else {
          elsewhere.push({ at: lengths.length, blob: String(row[2]), size: Number(row[1]) })
          lengths.push(0)
        }
      }
    }
    consumed = span.end
    if (total >= BATCH_OCTETS) break
  }
  const octets = new Uint8Array(total)
  let at = 0
  for (const piece of pieces) {
    octets.set(piece, at)
    at += piece.byteLength
  }
  return { consumed, uids: Uint32Array.from(found), lengths: Uint32Array.from(lengths), octets, elsewhere }
})

function chosenRows(rows: readonly SqlRow[], uids: Uint32Array, span: Span): readonly SqlRow[] {
  if (span.last - span.first === span.end - span.start - 1) return rows
  let at = span.start
  return rows.filter((row) => {
    while ((uids[at] ?? Infinity) < Number(row[0])) at++
    return uids[at] === row[0]
  })
}

// ---- octets ----

export interface RawOrder {
  readonly mailbox: number
  readonly uid: number
  readonly start: number
  /** Undefined: to the end. */
  readonly end: number | undefined
}

/** The octets themselves, or the blob that they are in, or undefined. */
export const raw = read(
  async (tx, { mailbox, uid, start, end }: RawOrder): Promise<Uint8Array | { readonly blob: string } | undefined> => {
    await mailboxById(tx, mailbox)
    const columns = 'SELECT e.id, e.codec, e.size, e.header_size, e.blob FROM'
    const row =
      (await tx.get(
        `${columns} mail_message m JOIN mail_email e ON e.id = m.email WHERE m.mailbox = ? AND m.uid = ?`,
        mailbox,
        uid,
      )) ??
      (await tx.get(
        `${columns} mail_expunged m JOIN mail_email e ON e.id = m.email WHERE m.mailbox = ? AND m.uid = ?`,
        mailbox,
        uid,
      ))
    if (row === undefined) return undefined
    const [id = 0, codec, size, headerSize, blob] = row
    if (codec === CODEC.blob) return { blob: String(blob) }
    const to = end ?? Number(size)
    const inHeader = to <= Number(headerSize)
    const held = inHeader
      ? await tx.get('SELECT header FROM mail_octets WHERE email = ?', id)
      : await tx.get('SELECT header, content FROM mail_octets WHERE email = ?', id)
    const [header, content] = held ?? []
    if (!(header instanceof Uint8Array)) throw new Error(`the octets of email ${String(id)} are missing`)
    return octets(
      {
        codec: Number(codec),
        size: Number(size),
        header,
        content: content instanceof Uint8Array ? content : new Uint8Array(),
      },
      start,
      to,
    )
  },
)

/** Renders a large message, so that the transaction that keeps it has only rows to write. */
export const prerender = read(async (_tx, { bytes }: { bytes: Uint8Array }): Promise<Rendered> => {
  const rendered = render(bytes)
  // Copies: a view would drag the whole message back between the threads.
  return {
    ...rendered,
    envelope: new Uint8Array(rendered.envelope),
    bodyStructure: new Uint8Array(rendered.bodyStructure),
    body: new Uint8Array(rendered.body),
    header: rendered.header === undefined ? undefined : new Uint8Array(rendered.header),
  }
})
