// Messages that move between mailboxes or leave: COPY, MOVE, EXPUNGE, and what stays behind for those who have not been told.

import { StoreError, type Transaction } from '../../store/contracts.ts'
import { tick } from './clock.ts'
import { FlagBlocks } from './flag-blocks.ts'
import { FlagSets } from './flags.ts'
import { changeMailbox, count, haveUids, type MailboxRow, noGrowth } from './mailbox-rows.ts'
import { haveRoom, type Limits } from './quota.ts'
import { MESSAGE_COLUMNS, rowsOf } from './message-rows.ts'
import { consecutive, NAMES, pieces, type Run, spans } from './uids.ts'

/** Rows chosen by their UIDs, ascending. */
interface Chosen {
  readonly uids: number[]
  readonly emails: number[]
  /** As they are now. */
  readonly flagsets: number[]
  /** Indexes of rows whose flags changed since they came. */
  readonly changed: number[]
  readonly sizes: number[]
  /** The same rows in stretches with no other row between, so that one statement serves each. */
  readonly runs: Run[]
}

const PAGE = 8192

/** The rows of `mailbox` among `wanted`; all rows where that is undefined. */
async function choose(tx: Transaction, mailbox: number, wanted: Uint32Array | undefined): Promise<Chosen> {
  const chosen: Chosen = { uids: [], emails: [], flagsets: [], changed: [], sizes: [], runs: [] }
  const blocks = new FlagBlocks(tx, mailbox)
  const take = async (rows: readonly (readonly unknown[])[], from: number): Promise<void> => {
    if (rows.length === 0) return
    await blocks.load(Number(rows[0]?.[0]), Number(rows.at(-1)?.[0]))
    let at = from
    let run: Run | undefined
    for (const row of rows) {
      const [uid = 0, flagset = 0, email = 0, size = 0] = row as readonly number[]
      if (wanted !== undefined) {
        while ((wanted[at] ?? Infinity) < uid) at++
        if (wanted[at] !== uid) {
          run = undefined
          continue
        }
      }
      const now = blocks.flagset(uid, flagset)
      if (now !== flagset) chosen.changed.push(chosen.uids.length)
      chosen.uids.push(uid)
      chosen.flagsets.push(now)
      chosen.emails.push(email)
      chosen.sizes.push(size)
      if (run === undefined) chosen.runs.push((run = { first: uid, last: uid, rows: 1 }))
      else {
        run.last = uid
        run.rows++
      }
    }
  }
  if (wanted !== undefined) {
    for (const span of spans(wanted))
      await take(
        await tx.all(
          'SELECT uid, flagset, email, size FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid',
          mailbox,
          span.first,
          span.last,
        ),
        span.start,
      )
    return chosen
  }
  for (let last = 0; ;) {
    const rows = await tx.all(
      'SELECT uid, flagset, email, size FROM mail_message WHERE mailbox = ? AND uid > ? ORDER BY uid LIMIT ?',
      mailbox,
      last,
      PAGE,
    )
    await take(rows, 0)
    if (rows.length < PAGE) return chosen
    last = Number(rows.at(-1)?.[0])
  }
}

/** Counts one reference more on the email of every chosen row. */
async function refer(tx: Transaction, mailbox: number, chosen: Chosen): Promise<void> {
  const counts = new Map<number, number>()
  for (const email of chosen.emails) counts.set(email, (counts.get(email) ?? 0) + 1)
  if (counts.size < chosen.emails.length || chosen.runs.length > chosen.emails.length / 2) {
    for (const [email, references] of counts)
      await tx.run('UPDATE mail_email SET refcount = refcount + ? WHERE id = ?', references, email)
    return
  }
  for (const { first, last } of chosen.runs)
    await tx.run(
      'UPDATE mail_email SET refcount = refcount + 1 WHERE id IN (SELECT email FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ?)',
      mailbox,
      first,
      last,
    )
}

/** Source and destination UIDs, pairwise, ascending by source. */
export interface Transferred {
  /** Where they went. */
  readonly mailbox: number
  readonly uidValidity: number
  readonly source: Uint32Array
  readonly destination: Uint32Array
}

