// XEP-0060: nodes, items, affiliations and subscriptions as they lie in a database. Store workers import this file: it must stay light.

import type { SqlRow, Transaction } from '../../store/contracts.ts'
import { type Actor, type Affiliation, affiliationOf, noSuchNode, type Standing } from './access.ts'
import { type ConfigLimits, DEFAULT_CONFIG, keptItems, type NodeConfig } from './node-config.ts'
import { type Refusal, refused } from './refusal.ts'

export const TABLES = `
CREATE TABLE pubsub_node (
  name TEXT PRIMARY KEY,
  config TEXT NOT NULL,
  creator TEXT NOT NULL,
  created BIGINT NOT NULL,
  seq BIGINT NOT NULL
);
CREATE TABLE pubsub_item (
  node TEXT NOT NULL,
  id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  publisher TEXT NOT NULL,
  octets BIGINT NOT NULL,
  xml TEXT NOT NULL,
  PRIMARY KEY (node, id)
);
CREATE UNIQUE INDEX pubsub_item_seq ON pubsub_item (node, seq);
CREATE INDEX pubsub_item_octets ON pubsub_item (octets);
CREATE TABLE pubsub_affiliation (
  node TEXT NOT NULL,
  jid TEXT NOT NULL,
  affiliation TEXT NOT NULL,
  PRIMARY KEY (node, jid)
);
CREATE INDEX pubsub_affiliation_jid ON pubsub_affiliation (jid);
CREATE TABLE pubsub_subscription (
  node TEXT NOT NULL,
  jid TEXT NOT NULL,
  bare TEXT NOT NULL,
  subid TEXT NOT NULL,
  state TEXT NOT NULL,
  deliver BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (node, jid)
);
CREATE INDEX pubsub_subscription_bare ON pubsub_subscription (bare);
`

export interface Item {
  readonly id: string
  /** Bare. */
  readonly publisher: string
  /** Milliseconds since the epoch. */
  readonly at: number
  /** The payload as XML text; '' for none. */
  readonly xml: string
}

export interface StoreLimits extends ConfigLimits {
  readonly nodes: number
  /** Subscriptions of one node, and affiliations of one. */
  readonly members: number
  /** Of all items together. */
  readonly octets: number
}

export interface NodeFacts {
  readonly name: string
  readonly config: NodeConfig
  /** Bare. */
  readonly creator: string
  /** Milliseconds since the epoch. */
  readonly created: number
}

export interface Affiliated {
  readonly jid: string
  readonly affiliation: Affiliation
}

export interface Subscription {
  /** Bare or full. */
  readonly jid: string
  readonly subid: string
  readonly state: 'pending' | 'subscribed'
  /** Wants notifications. */
  readonly deliver: boolean
  /** Milliseconds since the epoch; 0 for never. */
  readonly expires: number
}

/** A node, and who is to be told of what happens there: as of the same transaction. */
export interface Audience extends NodeFacts {
  readonly affiliations: readonly Affiliated[]
  readonly subscriptions: readonly Subscription[]
}

const toItem = ([id, publisher, at, xml]: SqlRow): Item => ({
  id: String(id),
  publisher: String(publisher),
  at: Number(at),
  xml: String(xml),
})

const toSubscription = ([jid, subid, state, deliver, expires]: SqlRow): Subscription => ({
  jid: String(jid),
  subid: String(subid),
  state: state === 'pending' ? 'pending' : 'subscribed',
  deliver: deliver === 1,
  expires: Number(expires),
})

/** Who asks, and which node is meant. */
export interface About {
  readonly node: string
  readonly actor: Actor
}

export function must(refusal: Refusal | undefined): void {
  if (refusal !== undefined) throw refused(refusal)
}

const toNode = ([name, config, creator, created]: SqlRow): NodeFacts => ({
  name: String(name),
  config: { ...DEFAULT_CONFIG, ...(JSON.parse(String(config)) as Partial<NodeConfig>) },
  creator: String(creator),
  created: Number(created),
})

const NODE = 'SELECT name, config, creator, created FROM pubsub_node'

export async function findNode(tx: Transaction, name: string): Promise<NodeFacts | undefined> {
  const row = await tx.get(`${NODE} WHERE name = ?`, name)
  return row === undefined ? undefined : toNode(row)
}

export const allNodes = async (tx: Transaction): Promise<readonly NodeFacts[]> =>
  (await tx.all(`${NODE} ORDER BY name`)).map(toNode)

/** The node, and what the actor is to it. Throws where there is none. */
export async function nodeFor(
  tx: Transaction,
  name: string,
  actor: Actor,
): Promise<{ readonly node: NodeFacts; readonly standing: Standing }> {
  const node = await findNode(tx, name)
  if (node === undefined) throw refused(noSuchNode(actor))
  return { node, standing: await standingOf(tx, name, actor) }
}

