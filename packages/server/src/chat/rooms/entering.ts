// XEP-0045 §7.2, §7.6: entering a room, and changing one's nick in it.

import { type Element, type Jid, StanzaError } from '@aviso/xmpp'
import type { StanzaEvent } from '../core/contracts.ts'
import { MUC, type Occupant, RANK, type RoomSession } from './contracts.ts'
import { historyFor, type HistoryWish, readHistoryWish } from './history.ts'
import { readNick } from './nick.ts'
import {
  announce,
  announceSelf,
  announceToOthers,
  cleanPresence,
  leave,
  showAvatar,
  showOccupants,
} from './presence.ts'
import type { Room } from './room.ts'
import { subjectStanza } from './subject.ts'

/** Presence without a type from a client, for a nick of the room. `created`: the client has just made the room. */
export function presenceAt(room: Room, { stanza, origin, to }: StanzaEvent, created = false): void {
  const there = room.sessions.get(origin.jid.toString())
  const nick = readNick(to.resource)
  const x = stanza.child('x', MUC)
  if (there === undefined) {
    // A client that believes to be in the room says no `x`: it is to learn that it is not, and enter again.
    if (x === undefined) throw StanzaError.of('item-not-found', 'you are not in this room')
    return enter(room, { stanza, origin, to }, nick, x, created)
  }
  there.presence = cleanPresence(stanza)
  there.occupant.shown = {}
  if (nick !== there.occupant.nick) return changeNick(room, there, nick)
  if (x !== undefined) {
    // The client has forgotten that it is in the room: it is told everything anew.
    welcome(room, there, readHistoryWish(x), [])
    return
  }
  if (there.occupant.sessions[0] === there) announce(room, there.occupant)
  else announceSelf(room, there)
}

function enter(room: Room, event: StanzaEvent, nick: string, x: Element, created: boolean): void {
  const { stanza, origin } = event
  const { jid } = origin
  const wish = readHistoryWish(x)
  const presence = cleanPresence(stanza)
  const bare = jid.bareString
  const given = nickFor(room, bare, nick)
  admit(room, jid, x)
  const present = occupantFor(room, bare, given)
  const occupant = present ?? room.seat(given, bare, room.roleFor(room.affiliationOf(bare)))
  const session: RoomSession = { occupant, jid, full: jid.toString(), presence }
  room.addSession(session)
  const codes = created ? [201] : []
  if (given !== nick) codes.push(210)
  showOccupants(room, session)
  // Who has entered with another client already is there for the others.
  if (present === undefined && room.shows(occupant.role)) announceToOthers(room, occupant)
  welcome(room, session, wish, codes, false)
  room.hall.entered(room)
}

/** What a client is shown that enters (§7.2): who is there, itself, what was said, the subject. */
function welcome(
  room: Room,
  session: RoomSession,
  wish: HistoryWish,
  codes: readonly number[],
  occupants = true,
): void {
  const { config } = room
  if (occupants) showOccupants(room, session)
  const selfCodes = [...codes]
  if (config.publicJids) selfCodes.unshift(100)
  if (config.archive) selfCodes.push(170)
  announceSelf(room, session, { selfCodes })
  for (const { stanza } of historyFor(room, wish)) room.send(session, stanza)
  room.send(session, subjectStanza(room))
  showAvatar(room, session)
}

/** Who may enter (§7.2.6 to §7.2.11). @throws StanzaError */
function admit(room: Room, jid: Jid, x: Element): void {
  const bare = jid.bareString
  const affiliation = room.affiliationOf(bare)
  if (room.locked && affiliation !== 'owner') throw StanzaError.of('item-not-found', 'this room is being set up')
  if (affiliation === 'outcast') throw StanzaError.of('forbidden', 'you are banned from this room')
  const { config, hall } = room
  if (config.membersOnly && RANK[affiliation] < RANK.member)
    throw StanzaError.of('registration-required', 'this room is for members only')
  if (config.password !== '' && affiliation !== 'owner' && x.childText('password') !== config.password)
    throw StanzaError.of('not-authorized', 'this room has a password')
  const most = hall.settings['max-occupants']
  const own = config.maxOccupants === 0 ? most : Math.min(config.maxOccupants, most)
  if (room.occupants.size >= own && RANK[affiliation] < RANK.admin)
    throw StanzaError.of('service-unavailable', 'this room is full')
}

/** The nick that somebody gets who asks for one. @throws StanzaError conflict, not-acceptable */
function nickFor(room: Room, bare: string, nick: string): string {
  const own = room.entryOf(bare).nick
  if (own !== '' && own !== nick && room.hall.settings['enforce-nicks']) return own
  const reserved = room.reservedFor(nick)
  if (reserved !== undefined && reserved !== bare) throw StanzaError.of('conflict', 'this nick is reserved')
  return nick
}

/** The occupant who is joined by another client of the same person. @throws StanzaError conflict */
function occupantFor(room: Room, bare: string, nick: string): Occupant | undefined {
  const like = room.occupantLike(nick)
  if (like === undefined) return undefined
  if (like.bare !== bare)
    throw StanzaError.of('conflict', like.nick === nick ? 'this nick is taken' : 'this nick looks like another')
  return like.nick === nick ? like : undefined
}

function changeNick(room: Room, session: RoomSession, wanted: string): void {
  const { occupant } = session
  const nick = nickFor(room, occupant.bare, wanted)
  if (nick !== wanted) throw StanzaError.of('not-acceptable', `your nick here is ${nick}`)
  const like = room.occupantLike(nick)
  // One may give oneself a nick that looks like the old one.
  if (like !== undefined && like.bare !== occupant.bare) throw StanzaError.of('conflict', 'this nick is taken')
  const { role } = occupant
  leave(room, session, { codes: [303], newNick: nick })
  const present = room.occupants.get(nick)
  const next = present ?? room.seat(nick, occupant.bare, role)
  const moved: RoomSession = { ...session, occupant: next }
  room.addSession(moved)
  if (present === undefined) announce(room, next)
  else announceSelf(room, moved)
}