async function copyChosen(
  tx: Transaction,
  from: MailboxRow,
  to: MailboxRow,
  chosen: Chosen,
  modseq: number,
): Promise<Transferred> {
  haveUids(to, chosen.uids.length)
  await refer(tx, from.id, chosen)
  let uid = to.uidNext - 1
  for (const { first, last, rows } of chosen.runs) {
    await tx.run(
      `INSERT INTO mail_message (mailbox, uid, modseq, flagset, email, size, internal_date, zone, saved_at)
       SELECT CAST(? AS BIGINT), CAST(? AS BIGINT) + row_number() OVER (ORDER BY uid), CAST(? AS BIGINT), flagset, email, size, internal_date, zone, CAST(? AS BIGINT)
       FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid`,
      to.id,
      uid,
      modseq,
      tx.now,
      from.id,
      first,
      last,
    )
    uid += rows
  }
  await carryFlags(tx, to, chosen, modseq)
  return {
    mailbox: to.id,
    uidValidity: to.uidValidity,
    source: Uint32Array.from(chosen.uids),
    destination: Uint32Array.from(chosen.uids, (_, i) => to.uidNext + i),
  }
}

/** The rows of copies were made like the rows copied: flags that changed since those came are put right. */
async function carryFlags(
  tx: Transaction,
  to: MailboxRow,
  { changed, flagsets }: Chosen,
  modseq: number,
): Promise<void> {
  const first = changed[0]
  if (first === undefined) return
  const blocks = new FlagBlocks(tx, to.id)
  await blocks.load(to.uidNext + first, to.uidNext + (changed.at(-1) ?? first))
  for (const i of changed) blocks.set(to.uidNext + i, flagsets[i] ?? 0, modseq)
  await blocks.write(modseq)
}

async function growthOf(tx: Transaction, chosen: Chosen, by: 1 | -1): Promise<ReturnType<typeof noGrowth>> {
  const sets = new FlagSets(tx)
  const growth = noGrowth()
  for (const [i, flagset] of chosen.flagsets.entries())
    count(growth, await sets.byId(flagset), chosen.sizes[i] ?? 0, by)
  return growth
}

/** COPY: the rows among `wanted` also stand in `to`. `StoreError('OVERQUOTA')`. */
export async function copyRows(
  tx: Transaction,
  from: MailboxRow,
  to: MailboxRow,
  wanted: Uint32Array,
  limits: Limits,
): Promise<Transferred> {
  const chosen = await choose(tx, from.id, wanted)
  if (chosen.uids.length === 0)
    return { mailbox: to.id, uidValidity: to.uidValidity, source: new Uint32Array(), destination: new Uint32Array() }
  await haveRoom(tx, limits, {
    octets: chosen.sizes.reduce((sum, size) => sum + size, 0),
    messages: chosen.uids.length,
  })
  const { modseq } = await tick(tx)
  const result = await copyChosen(tx, from, to, chosen, modseq)
  await changeMailbox(tx, to.id, modseq, await growthOf(tx, chosen, 1), chosen.uids.length)
  return result
}

/** MOVE: the rows among `wanted` (all, where that is undefined) stand in `to` and no longer in `from`. */
export async function moveRows(
  tx: Transaction,
  from: MailboxRow,
  to: MailboxRow,
  wanted: Uint32Array | undefined,
): Promise<Transferred> {
  const chosen = await choose(tx, from.id, wanted)
  if (chosen.uids.length === 0)
    return { mailbox: to.id, uidValidity: to.uidValidity, source: new Uint32Array(), destination: new Uint32Array() }
  const { modseq } = await tick(tx)
  const result = await copyChosen(tx, from, to, chosen, modseq)
  for (const { first, last } of chosen.runs) await takeOut(tx, from.id, modseq, 'BETWEEN ? AND ?', [first, last])
  await changeMailbox(tx, to.id, modseq, await growthOf(tx, chosen, 1), chosen.uids.length)
  await changeMailbox(tx, from.id, modseq, await growthOf(tx, chosen, -1))
  return result
}

