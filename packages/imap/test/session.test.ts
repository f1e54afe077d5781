// Conversations: what a client sees. Numbers in titles are the cases of the field's known faults (spec/imap.md §5.4).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fill, MESSAGE, world } from './harness.ts'

test('a client logs in, opens INBOX, reads, and says good-bye', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 2)
  const c = await wire()
  assert.match(await c.until('* OK'), /^\* OK \[CAPABILITY IMAP4rev1 .*\] mail.example.org is ready\r\n$/)
  assert.match(await c.ask('a1 LOGIN anna wrong'), /^a1 NO \[AUTHENTICATIONFAILED\]/)
  assert.match(await c.ask('a2 login "anna" secret'), /^a2 OK \[CAPABILITY IMAP4rev1 .*UIDPLUS.*APPENDLIMIT=1048576\]/)
  const selected = await c.ask('a3 SELECT inbox')
  assert.match(selected, /\* FLAGS \(\\Answered \\Flagged \\Deleted \\Seen \\Draft\)\r\n/)
  assert.match(
    selected,
    /\* 2 EXISTS\r\n\* 2 RECENT\r\n\* OK \[UNSEEN 1\].*\r\n\* OK \[UIDVALIDITY \d+\].*\r\n\* OK \[UIDNEXT 3\]/,
  )
  assert.match(selected, /a3 OK \[READ-WRITE\]/)
  assert.equal(
    await c.ask('a4 FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)'),
    '* 1 FETCH (UID 1 FLAGS (\\Recent) RFC822.SIZE 41 INTERNALDATE " 3-Feb-2026 10:00:00 +0000")\r\n' +
      '* 2 FETCH (UID 2 FLAGS (\\Recent) RFC822.SIZE 41 INTERNALDATE " 3-Feb-2026 10:00:00 +0000")\r\na4 OK FETCH completed\r\n',
  )
  assert.equal(
    await c.ask('a5 FETCH 2 BODY[]'),
    '* 2 FETCH (BODY[] {41}\r\nSubject: 2\r\nFrom: a@b.example\r\n\r\nbody 2\r\n FLAGS (\\Seen \\Recent))\r\na5 OK FETCH completed\r\n',
  )
  c.send('a6 LOGOUT\r\n')
  assert.match(await c.rest(), /^\* BYE .*\r\na6 OK LOGOUT completed\r\n$/)
})

test('1, 11: empty lines before a command are ignored; verbs in any case', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 1)
  const c = await wire()
  await c.login()
  c.send('\r\n\r\na NOOP\r\n')
  assert.equal(await c.until('a '), 'a OK NOOP completed\r\n')
  await c.ask('b select INBOX')
  assert.match(await c.ask('c fetch 1 flags'), /^\* 1 FETCH \(FLAGS \(\\Recent\)\)/)
  assert.match(await c.ask('d uid fetch 1 flags'), /^\* 1 FETCH \(UID 1 FLAGS/)
  assert.match(await c.ask('e STORE 1 +FLAGS NIL'), /FLAGS \(NIL \\Recent\)/)
  assert.equal(await c.ask('f SEARCH SUBJECT NIL'), '* SEARCH\r\nf OK SEARCH completed\r\n')
  assert.match(await c.ask('g SEARCH KEYWORD nil'), /^\* SEARCH 1\r\n/)
})

test('2: the octets of a refused literal never run as a command', async (t) => {
  const { mail, wire } = await world(t)
  const c = await wire()
  await c.login()
  const smuggled = 'x CREATE smuggled\r\n..'
  const refusals = [
    ['APPEND INBOX (\\Recent) {21+}', 'BAD'],
    ['APPEND INBOX (\\Seen) "no date" {21+}', 'BAD'],
    ['APPEND missing {21+}', 'NO'],
    ['APPEND INBOX () {21+}', 'OK'],
    ['NONSENSE {21+}', 'BAD'],
    ['FETCH 1 BODY[] {21+}', 'BAD'],
    ['LOGIN {21+}', 'BAD'],
    ['CREATE "unclosed {21+}', 'BAD'],
    ['APPEND INBOX ~{21+}', 'OK'],
    ['APPEND INBOX UTF8 (~{21+}', 'BAD'],
    ['APPEND INBOX CATENATE (NOISE {21+}', 'BAD'],
    ['APPEND INBOX CATENATE (TEXT {21+}', 'BAD'],
    ['REPLACE 1 INBOX {21+}', 'BAD'],
  ] as const
  for (const [i, [command, status]] of refusals.entries()) {
    c.send(`k${i} ${command}\r\n${smuggled}\r\nz${i} NOOP\r\n`)
    const heard = await c.until(`z${i} `)
    const lines = heard.split('\r\n').slice(0, -1)
    assert.equal(lines.length, 2, heard)
    assert.match(lines[0] ?? '', new RegExp(`^k${i} ${status} `))
    assert.match(lines[1] ?? '', new RegExp(`^z${i} OK`))
  }
  assert.deepEqual(
    (await mail.open().list()).map((entry) => entry.name),
    ['INBOX'],
  )
})

