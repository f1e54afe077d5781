// Operations that change which messages a mailbox has: delivery, APPEND, REPLACE, EXPUNGE, COPY, MOVE.

import type { MailboxRole } from '@aviso/imap'
import { StoreError, type Transaction, write } from '../../store/contracts.ts'
import { FlagBlocks } from './flag-blocks.ts'
import { FlagSets } from './flags.ts'
import { insert, type NewMessage } from './insert.ts'
import { changeMailbox, count, destinationByName, mailboxById, type MailboxRow, noGrowth } from './mailbox-rows.ts'
import { deliveryMailbox, knownMailbox } from './mailbox-operations.ts'
import type { Bounds } from './message-sizes.ts'
import { canonicalName, validName } from './names.ts'
import type { Limits } from './quota.ts'
import { allowedFlags, demand, type Visitor } from './sharing/rights.ts'
import { copyRows, expungeOne, expungeRows, moveRows } from './transfer.ts'

/** The mailbox that messages are to go to; what it lets the visitor flag. */
async function destination(
  tx: Transaction,
  name: string,
  visitor: Visitor | undefined,
): Promise<{ readonly mailbox: MailboxRow; readonly rights: string }> {
  const mailbox = await destinationByName(tx, canonicalName(name))
  return { mailbox, rights: await demand(tx, mailbox.id, visitor, 'i', 'TRYCREATE') }
}

const allowed = (rights: string, message: NewMessage): NewMessage => ({
  ...message,
  flags: allowedFlags(rights, message.flags),
})

export interface AppendOrder {
  readonly name: string
  readonly messages: readonly NewMessage[]
  readonly limits: Bounds
  readonly visitor?: Visitor | undefined
}

/** APPEND of one or more messages: all or none. */
export const append = write(async (tx, { name, messages, limits, visitor }: AppendOrder) => {
  const { mailbox, rights } = await destination(tx, name, visitor)
  const kept = messages.map((message) => allowed(rights, message))
  if (kept.length > 0) await insert(tx, mailbox, kept, limits)
  return { mailbox: mailbox.id, uidValidity: mailbox.uidValidity, firstUid: mailbox.uidNext }
})

/** Where a delivery went. */
export interface Placed {
  readonly mailbox: number
  readonly uid: number
}

export interface DeliveryOrder {
  readonly mailbox: string
  /** The mailbox of this role goes before the one of that name. */
  readonly role?: MailboxRole | undefined
  readonly deliveryId: string
  readonly message: NewMessage
  readonly limits: Bounds
}

/** Puts one message into a mailbox, once for each delivery id. */
export const deliver = write(
  async (tx, { mailbox: name, role, deliveryId, message, limits }: DeliveryOrder): Promise<Placed> => {
    const known = await knownMailbox(tx, validName(name), role)
    // A mailbox that was deleted since is not made again for what it had got.
    const before = known === undefined ? await delivered(tx, deliveryId) : undefined
    if (before !== undefined) return before
    const mailbox = known ?? (await deliveryMailbox(tx, name, role))
    const fresh = await tx.run(
      'INSERT INTO mail_delivery (id, at, mailbox, uid) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING',
      deliveryId,
      tx.now,
      mailbox.id,
      mailbox.uidNext,
    )
    const done = fresh === 0 ? await delivered(tx, deliveryId) : undefined
    if (done !== undefined) return done
    return { mailbox: mailbox.id, uid: await insert(tx, mailbox, [message], limits) }
  },
)

async function delivered(tx: Transaction, deliveryId: string): Promise<Placed | undefined> {
  const row = await tx.get('SELECT mailbox, uid FROM mail_delivery WHERE id = ?', deliveryId)
  return row && { mailbox: Number(row[0]), uid: Number(row[1]) }
}

export interface ExpungeOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly visitor?: Visitor | undefined
}

