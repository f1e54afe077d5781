// The client on the wire: how it greets, waits, gives up, and what it does without.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDeflateRaw, createInflateRaw, constants } from 'node:zlib'
import { connectImap, ImapClientError, type ClientEvent } from '../../src/index.ts'
import { HandClock, pair, scripted, selecting } from './script.ts'

test('login: SCRAM is preferred, capabilities are asked for where nobody tells, the rest follows', async (t) => {
  const { server, options } = pair(t)
  server.send('* OK Welcome')
  const connecting = connectImap({
    ...options,
    auth: { user: 'anna', password: 'p"w' },
    plaintextPassword: true,
    id: { name: 'test' },
    enable: ['CONDSTORE', 'UTF8=ACCEPT', 'X-NONE'],
  })
  await server.answer('CAPABILITY', ['* CAPABILITY IMAP4rev1 LITERAL+ AUTH=XOAUTH2'])
  await server.answer('LOGIN "anna" "p\\"w"')
  await server.answer('CAPABILITY', ['* CAPABILITY IMAP4rev1 ID ENABLE CONDSTORE UTF8=ACCEPT'])
  await server.answer('ID ("name" "test")', ['* ID ("name" "Scripted")'])
  await server.answer('ENABLE CONDSTORE UTF8=ACCEPT', ['* ENABLED CONDSTORE UTF8=ACCEPT'])
  const session = await connecting
  assert.equal(session.serverId.get('name'), 'Scripted')
  assert.deepEqual([...session.enabled], ['CONDSTORE', 'UTF8=ACCEPT'])
  const making = session.create('Entwürfe & so')
  await server.answer('CREATE "Entw\xc3\xbcrfe & so"')
  await making
})

test('a password does not go over a connection that anybody can read', async (t) => {
  const { server, options } = pair(t)
  server.send('* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] Welcome')
  await assert.rejects(connectImap({ ...options, auth: { user: 'anna', password: 'secret' } }), {
    status: 'UNSUPPORTED',
  })
  await server.gone()
  assert.equal(await server.silence(), '')
})

test('a server that cannot prove that it knows the password is left', async (t) => {
  const { server, options } = pair(t)
  server.send('* OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 SASL-IR] Welcome')
  const connecting = connectImap({ ...options, auth: { user: 'anna', password: 'secret' } })
  const refused = assert.rejects(connecting, { name: 'SaslFailure' })
  const tag = await server.command(/^AUTHENTICATE SCRAM-SHA-256 /)
  server.send(`${tag} OK You are in, believe me`)
  await refused
  await server.gone()
})

test('STARTTLS: what stands behind the answer is never heard', async (t) => {
  const { server, options } = pair(t)
  server.send('* OK [CAPABILITY IMAP4rev1 STARTTLS] Welcome')
  const refused = assert.rejects(connectImap({ ...options, tls: 'starttls' }), { status: 'PROTOCOL' })
  const tag = await server.command('STARTTLS')
  server.send(`${tag} OK Begin`, '* CAPABILITY IMAP4rev1 AUTH=PLAIN')
  await refused
  await server.gone()
})

test('STARTTLS: neither PREAUTH nor a missing offer leads to a connection in clear', async (t) => {
  for (const greeting of ['* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] In', '* OK [CAPABILITY IMAP4rev1] No TLS']) {
    const { server, options } = pair(t)
    server.send(greeting)
    await assert.rejects(connectImap({ ...options, tls: 'starttls' }), ImapClientError)
    await server.gone()
  }
})

test('BYE as greeting, and later: the text is the reason', async (t) => {
  const { server, options } = pair(t)
  server.send('* BYE [UNAVAILABLE] Come back tomorrow')
  await assert.rejects(connectImap(options), { status: 'BYE', code: 'UNAVAILABLE', text: 'Come back tomorrow' })
  const open = await scripted(t)
  const events: ClientEvent[] = []
  open.session.listen((event) => events.push(event))
  const noop = assert.rejects(open.session.noop(), { status: 'BYE' })
  await open.server.command('NOOP')
  open.server.send('* OK [ALERT] The disk is full', '* BYE Shutting down')
  open.server.socket.end()
  await noop
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['alert', 'bye', 'closed'],
  )
})

