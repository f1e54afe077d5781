// XEP-0357: the app servers that want to be told. Store workers import this file: it must stay light.

import { defineStore, read, type Transaction, write } from '../../store/contracts.ts'

/** Where to publish. */
export interface Registration {
  readonly jid: string
  /** '' where none was named. */
  readonly node: string
  /** The form of options to publish with, as XML text; ''. */
  readonly options: string
}

const all = async (tx: Transaction): Promise<readonly Registration[]> =>
  (await tx.all('SELECT jid, node, options FROM push_registration ORDER BY at, jid, node')).map(
    ([jid, node, options]) => ({ jid: String(jid), node: String(node), options: String(options) }),
  )

export const pushStore = defineStore({
  name: 'push',
  scale: 'account',
  migrations: [
    'CREATE TABLE push_registration (jid TEXT NOT NULL, node TEXT NOT NULL, options TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (jid, node));',
  ],
  operations: {
    list: read(all),

    /** Keeps a registration in place of an older one for the same node; with more than `limit` the oldest goes. Answers all. */
    enable: write(
      async (
        tx,
        { jid, node, options, limit }: Registration & { readonly limit: number },
      ): Promise<readonly Registration[]> => {
        await tx.run(
          'INSERT INTO push_registration (jid, node, options, at) VALUES (?, ?, ?, ?) ON CONFLICT (jid, node) DO UPDATE SET options = excluded.options, at = excluded.at',
          jid,
          node,
          options,
          tx.now,
        )
        const kept = await all(tx)
        const others = kept.filter((each) => each.jid !== jid || each.node !== node)
        for (const old of others.slice(0, Math.max(0, kept.length - limit)))
          await tx.run('DELETE FROM push_registration WHERE jid = ? AND node = ?', old.jid, old.node)
        return all(tx)
      },
    ),

    /** Forgets a registration, or all of that address. Answers those that are left. */
    disable: write(
      async (
        tx,
        { jid, node }: { readonly jid: string; readonly node?: string | undefined },
      ): Promise<readonly Registration[]> => {
        if (node === undefined) await tx.run('DELETE FROM push_registration WHERE jid = ?', jid)
        else await tx.run('DELETE FROM push_registration WHERE jid = ? AND node = ?', jid, node)
        return all(tx)
      },
    ),
  },
})
