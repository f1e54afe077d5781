// Limits and checks as clients meet them, with a whole server behind them.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { SmtpClient } from '@aviso/smtp'
import type { Config } from '../../src/config.ts'
import { Bans } from '../../src/net/contracts.ts'
import { BASE, startHouse, Talker, type Running } from './fixture.ts'

const HELLO = /^250 [^\r]*\r\n/m
const LINE = /^\d{3} [^\r]*\r\n/m

async function start(t: TestContext, config: Partial<Config>): Promise<Running> {
  const running = await startHouse(t, {
    ...BASE,
    endpoints: { ...BASE.endpoints, smtp: { listen: ['127.0.0.1:0'], 'proxy-protocol': ['127.0.0.1'] } },
    ...config,
  })
  await running.house.accounts.admin.createAccount({ address: 'anna@example.org', password: 'annas secret' })
  return running
}

/** A connection that a proxy brings from `ip`, greeted. */
async function from({ port }: Running, ip: string): Promise<Talker> {
  const talker = Talker.to(port('smtp'))
  talker.socket.write(`PROXY TCP4 ${ip} 192.0.2.1 4000 25\r\n`)
  await talker.expect(/^220 [^\r]*\r\n/)
  await talker.ask('EHLO client.example', HELLO)
  return talker
}

/** These ask the DNS, which is no part of these stories. */
const NO_DNS = { spf: false, dkim: false, dmarc: false, arc: false }

const MAIL = 'MAIL FROM:<bo@example.net>'

test('M-08 and M-09: one mail at once of one address; another is free; a lost connection gives its place back', async (t) => {
  const running = await start(t, {
    mail: { incoming: { checks: NO_DNS, limits: { ip: { concurrency: 1 }, wait: '200ms' } } },
  })
  const first = await from(running, '192.0.2.7')
  assert.match(await first.ask(MAIL, LINE), /^250/)
  const second = await from(running, '192.0.2.7')
  assert.match(await second.ask(MAIL, LINE), /^451 4\.4\.5 /)
  const other = await from(running, '192.0.2.8')
  assert.match(await other.ask(MAIL, LINE), /^250/)
  first.socket.destroy()
  for (;;) {
    const said = await second.ask(MAIL, LINE)
    if (said.startsWith('250')) break
    assert.match(said, /^451 4\.4\.5 /)
  }
  for (const talker of [second, other]) talker.socket.destroy()
})

test('a sender or a recipient that cannot be read takes no place that is not given back', async (t) => {
  const running = await start(t, {
    mail: { incoming: { checks: NO_DNS, limits: { all: { concurrency: 1 }, wait: '50ms' } } },
  })
  const talker = await from(running, '192.0.2.7')
  for (const path of ['<bo>', '<@>', '<bo@-example.net>', 'bo@example.net', '<bo@example.net> FOO=1'])
    assert.match(await talker.ask(`MAIL FROM:${path}`, LINE), /^5/, path)
  for (let round = 0; round < 2; round++) {
    assert.match(await talker.ask(MAIL, LINE), /^250/)
    assert.match(await talker.ask('RCPT TO:<anna@@example.org>', LINE), /^501/)
    assert.match(await talker.ask('RSET', LINE), /^250/)
  }
  talker.socket.destroy()
})

test('M-33: a rate of mails counts for all connections of an address together, RSET or not', async (t) => {
  const running = await start(t, { mail: { incoming: { checks: NO_DNS, limits: { ip: { rate: 5, per: '1h' } } } } })
  const answers: string[] = []
  for (let i = 0; i < 4; i++) {
    const talker = await from(running, '192.0.2.7')
    for (let j = 0; j < 2; j++) {
      answers.push((await talker.ask(MAIL, LINE)).slice(0, 3))
      await talker.ask('RSET', LINE)
    }
    talker.socket.destroy()
  }
  assert.deepEqual(answers, ['250', '250', '250', '250', '250', '451', '451', '451'])
})

