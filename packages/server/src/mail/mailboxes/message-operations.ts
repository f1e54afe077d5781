// Operations that change messages: delivery, APPEND, STORE, EXPUNGE, COPY, MOVE.

import type { FlagChange, FlagSet } from '@aviso/imap'
import { StoreError, type Transaction, write } from '../../store/contracts.ts'
import { tick } from './clock.ts'
import { type Columns, ColumnsBuilder } from './columns.ts'
import { applyFlags, FlagSets, type StoredFlagSet } from './flags.ts'
import { insert, type NewMessage } from './insert.ts'
import { changeMailbox, count, destinationByName, mailboxById, type MailboxRow, noGrowth } from './mailbox-rows.ts'
import { deliveryMailbox } from './mailbox-operations.ts'
import { canonicalName } from './names.ts'
import type { Limits } from './quota.ts'
import { allowedFlags, demand, maskFlags, mayFlag, rightsOf, type Visitor } from './sharing/rights.ts'
import { copyRows, expungeOne, expungeRows, moveRows } from './transfer.ts'
import { spans } from './uids.ts'

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
  readonly limits: Limits
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

/** With more flag sets than this in one stretch, rows are changed one by one: each set would cost a pass over the stretch. */
const SETS_AT_ONCE = 12

export interface StoreOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly action: FlagChange['action']
  readonly flags: FlagSet
  readonly unchangedSince: number | undefined
  readonly visitor?: Visitor | undefined
}

export interface StoreOutcome {
  readonly rows: Columns
  readonly sets: readonly (readonly [id: number, flags: FlagSet])[]
  readonly modified: Uint32Array
  /** The mailbox's modseq before this change, and after it. */
  readonly before: number
  readonly highestModseq: number
}

/** STORE, all of it one change. */
export const storeFlags = write(async (tx, order: StoreOrder): Promise<StoreOutcome> => {
  const mailbox = await mailboxById(tx, order.mailbox)
  const rights = await rightsOf(tx, mailbox.id, order.visitor)
  // RFC 4314 §4: what may be changed is; refused is only what changes nothing.
  if (order.visitor !== undefined && !changesAny(rights, order))
    throw new StoreError('NOPERM', 'The owner of the mailbox has not given the right to change these flags')
  const sets = new FlagSets(tx)
  const given = await sets.canonical(order.flags, order.action !== 'remove')
  const becomes = new Map<number, { readonly old: StoredFlagSet; readonly next: StoredFlagSet }>()
  const rows = new ColumnsBuilder(order.uids.length)
  const modified: number[] = []
  const growth = noGrowth()
  let modseq = 0
  for (const span of spans(order.uids)) {
    let at = span.start
    /** UIDs to change by their old flag set, of a stretch of rows in which every row is chosen. */
    let stretch = new Map<number, number[]>()
    const stretches = [stretch]
    for (const row of await tx.all(
      'SELECT uid, flagset, modseq, size, internal_date, zone FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid',
      mailbox.id,
      span.first,
      span.last,
    )) {
      const [uid = 0, flagset = 0, rowModseq = 0, size = 0, internalDate = 0, zone = 0] = row as readonly number[]
      while ((order.uids[at] ?? Infinity) < uid) at++
      const chosen = order.uids[at] === uid
      const failed = chosen && order.unchangedSince !== undefined && rowModseq > order.unchangedSince
      if (failed) modified.push(uid)
      if (!chosen || failed) {
        if (stretch.size > 0) stretches.push((stretch = new Map()))
        continue
      }
      let change = becomes.get(flagset)
      if (change === undefined) {
        const old = await sets.byId(flagset)
        change = {
          old,
          next: await sets.intern(maskFlags(rights, old.flags, applyFlags(old.flags, order.action, given))),
        }
        becomes.set(flagset, change)
      }
      if (change.next.id === flagset) {
        rows.push(uid, flagset, rowModseq, size, internalDate, zone)
        continue
      }
      if (modseq === 0) modseq = (await tick(tx)).modseq
      count(growth, change.old, size, -1)
      count(growth, change.next, size, 1)
      rows.push(uid, change.next.id, modseq, size, internalDate, zone)
      const list = stretch.get(flagset)
      if (list === undefined) stretch.set(flagset, [uid])
      else list.push(uid)
    }
    for (const done of stretches)
      await changeStretch(tx, mailbox.id, done, (flagset) => becomes.get(flagset)?.next.id ?? 0, modseq)
  }
  if (modseq > 0) await changeMailbox(tx, mailbox.id, modseq, growth)
  const finished = rows.finish()
  return {
    rows: finished,
    sets: await Promise.all(
      [...new Set(finished.flagsets)].map(async (id) => [id, (await sets.byId(id)).flags] as const),
    ),
    modified: Uint32Array.from(modified),
    before: mailbox.modseq,
    highestModseq: modseq > 0 ? modseq : mailbox.modseq,
  }
})

const changesAny = (rights: string, { action, flags }: StoreOrder): boolean =>
  action === 'set' ? /[stw]/.test(rights) : flags.some((flag) => mayFlag(rights, flag))

async function changeStretch(
  tx: Transaction,
  mailbox: number,
  stretch: ReadonlyMap<number, readonly number[]>,
  next: (flagset: number) => number,
  modseq: number,
): Promise<void> {
  for (const [flagset, uids] of stretch) {
    if (stretch.size <= SETS_AT_ONCE || uids.length === 1)
      // `modseq <` keeps a row that this very STORE gave the set `flagset` a moment ago.
      await tx.run(
        'UPDATE mail_message SET flagset = ?, modseq = ? WHERE mailbox = ? AND uid BETWEEN ? AND ? AND flagset = ? AND modseq < ?',
        next(flagset),
        modseq,
        mailbox,
        uids[0] ?? 0,
        uids.at(-1) ?? 0,
        flagset,
        modseq,
      )
    else
      for (const uid of uids)
        await tx.run(
          'UPDATE mail_message SET flagset = ?, modseq = ? WHERE mailbox = ? AND uid = ?',
          next(flagset),
          modseq,
          mailbox,
          uid,
        )
  }
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
  readonly limits: Limits
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
  const sets = new FlagSets(tx)
  const growth = noGrowth()
  for (const [id = 0, messages = 0, octets = 0] of await tx.all(
    'SELECT flagset, count(*), sum(size) FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ? GROUP BY flagset',
    mailbox,
    first,
    last,
  )) {
    const old = await sets.byId(Number(id))
    const next = await sets.intern(allowedFlags(rights, old.flags))
    if (next.id === old.id) continue
    if (old.seen && !next.seen) growth.unseen += Number(messages)
    if (old.deleted && !next.deleted) {
      growth.deleted -= Number(messages)
      growth.deletedOctets -= Number(octets)
    }
    await tx.run(
      'UPDATE mail_message SET flagset = ? WHERE mailbox = ? AND uid BETWEEN ? AND ? AND flagset = ?',
      next.id,
      mailbox,
      first,
      last,
      old.id,
    )
  }
  await changeMailbox(tx, mailbox, (await mailboxById(tx, mailbox)).modseq, growth)
}
