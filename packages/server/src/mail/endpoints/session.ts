// What the endpoints smtp, submission and lmtp have in common: connections become sessions of the smtp package, their transactions pass through a pipeline.

import { parseMailAddress, type MailAddress } from '@aviso/mime'
import type { Identity } from '@aviso/sasl'
import {
  type Extensions,
  type Mailbox,
  type MessageBody,
  type Recipient,
  reply,
  type ServerKind,
  type SessionHandler,
  SmtpError,
  type SmtpReply,
  SmtpServer,
  type SmtpSession,
} from '@aviso/smtp'
import type { Duplex } from 'node:stream'
import * as v from 'valibot'
import { type Account, Accounts } from '../../accounts/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'
import { duration, size } from '../../kernel/units.ts'
import { AddressSet, networkRange } from '../../net/addresses.ts'
import { type Bound, type Connection, Limits, type ListenOptions, Network } from '../../net/contracts.ts'
import { proxyProtocol } from '../../net/proxy-protocol.ts'
import { Tarpit } from '../../net/tarpit.ts'
import type { Client, Recipient as PipelineRecipient } from '../pipeline/contracts.ts'
import { Findings } from '../pipeline/findings.ts'
import { Message } from '../pipeline/message.ts'
import type { Passage } from '../pipeline/passage.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import { MailSettings } from '../settings.ts'
import { MailSpool } from '../spool.ts'
import { loginContext } from './login.ts'
import { Logins } from './logins.ts'

const neighbours = (text: string) => v.optional(v.pipe(v.array(networkRange), v.description(text)), [])

/** The settings that all three endpoints have. */
export const smtpSettings = {
  'bare-line-endings': v.optional(
    v.pipe(
      v.picklist(['reject', 'normalise']),
      v.description(
        'a mail with CR or LF alone is refused, or gets proper line ends; the end of the data is strict either way',
      ),
    ),
    'reject',
  ),
  'max-header-size': v.pipe(size('1MiB'), v.description('the largest header that is taken')),
  'in-memory': v.pipe(
    size('256KiB'),
    v.description(
      'a mail larger than this waits in a file (spool, in the data folder) while it arrives; 0: every mail',
    ),
  ),
  'max-line-length': v.optional(
    v.pipe(
      v.number(),
      v.integer(),
      v.minValue(998),
      v.description('octets of a line in a mail; RFC 5322 allows 998, much of the world sends more'),
    ),
    65_536,
  ),
  'idle-timeout': v.pipe(
    duration('5m'),
    v.minValue(1000),
    v.description('how long a client may take for a command, or between two pieces of a mail (RFC 5321 §4.5.3.2.7)'),
  ),
  'refuse-senders': v.optional(
    v.pipe(
      v.picklist(['at-mail', 'at-recipient']),
      v.description(
        'when a client is told that its sender is refused: at once, or at each RCPT, so that the log tells whom the mail was for',
      ),
    ),
    'at-mail',
  ),
  'log-lines': v.optional(
    v.pipe(
      v.boolean(),
      v.description('log every command and every reply, to look for a fault; mails and passwords are not logged'),
    ),
    false,
  ),
  'proxy-protocol': proxyProtocol,
  xclient: neighbours(
    "addresses and networks of proxies that may say, with Postfix's XCLIENT, whose connection theirs is and who has logged in",
  ),
  xforward: neighbours(
    "addresses and networks of filters and relays that may say, with Postfix's XFORWARD, whom they have a mail from; it is logged",
  ),
}

const settings = v.object(smtpSettings)
type Settings = v.InferOutput<typeof settings>

export interface SmtpEndpoint {
  /** `smtp`, `submission` or `lmtp`: for logs, metrics and limits. */
  readonly protocol: string
  readonly kind: ServerKind
  readonly pipeline: Pipeline
  /** Addresses to listen on, and what is done about TLS there. */
  readonly listen: readonly (readonly [address: string, tls: ListenOptions['tls']])[]
  /** Lets clients log in; strangers on the smtp endpoint have nothing to log in for. */
  readonly login: boolean
  readonly recipients: number
  readonly settings: Settings
  /** What is offered beyond what every session has. */
  readonly extensions?: Pick<Partial<Extensions>, 'deliverBy' | 'futureRelease' | 'priority'>
}

