// A courier as the pipeline and the queue meet it: one delivery, one parcel for each destination domain.

import { type DeliverBy, SmtpError } from '@aviso/smtp'
import type { Scope } from '../../../kernel/scope.ts'
import type { Delivery, Mail, MailTarget, Message, Outcome, Routed } from '../../pipeline/contracts.ts'
import { isDelivered } from './answers.ts'
import type { Answer, Courier, Parcel, RecipientResult } from './contracts.ts'

export interface CourierTargetOptions {
  readonly courier: Courier
  /** All recipients go in one parcel, whatever their domains: the servers are fixed. */
  readonly together: boolean
  /** Mail that is meant for Junk may go there (to a mailbox of ours on another machine); to strangers it may not. */
  readonly quarantined: boolean
  /** Of the module: its end stops deliveries that are under way. */
  readonly scope: Scope
}

export class CourierTarget implements MailTarget {
  readonly queued = true
  readonly byDomain: boolean
  readonly #options: CourierTargetOptions

  constructor(options: CourierTargetOptions) {
    this.byDomain = !options.together
    this.#options = options
  }

  begin(mail: Mail): Delivery {
    return new CourierDelivery(mail, this.#options)
  }
}

class CourierDelivery implements Delivery {
  readonly #mail: Mail
  readonly #options: CourierTargetOptions
  readonly #routed: Routed[] = []
  readonly #abort = new AbortController()
  #message: Message | undefined
  #quarantined = false

  constructor(mail: Mail, options: CourierTargetOptions) {
    this.#mail = mail
    this.#options = options
  }

  add(routed: Routed): void {
    this.#routed.push(routed)
  }

  body(message: Message, quarantined: boolean): void {
    this.#message = message
    this.#quarantined = quarantined
  }

  async commit(): Promise<readonly Outcome[]> {
    const message = this.#message
    if (message === undefined) return []
    if (this.#quarantined && !this.#options.quarantined) {
      const failure = new SmtpError(550, '5.7.0', 'This mail looks like junk, and is not sent on from here')
      return this.#routed.map((routed) => ({ routed, failure }))
    }
    const left = timeLeft(this.#mail, this.#options.scope.clock.now())
    if (left !== undefined && left.late === 'return' && left.seconds <= 0) {
      const failure = new SmtpError(550, '5.4.7', 'The time in which this mail was to be delivered is over')
      return this.#routed.map((routed) => ({ routed, failure }))
    }
    const groups = this.#options.together
      ? [this.#routed]
      : [...Map.groupBy(this.#routed, ({ address }) => address.domain.toLowerCase()).values()]
    const signal = AbortSignal.any([this.#options.scope.signal, this.#abort.signal])
    const results = await Promise.all(
      groups.map(async (group) => {
        const sent = await this.#options.courier.send(parcelOf(this.#mail, message, group, left), signal)
        return group.map((routed, i): readonly [Routed, Outcome] => [routed, outcomeOf(routed, sent[i])])
      }),
    )
    const outcomes = new Map(results.flat())
    return this.#routed.map((routed) => outcomes.get(routed) ?? { routed, failure: refusal(NO_RESULT) })
  }

  abort(): void {
    this.#abort.abort(new Error('the delivery was called off'))
  }
}

const NO_RESULT: Answer = { code: 451, enhanced: '4.3.0', text: 'Nothing is known of this recipient' }

/** The parcel for some of a mail's recipients, all of one domain unless the servers are fixed. */
export function parcelOf(
  mail: Mail,
  message: Message,
  routed: readonly Routed[],
  deliverBy: DeliverBy | undefined,
): Parcel {
  const { body, smtpUtf8, requireTls, ret, envid, priority } = mail.parameters
  return {
    sender: mail.sender?.toString() ?? null,
    recipients: routed.map(({ address, recipient }) => ({
      address: address.toString(),
      ...(recipient.parameters.notify === undefined ? {} : { notify: recipient.parameters.notify }),
      ...(recipient.parameters.originalRecipient === undefined
        ? {}
        : { originalRecipient: recipient.parameters.originalRecipient }),
    })),
    message: { size: message.size, chunks: (from) => message.chunks(from) },
    domain: routed[0]?.address.domain ?? '',
    requireTls,
    // RFC 8689 §5: only the value No is known.
    tlsOptional: message.header.get('TLS-Required')?.trim().toLowerCase() === 'no',
    smtpUtf8,
    // BINARYMIME must be said; the others are found out from the message, which modifiers may have changed.
    body: body === 'BINARYMIME' ? body : undefined,
    ret,
    envid,
    deliverBy,
    priority,
  }
}

/** RFC 2852 §4.1.4: what is left of the time that the sender gave. */
function timeLeft({ parameters: { deliverBy }, received }: Mail, now: number): DeliverBy | undefined {
  if (deliverBy === undefined) return undefined
  return { ...deliverBy, seconds: Math.floor(deliverBy.seconds - Math.max(0, now - received) / 1000) }
}

function outcomeOf(routed: Routed, result: RecipientResult | undefined): Outcome {
  if (result === undefined) return { routed, failure: refusal(NO_RESULT) }
  const { answer, remote, how, relayed } = result
  return {
    routed,
    failure: isDelivered(answer) ? undefined : refusal(answer),
    ...(remote === undefined ? {} : { remote }),
    ...(how === '' ? {} : { how }),
    relayed,
  }
}

const refusal = ({ code, enhanced, text }: Answer): SmtpError => new SmtpError(code, enhanced, text)
