// RFC 9051 §6.4.3 EXPUNGE, §6.4.9 UID EXPUNGE

import { type Completion, defineCommand } from '../server/command.ts'
import { limited, spansOf, uidsOf } from '../server/message-set.ts'
import type { ImapServerSession } from '../server/session.ts'
import type { NumberSet } from '../wire/number-set.ts'

/** Expunges what is \Deleted among `uids`; who knows mod-sequences is told the new one (RFC 7162 §3.1.12). */
async function expungeUids(session: ImapServerSession, uids: readonly number[]): Promise<Completion> {
  const { view } = session
  const result = await view.mailbox.expunge(uids)
  view.stale = true
  return session.condstore && result.uids.length > 0 ? { code: `HIGHESTMODSEQ ${result.highestModseq}` } : {}
}

export const expunge = defineCommand({
  name: 'EXPUNGE',
  state: 'selected',
  async execute(session) {
    const view = session.writableView
    return expungeUids(session, [...view.uids])
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
    const done = await expungeUids(session, uidsOf(view, spans))
    return code === undefined ? done : { code }
  },
})
