// RFC 6121 §3: subscription stanzas between the user, the two rosters, and the contact. The rules themselves are in subscriptions.ts.

import { el, type Element, type Jid, NS, StanzaError } from '@aviso/xmpp'
import { StoreError } from '../../store/contracts.ts'
import type { Origin } from './contracts.ts'
import type { Core } from './core.ts'
import type { OnlineAccount } from './directory.ts'
import { sendPresenceOf } from './presence.ts'
import type { RosterChange, VersionedRow } from './roster-rows.ts'
import { rosterStore } from './roster.store.ts'
import { itemXml } from './roster.ts'
import { routeElsewhere } from './router.ts'
import { Sent } from './sent.ts'
import type { Session } from './session.ts'
import { FROM, type SubscriptionType } from './subscriptions.ts'

/** A stored request is shown again at each login: a big one loses its extras. */
const MAX_REQUEST = 8192

/** Gives a stanza to all of the account's available sessions. */
export function announceTo(account: OnlineAccount, stanza: Element | string): void {
  for (const session of account.sessions) if (session.available) session.send(stanza)
}

/** Tells an account's sessions what was committed: the stanza that caused it, then the roster push (§3.1.6). */
export function rosterChanged(account: OnlineAccount, change: RosterChange): void {
  const { presence } = change
  if (presence !== undefined) {
    // Requests go to available resources, the rest to interested ones (§2.2).
    for (const session of account.sessions)
      if (presence.type === 'subscribe' ? session.available : session.interested) session.send(presence.xml)
  }
  const rows = change.rows.filter((row) => change.pushed.includes(row.contact))
  for (const push of pushes(
    account.account.id,
    rows.map((row) => ({ ...row, version: change.version })),
  ))
    for (const session of account.sessions)
      if (session.interested) session.send(push.head + session.fullXml + push.tail)
}

/**
 * Roster pushes (§2.1.6) for rows in the order of their versions, but for the session's address. A push names only a version of which everything was sent:
 * a client that is cut off in the middle gets the rest next time.
 */
export function pushes(
  accountId: string,
  rows: readonly VersionedRow[],
): readonly { readonly head: string; readonly tail: string }[] {
  return rows.map((row, index) => {
    const next = rows[index + 1]
    const version = next === undefined ? row.version : Math.min(row.version, next.version - 1)
    return {
      head: `<iq type='set' id='roster-${row.version}-${index}' to='`,
      tail: `'><query xmlns='${NS.roster}' ver='${rosterVersion(accountId, version)}'>${itemXml(row.contact, row)}</query></iq>`,
    }
  })
}

/** A roster's version as clients see it: an account that was deleted and made anew does not take up where the old one left. */
export const rosterVersion = (accountId: string, version: number): string => `${accountId}.${version}`

/** A client of ours sends a subscription stanza (§3.1.2, §3.1.5, §3.2.2, §3.3.2, §3.4). */
export async function subscriptionFromSession(
  core: Core,
  session: Session,
  stanza: Element,
  type: SubscriptionType,
  to: Jid,
): Promise<void> {
  const contact = to.bare
  const { account } = session
  if (contact.bareString === account.bare) throw StanzaError.of('not-allowed', 'this is yourself')
  const stamped = stanza.with({ from: account.bare, to: contact.bareString })
  if (!core.points.sending.empty) {
    const answer = core.points.sending.ask(new Sent(stamped, session, core.directory))
    if (answer !== undefined) return answer === 'handled' ? undefined : answer
  }
  const { before, route } = await asRosterCall(
    core.store.account(rosterStore, account.account.id).outbound({
      contact: contact.bareString,
      type,
      limit: core.limits(account.account.domain)['roster-items'],
    }),
  )
  if (!route) return
  // The goodbye goes first, while the contact may still see it (§3.2.2).
  if (type === 'unsubscribed' && before & FROM) sendPresenceOf(core, account, contact, true)
  await deliver(core, session, stamped, type, contact)
  if (type === 'subscribed') sendPresenceOf(core, account, contact)
}

/** Undoes both directions of a subscription with a contact that was removed from the roster (§2.5.2). */
export async function cancelSubscriptions(
  core: Core,
  origin: Origin,
  from: Jid,
  contact: Jid,
  types: readonly SubscriptionType[],
): Promise<void> {
  for (const type of types) {
    const stanza = el('presence', { type, from: from.bareString, to: contact.bareString })
    await deliver(core, origin, stanza, type, contact)
  }
}

/** To the contact's account here, or to its server. */
async function deliver(
  core: Core,
  origin: Origin,
  stanza: Element,
  type: SubscriptionType,
  contact: Jid,
): Promise<void> {
  if (!core.isLocal(contact.domain)) return routeElsewhere(core, origin, stanza, contact)
  if (contact.local !== '') return subscriptionToAccount(core, origin, stanza, type, contact)
  if (type === 'subscribe')
    origin.reply(el('presence', { type: 'unsubscribed', from: contact.domain, to: origin.jid.bareString }))
}

/** A subscription stanza for one of our accounts; `to` is bare, `from` is stamped. An account that does not exist says nothing (§8.5.1). */
export async function subscriptionToAccount(
  core: Core,
  origin: Origin,
  stanza: Element,
  type: SubscriptionType,
  to: Jid,
): Promise<void> {
  const user = origin.jid.bare
  const account = core.directory.account(to.bareString)?.account ?? (await core.accounts.byAddress(to.bareString))
  if (account === undefined) return
  const stamped = stanza.with({ from: user.bareString, to: to.bareString })
  const answer = core.received({ stanza: stamped, origin, to, account })
  if (answer !== undefined) return answer === 'handled' ? undefined : answer
  let xml = stamped.toString(NS.client)
  if (xml.length > MAX_REQUEST) xml = stamped.withChildren().toString(NS.client)
  let result
  try {
    result = await core.store.account(rosterStore, account.id).inbound({
      contact: user.bareString,
      type,
      xml,
      limit: core.limits(account.domain)['roster-items'],
    })
  } catch (error) {
    // Too many strangers wait already: this one is not told more than any other.
    if (error instanceof StoreError && error.code === 'full') return
    throw asStanzaError(error)
  }
  const online = core.directory.account(to.bareString)
  if (result.reply !== undefined) await answerFor(core, to, user, result.reply)
  if (online === undefined) return
  if (result.reply !== undefined) sendPresenceOf(core, online, user)
  if (type === 'unsubscribe' && result.before & FROM) sendPresenceOf(core, online, user, true)
}

/** Sends a subscription stanza in the name of an account of ours (§3.1.3: automatic answers). */
async function answerFor(core: Core, from: Jid, to: Jid, type: SubscriptionType): Promise<void> {
  const stanza = el('presence', { type, from: from.bareString, to: to.bareString })
  const origin: Origin = { jid: from, reply: () => {} }
  await deliver(core, origin, stanza, type, to)
}

/** What a roster operation's failure means to the client. */
export async function asRosterCall<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (error instanceof StoreError && error.code === 'full')
      throw StanzaError.of('resource-constraint', 'your roster is full')
    if (error instanceof StoreError && error.code === 'shared') throw StanzaError.of('not-allowed', error.message)
    throw asStanzaError(error)
  }
}

/** A store that cannot be had now means: try again later. */
export function asStanzaError(error: unknown): unknown {
  if (error instanceof StoreError && (error.code === 'unavailable' || error.code === 'disk-full'))
    return StanzaError.of('resource-constraint', 'try again later', { cause: error })
  return error
}
