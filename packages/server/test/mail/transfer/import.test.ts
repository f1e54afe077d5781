// Archives of other programs come into mailboxes: whole, once, and without what an enemy put among them.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { findFolders } from '../../../src/mail/transfer/folders.ts'
import { mapping } from '../../../src/mail/transfer/mapping.ts'
import { fileLevel, levelOfFile, maildirFolder, maildirLevels, mboxPath } from '../../../src/mail/transfer/names.ts'
import type { ImportSink } from '../../../src/mail/transfer/import.ts'
import { ANNA, openRoom } from './fixture.ts'

const FROM = 'From a@example.net Sat Feb  3 04:05:06 2024\n'
const letter = (subject: string): string => `From: Bo <bo@example.net>\nSubject: ${subject}\n\nHello\n`
const mbox = (subjects: readonly string[]): string => subjects.map((subject) => `${FROM}${letter(subject)}\n`).join('')

describe('names', () => {
  const level = fc.oneof(
    fc.constantFrom(
      '.',
      '..',
      '...',
      '.hidden',
      'a.b',
      'x.sbd',
      'x.msf',
      'Größe & mehr',
      'a:b',
      'a\\b',
      'INBOX',
      'cur',
      '~',
      ' x ',
      '&AGE-',
      '日本語',
    ),
    fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
      .filter((text) => levelOfFile(text) === text.normalize('NFC') && !text.includes('&')),
  )
  test('go to files and back, and never out of the folder', () => {
    fc.assert(
      fc.property(fc.array(level, { minLength: 1, maxLength: 4 }), (levels) => {
        const name = levels.map((one) => one.normalize('NFC')).join('/')
        const path = mboxPath(name)
        for (const part of path.split('/')) {
          assert.ok(!part.startsWith('.'), path)
          assert.ok(!/[\0\\:]/.test(part), path)
        }
        const back = path
          .split('/')
          .map((part, i, all) => levelOfFile(i === all.length - 1 ? part : part.replace(/\.sbd$/, '')))
        // Only what looks like modified UTF-7 without being it may be read otherwise.
        if (!name.includes('&')) assert.equal(back.join('/'), name)
        const folder = maildirFolder(name)
        if (name !== 'INBOX') {
          assert.ok(!folder.includes('/') && !folder.startsWith('..'), folder)
          assert.equal(maildirLevels(folder)?.join('/'), name)
        }
      }),
    )
  })

  test('that climb are harmless', () => {
    for (const text of ['..', '../../etc', '/etc/passwd', '.', 'a\0b', '\u202e', '%2e%2e%2f', '%2F..%2F']) {
      const one = levelOfFile(text)
      assert.ok(!one.includes('/') && one !== '', text)
      assert.ok(!['.', '..'].includes(fileLevel(one)))
    }
    for (const folder of ['..', '.', '.a..b', '...', '.']) assert.equal(maildirLevels(folder), undefined)
  })

  test('of folders lead to mailboxes', () => {
    const folders = ['INBOX', 'Sent Items', 'Work', 'Work/Old']
    const to = (options: Partial<Parameters<typeof mapping>[1]>, single = false) =>
      folders.map(mapping(folders, { into: undefined, map: [], skip: [], ...options }, single))
    assert.deepEqual(to({}), folders)
    assert.deepEqual(to({ into: 'Before' }), ['Before', 'Before/Sent Items', 'Before/Work', 'Before/Work/Old'])
    assert.deepEqual(
      to({
        map: [
          ['Work', 'W'],
          ['Sent Items', 'Sent'],
        ],
        skip: ['Work/Old'],
      }),
      ['INBOX', 'Sent', 'W', undefined],
    )
    assert.deepEqual(mapping(['big'], { into: undefined, map: [], skip: [] }, true)('big'), 'INBOX')
    assert.throws(() => to({ map: [['Wrok', 'W']] }), /Did you mean Work\?/)
  })
})

