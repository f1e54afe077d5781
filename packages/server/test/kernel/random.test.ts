import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRandom } from '../../src/kernel/random.ts'

test('random octets are of the length asked for, never the same twice, and nobody else writes into them', () => {
  const given: Buffer[] = []
  const before: string[] = []
  for (const length of [16, 20, 100, 128, 129, 5000, ...Array.from({ length: 500 }, () => 24)]) {
    const bytes = systemRandom.bytes(length)
    assert.equal(bytes.length, length)
    given.push(bytes)
    before.push(bytes.toString('hex'))
  }
  assert.equal(new Set(before.map((hex) => hex.slice(0, 32))).size, before.length)
  assert.deepEqual(
    given.map((bytes) => bytes.toString('hex')),
    before,
  )
  assert.equal(systemRandom.bytes(0).length, 0)
})
