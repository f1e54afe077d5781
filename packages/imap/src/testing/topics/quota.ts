// Quota (RFC 9208): what is counted, and what happens at the limit.

import assert from 'node:assert/strict'
import type { MailAccount, QuotaResource } from '../../backend.ts'
import { type Kit, refused } from '../kit.ts'
import { add, message, model, put, uidsIn } from '../mail.ts'

export function quota(kit: Kit): void {
  kit.story('usage follows every change', async (account) => {
    if (!offered(kit, account)) return
    const usage = async (resource: QuotaResource['resource']): Promise<number> => {
      const found = (await account.quota?.())?.find((one) => one.resource === resource)
      assert.ok(found !== undefined, `${resource} is counted`)
      assert.ok(found.limit === undefined || Number.isInteger(found.limit))
      return found.usage
    }
    const mailboxes = await usage('MAILBOX')
    assert.equal(await usage('MESSAGE'), 0)
    assert.equal(await usage('STORAGE'), 0)
    await account.create('kit-to')
    assert.equal(await usage('MAILBOX'), mailboxes + 1)
    let octets = 0
    for (const length of [10, 3000, 5000]) {
      const bytes = message('big', 'x'.repeat(length))
      octets += bytes.length
      await put(account, 'INBOX', { bytes, flags: ['\\Deleted'] })
    }
    assert.equal(await usage('MESSAGE'), 3)
    assert.equal(await usage('STORAGE'), Math.ceil(octets / 1024))
    const mailbox = await account.open('INBOX')
    const uids = await uidsIn(mailbox)
    await mailbox.move(uids.slice(0, 1), 'kit-to')
    assert.equal(await usage('MESSAGE'), 3)
    assert.equal(await usage('STORAGE'), Math.ceil(octets / 1024))
    await mailbox.copy(uids.slice(1, 2), 'kit-to')
    assert.equal(await usage('MESSAGE'), 4)
    await mailbox.expunge(uids)
    assert.equal(await usage('MESSAGE'), 2)
    await account.delete('kit-to')
    assert.deepEqual([await usage('MESSAGE'), await usage('STORAGE'), await usage('MAILBOX')], [0, 0, mailboxes])
  })

  kit.story('at the limit APPEND and COPY are refused whole, MOVE and REPLACE go on', async (account, under) => {
    if (!offered(kit, account) || under.limitStorage === undefined) return
    await account.create('kit-to')
    const old = await put(account, 'INBOX', { bytes: message('old', 'x'.repeat(3000)), flags: [] })
    await under.limitStorage(4)
    assert.equal((await account.quota?.())?.find((one) => one.resource === 'STORAGE')?.limit, 4)
    const mailbox = await account.open('INBOX')
    const before = await model(mailbox)
    const big = { bytes: message('new', 'y'.repeat(2500)), flags: [] }
    await refused(account.append('INBOX', [{ bytes: message('small'), flags: [] }, big]), 'OVERQUOTA')
    await refused(mailbox.copy([old], 'kit-to'), 'OVERQUOTA')
    assert.deepEqual(await model(mailbox), before)
    assert.equal((await account.status('kit-to')).messages, 0)
    const { uids } = await mailbox.replace(old, 'INBOX', { bytes: message('newer', 'z'.repeat(3000)), flags: [] })
    const huge = { bytes: message('huge', 'y'.repeat(9000)), flags: [] }
    await refused(mailbox.replace(uids[0] ?? 0, 'INBOX', huge), 'OVERQUOTA')
    assert.deepEqual(await uidsIn(mailbox), uids)
    await mailbox.move(uids, 'kit-to')
    await under.limitStorage(1)
    // Over the limit, yet a move takes no room.
    await (await account.open('kit-to')).move(await uidsIn(await account.open('kit-to')), 'INBOX')
    await refused(add(account, 'INBOX', 'one more'), 'OVERQUOTA')
    assert.equal((await account.status('INBOX')).messages, 1)
  })
}

function offered(kit: Kit, account: MailAccount): boolean {
  if (account.quota === undefined) assert.ok(!kit.expects.has('quota'), 'the store was said to have quota')
  return account.quota !== undefined
}
