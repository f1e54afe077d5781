// RFC 6121 §2: an account's roster in memory, shared by its sessions, and its items as XML text.

import { escapeAttribute, escapeText } from '@aviso/xmpp'
import type { LoadedRoster, RosterChange, RosterRow } from './roster.store.ts'
import { APPROVED, FROM, LISTED, PENDING_IN, PENDING_OUT, subscriptionName } from './subscriptions.ts'

const NO_GROUPS: readonly string[] = Object.freeze([])

/** What is known of one contact. Small: there are fifty of them to a session. */
export interface RosterItem {
  readonly name: string
  readonly groups: readonly string[]
  readonly state: number
}

export class Roster {
  readonly #items = new Map<string, RosterItem>()
  #version: number
  #requests = 0

  constructor({ version, rows }: LoadedRoster) {
    this.#version = version
    for (const row of rows) this.#put(row)
  }

  get version(): number {
    return this.#version
  }

  /** How many requests wait for the user's answer. */
  get requests(): number {
    return this.#requests
  }

  /** All contacts by bare JID, those that are not listed too. */
  get items(): ReadonlyMap<string, RosterItem> {
    return this.#items
  }

  /** The subscription state of a contact; 0 for a stranger. */
  state(contact: string): number {
    return this.#items.get(contact)?.state ?? 0
  }

  /** True when the contact may see the account's presence. */
  isSubscriber(contact: string): boolean {
    return (this.state(contact) & FROM) !== 0
  }

  /** Takes over what was committed. */
  apply({ version, rows }: RosterChange): void {
    if (version <= this.#version) return
    this.#version = version
    for (const row of rows) this.#put(row)
  }

  /** The items that clients see, as XML text. */
  itemsXml(): string {
    let xml = ''
    for (const [contact, item] of this.#items) if (item.state & LISTED) xml += itemXml(contact, item)
    return xml
  }

  #put({ contact, name, groups, state }: RosterRow): void {
    const before = this.#items.get(contact)
    if ((before?.state ?? 0) & PENDING_IN) this.#requests--
    if (state & PENDING_IN) this.#requests++
    if (state === 0) this.#items.delete(contact)
    else this.#items.set(contact, { name, groups: groups.length === 0 ? NO_GROUPS : groups, state })
  }
}

/** One roster item (RFC 6121 §2.1.2); state 0 is an item that was removed. */
export function itemXml(contact: string, { name, groups, state }: RosterItem): string {
  const jid = escapeAttribute(contact)
  if (state === 0) return `<item jid='${jid}' subscription='remove'/>`
  let xml = `<item jid='${jid}' subscription='${subscriptionName(state)}'`
  if (name !== '') xml += ` name='${escapeAttribute(name)}'`
  if (state & PENDING_OUT) xml += ` ask='subscribe'`
  if (state & APPROVED) xml += ` approved='true'`
  if (groups.length === 0) return xml + '/>'
  xml += '>'
  for (const group of groups) xml += `<group>${escapeText(group)}</group>`
  return xml + '</item>'
}
