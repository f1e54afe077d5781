// Secrets that the server makes once and keeps: for what only it must be able to make. Store workers import this file: it must stay light.

import { defineStore, write } from './contracts.ts'

export const secretsStore = defineStore({
  name: 'secret',
  scale: 'core',
  migrations: ['CREATE TABLE secret (name TEXT PRIMARY KEY, octets BLOB NOT NULL);'],
  operations: {
    /** The secret of that name; `fresh` becomes it where there is none. */
    get: write(
      async (tx, { name, fresh }: { readonly name: string; readonly fresh: Uint8Array }): Promise<Uint8Array> => {
        await tx.run('INSERT INTO secret (name, octets) VALUES (?, ?) ON CONFLICT (name) DO NOTHING', name, fresh)
        const row = await tx.get('SELECT octets FROM secret WHERE name = ?', name)
        const kept = row?.[0]
        if (!(kept instanceof Uint8Array)) throw new Error(`the secret ${name} cannot be read`)
        return kept
      },
    ),
  },
})
