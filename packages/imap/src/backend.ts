// What an IMAP server needs from a mail store. The store speaks UIDs, mod-sequences and a change feed and nothing else:
// sequence numbers, `*`, `$`, EXISTS / EXPUNGE / VANISHED timing and every extension's logic belong to the server.

/** Message octets or a rendered piece of them. */
export type Bytes = Uint8Array

/** Mailbox roles (RFC 6154), as attribute names without the backslash. `Inbox` is INBOX itself. */
export type MailboxRole = 'Inbox' | 'All' | 'Archive' | 'Drafts' | 'Flagged' | 'Junk' | 'Sent' | 'Trash' | 'Important'

/** One mailbox as LIST and STATUS see it. Names are Unicode (NFC), levels separated by `/`; INBOX is always spelt `INBOX`. */
export interface MailboxEntry {
  /** Stable identity, kept by RENAME, never reused (RFC 8474 MAILBOXID): [A-Za-z0-9_-]{1,255}. */
  readonly id: string
  readonly name: string
  readonly role: MailboxRole | undefined
  readonly subscribed: boolean
  /** False for a name that exists only because something below it does, or only as a subscription (then `id` is ''). */
  readonly selectable: boolean
}

/** Counts of one mailbox, all from one moment. */
export interface MailboxStatus {
  readonly messages: number
  readonly unseen: number
  readonly deleted: number
  /** Sum of RFC822.SIZE in octets. */
  readonly size: number
  readonly uidValidity: number
  readonly uidNext: number
  readonly highestModseq: number
  /** Messages with a UID at or above this were delivered since the last claim (see `Mailbox.claimRecent`). */
  readonly recentUid: number
}

/**
 * The rows of a mailbox, sorted by UID, as columns of equal length. `flags[i]` indexes `flagSets`: messages with the same flags share one set.
 * A snapshot is immutable: the store may hand the same one to many sessions.
 */
export interface MailboxSnapshot {
  readonly uidValidity: number
  readonly uidNext: number
  readonly highestModseq: number
  readonly uids: Uint32Array
  readonly flags: Uint32Array
  readonly flagSets: readonly FlagSet[]
  readonly modseqs: Float64Array
  /** RFC822.SIZE in octets. */
  readonly sizes: Float64Array
  /** INTERNALDATE in milliseconds since the epoch. */
  readonly internalDates: Float64Array
}

/** Flags of a message as the client sees them: system flags as `\Seen`, keywords in their first spelling. Never `\Recent`. */
export type FlagSet = readonly string[]

/** A message row that is new or changed. */
export interface MessageRow {
  readonly uid: number
  readonly flags: FlagSet
  readonly modseq: number
  readonly size: number
  readonly internalDate: number
}

/** What happened in a mailbox after `since`, up to and including `highestModseq`. */
export interface MailboxDelta {
  readonly highestModseq: number
  readonly uidNext: number
  /** Rows created or changed, ascending by UID, in their newest state. */
  readonly changed: readonly MessageRow[]
  /** UIDs expunged, ascending. */
  readonly vanished: readonly number[]
  /** False when history before `since` was trimmed: `vanished` may then be short and the caller compares with a snapshot. */
  readonly complete: boolean
}

export interface AppendMessage {
  readonly bytes: Bytes
  readonly flags: FlagSet
  /** Milliseconds since the epoch and the zone that the client gave in minutes; absent: now. */
  readonly internalDate?: number
}

export interface AppendResult {
  readonly uidValidity: number
  /** In the order of the messages given. */
  readonly uids: readonly number[]
}

/** Source and destination UIDs, pairwise, ascending by source UID. */
export interface CopyResult {
  readonly uidValidity: number
  readonly source: readonly number[]
  readonly destination: readonly number[]
}

export interface FlagChange {
  readonly action: 'set' | 'add' | 'remove'
  readonly flags: FlagSet
}

export interface StoreResult {
  /** Rows in their state after the change, ascending by UID; a row that the change left as it was is included with its old modseq. */
  readonly rows: readonly MessageRow[]
  /** UIDs that failed `unchangedSince` (RFC 7162 MODIFIED), ascending. */
  readonly modified: readonly number[]
  readonly highestModseq: number
}

/** Pieces of a message that the store keeps rendered, so that FETCH need not parse MIME. */
export type MetaField = 'envelope' | 'bodyStructure' | 'body' | 'header'

