import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type ChannelBinding,
  clientMechanism,
  type CredentialSource,
  MECHANISMS,
  type MechanismName,
  offered,
  type PasswordVerdict,
  preparePassword,
  prepareName,
  serverMechanism,
  type ServerOptions,
  type ServerStep,
  tlsChannelBinding,
  type TokenRequest,
} from '../src/index.ts'
import { exchange, memoryCredentials } from '../src/testing/index.ts'

const secret = Buffer.alloc(32, 7)
const binding: ChannelBinding = { types: ['tls-exporter'], value: () => Buffer.from('x') }

function server(name: MechanismName, options: Partial<ServerOptions> = {}) {
  const mechanism = serverMechanism(name, {
    offered: [name],
    credentials: memoryCredentials({ anna: 'secret' }),
    secret,
    ...options,
  })
  assert.ok(mechanism)
  return mechanism
}

/** What an exchange ends in: `anna`, `anna as boss`, or the condition. */
function outcome(step: ServerStep): string {
  if (step.kind === 'success')
    return step.identity.authcid + (step.identity.authzid === undefined ? '' : ` as ${step.identity.authzid}`)
  return step.kind === 'failure' ? step.condition : Buffer.from(step.data).toString()
}

async function say(
  name: MechanismName,
  messages: readonly (string | undefined)[],
  options: Partial<ServerOptions> = {},
): Promise<string> {
  const us = server(name, options)
  const [first, ...rest] = messages
  let step = await us.start(first === undefined ? undefined : Buffer.from(first, 'latin1'))
  for (const message of rest) step = await us.next(Buffer.from(message ?? '', 'latin1'))
  return outcome(step)
}

const plain: [string, string, string][] = [
  ['the right password', '\0anna\0secret', 'anna'],
  ['authzid is the same', 'anna\0anna\0secret', 'anna'],
  ['as another', 'boss\0anna\0secret', 'invalid-authzid'],
  ['a wrong password', '\0anna\0Secret', 'not-authorized'],
  ['as another with a wrong password', 'boss\0anna\0x', 'not-authorized'],
  ['an unknown user', '\0ben\0secret', 'not-authorized'],
  ['no password', '\0anna\0', 'malformed-request'],
  ['no user', '\0\0secret', 'malformed-request'],
  ['one field', 'anna', 'malformed-request'],
  ['two fields', 'anna\0secret', 'malformed-request'],
  ['four fields', '\0anna\0secret\0', 'malformed-request'],
  ['bad UTF-8', '\0anna\0\xff', 'malformed-request'],
  ['nothing', '', 'malformed-request'],
  ['too much', `\0anna\0${'x'.repeat(65_536)}`, 'malformed-request'],
]
for (const [story, message, expected] of plain) {
  test(`PLAIN: ${story}`, async () => {
    assert.equal(await say('PLAIN', [message]), expected)
    if (message !== '') assert.equal(await say('PLAIN', [undefined, message]), expected, 'without initial response')
  })
}

test('PLAIN: every verdict of the source is passed on, and anything odd is no leave', async () => {
  const verdicts: PasswordVerdict[] = [
    'account-disabled',
    'credentials-expired',
    'mechanism-too-weak',
    'temporary-auth-failure',
    'not-authorized',
  ]
  for (const verdict of verdicts) {
    const credentials: CredentialSource = { scram: async () => undefined, password: async () => verdict }
    assert.equal(await say('PLAIN', ['\0anna\0secret'], { credentials }), verdict)
  }
  const down: CredentialSource = { scram: async () => undefined, password: () => Promise.reject(new Error('down')) }
  assert.equal(await say('PLAIN', ['\0anna\0secret'], { credentials: down }), 'temporary-auth-failure')
  const leave = { authorize: () => Promise.reject(new Error('down')) }
  assert.equal(await say('PLAIN', ['boss\0anna\0secret'], leave), 'temporary-auth-failure')
})

test('LOGIN: asked twice, or the name at once', async () => {
  assert.equal(await say('LOGIN', [undefined]), 'Username:')
  assert.equal(await say('LOGIN', [undefined, 'anna']), 'Password:')
  assert.equal(await say('LOGIN', [undefined, 'anna', 'secret']), 'anna')
  assert.equal(await say('LOGIN', ['anna', 'secret']), 'anna')
  assert.equal(await say('LOGIN', ['anna', 'x']), 'not-authorized')
  assert.equal(await say('LOGIN', ['anna', '']), 'malformed-request')
  assert.equal(await say('LOGIN', ['', 'secret']), 'malformed-request')
})

