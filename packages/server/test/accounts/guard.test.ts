// Guessing passwords is slow, and does not lock out those who know theirs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientMechanism } from '@aviso/sasl'
import { isLoopback, neighbourhood } from '../../src/accounts/neighbourhood.ts'
import { annasHouse, cheap, context, type House, login } from './house.ts'

const anna = { authcid: 'anna@example.org', password: 'annas secret' }
const wrong = { ...anna, password: 'wrong' }
const MINUTE = 60_000

const waits = async (house: House, times: number, remoteAddress: string): Promise<number[]> => {
  const all: number[] = []
  for (let i = 0; i < times; i++) all.push((await login(house, 'SCRAM-SHA-256', wrong, { remoteAddress })).waited)
  return all
}

test('each failure is answered later than the one before; the tenth brings a ban, the next ban is longer', async (t) => {
  const house = await annasHouse(t)
  assert.deepEqual(await waits(house, 10, '192.0.2.1'), [250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000, 15000])
  assert.deepEqual(house.bans, [{ address: '192.0.2.1', ms: 10 * MINUTE }])
  const { end, waited } = await login(house, 'PLAIN', anna, { remoteAddress: '192.0.2.1' })
  assert.ok(end.kind === 'failure' && end.condition === 'temporary-auth-failure')
  assert.equal(waited, 0)
  assert.equal(house.logins().at(-1)?.['outcome'], 'refused')
  house.bans.length = 0
  house.clock.turn(10 * MINUTE)
  await waits(house, 10, '192.0.2.1')
  assert.deepEqual(house.bans, [{ address: '192.0.2.1', ms: 20 * MINUTE }])
})

test('a reload is no amnesty', async (t) => {
  const house = await annasHouse(t)
  await waits(house, 3, '192.0.2.1')
  const next = { ...house, ...(await house.again()) }
  assert.deepEqual(await waits(next, 1, '192.0.2.1'), [2000])
})

test('a reload with fewer addresses to remember forgets those that are quiet longest', async (t) => {
  const house = await annasHouse(t, { ...cheap, failures: { account: 1000 } })
  await waits(house, 2, '192.0.2.1')
  for (let i = 0; i < 100; i++) await waits(house, 1, `198.51.100.${i}`)
  const next = { ...house, ...(await house.again({ ...cheap, failures: { account: 1000, addresses: 100 } })) }
  assert.deepEqual(await waits(next, 1, '198.51.100.0'), [500])
  assert.deepEqual(await waits(next, 1, '192.0.2.1'), [250])
})

test('failures are forgotten after a while; a success does not wipe them out', async (t) => {
  const house = await annasHouse(t)
  await waits(house, 2, '192.0.2.1')
  await login(house, 'PLAIN', { authcid: 'ben', password: 'bens secret' }, { remoteAddress: '192.0.2.1' })
  assert.deepEqual(await waits(house, 1, '192.0.2.1'), [1000])
  house.clock.turn(11 * MINUTE)
  assert.deepEqual(await waits(house, 1, '192.0.2.1'), [250])
})

test('this machine is delayed but never banned, unless the administrator wants it', async (t) => {
  const house = await annasHouse(t)
  await waits(house, 12, '127.0.0.1')
  await waits(house, 12, 'unix:/run/aviso')
  assert.deepEqual(house.bans, [])
  const strict = { ...house, ...(await house.again({ ...cheap, failures: { 'ban-loopback': true } })) }
  await waits(strict, 1, '127.0.0.1')
  assert.equal(house.bans.length, 1)
})

test('guesses made side by side are worth nothing after the ban', async (t) => {
  const house = await annasHouse(t, { ...cheap, passwords: { ...cheap.passwords, concurrency: 1 } })
  const guesses = [...Array.from({ length: 12 }, () => wrong), anna]
  const ends = await Promise.all(guesses.map((guess) => login(house, 'PLAIN', guess, { remoteAddress: '192.0.2.1' })))
  assert.equal(house.bans.length, 1)
  assert.equal(ends.at(-1)?.end.kind, 'failure')
})

