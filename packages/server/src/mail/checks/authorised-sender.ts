// RFC 6409 §6.1: who may submit mail under which address

import { parseAddressList, parseMailAddress } from '@aviso/mime'
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
      async sender({ client, sender }): Promise<Verdict> {
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
        // RFC 5322 §3.6.2: several authors need a Sender, who is then the one that submits.
        const responsible = authors.length === 1 ? authors : addresses(header.get('Sender') ?? '')
        if (authors.length === 0 || responsible.length !== 1)
          return reject(550, '5.6.0', 'The From field cannot be read, or names several authors without a Sender')
        const address = parseMailAddress(responsible[0] ?? '')
        if (address === undefined)
          return reject(550, '5.6.0', `${String(responsible[0])} in the From field is no mail address`)
        if (await accounts.maySendAs(client.account, address.toString())) return accept()
        return reject(
          550,
          '5.7.1',
          `You are logged in as ${client.account.address} and may not write as ${address.toString()}`,
        )
      },
    }
  },
})

function addresses(text: string): readonly string[] {
  return parseAddressList(text)
    .flatMap((entry) => (entry.kind === 'group' ? entry.members : [entry]))
    .map(({ local, domain }) => `${local}@${domain}`)
}
