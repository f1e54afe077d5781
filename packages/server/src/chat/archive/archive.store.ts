// XEP-0313: an account's message archive, in its own database. Store workers import this file: it must stay light.

import { append, defineStore, read, type SqlValue, write } from '../../store/contracts.ts'
import {
  type ArchivedMessage,
  type ArchiveQuery,
  endsOf,
  newest,
  prune,
  PRUNED_EVERY,
  queryShelf,
  searchShelf,
  type Shelf,
} from './shelf.ts'

/** What an archive may hold. */
export interface Bounds {
  /** What is older than this is forgotten. */
  readonly oldest: number
  /** How many messages are kept. */
  readonly most: number
}

export interface NewMessage extends ArchivedMessage, Bounds {
  /** The other party: its bare JID, and its resource or ''. */
  readonly contact: string
  readonly resource: string
}

export interface Preference {
  /** '' for the default. */
  readonly jid: string
  readonly rule: 'always' | 'never' | 'roster'
}

const SHELF: Shelf = { table: 'archive_message', own: '', all: '', key: [], columns: 'id, at, xml, seq' }

/** So many rows are written by one statement, where there are as many. */
const TOGETHER = 16
const ROW = '(?, ?, ?, ?, ?, ?)'
const INSERT_ONE = `INSERT INTO archive_message (seq, id, at, contact, resource, xml) VALUES ${ROW}`
const INSERT_MANY = INSERT_ONE + `, ${ROW}`.repeat(TOGETHER - 1)

/** How often it was pruned up to this place. */
const every = (seq: number): number => Math.floor(seq / PRUNED_EVERY)

export const archiveStore = defineStore({
  name: 'archive',
  scale: 'account',
  migrations: [
    `
CREATE TABLE archive_message (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  at BIGINT NOT NULL,
  contact TEXT NOT NULL,
  resource TEXT NOT NULL,
  xml TEXT NOT NULL
);
CREATE UNIQUE INDEX archive_message_id ON archive_message (id);
CREATE INDEX archive_message_at ON archive_message (at);
CREATE INDEX archive_message_contact ON archive_message (contact, seq);
CREATE TABLE archive_preference (jid TEXT PRIMARY KEY, rule TEXT NOT NULL);
`,
  ],
  operations: {
    /** Keeps a message behind all others. */
    append: append(async (tx, all: readonly NewMessage[]) => {
      const before = await newest(tx, SHELF)
      let { seq, at } = before
      for (let from = 0; from < all.length;) {
        const some = all.slice(from, from + (all.length - from >= TOGETHER ? TOGETHER : 1))
        from += some.length
        const values: SqlValue[] = []
        for (const message of some) {
          at = Math.max(at, message.at)
          values.push(++seq, message.id, at, message.contact, message.resource, message.xml)
        }
        await tx.run(some.length === 1 ? INSERT_ONE : INSERT_MANY, ...values)
      }
      const last = all.at(-1)
      if (last === undefined) return
      for (let due = every(seq) - every(before.seq); due > 0; due--) await prune(tx, SHELF, last.oldest, last.most, seq)
    }),

    /** True where something is too old or too much. */
    prunable: read(async (tx, { oldest, most }: Bounds): Promise<boolean> => {
      const first = await tx.get('SELECT seq, at FROM archive_message ORDER BY seq LIMIT 1')
      if (first === undefined) return false
      return Number(first[1]) < oldest || Number(first[0]) <= (await newest(tx, SHELF)).seq - most
    }),

    /** Forgets what is too old or too much, a part of it at once. */
    prune: write(async (tx, { oldest, most }: Bounds) => {
      await prune(tx, SHELF, oldest, most, (await newest(tx, SHELF)).seq)
    }),

    /** A page. Throws `not-found` for an id, or an index, that is not there. */
    query: read((tx, query: ArchiveQuery) => queryShelf(tx, SHELF, query)),

    /** One step of a search, see `searchShelf`. */
    search: read((tx, search: Parameters<typeof searchShelf>[2]) => searchShelf(tx, SHELF, search)),

    /** The first and the last message; undefined where there is none. */
    ends: read((tx, { start }: { readonly start: number }) => endsOf(tx, SHELF, start)),

    preferences: read(async (tx): Promise<readonly Preference[]> =>
      (await tx.all('SELECT jid, rule FROM archive_preference ORDER BY jid')).map(([jid, rule]) => ({
        jid: String(jid),
        rule: rule === 'never' || rule === 'roster' ? rule : 'always',
      })),
    ),

    /** Takes the place of all preferences before. */
    prefer: write(async (tx, { preferences }: { readonly preferences: readonly Preference[] }) => {
      await tx.run('DELETE FROM archive_preference')
      for (const { jid, rule } of preferences)
        await tx.run('INSERT INTO archive_preference (jid, rule) VALUES (?, ?)', jid, rule)
    }),
  },
})
