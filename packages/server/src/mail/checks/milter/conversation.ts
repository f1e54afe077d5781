// One mail shown to a milter, stage by stage, on a connection of its own.

import { isIPv4 } from 'node:net'
import { plainAddress } from '../../../net/addresses.ts'
import type { Mail, Message, Recipient, Verdict } from '../../pipeline/contracts.ts'
import type { Wire } from '../wire.ts'
import { Changes, type Decision, decision } from './answers.ts'
import {
  ALL_ACTIONS,
  BODY_PIECE,
  MACRO_STAGES,
  type MacroStage,
  MilterError,
  type Negotiated,
  OFFERED_STEPS,
  packet,
  readNegotiation,
  readPacket,
  STEPS,
  uint16,
  uint32,
  VERSION,
} from './protocol.ts'

/** What is the same for all mails of one milter. */
export interface Terms {
  readonly hostname: string
  /** Octets that a new body may have. */
  readonly maxBody: number
}

/** "Still working on it", so often in a row, and no more. */
const MAX_PROGRESS = 1000

const CONTINUE: Decision = { kind: 'continue' }

export class Conversation {
  readonly #wire: Wire
  readonly #terms: Terms
  readonly #mail: Mail
  readonly #negotiated: Negotiated
  /** It wants to see no more of this mail: accepted, or refused. */
  #over = false
  #discard = false

  private constructor(wire: Wire, terms: Terms, mail: Mail, negotiated: Negotiated) {
    this.#wire = wire
    this.#terms = terms
    this.#mail = mail
    this.#negotiated = negotiated
  }

  /** Begins: negotiation only. Rejects with WireError or MilterError. */
  static async begin(wire: Wire, terms: Terms, mail: Mail): Promise<Conversation> {
    await wire.write(packet('O', uint32(VERSION, ALL_ACTIONS, OFFERED_STEPS)))
    return new Conversation(wire, terms, mail, readNegotiation(await readPacket(wire)))
  }

