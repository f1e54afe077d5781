// RFC 9051 §6.3.4 CREATE, with USE (RFC 6154 §3) and MAILBOXID (RFC 8474 §4.1)

import { ROLES } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { tellSpelling } from '../server/spelling.ts'
import { bad, no } from '../wire/errors.ts'
import { canonicalName, nameFault } from '../wire/mailbox-name.ts'

export const create = defineCommand({
  name: 'CREATE',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const given = parser.givenMailbox()
    const uses: string[] = []
    if (parser.trySpace()) {
      parser.list(() => {
        if (parser.word() !== 'USE') throw bad('CREATE knows only the parameter USE')
        parser.space()
        uses.push(
          ...parser.list(() => {
            parser.char('\\')
            return parser.atom()
          }),
        )
      })
    }
    return { given, uses }
  },
  async execute(session, { given, uses }) {
    // A name that ends in the separator only says that children will follow (RFC 9051 §6.3.4).
    const spelt = given.length > 1 && given.endsWith('/') ? given.slice(0, -1) : given
    const wanted = canonicalName(spelt)
    const fault = nameFault(wanted)
    if (fault !== undefined) throw no(fault, 'CANNOT')
    const roles = uses.map((use) => {
      const role = ROLES.find((known) => known.toLowerCase() === use.toLowerCase())
      if (role === undefined) throw no(`There is no special use \\${use}`, 'USEATTR')
      return role
    })
    if (roles.length > 1) throw no('A mailbox has one special use at most', 'USEATTR')
    session.notifications.ownNames(wanted)
    const { id } = await session.account.create(wanted, roles[0])
    await tellSpelling(session, spelt, wanted)
    return { code: `MAILBOXID (${id})` }
  },
})
