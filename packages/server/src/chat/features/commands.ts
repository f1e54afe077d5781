// XEP-0050: Ad-Hoc Commands

import { StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { duration } from '../../kernel/units.ts'
import { COMMANDS, CommandSessions } from '../core/command-sessions.ts'
import { type Command, mayRun } from '../core/commands.ts'
import { chatFeature, type IqRequest } from '../core/contracts.ts'
import { FORMS } from '../core/forms.ts'

export const commands = chatFeature({
  name: 'commands',
  summary: 'Lets clients run commands of the server, with forms.',
  config: v.strictObject({
    lifetime: v.pipe(duration('15m'), v.description('how long a form may stay open')),
    'max-open': v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description('how many commands may wait for their next form')),
      1000,
    ),
    'max-open-per-account': v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description('the same for one account; its oldest gives way')),
      10,
    ),
  }),

  attach(host, config, scope) {
    const sessions = new CommandSessions(config, scope)

    host.disco.feature(COMMANDS)

    /** Who asks, with the role that he has now. */
    const asker = async (iq: IqRequest): Promise<Account> => {
      const id = iq.origin.session?.account.account.id
      const account = id === undefined ? undefined : await host.accounts.byId(id)
      if (account === undefined || account.disabled) throw StanzaError.of('forbidden')
      return account
    }
    const allowed = (account: Account, command: Command | undefined): Command => {
      if (command === undefined) throw StanzaError.of('item-not-found')
      if (!mayRun(account, command)) throw StanzaError.of('forbidden')
      return command
    }

    host.disco.node(COMMANDS, {
      info: () => ({ identities: [{ category: 'automation', type: 'command-list' }], features: [] }),
      items: async (iq) => {
        const account = await asker(iq)
        return [...host.commands(iq.to.domain).values()]
          .filter((command) => mayRun(account, command))
          .map(({ node, name }) => ({ jid: iq.to.domain, node, name }))
      },
    })
    host.disco.otherNodes((node, domain) => {
      const command = host.commands(domain).get(node)
      return (
        command && {
          info: async (iq) => {
            allowed(await asker(iq), command)
            const identity = { category: 'automation', type: 'command-node', name: command.name }
            return { identities: [identity], features: [COMMANDS, FORMS] }
          },
          items: () => [],
        }
      )
    })

    host.iq.set(COMMANDS, 'command', ['host'], async (iq) => {
      const account = await asker(iq)
      const command = allowed(account, host.commands(iq.to.domain).get(iq.payload.get('node') ?? ''))
      return sessions.answer(iq, account.id, () => command.run({ account, from: iq.from, domain: iq.to.domain }))
    })
  },
})
