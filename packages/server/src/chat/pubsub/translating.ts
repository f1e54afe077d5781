// Requests of owners for nodes that are only another way to see one

import { el, escapeAttribute, StanzaError } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import type { AccountPlace } from './account-place.ts'
import { PUBSUB } from './names.ts'
import { itemXml, pubsubResult } from './payloads.ts'
import type { NodeTranslation } from './personal-events.ts'
import type { Answer } from './place.ts'
import { publicationOf } from './publishing.ts'
import type { Element } from '@aviso/xmpp'

/** Answers what can be translated; undefined for other requests. */
export async function translated(
  translation: NodeTranslation,
  account: Account,
  place: AccountPlace,
  element: Element,
): Promise<{ readonly answer: Answer } | undefined> {
  const { node } = translation
  switch (element.name) {
    case 'items': {
      const items = await translation.items(account)
      if (items.length === 0) throw StanzaError.of('item-not-found')
      const facts = { config: place.defaults, creator: account.address }
      const xml = items.map((item) => itemXml(place, facts, { ...item, publisher: account.address })).join('')
      return { answer: pubsubResult(`<items node='${escapeAttribute(node)}'>${xml}</items>`) }
    }
    case 'publish': {
      const { items } = publicationOf(element, place)
      await translation.publish(account, items)
      return {
        answer: el('pubsub', { xmlns: PUBSUB }, el('publish', { node }, ...items.map(({ id }) => el('item', { id })))),
      }
    }
    case 'retract':
      await translation.retract(account)
      return { answer: undefined }
    default:
      return undefined
  }
}
