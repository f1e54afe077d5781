// RFC 9051 §7.5.2: the FETCH response of a message, item by item.

import type { FlagSet, MessageMeta, MessageRow, MetaField } from '../backend.ts'
import {
  type BodyItem,
  type FetchItem,
  isOctetsItem,
  type OctetsItem,
  type PlainItem,
} from '../commands/fetch-items.ts'
import { COMMON_FIELDS } from '../render/common-fields.ts'
import { FieldFilter } from '../render/field-filter.ts'
import { DateTimeFormatter } from '../wire/dates.ts'
import { encodeString } from '../wire/encode.ts'
import { StreamClosed } from '../wire/response-stream.ts'
import { MessageReader, needsHeaderOnly } from './message-reader.ts'
import type { ImapServerSession } from './session.ts'
import { fetchOpening, formatFlags } from './telling.ts'
import type { MailboxView, RowCursor } from './view.ts'

/** A message longer than this is read and written in pieces. */
export const PIECE = 1_048_576
const EMPTY = new Uint8Array(0)
const NIL: Uint8Array = Buffer.from('NIL')

/** Writes FETCH responses for one list of items. */
export class FetchResponse {
  /** UIDs of messages that this FETCH has marked \Seen: their flags are told too. */
  readonly seen = new Set<number>()
  /** Some item is made of the octets of a message: use `message`, else `row` will do. */
  readonly needsOctets: boolean
  /** What `contents` reads is most of the message. */
  readonly needsWhole: boolean
  readonly #session: ImapServerSession
  readonly #view: MailboxView
  readonly #items: readonly FetchItem[]
  /** Items that choose fields of the header. */
  readonly #filters = new Map<FetchItem, FieldFilter>()
  readonly #dates = new DateTimeFormatter()
  /** The response so far, where it is text that has not been handed on. */
  #line = ''
  /** Formatted flags by set, as long as \Recent does not matter. */
  readonly #flags = new Map<FlagSet, string>()

  constructor(session: ImapServerSession, items: readonly FetchItem[]) {
    this.#session = session
    this.#view = session.view
    this.#items = items
    for (const item of items) if (isFieldsItem(item)) this.#filters.set(item, new FieldFilter(item.section.fields))
    const octets = items.filter((item) => isOctetsItem(item)).filter((item) => !this.#filters.has(item))
    this.needsOctets = octets.length > 0
    this.needsWhole = octets.some(
      (item) => item.partial === undefined && !(item.kind === 'BODY[]' && needsHeaderOnly(item.section)),
    )
  }

  /** The response of a message of which nothing but its row and `meta` is needed. */
  row(position: number, row: MessageRow, meta?: MessageMeta): void {
    this.#line = fetchOpening(this.#session, position, row.uid)
    for (let i = 0; i < this.#items.length; i++) {
      const item = this.#items[i] as FetchItem
      if (i > 0) this.#line += ' '
      if (!isOctetsItem(item)) this.#plain(item.kind, row, meta)
      else if (isFieldsItem(item)) this.#fields(item, meta)
    }
    this.#end(row)
  }

  /** The responses of up to `most` messages of which nothing but their rows is needed; false where there are no more. One piece of text: a mailbox has a hundred thousand of them. */
  rows(cursor: RowCursor, most: number): boolean {
    const { uidOnly } = this.#session
    let text = ''
    let more = true
    for (let n = 0; n < most && (more = cursor.next()); n++) {
      text += uidOnly ? `* ${cursor.uid} UIDFETCH (` : `* ${cursor.position + 1} FETCH (`
      for (let i = 0; i < this.#items.length; i++) {
        if (i > 0) text += ' '
        text += this.#column((this.#items[i] as FetchItem).kind, cursor) ?? ''
      }
      text += ')\r\n'
    }
    this.#session.out.text(text)
    return more
  }

  /** The response of any message, with the octets that `contents` read for it. */
  async message(position: number, row: MessageRow, meta: MessageMeta, contents: Contents): Promise<void> {
    this.#line = fetchOpening(this.#session, position, row.uid)
    for (let i = 0; i < this.#items.length; i++) {
      const item = this.#items[i] as FetchItem
      if (i > 0) this.#line += ' '
      if (!isOctetsItem(item)) this.#plain(item.kind, row, meta)
      else if (isFieldsItem(item)) this.#fields(item, meta)
      else await this.#write(contents, item)
    }
    this.#end(row)
  }

  #end(row: MessageRow): void {
    if (this.seen.has(row.uid)) this.#unasked(row)
    this.#session.out.text(`${this.#line})\r\n`)
    this.#line = ''
  }