/** EXPUNGE: of the rows among `wanted`, those flagged \Deleted go. Their emails stay counted until a sweep lets them go. */
export async function expungeRows(
  tx: Transaction,
  from: MailboxRow,
  wanted: Uint32Array,
): Promise<{ readonly uids: Uint32Array; readonly highestModseq: number }> {
  const gone: number[] = []
  const sets = new FlagSets(tx)
  const growth = noGrowth()
  if (from.deleted > 0) {
    const deleted = new Set((await tx.all('SELECT id FROM mail_flagset WHERE deleted = 1')).map(([id]) => Number(id)))
    const blocks = new FlagBlocks(tx, from.id)
    for (const { start, end, first, last } of spans(wanted)) {
      await blocks.load(first, last)
      const asked = new Set(wanted.subarray(start, end))
      // Flagged since they came; and those that came so, unless the flag was taken away.
      const flagged = await rowsOf(
        tx,
        from.id,
        Uint32Array.from(blocks.having(deleted)).filter((uid) => asked.has(uid)),
      )
      const born = (
        await tx.all(
          `SELECT ${MESSAGE_COLUMNS} FROM mail_message
           WHERE mailbox = ? AND uid BETWEEN ? AND ? AND flagset IN (SELECT id FROM mail_flagset WHERE deleted = 1) ORDER BY uid`,
          from.id,
          first,
          last,
        )
      ).filter(([uid]) => asked.has(Number(uid)) && blocks.stored(Number(uid)) === 0)
      const rows = born.length === 0 ? flagged : [...flagged, ...born].sort((a, b) => Number(a[0]) - Number(b[0]))
      for (const row of rows) {
        const [uid = 0, flagset = 0, , size = 0] = row as readonly number[]
        gone.push(uid)
        count(growth, await sets.byId(blocks.flagset(uid, flagset)), size, -1)
      }
    }
  }
  if (gone.length === 0) return { uids: new Uint32Array(), highestModseq: from.modseq }
  const { modseq } = await tick(tx)
  const { runs, single } = consecutive(gone)
  for (const { first, last } of runs) await takeOut(tx, from.id, modseq, 'BETWEEN ? AND ?', [first, last])
  for (const piece of pieces(single)) await takeOut(tx, from.id, modseq, `IN (${NAMES})`, piece)
  await changeMailbox(tx, from.id, modseq, growth)
  return { uids: Uint32Array.from(gone), highestModseq: modseq }
}

/** Rows become history. `which` is what follows "uid". */
async function takeOut(
  tx: Transaction,
  mailbox: number,
  modseq: number,
  which: 'BETWEEN ? AND ?' | `IN (${string})`,
  uids: readonly number[],
): Promise<void> {
  await tx.run(
    `INSERT INTO mail_expunged (mailbox, uid, modseq, email, at)
     SELECT mailbox, uid, CAST(? AS BIGINT), email, CAST(? AS BIGINT) FROM mail_message WHERE mailbox = ? AND uid ${which}`,
    modseq,
    tx.now,
    mailbox,
    ...uids,
  )
  await tx.run(`DELETE FROM mail_message WHERE mailbox = ? AND uid ${which}`, mailbox, ...uids)
}

/** Takes one message out, flagged \\Deleted or not. `StoreError('EXPUNGEISSUED')` when it is gone already. */
export async function expungeOne(tx: Transaction, from: MailboxRow, uid: number): Promise<void> {
  const row = await tx.get('SELECT flagset, size FROM mail_message WHERE mailbox = ? AND uid = ?', from.id, uid)
  if (row === undefined) throw new StoreError('EXPUNGEISSUED', 'The message is expunged already')
  const [flagset = 0, size = 0] = row as readonly number[]
  const growth = noGrowth()
  const blocks = new FlagBlocks(tx, from.id)
  await blocks.load(uid, uid)
  count(growth, await new FlagSets(tx).byId(blocks.flagset(uid, flagset)), size, -1)
  const { modseq } = await tick(tx)
  await takeOut(tx, from.id, modseq, 'BETWEEN ? AND ?', [uid, uid])
  await changeMailbox(tx, from.id, modseq, growth)
}
