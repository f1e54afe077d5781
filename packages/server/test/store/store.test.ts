import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, mock, test } from 'node:test'
import { HandClock } from '../../src/kernel/clock.ts'
import { giveBackAtRest } from '../../src/kernel/rest.ts'
import { accountTopic, type Change, StoreError } from '../../src/store/contracts.ts'
import { openStore } from '../../src/store/open.ts'
import { testScope } from '../fixtures/scope.ts'
import { litter } from './litter.ts'
import { notes, notesGrown } from './notes.ts'

const folders: string[] = []
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'aviso-store-'))
  folders.push(made)
  return made
}
after(() => folders.forEach((made) => rmSync(made, { recursive: true, force: true })))

const worker = new URL('./worker.ts', import.meta.url)
const littering = new URL('./littering-worker.ts', import.meta.url)

for (const [where, extra] of [
  ['in this thread', {}],
  ['in worker threads', { worker, threads: 2 }],
] as const) {
  test(`what is written is read back, account by account, after a restart too (${where})`, async () => {
    const options = { folder: folder(), definitions: [notes], ...extra }
    const first = testScope()
    const store = await openStore(first, options)
    await Promise.all([
      store.account(notes, 'anna').add({ text: 'one' }),
      store.account(notes, 'anna').add({ text: 'two' }),
      store.account(notes, 'bert').add({ text: 'three' }),
    ])
    assert.deepEqual(await store.account(notes, 'anna').all(), ['one', 'two'])
    await first.close()
    await assert.rejects(store.account(notes, 'anna').all(), { code: 'unavailable' })

    const second = testScope()
    const again = await openStore(second, options)
    assert.deepEqual(await again.account(notes, 'anna').all(), ['one', 'two'])
    assert.deepEqual(await again.account(notes, 'bert').all(), ['three'])
    await again.eraseAccount('anna')
    assert.deepEqual(await again.account(notes, 'anna').all(), [])
    await second.close()
  })

  test(`an operation that fails undoes itself alone, and only what was committed is told (${where})`, async () => {
    const scope = testScope()
    const store = await openStore(scope, { folder: folder(), definitions: [notes], ...extra })
    const told: Change[] = []
    store.bus.subscribe(accountTopic('anna'), (change) => told.push(change))
    const anna = store.account(notes, 'anna')
    const outcomes = await Promise.allSettled([
      anna.add({ text: 'one' }),
      anna.add({ text: 'refused' }),
      anna.add({ text: 'broken' }),
      anna.add({ text: 'two' }),
    ])
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    )
    const [, refused, broken] = outcomes as PromiseRejectedResult[]
    assert.ok(refused?.reason instanceof StoreError && refused.reason.code === 'refused')
    assert.ok(!(broken?.reason instanceof StoreError))
    assert.match(String(broken?.reason), /notes\.add: defect/)
    await assert.rejects(anna.add({ text: 'refused' }), { code: 'refused' })
    assert.deepEqual(await anna.all(), ['one', 'two'])
    assert.deepEqual(told, [{ kind: 'notes' }, { kind: 'notes' }])
    await scope.close()
  })
}

test('what can be made anew waits for no disk, what is in the same transaction does', async () => {
  const scope = testScope()
  const store = await openStore(scope, { folder: folder(), definitions: [notes] })
  const anna = store.account(notes, 'anna')
  const [LATER, NOW] = [1, 2]
  // Too long for the journal.
  const long = 'x'.repeat(600_000)
  assert.equal(await anna.kept({ text: long }), NOW)
  assert.equal(await anna.derived({ text: long }), LATER)
  assert.deepEqual(await Promise.all([anna.derived({ text: 'three' }), anna.all()]), [LATER, [long, long, 'three']])
  assert.deepEqual(await Promise.all([anna.derived({ text: 'four' }), anna.kept({ text: long })]), [NOW, NOW])
  await assert.rejects(anna.derived({ text: 'refused' }), { code: 'refused' })
  assert.equal(await anna.kept({ text: long }), NOW)
  assert.deepEqual(await anna.all(), [long, long, 'three', 'four', long, long])
  await scope.close()
})

