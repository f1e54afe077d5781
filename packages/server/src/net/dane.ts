// RFC 6698, RFC 7671, RFC 7672, RFC 7673: DANE. Which TLSA records count for a server, and whether the certificates that it showed are those.

import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { HostAddresses } from './dns/addresses.ts'
import type { Resolver, TlsaRecord } from './dns/contracts.ts'

/** What the DNS demands of a server's TLS. */
export type Dane =
  /** Nothing that we could believe. */
  | { readonly kind: 'none' }
  /** There are records, but none of a kind that we know: TLS there must be, whoever it is with (RFC 7672 §2.2). */
  | { readonly kind: 'unusable'; readonly base: string }
  /** The certificate must be one of these. */
  | {
      readonly kind: 'records'
      readonly records: readonly TlsaRecord[]
      /** The name that the records stand at, without port and protocol: for SNI. */
      readonly base: string
      /** Names that a certificate of a trust anchor may be for. */
      readonly names: readonly string[]
    }

export const NO_DANE: Dane = { kind: 'none' }

/** Records of one server that are looked at. */
const MAX_RECORDS = 32

/**
 * Finds the TLSA records of a server. Ask only where its name came from a validated answer or from the config; `domain` is the one that it is to serve.
 * Rejects with DnsError when the DNS fails: going on without would let an attacker switch DANE off (RFC 7672 §2.1.2).
 */
export async function findDane(
  host: string,
  port: number,
  addresses: HostAddresses,
  domain: string,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<Dane> {
  for (const base of await baseNames(host, addresses, resolver, signal)) {
    const found = await resolver.tlsa(`_${port}._tcp.${base}`, signal)
    if (!found.secure || found.records.length === 0) continue
    const records = found.records.slice(0, MAX_RECORDS).filter(isUsable)
    if (records.length === 0) return { kind: 'unusable', base }
    return { kind: 'records', records, base, names: [...new Set([base, host, domain])] }
  }
  return NO_DANE
}

/** RFC 7672 §2.2.2: with secure addresses, the name at the end of the CNAMEs, then the one at their beginning; else only a name whose own CNAME is secure. */
async function baseNames(
  host: string,
  addresses: HostAddresses,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (addresses.secure) return addresses.name === host ? [host] : [addresses.name, host]
  if (addresses.name === host) return []
  const alias = await resolver.cname(host, signal)
  return alias.secure && alias.records.length > 0 ? [host] : []
}

const HASHES: readonly (string | undefined)[] = [undefined, 'sha256', 'sha512']
const HASH_OCTETS = [undefined, 32, 64]

/** RFC 7672 §3.1: usages 2 and 3; RFC 6698 §2.1: selectors and matching types that there are. */
export function isUsable({ usage, selector, matchingType, data }: TlsaRecord): boolean {
  if (![2, 3].includes(usage) || ![0, 1].includes(selector) || ![0, 1, 2].includes(matchingType)) return false
  const octets = HASH_OCTETS[matchingType]
  return octets === undefined ? parsed(selector, data) !== undefined : data.byteLength === octets
}

/** The key of a record that holds a whole certificate or key. */
function parsed(selector: number, data: Uint8Array): KeyObject | undefined {
  try {
    const der = Buffer.from(data)
    return selector === 0
      ? new X509Certificate(der).publicKey
      : createPublicKey({ key: der, format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}

/** True when the record names this certificate. */
export function names({ selector, matchingType, data }: TlsaRecord, certificate: X509Certificate): boolean {
  const whole = selector === 0 ? certificate.raw : certificate.publicKey.export({ type: 'spki', format: 'der' })
  const hash = HASHES[matchingType]
  return Buffer.from(data).equals(hash === undefined ? whole : createHash(hash).update(whole).digest())
}

/**
 * True when the certificates that a server showed (its own first, each followed by the one that signed it) fit one of the records. Usage 3 asks for the server's own,
 * whatever its names and dates (RFC 7672 §3.1.1). Usage 2 asks for one above it, and everything below that must be in order, and for one of `names` (§3.1.2).
 */
export function daneMatches(
  records: readonly TlsaRecord[],
  chain: readonly X509Certificate[],
  allowed: readonly string[],
  now: number,
): boolean {
  const [leaf] = chain
  if (leaf === undefined) return false
  return records.some((record) => {
    if (record.usage === 3) return names(record, leaf)
    if (!allowed.some((name) => leaf.checkHost(name, { partialWildcards: false }) !== undefined)) return false
    return anchored(record, chain, now)
  })
}

/** From the server's certificate up to the one that the record names, each is signed by the next and valid now. */
function anchored(record: TlsaRecord, chain: readonly X509Certificate[], now: number): boolean {
  for (const [i, certificate] of chain.entries()) {
    if (!isValidAt(certificate, now) || (i > 0 && !certificate.ca)) return false
    if (names(record, certificate)) return true
    const above = chain[i + 1]
    if (above === undefined) {
      // RFC 7671 §5.2.3: the record may hold the anchor itself, which then need not be sent.
      const key = record.matchingType === 0 ? parsed(record.selector, record.data) : undefined
      return key !== undefined && certificate.verify(key)
    }
    if (!certificate.checkIssued(above) || !certificate.verify(above.publicKey)) return false
  }
  return false
}

const isValidAt = (certificate: X509Certificate, now: number): boolean =>
  certificate.validFromDate.getTime() <= now && now <= certificate.validToDate.getTime()

/** Certificates of a server that are looked at. */
const MAX_CHAIN = 10

/** The certificates as the other side sent them: its own, then each that signed the one before. */
export function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  let at = socket.getPeerCertificate(true)
  while (at.raw !== undefined && chain.length < MAX_CHAIN) {
    chain.push(new X509Certificate(at.raw))
    // A certificate that signed itself is its own issuer.
    if (at.issuerCertificate === undefined || at.issuerCertificate.fingerprint256 === at.fingerprint256) break
    at = at.issuerCertificate
  }
  return chain
}
