// Names, keywords, isolation: what other servers got wrong.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BackendError } from '@aviso/imap'
import { account, type House, message, openHouse, text } from './fixture.ts'

async function inHouse(story: (house: House) => Promise<void>): Promise<void> {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    await story(house)
  } finally {
    await house.close()
  }
}

const refused = (promise: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(promise, (error: unknown) => error instanceof BackendError && error.code === code)

test('names that no mailbox can have', () =>
  inHouse(async (house) => {
    const anna = house.open()
    const bad = [
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      'a\0b',
      'a\r\nb',
      'a\u0085',
      'a\u2028b',
      'a*',
      '%',
      '\ud800',
      'x'.repeat(256),
      'ä'.repeat(128),
      'a/'.repeat(16) + 'a',
      'y/'.repeat(5000),
    ]
    for (const name of bad) {
      await refused(anna.create(name), 'CANNOT')
      await refused(anna.subscribe(name, true), 'CANNOT')
      await refused(anna.rename('Trash', name), 'CANNOT')
    }
    for (const name of [
      'x'.repeat(255),
      'a/'.repeat(15) + 'a',
      '.',
      '..',
      '#x',
      '~',
      "Robert'); DROP TABLE mail_mailbox;--",
      '\u{1f4ec}',
      '__proto__',
      'a&b',
      'a\\b"c',
    ])
      assert.equal((await anna.create(name)).name, name)
    assert.equal((await anna.create('Ku\u0308he')).name, 'K\u00fche', 'NFC')
    await refused(anna.create('K\u00fche'), 'ALREADYEXISTS')
    assert.equal((await anna.create('inbox/Sub')).name, 'INBOX/Sub')
    await refused(anna.create('iNbOx'), 'ALREADYEXISTS')
    assert.equal((await anna.status('inbox')).messages, 0)
  }))

test('renaming: parents are made, a deeper level that grows too deep or meets another is refused whole', () =>
  inHouse(async (house) => {
    const anna = house.open()
    await anna.create('a/b/c')
    await anna.create('x/c')
    await anna.delete('x')
    await refused(anna.rename('a/b', 'x'), 'ALREADYEXISTS')
    await refused(anna.rename('a/b', 'd/'.repeat(15) + 'd'), 'CANNOT')
    const names = async (): Promise<string[]> =>
      (await anna.list()).filter(({ role, selectable }) => role === undefined && selectable).map(({ name }) => name)
    assert.deepEqual(await names(), ['a', 'a/b', 'a/b/c', 'x/c'])
    await anna.delete('a')
    await anna.rename('a', 'p/q')
    assert.deepEqual(await names(), ['p', 'p/q/b', 'p/q/b/c', 'x/c'])
    // Upwards, into a name that the mailbox itself holds up.
    await anna.create('up/up/up')
    await anna.delete('up')
    await anna.rename('up/up', 'up')
    assert.deepEqual(await names(), ['p', 'p/q/b', 'p/q/b/c', 'up', 'up/up', 'x/c'])
  }))

test('any number of keywords up to the limit, in their first spelling; one more is refused and changes nothing', () =>
  inHouse(async (house) => {
    const anna = house.open()
    const { uids } = await anna.append('INBOX', [
      { bytes: message('a'), flags: ['Work'] },
      { bytes: message('b'), flags: [] },
    ])
    const inbox = await anna.open('INBOX')
    const many = Array.from({ length: 999 }, (_, i) => `kw-${i}`)
    const result = await inbox.store(uids, { action: 'add', flags: [...many, 'WORK', '\\seen', '\\Recent'] })
    assert.equal(result.rows[0]?.flags.length, 1001)
    assert.ok(result.rows[1]?.flags.includes('Work'))
    assert.ok(result.rows[1]?.flags.includes('\\Seen'))
    await refused(inbox.store(uids, { action: 'add', flags: ['one-more'] }), 'LIMIT')
    await refused(anna.append('INBOX', [{ bytes: message('c'), flags: ['one-more'] }]), 'LIMIT')
    await refused(inbox.store(uids, { action: 'add', flags: ['k'.repeat(200)] }), 'LIMIT')
    assert.equal((await inbox.snapshot()).highestModseq, result.highestModseq)
    assert.equal((await inbox.keywords()).length, 1000)
    const less = await inbox.store(uids, {
      action: 'remove',
      flags: ['wOrK', 'never-was', ...many.map((k) => k.toUpperCase())],
    })
    assert.deepEqual(less.rows[0]?.flags, ['\\Seen'])
    // Keywords that nothing has any more make room for others, with the next sweep.
    await house.mailboxes.sweep('anna')
    assert.deepEqual(await inbox.keywords(), [])
    await inbox.store(uids.slice(0, 1), { action: 'add', flags: ['one-more', 'work'] })
    const { flags, flagSets } = await inbox.snapshot()
    assert.deepEqual(flagSets[flags[0] ?? -1], ['\\Seen', 'one-more', 'work'])
    for (const flag of ['', 'a b', 'a(b', '\\Bogus', '\\', 'ä', 'a\r\n', '"x"', 'x]', 'a*'])
      await refused(inbox.store(uids, { action: 'add', flags: [flag] }), 'CANNOT')
  }))

test('the same UID in another mailbox, and the same mailbox of another account, are not touched', () =>
  inHouse(async (house) => {
    const [anna, bo] = [house.open(), house.open('bo')]
    await house.mailboxes.room.create(account('bo'))
    for (const name of ['Junk', 'Trash']) {
      await anna.append(name, [{ bytes: message(name), flags: [] }])
      await bo.append(name, [{ bytes: message(name), flags: [] }])
    }
    const junk = await anna.open('Junk')
    await junk.store([1], { action: 'add', flags: ['\\Seen', '\\Deleted'] })
    assert.deepEqual([(await anna.status('Trash')).unseen, (await anna.status('Trash')).deleted], [1, 0])
    await anna.delete('Junk')
    await anna.delete('Trash')
    house.clock.turn(30 * 86_400_000)
    await house.mailboxes.sweep('anna')
    assert.equal(text(await (await bo.open('Junk')).raw(1)), text(message('Junk')))
    assert.equal((await bo.status('Trash')).messages, 1)
  }))

test('STORE FLAGS without \\Seen makes the message unseen again', () =>
  inHouse(async (house) => {
    const anna = house.open()
    await anna.append('INBOX', [{ bytes: message('a'), flags: ['\\Seen'] }])
    const inbox = await anna.open('INBOX')
    await inbox.store([1], { action: 'set', flags: ['\\Flagged'] })
    assert.equal((await anna.status('INBOX')).unseen, 1)
  }))

test('who is told of a change finds it made; a change that failed is told to nobody', () =>
  inHouse(async (house) => {
    const anna = house.open()
    const inbox = await anna.open('INBOX')
    const seen: Promise<number>[] = []
    const stop = house.open().watch(() => seen.push(anna.status('INBOX').then((status) => status.messages)))
    await anna.append('INBOX', [{ bytes: message('a'), flags: [] }])
    assert.deepEqual(await Promise.all(seen), [1])
    await refused(inbox.copy([1], 'nowhere'), 'TRYCREATE')
    await refused(inbox.store([1], { action: 'add', flags: ['\\Bogus'] }), 'CANNOT')
    await inbox.store([1], { action: 'remove', flags: ['\\Seen'] })
    assert.equal(seen.length, 1)
    await inbox.store([1], { action: 'add', flags: ['\\Seen'] })
    assert.equal(seen.length, 2)
    stop()
    const session = house.open()
    session.watch(() => assert.fail('a closed session is told nothing'))
    session.close()
    await inbox.store([1], { action: 'remove', flags: ['\\Seen'] })
  }))

test('UIDVALIDITY is the time or one more than the last, and a mailbox renamed away and replaced has another', () =>
  inHouse(async (house) => {
    const anna = house.open()
    const validity = async (name: string): Promise<number> => (await anna.status(name)).uidValidity
    await anna.create('A')
    await anna.create('B')
    const [a, b] = [await validity('A'), await validity('B')]
    assert.ok(b > a && a >= Math.floor(house.clock.now() / 1000))
    await anna.rename('A', 'C')
    await anna.rename('B', 'A')
    assert.deepEqual([await validity('A'), await validity('C')], [b, a])
    house.clock.turn(3_600_000)
    await anna.create('D')
    assert.equal(await validity('D'), Math.floor(house.clock.now() / 1000))
  }))

test('a broken store says "later", not "never"', async () => {
  const house = await openHouse()
  const anna = house.open()
  await house.close()
  await refused(anna.status('INBOX'), 'UNAVAILABLE')
  await refused(house.mailboxes.deliver('anna', { bytes: message('x'), deliveryId: 'x' }), 'UNAVAILABLE')
})
