// What was known of a mailbox is brought up to date: by QRESYNC, by CONDSTORE, by comparing; and again after every loss of the connection.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { connectImap, followMailbox, type MailboxCacheState, type MailboxChange } from '../../src/index.ts'
import { fill, world } from '../harness.ts'
import { HandClock, pair, type ScriptedServer, selecting } from './script.ts'

const KNOWN: MailboxCacheState = {
  uidValidity: 7,
  modseq: 100,
  uids: [1, 2, 3, 5],
  flags: [[], ['\\Seen'], [], ['$Work']],
}

/** Changes as `+5`, `-2`, `3 \Seen`. */
const short = (change: MailboxChange): string => {
  switch (change.kind) {
    case 'added':
      return `+${change.uid}`
    case 'removed':
      return `-${change.uid}`
    case 'flags':
      return `${change.uid} ${change.flags.join(' ')}`
    case 'reset':
      return `reset ${change.uidValidity}`
  }
}

async function session(t: TestContext, capabilities: string, enable: readonly string[] = []) {
  const { server, options } = pair(t)
  server.send(`* PREAUTH [CAPABILITY IMAP4rev1 ENABLE ${capabilities}] Hello`)
  const connecting = connectImap({ ...options, enable })
  if (enable.length > 0) await server.answer(`ENABLE ${enable.join(' ')}`, [`* ENABLED ${enable.join(' ')}`])
  const session = await connecting
  const changes: string[] = []
  session.listen((event) => {
    if (event.kind === 'change') changes.push(short(event.change))
  })
  return { server, session, changes }
}

test('QRESYNC: one command tells it all', async (t) => {
  const { server, session: client, changes } = await session(t, 'CONDSTORE QRESYNC', ['QRESYNC'])
  const selected = client.select('INBOX', { cache: KNOWN })
  await server.answer('SELECT INBOX (QRESYNC (7 100 1:3,5))', [
    '* 4 EXISTS',
    '* OK [UIDVALIDITY 7] Valid',
    '* OK [HIGHESTMODSEQ 120] Highest',
    '* VANISHED (EARLIER) 2,4,1000:4000000000',
    '* 2 FETCH (UID 3 FLAGS (\\Answered) MODSEQ (110))',
    '* 4 FETCH (UID 6 FLAGS (\\Recent) MODSEQ (120))',
  ])
  const inbox = await selected
  assert.equal(await server.silence(), '')
  assert.deepEqual(changes, ['-2', '3 \\Answered', '+6'])
  assert.deepEqual(inbox.cache, {
    uidValidity: 7,
    modseq: 120,
    uids: [1, 3, 5, 6],
    flags: [[], ['\\Answered'], ['$Work'], []],
  })
  // From here on it stays true by itself.
  changes.length = 0
  const noop = client.noop()
  await server.answer('NOOP', [
    '* VANISHED 3',
    '* 5 EXISTS',
    '* 1 FETCH (FLAGS (\\Seen))',
    '* OK [HIGHESTMODSEQ 130] Highest',
  ])
  await noop
  await server.answer('UID FETCH 7:* (UID FLAGS)', ['* 4 FETCH (UID 8 FLAGS ())', '* 5 FETCH (UID 9 FLAGS (\\Seen))'])
  const after = client.noop()
  await server.answer('NOOP')
  await after
  assert.deepEqual(changes, ['-3', '1 \\Seen', '+8', '+9'])
  assert.equal(inbox.cache?.modseq, 130)
})

test('QRESYNC that does not add up is checked: the list of UIDs decides', async (t) => {
  const { server, session: client, changes } = await session(t, 'CONDSTORE QRESYNC', ['QRESYNC'])
  const selected = client.select('INBOX', { cache: KNOWN })
  await server.answer(/QRESYNC/, ['* 3 EXISTS', '* OK [UIDVALIDITY 7] Valid', '* OK [HIGHESTMODSEQ 120] Highest'])
  await server.answer(/^UID FETCH 1:5 \(UID FLAGS\) \(CHANGEDSINCE 100\)/, [])
  await server.answer(/^UID FETCH 6:\*/, ['* 3 FETCH (UID 5 FLAGS ($Work))'])
  await server.answer('UID SEARCH ALL', ['* SEARCH 1 2 5'])
  assert.deepEqual((await selected).cache?.uids, [1, 2, 5])
  assert.deepEqual(changes, ['-3'])
})

