// Tells of one mail: its trace while it goes, then log line, metrics and story.

import type { SmtpError } from '@aviso/smtp'
import type { Outcome, Recipient } from './contracts.ts'
import type { Passage } from './passage.ts'
import type { Pipeline } from './pipeline.ts'
import { asSmtpError } from './refusal.ts'
import type { Judged } from './stage.ts'
import type { Story } from './stories.ts'
import { type Step, Trace } from './trace.ts'

export class Chronicle {
  readonly #pipeline: Pipeline
  readonly #passage: Passage
  readonly #trace: Trace
  #told = false

  constructor(pipeline: Pipeline, passage: Passage) {
    const { clock } = pipeline.scope
    this.#pipeline = pipeline
    this.#passage = passage
    this.#trace = new Trace(() => clock.monotonic())
  }

  get steps(): readonly Step[] {
    return this.#trace.steps
  }

  add(step: Omit<Step, 'after'>): void {
    this.#trace.add(step)
  }

  /** What the checks of one stage said. */
  judged(stage: Step['stage'], judged: readonly Judged[], recipient: Recipient | undefined): void {
    const pipeline = this.#pipeline.options.name
    for (const { check, verdict } of judged) {
      const accepted = verdict.action === 'accept'
      if (!accepted && !this.#passage.simulated) this.#pipeline.judged.inc({ pipeline, check, action: verdict.action })
      if (!accepted || verdict.why !== undefined || verdict.results !== undefined || this.#passage.simulated)
        this.#trace.judged(stage, check, verdict, recipient)
    }
  }

  /** A check's verdict ended the mail, or a recipient of it. */
  refusedBy({ check, verdict }: Judged): void {
    if (!('reply' in verdict)) return
    const { client, id, simulated } = this.#passage
    if (simulated) return
    client.log.info(
      {
        event: 'mail-refused',
        mail: id,
        ...this.#account,
        check,
        code: verdict.reply.code,
        why: verdict.why ?? verdict.reply.message,
      },
      'mail refused by a check',
    )
  }

  landed(target: string, { routed, failure, remote, how }: Outcome): void {
    const why = failure?.message ?? how
    this.#trace.add({
      stage: 'delivery',
      by: remote === undefined ? target : `${target} (${remote})`,
      did: failure === undefined ? 'delivered' : `failed ${failure.code} ${failure.enhanced ?? ''}`.trimEnd(),
      recipient: routed.address.toString(),
      ...(why === undefined ? {} : { why }),
    })
  }

  /** Something was refused: the whole mail at MAIL, one recipient, or the whole mail at its data (`size` octets). Answers the reply. */
  refused(error: unknown, stage: 'sender' | 'recipient' | 'content', recipient?: Recipient, size = 0): SmtpError {
    const { client, id } = this.#passage
    const refusal = asSmtpError(error)
    if (refusal !== error) client.log.error({ err: error, mail: id }, 'mail could not be taken')
    this.#trace.add({
      stage,
      by: 'reply',
      did: `${refusal.code} ${refusal.enhanced ?? ''}`.trimEnd(),
      why: refusal.message,
      ...(recipient === undefined ? {} : { recipient: recipient.address.toString() }),
    })
    if (!this.#passage.simulated)
      this.#pipeline.refused.inc({ pipeline: this.#pipeline.options.name, stage, code: String(refusal.code) })
    const outcome = refusal.temporary ? 'deferred' : 'rejected'
    if (stage === 'content') this.#count(outcome)
    // A recipient that was refused is one line in the story of a mail that may go on.
    if (stage !== 'recipient') this.#tell(outcome, size)
    return refusal
  }

  accepted(outcome: 'accepted' | 'quarantined' | 'discarded' | 'simulated', size: number): void {
    const { client, id, sender, recipients } = this.#passage
    this.#count(outcome)
    this.#tell(outcome, size)
    if (outcome === 'simulated') return
    if (!client.log.isLevelEnabled('info')) return
    const judged = this.#trace.steps.filter(({ stage }) => stage !== 'route' && stage !== 'delivery')
    client.log.info(
      {
        event: 'mail-accepted',
        mail: id,
        ...this.#account,
        sender: sender?.toString() ?? '',
        recipients: recipients.length,
        size,
        ...(judged.length === 0
          ? {}
          : { trace: judged.map(({ by, did, why }) => `${by}: ${did}${why === undefined ? '' : ` (${why})`}`) }),
      },
      outcome === 'discarded' ? 'mail accepted and forgotten' : 'mail accepted',
    )
  }

  /** The client went away, or thought better of it. */
  abandoned(): void {
    if (this.#trace.steps.length === 0 && this.#passage.recipients.length === 0) return
    this.#count('abandoned')
    this.#tell('abandoned', 0)
  }

  #count(outcome: string): void {
    if (!this.#passage.simulated) this.#pipeline.counted.inc({ pipeline: this.#pipeline.options.name, outcome })
  }

  #tell(outcome: Story['outcome'], size: number): void {
    const { client, id, received, reversePath, recipients, simulated } = this.#passage
    if (this.#told || simulated) return
    this.#told = true
    this.#pipeline.options.stories.tell({
      id,
      at: received,
      pipeline: this.#pipeline.options.name,
      protocol: client.protocol,
      session: client.session,
      remoteAddress: client.remoteAddress,
      account: client.account?.address ?? '',
      sender: reversePath?.toString() ?? '',
      recipients: recipients.map(({ address }) => address.toString()),
      size,
      outcome,
      steps: this.#trace.steps,
    })
  }

  get #account(): { readonly account?: string } {
    const { account } = this.#passage.client
    return account === undefined ? {} : { account: account.address }
  }
}
