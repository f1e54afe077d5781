// XEP-0160: the messages that wait for their account's next login. Store workers import this file: it must stay light.

import { defineStore, read, StoreError, write } from '../../store/contracts.ts'

/** A stored message: XML text in the namespace jabber:client. */
export interface StoredMessage {
  readonly id: number
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly xml: string
}

export const offlineStore = defineStore({
  name: 'offline',
  scale: 'account',
  migrations: [
    `
CREATE TABLE offline_message (
  id BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  xml TEXT NOT NULL
);
`,
  ],
  operations: {
    /** Keeps a message. Throws `full` when `limit` of them wait already. */
    append: write(
      async (tx, { xml, at, limit }: { readonly xml: string; readonly at: number; readonly limit: number }) => {
        const [count, last] = (await tx.get('SELECT count(*), max(id) FROM offline_message')) ?? []
        if (Number(count) >= limit) throw new StoreError('full', 'too many messages wait')
        await tx.run('INSERT INTO offline_message (id, at, xml) VALUES (?, ?, ?)', Number(last ?? 0) + 1, at, xml)
      },
    ),

    /** The oldest messages behind `after`, at most `limit`. */
    page: read(
      async (
        tx,
        { after, limit }: { readonly after: number; readonly limit: number },
      ): Promise<readonly StoredMessage[]> => {
        const rows = await tx.all(
          'SELECT id, at, xml FROM offline_message WHERE id > ? ORDER BY id LIMIT ?',
          after,
          limit,
        )
        return rows.map(([id, at, xml]) => ({ id: Number(id), at: Number(at), xml: String(xml) }))
      },
    ),

    /** Forgets the messages up to and with `id`: they were delivered. */
    delivered: write(async (tx, { id }: { readonly id: number }) => {
      await tx.run('DELETE FROM offline_message WHERE id <= ?', id)
    }),

    count: read(async (tx): Promise<number> => Number((await tx.get('SELECT count(*) FROM offline_message'))?.[0])),
  },
})
