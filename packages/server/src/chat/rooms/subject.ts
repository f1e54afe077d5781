// XEP-0045 §7.2.15, §8.1: what a room is about.

import { el, type Element, NS } from '@aviso/xmpp'
import type { Room } from './room.ts'

const MAX_SUBJECT = 4000

/** The last word on the subject, as those get it who enter; it is said even where there is none. */
export function subjectStanza(room: Room): Element {
  const { subject, bare } = room
  if (subject === undefined) return el('message', { from: bare, type: 'groupchat' }, el('subject'))
  return el(
    'message',
    { from: subject.nick === '' ? bare : room.jid.withResource(subject.nick).toString(), type: 'groupchat' },
    el('subject', {}, subject.text),
    el('delay', { xmlns: NS.delay, from: bare, stamp: new Date(subject.at).toISOString() }),
  )
}

/** The new subject that a message tells; undefined where it is a message with a subject as mails have one (it has a body, or belongs to a thread). */
export function subjectIn(message: Element): string | undefined {
  if (message.child('body') !== undefined || message.child('thread') !== undefined) return undefined
  return message.childText('subject')?.slice(0, MAX_SUBJECT)
}
