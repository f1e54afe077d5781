// Acceptance of what is kept: news only of what is safe, and nobody's mail goes with somebody else's.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { ImapClient } from '@aviso/imap'
import { SmtpClient } from '@aviso/smtp'
import { createMailAdmin } from '../../src/mail/admin.ts'
import { openStore } from '../../src/store/open.ts'
import { stores } from '../../src/stores.ts'
import { testScope } from '../fixtures/scope.ts'
import { ANNA, BEN, command, count, greeted, mailOf, messages, populated, reading, send } from './conversations.ts'
import type { Running } from './fixture.ts'

const text = (subject: string, body = 'hi'): string => `From: <carl@example.net>\r\nSubject: ${subject}\r\n\r\n${body}`

/** Octets above what lies in the database itself. */
const large = `${'z'.repeat(70)}\r\n`.repeat(6000)

test('X-06: EXISTS is said of messages that are committed, never of others', async (t) => {
  // The files as they lie there when the news comes are what a crash at that moment leaves. tests/crash has the kills.
  const running = await populated(t)
  const imap = await reading(running, ANNA)
  await command(imap, 'SELECT INBOX')
  imap.socket.write('idle IDLE\r\n')
  await imap.expect(/^\+ [^\r]*\r\n/m)
  const { id } = await running.house.accounts.admin.showAccount(ANNA.address)
  const left = async (): Promise<number> => {
    const copy = join(running.folder, 'left')
    rmSync(copy, { recursive: true, force: true })
    // The journal first: what it lets go of is in the databases by then.
    for (const part of ['journal', 'accounts'])
      cpSync(join(running.folder, 'data', part), join(copy, part), { recursive: true })
    const scope = testScope()
    await openStore(scope, { folder: copy, definitions: stores })
    await scope.close()
    const database = new DatabaseSync(join(copy, 'accounts', id.slice(-2), id, 'account.db'))
    try {
      return Number(database.prepare('SELECT COUNT(*) AS messages FROM mail_message').get()?.['messages'])
    } finally {
      database.close()
    }
  }
  const smtp = await greeted(running)
  const sending = (async () => {
    for (let i = 0; i < 20; i++)
      assert.match(
        await send(smtp, { to: [ANNA.address], text: text(`mail ${i}`, i % 5 === 0 ? large : 'hi') }),
        /^250 /,
      )
  })()
  for (let seen = 0; seen < 20;) {
    seen = Number(/\* (\d+) EXISTS/.exec(await imap.expect(/\* \d+ EXISTS\r\n/))?.[1])
    const there = await left()
    assert.ok(there >= seen, `EXISTS ${seen}, committed ${there}`)
  }
  await sending
  for (const one of [imap, smtp]) one.socket.destroy()
})

test('X-07: a folder that one deletes is there for everybody else who has one of that name', async (t) => {
  const running = await populated(t)
  for (const person of [ANNA, BEN]) {
    const imap = await reading(running, person)
    await command(imap, 'CREATE Work')
    const smtp = await greeted(running)
    await send(smtp, { to: [person.address], text: text(person.address) })
    await command(imap, 'SELECT INBOX')
    await command(imap, 'COPY 1 Work')
    for (const one of [imap, smtp]) one.socket.destroy()
  }
  const anna = await reading(running, ANNA)
  await command(anna, 'DELETE Work')
  assert.doesNotMatch(await command(anna, 'LIST "" Work'), /^\* LIST/m)
  anna.socket.destroy()
  const [copy = ''] = await mailOf(running, BEN, 'Work')
  assert.match(copy, /^Subject: ben@example\.org\r\n\r\nhi\r\n$/m)
})

