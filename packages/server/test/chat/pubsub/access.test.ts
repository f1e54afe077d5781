// Who may see, subscribe to, and publish to what: each access model with each relation. Nothing is leaked.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StanzaError } from '@aviso/xmpp'
import * as fc from 'fast-check'
import {
  type AccessModel,
  type GivenField,
  CONFIG_FIELDS,
  ConfigProblem,
  DEFAULT_CONFIG,
  readConfig,
} from '../../../src/chat/pubsub/node-config.ts'
import { opener, type Peer } from '../house.ts'
import { arriveWanting, configure, INFO, ITEMS, itemsOf, OWNER, publish, publishing, PUBSUB, told } from './clients.ts'

const open = opener()

const ANNA = 'anna@example.org'
const NODE = 'urn:example:news'

type Relation = 'contact' | 'friend' | 'member' | 'publisher' | 'outcast' | 'stranger'
/** `friend` is a contact in the group of friends; `member`, `publisher` and `outcast` are strangers that the node knows. */
const RELATIONS: readonly Relation[] = ['contact', 'friend', 'member', 'publisher', 'outcast', 'stranger']
const MODELS: readonly AccessModel[] = ['open', 'presence', 'roster', 'authorize', 'whitelist']

/** How reading is answered: `items`, or the error and its detail. */
const READING: Readonly<Record<AccessModel, Readonly<Record<Relation, string>>>> = {
  open: {
    contact: 'items',
    friend: 'items',
    member: 'items',
    publisher: 'items',
    outcast: 'service-unavailable',
    stranger: 'items',
  },
  presence: {
    contact: 'items',
    friend: 'items',
    member: 'items',
    publisher: 'items',
    outcast: 'service-unavailable',
    stranger: 'service-unavailable',
  },
  roster: {
    contact: 'not-authorized not-in-roster-group',
    friend: 'items',
    member: 'items',
    publisher: 'items',
    outcast: 'service-unavailable',
    stranger: 'service-unavailable',
  },
  authorize: {
    contact: 'not-authorized not-subscribed',
    friend: 'not-authorized not-subscribed',
    member: 'items',
    publisher: 'items',
    outcast: 'forbidden',
    stranger: 'not-authorized not-subscribed',
  },
  whitelist: {
    contact: 'not-allowed closed-node',
    friend: 'not-allowed closed-node',
    member: 'items',
    publisher: 'items',
    outcast: 'service-unavailable',
    stranger: 'service-unavailable',
  },
}

const outcome = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'items',
    (error: unknown) => {
      assert.ok(error instanceof StanzaError, String(error))
      return [error.condition, error.app?.name].filter((word) => word !== undefined).join(' ')
    },
  )

const subscribing = (peer: Peer, jid = peer.bare): string =>
  `<pubsub xmlns='${PUBSUB}'><subscribe node='${NODE}' jid='${jid}'/></pubsub>`

