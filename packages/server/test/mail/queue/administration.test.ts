// What an administrator does with the queue, and what an older version left behind.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { queueStore } from '../../../src/mail/targets/queue/core-store.ts'
import { defineStore, write } from '../../../src/store/contracts.ts'
import { openStore } from '../../../src/store/open.ts'
import { testScope } from '../../fixtures/scope.ts'
import { HOUR, MINUTE, openQueueHouse, greylisted, unreachable } from './fixture.ts'

describe('looking and changing', () => {
  test('lists by destination, sender and recipient, in any case', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('a.example', greylisted()).set('b.example', unreachable())
    await house.anna(['u@a.example', 'v@b.example'])
    await house.submit({ as: 'ben', to: ['w@a.example'] })
    await house.receive({ from: '', to: ['x@b.example'] })
    await house.settle()
    const listed = async (filter: Parameters<typeof house.queue.list>[0]) =>
      (await house.queue.list(filter, 100)).map(({ address }) => address)
    assert.deepEqual(await listed({}), ['u@a.example', 'v@b.example', 'w@a.example', 'x@b.example'])
    assert.deepEqual(await listed({ destination: 'A.example' }), ['u@a.example', 'w@a.example'])
    assert.deepEqual(await listed({ sender: 'Anna@example.org' }), ['u@a.example', 'v@b.example'])
    assert.deepEqual(await listed({ sender: 'example.org', destination: 'a.example' }), ['u@a.example', 'w@a.example'])
    assert.deepEqual(await listed({ sender: '<>' }), ['x@b.example'])
    assert.deepEqual(await listed({ recipient: '@b.example' }), ['v@b.example', 'x@b.example'])
    assert.deepEqual(await listed({ recipient: 'example' }), [])
    const [first] = await house.queue.list({}, 1)
    assert.equal((await house.queue.list({ ids: [first?.mail ?? ''] }, 10)).length, 2)
    assert.deepEqual(await listed({ ids: ['nothing'] }), [])
  })

  test('on hold nothing happens, not even time; released it goes on', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { expire: '2h', 'delay-warning': '1h' } } })
    house.world.answers.set('a.example', greylisted())
    await house.anna(['u@a.example'])
    await house.settle()
    assert.equal(await house.queue.change('hold', { recipient: 'u@a.example' }, false), 1)
    assert.equal(await house.queue.change('hold', {}, false), 0)
    house.clock.set(50 * HOUR)
    await house.pass(3 * MINUTE)
    assert.equal(house.world.deliveries.length, 1)
    assert.deepEqual(await house.reports(), [])
    assert.equal((await house.queue.list({ held: true }, 10)).length, 1)
    assert.equal((await house.queue.figures()).held, 1)
    house.world.answers.clear()
    assert.equal(await house.queue.change('release', {}, false), 1)
    await house.settle()
    assert.deepEqual(house.world.reached, ['u@a.example'])
  })

  test('the config can hold mail by sender and recipient', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { hold: ['ben@example.org', '*.test'] } } })
    await house.anna(['u@a.example', 'v@b.test'])
    await house.submit({ as: 'ben', to: ['w@a.example'] })
    await house.settle()
    assert.deepEqual(house.world.reached, ['u@a.example'])
    assert.deepEqual(
      (await house.queue.list({ held: true }, 10)).map(({ address }) => address),
      ['v@b.test', 'w@a.example'],
    )
    const [, held] = await house.queue.list({}, 2)
    await house.queue.change('release', { ids: [held?.mail ?? ''] }, false)
    await house.settle()
    assert.deepEqual(house.world.reached, ['u@a.example', 'w@a.example'])
  })

  test('retry: now, whether the destination is known to be down or not', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('a.example', unreachable()).set('b.example', greylisted())
    await house.anna(['u@a.example', 'v@b.example'])
    await house.settle()
    house.world.answers.clear()
    assert.equal(await house.queue.change('retry', { destination: 'a.example' }, false), 1)
    await house.settle()
    assert.deepEqual(house.world.reached, ['u@a.example'])
    await house.queue.change('retry', {}, false)
    await house.settle()
    assert.deepEqual(house.world.reached, ['u@a.example', 'v@b.example'])
  })

  test('delete: nobody gets it, and the sender is told if that is wanted', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('a.example', greylisted())
    await house.anna(['u@a.example', 'v@a.example'])
    await house.settle()
    assert.equal(await house.queue.change('delete', { recipient: 'u@a.example' }, false), 1)
    assert.deepEqual(await house.reports(), [])
    assert.equal(await house.queue.change('delete', {}, true), 1)
    assert.equal((await house.queue.list({}, 10)).length, 0)
    await house.pass(2 * MINUTE)
    const [report = ''] = await house.reports()
    assert.match(report, /v@a\.example[\s\S]*taken out of the queue by the\s+administrator/)
    assert.deepEqual((await house.queue.figures()).mails, 0)
    house.world.answers.clear()
    await house.pass(2 * HOUR)
    assert.deepEqual(house.world.reached, [])
  })

  test('deleted, or put on hold, while it waits for its turn behind one that hangs: it does not go', async (t) => {
    const house = await openQueueHouse(t, {
      config: { queue: { parallel: { 'per-destination': 1 }, hold: ['anna@example.org'] } },
    })
    let answer: () => void = () => {}
    house.world.answers.set('u@a.example', new Promise((resolve) => (answer = () => resolve(undefined))))
    for (const local of ['u', 'v', 'w', 'x']) await house.anna([`${local}@a.example`])
    await house.queue.change('release', {}, false)
    await house.settle()
    await house.queue.change('delete', { recipient: 'v@a.example' }, false)
    await house.queue.change('hold', { recipient: 'w@a.example' }, false)
    answer()
    await house.settle()
    assert.deepEqual(house.world.reached, ['u@a.example', 'x@a.example'])
    assert.deepEqual(await house.waiting(), ['w@a.example'])
  })

  test('deleted while it is on its way: it has arrived, and nothing else happens', async (t) => {
    const house = await openQueueHouse(t)
    let answer: () => void = () => {}
    house.world.answers.set('a.example', new Promise((resolve) => (answer = () => resolve(greylisted()))))
    await house.anna(['u@a.example'])
    await house.settle()
    await house.queue.change('delete', {}, false)
    answer()
    await house.settle()
    assert.deepEqual(await house.queue.figures(), { mails: 0, recipients: 0, held: 0, oldest: undefined, targets: [] })
  })
})

