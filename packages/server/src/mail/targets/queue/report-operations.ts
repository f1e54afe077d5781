// Operations of the notifications that are on their way to the pipeline.

import { read, type Transaction, write } from '../../../store/contracts.ts'
import type { Fact, ReportKind } from './contracts.ts'
import { forgetMail, MAIL, mailOf } from './rows.ts'

/** Notifications whose time has come, by their numbers. */
export const dueReports = read(
  async (
    tx,
    { now, horizon, limit }: { readonly now: number; readonly horizon: number; readonly limit: number },
  ): Promise<readonly number[]> => {
    const rows = await tx.all('SELECT seq FROM spool_report WHERE due <= ? ORDER BY due LIMIT ?', now, limit)
    if (rows.length > 0) return rows.map(([seq]) => Number(seq))
    // A clock that was set back leaves times behind that nobody would plan.
    return (await tx.all('SELECT seq FROM spool_report WHERE due > ? ORDER BY due LIMIT ?', now + horizon, limit)).map(
      ([seq]) => Number(seq),
    )
  },
)

/** When the next one is due. */
export async function nextReport(tx: Transaction): Promise<number | undefined> {
  const row = await tx.get('SELECT due FROM spool_report ORDER BY due LIMIT 1')
  return row === undefined ? undefined : Number(row[0])
}

/** Begins a notification: it says what it says from now on, whatever else happens to the mail. */
export const beginReport = write(async (tx, { seq }: { readonly seq: number }) => {
  const row = await tx.get(
    'UPDATE spool_report SET begun = 1 WHERE seq = ? RETURNING id, mail, kind, created, attempts',
    seq,
  )
  if (row === undefined) return undefined
  const facts = await tx.all('SELECT fact FROM spool_fact WHERE report = ? ORDER BY n', seq)
  const mail = await tx.get(`SELECT ${MAIL} FROM spool_mail WHERE seq = ?`, Number(row[1]))
  const body = await tx.get('SELECT bytes FROM spool_body WHERE mail = ?', Number(row[1]))
  if (mail === undefined) return undefined
  return {
    id: String(row[0]),
    kind: String(row[2]) as ReportKind,
    created: Number(row[3]),
    attempts: Number(row[4]),
    facts: facts.map(([fact]) => JSON.parse(String(fact)) as Fact),
    mail: mailOf(mail),
    bytes: body?.[0] instanceof Uint8Array ? body[0] : undefined,
  }
})

export type Begun = NonNullable<Awaited<ReturnType<typeof beginReport.run>>>

/** The notification is where it belongs, or nowhere. */
export const endReport = write(async (tx, { seq }: { readonly seq: number }) => {
  const row = await tx.get('SELECT mail FROM spool_report WHERE seq = ?', seq)
  await tx.run('DELETE FROM spool_fact WHERE report = ?', seq)
  await tx.run('DELETE FROM spool_report WHERE seq = ?', seq)
  return row === undefined ? 0 : forgetMail(tx, Number(row[0]))
})

export const postponeReport = write(async (tx, { seq, due }: { readonly seq: number; readonly due: number }) => {
  await tx.run('UPDATE spool_report SET attempts = attempts + 1, due = ? WHERE seq = ?', due, seq)
})
