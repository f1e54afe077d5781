// XEP-0060 §5.2-5.5: nodes and items as service discovery tells of them

import type { DiscoInfo, DiscoItem, IqRequest } from '../core/contracts.ts'
import { metaData } from './config-form.ts'
import { asked } from './errors.ts'
import { PUBSUB } from './names.ts'
import type { Place } from './place.ts'

/** The nodes that the asker may read. */
export async function listOfNodes(place: Place, { from }: IqRequest): Promise<readonly DiscoItem[]> {
  const nodes = await place.nodes.list({ actor: await place.actor(from) })
  return nodes.map(({ name, config: { title } }) => ({
    jid: place.jid.toString(),
    node: name,
    ...(title !== '' && { name: title }),
  }))
}

/** One node, with its meta-data. @throws StanzaError for those who may not know of it */
export async function infoOfNode(place: Place, { from }: IqRequest, name: string): Promise<DiscoInfo> {
  const { node, subscribers, owners } = await asked(
    place.nodes.describe({ node: name, actor: await place.actor(from, name) }),
  )
  return {
    identities: [{ category: 'pubsub', type: 'leaf' }],
    features: [PUBSUB],
    forms: [metaData(node, subscribers, owners)],
  }
}

/** The ids of a node's items. @throws StanzaError for those who may not read them */
export async function itemsOfNode(place: Place, { from }: IqRequest, name: string): Promise<readonly DiscoItem[]> {
  const page = { max: place.limits.page, backwards: true, octets: Number.MAX_SAFE_INTEGER }
  const actor = await place.actor(from, name)
  const { items } = await asked(place.nodes.items({ node: name, actor, ids: [], page }))
  return items.map(({ id }) => ({ jid: place.jid.toString(), name: id }))
}
