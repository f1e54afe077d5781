// RFC 9051 §6.1.3 LOGOUT

import { defineCommand } from '../server/command.ts'

export const logout = defineCommand({
  name: 'LOGOUT',
  state: 'any',
  news: 'none',
  async execute(session) {
    session.out.untagged('BYE See you')
    return { after: () => session.hangUp() }
  },
})
