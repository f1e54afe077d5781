// RFC 9051 §2.2, §7.1: one command from its first octet to its tagged answer, with the news that belong to it.

import type { ReaderEvent, Refusal } from '../wire/command-reader.ts'
import { humanText } from '../wire/encode.ts'
import { bad } from '../wire/errors.ts'
import { Parser } from '../wire/parser.ts'
import { StreamClosed } from '../wire/response-stream.ts'
import type { Channel, LiteralEvent } from './channel.ts'
import type { Command, Completion } from './command.ts'
import { findCommand, judgeLiteral, refusalOf } from './dispatch.ts'
import type { ImapServerSession } from './session.ts'

/** Commands that expunge: they are answered with EXPUNGE responses. */
const EXPUNGING: ReadonlySet<string> = new Set(['EXPUNGE', 'UID EXPUNGE', 'MOVE', 'UID MOVE', 'REPLACE', 'UID REPLACE'])

/** Runs the commands of one session. A throw in one of them is answered `NO [SERVERBUG]` and harms nobody else. */
export class CommandRunner {
  readonly #session: ImapServerSession
  readonly #channel: Channel
  #badCommands = 0

  constructor(session: ImapServerSession, channel: Channel) {
    this.#session = session
    this.#channel = channel
  }

  /** What the reader found: a command, a literal inside one, or one that was refused. Rejects with `StreamClosed` when the peer has gone. */
  async serve(event: ReaderEvent): Promise<void> {
    switch (event.kind) {
      case 'command':
        return this.#command(event.segments)
      case 'literal':
        return this.#literal(event)
      case 'refused':
        this.#channel.releaseLiterals()
        return this.#answer(new Parser([event.start]).tag(), undefined, event.refusal)
      default:
    }
  }

  async #literal(event: LiteralEvent): Promise<void> {
    try {
      await judgeLiteral(this.#session, event)
    } catch (error) {
      this.#channel.refuseLiteral(event, refusalOf(this.#session, error))
      return
    }
    await this.#channel.acceptLiteral(event)
  }

  async #command(segments: Extract<ReaderEvent, { kind: 'command' }>['segments']): Promise<void> {
    const parser = new Parser(segments, this.#session.utf8, this.#session.limits)
    const tag = parser.tag()
    let command: Command | undefined
    let outcome: Completion | Refusal
    try {
      if (tag === undefined) throw bad('A command begins with a tag of letters and digits, and a space')
      command = findCommand(this.#session, parser)
      const run = command.prepare(parser)
      const done = (await run(this.#session, tag)) ?? {}
      await this.#tellNews(command, done.news)
      // RFC 5530 §3: what cannot be told now is hinted at, so that the client asks for it (NOOP).
      const hint = done.code === undefined && command.news === 'no-expunge' && this.#session.expungesWait
      outcome = hint ? { ...done, code: 'EXPUNGEISSUED' } : done
    } catch (error) {
      if (error instanceof StreamClosed) throw error
      outcome = refusalOf(this.#session, error)
      if (command !== undefined && !this.#channel.ending) await this.#tellNews(command, 'no-expunge')
    }
    this.#channel.releaseLiterals()
    this.#answer(tag, command?.name, outcome)
    if ('after' in outcome) await outcome.after?.()
  }

  async #tellNews(command: Command, news = command.news): Promise<void> {
    if (news === 'none') return
    try {
      const expunge = news === 'all' || (news === 'uid' && !this.#session.pipelined)
      // What a client expunges itself is the answer to its command, whatever news it wants.
      if (EXPUNGING.has(command.name)) await this.#session.tellSelected(expunge, command.withUid)
      else await this.#session.sync(expunge, command.withUid)
      if (this.#session.notifications.pending && news !== 'no-expunge') await this.#session.notifications.tell()
    } catch (error) {
      if (error instanceof StreamClosed) throw error
      // The command itself is done, and its answer must not depend on this. The news are asked for again with the next one.
      this.#session.options.log?.('defect', { error })
    }
  }

  #answer(tag: string | undefined, name: string | undefined, outcome: Completion | Refusal): void {
    if (this.#channel.ending && !('after' in outcome)) return
    const status = outcome.status ?? 'OK'
    const code = typeof outcome.code === 'function' ? outcome.code() : outcome.code
    const text = 'message' in outcome ? outcome.message : (outcome.text ?? `${name ?? 'Command'} completed`)
    // A tag that is no tag is not said back.
    this.#session.out.text(`${tag ?? '*'} ${status} ${code === undefined ? '' : `[${code}] `}${humanText(text)}\r\n`)
    this.#session.options.count?.(name ?? 'unknown', status)
    if (status !== 'BAD') return
    this.#badCommands++
    // The first thing heard is no IMAP: another protocol's client, made to talk to us (cross-protocol attacks).
    if (
      !this.#session.authenticated &&
      this.#badCommands === 1 &&
      name === undefined &&
      tag !== undefined &&
      /^(GET|POST|PUT|HEAD|OPTIONS|CONNECT|EHLO|HELO)$/i.test(tag)
    ) {
      this.#session.end('This is an IMAP server')
    } else if (this.#badCommands >= this.#session.limits.badCommands) {
      this.#session.end('Too many bad commands')
    }
  }
}