test('M-20: without TLS 550 5.7.1, then STARTTLS, then 250', async (t) => {
  const running = await start(t, { mail: { incoming: { checks: { ...NO_DNS, 'require-tls': true } } } })
  const proxied = () => {
    const socket = connect(running.port('smtp'), '127.0.0.1')
    socket.write('PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n')
    return socket
  }
  for (const tls of [false, true]) {
    const client = await SmtpClient.open({ connect: proxied, name: 'client.example' })
    if (tls)
      await client.startTls(async (socket) => {
        const secured = connectTls({ socket, rejectUnauthorized: false })
        await once(secured, 'secureConnect')
        return secured
      })
    const [result] = await client.send(
      { reversePath: 'bo@example.net', recipients: [{ address: 'anna@example.org' }] },
      Buffer.from('From: bo@example.net\r\n\r\nhi\r\n'),
    )
    assert.equal(`${result?.reply.code} ${result?.reply.enhanced}`, tls ? '250 2.0.0' : '550 5.7.1')
    await client.quit()
  }
})

test('who guesses addresses waits longer and longer, and is banned for all protocols; others are not concerned', async (t) => {
  const tarpit = { free: 2, 'first-delay': '50ms', 'longest-delay': '400ms', 'ban-at': 6 }
  const running = await start(t, { network: { tarpit }, mail: { incoming: { checks: NO_DNS } } })
  const guesser = await from(running, '192.0.2.7')
  await guesser.ask(MAIL, LINE)
  const waits: number[] = []
  for (let i = 0; i < 6; i++) {
    const begun = performance.now()
    assert.match(await guesser.ask(`RCPT TO:<guess${i}@example.org>`, LINE), /^550/)
    waits.push(performance.now() - begun)
  }
  assert.ok((waits[5] ?? 0) >= 350, `the last one waited ${waits[5]} ms`)
  const bans = running.house.rooms.use(Bans)
  assert.equal(bans.isBanned('192.0.2.7'), true)
  assert.equal(bans.isBanned('192.0.2.8'), false)
  guesser.socket.destroy()
  const other = await from(running, '192.0.2.8')
  await other.ask(MAIL, LINE)
  assert.match(await other.ask('RCPT TO:<anna@example.org>', LINE), /^250/)
  other.socket.destroy()
})

test('tables, checks, modifiers and the filter of one config work together in a running server', async (t) => {
  const running = await start(t, {
    tables: {
      'file/aliases': { path: 'aliases' },
      'regexp/robots': { pattern: 'robot-.*@example\\.org', replacement: 'anna@example.org' },
      'chain/all': {
        steps: [
          { table: 'file/aliases', optional: true },
          { table: 'regexp/robots', optional: true },
        ],
      },
      'sql-table/more': { path: 'more.db', table: 'aliases' },
    },
    mail: {
      filter: { command: '/bin/echo', arguments: ['Archive'] },
      incoming: {
        checks: {
          ...NO_DNS,
          command: { command: '/bin/echo', arguments: ['X-Checked: {ip}'] },
          greylist: { delay: '0s' },
        },
        modifiers: { 'replace-recipient': { table: 'chain/all' }, 'replace-recipient/2': { table: 'sql-table/more' } },
      },
    },
  })
  writeFileSync(join(running.folder, 'aliases'), 'info@example.org: robot-7@example.org\n')
  await running.house.reload()
  const talker = await from(running, '192.0.2.7')
  const send = async (): Promise<string> => {
    await talker.ask(MAIL, LINE)
    const said = await talker.ask('RCPT TO:<info@example.org>', LINE)
    if (!said.startsWith('250')) {
      await talker.ask('RSET', LINE)
      return said
    }
    await talker.ask('DATA', LINE)
    return talker.ask('From: bo@example.net\r\nSubject: x\r\n\r\nhi\r\n.', LINE)
  }
  assert.match(await send(), /^451 4\.7\.1 .*new here/)
  assert.match(await send(), /^250/)
  const imap = Talker.to(running.port('imap', 'implicit'), true)
  await imap.expect(/^\* OK /)
  await imap.ask('a LOGIN anna@example.org "annas secret"', /a OK /)
  await imap.ask('b SELECT Archive', /b OK /)
  assert.match(await imap.ask('c FETCH * BODY.PEEK[]', /c OK /), /X-Checked: 192\.0\.2\.7\r\n/)
  for (const one of [imap, talker]) one.socket.destroy()
})
