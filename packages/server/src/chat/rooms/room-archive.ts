// XEP-0313 §5.1.2: the archive of a room

import { DEFAULT_PARSER_LIMITS, el, type Element, escapeAttribute, NS, readElement, StanzaError } from '@aviso/xmpp'
import { fin, find, metadata, resultText } from '../archive/answers.ts'
import { readQuery } from '../archive/query.ts'
import type { ArchivedMessage } from '../archive/shelf.ts'
import type { IqRequest } from '../core/contracts.ts'
import { actorOf } from './affiliations.ts'
import { MUC_USER, RANK } from './contracts.ts'
import type { Room } from './room.ts'

/** Who may read it: who may enter; of a room with a password, those who are in it or belong to it. @throws StanzaError forbidden */
function mayRead(room: Room, iq: IqRequest): void {
  const { affiliation, occupant } = actorOf(room, iq)
  const rank = RANK[affiliation]
  const { membersOnly, password } = room.config
  const outside = rank < RANK.member && occupant === undefined
  if (rank < RANK.none || room.locked || (membersOnly && rank < RANK.member) || (password !== '' && outside))
    throw StanzaError.of('forbidden', 'this archive is not for you')
}

export async function archiveQuery(room: Room, iq: IqRequest): Promise<Element> {
  mayRead(room, iq)
  const { hall } = room
  const { settings } = hall
  const most = settings['archive-max-page']
  const asked = readQuery(iq.payload, { usual: Math.min(settings['archive-page'], most), most })
  const { oldest } = hall.retention(room)
  const start = Math.max(oldest, asked.filter.start ?? 0)
  const query = { ...asked, filter: { ...asked.filter, start } }
  const archive = {
    query: (args: Parameters<typeof find>[1]) => hall.store.query({ ...only(args), room: room.id }),
    search: (args: Parameters<Parameters<typeof find>[0]['search']>[0]) =>
      hall.store.search({ ...args, room: room.id }),
  }
  const result = await find(archive, query)
  const { affiliation, occupant } = actorOf(room, iq)
  const open = room.config.publicJids || occupant?.role === 'moderator' || RANK[affiliation] >= RANK.admin
  const messages = (asked.flipped ? result.messages.toReversed() : result.messages).map((message) =>
    open ? withRealAddress(message) : message,
  )
  const text = resultText(escapeAttribute(room.bare), escapeAttribute(iq.from.toString()), asked)
  const { session } = iq.origin
  if (session === undefined) for (const message of messages) iq.origin.reply(readText(text(message)))
  else if (!(await session.sendAll(messages.map(text)))) throw StanzaError.of('recipient-unavailable')
  return iq.result(fin(result))
}

const only = ({ filter, page }: Parameters<typeof find>[1]) => ({ filter, page })

/** XML of a stanza, as it was kept. */
export const readText = (xml: string): Element =>
  readElement(xml, { xmlns: NS.client, bindings: [] }, { ...DEFAULT_PARSER_LIMITS, depth: 200 })

function withRealAddress(message: ArchivedMessage): ArchivedMessage {
  const { xml, sender = '' } = message
  if (sender === '') return message
  const x = el('x', { xmlns: MUC_USER }, el('item', { jid: sender }))
  return { ...message, xml: readText(xml).append(x).toString() }
}

export async function archiveEnds(room: Room, iq: IqRequest): Promise<Element> {
  mayRead(room, iq)
  const { hall } = room
  return iq.result(metadata(await hall.store.ends({ room: room.id, start: hall.retention(room).oldest })))
}
