// The client against our own server: what a program does with a mailbox.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { type ClientOptions, connectImap, ImapClientError, type ImapClientSession } from '../../src/index.ts'
import { fill, MESSAGE, type World, world } from '../harness.ts'

async function client(
  t: TestContext,
  { connect }: World,
  more: Partial<ClientOptions> = {},
): Promise<ImapClientSession> {
  const session = await connectImap({
    host: '127.0.0.1',
    tls: 'none',
    plaintextPassword: true,
    auth: { user: 'anna', password: 'secret' },
    dial: connect,
    ...more,
  })
  t.after(() => session.close())
  return session
}

test('a day in a mailbox: list, file, read, flag, search, copy, move, expunge', async (t) => {
  const place = await world(t, { mailboxes: { Sent: 'Sent', Trash: 'Trash' } })
  const session = await client(t, place)
  assert.equal(session.enabled.has('IMAP4REV1'), false)
  await session.create('Ärger/über & so')
  await session.subscribe('Ärger/über & so')
  const filed = await session.append('INBOX', {
    content: MESSAGE,
    flags: ['\\Seen', '$Work'],
    internalDate: new Date('2026-02-01T10:00:00Z'),
  })
  assert.deepEqual(filed.uids, [1])
  await fill(place.mail, 4)
  const mailboxes = await session.list({ status: ['MESSAGES', 'UIDNEXT', 'SIZE'] })
  assert.deepEqual(
    mailboxes.map(({ name, role, subscribed, status }) => [name, role, subscribed, status?.messages]),
    [
      ['INBOX', '\\Inbox', false, 5],
      ['Sent', '\\Sent', false, 0],
      ['Trash', '\\Trash', false, 0],
      ['Ärger', undefined, false, 0],
      ['Ärger/über & so', undefined, true, 0],
    ],
  )
  assert.deepEqual(
    (await session.list({ subscribed: true })).map(({ name }) => name),
    ['Ärger/über & so'],
  )

  const inbox = await session.select('INBOX')
  assert.deepEqual([inbox.exists, inbox.readOnly, inbox.uidNext], [5, false, 6])
  const first = await inbox.fetchOne(1, {
    flags: true,
    envelope: true,
    bodyStructure: true,
    internalDate: true,
    size: true,
    header: ['Subject', 'Date'],
    source: true,
  })
  assert.deepEqual(first?.flags, ['\\Seen', '$Work'])
  assert.equal(first?.envelope?.subject, 'Hello there')
  assert.deepEqual(first?.envelope?.to, [{ kind: 'mailbox', name: 'Bob', address: 'bob@example.net' }])
  assert.equal(first?.bodyStructure?.type, 'text/plain')
  assert.equal(first?.internalDate, Date.UTC(2026, 1, 1, 10))
  assert.deepEqual(first?.source, MESSAGE)
  assert.equal(first?.size, MESSAGE.length)
  assert.match(String(first?.header), /^Subject: Hello there\r\nDate: /)
  assert.equal(await inbox.fetchOne(99, { flags: true }), undefined)

  assert.deepEqual(await inbox.search({ subject: 'hello' }), [1])
  assert.deepEqual(await inbox.search({ or: [{ body: 'body 2' }, { seen: true }], not: { keyword: 'other' } }), [1, 3])
  assert.deepEqual(await inbox.search({ text: 'ÄÖÜ' }), [])
  assert.deepEqual(
    await inbox.search({ header: { 'message-id': '1@example' }, larger: 10, since: new Date('2026-02-01') }),
    [1],
  )
  assert.deepEqual(await inbox.count({ seen: false }), { count: 4, min: 2, max: 5 })
  assert.deepEqual(await inbox.sort(['-SUBJECT', 'DATE'], { seen: false }), [5, 4, 3, 2])
  assert.deepEqual(await inbox.sort(['SUBJECT'], { text: 'ÄÖÜ' }), [])
  assert.deepEqual(await inbox.thread('REFERENCES', { subject: 'hello' }), [{ number: 1, children: [] }])

  const stored = await inbox.store([1, 2], { add: ['\\Flagged'] })
  assert.deepEqual(
    stored.messages.map(({ uid, flags }) => [uid, flags?.includes('\\Flagged')]),
    [
      [1, true],
      [2, true],
    ],
  )
  await inbox.store('1:*', { remove: ['\\Flagged'] })
  assert.deepEqual(await inbox.search({ flagged: true }), [])

  const copied = await inbox.copy('1:2', 'Ärger/über & so')
  assert.deepEqual(
    [...copied.uids],
    [
      [1, 1],
      [2, 2],
    ],
  )
  const moved = await inbox.move([2], 'Trash')
  assert.deepEqual([...moved.uids, moved.expunged], [[2, 1], true])
  assert.equal(inbox.exists, 4)
  await inbox.store('3:4', { set: ['\\Deleted'] })
  await inbox.expunge(3)
  assert.deepEqual(await inbox.search('ALL'), [1, 4, 5])
  await inbox.expunge()
  assert.deepEqual(await inbox.search('ALL'), [1, 5])
  assert.deepEqual((await session.status('Trash', ['MESSAGES', 'UNSEEN'])).messages, 1)
  assert.deepEqual((await session.namespaces()).personal, [{ prefix: '', delimiter: '/' }])
  await session.rename('Ärger/über & so', 'Ruhe')
  await session.unselect()
  assert.equal(inbox.selected, false)
  await assert.rejects(async () => inbox.search('ALL'), { status: 'CLOSED' })
  assert.deepEqual([...session.quirks], [])
  await session.logout()
  assert.equal(session.error?.status, 'CLOSED')
})

