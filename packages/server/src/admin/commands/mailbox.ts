// aviso mailbox ...

import type { MailboxRole } from '@aviso/imap'
import { Command, Option } from 'commander'
import type { MailboxLine } from '../../mail/administration.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { sizeText } from '../progress.ts'
import { agreed, show, table } from '../terminal.ts'
import { messageSize, storageText } from './account-quota.ts'

/** Roles as people type them (RFC 6154, RFC 9979). */
const ROLES: Readonly<Record<string, MailboxRole>> = {
  archive: 'Archive',
  drafts: 'Drafts',
  junk: 'Junk',
  memos: 'Memos',
  scheduled: 'Scheduled',
  sent: 'Sent',
  snoozed: 'Snoozed',
  trash: 'Trash',
}

export function mailboxCommand(programme: Programme): Command {
  const mailbox = new Command('mailbox').description('the mailboxes of an account')

  common(mailbox.command('list <address>').description('all mailboxes of an account, with their counts'))
    .option('--subscribed', 'those only that mail programs show')
    .action(async (address: string, options: CommonOptions & { readonly subscribed?: boolean }) => {
      const all = await withAdmin(programme, options, (admin) => admin.ask('mailbox.list', { address }))
      const lines = options.subscribed === true ? all.filter(({ subscribed }) => subscribed) : all
      show(options.json === true, lines, () =>
        table(
          ['mailbox', 'role', 'messages', 'unseen', 'size', 'subscribed'],
          lines.map((line) =>
            line.selectable
              ? [
                  line.name,
                  roleText(line),
                  String(line.messages),
                  String(line.unseen),
                  sizeText(line.size),
                  line.subscribed ? 'yes' : 'no',
                ]
              : [line.name, 'no mailbox', '', '', '', line.subscribed ? 'yes' : 'no'],
          ),
        ),
      )
    })

  common(mailbox.command('status <address> <mailbox>').description('everything about one mailbox')).action(
    async (address: string, name: string, options: CommonOptions) => {
      const line = await withAdmin(programme, options, (admin) =>
        admin.ask('mailbox.status', { address, mailbox: name }),
      )
      show(options.json === true, line, () =>
        [
          `mailbox         ${line.name}`,
          `role            ${roleText(line) || 'none'}`,
          `messages        ${line.messages}, ${line.unseen} of them unseen, ${line.deleted} flagged \\Deleted`,
          `size            ${sizeText(line.size)} (${line.size} octets)`,
          `subscribed      ${line.subscribed ? 'yes' : 'no'}`,
          `UIDVALIDITY     ${line.uidValidity}`,
          `UIDNEXT         ${line.uidNext}`,
          `HIGHESTMODSEQ   ${line.highestModseq}`,
          `MAILBOXID       ${line.id}`,
        ].join('\n'),
      )
    },
  )

  common(mailbox.command('create <address> <mailbox>').description('make a mailbox, and those above it'))
    .addOption(new Option('--role <role>', 'what mail programs use it for').choices(Object.keys(ROLES)))
    .action(async (address: string, name: string, options: CommonOptions & { readonly role?: string }) => {
      const role = options.role === undefined ? undefined : ROLES[options.role]
      const made = await withAdmin(programme, options, (admin) =>
        admin.ask('mailbox.create', { address, mailbox: name, ...(role === undefined ? {} : { role }) }),
      )
      show(options.json === true, made, () => `${made.name} is there now.`)
    })

  common(
    mailbox
      .command('rename <address> <mailbox> <name>')
      .description('give a mailbox another name; what is below it comes along'),
  ).action(async (address: string, name: string, to: string, options: CommonOptions) => {
    await withAdmin(programme, options, (admin) => admin.ask('mailbox.rename', { address, mailbox: name, to }))
    show(options.json === true, { mailbox: to }, () => `${name} is now ${to}.`)
  })

  common(mailbox.command('delete <address> <mailbox>').description('delete a mailbox with its messages, for good'))
    .option('--yes', 'do not ask')
    .action(async (address: string, name: string, options: CommonOptions & { readonly yes?: boolean }) => {
      const messages = await withAdmin(programme, options, async (admin) => {
        const line = await admin.ask('mailbox.status', { address, mailbox: name })
        await agreed(
          options.yes === true,
          `this erases ${line.name} of ${address} with its ${line.messages} messages for good`,
        )
        await admin.ask('mailbox.delete', { address, mailbox: name })
        return line.messages
      })
      show(options.json === true, { mailbox: name, messages }, () => `${name} is gone, with its ${messages} messages.`)
    })

  common(
    mailbox
      .command('limit <address> <mailbox> [size]')
      .description("how large a message may be that comes into a mailbox; sets it, 'default' for what holds elsewhere"),
  ).action(async (address: string, name: string, size: string | undefined, options: CommonOptions) => {
    const change = size === undefined ? undefined : messageSize('the limit', size)
    const { octets, own } = await withAdmin(programme, options, (admin) =>
      admin.ask('mailbox.limit', { address, mailbox: name, ...(change === undefined ? {} : { change }) }),
    )
    show(
      options.json === true,
      { mailbox: name, limit: octets, own },
      () => `${storageText(octets)} (${octets} octets)${own ? '' : ', as elsewhere'}`,
    )
  })

  for (const [command, subscribed, summary] of [
    ['subscribe', true, 'let mail programs show a mailbox'],
    ['unsubscribe', false, 'let mail programs hide a mailbox'],
  ] as const)
    common(mailbox.command(`${command} <address> <mailbox>`).description(summary)).action(
      async (address: string, name: string, options: CommonOptions) => {
        await withAdmin(programme, options, (admin) =>
          admin.ask('mailbox.subscribe', { address, mailbox: name, subscribed }),
        )
        show(options.json === true, { mailbox: name, subscribed }, () => `${name} is ${command}d.`)
      },
    )

  return mailbox
}

const roleText = ({ role }: MailboxLine): string => (role === undefined ? '' : role.toLowerCase())
