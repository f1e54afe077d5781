// RFC 9051 §6.4.5 FETCH, UID FETCH

import type { MessageMeta, MessageRow } from '../backend.ts'
import { type Completion, defineCommand } from '../server/command.ts'
import { type Contents, FetchResponse, neededFields, PIECE } from '../server/fetch-response.ts'
import { limited, spansOf, withLimit } from '../server/message-set.ts'
import type { ImapServerSession } from '../server/session.ts'
import { announceKeywords } from '../server/telling.ts'
import type { MailboxView, RowCursor } from '../server/view.ts'
import type { NumberSet, Span } from '../wire/number-set.ts'
import { bad, no } from '../wire/errors.ts'
import { type FetchItem, isOctetsItem, parseFetchItems } from './fetch-items.ts'
import { type FetchModifiers, parseFetchModifiers, partialSpans, tellVanishedEarlier } from './fetch-modifiers.ts'

/** Messages whose rendered pieces are asked for together, beside octets. */
const BATCH = 2048
/** The same where nothing else is needed: at the end of each the store has nothing to do until more is asked for. */
const RENDERED = 16_384
/** Messages of which nothing but their rows is needed, written as one text. */
const ROWS = 64
/** Messages whose octets are read while earlier ones are written: the store then answers many in one go. */
const AHEAD = 32
/** Octets read ahead, about. */
const AHEAD_OCTETS = 2 * PIECE
/** Messages, and octets of them, that the store is asked for together; twice as many are in memory. */
const TOGETHER = 64
const TOGETHER_OCTETS = PIECE / 2
/** With fewer messages, one is asked for after the other. */
const FEW = 4

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
      const modifiers = parseFetchModifiers(parser, uid)
      if (modifiers.changedSince !== undefined && !items.some((item) => item.kind === 'MODSEQ'))
        items.push({ kind: 'MODSEQ' })
      return { set, items, modifiers }
    },
    async execute(session, { set, items, modifiers }) {
      if (modifiers.vanished && !session.qresync) throw bad('VANISHED is only possible after ENABLE QRESYNC')
      // A response to UIDFETCH names the message by its UID already.
      if (uid && !session.uidOnly && !items.some((item) => item.kind === 'UID')) items.unshift({ kind: 'UID' })
      if (items.some((item) => item.kind === 'MODSEQ')) session.enableCondstore()
      return new Fetch(session, items).run(set, uid, modifiers)
    },
  })

export const fetch = define(false)
export const uidFetch = define(true)

/** Tells `items` of messages of the selected mailbox (ascending UIDs), unasked. */
export async function fetchMessages(
  session: ImapServerSession,
  uids: readonly number[],
  items: readonly FetchItem[],
): Promise<void> {
  const set = uids.map((uid) => ({ from: uid, to: uid }))
  await new Fetch(session, items).run(set, true, { vanished: false })
}

interface Located {
  readonly position: number
  readonly row: MessageRow
}

interface Described extends Located {
  readonly meta: MessageMeta
}

/** Messages whose octets were asked for together. */
interface Together {
  readonly some: readonly Described[]
  readonly answer: Promise<readonly (Uint8Array | undefined)[]>
}

/** A message whose octets are on their way. */
interface Ahead extends Described {
  readonly contents: Promise<Contents | undefined>
}

/** One FETCH on its way. */
class Fetch {
  readonly #session: ImapServerSession
  readonly #view: MailboxView
  readonly #items: readonly FetchItem[]
  readonly #response: FetchResponse
  readonly #ahead: Ahead[] = []
  #aheadOctets = 0
  #missing = false

  constructor(session: ImapServerSession, items: readonly FetchItem[]) {
    this.#session = session
    this.#view = session.view
    this.#items = items
    this.#response = new FetchResponse(session, items)
  }

