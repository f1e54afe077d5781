// RFC 5321 and RFC 2033, the client's side: one connection to one server.

import type { Duplex } from 'node:stream'
import { isAscii } from 'node:buffer'
import type { ClientMechanism } from '@aviso/sasl'
import { normaliseLines, stuffDots } from '../body/lines.ts'
import { systemClock } from '../clock.ts'
import type { BodyType } from '../parameters.ts'
import { parseMailbox } from '../path.ts'
import { reply, SmtpError, type SmtpReply } from '../reply.ts'
import { Wire, WireError } from '../wire.ts'
import { encodeUtf8AddressXtext, encodeXtext } from '../xtext.ts'
import {
  defaultTimeouts,
  type ClientOptions,
  type ClientTimeouts,
  type OutgoingEnvelope,
  type OutgoingRecipient,
  type RecipientResult,
} from './contracts.ts'
import { readReply } from './replies.ts'

const NO_UTF8 = reply(550, '5.6.7', 'The server does not offer SMTPUTF8')

/** The connection is over and some question is without answer. After the end of the data nobody knows whether the message was taken. */
export class SmtpConnectionError extends Error {
  /** The message may have been accepted: trying again may double it. */
  readonly afterData: boolean

  constructor(message: string, afterData: boolean, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SmtpConnectionError'
    this.afterData = afterData
  }
}

export class SmtpClient {
  readonly #options: ClientOptions
  readonly #timeouts: ClientTimeouts
  readonly #wire: Wire
  #extensions: ReadonlyMap<string, readonly string[]> = new Map()
  #greeting: SmtpReply = { code: 220, enhanced: undefined, lines: [] }
  #secure = false
  #last421: SmtpReply | undefined

  private constructor(options: ClientOptions, socket: Duplex) {
    this.#options = options
    this.#timeouts = { ...defaultTimeouts, ...options.timeouts }
    this.#wire = new Wire(socket, options.clock ?? systemClock, this.#timeouts.command)
  }

