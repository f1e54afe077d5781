// What becomes of mail in the queue: delivered, tried again, given back.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SmtpError } from '@aviso/smtp'
import type { PutOrder } from '../../../src/mail/targets/queue/put-operations.ts'
import { QUEUE, spoolStore } from '../../../src/mail/targets/queue/store.ts'
import { DAY, greylisted, HOUR, MINUTE, openQueueHouse, unknownUser, unreachable } from './fixture.ts'

const MINUTES = (count: number): number => count * MINUTE

describe('delivery', () => {
  test('what comes in is delivered at once, nobody waits for a clock', async (t) => {
    const house = await openQueueHouse(t)
    await house.anna(['zoe@far.example', 'yan@other.example'])
    await house.settle()
    assert.deepEqual([...house.world.reached].sort(), ['yan@other.example', 'zoe@far.example'])
    assert.equal(house.world.deliveries.length, 2, 'one for each domain')
    assert.equal(house.world.got[0]?.sender, 'anna@example.org')
    assert.match(house.world.got[0]?.message ?? '', /\r\nReceived: [\s\S]*\r\n\r\nHi\r\n$/)
    assert.deepEqual(await house.waiting(), [])
    assert.deepEqual(await house.reports(), [])
    assert.equal((await house.queue.figures()).mails, 0)
  })

  test('recipients of one domain share a delivery, and each has its own outcome', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('gone@far.example', unknownUser()).set('later@far.example', greylisted())
    await house.anna(['zoe@far.example', 'gone@far.example', 'later@far.example'])
    await house.settle()
    assert.deepEqual(house.world.deliveries, [['zoe@far.example', 'gone@far.example', 'later@far.example']])
    assert.deepEqual(house.world.reached, ['zoe@far.example'])
    assert.deepEqual(await house.waiting(), ['later@far.example'])
    assert.equal((await house.reports()).length, 1)
    house.world.answers.clear()
    await house.pass(MINUTES(6))
    assert.deepEqual(house.world.reached, ['zoe@far.example', 'later@far.example'])
    assert.deepEqual(house.world.deliveries[1], ['later@far.example'], 'those who have it do not get it again')
    assert.equal((await house.reports()).length, 1)
    const { id } = house.world.got[0] ?? { id: '' }
    const story = await house.stories.byId(id)
    assert.deepEqual(
      story?.steps.filter(({ by }) => by.startsWith('queue')).map(({ did, recipient }) => [did, recipient]),
      [
        ['delivered', 'zoe@far.example'],
        ['failed 550 5.1.1', 'gone@far.example'],
        ['failed 450 4.7.1', 'later@far.example'],
        [story?.steps.find(({ did }) => did.startsWith('told'))?.did, 'anna@example.org'],
        ['delivered', 'later@far.example'],
      ],
    )
  })

  test('the plan: 5, 10, 20, 40 minutes, then every hour; five days, then the sender gets it back with the real code (X-10)', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { jitter: 0, 'delay-warning': '0s' } } })
    house.world.answers.set('far.example', greylisted())
    const at = house.clock.now()
    const attempts: number[] = []
    await house.anna(['zoe@far.example'])
    await house.settle()
    for (let minute = 0; minute < 5 * 24 * 60 + 90; minute++) {
      if (house.world.deliveries.length > attempts.length) attempts.push((house.clock.now() - at) / MINUTE)
      await house.pass(MINUTE)
      if (minute === 400) {
        house.clock.set(5 * DAY - 500 * MINUTE)
        minute = 5 * 24 * 60 - 100
      }
    }
    assert.deepEqual(attempts.slice(0, 6), [0, 5, 15, 35, 75, 135])
    assert.deepEqual(await house.waiting(), [])
    const [report = ''] = await house.reports()
    assert.match(report, /\r\nStatus: 4\.7\.1\r\n/)
    assert.match(report, /\r\nAction: failed\r\n/)
    assert.match(report, /It was tried for 5 days/)
    assert.equal((await house.reports()).length, 1)
  })

  test('a target that throws, or forgets a recipient, has not delivered: it is tried again', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', new TypeError('a defect')).set('other.example', 'forgets')
    await house.anna(['zoe@far.example', 'yan@other.example'])
    await house.settle()
    assert.deepEqual([...(await house.waiting())].sort(), ['yan@other.example', 'zoe@far.example'])
    house.world.answers.clear()
    await house.pass(MINUTES(6))
    assert.deepEqual([...house.world.reached].sort(), ['yan@other.example', 'zoe@far.example'])
    assert.deepEqual(await house.reports(), [])
  })

  test('two copies of one mail that differ wait side by side', async (t) => {
    const house = await openQueueHouse(t, {
      dns: { 'far.example': { fails: 'SERVFAIL' } },
      modifier: {
        forward: (_mail, sender) => sender,
        edit: (_mail, _message, forwarded) => ({ prepend: [`X-Forwarded: ${String(forwarded)}`] }),
      },
      config: {
        incoming: { routes: [{ recipient: ['far.example'], deliver: ['sink'] }] },
      },
    })
    house.world.answers.set('far.example', unreachable())
    house.fake.aliases.set('team@example.org', ['zoe@far.example'])
    await house.receive({ to: ['team@example.org', 'yan@far.example'] })
    await house.settle()
    const lines = await house.queue.list({}, 10)
    assert.deepEqual(lines.map(({ address, target }) => `${address} ${target}`).sort(), [
      'yan@far.example sink',
      'zoe@far.example remote',
    ])
    assert.equal(new Set(lines.map(({ mail }) => mail)).size, 1)
  })

  test('RFC 6710: what is urgent overtakes what waits, and what can wait lets others go first for a little while', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { parallel: { 'per-destination': 1 } } } })
    let open = (_failure: undefined): void => {}
    house.world.answers.set('first@far.example', new Promise((resolve) => (open = resolve)))
    const priorities = {
      'first@far.example': 0,
      'idle@far.example': -9,
      'usual@far.example': 0,
      'urgent@far.example': 9,
    }
    for (const [to, priority] of Object.entries(priorities)) {
      await house.anna([to], { parameters: { priority } })
      await house.settle()
    }
    house.world.answers.clear()
    open(undefined)
    await house.until(async () => house.world.got.length === 3)
    assert.deepEqual(house.world.reached, ['first@far.example', 'urgent@far.example', 'usual@far.example'])
    await house.pass(2 * MINUTE)
    await house.until(async () => house.world.got.length === 4)
    assert.equal(house.world.reached[3], 'idle@far.example')
    assert.match(house.world.got[1]?.message ?? '', /\r\n\tpriority 9[;\r]/)
  })

  test('copies for several targets are kept together or not at all', async (t) => {
    const house = await openQueueHouse(t)
    const calls = house.real.service(spoolStore, QUEUE)
    const order = (id: string, expires: number): PutOrder => ({
      mail: {
        id,
        created: 0,
        reversePath: 'anna@example.org',
        sender: 'anna@example.org',
        parameters: '{}',
        client: '{}',
        quarantined: false,
        size: 3,
        head: 3,
        blob: null,
      },
      bytes: Buffer.from('Hi!'),
      recipients: [
        {
          address: `${id}@far.example`,
          recipient: `${id}@far.example`,
          account: '',
          parameters: '{}',
          target: 'sink',
          destination: 'far.example',
          held: true,
        },
      ],
      first: 0,
      wake: 0,
      expires,
    })
    // What the database does not take stands for a disk that is full in the middle.
    await assert.rejects(calls.put([order('one', 1), order('two', Number.NaN)]))
    assert.deepEqual(await house.waiting(), [])
    await calls.put([order('one', 1), order('two', 1)])
    assert.deepEqual([...(await house.waiting())].sort(), ['one@far.example', 'two@far.example'])
  })

  test('a large mail lies in a blob, comes out whole, and the blob goes', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', unreachable())
    const body = 'All work and no play makes a long mail.\r\n'.repeat(20_000)
    await house.anna(['zoe@far.example'], { message: `From: anna@example.org\r\n\r\n${body}` })
    await house.settle()
    assert.equal((await house.real.blobs.list()).length, 1)
    house.world.answers.clear()
    await house.pass(MINUTES(6))
    await house.until(async () => house.world.got.length === 1)
    assert.ok(house.world.got[0]?.message.endsWith(`\r\n\r\n${body}`))
    await house.pass(HOUR)
    await house.until(async () => (await house.real.blobs.list()).length === 0)
  })

  test('RFC 4865: what its sender wants held comes when its time has come, to mailboxes here and elsewhere', async (t) => {
    const house = await openQueueHouse(t)
    const holdUntil = new Date(house.clock.now() + 2 * HOUR)
    await house.submit({ as: 'anna', to: ['ben@example.org', 'zoe@far.example'], parameters: { holdUntil } })
    await house.settle()
    await house.pass(HOUR)
    assert.deepEqual(await house.mails('ben'), [])
    assert.equal(house.world.got.length, 0)
    await house.pass(HOUR + MINUTE)
    await house.settle()
    assert.equal((await house.mails('ben')).length, 1)
    assert.deepEqual(
      house.world.got.map(({ to }) => to),
      ['zoe@far.example'],
    )
  })

  test('the account of a waiting mailbox is gone: the sender is told', async (t) => {
    const house = await openQueueHouse(t)
    house.faults.set('ben', 'unavailable')
    await house.anna(['ben@example.org', 'carl@example.org'])
    await house.settle()
    house.fake.list.delete('ben@example.org')
    await house.pass(MINUTES(6))
    assert.deepEqual(await house.waiting(), [])
    assert.match(
      (await house.reports())[0] ?? '',
      /Final-Recipient: rfc822; ben@example\.org\r\nAction: failed\r\nStatus: 5\.1\.1\r\n/,
    )
  })
})

