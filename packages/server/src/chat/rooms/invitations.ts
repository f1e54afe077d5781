// XEP-0045 §7.8, §7.13, XEP-0249: invitations by way of the room, and requests for voice.

import { el, type Element, Jid, StanzaError } from '@aviso/xmpp'
import type { StanzaEvent } from '../core/contracts.ts'
import { form, FORMS, Submission } from '../core/forms.ts'
import { affiliate, giveVoice } from './affiliations.ts'
import { DIRECT_INVITE, MUC, MUC_USER, RANK } from './contracts.ts'
import { speaker } from './messages.ts'
import type { Room } from './room.ts'

const MAX_REASON = 1000
const REQUEST = `${MUC}#request`
/** Invitations in one message. */
const MAX_INVITES = 50

/** A message to the room itself that is not for all. */
export async function messageToRoom(room: Room, event: StanzaEvent): Promise<void> {
  const x = event.stanza.child('x', MUC_USER)
  const invites = x?.childrenNamed('invite') ?? []
  if (invites.length > MAX_INVITES) throw StanzaError.of('policy-violation', 'these are too many at once')
  if (invites.length > 0) {
    for (const invite of invites) await pass(room, event, invite)
    return
  }
  const decline = x?.child('decline')
  if (decline !== undefined) return passDecline(room, event, decline)
  const filled = Submission.of(event.stanza)
  if (filled?.formType === REQUEST) return voice(room, event, filled)
  // What a client says of an error that it got, or only to the room, has no reader.
  throw StanzaError.of(event.stanza.child('x', FORMS) === undefined ? 'service-unavailable' : 'bad-request')
}

async function pass(room: Room, event: StanzaEvent, invite: Element): Promise<void> {
  const { hall, config } = room
  const inviter = event.origin.jid
  const { occupant } = speaker(room, event)
  const to = Jid.tryParse(invite.get('to') ?? '')
  if (to === undefined) throw StanzaError.of('jid-malformed')
  const rank = room.rankOf(occupant.bare)
  if (config.membersOnly && rank < RANK.admin && !(config.memberInvites && rank >= RANK.member))
    throw StanzaError.of('forbidden', 'only administrators may invite into this room')
  hall.mayTake('room-invitations', occupant.bare)
  const invited = to.bareString
  if (room.affiliationOf(invited) === 'outcast') throw StanzaError.of('not-allowed', 'he is banned from this room')
  if (config.membersOnly && room.rankOf(invited) < RANK.member)
    await room.inTurn(async () => {
      const { affiliation } = room.entryOf(invited)
      // Banned meanwhile?
      if (affiliation === 'none')
        await affiliate(room, [{ ...room.entryOf(invited), affiliation: 'member', reason: '' }], occupant.nick)
    })
  room.invited.set(invited, inviter.bareString)
  const reason = (invite.childText('reason') ?? '').slice(0, MAX_REASON)
  const password = config.password === '' ? undefined : config.password
  const message = el(
    'message',
    { from: room.bare, to: to.toString(), id: event.stanza.get('id') },
    el(
      'x',
      { xmlns: MUC_USER },
      el(
        'invite',
        { from: inviter.bareString },
        reason !== '' && el('reason', {}, reason),
        invite.child('continue') !== undefined && el('continue', { thread: invite.child('continue')?.get('thread') }),
      ),
      password !== undefined && el('password', {}, password),
    ),
    // For clients that know one kind only, or none.
    el('x', { xmlns: DIRECT_INVITE, jid: room.bare, password, reason: reason === '' ? undefined : reason }),
    el('body', {}, `${inviter.bareString} invited you to the room ${room.bare}${reason === '' ? '' : ` (${reason})`}`),
  )
  hall.send(message, room.origin)
}

function passDecline(room: Room, { origin }: StanzaEvent, decline: Element): void {
  const from = origin.jid.bareString
  const inviter = room.invited.get(from)
  // Who was not invited has nothing to refuse: rooms carry no messages of strangers to people.
  if (inviter === undefined || Jid.tryParse(decline.get('to') ?? '')?.bareString !== inviter)
    throw StanzaError.of('item-not-found', 'there was no such invitation')
  room.invited.delete(from)
  const reason = (decline.childText('reason') ?? '').slice(0, MAX_REASON)
  const message = el(
    'message',
    { from: room.bare, to: inviter },
    el('x', { xmlns: MUC_USER }, el('decline', { from }, reason !== '' && el('reason', {}, reason))),
  )
  room.hall.send(message, room.origin)
}

function voice(room: Room, event: StanzaEvent, filled: Submission): void {
  const { occupant } = speaker(room, event)
  if (filled.has('muc#request_allow')) {
    if (occupant.role !== 'moderator') throw StanzaError.of('forbidden')
    const asked = room.occupants.get(filled.text('muc#roomnick') ?? '')
    if (asked === undefined) throw StanzaError.of('item-not-found', 'he has left')
    if (filled.flag('muc#request_allow')) giveVoice(room, asked)
    return
  }
  if (occupant.role !== 'visitor') throw StanzaError.of('not-allowed', 'you have a voice already')
  if (!room.config.moderated) throw StanzaError.of('not-allowed')
  room.hall.mayTake('room-messages', occupant.bare)
  const message = el(
    'message',
    { from: room.bare },
    form({ title: 'Request for voice', formType: REQUEST }, [
      {
        name: 'muc#role',
        type: 'list-single',
        label: 'Role',
        values: ['participant'],
        options: [{ value: 'participant' }],
      },
      { name: 'muc#jid', type: 'jid-single', label: 'Address', values: [occupant.sessions[0]?.full ?? occupant.bare] },
      { name: 'muc#roomnick', type: 'text-single', label: 'Nick', values: [occupant.nick] },
      { name: 'muc#request_allow', type: 'boolean', label: 'Give voice?', values: ['0'] },
    ]),
  )
  room.broadcast(message, room.origin, (to) => to.occupant.role === 'moderator')
}
