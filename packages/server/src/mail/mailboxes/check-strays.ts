// Messages of a mailbox whose row is not there: nobody sees them, and nothing would ever take them away.

import { write } from '../../store/contracts.ts'
import { type Step, type StepOrder, recounted } from './check-operations.ts'
import { nextUidValidity, tick } from './clock.ts'
import { announce } from './mailbox-rows.ts'

/** The next mailbox after the id `after` that messages name. With `repair`, one that is not there is made, under a name of its own. */
export const checkStrays = write(async (tx, { after, repair }: StepOrder): Promise<Step> => {
  const row = await tx.get(
    `SELECT m.mailbox, b.id IS NULL AND d.mailbox IS NULL
     FROM (SELECT min(mailbox) AS mailbox FROM mail_message WHERE mailbox > ?) AS m
     LEFT JOIN mail_mailbox b ON b.id = m.mailbox LEFT JOIN mail_deleted d ON d.mailbox = m.mailbox`,
    after,
  )
  if (row === undefined || row[0] === null) return { findings: [], next: undefined }
  const id = Number(row[0])
  if (row[1] !== 1) return { findings: [], next: id }
  const counts = await recounted(tx, id)
  const name = `Recovered ${id}`
  if (repair) {
    const last = await tx.get(
      'SELECT max((SELECT max(uid) FROM mail_message WHERE mailbox = ?), coalesce((SELECT max(uid) FROM mail_expunged WHERE mailbox = ?), 0))',
      id,
      id,
    )
    const { modseq } = await tick(tx)
    await tx.run(
      'INSERT INTO mail_mailbox (id, name, role, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets, deleted_octets, recent_uid, trimmed_modseq) VALUES (?, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)',
      id,
      name,
      await nextUidValidity(tx),
      Number(last?.[0]) + 1,
      modseq,
      counts.messages,
      counts.unseen,
      counts.deleted,
      counts.octets,
      counts.deletedOctets,
      modseq,
    )
    await tx.run('INSERT INTO mail_subscription (name) VALUES (?) ON CONFLICT (name) DO NOTHING', name)
    announce(tx, undefined, modseq)
  }
  const text = `${counts.messages} messages are in a mailbox (${id}) that is not there`
  return {
    findings: [
      { kind: 'stray', text: repair ? `${text}: they are in ${name} now` : text, messages: [], repaired: repair },
    ],
    next: id,
  }
})
