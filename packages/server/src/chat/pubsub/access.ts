// XEP-0060 §4.1, §4.5: who may do what. Pure rules. Store workers import this file: it must stay light.

import type { NodeConfig } from './node-config.ts'
import type { Refusal } from './refusal.ts'

export type Affiliation = 'owner' | 'publisher' | 'publish-only' | 'member' | 'none' | 'outcast'

export const AFFILIATIONS: readonly Affiliation[] = ['owner', 'publisher', 'publish-only', 'member', 'none', 'outcast']

/** Somebody who asks something, as the service knows him before it looks at a node. */
export interface Actor {
  /** Bare. */
  readonly jid: string
  /** Owns the service, and so every node. */
  readonly owner: boolean
  /** Sees the presence of the node's owner. */
  readonly presence: boolean
  /** Groups of the owner's roster that he is in. */
  readonly groups: readonly string[]
  /** May make nodes. */
  readonly creates: boolean
  /** He is told that there is nothing, rather than that it is not for him. */
  readonly stranger: boolean
}

/** What he is to one node. */
export interface Standing {
  readonly affiliation: Affiliation
  readonly subscription: 'none' | 'pending' | 'subscribed'
}

const CLOSED: Refusal = { condition: 'not-allowed', detail: 'closed-node' }
const FORBIDDEN: Refusal = { condition: 'forbidden' }
const HIDDEN: Refusal = { condition: 'service-unavailable' }

const READS: ReadonlySet<Affiliation> = new Set(['owner', 'publisher', 'member'])
const PUBLISHES: ReadonlySet<Affiliation> = new Set(['owner', 'publisher', 'publish-only'])

/** His affiliation; who owns the service owns its nodes. */
export const affiliationOf = (actor: Actor, stored: Affiliation | undefined): Affiliation =>
  actor.owner ? 'owner' : (stored ?? 'none')

/** What the access model says of somebody without an affiliation; undefined: he may. */
function closedTo(config: NodeConfig, actor: Actor, { subscription }: Standing): Refusal | undefined {
  switch (config.accessModel) {
    case 'open':
      return undefined
    case 'presence':
      return actor.presence ? undefined : { condition: 'not-authorized', detail: 'presence-subscription-required' }
    case 'roster':
      return actor.groups.some((group) => config.rosterGroups.includes(group))
        ? undefined
        : { condition: 'not-authorized', detail: 'not-in-roster-group' }
    case 'authorize':
      return subscription === 'subscribed' ? undefined : { condition: 'not-authorized', detail: 'not-subscribed' }
    case 'whitelist':
      return CLOSED
  }
}

/** Why he may not read the items of a node, nor know of it; undefined: he may. */
export function mayNotRead(config: NodeConfig, actor: Actor, standing: Standing): Refusal | undefined {
  if (READS.has(standing.affiliation)) return undefined
  const refusal =
    standing.affiliation === 'outcast' || standing.affiliation === 'publish-only'
      ? FORBIDDEN
      : closedTo(config, actor, standing)
  return refusal !== undefined && actor.stranger && config.accessModel !== 'authorize' ? HIDDEN : refusal
}

/** Why he may not subscribe; undefined: he may, where the node is `authorize` after somebody has said yes. */
export function mayNotSubscribe(config: NodeConfig, actor: Actor, standing: Standing): Refusal | undefined {
  const mayAsk = config.accessModel === 'authorize' && standing.affiliation === 'none'
  const refusal = mayAsk ? undefined : mayNotRead(config, actor, standing)
  if (refusal !== undefined) return refusal
  if (!config.subscribe) return { condition: 'feature-not-implemented', detail: 'unsupported', feature: 'subscribe' }
  return undefined
}

/** Why he may not publish; undefined: he may. */
export function mayNotPublish(config: NodeConfig, actor: Actor, standing: Standing): Refusal | undefined {
  if (PUBLISHES.has(standing.affiliation)) return undefined
  const invited =
    config.publishModel === 'open' || (config.publishModel === 'subscribers' && standing.subscription === 'subscribed')
  if (invited && mayNotRead(config, actor, standing) === undefined) return undefined
  return notOwner(config, actor, standing)
}

/** For what only owners may do. */
export const notOwner = (config: NodeConfig, actor: Actor, standing: Standing): Refusal =>
  mayNotRead(config, actor, standing)?.condition === HIDDEN.condition ? HIDDEN : FORBIDDEN

/** There is no such node: to strangers, as if there were no such account. */
export const noSuchNode = ({ stranger }: Actor): Refusal => (stranger ? HIDDEN : { condition: 'item-not-found' })
