// Receiving a message: DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030), bounded in size, memory and time.

import { BodyCollector, type MemoryBudget } from '../body/collector.ts'
import type { MessageBody } from '../body/message.ts'
import type { Spool } from '../body/spool.ts'
import { BinaryReader } from '../body/text-form.ts'
import { type TextFault, TextReader } from '../body/text-reader.ts'
import type { Clock } from '../clock.ts'
import type { BodyType } from '../parameters.ts'
import { SmtpError } from '../reply.ts'
import { WireError, type Wire } from '../wire.ts'
import type { SmtpLimits } from './contracts.ts'

/** What receiving needs to know of the server. */
export interface BodyRules {
  readonly limits: SmtpLimits
  readonly budget: MemoryBudget
  readonly bareLineEndings: 'reject' | 'normalise'
  readonly spool: Spool | undefined
  readonly clock: Clock
}

/** One message on its way in. Call {@link release} when nobody needs it any more. */
export class IncomingBody {
  readonly #rules: BodyRules
  readonly #type: BodyType
  readonly #collector: BodyCollector
  /** One of the two looks at the octets. */
  readonly #text: TextReader | undefined
  readonly #binary: BinaryReader | undefined
  readonly #deadline: number
  #arrived = 0

  /** `command`: what carries the message. */
  constructor(rules: BodyRules, type: BodyType, command: 'DATA' | 'BDAT') {
    const { limits, budget, spool, bareLineEndings } = rules
    this.#rules = rules
    this.#type = type
    this.#collector = new BodyCollector({
      max: limits.messageSize,
      maxHeader: limits.headerSize,
      budget,
      spool,
      threshold: limits.messageInMemory,
    })
    const binary = type === 'BINARYMIME'
    this.#text = binary
      ? undefined
      : new TextReader({ dots: command === 'DATA', bareLineEndings, maxLine: limits.textLine })
    this.#binary = binary ? new BinaryReader(limits.textLine) : undefined
    this.#deadline = rules.clock.now() + limits.messageDuration
  }

  /** Reads up to the lone dot. Throws WireError, also when the message takes too long or has no end in sight. */
  async readData(wire: Wire): Promise<void> {
    for (;;) {
      const piece = await wire.readPiece()
      this.#arrived += piece.length
      const end = this.#text?.push(piece, this.#keep) ?? -1
      if (end >= 0) {
        if (end < piece.length) wire.unread(piece.subarray(end))
        return
      }
      await this.#pause()
    }
  }

  /** Reads a chunk of BDAT. Throws WireError. */
  async readChunk(wire: Wire, size: number): Promise<void> {
    let left = size
    // Chunks without an octet carry nothing, but must not go on for ever either.
    await this.#pause()
    while (left > 0) {
      const piece = await wire.readPiece(left)
      left -= piece.length
      this.#arrived += piece.length
      this.#binary?.push(piece)
      if (this.#text === undefined) this.#keep(piece)
      else this.#text.push(piece, this.#keep)
      await this.#pause()
    }
  }

  /** Why what has come so far is too much to take, if it is. */
  sizeFault(): SmtpError | undefined {
    const { overflow, size, cause } = this.#collector
    const { limits } = this.#rules
    // Not everybody behind us takes binary: what would be too big in base64 is too big.
    if (Math.max(size, this.#binary?.size ?? 0) > limits.messageSize) return tooBig(limits)
    if (overflow === 'memory') return new SmtpError(452, '4.3.1', 'Insufficient memory, try again later')
    if (overflow === 'spool') return new SmtpError(452, '4.3.1', 'Insufficient storage, try again later', { cause })
    return undefined
  }

  /** The message, its dots its own again. Throws SmtpError when it cannot be taken. */
  async finish(): Promise<MessageBody> {
    this.#text?.end(this.#keep)
    this.#binary?.end()
    const body = await this.#collector.finish(this.#type)
    const refusal = this.sizeFault() ?? this.#textFault()
    if (refusal !== undefined) throw refusal
    if (body === undefined) {
      const { headerSize } = this.#rules.limits
      throw new SmtpError(552, '5.3.4', `The header of the message exceeds the limit of ${headerSize} octets`)
    }
    return body
  }

  /** Never rejects; may be called again. */
  release(): Promise<void> {
    return this.#collector.release()
  }

  readonly #keep = (octets: Buffer): void => {
    // A message that will be refused is read to its end, but kept no longer.
    if (this.#fault !== undefined) this.#collector.drop()
    this.#collector.push(octets)
  }

  get #fault(): TextFault | undefined {
    return (this.#text ?? this.#binary)?.fault
  }

  #textFault(): SmtpError | undefined {
    switch (this.#fault) {
      case 'nul':
        return new SmtpError(550, '5.6.0', 'The message holds a NUL octet: encode it, as base64 does')
      case 'long':
        return new SmtpError(554, '5.6.0', `A line has more than ${this.#rules.limits.textLine} octets`)
      case 'bare':
        return new SmtpError(550, '5.6.11', 'CR or LF alone: lines end with CRLF (RFC 5321 section 2.3.8)')
      case undefined:
        return undefined
    }
  }

  /** Between two pieces: lets the spool take what is too much for memory, and looks at the bounds of patience. */
  async #pause(): Promise<void> {
    // Twice the size that was announced is no mistake any more: nobody waits for the end of that.
    if (this.#arrived > this.#rules.limits.messageSize * 2 + 65_536) throw new WireError('overrun')
    if (this.#rules.clock.now() > this.#deadline) throw new WireError('timeout')
    if (this.#collector.pressing) await this.#collector.spill()
  }
}

export function tooBig(limits: SmtpLimits): SmtpError {
  return new SmtpError(552, '5.3.4', `Message exceeds the limit of ${limits.messageSize} octets`)
}
