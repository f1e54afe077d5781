// XEP-0060: what publish-subscribe keeps. Every right is looked at inside the transaction that uses it, so that no change of a node can race past a request. Store workers import this file: it must stay light.

import { type Calls, defineStore, read, type Transaction, write } from '../../store/contracts.ts'
import {
  type Actor,
  type Affiliation,
  mayNotPublish,
  mayNotRead,
  mayNotSubscribe,
  noSuchNode,
  notOwner,
} from './access.ts'
import { type NodeConfig, payloadOctets, unmet } from './node-config.ts'
import { refused } from './refusal.ts'
import {
  affiliate,
  affiliationsOf,
  type Affiliated,
  allNodes,
  type Audience,
  audienceOf,
  findItem,
  findNode,
  insertNode,
  type Item,
  type ItemPage,
  lastItem,
  must,
  type NodeFacts,
  nodeFor,
  ownNode,
  type Page,
  pageOf,
  putItem,
  putSubscription,
  standingOf,
  type StoreLimits,
  type Subscription,
  subscriptionOf,
  subscriptionsOf,
  TABLES,
  trim,
} from './rows.ts'

/** Who asks, and which node is meant. */
interface About {
  readonly node: string
  readonly actor: Actor
}

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

async function forget(tx: Transaction, node: string): Promise<void> {
  await tx.run('DELETE FROM pubsub_item WHERE node = ?', node)
  await tx.run('DELETE FROM pubsub_affiliation WHERE node = ?', node)
  await tx.run('DELETE FROM pubsub_subscription WHERE node = ?', node)
  await tx.run('DELETE FROM pubsub_node WHERE name = ?', node)
}

/** The subscription that is meant: that of the JID, and of the right subid where one is given (§6.2.3). */
async function subscriptionMeant(
  tx: Transaction,
  { node, actor }: About,
  jid: string,
  subid: string | undefined,
): Promise<Subscription> {
  const { config } = (await nodeFor(tx, node, actor)).node
  const subscription = await subscriptionOf(tx, node, jid)
  if (subscription === undefined) {
    // Who may not even ask for one is not told that there is something to subscribe to.
    must(mayNotSubscribe(config, actor, await standingOf(tx, node, actor)))
    throw refused({ condition: 'unexpected-request', detail: 'not-subscribed' })
  }
  if (subid !== undefined && subid !== subscription.subid)
    throw refused({ condition: 'not-acceptable', detail: 'invalid-subid' })
  return subscription
}

async function mustHaveRoom(
  tx: Transaction,
  table: 'affiliation' | 'subscription',
  node: string,
  limits: StoreLimits,
): Promise<void> {
  const [count] =
    (await tx.get(
      table === 'affiliation'
        ? 'SELECT count(*) FROM pubsub_affiliation WHERE node = ?'
        : 'SELECT count(*) FROM pubsub_subscription WHERE node = ?',
      node,
    )) ?? []
  if (Number(count) > limits.members) must({ condition: 'policy-violation', detail: 'too-many-subscriptions' })
}