test('a refusal rejects with code and text', async (t) => {
  const place = await world(t)
  await assert.rejects(client(t, place, { auth: { user: 'anna', password: 'wrong' } }), (error) => {
    assert.ok(error instanceof ImapClientError)
    assert.deepEqual([error.status, error.code], ['NO', 'AUTHENTICATIONFAILED'])
    return true
  })
  const session = await client(t, place)
  await assert.rejects(session.append('Nowhere', { content: MESSAGE }), { status: 'NO', code: 'TRYCREATE' })
  await assert.rejects(session.select('Nowhere'), { code: 'NONEXISTENT' })
  await assert.rejects(session.command('XYZZY', ['XYZZY']), { status: 'BAD' })
  await assert.rejects(session.append('INBOX', { content: new Uint8Array(2_000_000) }), { status: 'UNSUPPORTED' })
  await session.noop()
})

test('many commands at once: each gets its own answer', async (t) => {
  const place = await world(t, { mailboxes: { A: undefined, B: undefined } })
  await fill(place.mail, 3, 'A')
  await fill(place.mail, 5, 'B')
  const session = await client(t, place)
  const [a, b, names, box] = await Promise.all([
    session.status('A', ['MESSAGES']),
    session.status('B', ['MESSAGES']),
    session.list(),
    session.select('B'),
    session.append('A', { content: MESSAGE }),
  ])
  assert.deepEqual([a.messages, b.messages, names.length, box.exists], [3, 5, 3, 5])
  const [one, some, found, none, two] = await Promise.all([
    box.fetchOne(2, { source: true }),
    box.store([1, 2], { add: ['\\Seen'] }),
    box.search({ subject: '4' }),
    box.search({ subject: 'nothing' }),
    box.fetchOne(3, { flags: true, envelope: true }),
  ])
  assert.match(String(one?.source), /body 2/)
  assert.equal(some.messages.length, 2)
  assert.deepEqual([found, none, two?.envelope?.subject], [[4], [], '3'])
})

test('a loop may stop early, or ask for other things, and everything goes on', { timeout: 30_000 }, async (t) => {
  const place = await world(t)
  await fill(place.mail, 2000)
  const session = await client(t, place)
  const inbox = await session.select('INBOX')
  for await (const { uid } of inbox.fetch('1:*', { source: true, envelope: true })) if (uid === 3) break
  let seen = 0
  for await (const { uid } of inbox.fetch('1:*', { source: true, envelope: true })) {
    seen++
    // The classic way to lock oneself out: a command whose answer stands behind what the loop has not taken yet.
    if (uid % 500 === 0) await inbox.store(uid, { add: ['\\Flagged'] })
  }
  assert.equal(seen, 2000)
  assert.deepEqual(await inbox.search({ flagged: true }), [500, 1000, 1500, 2000])
})

test('a message of any size comes in pieces, and can be left half read', async (t) => {
  const place = await world(t, { appendLimit: 20_000_000 })
  const session = await client(t, place)
  const large = Buffer.alloc(9_000_000, 'x'.repeat(76) + '\r\n')
  async function* pieces(): AsyncGenerator<Buffer> {
    yield Buffer.from('Subject: large\r\n\r\n')
    for (let at = 0; at < large.length; at += 100_000) yield large.subarray(at, at + 100_000)
  }
  const filed = await session.append('INBOX', { content: { size: large.length + 18, octets: pieces() } })
  const inbox = await session.select('INBOX')
  const uid = filed.uids[0] ?? 0
  const whole = await inbox.download(uid)
  assert.equal(whole?.size, large.length + 18)
  const heard: Buffer[] = []
  for await (const piece of whole?.content ?? []) heard.push(Buffer.from(piece))
  assert.ok(Buffer.concat(heard).subarray(18).equals(large))
  const half = await inbox.download(uid, 'TEXT')
  for await (const piece of half?.content ?? []) {
    assert.ok(piece.length > 0)
    break
  }
  assert.equal(await inbox.download(99), undefined)
  assert.deepEqual(await inbox.search('ALL'), [uid])
})

test('what is too large for memory is left out and named; the connection lives', async (t) => {
  const place = await world(t)
  await fill(place.mail, 1)
  const session = await client(t, place, { limits: { body: 30 } })
  const inbox = await session.select('INBOX')
  const message = await inbox.fetchOne(1, { source: true, size: true })
  assert.deepEqual(message?.leftOut, ['BODY[]'])
  assert.equal(message?.source, undefined)
  assert.equal((await inbox.fetchOne(1, { sections: ['TEXT'] }))?.sections.get('TEXT')?.toString(), 'body 1\r\n')
  assert.equal(
    (await inbox.fetchOne(1, { sections: [{ section: 'TEXT', from: 2, octets: 2 }] }))?.sections
      .get('TEXT')
      ?.toString(),
    'dy',
  )
})

test('idling hears what others do, and steps aside for commands', async (t) => {
  const place = await world(t)
  await fill(place.mail, 1)
  const session = await client(t, place)
  const inbox = await session.select('INBOX')
  const events: string[] = []
  let grown = (): void => undefined
  session.listen((event) => {
    events.push(event.kind)
    if (event.kind === 'exists') grown()
  })
  const stop = new AbortController()
  const idling = session.idle({ signal: stop.signal })
  const heard = new Promise<void>((resolve) => (grown = resolve))
  await fill(place.mail, 1)
  await heard
  assert.equal(inbox.exists, 2)
  assert.deepEqual(await inbox.search('ALL'), [1, 2])
  const again = new Promise<void>((resolve) => (grown = resolve))
  await fill(place.mail, 1)
  await again
  assert.equal(inbox.exists, 3)
  stop.abort()
  await idling
  await session.noop()
  assert.deepEqual([...new Set(events)], ['exists'])
})
