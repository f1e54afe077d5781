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
} from '@aviso/xmpp'
import * as v from 'valibot'
import { type Account, type AccountChange, Accounts, type AccountRoom } from '../../accounts/contracts.ts'
import { accountRooms } from '../../accounts/rooms.ts'
import type { Log } from '../../kernel/log.ts'
import { randomWord } from '../../kernel/random.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import { Store } from '../../store/contracts.ts'
import type {
  AccountEvent,
  BindingClient,
  Chat,
  DeliveredEvent,
  EarlyHandler,
  Handled,
  Host,
  Origin,
  PresenceEvent,
  RefusedEvent,
  SendingEvent,
  StanzaEvent,
  Stranger,
  StreamStage,
  UnavailableEvent,
  UnboundHandler,
} from './contracts.ts'
import { Directory, type OnlineAccount } from './directory.ts'
import type { Command } from './commands.ts'
import { DiscoRegistry } from './disco.ts'
import { type AnswerHook, AnswerPoint, TellPoint } from './hooks.ts'
import { InlineRegistry } from './inline.ts'
import { checkIq, IqRegistry } from './iq.ts'
import { becomeUnavailable, goodbye, presenceFromSession, probeFor, sendPresenceOf } from './presence.ts'
import { farewell, registerRoster } from './roster-requests.ts'
import { rosterStore } from './roster.store.ts'
import type { Roster } from './roster.ts'
import { redeliver } from './redelivery.ts'
import { route } from './router.ts'
import { Sent, stamp } from './sent.ts'
import { Session, type Wire } from './session.ts'
import { asStanzaError, rosterChanged } from './subscribing.ts'
import { FROM } from './subscriptions.ts'

const count = v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(1, 'expected at least 1'))

/** The `chat` part of the config. */
export const coreConfig = v.strictObject({
  'sessions-per-account': v.optional(
    v.pipe(count, v.description('how many clients one account may have connected at once')),
    50,
  ),
  'roster-items': v.optional(v.pipe(count, v.description('how many contacts one account may have')), 5000),
  'roster-groups': v.optional(v.pipe(count, v.description('how many groups one contact may be in')), 50),
})
export type CoreConfig = v.InferOutput<typeof coreConfig>

/** What outlives a generation. */
class Life {
  readonly directory = new Directory()
  /** The generations that are up, the one that sessions use last. */
  readonly #cores: Core[] = []

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
 * Opens chat for one generation of the configuration; Accounts and Store are taken from the scope. Provide the result as `Chat` for features and endpoints, then call
 * `begin` once everything of the generation is up: from then on all sessions, those of the generation before too, use this generation's features.
 */
export async function openCore(scope: Scope, config: CoreConfig): Promise<Core> {
  const life = await scope.keep(LIFE, () => new Life())
  const core = new Core(scope, config, life)
  life.enter(core)
  scope.defer(() => life.leave(core))
  scope.defer(core.accounts.watch((change) => core.accountChanged(change)))
  const rooms = scope.find(accountRooms)
  if (rooms !== undefined) scope.defer(rooms.register(core.room))
  registerRoster(core.host(scope), core)
  return core
}

export class Core implements Chat {
  readonly config: CoreConfig
  readonly accounts: Accounts
  readonly store: Store
  readonly log: Log
  readonly directory: Directory
  readonly iq = new IqRegistry()
  readonly disco = new DiscoRegistry()
  readonly inline = new InlineRegistry()
  readonly points: {
    readonly sending: AnswerPoint<SendingEvent, Handled>
    readonly receiving: AnswerPoint<AccountEvent, Handled>
    readonly keeping: AnswerPoint<AccountEvent, Element | Promise<Element>>
    readonly undelivered: AnswerPoint<AccountEvent, Handled>
    readonly delivered: TellPoint<DeliveredEvent>
    readonly refused: TellPoint<RefusedEvent>
    readonly remote: AnswerPoint<StanzaEvent, Handled>
    readonly bound: TellPoint<Session>
    readonly available: TellPoint<PresenceEvent>
    readonly unavailable: TellPoint<UnavailableEvent>
    readonly answered: TellPoint<StanzaEvent>
    readonly away: TellPoint<Session>
    readonly resumed: TellPoint<Session>
    readonly closed: TellPoint<Session>
  }
  readonly #early = new Map<string, EarlyHandler>()
  readonly #unbound = new Map<string, UnboundHandler>()
  readonly #commands = new Map<string, Command>()
  readonly #nonzas = new Map<string, (session: Session, element: Element) => void | Promise<void>>()
  readonly #features = new AnswerPoint<{ readonly stage: StreamStage; readonly offers: Element[] }, never>()
  readonly #life: Life
  readonly #scope: Scope

