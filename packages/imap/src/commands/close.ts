// RFC 9051 §6.4.1 CLOSE, §6.4.2 UNSELECT

import { defineCommand } from '../server/command.ts'

export const close = defineCommand({
  name: 'CLOSE',
  state: 'selected',
  news: 'none',
  async execute(session) {
    const { view } = session
    // Read-only: nothing is expunged, whatever is flagged \Deleted.
    if (!view.readOnly) await view.mailbox.expunge([...(await view.mailbox.snapshot()).uids])
    session.select(undefined)
  },
})

export const unselect = defineCommand({
  name: 'UNSELECT',
  state: 'selected',
  news: 'none',
  execute: async (session) => session.select(undefined),
})
