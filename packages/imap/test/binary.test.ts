// RFC 3516: parts without their transfer encoding (spec/imap.md §5.4 case 40).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeBase64, parseStructure } from '@aviso/mime'
import * as fc from 'fast-check'
import { binarySection, encodeBinary } from '../src/render/binary.ts'
import { partAt } from '../src/render/section.ts'
import { CommandError } from '../src/wire/errors.ts'

const latin1 = (octets: Uint8Array): string => Buffer.from(octets).toString('latin1')
const MESSAGE = Buffer.from(
  [
    'Content-Type: multipart/mixed; boundary=b',
    '',
    '--b',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    'gr=C3=BC=',
    'n=20',
    '--b',
    'Content-Transfer-Encoding: base64',
    '',
    'AAEC',
    '--b',
    'Content-Transfer-Encoding: x-uuencode',
    '',
    'begin 644 a',
    '--b',
    'Content-Type: multipart/mixed; boundary=c',
    'Content-Transfer-Encoding: base64',
    '',
    '--c',
    '',
    'deep',
    '--c--',
    '--b',
    'Content-Type: message/rfc822',
    '',
    'Content-Transfer-Encoding: base64',
    '',
    'aGk=',
    '--b--',
    '',
  ].join('\r\n'),
)

test('40: every encoding, and what is no encoding', () => {
  const root = parseStructure(MESSAGE)
  const section = (...numbers: number[]): string => {
    const part = partAt(root, numbers)
    assert.ok(part)
    return latin1(binarySection(part, MESSAGE))
  }
  assert.equal(section(1), 'gr\xc3\xbcn ')
  assert.equal(section(2), '\0\x01\x02')
  assert.throws(
    () => section(3),
    (error) => error instanceof CommandError && error.status === 'NO' && error.code === 'UNKNOWN-CTE',
  )
  assert.equal(section(4), '--c\r\n\r\ndeep\r\n--c--')
  assert.equal(section(4, 1), 'deep')
  assert.equal(section(5), 'Content-Transfer-Encoding: base64\r\n\r\naGk=')
  assert.equal(section(5, 1), 'hi')
})

test('40: octets with NUL go as literal8, others as strings', () => {
  assert.equal(latin1(encodeBinary(Buffer.from('plain'))), '"plain"')
  assert.equal(latin1(encodeBinary(Buffer.from('\xe9', 'latin1'))), '{1}\r\n\xe9')
  assert.equal(latin1(encodeBinary(Buffer.from('a\0b'))), '~{3}\r\na\0b')
  assert.equal(latin1(encodeBinary(new Uint8Array(0))), '""')
})

test('what was put into base64 comes out the same', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (octets) => {
      const message = Buffer.from(`Content-Transfer-Encoding: base64\r\n\r\n${encodeBase64(octets)}`)
      assert.deepEqual(Buffer.from(binarySection(parseStructure(message), message)), Buffer.from(octets))
    }),
  )
})
