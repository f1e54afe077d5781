// RFC 7519, RFC 7662: what is said of a token, and whether it is good for us

import * as v from 'valibot'
import type { OauthConfig } from './config.ts'

const texts = v.union([v.string(), v.array(v.string())])

/** What we look at; `account` is the claim that the config names. */
const claims = v.looseObject({
  iss: v.optional(v.string()),
  aud: v.optional(texts),
  exp: v.optional(v.number()),
  nbf: v.optional(v.number()),
  scope: v.optional(texts),
  scp: v.optional(texts),
  email_verified: v.optional(v.unknown()),
})
export type Claims = v.InferOutput<typeof claims>

/** Clocks of two machines differ by so much. */
const LEEWAY_MS = 60_000

/** A token that is good names somebody; one that is not has a reason, for the log, and what the client is told. */
export type Found =
  | { readonly name: string; readonly expires: number | undefined }
  | {
      readonly refused: string
      readonly status?: 'invalid_token' | 'insufficient_scope'
      /** It was good once: nobody has guessed it. */
      readonly expired?: boolean
    }

/** Undefined for what cannot be read. */
export function readClaims(value: unknown): Claims | undefined {
  const { success, output } = v.safeParse(claims, value)
  return success ? output : undefined
}

/** Looks at everything but the signature. `mustExpire`: a token without an end is refused. `now` in milliseconds since the epoch. */
export function judge(claims: Claims, config: OauthConfig, now: number, mustExpire: boolean): Found {
  const { iss, aud, exp, nbf } = claims
  if (config.issuer !== undefined && iss !== config.issuer && (mustExpire || iss !== undefined))
    return { refused: 'the token is of another issuer' }
  const audience = listed(aud)
  if (config.audience.length > 0 && !config.audience.some((one) => audience.includes(one)))
    return { refused: 'the token is for another service' }
  if (exp === undefined && mustExpire) return { refused: 'the token has no end' }
  if (exp !== undefined && exp * 1000 + LEEWAY_MS <= now) return { refused: 'the token has expired', expired: true }
  if (nbf !== undefined && nbf * 1000 - LEEWAY_MS > now) return { refused: 'the token is not good yet' }
  const scopes = [...listed(claims.scope), ...listed(claims.scp)].flatMap((text) => text.split(' '))
  if (!config.scope.every((one) => scopes.includes(one)))
    return { refused: 'the token does not name the scope', status: 'insufficient_scope' }
  const name = claims[config.account]
  if (typeof name !== 'string' || name === '') return { refused: `the token has no claim ${config.account}` }
  const { email_verified: verified } = claims
  if (config.account === 'email' && (verified === false || verified === 'false'))
    return { refused: 'the address in the token was not verified' }
  return { name, expires: exp === undefined ? undefined : exp * 1000 }
}

const listed = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value
