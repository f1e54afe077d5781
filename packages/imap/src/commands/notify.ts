// RFC 5465 NOTIFY

import type { MailAccount } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { type MailboxFilter, parseMailboxFilter } from '../server/mailbox-filter.ts'
import type { MailboxEvents, NotifyRequest, SelectedEvents } from '../server/notify-request.ts'
import { bad, no } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'
import { type FetchItem, parseFetchItems } from './fetch-items.ts'

const MESSAGE_EVENTS = ['MessageNew', 'MessageExpunge', 'FlagChange']
const OTHER_EVENTS = ['MailboxName', 'SubscriptionChange']
const METADATA_EVENTS = ['MailboxMetadataChange', 'ServerMetadataChange']
const EVENTS = [...MESSAGE_EVENTS, ...OTHER_EVENTS, ...METADATA_EVENTS]

type Arguments =
  { readonly kind: 'none' } | { readonly kind: 'set'; readonly status: boolean; readonly groups: readonly Group[] }

/** One group as it stands in the command. */
interface Group {
  readonly filter: MailboxFilter | 'selected' | 'selected-delayed'
  /** Events that we know, in our spelling. */
  readonly events: ReadonlySet<string>
  /** There are others. */
  readonly unknown: boolean
  readonly fetch: readonly FetchItem[]
}

function parse(parser: Parser): Arguments {
  const { limits } = parser
  parser.space()
  const form = parser.word()
  if (form === 'NONE') return { kind: 'none' }
  if (form !== 'SET') throw bad('NOTIFY is followed by SET or NONE')
  parser.space()
  const status = parser.tryWord('STATUS')
  if (status) parser.space()
  const groups: Group[] = []
  do {
    if (groups.length === limits.notifyGroups)
      throw no(`NOTIFY takes ${limits.notifyGroups} groups at most`, 'NOTIFICATIONOVERFLOW')
    groups.push(parseGroup(parser))
  } while (parser.trySpace())
  let names = 0
  for (const { filter } of groups) if (typeof filter === 'object' && 'names' in filter) names += filter.names.size
  if (names > limits.mailboxNames)
    throw no(`NOTIFY names ${limits.mailboxNames} mailboxes at most`, 'NOTIFICATIONOVERFLOW')
  return { kind: 'set', status, groups }
}

function parseGroup(parser: Parser): Group {
  parser.char('(')
  const filter = parseFilter(parser)
  parser.space()
  const events = new Set<string>()
  let fetch: readonly FetchItem[] = []
  let unknown = false
  if (!parser.tryWord('NONE')) {
    parser.char('(')
    let more: boolean
    do {
      const given = parser.word()
      const event = EVENTS.find((known) => known.toUpperCase() === given)
      if (event === undefined) unknown = true
      else events.add(event)
      more = parser.trySpace()
      // Only MessageNew takes an argument: what is to be told of the new message.
      if (!more || event !== 'MessageNew' || !parser.atList) continue
      if (typeof filter === 'object') throw bad('Only of the selected mailbox can MessageNew tell more')
      fetch = parseFetchItems(parser)
      more = parser.trySpace()
    } while (more)
    parser.char(')')
  }
  parser.char(')')
  return { filter, events, unknown, fetch }
}

function parseFilter(parser: Parser): Group['filter'] {
  const word = parser.word()
  switch (word) {
    case 'SELECTED':
      return 'selected'
    case 'SELECTED-DELAYED':
      return 'selected-delayed'
    default: {
      // SUBTREE-ONE is a word of ESEARCH alone (RFC 7377 §2.2).
      const filter = word === 'SUBTREE-ONE' ? undefined : parseMailboxFilter(parser, word)
      if (filter === undefined) throw bad(`NOTIFY does not know the mailboxes ${word.slice(0, 40)}`)
      return filter
    }
  }
}

/** Throws NO BADEVENT with the events that this account can tell of (RFC 5465 §3.1), BAD where events do not go together (§5). */
function requested(account: MailAccount, groups: readonly Group[]): NotifyRequest {
  const known = account.metadata === undefined ? [...MESSAGE_EVENTS, ...OTHER_EVENTS] : EVENTS
  if (groups.some(({ unknown, events }) => unknown || [...events].some((event) => !known.includes(event))))
    throw no('There is no such event here', `BADEVENT (${known.join(' ')})`)
  let selected: SelectedEvents | undefined
  let selections = 0
  let serverMetadata = false
  const others: { filter: MailboxFilter; events: MailboxEvents }[] = []
  for (const { filter, events, fetch } of groups) {
    const messages = events.has('MessageNew')
    const flags = events.has('FlagChange')
    if (messages !== events.has('MessageExpunge')) throw bad('MessageNew and MessageExpunge go together')
    if (flags && !messages) throw bad('FlagChange needs MessageNew and MessageExpunge beside it')
    if (typeof filter === 'object') {
      others.push({
        filter,
        events: {
          messages,
          flags,
          names: events.has('MailboxName'),
          subscriptions: events.has('SubscriptionChange'),
          metadata: events.has('MailboxMetadataChange'),
        },
      })
      serverMetadata ||= events.has('ServerMetadataChange')
      continue
    }
    if (++selections > 1) throw bad('The selected mailbox can be named only once')
    if ([...events].some((event) => !MESSAGE_EVENTS.includes(event)))
      throw bad('Of the selected mailbox only events of messages can be told')
    if (messages) selected = { delayed: filter === 'selected-delayed', flags, fetch }
  }
  return { groups: others, selected, serverMetadata }
}

export const notify = defineCommand({
  name: 'NOTIFY',
  state: 'authenticated',
  parse,
  async execute(session, args) {
    if (args.kind === 'none') {
      session.notifications.none()
      return
    }
    const request = requested(session.account, args.groups)
    // RFC 5465 §3.1: NOTIFY SET is a NOOP too, whatever was asked for before and is now.
    await session.tellSelected(true, true)
    await session.notifications.set(request, args.status)
  },
})
