// RFC 5321 and RFC 2033, the client's side: one connection to one server.

import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ClientMechanism } from '@aviso/sasl'
import type { MessageSource } from '../body/message.ts'
import { systemClock } from '../clock.ts'
import { SmtpError, type SmtpReply } from '../reply.ts'
import { Wire, WireError } from '../wire.ts'
import { adapt, outgoing } from './adapt.ts'
import { mailCommand, rcptCommand } from './commands.ts'
import {
  defaultTimeouts,
  type ClientOptions,
  type ClientTimeouts,
  type OutgoingEnvelope,
  type RecipientResult,
} from './contracts.ts'
import { Offer } from './offer.ts'
import { readReply } from './replies.ts'
import { Results } from './results.ts'
import { blocks, type Block } from './sending.ts'

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

/** One connection, from its greeting to QUIT: STARTTLS, authentication, then one message after the other. What the server refuses is an SmtpError, a connection that is lost an SmtpConnectionError. */
export class SmtpClient {
  readonly #options: ClientOptions
  readonly #timeouts: ClientTimeouts
  readonly #wire: Wire
  #offer = new Offer()
  #greeting: SmtpReply = { code: 220, enhanced: undefined, lines: [] }
  #secure = false
  #last421: SmtpReply | undefined
  #sent = 0

  private constructor(options: ClientOptions, socket: Duplex) {
    this.#options = options
    this.#timeouts = { ...defaultTimeouts, ...options.timeouts }
    // Commands are small, and each is waited for.
    if (socket instanceof Socket) socket.setNoDelay(true)
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
    return this.#offer.extensions
  }
  /** What the server said first. */
  get greeting(): SmtpReply {
    return this.#greeting
  }
  /** The socket in use; another one after STARTTLS. */
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
  /** The server has said something that nobody asked for: a farewell, or words that would be taken for the answer to the next command. */
  get unasked(): boolean {
    return this.#wire.queued > 0
  }
  /** Transactions that were begun. */
  get sent(): number {
    return this.#sent
  }
  /** The server has taken as many transactions as it takes on one connection (RFC 9422: MAILMAX). */
  get exhausted(): boolean {
    return this.#sent >= this.#offer.limit('MAILMAX')
  }

