// What a milter decides, and what it wants changed, read into what a verdict is made of.

import { type Headers, type MailAddress, parseMailAddress } from '@aviso/mime'
import { SmtpError } from '@aviso/smtp'
import type { HeaderEdit, Message, Verdict } from '../../pipeline/contracts.ts'
import { ACTIONS, MilterError, type Packet, texts } from './protocol.ts'

/** A decision that ends something: the recipient, or the whole mail. */
export type Decision =
  { readonly kind: 'continue' | 'accept' | 'discard' | 'skip' } | { readonly kind: 'refuse'; readonly reply: SmtpError }

const REFUSED = (): SmtpError => new SmtpError(550, '5.7.1', 'The mail was refused by a filter of this server')
const LATER = (): SmtpError => new SmtpError(451, '4.7.1', 'A filter of this server asks you to try again later')

/** Undefined for a packet that is no decision. */
export function decision({ letter, data }: Packet): Decision | undefined {
  switch (letter) {
    case 'c':
      return { kind: 'continue' }
    case 'a':
      return { kind: 'accept' }
    case 'd':
      return { kind: 'discard' }
    case 's':
      return { kind: 'skip' }
    case 'r':
      return { kind: 'refuse', reply: REFUSED() }
    case 't':
    case 'f':
      return { kind: 'refuse', reply: LATER() }
    case 'y':
      return { kind: 'refuse', reply: replyOf(texts(data)[0] ?? '') }
    default:
      return undefined
  }
}

const REPLY_LINE = /^([45]\d\d)(?:[ -](?:([245]\.\d{1,3}\.\d{1,3})(?: |$))?(.*))?$/

/** A reply as the milter wrote it: `550 5.7.1 text`, on one or more lines, `%%` for `%`. Throws MilterError for what is none. */
function replyOf(text: string): SmtpError {
  const lines = text
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .slice(0, 32)
  const read = lines.map((line) => REPLY_LINE.exec(line))
  const [first] = read
  if (first === undefined || first === null) throw new MilterError(`'${text.slice(0, 100)}' is no reply`)
  const code = Number(first[1])
  const enhanced = first[2]
  const words = read.map((one, i) => (one?.[3] ?? lines[i] ?? '').replaceAll('%%', '%')).join('\n')
  const fits = enhanced !== undefined && enhanced.startsWith(String(code).charAt(0))
  return new SmtpError(
    code,
    fits ? enhanced : `${String(code).charAt(0)}.7.1`,
    words === '' ? 'Refused by a filter' : words,
  )
}

/** Changes that one milter may make to one mail. */
const MAX_CHANGES = 2000

/** The changes that a milter asks for at the end of the message. */
export class Changes {
  readonly #header: Headers
  readonly #allowed: number
  readonly #maxBody: number
  readonly #prepend: string[] = []
  readonly #append: string[] = []
  readonly #insert: { at: number; field: string }[] = []
  readonly #change: { name: string; index: number; value: string | null }[] = []
  readonly #add: MailAddress[] = []
  readonly #remove: MailAddress[] = []
  #body: Buffer[] | undefined
  #bodySize = 0
  #sender: MailAddress | null | undefined
  #quarantine: string | undefined
  #count = 0

  /** `allowed`: the actions that were negotiated. `maxBody`: octets that a new body may have. */
  constructor(header: Headers, allowed: number, maxBody: number) {
    this.#header = header
    this.#allowed = allowed
    this.#maxBody = maxBody
  }