  /** \Seen, which this FETCH has set: the flags, and to who knows mod-sequences the new one and the UID (RFC 7162 §3.2.4). */
  #unasked(row: MessageRow): void {
    const has = (kind: FetchItem['kind']): boolean => this.#items.some((item) => item.kind === kind)
    if (!has('FLAGS')) this.#line += ` ${this.#formatFlags(row)}`
    if (!this.#session.condstore) return
    if (!has('UID') && !this.#session.uidOnly) this.#line += ` UID ${row.uid}`
    if (!has('MODSEQ')) this.#line += ` MODSEQ (${row.modseq})`
  }

  /** Octets behind the text so far. */
  #bytes(octets: Uint8Array): void {
    this.#session.out.text(this.#line)
    this.#line = ''
    this.#session.out.bytes(octets)
  }

  /** What stands in the columns of a mailbox; undefined for an item that is made of something else. */
  #column(kind: FetchItem['kind'], row: MessageRow): string | undefined {
    switch (kind) {
      case 'UID':
        return `UID ${row.uid}`
      case 'FLAGS':
        return this.#formatFlags(row)
      case 'INTERNALDATE':
        return `INTERNALDATE "${this.#dates.format(row.internalDate, row.zone)}"`
      case 'RFC822.SIZE':
        return `RFC822.SIZE ${row.size}`
      case 'MODSEQ':
        return `MODSEQ (${row.modseq})`
      default:
        return undefined
    }
  }

  #plain(kind: PlainItem, row: MessageRow, meta: MessageMeta | undefined): void {
    switch (kind) {
      case 'EMAILID':
        this.#line += `EMAILID ${meta?.emailId === undefined ? 'NIL' : `(${meta.emailId})`}`
        return
      case 'THREADID':
        this.#line += `THREADID ${meta?.threadId === undefined ? 'NIL' : `(${meta.threadId})`}`
        return
      case 'SAVEDATE':
        this.#line += `SAVEDATE ${meta?.saveDate === undefined ? 'NIL' : `"${this.#dates.format(meta.saveDate, 0)}"`}`
        return
      case 'ENVELOPE':
        this.#line += 'ENVELOPE '
        this.#bytes(meta?.envelope ?? NIL)
        return
      case 'BODYSTRUCTURE':
        this.#line += 'BODYSTRUCTURE '
        this.#bytes(meta?.bodyStructure ?? NIL)
        return
      case 'BODY':
        this.#line += 'BODY '
        this.#bytes(meta?.body ?? NIL)
        return
      case 'PREVIEW':
        this.#line += 'PREVIEW '
        this.#bytes(meta?.preview === undefined ? NIL : encodeString(meta.preview))
        return
      default:
        this.#line += this.#column(kind, row) ?? ''
    }
  }

  #formatFlags(row: MessageRow): string {
    const { flags } = row
    if (this.#view.isRecent(row.uid)) return `FLAGS ${formatFlags(this.#view, row.uid, flags)}`
    let text = this.#flags.get(flags)
    if (text === undefined) {
      text = `FLAGS (${flags.join(' ')})`
      this.#flags.set(flags, text)
    }
    return text
  }

  /** BODY[HEADER.FIELDS (...)] from a header that `meta` brought, without a copy of it. */
  #fields(item: BodyItem, meta: MessageMeta | undefined): void {
    const header = meta?.commonHeader ?? meta?.header ?? EMPTY
    const ranges = this.#filters.get(item)?.ranges(header) ?? []
    if (item.partial !== undefined) {
      const whole = Buffer.concat([...pieces(header, ranges), CRLF])
      const part = whole.subarray(item.partial.start, item.partial.start + item.partial.length)
      this.#line += `${labelOf(item)} {${part.length}}\r\n`
      this.#bytes(part)
      return
    }
    let length = 2
    for (let i = 0; i < ranges.length; i += 2) length += (ranges[i + 1] ?? 0) - (ranges[i] ?? 0)
    this.#line += `${item.label} {${length}}\r\n`
    for (const piece of pieces(header, ranges)) this.#bytes(piece)
    this.#line += '\r\n'
  }

  /**
   * Reads what the sections need before the response begins, so that a message that is gone (undefined) leaves no half a response. May run for
   * several messages at a time. `bytes`: the message, where it was read already. Rejects with NO where a part cannot be decoded.
   */
  async contents(row: MessageRow, meta: MessageMeta, bytes?: Uint8Array): Promise<Contents | undefined> {
    const contents = new Map<OctetsItem, Content>()
    let reader: MessageReader | undefined
    for (const item of this.#items) {
      if (!isOctetsItem(item) || this.#filters.has(item)) continue
      reader ??= new MessageReader(this.#view.mailbox, row.uid, row.size, meta.header, bytes)
      const found = item.kind === 'BODY[]' ? await reader.section(item.section) : await reader.binary(item.part)
      if (found.kind === 'gone') return undefined
      if (found.kind === 'absent') {
        contents.set(item, undefined)
        continue
      }
      const whole = found.kind === 'bytes' ? { start: 0, end: found.bytes.length } : found
      const start = Math.min(whole.end, whole.start + (item.partial?.start ?? 0))
      const end = Math.min(whole.end, start + (item.partial?.length ?? Infinity))
      if (found.kind === 'bytes') {
        contents.set(item, { first: found.bytes.subarray(start, end), length: end - start, reader, start })
        continue
      }
      const first = end === start ? EMPTY : await reader.read(start, Math.min(end, start + PIECE))
      if (first === undefined) return undefined
      // RFC822.SIZE and the octets must agree, or a literal would be cut short.
      if (first.length !== Math.min(end - start, PIECE)) throw new Error(`the size kept of message ${row.uid} is wrong`)
      contents.set(item, { first, length: end - start, reader, start })
    }
    return contents
  }

  async #write(contents: Contents, item: OctetsItem): Promise<void> {
    const { out } = this.#session
    const content = contents.get(item)
    if (item.kind === 'BINARY.SIZE[]') {
      this.#line += `${item.label} ${content?.length ?? 0}`
      return
    }
    if (content === undefined) {
      this.#line += `${labelOf(item)} NIL`
      return
    }
    // Decoded octets may hold NUL, which only a literal8 can carry (RFC 3516 §4.3).
    const mark = item.kind === 'BINARY[]' && content.first.includes(0) ? '~' : ''
    this.#line += `${labelOf(item)} ${mark}{${content.length}}\r\n`
    this.#bytes(content.first)
    for (let done = content.first.length; done < content.length; done += PIECE) {
      await out.room()
      const size = Math.min(PIECE, content.length - done)
      const piece = await content.reader.read(content.start + done, content.start + done + size)
      if (piece?.length !== size) {
        // The octets announced cannot be delivered: nothing sensible can be said on this connection any more.
        this.#session.options.log?.('message-lost', { mailbox: this.#view.mailbox.id })
        this.#session.connection.socket.destroy()
        throw new StreamClosed()
      }
      out.bytes(piece)
    }
  }
}

