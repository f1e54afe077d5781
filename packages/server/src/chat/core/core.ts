// One generation of chat: what its features have registered, and the sessions that all generations share.

import {
  DEFAULT_PARSER_LIMITS,
  type Element,
  errorReply,
  Jid,
  JidError,
  NS,
  readElement,
  resultReply,
  StanzaError,
  StreamError,
  Underway,
} from '@aviso/xmpp'
import {
  type Account,
  type AccountChange,
  Accounts,
  type AccountRoom,
  type GuestTerms,
} from '../../accounts/contracts.ts'
import { clientKey } from '../../accounts/clients.ts'
import { GUEST } from '../../accounts/roles.ts'
import { accountRooms } from '../../accounts/rooms.ts'
import type { Log } from '../../kernel/log.ts'
import { randomWord } from '../../kernel/random.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import { Store } from '../../store/contracts.ts'
import type {
  AccountEvent,
  BindingClient,
  Chat,
  EarlyHandler,
  Entered,
  Handled,
  Host,
  Neighbour,
  NonzaHandler,
  Origin,
  Service,
  Stranger,
  StreamStage,
  UnboundHandler,
} from './contracts.ts'
import { Directory, type OnlineAccount } from './directory.ts'
import { CommandRegistry } from './commands.ts'
import { DiscoRegistry } from './disco.ts'
import { AnswerPoint, NamedHandlers } from './hooks.ts'
import { Offers } from './offers.ts'
import { hostFor, type StreamFeatureOffer } from './host.ts'
import { InlineRegistry } from './inline.ts'
import { checkIq, IqRegistry } from './iq.ts'
import { makePoints, type Points } from './points.ts'
import { becomeUnavailable, goodbye, presenceFromSession } from './presence.ts'
import { farewell, registerRoster } from './roster-requests.ts'
import { rosterStore } from './roster.store.ts'
import type { Roster, RosterItem } from './roster.ts'
import { address, route } from './router.ts'
import { Sent, stamp } from './sent.ts'
import { Session, type Wire } from './session.ts'
import { Turns } from './turns.ts'
import type { HostLimits, HostSettings } from './settings.ts'
import { asStanzaError, rosterChanged } from './subscribing.ts'
import { census } from './tally.ts'
import { FROM } from './subscriptions.ts'

/** What outlives a generation. */
class Life {
  readonly directory = new Directory()
  /** Stanzas that were answered with an error, by its condition. */
  readonly refused = new Map<string, number>()
  /** The generations that are up, the one that sessions use last. */
  readonly #cores: Core[] = []

  /** An error was sent. */
  refuse(condition: string): void {
    this.refused.set(condition, (this.refused.get(condition) ?? 0) + 1)
  }

  /** The generation that serves stanzas now. */
  get current(): Core | undefined {
    return this.#cores.at(-1)
  }

