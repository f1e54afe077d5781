// XEP-0191: whom an account has blocked. Store workers import this file: it must stay light.

import { defineStore, read, StoreError, type Transaction, write } from '../../store/contracts.ts'

const all = async (tx: Transaction): Promise<readonly string[]> =>
  (await tx.all('SELECT jid FROM blocked ORDER BY jid')).map(([jid]) => String(jid))

export const blockingStore = defineStore({
  name: 'blocked',
  scale: 'account',
  migrations: ['CREATE TABLE blocked (jid TEXT PRIMARY KEY, at BIGINT NOT NULL);'],
  operations: {
    list: read(all),

    /** Blocks these addresses, and answers all that are blocked. Throws `full`, and blocks none then. */
    block: write(
      async (
        tx,
        { jids, limit }: { readonly jids: readonly string[]; readonly limit: number },
      ): Promise<readonly string[]> => {
        for (const jid of jids)
          await tx.run('INSERT INTO blocked (jid, at) VALUES (?, ?) ON CONFLICT (jid) DO NOTHING', jid, tx.now)
        const now = await all(tx)
        if (now.length > limit) throw new StoreError('full', 'too many addresses are blocked')
        return now
      },
    ),

    /** Blocks these no more, or nobody at all; answers those that still are. */
    unblock: write(async (tx, { jids }: { readonly jids: readonly string[] | 'all' }): Promise<readonly string[]> => {
      if (jids === 'all') await tx.run('DELETE FROM blocked')
      else for (const jid of jids) await tx.run('DELETE FROM blocked WHERE jid = ?', jid)
      return all(tx)
    }),
  },
})
