// Smart hosts and LMTP servers: those that the config names, in their order, with TLS and a login as it says.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createSecureContext, TLSSocket } from 'node:tls'
import { type CredentialSource, deriveScram, serverMechanism } from '@aviso/sasl'
import { reply, SmtpError, SmtpServer, type SmtpServerOptions } from '@aviso/smtp'
import * as v from 'valibot'
import { systemClock } from '../../../src/kernel/clock.ts'
import { MailSettings } from '../../../src/mail/settings.ts'
import { downstreamConfig } from '../../../src/mail/targets/downstream/config.ts'
import { DownstreamCourier } from '../../../src/mail/targets/downstream/courier.ts'
import { mayCarryPassword } from '../../../src/mail/targets/downstream/login.ts'
import { parseDownstream } from '../../../src/mail/targets/downstream/servers.ts'
import type { RecipientResult } from '../../../src/mail/targets/remote/contracts.ts'
import { Resolver } from '../../../src/net/dns/contracts.ts'
import { zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'
import { type Certified, certify } from '../../fixtures/certificates.ts'
import { testScope } from '../../fixtures/scope.ts'
import { authority, good, parcelTo } from './rig.ts'

const codes = (results: readonly RecipientResult[]): string[] =>
  results.map(({ answer }) => `${answer.code} ${answer.enhanced}`)

interface ServerWish {
  readonly kind?: 'smtp' | 'lmtp'
  readonly tls?: Certified
  readonly implicit?: boolean
  /** Users by name; without any, no login is offered. */
  readonly users?: Readonly<Record<string, string>>
  readonly mechanisms?: readonly ('PLAIN' | 'LOGIN' | 'SCRAM-SHA-256')[]
  readonly handler?: SmtpServerOptions['handler']
  /** Where it listens: a port of 127.0.0.1, or a socket. */
  readonly path?: string
}

interface Running {
  readonly at: string
  readonly port: number
  readonly received: { readonly text: string; readonly user: string | undefined; readonly hello: string | undefined }[]
}

const salt = Buffer.from('some salt for all')

const knowing = (users: Readonly<Record<string, string>>): CredentialSource => ({
  password: async (user, password) => (users[user] === password ? 'accepted' : 'not-authorized'),
  async scram(user, hash) {
    const password = users[user]
    if (password === undefined) return undefined
    return { salt, iterations: 4096, ...(await deriveScram(hash, password, salt, 4096)) }
  },
})

async function run(t: TestContext, wish: ServerWish = {}): Promise<Running> {
  const received: Running['received'] = []
  const { tls, users, mechanisms: offered = ['PLAIN'] } = wish
  const secureContext = tls === undefined ? undefined : createSecureContext({ cert: tls.chain, key: tls.keyPem })
  const handshake = async (socket: Socket): Promise<TLSSocket> => {
    const secured = new TLSSocket(socket, { isServer: true, ...(secureContext && { secureContext }) })
    secured.on('error', () => {})
    await once(secured, 'secure')
    return secured
  }
  const server = new SmtpServer({
    kind: wish.kind ?? 'smtp',
    hostname: 'down.example.net',
    ...(secureContext === undefined || wish.implicit === true
      ? {}
      : { startTls: (socket) => handshake(socket as Socket) }),
    ...(users === undefined
      ? {}
      : {
          insecureAuth: true,
          requireAuth: true,
          mechanisms: () =>
            offered.map((name) => ({
              name,
              create: () =>
                serverMechanism(name, { offered, credentials: knowing(users), secret: Buffer.alloc(16, 7) }) ??
                assert.fail(),
            })),
        }),
    handler: (session) => ({
      mail: () => {},
      rcpt: () => {},
      data: (_envelope, body) => {
        received.push({
          text: Buffer.from(body.bytes ?? []).toString(),
          user: session.identity?.authcid,
          hello: session.hello,
        })
      },
      ...wish.handler?.(session),
    }),
  })
  const listener = createServer((socket) => {
    socket.on('error', () => {})
    if (wish.implicit === true) void handshake(socket).then((secured) => server.accept(secured, { secure: true }))
    else server.accept(socket)
  })
  if (wish.path === undefined) listener.listen(0, '127.0.0.1')
  else listener.listen(wish.path)
  await once(listener, 'listening')
  t.after(async () => {
    listener.close()
    await server.shutdown()
  })
  const address = listener.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { at: wish.path === undefined ? `127.0.0.1:${port}` : `unix:${wish.path}`, port, received }
}

function courier(
  t: TestContext,
  kind: 'smtp' | 'lmtp',
  config: v.InferInput<ReturnType<typeof downstreamConfig>>,
  zones: Zones = {},
): { send(...addresses: readonly string[]): Promise<readonly RecipientResult[]> } {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-downstream-'))
  const trust = join(folder, 'authority.pem')
  writeFileSync(trust, authority.certificate.toString())
  const scope = testScope({ clock: systemClock })
  scope.provide(Resolver, zoneResolver(zones))
  scope.provide(MailSettings, { hostname: 'mail.example.org', maxMessageSize: 1e6 })
  const settings = v.parse(downstreamConfig(25, kind === 'smtp' ? 'authenticated' : 'none'), {
    'trust-store': trust,
    ...config,
  })
  const made = new DownstreamCourier(scope.child('target'), settings, kind, 25)
  t.after(async () => {
    await scope.close()
    rmSync(folder, { recursive: true })
  })
  return {
    send: (...addresses) =>
      made.send(parcelTo(addresses.length === 0 ? ['ben@example.net'] : addresses), new AbortController().signal),
  }
}

test('servers are written in many ways', () => {
  assert.deepEqual(parseDownstream('Smtp.Example.NET', 25), { host: 'smtp.example.net', port: 25, tls: 'starttls' })
  assert.deepEqual(parseDownstream('tls://a.example', 25), { host: 'a.example', port: 465, tls: 'implicit' })
  assert.deepEqual(parseDownstream('tls://a.example:24', 25), { host: 'a.example', port: 24, tls: 'implicit' })
  assert.deepEqual(parseDownstream('tcp://[2001:db8::1]:2525', 25), {
    host: '2001:db8::1',
    port: 2525,
    tls: 'starttls',
  })
  assert.deepEqual(parseDownstream('unix:/run/lmtp', 24), { path: '/run/lmtp' })
  for (const text of [
    '',
    ':25',
    'a.example:0',
    'a.example:99999',
    'unix:run',
    'http://a.example',
    '[a.example]',
    'a b',
    'a.example/x',
  ])
    assert.equal(parseDownstream(text, 25), undefined, text)
})

test('downstream SMTP: the next server when one is down; all recipients go together, whatever their domains', async (t) => {
  const server = await run(t, { tls: good('127.0.0.1') })
  const { send } = courier(t, 'smtp', { servers: ['127.0.0.1:1', server.at], tls: 'encrypted' })
  assert.deepEqual(codes(await send('ben@example.net', 'cleo@example.org')), ['250 2.0.0', '250 2.0.0'])
  assert.equal(server.received.length, 1)
  assert.equal(server.received[0]?.hello, 'mail.example.org')
})

test('downstream MAIL error is the answer, and no other server is asked', async (t) => {
  const refusing = await run(t, {
    handler: () => ({
      mail: () => Promise.reject(new SmtpError(550, '5.7.1', 'no')),
      rcpt: () => {},
      data: () => {},
    }),
  })
  const other = await run(t)
  const { send } = courier(t, 'smtp', { servers: [refusing.at, other.at], tls: 'none' })
  assert.deepEqual(codes(await send()), ['550 5.7.1'])
  assert.equal(other.received.length, 0)
})

test('downstream STARTTLS: by default with a good certificate, without fallback; or as the config says', async (t) => {
  const zones = { 'down.example.net': { A: ['127.0.0.1'] } }
  const named = good('down.example.net')
  const self = certify({ names: ['down.example.net'] })
  const cases: readonly [Certified | undefined, 'none' | 'encrypted' | undefined, string][] = [
    [named, undefined, '250 2.0.0'],
    [self, undefined, '451 4.7.5'],
    [undefined, undefined, '451 4.7.1'],
    [self, 'encrypted', '250 2.0.0'],
    [undefined, 'encrypted', '451 4.7.1'],
    [undefined, 'none', '250 2.0.0'],
    [self, 'none', '250 2.0.0'],
  ]
  for (const [tls, level, expected] of cases) {
    const server = await run(t, tls === undefined ? {} : { tls })
    const { send } = courier(
      t,
      'smtp',
      { servers: [`down.example.net:${server.port}`], ...(level && { tls: level }) },
      zones,
    )
    assert.deepEqual(codes(await send()), [expected], String(level))
  }
})

test('downstream implicit TLS', async (t) => {
  const server = await run(t, { tls: good('down.example.net'), implicit: true })
  const zones = { 'down.example.net': { A: ['127.0.0.1'] } }
  const { send } = courier(t, 'smtp', { servers: [`tls://down.example.net:${server.port}`] }, zones)
  const [result] = await send()
  assert.deepEqual([result?.answer.code, result?.how], [250, 'TLSv1.3, certificate'])
})

test('downstream login: PLAIN, LOGIN and SCRAM; a wrong password or none in common means later, not never', async (t) => {
  const users = { anna: 'secret' }
  for (const mechanism of ['PLAIN', 'LOGIN', 'SCRAM-SHA-256'] as const) {
    const server = await run(t, { users, mechanisms: [mechanism], tls: good('down.example.net') })
    const zones = { 'down.example.net': { A: ['127.0.0.1'] } }
    const config = { servers: [`down.example.net:${server.port}`] }
    const login = { user: 'anna', password: 'secret' }
    assert.deepEqual(codes(await courier(t, 'smtp', { ...config, login }, zones).send()), ['250 2.0.0'], mechanism)
    assert.equal(server.received[0]?.user, 'anna')
    const wrong = courier(t, 'smtp', { ...config, login: { ...login, password: 'guess' } }, zones)
    assert.deepEqual(codes(await wrong.send()), ['451 4.7.0'], mechanism)
    const other = courier(t, 'smtp', { ...config, login: { ...login, mechanisms: ['EXTERNAL'] } }, zones)
    assert.deepEqual(codes(await other.send()), ['451 4.7.0'])
    assert.equal(server.received.length, 1)
  }
})

test('a password goes over as it is only where TLS is as the config wants it, or on this machine', () => {
  const far = { at: { address: '192.0.2.1', port: 587 } }
  assert.equal(mayCarryPassword(far, 'authenticated', 'none'), true)
  assert.equal(mayCarryPassword(far, 'encrypted', 'encrypted'), true)
  assert.equal(mayCarryPassword(far, 'encrypted', 'none'), false)
  assert.equal(mayCarryPassword(far, 'none', 'none'), false)
  assert.equal(mayCarryPassword({ at: { address: '127.0.0.1', port: 25 } }, 'none', 'none'), true)
  assert.equal(mayCarryPassword({ at: { path: '/run/lmtp' } }, 'none', 'none'), true)
})

test('M-11 LMTP client: one session, an answer for each recipient', async (t) => {
  const server = await run(t, {
    kind: 'lmtp',
    handler: () => ({
      mail: () => {},
      rcpt: () => {},
      data: () => [reply(250, '2.0.0', 'Stored'), reply(452, '4.2.2', 'Mailbox full'), reply(550, '5.1.1', 'Gone')],
    }),
  })
  const { send } = courier(t, 'lmtp', { servers: [server.at] })
  const results = await send('ben@example.net', 'cleo@example.net', 'dora@example.net')
  assert.deepEqual(codes(results), ['250 2.0.0', '452 4.2.2', '550 5.1.1'])
  assert.deepEqual(
    results.map(({ address }) => address),
    ['ben@example.net', 'cleo@example.net', 'dora@example.net'],
  )
})

test('LMTP over a socket of this machine', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-lmtp-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const server = await run(t, { kind: 'lmtp', path: join(folder, 'lmtp') })
  const { send } = courier(t, 'lmtp', { servers: [server.at] })
  assert.deepEqual(codes(await send()), ['250 2.0.0'])
  assert.match(server.received[0]?.text ?? '', /Hello Ben/)
})

test('a server whose name the DNS does not know means later: the config may be wrong, the mail is not', async (t) => {
  const { send } = courier(t, 'smtp', { servers: ['nowhere.example'] })
  assert.deepEqual(codes(await send()), ['451 4.4.4'])
})

test('settings: user and password go together, a trust store must be there', () => {
  const schema = downstreamConfig(25, 'authenticated')
  const bad = (login: unknown): boolean => !v.safeParse(schema, { servers: ['a.example'], login }).success
  assert.ok(bad({ user: 'anna' }))
  assert.ok(bad({ certificate: '/a.pem' }))
  assert.ok(bad({}))
  assert.ok(!bad({ user: 'anna', password: 'x' }))
  assert.ok(!v.safeParse(schema, { servers: [] }).success)
  assert.ok(!v.safeParse(schema, { servers: ['a.example'], 'trust-store': 'relative.pem' }).success)
})
