// Which accounts hold which large message: a blob is shared by all its recipients, so no account's database alone can tell that it is unused.

import { defineStore, read, write } from '../../store/contracts.ts'

export const blobReferences = defineStore({
  name: 'mail-blobs',
  scale: 'core',
  migrations: [
    `
CREATE TABLE mail_blob (blob TEXT NOT NULL, account TEXT NOT NULL, PRIMARY KEY (blob, account)) STRICT, WITHOUT ROWID;
CREATE INDEX mail_blob_account ON mail_blob (account);
`,
  ],
  operations: {
    /** Notes, before the account's own transaction, that the account will hold the blob. */
    hold: write(async (tx, { blob, account }: { blob: string; account: string }): Promise<void> => {
      await tx.run(
        'INSERT INTO mail_blob (blob, account) VALUES (?, ?) ON CONFLICT (blob, account) DO NOTHING',
        blob,
        account,
      )
    }),
    /** The blobs that the account may hold, and how many accounts hold each. */
    ofAccount: read(async (tx, { account }: { account: string }) =>
      (
        await tx.all(
          'SELECT blob, (SELECT count(*) FROM mail_blob others WHERE others.blob = mine.blob) FROM mail_blob mine WHERE account = ?',
          account,
        )
      ).map(([blob, holders]) => ({ blob: String(blob), holders: Number(holders) })),
    ),
    /** The account holds the blob no more. */
    release: write(async (tx, { blob, account }: { blob: string; account: string }): Promise<void> => {
      await tx.run('DELETE FROM mail_blob WHERE blob = ? AND account = ?', blob, account)
    }),
  },
})
