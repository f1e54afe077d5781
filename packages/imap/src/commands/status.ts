// RFC 9051 §6.3.11 STATUS, with SIZE (RFC 8438), RECENT (RFC 3501) and APPENDLIMIT (RFC 7889)

import type { MailboxStatus } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import type { ImapServerSession } from '../server/session.ts'
import { astring } from '../wire/encode.ts'
import { bad } from '../wire/errors.ts'
import { encodeMutf7 } from '../wire/mailbox-name.ts'
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
} as const

export type StatusItem = keyof typeof ITEMS | 'APPENDLIMIT'

/** `(MESSAGES UNSEEN ...)` */
export function parseStatusItems(parser: Parser): StatusItem[] {
  const items = parser.list(() => {
    const item = parser.word()
    if (item !== 'APPENDLIMIT' && !Object.hasOwn(ITEMS, item))
      throw bad(`STATUS does not know the item ${item.slice(0, 40)}`)
    return item as StatusItem
  })
  if (items.length === 0) throw bad('STATUS needs at least one item')
  return [...new Set(items)]
}

/** Writes `* STATUS name (...)`. Rejects as the account does. */
export async function writeStatus(
  session: ImapServerSession,
  name: string,
  items: readonly StatusItem[],
): Promise<void> {
  const { account } = session
  const status = await account.status(name)
  let recent = 0
  if (items.includes('RECENT') && status.recentUid < status.uidNext) {
    const { uids } = await (await account.open(name)).snapshot()
    recent = uids.length - lowerBound(uids, status.recentUid)
  }
  const values = items.map(
    (item) => `${item} ${item === 'APPENDLIMIT' ? account.appendLimit : ITEMS[item](status, recent)}`,
  )
  session.out.untagged(`STATUS ${astring(encodeMutf7(name))} (${values.join(' ')})`)
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
  execute: (session, { name, items }) => writeStatus(session, name, items),
})
