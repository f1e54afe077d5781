import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { baseSubject, formatDate, Headers, messageIds, parseDate } from '../src/index.ts'

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const sample = Buffer.from(
  'Received: from a\r\n\tby b\r\nSubject:  Hello\r\n  world \r\nreceived : c\r\nX-Odd name: no field\r\nFrom: Zo\xc3\xab\r\nTo: \xe4\r\n\r\nBody: x\r\n',
  'latin1',
)

test('fields are found by name in any case, unfolded', () => {
  const headers = Headers.parse(sample)
  assert.equal(headers.get('SUBJECT'), 'Hello  world')
  assert.deepEqual(headers.all('Received'), ['from a\tby b', 'c'])
  assert.equal(headers.get('body'), undefined)
  assert.equal(headers.get(''), undefined)
  assert.equal(headers.has('X-Odd name'), false)
  assert.equal(headers.get('From'), 'Zoë')
  assert.equal(headers.get('To'), 'ä', 'octets that are not UTF-8 are read as Latin-1')
})

test('HEADER.FIELDS keeps the octets and the order, and ends with an empty line', () => {
  const headers = Headers.parse(sample)
  assert.equal(
    text(headers.filter(['subject', 'RECEIVED'])),
    'Received: from a\r\n\tby b\r\nSubject:  Hello\r\n  world \r\nreceived : c\r\n\r\n',
  )
  assert.equal(text(headers.filter(['subject', 'received', 'from', 'to'], true)), 'X-Odd name: no field\r\n\r\n')
  assert.equal(text(headers.filter(['none'])), '\r\n')
  assert.equal(text(Headers.parse(Buffer.from('A: 1')).filter(['a'])), 'A: 1\r\n\r\n')
})

test('neighbours that are picked are one piece, with names given in lower case', () => {
  const headers = Headers.parse(sample)
  const wanted = new Set(['subject', 'received', 'to'])
  assert.equal(text(headers.pick(wanted)), text(headers.filter(['Subject', 'Received', 'To'])))
  assert.equal(text(headers.pick(wanted, true)), 'X-Odd name: no field\r\nFrom: Zo\xc3\xab\r\n\r\n')
  assert.equal(text(headers.pick(new Set())), '\r\n')
})

test('addresses of the first field of a name', () => {
  const headers = Headers.parse(
    Buffer.from('To: Anna <anna@example.org>, b@example.org\r\nto: c@example.org\r\nCc:\r\n\r\n'),
  )
  assert.deepEqual(headers.addresses('TO'), [
    { kind: 'mailbox', name: 'Anna', local: 'anna', domain: 'example.org' },
    { kind: 'mailbox', local: 'b', domain: 'example.org' },
  ])
  assert.equal(headers.addresses('to'), headers.addresses('To'), 'read once')
  assert.deepEqual(headers.addresses('Cc'), [])
  assert.deepEqual(headers.addresses('From'), [])
})

test('a range of a larger message', () => {
  const start = sample.indexOf('Subject')
  const end = sample.indexOf('ived : c')
  const fields = [...Headers.parse(sample, start, end).fields()]
  assert.deepEqual(
    fields.map((field) => [field.name, field.start, field.end]),
    [
      ['Subject', start, end - 4],
      ['', end - 4, end],
    ],
  )
})

test('property: fields cover the header without a gap, and a filter for nothing takes everything', () => {
  const fragments = fc.array(fc.constantFrom('A', ':', ' ', '\t', '\r\n', '\n', '\r', 'b: c\r\n', '\xff', '\0'), {
    maxLength: 40,
  })
  fc.assert(
    fc.property(fragments, (pieces) => {
      const bytes = Buffer.from(pieces.join(''), 'latin1')
      const headers = Headers.parse(bytes)
      let at = 0
      for (const field of headers.fields()) {
        assert.equal(field.start, at)
        assert.ok(field.end > at && field.valueStart >= at && field.valueStart <= field.end)
        at = field.end
      }
      const all = text(headers.filter([], true))
      assert.ok(all.startsWith(text(bytes.subarray(0, at))) && all.endsWith('\r\n'))
    }),
    { numRuns: 1000 },
  )
})

