import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  type ChannelBinding,
  clientMechanism,
  type ClientOptions,
  type CredentialSource,
  deriveScram,
  type MechanismName,
  SaslFailure,
  type ScramHash,
  serverMechanism,
  type ServerOptions,
  type ServerStep,
} from '../src/index.ts'
import { exchange, memoryCredentials } from '../src/testing/index.ts'

const secret = Buffer.alloc(32, 7)
const text = (octets: Uint8Array | undefined) => Buffer.from(octets ?? []).toString()

/** One user whose keys have this salt, as the RFCs have it. */
async function userOf(name: string, password: string, salt: string, hash: ScramHash): Promise<CredentialSource> {
  const octets = Buffer.from(salt, 'base64')
  const keys = { salt: octets, iterations: 4096, ...(await deriveScram(hash, password, octets, 4096)) }
  return {
    scram: async (authcid, wanted) => (authcid === name && wanted === hash ? keys : undefined),
    password: async () => 'not-authorized',
  }
}

function server(name: MechanismName, options: Partial<ServerOptions> = {}) {
  const mechanism = serverMechanism(name, {
    offered: [name],
    credentials: memoryCredentials({ user: 'pencil' }),
    secret,
    ...options,
  })
  assert.ok(mechanism)
  return mechanism
}

function client(offer: readonly string[], options: Partial<ClientOptions> = {}) {
  const mechanism = clientMechanism(offer, { authcid: 'user', password: 'pencil', secure: false, ...options })
  assert.ok(mechanism)
  return mechanism
}

function bindingOf(octets: string): ChannelBinding {
  return { types: ['tls-exporter'], value: (type) => (type === 'tls-exporter' ? Buffer.from(octets) : undefined) }
}

async function challenge(step: Promise<ServerStep>): Promise<string> {
  const result = await step
  assert.equal(result.kind, 'challenge', JSON.stringify(result))
  return result.kind === 'challenge' ? text(result.data) : ''
}

async function failure(step: Promise<ServerStep> | ServerStep): Promise<string> {
  const result = await step
  return result.kind === 'failure' ? result.condition : result.kind
}

const vectors = [
  {
    source: 'RFC 5802 §5',
    name: 'SCRAM-SHA-1',
    hash: 'SHA-1',
    salt: 'QSXCR+Q6sek8bf92',
    clientNonce: 'fyko+d2lbbFgONRv9qkxdawL',
    serverNonce: '3rfcNHYJY1ZVvWVs7j',
    final: 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
    signature: 'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
  },
  {
    source: 'RFC 7677 §3',
    name: 'SCRAM-SHA-256',
    hash: 'SHA-256',
    salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
    clientNonce: 'rOprNGfwEbeRWgbNEkqO',
    serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
    final: 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    signature: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  },
] as const

for (const vector of vectors) {
  test(`${vector.source}: the conversation, octet by octet, both ends`, async () => {
    const credentials = await userOf('user', 'pencil', vector.salt, vector.hash)
    const us = server(vector.name, { credentials, nonce: () => vector.serverNonce })
    const them = client([vector.name], { nonce: () => vector.clientNonce })

    const first = await them.start()
    assert.equal(text(first), `n,,n=user,r=${vector.clientNonce}`)
    const serverFirst = await challenge(us.start(first))
    assert.equal(serverFirst, `r=${vector.clientNonce}${vector.serverNonce},s=${vector.salt},i=4096`)
    const final = await them.next(Buffer.from(serverFirst))
    assert.equal(text(final), vector.final)
    const success = await us.next(final)
    assert.ok(success.kind === 'success')
    assert.equal(text(success.data), vector.signature)
    assert.deepEqual(success.identity, { authcid: 'user', authzid: undefined })
    await them.success(success.data)
  })
}

test('a login with and without initial response, the signature in success or in a challenge', async () => {
  for (const initialResponse of [true, false]) {
    for (const successData of ['success', 'challenge'] as const) {
      const step = await exchange(client(['SCRAM-SHA-256']), server('SCRAM-SHA-256'), { initialResponse, successData })
      assert.equal(step.kind, 'success')
    }
  }
})

