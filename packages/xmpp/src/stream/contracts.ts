// What a connection and those who use it expect of each other.

import type { Element } from '../element.ts'
import type { ParserLimits } from '../stream-reader.ts'
import type { Defer } from './outbox.ts'
import type { Underway } from './underway.ts'

/** Time, handed in. */
export interface Timers {
  timeout(ms: number, callback: () => void): { cancel(): void }
}

/** The machine's clock; its timers do not keep the process alive. */
export const systemTimers: Timers = {
  timeout(ms, callback) {
    const timer = setTimeout(callback, ms).unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Why a stream is over. */
export interface CloseReason {
  /** `peer`: it closed the stream; `local`: `close()` was called; `error`: a stream error was sent; `peer-error`: one was received; `lost`: the connection broke or ended without a word. */
  readonly by: 'peer' | 'local' | 'error' | 'peer-error' | 'lost'
  /** The stream error sent or received, or what the socket said. Its `cause` is what a handler threw. */
  readonly error?: Error
}

export interface ConnectionLimits extends ParserLimits {
  /** Octets written but not taken by the peer, from which on the stream is given up. */
  readonly outgoingBytes: number
  /** Octets that wait behind a stanza being handled, from which on nothing more is read from the socket. */
  readonly waitingBytes: number
}

export interface ConnectionEvents {
  /** The peer's stream header: the first one, and one after each restart. */
  header(header: Element, contentNamespace: string): void | Promise<void>
  /** A top-level element. While a returned promise is pending, nothing further is handled; what is underway holds up only what may not follow. */
  element(element: Element): void | Promise<void> | Underway
  /** True for an element that may be handled while others are underway. */
  mayFollow?(element: Element): boolean
  whitespace?(): void
  /** The stream is over, for the reason given; called exactly once. What is sent from now on goes nowhere. */
  closed(reason: CloseReason): void
  /** The stream header to send before an error, where none was sent yet (RFC 6120 §4.9.1.1); '' for none. */
  openingForError(): string
}

export interface ConnectionOptions {
  readonly limits: ConnectionLimits
  readonly timers: Timers
  /** How long the peer may take to close its side. Milliseconds. */
  readonly closeTimeout: number
  readonly defer?: Defer | undefined
  /** The socket gives whole messages, one a chunk, and takes several in one write, parted by `MESSAGE_SEPARATOR` (RFC 7395). */
  readonly messages?: boolean | undefined
}
