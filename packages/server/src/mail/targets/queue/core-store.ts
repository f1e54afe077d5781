// What waited in the core database before the queue had one of its own: read once, and moved.

import { defineStore, read, write } from '../../../store/contracts.ts'

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
    /** One mail with its recipients; undefined when all are moved. */
    first: read(async (tx) => {
      const row = await tx.get(
        'SELECT id, created, sender, parameters, quarantined, size, bytes, blob FROM queue_mail LIMIT 1',
      )
      if (row === undefined) return undefined
      const recipients = await tx.all(
        'SELECT address, account, parameters FROM queue_recipient WHERE mail = ? ORDER BY address',
        String(row[0]),
      )
      return {
        id: String(row[0]),
        created: Number(row[1]),
        sender: String(row[2]),
        parameters: String(row[3]),
        quarantined: row[4] === 1,
        size: Number(row[5]),
        bytes: row[6] instanceof Uint8Array ? row[6] : null,
        blob: typeof row[7] === 'string' ? row[7] : null,
        recipients: recipients.map((one) => ({
          address: String(one[0]),
          account: String(one[1]),
          parameters: String(one[2]),
        })),
      }
    }),

    moved: write(async (tx, { id }: { readonly id: string }) => {
      await tx.run('DELETE FROM queue_mail WHERE id = ?', id)
    }),

    /** The blobs of those that are not moved yet. */
    blobs: read(async (tx) =>
      (await tx.all('SELECT DISTINCT blob FROM queue_mail WHERE blob IS NOT NULL')).map(([blob]) => String(blob)),
    ),
  },
})
