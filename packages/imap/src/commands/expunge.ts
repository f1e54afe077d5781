// RFC 9051 §6.4.3 EXPUNGE, §6.4.9 UID EXPUNGE

import { defineCommand } from '../server/command.ts'
import { limited, spansOf, uidsOf } from '../server/message-set.ts'
import type { NumberSet } from '../wire/number-set.ts'

export const expunge = defineCommand({
  name: 'EXPUNGE',
  state: 'selected',
  async execute(session) {
    const view = session.writableView
    await view.mailbox.expunge([...view.uids])
    view.stale = true
  },
})

export const uidExpunge = defineCommand<NumberSet>({
  name: 'UID EXPUNGE',
  state: 'selected',
  withUid: true,
  parse(parser) {
    parser.space()
    return parser.numberSet()
  },
  async execute(session, set) {
    const view = session.writableView
    const { spans, code } = limited(view, spansOf(view, set, true), session.limits.messageLimit)
    await view.mailbox.expunge(uidsOf(view, spans))
    view.stale = true
    return { code }
  },
})
