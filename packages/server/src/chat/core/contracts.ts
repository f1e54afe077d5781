// Chat as its features see it: a host that they attach to. What a feature registers is taken off when its scope closes.

import type { Element, Jid, StanzaError, Underway, UserAgent } from '@aviso/xmpp'
import type { GenericSchema, InferOutput } from 'valibot'
import type { Account, Accounts, GuestTerms } from '../../accounts/contracts.ts'
import { type AnyModule, defineFamily, defineModule } from '../../kernel/module.ts'
import { type Scope, type ServiceKey, serviceKey } from '../../kernel/scope.ts'
import type { Store } from '../../store/contracts.ts'
import type { Command } from './commands.ts'
import type { OnlineAccount } from './directory.ts'
import type { Disco, DiscoFacts } from './disco-contracts.ts'
import type { AccountEvent, Hooks, Origin, StanzaEvent } from './events.ts'
import type { Inline } from './inline.ts'
import type { SentStanza } from './redelivery.ts'
import type { RosterItem } from './roster.ts'
import type { Session, Wire } from './session.ts'
import type { SuspendedSession } from './suspended.ts'

export type * from './disco-contracts.ts'
export type * from './events.ts'

/**
 * Whom an IQ request is for: the server itself, somebody's account (by anybody, its owner included), only the sender's own account, a service on a domain of its own, or an
 * address at such a service (a room).
 */
export type IqTarget = 'host' | 'account' | 'self' | 'service' | 'address'

/** An IQ request that the server answers. */
export interface IqRequest {
  readonly stanza: Element
  /** The one child element of the request. */
  readonly payload: Element
  readonly origin: Origin
  readonly from: Jid
  /** As sent; the sender's own bare JID where there was no `to`. */
  readonly to: Jid
  /** The account that is asked; undefined where the host is. */
  readonly account: Account | undefined
  /** Makes the answer. */
  result(payload?: Element): Element
  /** What is to be done right after the answer was sent. */
  after(act: () => void): void
}

/** Answers a request: returns the result, or throws a StanzaError. */
export type IqHandler = (iq: IqRequest) => Element | Promise<Element>

export interface IqHandlers {
  get(xmlns: string, name: string, targets: readonly IqTarget[], handler: IqHandler): void
  set(xmlns: string, name: string, targets: readonly IqTarget[], handler: IqHandler): void
  /** Who answers this request at a domain; undefined: nobody. */
  find(type: 'get' | 'set', target: IqTarget, payload: Element, domain: string): IqHandler | undefined
}

/** A client that has not logged in. */
export interface Stranger {
  /** As in the log. */
  readonly id: string
  /** The domain that it addressed. */
  readonly host: string
  readonly remoteAddress: string
  /** The same object for the same stream: what is kept by it goes with it. */
  readonly stream: object
}

/** Answers a stranger's request: returns the payload of the result, or throws a StanzaError. */
export type EarlyHandler = (
  payload: Element,
  stranger: Stranger,
  type: 'get' | 'set',
) => Element | undefined | Promise<Element | undefined>

/**
 * Takes what is no stanza from a client that has logged in and has no resource yet, and answers it over the client's wire. Resolves with a session that the stream goes on with, or with
 * undefined where it is to bind a resource as usual.
 */
export type UnboundHandler = (account: Account, element: Element, client: BindingClient) => Promise<Session | undefined>

/** Takes an element of a client's that is no stanza. */
export type NonzaHandler = (session: Session, element: Element) => void | Promise<void>

/**
 * Who answers for a domain that has no accounts: rooms, a publish-subscribe service, a component. Gets every stanza for the domain and for all addresses in it; `from` is stamped.
 * What it throws or rejects with is told to the sender; the sender's next stanza waits for the promise. It sends by `Host.route`, with an origin of its own.
 */
export type Service = (event: StanzaEvent) => void | Promise<void>

/** A service that shares a domain with accounts: it has addresses that no account has. */
export interface Neighbour {
  /** True for a stanza that is the service's; else the sender is told what he is told of an account that is not there. Never asked where there is an account. */
  has(event: StanzaEvent): boolean | Promise<boolean>
  readonly service: Service
}

/** Where a client's stream stands when features are offered (RFC 6120 §4.3.2). */
export interface StreamStage {
  /** Set once it has a resource, or has resumed one (XEP-0386, XEP-0198). */
  readonly session: Session | undefined
  /** The domain that the client addressed. */
  readonly host: string
  readonly authenticated: boolean
  readonly secure: boolean
}