describe('destinations', () => {
  test('one that is down is asked by one mail at a time, however many wait; when it is up, all of them go', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { jitter: 0 } } })
    house.world.answers.set('down.example', unreachable())
    await house.anna(['u0@down.example'])
    await house.settle()
    for (let i = 1; i < 30; i++) await house.anna([`u${i}@down.example`, `u${i}@up.example`])
    await house.settle()
    assert.equal(house.world.deliveries.filter(([to]) => to?.endsWith('@down.example')).length, 1)
    assert.equal(house.world.reached.length, 29, 'the others are not held up')
    await house.pass(MINUTES(5) + 1000)
    assert.equal(house.world.deliveries.filter(([to]) => to?.endsWith('@down.example')).length, 2)
    await house.pass(MINUTES(9))
    assert.equal(house.world.deliveries.filter(([to]) => to?.endsWith('@down.example')).length, 2)
    const [line] = await house.queue.list({ recipient: 'u7@down.example' }, 1)
    assert.equal(line?.attempts, 0)
    assert.equal(line?.error?.enhanced, '4.4.1', 'what is the matter is told of all who wait')
    assert.deepEqual((await house.queue.figures()).targets, [
      { target: 'sink', recipients: 30, destinations: 1, down: 1 },
    ])
    house.world.answers.clear()
    await house.pass(MINUTES(2))
    assert.equal(house.world.reached.filter((to) => to.endsWith('@down.example')).length, 30)
    assert.deepEqual(await house.waiting(), [])
    assert.deepEqual((await house.queue.figures()).targets, [])
  })

  test('one that hangs does not keep others waiting, even where it could take all turns', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { parallel: { total: 2, 'per-destination': 2 } } } })
    const hangs = new Map<string, (answer: SmtpError | undefined) => void>()
    for (const name of ['a', 'b'])
      house.world.answers.set(`${name}.example`, new Promise((resolve) => hangs.set(name, resolve)))
    await house.anna(['u@a.example'])
    await house.anna(['u@b.example'])
    await house.anna(['u@c.example'])
    await house.settle()
    assert.deepEqual(house.world.reached, [])
    await house.pass(MINUTE)
    assert.deepEqual(house.world.reached, ['u@c.example'], 'who is slow does not count any more')
    for (const answer of hangs.values()) answer(undefined)
    await house.settle()
    assert.equal(house.world.reached.length, 3)
    assert.deepEqual(await house.waiting(), [])
  })

  test('X-20: a target that never answers is given up after an hour, and tried again', async (t) => {
    const house = await openQueueHouse(t)
    let answer: (failure: SmtpError | undefined) => void = () => {}
    house.world.answers.set('a.example', new Promise((resolve) => (answer = resolve)))
    await house.anna(['u@a.example'])
    await house.pass(HOUR + MINUTE)
    const [line] = await house.queue.list({}, 1)
    assert.equal(line?.error?.enhanced, '4.4.2')
    house.world.answers.clear()
    await house.pass(MINUTES(6))
    assert.deepEqual(house.world.reached, ['u@a.example'])
    answer(unknownUser())
    await house.settle()
    assert.deepEqual(await house.reports(), [])
  })

  test('they take turns: who has much mail does not keep who has little waiting', async (t) => {
    const house = await openQueueHouse(t, {
      config: { queue: { parallel: { total: 4, 'per-destination': 2 }, hold: ['anna@example.org'] } },
    })
    for (let i = 0; i < 60; i++) await house.anna([`u${i}@busy.example`])
    await house.anna(['one@quiet.example'])
    await house.queue.change('release', {}, false)
    await house.settle()
    await house.settle()
    const place = house.world.reached.indexOf('one@quiet.example')
    assert.ok(place >= 0 && place < 12, `after ${place} of the others`)
    assert.ok(house.world.most <= 4)
    await house.pass(MINUTE)
    assert.equal(house.world.reached.length, 61)
  })

  test('a limit of our own is no failure: no attempt is counted, nobody waits longer for it, nobody is given up', async (t) => {
    const house = await openQueueHouse(t, {
      config: { queue: { retry: ['1h'], jitter: 0, expire: '1d', 'delay-warning': '0s' } },
    })
    const { world } = house
    world.unasked.add('far.example')
    world.answers.set('far.example', new SmtpError(451, '4.4.5', 'Too many messages are on their way'))
    await house.anna(['zoe@far.example'])
    await house.settle()
    await house.pass(MINUTES(5))
    assert.ok(world.deliveries.length > 3, 'a place is asked for again and again')
    assert.deepEqual(
      (await house.queue.list({}, 10)).map(({ attempts, lastAttempt }) => [attempts, lastAttempt]),
      [[0, undefined]],
    )
    house.clock.set(2 * DAY)
    await house.pass(MINUTES(5))
    assert.deepEqual(
      await house.waiting(),
      ['zoe@far.example'],
      'not given up: nobody has been asked since its time is over',
    )
    world.answers.clear()
    await house.pass(MINUTES(1))
    assert.deepEqual(world.reached, ['zoe@far.example'])
    assert.deepEqual(await house.reports(), [])
  })

  test('not more at the same time than the config says', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { parallel: { total: 50, 'per-destination': 3 } } } })
    const open: (() => void)[] = []
    house.world.answers.set('busy.example', undefined)
    for (let i = 0; i < 20; i++)
      house.world.answers.set(`u${i}@busy.example`, new Promise((resolve) => open.push(() => resolve(undefined))))
    for (let i = 0; i < 20; i++) await house.anna([`u${i}@busy.example`])
    await house.settle()
    assert.equal(house.world.running, 3)
    for (const go of open) go()
    await house.pass(MINUTE)
    assert.equal(house.world.reached.length, 20)
    assert.equal(house.world.most, 3)
  })
})

