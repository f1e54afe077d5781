// RFC 6409 §6.1: who may submit mail under which address

import { MailAddress, parseAddressList } from '@aviso/mime'
import * as v from 'valibot'
import { canonical } from '../../accounts/address.ts'
import { type Account, Accounts } from '../../accounts/contracts.ts'
import { type Table, Tables } from '../../accounts/tables/contracts.ts'
import { foldKey } from '../../accounts/tables/keys.ts'
import { accept, defer, mailCheck, reject, type Verdict } from '../pipeline/contracts.ts'
import { action, carryOut } from './action.ts'

export const authorisedSender = mailCheck({
  name: 'authorised-sender',
  summary: 'Lets an account send under its own addresses only, in the envelope and in the From field.',
  config: v.strictObject({
    'check-header': v.optional(v.pipe(v.boolean(), v.description('look at the From (or Sender) field too')), true),
    table: v.optional(
      v.pipe(
        v.string(),
        v.description(
          'a table that holds, by the address of an account, what else it may send as: addresses, whole domains, or * for all',
        ),
      ),
    ),
    prepare: v.optional(
      v.pipe(
        v.string(),
        v.description(
          'a table that makes an address into the one that is compared: an alias into its account; what it does not hold stays',
        ),
      ),
    ),
    mismatch: action('reject', 'the account may not send as this address'),
  }),

  create(config, scope) {
    const accounts = scope.use(Accounts)
    const tables = scope.use(Tables)
    const table = (key: string | undefined): Table | undefined => (key === undefined ? undefined : tables.get(key))
    const more = table(config.table)
    const prepare = table(config.prepare)

    /** True when the account may send as the address. Rejects when that cannot be found out now: the mail waits. */
    const may = async (account: Account, address: string): Promise<boolean> => {
      const whole = canonical(address) ?? address
      const prepared = (await prepare?.lookup(whole)) ?? []
      for (const one of prepared.length === 0 ? [whole] : prepared) {
        const spelled = canonical(one) ?? one
        if (await accounts.maySendAs(account, spelled)) return true
        const domain = spelled.slice(spelled.lastIndexOf('@') + 1)
        for (const value of (await more?.lookup(account.address)) ?? [])
          if (value === '*' || foldKey(value) === (value.includes('@') ? spelled : domain)) return true
      }
      return false
    }
    const refuse = (code: number, text: string): Verdict =>
      carryOut(config.mismatch, { reject: [code, '5.7.1'], defer: [451, '4.7.1'], text }, text)

    return {
      async sender({ client, reversePath: sender }): Promise<Verdict> {
        if (client.account === undefined) return reject(530, '5.7.0', 'Please log in first')
        // A notification (read receipt, bounce) has the null reverse-path; its From field is looked at below.
        if (sender === null || (await may(client.account, sender.toString()))) return accept()
        return refuse(553, `You are logged in as ${client.account.address} and may not send as ${sender.toString()}`)
      },

      async content({ client }, { header }): Promise<Verdict> {
        if (!config['check-header']) return accept()
        if (client.account === undefined) return defer(451, '4.7.0', 'The login is gone, please connect again')
        const from = header.all('From')
        if (from.length !== 1)
          return reject(
            550,
            '5.6.0',
            from.length === 0 ? 'The mail has no From field' : 'The mail has more than one From field',
          )
        const authors = addresses(from[0] ?? '')
        // RFC 5322 §3.6.2: several authors need a Sender, who is then the one that submits; here it must be one of them.
        const senders = authors.length === 1 ? authors : header.all('Sender').flatMap(addresses)
        const [responsible] = senders
        if (senders.length !== 1 || responsible === undefined || authors.includes(undefined))
          return reject(550, '5.6.0', 'The From field cannot be read, or names several authors without a Sender')
        const address = responsible.toString()
        if (!authors.some((author) => author?.toString() === address))
          return reject(550, '5.7.1', `The Sender ${address} is none of the authors in the From field`)
        if (await may(client.account, address)) return accept()
        return refuse(550, `You are logged in as ${client.account.address} and may not write as ${address}`)
      },
    }
  },
})

/** The addresses of a list, those of its groups (RFC 6854) among them; undefined for each that is no mail address. */
function addresses(text: string): readonly (MailAddress | undefined)[] {
  return parseAddressList(text)
    .flatMap((entry) => (entry.kind === 'group' ? entry.members : [entry]))
    .map(({ local, domain }) => MailAddress.of(local, domain))
}
