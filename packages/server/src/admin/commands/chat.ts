// aviso invite ..., aviso chat dns, aviso chat reports, aviso chat rules, aviso chat push

import { Command, Option } from 'commander'
import { parseDuration } from '../../kernel/units.ts'
import type { InviteWish, RuleTrial } from '../../chat/administration.ts'
import { printable } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { recordsFor, zoneLine } from '../../chat/dns-records.ts'
import { octets } from './mail-ways.ts'
import type { StatusLike } from './server.ts'
import { show, table, UsageError, when } from '../terminal.ts'

interface InviteOptions extends CommonOptions {
  readonly expires?: string
}

export function inviteCommand(programme: Programme): Command {
  const invite = new Command('invite').description(
    'invitations: to an account, to become a contact, to set a new password',
  )

  const make = async (options: InviteOptions, wish: InviteWish): Promise<void> => {
    const lifetime = options.expires === undefined ? undefined : parseDuration(options.expires)
    if (options.expires !== undefined && (lifetime === undefined || lifetime === 0))
      throw new UsageError(`'${options.expires}' is no duration: write it as 12h or 7d`)
    const made = await withAdmin(programme, options, (admin) =>
      admin.ask('invite.make', { ...wish, ...(lifetime !== undefined && { lifetime }) }),
    )
    show(
      options.json === true,
      made,
      () => `${made.uri}\nGood until ${when(made.expires)}, ${made.uses === 1 ? 'once' : `${made.uses} times`}.`,
    )
  }
  const expires = (): Option => new Option('--expires <duration>', 'how long it is good for, such as 12h or 7d')

  common(invite.command('account <domain>').description('let somebody make an account'))
    .option('--name <name>', 'the name that the account has to have')
    .option('--contact <address>', 'whose contact the new account becomes')
    .option('--role <role>', 'what the account may do', 'user')
    .option('--uses <count>', 'how many accounts may be made with it', '1')
    .addOption(expires())
    .action(
      async (
        domain: string,
        options: InviteOptions & {
          readonly name?: string
          readonly contact?: string
          readonly role: string
          readonly uses: string
        },
      ) => {
        if (!/^[1-9]\d{0,5}$/.test(options.uses)) throw new UsageError(`'${options.uses}' is no number of uses`)
        await make(options, {
          kind: 'account',
          domain,
          role: options.role,
          uses: Number(options.uses),
          ...(options.name !== undefined && { address: `${options.name}@${domain}` }),
          ...(options.contact !== undefined && { inviter: options.contact }),
        })
      },
    )
  common(invite.command('contact <address>').description('let somebody become a contact of an account'))
    .option('--account', 'who comes may make an account for that')
    .addOption(expires())
    .action(async (address: string, options: InviteOptions & { readonly account?: boolean }) =>
      make(options, { kind: 'contact', inviter: address, register: options.account === true }),
    )
  common(invite.command('reset <address>').description('let somebody set a new password for an account'))
    .addOption(expires())
    .action(async (address: string, options: InviteOptions) => make(options, { kind: 'reset', address }))

  common(invite.command('list').description('invitations that can be used still')).action(
    async (options: CommonOptions) => {
      const invites = await withAdmin(programme, options, (admin) => admin.ask('invite.list', undefined))
      show(options.json === true, invites, () =>
        table(
          ['token', 'for', 'until', 'uses', 'contact of', 'address'],
          invites.map(({ token, kind, expires: until, uses, inviter, uri }) => [
            token,
            kind,
            when(until),
            String(uses),
            inviter,
            uri,
          ]),
        ),
      )
    },
  )
  common(invite.command('revoke <token>').description('make an invitation void')).action(
    async (token: string, options: CommonOptions) => {
      await withAdmin(programme, options, (admin) => admin.ask('invite.revoke', { token }))
      show(options.json === true, { token }, () => 'The invitation is void.')
    },
  )
  return invite
}

