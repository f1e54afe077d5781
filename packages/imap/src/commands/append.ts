// RFC 9051 §6.3.12 APPEND, with APPENDUID (RFC 4315) and APPENDLIMIT (RFC 7889)

import { normaliseNewlines } from '@aviso/mime'
import { BackendError } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { bad, no } from '../wire/errors.ts'
import type { ZonedTime } from '../wire/dates.ts'
import type { Parser } from '../wire/parser.ts'

/** All in front of the message: mailbox, flags, date. */
function parsePreamble(parser: Parser): { mailbox: string; flags: string[]; internalDate: ZonedTime | undefined } {
  const mailbox = parser.mailbox()
  parser.space()
  let flags: string[] = []
  if (parser.atList) {
    flags = parser.flags()
    parser.space()
  }
  let internalDate: ZonedTime | undefined
  if (!parser.atEnd && !parser.atLiteral) {
    internalDate = parser.dateTime()
    parser.space()
  }
  return { mailbox, flags, internalDate }
}

export const append = defineCommand({
  name: 'APPEND',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const preamble = parsePreamble(parser)
    const { octets, binary } = parser.literal()
    if (binary) throw bad('A binary literal (~{n}) needs BINARY, which this server does not offer')
    return { ...preamble, octets }
  },
  async literal(session, parser, { size, binary, synchronising }) {
    parser.space()
    // The mailbox name itself may be a literal: an ordinary string.
    if (parser.atEnd) return false
    const { mailbox } = parsePreamble(parser)
    if (!parser.atEnd) throw bad('The message of APPEND is a literal')
    if (binary) throw bad('A binary literal (~{n}) needs BINARY, which this server does not offer')
    const limit = session.account.appendLimit
    if (size > limit) throw no(`The message is too large: at most ${limit} octets are taken`, 'TOOBIG')
    if (size === 0) throw no('An empty message cannot be appended')
    // Said before the octets are sent, when the client asks.
    if (synchronising) {
      await session.account.status(mailbox).catch((error: unknown) => {
        if (error instanceof BackendError && error.code === 'NONEXISTENT')
          throw no('There is no such mailbox: CREATE it first', 'TRYCREATE')
        throw error
      })
    }
    return true
  },
  async execute(session, { mailbox, flags, internalDate, octets }) {
    if (octets.length === 0) throw no('An empty message cannot be appended')
    if (octets.includes(0)) throw no('The message holds NUL octets, which need a binary literal (~{n})', 'CANNOT')
    const bytes = normaliseNewlines(octets)
    const { account } = session
    if (bytes.length > account.appendLimit)
      throw no(`The message is too large: at most ${account.appendLimit} octets are taken`, 'TOOBIG')
    const result = await account.append(mailbox, [
      {
        bytes,
        flags,
        ...(internalDate === undefined ? {} : { internalDate: internalDate.time, zone: internalDate.zone }),
      },
    ])
    session.notifications.ownMessages(mailbox, result.uids)
    if (session.selected) session.view.stale = true
    return { code: `APPENDUID ${result.uidValidity} ${result.uids[0] ?? 0}` }
  },
})
