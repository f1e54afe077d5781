// XEP-0060: a service where some publish and others subscribe, from this server and from others.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { el, type Element, Jid, StanzaError } from '@aviso/xmpp'
import { pubsub } from '../../../src/chat/pubsub/pubsub.ts'
import { FEATURES, type House, type HouseOptions, opener, type Peer } from '../house.ts'
import {
  configure,
  formOf,
  INFO,
  ITEMS,
  itemsOf,
  OWNER,
  publish,
  publishing,
  PUBSUB,
  settled,
  told,
} from './clients.ts'

const opened = opener()
const open = (config: object = {}, options: HouseOptions = {}): Promise<House> =>
  opened({
    features: [...FEATURES, pubsub],
    featureConfig: { pubsub: { owners: [ANNA], ...config } },
    ...options,
  })

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CLEO = 'cleo@example.net'
const SERVICE = 'pubsub.example.org'
const NODE = 'princely_musings'

const create = (peer: Peer, node: string, fields?: Readonly<Record<string, string>>): Promise<Element> =>
  peer.request(
    'set',
    `<pubsub xmlns='${PUBSUB}'><create node='${node}'/>${fields === undefined ? '' : `<configure>${formOf('node_config', fields)}</configure>`}</pubsub>`,
    SERVICE,
  )

const subscribe = async (peer: Peer, node: string, more = ''): Promise<Element | undefined> => {
  const answer = await peer.request(
    'set',
    `<pubsub xmlns='${PUBSUB}'><subscribe node='${node}' jid='${peer.bare}'/>${more}</pubsub>`,
    SERVICE,
  )
  return answer.child('pubsub', PUBSUB)?.child('subscription')
}

const refused = (condition: string, detail?: string) => (error: unknown) => {
  assert.ok(error instanceof StanzaError)
  assert.deepEqual([error.condition, error.app?.name], [condition, detail])
  return true
}

test('made, subscribed to, published, unsubscribed from, deleted (pubsub_basic, pubsub_createdelete)', async () => {
  const house = await open()
  const [anna, bert, cleo] = [
    await house.arrive(ANNA, 'sea'),
    await house.arrive(BERT, 'hill'),
    await house.arrive(CLEO, 'city'),
  ]
  await create(anna, NODE)
  await assert.rejects(create(anna, NODE), refused('conflict'))
  await assert.rejects(create(bert, 'mine'), refused('forbidden'))
  assert.equal((await subscribe(bert, NODE))?.get('subscription'), 'subscribed')
  await assert.rejects(subscribe(bert, 'nowhere'), refused('item-not-found'))
  await assert.rejects(
    bert.request('set', `<pubsub xmlns='${PUBSUB}'><subscribe node='${NODE}' jid='${CLEO}'/></pubsub>`, SERVICE),
    refused('bad-request', 'invalid-jid'),
  )
  await publish(anna, NODE, 'one', 'Soliloquy', undefined, SERVICE)
  assert.deepEqual(await told(bert), [`${SERVICE} ${NODE} one=Soliloquy`])
  assert.deepEqual(await told(cleo), [])
  await assert.rejects(publish(bert, NODE, 'two', 'Lies', undefined, SERVICE), refused('forbidden'))
  await assert.rejects(publish(anna, 'nowhere', 'two', 'x', undefined, SERVICE), refused('item-not-found'))
  await anna.request(
    'set',
    `<pubsub xmlns='${PUBSUB}'><retract node='${NODE}'><item id='one'/></retract></pubsub>`,
    SERVICE,
  )
  assert.deepEqual(await told(bert), [`${SERVICE} ${NODE} -one`])
  const unsubscribe = `<pubsub xmlns='${PUBSUB}'><unsubscribe node='${NODE}' jid='${BERT}'/></pubsub>`
  await bert.request('set', unsubscribe, SERVICE)
  await assert.rejects(bert.request('set', unsubscribe, SERVICE), refused('unexpected-request', 'not-subscribed'))
  await subscribe(cleo, NODE)
  await publish(anna, NODE, 'three', 'More', undefined, SERVICE)
  assert.deepEqual(await told(bert), [])
  await told(cleo)
  await anna.request('set', `<pubsub xmlns='${OWNER}'><delete node='${NODE}'/></pubsub>`, SERVICE)
  assert.deepEqual(await told(cleo), [`${SERVICE} delete ${NODE}`])
  await assert.rejects(itemsOf(cleo, NODE, SERVICE), refused('item-not-found'))
})

