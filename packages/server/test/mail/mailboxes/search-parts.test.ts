// The parts that the text index is made of.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, assert as check, integer, property, string, uniqueArray } from 'fast-check'
import { keysWith, type StreamWriter } from '../../../src/mail/mailboxes/search/chunks.ts'
import { EmailSet } from '../../../src/mail/mailboxes/search/email-set.ts'
import { planNeedle } from '../../../src/mail/mailboxes/search/needle.ts'
import { Numbers, OctetReader, Octets } from '../../../src/mail/mailboxes/search/octets.ts'
import { TermTable } from '../../../src/mail/mailboxes/search/term-table.ts'

const ascending = uniqueArray(integer({ min: 0, max: 300 }), { maxLength: 200 }).map((list) =>
  list.sort((a, b) => a - b),
)

test('property: ascending numbers come back, far ones and neighbours', () => {
  check(
    property(ascending, integer({ min: 1, max: 10_000_000 }), (list, factor) => {
      const numbers = Uint32Array.from(list, (number) => (number > 150 ? number * factor : number))
      const octets = new Octets(1)
      octets.numbers(numbers, 0, numbers.length)
      const bytes = octets.take()
      const read = new Numbers()
      new OctetReader(bytes).numbers(bytes.byteLength, 0, read)
      assert.deepEqual(read.list(), numbers)
    }),
  )
  const octets = new Octets()
  octets.numbers(
    Uint32Array.from({ length: 50_000 }, (_, i) => i + 7),
    0,
    50_000,
  )
  assert.ok(octets.length < 10, 'what every email has costs nothing')
})

test('property: a set of emails is a set', () => {
  check(
    property(ascending, ascending, (a, b) => {
      const both = new EmailSet()
      both.add(Uint32Array.from(a))
      const other = new EmailSet()
      other.add(Uint32Array.from(b, (email) => email * 40))
      const kept = new EmailSet()
      kept.addAll(both)
      kept.keep(other)
      both.addAll(other)
      const all = [...new Set([...a, ...b.map((email) => email * 40)])].sort((x, y) => x - y)
      assert.deepEqual([...both.list()], all)
      assert.equal(both.size, all.length)
      assert.deepEqual(
        [...kept.list()],
        a.filter((email) => b.includes(email / 40)),
      )
      for (const email of [0, 1, 31, 32, 12_000, 1e9]) assert.equal(both.has(email), all.includes(email))
    }),
  )
})

interface Listed {
  readonly term: string
  readonly octets: Buffer
  readonly emails: readonly number[]
}

/** What a table of the texts of emails 0, 1, 2 and so on holds. */
async function tableOf(texts: readonly string[]): Promise<{ terms: Listed[]; complete: boolean[] }> {
  const table = new TermTable()
  const complete = texts.map((text, email) => table.add(text, email, { words: 1000 }))
  const terms: Listed[] = []
  const writer: Pick<StreamWriter, 'term' | 'full' | 'flush'> = {
    full: false,
    async flush() {},
    term(bytes, start, end, emails, from, to) {
      const octets = Buffer.from(bytes.slice(start, end))
      terms.push({ term: octets.toString(), octets, emails: Array.from(emails.subarray(from, to)) })
    },
  }
  await table.write(writer as StreamWriter)
  return { terms, complete }
}

const words = (terms: readonly Listed[]): Record<string, readonly number[]> =>
  Object.fromEntries(terms.map(({ term, emails }) => [term, emails]))

test('words, pairs of scripts without spaces, and what is too long', async () => {
  const { terms, complete } = await tableOf([
    'foo-bar foo 漢字文 😀 x',
    `bar ${'y'.repeat(512)} ภา`,
    `z${'y'.repeat(512)} foo`,
  ])
  assert.deepEqual(words(terms), {
    bar: [0, 1],
    foo: [0, 2],
    x: [0],
    ['y'.repeat(512)]: [1],
    ภา: [1],
    字文: [0],
    漢字: [0],
    '😀': [0],
  })
  assert.deepEqual(complete, [true, true, false])
})

test('property: terms are in the order of their octets, each once', async () => {
  const { terms } = await tableOf([
    Array.from(
      { length: 900 },
      (_, i) => `${'жщ'.repeat(i % 5)}${(i * 7919) % 1000}${'bcé'.charAt(i % 3)}aaaaaaaa${i % 30}`,
    ).join(' '),
  ])
  assert.ok(terms.length > 800)
  for (let i = 1; i < terms.length; i++)
    assert.ok(Buffer.compare((terms[i - 1] as Listed).octets, (terms[i] as Listed).octets) < 0)
})

test('property: keys that hold a pattern, with edges and without', () => {
  const letters = string({ unit: integer({ min: 0, max: 2 }).map((i) => 'abé'.charAt(i)), maxLength: 5 })
  check(
    property(array(letters, { minLength: 1 }), letters, integer({ min: 0, max: 3 }), (list, text, edges) => {
      const octets = (key: string): string => Buffer.from(key).toString('latin1')
      const keys = Buffer.from(`\xff${list.map(octets).join('\xff')}\xff`, 'latin1')
      const begins = edges % 2 === 1 && text !== ''
      const ends = edges > 1 && text !== ''
      const pattern = Buffer.from(`${begins ? '\xff' : ''}${octets(text)}${ends ? '\xff' : ''}`, 'latin1')
      const expected = list.flatMap((key, i) =>
        key.includes(text) &&
        (!begins || !ends || key === text) &&
        (!begins || key.startsWith(text)) &&
        (!ends || key.endsWith(text))
          ? [i]
          : [],
      )
      assert.deepEqual([...keysWith(keys, pattern).list()], expected)
    }),
  )
})

test('what a needle asks for', () => {
  const plan = (needle: string): unknown => {
    const made = planNeedle(needle)
    return (
      made && [
        made.exact,
        ...made.patterns.map((pattern) => Buffer.from(pattern).toString('latin1').replaceAll('\xff', '|')),
      ]
    )
  }
  const utf8 = (text: string): string => Buffer.from(text).toString('latin1')
  assert.deepEqual(plan('foo'), [true, 'foo'])
  assert.deepEqual(plan('x'), [true, 'x'])
  assert.deepEqual(plan('first of lasting'), [false, '|lasting', 'first|', '|of|'])
  assert.deepEqual(plan(' foo.'), [false, '|foo|'])
  assert.deepEqual(plan('漢'), [true, utf8('漢')])
  assert.deepEqual(plan('漢字'), [true, `|${utf8('漢字')}|`])
  assert.deepEqual(plan('漢字文'), [false, `|${utf8('漢字')}|`, `|${utf8('字文')}|`])
  assert.deepEqual(plan('a漢'), [false, 'a|'])
  for (const nothing of ['', ' ', '--', '@', 'a\ud83d']) assert.equal(plan(nothing), undefined)
})