test('3, 4: a literal beyond the limit is refused before it is sent, or ends the connection', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  c.send('s SEARCH SUBJECT {99999999}\r\n')
  assert.match(await c.until('s '), /^s NO \[TOOBIG\]/)
  assert.match(await c.ask('t NOOP'), /^t OK/)
  assert.match(await c.ask('u APPEND INBOX {1048577}'), /^u NO \[TOOBIG\]/)
  // A size that fits the skipping limit is read over.
  c.send(`v SEARCH SUBJECT {300000+}\r\n${'z CREATE evil\r\n'.repeat(20000)} ALL\r\nw NOOP\r\n`)
  const heard = await c.until('w ')
  assert.match(heard, /^v NO \[TOOBIG\].*\r\nw OK/)
  c.send('x APPEND INBOX {99999999+}\r\ny CREATE evil\r\n')
  const last = await c.rest()
  assert.match(last, /^\* BYE \[TOOBIG\]/)
  assert.doesNotMatch(last, /^[xy] /m)
})

test('5: however the octets are cut, the answers are the same', async (t) => {
  const script =
    'a LOGIN anna {6}\r\nsecret\r\nb CREATE {3+}\r\nbox\r\nc APPEND box (\\Seen kw) "01-Feb-2026 00:00:00 +0000" {20+}\r\nSubject: x\r\n\r\nhello\r\n' +
    '\r\nd SELECT box\r\ne FETCH 1 (FLAGS ENVELOPE BODY[])\r\nf SEARCH TEXT {5+}\r\nhello\r\n\r\ng STORE 1 +FLAGS.SILENT \\Deleted\r\nh BOGUS {2+}\r\nxx\r\ni IDLE\r\nDoNe\r\nj EXPUNGE\r\nk LOGOUT\r\n'
  const run = async (cuts: (length: number) => number[]): Promise<string> => {
    const { wire } = await world(t)
    const c = await wire()
    c.socket.setNoDelay(true)
    let at = 0
    for (const cut of cuts(script.length)) {
      c.send(script.slice(at, cut))
      at = cut
      if (at % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    c.send(script.slice(at))
    return c.rest()
  }
  const whole = await run(() => [])
  assert.match(whole, /k OK LOGOUT completed\r\n$/)
  assert.match(whole, /c OK \[APPENDUID \d+ 1\]/)
  assert.match(whole, /\* 1 EXPUNGE\r\nj OK/)
  assert.equal(await run((length) => Array.from({ length }, (_, i) => i)), whole)
  for (let cut = 1; cut < script.length; cut += 5) assert.equal(await run(() => [cut]), whole, `cut at ${cut}`)
})

test('7: deep lists, long words and long tags are refused with bounded memory', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  assert.match(await c.ask(`a SEARCH ${'('.repeat(10_000)}`), /^a BAD/)
  assert.match(await c.ask(`b ID ${'('.repeat(10_000)}`), /^b BAD/)
  assert.match(await c.ask(`c FETCH 1 ${'('.repeat(10_000)}`), /^c BAD/)
  assert.match(await c.ask(`d SEARCH ${'NOT '.repeat(10_000)}ALL`), /^d BAD/)
  assert.match(await c.ask(`e NOOP ${'x'.repeat(100_000)}`), /^e BAD \[TOOBIG\]/)
  c.send(`${'t'.repeat(150)} NOOP\r\n`)
  assert.match(await c.until('* '), /^\* BAD/)
  c.send('y'.repeat(10_000_000))
  assert.match(await c.rest(), /^\* BYE/)
})

test('8: bad tags and unknown commands are answered, another protocol is shown the door', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.until('* OK')
  for (const line of ['+ NOOP', '* NOOP', 'a*b NOOP', 'lonely']) {
    c.send(`${line}\r\n`)
    assert.match(await c.until(line === 'lonely' ? 'lonely' : '* '), / BAD /)
  }
  assert.match(await c.ask('a FROBNICATE'), /^a BAD There is no command FROBNICATE/)
  const web = await wire()
  await web.until('* OK')
  web.send('GET / HTTP/1.1\r\nHost: mail\r\nb LOGIN anna secret\r\n')
  const said = await web.rest()
  assert.match(said, /\* BYE/)
  assert.doesNotMatch(said, /b OK/)
})

