import assert from 'node:assert/strict'
import { test } from 'node:test'
import { normaliseNewlines } from '@aviso/mime'
import { ownCopy } from '../../../src/mail/mailboxes/own-copy.ts'

test('a large message is copied piece by piece as it would be in one go, whatever its line ends are', async () => {
  for (const line of ['a line\n', 'a line\r\n', '\r', '\n', '\r\n', '\r\r\n\n'])
    for (const before of ['', 'x']) {
      const octets = Buffer.from(before + line.repeat(Math.ceil(1_100_000 / line.length)))
      const view = Buffer.concat([Buffer.from('..'), octets]).subarray(2)
      const copy = await ownCopy(view)
      assert.ok(Buffer.from(normaliseNewlines(octets)).equals(copy), JSON.stringify([before, line]))
      assert.equal(copy.byteLength, copy.buffer.byteLength)
    }
  assert.equal((await ownCopy(new Uint8Array())).byteLength, 0)
})
