// XEP-0045 §7.1, §7.2, §7.14, §8.2, §11.1: how the occupants of a room see each other.

import { type Child, DEFAULT_PARSER_LIMITS, el, type Element, NS, readElement, StanzaError } from '@aviso/xmpp'
import { HATS, MUC, MUC_ADMIN, MUC_OWNER, MUC_USER, type Occupant, OCCUPANT_ID, type RoomSession } from './contracts.ts'
import { occupantId, type Room, status } from './room.ts'

/** Characters of what a client says of itself. */
const MAX_PRESENCE = 8192
const VCARD_UPDATE = 'vcard-temp:x:update'

/** What is told with a presence beyond the presence itself. */
export interface Telling {
  readonly type?: 'unavailable'
  readonly codes?: readonly number[]
  /** Told only to the occupant himself, beside 110. */
  readonly selfCodes?: readonly number[]
  readonly reason?: string | undefined
  /** The nick of who did it. */
  readonly actor?: string | undefined
  /** With 303: the nick to be. */
  readonly newNick?: string
  /** Further children of the `x` element. */
  readonly more?: Child
  /** What the one who leaves said. */
  readonly parting?: Element
}

const ONLY_ROOMS_SAY: ReadonlySet<string> = new Set([MUC, MUC_USER, MUC_ADMIN, MUC_OWNER, OCCUPANT_ID, HATS, NS.delay])

/** What a client says of itself, without what only rooms may say; cut loose from the octets that it came in. @throws StanzaError */
export function cleanPresence(stanza: Element): Element {
  const content = el('presence', {}, ...stanza.elements.filter(({ xmlns }) => !ONLY_ROOMS_SAY.has(xmlns)))
  const text = Buffer.from(content.toString(NS.client)).toString()
  if (text.length > MAX_PRESENCE) throw StanzaError.of('not-acceptable', 'this presence is too long')
  return readPresence(text)
}

/** A presence as it was kept. */
export const readPresence = (text: string): Element =>
  readElement(text, { xmlns: NS.client, bindings: [] }, DEFAULT_PARSER_LIMITS)

function stanzaOf(room: Room, occupant: Occupant, open: boolean, self: boolean, telling: Telling): Element {
  const { type, codes = [], selfCodes = [], reason, actor, newNick, more, parting } = telling
  const affiliation = room.affiliationOf(occupant.bare)
  // §7.6: with a change of the nick one stays.
  const role = type === 'unavailable' && newNick === undefined ? 'none' : occupant.role
  const said = type === 'unavailable' ? parting : occupant.sessions[0]?.presence
  const details: readonly Child[] = [
    actor !== undefined && el('actor', { nick: actor }),
    reason !== undefined && reason !== '' && el('reason', {}, reason),
  ]
  // Each client of the occupant is an item of its own where real addresses are shown.
  const jids = open ? occupant.sessions.map(({ full }) => full) : [undefined]
  const items = (jids.length === 0 ? [undefined] : jids).map((jid) =>
    el('item', { affiliation, role, jid, nick: newNick }, ...details),
  )
  const { hats } = room.entryOf(occupant.bare)
  return el(
    'presence',
    { from: occupant.full, type },
    ...(said?.children ?? []),
    el(
      'x',
      { xmlns: MUC_USER },
      ...items,
      more,
      ...(self ? [110, ...selfCodes] : []).map(status),
      ...codes.map(status),
    ),
    occupantId(occupant),
    hats.length > 0 && type === undefined && el('hats', { xmlns: HATS }, ...hats.map((hat) => el('hat', { ...hat }))),
  ).prepared()
}

/** An occupant's presence as another one gets it. */
export function shown(room: Room, occupant: Occupant, open: boolean): Element {
  const kind = open ? 'open' : 'anonymous'
  return (occupant.shown[kind] ??= stanzaOf(room, occupant, open, false, {}))
}

