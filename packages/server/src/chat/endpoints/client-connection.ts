// RFC 6120: a client's stream and its session, whatever carries them

import {
  DEFAULT_PARSER_LIMITS,
  type CloseReason,
  el,
  type Element,
  FeatureTexts,
  type Jid,
  NS,
  type ReaderLimits,
  type Sasl2Handlers,
  ServerStream,
  type ServerStreamHandlers,
  type ServerStreamLimits,
  type ServerStreamOptions,
  StreamError,
  Underway,
  type UserAgent,
} from '@aviso/xmpp'
import type { Duplex } from 'node:stream'
import type { Identity, ServerMechanism } from '@aviso/sasl'
import * as v from 'valibot'
import { type Account, Accounts, type LoginContext } from '../../accounts/contracts.ts'
import { randomWord } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import { duration, size } from '../../kernel/units.ts'
import {
  type ChannelBindings,
  type Connection,
  Limits,
  type Session as NetSession,
  type TlsFacts,
} from '../../net/contracts.ts'
import { type BindingClient, Chat } from '../core/contracts.ts'
import type { Session } from '../core/session.ts'
import { shutDown } from './shut-down.ts'
import { Pace } from './pace.ts'
import { ClientLogin, type LoginConnection } from './sasl2.ts'

/** Settings of every endpoint for clients. */
export const clientSettings = {
  'max-stanza': v.pipe(size('256KiB'), v.description('the biggest stanza that a client may send')),
  'max-stanza-before-login': v.pipe(size('10KiB'), v.description('the same for somebody who has not logged in')),
  'max-depth': v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(8), v.description('how deep elements may be nested')),
    DEFAULT_PARSER_LIMITS.depth,
  ),
  'max-write-buffer': v.pipe(
    size('4MiB'),
    v.description('how much may wait for a client that does not read; beyond it the client is cut off'),
  ),
  'login-timeout': v.pipe(
    duration('60s'),
    v.description('how long a client may take from connecting to being logged in'),
  ),
  sasl2: v.optional(
    v.pipe(v.boolean(), v.description('offers clients to log in and bind in one round trip (XEP-0388, XEP-0386)')),
    true,
  ),
  'downgrade-protection': v.optional(
    v.pipe(
      v.boolean(),
      v.description(
        'signs the offered mechanisms with the password, so that clients see when somebody in the middle took the better ones away (XEP-0474 from 0.4 on; clients of its older drafts refuse to log in)',
      ),
    ),
    true,
  ),
}
const clientConfig = v.strictObject({ ...clientSettings, 'require-tls': v.boolean() })
type Config = v.InferOutput<typeof clientConfig>

/** What carries a client's stream. */
export interface Carrier {
  readonly connection: Pick<Connection, 'id' | 'remoteAddress' | 'log'>
  readonly socket: Duplex
  readonly secure: boolean
  readonly starttls?: ServerStreamOptions['starttls'] | undefined
  /** See `ServerStreamOptions`. */
  readonly messages?: boolean
  /** What a password can be bound to; made once: TLS takes its time for it. */
  channelBinding?(): ChannelBindings | undefined
  /** What the client has shown in the TLS handshake. */
  certificate?(): TlsFacts['clientCertificate']
}

/** What all connections of an endpoint have in common. */
export class Terms {
  readonly config: Config
  readonly accounts: Accounts
  readonly chat: Chat
  /** By account. */
  readonly pace: Pace
  readonly streamLimits: Partial<ServerStreamLimits>
  /** For what is read before a stream sees it. */
  readonly readerLimits: ReaderLimits
  readonly scope: Scope
  readonly featureTexts = new FeatureTexts()
  readonly streamId: () => string

  constructor(config: Config, scope: Scope) {
    this.config = config
    this.accounts = scope.use(Accounts)
    this.chat = scope.use(Chat)
    this.pace = new Pace(scope.find(Limits), scope.clock, 'c2s')
    this.scope = scope
    this.streamLimits = {
      stanzaBytes: config['max-stanza'],
      unauthenticatedStanzaBytes: config['max-stanza-before-login'],
      depth: config['max-depth'],
      outgoingBytes: config['max-write-buffer'],
    }
    this.readerLimits = { ...DEFAULT_PARSER_LIMITS, depth: config['max-depth'] }
    this.streamId = () => randomWord(scope.random, 20)
  }
}

