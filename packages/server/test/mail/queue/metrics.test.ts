// What monitoring sees of the queue: what waits, for whom and how long, what was tried, and what became of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { samples } from '../../fixtures/metrics.ts'
import { greylisted, HOUR, MINUTE, openQueueHouse, unknownUser, unreachable } from './fixture.ts'

test('what waits, what is on hold and where it goes can be scraped, and is gone when it has left', async (t) => {
  const house = await openQueueHouse(t, { config: { queue: { hold: ['held.example'] } } })
  const read = (name: string) => samples(house.scope, `aviso_queue_${name}`)
  house.world.answers.set('down.example', unreachable()).set('later@far.example', greylisted())
  await house.anna(['zoe@down.example', 'yan@down.example', 'later@far.example', 'x@held.example'])
  await house.pass(2 * MINUTE)
  assert.deepEqual(await read('mails'), { waiting: 1, held: 1 })
  assert.deepEqual(await read('recipients'), { sink: 4 })
  assert.deepEqual(await read('destinations'), { 'sink up': 2, 'sink down': 1 })
  assert.ok(Number((await read('oldest_seconds'))['']) >= 90)
  house.world.answers.clear()
  await house.queue.change('release', {}, false)
  await house.pass(2 * HOUR)
  assert.deepEqual(await read('mails'), { waiting: 0, held: 0 })
  assert.deepEqual(await read('recipients'), { sink: 0 })
  assert.deepEqual(await read('destinations'), { 'sink up': 0, 'sink down': 0 })
  assert.deepEqual(await read('oldest_seconds'), { '': 0 })
})

test('attempts and what became of each recipient are counted, and so are notifications', async (t) => {
  const house = await openQueueHouse(t, { config: { queue: { expire: '30m', 'delay-warning': '0s' } } })
  const read = (name: string) => samples(house.scope, `aviso_queue_${name}_total`)
  house.world.answers.set('gone@far.example', unknownUser()).set('down.example', unreachable())
  await house.anna(['zoe@far.example', 'gone@far.example', 'yan@down.example'])
  await house.settle()
  assert.deepEqual(await read('attempts'), { sink: 2 })
  assert.deepEqual(await read('outcomes'), { 'sink delivered': 1, 'sink bounced': 1, 'sink postponed': 1 })
  await house.pass(2 * HOUR)
  assert.equal((await read('outcomes'))['sink expired'], 1)
  assert.deepEqual(await read('notifications'), { 'failure sent': 2 })
})

test('a notification that its pipeline refuses is counted as lost', async (t) => {
  const local = { routes: [{ recipient: ['anna@example.org'], reject: {} }] }
  const house = await openQueueHouse(t, { config: { local } })
  house.world.answers.set('far.example', unknownUser())
  await house.anna(['gone@far.example'])
  await house.pass(MINUTE)
  assert.deepEqual(await samples(house.scope, 'aviso_queue_notifications_total'), { 'failure lost': 1 })
})