  /**
   * Connects, waits for the greeting, says EHLO (HELO to a server that knows no better) or LHLO.
   * Throws SmtpError when the server refuses, SmtpConnectionError when there is no server to talk with.
   */
  static async open(options: ClientOptions): Promise<SmtpClient> {
    const client = new SmtpClient(options, await options.connect())
    try {
      client.#greeting = await client.#answer(client.#timeouts.greeting)
      if (client.#greeting.code !== 220) throw SmtpError.from(client.#greeting)
      await client.#hello()
      return client
    } catch (error) {
      client.close()
      throw error
    }
  }

  /** What the server offers: keyword (upper case) and its words. */
  get extensions(): ReadonlyMap<string, readonly string[]> {
    return this.#extensions
  }
  get greeting(): SmtpReply {
    return this.#greeting
  }
  get socket(): Duplex {
    return this.#wire.socket
  }
  /** STARTTLS was done here. */
  get secure(): boolean {
    return this.#secure
  }
  /** Nothing more can be sent. */
  get closed(): boolean {
    return this.#wire.over || this.#last421 !== undefined
  }

  /** STARTTLS (RFC 3207), then EHLO again. `makeSecure` does the handshake and judges the certificate. Throws SmtpError when refused. */
  async startTls(makeSecure: (socket: Duplex) => Promise<Duplex>): Promise<void> {
    await this.#expect('STARTTLS', 220)
    try {
      await this.#wire.upgrade('', makeSecure)
    } catch (cause) {
      const why = cause instanceof WireError && cause.cause !== undefined ? cause.cause : cause
      throw new SmtpConnectionError('STARTTLS failed', false, { cause: why })
    }
    this.#secure = true
    await this.#hello()
  }

  /** AUTH (RFC 4954). Throws SmtpError with the server's reply when it fails, SaslFailure when the server does not prove itself. */
  async authenticate(mechanism: ClientMechanism): Promise<void> {
    const initial = await mechanism.start()
    const coded =
      initial === undefined ? '' : ' ' + (initial.length === 0 ? '=' : Buffer.from(initial).toString('base64'))
    // RFC 4954 §4: what does not fit the command line is sent as the answer to an empty challenge.
    const fits = coded.length + mechanism.name.length < 500
    let answer = await this.#command(`AUTH ${mechanism.name}${fits ? coded : ''}`)
    let pending = fits ? undefined : initial
    while (answer.code === 334) {
      let response: Uint8Array
      try {
        response = pending ?? (await mechanism.next(Buffer.from(answer.lines[0] ?? '', 'base64')))
      } catch (error) {
        await this.#command('*')
        throw error
      }
      pending = undefined
      answer = await this.#command(Buffer.from(response).toString('base64'))
    }
    if (answer.code !== 235) throw SmtpError.from(answer)
    await mechanism.success()
  }

  /**
   * Sends one message. Every recipient gets its result, in the order of the envelope; refusals are results, not errors.
   * Throws SmtpConnectionError when the connection fails, RangeError for an address that would break out of its command.
   */
  async send(envelope: OutgoingEnvelope, message: Uint8Array): Promise<readonly RecipientResult[]> {
    const transaction = new Transaction(envelope)
    const body = bodyType(envelope, message)
    const refusal = this.#refuseLocally(envelope, message)
    if (refusal !== undefined) return transaction.refuseAll('local', refusal)
    const chunking = this.#offers('CHUNKING') && this.#options.chunking !== false
    const binary = body === 'BINARYMIME' && chunking && this.#offers('BINARYMIME')
    const dsn = this.#offers('DSN')
    const max = this.#rcptMax()
    const recipients = envelope.recipients.slice(0, max)
    transaction.refuseFrom(max)

    const mail = this.#mailCommand(
      envelope,
      message.length,
      binary ? 'BINARYMIME' : body === '7BIT' ? body : '8BITMIME',
    )
    const rcpts = recipients.map((recipient) => rcptCommand(recipient, dsn))
    try {
      if (this.#offers('PIPELINING')) {
        this.#wire.write(mail + rcpts.join('') + (chunking ? '' : 'DATA\r\n'))
        const mailed = await this.#answer(this.#timeouts.mail)
        for (let i = 0; i < recipients.length; i++) transaction.rcpt(i, mailed, await this.#answer(this.#timeouts.rcpt))
      } else {
        this.#wire.write(mail)
        const mailed = await this.#answer(this.#timeouts.mail)
        for (const [i, rcpt] of rcpts.entries()) {
          if (mailed.code < 300) this.#wire.write(rcpt)
          transaction.rcpt(i, mailed, mailed.code < 300 ? await this.#answer(this.#timeouts.rcpt) : mailed)
        }
        if (!chunking && transaction.pending.length > 0) this.#wire.write('DATA\r\n')
      }
      if (chunking) await this.#sendChunk(transaction, message, binary)
      else await this.#sendData(transaction, message)
    } catch (error) {
      // RFC 5321 §3.8: the server has said 421 and closed. What it did not answer, it answered with that.
      if (this.#last421 === undefined || !(error instanceof SmtpConnectionError)) throw error
      transaction.rest(this.#last421)
    }
    return transaction.results
  }

  async #sendChunk(transaction: Transaction, message: Uint8Array, binary: boolean): Promise<void> {
    if (transaction.pending.length === 0) return this.#forget()
    const octets = binary ? message : withoutDots(message)
    this.#wire.write(`BDAT ${octets.length} LAST\r\n`)
    await this.#transmit(octets)
    await this.#conclude(transaction)
  }

  async #sendData(transaction: Transaction, message: Uint8Array): Promise<void> {
    if (transaction.pending.length === 0 && !this.#offers('PIPELINING')) return this.#forget()
    const go = await this.#answer(this.#timeouts.dataStart)
    if (go.code === 354) {
      if (transaction.pending.length === 0) {
        // RFC 2920 §3.1: DATA was on its way already; an empty message for nobody ends it.
        await this.#transmit(Buffer.from('.\r\n'))
        await this.#answer(this.#timeouts.dataEnd)
        return
      }
      await this.#transmit(stuffDots(message))
      await this.#conclude(transaction)
    } else {
      for (const i of transaction.pending) transaction.settle(i, 'data', go)
      await this.#forget()
    }
  }

  /** One reply for all, or in LMTP one for each recipient that RCPT accepted. */
  async #conclude(transaction: Transaction): Promise<void> {
    let answer: SmtpReply | undefined
    for (const i of transaction.pending) {
      if (answer === undefined || this.#options.kind === 'lmtp')
        answer = await this.#answer(this.#timeouts.dataEnd, true)
      transaction.settle(i, 'data', answer)
    }
  }

  async #forget(): Promise<void> {
    await this.#command('RSET')
  }

  async #transmit(octets: Uint8Array): Promise<void> {
    const block = 262_144
    try {
      for (let at = 0; at < octets.length; at += block) {
        await this.#wire.send(octets.subarray(at, at + block), this.#timeouts.dataBlock)
      }
    } catch (cause) {
      throw new SmtpConnectionError('the connection broke while the message was sent', false, { cause })
    }
  }

  /** RSET: forget the transaction. */
  async reset(): Promise<void> {
    await this.#expect('RSET', 250)
  }

  /** NOOP: is the server still there? */
  async noop(): Promise<void> {
    await this.#expect('NOOP', 250)
  }

  /** QUIT, then closes, whatever the server says. */
  async quit(): Promise<void> {
    try {
      this.#wire.write('QUIT\r\n')
      await this.#answer(this.#timeouts.quit)
    } catch {
      // It does not matter any more.
    }
    this.close()
  }

  close(): void {
    this.#wire.close()
  }

  async #hello(): Promise<void> {
    const lmtp = this.#options.kind === 'lmtp'
    const answer = await this.#command(`${lmtp ? 'LHLO' : 'EHLO'} ${this.#options.name}`)
    if (answer.code === 250) {
      this.#extensions = new Map(answer.lines.slice(1).map(readExtension))
      return
    }
    if (lmtp || answer.code < 500) throw SmtpError.from(answer)
    this.#extensions = new Map()
    await this.#expect(`HELO ${this.#options.name}`, 250)
  }