for (const model of MODELS)
  test(`${model}: who reads, hears, finds and subscribes`, async () => {
    const house = await open()
    const addressOf = (relation: Relation): string => `${relation}@example.net`
    house.accounts.add(...RELATIONS.map(addressOf))
    await house.befriend(ANNA, addressOf('contact'))
    await house.befriend(ANNA, addressOf('friend'))
    const anna = await house.arrive(ANNA, 'sea')
    await anna.rosterSet(`<item jid='${addressOf('friend')}'><group>Friends</group></item>`)
    const options = { access_model: model, roster_groups_allowed: 'Friends', max_items: '10' }
    await publish(anna, NODE, 'first', 'secret', options)
    for (const affiliation of ['member', 'publisher', 'outcast'] as const)
      await anna.request(
        'set',
        `<pubsub xmlns='${OWNER}'><affiliations node='${NODE}'><affiliation jid='${addressOf(affiliation)}' affiliation='${affiliation}'/></affiliations></pubsub>`,
      )
    const peers = new Map<Relation, Peer>()
    for (const relation of RELATIONS)
      peers.set(relation, await arriveWanting(house, addressOf(relation), 'x', [NODE], peers.size > 0))
    for (const [relation, peer] of peers) {
      const expected = READING[model][relation]
      const reads = expected === 'items'
      const why = `${relation} of ${model}`
      // The last item came with the presence, to contacts alone.
      const isContact = relation === 'contact' || relation === 'friend'
      assert.equal((await told(peer)).length, reads && isContact ? 1 : 0, `${why}: at presence`)
      assert.equal(await outcome(itemsOf(peer, NODE, ANNA)), expected, why)
      // By its id, by disco, and by a node that is not there: no more is told.
      const byId = `<pubsub xmlns='${PUBSUB}'><items node='${NODE}'><item id='first'/></items></pubsub>`
      assert.equal(await outcome(peer.request('get', byId, ANNA)), expected, why)
      assert.equal(await outcome(peer.request('get', `<query xmlns='${ITEMS}' node='${NODE}'/>`, ANNA)), expected, why)
      const found = await outcome(peer.request('get', `<query xmlns='${INFO}' node='${NODE}'/>`, ANNA))
      assert.equal(found, model === 'authorize' && relation !== 'outcast' ? 'items' : expected, `${why}: found`)
      const nowhere = await outcome(itemsOf(peer, 'urn:example:none', ANNA))
      assert.equal(nowhere, isContact ? 'item-not-found' : 'service-unavailable', why)
      if (expected === 'service-unavailable') {
        // What cannot be seen is like what is not there, however it is asked.
        for (const request of [
          `<pubsub xmlns='${PUBSUB}'><unsubscribe node='${NODE}' jid='${peer.bare}'/></pubsub>`,
          `<pubsub xmlns='${PUBSUB}'><retract node='${NODE}'><item id='first'/></retract></pubsub>`,
          `<pubsub xmlns='${OWNER}'><delete node='${NODE}'/></pubsub>`,
          publishing(NODE, [['x', 'x']]),
          subscribing(peer),
        ]) {
          const answer = await outcome(peer.request('set', request, ANNA))
          assert.equal(answer, 'service-unavailable', `${why}: ${request}`)
          const other = await outcome(peer.request('set', request.replaceAll(NODE, 'urn:example:none'), ANNA))
          assert.equal(answer, other, `${why}: ${request}`)
        }
      }
      const list = await outcome(peer.request('get', `<query xmlns='${ITEMS}'/>`, ANNA))
      assert.equal(list, isContact ? 'items' : 'service-unavailable', why)
      const publishes = await outcome(publish(peer, NODE, relation, 'mine', undefined, ANNA))
      if (relation === 'publisher') assert.equal(publishes, 'items')
      else assert.equal(publishes, expected === 'service-unavailable' ? expected : 'forbidden', why)
    }
    // Who else the node knows is its owner's to see.
    for (const [relation, peer] of peers)
      for (const request of [
        `<pubsub xmlns='${PUBSUB}'><subscriptions/></pubsub>`,
        `<pubsub xmlns='${PUBSUB}'><affiliations/></pubsub>`,
        `<pubsub xmlns='${OWNER}'><subscriptions node='${NODE}'/></pubsub>`,
        `<pubsub xmlns='${OWNER}'><affiliations node='${NODE}'/></pubsub>`,
        `<pubsub xmlns='${OWNER}'><configure node='${NODE}'/></pubsub>`,
        `<pubsub xmlns='${PUBSUB}'><options node='${NODE}' jid='${addressOf('member')}'/></pubsub>`,
      ]) {
        const answer = await peer.request('get', request, ANNA).catch((error: unknown) => error)
        const others = RELATIONS.filter((other) => other !== relation).map(addressOf)
        assert.ok(!others.some((other) => String(answer).includes(other)), `${relation} of ${model}: ${String(answer)}`)
        if (READING[model][relation] !== 'service-unavailable') continue
        const nowhere = request.replaceAll(NODE, 'urn:example:none')
        const other = await outcome(peer.request('get', nowhere, ANNA))
        assert.equal(await outcome(peer.request('get', request, ANNA)), other, `${relation} of ${model}: ${request}`)
      }
    for (const peer of peers.values()) await told(peer)
    await publish(anna, NODE, 'second', 'secret too')
    for (const [relation, peer] of peers) {
      const hears = READING[model][relation] === 'items' && (relation === 'contact' || relation === 'friend')
      assert.equal((await told(peer)).length, hears ? 1 : 0, `${relation} of ${model}: a notification`)
    }
    // Who subscribes hears of it without being a contact.
    for (const [relation, peer] of peers) {
      const expected = READING[model][relation]
      const asked = await outcome(peer.request('set', subscribing(peer), ANNA))
      const mayAsk = model === 'authorize' && !['member', 'publisher', 'outcast'].includes(relation)
      assert.equal(asked, mayAsk ? 'items' : expected, `${relation} of ${model}: subscribing`)
      await told(peer)
    }
    await publish(anna, NODE, 'third', 'secret as well')
    for (const [relation, peer] of peers) {
      const expected = READING[model][relation] === 'items' ? 1 : 0
      assert.equal((await told(peer)).length, expected, `${relation} of ${model}: a subscription`)
    }
    // Narrowed: from then on nobody hears, who subscribed before included.
    await configure(anna, NODE, { access_model: 'whitelist' })
    await publish(anna, NODE, 'fourth', 'most secret')
    for (const [relation, peer] of peers) {
      const hears = relation === 'member' || relation === 'publisher'
      assert.equal((await told(peer)).length, hears ? 1 : 0, `${relation}, once it is closed`)
      if (!hears) assert.notEqual(await outcome(itemsOf(peer, NODE, ANNA)), 'items')
    }
  })

