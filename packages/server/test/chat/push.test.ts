// Push notifications (XEP-0357) as an app server sees them. Here the app server is a client of another domain of ours.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type Element, NS, StanzaError } from '@aviso/xmpp'
import { createChatAdmin } from '../../src/chat/administration.ts'
import { pushStore } from '../../src/chat/features/push.store.ts'
import { House, type Peer, RawStream } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const APP = 'cleo@example.net/app'
const PUSH = 'urn:xmpp:push:0'
const PUBSUB = 'http://jabber.org/protocol/pubsub'
const say = (body: string, more = ''): string =>
  `<message type='chat' to='${ANNA}'><body>${body}</body>${more}</message>`
const enable = (node: string, more = ''): string =>
  `<enable xmlns='${PUSH}' jid='${APP}' node='${node}'>${more}</enable>`

/** What a notification says: node, and the fields of its summary. */
function told(iq: Element): Record<string, string> {
  const publish = iq.child('pubsub', PUBSUB)?.child('publish')
  const form = publish?.child('item')?.child('notification', PUSH)?.child('x', 'jabber:x:data')
  const fields = form?.childrenNamed('field').map((field) => [field.get('var') ?? '', field.childText('value') ?? ''])
  return { node: publish?.get('node') ?? '', ...Object.fromEntries(fields ?? []) }
}
const answer = (app: Peer, iq: Element, type = 'result', content = ''): void =>
  app.send(`<iq type='${type}' id='${iq.get('id')}' to='${iq.get('from')}'>${content}</iq>`)
const error = (type: string, condition: string): string =>
  `<error type='${type}'><${condition} xmlns='${NS.stanzaErrors}'/></error>`
const registered = async (house: House): Promise<readonly string[]> =>
  (await house.store.account(pushStore, 'idannaexampleorg').list()).map(({ node }) => node)

/** Anna's phone has registered and is gone. */
async function gone(house: House, ...nodes: readonly string[]): Promise<void> {
  const phone = await house.arrive(ANNA, 'phone')
  for (const node of nodes) await phone.request('set', enable(node))
  await phone.client.close()
}

test('a phone that is not connected is woken; one that is awake is not', async () => {
  const house = await open()
  const app = await house.arrive('cleo@example.net', 'app')
  const bert = await house.arrive(BERT, 'hill')
  const options = `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${PUBSUB}#publish-options</value></field><field var='secret'><value>s3</value></field></x>`
  const phone = await house.arrive(ANNA, 'phone')
  await phone.request('set', enable('n1', options))
  bert.send(say('she reads this'))
  await bert.sync()
  assert.deepEqual(await app.news(), [])
  await phone.client.close()

  bert.send(say('she does not'))
  const iq = await app.next()
  assert.equal(iq.get('from'), ANNA)
  assert.deepEqual(told(iq), { node: 'n1', FORM_TYPE: 'urn:xmpp:push:summary', 'message-count': '1' })
  const given = iq.child('pubsub', PUBSUB)?.child('publish-options')?.child('x', 'jabber:x:data')
  assert.equal(given?.childrenNamed('field')[1]?.childText('value'), 's3')
  // What comes before the answer is told in one more.
  bert.send(say('two'))
  bert.send(say('three'))
  bert.send(`<message type='chat' to='${ANNA}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`)
  await bert.sync()
  assert.deepEqual(await app.news(), [])
  answer(app, iq)
  assert.equal(told(await app.next())['message-count'], '2')

  // The computer is on, the phone is not.
  const house2 = await open()
  const app2 = await house2.arrive('cleo@example.net', 'app')
  const bert2 = await house2.arrive(BERT, 'hill')
  await gone(house2, 'n1')
  await house2.arrive(ANNA, 'computer')
  bert2.send(say('hello'))
  assert.equal(told(await app2.next()).node, 'n1')
})

test('a phone that sleeps, or lost its connection, is woken', async () => {
  const house = await open({ featureConfig: { push: { content: 'text' } } })
  const app = await house.arrive('cleo@example.net', 'app')
  const bert = await house.arrive(BERT, 'hill')
  const phone = new RawStream(await house.socket())
  await phone.login(ANNA, 'phone')
  phone.write(
    `<enable xmlns='${NS.streamManagement}' resume='true'/><iq type='set' id='e'>${enable('n')}</iq><presence/>`,
  )
  await phone.until(/<presence [^>]*to=/)
  phone.write(`<inactive xmlns='${NS.csi}'/><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`)
  await phone.until(/id='p'/)
  bert.send(say('sleeps'))
  const first = await app.next()
  assert.deepEqual(told(first), {
    node: 'n',
    FORM_TYPE: 'urn:xmpp:push:summary',
    'message-count': '1',
    'last-message-sender': BERT,
    'last-message-body': 'sleeps',
  })
  answer(app, first)
  phone.write(`<active xmlns='${NS.csi}'/><iq type='get' id='q'><ping xmlns='urn:xmpp:ping'/></iq>`)
  await phone.until(/id='q'/)
  // It went into a tunnel, and nobody has noticed yet.
  bert.send(say('into the tunnel'))
  await bert.sync()
  assert.deepEqual(await app.news(), [])
  phone.socket.resetAndDestroy()
  const second = await app.next()
  assert.match(told(second)['last-message-body'] ?? '', /sleeps|into the tunnel/)
  // It is gone, and more comes.
  answer(app, second)
  bert.send(say('away'))
  let last = second
  while (told(last)['last-message-body'] !== 'away') {
    last = await app.next()
    answer(app, last)
  }
  await app.sync()
  assert.deepEqual(await app.news(), [])
})

