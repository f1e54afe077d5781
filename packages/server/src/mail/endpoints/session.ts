// What the endpoints smtp and submission have in common: connections become sessions of the smtp package, their transactions pass through a pipeline.

import { parseMailAddress, type MailAddress } from '@aviso/mime'
import {
  type Mailbox,
  type Recipient,
  type ServerKind,
  type SessionHandler,
  SmtpError,
  SmtpServer,
  type SmtpSession,
} from '@aviso/smtp'
import type { Duplex } from 'node:stream'
import * as v from 'valibot'
import { type Account, Accounts } from '../../accounts/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'
import { type Bound, type Connection, Limits, Network } from '../../net/contracts.ts'
import { Tarpit } from '../../net/tarpit.ts'
import type { Client } from '../pipeline/contracts.ts'
import { Findings } from '../pipeline/findings.ts'
import { Message } from '../pipeline/message.ts'
import type { Passage } from '../pipeline/passage.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import { MailSettings } from '../settings.ts'
import { loginContext } from './login.ts'
import { Logins } from './logins.ts'

export interface SmtpEndpoint {
  /** `smtp` or `submission`: for logs, metrics and limits. */
  readonly protocol: string
  readonly kind: ServerKind
  readonly pipeline: Pipeline
  /** Addresses to listen on with STARTTLS, and with TLS from the start. */
  readonly listen: readonly string[]
  readonly listenTls: readonly string[]
  /** Lets clients log in; strangers on the smtp endpoint have nothing to log in for. */
  readonly login: boolean
  readonly recipients: number
  /** What becomes of CR and LF that stand alone in a message. */
  readonly bareLineEndings: 'reject' | 'normalise'
}

/** The setting `bare-line-endings` of both endpoints. */
export const bareLineEndings = v.optional(
  v.pipe(
    v.picklist(['reject', 'normalise']),
    v.description(
      'a mail with CR or LF alone is refused, or gets proper line ends; the end of the data is strict either way',
    ),
  ),
  'reject',
)

/** Listens until the scope closes. */
export async function listenSmtp(scope: Scope, endpoint: SmtpEndpoint): Promise<readonly Bound[]> {
  const network = scope.use(Network)
  const server = new SmtpHouse(scope, endpoint)
  const bound: Bound[] = []
  for (const [addresses, tls] of [
    [endpoint.listen, 'starttls'],
    [endpoint.listenTls, 'implicit'],
  ] as const)
    for (const address of addresses)
      bound.push(
        await network.listen(scope, {
          protocol: endpoint.protocol,
          address,
          tls,
          serve: (connection) => server.serve(connection),
        }),
      )
  return bound
}

class SmtpHouse {
  readonly scope: Scope
  readonly endpoint: SmtpEndpoint
  readonly accounts: Accounts
  readonly limits: Limits
  readonly tarpit: Tarpit
  readonly logins: Logins
  readonly #server: SmtpServer
  /** The connection under a session's first socket. */
  readonly #connections = new WeakMap<Duplex, Connection>()
  readonly #bySession = new WeakMap<SmtpSession, Connection>()

  constructor(scope: Scope, endpoint: SmtpEndpoint) {
    const settings = scope.use(MailSettings)
    this.scope = scope
    this.endpoint = endpoint
    this.accounts = scope.use(Accounts)
    this.limits = scope.use(Limits)
    this.tarpit = scope.use(Tarpit)
    this.logins = new Logins(scope)
    this.#server = new SmtpServer({
      kind: endpoint.kind,
      hostname: settings.hostname,
      limits: { messageSize: settings.maxMessageSize, recipients: endpoint.recipients },
      requireAuth: endpoint.login,
      bareLineEndings: endpoint.bareLineEndings,
      // Until IMAP can give such a message out again (BINARY), it is not taken in.
      extensions: { binaryMime: false },
      insecureAuth: true, // what is offered without TLS, and to whom, the accounts room decides
      startTls: (_socket, session) => this.#connection(session).startTls(),
      ...(endpoint.login ? { mechanisms: (session) => this.#mechanisms(session) } : {}),
      handler: (session) => new Policy(this, session, this.#meet(session)),
      onError: (error, session, command) =>
        this.#connection(session).log.error({ err: error, command }, 'a command failed'),
    })
  }

  serve(connection: Connection) {
    this.#connections.set(connection.socket, connection)
    const session = this.#server.accept(connection.socket, {
      peer: { address: connection.remoteAddress, port: connection.remotePort },
      secure: connection.tls !== undefined,
    })
    return { shutdown: () => this.#server.end(session) }
  }

