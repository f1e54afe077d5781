// The queue on disk: mails that wait for their next attempt, in the core database.

import { defineStore, read, type SqlRow, write } from '../../../store/contracts.ts'

/** A mail as the queue keeps it. Exactly one of `bytes` and `blob` is set. */
export interface QueuedMail {
  readonly id: string
  readonly created: number
  /** The reverse-path; '' for a notification. */
  readonly sender: string
  /** SMTP parameters, as JSON. */
  readonly parameters: string
  readonly quarantined: boolean
  readonly size: number
  readonly bytes: Uint8Array | null
  readonly blob: string | null
}

/** One recipient that waits. */
export interface QueuedRecipient {
  readonly mail: string
  readonly address: string
  /** The account's id, for a local mailbox that could not take the mail at once; else ''. */
  readonly account: string
  /** RCPT parameters, as JSON. */
  readonly parameters: string
  readonly attempts: number
  readonly nextAttempt: number
  readonly lastError: string
}

export const queueStore = defineStore({
  name: 'queue',
  scale: 'core',
  migrations: [
    `CREATE TABLE queue_mail (
       id TEXT PRIMARY KEY, created INTEGER NOT NULL, sender TEXT NOT NULL, parameters TEXT NOT NULL, quarantined INTEGER NOT NULL,
       size INTEGER NOT NULL, bytes BLOB, blob TEXT
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE queue_recipient (
       mail TEXT NOT NULL REFERENCES queue_mail (id) ON DELETE CASCADE, address TEXT NOT NULL, account TEXT NOT NULL, parameters TEXT NOT NULL,
       attempts INTEGER NOT NULL, next_attempt INTEGER NOT NULL, last_error TEXT NOT NULL,
       PRIMARY KEY (mail, address)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX queue_recipient_due ON queue_recipient (account, next_attempt);`,
  ],
  operations: {
    /** Takes a mail for all its recipients. */
    put: write(
      async (
        tx,
        { mail, recipients }: { readonly mail: QueuedMail; readonly recipients: readonly QueuedRecipient[] },
      ) => {
        await tx.run(
          'INSERT INTO queue_mail (id, created, sender, parameters, quarantined, size, bytes, blob) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING',
          mail.id,
          mail.created,
          mail.sender,
          mail.parameters,
          mail.quarantined ? 1 : 0,
          mail.size,
          mail.bytes,
          mail.blob,
        )
        for (const { address, account, parameters, attempts, nextAttempt, lastError } of recipients)
          await tx.run(
            'INSERT INTO queue_recipient (mail, address, account, parameters, attempts, next_attempt, last_error) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (mail, address) DO NOTHING',
            mail.id,
            address,
            account,
            parameters,
            attempts,
            nextAttempt,
            lastError,
          )
      },
    ),

    /** Recipients with a local mailbox whose time has come, the longest waiting first. */
    dueLocal: read(async (tx, { limit }: { readonly limit: number }) => {
      const rows = await tx.all(
        `SELECT ${RECIPIENT} FROM queue_recipient WHERE account > '' AND next_attempt <= ? ORDER BY next_attempt LIMIT ?`,
        tx.now,
        limit,
      )
      return rows.map(recipientOf)
    }),

    mail: read(async (tx, { id }: { readonly id: string }) => {
      const row = await tx.get(
        'SELECT id, created, sender, parameters, quarantined, size, bytes, blob FROM queue_mail WHERE id = ?',
        id,
      )
      return row === undefined ? undefined : mailOf(row)
    }),

    /** The recipient has its mail; with the last one the mail leaves the queue. */
    delivered: write(async (tx, { mail, address }: { readonly mail: string; readonly address: string }) => {
      await tx.run('DELETE FROM queue_recipient WHERE mail = ? AND address = ?', mail, address)
      await tx.run(
        'DELETE FROM queue_mail WHERE id = ? AND NOT EXISTS (SELECT 1 FROM queue_recipient WHERE mail = queue_mail.id)',
        mail,
      )
    }),

    /** Another attempt failed. */
    postponed: write(
      async (
        tx,
        args: { readonly mail: string; readonly address: string; readonly nextAttempt: number; readonly error: string },
      ) => {
        await tx.run(
          'UPDATE queue_recipient SET attempts = attempts + 1, next_attempt = ?, last_error = ? WHERE mail = ? AND address = ?',
          args.nextAttempt,
          args.error,
          args.mail,
          args.address,
        )
      },
    ),

    /** For the command line: what waits, the oldest first. */
    list: read(async (tx, { limit }: { readonly limit: number }) => {
      const rows = await tx.all(
        `SELECT r.mail, r.address, r.account, r.parameters, r.attempts, r.next_attempt, r.last_error, m.created, m.sender, m.size
         FROM queue_recipient r JOIN queue_mail m ON m.id = r.mail ORDER BY m.created, r.mail, r.address LIMIT ?`,
        limit,
      )
      return rows.map((row) => ({
        ...recipientOf(row),
        created: Number(row[7]),
        sender: String(row[8]),
        size: Number(row[9]),
      }))
    }),

    /** The blobs that mails of the queue lie in. */
    blobs: read(async (tx) =>
      (await tx.all('SELECT DISTINCT blob FROM queue_mail WHERE blob IS NOT NULL')).map(([blob]) => String(blob)),
    ),

    count: read(async (tx) => {
      const row = await tx.get('SELECT count(DISTINCT mail), count(*) FROM queue_recipient')
      return { mails: Number(row?.[0] ?? 0), recipients: Number(row?.[1] ?? 0) }
    }),
  },
})

const RECIPIENT = 'mail, address, account, parameters, attempts, next_attempt, last_error'

const recipientOf = (row: SqlRow): QueuedRecipient => ({
  mail: String(row[0]),
  address: String(row[1]),
  account: String(row[2]),
  parameters: String(row[3]),
  attempts: Number(row[4]),
  nextAttempt: Number(row[5]),
  lastError: String(row[6]),
})

const mailOf = (row: SqlRow): QueuedMail => ({
  id: String(row[0]),
  created: Number(row[1]),
  sender: String(row[2]),
  parameters: String(row[3]),
  quarantined: row[4] === 1,
  size: Number(row[5]),
  bytes: row[6] instanceof Uint8Array ? row[6] : null,
  blob: typeof row[7] === 'string' ? row[7] : null,
})
