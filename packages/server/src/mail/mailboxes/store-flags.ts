// STORE: flags of any number of messages, as one change.

import type { FlagChange, FlagSet } from '@aviso/imap'
import { StoreError, type Transaction, write } from '../../store/contracts.ts'
import { tick } from './clock.ts'
import { type Columns, ColumnsBuilder, distinct, rowsOfUids, translate } from './columns.ts'
import { FlagBlocks } from './flag-blocks.ts'
import { applyFlags, FlagSets, type StoredFlagSet } from './flags.ts'
import { changeMailbox, type Growth, mailboxById, type MailboxRow, noGrowth, recount } from './mailbox-rows.ts'
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

async function store(tx: Transaction, order: StoreOrder): Promise<StoreOutcome> {
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
  for await (const met of messagesMet(tx, blocks, mailbox, order)) {
    const columns = order.unchangedSince === undefined ? met : unchanged(met, order.unchangedSince, modified)
    let changes = false
    for (const id of distinct(columns.flagsets))
      if ((becomes.get(id) ?? (await changeOf(id))).next.id !== id) changes = true
    if (!changes) {
      rows.append(columns)
      continue
    }
    if (modseq === 0) modseq = (await tick(tx)).modseq
    const flagsets = translate(columns.flagsets, new Map([...becomes].map(([id, { next }]) => [id, next.id])))
    recountAll(growth, columns, becomes)
    blocks.setAll(columns.uids, columns.flagsets, flagsets, modseq)
    rows.append({ ...columns, flagsets, modseqs: modseqsAfter(columns, flagsets, modseq) })
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
}

export const storeFlags = write(store, { needed: (order) => ({ ...order, known: undefined }) })

const changesAny = (rights: string, { action, flags }: StoreOrder): boolean =>
  action === 'set' ? /[stw]/.test(rights) : flags.some((flag) => mayFlag(rights, flag))

// What follows goes over many rows, each loop by itself and with nothing to wait for: that is compiled soonest.

/** The rows that have not changed since `since`; the UIDs of the others are added to `modified`. */
function unchanged(columns: Columns, since: number, modified: number[]): Columns {
  const { uids, flagsets, modseqs, sizes, internalDates, zones } = columns
  if (modseqs.every((modseq) => modseq <= since)) return columns
  const left = new ColumnsBuilder(uids.length)
  for (let i = 0; i < uids.length; i++) {
    const [uid, modseq] = [uids[i] ?? 0, modseqs[i] ?? 0]
    if (modseq > since) modified.push(uid)
    else left.push(uid, flagsets[i] ?? 0, modseq, sizes[i] ?? 0, internalDates[i] ?? 0, zones[i] ?? 0)
  }
  return left.finish()
}

/** Counts what the rows are after the change and were not before. */
function recountAll(growth: Growth, { flagsets, sizes }: Columns, becomes: ReadonlyMap<number, SetChange>): void {
  const counts = new Map<number, { rows: number; octets: number }>()
  for (const [id, { old, next }] of becomes)
    if (old.seen !== next.seen || old.deleted !== next.deleted) counts.set(id, { rows: 0, octets: 0 })
  if (counts.size === 0) return
  for (let i = 0; i < flagsets.length; i++) {
    const sum = counts.get(flagsets[i] ?? 0)
    if (sum === undefined) continue
    sum.rows++
    sum.octets += sizes[i] ?? 0
  }
  for (const [id, sum] of counts) {
    const change = becomes.get(id)
    if (change !== undefined) recount(growth, change.old, change.next, sum)
  }
}

/** The rows' mod-sequences once they have `flagsets`. */
function modseqsAfter(columns: Columns, flagsets: Uint32Array, modseq: number): Float64Array {
  const modseqs = new Float64Array(columns.modseqs)
  for (let i = 0; i < modseqs.length; i++) if (flagsets[i] !== columns.flagsets[i]) modseqs[i] = modseq
  return modseqs
}

/** The messages that the order is about as they are now, span by span, ascending by UID; the blocks of the span are loaded meanwhile. Flag sets are ids. */
async function* messagesMet(
  tx: Transaction,
  blocks: FlagBlocks,
  mailbox: MailboxRow,
  { uids, known }: StoreOrder,
): AsyncGenerator<Columns> {
  if (known?.modseq === mailbox.modseq) {
    const names = new Map(known.sets.entries())
    for (const span of spans(uids)) {
      await blocks.load(span.first, span.last)
      const columns = rowsOfUids(known.columns, uids.subarray(span.start, span.end))
      yield { ...columns, flagsets: translate(columns.flagsets, names) }
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
    yield met.finish()
  }
}
