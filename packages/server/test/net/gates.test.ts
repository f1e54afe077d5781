// Gates: who may pass now, who waits, who is sent away; and that no place is ever lost.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { HandClock } from '../../src/kernel/clock.ts'
import { type GateConfig, Gates, type Pass, TooBusy } from '../../src/net/gates.ts'
import { networkOf } from '../../src/net/networks.ts'

const gates = (config: Record<string, Partial<GateConfig>>, { clock = new HandClock(), idle = 100_000 } = {}) => ({
  clock,
  gates: new Gates(
    clock,
    new Map(Object.entries(config).map(([scope, one]) => [scope, { per: 1000, ...one } as GateConfig])),
    5000,
    idle,
  ),
})

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

describe('concurrency', () => {
  test('M-08: with one place, the second waits, and is sent away after 5 s; when the first leaves it gets the place', async () => {
    const { gates: house, clock } = gates({ all: { concurrency: 1 } })
    const first = await house.enter([['all', '']])
    const late = assert.rejects(house.enter([['all', '']]), TooBusy)
    await settle()
    clock.turn(4999)
    await settle()
    const patient = house.enter([['all', '']])
    clock.turn(1)
    await late
    first.release()
    const second = await patient
    first.release()
    await settle()
    await assert.rejects(
      Promise.race([house.enter([['all', '']]), settle().then(() => Promise.reject(new Error('still waits')))]),
      /still waits/,
      'a place that was given back twice is one place',
    )
    second.release()
  })

  test('M-09: keys are independent', async () => {
    const { gates: house } = gates({ ip: { concurrency: 1 } })
    await house.enter([['ip', 'a']])
    await house.enter([['ip', 'b']])
  })

  test('who waits for one place holds no other', async () => {
    const { gates: house, clock } = gates({ all: { concurrency: 2 }, ip: { concurrency: 1 } })
    const first = await house.enter([
      ['all', ''],
      ['ip', 'a'],
    ])
    const waits = assert.rejects(
      house.enter([
        ['all', ''],
        ['ip', 'a'],
      ]),
      TooBusy,
    )
    await settle()
    const other = await house.enter([
      ['all', ''],
      ['ip', 'b'],
    ])
    clock.turn(5000)
    await waits
    first.release()
    other.release()
  })

  test('a thousand who wait at one key are too many', async () => {
    const { gates: house } = gates({ all: { concurrency: 1 } })
    const pass = await house.enter([['all', '']])
    const results = Array.from({ length: 1000 }, () =>
      house.enter([['all', '']]).then(
        (one) => one.release(),
        (error: unknown) => error,
      ),
    )
    await settle()
    pass.release()
    const failed = (await Promise.all(results)).filter((one) => one instanceof TooBusy)
    assert.equal(failed.length, 900)
  })

  test('a waiting that is called off', async () => {
    const { gates: house } = gates({ all: { concurrency: 1 } })
    await house.enter([['all', '']])
    const abort = new AbortController()
    const waits = assert.rejects(house.enter([['all', '']], abort.signal), /closing/)
    await settle()
    abort.abort(new Error('closing'))
    await waits
  })
})

describe('rate', () => {
  test('M-33: 10 in a second, however many come; keys are independent', async () => {
    const { gates: house, clock } = gates({ ip: { rate: 10, per: 1000 } })
    const begun = clock.monotonic()
    const entered: number[] = []
    const all = Array.from({ length: 40 }, async () => {
      try {
        const pass = await house.enter([['ip', 'a']])
        entered.push(clock.monotonic() - begun)
        pass.release()
      } catch (error) {
        assert.ok(error instanceof TooBusy)
      }
    })
    await house.enter([['ip', 'b']])
    for (let step = 0; step < 60; step++) {
      await settle()
      clock.turn(100)
    }
    await Promise.all(all)
    assert.equal(entered.length, 40)
    for (const from of entered)
      assert.ok(entered.filter((at) => at >= from && at < from + 1000).length <= 20, 'burst and a second')
    assert.ok(Math.max(...entered) >= 3000)
  })

  test('who would have to wait too long is told at once', async () => {
    const { gates: house } = gates({ all: { rate: 1, per: 60_000 } })
    ;(await house.enter([['all', '']])).release()
    await assert.rejects(house.enter([['all', '']]), TooBusy)
  })
})

