// RFC 5321 §3.3: the mail transactions of a session, from MAIL over RCPT to DATA (RFC 5321) or BDAT (RFC 3030).

import { mailParameters, recipientParameters, type Extensions } from '../parameters.ts'
import { parseForwardPath, parseReversePath } from '../path.ts'
import { reply, SmtpError, type SmtpReply } from '../reply.ts'
import { WireError, type Wire } from '../wire.ts'
import { IncomingBody, tooBig } from './body.ts'
import type { Envelope, Forwarded, Recipient, SmtpSession } from './contracts.ts'
import type { Policy } from './policy.ts'
import {
  ACCEPTED,
  Consequence,
  isReplies,
  LOCAL_ERROR,
  naming,
  noArgument,
  outOfSequence,
  RECIPIENT_OK,
  SENDER_OK,
} from './replies.ts'
import type { Service } from './service.ts'
import { readXforward } from './trusted.ts'

interface Transaction {
  readonly envelope: Omit<Envelope, 'recipients'> & { readonly recipients: Recipient[] }
  /** Chunks of BDAT so far. */
  body: IncomingBody | undefined
}

/** The session around the transactions. */
export interface Voice {
  readonly session: SmtpSession
  policy(): Policy
  /** Answers; `utf8` where the client understands more than ASCII. */
  say(answer: SmtpReply, utf8?: boolean): void
  /** Says the last words. */
  bid(farewell: SmtpReply): void
  /** A message has come to its end. */
  mailed(): void
}

export class Transactions {
  readonly #service: Service
  readonly #wire: Wire
  readonly #voice: Voice
  #transaction: Transaction | undefined
  /** MAIL or the message was refused: what a pipelining client has sent behind it is out of sequence without being the client's fault. */
  #refused = false
  #forwarded: Forwarded | undefined
  #count = 0
  #refusedRecipients = 0

  constructor(service: Service, wire: Wire, voice: Voice) {
    this.#service = service
    this.#wire = wire
    this.#voice = voice
  }

  get open(): boolean {
    return this.#transaction !== undefined
  }

  get smtpUtf8(): boolean {
    return this.#transaction?.envelope.parameters.smtpUtf8 === true
  }

  get forwarded(): Forwarded | undefined {
    return this.#forwarded
  }

  /** XFORWARD, for the next transaction. */
  forward(argument: string): void {
    if (this.open) throw outOfSequence('Not within a transaction')
    this.#forwarded = readXforward(argument, this.#forwarded)
  }

