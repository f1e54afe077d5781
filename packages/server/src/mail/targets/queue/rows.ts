// Changes to the queue's rows that several operations make.

import type { SqlRow, Transaction } from '../../../store/contracts.ts'
import type { Fact, LastError, QueuedMail, ReportKind } from './contracts.ts'

/** The next number of its kind. */
export async function nextNumber(tx: Transaction, name: 'mail' | 'destination' | 'report'): Promise<number> {
  const row = await tx.get('UPDATE spool_tally SET value = value + 1 WHERE name = ? RETURNING value', name)
  return Number(row?.[0])
}

export const MAIL = 'seq, id, created, reverse_path, sender, parameters, client, quarantined, size, head, blob'

export const mailOf = (row: SqlRow): QueuedMail => ({
  seq: Number(row[0]),
  id: String(row[1]),
  created: Number(row[2]),
  reversePath: String(row[3]),
  sender: String(row[4]),
  parameters: String(row[5]),
  client: String(row[6]),
  quarantined: row[7] === 1,
  size: Number(row[8]),
  head: Number(row[9]),
  blob: typeof row[10] === 'string' ? row[10] : null,
})

/** Keeps a mail; answers its number. */
export async function insertMail(
  tx: Transaction,
  mail: Omit<QueuedMail, 'seq'>,
  bytes: Uint8Array | null,
  recipients: number,
): Promise<number> {
  const seq = await nextNumber(tx, 'mail')
  await tx.run(
    'INSERT INTO spool_mail (seq, id, created, reverse_path, sender, parameters, client, quarantined, size, head, blob, recipients) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    seq,
    mail.id,
    mail.created,
    mail.reversePath,
    mail.sender,
    mail.parameters,
    mail.client,
    mail.quarantined ? 1 : 0,
    mail.size,
    mail.head,
    mail.blob,
    recipients,
  )
  if (bytes !== null) await tx.run('INSERT INTO spool_body (mail, bytes) VALUES (?, ?)', seq, bytes)
  await tx.run("UPDATE spool_tally SET value = value + 1 WHERE name = 'waiting'")
  return seq
}

/** Forgets the mail when nobody waits for it any more, and no notification is about it. Answers the octets of a blob that was set free. */
export async function forgetMail(tx: Transaction, seq: number): Promise<number> {
  const row = await tx.get(
    'SELECT size, blob FROM spool_mail WHERE seq = ? AND recipients = 0 AND NOT EXISTS (SELECT 1 FROM spool_report WHERE mail = ?)',
    seq,
    seq,
  )
  if (row === undefined) return 0
  await tx.run('DELETE FROM spool_mail WHERE seq = ?', seq)
  await tx.run('DELETE FROM spool_body WHERE mail = ?', seq)
  await tx.run("UPDATE spool_tally SET value = value - 1 WHERE name = 'waiting'")
  return row[1] === null ? 0 : Number(row[0])
}

/** Makes `due` true again after recipients of the destination have changed. A destination without recipients goes, unless it is known to be down. */
export async function settleDestination(tx: Transaction, id: number, gone: number): Promise<void> {
  const next = await tx.get(
    'SELECT next_attempt FROM spool_recipient WHERE destination = ? AND next_attempt IS NOT NULL ORDER BY next_attempt LIMIT 1',
    id,
  )
  const due = next === undefined ? null : Number(next[0])
  await tx.run(
    'UPDATE spool_destination SET waiting = waiting - ?, due = CASE WHEN down_until > ? THEN down_until ELSE ? END WHERE id = ?',
    gone,
    due ?? Number.MAX_SAFE_INTEGER,
    due,
    id,
  )
  if (due === null) await tx.run('DELETE FROM spool_destination WHERE id = ? AND waiting <= 0 AND failures = 0', id)
}

/** Facts of one notification: more go into another one. */
const MOST_FACTS = 500
/** Of a mail to more recipients than these, what happens within a while goes into one notification. */
const FEW = 50
const GATHER_MS = 10_000

/** Notes what the sender shall be told. Nobody is told of a mail from `<>` (RFC 3461 §6.1). `id` names the notification if it is a new one. */
export async function addFact(
  tx: Transaction,
  mail: number,
  kind: ReportKind,
  fact: Fact,
  id: string,
): Promise<boolean> {
  const row = await tx.get('SELECT sender, recipients FROM spool_mail WHERE seq = ?', mail)
  if (row === undefined || row[0] === '') return false
  const open = await tx.get(
    'SELECT seq, facts FROM spool_report WHERE mail = ? AND kind = ? AND begun = 0 AND facts < ?',
    mail,
    kind,
    MOST_FACTS,
  )
  const report = open === undefined ? await nextNumber(tx, 'report') : Number(open[0])
  const n = open === undefined ? 0 : Number(open[1])
  if (open === undefined)
    await tx.run(
      "INSERT INTO spool_report (seq, id, mail, kind, created, due, attempts, begun, facts, taken) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 1, '[]')",
      report,
      id,
      mail,
      kind,
      tx.now,
      tx.now + (Number(row[1]) > FEW ? GATHER_MS : 0),
    )
  else await tx.run('UPDATE spool_report SET facts = facts + 1 WHERE seq = ?', report)
  await tx.run('INSERT INTO spool_fact (report, n, fact) VALUES (?, ?, ?)', report, n, JSON.stringify(fact))
  return true
}

/** The four columns of a reply, from column `at`. */
export const errorOf = (row: SqlRow, at: number): LastError | undefined =>
  row[at] === 0
    ? undefined
    : { code: Number(row[at]), enhanced: String(row[at + 1]), text: String(row[at + 2]), remote: String(row[at + 3]) }
