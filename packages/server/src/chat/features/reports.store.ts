// XEP-0377: what users report as spam or abuse. Store workers import this file: it must stay light.

import { defineStore, read, write } from '../../store/contracts.ts'

/** One report. */
export interface Report {
  readonly id: number
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Bare JIDs. */
  readonly reporter: string
  readonly reported: string
  /** The URN of the reason, such as `urn:xmpp:reporting:spam`. */
  readonly reason: string
  readonly text: string
  /** Ids in the reporter's archive, each with the JID that gave it. */
  readonly messages: readonly { readonly by: string; readonly id: string }[]
  /** What the reporter allows to be done with it: `report-origin`, `third-party`. */
  readonly processing: readonly string[]
}

export type NewReport = Omit<Report, 'id' | 'at'>

export const reportsStore = defineStore({
  name: 'chat_report',
  scale: 'core',
  migrations: [
    `
CREATE TABLE chat_report (
  id BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  reporter TEXT NOT NULL,
  reported TEXT NOT NULL,
  reason TEXT NOT NULL,
  text TEXT NOT NULL,
  detail TEXT NOT NULL
);
`,
  ],
  operations: {
    /** Keeps reports; of all that are kept, the oldest beyond `limit` go. */
    add: write(async (tx, { reports, limit }: { readonly reports: readonly NewReport[]; readonly limit: number }) => {
      let id = Number((await tx.get('SELECT max(id) FROM chat_report'))?.[0] ?? 0)
      for (const { reporter, reported, reason, text, messages, processing } of reports)
        await tx.run(
          'INSERT INTO chat_report (id, at, reporter, reported, reason, text, detail) VALUES (?, ?, ?, ?, ?, ?, ?)',
          ++id,
          tx.now,
          reporter,
          reported,
          reason,
          text,
          JSON.stringify({ messages, processing }),
        )
      await tx.run('DELETE FROM chat_report WHERE id <= ?', id - limit)
    }),

    /** Newest first, those before `before`. */
    list: read(
      async (
        tx,
        { before, limit }: { readonly before: number; readonly limit: number },
      ): Promise<readonly Report[]> => {
        const rows = await tx.all(
          'SELECT id, at, reporter, reported, reason, text, detail FROM chat_report WHERE id < ? ORDER BY id DESC LIMIT ?',
          before,
          limit,
        )
        return rows.map(([id, at, reporter, reported, reason, text, detail]) => ({
          id: Number(id),
          at: Number(at),
          reporter: String(reporter),
          reported: String(reported),
          reason: String(reason),
          text: String(text),
          ...(JSON.parse(String(detail)) as Pick<Report, 'messages' | 'processing'>),
        }))
      },
    ),

    /** Forgets one, or all. */
    remove: write(async (tx, { id }: { readonly id: number | 'all' }): Promise<number> => {
      if (id === 'all') return tx.run('DELETE FROM chat_report')
      return tx.run('DELETE FROM chat_report WHERE id = ?', id)
    }),
  },
})