test('a request for a subscription is shown to the owner, who says yes or no', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive('bert@example.org', 'hill')
  const cleo = await house.arrive('cleo@example.net', 'city')
  await publish(anna, NODE, 'first', 'news', { access_model: 'authorize' })
  const ask = async (peer: Peer): Promise<string | undefined> => {
    const answer = await peer.request('set', subscribing(peer), ANNA)
    return answer.child('pubsub', PUBSUB)?.child('subscription')?.get('subscription')
  }
  assert.equal(await ask(bert), 'pending')
  assert.equal(await outcome(bert.request('set', subscribing(bert), ANNA)), 'not-authorized pending-subscription')
  assert.equal(await ask(cleo), 'pending')
  const forms = [await anna.next(), await anna.next()].map((message) => message.child('x', 'jabber:x:data'))
  assert.equal(await outcome(itemsOf(bert, NODE, ANNA)), 'not-authorized not-subscribed')
  const answers = ['1', '0']
  for (const [index, form] of forms.entries()) {
    const fields = form?.childrenNamed('field').map((field) => {
      const value = field.get('var') === 'pubsub#allow' ? answers[index] : field.childText('value')
      return `<field var='${field.get('var')}'><value>${value}</value></field>`
    })
    anna.send(
      `<message to='${ANNA}' id='${index}'><x xmlns='jabber:x:data' type='submit'>${fields?.join('')}</x></message>`,
    )
  }
  await anna.sync()
  const states = await Promise.all([bert, cleo].map(async (peer) => (await peer.next()).firstElement?.firstElement))
  assert.deepEqual(
    states.map((state) => [state?.get('node'), state?.get('subscription')]),
    [
      [NODE, 'subscribed'],
      [NODE, 'none'],
    ],
  )
  assert.equal(await outcome(itemsOf(bert, NODE, ANNA)), 'items')
  assert.equal(await outcome(itemsOf(cleo, NODE, ANNA)), 'not-authorized not-subscribed')
  await publish(anna, NODE, 'second', 'news')
  assert.equal((await told(bert)).length, 1)
  assert.deepEqual(await told(cleo), [])
  // Nobody else's word counts.
  const forged = `<message to='${ANNA}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${PUBSUB}#subscribe_authorization</value></field><field var='pubsub#node'><value>${NODE}</value></field><field var='pubsub#subscriber_jid'><value>cleo@example.net</value></field><field var='pubsub#allow'><value>1</value></field></x></message>`
  assert.equal(await ask(cleo), 'pending')
  cleo.send(forged)
  await cleo.sync()
  assert.equal(await outcome(itemsOf(cleo, NODE, ANNA)), 'not-authorized not-subscribed')
})

