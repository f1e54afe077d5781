// From the outcomes of one attempt to what is written down: who is done, who waits for how long, what the sender is told. Pure rules.

import type { RecipientParameters } from '@aviso/smtp'
import { randomWord, type Random } from '../../../kernel/random.ts'
import type { Step } from '../../pipeline/trace.ts'
import type { Result } from './attempt.ts'
import type { QueueConfig } from './config.ts'
import { type DueRecipient, type Fact, type LastError, type ReportKind, wanted } from './contracts.ts'
import { recipientParametersOf } from './remembered.ts'
import { isOutage, isOwnLimit, LIMIT_REST, wait } from './schedule.ts'
import type { Parting, Settlement } from './work-operations.ts'

/** What is known of the destination before the attempt. */
export interface Standing {
  readonly destination: number
  readonly target: string
  /** Troubles of its own in a row. */
  readonly failures: number
  /** The attempt began before the last trouble was found: another one tells nothing new. */
  readonly outdated: boolean
}

export interface Conclusion {
  readonly settlement: Settlement
  /** For metrics: delivered, postponed, bounced, expired. */
  readonly counts: Readonly<Record<'delivered' | 'postponed' | 'bounced' | 'expired', number>>
}

export function conclude(
  results: readonly Result[],
  standing: Standing,
  config: QueueConfig,
  now: number,
  random: Random,
): Conclusion {
  const counts = { delivered: 0, postponed: 0, bounced: 0, expired: 0 }
  const gone: Parting[] = []
  const later: { mail: number; n: number; nextAttempt: number; error: LastError; tried: boolean }[] = []
  const failures = results.map(({ failure }) => failure)
  const last = failures.at(-1)
  const down = last !== undefined && failures.every((failure) => failure !== undefined && isOutage(failure))
  const tried = last === undefined || !failures.every((failure) => failure !== undefined && isOwnLimit(failure))
  const id = randomWord(random, 16)
  for (const result of results) {
    const { row, failure } = result
    const { mail, n } = row
    const told = (kind: ReportKind, fact: () => Fact): Parting => ({
      mail,
      n,
      ...(wanted(recipientParametersOf(row.parameters).notify, kind) ? { tell: { kind, fact: fact(), id } } : {}),
    })
    if (failure === undefined) {
      counts.delivered++
      // What goes on through a pipeline of ours is told of by that one; what another server promised to tell of, by it.
      const silent = result.relayed || standing.target.startsWith('pipeline/')
      gone.push(silent ? { mail, n } : told('success', () => successFact(result, now)))
    } else if (failure.code >= 500) {
      counts.bounced++
      gone.push(told('failure', () => failureFact(row, failure, now)))
    } else if (row.expires <= now && tried) {
      counts.expired++
      gone.push(told('failure', () => ({ ...failureFact(row, failure, now), expired: true })))
    } else {
      counts.postponed++
      // While the destination is down it is the destination that waits: when it is up again, all this mail is due.
      const nextAttempt = down ? now : now + wait(config, row.attempts + 1, random)
      later.push({ mail, n, nextAttempt, error: failure, tried })
    }
  }
  let outage: Settlement['outage'] = null
  if (down && standing.outdated) outage = undefined
  else if (down && !tried) outage = { failures: standing.failures, until: now + LIMIT_REST, error: last, tried }
  else if (down) {
    const inARow = standing.failures + 1
    outage = { failures: inARow, until: now + wait(config, inARow, random), error: last, tried }
  }
  return { settlement: { destination: standing.destination, gone, later, outage }, counts }
}

const named = (row: DueRecipient): Pick<Fact, 'recipient' | 'originalRecipient'> => {
  const { originalRecipient }: RecipientParameters = recipientParametersOf(row.parameters)
  return { recipient: row.recipient, ...(originalRecipient === undefined ? {} : { originalRecipient }) }
}

/** What is told of a recipient who is given up. */
export const failureFact = (row: DueRecipient, error: LastError | undefined, at: number): Fact => ({
  ...named(row),
  action: 'failed',
  // RFC 3463 §3.5: X.4.7, delivery time expired, where nobody ever said anything.
  status: error?.enhanced ?? '4.4.7',
  ...replyOf(error),
  at,
})

/** What is told of a recipient who still waits. */
export const delayFact = (row: DueRecipient, error: LastError | undefined, at: number): Fact => ({
  ...failureFact(row, error, at),
  action: 'delayed',
  willRetryUntil: row.expires,
})

/** RFC 3461 §6.2: what went to a server that tells nobody of its delivery was relayed; else this was the last stop. */
const successFact = ({ row, remote }: Result, at: number): Fact => ({
  ...named(row),
  action: remote === undefined ? 'delivered' : 'relayed',
  status: '2.0.0',
  ...(remote === undefined ? {} : { remote }),
  at,
})

const replyOf = (error: LastError | undefined): Pick<Fact, 'reply' | 'remote'> =>
  error === undefined
    ? {}
    : {
        reply: { code: error.code, text: error.text },
        ...(error.remote === '' ? {} : { remote: error.remote }),
      }

/** Recipients of one attempt that the mail's story names one by one. */
const NAMED = 20

/** The attempt as the mail's story tells it; `after`: milliseconds since the mail came. */
export function stepsOf(results: readonly Result[], target: string, after: number): readonly Step[] {
  const steps: Step[] = []
  let unnamed = 0
  for (const { row, failure, remote, how } of results) {
    if (failure === undefined && steps.length >= NAMED) {
      unnamed++
      continue
    }
    const why = failure?.text ?? how
    steps.push({
      after,
      stage: 'delivery',
      by: `queue, ${target}${remote === undefined ? '' : ` (${remote})`}`,
      did: failure === undefined ? 'delivered' : `failed ${failure.code} ${failure.enhanced}`,
      recipient: row.address,
      ...(why === undefined ? {} : { why }),
    })
  }
  if (unnamed > 0)
    steps.push({ after, stage: 'delivery', by: `queue, ${target}`, did: `delivered to ${unnamed} more recipients` })
  return steps
}
