// aviso queue ...

import { Command } from 'commander'
import type { QueueAction, QueueFilter, QueueLine } from '../../mail/targets/queue/admin.ts'
import { countOf, printable } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import { OperationError } from '../operations.ts'
import type { Programme } from '../programme.ts'
import { sizeText } from '../progress.ts'
import { agreed, show, table, UsageError, when } from '../terminal.ts'

interface FilterOptions extends CommonOptions {
  readonly destination?: string
  readonly sender?: string
  readonly recipient?: string
  readonly held?: boolean
}

interface ChangeOptions extends FilterOptions {
  readonly all?: boolean
  readonly yes?: boolean
  readonly tell?: boolean
}

const filters = (command: Command): Command =>
  command
    .option('--destination <domain>', 'only what is for that domain, or for the target of that name')
    .option('--sender <address>', 'only from that address, that domain, or <>')
    .option('--recipient <address>', 'only to that address or domain')

export function queueCommand(programme: Programme): Command {
  const queue = new Command('queue').description('mail that waits')

  filters(
    common(queue.command('list', { isDefault: true }).description('who waits for mail, the longest waiting first')),
  )
    .option('--held', 'only what is on hold')
    .option('--limit <count>', 'at most so many recipients', '1000')
    .action(async (options: FilterOptions & { readonly limit: string }) => {
      const limit = countOf(options.limit)
      const lines = await withAdmin(programme, options, (admin) =>
        admin.ask('queue.list', { filter: filterOf(options), limit }),
      )
      show(options.json === true, lines, () => listText(lines, limit))
    })

  common(queue.command('show <id>').description('everything about one mail that waits')).action(
    async (id: string, options: CommonOptions) => {
      const lines = await withAdmin(programme, options, (admin) =>
        admin.ask('queue.list', { filter: { ids: [id] }, limit: 100_000 }),
      )
      if (lines.length === 0) throw new OperationError('not-found', `no mail ${id} waits in the queue`)
      show(options.json === true, lines, () => lines.map(lineText).join('\n\n'))
    },
  )

  changing('retry', 'try mail now, whether its destination is known to be down or not', 'tried now')
  changing('hold', 'keep mail back until it is released', 'on hold')
  changing('release', 'let mail go that was on hold; it is tried now', 'released')
  changing('delete', 'take mail out of the queue: nobody gets it', 'taken out')
    .option('--tell', 'tell the senders that their mail was not delivered')
    .option('--yes', 'do not ask')

  filters(common(queue.command('flush').description('try everything now'))).action((options: FilterOptions) =>
    change('retry', 'tried now', filterOf(options), options),
  )

  function changing(action: QueueAction, description: string, done: string): Command {
    return filters(common(queue.command(`${action} [ids...]`).description(description)))
      .option('--all', 'all mail')
      .action(async (ids: readonly string[], options: ChangeOptions) => {
        const filter: QueueFilter = { ...filterOf(options), ...(ids.length === 0 ? {} : { ids }) }
        if (Object.keys(filter).length === 0 && options.all !== true)
          throw new UsageError(
            `say which mail: ids as \`aviso queue list\` shows them, --destination, --sender, --recipient, or --all`,
          )
        if (action === 'delete') await agreed(options.yes === true, 'mail will be taken out of the queue for good')
        await change(action, done, filter, options)
      })
  }

  async function change(action: QueueAction, done: string, filter: QueueFilter, options: ChangeOptions): Promise<void> {
    const { changed } = await withAdmin(programme, options, (admin) =>
      admin.ask('queue.change', { action, filter, tell: options.tell === true }),
    )
    if (changed === 0 && filter.ids !== undefined)
      throw new OperationError('not-found', 'no such mail is in the queue in that state')
    show(options.json === true, { changed }, () => `${done}: ${changed} ${changed === 1 ? 'recipient' : 'recipients'}`)
  }

  return queue
}

const filterOf = ({ destination, sender, recipient, held }: FilterOptions): QueueFilter => ({
  ...(destination === undefined ? {} : { destination }),
  ...(sender === undefined ? {} : { sender }),
  ...(recipient === undefined ? {} : { recipient }),
  ...(held === undefined ? {} : { held }),
})

function listText(lines: readonly QueueLine[], limit: number): string {
  if (lines.length === 0) return 'No mail waits.'
  const text = table(
    ['mail', 'since', 'from', 'to', 'size', 'tries', 'next', 'last answer'],
    lines.map((line) => [
      line.mail,
      when(line.created),
      printable(line.sender === '' ? '<>' : line.sender),
      printable(line.address),
      sizeText(line.size),
      String(line.attempts),
      line.nextAttempt === undefined ? 'on hold' : when(line.nextAttempt),
      answerText(line),
    ]),
  )
  return lines.length < limit ? text : `${text}\n(the first ${limit}; --limit shows more)`
}

const answerText = ({ error }: QueueLine): string =>
  error === undefined ? '' : printable(`${error.code} ${error.enhanced} ${error.text}`)

const lineText = (line: QueueLine): string =>
  [
    `mail        ${line.mail}`,
    `from        ${printable(line.sender === '' ? '<>' : line.sender)}`,
    `to          ${printable(line.address)}${line.recipient === line.address ? '' : printable(` (sent to ${line.recipient})`)}`,
    `goes to     ${line.target}${line.destination === '' ? '' : ` ${line.destination}`}`,
    `size        ${sizeText(line.size)}`,
    `came        ${when(line.created)}`,
    `tries       ${line.attempts}${line.lastAttempt === undefined ? '' : `, the last at ${when(line.lastAttempt)}`}`,
    `next        ${line.nextAttempt === undefined ? 'on hold' : when(line.nextAttempt)}`,
    `until       ${when(line.expires)}`,
    ...(line.error === undefined
      ? []
      : [
          `last answer ${answerText(line)}`,
          ...(line.error.remote === '' ? [] : [`from        ${printable(line.error.remote)}`]),
        ]),
  ].join('\n')
