// Operations that change messages: delivery, APPEND, STORE, EXPUNGE, COPY, MOVE.

import type { FlagChange, FlagSet } from '@aviso/imap'
import { StoreError, type Transaction, write } from '../../store/contracts.ts'
import { tick } from './clock.ts'
import { type Columns, ColumnsBuilder } from './columns.ts'
import { applyFlags, FlagSets, type StoredFlagSet } from './flags.ts'
import { insert, type NewMessage } from './insert.ts'
import { changeMailbox, count, destinationByName, mailboxById, noGrowth } from './mailbox-rows.ts'
import { deliveryMailbox } from './mailbox-operations.ts'
import { canonicalName } from './names.ts'
import type { Limits } from './quota.ts'
import { copyRows, expungeOne, expungeRows, moveRows } from './transfer.ts'
import { spans } from './uids.ts'

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

/** With more flag sets than this in one stretch, rows are changed one by one: each set would cost a pass over the stretch. */
const SETS_AT_ONCE = 12

export interface StoreOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly action: FlagChange['action']
  readonly flags: FlagSet
  readonly unchangedSince: number | undefined
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
        change = { old, next: await sets.intern(applyFlags(old.flags, order.action, given)) }
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
