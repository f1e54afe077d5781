// XEP-0163: the nodes of accounts, as other features use them

import type { Jid } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import { serviceKey } from '../../kernel/scope.ts'
import type { Exchange, Exchanged } from './item-operations.ts'
import type { NodeConfig } from './node-config.ts'
import type { Item } from './rows.ts'

export type NewItem = Pick<Item, 'id' | 'xml'>

/** What a feature may do in the name of an account. */
export interface PersonalEvents {
  /** The items of a node of the account's, oldest first, as its owner sees them; none where there is no such node. */
  items(account: Account, node: string): Promise<readonly Item[]>
  /** The same as somebody else sees them; none where he may not. */
  seenBy(account: Account, node: string, viewer: Jid): Promise<readonly Item[]>
  /** Publishes, as the owner would; `config` is for a node that is not there yet. Resolves when it is durable. */
  publish(account: Account, node: string, items: readonly NewItem[], config: Partial<NodeConfig>): Promise<void>
  /**
   * Publishes items and takes others back in one change, as the owner would; those that are not there are taken back already. `commit` carries it out, together with whatever belongs to
   * it. `config` is for a node that is not there yet. Resolves when it is durable.
   */
  exchange(
    account: Account,
    node: string,
    change: {
      readonly items: readonly NewItem[]
      readonly gone: readonly string[]
      readonly config: Partial<NodeConfig>
    },
    commit: (change: Exchange) => Promise<Exchanged | undefined>,
  ): Promise<void>
  /** Takes items back; those that are not there are taken back already. */
  retract(account: Account, node: string, ids: readonly string[]): Promise<void>
  /** Sends somebody who has come the last items of the account that he may see and wants. */
  welcome(account: Account, viewer: Jid, wanted: ReadonlySet<string>): Promise<void>
  /** Tells the account's own clients that want it that a node, which is only another way to see one, holds this now. */
  echo(account: Account, node: string, items: readonly NewItem[]): void
}

export const PersonalEvents = serviceKey<PersonalEvents>('personal-events')

/** Offered by features that want to know what happens at a node of accounts. */
export interface NodeWatcher {
  readonly node: string
  /** Something was committed there. */
  happened(account: Account): void
}

export const NodeWatcher = serviceKey<NodeWatcher>('node-watcher')

/** Offered by features: a node, for its owner alone, that is another way to see and to write one. */
export interface NodeTranslation {
  readonly node: string
  items(account: Account): Promise<readonly NewItem[]>
  publish(account: Account, items: readonly NewItem[]): Promise<void>
  retract(account: Account): Promise<void>
}

export const NodeTranslation = serviceKey<NodeTranslation>('node-translation')
