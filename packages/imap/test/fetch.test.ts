// FETCH of content: sections, ENVELOPE, BODYSTRUCTURE. Numbers in titles are cases of spec/imap.md §5.4.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { renderMessage } from '../src/index.ts'
import { fill, type Wire, world } from './harness.ts'
import type { TestContext } from 'node:test'

const crlf = (text: string): Buffer => Buffer.from(text.replaceAll('\n', '\r\n'))

async function opened(t: TestContext, ...messages: string[]): Promise<Wire> {
  const { mail, wire } = await world(t)
  for (const message of messages) await mail.open().append('INBOX', [{ bytes: crlf(message), flags: ['\\Seen'] }])
  const c = await wire()
  await c.login()
  await c.ask('s EXAMINE INBOX')
  return c
}

/** The value of the one item fetched. */
async function item(c: Wire, what: string): Promise<string> {
  const said = await c.ask(`f FETCH 1 ${what}`)
  const match = /^\* 1 FETCH \((.*)\)\r\nf OK FETCH completed\r\n$/s.exec(said)
  return match?.[1] ?? said
}

const PLAIN = 'Subject: plain\nX-A: 1\nX-B: 2\nX-A: 3\n\nline one\nline two\n'

test('33: a message that is no multipart is its own part 1', async (t) => {
  const c = await opened(t, PLAIN)
  assert.equal(await item(c, 'BODY[1]'), 'BODY[1] {20}\r\nline one\r\nline two\r\n')
  assert.equal(await item(c, 'BODY[TEXT]'), 'BODY[TEXT] {20}\r\nline one\r\nline two\r\n')
  assert.match(await item(c, 'BODY[1.MIME]'), /^BODY\[1.MIME\] \{\d+\}\r\nSubject: plain\r\n/)
  assert.equal(await item(c, 'BODY[2]'), 'BODY[2] NIL')
  assert.equal(await item(c, 'BODY[1.1]'), 'BODY[1.1] NIL')
  assert.match(await item(c, 'BODY[HEADER]'), /^BODY\[HEADER\] \{42\}\r\nSubject: plain\r\n.*\r\n\r\n$/s)
  assert.match(await item(c, 'RFC822.HEADER'), /^RFC822.HEADER \{42\}/)
  assert.match(await item(c, 'RFC822.TEXT'), /^RFC822.TEXT \{20\}/)
  assert.match(await item(c, 'RFC822'), /^RFC822 \{62\}/)
  assert.match(
    await item(c, 'FULL'),
    /^FLAGS \(\\Seen \\Recent\) INTERNALDATE ".*" RFC822.SIZE 62 ENVELOPE \(.*\) BODY \(.*\)$/,
  )
})

test('39: HEADER.FIELDS keeps order, doubles and octets', async (t) => {
  const c = await opened(t, PLAIN)
  assert.equal(
    await item(c, 'BODY.PEEK[HEADER.FIELDS (x-a Subject)]'),
    'BODY[HEADER.FIELDS (x-a Subject)] {34}\r\nSubject: plain\r\nX-A: 1\r\nX-A: 3\r\n\r\n',
  )
  assert.equal(await item(c, 'BODY[HEADER.FIELDS ("None")]'), 'BODY[HEADER.FIELDS (None)] {2}\r\n\r\n')
  assert.equal(
    await item(c, 'BODY[HEADER.FIELDS.NOT (X-A X-B)]'),
    'BODY[HEADER.FIELDS.NOT (X-A X-B)] {18}\r\nSubject: plain\r\n\r\n',
  )
  assert.match(await c.ask('g FETCH 1 BODY[HEADER.FIELDS ()]'), /^g BAD/)
  assert.match(await c.ask('g FETCH 1 BODY[MIME]'), /^g BAD/)
  assert.match(await c.ask('g FETCH 1 BODY[0]'), /^g BAD/)
})

