// Logging in: one door for all protocols.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { annasHouse, cheap, context, login, turning } from './house.ts'

const anna = { authcid: 'anna@example.org', password: 'annas secret' }

test('channel binding is offered where clients know it: to chat programs, unless the administrator says otherwise', async (t) => {
  const house = await annasHouse(t)
  const channelBinding = new Map([['tls-exporter', Buffer.alloc(32, 7)]])
  const offered = (protocol: string): boolean =>
    house.accounts
      .mechanisms(context({ protocol, channelBinding: () => channelBinding }))
      .includes('SCRAM-SHA-256-PLUS')
  assert.deepEqual(['c2s', 'imap', 'submission'].map(offered), [true, false, false])
})

test('every mechanism lets Anna in, and names her by her address', async (t) => {
  const house = await annasHouse(t, { ...cheap, 'channel-binding': ['imap'] })
  const binding = new Map([['tls-exporter', Buffer.alloc(32, 7)]])
  assert.deepEqual(house.accounts.mechanisms(context({ channelBinding: () => binding })), [
    'SCRAM-SHA-256-PLUS',
    'SCRAM-SHA-1-PLUS',
    'SCRAM-SHA-256',
    'SCRAM-SHA-1',
    'PLAIN',
    'LOGIN',
  ])
  const clientBinding = {
    types: ['tls-exporter'] as const,
    value: (type: string): Uint8Array | undefined => binding.get(type),
  }
  for (const mechanism of ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-1-PLUS'] as const) {
    const { end } = await login(
      house,
      mechanism,
      { ...anna, channelBinding: clientBinding },
      { channelBinding: () => binding },
    )
    assert.equal(end.kind, 'success', mechanism)
  }
  for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN', 'LOGIN'] as const) {
    const { end, waited } = await login(house, mechanism, anna)
    assert.deepEqual(
      end.kind === 'success' && end.identity,
      { authcid: 'anna@example.org', authzid: undefined },
      mechanism,
    )
    assert.equal(waited, 0)
  }
})

test('without TLS nothing is offered, but from this machine where the administrator allows it', async (t) => {
  const house = await annasHouse(t, { ...cheap, cleartext: 'loopback' })
  assert.deepEqual(house.accounts.mechanisms(context({ secure: false })), [])
  assert.equal(house.accounts.begin('PLAIN', context({ secure: false })), undefined)
  assert.ok(house.accounts.mechanisms(context({ secure: false, remoteAddress: '::1' })).includes('PLAIN'))
  assert.ok(!house.accounts.mechanisms(context({ protocol: 'c2s' })).includes('LOGIN'))
})

test('a name is understood in every spelling, and completed by the domain that the peer addressed', async (t) => {
  const house = await annasHouse(t)
  await house.admin.addDomain('example.net')
  await house.admin.createAccount({ address: 'anna@example.net', password: 'another secret' })
  for (const authcid of ['anna', 'Anna', 'ANNA@Example.ORG'])
    assert.equal((await login(house, 'SCRAM-SHA-256', { ...anna, authcid })).end.kind, 'success', authcid)
  const other = await login(house, 'PLAIN', { authcid: 'anna', password: 'another secret' }, { domain: 'example.net' })
  assert.equal(other.end.kind === 'success' && other.end.identity.authcid, 'anna@example.net')
  const unknown = await login(house, 'PLAIN', anna, { domain: 'nowhere.example' })
  assert.equal(unknown.end.kind, 'success')
})

test('nobody acts for another, but may name himself', async (t) => {
  const house = await annasHouse(t)
  assert.equal(
    (await login(house, 'PLAIN', { ...anna, authcid: 'anna', authzid: 'anna@example.org' })).end.kind,
    'success',
  )
  const { end } = await login(house, 'PLAIN', { ...anna, authzid: 'ben@example.org' })
  assert.equal(end.kind === 'failure' && end.condition, 'invalid-authzid')
})

