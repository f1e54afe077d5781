// Mailboxes by the names that people type.

import type { MailAccount, MailboxEntry } from '@aviso/imap'
import { nearest } from '../../kernel/nearest.ts'
import { MailAdminError, type MailboxLine } from '../administration.ts'

export async function lineOf(account: MailAccount, entry: MailboxEntry): Promise<MailboxLine> {
  const { name, role, subscribed, selectable, id } = entry
  const none = { messages: 0, unseen: 0, deleted: 0, size: 0, uidValidity: 0, uidNext: 0, highestModseq: 0 }
  const { messages, unseen, deleted, size, uidValidity, uidNext, highestModseq } = selectable
    ? await account.status(name)
    : none
  return {
    name,
    role,
    subscribed,
    selectable,
    id,
    messages,
    unseen,
    deleted,
    size,
    uidValidity,
    uidNext,
    highestModseq,
  }
}

export async function entryOf(account: MailAccount, name: string): Promise<MailboxEntry> {
  const entries = await account.list()
  const found = entries.find((entry) => entry.selectable && same(entry.name, name))
  if (found === undefined) throw noMailbox(name, entries)
  return found
}

export const same = (one: string, typed: string): boolean =>
  one === typed.normalize('NFC') || (/^inbox$/i.test(typed) && one === 'INBOX')

export function noMailbox(name: string, entries: readonly MailboxEntry[]): MailAdminError {
  const names = entries.filter((entry) => entry.selectable).map((entry) => entry.name)
  const near = nearest(name, names) ?? names.find((one) => one.endsWith(`/${name}`))
  const others = names.length > 12 ? `${names.slice(0, 12).join(', ')} ...` : names.join(', ')
  return new MailAdminError(
    'not-found',
    `there is no mailbox ${name}${near === undefined ? `; there are ${others}` : `. Did you mean ${near}?`}`,
  )
}
