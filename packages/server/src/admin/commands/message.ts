// aviso message ...

import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { decodeWords, decodeBody, decodeText, Headers, parameter, parseStructure, type Part } from '@aviso/mime'
import { Command } from 'commander'
import type { MessageLine, MessageQuery } from '../../mail/administration.ts'
import { mboxEntry } from '../../mail/transfer/mbox-writer.ts'
import { readWhole } from '../../mail/transfer/safe-files.ts'
import { countOf, flagOf, momentOf, printable, several, since, sizeOf, uidOf } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import { fetchMessage, fetchMessages, type InMailbox, listMessages, onWire } from '../mail-wire.ts'
import { type Admin, OperationError } from '../operations.ts'
import type { Programme } from '../programme.ts'
import { sizeText } from '../progress.ts'
import { agreed, show, table, UsageError, when } from '../terminal.ts'

interface Filters {
  readonly since?: number
  readonly before?: number
  readonly seen?: boolean
  readonly unseen?: boolean
  readonly flagged?: boolean
  readonly with?: readonly string[]
  readonly without?: readonly string[]
  readonly larger?: number
  readonly smaller?: number
  readonly from?: string
  readonly to?: string
  readonly subject?: string
  readonly last?: number
}

/** Adds the options that choose messages. */
const filtered = (command: Command): Command =>
  command
    .option('--since <date>', 'that came at or after this date, or within this time (7d)', since)
    .option('--before <date>', 'that came before this date', since)
    .option('--unseen', 'not flagged \\Seen')
    .option('--seen', 'flagged \\Seen')
    .option('--flagged', 'flagged \\Flagged')
    .option('--with <flag>', 'with this flag or keyword; again for more', several)
    .option('--without <flag>', 'without this flag or keyword; again for more', several)
    .option('--larger <size>', 'larger than this', sizeOf)
    .option('--smaller <size>', 'smaller than this', sizeOf)
    .option('--from <text>', 'with this text in From')
    .option('--to <text>', 'with this text in To')
    .option('--subject <text>', 'with this text in Subject')
    .option('--last <n>', 'among the last n messages of the mailbox', countOf)

function queryOf(uids: string | undefined, options: Filters): MessageQuery {
  if (options.seen === true && options.unseen === true)
    throw new UsageError('--seen and --unseen together choose nothing')
  const { since: from, before, larger, smaller, from: sender, to, subject, last } = options
  return {
    with: [
      ...(options.with ?? []).map(flagOf),
      ...(options.seen === true ? ['\\Seen'] : []),
      ...(options.flagged === true ? ['\\Flagged'] : []),
    ],
    without: [...(options.without ?? []).map(flagOf), ...(options.unseen === true ? ['\\Seen'] : [])],
    ...(uids === undefined ? {} : { uids }),
    ...(from === undefined ? {} : { since: from }),
    ...(before === undefined ? {} : { before }),
    ...(larger === undefined ? {} : { larger }),
    ...(smaller === undefined ? {} : { smaller }),
    ...(sender === undefined ? {} : { from: sender }),
    ...(to === undefined ? {} : { to }),
    ...(subject === undefined ? {} : { subject }),
    ...(last === undefined ? {} : { last }),
  }
}

export function messageCommand(programme: Programme): Command {
  const message = new Command('message').description('the messages of a mailbox, by their UIDs (1:100,200:*)')
  for (const one of [listCommand, showCommand, addCommand, flagsCommand, exportCommand])
    message.addCommand(one(programme))
  for (const one of transferCommands(programme)) message.addCommand(one)
  message.addCommand(deleteCommand(programme))
  return message
}