for (const [where, extra] of [
  ['in this thread', {}],
  ['in worker threads', { worker, threads: 2 }],
] as const)
  test(`octets that are given go over, those of shared memory are copied (${where})`, async () => {
    const scope = testScope()
    const store = await openStore(scope, { folder: folder(), definitions: [notes], ...extra })
    const anna = store.account(notes, 'anna')
    const taken = Uint8Array.of(1, 2, 3)
    const back = Uint8Array.of(4, 5)
    const got = await anna.sum({ taken, back })
    assert.deepEqual([got.sum, [...got.back]], [15, [4, 5]])
    assert.deepEqual([taken.byteLength, back.byteLength], [0, 0])
    const shared = Uint8Array.of(9, 1, 2, 3, 9)
    const copied = await anna.sum({ taken: shared.subarray(1, 4), back: shared.subarray(1, 2) })
    assert.deepEqual([copied.sum, [...copied.back]], [7, [1]])
    assert.deepEqual([...shared], [9, 1, 2, 3, 9])
    await scope.close()
  })

test('a data folder that the store makes is there after a power loss, with those above it', async () => {
  const file = await open('/dev/null')
  const prototype = Object.getPrototypeOf(file) as FileHandle
  await file.close()
  const top = folder()
  const { sync } = prototype
  const synced: string[] = []
  mock.method(prototype, 'sync', async function (this: FileHandle) {
    synced.push(relative(top, readlinkSync(`/proc/self/fd/${this.fd}`)))
    await sync.call(this)
  })
  const scope = testScope()
  try {
    await openStore(scope, { folder: join(top, 'made/data'), definitions: [notes] })
    assert.deepEqual(synced, ['made', ''])
  } finally {
    mock.restoreAll()
    await scope.close()
  }
})

test('when the process rests, a thread lets go of what its operations have left behind, and answers whoever asks', async () => {
  const scope = testScope()
  const store = await openStore(scope, { folder: folder(), definitions: [litter], worker: littering, threads: 1 })
  const anna = store.account(litter, 'anna')
  await anna.leave()
  const asked = anna.isGone()
  store.rest()
  assert.equal(await asked, false, 'who waits is answered first')
  let gone = false
  for (let again = 0; again < 100 && !gone; again++) gone = await anna.isGone()
  assert.equal(gone, true)
  await scope.close()
})

test('a process that becomes quiet tells the threads of its store, and they let go of what is left behind', async () => {
  const clock = new HandClock()
  const scope = testScope({ clock })
  const store = await openStore(scope, { folder: folder(), definitions: [litter], worker: littering, threads: 1 })
  let used = 0
  giveBackAtRest(scope, {
    used: () => used,
    heap: () => 0,
    favourMemory: () => {},
    begins: () => store.rest(),
  })
  /** A look at the process, which has used so much of it since the last one. */
  const look = async (share: number): Promise<void> => {
    used += share * 5_000_000
    clock.turn(5_000)
    await new Promise(setImmediate)
  }
  const anna = store.account(litter, 'anna')
  await look(0.5)
  await anna.leave()
  assert.equal(await anna.isGone(), false)
  await look(0)
  let gone = false
  for (let again = 0; again < 100 && !gone; again++) gone = await anna.isGone()
  assert.equal(gone, true)
  await scope.close()
})

test('who works in the background on an account sees whether somebody else asks for it', async () => {
  const scope = testScope()
  const store = await openStore(scope, { folder: folder(), definitions: [notes] })
  const before = store.asked('anna')
  await store.account(notes, 'anna').all()
  assert.equal(store.asked('anna'), before + 1)
  await store.account(notes, 'bert').all()
  assert.equal(store.asked('anna'), before + 1)
  await scope.close()
})

test('accounts that are used before all threads are up keep their place', async () => {
  const scope = testScope()
  const store = await openStore(scope, { folder: folder(), definitions: [notes], worker, threads: 3 })
  const accounts = 'abcdefghijklmnopqrstuvwxyz'.split('').map((name) => store.account(notes, name))
  // The first few find the thread idle that is up, the others do not; all come back while theirs may still be starting.
  await Promise.all(accounts.map((one) => one.add({ text: 'one' })))
  for (const one of accounts) await one.add({ text: 'two' })
  for (const one of accounts) assert.deepEqual(await one.all(), ['one', 'two'])
  assert.equal((await store.figures()).open, accounts.length + 1)
  await scope.close()
})

test('a second server on the same folder is told so', async () => {
  const scope = testScope()
  const options = { folder: folder(), definitions: [notes] }
  await openStore(scope, options)
  const other = testScope()
  await assert.rejects(openStore(other, options), {
    code: 'unavailable',
    message: /core\.db is in use by another process/,
  })
  await scope.close()
  await other.close()
})

