// Two devices of one account: message carbons (XEP-0280) and client state (XEP-0352).

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { el, type Element, NS, readElement } from '@aviso/xmpp'
import * as fc from 'fast-check'
import { isEligible } from '../../src/chat/features/carbons.ts'
import { importance } from '../../src/chat/features/importance.ts'
import { House, type Peer, short, WITHOUT_ARCHIVE } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const enable = (peer: Peer): Promise<Element> => peer.request('set', `<enable xmlns='${NS.carbons}'/>`)

/** What came, carbons unwrapped: `sent: message chat ...`. */
const carbonsOf = (stanzas: readonly Element[]): string[] =>
  stanzas.map((stanza) => {
    const copy = stanza.child('sent', NS.carbons) ?? stanza.child('received', NS.carbons)
    const inner = copy?.child('forwarded', NS.forward)?.child('message', NS.client)
    return inner === undefined ? short(stanza) : `${copy?.name}: ${short(inner)} to ${inner.get('to')}`
  })
const heard = async (peer: Peer): Promise<string[]> => {
  await peer.sync()
  return carbonsOf(peer.clear())
}

test('what one device says and hears, the other one gets a copy of', async () => {
  const house = await open()
  const sea = await house.arrive(ANNA, 'sea')
  const hut = await house.arrive(ANNA, 'hut')
  const bert = await house.arrive(BERT, 'hill')
  await enable(hut)
  await sea.news()
  sea.send(`<message type='chat' to='${BERT}/hill'><body>one</body></message>`)
  sea.send(`<message type='chat' to='${BERT}/hill'><body>two</body></message>`)
  await sea.sync()
  const copies = hut.clear()
  assert.deepEqual(carbonsOf(copies), [
    `sent: message chat ${ANNA}/sea 'one' to ${BERT}/hill`,
    `sent: message chat ${ANNA}/sea 'two' to ${BERT}/hill`,
  ])
  assert.deepEqual(
    [copies[0]?.get('from'), copies[0]?.get('to'), copies[0]?.get('type')],
    [ANNA, `${ANNA}/hut`, 'chat'],
  )
  assert.deepEqual(await heard(sea), [], 'the sender gets no copy')
  assert.equal((await heard(bert)).length, 2)

  bert.send(`<message type='chat' to='${ANNA}/sea'><body>three</body></message>`)
  await bert.sync()
  assert.deepEqual(await heard(hut), [`received: message chat ${BERT}/hill 'three' to ${ANNA}/sea`])
  assert.deepEqual(await heard(sea), [`message chat ${BERT}/hill 'three'`])
  // To the account: both get the message itself, nobody a copy.
  bert.send(`<message type='chat' to='${ANNA}'><body>four</body></message>`)
  await bert.sync()
  assert.deepEqual(await heard(hut), [`message chat ${BERT}/hill 'four'`])
  assert.deepEqual(await heard(sea), [`message chat ${BERT}/hill 'four'`])

  await hut.request('set', `<disable xmlns='${NS.carbons}'/>`)
  bert.send(`<message type='chat' to='${ANNA}/sea'><body>five</body></message>`)
  await bert.sync()
  assert.deepEqual(await heard(hut), [])
})

test('a message to oneself comes once to each of the other devices', async () => {
  const house = await open()
  const sea = await house.arrive(ANNA, 'sea')
  const hut = await house.arrive(ANNA, 'hut', '<presence><priority>-1</priority></presence>')
  await enable(hut)
  await enable(sea)
  sea.send(`<message type='chat' to='${ANNA}'><body>note</body></message>`)
  assert.deepEqual(await heard(sea), [`presence ${ANNA}/hut`, `message chat ${ANNA}/sea 'note'`])
  assert.deepEqual(await heard(hut), [`received: message chat ${ANNA}/sea 'note' to ${ANNA}`])
})

