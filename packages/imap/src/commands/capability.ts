// RFC 9051 §6.1.1 CAPABILITY

import { defineCommand } from '../server/command.ts'

export const capability = defineCommand({
  name: 'CAPABILITY',
  state: 'any',
  news: 'none',
  execute: async (session) => session.out.untagged(`CAPABILITY ${session.capabilities}`),
})
