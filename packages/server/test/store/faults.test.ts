// What goes wrong with one database, or with the disk, and what it must not do to anything else.

import assert from 'node:assert/strict'
import fs, {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { mock, test } from 'node:test'
import { HandClock } from '../../src/kernel/clock.ts'
import { openStore } from '../../src/store/open.ts'
import { SqliteDatabase } from '../../src/store/sqlite.ts'
import { testScope } from '../fixtures/scope.ts'
import { ledger, ledgers } from './ledger.ts'
import { notes } from './notes.ts'
import { ANNA, copyOf, folder, found, journals, use } from './power.ts'

const DATABASE = join('accounts', 'na', 'anna', 'account.db')

/** Until the story is over, no transaction of these accounts can be committed. */
async function sick(accounts: readonly string[], story: () => Promise<void>): Promise<void> {
  const { commitUnsynced } = SqliteDatabase.prototype
  const mocked = mock.method(SqliteDatabase.prototype, 'commitUnsynced', function (this: SqliteDatabase) {
    if (accounts.includes(this.database)) throw Object.assign(new Error('disk I/O error'), { errcode: 10 })
    commitUnsynced.call(this)
  })
  try {
    await story()
  } finally {
    mocked.mock.restore()
  }
}

/** Until the story is over, syncs of files with that ending fail. */
async function unsyncable(ending: string, story: () => Promise<void>): Promise<void> {
  const { fdatasyncSync } = fs
  const sync = (how: typeof fdatasyncSync): void => {
    fs.fdatasyncSync = how
    syncBuiltinESMExports()
  }
  sync((descriptor) => {
    if (readlinkSync(`/proc/self/fd/${descriptor}`).endsWith(ending))
      throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    fdatasyncSync(descriptor)
  })
  try {
    await story()
  } finally {
    sync(fdatasyncSync)
  }
}

test('a write that runs again beside one that is refused has the time of its own round', async () => {
  const clock = new HandClock()
  const scope = testScope({ clock })
  const store = await openStore(scope, { folder: folder(), definitions: ledgers })
  const anna = store.account(ledger, ANNA)
  await anna.add({ text: 'a', fate: 'stays' })
  clock.turn(1000)
  const [line] = await Promise.allSettled([
    anna.add({ text: 'b', fate: 'stays' }),
    anna.add({ text: 'c', fate: 'refused' }),
  ])
  assert.equal(line?.status === 'fulfilled' && line.value.at, clock.now())
  await scope.close()
})

test('an account of the name of one that was erased begins empty, after a power loss too', () =>
  use({}, async (store, data) => {
    const anna = store.account(notes, ANNA)
    await store.account(notes, 'bert').add({ text: 'keeps the journal' })
    await anna.append({ text: 'of before' })
    const late = anna.add({ text: 'asked for before the end' })
    await store.eraseAccount(ANNA)
    await late
    assert.equal(existsSync(join(data, DATABASE)), false)
    await anna.add({ text: 'new' })
    const lost = copyOf(data)
    rmSync(join(lost, `${DATABASE}-wal`))
    assert.deepEqual(await found(copyOf(data)), ['new'])
    assert.deepEqual(await found(lost), ['new'], 'the log of the database was not synced')
    assert.deepEqual(readdirSync(join(data, 'tmp')), [])
  }))

test('an account that was erased while the journal could not be written begins empty too', () =>
  use({}, async (store, data) => {
    const anna = store.account(notes, ANNA)
    await unsyncable('.journal', async () => {
      await assert.rejects(store.eraseAccount(ANNA), /check the disk/)
      await assert.rejects(anna.add({ text: 'not yet' }), { code: 'unavailable' })
      await assert.rejects(anna.append({ text: 'not yet' }), { code: 'unavailable' })
      assert.equal(existsSync(join(data, DATABASE)), false)
    })
    await anna.append({ text: 'new' })
    assert.deepEqual(await found(copyOf(data)), ['new'])
  }))

test('a database that cannot be committed harms itself alone, and loses nothing', async () => {
  let data = ''
  await sick([ANNA, 'a-user', 'c'], () =>
    use({ open: 4 }, async (store, folderOf) => {
      data = folderOf
      const anna = store.account(notes, ANNA)
      await anna.add({ text: 'safe in the journal' })
      for (let round = 0; round < 2; round++)
        for (const user of ['a-user', 'b', 'c', 'd', 'e', 'f', 'g'])
          await store.account(notes, user).add({ text: `${round}` })
      assert.deepEqual(await anna.all(), ['first', 'safe in the journal'])
    }),
  )
  assert.equal(journals(data).length, 1)
  assert.deepEqual(await found(data, 'b'), ['0', '1'])
  assert.deepEqual(await found(data), ['first', 'safe in the journal'])
})

test('a database that cannot be synced at the stop keeps its log', async () => {
  const file = await open('/dev/null')
  await file.close()
  const prototype = Object.getPrototypeOf(file) as FileHandle
  const { datasync } = prototype
  let data = ''
  const mocked = mock.method(prototype, 'datasync', async function (this: FileHandle) {
    if (readlinkSync(`/proc/self/fd/${this.fd}`).endsWith(DATABASE)) throw new Error('EIO: i/o error')
    await datasync.call(this)
  })
  try {
    await use({}, async (store, folderOf) => {
      data = folderOf
      await store.account(notes, 'bert').add({ text: 'b' })
      await store.account(notes, ANNA).add({ text: 'a' })
    })
  } finally {
    mocked.mock.restore()
  }
  assert.equal(existsSync(join(data, `${DATABASE}-wal`)), true)
  assert.deepEqual(readdirSync(join(data, 'accounts', 'rt', 'bert')), ['account.db'])
  assert.deepEqual(await found(data), ['first', 'a'])
})

test('lines for a database that does not take them are refused when enough of them wait', () =>
  use({}, async (store) => {
    const anna = store.account(notes, ANNA)
    await sick([ANNA], async () => {
      let safe = 0
      const append = async (): Promise<void> => {
        for (;;) {
          await anna.append({ text: 'x'.repeat(100_000) })
          safe++
        }
      }
      await assert.rejects(append(), { code: 'unavailable' })
      assert.equal(safe > 1 && safe < 20, true, String(safe))
      await store.account(notes, 'bert').append({ text: 'b' })
    })
    assert.deepEqual(await store.account(notes, 'bert').all(), ['b'])
    await anna.append({ text: 'well again' })
    assert.equal((await anna.all()).at(-1), 'well again')
  }))

test('a line that SQL cannot take is put aside, and keeps nobody from the database', () =>
  use({}, async (store, data) => {
    const anna = store.account(notes, ANNA)
    await Promise.all(['a', 'malformed', 'b'].map((text) => anna.append({ text })))
    assert.deepEqual(await found(copyOf(data)), ['first', 'a', 'b'])
    assert.deepEqual(await anna.all(), ['first', 'a', 'b'])
    assert.match(readFileSync(join(data, 'journal', 'broken.jsonl'), 'utf8'), /"args":{"text":"malformed"}/)
  }))

test('a write that could not go into the journal is there once, even where it reached the journal', () =>
  use({}, async (store, data) => {
    const [anna, bert] = [store.account(notes, ANNA), store.account(notes, 'bert')]
    await bert.add({ text: 'first' })
    let torn = ''
    await unsyncable('.journal', async () => {
      const { ftruncateSync } = fs
      Object.assign(fs, {
        ftruncateSync: (...args: Parameters<typeof ftruncateSync>) => {
          torn = torn === '' ? copyOf(data) : torn
          ftruncateSync(...args)
        },
      })
      syncBuiltinESMExports()
      try {
        assert.deepEqual(await Promise.all([anna.add({ text: 'a' }), bert.add({ text: 'b' })]), [2, 2])
        await assert.rejects(anna.append({ text: 'c' }), { code: 'unavailable' })
        await assert.rejects(anna.addAll({ all: [{ text: 'x'.repeat(1_000_000), hint: new Float64Array() }] }), {
          code: 'unavailable',
        })
      } finally {
        Object.assign(fs, { ftruncateSync })
        syncBuiltinESMExports()
      }
    })
    const after = copyOf(data)
    // The journal as it was when the sync had failed, and the databases as they are now.
    const [path = ''] = journals(torn)
    cpSync(path, journals(after)[0] ?? '')
    assert.deepEqual(await found(after), ['first', 'a'])
    assert.deepEqual(await found(after, 'bert'), ['first', 'b'])
    await anna.append({ text: 'd' })
    assert.deepEqual(await anna.all(), ['first', 'a', 'd'])
  }))

test('nothing is built on a write that may not be safe', () =>
  use({}, async (store) => {
    const anna = store.account(notes, ANNA)
    await unsyncable('.journal', () =>
      unsyncable('-wal', async () => {
        await assert.rejects(anna.add({ text: 'a' }), { code: 'unavailable' })
      }),
    )
    await unsyncable('-wal', async () => {
      await assert.rejects(anna.add({ text: 'b' }), { code: 'unavailable' })
      await assert.rejects(anna.append({ text: 'b' }), { code: 'unavailable' })
    })
    assert.equal(await anna.add({ text: 'c' }), 3)
  }))

test('a database that cannot be opened at the start keeps nobody waiting, and has it all when it can', () =>
  use({}, async (store, data) => {
    const anna = store.account(notes, ANNA)
    await store.account(notes, 'bert').add({ text: 'b' })
    const before = copyOf(data)
    await anna.append({ text: 'a' })
    await anna.add({ text: 'c' })
    const copy = copyOf(data)
    for (const suffix of ['', '-wal']) cpSync(join(before, DATABASE + suffix), join(copy, DATABASE + suffix))
    const path = join(copy, DATABASE)
    renameSync(path, `${path}.away`)
    mkdirSync(path)
    assert.deepEqual(await found(copy, 'bert'), ['b'])
    await assert.rejects(found(copy), { code: 'unavailable' })
    rmSync(path, { recursive: true })
    renameSync(`${path}.away`, path)
    assert.deepEqual(await found(copy), ['first', 'a', 'c'])
    assert.deepEqual(await found(copy), ['first', 'a', 'c'], 'nor again')
    assert.equal(existsSync(join(copy, 'journal', 'held', 'account', ANNA)), false)
  }))

test('a hole in the journal is told, and what can be read is carried out', () =>
  use({}, async (store, data) => {
    const anna = store.account(notes, ANNA)
    for (const text of ['a', 'b', 'c']) await anna.append({ text })
    const copy = copyOf(data)
    const [path = ''] = journals(copy)
    const octets = readFileSync(path)
    const at = octets.indexOf('"b"')
    octets[at + 1] = 0x21
    writeFileSync(path, octets)
    assert.deepEqual(await found(copy), ['first', 'a'])
    assert.deepEqual(
      readdirSync(join(copy, 'journal')).map((name) => name.slice(-16)),
      ['.journal.damaged'],
    )
  }))
