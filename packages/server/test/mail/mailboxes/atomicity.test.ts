// What a crash leaves behind is what was acknowledged, whole; what fails leaves nothing.

import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { MailAccount, MailboxStatus } from '@aviso/imap'
import { News } from '../../../src/mail/mailboxes/news.ts'
import { NO_LIMITS } from '../../../src/mail/mailboxes/quota.ts'
import { Snapshots } from '../../../src/mail/mailboxes/snapshots.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { defineStore, read } from '../../../src/store/contracts.ts'
import { openStore } from '../../../src/store/open.ts'
import { testScope } from '../../fixtures/scope.ts'
import { account, type House, message, openHouse, text } from './fixture.ts'

const large = message('large', `${'l'.repeat(70)}\r\n`.repeat(6000))

async function healthy(house: House): Promise<void> {
  for await (const { text } of house.mailboxes.examine('anna', false)) assert.fail(text)
}

const names = async (anna: MailAccount): Promise<string[]> =>
  (await anna.list()).filter(({ selectable }) => selectable).map(({ name }) => name)

async function statuses(anna: MailAccount): Promise<Map<string, MailboxStatus>> {
  const found = new Map<string, MailboxStatus>()
  for (const name of await names(anna)) found.set(name, await anna.status(name))
  return found
}

test('after every acknowledged change, the files on disk hold all of it', { timeout: 60_000 }, async () => {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    const anna = house.open()
    const inbox = await anna.open('INBOX')
    const append = (bytes: Uint8Array) => anna.append('INBOX', [{ bytes, flags: ['\\Seen'] }])
    const steps: readonly (() => Promise<unknown>)[] = [
      () => append(message('one')),
      () => Promise.all([append(message('two', 'x'.repeat(2000))), append(large), append(message('three'))]),
      () => inbox.replace(1, 'Drafts', { bytes: message('one, again'), flags: ['\\Draft'] }),
      () => inbox.move([2], 'Trash'),
      () => inbox.copy([3, 4], 'Archive'),
      () => inbox.store([3, 4], { action: 'add', flags: ['\\Deleted', 'kept'] }),
      () => inbox.expunge([3]),
      () => house.mailboxes.deliver('anna', { bytes: large, mailbox: 'Junk', deliveryId: 'd' }),
      () => anna.rename('Archive', 'Kept/Archive'),
      () => anna.delete('Trash'),
      () => house.mailboxes.setQuota('anna', { messages: 100 }),
      () => house.mailboxes.sweep('anna'),
    ]
    for (const step of steps) {
      await step()
      const expected = await statuses(anna)
      // What would be there if the power went now: the files as they are, log and all.
      const folder = mkdtempSync(join(tmpdir(), 'aviso-crash-'))
      cpSync(house.folder, folder, { recursive: true })
      const after = await openHouse({ folder })
      try {
        assert.deepEqual(await statuses(after.open()), expected)
        assert.deepEqual(await after.mailboxes.quota('anna'), await house.mailboxes.quota('anna'))
        await healthy(after)
        for (const name of expected.keys()) {
          const [here, there] = [await anna.open(name), await after.open().open(name)]
          const { uids, zones } = await there.snapshot()
          assert.deepEqual([uids, zones], [(await here.snapshot()).uids, (await here.snapshot()).zones])
          for (const uid of uids) assert.equal(text(await there.raw(uid)), text(await here.raw(uid)))
        }
      } finally {
        await after.close()
        rmSync(folder, { recursive: true, force: true })
      }
    }
  } finally {
    await house.close()
  }
})

test('what fails in the middle changes nothing, and nothing of those who wrote at the same moment', async () => {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    const anna = house.open()
    await anna.append('INBOX', [{ bytes: message('first'), flags: [] }])
    const inbox = await anna.open('INBOX')
    const before = await statuses(anna)
    const totals = await house.mailboxes.quota('anna')
    const bad = { bytes: message('bad'), flags: ['not an atom'] }
    const outcomes = await Promise.allSettled([
      anna.append('INBOX', [{ bytes: message('good'), flags: [] }, bad]),
      inbox.replace(1, 'Drafts', bad),
      anna.append('INBOX', [bad]),
      inbox.copy([1], 'nowhere'),
    ])
    assert.ok(outcomes.every(({ status }) => status === 'rejected'))
    assert.deepEqual(await statuses(anna), before)
    assert.deepEqual(await house.mailboxes.quota('anna'), totals)
    const mixed = await Promise.allSettled([
      anna.append('INBOX', [{ bytes: message('second'), flags: [] }]),
      anna.append('INBOX', [bad]),
      inbox.store([1], { action: 'add', flags: ['\\Flagged'] }),
      inbox.replace(1, 'nowhere', { bytes: message('lost'), flags: [] }),
      anna.append('Sent', [{ bytes: message('third'), flags: [] }]),
    ])
    assert.deepEqual(
      mixed.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
    )
    const { flags, flagSets, uids } = await inbox.snapshot()
    assert.deepEqual([...uids], [1, 2])
    assert.deepEqual(flagSets[flags[0] ?? -1], ['\\Flagged'])
    assert.equal((await anna.status('Sent')).messages, 1)
    await healthy(house)
  } finally {
    await house.close()
  }
})

test('mail that comes again after SQLite ended a transaction by itself has its flags', async () => {
  const unreadable = defineStore({
    name: 'unreadable',
    scale: 'account',
    migrations: [],
    operations: {
      /** As SQLite does when the disk cannot be read. */
      read: read(async (tx) => {
        await tx.run('ROLLBACK')
        throw Object.assign(new Error('disk I/O error'), { errcode: 10 })
      }),
    },
  })
  const folder = mkdtempSync(join(tmpdir(), 'aviso-unreadable-'))
  const scope = testScope()
  try {
    const store = await openStore(scope, { folder, definitions: [mailStore, unreadable] })
    const calls = store.account(mailStore, 'anna')
    const come = (flags: readonly string[]) => {
      const one = { message: { bytes: message('one') }, flags, internalDate: undefined, zone: undefined }
      return calls.append({ name: 'INBOX', messages: [one], limits: NO_LIMITS })
    }
    await calls.prepare({ mailboxes: [] })
    await come([])
    await assert.rejects(store.account(unreadable, 'anna').read(), { code: 'unavailable' })
    await come(['\\Seen'])
    const { mailbox } = await come([])
    const { uids, flags, flagSets } = await new Snapshots(scope, 1, new News(store.bus)).snapshot(
      'anna',
      calls,
      mailbox,
    )
    assert.deepEqual(
      Array.from(uids, (_, i) => flagSets[flags[i] ?? -1]),
      [[], ['\\Seen'], []],
    )
  } finally {
    await scope.close()
    rmSync(folder, { recursive: true })
  }
})
