// mbox files, as programs write them and as an enemy would.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { formatFromLine, parseFromLine } from '../../../src/mail/transfer/from-line.ts'
import { type MboxItem, MboxReader, NoMbox, type Quoting } from '../../../src/mail/transfer/mbox-reader.ts'
import { mboxEntry } from '../../../src/mail/transfer/mbox-writer.ts'

const LIMIT = 64 * 1024

/** Reads an mbox in pieces of the given sizes, over and over. */
function read(
  octets: Uint8Array | string,
  sizes: readonly number[] = [4096],
  { limit = LIMIT, quoting = 'mboxrd' }: { limit?: number; quoting?: Quoting } = {},
): MboxItem[] {
  const bytes = Buffer.from(octets as string, 'latin1')
  const reader = new MboxReader({ limit, quoting })
  const items: MboxItem[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? 1)
    // A copy: a reader that looked beyond its piece would see something else.
    items.push(...reader.push(Buffer.from(bytes.subarray(at, at + size))))
    at += size
  }
  return [...items, ...reader.end()]
}

const text = (item: MboxItem | undefined): string =>
  item?.kind === 'message' ? Buffer.from(item.bytes).toString('latin1') : `(${String(item?.kind)})`
const shape = (items: readonly MboxItem[]): unknown[] =>
  items.map((item) => (item.kind === 'message' ? [item.offset, item.end, text(item), item.flags, item.from] : item))

const FROM = 'From anna@example.org Thu Jan  1 00:00:00 1970\n'

describe('From_ lines', () => {
  test('in the forms that programs write', () => {
    const date = { time: Date.UTC(2024, 1, 3, 4, 5, 6), zone: 0 }
    for (const [line, sender, when] of [
      ['From anna@example.org Sat Feb  3 04:05:06 2024', 'anna@example.org', date],
      ['From - Sat Feb 03 04:05:06 2024', '', date],
      ['From MAILER-DAEMON Sat Feb  3 06:05:06 +0200 2024', 'MAILER-DAEMON', { ...date, zone: 120 }],
      ['From 1788@xxx Sat Feb 03 04:05:06 +0000 2024', '1788@xxx', date],
      ['From a@b Sat Feb  3 04:05:06 2024 +0000', 'a@b', date],
      ['From a@b Sat Feb  3 04:05:06 2024 remote from host', 'a@b', date],
      ['From a@b  Sat Feb  3 04:05:06 GMT 2024', 'a@b', date],
      ['From a@b Sat Feb  3 04:05 2024', 'a@b', { ...date, time: date.time - 6000 }],
      ['From a@b Sat, 03 Feb 2024 04:05:06 +0000', 'a@b', date],
      ['From "a b"@c Sat Feb  3 04:05:06 2024', '"a b"@c', date],
      ['From Sat Feb  3 04:05:06 2024', '', date],
      ['From ', '', undefined],
      ['From -', '', undefined],
    ] as const)
      assert.deepEqual(parseFromLine(line), { sender, date: when }, line)
  })

  test('are not what people write at the beginning of a line', () => {
    for (const line of [
      'From the beginning',
      'From Monday on we are at home',
      'From: anna',
      'from a@b Sat Feb  3 04:05:06 2024',
      'From now',
      'From a@b',
    ])
      assert.equal(parseFromLine(line), undefined, line)
  })

  test('that we write can be read', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 0, max: 4_000_000_000 }), (sender, seconds) => {
        const line = formatFromLine(sender, seconds * 1000)
        assert.equal(line.at(-1), '\n')
        assert.deepEqual(parseFromLine(line.trimEnd())?.date, { time: seconds * 1000, zone: 0 })
      }),
    )
  })
})

