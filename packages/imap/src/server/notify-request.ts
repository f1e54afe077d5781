// RFC 5465 §3, §6: what a client wants to be told of, and of which mailboxes.

import type { MailAccount, MailboxEntry } from '../backend.ts'
import type { FetchItem } from '../commands/fetch-items.ts'
import { parentsOf } from './listing.ts'
import { personal } from './namespaces.ts'

/** Which mailboxes a group of events is about. `inboxes` is `personal`: where mail is delivered to is no business of this library (RFC 5465 §6.3). */
export type MailboxFilter =
  | { readonly kind: 'personal' | 'subscribed' }
  | { readonly kind: 'subtree' | 'mailboxes'; readonly names: ReadonlySet<string> }

/** Events of mailboxes that are not selected. */
export interface MailboxEvents {
  /** MessageNew and MessageExpunge, which go together. */
  readonly messages: boolean
  readonly flags: boolean
  readonly names: boolean
  readonly subscriptions: boolean
  readonly metadata: boolean
}

/** Events of the selected mailbox. */
export interface SelectedEvents {
  /** Expunges wait for a command that may tell them (RFC 5465 §6.1.2). */
  readonly delayed: boolean
  readonly flags: boolean
  /** What is told of each new message. */
  readonly fetch: readonly FetchItem[]
}

export interface NotifyRequest {
  readonly groups: readonly { readonly filter: MailboxFilter; readonly events: MailboxEvents }[]
  /** Undefined: nothing is told of the selected mailbox. */
  readonly selected: SelectedEvents | undefined
  readonly serverMetadata: boolean
}

/** NOTIFY NONE. */
export const NOTHING: NotifyRequest = { groups: [], selected: undefined, serverMetadata: false }

export const NO_EVENTS: MailboxEvents = {
  messages: false,
  flags: false,
  names: false,
  subscriptions: false,
  metadata: false,
}

/** All that the request wants to hear of a mailbox: groups add up (RFC 5465 §6). */
export function eventsOf(request: NotifyRequest, account: MailAccount, entry: MailboxEntry): MailboxEvents {
  let all = NO_EVENTS
  for (const { filter, events } of request.groups) {
    if (!matches(filter, account, entry)) continue
    all = {
      messages: all.messages || events.messages,
      flags: all.flags || events.flags,
      names: all.names || events.names,
      subscriptions: all.subscriptions || events.subscriptions,
      metadata: all.metadata || events.metadata,
    }
  }
  return all
}

function matches(filter: MailboxFilter, account: MailAccount, { name, subscribed }: MailboxEntry): boolean {
  switch (filter.kind) {
    case 'personal':
      return personal(account, name)
    case 'subscribed':
      return subscribed
    case 'mailboxes':
      return filter.names.has(name)
    case 'subtree':
      return filter.names.has(name) || parentsOf(name).some((top) => filter.names.has(top))
  }
}
