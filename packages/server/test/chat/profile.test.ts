// What the server keeps and tells of people and of itself: last activity, cards, private XML, addresses, capabilities.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hashes, verification } from '../../src/chat/features/capabilities.ts'
import type { DiscoInfo } from '../../src/chat/core/contracts.ts'
import { FORMS, result } from '../../src/chat/core/forms.ts'
import { House } from './house.ts'

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

test('contacts learn when somebody was seen last, strangers do not (XEP-0012)', async () => {
  const house = await open()
  const ask = `<query xmlns='jabber:iq:last'/>`
  const anna = await house.arrive(ANNA, 'sea')
  for (const stranger of [BERT, 'nobody@example.org'])
    await assert.rejects(anna.request('get', ask, stranger), { condition: 'service-unavailable' })
  await house.befriend(ANNA, BERT)
  await assert.rejects(anna.request('get', ask, BERT), { condition: 'item-not-found' })
  const hill = await house.arrive(BERT, 'hill')
  const vale = await house.arrive(BERT, 'vale')
  await anna.news()
  assert.equal((await anna.request('get', ask, BERT)).firstElement?.get('seconds'), '0')
  hill.send(`<presence type='unavailable'><status>not the last</status></presence>`)
  vale.send(`<presence type='unavailable'><status>gone fishing</status></presence>`)
  await vale.sync()
  house.clock.turn(90_500)
  await house.crashAndStart()
  const again = await house.arrive(ANNA, 'sea')
  const last = (await again.request('get', ask, BERT)).firstElement
  assert.deepEqual([last?.get('seconds'), last?.text()], ['90', 'gone fishing'])
})

test('a client is asked for its idle time by those only who may see it', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  await house.arrive('cleo@example.net', 'city')
  await assert.rejects(anna.request('get', `<query xmlns='jabber:iq:last'/>`, 'cleo@example.net/city'), {
    condition: 'forbidden',
  })
})

test('the uptime is that of the server, not of its config', async () => {
  const house = await open()
  house.clock.turn(61_000)
  const before = await house.reload()
  await before.scope.close()
  const anna = await house.arrive(ANNA, 'sea')
  const last = await anna.request('get', `<query xmlns='jabber:iq:last'/>`, 'example.org')
  assert.equal(last.firstElement?.get('seconds'), '61')
})

test('cards: everybody reads, only the owner writes (XEP-0054)', async () => {
  const house = await open({ featureConfig: { vcard: { 'max-octets': 200 } } })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const ask = `<vCard xmlns='vcard-temp'/>`
  assert.equal((await anna.request('get', ask)).firstElement?.children.length, 0)
  for (const stranger of [ANNA, 'nobody@example.org'])
    await assert.rejects(bert.request('get', ask, stranger), { condition: 'service-unavailable' })
  await anna.request('set', `<vCard xmlns='vcard-temp'><FN>Anna &amp; Co</FN></vCard>`)
  assert.equal((await bert.request('get', ask, ANNA)).firstElement?.childText('FN'), 'Anna & Co')
  await assert.rejects(bert.request('set', `<vCard xmlns='vcard-temp'><FN>Fool</FN></vCard>`, ANNA), {
    condition: 'forbidden',
  })
  await assert.rejects(anna.request('set', `<vCard xmlns='vcard-temp'><FN>${'x'.repeat(300)}</FN></vCard>`), {
    condition: 'not-acceptable',
  })
  await anna.request('set', ask)
  await assert.rejects(bert.request('get', ask, ANNA), { condition: 'service-unavailable' })
})

test('cards for contacts only, where the administrator wants it so', async () => {
  const house = await open({ featureConfig: { vcard: { access: 'contacts' } } })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await anna.request('set', `<vCard xmlns='vcard-temp'><FN>Anna</FN></vCard>`)
  await assert.rejects(bert.request('get', `<vCard xmlns='vcard-temp'/>`, ANNA), { condition: 'service-unavailable' })
})

test('private storage keeps bookmarks, for their owner alone, within limits (XEP-0049)', async () => {
  const house = await open({ featureConfig: { 'private-storage': { 'max-entries': 2, 'max-octets': 300 } } })
  const anna = await house.arrive(ANNA, 'sea')
  const query = (content: string): string => `<query xmlns='jabber:iq:private'>${content}</query>`
  const storage = `<storage xmlns='storage:bookmarks'/>`
  const bookmarks = `<storage xmlns='storage:bookmarks'><conference jid='r@rooms' autojoin='1'><nick>Anna</nick></conference></storage>`
  const read = async (content: string) => (await anna.request('get', query(content))).firstElement?.firstElement
  assert.equal((await read(storage))?.children.length, 0)
  await anna.request('set', query(bookmarks))
  await house.crashAndStart()
  const again = await house.arrive(ANNA, 'sea')
  const kept = (await again.request('get', query(storage))).firstElement?.firstElement
  assert.equal(kept?.toString(), bookmarks)
  const bert = await house.arrive(BERT, 'hill')
  await assert.rejects(bert.request('get', query(storage), ANNA), { condition: 'service-unavailable' })
  for (const [content, condition] of [
    [`<a xmlns='jabber:iq:roster'/>`, 'not-acceptable'],
    [`<a xmlns='x'>${'x'.repeat(400)}</a>`, 'not-acceptable'],
    ['', 'bad-request'],
    [`<a xmlns='a:a'>1</a><b xmlns='b:b'>1</b><c xmlns='c:c'>1</c>`, 'resource-constraint'],
  ] as const)
    await assert.rejects(again.request('set', query(content)), { condition }, content)
  await again.request('set', query(storage + `<a xmlns='a:a'>1</a><b xmlns='b:b'>1</b>`))
})

