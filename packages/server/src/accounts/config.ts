// The settings of `accounts:`: which passwords are kept in which form, and how hard guessing is made.

import * as v from 'valibot'
import { duration } from '../kernel/units.ts'
import { certificatesConfig } from './certificates.ts'
import { oauthConfig } from './oauth/config.ts'
import { rolesConfig } from './roles.ts'

const whole = (least: number, most: number, text: string): v.GenericSchema<number> =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most), v.description(text))

export const MECHANISMS = [
  'SCRAM-SHA-512-PLUS',
  'SCRAM-SHA-256-PLUS',
  'SCRAM-SHA-1-PLUS',
  'SCRAM-SHA-512',
  'SCRAM-SHA-256',
  'SCRAM-SHA-1',
  'PLAIN',
  'LOGIN',
] as const

/** The forms in which a password can be kept. */
export const FORMS = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'argon2id'] as const
export type Form = (typeof FORMS)[number]

export const authConfig = v.strictObject({
  mechanisms: v.optional(
    v.pipe(v.array(v.picklist(MECHANISMS)), v.minLength(1), v.description('SASL mechanisms that clients may use')),
    [...MECHANISMS],
  ),
  'channel-binding': v.optional(
    v.pipe(
      v.array(v.picklist(['c2s', 'imap', 'submission'])),
      v.description(
        'where the -PLUS mechanisms are offered. Chat programs know channel binding; mail programs with GNU SASL (neomutt) choose it, cannot do it over TLS 1.3, and give up',
      ),
    ),
    ['c2s'],
  ),
  roles: v.optional(rolesConfig, {}),
  certificates: v.optional(certificatesConfig, {}),
  oauth: v.optional(oauthConfig),
  cleartext: v.optional(
    v.pipe(v.picklist(['never', 'loopback']), v.description('logins without TLS: never, or from this machine only')),
    'never',
  ),
  passwords: v.optional(
    v.strictObject({
      minimum: v.optional(whole(1, 128, 'characters that a new password must have'), 8),
      forms: v.optional(
        v.pipe(
          v.array(v.picklist(FORMS)),
          v.minLength(1),
          v.description(
            'how passwords are kept; forms that are missing or no longer wanted change at the next login with PLAIN',
          ),
        ),
        // SCRAM-SHA-512 would cost each new account one more hash, and clients have SCRAM-SHA-256.
        ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'argon2id'],
      ),
      iterations: v.optional(
        whole(4096, 1_000_000, 'PBKDF2 rounds of the SCRAM forms (RFC 7677: 4096 at least)'),
        10_000,
      ),
      argon2: v.optional(
        v.strictObject({
          memory: v.optional(whole(8192, 262_144, 'KiB for one argon2id hash'), 19_456),
          passes: v.optional(whole(1, 10, 'argon2id passes'), 2),
          parallelism: v.optional(whole(1, 8, 'argon2id lanes'), 1),
        }),
        {},
      ),
      concurrency: v.optional(whole(1, 64, 'password hashes computed at the same time'), 2),
      queue: v.optional(whole(1, 10_000, 'logins that may wait for a hash; more are told to try again later'), 256),
    }),
    {},
  ),
  remembered: v.optional(whole(0, 1_000_000, 'recent successful logins whose password is not hashed again'), 10_000),
  tokens: v.optional(
    v.strictObject({
      life: v.pipe(
        duration('21d'),
        v.description('how long a chat program may stay away before its token expires (XEP-0484); 0s: none are given'),
      ),
      'rotate-after': v.pipe(duration('1d'), v.description('how old a token may be before the next one is given')),
    }),
    {},
  ),
  failures: v.optional(
    v.strictObject({
      window: v.pipe(duration('10m'), v.description('for how long a failed login counts')),
      'first-delay': v.pipe(
        duration('250ms'),
        v.description('before the first failure is answered; doubles with each'),
      ),
      'longest-delay': v.pipe(duration('15s'), v.description('that an answer is held back at most')),
      ban: v.optional(whole(1, 1_000_000, 'failures from one address before it is banned'), 10),
      'first-ban': v.pipe(duration('10m'), v.description('how long the first ban lasts; doubles with each')),
      'longest-ban': v.pipe(duration('1d'), v.description('the longest ban')),
      'ban-loopback': v.optional(v.pipe(v.boolean(), v.description('bans this very machine too')), false),
      account: v.optional(
        whole(
          1,
          1_000_000,
          'failures for one account, from anywhere, before logins from addresses new to it are slowed down',
        ),
        10,
      ),
      'account-at-once': v.optional(
        whole(1, 1000, 'such slowed logins that may wait at the same time for one account'),
        4,
      ),
      addresses: v.optional(whole(100, 1_000_000, 'addresses and accounts whose failures are remembered'), 50_000),
      known: v.pipe(
        duration('30d'),
        v.description('for how long an address that logged in stays known to the account'),
      ),
    }),
    {},
  ),
})

export type AuthConfig = v.InferOutput<typeof authConfig>

/** The settings of someone who sets nothing. */
export const defaultAuthConfig = (): AuthConfig => v.parse(authConfig, {})
