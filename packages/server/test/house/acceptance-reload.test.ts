// Acceptance of reloads (M-15, M-16, X-09): who is connected goes on as he began, who comes finds the new config, nobody and nothing is lost.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ANNA, BEN, command, count, greeted, mailOf, populated, reading, send } from './conversations.ts'
import { type Running, Talker } from './fixture.ts'

const text = (subject: string): string => `From: <carl@example.net>\r\nSubject: ${subject}\r\n\r\nhi`

async function reload(running: Running, config: Partial<Running['config']>): Promise<void> {
  running.config = { ...running.config, ...config }
  await running.house.reload()
}

test('M-15: a connection that began under "reject all" is refused after the reload too; a new one is not', async (t) => {
  const running = await populated(t, {
    mail: { incoming: { routes: [{ recipient: ['*'], reject: { text: 'Closed today' } }] } },
  })
  const old = await greeted(running)
  const letter = { to: [ANNA.address], text: text('x') }
  assert.match(await send(old, letter), /^5\d\d .*Closed today/)
  await reload(running, { mail: {} })
  assert.match(await send(old, letter), /^5\d\d .*Closed today/)
  const fresh = await greeted(running)
  assert.match(await send(fresh, letter), /^250 /)
  assert.equal((await mailOf(running, ANNA)).length, 1)
  for (const one of [old, fresh]) one.socket.destroy()
})

test('M-16: after a reload that sends mail elsewhere, old connections deliver and read as before, new ones as the config says now', async (t) => {
  // The store itself is the server's for as long as it runs: another data folder is refused, and the old one served on. What a reload can change is where mail goes.
  const running = await populated(t)
  const smtp = await greeted(running)
  const imap = await reading(running, ANNA)
  await command(imap, 'SELECT INBOX')
  const before = running.config
  await assert.rejects(reload(running, { data: 'elsewhere' }), /'data' changed: that needs a restart/)
  running.config = before

  const modifiers = { 'replace-recipient': { table: 'static/moved' } }
  await reload(running, {
    tables: { 'static/moved': { entries: { [ANNA.address]: BEN.address } } },
    mail: { incoming: { modifiers } },
  })
  assert.match(await send(smtp, { to: [ANNA.address], text: text('by the old way') }), /^250 /)
  assert.match(await command(imap, 'NOOP'), /^\* 1 EXISTS\r\n/m)
  const fresh = await greeted(running)
  assert.match(await send(fresh, { to: [ANNA.address], text: text('by the new way') }), /^250 /)
  assert.doesNotMatch(await command(imap, 'NOOP'), /EXISTS/)
  for (const [person, subject] of [
    [ANNA, 'by the old way'],
    [BEN, 'by the new way'],
  ] as const) {
    const found = await mailOf(running, person)
    assert.equal(found.length, 1)
    assert.match(found[0] ?? '', new RegExp(`^Subject: ${subject}$`, 'm'))
  }
  for (const one of [smtp, imap, fresh]) one.socket.destroy()
})

const SENDERS = 8
const MAILS_A_CONNECTION = 3

test('X-09: two reloads while mail comes and goes lose no connection and no mail', async (t) => {
  const running = await populated(t)
  const idle = await reading(running, ANNA)
  await command(idle, 'SELECT INBOX')
  const enoughSent = new AbortController()
  const sent: string[] = []
  const sender = async (number: number): Promise<void> => {
    for (let round = 0; !enoughSent.signal.aborted; round++) {
      const smtp = await greeted(running)
      for (let i = 0; i < MAILS_A_CONNECTION; i++) {
        const subject = `mail-${number}-${round}-${i}`
        assert.match(await send(smtp, { to: [ANNA.address], text: text(subject) }), /^250 /)
        sent.push(subject)
      }
      assert.match(await smtp.ask('QUIT', /\r\n/), /^221 2\.0\.0/)
    }
  }
  const reader = async (): Promise<void> => {
    while (!enoughSent.signal.aborted) {
      const imap = await reading(running, BEN)
      await command(imap, 'STATUS INBOX (MESSAGES)')
      assert.match(await imap.ask('z LOGOUT', /z OK[^\r]*\r\n/), /^\* BYE/m)
    }
  }
  const all = Promise.all([...Array.from({ length: SENDERS }, (_, number) => sender(number)), reader(), reader()])
  const enough = async (mails: number): Promise<void> => {
    while (sent.length < mails) await Promise.race([all, new Promise((resolve) => setImmediate(resolve))])
  }
  await enough(SENDERS * 2)
  await Promise.all([
    reload(running, { hostname: 'second.example.org' }),
    // Asked for while the first is under way.
    new Promise((resolve) => setImmediate(resolve)).then(() => running.house.reload()),
  ])
  await enough(sent.length + SENDERS * 6)
  enoughSent.abort()
  await all
  assert.equal((await running.house.status()).generation, 3)
  const found = (await mailOf(running, ANNA)).map((octets) => /^Subject: (.*)\r$/m.exec(octets)?.[1])
  assert.deepEqual(found.toSorted(), sent.toSorted())
  assert.equal(new Set(sent).size, sent.length)
  assert.equal(await count(idle), sent.length)
  const fresh = Talker.to(running.port('smtp'))
  await fresh.expect(/^220 second\.example\.org /)
  assert.deepEqual(
    running.lines.filter(({ level }) => level === 'error' || level === 'warn'),
    [],
  )
  for (const one of [idle, fresh]) one.socket.destroy()
})
