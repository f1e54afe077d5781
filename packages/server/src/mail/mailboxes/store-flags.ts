// STORE: flags of any number of messages, as one change.

import type { FlagChange, FlagSet } from '@aviso/imap'
import { type SqlRow, StoreError, type Transaction, write } from '../../store/contracts.ts'
import { tick } from './clock.ts'
import { type Columns, ColumnsBuilder } from './columns.ts'
import { applyFlags, FlagSets, type StoredFlagSet } from './flags.ts'
import { changeMailbox, count, mailboxById, noGrowth } from './mailbox-rows.ts'
import { maskFlags, mayFlag, rightsOf, type Visitor } from './sharing/rights.ts'
import { type Span, spans } from './uids.ts'

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
    const changes = new Stretches()
    const apart = isSparse(span)
    let at = span.start
    for (const row of await rowsOf(tx, mailbox.id, order.uids, span, apart)) {
      const [uid = 0, flagset = 0, rowModseq = 0, size = 0, internalDate = 0, zone = 0] = row as readonly number[]
      while ((order.uids[at] ?? Infinity) < uid) at++
      const chosen = order.uids[at] === uid
      const failed = chosen && order.unchangedSince !== undefined && rowModseq > order.unchangedSince
      if (failed) modified.push(uid)
      if (!chosen || failed) {
        changes.interrupt()
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
      // Where each row was named, nobody knows what lies between.
      if (apart) changes.alone(uid, change.next.id)
      else changes.add(uid, flagset, change.next.id)
    }
    await changes.write(tx, mailbox.id, modseq)
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

/** UIDs that one statement names. */
const NAMED = 64
const NAMES = Array.from({ length: NAMED }, () => '?').join(', ')

/** The list in pieces of NAMED; the last one is filled up with its last UID. */
function* pieces(uids: ArrayLike<number>): Generator<readonly number[]> {
  for (let at = 0; at < uids.length; at += NAMED) {
    const last = Math.min(at + NAMED, uids.length) - 1
    yield Array.from({ length: NAMED }, (_, i) => uids[Math.min(at + i, last)] ?? 0)
  }
}

/** True where so few rows of a span are wanted that naming each is quicker than reading all. */
const isSparse = (span: Span): boolean => {
  const wanted = span.end - span.start
  return wanted >= NAMED && (span.last - span.first + 1) / wanted >= 3
}

/** The rows of a span; those between too, unless each is named. */
async function rowsOf(
  tx: Transaction,
  mailbox: number,
  uids: Uint32Array,
  span: Span,
  named: boolean,
): Promise<readonly SqlRow[]> {
  if (!named)
    return tx.all(
      'SELECT uid, flagset, modseq, size, internal_date, zone FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid',
      mailbox,
      span.first,
      span.last,
    )
  const rows: SqlRow[] = []
  for (const piece of pieces(uids.subarray(span.start, span.end)))
    rows.push(
      ...(await tx.all(
        `SELECT uid, flagset, modseq, size, internal_date, zone FROM mail_message WHERE mailbox = ? AND uid IN (${NAMES}) ORDER BY uid`,
        mailbox,
        ...piece,
      )),
    )
  return rows
}

/** Rows of one old flag set that follow one another with none between that is spared: one statement changes them. */
interface Stretch {
  readonly uids: number[]
  readonly old: number
  readonly next: number
}

/** Below this many rows a stretch is not worth a statement of its own. */
const LONG = 16

/** What is to be written in one span. */
class Stretches {
  /** By old flag set: those that may still grow. */
  #open = new Map<number, Stretch>()
  readonly #long: Stretch[] = []
  /** UIDs of short stretches, by the flag set that they get. */
  readonly #short = new Map<number, number[]>()

  add(uid: number, old: number, next: number): void {
    const stretch = this.#open.get(old)
    if (stretch === undefined) this.#open.set(old, { uids: [uid], old, next })
    else stretch.uids.push(uid)
  }

  alone(uid: number, next: number): void {
    const list = this.#short.get(next)
    if (list === undefined) this.#short.set(next, [uid])
    else list.push(uid)
  }

  /** A row that is spared lies here. */
  interrupt(): void {
    if (this.#open.size === 0) return
    for (const stretch of this.#open.values()) {
      // Each set of a stretch costs a pass over all of it.
      if (stretch.uids.length >= LONG * this.#open.size) this.#long.push(stretch)
      else for (const uid of stretch.uids) this.alone(uid, stretch.next)
    }
    this.#open = new Map()
  }

  async write(tx: Transaction, mailbox: number, modseq: number): Promise<void> {
    this.interrupt()
    for (const { uids, old, next } of this.#long)
      // `modseq <` keeps a row that this very STORE gave the set `old` a moment ago.
      await tx.run(
        'UPDATE mail_message SET flagset = ?, modseq = ? WHERE mailbox = ? AND uid BETWEEN ? AND ? AND flagset = ? AND modseq < ?',
        next,
        modseq,
        mailbox,
        uids[0] ?? 0,
        uids.at(-1) ?? 0,
        old,
        modseq,
      )
    for (const [next, uids] of this.#short)
      for (const piece of pieces(uids))
        await tx.run(
          `UPDATE mail_message SET flagset = ?, modseq = ? WHERE mailbox = ? AND uid IN (${NAMES})`,
          next,
          modseq,
          mailbox,
          ...piece,
        )
  }
}
