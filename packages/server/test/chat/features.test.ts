// What the small features answer.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, test } from 'node:test'
import { el } from '@aviso/xmpp'
import { FEATURES, House, RawStream } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const INFO = 'http://jabber.org/protocol/disco#info'
const ITEMS = 'http://jabber.org/protocol/disco#items'

test('the server says what it is and what it can do (XEP-0030)', async () => {
  const house = await open({
    featureConfig: { disco: { name: 'Our house', items: [{ jid: 'rooms.example.org', name: 'Rooms' }] } },
  })
  const anna = await house.arrive(ANNA, 'sea')
  const query = (await anna.request('get', `<query xmlns='${INFO}'/>`, 'example.org')).child('query', INFO)
  const identity = query?.child('identity')
  assert.deepEqual(
    [identity?.get('category'), identity?.get('type'), identity?.get('name')],
    ['server', 'im', 'Our house'],
  )
  const features = query?.childrenNamed('feature').map((feature) => feature.get('var'))
  for (const feature of [INFO, ITEMS, 'urn:xmpp:ping', 'jabber:iq:version', 'urn:xmpp:time', 'msgoffline'])
    assert.ok(features?.includes(feature), feature)
  assert.equal(new Set(features).size, features?.length)
  const items = (await anna.request('get', `<query xmlns='${ITEMS}'/>`, 'example.org')).child('query', ITEMS)
  assert.equal(items?.child('item')?.get('jid'), 'rooms.example.org')
  await assert.rejects(anna.request('get', `<query xmlns='${INFO}' node='secret'/>`, 'example.org'), {
    condition: 'item-not-found',
  })
})

test('what is offered to streams is remembered until features come or go', async () => {
  const house = await open()
  const offered = async (): Promise<string> => {
    const stream = new RawStream(await house.socket())
    stream.open()
    return (await stream.until(/<stream:features>.*<\/stream:features>/))[0]
  }
  const caps = (features: string): string | undefined => /ver='([^']*)'/.exec(features)?.[1]
  const before = await offered()
  assert.match(before, /<mechanism>PLAIN<\/mechanism>/)
  assert.equal(await offered(), before)

  const scope = house.root.child('late')
  const host = house.chat.host(scope)
  host.streamFeature(({ authenticated }) => (authenticated ? undefined : el('late', { xmlns: 'urn:x' })))
  assert.match(await offered(), /<late xmlns='urn:x'\/>/)
  assert.equal(caps(await offered()), caps(before))
  host.disco.feature('urn:x')
  assert.notEqual(caps(await offered()), caps(before))
  host.inline.bound('urn:x:inline', 'urn:x', 'inline', () => undefined)
  assert.match(await offered(), /<feature var='urn:x:inline'\/>/)

  await scope.close()
  assert.equal(await offered(), before)
})

test('the hash in the stream features is that of the description (XEP-0115)', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const [caps] = house.chat
    .streamFeatures({ host: 'example.org', authenticated: false, secure: true, session: undefined })
    .filter((feature) => feature.xmlns === 'http://jabber.org/protocol/caps')
  const node = `${caps?.get('node')}#${caps?.get('ver')}`
  const query = (await anna.request('get', `<query xmlns='${INFO}' node='${node}'/>`, 'example.org')).child(
    'query',
    INFO,
  )
  const text = [
    ...(query?.childrenNamed('identity') ?? [])
      .map((identity) => `${identity.get('category')}/${identity.get('type')}//${identity.get('name')}<`)
      .sort(),
    ...(query?.childrenNamed('feature') ?? []).map((feature) => `${feature.get('var')}<`).sort(),
  ].join('')
  assert.equal(caps?.get('ver'), createHash('sha1').update(text).digest('base64'))
})

test('an account describes itself to friends only, and strangers cannot tell whether it is there', async () => {
  const house = await open()
  const ask = `<query xmlns='${INFO}'/>`
  const anna = await house.arrive(ANNA, 'sea')
  const own = (await anna.request('get', ask, ANNA)).child('query', INFO)
  assert.equal(own?.child('identity')?.get('type'), 'registered')
  for (const stranger of [BERT, 'nobody@example.org'])
    await assert.rejects(anna.request('get', ask, stranger), { condition: 'service-unavailable' })
  await house.befriend(ANNA, BERT)
  assert.ok((await anna.request('get', ask, BERT)).child('query', INFO), 'a friend who is offline')
  await house.arrive(BERT, 'hill')
  assert.ok((await anna.request('get', ask, BERT)).child('query', INFO), 'a friend who is online')
})

test('ping, version, time, session', async () => {
  const house = await open({ featureConfig: { version: { 'show-version': false } } })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  for (const to of ['example.org', ANNA, BERT]) await anna.request('get', `<ping xmlns='urn:xmpp:ping'/>`, to)
  const version = (await anna.request('get', `<query xmlns='jabber:iq:version'/>`, 'example.org')).firstElement
  assert.deepEqual([version?.childText('name'), version?.childText('version')], ['Aviso', 'hidden'])
  assert.deepEqual(
    version?.elements.map((element) => element.name),
    ['name', 'version'],
    'nothing of the system',
  )
  const time = (await anna.request('get', `<time xmlns='urn:xmpp:time'/>`, 'example.org')).firstElement
  assert.deepEqual([time?.childText('utc'), time?.childText('tzo')], ['2026-01-01T00:00:00.000Z', 'Z'])
  await anna.request('set', `<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>`)

  // A request to a client goes to that client, and its answer comes back.
  const answer = anna.request('get', `<query xmlns='jabber:iq:version'/>`, `${BERT}/hill`)
  const asked = await bert.next()
  assert.equal(asked.get('from'), `${ANNA}/sea`)
  bert.send(
    `<iq type='result' id='${asked.get('id')}' to='${ANNA}/sea'><query xmlns='jabber:iq:version'><name>toy</name></query></iq>`,
  )
  assert.equal((await answer).firstElement?.childText('name'), 'toy')
})

test('a feature that is not in the config is not there', async () => {
  const house = await open({ features: FEATURES.filter(({ name }) => name !== 'time') })
  const anna = await house.arrive(ANNA, 'sea')
  await assert.rejects(anna.request('get', `<time xmlns='urn:xmpp:time'/>`, 'example.org'), {
    condition: 'service-unavailable',
  })
})
