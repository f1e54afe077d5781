// A Maildir as other programs leave it, and as they find it afterwards.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { MailAccount, Mailbox } from '../src/index.ts'
import { MaildirMail, type MaildirOptions } from '../src/maildir/index.ts'

const ROOM = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

interface Tree {
  readonly path: string
  write(file: string, text: string): void
  read(file: string): string
  names(folder: string): string[]
  open(options?: MaildirOptions): MailAccount
}

function tree(t: TestContext): Tree {
  const path = mkdtempSync(join(ROOM, 'aviso-maildir-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  for (const folder of ['cur', 'new', 'tmp']) mkdirSync(join(path, folder))
  return {
    path,
    write: (file, text) => {
      mkdirSync(join(path, file, '..'), { recursive: true })
      writeFileSync(join(path, file), text)
    },
    read: (file) => readFileSync(join(path, file), 'utf8'),
    names: (folder) => readdirSync(join(path, folder)).sort(),
    open: (options) => new MaildirMail(path, { patience: 2000, ...options }).open(),
  }
}

const letter = (subject: string): string => `From: a@example.org\r\nSubject: ${subject}\r\n\r\nHello\r\n`

const seen = async (mailbox: Mailbox): Promise<[number, string][]> => {
  const { uids, flags, flagSets } = await mailbox.snapshot()
  return Array.from(uids, (uid, i) => [uid, (flagSets[flags[i] ?? -1] ?? []).toSorted().join(' ')])
}

const raw = async (mailbox: Mailbox, uid: number): Promise<string> =>
  Buffer.from((await mailbox.raw(uid)) ?? '').toString('latin1')

test("Dovecot's tree opens with its UIDs, flags, keywords, folders and subscriptions", async (t) => {
  const { path, write, open } = tree(t)
  const one = 'From: a@b\nSubject: one\n\nbody\n'
  write(
    'dovecot-uidlist',
    '3 V1795672067 N5 G029b211403c8076b3031000083ecc375\n2 :1795672067.M337474P12592.vm,S=29,W=33\n5 W34 :1795672068.M3P1.vm:2,F\n',
  )
  write('dovecot-keywords', '0 Kit\n1 $Forwarded\n')
  write('cur/1795672067.M337474P12592.vm,S=29,W=33:2,RSab', one)
  write('cur/1795672068.M3P1.vm:2,DF', `${one}\n`)
  write('new/1795672070.M355336P12594.vm', one)
  utimesSync(join(path, 'cur/1795672067.M337474P12592.vm,S=29,W=33:2,RSab'), 1_600_000_000, 1_600_000_000)
  for (const folder of ['.&AMQ- &- B', '.foo.bar']) {
    for (const place of ['cur', 'new', 'tmp']) mkdirSync(join(path, folder, place), { recursive: true })
    write(`${folder}/maildirfolder`, '')
  }
  write('.foo.bar/dovecot-uidlist', '3 V1795672069 N1 G2e3a2f1603c8076b3331000083ecc375\n')
  write('subscriptions', 'V\t2\n\n&AMQ- &- B\nfoo\tbar\n')
  const account = open()
  const list = await account.list()
  assert.deepEqual(
    list.map(({ name, subscribed, selectable }) => [name, subscribed, selectable]),
    [
      ['INBOX', false, true],
      ['foo', false, false],
      ['foo/bar', true, true],
      ['Ä & B', true, true],
    ],
  )
  assert.equal(list[2]?.id, '2e3a2f1603c8076b3331000083ecc375')
  const inbox = await account.open('INBOX')
  assert.equal(inbox.id, '029b211403c8076b3031000083ecc375')
  assert.equal(inbox.uidValidity, 1795672067)
  assert.deepEqual(await seen(inbox), [
    [2, '$Forwarded Kit \\Answered \\Seen'],
    [5, '\\Draft \\Flagged'],
    [6, ''],
  ])
  assert.deepEqual(await inbox.keywords(), ['Kit', '$Forwarded'])
  const { sizes, internalDates, uidNext } = await inbox.snapshot()
  assert.deepEqual([...sizes], [33, 34, 33])
  assert.equal(internalDates[0], 1_600_000_000_000)
  assert.equal(uidNext, 7)
  const claimed = await inbox.claimRecent()
  assert.ok(claimed.from <= 6 && claimed.to === 7)
  assert.deepEqual((await account.status('foo/bar')).uidValidity, 1795672069)
})

test('what we write is in the form that Dovecot reads', async (t) => {
  const { read, names, open } = tree(t)
  const account = open()
  await account.append('INBOX', [
    {
      bytes: Buffer.from(letter('one')),
      flags: ['\\Seen', '\\Draft', 'Kit', '$Label1'],
      internalDate: 1_500_000_000_000,
    },
  ])
  await account.append('INBOX', [{ bytes: Buffer.from(letter('two')), flags: ['$label1'] }])
  assert.match(read('dovecot-uidlist'), /^3 V\d+ N\d+ G[0-9a-f]{32}\n1 :[^\n:]+,S=44,W=44\n2 :[^\n:]+,S=44,W=44\n$/)
  assert.equal(read('dovecot-keywords'), '0 Kit\n1 $Label1\n')
  assert.deepEqual(
    // Names begin with a time whose digits do not sort.
    names('cur')
      .map((name) => name.split(':')[1])
      .sort(),
    ['2,DSab', '2,b'],
  )
  assert.deepEqual(names('tmp'), [])
  await account.create('Über/a & b')
  await account.subscribe('Über/a & b', true)
  assert.equal(read('subscriptions'), 'V\t2\n\n&ANw-ber\ta &- b\n')
  assert.ok(names('.').includes('.&ANw-ber.a &- b'))
  assert.deepEqual(names('.&ANw-ber.a &- b'), [
    'aviso-index',
    'aviso-modseq',
    'cur',
    'dovecot-uidlist',
    'maildirfolder',
    'new',
    'tmp',
  ])
  const newest = names('.').find((name) => name.startsWith('dovecot-uidvalidity.'))
  assert.equal(newest, `dovecot-uidvalidity.${read('dovecot-uidvalidity')}`)
})

test('deliveries, flags and removals by others are seen at the next look', async (t) => {
  const { path, write, names, open } = tree(t)
  const account = open()
  const inbox = await account.open('INBOX')
  write('new/1700000001.M1P1.host', letter('delivered'))
  assert.deepEqual(await seen(inbox), [[1, '']])
  const since = (await inbox.snapshot()).highestModseq
  write('new/1700000003.M1P1.host', letter('third'))
  write('new/1700000002.M1P1.host', letter('second'))
  renameSync(join(path, 'new/1700000001.M1P1.host'), join(path, 'cur/1700000001.M1P1.host:2,PSz,x=1'))
  assert.deepEqual(await seen(inbox), [
    [1, '\\Seen'],
    [2, ''],
    [3, ''],
  ])
  assert.match(await raw(inbox, 2), /second/)
  const delta = await inbox.delta(since)
  assert.deepEqual([delta.changed.map(({ uid }) => uid), delta.vanished], [[1, 2, 3], []])
  // Letters and fields of others stay.
  await inbox.store([1], { action: 'add', flags: ['\\Flagged'] })
  assert.deepEqual(names('cur'), ['1700000001.M1P1.host:2,FPSz,x=1'])
  unlinkSync(join(path, 'cur/1700000001.M1P1.host:2,FPSz,x=1'))
  assert.deepEqual((await inbox.delta(delta.highestModseq)).vanished, [1])
  assert.equal(await inbox.raw(1), undefined)
  await inbox.claimRecent()
  assert.deepEqual(names('new'), [])
  assert.deepEqual(names('cur'), ['1700000002.M1P1.host:2,', '1700000003.M1P1.host:2,'])
})

test('whoever watches hears of deliveries and folders of others', async (t) => {
  const { path, write, open } = tree(t)
  const account = open()
  t.after(() => account.close())
  const inbox = await account.open('INBOX')
  const told = (wanted: string | undefined, act: () => void): Promise<void> =>
    new Promise((resolve) => {
      const stop = account.watch((id) => {
        if (id !== wanted) return
        stop()
        resolve()
      })
      // The watch is set up in the background: acts are repeated until one is heard.
      const timer = setInterval(act, 50)
      account.watch((id) => (id === wanted ? clearInterval(timer) : undefined))
    })
  let count = 0
  await told(inbox.id, () => write(`new/${++count}.host`, letter(`news ${count}`)))
  assert.ok((await inbox.snapshot()).uids.length > 0)
  await told(undefined, () => mkdirSync(join(path, `.made${++count}`, 'cur'), { recursive: true }))
})

test('bare line feeds are served as CRLF, and the file stays as it is', async (t) => {
  const { read, write, open } = tree(t)
  const account = open()
  const text = `Subject: bare\n\n${'line\n'.repeat(50)}mixed\r\nlast`
  write('cur/1.host:2,S', text)
  const inbox = await account.open('INBOX')
  const crlf = text.replace(/\r?\n/g, '\r\n')
  assert.equal((await inbox.snapshot()).sizes[0], crlf.length)
  assert.equal(await raw(inbox, 1), crlf)
  assert.equal(Buffer.from((await inbox.raw(1, 100, 200)) ?? '').toString(), crlf.slice(100, 200))
  assert.equal(read('cur/1.host:2,S'), text)
  assert.match(read('dovecot-uidlist'), new RegExp(`^1 W${crlf.length} :1\\.host$`, 'm'))
  for await (const [meta] of inbox.meta([1], ['bodyStructure']))
    assert.match(Buffer.from(meta?.bodyStructure ?? '').toString(), / 311 51 /)
})

test('without its index, or with a broken one, a folder keeps UIDs and flags, and mod-sequences only rise', async (t) => {
  const { path, read, write, open } = tree(t)
  const first = open()
  for (const subject of ['a', 'b', 'c'])
    await first.append('INBOX', [{ bytes: Buffer.from(letter(subject)), flags: ['\\Seen', subject] }])
  const before = await seen(await first.open('INBOX'))
  const { uidNext, highestModseq: told } = await first.status('INBOX')
  let highestModseq = told
  const lines = read('aviso-index').split('\n')
  const harms: (() => void)[] = [
    () => unlinkSync(join(path, 'aviso-index')),
    () => write('aviso-index', 'no index at all\n'),
    () => write('aviso-index', `${lines.slice(0, 2).join('\n')}\nffffffff ["x",2,99]\n${lines.slice(2).join('\n')}`),
    () => write('aviso-index', ''),
  ]
  for (const harm of harms) {
    harm()
    const account = open({ now: () => 0 })
    const inbox = await account.open('INBOX')
    assert.deepEqual(await seen(inbox), before)
    const status = await account.status('INBOX')
    assert.equal(status.uidNext, uidNext)
    assert.ok(status.highestModseq > highestModseq, `${status.highestModseq} > ${highestModseq}`)
    assert.equal((await inbox.delta(highestModseq)).complete, false)
    highestModseq = status.highestModseq
  }
  // A line that was being written when the machine stopped is no damage.
  appendFileSync(join(path, 'aviso-index'), '12345678 ["x",1')
  const account = open()
  assert.equal((await account.status('INBOX')).highestModseq, highestModseq)
  const { uids } = await account.append('INBOX', [{ bytes: Buffer.from(letter('d')), flags: [] }])
  assert.ok((uids[0] ?? 0) >= uidNext)
  assert.deepEqual((await seen(await open().open('INBOX'))).slice(0, 3), before)
})

test('a lost list of UIDs comes back from the index; without both, a new UIDVALIDITY says so', async (t) => {
  const { path, write, open } = tree(t)
  const first = open()
  for (const subject of ['a', 'b']) await first.append('INBOX', [{ bytes: Buffer.from(letter(subject)), flags: [] }])
  const mailbox = await first.open('INBOX')
  const before = await seen(mailbox)
  unlinkSync(join(path, 'dovecot-uidlist'))
  assert.deepEqual(await seen(mailbox), before, 'in a running server')
  assert.equal((await first.status('INBOX')).uidValidity, mailbox.uidValidity)
  unlinkSync(join(path, 'dovecot-uidlist'))
  const restarted = await open().open('INBOX')
  assert.deepEqual(
    [await seen(restarted), restarted.uidValidity, restarted.id],
    [before, mailbox.uidValidity, mailbox.id],
  )
  write('dovecot-uidlist', 'garbage\n')
  unlinkSync(join(path, 'aviso-index'))
  const again = await open().open('INBOX')
  assert.notEqual(again.uidValidity, mailbox.uidValidity)
  assert.equal((await seen(again)).length, 2)
  // Who has the old one open is told that it is gone, and shown nothing of the new one.
  await assert.rejects(mailbox.snapshot(), { code: 'NONEXISTENT' })
  assert.equal((await first.open('INBOX')).uidValidity, again.uidValidity)
})

test('two programs of ours on one Maildir see one mailbox', async (t) => {
  const { open } = tree(t)
  const [one, two] = [open({ patience: 20_000 }), open({ patience: 20_000 })]
  const write = async (account: MailAccount, who: string): Promise<number[]> => {
    const mine: number[] = []
    const inbox = await account.open('INBOX')
    for (let i = 0; i < 15; i++) {
      const { uids } = await account.append('INBOX', [{ bytes: Buffer.from(letter(`${who} ${i}`)), flags: [] }])
      mine.push(...uids)
      const { uids: all } = await inbox.snapshot()
      await inbox.store([...all].slice(-3), { action: 'add', flags: [who] })
    }
    return mine
  }
  const [a, b] = await Promise.all([write(one, 'left'), write(two, 'right')])
  assert.equal(new Set([...a, ...b]).size, 30)
  const [left, right] = [await one.open('INBOX'), await two.open('INBOX')]
  assert.deepEqual(await seen(left), await seen(right))
  const [x, y] = [await left.snapshot(), await right.snapshot()]
  assert.deepEqual([[...x.modseqs], x.highestModseq], [[...y.modseqs], y.highestModseq])
  assert.deepEqual(
    [...x.uids],
    [...a, ...b].sort((p, q) => p - q),
  )
})

test('a lock that is held is waited for, and one of a dead program is taken', async (t) => {
  const { write, names, open } = tree(t)
  const [hasty, account] = [open({ patience: 50 }), open()]
  await account.status('INBOX')
  write('dovecot-uidlist.lock', `${process.pid}:${hostname()}`)
  const put = (into: MailAccount): Promise<unknown> =>
    into.append('INBOX', [{ bytes: Buffer.from(letter('x')), flags: [] }])
  await assert.rejects(put(hasty), { code: 'INUSE' })
  write('dovecot-uidlist.lock', `4194999:${hostname()}`)
  await put(account)
  assert.deepEqual(
    names('.').filter((name) => name.includes('.lock')),
    [],
  )
  assert.deepEqual(names('tmp'), [])
})

/** Takes the lock of a folder, and is killed by itself at the moment when the lock is written and not yet named. */
const KILLED = `
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
promises.link = () => {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}
syncBuiltinESMExports()
const { lockFolder } = await import(process.argv[1])
await lockFolder(process.argv[2], 1000)
`

test('who is killed between writing a lock and naming it holds nobody up, and is swept up after', async (t) => {
  const { path, names, write, open } = tree(t)
  const code = new URL('../src/maildir/lock.ts', import.meta.url)
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', KILLED, code.href, path], {
    stdio: 'inherit',
  })
  assert.equal(child.signal, 'SIGKILL')
  const locks = (): string[] => names('.').filter((name) => name.includes('.lock'))
  const draft = `dovecot-uidlist.lock.${child.pid}.1`
  assert.deepEqual(locks(), [draft])

  // No time to wait for anybody.
  let now = Date.now()
  const account = open({ patience: 0, now: () => now })
  await account.append('INBOX', [{ bytes: Buffer.from(letter('x')), flags: [] }])
  assert.deepEqual(locks(), [draft], 'it could be of somebody who is at it')

  // Half written files of control, of a program that was killed there.
  const unfinished = 'dovecot-uidlist.tmp1790000000000.P1234Q5Rabcdef'
  write(unfinished, '3 V1')
  write('my.lock.notes', 'not ours')
  now += 3 * 3_600_000
  await account.append('INBOX', [{ bytes: Buffer.from(letter('y')), flags: [] }])
  // The sweep runs beside what it was begun by.
  for (let i = 0; locks().length > 1 || names('.').includes(unfinished); i++) {
    assert.ok(i < 1000, 'the sweep never came')
    await account.status('INBOX')
  }
  assert.deepEqual(locks(), ['my.lock.notes'])
  assert.equal((await account.status('INBOX')).messages, 2)
})

