// aviso account clients ...

import type { Command } from 'commander'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { show, table, UsageError, when } from '../terminal.ts'

/** Enough of an id to name a client. */
const ID_CHARACTERS = 12

/** Adds `clients` to `aviso account`. */
export function clientsCommand(programme: Programme, account: Command): void {
  const clients = account
    .command('clients')
    .description('chat programs that logged in, and tokens in place of the password')

  common(clients.command('list <address>').description('the programs of an account')).action(
    async (address: string, options: CommonOptions) => {
      const found = await withAdmin(programme, options, (admin) => admin.ask('account.clients', { address }))
      show(options.json === true, found, () =>
        table(
          ['id', 'program', 'device', 'first', 'last', 'token until'],
          found.map(({ client, software, device, created, used, expires }) => [
            client.slice(0, ID_CHARACTERS),
            software,
            device,
            when(created),
            when(used),
            expires === undefined ? 'none' : when(expires),
          ]),
        ),
      )
    },
  )

  common(
    clients
      .command('revoke <address> [id]')
      .description('take the token of a program back, or those of all; what is connected stays until it leaves'),
  ).action(async (address: string, id: string | undefined, options: CommonOptions) => {
    const { revoked } = await withAdmin(programme, options, (admin) =>
      admin.ask('account.revoke-clients', { address, ...(id === undefined ? {} : { client: id }) }),
    )
    if (id !== undefined && revoked === 0)
      throw new UsageError(`${address} has no program ${id}: 'aviso account clients list ${address}' shows them`)
    show(
      options.json === true,
      { address, revoked },
      () => `${revoked} programs have to log in with the password again.`,
    )
  })
}
