// RFC 8460 §4: what a session means for the reports of its domain.

import type { StsFinding } from './mta-sts-cache.ts'
import type { Hop, Link, TlsFault } from './link.ts'
import { HopError } from './link.ts'
import type { Demands } from './policy.ts'
import { stsAllows } from './mta-sts.ts'
import { certificateFailure, type TlsPolicyName, type TlsResults } from './tls-results.ts'

/** Counts a session, or an attempt at one, under each policy that it was held against. Connections that failed before TLS are no matter of these reports. */
export function reportSession(
  results: TlsResults,
  domain: string,
  sts: StsFinding,
  hop: Hop,
  demands: Demands,
  opened: Link | HopError,
): void {
  if (!('address' in hop.at)) return
  const { address } = hop.at
  const add = (policy: TlsPolicyName, fault: TlsFault | undefined): void =>
    results.add({
      domain,
      policy,
      failure:
        fault === undefined
          ? undefined
          : { ...fault, sendingIp: opened.localAddress, receivingHost: hop.host, receivingIp: address },
    })
  if (sts.failure !== undefined) add(STS_UNKNOWN, sts.failure)
  const fault = opened instanceof HopError ? opened.fault : (opened.fellBack ?? notOffered(opened))
  if (opened instanceof HopError && fault === undefined) return
  const tlsa = demands.dane.kind === 'none' ? undefined : tlsaPolicy(demands)
  if (tlsa !== undefined) add(tlsa, fault ?? daneFault(opened))
  const { policy } = sts
  if (policy !== undefined && policy.mode !== 'none')
    add(
      { type: 'sts', text: sts.text.split(/\r?\n/).filter((line) => line !== ''), mx: policy.mx },
      fault ??
        (stsAllows(policy, hop.host)
          ? certificateFault(opened)
          : { type: 'validation-failure', reason: 'server not in policy' }),
    )
  if (tlsa === undefined && (policy === undefined || policy.mode === 'none')) add(NO_POLICY, fault)
}

const NO_POLICY: TlsPolicyName = { type: 'no-policy-found', text: [], mx: [] }
const STS_UNKNOWN: TlsPolicyName = { type: 'sts', text: [], mx: [] }

function tlsaPolicy({ dane }: Demands): TlsPolicyName {
  const text =
    dane.kind === 'records'
      ? dane.records.map(
          ({ usage, selector, matchingType, data }) =>
            `${usage} ${selector} ${matchingType} ${Buffer.from(data).toString('hex').toUpperCase()}`,
        )
      : []
  return { type: 'tlsa', text, mx: [] }
}

const notOffered = ({ protocol }: Link): TlsFault | undefined =>
  protocol === undefined ? { type: 'starttls-not-supported', reason: '' } : undefined

const daneFault = (opened: Link | HopError): TlsFault | undefined =>
  !(opened instanceof HopError) && opened.tls.daneMatched === false
    ? { type: 'validation-failure', reason: 'no TLSA record matches' }
    : undefined

/** A certificate that an authority does not vouch for: of matter to MTA-STS, also in testing mode. */
function certificateFault(opened: Link | HopError): TlsFault | undefined {
  if (opened instanceof HopError || opened.tls.fault === undefined) return undefined
  return { type: certificateFailure(opened.tls.fault), reason: opened.tls.fault }
}
