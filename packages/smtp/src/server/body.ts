// Receiving a message: DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030), bounded in size, memory and time.

import { BodyCollector, type MemoryBudget } from '../body/collector.ts'
import { lineFault, normaliseLines, unstuffDots } from '../body/lines.ts'
import { TerminatorScanner } from '../body/terminator.ts'
import type { Clock } from '../clock.ts'
import type { BodyType } from '../parameters.ts'
import { SmtpError } from '../reply.ts'
import { WireError, type Wire } from '../wire.ts'
import type { MessageBody, SmtpLimits } from './contracts.ts'

/** What receiving needs to know of the server. */
export interface BodyRules {
  readonly limits: SmtpLimits
  readonly budget: MemoryBudget
  readonly bareLineEndings: 'reject' | 'normalise'
  readonly clock: Clock
}

const DATA_END = '.\r\n'.length

/** One message on its way in. Call {@link release} when nobody holds it any more. */
export class IncomingBody {
  readonly #rules: BodyRules
  readonly #type: BodyType
  readonly #collector: BodyCollector
  readonly #deadline: number
  #cut = 0

  constructor(rules: BodyRules, type: BodyType) {
    this.#rules = rules
    this.#type = type
    this.#collector = new BodyCollector(rules.limits.messageSize + DATA_END, rules.budget)
    this.#deadline = rules.clock.now() + rules.limits.messageDuration
  }

  /** Reads up to the lone dot. Throws WireError, also when the message takes too long or has no end in sight. */
  async readData(wire: Wire): Promise<void> {
    const scanner = new TerminatorScanner()
    this.#cut = DATA_END
    for (;;) {
      const piece = await wire.readPiece()
      const end = scanner.scan(piece)
      if (end >= 0) {
        if (end < piece.length) wire.unread(piece.subarray(end))
        this.#collector.push(end < piece.length ? piece.subarray(0, end) : piece)
        return
      }
      this.#collector.push(piece)
      this.#checkPatience()
    }
  }

  /** Reads a chunk of BDAT. Throws WireError. */
  async readChunk(wire: Wire, size: number): Promise<void> {
    let left = size
    while (left > 0) {
      const piece = await wire.readPiece(left)
      left -= piece.length
      this.#collector.push(piece)
      this.#checkPatience()
    }
  }

  /** Why what has come so far is too much to take, if it is. */
  sizeFault(): SmtpError | undefined {
    const { overflow, size } = this.#collector
    if (overflow === 'memory') return new SmtpError(452, '4.3.1', 'Insufficient memory, try again later')
    return overflow === 'size' || size - this.#cut > this.#rules.limits.messageSize
      ? tooBig(this.#rules.limits)
      : undefined
  }

  /** The message, its dots its own again. Throws SmtpError when it cannot be taken. */
  finish(): MessageBody {
    const sizeFault = this.sizeFault()
    if (sizeFault !== undefined) throw sizeFault
    const raw = this.#collector.take(this.#cut)
    let message = this.#cut === 0 ? raw : unstuffDots(raw)
    // RFC 5321 §4.5.2 and RFC 5322 §4.1 know no NUL, and IMAP cannot carry one in a literal (RFC 9051 §4.3).
    if (this.#type !== 'BINARYMIME' && message.includes(0))
      throw new SmtpError(550, '5.6.0', 'The message holds a NUL octet: encode it, as base64 does')
    if (this.#type !== 'BINARYMIME') {
      if (this.#rules.bareLineEndings === 'normalise') message = normaliseLines(message)
      const fault = lineFault(message, this.#rules.limits.textLine)
      if (fault === 'long')
        throw new SmtpError(554, '5.6.0', `A line has more than ${this.#rules.limits.textLine} octets`)
      if (fault === 'bare') {
        throw new SmtpError(550, '5.6.11', 'CR or LF alone: lines end with CRLF (RFC 5321 section 2.3.8)')
      }
    }
    return { size: message.length, type: this.#type, bytes: message }
  }

  release(): void {
    this.#collector.release()
  }

  #checkPatience(): void {
    // Twice the size that was announced is no mistake any more: nobody waits for the end of that.
    if (this.#collector.size > this.#rules.limits.messageSize * 2 + 65_536) throw new WireError('overrun')
    if (this.#rules.clock.now() > this.#deadline) throw new WireError('timeout')
  }
}

export function tooBig(limits: SmtpLimits): SmtpError {
  return new SmtpError(552, '5.3.4', `Message exceeds the limit of ${limits.messageSize} octets`)
}
