// XEP-0313 §4: what an archive answers, that of an account or of a room

import { el, type Element, escapeAttribute, NS, StanzaError } from '@aviso/xmpp'
import { StoreError } from '../../store/contracts.ts'
import { type Asked, RSM } from './query.ts'
import type { ArchivedMessage, ArchiveEnds, ArchiveQuery, ArchiveResult, SearchStep } from './shelf.ts'

/** An archive as it is asked: the operations of its store. */
export interface AskedArchive {
  query(query: ArchiveQuery): Promise<ArchiveResult>
  search(
    search: ArchiveQuery & { readonly words: readonly string[]; readonly from?: number | undefined },
  ): Promise<SearchStep>
}

/** The page that is asked for. @throws StanzaError item-not-found for an id that is not there */
export async function find(store: AskedArchive, asked: Asked): Promise<ArchiveResult> {
  const { filter, page, words } = asked
  try {
    if (words === undefined) return await store.query({ filter, page })
    // The ids are looked up first, so that one that is not there is told.
    if (filter.ids !== undefined) await store.query({ filter, page: { max: 0, backwards: false } })
    const found: ArchivedMessage[] = []
    let from: number | undefined
    do {
      const step = await store.search({ filter, page, words, from })
      found.push(...step.messages)
      from = step.next
    } while (from !== undefined && found.length <= page.max)
    const messages = found.slice(0, page.max)
    return { messages: page.backwards ? messages.reverse() : messages, complete: found.length <= page.max }
  } catch (error) {
    if (error instanceof StoreError && error.code === 'not-found') throw StanzaError.of('item-not-found', error.message)
    throw error
  }
}

/** Makes the text of one result (§4.2) of the archive `from`; both addresses as they may stand in an attribute. */
export function resultText(
  from: string,
  to: string,
  { queryId }: Pick<Asked, 'queryId'>,
): (message: ArchivedMessage) => string {
  const query = queryId === undefined ? '' : ` queryid='${escapeAttribute(queryId)}'`
  const head = `<message from='${from}' to='${to}'><result xmlns='${NS.mam}'${query} id='`
  const tail = `</forwarded></result></message>`
  return ({ id, at, xml }) =>
    `${head}${id}'><forwarded xmlns='${NS.forward}'><delay xmlns='${NS.delay}' stamp='${new Date(at).toISOString()}'/>${xml}${tail}`
}

/** The end of an answer (§4.2). */
export function fin({ messages, complete, count, index }: ArchiveResult): Element {
  const first = messages[0]
  const last = messages.at(-1)
  return el(
    'fin',
    { xmlns: NS.mam, complete: complete ? 'true' : undefined },
    el(
      'set',
      { xmlns: RSM },
      first !== undefined && el('first', { index }, first.id),
      last !== undefined && el('last', {}, last.id),
      count !== undefined && el('count', {}, String(count)),
    ),
  )
}

/** §4.3: where an archive begins and ends. */
export function metadata(ends: ArchiveEnds | undefined): Element {
  const end = (name: string, message: Omit<ArchivedMessage, 'xml'> | undefined): Element | false =>
    message !== undefined && el(name, { id: message.id, timestamp: new Date(message.at).toISOString() })
  return el('metadata', { xmlns: NS.mam }, end('start', ends?.[0]), end('end', ends?.[1]))
}
