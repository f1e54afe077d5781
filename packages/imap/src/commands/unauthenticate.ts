// RFC 8437 UNAUTHENTICATE

import { defineCommand } from '../server/command.ts'
import { bad } from '../wire/errors.ts'

export const unauthenticate = defineCommand({
  name: 'UNAUTHENTICATE',
  state: 'authenticated',
  news: 'none',
  async execute(session) {
    // Not announced then. BAD, since NO is not allowed (RFC 8437 §3).
    if (session.compressed) throw bad('UNAUTHENTICATE is not possible under COMPRESS')
    session.unauthenticate()
    return { code: `CAPABILITY ${session.capabilities}`, text: 'Logged out, the connection stays' }
  },
})
