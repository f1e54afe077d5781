// XEP-0060 §6.5, §7: items are published, read and taken back. Store workers import this file: it must stay light.

import { read, type Transaction, write } from '../../store/contracts.ts'
import { type Actor, mayNotPublish, mayNotRead, noSuchNode } from './access.ts'
import { type NodeConfig, payloadOctets, unmet } from './node-config.ts'
import { refused } from './refusal.ts'
import {
  type Audience,
  audienceOf,
  findItem,
  findNode,
  insertNode,
  type Item,
  type ItemPage,
  lastItem,
  must,
  mustFitInAll,
  type NodeFacts,
  nodeFor,
  type Page,
  pageOf,
  putItem,
  standingOf,
  type StoreLimits,
  trim,
  type About,
} from './rows.ts'

export interface Publishing extends About {
  /** Empty for a mere notification. */
  readonly items: readonly Pick<Item, 'id' | 'xml'>[]
  /** What the node must be like (§7.1.5). */
  readonly wanted: Partial<NodeConfig>
  /** Of a node that is made for this; undefined: none is. */
  readonly created: NodeConfig | undefined
  readonly limits: StoreLimits
}

export interface Published {
  readonly audience: Audience
  /** The node was made. */
  readonly fresh: boolean
}

/** Refuses items that the node does not take (§7.1.3). */
function mustFit(config: NodeConfig, { items, limits }: Publishing): void {
  const [first] = items
  if (first === undefined) {
    if (config.persist || config.payloads) must({ condition: 'bad-request', detail: 'item-required' })
    return
  }
  if (!config.persist && !config.payloads) must({ condition: 'bad-request', detail: 'item-forbidden' })
  if (items.length > limits.maxItems) must({ condition: 'not-allowed', detail: 'max-items-exceeded' })
  const most = payloadOctets(config, limits)
  for (const { xml } of items) {
    if (xml === '' && config.payloads) must({ condition: 'bad-request', detail: 'payload-required' })
    if (Buffer.byteLength(xml) > most) must({ condition: 'not-acceptable', detail: 'payload-too-big' })
  }
}

async function nodeToPublishTo(
  tx: Transaction,
  args: Publishing,
): Promise<{ readonly node: NodeFacts; readonly fresh: boolean }> {
  const { actor, wanted, created, limits } = args
  const found = await findNode(tx, args.node)
  if (found === undefined) {
    if (created === undefined || !actor.creates) throw refused(noSuchNode(actor))
    const node = { name: args.node, config: { ...created, ...wanted }, creator: actor.jid, created: tx.now }
    await insertNode(tx, node, limits)
    return { node, fresh: true }
  }
  must(mayNotPublish(found.config, actor, await standingOf(tx, args.node, actor)))
  const field = unmet(found.config, wanted, limits)
  if (field !== undefined)
    must({ condition: 'conflict', detail: 'precondition-not-met', text: `${field} is not as wanted` })
  return { node: found, fresh: false }
}

async function publish(tx: Transaction, args: Publishing): Promise<Published> {
  const { actor, items, limits } = args
  const { node, fresh } = await nodeToPublishTo(tx, args)
  mustFit(node.config, args)
  if (node.config.persist) {
    for (const { id, xml } of items) {
      const before = await findItem(tx, node, id)
      if (before !== undefined && before.publisher !== actor.jid) {
        const { affiliation } = await standingOf(tx, node.name, actor)
        // Who may publish because everybody may does not write over others' items.
        if (affiliation === 'none' || affiliation === 'member' || affiliation === 'publish-only')
          must({ condition: 'forbidden', text: 'this item is somebody else’s' })
      }
      await putItem(tx, node.name, { id, xml, publisher: actor.jid })
    }
    await trim(tx, node, limits)
    await mustFitInAll(tx, limits)
  }
  return { audience: await audienceOf(tx, node), fresh }
}

