// Greylisting: who is new comes again.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { greylistStore } from '../../../src/mail/checks/greylist/greylist.store.ts'
import { Store } from '../../../src/store/contracts.ts'
import { type House, openHouse, type Options, refusal } from '../pipeline/house.ts'

const MINUTE = 60_000
const DAY = 86_400_000
const to = ['anna@example.org']

const open = (t: Parameters<typeof openHouse>[0], settings: object | true = true, more: Options = {}): Promise<House> =>
  openHouse(t, {
    ...more,
    config: { incoming: { checks: { greylist: settings } }, outgoing: { checks: { greylist: settings } } },
  } as Options)

const wait = refusal(451, '4.7.1', /try again in \d+ seconds/)
const from = (house: House, remoteAddress: string, sender = 'bo@example.net', recipients: readonly string[] = to) =>
  house.receive({ to: recipients, from: sender, client: { remoteAddress } })

describe('greylist', () => {
  test('who is new waits; who comes again too early waits on; then it passes, and so does all later mail', async (t) => {
    const house = await open(t)
    await assert.rejects(from(house, '192.0.2.7'), refusal(451, '4.7.1', /in 300 seconds/))
    house.clock.turn(4 * MINUTE)
    await assert.rejects(from(house, '192.0.2.7'), refusal(451, '4.7.1', /in 60 seconds/))
    house.clock.turn(1 * MINUTE)
    await from(house, '192.0.2.7')
    await from(house, '192.0.2.7')
    assert.equal((await house.mails('anna')).length, 2)
  })

  test('another sender, recipient or network is new; another host of the network, or another number in the sender, is not', async (t) => {
    const house = await open(t)
    await assert.rejects(from(house, '192.0.2.7', 'bounce-1@example.net'), wait)
    house.clock.turn(5 * MINUTE)
    await assert.rejects(from(house, '192.0.2.7', 'other@example.net'), wait)
    await assert.rejects(from(house, '192.0.2.7', 'bounce-1@example.net', ['ben@example.org']), wait)
    await assert.rejects(from(house, '192.0.3.7', 'bounce-1@example.net'), wait)
    await from(house, '192.0.2.99', 'bounce-22@example.net')
  })

  test('IPv6 counts by its /64', async (t) => {
    const house = await open(t)
    await assert.rejects(from(house, '2001:db8:0:1::7'), wait)
    house.clock.turn(5 * MINUTE)
    await assert.rejects(from(house, '2001:db8:0:2::7'), wait)
    await from(house, '2001:db8:0:1:ffff::9')
  })

  test('how many bits of an address count, and how long friends are friends, is as the config says', async (t) => {
    const house = await open(t, { 'ipv4-network': 32, 'ipv6-network': 48, 'friends-for': '2d', 'hosts-after': 0 })
    await assert.rejects(from(house, '192.0.2.7'), wait)
    await assert.rejects(from(house, '2001:db8:0:1::7', 'six@example.net'), wait)
    house.clock.turn(5 * MINUTE)
    await assert.rejects(from(house, '192.0.2.8'), wait, 'another host')
    await from(house, '192.0.2.7')
    await from(house, '2001:db8:0:2::7', 'six@example.net')
    await house.submit({ as: 'anna', to: ['friend@example.com'] })
    house.clock.turn(DAY)
    await from(house, '198.51.100.7', 'friend@example.com')
    house.clock.turn(3 * DAY)
    await assert.rejects(from(house, '203.0.113.7', 'friend@example.com'), wait)
  })

  test('who does not come again in time is new again', async (t) => {
    const house = await open(t, { 'retry-within': '1h' })
    await assert.rejects(from(house, '192.0.2.7'), wait)
    house.clock.turn(61 * MINUTE)
    await assert.rejects(from(house, '192.0.2.7'), refusal(451, '4.7.1', /in 300 seconds/))
  })

  test('a network that has passed some times need not wait for anything new', async (t) => {
    const house = await open(t, { 'hosts-after': 2 })
    for (const sender of ['a@example.net', 'b@example.net']) {
      await assert.rejects(from(house, '192.0.2.7', sender), wait)
      house.clock.turn(5 * MINUTE)
      await from(house, '192.0.2.7', sender)
    }
    await from(house, '192.0.2.200', 'c@example.net', ['ben@example.org'])
    await assert.rejects(from(house, '198.51.100.7', 'c@example.net'), wait)
  })

  test('who was heard of lately is remembered on, who was not is forgotten', async (t) => {
    const house = await open(t, { remember: '10d', 'hosts-after': 0 })
    await assert.rejects(from(house, '192.0.2.7'), wait)
    house.clock.turn(5 * MINUTE)
    for (let week = 0; week < 3; week++) {
      await from(house, '192.0.2.7')
      house.clock.turn(7 * DAY)
    }
    await from(house, '192.0.2.7')
    house.clock.turn(11 * DAY)
    await assert.rejects(from(house, '192.0.2.7'), wait)
  })

  test('whom an account has written to answers at once, to that account', async (t) => {
    const house = await open(t)
    await house.submit({ as: 'anna', to: ['Zoe@example.com', 'ben@example.org'] })
    await from(house, '198.51.100.7', 'zoe@example.com')
    await assert.rejects(from(house, '198.51.100.7', 'zoe@example.com', ['ben@example.org']), wait)
    await assert.rejects(from(house, '198.51.100.7', 'other@example.com'), wait)
  })

  test('this machine, exempt networks and accounts do not wait', async (t) => {
    const house = await open(t, { exempt: ['198.51.100.0/24'] })
    await from(house, '127.0.0.1')
    await from(house, '')
    await from(house, '198.51.100.7')
    await house.submit({ as: 'ben', to })
    assert.equal((await house.mails('anna')).length, 4)
  })

  test('a pass of SPF is enough where that is wished', async (t) => {
    const check = { sender: () => ({ action: 'accept', results: ['spf=pass smtp.mailfrom=example.net'] }) as const }
    const house = await open(t, { 'exempt-spf-pass': true }, { check })
    await from(house, '192.0.2.7')
    const other = await open(t, true, { check })
    await assert.rejects(from(other, '192.0.2.7'), wait)
  })

  test('a simulated mail leaves nothing behind', async (t) => {
    const house = await open(t)
    const supposed = { from: 'bo@example.net', to, ip: '192.0.2.7' } as const
    assert.equal((await house.transport.simulate(supposed)).refusal?.code, 451)
    house.clock.turn(5 * MINUTE)
    assert.equal((await house.transport.simulate(supposed)).refusal?.code, 451)
    await house.transport.simulate({
      ...supposed,
      from: 'anna@example.org',
      to: ['zoe@example.com'],
      as: 'anna@example.org',
    })
    assert.equal(await house.scope.use(Store).core(greylistStore).size(), 0)
  })

  test('how much is remembered is as the config says', async (t) => {
    const house = await open(t, { 'max-entries': 1000 })
    const store = house.scope.use(Store).core(greylistStore)
    const entries = Array.from({ length: 1500 }, (_one, i) => ({
      kind: 'triplet' as const,
      key: Buffer.from(`key-${i}`),
      passed: 0,
      keep: DAY,
    }))
    await store.remember({ entries, most: 10_000 })
    await assert.rejects(from(house, '192.0.2.7'), wait)
    const size = await store.size()
    assert.ok(size > 900 && size <= 1000, String(size))
  })

  test('what is remembered is bounded, and expired entries go', async (t) => {
    const house = await open(t)
    const store = house.scope.use(Store).core(greylistStore)
    const many = (start: number, keep: number) =>
      Array.from({ length: 500 }, (_one, i) => ({
        kind: 'triplet' as const,
        key: Buffer.from(`key-${start + i}`),
        passed: 0,
        keep: keep + i,
      }))
    for (let round = 0; round < 6; round++) await store.remember({ entries: many(round * 500, 1_000_000), most: 1000 })
    assert.ok((await store.size()) <= 1000)
    assert.ok((await store.size()) > 900)
    house.clock.turn(3_000_000)
    for (let round = 0; round < 10; round++) await store.remember({ entries: many(0, 1000).slice(0, 1), most: 1000 })
    assert.equal(await store.size(), 1)
  })
})
