// RFC 9051 §6.3.2 SELECT, §6.3.3 EXAMINE

import type { MailboxSnapshot } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { announceFlags } from '../server/telling.ts'
import { MailboxView } from '../server/view.ts'
import { bad, no } from '../wire/errors.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'
import { parseSelectParameters, tellSince } from './select-parameters.ts'

/** Sequence number of the first message without \Seen, 0 when there is none. */
function firstUnseen(snapshot: MailboxSnapshot): number {
  const unseen = snapshot.flagSets.map((flags) => !flags.includes('\\Seen'))
  return snapshot.flags.findIndex((set) => unseen[set] === true) + 1
}

/** Rights any one of which makes a mailbox more than something to read (RFC 4314 §5.2). */
const WRITING = ['i', 'e', 's', 't', 'w']

const open = (name: 'SELECT' | 'EXAMINE', examine: boolean) =>
  defineCommand({
    name,
    state: 'authenticated',
    news: 'none',
    parse(parser) {
      parser.space()
      return { mailboxName: parser.mailbox(), parameters: parseSelectParameters(parser) }
    },
    async execute(session, { mailboxName, parameters }) {
      const { condstore, known } = parameters
      if (known !== undefined && !session.qresync) throw bad('QRESYNC is only possible after ENABLE QRESYNC')
      // RFC 9586 §3: the numbers that the client knows would be sequence numbers.
      if (known?.pairs !== undefined && session.uidOnly)
        throw bad('QRESYNC cannot name sequence numbers, which UIDONLY gave up: leave the last list out', 'UIDREQUIRED')
      const { out } = session
      // Whatever happens next, the old mailbox is no longer selected.
      if (session.selected) {
        session.select(undefined)
        out.untagged('OK [CLOSED] The mailbox selected before is closed')
      }
      if (condstore) session.enableCondstore()
      const mailbox = await session.account.open(mailboxName)
      const { rights } = mailbox
      if (rights !== undefined && !rights.includes('r')) throw no('You are not allowed to read this mailbox', 'NOPERM')
      const readOnly = examine || (rights !== undefined && !WRITING.some((right) => rights.includes(right)))
      const [snapshot, keywords] = await Promise.all([mailbox.snapshot(), mailbox.keywords()])
      const view = new MailboxView(mailbox, mailboxName, readOnly, snapshot)
      if (!session.rev2) {
        if (readOnly) view.addRecent((await session.account.status(mailboxName)).recentUid, snapshot.uidNext)
        else {
          const { from, to } = await mailbox.claimRecent()
          view.addRecent(from, to)
        }
      }
      for (const keyword of keywords) view.keywords.set(keyword.toLowerCase(), keyword)
      // What was committed since the snapshot was taken has not been heard of.
      view.stale = true
      session.select(view)

      announceFlags(session, view)
      out.untagged(`${view.count} EXISTS`)
      if (session.rev2) out.untagged(`LIST () "/" ${writeMailboxName(mailboxName, session.utf8)}`)
      else {
        out.untagged(`${view.recentCount} RECENT`)
        const unseen = firstUnseen(snapshot)
        if (unseen > 0 && !session.uidOnly) out.untagged(`OK [UNSEEN ${unseen}] First unseen message`)
      }
      out.untagged(`OK [UIDVALIDITY ${snapshot.uidValidity}] UIDs valid`)
      out.untagged(`OK [UIDNEXT ${snapshot.uidNext}] Predicted next UID`)
      // A mailbox that never changed has the lowest mod-sequence there is: 0 would say that there are none (RFC 7162 §3.1.2.1).
      out.untagged(`OK [HIGHESTMODSEQ ${Math.max(1, snapshot.highestModseq)}] Highest mod-sequence`)
      out.untagged(`OK [MAILBOXID (${mailbox.id})] Mailbox id`)
      if (known !== undefined) await tellSince(session, view, known)
      return { code: readOnly ? 'READ-ONLY' : 'READ-WRITE', text: `${mailboxName} is open` }
    },
  })

export const select = open('SELECT', false)
export const examine = open('EXAMINE', true)
