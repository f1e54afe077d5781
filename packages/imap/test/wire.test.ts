// The small words of the wire: tables, properties, hostile input.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { CommandReader, literalMark, type ReaderEvent } from '../src/wire/command-reader.ts'
import { formatDateTime, parseDateTime, parseDay } from '../src/wire/dates.ts'
import { astring, encodeString } from '../src/wire/encode.ts'
import { CommandError } from '../src/wire/errors.ts'
import { canonicalName, decodeMutf7, encodeMutf7, nameFault } from '../src/wire/mailbox-name.ts'
import { formatNumbers, parseNumberSet, spansOfSequence, spansOfUids } from '../src/wire/number-set.ts'
import { Parser } from '../src/wire/parser.ts'
import { commands } from '../src/commands/index.ts'
import { matchesPattern } from '../src/server/list-pattern.ts'

const LIMITS = { line: 8192, skip: 65536 }
const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1')

/** Every event of the octets given in these chunks; literals up to `keep` octets are kept. */
function read(chunks: readonly Uint8Array[], keep = 1000): unknown[] {
  const reader = new CommandReader(LIMITS)
  const out: unknown[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let event: ReaderEvent | undefined; (event = reader.next()) !== undefined;) {
      if (event.kind === 'literal') {
        if (event.size <= keep) reader.accept()
        else reader.refuse({ status: 'NO', code: undefined, message: 'no' })
      } else if (event.kind === 'command') {
        out.push(
          event.segments.map((segment) =>
            segment instanceof Uint8Array
              ? Buffer.from(segment).toString('latin1')
              : [Buffer.from(segment.octets).toString('latin1')],
          ),
        )
      } else if (event.kind === 'refused') {
        out.push(`refused ${Buffer.from(event.start).toString('latin1')}`)
      } else {
        out.push(event.kind)
      }
    }
  }
  return out
}

describe('command reader', () => {
  test('lines and literals', () => {
    assert.deepEqual(read([latin1('a NOOP\r\nb NOOP\n')]), [['a NOOP'], ['b NOOP']])
    assert.deepEqual(read([latin1('a LOGIN {3}\r\nabc {2+}\r\nde\r\n')]), [['a LOGIN ', ['abc'], ' ', ['de'], '']])
    assert.deepEqual(read([latin1('a X {0}\r\n\r\nb\r\n')]), [['a X ', [''], ''], ['b']])
    assert.deepEqual(read([latin1('a X ~{4+}\r\na\r\nb\r\n')]), [['a X ', ['a\r\nb'], '']])
    assert.deepEqual(read([latin1('a X {}\r\nb {x}\r\n{5\r\n')]), [['a X {}'], ['b {x}'], ['{5']])
  })

  test('refused literals are passed over with the rest of their command', () => {
    assert.deepEqual(read([latin1('a X {5+}\r\nb\r\nc\r tail {2+}\r\nzz end\r\nd\r\n')], 4), ['refused a X ', ['d']])
    assert.deepEqual(read([latin1('a X {5}\r\nb\r\n')], 4), ['refused a X ', ['b']])
    assert.deepEqual(read([latin1('a X {99999999999999999999+}\r\nb\r\n')], 4), ['fatal'])
  })

  test('a line that is too long is passed over, its literal too', () => {
    assert.deepEqual(
      read([latin1(`a ${'x'.repeat(9000)}\r\nb\r\n`)]).map((event) => String(event).slice(0, 11)),
      ['refused a x', 'b'],
    )
    assert.deepEqual(
      read([latin1(`a ${'x'.repeat(9000)} {4+}\r\nc\r\nd\r\nb\r\n`)]).map((event) => String(event).slice(0, 11)),
      ['refused a x', 'b'],
    )
  })

  test('any octets, cut anywhere, give the same events', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        'a NOOP\r\n',
        '\r\n',
        '{3+}\r\n',
        '{3}\r\n',
        '{2000+}\r\n',
        '~{1+}\r\n',
        'abc',
        '"',
        '\n',
        '\r',
        ' ',
        '}',
        `${'y'.repeat(8200)}`,
      ),
      fc.string({ maxLength: 12 }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.nat(400), { maxLength: 12 }), (pieces, cuts) => {
        const bytes = latin1(pieces.join(''))
        const whole = read([bytes])
        const chunks: Uint8Array[] = []
        let at = 0
        for (const cut of cuts) chunks.push(bytes.subarray(at, (at += cut)))
        chunks.push(bytes.subarray(at))
        assert.deepEqual(read(chunks), whole)
        if (bytes.length < 500) assert.deepEqual(read([...bytes].map((byte) => Uint8Array.of(byte))), whole)
      }),
      { numRuns: 300 },
    )
  })

  test('the mark of a literal', () => {
    for (const [line, size] of [
      ['x {12}', 12],
      ['{0}', 0],
      ['x ~{7+}', 7],
      ['x{5+}', 5],
      ['x {-1}', undefined],
      ['x {1 }', undefined],
      ['}', undefined],
      ['x {+}', undefined],
    ] as const) {
      assert.equal(literalMark(latin1(line))?.size, size, line)
    }
  })
})

