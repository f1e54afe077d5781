// APPEND and its kin: what is kept, what is refused, and when (spec/imap.md §5.4 cases 38, 52).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMessageUrl } from '../src/wire/imap-url.ts'
import { fill, type Wire, world } from './harness.ts'

/** `APPEND` of `text` without waiting. */
const given = (text: string): string => `{${Buffer.byteLength(text, 'latin1')}+}\r\n${text}`
const message = (subject: string): string => `Subject: ${subject}\r\n\r\nbody of ${subject}\r\n`
const bodies = async (c: Wire): Promise<string[]> =>
  [...(await c.ask('bodies FETCH 1:* BODY.PEEK[]')).matchAll(/\{\d+\}\r\n([^]*?)\)\r\n(?=\* \d+ FETCH|bodies )/g)].map(
    (match) => match[1] ?? '',
  )

test('the date keeps its zone, the flags are checked, \\Recent is BAD', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  assert.match(
    await c.ask(`a APPEND INBOX (\\seen $Work $work) " 1-Apr-2026 01:02:03 -0730" ${given(message('x'))}`),
    /^a OK \[APPENDUID 1001 1\]/,
  )
  await c.ask('b SELECT INBOX')
  assert.match(
    await c.ask('c FETCH 1 (FLAGS INTERNALDATE)'),
    /FLAGS \(\\Seen \$Work \\Recent\) INTERNALDATE " 1-Apr-2026 01:02:03 -0730"/,
  )
  for (const [i, wrong] of [
    '(\\Recent)',
    '(\\Bogus)',
    '(a b',
    '"1-Apr-2026 01:02:03 -0730"',
    '"31-Apr-2026 01:02:03 +0000"',
    '() ()',
    '{x}',
  ].entries())
    assert.match(await c.ask(`w${i} APPEND INBOX ${wrong} ${given(message('no'))}`), /w\d BAD/, wrong)
  assert.match(await c.ask('d STATUS INBOX (MESSAGES)'), /MESSAGES 1\)/)
})

test('52: what cannot be kept is refused before it is sent, when that can be known', async (t) => {
  const { mail, wire } = await world(
    t,
    { appendLimit: 100_000 },
    {
      open: async () =>
        Object.assign(mail.open(), {
          quota: async () => [
            { resource: 'STORAGE' as const, usage: 40, limit: 50 },
            { resource: 'MESSAGE' as const, usage: 9, limit: 10 },
          ],
        }),
    },
  )
  const c = await wire()
  await c.login()
  assert.match(await c.ask('a APPEND missing {10}'), /^a NO \[TRYCREATE\]/)
  assert.match(await c.ask('b APPEND INBOX {100001}'), /^b NO \[TOOBIG\]/)
  assert.match(await c.ask('c APPEND INBOX {11265}'), /^c NO \[OVERQUOTA\]/)
  assert.match(await c.ask('d APPEND INBOX {0}'), /^d NO /)
  // A long message that comes unasked is read over, not kept, and answered all the same.
  assert.match(await c.ask(`e APPEND missing ${given('x'.repeat(90_000))}`), /^e NO \[TRYCREATE\]/)
  assert.match(await c.ask(`f APPEND INBOX ${given(message('one'))} {10}`), /^f NO \[OVERQUOTA\]/)
  assert.match(await c.ask('g STATUS INBOX (MESSAGES)'), /MESSAGES 0\)/)
})