  #offers(keyword: string): boolean {
    return this.#extensions.has(keyword)
  }

  /** RFC 9422: how many recipients the server takes at once. */
  #rcptMax(): number {
    const limit = this.#extensions.get('LIMITS')?.find((word) => word.startsWith('RCPTMAX='))
    return Number(limit?.slice('RCPTMAX='.length)) || Infinity
  }

  #refuseLocally(envelope: OutgoingEnvelope, message: Uint8Array): SmtpReply | undefined {
    if (needsUtf8(envelope) && !this.#offers('SMTPUTF8')) return NO_UTF8
    const size = Number(this.#extensions.get('SIZE')?.[0] ?? 0)
    if (size > 0 && message.length > size) return reply(552, '5.3.4', `The server takes no more than ${size} octets`)
    // RFC 8689 §2: where it is not offered, the message must not go.
    const tls = envelope.requireTls === true && !this.#offers('REQUIRETLS')
    return tls ? reply(550, '5.7.30', 'The server does not offer REQUIRETLS') : undefined
  }

  #mailCommand(envelope: OutgoingEnvelope, size: number, body: BodyType): string {
    let command = `MAIL FROM:<${envelope.reversePath === null ? '' : safe(envelope.reversePath)}>`
    if (this.#offers('SIZE')) command += ` SIZE=${size}`
    if (body === 'BINARYMIME' || (body === '8BITMIME' && this.#offers('8BITMIME'))) command += ` BODY=${body}`
    if (needsUtf8(envelope)) command += ' SMTPUTF8'
    if (envelope.requireTls === true) command += ' REQUIRETLS'
    if (this.#offers('DSN')) {
      if (envelope.ret !== undefined) command += ` RET=${envelope.ret}`
      if (envelope.envid !== undefined) command += ` ENVID=${encodeXtext(envelope.envid)}`
    }
    return command + '\r\n'
  }

  async #command(line: string): Promise<SmtpReply> {
    this.#wire.write(line + '\r\n')
    return this.#answer(this.#timeouts.command)
  }

  async #expect(line: string, code: number): Promise<void> {
    const answer = await this.#command(line)
    if (answer.code !== code) throw SmtpError.from(answer)
  }

  async #answer(timeout: number, afterData = false): Promise<SmtpReply> {
    try {
      const answer = await readReply(this.#wire, timeout)
      if (answer.code === 421) this.#last421 = answer
      return answer
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause
      if (cause.end !== 'closed') this.#wire.destroy()
      throw new SmtpConnectionError(`no reply: ${cause.end}`, afterData, { cause })
    }
  }
}

