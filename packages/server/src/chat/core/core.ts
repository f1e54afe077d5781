// One generation of chat: what its features have registered, and the sessions that all generations share. What is done with stanzas stands in files of its own.

import {
  DEFAULT_PARSER_LIMITS,
  type Element,
  type Jid,
  NS,
  readElement,
  type StanzaError,
  StreamError,
  type Underway,
} from '@aviso/xmpp'
import { type Account, type AccountRoom, Accounts, type GuestTerms } from '../../accounts/contracts.ts'
import { GUEST } from '../../accounts/roles.ts'
import { accountRooms } from '../../accounts/rooms.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import { Store } from '../../store/contracts.ts'
import { accountChanged, chatRoom, closeSessions } from './account-changes.ts'
import { bind, end } from './binding.ts'
import { CommandRegistry } from './commands.ts'
import type {
  AccountEvent,
  BindingClient,
  Chat,
  EarlyHandler,
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
import type { Directory, OnlineAccount } from './directory.ts'
import { DiscoRegistry } from './disco.ts'
import { answerEarly } from './early.ts'
import { AnswerPoint, NamedHandlers } from './hooks.ts'
import { hostFor, type StreamFeatureOffer } from './host.ts'
import { InlineRegistry } from './inline.ts'
import { mayFollow, receive, take } from './intake.ts'
import { IqRegistry } from './iq.ts'
import { Life, LIFE } from './life.ts'
import { Offers } from './offers.ts'
import { makePoints, type Points } from './points.ts'
import { refuse } from './refusing.ts'
import { registerRoster } from './roster-requests.ts'
import { rosterStore } from './roster.store.ts'
import type { Roster, RosterItem } from './roster.ts'
import type { Session, Wire } from './session.ts'
import type { HostLimits, HostSettings } from './settings.ts'
import { asStanzaError, rosterChanged } from './subscribing.ts'
import { FROM } from './subscriptions.ts'
import { census } from './tally.ts'

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
  scope.defer(core.accounts.watch((change) => accountChanged(core, change)))
  const rooms = scope.find(accountRooms)
  if (rooms !== undefined) scope.defer(rooms.register(core.room))
  registerRoster(core.host(scope), core)
  return core
}

export class Core implements Chat {
  readonly accounts: Accounts
  readonly store: Store
  readonly log: Log
  readonly random: Random
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

  constructor(scope: Scope, limits: HostLimits, hosts: ReadonlyMap<string, HostSettings>, life: Life) {
    this.#limits = limits
    this.#hosts = hosts
    this.accounts = scope.use(Accounts)
    this.store = scope.use(Store)
    this.log = scope.log
    this.random = scope.random
    this.directory = life.directory
    this.#life = life
    this.points = makePoints(scope.log)
  }

  /** Makes this the generation that all sessions use. Resolves when everything is there that was before: then clients may come. */
  async begin(): Promise<void> {
    this.#life.promote(this)
    for (const online of this.directory.accounts)
      if (!this.isLocal(online.account.domain))
        closeSessions(this, online, new StreamError('host-gone', 'this domain has no chat here any more'))
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
    return this.successor.inline.wished(host, authenticate)
  }

  inlineBound(session: Session, bind: Element): Promise<readonly Element[]> {
    return this.successor.inline.bound(session, bind)
  }

  /** What accounts must know of chat. */
  get room(): AccountRoom {
    return chatRoom(this)
  }

  // Sessions and their stanzas

  bind(account: Account, resource: string | undefined, client: BindingClient): Session {
    return bind(this, account, resource, client)
  }

  disconnected(session: Session, wire: Wire, broken: boolean): void {
    if (session.detach?.(wire, broken) !== true) this.end(session)
  }

  end(session: Session): void {
    end(this, session)
  }

  take(session: Session, stanza: Element): void | Promise<void> | Underway {
    return session.over ? undefined : take(this.successor, session, stanza)
  }

  mayFollow(message: Element): boolean {
    return mayFollow(this, message)
  }

  receive(stanza: Element, origin: Origin): void | Promise<void> {
    return receive(this.successor, stanza, origin)
  }

  refuse(stanza: Element, origin: Origin, error: StanzaError): void {
    refuse(this, stanza, origin, error)
  }

  /** A sender was told an error. */
  countRefusal(condition: string): void {
    this.#life.refuse(condition)
  }

  early(request: Element, stranger: Stranger): Promise<Element> | undefined {
    return answerEarly(this.successor, request, stranger)
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
}
