// RFC 9051 §6.3.11 STATUS, with SIZE (RFC 8438), RECENT (RFC 3501), HIGHESTMODSEQ (RFC 7162 §3.1.7), MAILBOXID (RFC 8474 §4.3),
// APPENDLIMIT (RFC 7889 §3) and DELETED-STORAGE (RFC 9208 §4.1.4)

import type { MailAccount, MailboxStatus } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import type { ImapServerSession } from '../server/session.ts'
import { bad } from '../wire/errors.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'
import { lowerBound } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'

const ITEMS = {
  MESSAGES: (status: MailboxStatus) => status.messages,
  RECENT: (_status: MailboxStatus, recent: number) => recent,
  UIDNEXT: (status: MailboxStatus) => status.uidNext,
  UIDVALIDITY: (status: MailboxStatus) => status.uidValidity,
  UNSEEN: (status: MailboxStatus) => status.unseen,
  DELETED: (status: MailboxStatus) => status.deleted,
  SIZE: (status: MailboxStatus) => status.size,
  // 0 would say that the mailbox has no mod-sequences (RFC 7162 §3.1.2.1).
  HIGHESTMODSEQ: (status: MailboxStatus) => Math.max(1, status.highestModseq),
  MAILBOXID: (status: MailboxStatus) => `(${status.id})`,
  'DELETED-STORAGE': (status: MailboxStatus) => status.deletedSize,
  APPENDLIMIT: (status: MailboxStatus, _recent: number, account: MailAccount) =>
    status.appendLimit ?? account.appendLimit,
} as const

export type StatusItem = keyof typeof ITEMS

/** A mailbox's counts, and how many of its messages no session has claimed yet. */
export interface StatusReport {
  readonly status: MailboxStatus
  readonly recent: number
}

/** `(MESSAGES UNSEEN ...)` */
export function parseStatusItems(parser: Parser): StatusItem[] {
  const items = parser.list(() => {
    const item = parser.word()
    if (!Object.hasOwn(ITEMS, item)) throw bad(`STATUS does not know the item ${item.slice(0, 40)}`)
    return item as StatusItem
  })
  if (items.length === 0) throw bad('STATUS needs at least one item')
  return [...new Set(items)]
}

/** Asks the store for what the items need. Rejects as the account does. */
export async function readStatus(
  account: MailAccount,
  name: string,
  items: readonly StatusItem[],
): Promise<StatusReport> {
  const status = await account.status(name)
  if (!items.includes('RECENT') || status.messages === 0 || status.recentUid >= status.uidNext)
    return { status, recent: 0 }
  const { uids } = await (await account.open(name)).snapshot()
  return { status, recent: uids.length - lowerBound(uids, status.recentUid) }
}

/** Writes `* STATUS name (...)`. */
export function writeStatus(
  session: ImapServerSession,
  name: string,
  items: readonly StatusItem[],
  { status, recent }: StatusReport,
): void {
  const values = items.map((item) => `${item} ${ITEMS[item](status, recent, session.account)}`)
  session.out.untagged(`STATUS ${writeMailboxName(name, session.utf8)} (${values.join(' ')})`)
}

export const status = defineCommand({
  name: 'STATUS',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const name = parser.mailbox()
    parser.space()
    return { name, items: parseStatusItems(parser) }
  },
  async execute(session, { name, items }) {
    if (items.includes('HIGHESTMODSEQ')) session.enableCondstore()
    writeStatus(session, name, items, await readStatus(session.account, name, items))
  },
})