  /** MAIL. `permit` throws when this session may not send. */
  async begin(argument: string, utf8: boolean, extensions: Extensions, permit: () => void): Promise<void> {
    const { limits } = this.#service
    if (this.open) throw outOfSequence('A transaction is open already')
    this.#refused = true
    permit()
    if (++this.#count > limits.transactions) {
      return this.#voice.bid(reply(421, '4.7.0', 'Enough for one connection, connect again'))
    }
    const read = parseReversePath(argument)
    if (utf8 && (typeof read === 'string' || !read.parameters.has('SMTPUTF8'))) {
      throw new SmtpError(550, '5.6.7', 'This address needs SMTPUTF8')
    }
    if (read === 'path') throw new SmtpError(501, '5.1.7', 'Bad sender address syntax')
    if (read === 'parameters') throw new SmtpError(501, '5.5.4', 'Bad parameter syntax')
    const parameters = mailParameters(read.parameters, extensions, this.#service.date())
    if ((parameters.size ?? 0) > limits.messageSize) return this.#voice.say(tooBig(limits).reply)
    const envelope = { reversePath: read.path, parameters, recipients: [] }
    const answer = (await this.#voice.policy().ask('MAIL', (handler) => handler.mail(envelope))) ?? SENDER_OK
    if (answer.code < 300) {
      this.#transaction = { envelope, body: undefined }
      this.#refused = false
    }
    this.#voice.say(answer)
  }

  /** RCPT. */
  async recipient(argument: string, utf8: boolean, extensions: Extensions): Promise<void> {
    const transaction = this.#current()
    if (transaction.body !== undefined) throw outOfSequence('The message has begun already')
    const { envelope } = transaction
    const read = parseForwardPath(argument)
    if (utf8 && !envelope.parameters.smtpUtf8) throw new SmtpError(553, '5.6.7', 'This address needs SMTPUTF8')
    if (read === 'path') throw new SmtpError(501, '5.1.3', 'Bad recipient address syntax')
    if (read === 'parameters') throw new SmtpError(501, '5.5.4', 'Bad parameter syntax')
    const recipient = { path: read.path, parameters: recipientParameters(read.parameters, extensions) }
    const { limits } = this.#service
    if (envelope.recipients.length >= limits.recipients)
      return this.#voice.say(reply(452, '4.5.3', 'Too many recipients'))
    const answer =
      (await this.#voice.policy().ask('RCPT', (handler) => handler.rcpt(recipient, envelope))) ?? RECIPIENT_OK
    if (answer.code < 300) envelope.recipients.push(recipient)
    this.#voice.say(answer)
    if (answer.code >= 500 && ++this.#refusedRecipients >= limits.refusedRecipients) {
      this.#voice.bid(reply(421, '4.7.0', 'Too many unknown recipients'))
    }
  }

  async data(argument: string): Promise<void> {
    noArgument('DATA', argument)
    const transaction = this.#current()
    const { envelope } = transaction
    if (transaction.body !== undefined) throw outOfSequence('The message has begun with BDAT')
    if (envelope.parameters.body === 'BINARYMIME') throw outOfSequence('BINARYMIME needs BDAT')
    if (envelope.recipients.length === 0) throw new Consequence(503, '5.5.1', 'No valid recipients')
    this.#wire.write('354 Start mail input; end with <CRLF>.<CRLF>\r\n')
    const body = (transaction.body = new IncomingBody(this.#service, envelope.parameters.body, 'DATA'))
    await body.readData(this.#wire)
    await this.#deliver(transaction, body)
  }

  async bdat(argument: string): Promise<void> {
    const { limits, extensions } = this.#service
    if (!extensions.chunking) throw new SmtpError(502, '5.5.1', 'BDAT is not offered')
    const [, digits, last] = /^(\d{1,15})( +LAST)?$/i.exec(argument) ?? []
    if (digits === undefined) throw new SmtpError(501, '5.5.4', 'BDAT needs a size')
    const size = Number(digits)
    if (size > limits.messageSize * 2) {
      this.#voice.say(tooBig(limits).reply)
      throw new WireError('overrun')
    }
    const transaction = this.#transaction
    if (transaction === undefined || transaction.envelope.recipients.length === 0) {
      // RFC 3030 §2: the octets are on their way whatever we think of the command.
      for (let left = size; left > 0;) left -= (await this.#wire.readPiece(left)).length
      throw this.#tooEarly('No valid recipients', transaction !== undefined)
    }
    const body = (transaction.body ??= new IncomingBody(this.#service, transaction.envelope.parameters.body, 'BDAT'))
    await body.readChunk(this.#wire, size)
    if (last !== undefined) return this.#deliver(transaction, body)
    const refusal = body.sizeFault()
    if (refusal !== undefined) {
      await this.abandon()
      this.#refused = true
      return this.#voice.say(refusal.reply)
    }
    this.#voice.say(reply(250, '2.0.0', `${size} octets received`))
  }

  /** The message is here whole. Whatever happens now, the transaction is over. */
  async #deliver(transaction: Transaction, incoming: IncomingBody): Promise<void> {
    const { envelope } = transaction
    const { session } = this.#voice
    const answers = await this.#answers(transaction, incoming)
    await incoming.release()
    this.#forwarded = undefined
    this.#voice.mailed()
    const utf8 = envelope.parameters.smtpUtf8
    if (session.kind !== 'lmtp') return this.#voice.say(answers[0] ?? LOCAL_ERROR, utf8)
    if (answers.length !== envelope.recipients.length) {
      this.#service.report(new Error('data() must give each recipient a reply'), session, 'DATA')
    }
    for (const [i, { path }] of envelope.recipients.entries())
      this.#voice.say(naming(path.address, answers[i] ?? LOCAL_ERROR), utf8)
  }

  /** What becomes of the message, for each recipient in LMTP. */
  async #answers({ envelope }: Transaction, incoming: IncomingBody): Promise<readonly SmtpReply[]> {
    try {
      const body = await incoming.finish().catch((refusal: unknown) => {
        if (refusal instanceof SmtpError && refusal.cause !== undefined)
          this.#service.report(refusal.cause, this.#voice.session, 'DATA')
        throw refusal
      })
      // From here on the handler owns the ending, so there is no reset.
      this.#transaction = undefined
      const attempt = this.#voice.policy().attempt('DATA', (handler) => handler.data(envelope, body))
      const answer = (await attempt) ?? ACCEPTED
      return isReplies(answer) ? answer : envelope.recipients.map(() => answer)
    } catch (error) {
      if (!(error instanceof SmtpError)) throw error
      await this.abandon()
      return envelope.recipients.map(() => error.reply)
    }
  }

  /** Ends an open transaction without its message, and forgets what was said for the next. Never rejects. */
  async abandon(): Promise<void> {
    const transaction = this.#transaction
    this.#transaction = undefined
    this.#forwarded = undefined
    this.#refused = false
    if (transaction === undefined) return
    await transaction.body?.release()
    await this.#voice.policy().ask('RSET', (handler) => handler.reset?.(transaction.envelope))
  }

  #current(): Transaction {
    if (this.#transaction === undefined) throw this.#tooEarly('MAIL first')
    return this.#transaction
  }

  #tooEarly(text: string, excused = this.#refused): SmtpError {
    return excused || this.#refused ? new Consequence(503, '5.5.1', text) : outOfSequence(text)
  }
}
