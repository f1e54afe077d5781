// XEP-0045 §7.10: a nick that is somebody's own in a room.

import { el, type Element, StanzaError } from '@aviso/xmpp'
import type { IqRequest } from '../core/contracts.ts'
import { form, Submission } from '../core/forms.ts'
import { affiliate } from './affiliations.ts'
import { MUC, RANK } from './contracts.ts'
import { readNick } from './nick.ts'
import { expel } from './presence.ts'
import type { Room } from './room.ts'

export const REGISTER = 'jabber:iq:register'
const FORM = `${MUC}#register`
const NICK = 'muc#register_roomnick'

/** @throws StanzaError forbidden, not-allowed, registration-required */
function mayRegister(room: Room, bare: string): void {
  const affiliation = room.affiliationOf(bare)
  if (affiliation === 'outcast') throw StanzaError.of('forbidden')
  if (RANK[affiliation] >= RANK.member) return
  if (room.config.membersOnly) throw StanzaError.of('registration-required', 'the room is for members only')
  if (!room.hall.settings['register-unaffiliated'])
    throw StanzaError.of('not-allowed', 'only members have nicks of their own')
}

export function registrationAsked(room: Room, iq: IqRequest): Element {
  const bare = iq.from.bareString
  const { nick } = room.entryOf(bare)
  const filled = form({ title: `A nick in ${room.title}`, formType: FORM }, [
    { name: NICK, type: 'text-single', label: 'Nick', required: true, values: nick === '' ? [] : [nick] },
  ])
  if (nick !== '')
    return iq.result(el('query', { xmlns: REGISTER }, el('registered'), el('username', {}, nick), filled))
  mayRegister(room, bare)
  return iq.result(el('query', { xmlns: REGISTER }, el('instructions', {}, 'Which nick is to be yours?'), filled))
}

export async function register(room: Room, iq: IqRequest): Promise<Element> {
  const bare = iq.from.bareString
  const before = room.entryOf(bare)
  if (iq.payload.child('remove') !== undefined) {
    const affiliation = before.affiliation === 'member' ? 'none' : before.affiliation
    await affiliate(room, [{ ...before, affiliation, nick: '', reason: '' }])
    return iq.result()
  }
  mayRegister(room, bare)
  const filled = Submission.of(iq.payload)
  if (filled?.formType !== FORM) throw StanzaError.of('bad-request', 'the form is missing')
  const wished = filled.text(NICK)
  if (wished === undefined) throw StanzaError.of('not-acceptable', 'a nick is needed')
  const nick = readNick(prepared(room, wished))
  const owner = room.reservedFor(nick)
  const user = room.occupantLike(nick)
  if ((owner !== undefined && owner !== bare) || (user !== undefined && user.bare !== bare))
    throw StanzaError.of('conflict', 'this nick is taken')
  const affiliation = before.affiliation === 'none' ? 'member' : before.affiliation
  await affiliate(room, [{ ...before, affiliation, nick, reason: '' }])
  if (room.hall.settings['enforce-nicks'])
    for (const occupant of room.occupantsOf(bare))
      if (occupant.nick !== nick) expel(room, occupant, { codes: [307], reason: `your nick here is ${nick}` })
  return iq.result()
}

function prepared(room: Room, nick: string): string {
  try {
    return room.jid.withResource(nick).resource
  } catch {
    throw StanzaError.of('not-acceptable', 'this is no nick')
  }
}
