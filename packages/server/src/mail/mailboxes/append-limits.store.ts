// RFC 7889: how large messages may be in accounts and mailboxes that have a limit of their own. In the core database, so that a login, which announces it, need not
// open the account's.

import { defineStore, read, write } from '../../store/contracts.ts'

/** Stands for the whole account where a mailbox is named by its number. */
export const WHOLE_ACCOUNT = 0

export interface OwnLimit {
  readonly account: string
  /** The mailbox's number, or `WHOLE_ACCOUNT`. */
  readonly mailbox: number
  readonly octets: number
}

export const appendLimitStore = defineStore({
  name: 'append-limits',
  scale: 'core',
  migrations: [
    `CREATE TABLE append_limits_own (account TEXT NOT NULL, mailbox INTEGER NOT NULL, octets INTEGER NOT NULL, PRIMARY KEY (account, mailbox)) STRICT, WITHOUT ROWID;`,
  ],
  operations: {
    all: read(async (tx, _order: Record<string, never>): Promise<readonly OwnLimit[]> =>
      (await tx.all('SELECT account, mailbox, octets FROM append_limits_own')).map(([account, mailbox, octets]) => ({
        account: String(account),
        mailbox: Number(mailbox),
        octets: Number(octets),
      })),
    ),

    set: write(
      async (tx, { account, mailbox, octets }: OwnLimit): Promise<void> =>
        void (await tx.run(
          'INSERT INTO append_limits_own (account, mailbox, octets) VALUES (?, ?, ?) ON CONFLICT (account, mailbox) DO UPDATE SET octets = excluded.octets',
          account,
          mailbox,
          octets,
        )),
    ),

    unset: write(
      async (tx, { account, mailbox }: Omit<OwnLimit, 'octets'>): Promise<void> =>
        void (await tx.run('DELETE FROM append_limits_own WHERE account = ? AND mailbox = ?', account, mailbox)),
    ),

    /** Forgets an account. */
    forget: write(
      async (tx, { account }: { account: string }): Promise<void> =>
        void (await tx.run('DELETE FROM append_limits_own WHERE account = ?', account)),
    ),
  },
})
