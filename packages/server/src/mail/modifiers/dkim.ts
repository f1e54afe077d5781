// RFC 6376 §5, RFC 8463: signing what our own users and this server write

import { parseAddressList } from '@aviso/mime'
import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { duration } from '../../kernel/units.ts'
import { OVERSIGN, SIGN, signDkim } from '../authentication/dkim/sign.ts'
import { asDomain } from '../authentication/domain.ts'
import { asSigned } from '../authentication/findings.ts'
import { DEFAULT_KINDS, Keys } from '../keys/keyring.ts'
import { mailModifier } from '../pipeline/contracts.ts'
import { asText } from '../pipeline/text.ts'

const canonicalization = () => v.optional(v.picklist(['relaxed', 'simple']), 'relaxed')
const fieldNames = (standard: readonly string[], what: string) =>
  v.optional(
    v.pipe(
      v.array(v.pipe(v.string(), v.regex(/^[!-9;-~]+$/, 'expected the name of a header field'))),
      v.description(what),
    ),
    [...standard],
  )

export const dkimSigning = mailModifier({
  name: 'dkim',
  summary:
    'Signs a message for the domain in its From, when it is one of ours. Keys are made for each domain when they are first needed (aviso dkim show tells what to publish).',
  config: v.strictObject({
    keys: v.optional(
      v.pipe(
        v.array(v.picklist(['rsa2048', 'rsa4096', 'ed25519'])),
        v.minLength(1),
        v.check(
          (kinds) => kinds.filter((kind) => kind !== 'ed25519').length <= 1 && new Set(kinds).size === kinds.length,
          'expected at most one RSA key and one Ed25519 key',
        ),
        v.description(
          'the keys that sign side by side; one that is there already keeps its size until the next rotation',
        ),
      ),
      [...DEFAULT_KINDS],
    ),
    lifetime: v.pipe(duration('5d'), v.description('how long a signature holds; 0s: for ever')),
    header: canonicalization(),
    body: canonicalization(),
    oversign: fieldNames(OVERSIGN, 'fields that nobody may add another one of, or change'),
    sign: fieldNames(SIGN, 'fields that nobody may change, where the message has them'),
    subdomains: v.optional(
      v.pipe(v.boolean(), v.description('sign for subdomains of our domains too, with the key of the domain')),
      true,
    ),
  }),

  create(config, scope) {
    const accounts = scope.use(Accounts)
    const keyring = scope.use(Keys)
    const lifetime = config.lifetime === 0 ? {} : { lifetime: Math.ceil(config.lifetime / 1000) }

    /** The domain of ours that signs for an author. */
    const signer = (from: string): string | undefined => {
      const [author] = parseAddressList(from).flatMap((entry) => (entry.kind === 'group' ? entry.members : [entry]))
      let domain = asDomain(author?.domain ?? '')
      while (domain !== undefined && domain.includes('.')) {
        if (accounts.isLocal(domain)) return domain
        if (!config.subdomains) return undefined
        domain = domain.slice(domain.indexOf('.') + 1)
      }
      return undefined
    }

    return {
      seals: true,
      async edit(mail, message) {
        const from = message.header.get('From')
        const domain = from === undefined ? undefined : signer(from)
        // Only asked what would happen: no keys are made for that.
        if (domain === undefined || mail.simulated) return {}
        const keys = await keyring.signing(domain, config.keys)
        const text = await asText(mail, message)
        return {
          message: text,
          prepend: await signDkim(asSigned(text), {
            keys,
            now: scope.clock.now(),
            ...lifetime,
            header: config.header,
            body: config.body,
            oversign: config.oversign,
            sign: config.sign,
          }),
        }
      },
    }
  },
})