test('35: partials', async (t) => {
  const c = await opened(t, PLAIN)
  assert.equal(await item(c, 'BODY[]<9.5>'), 'BODY[]<9> {5}\r\nplain')
  assert.equal(await item(c, 'BODY[TEXT]<0.0>'), 'BODY[TEXT]<0> {0}\r\n')
  assert.equal(await item(c, 'BODY[1]<999999.10>'), 'BODY[1]<999999> {0}\r\n')
  assert.equal(await item(c, 'BODY[]<4294967296.1>'), 'BODY[]<4294967296> {0}\r\n')
  assert.equal(await item(c, 'BODY[HEADER.FIELDS (Subject)]<0.7>'), 'BODY[HEADER.FIELDS (Subject)]<0> {7}\r\nSubject')
})

const NESTED = `From: a@x
Subject: outer
Content-Type: multipart/mixed; boundary=out

preamble
--out

first
--out
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/alternative; boundary=in

--in
X-Part: 2.1

inner text
--in
Content-Type: message/rfc822

Subject: innermost

deep
--in--
--out--
`

test('34: messages inside messages', async (t) => {
  const c = await opened(t, NESTED)
  const section = async (name: string): Promise<string> =>
    (await item(c, `BODY[${name}]`)).replace(/^BODY\[[^\]]*\] (\{\d+\}\r\n)?/, '')
  assert.equal(await section('1'), 'first')
  assert.equal(await section('1.MIME'), '\r\n')
  assert.equal(await section('2.MIME'), 'Content-Type: message/rfc822\r\n\r\n')
  assert.equal(await section('2.HEADER'), 'Subject: inner\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n')
  assert.match(await section('2.TEXT'), /^--in\r\nX-Part.*--in--$/s)
  assert.match(await item(c, 'BODY[2]'), /^BODY\[2\] \{173\}/)
  assert.equal(await section('2.1'), 'inner text')
  assert.equal(await section('2.1.MIME'), 'X-Part: 2.1\r\n\r\n')
  assert.equal(await section('2.2.HEADER.FIELDS (Subject)'), 'Subject: innermost\r\n\r\n')
  assert.equal(await section('2.2.TEXT'), 'deep')
  assert.equal(await section('2.2.1'), 'deep')
  assert.equal(await section('2.2.1.MIME'), 'Subject: innermost\r\n\r\n')
  assert.equal(await section('1.HEADER'), 'NIL')
  assert.equal(await section('3'), 'NIL')
  assert.equal(
    await item(c, 'BODY'),
    'BODY (("TEXT" "PLAIN" ("charset" "us-ascii") NIL NIL "7BIT" 5 0)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 173 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ' +
      '(("TEXT" "PLAIN" ("charset" "us-ascii") NIL NIL "7BIT" 10 0)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 26 (NIL "innermost" NIL NIL NIL NIL NIL NIL NIL NIL) ' +
      '("TEXT" "PLAIN" ("charset" "us-ascii") NIL NIL "7BIT" 4 0) 2) "ALTERNATIVE") 13) "MIXED")',
  )
})

const envelope = (header: string): string => Buffer.from(renderMessage(crlf(`${header}\n\nx\n`)).envelope).toString()

