// Operations on the list of mailboxes: LIST, CREATE, DELETE, RENAME, SUBSCRIBE, STATUS.

import type { MailboxRole } from '@aviso/imap'
import { read, StoreError, type Transaction, write } from '../../store/contracts.ts'
import { tick } from './clock.ts'
import { allKeywords } from './flags.ts'
import { allMailboxes, announce, mailboxById, mailboxByName, type MailboxRow, makeMailbox } from './mailbox-rows.ts'
import { canonicalName, parents, validName } from './names.ts'
import { changeTotals, haveRoom, type Limits, NO_LIMITS } from './quota.ts'
import { demand, demandPlace, forgetSharing, sharesAny, type Visitor } from './sharing/rights.ts'
import { moveRows } from './transfer.ts'

const MAX_MAILBOXES = 5000
const MAX_SUBSCRIPTIONS = 5000

/** Roles that a mailbox of stored messages can have; `All`, `Flagged` and `Important` are views (RFC 6154 §2), which this store does not make. */
const MAILBOX_ROLES: readonly MailboxRole[] = [
  'Archive',
  'Drafts',
  'Junk',
  'Memos',
  'Scheduled',
  'Sent',
  'Snoozed',
  'Trash',
]

/** Makes the mailbox and its missing parents. Without `limits`, whatever the account holds already. */
async function make(
  tx: Transaction,
  name: string,
  role: string | null,
  modseq: number,
  limits: Limits = NO_LIMITS,
): Promise<MailboxRow> {
  const existing = await allMailboxes(tx)
  const names = new Set(existing.map((mailbox) => mailbox.name))
  const missing = parents(name).filter((parent) => !names.has(parent))
  if (existing.length + missing.length + 1 > MAX_MAILBOXES)
    throw new StoreError('LIMIT', `No more than ${MAX_MAILBOXES} mailboxes can be kept`)
  await haveRoom(tx, limits, { mailboxes: missing.length + 1 })
  for (const parent of missing) await makeMailbox(tx, parent, parent === 'INBOX' ? 'Inbox' : null, modseq)
  return makeMailbox(tx, name, role, modseq)
}

/** INBOX, which every account has from its first use. */
export async function inbox(tx: Transaction): Promise<MailboxRow> {
  const found = await mailboxByName(tx, 'INBOX')
  if (found !== undefined) return found
  const { modseq } = await tick(tx)
  await addSubscription(tx, 'INBOX')
  announce(tx, undefined, modseq)
  return makeMailbox(tx, 'INBOX', 'Inbox', modseq)
}

/** The mailbox that has the role, whatever its owner calls it, else the one of the name. */
export async function knownMailbox(
  tx: Transaction,
  name: string,
  role: MailboxRole | null = null,
): Promise<MailboxRow | undefined> {
  const special = role === null ? undefined : (await allMailboxes(tx)).find((mailbox) => mailbox.role === role)
  return special ?? mailboxByName(tx, name)
}

/**
 * The mailbox for a delivery: the one that has the role, whatever its owner calls it, else that of the name; made when it is missing, as mail must not wait for
 * somebody to make it.
 */
export async function deliveryMailbox(
  tx: Transaction,
  wanted: string,
  role: MailboxRole | null = null,
): Promise<MailboxRow> {
  const name = validName(wanted)
  if (name === 'INBOX') return inbox(tx)
  const found = await knownMailbox(tx, name, role)
  if (found !== undefined) return found
  await inbox(tx)
  const { modseq } = await tick(tx)
  const made = await make(tx, name, role, modseq)
  await addSubscription(tx, name)
  announce(tx, undefined, modseq)
  return made
}

async function addSubscription(tx: Transaction, name: string): Promise<number> {
  return tx.run('INSERT INTO mail_subscription (name) VALUES (?) ON CONFLICT (name) DO NOTHING', name)
}

