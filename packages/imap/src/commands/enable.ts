// RFC 5161 ENABLE

import { defineCommand } from '../server/command.ts'
import { ENABLEABLE, SPELLING } from '../server/enableable.ts'

export const enable = defineCommand({
  name: 'ENABLE',
  state: 'authenticated',
  parse(parser) {
    const names: string[] = []
    do {
      parser.space()
      names.push(parser.word())
    } while (!parser.atEnd)
    return names
  },
  async execute(session, names) {
    const switched: string[] = []
    for (const name of names) {
      const brings = ENABLEABLE.get(name)
      if (brings === undefined || session.enabled.has(name)) continue
      if (name === 'METADATA' && session.account.metadata === undefined) continue
      if (name === 'CONDSTORE' || brings.includes('CONDSTORE')) session.enableCondstore()
      session.enabled.add(name)
      switched.push(SPELLING[name] ?? name)
    }
    session.out.untagged(['ENABLED', ...switched].join(' '))
  },
})
