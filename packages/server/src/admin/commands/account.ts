// aviso account ...

import { type FileHandle, open } from 'node:fs/promises'
import { Command, Option } from 'commander'
import type { Role } from '../../accounts/contracts.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { clientsCommand } from './account-clients.ts'
import { quotaCommand } from './account-quota.ts'
import { newPassword, show, table, UsageError, when } from '../terminal.ts'

const roleOption = (): Option =>
  new Option('--role <role>', 'what the account may do: `aviso account roles` lists them').default('user')

interface PasswordOptions extends CommonOptions {
  readonly passwordStdin?: boolean
}

export function accountCommand(programme: Programme): Command {
  const account = new Command('account').description('people: each has a mailbox and a chat address')

  common(account.command('add <address>').description('make an account: mailbox and chat address in one step'))
    .addOption(roleOption())
    .option('--password-stdin', 'read the password from standard input')
    .action(async (address: string, options: PasswordOptions & { readonly role: Role }) => {
      const password = await newPassword(options.passwordStdin === true)
      const made = await withAdmin(programme, options, (admin) =>
        admin.ask('account.add', { address, password, role: options.role }),
      )
      show(options.json === true, made, () => `${made.address} can log in now, with mail and chat programs alike.`)
    })

  common(account.command('list').description('all accounts'))
    .option('--domain <domain>', 'of this domain only')
    .action(async (options: CommonOptions & { readonly domain?: string }) => {
      const accounts = await withAdmin(programme, options, async (admin) => {
        const all: Awaited<ReturnType<typeof page>>[number][] = []
        const page = (after: string | undefined) =>
          admin.ask('account.list', {
            ...(options.domain === undefined ? {} : { domain: options.domain }),
            ...(after === undefined ? {} : { after }),
            limit: 1000,
          })
        for (
          let rows = await page(undefined);
          rows.length > 0;
          rows = rows.length < 1000 ? [] : await page(rows.at(-1)?.address)
        )
          all.push(...rows)
        return all
      })
      show(options.json === true, accounts, () =>
        table(
          ['address', 'role', 'state', 'created'],
          accounts.map(({ address, role, disabled, created }) => [
            address,
            role,
            disabled ? 'disabled' : 'active',
            when(created),
          ]),
        ),
      )
    })

  common(account.command('show <address>').description('everything about one account')).action(
    async (address: string, options: CommonOptions) => {
      const found = await withAdmin(programme, options, (admin) => admin.ask('account.show', { address }))
      show(options.json === true, found, () =>
        [
          `address    ${found.address}`,
          `role       ${found.role}`,
          `state      ${found.disabled ? 'disabled' : 'active'}`,
          `created    ${when(found.created)}`,
          `changed    ${when(found.updated)}`,
          `password   kept as ${found.forms.join(', ')}`,
          `aliases    ${found.aliases.length === 0 ? 'none' : found.aliases.join(', ')}`,
          `database   ${found.id}`,
        ].join('\n'),
      )
    },
  )

  common(
    account.command('password <address>').description('set a new password; ends the sessions that used the old one'),
  )
    .option('--password-stdin', 'read the password from standard input')
    .action(async (address: string, options: PasswordOptions) => {
      const password = await newPassword(options.passwordStdin === true)
      await withAdmin(programme, options, (admin) => admin.ask('account.password', { address, password }))
      show(options.json === true, { address }, () => `${address} has a new password.`)
    })

  common(
    account
      .command('role <address> <role>')
      .description('change what an account may do: user, admin, limited, or a role of the config'),
  ).action(async (address: string, role: string, options: CommonOptions) => {
    await withAdmin(programme, options, (admin) => admin.ask('account.role', { address, role }))
    show(options.json === true, { address, role }, () => `${address} is now: ${role}.`)
  })

  common(account.command('roles').description('the roles that accounts can have, and what they may do')).action(
    async (options: CommonOptions) => {
      const roles = await withAdmin(programme, options, (admin) => admin.ask('account.roles', undefined))
      show(options.json === true, roles, () =>
        table(
          ['role', 'may'],
          roles.map(({ role, may }) => [role, may.join(', ')]),
        ),
      )
    },
  )

  for (const [name, operation, summary, done] of [
    ['disable', 'account.disable', 'no logins any more; mail is still taken', 'cannot log in any more'],
    ['enable', 'account.enable', 'logins again', 'can log in again'],
  ] as const)
    common(account.command(`${name} <address>`).description(summary)).action(
      async (address: string, options: CommonOptions) => {
        await withAdmin(programme, options, (admin) => admin.ask(operation, { address }))
        show(options.json === true, { address }, () => `${address} ${done}.`)
      },
    )

  quotaCommand(programme, account)
  clientsCommand(programme, account)

  common(account.command('delete <address>').description('erase an account with all its mail and chat'))
    .option('--yes', 'really')
    .action(async (address: string, options: CommonOptions & { readonly yes?: boolean }) => {
      if (options.yes !== true)
        throw new UsageError(`this erases all mail and chat of ${address} for good: add --yes if you mean it`)
      await withAdmin(programme, options, (admin) => admin.ask('account.delete', { address }))
      show(options.json === true, { address }, () => `${address} is gone, with everything that it had.`)
    })

  common(account.command('import <file>').description('make many accounts: lines of address, TAB, password'))
    .option('--domain <domain>', 'completes addresses without @')
    .action(async (file: string, options: CommonOptions & { readonly domain?: string }) => {
      // Before anything else: it is this user who may read it, not the one that the server runs as.
      const rows = await open(file)
      const report = await withAdmin(programme, options, async (admin) => {
        let created = 0
        const failed: { row: number; address: string; message: string }[] = []
        let offset = 0
        for await (const batch of batches(rows, 500)) {
          const accounts = batch.map(([name = '', password = '']) => ({
            address: complete(name, options.domain),
            password,
          }))
          const result = await admin.ask('account.import', { accounts })
          created += result.created
          failed.push(...result.failed.map((one) => ({ ...one, row: one.row + offset })))
          offset += batch.length
        }
        return { created, failed }
      })
      show(options.json === true, report, () =>
        [
          `${report.created} accounts made.`,
          ...report.failed.map(({ row, address, message }) => `line ${row}: ${address}: ${message}`),
        ].join('\n'),
      )
      if (report.failed.length > 0) process.exitCode = 1
    })

  return account
}

/** The lines of a file with TAB-separated fields, some at a time. */
export async function* batches(file: FileHandle, size: number): AsyncGenerator<string[][]> {
  let batch: string[][] = []
  for await (const line of file.readLines()) {
    if (line === '') continue
    batch.push(line.split('\t'))
    if (batch.length >= size) {
      yield batch
      batch = []
    }
  }
  if (batch.length > 0) yield batch
}

export const complete = (name: string, domain: string | undefined): string =>
  name.includes('@') || domain === undefined ? name : `${name}@${domain}`