test('what a new subscriber missed comes at once (pubsub_resend_on_sub); with options, for a time, or not at all', async () => {
  const house = await open()
  const [anna, bert] = [await house.arrive(ANNA, 'sea'), await house.arrive(BERT, 'hill')]
  await create(anna, NODE)
  await publish(anna, NODE, 'one', 'old', undefined, SERVICE)
  await publish(anna, NODE, 'two', 'last', undefined, SERVICE)
  const until = new Date(house.clock.now() + 60_000).toISOString()
  const subscription = await subscribe(
    bert,
    NODE,
    `<options>${formOf('subscribe_options', { expire: until })}</options>`,
  )
  assert.deepEqual(await told(bert), [`${SERVICE} ${NODE} two=last`])
  const subid = subscription?.get('subid')
  const options = (content: string, more = ''): string =>
    `<pubsub xmlns='${PUBSUB}'><options node='${NODE}' jid='${BERT}'${more}>${content}</options></pubsub>`
  const form = await bert.request('get', options(''), SERVICE)
  assert.match(form.toString(), new RegExp(until))
  const deliver = (value: string): string => formOf('subscribe_options', { deliver: value })
  await bert.request('set', options(deliver('0'), ` subid='${subid}'`), SERVICE)
  await publish(anna, NODE, 'three', 'quiet', undefined, SERVICE)
  assert.deepEqual(await told(bert), [])
  await bert.request('set', options(deliver('1')), SERVICE)
  await assert.rejects(
    bert.request('set', options(deliver('perhaps')), SERVICE),
    refused('bad-request', 'invalid-options'),
  )
  await assert.rejects(
    bert.request('set', options(deliver('1'), ` subid='other'`), SERVICE),
    refused('not-acceptable', 'invalid-subid'),
  )
  await publish(anna, NODE, 'four', 'heard', undefined, SERVICE)
  assert.deepEqual(await told(bert), [`${SERVICE} ${NODE} four=heard`])
  house.clock.turn(61_000)
  await publish(anna, NODE, 'five', 'too late', undefined, SERVICE)
  assert.deepEqual(await told(bert), [])
  const mine = await bert.request('get', `<pubsub xmlns='${PUBSUB}'><subscriptions/></pubsub>`, SERVICE)
  assert.equal(mine.child('pubsub', PUBSUB)?.child('subscriptions')?.elements.length, 0)
})

