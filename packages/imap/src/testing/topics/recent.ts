// \Recent (RFC 3501): each message is new to one session only.

import assert from 'node:assert/strict'
import { type Kit } from '../kit.ts'
import { add } from '../mail.ts'

export function recent(kit: Kit): void {
  kit.story('recent messages are claimed once', async (account, under) => {
    const first = await add(account, 'INBOX', 'a')
    const mailbox = await account.open('INBOX')
    assert.ok((await account.status('INBOX')).recentUid <= first)
    assert.ok((await mailbox.claimRecent()).from <= first)
    const second = await add(account, 'INBOX', 'b')
    const other = await under.open()
    const remote = await other.open('INBOX')
    const claimed = await remote.claimRecent()
    assert.ok(claimed.from > first && claimed.from <= second && claimed.to > second)
    assert.ok((await mailbox.claimRecent()).from > second)
    assert.ok((await account.status('INBOX')).recentUid > second)
    other.close()
  })

  kit.story('sessions that claim at once share the messages out, none twice and none left', async (account, under) => {
    const uids = [await add(account, 'INBOX', 'a'), await add(account, 'INBOX', 'b'), await add(account, 'INBOX', 'c')]
    const other = await under.open()
    const open = [await account.open('INBOX'), await other.open('INBOX'), await other.open('INBOX')]
    const claims = await Promise.all(open.map((mailbox) => mailbox.claimRecent()))
    for (const uid of uids)
      assert.equal(claims.filter(({ from, to }) => from <= uid && uid < to).length, 1, `message ${uid}`)
    const nothing = await open[0]?.claimRecent()
    assert.equal(nothing?.from, nothing?.to)
    other.close()
  })

  kit.story('copies are recent where they arrive', async (account) => {
    await account.create('kit-to')
    const uid = await add(account, 'INBOX', 'a')
    const mailbox = await account.open('INBOX')
    await mailbox.claimRecent()
    const copy = (await mailbox.copy([uid], 'kit-to')).destination[0] ?? 0
    assert.ok((await account.status('kit-to')).recentUid <= copy)
    const claimed = await (await account.open('kit-to')).claimRecent()
    assert.ok(claimed.from <= copy && copy < claimed.to)
  })
}
