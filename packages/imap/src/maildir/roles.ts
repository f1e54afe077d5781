// Roles of mailboxes (RFC 6154). A Maildir knows none: `aviso-role` in a folder says what CREATE asked for, and where nothing is said, common names do.

import { type MailboxRole, ROLES } from '../backend.ts'

export const ROLE_FILE = 'aviso-role'

/** What mail programs call them, the usual first. */
const NAMES: ReadonlyMap<MailboxRole, readonly string[]> = new Map([
  ['Sent', ['Sent', 'Sent Items', 'Sent Messages', 'INBOX/Sent']],
  ['Drafts', ['Drafts', 'INBOX/Drafts']],
  ['Trash', ['Trash', 'Deleted Items', 'Deleted Messages', 'INBOX/Trash']],
  ['Junk', ['Junk', 'Spam', 'Junk E-mail', 'INBOX/Junk', 'INBOX/Spam']],
  ['Archive', ['Archive', 'Archives', 'INBOX/Archive']],
])

export const parseRole = (text: string | undefined): MailboxRole | undefined =>
  ROLES.find((role) => role === text?.trim())

export const formatRole = (role: MailboxRole): string => `${role}\n`

/** Roles by mailbox name: each role once. */
export function defaultRoles(
  names: readonly string[],
  explicit: ReadonlyMap<string, MailboxRole>,
): ReadonlyMap<string, MailboxRole> {
  const roles = new Map<string, MailboxRole>([['INBOX', 'Inbox']])
  const taken = new Set<MailboxRole>()
  for (const [name, role] of explicit) {
    if (taken.has(role) || name === 'INBOX') continue
    roles.set(name, role)
    taken.add(role)
  }
  for (const [role, candidates] of NAMES) {
    const name = candidates.find((one) => names.includes(one) && !roles.has(one))
    if (!taken.has(role) && name !== undefined) roles.set(name, role)
  }
  return roles
}
