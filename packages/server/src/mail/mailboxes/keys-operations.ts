// Keys for sorting and threading.

import type { KeyField } from '@aviso/imap'
import { KEY_SEPARATOR } from '@aviso/imap/render'
import { read, type Transaction } from '../../store/contracts.ts'
import { mailboxById } from './mailbox-rows.ts'
import { anyStale, staleAmong } from './rendering-operations.ts'
import { type Span, spans } from './uids.ts'

const COLUMNS: Readonly<Record<KeyField, string>> = {
  subject: 'subject',
  from: 'from_mailbox',
  to: 'to_mailbox',
  cc: 'cc_mailbox',
  displayFrom: 'display_from',
  displayTo: 'display_to',
  sent: 'sent',
  threading: 'threading',
}

/** Messages in one answer: two milliseconds or so. */
const BATCH = 2048

export interface KeysOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly field: KeyField
}

export interface PackedKeys {
  /** How many of the UIDs asked for were dealt with. */
  readonly consumed: number
  readonly uids: Uint32Array
  /** In the order of `uids`, with KEY_SEPARATOR between them. */
  readonly keys: string
  /** These emails must be rendered before the UIDs that follow can be answered. */
  readonly stale: readonly number[]
}

export const keys = read(async (tx, { mailbox, uids, field }: KeysOrder): Promise<PackedKeys> => {
  await mailboxById(tx, mailbox)
  const unsure = await anyStale(tx)
  const found: Uint32Array[] = []
  const texts: string[] = []
  let consumed = 0
  for (const span of spans(uids, undefined, BATCH)) {
    if (consumed > 0 && span.end > BATCH) break
    const stale = unsure ? await staleAmong(tx, mailbox, span) : []
    if (stale.length > 0) return { ...together(found, texts), consumed, stale }
    const wanted = uids.subarray(span.start, span.end)
    const [here, text] = await keysOf(tx, mailbox, span, wanted, COLUMNS[field])
    if (here.length > 0) {
      found.push(here)
      texts.push(text)
    }
    consumed = span.end
  }
  return { ...together(found, texts), consumed, stale: [] }
})

function together(found: readonly Uint32Array[], texts: readonly string[]): { uids: Uint32Array; keys: string } {
  const uids = new Uint32Array(found.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const list of found) {
    uids.set(list, at)
    at += list.length
  }
  return { uids, keys: texts.join(KEY_SEPARATOR) }
}

async function keysOf(
  tx: Transaction,
  mailbox: number,
  span: Span,
  wanted: Uint32Array,
  column: string,
): Promise<readonly [uids: Uint32Array, keys: string]> {
  // Without holes, as many rows as UIDs are the rows of those UIDs.
  const dense = span.last - span.first + 1 === wanted.length
  const row = await tx.get(
    `SELECT count(*), ${dense ? 'NULL' : "string_agg(uid, ',')"}, string_agg(key, char(31)) FROM (SELECT m.uid, k.${column} AS key FROM mail_message m JOIN mail_keys k ON k.email = m.email WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? ORDER BY m.uid)`,
    mailbox,
    span.first,
    span.last,
  )
  if (row?.[0] === wanted.length && (dense || row[1] === wanted.join(','))) return [wanted.slice(), String(row[2])]
  let at = 0
  const rows = (
    await tx.all(
      `SELECT m.uid, k.${column} FROM mail_message m JOIN mail_keys k ON k.email = m.email WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? ORDER BY m.uid`,
      mailbox,
      span.first,
      span.last,
    )
  ).filter(([uid]) => {
    while ((wanted[at] ?? Infinity) < Number(uid)) at++
    return wanted[at] === uid
  })
  return [Uint32Array.from(rows, ([uid]) => Number(uid)), rows.map(([, key]) => String(key)).join(KEY_SEPARATOR)]
}
