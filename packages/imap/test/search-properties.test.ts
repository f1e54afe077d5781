// Random searches over random mailboxes against the plainest evaluation there is: with and without a store that searches texts itself, and through a view that
// lags behind.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Headers, parseDate } from '@aviso/mime'
import { type Mailbox, matchesText, type MessageRow, type TextQuery } from '../src/index.ts'
import type { SearchKey } from '../src/search/keys.ts'
import type { SearchPace } from '../src/search/pace.ts'
import { runSearch } from '../src/search/run.ts'
import { targetOfSnapshot, targetOfView } from '../src/search/target.ts'
import { MailboxView } from '../src/server/view.ts'
import { MemoryMail } from '../src/testing/index.ts'
import { dayNumber } from '../src/wire/dates.ts'
import { parseNumberSet } from '../src/wire/number-set.ts'
import { type Mail, put } from './searching.ts'

const restless: SearchPace = {
  winded: true,
  breathe: async () => undefined,
  begin: () => undefined,
  reached: () => undefined,
}
const NOW = Date.UTC(2026, 1, 10)
const DAY = 86_400_000

const mail: fc.Arbitrary<Mail> = fc.record({
  header: fc
    .tuple(
      fc.constantFrom('Subject: alpha', 'Subject: =?utf-8?q?b=C3=A9ta?=', 'Subject: ALPHABET', 'X-Other: y'),
      fc.constantFrom(
        'Date: Mon, 2 Feb 2026 23:30:00 -0800',
        'Date: Tue, 3 Feb 2026 00:30:00 +0900',
        'Date: Tue, 3 Feb 2026 12:00:00 +0000',
        'Date: nonsense',
        'X-No: date',
      ),
    )
    .map(([subject, date]) => [subject, date]),
  body: fc.constantFrom('one two\r\n', 'alpha\r\n', 'three\r\n'),
  flags: fc.subarray(['\\Seen', '\\Flagged', 'work', 'Home']),
  date: fc.integer({ min: Date.UTC(2026, 1, 1), max: Date.UTC(2026, 1, 5) }),
  zone: fc.constantFrom(0, -480, 540, 330),
})

const text = fc.constantFrom('alpha', 'béta', 'o t', 'THREE', '', 'x')
const query: fc.Arbitrary<TextQuery> = fc.oneof(
  fc.record({ kind: fc.constant('header' as const), name: fc.constantFrom('Subject', 'date', 'X-Other'), text }),
  fc.record({ kind: fc.constantFrom('body' as const, 'text' as const), text }),
)
const set = fc
  .array(fc.constantFrom('1', '2', '3:5', '*', '4:*', '7,2', '9:6', '30'), { minLength: 1, maxLength: 2 })
  .map((parts) => parseNumberSet(parts.join(',')) ?? [])
const leaf: fc.Arbitrary<SearchKey> = fc.oneof(
  query,
  query,
  fc.constant<SearchKey>({ kind: 'all' }),
  fc.record({ kind: fc.constantFrom('sequence' as const, 'uid' as const), set }),
  fc.record({
    kind: fc.constant('flag' as const),
    flag: fc.constantFrom('\\Seen', '\\flagged', 'WORK', 'home', 'none'),
  }),
  fc.record({ kind: fc.constantFrom('larger' as const, 'smaller' as const), size: fc.integer({ min: 40, max: 120 }) }),
  fc.record({
    kind: fc.constantFrom('before' as const, 'on' as const, 'since' as const),
    date: fc.constantFrom('internal' as const, 'sent' as const),
    day: fc.integer({ min: 0, max: 5 }).map((day) => Date.UTC(2026, 1, 1) / DAY + day),
  }),
  fc.record({
    kind: fc.constantFrom('older' as const, 'younger' as const),
    seconds: fc.integer({ min: 5 * 86_400, max: 9 * 86_400 }),
  }),
  fc.record({ kind: fc.constant('modseq' as const), modseq: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ kind: fc.constant('emailId' as const), id: fc.constantFrom('E1', 'E3', 'E99') }),
)
const { tree } = fc.letrec<{ tree: SearchKey }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.record({ kind: fc.constant('not' as const), key: tie('tree') }),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      keys: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }),
    }),
  ),
}))

interface Message {
  readonly row: MessageRow
  readonly position: number
  readonly bytes: Uint8Array
  readonly emailId: string
}

