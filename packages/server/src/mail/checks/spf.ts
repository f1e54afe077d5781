// RFC 7208: Sender Policy Framework

import * as v from 'valibot'
import { Authenticator, judgingOutside } from '../authentication/findings.ts'
import { resinfo } from '../authentication/results.ts'
import type { SpfResult } from '../authentication/spf/check-host.ts'
import { accept, type Mail, mailCheck, type Verdict } from '../pipeline/contracts.ts'
import { action, carryOut, usual } from './action.ts'

export const spf = mailCheck({
  name: 'spf',
  summary: 'Asks the domain of the sender (of the greeting, for a notification) whether this client may send for it.',
  config: v.strictObject({
    none: action('accept', 'the domain publishes no policy'),
    neutral: action('accept', 'the policy says neither yes nor no'),
    softfail: action('accept', 'the policy says: probably not'),
    fail: action('quarantine', 'the policy says: no'),
    temperror: action('defer', 'the DNS does not answer: try again later'),
    permerror: action('accept', 'the policy cannot be read'),
    early: v.optional(
      v.pipe(
        v.boolean(),
        v.description(
          'decide before the message comes; else DMARC has the last word where the author has a policy and the check dmarc is on',
        ),
      ),
      false,
    ),
  }),

  async create(config, scope) {
    const authenticator = await Authenticator.open(scope)

    const verdict = (result: SpfResult, mail: Mail): Verdict => {
      const besides = { why: `${result.status}: ${result.reason}`, results: [spfResinfo(result, mail)] }
      if (result.status === 'pass') return { action: 'accept', ...besides }
      const error = result.status === 'temperror' || result.status === 'permerror'
      // RFC 7372 §3.2.
      return carryOut(config[result.status], usual(error ? '7.24' : '7.23', textFor(result, mail)), besides)
    }

    return judgingOutside({
      async sender(mail) {
        const result = authenticator.spf(mail)
        if (config.early) return verdict(await result, mail)
        // Asked for already, so that it is there when the message is.
        result.catch(() => {})
        return accept()
      },

      async content(mail, message) {
        if (config.early) return accept()
        const result = await authenticator.spf(mail)
        const judged = verdict(result, mail)
        if (judged.action === 'accept' || !(await authenticator.leftToDmarc(mail, message))) return judged
        return {
          action: 'accept',
          why: `${result.status}, left to DMARC: ${result.reason}`,
          results: [spfResinfo(result, mail)],
        }
      },
    })
  },
})

/** RFC 8601 §2.7.2. */
function spfResinfo({ status, identity, reason }: SpfResult, { client, reversePath }: Mail): string {
  const who: readonly [string, string] =
    identity === 'mailfrom' ? ['smtp.mailfrom', reversePath?.toString() ?? ''] : ['smtp.helo', client.hello]
  return resinfo({ method: 'spf', result: status, comment: reason, properties: [who] })
}

function textFor({ status, domain, explanation, reason }: SpfResult, { client }: Mail): string {
  if (status === 'temperror' || status === 'permerror') return `SPF: the policy of ${domain} cannot be had: ${reason}`
  return explanation === undefined
    ? `SPF: ${domain} does not say that ${client.remoteAddress} may send for it`
    : `SPF: ${client.remoteAddress} may not send for ${domain}, which says: ${explanation}`
}
