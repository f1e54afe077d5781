// What a crash, a restored backup or a hand in the data folder does to uploaded files, and how the doctor finds it.

import assert from 'node:assert/strict'
import { rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { FolderOfFiles } from '../../src/store/files.ts'
import { admin, ANNA, ask, onDisk, open, put, slot, upload } from './file-town.ts'

const ACCOUNT = 'idannaexampleorg'

test('files that are lost, cut, or nobody’s are found and put right, all others stay', async () => {
  const town = await open()
  const { house } = town
  const anna = await house.arrive(ANNA, 'sea')
  const paths: string[] = []
  for (const name of ['whole.txt', 'lost.txt', 'cut.txt']) paths.push(await upload(town, anna, name, 'hello world'))
  const [whole = '', lost = '', cut = ''] = paths
  const given = await slot(anna, 'later.txt', 5)
  const idOf = (path: string): string => path.split('/')[2] ?? ''
  const folder = join(house.folder, 'accounts', ACCOUNT.slice(-2), ACCOUNT, 'files')
  assert.deepEqual(await admin(house).examine(ANNA, false), { address: ANNA, findings: [], more: 0, open: 0 })

  rmSync(join(folder, idOf(lost)))
  truncateSync(join(folder, idOf(cut)), 3)
  writeFileSync(join(folder, 'nobodys'), 'whose is this?')
  const found = await admin(house).examine(ANNA, false)
  assert.deepEqual(
    found.findings.map(({ kind, text, repaired }) => `${kind}: ${text} (${String(repaired)})`),
    [
      `missing-file: the file 'lost.txt' (${idOf(lost)}) is not on the disk (false)`,
      `cut-file: the file 'cut.txt' (${idOf(cut)}) has 3 octets in place of 11 (false)`,
      'orphan-file: nobodys on the disk, of 14 octets, is no file that anybody could get (false)',
    ],
  )
  assert.equal(found.open, 3)
  assert.deepEqual(onDisk(house).length, 3, 'a look changes nothing')

  const repaired = await admin(house).examine(ANNA, true)
  assert.equal(repaired.open, 0)
  assert.deepEqual(
    repaired.findings.map(({ kind }) => kind),
    ['missing-file', 'cut-file', 'orphan-file'],
  )
  assert.deepEqual(onDisk(house), [idOf(whole)])
  assert.deepEqual((await admin(house).usage(ANNA)).all, { files: 2, octets: 16 }, 'with the slot that is to be filled')
  assert.deepEqual((await admin(house).examine(ANNA, true)).findings, [])

  assert.equal((await ask(town, 'GET', whole)).body.toString(), 'hello world')
  assert.equal((await ask(town, 'GET', lost)).status, 404)
  assert.equal((await ask(town, 'GET', cut)).status, 404)
  assert.equal((await put(town, given, 'hello')).status, 201, 'a slot that waits is no file that is missing')
})

test('what an account is said to take is counted anew', async () => {
  const town = await open()
  const { house } = town
  const anna = await house.arrive(ANNA, 'sea')
  await upload(town, anna, 'a.txt', 'hello')
  await house.restart(() => {
    const core = new DatabaseSync(join(house.folder, 'core.db'))
    core.exec('UPDATE chat_file_total SET octets = octets + 1000')
    core.close()
  })
  // All accounts together are counted by the same differences.
  const [finding] = (await admin(house).examine(ANNA, true)).findings
  assert.equal(finding?.text, '1005 octets in 1 files are said to be kept, and 5 in 1 are')
  assert.deepEqual((await admin(house).usage()).all, { files: 1, octets: 5 })
})

test('what goes while the doctor looks is not missed', async () => {
  const town = await open()
  const { house } = town
  const anna = await house.arrive(ANNA, 'sea')
  const path = await upload(town, anna, 'a.txt', 'hello')
  const id = path.split('/')[2] ?? ''
  const list = FolderOfFiles.prototype.list
  try {
    // It is deleted after the disk was looked at, and before the rows are.
    FolderOfFiles.prototype.list = async function (this: FolderOfFiles) {
      const names = await list.call(this)
      await admin(house).delete([id])
      return names
    }
    assert.deepEqual((await admin(house).examine(ANNA, false)).findings, [])
  } finally {
    FolderOfFiles.prototype.list = list
  }
})

test('an account that nobody knows', async () => {
  const { house } = await open()
  await assert.rejects(admin(house).examine('nobody@example.org', false), /no account nobody@example\.org/)
})