/** One client's connection: from SASL to its last stanza. */
export class ClientConnection implements ServerStreamHandlers, LoginConnection, NetSession {
  readonly #terms: Terms
  readonly #carrier: Carrier
  readonly #connection: Carrier['connection']
  readonly stream: ServerStream
  readonly sasl2: Sasl2Handlers | undefined
  #account: Account | undefined
  #bindings: ChannelBindings | undefined
  /** What is offered in the clear, or over TLS: asked for several times a login. */
  #offer: { readonly secure: boolean; readonly mechanisms: readonly string[] } | undefined
  #session: Session | undefined

  constructor(terms: Terms, carrier: Carrier) {
    const { config, scope, accounts } = terms
    const { connection, starttls, messages = false } = carrier
    this.#carrier = carrier
    this.#terms = terms
    this.#connection = connection
    this.sasl2 = config.sasl2 ? new ClientLogin(this) : undefined
    this.stream = new ServerStream(
      {
        socket: carrier.socket,
        secure: carrier.secure,
        messages,
        streamId: terms.streamId,
        defaultHost: accounts.domains()[0] ?? 'localhost',
        ...(starttls && { starttls }),
        limits: terms.streamLimits,
        featureTexts: terms.featureTexts,
        timers: scope.clock,
        negotiationTimeout: config['login-timeout'],
      },
      this,
    )
  }

  /** See net's `Session`. */
  shutdown(): Promise<void> {
    return shutDown(this.stream, this.stream)
  }

  // ServerStreamHandlers

  isServed(host: string): boolean {
    return this.#terms.chat.isLocal(host)
  }

