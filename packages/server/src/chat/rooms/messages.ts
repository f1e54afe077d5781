// XEP-0045 §7.4, §7.5, §8.1: what is said in a room, to all and to one.

import { el, type Element, NS, StanzaError } from '@aviso/xmpp'
import { saysSomething } from '../archive/worth.ts'
import { archiveId, stamped, withoutForged } from '../archive/stanza-ids.ts'
import type { StanzaEvent } from '../core/contracts.ts'
import {
  HATS,
  MUC_USER,
  type Occupant,
  OCCUPANT_ID,
  RANK,
  ROLE_RANK,
  type RoomSession,
  type Subject,
} from './contracts.ts'
import { remember } from './history.ts'
import { wakeAbsent } from './mentions.ts'
import { expel, leave } from './presence.ts'
import { occupantId, type Room } from './room.ts'
import { subjectIn } from './subject.ts'

/** The client that speaks, if it is in the room. @throws StanzaError not-acceptable */
export function speaker(room: Room, { origin }: Pick<StanzaEvent, 'origin'>): RoomSession {
  const session = room.sessions.get(origin.jid.toString())
  if (session === undefined) throw StanzaError.of('not-acceptable', 'you are not in this room')
  return session
}

/** A message without what only rooms may say in it, and without an address. */
function cleanMessage(room: Room, stanza: Element, from: Occupant): Element {
  return withoutForged(stanza, room.bare)
    .without((child) => isForged(child, room.bare))
    .with({ from: from.full, to: undefined })
}

const isForged = (child: Element, room: string): boolean =>
  child.xmlns === OCCUPANT_ID ||
  child.xmlns === HATS ||
  child.is('x', MUC_USER) ||
  (child.is('delay', NS.delay) && child.get('from') === room)

/** A message for all. Resolves when it is safe and was said. */
export async function sayToAll(room: Room, event: StanzaEvent): Promise<void> {
  const { occupant } = speaker(room, event)
  const { hall, config } = room
  if (ROLE_RANK[occupant.role] < ROLE_RANK.participant) throw StanzaError.of('forbidden', 'you have no voice here')
  hall.mayTake('room-messages', occupant.bare)
  const text = subjectIn(event.stanza)
  if (text !== undefined && occupant.role !== 'moderator' && !config.changeSubject)
    throw StanzaError.of('forbidden', 'you may not change the subject')
  const now = hall.clock.now()
  const worthy = saysSomething(event.stanza)
  if (worthy) mustWait(room, occupant, now)
  const id = archiveId(now, hall.random)
  const message = cleanMessage(room, event.stanza, occupant).append(occupantId(occupant))
  const subject: Subject | undefined = text === undefined ? undefined : { text, nick: occupant.nick, at: now }
  if (worthy && (config.archive || subject !== undefined)) await keep(room, id, now, message, occupant, subject)
  if (room.gone) throw StanzaError.of('gone')
  if (subject !== undefined) room.subject = subject
  const said = stamped(message, room.bare, id).prepared()
  if (worthy && subject === undefined) remember(room, id, now, said)
  hall.counted('message')
  room.broadcast(said, occupant.origin)
  if (worthy) wakeAbsent(room, occupant, said)
}

/** Writes a message down; nobody sees it before it is safe. */
export const keep = (
  room: Room,
  id: string,
  at: number,
  message: Element,
  from: Pick<Occupant, 'nick' | 'bare'>,
  subject?: Subject,
): Promise<void> =>
  room.hall.still(
    room.hall.store.append({
      room: room.id,
      id,
      at,
      contact: room.bare,
      resource: from.nick,
      sender: from.bare,
      xml: message.toString(),
      ...room.hall.retention(room),
      archived: room.config.archive,
      subject: subject && JSON.stringify(subject),
    }),
  )

/** XEP-0500: who is no moderator waits between two messages. @throws StanzaError policy-violation */
function mustWait(room: Room, { bare, role }: Occupant, now: number): void {
  const { slowMode } = room.config
  if (slowMode === 0 || role === 'moderator') return
  const left = (room.spoke.get(bare) ?? -Infinity) + slowMode * 1000 - now
  if (left > 0)
    throw new StanzaError(
      'wait',
      'policy-violation',
      `this room is in slow mode: wait ${Math.ceil(left / 1000)} seconds`,
    )
  room.spoke.set(bare, now)
}

/** A message for one occupant. */
export function sayToOne(room: Room, event: StanzaEvent): void {
  const { stanza, to } = event
  const { occupant } = speaker(room, event)
  if (stanza.get('type') === 'groupchat') throw StanzaError.of('bad-request', 'a room has no messages for some')
  const target = room.occupants.get(to.resource)
  if (target === undefined) throw StanzaError.of('item-not-found', 'nobody here has this nick')
  room.hall.mayTake('room-messages', occupant.bare)
  mayWhisper(room, occupant, target)
  const message = cleanMessage(room, stanza, occupant)
    .append(el('x', { xmlns: MUC_USER }), occupantId(occupant))
    .prepared()
  for (const session of target.sessions) room.send(session, message, occupant.origin)
}

/** Who may send private messages. @throws StanzaError policy-violation */
function mayWhisper(room: Room, from: Occupant, to: Occupant): void {
  // Moderators are always heard, and may always be turned to.
  if (from.role === 'moderator' || to.role === 'moderator') return
  const allowed = {
    anyone: true,
    participants: ROLE_RANK[from.role] >= ROLE_RANK.participant,
    moderators: false,
    affiliated: RANK[room.affiliationOf(from.bare)] >= RANK.member,
    none: false,
  }[room.config.privateMessages]
  if (!allowed) throw StanzaError.of('policy-violation', 'private messages are not allowed here')
}

/** XEP-0045 §11.1: errors that mean that a client is not there any more. */
const KICKABLE: ReadonlySet<string> = new Set([
  'gone',
  'internal-server-error',
  'item-not-found',
  'jid-malformed',
  'recipient-unavailable',
  'redirect',
  'remote-server-not-found',
  'remote-server-timeout',
  'service-unavailable',
])

/** What a room sent to a client came back: the client is out, unless it only did not like what it got. */
export function cameBack(room: Room, { stanza, origin }: StanzaEvent): void {
  const session = room.sessions.get(origin.jid.toString())
  if (session === undefined) return
  const error = StanzaError.from(stanza)
  // A client that cannot even say what is wrong is no better than one that is gone.
  const says = stanza.child('error')?.elements.some(({ xmlns }) => xmlns === NS.stanzaErrors) === true
  if (says && !KICKABLE.has(error.condition)) return
  // While the server comes up again, its clients have yet to come back.
  if (room.hall.returning.isAwaited(session)) return
  const reason = room.config.publicJids
    ? `kicked: ${error.condition}${error.text === '' ? '' : `: ${error.text}`}`
    : undefined
  const { occupant } = session
  if (occupant.sessions.length === 1) expel(room, occupant, { codes: [307, 333], reason })
  else leave(room, session, { codes: [307, 333], reason })
  room.hall.settle(room)
}