test('CONDSTORE: flags that changed, messages that came, and who is gone only when the count is wrong', async (t) => {
  const { server, session: client, changes } = await session(t, 'CONDSTORE')
  const selected = client.select('INBOX', { cache: KNOWN })
  await server.answer('SELECT INBOX (CONDSTORE)', [
    '* 4 EXISTS',
    '* OK [UIDVALIDITY 7] Valid',
    '* OK [HIGHESTMODSEQ 120] Highest',
  ])
  await server.answer('UID FETCH 1:5 (UID FLAGS) (CHANGEDSINCE 100)', ['* 1 FETCH (UID 1 MODSEQ (110) FLAGS (\\Seen))'])
  await server.answer('UID FETCH 6:* (UID FLAGS)', ['* 4 FETCH (UID 6 FLAGS ())'])
  await server.answer('UID SEARCH ALL', ['* SEARCH 1 3 5 6'])
  const inbox = await selected
  assert.deepEqual(changes, ['1 \\Seen', '+6', '-2'])
  const again = client.select('INBOX', { cache: inbox.cache ?? true })
  await server.answer('SELECT INBOX (CONDSTORE)', [
    '* 4 EXISTS',
    '* OK [UIDVALIDITY 7] Valid',
    '* OK [HIGHESTMODSEQ 120] Highest',
  ])
  await again
  assert.equal(await server.silence(), '')
})

test('another UIDVALIDITY: everything is forgotten and read anew', async (t) => {
  const { server, session: client, changes } = await session(t, 'CONDSTORE QRESYNC', ['QRESYNC'])
  const selected = client.select('INBOX', { cache: KNOWN })
  await server.answer(/QRESYNC/, ['* 1 EXISTS', '* OK [UIDVALIDITY 8] Valid', '* OK [HIGHESTMODSEQ 1] Highest'])
  await server.answer('UID FETCH 1:* (UID FLAGS)', ['* 1 FETCH (UID 1 FLAGS (\\Seen))'])
  const inbox = await selected
  assert.deepEqual(changes, ['reset 8', '+1'])
  assert.deepEqual(inbox.cache, { uidValidity: 8, modseq: 1, uids: [1], flags: [['\\Seen']] })
})

test('a state that cannot be one is refused', async (t) => {
  const { session: client } = await session(t, '')
  await assert.rejects(client.select('INBOX', { cache: { ...KNOWN, uids: [3, 2, 1, 5] } }), RangeError)
  await assert.rejects(client.select('INBOX', { cache: { ...KNOWN, flags: [] } }), RangeError)
})

test('our own server: what others did while we were away, by comparing or better', async (t) => {
  const { mail, connect } = await world(t, { mailboxes: { Trash: 'Trash' } })
  await fill(mail, 5)
  const open = () =>
    connectImap({
      host: '127.0.0.1',
      tls: 'none',
      plaintextPassword: true,
      auth: { user: 'anna', password: 'secret' },
      dial: connect,
    })
  const first = await open()
  const changes: string[] = []
  const listen = (client: typeof first): void => {
    client.listen((event) => {
      if (event.kind === 'change') changes.push(short(event.change))
    })
  }
  listen(first)
  const inbox = await first.select('INBOX', { cache: true })
  assert.deepEqual(changes, ['+1', '+2', '+3', '+4', '+5'])
  const kept = JSON.parse(JSON.stringify(inbox.cache)) as MailboxCacheState
  changes.length = 0
  const other = await open()
  const theirs = await other.select('INBOX')
  await theirs.move(2, 'Trash')
  await theirs.store(3, { add: ['\\Flagged'] })
  await fill(mail, 1)
  await first.noop()
  await first.noop()
  assert.deepEqual([...changes].sort(), ['+6', '-2', '3 \\Flagged'])
  const live = inbox.cache
  await first.logout()
  changes.length = 0
  const third = await open()
  listen(third)
  const again = await third.select('INBOX', { cache: kept })
  assert.deepEqual([...changes].sort(), ['+6', '-2', '3 \\Flagged'])
  assert.deepEqual([again.cache?.uids, again.cache?.flags], [live?.uids, live?.flags])
  await other.logout()
  await third.logout()
})

