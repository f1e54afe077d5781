import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, connect as connectTcp, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls'
import type { Duplex } from 'node:stream'
import { clientMechanism, deriveScram, serverMechanism, type CredentialSource, type MechanismName } from '@aviso/sasl'
import { SmtpClient, SmtpError, type MechanismOffer, type SmtpServerOptions } from '../src/index.ts'
import { recordingServer, transcript, whole } from './support.ts'

const salt = Buffer.alloc(16, 1)
const keys = { salt, iterations: 4096, ...(await deriveScram('SHA-256', 'pencil', salt, 4096)) }
const credentials: CredentialSource = {
  scram: async (authcid, hash) => (authcid === 'anna' && hash === 'SHA-256' ? keys : undefined),
  password: async (authcid, password) => {
    if (authcid === 'down') throw new Error('no database')
    return authcid === 'anna' && password === 'pencil' ? 'accepted' : 'not-authorized'
  },
}
const names: readonly MechanismName[] = ['SCRAM-SHA-256', 'PLAIN', 'LOGIN']
const mechanisms = (): MechanismOffer[] =>
  names.map((name) => ({
    name,
    create: () => serverMechanism(name, { offered: names, credentials, secret: Buffer.alloc(16, 7) }) ?? assert.fail(),
  }))

const EHLO = 'EHLO client.example\r\n'
const plain = (user: string, password: string): string => Buffer.from(`\0${user}\0${password}`).toString('base64')
const codes = (text: string): string[] =>
  [...text.matchAll(/^(\d{3})(?: (\d\.\d+\.\d+))?[ \r].*$/gm)].map(([, code, enhanced]) =>
    enhanced ? `${code} ${enhanced}` : `${code}`,
  )

const exchanges: readonly (readonly [name: string, octets: string, codes: readonly string[]])[] = [
  ['PLAIN with initial response', `AUTH PLAIN ${plain('anna', 'pencil')}\r\n`, ['235 2.7.0']],
  ['in lower case', `auth plain ${plain('anna', 'pencil')}\r\n`, ['235 2.7.0']],
  ['PLAIN without', `AUTH PLAIN\r\n${plain('anna', 'pencil')}\r\n`, ['334', '235 2.7.0']],
  ['a wrong password', `AUTH PLAIN ${plain('anna', 'x')}\r\n`, ['535 5.7.8']],
  ['a backend that is down', `AUTH PLAIN ${plain('down', 'x')}\r\n`, ['454 4.7.0']],
  ['cancelled', 'AUTH PLAIN\r\n*\r\nNOOP\r\n', ['334', '501 5.7.0', '250 2.0.0']],
  ['no base64', 'AUTH PLAIN !!\r\n', ['501 5.5.2']],
  ['half base64', 'AUTH PLAIN abc\r\n', ['501 5.5.2']],
  ['LOGIN', `AUTH LOGIN\r\n${btoa('anna')}\r\n${btoa('pencil')}\r\n`, ['334', '334', '235 2.7.0']],
  ['an unknown mechanism', 'AUTH NTLM\r\n', ['504 5.5.4']],
  ['no mechanism', 'AUTH\r\n', ['501 5.5.4']],
  ['twice', `AUTH PLAIN ${plain('anna', 'pencil')}\r\nAUTH PLAIN\r\n`, ['235 2.7.0', '503 5.5.1']],
  [
    'in a transaction',
    `AUTH PLAIN ${plain('anna', 'pencil')}\r\nMAIL FROM:<>\r\nAUTH PLAIN\r\n`,
    ['235 2.7.0', '250 2.1.0', '503 5.5.1'],
  ],
  ['MAIL without a login', 'MAIL FROM:<a@b.c>\r\n', ['530 5.7.0']],
  ['a long initial response', `AUTH PLAIN ${plain('anna', 'y'.repeat(6000))}\r\n`, ['535 5.7.8']],
  ['too long a response', `AUTH PLAIN\r\n${'a'.repeat(13_000)}\r\n`, ['334', '500 5.5.6']],
]

for (const [name, octets, expected] of exchanges) {
  test(`AUTH, ${name}: ${expected.at(-1)}`, async () => {
    const { connect } = recordingServer({ kind: 'submission', mechanisms })
    const said = await transcript(connect({ secure: true }), Buffer.from(EHLO + octets + 'QUIT\r\n'), [])
    assert.deepEqual(codes(said).slice(2), [...expected, '221 2.0.0'])
    assert.match(said, /^250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r$/m)
  })
}

test('without TLS, AUTH is neither offered nor done', async () => {
  const { connect } = recordingServer({ kind: 'submission', mechanisms, startTls: async (socket) => socket })
  const said = await transcript(
    connect(),
    Buffer.from(`${EHLO}AUTH PLAIN ${plain('anna', 'pencil')}\r\nMAIL FROM:<>\r\nQUIT\r\n`),
    [],
  )
  assert.doesNotMatch(said, /250.AUTH/)
  assert.deepEqual(codes(said).slice(2), ['538 5.7.11', '530 5.7.0', '221 2.0.0'])
  assert.match(said, /STARTTLS first/)
})

