// XEP-0060 §5, §8: nodes are made, described, configured and deleted. Store workers import this file: it must stay light.

import { read, type Transaction, write } from '../../store/contracts.ts'
import { type Actor, mayNotRead, noSuchNode, notOwner } from './access.ts'
import { type NodeConfig } from './node-config.ts'
import {
  affiliationsOf,
  allNodes,
  type Audience,
  audienceOf,
  findNode,
  insertNode,
  must,
  type NodeFacts,
  nodeFor,
  ownNode,
  standingOf,
  type StoreLimits,
  subscriptionsOf,
  trim,
  type About,
} from './rows.ts'

async function forget(tx: Transaction, node: string): Promise<void> {
  await tx.run('DELETE FROM pubsub_item WHERE node = ?', node)
  await tx.run('DELETE FROM pubsub_affiliation WHERE node = ?', node)
  await tx.run('DELETE FROM pubsub_subscription WHERE node = ?', node)
  await tx.run('DELETE FROM pubsub_node WHERE name = ?', node)
}

export const nodeOperations = {
  /** Makes a node. Throws `conflict` where there is one. */
  create: write(
    async (
      tx,
      { node, actor, config, limits }: About & { readonly config: NodeConfig; readonly limits: StoreLimits },
    ) => {
      if (!actor.creates) must(actor.stranger ? noSuchNode(actor) : { condition: 'forbidden' })
      if ((await findNode(tx, node)) !== undefined) must({ condition: 'conflict', text: 'there is such a node' })
      await insertNode(tx, { name: node, config, creator: actor.jid, created: tx.now }, limits)
    },
  ),

  configure: write(
    async (
      tx,
      {
        node: name,
        actor,
        changes,
        limits,
      }: About & { readonly changes: Partial<NodeConfig>; readonly limits: StoreLimits },
    ): Promise<Audience> => {
      const before = await ownNode(tx, name, actor, notOwner)
      const node = { ...before, config: { ...before.config, ...changes } }
      await tx.run('UPDATE pubsub_node SET config = ? WHERE name = ?', JSON.stringify(node.config), name)
      await trim(tx, node, limits)
      return audienceOf(tx, node)
    },
  ),

  /** §8.2.1 */
  config: read(
    async (tx, { node, actor }: About): Promise<NodeConfig> => (await ownNode(tx, node, actor, notOwner)).config,
  ),

  /** §8.4 */
  delete: write(async (tx, { node: name, actor }: About): Promise<Audience> => {
    const audience = await audienceOf(tx, await ownNode(tx, name, actor, notOwner))
    await forget(tx, name)
    return audience
  }),

  /** §8.5 */
  purge: write(async (tx, { node: name, actor }: About): Promise<Audience> => {
    const node = await ownNode(tx, name, actor, notOwner)
    if (!node.config.persist)
      must({ condition: 'feature-not-implemented', detail: 'unsupported', feature: 'persistent-items' })
    await tx.run('DELETE FROM pubsub_item WHERE node = ?', name)
    return audienceOf(tx, node)
  }),

  /** One node that the actor may read, and how many have subscribed to it. */
  describe: read(
    async (
      tx,
      { node: name, actor }: About,
    ): Promise<{ readonly node: NodeFacts; readonly subscribers: number; readonly owners: readonly string[] }> => {
      const { node, standing } = await nodeFor(tx, name, actor)
      // Who may ask for a subscription may know what to.
      const mayAsk = node.config.accessModel === 'authorize' && standing.affiliation === 'none'
      if (!mayAsk) must(mayNotRead(node.config, actor, standing))
      const subscriptions = await subscriptionsOf(tx, name)
      const affiliations = await affiliationsOf(tx, name)
      return {
        node,
        subscribers: subscriptions.filter(({ state }) => state === 'subscribed').length,
        owners: affiliations.filter(({ affiliation }) => affiliation === 'owner').map(({ jid }) => jid),
      }
    },
  ),

  /** The nodes that the actor may read. */
  list: read(async (tx, { actor }: { readonly actor: Actor }): Promise<readonly NodeFacts[]> => {
    const readable: NodeFacts[] = []
    for (const node of await allNodes(tx))
      if (mayNotRead(node.config, actor, await standingOf(tx, node.name, actor)) === undefined) readable.push(node)
    return readable
  }),

  /** The names of the nodes whose last items are sent to who comes. */
  sent: read<never, readonly string[]>(async (tx) =>
    (await allNodes(tx)).filter(({ config }) => config.sendLast === 'on_sub_and_presence').map(({ name }) => name),
  ),

  /** Whose presence and roster decide about the node: its owners, where its access model asks for them. */
  decisive: read(async (tx, { node: name }: { readonly node: string }): Promise<readonly string[]> => {
    const node = await findNode(tx, name)
    if (node?.config.accessModel !== 'presence' && node?.config.accessModel !== 'roster') return []
    return (await affiliationsOf(tx, name)).filter(({ affiliation }) => affiliation === 'owner').map(({ jid }) => jid)
  }),
}
