// What there is in a message of somebody whom its recipient does not know.

import { type Element, Jid } from '@aviso/xmpp'

const MUC_USER = 'http://jabber.org/protocol/muc#user'

/** What may be in a message; each is a setting of `strangers`. */
export type Content = 'text' | 'long' | 'links' | 'media' | 'encrypted' | 'invitations' | 'calls'

/** Namespaces of payloads that make a message more than its text. */
const PAYLOADS: ReadonlyMap<string, Content> = new Map([
  ['jabber:x:conference', 'invitations'],
  ['jabber:x:oob', 'media'],
  ['urn:xmpp:sims:1', 'media'],
  ['urn:xmpp:sfs:0', 'media'],
  ['urn:xmpp:bob', 'media'],
  ['urn:xmpp:jingle-message:0', 'calls'],
  ['urn:xmpp:jingle-message:1', 'calls'],
  ['urn:xmpp:eme:0', 'encrypted'],
  ['eu.siacs.conversations.axolotl', 'encrypted'],
  ['urn:xmpp:omemo:1', 'encrypted'],
  ['urn:xmpp:omemo:2', 'encrypted'],
  ['urn:xmpp:openpgp:0', 'encrypted'],
  ['jabber:x:encrypted', 'encrypted'],
])

/** Addresses that clients make clickable. */
const LINK = /\b(?:https?|ftps?|xmpp|aesgcm|mailto|magnet|geo|tel|sip):\S|\bwww\.\S/i

/** What is in the message. `maxText`: octets of its text. */
export function contentsOf(message: Element, maxText: number): ReadonlySet<Content> {
  const found = new Set<Content>(['text'])
  let octets = 0
  for (const child of message.elements) {
    const { name, xmlns } = child
    if (xmlns === message.xmlns && (name === 'body' || name === 'subject')) {
      const text = child.text()
      octets += Buffer.byteLength(text)
      if (LINK.test(text)) found.add('links')
    } else if (xmlns === MUC_USER) {
      if (child.child('invite') !== undefined) found.add('invitations')
    } else {
      const content = PAYLOADS.get(xmlns)
      if (content !== undefined) found.add(content)
    }
  }
  // The text beside encrypted content says only that there is some.
  if (octets > maxText) found.add('long')
  return found
}

/** True for a message that is meant for a person: what a client sends by itself (receipts, markers, moods) is none. */
export const speaks = (message: Element): boolean =>
  message.elements.some(
    ({ name, xmlns }) =>
      (xmlns === message.xmlns && (name === 'body' || name === 'subject')) || PAYLOADS.has(xmlns) || xmlns === MUC_USER,
  )

/** Who has a room pass on his invitation (XEP-0045 §7.8.2); undefined where there is none. */
export function inviterIn(message: Element): Jid | undefined {
  const from = message.child('x', MUC_USER)?.child('invite')?.get('from')
  return from === undefined ? undefined : Jid.tryParse(from)
}
