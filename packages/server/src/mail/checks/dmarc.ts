// RFC 9989: Domain-based Message Authentication, Reporting, and Conformance

import * as v from 'valibot'
import type { ArcResult } from '../authentication/arc/verify.ts'
import type { DmarcResult } from '../authentication/dmarc/evaluate.ts'
import { asDomain, isInside } from '../authentication/domain.ts'
import { Authenticator, judgingOutside } from '../authentication/findings.ts'
import { resinfo } from '../authentication/results.ts'
import { accept, mailCheck } from '../pipeline/contracts.ts'
import { action, carryOut, usual } from './action.ts'

export const dmarc = mailCheck({
  name: 'dmarc',
  summary:
    'Asks whether the domain in From stands behind the message by SPF or DKIM, and does what it wants done if not.',
  config: v.strictObject({
    reject: action('reject', 'the message fails, and the policy is reject'),
    quarantine: action('quarantine', 'the message fails, and the policy is quarantine'),
    none: action('accept', 'the message fails, and the policy is none'),
    temperror: action('defer', 'the DNS does not answer: try again later'),
    permerror: action('quarantine', 'From names nobody, or so many that no policy can be found'),
    'trusted-sealers': v.optional(
      v.pipe(
        v.array(
          v.pipe(
            v.string(),
            v.check((text) => asDomain(text) !== undefined, 'expected a domain'),
          ),
        ),
        v.description(
          'domains of mailing lists and forwarders that are believed (ARC, RFC 8617): a message that fails is taken if all who sealed it are among them, and the first one saw it pass',
        ),
      ),
      [],
    ),
  }),

  async create(config, scope) {
    const authenticator = await Authenticator.open(scope)
    const trusted = config['trusted-sealers'].map((name) => asDomain(name) ?? '')
    return judgingOutside({
      async sender(mail) {
        await authenticator.dmarcDecides(mail)
        return accept()
      },

      async content(mail, message) {
        const result = await authenticator.dmarc(mail, message)
        const { status, reason, domain, disposition } = result
        const besides = { why: `${status}: ${reason}`, results: [dmarcResinfo(result)] }
        switch (status) {
          case 'none':
          case 'pass':
            return { action: 'accept', ...besides }
          case 'temperror':
            // Whichever way it went, nothing would be done about it.
            if (result.record !== undefined && result.policy === 'none') return { action: 'accept', ...besides }
            return carryOut(
              config.temperror,
              usual('7.1', `DMARC: the policy of ${domain ?? 'the author'} cannot be had now`),
              besides,
            )
          case 'permerror':
            return carryOut(config.permerror, usual('7.1', `DMARC: ${reason}`), besides)
          case 'fail':
        }
        if (disposition !== 'none' && trusted.length > 0) {
          const arc = await authenticator.arc(mail, message)
          if (arc.status === 'temperror')
            return carryOut({ action: 'defer' }, usual('7.1', 'ARC: a key cannot be had now'), besides)
          const believed = seenToPass(arc, domain, trusted)
          if (believed !== undefined)
            return { action: 'accept', results: besides.results, why: `${besides.why}; sealed by ${believed}` }
        }
        return carryOut(
          config[disposition],
          usual('7.1', `DMARC: ${domain ?? 'the author'} does not stand behind this message: ${reason}`),
          besides,
        )
      },
    })
  },
})

/** Who sealed, when everybody who did is trusted and the first one says that the message passed for this author. */
function seenToPass({ status, sealers }: ArcResult, author: string | undefined, trusted: readonly string[]) {
  if (status !== 'pass' || !sealers.every(({ domain }) => trusted.some((name) => isInside(domain, name))))
    return undefined
  const said = sealers[0]?.results?.results.find(({ method }) => method === 'dmarc')
  const from = said?.properties.get('header.from')
  const passed = said?.result === 'pass' && (from === undefined || asDomain(from) === author)
  return passed ? sealers.map(({ domain }) => domain).join(', ') : undefined
}

/** RFC 9989 §9.2 and the comments that others write too. */
export function dmarcResinfo({ status, domain, policy, disposition, record, reason }: DmarcResult): string {
  return resinfo({
    method: 'dmarc',
    result: status,
    comment: record === undefined ? reason : `p=${policy} dis=${disposition}`,
    properties: [
      ['header.from', domain],
      ['policy.dmarc', record === undefined ? undefined : disposition],
    ],
  })
}
