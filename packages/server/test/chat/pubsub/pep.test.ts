// XEP-0163: people publish, their contacts hear of it, strangers do not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_PARSER_LIMITS, el, type Element, Jid, readElement } from '@aviso/xmpp'
import { rosterStore } from '../../../src/chat/core/roster.store.ts'
import { Interest, wants } from '../../../src/chat/pubsub/interests.ts'
import { FEATURES, managed, opener, resume } from '../house.ts'
import {
  answerTo,
  arriveWanting,
  configure,
  INFO,
  ITEMS,
  itemsOf,
  OWNER,
  presenceWanting,
  publish,
  publishing,
  PUBSUB,
  settled,
  told,
  toldBy,
} from './clients.ts'

const open = opener()

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CLEO = 'cleo@example.net'
const TUNE = 'urn:example:tune'
const DEVICES = 'eu.siacs.conversations.axolotl.devicelist'

test('a contact that wants to hear of it is told; its other client, and who does not want to, are not (pep_publish_subscribe)', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await arriveWanting(house, ANNA, 'sea', [TUNE])
  const phone = await house.arrive(ANNA, 'phone')
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE], true)
  const deaf = await house.arrive(BERT, 'vale')
  const cleo = await arriveWanting(house, CLEO, 'city', [TUNE], true)
  for (const peer of [anna, phone, bert, deaf, cleo]) peer.clear()
  await publish(phone, TUNE, 'now', 'Yesterday')
  const news = [`${ANNA} ${TUNE} now=Yesterday`]
  assert.deepEqual(await told(bert), news)
  assert.deepEqual(await told(anna), news)
  for (const peer of [phone, deaf, cleo]) assert.deepEqual(await told(peer), [])
  assert.deepEqual(await itemsOf(bert, TUNE, ANNA), ['now=Yesterday'])
  assert.deepEqual(await itemsOf(anna, TUNE), ['now=Yesterday'])
  await phone.request('set', `<pubsub xmlns='${PUBSUB}'><retract node='${TUNE}'><item id='now'/></retract></pubsub>`)
  assert.deepEqual(await told(bert), [`${ANNA} ${TUNE} -now`])
})

test('who comes gets what was published last, of contacts that are not there too; once', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'one', 'Help')
  await publish(anna, TUNE, 'two', 'Hey Jude')
  await publish(anna, 'urn:example:never', '1', 'quiet', { send_last_published_item: 'never' })
  anna.client.destroy()
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE, 'urn:example:never'])
  const first = await told(bert)
  assert.deepEqual(first, [`${ANNA} ${TUNE} two=Hey Jude`])
  bert.send(presenceWanting([TUNE, 'urn:example:never']))
  assert.deepEqual(await told(bert), [])
  // The server remembers what such clients want, over a restart too: nobody is asked again.
  await house.crashAndStart()
  const again = await arriveWanting(house, BERT, 'hill', [TUNE, 'urn:example:never'], true)
  const messages = again.clear()
  assert.equal(
    messages.some(({ name }) => name === 'iq'),
    false,
  )
  assert.ok(messages.find(({ name }) => name === 'message')?.child('delay', 'urn:xmpp:delay') !== undefined)
})

test('who becomes a contact gets the last item then', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE])
  assert.deepEqual(await told(bert), [])
  bert.send(`<presence type='subscribe' to='${ANNA}'/>`)
  await bert.sync()
  anna.send(`<presence type='subscribed' to='${BERT}'/>`)
  await anna.sync()
  assert.deepEqual(await told(bert), [`${ANNA} ${TUNE} now=Help`])
})

test('who is blocked is told nothing, whichever side has blocked', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  await house.befriend(ANNA, CLEO)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE])
  const cleo = await arriveWanting(house, CLEO, 'city', [TUNE], true)
  await anna.request('set', `<block xmlns='urn:xmpp:blocking'><item jid='${BERT}'/></block>`)
  await cleo.request('set', `<block xmlns='urn:xmpp:blocking'><item jid='${ANNA}'/></block>`)
  await publish(anna, TUNE, 'now', 'Help')
  assert.deepEqual(await told(bert), [])
  assert.deepEqual(await told(cleo), [])
  anna.client.destroy()
  const back = await arriveWanting(house, BERT, 'vale', [TUNE], true)
  assert.deepEqual(await told(back), [])
  await assert.rejects(itemsOf(back, TUNE, ANNA), { condition: 'service-unavailable' })
})