test('literals: asked for one by one, small ones at once with LITERAL-, all with LITERAL+', async (t) => {
  const octets = Buffer.alloc(5000, 'x')
  const plain = await scripted(t)
  const refused = assert.rejects(plain.session.append('INBOX', { content: octets }), { code: 'OVERQUOTA' })
  const next = plain.session.append('INBOX', { content: Buffer.from('abc'), flags: ['\\Seen', '$Work'] })
  const tag = await plain.server.command('APPEND INBOX {5000}')
  assert.equal(await plain.server.silence(), '')
  plain.server.send(`${tag} NO [OVERQUOTA] Full`)
  await refused
  const second = await plain.server.command('APPEND INBOX (\\Seen $Work) {3}')
  plain.server.send('+ go')
  assert.equal(await plain.server.octets(5), 'abc\r\n')
  plain.server.send(`${second} OK [APPENDUID 7 4] Done`)
  assert.deepEqual(await next, { uidValidity: 7, uids: [4] })
  const minus = await scripted(t, 'LITERAL- MULTIAPPEND')
  const filing = minus.session.append('A b', [
    { content: Buffer.from('abc') },
    { content: octets, internalDate: new Date(0) },
  ])
  await minus.server.command('APPEND "A b" {3+}')
  assert.equal(await minus.server.line(), 'abc " 1-Jan-1970 00:00:00 +0000" {5000}')
  minus.server.send('+')
  await minus.server.octets(5002)
  minus.server.send('A1 OK [APPENDUID 7 4:5] Done')
  assert.deepEqual((await filing).uids, [4, 5])
  const plus = await scripted(t, 'LITERAL+')
  const all = plus.session.append('INBOX', { content: octets })
  await plus.server.command('APPEND INBOX {5000+}')
  await plus.server.octets(5002)
  plus.server.send('A1 OK Done')
  assert.deepEqual(await all, { uidValidity: undefined, uids: [] })
})

test('a message that is shorter than announced ends the connection: what follows would be taken for its rest', async (t) => {
  const { server, session } = await scripted(t, 'LITERAL+')
  async function* short(): AsyncGenerator<Buffer> {
    yield Buffer.from('abc')
  }
  await assert.rejects(session.append('INBOX', { content: { size: 10, octets: short() } }), RangeError)
  await server.gone()
  await assert.rejects(session.noop(), { status: 'CLOSED' })
})

test('text that would break out of its command is not sent', async (t) => {
  const { server, session } = await scripted(t)
  const selected = session.select('INBOX')
  await selecting(server, 1)
  const inbox = await selected
  await assert.rejects(inbox.search('ALL\r\nA9 DELETE INBOX'), { status: 'UNSUPPORTED' })
  await assert.rejects(inbox.store('1', { add: ['\\Seen) X'] }), { status: 'UNSUPPORTED' })
  assert.throws(() => inbox.fetch('1 X', { flags: true }), { status: 'UNSUPPORTED' })
  assert.throws(() => inbox.fetch('1', { sections: ['1] X'] }), { status: 'UNSUPPORTED' })
  assert.throws(() => inbox.fetch('1', { header: ['Subject) X'] }), { status: 'UNSUPPORTED' })
  await assert.rejects(inbox.search({ keyword: 'a b' }), { status: 'UNSUPPORTED' })
  const searching = inbox.search({ subject: 'a\r\nb' })
  await server.command('UID SEARCH SUBJECT {4}')
  server.send('+')
  assert.equal(await server.octets(6), 'a\r\nb\r\n')
  server.send('* SEARCH', 'A2 OK Done')
  assert.deepEqual(await searching, [])
})

test('time counts from octet to octet, not from command to answer', async (t) => {
  const clock = new HandClock()
  const { server, session } = await scripted(t, '', { clock, timeouts: { read: 1000 } })
  assert.deepEqual(clock.pending, [])
  const slow = session.command('XSLOW', ['XSLOW'])
  await server.command('XSLOW')
  for (let i = 0; i < 5; i++) {
    clock.advance(900)
    server.send(`* OK Still at it: ${i}`)
    await server.silence()
  }
  server.send('A1 OK Done')
  await slow
  assert.deepEqual(clock.pending, [])
  const silent = assert.rejects(session.noop(), { status: 'TIMEOUT' })
  await server.command('NOOP')
  clock.advance(1000)
  await silent
  await server.gone()
})