test('many accounts pass through few open databases', async () => {
  const scope = testScope()
  const store = await openStore(scope, { folder: folder(), definitions: [notes], open: 4 })
  for (let i = 0; i < 20; i++) await store.account(notes, `a${i}`).add({ text: `note ${i}` })
  assert.deepEqual(
    await Promise.all(Array.from({ length: 20 }, (_, i) => store.account(notes, `a${i}`).all())),
    Array.from({ length: 20 }, (_, i) => [`note ${i}`]),
  )
  assert.equal((await store.figures()).open, 4)
  await scope.close()
})

test('accounts that rest let go of their pages and read them again', async () => {
  const scope = testScope()
  const store = await openStore(scope, { folder: folder(), definitions: [notes], open: 64 })
  const accounts = Array.from({ length: 50 }, (_, i) => store.account(notes, `a${i}`))
  for (const round of ['one', 'two']) for (const account of accounts) await account.add({ text: round })
  for (const account of accounts) assert.deepEqual(await account.all(), ['one', 'two'])
  assert.equal((await store.figures()).open, 51)
  await scope.close()
})

test('the database that holds the lock stays open, however many others come', async () => {
  const scope = testScope()
  const data = folder()
  const store = await openStore(scope, { folder: data, definitions: [notes], open: 4 })
  for (let index = 0; index < 20; index++) await store.account(notes, `account${index}`).add({ text: 'a' })
  assert.equal((await store.figures()).open, 4)
  const second = testScope()
  await assert.rejects(openStore(second, { folder: data, definitions: [notes] }), { code: 'unavailable' })
  await Promise.all([scope.close(), second.close()])
})

test('an upgrade puts a copy aside first, and an older program then refuses the newer tables', async () => {
  const here = folder()
  const old = testScope()
  await (await openStore(old, { folder: here, definitions: [notes] })).account(notes, 'anna').add({ text: 'kept' })
  await old.close()

  const next = testScope()
  const grown = await openStore(next, { folder: here, definitions: [notesGrown] })
  assert.deepEqual(await grown.account(notesGrown, 'anna').all(), ['kept'])
  assert.ok(existsSync(join(here, 'accounts', 'na', 'anna', 'account.db.before-migration')))
  await next.close()

  const back = testScope()
  const older = await openStore(back, { folder: here, definitions: [notes] })
  await assert.rejects(older.account(notes, 'anna').all(), { code: 'newer', message: /written by a newer Aviso/ })
  await back.close()
})

test('a store worker that dies fails its callers with "later", and another takes over', async () => {
  const scope = testScope()
  const store = await openStore(scope, {
    folder: folder(),
    definitions: [notes],
    worker: new URL('./dying-worker.ts', import.meta.url),
    threads: 1,
  })
  await store.account(notes, 'anna').add({ text: 'one' })
  await assert.rejects(store.account(notes, 'anna').add({ text: 'die' }), { code: 'unavailable' })
  assert.deepEqual(await store.account(notes, 'anna').all(), ['one'])
  await scope.close()
})

test('blobs come back whole and in part, and are the same file for the same content', async () => {
  const scope = testScope()
  const store = await openStore(scope, { folder: folder(), definitions: [notes] })
  const content = new TextEncoder().encode('a large attachment')
  const name = await store.blobs.put(content)
  assert.equal(await store.blobs.put(content), name)
  assert.deepEqual(Buffer.from((await store.blobs.get(name)) ?? []).toString(), 'a large attachment')
  assert.deepEqual(Buffer.from((await store.blobs.get(name, 2, 7)) ?? []).toString(), 'large')
  assert.deepEqual((await store.blobs.get(name, 100, 200))?.byteLength, 0)
  await store.blobs.delete(name)
  assert.equal(await store.blobs.get(name), undefined)
  await assert.rejects(store.blobs.get('../core.db'), /cannot name a blob/)
  await scope.close()
})

test('accounts that get the same blob share the file, and each deletes its own only', async () => {
  const here = folder()
  const scope = testScope()
  const store = await openStore(scope, { folder: here, definitions: [notes] })
  const content = new TextEncoder().encode('sent to both of them')
  const name = await store.accountBlobs('anna').put(content)
  assert.equal(await store.accountBlobs('bert').put(content), name)
  assert.equal(statSync(join(here, 'accounts', 'rt', 'bert', 'blobs', name.slice(0, 2), name)).nlink, 2)
  await store.accountBlobs('anna').delete(name)
  assert.equal(await store.accountBlobs('anna').get(name), undefined)
  assert.equal(Buffer.from((await store.accountBlobs('bert').get(name)) ?? []).toString(), 'sent to both of them')
  await store.eraseAccount('bert')
  assert.equal(existsSync(join(here, 'accounts', 'rt', 'bert')), false)
  await scope.close()
})
