// RFC 9051 §6.4.1 CLOSE, §6.4.2 UNSELECT

import { defineCommand } from '../server/command.ts'
import { allows } from '../server/rights.ts'

export const close = defineCommand({
  name: 'CLOSE',
  state: 'selected',
  news: 'none',
  async execute(session) {
    const { view } = session
    // Read-only, or not allowed to expunge (RFC 4314 §4): nothing is expunged, whatever is flagged \Deleted.
    if (!view.readOnly && allows(view.mailbox.rights, 'e'))
      await view.mailbox.expunge([...(await view.mailbox.snapshot()).uids])
    session.select(undefined)
  },
})

export const unselect = defineCommand({
  name: 'UNSELECT',
  state: 'selected',
  news: 'none',
  execute: async (session) => session.select(undefined),
})
