// Transactions that stay open, and what may happen to them.

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { defineStore, read, type Transaction, write } from '../../src/store/contracts.ts'
import { openStore } from '../../src/store/open.ts'
import { testScope } from '../fixtures/scope.ts'
import { notes } from './notes.ts'
import { copyOf, found, use } from './power.ts'

const users = (count: number): string[] => Array.from({ length: count }, (_, index) => `user${index}`)

test('what waits for many accounts has an end in memory: who waits longest is brought up to date', () =>
  use({}, async (store, data) => {
    const text = 'x'.repeat(480_000)
    for (const user of users(75)) await store.account(notes, user).append({ text })
    const copy = copyOf(data)
    rmSync(join(copy, 'journal'), { recursive: true })
    assert.deepEqual(await found(copy, 'user0'), [text])
    assert.deepEqual(await found(copy, 'user74'), [], 'that one is in the journal')
    assert.deepEqual(await found(copyOf(data), 'user74'), [text])
  }))

for (const [what, open, count] of [
  ['as many databases as may be open', 4, 4],
  ['more databases than may be open', 4, 12],
  ['more databases than keep their pages', 100, 40],
] as const)
  test(`calls on ${what} at once: each is there, once, at once and after a power loss`, () =>
    use({ open }, async (store, data) => {
      const all = users(count).map((user) => store.account(notes, user))
      for (const text of ['a', 'b', 'c']) await Promise.all(all.map((one) => one.add({ text })))
      const lost = copyOf(data)
      for (const one of all) assert.deepEqual(await one.all(), ['a', 'b', 'c'])
      const scope = testScope()
      const again = await openStore(scope, { folder: lost, definitions: [notes] })
      for (const user of users(count)) assert.deepEqual(await again.account(notes, user).all(), ['a', 'b', 'c'])
      await scope.close()
    }))

test('what an operation remembers of a transaction that SQLite ended by itself is worth nothing', async () => {
  const remembered = new WeakMap<Transaction, number>()
  const words = defineStore({
    name: 'words',
    scale: 'account',
    migrations: ['CREATE TABLE word (text TEXT PRIMARY KEY) STRICT;'],
    operations: {
      /** Looks only where it has not put it there since the last undoing. */
      need: write(async (tx, { text }: { readonly text: string }) => {
        if (remembered.get(tx) === tx.undone) return
        await tx.run('INSERT INTO word (text) VALUES (?) ON CONFLICT (text) DO NOTHING', text)
        remembered.set(tx, tx.undone)
      }),
      /** As SQLite does when it cannot read. */
      unreadable: read(async (tx) => {
        await tx.run('ROLLBACK')
        throw Object.assign(new Error('disk I/O error'), { errcode: 10 })
      }),
      all: read(async (tx) => (await tx.all('SELECT text FROM word')).map(([text]) => text)),
    },
  })
  await use({ definitions: [notes, words] }, async (store) => {
    const anna = store.account(words, 'anna')
    await anna.need({ text: 'a' })
    await assert.rejects(anna.unreadable(), { code: 'unavailable' })
    assert.deepEqual(await anna.all(), ['a'])
  })
})
