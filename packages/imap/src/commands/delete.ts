// RFC 9051 §6.3.5 DELETE

import { defineCommand } from '../server/command.ts'

export const deleteMailbox = defineCommand({
  name: 'DELETE',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    return parser.mailbox()
  },
  async execute(session, name) {
    const doomed = session.selected
      ? (await session.account.list()).find((entry) => entry.name === name)?.id
      : undefined
    await session.account.delete(name)
    // Deleting what one has selected oneself leaves the selected state.
    if (session.selected && session.view.mailbox.id === doomed) session.select(undefined)
  },
})
