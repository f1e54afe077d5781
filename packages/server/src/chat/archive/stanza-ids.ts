// XEP-0359: the ids by which an archive knows its messages

import { el, type Element, escapeAttribute, Jid, NS } from '@aviso/xmpp'
import { type Random, randomWord } from '../../kernel/random.ts'

const TIME_DIGITS = 9

/** A new id: the time, so that an index grows at its end, and 60 bits that nobody can guess. */
export const archiveId = (now: number, random: Random): string =>
  now.toString(36).padStart(TIME_DIGITS, '0') + randomWord(random, 12)

/** The message with the id of `own`'s archive. */
export const stamped = (message: Element, own: string, id: string): Element =>
  message.append(el('stanza-id', { xmlns: NS.stanzaId, by: own, id }))

/** The message without ids that claim to be of `own`'s archive (§4): only the archive itself may say so. */
export function withoutForged(message: Element, own: string): Element {
  // Nearly no message has one: this is asked for each.
  for (const child of message.children)
    if (typeof child !== 'string' && isOf(child, own)) return message.without((other) => isOf(other, own))
  return message
}

function isOf(child: Element, own: string): boolean {
  if (child.xmlns !== NS.stanzaId || child.name !== 'stanza-id') return false
  const by = child.get('by') ?? ''
  return by === own || Jid.tryParse(by)?.toString() === own
}

/** The id that `own`'s archive gave the message. */
export const archivedAs = (message: Element, own: string): string | undefined =>
  message.elements.find((child) => isOf(child, own))?.get('id')

/** The same for a message that is kept as text: true where it is in `own`'s archive. */
export const isArchivedText = (xml: string, own: string): boolean =>
  xml.includes(`<stanza-id xmlns='${NS.stanzaId}' by='${escapeAttribute(own)}' `)
