// RFC 2342 NAMESPACE

import { defineCommand } from '../server/command.ts'
import { quote } from '../wire/encode.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'

export const namespace = defineCommand({
  name: 'NAMESPACE',
  state: 'authenticated',
  async execute(session) {
    const { others, shared } = session.account.namespaces ?? {}
    const one = (prefix: string | undefined): string => {
      if (prefix === undefined) return 'NIL'
      const name = writeMailboxName(prefix, session.utf8)
      return `((${name.startsWith('"') ? name : quote(name)} "/"))`
    }
    session.out.untagged(`NAMESPACE ${one('')} ${one(others)} ${one(shared)}`)
  },
})
