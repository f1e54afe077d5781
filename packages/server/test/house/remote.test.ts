// Mail from one whole server to another: submission, queue, DNS, DANE, SMTP, mailbox; and back when it cannot be had.

import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { clientMechanism } from '@aviso/sasl'
import { SmtpClient } from '@aviso/smtp'
import { FakeDns, type ZoneRecords } from '../../src/net/dns/testing/index.ts'
import { BASE, type Running, startHouse, Talker } from './fixture.ts'

/** Hands in a mail of anna@example.org. */
async function submit({ port }: Running, to: string, subject: string): Promise<void> {
  const client = await SmtpClient.open({
    connect: () => connect(port('submission'), '127.0.0.1'),
    name: 'client.example',
  })
  await client.startTls(
    (socket) =>
      new Promise((resolve, reject) => {
        const secured = connectTls({ socket, rejectUnauthorized: false }, () => resolve(secured)).on('error', reject)
      }),
  )
  const login = { authcid: 'anna@example.org', password: 'annas secret', secure: true, mechanisms: ['PLAIN'] as const }
  const mechanism = clientMechanism(client.extensions.get('AUTH') ?? [], login)
  await client.authenticate(mechanism ?? assert.fail())
  const octets = Buffer.from(`From: anna@example.org\r\nTo: ${to}\r\nSubject: ${subject}\r\n\r\nhello\r\n`)
  const envelope = { reversePath: 'anna@example.org', recipients: [{ address: to }] }
  const [result] = await client.send(envelope, octets)
  assert.equal(result?.accepted, true, result?.reply.lines.join(' '))
  await client.quit()
}

/** The newest mail of an inbox, as soon as it says this. */
async function mailThatSays({ port, lines }: Running, user: string, password: string, what: RegExp): Promise<string> {
  const imap = Talker.to(port('imap', 'implicit'), true)
  await imap.expect(/^\* OK /)
  await imap.ask(`a LOGIN ${user} "${password}"`, /a OK /)
  await imap.ask('b SELECT INBOX', /b OK /)
  for (let i = 0; i < 200; i++) {
    const said = await imap.ask('c UID FETCH 1:* BODY.PEEK[]', /c OK /)
    if (what.test(said)) {
      imap.socket.destroy()
      return said
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`no mail like ${String(what)}: ${JSON.stringify(lines.slice(-10))}`)
}

test('a mail goes from one server to another by the DNS that the config names, with DANE; what nobody takes comes back', async (t) => {
  const zones: Record<string, ZoneRecords> = {
    'example.net': { MX: [[10, 'mail.example.net']], secure: true },
    'mail.example.net': { A: ['127.0.0.1'], secure: true },
    'none.example': { MX: [[0, '.']] },
  }
  const dns = await FakeDns.start(zones)
  t.after(() => dns.close())
  const network = { dns: { servers: [dns.address] } }
  const theirs = await startHouse(t, { ...BASE, hostname: 'mail.example.net', domain: 'example.net', network })
  await theirs.house.accounts.admin.createAccount({ address: 'ben@example.net', password: 'bens secret' })
  const port = theirs.port('smtp')
  const ours = await startHouse(t, { ...BASE, network, mail: { remote: { port, 'ignored-addresses': [] } } })
  await ours.house.accounts.admin.createAccount({ address: 'anna@example.org', password: 'annas secret' })

  const shown = new X509Certificate(readFileSync(join(theirs.folder, 'data/self-signed.crt')))
  const key = shown.publicKey.export({ type: 'spki', format: 'der' })
  const hash = createHash('sha256').update(key).digest('hex')
  zones[`_${port}._tcp.mail.example.net`] = { TLSA: [[3, 1, 1, hash]], secure: true }

  await submit(ours, 'ben@example.net', 'across')
  const came = await mailThatSays(theirs, 'ben@example.net', 'bens secret', /Subject: across/)
  assert.match(came, /Received: from mail\.example\.org [^]*with E?SMTPS/)
  assert.ok(dns.asked.includes(`TLSA _${port}._tcp.mail.example.net`))

  await submit(ours, 'ben@none.example', 'nowhere')
  const returned = await mailThatSays(ours, 'anna@example.org', 'annas secret', /Status: 5\.1\.10/)
  assert.match(returned, /none\.example takes no mail/)
})