  async run(set: NumberSet, uid: boolean, modifiers: FetchModifiers): Promise<Completion> {
    const { changedSince, vanished, partial } = modifiers
    let spans = spansOf(this.#view, set, uid)
    const limit = this.#session.limits.messageLimit
    // RFC 9738 §3.1: a range wider than the limit is refused before anything is done.
    if (limit !== undefined && partial !== undefined && partial.to - partial.from >= limit)
      throw no(`At most ${limit} messages can be fetched at once: ask for fewer`, `MESSAGELIMIT ${limit}`)
    if (vanished && changedSince !== undefined) await tellVanishedEarlier(this.#session, this.#view, set, changedSince)
    if (changedSince !== undefined) spans = this.#view.changedAmong(spans, changedSince)
    if (partial !== undefined) spans = partialSpans(spans, partial)
    const { spans: few, code } = limited(this.#view, spans, limit)
    spans = [...few]
    if (this.#items.some((item) => isOctetsItem(item) && !item.peek) && !this.#view.readOnly)
      await this.#markSeen(spans)
    const cursor = this.#view.cursor(spans)
    if (code !== undefined) await this.#newestFirst(cursor)
    else if (neededFields(this.#items).length === 0 && !this.#response.needsOctets) await this.#columns(cursor)
    else if (this.#response.needsOctets) await this.#messages(cursor)
    else await this.#rendered(spans)
    const missing: Completion = {
      status: 'NO',
      code: 'EXPUNGEISSUED',
      text: 'Some of the messages are expunged and gone',
    }
    return withLimit(this.#session, code, this.#missing ? missing : {})
  }

  /** What the limit has cut off: the client goes on below the last message that it hears of, also where the connection ends before the command does (RFC 9738 §3.1). */
  async #newestFirst(cursor: RowCursor): Promise<void> {
    const messages: Located[] = []
    while (cursor.next()) messages.push({ position: cursor.position, row: cursor.row() })
    const fields = neededFields(this.#items)
    for (let end = messages.length; end > 0; end -= BATCH) {
      const batch = messages.slice(Math.max(0, end - BATCH), end)
      const metas = new Map<number, MessageMeta>()
      if (fields.length > 0)
        for await (const some of this.#view.mailbox.meta(
          batch.map(({ row }) => row.uid),
          fields,
        ))
          for (const meta of some) metas.set(meta.uid, meta)
      for (const { position, row } of batch.reverse()) {
        const meta = fields.length > 0 ? metas.get(row.uid) : { uid: row.uid }
        if (meta === undefined) this.#missing = true
        else if (this.#response.needsOctets) await this.#message({ position, row, meta })
        else this.#response.row(position, row, meta)
        if (this.#session.winded) await this.#session.breathe()
      }
    }
    while (this.#ahead.length > 0) await this.#writeNext()
  }

  /** Everything asked for is in the columns: no message is touched. */
  async #columns(cursor: RowCursor): Promise<void> {
    while (this.#response.rows(cursor, ROWS)) if (this.#session.winded) await this.#session.breathe()
  }

  /** Rows and what the store has rendered of them: one cursor tells what to ask for, another follows the answers, and no row is made an object of. */
  async #rendered(spans: readonly Span[]): Promise<void> {
    const fields = neededFields(this.#items)
    const asked = this.#view.cursor(spans)
    const row = this.#view.cursor(spans)
    for (let more = true; more;) {
      const uids: number[] = []
      while (uids.length < RENDERED && (more = asked.next())) uids.push(asked.uid)
      if (uids.length === 0) return
      let at = 0
      for await (const metas of this.#view.mailbox.meta(uids, fields)) {
        for (let i = 0; i < metas.length; i++) {
          const meta = metas[i] as MessageMeta
          for (; at < uids.length && (uids[at] ?? 0) < meta.uid; at++) {
            row.next()
            this.#missing = true
          }
          if (uids[at] !== meta.uid) continue
          at++
          row.next()
          this.#response.row(row.position, row, meta)
          if ((i & 31) === 31 && this.#session.winded) await this.#session.breathe()
        }
      }
      for (; at < uids.length; at++) {
        row.next()
        this.#missing = true
      }
    }
  }

  async #messages(cursor: RowCursor): Promise<void> {
    const fields = neededFields(this.#items)
    for (let more = true; more;) {
      const batch: Located[] = []
      while (batch.length < BATCH && (more = cursor.next()))
        batch.push({ position: cursor.position, row: cursor.row() })
      if (fields.length === 0) await this.#read(batch.map((one) => ({ ...one, meta: { uid: one.row.uid } })))
      else if (batch.length > 0) await this.#batch(batch, fields)
    }
    while (this.#ahead.length > 0) await this.#writeNext()
  }

  async #batch(batch: readonly Located[], fields: ReturnType<typeof neededFields>): Promise<void> {
    let at = 0
    const uids = batch.map(({ row }) => row.uid)
    for await (const metas of this.#view.mailbox.meta(uids, fields)) {
      const messages: Described[] = []
      for (let i = 0; i < metas.length; i++) {
        const meta = metas[i] as MessageMeta
        while (at < batch.length && (batch[at]?.row.uid ?? 0) < meta.uid) {
          this.#missing = true
          at++
        }
        const found = batch[at]
        if (found === undefined || found.row.uid !== meta.uid) continue
        at++
        messages.push({ ...found, meta })
      }
      await this.#read(messages)
    }
    if (at < batch.length) this.#missing = true
  }

  /** Reads the messages, in their order, and writes them: many together where the store can do that and they are wanted whole. */
  async #read(messages: readonly Described[]): Promise<void> {
    const { mailbox } = this.#view
    if (mailbox.rawMany === undefined || !this.#response.needsWhole || messages.length < FEW) {
      for (const message of messages) await this.#message(message)
      return
    }
    const ask = (start: number): Together | undefined => {
      const some: Described[] = []
      for (let octets = 0; some.length < TOGETHER && octets < TOGETHER_OCTETS;) {
        const message = messages[start + some.length]
        if (message === undefined || message.row.size > TOGETHER_OCTETS) break
        some.push(message)
        octets += message.row.size
      }
      if (some.length === 0) return undefined
      const answer = Promise.resolve(mailbox.rawMany?.(some.map(({ row }) => row.uid)) ?? [])
      answer.catch(() => undefined)
      return { some, answer }
    }
    let at = 0
    for (let next = ask(0); at < messages.length;) {
      const { some, answer } = next ?? { some: messages.slice(at, at + 1), answer: [] }
      const octets = await answer
      at += some.length
      next = ask(at)
      for (const [i, message] of some.entries()) await this.#message(message, octets[i])
    }
  }

  async #message({ position, row, meta }: Described, bytes?: Uint8Array): Promise<void> {
    const contents = this.#response.contents(row, meta, bytes)
    // What failed is told when its turn comes; if the command ends before that, nobody is there to hear.
    contents.catch(() => undefined)
    // A part is cut from the whole message, so a message counts with its whole size: large ones are read one after the other.
    this.#ahead.push({ position, row, meta, contents })
    this.#aheadOctets += row.size
    while (this.#ahead.length > AHEAD || this.#aheadOctets > AHEAD_OCTETS) await this.#writeNext()
  }

  async #writeNext(): Promise<void> {
    const next = this.#ahead.shift()
    if (next === undefined) return
    const contents = await next.contents
    this.#aheadOctets -= next.row.size
    if (contents === undefined) this.#missing = true
    else await this.#response.message(next.position, next.row, next.meta, contents)
    if (this.#session.winded) await this.#session.breathe()
  }

  async #markSeen(spans: readonly Span[]): Promise<void> {
    const view = this.#view
    const { rights } = view.mailbox
    // Who may not keep \Seen reads without leaving a trace (RFC 4314 §4).
    if (rights !== undefined && !rights.includes('s')) return
    const unseen: number[] = []
    const cursor = view.cursor(spans)
    while (cursor.next()) if (!cursor.flags.includes('\\Seen')) unseen.push(cursor.uid)
    if (unseen.length === 0) return
    const { rows } = await view.mailbox.store(unseen, { action: 'add', flags: ['\\Seen'] })
    view.stale = true
    announceKeywords(
      this.#session,
      view,
      rows.map((row) => row.flags),
    )
    for (const row of rows) {
      this.#response.seen.add(row.uid)
      view.silent.set(row.uid, row.modseq)
    }
    view.update(rows)
  }
}
