// What every service on a domain of its own has in common: it is found, it answers for itself, it hears what it could not say.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { el, type Element, NS } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../../src/chat/core/contracts.ts'
import { openServices, openService, serviceDomain, type ServiceDomain } from '../../src/chat/core/service.ts'
import { FEATURES, House, type HouseOptions, short } from './house.ts'

const ANNA = 'anna@example.org'
const WALL = 'wall.example.org'

const heard: Element[] = []
const walls: ServiceDomain[] = []

/** Keeps what is written on it. */
const wall = chatFeature({
  name: 'wall',
  summary: 'Keeps what is written on it.',
  config: v.strictObject({ domain: serviceDomain('wall.{domain}', 'where the walls are') }),
  attach: (_host, { domain }, scope) =>
    openServices(scope, domain, (place, own) => {
      const service = openService(own, {
        ...place,
        name: 'Walls',
        identities: [{ category: 'pubsub', type: 'service' }],
        message: ({ stanza }) => void heard.push(stanza),
        presence: ({ stanza }) => void heard.push(stanza),
        info: (iq, node) =>
          iq.to.local === 'north' && node === undefined
            ? { identities: [{ category: 'pubsub', type: 'leaf' }], features: ['urn:x'] }
            : undefined,
        items: (iq, node) =>
          iq.to.local === '' && node === undefined
            ? { items: [{ jid: `north@${place.domain}`, name: 'North' }], set: el('set', { xmlns: 'urn:rsm' }) }
            : undefined,
      })
      service.disco.feature('urn:x:walls')
      service.disco.node('old', {
        info: () => ({ identities: [], features: ['urn:x:old'] }),
        items: () => [{ jid: 'older.example' }],
      })
      service.iq.set('urn:x', 'paint', ['address'], (iq) => iq.result(el('painted', { xmlns: 'urn:x' }, iq.to.local)))
      walls.push(service)
      own.defer(() => void walls.splice(walls.indexOf(service), 1))
    }),
})

const open = async (options: HouseOptions = {}): Promise<House> => {
  heard.length = 0
  return House.open({ features: [...FEATURES, wall], ...options })
}

const values = (query: Element | undefined, name: string, attribute: string): (string | undefined)[] =>
  query?.childrenNamed(name).map((child) => child.get(attribute)) ?? []

const info = (node?: string): string => `<query xmlns='${NS.discoInfo}'${node === undefined ? '' : ` node='${node}'`}/>`
const items = (node?: string): string =>
  `<query xmlns='${NS.discoItems}'${node === undefined ? '' : ` node='${node}'`}/>`

test('a service is found at its own domain only, and tells what it is', async (t) => {
  const house = await open()
  t.after(() => house.close())
  const anna = await house.arrive(ANNA)
  const query = async (xml: string, to: string): Promise<Element | undefined> =>
    (await anna.request('get', xml, to)).firstElement
  assert.ok(values(await query(items(), 'example.org'), 'item', 'jid').includes(WALL))
  assert.ok(!values(await query(items(), 'example.org'), 'item', 'jid').includes('wall.example.net'))
  assert.ok(values(await query(items(), 'example.net'), 'item', 'jid').includes('wall.example.net'))

  const described = await query(info(), WALL)
  assert.deepEqual(values(described, 'identity', 'name'), ['Walls'])
  const features = values(described, 'feature', 'var')
  for (const feature of [NS.discoInfo, NS.discoItems, 'urn:x:walls', 'urn:xmpp:ping', 'urn:xmpp:time', NS.version])
    assert.ok(features.includes(feature), feature)
  assert.ok(!features.includes(NS.mam), 'what the host can do beyond is not said of the service')

  const listed = await query(items(), WALL)
  assert.deepEqual(values(listed, 'item', 'jid'), [`north@${WALL}`])
  assert.equal(listed?.child('set', 'urn:rsm') !== undefined, true)
  assert.deepEqual(values(await query(info(), `north@${WALL}`), 'feature', 'var'), ['urn:x'])
  assert.deepEqual(values(await query(info('old'), WALL), 'feature', 'var'), ['urn:x:old'])
  assert.deepEqual(values(await query(items('old'), WALL), 'item', 'jid'), ['older.example'])
  for (const [xml, to] of [
    [info('new'), WALL],
    [items('new'), WALL],
    [info(), `south@${WALL}`],
    [items(), `north@${WALL}`],
  ] as const)
    await assert.rejects(anna.request('get', xml, to), /item-not-found/)
})

