// What nobody needs any more goes: content of expunged messages, history, emails without a reference, old delivery ids.

import { type Transaction, write } from '../../store/contracts.ts'
import { forgetOldImports } from './import-operations.ts'
import { dropEmail } from './emails.ts'
import { BLOCK, blockIds, firstUid, type FlagBlock, mailboxOf, readBlock } from './flag-blocks.ts'
import { forgetFlagSets } from './flags.ts'

/** Rows that one sweep touches at most, so that nobody waits long behind it. */
const STEP = 1000
/** Emails that one sweep drops at most: each is rows in several tables. */
const EMAILS = 250

export interface SweepOrder {
  /** Messages expunged before this time (milliseconds) can no longer be read. */
  readonly contentBefore: number
  /** Expunges before this time are forgotten: QRESYNC then compares. */
  readonly historyBefore: number
  /** Expunges remembered for each mailbox. */
  readonly historyRows: number
  /** Delivery ids from before this time are forgotten. */
  readonly deliveriesBefore: number
}

export interface SweepOutcome {
  /** Something is left that is due now. */
  readonly more: boolean
  /** Something is left that falls due later. */
  readonly later: boolean
}

export const sweep = write(async (tx, order: SweepOrder): Promise<SweepOutcome> => {
  const cleared = await clearMailbox(tx)
  const released = await releaseContent(tx, order.contentBefore)
  const trimmed = await trimHistory(tx, order)
  const dropped = await dropEmails(tx)
  await tx.run('DELETE FROM mail_delivery WHERE at < ?', order.deliveriesBefore)
  await forgetOldImports(tx)
  await forgetFlags(tx)
  const waiting = await tx.get(
    'SELECT 1 WHERE EXISTS (SELECT 1 FROM mail_expunged) OR EXISTS (SELECT 1 FROM mail_delivery) OR EXISTS (SELECT 1 FROM mail_email WHERE refcount = 0) OR EXISTS (SELECT 1 FROM mail_deleted)',
  )
  return { more: cleared || released || trimmed || dropped, later: waiting !== undefined }
})

/** The rows of a mailbox that was deleted go, and let go of their emails. */
async function clearMailbox(tx: Transaction): Promise<boolean> {
  const deleted = await tx.get('SELECT mailbox FROM mail_deleted LIMIT 1')
  if (deleted === undefined) return false
  const [mailbox = 0] = deleted
  const messages = await tx.all(
    'SELECT uid, email FROM mail_message WHERE mailbox = ? ORDER BY uid LIMIT ?',
    mailbox,
    STEP,
  )
  for (const [, email = 0] of messages)
    await tx.run('UPDATE mail_email SET refcount = refcount - 1 WHERE id = ?', email)
  await tx.run('DELETE FROM mail_message WHERE mailbox = ? AND uid <= ?', mailbox, messages.at(-1)?.[0] ?? 0)
  if (messages.length === STEP) return true
  const expunged = await tx.all(
    'SELECT uid, email FROM mail_expunged WHERE mailbox = ? ORDER BY uid LIMIT ?',
    mailbox,
    STEP,
  )
  for (const [, email = null] of expunged)
    if (email !== null) await tx.run('UPDATE mail_email SET refcount = refcount - 1 WHERE id = ?', email)
  await tx.run('DELETE FROM mail_expunged WHERE mailbox = ? AND uid <= ?', mailbox, expunged.at(-1)?.[0] ?? 0)
  await dropEmptyBlocks(tx, Number(mailbox))
  if (expunged.length < STEP) await tx.run('DELETE FROM mail_deleted WHERE mailbox = ?', mailbox)
  return true
}

/** Expunged messages let go of their emails. */
async function releaseContent(tx: Transaction, before: number): Promise<boolean> {
  const rows = await tx.all(
    'SELECT mailbox, uid, email FROM mail_expunged WHERE email IS NOT NULL AND at < ? ORDER BY at LIMIT ?',
    before,
    STEP,
  )
  for (const [mailbox = 0, uid = 0, email = 0] of rows) {
    await tx.run('UPDATE mail_expunged SET email = NULL WHERE mailbox = ? AND uid = ?', mailbox, uid)
    await tx.run('UPDATE mail_email SET refcount = refcount - 1 WHERE id = ?', email)
  }
  return rows.length === STEP
}

