// aviso dkim ..., aviso check ...

import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { Command, InvalidArgumentError, Option } from 'commander'
import { parseDuration } from '../../kernel/units.ts'
import type { DkimKeyLine, MessageFindings, SpfSubject } from '../../mail/authentication-admin.ts'
import type { KeyKind } from '../../mail/keys/generate.ts'
import { printable } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { agreed, show, table, UsageError, when } from '../terminal.ts'

/** What a line of the control socket can hold of a message. */
const MAX_MESSAGE = 11 * 1024 * 1024

const KINDS: readonly KeyKind[] = ['rsa2048', 'rsa4096', 'ed25519']

export function dkimCommand(programme: Programme): Command {
  const dkim = new Command('dkim').description('the keys that sign outgoing mail, and the DNS records for them')
  common(
    dkim
      .command('show')
      .description('keys and the records to publish; makes the keys of a domain that has none yet')
      .argument('[domain]'),
  ).action(async (domain: string | undefined, options: CommonOptions) => {
    const keys = await withAdmin(programme, options, (admin) =>
      admin.ask('dkim.keys', domain === undefined ? {} : { domain }),
    )
    show(options.json === true, keys, () =>
      keys.length === 0 ? 'There are no keys yet: name a domain to make some.' : keysText(keys),
    )
  })
  common(
    dkim
      .command('rotate')
      .description('make new keys that follow those in use, and print the records to publish until then')
      .argument('<domain>')
      .option('--after <time>', 'how long the old keys still sign (0s: not at all)', delayOf, parseDuration('2d'))
      .addOption(
        new Option('--key <kind...>', 'the kinds of keys to make (default: the same as those in use)').choices(KINDS),
      ),
  ).action(async (domain: string, options: CommonOptions & { readonly after: number; readonly key?: KeyKind[] }) => {
    const { after: delay, key: kinds } = options
    if (kinds !== undefined && kinds.filter((kind) => kind !== 'ed25519').length > 1)
      throw new UsageError('there can be one RSA key at a time')
    const keys = await withAdmin(programme, options, (admin) =>
      admin.ask('dkim.rotate', { domain, delay, ...(kinds === undefined ? {} : { kinds: [...new Set(kinds)] }) }),
    )
    show(options.json === true, keys, () => keysText(keys))
  })
  common(
    dkim
      .command('import')
      .description('sign with a key that was made elsewhere (PEM), from now on, in the place of the one in use')
      .arguments('<domain> <selector> <file>'),
  ).action(async (domain: string, selector: string, file: string, options: CommonOptions) => {
    const pem = (await octetsOf(file)).toString('latin1')
    const key = await withAdmin(programme, options, (admin) => admin.ask('dkim.import', { domain, selector, pem }))
    show(options.json === true, key, () => keysText([key]))
  })
  common(
    dkim
      .command('remove')
      .description('erase a key; mail that it signed can still be verified while its record is published')
      .arguments('<domain> <selector>')
      .option('--yes', 'do not ask'),
  ).action(async (domain: string, selector: string, options: CommonOptions & { readonly yes?: boolean }) => {
    await agreed(options.yes === true, `Erase the key ${selector} of ${domain}?`)
    await withAdmin(programme, options, (admin) => admin.ask('dkim.remove', { domain, selector }))
    show(options.json === true, { domain, selector }, () => `Erased.`)
  })
  return dkim
}

interface Subject {
  readonly ip?: string
  readonly helo?: string
  readonly from?: string
}

const withSubject = (command: Command): Command =>
  command
    .option('--ip <address>', 'the client that sends')
    .option('--helo <name>', "its name in EHLO (default: the sender's domain)")
    .option('--from <address>', 'the reverse-path; <> for a notification')

