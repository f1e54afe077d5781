// RFC 8460: how TLS went with other servers, counted for the reports that their domains may ask for.

import { type Scope, serviceKey } from '../../../kernel/scope.ts'
import type { Calls } from '../../../store/contracts.ts'
import type { remoteStore, TlsCount } from './store.ts'

/** RFC 8460 §4.3: what can go wrong. */
export type TlsFailureType =
  | 'starttls-not-supported'
  | 'certificate-host-mismatch'
  | 'certificate-expired'
  | 'certificate-not-trusted'
  | 'validation-failure'
  | 'tlsa-invalid'
  | 'dnssec-invalid'
  | 'dane-required'
  | 'sts-policy-fetch-error'
  | 'sts-policy-invalid'
  | 'sts-webpki-invalid'

/** The policy that a session was held against. */
export interface TlsPolicyName {
  readonly type: 'tlsa' | 'sts' | 'no-policy-found'
  /** Its lines: TLSA records, or those of the MTA-STS policy. */
  readonly text: readonly string[]
  /** The patterns of an MTA-STS policy. */
  readonly mx: readonly string[]
}

/** One session, or an attempt at one. */
export interface TlsSession {
  /** The domain that the mail was for. */
  readonly domain: string
  readonly policy: TlsPolicyName
  /** Undefined: it went well. */
  readonly failure:
    | {
        readonly type: TlsFailureType
        readonly sendingIp: string
        readonly receivingHost: string
        readonly receivingIp: string
        /** OpenSSL's reason, or another detail. */
        readonly reason: string
      }
    | undefined
}

/** The counts of one domain on one day. */
export interface TlsDay {
  readonly domain: string
  readonly sessions: readonly (Omit<TlsSession, 'domain'> & { readonly count: number })[]
}

/** What a report is written from. */
export interface TlsResults {
  add(session: TlsSession): void
  /** The counts of a day (`2026-11-26`, UTC), of at most `limit` domains behind `after`, by name. */
  day(day: string, after: string, limit: number): Promise<readonly TlsDay[]>
  /** Forgets the counts of a domain: its report was sent. */
  reported(day: string, domain: string): Promise<void>
}

export const TlsResults = serviceKey<TlsResults>('tls-results')

export type RemoteCalls = Calls<typeof remoteStore.operations>

const WRITE_EVERY = 10_000
const KEPT_DAYS = 7
/** Different counts held in memory; more than this between two writes are lost, which a report can bear. */
const MAX_WAITING = 10_000

const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10)

/** Counts in memory, and writes every ten seconds and when the scope closes. */
export function openTlsResults(scope: Scope, store: RemoteCalls): TlsResults {
  let waiting = new Map<string, TlsCount>()
  const put = (one: TlsCount): void => {
    const key = `${one.day} ${one.domain} ${one.key}`
    const known = waiting.get(key)
    if (known === undefined && waiting.size >= MAX_WAITING) return
    waiting.set(key, { ...one, count: one.count + (known?.count ?? 0) })
  }
  const write = async (): Promise<void> => {
    if (waiting.size === 0) return
    const counts = [...waiting.values()]
    waiting = new Map()
    try {
      await store.count({ counts, keep: dayOf(scope.clock.now() - KEPT_DAYS * 86_400_000) })
    } catch (error) {
      for (const one of counts) put(one)
      scope.log.debug({ err: error }, 'TLS results could not be written: trying again')
    }
  }
  scope.defer(write)
  scope.interval(WRITE_EVERY, write)
  return {
    add({ domain, policy, failure }) {
      put({ day: dayOf(scope.clock.now()), domain, key: JSON.stringify({ policy, failure }), count: 1 })
    },
    async day(day, after, limit) {
      await write()
      const days = new Map<string, TlsDay['sessions'][number][]>()
      for (const { domain, key, count } of await store.counts({ day, after, limit })) {
        const { policy, failure } = JSON.parse(key) as Pick<TlsSession, 'policy' | 'failure'>
        days.set(domain, [...(days.get(domain) ?? []), { policy, failure, count }])
      }
      return [...days].map(([domain, sessions]) => ({ domain, sessions }))
    },
    reported: (day, domain) => store.reported({ day, domain }),
  }
}

/** RFC 8460 §4.3.2: the type of what was wrong with a certificate, from Node's and OpenSSL's names. */
export function certificateFailure(fault: string): TlsFailureType {
  if (fault === 'ERR_TLS_CERT_ALTNAME_INVALID' || fault === 'HOSTNAME_MISMATCH') return 'certificate-host-mismatch'
  if (fault === 'CERT_HAS_EXPIRED' || fault === 'CERT_NOT_YET_VALID') return 'certificate-expired'
  if (/^(?:SELF_SIGNED|DEPTH_ZERO|UNABLE_TO|CERT_UNTRUSTED|CERT_REJECTED|INVALID_CA)/.test(fault))
    return 'certificate-not-trusted'
  return 'validation-failure'
}
