// RFC 5321 (SMTP), RFC 6409 (Submission), RFC 2033 (LMTP): one connection's state machine. What is allowed to whom is the handler's affair.

import type { Duplex } from 'node:stream'
import type { Identity } from '@aviso/sasl'
import { mailParameters, recipientParameters, type Extensions } from '../parameters.ts'
import { parseForwardPath, parseReversePath } from '../path.ts'
import { formatReply, reply, SmtpError, type SmtpReply } from '../reply.ts'
import { TOO_LONG, Wire, WireError } from '../wire.ts'
import { authenticate } from './auth.ts'
import { IncomingBody, tooBig } from './body.ts'
import { parseCommand, type Command } from './command.ts'
import type { Envelope, MechanismOffer, Peer, Recipient, ServerKind, SmtpSession } from './contracts.ts'
import { helloReply } from './extensions.ts'
import { Policy } from './policy.ts'
import {
  ACCEPTED,
  Consequence,
  FOREIGN_VERB,
  isReplies,
  LOCAL_ERROR,
  naming,
  noArgument,
  OK,
  outOfSequence,
  RECIPIENT_OK,
  SENDER_OK,
  SHUTTING_DOWN,
} from './replies.ts'
import type { Service } from './service.ts'

interface Transaction {
  readonly envelope: Omit<Envelope, 'recipients'> & { readonly recipients: Recipient[] }
  /** Chunks of BDAT so far. */
  body: IncomingBody | undefined
}

export class Session implements SmtpSession {
  readonly peer: Peer
  readonly #service: Service
  readonly #wire: Wire
  readonly #policy: Policy
  #secure: boolean
  #hello: string | undefined
  #extended = false
  #identity: Identity | undefined
  #mechanism: string | undefined
  #transaction: Transaction | undefined
  /** MAIL or the message was refused: what a pipelining client has sent behind it is out of sequence without being the client's fault. */
  #refused = false
  #draining = false
  #ending = false
  #transactions = 0
  #errors = 0
  #idleCommands = 0
  #authFailures = 0
  #refusedRecipients = 0

  constructor(service: Service, socket: Duplex, peer: Peer, secure: boolean) {
    this.#service = service
    this.peer = peer
    this.#secure = secure
    this.#policy = new Policy(service, this)
    this.#wire = new Wire(socket, service.clock, service.limits.idle)
  }

