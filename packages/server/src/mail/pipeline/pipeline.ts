// From envelope to delivery: checks, routing by recipient, modifiers, targets. Nothing is accepted before it is safe.

import { Headers, type MailAddress, parseMailAddress } from '@aviso/mime'
import { type MailParameters, receivedField, type RecipientParameters, SmtpError, transmissionType } from '@aviso/smtp'
import type { Accounts } from '../../accounts/contracts.ts'
import { randomWord } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { CounterMetric } from '../../kernel/metrics.ts'
import type {
  Client,
  Content,
  Delivery,
  HeaderEdit,
  Mail,
  MailCheck,
  MailModifier,
  MailTarget,
  Outcome,
  Recipient,
  Routed,
  Verdict,
} from './contracts.ts'
import { edited } from './edit.ts'
import { asSmtpError } from './refusal.ts'
import { askAll, type NamedCheck, type Traced, worst } from './stage.ts'

export interface PipelineOptions {
  /** `incoming`, `outgoing`: for logs and metrics. */
  readonly name: string
  readonly hostname: string
  readonly checks: readonly NamedCheck[]
  readonly modifiers: readonly MailModifier[]
  readonly accounts: Accounts
  /** For our accounts. */
  readonly local: MailTarget
  /** For every other address, and for what a local mailbox could not take just now. */
  readonly queue: MailTarget
}

/** One way for mail through the server. Endpoints begin a passage for each MAIL. */
export class Pipeline {
  readonly options: PipelineOptions
  readonly scope: Scope
  readonly counted: CounterMetric

  constructor(scope: Scope, options: PipelineOptions) {
    this.scope = scope
    this.options = options
    this.counted = scope.metrics.counter(
      'aviso_mails_total',
      'Mails that came to the end of their data, by pipeline and outcome',
      ['pipeline', 'outcome'],
    )
  }

  /** Begins a mail. Throws `SmtpError` when the sender is refused. */
  async begin(client: Client, sender: MailAddress | null, parameters: MailParameters): Promise<Passage> {
    const passage = new Passage(this, client, sender, parameters)
    await passage.ask((check) => check.sender?.(passage))
    return passage
  }
}

/** One mail's way through a pipeline: MAIL, then RCPT by RCPT, then the data or nothing. */
export class Passage implements Mail {
  readonly id: string
  readonly client: Client
  readonly sender: MailAddress | null
  readonly parameters: MailParameters
  readonly received: number
  readonly recipients: Recipient[] = []
  readonly #pipeline: Pipeline
  readonly #deliveries = new Map<MailTarget, Delivery>()
  readonly #trace: Traced[] = []
  #quarantined = false

  constructor(pipeline: Pipeline, client: Client, sender: MailAddress | null, parameters: MailParameters) {
    this.#pipeline = pipeline
    this.id = randomWord(pipeline.scope.random, 16)
    this.client = client
    this.sender = sender
    this.parameters = parameters
    this.received = pipeline.scope.clock.now()
  }