describe('parser', () => {
  test('no command line makes it throw anything but CommandError', () => {
    const names = [...commands.keys()]
    const word = fc.constantFrom(
      '(',
      ')',
      '"',
      ' ',
      '*',
      '1:*',
      'BODY[',
      ']',
      '<0.1>',
      'HEADER.FIELDS',
      '\\Seen',
      'NIL',
      'NOT',
      'OR',
      'RETURN',
      'UID',
      '1',
      ',',
      '{',
      '%',
      '&',
      'FLAGS',
      'CHARSET',
      '"x"',
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.array(fc.oneof(word, fc.string({ maxLength: 5 })), { maxLength: 20 }),
        fc.boolean(),
        (name, words, literal) => {
          const line = latin1(words.join(''))
          const parser = new Parser(
            literal ? [line, { octets: latin1('abc'), binary: false }, latin1(words.join(' '))] : [line],
          )
          try {
            commands.get(name)?.prepare(parser)
          } catch (error) {
            assert.ok(error instanceof CommandError, String(error))
          }
        },
      ),
      { numRuns: 3000 },
    )
  })

  test('quoted strings', () => {
    const parse = (text: string): string => Buffer.from(new Parser([latin1(text)]).string()).toString('latin1')
    assert.equal(parse('"a b"'), 'a b')
    assert.equal(parse('"a \\" \\\\ b"'), 'a " \\ b')
    for (const wrong of ['"a', '"a\\x"', '"a\\', '"\xe4"', 'a', '"\0"'])
      assert.throws(() => parse(wrong), CommandError, wrong)
  })

  test('what is encoded as a string is read back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (octets) => {
        const [event] = read([latin1('a '), encodeString(octets), latin1('\r\n')], 100) as [(string | [string])[]]
        const expected = Buffer.from(octets).toString('latin1')
        if (event.length > 1) assert.deepEqual(event[1], [expected])
        else
          assert.equal(
            Buffer.from(new Parser([latin1((event[0] as string).slice(2))]).string()).toString('latin1'),
            expected,
          )
      }),
    )
    assert.deepEqual(['a/b', 'NIL', 'a b', 'x"y', '', 'a%', '&APw-'].map(astring), [
      'a/b',
      '"NIL"',
      '"a b"',
      '"x\\"y"',
      '""',
      '"a%"',
      '&APw-',
    ])
  })
})

describe('mailbox names', () => {
  test('modified UTF-7', () => {
    for (const [name, wire] of [
      ['Entwürfe', 'Entw&APw-rfe'],
      ['a & b', 'a &- b'],
      ['~peter/mail/台北/日本語', '~peter/mail/&U,BTFw-/&ZeVnLIqe-'],
      ['☺!', '&Jjo-!'],
      ['😀', '&2D3eAA-'],
    ] as const) {
      assert.equal(encodeMutf7(name), wire)
      assert.equal(decodeMutf7(wire), name)
    }
    for (const wrong of ['&', '&Jjo', '&Jjo!', '&U,BTFw-&ZeVnLIqe-', '&AGE-', '&2D0-', '&APx-', '&AA-', 'ü', '&Jj o-'])
      assert.equal(decodeMutf7(wrong), undefined, wrong)
  })

  test('every name survives the wire', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (name) => {
        assert.equal(decodeMutf7(encodeMutf7(name)), name)
        assert.match(encodeMutf7(name), /^[\x20-\x7e]*$/)
      }),
    )
  })

  test('INBOX has one spelling; impossible names have a reason', () => {
    assert.deepEqual(['inbox', 'InBox/a', 'inboxes', 'a/inbox'].map(canonicalName), [
      'INBOX',
      'INBOX/a',
      'inboxes',
      'a/inbox',
    ])
    for (const name of ['', 'a//b', '/a', 'a/', 'a*', '%', 'a\u0007', 'x'.repeat(1001)])
      assert.ok(nameFault(name) !== undefined, name)
    assert.equal(nameFault('Ärger/über & so'), undefined)
  })

  test('patterns', () => {
    for (const [pattern, name, result] of [
      ['*', 'a/b', true],
      ['%', 'a/b', false],
      ['%/%', 'a/b', true],
      ['a*', 'a', true],
      ['*b', 'a/b', true],
      ['a%b', 'a/b', false],
      ['inbox', 'INBOX', true],
      ['INBOX/%', 'INBOX/x', true],
      ['x', 'X', false],
      ['', '', true],
      ['*%*', 'abc', true],
    ] as const) {
      assert.equal(matchesPattern(pattern, name), result, `${pattern} ${name}`)
    }
    assert.equal(matchesPattern('*a'.repeat(20), `${'a'.repeat(900)}b`), false)
  })
})

