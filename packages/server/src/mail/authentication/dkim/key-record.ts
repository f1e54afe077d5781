// RFC 6376 §3.6, RFC 8301, RFC 8463: public keys as domains publish them.

import { createPublicKey, type KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { DnsError, type Resolver } from '../../../net/dns/contracts.ts'
import { base64Value, parseTagList, withoutSpace } from '../tag-list.ts'

export interface DkimKey {
  readonly type: 'rsa' | 'ed25519'
  readonly key: KeyObject
  /** Of the modulus; 256 for Ed25519. */
  readonly bits: number
  /** t=y: the domain tries DKIM out. */
  readonly testing: boolean
  /** t=s: `i=` must have the very domain of `d=`. */
  readonly strict: boolean
}

/** There is no usable key. `temperror`: perhaps later. `policy`: there is one, but it is too weak. */
export class KeyFailure extends Error {
  readonly status: 'temperror' | 'permerror' | 'policy'
  constructor(status: KeyFailure['status'], reason: string, options?: ErrorOptions) {
    super(reason, options)
    this.name = 'KeyFailure'
    this.status = status
  }
}

/** RFC 8301 §3.2: shorter ones prove nothing. Beyond the longest, checking costs too much. */
const MIN_RSA_BITS = 1024
const MAX_RSA_BITS = 8192
/** Larger exponents make checking as dear as signing. */
const MAX_EXPONENT = 2n ** 32n
const RECORD_LENGTH = 8192

/** SubjectPublicKeyInfo of Ed25519 (RFC 8410 §4) up to the 32 octets of the key. */
const ED25519_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** Reads a key record (RFC 6376 §3.6.1). Throws `KeyFailure`. */
export function parseKeyRecord(text: string): DkimKey {
  const tags = parseTagList(text, RECORD_LENGTH)
  if (tags === undefined) throw new KeyFailure('permerror', 'the key record cannot be read')
  const version = tags.get('v')
  if (version !== undefined && (version !== 'DKIM1' || tags.keys().next().value !== 'v'))
    throw new KeyFailure('permerror', 'the key record is of another version')
  const listed = (name: string): readonly string[] | undefined =>
    tags
      .get(name)
      ?.split(':')
      .map((entry) => withoutSpace(entry).toLowerCase())
  if (listed('h')?.includes('sha256') === false) throw new KeyFailure('permerror', 'the key is not for SHA-256')
  const services = listed('s')
  if (services !== undefined && !services.includes('*') && !services.includes('email'))
    throw new KeyFailure('permerror', 'the key is not for mail')
  const published = tags.get('p')
  if (published === undefined) throw new KeyFailure('permerror', 'the key record has no key')
  if (published === '') throw new KeyFailure('permerror', 'the key is revoked')
  const octets = base64Value(published)
  if (octets === undefined) throw new KeyFailure('permerror', 'the key cannot be read')
  const flags = listed('t')
  const flagged = { testing: flags?.includes('y') === true, strict: flags?.includes('s') === true }
  switch (tags.get('k')?.toLowerCase() ?? 'rsa') {
    case 'rsa':
      return { type: 'rsa', ...rsaKey(octets), ...flagged }
    case 'ed25519':
      return { type: 'ed25519', key: ed25519Key(octets), bits: 256, ...flagged }
    default:
      throw new KeyFailure('permerror', 'the key is of an unknown type')
  }
}

/** SubjectPublicKeyInfo, as everybody writes it, or RSAPublicKey, as RFC 6376 says. */
function rsaKey(octets: Buffer): { readonly key: KeyObject; readonly bits: number } {
  const key = fromDer(octets, 'spki') ?? fromDer(octets, 'pkcs1')
  const { modulusLength: bits = 0, publicExponent = 0n } = key?.asymmetricKeyDetails ?? {}
  if (key === undefined || key.asymmetricKeyType !== 'rsa') throw new KeyFailure('permerror', 'the key is no RSA key')
  if (bits < MIN_RSA_BITS) throw new KeyFailure('policy', `the key has ${bits} bits, which is too weak`)
  if (bits > MAX_RSA_BITS || publicExponent > MAX_EXPONENT) throw new KeyFailure('permerror', 'the key is too large')
  return { key, bits }
}

function ed25519Key(octets: Buffer): KeyObject {
  // RFC 8463 §4: the bare 32 octets; some publish the whole structure.
  const key = fromDer(octets.length === 32 ? Buffer.concat([ED25519_PREFIX, octets]) : octets, 'spki')
  if (key?.asymmetricKeyType !== 'ed25519') throw new KeyFailure('permerror', 'the key is no Ed25519 key')
  return key
}

function fromDer(key: Buffer, type: 'spki' | 'pkcs1'): KeyObject | undefined {
  try {
    return createPublicKey({ key, format: 'der', type })
  } catch {
    return undefined
  }
}

/** Keys by the text of their records: what many mails are signed with is parsed once, however often its record is asked for. */
export class DkimKeys {
  readonly #parsed: LRUCache<string, DkimKey | KeyFailure>

  constructor(max = 2000) {
    this.#parsed = new LRUCache({ max })
  }

  /** The key of `selector` at `domain`. Rejects with `KeyFailure`, or as `signal` says. */
  async find(
    selector: string,
    domain: string,
    resolver: Pick<Resolver, 'txt'>,
    signal?: AbortSignal,
  ): Promise<DkimKey> {
    const name = `${selector}._domainkey.${domain}`
    let records: readonly string[]
    try {
      records = (await resolver.txt(name, signal)).records
    } catch (error) {
      if (error instanceof DnsError) throw new KeyFailure('temperror', error.message, { cause: error })
      throw error
    }
    const [record] = records
    if (record === undefined) throw new KeyFailure('permerror', `there is no key at ${name}`)
    // RFC 6376 §3.6.2.2: undefined. To try one after the other would let a stranger's record in.
    if (records.length > 1) throw new KeyFailure('permerror', `there are ${records.length} records at ${name}`)
    return this.parse(record)
  }

  /** As `parseKeyRecord`. */
  parse(record: string): DkimKey {
    let parsed = this.#parsed.get(record)
    if (parsed === undefined) {
      try {
        parsed = parseKeyRecord(record)
      } catch (error) {
        if (!(error instanceof KeyFailure)) throw error
        parsed = error
      }
      if (record.length <= RECORD_LENGTH) this.#parsed.set(record, parsed)
    }
    if (parsed instanceof KeyFailure) throw parsed
    return parsed
  }
}
