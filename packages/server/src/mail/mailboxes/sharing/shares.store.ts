// Who shares with whom, in the core database: so that nobody's mail need be opened to find out. What exactly is shared, only the owner's database says.

import { defineStore, read, write } from '../../../store/contracts.ts'

/** A mailbox of `owner` that `identifier` has some right on: an account's id, or `@domain` for all accounts of it. */
export interface Share {
  readonly owner: string
  readonly mailbox: number
}

/** What is committed when this list changes. */
export interface SharesChange {
  readonly kind: 'shares'
  readonly owner: string
  /** Whom it concerns. */
  readonly identifiers: readonly string[]
}

export const everybodyIn = (domain: string): string => `@${domain}`

export const shareStore = defineStore({
  name: 'shares',
  scale: 'core',
  migrations: [
    `CREATE TABLE shares_share (owner TEXT NOT NULL, mailbox INTEGER NOT NULL, identifier TEXT NOT NULL, PRIMARY KEY (owner, mailbox, identifier)) STRICT, WITHOUT ROWID;
     CREATE INDEX shares_share_identifier ON shares_share (identifier, owner);`,
  ],
  operations: {
    /** What others share with an account. */
    sharedWith: read(async (tx, { account, domain }: { account: string; domain: string }): Promise<readonly Share[]> =>
      (
        await tx.all(
          'SELECT DISTINCT owner, mailbox FROM shares_share WHERE identifier IN (?, ?) AND owner <> ?',
          account,
          everybodyIn(domain),
          account,
        )
      ).map(([owner, mailbox]) => ({ owner: String(owner), mailbox: Number(mailbox) })),
    ),

    /** Accounts that share something with this very account. */
    ownersSharingWith: read(async (tx, { account }: { account: string }): Promise<readonly string[]> =>
      (await tx.all('SELECT DISTINCT owner FROM shares_share WHERE identifier = ?', account)).map(([owner]) =>
        String(owner),
      ),
    ),

    /** Writes down what `owner` shares, in place of what stood here. */
    replace: write(
      async (
        tx,
        { owner, grants }: { owner: string; grants: readonly (readonly [mailbox: number, identifier: string])[] },
      ): Promise<void> => {
        const key = (mailbox: unknown, identifier: unknown): string => `${String(mailbox)} ${String(identifier)}`
        const wanted = new Map(grants.map((grant) => [key(...grant), grant]))
        const touched = new Set<string>()
        for (const [mailbox, identifier] of await tx.all(
          'SELECT mailbox, identifier FROM shares_share WHERE owner = ?',
          owner,
        )) {
          if (wanted.delete(key(mailbox, identifier))) continue
          touched.add(String(identifier))
          await tx.run(
            'DELETE FROM shares_share WHERE owner = ? AND mailbox = ? AND identifier = ?',
            owner,
            mailbox ?? 0,
            identifier ?? '',
          )
        }
        for (const [mailbox, identifier] of wanted.values()) {
          touched.add(identifier)
          await tx.run(
            'INSERT INTO shares_share (owner, mailbox, identifier) VALUES (?, ?, ?)',
            owner,
            mailbox,
            identifier,
          )
        }
        if (touched.size === 0) return
        const change: SharesChange = { kind: 'shares', owner, identifiers: [...touched] }
        tx.publish(change)
      },
    ),

    /** Forgets an account: what it shared, and what was shared with it. */
    forget: write(async (tx, { account }: { account: string }): Promise<void> => {
      const concerned = await tx.all('SELECT DISTINCT identifier FROM shares_share WHERE owner = ?', account)
      await tx.run('DELETE FROM shares_share WHERE owner = ? OR identifier = ?', account, account)
      if (concerned.length === 0) return
      const change: SharesChange = {
        kind: 'shares',
        owner: account,
        identifiers: concerned.map(([identifier]) => String(identifier)),
      }
      tx.publish(change)
    }),
  },
})
