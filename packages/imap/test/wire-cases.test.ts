// The wire, as real servers get it wrong (spec/imap.md §5.4 cases 1-12): what is not in `session.test.ts` yet.

import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import type { Alarm, MailAccount } from '../src/index.ts'
import { LiteralBudget } from '../src/index.ts'
import { fill, world } from './harness.ts'

const SMUGGLED = 'x CREATE smuggled\r\n..'
const mark = `{${SMUGGLED.length}+}`

test('1: empty lines anywhere between commands, many of them, cost nothing and count for nothing', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.until('* OK')
  c.send(`${'\r\n'.repeat(5000)}\n\na NOOP\r\n\r\nb NOOP\n`)
  assert.equal(await c.until('b '), 'a OK NOOP completed\r\nb OK NOOP completed\r\n')
})

test('2: octets of a literal are never run, whatever fails, wherever, in whatever state', async (t) => {
  const { mail, wire } = await world(t, { quota: 10, mailboxes: { box: undefined } })
  const c = await wire()
  await c.until('* OK')
  const refused = async (list: readonly (readonly [string, RegExp])[]): Promise<void> => {
    for (const [i, [command, answer]] of list.entries()) {
      c.send(`k${i} ${command}${mark}\r\n${SMUGGLED}\r\nz${i} NOOP\r\n`)
      const heard = (await c.until(`z${i} `)).split('\r\n')
      assert.equal(heard.length, 3, heard.join('\n'))
      assert.match(heard[0] ?? '', new RegExp(`^k${i} ${answer.source}`), command)
      assert.match(heard[1] ?? '', new RegExp(`^z${i} OK`), command)
    }
  }
  await refused([
    ['APPEND INBOX (\\Seen) ', /BAD/],
    ['SELECT ', /BAD/],
    ['NONSENSE ', /BAD/],
    ['UID NONSENSE ', /BAD/],
    ['LOGIN anna ', /NO \[AUTHENTICATIONFAILED\]/],
    ['AUTHENTICATE PLAIN ', /(BAD|NO)/],
    ['STARTTLS ', /BAD/],
    ['NOOP ', /BAD/],
  ])
  await c.ask('l LOGIN anna secret')
  await refused([
    ['APPEND INBOX (\\Recent) ', /BAD/],
    ['APPEND INBOX (\\Seen) "1-Feb-2026 00:00:00" ', /BAD/],
    ['APPEND missing ', /NO \[TRYCREATE\]/],
    ['APPEND INBOX () ', /NO \[OVERQUOTA\]/],
    ['APPEND &bad ', /BAD/],
    ['APPEND INBOX CATENATE (URL ', /NO \[BADURL|BAD/],
    ['APPEND INBOX CATENATE (TEXT ', /BAD/],
    ['APPEND INBOX {1+}\r\nx {0+}\r\n (\\Recent) ', /(NO|BAD)/],
    ['REPLACE 1 INBOX ', /BAD/],
    ['FETCH 1 ', /BAD/],
    ['LOGIN ', /BAD/],
    ['SEARCH SUBJECT ', /BAD/],
    ['CREATE "', /BAD/],
    ['COMPRESS ', /BAD/],
  ])
  assert.deepEqual(
    (await mail.open().list()).map(({ name }) => name),
    ['INBOX', 'box'],
  )
})

test('2: one too long a line may carry literals too: they go with it', async (t) => {
  const { mail, wire } = await world(t)
  const c = await wire()
  await c.login()
  c.send(`k SEARCH ${'x'.repeat(70_000)} ${mark}\r\n${SMUGGLED} more ${mark}\r\n${SMUGGLED}\r\nz NOOP\r\n`)
  assert.match(await c.until('z '), /^k BAD \[TOOBIG\][^\r]*\r\nz OK/)
  assert.equal((await mail.open().list()).length, 1)
})

test('3: a literal beyond the limit is answered without +, and what follows is a new command', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.until('* OK')
  c.send('a LOGIN {5000}\r\nb NOOP\r\n')
  assert.match(await c.until('b '), /^a NO \[TOOBIG\][^\r]*\r\nb OK/)
  await c.ask('l LOGIN anna secret')
  await c.ask('s SELECT INBOX')
  c.send('s SEARCH SUBJECT {99999999}\r\nt SEARCH TEXT {1}\r\n')
  assert.match(await c.until('+ '), /^s NO \[TOOBIG\][^\r]*\r\n\+ /)
  c.send('x SUBJECT {300000}\r\nu APPEND INBOX {99999999999999999999}\r\nv NOOP\r\n')
  assert.match(await c.until('v '), /^t NO \[TOOBIG\][^\r]*\r\nu NO \[TOOBIG\][^\r]*\r\nv OK/)
})