test('52: several messages in one command are kept all or none (MULTIAPPEND)', async (t) => {
  const { wire } = await world(t, { quota: 200 }, { limits: { multiAppend: 1, saveLimit: 3 } })
  const c = await wire()
  await c.login()
  assert.match(await c.ask('s SELECT INBOX'), /s OK/)
  assert.match(
    await c.ask(
      `a APPEND INBOX ${given(message('1'))} (\\Flagged) ${given(message('2'))} "01-Feb-2026 10:20:30 +0100" ${given(message('3'))}`,
    ),
    /^\* 3 EXISTS\r\n\* 3 RECENT\r\na OK \[APPENDUID 1001 1:3\]/,
  )
  const heard = await c.ask('b FETCH 1:* (FLAGS INTERNALDATE)')
  assert.match(heard, /\* 2 FETCH \(FLAGS \(\\Flagged \\Recent\)/)
  assert.match(heard, /\* 3 FETCH \(FLAGS \(\\Recent\) INTERNALDATE " 1-Feb-2026 10:20:30 \+0100"/)
  for (const [i, [second, answer]] of (
    [
      ['(\\Recent) {3+}\r\nabc', /BAD/],
      ['{0+}\r\n', /NO /],
      ['{3+}\r\na\0c', /NO \[CANNOT\]/],
      [`{500+}\r\n${'x'.repeat(500)}`, /NO \[OVERQUOTA\]/],
      ['"no date" {3+}\r\nabc', /BAD/],
      ['{2+}\r\nab{2+}\r\nab', /BAD/],
      ['{1+}\r\na {1+}\r\na {1+}\r\na', /NO \[MESSAGELIMIT 3\]/],
    ] as const
  ).entries())
    assert.match(
      await c.ask(`n${i} APPEND INBOX ${given(message('4'))} ${second}`),
      new RegExp(`^n${i} ${answer.source}`),
    )
  assert.match(await c.ask('z STATUS INBOX (MESSAGES UIDNEXT)'), /MESSAGES 3 UIDNEXT 4\)/)

  // With waiting, each literal is asked for on its own, and a zero calls everything off.
  c.send(`m APPEND INBOX {${message('5').length}}\r\n`)
  assert.match(await c.until('+ '), /^\+ /)
  c.send(`${message('5')} {0}\r\n`)
  assert.match(await c.until('m '), /^m NO /)
  assert.match(await c.ask('y STATUS INBOX (MESSAGES UIDNEXT)'), /MESSAGES 3 UIDNEXT 4\)/)
})

test('all messages of one command together are limited', async (t) => {
  const { wire } = await world(t, { appendLimit: 1000 }, { limits: { multiAppend: 1500 } })
  const c = await wire()
  await c.login()
  const long = 'x'.repeat(800)
  assert.match(await c.ask(`a APPEND INBOX ${given(long)} ${given(long)}`), /^a NO \[TOOBIG\]/)
  assert.match(await c.ask(`b APPEND INBOX ${given(long)} ${given('y'.repeat(700))}`), /^b OK/)
  // Bare LFs become CRLF: the message that is kept counts.
  assert.match(await c.ask(`c APPEND INBOX ${given('\n'.repeat(600))}`), /^c NO \[TOOBIG\]/)
})

test('38: bare LF and CR are made line ends once, also across the pieces in which a long message is looked at', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  const long = `Subject: x\r\n\r\n${'line\n'.repeat(70_000)}\r\r\n${'\r\n'.repeat(140_000)}\n\r`
  const expected = long.replace(/\r\n|\r|\n/g, '\r\n')
  assert.match(await c.ask(`a APPEND INBOX ${given(long)}`), /^a OK/)
  await c.ask('b SELECT INBOX')
  assert.match(await c.ask('c FETCH 1 RFC822.SIZE'), new RegExp(`RFC822.SIZE ${expected.length}\\)`))
  assert.deepEqual(await bodies(c), [expected])
})

test('NUL: refused in a plain literal, kept as base64 in a binary part of a literal8', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  const binary = 'Subject: x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\x01\x02\n'
  assert.match(await c.ask(`a APPEND INBOX ${given(binary)}`), /^a NO \[CANNOT\]/)
  assert.match(await c.ask(`b APPEND INBOX ~${given(binary)}`), /b OK/)
  assert.match(await c.ask(`c APPEND INBOX ~${given('Subject: x\r\n\r\nNUL \0 in text')}`), /^c NO \[UNKNOWN-CTE\]/)
  assert.match(await c.ask(`d APPEND INBOX ~${given(message('8'))}`), /d OK/)
  assert.deepEqual(await bodies(c), [
    'Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECCg==\r\n',
    message('8'),
  ])
})

