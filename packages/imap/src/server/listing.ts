// The names that a user may know of, as one tree: RFC 9051 §6.3.9, RFC 4314 §4 (LIST).

import { BackendError, type MailAccount, type MailboxEntry } from '../backend.ts'
import { allows, reveals } from './rights.ts'

/** `a/b/c` → `a`, `a/b`. */
export function parentsOf(name: string): string[] {
  const out: string[] = []
  for (let at = name.indexOf('/'); at > 0; at = name.indexOf('/', at + 1)) out.push(name.slice(0, at))
  return out
}

/** What one user may see of the names, at one moment. */
export class Listing {
  /** In the order of the store; levels of the hierarchy that exist only as such are among them. */
  readonly entries: readonly MailboxEntry[]
  /** Names that something existing stands below. */
  readonly #parents = new Set<string>()
  readonly #names = new Map<string, MailboxEntry>()

  /** `all`: what the store answers. */
  constructor(all: readonly MailboxEntry[]) {
    let hidden = false
    for (const entry of all) {
      if (entry.selectable && !allows(entry.rights, 'l')) {
        hidden = true
        // Its name may still be a subscription, or a level of the hierarchy.
        if (entry.subscribed) this.#names.set(entry.name, phantom(entry.name, true))
        continue
      }
      this.#names.set(entry.name, entry)
      if (entry.selectable) for (const parent of parentsOf(entry.name)) this.#parents.add(parent)
    }
    let missing = 0
    for (const parent of this.#parents) {
      if (this.#names.has(parent)) continue
      this.#names.set(parent, phantom(parent, false))
      missing++
    }
    const names = [...this.#names.values()]
    if (hidden || missing > 0) names.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    // A level whose mailboxes this user may not see is no level to them.
    this.entries = hidden ? names.filter((entry) => this.exists(entry) || entry.subscribed) : names
  }

  find(name: string): MailboxEntry | undefined {
    return this.#names.get(name)
  }

  hasChildren(name: string): boolean {
    return this.#parents.has(name)
  }

  /** It is a mailbox, or a level above one. */
  exists(entry: MailboxEntry): boolean {
    return entry.selectable || this.#parents.has(entry.name)
  }

  /** The attributes every LIST response carries. `extended`: the client knows \NonExistent (RFC 5258 §3). */
  attributes(entry: MailboxEntry, extended: boolean): string[] {
    const attributes: string[] = []
    if (!entry.selectable) attributes.push(extended ? '\\NonExistent' : '\\Noselect')
    else if (!allows(entry.rights, 'r')) attributes.push('\\Noselect')
    attributes.push(this.hasChildren(entry.name) ? '\\HasChildren' : '\\HasNoChildren')
    return attributes
  }
}

const phantom = (name: string, subscribed: boolean): MailboxEntry => ({
  id: '',
  name,
  role: undefined,
  subscribed,
  selectable: false,
})

/** RFC 6154 §2: the attribute's name without the backslash. */
export const specialUse = (entry: MailboxEntry): string | undefined => (entry.role === 'Inbox' ? undefined : entry.role)

/** An existing mailbox that this user may know of. Throws NONEXISTENT, which tells nothing about whether there is one (RFC 4314 §6). */
export async function knownMailbox(account: MailAccount, name: string): Promise<MailboxEntry> {
  const found = (await account.list()).find((entry) => entry.name === name)
  if (found === undefined || !found.selectable || !reveals(found.rights))
    throw new BackendError('NONEXISTENT', 'There is no such mailbox')
  return found
}
