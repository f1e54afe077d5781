// What clients that are away, or do not read, may cost.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { el, NS } from '@aviso/xmpp'
import type { Session, Wire } from '../../src/chat/core/session.ts'
import { RESUMPTIONS, Resumptions } from '../../src/chat/features/resumptions.ts'
import { unacknowledged } from '../../src/chat/features/stream-management.ts'
import { FEATURES, House, managed } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const SM = NS.streamManagement
const KIB = 1024

test('10,000 clients are away, and ten times as much as may wait is said to them', async (t) => {
  const most = 10 * KIB * KIB
  const house = await open({
    features: FEATURES.filter(({ name }) => name === 'stream-management'),
    featureConfig: { 'stream-management': { 'away-octets': most } },
  })
  const resumptions = await house.root.keep(RESUMPTIONS, () => new Resumptions(house.clock))
  const sessions: Session[] = []
  for (let n = 0; n < 10_000; n++) {
    const wire: Wire = { send: () => true, drained: () => Promise.resolve(), close: () => {} }
    const local = `u${n}`
    const account = {
      id: local,
      address: `${local}@example.org`,
      local,
      domain: 'example.org',
      role: 'user',
      disabled: false,
    } as const
    const session = house.chat.bind(account, 'phone', { id: local, wire })
    await house.chat.nonza(session, el('enable', { xmlns: SM, resume: 'true' }))
    house.chat.disconnected(session, wire, true)
    sessions.push(session)
  }
  assert.equal(house.chat.directory.size, 10_000)
  let highest = 0
  // Everybody is told the news, again and again: 10 KiB for each in the end.
  for (let round = 0; round < 10; round++)
    for (const session of sessions) {
      session.send(`<message type='headline' to='${session.fullXml}'><body>${'x'.repeat(KIB)}</body></message>`)
      await undefined
      highest = Math.max(highest, resumptions.held)
    }
  assert.ok(highest <= most, `${highest} characters waited`)
  const left = sessions.filter(({ over }) => !over)
  const waiting = left.map((session) => unacknowledged(session).reduce((sum, text) => sum + text.length, 0))
  assert.equal(
    waiting.reduce((sum, each) => sum + each, 0),
    resumptions.held,
    'what is counted is what is there',
  )
  // Who went away first was given up first.
  assert.deepEqual(left, sessions.slice(-left.length))
  assert.ok(left.length >= 900, `${left.length} are left`)
  assert.equal(house.chat.directory.size, left.length)
  t.diagnostic(`${left.length} are left with ${Math.round(resumptions.held / KIB)} KiB`)
})

test('a client that manages its stream, is inactive and does not read, costs no more than its budgets', async () => {
  const house = await open({
    c2s: { 'max-write-buffer': '64KiB' },
    featureConfig: {
      'stream-management': { 'queue-octets': '128KiB', queue: 50 },
      csi: { 'queue-octets': 16 * KIB, queue: 50 },
    },
  })
  await house.befriend('anna@example.org', 'bert@example.org')
  const bert = await house.arrive('bert@example.org', 'hill')
  const anna = await managed(house, 'anna@example.org', 'sea')
  anna.stream.write(`<inactive xmlns='${NS.csi}'/><r xmlns='${SM}'/>`)
  await anna.stream.until(/<a xmlns/)
  anna.stream.socket.pause()
  const session = house.chat.directory.session('anna@example.org/sea')
  assert.ok(session)
  const kept = (): number => unacknowledged(session).reduce((sum, text) => sum + text.length, 0)
  // More than the network between them takes.
  const text = 'x'.repeat(100 * KIB)
  for (let n = 0; n < 400 && !session.over; n++) {
    bert.send(`<presence><status>${n}</status></presence>`)
    bert.send(`<message type='chat' to='anna@example.org/sea'><body>${text}</body></message>`)
    await bert.sync()
    assert.ok(kept() <= 128 * KIB, `${kept()} characters are kept`)
  }
  assert.ok(session.over, 'it was given up')
})