test('RFC 9755 §4: 8-bit headers of clients without UTF8=ACCEPT are kept as they are, or refused where that is wished', async (t) => {
  const eight = 'Subject: caf\xc3\xa9\r\n\r\ntext\r\n'
  const body = 'Subject: cafe\r\n\r\ncaf\xc3\xa9\r\n'
  const lenient = await (await world(t)).wire()
  await lenient.login()
  assert.match(await lenient.ask(`a APPEND INBOX ${given(eight)}`), /^a OK/)
  for (const name of ['UTF8=ACCEPT', 'IMAP4rev2']) {
    const c = await (await world(t, {}, { refuse8BitHeaders: true })).wire()
    await c.login()
    assert.match(await c.ask(`a APPEND INBOX ${given(eight)}`), /^a NO \[CANNOT\]/)
    assert.match(await c.ask(`b APPEND INBOX ${given('\r\nSubject: caf\xc3\xa9')}`), /^b OK/)
    assert.match(await c.ask(`c APPEND INBOX ${given(body)}`), /^c OK/)
    await c.ask(`d ENABLE ${name}`)
    assert.match(await c.ask(`e APPEND INBOX ${given(eight)}`), /^e OK/)
  }
})

test('UTF8 (~{n}...) is possible once UTF8=ACCEPT is on', async (t) => {
  const { sessions, wire } = await world(t)
  const c = await wire()
  await c.login()
  const text = 'Subject: gr\xc3\xbc\xc3\x9fe\r\n\r\nx\r\n'
  assert.match(await c.ask(`a APPEND INBOX UTF8 (~${given(text)})`), /^a BAD/)
  sessions[0]?.enabled.add('UTF8=ACCEPT')
  assert.match(await c.ask(`b APPEND INBOX UTF8 (~${given(text)})`), /^b OK/)
  assert.match(await c.ask(`c APPEND INBOX UTF8 (${given(text)})`), /^c BAD/)
  assert.match(await c.ask(`d APPEND INBOX UTF8 (~${given(text)}`), /^d BAD/)
  assert.match(await c.ask(`e APPEND INBOX CATENATE (TEXT ${given('X: 1\r\n')} UTF8 (~${given(text)}))`), /^e OK/)
  await c.ask('s SELECT INBOX')
  assert.deepEqual(await bodies(c), [text, `X: 1\r\n${text}`])
})

const DRAFT =
  'Subject: draft\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b\r\n' +
  'Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n'

test('CATENATE puts a message together from literals and parts of other messages', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { 'Entwürfe/alt': undefined } })
  await mail.open().append('Entwürfe/alt', [{ bytes: Buffer.from(DRAFT), flags: [] }])
  const c = await wire()
  await c.login()
  const box = '/Entw%C3%BCrfe/alt;UIDVALIDITY=1002'
  assert.match(
    await c.ask(
      `a APPEND INBOX (\\Draft) CATENATE (URL "${box}/;UID=1/;section=HEADER" TEXT ${given('--b\r\n')} URL "${box}/;UID=1/;section=2.MIME" ` +
        `URL ${given(`${box}/;UID=1/;SECTION=2`)} TEXT ${given('\r\n--b--\r\n')})`,
    ),
    /^a OK \[APPENDUID 1001 1\]/,
  )
  assert.match(
    await c.ask(`b APPEND INBOX CATENATE (URL "${box}/;UID=1/;PARTIAL=0.16" TEXT ${given('\r\nend\r\n')})`),
    /^b OK/,
  )
  assert.match(
    await c.ask(
      `c APPEND INBOX CATENATE (URL "${box}/;UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)/;PARTIAL=9") ${given('more')}`,
    ),
    /^c OK \[APPENDUID 1001 3:4\]/,
  )
  await c.ask('s SELECT INBOX')
  // Relative to the mailbox that is selected.
  assert.match(await c.ask(`d APPEND INBOX CATENATE (URL ;UID=2/;PARTIAL=0.3 URL INBOX/;UID=4)`), /d OK/)
  assert.deepEqual(await bodies(c), [
    DRAFT.slice(0, DRAFT.indexOf('--b')) + DRAFT.slice(DRAFT.indexOf('--b\r\nContent-Type: image')),
    'Subject: draft\r\n\r\nend\r\n',
    'draft\r\n\r\n',
    'more',
    'Submore',
  ])
  // Reading through a URL does not set \\Seen.
  assert.match(await c.ask('f STATUS "Entw&APw-rfe/alt" (UNSEEN)'), /UNSEEN 1\)/)
})