test('9: NUL and 8-bit in quoted strings are refused; NUL in a message too', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  assert.match(await c.ask('a CREATE "b\xe4r"'), /^a BAD/)
  assert.match(await c.ask('b CREATE "b\0r"'), /^b BAD/)
  c.send('c APPEND INBOX {5+}\r\na\0b\r\n\r\n')
  assert.match(await c.until('c '), /^c NO/)
})

test('12: IDLE pushes news, ends at done in any case and any cut, and frees the session at the end of the stream', async (t) => {
  const { mail, wire, sessions } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  c.send('b IDLE\r\n')
  await c.until('+ ')
  await fill(mail, 1)
  assert.equal(await c.until('* 1 RECENT'), '* 1 EXISTS\r\n* 1 RECENT\r\n')
  const account = mail.open()
  const box = await account.open('INBOX')
  await box.store([1], { action: 'add', flags: ['\\Deleted'] })
  assert.equal(await c.until('* 1 FETCH'), '* 1 FETCH (FLAGS (\\Deleted \\Recent))\r\n')
  await box.expunge([1])
  assert.equal(await c.until('* 1 EXPUNGE'), '* 1 EXPUNGE\r\n')
  c.send('do')
  c.send('NE\r\n')
  assert.match(await c.until('b '), /^b OK/)
  c.send('c IDLE\r\nwhat\r\n')
  assert.match(await c.until('c '), /c BAD/)
  c.send('d IDLE\r\n')
  await c.until('+ ')
  c.socket.end()
  await sessions[0]?.closed
  account.close()
  assert.equal(mail.watchers, 0)
})

test('13, 14: a failed SELECT leaves no mailbox selected', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  assert.match(await c.ask('b SELECT missing'), /^\* OK \[CLOSED\].*\r\nb NO \[NONEXISTENT\]/)
  assert.match(await c.ask('c FETCH 1 FLAGS'), /^c BAD/)
})

test('15, 16: EXAMINE changes nothing', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 1, 'INBOX', ['\\Deleted'])
  const c = await wire()
  await c.login()
  const examined = await c.ask('a EXAMINE INBOX')
  assert.match(examined, /PERMANENTFLAGS \(\)\]/)
  assert.match(examined, /a OK \[READ-ONLY\]/)
  for (const command of ['STORE 1 +FLAGS \\Seen', 'EXPUNGE', 'MOVE 1 INBOX', 'UID EXPUNGE 1']) {
    assert.match(await c.ask(`b ${command}`), /^b NO \[READ-ONLY\]/)
  }
  await c.ask('c FETCH 1 BODY[]')
  await c.ask('d CLOSE')
  const status = await mail.open().status('INBOX')
  assert.deepEqual([status.messages, status.unseen, status.recentUid], [1, 1, 1])
})

test('17: a mailbox deleted under a session ends it, and never shows the new one of that name', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } })
  await fill(mail, 1, 'box')
  const c = await wire()
  await c.login()
  await c.ask('a SELECT box')
  const account = mail.open()
  await account.delete('box')
  await account.create('box')
  c.send('b FETCH 1 BODY[]\r\n')
  const said = await c.rest()
  assert.doesNotMatch(said, /FETCH \(/)
  assert.match(said, /\* BYE/)
})