  /** Client, greeting and sender. `name` is the client's name in the DNS, where it has one that leads back. */
  async sender(name: string | undefined): Promise<Verdict> {
    const { client, reversePath, parameters } = this.#mail
    const address = plainAddress(client.remoteAddress)
    const host = name ?? (address === '' ? 'localhost' : `[${address}]`)
    const place =
      address === ''
        ? [Buffer.from('U')]
        : [Buffer.from(isIPv4(address) ? '4' : '6'), uint16(0), Buffer.from(`${address}\0`)]
    const sender = reversePath?.toString() ?? ''
    await this.#macros('connect', 'C', {
      j: this.#terms.hostname,
      _: address === '' ? 'localhost' : `${host} [${address}]`,
      v: 'Aviso',
      '{daemon_name}': client.protocol,
      '{client_addr}': address,
      '{client_name}': host,
      '{client_ptr}': name ?? 'unknown',
    })
    const met = await this.#step(STEPS.noConnect, STEPS.silentConnect, packet('C', host, ...place))
    if (this.#ends(met)) return verdictOf(met)
    await this.#macros('hello', 'H', {
      '{tls_version}': client.tls?.protocol,
      '{cipher}': client.tls?.cipher,
    })
    const greeted = await this.#step(STEPS.noHello, STEPS.silentHello, packet('H', client.hello))
    if (this.#ends(greeted)) return verdictOf(greeted)
    await this.#macros('mail', 'M', {
      i: this.#mail.id,
      '{auth_type}': client.account === undefined ? undefined : 'PLAIN',
      '{auth_authen}': client.account?.address,
      '{mail_mailer}': client.protocol,
      '{mail_host}': reversePath?.domain ?? '',
      '{mail_addr}': sender,
    })
    const words = [
      `<${sender}>`,
      ...(parameters.size === undefined ? [] : [`SIZE=${parameters.size}`]),
      ...(parameters.body === '7BIT' ? [] : [`BODY=${parameters.body}`]),
      ...(parameters.smtpUtf8 ? ['SMTPUTF8'] : []),
    ]
    const said = await this.#step(STEPS.noMail, STEPS.silentMail, packet('M', ...words))
    this.#ends(said)
    return verdictOf(said)
  }

  async recipient({ address }: Recipient): Promise<Verdict> {
    if (this.#over) return verdictOf(CONTINUE)
    await this.#macros('recipient', 'R', {
      '{rcpt_mailer}': 'local',
      '{rcpt_host}': address.domain,
      '{rcpt_addr}': address.toString(),
    })
    const said = await this.#step(STEPS.noRecipient, STEPS.silentRecipient, packet('R', `<${address.toString()}>`))
    // A refusal here is this recipient's alone.
    if (said.kind !== 'refuse') this.#ends(said)
    return verdictOf(said)
  }

  /** `patience`: milliseconds that the milter may take for its answer to the end. */
  async content(message: Message, patience: number): Promise<Verdict> {
    if (this.#discard) return verdictOf({ kind: 'discard' })
    if (this.#over) return verdictOf(CONTINUE)
    for await (const said of this.#show(message)) if (this.#ends(said)) return verdictOf(said)
    await this.#macros('endOfMessage', 'E', { i: this.#mail.id })
    await this.#wire.write(packet('E'))
    this.#wire.timeout = patience
    const changes = new Changes(message.header, this.#negotiated.actions, this.#terms.maxBody)
    for (let progress = 0; ;) {
      const answer = await readPacket(this.#wire)
      const said = decision(answer)
      if (said !== undefined) {
        this.#over = true
        if (said.kind === 'continue' || said.kind === 'accept') return changes.verdict(message)
        if (said.kind === 'skip') throw new MilterError('it skips the end of the message')
        return verdictOf(said)
      }
      if (answer.letter !== 'p') changes.take(answer)
      else if (++progress > MAX_PROGRESS) throw new MilterError('it is never done')
    }
  }

  /** The milter can forget this mail. */
  end(): void {
    this.#wire.end(Buffer.concat([packet('A'), packet('Q')]))
  }

  /** DATA, the header and the body, with what the milter says to each piece. */
  async *#show(message: Message): AsyncGenerator<Decision> {
    await this.#macros('data', 'T', { i: this.#mail.id })
    yield await this.#step(STEPS.noData, STEPS.silentData, packet('T'))
    for (const { name, valueStart, end } of message.header.fields()) {
      if (name === '') continue
      const value = message.head.subarray(valueStart, end)
      const field = packet('L', name, fieldValue(value))
      yield await this.#step(STEPS.noHeaders, STEPS.silentHeader, field)
    }
    await this.#macros('endOfHeaders', 'N', { i: this.#mail.id })
    yield await this.#step(STEPS.noEndOfHeaders, STEPS.silentEndOfHeaders, packet('N'))
    if (this.#has(STEPS.noBody)) return
    for await (const chunk of message.body())
      for (let at = 0; at < chunk.byteLength; at += BODY_PIECE) {
        const said = await this.#step(STEPS.noBody, STEPS.silentBody, packet('B', chunk.subarray(at, at + BODY_PIECE)))
        if (said.kind === 'skip') return
        yield said
      }
  }

  /** Sends a packet unless the milter does not want it, and reads the answer unless it gives none. */
  async #step(unwanted: number, silent: number, bytes: Buffer): Promise<Decision> {
    if (this.#has(unwanted)) return CONTINUE
    await this.#wire.write(bytes)
    if (this.#has(silent)) return CONTINUE
    for (let progress = 0; progress < MAX_PROGRESS; progress++) {
      const answer = await readPacket(this.#wire)
      if (answer.letter === 'p') continue
      const said = decision(answer)
      if (said === undefined || (said.kind === 'skip' && unwanted !== STEPS.noBody))
        throw new MilterError(`it answers '${answer.letter.replace(/[^ -~]/, '?')}' to a step`)
      return said
    }
    throw new MilterError('it is never done')
  }

  /** The macros of a stage: those that the milter asked for, or all. They say nothing that the milter does not want to be shown. */
  async #macros(
    stage: MacroStage,
    letter: string,
    values: Readonly<Record<string, string | undefined>>,
  ): Promise<void> {
    const wanted = this.#negotiated.macros.get(MACRO_STAGES[stage])
    const parts = Object.entries(values).flatMap(([name, value]) =>
      value === undefined || (wanted !== undefined && !wanted.some((one) => braced(one) === braced(name)))
        ? []
        : [name, value],
    )
    if (parts.length > 0) await this.#wire.write(packet('D', Buffer.from(letter), ...parts))
  }

  #ends(said: Decision): boolean {
    if (said.kind === 'continue') return false
    this.#over = true
    if (said.kind === 'discard') this.#discard = true
    return true
  }

  #has(step: number): boolean {
    return (this.#negotiated.steps & step) !== 0
  }
}

/** `{i}` and `i` are the same macro. */
const braced = (name: string): string => name.replace(/^\{(.*)\}$/, '$1')

/** A value as milters get it: lines end with LF, without the blank behind the colon; ends with NUL. */
function fieldValue(bytes: Uint8Array): Buffer {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const value = text.replace(/\r\n/g, '\n').replace(/\n$/, '').replace(/^ /, '').replaceAll('\0', '')
  return Buffer.from(`${value}\0`, 'latin1')
}

function verdictOf(said: Decision): Verdict {
  switch (said.kind) {
    case 'refuse':
      return { action: said.reply.temporary ? 'defer' : 'reject', reply: said.reply }
    case 'discard':
      return { action: 'discard', why: 'a milter discards it' }
    default:
      return { action: 'accept' }
  }
}
