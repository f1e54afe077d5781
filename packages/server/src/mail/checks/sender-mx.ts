// RFC 5321 §5.1 and RFC 7505: can the sender be answered at all?

import * as v from 'valibot'
import { DnsError, Resolver } from '../../net/dns/contracts.ts'
import { accept, mailCheck, type Verdict } from '../pipeline/contracts.ts'
import { action, carryOut } from './action.ts'

export const senderMx = mailCheck({
  name: 'sender-mx',
  summary: 'Asks the DNS whether the sender domain can receive mail: what cannot be answered is rarely meant well.',
  config: v.strictObject({
    missing: action('quarantine', 'the domain has neither MX nor address'),
    'null-mx': action('reject', 'the domain says that it takes no mail (null MX)'),
    'dns-failure': action('defer', 'the DNS does not answer'),
    'address-is-enough': v.optional(
      v.pipe(v.boolean(), v.description('a domain without MX, but with an address, passes (RFC 5321 §5.1)')),
      true,
    ),
  }),

  create(config, scope) {
    const resolver = scope.use(Resolver)

    /** What is wrong with the domain; undefined when mail can be sent there. */
    const fault = async (domain: string): Promise<'missing' | 'null-mx' | undefined> => {
      const { records, exists } = await resolver.mx(domain)
      if (records.some(({ exchange }) => exchange !== '')) return undefined
      if (records.length > 0) return 'null-mx'
      if (!exists || !config['address-is-enough']) return 'missing'
      const addresses = await Promise.all([resolver.a(domain), resolver.aaaa(domain)])
      return addresses.some((answer) => answer.records.length > 0) ? undefined : 'missing'
    }

    return {
      async sender({ client, reversePath }): Promise<Verdict> {
        // A notification has no sender; an address literal needs no DNS.
        if (client.remoteAddress === '' || reversePath === null || reversePath.domain.startsWith('[')) return accept()
        const { domain } = reversePath
        try {
          const wrong = await fault(domain)
          if (wrong === undefined) return accept()
          const text =
            wrong === 'missing' ? `The domain ${domain} has no mail server` : `The domain ${domain} takes no mail`
          return carryOut(
            config[wrong],
            // RFC 3463 as registered by RFC 7505 §4.2: the sender address has a null MX.
            { reject: [550, wrong === 'missing' ? '5.1.8' : '5.7.27'], defer: [451, '4.1.8'], text },
            text,
          )
        } catch (error) {
          if (!(error instanceof DnsError)) throw error
          const text = `The DNS does not answer for ${domain}`
          return carryOut(config['dns-failure'], { reject: [550, '5.1.8'], defer: [451, '4.4.3'], text }, String(error))
        }
      },
    }
  },
})