test('18, 19, 20: the rules of mailbox names', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { Sent: 'Sent' } })
  const c = await wire()
  await c.login()
  assert.match(await c.ask('a CREATE inbox'), /^a NO/)
  assert.match(await c.ask('a DELETE Inbox'), /^a NO/)
  assert.match(await c.ask('a CREATE a/b/c/'), /^a OK/)
  assert.match(await c.ask('a CREATE "x*"'), /^a NO \[CANNOT\]/)
  assert.match(await c.ask('a CREATE box (USE (\\Sent))'), /^a NO \[USEATTR\]/)
  assert.match(await c.ask('a CREATE Weg (USE (\\Trash))'), /^a OK/)
  assert.match(await c.ask('a RENAME a a/b/d'), /^a NO \[CANNOT\]/)
  assert.match(await c.ask('a SUBSCRIBE a/b/c'), /^a OK/)
  assert.match(await c.ask('a SUBSCRIBE Gone'), /^a OK/)
  assert.match(await c.ask('a DELETE a/b'), /^a OK/)
  assert.equal(await c.ask('b LIST "" ""'), '* LIST (\\Noselect) "/" ""\r\nb OK LIST completed\r\n')
  assert.equal(await c.ask('b LIST "" inbox'), '* LIST (\\HasNoChildren) "/" INBOX\r\nb OK LIST completed\r\n')
  assert.equal(
    await c.ask('b LIST "" *'),
    '* LIST (\\HasNoChildren) "/" INBOX\r\n* LIST (\\HasNoChildren \\Sent) "/" Sent\r\n* LIST (\\HasNoChildren \\Trash) "/" Weg\r\n' +
      '* LIST (\\HasChildren) "/" a\r\n* LIST (\\Noselect \\HasChildren) "/" a/b\r\n* LIST (\\HasNoChildren) "/" a/b/c\r\nb OK LIST completed\r\n',
  )
  assert.doesNotMatch(await c.ask('b LIST "" %'), /a\/b/)
  assert.match(await c.ask('b LIST a/ %'), /^\* LIST \(\\Noselect \\HasChildren\) "\/" a\/b\r\nb OK/)
  assert.equal(
    await c.ask('b LIST (SUBSCRIBED) "" * RETURN (CHILDREN)'),
    '* LIST (\\NonExistent \\HasNoChildren \\Subscribed) "/" Gone\r\n* LIST (\\HasNoChildren \\Subscribed) "/" a/b/c\r\nb OK LIST completed\r\n',
  )
  assert.equal(
    await c.ask('b LIST (SUBSCRIBED RECURSIVEMATCH) "" % RETURN (CHILDREN STATUS (UNSEEN))'),
    // No STATUS for a name that only something below it brought in (RFC 5819 §3).
    '* LIST (\\NonExistent \\HasNoChildren \\Subscribed) "/" Gone\r\n* LIST (\\HasChildren) "/" a ("CHILDINFO" ("SUBSCRIBED"))\r\nb OK LIST completed\r\n',
  )
  assert.match(await c.ask('b LIST (RECURSIVEMATCH) "" *'), /^b BAD/)
  assert.equal(
    await c.ask('b LIST (SPECIAL-USE) "" *'),
    '* LIST (\\HasNoChildren \\Sent) "/" Sent\r\n* LIST (\\HasNoChildren \\Trash) "/" Weg\r\nb OK LIST completed\r\n',
  )
  assert.equal(await c.ask('b LSUB "" %'), '* LSUB () "/" Gone\r\n* LSUB (\\Noselect) "/" a\r\nb OK LSUB completed\r\n')
  await fill(mail, 1)
  assert.match(await c.ask('a RENAME INBOX old'), /^a OK/)
  assert.match(
    await c.ask('a STATUS old (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE APPENDLIMIT)'),
    /^\* STATUS old \(MESSAGES 1 RECENT 1 UIDNEXT 2 UIDVALIDITY \d+ UNSEEN 1 SIZE 41 APPENDLIMIT 1048576\)\r\na OK/,
  )
  assert.match(await c.ask('a CREATE Entw&APw-rfe'), /^a OK/)
  assert.ok((await mail.open().list()).some((entry) => entry.name === 'Entwürfe'))
  assert.match(await c.ask('a LIST "" Entw*'), /Entw&APw-rfe\r\n/)
  assert.match(await c.ask('a SELECT "&&"'), /^a BAD/)
})