/** One generation of chat, as a feature meets it: the domains with the same settings for it are one host. */
export interface Host {
  readonly hooks: Hooks
  readonly iq: IqHandlers
  readonly disco: Disco
  /** What is said of one of our domains and its accounts by now. */
  described(domain: string): DiscoFacts
  /** True for the domains that the feature works for: those that have other settings for it are not among them. The hooks and requests of others do not reach it. */
  covers(domain: string): boolean
  /** True for our domains, those of services among them. */
  isServed(domain: string): boolean
  readonly accounts: Accounts
  readonly store: Store
  /** True while sessions use this generation: what all generations hear of at once, one of them only may act upon. */
  readonly current: boolean
  /** Offers a command (XEP-0050). */
  command(command: Command): void
  /** The commands that one of our domains offers, by node. */
  commands(domain: string): ReadonlyMap<string, Command>
  /** Answers for a domain that has no accounts; for other servers it is one of ours. Throws where somebody does so already, or the domain is one of accounts. */
  serve(domain: string, service: Service): void
  /** Answers for addresses of one of our domains of accounts. Throws where somebody does so already, or the domain has no accounts. */
  serveBeside(domain: string, neighbour: Neighbour): void
  /** Offers a stream feature; undefined: not at this stage. What is offered depends on the stage alone, and on what disco tells: it is remembered. */
  streamFeature(offer: (stage: StreamStage) => Element | undefined): void
  /** Takes an element of a client's that is no stanza, in the order of its stanzas; the next ones wait for a promise. One handler for each name. */
  nonza(xmlns: string, name: string, handler: NonzaHandler): void
  /** Takes an element that is no stanza from clients that have no resource yet. One handler for each name. */
  unbound(xmlns: string, name: string, handler: UnboundHandler): void
  /** What is done together with a login. */
  readonly inline: Inline
  /** Ends a session whose client does not come back. */
  end(session: Session): void
  /** For whoever lets sessions live on without a connection: tells the hooks of that name. */
  tellAway(session: Session): void
  tellResumed(session: Session): void
  /** Runs `act` when this generation takes over, before it serves anybody. */
  beginning(act: () => Promise<void>): void
  /** Ends a session here without a word to anybody, as it will go on: answers what from, as JSON. */
  suspend(session: Session): SuspendedSession
  /** Makes a suspended session again, for a client that is away; nobody is told. Rejects with a StanzaError where its resource is in use. */
  wake(account: Account, suspended: SuspendedSession): Promise<Session>
  /** Gives what a session was sent and did not get to others of the account, or to those who keep it. */
  redeliver(account: OnlineAccount, stanzas: Iterable<SentStanza>): Promise<void>
  /** Answers IQ requests of clients that have not logged in yet. One handler for each name. */
  early(xmlns: string, name: string, handler: EarlyHandler): void
  /** The accounts that have sessions, of the domains that the feature works for. */
  online(): Iterable<OnlineAccount>
  /** The sessions of an account, by its bare JID. */
  sessions(bare: string): readonly Session[]
  /** True when `viewer` may know of the account's presence: it is the account's own, or subscribed to it. */
  maySeePresence(account: Account, viewer: Jid): Promise<boolean>
  /** What an account has in its roster of somebody; undefined for a stranger. */
  rosterItem(account: Account, contact: string): Promise<RosterItem | undefined>
  /** Does what the query of a roster set asks for in an account's roster. Rejects with the StanzaError that the asker is to be told. */
  changeRoster(account: Account, query: Element): Promise<void>
  /** The broadcast presence of an available session, for nobody yet. */
  presenceOf(session: Session): Element
  /** Broadcasts the presence of an available session anew, after what `dressing` adds to it has changed. */
  announce(session: Session): void
  /** Something that other features may use, for the domains that this one works for. */
  offer<T>(key: ServiceKey<T>, value: T): void
  /** What a feature offers for that domain; undefined where none does. To be asked when it is needed: features are attached in no order. */
  find<T>(key: ServiceKey<T>, domain: string): T | undefined
  /** All that features offer under one key for that domain. */
  all<T>(key: ServiceKey<T>, domain: string): readonly T[]
  /** Gives the presence of the account's sessions to somebody (all resources, or the one named), or says goodbye in their name. */
  sendPresence(account: OnlineAccount, to: Jid, goodbye: boolean): void
  /** Asks for somebody's presence in the name of an account's sessions, as at the log-in (RFC 6121 §4.3). */
  probe(account: OnlineAccount, contact: Jid): void
  /** Sends a stanza whose `from` and `to` are set, as if `origin` had. Rejects with the StanzaError that the sender would be told. */
  route(stanza: Element, origin: Origin): Promise<void>
  /** The same for those who send much: throws at once, and answers a promise only where something is waited for. */
  pass(stanza: Element, origin: Origin): void | Promise<void>
  /** Tells the hook of that name. */
  tellMentioned(event: AccountEvent): void
}

