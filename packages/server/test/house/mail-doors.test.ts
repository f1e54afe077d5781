// The doors that mail comes in by, with a whole server behind them.

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { SmtpClient } from '@aviso/smtp'
import type { Config } from '../../src/config.ts'
import { BASE, startHouse, Talker, type Running } from './fixture.ts'

const people = ['anna', 'ben'].map((local) => ({ address: `${local}@example.org`, password: `${local}s secret` }))

async function populated(t: TestContext, endpoints: Partial<NonNullable<Config['endpoints']>>): Promise<Running> {
  const running = await startHouse(t, { ...BASE, endpoints: { ...BASE.endpoints, ...endpoints } })
  for (const person of people) await running.house.accounts.admin.createAccount(person)
  return running
}

/** The newest mail of somebody's inbox, read over IMAP. */
async function newest({ port }: Running, who: number): Promise<string> {
  const imap = Talker.to(port('imap', 'implicit'), true)
  await imap.expect(/^\* OK /)
  await imap.ask(`a LOGIN ${people[who]?.address} "${people[who]?.password}"`, /a OK /)
  await imap.ask('b SELECT INBOX', /b OK /)
  const said = await imap.ask('c FETCH * BODY.PEEK[]', /c OK /)
  imap.socket.destroy()
  return said
}

const HELLO = /^250 [^\r]*\r\n/m

test('M-10: a mail comes by LMTP over a unix socket and over TCP: each recipient has an answer that names it, and one who is unknown keeps none from the others', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-lmtp-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const running = await populated(t, { lmtp: { listen: [`unix:${folder}/lmtp.sock`, '127.0.0.1:0'] } })
  for (const open of [() => connect(`${folder}/lmtp.sock`), () => connect(running.port('lmtp'), '127.0.0.1')]) {
    const client = await SmtpClient.open({ connect: open, name: 'front.example', kind: 'lmtp' })
    const results = await client.send(
      {
        reversePath: 'carl@example.net',
        recipients: ['anna', 'nobody', 'ben'].map((local) => ({ address: `${local}@example.org` })),
      },
      Buffer.from('From: carl@example.net\r\nSubject: by LMTP\r\n\r\nhi\r\n'),
    )
    assert.deepEqual(
      results.map(({ accepted, stage, reply: { code, enhanced } }) => `${accepted} ${stage} ${code} ${enhanced}`),
      ['true data 250 2.1.5', 'false rcpt 550 5.1.1', 'true data 250 2.1.5'],
    )
    for (const { address, reply } of results) assert.ok(reply.lines.join(' ').includes(address))
    await client.quit()
    for (const who of [0, 1])
      assert.match(await newest(running, who), /Received: from front\.example[^]*with LMTP[^]*Subject: by LMTP/)
  }
})

test('LMTP relays for nobody', async (t) => {
  const running = await populated(t, { lmtp: { listen: ['127.0.0.1:0'] } })
  const lmtp = Talker.to(running.port('lmtp'))
  await lmtp.expect(/^220 [^\r]*\r\n/)
  await lmtp.ask('LHLO front.example', HELLO)
  await lmtp.ask('MAIL FROM:<carl@example.net>', /^250 [^\r]*\r\n/)
  const said = await lmtp.ask('RCPT TO:<someone@elsewhere.example>', /\r\n/)
  assert.match(said, /^550 5\.7\.1/)
  lmtp.socket.destroy()
})

test('behind a trusted proxy a mail is received from the client; a stranger cannot pretend', async (t) => {
  const proxied = { listen: ['127.0.0.1:0'], 'proxy-protocol': ['127.0.0.0/8'] }
  const running = await populated(t, { smtp: proxied })
  const send = async (smtp: Talker): Promise<void> => {
    await smtp.expect(/^220 [^\r]*\r\n/)
    await smtp.ask('EHLO client.example', HELLO)
    await smtp.ask('MAIL FROM:<carl@example.net>', /^250 [^\r]*\r\n/)
    await smtp.ask('RCPT TO:<anna@example.org>', /^250 [^\r]*\r\n/)
    await smtp.ask('DATA', /^354 [^\r]*\r\n/)
    await smtp.ask('From: carl@example.net\r\nSubject: x\r\n\r\nhi\r\n.', /^250 [^\r]*\r\n/)
  }
  const through = Talker.to(running.port('smtp'))
  through.socket.write('PROXY TCP4 192.0.2.17 192.0.2.1 4000 25\r\n')
  await send(through)
  through.socket.destroy()
  assert.match(await newest(running, 0), /Received: from client\.example \(\[192\.0\.2\.17\]\)/)

  running.config = {
    ...running.config,
    endpoints: { ...BASE.endpoints, smtp: { ...proxied, 'proxy-protocol': ['10.0.0.1'] } },
  }
  await running.house.reload()
  const stranger = Talker.to(running.port('smtp'))
  await stranger.expect(/^220 [^\r]*\r\n/)
  await stranger.ask('PROXY TCP4 192.0.2.17 192.0.2.1 4000 25', /^500 [^\r]*\r\n/)
  stranger.socket.write('NOOP\r\n')
  await stranger.expect(/^250 [^\r]*\r\n/)
  stranger.socket.destroy()
})