test('21, 22, 24: expunges of others wait until they can be told, and the messages stay readable', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 5)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  const box = await mail.open().open('INBOX')
  await box.store([1, 3], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([1, 3])
  await fill(mail, 1)
  const fetched = await c.ask('b FETCH 2,4 (UID BODY.PEEK[TEXT])')
  assert.match(fetched, /^\* 2 FETCH \(UID 2 BODY\[TEXT\] \{8\}\r\nbody 2\r\n\)\r\n\* 4 FETCH \(UID 4 /)
  assert.doesNotMatch(fetched, / EXPUNGE\r/)
  assert.match(fetched, /\* 6 EXISTS/)
  assert.match(await c.ask('c FETCH 3 (UID BODY.PEEK[TEXT])'), /^\* 3 FETCH \(UID 3 BODY\[TEXT\] \{8\}\r\nbody 3\r\n\)/)
  assert.doesNotMatch(await c.ask('d STORE 2 +FLAGS \\Seen'), / EXPUNGE\r/)
  assert.doesNotMatch(await c.ask('e SEARCH ALL'), / EXPUNGE\r/)
  assert.equal(await c.ask('f NOOP'), '* 3 EXPUNGE\r\n* 1 EXPUNGE\r\nf OK NOOP completed\r\n')
  assert.match(await c.ask('g FETCH * UID'), /^\* 4 FETCH \(UID 6\)/)
})

test('23: what came and went between two looks is never mentioned', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 1)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  const box = await mail.open().open('INBOX')
  await fill(mail, 1, 'INBOX', ['\\Deleted'])
  await box.expunge([2])
  assert.equal(await c.ask('b NOOP'), 'b OK NOOP completed\r\n')
})

test('25: numbers that are not there', async (t) => {
  const { mail, wire } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  assert.match(await c.ask('b FETCH 1:* FLAGS'), /^b BAD/)
  assert.equal(await c.ask('b UID FETCH 1:* FLAGS'), 'b OK UID FETCH completed\r\n')
  assert.equal(await c.ask('b SEARCH 5'), '* SEARCH\r\nb OK SEARCH completed\r\n')
  await fill(mail, 5)
  await c.ask('c NOOP')
  assert.match(await c.ask('b FETCH 4:9 FLAGS'), /^b BAD/)
  assert.match(await c.ask('b UID FETCH 9999:* FLAGS'), /^\* 5 FETCH \(UID 5 FLAGS \(\\Recent\)\)\r\nb OK/)
  assert.match(await c.ask('b FETCH *:3 UID'), /^\* 3 .*\r\n\* 4 .*\r\n\* 5 .*\r\nb OK/)
  assert.match(await c.ask('b FETCH 3:1 UID'), /^\* 1 .*\r\n\* 2 .*\r\n\* 3 .*\r\nb OK/)
  assert.match(await c.ask('b FETCH 0 UID'), /^b BAD/)
  assert.match(await c.ask('b FETCH 4294967296 UID'), /^b BAD/)
})

test('26, 27: two sessions, one message', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 2)
  const one = await wire()
  const two = await wire()
  await one.login()
  await two.login()
  await one.ask('a SELECT INBOX')
  assert.match(await two.ask('a SELECT INBOX'), /\* 0 RECENT/)
  // Silent hides only one's own change.
  assert.equal(await one.ask('b STORE 1 +FLAGS.SILENT \\Seen'), 'b OK STORE completed\r\n')
  assert.equal(await one.ask('c NOOP'), 'c OK NOOP completed\r\n')
  assert.equal(
    await two.ask('b STORE 1:2 +FLAGS.SILENT \\Answered'),
    '* 1 FETCH (FLAGS (\\Seen \\Answered))\r\nb OK STORE completed\r\n',
  )
  assert.equal(
    await one.ask('d STORE 1 +FLAGS.SILENT \\Flagged'),
    '* 1 FETCH (FLAGS (\\Seen \\Answered \\Flagged \\Recent))\r\n* 2 FETCH (FLAGS (\\Answered \\Recent))\r\nd OK STORE completed\r\n'
      .split('\r\n')
      .sort()
      .join('\r\n')
      .replace(/^\r\n/, '') + '\r\n',
  )
})

test('28: pipelined commands run in order', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 3)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  c.send('b STORE 1 +FLAGS.SILENT \\Deleted\r\nc FETCH 1 UID\r\nd EXPUNGE\r\ne FETCH 1 UID\r\n')
  assert.equal(
    await c.until('e '),
    'b OK STORE completed\r\n* 1 FETCH (UID 1)\r\nc OK FETCH completed\r\n* 1 EXPUNGE\r\nd OK EXPUNGE completed\r\n* 1 FETCH (UID 2)\r\ne OK FETCH completed\r\n',
  )
})

