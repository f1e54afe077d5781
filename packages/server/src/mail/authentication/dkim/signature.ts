// RFC 6376 §3.5: the tags of a signature, of a DKIM-Signature or an ARC-Message-Signature.

import { asDomain, domainPart, isInside } from '../domain.ts'
import type { Field } from '../message.ts'
import { base64Value, numberValue, parseTagList, withoutSpace } from '../tag-list.ts'
import type { Canonicalization } from './body.ts'

export type Algorithm = 'rsa-sha256' | 'ed25519-sha256'

/** What the tags of a signature say, as far as it can be read. */
export interface Signature {
  readonly field: Field
  readonly algorithm: Algorithm
  readonly value: Buffer
  readonly bodyHash: Buffer
  readonly header: Canonicalization
  readonly body: Canonicalization
  readonly domain: string
  readonly selector: string
  /** i=: on whose behalf, `local@domain` or `@domain`; as written. */
  readonly identity: string
  /** h=, lower case. */
  readonly names: readonly string[]
  /** l=: how many octets of the canonical body are signed. */
  readonly length: number | undefined
  /** t= and x=: seconds since the epoch. */
  readonly signed: number | undefined
  readonly expires: number | undefined
}

/** A signature that does not stand, before anything is calculated. */
export class SignatureFailure extends Error {
  readonly status: 'neutral' | 'policy' | 'permerror'
  constructor(status: SignatureFailure['status'], reason: string) {
    super(reason)
    this.name = 'SignatureFailure'
    this.status = status
  }
}

/** More names than any header has use for. */
const MAX_NAMES = 400
const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]+$/

/** The tags of a field, or undefined when they cannot be read. */
export const signatureTags = (field: Field): ReadonlyMap<string, string> | undefined => parseTagList(field.value)

/** What a=, d= and s= say: RFC 6376 §3.5, and the same for ARC seals. Throws `SignatureFailure`. */
export function signerOf(tags: ReadonlyMap<string, string>): Pick<Signature, 'algorithm' | 'domain' | 'selector'> {
  const algorithm = needed(tags, 'a')
  // RFC 8301 §3.1.
  if (algorithm === 'rsa-sha1') throw new SignatureFailure('policy', 'rsa-sha1 is not to be trusted')
  if (algorithm !== 'rsa-sha256' && algorithm !== 'ed25519-sha256')
    throw new SignatureFailure('neutral', 'unknown algorithm')
  const domain = asDomain(needed(tags, 'd'))
  const selector = asDomain(needed(tags, 's'))
  if (domain === undefined || !domain.includes('.') || selector === undefined)
    throw new SignatureFailure('neutral', 'd= or s= is no domain name')
  return { algorithm, domain, selector }
}

/** Reads a signature. `identified`: it is of DKIM, where `i=` is an identity; in ARC it is a number. Throws `SignatureFailure`. */
export function parseSignature(field: Field, tags: ReadonlyMap<string, string>, identified = true): Signature {
  const signer = signerOf(tags)
  const value = base64Value(needed(tags, 'b'))
  const bodyHash = base64Value(needed(tags, 'bh'))
  if (value === undefined || bodyHash === undefined) throw new SignatureFailure('neutral', 'b= or bh= is no base64')
  // ARC has no other than relaxed in use, and its test suite takes that for granted.
  const [header, body = 'simple', more] = (tags.get('c') ?? (identified ? 'simple' : 'relaxed/relaxed')).split('/')
  if (!isCanonicalization(header) || !isCanonicalization(body) || more !== undefined)
    throw new SignatureFailure('neutral', 'unknown canonicalization')
  const names = signedNames(tags.get('h'), identified)
  const query = tags.get('q')
  if (
    query !== undefined &&
    !query
      .toLowerCase()
      .split(':')
      .some((method) => withoutSpace(method) === 'dns/txt')
  )
    throw new SignatureFailure('neutral', 'the key is to be had in an unknown way')
  const signed = number(tags, 't')
  const expires = number(tags, 'x')
  if (signed !== undefined && expires !== undefined && expires < signed)
    throw new SignatureFailure('neutral', 'it expired before it was made')
  return {
    ...signer,
    field,
    value,
    bodyHash,
    header,
    body,
    identity: identified ? identityOf(tags, signer.domain) : `@${signer.domain}`,
    names,
    length: number(tags, 'l'),
    signed,
    expires,
  }
}

/** h=, lower case. In ARC it may be empty, or name nothing between colons. */
function signedNames(text: string | undefined, strict: boolean): readonly string[] {
  if (text === undefined) throw new SignatureFailure('neutral', 'h= is missing')
  const names = text.split(':').map((name) => name.trim().toLowerCase())
  const told = strict ? names : names.filter((name) => name !== '')
  if (told.length > MAX_NAMES || told.some((name) => !FIELD_NAME.test(name)))
    throw new SignatureFailure('neutral', 'h= cannot be read')
  return told
}

/** RFC 6376 §3.5: the domain of i= is that of d=, or lies below it, compared by labels. */
function identityOf(tags: ReadonlyMap<string, string>, domain: string): string {
  const text = tags.get('i')
  if (text === undefined) return `@${domain}`
  const own = asDomain(domainPart(text) ?? '')
  if (own === undefined || !isInside(own, domain)) throw new SignatureFailure('permerror', 'i= is not inside d=')
  return `${text.slice(0, text.lastIndexOf('@'))}@${own}`
}

function needed(tags: ReadonlyMap<string, string>, name: string): string {
  const value = tags.get(name)
  if (value === undefined || value === '') throw new SignatureFailure('neutral', `${name}= is missing`)
  return value
}

function number(tags: ReadonlyMap<string, string>, name: string): number | undefined {
  const value = tags.get(name)
  if (value === undefined) return undefined
  const parsed = numberValue(value)
  if (parsed === undefined) throw new SignatureFailure('neutral', `${name}= is no number`)
  return parsed
}

const isCanonicalization = (text: string | undefined): text is Canonicalization =>
  text === 'simple' || text === 'relaxed'
