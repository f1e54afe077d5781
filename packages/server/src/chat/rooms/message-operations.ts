// XEP-0313 §2.2: the messages of rooms, one shelf a room. Store workers import this file: it must stay light.

import { append, read, type Transaction, write } from '../../store/contracts.ts'
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
} from '../archive/shelf.ts'
import { exists } from './rows.ts'

const shelf = (room: number): Shelf => ({
  table: 'room_message',
  own: 'room = ? AND ',
  all: 'WHERE room = ?',
  key: [room],
  columns: 'id, at, xml, seq, sender',
})

/** A message of a room. */
export interface RoomMessage extends Required<ArchivedMessage> {
  readonly room: number
  readonly contact: string
  readonly resource: string
  readonly oldest: number
  readonly most: number
  readonly archived: boolean
  readonly subject?: string | undefined
}

async function appendTo(tx: Transaction, message: RoomMessage): Promise<void> {
  const { room, subject, archived, id, at, contact, resource, sender, xml, oldest, most } = message
  // What comes late for a room that is gone must not lie there for the next one of its number.
  if (!(await exists(tx, room))) return
  if (subject !== undefined) await tx.run('UPDATE room SET subject = ? WHERE id = ?', subject, room)
  if (!archived) return
  const own = shelf(room)
  const last = await newest(tx, own)
  const seq = last.seq + 1
  await tx.run(
    'INSERT INTO room_message (room, seq, id, at, contact, resource, sender, xml) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    room,
    seq,
    id,
    Math.max(at, last.at),
    contact,
    resource,
    sender,
    xml,
  )
  if (seq % PRUNED_EVERY === 0) await prune(tx, own, oldest, most, seq)
}

export const messageOperations = {
  /** Keeps a message behind all others of its room; `subject` where it changes that. */
  append: append(async (tx, all: readonly RoomMessage[]) => {
    for (const message of all) await appendTo(tx, message)
  }),

  /** Puts another text in the place of a message; undefined where there is none, else what was there and who had sent it. */
  replace: write(
    async (
      tx,
      { room, id, xml }: { readonly room: number; readonly id: string; readonly xml: string },
    ): Promise<void> => {
      await tx.run('UPDATE room_message SET xml = ? WHERE room = ? AND id = ?', xml, room, id)
    },
  ),

  message: read(
    async (
      tx,
      { room, id }: { readonly room: number; readonly id: string },
    ): Promise<Required<ArchivedMessage> | undefined> => {
      const row = await tx.get('SELECT id, at, xml, sender FROM room_message WHERE room = ? AND id = ?', room, id)
      if (row === undefined) return undefined
      return { id: String(row[0]), at: Number(row[1]), xml: String(row[2]), sender: String(row[3]) }
    },
  ),

  query: read((tx, { room, ...query }: ArchiveQuery & { readonly room: number }) => queryShelf(tx, shelf(room), query)),
  search: read((tx, { room, ...search }: Parameters<typeof searchShelf>[2] & { readonly room: number }) =>
    searchShelf(tx, shelf(room), search),
  ),
  ends: read((tx, { room, start }: { readonly room: number; readonly start: number }) =>
    endsOf(tx, shelf(room), start),
  ),
  prune: write(
    async (tx, { room, oldest, most }: { readonly room: number; readonly oldest: number; readonly most: number }) =>
      prune(tx, shelf(room), oldest, most, (await newest(tx, shelf(room))).seq),
  ),
}
