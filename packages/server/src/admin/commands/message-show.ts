// aviso message show

import { decodeBody, decodeText, decodeWords, Headers, parameter, parseStructure, type Part } from '@aviso/mime'
import { Command } from 'commander'
import type { MessageLine } from '../../mail/administration.ts'
import { printable, uidOf } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import { fetchMessage, type InMailbox, listMessages } from '../mail-wire.ts'
import { type Admin, OperationError } from '../operations.ts'
import type { Programme } from '../programme.ts'
import { sizeText } from '../progress.ts'
import { show, when, write } from '../terminal.ts'

export function showCommand(programme: Programme): Command {
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
