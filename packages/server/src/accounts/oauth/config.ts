// The settings of `accounts.oauth`: who makes tokens, and what they must say.

import * as v from 'valibot'
import { duration } from '../../kernel/units.ts'

const LOOPBACK = /^http:\/\/(?:localhost|127(?:\.\d+){3}|\[::1\])(?=[:/]|$)/

/** Tokens and secrets go there: only over TLS, or to this very machine. */
const address = (text: string) =>
  v.pipe(
    v.string(),
    v.url(),
    v.check(
      (url) => url.startsWith('https://') || LOOPBACK.test(url),
      'expected an address with https, or one of this machine',
    ),
    v.description(text),
  )

export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

export const oauthConfig = v.pipe(
  v.strictObject({
    introspection: v.optional(
      v.pipe(
        v.strictObject({
          url: address('the introspection endpoint'),
          'client-id': v.pipe(v.string(), v.minLength(1), v.description('who we are there')),
          'client-secret': v.pipe(
            v.string(),
            v.minLength(1),
            v.description('our password there, best as ${file:/path}'),
          ),
        }),
        v.description('asks the server that makes the tokens about each of them (RFC 7662)'),
      ),
    ),
    jwt: v.optional(
      v.pipe(
        v.strictObject({
          keys: v.pipe(
            v.string(),
            v.minLength(1),
            v.check(
              (text) => !/^[a-z]+:\/\//i.test(text) || text.startsWith('https://') || LOOPBACK.test(text),
              'expected a file, an address with https, or one of this machine',
            ),
            v.description('the keys that sign them: the address of a JSON Web Key Set (RFC 7517), or a file'),
          ),
          algorithms: v.optional(
            v.pipe(v.array(v.picklist(ALGORITHMS)), v.minLength(1), v.description('the signatures that count')),
            ['RS256', 'ES256', 'EdDSA'],
          ),
          'keys-life': v.pipe(
            duration('1h'),
            v.description('how old the keys may become before they are fetched anew'),
          ),
        }),
        v.description('takes tokens that are signed (RFC 9068), and asks nobody about them'),
      ),
    ),
    issuer: v.optional(v.pipe(v.string(), v.minLength(1), v.description('`iss` of the tokens; needed for `jwt`'))),
    audience: v.optional(
      v.pipe(
        v.array(v.pipe(v.string(), v.minLength(1))),
        v.description(
          '`aud` of the tokens: one of these; needed for `jwt`, so that a token for another service is none for us',
        ),
      ),
      [],
    ),
    scope: v.optional(
      v.pipe(
        v.array(v.pipe(v.string(), v.regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/))),
        v.description('what `scope` must name, all of it'),
      ),
      [],
    ),
    account: v.optional(
      v.pipe(
        v.string(),
        v.minLength(1),
        v.description(
          'the claim that names the account: its address, or its name in the first domain of the server. `email` counts unless `email_verified` is false',
        ),
      ),
      'email',
    ),
    endpoints: v.optional(
      v.pipe(v.array(v.picklist(['c2s', 'imap', 'submission'])), v.description('where tokens are taken')),
      ['c2s', 'imap', 'submission'],
    ),
    'openid-configuration': v.optional(
      address('told to clients whose token is refused: where they learn how to get one (RFC 7628 §3.2.2)'),
    ),
    remembered: v.pipe(
      duration('1m'),
      v.description('for how long an answer about a token is believed; 0s: not at all'),
    ),
    timeout: v.pipe(duration('5s'), v.description('how long the other server may take')),
  }),
  v.check(
    ({ introspection, jwt }) => (introspection === undefined) !== (jwt === undefined),
    'expected either introspection or jwt',
  ),
  v.check(
    ({ jwt, issuer, audience }) => jwt === undefined || (issuer !== undefined && audience.length > 0),
    'jwt needs issuer and audience',
  ),
  v.description('Logins with tokens of another server (SASL OAUTHBEARER, and XOAUTH2 for mail).'),
)
export type OauthConfig = v.InferOutput<typeof oauthConfig>