test('CATENATE: a URL that cannot be read is named, and nothing is appended', async (t) => {
  const { mail, wire } = await world(t, { appendLimit: 1000 })
  await mail.open().append('INBOX', [{ bytes: Buffer.from(DRAFT), flags: [] }])
  const c = await wire()
  await c.login()
  for (const [i, url] of [
    '/INBOX/;UID=2',
    '/INBOX;UIDVALIDITY=7/;UID=1',
    '/missing/;UID=1',
    '/INBOX/;UID=1/;SECTION=3',
    '/INBOX/;UID=1/;SECTION=NONSENSE',
    '/INBOX/;UID=1/;SECTION=1.MIME]x',
    '/INBOX/;UID=0',
    '/INBOX/;UID=99999999999',
    '/INBOX',
    ';UID=1',
    'imap://anna@mail.example.org/INBOX/;UID=1',
    '//other/INBOX/;UID=1',
    '/INBOX/;UID=1;URLAUTH=anonymous:INTERNAL:91354a473744909de610943775f92038',
    '/INB%C3OX/;UID=1',
    '/INB%ZZOX/;UID=1',
    '',
  ].entries()) {
    const answer = await c.ask(`a${i} APPEND INBOX CATENATE (TEXT ${given('x')} URL "${url}" URL "/worse")`)
    assert.ok(answer.startsWith(`a${i} NO [BADURL ${url.replace(']', '%5D')}] `), answer)
  }
  const half = `URL /INBOX/;UID=1`
  assert.match(await c.ask(`b APPEND INBOX CATENATE (${Array(8).fill(half).join(' ')})`), /^b NO \[TOOBIG\]/)
  assert.match(await c.ask(`c APPEND INBOX CATENATE (TEXT ${given('')})`), /^c NO /)
  assert.match(await c.ask(`d APPEND INBOX CATENATE ()`), /^d BAD/)
  assert.match(await c.ask(`e APPEND INBOX CATENATE (TEXT ${given('a\0')})`), /^e NO \[CANNOT\]/)
  assert.match(await c.ask(`f APPEND INBOX CATENATE (URL {9000}`), /^f NO \[TOOBIG\]/)
  assert.match(await c.ask(`g APPEND INBOX CATENATE (TEXT {600+}\r\n${'x'.repeat(600)} TEXT {401}`), /^g NO \[TOOBIG\]/)
  assert.match(await c.ask('z STATUS INBOX (MESSAGES UIDNEXT)'), /MESSAGES 1 UIDNEXT 2\)/)
})

test('CATENATE: how much is read for one command has an end', async (t) => {
  const { mail, wire } = await world(t, { appendLimit: 1000 })
  const bytes = Buffer.from(`Subject: x\r\n\r\n${'x'.repeat(900)}`)
  await mail.open().append('INBOX', [
    { bytes, flags: [] },
    { bytes, flags: [] },
  ])
  const c = await wire()
  await c.login()
  const turns = (count: number): string =>
    Array.from({ length: count }, (_, i) => `URL /INBOX/;UID=${1 + (i % 2)}/;SECTION=TEXT/;PARTIAL=0.1`).join(' ')
  assert.match(await c.ask(`a APPEND INBOX CATENATE (${turns(8)})`), /^a OK/)
  assert.match(await c.ask(`b APPEND INBOX CATENATE (${turns(9)})`), /^b NO \[LIMIT\]/)
  assert.match(await c.ask(`c APPEND INBOX CATENATE (${Array(1001).fill('URL ;UID=1').join(' ')})`), /^c NO \[LIMIT\]/)
})

