// RFC 7662: asks the server that makes the tokens

import type { Clock } from '../../kernel/clock.ts'
import { fetchText } from '../../net/fetch-text.ts'
import { type Claims, readClaims } from './claims.ts'
import type { OauthConfig } from './config.ts'

const MOST_OCTETS = 65_536

/** What the other server says of a token; a text where it is not good. Rejects where there is no answer that tells. */
export async function introspected(
  token: string,
  { url, 'client-id': id, 'client-secret': secret }: NonNullable<OauthConfig['introspection']>,
  { clock, timeout }: { readonly clock: Clock; readonly timeout: number },
): Promise<Claims | string> {
  const text = await fetchText(
    url,
    {
      method: 'POST',
      headers: {
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
        authorization: `Basic ${Buffer.from(`${formEncoded(id)}:${formEncoded(secret)}`).toString('base64')}`,
      },
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
    },
    { clock, timeout, most: MOST_OCTETS },
  )
  const answer: unknown = JSON.parse(text)
  const active = typeof answer === 'object' && answer !== null && 'active' in answer ? answer.active : undefined
  // `true` or `false`; whatever else it may be, it is no answer.
  if (typeof active !== 'boolean')
    throw new Error('the introspection endpoint does not tell whether the token is active')
  if (!active) return 'the token is not active'
  const claims = readClaims(answer)
  if (claims === undefined) throw new Error('what the introspection endpoint says of the token cannot be read')
  return claims
}

/** RFC 6749 §2.3.1, appendix B */
const formEncoded = (text: string): string => new URLSearchParams({ x: text }).toString().slice(2)
