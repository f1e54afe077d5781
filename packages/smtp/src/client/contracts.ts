// What the client is told, and what it tells.

import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { BodyType, DeliverBy, NotifyCondition } from '../parameters.ts'
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

/** Those of RFC 5321 §4.5.3.2, which says nothing of QUIT. Milliseconds. */
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
  /** The message may hold UTF-8 in its header, though all addresses are ASCII. */
  readonly smtpUtf8?: boolean | undefined
  /** The message goes to no server that does not offer REQUIRETLS. */
  readonly requireTls?: boolean | undefined
  /** Both sent only to servers that offer DSN. */
  readonly ret?: 'FULL' | 'HDRS' | undefined
  readonly envid?: string | undefined
  /** Who submitted the message first, `<>` when unknown. Sent only to servers that offer AUTH. */
  readonly auth?: string | undefined
  /** Sent to servers that offer DELIVERBY. What must be given back when it is late goes to no other (RFC 2852 §4). */
  readonly deliverBy?: DeliverBy | undefined
  /** Sent only to servers that offer MT-PRIORITY. */
  readonly priority?: number | undefined
  /** For the server to hold the message until then: it goes to no server that does not offer FUTURERELEASE. */
  readonly holdUntil?: Date | undefined
  /** Default: found out from the message. */
  readonly body?: BodyType | undefined
}

export interface OutgoingRecipient {
  readonly address: string
  /** Both sent only to servers that offer DSN. */
  readonly notify?: readonly NotifyCondition[] | undefined
  readonly originalRecipient?: { readonly type: string; readonly address: string } | undefined
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
