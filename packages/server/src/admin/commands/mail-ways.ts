// aviso mail explain, aviso mail simulate

import { Command, InvalidArgumentError } from 'commander'
import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import type { Story } from '../../mail/pipeline/stories.ts'
import type { Step } from '../../mail/pipeline/trace.ts'
import type { Supposition } from '../../mail/transport.ts'
import { printable, several } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { sizeText } from '../progress.ts'
import { show, UsageError } from '../terminal.ts'

export function explainCommand(programme: Programme): Command {
  return common(
    new Command('explain').description(
      'what became of a mail and why: who decided what on its way, by its id (from a log line, a Received field or a reply), or the newest mails from or to an address',
    ),
  )
    .argument('<id-or-address>')
    .option('--limit <count>', 'mails to show for an address', counted, 5)
    .action(async (idOrAddress: string, options: CommonOptions & { readonly limit: number }) => {
      const stories = await withAdmin(programme, options, (admin) =>
        admin.ask('mail.explain', { idOrAddress, limit: options.limit }),
      )
      show(options.json === true, stories, () => stories.map(storyText).join('\n\n'))
    })
}

interface SimulateOptions extends CommonOptions {
  readonly from?: string
  readonly to?: readonly string[]
  readonly ip?: string
  readonly hello?: string
  readonly as?: string
  readonly message?: string
  readonly external?: boolean
}

export function simulateCommand(programme: Programme): Command {
  return common(
    new Command('simulate').description(
      'what would become of a mail: asks all checks and rules of this server, delivers nothing and remembers nothing',
    ),
  )
    .option('--from <address>', "the reverse-path; '' or <> for a notification")
    .option('--to <address>', 'a recipient; again for more', several)
    .option('--ip <address>', 'where the mail would come from (default: 192.0.2.1, which is nobody)')
    .option('--hello <name>', "the name in EHLO (default: the sender's domain)")
    .option('--as <account>', 'the account that would be logged in')
    .option('--message <file>', 'the message; - for standard input')
    .option('--external', 'ask rspamd, milters, ClamAV and commands too, which may remember the mail')
    .action(async (options: SimulateOptions) => {
      const { from, to } = options
      if (from === undefined || to === undefined || to.length === 0)
        throw new UsageError('name a sender with --from and at least one recipient with --to')
      const message = options.message === undefined ? undefined : await octets(options.message)
      const supposed = await withAdmin(programme, options, (admin) =>
        admin.ask('mail.simulate', {
          from: from === '<>' ? '' : from,
          to,
          ...(options.ip === undefined ? {} : { ip: options.ip }),
          ...(options.hello === undefined ? {} : { hello: options.hello }),
          ...(options.as === undefined ? {} : { as: options.as }),
          ...(options.external === true ? { external: true } : {}),
          ...(message === undefined ? {} : { message: message.toString('base64') }),
        }),
      )
      show(options.json === true, supposed, () => suppositionText(supposed))
    })
}

/** The octets of a file, or of standard input for `-`. */
export const octets = (file: string): Promise<Buffer> => (file === '-' ? buffer(process.stdin) : readFile(file))

function counted(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('expected a number from 1 to 9999')
  return Number(text)
}

function storyText(story: Story): string {
  const by = story.account === '' ? '' : ` by ${story.account}`
  return [
    `mail ${story.id}: ${story.outcome}`,
    `  came ${new Date(story.at).toISOString()} over ${story.protocol}${by}${story.remoteAddress === '' ? '' : ` from ${story.remoteAddress}`} (session ${story.session}, pipeline ${story.pipeline})`,
    `  from ${story.sender === '' ? '<>' : printable(story.sender)} to ${story.recipients.length === 0 ? 'nobody' : printable(story.recipients.join(', '))}${story.size === 0 ? '' : `, ${sizeText(story.size)}`}`,
    ...stepLines(story.steps),
  ].join('\n')
}

function suppositionText({ pipeline, accepted, refusal, steps }: Supposition): string {
  const end =
    refusal === undefined
      ? `The mail would be taken for ${printable(accepted.join(', '))}.`
      : `The mail would be refused: ${refusal.code} ${refusal.enhanced} ${printable(refusal.text)}`
  return [`pipeline ${pipeline}`, ...stepLines(steps), end].join('\n')
}

function stepLines(steps: readonly Step[]): readonly string[] {
  const width = Math.max(0, ...steps.map(({ stage }) => stage.length))
  return steps.map(
    ({ after, stage, by, did, recipient, why }) =>
      `  ${afterText(after)}  ${stage.padEnd(width)}  ${printable(by)}: ${printable(did)}${recipient === undefined ? '' : ` [${printable(recipient)}]`}${why === undefined ? '' : `, ${printable(why)}`}`,
  )
}

/** When, after the mail came. */
const afterText = (ms: number): string =>
  (ms < 10_000 ? `+${Math.round(ms)}ms` : `+${Math.round(ms / 1000)}s`).padStart(7)
