// The tarpit: more errors, longer waits, and a ban in the end.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import { HandClock } from '../../src/kernel/clock.ts'
import { AddressSet } from '../../src/net/addresses.ts'
import { openBans } from '../../src/net/bans.ts'
import { openTarpit, tarpitConfig } from '../../src/net/tarpit.ts'
import { samples } from '../fixtures/metrics.ts'
import { testScope } from '../fixtures/scope.ts'

async function open(settings: v.InferInput<typeof tarpitConfig> = {}) {
  const clock = new HandClock()
  const scope = testScope({ clock })
  const exempt = new AddressSet(['127.0.0.0/8'])
  const bans = await openBans(scope, undefined, exempt)
  const tarpit = await openTarpit(scope, v.parse(tarpitConfig, settings), bans, exempt)
  /** How long an error of `address` waits for its answer, in milliseconds. */
  const waits = async (address: string): Promise<number> => {
    let answered = false
    const done = tarpit.error(address).then(() => (answered = true))
    let ms = 0
    for (;;) {
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
      if (answered) return ms
      clock.turn(100)
      ms += 100
      if (ms > 60_000) throw new Error(`never answered ${String(await done)}`)
    }
  }
  return { clock, scope, bans, tarpit, waits }
}

test('a few errors are free, then each waits twice as long as the one before, to an end', async () => {
  const { waits, scope } = await open({
    free: 2,
    'first-delay': '500ms',
    'longest-delay': '3s',
    'half-life': '1d',
  })
  const seen: number[] = []
  for (let i = 0; i < 7; i++) seen.push(await waits('192.0.2.7'))
  assert.deepEqual(seen, [0, 0, 500, 1000, 2000, 3000, 3000])
  assert.deepEqual(await samples(scope, 'aviso_tarpit_total'), { '': 5 }, 'monitoring sees each that waited')
})

test('others are not slowed; one IPv6 /64 is one peer; trusted ones never wait', async () => {
  const { waits } = await open({ free: 0 })
  await waits('2001:db8::1')
  await waits('2001:db8::1')
  assert.ok((await waits('2001:db8::2')) > 0)
  assert.equal(await waits('192.0.2.7'), 500)
  for (let i = 0; i < 5; i++) assert.equal(await waits('127.0.0.1'), 0)
  assert.equal(await waits(''), 0)
})

test('errors are forgotten in time', async () => {
  const { waits, clock } = await open({ free: 1, 'half-life': '1m' })
  for (let i = 0; i < 5; i++) await waits('192.0.2.7')
  clock.turn(600_000)
  assert.equal(await waits('192.0.2.7'), 0)
})

test('who goes on is banned, for all protocols', async () => {
  const { waits, bans, clock } = await open({
    'ban-at': 4,
    'half-life': '1d',
    'ban-for': '1h',
    'longest-delay': '1ms',
    'first-delay': '1ms',
  })
  for (let i = 0; i < 3; i++) await waits('192.0.2.7')
  assert.equal(bans.isBanned('192.0.2.7'), false)
  await waits('192.0.2.7')
  assert.equal(bans.isBanned('192.0.2.7'), true)
  clock.turn(3_600_001)
  assert.equal(bans.isBanned('192.0.2.7'), false)
})

test('what waits is answered when the server stops', async () => {
  const { scope, tarpit } = await open({ free: 0 })
  const waiting = tarpit.error('192.0.2.7')
  await scope.close()
  await waiting
})
