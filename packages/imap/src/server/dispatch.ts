// From the first words of a command to its file, and from what went wrong to an answer.

import { BackendError } from '../backend.ts'
import { commands } from '../commands/index.ts'
import type { ReaderEvent, Refusal } from '../wire/command-reader.ts'
import { bad, CommandError, no } from '../wire/errors.ts'
import { Parser } from '../wire/parser.ts'
import { StreamClosed } from '../wire/response-stream.ts'
import type { Command } from './command.ts'
import type { ImapServerSession } from './session.ts'

/** The command named at the parser's place, behind the tag. Throws BAD when there is none, or the state does not allow it. */
export function findCommand(session: ImapServerSession, parser: Parser): Command {
  parser.space()
  let name = parser.word()
  if (name === 'UID' && parser.trySpace()) name = `UID ${parser.word()}`
  const command = commands.get(name)
  if (command === undefined) throw bad(`There is no command ${name.slice(0, 40)}`)
  if (command.state === 'unauthenticated' && session.authenticated) throw bad(`${name} is only possible before login`)
  if ((command.state === 'authenticated' || command.state === 'selected') && !session.authenticated)
    throw bad(`Log in before ${name}`)
  // RFC 9586 §3: commands that exist in a UID form too take sequence numbers; EXPUNGE takes none.
  if (session.uidOnly && name !== 'EXPUNGE' && commands.has(`UID ${name}`))
    throw bad(`${name} takes sequence numbers, which UIDONLY gave up: use UID ${name}`, 'UIDREQUIRED')
  if (command.state === 'selected' && !session.selected) throw bad(`Select a mailbox before ${name}`)
  return command
}

/** RFC 7888 §5: octets of a literal that the client need not wait with, where LITERAL- is announced. */
const LITERAL_MINUS = 4096

/** Throws `CommandError` when a literal just announced is not wanted. */
export async function judgeLiteral(
  session: ImapServerSession,
  event: Extract<ReaderEvent, { kind: 'literal' }>,
): Promise<void> {
  const parser = new Parser(event.segments, session.utf8, session.limits)
  if (parser.tag() === undefined) throw bad('The command has no valid tag')
  const command = findCommand(session, parser)
  if (session.options.literalMinus === true && !event.synchronising && event.size > LITERAL_MINUS)
    throw bad(`A literal of more than ${LITERAL_MINUS} octets must wait for the server's +`, 'TOOBIG')
  if ((await command.literal?.(session, parser, event)) === true) return
  const limit = session.authenticated ? session.limits.literal : session.limits.literalBeforeLogin
  let total = event.size
  for (const segment of event.segments) if (!(segment instanceof Uint8Array)) total += segment.octets.length
  if (total > limit) throw no(`The literal is too large: a string may have ${limit} octets at most here`, 'TOOBIG')
}

/** What the client is told of an error. A defect is logged, not told. `StreamClosed` is thrown on. */
export function refusalOf(session: ImapServerSession, error: unknown): Refusal {
  if (error instanceof CommandError) return { status: error.status, code: error.code, message: error.message }
  if (error instanceof BackendError) {
    const { code } = error
    const wellFormed = code !== undefined && /^[A-Za-z][\w-]*( [\x20-\x5c\x5e-\x7e]*)?$/.test(code)
    return { status: 'NO', code: wellFormed ? code : undefined, message: error.message }
  }
  if (error instanceof StreamClosed) throw error
  session.options.log?.('defect', { error })
  return { status: 'NO', code: 'SERVERBUG', message: 'An internal error stopped this command; it has been logged' }
}