test('a registration ends when its owner, or the app server, says so', async () => {
  const house = await open()
  const app = await house.arrive('cleo@example.net', 'app')
  const bert = await house.arrive(BERT, 'hill')
  await gone(house, 'a', 'b')
  bert.send(say('x'))
  const [one, two] = [await app.next(), await app.next()]
  assert.deepEqual([told(one).node, told(two).node].toSorted(), ['a', 'b'])
  for (const iq of [one, two])
    answer(
      app,
      iq,
      'error',
      told(iq).node === 'a' ? error('cancel', 'item-not-found') : error('wait', 'resource-constraint'),
    )
  await app.sync()
  while ((await registered(house)).length > 1) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(await registered(house), ['b'])

  // What passes by itself is borne for some time.
  for (let n = 0; n < 9; n++) {
    bert.send(say('y'))
    answer(app, await app.next(), 'error', error('wait', 'resource-constraint'))
    await app.sync()
    await bert.sync()
  }
  while ((await registered(house)).length > 0) await new Promise((resolve) => setImmediate(resolve))

  const phone = await house.arrive(ANNA, 'phone')
  for (const node of ['c', 'd', 'e']) await phone.request('set', enable(node))
  await phone.request('set', `<disable xmlns='${PUSH}' jid='${APP}' node='d'/>`)
  assert.deepEqual(await registered(house), ['c', 'e'])
  await phone.request('set', `<disable xmlns='${PUSH}' jid='${APP}'/>`)
  assert.deepEqual(await registered(house), [])
  await assert.rejects(
    phone.request('set', `<enable xmlns='${PUSH}'/>`),
    (refusal) => refusal instanceof StanzaError && refusal.condition === 'jid-malformed',
  )
})

test("nobody else's answer counts, and none at all is a failure", async () => {
  const house = await open({ featureConfig: { push: { 'max-registrations': 2 } } })
  const app = await house.arrive('cleo@example.net', 'app')
  const bert = await house.arrive(BERT, 'hill')
  await gone(house, 'a', 'b', 'c')
  assert.deepEqual(await registered(house), ['b', 'c'], 'the oldest goes')
  bert.send(say('x'))
  const iq = await app.next()
  answer(bert, iq, 'error', error('cancel', 'item-not-found'))
  await bert.sync()
  assert.deepEqual(await registered(house), ['b', 'c'])
  house.clock.turn(60_000)
  bert.send(say('y'))
  await app.next()
  assert.equal((await app.next()).name, 'iq', 'told again after the answer did not come')
})

test('the administrator asks the app servers, and forgets a device', async () => {
  const house = await open()
  const app = await house.arrive('cleo@example.net', 'app')
  const phone = await house.arrive(ANNA, 'phone')
  for (const node of ['good', 'gone', 'busy']) await phone.request('set', enable(node))
  await phone.request('set', `<enable xmlns='${PUSH}' jid='cleo@example.net/nowhere' node='n'/>`)
  const admin = createChatAdmin(house.store, () => house.generation.scope, house.root)
  const asked = admin.testPushes(ANNA)
  const said = new Map([
    ['good', ['result', '']],
    ['gone', ['error', error('cancel', 'item-not-found')]],
    ['busy', ['error', error('wait', 'resource-constraint')]],
  ])
  for (let left = 3; left > 0; left--) {
    const iq = await app.next()
    assert.equal(told(iq)['message-count'], '1')
    const [type, content] = said.get(told(iq)['node'] ?? '') ?? []
    answer(app, iq, type, content)
  }
  const answers = await asked
  const outcomes = Object.fromEntries(answers.map(({ node, outcome }) => [node, outcome]))
  assert.deepEqual(outcomes, { good: 'published', gone: 'refused', busy: 'failed', n: 'refused' })
  assert.match(answers.find(({ node }) => node === 'gone')?.why ?? '', /item-not-found/)
  assert.equal((await admin.pushes(ANNA)).length, 4, 'a test changes nothing')

  assert.equal(await admin.removePush(ANNA, { jid: APP.replace('example.net', 'Example.NET'), node: 'gone' }), 1)
  await assert.rejects(admin.removePush(ANNA, { jid: APP, node: 'gone' }), /no such registration/)
  await assert.rejects(admin.pushes('nobody@example.org'), /no account/)
  await phone.client.close()
  const bert = await house.arrive(BERT, 'hill')
  bert.send(say('hello'))
  const woken = [told(await app.next())['node'], told(await app.next())['node']]
  assert.deepEqual(woken.toSorted(), ['busy', 'good'], 'the server knows of it at once')
})