test('36: ENVELOPE', () => {
  assert.equal(envelope('X: y'), '(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)')
  assert.equal(
    envelope(
      'Date: Mon, 2 Feb 2026 10:00:00 +0100\nSubject:\nFrom: "Anna \\"A\\" B" <anna@x.example>\nTo: Friends: bob@y.example, c@z.example;, Nobody:;\nIn-Reply-To: <0@x>\nMessage-ID: <1@x>',
    ),
    '("Mon, 2 Feb 2026 10:00:00 +0100" "" (("Anna \\"A\\" B" NIL "anna" "x.example")) (("Anna \\"A\\" B" NIL "anna" "x.example")) (("Anna \\"A\\" B" NIL "anna" "x.example")) ' +
      '((NIL NIL "Friends" NIL)(NIL NIL "bob" "y.example")(NIL NIL "c" "z.example")(NIL NIL NIL NIL)(NIL NIL "Nobody" NIL)(NIL NIL NIL NIL)) NIL NIL "<0@x>" "<1@x>")',
  )
  assert.match(envelope('Subject: one\nSubject: two'), /^\(NIL "one" /)
  assert.match(envelope('Subject: folded\n here'), /"folded here"/)
  assert.match(envelope('Subject: Grüße'), / \{7\}\r\nGrüße /)
  assert.match(envelope('Subject: =?utf-8?q?x?='), / "=\?utf-8\?q\?x\?=" /)
  assert.match(envelope('From: <@route.example:a@b.example>'), /\(NIL "@route.example" "a" "b.example"\)/)
  assert.match(
    envelope('From: a@b (Comment)\nSender: s@t'),
    /\(\("Comment" NIL "a" "b"\)\) \(\(NIL NIL "s" "t"\)\) \(\("Comment"/,
  )
})

test('36: ENVELOPE of a field with more addresses than a call takes arguments', () => {
  const many = 50_000
  const list = Array.from({ length: many }, (_, i) => `a${i}@x.example`).join(', ')
  const rendered = envelope(`From: ${list}\nTo: Friends: ${list};`)
  assert.ok(rendered.startsWith('(NIL NIL ((NIL NIL "a0" "x.example")(NIL NIL "a1" "x.example")'))
  // From stands for Sender and Reply-To, too; a group opens and closes with an address that is none, and the first two NILs are Date and Subject.
  assert.equal(rendered.split('(NIL NIL ').length - 1, 4 * many + 3)
})

test('37: BODYSTRUCTURE', () => {
  const structure = (message: string): string => Buffer.from(renderMessage(crlf(message)).bodyStructure).toString()
  assert.equal(
    structure('Subject: x\n\na\nb\n'),
    '("TEXT" "PLAIN" ("charset" "us-ascii") NIL NIL "7BIT" 6 2 NIL NIL NIL NIL)',
  )
  assert.equal(
    structure(
      'Content-Type: application/pdf; name="a b.pdf"\nContent-Disposition: attachment\nContent-Transfer-Encoding: base64\nContent-ID: <i>\nContent-Description: d\nContent-Language: de, en\n\nQUJD\n',
    ),
    '("APPLICATION" "PDF" ("name" "a b.pdf") "<i>" "d" "BASE64" 6 NIL ("attachment" NIL) ("de" "en") NIL)',
  )
  assert.equal(
    structure('Content-Type: multipart/mixed; boundary=b\n\nnothing\n'),
    '(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 NIL NIL NIL NIL) "MIXED" ("boundary" "b") NIL NIL NIL)',
  )
  assert.match(
    structure("Content-Type: text/plain; name*0*=utf-8''%C3%A4; name*1=b\n\n"),
    /\("name\*" "utf-8''%C3%A4b"\)/,
  )
})

/** Reads one value of the grammar of responses; answers where it ends. */
function value(text: string, at: number): number {
  if (text[at] === '(') {
    at++
    while (text[at] !== ')') {
      at = value(text, at)
      if (text[at] === ' ') at++
      else assert.ok(text[at] === ')' || text[at] === '(', `at ${at} of ${text}`)
    }
    return at + 1
  }
  if (text[at] === '"') {
    for (at++; text[at] !== '"'; at++) {
      assert.ok(at < text.length && text.charCodeAt(at) < 0x80 && !'\r\n\0'.includes(text[at] ?? ''))
      if (text[at] === '\\') at++
    }
    return at + 1
  }
  const literal = /^\{(\d+)\}\r\n/.exec(text.slice(at, at + 20))
  if (literal !== null) return at + literal[0].length + Number(literal[1])
  const word = /^(NIL|\d+)/.exec(text.slice(at, at + 20))
  assert.ok(word !== null, `at ${at} of ${text}`)
  return at + word[0].length
}

test('whatever the message, ENVELOPE and BODYSTRUCTURE are grammatical', () => {
  const piece = fc.constantFrom(
    'From: ',
    'To: ',
    'Subject: ',
    'Content-Type: ',
    'multipart/mixed; boundary=b',
    'message/rfc822',
    'text/html',
    '; name=',
    '"',
    '(',
    ')',
    '<',
    '>',
    '@',
    ',',
    ':',
    ';',
    '\\',
    '\r\n',
    '\r\n\r\n',
    '--b',
    '--b--',
    'x',
    ' ',
    'ä',
    '\xff',
    '\0',
    '=?utf-8?q?=C3?=',
    'Content-Disposition: ',
    'Content-Language: ',
    'Content-Transfer-Encoding: ',
    '\r',
    '\n',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const { envelope, body, bodyStructure } = renderMessage(
        Buffer.from(pieces.join(''), pieces.length % 2 === 0 ? 'latin1' : 'utf8'),
      )
      for (const rendered of [envelope, body, bodyStructure]) {
        const text = Buffer.from(rendered).toString('latin1')
        assert.equal(value(text, 0), text.length)
      }
    }),
    { numRuns: 1500 },
  )
})

test('a message that another session expunges for good ends in NO, with the others answered', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 2)
  const account = mail.open()
  const box = await account.open('INBOX')
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  box.raw = async () => undefined
  assert.match(await c.ask('b FETCH 1:2 BODY.PEEK[1]'), /^b NO \[EXPUNGEISSUED\]/)
})

