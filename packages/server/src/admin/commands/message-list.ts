// aviso message list

import { Command } from 'commander'
import type { MessageLine } from '../../mail/administration.ts'
import { printable } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import { listMessages } from '../mail-wire.ts'
import type { Programme } from '../programme.ts'
import { sizeText } from '../progress.ts'
import { table, when, write } from '../terminal.ts'
import { filtered, type Filters, queryOf } from './message-filters.ts'

export function listCommand(programme: Programme): Command {
  return filtered(common(new Command('list').description('messages with UID, date, flags, size, sender and subject')))
    .arguments('<address> <mailbox> [uids]')
    .action(async (address: string, mailbox: string, uids: string | undefined, options: CommonOptions & Filters) => {
      const query = queryOf(uids, options)
      let rows = 0
      await withAdmin(programme, options, async (admin) => {
        for await (const lines of listMessages(admin, { address, mailbox }, query, true)) {
          if (options.json === true)
            // One line in the end, yet never held whole.
            await write(lines.map((line, i) => `${rows + i === 0 ? '[' : ','}${JSON.stringify(line)}`).join(''))
          else await write(`${listing(lines, rows === 0)}\n`)
          rows += lines.length
        }
      })
      if (options.json === true) await write(rows === 0 ? '[]\n' : ']\n')
      else if (rows === 0) await write('No message.\n')
    })
}

function listing(lines: readonly MessageLine[], first: boolean): string {
  const text = table(
    ['uid', 'date', 'flags', 'size', 'from', 'subject'],
    lines.map(({ uid, date, flags, size, from, subject }) => [
      String(uid),
      when(date.time),
      flags.map((flag) => flag.replace(/^\\/, '').toLowerCase()).join(' '),
      sizeText(size),
      printable(from ?? '').slice(0, 32),
      printable(subject ?? '').slice(0, 100),
    ]),
  )
  return first ? text : text.slice(text.indexOf('\n') + 1)
}
