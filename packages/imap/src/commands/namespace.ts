// RFC 2342 NAMESPACE: one personal namespace, no others' and no shared mailboxes.

import { defineCommand } from '../server/command.ts'

export const namespace = defineCommand({
  name: 'NAMESPACE',
  state: 'authenticated',
  execute: async (session) => session.out.untagged('NAMESPACE (("" "/")) NIL NIL'),
})
