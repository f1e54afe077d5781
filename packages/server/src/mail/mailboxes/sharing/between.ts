// COPY between the mail of two accounts: the octets are read here and appended there.

import { type AppendMessage, BackendError, type CopyResult, type Mailbox, type MailAccount } from '@aviso/imap'

/** Octets that one copy may hold in memory: it is all or nothing (RFC 9051 §6.4.7). */
const OCTETS = 128 * 1024 * 1024

/** Copies messages into the mailbox `name` of `to`. A copy is a message of its own there, with the other account's numbers (EMAILID). */
export async function copyBetween(
  from: Mailbox,
  uids: readonly number[],
  to: MailAccount,
  name: string,
): Promise<CopyResult> {
  const wanted = new Set(uids)
  const snapshot = await from.snapshot()
  const source: number[] = []
  const messages: AppendMessage[] = []
  let octets = 0
  for (let i = 0; i < snapshot.uids.length; i++) {
    const uid = snapshot.uids[i] ?? 0
    if (!wanted.has(uid)) continue
    octets += snapshot.sizes[i] ?? 0
    if (octets > OCTETS)
      throw new BackendError('LIMIT', 'That is too much for one copy to the mail of another user: copy fewer messages')
    const bytes = await from.raw(uid)
    if (bytes === undefined) continue
    source.push(uid)
    messages.push({
      bytes,
      flags: snapshot.flagSets[snapshot.flags[i] ?? 0] ?? [],
      internalDate: snapshot.internalDates[i] ?? 0,
      zone: snapshot.zones[i] ?? 0,
    })
  }
  const { uidValidity, uids: destination } = await to.append(name, messages)
  return { uidValidity, source, destination }
}
