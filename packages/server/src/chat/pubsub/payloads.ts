// XEP-0060: what is read from requests, and how items are written

import { Attributes, Element, escapeAttribute, StanzaError } from '@aviso/xmpp'
import { pubsubError } from './errors.ts'
import { PUBSUB } from './names.ts'
import type { NodeConfig } from './node-config.ts'
import type { Place } from './place.ts'
import type { Item } from './rows.ts'

/** Octets of the name of a node, and of the id of an item: as many as a part of an address may have. */
const MAX_NAME = 1023

/** The node that is meant. @throws StanzaError bad-request with nodeid-required, not-acceptable */
export function nodeNamed(element: Element): string {
  const node = element.get('node')
  if (node === undefined || node === '') throw pubsubError('bad-request', 'nodeid-required')
  return bounded(node)
}

/** @throws StanzaError not-acceptable where the name is too long */
export function bounded(name: string): string {
  if (Buffer.byteLength(name) > MAX_NAME) throw StanzaError.of('not-acceptable', 'the name is too long')
  return name
}

/** The ids of the items that are named. @throws StanzaError */
export function itemIds(element: Element): readonly string[] {
  return element.childrenNamed('item').map((item) => {
    const id = item.get('id')
    if (id === undefined || id === '') throw pubsubError('bad-request', 'item-required')
    return bounded(id)
  })
}

/** The payload of an item to be published; '' for none. @throws StanzaError bad-request with invalid-payload */
export function payloadOf(item: Element): string {
  const [payload, ...more] = item.elements
  if (more.length > 0) throw pubsubError('bad-request', 'invalid-payload', 'an item has one payload')
  if (payload === undefined) {
    if (item.text().trim() !== '') throw pubsubError('bad-request', 'invalid-payload', 'text alone is no payload')
    return ''
  }
  return payload.toString()
}

/** Whom replies to an item are for, where the node, or the place, wants that to be told (§12.19). */
function publisherOf({ itemReply }: NodeConfig, place: Place, item: Pick<Item, 'publisher'>, owner: string): string {
  if (itemReply === 'owner') return owner
  return itemReply === 'publisher' || place.exposePublisher ? item.publisher : ''
}

/** An item as XML text, for a place where the namespace of the pubsub document is the default one. */
export function itemXml(
  place: Place,
  { config, creator }: { readonly config: NodeConfig; readonly creator: string },
  item: Pick<Item, 'id' | 'publisher' | 'xml'>,
  withPayload = true,
): string {
  const publisher = publisherOf(config, place, item, creator)
  const head = `<item id='${escapeAttribute(item.id)}'${publisher === '' ? '' : ` publisher='${escapeAttribute(publisher)}'`}`
  return item.xml === '' || !withPayload ? `${head}/>` : `${head}>${item.xml}</item>`
}

/** The `<pubsub/>` of a result, with ready-made content. */
export const pubsubResult = (content: string, xmlns = PUBSUB): Element =>
  new Element('pubsub', xmlns, Attributes.none, [], content)
