// RFC 9051 §6.4.3 EXPUNGE, §6.4.9 UID EXPUNGE

import { type Completion, defineCommand } from '../server/command.ts'
import { limited, spansOf, uidsOf, withLimit } from '../server/message-set.ts'
import type { ImapServerSession } from '../server/session.ts'
import { expunged } from '../server/telling.ts'
import type { MailboxView } from '../server/view.ts'
import type { NumberSet, Span } from '../wire/number-set.ts'

/** Expunges what is \Deleted among `uids`. */
async function expungeUids(session: ImapServerSession, uids: readonly number[]): Promise<Completion> {
  const { view } = session
  const result = await view.mailbox.expunge(uids)
  view.stale = true
  return result.uids.length > 0 ? expunged(session, view) : {}
}

/** The runs of messages that are flagged \\Deleted, as far as this session knows: only they count against a limit. */
function deletedAmong(view: MailboxView, spans: readonly Span[]): Span[] {
  const out: Span[] = []
  const cursor = view.cursor(spans)
  while (cursor.next()) {
    if (!cursor.flags.includes('\\Deleted')) continue
    const last = out.at(-1)
    if (last !== undefined && last.end === cursor.position)
      out[out.length - 1] = { start: last.start, end: cursor.position + 1 }
    else out.push({ start: cursor.position, end: cursor.position + 1 })
  }
  return out
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
    const { spans, code } = limited(view, deletedAmong(view, spansOf(view, set, true)), session.limits.messageLimit)
    const done = await expungeUids(session, uidsOf(view, spans))
    return withLimit(session, code, done)
  },
})
