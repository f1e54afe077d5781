// XEP-0045: the rooms of one service, in a database of their own. Store workers import this file: it must stay light.

import { defineStore, read, StoreError, write } from '../../store/contracts.ts'
import { messageOperations } from './message-operations.ts'
import {
  affiliate,
  type AffiliationRow,
  type ListedRoom,
  type OccupantRow,
  remove,
  type RoomListPage,
  type RoomMarks,
  type RoomRow,
  TABLES,
  toRoom,
  toTombstone,
  type TombstoneRow,
} from './rows.ts'

export const roomsStore = defineStore({
  name: 'rooms',
  scale: 'service',
  migrations: [TABLES],
  operations: {
    /** A room and its affiliations, or what is known of one that was. */
    load: read(
      async (
        tx,
        { name }: { readonly name: string },
      ): Promise<{
        readonly room: RoomRow | undefined
        readonly affiliations: readonly AffiliationRow[]
        readonly tombstone: TombstoneRow | undefined
      }> => {
        const row = await tx.get(
          'SELECT id, name, config, subject, salt, avatar, locked FROM room WHERE name = ?',
          name,
        )
        if (row === undefined) {
          const stone = await tx.get('SELECT at, reason, venue FROM room_tombstone WHERE name = ?', name)
          return { room: undefined, affiliations: [], tombstone: stone && toTombstone(stone) }
        }
        const rows = await tx.all(
          'SELECT jid, affiliation, nick, reason, hats FROM room_affiliation WHERE room = ? ORDER BY jid',
          Number(row[0]),
        )
        const affiliations = rows.map(([jid, affiliation, nick, reason, hats]) => ({
          jid: String(jid),
          affiliation: String(affiliation),
          nick: String(nick),
          reason: String(reason),
          hats: String(hats),
        }))
        return { room: toRoom(row), affiliations, tombstone: undefined }
      },
    ),

    /** Makes a room. Throws `exists`, or `full` where there are `most` rooms. */
    create: write(
      async (
        tx,
        args: RoomMarks & {
          readonly name: string
          readonly salt: string
          readonly locked: boolean
          readonly affiliations: readonly AffiliationRow[]
          readonly most: number
        },
      ): Promise<number> => {
        if ((await tx.get('SELECT id FROM room WHERE name = ?', args.name)) !== undefined)
          throw new StoreError('exists', 'there is such a room')
        const count = Number((await tx.get('SELECT count(*) FROM room'))?.[0])
        if (count >= args.most) throw new StoreError('full', 'there are too many rooms')
        const id = Number((await tx.get('SELECT max(id) FROM room'))?.[0] ?? 0) + 1
        await tx.run('DELETE FROM room_tombstone WHERE name = ?', args.name)
        await tx.run(
          `INSERT INTO room (id, name, config, title, listed, persistent, subject, salt, card, avatar, locked) VALUES (?, ?, ?, ?, ?, ?, '', ?, '', '', ?)`,
          id,
          args.name,
          args.config,
          args.title,
          args.listed ? 1 : 0,
          args.persistent ? 1 : 0,
          args.salt,
          args.locked ? 1 : 0,
        )
        await affiliate(tx, id, args.affiliations)
        return id
      },
    ),

    /** Keeps the settings, and with them affiliations that changed. A room that is saved is not locked any more. */
    save: write(
      async (tx, args: RoomMarks & { readonly id: number; readonly affiliations: readonly AffiliationRow[] }) => {
        await tx.run(
          'UPDATE room SET config = ?, title = ?, listed = ?, persistent = ?, locked = 0 WHERE id = ?',
          args.config,
          args.title,
          args.listed ? 1 : 0,
          args.persistent ? 1 : 0,
          args.id,
        )
        await affiliate(tx, args.id, args.affiliations)
      },
    ),

    affiliate: write(
      async (tx, { id, affiliations }: { readonly id: number; readonly affiliations: readonly AffiliationRow[] }) =>
        affiliate(tx, id, affiliations),
    ),

    card: read(async (tx, { id }: { readonly id: number }): Promise<string> =>
      String((await tx.get('SELECT card FROM room WHERE id = ?', id))?.[0] ?? ''),
    ),
    saveCard: write(
      async (tx, { id, card, avatar }: { readonly id: number; readonly card: string; readonly avatar: string }) => {
        await tx.run('UPDATE room SET card = ?, avatar = ? WHERE id = ?', card, avatar, id)
      },
    ),

    /** Forgets a room and all that belongs to it; `tombstone` says what became of it. */
    destroy: write(
      async (
        tx,
        {
          id,
          name,
          tombstone,
        }: { readonly id: number; readonly name: string; readonly tombstone?: TombstoneRow | undefined },
      ) => {
        await remove(tx, id)
        if (tombstone !== undefined)
          await tx.run(
            'INSERT INTO room_tombstone (name, at, reason, venue) VALUES (?, ?, ?, ?)',
            name,
            tombstone.at,
            tombstone.reason,
            tombstone.venue,
          )
      },
    ),

    /** Forgets tombstones that are older, and rooms that do not stay and are not among `occupied`: what a crash has left. */
    sweep: write(
      async (
        tx,
        { before, occupied }: { readonly before: number; readonly occupied: readonly string[] },
      ): Promise<number> => {
        await tx.run('DELETE FROM room_tombstone WHERE at < ?', before)
        const kept = new Set(occupied)
        let gone = 0
        for (const [id, name] of await tx.all('SELECT id, name FROM room WHERE persistent = 0'))
          if (!kept.has(String(name))) {
            await remove(tx, Number(id))
            gone++
          }
        return gone
      },
    ),

    list: read(
      async (
        tx,
        { all, max, after, before, backwards }: RoomListPage,
      ): Promise<{ readonly rooms: readonly ListedRoom[]; readonly count: number; readonly index: number }> => {
        const which = all ? 'listed >= 0' : 'listed = 1 AND locked = 0'
        const low = after ?? ''
        const high = before ?? '\u{10ffff}'
        const rows = await tx.all(
          `SELECT name, title FROM room WHERE ${which} AND name > ? AND name < ? ORDER BY name ${backwards ? 'DESC' : 'ASC'} LIMIT ?`,
          low,
          high,
          max,
        )
        const rooms = rows.map(([name, title]) => ({ name: String(name), title: String(title) }))
        if (backwards) rooms.reverse()
        const count = Number((await tx.get(`SELECT count(*) FROM room WHERE ${which}`))?.[0])
        const first = rooms[0]?.name ?? ''
        const index = Number((await tx.get(`SELECT count(*) FROM room WHERE ${which} AND name < ?`, first))?.[0])
        return { rooms, count, index }
      },
    ),

    /** Who is in rooms, for the next start; takes the place of what was kept before. */
    keepOccupants: write(async (tx, { occupants }: { readonly occupants: readonly OccupantRow[] }) => {
      await tx.run('DELETE FROM room_occupant')
      for (const { room, jid, nick, role, presence } of occupants)
        await tx.run(
          'INSERT INTO room_occupant (room, jid, nick, role, presence) VALUES (?, ?, ?, ?, ?)',
          room,
          jid,
          nick,
          role,
          presence,
        )
    }),

    occupants: read(async (tx): Promise<readonly OccupantRow[]> =>
      (await tx.all('SELECT room, jid, nick, role, presence FROM room_occupant ORDER BY room, jid')).map(
        ([room, jid, nick, role, presence]) => ({
          room: String(room),
          jid: String(jid),
          nick: String(nick),
          role: String(role),
          presence: String(presence),
        }),
      ),
    ),

    ...messageOperations,
  },
})
