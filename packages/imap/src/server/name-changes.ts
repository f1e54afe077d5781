// RFC 5465 §5.4, §5.5: what happened to the list of mailboxes, as LIST responses.

import type { MailboxEntry } from '../backend.ts'
import { type Listing, parentsOf, specialUse } from './listing.ts'
import { allows } from './rights.ts'

/** One LIST response to come. */
export interface NameChange {
  readonly kind: 'name' | 'subscription' | 'access'
  readonly entry: MailboxEntry
  /** The mailbox is gone, or this user may no longer know of it. */
  readonly gone: boolean
  /** The user may know of the mailbox, but not read it: nothing of it is told from here on. */
  readonly noAccess: boolean
  readonly oldName: string | undefined
}

/**
 * The differences between two listings, in the order of the names they concern. All events take the rights `l` and `r` (RFC 5465 §5): of a mailbox that this user
 * may know of and not read, only the loss of `r` is told, and its return.
 */
export function nameChanges(before: Listing, after: Listing): NameChange[] {
  const changes = new Map<string, NameChange>()
  const add = (kind: NameChange['kind'], entry: MailboxEntry, more: Partial<NameChange> = {}): void => {
    changes.set(entry.name, { kind, entry, gone: false, noAccess: false, oldName: undefined, ...more })
  }
  const parent = (name: string): void => {
    const above = after.find(parentsOf(name).at(-1) ?? '')
    if (above !== undefined && readable(above) && !changes.has(above.name)) add('name', above)
  }
  const old = new Map<string, MailboxEntry>()
  for (const entry of before.entries) if (entry.id !== '') old.set(entry.id, entry)
  for (const entry of after.entries) {
    if (entry.id === '') continue
    const earlier = old.get(entry.id)
    old.delete(entry.id)
    const now = readable(entry)
    const oldName = earlier === undefined || earlier.name === entry.name ? undefined : earlier.name
    if (earlier === undefined) {
      if (!now) continue
      add('name', entry)
      parent(entry.name)
    } else if (readable(earlier) !== now) {
      add('access', entry, { noAccess: !now, oldName })
    } else if (now && oldName !== undefined && !movedWithParent(before, after, oldName, entry.name)) {
      add('name', entry, { oldName })
    }
  }
  for (const entry of old.values()) {
    if (!readable(entry)) continue
    // Another mailbox of that name is there already: that is told.
    if (after.find(entry.name)?.selectable === true) continue
    add('name', after.find(entry.name) ?? { ...entry, id: '', selectable: false, subscribed: false, role: undefined }, {
      gone: true,
    })
    parent(entry.name)
  }
  for (const entry of new Set([...before.entries, ...after.entries])) {
    const earlier = before.find(entry.name)?.subscribed ?? false
    const now = after.find(entry.name)
    if ((now?.subscribed ?? false) === earlier || changes.has(entry.name) || !readable(now ?? entry)) continue
    add('subscription', now ?? { ...entry, id: '', selectable: false, subscribed: false, role: undefined })
  }
  return [...changes.values()].sort((a, b) => (a.entry.name < b.entry.name ? -1 : 1))
}

const readable = ({ rights }: MailboxEntry): boolean => allows(rights, 'r')

/** A child went where its parent went: no news of its own (RFC 5465 §5.4). */
function movedWithParent(before: Listing, after: Listing, from: string, to: string): boolean {
  const levels = from.split('/')
  const target = to.split('/')
  if (levels.length < 2 || target.length < 2 || levels.pop() !== target.pop()) return false
  const oldParent = before.find(levels.join('/'))
  const newParent = after.find(target.join('/'))
  if (oldParent === undefined || newParent === undefined) return false
  return oldParent.id !== '' && oldParent.id === newParent.id
}

/** The attributes of the LIST response for a change: accurate, \Subscribed too. */
export function changeAttributes(listing: Listing, change: NameChange): string[] {
  const { entry, gone, noAccess } = change
  const attributes = listing.attributes(entry, true)
  if (gone && !attributes.includes('\\NonExistent')) attributes.unshift('\\NonExistent')
  if (noAccess) attributes.unshift('\\NoAccess')
  if (entry.subscribed) attributes.push('\\Subscribed')
  const use = specialUse(entry)
  if (use !== undefined) attributes.push(`\\${use}`)
  return attributes
}
