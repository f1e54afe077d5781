// RFC 5256 SORT, RFC 5957 SORT=DISPLAY, RFC 5267 ESORT; and the orders behind them, against the plainest sort there is.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { KeyField, Mailbox } from '../src/index.ts'
import { sentDates } from '../src/sort/columns.ts'
import { sortedBy } from '../src/sort/radix.ts'
import { ranksOf } from '../src/sort/ranks.ts'
import type { Pace } from '../src/search/pace.ts'
import { KeyTexts } from '../src/sort/key-texts.ts'
import { collated } from '../src/sort/strings.ts'
import { joinKeys, splitKeys } from '../src/render/key-list.ts'
import { MemoryMail } from '../src/testing/index.ts'
import { put, room } from './searching.ts'

const pace = { winded: false, breathe: async () => undefined }

const subject = (text: string) => ({ header: [`Subject: ${text}`] })

test('48: SUBJECT is the base subject, ties stay in mailbox order, also under REVERSE', async (t) => {
  const { say } = await room(
    t,
    [
      'zebra',
      'Re: apple',
      '=?utf-8?q?=5Blist=5D_Fwd=3A_apple?=',
      '[list] Re: [list] banana (fwd)',
      'APPLE',
      '_under',
      '=?utf-8?q?=C3=A9clair?=',
      'ezra',
      '[Fwd: banana]',
      '',
    ].map(subject),
  )
  assert.equal(await say('SORT (SUBJECT) UTF-8 ALL'), '* SORT 10 2 3 5 4 9 8 7 1 6')
  assert.equal(await say('SORT (REVERSE SUBJECT) UTF-8 ALL'), '* SORT 6 1 7 8 4 9 2 3 5 10')
  assert.equal(await say('UID SORT (REVERSE SUBJECT) US-ASCII 2:4'), '* SORT 4 2 3')
})

test('48: addresses sort by mailbox, DISPLAY by name and else by mailbox@host', async (t) => {
  const { say } = await room(t, [
    { header: ['From: Zoe <anna@a.example>', 'To: ben@b.example', 'Cc: x@a'] },
    { header: ['From: bert@z.example', 'To: "Ben" <zed@b.example>'] },
    { header: ['From: bert@a.example', 'To: friends: one@x, two@x;', 'Cc: "A" <b@x>'] },
    { header: ['From: =?utf-8?q?=C3=84nne?= <zz@a.example>'] },
    { header: ['Subject: nobody'] },
  ])
  assert.equal(await say('SORT (FROM) UTF-8 ALL'), '* SORT 5 1 2 3 4')
  assert.equal(await say('SORT (TO) UTF-8 ALL'), '* SORT 4 5 1 3 2')
  assert.equal(await say('SORT (CC) UTF-8 ALL'), '* SORT 2 4 5 3 1')
  assert.equal(await say('SORT (DISPLAYFROM) UTF-8 ALL'), '* SORT 5 4 3 2 1')
  assert.equal(await say('SORT (DISPLAYTO) UTF-8 ALL'), '* SORT 4 5 2 1 3')
})

test('DATE is the moment of the Date field, INTERNALDATE where there is none; ARRIVAL and SIZE; more than one key', async (t) => {
  const at = (text: string): number => Date.parse(text)
  const { say } = await room(t, [
    {
      header: ['Subject: b', 'Date: Mon, 2 Feb 2026 10:00:00 +0100'],
      date: at('2026-02-05T00:00:00Z'),
      body: 'xxx\r\n',
    },
    { header: ['Subject: a', 'Date: Mon, 2 Feb 2026 09:30:00 +0000'], date: at('2026-02-04T00:00:00Z'), body: '\r\n' },
    { header: ['Subject: a', 'Date: yesterday, or so'], date: at('2026-02-02T09:15:00Z'), body: 'x\r\n' },
    { header: ['Subject: b'], date: at('2026-02-02T08:00:00Z'), body: 'x\r\n' },
  ])
  assert.equal(await say('SORT (DATE) UTF-8 ALL'), '* SORT 4 1 3 2')
  assert.equal(await say('SORT (REVERSE DATE) UTF-8 ALL'), '* SORT 2 3 1 4')
  assert.equal(await say('SORT (ARRIVAL) UTF-8 ALL'), '* SORT 4 3 2 1')
  assert.equal(await say('SORT (SIZE) UTF-8 ALL'), '* SORT 4 3 2 1')
  assert.equal(await say('SORT (SUBJECT REVERSE DATE) UTF-8 ALL'), '* SORT 2 3 1 4')
  assert.equal(await say('SORT (REVERSE SUBJECT DATE) UTF-8 UNSEEN'), '* SORT 4 1 3 2')
})