  mechanisms(stream: ServerStream): readonly string[] {
    const { accounts, config } = this.#terms
    const { secure } = stream
    if (!secure && config['require-tls']) return []
    if (this.#offer?.secure !== secure) this.#offer = { secure, mechanisms: accounts.mechanisms(this.#context(stream)) }
    return this.#offer.mechanisms
  }

  begin(mechanism: string): ServerMechanism | undefined {
    if (!this.mechanisms(this.stream).includes(mechanism)) return undefined
    return this.#terms.accounts.begin(mechanism, this.context())
  }

  /** What is known of the login that comes. */
  context(): LoginContext {
    const offered = this.mechanisms(this.stream)
    const announced = this.#terms.config['downgrade-protection']
      ? { mechanisms: offered, bindings: this.#announcedBindings(offered) }
      : undefined
    return this.#context(this.stream, announced)
  }

  async authenticated(identity: Identity): Promise<void> {
    await this.welcome(identity)
  }

  // LoginConnection

  get chat(): Chat {
    return this.#terms.chat
  }

  get accounts(): Accounts {
    return this.#terms.accounts
  }

  get scope(): Scope {
    return this.#terms.scope
  }

  client(userAgent?: UserAgent): BindingClient {
    return { id: this.#connection.id, wire: this.stream, lang: this.stream.lang, userAgent }
  }

  use(session: Session): void {
    this.#session = session
    const { account } = session.account
    // A guest who goes on as the one that he was before.
    if (this.#account !== undefined && this.#account.id !== account.id) this.#terms.accounts.guests.leave(this.#account)
    this.#account = account
    // Nobody logs in over this connection any more.
    this.#bindings = undefined
    this.#offer = undefined
    this.#connection.log.debug({ account: session.account.bare, jid: session.full }, 'bound')
    if (this.stream.state === 'closed') this.#terms.chat.disconnected(session, this.stream, true)
  }

  async welcome(identity: Identity): Promise<Account> {
    const account = await this.#terms.accounts.byAddress(identity.authcid)
    if (account === undefined || account.disabled) throw new StreamError('not-authorized', 'this account is gone')
    // The stream is between the account's own domain and its client.
    if (account.domain !== this.stream.host)
      throw new StreamError('not-authorized', 'this account is not of this domain')
    this.#account = account
    return account
  }

  features(stream: ServerStream): readonly Element[] {
    const authenticated = this.#account !== undefined
    const features = this.#terms.chat.streamFeatures({
      host: stream.host,
      authenticated,
      secure: stream.secure,
      session: this.#session,
    })
    const bindings = authenticated ? undefined : this.#announcedBindings(this.mechanisms(stream))
    return bindings === undefined ? features : [...features, channelBindings(bindings)]
  }

  featuresKey(stream: ServerStream): string | undefined {
    // What is offered to a session depends on the session.
    if (this.#session !== undefined) return undefined
    const { offersRevision } = this.#terms.chat
    if (this.#account !== undefined) return `${offersRevision} of an account`
    const mechanisms = this.mechanisms(stream)
    return `${offersRevision} ${mechanisms.join()} ${this.#announcedBindings(mechanisms)?.join() ?? 'none'}`
  }

  async bind(resource: string | undefined, stream: ServerStream): Promise<Jid> {
    const { accounts, chat } = this.#terms
    // Asked again: the password may have been changed between the log-in and now.
    const account = this.#account === undefined ? undefined : await accounts.byId(this.#account.id)
    if (account === undefined || account.disabled || stream.state === 'closed')
      throw new StreamError('not-authorized', 'this account is gone')
    const session = chat.bind(account, resource, this.client())
    this.use(session)
    return session.jid
  }

  mayFollow(message: Element): boolean {
    return this.#terms.chat.mayFollow(message)
  }

  stanza(stanza: Element): void | Promise<void> | Underway {
    const session = this.#session
    if (session === undefined) throw new StreamError('not-authorized')
    const { pace, chat } = this.#terms
    const waits = pace.admit(session.account.account.id, stanza, () => this.#goesOn(session))
    if (waits === undefined) return chat.take(session, stanza)
    return waits.then((goesOn) => {
      const taken = goesOn ? chat.take(session, stanza) : undefined
      return taken instanceof Underway ? taken.done : taken
    })
  }

  early(request: Element, stream: ServerStream): Element | undefined | Promise<Element | undefined> {
    return this.#terms.chat.early(request, {
      id: this.#connection.id,
      host: stream.host,
      remoteAddress: this.#connection.remoteAddress,
      stream: this,
    })
  }

  nonza(element: Element): boolean | Promise<boolean> {
    if (this.#session !== undefined) return this.#terms.chat.nonza(this.#session, element)
    return this.#account !== undefined && this.#unbound(this.#account.id, element)
  }

  /** What comes in place of a resource: a session of before may go on here. */
  async #unbound(id: string, element: Element): Promise<boolean> {
    const { accounts, chat } = this.#terms
    const stream = this.stream
    // As for a new resource.
    const account = await accounts.byId(id)
    if (account === undefined || account.disabled) throw new StreamError('not-authorized', 'this account is gone')
    const pending = stream.state === 'authenticated' ? chat.unbound(account, element, this.client()) : undefined
    if (pending === undefined) return false
    const session = await pending
    if (session === undefined) return true
    this.use(session)
    if (stream.identity !== undefined && !isClosed(stream)) stream.authenticate(stream.identity, session.jid)
    return true
  }

  closed(reason: CloseReason): void {
    const { error } = reason
    // XEP-0198 §12: only a client that closes its stream ends its session. One that the server sends away comes back.
    const { by } = reason
    const broken =
      by === 'lost' || (by === 'error' && error instanceof StreamError && error.condition === 'system-shutdown')
    if (this.#session !== undefined) this.#terms.chat.disconnected(this.#session, this.stream, broken)
    else if (this.#account !== undefined) this.#terms.accounts.guests.leave(this.#account)
    if (error instanceof StreamError && error.condition === 'internal-server-error')
      this.#connection.log.error({ err: error.cause ?? error, account: this.#account?.address }, 'the stream failed')
    else this.#connection.log.debug({ by: reason.by, why: error?.message, account: this.#account?.address }, 'closed')
  }

  /** A stanza that waited is not handled where its stream was resumed elsewhere: there it comes again. */
  #goesOn(session: Session): boolean {
    return !session.over && this.stream.state !== 'closed'
  }

  /** Made once: TLS takes its time for it. */
  #channelBinding(): ChannelBindings | undefined {
    this.#bindings ??= this.#carrier.channelBinding?.()
    return this.#bindings
  }

  /** The types of channel binding that are announced (XEP-0440); undefined where none can be used. */
  #announcedBindings(mechanisms: readonly string[]): readonly string[] | undefined {
    return mechanisms.some((name) => name.endsWith('-PLUS')) ? [...(this.#channelBinding()?.keys() ?? [])] : undefined
  }

  #context(stream: ServerStream, announced?: LoginContext['announced']): LoginContext {
    const { id, remoteAddress } = this.#connection
    const carrier = this.#carrier
    return {
      protocol: 'c2s',
      session: id,
      remoteAddress,
      secure: stream.secure,
      domain: stream.host,
      guests: this.#terms.chat.guests(stream.host),
      announced,
      channelBinding: () => this.#channelBinding(),
      certificate: () => carrier.certificate?.(),
    }
  }
}

const isClosed = (stream: ServerStream): boolean => stream.state === 'closed'

const channelBindings = (types: readonly string[]): Element =>
  el('sasl-channel-binding', { xmlns: NS.saslChannelBinding }, ...types.map((type) => el('channel-binding', { type })))
