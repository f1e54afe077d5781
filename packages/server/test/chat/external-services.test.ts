// Where a relay for calls and other services are (XEP-0215), and tickets for them.

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { createChatAdmin } from '../../src/chat/administration.ts'
import { House } from './house.ts'

const ANNA = 'anna@example.org'
const V2 = 'urn:xmpp:extdisco:2'
const SECRET = 'a secret of 16 letters'.replaceAll(' ', '-')
const relay = { host: 'turn.example.org', 'tls-port': 5349, secret: SECRET, ttl: '12h' }

async function open(settings: object): Promise<House> {
  return House.open({ featureConfig: { 'external-services': settings } })
}

test('clients are told of the relay, with a ticket that ends', async (t) => {
  const house = await open({
    relay,
    services: [{ type: 'ftp', host: 'files.example.org', username: 'guest', password: 'x' }],
  })
  t.after(() => house.close())
  const anna = await house.arrive(ANNA, 'sea')
  const info = await anna.request('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, 'example.org')
  assert.match(info.toString(), /urn:xmpp:extdisco:2/)
  const all = async (type = '') => {
    const answer = await anna.request('get', `<services xmlns='${V2}'${type}/>`, 'example.org')
    return answer.child('services', V2)?.childrenNamed('service') ?? []
  }
  const services = await all()
  assert.deepEqual(
    services.map((service) => ['type', 'host', 'port', 'transport'].map((name) => service.get(name) ?? '-').join(' ')),
    [
      'stun turn.example.org 3478 udp',
      'turn turn.example.org 3478 udp',
      'turn turn.example.org 3478 tcp',
      'turns turn.example.org 5349 tcp',
      'ftp files.example.org - -',
    ],
  )
  assert.equal(services[0]?.get('password'), undefined, 'STUN needs no ticket')
  const turn = services[1]
  const username = turn?.get('username') ?? ''
  const until = house.clock.now() + 12 * 3_600_000
  assert.match(username, new RegExp(`^${until / 1000}:`))
  assert.equal(turn?.get('password'), createHmac('sha1', SECRET).update(username).digest('base64'))
  assert.equal(turn?.get('expires'), new Date(until).toISOString())
  assert.equal(turn?.get('restricted'), 'true')
  assert.equal((await all(` type='turn'`)).length, 2)
  assert.equal((await all(` type='smtp'`)).length, 0)
})

test('a ticket for one service; errors for those that are not there', async (t) => {
  const house = await open({ relay })
  t.after(() => house.close())
  const anna = await house.arrive(ANNA, 'sea')
  const ask = async (service: string, xmlns = V2) => {
    const answer = await anna.request('get', `<credentials xmlns='${xmlns}'>${service}</credentials>`, 'example.org')
    return answer.child('credentials', xmlns)?.childrenNamed('service') ?? []
  }
  const found = await ask(`<service host='turn.example.org' type='turn' port='3478'/>`)
  assert.equal(found.length, 2)
  assert.notEqual(found[0]?.get('password'), undefined)
  assert.equal((await ask(`<service host='turn.example.org' type='turns'/>`, 'urn:xmpp:extdisco:1')).length, 1)
  await assert.rejects(ask(`<service host='turn.example.org'/>`), /bad-request/)
  await assert.rejects(ask(`<service host='other.example.org' type='turn'/>`), /item-not-found/)
  await assert.rejects(ask(`<service host='turn.example.org' type='turn' port='1'/>`), /item-not-found/)
})

test('without a secret in the config one is made, once; the configuration of coturn has it', async (t) => {
  const house = await open({ relay: { host: 'turn.example.org', ports: '50000-50100' } })
  t.after(() => house.close())
  const admin = () => createChatAdmin(house.store, () => house.generation.scope, house.root)
  const text = await admin().relayConfig('example.org')
  const [, secret = ''] = /^static-auth-secret=([0-9a-f]{64})$/m.exec(text) ?? []
  for (const line of ['listening-port=3478', 'min-port=50000', 'max-port=50100', 'realm=turn.example.org', 'no-tls'])
    assert.ok(text.split('\n').includes(line), line)
  await (await house.reload()).scope.close()
  assert.equal(await admin().relayConfig(), text)
  const anna = await house.arrive(ANNA, 'sea')
  const answer = await anna.request('get', `<services xmlns='${V2}' type='turn'/>`, 'example.org')
  const turn = answer.child('services', V2)?.child('service')
  const expected = createHmac('sha1', secret)
    .update(turn?.get('username') ?? '')
    .digest('base64')
  assert.equal(turn?.get('password'), expected)
})

test('the relay is told and configured as the config says: name, addresses, and without TCP', async (t) => {
  const house = await open({
    relay: { host: 'turn.example.org', realm: 'calls', 'external-address': '192.0.2.7', port: 3480, tcp: false },
  })
  t.after(() => house.close())
  const text = await createChatAdmin(house.store, () => house.generation.scope, house.root).relayConfig('example.org')
  for (const line of ['realm=calls', 'external-ip=192.0.2.7', 'listening-port=3480', 'no-tcp'])
    assert.ok(text.split('\n').includes(line), line)
  const anna = await house.arrive(ANNA, 'sea')
  const { firstElement } = await anna.request('get', `<services xmlns='${V2}'/>`, 'example.org')
  assert.deepEqual(
    firstElement?.elements.map(
      (service) => `${service.get('type')} ${service.get('port')} ${service.get('transport')}`,
    ),
    ['stun 3480 udp', 'turn 3480 udp'],
  )
})

test('where there is none, nothing is offered', async (t) => {
  const house = await House.open()
  t.after(() => house.close())
  const anna = await house.arrive(ANNA, 'sea')
  await assert.rejects(anna.request('get', `<services xmlns='${V2}'/>`, 'example.org'), /service-unavailable/)
  await assert.rejects(
    createChatAdmin(house.store, () => house.generation.scope, house.root).relayConfig(),
    /no relay is set/,
  )
})