/** Forgets old expunges, and notes up to which modseq. */
async function trimHistory(tx: Transaction, { historyBefore, historyRows }: SweepOrder): Promise<boolean> {
  let full = false
  for (const [mailbox = 0, kept = 0] of await tx.all('SELECT mailbox, count(*) FROM mail_expunged GROUP BY mailbox')) {
    let surplus = Number(kept) - historyRows
    let trimmed = -1
    const rows = await tx.all(
      'SELECT uid, modseq, email, at FROM mail_expunged WHERE mailbox = ? ORDER BY modseq, uid LIMIT ?',
      mailbox,
      STEP,
    )
    let removed = 0
    for (const [uid = 0, modseq, email = null, at] of rows) {
      if (surplus-- <= 0 && Number(at) >= historyBefore) break
      if (email !== null) await tx.run('UPDATE mail_email SET refcount = refcount - 1 WHERE id = ?', email)
      await tx.run('DELETE FROM mail_expunged WHERE mailbox = ? AND uid = ?', mailbox, uid)
      trimmed = Number(modseq)
      removed++
    }
    if (removed === STEP) full = true
    if (trimmed < 0) continue
    await tx.run('UPDATE mail_mailbox SET trimmed_modseq = ? WHERE id = ?', trimmed, mailbox)
    await dropEmptyBlocks(tx, Number(mailbox))
  }
  return full
}

/** The flags of messages that are gone. */
async function dropEmptyBlocks(tx: Transaction, mailbox: number): Promise<void> {
  const [first] = blockIds(mailbox)
  await tx.run(
    `DELETE FROM mail_flags WHERE mailbox = ? AND NOT EXISTS
     (SELECT 1 FROM mail_message m WHERE m.mailbox = mail_flags.mailbox AND m.uid BETWEEN (id - ?) * ${BLOCK} AND (id - ?) * ${BLOCK} + ${BLOCK - 1})`,
    mailbox,
    first,
    first,
  )
}

/** Emails that no message and no expunged row holds are dropped. */
async function dropEmails(tx: Transaction): Promise<boolean> {
  const rows = await tx.all('SELECT id FROM mail_email WHERE refcount = 0 LIMIT ?', EMAILS)
  for (const [id] of rows) await dropEmail(tx, Number(id))
  return rows.length === EMAILS
}

/** With so many flag sets or keywords, those that no message has any more are looked for. */
const MANY_SETS = 2000
const MANY_KEYWORDS = 500

/** Unused flag sets go, and keywords that no set names: so that a client which made too many can make others. Their ids are not given again. */
async function forgetFlags(tx: Transaction): Promise<void> {
  const counts = await tx.get('SELECT (SELECT count(*) FROM mail_flagset), (SELECT count(*) FROM mail_keyword)')
  if (Number(counts?.[0]) < MANY_SETS && Number(counts?.[1]) < MANY_KEYWORDS) return
  const held = new Set<number>()
  await eachBlock(tx, (_, { flagsets }) => flagsets.forEach((set) => held.add(set)))
  await eachBlock(tx, (id, block) => forgetBirthFlags(tx, id, block, held))
  for (const [id] of await tx.all('SELECT DISTINCT flagset FROM mail_message')) held.add(Number(id))
  for (const [id = 0] of await tx.all('SELECT id FROM mail_flagset'))
    if (!held.has(Number(id))) await tx.run('DELETE FROM mail_flagset WHERE id = ?', id)
  forgetFlagSets(tx)
  const used = new Set<string>()
  for (const [flags] of await tx.all('SELECT flags FROM mail_flagset'))
    for (const flag of String(flags).split(' ')) used.add(flag)
  for (const [fold = '', name] of await tx.all('SELECT fold, name FROM mail_keyword'))
    if (!used.has(String(name))) await tx.run('DELETE FROM mail_keyword WHERE fold = ?', fold)
}

async function eachBlock(tx: Transaction, see: (id: number, block: FlagBlock) => unknown): Promise<void> {
  for (let after = 0; ;) {
    const blocks = await tx.all('SELECT id, entries FROM mail_flags WHERE id > ? ORDER BY id LIMIT 64', after)
    for (const [id, entries] of blocks) await see(Number(id), readBlock(Number(id), entries))
    if (blocks.length < 64) return
    after = Number(blocks.at(-1)?.[0])
  }
}

/** Messages of the block that came with a set which none of `held` is, and have another now, forget it: else it would stay for their sake alone. */
async function forgetBirthFlags(
  tx: Transaction,
  id: number,
  { flagsets }: FlagBlock,
  held: ReadonlySet<number>,
): Promise<void> {
  const [mailbox, first] = [mailboxOf(id), firstUid(id)]
  for (const [uid = 0, born] of await tx.all(
    'SELECT uid, flagset FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ?',
    mailbox,
    first,
    first + BLOCK - 1,
  )) {
    const now = flagsets[Number(uid) - first] ?? 0
    if (now !== 0 && !held.has(Number(born)))
      await tx.run('UPDATE mail_message SET flagset = ? WHERE mailbox = ? AND uid = ?', now, mailbox, uid)
  }
}

/** The blobs that this account's messages are in. */
export async function heldBlobs(tx: Transaction): Promise<readonly string[]> {
  const rows = await tx.all('SELECT DISTINCT blob FROM mail_email WHERE blob IS NOT NULL')
  return rows.map(([blob]) => String(blob))
}
