// RFC 9051 §6.4.5 FETCH, UID FETCH

import type { FlagSet, MessageMeta, MessageRow, MetaField } from '../backend.ts'
import { defineCommand, type Completion } from '../server/command.ts'
import { spansOf } from '../server/message-set.ts'
import { MessageReader, needsHeaderOnly } from '../server/message-reader.ts'
import type { ImapServerSession } from '../server/session.ts'
import { announceKeywords, formatFlags } from '../server/sync.ts'
import type { MailboxView } from '../server/view.ts'
import { formatDateTime } from '../wire/dates.ts'
import type { Span } from '../wire/number-set.ts'
import { StreamClosed } from '../wire/response-stream.ts'
import { type BodyItem, type FetchItem, parseFetchItems } from './fetch-items.ts'

/** A message longer than this is read and written in pieces. */
const PIECE = 1_048_576
/** Messages whose rendered pieces are asked for together. */
const BATCH = 512

const NO_META: MessageMeta = { uid: 0 }

const define = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID FETCH' : 'FETCH',
    state: 'selected',
    news: uid ? 'uid' : 'no-expunge',
    withUid: uid,
    parse(parser) {
      parser.space()
      const set = parser.numberSet()
      parser.space()
      const items = parseFetchItems(parser)
      if (uid && !items.some((item) => item.kind === 'UID')) items.unshift({ kind: 'UID' })
      return { set, items }
    },
    execute: async (session, { set, items }) => new Fetch(session, items).run(spansOf(session.view, set, uid)),
  })

export const fetch = define(false)
export const uidFetch = define(true)

/** One FETCH on its way. */
class Fetch {
  readonly #session: ImapServerSession
  readonly #view: MailboxView
  readonly #items: readonly FetchItem[]
  /** Formatted flags by set, as long as \Recent does not matter. */
  readonly #flags = new Map<FlagSet, string>()
  /** Messages that this FETCH has marked \Seen. */
  readonly #seen = new Set<number>()
  #missing = false

  constructor(session: ImapServerSession, items: readonly FetchItem[]) {
    this.#session = session
    this.#view = session.view
    this.#items = items
  }

  async run(spans: readonly Span[]): Promise<Completion> {
    const bodies = this.#items.filter((item) => item.kind === 'BODY[]')
    if (bodies.some((item) => !item.peek) && !this.#view.readOnly) await this.#markSeen(spans)
    const fields = metaFields(this.#items)
    if (fields.length === 0 && bodies.length === 0) await this.#columns(spans)
    else await this.#messages(spans, fields)
    return this.#missing
      ? { status: 'NO', code: 'EXPUNGEISSUED', text: 'Some of the messages are expunged and gone' }
      : {}
  }

  /** Everything asked for is in the columns: no message is touched. */
  async #columns(spans: readonly Span[]): Promise<void> {
    const { out } = this.#session
    let count = 0
    for (const { position, row } of this.#view.rows(spans)) {
      let line = `* ${position + 1} FETCH (`
      for (let i = 0; i < this.#items.length; i++) line += this.#plain(this.#items[i] as FetchItem, row, i > 0)
      out.text(`${line})\r\n`)
      if ((++count & 63) === 0 && this.#session.winded) await this.#session.breathe()
    }
  }

  /** Everything that is known without the message, with a space before it where it is not the first. */
  #plain(item: FetchItem, row: MessageRow, follows: boolean): string {
    const space = follows ? ' ' : ''
    switch (item.kind) {
      case 'UID':
        return `${space}UID ${row.uid}`
      case 'FLAGS':
        return `${space}FLAGS ${this.#formatFlags(row)}`
      case 'INTERNALDATE':
        return `${space}INTERNALDATE "${formatDateTime(row.internalDate, row.zone)}"`
      case 'RFC822.SIZE':
        return `${space}RFC822.SIZE ${row.size}`
      default:
        return ''
    }
  }

  #formatFlags(row: MessageRow): string {
    if (this.#view.isRecent(row.uid)) return formatFlags(this.#view, row.uid, row.flags)
    let text = this.#flags.get(row.flags)
    if (text === undefined) {
      text = `(${row.flags.join(' ')})`
      this.#flags.set(row.flags, text)
    }
    return text
  }

  async #messages(spans: readonly Span[], fields: readonly MetaField[]): Promise<void> {
    let batch: { position: number; row: MessageRow }[] = []
    for (const { position, row } of this.#view.rows(spans)) {
      batch.push({ position, row })
      if (batch.length < BATCH) continue
      await this.#batch(batch, fields)
      batch = []
    }
    if (batch.length > 0) await this.#batch(batch, fields)
  }

  async #batch(batch: readonly { position: number; row: MessageRow }[], fields: readonly MetaField[]): Promise<void> {
    if (fields.length === 0) {
      for (const { position, row } of batch) await this.#message(position, row, NO_META)
      return
    }
    let at = 0
    const uids = batch.map(({ row }) => row.uid)
    for await (const metas of this.#view.mailbox.meta(uids, fields)) {
      for (const meta of metas) {
        while (at < batch.length && (batch[at]?.row.uid ?? 0) < meta.uid) {
          this.#missing = true
          at++
        }
        const found = batch[at]
        if (found === undefined || found.row.uid !== meta.uid) continue
        at++
        await this.#message(found.position, found.row, meta)
      }
    }
    if (at < batch.length) this.#missing = true
  }

