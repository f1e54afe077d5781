// RFC 6376: DomainKeys Identified Mail

import * as v from 'valibot'
import type { DkimResult } from '../authentication/dkim/verify.ts'
import { Authenticator, judgingOutside } from '../authentication/findings.ts'
import { resinfo } from '../authentication/results.ts'
import { accept, mailCheck } from '../pipeline/contracts.ts'
import { action, carryOut, usual } from './action.ts'

export const dkim = mailCheck({
  name: 'dkim',
  summary: 'Verifies the signatures of a message. What they mean for its author, the check dmarc decides.',
  config: v.strictObject({
    none: action('accept', 'the message has no signature'),
    broken: action('accept', 'it has signatures, and none of them holds'),
    temperror: action('defer', 'no signature holds, and for one the DNS does not answer: try again later'),
    'required-fields': v.optional(
      v.pipe(
        v.array(v.pipe(v.string(), v.regex(/^[!-9;-~]+$/, 'expected the name of a header field'))),
        v.description('fields that a signature must cover to count, where the message has them'),
      ),
      ['From', 'Subject'],
    ),
  }),

  async create(config, scope) {
    const authenticator = await Authenticator.open(scope)
    return judgingOutside({
      async sender(mail) {
        await authenticator.requireSigned(mail, config['required-fields'])
        return accept()
      },

      async content(mail, message) {
        const { signatures, ignored } = await authenticator.dkim(mail, message)
        const told = signatures.map(({ status, domain, reason }) => `${status} ${domain ?? '?'}: ${reason}`)
        if (ignored > 0) told.push(`${ignored} more not looked at`)
        const results =
          signatures.length === 0
            ? [resinfo({ method: 'dkim', result: 'none', comment: 'no signature', properties: [] })]
            : signatures.map(dkimResinfo)
        const besides = { why: told.length === 0 ? 'no signature' : told.join('; '), results }
        // RFC 7372 §3.1.
        if (signatures.length === 0)
          return carryOut(config.none, usual('7.20', 'DKIM: a signature is needed here'), besides)
        if (signatures.some(({ status }) => status === 'pass')) return { action: 'accept', ...besides }
        const unsure = signatures.find(({ status }) => status === 'temperror')
        if (unsure !== undefined)
          return carryOut(
            config.temperror,
            usual('7.20', `DKIM: the key of ${unsure.domain ?? 'a signature'} cannot be had now`),
            besides,
          )
        return carryOut(
          config.broken,
          usual('7.20', `DKIM: no signature holds: ${signatures[0]?.reason ?? ''}`),
          besides,
        )
      },
    })
  },
})

/** RFC 8601 §2.7.1, RFC 6008. */
export const dkimResinfo = ({ status, reason, domain, selector, identity, algorithm, start }: DkimResult): string =>
  resinfo({
    method: 'dkim',
    result: status,
    comment: reason,
    properties: [
      ['header.d', domain],
      ['header.i', identity === `@${domain ?? ''}` ? undefined : identity],
      ['header.s', selector],
      ['header.a', algorithm],
      ['header.b', start],
    ],
  })