export const expunge = write(async (tx, { mailbox, uids, visitor }: ExpungeOrder) => {
  await demand(tx, mailbox, visitor, 'e')
  return expungeRows(tx, await mailboxById(tx, mailbox), uids)
})

/** Takes messages out, flagged \\Deleted or not: they have gone to another account. Those that are gone already are passed over. */
export const discard = write(async (tx, { mailbox, uids, visitor }: ExpungeOrder): Promise<void> => {
  await demand(tx, mailbox, visitor, 'te')
  const from = await mailboxById(tx, mailbox)
  for (const uid of uids) {
    try {
      await expungeOne(tx, from, uid)
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'EXPUNGEISSUED') throw error
    }
  }
})

export interface ReplaceOrder {
  readonly mailbox: number
  readonly uid: number
  readonly destination: string
  readonly message: NewMessage
  readonly limits: Bounds
  readonly visitor?: Visitor | undefined
}

/** REPLACE (RFC 8508): the new message in `destination`, the old one gone, in one change. */
export const replace = write(async (tx, order: ReplaceOrder) => {
  const { mailbox, uid, message, limits, visitor } = order
  const from = await mailboxById(tx, mailbox)
  const { mailbox: to, rights } = await destination(tx, order.destination, visitor)
  await demand(tx, from.id, visitor, 'te')
  const old = await tx.get('SELECT size FROM mail_message WHERE mailbox = ? AND uid = ?', mailbox, uid)
  if (old === undefined) throw new StoreError('EXPUNGEISSUED', 'The message is expunged already')
  const firstUid = await insert(tx, to, [allowed(rights, message)], limits, { octets: Number(old[0]), messages: 1 })
  await expungeOne(tx, from, uid)
  return { uidValidity: to.uidValidity, firstUid }
})

export interface TransferOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly destination: string
  readonly visitor?: Visitor | undefined
}

export const copy = write(async (tx, order: TransferOrder & { readonly limits: Limits }) => {
  const from = await mailboxById(tx, order.mailbox)
  await demand(tx, from.id, order.visitor, 'r')
  const { mailbox: to, rights } = await destination(tx, order.destination, order.visitor)
  const copied = await copyRows(tx, from, to, order.uids, order.limits)
  await restrictFlags(tx, to.id, copied.destination, rights)
  return copied
})

/** Never fails on quota: nothing grows. */
export const move = write(async (tx, order: TransferOrder) => {
  const from = await mailboxById(tx, order.mailbox)
  await demand(tx, from.id, order.visitor, 'rte')
  const { mailbox: to, rights } = await destination(tx, order.destination, order.visitor)
  const moved = await moveRows(tx, from, to, order.uids)
  await restrictFlags(tx, to.id, moved.destination, rights)
  return moved
})

/** Of messages that this transaction has just put into the mailbox (UIDs without a gap), takes the flags that the rights do not let them have. */
async function restrictFlags(tx: Transaction, mailbox: number, uids: Uint32Array, rights: string): Promise<void> {
  const first = uids[0]
  const last = uids.at(-1)
  if (first === undefined || last === undefined || ['s', 't', 'w'].every((right) => rights.includes(right))) return
  const { modseq } = await mailboxById(tx, mailbox)
  const sets = new FlagSets(tx)
  const blocks = new FlagBlocks(tx, mailbox)
  await blocks.load(first, last)
  const growth = noGrowth()
  for (const row of await tx.all(
    'SELECT uid, flagset, size FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid',
    mailbox,
    first,
    last,
  )) {
    const [uid = 0, flagset = 0, size = 0] = row as readonly number[]
    const old = await sets.byId(blocks.flagset(uid, flagset))
    const next = await sets.intern(allowedFlags(rights, old.flags))
    if (next.id === old.id) continue
    count(growth, old, size, -1)
    count(growth, next, size, 1)
    blocks.set(uid, next.id, modseq)
  }
  await blocks.write(modseq)
  await changeMailbox(tx, mailbox, modseq, growth)
}