describe('number sets and dates', () => {
  test('sets', () => {
    assert.deepEqual(parseNumberSet('1,3:5,*:2'), [
      { from: 1, to: 1 },
      { from: 3, to: 5 },
      { from: 0, to: 2 },
    ])
    for (const wrong of ['', '0', '1:', ',1', '1,,2', '01', '4294967296', '1:2:3', '-1', 'a'])
      assert.equal(parseNumberSet(wrong), undefined, wrong)
    assert.equal(formatNumbers([1, 2, 3, 5, 7, 8]), '1:3,5,7:8')
    assert.deepEqual(spansOfUids([{ from: 99, to: 0 }], [3, 5, 9]), [{ start: 2, end: 3 }])
    assert.deepEqual(
      spansOfUids(
        [
          { from: 4, to: 5 },
          { from: 3, to: 3 },
        ],
        [3, 5, 9],
      ),
      [{ start: 0, end: 2 }],
    )
    assert.deepEqual(spansOfUids([{ from: 1, to: 0 }], []), [])
    assert.deepEqual(spansOfSequence([{ from: 0, to: 2 }], 3), { spans: [{ start: 1, end: 3 }], beyond: false })
    assert.equal(spansOfSequence([{ from: 4, to: 4 }], 3).beyond, true)
  })

  test('a formatted set names exactly its numbers', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 60 })), (numbers) => {
        const sorted = numbers.sort((a, b) => a - b)
        if (sorted.length === 0) return
        const all = Array.from({ length: 60 }, (_, i) => i + 1)
        const spans = spansOfUids(parseNumberSet(formatNumbers(sorted)) ?? [], all)
        assert.deepEqual(
          spans.flatMap(({ start, end }) => all.slice(start, end)),
          sorted,
        )
      }),
    )
  })

  test('dates', () => {
    assert.equal(parseDay('1-Feb-2026'), Date.UTC(2026, 1, 1) / 86_400_000)
    for (const wrong of ['31-Feb-2026', '1-Foo-2026', '1-Feb-26', '', '2026-02-01'])
      assert.equal(parseDay(wrong), undefined, wrong)
    assert.deepEqual(parseDateTime('01-Feb-2026 10:20:30 +0130'), { time: Date.UTC(2026, 1, 1, 8, 50, 30), zone: 90 })
    assert.deepEqual(parseDateTime(' 1-Feb-2026 10:20:30 -0100'), { time: Date.UTC(2026, 1, 1, 11, 20, 30), zone: -60 })
    for (const wrong of ['1-Feb-2026 10:20:30 +0000', '01-Feb-2026 24:00:00 +0000', '01-Feb-2026 10:20:30'])
      assert.equal(parseDateTime(wrong), undefined, wrong)
    assert.equal(formatDateTime(Date.UTC(2026, 1, 1, 8, 50, 30), 0), ' 1-Feb-2026 08:50:30 +0000')
    assert.equal(formatDateTime(Date.UTC(2026, 1, 1, 23, 50, 30), 90), ' 2-Feb-2026 01:20:30 +0130')
    assert.equal(formatDateTime(Date.UTC(2026, 1, 1, 0, 10, 0), -210), '31-Jan-2026 20:40:00 -0330')
    for (const text of ['31-Dec-2025 23:59:59 -1145', ' 1-Jan-2026 00:00:00 +1400', '29-Feb-2024 12:00:00 +0530']) {
      const date = parseDateTime(text)
      assert.equal(formatDateTime(date?.time ?? 0, date?.zone ?? 0), text)
    }
  })
})