test('an expunged message stays readable for an hour, and is then swept away by whoever uses the mailbox', async (t) => {
  const { open, write, names } = tree(t)
  write('cur/1.host:2,ST', letter('one'))
  write('tmp/other.program', 'not ours')
  let now = Date.now()
  const account = open({ now: () => now })
  const inbox = await account.open('INBOX')
  await inbox.expunge([1])
  assert.deepEqual(names('tmp'), ['aviso-gone.1', 'other.program'])
  now += 50 * 60_000
  await account.status('INBOX')
  assert.match(await raw(inbox, 1), /Subject: one/)
  now += 20 * 60_000
  // The sweep runs beside what it was begun by.
  for (let i = 0; names('tmp').length > 1; i++) {
    assert.ok(i < 1000, 'the sweep never came')
    await account.status('INBOX')
  }
  assert.deepEqual(names('tmp'), ['other.program'])
  account.close()
})

test('an expunged file that is put back, and one that lies in two places, are messages of their own or one', async (t) => {
  const { path, names, open, write } = tree(t)
  const account = open()
  const inbox = await account.open('INBOX')
  write('cur/1.host:2,T', letter('back'))
  await inbox.expunge([1])
  write('cur/1.host:2,', letter('back'))
  assert.deepEqual(await seen(inbox), [[2, '']])
  assert.ok(!names('cur').includes('1.host:2,'))
  write('new/2.host', letter('linked'))
  linkSync(join(path, 'new/2.host'), join(path, 'cur/2.host:2,S'))
  assert.deepEqual(await seen(inbox), [
    [2, ''],
    [3, '\\Seen'],
  ])
  assert.deepEqual(names('new'), [])
  write('new/2.host', letter('another one'))
  assert.deepEqual((await seen(inbox)).length, 3)
  assert.match(await raw(inbox, 4), /another one/)
})

