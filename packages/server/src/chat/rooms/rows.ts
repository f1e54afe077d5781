// XEP-0045: rooms, who is what in them, and who was there, as they lie in a database. Store workers import this file: it must stay light.

import { type SqlRow, StoreError, type Transaction } from '../../store/contracts.ts'

export const TABLES = `
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
`

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

export const toRoom = ([id, name, config, subject, salt, avatar, locked]: SqlRow): RoomRow => ({
  id: Number(id),
  name: String(name),
  config: String(config),
  subject: String(subject),
  salt: String(salt),
  avatar: String(avatar),
  locked: locked === 1,
})

export const toTombstone = ([at, reason, venue]: SqlRow): TombstoneRow => ({
  at: Number(at),
  reason: String(reason),
  venue: String(venue),
})

/** Takes a room and all that belongs to it away. */
export async function remove(tx: Transaction, id: number): Promise<void> {
  await tx.run('DELETE FROM room_affiliation WHERE room = ?', id)
  await tx.run('DELETE FROM room_message WHERE room = ?', id)
  await tx.run('DELETE FROM room WHERE id = ?', id)
}

/** True for a room that is there. */
export const exists = async (tx: Transaction, id: number): Promise<boolean> =>
  (await tx.get('SELECT id FROM room WHERE id = ?', id)) !== undefined

/** Keeps who is what in a room. Throws `not-found` where the room is no more. */
export async function affiliate(tx: Transaction, room: number, rows: readonly AffiliationRow[]): Promise<void> {
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
