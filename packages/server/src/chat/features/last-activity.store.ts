// XEP-0012: when an account was seen last. Store workers import this file: it must stay light.

import { defineStore, read, write } from '../../store/contracts.ts'

export interface LastActivity {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** What was said at the goodbye. */
  readonly status: string
}

export const lastActivityStore = defineStore({
  name: 'last_activity',
  scale: 'account',
  migrations: ['CREATE TABLE last_activity (one BIGINT PRIMARY KEY, at BIGINT NOT NULL, status TEXT NOT NULL);'],
  operations: {
    get: read(async (tx): Promise<LastActivity | undefined> => {
      const row = await tx.get('SELECT at, status FROM last_activity WHERE one = 1')
      return row === undefined ? undefined : { at: Number(row[0]), status: String(row[1]) }
    }),

    set: write(async (tx, { at, status }: LastActivity) => {
      await tx.run(
        'INSERT INTO last_activity (one, at, status) VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET at = excluded.at, status = excluded.status',
        at,
        status,
      )
    }),
  },
})
