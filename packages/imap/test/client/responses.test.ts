// What a server says, as values.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, assert as check, constantFrom, property } from 'fast-check'
import { parseResponse } from '../../src/client/response/parse.ts'
import { ResponseReader } from '../../src/client/response/reader.ts'
import type { FetchResponse, ImapResponse } from '../../src/client/response/types.ts'

/** All responses in the octets, pushed in these pieces; quirks in `quirks`. */
function readAll(pieces: readonly Buffer[], quirks: string[] = [], utf8 = false): ImapResponse[] {
  const reader = new ResponseReader(100_000)
  const out: ImapResponse[] = []
  for (const piece of pieces) {
    reader.push(piece)
    for (let event = reader.next(); event !== undefined; event = reader.next()) {
      if (event.kind === 'literal') {
        if (event.size < 100_000) reader.keep()
        else reader.leaveOut()
      } else if (event.kind === 'response') {
        quirks.push(...event.quirks)
        out.push(parseResponse(event.segments, { utf8, note: (quirk) => quirks.push(quirk) }))
      } else break
    }
  }
  return out
}

/** One response that has nothing wrong with it. */
function read(text: string, utf8 = false): ImapResponse {
  const quirks: string[] = []
  const [one, ...more] = readAll([Buffer.from(`${text}\r\n`, 'latin1')], quirks, utf8)
  assert.ok(one !== undefined && more.length === 0)
  assert.deepEqual(quirks, [])
  return one
}

function message(text: string): FetchResponse['message'] {
  const response = read(`* 1 FETCH (${text})`)
  assert.ok(response.kind === 'fetch')
  return response.message
}

test('status responses and their codes', () => {
  const code = (text: string): unknown => {
    const response = read(`* OK [${text}] so it is`)
    assert.ok(response.kind === 'status' && response.text === 'so it is')
    return response.code
  }
  assert.deepEqual(code('UIDNEXT 4392'), { kind: 'number', name: 'UIDNEXT', text: '4392', number: 4392 })
  assert.deepEqual(code('HIGHESTMODSEQ 715194045007'), {
    kind: 'number',
    name: 'HIGHESTMODSEQ',
    text: '715194045007',
    number: 715194045007,
  })
  assert.deepEqual(code('PERMANENTFLAGS (\\Seen $a]b \\*)'), {
    kind: 'permanentflags',
    name: 'PERMANENTFLAGS',
    text: '(\\Seen $a]b \\*)',
    flags: ['\\Seen', '$a]b', '\\*'],
  })
  assert.deepEqual(code('copyuid 38505 304,319:320 3956:3958'), {
    kind: 'copyuid',
    name: 'COPYUID',
    text: '38505 304,319:320 3956:3958',
    uidValidity: 38505,
    from: [304, 319, 320],
    to: [3956, 3957, 3958],
  })
  assert.deepEqual(code('BADCHARSET ("a]b" UTF-8)'), { kind: 'plain', name: 'BADCHARSET', text: '("a]b" UTF-8)' })
  assert.deepEqual(read('A7 NO [MODIFIED 7,9] Conditional STORE failed'), {
    kind: 'status',
    tag: 'A7',
    status: 'NO',
    code: { kind: 'modified', name: 'MODIFIED', text: '7,9', numbers: [7, 9] },
    text: 'Conditional STORE failed',
  })
  assert.deepEqual(read('* 12 EXISTS'), { kind: 'exists', number: 12 })
  assert.deepEqual(read('* VANISHED (EARLIER) 41,43:116'), {
    kind: 'vanished',
    earlier: true,
    uids: [
      { from: 41, to: 41 },
      { from: 43, to: 116 },
    ],
  })
  assert.deepEqual(read('+ idling'), { kind: 'continue', text: 'idling' })
})