/** Items that come, and others that go. */
export interface Exchange extends Publishing {
  /** Ids; what is not there is gone already. */
  readonly gone: readonly string[]
}

export interface Exchanged extends Published {
  /** Those that were there. */
  readonly gone: readonly string[]
}

/** Takes items back and publishes others, all of it or nothing; undefined where there was nothing to do. For those who may do both. */
export async function exchange(tx: Transaction, args: Exchange): Promise<Exchanged | undefined> {
  const node = await findNode(tx, args.node)
  const gone: string[] = []
  if (node !== undefined && args.gone.length > 0) {
    must(mayNotPublish(node.config, args.actor, await standingOf(tx, node.name, args.actor)))
    for (const id of args.gone) {
      if ((await findItem(tx, node, id)) === undefined) continue
      await tx.run('DELETE FROM pubsub_item WHERE node = ? AND id = ?', node.name, id)
      gone.push(id)
    }
  }
  if (args.items.length > 0) return { ...(await publish(tx, args)), gone }
  return node === undefined ? undefined : { audience: await audienceOf(tx, node), fresh: false, gone }
}

export const itemOperations = {
  /** Keeps the items, all or none, makes the node where it is to be made, and lets go of what is too much. */
  publish: write(publish),

  /** §7.2: takes items back. Throws where one of them is not there. */
  retract: write(
    async (tx, { node: name, actor, ids }: About & { readonly ids: readonly string[] }): Promise<Audience> => {
      const { node, standing } = await nodeFor(tx, name, actor)
      const all = standing.affiliation === 'owner' || standing.affiliation === 'publisher'
      if (!all) must(mayNotPublish(node.config, actor, standing))
      if (!node.config.persist)
        must({ condition: 'feature-not-implemented', detail: 'unsupported', feature: 'persistent-items' })
      for (const id of ids) {
        const item = await findItem(tx, node, id)
        if (item === undefined) must({ condition: 'item-not-found' })
        if (!all && item?.publisher !== actor.jid) must({ condition: 'forbidden' })
        await tx.run('DELETE FROM pubsub_item WHERE node = ? AND id = ?', name, id)
      }
      return audienceOf(tx, node)
    },
  ),

  /** A page of the items, or those of these ids that are there, in the order asked for. */
  items: read(
    async (
      tx,
      { node: name, actor, ids, page }: About & { readonly ids: readonly string[]; readonly page: ItemPage },
    ): Promise<Page & { readonly node: NodeFacts }> => {
      const { node, standing } = await nodeFor(tx, name, actor)
      must(mayNotRead(node.config, actor, standing))
      if (!node.config.persist)
        must({ condition: 'feature-not-implemented', detail: 'unsupported', feature: 'persistent-items' })
      if (ids.length === 0) return { node, ...(await pageOf(tx, node, page)) }
      const items: Item[] = []
      for (const id of new Set(ids)) {
        const item = await findItem(tx, node, id)
        if (item !== undefined) items.push(item)
      }
      if (items.length === 0) must({ condition: 'item-not-found' })
      return { node, items, count: items.length, index: 0, more: false }
    },
  ),

  /** The last items of these nodes, as far as the actor may see them and they are sent to who comes. */
  last: read(
    async (
      tx,
      { nodes, actor }: { readonly nodes: readonly string[]; readonly actor: Actor },
    ): Promise<readonly { readonly node: NodeFacts; readonly item: Item }[]> => {
      const found: { readonly node: NodeFacts; readonly item: Item }[] = []
      for (const name of nodes) {
        const node = await findNode(tx, name)
        if (node === undefined || node.config.sendLast !== 'on_sub_and_presence' || !node.config.deliver) continue
        if (mayNotRead(node.config, actor, await standingOf(tx, name, actor)) !== undefined) continue
        const item = await lastItem(tx, node)
        if (item !== undefined) found.push({ node, item })
      }
      return found
    },
  ),
}
