// XEP-0163: an account as a place of nodes, and those who hear of them

import { el, type Element, escapeAttribute, type Jid } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import { randomWord } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Host, Origin } from '../core/contracts.ts'
import type { Blocked } from '../core/directory.ts'
import { rosterStore } from '../core/roster.store.ts'
import { Roster, stateOf, unpacked } from '../core/roster.ts'
import type { Session } from '../core/session.ts'
import { FROM } from '../core/subscriptions.ts'
import { BlockLists } from '../features/block-list.ts'
import type { Actor } from './access.ts'
import { EVENT } from './names.ts'
import { PERSONAL_CONFIG } from './node-config.ts'
import { type Nodes, personalNodesStore } from './nodes.store.ts'
import { eventOf, Hearers } from './notifying.ts'
import { NodeWatcher } from './personal-events.ts'
import type { Happening, Place, PlaceLimits } from './place.ts'
import type { Memory } from './memory.ts'
import { Figures } from './figures.ts'
import { wants } from './interests.ts'

/** Whom an account has blocked; nobody where nobody can be. */
export const blockedBy = (host: Host, account: Account): Promise<Blocked> =>
  host.find(BlockLists, account.domain)?.of(account) ?? Promise.resolve({ blocks: () => false })

export class AccountPlace implements Place {
  readonly account: Account
  readonly jid: Jid
  readonly nodes: Nodes
  readonly defaults = PERSONAL_CONFIG
  readonly limits: PlaceLimits
  readonly autoCreate = true
  readonly exposePublisher = false
  readonly #host: Host
  readonly #scope: Scope
  readonly #memory: Memory
  readonly #figures: Figures

  constructor(host: Host, scope: Scope, memory: Memory, limits: PlaceLimits, account: Account, jid: Jid) {
    this.#host = host
    this.#scope = scope
    this.#memory = memory
    this.#figures = new Figures(scope.metrics, 'account')
    this.limits = limits
    this.account = account
    this.jid = jid
    this.nodes = host.store.account(personalNodesStore, account.id)
  }

  get random(): Scope['random'] {
    return this.#scope.random
  }

  async actor(from: Jid): Promise<Actor> {
    const jid = from.bareString
    if (jid === this.account.address)
      return { jid, owner: true, presence: true, groups: [], creates: true, stranger: false }
    const item = await this.#host.rosterItem(this.account, jid)
    const presence = ((item?.state ?? 0) & FROM) !== 0
    return { jid, owner: false, presence, groups: item?.groups ?? [], creates: false, stranger: !presence }
  }

  changed(): void {
    this.#memory.changed(this.account.id)
  }

  tell(to: string, type: 'headline' | 'normal', content: readonly Element[]): void {
    const message = el('message', { from: this.jid.toString(), to, type, id: this.#id() }, ...content)
    this.#route(message)
  }

  happened(happening: Happening): void {
    const { name } = happening.audience
    this.#figures.happened(happening)
    for (const watcher of this.#host.all(NodeWatcher, this.account.domain))
      if (watcher.node === name) watcher.happened(this.account)
    if (happening.silent) return
    this.#spread(happening).catch((error: unknown) =>
      this.#scope.log.warn({ err: error, account: this.account.address, node: name }, 'contacts were not notified'),
    )
  }

  /** Sends to the account's own clients that want to hear of a node. Answers to whom. */
  toOwn(node: string, content: string, type = 'headline'): Set<Session> {
    const message = this.#message(content, type)
    const reached = new Set<Session>()
    for (const session of this.#host.sessions(this.account.address))
      if (wantsNow(session, node)) {
        session.send(message.head + session.fullXml + message.tail)
        reached.add(session)
      }
    return reached
  }

  /** A notification as XML text, but for the address: it is written once for all. */
  #message(content: string, type: string): { readonly head: string; readonly tail: string } {
    return {
      head: `<message from='${escapeAttribute(this.jid.toString())}' type='${type}' id='${this.#id()}' to='`,
      tail: `'><event xmlns='${EVENT}'>${content}</event></message>`,
    }
  }

  #id(): string {
    return randomWord(this.#scope.random, 12)
  }

  #route(message: Element): void {
    const origin: Origin = { jid: this.jid, reply: () => {} }
    this.#host
      .route(message, origin)
      .catch((error: unknown) => this.#scope.log.debug({ err: error }, 'a notification was not delivered'))
  }

  /** XEP-0163 §4.3: to the account's own clients, to contacts that see its presence and want to hear of the node, to subscribers. */
  async #spread({ audience, content }: Happening): Promise<void> {
    const { name, config, subscriptions } = audience
    const type = config.notificationType
    const reached = this.toOwn(name, content, type)
    const own = this.#host.sessions(this.account.address)
    const roster =
      own[0]?.account.roster ?? new Roster(await this.#host.store.account(rosterStore, this.account.id).load())
    const blocked = own[0]?.account.blocked ?? (await blockedBy(this.#host, this.account))
    const hearers = new Hearers(audience)
    const message = this.#message(content, type)
    // For other servers, and for clients that are not here.
    let foreign: Element | undefined
    let elsewhere = 0
    const routeTo = (to: string): void => {
      foreign ??= el('message', { from: this.jid.toString(), type, id: this.#id() }, eventOf(content)).prepared()
      this.#route(foreign.with({ to }))
      elsewhere++
    }
    const reachedElsewhere = new Set<string>()
    const give = (session: Session): void => {
      if (reached.has(session) || session.account.blocked?.blocks(this.account.address) === true) return
      reached.add(session)
      session.send(message.head + session.fullXml + message.tail)
    }
    for (const [jid, item] of roster.items) {
      if ((stateOf(item) & FROM) === 0) continue
      const sessions = this.#host.sessions(jid)
      const resources = sessions.length > 0 ? undefined : this.#memory.remotes.peek(jid)
      if (sessions.length === 0 && resources === undefined) continue
      if (blocked.blocks(jid) || !hearers.mayHear({ jid, presence: true, groups: unpacked(item).groups })) continue
      for (const session of sessions) if (wantsNow(session, name)) give(session)
      for (const [full, wanted] of resources ?? []) {
        if (!wanted.has(name)) continue
        routeTo(full)
        reachedElsewhere.add(jid)
      }
    }
    for (const { jid, state, deliver } of subscriptions) {
      if (state !== 'subscribed' || !deliver) continue
      const bare = jid.split('/', 1)[0] ?? jid
      const item = roster.item(bare)
      const actor = { jid: bare, presence: ((item?.state ?? 0) & FROM) !== 0, groups: item?.groups ?? [] }
      if (bare !== this.account.address && (blocked.blocks(bare, jid) || !hearers.mayHear(actor))) continue
      const sessions = this.#host.sessions(bare)
      if (sessions.length > 0) {
        for (const session of sessions) if (session.available && (jid === bare || jid === session.full)) give(session)
      } else if (!reachedElsewhere.has(bare)) routeTo(jid)
    }
    this.#figures.notified(reached.size + elsewhere)
  }
}

const wantsNow = (session: Session, node: string): boolean =>
  session.available && session.get(wants)?.nodes.has(node) === true
