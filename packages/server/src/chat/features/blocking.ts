// XEP-0191: Blocking Command, with XEP-0377: Spam Reporting

import { type Element, el, Jid, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { RecentMap } from '../../accounts/recent.ts'
import { StoreError } from '../../store/contracts.ts'
import { chatFeature, type AccountEvent, type Handled, type Host, type IqRequest } from '../core/contracts.ts'
import type { Blocked, OnlineAccount } from '../core/directory.ts'
import { stateOf } from '../core/roster.ts'
import { type Session, sessionSlot } from '../core/session.ts'
import { FROM, TO } from '../core/subscriptions.ts'
import { BlockList, BlockLists, NOBODY_BLOCKED } from './block-list.ts'
import { blockingStore } from './blocking.store.ts'
import { REPORTING, reportOf } from './reporting.ts'
import { type NewReport, reportsStore } from './reports.store.ts'

const BLOCKING = 'urn:xmpp:blocking'
const MUC_USER = 'http://jabber.org/protocol/muc#user'

/** The client has asked for the list: it is told of changes. */
const interested = sessionSlot('blocking', v.boolean())

export const blocking = chatFeature({
  name: 'blocking',
  summary: 'Lets users block addresses, and report those who send spam.',
  config: v.strictObject({
    'max-entries': v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description('how many addresses one account may block')),
      1000,
    ),
    'bounce-messages': v.optional(
      v.pipe(
        v.boolean(),
        v.description('tell blocked senders that their messages did not arrive, as if nobody were there'),
      ),
      true,
    ),
    cache: v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(16),
        v.description('of how many accounts that are not online the list is kept in memory'),
      ),
      256,
    ),
    reports: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(0), v.description('how many reports are kept; the oldest go first')),
      1000,
    ),
  }),

  attach(host, config, scope) {
    host.disco.feature(BLOCKING)
    if (config.reports > 0) host.disco.feature(REPORTING)
    const shunned = scope.metrics.counter('aviso_chat_blocked', 'Stanzas that met a block list, by kind and way', [
      'kind',
      'way',
    ])
    const lists = new Lists(host, config.cache)
    host.offer(BlockLists, lists)

    // A list is read before its account's first stanza is taken.
    const prepare = (session: Session): void => {
      if (session.account.blocked === undefined) session.prepare(() => lists.load(session.account))
    }
    for (const { sessions } of host.online()) for (const session of sessions) prepare(session)
    host.hooks.bound.on(prepare)
    scope.defer(() => {
      for (const account of host.online()) if (lists.owns(account)) account.blocked = undefined
    })

    host.hooks.sending.on((event) => {
      const { stanza, origin } = event
      const account = origin.session?.account
      // Most people have blocked nobody: this is asked for each stanza.
      if (account?.blocked === undefined || account.blocked === NOBODY_BLOCKED) return undefined
      const { to } = event
      if (!account.blocked.blocks(to.bareString, to.toString())) return undefined
      // Nobody can lock himself out of his own account, nor of his server.
      if (to.bareString === account.bare || to.bareString === account.account.domain) return undefined
      shunned.inc({ kind: stanza.name, way: 'out' })
      const type = stanza.get('type')
      if (type === 'error' || (stanza.name === 'iq' && type === 'result')) return 'handled'
      throw new StanzaError('cancel', 'not-acceptable', 'you have blocked this address', {
        app: el('blocked', { xmlns: 'urn:xmpp:blocking:errors' }),
      })
    }, 100)

    host.hooks.receiving.on((event): Handled | undefined => {
      const { origin, account } = event
      const online = event.session?.account ?? host.sessions(account.address)[0]?.account
      const list = online === undefined ? lists.absent(account.id) : online.blocked
      if (list === NOBODY_BLOCKED) return undefined
      if (list === undefined) {
        // Read first; then the stanza comes here again.
        const read = online === undefined ? lists.read(account) : lists.load(online)
        return read.then(() => host.route(event.stanza.with({ to: event.to.toString() }), origin))
      }
      // The server itself speaks, or the account to itself.
      if (origin.jid.local === '' && origin.jid.domain === account.domain) return undefined
      if (origin.jid.bareString === account.address) return undefined
      if (list.blocks(origin.jid.bareString, origin.jid.toString())) return shun(event)
      return isInvitedBy(event.stanza, list) ? 'handled' : undefined
    }, 100)

    const shun = ({ stanza }: AccountEvent): Handled => {
      shunned.inc({ kind: stanza.name, way: 'in' })
      const type = stanza.get('type')
      if (stanza.name === 'iq') throw StanzaError.of('service-unavailable')
      if (stanza.name === 'presence' || !config['bounce-messages']) return 'handled'
      if (type === 'error' || type === 'headline') return 'handled'
      throw StanzaError.of('service-unavailable')
    }

    host.iq.get(BLOCKING, 'blocklist', ['self'], (iq) => {
      const { account } = sessionOf(iq, true)
      const jids = account.blocked instanceof BlockList ? [...account.blocked.jids] : []
      return iq.result(el('blocklist', { xmlns: BLOCKING }, ...jids.map((jid) => el('item', { jid }))))
    })

    host.iq.set(BLOCKING, 'block', ['self'], async (iq) => {
      const { account } = sessionOf(iq)
      const items = iq.payload.childrenNamed('item')
      const jids = addresses(items)
      if (jids.length === 0) throw StanzaError.of('bad-request', 'whom?')
      if (jids.some((jid) => jid.bareString === account.bare)) throw StanzaError.of('not-allowed', 'this is yourself')
      const reports = config.reports === 0 ? [] : reportsIn(items, jids, account)
      const before = listOf(account)
      const fresh = jids.filter((jid) => !before.jids.has(jid.toString()))
      let now: readonly string[]
      try {
        now = await host.store
          .account(blockingStore, account.account.id)
          .block({ jids: fresh.map(String), limit: config['max-entries'] })
      } catch (error) {
        if (error instanceof StoreError && error.code === 'full')
          throw StanzaError.of('resource-constraint', 'you have blocked too many addresses')
        throw error
      }
      if (reports.length > 0) await host.store.core(reportsStore).add({ reports, limit: config.reports })
      // The goodbye goes out while it still may.
      for (const jid of subscribersIn(account, fresh)) host.sendPresence(account, jid, true)
      lists.set(account, now)
      iq.after(() => push(account, 'block', fresh))
      return iq.result()
    })

    host.iq.set(BLOCKING, 'unblock', ['self'], async (iq) => {
      const { account } = sessionOf(iq)
      const jids = addresses(iq.payload.childrenNamed('item'))
      const before = listOf(account)
      const gone = jids.length === 0 ? [...before.jids].map((jid) => Jid.parse(jid)) : jids
      const now = await host.store
        .account(blockingStore, account.account.id)
        .unblock({ jids: jids.length === 0 ? 'all' : jids.map(String) })
      lists.set(account, now)
      for (const jid of subscribersIn(account, gone)) host.sendPresence(account, jid, false)
      for (const jid of subscribersIn(account, gone, TO)) host.probe(account, jid)
      iq.after(() => push(account, 'unblock', jids))
      return iq.result()
    })

    let pushes = 0
    const push = (account: OnlineAccount, name: 'block' | 'unblock', jids: readonly Jid[]): void => {
      if (name === 'block' && jids.length === 0) return
      const payload = el(name, { xmlns: BLOCKING }, ...jids.map((jid) => el('item', { jid: jid.toString() })))
      const id = `${name}-${++pushes}`
      for (const session of account.sessions)
        if (session.get(interested) === true) session.send(el('iq', { type: 'set', id, to: session.full }, payload))
    }
  },
})

