// XEP-0045 §10: what owners do with their room: configure and destroy it.

import { el, type Element, Jid, StanzaError } from '@aviso/xmpp'
import type { IqRequest } from '../core/contracts.ts'
import { FORMS, Submission } from '../core/forms.ts'
import { mayBecome, takeAffiliations } from './affiliations.ts'
import { type Affiliated, type Affiliation, MUC_OWNER, RANK } from './contracts.ts'
import { announceSelf, expel } from './presence.ts'
import { type Room, toRow } from './room.ts'
import { ADMINS, configForm, marksOf, OWNERS, type RoomConfig, submittedConfig } from './room-config.ts'

function mustOwn(room: Room, iq: IqRequest): void {
  if (room.affiliationOf(iq.from.bareString) !== 'owner') throw StanzaError.of('forbidden', 'only owners may do this')
}

/** The form (§10.2). */
export function configAsked(room: Room, iq: IqRequest): Element {
  mustOwn(room, iq)
  const officers = (affiliation: Affiliation): string[] => room.withAffiliation(affiliation).map(({ jid }) => jid)
  const filled = configForm(room.config, room.bare, { owners: officers('owner'), admins: officers('admin') })
  return iq.result(el('query', { xmlns: MUC_OWNER }, filled))
}

/** A form that was filled in or cancelled, or the end of the room. */
export async function ownerAsks(room: Room, iq: IqRequest): Promise<Element> {
  mustOwn(room, iq)
  const destroy = iq.payload.child('destroy')
  if (destroy !== undefined) {
    await endRoom(room, destroy.childText('reason') ?? '', venueIn(destroy), destroy.childText('password'))
    return iq.result()
  }
  const x = iq.payload.child('x', FORMS)
  if (x?.get('type') === 'cancel') {
    // §10.1.3: who does not want to configure a new room does not want it.
    if (room.locked) await endRoom(room, '', '')
    return iq.result()
  }
  const filled = Submission.of(iq.payload)
  if (filled === undefined) throw StanzaError.of('bad-request', 'there is no form that was filled in')
  await configure(room, filled, iq)
  return iq.result()
}

async function configure(room: Room, filled: Submission, iq: IqRequest): Promise<void> {
  const { settings } = room.hall
  const admin = iq.origin.session?.account.account.role === 'admin'
  const config = submittedConfig(room.config, filled, {
    persistent: admin || settings['allow-persistent'],
    public: admin || settings['allow-public'],
    maxHistory: settings['max-history'],
    maxOccupants: settings['max-occupants'],
  })
  await saveConfig(room, config, officersIn(room, filled))
}

/** Who is owner and administrator after a form was filled in: whoever is not named there is a member from now on. */
function officersIn(room: Room, filled: Submission): readonly Affiliated[] {
  const wished = new Map<string, Affiliation>()
  for (const [field, affiliation] of [
    [ADMINS, 'admin'],
    [OWNERS, 'owner'],
  ] as const) {
    if (!filled.has(field)) continue
    for (const { jid } of room.withAffiliation(affiliation)) wished.set(jid, wished.get(jid) ?? 'member')
    for (const text of filled.list(field)) {
      const jid = Jid.tryParse(text)
      if (jid === undefined || jid.local === '')
        throw StanzaError.of('not-acceptable', `${text} is no address of a person`)
      wished.set(jid.bareString, affiliation)
    }
  }
  return [...wished]
    .map(([jid, affiliation]) => ({ ...room.entryOf(jid), affiliation, reason: '' }))
    .filter(({ jid, affiliation }) => room.entryOf(jid).affiliation !== affiliation)
}

/** Takes over settings and affiliations once they are safe, and tells what has changed. */
export async function saveConfig(
  room: Room,
  config: RoomConfig,
  affiliations: readonly Affiliated[] = [],
): Promise<void> {
  if (affiliations.length > 0) mayBecome(room, affiliations)
  const { hall } = room
  await hall.still(hall.store.save({ id: room.id, ...marksOf(config), affiliations: affiliations.map(toRow) }))
  const before = room.config
  room.config = config
  room.locked = false
  room.history.splice(0, room.history.length - config.historyLength)
  takeAffiliations(room, affiliations)
  if (before.publicJids !== config.publicJids) for (const occupant of room.occupants.values()) occupant.shown = {}
  if (config.membersOnly && !before.membersOnly)
    for (const occupant of room.occupants.values())
      if (room.rankOf(occupant.bare) < RANK.member) expel(room, occupant, { codes: [322] })
  room.tellStatus(...codesFor(before, config))
  hall.settle(room)
}

/** §10.2.1 */
function codesFor(before: RoomConfig, after: RoomConfig): number[] {
  const codes: number[] = []
  if (before.archive !== after.archive) codes.push(after.archive ? 170 : 171)
  if (before.publicJids !== after.publicJids) codes.push(after.publicJids ? 172 : 173)
  const rest = (config: RoomConfig): string => JSON.stringify({ ...config, archive: false, publicJids: false })
  if (rest(before) !== rest(after)) codes.unshift(104)
  return codes
}

function venueIn(destroy: Element): string {
  const text = destroy.get('jid')
  if (text === undefined || text === '') return ''
  const venue = Jid.tryParse(text)
  if (venue === undefined) throw StanzaError.of('jid-malformed')
  return venue.bareString
}

/** §10.9: the end of a room. Those who are in it are told when it is safe. */
export async function endRoom(room: Room, reason: string, venue: string, password?: string): Promise<void> {
  const why = reason.slice(0, 1000)
  await room.hall.destroy(room, room.locked ? undefined : { at: room.hall.clock.now(), reason: why, venue })
  const destroy = el(
    'destroy',
    { jid: venue === '' ? undefined : venue },
    why !== '' && el('reason', {}, why),
    password !== undefined && el('password', {}, password),
  )
  // Nobody is anything to a room that is no more.
  room.affiliations.clear()
  for (const session of room.sessions.values()) {
    announceSelf(room, session, { type: 'unavailable', more: destroy })
    room.removeSession(session)
  }
}