test('names and passwords beyond ASCII', async () => {
  const credentials = memoryCredentials({ 'zoë,=x': 'pässwörd\u00ad', ix: '\u0007bell 😀' })
  assert.equal(
    (
      await exchange(
        client(['SCRAM-SHA-256'], { authcid: 'zoe\u0308,=x', password: 'pa\u0308sswörd' }),
        server('SCRAM-SHA-256', { credentials }),
      )
    ).kind,
    'success',
  )
  // U+2168 is mapped to IX; a password that SASLprep prohibits is taken in NFC.
  assert.equal(
    (
      await exchange(
        client(['SCRAM-SHA-1'], { authcid: 'i\u00adx', password: '\u0007bell 😀' }),
        server('SCRAM-SHA-1', { credentials }),
      )
    ).kind,
    'success',
  )
})

test('wrong password, unknown user and broken proof look alike', async () => {
  const wrong = server('SCRAM-SHA-256')
  assert.deepEqual(await exchange(client(['SCRAM-SHA-256'], { password: 'pen' }), wrong), {
    kind: 'failure',
    condition: 'not-authorized',
    text: 'The user name or password is wrong.',
    authcid: 'user',
  })
  assert.equal(
    await failure(exchange(client(['SCRAM-SHA-256'], { authcid: 'nobody' }), server('SCRAM-SHA-256'))),
    'not-authorized',
  )

  const asked = (name: string, hash: MechanismName = 'SCRAM-SHA-256') =>
    challenge(server(hash, { nonce: () => 'S', iterations: 4096 }).start(Buffer.from(`n,,n=${name},r=C`)))
  assert.equal(await asked('nobody'), await asked('nobody'), 'the salt is the same every time')
  assert.notEqual(await asked('nobody'), await asked('noone'))
  assert.notEqual(await asked('nobody'), await asked('nobody', 'SCRAM-SHA-1'))
  assert.match(await asked('nobody'), /^r=CS,s=[A-Za-z0-9+/]{22}==,i=4096$/)
})

test('keys of nobody are proven by nobody, even when the source returns a user late', async () => {
  for (const proof of [Buffer.alloc(32), Buffer.alloc(31), Buffer.alloc(0), Buffer.alloc(64)]) {
    const us = server('SCRAM-SHA-256', { nonce: () => 'S' })
    await us.start(Buffer.from('n,,n=nobody,r=C'))
    const condition = await failure(us.next(Buffer.from(`c=biws,r=CS,p=${proof.toString('base64')}`)))
    assert.equal(condition, 'not-authorized')
  }
})

test('a disabled account is told so only after the right password', async () => {
  const open = memoryCredentials({ user: 'pencil' })
  const credentials: CredentialSource = {
    ...open,
    async scram(authcid, hash) {
      const keys = await open.scram(authcid, hash)
      return keys && { ...keys, refused: 'account-disabled' }
    },
  }
  assert.equal(
    await failure(exchange(client(['SCRAM-SHA-1']), server('SCRAM-SHA-1', { credentials }))),
    'account-disabled',
  )
  assert.equal(
    await failure(exchange(client(['SCRAM-SHA-1'], { password: 'x' }), server('SCRAM-SHA-1', { credentials }))),
    'not-authorized',
  )
})

test('a source that is down means: try later', async () => {
  const credentials: CredentialSource = {
    scram: () => Promise.reject(new Error('database is locked')),
    password: () => Promise.reject(new Error('database is locked')),
  }
  const step = await exchange(client(['SCRAM-SHA-256']), server('SCRAM-SHA-256', { credentials }))
  assert.ok(step.kind === 'failure')
  assert.equal(step.condition, 'temporary-auth-failure')
  assert.doesNotMatch(step.text, /locked/)
  assert.ok(step.cause instanceof Error)
})

test('acting as another needs leave', async () => {
  const asBoss = () => client(['SCRAM-SHA-256'], { authzid: 'boss' })
  assert.equal(await failure(exchange(asBoss(), server('SCRAM-SHA-256'))), 'invalid-authzid')
  assert.equal(
    await failure(exchange(asBoss(), server('SCRAM-SHA-256', { authorize: async () => false }))),
    'invalid-authzid',
  )
  const step = await exchange(
    asBoss(),
    server('SCRAM-SHA-256', { authorize: async (who, whom) => who === 'user' && whom === 'boss' }),
  )
  assert.ok(step.kind === 'success')
  assert.deepEqual(step.identity, { authcid: 'user', authzid: 'boss' })
})

