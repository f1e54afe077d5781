// Searches of the index and of the messages themselves, each in slices of some milliseconds: the caller holds the thread between them.

import type { TextQuery } from '@aviso/imap'
import { fold, HeaderText, matchesText } from '@aviso/imap/search'
import { read, type SqlValue, type Transaction } from '../../../store/contracts.ts'
import { doubtfulKeys, emailsOfTerms, emailsOfValues, keysWith, WORD_STREAMS } from './chunks.ts'
import { type Elsewhere, readEmail, readHeader } from './email.ts'
import { Numbers } from './octets.ts'
import { indexedUpTo, liveSegments, type Segment } from './segments.ts'

/** Octets of the index that one call reads, about. */
const SCAN_OCTETS = 6 * 1024 * 1024
/** Chunks read with one statement. */
const PAGE = 16

/** Where a search of the index goes on: behind all emails up to `after`; in segment `segment`, should it still be there, at `chunk`. */
export interface IndexPlace {
  readonly after: number
  readonly segment?: number
  readonly chunk?: number
}

export interface IndexOrder {
  readonly stream: number
  /** Octets that a key must hold: see `keysWith`. */
  readonly pattern: Uint8Array
  readonly place: IndexPlace
  /** Octets of the index to read at most, about; default six MiB. */
  readonly most?: number
}

export interface IndexFound {
  /** How far the index reaches: every email up to it is in it. */
  readonly indexed: number
  /** Emails that have the pattern, and emails that may have it, in no order; an email may come twice. */
  readonly sure: Uint32Array
  readonly doubtful: Uint32Array
  /** Undefined at the end. */
  readonly next: IndexPlace | undefined
}

/** The emails with a key that holds `pattern`. */
export const searchIndex = read(async (tx, { stream, pattern, place, most }: IndexOrder): Promise<IndexFound> => {
  const indexed = await indexedUpTo(tx)
  const sure = new Numbers()
  const doubtful = new Numbers()
  let left = most ?? SCAN_OCTETS
  let next: IndexPlace | undefined
  // Segments of an index that is to be made anew are not live.
  for (const segment of await liveSegments(tx, place.after)) {
    if (left <= 0) {
      next = { after: segment.first - 1 }
      break
    }
    const scan = new Scan(tx, segment, stream, pattern, doubtful)
    const from = place.segment === segment.id ? (place.chunk ?? 0) : 0
    const stopped = await scan.run(from, left)
    scan.addTo(sure)
    left -= scan.octets
    if (stopped !== undefined) {
      next = { after: segment.first - 1, segment: segment.id, chunk: stopped }
      break
    }
  }
  return { indexed, sure: sure.list(), doubtful: doubtful.list(), next }
})

/** One stream of one segment. */
class Scan {
  readonly #tx: Transaction
  readonly #segment: Segment
  readonly #stream: number
  readonly #pattern: Uint8Array
  readonly #values: boolean
  /** Emails that have the pattern, and emails that may have it; the former may come many times. */
  readonly #sure = new Numbers()
  readonly #doubtful: Numbers
  octets = 0

  constructor(tx: Transaction, segment: Segment, stream: number, pattern: Uint8Array, doubtful: Numbers) {
    this.#tx = tx
    this.#segment = segment
    this.#stream = stream
    this.#pattern = pattern
    this.#doubtful = doubtful
    this.#values = !WORD_STREAMS.includes(stream)
  }