  /** Runs one stage of the checks. Throws the `SmtpError` of the worst verdict when that is to reject or to defer. */
  async ask(stage: (check: MailCheck) => Verdict | Promise<Verdict> | undefined): Promise<void> {
    const { clock } = this.#pipeline.scope
    const traced = await askAll(this.#pipeline.options.checks, stage, {
      clock,
      log: this.client.log,
      mail: this.id,
    })
    for (const one of traced)
      if (one.verdict.action !== 'accept' || one.verdict.why !== undefined) this.#trace.push(one)
    const verdict = worst(traced)
    if (verdict === undefined || verdict.verdict.action === 'accept') return
    if (verdict.verdict.action === 'quarantine') {
      this.#quarantined = true
      return
    }
    this.client.log.info(
      {
        event: 'mail-refused',
        mail: this.id,
        ...(this.client.account === undefined ? {} : { account: this.client.account.address }),
        check: verdict.check,
        code: verdict.verdict.reply.code,
        why: verdict.verdict.why ?? verdict.verdict.reply.message,
      },
      'mail refused by a check',
    )
    throw verdict.verdict.reply
  }

  /** Takes one recipient. Throws `SmtpError` when it is refused. */
  async recipient(address: MailAddress, parameters: RecipientParameters): Promise<void> {
    const recipient: Recipient = { address, parameters }
    const routes = await this.#route(recipient)
    await this.ask((check) => check.recipient?.(this, recipient))
    for (const { target, routed } of routes) {
      let delivery = this.#deliveries.get(target)
      if (delivery === undefined) this.#deliveries.set(target, (delivery = target.begin(this)))
      await delivery.add(routed)
    }
    this.recipients.push(recipient)
  }

  /** Takes the message. Resolves when it is safe for every recipient; throws `SmtpError` when the client must keep it. */
  async data(bytes: Uint8Array): Promise<void> {
    const { options, counted } = this.#pipeline
    try {
      const content: Content = { bytes, header: Headers.parse(bytes) }
      await this.ask((check) => check.content?.(this, content))
      // RFC 5321 §4.4: the one Return-Path is made at the final delivery, whatever the client wrote.
      const edits: HeaderEdit[] = [{ prepend: [this.#receivedField()], remove: ['Return-Path'] }]
      for (const modifier of options.modifiers) edits.unshift(await modifier.edit(this, content))
      const whole = edited(content, edits)
      for (const delivery of this.#deliveries.values()) await delivery.body(whole, this.#quarantined)
      await this.#commit(whole)
      counted.inc({ pipeline: options.name, outcome: this.#quarantined ? 'quarantined' : 'accepted' })
      this.client.log.info(
        {
          event: 'mail-accepted',
          mail: this.id,
          ...(this.client.account === undefined ? {} : { account: this.client.account.address }),
          sender: this.sender?.toString() ?? '',
          recipients: this.recipients.length,
          size: whole.byteLength,
          ...(this.#trace.length === 0
            ? {}
            : {
                trace: this.#trace.map(
                  ({ check, verdict }) =>
                    `${check}: ${verdict.action}${'why' in verdict && verdict.why !== undefined ? ` (${verdict.why})` : ''}`,
                ),
              }),
        },
        'mail accepted',
      )
    } catch (error) {
      this.abort()
      const refusal = asSmtpError(error)
      counted.inc({ pipeline: options.name, outcome: refusal.temporary ? 'deferred' : 'rejected' })
      if (refusal !== error) this.client.log.error({ err: error, mail: this.id }, 'mail could not be taken')
      throw refusal
    }
  }

  /** The mail ends without data, or failed. */
  abort(): void {
    for (const delivery of this.#deliveries.values()) delivery.abort()
    this.#deliveries.clear()
  }

  /** Local mailboxes last: what the queue cannot keep must not be half delivered. What a mailbox cannot take now, the queue takes for later. */
  async #commit(whole: Uint8Array): Promise<void> {
    const { local, queue } = this.#pipeline.options
    const queued = this.#deliveries.get(queue)
    if (queued !== undefined) firstFailure(await queued.commit())
    const delivered = this.#deliveries.get(local)
    if (delivered === undefined) return
    const outcomes = await delivered.commit()
    const failed = outcomes.filter(({ failure }) => failure !== undefined)
    if (failed.length === outcomes.length && queued === undefined) firstFailure(failed)
    if (failed.length === 0) return
    const later = queue.begin(this)
    for (const { routed } of failed) await later.add(routed)
    await later.body(whole, this.#quarantined)
    firstFailure(await later.commit())
  }

  async #route(recipient: Recipient): Promise<readonly { readonly target: MailTarget; readonly routed: Routed }[]> {
    const { accounts, local, queue } = this.#pipeline.options
    const { address } = recipient
    let resolution: Awaited<ReturnType<Accounts['resolve']>>
    try {
      resolution = await accounts.resolve(address.toString())
    } catch (error) {
      this.client.log.error({ err: error, mail: this.id }, 'a recipient cannot be looked up now')
      throw new SmtpError(451, '4.3.0', `${address.toString()} cannot be looked up now, please try again later`, {
        cause: error,
      })
    }
    if (resolution.kind === 'unknown')
      throw new SmtpError(550, '5.1.1', `There is no mailbox ${address.toString()} here`)
    if (resolution.kind === 'foreign') {
      this.#mayRelay(address)
      return [{ target: queue, routed: { recipient, address, account: undefined } }]
    }
    const routes: { target: MailTarget; routed: Routed }[] = resolution.accounts.map((account) => ({
      target: local,
      // Its own address, not the alias that led here: in the queue each waiting mailbox must have a name of its own.
      routed: { recipient, address: parseMailAddress(account.address) ?? address, account },
    }))
    for (const forward of resolution.forwards) {
      const onward = parseMailAddress(forward)
      if (onward !== undefined)
        routes.push({ target: queue, routed: { recipient, address: onward, account: undefined } })
    }
    return routes
  }

  #mayRelay(address: MailAddress): void {
    const { account } = this.client
    if (account === undefined)
      throw new SmtpError(550, '5.7.1', `${address.domain} is not served here, and relaying needs a login`)
    if (account.role === 'limited')
      throw new SmtpError(550, '5.7.1', `The account ${account.address} may send to local addresses only`)
  }

  #receivedField(): string {
    const { client, parameters, recipients } = this
    const field = receivedField({
      // Where a user's device is, is nobody's business.
      ...(client.account === undefined ? { from: { hello: client.hello, address: client.remoteAddress } } : {}),
      by: this.#pipeline.options.hostname,
      with: transmissionType({
        kind: client.protocol === 'lmtp' ? 'lmtp' : 'smtp',
        extended: client.extended,
        secure: client.tls !== undefined,
        authenticated: client.account !== undefined,
        smtpUtf8: parameters.smtpUtf8,
      }),
      id: this.id,
      recipients: recipients.map(({ address }) => address.toString()),
      ...(client.tls === undefined ? {} : { tls: client.tls.cipher }),
      date: new Date(this.received),
    })
    return field.slice(0, -2)
  }
}

/** Throws the first failure, if there is one. */
function firstFailure(outcomes: readonly Outcome[]): void {
  for (const { failure } of outcomes) if (failure !== undefined) throw failure
}