/** Tells all of an occupant's presence, himself last. `others`: false where it is only for himself. */
export function announce(
  room: Room,
  occupant: Occupant,
  telling: Telling = {},
  others = room.shows(occupant.role),
): void {
  if (others) announceToOthers(room, occupant, telling)
  for (const to of occupant.sessions) announceSelf(room, to, telling)
}

/** Tells all but himself of an occupant's presence. */
export function announceToOthers(room: Room, occupant: Occupant, telling: Telling = {}): void {
  const plain =
    telling.type === undefined &&
    telling.codes === undefined &&
    telling.reason === undefined &&
    telling.actor === undefined
  const made = new Map<string, Element>()
  const { origin } = occupant
  for (const to of room.sessions.values()) {
    if (to.occupant === occupant) continue
    const open = room.isOpenTo(to.occupant)
    if (plain) {
      room.send(to, shown(room, occupant, open), origin)
      continue
    }
    const key = String(open)
    const stanza = made.get(key) ?? stanzaOf(room, occupant, open, false, telling)
    made.set(key, stanza)
    room.send(to, stanza, origin)
  }
}

/** Tells one client of its own presence. */
export const announceSelf = (room: Room, to: RoomSession, telling: Telling = {}): void =>
  room.send(to, stanzaOf(room, to.occupant, room.isOpenTo(to.occupant), true, telling), to.occupant.origin)

/** Shows a client who is there (§7.2.2). */
export function showOccupants(room: Room, to: RoomSession): void {
  const open = room.isOpenTo(to.occupant)
  for (const occupant of room.occupants.values())
    if (occupant !== to.occupant && room.shows(occupant.role))
      room.send(to, shown(room, occupant, open), occupant.origin)
  if (!room.config.broadcast.includes('none')) return
  // Members that are away, with the nick that is theirs.
  for (const entry of room.affiliations.values())
    if (entry.nick !== '' && entry.affiliation !== 'outcast' && room.occupantsOf(entry.jid).length === 0)
      room.send(to, awayPresence(room, entry.jid, open))
}

/** The presence of somebody with a nick of his own who is not there. */
export function awayPresence(room: Room, bare: string, open: boolean): Element {
  const { nick, affiliation } = room.entryOf(bare)
  return el(
    'presence',
    { from: room.jid.withResource(nick).toString(), type: 'unavailable' },
    el('x', { xmlns: MUC_USER }, el('item', { affiliation, role: 'none', jid: open ? bare : undefined })),
  )
}

/** XEP-0486 §3: the picture of the room, where it has one. */
export function showAvatar(room: Room, to?: RoomSession): void {
  const stanza = el('presence', { from: room.bare }, el('x', { xmlns: VCARD_UPDATE }, el('photo', {}, room.avatar)))
  if (to === undefined) room.broadcast(stanza)
  else if (room.avatar !== '' && room.hall.settings.avatars) room.send(to, stanza)
}

/** A client leaves; the others are told when it was the last one of its occupant. */
export function leave(room: Room, session: RoomSession, telling: Telling = {}): void {
  const { occupant } = session
  const unavailable: Telling = { ...telling, type: 'unavailable' }
  if (occupant.sessions.length > 1) {
    const spoke = occupant.sessions[0] === session
    room.send(session, stanzaOf(room, occupant, room.isOpenTo(occupant), true, unavailable), occupant.origin)
    room.removeSession(session)
    if (spoke) announce(room, occupant)
    return
  }
  announce(room, occupant, unavailable)
  room.removeSession(session)
}

/** Makes an occupant leave, with all his clients. */
export function expel(room: Room, occupant: Occupant, telling: Telling): void {
  announce(room, occupant, { ...telling, type: 'unavailable' })
  for (const session of occupant.sessions) room.removeSession(session)
  room.hall.log.info(
    { room: room.bare, who: occupant.bare, codes: telling.codes, by: telling.actor, reason: telling.reason },
    'an occupant was made to leave a room',
  )
}