export function checkCommand(programme: Programme): Command {
  const check = new Command('check').description('what this server finds out of a sender or a message, and why')
  withSubject(common(check.command('spf').description('whether a client may send for a sender (RFC 7208)'))).action(
    async (options: CommonOptions & Subject) => {
      const subject = subjectOf(options)
      if (subject === undefined) throw new UsageError('name a client with --ip and a sender with --from')
      const result = await withAdmin(programme, options, (admin) => admin.ask('check.spf', subject))
      show(options.json === true, result, () =>
        [
          `${result.status}: ${printable(result.reason)}`,
          `  asked ${printable(result.domain)} (${result.identity}), ${result.lookups} of 10 look-ups`,
          ...(result.explanation === undefined ? [] : [`  it says: ${printable(result.explanation)}`]),
        ].join('\n'),
      )
    },
  )
  withSubject(
    common(
      check
        .command('message')
        .description('DKIM, ARC and DMARC of a message, and SPF where --ip and --from tell who sent it')
        .argument('<file>', 'the message as it came; - for standard input'),
    ),
  ).action(async (file: string, options: CommonOptions & Subject) => {
    const octets = await octetsOf(file)
    if (octets.length > MAX_MESSAGE) throw new UsageError('the message is larger than 11 MiB')
    const subject = subjectOf(options)
    const found = await withAdmin(programme, options, (admin) =>
      admin.ask('check.message', {
        message: octets.toString('base64'),
        ...(subject === undefined ? {} : { subject }),
      }),
    )
    show(options.json === true, found, () => findingsText(found))
  })
  return check
}

function subjectOf({ ip, helo, from }: Subject): SpfSubject | undefined {
  if (ip === undefined && from === undefined) return undefined
  if (ip === undefined || from === undefined) throw new UsageError('--ip and --from belong together')
  return { ip, from: from === '<>' ? '' : from, ...(helo === undefined ? {} : { helo }) }
}

const octetsOf = (file: string): Promise<Buffer> => (file === '-' ? buffer(process.stdin) : readFile(file))

function delayOf(text: string): number {
  const delay = parseDuration(text)
  if (delay === undefined) throw new InvalidArgumentError('expected a time such as 12h or 2d')
  return delay
}

function keysText(keys: readonly DkimKeyLine[]): string {
  const rows = table(
    ['domain', 'selector', 'kind', 'state', 'until', 'DNS'],
    keys.map(({ domain, selector, kind, state, starts, ends, publish, published }) => [
      domain,
      selector,
      kind,
      state === 'next' ? `from ${when(starts)}` : state,
      ends === null ? '' : when(ends),
      published === undefined ? 'no answer' : published ? 'published' : publish ? 'MISSING' : 'not there',
    ]),
  )
  const wanted = keys.filter(({ publish }) => publish).map(({ zone }) => zone)
  const done = keys.filter(({ publish, published }) => !publish && published === true).map(({ name }) => name)
  return [
    rows,
    ...(wanted.length === 0 ? [] : ['', 'Records to publish:', ...wanted]),
    ...(done.length === 0 ? [] : ['', 'No longer needed:', ...done]),
  ].join('\n')
}

function findingsText({ spf, dkim, arc, dmarc }: MessageFindings): string {
  const lines: (readonly [method: string, status: string, why: string])[] = []
  if (spf !== undefined) lines.push(['spf', spf.status, spf.reason])
  for (const { status, domain, selector, algorithm, reason } of dkim.signatures)
    lines.push(['dkim', status, `${domain ?? '?'} (${[selector, algorithm].filter(Boolean).join(', ')}): ${reason}`])
  if (dkim.signatures.length === 0) lines.push(['dkim', 'none', 'no signature'])
  if (dkim.ignored > 0) lines.push(['dkim', 'ignored', `${dkim.ignored} more signatures`])
  lines.push(['arc', arc.status, arc.reason])
  for (const [i, { domain }] of arc.sealers.entries()) lines.push(['', '', `${i + 1}. sealed by ${domain}`])
  lines.push(['dmarc', dmarc.status, dmarc.reason])
  if (dmarc.status === 'fail') lines.push(['', '', `policy ${dmarc.policy}, to be applied: ${dmarc.disposition}`])
  return lines
    .map(([method, status, why]) => `${method.padEnd(6)} ${status.padEnd(9)} ${printable(why)}`.trimEnd())
    .join('\n')
}
