// The account's single clock, and the numbers that are never given twice.

import type { Transaction } from '../../store/contracts.ts'

/** What a transaction takes beside its modseq. */
export interface Take {
  readonly emails?: number
  readonly mailboxes?: number
  readonly flagsets?: number
}

/** The numbers taken: each the last of its row, so that `emails: 3` gives `email - 2`, `email - 1` and `email`. */
export interface Taken {
  readonly modseq: number
  readonly email: number
  readonly mailbox: number
  readonly flagset: number
}

/** Moves the clock on by one and takes numbers. All changes of one transaction share the modseq that it took. */
export async function tick(tx: Transaction, take: Take = {}): Promise<Taken> {
  return advance(tx, 1, take)
}

/** Takes numbers without moving the clock. */
export async function takeNumbers(tx: Transaction, take: Take): Promise<Taken> {
  return advance(tx, 0, take)
}

async function advance(tx: Transaction, modseqs: number, take: Take): Promise<Taken> {
  for (;;) {
    const row = await tx.get(
      'UPDATE mail_state SET modseq = modseq + ?, email = email + ?, mailbox = mailbox + ?, flagset = flagset + ? WHERE id = 1 RETURNING modseq, email, mailbox, flagset',
      modseqs,
      take.emails ?? 0,
      take.mailboxes ?? 0,
      take.flagsets ?? 0,
    )
    if (row !== undefined) {
      const [modseq, email, mailbox, flagset] = row as readonly number[]
      return { modseq: modseq ?? 0, email: email ?? 0, mailbox: mailbox ?? 0, flagset: flagset ?? 0 }
    }
    await tx.run('INSERT INTO mail_state (id, modseq, uidvalidity, mailbox, email, flagset) VALUES (1, 0, 0, 0, 0, 0)')
  }
}

/** The next UIDVALIDITY: the time in seconds, or one more than the last, whichever is larger; so it never goes back, nor comes twice (RFC 9051 §2.3.1.1). */
export async function nextUidValidity(tx: Transaction): Promise<number> {
  const now = Math.floor(tx.now / 1000)
  const row = await tx.get(
    'UPDATE mail_state SET uidvalidity = CASE WHEN uidvalidity < ? THEN CAST(? AS BIGINT) ELSE uidvalidity + 1 END WHERE id = 1 RETURNING uidvalidity',
    now,
    now,
  )
  return Number(row?.[0])
}
