// XEP-0313 §5.1.1, XEP-0334: which messages an account's archive keeps

import { type Element, NS } from '@aviso/xmpp'

const HINTS = 'urn:xmpp:hints'
const MUC_USER = 'http://jabber.org/protocol/muc#user'

/**
 * Chat and normal messages that say something, or change what was said: text and subjects, encrypted text, receipts, markers, corrections, reactions, retractions, invitations, calls. Hints
 * have the last word. Neither copies of messages nor moods of the moment.
 */
export function isWorthArchiving(message: Element): boolean {
  const type = message.get('type')
  return type !== 'groupchat' && type !== 'headline' && type !== 'error' && saysSomething(message)
}

/** The same whatever the type of the message. */
export function saysSomething(message: Element): boolean {
  let worthy = false
  for (const child of message.children) {
    if (typeof child === 'string') continue
    const { name, xmlns } = child
    if (xmlns === HINTS) {
      if (name === 'no-store' || name === 'no-permanent-store') return false
      if (name === 'store') worthy = true
    } else if (xmlns === NS.client) {
      if (name === 'body' || name === 'subject') worthy = true
    } else if ((xmlns === NS.carbons && name !== 'private') || xmlns === NS.mam) return false
    else if (xmlns === MUC_USER) worthy ||= child.child('invite') !== undefined || child.child('decline') !== undefined
    else if (KEPT.has(xmlns)) worthy ||= !(xmlns === RECEIPTS && name === 'request') && name !== 'markable'
  }
  return worthy
}

const RECEIPTS = 'urn:xmpp:receipts'

/** Namespaces whose elements say something by themselves. */
const KEPT: ReadonlySet<string> = new Set([
  RECEIPTS,
  'urn:xmpp:chat-markers:0',
  'urn:xmpp:message-correct:0',
  'urn:xmpp:reactions:0',
  'urn:xmpp:message-retract:0',
  'urn:xmpp:message-retract:1',
  'urn:xmpp:fasten:0',
  'urn:xmpp:eme:0',
  'eu.siacs.conversations.axolotl',
  'urn:xmpp:omemo:1',
  'urn:xmpp:omemo:2',
  'urn:xmpp:openpgp:0',
  'jabber:x:encrypted',
  'jabber:x:conference',
  'urn:xmpp:jingle-message:0',
  'urn:xmpp:jingle-message:1',
])
