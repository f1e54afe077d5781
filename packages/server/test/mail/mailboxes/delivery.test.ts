// Mail that comes in, stays, and goes.

import assert from 'node:assert/strict'
import { globSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { MessageMeta } from '@aviso/imap'
import { openMailboxes } from '../../../src/mail/mailboxes/mailboxes.ts'
import { account, type House, message, openHouse, text } from './fixture.ts'

const DAY = 86_400_000

async function inHouse(story: (house: House) => Promise<void>): Promise<void> {
  const house = await openHouse()
  try {
    await story(house)
  } finally {
    await house.close()
  }
}

/** The blobs on disk, by inode: those that several accounts share count once. */
function blobs(house: House): number[] {
  const files = globSync(join(house.folder, 'accounts/*/*/blobs/*/*'))
  return [...new Set(files.map((file) => statSync(file).ino))]
}

const large = (letter: string): Uint8Array => message('large', `${letter.repeat(70)}\r\n`.repeat(6000))

test('a delivery that is repeated does not bring back the mailbox that its owner has deleted', () =>
  inHouse(async (house) => {
    const delivery = { bytes: message('once'), mailbox: 'Lists', deliveryId: 'q1.anna' }
    const first = await house.mailboxes.deliver('anna', delivery)
    await house.open().delete('Lists')
    assert.deepEqual(await house.mailboxes.deliver('anna', delivery), first)
    await assert.rejects(house.open().status('Lists'), { code: 'NONEXISTENT' })
    await house.mailboxes.deliver('anna', { ...delivery, deliveryId: 'q2.anna' })
    assert.equal((await house.open().status('Lists')).messages, 1)
  }))

test('a delivery that is repeated, at once or after a restart, is made once', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-mail-'))
  try {
    const delivery = { bytes: message('once'), flags: ['\\Seen'], deliveryId: 'q1.anna' }
    let house = await openHouse({ folder })
    const [first, same] = await Promise.all([
      house.mailboxes.deliver('anna', delivery),
      house.mailboxes.deliver('anna', delivery),
    ])
    assert.deepEqual(same, first)
    await house.close()
    house = await openHouse({ folder })
    assert.deepEqual(await house.mailboxes.deliver('anna', delivery), first)
    const status = await house.open().status('INBOX')
    assert.equal(status.messages, 1)
    assert.equal(status.unseen, 0, 'a delivery that is \\Seen is no unseen message')
    // Another account has deliveries of its own.
    assert.equal((await house.mailboxes.deliver('bo', delivery)).uid, 1)
    assert.equal((await house.open('bo').status('INBOX')).messages, 1)
    // Some days later nobody repeats it any more.
    house.clock.turn(8 * DAY)
    await house.mailboxes.sweep('anna')
    assert.notEqual((await house.mailboxes.deliver('anna', delivery)).uid, first.uid)
    await house.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a new account has INBOX and the special-use mailboxes, once, and keeps what its user makes of them', () =>
  inHouse(async (house) => {
    // Mail may be there before.
    await house.mailboxes.deliver('anna', { bytes: message('early'), mailbox: 'Junk', deliveryId: 'early' })
    await house.mailboxes.room.create(account('anna'))
    const anna = house.open()
    const entries = await anna.list()
    assert.deepEqual(
      entries.map(({ name, role, subscribed, selectable }) => [name, role, subscribed, selectable]),
      [
        ['Archive', 'Archive', true, true],
        ['Drafts', 'Drafts', true, true],
        ['INBOX', 'Inbox', true, true],
        ['Junk', 'Junk', true, true],
        ['Sent', 'Sent', true, true],
        ['Trash', 'Trash', true, true],
      ],
    )
    await anna.rename('Sent', 'Gesendet')
    await anna.delete('Archive')
    await house.mailboxes.room.create(account('anna'))
    const roles = new Map((await anna.list()).map(({ name, role, selectable }) => [name, selectable ? role : 'none']))
    assert.equal(roles.get('Gesendet'), 'Sent')
    assert.equal(roles.get('Archive'), 'none', 'only the subscription is left')
    assert.equal((await anna.status('Junk')).messages, 1)
  }))

test('bare line feeds are made CRLF once, and every size agrees with that', () =>
  inHouse(async (house) => {
    const { uid } = await house.mailboxes.deliver('anna', {
      bytes: Buffer.from('Subject: bare\n\nline\nline\n'),
      deliveryId: 'lf',
    })
    const anna = house.open()
    const inbox = await anna.open('INBOX')
    const raw = await inbox.raw(uid)
    assert.equal(text(raw), 'Subject: bare\r\n\r\nline\r\nline\r\n')
    assert.equal((await inbox.snapshot()).sizes[0], raw?.length)
    assert.equal((await anna.status('INBOX')).size, raw?.length)
    for await (const [meta] of inbox.meta([uid], ['bodyStructure', 'header'])) {
      assert.match(text(meta?.bodyStructure) ?? '', /"7BIT" 12 2 /)
      assert.equal(text(meta?.header), 'Subject: bare\r\n\r\n')
    }
  }))

test('odd messages: empty, only a header, only NULs, a header without end', () =>
  inHouse(async (house) => {
    const anna = house.open()
    await house.mailboxes.room.create(account('anna'))
    const inbox = await anna.open('INBOX')
    const long = `Subject: ${'x'.repeat(300)}\r\n`.repeat(2000)
    for (const body of [
      '',
      'Subject: only',
      'Subject: only\r\n',
      '\r\n',
      '\0\0\0',
      ':::',
      long,
      `${long}\r\nbody\r\n`,
    ]) {
      const bytes = Buffer.from(body)
      const [uid = 0] = (await anna.append('INBOX', [{ bytes, flags: [] }])).uids
      assert.equal(text(await inbox.raw(uid)), body)
      assert.equal(text(await inbox.raw(uid, 1, 9)), body.slice(1, 9))
      const metas: MessageMeta[] = []
      for await (const batch of inbox.meta([uid], ['header', 'envelope', 'body', 'bodyStructure'])) metas.push(...batch)
      const end = body.indexOf('\r\n\r\n')
      assert.equal(text(metas[0]?.header), body.startsWith('\r\n') ? '\r\n' : end < 0 ? body : body.slice(0, end + 4))
      assert.match(text(metas[0]?.envelope) ?? '', /^\(.*\)$/s)
      assert.match(text(metas[0]?.bodyStructure) ?? '', /^\("text" "plain"/i)
    }
  }))

test('a large message is shared by its recipients and goes with the last of them', () =>
  inHouse(async (house) => {
    const bytes = large('a')
    for (const id of ['anna', 'bo']) await house.mailboxes.deliver(id, { bytes, deliveryId: 'big' })
    assert.equal(blobs(house).length, 1)
    const anna = house.open()
    const inbox = await anna.open('INBOX')
    await anna.create('copy')
    await inbox.copy([1], 'copy')
    assert.equal(text(await inbox.raw(1, 100, 400)), text(bytes)?.slice(100, 400))
    for await (const [meta] of inbox.meta([1], ['header', 'envelope'])) {
      assert.equal(text(meta?.header), text(bytes)?.split('\r\n\r\n')[0] + '\r\n\r\n')
      assert.match(text(meta?.envelope) ?? '', /"large"/)
    }
    await inbox.store([1], { action: 'add', flags: ['\\Deleted'] })
    await inbox.expunge([1])
    assert.equal(text(await inbox.raw(1)), text(bytes), 'readable for those who have not been told')
    house.clock.turn(2 * DAY)
    await house.mailboxes.sweep('anna')
    assert.equal(await inbox.raw(1), undefined)
    assert.equal(text(await (await anna.open('copy')).raw(1)), text(bytes), 'the copy keeps its octets')
    await anna.delete('copy')
    await house.mailboxes.sweep('anna')
    assert.equal(blobs(house).length, 1, 'bo has it still')
    assert.equal(text(await (await house.open('bo').open('INBOX')).raw(1)), text(bytes))
    await house.mailboxes.room.erase?.(account('bo'))
    await house.store.eraseAccount(account('bo').id)
    assert.equal(blobs(house).length, 0)
  }))

test('while a large message is being stored, a sweep does not take its blob', () =>
  inHouse(async (house) => {
    const bytes = large('b')
    const anna = house.open()
    await house.mailboxes.room.create(account('anna'))
    for (let round = 0; round < 5; round++) {
      const [{ uids }] = await Promise.all([
        anna.append('Trash', [
          { bytes, flags: [] },
          { bytes: message('small'), flags: [] },
        ]),
        house.mailboxes.sweep('anna'),
      ])
      const trash = await anna.open('Trash')
      assert.equal(text(await trash.raw(uids[0] ?? 0)), text(bytes))
      await anna.delete('Trash')
      // The same content comes again while the sweep looks for it.
      const [again] = await Promise.all([
        house.mailboxes.deliver('anna', { bytes, mailbox: 'Trash', deliveryId: `again ${round}` }),
        house.mailboxes.sweep('anna'),
      ])
      assert.equal(text(await (await anna.open('Trash')).raw(again.uid)), text(bytes))
    }
  }))

test('two generations of the configuration, during a reload, share one lock around large messages', () =>
  inHouse(async (house) => {
    const bytes = large('e')
    const next = openMailboxes(house.scope.child('next'), house.store)
    const anna = house.open()
    for (let round = 0; round < 5; round++) {
      const [placed] = await Promise.all([
        house.mailboxes.deliver('anna', { bytes, mailbox: 'Big', deliveryId: `${round}` }),
        next.sweep('anna'),
      ])
      assert.equal(text(await (await anna.open('Big')).raw(placed.uid)), text(bytes))
      await anna.delete('Big')
    }
  }))

test('a mail accepted at the size limit is delivered with its trace fields; APPEND keeps to the limit', async () => {
  const house = await openHouse({ appendLimit: 2000 })
  try {
    const bytes = message('at the limit', 'x'.repeat(2000))
    assert.equal((await house.mailboxes.deliver('anna', { bytes, deliveryId: 'limit' })).uid, 1)
    await assert.rejects(house.open().append('INBOX', [{ bytes, flags: [] }]), { code: 'TOOBIG' })
    const huge = message('huge', 'x'.repeat(100_000))
    await assert.rejects(house.mailboxes.deliver('anna', { bytes: huge, deliveryId: 'huge' }), { code: 'TOOBIG' })
  } finally {
    await house.close()
  }
})

test('a blob of a message that never was (the mailbox was missing) goes with the next sweep', () =>
  inHouse(async (house) => {
    const anna = house.open()
    await assert.rejects(anna.append('nowhere', [{ bytes: large('c'), flags: [] }]), { code: 'TRYCREATE' })
    assert.equal(blobs(house).length, 1)
    await house.mailboxes.sweep('anna')
    assert.equal(blobs(house).length, 0)
  }))

test('octets that were lost on disk are reported, never answered as something else', () =>
  inHouse(async (house) => {
    await house.mailboxes.deliver('anna', { bytes: large('d'), deliveryId: 'lost' })
    for (const file of globSync(join(house.folder, 'accounts/*/*/blobs/*/*'))) rmSync(file)
    await assert.rejects((await house.open().open('INBOX')).raw(1), { code: 'CORRUPTION' })
  }))

test('expunges are remembered for a week; then the delta says that it is not complete', () =>
  inHouse(async (house) => {
    const anna = house.open()
    for (let i = 0; i < 5; i++)
      await house.mailboxes.deliver('anna', { bytes: message(`${i}`), flags: ['\\Deleted'], deliveryId: `${i}` })
    const inbox = await anna.open('INBOX')
    const since = (await inbox.snapshot()).highestModseq
    await inbox.expunge([2])
    house.clock.turn(5 * DAY)
    const middle = (await inbox.expunge([3])).highestModseq
    house.clock.turn(3 * DAY)
    await house.mailboxes.sweep('anna')
    const late = await inbox.delta(since)
    assert.deepEqual([late.complete, late.vanished], [false, [3]])
    assert.equal((await inbox.delta(middle - 1)).complete, true)
    assert.deepEqual((await inbox.delta(middle - 1)).vanished, [3])
    assert.equal((await anna.status('INBOX')).uidNext, 6)
  }))

test('only so many expunges are remembered', async () => {
  const house = await openHouse({ historyRows: 2 })
  try {
    for (let i = 0; i < 5; i++)
      await house.mailboxes.deliver('anna', { bytes: message(`${i}`), flags: ['\\Deleted'], deliveryId: `${i}` })
    const inbox = await house.open().open('INBOX')
    for (const uid of [1, 2, 3, 4]) await inbox.expunge([uid])
    await house.mailboxes.sweep('anna')
    const delta = await inbox.delta(1)
    assert.deepEqual([delta.complete, delta.vanished], [false, [3, 4]])
  } finally {
    await house.close()
  }
})

test('the accounts in use are swept every hour, as long as something is left', () =>
  inHouse(async (house) => {
    const anna = house.open()
    await house.mailboxes.deliver('anna', { bytes: message('x'), flags: ['\\Deleted'], deliveryId: 'x' })
    const inbox = await anna.open('INBOX')
    await inbox.expunge([1])
    // A sweep that is still busy when the next hour strikes is not begun twice: some hours may pass before the one that finds it.
    for (let hour = 0; hour < 500 && (await inbox.raw(1)) !== undefined; hour++) {
      house.clock.turn(3_600_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(await inbox.raw(1), undefined)
  }))
