// The story of one mail: every decision that was made on its way, who made it, and why.

import type { Recipient, Verdict } from './contracts.ts'

/** One decision. */
export interface Step {
  /** Milliseconds after the mail came. */
  readonly after: number
  /** Where on the way: a stage of the checks, the routing, a modifier, or a delivery. */
  readonly stage: 'connection' | 'sender' | 'recipient' | 'content' | 'route' | 'modifier' | 'delivery'
  /** The check, modifier, route or target, as the config names it. */
  readonly by: string
  /** `accept`, `quarantine`, `reject 550 5.7.1`, `deliver to mailbox` ... */
  readonly did: string
  /** The recipient that it is about, where it is about one. */
  readonly recipient?: string
  readonly why?: string
}

/** Collects the steps of one mail. */
export class Trace {
  readonly #steps: Step[] = []
  readonly #since: number
  readonly #now: () => number
  /** Steps beyond this many are counted, not kept: a mail to ten thousand recipients shall not fill the disk with its story. */
  static readonly MOST = 500
  #more = 0

  constructor(now: () => number) {
    this.#now = now
    this.#since = now()
  }

  get steps(): readonly Step[] {
    if (this.#more === 0) return this.#steps
    const last = this.#steps.at(-1)
    return [
      ...this.#steps,
      { after: last?.after ?? 0, stage: 'delivery', by: 'trace', did: `left out ${this.#more} more steps` },
    ]
  }

  add(step: Omit<Step, 'after'>): void {
    if (this.#steps.length >= Trace.MOST) this.#more++
    else this.#steps.push({ after: Math.max(0, this.#now() - this.#since), ...step })
  }

  /** A check's verdict. */
  judged(stage: Step['stage'], check: string, verdict: Verdict, recipient: Recipient | undefined): void {
    const reply = 'reply' in verdict ? verdict.reply : undefined
    const why = verdict.why ?? reply?.message ?? verdict.results?.join('; ')
    this.add({
      stage,
      by: check,
      did: reply === undefined ? verdict.action : `${verdict.action} ${reply.code} ${reply.enhanced ?? ''}`.trimEnd(),
      ...(recipient === undefined ? {} : { recipient: recipient.address.toString() }),
      ...(why === undefined ? {} : { why }),
    })
  }
}
