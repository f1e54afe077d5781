// RFC 9051 §6.3.12 APPEND, with MULTIAPPEND (RFC 3502), CATENATE (RFC 4469), BINARY (RFC 3516), APPENDUID (RFC 4315) and APPENDLIMIT (RFC 7889)

import { defineCommand } from '../server/command.ts'
import { formatNumbers } from '../wire/number-set.ts'
import { buildMessages, judgeMessageLiteral } from './append-build.ts'
import { parseMessages } from './append-message.ts'

export const append = defineCommand({
  name: 'APPEND',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    return { mailbox: parser.mailbox(), messages: parseMessages(parser, true) }
  },
  literal(session, parser, literal) {
    parser.space()
    return judgeMessageLiteral(session, parser, literal, false)
  },
  async execute(session, { mailbox, messages }) {
    const { uidValidity, uids } = await session.account.append(mailbox, await buildMessages(session, messages))
    session.notifications.ownMessages(mailbox, uids)
    if (session.selected) session.view.stale = true
    return { code: `APPENDUID ${uidValidity} ${formatNumbers(uids)}` }
  },
})
