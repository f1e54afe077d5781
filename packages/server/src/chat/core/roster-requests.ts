// RFC 6121 §2: clients read and change their roster.

import { Attributes, Element, Jid, JidError, NS, StanzaError } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import type { Host, IqRequest, Origin } from './contracts.ts'
import type { Core } from './core.ts'
import { sendPresenceOf } from './presence.ts'
import { rosterStore } from './roster.store.ts'
import type { Session } from './session.ts'
import { asRosterCall, cancelSubscriptions, pushes, rosterVersion } from './subscribing.ts'
import { FROM, PENDING_IN, PENDING_OUT, type SubscriptionType, TO } from './subscriptions.ts'

const MAX_NAME = 1023

/** Rosters belong to the core: without them there is no presence. */
export function registerRoster(host: Host, core: Core): void {
  host.iq.get(NS.roster, 'query', ['self'], (iq) => rosterGet(core, iq))
  host.iq.set(NS.roster, 'query', ['self'], (iq) => rosterSet(core, iq))
}

function sessionOf(iq: IqRequest): Session {
  if (iq.origin.session === undefined) throw StanzaError.of('service-unavailable')
  return iq.origin.session
}

/** §2.1.3, §2.2; with `ver`: §2.6. */
async function rosterGet(core: Core, iq: IqRequest): Promise<Element> {
  const session = sessionOf(iq)
  const account = session.account.account
  const roster = await core.loadRoster(session.account)
  session.interested = true
  const known = iq.payload.get('ver')
  if (known !== undefined) {
    const version = versionNumber(account, known)
    if (version === roster.version) return iq.result()
    const changed =
      version === undefined
        ? undefined
        : await asRosterCall(core.store.account(rosterStore, account.id).since({ version }))
    if (changed !== undefined && changed.length <= roster.items.size / 2) {
      // §2.6.3: an empty result, then the changes one by one.
      iq.after(() => {
        for (const push of pushes(account.id, changed)) session.send(push.head + session.fullXml + push.tail)
      })
      return iq.result()
    }
  }
  const attributes = Attributes.of({ ver: known === undefined ? undefined : rosterVersion(account.id, roster.version) })
  return iq.result(new Element('query', NS.roster, attributes, [], roster.itemsXml()))
}

/** The number in a version of ours; undefined for '' and for any other's. */
function versionNumber(account: Account, version: string): number | undefined {
  const prefix = account.id + '.'
  const digits = version.startsWith(prefix) ? version.slice(prefix.length) : ''
  return /^\d{1,15}$/.test(digits) ? Number(digits) : undefined
}

/** §2.3, §2.4, §2.5. */
async function rosterSet(core: Core, iq: IqRequest): Promise<Element> {
  const session = sessionOf(iq)
  // Loaded, so that the push can go out.
  await core.loadRoster(session.account)
  await changeRoster(core, session.account.account, iq.payload, session)
  return iq.result()
}

/** Does what the query of a roster set asks for, in the name of `origin`. Rejects with the StanzaError that the asker is to be told. */
export async function changeRoster(core: Core, account: Account, query: Element, origin: Origin): Promise<void> {
  const items = query.childrenNamed('item')
  const item = items[0]
  if (item === undefined || items.length > 1 || query.elements.length > 1)
    throw StanzaError.of('bad-request', 'one item at a time')
  const contact = contactOf(item)
  if (contact.bareString === account.address) throw StanzaError.of('not-allowed', 'this is yourself')
  if (item.get('subscription') === 'remove') return remove(core, account, contact, origin)
  const name = item.get('name') ?? ''
  if (Buffer.byteLength(name) > MAX_NAME) throw StanzaError.of('not-acceptable', 'the name is too long')
  const limits = core.limits(account.domain)
  await asRosterCall(
    core.store.account(rosterStore, account.id).set({
      contact: contact.bareString,
      name,
      groups: groupsOf(item, limits['roster-groups']),
      limit: limits['roster-items'],
    }),
  )
}

function contactOf(item: Element): Jid {
  const text = item.get('jid')
  if (text === undefined) throw StanzaError.of('bad-request', 'an item needs a jid')
  try {
    return Jid.parse(text).bare
  } catch (error) {
    if (error instanceof JidError) throw StanzaError.of('jid-malformed', error.message)
    throw error
  }
}

/** §2.3.3 */
function groupsOf(item: Element, limit: number): readonly string[] {
  const groups = item.childrenNamed('group').map((group) => group.text())
  if (new Set(groups).size !== groups.length) throw StanzaError.of('bad-request', 'a group is named twice')
  for (const group of groups) {
    if (group === '') throw StanzaError.of('not-acceptable', 'a group needs a name')
    if (Buffer.byteLength(group) > MAX_NAME) throw StanzaError.of('not-acceptable', 'the name of the group is too long')
  }
  if (groups.length > limit) throw StanzaError.of('not-acceptable', 'too many groups')
  return groups
}

/** §2.5 */
async function remove(core: Core, account: Account, contact: Jid, origin: Origin): Promise<void> {
  const before = await asRosterCall(core.store.account(rosterStore, account.id).remove({ contact: contact.bareString }))
  if (before === undefined) throw StanzaError.of('item-not-found')
  const online = core.directory.account(account.address)
  if (online !== undefined && before & FROM) sendPresenceOf(core, online, contact, true)
  try {
    await cancelSubscriptions(core, origin, Jid.of(account.local, account.domain), contact, cancellations(before))
  } catch (error) {
    // The contact is gone from the roster, whether its server hears of it or not.
    if (!(error instanceof StanzaError)) throw error
  }
}

/** What tells a contact that there is no subscription any more. */
const cancellations = (state: number): SubscriptionType[] => [
  ...(state & (TO | PENDING_OUT) ? (['unsubscribe'] as const) : []),
  ...(state & (FROM | PENDING_IN) ? (['unsubscribed'] as const) : []),
]

/** Tells the contacts of an account that is about to be erased. */
export async function farewell(core: Core, account: Account): Promise<void> {
  const jid = Jid.of(account.local, account.domain)
  const origin: Origin = { jid, reply: () => {} }
  const { rows } = await core.store.account(rosterStore, account.id).load()
  for (const { contact, state } of rows) {
    try {
      await cancelSubscriptions(core, origin, jid, Jid.parse(contact), cancellations(state))
    } catch (error) {
      core.log.debug({ err: error, contact }, 'a contact could not be told that the account is deleted')
    }
  }
}
