// What the server's side of a stream and those who use it expect of each other.

import type { Identity, ServerMechanism } from '@aviso/sasl'
import type { Duplex } from 'node:stream'
import type { Element } from '../element.ts'
import type { Jid } from '../jid.ts'
import { DEFAULT_PARSER_LIMITS } from '../stream-reader.ts'
import type { CloseReason, ConnectionLimits, Timers } from './contracts.ts'
import type { FeatureTexts } from './features.ts'
import type { Defer } from './outbox.ts'
import type { Sasl2Handlers } from './sasl2.ts'
import type { ServerStream } from './server-stream.ts'
import type { Underway } from './underway.ts'

export interface ServerStreamLimits extends ConnectionLimits {
  /** Bytes of a top-level element before the peer has proved who it is. */
  readonly unauthenticatedStanzaBytes: number
  /** Failed SASL attempts after which the stream is closed. */
  readonly saslAttempts: number
}

/** Safe for a server that anybody may connect to. */
export const DEFAULT_STREAM_LIMITS: ServerStreamLimits = {
  ...DEFAULT_PARSER_LIMITS,
  unauthenticatedStanzaBytes: 10_240,
  saslAttempts: 3,
  outgoingBytes: 4 * 1024 * 1024,
  waitingBytes: 16_384,
}

export interface ServerStreamOptions {
  readonly socket: Duplex
  /** The socket is encrypted already (direct TLS). */
  readonly secure: boolean
  /** `jabber:client` or `jabber:server`; stanzas are recognised by it. */
  readonly namespace?: string
  /** A new unguessable stream id (RFC 6120 §4.7.3); one for each header. */
  readonly streamId: () => string
  /** What is said where the peer named no host. Also the `from` of errors that come before its header. */
  readonly defaultHost: string
  readonly lang?: string
  readonly starttls?: {
    readonly required: boolean
    /** Makes the encrypted socket upon the plain one. */
    start(socket: Duplex): Promise<Duplex>
  }
  /** Limits, missing ones at their defaults. */
  readonly limits?: Partial<ServerStreamLimits>
  readonly timers?: Timers
  readonly defer?: Defer
  /** The socket gives whole messages, one a chunk, and takes several in one write, parted by `MESSAGE_SEPARATOR` (RFC 7395). */
  readonly messages?: boolean
  /** Where streams of the same endpoint share the text of their features, see `featuresKey`. */
  readonly featureTexts?: FeatureTexts
  /** Time from the connection to the bound resource. Milliseconds. */
  readonly negotiationTimeout?: number
  /** How long the peer may take to close its side. Milliseconds. */
  readonly closeTimeout?: number
}

/** What the stream asks of those who use it. Whatever throws ends this stream, with the StreamError thrown or `internal-server-error`. */
export interface ServerStreamHandlers {
  /** True if the host that the peer addressed (prepared) is served here. */
  isServed(host: string, stream: ServerStream): boolean
  /** Names of the SASL mechanisms to offer now, strongest first; none where TLS has to come before. */
  mechanisms(stream: ServerStream): readonly string[]
  /** Starts an exchange; undefined for a mechanism that is not offered. */
  begin(mechanism: string, stream: ServerStream): ServerMechanism | undefined
  /** Logins by SASL2 (XEP-0388); without it they are not offered. The mechanisms are the same. */
  readonly sasl2?: Sasl2Handlers | undefined
  /** Further stream features; asked each time features are sent, see `stream.state`. Bind is offered by the stream itself. */
  features?(stream: ServerStream): readonly Element[]
  /**
   * Names all that the features depend on beside the stream's `state`, `secure` and `host`: mechanisms, what SASL2 offers, further features. Streams of the same name are
   * offered the same text. Undefined: it is made anew.
   */
  featuresKey?(stream: ServerStream): string | undefined
  /** The peer has proved who it is; runs before it is told. Throw a StreamError to end the stream. */
  authenticated?(identity: Identity, stream: ServerStream): void | Promise<void>
  /**
   * Binds a resource (RFC 6120 §7): the one asked for, or one of the server's making.
   * @returns the full address
   * @throws StanzaError conflict, not-allowed, resource-constraint or bad-request: the peer may try again
   */
  bind?(resource: string | undefined, stream: ServerStream): Jid | Promise<Jid>
  /** An IQ request of somebody who has not logged in (XEP-0077, XEP-0445): the answer, or undefined where it is not known. A thrown StanzaError is sent back. */
  early?(request: Element, stream: ServerStream): Element | undefined | Promise<Element | undefined>
  /** A stanza of a bound (client) or authenticated (server) stream, one by one and in order. A thrown StanzaError is sent back as the stanza's error. */
  stanza(stanza: Element, stream: ServerStream): void | Promise<void> | Underway
  /** True for a message that may be handled while others of this stream are underway; asked only then. */
  mayFollow?(message: Element, stream: ServerStream): boolean
  /** Any other top-level element, at any stage (stream management, CSI, dialback ...). False if it is not known: that ends the stream. */
  nonza?(element: Element, stream: ServerStream): boolean | Promise<boolean>
  /** White space between stanzas. */
  whitespace?(stream: ServerStream): void
  /** The stream is over; called exactly once. Must not throw. */
  closed(reason: CloseReason, stream: ServerStream): void
}

/** `opening` → `negotiating` (until SASL succeeds) → `authenticated` → `bound`; `closed` from everywhere. */
export type StreamState = 'opening' | 'negotiating' | 'authenticated' | 'bound' | 'closed'