test('a command is given up: before it is sent nothing is sent, later its answer is read over', async (t) => {
  const { server, session } = await scripted(t)
  const stop = new AbortController()
  const selected = session.select('INBOX')
  const waiting = assert.rejects(session.noop(stop.signal), { name: 'AbortError' })
  stop.abort()
  await waiting
  await selecting(server, 3)
  const inbox = await selected
  const later = new AbortController()
  const search = assert.rejects(inbox.search('ALL', { signal: later.signal }), { name: 'AbortError' })
  await server.command('UID SEARCH ALL')
  later.abort()
  await search
  const other = inbox.search('SEEN')
  await server.command('UID SEARCH SEEN')
  server.send('* SEARCH 1 2 3', 'A3 OK Done', '* SEARCH 2', 'A4 OK Done')
  assert.deepEqual(await other, [2])
})

test('two loops over one connection, neither of which takes anything: commands are still answered', async (t) => {
  const { server, session } = await scripted(t)
  const selected = session.select('INBOX')
  await selecting(server, 1000)
  const inbox = await selected
  const one = inbox.fetch('1:500', { source: true })
  const first = one.next()
  await server.command('UID FETCH 1:500 (UID BODY.PEEK[])')
  const body = 'x'.repeat(100_000)
  for (let uid = 1; uid <= 40; uid++) server.send(`* ${uid} FETCH (UID ${uid} BODY[] {100000}`, `${body})`)
  server.send('A2 OK Done')
  assert.equal((await first).value?.uid, 1)
  // The loop has enough, so nothing more is read, until someone else wants to know something.
  const noop = session.noop()
  await server.answer('NOOP')
  await noop
  let count = 1
  for await (const { source } of one) count += source?.length === 100_000 ? 1 : 0
  assert.equal(count, 40)
})

test('a loop that takes nothing while others use the connection is given up before memory is', async (t) => {
  const { server, session } = await scripted(t, '', { limits: { waiting: 1_000_000 } })
  const selected = session.select('INBOX')
  await selecting(server, 1000)
  const one = (await selected).fetch('1:500', { source: true })
  const first = one.next()
  await server.command(/^UID FETCH/)
  const noop = session.noop()
  await server.command('NOOP')
  const body = 'x'.repeat(100_000)
  for (let uid = 1; uid <= 40; uid++) server.send(`* ${uid} FETCH (UID ${uid} BODY[] {100000}`, `${body})`)
  server.send('A2 OK Done', 'A3 OK Done')
  await noop
  await first
  await assert.rejects(
    async () => {
      while (!(await one.next()).done);
    },
    { status: 'LIMIT' },
  )
})

test('news in the middle of a result are news, not results', async (t) => {
  const { server, session } = await scripted(t)
  const selected = session.select('INBOX')
  await selecting(server, 3)
  const inbox = await selected
  const events: ClientEvent[] = []
  session.listen((event) => events.push(event))
  const all: number[] = []
  const reading = (async () => {
    for await (const { uid } of inbox.fetch('1:*', { envelope: true })) all.push(uid)
  })()
  await server.answer('UID FETCH 1:* (UID ENVELOPE)', [
    '* 1 FETCH (UID 1 ENVELOPE (NIL "a" NIL NIL NIL NIL NIL NIL NIL NIL))',
    '* 2 FETCH (UID 2 FLAGS (\\Seen))',
    '* 4 EXISTS',
    '* 9 RECENT',
    '* 2 FETCH (UID 2 ENVELOPE (NIL "b" NIL NIL NIL NIL NIL NIL NIL NIL) FLAGS (\\Seen))',
    '* 1 EXPUNGE',
  ])
  await reading
  assert.deepEqual(all, [1, 2])
  assert.deepEqual(events, [
    { kind: 'flags', sequence: 2, uid: 2, flags: ['\\Seen'], modseq: undefined },
    { kind: 'exists', count: 4 },
    { kind: 'expunge', sequence: 1 },
  ])
  assert.equal(inbox.exists, 3)
})

