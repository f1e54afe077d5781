// aviso message export

import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { mboxEntry } from '../../mail/transfer/mbox-writer.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import { fetchMessages, listMessages } from '../mail-wire.ts'
import { OperationError } from '../operations.ts'
import type { Programme } from '../programme.ts'
import { messagesText, show, UsageError, write } from '../terminal.ts'
import { filtered, type Filters, queryOf } from './message-filters.ts'

export function exportCommand(programme: Programme): Command {
  return filtered(
    common(
      new Command('export').description(
        'write messages to a file: one as it is, several as an mbox; - is standard output, a folder gets a file for each',
      ),
    ),
  )
    .arguments('<address> <mailbox> <uids> <target>')
    .option('--mbox', 'as an mbox, also to standard output and for one message')
    .action(
      async (
        address: string,
        mailbox: string,
        uids: string,
        target: string,
        options: CommonOptions & Filters & { readonly mbox?: boolean },
      ) => {
        const query = queryOf(uids, options)
        const isFolder = target !== '-' && (await stat(target).catch(() => undefined))?.isDirectory() === true
        const asMbox = !isFolder && (options.mbox === true || /\.(?:mbox|mbx)$/i.test(target))
        const written = await withAdmin(programme, options, async (admin) => {
          const where = { address, mailbox }
          let output: FileHandle | undefined
          let messages = 0
          try {
            for await (const lines of listMessages(admin, where, query, false)) {
              if (!asMbox && !isFolder && (messages > 0 || lines.length > 1))
                throw new UsageError('these are several messages: add --mbox, or name a folder')
              for await (const { line, bytes } of fetchMessages(admin, where, lines)) {
                messages++
                if (isFolder) {
                  await save(join(target, `${line.uid}.eml`), bytes)
                  continue
                }
                const octets = asMbox ? mboxEntry({ bytes, flags: line.flags, internalDate: line.date.time }) : bytes
                if (target === '-') await write(octets)
                else {
                  output ??= await create(target)
                  await output.writeFile(octets)
                }
              }
            }
            await output?.sync()
          } finally {
            await output?.close()
          }
          if (messages === 0) throw new OperationError('not-found', `${mailbox} has no such message`)
          return messages
        })
        if (target !== '-')
          show(
            options.json === true,
            { messages: written, target },
            () => `${messagesText(written)} written to ${target}.`,
          )
      },
    )
}

/** A new file for this user alone; one that is there is left as it is. */
async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new OperationError('exists', `${path} is there already`)
    throw error
  }
}

async function save(path: string, octets: Uint8Array): Promise<void> {
  const file = await create(path)
  try {
    await file.writeFile(octets)
    await file.sync()
  } finally {
    await file.close()
  }
}