test('a thousand messages in one command, and one more', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  const many = (count: number): string => Array(count).fill('{1+}\r\nx').join(' ')
  assert.match(await c.ask(`a APPEND INBOX ${many(1000)}`), /^a OK \[APPENDUID 1001 1:1000\]/)
  assert.match(await c.ask(`b APPEND INBOX ${many(1001)}`), /^b NO \[LIMIT\]/)
  assert.match(await c.ask('c STATUS INBOX (MESSAGES)'), /MESSAGES 1000\)/)
})

test('URLs of messages', () => {
  const whole = { mailbox: undefined, uidValidity: undefined, uid: 1, section: '', partial: undefined }
  for (const [text, url] of [
    [';UID=1', whole],
    ['/inbox/a/;uid=1', { ...whole, mailbox: 'INBOX/a' }],
    [
      'a%2Fb;uidvalidity=4294967295/;UID=1/;PARTIAL=7',
      { ...whole, mailbox: 'a/b', uidValidity: 4294967295, partial: { start: 7, length: undefined } },
    ],
    [
      '/a/;UID=1/;SECTION=1.2.HEADER.FIELDS%20(%22X%3B%22)/;PARTIAL=0.5',
      { ...whole, mailbox: 'a', section: '1.2.HEADER.FIELDS ("X;")', partial: { start: 0, length: 5 } },
    ],
    ['/;UID=1', undefined],
    ['/a;UIDVALIDITY=0/;UID=1', undefined],
    ['/a/;UID=1/;PARTIAL=0.0', undefined],
    ['/a/;UID=1/', undefined],
    ['http:/a/;UID=1', undefined],
    [`/${'a/'.repeat(50_000)};UID=x`, undefined],
  ] as const)
    assert.deepEqual(parseMessageUrl(text), url, text.slice(0, 80))
})

test('REPLACE: the new message comes, the old one goes, in one step', async (t) => {
  const { mail, wire } = await world(t, { quota: 200, mailboxes: { Sent: undefined } })
  await fill(mail, 3)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  assert.match(
    await c.ask(`a REPLACE 2 INBOX (\\Draft) " 1-Apr-2026 01:02:03 -0730" ${given(message('new'))}`),
    /^\* OK \[APPENDUID 1001 4\] .*\r\n\* 2 EXPUNGE\r\n\* 3 EXISTS\r\n\* \d RECENT\r\na OK /,
  )
  assert.match(
    await c.ask('b UID FETCH 4 (FLAGS INTERNALDATE)'),
    /FLAGS \(\\Draft \\Recent\) INTERNALDATE " 1-Apr-2026 01:02:03 -0730"/,
  )
  // Into another mailbox, and the quota looks at the difference only.
  assert.match(
    await c.ask(`c UID REPLACE 4 Sent ${given(message('x'.repeat(30)))}`),
    /^\* OK \[APPENDUID 1002 1\] .*\r\n\* 3 EXPUNGE\r\nc OK /,
  )
  assert.match(await c.ask(`d UID REPLACE 1 Sent ${given(message('x'.repeat(200)))}`), /^d NO \[OVERQUOTA\]/)
  // The piece of a message that is replaced by it.
  assert.match(
    await c.ask(`e REPLACE * INBOX CATENATE (TEXT ${given('X: 1\r\n')} URL /INBOX/;UID=3)`),
    /\* 2 EXPUNGE\r\n\* 2 EXISTS[^]*e OK/,
  )
  assert.deepEqual(await bodies(c), [
    'Subject: 1\r\nFrom: a@b.example\r\n\r\nbody 1\r\n',
    'X: 1\r\nSubject: 3\r\nFrom: a@b.example\r\n\r\nbody 3\r\n',
  ])
  assert.match(await c.ask('f UID REPLACE 4 INBOX {10}'), /^f NO \[EXPUNGEISSUED\]/)
})