test('EXTERNAL: what the certificate proves', async () => {
  const external: NonNullable<ServerOptions['external']> = async (authzid) => {
    if (authzid === undefined || authzid === 'peer.example') return { authcid: 'peer.example', authzid: undefined }
    return 'invalid-authzid'
  }
  assert.equal(await say('EXTERNAL', [''], { external }), 'peer.example')
  assert.equal(await say('EXTERNAL', [undefined, ''], { external }), 'peer.example')
  assert.equal(await say('EXTERNAL', ['peer.example'], { external }), 'peer.example')
  assert.equal(await say('EXTERNAL', ['other.example'], { external }), 'invalid-authzid')
  assert.equal(await say('EXTERNAL', [''], { external: async () => 'not-authorized' }), 'not-authorized')
})

test('ANONYMOUS: the client has nothing to say, and takes it where nothing better will do', async () => {
  const client = clientMechanism(['ANONYMOUS', 'PLAIN'], { anonymous: true, secure: true })
  assert.equal(client?.name, 'ANONYMOUS')
  assert.equal((await client.start())?.length, 0)
  await assert.rejects(client.next(Buffer.from('?')), /sent a challenge/)
  await client.success()
  assert.equal(clientMechanism(['ANONYMOUS'], { secure: true }), undefined)
})

test('ANONYMOUS: a guest', async () => {
  const guest = async (trace: string) => `guest of ${trace}`
  assert.equal(await say('ANONYMOUS', ['me'], { guest }), 'guest of me')
  assert.equal(await say('ANONYMOUS', [''], { guest }), 'guest of ')
  assert.equal(await say('ANONYMOUS', ['a\nb'], { guest }), 'malformed-request')
  assert.equal(await say('ANONYMOUS', ['x'.repeat(300)], { guest }), 'malformed-request')
})

test('OAUTHBEARER and XOAUTH2: the example of RFC 7628 §4, and what goes wrong', async () => {
  const asked: TokenRequest[] = []
  const verifyToken: NonNullable<ServerOptions['verifyToken']> = async (request) => {
    asked.push(request)
    return request.token === 'vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=='
      ? { kind: 'accepted', authcid: 'user@example.com' }
      : { kind: 'refused', scope: 'mail', openidConfiguration: 'https://example.com/.well-known/openid-configuration' }
  }
  const options = { verifyToken }
  const good = 'auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=='
  const first = `n,a=user@example.com,\x01host=server.example.com\x01port=143\x01${good}\x01\x01`
  assert.equal(await say('OAUTHBEARER', [first], options), 'user@example.com')
  assert.deepEqual(asked, [
    {
      token: 'vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==',
      authzid: 'user@example.com',
      host: 'server.example.com',
      port: 143,
    },
  ])
  assert.equal(await say('OAUTHBEARER', [`n,,\x01${good}\x01\x01`], options), 'user@example.com')
  assert.equal(await say('XOAUTH2', [`user=user@example.com\x01${good}\x01\x01`], options), 'user@example.com')
  assert.equal(await say('XOAUTH2', [`user=ben@example.com\x01${good}\x01\x01`], options), 'invalid-authzid')

  const bad = `n,a=user@example.com,\x01auth=Bearer expired\x01\x01`
  const refused = JSON.parse(await say('OAUTHBEARER', [bad], options))
  assert.deepEqual(refused, {
    status: 'invalid_token',
    schemes: 'bearer',
    scope: 'mail',
    'openid-configuration': 'https://example.com/.well-known/openid-configuration',
  })
  assert.equal(await say('OAUTHBEARER', [bad, '\x01'], options), 'not-authorized')
  assert.equal(await say('OAUTHBEARER', [bad, first], options), 'not-authorized', 'no second try in the same exchange')
  assert.equal(
    await say('OAUTHBEARER', [first], { verifyToken: () => Promise.reject(new Error('down')) }),
    'temporary-auth-failure',
  )

  for (const broken of [
    '',
    'n,,',
    `n,,\x01${good}`,
    `n,,\x01${good}\x01`,
    'n,,\x01auth=Basic eA==\x01\x01',
    'n,,\x01auth=Bearer a b\x01\x01',
    `n,,\x01${good}\x01${good}\x01\x01`,
    `p=x,,\x01${good}\x01\x01`,
    `n,,\x01=x\x01${good}\x01\x01`,
  ]) {
    assert.equal(await say('OAUTHBEARER', [broken], options), 'malformed-request', broken)
  }
})

