// The row of a mailbox: found, counted, announced.

import { type SqlRow, StoreError, type Transaction } from '../../store/contracts.ts'
import { nextUidValidity, takeNumbers } from './clock.ts'
import { changeTotals } from './quota.ts'
import { inheritAccess } from './sharing/rights.ts'

export interface MailboxRow {
  readonly id: number
  readonly name: string
  readonly role: string | null
  readonly uidValidity: number
  readonly uidNext: number
  readonly modseq: number
  readonly messages: number
  readonly unseen: number
  readonly deleted: number
  readonly octets: number
  readonly deletedOctets: number
  readonly recentUid: number
  readonly trimmedModseq: number
}

/** What is committed about mail. */
export interface MailChange {
  readonly kind: 'mail'
  /** The mailbox that changed inside; undefined when the list of mailboxes did. */
  readonly mailbox: number | undefined
  readonly modseq: number
  /** Only these annotations changed, of `mailbox` or (undefined) of the server; `holder`: the account whose own they are, '' where all see them. */
  readonly annotations?: { readonly names: readonly string[]; readonly holder: string }
}

const COLUMNS =
  'id, name, role, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets, recent_uid, trimmed_modseq, deleted_octets'

const BY_ID = `SELECT ${COLUMNS} FROM mail_mailbox WHERE id = ?`
const BY_NAME = `SELECT ${COLUMNS} FROM mail_mailbox WHERE name = ?`

function mailboxRow(row: SqlRow): MailboxRow {
  return {
    id: Number(row[0]),
    name: String(row[1]),
    role: row[2] === null ? null : String(row[2]),
    uidValidity: Number(row[3]),
    uidNext: Number(row[4]),
    modseq: Number(row[5]),
    messages: Number(row[6]),
    unseen: Number(row[7]),
    deleted: Number(row[8]),
    octets: Number(row[9]),
    recentUid: Number(row[10]),
    trimmedModseq: Number(row[11]),
    deletedOctets: Number(row[12]),
  }
}

/** The mailbox, or `StoreError('NONEXISTENT')`. */
export async function mailboxById(tx: Transaction, id: number): Promise<MailboxRow> {
  const row = await tx.get(BY_ID, id)
  if (row === undefined) throw new StoreError('NONEXISTENT', 'The mailbox has been deleted')
  return mailboxRow(row)
}

/** `name` is canonical. */
export async function mailboxByName(tx: Transaction, name: string): Promise<MailboxRow | undefined> {
  const row = await tx.get(BY_NAME, name)
  return row === undefined ? undefined : mailboxRow(row)
}

/** The mailbox that messages are to go to, or `StoreError('TRYCREATE')`. */
export async function destinationByName(tx: Transaction, name: string): Promise<MailboxRow> {
  const mailbox = await mailboxByName(tx, name)
  if (mailbox === undefined) throw new StoreError('TRYCREATE', 'There is no such mailbox')
  return mailbox
}

export async function allMailboxes(tx: Transaction): Promise<readonly MailboxRow[]> {
  return (await tx.all(`SELECT ${COLUMNS} FROM mail_mailbox ORDER BY name`)).map(mailboxRow)
}

/** Makes an empty mailbox whose changes begin at `modseq`. */
export async function makeMailbox(
  tx: Transaction,
  name: string,
  role: string | null,
  modseq: number,
): Promise<MailboxRow> {
  const { mailbox: id } = await takeNumbers(tx, { mailboxes: 1 })
  const uidValidity = await nextUidValidity(tx)
  await tx.run(
    'INSERT INTO mail_mailbox (id, name, role, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets, recent_uid, trimmed_modseq) VALUES (?, ?, ?, ?, 1, ?, 0, 0, 0, 0, 1, 0)',
    id,
    name,
    role,
    uidValidity,
    modseq,
  )
  await changeTotals(tx, { mailboxes: 1 })
  await inheritAccess(tx, name, id)
  return mailboxById(tx, id)
}

/** How the counts of a mailbox change. */
export interface Growth {
  messages: number
  unseen: number
  deleted: number
  octets: number
  deletedOctets: number
}

export const noGrowth = (): Growth => ({ messages: 0, unseen: 0, deleted: 0, octets: 0, deletedOctets: 0 })

/** Counts one message more (`by` 1) or less (-1). */
export function count(
  growth: Growth,
  set: { readonly seen: boolean; readonly deleted: boolean },
  size: number,
  by: 1 | -1,
): void {
  growth.messages += by
  if (!set.seen) growth.unseen += by
  if (set.deleted) {
    growth.deleted += by
    growth.deletedOctets += by * size
  }
  growth.octets += by * size
}

/** What a flag set says that is counted. */
type Counted = Parameters<typeof count>[1]

/** Counts messages whose flag set `old` is `next` now; `octets` of all of them. */
export function recount(
  growth: Growth,
  old: Counted,
  next: Counted,
  { rows, octets }: { readonly rows: number; readonly octets: number },
): void {
  growth.unseen += rows * (Number(!next.seen) - Number(!old.seen))
  const deleted = Number(next.deleted) - Number(old.deleted)
  growth.deleted += rows * deleted
  growth.deletedOctets += octets * deleted
}

/** Writes the changed counts and UIDNEXT of a mailbox that changed at `modseq`, counts for the account, and tells of it after the commit. */
export async function changeMailbox(
  tx: Transaction,
  id: number,
  modseq: number,
  growth: Growth,
  newUids = 0,
): Promise<void> {
  await growMailbox(tx, id, modseq, growth, newUids)
  if (growth.octets !== 0 || growth.messages !== 0) await changeTotals(tx, growth)
}

/** As `changeMailbox`, where the totals of the account have been counted already (`admit`). */
export async function growMailbox(
  tx: Transaction,
  id: number,
  modseq: number,
  growth: Growth,
  newUids: number,
): Promise<void> {
  await tx.run(
    'UPDATE mail_mailbox SET modseq = ?, uidnext = uidnext + ?, messages = messages + ?, unseen = unseen + ?, deleted = deleted + ?, octets = octets + ?, deleted_octets = deleted_octets + ? WHERE id = ?',
    modseq,
    newUids,
    growth.messages,
    growth.unseen,
    growth.deleted,
    growth.octets,
    growth.deletedOctets,
    id,
  )
  announce(tx, id, modseq)
}

export function announce(tx: Transaction, mailbox: number | undefined, modseq: number): void {
  const change: MailChange = { kind: 'mail', mailbox, modseq }
  tx.publish(change)
}

/** Throws `StoreError('LIMIT')` where the mailbox has no `wanted` UIDs left. */
export function haveUids(mailbox: MailboxRow, wanted: number): void {
  if (mailbox.uidNext + wanted > 0xffffffff)
    throw new StoreError('LIMIT', 'The mailbox has no UIDs left: copy its messages to a new one')
}