  async #message(position: number, row: MessageRow, meta: MessageMeta): Promise<void> {
    const { out } = this.#session
    const contents = await this.#contents(row, meta)
    if (contents === undefined) {
      this.#missing = true
      return
    }
    out.text(`* ${position + 1} FETCH (`)
    let follows = false
    for (const item of this.#items) {
      switch (item.kind) {
        case 'ENVELOPE':
          out.text(follows ? ' ENVELOPE ' : 'ENVELOPE ')
          out.bytes(meta.envelope ?? NIL)
          break
        case 'BODYSTRUCTURE':
          out.text(follows ? ' BODYSTRUCTURE ' : 'BODYSTRUCTURE ')
          out.bytes(meta.bodyStructure ?? NIL)
          break
        case 'BODY':
          out.text(follows ? ' BODY ' : 'BODY ')
          out.bytes(meta.body ?? NIL)
          break
        case 'BODY[]':
          if (follows) out.text(' ')
          await this.#write(contents, item)
          break
        default:
          out.text(this.#plain(item, row, follows))
      }
      follows = true
    }
    if (this.#seen.has(row.uid) && !this.#items.some((item) => item.kind === 'FLAGS'))
      out.text(` FLAGS ${this.#formatFlags(row)}`)
    out.text(')\r\n')
    if (this.#session.winded) await this.#session.breathe()
  }

  /** Reads what the sections need before the response begins, so that a message that is gone leaves no half a response. */
  async #contents(row: MessageRow, meta: MessageMeta): Promise<Map<BodyItem, Content> | undefined> {
    const contents = new Map<BodyItem, Content>()
    let reader: MessageReader | undefined
    for (const item of this.#items) {
      if (item.kind !== 'BODY[]') continue
      reader ??= new MessageReader(this.#view.mailbox, row.uid, row.size, meta.header)
      const found = await reader.section(item.section)
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

  async #write(contents: ReadonlyMap<BodyItem, Content>, item: BodyItem): Promise<void> {
    const { out } = this.#session
    const label = item.partial === undefined ? item.label : `${item.label}<${item.partial.start}>`
    const content = contents.get(item)
    if (content === undefined) {
      out.text(`${label} NIL`)
      return
    }
    out.text(`${label} {${content.length}}\r\n`)
    out.bytes(content.first)
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

  async #markSeen(spans: readonly Span[]): Promise<void> {
    const view = this.#view
    const unseen: number[] = []
    for (const { row } of view.rows(spans)) if (!row.flags.includes('\\Seen')) unseen.push(row.uid)
    if (unseen.length === 0) return
    const { rows } = await view.mailbox.store(unseen, { action: 'add', flags: ['\\Seen'] })
    view.stale = true
    announceKeywords(
      this.#session.out,
      view,
      rows.map((row) => row.flags),
    )
    for (const row of rows) {
      this.#seen.add(row.uid)
      view.silent.set(row.uid, row.modseq)
    }
    view.update(rows)
  }
}

type Content =
  | { readonly first: Uint8Array; readonly length: number; readonly start: number; readonly reader: MessageReader }
  | undefined

const EMPTY = new Uint8Array(0)
const NIL: Uint8Array = Buffer.from('NIL')

function metaFields(items: readonly FetchItem[]): MetaField[] {
  const fields = new Set<MetaField>()
  for (const item of items) {
    if (item.kind === 'ENVELOPE') fields.add('envelope')
    if (item.kind === 'BODYSTRUCTURE') fields.add('bodyStructure')
    if (item.kind === 'BODY') fields.add('body')
    if (
      item.kind === 'BODY[]' &&
      (needsHeaderOnly(item.section) || (item.section.part.length === 0 && item.section.text === 'TEXT'))
    ) {
      fields.add('header')
    }
  }
  return [...fields]
}
