// RFC 5465 §6, RFC 7377 §2.2: the sets of mailboxes that NOTIFY and ESEARCH name in the same words.

import type { MailAccount, MailboxEntry } from '../backend.ts'
import { bad } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'
import { parentsOf } from './listing.ts'
import { personal } from './namespaces.ts'

/**
 * Mailboxes that are not meant as the selected one. INBOXES is `personal`: where mail is delivered to is no business of this library, and a server that cannot tell
 * takes the one for the other (RFC 5465 §6.3).
 */
export type MailboxFilter =
  | { readonly kind: 'personal' | 'subscribed' }
  /** These and all below them, or only one level below. */
  | { readonly kind: 'subtree' | 'subtree-one' | 'mailboxes'; readonly names: ReadonlySet<string> }

/** The filter that begins with `word` (in capitals), with the names that belong to it. Undefined when it is none. Throws BAD for a list without names. */
export function parseMailboxFilter(parser: Parser, word: string): MailboxFilter | undefined {
  switch (word) {
    case 'INBOXES':
    case 'PERSONAL':
      return { kind: 'personal' }
    case 'SUBSCRIBED':
      return { kind: 'subscribed' }
    case 'SUBTREE':
    case 'SUBTREE-ONE':
    case 'MAILBOXES': {
      parser.space()
      const names = parser.atList ? parser.list(() => parser.mailbox()) : [parser.mailbox()]
      if (names.length === 0) throw bad(`${word} needs at least one mailbox`)
      const kind = word === 'SUBTREE' ? 'subtree' : word === 'MAILBOXES' ? 'mailboxes' : 'subtree-one'
      return { kind, names: new Set(names) }
    }
    default:
      return undefined
  }
}

/** True when the filter means this mailbox. */
export function filterMeans(
  filter: MailboxFilter,
  account: Pick<MailAccount, 'namespaces'>,
  { name, subscribed }: MailboxEntry,
): boolean {
  switch (filter.kind) {
    case 'personal':
      return personal(account, name)
    case 'subscribed':
      return subscribed
    case 'mailboxes':
      return filter.names.has(name)
    case 'subtree':
      return filter.names.has(name) || parentsOf(name).some((top) => filter.names.has(top))
    case 'subtree-one':
      return filter.names.has(name) || filter.names.has(parentsOf(name).at(-1) ?? '')
  }
}
