// Restarts: what was acknowledged is there afterwards, no UID comes twice, no mod-sequence is lower.

import assert from 'node:assert/strict'
import type { MailAccount } from '../../backend.ts'
import { type Kit } from '../kit.ts'
import { add, course, find, message, metas, model, put, rowText, uidsIn } from '../mail.ts'

export function robustness(kit: Kit): void {
  kit.story('a restart loses nothing', async (first, under) => {
    if (under.reopen === undefined) return
    await first.create('kit-é/deep')
    await first.subscribe('kit-é/deep', true)
    await first.subscribe('kit-never', true)
    const a = await put(first, 'INBOX', {
      bytes: message('a'),
      flags: ['\\Seen', 'KitA', '\\Draft'],
      internalDate: Date.UTC(2019, 1, 2),
      zone: -210,
    })
    const b = await put(first, 'INBOX', { bytes: message('b'), flags: ['kitb'] })
    const c = await put(first, 'INBOX', { bytes: message('c'), flags: ['\\Deleted'] })
    const inbox = await first.open('INBOX')
    const old = (await inbox.snapshot()).highestModseq
    await inbox.store([a], { action: 'add', flags: ['\\Flagged'] })
    await inbox.expunge([c])
    await inbox.copy([a], 'kit-é/deep')
    await inbox.claimRecent()
    const before = await everything(first)
    await under.reopen()
    const account = await under.open()
    assert.deepEqual(await everything(account), before)
    assert.equal((await find(account, 'kit-never'))?.subscribed, true)
    const again = await account.open('INBOX')
    const keywords = await again.keywords()
    assert.ok(keywords.includes('KitA') && keywords.includes('kitb'))
    const delta = await again.delta(old)
    // A store that trims its history at a restart says so.
    if (delta.complete) assert.deepEqual(delta.vanished, [c])
    assert.ok(delta.changed.some((row) => row.uid === a) && delta.changed.every((row) => row.uid !== b))
    const next = await add(account, 'INBOX', 'next')
    assert.ok(next > c)
    const claimed = await again.claimRecent()
    assert.ok(claimed.from > b && claimed.from <= next && claimed.to > next, 'what was claimed stays claimed')
    account.close()
  })

  kit.story('the newest message expunged, the mailbox emptied: UIDs and mod-sequences go on', async (first, under) => {
    if (under.reopen === undefined) return
    let account = first
    let lastUid = 0
    let lastModseq = 0
    for (let round = 0; round < 4; round++) {
      const uid = await add(account, 'INBOX', `round ${round}`, ['\\Deleted'])
      assert.ok(uid > lastUid, `UID ${uid} after ${lastUid}`)
      const mailbox = await account.open('INBOX')
      const gone = await mailbox.expunge([uid])
      assert.ok(gone.highestModseq > lastModseq)
      lastUid = uid
      lastModseq = gone.highestModseq
      await under.reopen()
      account.close()
      account = await under.open()
      const status = await account.status('INBOX')
      assert.ok(status.uidNext > lastUid && status.highestModseq >= lastModseq)
    }
    account.close()
  })

  kit.story('a mailbox made again after a restart is another one', async (first, under) => {
    if (under.reopen === undefined) return
    const entry = await first.create('kit-again')
    const { uidValidity } = await first.status('kit-again')
    await first.delete('kit-again')
    await under.reopen()
    const account = await under.open()
    assert.equal((await find(account, 'kit-again'))?.selectable ?? false, false)
    const again = await account.create('kit-again')
    assert.notEqual(again.id, entry.id)
    assert.ok((await account.status('kit-again')).uidValidity > uidValidity)
    account.close()
  })

  kit.story('deltas go on over restarts', async (first, under) => {
    if (under.reopen === undefined) return
    let account = first
    const random = course(5)
    for (let i = 0; i < 12; i++) await add(account, 'INBOX', `start ${i}`)
    const start = await account.open('INBOX')
    const state = await model(start)
    let since = (await start.snapshot()).highestModseq
    for (let round = 0; round < 5; round++) {
      const mailbox = await account.open('INBOX')
      for (let step = 0; step < 6; step++) {
        const some = (await uidsIn(mailbox)).filter(() => random(4) === 0)
        if (random(3) === 0) await add(account, 'INBOX', `r${round}.${step}`)
        else if (random(2) === 0)
          await mailbox.store(some, { action: 'add', flags: [['\\Deleted', 'Kit'][random(2)] ?? 'Kit'] })
        else await mailbox.expunge(some)
      }
      await under.reopen()
      account.close()
      account = await under.open()
      const again = await account.open('INBOX')
      const delta = await again.delta(since)
      const now = await model(again)
      for (const uid of delta.vanished) state.delete(uid)
      if (!delta.complete) for (const uid of state.keys()) if (!now.has(uid)) state.delete(uid)
      for (const row of delta.changed) state.set(row.uid, rowText(row))
      assert.deepEqual(
        [...state].sort(([a], [b]) => a - b),
        [...now],
      )
      assert.ok(delta.highestModseq >= since)
      since = delta.highestModseq
    }
    account.close()
  })
}

/** All that a client could know of the mail, as a value. */
async function everything(account: MailAccount): Promise<unknown> {
  const all: unknown[] = []
  for (const entry of await account.list()) {
    if (!entry.selectable) {
      all.push(entry)
      continue
    }
    const mailbox = await account.open(entry.name)
    const uids = await uidsIn(mailbox)
    const texts: string[] = []
    for (const uid of uids) texts.push(Buffer.from((await mailbox.raw(uid)) ?? []).toString('latin1'))
    all.push({
      entry,
      status: await account.status(entry.name),
      rows: [...(await model(mailbox))],
      ids: await metas(mailbox, uids, ['emailId', 'threadId', 'saveDate']),
      texts,
    })
  }
  return all
}