describe('clocks, disks and restarts', () => {
  test('a clock that is set back by a year: mail that waits is tried all the same', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('a.example', unreachable()).set('b.example', greylisted())
    await house.anna(['u@a.example', 'u@b.example'])
    await house.settle()
    house.clock.set(-365 * DAY)
    house.world.answers.clear()
    await house.pass(MINUTES(2))
    assert.deepEqual([...house.world.reached].sort(), ['u@a.example', 'u@b.example'])
  })

  test('a clock that is set forward by a year, or a server that was off: nobody is given up without a last attempt', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { 'delay-warning': '0s' } } })
    house.world.answers.set('a.example', unreachable()).set('b.example', greylisted()).set('c.example', greylisted())
    await house.anna(['u@a.example', 'u@b.example', 'u@c.example'])
    await house.settle()
    house.world.answers.delete('a.example')
    house.world.answers.delete('b.example')
    house.clock.set(365 * DAY)
    await house.pass(MINUTES(3))
    assert.deepEqual([...house.world.reached].sort(), ['u@a.example', 'u@b.example'])
    const reports = await house.reports()
    assert.equal(reports.length, 1)
    assert.match(reports[0] ?? '', /Final-Recipient: rfc822; u@c\.example/)
    assert.deepEqual(await house.waiting(), [])
  })

  test('an outcome that cannot be written down is no reason to deliver twice', async (t) => {
    const house = await openQueueHouse(t)
    house.faults.set('queue.settle', 'disk-full')
    await house.anna(['zoe@far.example'])
    await house.pass(MINUTES(15))
    assert.deepEqual(house.world.reached, ['zoe@far.example'])
    assert.deepEqual(await house.waiting(), ['zoe@far.example'])
    house.faults.clear()
    await house.pass(MINUTES(15))
    assert.deepEqual(house.world.reached, ['zoe@far.example'])
    assert.deepEqual(await house.waiting(), [])
  })

  test('a queue that cannot be read for a while goes on by itself', async (t) => {
    const house = await openQueueHouse(t)
    house.faults.set('queue.due', 'unavailable')
    await house.anna(['zoe@far.example'])
    await house.pass(MINUTE)
    assert.deepEqual(house.world.reached, [])
    house.faults.clear()
    await house.pass(MINUTES(2))
    assert.deepEqual(house.world.reached, ['zoe@far.example'])
  })

  test('no room: 452 4.3.1, and nothing is kept or delivered', async (t) => {
    const house = await openQueueHouse(t)
    house.faults.set('queue', 'disk-full')
    await assert.rejects(house.anna(['zoe@far.example']), (error) => error instanceof SmtpError && error.code === 452)
    house.faults.clear()
    await house.pass(MINUTES(10))
    assert.deepEqual(house.world.reached, [])
  })

  test('a new generation knows what the old one has under way', async (t) => {
    const house = await openQueueHouse(t)
    let answer: (failure: SmtpError | undefined) => void = () => {}
    house.world.answers.set('a.example', new Promise((resolve) => (answer = resolve)))
    await house.anna(['u@a.example'])
    await house.settle()
    const next = await house.again()
    await house.pass(MINUTES(20))
    assert.equal(house.world.deliveries.length, 1)
    answer(undefined)
    await house.settle()
    assert.deepEqual(house.world.reached, ['u@a.example'])
    assert.deepEqual(await house.waiting(), [])
    await next.close()
  })
})
