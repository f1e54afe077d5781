// Calls that are safe before they are carried out, through crashes of every kind.

import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { StoreError } from '../../src/store/contracts.ts'
import { Journal, leftJournals, readJournal } from '../../src/store/journal.ts'
import { notes } from './notes.ts'
import { ANNA, copyOf, folder, found, journals, use } from './power.ts'

const worker = new URL('./worker.ts', import.meta.url)
const DATABASE = join('accounts', 'na', 'anna', 'account.db')

/** What is written of a journal: behind it lie zeros. */
function written(path: string): number {
  const octets = readFileSync(path)
  let end = octets.length
  while (end > 0 && octets[end - 1] === 0) end--
  return end
}

for (const [where, extra] of [
  ['in this thread', {}],
  ['in worker threads', { worker, threads: 2 }],
] as const) {
  test(`who reads finds what was appended, in its order, between other writes (${where})`, () =>
    use(extra, async (store, data) => {
      const anna = store.account(notes, ANNA)
      const bert = store.account(notes, 'bert')
      await Promise.all([anna.append({ text: 'a' }), bert.append({ text: 'x' }), anna.append({ text: 'b' })])
      assert.equal(journals(data).length >= 1, true)
      await anna.add({ text: 'c' })
      await Promise.all([anna.append({ text: 'd' }), anna.add({ text: 'e' }), anna.append({ text: 'f' })])
      assert.deepEqual(await anna.all(), ['first', 'a', 'b', 'c', 'd', 'e', 'f'])
      assert.deepEqual(await bert.all(), ['x'])
      const late = anna.append({ text: 'g' })
      const all = anna.all()
      await late
      assert.deepEqual((await all).at(-1), 'g', 'asked for behind it, though not waited for')
    }))

  test(`what is appended does not overtake what was asked of the same database a turn before (${where})`, () =>
    use(extra, async (store) => {
      const anna = store.account(notes, ANNA)
      const work: Promise<unknown>[] = []
      for (const text of ['a', 'b', 'c', 'd', 'e', 'f']) {
        work.push(text < 'd' === (text !== 'b') ? anna.add({ text }) : anna.append({ text }))
        await new Promise(setImmediate)
      }
      await Promise.all(work)
      assert.deepEqual(await anna.all(), ['first', 'a', 'b', 'c', 'd', 'e', 'f'])
    }))

  test(`a database that cannot be had refuses its own lines only (${where})`, () =>
    use(extra, async (store, data) => {
      const anna = store.account(notes, ANNA)
      const bert = store.account(notes, 'bert')
      mkdirSync(join(data, 'accounts', 'rt', 'bert', 'account.db'), { recursive: true })
      const [one, other, nameless] = await Promise.allSettled([
        anna.append({ text: 'a' }),
        bert.append({ text: 'x' }),
        store.account(notes, 'Bert/é').append({ text: 'y' }),
      ])
      assert.equal(one?.status, 'fulfilled')
      assert.equal(other?.status === 'rejected' && other.reason instanceof StoreError, true)
      assert.equal(nameless?.status === 'rejected' && nameless.reason.code, 'invalid-name')
      assert.deepEqual(await found(copyOf(data)), ['first', 'a'], 'and the next start does not stumble over them')
    }))

  test(`long lines, many, and in any script (${where})`, () =>
    use(extra, async (store) => {
      const anna = store.account(notes, ANNA)
      const texts = [
        '',
        'ü',
        '日本',
        '\ud800',
        '\u0000"\\',
        'x'.repeat(3_000_000),
        ...Array.from({ length: 600 }, String),
      ]
      await Promise.all(texts.map((text) => anna.append({ text })))
      assert.deepEqual(await anna.all(), ['first', ...texts.map((text) => (text === '\ud800' ? '\ufffd' : text))])
    }))

  test(`what was appended is there after a stop, and nothing is left behind (${where})`, async () => {
    let folderOf = ''
    await use(extra, async (store, data) => {
      folderOf = data
      await store.account(notes, ANNA).append({ text: 'a' })
    })
    assert.deepEqual(readdirSync(join(folderOf, 'journal')), [])
    assert.deepEqual(await found(folderOf), ['first', 'a'])
  })

  test(`after a power loss each is there once, whatever had reached the database (${where})`, () =>
    use(extra, async (store, data) => {
      const anna = store.account(notes, ANNA)
      await anna.append({ text: 'a' })
      await anna.append({ text: 'b' })
      const before = copyOf(data)
      // Carried out, but its log not synced: the log may be there, or be lost.
      await anna.all()
      const kept = copyOf(data)
      const lost = copyOf(data)
      for (const suffix of ['', '-wal']) cpSync(join(before, DATABASE + suffix), join(lost, DATABASE + suffix))
      await anna.append({ text: 'c' })
      const later = copyOf(data)
      assert.deepEqual(await found(before), ['first', 'a', 'b'])
      assert.deepEqual(await found(kept), ['first', 'a', 'b'])
      assert.deepEqual(await found(lost), ['first', 'a', 'b'])
      assert.deepEqual(await found(later), ['first', 'a', 'b', 'c'])
      assert.deepEqual(await found(later), ['first', 'a', 'b', 'c'], 'nor again')
    }))
}