describe('importing', () => {
  test('an mbox: flags, dates, quoting, and each message once however often it breaks off', async (t) => {
    const room = await openRoom(t)
    // Twice the same message is two messages.
    const subjects = Array.from({ length: 700 }, (_, i) => `m${i % 350}`)
    room.files({ INBOX: mbox(subjects) })
    let batches = 0
    for (const stop of [1, 2, 2]) {
      let left = stop
      await assert.rejects(
        room.import('INBOX', (real) => async (mailbox, parcels) => {
          if (parcels.length > 0 && left-- === 0) throw Object.assign(new Error('gone'), { code: 'unavailable' })
          batches++
          return real(mailbox, parcels)
        }),
        /gone/,
      )
    }
    assert.ok(batches > 3)
    const done = await room.import('INBOX')
    assert.equal(done.failed, 0)
    assert.equal(done.imported + done.known, 700)
    assert.ok(done.known >= 250, String(done.known))
    const lines = await room.list('INBOX')
    assert.deepEqual(lines.map(({ subject }) => subject).sort(), subjects.toSorted())
    assert.ok(lines.every(({ date }) => date.time === Date.UTC(2024, 1, 3, 4, 5, 6)))
    // More came to the file, and what was there was compacted: only the new comes in.
    room.files({ INBOX: mbox([...subjects.slice(10), 'new', 'm0']) })
    const later = await room.import('INBOX')
    assert.deepEqual([later.imported, later.failed], [1, 0])
    assert.equal((await room.list('INBOX', { subject: 'NEW' })).length, 1)
  })

  test("a Maildir++ of Dovecot's: flags, keywords, times, folders, compressed files", async (t) => {
    const room = await openRoom(t)
    room.files(
      {
        'md/cur/1700000001.M5P1.host,S=10,W=12:2,FRSab': letter('one'),
        'md/new/1700000000.M5P1.host': letter('zero'),
        'md/tmp/1700000000.M5P1.host': letter('half'),
        'md/dovecot-keywords': '0 $label1\n1 work\n2 no\tatom\n',
        'md/dovecot-uidlist': '3 V1 N1\n',
        'md/.Entw&APw-rfe.Gr&APYA3w-e &- mehr/cur/1700000002.M1P1.host:2,DTP': gzipSync(letter('two')),
        'md/.Entw&APw-rfe.Gr&APYA3w-e &- mehr/maildirfolder': '',
        'md/.Empty/cur/.keep': '',
        'md/sub/fs/cur/x': letter('three'),
      },
      { 'md/cur/1700000001.M5P1.host,S=10,W=12:2,FRSab': 1_500_000_000 },
    )
    const report = await room.import('md')
    assert.deepEqual(
      report.folders.map(({ folder, imported }) => [folder, imported]),
      [
        ['INBOX', 2],
        ['Empty', 0],
        ['Entwürfe/Größe & mehr', 1],
        ['sub/fs', 1],
      ],
    )
    const [zero, one] = await room.list('INBOX')
    assert.deepEqual([zero?.subject, zero?.flags], ['zero', []])
    assert.deepEqual([one?.subject, one?.flags], ['one', ['\\Answered', '\\Flagged', '\\Seen', '$label1', 'work']])
    assert.equal(one?.date.time, 1_500_000_000_000)
    const [two] = await room.list('Entwürfe/Größe & mehr')
    assert.deepEqual([two?.subject, two?.flags], ['two', ['\\Deleted', '\\Draft', '$Forwarded']])
    // Flags change and files move while the other server still runs: not new messages.
    renameSync(join(room.folder, 'md/new/1700000000.M5P1.host'), join(room.folder, 'md/cur/1700000000.M5P1.host:2,S'))
    assert.deepEqual([(await room.import('md')).imported, (await room.import('md')).known], [0, 4])
  })

  test("Thunderbird's folders, .eml files, and what is no mail", async (t) => {
    const room = await openRoom(t)
    room.files({
      'tb/Inbox': mbox(['in']).replace('\n\n', '\nX-Mozilla-Status: 0001\n\n'),
      'tb/Inbox.msf': 'index',
      'tb/Archives.sbd/2023': mbox(['old', 'older']),
      'tb/Archives': '',
      'tb/letters/one.EML': `Received: by x; Mon, 01 Jan 2024 00:00:00 +0100\r\n${letter('eml')}`,
      'tb/letters/readme.txt': 'no mail\n',
      'tb/filters.dat': 'x',
    })
    const found = await findFolders(join(room.folder, 'tb'))
    assert.deepEqual(
      found.folders.map(({ name, kind }) => [name, kind]),
      [
        ['INBOX', 'mbox'],
        ['Archives', 'mbox'],
        ['Archives/2023', 'mbox'],
        ['letters', 'eml'],
      ],
    )
    assert.deepEqual(
      found.ignored.map(({ path }) => path.slice(room.folder.length)),
      ['/tb/letters/readme.txt'],
    )
    assert.equal((await room.import('tb')).imported, 4)
    assert.deepEqual(
      (await room.list('INBOX')).map(({ flags }) => flags),
      [['\\Seen']],
    )
    assert.deepEqual(
      (await room.list('letters')).map(({ date }) => date),
      [{ time: Date.UTC(2023, 11, 31, 23), zone: 60 }],
    )
  })

  test('goes on after what cannot be taken, and says where it is', async (t) => {
    const room = await openRoom(t, { appendLimit: 2000 })
    const first = mbox(['a'])
    room.files({
      'all/INBOX': `${first}${FROM}Subject: large\n\n${'x'.repeat(3000)}\n\n${mbox(['b'])}`,
      'all/md/cur/1:2,S': letter('c'),
      'all/md/cur/2:2,S': '',
      'all/md/cur/3:2,': 'y'.repeat(3000),
      'all/broken/cur/1:2,': Buffer.from('1f8b080000000000', 'hex'),
      [`all/${'n'.repeat(248)}%.mbox`]: mbox(['d']),
    })
    const report = await room.import('all')
    assert.equal(report.imported, 4)
    assert.equal(report.failed, report.problems.length)
    assert.deepEqual(
      report.problems.map(({ place, reason }) => [
        place.file.slice(room.folder.length + 5),
        place.offset,
        reason.split(' ').slice(0, 3).join(' '),
      ]),
      [
        ['INBOX', first.length, 'it has 3018'],
        ['broken/cur/1:2,', undefined, 'it is compressed'],
        ['md/cur/2:2,S', undefined, 'it is empty'],
        ['md/cur/3:2,', undefined, 'it has 3000'],
      ],
    )
  })

  test('asks before it sends a message that is large', async (t) => {
    const room = await openRoom(t, { appendLimit: 16 * 1024 * 1024 })
    room.files({ INBOX: `${FROM}Subject: large\n\n${`${'long line '.repeat(100_000)}\n`.repeat(9)}\n${mbox(['b'])}` })
    let sent = 0
    const counting =
      (real: ImportSink): ImportSink =>
      async (mailbox, parcels) => {
        for (const { message } of parcels) sent += message?.bytes.byteLength ?? 0
        return real(mailbox, parcels)
      }
    assert.equal((await room.import('INBOX', counting)).imported, 2)
    assert.ok(sent > 9_000_000 && sent < 9_001_000, `${sent}`)
    sent = 0
    assert.equal((await room.import('INBOX', counting)).known, 2)
    assert.ok(sent < 1000, `${sent} octets were sent in vain`)
  })

  test('leaves what cannot be kept with a message, not the message', async (t) => {
    const room = await openRoom(t)
    const keywords = Array.from({ length: 1100 }, (_, i) => `k${i}`)
    room.files({
      INBOX: keywords
        .map((keyword) => `${FROM}X-Keywords: ${keyword}\nStatus: R\nSubject: ${keyword}\n\nx\n\n`)
        .join(''),
    })
    const report = await room.import('INBOX')
    assert.equal(report.imported, 1100)
    assert.equal(report.failed, 0)
    assert.equal(report.problems.length, 100)
    assert.match(report.problems[0]?.reason ?? '', /keywords were left out/)
    assert.equal((await room.list('INBOX', { with: ['\\Seen'] })).length, 1100)
  })

  test('follows nobody out of the source', async (t) => {
    const room = await openRoom(t)
    room.files({ secret: mbox(['secret']), 'src/md/cur/1:2,': letter('real'), 'src/ok': mbox(['ok']) })
    symlinkSync(join(room.folder, 'secret'), join(room.folder, 'src/md/cur/2:2,'))
    symlinkSync(join(room.folder, 'secret'), join(room.folder, 'src/stolen'))
    symlinkSync('/', join(room.folder, 'src/root'))
    execFileSync('mkfifo', [join(room.folder, 'src/md/cur/3:2,'), join(room.folder, 'src/pipe')])
    const report = await room.import('src')
    assert.deepEqual([report.imported, report.problems.length], [2, 2])
    assert.ok(report.problems.every(({ reason }) => reason === 'it is no regular file'))
    const { ignored } = await findFolders(join(room.folder, 'src'))
    assert.deepEqual(ignored.map(({ path }) => path.slice(room.folder.length + 5)).sort(), ['pipe', 'root', 'stolen'])
    // A link that the administrator names himself is what he means.
    symlinkSync(join(room.folder, 'secret'), join(room.folder, 'named'))
    assert.equal((await room.import('named')).imported, 1)
  })

  test('says what is no mail at all', async (t) => {
    const room = await openRoom(t)
    room.files({ 'no mail': 'just text\n', 'void/x.txt': 'y' })
    await assert.rejects(room.import('no mail'), /neither an mbox nor a message/)
    await assert.rejects(room.import('void'), /holds no mbox/)
    await assert.rejects(room.import('nothing'), { code: 'ENOENT' })
  })

  test('stops when there is no room left, and goes on when there is', async (t) => {
    const room = await openRoom(t)
    room.files({ INBOX: mbox(Array.from({ length: 600 }, (_, i) => `m${i}`)) })
    await room.house.mailboxes.setQuota('anna', { messages: 300 })
    await assert.rejects(room.import('INBOX'), { code: 'limit' })
    const before = (await room.list('INBOX')).length
    assert.ok(before > 0 && before <= 300)
    await room.house.mailboxes.setQuota('anna', { messages: 'none' })
    assert.equal((await room.import('INBOX')).imported, 600 - before)
  })
})

