// XEP-0045 §8, §9, §10.3 to §10.8: who becomes what, by whose word.

import { el, type Element, Jid, StanzaError } from '@aviso/xmpp'
import type { IqRequest } from '../core/contracts.ts'
import {
  type Affiliated,
  type Affiliation,
  AFFILIATIONS,
  MUC_ADMIN,
  MUC_USER,
  type Occupant,
  RANK,
  type Role,
  ROLE_RANK,
  ROLES,
} from './contracts.ts'
import { announce, announceToOthers, expel, type Telling } from './presence.ts'
import { readNick } from './nick.ts'
import { type Room, toRow } from './room.ts'

const MAX_REASON = 1000

/** Who asks for a change. */
interface Actor {
  readonly bare: string
  readonly affiliation: Affiliation
  /** Where he is in the room. */
  readonly occupant: Occupant | undefined
}

export function actorOf(room: Room, { from }: Pick<IqRequest, 'from'>): Actor {
  const bare = from.bareString
  return { bare, affiliation: room.affiliationOf(bare), occupant: room.sessions.get(from.toString())?.occupant }
}

/** Answers a list (§8.4 to §10.8): those with an affiliation, or with a role. */
export function listAsked(room: Room, iq: IqRequest): Element {
  const actor = actorOf(room, iq)
  const [item, ...others] = iq.payload.childrenNamed('item')
  if (item === undefined || others.length > 0) throw StanzaError.of('bad-request', 'one item says which list')
  const role = ROLES.find((each) => each === item.get('role'))
  const affiliation = AFFILIATIONS.find((each) => each === item.get('affiliation'))
  if (affiliation !== undefined) {
    const insider = actor.occupant !== undefined && (room.config.publicJids || actor.occupant.role === 'moderator')
    const mayKnow = affiliation === 'outcast' ? false : insider
    if (RANK[actor.affiliation] < RANK.admin && !mayKnow) throw StanzaError.of('forbidden')
    const items = room
      .withAffiliation(affiliation)
      .map(({ jid, nick, reason }) =>
        el(
          'item',
          { affiliation, jid, nick: nick === '' ? undefined : nick },
          reason !== '' && el('reason', {}, reason),
        ),
      )
    return iq.result(el('query', { xmlns: MUC_ADMIN }, ...items))
  }
  if (role === undefined || role === 'none') throw StanzaError.of('bad-request', 'there is no such list')
  if (actor.occupant?.role !== 'moderator') throw StanzaError.of('forbidden')
  const items = [...room.occupants.values()]
    .filter((occupant) => occupant.role === role)
    .map(({ nick, bare, sessions }) =>
      el('item', { affiliation: room.affiliationOf(bare), role, nick, jid: sessions[0]?.full ?? bare }),
    )
  return iq.result(el('query', { xmlns: MUC_ADMIN }, ...items))
}

/** Makes all changes of a request, or none. */
export async function changesAsked(room: Room, iq: IqRequest): Promise<Element> {
  const actor = actorOf(room, iq)
  const items = iq.payload.childrenNamed('item')
  if (items.length === 0) throw StanzaError.of('bad-request', 'there is no item')
  if (items.length > room.hall.settings['max-affiliation-changes'])
    throw StanzaError.of('policy-violation', 'these are too many changes at once')
  const affiliated: Affiliated[] = []
  const roles: { readonly occupant: Occupant; readonly role: Role; readonly reason: string }[] = []
  for (const item of items) {
    const reason = (item.childText('reason') ?? '').slice(0, MAX_REASON)
    if (item.get('affiliation') !== undefined) affiliated.push(affiliationChange(room, actor, item, reason))
    else roles.push({ ...roleChange(room, actor, item), reason })
  }
  if (affiliated.length > 0) await affiliate(room, affiliated, actor.occupant?.nick)
  for (const { occupant, role, reason } of roles) {
    const telling = { reason, actor: actor.occupant?.nick }
    if (room.occupants.get(occupant.nick) !== occupant) continue
    if (role === 'none') expel(room, occupant, { ...telling, codes: [307] })
    else changeRole(room, occupant, role, telling)
  }
  return iq.result()
}