  /** Calls back once, when the connection is closed. A second listener takes the place of the first. */
  onClose(listener: () => void): void {
    this.#wire.onClose(listener)
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
   * Sends one message: octets, or what gives them in pieces and is never held whole. Every recipient gets its result, in the order of the envelope;
   * refusals are results, not errors. Throws SmtpConnectionError when the connection fails, RangeError for an address that would break out of its
   * command, and whatever the message's `chunks` throws, after which the connection is cut: nobody gets half a message.
   */
  async send(envelope: OutgoingEnvelope, message: Uint8Array | MessageSource): Promise<readonly RecipientResult[]> {
    const results = new Results(envelope.recipients)
    const chunking = this.#offer.has('CHUNKING') && this.#options.chunking !== false
    const adapted = await adapt(envelope, outgoing(message), this.#offer, chunking, results)
    if (adapted === undefined) return results.all
    const mail = mailCommand(envelope, adapted, this.#offer)
    const rcpts = envelope.recipients.flatMap((recipient, place) => {
      const address = adapted.addresses.get(place)
      if (address === undefined || !results.waits(place)) return []
      return [{ place, command: rcptCommand(recipient, address, this.#offer) }]
    })
    this.#sent++
    try {
      await this.#envelope(mail, rcpts, results, chunking)
      if (chunking)
        await this.#sendChunks(results, blocks(adapted.source, adapted.body === 'BINARYMIME' ? 'binary' : 'text'))
      else await this.#sendData(results, blocks(adapted.source, 'data'))
    } catch (error) {
      if (!(error instanceof SmtpConnectionError)) {
        this.#wire.destroy()
        throw error
      }
      // RFC 5321 §3.8: the server has said 421 and closed. What it did not answer, it answered with that.
      if (this.#last421 === undefined) throw error
      results.settleAll('rcpt', this.#last421)
    }
    return results.all
  }

  async #envelope(
    mail: string,
    rcpts: readonly { readonly place: number; readonly command: string }[],
    results: Results,
    chunking: boolean,
  ): Promise<void> {
    this.#wire.write(mail)
    if (this.#offer.has('PIPELINING')) {
      for (const { command } of rcpts) this.#wire.write(command)
      if (!chunking) this.#wire.write('DATA\r\n')
      const mailed = await this.#answer(this.#timeouts.mail)
      for (const { place } of rcpts) results.rcpt(place, mailed, await this.#answer(this.#timeouts.rcpt))
      return
    }
    const mailed = await this.#answer(this.#timeouts.mail)
    if (mailed.code >= 300) return results.settleAll('mail', mailed)
    for (const { place, command } of rcpts) {
      this.#wire.write(command)
      results.rcpt(place, mailed, await this.#answer(this.#timeouts.rcpt))
    }
    if (!chunking && !results.settled) this.#wire.write('DATA\r\n')
  }

  /** BDAT (RFC 3030 §4.2): where the server pipelines, the next chunk is on its way before the last one was answered. */
  async #sendChunks(results: Results, chunks: Iterable<Block> | AsyncIterable<Block>): Promise<void> {
    if (results.settled) return this.#forget()
    const ahead = this.#offer.has('PIPELINING') ? 1 : 0
    let unanswered = 0
    let refusal: SmtpReply | undefined
    const hear = async (): Promise<void> => {
      const answer = await this.#answer(this.#timeouts.dataBlock)
      if (answer.code >= 300) refusal ??= answer
    }
    for await (const { octets, last } of chunks) {
      this.#wire.write(`BDAT ${octets.length}${last ? ' LAST' : ''}\r\n`)
      const farewell = await this.#transmit(octets)
      if (farewell !== undefined) return results.settleAll('data', farewell)
      if (last) {
        for (; unanswered > 0; unanswered--) await hear()
        if (refusal === undefined) return this.#conclude(results)
        break
      }
      unanswered++
      for (; unanswered > ahead; unanswered--) await hear()
      if (refusal !== undefined) break
    }
    for (; unanswered > 0; unanswered--) await hear()
    if (refusal !== undefined) results.settleAll('data', refusal)
    // After a chunk that was refused nobody knows how many replies are to come: that is no connection to go on with.
    this.close()
  }

  async #sendData(results: Results, message: Iterable<Block> | AsyncIterable<Block>): Promise<void> {
    if (results.settled && !this.#offer.has('PIPELINING')) return this.#forget()
    const go = await this.#answer(this.#timeouts.dataStart)
    if (go.code !== 354) {
      results.settleAll('data', go)
      return this.#forget()
    }
    if (results.settled) {
      // RFC 2920 §3.1: DATA was on its way already; an empty message for nobody ends it.
      await this.#transmit(Buffer.from('.\r\n'))
      await this.#answer(this.#timeouts.dataEnd)
      return
    }
    for await (const { octets, last } of message) {
      const answer = await this.#transmit(octets, !last)
      if (answer === undefined) continue
      // It does not want the rest. Half a message can only be ended by ending the connection.
      results.settleAll('data', answer)
      return this.close()
    }
    await this.#conclude(results)
  }

  /** One reply for all, or in LMTP one for each recipient that RCPT accepted. */
  async #conclude(results: Results): Promise<void> {
    let answer: SmtpReply | undefined
    for (const i of results.pending) {
      if (answer === undefined || this.#options.kind === 'lmtp')
        answer = await this.#answer(this.#timeouts.dataEnd, true)
      results.settle(i, 'data', answer)
    }
  }

  async #forget(): Promise<void> {
    await this.#command('RSET')
  }

  /**
   * Sends octets of a message. What the server says before it has them all is a refusal, which is returned, also when it has closed the connection
   * behind it; `listening` is false where its reply may be the one that all wait for.
   */
  async #transmit(octets: Uint8Array, listening = false): Promise<SmtpReply | undefined> {
    try {
      await this.#wire.send(octets, this.#timeouts.dataBlock)
    } catch (cause) {
      const last = this.#wire.queued > 0 ? await this.#answer(this.#timeouts.command) : undefined
      if (last !== undefined && last.code >= 400) return last
      throw new SmtpConnectionError('the connection broke while the message was sent', false, { cause })
    }
    return listening && this.#wire.queued > 0 ? this.#answer(this.#timeouts.dataBlock) : undefined
  }

  /** RSET: forget the transaction. `timeout` in milliseconds; default: that of commands. */
  async reset(timeout = this.#timeouts.command): Promise<void> {
    await this.#expect('RSET', 250, timeout)
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

  /** Closes in good order, without a word. */
  close(): void {
    this.#wire.close()
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#wire.destroy()
  }

  async #hello(): Promise<void> {
    const lmtp = this.#options.kind === 'lmtp'
    const answer = await this.#command(`${lmtp ? 'LHLO' : 'EHLO'} ${this.#options.name}`)
    if (answer.code === 250) {
      this.#offer = Offer.read(answer)
      return
    }
    if (lmtp || answer.code < 500) throw SmtpError.from(answer)
    this.#offer = new Offer()
    await this.#expect(`HELO ${this.#options.name}`, 250)
  }

  async #command(line: string, timeout = this.#timeouts.command): Promise<SmtpReply> {
    this.#wire.write(line + '\r\n')
    return this.#answer(timeout)
  }

  async #expect(line: string, code: number, timeout?: number): Promise<void> {
    const answer = await this.#command(line, timeout)
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