/** What the items of one message are made of. */
export type Contents = ReadonlyMap<OctetsItem, Content>

type Content =
  | { readonly first: Uint8Array; readonly length: number; readonly start: number; readonly reader: MessageReader }
  | undefined

const CRLF = Buffer.from('\r\n')

const labelOf = (item: OctetsItem): string =>
  item.partial === undefined ? item.label : `${item.label}<${item.partial.start}>`

function* pieces(header: Uint8Array, ranges: readonly number[]): Generator<Uint8Array> {
  for (let i = 0; i < ranges.length; i += 2) yield header.subarray(ranges[i] ?? 0, ranges[i + 1] ?? 0)
}

/** Fields of the message's own header, by name. */
const isFieldsItem = (item: FetchItem): item is BodyItem =>
  item.kind === 'BODY[]' && item.section.part.length === 0 && item.section.text === 'HEADER.FIELDS'

/** What the store must bring for these items. */
export function neededFields(items: readonly FetchItem[]): MetaField[] {
  const fields = new Set<MetaField>()
  let common = true
  let header = false
  for (const item of items) {
    switch (item.kind) {
      case 'ENVELOPE':
        fields.add('envelope')
        break
      case 'BODYSTRUCTURE':
        fields.add('bodyStructure')
        break
      case 'BODY':
        fields.add('body')
        break
      case 'EMAILID':
        fields.add('emailId')
        break
      case 'THREADID':
        fields.add('threadId')
        break
      case 'SAVEDATE':
        fields.add('saveDate')
        break
      case 'PREVIEW':
        fields.add('preview')
        break
      case 'BODY[]':
        if (needsHeaderOnly(item.section)) {
          header = true
          common &&= isFieldsItem(item) && item.section.fields.every((field) => COMMON_FIELDS.has(field.toLowerCase()))
        } else if (item.section.part.length === 0 && item.section.text === 'TEXT') {
          header = true
          common = false
        }
        break
      default:
    }
  }
  if (header) fields.add(common ? 'commonHeader' : 'header')
  return [...fields]
}
