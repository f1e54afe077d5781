// One command on its way: what is sent, and what of the answer is meant for it.

import type { Segments } from './response/reader.ts'
import type { StatusResponse, UntaggedResponse } from './response/types.ts'

/** A string sent as a literal: octets, or a stream of known size. `binary`: may hold NUL (RFC 3516 literal8). */
export type LiteralPart =
  | { readonly octets: Uint8Array; readonly binary?: boolean }
  | { readonly size: number; readonly content: AsyncIterable<Uint8Array>; readonly binary?: boolean }

/** Text goes out as UTF-8; it must not hold line ends. */
export type CommandPart = string | LiteralPart

/** Takes the octets of one literal as they come. */
export interface LiteralSink {
  push(octets: Buffer): void
  end(): void
}

export interface Request {
  /** For messages: `UID FETCH`. */
  readonly name: string
  readonly parts: readonly CommandPart[]
  /** True for an untagged response that belongs to this command. Called with all that come while it runs, unless an older command took them. */
  accept?(response: UntaggedResponse, tag: string): boolean
  /** Somewhere to put a literal that is too large for memory. `segments`: the response so far. */
  sink?(segments: Segments, size: number): LiteralSink | undefined
  /** Called for `+` once the command has gone out: the rest of the conversation (AUTHENTICATE, IDLE). */
  continued?(text: string): void
  /** The tagged response, whatever it is, before anything behind it is looked at. */
  ended?(response: StatusResponse): void
  /** Called when another command waits for this one, which runs alone, to end. */
  interrupt?(): void
  /** Nothing else is on the wire while this runs. */
  readonly alone?: boolean
  /** The server may be silent for as long as it likes. */
  readonly patient?: boolean
}
