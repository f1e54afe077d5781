// XEP-0163: the nodes of accounts: what is kept in them, in which bounds, and who finds them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { opener } from '../house.ts'
import { arriveWanting, configure, INFO, ITEMS, itemsOf, OWNER, publish, publishing, PUBSUB, told } from './clients.ts'

const open = opener()

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CLEO = 'cleo@example.net'
const TUNE = 'urn:example:tune'
const DEVICES = 'eu.siacs.conversations.axolotl.devicelist'

test('options of a publication make the node, and are conditions afterwards (pubsub_preconditions)', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await publish(anna, DEVICES, 'current', 'device', { access_model: 'open', persist_items: 'true' })
  assert.deepEqual(await itemsOf(bert, DEVICES, ANNA), ['current=device'], 'a stranger may read what is open')
  await publish(anna, DEVICES, 'current', 'devices', { access_model: 'open' })
  await assert.rejects(
    publish(anna, DEVICES, 'current', 'secret', { access_model: 'whitelist' }),
    (error: { condition: string; text: string; app: { name: string } }) => {
      assert.deepEqual([error.condition, error.app.name], ['conflict', 'precondition-not-met'])
      assert.match(error.text, /pubsub#access_model/)
      return true
    },
  )
  assert.deepEqual(await itemsOf(bert, DEVICES, ANNA), ['current=devices'], 'nothing was published')
  for (const [options, condition] of [
    [{ 'pubsub#colour': 'red' }, 'not-acceptable'],
    [{ access_model: 'nobody' }, 'not-acceptable'],
    [{ max_items: '0' }, 'not-acceptable'],
    [{ max_items: '100000' }, 'not-acceptable'],
    [{ persist_items: ['1', '0'] }, 'not-acceptable'],
    [{ node_type: 'collection' }, 'feature-not-implemented'],
  ] as const)
    await assert.rejects(publish(anna, 'urn:example:new', '1', 'x', options), { condition }, JSON.stringify(options))
  await assert.rejects(itemsOf(anna, 'urn:example:new'), { condition: 'item-not-found' })
})

test('as many items as possible, or the newest one alone (pep_pubsub_max, pubsub_max_items)', async () => {
  const house = await open({ featureConfig: { pep: { 'max-items': 4 } } })
  const anna = await house.arrive(ANNA, 'sea')
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) {
    await publish(anna, 'urn:example:all', id, id, { max_items: 'max' })
    await publish(anna, 'urn:example:two', id, id, { max_items: '2' })
    await publish(anna, 'urn:example:one', id, id)
  }
  assert.deepEqual(await itemsOf(anna, 'urn:example:all'), ['c=c', 'd=d', 'e=e', 'f=f'])
  assert.deepEqual(await itemsOf(anna, 'urn:example:two'), ['e=e', 'f=f'])
  assert.deepEqual(await itemsOf(anna, 'urn:example:one'), ['f=f'])
  // An item that is published again is the newest.
  await publish(anna, 'urn:example:all', 'd', 'again', { max_items: '4' })
  assert.deepEqual(await itemsOf(anna, 'urn:example:all', undefined, ` max_items='2'`), ['f=f', 'd=again'])
  await configure(anna, 'urn:example:all', { max_items: '1' })
  assert.deepEqual(await itemsOf(anna, 'urn:example:all'), ['d=again'])
})

test('items by their ids and page by page (XEP-0059)', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  for (const id of ['a', 'b', 'c', 'd', 'e']) await publish(anna, TUNE, id, id, { max_items: '10' })
  const rsm = (content: string): string => `<set xmlns='http://jabber.org/protocol/rsm'>${content}</set>`
  const page = (content: string): Promise<string[]> => itemsOf(anna, TUNE, undefined, '', rsm(content))
  assert.deepEqual(await page('<max>2</max>'), ['a=a', 'b=b'])
  assert.deepEqual(await page('<max>2</max><after>b</after>'), ['c=c', 'd=d'])
  assert.deepEqual(await page('<max>2</max><before/>'), ['d=d', 'e=e'])
  assert.deepEqual(await page('<max>2</max><before>d</before>'), ['b=b', 'c=c'])
  assert.deepEqual(await page('<max>2</max><index>3</index>'), ['d=d', 'e=e'])
  await assert.rejects(page('<max>2</max><after>z</after>'), { condition: 'item-not-found' })
  await assert.rejects(page('<max>-1</max>'), { condition: 'bad-request' })
  const result = await anna.request(
    'get',
    `<pubsub xmlns='${PUBSUB}'><items node='${TUNE}'/>${rsm('<max>2</max><after>a</after>')}</pubsub>`,
  )
  const set = result.child('pubsub', PUBSUB)?.child('set', 'http://jabber.org/protocol/rsm')
  assert.deepEqual(
    [set?.childText('first'), set?.child('first')?.get('index'), set?.childText('last'), set?.childText('count')],
    ['b', '1', 'c', '5'],
  )
  const some = await anna.request(
    'get',
    `<pubsub xmlns='${PUBSUB}'><items node='${TUNE}'><item id='d'/><item id='b'/><item id='zz'/></items></pubsub>`,
  )
  assert.deepEqual(
    some
      .child('pubsub', PUBSUB)
      ?.child('items')
      ?.elements.map((item) => item.get('id')),
    ['d', 'b'],
  )
})