  enter(core: Core): void {
    // A generation that is being built stays behind the one that works.
    if (this.#cores.length === 0) this.#cores.push(core)
    else this.#cores.unshift(core)
  }

  promote(core: Core): void {
    if (this.current === core || !this.#cores.includes(core)) return
    this.leave(core)
    this.#cores.push(core)
  }

  leave(core: Core): void {
    const at = this.#cores.indexOf(core)
    if (at >= 0) this.#cores.splice(at, 1)
  }
}

const LIFE = serviceKey<Life>('chat-life')

/**
 * Opens chat for one generation of the configuration, with the limits of all domains and the settings of those that have their own; Accounts and Store are taken from the scope. Provide the result as `Chat` for features and endpoints, then call
 * `begin` once everything of the generation is up: from then on all sessions, those of the generation before too, use this generation's features.
 */
export async function openCore(
  scope: Scope,
  limits: HostLimits,
  hosts: ReadonlyMap<string, HostSettings> = new Map(),
): Promise<Core> {
  const life = await scope.keep(LIFE, (kept) => {
    const fresh = new Life()
    census(kept, fresh)
    return fresh
  })
  const core = new Core(scope, limits, hosts, life)
  life.enter(core)
  scope.defer(() => life.leave(core))
  scope.defer(core.accounts.watch((change) => core.accountChanged(change)))
  const rooms = scope.find(accountRooms)
  if (rooms !== undefined) scope.defer(rooms.register(core.room))
  registerRoster(core.host(scope), core)
  return core
}

export class Core implements Chat {
  readonly accounts: Accounts
  readonly store: Store
  readonly log: Log
  readonly directory: Directory
  readonly iq = new IqRegistry()
  readonly disco = new DiscoRegistry()
  readonly inline = new InlineRegistry()
  readonly points: Points
  readonly streamFeatureOffers = new AnswerPoint<StreamFeatureOffer, never>()
  readonly earlyHandlers = new NamedHandlers<EarlyHandler>("answer strangers'")
  readonly unboundHandlers = new NamedHandlers<UnboundHandler>('take before a resource')
  readonly nonzaHandlers = new NamedHandlers<NonzaHandler>('take')
  readonly commands = new CommandRegistry()
  readonly offers = new Offers()
  readonly services = new Map<string, Service>()
  /** Who answers for addresses of domains of accounts that no account has. */
  readonly neighbours = new Map<string, Neighbour>()
  /** What is to be done when this generation takes over. */
  readonly beginnings: (() => Promise<void>)[] = []
  readonly #limits: HostLimits
  /** Domains with settings of their own. */
  readonly #hosts: ReadonlyMap<string, HostSettings>
  readonly #life: Life
  readonly #scope: Scope

  constructor(scope: Scope, limits: HostLimits, hosts: ReadonlyMap<string, HostSettings>, life: Life) {
    this.#limits = limits
    this.#hosts = hosts
    this.accounts = scope.use(Accounts)
    this.store = scope.use(Store)
    this.log = scope.log
    this.directory = life.directory
    this.#life = life
    this.#scope = scope
    this.points = makePoints(scope.log)
  }

  /** Makes this the generation that all sessions use. Resolves when everything is there that was before: then clients may come. */
  async begin(): Promise<void> {
    this.#life.promote(this)
    for (const online of this.directory.accounts)
      if (!this.isLocal(online.account.domain))
        this.#close(online, new StreamError('host-gone', 'this domain has no chat here any more'))
    for (const act of this.beginnings) await act()
  }

  /** The generation that sessions use now: what this one is told of late is theirs. */
  get successor(): Core {
    return this.#life.current ?? this
  }

  host(scope: Scope): Host {
    return hostFor(this, scope)
  }

  isServed(domain: string): boolean {
    return this.isLocal(domain) || this.services.has(domain)
  }

  isReachable(to: Jid): boolean {
    const account = this.directory.account(to.bareString)?.account
    return account?.role !== GUEST || this.accounts.may(account, 'chat-elsewhere')
  }

  isLocal(domain: string): boolean {
    return this.accounts.isLocal(domain) && this.#hosts.get(domain)?.enabled !== false
  }

  guests(domain: string): GuestTerms | undefined {
    return this.#hosts.get(domain)?.guests
  }

  servicesBelow(domain: string): readonly string[] {
    return [...this.services.keys()].filter((name) => name.endsWith(`.${domain}`)).sort()
  }

  /** The limits of one of our domains. */
  limits(domain: string): HostLimits {
    return this.#hosts.get(domain)?.limits ?? this.#limits
  }

  streamFeatures(stage: StreamStage): readonly Element[] {
    const offers: Element[] = []
    this.streamFeatureOffers.ask({ stage, offers })
    return offers
  }

  get offersRevision(): number {
    return this.streamFeatureOffers.changes + this.inline.changes + this.disco.revision
  }

  /** Asks the hook `receiving`. */
  received(event: AccountEvent): Handled | undefined {
    return this.points.receiving.empty ? undefined : this.points.receiving.ask(event)
  }

  loadRoster(account: OnlineAccount): Promise<Roster> {
    return account.loadRoster(this.store, rosterChanged).catch((error: unknown) => {
      throw asStanzaError(error)
    })
  }

  async rosterItem(account: Account, contact: string): Promise<RosterItem | undefined> {
    const roster = this.directory.account(account.address)?.roster
    return roster === undefined ? this.store.account(rosterStore, account.id).item({ contact }) : roster.item(contact)
  }

  async maySeePresence(account: Account, viewer: Jid): Promise<boolean> {
    const bare = viewer.bareString
    if (bare === account.address) return true
    const roster = this.directory.account(account.address)?.roster
    if (roster !== undefined) return roster.isSubscriber(bare)
    return ((await this.store.account(rosterStore, account.id).state({ contact: bare })) & FROM) !== 0
  }

  /** The broadcast presence of an available session, as an element. */
  presenceOf(session: Session, to: string): Element {
    const text = '<presence' + (session.presence ?? " type='unavailable'/>")
    return readElement(text, { xmlns: NS.client, bindings: [] }, DEFAULT_PARSER_LIMITS).with({ from: session.full, to })
  }

  inlineOffers(host: string): readonly Element[] {
    return this.inline.offers(host)
  }

  inlineWish(host: string, authenticate: Element): Element | undefined {
    return (this.#life.current ?? this).inline.wished(host, authenticate)
  }

  inlineBound(session: Session, bind: Element): Promise<readonly Element[]> {
    return (this.#life.current ?? this).inline.bound(session, bind)
  }

  // Sessions

  bind(account: Account, resource: string | undefined, { id, wire, lang, userAgent }: BindingClient): Session {
    let bare: Jid
    let jid: Jid
    try {
      bare = accountJid(account)
      jid = bare.withResource(resource ?? randomWord(this.#scope.random, 12))
    } catch (error) {
      if (error instanceof JidError) throw StanzaError.of('bad-request', error.message)
      throw error
    }
    // XEP-0386 §3.2: an installation is there once.
    if (userAgent?.id !== undefined) {
      for (const earlier of this.directory.account(bare.toString())?.sessions ?? [])
        if (earlier.userAgent?.id === userAgent.id) this.#replace(earlier, 'the same client has logged in anew')
    }
    const policy = this.limits(account.domain)['resource-conflict']
    const other = this.directory.session(jid.toString())
    // Who has lost his connection comes back: his old session is in nobody's way.
    const inUse = other?.away === false
    if (inUse && policy === 'refuse-newer') throw StanzaError.of('conflict', 'another client has this resource')
    if (inUse && policy === 'another-resource') jid = bare.withResource(randomWord(this.#scope.random, 12))
    else if (other !== undefined) this.#replace(other, 'another client has bound this resource')
    const online = this.directory.online(account, bare)
    if (online.sessions.length >= this.limits(account.domain)['sessions-per-account'])
      throw StanzaError.of('resource-constraint', 'this account has too many clients connected')
    const session = new Session(id, jid, online, wire, lang, userAgent)
    this.directory.add(session)
    this.accounts.guests.settle(account)
    this.points.bound.tell(session)
    return session
  }

  #replace(session: Session, why: string): void {
    session.wire.close(new StreamError('conflict', why))
    this.end(session)
  }

  end(session: Session): void {
    if (session.over) return
    session.over = true
    const core = this.successor
    try {
      becomeUnavailable(core, session, goodbye(session))
    } catch (error) {
      this.log.error({ err: error, session: session.id, account: session.account.bare }, 'the goodbye failed')
    }
    this.directory.remove(session)
    core.points.closed.tell(session)
    if (this.directory.account(session.account.bare) === undefined) this.accounts.guests.leave(session.account.account)
  }

  take(session: Session, stanza: Element): void | Promise<void> | Underway {
    if (session.over) return undefined
    const core = this.successor
    const before = session.turns?.taken
    let pending: Promise<void> | undefined
    let prepared = true
    try {
      const preparing = session.prepared()
      prepared = preparing === undefined
      // With what is read for the preparations: one look into the account's database.
      if (!prepared && needsRoster(stanza)) core.loadRoster(session.account).catch(nothing)
      const taken =
        preparing === undefined ? core.#take(session, stanza) : preparing.then(() => core.#take(session, stanza))
      pending = taken ?? undefined
    } catch (error) {
      core.#refuse(session, stanza, error)
    }
    if (pending === undefined && session.pending === undefined) return session.count()
    const octets = stanza.raw?.length ?? 0
    const turn = session.turns?.latest
    // What has its turn is delivered in order: it holds up nobody.
    if (prepared && turn !== undefined && session.turns?.taken !== before) return turn.join(octets)
    const done = pending?.catch((error: unknown) => core.#refuse(session, stanza, error)) ?? Promise.resolve()
    const handled = session.detach === undefined ? done : session.handling(done)
    return pending === undefined ? new Underway(handled).with(octets) : handled
  }

  /** The messages of a session that wait. */
  turnsOf(session: Session): Turns {
    session.turns ??= new Turns(session, (message, error) => this.successor.#refuse(session, message, error))
    return session.turns
  }

  mayFollow(message: Element): boolean {
    const type = message.get('type')
    const to = message.get('to')
    if (to === undefined || type === 'groupchat' || type === 'error' || this.store.crowded) return false
    return this.directory.session(to) !== undefined || this.directory.account(to) !== undefined
  }

  #take(session: Session, stanza: Element): void | Promise<void> {
    if (stanza.name === 'iq') checkIq(stanza)
    this.directory.traffic.in.count(stanza.name)
    const stamped = stamp(stanza, session)
    const { entering } = this.points
    if (entering.empty) return this.#accept(session, stamped)
    const answer = entering.ask(new Sent(stamped, session, this.directory))
    return entered(answer, stamped, (stanza) => this.#accept(session, stanza))
  }

  #accept(session: Session, entered: Element): void | Promise<void> {
    const stamped = this.#dressed(entered, session)
    if (stamped.name === 'presence') {
      // Hooks see directed presence; subscriptions once they are addressed in the account's name.
      if (stamped.get('to') === undefined || isAboutAccount(stamped)) return presenceFromSession(this, session, stamped)
    }
    const { sending } = this.points
    if (sending.empty) return this.#send(session, stamped)
    const event = new Sent(stamped, session, this.directory)
    const answer = sending.ask(event)
    const { work } = event
    if (work === undefined)
      return answer === undefined ? this.#send(session, stamped) : answer === 'handled' ? undefined : answer
    let sent: void | Promise<void>
    try {
      sent = answer === undefined ? this.#send(session, stamped) : answer === 'handled' ? undefined : answer
    } catch (error) {
      // What went wrong first is what the sender is told.
      sent = Promise.reject(error)
    }
    const turn = session.turns?.latest
    if (turn === undefined || turn.done !== sent) return Promise.all([sent, work]).then(nothing)
    turn.await(work, stamped)
    return turn.whole
  }

  /** An available presence as features want it to be. */
  #dressed(stamped: Element, session: Session): Element {
    const { dressing } = this.points
    if (dressing.empty || stamped.name !== 'presence' || stamped.get('type') !== undefined) return stamped
    return dressing.ask(new Sent(stamped, session, this.directory)) ?? stamped
  }

  announce(session: Session): void {
    if (session.over || !session.available) return
    const again = async (): Promise<void> => {
      const before = this.presenceOf(session, session.account.bare).with({ to: undefined })
      await presenceFromSession(this, session, this.#dressed(before, session))
    }
    again().catch((error: unknown) => this.log.warn({ err: error, session: session.id }, 'presence was not said anew'))
  }

  #send(session: Session, stamped: Element): void | Promise<void> {
    return stamped.name === 'presence' ? presenceFromSession(this, session, stamped) : route(this, session, stamped)
  }

  receive(stanza: Element, origin: Origin): void | Promise<void> {
    const core = this.successor
    try {
      if (stanza.name === 'iq') checkIq(stanza)
      const { entering } = core.points
      const answer = entering.empty ? undefined : entering.ask({ stanza, origin, to: address(stanza.get('to') ?? '') })
      return entered(answer, stanza, (accepted) => route(core, origin, accepted))?.catch((error: unknown) =>
        core.#refuseForeign(stanza, origin, error),
      )
    } catch (error) {
      core.#refuseForeign(stanza, origin, error)
    }
  }

  #refuseForeign(stanza: Element, origin: Origin, error: unknown): void {
    const known = asStanzaError(error)
    if (!(known instanceof StanzaError))
      this.log.error({ err: error, from: origin.jid.toString() }, `a ${stanza.name} could not be handled`)
    this.refuse(stanza, origin, known instanceof StanzaError ? known : StanzaError.of('internal-server-error'))
  }

  refuse(stanza: Element, origin: Origin, error: StanzaError): void {
    const reply = errorReply(stanza, error)
    if (reply === undefined) return
    this.#life.refuse(error.condition)
    origin.reply(reply)
    const { session } = origin
    if (session !== undefined && !this.points.refused.empty) this.points.refused.tell({ session, stanza, reply })
  }

  #refuse(session: Session, stanza: Element, error: unknown): void {
    if (error instanceof StreamError) throw error
    const known = asStanzaError(error)
    if (!(known instanceof StanzaError))
      this.log.error(
        { err: error, session: session.id, account: session.account.bare },
        `a ${stanza.name} could not be handled`,
      )
    const refusal = known instanceof StanzaError ? known : StanzaError.of('internal-server-error')
    const reply = errorReply(stanza.with({ from: session.full }), refusal)
    if (reply === undefined) return
    this.#life.refuse(refusal.condition)
    session.send(reply)
    if (!this.points.refused.empty) this.points.refused.tell({ session, stanza, reply })
  }

  early(request: Element, stranger: Stranger): Element | undefined | Promise<Element | undefined> {
    const [payload] = request.elements
    const type = request.get('type')
    if (payload === undefined || (type !== 'get' && type !== 'set')) return undefined
    const handler = this.successor.earlyHandlers.find(payload, stranger.host)
    if (handler === undefined) return undefined
    const reply = (result: Element | undefined): Element => resultReply(request, result)
    return this.#answered(handler, payload, stranger, type).then(reply)
  }

  async #answered(
    handler: EarlyHandler,
    payload: Element,
    stranger: Stranger,
    type: 'get' | 'set',
  ): Promise<Element | undefined> {
    try {
      return await handler(payload, stranger, type)
    } catch (error) {
      const known = asStanzaError(error)
      if (known instanceof StanzaError || known instanceof StreamError) throw known
      this.log.error({ err: error, session: stranger.id }, 'a request before the log-in could not be handled')
      throw StanzaError.of('internal-server-error')
    }
  }

  disconnected(session: Session, wire: Wire, broken: boolean): void {
    if (session.detach?.(wire, broken) !== true) this.end(session)
  }

  unbound(account: Account, element: Element, client: BindingClient): Promise<Session | undefined> | undefined {
    const handler = this.successor.unboundHandlers.find(element, account.domain)
    return handler?.(account, element, client)
  }

  nonza(session: Session, element: Element): boolean | Promise<boolean> {
    const handler = this.successor.nonzaHandlers.find(element, session.jid.domain)
    if (handler === undefined) return false
    const pending = handler(session, element)
    return pending === undefined ? true : pending.then(() => true)
  }

  // Accounts

  /** Sessions of an account that may not go on are closed. */
  accountChanged(change: AccountChange): void {
    const { kind, accountId, address } = change
    if (accountId === undefined) return
    if (kind === 'revoked') return this.#revoked(change)
    const why = WHY_CLOSED[kind]
    if (why === undefined) return void this.#refresh(address ?? '')
    for (const online of this.directory.accounts) {
      if (online.account.id !== accountId) continue
      this.#close(online, new StreamError('not-authorized', why), (session) => session.stays?.(change) === true)
    }
  }

  /** XEP-0484: the programs that may not go on; those of the account that are others stay. */
  #revoked({ address = '', clients = [] }: AccountChange): void {
    const online = this.directory.account(address)
    if (online === undefined) return
    const isOther = ({ userAgent }: Session): boolean =>
      userAgent?.id === undefined || !clients.includes(clientKey(userAgent.id))
    this.#close(online, new StreamError('not-authorized', 'this client was revoked'), isOther)
  }

  /** The role may have changed. Until it is known again, the account may what it might. */
  async #refresh(address: string): Promise<void> {
    const online = this.directory.account(address)
    if (online === undefined) return
    try {
      const account = await this.accounts.byId(online.account.id)
      if (account !== undefined) online.account = account
    } catch (error) {
      this.log.error({ err: error, account: address }, 'an account that changed could not be looked up')
      this.#close(online, new StreamError('internal-server-error', 'log in again'))
    }
  }

  #close({ sessions }: OnlineAccount, error: StreamError, stays = (_session: Session): boolean => false): void {
    for (const session of sessions) {
      if (stays(session)) continue
      session.wire.close(error)
      this.end(session)
    }
  }

  /** What accounts must know of chat: a new account needs nothing; the contacts of a deleted one are told (§2.5.2, for each of them). */
  get room(): AccountRoom {
    return {
      name: 'chat',
      create: async () => {},
      erase: async (account) => {
        const online = this.directory.account(account.address)
        if (online !== undefined) this.#close(online, new StreamError('not-authorized', WHY_CLOSED.deleted))
        await farewell(this, account)
      },
    }
  }
}

/** Goes on with what those who were asked first have made of a stanza. */
function entered(
  answer: Entered | Promise<Entered> | undefined,
  stanza: Element,
  goOn: (stanza: Element) => void | Promise<void>,
): void | Promise<void> {
  if (answer === undefined) return goOn(stanza)
  if (answer === 'handled') return undefined
  return answer instanceof Promise ? answer.then((late) => entered(late, stanza, goOn)) : goOn(answer)
}

const nothing = (): void => {}

const needsRoster = (stanza: Element): boolean =>
  stanza.name === 'presence' ? stanza.get('to') === undefined : stanza.firstElement?.is('query', NS.roster) === true

/** @throws JidError: not every mail address is a JID (`o'brien@`) */
export const accountJid = ({ local, domain }: Account): Jid => Jid.of(local, domain)

const WHY_CLOSED: { readonly [Kind in AccountChange['kind']]?: string } = {
  password: 'your password was changed',
  disabled: 'this account is disabled',
  deleted: 'this account was deleted',
}

const isAboutAccount = (presence: Element): boolean => {
  const type = presence.get('type')
  return type !== undefined && type !== 'unavailable' && type !== 'error' && type !== 'probe'
}