test('sets too long for a line go in several commands', async (t) => {
  const { server, session } = await scripted(t)
  const selected = session.select('INBOX')
  await selecting(server, 9000)
  const inbox = await selected
  const storing = inbox.store(
    Array.from({ length: 1000 }, (_, i) => 1001 + 2 * i),
    { add: ['\\Seen'] },
  )
  const line = await server.line()
  assert.ok(line.length < 4100)
  server.send('A2 OK Done')
  assert.match(await server.line(), /^A3 UID STORE \d+,.*,2999 \+FLAGS \(\\Seen\)$/)
  server.send('A3 OK Done')
  await storing
  const none = await inbox.store([], { add: ['\\Seen'] })
  assert.deepEqual(none, { modified: [], messages: [] })
})

test('MOVE, where it is missing: never more than was asked for', async (t) => {
  const { server, session } = await scripted(t)
  const selected = session.select('INBOX')
  await selecting(server, 3)
  const inbox = await selected
  const moving = inbox.move('1:*', 'Trash')
  // A message that arrives between two steps must not be marked \Deleted without having been copied.
  await server.answer('UID SEARCH UID 1:*', ['* SEARCH 1 2'])
  await server.answer('UID COPY 1:2 Trash')
  await server.answer('UID STORE 1:2 +FLAGS.SILENT (\\Deleted)')
  await server.answer('UID SEARCH DELETED', ['* SEARCH 1 2 3'])
  assert.deepEqual(await moving, { uidValidity: undefined, uids: new Map(), expunged: false })
  const again = inbox.move(1, 'Trash')
  await server.answer('UID SEARCH UID 1', ['* SEARCH 1'])
  await server.answer('UID COPY 1 Trash', [], 'OK [COPYUID 9 1 5] Done')
  await server.answer('UID STORE 1 +FLAGS.SILENT (\\Deleted)')
  await server.answer('UID SEARCH DELETED', ['* SEARCH 1'])
  await server.answer('EXPUNGE', ['* 1 EXPUNGE'])
  assert.deepEqual(await again, { uidValidity: 9, uids: new Map([[1, 5]]), expunged: true })
  assert.equal(inbox.exists, 2)
})

test('STORE on a condition: who was left alone, also in a refusal', async (t) => {
  const { server, session } = await scripted(t, 'CONDSTORE')
  const selected = session.select('INBOX')
  await selecting(server, 3, ['* OK [HIGHESTMODSEQ 50] Highest'])
  const inbox = await selected
  const storing = inbox.store('1:3', { set: ['\\Seen'], unchangedSince: 20 })
  await server.answer(
    'UID STORE 1:3 (UNCHANGEDSINCE 20) FLAGS (\\Seen)',
    ['* 1 FETCH (UID 1 MODSEQ (60))', '* 3 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (60))'],
    'OK [MODIFIED 2] Conditional STORE failed',
  )
  const { modified, messages } = await storing
  assert.deepEqual(
    [modified, messages.map(({ uid, modseq }) => [uid, modseq])],
    [
      [2],
      [
        [1, 60],
        [3, 60],
      ],
    ],
  )
  const refused = inbox.store('2', { add: ['\\Seen'], unchangedSince: 20 })
  await server.answer(/^UID STORE 2/, [], 'NO [MODIFIED 2] Gone')
  assert.deepEqual((await refused).modified, [2])
})

test('LIST without its extensions: XLIST for the roles, STATUS one by one', async (t) => {
  const { server, session } = await scripted(t, 'XLIST')
  const listing = session.list({ status: ['MESSAGES', 'SIZE'] })
  await server.answer('XLIST "" "*"', [
    '* XLIST (\\HasNoChildren \\Inbox) "/" "Inbox"',
    '* XLIST (\\HasChildren \\Noselect) "/" "[Gmail]"',
    '* XLIST (\\HasNoChildren \\Spam) "/" "[Gmail]/Junk"',
  ])
  await server.answer('STATUS INBOX (MESSAGES)', ['* STATUS "INBOX" (MESSAGES 3)'])
  await server.answer('STATUS "[Gmail]/Junk" (MESSAGES)', [], 'NO Not now')
  assert.deepEqual(
    (await listing).map(({ name, role, selectable, status }) => [name, role, selectable, status]),
    [
      ['INBOX', '\\Inbox', true, { messages: 3 }],
      ['[Gmail]', undefined, false, undefined],
      ['[Gmail]/Junk', '\\Junk', true, undefined],
    ],
  )
})

