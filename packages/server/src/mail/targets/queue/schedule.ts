// When is tried again, and whose fault it was: pure rules.

import type { SmtpError } from '@aviso/smtp'
import type { Random } from '../../../kernel/random.ts'
import type { QueueConfig } from './config.ts'
import type { LastError } from './contracts.ts'

/** Milliseconds until the next attempt, after `failures` of them (from 1). */
export function wait(
  { retry, jitter }: Pick<QueueConfig, 'retry' | 'jitter'>,
  failures: number,
  random: Random,
): number {
  const base = retry[Math.min(Math.max(failures, 1), retry.length) - 1] ?? 300_000
  // From 1 - jitter to 1 + jitter of it.
  const dice = random.bytes(2).readUInt16BE(0) / 0xffff
  return Math.round(base * (1 + jitter * (2 * dice - 1)))
}

/** No attempt is planned further ahead than this: one that seems to be was written by a clock that was wrong. */
export const horizon = ({ retry, jitter }: Pick<QueueConfig, 'retry' | 'jitter'>): number =>
  Math.round(Math.max(...retry) * (1 + jitter)) + 60_000

/**
 * The destination is in trouble, not this mail: it cannot be reached (RFC 3463 §3.5, X.4.*), is closing (421), or takes nothing at all now (X.3.1, X.3.2). Nobody
 * else's mail would fare better.
 */
export const isOutage = ({ code, enhanced }: Pick<LastError, 'code' | 'enhanced'>): boolean =>
  code === 421 || /^4\.(?:4\.\d+|3\.[12])$/.test(enhanced)

/** Nobody was asked: a limit of our own let this one not go yet. That is no attempt, and nothing is the matter with the destination. */
export const isOwnLimit = ({ enhanced, remote }: Pick<LastError, 'enhanced' | 'remote'>): boolean =>
  enhanced === '4.4.5' && remote === ''

/** Milliseconds before a destination at its own limit is asked for a place again. */
export const LIMIT_REST = 10_000

/** What is kept of a refusal. The enhanced code is the real one, in the class of the reply (RFC 3463 §2; peers mix them). */
export function lastError(failure: SmtpError, remote: string | undefined): LastError {
  const { code, enhanced } = failure
  const kind = code < 500 ? '4' : '5'
  return {
    code,
    enhanced: enhanced === undefined ? `${kind}.0.0` : `${kind}${enhanced.slice(1)}`,
    text: failure.message.slice(0, 1000),
    remote: remote ?? '',
  }
}