/** As `nodeFor`, for what only owners may do. */
export async function ownNode(tx: Transaction, name: string, actor: Actor, refuse: NotOwner): Promise<NodeFacts> {
  const { node, standing } = await nodeFor(tx, name, actor)
  if (standing.affiliation !== 'owner') throw refused(refuse(node.config, actor, standing))
  return node
}

type NotOwner = (config: NodeConfig, actor: Actor, standing: Standing) => Refusal

export async function standingOf(tx: Transaction, node: string, actor: Actor): Promise<Standing> {
  const [affiliation] =
    (await tx.get('SELECT affiliation FROM pubsub_affiliation WHERE node = ? AND jid = ?', node, actor.jid)) ?? []
  const states = await tx.all(
    'SELECT state FROM pubsub_subscription WHERE node = ? AND bare = ? AND (expires = 0 OR expires > ?)',
    node,
    actor.jid,
    tx.now,
  )
  const subscription = states.some(([state]) => state === 'subscribed')
    ? 'subscribed'
    : states.length > 0
      ? 'pending'
      : 'none'
  return { affiliation: affiliationOf(actor, affiliation as Affiliation | undefined), subscription }
}

export const affiliationsOf = async (tx: Transaction, node: string): Promise<readonly Affiliated[]> =>
  (await tx.all('SELECT jid, affiliation FROM pubsub_affiliation WHERE node = ? ORDER BY jid', node)).map(
    ([jid, affiliation]) => ({ jid: String(jid), affiliation: affiliation as Affiliation }),
  )

export const SUBSCRIPTION = 'SELECT jid, subid, state, deliver, expires FROM pubsub_subscription'

export const subscriptionsOf = async (tx: Transaction, node: string): Promise<readonly Subscription[]> =>
  (await tx.all(`${SUBSCRIPTION} WHERE node = ? AND (expires = 0 OR expires > ?) ORDER BY jid`, node, tx.now)).map(
    toSubscription,
  )

export async function subscriptionOf(tx: Transaction, node: string, jid: string): Promise<Subscription | undefined> {
  const row = await tx.get(
    `${SUBSCRIPTION} WHERE node = ? AND jid = ? AND (expires = 0 OR expires > ?)`,
    node,
    jid,
    tx.now,
  )
  return row === undefined ? undefined : toSubscription(row)
}

export const audienceOf = async (tx: Transaction, node: NodeFacts): Promise<Audience> => ({
  ...node,
  affiliations: await affiliationsOf(tx, node.name),
  subscriptions: await subscriptionsOf(tx, node.name),
})

export async function insertNode(tx: Transaction, node: NodeFacts, limits: StoreLimits): Promise<void> {
  const [count] = (await tx.get('SELECT count(*) FROM pubsub_node')) ?? []
  if (Number(count) >= limits.nodes)
    throw refused({ condition: 'conflict', detail: 'max-nodes-exceeded', text: 'there are too many nodes' })
  await tx.run(
    'INSERT INTO pubsub_node (name, config, creator, created, seq) VALUES (?, ?, ?, ?, 0)',
    node.name,
    JSON.stringify(node.config),
    node.creator,
    node.created,
  )
  await affiliate(tx, node.name, node.creator, 'owner')
}

export async function affiliate(tx: Transaction, node: string, jid: string, affiliation: Affiliation): Promise<void> {
  if (affiliation === 'none') {
    await tx.run('DELETE FROM pubsub_affiliation WHERE node = ? AND jid = ?', node, jid)
    return
  }
  await tx.run(
    'INSERT INTO pubsub_affiliation (node, jid, affiliation) VALUES (?, ?, ?) ON CONFLICT (node, jid) DO UPDATE SET affiliation = excluded.affiliation',
    node,
    jid,
    affiliation,
  )
}

export async function putSubscription(
  tx: Transaction,
  node: string,
  bare: string,
  { jid, subid, state, deliver, expires }: Subscription,
): Promise<void> {
  await tx.run(
    `INSERT INTO pubsub_subscription (node, jid, bare, subid, state, deliver, expires) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (node, jid) DO UPDATE SET subid = excluded.subid, state = excluded.state, deliver = excluded.deliver, expires = excluded.expires`,
    node,
    jid,
    bare,
    subid,
    state,
    deliver ? 1 : 0,
    expires,
  )
}

/** From when on items of that node are still there. */
export const freshFrom = (config: NodeConfig, now: number): number =>
  config.itemExpire === 'max' ? 0 : now - config.itemExpire * 1000

const ITEM = 'SELECT id, publisher, at, xml, seq FROM pubsub_item'

export async function findItem(tx: Transaction, node: NodeFacts, id: string): Promise<Item | undefined> {
  const row = await tx.get(`${ITEM} WHERE node = ? AND id = ?`, node.name, id)
  if (row === undefined) return undefined
  const item = toItem(row)
  return item.at < freshFrom(node.config, tx.now) ? undefined : item
}