/** Chat, where features and endpoints find it. */
export interface Chat {
  /** True for the domains of accounts and of services: those that other servers may send to. */
  isServed(domain: string): boolean
  /** Set for a domain of guests (XEP-0175). */
  guests(domain: string): GuestTerms | undefined
  /** False where people of other servers do not write to whoever has that address now: guests, unless they may write to them. */
  isReachable(to: Jid): boolean
  /** True for the domains whose accounts chat here. */
  isLocal(domain: string): boolean
  /** The domains of services below one of accounts: `rooms.example.org` ... */
  servicesBelow(domain: string): readonly string[]
  /** The host, for one feature: what it registers goes with its scope. */
  host(scope: Scope): Host
  /** The stream features to offer at this stage, beyond those of the stream itself. */
  streamFeatures(stage: StreamStage): readonly Element[]
  /** Grows when `streamFeatures` or `inlineOffers` may have changed. */
  readonly offersRevision: number
  /**
   * Binds a resource (RFC 6120 §7): the one asked for, or one of our making. A session that has it already is closed with `conflict` (§7.7.2.2).
   * The endpoint gives what arrives to `take` and must call `disconnected` when the stream is over.
   * @throws StanzaError bad-request or resource-constraint
   */
  bind(account: Account, resource: string | undefined, client: BindingClient): Session
  /**
   * Takes a stanza from a client. What goes wrong with it is told to the client; only a StreamError passes through, and ends the stream.
   * A promise is returned where the next stanza has to wait; a message that waits only to be safe is underway.
   */
  take(session: Session, stanza: Element): void | Promise<void> | Underway
  /** True for a client's message that may be taken while others of it are underway. */
  mayFollow(message: Element): boolean
  /**
   * Takes a stanza that came from another server; `from` is of a domain that the server has proved to be, `to` of one of ours. What goes wrong with it is told to the
   * origin. A promise is returned where the next stanza has to wait.
   */
  receive(stanza: Element, origin: Origin): void | Promise<void>
  /** Tells the origin of a stanza, later than the hooks could, that it was not delivered. */
  refuse(stanza: Element, origin: Origin, error: StanzaError): void
  /** Answers an IQ request of somebody who has not logged in; undefined where nobody knows it. @throws StanzaError */
  early(request: Element, stranger: Stranger): Element | undefined | Promise<Element | undefined>
  /** Takes what is no stanza; false where nobody knows it. */
  nonza(session: Session, element: Element): boolean | Promise<boolean>
  /** Takes what is no stanza from a client that has no resource yet, see `UnboundHandler`; undefined where nobody knows it. */
  unbound(account: Account, element: Element, client: BindingClient): Promise<Session | undefined> | undefined
  /** What clients may ask for together with a login (XEP-0388 `<inline/>`). */
  inlineOffers(host: string): readonly Element[]
  /** What a login asks for in place of a resource, to be given to `unbound`. */
  inlineWish(host: string, authenticate: Element): Element | undefined
  /** Does what came with the wish for a resource; answers what the client is told of it. */
  inlineBound(session: Session, bind: Element): Promise<readonly Element[]>
  /** A stream of the session's is over; `broken`: without a goodbye of either side. The session is over too, unless its client may come back. */
  disconnected(session: Session, wire: Wire, broken: boolean): void
  /** The session is over, for whatever reason. Safe to call twice. */
  end(session: Session): void
}

/** A client that binds a resource. */
export interface BindingClient {
  /** As in the log. */
  readonly id: string
  readonly wire: Wire
  /** The language of its stream. */
  readonly lang?: string | undefined
  /** What it says of itself. */
  readonly userAgent?: UserAgent | undefined
}

export const Chat = serviceKey<Chat>('chat')

/** A chat feature that is attached. It is taken off by its scope. */
export interface ChatFeature {
  readonly name: string
}

/** Everything that chat can do beyond the core. */
export const features = defineFamily<ChatFeature>('features', 'what chat can do')

/** Declares a chat feature in one expression. */
export function chatFeature<Schema extends GenericSchema>(feature: {
  /** The name an administrator writes in the config. */
  readonly name: string
  /** One line for the reference page. */
  readonly summary: string
  readonly config: Schema
  /** Registers what the feature offers and hooks. What it throws makes the configuration fail to start. */
  attach(host: Host, config: InferOutput<Schema>, scope: Scope): void | Promise<void>
}): AnyModule<ChatFeature> {
  return defineModule({
    family: features,
    name: feature.name,
    summary: feature.summary,
    config: feature.config,
    async create(config, scope) {
      await feature.attach(scope.use(Chat).host(scope), config, scope)
      return { name: feature.name }
    },
  })
}
