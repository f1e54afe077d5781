// RFC 9051 §6.3.2 SELECT, §6.3.3 EXAMINE

import { defineCommand } from '../server/command.ts'
import { announceFlags } from '../server/sync.ts'
import { MailboxView } from '../server/view.ts'
import type { MailboxSnapshot } from '../backend.ts'

/** Sequence number of the first message without \Seen, 0 when there is none. */
function firstUnseen(snapshot: MailboxSnapshot): number {
  const unseen = snapshot.flagSets.map((flags) => !flags.includes('\\Seen'))
  return snapshot.flags.findIndex((set) => unseen[set] === true) + 1
}

const open = (name: 'SELECT' | 'EXAMINE', readOnly: boolean) =>
  defineCommand({
    name,
    state: 'authenticated',
    news: 'none',
    parse(parser) {
      parser.space()
      return parser.mailbox()
    },
    async execute(session, mailboxName) {
      // Whatever happens next, the old mailbox is no longer selected.
      session.select(undefined)
      const mailbox = await session.account.open(mailboxName)
      const [snapshot, keywords] = await Promise.all([mailbox.snapshot(), mailbox.keywords()])
      const view = new MailboxView(mailbox, mailboxName, readOnly, snapshot)
      if (readOnly) view.addRecent((await session.account.status(mailboxName)).recentUid, snapshot.uidNext)
      else {
        const { from, to } = await mailbox.claimRecent()
        view.addRecent(from, to)
      }
      for (const keyword of keywords) view.keywords.set(keyword.toLowerCase(), keyword)
      // What was committed since the snapshot was taken has not been heard of.
      view.stale = true
      session.select(view)

      const { out } = session
      announceFlags(out, view)
      out.untagged(`${view.count} EXISTS`)
      out.untagged(`${view.recentCount} RECENT`)
      const unseen = firstUnseen(snapshot)
      if (unseen > 0) out.untagged(`OK [UNSEEN ${unseen}] First unseen message`)
      out.untagged(`OK [UIDVALIDITY ${snapshot.uidValidity}] UIDs valid`)
      out.untagged(`OK [UIDNEXT ${snapshot.uidNext}] Predicted next UID`)
      return { code: readOnly ? 'READ-ONLY' : 'READ-WRITE', text: `${mailboxName} is open` }
    },
  })

export const select = open('SELECT', false)
export const examine = open('EXAMINE', true)
