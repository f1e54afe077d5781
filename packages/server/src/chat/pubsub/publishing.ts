// XEP-0060 §7: publishing items, and taking them back

import { el, type Element, escapeAttribute, StanzaError } from '@aviso/xmpp'
import { randomWord } from '../../kernel/random.ts'
import { configOf, fieldsOf } from './config-form.ts'
import { asked, pubsubError } from './errors.ts'
import { PUBLISH_OPTIONS, PUBSUB } from './names.ts'
import { bounded, itemIds, itemXml, nodeNamed, payloadOf } from './payloads.ts'
import type { Answer, Happening, Place, Request } from './place.ts'
import type { Audience, Item } from './rows.ts'

/** What is published, as a request says it. */
export interface Publication {
  readonly node: string
  readonly items: readonly Pick<Item, 'id' | 'xml'>[]
}

/** Reads `<publish/>`; items without an id get one. @throws StanzaError */
export function publicationOf(publish: Element, place: Place): Publication {
  const node = nodeNamed(publish)
  const items = publish.childrenNamed('item').map((item) => {
    const id = item.get('id') ?? ''
    return { id: id === '' ? randomWord(place.random, 16) : bounded(id), xml: payloadOf(item) }
  })
  if (new Set(items.map(({ id }) => id)).size !== items.length)
    throw StanzaError.of('bad-request', 'an item is given twice')
  return { node, items }
}

/** §7.1 */
export async function publish(place: Place, request: Request, element: Element): Promise<Answer> {
  const { node, items } = publicationOf(element, place)
  const options = request.payload.child('publish-options')
  const fields = options === undefined ? [] : fieldsOf(options, PUBLISH_OPTIONS)
  const wanted = configOf(fields ?? [], place.limits)
  const actor = await place.actor(request.from, node)
  const { audience, fresh } = await asked(
    place.nodes.publish({
      node,
      actor,
      items,
      wanted,
      created: place.autoCreate ? place.defaults : undefined,
      limits: place.limits,
    }),
  )
  if (fresh) place.changed()
  request.after(() => place.happened(published(place, audience, items, actor.jid)))
  return el('pubsub', { xmlns: PUBSUB }, el('publish', { node }, ...items.map(({ id }) => el('item', { id }))))
}

export const published = (
  place: Place,
  audience: Audience,
  items: readonly Pick<Item, 'id' | 'xml'>[],
  publisher: string,
): Happening => {
  const { config, name } = audience
  const xml = items.map((item) => itemXml(place, audience, { ...item, publisher }, config.payloads)).join('')
  return {
    audience,
    kind: 'published',
    silent: !config.deliver,
    content: `<items node='${escapeAttribute(name)}'>${xml}</items>`,
  }
}

export const retracted = (
  audience: Audience,
  ids: readonly string[],
  silent = !audience.config.notifyRetract,
): Happening => {
  const xml = ids.map((id) => `<retract id='${escapeAttribute(id)}'/>`).join('')
  return {
    audience,
    kind: 'retracted',
    silent,
    content: `<items node='${escapeAttribute(audience.name)}'>${xml}</items>`,
  }
}

/** §7.2 */
export async function retract(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const ids = itemIds(element)
  if (ids.length === 0) throw pubsubError('bad-request', 'item-required')
  const audience = await asked(place.nodes.retract({ node, actor: await place.actor(request.from, node), ids }))
  const notify = element.get('notify')
  const wanted = audience.config.notifyRetract || notify === '1' || notify === 'true'
  request.after(() => place.happened(retracted(audience, ids, !wanted)))
  return undefined
}