  get kind(): ServerKind {
    return this.#service.options.kind
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
    if (this.#transaction === undefined) this.#wire.interrupt()
  }

  destroy(): void {
    this.#wire.destroy()
  }

  /** Serves the connection to its end. Never rejects. */
  async serve(): Promise<void> {
    try {
      if (!this.#draining) await this.#greet()
      while (!this.#ending && !this.#wire.socket.destroyed) {
        if (this.#draining && this.#transaction === undefined) this.#bid(SHUTTING_DOWN)
        else await this.#next()
      }
    } catch (error) {
      this.#failed(error)
    }
    await this.#abandon()
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
      this.#wire.write(`220 ${hostname} ${kind === 'lmtp' ? 'LMTP' : 'ESMTP'} ready\r\n`)
    }
  }

  async #next(): Promise<void> {
    const { limits } = this.#service
    const line = await this.#wire.readLine(limits.commandLine, 'AUTH', limits.authLine)
    try {
      if (line === TOO_LONG) throw new SmtpError(500, '5.5.2', 'Line too long')
      const command = parseCommand(line)
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
        return this.#rcpt(argument, utf8)
      case 'DATA':
        return this.#data(argument)
      case 'BDAT':
        return this.#bdat(argument)
      case 'RSET':
        noArgument(verb, argument)
        await this.#abandon()
        this.#refused = false
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
    await this.#abandon()
    this.#refused = false
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
      }),
    )
  }

  #extensions(): Extensions {
    const { extensions, options } = this.#service
    return { ...extensions, requireTls: extensions.requireTls && this.#secure, auth: options.mechanisms !== undefined }
  }

  /** Without TLS a password travels in the clear, so nothing is offered there unless the operator insists. */
  #mechanisms(): readonly MechanismOffer[] {
    const { mechanisms, insecureAuth } = this.#service.options
    return this.#secure || insecureAuth === true ? (mechanisms?.(this) ?? []) : []
  }

  async #mail(argument: string, utf8: boolean): Promise<void> {
    const { limits, requireAuth, options } = this.#service
    if (this.#hello === undefined) throw outOfSequence(`Say ${options.kind === 'lmtp' ? 'LHLO' : 'EHLO'} first`)
    if (this.#transaction !== undefined) throw outOfSequence('A transaction is open already')
    this.#refused = true
    if (requireAuth && this.#identity === undefined) {
      const first = this.#mechanisms().length === 0 && options.startTls !== undefined ? 'STARTTLS' : 'AUTH'
      throw new SmtpError(530, '5.7.0', `Authentication required: ${first} first`)
    }
    if (++this.#transactions > limits.transactions) {
      return this.#bid(reply(421, '4.7.0', 'Enough for one connection, connect again'))
    }
    const read = parseReversePath(argument)
    if (utf8 && (typeof read === 'string' || !read.parameters.has('SMTPUTF8'))) {
      throw new SmtpError(550, '5.6.7', 'This address needs SMTPUTF8')
    }
    if (read === 'path') throw new SmtpError(501, '5.1.7', 'Bad sender address syntax')
    if (read === 'parameters') throw new SmtpError(501, '5.5.4', 'Bad parameter syntax')
    const parameters = mailParameters(read.parameters, this.#extensions())
    if ((parameters.size ?? 0) > limits.messageSize) return this.#say(tooBig(limits).reply)
    const envelope = { reversePath: read.path, parameters, recipients: [] }
    const answer = (await this.#policy.ask('MAIL', (handler) => handler.mail(envelope))) ?? SENDER_OK
    if (answer.code < 300) {
      this.#transaction = { envelope, body: undefined }
      this.#refused = false
    }
    this.#say(answer)
  }

  async #rcpt(argument: string, utf8: boolean): Promise<void> {
    const transaction = this.#open()
    if (transaction.body !== undefined) throw outOfSequence('The message has begun already')
    const { envelope } = transaction
    const read = parseForwardPath(argument)
    if (utf8 && !envelope.parameters.smtpUtf8) throw new SmtpError(553, '5.6.7', 'This address needs SMTPUTF8')
    if (read === 'path') throw new SmtpError(501, '5.1.3', 'Bad recipient address syntax')
    if (read === 'parameters') throw new SmtpError(501, '5.5.4', 'Bad parameter syntax')
    const recipient = { path: read.path, parameters: recipientParameters(read.parameters, this.#extensions()) }
    const { limits } = this.#service
    if (envelope.recipients.length >= limits.recipients) return this.#say(reply(452, '4.5.3', 'Too many recipients'))
    const answer = (await this.#policy.ask('RCPT', (handler) => handler.rcpt(recipient, envelope))) ?? RECIPIENT_OK
    if (answer.code < 300) envelope.recipients.push(recipient)
    this.#say(answer)
    if (answer.code >= 500 && ++this.#refusedRecipients >= limits.refusedRecipients) {
      this.#bid(reply(421, '4.7.0', 'Too many unknown recipients'))
    }
  }

  async #data(argument: string): Promise<void> {
    noArgument('DATA', argument)
    const transaction = this.#open()
    const { envelope } = transaction
    if (transaction.body !== undefined) throw outOfSequence('The message has begun with BDAT')
    if (envelope.parameters.body === 'BINARYMIME') throw outOfSequence('BINARYMIME needs BDAT')
    if (envelope.recipients.length === 0) throw new Consequence(503, '5.5.1', 'No valid recipients')
    this.#wire.write('354 Start mail input; end with <CRLF>.<CRLF>\r\n')
    const body = (transaction.body = new IncomingBody(this.#service, envelope.parameters.body))
    await body.readData(this.#wire)
    await this.#deliver(transaction, body)
  }

  async #bdat(argument: string): Promise<void> {
    const { limits, extensions } = this.#service
    if (!extensions.chunking) throw new SmtpError(502, '5.5.1', 'BDAT is not offered')
    const [, digits, last] = /^(\d{1,15})( +LAST)?$/i.exec(argument) ?? []
    if (digits === undefined) throw new SmtpError(501, '5.5.4', 'BDAT needs a size')
    const size = Number(digits)
    if (size > limits.messageSize * 2) {
      this.#say(tooBig(limits).reply)
      throw new WireError('overrun')
    }
    const transaction = this.#transaction
    if (transaction === undefined || transaction.envelope.recipients.length === 0) {
      // RFC 3030 §2: the octets are on their way whatever we think of the command.
      for (let left = size; left > 0;) left -= (await this.#wire.readPiece(left)).length
      throw this.#tooEarly('No valid recipients', transaction !== undefined)
    }
    const body = (transaction.body ??= new IncomingBody(this.#service, transaction.envelope.parameters.body))
    await body.readChunk(this.#wire, size)
    if (last !== undefined) return this.#deliver(transaction, body)
    const refusal = body.sizeFault()
    if (refusal !== undefined) {
      await this.#abandon()
      this.#refused = true
      return this.#say(refusal.reply)
    }
    this.#say(reply(250, '2.0.0', `${size} octets received`))
  }

  /** The message is here whole. Whatever happens now, the transaction is over. */
  async #deliver(transaction: Transaction, incoming: IncomingBody): Promise<void> {
    const { envelope } = transaction
    let answers: readonly SmtpReply[]
    try {
      const body = incoming.finish()
      // From here on the handler owns the ending, so there is no reset.
      this.#transaction = undefined
      const answer = (await this.#policy.attempt('DATA', (handler) => handler.data(envelope, body))) ?? ACCEPTED
      answers = isReplies(answer) ? answer : envelope.recipients.map(() => answer)
    } catch (error) {
      if (!(error instanceof SmtpError)) throw error
      await this.#abandon()
      answers = envelope.recipients.map(() => error.reply)
    } finally {
      incoming.release()
    }
    this.#idleCommands = 0
    const utf8 = envelope.parameters.smtpUtf8
    if (this.kind !== 'lmtp') return this.#say(answers[0] ?? LOCAL_ERROR, utf8)
    if (answers.length !== envelope.recipients.length) {
      this.#service.report(new Error('data() must give each recipient a reply'), this, 'DATA')
    }
    for (const [i, { path }] of envelope.recipients.entries())
      this.#say(naming(path.address, answers[i] ?? LOCAL_ERROR), utf8)
  }

  async #startTls(argument: string): Promise<void> {
    const { startTls } = this.#service.options
    if (startTls === undefined) throw new SmtpError(502, '5.5.1', 'STARTTLS is not offered')
    if (this.#secure) throw outOfSequence('TLS is in use already')
    noArgument('STARTTLS', argument)
    // What stands behind it in the clear is no part of the secure session (RFC 3207 §6: an attacker may have put it there).
    if (this.#wire.queued > 0)
      return this.#bid(reply(421, '4.7.0', 'Nothing may follow STARTTLS before TLS is on, closing the connection'))
    await this.#abandon()
    await this.#wire.upgrade(formatReply(reply(220, '2.0.0', 'Ready to start TLS'), false), (plain) =>
      startTls(plain, this),
    )
    // RFC 3207 §4.2: what was learned in the clear is forgotten.
    this.#secure = true
    this.#hello = undefined
    this.#extended = false
    this.#identity = undefined
    this.#mechanism = undefined
    this.#refused = false
  }

  async #auth(argument: string): Promise<void> {
    const { options, limits } = this.#service
    if (options.mechanisms === undefined) throw new SmtpError(502, '5.5.1', 'AUTH is not offered')
    if (this.#hello === undefined || !this.#extended) throw outOfSequence('Say EHLO first')
    if (this.#identity !== undefined) throw outOfSequence('You are logged in already')
    if (this.#transaction !== undefined) throw outOfSequence('Not within a transaction')
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

  #open(): Transaction {
    if (this.#transaction === undefined) throw this.#tooEarly('MAIL first')
    return this.#transaction
  }

  #tooEarly(text: string, excused = this.#refused): SmtpError {
    return excused || this.#refused ? new Consequence(503, '5.5.1', text) : outOfSequence(text)
  }

  /** Ends an open transaction without its message. */
  async #abandon(): Promise<void> {
    const transaction = this.#transaction
    if (transaction === undefined) return
    this.#transaction = undefined
    transaction.body?.release()
    await this.#policy.ask('RSET', (handler) => handler.reset?.(transaction.envelope))
  }

  #say(answer: SmtpReply, utf8 = this.#transaction?.envelope.parameters.smtpUtf8 === true): void {
    this.#wire.write(formatReply(answer, utf8))
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
