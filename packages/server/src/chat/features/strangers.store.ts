// Whom an account has written to, and what strangers have written to it. Store workers import this file: it must stay light.

import { defineStore, read, StoreError, type Transaction, write } from '../../store/contracts.ts'

/** A stranger's message that waits until the account wants to know him. */
export interface HeldMessage {
  readonly id: number
  /** Milliseconds since the epoch. */
  readonly at: number
  /** XML text, in `jabber:client`. */
  readonly xml: string
}

const heldBy = async (tx: Transaction, sender: string): Promise<number> =>
  Number((await tx.get('SELECT count(*) FROM stranger_held WHERE sender = ?', sender))?.[0] ?? 0)

export const strangersStore = defineStore({
  name: 'strangers',
  scale: 'account',
  migrations: [
    `
CREATE TABLE correspondent (
  contact TEXT PRIMARY KEY,
  at BIGINT NOT NULL
);
CREATE INDEX correspondent_at ON correspondent (at);
CREATE TABLE stranger_held (
  id BIGINT PRIMARY KEY,
  sender TEXT NOT NULL,
  at BIGINT NOT NULL,
  xml TEXT NOT NULL
);
CREATE INDEX stranger_held_sender ON stranger_held (sender, id);
`,
  ],
  operations: {
    /** The account has written to that bare JID before. */
    knows: read(
      async (tx, { contact }: { readonly contact: string }): Promise<boolean> =>
        (await tx.get('SELECT 1 FROM correspondent WHERE contact = ?', contact)) !== undefined,
    ),

    /** Remembers a correspondent; of more than `limit`, the ones written to first are forgotten. Answers how many messages of his are held. */
    write: write(
      async (tx, { contact, limit }: { readonly contact: string; readonly limit: number }): Promise<number> => {
        await tx.run(
          'INSERT INTO correspondent (contact, at) VALUES (?, ?) ON CONFLICT (contact) DO UPDATE SET at = excluded.at',
          contact,
          tx.now,
        )
        const all = Number((await tx.get('SELECT count(*) FROM correspondent'))?.[0] ?? 0)
        if (all > limit)
          await tx.run(
            'DELETE FROM correspondent WHERE contact IN (SELECT contact FROM correspondent ORDER BY at, contact LIMIT ?)',
            all - limit,
          )
        return heldBy(tx, contact)
      },
    ),

    /** Keeps a message. Throws `full` when its sender has as many as `perSender`; of all, the oldest beyond `limit` go, and those of before `oldest`. */
    hold: write(
      async (
        tx,
        message: {
          readonly sender: string
          readonly xml: string
          readonly perSender: number
          readonly limit: number
          readonly oldest: number
        },
      ): Promise<void> => {
        await tx.run('DELETE FROM stranger_held WHERE at < ?', message.oldest)
        if ((await heldBy(tx, message.sender)) >= message.perSender)
          throw new StoreError('full', 'too many messages of this sender wait already')
        const id = Number((await tx.get('SELECT max(id) FROM stranger_held'))?.[0] ?? 0) + 1
        await tx.run(
          'INSERT INTO stranger_held (id, sender, at, xml) VALUES (?, ?, ?, ?)',
          id,
          message.sender,
          tx.now,
          message.xml,
        )
        const all = Number((await tx.get('SELECT count(*) FROM stranger_held'))?.[0] ?? 0)
        if (all > message.limit)
          await tx.run(
            'DELETE FROM stranger_held WHERE id IN (SELECT id FROM stranger_held ORDER BY id LIMIT ?)',
            all - message.limit,
          )
      },
    ),

    /** The messages of a sender that are held, in their order. */
    held: read(
      async (
        tx,
        { sender, oldest }: { readonly sender: string; readonly oldest: number },
      ): Promise<readonly HeldMessage[]> => {
        const rows = await tx.all(
          'SELECT id, at, xml FROM stranger_held WHERE sender = ? AND at >= ? ORDER BY id',
          sender,
          oldest,
        )
        return rows.map(([id, at, xml]) => ({ id: Number(id), at: Number(at), xml: String(xml) }))
      },
    ),

    /** Whose messages are held, and how many of each. */
    senders: read(
      async (
        tx,
        { oldest }: { readonly oldest: number },
      ): Promise<readonly { readonly sender: string; readonly count: number }[]> => {
        const rows = await tx.all(
          'SELECT sender, count(*) FROM stranger_held WHERE at >= ? GROUP BY sender ORDER BY max(id) DESC',
          oldest,
        )
        return rows.map(([sender, count]) => ({ sender: String(sender), count: Number(count) }))
      },
    ),

    /** Forgets what is held of a sender up to a message. */
    forget: write(async (tx, { sender, upTo }: { readonly sender: string; readonly upTo: number }): Promise<void> => {
      await tx.run('DELETE FROM stranger_held WHERE sender = ? AND id <= ?', sender, upTo)
    }),
  },
})
