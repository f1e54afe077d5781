import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { sharedText } from '../../src/kernel/shared-text.ts'

test('a shared text is the text, whatever it is', () => {
  for (const text of [
    '',
    '0',
    '-1',
    '4294967296',
    '__proto__',
    'constructor',
    'anna@example.org',
    '\u0003\0日本',
    '\ud800',
  ])
    assert.equal(sharedText(text), text)
})

test('many copies of it take the memory of one', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const kept = (keep: (text: string) => string): number => {
    collect()
    const before = process.memoryUsage().heapUsed
    const texts = Array.from({ length: 1000 }, () => keep(Buffer.alloc(10_000, 'x').toString()))
    collect()
    assert.equal(texts.length, 1000)
    return process.memoryUsage().heapUsed - before
  }
  assert.ok(kept((text) => text) > 9_000_000)
  assert.ok(kept(sharedText) < 1_000_000)
})
