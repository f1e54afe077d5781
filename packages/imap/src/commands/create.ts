// RFC 9051 §6.3.4 CREATE, with USE (RFC 6154 §3)

import type { MailboxRole } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { bad, no } from '../wire/errors.ts'
import { nameFault } from '../wire/mailbox-name.ts'

const ROLES: readonly MailboxRole[] = ['All', 'Archive', 'Drafts', 'Flagged', 'Junk', 'Sent', 'Trash', 'Important']

export const create = defineCommand({
  name: 'CREATE',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const name = parser.mailbox()
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
    return { name, uses }
  },
  async execute(session, { name, uses }) {
    // A name that ends in the separator only says that children will follow (RFC 9051 §6.3.4).
    const wanted = name.length > 1 && name.endsWith('/') ? name.slice(0, -1) : name
    const fault = nameFault(wanted)
    if (fault !== undefined) throw no(fault, 'CANNOT')
    const roles = uses.map((use) => {
      const role = ROLES.find((known) => known.toLowerCase() === use.toLowerCase())
      if (role === undefined) throw no(`There is no special use \\${use}`, 'USEATTR')
      return role
    })
    if (roles.length > 1) throw no('A mailbox has one special use at most', 'USEATTR')
    await session.account.create(wanted, roles[0])
  },
})
