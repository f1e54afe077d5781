// Acceptance at the doors (M-01, M-04, M-18, M-19, M-21, X-05, X-19): what is offered, what is written on a mail, and that it comes in whole.

import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { SmtpClient } from '@aviso/smtp'
import { FakeDns } from '../../src/net/dns/testing/index.ts'
import {
  ANNA,
  BEN,
  command,
  greeted,
  LINE,
  LINES,
  mailOf,
  populated,
  reading,
  send,
  submitting,
} from './conversations.ts'
import { Talker, type Running } from './fixture.ts'

const THRESHOLD = 256 * 1024

/** A session that a trusted proxy brings from `ip`. */
async function from(running: Running, ip: string, protocol: 'smtp' | 'lmtp' = 'smtp'): Promise<Talker> {
  const talker = Talker.to(running.port(protocol))
  talker.socket.write(`PROXY TCP4 ${ip} 192.0.2.1 4000 25\r\n`)
  await talker.expect(/^220 [^\r]*\r\n/)
  await talker.ask(`${protocol === 'lmtp' ? 'LHLO' : 'EHLO'} client.example`, LINES)
  return talker
}

test('M-01: the banner begins with our name, EHLO tells what there is and nothing else, QUIT is answered', async (t) => {
  // "TLS off" is no setting here: STARTTLS is always offered, a login never without it.
  const running = await populated(t, {
    accounts: { cleartext: 'never' },
    endpoints: { submission: { listen: ['127.0.0.1:0'], 'listen-tls': ['127.0.0.1:0'] } },
  })
  const said: string[] = []
  for (const protocol of ['smtp', 'submission']) {
    const talker = Talker.to(running.port(protocol))
    assert.match(await talker.expect(/\r\n/), /^220 mail\.example\.org /)
    said.push(await talker.ask('EHLO client.example', LINES))
    assert.match(await talker.ask('QUIT', LINE), /^221 2\.0\.0 /)
    await talker.ended()
  }
  // No AUTH in the clear, no REQUIRETLS before TLS, no XCLIENT for strangers: what is not offered is not listed.
  const offered = [
    'mail.example.org',
    'PIPELINING',
    '8BITMIME',
    'ENHANCEDSTATUSCODES',
    'CHUNKING',
    'BINARYMIME',
    'STARTTLS',
    'SMTPUTF8',
    'DSN',
    'SIZE 52428800',
    'LIMITS RCPTMAX=1000 MAILMAX=1000',
    'HELP',
  ]
  const lines = said.map((text) =>
    text
      .trim()
      .split('\r\n')
      .map((line) => line.slice(4)),
  )
  assert.deepEqual(lines[0], offered)
  // Those who write may say when, by when, and how urgent it is.
  const own = lines[1]?.filter((line) => !offered.includes(line)) ?? []
  assert.equal(lines[1]?.length, offered.length + own.length)
  assert.deepEqual(
    own.map((line) => line.replace(/ \d{4}-.*$/, '')),
    ['DELIVERBY', 'MT-PRIORITY', 'FUTURERELEASE 2592000'],
  )
  const secure = Talker.to(running.port('submission', 'implicit'), true)
  await secure.expect(/^220 [^\r]*\r\n/)
  const words = [...(await secure.ask('EHLO client.example', LINES)).matchAll(/^250[- ]([A-Z0-9-]+)/gm)].map(
    ([, word]) => word,
  )
  assert.ok(words.includes('AUTH') && !words.includes('STARTTLS'), words.join(' '))
  secure.socket.destroy()
})

test('M-04: a mail comes while INBOX is selected: EXISTS and RECENT, our fields on top, then what was sent', async (t) => {
  // There is no Delivered-To here: what is stored is the same octets for all recipients, `for` in Received names the one where there is one.
  const running = await populated(t)
  const imap = await reading(running, ANNA)
  await command(imap, 'SELECT INBOX')
  const smtp = await greeted(running)
  const text = 'From: <carl@example.net>\r\nSubject: Hello\r\nX-Odd:   kept  as it\r\n\t is\r\n\r\nHello  Anna\r\n\r\n'
  const reply = await send(smtp, { to: [ANNA.address], text: text.slice(0, -2) })
  assert.match(reply, /^250 2\.0\.0 /)
  const news = await command(imap, 'NOOP')
  assert.match(news, /^\* 1 EXISTS\r\n/m)
  assert.match(news, /^\* 1 RECENT\r\n/m)
  const said = await command(imap, 'FETCH 1 BODY.PEEK[]')
  const octets = /\{\d+\}\r\n([^]*)\)\r\nt/.exec(said)?.[1] ?? ''
  assert.ok(octets.endsWith(text), octets)
  assert.match(
    octets.slice(0, -text.length),
    /^Return-Path: <carl@example\.net>\r\nReceived: from client\.example \(\[127\.0\.0\.1\]\)\r\n\tby mail\.example\.org with ESMTP id \w+\r\n\tfor <anna@example\.org>;\r\n\t\w{3}, \d+ \w{3} \d{4} [\d:]{8} \+0000\r\n(?:Authentication-Results: [^]*\r\n)?$/,
  )
  for (const one of [imap, smtp]) one.socket.destroy()
})

