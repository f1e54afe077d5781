// What a server tells without being asked.

import type { ImapClientError } from './errors.ts'
import type { MailboxChange } from './cache.ts'
import type { FetchedMessage } from './operations/fetch.ts'
import type { Quirk } from './response/quirks.ts'

/** What a session is told without having asked just now; see `ImapClientSession.listen`. */
export type ClientEvent =
  /** The selected mailbox has this many messages now. */
  | { readonly kind: 'exists'; readonly count: number }
  /** A message is gone: those behind it move up by one. */
  | { readonly kind: 'expunge'; readonly sequence: number }
  /** Messages are gone (after ENABLE QRESYNC, instead of `expunge`). UIDs as a set: `1:3,7`. */
  | { readonly kind: 'vanished'; readonly uids: string }
  | {
      readonly kind: 'flags'
      /** Undefined with UIDONLY. */
      readonly sequence: number | undefined
      /** Undefined when the server did not say and no cache knows. */
      readonly uid: number | undefined
      readonly flags: readonly string[]
      readonly modseq: number | undefined
    }
  /** The cache of the selected mailbox has changed: see `SelectOptions.cache`. */
  | { readonly kind: 'change'; readonly change: MailboxChange }
  | { readonly kind: 'mailbox-status'; readonly name: string; readonly numbers: ReadonlyMap<string, number> }
  /** Told by NOTIFY: a mailbox was made, renamed (from `oldName`), deleted (`\\NonExistent`), or (un)subscribed. */
  | {
      readonly kind: 'mailbox'
      readonly name: string
      readonly oldName: string | undefined
      readonly attributes: readonly string[]
    }
  /** These annotations have changed; `name` is '' for the server's. */
  | { readonly kind: 'metadata'; readonly name: string; readonly entries: readonly string[] }
  /** A new message in the selected mailbox, with what NOTIFY was asked to tell of it. */
  | { readonly kind: 'message'; readonly message: FetchedMessage }
  /** There was more to tell than the server can keep: NOTIFY is off, and has to be asked for anew. */
  | { readonly kind: 'notify-overflow' }
  /** Must be shown to the user. */
  | { readonly kind: 'alert'; readonly text: string }
  /** A NO or BAD that answers no command. */
  | { readonly kind: 'notice'; readonly status: string; readonly text: string }
  | { readonly kind: 'capabilities' }
  /** The first time that the server gets something wrong in this way. */
  | { readonly kind: 'quirk'; readonly quirk: Quirk }
  | { readonly kind: 'bye'; readonly text: string }
  /** The last event. */
  | { readonly kind: 'closed'; readonly error: ImapClientError }
