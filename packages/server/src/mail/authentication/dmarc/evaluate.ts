// RFC 9989: DMARC: whether the author's domain stands behind a message, and what it wants done where not.

import { parseAddressList } from '@aviso/mime'
import { DnsError, type Resolver } from '../../../net/dns/contracts.ts'
import { asDomain } from '../domain.ts'
import type { DmarcPolicy, DmarcRecord } from './record.ts'
import { type Found, TreeWalk } from './tree-walk.ts'

export type DmarcStatus = 'none' | 'pass' | 'fail' | 'temperror' | 'permerror'

export interface DmarcQuestion {
  /** The value of every From field of the message, unfolded. */
  readonly from: readonly string[]
  /** Whose SPF passed, or not. */
  readonly spf: { readonly status: string; readonly domain: string } | undefined
  readonly dkim: readonly { readonly status: string; readonly domain: string | undefined }[]
  readonly resolver: Pick<Resolver, 'txt' | 'a'>
  readonly signal?: AbortSignal
}

export interface DmarcResult {
  readonly status: DmarcStatus
  /** The author's domain as A-labels; undefined when From names none, or too many. */
  readonly domain: string | undefined
  /** Why, for people: printable ASCII. */
  readonly reason: string
  /** What the domain wants done with failing mail; `none` where nothing applies. */
  readonly policy: DmarcPolicy
  /** The policy as it is to be applied: one milder while the domain tests it (t=y). */
  readonly disposition: DmarcPolicy
  /** The record that applied and where it stands: what a report is about. */
  readonly record: DmarcRecord | undefined
  readonly policyDomain: string | undefined
  readonly spfAligned: boolean
  /** Domains of aligned signatures. */
  readonly dkimAligned: readonly string[]
}

/** RFC 9989 §11.6: more domains in one From are not looked into. */
const MAX_AUTHORS = 4

const STRICTNESS: Readonly<Record<DmarcPolicy, number>> = { none: 0, quarantine: 1, reject: 2 }
const MILDER: Readonly<Record<DmarcPolicy, DmarcPolicy>> = { reject: 'quarantine', quarantine: 'none', none: 'none' }

/**
 * Evaluates. With several authors each domain is judged alone, and the worst counts: a failure before all else, the strictest of them. Rejects only as
 * `signal` says; DNS failures are a temperror.
 */
export async function evaluateDmarc(question: DmarcQuestion): Promise<DmarcResult> {
  const authors = authorDomains(question.from)
  if (typeof authors === 'string') return nothing('permerror', undefined, authors)
  const walk = new TreeWalk(question.resolver, question.signal)
  const results = await Promise.all(authors.map((author) => evaluateAuthor(author, question, walk)))
  return results.reduce((worst, result) => (gravity(result) > gravity(worst) ? result : worst))
}

function gravity({ status, disposition }: DmarcResult): number {
  if (status === 'fail') return 10 + STRICTNESS[disposition]
  return { permerror: 9, temperror: 8, none: 1, pass: 0 }[status]
}

/** The domains of the authors, each once; or why there are none. */
export function authorDomains(from: readonly string[]): readonly string[] | string {
  const [value, ...more] = from
  if (value === undefined) return 'there is no From field'
  if (more.length > 0) return 'there is more than one From field'
  const domains = new Set<string>()
  for (const entry of parseAddressList(value)) {
    for (const { domain } of entry.kind === 'group' ? entry.members : [entry]) {
      const normal = asDomain(domain)
      if (normal === undefined) return 'From has an address that cannot be read'
      domains.add(normal)
    }
  }
  if (domains.size === 0) return 'From has no address'
  return domains.size > MAX_AUTHORS ? 'From has too many domains' : [...domains]
}

async function evaluateAuthor(domain: string, question: DmarcQuestion, walk: TreeWalk): Promise<DmarcResult> {
  try {
    const found = await walk.policy(domain)
    if (found === undefined) return nothing('none', domain, 'no DMARC record')
    const policy = await policyFor(domain, found, question)
    if (policy === undefined) return nothing('none', domain, `the DMARC record of ${found.domain} has no policy`)
    const { record } = found
    const { spf } = question
    const spfAligned = spf?.status === 'pass' && (await aligned(asDomain(spf.domain), domain, record.strictSpf, walk))
    const dkimAligned: string[] = []
    for (const passed of new Set(question.dkim.filter(({ status }) => status === 'pass').map((one) => one.domain)))
      if (passed !== undefined && (await aligned(passed, domain, record.strictDkim, walk))) dkimAligned.push(passed)
    const base = { domain, policy, record, policyDomain: found.domain, spfAligned, dkimAligned }
    if (spfAligned || dkimAligned.length > 0) {
      const by = [...(spfAligned ? ['SPF'] : []), ...dkimAligned.map((name) => `DKIM of ${name}`)]
      return { ...base, status: 'pass', disposition: 'none', reason: `aligned: ${by.join(', ')}` }
    }
    if (await mayStillPass(domain, question, record, walk))
      return { ...base, status: 'temperror', disposition: 'none', reason: 'SPF or DKIM could not be decided now' }
    return {
      ...base,
      status: 'fail',
      disposition: record.testing ? MILDER[policy] : policy,
      reason: `neither SPF nor DKIM passes for ${domain}; policy of ${found.domain}: ${policy}${record.testing ? ' (testing)' : ''}`,
    }
  } catch (error) {
    if (error instanceof DnsError) return nothing('temperror', domain, error.message)
    throw error
  }
}

/** Something that would count could not be decided: neither pass nor fail can be said (RFC 9989 §5.3.6). */
async function mayStillPass(
  domain: string,
  { spf, dkim }: DmarcQuestion,
  record: DmarcRecord,
  walk: TreeWalk,
): Promise<boolean> {
  if (spf?.status === 'temperror' && (await aligned(asDomain(spf.domain), domain, record.strictSpf, walk))) return true
  for (const one of dkim)
    if (one.status === 'temperror' && (await aligned(one.domain, domain, record.strictDkim, walk))) return true
  return false
}

/** RFC 9989 §4.10.1: which of p, sp and np applies; undefined: none can be had of this record. */
async function policyFor(
  domain: string,
  { domain: owner, record }: Found,
  { resolver, signal }: DmarcQuestion,
): Promise<DmarcPolicy | undefined> {
  const { policy, subdomains, nonexistent, broken, rua } = record
  if (policy === undefined || broken) return rua.length > 0 ? 'none' : undefined
  if (owner === domain) return policy
  const existing = subdomains ?? policy
  if (nonexistent === undefined || nonexistent === existing) return existing
  return (await resolver.a(domain, signal)).exists ? existing : nonexistent
}

/** RFC 9989 §4.4: strict: the same name; relaxed: the same organisation. */
async function aligned(
  identifier: string | undefined,
  author: string,
  strict: boolean,
  walk: TreeWalk,
): Promise<boolean> {
  if (identifier === undefined) return false
  if (identifier === author) return true
  // An organisation lies above both, so they must end alike. Spares most walks.
  if (strict || topOf(identifier) !== topOf(author)) return false
  const [mine, theirs] = await Promise.all([walk.organisation(identifier), walk.organisation(author)])
  return mine === theirs
}

const topOf = (domain: string): string => domain.slice(domain.lastIndexOf('.') + 1)

const nothing = (
  status: 'none' | 'temperror' | 'permerror',
  domain: string | undefined,
  reason: string,
): DmarcResult => ({
  status,
  domain,
  reason,
  policy: 'none',
  disposition: 'none',
  record: undefined,
  policyDomain: undefined,
  spfAligned: false,
  dkimAligned: [],
})