describe('bandwidth', () => {
  test('octets are counted when they have come; the next one waits until they are paid off', async () => {
    const { gates: house, clock } = gates({ ip: { bandwidth: 1000 } })
    const pass = await house.enter([['ip', 'a']])
    pass.spend(3500)
    pass.release()
    let entered = false
    const next = house.enter([['ip', 'a']]).then((one) => {
      entered = true
      one.release()
    })
    await settle()
    clock.turn(2500)
    await settle()
    assert.equal(entered, false)
    clock.turn(10)
    await next
  })
})

describe('memory', () => {
  test('X-13: 100,000 keys, bounded, and forgotten when they are as new', async () => {
    const { gates: house, clock } = gates({ ip: { rate: 1, per: 1000 } }, { idle: 10_000 })
    for (let i = 0; i < 100_000; i++) (await house.enter([['ip', String(i)]])).release()
    assert.equal(house.size, 10_000)
    clock.turn(1000)
    house.reap()
    assert.equal(house.size, 0)
  })

  test('places in use are never forgotten', async () => {
    const { gates: house, clock } = gates({ ip: { concurrency: 1, rate: 1000 } }, { idle: 10 })
    await house.enter([['ip', 'held']])
    for (let i = 0; i < 100; i++) (await house.enter([['ip', String(i)]])).release()
    const waits = assert.rejects(house.enter([['ip', 'held']]), TooBusy)
    await settle()
    clock.turn(5000)
    await waits
  })

  test('whatever comes and goes, there are never more inside than places, and all of them are free in the end', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ key: fc.constantFrom('a', 'b'), leave: fc.boolean(), turn: fc.nat(3000) }), {
          maxLength: 40,
        }),
        async (steps) => {
          const { gates: house, clock } = gates({ all: { concurrency: 3 }, ip: { concurrency: 2 } })
          const inside: { key: string; pass: Pass }[] = []
          const going: Promise<void>[] = []
          for (const { key, leave, turn } of steps) {
            if (leave) inside.shift()?.pass.release()
            else
              going.push(
                house
                  .enter([
                    ['all', ''],
                    ['ip', key],
                  ])
                  .then(
                    (pass) => void inside.push({ key, pass }),
                    (error: unknown) => assert.ok(error instanceof TooBusy),
                  ),
              )
            clock.turn(turn)
            await settle()
            assert.ok(inside.length <= 3)
            assert.ok(inside.filter((one) => one.key === 'a').length <= 2)
          }
          clock.turn(5000)
          await Promise.all(going)
          for (const { pass } of inside) pass.release()
          assert.equal(house.size, 0)
        },
      ),
      { numRuns: 60 },
    ))
})

describe('networks', () => {
  const cases: readonly (readonly [address: string, network: string])[] = [
    ['192.0.2.77', '192.0.2.0/24'],
    ['::ffff:192.0.2.77', '192.0.2.0/24'],
    ['255.255.255.255', '255.255.255.0/24'],
    ['2001:db8:1:2:3:4:5:6', '20010db80001/48'],
    ['2001:db8:1::1', '20010db80001/48'],
    ['somewhere', 'somewhere'],
  ]
  for (const [address, network] of cases)
    test(`${address} is in ${network}`, () => assert.equal(networkOf(address, 24, 48), network))

  test('bits that end within an octet or a nibble', () => {
    assert.equal(networkOf('10.255.255.255', 9, 48), '10.128.0.0/9')
    assert.equal(networkOf('10.0.0.1', 32, 48), '10.0.0.1/32')
    assert.equal(networkOf('2001:db8:ffff::', 24, 46), networkOf('2001:db8:fffc::', 24, 46))
    assert.notEqual(networkOf('2001:db8:ffff::', 24, 46), networkOf('2001:db8:fffb::', 24, 46))
  })
})