test('channel binding: the same session passes, another does not', async () => {
  const plus: MechanismName[] = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']
  const us = (octets: string) => server('SCRAM-SHA-256-PLUS', { offered: plus, channelBinding: bindingOf(octets) })
  const them = () => client(plus, { channelBinding: bindingOf('session 1') })
  assert.equal(them().name, 'SCRAM-SHA-256-PLUS')
  assert.equal((await exchange(them(), us('session 1'))).kind, 'success')
  assert.equal(await failure(exchange(them(), us('session 2'))), 'not-authorized')
})

test('downgrade: a client that could bind finds out that -PLUS was taken out of the offer', async () => {
  const stripped = client(['SCRAM-SHA-256'], { channelBinding: bindingOf('x') })
  const us = server('SCRAM-SHA-256', {
    offered: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'],
    channelBinding: bindingOf('x'),
  })
  assert.equal(await failure(exchange(stripped, us)), 'not-authorized')
  // The same client at a server that really has no -PLUS.
  assert.equal(
    (await exchange(client(['SCRAM-SHA-256'], { channelBinding: bindingOf('x') }), server('SCRAM-SHA-256'))).kind,
    'success',
  )
})

test('downgrade: a changed GS2 header is noticed', async () => {
  const them = client(['SCRAM-SHA-256'], { channelBinding: bindingOf('x') })
  const us = server('SCRAM-SHA-256')
  const first = text(await them.start()).replace(/^y/, 'n')
  const response = await them.next(Buffer.from(await challenge(us.start(Buffer.from(first)))))
  assert.equal(await failure(us.next(response)), 'not-authorized')
})

const hostileFirst: [string, string][] = [
  ['nothing', ''],
  ['no header', 'n=user,r=x'],
  ['an unknown flag', 'x,,n=user,r=x'],
  ['binding without -PLUS', 'p=tls-exporter,,n=user,r=x'],
  ['binding to nothing', 'p=,,n=user,r=x'],
  ['no user', 'n,,n=,r=x'],
  ['no nonce', 'n,,n=user'],
  ['an empty nonce', 'n,,n=user,r='],
  ['a nonce with a blank', 'n,,n=user,r=a b'],
  ['a long nonce', `n,,n=user,r=${'x'.repeat(2000)}`],
  ['a mandatory extension', 'n,,m=x,n=user,r=x'],
  ['a bare =', 'n,,n=us=er,r=x'],
  ['a broken authzid', 'n,b=x,n=user,r=x'],
  ['a bare = in the authzid', 'n,a=x=,n=user,r=x'],
  ['NUL', 'n,,n=us\0er,r=x'],
  ['bad UTF-8', 'n,,n=us\xfff,r=x'],
  ['a prohibited name', 'n,,n=us\x07er,r=x'],
  ['a long name', `n,,n=${'u'.repeat(5000)},r=x`],
  ['many attributes', `n,,n=user,r=x${',a=b'.repeat(1000)}`],
  ['a long message', `n,,n=user,r=x,a=${'x'.repeat(70_000)}`],
]
for (const [story, message] of hostileFirst) {
  test(`hostile first message: ${story}`, async () => {
    const us = server('SCRAM-SHA-256')
    assert.equal(await failure(us.start(Buffer.from(message, 'latin1'))), 'malformed-request')
    assert.equal(await failure(us.next(Buffer.from('c=biws,r=x,p='))), 'malformed-request', 'the exchange is spent')
  })
}

const hostileFinal: [string, string, string][] = [
  ['nothing', '', 'malformed-request'],
  ['another nonce', 'c=biws,r=CX,p=AAAA', 'malformed-request'],
  ["only the client's nonce", 'c=biws,r=C,p=AAAA', 'malformed-request'],
  ['no proof', 'c=biws,r=CS', 'malformed-request'],
  ['proof not last', 'c=biws,p=AAAA,r=CS', 'malformed-request'],
  ['broken base64', 'c=biws,r=CS,p=A!AA', 'malformed-request'],
  ['a short proof', 'c=biws,r=CS,p=AAAA', 'not-authorized'],
  ['an empty proof', 'c=biws,r=CS,p=', 'not-authorized'],
  ['another header', `c=${Buffer.from('y,,').toString('base64')},r=CS,p=AAAA`, 'not-authorized'],
]
for (const [story, message, condition] of hostileFinal) {
  test(`hostile final message: ${story}`, async () => {
    const us = server('SCRAM-SHA-256', { nonce: () => 'S' })
    await challenge(us.start(Buffer.from('n,,n=user,r=C')))
    assert.equal(await failure(us.next(Buffer.from(message))), condition)
  })
}