test('a wrong password and an unknown name get the same answer; the log knows the difference', async (t) => {
  const house = await annasHouse(t)
  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-1'] as const) {
    const wrong = await login(house, mechanism, { ...anna, password: 'wrong' }, { remoteAddress: '192.0.2.1' })
    const nobody = await login(house, mechanism, { ...anna, authcid: 'nobody' }, { remoteAddress: '192.0.2.2' })
    for (const { end } of [wrong, nobody]) assert.ok(end.kind === 'failure' && end.condition === 'not-authorized')
    assert.equal(wrong.end.kind === 'failure' && wrong.end.text, nobody.end.kind === 'failure' && nobody.end.text)
  }
  assert.deepEqual(
    house
      .logins()
      .slice(0, 2)
      .map(({ outcome, reason, address, protocol, mechanism, session, remoteAddress }) => ({
        outcome,
        reason,
        address,
        protocol,
        mechanism,
        session,
        remoteAddress,
      })),
    [
      {
        outcome: 'failure',
        reason: 'wrong password',
        address: 'anna@example.org',
        protocol: 'imap',
        mechanism: 'PLAIN',
        session: 's1',
        remoteAddress: '192.0.2.1',
      },
      {
        outcome: 'failure',
        reason: 'no such account',
        address: 'nobody@example.org',
        protocol: 'imap',
        mechanism: 'PLAIN',
        session: 's1',
        remoteAddress: '192.0.2.2',
      },
    ],
  )
  assert.match(await house.metrics.text(), /aviso_logins_total\{protocol="imap",outcome="failure"\} 6/)
  assert.ok(!JSON.stringify(house.lines).includes('annas secret'))
})

test('SCRAM shows an unknown name one salt in all spellings, and the same after a restart', async (t) => {
  const house = await annasHouse(t)
  const saltOf = async (accounts: typeof house.accounts, name: string): Promise<string | undefined> => {
    const step = await accounts.begin('SCRAM-SHA-256', context())?.start(Buffer.from(`n,,n=${name},r=abc`))
    return step?.kind === 'challenge' ? /s=([^,]+),i=4096/.exec(Buffer.from(step.data).toString())?.[1] : undefined
  }
  const salt = await saltOf(house.accounts, 'nobody')
  assert.ok(salt)
  assert.equal(await saltOf(house.accounts, 'NOBODY@example.org'), salt)
  assert.equal(await saltOf((await house.again()).accounts, 'nobody'), salt)
  assert.notEqual(await saltOf(house.accounts, 'nobody2'), salt)
})

test('a disabled account: only who knows the password learns it', async (t) => {
  const house = await annasHouse(t)
  await login(house, 'PLAIN', anna)
  await house.admin.disableAccount('anna@example.org')
  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256'] as const) {
    const right = await login(house, mechanism, anna)
    assert.equal(right.end.kind === 'failure' && right.end.condition, 'account-disabled')
    assert.equal(right.waited, 0)
    const wrong = await login(house, mechanism, { ...anna, password: 'wrong' })
    assert.equal(wrong.end.kind === 'failure' && wrong.end.condition, 'not-authorized')
  }
  await house.admin.enableAccount('anna@example.org')
  assert.equal((await login(house, 'PLAIN', anna)).end.kind, 'success')
})

test('the old password is dead the moment the new one is set', async (t) => {
  const house = await annasHouse(t)
  await login(house, 'PLAIN', anna)
  await login(house, 'PLAIN', anna)
  await house.admin.setPassword('anna@example.org', 'a new secret')
  assert.equal((await login(house, 'PLAIN', anna)).end.kind, 'failure')
  assert.equal((await login(house, 'PLAIN', { ...anna, password: 'a new secret' })).end.kind, 'success')
  assert.equal((await login(house, 'SCRAM-SHA-1', { ...anna, password: 'a new secret' })).end.kind, 'success')
})

test('a database that fails is "try again later", neither right nor wrong, and counts against nobody', async (t) => {
  const house = await annasHouse(t)
  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256'] as const) {
    house.breakNext('login')
    const { end, waited } = await login(house, mechanism, anna)
    assert.equal(end.kind === 'failure' && end.condition, 'temporary-auth-failure')
    assert.equal(waited, 0)
  }
  assert.equal(house.logins().at(-1)?.['outcome'], 'fault')
  assert.equal((await login(house, 'PLAIN', anna)).end.kind, 'success')
})

