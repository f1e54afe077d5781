// aviso domain ..., aviso alias ..., aviso roster import

import { open } from 'node:fs/promises'
import { Command } from 'commander'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { show, table } from '../terminal.ts'
import { batches, complete } from './account.ts'

export function domainCommand(programme: Programme): Command {
  const domain = new Command('domain').description('the domains that this server serves, for mail and chat')
  common(domain.command('add <name>').description('serve a domain')).action(
    async (name: string, options: CommonOptions) => {
      const added = await withAdmin(programme, options, (admin) => admin.ask('domain.add', { name }))
      show(options.json === true, { name: added }, () => `${added} is served now.`)
    },
  )
  common(
    domain.command('remove <name>').description('serve a domain no more; it must have no accounts and aliases left'),
  ).action(async (name: string, options: CommonOptions) => {
    await withAdmin(programme, options, (admin) => admin.ask('domain.remove', { name }))
    show(options.json === true, { name }, () => `${name} is served no more.`)
  })
  common(domain.command('list').description('all domains')).action(async (options: CommonOptions) => {
    const domains = await withAdmin(programme, options, (admin) => admin.ask('domain.list', undefined))
    show(options.json === true, domains, () => domains.map(({ name }) => name).join('\n'))
  })
  return domain
}

export function aliasCommand(programme: Programme): Command {
  const alias = new Command('alias').description('addresses that lead to other addresses')
  common(
    alias
      .command('add <address> <target...>')
      .description("lead mail for an address (or *@domain: all that is nobody's) to other addresses"),
  ).action(async (address: string, targets: string[], options: CommonOptions) => {
    await withAdmin(programme, options, (admin) => admin.ask('alias.add', { address, targets }))
    show(options.json === true, { address, targets }, () => `${address} leads to ${targets.join(', ')}.`)
  })
  common(alias.command('remove <address> [target...]').description('remove an alias, or some of its targets')).action(
    async (address: string, targets: string[], options: CommonOptions) => {
      await withAdmin(programme, options, (admin) =>
        admin.ask('alias.remove', { address, ...(targets.length === 0 ? {} : { targets }) }),
      )
      show(options.json === true, { address }, () => `Removed.`)
    },
  )
  common(alias.command('list').description('all aliases'))
    .option('--domain <domain>', 'of this domain only')
    .action(async (options: CommonOptions & { readonly domain?: string }) => {
      const aliases = await withAdmin(programme, options, (admin) =>
        admin.ask('alias.list', options.domain === undefined ? {} : { domain: options.domain }),
      )
      show(options.json === true, aliases, () =>
        table(
          ['address', 'leads to'],
          aliases.map(({ address, targets }) => [address, targets.join(', ')]),
        ),
      )
    })
  return alias
}

export function rosterCommand(programme: Programme): Command {
  const roster = new Command('roster').description('contact lists')
  common(
    roster
      .command('import <file>')
      .description('make contacts: lines of account, TAB, contact JID, TAB, name; both see each other'),
  )
    .option('--domain <domain>', 'completes accounts without @')
    .action(async (file: string, options: CommonOptions & { readonly domain?: string }) => {
      const rows = await open(file)
      const imported = await withAdmin(programme, options, async (admin) => {
        let sum = 0
        for await (const batch of batches(rows, 5000))
          sum += await admin.ask('roster.import', {
            entries: batch.map(([account = '', contact = '', name = '']) => ({
              account: complete(account, options.domain),
              contact,
              name,
            })),
          })
        return sum
      })
      show(options.json === true, { imported }, () => `${imported} contacts made.`)
    })
  return roster
}
