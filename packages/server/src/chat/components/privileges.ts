// XEP-0356: what components may do in the name of our accounts

import {
  Attributes,
  DEFAULT_PARSER_LIMITS,
  el,
  Element,
  errorReply,
  Jid,
  NS,
  readElement,
  resultReply,
  StanzaError,
} from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import type { Timer } from '../../kernel/clock.ts'
import { randomWord } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import { Chat, type Host, type StanzaEvent } from '../core/contracts.ts'
import { Roster } from '../core/roster.ts'
import { rosterStore } from '../core/roster.store.ts'
import { ContactPresence } from './contact-presence.ts'
import type { ComponentLink } from './links.ts'
import { pushRosters } from './roster-pushes.ts'
import { domainSetting } from '../domain-setting.ts'

const NOTHING_AROUND = { xmlns: '', bindings: [] }
const PRIVILEGE = 'urn:xmpp:privilege:2'
/** Requests in the name of accounts that wait for their answers. */
const MAX_WAITING = 1000
const ANSWER_MS = 60_000

/** True where rosters may be read. */
const reads = (roster: string | undefined): boolean => roster === 'get' || roster === 'both'

const privilege = v.pipe(
  v.strictObject({
    roster: v.optional(
      v.pipe(
        v.picklist(['get', 'set', 'both']),
        v.description('it may read the rosters of accounts, write them, or both'),
      ),
    ),
    'roster-pushes': v.optional(
      v.pipe(v.boolean(), v.description('it is told what changes in the rosters that it may read')),
      true,
    ),
    message: v.optional(
      v.pipe(
        v.picklist(['outgoing']),
        v.description('it may send messages in the name of the domain and its accounts'),
      ),
    ),
    iq: v.optional(
      v.pipe(
        v.record(v.string(), v.picklist(['get', 'set', 'both'])),
        v.description('by namespace: requests that it may make in the name of accounts'),
      ),
      {},
    ),
    presence: v.optional(
      v.pipe(
        v.picklist(['managed_entity', 'roster']),
        v.description(
          'it is told when clients of accounts come and go; with `roster`, those of their contacts too, which needs leave to read rosters',
        ),
      ),
    ),
  }),
  v.check(
    ({ roster, presence }) => presence !== 'roster' || reads(roster),
    'presence: roster needs leave to read rosters: roster: get, or both',
  ),
)
type Privilege = v.InferOutput<typeof privilege>

/** By domain. */
export const privileges = v.optional(
  v.pipe(
    v.record(domainSetting('example.org'), privilege),
    v.description('what it may do in the name of the accounts of our domains (XEP-0356); nothing, if not given'),
  ),
  {},
)

/** One component's. */
export class Privileges {
  readonly #host: Host
  readonly #chat: Chat
  readonly #scope: Scope
  readonly #component: string
  readonly #granted: ReadonlyMap<string, Privilege>
  readonly #send: (stanza: Element) => boolean
  readonly #contacts: ContactPresence | undefined
  /** By the id that we gave the request. */
  readonly #waiting = new Map<string, (event: StanzaEvent) => void>()

