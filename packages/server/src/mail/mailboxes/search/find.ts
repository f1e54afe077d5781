// `Mailbox.find`: which messages hold a text. The index names those that do and those that may; the latter, and what is not indexed yet, are looked at.

import type { FoundBatch, MailboxCache, TextQuery } from '@aviso/imap'
import { fold } from '@aviso/imap/search'
import type { Blobs } from '../../../store/contracts.ts'
import { answered } from '../answers.ts'
import type { MailCalls } from '../calls.ts'
import { uidList } from '../uids.ts'
import { STREAM, VALUE_STREAMS } from './chunks.ts'
import { EmailSet } from './email-set.ts'
import { joined, knowsEmails, messageEmails } from './message-emails.ts'
import { type Plan, planNeedle } from './needle.ts'
import { type Behind, type IndexPlace, LOOKED_UP } from './queries.ts'

/** With so few messages to search, looking at them is quicker than asking the index. */
const FEW = 48
/** With so few candidates, as well. */
const FEW_CANDIDATES = 256
/** UIDs handed over in one call that looks at messages. */
const LOOKED_AT = 256
/** UIDs of one batch. */
const BATCH = 8192

export interface Searched {
  readonly calls: MailCalls
  readonly blobs: Blobs
  readonly mailbox: number
  readonly cache: MailboxCache
}

/** The messages of a mailbox among `uids` that match, exactly as `matchesText` would decide on each. Rejects with `BackendError`. */
export async function* find(where: Searched, query: TextQuery, uids: readonly number[]): AsyncGenerator<FoundBatch> {
  const wanted = uidList(uids)
  const { messages } = await answered(where.calls.get({ mailbox: where.mailbox }))
  if (wanted.length === 0) return
  const known = wanted.length <= FEW ? undefined : await answerOfIndex(where, query, wanted, messages)
  yield* lookAt(where, query, known?.found ?? new Uint32Array(), known?.doubtful ?? wanted)
}

/** UIDs, ascending: those that match, and those that may. */
interface Known {
  readonly found: Uint32Array
  readonly doubtful: Uint32Array
}

/** Undefined when the index cannot tell anything about the query. */
async function answerOfIndex(
  where: Searched,
  query: TextQuery,
  wanted: Uint32Array,
  messages: number,
): Promise<Known | undefined> {
  const needle = fold(query.text)
  const asked = streamsOf(query, needle)
  if (asked === undefined) return undefined
  const { patterns, exact, streams } = asked
  const indexed = await answered(where.calls.searchReach({}))
  if (indexed === 0) return undefined
  const sure = new EmailSet()
  const doubtful = new EmailSet()
  for (const stream of streams) {
    let candidates: EmailSet | undefined
    for (const pattern of patterns) {
      const found = await emailsWith(where.calls, stream, pattern, indexed)
      // The index was dropped meanwhile.
      if (found === undefined) return undefined
      if (exact) {
        sure.addAll(found.sure)
        doubtful.addAll(found.doubtful)
        continue
      }
      found.sure.addAll(found.doubtful)
      if (candidates === undefined) candidates = found.sure
      else candidates.keep(found.sure)
      // So few are looked at sooner than another pattern is.
      if (candidates.size <= FEW_CANDIDATES) break
    }
    if (candidates !== undefined) doubtful.addAll(candidates)
  }
  const found = inBoth(await uidsOf(where, sure, messages), wanted)
  const fresh = await freshUids(where, indexed)
  const other = inBoth(merged(await uidsOf(where, doubtful, messages), fresh), wanted)
  return { found, doubtful: without(other, found) }
}

function streamsOf(query: TextQuery, needle: string): (Plan & { readonly streams: readonly number[] }) | undefined {
  if (query.kind !== 'header') {
    const plan = planNeedle(needle)
    return plan && { ...plan, streams: query.kind === 'body' ? [STREAM.body] : [STREAM.header, STREAM.body] }
  }
  const stream = VALUE_STREAMS.get(query.name.toLowerCase())
  if (stream !== undefined) {
    if (!needle.isWellFormed()) return undefined
    return { patterns: [new Uint8Array(Buffer.from(needle))], exact: true, streams: [stream] }
  }
  // Any field's words are among those of the header; where nothing is looked for, its name is.
  const plan = planNeedle(needle === '' ? fold(query.name) : needle)
  return plan && { ...plan, exact: false, streams: [STREAM.header] }
}

