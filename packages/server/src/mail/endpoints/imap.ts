// RFC 9051 and RFC 3501: reading mail

import {
  BackendError,
  DEFAULT_LIMITS,
  type ImapLimits,
  ImapServerSession,
  LiteralBudget,
  type MailAccount,
  type SaslMechanisms,
} from '@aviso/imap'
import type { Identity } from '@aviso/sasl'
import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { defineModule } from '../../kernel/module.ts'
import type { Scope } from '../../kernel/scope.ts'
import { duration, size } from '../../kernel/units.ts'
import { listenAddress } from '../../net/addresses.ts'
import { type Bound, type Connection, endpoints, Network, type Session } from '../../net/contracts.ts'
import { proxyProtocol } from '../../net/proxy-protocol.ts'
import { Mailboxes } from '../mailboxes/mailboxes.ts'
import { MailSettings } from '../settings.ts'
import { loginContext } from './login.ts'
import { Logins } from './logins.ts'
import { EventLoopStrain } from './strain.ts'

const count = (standard: number, description: string) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.description(description)), standard)

export const imap = defineModule({
  family: endpoints,
  name: 'imap',
  summary: 'Lets mail programs read and file mail.',
  config: v.strictObject({
    listen: v.optional(
      v.pipe(
        v.array(listenAddress),
        v.description('where to listen for clients that begin in the clear and use STARTTLS'),
      ),
      ['[::]:143'],
    ),
    'listen-tls': v.optional(v.pipe(v.array(listenAddress), v.description('where to listen with TLS from the start')), [
      '[::]:993',
    ]),
    'idle-timeout': v.pipe(
      duration('31m'),
      v.description('how long a client may stay silent; RFC 9051 asks for 30 minutes at least'),
    ),
    'login-timeout': v.pipe(
      duration('60s'),
      v.description('how long a client may take for a command before it has logged in'),
    ),
    'failed-logins': count(5, 'after so many failed logins the connection is closed'),
    'bad-commands': count(20, 'after so many commands that are none the connection is closed'),
    'max-line': v.pipe(size('64KiB'), v.description('the longest command that is taken, literals apart')),
    'max-literal': v.pipe(
      size('256KiB'),
      v.description('how much a command may have in literals, messages of APPEND apart'),
    ),
    'append-memory': v.pipe(
      size('256MiB'),
      v.description('how much of long messages all clients may be appending at one time; who comes then waits'),
    ),
    'append-messages': count(1000, 'messages of one APPEND (MULTIAPPEND, RFC 3502)'),
    'search-contexts': count(16, 'searches of a session that are kept up to date (CONTEXT, RFC 5267)'),
    'watched-mailboxes': count(5000, 'mailboxes that a session may have watched (NOTIFY, RFC 5465)'),
    'save-limit': v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1000),
        v.description(
          'how many messages one COPY or APPEND may save (SAVELIMIT, RFC 9738), where message-limit does not say it; without it all',
        ),
      ),
    ),
    'message-limit': v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1000),
        v.description(
          'how many messages one command may work on (MESSAGELIMIT, RFC 9738): programs that know it ask for the rest, others may miss some; without it all',
        ),
      ),
    ),
    'refuse-8bit-headers': v.optional(
      v.pipe(
        v.boolean(),
        v.description(
          'refuses messages with 8-bit characters in their header from programs that have not enabled UTF8=ACCEPT, as RFC 9755 §4 asks; programs that carry over old mail then fail to',
        ),
      ),
      false,
    ),
    'proxy-protocol': proxyProtocol,
  }),

  async create(config, scope) {
    const network = scope.use(Network)
    const house = new ImapHouse(scope, {
      limits: {
        idleTimeout: config['idle-timeout'],
        loginTimeout: config['login-timeout'],
        failedLogins: config['failed-logins'],
        badCommands: config['bad-commands'],
        line: config['max-line'],
        literal: config['max-literal'],
        // Who has not logged in may never send more than who has.
        lineBeforeLogin: Math.min(DEFAULT_LIMITS.lineBeforeLogin, config['max-line']),
        literalBeforeLogin: Math.min(DEFAULT_LIMITS.literalBeforeLogin, config['max-literal']),
        appendMessages: config['append-messages'],
        searchContexts: config['search-contexts'],
        watched: config['watched-mailboxes'],
        saveLimit: config['save-limit'],
        messageLimit: config['message-limit'],
      },
      appendMemory: config['append-memory'],
      refuse8BitHeaders: config['refuse-8bit-headers'],
    })
    const bound: Bound[] = []
    for (const [addresses, tls] of [
      [config.listen, 'starttls'],
      [config['listen-tls'], 'implicit'],
    ] as const)
      for (const address of addresses)
        bound.push(
          await network.listen(scope, {
            protocol: 'imap',
            address,
            tls,
            alpn: ['imap'],
            clientCertificates: scope.use(Accounts).clientCertificates('imap'),
            proxies: config['proxy-protocol'],
            serve: (connection) => house.serve(connection),
          }),
        )
    return { bound }
  },
})