describe('starting', () => {
  const folders = (t: TestContext): string => {
    const folder = mkdtempSync(join(tmpdir(), 'aviso-queue-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    return folder
  }

  test('everything that is due is picked up, what is not waits', async (t) => {
    const folder = folders(t)
    const before = await openQueueHouse(t, { folder })
    before.world.answers.set('a.example', greylisted()).set('b.example', unreachable())
    for (let i = 0; i < 20; i++) await before.anna([`u${i}@a.example`, `v${i}@b.example`])
    await before.settle()
    await before.scope.close()
    const after = await openQueueHouse(t, { folder })
    await after.settle()
    assert.deepEqual(after.world.reached, [])
    await after.pass(6 * MINUTE)
    await after.pass(MINUTE)
    assert.equal(new Set(after.world.reached).size, 40)
    assert.equal(after.world.reached.length, 40)
    assert.deepEqual(await after.waiting(), [])
  })

  test('what an older version kept in the core database is moved, and delivered once', async (t) => {
    const folder = folders(t)
    const scope = testScope()
    const older = defineStore({
      ...queueStore,
      operations: {
        ...queueStore.operations,
        leave: write(async (tx, { blob }: { readonly blob: string }) => {
          const mail =
            'INSERT INTO queue_mail (id, created, sender, parameters, quarantined, size, bytes, blob) VALUES (?, ?, ?, ?, 0, ?, ?, ?)'
          const recipient =
            "INSERT INTO queue_recipient (mail, address, account, parameters, attempts, next_attempt, last_error) VALUES (?, ?, ?, '{}', 1, 0, 'x')"
          const parameters = JSON.stringify({ body: '7BIT', smtpUtf8: false, requireTls: false })
          const bytes = Buffer.from('Subject: small\r\n\r\nHi\r\n')
          await tx.run(mail, 'small', tx.now, 'bo@far.example', parameters, bytes.length, bytes, null)
          await tx.run(recipient, 'small', 'ben@example.org', 'ben')
          await tx.run(recipient, 'small', 'zoe@far.invalid', '')
          await tx.run(mail, 'large', tx.now, '', parameters, LARGE.length, null, blob)
          await tx.run(recipient, 'large', 'anna@example.org', 'anna')
        }),
      },
    })
    const store = await openStore(scope, { folder, definitions: [older] })
    await store.core(older).leave({ blob: await store.blobs.put(LARGE) })
    await scope.close()
    const house = await openQueueHouse(t, { folder })
    await house.until(async () => (await house.mails('anna')).length + (await house.mails('ben')).length === 2)
    assert.match((await house.mails('ben'))[0] ?? '', /^Return-Path: <bo@far\.example>\r\nSubject: small/)
    assert.ok((await house.mails('anna'))[0]?.endsWith(LARGE.toString()))
    // There is no such domain: its sender hears of it.
    await house.until(() => Promise.resolve(house.world.got.length === 1))
    assert.match(house.world.got[0]?.message ?? '', /Final-Recipient: rfc822; zoe@far\.invalid\r\n/)
    assert.equal(house.world.got[0]?.to, 'bo@far.example')
    assert.equal(await house.real.core(queueStore).first(), undefined)
  })
})

const LARGE = Buffer.from(`Subject: large\r\n\r\n${'Much to say.\r\n'.repeat(30_000)}`)