test('ESORT: results in the order asked for; ranges only where it ascends', async (t) => {
  const { say } = await room(t, ['d', 'b', 'c', 'a', 'e', 'f'].map(subject))
  const said = async (command: string): Promise<string> => (await say(command)).replace(/^.*\) /, '')
  assert.equal(await said('SORT RETURN (MIN MAX COUNT) (SUBJECT) UTF-8 ALL'), 'MIN 4 MAX 6 COUNT 6')
  assert.match(await say('SORT RETURN () (SUBJECT) UTF-8 ALL'), /ALL 4,2:3,1,5:6$/)
  assert.match(await say('UID SORT RETURN (ALL) (REVERSE SUBJECT) UTF-8 ALL'), /UID ALL 6,5,1,3,2,4$/)
  assert.match(await say('SORT RETURN (PARTIAL 2:4) (SUBJECT) UTF-8 ALL'), /PARTIAL \(2:4 2:3,1\)$/)
  assert.match(await say('SORT RETURN (PARTIAL -1:-2 COUNT) (SUBJECT) UTF-8 ALL'), /PARTIAL \(-1:-2 5:6\) COUNT 6$/)
  assert.match(await say('SORT RETURN (ALL COUNT) (SUBJECT) UTF-8 KEYWORD none'), /\(TAG "a\d+"\) COUNT 0$/)
})

test('what SORT cannot do is BAD', async (t) => {
  const { say } = await room(t, [])
  for (const args of [
    '() UTF-8 ALL',
    '(REVERSE) UTF-8 ALL',
    '(REVERSE REVERSE DATE) UTF-8 ALL',
    '(BOGUS) UTF-8 ALL',
    '(DATE) UTF-8',
    '(DATE)',
    `(${'DATE '.repeat(21).trim()}) UTF-8 ALL`,
  ])
    assert.match(await say(`SORT ${args}`), /BAD/, args)
})

test('orders are brought up to date with few keys read, whatever came and went', async (t) => {
  const mail = new MemoryMail()
  await put(
    mail,
    Array.from({ length: 400 }, (_, i) => subject(`s${String((i * 7919) % 400).padStart(3, '0')}`)),
  )
  const memory = await mail.open().open('INBOX')
  let read = 0
  const mailbox = new Proxy(memory, {
    get: (target, name) => {
      if (name !== 'keys') return Reflect.get(target, name, target) as unknown
      return (uids: readonly number[], field: KeyField) => {
        read += uids.length
        return target.keys(uids, field)
      }
    },
  })
  t.diagnostic('400 messages')
  const check = async (): Promise<void> => {
    const { uids } = await memory.snapshot()
    const ranks = await ranksOf(mailbox, 'subject', uids, pace)
    const keys: string[] = []
    for await (const batch of memory.keys([...uids], 'subject')) keys.push(...splitKeys(batch.keys))
    for (let i = 1; i < uids.length; i++) {
      for (const j of [i - 1, (i * 31) % i]) {
        const order = Math.sign((ranks[i] ?? 0) - (ranks[j] ?? 0))
        const [a = '', b = ''] = [keys[i], keys[j]].map((key) => collated(key ?? ''))
        assert.equal(order, a < b ? -1 : a > b ? 1 : 0, `${a} and ${b}`)
      }
    }
  }
  await check()
  assert.equal(read, 400)
  read = 0
  await put(mail, ['s000', 's0001', 'zz', 'aa', 's0001', 'Re: s200'].map(subject))
  await check()
  assert.ok(read > 6 && read < 100, `${read} keys read`)
  read = 0
  await memory.store([1, 2, 3, 401, 402], { action: 'add', flags: ['\\Deleted'] })
  await memory.expunge([1, 2, 3, 401, 402])
  await check()
  assert.equal(read, 0)
  await put(mail, ['s0001', 's0002', 's000'].map(subject))
  await check()
  assert.ok(read < 60, `${read} keys read`)
})