/** One message, one key. */
function matches(key: SearchKey, message: Message, uids: readonly number[]): boolean {
  const { row, position, bytes } = message
  const day = (found: number, kind: 'before' | 'on' | 'since', wanted: number): boolean =>
    kind === 'before' ? found < wanted : kind === 'on' ? found === wanted : found >= wanted
  switch (key.kind) {
    case 'all':
      return true
    case 'not':
      return !matches(key.key, message, uids)
    case 'and':
      return key.keys.every((one) => matches(one, message, uids))
    case 'or':
      return key.keys.some((one) => matches(one, message, uids))
    case 'sequence':
    case 'uid': {
      const last = key.kind === 'uid' ? (uids.at(-1) ?? 0) : uids.length
      const number = key.kind === 'uid' ? row.uid : position + 1
      return key.set.some(({ from, to }) => {
        const [a, b] = [from || last, to || last]
        return number >= Math.min(a, b) && number <= Math.max(a, b)
      })
    }
    case 'flag':
      return row.flags.some((flag) => flag.toLowerCase() === key.flag.toLowerCase())
    case 'larger':
      return row.size > key.size
    case 'smaller':
      return row.size < key.size
    case 'older':
      return Math.floor((NOW - row.internalDate) / 1000) >= key.seconds
    case 'younger':
      return Math.floor((NOW - row.internalDate) / 1000) <= key.seconds
    case 'modseq':
      return row.modseq >= key.modseq
    case 'emailId':
      return message.emailId === key.id
    case 'before':
    case 'on':
    case 'since': {
      if (key.date === 'internal')
        return day(Math.floor((row.internalDate + row.zone * 60_000) / DAY), key.kind, key.day)
      const date = parseDate(Headers.parse(bytes).get('Date') ?? '')
      const found = date && dayNumber(date.year, date.month - 1, date.day)
      return found !== undefined && day(found, key.kind, key.day)
    }
    case 'header':
    case 'body':
    case 'text':
      return matchesText(key, bytes)
    default:
      throw new Error(key.kind)
  }
}

/** A store that searches texts itself, and refuses to be asked about messages twice for one key. */
const withFind = (mailbox: Mailbox): Mailbox =>
  new Proxy(mailbox, {
    get: (target, name) => {
      if (name === 'find')
        return async function* (asked: TextQuery, uids: readonly number[]) {
          for (let at = 0; at < uids.length; at += 3) {
            const some = uids.slice(at, at + 3)
            const found: number[] = []
            for (const uid of some)
              if (matchesText(asked, (await target.raw(uid)) ?? new Uint8Array(0))) found.push(uid)
            yield { uids: found, progress: (at + some.length) / uids.length }
          }
        }
      if (name === 'raw') return () => assert.fail('The store finds texts itself')
      const value = Reflect.get(target, name, target) as unknown
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })

test('a search finds what each message by itself matches', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(mail, { maxLength: 12 }),
      fc.array(tree, { minLength: 1, maxLength: 6 }),
      async (mails, keys) => {
        const memory = new MemoryMail()
        for (const one of mails) await put(memory, [one])
        const mailbox = await memory.open().open('INBOX')
        const snapshot = await mailbox.snapshot()
        const messages = await messagesOf(mailbox, [...snapshot.uids])
        for (const key of keys) {
          const expected = messages
            .filter((one) => matches(key, one, [...snapshot.uids]))
            .map(({ position }) => position)
          for (const store of [mailbox, withFind(mailbox)])
            assert.deepEqual([...(await runSearch(targetOfSnapshot(store, snapshot, 0), key, restless, NOW))], expected)
        }
      },
    ),
    { numRuns: 150 },
  )
})

async function messagesOf(mailbox: Mailbox, uids: readonly number[], view?: MailboxView): Promise<Message[]> {
  const { changed } = await mailbox.delta(0)
  const messages: Message[] = []
  const ids = new Map<number, string>()
  for await (const metas of mailbox.meta(uids, ['emailId']))
    for (const { uid, emailId } of metas) ids.set(uid, emailId ?? '')
  for (const [position, uid] of uids.entries()) {
    const row = view?.row(uid) ?? changed.find((one) => one.uid === uid)
    const bytes = await mailbox.raw(uid)
    assert.ok(row !== undefined && bytes !== undefined)
    messages.push({ row: { ...row }, position, bytes, emailId: ids.get(uid) ?? '' })
  }
  return messages
}

