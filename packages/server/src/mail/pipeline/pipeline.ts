// A way for mail through the server: its checks, modifiers and routes. Endpoints begin a passage for each MAIL.

import type { MailAddress } from '@aviso/mime'
import type { MailParameters } from '@aviso/smtp'
import type { Accounts } from '../../accounts/contracts.ts'
import type { CounterMetric } from '../../kernel/metrics.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Client, Delivery, Mail, Outcome, Routed } from './contracts.ts'
import type { Message } from './message.ts'
import type { MailLimits } from './limits.ts'
import { Passage } from './passage.ts'
import type { NamedModifier, NamedTarget, Route } from './routes.ts'
import type { NamedCheck } from './stage.ts'
import type { StoryWriter } from './stories.ts'

export interface PipelineOptions {
  /** `incoming`, `outgoing`, or what the config calls it: for logs and metrics. */
  readonly name: string
  readonly hostname: string
  readonly checks: readonly NamedCheck[]
  readonly modifiers: readonly NamedModifier[]
  /** What no route fits goes to our accounts, or to other servers for those who may relay. */
  readonly routes: readonly Route[]
  /** Whoever hands in mail here may send to other servers: the server itself. Else an account has to be logged in. */
  readonly relay: boolean
  readonly accounts: Accounts
  /** For our accounts. */
  readonly mailbox: NamedTarget
  /** For every other address. */
  readonly remote: NamedTarget
  /** Keeps mail for the targets that are `queued`, and what a target could not take just now. */
  readonly queue: QueueDoor
  readonly stories: StoryWriter
  /** Undefined: as much mail as comes. */
  readonly limits?: MailLimits | undefined
}

/** How the pipeline hands mail to the queue. */
export interface QueueDoor {
  /** A target that keeps mail for `target` until it is delivered or bounced. */
  for(target: NamedTarget): NamedTarget
  /**
   * Commits deliveries that its targets began: all of them are kept, or none. Answers the outcomes of each. Resolves when everything is safe from power loss; rejects
   * when nothing is kept.
   */
  commit(deliveries: readonly Delivery[]): Promise<readonly (readonly Outcome[])[]>
  /** These recipients have the mail, without waiting for it: tells the sender, if that was asked for (RFC 3461 §4.1, SUCCESS). Resolves when that is safe. */
  delivered(mail: Mail, message: Message, routed: readonly Routed[]): Promise<void>
}

/** How a passage differs from the usual. */
export interface PassageOptions {
  /** Ask only what would happen: nothing is delivered or remembered. */
  readonly simulated?: boolean
  /** Of a simulated mail: asks programs outside of the server too. */
  readonly external?: boolean
  /** The client can be told of each recipient's failure (LMTP): nothing that failed goes to the queue. */
  readonly each?: boolean
  /** The mail's id, for one that may come a second time: whoever has it by that id already does not take it again. Default: a new one. */
  readonly id?: string
  /** Told of the passage before anything is asked of it. */
  began?(passage: Passage): void
}

export class Pipeline {
  readonly options: PipelineOptions
  readonly scope: Scope
  readonly counted: CounterMetric
  readonly judged: CounterMetric
  readonly refused: CounterMetric

  constructor(scope: Scope, options: PipelineOptions) {
    this.scope = scope
    this.options = options
    this.counted = scope.metrics.counter(
      'aviso_mails_total',
      'Mails that came to the end of their data, and those abandoned before it, by pipeline and outcome',
      ['pipeline', 'outcome'],
    )
    this.judged = scope.metrics.counter(
      'aviso_mail_verdicts_total',
      'Verdicts of checks other than accept, by pipeline, check and action',
      ['pipeline', 'check', 'action'],
    )
    this.refused = scope.metrics.counter(
      'aviso_mail_refusals_total',
      'Senders, recipients and mails that were refused, by pipeline, stage and the code that the client was told',
      ['pipeline', 'stage', 'code'],
    )
  }

  /** Begins a mail. Throws `SmtpError` when client or sender are refused. */
  async begin(
    client: Client,
    sender: MailAddress | null,
    parameters: MailParameters,
    options: PassageOptions = {},
  ): Promise<Passage> {
    const passage = new Passage(this, client, sender, parameters, options)
    options.began?.(passage)
    await passage.begin()
    return passage
  }
}