test('items go after their time', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'a', 'a', { max_items: '10', item_expire: '60' })
  house.clock.turn(40_000)
  await publish(anna, TUNE, 'b', 'b')
  assert.deepEqual(await itemsOf(anna, TUNE), ['a=a', 'b=b'])
  house.clock.turn(30_000)
  assert.deepEqual(await itemsOf(anna, TUNE), ['b=b'])
  await assert.rejects(
    anna.request('get', `<pubsub xmlns='${PUBSUB}'><items node='${TUNE}'><item id='a'/></items></pubsub>`),
    { condition: 'item-not-found' },
  )
})

test('whom to answer is told where the node says so (pep_itemreply)', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE, 'urn:example:plain'])
  await publish(anna, TUNE, '1', 'x', { itemreply: 'publisher' })
  await publish(anna, 'urn:example:plain', '1', 'x')
  assert.deepEqual(await told(bert), [`${ANNA} ${TUNE} 1=x by ${ANNA}`, `${ANNA} urn:example:plain 1=x`])
  assert.deepEqual(await itemsOf(bert, TUNE, ANNA), [`1=x by ${ANNA}`])
})

test('a nickname is told (pep_nickname, XEP-0172)', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const NICK = 'http://jabber.org/protocol/nick'
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await arriveWanting(house, BERT, 'hill', [NICK])
  await anna.request(
    'set',
    `<pubsub xmlns='${PUBSUB}'><publish node='${NICK}'><item><nick xmlns='${NICK}'>Annie</nick></item></publish></pubsub>`,
  )
  const [line = ''] = await told(bert)
  assert.match(line, new RegExp(`^${ANNA} ${NICK} \\S+=Annie$`))
})

test('the account tells its own and its contacts what nodes it has; each those that he may see', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const cleo = await house.arrive(CLEO, 'city')
  await publish(anna, TUNE, 'now', 'Help')
  await publish(anna, 'urn:example:private', '1', 'diary', { access_model: 'whitelist' })
  await publish(anna, DEVICES, 'current', 'device', { access_model: 'open', title: 'Devices' })
  const nodes = async (peer: typeof anna): Promise<(string | undefined)[]> => {
    const result = await peer.request('get', `<query xmlns='${ITEMS}'/>`, ANNA)
    return (result.firstElement?.elements ?? []).map((item) => item.get('node'))
  }
  assert.deepEqual(await nodes(anna), [DEVICES, 'urn:example:private', TUNE])
  assert.deepEqual(await nodes(bert), [DEVICES, TUNE])
  await assert.rejects(nodes(cleo), { condition: 'service-unavailable' })
  const describe = (peer: typeof anna, node: string) =>
    peer.request('get', `<query xmlns='${INFO}' node='${node}'/>`, ANNA)
  const info = (await describe(cleo, DEVICES)).firstElement
  assert.equal(info?.child('identity')?.get('type'), 'leaf')
  assert.match(info?.child('x', 'jabber:x:data')?.toString() ?? '', /Devices.*num_subscribers/)
  for (const node of [TUNE, 'urn:example:private', 'urn:example:none'])
    await assert.rejects(describe(cleo, node), { condition: 'service-unavailable' })
  await assert.rejects(describe(bert, 'urn:example:private'), { condition: 'not-allowed' })
  const items = await bert.request('get', `<query xmlns='${ITEMS}' node='${TUNE}'/>`, ANNA)
  assert.equal(items.firstElement?.firstElement?.get('name'), 'now')
  const account = (await bert.request('get', `<query xmlns='${INFO}'/>`, ANNA)).firstElement
  assert.ok(account?.childrenNamed('identity').some((each) => each.get('type') === 'pep'))
  const features = account?.childrenNamed('feature').map((each) => each.get('var'))
  for (const name of ['publish-options', 'filtered-notifications', 'auto-create', 'access-whitelist', 'rsm'])
    assert.ok(features?.includes(`${PUBSUB}#${name}`), name)
})

