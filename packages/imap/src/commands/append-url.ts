// RFC 4469 §3: the octets behind the URLs of a CATENATE, copied as FETCH BODY[...] would answer them; \Seen is not set.

import { BackendError, type Mailbox, type MailboxSnapshot } from '../backend.ts'
import { MessageReader } from '../server/message-reader.ts'
import type { ImapServerSession } from '../server/session.ts'
import { CommandError, no } from '../wire/errors.ts'
import { type MessageUrl, parseMessageUrl, urlForResponse } from '../wire/imap-url.ts'
import { lowerBound } from '../wire/number-set.ts'
import { Parser } from '../wire/parser.ts'
import { parseSection } from './fetch-items.ts'

interface OpenMailbox {
  readonly name: string
  readonly mailbox: Mailbox
  readonly snapshot: MailboxSnapshot
}

/** Reads the URLs of one command. The mailbox and message looked at last are kept: drafts are put together from many parts of one. */
export class UrlReader {
  readonly #session: ImapServerSession
  #open: OpenMailbox | undefined
  #message: { readonly mailbox: OpenMailbox; readonly uid: number; readonly reader: MessageReader } | undefined

  constructor(session: ImapServerSession) {
    this.#session = session
  }

  /** At most `room` octets. Throws NO with BADURL when there is no such thing, with TOOBIG when it is larger. */
  async read(text: string, room: number): Promise<Uint8Array> {
    const url = parseMessageUrl(text)
    const octets = url === undefined ? undefined : await this.#octets(url, room)
    if (octets === undefined)
      throw no('The URL names no message, or no part of one, that can be read here', `BADURL ${urlForResponse(text)}`)
    return octets
  }

  async #octets(url: MessageUrl, room: number): Promise<Uint8Array | undefined> {
    const open = await this.#mailbox(url)
    if (open === undefined) return undefined
    const { mailbox, snapshot } = open
    if (url.uidValidity !== undefined && url.uidValidity !== snapshot.uidValidity) return undefined
    const at = lowerBound(snapshot.uids, url.uid)
    if (snapshot.uids[at] !== url.uid) return undefined
    if (this.#message?.mailbox !== open || this.#message.uid !== url.uid) {
      const reader = new MessageReader(mailbox, url.uid, snapshot.sizes[at] ?? 0, undefined)
      this.#message = { mailbox: open, uid: url.uid, reader }
    }
    return this.#section(this.#message.reader, url, room)
  }

  async #mailbox({ mailbox: name }: MessageUrl): Promise<OpenMailbox | undefined> {
    const wanted = name ?? (this.#session.selected ? this.#session.view.mailbox.name : undefined)
    if (wanted === undefined) return undefined
    if (this.#open?.name === wanted) return this.#open
    try {
      const mailbox = await this.#session.account.open(wanted)
      if (mailbox.rights?.includes('r') === false) return undefined
      this.#open = { name: wanted, mailbox, snapshot: await mailbox.snapshot() }
      return this.#open
    } catch (error) {
      if (error instanceof BackendError && (error.code === 'NONEXISTENT' || error.code === 'NOPERM')) return undefined
      throw error
    }
  }

  async #section(reader: MessageReader, url: MessageUrl, room: number): Promise<Uint8Array | undefined> {
    const section = sectionOf(url.section)
    const content = section && (await reader.section(section))
    if (content === undefined || content.kind === 'absent' || content.kind === 'gone') return undefined
    const length = content.kind === 'bytes' ? content.bytes.length : content.end - content.start
    const from = Math.min(length, url.partial?.start ?? 0)
    const to = Math.min(length, from + (url.partial?.length ?? length))
    if (to - from > room) throw no('The message is too large', 'TOOBIG')
    if (content.kind === 'bytes') return content.bytes.subarray(from, to)
    return reader.read(content.start + from, content.start + to)
  }
}

/** Undefined when the text is no section. */
function sectionOf(text: string): ReturnType<typeof parseSection> | undefined {
  try {
    const parser = new Parser([Buffer.from(`${text}]`)])
    const section = parseSection(parser)
    parser.char(']')
    parser.end()
    return section
  } catch (error) {
    if (error instanceof CommandError) return undefined
    throw error
  }
}
