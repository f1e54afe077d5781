// What greylisting remembers: who asked for what when. Keys are digests, so that nobody reads from it who writes to whom.

import { defineStore, read, type Transaction, write } from '../../../store/contracts.ts'

/** `triplet`: network, sender and recipient. `host`: a network that has passed. `friend`: somebody whom an account wrote to. */
export type EntryKind = 'triplet' | 'host' | 'friend'

export interface Entry {
  readonly kind: EntryKind
  readonly key: Uint8Array
}

/** What is known of an entry. Times in milliseconds since the epoch. */
export interface Known {
  readonly first: number
  /** How often it has passed. */
  readonly passed: number
  readonly expires: number
}

const KINDS: Readonly<Record<EntryKind, number>> = { triplet: 0, host: 1, friend: 2 }

/** Entries that are dropped at once when there are too many. */
const DROP = 1000
/** Rows that one change clears away. */
const SWEEP = 200

export const greylistStore = defineStore({
  name: 'greylist',
  scale: 'core',
  migrations: [
    `CREATE TABLE greylist (
       kind INTEGER NOT NULL, digest BLOB NOT NULL, first_ms BIGINT NOT NULL, passed INTEGER NOT NULL, expires_ms BIGINT NOT NULL,
       PRIMARY KEY (kind, digest)
     ) WITHOUT ROWID;
     CREATE INDEX greylist_expires ON greylist (expires_ms);
     CREATE TABLE greylist_size (one INTEGER PRIMARY KEY, entries INTEGER NOT NULL);
     INSERT INTO greylist_size VALUES (1, 0);`,
  ],
  operations: {
    /** What is known of each entry; undefined for those that are unknown or have expired. */
    look: read(async (tx, { entries }: { readonly entries: readonly Entry[] }): Promise<(Known | undefined)[]> => {
      const found: (Known | undefined)[] = []
      for (const { kind, key } of entries) found.push(await known(tx, kind, key))
      return found
    }),

    /**
     * Writes entries: one that is new begins now, one that is known keeps its beginning; `passed` is added to its count. It expires after `keep` milliseconds.
     * Clears away what has expired, and with more than `most` entries those that would expire next.
     */
    remember: write(
      async (
        tx,
        {
          entries,
          most,
        }: {
          readonly entries: readonly (Entry & { readonly passed: number; readonly keep: number })[]
          readonly most: number
        },
      ): Promise<void> => {
        let change = -(await tx.run(
          'DELETE FROM greylist WHERE (kind, digest) IN (SELECT kind, digest FROM greylist WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?)',
          tx.now,
          SWEEP,
        ))
        for (const { kind, key, passed, keep } of entries) {
          const before = await known(tx, kind, key)
          // One that has expired, and was not cleared away yet, begins anew.
          if (before === undefined) {
            change -= await tx.run('DELETE FROM greylist WHERE kind = ? AND digest = ?', KINDS[kind], key)
            await tx.run(
              'INSERT INTO greylist (kind, digest, first_ms, passed, expires_ms) VALUES (?, ?, ?, ?, ?)',
              KINDS[kind],
              key,
              tx.now,
              passed,
              tx.now + keep,
            )
            change++
          } else
            await tx.run(
              'UPDATE greylist SET passed = passed + ?, expires_ms = ? WHERE kind = ? AND digest = ?',
              passed,
              tx.now + keep,
              KINDS[kind],
              key,
            )
        }
        const size = Number((await tx.get('SELECT entries FROM greylist_size'))?.[0] ?? 0) + change
        const dropped =
          size <= most
            ? 0
            : await tx.run(
                'DELETE FROM greylist WHERE (kind, digest) IN (SELECT kind, digest FROM greylist ORDER BY expires_ms LIMIT ?)',
                Math.max(size - most, Math.min(DROP, Math.ceil(most / 100))),
              )
        if (change - dropped !== 0) await tx.run('UPDATE greylist_size SET entries = ?', size - dropped)
      },
    ),

    /** How many entries there are. */
    size: read(async (tx): Promise<number> => Number((await tx.get('SELECT COUNT(*) FROM greylist'))?.[0] ?? 0)),
  },
})

async function known(tx: Transaction, kind: EntryKind, key: Uint8Array): Promise<Known | undefined> {
  const row = await tx.get(
    'SELECT first_ms, passed, expires_ms FROM greylist WHERE kind = ? AND digest = ? AND expires_ms > ?',
    KINDS[kind],
    key,
    tx.now,
  )
  return row === undefined ? undefined : { first: Number(row[0]), passed: Number(row[1]), expires: Number(row[2]) }
}
