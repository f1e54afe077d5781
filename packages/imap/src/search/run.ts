// Runs a search over one mailbox. Sets of messages are masks by position; the keys that cost least are asked first, and each only about messages that are still
// undecided: the rows, then small things the store keeps, then the store's text search, then headers and whole messages.

import { parseDate } from '@aviso/mime'
import type { MessageMeta, MetaField, TextQuery } from '../backend.ts'
import { sentDates } from '../sort/columns.ts'
import { dayNumber, dayOf } from '../wire/dates.ts'
import { type Candidate, contentTest } from './evaluate.ts'
import { type SearchKey, someKey } from './keys.ts'
import { HeaderText } from './message-text.ts'
import { type SearchPace, STRIDE } from './pace.ts'
import { dayTest, rowTest, type RowTest } from './row-test.ts'
import type { SearchTarget } from './target.ts'

/** One per message: 1 is in the set. */
export type Mask = Uint8Array

const BATCH = 256
const DAY = 86_400_000
const EMPTY = new Uint8Array(0)

/** What a key costs, from cheap to dear. */
const ROW = 0
const KEPT = 1
const FOUND = 2
const READ = 3

/** Positions (sequence number - 1) of the messages found among those in `among` (default: all), ascending. `now` is in milliseconds since the epoch. */
export async function runSearch(
  target: SearchTarget,
  key: SearchKey,
  progress: SearchPace,
  now: number,
  among: Mask = new Uint8Array(target.count).fill(1),
): Promise<Uint32Array> {
  progress.begin(target.count)
  return positionsOf(await new Search(target, progress, now).match(key, among))
}

/** Which of the messages in `among` match. */
export const matchAmong = (
  target: SearchTarget,
  key: SearchKey,
  among: Mask,
  progress: SearchPace,
  now: number,
): Promise<Mask> => new Search(target, progress, now).match(key, among)

export function positionsOf(mask: Mask): Uint32Array {
  let count = 0
  for (let position = 0; position < mask.length; position++) count += mask[position] ?? 0
  const positions = new Uint32Array(count)
  let to = 0
  for (let position = 0; to < count; position++) if (mask[position] === 1) positions[to++] = position
  return positions
}

class Search {
  readonly #target: SearchTarget
  readonly #progress: SearchPace
  readonly #now: number

  constructor(target: SearchTarget, progress: SearchPace, now: number) {
    this.#target = target
    this.#progress = progress
    this.#now = now
  }

