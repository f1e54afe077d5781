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
  type ServerStream,
  StanzaError,
  type UserAgent,
} from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import type { Random } from '../../kernel/random.ts'
import { randomWord } from '../../kernel/random.ts'
import type { BindingClient, Chat } from '../core/contracts.ts'
import { resourceFor } from '../core/resources.ts'
import type { Session } from '../core/session.ts'

/** The connection that logs in. */
export interface LoginConnection {
  readonly chat: Chat
  readonly random: Random
  readonly stream: ServerStream
  begin(mechanism: string, userAgent: UserAgent): ServerMechanism | undefined
  /** Looks up who has proved who it is. @throws StreamError */
  welcome(identity: Identity): Promise<Account>
  client(userAgent: UserAgent): BindingClient
  /** From now on the connection is this session's. */
  use(session: Session): void
}

export class ClientLogin implements Sasl2Handlers {
  readonly #connection: LoginConnection

  constructor(connection: LoginConnection) {
    this.#connection = connection
  }

  offer(): ReturnType<Sasl2Handlers['offer']> {
    return { inline: this.#connection.chat.inlineOffers(), others: [] }
  }

  begin({ mechanism, userAgent }: Sasl2Request): ServerMechanism | undefined {
    return this.#connection.begin(mechanism, userAgent)
  }

  async complete(identity: Identity, request: Sasl2Request): Promise<Sasl2End> {
    const { chat, stream } = this.#connection
    const account = await this.#connection.welcome(identity)
    // XEP-0388 §2.3
    if (stream.peer !== undefined && Jid.tryParse(stream.peer)?.bareString !== account.address)
      throw new SaslFailure('invalid-authzid', 'The stream was opened in the name of another.')
    const elements: Element[] = []
    const wish = chat.inlineWish(request.element)
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

  #bind(account: Account, bind: Element, userAgent: UserAgent): Session {
    const { chat, random } = this.#connection
    const resource = resourceFor(bind.childText('tag'), account.id, userAgent.id, () => randomWord(random, 12))
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
