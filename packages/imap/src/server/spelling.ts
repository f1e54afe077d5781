// RFC 9051 §6.3.9.7: a name that the server spells otherwise than the client.

import { writeMailboxName } from '../wire/mailbox-name.ts'
import { Listing } from './listing.ts'
import type { ImapServerSession } from './session.ts'

/** Tells an IMAP4rev2 client under which name (`ours`) the mailbox is that it called `given`: LIST with OLDNAME. Others know no such response. */
export async function tellSpelling(session: ImapServerSession, given: string, ours: string): Promise<void> {
  if (!session.rev2 || given === ours) return
  const listing = new Listing(await session.account.list())
  const entry = listing.find(ours)
  if (entry === undefined) return
  const attributes = listing.attributes(entry, true)
  if (entry.subscribed) attributes.push('\\Subscribed')
  session.out.untagged(
    `LIST (${attributes.join(' ')}) "/" ${writeMailboxName(ours, true)} ("OLDNAME" (${writeMailboxName(given, true)}))`,
  )
}
