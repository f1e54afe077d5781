// RFC 5267: searches and sorts whose results are kept up to date, as the client hears it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Mail, put, room } from './searching.ts'

const mails = (...subjects: string[]): Mail[] => subjects.map((subject) => ({ header: [`Subject: ${subject}`] }))

test('a search is updated with the news: removals before EXPUNGE, additions after EXISTS, UIDs or numbers as asked', async (t) => {
  const { mail, wire } = await room(t, mails('a', 'b', 'c', 'd'))
  const box = await mail.open().open('INBOX')
  assert.match(
    await wire.ask('U UID SEARCH RETURN (UPDATE COUNT) UNSEEN'),
    /^\* ESEARCH \(TAG "U"\) UID COUNT 4\r\nU OK/,
  )
  assert.match(await wire.ask('N SEARCH RETURN (UPDATE) NOT SEEN'), /^\* ESEARCH \(TAG "N"\)\r\nN OK/)
  await box.store([2], { action: 'add', flags: ['\\Seen'] })
  assert.match(
    await wire.ask('a NOOP'),
    /^\* 2 FETCH .*\r\n\* ESEARCH \(TAG "U"\) UID REMOVEFROM \(0 2\)\r\n\* ESEARCH \(TAG "N"\) REMOVEFROM \(0 2\)\r\na OK/,
  )
  await box.store([1, 3], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([1, 3])
  await put(mail, mails('e', 'f'))
  assert.equal(
    (await wire.ask('a NOOP')).split('\r\n').slice(0, -2).join('\n'),
    [
      '* ESEARCH (TAG "U") UID REMOVEFROM (0 1,3)',
      '* ESEARCH (TAG "N") REMOVEFROM (0 1,3)',
      '* 3 EXPUNGE',
      '* 1 EXPUNGE',
      '* 4 EXISTS',
      '* 4 RECENT',
      '* ESEARCH (TAG "U") UID ADDTO (0 5:6)',
      '* ESEARCH (TAG "N") ADDTO (0 3:4)',
    ].join('\n'),
  )
  // What this session does itself is news too, and no EXPUNGE is told with FETCH.
  assert.match(
    await wire.ask('a STORE 1 -FLAGS.SILENT (\\Seen)'),
    /^\* ESEARCH \(TAG "U"\) UID ADDTO \(0 2\)\r\n\* ESEARCH \(TAG "N"\) ADDTO \(0 1\)\r\na OK/,
  )
  await box.store([4], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([4])
  assert.doesNotMatch(await wire.ask('a FETCH 1 (UID)'), / EXPUNGE\r|REMOVEFROM/)
  assert.match(
    await wire.ask('a CANCELUPDATE "N"'),
    /^\* ESEARCH \(TAG "U"\) UID REMOVEFROM \(0 4\)\r\n\* 2 EXPUNGE\r\na OK/,
  )
  await box.store([5], { action: 'add', flags: ['\\Seen'] })
  assert.doesNotMatch(await wire.ask('a NOOP'), /TAG "N"/)
})

test('a sort is updated by positions', async (t) => {
  const { mail, wire } = await room(t, mails('m', 'b', 'x'))
  const box = await mail.open().open('INBOX')
  assert.match(await wire.ask('S UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 UNDELETED'), /ALL 2,1,3\r\n/)
  await put(mail, mails('a', 'n', 'nn'))
  // The list is then 4 2 1 5 6 3.
  assert.match(await wire.ask('a NOOP'), /\* ESEARCH \(TAG "S"\) UID ADDTO \(1 4 4 5:6\)\r\n/)
  await box.store([4, 5, 1], { action: 'add', flags: ['\\Deleted'] })
  assert.match(await wire.ask('a NOOP'), /\* ESEARCH \(TAG "S"\) UID REMOVEFROM \(3 1,5 1 4\)\r\n/)
  await box.expunge([4, 5, 1])
  await box.store([3], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([3])
  assert.match(await wire.ask('a NOOP'), /^\* ESEARCH \(TAG "S"\) UID REMOVEFROM \(3 3\)\r\n\* \d EXPUNGE/)
})

test('updates come to a client that idles', async (t) => {
  const { mail, wire } = await room(t, mails('a'))
  await wire.ask('U UID SEARCH RETURN (UPDATE) SUBJECT b')
  wire.send('i IDLE\r\n')
  await wire.until('+ ')
  await put(mail, mails('c', 'b'))
  assert.match(await wire.until('* ESEARCH'), /\* 3 EXISTS\r\n.*\* ESEARCH \(TAG "U"\) UID ADDTO \(0 3\)\r\n$/s)
  wire.send('DONE\r\n')
  await wire.until('i OK')
})

test('numbers, $ and * in an updated search stand for the messages of its beginning; a range goes on', async (t) => {
  const { mail, wire } = await room(t, mails('a', 'b', 'c', 'd'))
  const box = await mail.open().open('INBOX')
  await wire.ask('a SEARCH RETURN (SAVE) 2')
  await wire.ask('A UID SEARCH RETURN (UPDATE) 3 UNSEEN')
  await wire.ask('B UID SEARCH RETURN (UPDATE) $ UNSEEN')
  await wire.ask('C UID SEARCH RETURN (UPDATE) UID * UNSEEN')
  await wire.ask('D UID SEARCH RETURN (UPDATE) UID 5:* UNSEEN')
  await box.store([1], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([1])
  await put(mail, mails('e'))
  assert.deepEqual((await wire.ask('n NOOP')).match(/TAG "."\).*/g), ['TAG "D") UID ADDTO (0 5)'])
  await box.store([2, 3, 4], { action: 'add', flags: ['\\Seen'] })
  assert.deepEqual((await wire.ask('n NOOP')).match(/TAG "."\).*/g), [
    'TAG "A") UID REMOVEFROM (0 3)',
    'TAG "B") UID REMOVEFROM (0 2)',
    'TAG "C") UID REMOVEFROM (0 4)',
    'TAG "D") UID REMOVEFROM (0 4)',
  ])
})

test('with UIDONLY, updates are told in UIDs, before VANISHED', async (t) => {
  const { mail, wire } = await room(t, mails('a', 'b'))
  await wire.ask('N SEARCH RETURN (UPDATE) ALL')
  await wire.ask('e ENABLE UIDONLY')
  const box = await mail.open().open('INBOX')
  await box.store([1], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([1])
  await put(mail, mails('c'))
  assert.match(
    await wire.ask('a NOOP'),
    /^\* ESEARCH \(TAG "N"\) UID REMOVEFROM \(0 1\)\r\n\* VANISHED 1\r\n.*\* ESEARCH \(TAG "N"\) UID ADDTO \(0 3\)\r\na OK/s,
  )
})

test('a tag in use, too many contexts, unknown tags, and another mailbox', async (t) => {
  const { mail, wire } = await room(t, mails('a'), { mailboxes: { other: undefined } })
  await wire.ask('U UID SEARCH RETURN (UPDATE) UNSEEN')
  assert.match(await wire.ask('U UID SEARCH RETURN (UPDATE COUNT) UNSEEN'), /^U BAD/)
  assert.match(await wire.ask('U UID SEARCH RETURN (COUNT) UNSEEN'), /COUNT 1\r\nU OK/)
  for (let i = 1; i < 16; i++) assert.doesNotMatch(await wire.ask(`u${i} SEARCH RETURN (UPDATE) ALL`), /NOUPDATE/)
  assert.match(
    await wire.ask('v SEARCH RETURN (UPDATE COUNT) ALL'),
    /^\* ESEARCH \(TAG "v"\) COUNT 1\r\n\* NO \[NOUPDATE "v"\] .*\r\nv OK/,
  )
  assert.match(await wire.ask('w CANCELUPDATE "nope"'), /^w BAD/)
  assert.match(await wire.ask('w CANCELUPDATE U'), /^w BAD/)
  assert.match(await wire.ask('w CANCELUPDATE "U" "u1"'), /^w OK/)
  assert.match(await wire.ask('w CANCELUPDATE "U"'), /^w BAD/)
  assert.match(await wire.ask('x SORT RETURN (UPDATE) (RELEVANCY) UTF-8 FUZZY TEXT a'), /NO \[NOUPDATE "x"\]/)
  assert.match(await wire.ask('y ESEARCH IN (personal) RETURN (UPDATE) ALL'), /NO \[NOUPDATE "y"\].*\r\ny OK/s)
  assert.match(await wire.ask('z ESEARCH RETURN (UPDATE COUNT) ALL'), /UID COUNT 1\r\nz OK/)
  await wire.ask('a SELECT other')
  await wire.ask('a SELECT INBOX')
  await put(mail, mails('b'))
  assert.doesNotMatch(await wire.ask('a NOOP'), /ESEARCH/)
})

/** What a client makes of a list by the updates it hears. */
function apply(list: number[], said: string): void {
  for (const [, what, pairs = ''] of said.matchAll(/(ADDTO|REMOVEFROM) \(([^)]*)\)/g)) {
    const words = pairs.split(' ')
    for (let i = 0; i < words.length; i += 2) {
      const position = Number(words[i])
      const uids = (words[i + 1] ?? '').split(',').flatMap((range) => {
        const [from = 0, to = from] = range.split(':').map(Number)
        return Array.from({ length: to - from + 1 }, (_, at) => from + at)
      })
      if (what === 'REMOVEFROM') {
        if (position > 0) assert.deepEqual(list.splice(position - 1, uids.length), uids)
        else for (const uid of uids) list.splice(list.indexOf(uid), 1)
      } else if (position > 0) list.splice(position - 1, 0, ...uids)
      else {
        list.push(...uids)
        list.sort((a, b) => a - b)
      }
    }
  }
}

test('whatever happens, the updates lead to what a new search finds', async (t) => {
  const word = fc.constantFrom('a', 'b', 'bb', 'c', 'Re: a', 'z')
  const event = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), subjects: fc.array(word, { minLength: 1, maxLength: 4 }) }),
    fc.record({
      kind: fc.constantFrom('see' as const, 'unsee' as const, 'expunge' as const, 'noop' as const, 'fetch' as const),
      uids: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 5 }),
    }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 25 }), async (events) => {
      const { mail, wire, say } = await room(t, mails('c', 'a', 'b'))
      const box = await mail.open().open('INBOX')
      const searches = { S: 'UID SEARCH', O: 'UID SORT' }
      const command = (name: 'S' | 'O', options: string): string =>
        name === 'S'
          ? `UID SEARCH RETURN (${options}) OR UNSEEN SUBJECT b`
          : `UID SORT RETURN (${options}) (REVERSE SUBJECT DATE) UTF-8 OR UNSEEN SUBJECT b`
      const lists = { S: [1, 2, 3], O: [1, 3, 2] }
      for (const name of ['S', 'O'] as const) await wire.ask(`${name} ${command(name, 'UPDATE')}`)
      const hear = (said: string): void => {
        for (const name of ['S', 'O'] as const)
          for (const line of said.split('\r\n')) if (line.includes(`TAG "${name}"`)) apply(lists[name], line)
      }
      for (const one of events) {
        if (one.kind === 'put') await put(mail, mails(...one.subjects))
        else if (one.kind === 'see') await box.store(one.uids, { action: 'add', flags: ['\\Seen'] })
        else if (one.kind === 'unsee') await box.store(one.uids, { action: 'remove', flags: ['\\Seen'] })
        else if (one.kind === 'expunge') {
          await box.store(one.uids, { action: 'add', flags: ['\\Deleted'] })
          await box.expunge(one.uids)
        } else hear(`${await say(one.kind === 'noop' ? 'NOOP' : 'UID FETCH 1:* (UID)')}`)
      }
      hear(await say('NOOP'))
      for (const name of Object.keys(searches) as ('S' | 'O')[]) {
        const expected: number[] = []
        apply(expected, `ADDTO (1 ${/ALL (\S+)/.exec(await say(command(name, 'ALL')))?.[1] ?? ''})`)
        assert.deepEqual(
          lists[name],
          expected.filter((uid) => uid > 0),
        )
      }
      wire.socket.destroy()
    }),
    { numRuns: 40 },
  )
})
