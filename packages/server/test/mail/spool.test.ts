// Large messages on their way in, as files.

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { type FileSpoolOptions, openSpool } from '../../src/mail/spool.ts'
import { samples } from '../fixtures/metrics.ts'
import { testScope } from '../fixtures/scope.ts'

function place(t: TestContext): string {
  const base = mkdtempSync(join(tmpdir(), 'aviso-spool-'))
  t.after(() => rmSync(base, { recursive: true, force: true }))
  return join(base, 'spool')
}

const open = (folder: string, options?: FileSpoolOptions) => openSpool(testScope(), folder, { reserve: 0, ...options })

async function all(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const got: Uint8Array[] = []
  for await (const piece of pieces) got.push(piece)
  return Buffer.concat(got)
}

test('what was written is read, from any place, also by two at once; then the file is gone', async (t) => {
  const folder = place(t)
  const spool = await open(folder)
  const file = await spool.create()
  const octets = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
  for (let at = 0; at < octets.length; at += 90_000) await file.write(octets.subarray(at, at + 90_000))
  await file.end()
  assert.equal(spool.octets, 300_000)
  const [whole, part] = await Promise.all([all(file.read(0, 300_000)), all(file.read(65_530, 65_540))])
  assert.ok(whole.equals(octets))
  assert.ok(part.equals(octets.subarray(65_530, 65_540)))
  assert.equal(readdirSync(folder).length, 1)
  await file.discard()
  await file.discard()
  assert.deepEqual(readdirSync(folder), [])
  assert.equal(spool.octets, 0)
  await assert.rejects(all(file.read(0, 10)))
})

test('what a crash left is swept at the start', async (t) => {
  const folder = place(t)
  mkdirSync(folder)
  writeFileSync(join(folder, 'left'), 'over')
  await open(folder)
  assert.deepEqual(readdirSync(folder), [])
})

test('there is room for so much and no more, and what is given back can be had again', async (t) => {
  const scope = testScope()
  const waits = async () => (await samples(scope, 'aviso_mail_spool_octets'))['']
  const spool = await openSpool(scope, place(t), { reserve: 0, capacity: 1000 })
  assert.equal(await waits(), 0)
  const first = await spool.create()
  await first.write(Buffer.alloc(600))
  assert.equal(await waits(), 600, 'monitoring sees it')
  const second = await spool.create()
  await assert.rejects(second.write(Buffer.alloc(500)), /at the same time/)
  await first.discard()
  await second.write(Buffer.alloc(500))
  await second.discard()
  assert.equal(spool.octets, 0)
  assert.equal(await waits(), 0)
})
