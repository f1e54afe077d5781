// XEP-0191 §5: which addresses an entry of a block list means

import type { Jid } from '@aviso/xmpp'
import type { Blocked } from '../core/directory.ts'
import type { Account } from '../../accounts/contracts.ts'
import { serviceKey } from '../../kernel/scope.ts'

/** The block lists of all accounts, those that are not online too. */
export interface BlockLists {
  of(account: Account): Promise<Blocked>
}

export const BlockLists = serviceKey<BlockLists>('block-lists')

export class BlockList implements Blocked {
  readonly #jids: ReadonlySet<string>
  /** Some entries are domains: then the domain of an address is looked at, too. */
  readonly #domains: boolean

  constructor(jids: readonly string[]) {
    this.#jids = new Set(jids)
    this.#domains = jids.some((jid) => !/^[^/]*@/.test(jid))
  }

  get jids(): ReadonlySet<string> {
    return this.#jids
  }

  get empty(): boolean {
    return this.#jids.size === 0
  }

  blocks(bare: string, full?: string): boolean {
    const jids = this.#jids
    if (jids.size === 0) return false
    if (jids.has(bare) || (full !== undefined && full !== bare && jids.has(full))) return true
    if (!this.#domains) return false
    const domain = bare.slice(bare.indexOf('@') + 1)
    return (
      jids.has(domain) ||
      (full !== undefined && full.length > bare.length && jids.has(domain + full.slice(bare.length)))
    )
  }

  blocksJid(jid: Jid): boolean {
    return this.#jids.size > 0 && this.blocks(jid.bareString, jid.toString())
  }
}

export const NOBODY_BLOCKED = new BlockList([])
