// The results of one transaction as they come in, recipient by recipient.

import type { SmtpReply } from '../reply.ts'
import type { OutgoingRecipient, RecipientResult } from './contracts.ts'

export class Results {
  readonly #recipients: readonly OutgoingRecipient[]
  readonly #results: (RecipientResult | undefined)[]

  constructor(recipients: readonly OutgoingRecipient[]) {
    this.#recipients = recipients
    this.#results = recipients.map(() => undefined)
  }

  /** Places of the recipients without a result, in the order of the envelope. */
  get pending(): readonly number[] {
    const places: number[] = []
    for (let i = 0; i < this.#results.length; i++) if (this.#results[i] === undefined) places.push(i)
    return places
  }

  waits(place: number): boolean {
    return this.#results[place] === undefined
  }

  /** Nobody waits for a result. */
  get settled(): boolean {
    return this.#results.every((result) => result !== undefined)
  }

  get all(): readonly RecipientResult[] {
    return this.#results.filter((result) => result !== undefined)
  }

  /** The first result stands. */
  settle(i: number, stage: RecipientResult['stage'], answer: SmtpReply): void {
    const accepted = stage === 'data' && answer.code >= 200 && answer.code < 300
    this.#results[i] ??= { address: this.#recipients[i]?.address ?? '', accepted, stage, reply: answer }
  }

  /** What the answers to MAIL and to this recipient's RCPT decide, if they do. */
  rcpt(i: number, mailed: SmtpReply, answer: SmtpReply): void {
    if (mailed.code >= 300) this.settle(i, 'mail', mailed)
    else if (answer.code >= 300) this.settle(i, 'rcpt', answer)
  }

  /** One answer for all who wait. */
  settleAll(stage: RecipientResult['stage'], answer: SmtpReply): void {
    for (const i of this.pending) this.settle(i, stage, answer)
  }
}
