// aviso files ...

import { Command } from 'commander'
import { printable } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { show, table, UsageError, when } from '../terminal.ts'

export function filesCommand(programme: Programme): Command {
  const files = new Command('files').description('files that users uploaded to share them in chat')

  common(files.command('list [address]').description('newest first; those of one account, or of all'))
    .option('--before <number>', 'files older than the one of this number')
    .action(async (address: string | undefined, options: CommonOptions & { readonly before?: string }) => {
      const before = options.before === undefined ? undefined : Number(options.before)
      if (before !== undefined && !Number.isSafeInteger(before))
        throw new UsageError(`'${options.before}' is no number`)
      const found = await withAdmin(programme, options, (admin) =>
        admin.ask('files.list', {
          ...(address !== undefined && { address }),
          ...(before !== undefined && { before }),
        }),
      )
      show(options.json === true, found, () =>
        table(
          ['number', 'id', 'owner', 'name', 'type', 'octets', 'pixels', 'at', 'until'],
          found.map(({ number, id, owner, name, type, size, width, height, at, expires }) => [
            String(number),
            id,
            owner,
            printable(name),
            type,
            String(size),
            width === undefined || height === undefined ? '' : `${width}x${height}`,
            when(at),
            expires === undefined ? 'ever' : when(expires),
          ]),
        ),
      )
    })

  common(files.command('usage [address]').description('how much room the files take')).action(
    async (address: string | undefined, options: CommonOptions) => {
      const usage = await withAdmin(programme, options, (admin) =>
        admin.ask('files.usage', address === undefined ? {} : { address }),
      )
      show(options.json === true, usage, () =>
        table(
          ['account', 'files', 'octets', 'octets in a day'],
          [
            ...usage.accounts.map(({ owner, files: count, octets, day }) => [
              owner,
              String(count),
              String(octets),
              day === undefined ? '' : String(day),
            ]),
            ['(all)', String(usage.all.files), String(usage.all.octets), ''],
          ],
        ),
      )
    },
  )

  common(files.command('delete [id...]').description('delete files by their ids, or all of an account'))
    .option('--account <address>', 'all files of this account')
    .action(async (ids: string[], options: CommonOptions & { readonly account?: string }) => {
      const { account } = options
      if ((account === undefined) === (ids.length === 0))
        throw new UsageError('name ids as `aviso files list` shows them, or an account with --account')
      const { deleted } = await withAdmin(programme, options, (admin) =>
        admin.ask('files.delete', account === undefined ? { ids } : { address: account }),
      )
      show(options.json === true, { deleted }, () => `${deleted} deleted.`)
    })
  return files
}
