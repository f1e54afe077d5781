// XEP-0352: which stanzas wake a client whose user is not looking, and why. The reasons are those of the metrics.

import { DEFAULT_PARSER_LIMITS, type Element, NS, readElement } from '@aviso/xmpp'

/** `reason`: why it is sent at once; undefined for what can wait. Of those that wait, only the last one with the same `key` is of interest. */
export interface Importance {
  readonly reason?: string
  readonly key?: string
}

const CHAT_STATES = 'http://jabber.org/protocol/chatstates'
const MUC_USER = 'http://jabber.org/protocol/muc#user'
const WAITS: Importance = {}

/** Judges a stanza that is about to be written to a client. `more`: further namespaces of payloads that cannot wait. */
export function importance(stanza: Element | string, more: ReadonlySet<string>): Importance {
  if (typeof stanza !== 'string') return ofElement(stanza, more)
  if (stanza.startsWith('<presence ')) return ofPresenceText(stanza, more)
  if (!stanza.startsWith('<message ')) return { reason: stanza.startsWith('<iq ') ? 'iq' : 'stream' }
  // Copies and stored messages are text already. They are rare beside presence.
  return ofElement(parse(stanza), more)
}

function ofElement(stanza: Element, more: ReadonlySet<string>): Importance {
  if (stanza.xmlns !== NS.client) return { reason: 'stream' }
  if (stanza.name === 'iq') return { reason: 'iq' }
  return stanza.name === 'presence' ? ofPresence(stanza) : ofMessage(stanza, more)
}

const parse = (text: string): Element =>
  readElement(text, { xmlns: NS.client, bindings: [] }, { ...DEFAULT_PARSER_LIMITS, depth: 200 })

/** The presence of contacts is text that begins `<presence from='...' to='`, see `presenceHead`. */
const HEAD = /^<presence from='([^']*)' to='[^']*'(?: type='([a-z]+)')?([^>]*)/

function ofPresenceText(text: string, more: ReadonlySet<string>): Importance {
  const match = HEAD.exec(text)
  const [, from, type, rest] = match ?? []
  if (from === undefined || rest?.includes('type=') === true || text.includes(MUC_USER))
    return ofElement(parse(text), more)
  if (type === undefined || type === 'unavailable') return { key: `presence ${from}` }
  return { reason: type === 'error' ? 'error' : 'subscription' }
}

function ofPresence(stanza: Element): Importance {
  const type = stanza.get('type')
  if (type === 'error') return { reason: 'error' }
  if (type !== undefined && type !== 'unavailable') return { reason: 'subscription' }
  // The client's own place in a room: it has been let in, or thrown out.
  const own = stanza.child('x', MUC_USER)?.childrenNamed('status')
  if (own?.some((status) => status.get('code') === '110') === true) return { reason: 'room' }
  return { key: `presence ${stanza.get('from') ?? ''}` }
}

function ofMessage(stanza: Element, more: ReadonlySet<string>): Importance {
  const type = stanza.get('type')
  if (type === 'error') return { reason: 'error' }
  if (type === 'headline') return WAITS
  let state = false
  let other = false
  for (const child of stanza.children) {
    if (typeof child === 'string') continue
    const { name, xmlns } = child
    if (xmlns === NS.carbons) {
      // What was read or said on another device: the notification here is to go.
      if (name === 'sent') return { reason: 'carbon' }
      const copied = child.child('forwarded', NS.forward)?.child('message', NS.client)
      return copied === undefined ? WAITS : ofMessage(copied, more)
    }
    if (xmlns === NS.client && (name === 'body' || name === 'subject')) return { reason: name }
    if (xmlns === MUC_USER && (child.child('invite') !== undefined || child.child('status') !== undefined))
      return { reason: 'room' }
    const reason = PAYLOADS.get(xmlns) ?? (more.has(xmlns) ? 'configured' : undefined)
    if (reason !== undefined) return { reason }
    if (xmlns === CHAT_STATES) state = true
    else if (!MARKS.has(xmlns)) other = true
  }
  return state && !other ? { key: `state ${stanza.get('from') ?? ''}` } : WAITS
}

/** Payloads that the user wants to know of, each with its reason. */
const PAYLOADS: ReadonlyMap<string, string> = new Map([
  [NS.mam, 'archive'],
  ['urn:xmpp:eme:0', 'encrypted'],
  ['eu.siacs.conversations.axolotl', 'encrypted'],
  ['urn:xmpp:omemo:2', 'encrypted'],
  ['urn:xmpp:openpgp:0', 'encrypted'],
  ['jabber:x:conference', 'room'],
  ['urn:xmpp:jingle-message:0', 'call'],
  ['urn:xmpp:jingle-message:1', 'call'],
])

/** What stands beside a chat state and says nothing by itself. */
const MARKS: ReadonlySet<string> = new Set(['urn:xmpp:hints', NS.stanzaId, 'urn:xmpp:delay', MUC_USER])
