// XEP-0425: moderators take back what others have said

import { el, type Element, StanzaError } from '@aviso/xmpp'
import { archiveId, stamped } from '../archive/stanza-ids.ts'
import type { IqRequest } from '../core/contracts.ts'
import { actorOf } from './affiliations.ts'
import { MODERATE, OCCUPANT_ID, RETRACT } from './contracts.ts'
import { keep } from './messages.ts'
import { occupantId, type Room } from './room.ts'
import { readText } from './room-archive.ts'

const MAX_REASON = 1000

export async function moderate(room: Room, iq: IqRequest): Promise<Element> {
  const { occupant } = actorOf(room, iq)
  if (occupant?.role !== 'moderator')
    throw StanzaError.of('forbidden', 'only moderators take back what others have said')
  const id = iq.payload.get('id') ?? ''
  if (iq.payload.child('retract', RETRACT) === undefined)
    throw StanzaError.of('feature-not-implemented', 'messages can be retracted only')
  const { hall } = room
  const kept = await hall.store.message({ room: room.id, id })
  const at = room.history.findIndex((entry) => entry.id === id)
  if (kept === undefined && at < 0) throw StanzaError.of('item-not-found', 'there is no such message')
  const now = hall.clock.now()
  const reason = (iq.payload.childText('reason') ?? '').slice(0, MAX_REASON)
  const by = (): Element => el('moderated', { xmlns: MODERATE, by: occupant.full }, occupantId(occupant))
  const why = reason !== '' && el('reason', {}, reason)
  if (kept !== undefined) {
    const message = readText(kept.xml)
    if (message.child('retracted', RETRACT) !== undefined) throw StanzaError.of('item-not-found', 'it is gone already')
    const tombstone = message.withChildren(
      message.child('occupant-id', OCCUPANT_ID),
      el('retracted', { xmlns: RETRACT, stamp: new Date(now).toISOString() }, by(), why),
    )
    await hall.store.replace({ room: room.id, id, xml: tombstone.toString() })
  }
  const own = archiveId(now, hall.random)
  const retraction = el(
    'message',
    { from: room.bare, type: 'groupchat', id: own },
    el('retract', { xmlns: RETRACT, id }, by(), why),
  )
  if (room.config.archive) await keep(room, own, now, retraction, { nick: '', bare: '' })
  const still = room.history.findIndex((entry) => entry.id === id)
  if (still >= 0) room.history.splice(still, 1)
  room.broadcast(stamped(retraction, room.bare, own))
  hall.log.info({ room: room.bare, by: occupant.bare, id, reason }, 'a message in a room was taken back')
  return iq.result()
}
