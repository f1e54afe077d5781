// RFC 9051 §6.3.6 RENAME

import { defineCommand } from '../server/command.ts'
import { no } from '../wire/errors.ts'
import { nameFault } from '../wire/mailbox-name.ts'

export const rename = defineCommand({
  name: 'RENAME',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const from = parser.mailbox()
    parser.space()
    return { from, to: parser.mailbox() }
  },
  async execute(session, { from, to }) {
    const wanted = to.length > 1 && to.endsWith('/') ? to.slice(0, -1) : to
    const fault = nameFault(wanted)
    if (fault !== undefined) throw no(fault, 'CANNOT')
    await session.account.rename(from, wanted)
  },
})
