// RFC 5465 NOTIFY: what the server tells without being asked. It comes as events.

import type { SessionCore } from '../core.ts'
import { ImapClientError } from '../errors.ts'
import { fetchItems, type FetchQuery } from '../fetch-query.ts'
import type { CommandPart } from '../request.ts'
import type { StatusResponse } from '../response/types.ts'
import { asStatus, type MailboxStatus } from './list.ts'

/** What can be told of (RFC 5465 §5). Of messages: `MessageNew` and `MessageExpunge` go together, `FlagChange` needs both. */
export type NotifyEvent =
  | 'MessageNew'
  | 'MessageExpunge'
  | 'FlagChange'
  | 'AnnotationChange'
  | 'MailboxName'
  | 'SubscriptionChange'
  | 'MailboxMetadataChange'
  | 'ServerMetadataChange'

/** Of which mailboxes, and what. Groups that mean the same mailbox add up. */
export interface NotifyGroup {
  readonly mailboxes:
    | 'selected'
    /** As `selected`, but messages that are gone are told only where sequence numbers allow it. */
    | 'selected-delayed'
    | 'inboxes'
    | 'personal'
    | 'subscribed'
    /** These and all below them. */
    | { readonly subtree: readonly string[] }
    | { readonly names: readonly string[] }
  /** None: nothing is told of these. */
  readonly events: readonly NotifyEvent[]
  /** What is told of a new message in the selected mailbox (`message` events). Default: that it is there. */
  readonly fetch?: FetchQuery
}

/** How NOTIFY begins. */
export interface NotifyOptions {
  /** Also tell the counts of the mailboxes as they are now. */
  readonly status?: boolean
  readonly signal?: AbortSignal
}

function filter(core: SessionCore, { mailboxes }: NotifyGroup): CommandPart[] {
  if (typeof mailboxes === 'string') return [mailboxes.toUpperCase()]
  const [word, names] =
    'subtree' in mailboxes ? (['SUBTREE', mailboxes.subtree] as const) : (['MAILBOXES', mailboxes.names] as const)
  if (names.length === 0) throw new ImapClientError('UNSUPPORTED', 'A group of NOTIFY names at least one mailbox')
  return [`${word} (`, ...names.flatMap((name, i) => [i === 0 ? '' : ' ', core.mailbox(name)]), ')']
}

function wanted(core: SessionCore, { events, fetch }: NotifyGroup): string {
  if (events.length === 0) return 'NONE'
  const items = fetch === undefined ? undefined : fetchItems(fetch, core.capabilities).text
  const told = items === undefined ? '' : items.startsWith('(') ? ` ${items}` : ` (${items})`
  return `(${events.map((event) => (event === 'MessageNew' ? event + told : event)).join(' ')})`
}

/** Without groups, nothing is told from here on. With `status`: the counts, by name. Rejects with `ImapClientError`; `code` BADEVENT names the events there are. */
export async function notify(
  core: SessionCore,
  groups: readonly NotifyGroup[],
  { status = false, signal }: NotifyOptions,
): Promise<ReadonlyMap<string, MailboxStatus>> {
  core.need('NOTIFY', 'tell of changes unasked')
  const parts: CommandPart[] =
    groups.length === 0
      ? ['NOTIFY NONE']
      : [
          `NOTIFY SET${status ? ' STATUS' : ''}`,
          ...groups.flatMap((group) => [' (', ...filter(core, group), ` ${wanted(core, group)})`]),
        ]
  const notified = groups.some(({ fetch }) => fetch !== undefined)
  const ended = ({ status }: StatusResponse): void => {
    if (status === 'OK') core.notified = notified
  }
  const { results } = await core.collect(
    { name: 'NOTIFY', parts, ended },
    (response) => (status && response.kind === 'mailbox-status' ? response : undefined),
    signal,
  )
  return new Map(results.map((response) => [response.name, asStatus(response)]))
}
