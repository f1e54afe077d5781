// RFC 5321 (SMTP), RFC 6409 (Submission), RFC 2033 (LMTP): one connection's state machine. What is allowed to whom is the handler's affair.

import type { Duplex } from 'node:stream'
import type { Identity } from '@aviso/sasl'
import type { Extensions } from '../parameters.ts'
import { formatReply, reply, SmtpError, type SmtpReply } from '../reply.ts'
import { TOO_LONG, Wire, WireError } from '../wire.ts'
import { authenticate } from './auth.ts'
import { parseCommand, type Command } from './command.ts'
import type { Forwarded, MechanismOffer, Peer, ServerKind, SmtpSession, Trust } from './contracts.ts'
import { helloReply } from './extensions.ts'
import { Policy } from './policy.ts'
import { Consequence, FOREIGN_VERB, noArgument, notTrusted, OK, outOfSequence, SHUTTING_DOWN } from './replies.ts'
import type { Service } from './service.ts'
import { Transactions } from './transactions.ts'
import { clientPeer, readXclient } from './trusted.ts'

export class Session implements SmtpSession {
  readonly #service: Service
  readonly #wire: Wire
  readonly #trust: Trust
  readonly #transactions: Transactions
  #policy: Policy
  #peer: Peer
  #secure: boolean
  #hello: string | undefined
  #extended = false
  #identity: Identity | undefined
  #mechanism: string | undefined
  #draining = false
  #ending = false
  #errors = 0
  #idleCommands = 0
  #authFailures = 0