/** The emails of one stream with a key that holds `pattern`; undefined when the index does not reach `indexed` any more. */
async function emailsWith(
  calls: MailCalls,
  stream: number,
  pattern: Uint8Array,
  indexed: number,
): Promise<{ readonly sure: EmailSet; readonly doubtful: EmailSet } | undefined> {
  const sure = new EmailSet()
  const doubtful = new EmailSet()
  for (let place: IndexPlace | undefined = { after: 0 }; place !== undefined;) {
    const answer: Awaited<ReturnType<MailCalls['searchIndex']>> = await answered(
      calls.searchIndex({ stream, pattern, place }),
    )
    if (answer.indexed < indexed) return undefined
    sure.add(answer.sure)
    doubtful.add(answer.doubtful)
    place = answer.next
  }
  return { sure, doubtful }
}

/** UIDs in the mailbox, ascending, of the messages that are these emails. */
async function uidsOf({ calls, mailbox, cache }: Searched, emails: EmailSet, messages: number): Promise<Uint32Array> {
  const { size } = emails
  if (size === 0) return new Uint32Array()
  // To look up one costs as much as to read four, or to walk past a hundred that were read before.
  if (size * (knowsEmails(cache) ? 100 : 4) < messages) {
    const pieces: Uint32Array[] = []
    const list = emails.list()
    for (let at = 0; at < list.length; at += LOOKED_UP)
      pieces.push(await answered(calls.searchUids({ mailbox, emails: list.slice(at, at + LOOKED_UP) })))
    return joined(pieces).sort()
  }
  const all = await messageEmails(calls, mailbox, cache)
  const uids = new Uint32Array(all.uids.length)
  let count = 0
  for (let i = 0; i < all.uids.length; i++) if (emails.has(all.emails[i] ?? 0)) uids[count++] = all.uids[i] ?? 0
  return uids.subarray(0, count)
}

/** UIDs in the mailbox, ascending, of the messages that came behind what is indexed. */
async function freshUids({ calls, mailbox }: Searched, indexed: number): Promise<Uint32Array> {
  const pieces: Uint32Array[] = []
  for (let behind: Behind | undefined = { email: indexed, uid: 0xffffffff }; behind !== undefined;) {
    const rows: Awaited<ReturnType<MailCalls['searchFresh']>> = await answered(calls.searchFresh({ mailbox, behind }))
    pieces.push(rows.uids)
    behind = rows.next
  }
  return joined(pieces).sort()
}

/** Yields `found` and those of `doubtful` that match, ascending. */
async function* lookAt(
  { calls, blobs, mailbox }: Searched,
  query: TextQuery,
  found: Uint32Array,
  doubtful: Uint32Array,
): AsyncGenerator<FoundBatch> {
  let yielded = 0
  /** Of `found`, those up to `uid`. */
  const upTo = (uid: number): Uint32Array => {
    const from = yielded
    while (yielded < found.length && (found[yielded] ?? 0) <= uid) yielded++
    return found.subarray(from, yielded)
  }
  for (let at = 0; at < doubtful.length;) {
    const looked = await answered(calls.searchMessages({ mailbox, uids: doubtful.slice(at, at + LOOKED_AT), query }))
    at += looked.consumed
    const last = doubtful[at - 1] ?? 0
    let matching = looked.found
    if (looked.elsewhere !== undefined) {
      const octets = await answered(blobs.get(looked.elsewhere.blob))
      if (octets !== undefined && (await answered(calls.searchOctets({ query, octets }))))
        matching = joined([matching, Uint32Array.of(last)])
    }
    yield { uids: Array.from(merged(upTo(last), matching)), progress: at / doubtful.length }
  }
  for (const rest = upTo(Infinity), at = { now: 0 }; at.now < rest.length; at.now += BATCH)
    yield { uids: Array.from(rest.subarray(at.now, at.now + BATCH)), progress: 1 }
}

// ---- ascending lists of UIDs ----

/** Both lists in one, each UID once. */
function merged(a: Uint32Array, b: Uint32Array): Uint32Array {
  if (b.length === 0) return a
  if (a.length === 0) return b
  const all = joined([a, b]).sort()
  return all.filter((uid, i) => uid !== all[i - 1])
}

function inBoth(a: Uint32Array, b: Uint32Array): Uint32Array {
  return split(a, b, true)
}

function without(a: Uint32Array, b: Uint32Array): Uint32Array {
  return b.length === 0 ? a : split(a, b, false)
}

/** The UIDs of `a` that are (or are not) in `b`. */
function split(a: Uint32Array, b: Uint32Array, inside: boolean): Uint32Array {
  let at = 0
  return a.filter((uid) => {
    while (at < b.length && (b[at] ?? 0) < uid) at++
    return (b[at] === uid) === inside
  })
}
