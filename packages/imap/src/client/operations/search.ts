// SEARCH, SORT and THREAD (RFC 9051 §6.4.4, RFC 4731, RFC 5256), by UID.

import type { SessionCore } from '../core.ts'
import { ImapClientError } from '../errors.ts'
import type { CommandPart } from '../request.ts'
import type { EsearchResponse, ThreadNode, UntaggedResponse } from '../response/types.ts'
import { searchKeys, type SearchQuery, word } from '../search-query.ts'

/** How a search is given up. */
export interface SearchOptions {
  readonly signal?: AbortSignal
}

/** What can be sorted by (RFC 5256 §3, RFC 5957). */
export type SortKey = 'ARRIVAL' | 'CC' | 'DATE' | 'FROM' | 'SIZE' | 'SUBJECT' | 'TO' | 'DISPLAYFROM' | 'DISPLAYTO'
/** `-DATE`: the latest first. */
export type SortOrder = SortKey | `-${SortKey}`

interface Keys {
  readonly parts: readonly CommandPart[]
  /** CHARSET goes in front where a string needs it and the server does not take UTF-8 as it is. */
  readonly beyondAscii: boolean
}

function keys(core: SessionCore, query: SearchQuery | string): Keys {
  if (typeof query === 'string') return { parts: [` ${query}`], beyondAscii: false }
  let beyondAscii = false
  const parts = searchKeys(query, (text) => {
    beyondAscii ||= !/^[\x00-\x7f]*$/.test(text)
    return core.string(text)
  })
  return { parts, beyondAscii: beyondAscii && !core.connection.utf8 }
}

/** For commands that must name one. Once the server takes UTF-8 as it is, no other is right (RFC 9755 §3). */
const charset = (core: SessionCore, beyondAscii: boolean): string =>
  beyondAscii || core.connection.utf8 ? 'UTF-8' : 'US-ASCII'

/** UIDs found, ascending. */
export async function search(
  core: SessionCore,
  query: SearchQuery | string,
  options: SearchOptions,
): Promise<number[]> {
  const { parts, beyondAscii } = keys(core, query)
  const extended = core.has('ESEARCH')
  const head = `UID SEARCH${extended ? ' RETURN (ALL)' : ''}${beyondAscii ? ' CHARSET UTF-8' : ''}`
  const { results } = await core.collect(
    { name: 'UID SEARCH', parts: [head, ...parts] },
    // Some servers answer an extended SEARCH in the old way.
    (response, tag) =>
      response.kind === 'search' ? response.numbers : (ours(response, tag)?.all ?? (ours(response, tag) && [])),
    options.signal,
  )
  return [...new Set(results.flat())].sort((a, b) => a - b)
}

const ours = (response: UntaggedResponse, tag: string): EsearchResponse | undefined =>
  response.kind === 'esearch' && (response.tag === undefined || response.tag === tag) ? response : undefined

/** How much a search found, without the list of it (RFC 4731). */
export interface Found {
  readonly count: number
  /** UIDs; undefined when nothing was found. */
  readonly min: number | undefined
  readonly max: number | undefined
}

/** How many messages are found, and the first and the last: without the list of them where the server has ESEARCH. */
export async function count(core: SessionCore, query: SearchQuery | string, options: SearchOptions): Promise<Found> {
  if (!core.has('ESEARCH')) {
    const uids = await search(core, query, options)
    return { count: uids.length, min: uids[0], max: uids.at(-1) }
  }
  const { parts, beyondAscii } = keys(core, query)
  const { results } = await core.collect(
    {
      name: 'UID SEARCH',
      parts: [`UID SEARCH RETURN (MIN MAX COUNT)${beyondAscii ? ' CHARSET UTF-8' : ''}`, ...parts],
    },
    ours,
    options.signal,
  )
  const { count = 0, min, max } = results[0] ?? {}
  return { count, min, max }
}

/** UIDs in this order. */
export async function sort(
  core: SessionCore,
  order: readonly SortOrder[],
  query: SearchQuery | string,
  options: SearchOptions,
): Promise<number[]> {
  core.need(order.some((key) => key.includes('DISPLAY')) ? 'SORT=DISPLAY' : 'SORT', 'sort')
  if (order.length === 0) throw new ImapClientError('UNSUPPORTED', 'A sort needs something to sort by')
  const by = order.map((key) => (key.startsWith('-') ? `REVERSE ${word(key.slice(1))}` : word(key))).join(' ')
  const { parts, beyondAscii } = keys(core, query)
  const { results } = await core.collect(
    { name: 'UID SORT', parts: [`UID SORT (${by}) ${charset(core, beyondAscii)}`, ...parts] },
    (response) => (response.kind === 'sort' ? response.numbers : undefined),
    options.signal,
  )
  return results.flat()
}

/** Conversations; their numbers are UIDs. */
export async function thread(
  core: SessionCore,
  algorithm: 'REFERENCES' | 'ORDEREDSUBJECT' | 'REFS',
  query: SearchQuery | string,
  options: SearchOptions,
): Promise<ThreadNode[]> {
  core.need(`THREAD=${algorithm}`, 'make threads in this way')
  const { parts, beyondAscii } = keys(core, query)
  const { results } = await core.collect(
    { name: 'UID THREAD', parts: [`UID THREAD ${algorithm} ${charset(core, beyondAscii)}`, ...parts] },
    (response) => (response.kind === 'thread' ? response.threads : undefined),
    options.signal,
  )
  return results.flat()
}
