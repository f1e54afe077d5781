// RFC 5802 §3 and RFC 7677: keys and proofs of SCRAM.

import { createHash, createHmac, createSecretKey, pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import type { ScramHash, ScramKeys } from '../contract.ts'
import { preparePassword } from '../prepare.ts'

const pbkdf2Async = promisify(pbkdf2)

/** RFC 7677 §4 wants at least this many. */
export const LEAST_ITERATIONS = 4096
/** More would let a server keep a client's processor busy for a minute. */
export const MOST_ITERATIONS = 5_000_000
/** What `deriveScram`'s callers use for new passwords, and what unknown users are shown. */
export const DEFAULT_ITERATIONS = 10_000

const DIGESTS: Readonly<Record<ScramHash, string>> = { 'SHA-1': 'sha1', 'SHA-256': 'sha256', 'SHA-512': 'sha512' }
const OCTETS: Readonly<Record<ScramHash, number>> = { 'SHA-1': 20, 'SHA-256': 32, 'SHA-512': 64 }

/** The salted password: PBKDF2 in a thread of its own. `password` is prepared here. */
export function saltedPassword(
  hash: ScramHash,
  password: string,
  salt: Uint8Array,
  iterations: number,
): Promise<Buffer> {
  return pbkdf2Async(preparePassword(password), salt, iterations, OCTETS[hash], DIGESTS[hash])
}

/**
 * What a server keeps of a password. `salt` should be 16 random octets, of its own for each user and hash. Rejects with a RangeError for
 * iterations out of bounds.
 */
export async function deriveScram(
  hash: ScramHash,
  password: string,
  salt: Uint8Array,
  iterations: number,
): Promise<Pick<ScramKeys, 'storedKey' | 'serverKey'>> {
  if (!Number.isInteger(iterations) || iterations < LEAST_ITERATIONS || iterations > MOST_ITERATIONS) {
    throw new RangeError(
      `SCRAM iterations must be between ${LEAST_ITERATIONS} and ${MOST_ITERATIONS}, not ${iterations}`,
    )
  }
  return scramKeys(hash, await saltedPassword(hash, password, salt, iterations))
}

/** The keys that belong to a salted password (RFC 5802 §3). Throws a RangeError where it has not the hash's length. */
export function scramKeys(hash: ScramHash, salted: Uint8Array): Pick<ScramKeys, 'storedKey' | 'serverKey'> {
  if (salted.length !== OCTETS[hash]) throw new RangeError(`a salted password of ${hash} has ${OCTETS[hash]} octets`)
  return { storedKey: digest(hash, clientKey(hash, salted)), serverKey: serverKey(hash, salted) }
}

export function clientKey(hash: ScramHash, salted: Uint8Array): Buffer {
  return hmac(hash, salted, 'Client Key')
}

export function serverKey(hash: ScramHash, salted: Uint8Array): Buffer {
  return hmac(hash, salted, 'Server Key')
}

export function hmac(hash: ScramHash, key: Uint8Array, message: string | Uint8Array): Buffer {
  // Given octets, Node first tries at length what else they could be.
  return createHmac(DIGESTS[hash], createSecretKey(key)).update(message).digest()
}

export function digest(hash: ScramHash, octets: Uint8Array): Buffer {
  return createHash(DIGESTS[hash]).update(octets).digest()
}

/** Exclusive or of two octet strings of the same length. */
export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length)
  for (let i = 0; i < a.length; i++) out[i] = (a[i] ?? 0) ^ (b[i] ?? 0)
  return out
}

/** Compares in a time that does not tell where they differ. */
export function sameOctets(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/**
 * Keys for a user who does not exist: the salt is the same at every attempt, as a real one's would be, and no password fits (RFC 5802 §9 fears
 * that users are found out by asking).
 */
export function keysOfNobody(hash: ScramHash, authcid: string, secret: Uint8Array, iterations: number): ScramKeys {
  const octets = OCTETS[hash]
  const of = (purpose: string) =>
    createHmac(octets > 32 ? 'sha512' : 'sha256', secret)
      .update(`${purpose}\0${hash}\0${authcid}`)
      .digest()
  return {
    salt: of('salt').subarray(0, 16),
    iterations,
    storedKey: of('stored key').subarray(0, octets),
    serverKey: of('server key').subarray(0, octets),
  }
}