function affiliationChange(room: Room, actor: Actor, item: Element, reason: string): Affiliated {
  const affiliation = AFFILIATIONS.find((each) => each === item.get('affiliation'))
  if (affiliation === undefined) throw StanzaError.of('bad-request', 'there is no such affiliation')
  const jid = whom(room, item)
  const before = room.entryOf(jid)
  const wished = item.get('nick')
  const nick = wished !== undefined && item.get('jid') !== undefined ? nickOf(room, jid, wished) : before.nick
  const entry: Affiliated = {
    ...before,
    affiliation,
    reason,
    // Who is nothing any more has no nick here either.
    nick: RANK[affiliation] < RANK.member ? '' : nick,
    hats: RANK[affiliation] < RANK.none ? [] : before.hats,
  }
  mayAffiliate(actor, before, entry)
  if (Jid.parse(jid).local === '' && RANK[affiliation] > RANK.none)
    throw StanzaError.of('not-acceptable', 'a whole domain can only be banned')
  return entry
}

/** Whom an item is about: a JID, or the nick of somebody who is there or has reserved it. */
function whom(room: Room, item: Element): string {
  const text = item.get('jid')
  if (text !== undefined) {
    const jid = Jid.tryParse(text)
    if (jid === undefined) throw StanzaError.of('jid-malformed')
    return jid.bareString
  }
  const nick = item.get('nick')
  if (nick === undefined) throw StanzaError.of('bad-request', 'an item says whom it is about')
  const bare =
    room.occupants.get(nick)?.bare ?? [...room.affiliations.values()].find((entry) => entry.nick === nick)?.jid
  if (bare === undefined) throw StanzaError.of('item-not-found', 'nobody here has this nick')
  return bare
}

function nickOf(room: Room, jid: string, wished: string): string {
  const nick = readNick(room.jid.withResource(wished).resource)
  const owner = room.reservedFor(nick)
  if (owner !== undefined && owner !== jid) throw StanzaError.of('conflict', 'this nick is reserved')
  return nick
}

/** §5.2.2. @throws StanzaError forbidden, not-allowed, conflict */
function mayAffiliate(actor: Actor, before: Affiliated, next: Affiliated): void {
  const rank = RANK[actor.affiliation]
  if (rank < RANK.admin)
    throw StanzaError.of('forbidden', 'only administrators and owners of the room change affiliations')
  if (actor.bare === before.jid && next.affiliation === 'outcast')
    throw StanzaError.of('conflict', 'one cannot ban oneself')
  if (rank === RANK.owner) return
  const resigns = actor.bare === before.jid && RANK[next.affiliation] < rank
  if (RANK[next.affiliation] >= RANK.admin || (RANK[before.affiliation] >= RANK.admin && !resigns))
    throw StanzaError.of('not-allowed', 'this is for owners to change')
}

/** Refuses what leaves a room to nobody, or is more than it may know. @throws StanzaError conflict, resource-constraint */
export function mayBecome(room: Room, entries: readonly Affiliated[]): void {
  const changed = new Map(entries.map((entry) => [entry.jid, entry.affiliation]))
  const stays = room.withAffiliation('owner').some(({ jid }) => (changed.get(jid) ?? 'owner') === 'owner')
  const comes = entries.some(({ affiliation }) => affiliation === 'owner')
  if (!stays && !comes) throw StanzaError.of('conflict', 'a room needs an owner')
  if (
    room.affiliations.size + entries.length > room.hall.settings['max-affiliations'] &&
    entries.some(({ jid }) => !room.affiliations.has(jid))
  )
    throw StanzaError.of('resource-constraint', 'the room knows too many people already')
}

/** Changes what people are to the room, writes it down, and tells. `actor`: the nick of who did it. */
export async function affiliate(room: Room, entries: readonly Affiliated[], actor?: string): Promise<void> {
  mayBecome(room, entries)
  await room.hall.still(room.hall.store.affiliate({ id: room.id, affiliations: entries.map(toRow) }))
  takeAffiliations(room, entries, actor)
}

