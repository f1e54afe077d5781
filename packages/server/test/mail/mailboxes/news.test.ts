// What is kept of mailboxes without asking the store is true, or is asked for anew.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../../../src/kernel/log.ts'
import type { MailChange } from '../../../src/mail/mailboxes/mailbox-rows.ts'
import { News } from '../../../src/mail/mailboxes/news.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { LocalBus } from '../../../src/store/bus.ts'
import { accountTopic, LOST } from '../../../src/store/contracts.ts'
import { account, message, openHouse } from './fixture.ts'

const change = (mailbox: number, modseq: number): MailChange => ({ kind: 'mail', mailbox, modseq })

test('a watch knows which mailbox changed, and up to when', () => {
  const bus = new LocalBus(silentLog())
  const watch = new News(bus).follow('anna')
  bus.publish(accountTopic('anna'), change(1, 5))
  bus.publish(accountTopic('ben'), change(2, 9))
  assert.equal(watch.knows(1, 4), false)
  assert.equal(watch.knows(1, 5), true)
  assert.equal(watch.knows(2, 1), true)
  assert.equal(watch.changes, 1)
})

test('where changes may have been missed, nothing is known any more', () => {
  const bus = new LocalBus(silentLog())
  const news = new News(bus)
  const watch = news.follow('anna')
  const { changes } = watch
  bus.broadcast({ kind: LOST })
  assert.equal(watch.knows(1, 1000), false)
  assert.notEqual(watch.changes, changes)
  const next = news.follow('anna')
  assert.notEqual(next, watch)
  assert.equal(next.knows(1, 1), true)
})

test('INBOX of who has logged in is ready before it is asked for, and as it is when it is asked for', async () => {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    const anna = house.open()
    await anna.append('INBOX', [{ bytes: message('a'), flags: [] }])
    house.mailboxes.expect('anna')
    // One is there before it was read, one comes while it is.
    const [, box] = await Promise.all([anna.append('INBOX', [{ bytes: message('b'), flags: [] }]), anna.open('INBOX')])
    await anna.append('INBOX', [{ bytes: message('c'), flags: [] }])
    const [one, other] = await Promise.all([box.snapshot(), box.snapshot()])
    assert.deepEqual([one.uids.length, other.uids.length], [3, 3])
    house.mailboxes.expect('nobody')
    // Whoever uses mail that is not there is told so; to expect it harms nobody.
    await assert.rejects(house.open('nobody').open('INBOX'), { code: 'NONEXISTENT' })
  } finally {
    await house.close()
  }
})

test('a mailbox that nobody changed is opened without asking the store, and nothing is \\Recent twice', async () => {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    const anna = house.open()
    await anna.append('INBOX', [{ bytes: message('a'), flags: ['work'] }])
    const first = await anna.open('INBOX')
    await first.snapshot()
    assert.deepEqual(await first.claimRecent(), { from: 1, to: 2 })
    // What was claimed is written, and not told as a change.
    house.clock.turn(1000)
    await house.store.figures()
    await house.store.figures()
    const asked = house.store.asked('anna')
    const second = await house.open().open('inbox')
    assert.deepEqual([(await second.snapshot()).uids.length, await second.keywords()], [1, ['work']])
    const { from, to } = await second.claimRecent()
    assert.equal(from, to)
    assert.equal(house.store.asked('anna'), asked)
    await anna.append('INBOX', [{ bytes: message('b'), flags: ['play'] }])
    const third = await anna.open('INBOX')
    assert.deepEqual([(await third.snapshot()).uids.length, await third.keywords()], [2, ['play', 'work']])
    assert.deepEqual(await third.claimRecent(), { from: 2, to: 3 })
    await anna.create('Other')
    await anna.rename('Other', 'Another')
    await assert.rejects(anna.open('Other'), { code: 'NONEXISTENT' })
  } finally {
    await house.close()
  }
})

test('a second session sees what a first one changed, whichever way it asks', async () => {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    const [first, second] = [house.open(), house.open()]
    await first.append('INBOX', [{ bytes: message('a'), flags: [] }])
    const box = await second.open('INBOX')
    assert.equal((await box.snapshot()).uids.length, 1)
    assert.deepEqual(await box.keywords(), [])
    await first.append('INBOX', [{ bytes: message('b'), flags: ['work'] }])
    assert.equal((await box.snapshot()).uids.length, 2)
    assert.deepEqual(await box.keywords(), ['work'])
    assert.equal((await (await first.open('INBOX')).snapshot()).uids.length, 2)
  } finally {
    await house.close()
  }
})

test('what was told as recent is claimed by one session, and stays so after a restart', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-recent-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const before = await openHouse({ folder })
  await before.mailboxes.room.create(account('anna'))
  await before.open().append('INBOX', [{ bytes: message('a'), flags: [] }])
  const [one, other] = [await before.open().open('INBOX'), await before.open().open('INBOX')]
  assert.deepEqual(await one.claimRecent(), { from: 1, to: 2 })
  assert.deepEqual(await other.claimRecent(), { from: 2, to: 2 })
  assert.equal((await before.open().status('INBOX')).recentUid, 2)
  await before.open().append('INBOX', [{ bytes: message('b'), flags: [] }])
  assert.deepEqual(await other.claimRecent(), { from: 2, to: 3 })
  await before.close()

  const after = await openHouse({ folder })
  try {
    assert.deepEqual(await (await after.open().open('INBOX')).claimRecent(), { from: 3, to: 3 })
    assert.equal((await after.store.account(mailStore, 'anna').find({ name: 'INBOX' })).recentUid, 3)
  } finally {
    await after.close()
  }
})