test('FETCH: envelope with a group, structure with a message inside, sections, extensions, Gmail', () => {
  const one = message(
    'UID 6 FLAGS (\\Seen $X) MODSEQ (624140003) RFC822.SIZE 4423 INTERNALDATE " 7-Feb-2026 22:43:04 -0800" ' +
      'EMAILID (M6d99) THREADID NIL PREVIEW {6}\r\nGr\xc3\xbc\xc3\x9f SAVEDATE NIL ' +
      'X-GM-MSGID 18446744073709551615 X-GM-LABELS (\\Inbox "Caf\xc3\xa9" work) ' +
      'ENVELOPE ("Wed, 17 Jul 2026" "=?utf-8?q?Gr=C3=BC=C3=9Fe?=" (("J \\"x\\"" NIL "j" "x.example")) NIL NIL ' +
      '((NIL NIL "friends" NIL)(NIL NIL "a" "b.example")(NIL NIL NIL NIL)(NIL NIL "c" "d.example")) NIL NIL NIL "<1@x>") ' +
      'BODY[HEADER.FIELDS ("Subject" From)]<0> {3}\r\na\r\n BODY[1]<5> "abc" BINARY.SIZE[2] 17 BINARY[2] ~{2}\r\n\0\x01 X-NEW (a (b "c"))',
  )
  assert.equal(one.uid, 6)
  assert.deepEqual(one.flags, ['\\Seen', '$X'])
  assert.equal(one.modseq, 624140003)
  assert.equal(one.size, 4423)
  assert.equal(one.internalDate, Date.UTC(2026, 1, 8, 6, 43, 4))
  assert.equal(one.emailId, 'M6d99')
  assert.equal(one.threadId, undefined)
  assert.equal(one.preview, 'Grüß')
  assert.deepEqual(one.gmail, { messageId: '18446744073709551615', labels: ['\\Inbox', 'Café', 'work'] })
  assert.equal(one.envelope?.subject, 'Grüße')
  assert.deepEqual(one.envelope?.from, [{ kind: 'mailbox', name: 'J "x"', address: 'j@x.example' }])
  assert.deepEqual(one.envelope?.to, [
    { kind: 'group', name: 'friends', members: [{ kind: 'mailbox', name: undefined, address: 'a@b.example' }] },
    { kind: 'mailbox', name: undefined, address: 'c@d.example' },
  ])
  assert.equal(one.envelope?.messageId, '<1@x>')
  assert.deepEqual([...one.sections.keys()], ['HEADER.FIELDS (SUBJECT FROM)', '1'])
  assert.equal(one.sections.get('1')?.toString(), 'abc')
  assert.equal(one.binarySizes.get('2'), 17)
  assert.deepEqual(one.binary.get('2'), Buffer.from([0, 1]))
  assert.ok(one.items.has('X-NEW'))
})

test('BODYSTRUCTURE: part numbers as they are fetched, parameters decoded', () => {
  const envelope = '(NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL)'
  const plain = '("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1152 23)'
  const one = message(
    `BODYSTRUCTURE (${plain}("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 99 ${envelope} ` +
      `(${plain}("TEXT" "HTML" NIL NIL NIL "8BIT" 9 1) "ALTERNATIVE") 30 NIL NIL NIL NIL)` +
      `("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 99 ${envelope} ${plain} 30)` +
      `("APPLICATION" "PDF" ("NAME*0" "long " "NAME*1" "name") "<id>" "d" "BASE64" 5 "md5" ` +
      `("ATTACHMENT" ("FILENAME*" "utf-8''%C3%A4.pdf")) ("de" "en") "http://x") "MIXED" ("BOUNDARY" "b") NIL "en")`,
  ).bodyStructure
  assert.ok(one !== undefined)
  assert.equal(one.type, 'multipart/mixed')
  assert.equal(one.section, '')
  assert.deepEqual(one.languages, ['en'])
  const [first, second, third, last] = one.children
  assert.deepEqual([first?.section, first?.lines, first?.size], ['1', 23, 1152])
  assert.deepEqual([second?.section, second?.lines, second?.envelope?.subject], ['2', 30, 'in'])
  assert.deepEqual(
    second?.children[0]?.children.map(({ section, type }) => [section, type]),
    [
      ['2.1', 'text/plain'],
      ['2.2', 'text/html'],
    ],
  )
  assert.equal(third?.children[0]?.section, '3.1')
  assert.equal(last?.parameters.get('name'), 'long name')
  assert.equal(last?.disposition?.parameters.get('filename'), 'ä.pdf')
  assert.deepEqual([last?.md5, last?.id, last?.encoding, last?.location], ['md5', '<id>', 'base64', 'http://x'])
  const alone = message(`BODYSTRUCTURE ${plain}`).bodyStructure
  assert.equal(alone?.section, '1')
})