test('devices that want no messages of their own still get copies, and learn what did not arrive', async () => {
  const house = await open({ features: WITHOUT_ARCHIVE, featureConfig: { offline: { 'max-messages': 0 } } })
  const sea = await house.arrive(ANNA, 'sea')
  const hut = await house.arrive(ANNA, 'hut', '<presence><priority>-1</priority></presence>')
  const bert = await house.arrive(BERT, 'hill', '<presence><priority>-1</priority></presence>')
  await enable(hut)
  await enable(bert)
  await sea.news()
  sea.send(`<message type='chat' id='m1' to='${BERT}'><body>anybody?</body></message>`)
  assert.deepEqual(await heard(sea), [`message error ${BERT} service-unavailable`])
  assert.deepEqual(await heard(hut), [
    `sent: message chat ${ANNA}/sea 'anybody?' to ${BERT}`,
    `received: message error ${BERT} service-unavailable to ${ANNA}/sea`,
  ])
  assert.deepEqual(await heard(bert), [`received: message chat ${ANNA}/sea 'anybody?' to ${BERT}`])
})

test('which messages are copied (XEP-0280 §6.1)', () => {
  const room = `<x xmlns='http://jabber.org/protocol/muc#user'/>`
  const invite = `<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>`
  const direct = `<x xmlns='jabber:x:conference' jid='r@rooms'/>`
  const full = `to='${ANNA}/sea' from='r@rooms/Bert'`
  for (const [attributes, content, sent, received] of [
    [`type='chat'`, '', true, true],
    [`type='chat'`, `<private xmlns='${NS.carbons}'/>`, false, false],
    [`type='chat'`, `<no-copy xmlns='urn:xmpp:hints'/>`, false, false],
    [`type='chat'`, `<received xmlns='${NS.carbons}'/>`, false, false],
    ['', '<body>b</body>', true, true],
    [`type='normal'`, '<subject>s</subject>', false, false],
    ['', `<received xmlns='urn:xmpp:receipts' id='1'/>`, true, true],
    ['', `<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>`, true, true],
    [`type='headline'`, '<body>b</body>', false, false],
    [`type='groupchat'`, '<body>b</body>', false, false],
    [`type='groupchat'`, invite, false, false],
    [`type='chat' ${full}`, `<body>b</body>${room}`, true, false],
    [`type='normal' ${full}`, invite, true, true],
    [`type='normal' ${full}`, direct, true, true],
    ['', `<stanza-id xmlns='urn:xmpp:sid:0' by='${ANNA}' id='x'/>`, true, true],
    ['', `<stanza-id xmlns='urn:xmpp:sid:0' by='${BERT}' id='x'/>`, false, false],
    [`type='error' from='${BERT}'`, '<error/>', false, true],
    [`type='error' from='${BERT}/hill'`, '<error/>', false, false],
    [`type='error' from='${BERT}/hill'`, '<body>b</body><error/>', true, true],
  ] as const) {
    const xml = `<message ${attributes}>${content}</message>`
    const message = readElement(xml, { xmlns: NS.client, bindings: [] }, { depth: 9, attributes: 9, prefixes: 9 })
    assert.equal(isEligible(message, 'sent', ANNA), sent, `sent ${xml}`)
    assert.equal(isEligible(message, 'received', ANNA), received, `received ${xml}`)
  }
})

const inactive = `<inactive xmlns='urn:xmpp:csi:0'/>`
const active = `<active xmlns='urn:xmpp:csi:0'/>`

