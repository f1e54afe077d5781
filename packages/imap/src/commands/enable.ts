// RFC 5161 ENABLE: nothing to switch on yet, so the answer lists nothing.

import { defineCommand } from '../server/command.ts'
import { ENABLEABLE } from '../server/enableable.ts'

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
    const switched = names.filter((name) => ENABLEABLE.has(name) && !session.enabled.has(name))
    for (const name of switched) session.enabled.add(name)
    session.out.untagged(['ENABLED', ...switched].join(' '))
  },
})