test('EXPUNGE in one mailbox takes nothing out of another; what FETCH made seen is seen in the next session', async (t) => {
  const running = await populated(t)
  const imap = await reading(running, ANNA)
  await command(imap, 'CREATE Work')
  const smtp = await greeted(running)
  await send(smtp, { to: [ANNA.address], text: text('one') })
  await send(smtp, { to: [ANNA.address], text: text('two') })
  await command(imap, 'SELECT INBOX')
  await command(imap, 'COPY 1:2 Work')
  await command(imap, 'STORE 1 +FLAGS (\\Deleted)')
  await command(imap, 'FETCH 2 BODY[]')
  await command(imap, 'SELECT Work')
  await command(imap, 'STORE 1:2 +FLAGS (\\Deleted)')
  await command(imap, 'EXPUNGE')
  assert.deepEqual([await count(imap, 'Work'), await count(imap)], [0, 2])
  for (const one of [imap, smtp]) one.socket.destroy()
  const next = await reading(running, ANNA)
  await command(next, 'EXAMINE INBOX')
  const flags = await command(next, 'FETCH 1:2 FLAGS')
  assert.match(flags, /^\* 1 FETCH \(.*FLAGS \(\\Deleted\)/m)
  assert.match(flags, /^\* 2 FETCH \(.*FLAGS \(\\Seen\)/m)
  next.socket.destroy()
})

test('what an administrator’s command does is told at once to a mail program that waits', async (t) => {
  const running = await populated(t)
  const { house } = running
  const door = createMailAdmin(
    () => house.accounts.admin,
    () => house.mailboxes,
    () => 1_000_000,
  )
  const imap = await reading(running, ANNA)
  await command(imap, 'SELECT INBOX')
  imap.socket.write('idle IDLE\r\n')
  await imap.expect(/^\+ [^\r]*\r\n/m)
  const mail = { bytes: Buffer.from(text('one')), flags: [], date: undefined }
  const uid = await door.add(ANNA.address, 'INBOX', mail)
  await imap.expect(/^\* 1 EXISTS\r\n/m)
  await door.expunge(ANNA.address, 'INBOX', String(uid))
  await imap.expect(/^\* 1 EXPUNGE\r\n/m)
  imap.socket.destroy()
})

test('X-08: a copy keeps its content when the original goes, small or large, and the other recipient keeps his', async (t) => {
  const running = await populated(t)
  const smtp = await greeted(running)
  for (const body of ['small', large.slice(0, -2)])
    await send(smtp, { to: [ANNA.address, BEN.address], text: text('copied', body) })
  const imap = await reading(running, ANNA)
  const before = await messages(imap)
  assert.equal(before.length, 2)
  await command(imap, 'SELECT INBOX')
  await command(imap, 'COPY 1:* Archive')
  await command(imap, 'STORE 1:* +FLAGS.SILENT (\\Deleted)')
  await command(imap, 'EXPUNGE')
  const { id } = await running.house.accounts.admin.showAccount(ANNA.address)
  await running.house.mailboxes.sweep(id)
  assert.equal(await count(imap), 0)
  const [copies, others] = [await messages(imap, 'Archive'), await mailOf(running, BEN)]
  for (const [i, octets] of before.entries()) {
    assert.ok(copies[i] === octets, `the copy of mail ${i}`)
    assert.ok(others[i]?.endsWith(octets.slice(-60)) && others[i].length === octets.length, `Ben's mail ${i}`)
  }
  for (const one of [imap, smtp]) one.socket.destroy()
})

const DELIVERIES = 50
const OCTETS = 10 * 2 ** 20

/** A mail of ten MiB in pieces, so that the test holds one line of it only. */
const heavy = (subject: string) => ({
  size: 0,
  async *chunks() {
    yield Buffer.from(`From: <carl@example.net>\r\nSubject: ${subject}\r\n\r\n`)
    const piece = Buffer.from(`${'0123456789'.repeat(7)}\r\n`.repeat(910))
    for (let left = OCTETS; left > 0; left -= piece.length) yield piece
  },
})

async function imapOf({ port }: Running): Promise<ImapClient> {
  const socket = connectTls({ port: port('imap', 'implicit'), host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const client = new ImapClient(socket)
  await client.greeting
  await client.login(ANNA.address, ANNA.password)
  return client
}

test(`X-17: ${DELIVERIES} deliveries of 10 MiB side by side, while a mail program reads: all are taken, nothing is locked`, async (t) => {
  const running = await populated(t)
  const imap = await imapOf(running)
  await imap.select('INBOX')
  const delivered = new AbortController()
  let longest = 0
  const watching = (async () => {
    while (!delivered.signal.aborted) {
      const begun = performance.now()
      const { status } = await imap.raw('NOOP')
      assert.equal(status, 'OK')
      const { status: fetched, text: said } = await imap.raw('UID FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE)')
      assert.equal(fetched, 'OK', said)
      longest = Math.max(longest, performance.now() - begun)
    }
  })()
  await Promise.all(
    Array.from({ length: DELIVERIES }, async (_, i) => {
      const client = await SmtpClient.open({
        connect: () => connect(running.port('smtp'), '127.0.0.1'),
        name: 'client.example',
      })
      const [result] = await client.send(
        { reversePath: 'carl@example.net', recipients: [{ address: ANNA.address }] },
        heavy(`heavy ${i}`),
      )
      assert.equal(`${result?.reply.code}`, '250', result?.reply.lines.join(' '))
      await client.quit()
    }),
  )
  delivered.abort()
  await watching
  const found = await imap.fetch('1:*', '(RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])')
  const subjects = new Set(found.map(({ literals }) => literals[0]?.toString()))
  assert.equal(subjects.size, DELIVERIES)
  for (const { text: said } of found) assert.ok(Number(/RFC822\.SIZE (\d+)/.exec(said)?.[1]) > OCTETS)
  await imap.logout()
  assert.deepEqual(
    running.lines.filter(
      ({ level, msg, err }) => level === 'error' || /locked/.test(`${String(msg)} ${JSON.stringify(err)}`),
    ),
    [],
  )
  t.diagnostic(`the slowest look into the mailbox took ${Math.round(longest)} ms`)
})
