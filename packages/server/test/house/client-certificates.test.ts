// Logins by a certificate (SASL EXTERNAL): chat, reading and sending, with a whole server behind them.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { clientMechanism } from '@aviso/sasl'
import { Client, NS } from '@aviso/xmpp'
import { certify, type Certified, revocationList } from '../fixtures/certificates.ts'
import { ANNA, BEN, LINE, LINES, plain, populated } from './conversations.ts'
import { Talker, temporaryFolder, type Running } from './fixture.ts'

const AUTHORITY = certify({ names: ['authority'], authority: true })
const STRANGE = certify({ names: ['strange authority'], authority: true })
const annas = certify({ names: ['anna'], xmppAddresses: [ANNA.address], issuer: AUTHORITY })
const bens = certify({ names: ['ben'], mailAddresses: ['Ben@Example.org'], issuer: AUTHORITY })
const both = certify({
  names: ['both'],
  xmppAddresses: [ANNA.address],
  mailAddresses: [BEN.address],
  issuer: AUTHORITY,
})
const strangers = certify({ names: ['anna'], xmppAddresses: [ANNA.address], issuer: STRANGE })
const expired = certify({
  names: ['anna'],
  xmppAddresses: [ANNA.address],
  issuer: AUTHORITY,
  until: new Date('2021-01-01'),
})
const lost = certify({ names: ['anna'], xmppAddresses: [ANNA.address], issuer: AUTHORITY })
const nobodys = certify({ names: ['dora'], xmppAddresses: ['dora@example.org', 'anna@example.com'], issuer: AUTHORITY })
const selfMade = certify({ names: ['anna'], xmppAddresses: [ANNA.address] })

async function open(t: TestContext): Promise<Running> {
  const file = join(temporaryFolder(t), 'authorities.pem')
  writeFileSync(file, AUTHORITY.certificate.toString())
  return populated(t, {
    accounts: { certificates: { authorities: file, refused: [lost.certificate.fingerprint256] } },
    endpoints: {
      c2s: { listen: [], 'listen-tls': ['127.0.0.1:0'] },
      imap: { listen: [], 'listen-tls': ['127.0.0.1:0'] },
      submission: { listen: [], 'listen-tls': ['127.0.0.1:0'] },
    },
  })
}

async function secured(running: Running, protocol: string, shown: Certified | undefined): Promise<TLSSocket> {
  const socket = connectTls({
    port: running.port(protocol, 'implicit'),
    host: '127.0.0.1',
    servername: 'example.org',
    rejectUnauthorized: false,
    ...(protocol === 'c2s' && { ALPNProtocols: ['xmpp-client'] }),
    ...(shown && { cert: shown.chain, key: shown.keyPem }),
  })
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return socket
}

