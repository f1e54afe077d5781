// XEP-0198: the streams that go on when the server does. Store workers import this file: it must stay light.

import { defineStore, write } from '../../store/contracts.ts'

export interface SuspendedStream {
  readonly id: string
  /** The account's id. */
  readonly account: string
  /** The account's. */
  readonly domain: string
  /** When the client is given up. Milliseconds since the epoch. */
  readonly until: number
  /** JSON. */
  readonly state: string
}

/** The database of the streams: one, so that all of them are written, and found again, at once. */
export const SUSPENDED = 'chat-suspended'

export const suspendedStore = defineStore({
  name: 'suspended',
  scale: 'service',
  migrations: [
    `
CREATE TABLE suspended_stream (
  seq BIGINT PRIMARY KEY,
  id TEXT NOT NULL,
  account TEXT NOT NULL,
  domain TEXT NOT NULL,
  until BIGINT NOT NULL,
  state TEXT NOT NULL
);
CREATE INDEX suspended_stream_domain ON suspended_stream (domain, seq);
`,
  ],
  operations: {
    add: write(async (tx, { streams }: { readonly streams: readonly SuspendedStream[] }) => {
      let seq = Number((await tx.get('SELECT max(seq) FROM suspended_stream'))?.[0] ?? 0)
      for (const { id, account, domain, until, state } of streams)
        await tx.run(
          'INSERT INTO suspended_stream (seq, id, account, domain, until, state) VALUES (?, ?, ?, ?, ?, ?)',
          ++seq,
          id,
          account,
          domain,
          until,
          state,
        )
    }),

    /** Forgets the first ones of a domain, some more than `characters` at most, and answers them: none is answered twice. */
    take: write(
      async (
        tx,
        { domain, characters }: { readonly domain: string; readonly characters: number },
      ): Promise<readonly SuspendedStream[]> => {
        const sizes = await tx.all(
          'SELECT seq, length(state) FROM suspended_stream WHERE domain = ? ORDER BY seq LIMIT 1000',
          domain,
        )
        let last = 0
        let sum = 0
        for (const [seq, size] of sizes) {
          last = Number(seq)
          sum += Number(size)
          if (sum > characters) break
        }
        const rows = await tx.all(
          'SELECT id, account, until, state FROM suspended_stream WHERE domain = ? AND seq <= ? ORDER BY seq',
          domain,
          last,
        )
        await tx.run('DELETE FROM suspended_stream WHERE domain = ? AND seq <= ?', domain, last)
        return rows.map(([id, account, until, state]) => ({
          id: String(id),
          account: String(account),
          domain,
          until: Number(until),
          state: String(state),
        }))
      },
    ),
  },
})
