// RFC 6409 §6.1: who may submit mail under which address

import { MailAddress, parseAddressList } from '@aviso/mime'
import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { accept, defer, mailCheck, reject, type Verdict } from '../pipeline/contracts.ts'

export const authorisedSender = mailCheck({
  name: 'authorised-sender',
  summary: 'Lets an account send under its own addresses only, in the envelope and in the From field.',
  config: v.strictObject({
    'check-header': v.optional(v.pipe(v.boolean(), v.description('look at the From (or Sender) field too')), true),
  }),

  create(config, scope) {
    const accounts = scope.use(Accounts)

    return {
      async sender({ client, reversePath: sender }): Promise<Verdict> {
        if (client.account === undefined) return reject(530, '5.7.0', 'Please log in first')
        // A notification (read receipt, bounce) has the null reverse-path; its From field is looked at below.
        if (sender === null || (await accounts.maySendAs(client.account, sender.toString()))) return accept()
        return reject(
          553,
          '5.7.1',
          `You are logged in as ${client.account.address} and may not send as ${sender.toString()}`,
        )
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
        if (await accounts.maySendAs(client.account, address)) return accept()
        return reject(550, '5.7.1', `You are logged in as ${client.account.address} and may not write as ${address}`)
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