export async function lastItem(tx: Transaction, node: NodeFacts): Promise<Item | undefined> {
  const row = await tx.get(
    `${ITEM} WHERE node = ? AND at >= ? ORDER BY seq DESC LIMIT 1`,
    node.name,
    freshFrom(node.config, tx.now),
  )
  return row === undefined ? undefined : toItem(row)
}

/** Keeps an item as the newest one. */
export async function putItem(tx: Transaction, node: string, item: Omit<Item, 'at'>): Promise<void> {
  await tx.run('UPDATE pubsub_node SET seq = seq + 1 WHERE name = ?', node)
  const [seq = 0] = (await tx.get('SELECT seq FROM pubsub_node WHERE name = ?', node)) ?? []
  await tx.run(
    `INSERT INTO pubsub_item (node, id, seq, at, publisher, octets, xml) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (node, id) DO UPDATE SET seq = excluded.seq, at = excluded.at, publisher = excluded.publisher, octets = excluded.octets, xml = excluded.xml`,
    node,
    item.id,
    Number(seq),
    tx.now,
    item.publisher,
    Buffer.byteLength(item.xml),
    item.xml,
  )
}

/** Throws where all items together are more than there may be. */
export async function mustFitInAll(tx: Transaction, { octets }: StoreLimits): Promise<void> {
  const [sum] = (await tx.get('SELECT sum(octets) FROM pubsub_item')) ?? []
  if (Number(sum ?? 0) > octets)
    throw refused({ condition: 'resource-constraint', text: 'too much is kept here already' })
}

/** Deletes what is too old or too much for the node. */
export async function trim(tx: Transaction, { name, config }: NodeFacts, limits: StoreLimits): Promise<void> {
  const kept = keptItems(config, limits)
  const first = await tx.get(
    'SELECT seq FROM pubsub_item WHERE node = ? ORDER BY seq DESC LIMIT 1 OFFSET ?',
    name,
    kept,
  )
  if (first !== undefined) await tx.run('DELETE FROM pubsub_item WHERE node = ? AND seq <= ?', name, Number(first[0]))
  if (config.itemExpire !== 'max')
    await tx.run('DELETE FROM pubsub_item WHERE node = ? AND at < ?', name, freshFrom(config, tx.now))
}

export interface ItemPage {
  /** So many at most. */
  readonly max: number
  readonly backwards: boolean
  readonly after?: string | undefined
  readonly before?: string | undefined
  readonly index?: number | undefined
  /** Octets of payload at most; one item is always there. */
  readonly octets: number
}

export interface Page {
  /** Oldest first. */
  readonly items: readonly Item[]
  readonly count: number
  /** Of the first one. */
  readonly index: number
  /** There are more in the direction of the paging. */
  readonly more: boolean
}

async function placeOf(tx: Transaction, node: string, id: string): Promise<number> {
  const row = await tx.get('SELECT seq FROM pubsub_item WHERE node = ? AND id = ?', node, id)
  if (row === undefined) throw refused({ condition: 'item-not-found', text: 'there is no such item' })
  return Number(row[0])
}

/** XEP-0059: one page of a node's items. */
export async function pageOf(tx: Transaction, { name, config }: NodeFacts, page: ItemPage): Promise<Page> {
  const fresh = freshFrom(config, tx.now)
  const countUpTo = async (seq: number): Promise<number> =>
    Number(
      (await tx.get('SELECT count(*) FROM pubsub_item WHERE node = ? AND at >= ? AND seq < ?', name, fresh, seq))?.[0],
    )
  const low = page.after === undefined ? -1 : await placeOf(tx, name, page.after)
  const high = page.before === undefined ? Number.MAX_SAFE_INTEGER : await placeOf(tx, name, page.before)
  const rows = await tx.all(
    page.backwards
      ? `${ITEM} WHERE node = ? AND at >= ? AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ? OFFSET ?`
      : `${ITEM} WHERE node = ? AND at >= ? AND seq > ? AND seq < ? ORDER BY seq LIMIT ? OFFSET ?`,
    name,
    fresh,
    low,
    high,
    page.max + 1,
    page.index ?? 0,
  )
  const taken: SqlRow[] = []
  let octets = 0
  for (const row of rows.slice(0, page.max)) {
    octets += String(row[3]).length
    if (taken.length > 0 && octets > page.octets) break
    taken.push(row)
  }
  if (page.backwards) taken.reverse()
  const first = taken[0]
  return {
    items: taken.map(toItem),
    count: await countUpTo(Number.MAX_SAFE_INTEGER),
    index: first === undefined ? 0 : await countUpTo(Number(first[4])),
    more: rows.length > taken.length,
  }
}
