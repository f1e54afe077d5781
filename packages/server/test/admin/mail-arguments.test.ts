// What people type, and what they are shown while they wait.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { flagOf, momentOf, printable, sizeOf, uidOf } from '../../src/admin/arguments.ts'
import { progressText, sizeText } from '../../src/admin/progress.ts'
import { UsageError } from '../../src/admin/terminal.ts'
import {
  byArrival,
  flagsOfLetters,
  lettersOfFlags,
  parseKeywordsFile,
  parseMaildirName,
} from '../../src/mail/transfer/maildir-names.ts'

describe('arguments', () => {
  test('dates with and without zone', () => {
    const time = Date.UTC(2026, 1, 3)
    assert.deepEqual(momentOf('2026-02-03'), { time, zone: 0 })
    assert.deepEqual(momentOf('2026-02-03T01:30:00+01:30'), { time, zone: 90 })
    assert.deepEqual(momentOf('2026-02-02 22:00-0200'), { time, zone: -120 })
    assert.deepEqual(momentOf('Tue, 3 Feb 2026 01:00:00 +0100'), { time, zone: 60 })
    for (const text of ['', 'yesterday', '2026-13-01', '2026-02-03T25:00:00'])
      assert.throws(() => momentOf(text), UsageError)
  })

  test('flags, sizes, UIDs', () => {
    assert.deepEqual(['seen', '\\SEEN', 'Work', '$Label1'].map(flagOf), ['\\Seen', '\\Seen', 'Work', '$Label1'])
    assert.throws(() => flagOf('\\Sene'), /there are \\Answered/)
    assert.deepEqual(['5000', '64KiB', '10MB'].map(sizeOf), [5000, 65536, 10_000_000])
    assert.throws(() => sizeOf('big'), UsageError)
    for (const text of ['0', '-1', '1:2', '', '1e3']) assert.throws(() => uidOf(text), UsageError)
  })

  test('nothing of a mail moves the cursor', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.ok(!/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/.test(printable(text)))
      }),
    )
  })
})

describe('progress', () => {
  test('tells how far, how fast and how long', () => {
    assert.equal(
      progressText({ messages: 3000, octets: 30 * 1024 * 1024, done: 0.25 }, 10),
      '[######..................] 25 %  3000 messages, 30 MiB, 300/s, 00:30 left',
    )
    assert.doesNotMatch(progressText({ messages: 0, octets: 0, done: 0 }, 0), /left|NaN|Infinity/)
    assert.match(progressText({ messages: 1, octets: 1, done: 0.01 }, 100), /2:45:00 left$/)
    assert.deepEqual([0, 1023, 1024, 5e6, 2 ** 45].map(sizeText), ['0 B', '1023 B', '1.0 KiB', '4.8 MiB', '32 TiB'])
  })
})

describe('names in a Maildir', () => {
  test('say flags, keywords and sizes', () => {
    assert.deepEqual(parseMaildirName('1.M2P3.host,S=10,W=12:2,FSab'), {
      base: '1.M2P3.host,S=10,W=12',
      letters: 'FSab',
      size: 10,
    })
    assert.deepEqual(parseMaildirName('1.host;2,S').letters, 'S')
    assert.deepEqual(parseMaildirName('1.host:1,x'), { base: '1.host:1,x', letters: '', size: undefined })
    assert.deepEqual(flagsOfLetters('STZa9z', ['work']), ['\\Seen', '\\Deleted', 'work'])
    assert.deepEqual(
      parseKeywordsFile('0 a\n1 b c\n2 d"e\n25 z\n26 no\nx\n'),
      Object.assign(Array<string | undefined>(26), { 0: 'a', 2: 'd_e', 25: 'z' }),
    )
  })

  test('take letters and give them back', () => {
    const keywords = ['work', '$Label1', '$Forwarded']
    const flag = fc.constantFrom('\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft', ...keywords)
    fc.assert(
      fc.property(fc.uniqueArray(flag), (flags) => {
        const letters = lettersOfFlags(flags, (keyword) => keywords.indexOf(keyword))
        assert.deepEqual(flagsOfLetters(letters, keywords).sort(), flags.toSorted())
        assert.equal(letters, [...letters].sort().join(''))
      }),
    )
  })

  test('tell the order of arrival', () => {
    const names = ['9.M1P1.h', '10.M20P1.h', '10.M3P9.h', 'zzz', '10.M3P1.h', '1700000000.V1.h']
    assert.deepEqual(names.sort(byArrival), [
      'zzz',
      '9.M1P1.h',
      '10.M3P1.h',
      '10.M3P9.h',
      '10.M20P1.h',
      '1700000000.V1.h',
    ])
  })
})
