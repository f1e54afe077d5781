// For tests: the domain name system as plain data.

import { dnsName } from '../names.ts'

export type ZoneType = 'A' | 'AAAA' | 'MX' | 'TXT' | 'SRV' | 'TLSA' | 'CNAME' | 'PTR'

/** How a name fails instead of answering. `silence`: no answer comes at all. */
export type ZoneFailure = 'SERVFAIL' | 'REFUSED' | 'silence'

/** What stands at one name. */
export interface ZoneRecords {
  readonly A?: readonly string[]
  readonly AAAA?: readonly string[]
  /** Preference and exchange; `'.'` (or `''`) is the null MX. */
  readonly MX?: readonly (readonly [preference: number, exchange: string])[]
  /** A record of several strings is a list in the list. One longer than 255 octets is cut into strings. */
  readonly TXT?: readonly (string | readonly string[])[]
  readonly SRV?: readonly (readonly [priority: number, weight: number, port: number, target: string])[]
  readonly TLSA?: readonly (readonly [usage: number, selector: number, matchingType: number, hex: string])[]
  readonly CNAME?: string
  readonly PTR?: readonly string[]
  /** Its answers carry the AD bit, also those for names below it that do not exist. */
  readonly secure?: boolean
  /** Seconds; 300 if not given. */
  readonly ttl?: number
  /** All questions for this name fail, or those of some types. */
  readonly fails?: ZoneFailure | Readonly<Partial<Record<ZoneType, ZoneFailure>>>
}

/**
 * All that a fake DNS knows, by name: lower case, A-labels, no dot at the end. A name `*.example.org` answers for those below `example.org` that are not there.
 * It is looked at anew for each question, so that a test can change it on the way.
 */
export type Zones = Readonly<Record<string, ZoneRecords>>

/** One record set on the way to the answer. */
export interface ZoneStep {
  readonly name: string
  readonly type: ZoneType
  readonly records: ZoneRecords
}

/** What the zones say to a question. */
export interface ZoneAnswer {
  readonly failure: ZoneFailure | undefined
  /** The CNAMEs on the way, then the set that was asked for, if there is one. */
  readonly steps: readonly ZoneStep[]
  /** The name at the end of the CNAMEs. */
  readonly name: string
  /** That name is there. */
  readonly exists: boolean
  /** Everything on the way was secure. */
  readonly secure: boolean
  readonly ttl: number
}

const MAX_CNAMES = 16

/** Looks a name (in the spelling of {@link dnsName}) up, following its CNAMEs unless they are what is asked for. A loop of them fails, as resolvers have it. */
export function lookUp(zones: Zones, name: string, type: ZoneType): ZoneAnswer {
  const steps: ZoneStep[] = []
  let at = name
  let secure = true
  let ttl = Infinity
  for (;;) {
    const records = recordsAt(zones, at)
    const failure = failureOf(records, type)
    const nothing = { steps, name: at, secure: secure && (records ?? enclosing(zones, at))?.secure === true }
    if (failure !== undefined) return { ...nothing, failure, exists: false, ttl: 0 }
    ttl = Math.min(ttl, records?.ttl ?? 300)
    const alias = type === 'CNAME' ? undefined : records?.CNAME
    if (records === undefined || alias === undefined) {
      if (records?.[type] !== undefined) steps.push({ name: at, type, records })
      return { ...nothing, failure: undefined, exists: records !== undefined || hasBelow(zones, at), ttl }
    }
    secure &&= records.secure === true
    steps.push({ name: at, type: 'CNAME', records })
    if (steps.length > MAX_CNAMES) return { ...nothing, failure: 'SERVFAIL', exists: false, ttl: 0 }
    at = dnsName(alias) ?? alias
  }
}

function failureOf(records: ZoneRecords | undefined, type: ZoneType): ZoneFailure | undefined {
  const fails = records?.fails
  return typeof fails === 'object' ? fails[type] : fails
}

const own = (zones: Zones, name: string): ZoneRecords | undefined =>
  Object.hasOwn(zones, name) ? zones[name] : undefined

const hasBelow = (zones: Zones, name: string): boolean => Object.keys(zones).some((key) => key.endsWith(`.${name}`))

function recordsAt(zones: Zones, name: string): ZoneRecords | undefined {
  const exact = own(zones, name)
  if (exact !== undefined || hasBelow(zones, name)) return exact
  for (let above = name; above.includes('.');) {
    above = above.slice(above.indexOf('.') + 1)
    const wildcard = own(zones, `*.${above}`)
    if (wildcard !== undefined) return wildcard
    // RFC 4592 §3.3.1: only the closest name that is there counts.
    if (own(zones, above) !== undefined || hasBelow(zones, above)) return undefined
  }
  return undefined
}

/** The nearest name above that the zones know. */
function enclosing(zones: Zones, name: string): ZoneRecords | undefined {
  for (let above = name; above.includes('.');) {
    above = above.slice(above.indexOf('.') + 1)
    const records = own(zones, above)
    if (records !== undefined) return records
  }
  return undefined
}
