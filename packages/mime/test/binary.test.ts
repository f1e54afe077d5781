// RFC 3516 §4.4: what a store of text lines makes of binary parts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  BinaryEncoder,
  decodeBody,
  encodeBinaryParts,
  normaliseNewlines,
  type Part,
  parseStructure,
} from '../src/index.ts'

const latin1 = (text: string) => Buffer.from(text, 'latin1')

test('a binary part that holds NUL is kept in base64', () => {
  const message = latin1(
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nX-One: 1\r\n' +
      'CONTENT-TRANSFER-ENCODING: binary\r\nContent-Type: image/png\r\n\r\na\0\nb\r\n--b--\r\n',
  )
  assert.equal(
    Buffer.from(encodeBinaryParts(message)).toString('latin1'),
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nX-One: 1\r\n' +
      'Content-Transfer-Encoding: base64\r\nContent-Type: image/png\r\n\r\nYQAKYg==\r\n--b--\r\n',
  )
})

test('binary that is lines of text, and NUL in parts that are not binary, stay as they are', () => {
  for (const text of [
    'Content-Transfer-Encoding: binary\r\n\r\nhello\r\nthere\xff',
    'Subject: x\r\n\r\nhel\0lo',
    'Content-Transfer-Encoding: 8bit\r\n\r\nhel\0lo',
    'Content-Type: multipart/mixed\r\nContent-Transfer-Encoding: binary\r\n\r\nno boundary \0',
    '',
  ]) {
    const bytes = latin1(text)
    assert.equal(encodeBinaryParts(bytes), bytes)
  }
  assert.equal(
    Buffer.from(encodeBinaryParts(latin1('Subj\0ect: x\r\nContent-Transfer-Encoding: binary\r\n\r\nhello'))).toString(
      'latin1',
    ),
    'Subj\0ect: x\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n',
  )
})

test('a message that is one binary body, and one inside another message', () => {
  assert.equal(
    Buffer.from(encodeBinaryParts(latin1('Content-Transfer-Encoding: binary\r\n\r\n\0'))).toString('latin1'),
    'Content-Transfer-Encoding: base64\r\n\r\nAA==\r\n',
  )
  const inner =
    'Subject: inner\r\nContent-Transfer-Encoding: Binary\r\nContent-Transfer-Encoding: binary\r\n\r\nbare\nnewline'
  const outer = encodeBinaryParts(
    latin1(`Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n${inner}`),
  )
  assert.equal(
    Buffer.from(outer).toString('latin1'),
    'Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: base64\r\n\r\n' +
      'YmFyZQpuZXdsaW5l\r\n',
  )
})

/** What the encoder makes of a message that comes in pieces of these lengths, over and over. */
function inPieces(message: Uint8Array, lengths: readonly number[]): Buffer {
  const encoder = new BinaryEncoder()
  const out: Buffer[] = []
  const hand = (octets: Buffer): void => void out.push(Buffer.from(octets))
  for (let at = 0, i = 0; at < message.length; i++) {
    const next = at + Math.max(1, lengths[i % lengths.length] ?? 1)
    encoder.push(message.subarray(at, next), hand)
    at = next
  }
  encoder.end(hand)
  return Buffer.concat(out)
}

const leaves = (part: Part): Part[] => [
  ...(part.children.length === 0 && part.message === undefined ? [part] : []),
  ...(part.message === undefined ? [] : leaves(part.message)),
  ...part.children.flatMap(leaves),
]
const shape = (part: Part): string =>
  `${part.type}/${part.subtype}(${part.children.map(shape).join()}${part.message ? shape(part.message) : ''})`

test('whatever the octets: decoded, every binary part gives what it held, and the tree is the same', () => {
  const octets = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(fc.constantFrom(0, 10, 13, 45, 45, 98, 61), { maxLength: 30 }).map((list) => Uint8Array.from(list)),
  )
  const leaf = fc
    .tuple(octets, fc.boolean(), fc.constantFrom('', 'X: 1\r\n', 'Content-Type: image/png\r\n'))
    .map(([body, binary, more]) =>
      Buffer.concat([latin1(`${binary ? 'Content-Transfer-Encoding: BINARY\r\n' : ''}${more}\r\n`), body]),
    )
  const { entity } = fc.letrec<{ entity: Buffer }>((tie) => ({
    entity: fc.oneof(
      { depthSize: 'small', maxDepth: 3 },
      leaf,
      fc
        .tuple(fc.array(tie('entity'), { maxLength: 3 }), fc.nat(9))
        .map(([parts, n]) =>
          Buffer.concat([
            latin1(`Content-Type: multipart/mixed; boundary=b${n}\r\n\r\n`),
            ...parts.flatMap((part) => [latin1(`--b${n}\r\n`), part, latin1('\r\n')]),
            latin1(`--b${n}--\r\n`),
          ]),
        ),
      tie('entity').map((part) => Buffer.concat([latin1('Content-Type: message/rfc822\r\n\r\n'), part])),
    ),
  }))
  fc.assert(
    fc.property(entity, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (message, cuts) => {
      const whole = inPieces(message, [message.length])
      assert.deepEqual(inPieces(message, cuts), whole, 'wherever the pieces are cut')
      assert.deepEqual(inPieces(whole, cuts), whole, 'text is not changed')
      const before = parseStructure(message)
      const encoded = normaliseNewlines(inPieces(message, [message.length]))
      const after = parseStructure(encoded)
      assert.equal(shape(after), shape(before))
      const was = leaves(before)
      for (const [i, part] of leaves(after).entries()) {
        const old = was[i]
        if (old?.encoding !== 'BINARY' || old.type === 'multipart' || old.type === 'message') continue
        assert.deepEqual(Buffer.from(decodeBody(part, encoded)), Buffer.from(decodeBody(old, message)))
        assert.equal(encoded.subarray(part.bodyStart, part.bodyEnd).includes(0), false)
      }
    }),
    { numRuns: 1500 },
  )
})

test('a body of many lines of base64 decodes to what it was, and costs time for its length only', () => {
  const body = Buffer.alloc(
    3_000_000,
    Uint8Array.from({ length: 251 }, (_, i) => i),
  )
  const message = Buffer.concat([
    latin1('Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\n'),
    body,
    latin1('\r\n--b--\r\n'),
  ])
  const text = inPieces(message, [1, 65_536, 3, 1460])
  const [part] = parseStructure(text).children
  assert.ok(part !== undefined)
  assert.deepEqual(decodeBody(part, text), body)
  assert.ok(!text.includes('\r\n\r\n--b--'), 'no empty line behind the last one')
  assert.ok(
    text
      .toString('latin1')
      .split('\r\n')
      .every((line) => line.length <= 76),
  )
})

test('a header without an end stays as it is', () => {
  const endless = Buffer.concat([latin1('Content-Transfer-Encoding: binary\r\n'), Buffer.alloc(1_200_000, 'X: \0\r\n')])
  assert.deepEqual(inPieces(endless, [16_384]), endless)
})
