// Limits and bans, by a clock that is turned by hand.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, assert as holds, integer, ipV6, nat, property, record, string } from 'fast-check'
import * as v from 'valibot'
import { HandClock } from '../../src/kernel/clock.ts'
import { AddressSet, addressGroup, parseListenAddress, plainAddress } from '../../src/net/addresses.ts'
import { bansStore } from '../../src/net/bans.store.ts'
import { openBans, type BanCalls } from '../../src/net/bans.ts'
import { createLimits, limitsConfig } from '../../src/net/limits.ts'
import { openStore } from '../../src/store/open.ts'
import { samples } from '../fixtures/metrics.ts'
import { folder, house } from './fixtures.ts'

test('ten guesses a minute, then a pause, then one every six seconds', () => {
  const clock = new HandClock()
  const limits = createLimits(clock, v.parse(limitsConfig, { 'login-failures': { rate: 10, per: '1m' } }))
  const guess = (): boolean => limits.take('login-failures', '192.0.2.1')
  for (let i = 0; i < 10; i++) assert.equal(guess(), true)
  assert.equal(guess(), false)
  assert.equal(limits.take('login-failures', '192.0.2.2'), true, 'the neighbour is not meant')
  clock.turn(5_999)
  assert.equal(guess(), false)
  clock.turn(1)
  assert.equal(guess(), true)
  assert.equal(guess(), false)
  clock.turn(3_600_000)
  for (let i = 0; i < 10; i++) assert.equal(guess(), true)
  assert.equal(guess(), false)
})

test('a limit that nobody set lets everything through; amounts and bursts', () => {
  const clock = new HandClock()
  const limits = createLimits(clock, v.parse(limitsConfig, { octets: { rate: 100, per: '1s', burst: 1000 } }))
  for (let i = 0; i < 1000; i++) assert.equal(limits.take('other', 'x'), true)
  assert.equal(limits.take('octets', 'x', 1001), false)
  assert.equal(limits.take('octets', 'x', 1000), true)
  clock.turn(500)
  assert.equal(limits.take('octets', 'x', 51), false)
  assert.equal(limits.take('octets', 'x', 50), true)
})

test('one household is one peer: the /64 of an IPv6 address', () => {
  const limits = createLimits(new HandClock(), { joins: { rate: 1, per: 1000 } })
  assert.equal(limits.take('joins', '2001:db8:1:2::1'), true)
  assert.equal(limits.take('joins', '2001:DB8:1:2:ffff::9'), false)
  assert.equal(limits.take('joins', '2001:db8:1:3::1'), true)
})

test('keys are bounded: who is full is forgotten first, who is empty is remembered', () => {
  const clock = new HandClock()
  const limits = createLimits(clock, { x: { rate: 1, per: 1000 } }, 3)
  limits.take('x', 'quiet')
  clock.turn(1000)
  for (const key of ['a', 'b']) assert.equal(limits.take('x', key), true)
  assert.equal(limits.take('x', 'c'), true, 'takes the place of quiet')
  for (const key of ['a', 'b', 'c']) assert.equal(limits.take('x', key), false, key)
})

test('never more than burst plus what time gave', () => {
  holds(
    property(array(record({ wait: nat(500), amount: integer({ min: 1, max: 4 }) }), { maxLength: 60 }), (steps) => {
      const clock = new HandClock(0)
      const limits = createLimits(clock, { x: { rate: 5, per: 1000, burst: 8 } })
      let taken = 0
      for (const { wait, amount } of steps) {
        clock.turn(wait)
        if (limits.take('x', 'k', amount)) taken += amount
      }
      assert.ok(taken <= 8 + (clock.now() * 5) / 1000 + 1e-6)
    }),
  )
})

