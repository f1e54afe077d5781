// XEP-0115: which notifications clients with given capabilities want; it outlives a restart. Store workers import this file: it must stay light.

import { defineStore, read, write } from '../../store/contracts.ts'

export const capabilitiesStore = defineStore({
  name: 'capability',
  scale: 'core',
  migrations: [
    `
CREATE TABLE capability (hash TEXT PRIMARY KEY, wanted TEXT NOT NULL, at BIGINT NOT NULL);
CREATE INDEX capability_at ON capability (at);
`,
  ],
  operations: {
    get: read(async (tx, { hash }: { readonly hash: string }): Promise<readonly string[] | undefined> => {
      const row = await tx.get('SELECT wanted FROM capability WHERE hash = ?', hash)
      return row === undefined ? undefined : (JSON.parse(String(row[0])) as string[])
    }),

    /** Keeps what was verified; the oldest beyond `most` go. */
    put: write(
      async (
        tx,
        { hash, wanted, most }: { readonly hash: string; readonly wanted: readonly string[]; readonly most: number },
      ) => {
        await tx.run(
          'INSERT INTO capability (hash, wanted, at) VALUES (?, ?, ?) ON CONFLICT (hash) DO UPDATE SET at = excluded.at',
          hash,
          JSON.stringify(wanted),
          tx.now,
        )
        const oldest = await tx.get('SELECT at FROM capability ORDER BY at DESC LIMIT 1 OFFSET ?', most)
        if (oldest !== undefined) await tx.run('DELETE FROM capability WHERE at <= ?', Number(oldest[0]))
      },
    ),
  },
})