  /** Reads chunks from `chunk` on until `most` octets were read; then answers the chunk to go on with. */
  async run(chunk: number, most: number): Promise<number | undefined> {
    for (let from = chunk; ;) {
      const rows = await this.#tx.all(
        'SELECT chunk, keys FROM mail_search_chunk WHERE segment = ? AND stream = ? AND chunk >= ? ORDER BY chunk LIMIT ?',
        this.#segment.id,
        this.#stream,
        from,
        PAGE,
      )
      for (const [number, keys] of rows) {
        from = Number(number) + 1
        if (keys instanceof Uint8Array) await this.#chunk(Number(number), keys)
      }
      if (rows.length < PAGE) return undefined
      if (this.octets >= most) return from
    }
  }

  /** The emails found, each once. */
  addTo(sure: Numbers): void {
    const { first, last } = this.#segment
    const { values, count } = this.#sure
    const seen = count > 1 ? new Uint8Array(last - first + 1) : undefined
    for (let i = 0; i < count; i++) {
      const email = values[i] ?? 0
      if (seen?.[email - first] === 1) continue
      if (seen !== undefined) seen[email - first] = 1
      sure.add(email)
    }
  }

  async #chunk(chunk: number, keys: Uint8Array): Promise<void> {
    this.octets += keys.byteLength
    const found = keysWith(keys, this.#pattern)
    const doubtful = doubtfulKeys(keys, this.#values)
    if (found.count + doubtful.count === 0) return
    const row = await this.#tx.get(
      'SELECT postings FROM mail_search_chunk WHERE segment = ? AND stream = ? AND chunk = ?',
      this.#segment.id,
      this.#stream,
      chunk,
    )
    const postings = row?.[0]
    if (!(postings instanceof Uint8Array)) return
    this.octets += postings.byteLength
    const { first } = this.#segment
    if (this.#values) {
      emailsOfValues(postings, found, first, this.#sure)
      emailsOfValues(postings, doubtful, first, this.#doubtful)
    } else {
      emailsOfTerms(postings, found, first, this.#sure)
      emailsOfTerms(postings, doubtful, first, this.#doubtful)
    }
  }
}

/** How far the index reaches. */
export const searchReach = read(async (tx, _order: Record<string, never>): Promise<number> => indexedUpTo(tx))

// ---- from emails to messages ----

/** Emails looked up in one call. */
export const LOOKED_UP = 2000

/** UIDs, in no order, of the messages of a mailbox that say what one of `emails` says. */
export const searchUids = read(
  async (tx, { mailbox, emails }: { mailbox: number; emails: Uint32Array }): Promise<Uint32Array> => {
    const uids: number[] = []
    for (const email of emails)
      for (const [uid] of await tx.all('SELECT uid FROM mail_message WHERE email = ? AND mailbox = ?', email, mailbox))
        uids.push(Number(uid))
    return Uint32Array.from(uids)
  },
)

/** Rows read in one call. */
const ROWS = 16_384

/** UIDs and emails of messages, in columns. */
export interface MessageEmails {
  readonly uids: Uint32Array
  readonly emails: Uint32Array
}

/** The messages of a mailbox behind `after`, ascending by UID: some rows of them, none at the end. */
export const searchEmails = read(
  async (tx, { mailbox, after }: { mailbox: number; after: number }): Promise<MessageEmails> => {
    // Two long texts are made and taken apart in two thirds of the time that the rows take.
    const row = await tx.get(
      "SELECT string_agg(uid, ','), string_agg(email, ',') FROM (SELECT uid, email FROM mail_message WHERE mailbox = ? AND uid > ? ORDER BY uid LIMIT ?)",
      mailbox,
      after,
      ROWS,
    )
    return { uids: numbersIn(row?.[0]), emails: numbersIn(row?.[1]) }
  },
)

/** Decimal numbers with commas between them. */
function numbersIn(value: SqlValue | undefined): Uint32Array {
  const numbers = new Numbers()
  if (typeof value !== 'string') return numbers.list()
  let number = 0
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit >= 0) number = number * 10 + digit
    else {
      numbers.add(number)
      number = 0
    }
  }
  numbers.add(number)
  return numbers.list()
}

/** A message by its email, then its UID. */
export interface Behind {
  readonly email: number
  readonly uid: number
}

/** UIDs, in no order, of the messages of a mailbox that stand behind a place in the order of their emails: some of them, and the place to go on behind. */
export const searchFresh = read(
  async (
    tx,
    { mailbox, behind }: { mailbox: number; behind: Behind },
  ): Promise<{ readonly uids: Uint32Array; readonly next: Behind | undefined }> => {
    // The plus keeps the planner on the index by email.
    const rows = await tx.all(
      'SELECT uid, email FROM mail_message WHERE (email, uid) > (?, ?) AND +mailbox = ? ORDER BY email, uid LIMIT ?',
      behind.email,
      behind.uid,
      mailbox,
      ROWS,
    )
    const last = rows.length === ROWS ? rows.at(-1) : undefined
    return {
      uids: Uint32Array.from(rows, ([uid]) => Number(uid)),
      next: last && { uid: Number(last[0]), email: Number(last[1]) },
    }
  },
)

// ---- looking at the messages themselves ----

/** Octets of messages that one call looks at. */
const LOOKED_AT_OCTETS = 256 * 1024
/** What reading a message costs beside its octets. */
const EACH = 1024

export interface LookOrder {
  readonly mailbox: number
  readonly uids: Uint32Array
  readonly query: TextQuery
}

export interface Looked {
  /** How many of the UIDs were dealt with. */
  readonly consumed: number
  /** UIDs of those that match. */
  readonly found: Uint32Array
  /** The last one dealt with is in a blob: `searchOctets` tells of its octets. */
  readonly elsewhere?: Elsewhere
}

/** Looks at the messages `uids` in their order, until it has done enough for one call. */
export const searchMessages = read(async (tx, { mailbox, uids, query }: LookOrder): Promise<Looked> => {
  const found: number[] = []
  let left = LOOKED_AT_OCTETS
  let consumed = 0
  for (const uid of uids) {
    if (left <= 0) break
    consumed++
    const [email] = (await tx.get('SELECT email FROM mail_message WHERE mailbox = ? AND uid = ?', mailbox, uid)) ?? []
    if (email === undefined) continue
    const header = query.kind === 'header' ? await readHeader(tx, Number(email)) : undefined
    const octets = header ?? (await readEmail(tx, Number(email)))
    if (octets === undefined) continue
    if (!(octets instanceof Uint8Array)) return { consumed, found: Uint32Array.from(found), elsewhere: octets }
    if (header === undefined ? matchesText(query, octets) : headerMatches(query, octets)) found.push(uid)
    left -= octets.byteLength + EACH
  }
  return { consumed, found: Uint32Array.from(found) }
})

function headerMatches(query: TextQuery, header: Uint8Array): boolean {
  if (query.kind !== 'header') return false
  const needle = fold(query.text)
  return new HeaderText(header).values(query.name).some((value) => value.includes(needle))
}

/** Looks at the octets of one message. */
export const searchOctets = read(
  async (_tx, { query, octets }: { query: TextQuery; octets: Uint8Array }): Promise<boolean> =>
    matchesText(query, octets),
  { given: ({ octets }) => [octets] },
)
