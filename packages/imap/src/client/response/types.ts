// RFC 9051 §7: what a server says, as values.

import type { NumberSet } from '../../wire/number-set.ts'
import type { BodyPart } from './body-structure.ts'
import type { Envelope } from './envelope.ts'

/** What stands in brackets before the text of a status response (RFC 9051 §7.1). `name` is in capitals, `text` what follows it as written. */
export type ResponseCode = { readonly name: string; readonly text: string } & (
  | { readonly kind: 'plain' }
  /** UIDVALIDITY, UIDNEXT, UNSEEN, HIGHESTMODSEQ, ... */
  | { readonly kind: 'number'; readonly number: number }
  | { readonly kind: 'capability'; readonly capabilities: readonly string[] }
  | { readonly kind: 'permanentflags'; readonly flags: readonly string[] }
  /** What was filed (RFC 4315), in the order of the messages. */
  | { readonly kind: 'appenduid'; readonly uidValidity: number; readonly uids: readonly number[] }
  /** What was copied and under which UIDs it is found there, pair by pair. */
  | {
      readonly kind: 'copyuid'
      readonly uidValidity: number
      readonly from: readonly number[]
      readonly to: readonly number[]
    }
  /** Messages that a conditional STORE left alone (RFC 7162). */
  | { readonly kind: 'modified'; readonly numbers: readonly number[] }
)

/** OK, NO, BAD, BYE or PREAUTH, with its code (RFC 9051 §7.1). */
export interface StatusResponse {
  readonly kind: 'status'
  /** Undefined: untagged. */
  readonly tag: string | undefined
  readonly status: 'OK' | 'NO' | 'BAD' | 'BYE' | 'PREAUTH'
  readonly code: ResponseCode | undefined
  readonly text: string
}

export interface ContinueResponse {
  readonly kind: 'continue'
  readonly text: string
}

/** What FETCH tells of one message: only what was asked for, or has changed. */
export interface MessageData {
  uid?: number
  flags?: readonly string[]
  modseq?: number
  /** Octets. */
  size?: number
  /** Milliseconds since the epoch. */
  internalDate?: number
  /** When it came into this mailbox (RFC 8514); undefined also when the server does not know. */
  saveDate?: number
  envelope?: Envelope
  bodyStructure?: BodyPart
  /** RFC 8474. */
  emailId?: string
  threadId?: string
  /** RFC 8970. */
  preview?: string
  /** X-GM-EXT-1: 64-bit numbers as text, labels as they are. */
  gmail?: { messageId?: string; threadId?: string; labels?: readonly string[] }
  /** BODY[...]: section in capitals (`''`, `HEADER`, `1.2.MIME`, `HEADER.FIELDS (SUBJECT)`) → octets. */
  sections: ReadonlyMap<string, Buffer>
  /** BINARY[...]: part number → octets without transfer encoding (RFC 3516). */
  binary: ReadonlyMap<string, Buffer>
  /** BINARY.SIZE[...]. */
  binarySizes: ReadonlyMap<string, number>
  /** Sections that the server sent and that were larger than what is kept in memory. */
  leftOut: readonly string[]
  /** Items that came, by name in capitals; sections as `BODY[1]`. */
  items: ReadonlySet<string>
}

export interface FetchResponse {
  readonly kind: 'fetch'
  /** Undefined for UIDFETCH (RFC 9586). */
  readonly sequence: number | undefined
  readonly message: MessageData
}

export interface ListResponse {
  readonly kind: 'list'
  readonly command: 'LIST' | 'LSUB' | 'XLIST'
  /** As written, in any case: `\HasChildren`, `\Sent`. */
  readonly attributes: readonly string[]
  /** Undefined: no levels. */
  readonly delimiter: string | undefined
  readonly name: string
  /** The name as it came, where `name` is not what this would be encoded from. */
  readonly encoded: string
  /** Why it is listed though it did not match itself (RFC 5258 CHILDINFO): `SUBSCRIBED`. */
  readonly childInfo: readonly string[]
  /** Name before it was renamed (RFC 5465, 9051). */
  readonly oldName: string | undefined
}

