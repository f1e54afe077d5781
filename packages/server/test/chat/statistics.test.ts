// What an administrator reads in the figures after a day of chat.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Metrics } from '../../src/kernel/metrics.ts'
import { House } from './house.ts'

const houses: House[] = []
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'

/** The samples of a scrape whose names begin so, without `aviso_chat_`. */
async function scrape(metrics: Metrics, names: RegExp): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const line of (await metrics.text()).split('\n')) {
    const match = /^aviso_chat_(\S+) (\S+)/.exec(line)
    if (match !== null && names.test(match[1] ?? '')) found[match[1] ?? ''] = Number(match[2])
  }
  return found
}

test('stanzas by kind, clients by state, what was kept, copied, refused: over a reload, too', async () => {
  const house = await House.open()
  houses.push(house)
  const { metrics } = house.root
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const sky = await house.arrive(ANNA, 'sky')
  await sky.request('set', `<enable xmlns='urn:xmpp:carbons:2'/>`)
  const bert = await house.login(BERT, 'silent')
  const before = await scrape(metrics, /^stanzas|^carbons|^archive_stored|^offline/)
  await house.reload()
  anna.send(`<message type='chat' to='${BERT}'><body>for later</body></message>`)
  anna.send(`<message type='chat' to='nobody@example.org'><body>x</body></message>`)
  await anna.sync()
  const now = await scrape(metrics, /^stanzas|^carbons|^archive_stored|^offline/)
  const more = (name: string): number => (now[name] ?? 0) - (before[name] ?? 0)
  assert.equal(more('stanzas_total{peer="client",direction="in",kind="message"}'), 2)
  assert.equal(more('stanzas_total{peer="client",direction="in",kind="iq"}'), 1)
  // Two copies for the other device, an error and its copy for it.
  assert.equal(more('stanzas_total{peer="client",direction="out",kind="message"}'), 4)
  assert.equal(more('carbons_total'), 3)
  assert.equal(more('archive_stored_total'), 3, 'of the sender twice, of Bert once')
  assert.equal(more('offline_total{outcome="stored"}'), 1)
  assert.deepEqual(await scrape(metrics, /^sessions|^accounts|^refused/), {
    'sessions{state="available"}': 2,
    'sessions{state="away"}': 0,
    'sessions{state="silent"}': 1,
    accounts: 2,
    'refused_total{condition="service-unavailable"}': 1,
  })
  bert.send('<presence/>')
  await bert.sync()
  assert.equal((await scrape(metrics, /^offline/))['offline_total{outcome="delivered"}'], 1)
})

test('readers of one metric are summed up; what a counter has counted stays, a gauge goes with its reader', async () => {
  const metrics = new Metrics()
  const read = (kind: 'counter' | 'gauge', value: number): (() => void) =>
    metrics.readings(kind, `aviso_chat_${kind}`, 'x', ['of'], () => [[{ of: 'a' }, value]])
  const stops = [read('counter', 2), read('counter', 3), read('gauge', 2), read('gauge', 3)]
  const all = { 'counter_total{of="a"}': 5, 'gauge{of="a"}': 5 }
  assert.deepEqual(await scrape(metrics, /./), all)
  assert.deepEqual(await scrape(metrics, /./), all, 'reading twice counts once')
  stops[0]?.()
  stops[0]?.()
  stops[2]?.()
  assert.deepEqual(await scrape(metrics, /./), { ...all, 'gauge{of="a"}': 3 })
})