export function chatCommand(programme: Programme): Command {
  const chat = new Command('chat').description('what concerns chat alone')
  common(
    chat
      .command('dns <domain>')
      .description(
        'the DNS records by which clients and other servers find the chat of a domain, as the running server listens',
      ),
  ).action(async (domain: string, options: CommonOptions) => {
    const records = await withAdmin(programme, options, async (admin) => {
      const { hostname, bound } = (await admin.ask('status', {})) as StatusLike
      return recordsFor(domain, await admin.ask('chat.services', { domain }), hostname, bound)
    })
    show(options.json === true, records, () =>
      [
        ...(records.every(({ target }) => target === '.')
          ? ['Chat listens on this machine alone: these records tell others that there is none.']
          : []),
        'Records to publish:',
        ...records.map(zoneLine),
        '',
        `Clients in browsers ask https://${domain}/.well-known/host-meta and host-meta.json: where another program is the web server of ${domain}, let it pass these on to the endpoint http.`,
      ].join('\n'),
    )
  })

  const reports = chat.command('reports').description('what users reported as spam or abuse')
  common(reports.command('list', { isDefault: true }).description('newest first'))
    .option('--before <number>', 'reports older than the one of this number')
    .action(async (options: CommonOptions & { readonly before?: string }) => {
      const before = options.before === undefined ? undefined : Number(options.before)
      if (before !== undefined && !Number.isSafeInteger(before))
        throw new UsageError(`'${options.before}' is no number`)
      const found = await withAdmin(programme, options, (admin) =>
        admin.ask('chat.reports', before === undefined ? {} : { before }),
      )
      show(options.json === true, found, () =>
        table(
          ['number', 'at', 'reported', 'by', 'reason', 'text'],
          found.map(({ id, at, reported, reporter, reason, text }) => [
            String(id),
            when(at),
            reported,
            reporter,
            reason.replace('urn:xmpp:reporting:', ''),
            text.replaceAll(/\s+/g, ' ').slice(0, 100),
          ]),
        ),
      )
    })
  common(reports.command('forget <number>').description("forget a report, or 'all'")).action(
    async (number: string, options: CommonOptions) => {
      const id = number === 'all' ? 'all' : Number(number)
      if (id !== 'all' && !Number.isSafeInteger(id)) throw new UsageError(`'${number}' is no number of a report`)
      const removed = await withAdmin(programme, options, (admin) => admin.ask('chat.forget-report', { id }))
      show(options.json === true, { removed }, () => `${removed} forgotten.`)
    },
  )
  pushCommands(chat.command('push').description('phones that are woken by their makers’ app servers'), programme)
  chat.addCommand(rulesCommand(programme))
  return chat
}

function rulesCommand(programme: Programme): Command {
  const rules = new Command('rules').description('the rules on stanzas (chat.features.rules)')
  common(
    rules
      .command('test <file>')
      .description('what the rules would do with a stanza in a file, or - for standard input; nothing is done'),
  )
    .requiredOption('--from <address>', 'who would send it')
    .requiredOption('--to <address>', 'whom it would be for')
    .action(async (file: string, options: CommonOptions & { readonly from: string; readonly to: string }) => {
      const stanza = (await octets(file)).toString('utf8')
      const trial = await withAdmin(programme, options, (admin) =>
        admin.ask('chat.try-rules', { stanza, from: options.from, to: options.to }),
      )
      show(options.json === true, trial, () => trialText(trial))
    })
  return rules
}

function trialText({ steps, rule, end }: RuleTrial): string {
  const lines = steps.map(
    ({ rule: name, did, why }) =>
      `  ${printable(name)}: ${why === undefined ? printable(did.join(', ')) : `not for it (${why})`}`,
  )
  return [
    ...lines,
    rule === null ? 'It would go on: no rule decides.' : `Rule ${printable(rule)} decides: ${printable(end)}.`,
  ].join('\n')
}

function pushCommands(push: Command, programme: Programme): void {
  common(
    push.command('list <address>', { isDefault: true }).description('the devices that an account has registered'),
  ).action(async (address: string, options: CommonOptions) => {
    const found = await withAdmin(programme, options, (admin) => admin.ask('chat.pushes', { address }))
    show(options.json === true, found, () =>
      table(
        ['app server', 'node'],
        found.map(({ jid, node }) => [jid, node]),
      ),
    )
  })
  common(
    push.command('test <address>').description('send a notification to each device, and print what came back'),
  ).action(async (address: string, options: CommonOptions) => {
    const answers = await withAdmin(programme, options, (admin) => admin.ask('chat.test-pushes', { address }))
    show(options.json === true, answers, () =>
      table(
        ['app server', 'node', 'outcome', 'why'],
        answers.map(({ jid, node, outcome, why = '' }) => [jid, node, outcome, why]),
      ),
    )
  })
  common(
    push
      .command('remove <address> <app-server> [node]')
      .description('forget the devices at that app server, or the one of that node: until they register again'),
  ).action(async (address: string, jid: string, node: string | undefined, options: CommonOptions) => {
    const removed = await withAdmin(programme, options, (admin) =>
      admin.ask('chat.remove-push', { address, jid, ...(node !== undefined && { node }) }),
    )
    show(options.json === true, { removed }, () => `${removed} forgotten.`)
  })
}
