// Messages bent out of shape: nothing throws, nothing takes long, and the tree stays a tree.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeText,
  encodeBinaryParts,
  Headers,
  normaliseNewlines,
  type Part,
  parseStructure,
  previewText,
} from '../src/index.ts'
import { fuzz, mutate, sampleMessage, sampleWithParts } from '../src/testing/index.ts'

const CORPUS: readonly Uint8Array[] = [
  sampleMessage(),
  sampleWithParts(),
  Buffer.from(
    'Content-Type: multipart/mixed; boundary="a"\r\n\r\n--a\r\nContent-Type: multipart/digest; boundary=aa\r\n\r\n--aa\r\n\r\nSubject: 1\r\n\r\nx\r\n--aa\r\n' +
      'Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/alternative; boundary=aaa\r\n\r\n--aaa\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\n--aaa--\r\n' +
      '--aa--\r\n--a\r\nContent-Type: text/plain; charset*=utf-8\'\'x; name*0="a"; name*1*=b%20c; format=flowed\r\nContent-Disposition: attachment;\r\n' +
      ' filename="=?utf-8?B?w7w=?="\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Language: de, en (x)\r\n\r\n=C3=BC=\r\n=\r\n--a--\r\nepilogue',
  ),
]

function check(part: Part, from: number, to: number, depth: number): number {
  assert.ok(depth <= 110, 'too deep')
  assert.ok(from <= part.headerStart && part.headerStart <= part.bodyStart, 'header')
  assert.ok(part.bodyStart <= part.bodyEnd && part.bodyEnd <= to, 'body')
  assert.ok(part.lines >= 0 && part.type !== '' && part.subtype !== '')
  let count = 1
  let at = part.bodyStart
  for (const child of part.children) {
    count += check(child, at, part.bodyEnd, depth + 1)
    at = child.bodyEnd
  }
  if (part.message !== undefined) count += check(part.message, part.bodyStart, part.bodyEnd, depth + 1)
  return count
}

function visit(part: Part, see: (part: Part) => void): void {
  see(part)
  for (const child of part.children) visit(child, see)
  if (part.message !== undefined) visit(part.message, see)
}

test('any octets have a structure', { timeout: 3_600_000 }, async (t) => {
  await fuzz(t, (random) => {
    let message = random.pick(CORPUS)
    for (let times = 1 + random.below(4); times > 0; times--) message = mutate(message, random)
    if (random.once(10)) message = Buffer.concat([message, message, message])
    const started = performance.now()
    const root = parseStructure(message)
    assert.ok(check(root, 0, message.length, 0) <= 1001)
    assert.equal(root.bodyEnd, message.length)
    for (const field of Headers.parse(message, 0, root.bodyStart).fields())
      assert.ok(field.start <= field.valueStart && field.valueStart <= field.end)
    visit(root, (part) => void (part.type === 'text' && decodeText(part, message)))
    previewText(root, message)
    const encoded = encodeBinaryParts(message)
    parseStructure(normaliseNewlines(encoded))
    assert.ok(performance.now() - started < 2000, 'too long')
  })
})