test('a view with changes over its snapshot is searched as it is', async () => {
  const change = fc.record({
    kind: fc.constantFrom('add' as const, 'remove' as const, 'expunge' as const, 'append' as const),
    uids: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 4 }),
    told: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(mail, { minLength: 1, maxLength: 8 }),
      fc.array(change, { maxLength: 6 }),
      fc.array(leaf, { minLength: 3, maxLength: 3 }),
      async (mails, changes, keys) => {
        const memory = new MemoryMail()
        await put(memory, mails)
        const mailbox = await memory.open().open('INBOX')
        const view = new MailboxView(mailbox, 'INBOX', false, await mailbox.snapshot())
        for (const { kind, uids, told } of changes) {
          if (kind === 'append') await put(memory, mails.slice(0, 2))
          else if (kind === 'expunge') {
            await mailbox.store(uids, { action: 'add', flags: ['\\Deleted'] })
            await mailbox.expunge(uids)
          } else await mailbox.store(uids, { action: kind, flags: ['\\Seen', 'work'] })
          await view.take(await mailbox.delta(view.modseq), { winded: false, breathe: async () => undefined })
          if (told) view.dropExpunged()
        }
        const target = targetOfView(view)
        const { rows } = target
        assert.deepEqual([...rows.uids], [...view.uids])
        for (const [position, uid] of rows.uids.entries()) {
          assert.deepEqual(
            {
              uid,
              flags: rows.flagSets[rows.flags[position] ?? -1],
              modseq: rows.modseqs[position],
              size: rows.sizes[position],
              internalDate: rows.internalDates[position],
              zone: rows.zones[position],
            },
            { ...view.row(uid) },
          )
        }
        const messages = await messagesOf(mailbox, [...view.uids], view)
        for (const key of keys) {
          const expected = messages.filter((one) => matches(key, one, [...view.uids])).map(({ position }) => position)
          assert.deepEqual([...(await runSearch(target, key, restless, NOW))], expected)
        }
      },
    ),
    { numRuns: 100 },
  )
})

test('the store is asked only about messages that are still undecided, and cheap keys come first', async () => {
  const memory = new MemoryMail()
  await put(
    memory,
    Array.from({ length: 20 }, (_, i) => ({
      header: [`Subject: ${i}`],
      body: `${i % 2 === 0 ? 'even' : 'odd'}\r\n`,
      flags: i < 10 ? ['\\Seen'] : [],
    })),
  )
  const mailbox = await memory.open().open('INBOX')
  const asked: string[] = []
  const store = new Proxy(withFind(mailbox), {
    get: (target, name) => {
      const value = Reflect.get(target, name, target) as unknown
      if (name !== 'find' || typeof value !== 'function') return value
      return (one: TextQuery, uids: readonly number[]) => {
        asked.push(`${one.text} ${uids.length}`)
        return (value as NonNullable<Mailbox['find']>)(one, uids)
      }
    },
  })
  const target = targetOfSnapshot(store, await mailbox.snapshot(), 0)
  const body = (words: string): SearchKey => ({ kind: 'body', text: words })
  const seen: SearchKey = { kind: 'flag', flag: '\\Seen' }
  const subject: SearchKey = { kind: 'header', name: 'Subject', text: '1' }
  const search = async (key: SearchKey): Promise<number> => (await runSearch(target, key, restless, NOW)).length
  assert.equal(await search({ kind: 'and', keys: [body('even'), { kind: 'not', key: body('odd') }, seen] }), 5)
  assert.deepEqual(asked.splice(0), ['even 10', 'odd 5'])
  assert.equal(await search({ kind: 'or', keys: [body('even'), seen] }), 15)
  assert.deepEqual(asked.splice(0), ['even 10'])
  assert.equal(
    await search({ kind: 'or', keys: [{ kind: 'and', keys: [seen, { kind: 'not', key: seen }] }, subject] }),
    11,
  )
  assert.deepEqual(asked.splice(0), ['1 20'])
  assert.equal(await search({ kind: 'and', keys: [{ kind: 'not', key: seen }, seen, body('even')] }), 0)
  assert.deepEqual(asked, [])
})
