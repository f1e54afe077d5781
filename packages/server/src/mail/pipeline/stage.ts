// One stage of checks: all side by side, each within its time, the worst verdict counts.

import { SmtpError } from '@aviso/smtp'
import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Awaitable, MailCheck, Verdict } from './contracts.ts'

/** A check by the name that the config gives it. */
export interface NamedCheck {
  readonly name: string
  readonly check: MailCheck
}

/** A verdict and who gave it. */
export interface Judged {
  readonly check: string
  readonly verdict: Verdict
}

/** What a stage needs besides its checks. */
export interface Around {
  readonly clock: Clock
  readonly log: Log
  /** The mail's id, for the log. */
  readonly mail: string
}

const SEVERITY = { accept: 0, quarantine: 1, discard: 2, defer: 3, reject: 4 } as const

/** Milliseconds that a check may take which does not say. */
const PATIENCE = 30_000

/** Asks every check that has something to say at this stage. Never rejects; answers in the order of the checks. */
export function askAll(
  checks: readonly NamedCheck[],
  ask: (check: MailCheck) => Awaitable<Verdict> | undefined,
  around: Around,
): Awaitable<readonly Judged[]> {
  const asked: Awaitable<Judged>[] = []
  let waiting = false
  for (const named of checks) {
    const answer = inTime(named, ask, around)
    if (answer === undefined) continue
    if (answer instanceof Promise) waiting = true
    asked.push(answer)
  }
  // Checks that answer at once, as most do, cost no turn of the event loop.
  return waiting ? Promise.all(asked) : (asked as readonly Judged[])
}

/** The verdict that counts. */
export function worst(judged: readonly Judged[]): Judged | undefined {
  let found: Judged | undefined
  for (const candidate of judged)
    if (found === undefined || SEVERITY[candidate.verdict.action] > SEVERITY[found.verdict.action]) found = candidate
  return found
}

function inTime(
  { name, check }: NamedCheck,
  ask: (check: MailCheck) => Awaitable<Verdict> | undefined,
  around: Around,
): Awaitable<Judged> | undefined {
  try {
    const answer = ask(check)
    if (answer === undefined) return undefined
    if (!(answer instanceof Promise)) return { check: name, verdict: answer }
    const patience = check.patience ?? PATIENCE
    return new Promise((resolve) => {
      const timer = around.clock.timeout(patience, () =>
        resolve({ check: name, verdict: broken(around, name, new Error(`no answer within ${patience / 1000} s`)) }),
      )
      answer.then(
        (verdict) => {
          timer.cancel()
          resolve({ check: name, verdict })
        },
        (error: unknown) => {
          timer.cancel()
          resolve({ check: name, verdict: broken(around, name, error) })
        },
      )
    })
  } catch (error) {
    return { check: name, verdict: broken(around, name, error) }
  }
}

function broken({ log, mail }: Around, check: string, error: unknown): Verdict {
  log.error({ err: error, check, mail }, 'a check failed: the mail is deferred')
  return {
    action: 'defer',
    reply: new SmtpError(451, '4.7.1', 'The mail cannot be checked now, please try again later'),
    why: String(error),
  }
}