const operations = {
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

  /** Keeps the items, all or none, makes the node where it is to be made, and lets go of what is too much. */
  publish: write(async (tx, args: Publishing): Promise<Published> => {
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
    }
    return { audience: await audienceOf(tx, node), fresh }
  }),

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

  /** The names of the nodes whose last items are sent to who comes. */
  sent: read<never, readonly string[]>(async (tx) =>
    (await allNodes(tx)).filter(({ config }) => config.sendLast === 'on_sub_and_presence').map(({ name }) => name),
  ),

  /** The nodes that the actor may read. */
  list: read(async (tx, { actor }: { readonly actor: Actor }): Promise<readonly NodeFacts[]> => {
    const readable: NodeFacts[] = []
    for (const node of await allNodes(tx))
      if (mayNotRead(node.config, actor, await standingOf(tx, node.name, actor)) === undefined) readable.push(node)
    return readable
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

  /** Whose presence and roster decide about the node: its owners, where its access model asks for them. */
  decisive: read(async (tx, { node: name }: { readonly node: string }): Promise<readonly string[]> => {
    const node = await findNode(tx, name)
    if (node?.config.accessModel !== 'presence' && node?.config.accessModel !== 'roster') return []
    return (await affiliationsOf(tx, name)).filter(({ affiliation }) => affiliation === 'owner').map(({ jid }) => jid)
  }),

  /** §8.2.1 */
  config: read(
    async (tx, { node, actor }: About): Promise<NodeConfig> => (await ownNode(tx, node, actor, notOwner)).config,
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

  /** §6.1: subscribes, or answers the subscription that is there. `last`: the item to begin with. */
  subscribe: write(
    async (
      tx,
      {
        node: name,
        actor,
        wanted,
        limits,
      }: About & { readonly wanted: Omit<Subscription, 'state'>; readonly limits: StoreLimits },
    ): Promise<{
      readonly node: NodeFacts
      readonly subscription: Subscription
      /** Owners that are to say yes or no. */
      readonly ask: readonly string[]
      readonly last: Item | undefined
    }> => {
      const { node, standing } = await nodeFor(tx, name, actor)
      must(mayNotSubscribe(node.config, actor, standing))
      await tx.run('DELETE FROM pubsub_subscription WHERE node = ? AND expires > 0 AND expires <= ?', name, tx.now)
      const before = await subscriptionOf(tx, name, wanted.jid)
      if (before?.state === 'pending') must({ condition: 'not-authorized', detail: 'pending-subscription' })
      const welcome = mayNotRead(node.config, actor, standing) === undefined
      const subscription: Subscription = before ?? { ...wanted, state: welcome ? 'subscribed' : 'pending' }
      if (before === undefined) {
        await putSubscription(tx, name, actor.jid, subscription)
        await mustHaveRoom(tx, 'subscription', name, limits)
      }
      const owners = (await affiliationsOf(tx, name)).filter(({ affiliation }) => affiliation === 'owner')
      return {
        node,
        subscription,
        ask: welcome ? [] : owners.map(({ jid }) => jid),
        last: welcome && node.config.sendLast !== 'never' ? await lastItem(tx, node) : undefined,
      }
    },
  ),

  /** §6.2 */
  unsubscribe: write(
    async (
      tx,
      { node, actor, jid, subid }: About & { readonly jid: string; readonly subid: string | undefined },
    ): Promise<Subscription> => {
      const subscription = await subscriptionMeant(tx, { node, actor }, jid, subid)
      await tx.run('DELETE FROM pubsub_subscription WHERE node = ? AND jid = ?', node, jid)
      return subscription
    },
  ),

  /** §6.3 */
  options: read(
    async (
      tx,
      { node, actor, jid, subid }: About & { readonly jid: string; readonly subid: string | undefined },
    ): Promise<Subscription> => {
      return subscriptionMeant(tx, { node, actor }, jid, subid)
    },
  ),

  setOptions: write(
    async (
      tx,
      {
        node,
        actor,
        jid,
        subid,
        options,
      }: About & {
        readonly jid: string
        readonly subid: string | undefined
        readonly options: Partial<Pick<Subscription, 'deliver' | 'expires'>>
      },
    ): Promise<void> => {
      const subscription = await subscriptionMeant(tx, { node, actor }, jid, subid)
      await putSubscription(tx, node, actor.jid, { ...subscription, ...options })
    },
  ),

  /** §5.6: what somebody has subscribed to. */
  mySubscriptions: read(
    async (
      tx,
      { jid, node }: { readonly jid: string; readonly node: string | undefined },
    ): Promise<readonly (Subscription & { readonly node: string })[]> => {
      const names = await tx.all('SELECT DISTINCT node FROM pubsub_subscription WHERE bare = ? ORDER BY node', jid)
      const found: (Subscription & { readonly node: string })[] = []
      for (const [name] of names) {
        if (node !== undefined && name !== node) continue
        for (const subscription of await subscriptionsOf(tx, String(name)))
          if (subscription.jid === jid || subscription.jid.startsWith(`${jid}/`))
            found.push({ ...subscription, node: String(name) })
      }
      return found
    },
  ),

  /** §5.7 */
  myAffiliations: read(
    async (
      tx,
      { jid, node }: { readonly jid: string; readonly node: string | undefined },
    ): Promise<readonly { readonly node: string; readonly affiliation: Affiliation }[]> =>
      (await tx.all('SELECT node, affiliation FROM pubsub_affiliation WHERE jid = ? ORDER BY node', jid))
        .filter(([name]) => node === undefined || name === node)
        .map(([name, affiliation]) => ({ node: String(name), affiliation: affiliation as Affiliation })),
  ),

  /** Somebody is gone for good: who gets his address is not who he was. */
  forgetSomebody: write(async (tx, { jid }: { readonly jid: string }) => {
    await tx.run('DELETE FROM pubsub_subscription WHERE bare = ?', jid)
    await tx.run('DELETE FROM pubsub_affiliation WHERE jid = ?', jid)
  }),

  /** §8.9.1 */
  affiliations: read(async (tx, { node, actor }: About): Promise<readonly Affiliated[]> => {
    await ownNode(tx, node, actor, notOwner)
    return affiliationsOf(tx, node)
  }),

  /** §8.9.2: all or none. Throws where nobody would own the node. */
  affiliate: write(
    async (
      tx,
      {
        node,
        actor,
        changes,
        limits,
      }: About & { readonly changes: readonly Affiliated[]; readonly limits: StoreLimits },
    ): Promise<Audience> => {
      const facts = await ownNode(tx, node, actor, notOwner)
      for (const { jid, affiliation } of changes) {
        await affiliate(tx, node, jid, affiliation)
        // Who may not read any more does not go on being told.
        if (affiliation === 'outcast')
          await tx.run('DELETE FROM pubsub_subscription WHERE node = ? AND bare = ?', node, jid)
      }
      await mustHaveRoom(tx, 'affiliation', node, limits)
      const audience = await audienceOf(tx, facts)
      if (!audience.affiliations.some(({ affiliation }) => affiliation === 'owner'))
        must({ condition: 'not-acceptable', text: 'a node needs an owner' })
      return audience
    },
  ),

  /** §8.8.1 */
  subscriptions: read(async (tx, { node, actor }: About): Promise<readonly Subscription[]> => {
    await ownNode(tx, node, actor, notOwner)
    return subscriptionsOf(tx, node)
  }),

  /** §8.8.2, §8.6: what an owner makes of subscriptions; `none` ends them. Answers those that are another thing now. */
  settle: write(
    async (
      tx,
      {
        node,
        actor,
        changes,
        limits,
      }: About & {
        readonly changes: readonly {
          readonly jid: string
          readonly bare: string
          readonly subid: string
          readonly state: Subscription['state'] | 'none'
        }[]
        readonly limits: StoreLimits
      },
    ): Promise<
      readonly { readonly jid: string; readonly subid: string; readonly state: Subscription['state'] | 'none' }[]
    > => {
      await ownNode(tx, node, actor, notOwner)
      const changed: {
        readonly jid: string
        readonly subid: string
        readonly state: Subscription['state'] | 'none'
      }[] = []
      for (const { jid, bare, subid, state } of changes) {
        const before = await subscriptionOf(tx, node, jid)
        if ((before?.state ?? 'none') === state) continue
        const now = { ...(before ?? { jid, subid, deliver: true, expires: 0 }), state }
        if (state === 'none') await tx.run('DELETE FROM pubsub_subscription WHERE node = ? AND jid = ?', node, jid)
        else await putSubscription(tx, node, bare, { ...now, state })
        changed.push({ jid, subid: now.subid, state })
      }
      await mustHaveRoom(tx, 'subscription', node, limits)
      return changed
    },
  ),
}

/** The nodes of accounts: personal events. */
export const personalNodesStore = defineStore({ name: 'pubsub', scale: 'account', migrations: [TABLES], operations })

/** The nodes of services. */
export const serviceNodesStore = defineStore({
  name: 'pubsub_service',
  scale: 'service',
  migrations: [TABLES],
  operations,
})

/** The nodes of one account or service. */
export type Nodes = Calls<typeof operations>
