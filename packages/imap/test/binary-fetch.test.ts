// RFC 3516: parts without their transfer encoding.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { world } from './harness.ts'

const PARTS = Buffer.from(
  'Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n' +
    '--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=B6=\r\n=C3=9Fe\r\n' +
    '--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC/w==\r\n' +
    '--b\r\nContent-Type: application/x-odd\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd\r\n--b--\r\n',
)

test('40: BINARY decodes, BINARY.SIZE agrees, NUL comes in a literal8, an unknown encoding is said to be one', async (t) => {
  const { mail, wire } = await world(t)
  await mail.open().append('INBOX', [{ bytes: PARTS, flags: [] }])
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  const text = Buffer.from('Größe').toString('latin1')
  assert.equal(
    await c.ask('b FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1])'),
    `* 1 FETCH (BINARY[1] {7}\r\n${text} BINARY.SIZE[1] 7)\r\nb OK FETCH completed\r\n`,
  )
  assert.equal(
    await c.ask('c FETCH 1 (BINARY.PEEK[2])'),
    '* 1 FETCH (BINARY[2] ~{4}\r\n\0\x01\x02\xff)\r\nc OK FETCH completed\r\n',
  )
  assert.match(await c.ask('d FETCH 1 (BINARY.PEEK[2]<1.2>)'), /BINARY\[2\]<1> \{2\}\r\n\x01\x02\)/)
  assert.match(await c.ask('e FETCH 1 (BINARY.PEEK[3])'), /^e NO \[UNKNOWN-CTE\]/)
  assert.match(await c.ask('f FETCH 1 (BINARY.SIZE[3])'), /^f NO \[UNKNOWN-CTE\]/)
  assert.match(await c.ask('g FETCH 1 (BINARY.PEEK[9] BINARY.SIZE[9])'), /BINARY\[9\] NIL BINARY\.SIZE\[9\] 0\)/)
  assert.doesNotMatch(await c.ask('h FETCH 1 FLAGS'), /Seen/)
  assert.match(await c.ask('i FETCH 1 (BINARY[1])'), /FLAGS \(\\Seen/)
  assert.match(await c.ask('j FETCH 1 (BINARY[HEADER])'), /^j BAD/)
})