interface Policy {
  readonly limits: Partial<ImapLimits>
  /** Octets. */
  readonly appendMemory: number
  readonly refuse8BitHeaders: boolean
}

/** What all IMAP sessions of one generation have in common. */
class ImapHouse {
  readonly #accounts: Accounts
  readonly #logins: Logins
  readonly #mailboxes: Mailboxes
  readonly #hostname: string
  readonly #policy: Policy
  readonly #literals: LiteralBudget
  readonly #strain: EventLoopStrain
  readonly #count: (command: string, outcome: string) => void

  constructor(scope: Scope, policy: Policy) {
    this.#accounts = scope.use(Accounts)
    this.#logins = new Logins(scope)
    this.#mailboxes = scope.use(Mailboxes)
    this.#hostname = scope.use(MailSettings).hostname
    this.#policy = policy
    this.#literals = new LiteralBudget(policy.appendMemory)
    this.#strain = new EventLoopStrain(scope)
    const counter = scope.metrics.counter('aviso_imap_commands_total', 'IMAP commands by name and outcome', [
      'command',
      'outcome',
    ])
    this.#count = (command, outcome) => counter.inc({ command, outcome })
  }

  serve(connection: Connection): Session {
    const { log, remoteAddress } = connection
    const session: ImapServerSession = new ImapServerSession(connection.socket, {
      hostname: this.#hostname,
      id: { name: 'Aviso' },
      limits: this.#policy.limits,
      refuse8BitHeaders: this.#policy.refuse8BitHeaders,
      literalBudget: this.#literals,
      busy: () => this.#strain.late,
      secure: connection.tls !== undefined,
      remoteAddress,
      startTls: () => connection.startTls(),
      plaintextLogin: this.#accounts.mechanisms(loginContext('imap', connection)).includes('PLAIN'),
      mechanisms: () => this.#mechanisms(connection),
      login: (user, password) => this.#login(connection, user, password),
      open: (identity) => this.#open(identity, session),
      count: this.#count,
      log: (event, fields) => (fields['err'] === undefined ? log.debug(fields, event) : log.error(fields, event)),
    })
    void session.start()
    return {
      shutdown: async () => {
        void session.shutdown()
        await session.closed
      },
    }
  }

  #mechanisms(connection: Connection): SaslMechanisms {
    const context = loginContext('imap', connection)
    return new Map(
      this.#accounts.mechanisms(context).map((name) => [
        name,
        () => {
          const exchange = this.#accounts.begin(name, context)
          if (exchange === undefined) throw new BackendError('CANNOT', `The mechanism ${name} is not offered now`)
          return exchange
        },
      ]),
    )
  }

  /** LOGIN is SASL PLAIN by another name: the same limits, the same audit line. */
  async #login(connection: Connection, user: string, password: string): Promise<Identity | undefined> {
    const exchange = this.#accounts.begin('PLAIN', loginContext('imap', connection))
    if (exchange === undefined) throw new BackendError('PRIVACYREQUIRED', 'LOGIN needs TLS')
    const step = await exchange.start(Buffer.from(`\0${user}\0${password}`, 'utf8'))
    if (step.kind === 'success') return step.identity
    if (step.kind === 'failure' && step.condition === 'temporary-auth-failure')
      throw new BackendError('UNAVAILABLE', step.text)
    return undefined
  }

  async #open(identity: Identity, session: ImapServerSession): Promise<MailAccount> {
    const account = await this.#accounts.byAddress(identity.authcid)
    if (account === undefined)
      throw new BackendError('CONTACTADMIN', `The account ${identity.authcid} can no longer be used`)
    const leave = this.#logins.enter(account.id, () => void session.shutdown('This login is not valid any more'))
    void session.closed.then(leave)
    this.#mailboxes.expect(account.id)
    return this.#mailboxes.open(account)
  }
}
