// RFC 6121 §4: presence, from a client's first word to its last.

import { el, type Element, escapeAttribute, type Jid, NS, StanzaError } from '@aviso/xmpp'
import type { Origin } from './contracts.ts'
import type { Core } from './core.ts'
import type { OnlineAccount } from './directory.ts'
import { rosterStore } from './roster.store.ts'
import { type Roster, stateOf } from './roster.ts'
import { address, route, routeElsewhere } from './router.ts'
import { keptPresence, presenceHead, type Session } from './session.ts'
import { announceTo, subscriptionFromSession, subscriptionToAccount } from './subscribing.ts'
import { FROM, isSubscriptionType, TO } from './subscriptions.ts'

/** Whom one session may send directed presence at the same time. */
const MAX_DIRECTED = 1000

/** Presence that nobody misses: who says goodbye, or asks, need not be told that nobody heard it. */
export function isSilent(stanza: Element): boolean {
  const type = stanza.get('type')
  return stanza.name === 'presence' && type !== undefined && type !== 'subscribe'
}

/** A presence stanza of a client of ours; `from` is stamped with the full JID. */
export function presenceFromSession(core: Core, session: Session, stanza: Element): void | Promise<void> {
  const type = stanza.get('type')
  const to = stanza.get('to')
  if (to === undefined) {
    if (type === undefined) return becomeAvailable(core, session, stanza)
    if (type === 'unavailable') return becomeUnavailable(core, session, stanza)
    if (type === 'error') return undefined
    throw StanzaError.of('bad-request', 'presence of this type needs an address')
  }
  if (isSubscriptionType(type)) return subscriptionFromSession(core, session, stanza, type, address(to))
  if (type !== undefined && type !== 'unavailable' && type !== 'probe' && type !== 'error')
    throw StanzaError.of('bad-request', 'unknown type of presence')
  if (type === undefined) direct(session, to)
  else if (type === 'unavailable') session.directed?.delete(address(to).toString())
  return route(core, session, stanza)
}

/** §4.6.3: remembers whom to tell when the session ends. */
function direct(session: Session, to: string): void {
  const directed = (session.directed ??= new Set())
  const prepared = address(to).toString()
  if (directed.size >= MAX_DIRECTED && !directed.has(prepared))
    throw StanzaError.of('resource-constraint', 'too many directed presences')
  directed.add(prepared)
}

// The client's own presence (§4.2, §4.4, §4.5)

function becomeAvailable(core: Core, session: Session, stanza: Element): void | Promise<void> {
  const priority = priorityOf(stanza)
  const { roster } = session.account
  if (roster !== undefined) return nowAvailable(core, session, stanza, priority, roster)
  return core.loadRoster(session.account).then((loaded) => {
    if (!session.over) return nowAvailable(core, session, stanza, priority, loaded)
  })
}

function priorityOf(stanza: Element): number {
  const text = stanza.childText('priority')?.trim()
  if (text === undefined || text === '') return 0
  const priority = /^[+-]?\d{1,3}$/.test(text) ? Number(text) : NaN
  if (!(priority >= -128 && priority <= 127))
    throw StanzaError.of('bad-request', 'the priority is a number from -128 to 127')
  return priority
}

function nowAvailable(
  core: Core,
  session: Session,
  stanza: Element,
  priority: number,
  roster: Roster,
): void | Promise<void> {
  const first = !session.available
  const wasListening = session.listening
  const presence = keptPresence(stanza)
  // Many contacts with large ones would overrun a slow reader at login.
  if (presence.length > core.limits(session.jid.domain)['presence-octets'])
    throw StanzaError.of('policy-violation', 'this presence is too large')
  session.presence = presence
  session.priority = priority
  session.account.rank()
  broadcast(core, session, stanza, presence, roster, first)
  for (const other of session.account.sessions) {
    if (!other.available) continue
    other.send(presenceHead(session) + other.fullXml + "'" + presence)
    // The others' presence is as good as probed (§4.2.2).
    if (first && other !== session) session.send(presenceHead(other) + session.fullXml + "'" + other.presence)
  }
  core.points.available.tell({ session, stanza, first, listening: session.listening && !wasListening })
  if (first && roster.requests > 0) return redeliverRequests(core, session)
}

/** §3.1.3: requests that wait for an answer are shown at each login. */
async function redeliverRequests(core: Core, session: Session): Promise<void> {
  await session.sendAll(await core.store.account(rosterStore, session.account.account.id).requests())
}

