// RFC 9051 §6.2.1 STARTTLS

import { defineCommand } from '../server/command.ts'
import { bad } from '../wire/errors.ts'

export const starttls = defineCommand({
  name: 'STARTTLS',
  state: 'unauthenticated',
  news: 'none',
  async execute(session) {
    if (!session.canStartTls)
      throw bad(session.connection.secure ? 'TLS is on already' : 'This server offers no TLS here')
    if (session.pipelined) {
      session.end('Nothing may follow STARTTLS before TLS is on')
      return {}
    }
    return { text: 'Begin TLS now', after: () => session.startTls() }
  },
})