test('4: a literal beyond the cap that is not waited with ends the session with TOOBIG, also in pieces', async (t) => {
  for (const command of [
    'SEARCH SUBJECT {99999999+}\r\n',
    'APPEND INBOX {99999999999999999999+}\r\n',
    `SEARCH ${'x'.repeat(70_000)} {99999999+}\r\n`,
    `APPEND missing {900000+}\r\n${'x'.repeat(900_000)} {900000+}\r\n${'x'.repeat(900_000)}`,
  ]) {
    const { mail, wire } = await world(t)
    const c = await wire()
    await c.login()
    await c.ask('s SELECT INBOX')
    c.send(`k ${command}x CREATE smuggled\r\n`.repeat(2))
    const heard = await c.rest()
    assert.match(heard, /^\* BYE \[TOOBIG\]/m)
    assert.doesNotMatch(heard, /^x /m)
    assert.equal((await mail.open().list()).length, 1)
  }
})

test('4: LITERAL- is announced in place of LITERAL+, and takes 4096 octets', async (t) => {
  const { wire } = await world(t, {}, { literalMinus: true })
  const c = await wire()
  assert.match(await c.until('* OK'), / LITERAL-(?= |\])/)
  assert.doesNotMatch(await c.ask('a CAPABILITY'), /LITERAL\+/)
  await c.ask('l LOGIN anna secret')
  assert.match(await c.ask(`b APPEND INBOX {4096+}\r\n${'x'.repeat(4096)}`), /^b OK/)
  assert.match(await c.ask(`c APPEND INBOX {4097+}\r\n${'x'.repeat(4097)}`), /^c BAD \[TOOBIG\]/)
  c.send('d APPEND INBOX {4097}\r\n')
  await c.until('+ ')
  c.send(`${'x'.repeat(4097)}\r\n`)
  assert.match(await c.until('d '), /^d OK/)
})

test('5: APPEND in all its forms says the same however it is cut', async (t) => {
  const script =
    'a LOGIN anna secret\r\nb APPEND INBOX (\\Seen) "01-Feb-2026 00:00:00 +0130" {5+}\r\nA: b\n {7+}\r\nC: d\r\n\r\r\n' +
    'c APPEND INBOX CATENATE (TEXT {3+}\r\nX:  URL {14+}\r\n/INBOX/;UID=1 TEXT {0+}\r\n)\r\n' +
    'c2 APPEND INBOX CATENATE (TEXT {3+}\r\nX:  URL {13+}\r\n/INBOX/;UID=1 TEXT {0+}\r\n)\r\n' +
    'd APPEND INBOX ~{47+}\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\x01\x02\n\r\0\r\n34\r\n' +
    'e APPEND INBOX (\\Recent) {20+}\r\nf CREATE smuggled\r\n\r\n\r\nf SELECT INBOX\r\ng UID REPLACE 1 INBOX {4+}\r\nE: f\r\n' +
    'h FETCH 1:* (UID INTERNALDATE BODY.PEEK[])\r\ni STORE 1 +FLAGS "\r\nj ~{3+}\r\nabc\r\nk UNAUTHENTICATE\r\nl LOGIN {4+}\r\nanna secret\r\n' +
    'm APPEND missing {3+}\r\nabc {0}\r\nn ID ("name" "x")\r\no LOGOUT\r\n'
  const run = async (cuts: readonly number[]): Promise<string> => {
    const { wire } = await world(t)
    const c = await wire()
    c.socket.setNoDelay(true)
    let at = 0
    for (const cut of cuts) {
      c.send(script.slice(at, cut))
      at = cut
      await new Promise((resolve) => setImmediate(resolve))
    }
    c.send(script.slice(at))
    return c.rest()
  }
  const whole = await run([])
  assert.match(whole, /^b OK \[APPENDUID 1001 1:2\]/m)
  assert.match(whole, /^c BAD/m)
  assert.match(whole, /^c2 OK \[APPENDUID 1001 3\]/m)
  assert.match(whole, /^d OK \[APPENDUID 1001 4\]/m)
  assert.match(whole, /^\* OK \[APPENDUID 1001 5\][^]*^g OK/m)
  assert.match(whole, /^l OK/m)
  assert.match(whole, /^o OK LOGOUT completed\r\n$/m)
  assert.doesNotMatch(whole, /smuggled/)
  assert.equal(await run(Array.from({ length: script.length - 1 }, (_, i) => i + 1)), whole)
  for (let cut = 1; cut < script.length; cut += 40) assert.equal(await run([cut]), whole, `cut at ${cut}`)
})