test('M-18: a mail of 3000 lines of 500 is stored with every line, and its size is exact', async (t) => {
  const running = await populated(t)
  const lines = Array.from({ length: 3000 }, (_, i) => `${String(i).padStart(8, '0')}${'x'.repeat(492)}`)
  const smtp = await greeted(running)
  const head = 'From: <carl@example.net>\r\nSubject: large'
  assert.match(await send(smtp, { to: [ANNA.address], text: [head, '', ...lines].join('\r\n') }), /^250 /)
  const imap = await reading(running, ANNA)
  await command(imap, 'SELECT INBOX')
  const size = Number(/RFC822\.SIZE (\d+)/.exec(await command(imap, 'FETCH 1 RFC822.SIZE'))?.[1])
  const [octets = ''] = await mailOf(running, ANNA)
  assert.equal(octets.length, size)
  const at = octets.indexOf(head)
  assert.equal(octets.length - at, head.length + 4 + 3000 * 502)
  assert.deepEqual(octets.slice(at).split('\r\n').slice(3, -1), lines)
  for (const one of [imap, smtp]) one.socket.destroy()
})

test('M-19: empty, tiny, and on both sides of what is held in memory: every mail comes whole, by DATA and by BDAT', async (t) => {
  // Maddy lets one choose ram, fs or auto. Here a message goes into a file when it grows above 256 KiB.
  const running = await populated(t)
  const head = 'Subject: x\r\n\r\n'
  const filled = (octets: number): string =>
    `${'y'.repeat(70)}\r\n`.repeat(Math.ceil(octets / 72)).slice(0, octets - 2) + '\r\n'
  const texts = [
    '',
    'hi\r\n',
    ...[-1, 0, 1].map((more) => filled(THRESHOLD + more - head.length)),
    filled(3 * THRESHOLD),
  ]
  for (const chunking of [false, true]) {
    const client = await SmtpClient.open({
      connect: () => connect(running.port('smtp'), '127.0.0.1'),
      name: 'client.example',
      chunking,
    })
    for (const text of texts) {
      const [result] = await client.send(
        { reversePath: 'carl@example.net', recipients: [{ address: ANNA.address }] },
        Buffer.from(head + text),
      )
      assert.equal(result?.accepted, true, JSON.stringify(result))
    }
    await client.quit()
  }
  const found = (await mailOf(running, ANNA)).map((octets) => octets.slice(octets.indexOf(head) + head.length))
  assert.equal(found.length, 2 * texts.length)
  for (const [i, octets] of found.entries()) assert.ok(octets === texts[i % texts.length], `mail ${i}`)
})

test('M-21: a trusted proxy tells who the client is, and SPF judges that one; what a stranger says of himself is not heard', async (t) => {
  // The addresses are not of loopback, as what this machine sends is not judged by the DNS.
  const dns = await FakeDns.start({ 'example.net': { TXT: ['v=spf1 ip4:192.0.2.17 -all'] } })
  t.after(() => dns.close())
  const running = await populated(t, {
    network: { dns: { servers: [dns.address] } },
    mail: { incoming: { checks: { spf: { fail: 'reject', early: true }, dkim: false, dmarc: false, arc: false } } },
    endpoints: { smtp: { listen: ['127.0.0.1:0'], 'proxy-protocol': ['127.0.0.1'] } },
  })
  const text = 'From: <carl@example.net>\r\nSubject: x\r\n\r\nhi'
  const good = await from(running, '192.0.2.17')
  assert.match(await send(good, { to: [ANNA.address], text }), /^250 /)
  const bad = await from(running, '192.0.2.18')
  assert.match(await send(bad, { to: [ANNA.address], text }), /^550 5\.7\.23 /)

  // A check that lets nobody in but that client, and a proxy that is not trusted.
  const script = join(running.folder, 'only-17')
  writeFileSync(script, '#!/bin/sh\n[ "$1" = 192.0.2.17 ]\n')
  chmodSync(script, 0o755)
  const checks = { command: { command: script, arguments: ['{ip}'], stage: 'sender' as const } }
  for (const [trusted, answer] of [
    ['127.0.0.1', /^250 /],
    ['127.0.0.9', /^550 5\.7\./],
  ] as const) {
    running.config = {
      ...running.config,
      mail: { incoming: { checks: { ...checks, spf: false, dkim: false, dmarc: false, arc: false } } },
      endpoints: { ...running.config.endpoints, smtp: { listen: ['127.0.0.1:0'], 'proxy-protocol': [trusted] } },
    }
    await running.house.reload()
    const talker = Talker.to(running.port('smtp'))
    talker.socket.write('PROXY TCP4 192.0.2.17 192.0.2.1 4000 25\r\n')
    await talker.expect(trusted === '127.0.0.1' ? /^220 [^\r]*\r\n/ : /^220 [^\r]*\r\n500 [^\r]*\r\n/)
    await talker.ask('EHLO client.example', LINES)
    assert.match(await send(talker, { to: [ANNA.address], text }), answer)
    talker.socket.destroy()
  }
  for (const one of [good, bad]) one.socket.destroy()
})

