// What the queue keeps, and the words that its files share.

import type { NotifyCondition } from '@aviso/smtp'

/** A mail as the queue keeps it. Its octets lie beside it, or in a blob when they are many. */
export interface QueuedMail {
  /** Its number in the queue. */
  readonly seq: number
  /** As in logs, trace and Received. Copies of one mail that differ stand in the queue side by side under the same id. */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly created: number
  /** The reverse-path as the client gave it, and as targets send it on; '' for `<>`. */
  readonly reversePath: string
  readonly sender: string
  /** SMTP parameters, as JSON. */
  readonly parameters: string
  /** A {@link RememberedClient}, as JSON. */
  readonly client: string
  readonly quarantined: boolean
  /** Octets of all, and of the header section with its empty line. */
  readonly size: number
  readonly head: number
  readonly blob: string | null
}

/** What is remembered of who handed in the mail: checks of a later pipeline judge it as they would have then. */
export interface RememberedClient {
  readonly session: string
  readonly protocol: string
  readonly remoteAddress: string
  readonly hello: string
  readonly extended: boolean
  /** The account's id. */
  readonly account?: string
}

/** A recipient on its way into the queue. */
export interface NewRecipient {
  /** To deliver to. */
  readonly address: string
  /** As the sender named it. */
  readonly recipient: string
  /** The account's id for a local mailbox, else ''. */
  readonly account: string
  /** RCPT parameters, as JSON. */
  readonly parameters: string
  readonly target: string
  /** The domain where the target is one place a domain, else ''. */
  readonly destination: string
}

/** A recipient whose time has come. */
export interface DueRecipient {
  readonly mail: number
  readonly n: number
  readonly address: string
  readonly recipient: string
  readonly account: string
  readonly parameters: string
  readonly nextAttempt: number
  readonly attempts: number
  readonly expires: number
}

/** Where mail waits for: all mail for it shares its troubles. */
export interface Destination {
  readonly id: number
  /** The target's key. */
  readonly target: string
  readonly name: string
}

/** A reply that ended an attempt. */
export interface LastError {
  readonly code: number
  /** Its class is the one of `code`. */
  readonly enhanced: string
  readonly text: string
  /** The server that said so; '' where there was none. */
  readonly remote: string
}

export type ReportKind = 'failure' | 'delay' | 'success'

/** What a notification says of one recipient. */
export interface Fact {
  /** As the sender named it. */
  readonly recipient: string
  readonly originalRecipient?: { readonly type: string; readonly address: string }
  /** RFC 3464 §2.3.3. */
  readonly action: 'failed' | 'delayed' | 'delivered' | 'relayed'
  readonly status: string
  /** The reply that decided; absent where nobody said anything. */
  readonly reply?: { readonly code: number; readonly text: string }
  readonly remote?: string
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Given up as it took too long, not because somebody refused it. */
  readonly expired?: boolean
  readonly willRetryUntil?: number
}

/** RFC 3461 §4.1: who asked for what. A delay is told unless the sender asked for other things only. */
export function wanted(notify: readonly NotifyCondition[] | undefined, kind: ReportKind): boolean {
  if (notify === undefined) return kind !== 'success'
  return notify.includes(kind === 'failure' ? 'FAILURE' : kind === 'delay' ? 'DELAY' : 'SUCCESS')
}