test('nodes have a title, are described, and configured by their owners (pubsub_config)', async () => {
  const house = await open()
  const [anna, bert] = [await house.arrive(ANNA, 'sea'), await house.arrive(BERT, 'hill')]
  await create(anna, NODE, { title: 'Princely Musings', notify_config: '1' })
  await create(anna, 'hidden', { access_model: 'whitelist' })
  const listed = async (peer: Peer) =>
    (await peer.request('get', `<query xmlns='${ITEMS}'/>`, SERVICE)).firstElement?.elements.map((item) => [
      item.get('node'),
      item.get('name'),
    ])
  assert.deepEqual(await listed(bert), [[NODE, 'Princely Musings']])
  assert.deepEqual(await listed(anna), [
    ['hidden', undefined],
    [NODE, 'Princely Musings'],
  ])
  const info = (await bert.request('get', `<query xmlns='${INFO}'/>`, SERVICE)).firstElement
  assert.deepEqual(
    [info?.child('identity')?.get('category'), info?.child('identity')?.get('type')],
    ['pubsub', 'service'],
  )
  const found = (await bert.request('get', `<query xmlns='${ITEMS}'/>`, 'example.org')).firstElement
  assert.ok(found?.elements.some((item) => item.get('jid') === SERVICE))
  await subscribe(bert, NODE)
  const get = `<pubsub xmlns='${OWNER}'><configure node='${NODE}'/></pubsub>`
  const form = (await anna.request('get', get, SERVICE)).child('pubsub', OWNER)?.child('configure')?.firstElement
  const title = form?.childrenNamed('field').find((field) => field.get('var') === 'pubsub#title')
  assert.equal(title?.childText('value'), 'Princely Musings')
  await assert.rejects(bert.request('get', get, SERVICE), refused('forbidden'))
  await configure(anna, NODE, { title: 'Musings' }, SERVICE)
  assert.deepEqual(await told(bert), [`${SERVICE} configuration ${NODE}`])
  assert.deepEqual(await listed(bert), [[NODE, 'Musings']])
  await assert.rejects(configure(anna, NODE, { colour: 'red' }, SERVICE), refused('not-acceptable'))
  const cancel = `<pubsub xmlns='${OWNER}'><configure node='${NODE}'><x xmlns='jabber:x:data' type='cancel'/></configure></pubsub>`
  await anna.request('set', cancel, SERVICE)
  const usual = await anna.request('get', `<pubsub xmlns='${OWNER}'><default/></pubsub>`, SERVICE)
  assert.match(usual.toString(), /pubsub#access_model/)
  await assert.rejects(
    create(anna, 'tree', { node_type: 'collection' }),
    refused('feature-not-implemented', 'unsupported'),
  )
  // Instant nodes.
  const instant = await anna.request('set', `<pubsub xmlns='${PUBSUB}'><create/></pubsub>`, SERVICE)
  assert.match(instant.child('pubsub', PUBSUB)?.child('create')?.get('node') ?? '', /^\w{20}$/)
})

test('affiliations: publishers, members, owners; a node keeps one (pubsub_advanced)', async () => {
  const house = await open({ create: 'user' })
  const [anna, bert, cleo] = [
    await house.arrive(ANNA, 'sea'),
    await house.arrive(BERT, 'hill'),
    await house.arrive(CLEO, 'city'),
  ]
  await create(bert, NODE, { access_model: 'whitelist' })
  await assert.rejects(subscribe(cleo, NODE), refused('not-allowed', 'closed-node'))
  const affiliate = (peer: Peer, jid: string, affiliation: string): Promise<Element> =>
    peer.request(
      'set',
      `<pubsub xmlns='${OWNER}'><affiliations node='${NODE}'><affiliation jid='${jid}' affiliation='${affiliation}'/></affiliations></pubsub>`,
      SERVICE,
    )
  await affiliate(bert, CLEO, 'member')
  await subscribe(cleo, NODE)
  await assert.rejects(publish(cleo, NODE, '1', 'x', undefined, SERVICE), refused('forbidden'))
  await affiliate(bert, CLEO, 'publisher')
  await publish(cleo, NODE, '1', 'x', undefined, SERVICE)
  assert.deepEqual(await told(cleo), [`${SERVICE} ${NODE} 1=x`])
  const mine = await cleo.request('get', `<pubsub xmlns='${PUBSUB}'><affiliations/></pubsub>`, SERVICE)
  assert.equal(mine.child('pubsub', PUBSUB)?.child('affiliations')?.firstElement?.get('affiliation'), 'publisher')
  await assert.rejects(affiliate(cleo, CLEO, 'owner'), refused('forbidden'))
  await assert.rejects(affiliate(bert, BERT, 'none'), refused('not-acceptable'))
  await affiliate(bert, CLEO, 'publish-only')
  await publish(cleo, NODE, '2', 'y', undefined, SERVICE)
  await assert.rejects(itemsOf(cleo, NODE, SERVICE), refused('forbidden'))
  await affiliate(bert, CLEO, 'outcast')
  await assert.rejects(itemsOf(cleo, NODE, SERVICE), refused('forbidden'))
  const subscriptions = async (): Promise<number | undefined> => {
    const answer = await bert.request(
      'get',
      `<pubsub xmlns='${OWNER}'><subscriptions node='${NODE}'/></pubsub>`,
      SERVICE,
    )
    return answer.child('pubsub', OWNER)?.child('subscriptions')?.elements.length
  }
  assert.equal(await subscriptions(), 0)
  // Who owns the service owns its nodes; owners subscribe others.
  const settle = `<pubsub xmlns='${OWNER}'><subscriptions node='${NODE}'><subscription jid='${ANNA}' subscription='subscribed'/></subscriptions></pubsub>`
  await anna.request('set', settle, SERVICE)
  assert.equal(await subscriptions(), 1)
  const list = await anna.request('get', `<pubsub xmlns='${OWNER}'><affiliations node='${NODE}'/></pubsub>`, SERVICE)
  assert.deepEqual(
    list
      .child('pubsub', OWNER)
      ?.child('affiliations')
      ?.elements.map((each) => [each.get('jid'), each.get('affiliation')]),
    [
      [BERT, 'owner'],
      [CLEO, 'outcast'],
    ],
  )
})

test('several items at once, by ids, the newest of them; who published is told (pubsub_multi_items, pubsub_max_items)', async () => {
  const house = await open({ 'expose-publisher': true, 'auto-create': true, create: 'anybody' })
  const [bert, cleo] = [await house.arrive(BERT, 'hill'), await house.arrive(CLEO, 'city')]
  const items = ['a', 'b', 'c'].map((id) => [id, id.toUpperCase()] as const)
  await bert.request('set', publishing(NODE, items, { max_items: '3' }), SERVICE)
  await subscribe(cleo, NODE)
  await told(cleo)
  await bert.request(
    'set',
    publishing(NODE, [
      ['d', 'D'],
      ['e', 'E'],
    ]),
    SERVICE,
  )
  assert.deepEqual(await told(cleo), [`${SERVICE} ${NODE} d=D by ${BERT}`, `${SERVICE} ${NODE} e=E by ${BERT}`])
  assert.deepEqual(await itemsOf(cleo, NODE, SERVICE), [`c=C by ${BERT}`, `d=D by ${BERT}`, `e=E by ${BERT}`])
  assert.deepEqual(await itemsOf(cleo, NODE, SERVICE, ` max_items='2'`), [`d=D by ${BERT}`, `e=E by ${BERT}`])
  await assert.rejects(
    bert.request(
      'set',
      publishing(NODE, [
        ['x', '1'],
        ['x', '2'],
      ]),
      SERVICE,
    ),
    refused('bad-request'),
  )
  await bert.request('set', `<pubsub xmlns='${OWNER}'><purge node='${NODE}'/></pubsub>`, SERVICE)
  assert.deepEqual(await told(cleo), [`${SERVICE} purge ${NODE}`])
})

test('where everybody may publish, nobody writes over others; where subscribers may, strangers do not', async () => {
  const house = await open()
  const [anna, bert, cleo] = [
    await house.arrive(ANNA, 'sea'),
    await house.arrive(BERT, 'hill'),
    await house.arrive(CLEO, 'city'),
  ]
  await create(anna, NODE, { publish_model: 'open' })
  await publish(bert, NODE, 'mine', 'Bert', undefined, SERVICE)
  await assert.rejects(publish(cleo, NODE, 'mine', 'Cleo', undefined, SERVICE), refused('forbidden'))
  const retract = `<pubsub xmlns='${PUBSUB}'><retract node='${NODE}'><item id='mine'/></retract></pubsub>`
  await assert.rejects(cleo.request('set', retract, SERVICE), refused('forbidden'))
  await bert.request('set', retract, SERVICE)
  await create(anna, 'club', { publish_model: 'subscribers' })
  await assert.rejects(publish(cleo, 'club', '1', 'x', undefined, SERVICE), refused('forbidden'))
  await subscribe(cleo, 'club')
  await publish(cleo, 'club', '1', 'x', undefined, SERVICE)
})

test('the contacts of a node’s owner, and a group of them', async () => {
  const house = await open({ create: 'user' })
  await house.befriend(BERT, CLEO)
  const [bert, cleo] = [await house.arrive(BERT, 'hill'), await house.arrive(CLEO, 'city')]
  house.accounts.add('dora@example.org')
  const dora = await house.arrive('dora@example.org', 'dale')
  await create(bert, NODE, { access_model: 'presence' })
  await publish(bert, NODE, '1', 'x', undefined, SERVICE)
  assert.deepEqual(await itemsOf(cleo, NODE, SERVICE), ['1=x'])
  await assert.rejects(itemsOf(dora, NODE, SERVICE), refused('not-authorized', 'presence-subscription-required'))
  await configure(bert, NODE, { access_model: 'roster', roster_groups_allowed: 'Friends' }, SERVICE)
  await assert.rejects(itemsOf(cleo, NODE, SERVICE), refused('not-authorized', 'not-in-roster-group'))
  await bert.rosterSet(`<item jid='${CLEO}'><group>Friends</group></item>`)
  await subscribe(cleo, NODE)
  await told(cleo)
  await publish(bert, NODE, '2', 'y', undefined, SERVICE)
  assert.deepEqual(await told(cleo), [`${SERVICE} ${NODE} 2=y`])
  await bert.rosterSet(`<item jid='${CLEO}'/>`)
  await publish(bert, NODE, '3', 'z', undefined, SERVICE)
  assert.deepEqual(await told(cleo), [], 'who is in the group no more hears no more')
})

test('people of other servers subscribe and are told; what is kept outlives a crash', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  await create(anna, NODE)
  const heard: Element[] = []
  const dora = { jid: Jid.parse('dora@elsewhere.example/d'), reply: (stanza: Element): void => void heard.push(stanza) }
  const request = (id: string, payload: Element): Element =>
    el('iq', { type: 'set', id, from: dora.jid.toString(), to: SERVICE }, payload)
  const subscription = el('subscribe', { node: NODE, jid: 'dora@elsewhere.example' })
  await house.chat.receive(request('s', el('pubsub', { xmlns: PUBSUB }, subscription)), dora)
  assert.equal(heard.pop()?.get('type'), 'result')
  await house.chat.receive(request('c', el('pubsub', { xmlns: PUBSUB }, el('create', { node: 'mine' }))), dora)
  assert.equal(heard.pop()?.child('error')?.firstElement?.name, 'forbidden')
  await house.crashAndStart()
  const again = await house.arrive(ANNA, 'sea')
  const sent: Element[] = []
  house.chat.points.remote.add(({ stanza }) => {
    sent.push(stanza)
    return 'handled'
  })
  await publish(again, NODE, 'one', 'news', undefined, SERVICE)
  await settled(again)
  const message = sent.find(({ name }) => name === 'message')
  assert.deepEqual(
    [message?.get('to'), message?.get('from'), message?.get('type')],
    ['dora@elsewhere.example', SERVICE, 'headline'],
  )
  assert.match(message?.toString() ?? '', /<item id='one'><note xmlns='urn:example:note'>news<\/note><\/item>/)
})

