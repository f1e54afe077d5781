// The Sender Rewriting Scheme: a reverse-path of ours for what we send on, so that SPF of the next server is content and notifications come back

import { SmtpError } from '@aviso/smtp'
import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { asDomain, isInside } from '../authentication/domain.ts'
import { Srs } from '../authentication/srs.ts'
import { Keys } from '../keys/keyring.ts'
import { mailModifier } from '../pipeline/contracts.ts'
import { MailSettings } from '../settings.ts'

export const srs = mailModifier({
  name: 'srs',
  summary:
    'Gives mail that an alias or a forward sends on to another server a reverse-path in one of our domains, and brings notifications to it back to the sender.',
  config: v.strictObject({
    domain: v.optional(
      v.pipe(
        v.string(),
        v.check((text) => asDomain(text) !== undefined, 'expected a domain'),
        v.description(
          'the domain of the reverse-paths, which must be one of ours (default: the one that the hostname lies in, or the first one)',
        ),
      ),
    ),
    days: v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.maxValue(365),
        v.description('days in which notifications are still brought back'),
      ),
      21,
    ),
  }),

  async create(config, scope) {
    const accounts = scope.use(Accounts)
    const { hostname } = scope.use(MailSettings)
    const secrets = [await scope.use(Keys).secret('srs')]
    const schemes = new Map<string, Srs>()

    const scheme = (domain: string): Srs => {
      let found = schemes.get(domain)
      if (found === undefined) schemes.set(domain, (found = new Srs({ domain, secrets, days: config.days })))
      return found
    }
    const own = (): string | undefined => {
      if (config.domain !== undefined) return asDomain(config.domain)
      const ours = accounts.domains()
      return ours.find((domain) => isInside(hostname.toLowerCase(), domain)) ?? ours[0]
    }

    return {
      forward(_mail, sender) {
        const domain = own()
        // We may send for our own domains anyway.
        if (domain === undefined || accounts.isLocal(sender.domain)) return sender
        // One that would be too long goes as it is: better than not at all.
        return scheme(domain).forward(sender, scope.clock.now()) ?? sender
      },

      recipient(_mail, recipient) {
        // Any of our domains may have been the one of the config once.
        if (!/^SRS[01][=+-]/i.test(recipient.local) || !accounts.isLocal(recipient.domain)) return [recipient]
        const found = scheme(recipient.domain).reverse(recipient, scope.clock.now())
        switch (found.kind) {
          case 'address':
            return [found.address]
          case 'foreign':
            return [recipient]
          case 'expired':
            throw new SmtpError(550, '5.7.1', 'This return address has expired')
          case 'forged':
            throw new SmtpError(550, '5.1.1', `There is no mailbox ${recipient.toString()} here`)
        }
      },
    }
  },
})