test('writes to several accounts share the journal’s sync, and are there once after a power loss', () =>
  use({}, async (store, data) => {
    const others = ['bert', 'cleo'].map((account) => store.account(notes, account))
    await Promise.all(others.map((other) => other.add({ text: 'first' })))
    const anna = store.account(notes, ANNA)
    await anna.append({ text: 'waiting' })
    const before = copyOf(data)
    const outcomes = await Promise.allSettled([
      anna.add({ text: 'a' }),
      ...others.map((other) => other.add({ text: 'b' })),
      anna.append({ text: 'between' }),
      anna.add({ text: 'refused' }),
      anna.add({ text: 'c' }),
    ])
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : 'refused')),
      [3, 2, 2, undefined, 'refused', 5],
    )
    const kept = copyOf(data)
    const lost = copyOf(data)
    for (const suffix of ['', '-wal']) cpSync(join(before, DATABASE + suffix), join(lost, DATABASE + suffix))
    await anna.add({ text: 'alone, with a sync of its own' })
    await Promise.all([anna.add({ text: 'd' }), ...others.map((other) => other.add({ text: 'e' }))])
    const later = copyOf(data)
    for (const copy of [kept, lost]) {
      assert.deepEqual(await found(copy), ['first', 'waiting', 'a', 'between', 'c'])
      assert.deepEqual(await found(copy, 'bert'), ['first', 'b'])
    }
    assert.deepEqual(await found(later), [
      'first',
      'waiting',
      'a',
      'between',
      'c',
      'alone, with a sync of its own',
      'd',
    ])
  }))

for (const [where, extra] of [
  ['in this thread', {}],
  ['in worker threads', { worker, threads: 2 }],
] as const)
  test(`writes that share a commit: each is read at once, is there once after a power loss, and stays when a neighbour is refused (${where})`, () =>
    use(extra, async (store, data) => {
      const anna = store.account(notes, ANNA)
      const before = copyOf(data)
      const expected = ['first']
      for (const text of ['a', 'refused', 'b', 'c', 'refused', 'refused', 'd']) {
        const outcome = await anna.add({ text }).catch((error: unknown) => (error as { code?: string }).code)
        if (text !== 'refused') expected.push(text)
        assert.equal(outcome, text === 'refused' ? 'refused' : expected.length)
        assert.deepEqual(await anna.all(), expected)
        const kept = copyOf(data)
        const lost = copyOf(data)
        for (const suffix of ['', '-wal']) cpSync(join(before, DATABASE + suffix), join(lost, DATABASE + suffix))
        for (const copy of [kept, lost]) assert.deepEqual(await found(copy), expected)
      }
      const outcomes = await Promise.allSettled(['e', 'refused', 'f'].map((text) => anna.add({ text })))
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
      assert.deepEqual(await anna.all(), [...expected, 'e', 'f'])
      assert.deepEqual(await found(copyOf(data)), [...expected, 'e', 'f'])
    }))

test('writes without number: some are committed meanwhile, what is open at the end is committed by the stop', async () => {
  let folderOf = ''
  const many = Array.from({ length: 200 }, (_, i) => `note ${i}`)
  await use({}, async (store, data) => {
    folderOf = data
    const anna = store.account(notes, ANNA)
    for (const text of many) await anna.add({ text })
    const lost = copyOf(data)
    assert.deepEqual(await found(lost), ['first', ...many])
  })
  assert.deepEqual(readdirSync(join(folderOf, 'journal')), [])
  assert.deepEqual(await found(folderOf), ['first', ...many])
})

test('what is long is not written twice: its database is synced, however deep in the arguments it lies', () =>
  use({}, async (store, data) => {
    const [anna, bert] = [store.account(notes, ANNA), store.account(notes, 'bert')]
    await bert.add({ text: 'first' })
    const all = (): number => journals(data).reduce((sum, path) => sum + written(path), 0)
    const note = (text: string, hint: number) => ({
      all: [{ text, hint: new Float64Array(new SharedArrayBuffer(hint)) }],
    })
    await Promise.all([anna.addAll(note('a', 4096)), bert.addAll(note('b', 4096))])
    assert.equal(all() > 8192, true)
    const before = all()
    await Promise.all([anna.addAll(note('c', 1024 * 1024)), bert.addAll(note('d', 1024 * 1024))])
    assert.equal(all(), before)
    const kept = copyOf(data)
    assert.deepEqual(await found(kept), ['first', 'a', 'c'])
    assert.deepEqual(await found(kept, 'bert'), ['first', 'b', 'd'])
  }))