for (const name of ['OAUTHBEARER', 'XOAUTH2'] as const)
  test(`${name}: client and server`, async () => {
    const them = (token: string) => {
      const mechanism = clientMechanism([name, 'PLAIN'], {
        password: 'kept back',
        authcid: 'anna',
        token,
        secure: true,
        host: 'x.test',
        port: 993,
      })
      assert.ok(mechanism)
      return mechanism
    }
    const verifyToken: NonNullable<ServerOptions['verifyToken']> = async ({ token }) =>
      token === 'good' ? { kind: 'accepted', authcid: 'anna' } : { kind: 'refused', condition: 'account-disabled' }
    assert.equal(outcome(await exchange(them('good'), server(name, { verifyToken }))), 'anna')
    assert.equal(outcome(await exchange(them('bad'), server(name, { verifyToken }))), 'account-disabled')
    await assert.rejects(them('a\x01auth=x').start())
    assert.equal(them('good').name, name)
  })

test('client and server agree on PLAIN, LOGIN and EXTERNAL', async () => {
  const external = async () => ({ authcid: 'peer', authzid: undefined })
  for (const name of ['PLAIN', 'LOGIN', 'EXTERNAL'] as const) {
    const them = clientMechanism([name], { authcid: 'anna', password: 'secret', external: true, secure: true })
    assert.ok(them)
    assert.equal(outcome(await exchange(them, server(name, { external }))), name === 'EXTERNAL' ? 'peer' : 'anna')
  }
})

test('the client takes the strongest, and sends no password in clear', () => {
  const pick = (offer: readonly string[], options: object = {}) =>
    clientMechanism(offer, { authcid: 'a', password: 'p', secure: true, ...options })?.name
  assert.equal(pick(MECHANISMS), 'SCRAM-SHA-512')
  assert.equal(pick(MECHANISMS, { channelBinding: binding }), 'SCRAM-SHA-512-PLUS')
  assert.equal(pick(['plain', 'scram-sha-1', 'X-NEW']), 'SCRAM-SHA-1')
  assert.equal(pick(['LOGIN', 'PLAIN']), 'PLAIN')
  assert.equal(pick(['LOGIN', 'PLAIN'], { secure: false }), undefined)
  assert.equal(pick(['LOGIN'], { authzid: 'x' }), undefined)
  for (const name of ['OAUTHBEARER', 'XOAUTH2']) {
    assert.equal(pick([name], { token: 't', secure: false }), undefined)
    // A token says less than a password, which is not given away where the token does.
    assert.equal(pick(['PLAIN', name], { token: 't' }), name)
    assert.equal(pick(['SCRAM-SHA-1', name], { token: 't' }), 'SCRAM-SHA-1')
  }
  assert.equal(pick(['XOAUTH2', 'OAUTHBEARER'], { token: 't' }), 'OAUTHBEARER')
  assert.equal(pick(['XOAUTH2'], { token: 't', authcid: undefined }), undefined)
  assert.equal(pick(MECHANISMS, { mechanisms: ['PLAIN'] }), 'PLAIN')
  assert.equal(pick([], {}), undefined)
})

test('the server offers what the session can bear', () => {
  const bare = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'ANONYMOUS']
  assert.deepEqual(offered(MECHANISMS, { secure: false }), bare)
  assert.deepEqual(offered(MECHANISMS, { secure: false, channelBinding: binding, external: true }), bare)
  assert.deepEqual(offered(MECHANISMS, { secure: true, channelBinding: binding, external: true }), [...MECHANISMS])
  assert.deepEqual(offered(['PLAIN', 'EXTERNAL', 'SCRAM-SHA-1-PLUS'], { secure: true }), ['PLAIN'])
  assert.deepEqual(offered(['SCRAM-SHA-1-PLUS'], { secure: true, channelBinding: { ...binding, types: [] } }), [])
})