test('limits: nodes, subscriptions, and the size of items', async () => {
  const house = await open({ 'max-nodes': 1, 'max-subscriptions': 1, 'max-item-octets': 60, 'max-octets': 120 })
  const [anna, bert, cleo] = [
    await house.arrive(ANNA, 'sea'),
    await house.arrive(BERT, 'hill'),
    await house.arrive(CLEO, 'city'),
  ]
  await create(anna, NODE)
  await assert.rejects(create(anna, 'second'), refused('conflict', 'max-nodes-exceeded'))
  await subscribe(bert, NODE)
  await assert.rejects(subscribe(cleo, NODE), refused('policy-violation', 'too-many-subscriptions'))
  await assert.rejects(
    publish(anna, NODE, '1', 'x'.repeat(60), undefined, SERVICE),
    refused('not-acceptable', 'payload-too-big'),
  )
  for (const id of ['1', '2']) await publish(anna, NODE, id, 'x'.repeat(15), undefined, SERVICE)
  await assert.rejects(publish(anna, NODE, '3', 'x'.repeat(15), undefined, SERVICE), refused('resource-constraint'))
  await publish(anna, NODE, '2', 'y'.repeat(15), undefined, SERVICE)
  await anna.request('set', `<pubsub xmlns='${OWNER}'><purge node='${NODE}'/></pubsub>`, SERVICE)
  await publish(anna, NODE, '3', 'x'.repeat(15), undefined, SERVICE)
})