function listCommand(programme: Programme): Command {
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

/** Resolves when more may be written: the output may be a pipe that somebody reads slowly. */
const write = (octets: string | Uint8Array): Promise<void> =>
  new Promise((resolve) => void process.stdout.write(octets, () => resolve()))

function showCommand(programme: Programme): Command {
  return common(new Command('show').description('one message: what it is about, its parts and its text'))
    .arguments('<address> <mailbox> <uid>')
    .option('--headers', 'the whole header as it came')
    .option('--raw', 'the whole message as it came')
    .option('--part <number>', 'the content of one part, decoded: 1, 2.1 ...')
    .action(
      async (
        address: string,
        mailbox: string,
        text: string,
        options: CommonOptions & { readonly headers?: boolean; readonly raw?: boolean; readonly part?: string },
      ) => {
        const uid = uidOf(text)
        const { line, bytes } = await withAdmin(programme, options, (admin) => one(admin, { address, mailbox }, uid))
        const json = options.json === true
        if (options.raw === true)
          return json ? show(true, { uid, raw: bytes.toString('base64') }, () => '') : write(bytes)
        const root = parseStructure(bytes)
        if (options.part !== undefined) {
          const part = parts(root).find(({ number }) => number === options.part)
          if (part === undefined)
            throw new OperationError(
              'not-found',
              `message ${uid} has no part ${options.part}; it has ${parts(root)
                .map(({ number }) => number)
                .join(', ')}`,
            )
          const content = decodeBody(part.part, bytes)
          return json
            ? show(
                true,
                { uid, part: part.number, type: typeOf(part.part), content: Buffer.from(content).toString('base64') },
                () => '',
              )
            : write(content)
        }
        if (options.headers === true && !json) return write(bytes.subarray(0, root.bodyStart))
        const shown = {
          uid,
          flags: line.flags,
          date: line.date,
          size: line.size,
          headers: fields(bytes, root),
          parts: parts(root).map(({ number, part }) => ({
            number,
            type: typeOf(part),
            size: part.bodyEnd - part.bodyStart,
            name: nameOf(part),
          })),
          text: textOf(root, bytes),
        }
        show(json, shown, () => people(shown))
        return undefined
      },
    )
}

/** The message with that UID, and what is said about it. Rejects when there is none. */
async function one(admin: Admin, where: InMailbox, uid: number): Promise<{ line: MessageLine; bytes: Buffer }> {
  for await (const [line] of listMessages(admin, where, { uids: String(uid) }, false)) {
    const bytes = line === undefined ? undefined : await fetchMessage(admin, where, uid, line.size)
    if (line !== undefined && bytes !== undefined) return { line, bytes }
  }
  throw new OperationError('not-found', `${where.mailbox} has no message ${uid}`)
}

const typeOf = (part: Part): string => `${part.type}/${part.subtype}`.toLowerCase()

function nameOf(part: Part): string | undefined {
  const name = parameter(part.disposition?.parameters ?? [], 'filename') ?? parameter(part.parameters, 'name')
  return name === undefined ? undefined : decodeWords(name)
}

/** All parts with their numbers (RFC 9051 §6.4.5); a multipart itself has none. */
function parts(root: Part): { readonly number: string; readonly part: Part }[] {
  const list: { number: string; part: Part }[] = []
  const walk = (part: Part, number: string): void => {
    if (part.children.length > 0)
      for (const [i, child] of part.children.entries())
        walk(child, number === '' ? String(i + 1) : `${number}.${i + 1}`)
    else {
      list.push({ number: number === '' ? '1' : number, part })
      if (part.message !== undefined) walk(part.message, number === '' ? '1' : number)
    }
  }
  walk(root, '')
  // A message inside is listed as itself; its only part would have its number.
  return list.filter(({ number }, i) => list.findIndex((other) => other.number === number) === i)
}

const fields = (bytes: Buffer, root: Part): readonly (readonly [name: string, value: string])[] => {
  const headers = Headers.parse(bytes, 0, root.bodyStart)
  const list: (readonly [string, string])[] = []
  for (const { name, valueStart, end } of headers.fields())
    if (name !== '')
      list.push([
        name,
        decodeWords(
          bytes
            .toString('utf8', valueStart, end)
            .replace(/\r?\n(?=[ \t])/g, '')
            .trim(),
        ),
      ])
  return list
}

/** The first text/plain, else the first text/html as it is. */
function textOf(root: Part, bytes: Buffer): string {
  const texts = parts(root).filter(({ part }) => part.type.toLowerCase() === 'text')
  const plain = texts.find(({ part }) => part.subtype.toLowerCase() === 'plain') ?? texts[0]
  return plain === undefined ? '' : decodeText(plain.part, bytes)
}

function people(shown: {
  readonly uid: number
  readonly flags: readonly string[]
  readonly date: { readonly time: number }
  readonly size: number
  readonly headers: readonly (readonly [string, string])[]
  readonly parts: readonly {
    readonly number: string
    readonly type: string
    readonly size: number
    readonly name: string | undefined
  }[]
  readonly text: string
}): string {
  const named = (name: string): string[] =>
    shown.headers
      .filter(([field]) => field.toLowerCase() === name.toLowerCase())
      .map(([, value]) => `${`${name}:`.padEnd(11)} ${printable(value)}`)
  return [
    `${'UID:'.padEnd(11)} ${shown.uid}, came ${when(shown.date.time)} UTC, ${sizeText(shown.size)}, ${shown.flags.join(' ') || 'no flags'}`,
    ...['From', 'To', 'Cc', 'Date', 'Subject', 'Message-ID'].flatMap(named),
    ...shown.parts.map(
      ({ number, type, size, name }) =>
        `${`Part ${number}:`.padEnd(11)} ${printable(type)}, ${sizeText(size)}${name === undefined ? '' : `, ${printable(name)}`}`,
    ),
    '',
    shown.text
      .split(/\r?\n/)
      .map((text) => printable(text.replaceAll('\t', '    ')))
      .join('\n'),
  ].join('\n')
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
        show(options.json === true, { messages }, () => `${count(messages)} changed.`)
      },
    )
}

const count = (messages: number): string => (messages === 1 ? '1 message' : `${messages} messages`)

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
            () => `${count(messages)} ${name === 'copy' ? 'copied' : 'moved'} to ${to}.`,
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
        show(options.json === true, { messages }, () => `${count(messages)} erased.`)
      },
    )
}

function exportCommand(programme: Programme): Command {
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
          show(options.json === true, { messages: written, target }, () => `${count(written)} written to ${target}.`)
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