test('missing forms are made at the first login with PLAIN, unwanted ones go', async (t) => {
  const house = await annasHouse(t)
  const { failed } = await house.admin.importAccounts([{ address: 'carla@example.org', password: 'carlas secret' }])
  assert.deepEqual(failed, [])
  const forms = async (): Promise<string> => (await house.admin.showAccount('carla@example.org')).forms.join(' ')
  const until = async (wanted: string): Promise<void> => {
    for (let i = 0; i < 2000 && (await forms()) !== wanted; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(await forms(), wanted)
  }
  assert.equal(await forms(), 'SCRAM-SHA-1 SCRAM-SHA-256')
  const carla = { authcid: 'carla@example.org', password: 'carlas secret' }
  await login(house, 'PLAIN', carla)
  await until('SCRAM-SHA-1 SCRAM-SHA-256 argon2id')

  const strict = await house.again({ passwords: { ...cheap.passwords, forms: ['argon2id'] } })
  assert.deepEqual(strict.accounts.mechanisms(context()), ['PLAIN', 'LOGIN'])
  assert.equal((await login({ ...house, ...strict }, 'PLAIN', carla)).end.kind, 'success')
  await until('argon2id')
  const wrong = await login({ ...house, ...strict }, 'PLAIN', { ...carla, password: 'no' })
  assert.equal(wrong.end.kind, 'failure')
  // Back again: argon2id proves the password, the SCRAM forms return.
  const back = await house.again()
  assert.equal(
    (await login({ ...house, ...back }, 'SCRAM-SHA-256', carla, { remoteAddress: '192.0.2.99' })).end.kind,
    'failure',
  )
  assert.equal((await login({ ...house, ...back }, 'PLAIN', carla)).end.kind, 'success')
  await until('SCRAM-SHA-1 SCRAM-SHA-256 argon2id')
})

test('an upgrade never brings an old password back', async (t) => {
  const house = await annasHouse(t)
  const before = await house.rows.login('anna@example.org')
  const secret = before?.credentials['SCRAM-SHA-256'] ?? ''
  await house.admin.setPassword('anna@example.org', 'a new secret')
  const upgraded = await house.rows.upgradeCredentials({
    id: before?.account.id ?? '',
    proof: { form: 'SCRAM-SHA-256', secret },
    add: { argon2id: 'the old one' },
    remove: [],
  })
  assert.equal(upgraded, false)
  assert.notEqual((await house.rows.login('anna@example.org'))?.credentials['argon2id'], 'the old one')
})

test('more logins than may wait for a hash are told to come back later', async (t) => {
  const house = await annasHouse(t, { ...cheap, passwords: { ...cheap.passwords, concurrency: 1, queue: 1 } })
  const ends = await Promise.all(
    ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'].map((remoteAddress) =>
      login(house, 'PLAIN', anna, { remoteAddress }),
    ),
  )
  const kinds = ends.map(({ end }) => (end.kind === 'failure' ? end.condition : end.kind))
  assert.deepEqual(kinds.filter((kind) => kind === 'success').length, 2)
  assert.deepEqual(kinds.filter((kind) => kind === 'temporary-auth-failure').length, 2)
})

test('garbage ends the exchange and harms nobody', async (t) => {
  const house = await annasHouse(t)
  for (const garbage of [
    '',
    '\0',
    'a\0b',
    '\0\0\0',
    '\0anna\0',
    '\xff\0\xff\0\xff',
    'x'.repeat(70_000),
    `\0${'a'.repeat(2000)}\0b`,
    `\0anna\0${'p'.repeat(5000)}`,
    `\0@\0p`,
    `\0anna@[1.2.3.4]\0p`,
  ]) {
    const server = house.accounts.begin('PLAIN', context({ remoteAddress: '127.0.0.1' }))
    const pending = server?.start(Buffer.from(garbage, 'latin1'))
    const step = pending && (await turning(house.clock, pending))
    assert.equal(step?.kind, 'failure', JSON.stringify(garbage.slice(0, 20)))
  }
  assert.equal(house.accounts.begin('CRAM-MD5', context()), undefined)
  assert.equal((await login(house, 'PLAIN', anna)).end.kind, 'success')
})