test('what was not offered is not started', () => {
  const options = {
    offered: ['PLAIN', 'EXTERNAL', 'OAUTHBEARER', 'ANONYMOUS'] as const,
    credentials: memoryCredentials({}),
    secret,
  }
  assert.equal(serverMechanism('plain', options)?.name, 'PLAIN')
  for (const name of [
    'SCRAM-SHA-1',
    'LOGIN',
    'GSSAPI',
    '',
    'x'.repeat(1000),
    '__proto__',
    'EXTERNAL',
    'OAUTHBEARER',
    'ANONYMOUS',
  ]) {
    assert.equal(serverMechanism(name, options), undefined, name)
  }
})

test('an exchange is spent after its end, after an abort, and cannot begin twice', async () => {
  const done = server('PLAIN')
  assert.equal(outcome(await done.start(Buffer.from('\0anna\0secret'))), 'anna')
  assert.equal(outcome(await done.next(Buffer.from('\0anna\0secret'))), 'malformed-request')
  const twice = server('LOGIN')
  await twice.start(undefined)
  assert.equal(outcome(await twice.start(undefined)), 'malformed-request')
  assert.equal(outcome(await twice.next(Buffer.from('anna'))), 'malformed-request')
  const cancelled = server('LOGIN')
  await cancelled.start(Buffer.from('anna'))
  assert.deepEqual(cancelled.abort(), {
    kind: 'failure',
    condition: 'aborted',
    text: 'Authentication was cancelled.',
    authcid: 'anna',
  })
  assert.equal(outcome(await cancelled.next(Buffer.from('secret'))), 'malformed-request')
})

test('an abort while the source is at work wins over its verdict; responses out of turn end the exchange', async () => {
  const { promise, resolve } = Promise.withResolvers<PasswordVerdict>()
  const credentials: CredentialSource = { scram: async () => undefined, password: () => promise }
  const cancelled = server('PLAIN', { credentials })
  const first = cancelled.start(Buffer.from('\0anna\0secret'))
  cancelled.abort()
  const pushy = server('PLAIN', { credentials })
  const second = pushy.start(Buffer.from('\0anna\0secret'))
  assert.equal(outcome(await pushy.next(Buffer.from('\0anna\0secret'))), 'malformed-request')
  resolve('accepted')
  assert.equal(outcome(await first), 'aborted')
  assert.notEqual((await second).kind, 'success')
})

test('preparing names and passwords (RFC 4013 §3)', () => {
  assert.equal(prepareName('I\u00adX'), 'IX')
  assert.equal(prepareName('user'), 'user')
  assert.equal(prepareName('\u00aa'), 'a')
  assert.equal(prepareName('\u2168'), 'IX')
  assert.throws(() => prepareName('\u0007'))
  assert.throws(() => prepareName('\u0627\u0031'))
  assert.throws(() => prepareName('\u00ad'))
  assert.throws(() => prepareName(''))
  assert.equal(preparePassword('a\u00a0b'), 'a b')
  assert.equal(preparePassword('\u0007u\u0308'), '\u0007ü')
  assert.equal(preparePassword('😀'), '😀')
})

test('bindings of a TLS session', () => {
  const session = (protocol: string, reused = false) => ({
    getProtocol: () => protocol,
    exportKeyingMaterial: (length: number, label: string) => Buffer.from(`${length} ${label}`),
    getFinished: () => Buffer.from('ours'),
    getPeerFinished: () => Buffer.from('theirs'),
    isSessionReused: () => reused,
  })
  const read = (value: Uint8Array | undefined) => value && Buffer.from(value).toString()
  const modern = tlsChannelBinding(session('TLSv1.3'), 'server')
  assert.deepEqual(modern.types, ['tls-exporter'])
  assert.equal(read(modern.value('tls-exporter')), '32 EXPORTER-Channel-Binding')
  assert.equal(modern.value('tls-unique'), undefined)
  assert.equal(modern.value('tls-server-end-point'), undefined)
  assert.equal(read(tlsChannelBinding(session('TLSv1.2'), 'server').value('tls-unique')), 'theirs')
  assert.equal(read(tlsChannelBinding(session('TLSv1.2'), 'client').value('tls-unique')), 'ours')
  assert.equal(read(tlsChannelBinding(session('TLSv1.2', true), 'server').value('tls-unique')), 'ours')
})
