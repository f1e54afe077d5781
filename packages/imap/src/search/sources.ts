// RFC 7377 §2.2: the mailboxes that ESEARCH looks into.

import type { MailAccount, MailboxEntry } from '../backend.ts'
import { filterMeans, type MailboxFilter, parseMailboxFilter } from '../server/mailbox-filter.ts'
import { allows } from '../server/rights.ts'
import { bad } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'

export type Source = { readonly kind: 'selected' } | MailboxFilter

const SELECTED: readonly Source[] = [{ kind: 'selected' }]

/** `IN (...)` and the space behind it. Where it is missing, the selected mailbox is meant. */
export function parseSources(parser: Parser): readonly Source[] {
  if (!parser.tryWord('IN')) return SELECTED
  parser.space()
  const sources = parser.list(() => parseSource(parser))
  if (sources.length === 0) throw bad('IN (...) names no mailboxes')
  if (sources.length > parser.limits.mailboxNames)
    throw bad(`IN (...) takes at most ${parser.limits.mailboxNames} places to look in`, 'LIMIT')
  parser.space()
  return sources
}

function parseSource(parser: Parser): Source {
  const word = parser.word()
  if (word === 'SELECTED') return { kind: 'selected' }
  const filter = parseMailboxFilter(parser, word)
  if (filter === undefined) throw bad(`ESEARCH cannot look into ${word.slice(0, 40).toLowerCase()}`)
  if ('names' in filter && filter.names.size > parser.limits.mailboxNames)
    throw bad(`A list has at most ${parser.limits.mailboxNames} mailboxes`, 'LIMIT')
  return filter
}

/** The mailboxes that the sources name, `selected` apart: each once, by name. What does not exist or may not be read is passed over (RFC 7377 §2.2). */
export function mailboxesOf(
  sources: readonly Source[],
  entries: readonly MailboxEntry[],
  account: Pick<MailAccount, 'namespaces'>,
): MailboxEntry[] {
  return entries.filter(
    (entry) =>
      entry.selectable &&
      allows(entry.rights, 'r') &&
      sources.some((source) => source.kind !== 'selected' && filterMeans(source, account, entry)),
  )
}