test('a mailbox is followed over lost connections: nothing is missed, nothing is told twice', async (t) => {
  const clock = new HandClock()
  const stop = new AbortController()
  const changes: string[] = []
  const delays: number[] = []
  const waiting: ((server: ScriptedServer) => void)[] = []
  const next = (): Promise<ScriptedServer> => new Promise((resolve) => waiting.push(resolve))
  let fails = 0
  let lost = (): void => undefined
  const connect = async () => {
    if (fails > 0) {
      fails--
      return connectImap({ host: 'x.example', tls: 'none', dial: async () => Promise.reject(new Error('refused')) })
    }
    const { server, options } = pair(t)
    server.send('* PREAUTH [CAPABILITY IMAP4rev1 IDLE] Hello')
    const session = await connectImap({ ...options, clock })
    waiting.shift()?.(server)
    return session
  }
  const first = next()
  const following = followMailbox({
    connect,
    mailbox: 'INBOX',
    change: (change) => changes.push(short(change)),
    lost: (_error, delay) => {
      delays.push(delay)
      lost()
    },
    delays: { first: 1000, most: 3000 },
    signal: stop.signal,
    clock,
    random: () => 1,
  })
  const server = await first
  await selecting(server, 2)
  await server.answer('UID FETCH 1:* (UID FLAGS)', ['* 1 FETCH (UID 1 FLAGS ())', '* 2 FETCH (UID 2 FLAGS ())'])
  await server.command('IDLE')
  server.send('+ idling', '* 1 EXPUNGE')
  await server.silence()
  fails = 3
  // A step for each try: the test turns the clock when the client waits for it.
  const step = (): Promise<void> => new Promise((resolve) => (lost = resolve))
  let failed = step()
  server.socket.destroy()
  const second = next()
  for (const delay of [1000, 2000, 3000, 3000]) {
    await failed
    failed = step()
    await new Promise((resolve) => setImmediate(resolve))
    clock.advance(delay)
  }
  const later = await second
  assert.deepEqual(delays, [1000, 2000, 3000, 3000])
  await selecting(later, 2)
  await later.answer('UID FETCH 1:* (UID FLAGS)', ['* 1 FETCH (UID 2 FLAGS (\\Seen))', '* 2 FETCH (UID 3 FLAGS ())'])
  const idle = await later.command('IDLE')
  later.send('+ idling')
  await later.silence()
  stop.abort()
  assert.equal(await later.line(), 'DONE')
  later.send(`${idle} OK Done`)
  await later.answer('LOGOUT', ['* BYE bye'])
  const state = await following
  assert.deepEqual(changes, ['+1', '+2', '-1', '2 \\Seen', '+3'])
  assert.deepEqual(state?.uids, [2, 3])
})

test('following ends where another try is of no use', async (t) => {
  const stop = new AbortController()
  const connect = async () => {
    const { server, options } = pair(t)
    server.send('* PREAUTH [CAPABILITY IMAP4rev1] Hello')
    const session = await connectImap(options)
    void server.answer(/^EXAMINE/, [], 'NO [NONEXISTENT] No such mailbox')
    return session
  }
  await assert.rejects(followMailbox({ connect, mailbox: 'Nowhere', change: () => undefined, signal: stop.signal }), {
    code: 'NONEXISTENT',
  })
})
