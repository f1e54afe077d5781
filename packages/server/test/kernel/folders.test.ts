import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Folders } from '../../src/kernel/folders.ts'

const root = mkdtempSync(join(tmpdir(), 'aviso-folders-'))
after(() => rmSync(root, { recursive: true, force: true }))

/** A disk whose syncs are noted, and answered by hand. */
function disk(name: string) {
  const top = join(root, name)
  mkdirSync(top)
  const synced: string[] = []
  const waiting: PromiseWithResolvers<void>[] = []
  const folders = new Folders(top, (folder) => {
    synced.push(relative(top, folder))
    const answer = Promise.withResolvers<void>()
    waiting.push(answer)
    return answer.promise
  })
  return { top, folders, synced, waiting }
}

/** Answers syncs until `work` is done. */
async function answered(work: Promise<void>, waiting: PromiseWithResolvers<void>[]): Promise<void> {
  const over = new AbortController()
  const done = work.finally(() => over.abort())
  while (!over.signal.aborted) {
    waiting.pop()?.resolve()
    await turn()
  }
  await done
}

test('every folder up to the root is made safe, once', async () => {
  const { top, folders, synced, waiting } = disk('once')
  await answered(folders.make(join(top, 'a/b/c')), waiting)
  assert.deepEqual(synced, ['a/b', 'a', ''])
  await answered(folders.make(join(top, 'a/b/d')), waiting)
  assert.deepEqual(synced.slice(3), ['a/b'])
  await folders.make(join(top, 'a/b/d'))
  assert.equal(synced.length, 4)
})

test('a folder that is there from a life before is made safe too', async () => {
  const { top, folders, synced, waiting } = disk('before')
  mkdirSync(join(top, 'a/b'), { recursive: true })
  await answered(folders.make(join(top, 'a/b')), waiting)
  assert.deepEqual(synced, ['a', ''])
})

test('who finds a folder waits until whoever made it has made it safe', async () => {
  const { top, folders, waiting } = disk('both')
  const first = folders.make(join(top, 'a'))
  while (waiting.length === 0) await turn()
  let over = false
  const second = folders.make(join(top, 'a')).finally(() => (over = true))
  for (let i = 0; i < 50; i++) await turn()
  assert.equal(over, false)
  waiting[0]?.resolve()
  await Promise.all([first, second])
})

test('a folder that was removed is made safe again, one whose sync failed too', async () => {
  const { top, folders, synced, waiting } = disk('again')
  await answered(folders.make(join(top, 'a/b')), waiting)
  rmSync(join(top, 'a'), { recursive: true })
  await answered(folders.make(join(top, 'a/b')), waiting)
  assert.deepEqual(synced, ['a', '', 'a', ''])
  const failing = folders.make(join(top, 'c'))
  while (waiting.length === 0) await turn()
  waiting.pop()?.reject(new Error('I/O error'))
  await assert.rejects(failing, /I\/O error/)
  await answered(folders.make(join(top, 'c')), waiting)
  assert.deepEqual(synced.slice(4), ['', ''])
})
