// XEP-0045 §17.4, XEP-0410: requests from occupant to occupant, and to oneself

import { type Element, NS, StanzaError } from '@aviso/xmpp'
import { randomWord } from '../../kernel/random.ts'
import type { StanzaEvent } from '../core/contracts.ts'
import { isRequest, payloadOf } from '../core/iq.ts'
import { speaker } from './messages.ts'
import type { Room } from './room.ts'

/** What an account answers, not one of its clients. */
const OF_ACCOUNT: ReadonlySet<string> = new Set(['vcard-temp', 'http://jabber.org/protocol/pubsub'])

/** An IQ for the nick of somebody. */
export function iqToOccupant(room: Room, event: StanzaEvent): void {
  const { stanza, to, origin } = event
  if (!isRequest(stanza)) return passAnswer(room, event)
  const { occupant } = speaker(room, event)
  const target = room.occupants.get(to.resource)
  if (target === undefined) throw StanzaError.of('item-not-found', 'nobody here has this nick')
  const payload = payloadOf(stanza)
  // §3: a client asks whether it is in the room (still): nobody but the room knows better.
  if (target === occupant && payload.is('ping', NS.ping)) return origin.reply(pong(stanza))
  room.hall.mayTake('room-messages', occupant.bare)
  const [first] = target.sessions
  if (first === undefined) throw StanzaError.of('item-not-found')
  // Both sides' ids are their own: the answer is known by one of ours.
  const id = randomWord(room.hall.random, 20)
  room.asked.set(id, { asker: origin.jid.toString(), id: stanza.get('id') ?? '', answerer: target })
  const receiver = OF_ACCOUNT.has(payload.xmlns) ? target.bare : first.full
  room.hall.send(stanza.with({ id, from: occupant.full, to: receiver }), occupant.origin)
}

const pong = (ping: Element): Element =>
  ping.with({ type: 'result', from: ping.get('to'), to: ping.get('from') }).withChildren()

/** An answer finds back to who has asked. */
function passAnswer(room: Room, { stanza, origin }: StanzaEvent): void {
  const id = stanza.get('id') ?? ''
  const asked = room.asked.peek(id)
  if (asked?.answerer.bare !== origin.jid.bareString) return
  room.asked.delete(id)
  const asker = room.sessions.get(asked.asker)
  if (asker === undefined) return
  room.hall.send(stanza.with({ id: asked.id, from: asked.answerer.full, to: asker.full }), asked.answerer.origin)
}