describe('the door', () => {
  test('answers wrong names with the nearest right one', async (t) => {
    const { door } = await openRoom(t)
    await door.createMailbox(ANNA, 'Archive/2023', undefined)
    await assert.rejects(door.mailbox(ANNA, 'Archiv/2023'), {
      code: 'not-found',
      message: /Did you mean Archive\/2023\?/,
    })
    await assert.rejects(door.flag(ANNA, 'nothing like it', '1', 'add', ['\\Seen']), {
      code: 'not-found',
      message: /there are Archive, /,
    })
    await assert.rejects(door.mailboxes('ana@example.org'), {
      code: 'not-found',
      message: /Did you mean anna@example\.org\?/,
    })
    await assert.rejects(door.createMailbox(ANNA, 'Archive', undefined), { code: 'exists' })
    await assert.rejects(door.createMailbox(ANNA, 'a*b', undefined), { code: 'invalid' })
    await assert.rejects(door.subscribe(ANNA, 'Archive/2032', true), { message: /Did you mean Archive\/2023\?/ })
    await assert.rejects(door.copy(ANNA, 'INBOX', '1:*', 'Archive'), { code: 'not-found', message: /it is empty/ })
    await assert.rejects(door.copy(ANNA, 'INBOX', 'all', 'Archive'), { code: 'invalid', message: /no set of UIDs/ })
  })

  test('chooses messages by flags, dates, sizes and header, page by page', async (t) => {
    const room = await openRoom(t)
    const add = (subject: string, flags: readonly string[], day: number) =>
      room.door.add(ANNA, 'INBOX', {
        bytes: Buffer.from(letter(subject)),
        flags,
        date: { time: Date.UTC(2024, 0, day), zone: 0 },
      })
    await room.door.createMailbox(ANNA, 'Other', undefined)
    for (let day = 1; day <= 250; day++)
      await add(
        day % 2 === 0 ? `=?utf-8?q?Gr=C3=BC=C3=9Fe?= ${day}` : `odd ${day}`,
        day % 5 === 0 ? ['\\Seen', 'five'] : [],
        day,
      )
    const subjects = async (query: Parameters<typeof room.list>[1]) => (await room.list('INBOX', query)).length
    assert.equal(await subjects({ subject: 'grüße' }), 125)
    assert.equal(await subjects({ from: 'BO@example', without: ['\\seen'] }), 200)
    assert.equal(await subjects({ with: ['FIVE'], since: Date.UTC(2024, 0, 101), uids: '1:200' }), 20)
    assert.equal(await subjects({ before: Date.UTC(2024, 0, 3) }), 2)
    assert.equal(await subjects({ last: 10, subject: 'odd' }), 5)
    assert.equal(await subjects({ uids: '250,*,1:3' }), 4)
    assert.equal(await subjects({ larger: 1000 }), 0)
    assert.equal(await room.door.move(ANNA, 'INBOX', '1:100', 'Other'), 100)
    assert.equal(await room.door.copy(ANNA, 'Other', '1:*', 'INBOX'), 100)
    assert.equal(await room.door.flag(ANNA, 'Other', '5,10', 'set', ['x']), 2)
    assert.equal(await room.door.expunge(ANNA, 'Other', '1:90'), 90)
    assert.equal((await room.door.mailbox(ANNA, 'Other')).messages, 10)
    assert.equal((await room.door.mailbox(ANNA, 'INBOX')).messages, 250)
  })

  test('holds pieces of few messages only', async (t) => {
    const { door } = await openRoom(t, { appendLimit: 1000 })
    const mail = Buffer.from(letter('staged'))
    const add = (staged: string) => door.add(ANNA, 'INBOX', { bytes: { staged }, flags: [], date: undefined })
    await door.stage('a', mail.subarray(0, 20), mail.length)
    await door.stage('a', mail.subarray(20), mail.length)
    assert.equal(await add('a'), 1)
    await assert.rejects(add('a'), { code: 'unavailable' })
    await assert.rejects(door.stage('b', new Uint8Array(900), 1001), { code: 'invalid' })
    await door.stage('b', new Uint8Array(900), 1000)
    await assert.rejects(door.stage('b', new Uint8Array(101), 1000), { code: 'invalid' })
    await door.stage('short', mail.subarray(0, 20), mail.length)
    await assert.rejects(add('short'), { code: 'unavailable' })
    for (const token of ['c', 'd', 'e', 'f', 'g']) await door.stage(token, new Uint8Array(1), 1)
    await assert.rejects(add('c'), { code: 'unavailable' })
  })
})
