// RFC 6376 §6, RFC 8301, RFC 8463: verifying the signatures of a message.

import { createHash, verify as verifyOctets } from 'node:crypto'
import type { Resolver } from '../../../net/dns/contracts.ts'
import { asDomain, domainPart } from '../domain.ts'
import { type Field, type Message, selectFields, signedOctets } from '../message.ts'
import type { BodyHash, Canonicalization } from './body.ts'
import { type DkimKey, DkimKeys, KeyFailure } from './key-record.ts'
import { type Algorithm, parseSignature, type Signature, SignatureFailure, signatureTags } from './signature.ts'

/** RFC 8601 §2.7.1. `neutral`: it cannot be read. `policy`: it may be right, but we do not accept it. */
export type DkimStatus = 'pass' | 'fail' | 'neutral' | 'policy' | 'temperror' | 'permerror'

/** What became of one signature. */
export interface DkimResult {
  readonly status: DkimStatus
  /** Why, for people: printable ASCII. */
  readonly reason: string
  /** d=, s=, i= and a= as far as they can be read; names as A-labels. */
  readonly domain: string | undefined
  readonly selector: string | undefined
  readonly identity: string | undefined
  readonly algorithm: Algorithm | undefined
  /** The first characters of b=, which tell signatures apart (RFC 6008). */
  readonly start: string
  /** Names of the fields that it covers, lower case. */
  readonly signedFields: readonly string[]
  /** The domain says that it only tries. */
  readonly testing: boolean
}

export interface DkimQuestion {
  readonly resolver: Pick<Resolver, 'txt'>
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Keys to share among messages. */
  readonly keys?: DkimKeys
  /** How many signatures are looked at, from the top; the others do not count. Default 8. */
  readonly maxSignatures?: number
  readonly signal?: AbortSignal
}

export interface DkimResults {
  /** Those looked at, in the order of the message. */
  readonly signatures: readonly DkimResult[]
  /** How many were not looked at, as there are too many. */
  readonly ignored: number
}

/** Clocks differ. Seconds. */
const TOLERANCE = 300

/** Verifies. Rejects only as `signal` or the body says; whatever is wrong with a signature or its key is a result. */
export async function verifyDkim(message: Message, question: DkimQuestion): Promise<DkimResults> {
  const fields = message.named('dkim-signature')
  const looked = fields.slice(0, question.maxSignatures ?? 8)
  const keys = question.keys ?? new DkimKeys()
  const opened = await Promise.all(looked.map((field) => open(field, keys, question)))
  const wanted = new Set<Canonicalization>()
  for (const one of opened) if ('key' in one) wanted.add(one.signature.body)
  const hashes = wanted.size === 0 ? undefined : await message.bodyHashes(wanted)
  const signatures = opened.map((one) => {
    if (!('key' in one)) return one
    const { status, reason } = judge(message, one.signature, one.key, hashes?.get(one.signature.body))
    return resultOf(one.signature, one.key.testing && status === 'fail' ? 'neutral' : status, reason, one.key.testing)
  })
  return { signatures, ignored: fields.length - looked.length }
}

interface Opened {
  readonly signature: Signature
  readonly key: DkimKey
}

/** All that can be said before hashing: its tags, its times, its key. */
async function open(field: Field, keys: DkimKeys, question: DkimQuestion): Promise<Opened | DkimResult> {
  const tags = signatureTags(field)
  let signature: Signature | undefined
  try {
    if (tags === undefined) throw new SignatureFailure('neutral', 'the signature cannot be read')
    if (tags.get('v') !== '1') throw new SignatureFailure('neutral', 'unknown version')
    signature = parseSignature(field, tags)
    if (!signature.names.includes('from')) throw new SignatureFailure('permerror', 'From is not signed')
    timely(signature, question.now)
    const key = await keys.find(signature.selector, signature.domain, question.resolver, question.signal)
    fits(signature, key)
    return { signature, key }
  } catch (error) {
    if (!(error instanceof SignatureFailure || error instanceof KeyFailure)) throw error
    if (signature !== undefined) return resultOf(signature, error.status, error.message, false)
    return {
      status: error.status,
      reason: error.message,
      domain: asDomain(tags?.get('d') ?? ''),
      selector: asDomain(tags?.get('s') ?? ''),
      identity: undefined,
      algorithm: undefined,
      start: startOf(tags?.get('b') ?? ''),
      signedFields: [],
      testing: false,
    }
  }
}

/** Throws `SignatureFailure` for a signature that has expired or comes from the future. */
export function timely({ signed, expires }: Signature, now: number): void {
  const seconds = Math.floor(now / 1000)
  if (expires !== undefined && expires < seconds) throw new SignatureFailure('policy', 'the signature has expired')
  if (signed !== undefined && signed > seconds + TOLERANCE)
    throw new SignatureFailure('policy', 'the signature is from the future')
}

/** Throws `SignatureFailure` when the key is not for this signature. */
export function fits(
  { algorithm, identity, domain }: Pick<Signature, 'algorithm' | 'identity' | 'domain'>,
  key: DkimKey,
) {
  if (!algorithm.startsWith(key.type)) throw new SignatureFailure('permerror', 'the key is of another type')
  if (key.strict && domainPart(identity) !== domain)
    throw new SignatureFailure('permerror', 'i= is not the very domain of d=, which the key demands')
}

/** Compares the hash of the body and checks the signature over the header. */
export function judge(
  message: Message,
  signature: Signature,
  key: DkimKey,
  hash: BodyHash | undefined,
): { readonly status: 'pass' | 'fail' | 'policy'; readonly reason: string } {
  if (hash === undefined) throw new Error('the body was not hashed')
  // RFC 6376 §8.2: what was added below the signed octets would be shown as the signer's.
  if (signature.length !== undefined && signature.length < hash.length)
    return { status: 'policy', reason: `l= leaves ${hash.length - signature.length} octets of the body unsigned` }
  if (!hash.digest.equals(signature.bodyHash)) return { status: 'fail', reason: 'the body was changed' }
  const octets = signedOctets(
    selectFields(message, signature.names, signature.field),
    signature.field,
    signature.header,
  )
  return isSigned(octets, signature.algorithm, signature.value, key)
    ? { status: 'pass', reason: `${key.bits}-bit ${key.type} key` }
    : { status: 'fail', reason: 'the signature does not fit the header' }
}

/** Checks octets against a signature. RFC 8463 §3: Ed25519 signs their hash. */
export function isSigned(octets: Buffer, algorithm: Algorithm, value: Buffer, { key }: DkimKey): boolean {
  return algorithm === 'rsa-sha256'
    ? verifyOctets('sha256', octets, key, value)
    : verifyOctets(null, createHash('sha256').update(octets).digest(), key, value)
}

const startOf = (value: string): string => value.replace(/[^A-Za-z0-9+/=]/g, '').slice(0, 8)

function resultOf(signature: Signature, status: DkimStatus, reason: string, testing: boolean): DkimResult {
  const { domain, selector, identity, algorithm, value, names } = signature
  return {
    status,
    reason: testing ? `${reason}, testing` : reason,
    domain,
    selector,
    identity,
    algorithm,
    start: startOf(value.toString('base64')),
    signedFields: names,
    testing,
  }
}
