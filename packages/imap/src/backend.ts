// What an IMAP server needs from a mail store. The store speaks UIDs, mod-sequences and a change feed and nothing else:
// sequence numbers, `*`, `$`, EXISTS / EXPUNGE / VANISHED timing and every extension's logic belong to the server.

/** Message octets or a rendered piece of them. */
export type Bytes = Uint8Array

/** Mailbox roles (RFC 6154), as attribute names without the backslash. `Inbox` is INBOX itself. */
export type MailboxRole = 'Inbox' | (typeof ROLES)[number]

/** What a mailbox can be made for: RFC 6154 §2, RFC 8457 (Important) and RFC 9979 (Memos, Scheduled, Snoozed). */
export const ROLES = [
  'All',
  'Archive',
  'Drafts',
  'Flagged',
  'Important',
  'Junk',
  'Memos',
  'Scheduled',
  'Sent',
  'Snoozed',
  'Trash',
] as const

/** One mailbox as LIST and STATUS see it. Names are Unicode (NFC), levels separated by `/`; INBOX is always spelt `INBOX`. */
export interface MailboxEntry {
  /** Stable identity, kept by RENAME, never reused (RFC 8474 MAILBOXID): [A-Za-z0-9_-]{1,255}. */
  readonly id: string
  readonly name: string
  readonly role: MailboxRole | undefined
  readonly subscribed: boolean
  /** False for a name that exists only because something below it does, or only as a subscription (then `id` is ''). */
  readonly selectable: boolean
  /** What this user may do with it (RFC 4314). Undefined: everything, it is the user's own. */
  readonly rights?: Rights | undefined
}

/** Rights of RFC 4314 §2.1, each letter once: any of `lrswipkxtea`. */
export type Rights = string

/** Every right there is. */
export const ALL_RIGHTS: Rights = 'lrswipkxtea'

