// RFC 2342: whose a mailbox is, by its name.

import type { MailAccount } from '../backend.ts'

/** True when the name is in the user's own namespace. */
export function personal({ namespaces }: Pick<MailAccount, 'namespaces'>, name: string): boolean {
  for (const prefix of [namespaces?.others, namespaces?.shared])
    if (prefix !== undefined && (name.startsWith(prefix) || name === prefix.slice(0, -1))) return false
  return true
}

/** The user whose mailbox it is: the account's own, or the level below the prefix of other users. Undefined for shared mailboxes. */
export function ownerOf(account: MailAccount, name: string): string | undefined {
  if (personal(account, name)) return account.name
  const others = account.namespaces?.others
  if (others === undefined || !name.startsWith(others)) return undefined
  const below = name.slice(others.length)
  const end = below.indexOf('/')
  return end < 0 ? below : below.slice(0, end)
}
