// RFC 5464 §3.2: names and values of annotations.

import { BackendError, type Bytes, type MailAccount, type MailboxEntry } from '../backend.ts'
import { specialUse } from '../server/listing.ts'
import { allows } from '../server/rights.ts'
import type { ImapServerSession } from '../server/session.ts'
import { astring, encodeLiteral, encodeString } from '../wire/encode.ts'
import { bad } from '../wire/errors.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'
import type { Parser } from '../wire/parser.ts'

/** Octets of an entry's name. */
const NAME_LENGTH = 255

/** RFC 6154 §4: follows the mailbox's special use, and is made here. */
export const SPECIAL_USE_ENTRY = '/private/specialuse'

/** An entry's name in the client's spelling; names are compared in lower case. Throws BAD for one that cannot be. */
export function parseEntryName(parser: Parser): string {
  const name = Buffer.from(parser.astring()).toString('latin1')
  if (name.length > NAME_LENGTH) throw bad(`Names of entries have ${NAME_LENGTH} octets at most`)
  if (!/^[\x20-\x7e]+$/.test(name) || name.includes('*') || name.includes('%'))
    throw bad('The name of an entry is made of ASCII characters other than * and %')
  if (!/^\/(private|shared)(\/|$)/i.test(name)) throw bad('The name of an entry begins with /private/ or /shared/')
  if (name.endsWith('/') || name.includes('//')) throw bad('The name of an entry has an empty part')
  return name
}

/** Throws BAD when no value can be kept under that name (RFC 5464 §3.2). */
export function checkSettable(name: string): void {
  const parts = name.split('/').slice(1)
  if (parts.length < 2) throw bad('The name of an entry has two parts at least')
  if (parts[1]?.toLowerCase() === 'vendor' && parts.length < 4)
    throw bad('The name of a vendor entry has four parts at least')
}

/** Throws what tells the user no more than they may know, where they may not see or set annotations (RFC 5464 §3.3). */
export function checkAnnotatable(entry: MailboxEntry): void {
  if (!allows(entry.rights, 'l')) throw new BackendError('NONEXISTENT', 'There is no such mailbox')
  if (!allows(entry.rights, 'rswip')) throw new BackendError('NOPERM', 'You have no access to the mailbox')
}

/** All annotations of a mailbox, by names in lower case. Rejects as the account does. */
export async function allEntries(account: MailAccount, entry: MailboxEntry): Promise<ReadonlyMap<string, Bytes>> {
  const kept = (await account.metadata?.(entry.name)) ?? new Map<string, Bytes>()
  const use = specialUse(entry)
  const entries = new Map(kept)
  entries.delete(SPECIAL_USE_ENTRY)
  if (use !== undefined) entries.set(SPECIAL_USE_ENTRY, Buffer.from(`\\${use}`))
  return entries
}

/** The values of these entries, undefined where there is none, by the names given. */
export async function readEntries(
  account: MailAccount,
  entry: MailboxEntry,
  names: readonly string[],
): Promise<ReadonlyMap<string, Bytes | undefined>> {
  checkAnnotatable(entry)
  const kept = await allEntries(account, entry)
  return new Map(names.map((name) => [name, kept.get(name.toLowerCase())]))
}

/** Writes `* METADATA mailbox (entry value ...)`; nothing when there are no entries. `mailbox` `''` is the server. */
export function writeEntries(
  session: ImapServerSession,
  mailbox: string,
  entries: ReadonlyMap<string, Bytes | undefined>,
): void {
  if (entries.size === 0) return
  const { out } = session
  out.text(`* METADATA ${writeMailboxName(mailbox, session.utf8)} (`)
  let follows = false
  for (const [name, value] of entries) {
    out.text(`${follows ? ' ' : ''}${astring(name)} `)
    follows = true
    if (value === undefined) out.text('NIL')
    else if (value.includes(0)) {
      // literal8 (RFC 5464 §5 `value`)
      out.text('~')
      out.bytes(encodeLiteral(value))
    } else out.bytes(encodeString(value))
  }
  out.text(')\r\n')
}