test('an access model that is closed while others read, subscribe and publish lets nobody through afterwards', async () => {
  const house = await open()
  await house.befriend(ANNA, 'bert@example.org')
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await arriveWanting(house, 'bert@example.org', 'hill', [NODE])
  for (let round = 0; round < 20; round++) {
    await publish(anna, NODE, 'old', `old ${round}`)
    await configure(anna, NODE, { access_model: 'open' })
    await told(bert)
    let closed = false
    const closing = configure(anna, NODE, { access_model: 'whitelist' }).then(() => (closed = true))
    const secret = publish(anna, NODE, 'old', `secret ${round}`)
    const reading: Promise<void>[] = []
    for (let each = 0; each < 5; each++)
      reading.push(
        itemsOf(bert, NODE, ANNA).then(
          (items) => assert.deepEqual(items, [`old=old ${round}`]),
          (error: unknown) => assert.ok(error instanceof StanzaError && error.condition === 'not-allowed'),
        ),
      )
    // Conditions and content are one change: nothing is published to what is open by mistake.
    const guarded = outcome(publish(anna, NODE, 'old', `guarded ${round}`, { access_model: 'whitelist' }))
    await Promise.all([closing, secret, ...reading])
    assert.equal(closed, true)
    assert.equal(await guarded, 'items')
    const heard = await told(bert)
    assert.equal(
      heard.some((line) => line.includes('guarded') || line.includes('secret')),
      false,
      heard.join(),
    )
  }
})

test('forms: only what is known, once, and as it may be', () => {
  const limits = { maxItems: 100, maxPayload: 1000 }
  const fields = CONFIG_FIELDS.map(({ name, write }): GivenField => [name, write(DEFAULT_CONFIG)])
  assert.deepEqual(
    {
      ...DEFAULT_CONFIG,
      ...readConfig(
        fields.filter(([, values]) => values.length > 0),
        limits,
      ),
    },
    DEFAULT_CONFIG,
  )
  for (const bad of [
    [['pubsub#access_model', ['open', 'whitelist']]],
    [
      ['pubsub#access_model', ['open']],
      ['pubsub#access_model', ['open']],
    ],
    [['pubsub#persist_items', ['yes']]],
    [['pubsub#persist_items', []]],
    [['pubsub#max_items', ['-1']]],
    [['pubsub#max_items', ['1e3']]],
    [['pubsub#max_items', ['101']]],
    [['pubsub#max_payload_size', ['1001']]],
    [['pubsub#presence_based_delivery', ['1']]],
    [['pubsub#__proto__', ['1']]],
    [['title', ['1']]],
    [['pubsub#title', ['x'.repeat(1001)]]],
  ] as readonly (readonly GivenField[])[])
    assert.throws(() => readConfig(bad, limits), ConfigProblem, JSON.stringify(bad).slice(0, 80))
  const name = fc.oneof(fc.constantFrom(...CONFIG_FIELDS.map((field) => field.name)), fc.string())
  const value = fc.oneof(fc.constantFrom('0', '1', 'true', 'max', 'open', 'never', 'owner', ''), fc.string())
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.array(value, { maxLength: 3 })), { maxLength: 5 }), (given) => {
      try {
        const config = { ...DEFAULT_CONFIG, ...readConfig(given, limits) }
        // What is taken is written as it can be read again.
        const again = CONFIG_FIELDS.map((field): GivenField => [field.name, field.write(config)])
        assert.deepEqual(
          {
            ...config,
            ...readConfig(
              again.filter(([, values]) => values.length > 0),
              limits,
            ),
          },
          config,
        )
      } catch (error) {
        assert.ok(error instanceof ConfigProblem, String(error))
      }
    }),
  )
})