test('29, 30, 31: flags and keywords', async (t) => {
  const { mail, wire } = await world(t, { keywords: 70 })
  await fill(mail, 1)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  assert.equal(
    await c.ask('b STORE 1 +FLAGS ($Work)'),
    '* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)\r\n' +
      '* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work \\*)] Flags permitted\r\n' +
      '* 1 FETCH (FLAGS ($Work \\Recent))\r\nb OK STORE completed\r\n',
  )
  assert.equal(
    await c.ask('c STORE 1 +FLAGS ($WORK)'),
    '* 1 FETCH (FLAGS ($Work \\Recent))\r\nc OK STORE completed\r\n',
  )
  assert.equal(await c.ask('d STORE 1 FLAGS ()'), '* 1 FETCH (FLAGS (\\Recent))\r\nd OK STORE completed\r\n')
  assert.match(await c.ask('e STORE 1 +FLAGS (\\Recent)'), /^e BAD/)
  assert.match(await c.ask('f STORE 1 +FLAGS (\\Bogus)'), /^f BAD/)
  for (let i = 0; i < 69; i++) assert.match(await c.ask(`g STORE 1 +FLAGS.SILENT k${i}`), /g OK/)
  assert.match(await c.ask('h STORE 1 +FLAGS.SILENT onemore'), /^h NO \[LIMIT\]/)
})

test('32, 51: COPY and MOVE say where everything went', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { to: undefined } })
  await fill(mail, 5, 'INBOX', ['\\Flagged', 'kw'])
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  assert.match(await c.ask('b COPY 5,3,1 to'), /^b OK \[COPYUID \d+ 1,3,5 1:3\]/)
  assert.match(await c.ask('b COPY 1 nowhere'), /^b NO \[TRYCREATE\]/)
  assert.match(await c.ask('b UID COPY 99 to'), /^b OK UID COPY completed/)
  assert.match(await c.ask('c MOVE 2 to'), /^\* OK \[COPYUID \d+ 2 4\] Moved\r\n\* 2 EXPUNGE\r\nc OK/)
  assert.match(await c.ask('c MOVE 1 nowhere'), /^c NO \[TRYCREATE\]/)
  assert.match(await c.ask('d UID MOVE 3 INBOX'), /^\* OK \[COPYUID \d+ 3 6\] Moved\r\n\* 2 EXPUNGE\r\n\* 4 EXISTS\r\n/)
  const target = await (await mail.open().open('to')).snapshot()
  assert.deepEqual(target.flagSets, [['\\Flagged', 'kw']])
})

