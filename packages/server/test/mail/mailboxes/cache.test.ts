import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Caches } from '../../../src/mail/mailboxes/cache.ts'

test('what sessions derive is shared by mailbox, and never takes more than its share of memory', () => {
  const caches = new Caches(100_000)
  const [one, same, other] = [caches.of('anna', 1), caches.of('anna', 1), caches.of('anna', 2)]
  one.set('sort', [3, 1, 2], 1000)
  assert.deepEqual(same.get('sort'), [3, 1, 2])
  assert.equal(other.get('sort'), undefined)
  assert.equal(caches.of('anna', 11).get('sort'), undefined)
  for (let i = 0; i < 1000; i++) {
    other.set(`key ${i}`, i, (i * 7919) % 5000)
    one.get('sort')
    assert.ok(caches.size <= 100_000)
  }
  assert.deepEqual(one.get('sort'), [3, 1, 2], 'what is used stays')
  assert.equal(other.get('key 0'), undefined)
  one.set('sort', 'too large', 200_000)
  assert.equal(one.get('sort'), undefined, 'neither the new value nor the old one')
})