test('IDLE is renewed before servers lose patience; where it is missing, NOOP asks now and then', async (t) => {
  const clock = new HandClock()
  const { server, session } = await scripted(t, 'IDLE', { clock })
  const stop = new AbortController()
  const idling = session.idle({ signal: stop.signal })
  const tag = await server.command('IDLE')
  server.send('+ idling')
  await server.silence()
  assert.deepEqual(clock.pending, [29 * 60_000])
  clock.advance(29 * 60_000)
  assert.equal(await server.line(), 'DONE')
  server.send(`${tag} OK Done`)
  const second = await server.command('IDLE')
  stop.abort()
  // It has not begun yet: DONE goes out when it has.
  assert.equal(await server.silence(), '')
  server.send('+ idling')
  assert.equal(await server.line(), 'DONE')
  server.send(`${second} OK Done`)
  await idling

  const poor = await scripted(t, '', { clock })
  const end = new AbortController()
  const polling = poor.session.idle({ signal: end.signal, poll: 5000 })
  await poor.server.answer('NOOP')
  await poor.server.silence()
  clock.advance(5000)
  await poor.server.answer('NOOP', ['* 4 EXISTS'])
  end.abort()
  await polling
})

test('DEFLATE in both directions, what follows the answer included', async (t) => {
  const { server, options } = pair(t)
  server.send('* PREAUTH [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] Hello')
  const connecting = connectImap({ ...options, compress: true })
  const tag = await server.command('COMPRESS DEFLATE')
  const deflate = createDeflateRaw()
  const say = (text: string): Promise<Buffer> =>
    new Promise((resolve) => {
      const out: Buffer[] = []
      const take = (piece: Buffer): number => out.push(piece)
      deflate.on('data', take)
      deflate.write(text)
      deflate.flush(constants.Z_SYNC_FLUSH, () => {
        deflate.off('data', take)
        resolve(Buffer.concat(out))
      })
    })
  const behind = await say('* OK [ALERT] squeezed\r\n')
  server.socket.removeAllListeners('data')
  const inflate = createInflateRaw()
  server.socket.pipe(inflate)
  let heard = ''
  let wake = (): void => undefined
  inflate.on('data', (piece: Buffer) => {
    heard += piece.toString()
    wake()
  })
  server.socket.write(Buffer.concat([Buffer.from(`${tag} OK Go\r\n`), behind]))
  const session = await connecting
  assert.ok(session.compressed)
  const noop = session.noop()
  while (!heard.includes('\r\n')) await new Promise<void>((resolve) => (wake = resolve))
  assert.equal(heard, 'A2 NOOP\r\n')
  server.socket.write(await say('* CAPABILITY IMAP4rev1 X-SQUEEZED\r\nA2 OK Done\r\n'))
  await noop
  assert.ok(session.capabilities.has('X-SQUEEZED'))
})

test('a server that sends without end is left', async (t) => {
  const { server, session } = await scripted(t, '', { limits: { text: 1000, literal: 100 } })
  const noop = assert.rejects(session.noop(), { status: 'LIMIT' })
  await server.command('NOOP')
  server.socket.write(`* SEARCH ${'1 '.repeat(2000)}`)
  await noop
  const other = await scripted(t, '', { limits: { literal: 100 } })
  const listing = assert.rejects(other.session.list(), { status: 'LIMIT' })
  await other.server.command('LIST "" "*"')
  other.server.send('* LIST () "/" {4000000000}')
  await listing
  const many = await scripted(t, '', { limits: { responses: 3 } })
  const long = assert.rejects(many.session.list(), { status: 'LIMIT' })
  await many.server.answer(
    'LIST "" "*"',
    Array.from({ length: 9 }, (_, i) => `* LIST () "/" ${i}`),
  )
  await long
})
