// The administrator gives people to each other as contacts.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { House, type HouseOptions, type Peer } from './house.ts'

const houses: House[] = []
const config = (groups: Readonly<Record<string, readonly string[]>>, more: object = {}): HouseOptions => ({
  real: true,
  featureConfig: { 'shared-groups': { groups, ...more } },
})
const open = async (options: HouseOptions): Promise<House> => {
  const house = await House.open(options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CLEO = 'cleo@example.net'

const rosterOf = async (peer: Peer): Promise<string[]> =>
  ((await peer.roster()).firstElement?.childrenNamed('item') ?? [])
    .map((item) =>
      [item.get('jid'), item.get('subscription'), ...item.childrenNamed('group').map((group) => group.text())].join(
        ' ',
      ),
    )
    .sort()

/** Turns the clock until the rosters are in step. */
const settle = async (house: House, peer: Peer, wanted: readonly string[]): Promise<void> => {
  for (let turn = 0; turn < 100; turn++) {
    house.clock.turn(1000)
    const now = await rosterOf(peer)
    if (JSON.stringify(now) === JSON.stringify(wanted)) return
  }
  assert.deepEqual(await rosterOf(peer), wanted)
}

test('members see each other at once, without a question, and cannot undo it', async () => {
  const house = await open(config({ Family: [ANNA, BERT, 'nobody@example.org'], Org: ['*@example.org'] }))
  const anna = await house.arrive(ANNA, 'sea')
  await settle(house, anna, [`${BERT} both Family Org`])
  const bert = await house.arrive(BERT, 'hill')
  await settle(house, bert, [`${ANNA} both Family Org`])
  assert.ok((await anna.news()).includes(`presence ${BERT}/hill`))

  await assert.rejects(anna.rosterSet(`<item jid='${BERT}' subscription='remove'/>`), { condition: 'not-allowed' })
  anna.send(`<presence type='unsubscribe' to='${BERT}'/><presence type='unsubscribed' to='${BERT}'/>`)
  await anna.sync()
  assert.deepEqual(await bert.news(), [])
  await anna.rosterSet(`<item jid='${BERT}' name='Bertie'><group>Dear</group></item>`)
  assert.deepEqual(await rosterOf(anna), [`${BERT} both Dear Family Org`])
})

test('who is online when a group begins or ends sees the others come and go', async () => {
  const house = await open(config({}))
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await anna.news()
  await (await house.reload(config({ Two: [ANNA, BERT] }))).scope.close()
  await settle(house, anna, [`${BERT} both Two`])
  await settle(house, bert, [`${ANNA} both Two`])
  for (let turn = 0, seen: string[] = []; turn < 50 && !seen.includes(`presence ${BERT}/hill`); turn++)
    seen = [...seen, ...(await anna.news())]
  bert.send('<presence><show>away</show></presence>')
  await bert.sync()
  assert.equal((await anna.news()).at(-1), `presence ${BERT}/hill`)
  await (await house.reload(config({}))).scope.close()
  await settle(house, anna, [])
  await settle(house, bert, [])
  for (let turn = 0; turn < 50; turn++) {
    const news = await anna.news()
    if (news.includes(`presence unavailable ${BERT}/hill`)) return
  }
  assert.fail('nobody said goodbye')
})

test('new accounts come in, erased ones go, and a group that is no more leaves what was before', async () => {
  const house = await open(config({ Org: ['*@example.org'] }))
  await house.befriend(BERT, CLEO)
  const anna = await house.arrive(ANNA, 'sea')
  await settle(house, anna, [`${BERT} both Org`])
  await house.admin.createAccount({ address: 'dora@example.org', password: 'pencil' })
  await settle(house, anna, [`${BERT} both Org`, 'dora@example.org both Org'])
  await house.admin.deleteAccount('dora@example.org')
  await settle(house, anna, [`${BERT} both Org`])

  const before = await house.reload(config({ Both: [BERT, CLEO] }))
  await before.scope.close()
  await settle(house, anna, [])
  const bert = await house.arrive(BERT, 'hill')
  await settle(house, bert, [`${CLEO} both Both`])
  const again = await house.reload(config({}))
  await again.scope.close()
  await settle(house, bert, [`${CLEO} both`])
})

test('a group that is too big is left out', async () => {
  const house = await open(config({ All: ['*@example.org', CLEO], Two: [ANNA, BERT] }, { 'max-members': 2 }))
  const anna = await house.arrive(ANNA, 'sea')
  await settle(house, anna, [`${BERT} both Two`])
})
