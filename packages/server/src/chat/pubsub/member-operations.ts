// XEP-0060 §6, §8.8, §8.9: subscriptions and affiliations. Store workers import this file: it must stay light.

import { read, type Transaction, write } from '../../store/contracts.ts'
import { type Affiliation, mayNotRead, mayNotSubscribe, notOwner } from './access.ts'
import { refused } from './refusal.ts'
import {
  affiliate,
  affiliationsOf,
  type Affiliated,
  type Audience,
  audienceOf,
  type Item,
  lastItem,
  must,
  type NodeFacts,
  nodeFor,
  ownNode,
  putSubscription,
  standingOf,
  type StoreLimits,
  type Subscription,
  subscriptionOf,
  subscriptionsOf,
  type About,
} from './rows.ts'

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

export const memberOperations = {
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

  /** Somebody is gone for good: who gets his address is not who he was. */
  forgetSomebody: write(async (tx, { jid }: { readonly jid: string }) => {
    await tx.run('DELETE FROM pubsub_subscription WHERE bare = ?', jid)
    await tx.run('DELETE FROM pubsub_affiliation WHERE jid = ?', jid)
  }),
}
