// aviso turn ...

import { Command } from 'commander'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { show } from '../terminal.ts'

export function turnCommand(programme: Programme): Command {
  const turn = new Command('turn').description('the relay for calls (chat.features.external-services.relay)')
  common(
    turn
      .command('config [domain]')
      .description('print a configuration for coturn that takes the tickets of this server; it holds a secret'),
  ).action(async (domain: string | undefined, options: CommonOptions) => {
    const made = await withAdmin(programme, options, (admin) =>
      admin.ask('turn.config', domain === undefined ? {} : { domain }),
    )
    show(options.json === true, made, () => made.text.trimEnd())
  })
  return turn
}