/** Tells the subscribers; with `probe`, asks the contacts as well. Contacts of ours are told and asked at once, without a stanza between. */
function broadcast(
  core: Core,
  session: Session,
  stanza: Element,
  presence: string,
  roster: Roster,
  probe: boolean,
): void {
  const head = presenceHead(session)
  const tail = "'" + presence
  const { directory, points, services } = core
  const asks = !points.receiving.empty
  const { blocked } = session.account
  const own = session.account.bare
  // A stanza for other servers is made once; only its address changes.
  let foreign: Element | undefined
  for (const [contact, item] of roster.items) {
    const state = stateOf(item)
    if ((state & (FROM | TO)) === 0 || blocked?.blocks(contact) === true) continue
    const online = directory.account(contact)
    if (online !== undefined) {
      if (state & FROM) {
        const taken = asks && core.received({ stanza, origin: session, to: online.jid, account: online.account })
        if (taken instanceof Promise) unheard(core, taken)
        if (taken === undefined || taken === false)
          for (const other of online.sessions) if (other.available) other.send(head + other.fullXml + tail)
      }
      if (probe && state & TO && online.roster?.isSubscriber(own) && online.blocked?.blocks(own) !== true)
        for (const other of online.sessions)
          if (other.available) session.send(presenceHead(other) + session.fullXml + "'" + other.presence)
      continue
    }
    if (points.remote.empty && services.size === 0) continue
    // Most who are not here are ours and offline: prepared already, they need no parsing.
    if (core.isLocal(contact.slice(contact.indexOf('@') + 1))) continue
    const to = address(contact)
    if (state & FROM) {
      foreign ??= stanza.prepared()
      tellElsewhere(core, session, foreign.with({ to: contact }), to)
    }
    if (probe && state & TO)
      tellElsewhere(core, session, el('presence', { type: 'probe', from: session.full, to: contact }), to)
  }
}

/** To a service or another server, where nobody waits for what becomes of it. */
export function tellElsewhere(core: Core, origin: Origin, stanza: Element, to: Jid): void {
  try {
    const sent = routeElsewhere(core, origin, stanza, to)
    if (sent !== undefined) unheard(core, sent)
  } catch (error) {
    core.log.debug({ err: error }, 'presence was not sent')
  }
}

const unheard = (core: Core, sent: Promise<void>): void =>
  void sent.catch((error: unknown) => core.log.debug({ err: error }, 'presence was not sent'))

/** §4.5: the client says goodbye, or its connection is gone. */
export function becomeUnavailable(core: Core, session: Session, stanza: Element): void {
  const { account, directed } = session
  const wasAvailable = session.available
  session.presence = undefined
  session.priority = 0
  session.directed = undefined
  account.rank()
  const presence = keptPresence(stanza)
  if (wasAvailable && account.roster !== undefined) {
    broadcast(core, session, stanza, presence, account.roster, false)
    for (const other of account.sessions)
      if (other.available) other.send(presenceHead(session) + other.fullXml + "'" + presence)
  }
  for (const to of directed ?? []) {
    const jid = address(to)
    if (wasAvailable && account.roster?.isSubscriber(jid.bareString)) continue
    if (core.isLocal(jid.domain)) void sendTo(core, session, stanza.with({ to }))
    else tellElsewhere(core, session, stanza.with({ to }), jid)
  }
  if (wasAvailable) core.points.unavailable.tell({ session, stanza })
}

/** Routes a presence of the server's making; what becomes of it is only of interest to the log. */
async function sendTo(core: Core, origin: Origin, stanza: Element): Promise<void> {
  try {
    await route(core, origin, stanza)
  } catch (error) {
    core.log.debug({ err: error }, 'presence was not sent')
  }
}

/** Sends the current presence of all of the account's sessions, or (`goodbye`) takes it back, to one who (un)subscribes. */
export function sendPresenceOf(core: Core, account: OnlineAccount, to: Jid, goodbye = false): void {
  if (!goodbye) core.points.shown.tell({ account, to })
  for (const session of account.sessions) {
    if (!session.available) continue
    const stanza = goodbye ? el('presence', { type: 'unavailable', from: session.full, to: to.bareString }) : undefined
    const online = core.directory.account(to.bareString)
    if (online !== undefined) {
      for (const other of online.sessions) {
        if (!other.available || (to.isFull && other.full !== to.toString())) continue
        if (stanza === undefined) other.send(presenceHead(session) + other.fullXml + "'" + session.presence)
        else other.send(stanza.with({ to: other.full }))
      }
    } else if (!core.isLocal(to.domain)) {
      tellElsewhere(core, session, stanza ?? core.presenceOf(session, to.bareString), to)
    }
  }
}