/** Counts of one mailbox, all from one moment. */
export interface MailboxStatus {
  readonly messages: number
  readonly unseen: number
  readonly deleted: number
  /** Sum of RFC822.SIZE in octets. */
  readonly size: number
  /** The same of the messages flagged \\Deleted (RFC 9208 DELETED-STORAGE). */
  readonly deletedSize: number
  /** Stable identity of the mailbox (RFC 8474 MAILBOXID), as in `MailboxEntry.id`. */
  readonly id: string
  readonly uidValidity: number
  readonly uidNext: number
  readonly highestModseq: number
  /** Messages with a UID at or above this were delivered since the last claim (see `Mailbox.claimRecent`). */
  readonly recentUid: number
  /** Largest message that this mailbox takes, in octets. Absent: as the account says. */
  readonly appendLimit?: number
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
  /** The zone INTERNALDATE was given in and is shown in, in minutes east of UTC. */
  readonly zones: Int16Array
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
  /** Zone of `internalDate` in minutes east of UTC. */
  readonly zone: number
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

/** A message to be kept, as it came. */
export interface AppendMessage {
  readonly bytes: Bytes
  readonly flags: FlagSet
  /** Milliseconds since the epoch; absent: now. */
  readonly internalDate?: number
  /** The zone that `internalDate` was written in, in minutes east of UTC; absent: 0. */
  readonly zone?: number
}

/** Under which UIDs messages were kept (RFC 4315 APPENDUID). */
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

/** What STORE does to the flags of a message (RFC 9051 §6.4.6). */
export interface FlagChange {
  readonly action: 'set' | 'add' | 'remove'
  readonly flags: FlagSet
}

/** What came of a change of flags. */
export interface StoreResult {
  /** Rows in their state after the change, ascending by UID; a row that the change left as it was is included with its old modseq. */
  readonly rows: readonly MessageRow[]
  /** UIDs that failed `unchangedSince` (RFC 7162 MODIFIED), ascending. */
  readonly modified: readonly number[]
  readonly highestModseq: number
  /** The mailbox's modseq before, where that is known: nothing but this change happened from then to `highestModseq`. */
  readonly before?: number
  /** How many rows there are and which sets of flags they have, where that is told without making `rows`. */
  readonly brief?: { readonly count: number; readonly sets: readonly FlagSet[] }
}

/**
 * What the store keeps ready of every message, so that FETCH need not parse MIME. `envelope`, `bodyStructure` and `body` are IMAP wire bytes (RFC 9051 §7.5.2),
 * `header` is the header block up to and including its empty line, `commonHeader` the fields named in COMMON_FIELDS in their order and spelling,
 * without an empty line; `preview` is UTF-8 text (RFC 8970). All are made by `renderMessage` at ingest.
 */
export type MetaField =
  'envelope' | 'bodyStructure' | 'body' | 'header' | 'commonHeader' | 'preview' | 'emailId' | 'threadId' | 'saveDate'

/** The pieces asked for; the others are absent. */
export interface MessageMeta {
  readonly uid: number
  readonly envelope?: Bytes
  readonly bodyStructure?: Bytes
  readonly body?: Bytes
  readonly header?: Bytes
  readonly commonHeader?: Bytes
  readonly preview?: Bytes
  /** RFC 8474: the same for every copy of a message that COPY or MOVE made, never given to other content; [A-Za-z0-9_-]{1,255}. */
  readonly emailId?: string
  /** RFC 8474: the same for messages of one thread. */
  readonly threadId?: string
  /** When the message came into this mailbox, milliseconds since the epoch (RFC 8514). */
  readonly saveDate?: number
}

/**
 * A text that the store keeps of every message for sorting, threading and searching, made by `messageKeys` at ingest: `subject` is the base subject (RFC 5256 §2.1);
 * `from`, `to`, `cc` the mailbox of the first address; `displayFrom`, `displayTo` as RFC 5957 has it; all folded by `fold`. `sent` is the moment of the Date
 * field in milliseconds since the epoch, as decimal digits, or empty. `threading` is `1` or `0` (the subject is a reply or forward, RFC 5256 §2.1), LF,
 * the Message-ID, LF, and the ids of References (else the first of In-Reply-To), each behind a LF; nothing where there is none.
 */
export type KeyField = 'subject' | 'from' | 'to' | 'cc' | 'displayFrom' | 'displayTo' | 'sent' | 'threading'

/** Keys of some messages, one at least, ascending by UID. */
export interface MessageKeyBatch {
  readonly uids: ArrayLike<number>
  /** As many keys, with `KEY_SEPARATOR` between them: `joinKeys`. */
  readonly keys: string
}

/** One text condition of a search: the substring `text` (as the client gave it; comparing folds both) in a header field, in the body, or anywhere. */
export type TextQuery =
  | { readonly kind: 'header'; readonly name: string; readonly text: string }
  | { readonly kind: 'body' | 'text'; readonly text: string }

/** Part of the answer to a `TextQuery`. */
export interface FoundBatch {
  /** Matching UIDs, ascending; over all batches too. */
  readonly uids: readonly number[]
  /** How far the search is, from 0 to 1. */
  readonly progress: number
}

/** One limited resource of a quota root (RFC 9208 §5). STORAGE counts in units of 1024 octets, rounded up. `limit` undefined: counted, not limited. */
export interface QuotaResource {
  readonly resource: 'STORAGE' | 'MESSAGE' | 'MAILBOX'
  readonly usage: number
  readonly limit: number | undefined
}

/** A place for what the server derives of one mailbox (sort orders, threads), shared by its sessions. The store may empty it at any time. */
export interface MailboxCache {
  get(key: string): unknown
  /** `octets`: about how much memory `value` holds. */
  set(key: string, value: unknown, octets: number): void
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
  /** Largest message that any mailbox takes, in octets (RFC 7889 APPENDLIMIT). */
  readonly appendLimit: number
  /** True where some mailboxes take less (`MailboxStatus.appendLimit`): then APPENDLIMIT is announced without a number. Default false. */
  readonly appendLimitsDiffer?: boolean

  /** With all that this user has any right on; the server hides what they may not look up (`l`). Refusals below are NOPERM where a right is missing. */
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
  /** All or nothing (RFC 3502). Flags that the rights do not allow are left off, here and in COPY and MOVE. TRYCREATE, OVERQUOTA, TOOBIG, LIMIT. */
  append(name: string, messages: readonly AppendMessage[]): Promise<AppendResult>