const dates: [string, string, number][] = [
  ['Fri, 21 Nov 1997 09:55:06 -0600', '1997-11-21T15:55:06.000Z', -360],
  ['Tue, 1 Jul 2003 10:52:37 +0200', '2003-07-01T08:52:37.000Z', 120],
  ['Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)', '1969-02-14T03:02:00.000Z', -210],
  ['21 Nov 97 09:55:06 GMT', '1997-11-21T09:55:06.000Z', 0],
  ['Thu,\r\n      13\r\n Feb\r\n  1969\r\n 23:32\r\n -0330', '1969-02-14T03:02:00.000Z', -210],
  ['Fri, 21 Nov 1997 09(comment):   55  :  06 -0600', '1997-11-21T15:55:06.000Z', -360],
  ['1 Jan 00 00:00:00 EST', '2000-01-01T05:00:00.000Z', -300],
  ['1 Jan 099 00:00:00 Z', '1999-01-01T00:00:00.000Z', 0],
  ['29 Feb 2024 23:59:60 +0000', '2024-02-29T23:59:59.000Z', 0],
  ['Sunday, 22-Nov-2026 15:22:05 UTC', '2026-11-22T15:22:05.000Z', 0],
  ['Sun Nov 22 15:22:05 2026', '2026-11-22T15:22:05.000Z', 0],
  ['22 November 2026 15:22', '2026-11-22T15:22:00.000Z', 0],
]
for (const [written, iso, zone] of dates) {
  test(`date: ${JSON.stringify(written)}`, () => {
    const date = parseDate(written)
    assert.ok(date)
    assert.equal(new Date(date.time).toISOString(), iso)
    assert.equal(date.zoneMinutes, zone)
  })
}

test('a date keeps its written day', () => {
  const date = parseDate('Mon, 1 Jan 2024 00:30:00 +0100')
  assert.deepEqual([date?.year, date?.month, date?.day], [2024, 1, 1])
})

test('what is no date', () => {
  for (const bad of [
    '',
    'today',
    '30 Feb 2024 10:00 +0000',
    '1 Foo 2024 10:00 +0000',
    '1 Jan 2024 25:00 +0000',
    '1 Jan 2024 10:00 +9900',
    '(',
  ]) {
    assert.equal(parseDate(bad), undefined, bad)
  }
})

test('property: a formatted date is read back', () => {
  const time = fc.integer({ min: Date.UTC(1900, 0, 1) / 1000, max: Date.UTC(9999, 0, 1) / 1000 })
  fc.assert(
    fc.property(time, fc.integer({ min: -14 * 60, max: 14 * 60 }), (seconds, zone) => {
      const date = parseDate(formatDate(seconds * 1000, zone))
      assert.equal(date?.time, seconds * 1000)
      assert.equal(date?.zoneMinutes, zone)
    }),
  )
  fc.assert(fc.property(fc.string(), (any) => void parseDate(any)))
})

const subjects: [string, string][] = [
  ['Hello', 'Hello'],
  ['Re: Hello', 'Hello'],
  ['RE: re: Fwd: FW: Hello', 'Hello'],
  ['Re[4]: Hello', 'Hello'],
  ['re : Hello', 'Hello'],
  ['[list] Re: [list] Hello (fwd)', 'Hello'],
  ['Hello (fwd) (FWD) ', 'Hello'],
  ['[Fwd: Re: Hello]', 'Hello'],
  ['[only]', '[only]'],
  ['[a] [b]', '[b]'],
  ['Re:', ''],
  ['Reply: Hello', 'Reply: Hello'],
  ['=?utf-8?Q?Re:_Gr=C3=BC=C3=9Fe?=', 'Grüße'],
  ['Hello\r\n  world', 'Hello world'],
  ['', ''],
]
for (const [subject, base] of subjects) {
  test(`base subject of ${JSON.stringify(subject)}`, () => assert.equal(baseSubject(subject), base))
}

test('property: a base subject is its own base', () => {
  const pieces = fc.array(fc.constantFrom('re', 'fwd', ':', '[', ']', '(fwd)', ' ', 'x', '[fwd:', '=?'), {
    maxLength: 12,
  })
  fc.assert(
    fc.property(pieces, (words) => assert.equal(baseSubject(baseSubject(words.join(''))), baseSubject(words.join('')))),
    { numRuns: 2000 },
  )
})

test('message identifiers', () => {
  assert.deepEqual(messageIds('<a@b> <c@d>\r\n <e @f> junk <> <"q"@h> <"q r"@h>'), [
    'a@b',
    'c@d',
    'e@f',
    'q@h',
    '"q r"@h',
  ])
  assert.deepEqual(messageIds('broken <x <a@b> <'), ['a@b'])
  assert.equal(messageIds('<a@b>'.repeat(5000)).length, 1000)
})