  constructor(
    scope: Scope,
    component: string,
    granted: Readonly<Record<string, Privilege>>,
    link: () => ComponentLink | undefined,
  ) {
    this.#scope = scope
    this.#chat = scope.use(Chat)
    this.#host = this.#chat.host(scope)
    this.#component = component
    this.#granted = new Map(Object.entries(granted))
    this.#send = (stanza) => link()?.send(stanza) === true
    if (this.#granted.size === 0) return
    const told = (domain: string, what: (granted: Privilege) => boolean): boolean => {
      const found = this.#granted.get(domain)
      return found !== undefined && what(found)
    }
    const isPushed = (one: Privilege): boolean => reads(one.roster) && one['roster-pushes']
    if ([...this.#granted.values()].some(isPushed))
      pushRosters(scope, this.#host, {
        component,
        covers: (domain) => told(domain, isPushed),
        connected: () => link() !== undefined,
        send: (xml) => void link()?.send(readElement(xml, NOTHING_AROUND, DEFAULT_PARSER_LIMITS)),
      })
    const isTold = (one: Privilege): boolean => one.presence === 'roster'
    if ([...this.#granted.values()].some(isTold))
      this.#contacts = new ContactPresence(scope, this.#host, {
        covers: (domain) => told(domain, isTold),
        send: (presence) => void this.#send(presence.with({ to: component })),
      })
    const { hooks } = this.#host
    hooks.available.on(({ session, stanza }) => this.#tell(session.jid.domain, stanza))
    hooks.unavailable.on(({ session, stanza }) => this.#tell(session.jid.domain, stanza.with({ from: session.full })))
    hooks.answered.on((event) => this.#waiting.get(event.stanza.get('id') ?? '')?.(event))
  }

  /** Tells the component, which has just connected, what it may do, and whose clients are there. */
  advertise(): void {
    for (const [domain, { roster, 'roster-pushes': pushed, message, iq, presence }] of this.#granted) {
      const namespaces = Object.entries(iq).map(([ns, type]) => el('namespace', { ns, type }))
      const perms = [
        roster && el('perm', { access: 'roster', type: roster, push: String(reads(roster) && pushed) }),
        message && el('perm', { access: 'message', type: message }),
        namespaces.length > 0 && el('perm', { access: 'iq' }, ...namespaces),
        presence && el('perm', { access: 'presence', type: presence }),
      ]
      const id = randomWord(this.#scope.random, 16)
      this.#send(
        el('message', { from: domain, to: this.#component, id }, el('privilege', { xmlns: PRIVILEGE }, ...perms)),
      )
      if (presence === undefined) continue
      const to = Jid.of('', this.#component)
      for (const online of this.#host.online())
        if (online.account.domain === domain) this.#host.sendPresence(online, to, false)
    }
    this.#contacts?.all()
  }

  /** Takes what a component asks for by its privileges; undefined for everything else. What goes wrong is told to the component. `from` is stamped. */
  take(stanza: Element): Promise<void> | undefined {
    if (this.#granted.size === 0) return undefined
    const to = Jid.tryParse(stanza.get('to') ?? '')
    const granted = to === undefined ? undefined : this.#granted.get(to.domain)
    if (to === undefined || granted === undefined || to.isFull) return undefined
    const work = this.#taken(stanza, to, granted)
    return work?.catch((error: unknown) => this.#refuse(stanza, error))
  }

  #refuse(stanza: Element, error: unknown): void {
    if (!(error instanceof StanzaError))
      this.#scope.log.error({ err: error, component: this.#component }, `a ${stanza.name} could not be handled`)
    const known = error instanceof StanzaError ? error : StanzaError.of('internal-server-error')
    const reply = errorReply(stanza, known)
    if (reply !== undefined) this.#send(reply)
  }

  #taken(stanza: Element, to: Jid, granted: Privilege): Promise<void> | undefined {
    const { name } = stanza
    const type = stanza.get('type')
    if (name === 'message' && to.local === '' && type !== 'error') {
      const wrapped = stanza.child('privilege', PRIVILEGE)
      return wrapped && this.#message(wrapped, to, granted)
    }
    if (name !== 'iq' || to.local === '' || (type !== 'get' && type !== 'set')) return undefined
    const [payload] = stanza.elements
    if (payload?.is('privileged_iq', PRIVILEGE) === true) return this.#request(stanza, type, payload, to, granted)
    if (payload?.is('query', NS.roster) === true) return this.#roster(stanza, type, to, granted)
    return undefined
  }

  /** §5.3 */
  async #message(wrapped: Element, { domain }: Jid, { message }: Privilege): Promise<void> {
    const inner = wrapped.child('forwarded', NS.forward)?.child('message', NS.client)
    const from = Jid.tryParse(inner?.get('from') ?? '')
    if (message === undefined || inner === undefined || from?.domain !== domain || from.isFull)
      throw StanzaError.of('forbidden')
    if (from.local !== '') await this.#account(from)
    if (Jid.tryParse(inner.get('to') ?? '') === undefined) throw StanzaError.of('bad-request', 'a message to nobody')
    // What comes back is for him in whose name it was sent: nobody has asked for it.
    await this.#chat.receive(inner.with({ from: from.toString() }), { jid: from, reply: () => {} })
  }

  /** §6.3 */
  async #request(outer: Element, type: 'get' | 'set', wrapper: Element, to: Jid, granted: Privilege): Promise<void> {
    const inner = wrapper.child('iq', NS.client)
    const [payload] = inner?.elements ?? []
    if (inner === undefined || payload === undefined || inner.elements.length > 1) throw StanzaError.of('forbidden')
    const allowed = Object.hasOwn(granted.iq, payload.xmlns) ? granted.iq[payload.xmlns] : undefined
    const claimed = inner.get('from')
    if (
      (allowed !== type && allowed !== 'both') ||
      inner.get('type') !== type ||
      (claimed !== undefined && Jid.tryParse(claimed)?.toString() !== to.toString())
    )
      throw StanzaError.of('forbidden')
    await this.#account(to)
    const peer = inner.get('to')
    if (peer !== undefined && Jid.tryParse(peer) === undefined) throw StanzaError.of('jid-malformed')
    // The component's next stanza does not wait for the answer of somebody else's.
    void this.#passOn(outer, inner, to).catch((error: unknown) => this.#refuse(outer, error))
  }

  async #passOn(outer: Element, inner: Element, to: Jid): Promise<void> {
    const answer = await this.#asked(inner.with({ from: to.toString() }), to)
    const wrapped = el('forwarded', { xmlns: NS.forward }, answer.with({ id: inner.get('id') }))
    this.#send(resultReply(outer, el('privilege', { xmlns: PRIVILEGE }, wrapped)))
  }

  /** Asks in the name of an account. Rejects with a StanzaError when no answer comes in time. */
  #asked(request: Element, from: Jid): Promise<Element> {
    if (this.#waiting.size >= MAX_WAITING) throw StanzaError.of('resource-constraint', 'too many requests are waiting')
    const id = randomWord(this.#scope.random, 20)
    const peer = Jid.tryParse(request.get('to') ?? '') ?? from
    const { promise, resolve, reject } = Promise.withResolvers<Element>()
    const late: Timer = this.#scope.clock.timeout(ANSWER_MS, () =>
      reject(StanzaError.of('remote-server-timeout', 'no answer came')),
    )
    this.#waiting.set(id, ({ stanza, origin, to }) => {
      if (to.toString() === from.toString() && origin.jid.toString() === peer.toString()) resolve(stanza)
    })
    void Promise.resolve(this.#chat.receive(request.with({ id }), { jid: from, reply: resolve })).catch(reject)
    return promise.finally(() => {
      late.cancel()
      this.#waiting.delete(id)
    })
  }

  /** §4.3 */
  async #roster(request: Element, type: 'get' | 'set', to: Jid, granted: Privilege): Promise<void> {
    if (granted.roster !== 'both' && granted.roster !== type) throw StanzaError.of('forbidden')
    const account = await this.#account(to)
    const { id } = account
    if (type === 'set') {
      const query = request.child('query', NS.roster)
      if (query === undefined) throw StanzaError.of('bad-request')
      await this.#host.changeRoster(account, query)
      return void this.#send(resultReply(request))
    }
    const roster = new Roster(await this.#host.store.account(rosterStore, id).load())
    this.#send(resultReply(request, new Element('query', NS.roster, Attributes.of({}), [], roster.itemsXml())))
  }

  /** The account in whose name something is done. Throws StanzaError forbidden where there is none. */
  async #account(address: Jid): Promise<Account> {
    const account = this.#host.covers(address.domain)
      ? await this.#host.accounts.byAddress(address.toString())
      : undefined
    if (account === undefined || account.disabled) throw StanzaError.of('forbidden')
    return account
  }

  /** §7.1 */
  #tell(domain: string, presence: Element): void {
    if (this.#granted.get(domain)?.presence !== undefined) this.#send(presence.with({ to: this.#component }))
  }
}
