// RFC 8461 §3.3, §5.1: policies kept over restarts, fetched anew when their id changes and once a day, and honoured until they end whatever happens.

import { LRUCache } from 'lru-cache'
import type { Scope } from '../../../kernel/scope.ts'
import { DnsError, type Resolver } from '../../../net/dns/contracts.ts'
import { parseStsPolicy, stsId, type StsPolicy } from './mta-sts.ts'
import { type FetchSts, StsFetchError } from './mta-sts-fetch.ts'
import type { StsRow } from './store.ts'
import type { RemoteCalls, TlsFailureType } from './tls-results.ts'

/** What is known of a domain's policy. */
export interface StsFinding {
  /** Undefined: it has none, or none that could be had. */
  readonly policy: StsPolicy | undefined
  /** The text that the policy was read from, for reports. */
  readonly text: string
  /** Its domain announces a policy that could not be had. */
  readonly failure: { readonly type: TlsFailureType; readonly reason: string } | undefined
}

/** What becomes of a domain's announced policies. */
export interface StsCache {
  /** Rejects with the signal's reason, or when the store cannot tell what it keeps: then nobody knows what the domain demands. */
  find(domain: string, signal: AbortSignal): Promise<StsFinding>
}

const NONE: StsFinding = { policy: undefined, text: '', failure: undefined }

const REFRESH_EVERY = 3_600_000
/** RFC 8461 §10.2 counsels to fetch anew once a day. */
const REFRESHED_AFTER = 86_400_000
/** Policies that nobody used for so long are let run out. */
const UNUSED_AFTER = 14 * 86_400_000
/** Policies that are fetched anew at one time. */
const AT_ONCE = 50
/** RFC 8461 §3.3: milliseconds before a fetch that failed is tried again. */
const FAILED_FOR = 300_000
/** Domains whose fetch failed that are remembered. */
const MAX_FAILED = 10_000
/** Domains whose rows are held in memory. */
const MAX_KNOWN = 5000

export interface StsParts {
  readonly resolver: Resolver
  readonly fetch: FetchSts
  readonly store: RemoteCalls
}

export class PersistentSts implements StsCache {
  readonly #scope: Scope
  readonly #parts: StsParts
  readonly #fetching = new Map<string, Promise<StsRow | undefined>>()
  readonly #failed = new Map<string, { readonly until: number; readonly failure: StsFinding['failure'] }>()
  /** What the store keeps of the domains asked for last, also that it keeps nothing. */
  readonly #known = new LRUCache<string, { readonly row: StsRow | undefined }>({ max: MAX_KNOWN })
  #used = new Set<string>()

  /** Refreshes what is in use until `scope` closes. */
  constructor(scope: Scope, parts: StsParts) {
    this.#scope = scope
    this.#parts = parts
    scope.interval(REFRESH_EVERY, () => this.#refresh())
  }

  async find(domain: string, signal: AbortSignal): Promise<StsFinding> {
    const now = this.#scope.clock.now()
    const [announced, kept] = await Promise.all([this.#announced(domain, signal), this.#kept(domain)])
    const valid = kept !== undefined && kept.until > now ? kept : undefined
    if (valid !== undefined) this.#used.add(domain)
    // RFC 8461 §5.1: that the record is gone does not end a policy that is still in force.
    if (announced === undefined || announced === valid?.id) return found(valid)
    const fetched = await this.#fetch(domain, announced, signal)
    if (fetched !== undefined) return found(fetched)
    return { ...found(valid), failure: this.#failed.get(domain)?.failure }
  }

  async #announced(domain: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const { records } = await this.#parts.resolver.txt(`_mta-sts.${domain}`, signal)
      return stsId(records)
    } catch (error) {
      if (error instanceof DnsError) return undefined
      throw error
    }
  }

  async #kept(domain: string): Promise<StsRow | undefined> {
    const known = this.#known.get(domain)
    if (known !== undefined) return known.row
    const row = await this.#parts.store.policy({ domain })
    this.#known.set(domain, { row })
    return row
  }

  /** The policy under a new id; undefined when it is not to be had. Whoever wants the same at the same time waits for one fetch. */
  #fetch(domain: string, id: string, signal: AbortSignal): Promise<StsRow | undefined> {
    const failed = this.#failed.get(domain)
    if (failed !== undefined && failed.until > this.#scope.clock.now()) return Promise.resolve(undefined)
    const fetching = this.#fetching.get(domain) ?? this.#fetchNow(domain, id)
    this.#fetching.set(domain, fetching)
    return abortable(fetching, signal)
  }

  async #fetchNow(domain: string, id: string): Promise<StsRow | undefined> {
    try {
      const text = await this.#parts.fetch(domain, this.#scope.signal)
      const policy = parseStsPolicy(text)
      if (policy === undefined) throw new StsFetchError('sts-policy-invalid', 'the policy is malformed')
      const now = this.#scope.clock.now()
      const row: StsRow = { domain, id, text, fetched: now, until: now + policy.maxAge * 1000, used: now }
      await this.#parts.store.putPolicy(row)
      this.#known.set(domain, { row })
      this.#failed.delete(domain)
      return row
    } catch (error) {
      this.#note(domain, error)
      return undefined
    } finally {
      this.#fetching.delete(domain)
    }
  }

  #note(domain: string, error: unknown): void {
    const type = error instanceof StsFetchError ? error.type : 'sts-policy-fetch-error'
    const reason = (error as Error).message.slice(0, 200)
    if (!this.#scope.signal.aborted)
      this.#scope.log.info({ domain, type, reason }, 'an MTA-STS policy could not be fetched')
    const [oldest] = this.#failed.keys()
    if (this.#failed.size >= MAX_FAILED && oldest !== undefined) this.#failed.delete(oldest)
    this.#failed.set(domain, { until: this.#scope.clock.now() + FAILED_FOR, failure: { type, reason } })
  }

  async #refresh(): Promise<void> {
    const used = [...this.#used]
    this.#used = new Set()
    await this.#parts.store.used({ domains: used })
    const now = this.#scope.clock.now()
    const limits = { fetched: now - REFRESHED_AFTER, used: now - UNUSED_AFTER, limit: AT_ONCE }
    for (const { domain, id } of await this.#parts.store.stale(limits)) {
      if (this.#scope.signal.aborted) return
      const announced = await this.#announced(domain, this.#scope.signal)
      await this.#fetch(domain, announced ?? id, this.#scope.signal)
    }
  }
}

function found(row: StsRow | undefined): StsFinding {
  const policy = row === undefined ? undefined : parseStsPolicy(row.text)
  return row === undefined || policy === undefined ? NONE : { policy, text: row.text, failure: undefined }
}

/** For those who do not want MTA-STS. */
export const noSts: StsCache = { find: async () => NONE }

/** The promise, or the signal's reason if that comes first. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