test('what only spares work is not in the journal, and is not missed when that is carried out', () =>
  use({}, async (store, data) => {
    const known = new Uint8Array(new SharedArrayBuffer(1024 * 1024)).fill(1)
    assert.equal(await store.account(notes, 'bert').addKnowing({ text: 'a', known }), known.length)
    assert.ok(journals(data).reduce((sum, path) => sum + written(path), 0) < 8192)
    const kept = copyOf(data)
    rmSync(join(data, 'journal'), { recursive: true })
    assert.deepEqual(await found(copyOf(data), 'bert'), [], 'the database itself was not synced for it')
    assert.deepEqual(await found(kept, 'bert'), ['a'])
  }))

test('what was being written when the power went is not taken, all before it is', () =>
  use({}, async (store, data) => {
    const anna = store.account(notes, ANNA)
    await anna.append({ text: 'a' })
    await anna.append({ text: 'b' })
    for (const less of [1, 7, 30]) {
      const torn = copyOf(data)
      const [path = ''] = journals(torn)
      truncateSync(path, written(path) - less)
      assert.deepEqual(await found(torn), ['first', 'a'])
      const [other = ''] = journals(data)
      const half = copyOf(data)
      const octets = readFileSync(other)
      writeFileSync(journals(half)[0] ?? '', octets.fill(0, written(other) - less))
      assert.deepEqual(await found(half), ['first', 'a'], 'the disk had room for it already')
    }
  }))

test('journals of editions that kept lines as objects are carried out', () =>
  use({}, async (store, data) => {
    await store.account(notes, ANNA).append({ text: 'a' })
    const copy = copyOf(data)
    const older = new Journal(join(copy, 'journal'), 'older')
    const entry = ['waiting', 'account', ANNA, 'notes', 'append', { text: 'from before' }, 0] as const
    older.write([], [[1, ...entry]], [`account/${ANNA}`])
    assert.deepEqual((await found(copy)).toSorted(), ['a', 'first', 'from before'])
  }))

test('an account that was erased does not come back', () =>
  use({}, async (store, data) => {
    await store.account(notes, ANNA).append({ text: 'a' })
    await store.eraseAccount(ANNA)
    const copy = copyOf(data)
    assert.deepEqual(await found(copy), [])
    assert.equal(existsSync(join(copy, DATABASE)), true, 'made by the reader of this test')
    assert.deepEqual(await store.account(notes, ANNA).all(), [])
  }))

test('one that fails by its own fault is put aside, and harms no other', () =>
  use({}, async (store, data) => {
    const anna = store.account(notes, ANNA)
    await Promise.all(['a', 'broken', 'b'].map((text) => anna.append({ text })))
    assert.deepEqual(await anna.all(), ['first', 'a', 'b'])
    assert.match(
      readFileSync(join(data, 'journal', 'broken.jsonl'), 'utf8'),
      /"operation":"append","args":{"text":"broken"}/,
    )
  }))

test('what waits is carried out in time, and the journal grows no further', () =>
  use({}, async (store, data, clock) => {
    await store.account(notes, ANNA).append({ text: 'a' })
    for (let turns = 0; turns < 8; turns++) {
      clock.turn(2000)
      await new Promise(setImmediate)
    }
    // Behind the work of the clock's call.
    await store.account(notes, 'bert').all()
    const [path = ''] = journals(data)
    assert.equal(readFileSync(path).length, 0)
    assert.deepEqual(await found(copyOf(data)), ['first', 'a'])
  }))

test('a store worker that dies leaves what was safe to the next one', () =>
  use({ worker: new URL('./dying-worker.ts', import.meta.url), threads: 1 }, async (store) => {
    const anna = store.account(notes, ANNA)
    await anna.append({ text: 'a' })
    await assert.rejects(anna.add({ text: 'die' }), { code: 'unavailable' })
    await anna.append({ text: 'b' })
    assert.deepEqual(await anna.all(), ['first', 'a', 'b'])
  }))

test('files follow each other, and go when nobody needs them', () => {
  const data = folder()
  const journal = new Journal(data, 'run', 200)
  const entry = (seq: number) =>
    [seq, 'waiting', 'account', 'anna', 'notes', 'append', { text: 'x'.repeat(100) }, 0] as const
  for (let seq = 1; seq <= 6; seq++) journal.write([], [entry(seq)], [seq <= 4 ? 'account/anna' : 'account/bert'])
  assert.equal(journal.files, 3)
  assert.deepEqual([...journal.needed(true)], ['account/anna'])
  assert.deepEqual(
    leftJournals(data).flatMap(({ path }) => readJournal(path).entries.map(([seq]) => seq)),
    [1, 2, 3, 4, 5, 6],
  )
  journal.release('account/anna')
  assert.equal(journal.files, 1)
  journal.release('account/bert')
  journal.close()
  assert.deepEqual(readdirSync(data), [])
})
