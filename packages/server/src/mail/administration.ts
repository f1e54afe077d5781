// What an administrator does with the mail of an account: for the command line and the web.

import type { FlagSet, MailboxRole } from '@aviso/imap'
import type { Finding } from './mailboxes/check-operations.ts'
import type { MessageLimit } from './mailboxes/mailboxes.ts'
import type { Moment } from './transfer/contracts.ts'

/** A mailbox, as lists show it. Numbers are 0 for a name that is no mailbox itself (`selectable` false). */
export interface MailboxLine {
  readonly name: string
  readonly role: MailboxRole | undefined
  readonly subscribed: boolean
  readonly selectable: boolean
  /** Stable identity (RFC 8474), '' where there is none. */
  readonly id: string
  readonly messages: number
  readonly unseen: number
  readonly deleted: number
  /** Octets. */
  readonly size: number
  readonly uidValidity: number
  readonly uidNext: number
  readonly highestModseq: number
}

/** Which messages. All conditions must hold; texts are found anywhere in the decoded field, whatever the case. */
export interface MessageQuery {
  /** A UID set (RFC 9051 `sequence-set`, with UIDs): `1:100,200:*`. */
  readonly uids?: string
  /** Only the last so many messages of the mailbox. */
  readonly last?: number
  /** INTERNALDATE at or after, and before; milliseconds since the epoch. */
  readonly since?: number
  readonly before?: number
  readonly with?: FlagSet
  readonly without?: FlagSet
  readonly larger?: number
  readonly smaller?: number
  readonly from?: string
  readonly to?: string
  readonly subject?: string
}

export interface MessagePage {
  readonly rows: readonly MessageLine[]
  /** Ask for what comes after this UID next; undefined when there is nothing more. */
  readonly next: number | undefined
}

export interface MessageLine {
  readonly uid: number
  readonly flags: FlagSet
  /** INTERNALDATE. */
  readonly date: Moment
  /** Octets. */
  readonly size: number
  /** Decoded; undefined where they were not asked for. */
  readonly from: string | undefined
  readonly to: string | undefined
  readonly subject: string | undefined
}

/** A message on its way in. Octets that were sent ahead in pieces are named. */
export interface NewMail {
  readonly bytes: Uint8Array | { readonly staged: string }
  readonly flags: FlagSet
  readonly date: Moment | undefined
}

export interface MailImport {
  /** Made when it is missing. */
  readonly mailbox: string
  /** Names this pass through the source. */
  readonly run: number
  readonly entries: readonly ImportRequest[]
}

/** `key` says what a message is and where it is from; without `mail` it is only asked whether it is wanted, and with `nth` that has been answered. */
export interface ImportRequest {
  readonly key: Uint8Array
  readonly nth: number | undefined
  readonly mail: NewMail | undefined
}

/** What became of it. `note`: it came in, but not all that was with it. */
export type ImportAnswer =
  | { readonly kind: 'imported'; readonly uid: number; readonly note?: string }
  | { readonly kind: 'known' }
  | { readonly kind: 'wanted'; readonly nth: number }
  | { readonly kind: 'failed'; readonly reason: string }

/** What the doctor found in an account's mail. */
export interface Examination {
  readonly address: string
  /** The first of them; `more` were found besides. */
  readonly findings: readonly Finding[]
  readonly more: number
  /** All findings that are not put right. */
  readonly open: number
}

/**
 * The mail of accounts, by their addresses. Methods reject with `MailAdminError` (or `AccountError` for the account), whose message is fit to be shown; what they resolve with is
 * durable. No method holds more of a mailbox than one page.
 */
export interface MailAdmin {
  /** Octets of the largest message taken. */
  readonly appendLimit: number

  mailboxes(address: string): Promise<readonly MailboxLine[]>
  mailbox(address: string, name: string): Promise<MailboxLine>
  /** Makes it, with the mailboxes above it, and subscribes to it. */
  createMailbox(address: string, name: string, role: MailboxRole | undefined): Promise<MailboxLine>
  renameMailbox(address: string, from: string, to: string): Promise<void>
  deleteMailbox(address: string, name: string): Promise<void>
  subscribe(address: string, name: string, subscribed: boolean): Promise<void>
  /** The largest message that comes into a mailbox, or (`undefined`) into any of the account, after `change` to a limit of its own where that is given. */
  messageLimit(address: string, name: string | undefined, change: number | 'default' | undefined): Promise<MessageLimit>

  /** Messages with a UID above `after`, ascending. A page may be empty although there is a next one. */
  messages(
    address: string,
    mailbox: string,
    query: MessageQuery,
    page: { readonly after: number; readonly limit: number; readonly headers: boolean },
  ): Promise<MessagePage>
  /** The octets [start, end) of a message; undefined when there is no such message. */
  octets(address: string, mailbox: string, uid: number, start: number, end?: number): Promise<Uint8Array | undefined>
  /** Answers the UID. */
  add(address: string, mailbox: string, mail: NewMail): Promise<number>
  /** These change the messages of the UID set and answer how many these were. */
  flag(
    address: string,
    mailbox: string,
    uids: string,
    action: 'add' | 'remove' | 'set',
    flags: FlagSet,
  ): Promise<number>
  copy(address: string, mailbox: string, uids: string, to: string): Promise<number>
  move(address: string, mailbox: string, uids: string, to: string): Promise<number>
  /** For good: they do not go to Trash. */
  expunge(address: string, mailbox: string, uids: string): Promise<number>

  /** Sends the next piece of a large message of `octets` octets ahead; `token` is the sender's own. What nobody asks for is thrown away after a while. */
  stage(token: string, piece: Uint8Array, octets: number): Promise<void>
  /** The message whose pieces came under that token; it is not held any more. Throws `MailAdminError` 'unavailable' when they are gone. */
  staged(token: string): Uint8Array
  import(address: string, order: MailImport): Promise<readonly ImportAnswer[]>
  forgetImports(address: string): Promise<void>

  /** Looks at everything that the account's mail is made of, while it is in use; with `repair`, puts right what can be computed anew. */
  examine(address: string, repair: boolean): Promise<Examination>
}

/** Why: `not-found` no such mailbox or message; `exists` it is there already; `invalid` the value cannot be used; `limit` too many or no room left; `unavailable` not now. */
export type MailAdminErrorCode = 'not-found' | 'exists' | 'invalid' | 'limit' | 'unavailable'

/** The message is one sentence for a person and names the remedy where there is one. */
export class MailAdminError extends Error {
  readonly code: MailAdminErrorCode
  constructor(code: MailAdminErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'MailAdminError'
    this.code = code
  }
}