test('a ban holds for its time, for the whole /64, and a shorter one does not cut it', async (t) => {
  const h = house(t)
  const bans = await openBans(h.root, undefined, new AddressSet(['10.0.0.0/8']))
  bans.ban('2001:db8::1', 60_000, 'guessing')
  bans.ban('2001:db8::2', 1000, 'again')
  bans.ban('10.1.2.3', 60_000, 'a friend')
  assert.equal(bans.isBanned('10.1.2.3'), false)
  h.clock.turn(59_999)
  assert.equal(bans.isBanned('2001:db8::abcd'), true)
  assert.equal(bans.isBanned('2001:db8:1::1'), false)
  h.clock.turn(1)
  assert.equal(bans.isBanned('2001:db8::1'), false)
  assert.deepEqual(bans.list(), [])
  bans.ban('192.0.2.1', 60_000, 'x')
  assert.equal(bans.isBanned('::ffff:192.0.2.1'), true)
  assert.equal(bans.lift('192.0.2.1'), true)
  assert.equal(bans.lift('192.0.2.1'), false)
  assert.equal(bans.isBanned('192.0.2.1'), false)
  assert.deepEqual(await samples(h, 'aviso_bans_total'), { '': 2 }, 'monitoring sees each address that was banned')
})

test('bans are kept over a restart', async (t) => {
  const dir = await folder(t)
  const run = async (story: (bans: Awaited<ReturnType<typeof openBans>>) => void): Promise<void> => {
    const scope = house(t).root
    const store = await openStore(scope, { folder: dir, definitions: [bansStore] })
    story(await openBans(scope.child('bans'), store.core(bansStore)))
    await scope.close()
  }
  await run((bans) => {
    bans.ban('192.0.2.1', 86_400_000, 'guessing')
    bans.ban('192.0.2.2', 86_400_000, 'by mistake')
  })
  await run((bans) => assert.equal(bans.lift('192.0.2.2'), true))
  await run((bans) => {
    assert.equal(bans.isBanned('192.0.2.1'), true)
    assert.deepEqual(
      bans.list().map(({ address, reason }) => [address, reason]),
      [['192.0.2.1', 'guessing']],
    )
  })
})

test('a store that fails now gets the bans later', async (t) => {
  const h = house(t)
  const written: string[] = []
  let works = false
  const store: BanCalls = {
    inForce: async () => [],
    change: async ({ set }) => {
      if (!works) throw new Error('disk full')
      written.push(...set.map(({ address }) => address))
    },
  }
  const scope = h.root.child('bans')
  const bans = await openBans(scope, store)
  bans.ban('192.0.2.1', 60_000, 'x')
  h.clock.turn(1000)
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(written, [])
  works = true
  await scope.close()
  assert.deepEqual(written, ['192.0.2.1'])
})

test('addresses', () => {
  for (const [text, group] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:0DB8:0:00aa:1:2:3:4', '2001:db8:0:aa::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b:1::192.0.2.1', '64:ff9b:1:0::/64'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
    ['::2:3:4:5:6:7:8', '0:2:3:4::/64'],
    ['anna@example.org', 'anna@example.org'],
    ['', ''],
  ] as const) {
    assert.equal(addressGroup(text), group, text)
  }
  assert.equal(plainAddress('::ffff:10.0.0.1'), '10.0.0.1')
  for (const [text, parsed] of [
    ['25', { kind: 'tcp', host: '::', port: 25 }],
    ['[::]:25', { kind: 'tcp', host: '::', port: 25 }],
    ['0.0.0.0:0', { kind: 'tcp', host: '0.0.0.0', port: 0 }],
    ['unix:/run/aviso/lmtp', { kind: 'unix', path: '/run/aviso/lmtp' }],
    ['systemd:smtp', { kind: 'systemd', name: 'smtp' }],
    ['65536', undefined],
    [':::25', undefined],
    ['1.2.3:25', undefined],
    ['[1.2.3.4]:25', undefined],
    ['unix:relative', undefined],
    ['systemd:', undefined],
    ['localhost:25', undefined],
    ['', undefined],
  ] as const) {
    assert.deepEqual(parseListenAddress(text), parsed, text)
  }
  holds(property(ipV6(), (ip) => /^([0-9a-f]{1,4}:){4}:\/64$|^\d+\.\d+\.\d+\.\d+$/.test(addressGroup(ip))))
  holds(property(string(), (text) => (addressGroup(text), parseListenAddress(text), true)))
  assert.throws(() => new AddressSet(['10.0.0.0/33']), RangeError)
  assert.equal(new AddressSet(['2001:db8::/32']).has('2001:db8:9::1'), true)
  assert.equal(new AddressSet(['10.0.0.0/8']).has('nonsense'), false)
})
