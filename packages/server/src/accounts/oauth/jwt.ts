// RFC 7515, RFC 7519: tokens that are signed

import { constants, type KeyObject, verify } from 'node:crypto'
import * as v from 'valibot'
import { type Claims, readClaims } from './claims.ts'
import type { Algorithm } from './config.ts'
import type { SigningKeys } from './keys.ts'

const header = v.looseObject({
  alg: v.string(),
  kid: v.optional(v.string()),
  typ: v.optional(v.string()),
  crit: v.optional(v.unknown()),
})

/** RFC 7518 §3.3 */
const LEAST_RSA_BITS = 2048
const TYPES = ['jwt', 'at+jwt', 'application/at+jwt']

/** What a token says whose signature is good; a text that tells why it is not. Rejects where the keys cannot be had now. */
export async function verifiedClaims(
  token: string,
  algorithms: readonly Algorithm[],
  keys: SigningKeys,
): Promise<Claims | string> {
  const parts = token.split('.')
  const [head = '', body = '', signed = ''] = parts
  if (parts.length !== 3) return 'the token is no signed JWT'
  const { success, output } = v.safeParse(header, decoded(head))
  if (!success) return 'the header of the token cannot be read'
  const { alg, kid, typ = 'JWT', crit } = output
  // RFC 7515 §4.1.11: what must be understood, and is not.
  if (crit !== undefined) return 'the token asks for something that is not known here'
  if (!TYPES.includes(typ.toLowerCase())) return 'this is another kind of token'
  const algorithm = algorithms.find((one) => one === alg)
  if (algorithm === undefined) return 'the token is signed in a way that does not count here'
  const data = Buffer.from(`${head}.${body}`)
  const signature = Buffer.from(signed, 'base64url')
  const candidates = (await keys.find(kid)).filter(({ algorithm: own }) => own === undefined || own === algorithm)
  if (!candidates.some(({ key }) => isSigned(algorithm, key, data, signature))) return 'the signature is not good'
  return readClaims(decoded(body)) ?? 'the claims of the token cannot be read'
}

function isSigned(algorithm: Algorithm, key: KeyObject, data: Buffer, signature: Buffer): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  switch (algorithm) {
    case 'RS256':
    case 'PS256': {
      if (type !== 'rsa' || (details?.modulusLength ?? 0) < LEAST_RSA_BITS) return false
      const { RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING } = constants
      const padding = algorithm === 'RS256' ? RSA_PKCS1_PADDING : RSA_PKCS1_PSS_PADDING
      return verify('sha256', data, { key, padding, ...(algorithm === 'PS256' && { saltLength: 32 }) }, signature)
    }
    case 'ES256':
    case 'ES384': {
      const [curve, hash] = algorithm === 'ES256' ? ['prime256v1', 'sha256'] : ['secp384r1', 'sha384']
      if (type !== 'ec' || details?.namedCurve !== curve) return false
      return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, signature)
    }
    case 'EdDSA':
      return (type === 'ed25519' || type === 'ed448') && verify(undefined, data, key, signature)
  }
}

/** JSON in base64url; undefined for what is none. */
function decoded(part: string): unknown {
  if (!/^[A-Za-z0-9_-]+$/.test(part)) return undefined
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as unknown
  } catch {
    return undefined
  }
}