test('a thousand addresses against one account: strangers are slowed down, the owner is not', async (t) => {
  const house = await annasHouse(t)
  const home = { remoteAddress: '198.51.100.4' }
  await login(house, 'PLAIN', anna, home)
  for (let i = 0; i < 13; i++) await waits(house, 1, `192.0.2.${i}`)
  assert.deepEqual(house.bans, [])
  const owner = await login(house, 'PLAIN', anna, home)
  assert.equal(owner.end.kind, 'success')
  assert.equal(owner.waited, 0)
  const stranger = await login(house, 'SCRAM-SHA-256', anna, { remoteAddress: '203.0.113.5' })
  assert.equal(stranger.end.kind, 'success')
  assert.ok(stranger.waited >= 1000, String(stranger.waited))
  // Only a few may wait at the same time, so that the rate is bounded however many addresses there are.
  const many = await Promise.all(
    Array.from({ length: 7 }, (_, i) =>
      login(house, 'SCRAM-SHA-256', wrong, { remoteAddress: `203.0.113.${100 + i}` }),
    ),
  )
  const conditions = many.map(({ end }) => end.kind === 'failure' && end.condition)
  assert.equal(conditions.filter((condition) => condition === 'temporary-auth-failure').length, 3)
  // An unknown name under the same attack behaves the same.
  for (let i = 0; i < 13; i++)
    await login(house, 'PLAIN', { authcid: 'nobody', password: 'guess' }, { remoteAddress: `192.0.2.${100 + i}` })
  const nobody = await login(house, 'PLAIN', { authcid: 'nobody', password: 'guess' }, { remoteAddress: '203.0.113.6' })
  assert.ok(nobody.waited >= 1250)
})

test('an exchange that was refused in the middle can never end well', async (t) => {
  const house = await annasHouse(t)
  const server = house.accounts.begin('SCRAM-SHA-256', context())
  const client = clientMechanism(['SCRAM-SHA-256'], { secure: true, ...anna })
  assert.ok(server && client)
  const challenge = await server.start(await client.start())
  assert.equal(challenge.kind, 'challenge')
  const proof = await client.next(challenge.kind === 'challenge' ? challenge.data : Buffer.alloc(0))
  house.bans.push({ address: '192.0.2.7', ms: 1 })
  assert.equal((await server.next(proof)).kind, 'failure')
  house.bans.length = 0
  assert.equal((await server.next(proof)).kind, 'failure')
  assert.equal((await server.start(undefined)).kind, 'failure')
  server.abort()
  assert.equal(house.logins().length, 1)

  // Given up while the password is checked: the answer comes too late.
  const plain = house.accounts.begin('PLAIN', context())
  const pending = plain?.start(Buffer.from('\0anna\0annas secret'))
  assert.equal(plain?.abort().condition, 'aborted')
  assert.equal((await pending)?.kind, 'failure')
  assert.equal(house.logins().length, 2)
})

test('slips of a client are answered at once and count against nobody', async (t) => {
  const house = await annasHouse(t)
  for (let i = 0; i < 15; i++) {
    const step = await house.accounts.begin('PLAIN', context())?.start(Buffer.from('no fields'))
    assert.equal(step?.kind === 'failure' && step.condition, 'malformed-request')
    assert.equal(house.accounts.begin('SCRAM-SHA-1', context())?.abort().condition, 'aborted')
  }
  assert.deepEqual(house.bans, [])
})

test('nobody is left hanging when the house closes', async (t) => {
  const house = await annasHouse(t)
  const server = house.accounts.begin('PLAIN', context())
  const pending = server?.start(Buffer.from('\0anna\0wrong'))
  while (house.clock.waiting.size === 0) await new Promise((resolve) => setImmediate(resolve))
  await house.scope.close()
  assert.equal((await pending)?.kind, 'failure')
})

test('which addresses are one peer', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:0:ffff::1', '2001:db8:0:0::/64'],
    ['2001:DB8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['unix:/run/x', 'unix:/run/x'],
    ['', ''],
  ]
  for (const [address, expected] of cases) assert.equal(neighbourhood(address), expected, address)
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '0:0:0:0:0:0:0:1'])
    assert.ok(isLoopback(address), address)
  for (const address of ['128.0.0.1', '::2', '::', '2001:db8::1', '::ffff:10.0.0.1', 'x', '1::1'])
    assert.ok(!isLoopback(address), address)
})