test('IMAP and chat have proxies in front, too', async (t) => {
  const running = await populated(t, {
    imap: { listen: ['127.0.0.1:0'], 'listen-tls': ['127.0.0.1:0'], 'proxy-protocol': ['127.0.0.1'] },
    c2s: { listen: ['127.0.0.1:0'], 'listen-tls': [], 'proxy-protocol': ['127.0.0.1'] },
  })
  const header = 'PROXY TCP4 192.0.2.17 192.0.2.1 4000 25\r\n'
  const raw = connect(running.port('imap', 'implicit'), '127.0.0.1')
  raw.write(header)
  const imap = new Talker(connectTls({ socket: raw, rejectUnauthorized: false }))
  await imap.expect(/^\* OK /)
  await imap.ask('a LOGIN anna@example.org "annas secret"', /a OK /)
  const chat = Talker.to(running.port('c2s'))
  chat.socket.write(
    `${header}<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>`,
  )
  await chat.expect(/<stream:features/)
  const login = running.lines.find((line) => line['event'] === 'login' && line['remoteAddress'] === '192.0.2.17')
  assert.ok(login, 'the audit line names the client')
  imap.socket.destroy()
  chat.socket.destroy()
})

test('who closes half of the connection behind a whole mail gets the answers, in the clear and under TLS', async (t) => {
  const running = await populated(t, {})
  const mail = 'MAIL FROM:<carl@example.net>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nSubject: half\r\n\r\nhi\r\n.\r\n'
  const heard = async (stream: AsyncIterable<Buffer>): Promise<string> => {
    let said = ''
    for await (const octets of stream) said += octets.toString()
    return said
  }
  const clear = connect({ port: running.port('smtp'), host: '127.0.0.1', allowHalfOpen: true })
  clear.end(`EHLO client.example\r\n${mail}`)
  assert.match(await heard(clear), /354 [^\r]*\r\n250 [^\r]*\r\n$/)

  const raw = connect({ port: running.port('smtp'), host: '127.0.0.1', allowHalfOpen: true })
  const talker = new Talker(raw)
  await talker.expect(/^220 [^\r]*\r\n/)
  await talker.ask('EHLO client.example', HELLO)
  await talker.ask('STARTTLS', /^220 [^\r]*\r\n/)
  raw.removeAllListeners('data')
  const secure = connectTls({ socket: raw, rejectUnauthorized: false })
  secure.allowHalfOpen = true
  secure.end(`EHLO client.example\r\n${mail}`)
  assert.match(await heard(secure), /354 [^\r]*\r\n250 [^\r]*\r\n$/)
})