/** The mechanisms that a chat client is offered. */
async function offered(running: Running, shown: Certified | undefined): Promise<string> {
  const chat = new Talker(await secured(running, 'c2s', shown))
  const header = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>`
  const features = await chat.ask(header, /<\/stream:features>/)
  chat.socket.destroy()
  return features
}

const chat = async (running: Running, shown: Certified, authzid?: string): Promise<Client> =>
  Client.connect({
    domain: 'example.org',
    secure: true,
    connect: () => secured(running, 'c2s', shown),
    sasl: (names) => clientMechanism(names, { external: true, secure: true, ...(authzid && { authzid }) }),
  })

test('a certificate logs in to chat, by either kind of address', async (t) => {
  const running = await open(t)
  const anna = await chat(running, annas)
  assert.equal(anna.jid.bareString, ANNA.address)
  await anna.close()
  const ben = await chat(running, bens, BEN.address)
  assert.equal(ben.jid.bareString, BEN.address)
  await ben.close()
  // Of two it has to be said which.
  await assert.rejects(chat(running, both), /not-authorized/)
  const one = await chat(running, both, BEN.address)
  assert.equal(one.jid.bareString, BEN.address)
  await one.close()
  await assert.rejects(chat(running, annas, BEN.address), /invalid-authzid/)
  const logins = running.lines.filter((line) => line['event'] === 'login')
  assert.deepEqual(
    logins.map((line) => [line['mechanism'], line['outcome'], line['reason']]),
    [
      ['EXTERNAL', 'success', undefined],
      ['EXTERNAL', 'success', undefined],
      ['EXTERNAL', 'failure', 'the certificate names several accounts'],
      ['EXTERNAL', 'success', undefined],
      ['EXTERNAL', 'failure', 'the certificate is for another'],
    ],
  )
})

test('EXTERNAL is offered where a certificate proves an address of ours, and nowhere else', async (t) => {
  const running = await open(t)
  for (const [shown, expected] of [
    [annas, 2],
    [undefined, 0],
    [strangers, 0],
    [expired, 0],
    [lost, 0],
    [selfMade, 0],
  ] as const) {
    const features = await offered(running, shown)
    assert.equal([...features.matchAll(/<mechanism>EXTERNAL</g)].length, expected)
    assert.match(features, /<mechanism>PLAIN</, 'passwords stay')
  }
  // An address of our domain that nobody has.
  await assert.rejects(chat(running, nobodys), /not-authorized/)
  // Not offered, and asked for nevertheless.
  for (const shown of [strangers, expired, lost, selfMade]) {
    const talker = new Talker(await secured(running, 'c2s', shown))
    const header = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>`
    await talker.ask(header, /<\/stream:features>/)
    await talker.ask(`<auth xmlns='${NS.sasl}' mechanism='EXTERNAL'>=</auth>`, /<invalid-mechanism/)
    talker.socket.destroy()
  }
})

test('a disabled account stays outside', async (t) => {
  const running = await open(t)
  await running.house.accounts.admin.disableAccount(ANNA.address)
  await assert.rejects(chat(running, annas), /account-disabled/)
})