  constructor(service: Service, socket: Duplex, peer: Peer, secure: boolean) {
    this.#service = service
    this.#peer = peer
    this.#trust = service.trustOf(peer)
    this.#secure = secure
    this.#policy = new Policy(service, this)
    this.#wire = new Wire(socket, service.clock, service.limits.idle)
    this.#transactions = new Transactions(service, this.#wire, {
      session: this,
      policy: () => this.#policy,
      say: (answer, utf8) => this.#say(answer, utf8),
      bid: (farewell) => this.#bid(farewell),
      mailed: () => {
        this.#idleCommands = 0
      },
    })
  }

  get kind(): ServerKind {
    return this.#service.options.kind
  }
  get peer(): Peer {
    return this.#peer
  }
  get forwarded(): Forwarded | undefined {
    return this.#transactions.forwarded
  }
  get socket(): Duplex {
    return this.#wire.socket
  }
  get secure(): boolean {
    return this.#secure
  }
  get hello(): string | undefined {
    return this.#hello
  }
  get extended(): boolean {
    return this.#extended
  }
  get identity(): Identity | undefined {
    return this.#identity
  }
  get mechanism(): string | undefined {
    return this.#mechanism
  }
  get signal(): AbortSignal {
    return this.#wire.signal
  }

  onClose(listener: () => void): void {
    this.#wire.onClose(listener)
  }

  /** No new transaction: an idle session ends now, one with a transaction when that is over. */
  shutdown(): void {
    this.#draining = true
    if (!this.#transactions.open) this.#wire.interrupt()
  }

  destroy(): void {
    this.#wire.destroy()
  }

  /** Serves the connection to its end. Never rejects. */
  async serve(): Promise<void> {
    try {
      if (!this.#draining) await this.#greet()
      while (!this.#ending && !this.#wire.socket.destroyed) {
        if (this.#draining && !this.#transactions.open) this.#bid(SHUTTING_DOWN)
        else await this.#next()
      }
    } catch (error) {
      this.#failed(error)
    }
    await this.#transactions.abandon()
    await this.#policy.ask('CLOSE', (handler) => handler.close?.())
    this.#wire.close()
  }

  #failed(error: unknown): void {
    if (!(error instanceof WireError)) {
      this.#service.report(error, this, 'SESSION')
      this.#bid(reply(421, '4.3.0', 'Local error, closing the connection'))
    } else if (error.end === 'timeout') {
      this.#bid(reply(421, '4.4.2', 'Timeout, closing the connection'))
    } else if (error.end === 'interrupted') {
      this.#bid(SHUTTING_DOWN)
    } else if (error.end === 'overrun') {
      this.#bid(reply(421, '4.7.0', 'Too much, closing the connection'))
    } else if (error.cause !== undefined) {
      this.#service.report(error.cause, this, 'STARTTLS')
    }
  }

  async #greet(): Promise<void> {
    const { hostname, kind } = this.#service.options
    const refusal = await this.#policy.connect()
    if (refusal !== undefined && refusal.code >= 400) {
      // RFC 5321 §3.1 and §3.8: a greeting is 220 or 554, and 421 may stand anywhere.
      this.#bid({ ...refusal, code: refusal.code >= 500 ? 554 : 421 })
    } else {
      this.#say(reply(220, undefined, `${hostname} ${kind === 'lmtp' ? 'LMTP' : 'ESMTP'} ready`))
    }
  }

  async #next(): Promise<void> {
    const { limits } = this.#service
    const line = await this.#wire.readLine(limits.commandLine, 'AUTH', limits.authLine)
    try {
      if (line === TOO_LONG) throw new SmtpError(500, '5.5.2', 'Line too long')
      const command = parseCommand(line)
      if (this.#service.options.onLine !== undefined) this.#service.heard('client', spoken(command), this)
      if (command.utf8 && !['MAIL', 'RCPT', 'VRFY'].includes(command.verb)) {
        throw new SmtpError(500, '5.5.2', 'This command is ASCII only')
      }
      await this.#execute(command)
    } catch (error) {
      if (!(error instanceof SmtpError)) throw error
      this.#say(error.reply)
      if (!(error instanceof Consequence)) this.#countError()
    }
  }

  async #execute({ verb, argument, utf8 }: Command): Promise<void> {
    switch (verb) {
      case 'EHLO':
      case 'HELO':
      case 'LHLO':
        return this.#greeted(verb, argument)
      case 'MAIL':
        return this.#mail(argument, utf8)
      case 'RCPT':
        return this.#transactions.recipient(argument, utf8, this.#extensions())
      case 'DATA':
        return this.#transactions.data(argument)
      case 'BDAT':
        return this.#transactions.bdat(argument)
      case 'RSET':
        noArgument(verb, argument)
        await this.#transactions.abandon()
        return this.#idle(OK)
      case 'NOOP':
        return this.#idle(OK)
      case 'QUIT':
        noArgument(verb, argument)
        return this.#bid(reply(221, '2.0.0', 'Bye'))
      case 'STARTTLS':
        return this.#startTls(argument)
      case 'AUTH':
        return this.#auth(argument)
      case 'XCLIENT':
        return this.#xclient(argument)
      case 'XFORWARD':
        if (this.#trust.xforward !== true) throw notTrusted(verb)
        this.#transactions.forward(argument)
        return this.#idle(OK)
      case 'VRFY':
        if (argument === '') throw new SmtpError(501, '5.5.4', 'VRFY needs an address')
        if (utf8 && !/ SMTPUTF8$/i.test(argument)) throw new SmtpError(553, '5.6.7', 'This address needs SMTPUTF8')
        return this.#idle(reply(252, '2.0.0', 'Cannot verify, but will take mail for it and try'))
      case 'HELP':
        return this.#idle(
          reply(214, '2.0.0', 'Commands: EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY AUTH STARTTLS (RFC 5321)'),
        )
      case 'EXPN':
      case 'TURN':
      case 'ETRN':
      case 'SEND':
      case 'SOML':
      case 'SAML':
        throw new SmtpError(502, '5.5.1', `${verb} is not implemented`)
      default:
        if (FOREIGN_VERB.test(verb)) return this.#bid(reply(421, '4.7.0', 'This is a mail server'))
        throw new SmtpError(500, '5.5.2', 'Unknown command')
    }
  }

  async #greeted(verb: 'EHLO' | 'HELO' | 'LHLO', argument: string): Promise<void> {
    const { options } = this.#service
    if ((options.kind === 'lmtp') !== (verb === 'LHLO')) {
      throw new SmtpError(
        500,
        '5.5.1',
        options.kind === 'lmtp' ? 'This is LMTP: say LHLO' : 'This is no LMTP: say EHLO',
      )
    }
    const name = argument.split(' ', 1)[0] ?? ''
    if (name === '' || name.length > 255) throw new SmtpError(501, '5.5.4', `${verb} needs your name`)
    await this.#transactions.abandon()
    const [before, extendedBefore] = [this.#hello, this.#extended]
    this.#hello = name
    this.#extended = verb !== 'HELO'
    const answer = await this.#policy.ask(verb, (handler) => handler.hello?.())
    if (answer !== undefined && answer.code >= 400) {
      this.#hello = before
      this.#extended = extendedBefore
      return this.#idle(answer)
    }
    if (!this.#extended) return this.#idle(reply(250, undefined, options.hostname))
    this.#idle(
      helloReply({
        hostname: options.hostname,
        limits: this.#service.limits,
        extensions: this.#extensions(),
        startTls: options.startTls !== undefined && !this.#secure,
        mechanisms: this.#identity === undefined ? this.#mechanisms().map(({ name }) => name) : [],
        trust: this.#trust,
        now: this.#service.date(),
      }),
    )
  }

  #extensions(): Extensions {
    return this.#secure ? this.#service.offeredSecure : this.#service.offered
  }

  /** Without TLS a password travels in the clear, so nothing is offered there unless the operator insists. */
  #mechanisms(): readonly MechanismOffer[] {
    const { mechanisms, insecureAuth } = this.#service.options
    return this.#secure || insecureAuth === true ? (mechanisms?.(this) ?? []) : []
  }

  async #mail(argument: string, utf8: boolean): Promise<void> {
    if (this.#hello === undefined) throw outOfSequence(`Say ${this.kind === 'lmtp' ? 'LHLO' : 'EHLO'} first`)
    return this.#transactions.begin(argument, utf8, this.#extensions(), () => this.#demandLogin())
  }

  #demandLogin(): void {
    const { requireAuth, options } = this.#service
    if (!requireAuth || this.#identity !== undefined) return
    const first = this.#mechanisms().length === 0 && options.startTls !== undefined ? 'STARTTLS' : 'AUTH'
    throw new SmtpError(530, '5.7.0', `Authentication required: ${first} first`)
  }

  /** The connection is another's from here on, who meets a policy of its own. */
  async #xclient(argument: string): Promise<void> {
    if (this.#trust.xclient !== true) throw notTrusted('XCLIENT')
    if (this.#transactions.open) throw outOfSequence('Not within a transaction')
    const client = readXclient(argument)
    await this.#transactions.abandon()
    await this.#policy.ask('CLOSE', (handler) => handler.close?.())
    this.#peer = clientPeer(this.#peer, client)
    this.#hello = client.hello ?? undefined
    this.#extended = client.extended ?? false
    if (client.login !== undefined) {
      this.#identity = client.login === null ? undefined : { authcid: client.login, authzid: undefined }
      this.#mechanism = client.login === null ? undefined : 'XCLIENT'
    }
    this.#policy = new Policy(this.#service, this)
    await this.#greet()
  }

  async #startTls(argument: string): Promise<void> {
    const { startTls } = this.#service.options
    if (startTls === undefined) throw new SmtpError(502, '5.5.1', 'STARTTLS is not offered')
    if (this.#secure) throw outOfSequence('TLS is in use already')
    noArgument('STARTTLS', argument)
    // What stands behind it in the clear is no part of the secure session (RFC 3207 §6: an attacker may have put it there).
    if (this.#wire.queued > 0)
      return this.#bid(reply(421, '4.7.0', 'Nothing may follow STARTTLS before TLS is on, closing the connection'))
    await this.#transactions.abandon()
    await this.#wire.upgrade(formatReply(reply(220, '2.0.0', 'Ready to start TLS'), false), (plain) =>
      startTls(plain, this),
    )
    // RFC 3207 §4.2: what was learned in the clear is forgotten.
    this.#secure = true
    this.#hello = undefined
    this.#extended = false
    this.#identity = undefined
    this.#mechanism = undefined
  }

  async #auth(argument: string): Promise<void> {
    const { options, limits } = this.#service
    if (options.mechanisms === undefined) throw new SmtpError(502, '5.5.1', 'AUTH is not offered')
    if (this.#hello === undefined || !this.#extended) throw outOfSequence('Say EHLO first')
    if (this.#identity !== undefined) throw outOfSequence('You are logged in already')
    if (this.#transactions.open) throw outOfSequence('Not within a transaction')
    const [name = '', initial, ...more] = argument.split(' ')
    if (name === '' || more.length > 0)
      throw new SmtpError(501, '5.5.4', 'AUTH needs a mechanism, perhaps an initial response')
    const offers = this.#mechanisms()
    const offer = offers.find((candidate) => candidate.name === name.toUpperCase())
    if (offer === undefined) {
      // RFC 4954 §6 has 538 for this very case; 523 5.7.10 came from elsewhere (RFC 5248) and older clients do not know it.
      if (!this.#secure) throw new SmtpError(538, '5.7.11', 'Encryption required: STARTTLS first')
      throw new SmtpError(504, '5.5.4', 'This mechanism is not offered')
    }
    try {
      this.#identity = await authenticate(this.#wire, offer.create(), initial, limits.authLine)
      this.#mechanism = offer.name
      this.#say(reply(235, '2.7.0', 'Authentication successful'))
    } catch (error) {
      if (error instanceof WireError) throw error
      if (error instanceof SmtpError) {
        this.#say(error.reply)
      } else {
        this.#service.report(error, this, 'AUTH')
        this.#say(reply(454, '4.7.0', 'Temporary authentication failure'))
      }
      if (++this.#authFailures >= limits.authFailures) this.#bid(reply(421, '4.7.0', 'Too many failed logins'))
    }
  }

  #say(answer: SmtpReply, utf8 = this.#transactions.smtpUtf8): void {
    const text = formatReply(answer, utf8)
    this.#wire.write(text)
    if (this.#service.options.onLine !== undefined)
      for (const line of text.trimEnd().split('\r\n')) this.#service.heard('server', line, this)
    // RFC 5321 §3.8: 421 closes the connection, whoever says it.
    if (answer.code === 421) this.#ending = true
  }

  /** The last words. */
  #bid(farewell: SmtpReply): void {
    if (!this.#ending) this.#say(farewell)
    this.#ending = true
  }

  #idle(answer: SmtpReply): void {
    this.#say(answer)
    if (++this.#idleCommands > this.#service.limits.idleCommands) {
      this.#bid(reply(421, '4.7.0', 'Too many commands without mail'))
    }
  }

  #countError(): void {
    if (++this.#errors >= this.#service.limits.errors) this.#bid(reply(421, '4.7.0', 'Too many errors'))
  }
}

const KNOWN_VERB =
  /^(?:EHLO|HELO|LHLO|MAIL|RCPT|DATA|BDAT|RSET|NOOP|QUIT|STARTTLS|XCLIENT|XFORWARD|VRFY|HELP|EXPN|TURN|ETRN|SEND|SOML|SAML)$/

/** A command as others may read it: behind the mechanism of AUTH, and in what is no command, there may be a password. */
function spoken({ verb, argument }: Command): string {
  if (KNOWN_VERB.test(verb)) return `${verb} ${argument}`.trimEnd()
  return verb === 'AUTH' ? `AUTH ${argument.split(' ', 1)[0]}` : '(no command)'
}
