// Numbers that are given once only: UIDs, mod-sequences, UIDVALIDITY, and the numbers of rows. One that has fallen behind would be given again, and a client would take one message for another.

import { type Transaction, write } from '../../store/contracts.ts'
import { finding, type Finding, type Step, type StepOrder } from './check-operations.ts'
import { allMailboxes } from './mailbox-rows.ts'

const greatest = async (tx: Transaction, sql: string, ...parameters: readonly number[]): Promise<number> =>
  Number((await tx.get(sql, ...parameters))?.[0] ?? 0)

const lastModseqIn = async (tx: Transaction, mailbox: number): Promise<number> =>
  Math.max(
    await greatest(tx, 'SELECT max(modseq) FROM mail_message WHERE mailbox = ?', mailbox),
    await greatest(tx, 'SELECT max(modseq) FROM mail_expunged WHERE mailbox = ?', mailbox),
    await greatest(tx, 'SELECT max(modseq) FROM mail_flags WHERE mailbox = ?', mailbox),
  )

/** The numbers of one mailbox, the next one after the id `after`; at the end those of the account. With `repair`, they are put above all that were given. */
export const checkNumbers = write(async (tx, { after, repair }: StepOrder): Promise<Step> => {
  const mailboxes = await allMailboxes(tx)
  const mailbox = mailboxes.filter(({ id }) => id > after).sort((a, b) => a.id - b.id)[0]
  if (mailbox === undefined) return { findings: await ofAccount(tx, repair), next: undefined }
  const { id, name, uidNext, modseq } = mailbox
  const lastUid = Math.max(
    await greatest(tx, 'SELECT max(uid) FROM mail_message WHERE mailbox = ?', id),
    await greatest(tx, 'SELECT max(uid) FROM mail_expunged WHERE mailbox = ?', id),
  )
  const lastModseq = await lastModseqIn(tx, id)
  const findings: Finding[] = []
  if (uidNext <= lastUid) {
    if (repair) await tx.run('UPDATE mail_mailbox SET uidnext = ? WHERE id = ?', lastUid + 1, id)
    findings.push(finding('numbers', `${name}: the next UID is ${uidNext}, and ${lastUid} was given`, repair))
  }
  if (modseq < lastModseq) {
    if (repair) await tx.run('UPDATE mail_mailbox SET modseq = ? WHERE id = ?', lastModseq, id)
    findings.push(finding('numbers', `${name}: its mod-sequence is ${modseq}, and a message has ${lastModseq}`, repair))
  }
  return { findings, next: id }
})

/** The account's own numbers, each with the last one that was given. */
const GIVEN = [
  ['modseq', 'SELECT max(modseq) FROM mail_mailbox'],
  ['uidvalidity', 'SELECT max(uidvalidity) FROM mail_mailbox'],
  ['mailbox', 'SELECT max(id) FROM mail_mailbox'],
  ['email', 'SELECT max(id) FROM mail_email'],
  ['flagset', 'SELECT max(id) FROM mail_flagset'],
] as const

const RAISE = {
  modseq: 'UPDATE mail_state SET modseq = ? WHERE id = 1',
  uidvalidity: 'UPDATE mail_state SET uidvalidity = ? WHERE id = 1',
  mailbox: 'UPDATE mail_state SET mailbox = ? WHERE id = 1',
  email: 'UPDATE mail_state SET email = ? WHERE id = 1',
  flagset: 'UPDATE mail_state SET flagset = ? WHERE id = 1',
} as const

async function ofAccount(tx: Transaction, repair: boolean): Promise<readonly Finding[]> {
  const row = await tx.get('SELECT modseq, uidvalidity, mailbox, email, flagset FROM mail_state WHERE id = 1')
  if (row === undefined) return []
  const findings: Finding[] = []
  for (const [i, [name, sql]] of GIVEN.entries()) {
    let last = await greatest(tx, sql)
    if (name === 'modseq')
      for (const { id } of await allMailboxes(tx)) last = Math.max(last, await lastModseqIn(tx, id))
    if (Number(row[i]) >= last) continue
    if (repair) await tx.run(RAISE[name], last)
    findings.push(finding('numbers', `the account's last ${name} is ${String(row[i])}, and ${last} was given`, repair))
  }
  return findings
}
