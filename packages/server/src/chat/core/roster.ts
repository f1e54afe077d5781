// RFC 6121 §2: an account's roster in memory, shared by its sessions, and its items as XML text.

import { escapeAttribute, escapeText } from '@aviso/xmpp'
import { sharedText } from '../../kernel/shared-text.ts'
import type { LoadedRoster, RosterChange, RosterRow } from './roster-rows.ts'
import { APPROVED, FROM, LISTED, PENDING_IN, PENDING_OUT, subscriptionName } from './subscriptions.ts'

/** What is known of one contact. */
export interface RosterItem {
  readonly name: string
  readonly groups: readonly string[]
  readonly state: number
}

/** The same as it is kept: state, name and groups in one text, which takes a third of the memory of objects. There are fifty of them to a session. */
export type PackedItem = string

/** In no XML text. */
const SEPARATOR = '\0'

const pack = ({ name, groups, state }: RosterItem): PackedItem =>
  [String.fromCharCode(state), name, ...groups].join(SEPARATOR)

export function unpacked(item: PackedItem): RosterItem {
  const [, name = '', ...groups] = item.split(SEPARATOR)
  return { name, groups, state: stateOf(item) }
}

/** The subscription state. */
export const stateOf = (item: PackedItem): number => item.charCodeAt(0)

export class Roster {
  readonly #items = new Map<string, PackedItem>()
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
  get items(): ReadonlyMap<string, PackedItem> {
    return this.#items
  }

  item(contact: string): RosterItem | undefined {
    const item = this.#items.get(contact)
    return item === undefined ? undefined : unpacked(item)
  }

  /** The subscription state of a contact; 0 for a stranger. */
  state(contact: string): number {
    const item = this.#items.get(contact)
    return item === undefined ? 0 : stateOf(item)
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
    for (const [contact, item] of this.#items) if (stateOf(item) & LISTED) xml += itemXml(contact, unpacked(item))
    return xml
  }

  #put({ contact, name, groups, state }: RosterRow): void {
    if (this.state(contact) & PENDING_IN) this.#requests--
    if (state & PENDING_IN) this.#requests++
    if (state === 0) this.#items.delete(contact)
    else this.#items.set(sharedText(contact), sharedText(pack({ name, groups, state })))
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
