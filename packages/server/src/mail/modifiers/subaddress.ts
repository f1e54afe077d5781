// RFC 5233: anna+lists@example.org is anna@example.org, with a detail

import { MailAddress } from '@aviso/mime'
import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { mailModifier } from '../pipeline/contracts.ts'

export const subaddress = mailModifier({
  name: 'subaddress',
  summary:
    'Takes the detail off recipients, before the routes are chosen: anna+lists@example.org becomes anna@example.org. Our accounts get such mail without it too, with + as the sign.',
  config: v.strictObject({
    separators: v.optional(
      v.pipe(
        v.string(),
        v.regex(/^[!-?A-~]{1,8}$/, 'expected signs such as + or -'),
        v.description('each of these signs begins a detail'),
      ),
      '+',
    ),
    domains: v.optional(
      v.pipe(v.picklist(['local', 'all']), v.description('whose recipients: of our domains, or of all')),
      'local',
    ),
    'keep-known': v.optional(
      v.pipe(v.boolean(), v.description('an address that is an account or an alias as it stands is left alone')),
      true,
    ),
  }),

  create(config, scope) {
    const accounts = scope.use(Accounts)

    /** True where the whole address, with its detail, is somebody's own. */
    const known = async (address: string, bare: string): Promise<boolean> => {
      const [whole, plain] = [await accounts.resolve(address), await accounts.resolve(bare)]
      // The accounts room drops a detail by itself where the whole address is unknown: both lead to the same then.
      return whole.kind === 'local' && JSON.stringify(whole) !== JSON.stringify(plain)
    }

    return {
      async recipient(_mail, recipient) {
        const { local, domain } = recipient
        if (config.domains === 'local' && !accounts.isLocal(domain)) return [recipient]
        const at = [...local].findIndex((sign, i) => i > 0 && config.separators.includes(sign))
        if (at < 0) return [recipient]
        const bare = MailAddress.of([...local].slice(0, at).join(''), domain)
        if (bare === undefined) return [recipient]
        return config['keep-known'] && (await known(recipient.toString(), bare.toString())) ? [recipient] : [bare]
      },
    }
  },
})