test('what is published is there after a crash; no others may publish, make or delete nodes', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  let anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  const bert = await house.arrive(BERT, 'hill')
  for (const request of [
    publishing(TUNE, [['now', 'Lies']]),
    publishing(TUNE, []),
    `<pubsub xmlns='${PUBSUB}'><retract node='${TUNE}'><item id='now'/></retract></pubsub>`,
    `<pubsub xmlns='${PUBSUB}'><create node='urn:example:new'/></pubsub>`,
    `<pubsub xmlns='${OWNER}'><delete node='${TUNE}'/></pubsub>`,
    `<pubsub xmlns='${OWNER}'><purge node='${TUNE}'/></pubsub>`,
    `<pubsub xmlns='${OWNER}'><affiliations node='${TUNE}'><affiliation jid='${BERT}' affiliation='owner'/></affiliations></pubsub>`,
  ])
    await assert.rejects(bert.request('set', request, ANNA), { condition: 'forbidden' }, request)
  await assert.rejects(bert.request('get', `<pubsub xmlns='${OWNER}'><configure node='${TUNE}'/></pubsub>`, ANNA), {
    condition: 'forbidden',
  })
  await house.crashAndStart()
  anna = await house.arrive(ANNA, 'sea')
  assert.deepEqual(await itemsOf(anna, TUNE), ['now=Help'])
  await anna.request('set', `<pubsub xmlns='${OWNER}'><purge node='${TUNE}'/></pubsub>`)
  assert.deepEqual(await itemsOf(anna, TUNE), [])
  await anna.request('set', `<pubsub xmlns='${OWNER}'><delete node='${TUNE}'/></pubsub>`)
  await assert.rejects(itemsOf(anna, TUNE), { condition: 'item-not-found' })
})

test('the octets, subscriptions and pages of an account are bounded as the config says', async () => {
  const house = await open({ featureConfig: { pep: { 'max-octets': 150, 'max-subscriptions': 1, page: 2 } } })
  const [anna, bert, cleo] = [
    await house.arrive(ANNA, 'sea'),
    await house.arrive(BERT, 'hill'),
    await house.arrive('cleo@example.net', 'city'),
  ]
  const open_ = { access_model: 'open', max_items: 'max' }
  for (const id of ['1', '2', '3']) await publish(anna, 'urn:example:1', id, 'x', open_)
  await assert.rejects(publish(anna, 'urn:example:1', '4', 'x'.repeat(60)), { condition: 'resource-constraint' })
  assert.deepEqual(await itemsOf(anna, 'urn:example:1'), ['1=x', '2=x'], 'the first page')
  const subscribe = (peer: typeof bert) =>
    peer.request('set', `<pubsub xmlns='${PUBSUB}'><subscribe node='urn:example:1' jid='${peer.bare}'/></pubsub>`, ANNA)
  await subscribe(bert)
  await assert.rejects(subscribe(cleo), { condition: 'policy-violation' })
})

test('what an account may have has limits, and names have a length', async () => {
  const house = await open({ featureConfig: { pep: { 'max-nodes': 2, 'max-item-octets': 100 } } })
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, 'urn:example:1', '1', 'x')
  await publish(anna, 'urn:example:2', '1', 'x')
  await assert.rejects(publish(anna, 'urn:example:3', '1', 'x'), { condition: 'conflict' })
  await assert.rejects(publish(anna, 'urn:example:1', '1', 'x'.repeat(200)), { condition: 'not-acceptable' })
  await assert.rejects(publish(anna, 'n'.repeat(1024), '1', 'x'), { condition: 'not-acceptable' })
  await assert.rejects(publish(anna, 'urn:example:1', 'i'.repeat(1024), 'x'), { condition: 'not-acceptable' })
  await publish(anna, 'urn:example:1', 'i'.repeat(1023), 'x')
  for (const name of ['&lt;&amp;&apos;&quot;', '__proto__', 'constructor', '%_%', '😀']) {
    await publish(anna, 'urn:example:2', name, 'odd')
    const [item = ''] = await itemsOf(anna, 'urn:example:2')
    assert.equal(item.endsWith('=odd'), true)
  }
  await assert.rejects(
    anna.request('set', `<pubsub xmlns='${PUBSUB}'><publish><item/></publish></pubsub>`),
    (error: { condition: string; app: { name: string } }) =>
      error.condition === 'bad-request' && error.app.name === 'nodeid-required',
  )
  for (const [item, detail] of [
    ['', 'item-required'],
    ['<item/>', 'payload-required'],
    [`<item><a xmlns='a:a'/><b xmlns='b:b'/></item>`, 'invalid-payload'],
    ['<item>text</item>', 'invalid-payload'],
  ] as const)
    await assert.rejects(
      anna.request('set', `<pubsub xmlns='${PUBSUB}'><publish node='urn:example:1'>${item}</publish></pubsub>`),
      (error: { condition: string; app: { name: string } }) =>
        error.condition === 'bad-request' && error.app.name === detail,
      item,
    )
  await assert.rejects(anna.request('set', `<pubsub xmlns='${PUBSUB}'><explode/></pubsub>`), {
    condition: 'feature-not-implemented',
  })
  await assert.rejects(anna.request('set', `<pubsub xmlns='${PUBSUB}'/>`), { condition: 'bad-request' })
})