test('the server tells whom to turn to (XEP-0157), and what else its administrator wants (XEP-0128)', async () => {
  const house = await open({
    featureConfig: {
      'contact-addresses': { abuse: ['mailto:abuse@example.org', `xmpp:${ANNA}`] },
      'server-info': { forms: { 'urn:example:house': { colour: 'red', rooms: ['one', 'two'] } } },
    },
  })
  const anna = await house.arrive(ANNA, 'sea')
  const query = (await anna.request('get', `<query xmlns='${INFO}'/>`, 'example.org')).firstElement
  const forms = query
    ?.childrenNamed('x', FORMS)
    .map((form) =>
      form.elements.map((field) => [field.get('var'), ...field.childrenNamed('value').map((value) => value.text())]),
    )
  assert.deepEqual(forms, [
    [
      ['FORM_TYPE', 'http://jabber.org/network/serverinfo'],
      ['abuse-addresses', 'mailto:abuse@example.org', `xmpp:${ANNA}`],
    ],
    [
      ['FORM_TYPE', 'urn:example:house'],
      ['colour', 'red'],
      ['rooms', 'one', 'two'],
    ],
  ])
})

test('each kind of address that the config names is told, in its field', async () => {
  const kinds = ['abuse', 'admin', 'feedback', 'sales', 'security', 'status', 'support'] as const
  const house = await open({
    featureConfig: {
      'contact-addresses': Object.fromEntries(kinds.map((kind) => [kind, [`mailto:${kind}@example.org`]])),
    },
  })
  const anna = await house.arrive(ANNA, 'sea')
  const query = (await anna.request('get', `<query xmlns='${INFO}'/>`, 'example.org')).firstElement
  const told = query?.child('x', FORMS)?.elements.map((field) => [field.get('var'), field.childText('value')])
  assert.deepEqual(
    told?.slice(1).toSorted(),
    kinds.map((kind) => [`${kind}-addresses`, `mailto:${kind}@example.org`]),
  )
})

test('the hashes of XEP-0390 §4.4.1 and of XEP-0115 §5.3 come out', () => {
  const simple: DiscoInfo = {
    identities: [{ category: 'client', name: 'BombusMod', type: 'mobile' }],
    features: [
      ...[
        'si',
        'bytestreams',
        'chatstates',
        'disco#info',
        'disco#items',
        'rosterx',
        'ibb',
        'si/profile/file-transfer',
      ].map((name) => `http://jabber.org/protocol/${name}`),
      ...['time', 'privacy', 'version', 'roster', 'last'].map((name) => `jabber:iq:${name}`),
      'urn:xmpp:ping',
      'urn:xmpp:time',
      'jabber:x:oob',
      'urn:xmpp:receipts',
    ],
  }
  assert.deepEqual(
    [...hashes(simple)],
    [
      ['sha-256', 'kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8='],
      ['sha3-256', '79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q='],
    ],
  )
  const exodus: DiscoInfo = {
    identities: [{ category: 'client', type: 'pc', name: 'Exodus 0.9.1' }],
    features: ['caps', 'disco#info', 'disco#items', 'muc'].map((name) => `http://jabber.org/protocol/${name}`),
  }
  assert.equal(verification(exodus), 'QgayPKawpkPSDYmwT/WM94uAlu0=')
  // With a form, the order of what is in it plays no part.
  const form = (values: readonly string[], names: readonly string[]) => ({
    ...exodus,
    forms: [
      result(
        { formType: 'urn:x' },
        names.map((name) => ({ name, type: 'text-multi' as const, values })),
      ),
    ],
  })
  const [one, other, different] = [form(['1', '2'], ['a', 'b']), form(['2', '1'], ['b', 'a']), form(['1'], ['a', 'b'])]
  for (const hash of [verification, (info: DiscoInfo) => hashes(info).get('sha-256')]) {
    assert.equal(hash(one), hash(other))
    assert.notEqual(hash(one), hash(different))
    assert.notEqual(hash(one), hash(exodus))
  }
})

test('both kinds of capabilities are in the stream features, and their nodes are described', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const offered = house.chat.streamFeatures({
    host: 'example.org',
    authenticated: true,
    secure: true,
    session: undefined,
  })
  const set = offered.find(({ name, xmlns }) => name === 'c' && xmlns === 'urn:xmpp:caps')
  for (const hash of set?.elements ?? []) {
    const node = `urn:xmpp:caps#${hash.get('algo')}.${hash.text()}`
    const query = await anna.request('get', `<query xmlns='${INFO}' node='${node}'/>`, 'example.org')
    assert.ok((query.firstElement?.elements.length ?? 0) > 5)
  }
  assert.equal(set?.elements.length, 2)
})