/** What was written down takes effect. */
export function takeAffiliations(room: Room, entries: readonly Affiliated[], actor?: string): void {
  for (const entry of entries) {
    const before = new Map(
      [...room.occupants.values()].map((occupant) => [occupant, room.affiliationOf(occupant.bare)]),
    )
    const known = room.entryOf(entry.jid)
    room.affiliated(entry)
    // A nick or a hat is no reason to say once more why somebody is what he is.
    const isNews = known.affiliation !== entry.affiliation || known.reason !== entry.reason
    const telling: Telling = isNews ? { reason: entry.reason, actor } : {}
    let there = false
    for (const [occupant, was] of before) {
      const is = room.affiliationOf(occupant.bare)
      if (occupant.bare === entry.jid) there = true
      else if (is === was) continue
      if (is === 'outcast') expel(room, occupant, { ...telling, codes: [301] })
      else if (room.config.membersOnly && RANK[is] < RANK.member) expel(room, occupant, { ...telling, codes: [321] })
      else changeRole(room, occupant, roleAfter(room, occupant, was, is), telling)
    }
    if (!there && isNews) tellOfAbsent(room, entry)
  }
}

/** The role of somebody whose affiliation has changed (§5.1.2). */
function roleAfter(room: Room, { role }: Occupant, was: Affiliation, is: Affiliation): Role {
  if (RANK[is] >= RANK.admin) return 'moderator'
  if (RANK[was] >= RANK.admin) return room.roleFor(is)
  return role === 'visitor' && is === 'member' ? 'participant' : role
}

function changeRole(room: Room, occupant: Occupant, role: Role, telling: Telling): void {
  const wasShown = room.shows(occupant.role)
  const isShown = room.shows(role)
  // Who is not shown any more is gone for the others.
  if (wasShown && !isShown) announceToOthers(room, occupant, { type: 'unavailable' })
  occupant.role = role
  occupant.shown = {}
  announce(room, occupant, telling, isShown)
}

/** §9.3: those who may know are told of a change of somebody who is not there. */
function tellOfAbsent(room: Room, { jid, affiliation, reason }: Affiliated): void {
  const item = el('item', { affiliation, jid }, reason !== '' && el('reason', {}, reason))
  room.broadcast(el('message', { from: room.bare }, el('x', { xmlns: MUC_USER }, item)), room.origin, (to) =>
    room.isOpenTo(to.occupant),
  )
}

function roleChange(room: Room, actor: Actor, item: Element): { readonly occupant: Occupant; readonly role: Role } {
  const role = ROLES.find((each) => each === item.get('role'))
  const nick = item.get('nick')
  if (role === undefined || nick === undefined) throw StanzaError.of('bad-request', 'a role and a nick are needed')
  const occupant = room.occupants.get(nick)
  if (occupant === undefined) throw StanzaError.of('item-not-found', 'nobody here has this nick')
  if (actor.occupant?.role !== 'moderator') throw StanzaError.of('forbidden', 'only moderators change roles')
  const rank = RANK[actor.affiliation]
  const theirs = RANK[room.affiliationOf(occupant.bare)]
  if (role === 'none') {
    if (theirs > rank || (theirs >= RANK.admin && theirs === rank && occupant !== actor.occupant))
      throw StanzaError.of('not-allowed', 'he stands above you')
  } else if (theirs >= RANK.admin && role !== 'moderator')
    throw StanzaError.of('not-allowed', 'administrators and owners are moderators')
  else if ((role === 'moderator' || occupant.role === 'moderator') && rank < RANK.admin)
    throw StanzaError.of('not-allowed', 'only administrators and owners make moderators')
  return { occupant, role }
}

/** §7.13: somebody who has asked for voice gets it. */
export function giveVoice(room: Room, occupant: Occupant): void {
  if (ROLE_RANK[occupant.role] < ROLE_RANK.participant) changeRole(room, occupant, 'participant', {})
}
