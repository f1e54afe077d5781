// FETCH, one message at a time (RFC 9051 §6.4.5, RFC 7162 §3.1.4.1).

import type { SessionCore } from '../core.ts'
import { fetchItems, type FetchQuery } from '../fetch-query.ts'
import type { LiteralSink, Request } from '../request.ts'
import type { Segments } from '../response/reader.ts'
import type { FetchResponse, MessageData, StatusResponse } from '../response/types.ts'
import { ImapClientError } from '../errors.ts'
import { ResultStream } from '../result-stream.ts'
import { mayHold, type Uids, uidSets } from '../uid-set.ts'

/** How FETCH is limited, and given up. */
export interface FetchOptions {
  /** Only messages changed since this mod-sequence (CONDSTORE). */
  readonly changedSince?: number
  readonly signal?: AbortSignal
}

/** What was asked for, of one message. */
export interface FetchedMessage extends MessageData {
  readonly uid: number
  /** Undefined with UIDONLY. */
  readonly sequence: number | undefined
  /** `source` of the query: the whole message. */
  readonly source: Buffer | undefined
  /** `header` of the query. */
  readonly header: Buffer | undefined
}

export function fetched(uid: number, { sequence, message }: FetchResponse): FetchedMessage {
  const header = [...message.sections].find(([section]) => section.startsWith('HEADER'))
  return { ...message, uid, sequence, source: message.sections.get(''), header: header?.[1] }
}

/** What it weighs in memory. */
function weight(message: MessageData): number {
  let octets = 1000
  for (const section of message.sections.values()) octets += section.length
  for (const part of message.binary.values()) octets += part.length
  return octets
}

/** The messages as the server sends them, in its order. */
export function fetchMessages(
  core: SessionCore,
  uids: Uids,
  query: FetchQuery,
  options: FetchOptions,
): ResultStream<FetchedMessage> {
  const items = fetchItems(query, core.capabilities)
  if (options.changedSince !== undefined) core.need('CONDSTORE', 'tell what has changed since')
  const since = options.changedSince === undefined ? '' : ` (CHANGEDSINCE ${options.changedSince})`
  const requests = uidSets(uids).map((set): Request => {
    const meant = mayHold(set)
    return {
      name: 'UID FETCH',
      parts: [`UID FETCH ${set} ${items.text}${since}`],
      accept(response) {
        if (response.kind !== 'fetch' || !items.answers(response)) return false
        const { uid } = response.message
        if (uid === undefined || !meant(uid)) return false
        stream.push(fetched(uid, response), weight(response.message))
        return true
      },
    }
  })
  const stream = new ResultStream<FetchedMessage>({
    start: async () => {
      for (const request of requests) await core.run(request, options.signal)
    },
    hold: () => requests.forEach((request) => core.connection.hold(request)),
    release: () => requests.forEach((request) => core.connection.release(request)),
    limit: core.limits.waiting,
  })
  return stream
}

/** One section of a message on its way. */
export interface Download {
  /** Octets that come. */
  readonly size: number
  readonly content: AsyncIterableIterator<Buffer>
}

const ANNOUNCED = /(?:BODY|BINARY)\[[^\]]*\](?:<\d+>)? $/i

/**
 * A section as its octets come, however large. Resolves when they begin; undefined when there is no such message or section. Whoever does not read
 * on leaves the connection standing, until another command needs it.
 */
export async function download(
  core: SessionCore,
  uid: number,
  section: string,
  options: { readonly binary?: boolean; readonly signal?: AbortSignal },
): Promise<Download | undefined> {
  const items = fetchItems(options.binary === true ? { binary: [section] } : { sections: [section] }, core.capabilities)
  const key = section.toUpperCase()
  return new Promise((resolve, reject) => {
    let begun = false
    const request: Request = {
      name: 'UID FETCH',
      parts: [`UID FETCH ${uidSets(uid).join('')} ${items.text}`],
      sink(segments, size): LiteralSink | undefined {
        if (begun || !isFor(uid, segments)) return undefined
        begun = true
        resolve({ size, content })
        return { push: (octets) => content.push(octets, octets.length), end: () => content.end() }
      },
      accept(response) {
        if (response.kind !== 'fetch' || response.message.uid !== uid || !items.answers(response)) return false
        // Short ones may come in quotes.
        const { sections, binary } = response.message
        const octets = (options.binary === true ? binary : sections).get(key)
        if (begun || octets === undefined) return true
        begun = true
        resolve({ size: octets.length, content })
        content.push(octets, octets.length)
        content.end()
        return true
      },
    }
    const content = new ResultStream<Buffer>({
      start: () => done,
      hold: () => core.connection.hold(request),
      release: () => core.connection.release(request),
      limit: core.limits.waiting,
    })
    const done = core.run(request, options.signal)
    done.then(() => resolve(undefined), reject)
  })
}

/** True when the literal announced is of the message with this UID, as far as that can be told: the UID may come behind it. */
function isFor(uid: number, segments: Segments): boolean {
  const before = segments.at(-1)
  if (typeof before !== 'string' || !ANNOUNCED.test(before)) return false
  const told = /[( ]UID (\d+)/i.exec(typeof segments[0] === 'string' ? segments[0] : '')
  return told === null || Number(told[1]) === uid
}

/** A change of flags: exactly one of `add`, `remove` and `set`. */
export interface StoreOptions {
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
  /** All flags, instead of those there. */
  readonly set?: readonly string[]
  /** Leave messages alone that were changed after this mod-sequence (CONDSTORE). */
  readonly unchangedSince?: number
  readonly signal?: AbortSignal
}

/** What came of a change of flags. */
export interface Stored {
  /** UIDs that were left alone because of `unchangedSince`. */
  readonly modified: readonly number[]
  /** What the server tells of the changed messages: flags, and mod-sequences where it has them. */
  readonly messages: readonly FetchedMessage[]
}

/** The part of STORE behind the set. Exactly one of `add`, `remove`, `set` is given. */
export async function store(core: SessionCore, uids: Uids, change: string, options: StoreOptions): Promise<Stored> {
  if (options.unchangedSince !== undefined) core.need('CONDSTORE', 'store flags on a condition')
  const since = options.unchangedSince === undefined ? '' : `(UNCHANGEDSINCE ${options.unchangedSince}) `
  const messages: FetchedMessage[] = []
  const modified: number[] = []
  const note = ({ code }: Pick<StatusResponse, 'code'>): boolean => {
    if (code?.kind === 'modified') modified.push(...code.numbers)
    return code?.kind === 'modified'
  }
  for (const set of uidSets(uids)) {
    const meant = mayHold(set)
    try {
      const { results, end } = await core.collect(
        { name: 'UID STORE', parts: [`UID STORE ${set} ${since}${change}`] },
        (response) => {
          if (
            response.kind !== 'fetch' ||
            !(response.message.items.has('FLAGS') || response.message.items.has('MODSEQ'))
          )
            return undefined
          const { uid } = response.message
          return uid === undefined || !meant(uid) ? undefined : fetched(uid, response)
        },
        options.signal,
      )
      messages.push(...results)
      note(end)
    } catch (error) {
      // RFC 7162 §3.1.3: when some are gone and some were changed it is a NO that says which were left alone.
      if (!(error instanceof ImapClientError) || !note({ code: error.responseCode })) throw error
    }
  }
  return { modified, messages }
}
