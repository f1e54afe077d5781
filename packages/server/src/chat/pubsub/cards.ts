// XEP-0292, XEP-0398: the one card of an account: text as vCard4, the picture as avatar, both in nodes of the account's

import { el, type Element, type Jid } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import { avatarSeenBy, contentOf, removeAvatar, setAvatar } from './avatar.ts'
import type { NodeConfig } from './node-config.ts'
import type { PersonalEvents } from './personal-events.ts'
import { photoOf, toVcard4, toVcardTemp, VCARD4, VCARD_TEMP } from './vcard4.ts'

export const VCARD4_NODE = 'urn:xmpp:vcard4'
const CURRENT = 'current'

/** The account's vCard4 as somebody sees it. */
export async function vcard4SeenBy(
  events: PersonalEvents,
  account: Account,
  viewer: Jid,
): Promise<Element | undefined> {
  const last = (await events.seenBy(account, VCARD4_NODE, viewer)).at(-1)
  const card = last && contentOf(last)
  return card?.is('vcard', VCARD4) === true ? card : undefined
}

/** The same in the form of XEP-0054, with the avatar as its photo; undefined where there is nothing that he may see. */
export async function cardSeenBy(events: PersonalEvents, account: Account, viewer: Jid): Promise<Element | undefined> {
  const card = await vcard4SeenBy(events, account, viewer)
  const avatar = await avatarSeenBy(events, account, viewer)
  if (card === undefined && avatar === undefined) return undefined
  const temp = card === undefined ? el('vCard', { xmlns: VCARD_TEMP }) : toVcardTemp(card)
  const photo = avatar && el('PHOTO', {}, el('TYPE', {}, avatar.type), el('BINVAL', {}, avatar.base64))
  // Clients stumble over cards without a name (XEP-0054 §2).
  const named = temp.append(
    temp.child('FN') === undefined && el('FN', {}, temp.childText('NICKNAME') ?? account.local),
    temp.child('N') === undefined && el('N'),
  )
  return photo === undefined ? named : named.without(({ name }) => name === 'PHOTO').append(photo)
}

/** A card of XEP-0054 takes the place of the one before, picture and all. Resolves when it is durable. */
export async function setCard(
  events: PersonalEvents,
  account: Account,
  card: Element,
  config: Partial<NodeConfig>,
): Promise<void> {
  const photo = photoOf(card)
  // The picture first: where it makes no sense, nothing is changed.
  if (photo !== undefined) await setAvatar(events, account, photo, config)
  else await removeAvatar(events, account)
  const text = toVcard4(card)
  if (text.elements.length === 0) await events.retract(account, VCARD4_NODE, [CURRENT])
  else await setVcard4(events, account, text, config)
}

export const setVcard4 = (
  events: PersonalEvents,
  account: Account,
  card: Element,
  config: Partial<NodeConfig>,
): Promise<void> => events.publish(account, VCARD4_NODE, [{ id: CURRENT, xml: card.toString() }], config)
