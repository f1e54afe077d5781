// XEP-0060: a place where nodes are: an account, or a service

import type { Element, Jid } from '@aviso/xmpp'
import type { Random } from '../../kernel/random.ts'
import type { Actor } from './access.ts'
import type { NodeConfig } from './node-config.ts'
import type { Nodes } from './nodes.store.ts'
import type { Audience, StoreLimits } from './rows.ts'

export interface PlaceLimits extends StoreLimits {
  /** Items that are sent at once, and octets of their content. */
  readonly page: number
  readonly pageOctets: number
}

/** What happened at a node. */
export interface Happening {
  readonly audience: Audience
  /** What `<event/>` contains, as XML text. */
  readonly content: string
  readonly kind: 'published' | 'retracted' | 'purged' | 'deleted' | 'configured'
  /** Nobody is sent a message: the node does not want it. */
  readonly silent: boolean
}

export interface Place {
  readonly jid: Jid
  readonly nodes: Nodes
  /** Of new nodes. */
  readonly defaults: NodeConfig
  readonly limits: PlaceLimits
  readonly random: Random
  /** Who publishes to a node that is not there makes it. */
  readonly autoCreate: boolean
  /** The publisher is told with each item, whatever the node says. */
  readonly exposePublisher: boolean
  /** What somebody is here, or to a node. */
  actor(from: Jid, node?: string): Promise<Actor>
  /** Nodes were made, deleted, or configured. */
  changed(): void
  /** Tells those who are to be told. */
  happened(happening: Happening): void
  /** Sends a message in the name of the place. */
  tell(to: string, type: 'headline' | 'normal', content: readonly Element[]): void
}

/** A request for a place. */
export interface Request {
  readonly from: Jid
  readonly payload: Element
  /** What is to be done right after the answer was sent. */
  after(act: () => void): void
}

/** Answers with the payload of the result; undefined for an empty one. */
export type Answer = Element | undefined