  async match(key: SearchKey, among: Mask): Promise<Mask> {
    if (!among.includes(1)) return among
    if (this.#mustBeRead(key)) return this.#read(key, among)
    switch (key.kind) {
      case 'all':
        return among
      case 'not':
        return without(among, await this.match(key.key, among))
      case 'and': {
        let left = among
        for (const one of this.#planned(key.kind, key.keys)) left = await this.match(one, left)
        return left
      }
      case 'or': {
        let open = among
        for (const one of this.#planned(key.kind, key.keys)) open = without(open, await this.match(one, open))
        return without(among, open)
      }
      case 'header':
      case 'body':
      case 'text':
        return this.#find(key, among)
      case 'emailId':
        return this.#kept(among, 'emailId', ({ emailId }) => emailId === key.id)
      case 'threadId':
        return this.#kept(among, 'threadId', ({ threadId }) => threadId === key.id)
      case 'saveDateSupported':
        return this.#saveDateSupported(among)
      case 'before':
      case 'on':
      case 'since': {
        if (key.date === 'sent') return this.#sent(key, among)
        if (key.date === 'internal') break
        const compare = dayTest(key.kind, key.day)
        return this.#kept(among, 'saveDate', ({ saveDate }) => saveDate !== undefined && compare(dayOf(saveDate)))
      }
      default:
    }
    const test = rowTest(key, this.#target, this.#now)
    return test === undefined ? new Uint8Array(among.length) : this.#rows(test, among)
  }

  /** Cheap keys first; those that must be read together, so that each message is read once. */
  #planned(kind: 'and' | 'or', keys: readonly SearchKey[]): SearchKey[] {
    const read = keys.filter((key) => this.#mustBeRead(key))
    const others = keys.filter((key) => !read.includes(key))
    const costs = new Map(others.map((key) => [key, this.#cost(key)]))
    others.sort((a, b) => (costs.get(a) ?? 0) - (costs.get(b) ?? 0))
    if (read.length > 0) others.push(read.length === 1 ? (read[0] as SearchKey) : { kind, keys: read })
    return others
  }

  #cost(key: SearchKey): number {
    switch (key.kind) {
      case 'not':
        return this.#cost(key.key)
      case 'and':
      case 'or':
        return key.keys.reduce((most, one) => Math.max(most, this.#cost(one)), ROW)
      case 'header':
      case 'body':
      case 'text':
        return this.#target.mailbox.find === undefined ? READ : FOUND
      case 'fuzzy':
        return READ
      case 'emailId':
      case 'threadId':
      case 'saveDateSupported':
        return KEPT
      case 'before':
      case 'on':
      case 'since':
        return key.date === 'internal' ? ROW : KEPT
      default:
        return ROW
    }
  }

  /** Nobody can tell but by looking into each message. */
  #mustBeRead(key: SearchKey): boolean {
    switch (key.kind) {
      case 'fuzzy':
        return true
      case 'header':
      case 'body':
      case 'text':
        return this.#target.mailbox.find === undefined
      case 'not':
        return this.#mustBeRead(key.key)
      case 'and':
      case 'or':
        return key.keys.every((one) => this.#mustBeRead(one))
      default:
        return false
    }
  }

  async #rows(test: RowTest, among: Mask): Promise<Mask> {
    const out = new Uint8Array(among.length)
    for (let from = 0; from < among.length; from += STRIDE) {
      const end = Math.min(among.length, from + STRIDE)
      for (let position = from; position < end; position++)
        if (among[position] === 1 && test(position)) out[position] = 1
      if (this.#progress.winded) await this.#progress.breathe()
    }
    return out
  }

  #uidsOf(positions: Uint32Array): number[] {
    const { uids } = this.#target.rows
    const out: number[] = []
    for (let i = 0; i < positions.length; i++) out.push(uids[positions[i] ?? -1] ?? 0)
    return out
  }

  /** Calls `take` with the pieces of each message in `among` that is there. */
  async #meta(
    positions: Uint32Array,
    fields: readonly MetaField[],
    take: (position: number, meta: MessageMeta) => void,
  ): Promise<void> {
    const uids = this.#uidsOf(positions)
    let at = 0
    for await (const metas of this.#target.mailbox.meta(uids, fields)) {
      for (const meta of metas) {
        while ((uids[at] ?? Infinity) < meta.uid) at++
        if (uids[at] === meta.uid) take(positions[at] ?? 0, meta)
        if (this.#progress.winded) await this.#progress.breathe()
      }
    }
  }

  async #kept(among: Mask, field: MetaField, test: (meta: MessageMeta) => boolean): Promise<Mask> {
    const out = new Uint8Array(among.length)
    const positions = positionsOf(among)
    let done = 0
    for (let from = 0; from < positions.length; from += STRIDE) {
      await this.#meta(positions.subarray(from, from + STRIDE), [field], (position, meta) => {
        if (test(meta)) out[position] = 1
        this.#progress.reached(++done)
      })
    }
    return out
  }

  /** RFC 8514 §4.3: all messages or none, by what the mailbox can do. Its first message tells. */
  async #saveDateSupported(among: Mask): Promise<Mask> {
    let supported = false
    await this.#meta(Uint32Array.of(among.indexOf(1)), ['saveDate'], (_, { saveDate }) => {
      supported = saveDate !== undefined
    })
    return supported ? among : new Uint8Array(among.length)
  }

  /**
   * The day of the Date field by its own zone. The moment, which the store keeps, decides for all but the messages of the days around; of those the
   * field is read.
   */
  async #sent(key: Extract<SearchKey, { kind: 'before' | 'on' | 'since' }>, among: Mask): Promise<Mask> {
    const dates = await sentDates(this.#target.mailbox, this.#target.rows.uids, this.#progress)
    const start = key.day * DAY
    const end = key.kind === 'on' ? start + DAY : start
    const out = new Uint8Array(among.length)
    const near = new Uint8Array(among.length)
    await this.#rows((position) => {
      const date = dates[position] ?? NaN
      // No zone is as far as a day away.
      if (date < start - DAY) out[position] = key.kind === 'before' ? 1 : 0
      else if (date >= end + DAY) out[position] = key.kind === 'since' ? 1 : 0
      else near[position] = date >= 0 || date < 0 ? 1 : 0
      return false
    }, among)
    const compare = dayTest(key.kind, key.day)
    const positions = positionsOf(near)
    for (let from = 0; from < positions.length; from += STRIDE) {
      await this.#meta(positions.subarray(from, from + STRIDE), ['commonHeader'], (position, { commonHeader }) => {
        const date = parseDate(new HeaderText(commonHeader ?? EMPTY).first('Date') ?? '')
        const day = date && dayNumber(date.year, date.month - 1, date.day)
        if (day !== undefined && compare(day)) out[position] = 1
      })
    }
    return out
  }

  /** The store's own text search. */
  async #find(query: TextQuery, among: Mask): Promise<Mask> {
    const out = new Uint8Array(among.length)
    const { mailbox, rows } = this.#target
    const positions = positionsOf(among)
    const batches = mailbox.find?.(query, this.#uidsOf(positions)) ?? []
    let at = 0
    for await (const { uids, progress } of batches) {
      for (const uid of uids) {
        while ((rows.uids[positions[at] ?? -1] ?? Infinity) < uid) at++
        const position = positions[at]
        if (position !== undefined && rows.uids[position] === uid) out[position] = 1
      }
      this.#progress.reached(progress * positions.length)
      if (this.#progress.winded) await this.#progress.breathe()
    }
    return out
  }

  /** Looks into each message. */
  async #read(key: SearchKey, among: Mask): Promise<Mask> {
    const out = new Uint8Array(among.length)
    const test = contentTest(key)
    if (test === undefined) return out
    const { mailbox, rows } = this.#target
    const withHeader = someKey(key, (one) => (one.kind === 'fuzzy' ? one.query : one).kind !== 'body' && isText(one))
    const positions = positionsOf(among)
    for (let from = 0; from < positions.length; from += BATCH) {
      const batch = positions.subarray(from, from + BATCH)
      const open = new Map<number, Candidate>()
      for (const position of batch) open.set(position, { header: undefined, bytes: undefined })
      if (withHeader) {
        await this.#meta(batch, ['header'], (position, { header }) => {
          const candidate: Candidate = { header: new HeaderText(header ?? EMPTY), bytes: undefined }
          const result = test(candidate)
          if (result === undefined) open.set(position, candidate)
          else open.delete(position)
          if (result === true) out[position] = 1
        })
      }
      for (const [position, candidate] of open) {
        candidate.header ??= new HeaderText(EMPTY)
        candidate.bytes = (await mailbox.raw(rows.uids[position] ?? 0)) ?? EMPTY
        if (test(candidate) === true) out[position] = 1
        candidate.header = undefined
        candidate.bytes = undefined
        if (this.#progress.winded) await this.#progress.breathe()
      }
      this.#progress.reached(from + batch.length)
      if (this.#progress.winded) await this.#progress.breathe()
    }
    return out
  }
}

const isText = ({ kind }: SearchKey): boolean =>
  kind === 'header' || kind === 'body' || kind === 'text' || kind === 'fuzzy'

function without(all: Mask, some: Mask): Mask {
  const out = new Uint8Array(all.length)
  for (let position = 0; position < out.length; position++)
    out[position] = (all[position] ?? 0) & ~(some[position] ?? 0)
  return out
}
