// aviso message ...

import { open } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { Command } from 'commander'
import { readWhole } from '../../mail/transfer/safe-files.ts'
import { flagOf, momentOf, several } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import { onWire } from '../mail-wire.ts'
import { OperationError } from '../operations.ts'
import type { Programme } from '../programme.ts'
import { agreed, messagesText, show, UsageError } from '../terminal.ts'
import { exportCommand } from './message-export.ts'
import { listCommand } from './message-list.ts'
import { showCommand } from './message-show.ts'

export function messageCommand(programme: Programme): Command {
  const message = new Command('message').description('the messages of a mailbox, by their UIDs (1:100,200:*)')
  for (const one of [listCommand, showCommand, addCommand, flagsCommand, exportCommand])
    message.addCommand(one(programme))
  for (const one of transferCommands(programme)) message.addCommand(one)
  message.addCommand(deleteCommand(programme))
  return message
}

function addCommand(programme: Programme): Command {
  return common(new Command('add').description('put a message into a mailbox, from a file or standard input'))
    .arguments('<address> <mailbox> [file]')
    .option('--flag <flag>', 'with this flag or keyword; again for more', several)
    .option('--date <date>', 'when it came; default: now', momentOf)
    .action(
      async (
        address: string,
        mailbox: string,
        file: string | undefined,
        options: CommonOptions & { readonly flag?: readonly string[]; readonly date?: ReturnType<typeof momentOf> },
      ) => {
        const flags = (options.flag ?? []).map(flagOf)
        // Before anything else: it is this user who may read it, not the one that the server runs as.
        const input = file === undefined || file === '-' ? undefined : await open(file)
        const result = await withAdmin(programme, options, async (admin) => {
          const { octets } = await admin.ask('mail.limit', undefined)
          const bytes = input === undefined ? await buffer(process.stdin) : await readWhole(input, octets)
          await input?.close()
          if (bytes === undefined || bytes.byteLength > octets)
            throw new OperationError(
              'invalid',
              `a message may have ${octets} octets at most (the setting mail.max-message-size)`,
            )
          if (bytes.byteLength === 0) throw new OperationError('invalid', 'there is no message: nothing came')
          const message = await onWire(admin, { bytes, flags, date: options.date })
          return admin.ask('message.add', { address, mailbox, message })
        })
        show(options.json === true, result, () => String(result.uid))
      },
    )
}

function flagsCommand(programme: Programme): Command {
  return common(
    new Command('flags').description(
      'add, remove or set flags: seen, answered, flagged, deleted, draft, or any keyword',
    ),
  )
    .arguments('<address> <mailbox> <uids> <add|remove|set> [flag...]')
    .action(
      async (
        address: string,
        mailbox: string,
        uids: string,
        action: string,
        given: readonly string[],
        options: CommonOptions,
      ) => {
        if (action !== 'add' && action !== 'remove' && action !== 'set')
          throw new UsageError(`expected one of add, remove, set; found ${action}`)
        if (given.length === 0 && action !== 'set') throw new UsageError(`which flags? Such as: ${action} seen`)
        const flags = given.map(flagOf)
        const { messages } = await withAdmin(programme, options, (admin) =>
          admin.ask('message.flags', { address, mailbox, uids, action, flags }),
        )
        show(options.json === true, { messages }, () => `${messagesText(messages)} changed.`)
      },
    )
}

const transferCommands = (programme: Programme): Command[] =>
  (['copy', 'move'] as const).map((name) =>
    common(
      new Command(name).description(
        name === 'copy' ? 'put messages into another mailbox too' : 'put messages into another mailbox instead',
      ),
    )
      .arguments('<address> <mailbox> <uids> <to>')
      .option('--create', 'make the other mailbox when it is missing')
      .action(
        async (
          address: string,
          mailbox: string,
          uids: string,
          to: string,
          options: CommonOptions & { readonly create?: boolean },
        ) => {
          const { messages } = await withAdmin(programme, options, async (admin) => {
            if (options.create === true)
              try {
                await admin.ask('mailbox.create', { address, mailbox: to })
              } catch (error) {
                if (!(error instanceof OperationError) || error.code !== 'exists') throw error
              }
            return admin.ask(`message.${name}`, { address, mailbox, uids, to })
          })
          show(
            options.json === true,
            { messages },
            () => `${messagesText(messages)} ${name === 'copy' ? 'copied' : 'moved'} to ${to}.`,
          )
        },
      ),
  )

function deleteCommand(programme: Programme): Command {
  return common(new Command('delete').description('erase messages for good; to keep them a while, move them to Trash'))
    .arguments('<address> <mailbox> <uids>')
    .option('--yes', 'do not ask')
    .action(
      async (address: string, mailbox: string, uids: string, options: CommonOptions & { readonly yes?: boolean }) => {
        await agreed(options.yes === true, `this erases the messages ${uids} of ${mailbox} for good`)
        const { messages } = await withAdmin(programme, options, (admin) =>
          admin.ask('message.delete', { address, mailbox, uids }),
        )
        show(options.json === true, { messages }, () => `${messagesText(messages)} erased.`)
      },
    )
}
