// XEP-0045: the rooms of one service, in a database of their own. Store workers import this file: it must stay light.

import { append, defineStore, read, type SqlRow, StoreError, type Transaction, write } from '../../store/contracts.ts'
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

/** A room as it is kept. */
export interface RoomRow {
  readonly id: number
  readonly name: string
  /** JSON, see `RoomConfig`. */
  readonly config: string
  /** JSON, see `Subject`, or ''. */
  readonly subject: string
  /** For the ids of its occupants. */
  readonly salt: string
  /** The hash of its picture (XEP-0153), or ''. */
  readonly avatar: string
  readonly locked: boolean
}

export interface AffiliationRow {
  readonly jid: string
  readonly affiliation: string
  readonly nick: string
  readonly reason: string
  /** JSON. */
  readonly hats: string
}

export interface TombstoneRow {
  readonly at: number
  readonly reason: string
  readonly venue: string
}

/** Somebody who was in a room when the server stopped. */
export interface OccupantRow {
  readonly room: string
  /** The full JID. */
  readonly jid: string
  readonly nick: string
  readonly role: string
  /** XML. */
  readonly presence: string
}

/** What of a room's settings lists and clean-up look at. */
export interface RoomMarks {
  readonly config: string
  readonly title: string
  readonly listed: boolean
  readonly persistent: boolean
}

export interface ListedRoom {
  readonly name: string
  readonly title: string
}

/** A part of a list (XEP-0059), in the order of the names. */
export interface RoomListPage {
  readonly all: boolean
  readonly max: number
  readonly after?: string | undefined
  readonly before?: string | undefined
  readonly backwards: boolean
}

const shelf = (room: number): Shelf => ({
  table: 'room_message',
  own: 'room = ? AND ',
  all: 'WHERE room = ?',
  key: [room],
  columns: 'id, at, xml, seq, sender',
})

const toRoom = ([id, name, config, subject, salt, avatar, locked]: SqlRow): RoomRow => ({
  id: Number(id),
  name: String(name),
  config: String(config),
  subject: String(subject),
  salt: String(salt),
  avatar: String(avatar),
  locked: locked === 1,
})

const toTombstone = ([at, reason, venue]: SqlRow): TombstoneRow => ({
  at: Number(at),
  reason: String(reason),
  venue: String(venue),
})

async function remove(tx: Transaction, id: number): Promise<void> {
  await tx.run('DELETE FROM room_affiliation WHERE room = ?', id)
  await tx.run('DELETE FROM room_message WHERE room = ?', id)
  await tx.run('DELETE FROM room WHERE id = ?', id)
}

const exists = async (tx: Transaction, id: number): Promise<boolean> =>
  (await tx.get('SELECT id FROM room WHERE id = ?', id)) !== undefined

async function affiliate(tx: Transaction, room: number, rows: readonly AffiliationRow[]): Promise<void> {
  if (!(await exists(tx, room))) throw new StoreError('not-found', 'the room is no more')
  for (const { jid, affiliation, nick, reason, hats } of rows) {
    await tx.run('DELETE FROM room_affiliation WHERE room = ? AND jid = ?', room, jid)
    if (affiliation !== 'none' || nick !== '' || hats !== '[]')
      await tx.run(
        'INSERT INTO room_affiliation (room, jid, affiliation, nick, reason, hats) VALUES (?, ?, ?, ?, ?, ?)',
        room,
        jid,
        affiliation,
        nick,
        reason,
        hats,
      )
  }
}

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

export const roomsStore = defineStore({
  name: 'rooms',
  scale: 'service',
  migrations: [
    `
CREATE TABLE room (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  config TEXT NOT NULL,
  title TEXT NOT NULL,
  listed INTEGER NOT NULL,
  persistent INTEGER NOT NULL,
  subject TEXT NOT NULL,
  salt TEXT NOT NULL,
  card TEXT NOT NULL,
  avatar TEXT NOT NULL,
  locked INTEGER NOT NULL
);
CREATE UNIQUE INDEX room_name ON room (name);
CREATE INDEX room_listed ON room (listed, name);
CREATE TABLE room_affiliation (
  room INTEGER NOT NULL,
  jid TEXT NOT NULL,
  affiliation TEXT NOT NULL,
  nick TEXT NOT NULL,
  reason TEXT NOT NULL,
  hats TEXT NOT NULL,
  PRIMARY KEY (room, jid)
);
CREATE TABLE room_message (
  room INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  id TEXT NOT NULL,
  at BIGINT NOT NULL,
  contact TEXT NOT NULL,
  resource TEXT NOT NULL,
  sender TEXT NOT NULL,
  xml TEXT NOT NULL,
  PRIMARY KEY (room, seq)
);
CREATE UNIQUE INDEX room_message_id ON room_message (room, id);
CREATE INDEX room_message_at ON room_message (room, at);
CREATE TABLE room_tombstone (name TEXT PRIMARY KEY, at BIGINT NOT NULL, reason TEXT NOT NULL, venue TEXT NOT NULL);
CREATE TABLE room_occupant (
  room TEXT NOT NULL,
  jid TEXT NOT NULL,
  nick TEXT NOT NULL,
  role TEXT NOT NULL,
  presence TEXT NOT NULL,
  PRIMARY KEY (room, jid)
);
`,
  ],
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

    query: read((tx, { room, ...query }: ArchiveQuery & { readonly room: number }) =>
      queryShelf(tx, shelf(room), query),
    ),
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
  },
})
