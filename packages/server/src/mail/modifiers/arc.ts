// RFC 8617 §5.1: sealing what is sent on, so that whoever gets it can know what was seen here

import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { DnsError, Resolver } from '../../net/dns/contracts.ts'
import { sealArc } from '../authentication/arc/seal.ts'
import { asDomain, isInside } from '../authentication/domain.ts'
import { asSigned, Authenticator, fromOutside } from '../authentication/findings.ts'
import { type Key, Keys } from '../keys/keyring.ts'
import { type Mail, mailModifier, type Message, type ModifierEdit } from '../pipeline/contracts.ts'
import { asText } from '../pipeline/text.ts'
import { MailSettings } from '../settings.ts'

export const arcSealing = mailModifier({
  name: 'arc',
  summary:
    'Seals mail that an alias or a forward sends on to another server, with the DKIM key of one of our domains, once that is published.',
  config: v.strictObject({
    domain: v.optional(
      v.pipe(
        v.string(),
        v.check((text) => asDomain(text) !== undefined, 'expected a domain'),
        v.description('whose key seals (default: the domain of ours that the hostname lies in, or the first one)'),
      ),
    ),
  }),

  async create(config, scope) {
    const accounts = scope.use(Accounts)
    const keyring = scope.use(Keys)
    const resolver = scope.use(Resolver)
    const { hostname } = scope.use(MailSettings)
    const authenticator = await Authenticator.open(scope)

    const sealer = (): string | undefined => {
      if (config.domain !== undefined) return asDomain(config.domain)
      const ours = accounts.domains()
      return ours.find((domain) => isInside(hostname.toLowerCase(), domain)) ?? ours[0]
    }

    /** A seal that cannot be verified breaks a chain that was whole, so the key must be seen in the DNS. */
    const usableKey = async (): Promise<Key | undefined> => {
      const domain = sealer()
      if (domain === undefined) return undefined
      try {
        // RSA, as it is what everybody can verify, and a set has one signature only.
        for (const key of await keyring.signing(domain, ['rsa2048']))
          if (await keyring.published(key, resolver)) return key
      } catch (error) {
        if (!(error instanceof DnsError)) throw error
      }
      return undefined
    }

    return {
      seals: true,
      edit: (mail, message, forwarded) =>
        !forwarded || !fromOutside(mail) || mail.simulated ? {} : sealing(mail, message),
    }

    async function sealing(mail: Mail, message: Message): Promise<ModifierEdit> {
      const key = await usableKey()
      if (key === undefined) return {}
      const chain = await authenticator.arc(mail, message)
      const text = await asText(mail, message)
      const fields = await sealArc(asSigned(text), {
        key,
        authservId: hostname,
        results: mail.results,
        chain,
        now: scope.clock.now(),
      })
      return fields === undefined ? {} : { message: text, prepend: fields }
    }
  },
})