describe('reading an mbox', () => {
  test('gives each message with its place, its date, its flags, and without what is not the message', () => {
    const mbox =
      'From anna@example.org Sat Feb  3 04:05:06 2024\nSubject: one\nStatus: RO\nX-Status: AF\nX-Keywords: $label1 Work Stuff!\n\nHello\n>From here on\n>>From twice\n\n' +
      'From - Sun Feb  4 04:05:06 2024\r\nX-Mozilla-Status: 1007\r\nX-Mozilla-Status2: 00000000\r\nX-Mozilla-Keys: nonjunk      \r\nSubject: two\r\n\r\nFrom the beginning\r\n\r\n'
    const [one, two, ...more] = read(mbox)
    assert.equal(more.length, 0)
    assert.equal(text(one), 'Subject: one\n\nHello\nFrom here on\n>From twice\n')
    assert.equal(text(two), 'Subject: two\r\n\r\nFrom the beginning\r\n')
    assert.ok(one?.kind === 'message' && two?.kind === 'message')
    assert.deepEqual(one.flags, ['\\Seen', '\\Answered', '\\Flagged', '$label1', 'Work', 'Stuff!'])
    assert.deepEqual(two.flags, ['\\Seen', '\\Answered', '\\Flagged', '$Forwarded', 'nonjunk'])
    assert.equal(one.from.date?.time, Date.UTC(2024, 1, 3, 4, 5, 6))
    assert.deepEqual(
      [one.offset, one.end, two.offset, two.end],
      [0, mbox.indexOf('From -'), mbox.indexOf('From -'), mbox.length],
    )
  })

  test('takes mboxo by its word', () => {
    const [one] = read(`${FROM}\n>From a\n>>From b\n`, [4096], { quoting: 'mboxo' })
    assert.equal(text(one), '\nFrom a\n>>From b\n')
  })

  test('does not believe Content-Length', () => {
    const [one, two] = read(`${FROM}Content-Length: 100000\n\nshort\n\n${FROM}Subject: two\n\n`)
    assert.equal(text(one), '\nshort\n')
    assert.equal(text(two), 'Subject: two\n\n')
  })

  test('passes over what Thunderbird deleted and what Pine keeps about the folder', () => {
    assert.deepEqual(
      read(
        `${FROM}X-Mozilla-Status: 0009\n\ndeleted\n\n${FROM}Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\n\n${FROM}Subject: real\n\n\n`,
      ).map((item) => item.kind),
      ['void', 'void', 'message'],
    )
  })

  test('of nothing, blank lines, one line without end', () => {
    assert.deepEqual(read(''), [])
    assert.deepEqual(read('\n\r\n\n'), [])
    assert.deepEqual(
      read('From a@b Sat Feb  3 04:05:06 2024').map(({ kind }) => kind),
      ['void'],
    )
    assert.equal(text(read(`\n\n${FROM}a: b\n\nc`)[0]), 'a: b\n\nc')
    assert.equal(text(read(`\u00ef\u00bb\u00bf${FROM}a: b\n\nc`)[0]), 'a: b\n\nc')
  })

  test('without a From_ line is an error, however long it is', () => {
    for (const octets of [
      'Subject: x\n\ny\n',
      'x',
      'x'.repeat(5000),
      '\0'.repeat(5000),
      `\n${'>'.repeat(3000)}From `,
      '\r'.repeat(10_000),
    ])
      for (const size of [1, 7, 100_000]) assert.throws(() => read(octets, [size]), NoMbox)
  })

  test('keeps NULs, bare CRs and octets of every kind', () => {
    const octets = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('latin1')
    const [one] = read(`${FROM}a: b\n\n${octets}\rx\0\n\n`, [3])
    assert.equal(text(one), `a: b\n\n${octets}\rx\0\n`)
  })

  test('holds nothing of a message that is too large, be it one line of a gigabyte', () => {
    const reader = new MboxReader({ limit: LIMIT, quoting: 'mboxrd' })
    reader.push(Buffer.from(`${FROM}\n`))
    const piece = Buffer.alloc(1024 * 1024, 0x78)
    for (let i = 0; i < 1024; i++) assert.deepEqual(reader.push(piece), [])
    const before = process.memoryUsage().arrayBuffers
    assert.ok(before < 400 * 1024 * 1024, String(before))
    const items = [...reader.push(Buffer.from(`\n\n${FROM}a: b\n\nc\n`)), ...reader.end()]
    assert.equal(items[0]?.kind === 'too-large' && items[0].octets, 1024 ** 3 + 3)
    assert.equal(text(items[1]), 'a: b\n\nc\n')
  })

  test('is the same however the octets are cut', () => {
    const line = fc.oneof(
      fc.constantFrom(
        '',
        'From ',
        'From -',
        'From a@b Sat Feb  3 04:05:06 2024',
        '>From x',
        '>>From y',
        'From the start',
        'Subject: x',
        'Status: R',
        'Fro',
        '\r',
        '\0',
        'x'.repeat(1100),
        `From ${'y'.repeat(1000)}`,
      ),
      fc.string({ maxLength: 20 }).map((s) => s.replaceAll('\n', '')),
    )
    const mbox = fc
      .array(fc.tuple(line, fc.constantFrom('\n', '\r\n')), { maxLength: 30 })
      .map((lines) => FROM + lines.flat().join(''))
    fc.assert(
      fc.property(
        mbox,
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 10, max: 3000 }),
        (octets, sizes, limit) => {
          const whole = read(octets, [1_000_000], { limit })
          assert.deepEqual(shape(read(octets, sizes, { limit })), shape(whole))
          // Nothing is left out: each ends where the next begins.
          assert.equal(whole[0]?.offset, 0)
          for (const [i, item] of whole.entries())
            assert.equal(item.end, whole[i + 1]?.offset ?? Buffer.from(octets, 'latin1').length)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('an mbox that we write', () => {
  test('gives back messages, flags and dates', () => {
    const word = fc.constantFrom(
      'From x',
      '>From y',
      '>>From',
      'From a@b Sat Feb  3 04:05:06 2024',
      'Subject: z',
      '',
      'é\u0000',
      'a: b',
      ' folded',
    )
    const message = fc
      .tuple(
        fc.array(fc.constantFrom('Subject: a', 'X: y', ' more', 'From x'), { maxLength: 4 }),
        fc.array(word, { maxLength: 6 }),
      )
      .map(
        ([header, body]) =>
          `${['From: q', ...header].map((l) => `${l}\r\n`).join('')}\r\n${body.map((l) => `${l}\r\n`).join('')}`,
      )
    const flags = fc.uniqueArray(
      fc.constantFrom('\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft', '$Forwarded', 'work'),
    )
    fc.assert(
      fc.property(
        fc.array(fc.tuple(message, flags, fc.integer({ min: 0, max: 2 ** 31 })), { maxLength: 5 }),
        (messages) => {
          const mbox = Buffer.concat(
            messages.map(([bytes, given, seconds]) =>
              mboxEntry({ bytes: Buffer.from(bytes, 'latin1'), flags: given, internalDate: seconds * 1000 }),
            ),
          )
          const items = read(mbox, [64])
          assert.deepEqual(
            items.map((item) =>
              item.kind === 'message'
                ? [text(item).replaceAll('\n', '\r\n'), item.flags.toSorted(), item.from.date?.time]
                : item.kind,
            ),
            messages.map(([bytes, given, seconds]) => [bytes, given.toSorted(), seconds * 1000]),
          )
        },
      ),
      { numRuns: 300 },
    )
  })
})
