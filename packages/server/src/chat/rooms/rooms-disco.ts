// XEP-0045 §6: what is told of rooms to those who look for them

import { el, Jid, NS, StanzaError } from '@aviso/xmpp'
import { pageOf, RSM } from '../archive/query.ts'
import { COMMANDS } from '../core/command-sessions.ts'
import type { DiscoInfo, DiscoItem, IqRequest } from '../core/contracts.ts'
import { type Field, FORMS, result } from '../core/forms.ts'
import type { DiscoPage } from '../core/service.ts'
import { commandsFor, hatsHash } from './hats.ts'
import { HATS, MODERATE, MUC, OCCUPANT_ID, RANK, RETRACT } from './contracts.ts'
import type { Hall } from './hall.ts'
import { MENTIONS } from './mentions.ts'
import { REGISTER } from './registration.ts'
import type { Room } from './room.ts'
import { VCARD } from './avatar.ts'

const PAGE = 100
const MAX_PAGE = 500
/** §7.12: which nick is mine? */
export const OWN_NICK = 'x-roomuser-item'

/** The public rooms, a page at a time. */
export async function listRooms(hall: Hall, iq: IqRequest): Promise<DiscoPage> {
  const set = iq.payload.child('set', RSM)
  const { max, backwards, before, after, index } = pageOf(set, { usual: PAGE, most: MAX_PAGE })
  if (index !== undefined) throw StanzaError.of('feature-not-implemented', 'this list has no pages by number')
  const nameOf = (jid: string | undefined): string | undefined =>
    jid === undefined ? undefined : (Jid.tryParse(jid)?.local ?? jid)
  const page = { all: false, max, backwards, after: nameOf(after), before: nameOf(before) }
  const { rooms, count, index: at } = await hall.store.list(page)
  const jidOf = (name: string): string => `${name}@${hall.domain}`
  const first = rooms[0]
  const last = rooms.at(-1)
  const items = rooms.map(({ name, title }) => ({ jid: jidOf(name), name: title === '' ? name : title }))
  if (set === undefined && rooms.length === count) return { items }
  return {
    items,
    set: el(
      'set',
      { xmlns: RSM },
      first !== undefined && el('first', { index: at }, jidOf(first.name)),
      last !== undefined && el('last', {}, jidOf(last.name)),
      el('count', {}, String(count)),
    ),
  }
}

/** A room that is being set up is known to who sets it up only. */
export const mayKnow = (room: Room, bare: string): boolean => !room.locked || room.affiliationOf(bare) === 'owner'

/** What is to be found at a room: who is in it, and the commands that somebody may run. */
export function itemsOfRoom(room: Room, iq: IqRequest, node: string | undefined): DiscoPage | undefined {
  if (!mayKnow(room, iq.from.bareString)) return undefined
  if (node === COMMANDS) return { items: commandsFor(room, iq) }
  return node === undefined ? { items: occupantsFor(room, iq) } : undefined
}

export function describeRoom(room: Room, iq: IqRequest, node: string | undefined): DiscoInfo | undefined {
  const bare = iq.from.bareString
  if (!mayKnow(room, bare)) return undefined
  if (node === OWN_NICK) {
    const { nick } = room.entryOf(bare)
    return { identities: nick === '' ? [] : [{ category: 'conference', type: 'text', name: nick }], features: [MUC] }
  }
  if (node === COMMANDS) return { identities: [{ category: 'automation', type: 'command-list' }], features: [COMMANDS] }
  if (node !== undefined) {
    const command = commandsFor(room, iq).find((each) => each.node === node)
    if (command === undefined) return undefined
    const identity = {
      category: 'automation',
      type: 'command-node',
      ...(command.name !== undefined && { name: command.name }),
    }
    return { identities: [identity], features: [COMMANDS, FORMS] }
  }
  const { config, hall } = room
  const features = [
    NS.discoInfo,
    NS.discoItems,
    MUC,
    `${MUC}#stable_id`,
    `${MUC}#self-ping-optimization`,
    `${MUC}#request`,
    OCCUPANT_ID,
    HATS,
    MENTIONS,
    COMMANDS,
    MODERATE,
    RETRACT,
    REGISTER,
    NS.stanzaId,
    config.membersOnly ? 'muc_membersonly' : 'muc_open',
    config.moderated ? 'muc_moderated' : 'muc_unmoderated',
    config.publicJids ? 'muc_nonanonymous' : 'muc_semianonymous',
    config.password === '' ? 'muc_unsecured' : 'muc_passwordprotected',
    config.persistent ? 'muc_persistent' : 'muc_temporary',
    config.public ? 'muc_public' : 'muc_hidden',
    ...(config.archive ? [NS.mam, `${NS.mam}#extended`] : []),
    ...(hall.settings.avatars ? [VCARD] : []),
  ]
  const field = (name: string, value: string, type: Field['type'] = 'text-single'): Field => ({
    name,
    type,
    values: [value],
  })
  const fields: Field[] = [
    field('muc#roominfo_description', config.description),
    field('muc#roominfo_lang', config.language),
    field('muc#roominfo_occupants', String(room.occupants.size)),
    field('muc#roominfo_changesubject', config.changeSubject ? '1' : '0', 'boolean'),
    field('muc#maxhistoryfetch', String(Math.min(config.historyLength, hall.settings['max-history']))),
    field('muc#roominfo_slow_mode_duration', String(config.slowMode)),
    field('muc#roomconfig_allowinvites', config.memberInvites ? '1' : '0', 'boolean'),
    ...(room.avatar === '' || !hall.settings.avatars
      ? []
      : [{ name: 'muc#roominfo_avatarhash', type: 'text-multi' as const, values: [room.avatar] }]),
    ...(config.hats.length === 0 ? [] : [field('hats#hash', hatsHash(room))]),
    ...(room.subject === undefined ? [] : [field('muc#roominfo_subject', room.subject.text)]),
  ]
  return {
    identities: [{ category: 'conference', type: 'text', name: room.title }],
    features,
    forms: [result({ formType: `${MUC}#roominfo` }, fields)],
  }
}

/** Who is in a room: told to those who are in it, or belong to it (§6.5). */
function occupantsFor(room: Room, { from }: IqRequest): readonly DiscoItem[] {
  const inside = room.sessions.has(from.toString()) || room.rankOf(from.bareString) >= RANK.member
  return inside ? [...room.occupants.values()].map(({ full, nick }) => ({ jid: full, name: nick })) : []
}