/** Asks for a contact's presence in the name of all available sessions of an account (§4.3.1). */
export function probeFor(core: Core, account: OnlineAccount, contact: Jid): void {
  for (const session of account.sessions) {
    if (!session.available) continue
    const probe = el('presence', { type: 'probe', from: session.full, to: contact.bareString })
    if (core.isLocal(contact.domain)) void sendTo(core, session, probe)
    else tellElsewhere(core, session, probe, contact)
  }
}

// Presence that arrives (RFC 6121 §8.5)

/** For a resource that is there. */
export function presenceToSession(core: Core, origin: Origin, stanza: Element, session: Session): void | Promise<void> {
  const answer = core.received({ stanza, origin, to: session.jid, account: session.account.account, session })
  if (answer !== undefined) return answer === 'handled' ? undefined : answer
  session.send(stanza)
}

/** For a resource that is not there: nobody is told (§8.5.3.2.2). */
export function presenceUnmatched(_stanza: Element): void {}

/** For an account as a whole (§8.5.2.1.2). */
export function presenceToAccount(
  core: Core,
  origin: Origin,
  stanza: Element,
  to: Jid,
  online: OnlineAccount | undefined,
): void | Promise<void> {
  const type = stanza.get('type')
  if (type === 'probe') return answerProbe(core, origin, stanza, to.bare, online)
  if (isSubscriptionType(type)) return subscriptionToAccount(core, origin, stanza, type, to.bare)
  if (type !== undefined && type !== 'unavailable') return undefined
  if (online === undefined)
    return type !== undefined || core.points.receiving.empty ? undefined : presenceToAbsent(core, origin, stanza, to)
  const answer = core.received({ stanza, origin, to, account: online.account })
  if (answer !== undefined) return answer === 'handled' ? undefined : answer
  announceTo(online, stanza)
}

/** Somebody has come, and nobody is there to see it; yet features may act upon it for the account. */
async function presenceToAbsent(core: Core, origin: Origin, stanza: Element, to: Jid): Promise<void> {
  const account = await core.accounts.byAddress(to.bareString)
  const answer = account && core.received({ stanza, origin, to, account })
  if (answer !== undefined && answer !== 'handled') await answer
}

/** For one of our domains: a host has no presence to give. */
export function presenceToHost(_core: Core, origin: Origin, stanza: Element, to: Jid): void {
  const type = stanza.get('type')
  if (type === 'subscribe' || type === 'probe')
    origin.reply(el('presence', { type: 'unsubscribed', from: to.bareString, to: origin.jid.bareString }))
}

/** §4.3.2: what somebody may know who asks. An account that does not exist answers like one that the asker is not subscribed to. */
async function answerProbe(
  core: Core,
  origin: Origin,
  stanza: Element,
  to: Jid,
  online: OnlineAccount | undefined,
): Promise<void> {
  const asker = origin.jid
  const reply = (type: string): void =>
    origin.reply(el('presence', { type, from: to.bareString, to: asker.toString() }))
  if (online === undefined) {
    const account = await core.accounts.byAddress(to.bareString)
    const answer = account && core.received({ stanza, origin, to, account })
    if (answer !== undefined) return answer === 'handled' ? undefined : answer
    const known = account !== undefined && (await core.maySeePresence(account, asker))
    return reply(known ? 'unavailable' : 'unsubscribed')
  }
  const answer = core.received({ stanza, origin, to, account: online.account })
  if (answer !== undefined) return answer === 'handled' ? undefined : answer
  if (!(await core.maySeePresence(online.account, asker))) return reply('unsubscribed')
  const here = online.sessions.filter((session) => session.available)
  if (here.length === 0) return reply('unavailable')
  const receiver = escapeAttribute(asker.toString())
  for (const session of here) {
    if (origin.session !== undefined) origin.session.send(presenceHead(session) + receiver + "'" + session.presence)
    else origin.reply(core.presenceOf(session, asker.toString()))
  }
}

/** The goodbye of a session whose connection is gone. */
export const goodbye = (session: Session): Element =>
  el('presence', { xmlns: NS.client, type: 'unavailable', from: session.full })
