// RFC 9051 §6.3.6 RENAME

import { defineCommand } from '../server/command.ts'
import { tellSpelling } from '../server/spelling.ts'
import { no } from '../wire/errors.ts'
import { canonicalName, nameFault } from '../wire/mailbox-name.ts'

export const rename = defineCommand({
  name: 'RENAME',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const givenFrom = parser.givenMailbox()
    parser.space()
    return { givenFrom, givenTo: parser.givenMailbox() }
  },
  async execute(session, { givenFrom, givenTo }) {
    const from = canonicalName(givenFrom)
    const spelt = givenTo.length > 1 && givenTo.endsWith('/') ? givenTo.slice(0, -1) : givenTo
    const wanted = canonicalName(spelt)
    const fault = nameFault(wanted)
    if (fault !== undefined) throw no(fault, 'CANNOT')
    session.notifications.ownNames(from, wanted)
    await session.account.rename(from, wanted)
    if (from !== givenFrom) await tellSpelling(session, givenFrom, wanted)
    else if (wanted !== spelt) await tellSpelling(session, spelt, wanted)
  },
})