/** Numbers of STATUS by item in capitals; MAILBOXID as text. */
export interface MailboxStatusResponse {
  readonly kind: 'mailbox-status'
  readonly name: string
  readonly numbers: ReadonlyMap<string, number>
  readonly mailboxId: string | undefined
}

export interface SearchResponse {
  readonly kind: 'search' | 'sort'
  readonly numbers: readonly number[]
  readonly modseq: number | undefined
}

export interface EsearchResponse {
  readonly kind: 'esearch'
  readonly tag: string | undefined
  readonly uid: boolean
  /** Undefined: not asked for, or nothing was found. */
  readonly all: readonly number[] | undefined
  readonly min: number | undefined
  readonly max: number | undefined
  readonly count: number | undefined
  readonly modseq: number | undefined
  /** RFC 9394: the piece of the result that was asked for. */
  readonly partial: { readonly range: string; readonly numbers: readonly number[] } | undefined
}

/** A message and the answers to it; `number` undefined where the message itself is not there. */
export interface ThreadNode {
  readonly number: number | undefined
  readonly children: readonly ThreadNode[]
}

export interface NamespaceEntry {
  readonly prefix: string
  readonly delimiter: string | undefined
}

export interface QuotaResource {
  /** `STORAGE` (units of 1024 octets), `MESSAGE`, ... */
  readonly name: string
  readonly usage: number
  readonly limit: number
}

/** Everything a server can say with `*` in front (RFC 9051 §7). */
export type UntaggedResponse =
  | StatusResponse
  | FetchResponse
  | ListResponse
  | MailboxStatusResponse
  | SearchResponse
  | EsearchResponse
  | { readonly kind: 'capability'; readonly capabilities: readonly string[] }
  | { readonly kind: 'enabled'; readonly capabilities: readonly string[] }
  | { readonly kind: 'flags'; readonly flags: readonly string[] }
  | { readonly kind: 'exists' | 'recent' | 'expunge'; readonly number: number }
  /** A set, not numbers: it may name many that never were (RFC 7162 §3.2.10). */
  | { readonly kind: 'vanished'; readonly earlier: boolean; readonly uids: NumberSet }
  | { readonly kind: 'thread'; readonly threads: readonly ThreadNode[] }
  | {
      readonly kind: 'namespace'
      readonly personal: readonly NamespaceEntry[]
      readonly others: readonly NamespaceEntry[]
      readonly shared: readonly NamespaceEntry[]
    }
  | { readonly kind: 'quota'; readonly root: string; readonly resources: readonly QuotaResource[] }
  | { readonly kind: 'quota-root'; readonly name: string; readonly roots: readonly string[] }
  /** Annotations with their values, or (NOTIFY) the names of those that changed. `name` is '' for the server. */
  | {
      readonly kind: 'metadata'
      readonly name: string
      readonly entries: ReadonlyMap<string, Buffer | undefined>
      readonly changed: readonly string[]
    }
  /** Identifier → rights (RFC 4314). */
  | { readonly kind: 'acl'; readonly name: string; readonly rights: ReadonlyMap<string, string> }
  | {
      readonly kind: 'list-rights'
      readonly name: string
      readonly identifier: string
      readonly required: string
      readonly optional: readonly string[]
    }
  | { readonly kind: 'my-rights'; readonly name: string; readonly rights: string }
  | { readonly kind: 'id'; readonly fields: ReadonlyMap<string, string | undefined> | undefined }
  /** A response this client does not know, or cannot read: as it came, literals left out. */
  | { readonly kind: 'unknown'; readonly name: string; readonly text: string }

/** Everything a server can say. */
export type ImapResponse = UntaggedResponse | ContinueResponse
