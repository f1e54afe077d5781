// XEP-0388 and XEP-0386: a client's login, and what it asks for with it

import { type Identity, SaslFailure, type ServerMechanism } from '@aviso/sasl'
import {
  el,
  type Element,
  Jid,
  NS,
  type Sasl2End,
  type Sasl2Handlers,
  type Sasl2Request,
  type Sasl2Task,
  type ServerStream,
  StanzaError,
  type UserAgent,
} from '@aviso/xmpp'
import type { Account, Accounts, LoginContext, UsedToken } from '../../accounts/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'
import { randomWord } from '../../kernel/random.ts'
import type { BindingClient, Chat } from '../core/contracts.ts'
import { resourceFor } from '../core/resources.ts'
import { countOf, isTrue, UPGRADE, upgradeTask } from './sasl2-parts.ts'
import type { Session } from '../core/session.ts'

/** The connection that logs in. */
export interface LoginConnection {
  readonly chat: Chat
  readonly accounts: Accounts
  readonly scope: Scope
  readonly stream: ServerStream
  /** The SASL mechanisms that are offered. */
  mechanisms(stream: ServerStream): readonly string[]
  context(): LoginContext
  /** Looks up who has proved who it is. @throws StreamError */
  welcome(identity: Identity): Promise<Account>
  client(userAgent: UserAgent): BindingClient
  /** From now on the connection is this session's. */
  use(session: Session): void
}

/** One login, from `<authenticate/>` on. */
interface Login {
  readonly context: LoginContext & { readonly began: number }
  /** The token that it was done with. */
  used: UsedToken | undefined
  /** The upgrades that were looked at. */
  readonly upgraded: Set<string>
}

export class ClientLogin implements Sasl2Handlers {
  readonly #connection: LoginConnection
  #login: Login | undefined

  constructor(connection: LoginConnection) {
    this.#connection = connection
  }

  offer(): ReturnType<Sasl2Handlers['offer']> {
    const { accounts, chat, stream } = this.#connection
    const context = this.#connection.context()
    const tokens = accounts.clients.mechanisms(context)
    const upgrades = context.guests === undefined ? accounts.upgrades.offered : []
    const fast = el('fast', { xmlns: NS.fast }, ...tokens.map((name) => el('mechanism', {}, name)))
    return {
      inline: tokens.length === 0 ? chat.inlineOffers(stream.host) : [...chat.inlineOffers(stream.host), fast],
      others: upgrades.map((form) => el('upgrade', { xmlns: NS.saslUpgrade }, `${UPGRADE}${form}`)),
    }
  }

  begin({ mechanism, userAgent, element }: Sasl2Request): ServerMechanism | undefined {
    const { accounts, scope, stream } = this.#connection
    const login: Login = {
      context: { ...this.#connection.context(), client: userAgent, began: scope.clock.now() },
      used: undefined,
      upgraded: new Set(),
    }
    this.#login = login
    const fast = element.child('fast', NS.fast)
    if (fast === undefined)
      return this.#connection.mechanisms(stream).includes(mechanism)
        ? accounts.begin(mechanism, login.context)
        : undefined
    // A token is no password: with any other mechanism it is refused.
    if (!accounts.clients.mechanisms(login.context).includes(mechanism)) return undefined
    const used = (token: UsedToken): void => void (login.used = token)
    const token = { count: countOf(fast), invalidate: isTrue(fast.get('invalidate')), used }
    return accounts.begin(mechanism, { ...login.context, token })
  }

  async task(identity: Identity, { element, mechanism }: Sasl2Request): Promise<Sasl2Task | undefined> {
    const login = this.#login
    // What does not prove that its owner knows the password must not make a form of one.
    if (login === undefined || !(mechanism === 'PLAIN' || mechanism.startsWith('SCRAM-'))) return undefined
    const { accounts } = this.#connection
    for (const wish of element.childrenNamed('upgrade', NS.saslUpgrade)) {
      const name = wish.text().trim()
      if (!name.startsWith(UPGRADE) || login.upgraded.has(name)) continue
      login.upgraded.add(name)
      const form = name.slice(UPGRADE.length)
      if (!accounts.upgrades.offered.includes(form)) continue
      const account = await accounts.byAddress(identity.authcid)
      const upgrade = account && (await accounts.upgrades.begin(account, form, login.context.began))
      if (upgrade !== undefined) return upgradeTask(name, upgrade)
    }
    return undefined
  }

  async complete(identity: Identity, request: Sasl2Request): Promise<Sasl2End> {
    const { accounts, chat, stream } = this.#connection
    const login = this.#login
    this.#login = undefined
    const account = await this.#connection.welcome(identity)
    // XEP-0388 §2.3
    if (stream.peer !== undefined && Jid.tryParse(stream.peer)?.bareString !== account.address)
      throw new SaslFailure('invalid-authzid', 'The stream was opened in the name of another.')
    accounts.clients.seen(account, request.userAgent)
    const elements: Element[] = login === undefined ? [] : await this.#token(account, login, request.element)
    const wish = chat.inlineWish(stream.host, request.element)
    if (wish !== undefined) {
      const session = await chat.unbound(account, wish, this.#connection.client(request.userAgent))
      const answer = stream.takeHeld()
      if (answer !== undefined) elements.push(answer)
      if (session !== undefined) {
        this.#connection.use(session)
        return { jid: session.jid, resumed: true, elements }
      }
    }
    const bind = request.element.child('bind', NS.bind2)
    if (bind === undefined || stream.state === 'closed') return { elements }
    const session = this.#bind(account, bind, request.userAgent)
    elements.push(el('bound', { xmlns: NS.bind2 }, ...(await chat.inlineBound(session, bind))))
    return { jid: session.jid, elements }
  }

  /** A token for the next time (XEP-0484), where there is to be one. */
  async #token(account: Account, { context, used }: Login, authenticate: Element): Promise<Element[]> {
    const wish = authenticate.child('request-token', NS.fast)?.get('mechanism')
    const given = await this.#connection.accounts.clients.give(account, wish, used, context)
    if (given === undefined) return []
    return [el('token', { xmlns: NS.fast, expiry: new Date(given.expires).toISOString(), token: given.token })]
  }

  #bind(account: Account, bind: Element, userAgent: UserAgent): Session {
    const { chat, scope } = this.#connection
    const resource = resourceFor(bind.childText('tag'), account.id, userAgent.id, () => randomWord(scope.random, 12))
    try {
      const session = chat.bind(account, resource, this.#connection.client(userAgent))
      this.#connection.use(session)
      return session
    } catch (error) {
      // There is no way to refuse the resource alone.
      if (error instanceof StanzaError) throw new SaslFailure('temporary-auth-failure', error.message, { cause: error })
      throw error
    }
  }
}