test('45-47: SEARCH and ESEARCH', async (t) => {
  const { mail, wire } = await world(t)
  const account = mail.open()
  const add = (text: string, internalDate: number, flags: string[] = []): Promise<unknown> =>
    account.append('INBOX', [{ bytes: Buffer.from(text.replaceAll('\n', '\r\n')), flags, internalDate }])
  await add(
    'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_aus?=\n =?utf-8?q?_K=C3=B6ln?=\nDate: Tue, 3 Feb 2026 23:30:00 -0500\nFrom: "A (b)" <x@y>\n\nasdfghjkl\n',
    Date.UTC(2026, 1, 4, 4, 30),
  )
  await add(
    'Subject: two\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\n' +
      Buffer.from('caf\xe9 noir', 'latin1').toString('base64') +
      '\n',
    Date.UTC(2026, 1, 3),
    ['\\Seen'],
  )
  await add(
    'Subject: three\nX-Long: folded\n  over lines\nDate: Wed, 1 Jan 2020 00:00:00 +0000\n\nlast\n',
    Date.UTC(2020, 0, 1),
  )
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  const found = async (keys: string): Promise<string> => {
    c.send(`x SEARCH ${keys.replace(/\{(\d+)\+\}/g, '{$1+}\r\n')}\r\n`)
    const said = await c.until('x ')
    return /^\* SEARCH ?(.*)\r\n/m.exec(said)?.[1] ?? said
  }
  assert.equal(await found('BODY dfghj'), '1')
  assert.equal(
    await found(`CHARSET UTF-8 SUBJECT {${Buffer.byteLength('GRÜSSE')}+}${Buffer.from('grüße').toString('latin1')}`),
    '1',
  )
  assert.equal(await found(`SUBJECT {${Buffer.byteLength('Köln')}+}${Buffer.from('KÖLN').toString('latin1')}`), '1')
  assert.equal(await found(`BODY {5+}${Buffer.from('CAFé').toString('latin1')}`), '2')
  assert.equal(await found('HEADER X-Long "folded  over"'), '3')
  assert.equal(await found('HEADER X-Long ""'), '3')
  assert.equal(await found('TEXT "x-long: FOLDED"'), '3')
  assert.equal(await found('NOT BODY dfghj'), '2 3')
  assert.equal(await found('OR BODY dfghj SUBJECT three'), '1 3')
  assert.equal(await found('1:3 NOT UID 2'), '1 3')
  assert.equal(await found('UID 2 3'), '')
  assert.equal(await found('(3) UID 1:3'), '3')
  assert.equal(await found('NOT 2,3'), '1')
  assert.equal(await found('SENTON 3-Feb-2026'), '1')
  assert.equal(await found('ON 4-Feb-2026'), '1')
  assert.equal(await found('SINCE 3-Feb-2026'), '1 2')
  assert.equal(await found('BEFORE 3-Feb-2026'), '3')
  assert.equal(await found('ON 3-Feb-2026 BEFORE 3-Feb-2026'), '')
  assert.equal(await found('UNSEEN'), '1 3')
  assert.equal(await found('NEW'), '1 3')
  assert.equal(await found('OLD'), '')
  assert.equal(await found('LARGER 100 SMALLER 100000 SEEN'), '2')
  assert.match(await found('CHARSET X-NOPE ALL'), /^x NO \[BADCHARSET \(UTF-8 US-ASCII\)\]/)
  assert.match(await found('BOGUS 1'), /^x BAD/)
  assert.match(
    await c.ask('y UID SEARCH RETURN (MIN MAX COUNT) UNSEEN'),
    /^\* ESEARCH \(TAG "y"\) UID MIN 1 MAX 3 COUNT 2\r\n/,
  )
  assert.match(await c.ask('y SEARCH RETURN () ALL'), /^\* ESEARCH \(TAG "y"\) ALL 1:3\r\n/)
  assert.match(
    await c.ask('y UID SEARCH RETURN (MIN COUNT ALL) KEYWORD none'),
    /^\* ESEARCH \(TAG "y"\) UID COUNT 0\r\n/,
  )
})

test('38, 52: APPEND', async (t) => {
  const { mail, wire } = await world(t, { quota: 300, appendLimit: 250 })
  const c = await wire()
  await c.login()
  assert.match(await c.ask('a APPEND nowhere {100}'), /^a NO \[TRYCREATE\]/)
  assert.match(await c.ask('a APPEND INBOX {251}'), /^a NO \[TOOBIG\]/)
  assert.match(await c.ask('a APPEND INBOX {0}'), /^a NO/)
  c.send('b APPEND INBOX () "01-Feb-2026 01:02:03 +0200" {20+}\r\nSubject: x\n\nbare LF\n\r\n')
  assert.match(await c.until('b '), /^b OK \[APPENDUID \d+ 1\]/)
  assert.match(await c.ask('c SELECT INBOX'), /\* 1 EXISTS/)
  assert.match(
    await c.ask('d FETCH 1 (RFC822.SIZE INTERNALDATE BODY.PEEK[])'),
    /RFC822.SIZE 23 INTERNALDATE " 1-Feb-2026 01:02:03 \+0200" BODY\[\] \{23\}\r\nSubject: x\r\n\r\nbare LF\r\n\)/,
  )
  c.send(`e APPEND INBOX (\\Seen) {${MESSAGE.length}}\r\n`)
  await c.until('+ ')
  c.send(`${MESSAGE.toString('latin1')}\r\n`)
  assert.match(await c.until('e '), /^\* 2 EXISTS\r\n\* 2 RECENT\r\ne OK \[APPENDUID \d+ 2\]/)
  c.send(`f APPEND INBOX {200+}\r\n${'x'.repeat(200)}\r\n`)
  assert.match(await c.until('f '), /^f NO \[OVERQUOTA\]/)
  assert.equal((await mail.open().status('INBOX')).messages, 2)
})