test('names on the disk that we would not write are shown, and none leads out of the tree', async (t) => {
  const { path, write, open } = tree(t)
  const outside = mkdtempSync(join(ROOM, 'aviso-outside-'))
  t.after(() => rmSync(outside, { recursive: true, force: true }))
  mkdirSync(join(outside, 'cur'))
  for (const folder of ['.Größe', '.bad &name', '.a..b', '..', '.INBOX', '.inbox.sub', '.plain'])
    if (folder !== '..') mkdirSync(join(path, folder, 'cur'), { recursive: true })
  for (const folder of ['.no-maildir', 'nodot']) mkdirSync(join(path, folder))
  write('.file', 'no folder')
  const account = open()
  const names = (await account.list()).filter(({ selectable }) => selectable).map(({ name }) => name)
  assert.deepEqual(names, ['Größe', 'INBOX', 'INBOX/sub', 'bad &name', 'plain'])
  for (const name of names) assert.equal((await account.open(name)).name, name)
  for (const name of ['..', '../x', 'a/../../x', `../${outside.split('/').at(-1)}`, '/etc', 'a.b', '.', ''])
    await assert.rejects(account.create(name), { code: 'CANNOT' }, name)
  const nested = open({ layout: 'fs' })
  symlinkSync(path, join(path, 'nodot', 'loop'))
  for (const name of [
    '..',
    `../${outside.split('/').at(-1)}`,
    'x/..',
    'cur',
    'x/new',
    '.hidden',
    'dovecot-uidlist',
    'aviso-index',
  ])
    await assert.rejects(nested.create(name), { code: 'CANNOT' }, name)
  assert.ok((await nested.list()).length < 10)
})