  /** Usage and limits of the one quota root `""`. Absent: the store knows no quota. */
  quota?(): Promise<readonly QuotaResource[]>
  /** All annotations (RFC 5464) of a mailbox, or of the server for this user (`undefined`), by entry name in lower case (`/private/comment`). NONEXISTENT. Absent: METADATA is not offered. */
  metadata?(mailbox: string | undefined): Promise<ReadonlyMap<string, Bytes>>
  /** Sets or (undefined) removes annotations, all or nothing. NONEXISTENT, `METADATA MAXSIZE n`, `METADATA TOOMANY`, NOPERM. */
  setMetadata?(mailbox: string | undefined, entries: ReadonlyMap<string, Bytes | undefined>): Promise<void>
  /** Prefixes of the mailboxes of other users and of shared ones, each ending in `/`. Absent: there are none. */
  readonly namespaces?: { readonly others?: string; readonly shared?: string }
  /** The access list of a mailbox (RFC 4314): identifier → rights, the owner's own included. NONEXISTENT, NOPERM. Absent: ACL is not offered. */
  acl?(mailbox: string): Promise<ReadonlyMap<string, Rights>>
  /** Gives `identifier` these rights and no others; `undefined` removes the entry. NONEXISTENT, NOPERM, CANNOT (unknown identifier). */
  setAcl?(mailbox: string, identifier: string, rights: Rights | undefined): Promise<void>

  /**
   * Calls `listener` after every commit that changed a mailbox (by its id), or the list of mailboxes (`undefined`); with `annotations`, that commit changed these
   * annotations (names in lower case) of the mailbox, or (`undefined`) of the server, and nothing else. Before the promise of the change resolves. Returns the way
   * to stop it.
   */
  watch(listener: (mailboxId: string | undefined, annotations?: readonly string[]) => void): () => void
  /** Called once when the session ends. */
  close(): void
}

/** One open mailbox. UIDs that do not exist (any more) are passed over silently by every method. */
export interface Mailbox {
  readonly id: string
  readonly name: string
  readonly uidValidity: number
  /** As in `MailboxEntry`; the store itself refuses with NOPERM what they do not allow. */
  readonly rights?: Rights | undefined
  readonly cache: MailboxCache
  /** Keywords in use, first spelling. New ones may be made at any time. */
  keywords(): Promise<readonly string[]>

  snapshot(): Promise<MailboxSnapshot>
  delta(since: number): Promise<MailboxDelta>
  /** First-session \Recent (RFC 3501): claims the UIDs [from, to) that no session has claimed yet. */
  claimRecent(): Promise<{ readonly from: number; readonly to: number }>

  /** One transaction. LIMIT when a keyword more cannot be kept. */
  store(uids: readonly number[], change: FlagChange, unchangedSince?: number): Promise<StoreResult>
  /** Removes the messages among `uids` that are flagged \Deleted. Answers the UIDs removed, ascending. */
  expunge(uids: readonly number[]): Promise<{ readonly uids: readonly number[]; readonly highestModseq: number }>
  /** TRYCREATE, OVERQUOTA. Flags, keywords and INTERNALDATE are kept. */
  copy(uids: readonly number[], destination: string): Promise<CopyResult>
  /** As `copy`, and the source is gone, in one transaction; never fails on quota. */
  move(uids: readonly number[], destination: string): Promise<CopyResult>

  /**
   * Appends `message` to `destination` and expunges `uid` here, \Deleted or not, in one transaction that never fails on quota because of the old message (RFC 8508).
   * TRYCREATE, OVERQUOTA, TOOBIG; EXPUNGEISSUED when there is no such message.
   */
  replace(uid: number, destination: string, message: AppendMessage): Promise<AppendResult>

  /** Rendered pieces in ascending UID order, in batches the caller can write out one after the other. Recently expunged messages are still answered. */
  meta(uids: readonly number[], fields: readonly MetaField[]): AsyncIterable<readonly MessageMeta[]>
  /** Keys of the messages, ascending by UID, in batches. */
  keys(uids: readonly number[], field: KeyField): AsyncIterable<MessageKeyBatch>
  /**
   * The messages among `uids` that match, exactly as `matchesText` of this library would decide on each; in slices that keep no other user of the store waiting.
   * Absent: the server looks at every message itself.
   */
  find?(query: TextQuery, uids: readonly number[]): AsyncIterable<FoundBatch>
  /** The message as it came, whole, or the octets [start, end). Undefined when it is gone for good. */
  raw(uid: number, start?: number, end?: number): Promise<Bytes | undefined>
  /**
   * The messages `uids` (ascending), whole, in their order; undefined for those that `raw` has to be asked for, such as large ones. The server asks for no more at once than it wants to hold.
   * Absent: it asks `raw` for each.
   */
  rawMany?(uids: readonly number[]): Promise<readonly (Bytes | undefined)[]>
}