test('a contact on another server is asked what it wants, told of it, and forgotten when it goes', async () => {
  const house = await open()
  const dora = { jid: Jid.parse('dora@elsewhere.example/d'), reply: () => {} }
  const stranger = { jid: Jid.parse('eve@elsewhere.example/e'), reply: () => {} }
  await house.store
    .account(rosterStore, 'idannaexampleorg')
    .import({ items: [{ contact: dora.jid.bareString, name: '' }] })
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  anna.client.destroy()
  const sent: Element[] = []
  house.chat.points.remote.add(({ stanza }) => {
    if (stanza.name !== 'presence') sent.push(stanza)
    return 'handled'
  })
  const presence = (origin: typeof dora, type?: string): Element =>
    readElement(presenceWanting([TUNE]), { xmlns: 'jabber:client', bindings: [] }, DEFAULT_PARSER_LIMITS).with({
      from: origin.jid.toString(),
      to: ANNA,
      type,
    })
  // Anna is not there: what she has published is.
  await house.chat.receive(presence(stranger), stranger)
  await house.chat.receive(presence(dora), dora)
  const phone = await house.arrive(ANNA, 'phone')
  await settled(phone)
  const questions = sent.splice(0)
  assert.deepEqual(
    questions.map((stanza) => [stanza.name, stanza.get('to')]),
    [['iq', dora.jid.toString()]],
    'strangers are asked nothing',
  )
  const [question] = questions
  assert.ok(question !== undefined)
  await house.chat.receive(answerTo(question, [TUNE]).with({ from: dora.jid.toString() }), dora)
  await settled(phone)
  assert.deepEqual(sent.splice(0).flatMap(toldBy), [`${ANNA} ${TUNE} now=Help`])
  await publish(phone, TUNE, 'now', 'Yesterday')
  await settled(phone)
  const news = sent.splice(0)
  assert.deepEqual(news.flatMap(toldBy), [`${ANNA} ${TUNE} now=Yesterday`])
  assert.equal(news[0]?.get('to'), dora.jid.toString())
  await house.chat.receive(presence(dora, 'unavailable'), dora)
  await publish(phone, TUNE, 'now', 'Let it be')
  await settled(phone)
  assert.deepEqual(sent, [])
})

test('five hundred contacts are told in one go, in the same words', async () => {
  // Only what this needs: the databases of the contacts are not opened.
  const house = await open({ features: FEATURES.filter(({ name }) => name === 'pep' || name === 'ping') })
  const anna = await house.arrive(ANNA, 'sea')
  const names = Array.from({ length: 500 }, (_, index) => `friend${index}@example.net`)
  house.accounts.add(...names)
  await house.store
    .account(rosterStore, 'idannaexampleorg')
    .import({ items: names.map((contact) => ({ contact, name: '' })) })
  const received: string[] = []
  for (const name of names) {
    const account = house.accounts.list.get(name)
    assert.ok(account !== undefined)
    const session = house.chat.bind(account, 'x', {
      id: name,
      wire: {
        send: (stanza) => received.push(String(stanza)) > 0,
        drained: async () => {},
        close: () => {},
      },
    })
    session.presence = '/>'
    session.set(wants, new Interest('x', new Set([TUNE])))
  }
  await publish(anna, TUNE, 'now', 'Help')
  await settled(anna)
  assert.equal(received.length, 500)
  const texts = new Set(received.map((text) => text.replace(/ to='[^']*'/, '')))
  assert.equal(texts.size, 1)
})

test('a client that lies of its capabilities is believed for itself alone', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const liar = await house.login(BERT, 'liar')
  await liar.roster()
  liar.send(presenceWanting([TUNE]))
  let question = await liar.next()
  while (question.name !== 'iq') question = await liar.next()
  const node = question.firstElement?.get('node') ?? ''
  liar.send(
    `<iq type='result' to='${question.get('from')}' id='${question.get('id')}'><query xmlns='${INFO}' node='${node}'><identity category='client' type='pc'/><feature var='urn:example:other+notify'/></query></iq>`,
  )
  await settled(liar)
  // The next client with the same hash is asked again.
  const honest = await arriveWanting(house, BERT, 'honest', [TUNE])
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  await publish(anna, 'urn:example:other', 'x', 'Other')
  assert.deepEqual(await told(honest), [`${ANNA} ${TUNE} now=Help`])
  assert.deepEqual(await told(liar), [`${ANNA} urn:example:other x=Other`])
})

test('a client that does not say what it is wants nothing, and the server does not wait for it for ever', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const silent = await house.login(BERT, 'silent')
  await silent.roster()
  silent.send(presenceWanting([TUNE]))
  await settled(silent)
  assert.ok(silent.clear().some(({ name }) => name === 'iq'))
  const other = await house.login(BERT, 'other')
  await other.roster()
  other.send(presenceWanting([TUNE]))
  await settled(other)
  assert.equal(
    other.clear().some(({ name }) => name === 'iq'),
    false,
  )
  house.clock.turn(30_001)
  await settled(other)
  assert.ok(
    other.clear().some(({ name }) => name === 'iq'),
    'then the next one is asked',
  )
})

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

test('the features of the generation before go with it, what clients want stays known', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE])
  const before = await house.reload()
  await before.scope.close()
  const anna = await house.arrive(ANNA, 'sea')
  bert.clear()
  await publish(anna, TUNE, 'now', 'Help')
  assert.deepEqual(await told(bert), [`${ANNA} ${TUNE} now=Help`])
})

test('a client that goes on after a restart of the server hears of what it wanted to hear of before', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const { stream, id } = await managed(house, BERT, 'hill', presenceWanting([TUNE]))
  const [, question = ''] = await stream.until(/<iq [^>]*id='([^']*)'[^>]*><query [^>]*disco#info/)
  const described = answerTo(el('iq', { from: BERT, id: question }, el('query', { xmlns: INFO, node: 'x' })), [TUNE])
  stream.write(described.toString('jabber:client'))
  const ping = `<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>`
  for (let round = 0; round < 3; round++) {
    stream.write(ping)
    await stream.until(/id='sync'/)
  }
  await house.restart()
  const back = await resume(house, BERT, id, 0)
  await back.until(/<resumed /)
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  await back.until(/<item id='now'><note [^>]*>Help</)
})
