// Real TLS and real SASL against our own server; and the example of the README.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { createSecureContext, TLSSocket } from 'node:tls'
import {
  deriveScram,
  type MechanismName,
  offered,
  type ServerMechanism,
  serverMechanism,
  type ServerOptions,
  tlsChannelBinding,
} from '@aviso/sasl'
import { type ClientOptions, connectImap, type ImapClientSession, type ImapConnection } from '../../src/index.ts'
import { fill, world, type World } from '../harness.ts'

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../xmpp/test/fixtures/${name}`, import.meta.url), 'utf8')
const cert = fixture('localhost.cert.pem')
const secureContext = createSecureContext({ cert, key: fixture('localhost.key.pem') })

async function startTls(socket: Duplex): Promise<Duplex> {
  const encrypted = new TLSSocket(socket as ConstructorParameters<typeof TLSSocket>[0], {
    isServer: true,
    secureContext,
  })
  await new Promise<void>((resolve, reject) => {
    encrypted.once('secure', resolve)
    encrypted.once('error', reject)
    encrypted.once('close', () => reject(new Error('closed during the handshake')))
  })
  return encrypted
}

const salt = Buffer.alloc(16, 1)
const keys = { salt, iterations: 4096, ...(await deriveScram('SHA-256', 'secret', salt, 4096)) }

/** What is configured here, as far as the connection allows it; `began` notes what a client uses. */
function mechanisms(configured: readonly MechanismName[], began: string[]) {
  return ({ secure, socket }: ImapConnection): ReadonlyMap<string, () => ServerMechanism> => {
    const channelBinding = socket instanceof TLSSocket ? tlsChannelBinding(socket, 'server') : undefined
    const names = offered(configured, { secure, channelBinding })
    const options: ServerOptions = {
      offered: names,
      channelBinding,
      secret: Buffer.alloc(16, 7),
      credentials: {
        scram: async (user) => (user === 'anna' ? keys : undefined),
        password: async (user, password) => (user === 'anna' && password === 'secret' ? 'accepted' : 'not-authorized'),
      },
      verifyToken: async ({ token }) =>
        token === 'good' ? { kind: 'accepted', authcid: 'anna' } : { kind: 'refused', scope: 'mail' },
    }
    const make = (name: string) => (): ServerMechanism => {
      const mechanism = serverMechanism(name, options)
      assert.ok(mechanism !== undefined)
      began.push(name)
      return mechanism
    }
    return new Map(names.map((name) => [name, make(name)]))
  }
}

async function log(t: TestContext, { connect }: World, more: Partial<ClientOptions> = {}): Promise<ImapClientSession> {
  const session = await connectImap({
    host: 'localhost',
    tls: 'starttls',
    tlsOptions: { ca: cert },
    auth: { user: 'anna', password: 'secret' },
    dial: connect,
    ...more,
  })
  t.after(() => session.close())
  return session
}

test('STARTTLS, then the strongest mechanism: bound to TLS, with a password, with a token, and LOGIN where there is no other', async (t) => {
  const began: string[] = []
  const all = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'OAUTHBEARER', 'PLAIN'] as const
  const place = await world(t, {}, { startTls, mechanisms: mechanisms(all, began) })
  await (await log(t, place)).noop()
  await (await log(t, place, { auth: { user: 'anna', password: 'secret', mechanisms: ['PLAIN'] } })).noop()
  await (await log(t, place, { auth: { user: 'anna', token: 'good' } })).noop()
  await assert.rejects(log(t, place, { auth: { user: 'anna', token: 'bad' } }), /did not accept|AUTHENTICATIONFAILED/)
  await assert.rejects(log(t, place, { auth: { user: 'anna', password: 'wrong' } }), { code: 'AUTHENTICATIONFAILED' })
  assert.deepEqual(began, ['SCRAM-SHA-256-PLUS', 'PLAIN', 'OAUTHBEARER', 'OAUTHBEARER', 'SCRAM-SHA-256-PLUS'])
  const plain = await world(t, {}, { startTls })
  await (await log(t, plain)).noop()
})

test('XOAUTH2 where a server has no OAUTHBEARER, before the password is given away', async (t) => {
  const began: string[] = []
  const place = await world(t, {}, { startTls, mechanisms: mechanisms(['XOAUTH2', 'PLAIN'], began) })
  await (await log(t, place, { auth: { user: 'anna', token: 'good', password: 'secret' } })).noop()
  await assert.rejects(log(t, place, { auth: { user: 'anna', token: 'bad' } }), { code: 'AUTHENTICATIONFAILED' })
  await (
    await log(t, place, { auth: { user: 'anna', token: 'good', password: 'secret', mechanisms: ['PLAIN'] } })
  ).noop()
  await assert.rejects(log(t, place, { auth: { user: 'anna', token: 'no\x01token' } }), {
    condition: 'malformed-request',
  })
  const both = await world(t, {}, { startTls, mechanisms: mechanisms(['XOAUTH2', 'OAUTHBEARER'], began) })
  await (await log(t, both, { auth: { user: 'anna', token: 'good' } })).noop()
  assert.deepEqual(began, ['XOAUTH2', 'XOAUTH2', 'PLAIN', 'OAUTHBEARER'])
})

test('without TLS, SCRAM still keeps the password', async (t) => {
  const began: string[] = []
  const place = await world(t, {}, { mechanisms: mechanisms(['SCRAM-SHA-256', 'PLAIN'], began) })
  await (await log(t, place, { tls: 'none' })).noop()
  assert.deepEqual(began, ['SCRAM-SHA-256'])
})

test('a certificate that is not for this host, or of nobody known, ends the connection', async (t) => {
  const place = await world(t, {}, { startTls })
  await assert.rejects(log(t, place, { host: 'other.example' }), { status: 'CLOSED' })
  await assert.rejects(log(t, place, { tlsOptions: {} }), { status: 'CLOSED' })
})

test('connecting is given up by signal and by time', async (t) => {
  const place = await world(t)
  const stop = new AbortController()
  const never = (): Promise<Duplex> => new Promise(() => undefined)
  const stopped = assert.rejects(log(t, place, { dial: never, signal: stop.signal }), { name: 'AbortError' })
  stop.abort()
  await stopped
  await assert.rejects(log(t, place, { dial: never, timeouts: { connect: 10 } }), { status: 'TIMEOUT' })
  await assert.rejects(log(t, place, { dial: async () => Promise.reject(new Error('nobody there')) }), {
    status: 'CLOSED',
    text: /nobody there/,
  })
})

test('the example of the README does what it says', async (t) => {
  const place = await world(t, { mailboxes: { Accounts: undefined } })
  await fill(place.mail, 2)
  const account = place.mail.open()
  await account.append('INBOX', [{ bytes: Buffer.from('Subject: Invoice\r\n\r\nPlease pay\r\n'), flags: [] }])
  account.close()
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const example = [...readme.matchAll(/```ts\n(.*?)```/gs)]
    .map((match) => match[1] ?? '')
    .find((code) => code.includes('connectImap'))
  assert.ok(example !== undefined)
  assert.match(example, /^import \{ connectImap \} from '@aviso\/imap'\n/)
  const code = example.replace(/^import .*\n/, '')
  const run = new (Object.getPrototypeOf(async () => undefined).constructor as FunctionConstructor)(
    'connectImap',
    'console',
    code,
  )
  const lines: unknown[][] = []
  const here = (options: ClientOptions): Promise<ImapClientSession> =>
    connectImap({ ...options, tls: 'none', plaintextPassword: true, dial: place.connect })
  await run(here, { log: (...words: unknown[]) => lines.push(words) })
  assert.deepEqual(lines, [
    [1, '1'],
    [2, '2'],
    [3, 'Invoice'],
  ])
  const check = await log(t, place, { tls: 'none', plaintextPassword: true })
  const inbox = await check.select('INBOX')
  assert.deepEqual(await inbox.search({ seen: true }), [1, 2])
  assert.equal((await check.status('Accounts', ['MESSAGES'])).messages, 1)
})
