// XEP-0163: personal events, in the name of their accounts

import { escapeAttribute, Jid } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Host } from '../core/contracts.ts'
import { AccountPlace, blockedBy } from './account-place.ts'
import type { Memory } from './memory.ts'
import { lastItemMessage } from './notifying.ts'
import { asked } from './errors.ts'
import type { NodeConfig } from './node-config.ts'
import type { NewItem, PersonalEvents } from './personal-events.ts'
import { itemXml } from './payloads.ts'
import type { PlaceLimits } from './place.ts'
import { published, retracted } from './publishing.ts'
import { refusalOf } from './refusal.ts'
import type { Item } from './rows.ts'

export class Personal implements PersonalEvents {
  readonly #host: Host
  readonly #scope: Scope
  readonly #memory: Memory
  readonly #limits: PlaceLimits

  constructor(host: Host, scope: Scope, memory: Memory, limits: PlaceLimits) {
    this.#host = host
    this.#scope = scope
    this.#memory = memory
    this.#limits = limits
  }

  place(account: Account): AccountPlace {
    const jid = Jid.of(account.local, account.domain)
    return new AccountPlace(this.#host, this.#scope, this.#memory, this.#limits, account, jid)
  }

  async items(account: Account, node: string): Promise<readonly Item[]> {
    return this.seenBy(account, node, Jid.of(account.local, account.domain))
  }

  async seenBy(account: Account, node: string, viewer: Jid): Promise<readonly Item[]> {
    const place = this.place(account)
    const page = { max: this.#limits.maxItems, backwards: false, octets: Number.MAX_SAFE_INTEGER }
    try {
      const actor = await place.actor(viewer)
      return (await place.nodes.items({ node, actor, ids: [], page })).items
    } catch (error) {
      if (refusalOf(error) === undefined) throw error
      return []
    }
  }

  async publish(account: Account, node: string, items: readonly NewItem[], config: Partial<NodeConfig>): Promise<void> {
    const place = this.place(account)
    const actor = await place.actor(place.jid)
    const { audience, fresh } = await asked(
      place.nodes.publish({
        node,
        actor,
        items,
        wanted: {},
        created: { ...place.defaults, ...config },
        limits: this.#limits,
      }),
    )
    if (fresh) place.changed()
    place.happened(published(place, audience, items, actor.jid))
  }

  async exchange(
    account: Account,
    node: string,
    { items, gone, config }: Parameters<PersonalEvents['exchange']>[2],
    commit: Parameters<PersonalEvents['exchange']>[3],
  ): Promise<void> {
    const place = this.place(account)
    const actor = await place.actor(place.jid)
    const created = { ...place.defaults, ...config }
    const done = await asked(commit({ node, actor, items, gone, wanted: {}, created, limits: this.#limits }))
    if (done === undefined) return
    if (done.fresh) place.changed()
    if (items.length > 0) place.happened(published(place, done.audience, items, actor.jid))
    if (done.gone.length > 0) place.happened(retracted(done.audience, done.gone))
  }

  async retract(account: Account, node: string, ids: readonly string[]): Promise<void> {
    const place = this.place(account)
    const actor = await place.actor(place.jid)
    for (const id of ids)
      try {
        const audience = await place.nodes.retract({ node, actor, ids: [id] })
        place.happened(retracted(audience, [id]))
      } catch (error) {
        if (refusalOf(error)?.condition !== 'item-not-found') throw error
      }
  }

  async welcome(account: Account, viewer: Jid, wanted: ReadonlySet<string>): Promise<void> {
    if (wanted.size === 0) return
    const place = this.place(account)
    const names = await this.#memory.sentNodes(account.id, () => place.nodes.sent())
    const nodes = names.filter((name) => wanted.has(name))
    if (nodes.length === 0) return
    const full = viewer.toString()
    if (viewer.bareString !== account.address) {
      const blocked = await blockedBy(this.#host, account)
      if (blocked.blocks(viewer.bareString, full)) return
    }
    for (const { node, item } of await place.nodes.last({ nodes, actor: await place.actor(viewer) }))
      lastItemMessage(place, node, item, full)
  }

  echo(account: Account, node: string, items: readonly NewItem[]): void {
    const place = this.place(account)
    const facts = { config: place.defaults, creator: account.address }
    const xml = items.map((item) => itemXml(place, facts, { ...item, publisher: '' })).join('')
    place.toOwn(node, `<items node='${escapeAttribute(node)}'>${xml}</items>`)
  }
}
