// What the server has to say to everybody: the message of the day, the welcome. Store workers import this file: it must stay light.

import { type Change, defineStore, read, write } from '../../store/contracts.ts'

export type NoticeName = 'motd' | 'welcome'

/** Published on the core topic. */
export interface NoticeChange extends Change {
  readonly kind: 'chat-notice'
  readonly name: NoticeName
  readonly text: string | undefined
}

export const noticesStore = defineStore({
  name: 'chat_notice',
  scale: 'core',
  migrations: ['CREATE TABLE chat_notice (name TEXT PRIMARY KEY, text TEXT NOT NULL, at BIGINT NOT NULL);'],
  operations: {
    get: read(async (tx, { name }: { readonly name: NoticeName }): Promise<string | undefined> => {
      const row = await tx.get('SELECT text FROM chat_notice WHERE name = ?', name)
      return row === undefined ? undefined : String(row[0])
    }),

    /** Sets the text, or takes it away. */
    set: write(async (tx, { name, text }: { readonly name: NoticeName; readonly text: string | undefined }) => {
      if (text === undefined) await tx.run('DELETE FROM chat_notice WHERE name = ?', name)
      else
        await tx.run(
          'INSERT INTO chat_notice (name, text, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text, at = excluded.at',
          name,
          text,
          tx.now,
        )
      const change: NoticeChange = { kind: 'chat-notice', name, text }
      tx.publish(change)
    }),
  },
})