test('requests to the domain, to an address and to a resource are told apart', async (t) => {
  const house = await open()
  t.after(() => house.close())
  const anna = await house.arrive(ANNA)
  const name = (answer: Element): string | undefined => answer.firstElement?.name
  assert.equal(short(await anna.request('get', `<ping xmlns='urn:xmpp:ping'/>`, WALL)), `iq result ${WALL}`)
  assert.equal(name(await anna.request('get', `<time xmlns='urn:xmpp:time'/>`, WALL)), 'time')
  assert.equal(name(await anna.request('get', `<query xmlns='${NS.version}'/>`, WALL)), 'query')
  assert.equal(name(await anna.request('get', `<query xmlns='jabber:iq:last'/>`, WALL)), 'query')
  const card = await anna.request('get', `<vCard xmlns='vcard-temp'/>`, WALL)
  assert.equal(card.firstElement?.childText('FN'), 'Walls')

  const painted = await anna.request('set', `<paint xmlns='urn:x'/>`, `north@${WALL}`)
  assert.equal(painted.childText('painted', 'urn:x'), 'north')
  for (const to of [WALL, `north@${WALL}/stone`])
    await assert.rejects(anna.request('set', `<paint xmlns='urn:x'/>`, to), /service-unavailable/)
  await assert.rejects(anna.request('get', `<ping xmlns='urn:xmpp:ping'/>`, `north@${WALL}`), /service-unavailable/)
})

test('what a service says arrives; what cannot be delivered comes back to it', async (t) => {
  const house = await open()
  t.after(() => house.close())
  const anna = await house.arrive(ANNA, 'sea')
  const service = walls.find(({ domain }) => domain === WALL)
  const say = (to: string): void =>
    service?.send(el('message', { from: `north@${WALL}`, to, type: 'groupchat' }, el('body', {}, 'wet paint')))
  say(`${ANNA}/sea`)
  assert.equal(short(await anna.next()), `message groupchat north@${WALL} 'wet paint'`)
  say(`${ANNA}/land`)
  say('someone@elsewhere.example')
  await anna.sync()
  assert.deepEqual(heard.map(short), [
    `message error ${ANNA}/land service-unavailable`,
    'message error someone@elsewhere.example remote-server-not-found',
  ])
})

test('a domain that is added has the service at once, and loses it when it goes', async (t) => {
  const house = await open({ real: true })
  t.after(() => house.close())
  await house.admin.addDomain('example.com')
  while (!house.chat.isServed('wall.example.com')) await new Promise(setImmediate)
  await house.admin.removeDomain('example.com')
  while (house.chat.isServed('wall.example.com')) await new Promise(setImmediate)
})

test('one service may answer for all domains, and is found at each; a name that is no domain is told', async (t) => {
  const house = await open({ featureConfig: { wall: { domain: 'walls.example' } } })
  t.after(() => house.close())
  assert.deepEqual(
    walls.map(({ domain }) => domain),
    ['walls.example'],
  )
  const anna = await house.arrive(ANNA)
  for (const domain of ['example.org', 'example.net']) {
    const answer = await anna.request('get', items(), domain)
    assert.ok(values(answer.firstElement, 'item', 'jid').includes('walls.example'))
  }
  for (const bad of ['wall@{domain}', 'wall/{domain}', '', 'wa ll.{domain}', 'Walls.{domain}'])
    assert.throws(() => v.parse(wall.config, { domain: bad }), /expected a domain/, bad)
})