test('who logged in by a certificate may not make a form of the password', async (t) => {
  const running = await open(t)
  // A form that the account lacks.
  const { accounts } = running.config
  const passwords = { ...accounts?.passwords, forms: ['SCRAM-SHA-512' as const, 'SCRAM-SHA-256' as const] }
  running.config = { ...running.config, accounts: { ...accounts, passwords } }
  await running.house.reload()
  const login = async (mechanism: string, initial: string): Promise<string> => {
    const talker = new Talker(await secured(running, 'c2s', annas))
    const header = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>`
    await talker.ask(header, /<\/stream:features>/)
    const upgrade = `<upgrade xmlns='${NS.saslUpgrade}'>UPGR-SCRAM-SHA-512</upgrade>`
    const authenticate = `<authenticate xmlns='${NS.sasl2}' mechanism='${mechanism}'><initial-response>${initial}</initial-response>${upgrade}</authenticate>`
    const answer = await talker.ask(authenticate, /<(?:success|continue) /)
    talker.socket.destroy()
    return answer
  }
  assert.match(await login('EXTERNAL', ''), /<success /)
  assert.match(await login('PLAIN', plain(ANNA.address, ANNA.password)), /<continue /)
})

test('mail is read and sent by a certificate', async (t) => {
  const running = await open(t)
  const imap = new Talker(await secured(running, 'imap', annas))
  assert.match(await imap.expect(/^\* OK [^\r]*\r\n/), /AUTH=EXTERNAL/)
  await imap.ask('a AUTHENTICATE EXTERNAL =', /a OK /)
  await imap.ask('b SELECT INBOX', /b OK /)
  imap.socket.destroy()
  const wrong = new Talker(await secured(running, 'imap', annas))
  await wrong.expect(/^\* OK [^\r]*\r\n/)
  await wrong.ask(`a AUTHENTICATE EXTERNAL ${Buffer.from(BEN.address).toString('base64')}`, /a NO /)
  wrong.socket.destroy()

  const smtp = new Talker(await secured(running, 'submission', bens))
  await smtp.expect(/^220 [^\r]*\r\n/)
  assert.match(await smtp.ask('EHLO client.example', LINES), /AUTH EXTERNAL/)
  assert.match(await smtp.ask('AUTH EXTERNAL =', LINE), /^235 /)
  assert.match(await smtp.ask(`MAIL FROM:<${BEN.address}>`, LINE), /^250 /)
  smtp.socket.destroy()
  const without = new Talker(await secured(running, 'submission', undefined))
  await without.expect(/^220 [^\r]*\r\n/)
  assert.doesNotMatch(await without.ask('EHLO client.example', LINES), /EXTERNAL/)
  without.socket.destroy()
})

test('a file that holds no authority keeps the server from starting', async (t) => {
  const file = join(temporaryFolder(t), 'authorities.pem')
  for (const content of ['nothing', annas.chain]) {
    writeFileSync(file, content)
    await assert.rejects(populated(t, { accounts: { certificates: { authorities: file } } }), /authorities/)
  }
})

test('who is on the list of an authority logs in no more, to chat or mail, not by a session of before either', async (t) => {
  const folder = temporaryFolder(t)
  const files = { authorities: join(folder, 'authorities.pem'), 'revocation-lists': join(folder, 'revoked.pem') }
  const between = certify({ names: ['between'], authority: true, issuer: AUTHORITY })
  const bensNext = certify({ names: ['ben'], mailAddresses: [BEN.address], issuer: between })
  const publish = (...revoked: Certified[]): void =>
    writeFileSync(files['revocation-lists'], revocationList(AUTHORITY, revoked) + revocationList(between, []))
  writeFileSync(files.authorities, AUTHORITY.certificate.toString())
  publish()
  const listen = { listen: [], 'listen-tls': ['127.0.0.1:0'] }
  const running = await populated(t, {
    accounts: { certificates: files },
    endpoints: { c2s: listen, imap: listen, submission: listen },
  })
  const external = async (shown: Certified): Promise<boolean> =>
    (await offered(running, shown)).includes('<mechanism>EXTERNAL<')
  /** What IMAP says to Anna, over a TLS session of before where one is given, and the session for next time. */
  const greeting = async (
    session?: Buffer,
  ): Promise<{ text: string; resumed: boolean; session: Buffer | undefined }> => {
    const socket = connectTls({
      port: running.port('imap', 'implicit'),
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
      cert: annas.chain,
      key: annas.keyPem,
      ...(session && { session }),
    })
    const text = await new Talker(socket).expect(/^\* OK [^\r]*\r\n/)
    const greeted = { text, resumed: socket.isSessionReused(), session: socket.getSession() }
    socket.destroy()
    return greeted
  }
  assert.deepEqual([await external(annas), await external(bens), await external(bensNext)], [true, true, true])
  const before = await greeting()
  assert.match(before.text, /AUTH=EXTERNAL/)
  const again = await greeting(before.session)
  assert.match(again.text, /AUTH=EXTERNAL/)
  assert.ok(again.resumed)

  publish(annas)
  await running.house.reload()
  assert.deepEqual([await external(annas), await external(bens), await external(bensNext)], [false, true, true])
  assert.doesNotMatch((await greeting()).text, /EXTERNAL/)
  assert.doesNotMatch((await greeting(before.session)).text, /EXTERNAL/)
  const smtp = new Talker(await secured(running, 'submission', annas))
  await smtp.expect(/^220 [^\r]*\r\n/)
  assert.doesNotMatch(await smtp.ask('EHLO client.example', LINES), /EXTERNAL/)
  smtp.socket.destroy()

  // Who signs for another is on a list, too.
  publish(between)
  await running.house.reload()
  assert.deepEqual([await external(annas), await external(bens), await external(bensNext)], [true, true, false])

  // One that is past its time says nothing: nobody is believed.
  writeFileSync(files['revocation-lists'], revocationList(AUTHORITY, [], { until: new Date('2021-01-01') }))
  await running.house.reload()
  assert.deepEqual([await external(annas), await external(bens), await external(bensNext)], [false, false, false])

  writeFileSync(files['revocation-lists'], 'nothing')
  await assert.rejects(running.house.reload(), /revocation lists/)
})
