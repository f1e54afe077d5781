// RFC 3501 §6.3.9 LSUB

import { defineCommand } from '../server/command.ts'
import { matchesPattern } from '../server/list-pattern.ts'
import { parentsOf } from '../server/listing.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'

export const lsub = defineCommand({
  name: 'LSUB',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const reference = parser.listMailbox()
    parser.space()
    return (reference + parser.listMailbox()).normalize('NFC')
  },
  async execute(session, pattern) {
    const lines = new Map<string, string>()
    for (const entry of await session.account.list()) {
      if (!entry.subscribed) continue
      if (session.winded) await session.breathe()
      // \Noselect means here that the name is not subscribed itself (RFC 5258 §3.1), so a subscription never has it.
      if (matchesPattern(pattern, entry.name)) {
        lines.set(entry.name, '')
        continue
      }
      // `%` finds the level above what is subscribed, which need not be subscribed itself.
      if (!pattern.includes('%')) continue
      for (const parent of parentsOf(entry.name)) {
        if (!lines.has(parent) && matchesPattern(pattern, parent)) lines.set(parent, '\\Noselect')
      }
    }
    for (const [name, attributes] of lines) {
      session.out.untagged(`LSUB (${attributes}) "/" ${writeMailboxName(name, session.utf8)}`)
      if (session.winded) await session.breathe()
    }
  },
})