test('a service has the name, the place and the pages that are set, and keeps so many items of a node', async () => {
  const house = await open({ name: 'Gazette', domain: 'news.{domain}', page: 2, 'max-items': 3 })
  const anna = await house.arrive(ANNA, 'sea')
  const place = 'news.example.org'
  const { firstElement } = await anna.request('get', `<query xmlns='${INFO}'/>`, place)
  assert.equal(firstElement?.child('identity')?.get('name'), 'Gazette')
  await anna.request(
    'set',
    `<pubsub xmlns='${PUBSUB}'><create node='${NODE}'/><configure>${formOf('node_config', { max_items: 'max' })}</configure></pubsub>`,
    place,
  )
  for (const id of ['1', '2', '3', '4']) await publish(anna, NODE, id, 'x', undefined, place)
  assert.deepEqual(await itemsOf(anna, NODE, place), ['2=x', '3=x'], 'the first page of three')
  assert.deepEqual(await itemsOf(anna, NODE, place, ` max_items='9'`), ['3=x', '4=x'])
  await assert.rejects(itemsOf(anna, NODE, SERVICE), refused('remote-server-not-found'))
})

test('items that are not kept: told once, and not to be asked for', async () => {
  const house = await open()
  const [anna, bert] = [await house.arrive(ANNA, 'sea'), await house.arrive(BERT, 'hill')]
  await create(anna, NODE, { persist_items: '0' })
  await subscribe(bert, NODE)
  await publish(anna, NODE, '1', 'now', undefined, SERVICE)
  assert.deepEqual(await told(bert), [`${SERVICE} ${NODE} 1=now`])
  await assert.rejects(itemsOf(bert, NODE, SERVICE), refused('feature-not-implemented', 'unsupported'))
  await configure(anna, NODE, { deliver_payloads: '0' }, SERVICE)
  await anna.request('set', publishing(NODE, []), SERVICE)
  assert.deepEqual(await told(bert), [`${SERVICE} ${NODE}`])
  await assert.rejects(publish(anna, NODE, '1', 'x', undefined, SERVICE), refused('bad-request', 'item-forbidden'))
})

test('the service is no person', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  bert.send(`<message to='${SERVICE}' id='m'><body>hello</body></message>`)
  assert.equal((await bert.next()).child('error')?.firstElement?.name, 'service-unavailable')
  bert.send(`<presence type='subscribe' to='${SERVICE}'/>`)
  let stanza = await bert.next()
  while (stanza.name !== 'presence') stanza = await bert.next()
  assert.equal(stanza.get('type'), 'unsubscribed')
})