/** Makes INBOX and the mailboxes for the given roles, unless the account has any of these: what a user deletes stays deleted. */
export const prepare = write(
  async (tx, { mailboxes }: { mailboxes: readonly { name: string; role: MailboxRole }[] }) => {
    await inbox(tx)
    const all = await allMailboxes(tx)
    if (all.some(({ role }) => role !== null && role !== 'Inbox')) return
    const { modseq } = await tick(tx)
    for (const { name, role } of mailboxes) {
      const found = all.find((mailbox) => mailbox.name === name)
      if (found === undefined) await makeMailbox(tx, name, role, modseq)
      else await tx.run('UPDATE mail_mailbox SET role = ? WHERE id = ?', role, found.id)
      await addSubscription(tx, name)
    }
    announce(tx, undefined, modseq)
  },
)

/** Everything that LIST and LSUB show. */
export async function listAll(tx: Transaction): Promise<{
  readonly mailboxes: readonly { readonly id: number; readonly name: string; readonly role: string | null }[]
  readonly subscriptions: readonly string[]
}> {
  return {
    mailboxes: (await allMailboxes(tx)).map(({ id, name, role }) => ({ id, name, role })),
    subscriptions: (await tx.all('SELECT name FROM mail_subscription')).map(([name]) => String(name)),
  }
}

export interface CreateOrder {
  readonly name: string
  readonly role: MailboxRole | undefined
  readonly limits: Limits
  readonly visitor?: Visitor | undefined
}

export const create = write(async (tx, { name: wanted, role, limits, visitor }: CreateOrder) => {
  const name = validName(wanted)
  await demandPlace(tx, name, visitor)
  if ((await mailboxByName(tx, name)) !== undefined) throw new StoreError('ALREADYEXISTS', 'The mailbox exists already')
  if (role !== undefined) {
    if (!MAILBOX_ROLES.includes(role)) throw new StoreError('USEATTR', `No mailbox can be made for \\${role}`)
    if ((await tx.get('SELECT id FROM mail_mailbox WHERE role = ?', role)) !== undefined)
      throw new StoreError('USEATTR', `Another mailbox is \\${role} already`)
  }
  const { modseq } = await tick(tx)
  const made = await make(tx, name, role ?? null, modseq, limits)
  announce(tx, undefined, modseq)
  const subscribed = (await tx.get('SELECT name FROM mail_subscription WHERE name = ?', name)) !== undefined
  return { id: made.id, name, subscribed, shares: await sharesAny(tx) }
})

/** Answers whether anybody else could use the mailbox. */
export const remove = write(async (tx, { name: wanted, visitor }: { name: string; visitor?: Visitor | undefined }) => {
  const name = canonicalName(wanted)
  const mailbox = await mailboxByName(tx, name)
  if (mailbox !== undefined) await demand(tx, mailbox.id, visitor, 'x')
  if (name === 'INBOX') throw new StoreError('CANNOT', 'INBOX cannot be deleted')
  if (mailbox === undefined) throw new StoreError('NONEXISTENT', 'There is no such mailbox')
  // Its rows go later, in small steps (sweep.ts): nobody finds them any more, and the number is never given again.
  await tx.run('INSERT INTO mail_deleted (mailbox) VALUES (?)', mailbox.id)
  await tx.run('DELETE FROM mail_packed WHERE mailbox = ?', mailbox.id)
  await tx.run('DELETE FROM mail_mailbox WHERE id = ?', mailbox.id)
  await changeTotals(tx, { octets: -mailbox.octets, messages: -mailbox.messages, mailboxes: -1 })
  const { modseq } = await tick(tx)
  announce(tx, mailbox.id, modseq)
  announce(tx, undefined, modseq)
  return forgetSharing(tx, mailbox.id)
})

export interface RenameOrder {
  readonly from: string
  readonly to: string
  readonly limits: Limits
  readonly visitor?: Visitor | undefined
}

