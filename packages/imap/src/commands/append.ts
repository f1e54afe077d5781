// RFC 9051 §6.3.12 APPEND, with MULTIAPPEND (RFC 3502), CATENATE (RFC 4469), BINARY (RFC 3516), APPENDUID (RFC 4315) and APPENDLIMIT (RFC 7889)

import { defineCommand } from '../server/command.ts'
import { bad } from '../wire/errors.ts'
import { formatNumbers } from '../wire/number-set.ts'
import { buildMessages, judgeMessageLiteral } from './append-build.ts'
import { type GivenMessage, readMessages } from './append-message.ts'

export const append = defineCommand({
  name: 'APPEND',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const mailbox = parser.mailbox()
    const messages: GivenMessage[] = []
    if (readMessages(parser, messages, true) !== undefined) throw bad('The message of APPEND is a literal')
    return { mailbox, messages }
  },
  async literal(session, parser, literal) {
    parser.space()
    // The mailbox name itself may be a literal: an ordinary string.
    if (parser.atEnd) return false
    const mailbox = parser.mailbox()
    const given: GivenMessage[] = []
    const awaited = readMessages(parser, given, true)
    await judgeMessageLiteral(session, mailbox, given, awaited, literal, false)
    return true
  },
  async execute(session, { mailbox, messages }) {
    const { uidValidity, uids } = await session.account.append(mailbox, await buildMessages(session, messages))
    session.notifications.ownMessages(mailbox, uids)
    if (session.selected) session.view.stale = true
    return { code: `APPENDUID ${uidValidity} ${formatNumbers(uids)}` }
  },
})
