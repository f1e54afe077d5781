// Operations that change which messages a mailbox has: delivery, APPEND, REPLACE, EXPUNGE, COPY, MOVE.

import { StoreError, write } from '../../store/contracts.ts'
import { insert, type NewMessage } from './insert.ts'
import { destinationByName, mailboxById } from './mailbox-rows.ts'
import { deliveryMailbox } from './mailbox-operations.ts'
import { canonicalName } from './names.ts'
import type { Limits } from './quota.ts'
import { copyRows, expungeOne, expungeRows, moveRows } from './transfer.ts'

/** APPEND of one or more messages: all or none. */
export const append = write(
  async (tx, { name, messages, limits }: { name: string; messages: readonly NewMessage[]; limits: Limits }) => {
    const mailbox = await destinationByName(tx, canonicalName(name))
    if (messages.length > 0) await insert(tx, mailbox, messages, limits)
    return { mailbox: mailbox.id, uidValidity: mailbox.uidValidity, firstUid: mailbox.uidNext }
  },
)

/** Where a delivery went. */
export interface Placed {
  readonly mailbox: number
  readonly uid: number
}

export interface DeliveryOrder {
  readonly mailbox: string
  readonly deliveryId: string
  readonly message: NewMessage
  readonly limits: Limits
}

/** Puts one message into a mailbox, once for each delivery id. */
export const deliver = write(
  async (tx, { mailbox: name, deliveryId, message, limits }: DeliveryOrder): Promise<Placed> => {
    const done = await tx.get('SELECT mailbox, uid FROM mail_delivery WHERE id = ?', deliveryId)
    if (done !== undefined) return { mailbox: Number(done[0]), uid: Number(done[1]) }
    const mailbox = await deliveryMailbox(tx, name)
    const uid = await insert(tx, mailbox, [message], limits)
    await tx.run(
      'INSERT INTO mail_delivery (id, at, mailbox, uid) VALUES (?, ?, ?, ?)',
      deliveryId,
      tx.now,
      mailbox.id,
      uid,
    )
    return { mailbox: mailbox.id, uid }
  },
)

export const expunge = write(async (tx, { mailbox, uids }: { mailbox: number; uids: Uint32Array }) =>
  expungeRows(tx, await mailboxById(tx, mailbox), uids),
)

export interface ReplaceOrder {
  readonly mailbox: number
  readonly uid: number
  readonly destination: string
  readonly message: NewMessage
  readonly limits: Limits
}

/** REPLACE (RFC 8508): the new message in `destination`, the old one gone, in one change. */
export const replace = write(async (tx, { mailbox, uid, destination, message, limits }: ReplaceOrder) => {
  const from = await mailboxById(tx, mailbox)
  const to = await destinationByName(tx, canonicalName(destination))
  const old = await tx.get('SELECT size FROM mail_message WHERE mailbox = ? AND uid = ?', mailbox, uid)
  if (old === undefined) throw new StoreError('EXPUNGEISSUED', 'The message is expunged already')
  const firstUid = await insert(tx, to, [message], limits, { octets: Number(old[0]), messages: 1 })
  await expungeOne(tx, from, uid)
  return { uidValidity: to.uidValidity, firstUid }
})

export interface TransferOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly destination: string
}

export const copy = write(
  async (tx, { mailbox, uids, destination, limits }: TransferOrder & { readonly limits: Limits }) => {
    const from = await mailboxById(tx, mailbox)
    return copyRows(tx, from, await destinationByName(tx, canonicalName(destination)), uids, limits)
  },
)

/** Never fails on quota: nothing grows. */
export const move = write(async (tx, { mailbox, uids, destination }: TransferOrder) => {
  const from = await mailboxById(tx, mailbox)
  return moveRows(tx, from, await destinationByName(tx, canonicalName(destination)), uids)
})
