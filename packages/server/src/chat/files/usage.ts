// What accounts take with their files, in all and by the hour, and who makes room. Store workers import this file: it must stay light.

import type { SqlRow, Transaction } from '../../store/contracts.ts'
import type { FileUsage, Gone } from './files.store.ts'

/** States of a file, after the two of one that is to come. */
export const KEPT = 2
export const GONE = 3

export const HOUR = 3_600_000
/** The row of all accounts in the table of totals. */
export const ALL = ''

export async function usageOf(tx: Transaction, account: string): Promise<FileUsage> {
  const row = await tx.get('SELECT files, octets FROM chat_file_total WHERE account = ?', account)
  return { files: Number(row?.[0] ?? 0), octets: Number(row?.[1] ?? 0) }
}

export async function count(tx: Transaction, account: string, files: number, octets: number): Promise<void> {
  for (const owner of [account, ALL])
    await tx.run(
      'INSERT INTO chat_file_total (account, files, octets) VALUES (?, ?, ?) ON CONFLICT (account) DO UPDATE SET files = files + excluded.files, octets = octets + excluded.octets',
      owner,
      files,
      octets,
    )
  await tx.run('DELETE FROM chat_file_total WHERE account = ? AND files = 0', account)
}

/** Marks files that are not gone yet, and gives their room back. */
export async function drop(tx: Transaction, rows: readonly SqlRow[]): Promise<readonly Gone[]> {
  const gone: Gone[] = []
  for (const [id, account, size] of rows) {
    await tx.run('UPDATE chat_file SET state = ?, due = 0 WHERE id = ?', GONE, String(id))
    await count(tx, String(account), -1, -Number(size))
    gone.push({ id: String(id), account: String(account) })
  }
  return gone
}

/** Drops the oldest files until `octets` are free; drops nothing where that is not enough. */
export async function makeRoom(tx: Transaction, account: string, octets: number): Promise<readonly Gone[] | undefined> {
  const rows = await tx.all(
    "SELECT id, account, size FROM chat_file WHERE account = ? AND state = ? AND purpose <> 'profile' ORDER BY number LIMIT 1000",
    account,
    KEPT,
  )
  let freed = 0
  const enough = rows.findIndex(([, , size]) => (freed += Number(size)) >= octets)
  return enough < 0 ? undefined : drop(tx, rows.slice(0, enough + 1))
}

/** What the account took in the last day, by the hour, the oldest first. */
export const spent = (tx: Transaction, account: string) =>
  tx.all(
    'SELECT hour, octets FROM chat_file_day WHERE account = ? AND hour > ? ORDER BY hour',
    account,
    Math.floor(tx.now / HOUR) - 24,
  )

/** When the hours that have to pass have passed, so that `octets` are free; undefined where they are free now. */
export async function dayIsFull(
  tx: Transaction,
  account: string,
  octets: number,
  limit: number,
): Promise<number | undefined> {
  const hours = await spent(tx, account)
  let over = hours.reduce((sum, [, each]) => sum + Number(each), 0) + octets - limit
  if (over <= 0) return undefined
  for (const [hour, each] of hours) {
    over -= Number(each)
    if (over <= 0) return (Number(hour) + 24) * HOUR
  }
  return tx.now + 24 * HOUR
}
