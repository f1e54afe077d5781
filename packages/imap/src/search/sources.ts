// RFC 7377 §2.2 (RFC 5465 §6): the mailboxes that ESEARCH looks into.

import type { MailAccount, MailboxEntry } from '../backend.ts'
import { bad } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'

export type Source =
  | { readonly kind: 'selected' | 'inboxes' | 'personal' | 'subscribed' }
  | { readonly kind: 'subtree' | 'subtree-one' | 'mailboxes'; readonly names: readonly string[] }

const SELECTED: readonly Source[] = [{ kind: 'selected' }]
const MOST = 1000

/** `IN (...)` and the space behind it. Where it is missing, the selected mailbox is meant. */
export function parseSources(parser: Parser): readonly Source[] {
  if (!parser.tryWord('IN')) return SELECTED
  parser.space()
  const sources = parser.list(() => parseSource(parser))
  if (sources.length === 0) throw bad('IN (...) names no mailboxes')
  if (sources.length > MOST) throw bad(`IN (...) takes at most ${MOST} places to look in`, 'LIMIT')
  parser.space()
  return sources
}

function parseSource(parser: Parser): Source {
  const kind = parser.word().toLowerCase()
  switch (kind) {
    case 'selected':
    case 'inboxes':
    case 'personal':
    case 'subscribed':
      return { kind }
    case 'subtree':
    case 'subtree-one':
    case 'mailboxes': {
      parser.space()
      const names = parser.atList ? parser.list(() => parser.mailbox()) : [parser.mailbox()]
      if (names.length === 0) throw bad('A list of mailboxes is empty')
      if (names.length > MOST) throw bad(`A list has at most ${MOST} mailboxes`, 'LIMIT')
      return { kind, names }
    }
    default:
      throw bad(`ESEARCH cannot look into ${kind.slice(0, 40)}`)
  }
}

/** The mailboxes that the sources name, `selected` apart: each once, by name. What does not exist or may not be read is passed over (RFC 7377 §2.2). */
export function mailboxesOf(
  sources: readonly Source[],
  entries: readonly MailboxEntry[],
  { others, shared }: NonNullable<MailAccount['namespaces']>,
): MailboxEntry[] {
  const foreign = [others, shared].filter((prefix) => prefix !== undefined)
  return entries.filter(
    (entry) =>
      entry.selectable &&
      (entry.rights === undefined || entry.rights.includes('r')) &&
      sources.some((source) => {
        switch (source.kind) {
          case 'selected':
            return false
          case 'inboxes':
            return entry.role === 'Inbox'
          case 'personal':
            return !foreign.some((prefix) => entry.name.startsWith(prefix))
          case 'subscribed':
            return entry.subscribed
          case 'mailboxes':
            return source.names.includes(entry.name)
          default:
            return source.names.some((name) => isBelow(entry.name, name, source.kind === 'subtree-one'))
        }
      }),
  )
}

/** The mailbox itself, or one below it: at most one level where `near`. */
function isBelow(name: string, top: string, near: boolean): boolean {
  if (name === top) return true
  return name.startsWith(`${top}/`) && (!near || !name.slice(top.length + 1).includes('/'))
}