test('8: the first words of other protocols end the connection', async (t) => {
  for (const [first, alien] of [
    ['GET / HTTP/1.1', true],
    ['POST /x HTTP/1.1', true],
    ['EHLO example.org', true],
    ['OPTIONS * RTSP/1.0', true],
    ['a NONSENSE', false],
  ] as const) {
    const { wire } = await world(t)
    const c = await wire()
    await c.until('* OK')
    c.send(`${first}\r\nHost: a\r\nz NOOP\r\n`)
    if (alien) assert.doesNotMatch(await c.rest(), /z OK/)
    else assert.match(await c.until('z '), /z OK/)
  }
})

test('8: a tag that is none is not said back', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  for (const tag of ['+', '*', 'a+b', '(a)', '"a"', '{3}x', 'a%', `${'a'.repeat(101)}`, '\xe4', '\x07']) {
    c.send(`${tag} NOOP\r\nz NOOP\r\n`)
    assert.match(await c.until('z '), /^\* BAD [^\r]*\r\nz OK/, tag)
  }
  c.send('a\r\nz NOOP\r\n')
  assert.match(await c.until('z '), /^a BAD [^\r]*\r\nz OK/)
})

test('9: NUL, 8-bit and broken UTF-8 in quoted strings', async (t) => {
  const { sessions, wire } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  for (const text of ['"a\0b"', '"a\xe4b"', '"gr\xc3\xbcn"', '"a\rb"', '"a\\b"'])
    assert.match(await c.ask(`a SEARCH SUBJECT ${text}`), /^a BAD/, text)
  assert.match(await c.ask('b SEARCH SUBJECT {3+}\r\na\0b'), /^b BAD/)
  sessions[0]?.enabled.add('UTF8=ACCEPT')
  assert.match(await c.ask('c SEARCH SUBJECT "gr\xc3\xbcn"'), /c OK/)
  for (const text of ['"a\xe4b"', '"\xc3"', '"\xed\xa0\x80"', '"\xc0\xaf"', '"a\0"'])
    assert.match(await c.ask(`d SEARCH SUBJECT ${text}`), /^d BAD/, text)
})

test('12: IDLE ends at DONE in any case and any cut, at nothing else, and with the stream', async (t) => {
  const { sessions, mail, wire } = await world(t)
  const c = await wire()
  c.socket.setNoDelay(true)
  await c.login()
  for (const done of ['DONE', 'done', 'dOnE']) {
    c.send('a IDLE\r\n')
    await c.until('+ ')
    for (const letter of `${done}\r\n`) {
      c.send(letter)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.match(await c.until('a '), /^a OK/)
  }
  for (const other of ['NOOP', 'DONE ', ' DONE', 'DONEDONE', '', 'a NOOP']) {
    c.send(`b IDLE\r\n${other}\r\n`)
    assert.match(await c.until('b '), /^\+ [^\r]*\r\nb BAD/, other)
  }
  // A literal means nothing there.
  c.send('c IDLE\r\n{5+}\r\nd NOOP\r\n')
  assert.match(await c.until('d '), /^\+ [^\r]*\r\nc BAD [^\r]*\r\nd OK/)
  c.send('e IDLE\r\nDO')
  await c.until('+ ')
  c.socket.end()
  await sessions[0]?.closed
  assert.equal(mail.watchers, 0)
})

test('ID: background work of indexers is sent away while the server is busy', async (t) => {
  let busy = true
  const { wire } = await world(t, {}, { busy: () => busy, id: { name: 'Aviso' } })
  const c = await wire()
  await c.until('* OK')
  assert.match(await c.ask('a ID ("name" "com.apple.mail" "event" "spotlight-indexer")'), /^a NO \[UNAVAILABLE\]/)
  assert.match(await c.ask('b ID ("NAME" "com.apple.email.maild" "EVENT" "back-fill")'), /^b NO \[UNAVAILABLE\]/)
  assert.match(
    await c.ask('c ID ("name" "com.apple.mail" "event" "user-initiated")'),
    /^\* ID \("name" "Aviso"\)\r\nc OK/,
  )
  assert.match(await c.ask('d ID ("name" "other" "event" "indexer")'), /d OK/)
  assert.match(await c.ask('e ID NIL'), /e OK/)
  busy = false
  assert.match(await c.ask('f ID ("name" "com.apple.mail" "event" "spotlight-indexer")'), /f OK/)
})

test('UNAUTHENTICATE: the next login, piped behind it, finds nothing of the last', async (t) => {
  const { mail, sessions, wire } = await world(t)
  await fill(mail, 2, 'INBOX', ['\\Deleted'])
  const c = await wire()
  assert.match(await c.until('* OK'), /LITERAL\+/)
  assert.match(await c.ask('a UNAUTHENTICATE'), /^a BAD/)
  assert.match(await c.ask('b LOGIN anna secret'), / UNAUTHENTICATE(?= |\])/)
  await c.ask('c SELECT INBOX')
  sessions[0]?.enabled.add('UTF8=ACCEPT')
  assert.equal(mail.watchers, 1)
  c.send(
    'd UNAUTHENTICATE\r\ne FETCH 1 FLAGS\r\nf STATUS INBOX (MESSAGES)\r\ng LOGIN anna secret\r\nh FETCH 1 FLAGS\r\n',
  )
  const heard = await c.until('h ')
  assert.match(
    heard,
    /^d OK \[CAPABILITY (?!.*UNAUTHENTICATE)[^\r]*\r\ne BAD [^\r]*\r\nf BAD [^\r]*\r\ng OK [^\r]*\r\nh BAD/,
  )
  assert.equal(sessions[0]?.enabled.size, 0)
  assert.equal(mail.watchers, 1)
  // No EXPUNGE came of it.
  assert.match(await c.ask('i STATUS INBOX (MESSAGES)'), /MESSAGES 2\)/)
})