test('a client whose user is not looking is left alone until something matters', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await anna.news()
  // The ping that follows wakes nobody: only what is on its way to the client counts, and an answer always does.
  anna.send(inactive)
  await anna.sync()
  for (const show of ['away', 'xa', 'dnd']) bert.send(`<presence><show>${show}</show></presence>`)
  bert.send(
    `<message type='chat' to='${ANNA}/sea'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
  )
  bert.send(`<message type='chat' to='${ANNA}/sea'><paused xmlns='http://jabber.org/protocol/chatstates'/></message>`)
  bert.send(`<message type='headline' to='${ANNA}/sea'><body>news</body></message>`)
  await bert.sync()
  assert.deepEqual(anna.clear(), [], 'nothing was sent')
  bert.send(`<message type='chat' to='${ANNA}/sea'><body>look!</body></message>`)
  await bert.sync()
  const got = [await anna.next(), await anna.next(), await anna.next(), await anna.next()]
  assert.deepEqual(got.map(short), [
    `presence ${BERT}/hill`,
    `message chat ${BERT}/hill`,
    `message headline ${BERT}/hill 'news'`,
    `message chat ${BERT}/hill 'look!'`,
  ])
  assert.equal(got[0]?.childText('show'), 'dnd', 'the last of each contact')
  assert.equal(got[1]?.firstElement?.name, 'paused')

  bert.send('<presence><show>away</show></presence>')
  await bert.sync()
  assert.deepEqual(anna.clear(), [], 'still inactive')
  anna.send(active)
  assert.deepEqual(await anna.news(), [`presence ${BERT}/hill`], 'before the answer to what follows')
  bert.send('<presence/>')
  await bert.sync()
  assert.equal(short(await anna.next()), `presence ${BERT}/hill`)
})

test('what is held back is bounded, and goes with the session', async () => {
  const house = await open({ featureConfig: { csi: { queue: 3 } } })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.send(inactive)
  await anna.sync()
  for (let n = 0; n < 5; n++) bert.send(`<message type='headline' to='${ANNA}/sea'><body>${n}</body></message>`)
  await bert.sync()
  for (let n = 0; n < 3; n++) assert.equal((await anna.next()).childText('body'), String(n))
  assert.deepEqual(anna.clear(), [])
  anna.client.destroy()
  const again = await house.arrive(ANNA, 'sea')
  assert.deepEqual(await again.news(), [])
})

test('what is held back has a size', async () => {
  const house = await open({ featureConfig: { csi: { 'queue-octets': 2048 } } })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.send(inactive)
  await anna.sync()
  const news = `<message type='headline' to='${ANNA}/sea'><body>${'x'.repeat(800)}</body></message>`
  bert.send(news + news)
  await bert.sync()
  assert.deepEqual(anna.clear(), [])
  bert.send(news)
  await bert.sync()
  for (let count = 0; count < 3; count++) assert.equal((await anna.next()).childText('body')?.length, 800)
})

test('what the administrator holds important is sent at once', async () => {
  const house = await open({ featureConfig: { csi: { 'important-payloads': ['urn:example:alarm'] } } })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.send(inactive)
  await anna.sync()
  for (const payload of ['urn:example:weather', 'urn:example:alarm'])
    bert.send(`<message type='chat' to='${ANNA}/sea'><x xmlns='${payload}'/></message>`)
  await bert.sync()
  const came = [await anna.next(), await anna.next()]
  assert.deepEqual(
    came.map(({ firstElement }) => firstElement?.xmlns),
    ['urn:example:weather', 'urn:example:alarm'],
    'and what waited before it',
  )
})

test('a client that speaks gets what waits', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.send(inactive)
  await anna.sync()
  bert.send(`<message type='headline' to='${ANNA}/sea'><body>news</body></message>`)
  await bert.sync()
  anna.send(`<message type='chat' to='${BERT}'><body>hello</body></message>`)
  assert.equal((await anna.next()).childText('body'), 'news')
})

test('an unknown element ends the stream, as before', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(`<sleepy xmlns='urn:xmpp:csi:0'/>`)
  assert.match(String((await anna.ended()).error), /unsupported-stanza-type/)
})

test('presence as text is judged like presence as an element', () => {
  const none = new Set<string>()
  for (const type of [undefined, 'unavailable', 'subscribe', 'subscribed', 'unsubscribe', 'probe', 'error']) {
    for (const extra of [{}, { id: `a'b` }, { 'xml:lang': 'de' }]) {
      const stanza = el(
        'presence',
        { from: `o'brien&co@example.org/<x>`, to: ANNA, ...extra, type },
        el('show', {}, 'away'),
      )
      const text = importance(stanza.toString(NS.client), none)
      const element = importance(stanza, none)
      assert.equal(text.reason, element.reason, `${type}`)
      assert.equal(text.key === undefined, element.key === undefined, `${type}`)
    }
  }
})

test('importance takes whatever a client may be sent', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('chat', 'normal', 'headline', 'error', 'groupchat', 'odd'),
      fc.array(
        fc.tuple(
          fc.constantFrom('body', 'x', 'sent', 'received', 'paused'),
          fc.constantFrom(NS.client, NS.carbons, 'a:b', 'http://jabber.org/protocol/chatstates'),
        ),
      ),
      (type, children) => {
        const stanza = el('message', { type, from: BERT }, ...children.map(([name, xmlns]) => el(name, { xmlns })))
        const judged = importance(stanza, new Set())
        assert.deepEqual(importance(stanza.toString(NS.client), new Set()), judged)
        assert.ok(judged.reason === undefined || judged.key === undefined)
      },
    ),
  )
})
