// STORE: flags of any number of messages, as one change.

import type { FlagChange, FlagSet } from '@aviso/imap'
import { StoreError, type Transaction, write } from '../../store/contracts.ts'
import { tick } from './clock.ts'
import { type Columns, ColumnsBuilder, rowsOfUids } from './columns.ts'
import { FlagBlocks } from './flag-blocks.ts'
import { applyFlags, FlagSets, type StoredFlagSet } from './flags.ts'
import { changeMailbox, count, mailboxById, type MailboxRow, noGrowth } from './mailbox-rows.ts'
import { rowsInSpans } from './message-rows.ts'
import { maskFlags, mayFlag, rightsOf, type Visitor } from './sharing/rights.ts'
import { spans } from './uids.ts'

/** All rows of a mailbox as they were at `modseq`. Where that is still the mailbox's, nothing need be read to know what a STORE meets. */
export interface KnownRows {
  readonly modseq: number
  /** Flag sets are indexes into `sets`. */
  readonly columns: Columns
  /** Ids of flag sets. */
  readonly sets: readonly number[]
}

export interface StoreOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly action: FlagChange['action']
  readonly flags: FlagSet
  readonly unchangedSince: number | undefined
  readonly visitor?: Visitor | undefined
  readonly known?: KnownRows | undefined
}

export interface StoreOutcome {
  readonly rows: Columns
  readonly sets: readonly (readonly [id: number, flags: FlagSet])[]
  readonly modified: Uint32Array
  /** The mailbox's modseq before this change, and after it. */
  readonly before: number
  readonly highestModseq: number
}

interface SetChange {
  readonly old: StoredFlagSet
  readonly next: StoredFlagSet
}

export const storeFlags = write(async (tx, order: StoreOrder): Promise<StoreOutcome> => {
  const mailbox = await mailboxById(tx, order.mailbox)
  const rights = await rightsOf(tx, mailbox.id, order.visitor)
  // RFC 4314 §4: what may be changed is; refused is only what changes nothing.
  if (order.visitor !== undefined && !changesAny(rights, order))
    throw new StoreError('NOPERM', 'The owner of the mailbox has not given the right to change these flags')
  const sets = new FlagSets(tx)
  const given = await sets.canonical(order.flags, order.action !== 'remove')
  const becomes = new Map<number, SetChange>()
  const rows = new ColumnsBuilder(order.uids.length)
  const modified: number[] = []
  const growth = noGrowth()
  const blocks = new FlagBlocks(tx, mailbox.id)
  let modseq = 0
  const changeOf = async (flagset: number): Promise<SetChange> => {
    const old = await sets.byId(flagset)
    const flags = maskFlags(rights, old.flags, applyFlags(old.flags, order.action, given))
    const change = { old, next: await sets.intern(flags) }
    becomes.set(flagset, change)
    return change
  }
  for await (const { columns, names } of messagesMet(tx, blocks, mailbox, order)) {
    const { uids, flagsets, modseqs, sizes, internalDates, zones } = columns
    for (let i = 0; i < uids.length; i++) {
      const [uid, rowModseq, size] = [uids[i] ?? 0, modseqs[i] ?? 0, sizes[i] ?? 0]
      const [internalDate, zone] = [internalDates[i] ?? 0, zones[i] ?? 0]
      const flagset = names === undefined ? (flagsets[i] ?? 0) : (names[flagsets[i] ?? 0] ?? 0)
      if (order.unchangedSince !== undefined && rowModseq > order.unchangedSince) {
        modified.push(uid)
        continue
      }
      const change = becomes.get(flagset) ?? (await changeOf(flagset))
      if (change.next.id === flagset) {
        rows.push(uid, flagset, rowModseq, size, internalDate, zone)
        continue
      }
      if (modseq === 0) modseq = (await tick(tx)).modseq
      count(growth, change.old, size, -1)
      count(growth, change.next, size, 1)
      rows.push(uid, change.next.id, modseq, size, internalDate, zone)
      blocks.set(uid, change.next.id, modseq)
    }
    await blocks.write(modseq)
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

/** Rows as they are now, ascending by UID. */
interface Met {
  readonly columns: Columns
  /** The flag sets that the columns' are indexes into; undefined: they are ids. */
  readonly names: readonly number[] | undefined
}

/** The messages that the order is about, span by span; the blocks of the span are loaded meanwhile. */
async function* messagesMet(
  tx: Transaction,
  blocks: FlagBlocks,
  mailbox: MailboxRow,
  { uids, known }: StoreOrder,
): AsyncGenerator<Met> {
  if (known?.modseq === mailbox.modseq) {
    for (const span of spans(uids)) {
      await blocks.load(span.first, span.last)
      yield { columns: rowsOfUids(known.columns, uids.subarray(span.start, span.end)), names: known.sets }
    }
    return
  }
  for await (const { span, rows } of rowsInSpans(tx, mailbox.id, uids)) {
    await blocks.load(span.first, span.last)
    const met = new ColumnsBuilder(rows.length)
    let at = span.start
    for (const row of rows) {
      const [uid = 0, flagset = 0, modseq = 0, size = 0, internalDate = 0, zone = 0] = row as readonly number[]
      while ((uids[at] ?? Infinity) < uid) at++
      if (uids[at] === uid)
        met.push(uid, blocks.flagset(uid, flagset), blocks.modseq(uid, modseq), size, internalDate, zone)
    }
    yield { columns: met.finish(), names: undefined }
  }
}
