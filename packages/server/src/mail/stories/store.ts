// Stories of mails on disk: a database of its own, so that telling never holds up delivering.

import { defineStore, read, type SqlRow, type Transaction, write } from '../../store/contracts.ts'
import type { Story } from '../pipeline/stories.ts'
import type { Step } from '../pipeline/trace.ts'

/** What happened. */
export interface Written {
  readonly told: readonly Story[]
  readonly more: readonly { readonly id: string; readonly steps: readonly Step[] }[]
}

/** The name of the database. */
export const STORIES = 'stories'

export const storyStore = defineStore({
  name: 'story',
  scale: 'service',
  migrations: [
    `CREATE TABLE story (
       id TEXT PRIMARY KEY, at INTEGER NOT NULL, pipeline TEXT NOT NULL, protocol TEXT NOT NULL, session TEXT NOT NULL, remote_address TEXT NOT NULL,
       account TEXT NOT NULL, sender TEXT NOT NULL, size INTEGER NOT NULL, outcome TEXT NOT NULL, steps TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX story_at ON story (at);
     CREATE TABLE story_address (address TEXT NOT NULL, at INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (address, at, id)) STRICT, WITHOUT ROWID;
     CREATE INDEX story_address_id ON story_address (id);`,
  ],
  operations: {
    /** Takes down what happened since the last time. As JSON: one text goes to the store's thread and into its journal in a fraction of the time of thousands of small objects. */
    tell: write(async (tx, written: { readonly json: string } | Written) => {
      // Journals of former editions have it as it is.
      const { told, more } = 'json' in written ? (JSON.parse(written.json) as Written) : written
      for (const story of told) {
        await tx.run(
          'INSERT INTO story (id, at, pipeline, protocol, session, remote_address, account, sender, size, outcome, steps) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING',
          story.id,
          story.at,
          story.pipeline,
          story.protocol,
          story.session,
          story.remoteAddress,
          story.account,
          story.sender,
          story.size,
          story.outcome,
          JSON.stringify(story.steps),
        )
        for (const address of new Set([story.sender, ...story.recipients.slice(0, INDEXED)]))
          if (address !== '')
            await tx.run(
              'INSERT INTO story_address (address, at, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
              address.toLowerCase(),
              story.at,
              story.id,
            )
      }
      for (const { id, steps } of more) {
        const row = await tx.get('SELECT steps FROM story WHERE id = ?', id)
        if (row === undefined) continue
        const all = [...(JSON.parse(String(row[0])) as Step[]), ...steps]
        // The first steps tell how it came in, the last how it ended; a week of attempts in between is much the same.
        const kept = all.length <= MOST_STEPS ? all : [...all.slice(0, MOST_STEPS / 2), ...all.slice(-MOST_STEPS / 2)]
        await tx.run('UPDATE story SET steps = ? WHERE id = ?', JSON.stringify(kept), id)
      }
    }),

    /** The story of one mail. */
    byId: read(async (tx, { id }: { readonly id: string }) => {
      const row = await tx.get(`SELECT ${COLUMNS} FROM story WHERE id = ?`, id)
      return row === undefined ? undefined : storyOf(tx, row)
    }),

    /** The newest mails from or to an address. */
    byAddress: read(async (tx, { address, limit }: { readonly address: string; readonly limit: number }) => {
      const rows = await tx.all(
        `SELECT ${COLUMNS} FROM story WHERE id IN (SELECT id FROM story_address WHERE address = ? ORDER BY at DESC LIMIT ?) ORDER BY at DESC`,
        address.toLowerCase(),
        limit,
      )
      const stories: Story[] = []
      for (const row of rows) stories.push(await storyOf(tx, row))
      return stories
    }),

    /** Forgets what is older; some at a time. Tells whether there is more. */
    forget: write(async (tx, { before }: { readonly before: number }) => {
      const old = await tx.all('SELECT id FROM story WHERE at < ? ORDER BY at LIMIT 500', before)
      for (const [id] of old) {
        await tx.run('DELETE FROM story_address WHERE id = ?', String(id))
        await tx.run('DELETE FROM story WHERE id = ?', String(id))
      }
      return old.length === 500
    }),
  },
})

/** Recipients that a story is found by. */
const INDEXED = 50
const MOST_STEPS = 1000

const COLUMNS = 'id, at, pipeline, protocol, session, remote_address, account, sender, size, outcome, steps'

async function storyOf(tx: Transaction, row: SqlRow): Promise<Story> {
  const addresses = await tx.all('SELECT address FROM story_address WHERE id = ? ORDER BY address', String(row[0]))
  return {
    id: String(row[0]),
    at: Number(row[1]),
    pipeline: String(row[2]),
    protocol: String(row[3]),
    session: String(row[4]),
    remoteAddress: String(row[5]),
    account: String(row[6]),
    sender: String(row[7]),
    recipients: addresses.map(([address]) => String(address)).filter((one) => one !== String(row[7]).toLowerCase()),
    size: Number(row[8]),
    outcome: String(row[9]) as Story['outcome'],
    steps: JSON.parse(String(row[10])) as Step[],
  }
}