test('-PLUS is not had without binding, nor with a type that was not offered', async () => {
  for (const flag of ['n', 'y', 'p=tls-unique', 'p=nonsense', 'p=__proto__']) {
    const us = server('SCRAM-SHA-256-PLUS', { channelBinding: bindingOf('x') })
    assert.equal(await failure(us.start(Buffer.from(`${flag},,n=user,r=x`))), 'malformed-request', flag)
  }
  assert.equal(
    await failure(server('SCRAM-SHA-256-PLUS').start(Buffer.from('p=tls-exporter,,n=user,r=x'))),
    'malformed-request',
  )
})

test('property: no message makes the server throw or let anyone in', async () => {
  const pieces = fc.constantFrom(
    'n',
    'y',
    'p=',
    'tls-exporter',
    ',',
    'n=',
    'user',
    'r=',
    'C',
    'CS',
    'c=',
    'biws',
    'p=',
    'AAAA',
    '=2C',
    'm=',
    'a=',
    '\xff',
    '\0',
  )
  const message = fc.oneof(
    fc.array(pieces, { maxLength: 14 }).map((words) => Buffer.from(words.join(''), 'latin1')),
    fc.uint8Array({ maxLength: 60 }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<MechanismName>(
        'SCRAM-SHA-256',
        'SCRAM-SHA-1-PLUS',
        'PLAIN',
        'LOGIN',
        'OAUTHBEARER',
        'XOAUTH2',
        'EXTERNAL',
      ),
      message,
      message,
      async (name, first, second) => {
        const us = server(name, {
          credentials: { scram: async () => undefined, password: async () => 'not-authorized' },
          nonce: () => 'S',
          channelBinding: bindingOf('x'),
          verifyToken: async () => ({ kind: 'refused' }),
          external: async () => 'not-authorized',
        })
        let step = await us.start(first)
        if (step.kind === 'challenge') step = await us.next(second)
        assert.notEqual(step.kind, 'success')
      },
    ),
    { numRuns: 2000 },
  )
})

const falseServers: [string, string, RegExp][] = [
  ['a nonce that is not ours', 'r=XS,s=QUJD,i=4096', /nonce/],
  ['a nonce that adds nothing', 'r=C,s=QUJD,i=4096', /nonce/],
  ['few iterations', 'r=CS,s=QUJD,i=1', /iterations/],
  ['endless iterations', 'r=CS,s=QUJD,i=999999999', /iterations/],
  ['iterations that are none', 'r=CS,s=QUJD,i=1e4', /number/],
  ['no salt', 'r=CS,s=,i=4096', /salt/],
  ['an extension', 'm=x,r=CS,s=QUJD,i=4096', /extension/],
  ['an error at once', 'e=other-error', /nonce, salt/],
]
for (const [story, message, complaint] of falseServers) {
  test(`false server: ${story}`, async () => {
    const them = client(['SCRAM-SHA-256'], { nonce: () => 'C' })
    await them.start()
    await assert.rejects(them.next(Buffer.from(message)), complaint)
    await assert.rejects(them.success())
  })
}

test('false server: success without a proof, or with a wrong one', async () => {
  for (const data of [
    undefined,
    '',
    'v=',
    'v=AAAA',
    `v=${Buffer.alloc(32).toString('base64')}`,
    'e=invalid-proof',
    'x',
  ]) {
    const them = client(['SCRAM-SHA-256'], { nonce: () => 'C' })
    await them.start()
    await them.next(Buffer.from('r=CS,s=QUJD,i=4096'))
    await assert.rejects(them.success(data === undefined ? undefined : Buffer.from(data)), SaslFailure, String(data))
  }
  const hasty = client(['SCRAM-SHA-256'])
  await hasty.start()
  await assert.rejects(hasty.success())
})

test('deriveScram refuses iterations out of bounds', async () => {
  for (const iterations of [0, 1, 4095, 5_000_001, 4096.5, Number.NaN]) {
    await assert.rejects(deriveScram('SHA-256', 'x', Buffer.from('salt'), iterations), RangeError)
  }
})