/** Answers whether the account shares anything: mailboxes that were made above have access lists too. */
export const rename = write(async (tx, { from: wantedFrom, to: wantedTo, limits, visitor }: RenameOrder) => {
  const from = canonicalName(wantedFrom)
  const all = await allMailboxes(tx)
  const below = all.filter((mailbox) => mailbox.name.startsWith(`${from}/`))
  const source = all.find((mailbox) => mailbox.name === from)
  if (source === undefined && below.length === 0) throw new StoreError('NONEXISTENT', 'There is no such mailbox')
  const to = validName(wantedTo)
  if (visitor !== undefined) {
    // What is not there itself could not be given to anybody.
    if (source === undefined) throw new StoreError('NONEXISTENT', 'There is no such mailbox')
    await demand(tx, source.id, visitor, 'x')
    if (from === 'INBOX') throw new StoreError('CANNOT', 'Only the owner renames INBOX')
    await demandPlace(tx, to, visitor)
  }
  const names = new Set(all.map((mailbox) => mailbox.name))
  if (names.has(to)) throw new StoreError('ALREADYEXISTS', 'A mailbox of that name exists already')
  const { modseq } = await tick(tx)
  announce(tx, undefined, modseq)
  if (from === 'INBOX' && source !== undefined) {
    // RFC 9051 §6.3.6: the messages move, INBOX and what is below it stay.
    const made = await make(tx, to, null, modseq, limits)
    await moveRows(tx, source, made, undefined)
    // RFC 5464 §4.1: what is noted on INBOX goes along, and stays.
    await tx.run(
      'INSERT INTO mail_metadata (mailbox, holder, name, value) SELECT CAST(? AS BIGINT), holder, name, value FROM mail_metadata WHERE mailbox = ?',
      made.id,
      source.id,
    )
    return sharesAny(tx)
  }
  if (to.startsWith(`${from}/`)) throw new StoreError('CANNOT', 'A mailbox cannot move below itself')
  const moving = source === undefined ? below : [source, ...below]
  for (const mailbox of moving) names.delete(mailbox.name)
  for (const mailbox of moving) {
    const next = validName(to + mailbox.name.slice(from.length))
    // Below a name that is only a parent, a mailbox of the new name may be there already.
    if (names.has(next)) throw new StoreError('ALREADYEXISTS', 'A mailbox of that name exists already')
    await tx.run('UPDATE mail_mailbox SET name = ? WHERE id = ?', next, mailbox.id)
  }
  const missing = parents(to).filter((parent) => !names.has(parent))
  await haveRoom(tx, limits, { mailboxes: missing.length })
  for (const parent of missing) await makeMailbox(tx, parent, null, modseq)
  return sharesAny(tx)
})

export const subscribe = write(async (tx, { name: wanted, subscribed }: { name: string; subscribed: boolean }) => {
  const name = canonicalName(wanted)
  let changed: number
  if (subscribed) {
    validName(name)
    const count = await tx.get('SELECT count(*) FROM mail_subscription')
    if (Number(count?.[0]) >= MAX_SUBSCRIPTIONS)
      throw new StoreError('LIMIT', `No more than ${MAX_SUBSCRIPTIONS} subscriptions can be kept`)
    changed = await addSubscription(tx, name)
  } else {
    changed = await tx.run('DELETE FROM mail_subscription WHERE name = ?', name)
  }
  if (changed > 0) announce(tx, undefined, (await tick(tx)).modseq)
})

/** The mailbox of that name, its counts included. */
export const find = read(async (tx, { name }: { name: string }) => {
  const mailbox = await mailboxByName(tx, canonicalName(name))
  if (mailbox === undefined) throw new StoreError('NONEXISTENT', 'There is no such mailbox')
  return mailbox
})

/** What an owner who opens the mailbox is told. */
export const opening = read(async (tx, { name }: { name: string }) => {
  const mailbox = await mailboxByName(tx, canonicalName(name))
  if (mailbox === undefined) throw new StoreError('NONEXISTENT', 'There is no such mailbox')
  return { mailbox, keywords: await allKeywords(tx) }
})

/** The mailbox with that id, its counts included. */
export const get = read(async (tx, { mailbox }: { mailbox: number }) => mailboxById(tx, mailbox))

/** Notes that messages with UIDs below `upTo` are not \Recent any more. A mailbox that is gone needs no note. */
export const toldRecent = write(async (tx, { mailbox, upTo }: { mailbox: number; upTo: number }): Promise<void> => {
  await tx.run('UPDATE mail_mailbox SET recent_uid = ? WHERE id = ? AND recent_uid < ?', upTo, mailbox, upTo)
})