/** One line of the answer to EHLO. Some old servers write `AUTH=PLAIN`. */
function readExtension(line: string): [string, readonly string[]] {
  const [keyword = '', ...words] = line
    .trim()
    .replace(/^AUTH=/i, 'AUTH ')
    .toUpperCase()
    .split(/ +/)
  return [keyword, words]
}

/** The results of one transaction as they come in. */
class Transaction {
  readonly #recipients: readonly OutgoingRecipient[]
  readonly #results: (RecipientResult | undefined)[]

  constructor({ recipients }: OutgoingEnvelope) {
    this.#recipients = recipients
    this.#results = recipients.map(() => undefined)
  }

  /** Places of the recipients without a result. */
  get pending(): readonly number[] {
    return [...this.#results.keys()].filter((i) => this.#results[i] === undefined)
  }

  get results(): readonly RecipientResult[] {
    return this.#results.filter((result) => result !== undefined)
  }

  settle(i: number, stage: RecipientResult['stage'], answer: SmtpReply): void {
    const accepted = stage === 'data' && answer.code >= 200 && answer.code < 300
    this.#results[i] ??= { address: this.#recipients[i]?.address ?? '', accepted, stage, reply: answer }
  }

  rcpt(i: number, mailed: SmtpReply, answer: SmtpReply): void {
    if (mailed.code >= 300) this.settle(i, 'mail', mailed)
    else if (answer.code >= 300) this.settle(i, 'rcpt', answer)
  }

  refuseAll(stage: RecipientResult['stage'], answer: SmtpReply): readonly RecipientResult[] {
    for (const i of this.pending) this.settle(i, stage, answer)
    return this.results
  }

  /** Recipients beyond what the server takes at once must be sent again, later. */
  refuseFrom(max: number): void {
    for (let i = max; i < this.#recipients.length; i++) {
      this.settle(i, 'local', reply(452, '4.5.3', `The server takes ${max} recipients at once`))
    }
  }

  rest(answer: SmtpReply): void {
    this.refuseAll('rcpt', answer)
  }
}

function rcptCommand({ address, notify, originalRecipient }: OutgoingRecipient, dsn: boolean): string {
  let command = `RCPT TO:<${safe(address)}>`
  if (dsn && notify !== undefined && notify.length > 0) command += ` NOTIFY=${notify.join(',')}`
  if (dsn && originalRecipient !== undefined) {
    const { type, address: original } = originalRecipient
    command += ` ORCPT=${safe(type)};${type.toLowerCase() === 'utf-8' ? encodeUtf8AddressXtext(original) : encodeXtext(original)}`
  }
  return command + '\r\n'
}

/** An address cannot hold a line break or close its bracket early, unless somebody wants to send a command of his own. */
function safe(address: string): string {
  const broken = address.startsWith('"') ? parseMailbox(address) === undefined : /[<> ]/.test(address)
  if (broken || /\p{Cc}/u.test(address)) throw new RangeError('this address would break out of its command')
  return address
}

function needsUtf8({ smtpUtf8, reversePath, recipients }: OutgoingEnvelope): boolean {
  const plain = (address: string): boolean => isAscii(Buffer.from(address))
  return smtpUtf8 === true || !plain(reversePath ?? '') || !recipients.every(({ address }) => plain(address))
}

/** BINARYMIME only on request: lines of LF in a text are to be mended, not to be preserved. */
function bodyType({ body }: OutgoingEnvelope, message: Uint8Array): BodyType {
  return body ?? (isAscii(message) ? '7BIT' : '8BITMIME')
}

/** The message as BDAT carries it when it is no binary one: its lines CRLF, the last one ended. */
function withoutDots(message: Uint8Array): Uint8Array {
  const octets = Buffer.from(message.buffer, message.byteOffset, message.length)
  const text = normaliseLines(octets)
  return text.length === 0 || text.at(-1) === 0x0a ? text : Buffer.concat([text, Buffer.from('\r\n')])
}
