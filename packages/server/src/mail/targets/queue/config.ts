// The `mail.queue` part of the config.

import * as v from 'valibot'
import { duration } from '../../../kernel/units.ts'
import { asDomain } from '../../authentication/domain.ts'
import { textPattern } from '../../routes-config.ts'

const whole = (least: number, most: number, what: string) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most), v.description(what))

export const queueConfig = v.strictObject({
  retry: v.optional(
    v.pipe(
      v.array(
        v.pipe(
          duration(),
          v.check((ms) => ms >= 1000, 'expected at least 1s'),
        ),
      ),
      v.minLength(1),
      v.maxLength(50),
      v.description(
        'what passes between one attempt and the next: the first value after the first failure, and so on; the last one repeats',
      ),
    ),
    ['5m', '10m', '20m', '40m', '1h'],
  ),
  jitter: v.optional(
    v.pipe(
      v.number(),
      v.minValue(0),
      v.maxValue(0.5),
      v.description('the part of each wait that is left to chance, so that what failed together is not tried together'),
    ),
    0.1,
  ),
  expire: v.pipe(
    duration('5d'),
    v.description(
      'how long is tried before the sender gets the mail back; counts for mail that comes in from then on. Time on hold does not count',
    ),
  ),
  'delay-warning': v.pipe(
    duration('4h'),
    v.description('after what time the sender is told that the mail still waits; 0s: never'),
  ),
  'notification-domain': v.optional(
    v.pipe(
      v.string(),
      v.check((text) => asDomain(text) !== undefined, 'expected a domain'),
      v.description(
        "whose MAILER-DAEMON writes to senders (default: the sender's own domain where that is ours, or our first one)",
      ),
    ),
  ),
  parallel: v.optional(
    v.strictObject({
      total: v.optional(
        whole(
          1,
          5000,
          'deliveries at the same time; those that take longer than half a minute do not count, up to five times as many',
        ),
        100,
      ),
      'per-destination': v.optional(
        whole(1, 1000, 'of these to one destination: a domain for remote, else the target itself'),
        10,
      ),
    }),
    {},
  ),
  hold: v.optional(
    v.pipe(
      v.array(
        v.pipe(
          v.string(),
          v.check(
            (text) => textPattern(text) !== undefined,
            'expected an address, a domain, *.domain for its subdomains, postmaster, <> for the null sender, or * for all',
          ),
        ),
      ),
      v.description('senders and recipients whose mail waits in the queue until somebody releases it'),
    ),
    [],
  ),
})

export type QueueConfig = v.InferOutput<typeof queueConfig>