  /** Ends a session politely. */
  end(session: SmtpSession): void {
    void this.#server.end(session)
  }

  #meet(session: SmtpSession): Connection {
    const connection = this.#connections.get(session.socket)
    if (connection === undefined) throw new Error('a session without a connection')
    this.#bySession.set(session, connection)
    return connection
  }

  #connection(session: SmtpSession): Connection {
    return this.#bySession.get(session) ?? this.#meet(session)
  }

  #mechanisms(session: SmtpSession) {
    const context = loginContext(this.endpoint.protocol, this.#connection(session))
    return this.accounts.mechanisms(context).map((name) => ({
      name,
      create: () => {
        const exchange = this.accounts.begin(name, context)
        if (exchange === undefined) throw new SmtpError(504, '5.5.4', `The mechanism ${name} is not offered now`)
        return exchange
      },
    }))
  }
}

/** The policy of one session: who may say what. */
class Policy implements SessionHandler {
  readonly #house: SmtpHouse
  readonly #session: SmtpSession
  readonly #connection: Connection
  #passage: Passage | undefined
  #leave: (() => void) | undefined
  readonly #findings = new Findings()

  constructor(house: SmtpHouse, session: SmtpSession, connection: Connection) {
    this.#house = house
    this.#session = session
    this.#connection = connection
  }

  mail(envelope: Parameters<SessionHandler['mail']>[0]): Promise<void> {
    return this.#slowed(() => this.#mail(envelope))
  }

  rcpt(recipient: Recipient): Promise<void> {
    return this.#slowed(() => this.#inProgress().recipient(this.#recipient(recipient.path), recipient.parameters))
  }

  data(_envelope: unknown, body: { readonly bytes: Uint8Array }): Promise<void> {
    const passage = this.#inProgress()
    this.#passage = undefined
    return this.#slowed(async () => void (await passage.data(Message.of(body.bytes))))
  }

  async #mail(envelope: Parameters<SessionHandler['mail']>[0]): Promise<void> {
    const { protocol, pipeline } = this.#house.endpoint
    if (!this.#house.limits.take(`${protocol}-mails`, this.#connection.remoteAddress))
      throw new SmtpError(451, '4.7.0', 'Too many mails from your address, please try again later')
    const sender = envelope.reversePath === null ? null : address(envelope.reversePath)
    this.#passage = await pipeline.begin(await this.#client(), sender, envelope.parameters)
  }

  reset(): void {
    this.#passage?.abort()
    this.#passage = undefined
  }

  close(): void {
    this.#leave?.()
    this.reset()
  }

  /** A stranger who is refused for good, again and again, waits longer and longer for the answer. */
  async #slowed<T>(step: () => T | Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (error) {
      if (error instanceof SmtpError && !error.temporary && this.#session.identity === undefined)
        await this.#house.tarpit.error(this.#connection.remoteAddress)
      throw error
    }
  }

  async #client(): Promise<Client> {
    const { id, log, remoteAddress, tls } = this.#connection
    return {
      session: id,
      log,
      protocol: this.#house.endpoint.protocol,
      remoteAddress,
      hello: this.#session.hello ?? '',
      extended: this.#session.extended,
      tls,
      account: await this.#account(),
      once: (finding, make) => this.#findings.once(finding, make),
    }
  }

  /** Who logged in: looked up for each mail, as accounts can be disabled meanwhile. */
  async #account(): Promise<Account | undefined> {
    const { identity } = this.#session
    if (identity === undefined) return undefined
    const account = await this.#house.accounts.byAddress(identity.authcid)
    if (account === undefined)
      throw new SmtpError(535, '5.7.13', `The account ${identity.authcid} can no longer be used`)
    this.#leave ??= this.#house.logins.enter(account.id, () => this.#house.end(this.#session))
    return account
  }

  #inProgress(): Passage {
    if (this.#passage === undefined) throw new SmtpError(503, '5.5.1', 'MAIL comes first')
    return this.#passage
  }

  #recipient(path: Mailbox): MailAddress {
    if (path.domain !== '') return address(path)
    // RFC 5321 §4.5.1: postmaster without a domain is ours.
    const [domain] = this.#house.accounts.domains()
    if (domain === undefined) throw new SmtpError(550, '5.1.1', 'No domain is served here yet')
    return address({ ...path, address: `${path.localPart}@${domain}` })
  }
}

function address(path: Mailbox): MailAddress {
  const parsed = parseMailAddress(path.address)
  if (parsed === undefined) throw new SmtpError(553, '5.1.3', `<${path.address}> is no mail address`)
  return parsed
}