/** Listens until the scope closes. */
export async function listenSmtp(scope: Scope, endpoint: SmtpEndpoint): Promise<readonly Bound[]> {
  const network = scope.use(Network)
  const server = new SmtpHouse(scope, endpoint)
  const bound: Bound[] = []
  for (const [address, tls] of endpoint.listen)
    bound.push(
      await network.listen(scope, {
        protocol: endpoint.protocol,
        address,
        tls,
        proxies: endpoint.settings['proxy-protocol'],
        clientCertificates: endpoint.login ? scope.use(Accounts).clientCertificates(endpoint.protocol) : undefined,
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
    const { hostname, maxMessageSize } = scope.use(MailSettings)
    const { settings } = endpoint
    const proxies = new AddressSet(settings.xclient)
    const relays = new AddressSet(settings.xforward)
    this.scope = scope
    this.endpoint = endpoint
    this.accounts = scope.use(Accounts)
    this.limits = scope.use(Limits)
    this.tarpit = scope.use(Tarpit)
    this.logins = new Logins(scope)
    this.#server = new SmtpServer({
      kind: endpoint.kind,
      hostname,
      limits: {
        messageSize: maxMessageSize,
        headerSize: settings['max-header-size'],
        messageInMemory: settings['in-memory'],
        textLine: settings['max-line-length'],
        idle: settings['idle-timeout'],
        recipients: endpoint.recipients,
      },
      requireAuth: endpoint.login,
      bareLineEndings: settings['bare-line-endings'],
      spool: scope.use(MailSpool),
      trust: ({ address = '' }) => ({ xclient: proxies.has(address), xforward: relays.has(address) }),
      extensions: endpoint.extensions ?? {},
      insecureAuth: true, // what is offered without TLS, and to whom, the accounts room decides
      startTls: (_socket, session) => this.#connection(session).startTls(),
      ...(endpoint.login ? { mechanisms: (session) => this.#mechanisms(session) } : {}),
      handler: (session) => new Policy(this, session, this.#connection(session)),
      ...(settings['log-lines']
        ? {
            onLine: (by, line, session) =>
              this.#connection(session).log.info({ event: 'smtp-line', by, line }, 'a line of SMTP'),
          }
        : {}),
      onError: (error, session, command) =>
        this.#connection(session).log.error({ err: error, command }, 'a command failed'),
    })
  }

  serve(connection: Connection) {
    // Who has said all and closes that half still gets the replies.
    connection.socket.allowHalfOpen = true
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
    const { id, tls } = this.#connection(session)
    const context = loginContext(this.endpoint.protocol, { id, tls, remoteAddress: session.peer.address ?? '' })
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
  /** Why the sender is refused, where that is said at RCPT. */
  #refusal: SmtpError | undefined
  /** Those of the passage, in the order of RCPT. */
  #recipients: (PipelineRecipient | undefined)[] = []
  #leave: (() => void) | undefined
  readonly #findings = new Findings()

  constructor(house: SmtpHouse, session: SmtpSession, connection: Connection) {
    this.#house = house
    this.#session = session
    this.#connection = connection
  }

  mail(envelope: Parameters<SessionHandler['mail']>[0]): Promise<void> {
    return this.#mail(envelope).catch(this.#slow)
  }

  rcpt(recipient: Recipient): Promise<void> {
    return this.#rcpt(recipient).catch(this.#slow)
  }

  data(_envelope: unknown, body: MessageBody): Promise<readonly SmtpReply[] | void> {
    return this.#data(body).catch(this.#slow)
  }

  reset(): void {
    this.#passage?.abort()
    this.#passage = undefined
    this.#refusal = undefined
  }

  close(): void {
    this.#leave?.()
    this.reset()
  }

  /** A stranger who is refused for good, again and again, waits longer and longer for the answer. */
  readonly #slow = async (error: unknown): Promise<never> => {
    const { kind, identity, peer } = this.#session
    if (error instanceof SmtpError && !error.temporary && identity === undefined && kind !== 'lmtp')
      await this.#house.tarpit.error(peer.address ?? '')
    throw error
  }

  async #mail(envelope: Parameters<SessionHandler['mail']>[0]): Promise<void> {
    this.#refusal = undefined
    try {
      await this.#begin(envelope)
    } catch (error) {
      if (!(error instanceof SmtpError) || this.#house.endpoint.settings['refuse-senders'] === 'at-mail') throw error
      this.#refusal = error
    }
  }

  async #begin(envelope: Parameters<SessionHandler['mail']>[0]): Promise<void> {
    const { protocol, pipeline } = this.#house.endpoint
    if (!this.#house.limits.take(`${protocol}-mails`, this.#session.peer.address ?? ''))
      throw new SmtpError(451, '4.7.0', 'Too many mails from your address, please try again later')
    const sender = envelope.reversePath === null ? null : address(envelope.reversePath)
    const { forwarded } = this.#session
    if (forwarded !== undefined) this.#connection.log.info({ event: 'mail-forwarded', ...forwarded }, 'forwarded mail')
    this.#recipients = []
    const { identity } = this.#session
    const account = identity === undefined ? undefined : await this.#account(identity)
    this.#passage = await pipeline.begin(this.#client(account), sender, envelope.parameters, {
      each: this.#session.kind === 'lmtp',
    })
  }

  async #rcpt(recipient: Recipient): Promise<void> {
    if (this.#refusal !== undefined) {
      const { code, message } = this.#refusal
      this.#connection.log.info(
        { event: 'recipient-refused', recipient: recipient.path.address, code, why: message },
        'refused for its sender',
      )
      throw this.#refusal
    }
    const passage = this.#inProgress()
    await passage.recipient(this.#recipient(recipient.path), recipient.parameters)
    this.#recipients.push(passage.recipients.at(-1))
  }

  async #data(body: MessageBody): Promise<readonly SmtpReply[] | void> {
    const passage = this.#inProgress()
    this.#passage = undefined
    const outcomes = await passage.data(Message.from(body.header, body))
    if (this.#session.kind !== 'lmtp') return
    const failures = new Map<PipelineRecipient, SmtpError>()
    for (const { routed, failure } of outcomes)
      if (failure !== undefined && !failures.has(routed.recipient)) failures.set(routed.recipient, failure)
    return this.#recipients.map(
      (recipient) => (recipient && failures.get(recipient)?.reply) ?? reply(250, '2.1.5', 'Delivered'),
    )
  }

  #client(account: Account | undefined): Client {
    const { id, log, tls } = this.#connection
    return {
      session: id,
      log,
      protocol: this.#house.endpoint.protocol,
      remoteAddress: this.#session.peer.address ?? '',
      hello: this.#session.hello ?? '',
      extended: this.#session.extended,
      tls,
      account,
      once: (finding, make) => this.#findings.once(finding, make),
    }
  }

  /** Who logged in: looked up for each mail, as accounts can be disabled meanwhile. */
  async #account(identity: Identity): Promise<Account> {
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
