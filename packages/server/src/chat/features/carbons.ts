// XEP-0280: Message Carbons (with all rules of §6.1)

import { type Element, NS } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature, type IqRequest, type Origin } from '../core/contracts.ts'
import { type Session, sessionSlot } from '../core/session.ts'

const RULES = 'urn:xmpp:carbons:rules:0'
const HINTS = 'urn:xmpp:hints'
const MUC_USER = 'http://jabber.org/protocol/muc#user'

/** True where the client wants copies. */
const wanted = sessionSlot('carbons', v.boolean())

export const carbons = chatFeature({
  name: 'carbons',
  summary: 'Copies what one device of an account sends or gets to its other devices.',
  config: v.strictObject({}),

  attach(host, _config, { metrics }) {
    const copies = metrics.tally('aviso_chat_carbons', 'Copies of messages for other devices')
    host.disco.feature(NS.carbons)
    host.disco.feature(RULES)

    const set = (on: boolean) => (iq: IqRequest) => {
      iq.origin.session?.set(wanted, on)
      return iq.result()
    }
    host.iq.set(NS.carbons, 'enable', ['self'], set(true))
    host.iq.set(NS.carbons, 'disable', ['self'], set(false))
    host.inline.bound(NS.carbons, NS.carbons, 'enable', (session) => {
      session.set(wanted, true)
      return undefined
    })

    // Before the message goes on, so that the copies are in the order in which it was sent, whatever becomes of it.
    host.hooks.sending.on((event) => {
      const { stanza, origin } = event
      const { session } = origin
      // Most accounts have one device: this is asked for each stanza.
      if (session === undefined || session.account.sessions.length < 2 || stanza.name !== 'message') return undefined
      // A message to oneself reaches the others as received.
      if (event.to.bareString !== session.account.bare)
        copies.add(copy('sent', event.own ?? stanza, session.account.sessions, session))
      return undefined
    }, 50)

    const received = (stanza: Element, origin: Origin, reached: readonly Session[], all: readonly Session[]): void => {
      if (all.length > reached.length) copies.add(copy('received', stanza, all, origin.session, reached))
    }
    host.hooks.delivered.on(({ stanza, origin, sessions }) => {
      const [first] = sessions
      if (first !== undefined) received(stanza, origin, sessions, first.account.sessions)
    })
    host.hooks.undelivered.on(({ stanza, origin, account }) => {
      received(stanza, origin, [], host.sessions(account.address))
      return undefined
    }, 50)
    // The other devices have a copy of what was sent: they are to know that it did not arrive.
    host.hooks.refused.on(({ session, stanza, reply }) => {
      if (stanza.name === 'message' && isEligible(stanza, 'sent', session.account.bare))
        copies.add(write('received', reply, session.account.sessions, session, [session]))
    })
  },
})

type Direction = 'sent' | 'received'

function copy(
  direction: Direction,
  message: Element,
  sessions: readonly Session[],
  sender: Session | undefined,
  reached: readonly Session[] = [],
): number {
  const own = sessions[0]?.account.bare
  if (own === undefined || !isEligible(message, direction, own)) return 0
  return write(direction, message, sessions, sender, reached)
}

/** Wraps the message once for all who get a copy, and tells how many those are. The sender needs none. */
function write(
  direction: Direction,
  message: Element,
  sessions: readonly Session[],
  sender: Session | undefined,
  reached: readonly Session[],
): number {
  let count = 0
  let tail: string | undefined
  for (const session of sessions) {
    if (session === sender || session.get(wanted) !== true || reached.includes(session)) continue
    if (tail === undefined) {
      const type = message.get('type')
      const kind = TYPES.has(type) ? ` type='${type}'` : ''
      const inner = message.toString('')
      tail = `'${kind}><${direction} xmlns='${NS.carbons}'><forwarded xmlns='${NS.forward}'>${inner}</forwarded></${direction}></message>`
    }
    session.send(`<message from='${session.account.bareXml}' to='${session.fullXml}${tail}`)
    count++
  }
  return count
}

const TYPES: ReadonlySet<string | undefined> = new Set(['chat', 'normal', 'headline', 'error'])

/** §6.1, and §7: which messages are copied. `own` is the bare JID of whose devices are to get the copy. */
export function isEligible(message: Element, direction: Direction, own: string): boolean {
  const type = message.get('type') ?? 'normal'
  if (type === 'groupchat') return false
  let talks = type === 'chat'
  let room = false
  let invites = false
  for (const child of message.children) {
    if (typeof child === 'string') continue
    const { name, xmlns } = child
    switch (xmlns) {
      case NS.carbons: // <private/>, and copies: there is no copy of a copy
        return false
      case HINTS:
        if (name === 'no-copy') return false
        break
      case NS.client:
        if (name === 'body' && type === 'normal') talks = true
        break
      case MUC_USER:
        if (name === 'x') {
          room = true
          if (child.child('invite') !== undefined || child.child('decline') !== undefined) invites = true
        }
        break
      case NS.stanzaId: // what the account's archive keeps
        if (child.get('by') === own) talks = true
        break
      case 'jabber:x:conference':
        invites = true
        break
      default:
        if (TALK.has(xmlns)) talks = true
    }
  }
  if (invites) return true
  // A private message from a room's participant: the room sends it to every device that is in there.
  if (room && direction === 'received' && message.get('to') !== own) return false
  // The error for what was sent to an account comes from its bare JID; others tell by what they send back.
  if (type === 'error' && direction === 'received' && message.get('from')?.includes('/') !== true) return true
  return talks || (type === 'error' && message.child('body') !== undefined)
}

/** Payloads of a conversation: receipts, moods, markers, calls. */
const TALK: ReadonlySet<string> = new Set([
  'urn:xmpp:receipts',
  'http://jabber.org/protocol/chatstates',
  'urn:xmpp:chat-markers:0',
  'urn:xmpp:jingle-message:0',
  'urn:xmpp:jingle-message:1',
])