test('a large mail waits in a file while it arrives, comes out whole, and leaves no file', async (t) => {
  const running = await populated(t, {})
  const spool = join(running.folder, 'data', 'spool')
  const client = await SmtpClient.open({
    connect: () => connect(running.port('smtp'), '127.0.0.1'),
    name: 'client.example',
  })
  let most = 0
  const line = 'x'.repeat(70) + '\r\n'
  const [result] = await client.send(
    { reversePath: 'carl@example.net', recipients: [{ address: 'anna@example.org' }] },
    {
      size: 0,
      async *chunks() {
        yield Buffer.from('Subject: large\r\n\r\n')
        for (let i = 0; i < 60; i++) {
          yield Buffer.from(line.repeat(1000))
          most = Math.max(most, readdirSync(spool).length)
        }
      },
    },
  )
  assert.equal(result?.accepted, true, JSON.stringify(result))
  assert.ok(most > 0)
  const said = await newest(running, 0)
  assert.equal(said.split(line).length - 1, 60_000)
  for (let i = 0; i < 50 && readdirSync(spool).length > 0; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(readdirSync(spool), [])
  await client.quit()
})

test('a mail larger than the config has in memory waits in a file', async (t) => {
  const running = await populated(t, { smtp: { listen: ['127.0.0.1:0'], 'in-memory': '2KiB' } })
  const spool = join(running.folder, 'data', 'spool')
  const smtp = Talker.to(running.port('smtp'))
  await smtp.expect(/^220 [^\r]*\r\n/)
  await smtp.ask('EHLO client.example', HELLO)
  for (const line of ['MAIL FROM:<carl@example.net>', 'RCPT TO:<anna@example.org>'])
    await smtp.ask(line, /^250 [^\r]*\r\n/)
  await smtp.ask('DATA', /^354 [^\r]*\r\n/)
  const text = 'x'.repeat(70) + '\r\n'
  smtp.socket.write(`Subject: not so large\r\n\r\n${text.repeat(60)}`)
  while (readdirSync(spool).length === 0) await new Promise((resolve) => setImmediate(resolve))
  await smtp.ask(`${text}.`, /^250 [^\r]*\r\n/)
  assert.equal((await newest(running, 0)).split(text).length - 1, 61)
  smtp.socket.destroy()
})

test('lines of a mail, the patience with a client, and when a sender is refused, are as the config says', async (t) => {
  const smtpSettings = { 'max-line-length': 1000, 'idle-timeout': '1s', 'refuse-senders': 'at-recipient' } as const
  const running = await startHouse(t, {
    ...BASE,
    endpoints: { ...BASE.endpoints, smtp: { listen: ['127.0.0.1:0'], 'log-lines': true, ...smtpSettings } },
    mail: { incoming: { checks: { 'sender-mx': { missing: 'reject' } } } },
  })
  for (const person of people) await running.house.accounts.admin.createAccount(person)
  const ok = /^250 [^\r]*\r\n/
  const smtp = Talker.to(running.port('smtp'))
  await smtp.expect(/^220 [^\r]*\r\n/)
  await smtp.ask('EHLO client.example', HELLO)
  // The DNS of a test knows no domain.
  await smtp.ask('MAIL FROM:<carl@example.net>', ok)
  for (const who of ['anna', 'ben'])
    assert.match(await smtp.ask(`RCPT TO:<${who}@example.org>`, /\r\n/), /^550 5\.1\.8 /)
  assert.match(await smtp.ask('DATA', /\r\n/), /^503 5\.5\.1 /)
  assert.deepEqual(
    running.lines.filter(({ event }) => event === 'recipient-refused').map(({ recipient }) => recipient),
    ['anna@example.org', 'ben@example.org'],
  )
  await smtp.ask('RSET', ok)
  await smtp.ask('MAIL FROM:<>', ok)
  await smtp.ask('RCPT TO:<anna@example.org>', ok)
  await smtp.ask('DATA', /^354 [^\r]*\r\n/)
  assert.match(await smtp.ask(`Subject: ${'x'.repeat(1000)}\r\n\r\nhi\r\n.`, /\r\n/), /^554 5\.6\.0 /)
  assert.match(await smtp.expect(/\r\n/), /^421 4\.4\.2 /)
  await smtp.ended()
  const said = running.lines
    .filter(({ event }) => event === 'smtp-line')
    .map(({ by, line }) => `${String(by)} ${String(line)}`)
  assert.ok(
    said.includes('client RCPT TO:<ben@example.org>') && said.some((line) => line.startsWith('server 421 4.4.2')),
  )
})

test('sizes, recipients, line ends, XFORWARD and release times are as the config says', async (t) => {
  const door = { 'max-recipients': 100, 'bare-line-endings': 'normalise', xforward: ['127.0.0.1'] } as const
  const running = await startHouse(t, {
    ...BASE,
    endpoints: {
      ...BASE.endpoints,
      smtp: { listen: ['127.0.0.1:0'], ...door },
      submission: { listen: ['127.0.0.1:0'], 'listen-tls': [], ...door, 'max-recipients': 7, 'future-release': '1h' },
      lmtp: { listen: ['127.0.0.1:0'], ...door, 'max-recipients': 9 },
    },
    mail: { 'max-message-size': 10_000 },
  })
  for (const person of people) await running.house.accounts.admin.createAccount(person)
  const greeted = async (protocol: string, hello: string): Promise<readonly [Talker, string]> => {
    const talker = Talker.to(running.port(protocol))
    await talker.expect(/^220 [^\r]*\r\n/)
    return [talker, await talker.ask(`${hello} client.example`, HELLO)]
  }
  for (const [protocol, hello, most, release] of [
    ['smtp', 'EHLO', 100, false],
    ['submission', 'EHLO', 7, true],
    ['lmtp', 'LHLO', 9, false],
  ] as const) {
    const [talker, said] = await greeted(protocol, hello)
    assert.match(said, new RegExp(`LIMITS RCPTMAX=${most} `))
    assert.match(said, /SIZE 10000\r\n/)
    assert.match(said, /XFORWARD NAME /)
    assert.equal(/FUTURERELEASE 3600 /.test(said), release)
    talker.socket.destroy()
  }
  const [smtp] = await greeted('smtp', 'EHLO')
  assert.match(await smtp.ask('MAIL FROM:<carl@example.net> SIZE=10001', /\r\n/), /^552 5\.3\.4 /)
  await smtp.ask('XFORWARD NAME=first.example ADDR=192.0.2.9', /^250 [^\r]*\r\n/)
  await smtp.ask('MAIL FROM:<carl@example.net>', /^250 [^\r]*\r\n/)
  for (let i = 0; i < 100; i++) await smtp.ask('RCPT TO:<anna@example.org>', /^250 [^\r]*\r\n/)
  assert.match(await smtp.ask('RCPT TO:<ben@example.org>', /\r\n/), /^452 4\.5\.3 /)
  await smtp.ask('DATA', /^354 [^\r]*\r\n/)
  await smtp.ask('Subject: bare\n\none\ntwo\r\n.', /^250 [^\r]*\r\n/)
  assert.match(await newest(running, 0), /Subject: bare\r\n\r\none\r\ntwo\r\n/)
  const forwarded = running.lines.find(({ event }) => event === 'mail-forwarded')
  assert.deepEqual([forwarded?.['name'], forwarded?.['address']], ['first.example', '192.0.2.9'])
  smtp.socket.destroy()
})

test('M-27: a header above max-header-size is refused, and the next mail is taken', async (t) => {
  const running = await populated(t, { smtp: { listen: ['127.0.0.1:0'], 'max-header-size': '1KiB' } })
  const client = await SmtpClient.open({
    connect: () => connect(running.port('smtp'), '127.0.0.1'),
    name: 'client.example',
  })
  const envelope = { reversePath: 'carl@example.net', recipients: [{ address: 'anna@example.org' }] }
  const [bomb] = await client.send(envelope, Buffer.from(`Subject: ${'x'.repeat(2000)}\r\n\r\nhi\r\n`))
  assert.deepEqual([bomb?.reply.code, bomb?.reply.enhanced], [552, '5.3.4'])
  const [fine] = await client.send(envelope, Buffer.from('Subject: x\r\n\r\nhi\r\n'))
  assert.equal(fine?.accepted, true)
  await client.quit()
})

test('RFC 9755 §4: an 8-bit header in APPEND is kept; where the config says so, it takes ENABLE UTF8=ACCEPT', async (t) => {
  const listen = { listen: [], 'listen-tls': ['127.0.0.1:0'] }
  const running = await populated(t, { imap: listen })
  const append = async (imap: Talker, tag: string): Promise<string> =>
    imap.ask(`${tag} APPEND INBOX {18+}\r\nSubject: \u00e9\r\n\r\nx\r\n`, new RegExp(`^${tag} [^\r]*\r\n`, 'm'))
  const login = async (): Promise<Talker> => {
    const imap = Talker.to(running.port('imap', 'implicit'), true)
    await imap.expect(/^\* OK /)
    await imap.ask('a LOGIN anna@example.org "annas secret"', /a OK /)
    return imap
  }
  const before = await login()
  assert.match(await append(before, 'b'), /b OK /)
  before.socket.destroy()

  running.config = {
    ...running.config,
    endpoints: { ...BASE.endpoints, imap: { ...listen, 'refuse-8bit-headers': true } },
  }
  await running.house.reload()
  const imap = await login()
  assert.match(await append(imap, 'c'), /c NO \[CANNOT\]/)
  await imap.ask('d ENABLE UTF8=ACCEPT', /d OK /)
  assert.match(await append(imap, 'e'), /e OK /)
  imap.socket.destroy()
})
