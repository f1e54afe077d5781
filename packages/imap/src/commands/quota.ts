// RFC 9208 GETQUOTA, GETQUOTAROOT, SETQUOTA: all mailboxes of a user share the one quota root `""`.

import type { MailAccount, QuotaResource } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { personal } from '../server/namespaces.ts'
import { bad, no } from '../wire/errors.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'

const ROOT = ''

function resources(account: MailAccount): Promise<readonly QuotaResource[]> {
  if (account.quota === undefined) throw bad('This account has no QUOTA')
  return account.quota()
}

/** RFC 9208 §4.2.1: only what is limited is named. */
function quotaLine(found: readonly QuotaResource[]): string {
  const limited = found.flatMap(({ resource, usage, limit }) =>
    limit === undefined ? [] : [`${resource} ${usage} ${limit}`],
  )
  return `QUOTA "${ROOT}" (${limited.join(' ')})`
}

export const getQuota = defineCommand({
  name: 'GETQUOTA',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    return parser.text()
  },
  async execute(session, root) {
    const found = await resources(session.account)
    if (root !== ROOT) throw no('There is no such quota root: the one there is is called ""', 'NONEXISTENT')
    session.out.untagged(quotaLine(found))
  },
})

export const getQuotaRoot = defineCommand({
  name: 'GETQUOTAROOT',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    return parser.mailbox()
  },
  async execute(session, mailbox) {
    const { account, out } = session
    const found = await resources(account)
    // What another user's mailbox fills is that user's quota, and none of this one's business.
    const own = personal(account, mailbox)
    out.untagged(`QUOTAROOT ${writeMailboxName(mailbox, session.utf8)}${own ? ` "${ROOT}"` : ''}`)
    if (own) out.untagged(quotaLine(found))
  },
})

export const setQuota = defineCommand({
  name: 'SETQUOTA',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    parser.text()
    parser.space()
    parser.list(() => {
      parser.atom()
      parser.space()
      parser.number64()
    })
  },
  async execute(session) {
    await resources(session.account)
    throw no('Quotas are set by the administrator of this server', 'NOPERM')
  },
})
