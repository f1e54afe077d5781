// The domain name system as the rooms ask it.

import { serviceKey } from '../../kernel/scope.ts'

/** What a question brought. No records is an answer too: there is no such name, or nothing of that type. */
export interface Answer<Data> {
  readonly records: readonly Data[]
  /** The name exists, with records of whatever type. False: NXDOMAIN. */
  readonly exists: boolean
  /** Validated by DNSSEC, by a resolver whose word (the AD bit) we may trust: one on loopback, or one that the config calls trusted. Also said of an empty answer. */
  readonly secure: boolean
  /** The name that the records stand at: the one asked for, or what its CNAMEs led to. Lower case, A-labels, no dot at the end. */
  readonly name: string
  /** Seconds that the answer may be kept. */
  readonly ttl: number
}

/** RFC 5321 §5.1. */
export interface MxRecord {
  readonly preference: number
  /** Lower case, no dot at the end; empty for the null MX (RFC 7505). */
  readonly exchange: string
}

/** RFC 2782. */
export interface SrvRecord {
  readonly priority: number
  readonly weight: number
  readonly port: number
  /** Empty: the service is decidedly not there. */
  readonly target: string
}

/** RFC 6698. */
export interface TlsaRecord {
  readonly usage: number
  readonly selector: number
  readonly matchingType: number
  readonly data: Uint8Array
}

/**
 * Asks. Names are taken as domain names in any case, U-labels or A-labels, with or without the dot at the end; one that cannot stand in the DNS answers as a name that does not exist.
 * Every method rejects with {@link DnsError} when no answer could be had: always a reason to try again later, never to go on without.
 * `signal` gives up early (rejects with its reason).
 */
export interface Resolver {
  /** Addresses in their text form. */
  a(name: string, signal?: AbortSignal): Promise<Answer<string>>
  aaaa(name: string, signal?: AbortSignal): Promise<Answer<string>>
  /** In the order of the answer: sorting and shuffling is the asker's. */
  mx(name: string, signal?: AbortSignal): Promise<Answer<MxRecord>>
  /** Each record's strings joined (RFC 7208 §3.3), as UTF-8. */
  txt(name: string, signal?: AbortSignal): Promise<Answer<string>>
  srv(name: string, signal?: AbortSignal): Promise<Answer<SrvRecord>>
  tlsa(name: string, signal?: AbortSignal): Promise<Answer<TlsaRecord>>
  /** The CNAME record itself, not followed. */
  cname(name: string, signal?: AbortSignal): Promise<Answer<string>>
  /** Names of an IP address (text form). */
  reverse(address: string, signal?: AbortSignal): Promise<Answer<string>>
}

/** No answer could be had: time ran out, the server failed (SERVFAIL, REFUSED), or what came was no proper answer. */
export class DnsError extends Error {
  readonly code: 'timeout' | 'server-failure' | 'refused' | 'bad-answer' | 'unreachable'
  /** The name that was asked for. */
  readonly question: string

  constructor(code: DnsError['code'], question: string, options?: ErrorOptions) {
    super(`DNS does not answer for ${question}: ${code}`, options)
    this.name = 'DnsError'
    this.code = code
    this.question = question
  }
}

export const Resolver = serviceKey<Resolver>('resolver')
