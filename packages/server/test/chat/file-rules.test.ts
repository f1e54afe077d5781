// What uploaded files may be called, what they may be, how large a picture is, and which part of a file is meant: by tables, and by whatever comes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imageSize } from '../../src/chat/files/image-size.ts'
import { disposition, fileName, mediaType, typeIsAmong } from '../../src/chat/files/names.ts'
import { partOf } from '../../src/chat/files/range.ts'
import { slotOf, ticketOf } from '../../src/chat/files/slots.ts'
import { SeededRandom } from '../../src/kernel/random.ts'

test('names', () => {
  for (const [text, name] of [
    ['a.png', 'a.png'],
    ['  Grüße 👋.txt ', 'Grüße 👋.txt'],
    ['gpj.\u202Eexe', 'gpj.exe'],
    ['\u200B', undefined],
    ['a/b', undefined],
    ['..', undefined],
    ['a\u0000b', undefined],
    ['a\u0085b', undefined],
    ['\uD800', undefined],
    ['ü'.repeat(128), undefined],
    ['ü'.repeat(127), 'ü'.repeat(127)],
  ] as const)
    assert.equal(fileName(text), name, JSON.stringify(text))
  assert.equal(
    disposition('attachment', `a"b\\c'(1)%41.txt`),
    `attachment; filename="a_b_c'(1)_41.txt"; filename*=UTF-8''a%22b%5Cc%27%281%29%2541.txt`,
  )
})

test('types', () => {
  assert.equal(mediaType('Image/PNG; q=1'), 'image/png')
  for (const text of ['', 'image', 'image/', '/png', 'image/png\r\nX: y', 'a b/c', `a/${'b'.repeat(300)}`])
    assert.equal(mediaType(text), undefined, JSON.stringify(text))
  const list = ['image/*', 'text/plain']
  for (const [type, among] of [
    ['image/png', true],
    ['text/plain', true],
    ['text/html', false],
    ['imagex/png', false],
    ['image/svg+xml', false],
    ['', false],
  ] as const)
    assert.equal(typeIsAmong(type, list), among, type)
  assert.equal(typeIsAmong('image/svg+xml', ['image/svg+xml']), true, 'who names it wants it')
})

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const IMAGES = {
  png: Buffer.concat([hex('89504e470d0a1a0a 0000000d'), Buffer.from('IHDR'), hex('00000280 000001e0 0806000000')]),
  gif: Buffer.concat([Buffer.from('GIF89a'), hex('8002 e001 f70000')]),
  webpX: Buffer.concat([Buffer.from('RIFF\0\0\0\0WEBPVP8X'), hex('0a000000 10000000 7f0200 df0100')]),
  webpL: Buffer.concat([Buffer.from('RIFF\0\0\0\0WEBPVP8L'), hex('00000000 2f 7fc27700 0000000000')]),
  webp: Buffer.concat([Buffer.from('RIFF\0\0\0\0WEBPVP8 '), hex('00000000 300100 9d012a 8002 e001')]),
  jpeg: hex(
    'ffd8 ffe00010 4a46494600010100000100010000 ffdb0004 0000 ff ffc00011 08 01e0 0280 03 012200 021101 031101',
  ),
}

test('pictures', () => {
  for (const [kind, head] of Object.entries(IMAGES))
    assert.deepEqual(imageSize(head), { width: 640, height: 480 }, kind)
  for (const head of [
    Buffer.alloc(0),
    Buffer.from('<svg/>'),
    hex('ffd8 ffda0008 0102030405'),
    hex('ffd8 ffe00000 0000000000'),
  ])
    assert.equal(imageSize(head), undefined)
  const random = new SeededRandom(7)
  for (const head of Object.values(IMAGES))
    for (let round = 0; round < 300; round++) {
      const broken = Buffer.from(head)
      const [at = 0, octet = 0, cut = 0] = random.bytes(3)
      broken[at % broken.length] = octet
      const size = imageSize(broken.subarray(0, round % 2 === 0 ? cut : undefined))
      if (size !== undefined) assert.ok(size.width > 0 && size.height > 0)
    }
})

test('parts lie in the file', () => {
  assert.equal(partOf(undefined, 10), undefined)
  assert.deepEqual(partOf('bytes=-20', 10), { start: 0, end: 10 })
  assert.equal(partOf('bytes=-', 10), undefined)
  assert.equal(partOf(`bytes=${'9'.repeat(30)}-`, 10), undefined)
  const numbers = ['', '0', '1', '5', '9', '10', '11', '999999999999999']
  for (const first of numbers)
    for (const last of numbers) {
      const part = partOf(`bytes=${first}-${last}`, 10)
      if (typeof part === 'object') assert.ok(part.start >= 0 && part.start < part.end && part.end <= 10)
    }
})

test('a ticket with one letter changed is none', () => {
  const secret = Buffer.alloc(32, 1)
  const slot = { id: 'abc', account: 'a', size: 5, type: 'image/png', until: 7 }
  const ticket = ticketOf(secret, slot)
  assert.deepEqual(slotOf(secret, ticket), slot)
  assert.equal(slotOf(Buffer.alloc(32, 2), ticket), undefined)
  // The last letter carries bits that say nothing.
  for (let at = 0; at < ticket.length - 1; at++) {
    const other = ticket[at] === 'A' ? 'B' : 'A'
    assert.equal(slotOf(secret, `${ticket.slice(0, at)}${other}${ticket.slice(at + 1)}`), undefined, String(at))
  }
  for (const text of ['', '.', '..', ticket.split('.')[0] ?? '', `${ticket}.x`, 'x'.repeat(5000)])
    assert.equal(slotOf(secret, text), undefined)
})