test('who fails five times is sent away', async () => {
  const { connect } = recordingServer({ kind: 'submission', mechanisms })
  const said = await transcript(
    connect({ secure: true }),
    Buffer.from(EHLO + `AUTH PLAIN ${plain('anna', 'x')}\r\n`.repeat(9)),
    [],
  )
  assert.deepEqual(codes(said).slice(2), [...Array.from({ length: 5 }, () => '535 5.7.8'), '421 4.7.0'])
})

test('who listens hears commands and replies, and neither passwords nor messages', async () => {
  const heard: string[] = []
  const { server, connect } = recordingServer({
    mechanisms,
    insecureAuth: true,
    onLine: (by, line) => void heard.push(`${by}: ${line}`),
  })
  const secret = plain('anna', 'pencil')
  await transcript(
    connect(),
    Buffer.from(
      `${EHLO}AUTH PLAIN ${plain('anna', 'wrong')}\r\n${secret}\r\nAUTH PLAIN\r\n${secret}\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: secret\r\n\r\npencil\r\n.\r\nQUIT\r\n`,
    ),
    [],
  )
  const text = heard.filter((line) => !line.startsWith('server: 250')).join('\n')
  assert.equal(
    text,
    [
      'server: 220 mx.example.org ESMTP ready',
      'client: EHLO client.example',
      'client: AUTH PLAIN',
      heard.find((line) => line.startsWith('server: 535')),
      'client: (no command)',
      'server: 500 5.5.2 Unknown command',
      'client: AUTH PLAIN',
      'server: 235 2.7.0 Authentication successful',
      'client: MAIL FROM:<a@b.example>',
      'client: RCPT TO:<c@d.example>',
      'client: DATA',
      'client: QUIT',
      'server: 221 2.0.0 Bye',
    ].join('\n'),
  )
  assert.equal(server.sessions, 0)
})

test('octets behind STARTTLS cut the connection', async () => {
  let handshakes = 0
  const options: Partial<SmtpServerOptions> = {
    startTls: async (socket) => {
      handshakes++
      return socket
    },
  }
  const { connect, events } = recordingServer(options)
  const said = await transcript(connect(), Buffer.from(EHLO + 'STARTTLS\r\nMAIL FROM:<evil@x.y>\r\nNOOP\r\n'), [])
  assert.doesNotMatch(said, /^220 2/m)
  assert.equal(codes(said).at(-1), '421 4.7.0')
  assert.equal(handshakes, 0)
  assert.deepEqual(events, ['close'])
})

test('STARTTLS with real TLS: the session begins anew, then SCRAM, then mail', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-smtp-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  try {
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        key,
        '-out',
        cert,
        '-subj',
        '/CN=mx.example.org',
        '-days',
        '2',
      ],
      { stdio: 'ignore' },
    )
  } catch {
    return t.skip('needs openssl')
  }
  const secureContext = createSecureContext({ key: readFileSync(key), cert: readFileSync(cert) })
  const secured = async (socket: TLSSocket, event: string): Promise<Duplex> => {
    await once(socket, event)
    return socket
  }
  const hellos: (string | undefined)[] = []
  const { server, delivered, errors } = recordingServer({
    kind: 'submission',
    mechanisms,
    startTls: (socket) => secured(new TLSSocket(socket, { isServer: true, secureContext }), 'secure'),
    policy: { mail: () => {} },
    handler: (session) => ({
      hello: () => void hellos.push(`${session.hello} ${session.secure}`),
      mail: () => {
        assert.equal(session.identity?.authcid, 'anna')
        assert.equal(session.mechanism, 'SCRAM-SHA-256')
      },
      rcpt: () => {},
      data: async (envelope, body) => void delivered.push({ envelope, bytes: await whole(body), header: '' }),
    }),
  })
  const listener = createServer((socket) => server.accept(socket)).listen(0, '127.0.0.1')
  t.after(() => listener.close())
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo

  const client = await SmtpClient.open({ connect: () => connectTcp(port, '127.0.0.1'), name: 'client.example' })
  assert.ok(client.extensions.has('STARTTLS') && !client.extensions.has('AUTH') && !client.extensions.has('REQUIRETLS'))
  await client.startTls((socket) =>
    secured(connectTls({ socket, ca: readFileSync(cert), servername: 'mx.example.org' }), 'secureConnect'),
  )
  assert.ok(!client.extensions.has('STARTTLS') && client.extensions.has('REQUIRETLS'))
  const wrong = clientMechanism(client.extensions.get('AUTH') ?? [], { authcid: 'anna', password: 'pen', secure: true })
  await assert.rejects(
    client.authenticate(wrong ?? assert.fail()),
    (error) => error instanceof SmtpError && error.code === 535,
  )
  const right = clientMechanism(client.extensions.get('AUTH') ?? [], {
    authcid: 'anna',
    password: 'pencil',
    secure: true,
  })
  assert.equal(right?.name, 'SCRAM-SHA-256')
  await client.authenticate(right)
  const results = await client.send(
    { reversePath: 'anna@example.org', recipients: [{ address: 'ben@example.org' }], requireTls: true },
    Buffer.from('Subject: x\r\n\r\nhello\r\n'),
  )
  assert.ok(results[0]?.accepted)
  await client.quit()
  await server.shutdown()
  assert.equal(delivered.length, 1)
  assert.equal(delivered[0]?.envelope.parameters.requireTls, true)
  assert.deepEqual(hellos, ['client.example false', 'client.example true'])
  assert.deepEqual(errors, [])
})
