// XEP-0486: MUC Avatars, kept as XEP-0054 cards and announced by XEP-0153

import { createHash } from 'node:crypto'
import { el, type Element, StanzaError } from '@aviso/xmpp'
import type { IqRequest } from '../core/contracts.ts'
import { showAvatar } from './presence.ts'
import type { Room } from './room.ts'
import { readText } from './room-archive.ts'

export const VCARD = 'vcard-temp'

export async function cardAsked(room: Room, iq: IqRequest): Promise<Element> {
  const card = await room.hall.store.card({ id: room.id })
  return iq.result(card === '' ? el('vCard', { xmlns: VCARD }) : readText(card))
}

export async function setCard(room: Room, iq: IqRequest): Promise<Element> {
  if (room.affiliationOf(iq.from.bareString) !== 'owner') throw StanzaError.of('forbidden', 'only owners set avatars')
  const card = iq.payload.children.length === 0 ? '' : iq.payload.toString()
  if (Buffer.byteLength(card) > room.hall.settings['max-avatar'])
    throw StanzaError.of('not-acceptable', 'the card is too big')
  const picture = iq.payload.child('PHOTO')?.childText('BINVAL')?.replaceAll(/\s+/g, '') ?? ''
  const bytes = Buffer.from(picture, 'base64')
  const avatar = bytes.length === 0 ? '' : createHash('sha1').update(bytes).digest('hex')
  await room.hall.store.saveCard({ id: room.id, card, avatar })
  room.avatar = avatar
  room.tellStatus(104)
  showAvatar(room)
  return iq.result()
}