function sessionOf(iq: IqRequest, asks = false): Session {
  const { session } = iq.origin
  if (session === undefined) throw StanzaError.of('service-unavailable')
  if (asks) session.set(interested, true)
  return session
}

const listOf = ({ blocked }: OnlineAccount): BlockList => (blocked instanceof BlockList ? blocked : NOBODY_BLOCKED)

function addresses(items: readonly Element[]): readonly Jid[] {
  return items.map((item) => {
    const jid = Jid.tryParse(item.get('jid') ?? '')
    if (jid === undefined) throw StanzaError.of('jid-malformed')
    return jid
  })
}

const reportsIn = (items: readonly Element[], jids: readonly Jid[], account: OnlineAccount): readonly NewReport[] =>
  items
    .map((item, index) => reportOf(item, account.bare, jids[index]?.toString() ?? ''))
    .filter((report) => report !== undefined)

/** The contacts that these entries mean, and who see the account's presence (or with TO: whose presence it sees). An entry with a resource stands for that alone. */
function subscribersIn(account: OnlineAccount, entries: readonly Jid[], bit: number = FROM): readonly Jid[] {
  const found: Jid[] = []
  const { roster } = account
  if (roster === undefined || entries.length === 0) return found
  const list = new BlockList(entries.map(String))
  for (const [contact, item] of roster.items)
    if (stateOf(item) & bit && list.blocks(contact)) found.push(Jid.parse(contact))
  for (const entry of entries) if (entry.isFull && roster.state(entry.bareString) & bit) found.push(entry)
  return found
}

