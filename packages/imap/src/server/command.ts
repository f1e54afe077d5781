// The frame of a command: one file in `commands/` declares it, the session runs it.

import type { Segments } from '../wire/command-reader.ts'
import type { Parser } from '../wire/parser.ts'
import type { ImapServerSession } from './session.ts'

/** When a command is possible (RFC 9051 §3). `authenticated` includes `selected`. */
export type CommandState = 'any' | 'unauthenticated' | 'authenticated' | 'selected'

/** How a command ended well: the tagged `OK`. */
export interface Completion {
  /** Response code without brackets; as a function, asked for once the news that belong to the command have been told. */
  readonly code?: string | (() => string) | undefined
  readonly text?: string | undefined
  /** When the command's own news do not hold for what it was asked this time. */
  readonly news?: News
  /** Some of it could not be done: `NO` in place of `OK`, with what was done already said. */
  readonly status?: 'OK' | 'NO'
  /** Runs after the tagged response has been handed to the socket (STARTTLS, LOGOUT). */
  readonly after?: () => Promise<void> | void
}

/**
 * When waiting news of the mailbox may be told with this command. `all`: EXPUNGE too. `uid`: EXPUNGE too, unless more commands are waiting
 * already (their sequence numbers would lose their meaning). `no-expunge`: commands with sequence numbers (RFC 9051 §7.5.1).
 */
export type News = 'all' | 'uid' | 'no-expunge' | 'none'

/** A literal announced inside a command, before its octets are there. */
export interface AnnouncedLiteral {
  /** The command so far. */
  readonly segments: Segments
  /** The same for all literals of one command: what was read is not read again with each of them. */
  readonly judged: { state?: unknown }
  readonly size: number
  readonly binary: boolean
  readonly synchronising: boolean
}

/** A command with its arguments, ready to run. Throws `CommandError` or `BackendError` for NO and BAD. */
export type PreparedCommand = (session: ImapServerSession, tag: string) => Promise<Completion | void>

export interface Command {
  readonly name: string
  readonly state: CommandState
  readonly news: News
  /** News lines carry UIDs. */
  readonly withUid: boolean
  /** Reads the arguments (behind the name) to the end of the command. */
  readonly prepare: (parser: Parser) => PreparedCommand
  /**
   * Decides on a literal that is not a mere short string, from what was read so far. Throws `CommandError` to refuse it; answers true when it
   * took the decision, false to leave it to the limit of ordinary strings.
   */
  readonly literal?: (session: ImapServerSession, parser: Parser, literal: AnnouncedLiteral) => Promise<boolean>
}

export interface CommandDeclaration<A> {
  readonly name: string
  readonly state: CommandState
  /** Default `all`. */
  readonly news?: News
  readonly withUid?: boolean
  /** The arguments, beginning at the space behind the name. Default: none. */
  readonly parse?: (parser: Parser) => A
  readonly execute: (session: ImapServerSession, args: A, tag: string) => Promise<Completion | void>
  readonly literal?: Command['literal']
}

/** Declares a command. */
export function defineCommand<A = undefined>(declaration: CommandDeclaration<A>): Command {
  const { name, state, news = 'all', withUid = false, parse, execute, literal } = declaration
  return {
    name,
    state,
    news,
    withUid,
    prepare: (parser) => {
      const args = parse?.(parser) as A
      parser.end()
      return (session, tag) => execute(session, args, tag)
    },
    ...(literal === undefined ? {} : { literal }),
  }
}
