// aviso sendmail: the interface that programs have used to send mail since sendmail(8). Link it to /usr/sbin/sendmail.

import { Command } from 'commander'
import { userInfo } from 'node:os'
import { buffer } from 'node:stream/consumers'
import { formatAddress, Headers, normaliseNewlines, parseAddressList } from '@aviso/mime'
import { type CommonOptions, withAdmin } from '../context.ts'
import { onWire } from '../mail-wire.ts'
import type { Programme } from '../programme.ts'
import { show, UsageError } from '../terminal.ts'

/** What a program asked for. */
export interface SendmailArguments {
  readonly common: CommonOptions
  /** -t: the recipients stand in the header too. */
  readonly fromHeader: boolean
  /** -i: a line with a dot alone does not end the mail. */
  readonly wholeInput: boolean
  /** -f: the reverse-path, '' for `<>`. */
  readonly sender: string | undefined
  /** -F: the full name for a From field that has to be made. */
  readonly fullName: string | undefined
  /** -bp: list the queue. */
  readonly queue: boolean
  readonly recipients: readonly string[]
}

/** Options of sendmail with a value, which may stand in the same word or be the next. */
const VALUED = new Set(['f', 'r', 'F', 'o', 'O', 'N', 'R', 'V', 'B', 'p', 'h', 'X', 'L', 'C', 'A', 'd', 'q'])
/** Of these the value, if there is one, stands in the same word. */
const SAME_WORD = new Set(['o', 'd', 'q'])

/** Reads arguments as sendmail(8) does. Throws UsageError for what would ask for something else than sending, such as -bs. */
export function sendmailArguments(words: readonly string[]): SendmailArguments {
  const made = {
    common: {} as { config?: string; data?: string; json?: boolean },
    fromHeader: false,
    wholeInput: false,
    sender: undefined as string | undefined,
    fullName: undefined as string | undefined,
    queue: false,
    recipients: [] as string[],
  }
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (word === '--') {
      made.recipients.push(...words.slice(at + 1))
      break
    }
    if (word === '--json') made.common.json = true
    else if (word === '--config' || word === '--data')
      made.common[word === '--config' ? 'config' : 'data'] = words[++at] ?? ''
    else if (!word.startsWith('-') || word === '-') made.recipients.push(word)
    else {
      const flag = word.charAt(1)
      let value = word.slice(2)
      if (value === '' && VALUED.has(flag) && !SAME_WORD.has(flag)) value = words[++at] ?? ''
      option(made, flag, value)
    }
  }
  return made
}

function option(
  made: {
    fromHeader: boolean
    wholeInput: boolean
    sender: string | undefined
    fullName: string | undefined
    queue: boolean
  },
  flag: string,
  value: string,
): void {
  switch (flag) {
    case 't':
      made.fromHeader = true
      if (value.includes('i')) made.wholeInput = true
      break
    case 'i':
      made.wholeInput = true
      if (value.includes('t')) made.fromHeader = true
      break
    case 'o':
      // -oi is -i; the other options of that kind say how to deliver, which is not theirs to choose.
      if (value === 'i') made.wholeInput = true
      break
    case 'f':
    case 'r':
      made.sender = value === '<>' ? '' : value.replace(/^<(.*)>$/, '$1')
      break
    case 'F':
      made.fullName = value
      break
    case 'b':
      if (value === 'p') made.queue = true
      else if (value !== 'm')
        throw new UsageError(`sendmail -b${value} is not offered: this command sends (-bm) and lists the queue (-bp)`)
      break
    case 'I':
      throw new UsageError('sendmail -I is not offered: aliases need no rebuilding (aviso alias)')
    default:
      // What else sendmail knows changes how, not what, is sent.
      break
  }
}

export function sendmailCommand(programme: Programme): Command {
  return new Command('sendmail')
    .description(
      'send a mail from standard input, with the options of sendmail(8): -t -i -f -F; link it to /usr/sbin/sendmail',
    )
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption('--help')
    .argument('[options-and-recipients...]')
    .action(async (words: readonly string[]) => {
      const asked = sendmailArguments(words)
      if (asked.queue) {
        const waiting = await withAdmin(programme, asked.common, (admin) => admin.ask('queue.list', undefined))
        const rows = waiting as readonly { readonly mail: string; readonly address: string; readonly sender: string }[]
        return show(asked.common.json === true, rows, () =>
          rows.length === 0
            ? 'Mail queue is empty'
            : rows.map(({ mail, sender, address }) => `${mail} ${sender} -> ${address}`).join('\n'),
        )
      }
      const input = await buffer(process.stdin)
      const text = normaliseNewlines(asked.wholeInput ? input : upToDot(input))
      const header = Headers.parse(text)
      const recipients = [...asked.recipients, ...(asked.fromHeader ? inHeader(header) : [])]
      if (recipients.length === 0)
        throw new UsageError('no recipients: name them, or use -t to take them from the header')
      const user = userInfo().username
      const sent = await withAdmin(programme, asked.common, async (admin) => {
        const { domain } = await admin.ask('mail.origin', undefined)
        const local = (name: string): string => (name.includes('@') || name === '' ? name : `${name}@${domain}`)
        const sender = local(asked.sender ?? user)
        const message = withFrom(
          text,
          header,
          local(asked.sender === undefined || asked.sender === '' ? user : asked.sender),
          asked.fullName,
        )
        const { content } = await onWire(admin, { bytes: message, flags: [], date: undefined })
        return admin.ask('mail.send', { from: sender, to: recipients.map(local), content })
      })
      show(asked.common.json === true, sent, () => '')
    })
}

/** RFC 5321's end of data on its own line ends the input, as it always did for sendmail. */
function upToDot(input: Buffer): Buffer {
  if (/^\.\r?\n/.test(input.toString('latin1', 0, 3))) return Buffer.alloc(0)
  for (const end of ['\n.\n', '\n.\r\n']) {
    const at = input.indexOf(end)
    if (at >= 0) return input.subarray(0, at + 1)
  }
  return input
}

/** RFC 5322 §3.6.3: all recipients that the header names. */
const inHeader = (header: Headers): readonly string[] =>
  ['To', 'Cc', 'Bcc'].flatMap((name) =>
    header
      .all(name)
      .flatMap((value) => parseAddressList(value))
      .flatMap((entry) => (entry.kind === 'group' ? entry.members : [entry]))
      .map(({ local, domain }) => (domain === '' ? local : `${local}@${domain}`)),
  )

/** A mail needs a From field. */
function withFrom(text: Uint8Array, header: Headers, address: string, name: string | undefined): Uint8Array {
  if (header.has('From')) return text
  const bare = [...header.fields()].length === 0
  const field = `From: ${name === undefined ? address : formatAddress(name, address)}\r\n`
  const startsWithBody = bare && text[0] !== 0x0d
  return Buffer.concat([Buffer.from(field + (startsWithBody ? '\r\n' : '')), text])
}
