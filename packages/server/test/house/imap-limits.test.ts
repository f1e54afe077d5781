// What the config allows a mail program: each limit is met by somebody who goes beyond it.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { BASE, type Running, startHouse, Talker } from './fixture.ts'

const ANNA = { address: 'anna@example.org', password: 'annas secret' }

async function house(t: TestContext, imap: Record<string, string | number>): Promise<Running> {
  const endpoints = { ...BASE.endpoints, imap: { listen: [], 'listen-tls': ['127.0.0.1:0'], ...imap } }
  const running = await startHouse(t, { ...BASE, endpoints })
  await running.house.accounts.admin.createAccount(ANNA)
  return running
}

async function connected(t: TestContext, running: Running): Promise<Talker> {
  const imap = Talker.to(running.port('imap', 'implicit'), true)
  t.after(() => imap.socket.destroy())
  await imap.expect(/^\* OK [^\r]*\r\n/)
  return imap
}

async function loggedIn(t: TestContext, running: Running): Promise<Talker> {
  const imap = await connected(t, running)
  await imap.ask(`a LOGIN ${ANNA.address} "${ANNA.password}"`, /a OK [^\r]*\r\n/)
  return imap
}

test('who does not log in in time, says nothing after it, fails to too often, or talks nonsense is let go', async (t) => {
  const limits = { 'login-timeout': '1s', 'idle-timeout': '1s', 'failed-logins': 2, 'bad-commands': 3 }
  const running = await house(t, limits)
  const silent = [await connected(t, running), await loggedIn(t, running)]
  for (const imap of silent) await imap.expect(/\* BYE [^\r]*\r\n/)

  const guessing = await connected(t, running)
  await guessing.ask('a LOGIN anna@example.org wrong', /a NO [^\r]*\r\n/)
  await guessing.ask('b LOGIN anna@example.org wronger', /\* BYE Too many failed logins[^\r]*\r\n/)

  const lost = await connected(t, running)
  await lost.ask('a HELO', /a BAD [^\r]*\r\n/)
  await lost.ask('b GET /', /b BAD [^\r]*\r\n/)
  await lost.ask('c EHLO', /\* BYE [^\r]*\r\n/)
})

test('a command that is longer than the config allows, or has more in literals, is refused', async (t) => {
  const running = await house(t, { 'max-line': '1KiB', 'max-literal': '2KiB' })
  const imap = await loggedIn(t, running)
  await imap.ask(`b LIST "" ${'x'.repeat(900)}`, /b OK [^\r]*\r\n/)
  await imap.ask(`c LIST "" ${'x'.repeat(1100)}`, /c BAD \[TOOBIG\] [^\r]*\r\n/)
  await imap.ask(`d LIST "" {1900+}\r\n${'x'.repeat(1900)}`, /d OK [^\r]*\r\n/)
  await imap.ask(`e LIST "" {2100+}\r\n${'x'.repeat(2100)}`, /e NO \[TOOBIG\] [^\r]*\r\n/)

  const stranger = await connected(t, running)
  await stranger.ask(`a LOGIN ${'x'.repeat(1100)} y`, /a BAD \[TOOBIG\] [^\r]*\r\n/)
  await stranger.ask(`b LOGIN {2100+}\r\n${'x'.repeat(2100)} y`, /b NO \[TOOBIG\] [^\r]*\r\n/)
})

test('messages at once, searches kept up to date and watched mailboxes have an end', async (t) => {
  const running = await house(t, {
    'append-messages': 2,
    'search-contexts': 1,
    'watched-mailboxes': 1,
    'save-limit': 1000,
  })
  const imap = await loggedIn(t, running)
  assert.match(await imap.ask('b CAPABILITY', /b OK /), / SAVELIMIT=1000\b/)
  const one = '{16+}\r\nSubject: x\r\n\r\nx\n'
  await imap.expect(/\r\n/)
  await imap.ask(`c APPEND INBOX ${one} ${one}`, /c OK [^\r]*\r\n/)
  await imap.ask(`d APPEND INBOX ${one} ${one} ${one}`, /d (BAD|NO) [^\r]*\r\n/)
  await imap.ask('e SELECT INBOX', /\* 2 EXISTS[^]*e OK [^\r]*\r\n/)
  await imap.ask('f UID SEARCH RETURN (UPDATE) ALL', /f OK [^\r]*\r\n/)
  await imap.ask('g UID SEARCH RETURN (UPDATE) UNSEEN', /NOUPDATE[^]*g OK [^\r]*\r\n/)
  await imap.ask('h NOTIFY SET (PERSONAL (MessageNew MessageExpunge))', /h NO \[NOTIFICATIONOVERFLOW\][^\r]*\r\n/)
})

test('what all clients are appending at one time has an end: who comes then waits', async (t) => {
  const running = await house(t, { 'append-memory': '100KiB' })
  const [first, second, third] = [
    await loggedIn(t, running),
    await loggedIn(t, running),
    await loggedIn(t, running),
  ] as const
  const text = `Subject: long\r\n\r\n${'x'.repeat(99_983)}`
  await first.ask(`b APPEND INBOX {${text.length}}`, /^\+ [^\r]*\r\n/)
  second.socket.write(`b APPEND INBOX {${text.length}}\r\n`)
  let goAhead = false
  const admitted = second.expect(/^\+ [^\r]*\r\n/).then(() => (goAhead = true))
  for (const tag of ['b', 'c', 'd']) await third.ask(`${tag} NOOP`, /OK [^\r]*\r\n/)
  assert.equal(goAhead, false)
  await first.ask(text, /b OK [^\r]*\r\n/)
  await admitted
  await second.ask(text, /b OK [^\r]*\r\n/)
})

test('MESSAGELIMIT is announced and kept', async (t) => {
  const running = await house(t, { 'message-limit': 1000 })
  const imap = await loggedIn(t, running)
  assert.match(await imap.ask('b CAPABILITY', /b OK /), / MESSAGELIMIT=1000\b/)
})
