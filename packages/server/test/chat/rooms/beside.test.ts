// Rooms on the very domain of the accounts: one address is either an account's or a room's.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { NS } from '@aviso/xmpp'
import { RoomHalls } from '../../../src/chat/rooms/administration.ts'
import type { House } from '../house.ts'
import { brief, enter, gather, guests, make, MUC, open, say, told } from './lobby.ts'

const CAFE = 'cafe@example.org'
const beside = (t: TestContext): Promise<House> =>
  open(t, { real: true, featureConfig: { rooms: { domain: '{domain}' } } })

test('a room beside the accounts is entered and spoken in like any other; accounts are as before', async (t) => {
  const house = await beside(t)
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
  await make(anna, 'A', {}, CAFE)
  assert.deepEqual(await enter(bert, 'B', { room: CAFE }), [
    'p cafe@example.org/A owner/moderator',
    'p cafe@example.org/B none/participant 110+170',
    "m cafe@example.org subject ''",
  ])
  await told(anna)
  say(bert, 'hello', { room: CAFE })
  await bert.sync()
  assert.deepEqual(await told(anna), ["m cafe@example.org/B 'hello'"])
  const info = await bert.request('get', `<query xmlns='${NS.discoInfo}'/>`, CAFE)
  assert.equal(info.firstElement?.child('identity')?.get('category'), 'conference')
  anna.send(`<message type='chat' to='bert@example.org'><body>psst</body></message>`)
  await anna.sync()
  assert.ok((await told(bert)).includes("m chat anna@example.org/r 'psst'"))
  // Whether there is such an account is not to be seen.
  await house.admin.createAccount({ address: 'dora@example.org', password: 'very secret' })
  for (const who of ['nobody@example.org', 'dora@example.org'])
    await assert.rejects(anna.request('get', `<query xmlns='urn:x'/>`, who), /service-unavailable/)
  bert.client.destroy()
  assert.equal(brief(await anna.next()), 'p unavailable cafe@example.org/B none/none =bert@example.org/r')
})

test('an account does not get the name of a room, and a room not that of an account', async (t) => {
  const house = await beside(t)
  const [anna] = await guests(house, 'anna')
  assert.ok(anna)
  await make(anna, 'A', { persistentroom: '1' }, CAFE)
  await assert.rejects(house.admin.createAccount({ address: CAFE, password: 'very secret' }), /there is a room cafe/)
  await house.admin.createAccount({ address: 'tea@example.org', password: 'very secret' })
  // Tea is not online.
  anna.send(`<presence to='tea@example.org/A'><x xmlns='${MUC}'/></presence>`)
  assert.deepEqual(await told(anna), [])
  // At the same time: one of both has it.
  const [account, lines] = await Promise.allSettled([
    house.admin.createAccount({ address: 'both@example.org', password: 'very secret' }),
    enter(anna, 'A', { room: 'both@example.org' }),
  ])
  const entered = lines.status === 'fulfilled' && lines.value.some((line) => line.includes('owner/moderator'))
  assert.notEqual(account.status === 'fulfilled', entered)
})

test('whoever says goodbye to rooms, or asks for their names, keeps none of them in memory', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'], {
    real: true,
    featureConfig: { rooms: { domain: '{domain}', 'rooms-in-memory': 1 } },
  })
  const rooms = Array.from({ length: 5 }, (_, index) => `room${index}@example.org`)
  for (const room of rooms) {
    await make(anna, 'A', { persistentroom: '1' }, room)
    anna.send(`<presence type='unavailable' to='${room}/A'/>`)
    await told(anna)
  }
  const hall = house.generation.scope.use(RoomHalls).get('example.org')
  assert.equal(hall?.rooms.size, 1)
  for (const room of rooms) {
    bert.send(`<presence type='unavailable' to='${room}/B'/>`)
    await assert.rejects(house.admin.createAccount({ address: room, password: 'very secret' }), /there is a room/)
  }
  await told(bert)
  assert.equal(hall.rooms.size, 1)
})
