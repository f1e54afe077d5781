// RFC 5321 §3.9: addresses that become others, as a table says

import { MailAddress, parseMailAddress } from '@aviso/mime'
import * as v from 'valibot'
import { canonical } from '../../accounts/address.ts'
import { type Table, Tables } from '../../accounts/tables/contracts.ts'
import { mailModifier } from '../pipeline/contracts.ts'

/** Recipients that one may become. */
const MAX_VALUES = 1000

const config = v.strictObject({
  table: v.pipe(
    v.string(),
    v.description(
      'the table, by its key: looked up with the whole address, then with the part before the @; a value without @ keeps the domain',
    ),
  ),
})

export const replaceSender = mailModifier({
  name: 'replace-sender',
  summary: 'Replaces the reverse-path by what a table holds for it; what it does not hold stays as it is.',
  config,

  create(settings, scope) {
    const table = scope.use(Tables).get(settings.table)
    return { sender: async (_mail, sender) => (await replacements(table, sender))[0] ?? sender }
  },
})

export const replaceRecipient = mailModifier({
  name: 'replace-recipient',
  summary:
    'Replaces a recipient by what a table holds for it, one address or several; what it does not hold stays as it is.',
  config,

  create(settings, scope) {
    const table = scope.use(Tables).get(settings.table)
    return {
      async recipient(_mail, recipient) {
        const found = await replacements(table, recipient)
        return found.length === 0 ? [recipient] : found
      },
    }
  },
})

/** What the table makes of an address; empty when it does not hold it. Rejects for a value that is no address: a mistake in the table loses no mail. */
async function replacements(table: Table, address: MailAddress): Promise<readonly MailAddress[]> {
  const whole = canonical(address.toString()) ?? address.toString()
  let values = await table.lookup(whole)
  // A bare name would be in anybody's domain: the whole address comes first.
  if (values.length === 0) values = await table.lookup(canonicalLocal(whole))
  if (values.length > MAX_VALUES) throw new Error(`the table makes ${values.length} addresses of ${whole}`)
  const made = new Map<string, MailAddress>()
  for (const value of values) {
    const next = value.includes('@') ? parseMailAddress(value) : MailAddress.of(value, address.domain)
    if (next === undefined) throw new Error(`the table makes '${value.slice(0, 100)}' of ${whole}, which is no address`)
    const spelled = next.toString()
    const key = canonical(spelled) ?? spelled
    if (!made.has(key)) made.set(key, next)
  }
  return [...made.values()]
}

const canonicalLocal = (address: string): string => address.slice(0, address.lastIndexOf('@'))
