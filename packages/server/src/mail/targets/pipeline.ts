// Sends mail into another pipeline, which sees the addresses as this one rewrote them: `deliver: [pipeline/name]`.

import { SmtpError } from '@aviso/smtp'
import type { Delivery, Mail, MailTarget, Message, Outcome, Routed, Supposition } from '../pipeline/contracts.ts'
import type { Passage } from '../pipeline/passage.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import { asSmtpError } from '../pipeline/refusal.ts'

/** Mail that went round this many pipelines goes in circles. */
const DEEPEST = 10

/** How deep a mail stands in pipelines within pipelines. */
const depths = new WeakMap<object, number>()

export class PipelineTarget implements MailTarget {
  readonly queued = false
  readonly #find: () => Pipeline | undefined

  /** `find`: pipelines may send into each other, so each is looked up when it is used. */
  constructor(find: () => Pipeline | undefined) {
    this.#find = find
  }

  begin(mail: Mail): Delivery {
    return new Rerouted(this.#find, mail)
  }
}

class Rerouted implements Delivery {
  readonly #find: () => Pipeline | undefined
  readonly #mail: Mail
  readonly #routed: Routed[] = []
  #passage: Promise<Passage> | undefined
  #message: Message | undefined
  #quarantined = false

  constructor(find: () => Pipeline | undefined, mail: Mail) {
    this.#find = find
    this.#mail = mail
  }

  async add(routed: Routed): Promise<void> {
    this.#passage ??= this.#begin()
    const passage = await this.#passage
    await passage.recipient(routed.address, routed.recipient.parameters)
    this.#routed.push(routed)
  }

  body(message: Message, quarantined: boolean): void {
    this.#message = message
    this.#quarantined = quarantined
  }

  async commit(): Promise<readonly Outcome[]> {
    const passage = await this.#passage
    if (passage === undefined || this.#message === undefined) return []
    try {
      const outcomes = await passage.data(this.#message, {
        quarantined: this.#quarantined,
        results: this.#mail.results,
      })
      return this.#routed
        .map((routed): Outcome => {
          const mine = outcomes.filter((outcome) => outcome.routed.recipient.address === routed.address)
          return mine.find(({ failure }) => failure !== undefined) ?? { routed, failure: undefined }
        })
        .map((outcome, i) => ({ ...outcome, routed: this.#routed[i] ?? outcome.routed }))
    } catch (error) {
      const failure = asSmtpError(error)
      return this.#routed.map((routed) => ({ routed, failure }))
    }
  }

  async suppose(message: Message): Promise<Supposition> {
    const passage = await this.#passage
    if (passage === undefined) return { steps: [], refusal: undefined }
    try {
      await passage.data(message, { quarantined: false, results: this.#mail.results })
      return { steps: passage.steps, refusal: undefined }
    } catch (error) {
      return { steps: passage.steps, refusal: asSmtpError(error) }
    }
  }

  abort(): void {
    void this.#passage?.then((passage) => passage.abort()).catch(() => {})
  }

  async #begin(): Promise<Passage> {
    const pipeline = this.#find()
    if (pipeline === undefined)
      throw new SmtpError(451, '4.3.5', 'This mail is routed into a pipeline that is not there')
    const depth = (depths.get(this.#mail) ?? 0) + 1
    if (depth > DEEPEST) throw new SmtpError(451, '4.4.6', 'This mail goes in circles between pipelines of this server')
    const { client, sender, parameters, simulated, external } = this.#mail
    const passage = await pipeline.begin(client, sender, parameters, { simulated, external, each: true })
    depths.set(passage, depth)
    return passage
  }
}
