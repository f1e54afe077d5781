// What the client is told, and what it tells.

import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { BodyType, NotifyCondition } from '../parameters.ts'
import type { SmtpReply } from '../reply.ts'

/** Milliseconds; the defaults are those of RFC 5321 §4.5.3.2. */
export interface ClientTimeouts {
  readonly greeting: number
  readonly command: number
  readonly mail: number
  readonly rcpt: number
  readonly dataStart: number
  readonly dataBlock: number
  readonly dataEnd: number
  readonly quit: number
}

export const defaultTimeouts: ClientTimeouts = {
  greeting: 300_000,
  command: 300_000,
  mail: 300_000,
  rcpt: 300_000,
  dataStart: 120_000,
  dataBlock: 180_000,
  dataEnd: 600_000,
  quit: 5_000,
}

export interface ClientOptions {
  /** Makes the connection: a socket that is connected, or connecting. */
  readonly connect: () => Duplex | Promise<Duplex>
  /** Our name for EHLO: a domain name (A-labels) or an address literal. */
  readonly name: string
  readonly kind?: 'smtp' | 'lmtp'
  readonly timeouts?: Partial<ClientTimeouts>
  readonly clock?: Clock
  /** Send with BDAT where the server offers CHUNKING. Default true. */
  readonly chunking?: boolean
}

export interface OutgoingEnvelope {
  /** The address without brackets; null for `<>`. */
  readonly reversePath: string | null
  readonly recipients: readonly OutgoingRecipient[]
  /** Ask for SMTPUTF8 though all addresses are ASCII: the headers are not. */
  readonly smtpUtf8?: boolean
  readonly requireTls?: boolean
  /** Sent only to servers that offer DSN. */
  readonly ret?: 'FULL' | 'HDRS'
  readonly envid?: string
  /** Default: found out from the message. */
  readonly body?: BodyType
}

export interface OutgoingRecipient {
  readonly address: string
  /** Both sent only to servers that offer DSN. */
  readonly notify?: readonly NotifyCondition[]
  readonly originalRecipient?: { readonly type: string; readonly address: string }
}

/** What became of one recipient. */
export interface RecipientResult {
  readonly address: string
  /** The server has taken responsibility. */
  readonly accepted: boolean
  /** The command that decided; `local` when we knew without asking. */
  readonly stage: 'local' | 'mail' | 'rcpt' | 'data'
  readonly reply: SmtpReply
}
