// Who did what when. Rows are only ever added, and swept when they are old.

import { read, type Transaction, write } from '../../store/contracts.ts'

export interface AuditRow {
  readonly sequence: number
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Who: `cli:root`, an account's address, `system` ... */
  readonly by: string
  readonly action: string
  readonly subject: string
  readonly detail: string
}

/** Adds a row; part of the change that it tells of, so that there is never one without the other. */
export async function audit(
  tx: Transaction,
  by: string,
  action: string,
  subject: string,
  detail: string,
): Promise<void> {
  await tx.run(
    'INSERT INTO accounts_audit (sequence, at, who, action, subject, detail) SELECT COALESCE(MAX(sequence), 0) + 1, ?, ?, ?, ?, ? FROM accounts_audit',
    tx.now,
    by.slice(0, 256),
    action,
    subject,
    detail.slice(0, 1024),
  )
}

export const auditOperations = {
  /** Newest first, those with a sequence below `before`. */
  listAudit: read(
    async (
      tx,
      { before, limit }: { readonly before: number; readonly limit: number },
    ): Promise<readonly AuditRow[]> => {
      const rows = await tx.all(
        'SELECT sequence, at, who, action, subject, detail FROM accounts_audit WHERE sequence < ? ORDER BY sequence DESC LIMIT ?',
        before,
        limit,
      )
      return rows.map(([sequence, at, by, action, subject, detail]) => ({
        sequence: Number(sequence),
        at: Number(at),
        by: String(by),
        action: String(action),
        subject: String(subject),
        detail: String(detail),
      }))
    },
  ),

  /** Drops rows older than `before` and all but the newest `keep`; the very newest stays, as it holds the sequence. */
  sweepAudit: write(
    async (tx, { before, keep }: { readonly before: number; readonly keep: number }): Promise<number> => {
      const newest = Number((await tx.get('SELECT COALESCE(MAX(sequence), 0) FROM accounts_audit'))?.[0] ?? 0)
      return tx.run(
        'DELETE FROM accounts_audit WHERE sequence < ? AND (at < ? OR sequence <= ?)',
        newest,
        before,
        newest - keep,
      )
    },
  ),
}