test('X-05: Bcc is seen by nobody; those it names get the mail', async (t) => {
  const running = await populated(t)
  const anna = await submitting(running, ANNA)
  const text = `From: <${ANNA.address}>\r\nTo: <${ANNA.address}>\r\nBcc: <${BEN.address}>,\r\n\t<zoe@example.com>\r\nSubject: x\r\nbcc: again@example.com\r\n\r\nBcc: of the body stays`
  assert.match(await send(anna, { from: ANNA.address, to: [ANNA.address, BEN.address], text }), /^250 /)
  for (const person of [ANNA, BEN]) {
    const [octets = ''] = await mailOf(running, person)
    const [header = '', body] = octets.split('\r\n\r\n')
    // Three letters may stand in a signature by chance.
    const unsigned = header.replace(/^DKIM-Signature:.*\r\n(?:[ \t].*\r\n)*/gim, '')
    assert.doesNotMatch(header, /^bcc:|zoe@|again@/im)
    assert.doesNotMatch(unsigned, /zoe|again/i)
    assert.doesNotMatch(header, /^\tfor /m, 'nor does Received tell one recipient of the other')
    assert.match(header, /^Subject: x$/m)
    assert.equal(body, 'Bcc: of the body stays\r\n')
  }
  anna.socket.destroy()
})

test('X-19: what comes by LMTP meets the same checks and gets the same fields as what comes by SMTP', async (t) => {
  const dns = await FakeDns.start({
    'example.net': { TXT: ['v=spf1 ip4:192.0.2.17 -all'] },
    'strict.example': { TXT: ['v=spf1 -all'] },
    '_dmarc.strict.example': { TXT: ['v=DMARC1; p=reject'] },
  })
  t.after(() => dns.close())
  const door = { listen: ['127.0.0.1:0'], 'proxy-protocol': ['127.0.0.1'] }
  const running = await populated(t, {
    network: { dns: { servers: [dns.address] } },
    mail: { incoming: { checks: { command: { command: '/bin/echo', arguments: ['X-Checked: {ip}'] } } } },
    endpoints: { smtp: door, lmtp: door },
  })
  const forged = 'Authentication-Results: mail.example.org; spf=pass\r\n'
  const seen: string[][] = []
  for (const protocol of ['smtp', 'lmtp'] as const) {
    const good = await from(running, '192.0.2.17', protocol)
    const text = `${forged}From: <carl@example.net>\r\nSubject: good\r\n\r\nhi`
    assert.match(await send(good, { to: [ANNA.address], text }), /^250 /)
    const spoofed = await from(running, '192.0.2.18', protocol)
    const suspect = `${forged}From: <carl@example.net>\r\nSubject: suspect\r\n\r\nhi`
    assert.match(await send(spoofed, { to: [ANNA.address], text: suspect }), /^250 /)
    const reject = `From: <carl@strict.example>\r\nSubject: strict\r\n\r\nhi`
    const refused = await send(spoofed, { from: 'carl@strict.example', to: [ANNA.address], text: reject })
    assert.match(refused, /^550 5\.7\.1 /)
    for (const one of [good, spoofed]) one.socket.destroy()
    const imap = await reading(running, ANNA)
    const found: string[] = []
    for (const mailbox of ['INBOX', 'Junk']) {
      found.push(mailbox, ...(await mailOf(running, ANNA, mailbox)))
      await command(imap, `SELECT ${mailbox}`)
      await command(imap, 'STORE 1:* +FLAGS.SILENT (\\Deleted)')
      await command(imap, 'EXPUNGE')
    }
    imap.socket.destroy()
    seen.push(
      found.map((octets) =>
        octets
          .replace(/with E?SMTP|with LMTP/, 'with')
          .replace(/id \w+/, 'id')
          .replace(/;\r\n\t\w{3}, [^\r]*/, '; date'),
      ),
    )
  }
  const [smtp = [], lmtp = []] = seen
  assert.deepEqual(lmtp, smtp)
  assert.equal(smtp.length, 4)
  assert.match(smtp[1] ?? '', /Authentication-Results: mail\.example\.org;[^]*spf=pass[^]*X-Checked: 192\.0\.2\.17/)
  assert.match(smtp[3] ?? '', /spf=fail[^]*Subject: suspect/)
  for (const octets of [smtp[1] ?? '', smtp[3] ?? '']) assert.equal(octets.includes(forged), false)
})
