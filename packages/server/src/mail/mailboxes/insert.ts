// Messages that are new to the account: APPEND, delivery, REPLACE.

import type { FlagSet } from '@aviso/imap'
import type { Transaction } from '../../store/contracts.ts'
import { keepEmail } from './emails.ts'
import { FlagSets } from './flags.ts'
import { count, growMailbox, haveUids, type MailboxRow, noGrowth } from './mailbox-rows.ts'
import { type Incoming, store } from './octets.ts'
import { type Bounds, fitting } from './message-sizes.ts'
import { admit } from './quota.ts'

/** A message on its way in. */
export interface NewMessage {
  readonly message: Incoming
  readonly flags: FlagSet
  /** Milliseconds since the epoch; undefined: now. */
  readonly internalDate: number | undefined
  /** In minutes east of UTC; undefined: 0. */
  readonly zone: number | undefined
}

/** What leaves by the same change: it makes room. */
export interface Leaving {
  readonly octets: number
  readonly messages: number
}

/** Puts the messages into the mailbox as one change. Answers the first of their UIDs, which follow one another. `StoreError`: OVERQUOTA, TOOBIG. */
export async function insert(
  tx: Transaction,
  mailbox: MailboxRow,
  messages: readonly NewMessage[],
  limits: Bounds,
  leaving: Leaving = { octets: 0, messages: 0 },
): Promise<number> {
  haveUids(mailbox, messages.length)
  const stored = messages.map(({ message }) => store(message))
  fitting(limits.sizes, mailbox.id, stored)
  const sets = new FlagSets(tx)
  const growth = noGrowth()
  const { modseq, email: lastEmail } = await admit(tx, limits, {
    emails: messages.length,
    octets: stored.reduce((sum, { size }) => sum + size, 0),
    leaving,
  })
  let email = lastEmail - messages.length
  let uid = mailbox.uidNext
  for (const [i, { flags, internalDate, zone }] of messages.entries()) {
    const one = stored[i]
    if (one === undefined) continue
    const set = await sets.intern(await sets.canonical(flags, true))
    await keepEmail(tx, ++email, one)
    await tx.run(
      'INSERT INTO mail_message (mailbox, uid, modseq, flagset, email, size, internal_date, zone, saved_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      mailbox.id,
      uid++,
      modseq,
      set.id,
      email,
      one.size,
      Math.trunc(internalDate ?? tx.now - (tx.now % 1000)),
      zoneMinutes(zone),
      tx.now,
    )
    count(growth, set, one.size, 1)
  }
  await growMailbox(tx, mailbox.id, modseq, growth, messages.length)
  return mailbox.uidNext
}

/** What a zone of RFC 9051's date-time can say; anything else is UTC. */
const zoneMinutes = (zone: number | undefined): number =>
  zone !== undefined && Number.isInteger(zone) && Math.abs(zone) < 6000 ? zone : 0