test('10 000 messages come in few large pieces, at the pace of the reader', async (t) => {
  const { mail, connect } = await world(t)
  await fill(mail, 10_000)
  const socket = await connect()
  const chunks: number[] = []
  let text = ''
  socket.write(
    'a LOGIN anna secret\r\nb SELECT INBOX\r\nc FETCH 1:* (UID FLAGS RFC822.SIZE)\r\nd FETCH 1:10000 (UID ENVELOPE)\r\ne LOGOUT\r\n',
  )
  for await (const chunk of socket) {
    chunks.push((chunk as Buffer).length)
    text += (chunk as Buffer).toString('latin1')
  }
  assert.equal(text.match(/^\* \d+ FETCH \(UID \d+ FLAGS/gm)?.length, 10_000)
  assert.equal(text.match(/^\* \d+ FETCH \(UID \d+ ENVELOPE/gm)?.length, 10_000)
  assert.ok(chunks.length < 200, `${chunks.length} chunks`)
})

test('a long message is streamed in pieces and arrives whole', async (t) => {
  const { mail, user } = await world(t, { appendLimit: 4_000_000 })
  const body = Buffer.alloc(2_600_000)
  for (let i = 0; i < body.length; i++) body[i] = i % 80 === 78 ? 13 : i % 80 === 79 ? 10 : 33 + ((i * 31) % 90)
  const bytes = Buffer.concat([Buffer.from('Subject: long\r\n\r\n'), body])
  await mail.open().append('INBOX', [{ bytes, flags: [] }])
  const c = await user()
  await c.select('INBOX')
  const [whole] = await c.fetch('1', '(BODY.PEEK[] FLAGS BODY.PEEK[1] BODY.PEEK[TEXT]<1000000.1500000>)')
  assert.equal(whole?.text.replaceAll('\0', '#'), '1 FETCH (BODY[] # FLAGS (\\Recent) BODY[1] # BODY[TEXT]<1000000> #)')
  assert.ok(whole?.literals[0]?.equals(bytes))
  assert.ok(whole.literals[1]?.equals(body))
  assert.ok(whole.literals[2]?.equals(body.subarray(1_000_000, 2_500_000)))
  const big = Buffer.concat([bytes, body.subarray(0, 1_000_000)])
  assert.match((await c.append('INBOX', big)).code ?? '', /^APPENDUID/)
  const [again] = await c.fetch('2', 'BODY.PEEK[]')
  assert.ok(again?.literals[0]?.equals(big))
})

test('thousands of responses, more than a socket takes at a time, arrive as they were written, to a slow reader too', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 3000)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  for (const tag of ['b', 'c', 'd']) {
    const answer = c.ask(`${tag} UID FETCH 1:* (UID ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER])`)
    c.socket.pause()
    // The server fills what the connection takes, and waits.
    await new Promise((resolve) => setImmediate(resolve))
    c.socket.resume()
    const found = [
      ...(await answer).matchAll(
        /^\* (\d+) FETCH \(UID (\d+) ENVELOPE \(NIL "(\d+)" .*\) BODYSTRUCTURE .*\}\r\nSubject: (\d+)\r$/gm,
      ),
    ]
    assert.equal(found.length, 3000)
    for (const [i, [, ...numbers]] of found.entries()) assert.deepEqual(numbers, Array(4).fill(`${i + 1}`))
  }
})