test('long literals of all sessions share one budget: who comes when it is used up waits, also without being asked to', async (t) => {
  const literalBudget = new LiteralBudget(250_000)
  const { mail, sessions, wire } = await world(t, {}, { literalBudget })
  const [a, b, c, d] = [await wire(), await wire(), await wire(), await wire()]
  for (const one of [a, b, c, d]) await one.login()
  const long = 'x'.repeat(200_000)
  a.send('a APPEND INBOX {200000}\r\n')
  await a.until('+ ')
  assert.equal(literalBudget.used, 200_000)
  b.send('b APPEND INBOX {200000}\r\n')
  c.send(`c APPEND INBOX {200000+}\r\n${long}\r\n`)
  while (literalBudget.waiting < 2) await new Promise((resolve) => setImmediate(resolve))
  // Short ones do not wait; other sessions neither.
  assert.match(await d.ask('d APPEND INBOX {3+}\r\nabc'), /d OK/)
  assert.equal(literalBudget.used, 200_000)
  a.send(`${long}\r\n`)
  assert.match(await a.until('a '), /a OK/)
  await b.until('+ ')
  // One that leaves while it has room, or waits for it, gives it back.
  b.socket.destroy()
  assert.match(await c.until('c '), /c OK/)
  while (literalBudget.used > 0) await new Promise((resolve) => setImmediate(resolve))
  await sessions[1]?.closed
  assert.equal((await mail.open().status('INBOX')).messages, 3)
})

test('commands of many long literals do not wait for each other for ever', async (t) => {
  const literalBudget = new LiteralBudget(150_000)
  const { wire } = await world(t, {}, { literalBudget })
  const all = [await wire(), await wire(), await wire()]
  for (const one of all) await one.login()
  const piece = `{70000+}\r\n${'x'.repeat(70_000)}`
  for (const one of all) one.send(`a APPEND INBOX ${piece} ${piece} ${piece}\r\n`)
  for (const one of all) assert.match(await one.until('a '), /a OK/)
  assert.equal(literalBudget.used, 0)
  assert.equal(literalBudget.waiting, 0)
})

test('a long literal that takes room from others and does not go on is cut off', async (t) => {
  const alarms: { ring: () => void; set: number }[] = []
  const alarm = (ring: () => void): Alarm => {
    const one = { ring, set: 0 }
    alarms.push(one)
    return { reset: (milliseconds) => (one.set = milliseconds), stop: () => (one.set = 0) }
  }
  const literalBudget = new LiteralBudget(1_000_000)
  const { sessions, wire } = await world(t, {}, { literalBudget, alarm })
  const c = await wire()
  await c.login()
  const socket = sessions[0]?.connection.socket
  assert.ok(socket instanceof Socket)
  const arrived = async (octets: number): Promise<void> => {
    const until = socket.bytesRead + octets
    c.send('x'.repeat(octets))
    while (socket.bytesRead < until) await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
  c.send('a APPEND INBOX {400000}\r\n')
  await c.until('+ ')
  const [session] = alarms
  assert.ok(session)
  while (session.set !== 120_000) await new Promise((resolve) => setImmediate(resolve))
  // Slowly, but on.
  await arrived(40_000)
  session.set = 0
  session.ring()
  assert.equal(session.set, 120_000)
  await arrived(1000)
  session.ring()
  assert.match(await c.rest(), /^\* BYE/)
  assert.equal(literalBudget.used, 0)
})

test('what an account answers late does not hold up the octets of a refused command', async (t) => {
  const { mail, wire } = await world(
    t,
    {},
    {
      open: async () => ({
        ...(mail.open() as MailAccount),
        status: async () => {
          await new Promise((resolve) => setImmediate(resolve))
          throw new Error('the disk is gone')
        },
      }),
    },
  )
  const c = await wire()
  await c.login()
  c.send('a APPEND INBOX {10}\r\nb NOOP\r\n')
  assert.match(await c.until('b '), /^a NO \[SERVERBUG\][^\r]*\r\nb OK/)
})
