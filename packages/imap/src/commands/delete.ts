// RFC 9051 §6.3.5 DELETE

import { defineCommand } from '../server/command.ts'
import { canonicalName, writeMailboxName } from '../wire/mailbox-name.ts'

export const deleteMailbox = defineCommand({
  name: 'DELETE',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    return parser.givenMailbox()
  },
  async execute(session, given) {
    const name = canonicalName(given)
    const doomed = session.selected
      ? (await session.account.list()).find((entry) => entry.name === name)?.id
      : undefined
    session.notifications.ownNames(name)
    await session.account.delete(name)
    // Deleting what one has selected oneself leaves the selected state.
    if (session.selected && session.view.mailbox.id === doomed) session.select(undefined)
    // RFC 9051 §6.3.5: under another spelling than ours it is told by what name it went.
    if (session.rev2 && given !== name)
      session.out.untagged(
        `LIST (\\NonExistent) "/" ${writeMailboxName(name, true)} ("OLDNAME" (${writeMailboxName(given, true)}))`,
      )
  },
})