test('two sessions with different pictures of the mailbox share one order', async (t) => {
  const { say, mail, other } = await room(t, ['b', 'd', 'a'].map(subject))
  await put(mail, [subject('c')])
  const second = await other()
  assert.equal(await second('SORT (SUBJECT) UTF-8 ALL'), '* SORT 3 1 4 2')
  const box = await mail.open().open('INBOX')
  await box.store([1], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([1])
  // The first has heard neither of the new message nor of the expunged one.
  assert.match(await say('SORT (SUBJECT) UTF-8 ALL'), /^\* SORT 3 1 2/)
  assert.match(await second('UID SORT (REVERSE SUBJECT) UTF-8 ALL'), /^\* SORT 2 4 1 3/)
})

test('ranks of random mailboxes, grown and shrunk at random, equal a plain sort', async () => {
  const word = fc.constantFrom('', 'a', 'A', 'b', 'ba', '\u00e9', 'e', '_', '[', 'z', '\u00df', '\u4e2d')
  const change = fc.record({ add: fc.array(word, { maxLength: 8 }), remove: fc.array(fc.nat(60), { maxLength: 6 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 100 }), fc.array(change, { maxLength: 6 }), async (first, changes) => {
      const texts = new Map<number, string>()
      let next = 1
      for (const text of first) texts.set(next++, text)
      const mailbox = fakeMailbox(texts)
      for (const { add, remove } of [{ add: [], remove: [] }, ...changes]) {
        for (const text of add) texts.set(next++, text)
        for (const uid of remove) texts.delete(uid)
        const uids = Uint32Array.from(texts.keys())
        const ranks = await ranksOf(mailbox, 'subject', uids, pace)
        const distinct = [...new Set([...texts.values()].map(collated))].sort()
        const bySort = Array.from(uids, (uid) => distinct.indexOf(collated(texts.get(uid) ?? '')))
        for (let i = 0; i < uids.length; i++)
          for (let j = 0; j < i; j++)
            assert.equal(Math.sign((ranks[i] ?? 0) - (ranks[j] ?? 0)), Math.sign((bySort[i] ?? 0) - (bySort[j] ?? 0)))
      }
    }),
    { numRuns: 150 },
  )
})

test('number columns follow the mailbox too', async () => {
  const texts = new Map([
    [1, '5'],
    [3, ''],
    [4, '-7'],
  ])
  const mailbox = fakeMailbox(texts)
  const dates = async (): Promise<number[]> => [...(await sentDates(mailbox, Uint32Array.from(texts.keys()), pace))]
  assert.deepEqual(await dates(), [5, NaN, -7])
  texts.delete(3)
  texts.set(9, '11')
  assert.deepEqual(await dates(), [5, -7, 11])
  texts.delete(1)
  assert.deepEqual(await dates(), [-7, 11])
})

/** A mailbox that has keys and nothing else. */
function fakeMailbox(texts: ReadonlyMap<number, string>): Mailbox {
  const mailbox: Partial<Mailbox> = {
    cache: new Map<string, unknown>(),
    async *keys(uids) {
      for (let at = 0; at < uids.length; at += 7) {
        const some = uids.slice(at, at + 7).filter((uid) => texts.has(uid))
        if (some.length > 0) yield { uids: some, keys: joinKeys(some.map((uid) => texts.get(uid) ?? '')) }
      }
    },
  }
  return mailbox as Mailbox
}

test('the radix sort is a stable sort, of any numbers, both ways', async () => {
  const value = fc.oneof(
    fc.integer({ min: -5, max: 5 }),
    fc.integer({ min: 0, max: 2 ** 40 }),
    fc.integer({ min: -(2 ** 52), max: 2 ** 52 }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(value), fc.boolean(), async (values, reverse) => {
      const order = Uint32Array.from(values.keys())
      const expected = [...order].sort((a, b) => {
        const difference = (values[a] ?? 0) - (values[b] ?? 0)
        return (reverse ? -difference : difference) || a - b
      })
      assert.deepEqual([...(await sortedBy(order, values, reverse, pace))], expected)
    }),
  )
})

/** Texts by index in the order of their code units, equal ones with one rank, as a plain sort has them. */
function plainRanks(texts: readonly string[]): number[] {
  const distinct = [...new Set(texts.map(collated))].sort()
  return texts.map((text) => distinct.indexOf(collated(text)))
}

async function ranksOfTexts(texts: readonly string[], restless: Pace = pace): Promise<number[]> {
  const keys = new KeyTexts(texts.length)
  for (let at = 0; at < texts.length; at += 100) {
    const some = texts.slice(at, at + 100)
    const { set } = keys.begin(joinKeys(some))
    for (let i = 0; i < some.length; i++) set(at + i)
  }
  const { ranks, distinct } = await keys.ranks(restless)
  assert.equal(distinct, new Set(ranks).size)
  return [...ranks]
}

test('texts get the ranks that a plain sort gives them, in slices', async () => {
  let waits = 0
  const restless = {
    winded: true,
    breathe: async () => {
      waits++
    },
  }
  const texts = Array.from({ length: 5000 }, (_, i) => `[list of many] t${(i * 7919) % 1000}`)
  assert.deepEqual(await ranksOfTexts(texts, restless), plainRanks(texts))
  assert.ok(waits >= 5)
})

test('texts that are longer than what is folded in one go are ranked as a plain sort does', async () => {
  const texts = Array.from({ length: 400 }, (_, i) => `${'\u00e9'.repeat((i * 37) % 700)}${(i * 13) % 50}`)
  assert.deepEqual(
    await ranksOfTexts([...texts, 'x'.repeat(40_000), '', 'X'.repeat(40_000)]),
    plainRanks([...texts, 'x'.repeat(40_000), '', 'X'.repeat(40_000)]),
  )
})

test('texts that begin alike for long, or go on where others end, are ranked as a plain sort does', async () => {
  const piece = fc.constantFrom(
    '',
    'a',
    'abcdefg',
    'abcdefgh',
    'ABCDEFG',
    'b',
    '\0',
    '\u00e9',
    '\u00df',
    '\u4e2d',
    '\u{1f600}',
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 4 }), fc.integer({ min: 1, max: 3 }), async (pieces, width) => {
      // Every text of `width` of the pieces, many times over: more than are compared one by one.
      let texts = ['']
      for (let i = 0; i < width; i++) texts = texts.flatMap((text) => ['', ...pieces].map((more) => text + more))
      const many = Array.from({ length: 300 }, (_, i) => texts[(i * 7) % texts.length] ?? '')
      assert.deepEqual(await ranksOfTexts(many), plainRanks(many))
    }),
    { numRuns: 200 },
  )
})
