// What a delivery must reach with one server before the message may go there: DANE, MTA-STS, REQUIRETLS (RFC 8689) and the config put together.

import { answer } from './answers.ts'
import { type Answer, higherTls, type MxLevel, reachesMx, reachesTls, type TlsLevel } from './contracts.ts'
import type { Dane } from '../../../net/dane.ts'
import { type StsPolicy, stsAllows } from './mta-sts.ts'

/** The least that the config wants, for all destinations or for one. */
export interface LocalPolicy {
  readonly mx: MxLevel
  readonly tls: TlsLevel
}

/** What is known about one server of a destination. */
export interface Circumstances {
  readonly host: string
  /** Its name is validated: by DNSSEC, or because the config names it. */
  readonly secure: boolean
  readonly dane: Dane
  readonly sts: StsPolicy | undefined
  readonly local: LocalPolicy
  readonly requireTls: boolean
  /** `TLS-Required: No`. */
  readonly tlsOptional: boolean
}

/** What is asked of the connection. */
export interface Demands {
  /** How sure we are of the server's name. */
  readonly mx: MxLevel
  /** What TLS must reach. */
  readonly tls: TlsLevel
  readonly dane: Dane
  /** A mismatch with DANE is borne. */
  readonly daneOptional: boolean
  /** REQUIRETLS must be passed on. */
  readonly requireTls: boolean
  /** Who wants it so, for the text of a refusal. */
  readonly because: string
}

/** Weighs everything. An {@link Answer} is the reason why this server is not to be had. */
export function demandsOf(given: Circumstances): Demands | { readonly refused: Answer } {
  const { host, dane, local, requireTls } = given
  // RFC 8689 §4.1: where both are set, REQUIRETLS counts.
  const optional = given.tlsOptional && !requireTls
  const sts = given.sts?.mode === 'enforce' ? given.sts : undefined
  const listed = sts !== undefined && stsAllows(sts, host)
  const mx: MxLevel = given.secure ? 'dnssec' : listed ? 'mtasts' : 'none'
  if (optional)
    return { mx, tls: 'none', dane, daneOptional: true, requireTls: false, because: 'the sender cares for no TLS' }
  if (sts !== undefined && !listed)
    return refused(451, '4.7.0', `The MTA-STS policy of the domain does not name the server ${host}`)
  if (!reachesMx(mx, local.mx))
    return refused(451, '4.7.0', `The name of the server ${host} is not assured by ${ASSURANCE[local.mx]}`)
  if (requireTls && !reachesMx(mx, 'mtasts'))
    return refused(550, '5.7.30', `REQUIRETLS: the name of the server ${host} is assured by neither DNSSEC nor MTA-STS`)
  const wishes: readonly (readonly [TlsLevel, string])[] = [
    [local.tls, 'the policy of this server'],
    [dane.kind === 'records' ? 'authenticated' : dane.kind === 'unusable' ? 'encrypted' : 'none', 'DANE'],
    [sts === undefined ? 'none' : 'authenticated', 'the MTA-STS policy of the domain'],
    [requireTls ? 'authenticated' : 'none', 'REQUIRETLS'],
  ]
  const tls = wishes.reduce<TlsLevel>((level, [wish]) => higherTls(level, wish), 'none')
  const because = wishes.findLast(([wish]) => tls !== 'none' && wish === tls)?.[1] ?? ''
  return { mx, tls, dane, daneOptional: false, requireTls, because }
}

const ASSURANCE: Readonly<Record<MxLevel, string>> = {
  none: 'anything',
  mtasts: 'DNSSEC or MTA-STS',
  dnssec: 'DNSSEC',
}

const refused = (code: number, enhanced: string, text: string): { readonly refused: Answer } => ({
  refused: answer(code, enhanced, text),
})

/** How TLS turned out. */
export interface TlsOutcome {
  readonly level: TlsLevel
  /** Undefined: DANE was not asked for. */
  readonly daneMatched: boolean | undefined
  /** What was wrong with the certificate for a public authority, as OpenSSL or Node call it. */
  readonly fault: string | undefined
}

/** The reason why a connection does not do; undefined when it does. A failure of TLS is temporary, whoever asks for it (RFC 7672 §2.2, RFC 8461 §5); of REQUIRETLS it is final. */
export function judge(host: string, demands: Demands, outcome: TlsOutcome | 'not offered'): Answer | undefined {
  const level = outcome === 'not offered' ? 'none' : outcome.level
  const final = demands.because === 'REQUIRETLS'
  const refusal = (code: string, text: string): Answer =>
    answer(final ? 550 : 451, final ? '5.7.30' : `4.7.${code}`, text)
  if (outcome !== 'not offered' && outcome.daneMatched === false && !demands.daneOptional)
    return answer(451, '4.7.5', `The certificate of ${host} is none of those that DANE names`)
  if (reachesTls(level, demands.tls)) return undefined
  if (level === 'none') return refusal('1', `${host} offers no TLS, and ${demands.because} demands it`)
  const fault = outcome === 'not offered' ? undefined : outcome.fault
  return refusal(
    '5',
    `The certificate of ${host} is not good (${fault ?? 'unknown'}), and ${demands.because} demands it`,
  )
}
