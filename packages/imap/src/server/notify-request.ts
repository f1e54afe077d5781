// RFC 5465 §3, §6: what a client wants to be told of, and of which mailboxes.

import type { MailAccount, MailboxEntry } from '../backend.ts'
import type { FetchItem } from '../commands/fetch-items.ts'
import { filterMeans, type MailboxFilter } from './mailbox-filter.ts'

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

/** True when anything of a mailbox is to be told. */
export const wantsAny = ({ messages, flags, names, subscriptions, metadata }: MailboxEvents): boolean =>
  messages || flags || names || subscriptions || metadata

/** All that the request wants to hear of a mailbox: groups add up (RFC 5465 §6). */
export function eventsOf(request: NotifyRequest, account: MailAccount, entry: MailboxEntry): MailboxEvents {
  let all = NO_EVENTS
  for (const { filter, events } of request.groups) {
    if (!filterMeans(filter, account, entry)) continue
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