/** A room passes on the invitation of somebody who is blocked (XEP-0045 §7.8.2). */
function isInvitedBy(stanza: Element, list: { blocks(bare: string, full?: string): boolean }): boolean {
  if (stanza.name !== 'message') return false
  const from = stanza.child('x', MUC_USER)?.child('invite')?.get('from')
  const jid = from === undefined ? undefined : Jid.tryParse(from)
  return jid !== undefined && list.blocks(jid.bareString, jid.toString())
}

/** The lists of accounts: with those that are online, and of some that are not. */
class Lists implements BlockLists {
  readonly #host: Host
  readonly #absent: RecentMap<string, BlockList>
  readonly #mine = new WeakSet<object>([NOBODY_BLOCKED])

  constructor(host: Host, cache: number) {
    this.#host = host
    this.#absent = new RecentMap(cache)
  }

  absent(id: string): BlockList | undefined {
    return this.#absent.get(id)
  }

  async of(account: Account): Promise<Blocked> {
    const online = this.#host.sessions(account.address)[0]?.account
    if (online === undefined) {
      if (this.absent(account.id) === undefined) await this.read(account)
      return this.absent(account.id) ?? this.of(account)
    }
    if (online.blocked === undefined) await this.load(online)
    return online.blocked ?? NOBODY_BLOCKED
  }

  owns({ blocked }: OnlineAccount): boolean {
    return blocked !== undefined && this.#mine.has(blocked)
  }

  /** Reads the list of an account that has come online. */
  async load(account: OnlineAccount): Promise<void> {
    const list = this.#made(await this.#host.store.account(blockingStore, account.account.id).list())
    account.blocked ??= list
    this.#absent.delete(account.account.id)
  }

  /** Reads the list of one that is not. */
  async read({ id, address }: Account): Promise<void> {
    const jids = await this.#host.store.account(blockingStore, id).list()
    // Who has come online meanwhile has his own, which may change.
    if (this.#host.sessions(address).length === 0) this.#absent.set(id, this.#made(jids))
  }

  set(account: OnlineAccount, jids: readonly string[]): void {
    account.blocked = this.#made(jids)
  }

  #made(jids: readonly string[]): BlockList {
    if (jids.length === 0) return NOBODY_BLOCKED
    const list = new BlockList(jids)
    this.#mine.add(list)
    return list
  }
}