test('REPLACE: what cannot be done leaves everything as it was', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 2)
  const [c, other] = [await wire(), await wire()]
  await c.login()
  await other.login()
  assert.match(await c.ask('a REPLACE 1 INBOX {3+}\r\nabc'), /^a BAD/)
  await c.ask('s SELECT INBOX')
  assert.match(await c.ask('b REPLACE 1 missing {3}'), /^b NO \[TRYCREATE\]/)
  assert.match(await c.ask('c REPLACE 1 missing {3+}\r\nabc'), /^c NO \[TRYCREATE\]/)
  assert.match(await c.ask('d REPLACE 3 INBOX {3}'), /^d BAD/)
  assert.match(await c.ask('e UID REPLACE 9 INBOX {3+}\r\nabc'), /^e NO/)
  assert.match(await c.ask('f REPLACE 1:2 INBOX {3+}\r\nabc'), /^f BAD/)
  assert.match(await c.ask('g REPLACE 1 INBOX {3+}\r\nabc {3+}\r\nabc'), /^g BAD/)
  assert.match(await c.ask('h REPLACE 1 INBOX {0+}\r\n'), /^h NO/)
  assert.match(await c.ask('i STATUS INBOX (MESSAGES UIDNEXT)'), /MESSAGES 2 UIDNEXT 3\)/)
  await c.ask('j EXAMINE INBOX')
  assert.match(await c.ask('k REPLACE 1 INBOX {3}'), /^k NO \[READ-ONLY\]/)
  await c.ask('l SELECT INBOX')
  // Another session was faster.
  await other.ask('s SELECT INBOX')
  await other.ask('t STORE 2 +FLAGS.SILENT (\\Deleted)')
  await other.ask('u EXPUNGE')
  assert.match(await c.ask('m REPLACE 2 INBOX {3+}\r\nabc'), /m NO \[EXPUNGEISSUED\]/)
  assert.match(await c.ask('n STATUS INBOX (MESSAGES UIDNEXT)'), /MESSAGES 1 UIDNEXT 3\)/)
})

test('APPENDLIMIT: a mailbox may take less than the others; STATUS tells, and nothing larger is sent for it in vain', async (t) => {
  const { mail, wire } = await world(t, { appendLimit: 200_000, mailboxes: { small: undefined, large: undefined } })
  const c = await wire()
  await c.login()
  assert.match(await c.ask('a CAPABILITY'), /\bAPPENDLIMIT=200000\b/)
  mail.limitMessages('small', 100)
  assert.match(await c.ask('a CAPABILITY'), /\bAPPENDLIMIT(?!=)/)
  assert.match(
    await c.ask('b LIST "" (small large) RETURN (STATUS (APPENDLIMIT))'),
    /STATUS large \(APPENDLIMIT 200000\)\r\n(?:.*\r\n)*\* STATUS small \(APPENDLIMIT 100\)\r\n/,
  )
  // Refused without being asked for, whether the client waits or sends much; little is refused when it is there.
  assert.match(await c.ask('c APPEND small {101}'), /^c NO \[TOOBIG\] .*100 octets/)
  const much = 'x'.repeat(100_000)
  assert.match(await c.ask(`d APPEND small {100000+}\r\n${much}`), /^d NO \[TOOBIG\]/)
  const short = `Subject: a\r\n\r\n${'y'.repeat(87)}`
  assert.match(await c.ask(`e APPEND small {101+}\r\n${short}`), /^e NO \[TOOBIG\]/)
  assert.match(await c.ask(`f APPEND small {14+}\r\nSubject: a\r\n\r\n {101}`), /^f NO \[TOOBIG\]/)
  assert.match(await c.ask(`g APPEND large {101+}\r\n${short}`), /^g OK/)
  await c.ask('h SELECT large')
  assert.match(await c.ask(`i REPLACE 1 small {101+}\r\n${short}`), /^i NO \[TOOBIG\]/)
  assert.match(await c.ask(`j COPY 1 small`), /^j OK/)
  assert.match(await c.ask('k STATUS small (MESSAGES)'), /MESSAGES 1\)/)
})