  constructor(scope: Scope, config: CoreConfig, life: Life) {
    this.config = config
    this.accounts = scope.use(Accounts)
    this.store = scope.use(Store)
    this.log = scope.log
    this.directory = life.directory
    this.#life = life
    this.#scope = scope
    this.points = {
      sending: new AnswerPoint(),
      receiving: new AnswerPoint(),
      keeping: new AnswerPoint(),
      undelivered: new AnswerPoint(),
      delivered: new TellPoint(scope.log),
      refused: new TellPoint(scope.log),
      remote: new AnswerPoint(),
      bound: new TellPoint(scope.log),
      available: new TellPoint(scope.log),
      unavailable: new TellPoint(scope.log),
      answered: new TellPoint(scope.log),
      away: new TellPoint(scope.log),
      resumed: new TellPoint(scope.log),
      closed: new TellPoint(scope.log),
    }
  }

  /** Makes this the generation that all sessions use. */
  begin(): void {
    this.#life.promote(this)
  }

  host(scope: Scope): Host {
    const { points, iq, disco } = this
    const isCurrent = (): boolean => this.#life.current === this
    const answers = <Event, Answer>(point: AnswerPoint<Event, Answer>): AnswerHook<Event, Answer> => ({
      on: (handler, priority) => scope.defer(point.add(handler, priority)),
    })
    const tells = <Event>(
      point: TellPoint<Event>,
    ): { on(handler: (event: Event) => void, priority?: number): void } => ({
      on: (handler, priority) => scope.defer(point.add(handler, priority)),
    })
    return {
      hooks: {
        sending: answers(points.sending),
        receiving: answers(points.receiving),
        keeping: answers(points.keeping),
        undelivered: answers(points.undelivered),
        remote: answers(points.remote),
        delivered: tells(points.delivered),
        refused: tells(points.refused),
        bound: tells(points.bound),
        available: tells(points.available),
        unavailable: tells(points.unavailable),
        answered: tells(points.answered),
        away: tells(points.away),
        resumed: tells(points.resumed),
        closed: tells(points.closed),
      },
      iq: {
        get: (xmlns, name, targets, handler) => scope.defer(iq.add('get', xmlns, name, targets, handler)),
        set: (xmlns, name, targets, handler) => scope.defer(iq.add('set', xmlns, name, targets, handler)),
      },
      disco: {
        feature: (name, subjects) => scope.defer(disco.addFeature(name, subjects)),
        identity: (identity, subjects) => scope.defer(disco.addIdentity(identity, subjects)),
        item: (item) => scope.defer(disco.addItem(item)),
        form: (form) => scope.defer(disco.addForm(form)),
        node: (node, description) => scope.defer(disco.addNode(node, description)),
        otherNodes: (find) => scope.defer(disco.addFinder(find)),
      },
      described: disco,
      accounts: this.accounts,
      store: this.store,
      get current() {
        return isCurrent()
      },
      command: (command) => {
        if (this.#commands.has(command.node)) throw new Error(`two features offer the command ${command.node}`)
        this.#commands.set(command.node, command)
        scope.defer(() => void this.#commands.delete(command.node))
      },
      commands: () => this.#commands,
      streamFeature: (offer) =>
        scope.defer(
          this.#features.add(({ stage, offers }) => {
            const element = offer(stage)
            if (element !== undefined) offers.push(element)
            return undefined
          }),
        ),
      nonza: (xmlns, name, handler) => {
        const key = `${xmlns} ${name}`
        if (this.#nonzas.has(key)) throw new Error(`two features take <${name} xmlns='${xmlns}'/>`)
        this.#nonzas.set(key, handler)
        scope.defer(() => void this.#nonzas.delete(key))
      },
      unbound: (xmlns, name, handler) => {
        const key = `${xmlns} ${name}`
        if (this.#unbound.has(key)) throw new Error(`two features take <${name} xmlns='${xmlns}'/> before a resource`)
        this.#unbound.set(key, handler)
        scope.defer(() => void this.#unbound.delete(key))
      },
      inline: this.inline.host(scope),
      end: (session) => this.end(session),
      tellAway: (session) => (this.#life.current ?? this).points.away.tell(session),
      tellResumed: (session) => (this.#life.current ?? this).points.resumed.tell(session),
      redeliver: (account, stanzas) => redeliver(this.#life.current ?? this, account, stanzas),
      early: (xmlns, name, handler) => {
        const key = `${xmlns} ${name}`
        if (this.#early.has(key)) throw new Error(`two features answer strangers' <${name} xmlns='${xmlns}'/>`)
        this.#early.set(key, handler)
        scope.defer(() => void this.#early.delete(key))
      },
      online: () => this.directory.accounts,
      sendPresence: (account, to, leaving) => sendPresenceOf(this, account, to, leaving),
      probe: (account, contact) => probeFor(this, account, contact),
      sessions: (bare) => this.directory.account(bare)?.sessions ?? [],
      maySeePresence: (account, viewer) => this.maySeePresence(account, viewer),
      route: async (stanza, origin) => route(this, origin, stanza),
    }
  }

  streamFeatures(stage: StreamStage): readonly Element[] {
    const offers: Element[] = []
    this.#features.ask({ stage, offers })
    return offers
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

  inlineOffers(): readonly Element[] {
    return this.inline.offers
  }

  inlineWish(authenticate: Element): Element | undefined {
    return (this.#life.current ?? this).inline.wished(authenticate)
  }

  inlineBound(session: Session, bind: Element): Promise<readonly Element[]> {
    return (this.#life.current ?? this).inline.bound(session, bind)
  }

  // Sessions

  bind(account: Account, resource: string | undefined, { id, wire, lang, userAgent }: BindingClient): Session {
    let bare: Jid
    let jid: Jid
    try {
      // Not every mail address is a JID (`o'brien@`).
      bare = Jid.of(account.local, account.domain)
      jid = bare.withResource(resource ?? randomWord(this.#scope.random, 12))
    } catch (error) {
      if (error instanceof JidError) throw StanzaError.of('bad-request', error.message)
      throw error
    }
    const other = this.directory.session(jid.toString())
    if (other !== undefined) this.#replace(other, 'another client has bound this resource')
    // XEP-0386 §3.2: an installation is there once.
    if (userAgent?.id !== undefined) {
      for (const earlier of this.directory.account(bare.toString())?.sessions ?? [])
        if (earlier.userAgent?.id === userAgent.id) this.#replace(earlier, 'the same client has logged in anew')
    }
    const online = this.directory.online(account, bare)
    if (online.sessions.length >= this.config['sessions-per-account'])
      throw StanzaError.of('resource-constraint', 'this account has too many clients connected')
    const session = new Session(id, jid, online, wire, lang, userAgent)
    this.directory.add(session)
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
    const core = this.#life.current ?? this
    try {
      becomeUnavailable(core, session, goodbye(session))
    } catch (error) {
      this.log.error({ err: error, session: session.id, account: session.account.bare }, 'the goodbye failed')
    }
    this.directory.remove(session)
    core.points.closed.tell(session)
  }

  take(session: Session, stanza: Element): void | Promise<void> {
    if (session.over) return undefined
    const core = this.#life.current ?? this
    try {
      const preparing = session.prepared()
      const pending =
        preparing === undefined ? core.#take(session, stanza) : preparing.then(() => core.#take(session, stanza))
      if (pending === undefined) return session.count()
      const done = pending.catch((error: unknown) => core.#refuse(session, stanza, error))
      return session.detach === undefined ? done : session.handling(done)
    } catch (error) {
      core.#refuse(session, stanza, error)
      session.count()
    }
  }

  #take(session: Session, stanza: Element): void | Promise<void> {
    if (stanza.name === 'iq') checkIq(stanza)
    const stamped = stamp(stanza, session)
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
    const sent = async (): Promise<void> => {
      if (answer === undefined) await this.#send(session, stamped)
      else if (answer !== 'handled') await answer
    }
    return Promise.all([sent(), work]).then(() => {})
  }

  #send(session: Session, stamped: Element): void | Promise<void> {
    return stamped.name === 'presence' ? presenceFromSession(this, session, stamped) : route(this, session, stamped)
  }

  receive(stanza: Element, origin: Origin): void | Promise<void> {
    const core = this.#life.current ?? this
    try {
      if (stanza.name === 'iq') checkIq(stanza)
      return route(core, origin, stanza)?.catch((error: unknown) => core.#refuseForeign(stanza, origin, error))
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
    session.send(reply)
    if (!this.points.refused.empty) this.points.refused.tell({ session, stanza, reply })
  }

  early(request: Element, stranger: Stranger): Element | undefined | Promise<Element | undefined> {
    const [payload] = request.elements
    const type = request.get('type')
    if (payload === undefined || (type !== 'get' && type !== 'set')) return undefined
    const handler = (this.#life.current ?? this).#early.get(`${payload.xmlns} ${payload.name}`)
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
    const handler = (this.#life.current ?? this).#unbound.get(`${element.xmlns} ${element.name}`)
    return handler?.(account, element, client)
  }

  nonza(session: Session, element: Element): boolean | Promise<boolean> {
    const handler = (this.#life.current ?? this).#nonzas.get(`${element.xmlns} ${element.name}`)
    if (handler === undefined) return false
    const pending = handler(session, element)
    return pending === undefined ? true : pending.then(() => true)
  }

  // Accounts

  /** Sessions of an account that may not go on are closed. */
  accountChanged(change: AccountChange): void {
    const { kind, accountId } = change
    const why = WHY_CLOSED[kind]
    if (why === undefined || accountId === undefined) return
    for (const online of this.directory.accounts) {
      if (online.account.id !== accountId) continue
      for (const session of online.sessions) {
        if (session.stays?.(change) === true) continue
        session.wire.close(new StreamError('not-authorized', why))
        this.end(session)
      }
    }
  }

  /** What accounts must know of chat: a new account needs nothing; the contacts of a deleted one are told (§2.5.2, for each of them). */
  get room(): AccountRoom {
    return {
      name: 'chat',
      create: async () => {},
      erase: async (account) => {
        for (const session of this.directory.account(account.address)?.sessions ?? []) {
          session.wire.close(new StreamError('not-authorized', WHY_CLOSED.deleted))
          this.end(session)
        }
        await farewell(this, account)
      },
    }
  }
}

const WHY_CLOSED: { readonly [Kind in AccountChange['kind']]?: string } = {
  password: 'your password was changed',
  disabled: 'this account is disabled',
  deleted: 'this account was deleted',
}

const isAboutAccount = (presence: Element): boolean => {
  const type = presence.get('type')
  return type !== undefined && type !== 'unavailable' && type !== 'error' && type !== 'probe'
}
