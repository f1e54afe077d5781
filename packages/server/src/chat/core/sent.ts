// RFC 6120 §8.1: what a client of ours sends, with its sender's name on it

import { Attributes, Element, Jid, StreamError } from '@aviso/xmpp'
import type { SendingEvent } from './contracts.ts'
import type { Directory } from './directory.ts'
import { address } from './router.ts'
import type { Session } from './session.ts'

/** A stanza of a client's on its way out. Most of those who are asked do not look at its address. */
export class Sent implements SendingEvent {
  readonly stanza: Element
  readonly origin: Session
  own: Element | undefined
  work: Promise<unknown> | undefined
  readonly #directory: Directory

  constructor(stanza: Element, origin: Session, directory: Directory) {
    this.stanza = stanza
    this.origin = origin
    this.#directory = directory
  }

  wait(work: Promise<void>): void {
    this.work = this.work === undefined ? work : Promise.all([this.work, work])
  }

  get to(): Jid {
    const to = this.stanza.get('to')
    if (to === undefined) return this.origin.account.jid
    return this.#directory.session(to)?.jid ?? this.#directory.account(to)?.jid ?? address(to)
  }
}

/**
 * The stanza with the sender's full JID as `from` (RFC 6120 §8.1.2.1), and the stream's language where it has none (§8.1.5).
 * @throws StreamError invalid-from for somebody else's address
 */
export function stamp(stanza: Element, session: Session): Element {
  const pairs = stanza.attrs.pairs
  const stamped: string[] = ['from', session.full]
  let lang = session.lang
  for (let index = 0; index < pairs.length; index += 2) {
    const name = pairs[index] ?? ''
    const value = pairs[index + 1] ?? ''
    if (name === 'from') {
      if (value !== session.full && value !== session.account.bare) mustBeOwn(value, session)
      continue
    }
    if (name === 'xml:lang') lang = undefined
    stamped.push(name, value)
  }
  if (lang !== undefined) stamped.push('xml:lang', lang)
  return new Element(stanza.name, stanza.xmlns, new Attributes(stamped), stanza.children, stanza.raw)
}

function mustBeOwn(from: string, session: Session): void {
  // Another resource of the same account is passed over, as the session's own address is written in its place: converse.js 14 takes a new name when its page is loaded anew, and resumes the
  // session of the old one.
  if (Jid.tryParse(from)?.bareString === session.account.bare) return
  throw new StreamError('invalid-from', 'this is not your address')
}