test('a version 1 list, and lists with lines of others, keep their UIDs', async (t) => {
  const { read, write, open } = tree(t)
  write('dovecot-uidlist', '1 1234567 43\n7 a.host\n42 b.host,S=44:2,S\n')
  write('cur/a.host:2,', letter('one'))
  write('cur/b.host,S=44:2,S', letter('two'))
  const inbox = await open().open('INBOX')
  assert.equal(inbox.uidValidity, 1234567)
  assert.deepEqual(await seen(inbox), [
    [7, ''],
    [42, '\\Seen'],
  ])
  assert.match(read('dovecot-uidlist'), /^3 V1234567 N43 G[0-9a-f]{32}\n/)
  const text = read('dovecot-uidlist').replace(' N43', ' N43 Xother')
  write('dovecot-uidlist', text.replace('\n42 ', '\n42 Gabc W44 '))
  const again = await open().open('INBOX')
  assert.deepEqual(await seen(again), [
    [7, ''],
    [42, '\\Seen'],
  ])
})

test('a long history is written anew, short, and loses nothing', async (t) => {
  const { path, read, open } = tree(t)
  const account = open()
  await account.append(
    'INBOX',
    Array.from({ length: 150 }, (_, i) => ({
      bytes: Buffer.from(letter(`${i}`)),
      flags: i % 10 === 0 ? ['\\Deleted'] : [],
    })),
  )
  const inbox = await account.open('INBOX')
  const uids = [...(await inbox.snapshot()).uids]
  await inbox.expunge(uids)
  const since = (await inbox.snapshot()).highestModseq
  for (let i = 0; i < 20; i++) await inbox.store(uids, { action: i % 2 === 0 ? 'add' : 'remove', flags: ['\\Flagged'] })
  await inbox.store(uids.slice(3, 5), { action: 'add', flags: ['Kit'] })
  const before = await seen(inbox)
  assert.ok(read('aviso-index').split('\n').length < 2700)
  assert.equal(read('dovecot-uidlist').split('\n').length, 135 + 2)
  const again = open()
  const reopened = await again.open('INBOX')
  assert.deepEqual(await seen(reopened), before)
  assert.equal((await reopened.delta(since - 1)).vanished.length, 15)
  assert.ok(existsSync(join(path, 'aviso-modseq')))
})

test('the 27th keyword of a folder is refused, also for a copy into it', async (t) => {
  const { open } = tree(t)
  const account = open()
  const bytes = Buffer.from(letter('x'))
  await account.append('INBOX', [{ bytes, flags: Array.from({ length: 26 }, (_, i) => `k${i}`) }])
  await assert.rejects(account.append('INBOX', [{ bytes, flags: ['one-more'] }]), { code: 'LIMIT' })
  for (const flag of ['\\Unheard', 'two words', 'line\nbreak'])
    await assert.rejects(account.append('INBOX', [{ bytes, flags: [flag] }]), { code: 'CANNOT' })
  await account.create('other')
  await account.append('other', [{ bytes, flags: ['one-more'] }])
  const other = await account.open('other')
  await assert.rejects(other.move([1], 'INBOX'), { code: 'LIMIT' })
  assert.deepEqual(await seen(other), [[1, 'one-more']])
  assert.equal((await account.status('INBOX')).messages, 1)
  const inbox = await account.open('INBOX')
  await inbox.store([1], { action: 'remove', flags: ['unknown', 'k3'] })
  assert.equal((await inbox.snapshot()).flagSets[0]?.length, 25)
})
