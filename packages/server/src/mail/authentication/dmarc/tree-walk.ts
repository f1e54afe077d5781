// RFC 9989 §4.10: the DNS tree walk: which record speaks for a domain, and whose organisation it is.

import type { Resolver } from '../../../net/dns/contracts.ts'
import { type DmarcRecord, parseDmarcRecord } from './record.ts'

/** A name with a record at `_dmarc` below it. */
export interface Found {
  readonly domain: string
  readonly record: DmarcRecord
}

/** RFC 9989 §4.10: names with more labels are cut to the lowest seven after the first question. */
const MAX_LABELS = 8

/** The walks of one evaluation; each name is asked for once. Domains as A-labels. Methods reject with `DnsError`. */
export class TreeWalk {
  readonly #resolver: Pick<Resolver, 'txt'>
  readonly #signal: AbortSignal | undefined
  readonly #records = new Map<string, Promise<DmarcRecord | undefined>>()
  readonly #organisations = new Map<string, Promise<string>>()

  constructor(resolver: Pick<Resolver, 'txt'>, signal?: AbortSignal) {
    this.#resolver = resolver
    this.#signal = signal
  }

  /** The record at the domain itself. */
  record(domain: string): Promise<DmarcRecord | undefined> {
    let record = this.#records.get(domain)
    if (record === undefined) {
      record = this.#ask(domain)
      // Names are asked for side by side, and some answers may never be needed.
      record.catch(() => {})
      this.#records.set(domain, record)
    }
    return record
  }

  async #ask(domain: string): Promise<DmarcRecord | undefined> {
    const { records } = await this.#resolver.txt(`_dmarc.${domain}`, this.#signal)
    const found = records.map(parseDmarcRecord).filter((record) => record !== undefined)
    // Several are none.
    return found.length === 1 ? found[0] : undefined
  }

  /** The records from the domain up, longest name first, to the first that says whether it is a public suffix. */
  async #walk(domain: string): Promise<readonly Found[]> {
    const path = walkedNames(domain)
    for (const name of path) void this.record(name)
    const found: Found[] = []
    for (const name of path) {
      const record = await this.record(name)
      if (record === undefined) continue
      found.push({ domain: name, record })
      if (record.psd !== 'u') break
    }
    return found
  }

  /** RFC 9989 §4.10.2: the organisation that the domain belongs to. */
  organisation(domain: string): Promise<string> {
    let organisation = this.#organisations.get(domain)
    if (organisation === undefined) {
      organisation = this.#walk(domain).then((found) => organisationOf(domain, found))
      this.#organisations.set(domain, organisation)
    }
    return organisation
  }

  /** RFC 9989 §4.10.1: the record for mail from the domain: its own, its organisation's, or its public suffix's. */
  async policy(domain: string): Promise<Found | undefined> {
    const own = await this.record(domain)
    if (own !== undefined) return { domain, record: own }
    const found = await this.#walk(domain)
    const organisation = organisationOf(domain, found)
    return found.find((one) => one.domain === organisation) ?? found.find(({ record }) => record.psd === 'y')
  }
}

/** The names that a walk asks about, in this order. */
export function walkedNames(domain: string): readonly string[] {
  const labels = domain.split('.')
  const names = [domain]
  for (let count = Math.min(labels.length, MAX_LABELS) - 1; count > 0; count--)
    names.push(labels.slice(-count).join('.'))
  return names
}

function organisationOf(domain: string, found: readonly Found[]): string {
  for (const { domain: name, record } of found) {
    if (record.psd === 'n') return name
    if (record.psd === 'y' && name !== domain) return below(domain, name)
  }
  return found.at(-1)?.domain ?? domain
}

/** The name one label below `parent` on the way to `domain`. */
function below(domain: string, parent: string): string {
  const rest = domain.slice(0, -parent.length - 1)
  return `${rest.slice(rest.lastIndexOf('.') + 1)}.${parent}`
}