  /** Takes one change. Throws MilterError for what is none, was not negotiated, or is too much. */
  take({ letter, data }: Packet): void {
    if (++this.#count > MAX_CHANGES && letter !== 'b') throw new MilterError(`more than ${MAX_CHANGES} changes`)
    switch (letter) {
      case 'h':
        this.#must(ACTIONS.addHeaders)
        this.#append.push(fieldOf(texts(data)))
        return
      case 'i':
        this.#must(ACTIONS.addHeaders)
        return this.#insertField(indexOf(data), fieldOf(texts(data.subarray(4))))
      case 'm':
        this.#must(ACTIONS.changeHeaders)
        return this.#changeField(indexOf(data), texts(data.subarray(4)))
      case 'b':
        this.#must(ACTIONS.changeBody)
        this.#bodySize += data.byteLength
        if (this.#bodySize > this.#maxBody) throw new MilterError('a body larger than a mail may be')
        this.#body = [...(this.#body ?? []), data]
        return
      case '+':
        this.#must(ACTIONS.addRecipient)
        this.#add.push(addressOf(texts(data)[0]))
        return
      case '2':
        this.#must(ACTIONS.addRecipientWithParameters)
        this.#add.push(addressOf(texts(data)[0]))
        return
      case '-':
        this.#must(ACTIONS.deleteRecipient)
        this.#remove.push(addressOf(texts(data)[0]))
        return
      case 'e': {
        this.#must(ACTIONS.changeSender)
        const text = bare(texts(data)[0] ?? '')
        this.#sender = text === '' ? null : addressOf(text)
        return
      }
      case 'q':
        this.#must(ACTIONS.quarantine)
        this.#quarantine = (texts(data)[0] ?? '').replace(/[^ -~]+/g, ' ').slice(0, 200)
        return
      default:
        throw new MilterError(`it answers '${letter.replace(/[^ -~]/, '?')}'`)
    }
  }

  /** The verdict of a mail that goes on, with everything that was changed. */
  verdict(message: Message): Verdict {
    const edit: HeaderEdit = {
      prepend: this.#prepend,
      append: this.#append,
      insert: this.#insert,
      change: this.#change,
    }
    const besides = {
      edit,
      ...(this.#body !== undefined && { message: message.withBody(Buffer.concat(this.#body)) }),
      ...(this.#sender !== undefined && { sender: this.#sender }),
      ...(this.#add.length > 0 && { add: this.#add }),
      ...(this.#remove.length > 0 && { remove: this.#remove }),
    }
    return this.#quarantine === undefined
      ? { action: 'accept', ...besides }
      : { action: 'quarantine', why: this.#quarantine, ...besides }
  }

  /** Positions count our own Received, which the milter does not see, as the first field: 0 and 1 are both the top of what it saw. */
  #insertField(at: number, field: string): void {
    if (at <= 1) this.#prepend.unshift(field)
    else this.#insert.push({ at, field })
  }

  /** As sendmail has it: one that is not there is added, an empty value takes it out. */
  #changeField(index: number, parts: readonly string[]): void {
    const [name = '', value = ''] = parts
    if (index > this.#header.all(name).length || index === 0) {
      if (value !== '') this.#append.push(fieldOf(parts))
      return
    }
    const field = fieldOf(parts)
    this.#change.push({ name, index, value: value === '' ? null : field.slice(name.length + 2) })
  }

  #must(action: number): void {
    if ((this.#allowed & action) === 0) throw new MilterError('it makes a change that it did not ask for at the start')
  }
}

const indexOf = (data: Buffer): number => {
  if (data.byteLength < 4) throw new MilterError('a change without its position')
  return data.readUInt32BE(0)
}

/** `Name: value`, on as many lines as the milter folded it to. */
function fieldOf([name = '', value = '']: readonly string[]): string {
  const folded = value
    // Nothing but blanks on a last line would be no folding (RFC 5322 §3.2.2).
    .trimEnd()
    .replace(/^[ \t]/, '')
    .replace(/\r?\n[ \t]*(?=[^ \t\r\n])/g, '\r\n\t')
  if (!/^[!-9;-~]{1,200}$/.test(name) || /\0|\r(?!\n)|(?<!\r)\n|\n(?![ \t])/.test(folded))
    throw new MilterError(`'${name.slice(0, 50)}' with its value is no header field`)
  return `${name}: ${folded}`
}

const bare = (text: string): string => text.trim().replace(/^<(.*)>$/s, '$1')

function addressOf(text = ''): MailAddress {
  const address = parseMailAddress(bare(text))
  if (address === undefined) throw new MilterError(`'${text.slice(0, 100)}' is no address`)
  return address
}