test('LIST, STATUS, NAMESPACE, QUOTA, ID', () => {
  assert.deepEqual(
    read('* LIST (\\Subscribed \\NonExistent) "/" "Entw&APw-rfe" ("CHILDINFO" ("SUBSCRIBED") "OLDNAME" ("Alt"))'),
    {
      kind: 'list',
      command: 'LIST',
      attributes: ['\\Subscribed', '\\NonExistent'],
      delimiter: '/',
      name: 'Entwürfe',
      encoded: 'Entw&APw-rfe',
      childInfo: ['SUBSCRIBED'],
      oldName: 'Alt',
    },
  )
  const literal = read('* LIST () NIL {7}\r\na b "c"')
  assert.ok(literal.kind === 'list' && literal.name === 'a b "c"' && literal.delimiter === undefined)
  const utf8 = read('* LIST () "." "Entw\xc3\xbcrfe & so"', true)
  assert.ok(utf8.kind === 'list' && utf8.name === 'Entwürfe & so')
  const status = read(
    '* STATUS inbox (MESSAGES 231 UIDNEXT 44292 SIZE 9007199254740991 APPENDLIMIT NIL MAILBOXID (M1))',
  )
  assert.ok(status.kind === 'mailbox-status' && status.name === 'INBOX' && status.mailboxId === 'M1')
  assert.deepEqual(
    [...status.numbers],
    [
      ['MESSAGES', 231],
      ['UIDNEXT', 44292],
      ['SIZE', 9007199254740991],
    ],
  )
  assert.deepEqual(read('* NAMESPACE (("" "/")("#mh/" "/" "X-PARAM" ("a" "b"))) NIL (("Public/" "/"))'), {
    kind: 'namespace',
    personal: [
      { prefix: '', delimiter: '/' },
      { prefix: '#mh/', delimiter: '/' },
    ],
    others: [],
    shared: [{ prefix: 'Public/', delimiter: '/' }],
  })
  assert.deepEqual(read('* QUOTA "" (STORAGE 10 512 MESSAGE 1 99)'), {
    kind: 'quota',
    root: '',
    resources: [
      { name: 'STORAGE', usage: 10, limit: 512 },
      { name: 'MESSAGE', usage: 1, limit: 99 },
    ],
  })
  assert.deepEqual(read('* QUOTAROOT INBOX "" "a b"'), { kind: 'quota-root', name: 'INBOX', roots: ['', 'a b'] })
  const id = read('* ID ("name" "Cyrus" "vendor" NIL)')
  assert.ok(id.kind === 'id')
  assert.deepEqual(
    [...(id.fields ?? [])],
    [
      ['name', 'Cyrus'],
      ['vendor', undefined],
    ],
  )
})

test('SEARCH, ESEARCH, SORT, THREAD', () => {
  assert.deepEqual(read('* SEARCH 2 5 6 (MODSEQ 917162500)'), { kind: 'search', numbers: [2, 5, 6], modseq: 917162500 })
  assert.deepEqual(read('* SEARCH'), { kind: 'search', numbers: [], modseq: undefined })
  assert.deepEqual(read('* ESEARCH (TAG "A282") UID MIN 2 COUNT 3 ALL 2,10:11 PARTIAL (1:2 2,10)'), {
    kind: 'esearch',
    tag: 'A282',
    uid: true,
    all: [2, 10, 11],
    min: 2,
    max: undefined,
    count: 3,
    modseq: undefined,
    partial: { range: '1:2', numbers: [2, 10] },
  })
  // RFC 5256 §4
  const thread = read('* THREAD (2)(3 6 (4 23)(44 7 96))((11)(12))')
  const leaf = (number: number): unknown => ({ number, children: [] })
  assert.deepEqual(thread, {
    kind: 'thread',
    threads: [
      leaf(2),
      {
        number: 3,
        children: [
          {
            number: 6,
            children: [
              { number: 4, children: [leaf(23)] },
              { number: 44, children: [{ number: 7, children: [leaf(96)] }] },
            ],
          },
        ],
      },
      { number: undefined, children: [leaf(11), leaf(12)] },
    ],
  })
})

test('however the octets are cut, the responses are the same', () => {
  const octets = Buffer.from(
    '* OK [CAPABILITY IMAP4rev1] hi\r\n* 1 FETCH (UID 7 BODY[] {12}\r\nab\r\n* 9 EXIS FLAGS (\\Seen))\r\n' +
      '* LIST () "/" {3}\r\na\r\n\r\n* SEARCH 1 2\r\nA1 OK done {3}\r\n',
    'latin1',
  )
  const whole = readAll([octets])
  assert.equal(whole.length, 5)
  for (let cut = 1; cut < octets.length; cut++) {
    assert.deepEqual(readAll([octets.subarray(0, cut), octets.subarray(cut)]), whole)
  }
  assert.deepEqual(readAll(Array.from(octets, (octet) => Buffer.from([octet]))), whole)
})

test('no octets make it throw, or read for ever', () => {
  // Separated by what no response holds.
  const words =
    '* |1| FETCH |(|)| |"|UID|FLAGS|BODYSTRUCTURE|ENVELOPE|NIL|[|]|{3}\r\n|\r\n|BODY[|MODSEQ|\\Seen|LIST|STATUS|THREAD|ESEARCH|VANISHED|OK|COPYUID|:|*|-1|~|<0>|99999999999999999999|NAMESPACE|QUOTA|ID|SEARCH|+|A1|\0|\xff|\\|,'.split(
      '|',
    )
  check(
    property(array(constantFrom(...words), { maxLength: 60 }), (list) => {
      readAll([Buffer.from(`* ${list.join('')}\r\n`, 'latin1')])
    }),
    { numRuns: 5000 },
  )
  readAll([Buffer.from(`* 1 FETCH (BODYSTRUCTURE ${'('.repeat(90_000)}\r\n`)])
  readAll([Buffer.from(`* THREAD ${'('.repeat(45_000)}${')'.repeat(45_000)}\r\n`)])
  readAll([Buffer.from('* ESEARCH (TAG "a") ALL 1:4294967295\r\n')])
})