/** The rendered pieces asked for: IMAP wire bytes of ENVELOPE, BODYSTRUCTURE and BODY (RFC 9051 §7.5.2), and the header block up to and including its empty line. */
export interface MessageMeta {
  readonly uid: number
  readonly envelope?: Bytes
  readonly bodyStructure?: Bytes
  readonly body?: Bytes
  readonly header?: Bytes
}

/**
 * Why the store refused. `code` is an IMAP response code (RFC 9051 §7.1, RFC 5530) without brackets; the server answers `NO [code] message`.
 * Anything else thrown is a defect of the store: the server answers `NO [SERVERBUG]` and logs it.
 */
export class BackendError extends Error {
  readonly code: string | undefined
  constructor(code: string | undefined, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'BackendError'
    this.code = code
  }
}

/** The mail of one user. Methods reject with `BackendError`; every write is durable before its promise resolves. */
export interface MailAccount {
  /** The user name, for logs and NAMESPACE. */
  readonly name: string
  /** Largest message accepted, in octets (RFC 7889 APPENDLIMIT). */
  readonly appendLimit: number

  list(): Promise<readonly MailboxEntry[]>
  /** CREATE: missing parents are created too. ALREADYEXISTS, CANNOT; `role` as asked by CREATE (USE ...): USEATTR when it cannot be had. */
  create(name: string, role?: MailboxRole): Promise<MailboxEntry>
  /** DELETE: the children stay. NONEXISTENT, CANNOT (INBOX). */
  delete(name: string): Promise<void>
  /** RENAME with all children; of INBOX: moves its messages to the new mailbox (RFC 9051 §6.3.6). NONEXISTENT, ALREADYEXISTS, CANNOT. */
  rename(from: string, to: string): Promise<void>
  /** Subscriptions are names: they may outlive their mailbox. */
  subscribe(name: string, subscribed: boolean): Promise<void>
  /** NONEXISTENT. */
  status(name: string): Promise<MailboxStatus>
  /** NONEXISTENT. The returned mailbox stays valid for reading after a RENAME; after a DELETE its methods reject with NONEXISTENT. */
  open(name: string): Promise<Mailbox>
  /** All or nothing (RFC 3502). TRYCREATE, OVERQUOTA, TOOBIG, LIMIT. */
  append(name: string, messages: readonly AppendMessage[]): Promise<AppendResult>

  /** Calls `listener` after every commit that changed a mailbox (by its id), or the list of mailboxes (`undefined`). Returns the way to stop it. */
  watch(listener: (mailboxId: string | undefined) => void): () => void
  /** Called once when the session ends. */
  close(): void
}

/** One open mailbox. UIDs that do not exist (any more) are passed over silently by every method. */
export interface Mailbox {
  readonly id: string
  readonly name: string
  readonly uidValidity: number
  /** Keywords in use, first spelling. New ones may be made at any time. */
  keywords(): Promise<readonly string[]>

  snapshot(): Promise<MailboxSnapshot>
  delta(since: number): Promise<MailboxDelta>
  /** First-session \Recent (RFC 3501): answers the lowest UID that no session has claimed yet, and claims all up to UIDNEXT. */
  claimRecent(): Promise<number>

  /** One transaction. LIMIT when a keyword more cannot be kept. */
  store(uids: readonly number[], change: FlagChange, unchangedSince?: number): Promise<StoreResult>
  /** Removes the messages among `uids` that are flagged \Deleted. Answers the UIDs removed, ascending. */
  expunge(uids: readonly number[]): Promise<{ readonly uids: readonly number[]; readonly highestModseq: number }>
  /** TRYCREATE, OVERQUOTA. Flags, keywords and INTERNALDATE are kept. */
  copy(uids: readonly number[], destination: string): Promise<CopyResult>
  /** As `copy`, and the source is gone, in one transaction; never fails on quota. */
  move(uids: readonly number[], destination: string): Promise<CopyResult>

  /** Rendered pieces in ascending UID order, in batches the caller can write out one after the other. Recently expunged messages are still answered. */
  meta(uids: readonly number[], fields: readonly MetaField[]): AsyncIterable<readonly MessageMeta[]>
  /** The message as it came, whole, or the octets [start, end). Undefined when it is gone for good. */
  raw(uid: number, start?: number, end?: number): Promise<Bytes | undefined>
}
