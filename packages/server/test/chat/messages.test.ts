// RFC 6121 §8.5: who gets which message; XEP-0160: what becomes of those that nobody gets.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { offlineStore } from '../../src/chat/features/offline.store.ts'
import { chatFeature } from '../../src/chat/core/contracts.ts'
import { StoreError } from '../../src/store/contracts.ts'
import { FEATURES, House, type Peer, short, WITHOUT_ARCHIVE } from './house.ts'
import * as v from 'valibot'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'

const message = (to: string, body: string, type?: string): string =>
  `<message to='${to}' id='${body}'${type === undefined ? '' : ` type='${type}'`}><body>${body}</body></message>`

test('a message goes on as it came, but for the sender’s true address', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.send(
    `<message to='${BERT}/hill' from='${ANNA}' type='chat' id='1' xml:lang='de'><body>&lt;grüß dich&gt; 👋</body><x xmlns='urn:x'><y a="1'2"/></x></message>`,
  )
  const got = await bert.next()
  assert.equal(got.get('from'), `${ANNA}/sea`)
  assert.equal(got.get('to'), `${BERT}/hill`)
  assert.equal(got.get('id'), '1')
  assert.equal(got.get('xml:lang'), 'de')
  assert.equal(got.childText('body'), '<grüß dich> 👋')
  assert.equal(got.child('x', 'urn:x')?.child('y')?.get('a'), "1'2")
  anna.send(`<message to='Bert@EXAMPLE.org/hill'><body>2</body></message>`)
  const second = await bert.next()
  assert.equal(second.get('to'), `${BERT}/hill`, 'addresses are prepared')
  assert.equal(second.get('xml:lang'), 'en', 'the language of the stream (RFC 6120 §8.1.5)')
})

test('table 1 of RFC 6121 §8.5.4, with an account that is online', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const low = await house.arrive(BERT, 'low', '<presence><priority>1</priority></presence>')
  const high = await house.arrive(BERT, 'high', '<presence><priority>7</priority></presence>')
  const shy = await house.arrive(BERT, 'shy', '<presence><priority>-1</priority></presence>')
  const silent = await house.login(BERT, 'silent')
  const everybody = [low, high, shy, silent]
  for (const peer of everybody) await peer.news()

  const whoGets = async (to: string, type?: string): Promise<string> => {
    anna.send(message(to, 'b', type))
    const told = (await anna.news()).map((line) =>
      line.replace(/^message error \S+ 'b' |^message error \S+ /, 'error '),
    )
    const reached: string[] = []
    for (const peer of everybody)
      if ((await peer.news()).some((line) => line.includes("'b'"))) reached.push(peer.client.jid.resource)
    return [...reached, ...told].join(' ')
  }

  const table: readonly (readonly [to: string, type: string | undefined, expected: string])[] = [
    [BERT, undefined, 'high'],
    [BERT, 'normal', 'high'],
    [BERT, 'chat', 'high'],
    [BERT, 'unheard-of', 'high'],
    [BERT, 'headline', 'low high'],
    [BERT, 'groupchat', 'error service-unavailable'],
    [BERT, 'error', ''],
    [`${BERT}/shy`, 'chat', 'shy'],
    [`${BERT}/shy`, 'headline', 'shy'],
    [`${BERT}/silent`, 'normal', 'silent'],
    [`${BERT}/low`, 'groupchat', 'low'],
    [`${BERT}/low`, 'error', 'low'],
    [`${BERT}/gone`, 'chat', 'high'],
    [`${BERT}/gone`, 'normal', 'error service-unavailable'],
    [`${BERT}/gone`, 'groupchat', 'error service-unavailable'],
    [`${BERT}/gone`, 'headline', ''],
    [`${BERT}/gone`, 'error', ''],
    ['nobody@example.org', 'chat', 'error service-unavailable'],
    ['nobody@example.org', 'normal', 'error service-unavailable'],
    ['nobody@example.org', 'groupchat', 'error service-unavailable'],
    ['nobody@example.org', 'headline', ''],
    ['nobody@example.org/x', 'normal', 'error service-unavailable'],
    ['nobody@example.org/x', 'error', ''],
    ['example.org', 'chat', 'error service-unavailable'],
    ['example.org', 'error', ''],
    ['bert@elsewhere.test', 'chat', 'error remote-server-not-found'],
    ['bert@elsewhere.test', 'error', ''],
    ['bert@@x', 'chat', 'error jid-malformed'],
  ]
  for (const [to, type, expected] of table) assert.equal(await whoGets(to, type), expected, `${type} to ${to}`)

  // Two equals: both get it.
  low.send('<presence><priority>7</priority></presence>')
  await low.sync()
  assert.equal(await whoGets(BERT, 'chat'), 'low high')
  // Only the shy one is left.
  low.send(`<presence type='unavailable'/>`)
  high.send(`<presence type='unavailable'/>`)
  await low.sync()
  await high.sync()
  assert.equal(await whoGets(BERT, 'chat'), '')
  assert.equal(await whoGets(BERT, 'headline'), '')
  assert.equal(await house.store.account(offlineStore, 'idbertexampleorg').count(), 1)
})

test('messages to oneself, with and without an address, reach the other client too', async () => {
  const house = await open()
  const sea = await house.arrive(ANNA, 'sea')
  const hut = await house.arrive(ANNA, 'hut')
  await sea.news()
  sea.send(`<message type='chat'><body>note</body></message>`)
  assert.equal(short(await hut.next()), `message chat ${ANNA}/sea 'note'`)
})

test('messages to somebody who is away survive a restart and come once, stamped', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const sent = new Date(house.clock.now()).toISOString()
  for (const body of ['one', 'two']) anna.send(message(BERT, body, 'chat'))
  anna.send(message(BERT, 'three'))
  anna.send(message(`${BERT}/gone`, 'four', 'chat'))
  assert.deepEqual(await anna.news(), [], 'when the server has answered the ping, all were durable')
  house.clock.turn(60_000)
  await house.crashAndStart()

  const shy = await house.login(BERT, 'shy')
  shy.send('<presence><priority>-1</priority></presence>')
  assert.deepEqual(await shy.news(), [`presence ${BERT}/shy`], 'a negative priority wants no messages')

  const bert = await house.login(BERT, 'hill')
  bert.send('<presence/>')
  const stanzas = []
  while (stanzas.length < 4) {
    const stanza = await bert.next()
    if (stanza.name === 'message') stanzas.push(stanza)
  }
  assert.deepEqual(
    stanzas.map((stanza) => [stanza.childText('body'), stanza.get('from'), stanza.get('type')]),
    [
      ['one', `${ANNA}/sea`, 'chat'],
      ['two', `${ANNA}/sea`, 'chat'],
      ['three', `${ANNA}/sea`, undefined],
      ['four', `${ANNA}/sea`, 'chat'],
    ],
  )
  const delay = stanzas[0]?.child('delay', 'urn:xmpp:delay')
  assert.equal(delay?.get('stamp'), sent)
  assert.equal(delay?.get('from'), 'example.org')

  await emptied(house)
  const later = await house.login(BERT, 'later')
  later.send('<presence/>')
  assert.ok((await later.news()).every((line) => line.startsWith('presence')))
})

/** Resolves when nothing waits for Bert any more: what was delivered is forgotten a moment later. */
async function emptied(house: House): Promise<void> {
  while ((await house.store.account(offlineStore, 'idbertexampleorg').count()) > 0)
    await new Promise((resolve) => setImmediate(resolve))
}

test('a hundred and more waiting messages come in their order, in pages', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  for (let n = 0; n < 250; n++) anna.send(message(BERT, `m${n}`, 'chat'))
  await anna.sync()
  const bert = await house.login(BERT, 'hill')
  bert.send('<presence/>')
  await bert.next()
  for (let n = 0; n < 250; n++) assert.equal((await bert.next()).childText('body'), `m${n}`)
  await emptied(house)
})

test('what is kept for later, and what is not worth it', async () => {
  const house = await open({ features: WITHOUT_ARCHIVE, featureConfig: { offline: { 'max-messages': 6 } } })
  const anna = await house.arrive(ANNA, 'sea')
  const kept = async (xml: string): Promise<string> => {
    const store = house.store.account(offlineStore, 'idbertexampleorg')
    const before = await store.count()
    anna.send(xml)
    const told = await anna.news()
    return (await store.count()) > before ? 'kept' : (told[0] ?? 'dropped')
  }
  const chat = (payload: string, type = 'chat'): string => `<message to='${BERT}' type='${type}'>${payload}</message>`
  assert.equal(await kept(chat('<body>x</body>')), 'kept')
  assert.equal(await kept(chat('<body>x</body>', 'normal')), 'kept')
  assert.equal(await kept(chat(`<composing xmlns='http://jabber.org/protocol/chatstates'/>`)), 'dropped')
  assert.equal(await kept(chat(`<body>x</body><active xmlns='http://jabber.org/protocol/chatstates'/>`)), 'kept')
  assert.equal(await kept(chat(`<body>x</body><no-store xmlns='urn:xmpp:hints'/>`)), 'dropped')
  assert.equal(await kept(chat(`<y xmlns='urn:y'/><store xmlns='urn:xmpp:hints'/>`)), 'kept')
  assert.equal(await kept(chat(`<received xmlns='urn:xmpp:receipts' id='1'/>`)), 'kept')
  assert.equal(await kept(chat('<body>x</body>', 'headline')), 'dropped')
  assert.equal(await kept(chat('<body>x</body>', 'groupchat')), `message error ${BERT} service-unavailable`)
  assert.equal(await kept(chat('<body>x</body>', 'error')), 'dropped')
  assert.equal(await kept(chat('<body>last that fits</body>')), 'kept')
  assert.equal(await kept(chat('<body>one too many</body>')), `message error ${BERT} service-unavailable`)
})

test('two clients that come online at the same time get each message once between them', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  for (let n = 0; n < 20; n++) anna.send(message(BERT, `m${n}`, 'chat'))
  await anna.sync()
  const both = [await house.login(BERT, 'one'), await house.login(BERT, 'two')]
  for (const peer of both) peer.send('<presence/>')
  await emptied(house)
  const lines: string[] = []
  for (const peer of both) lines.push(...(await peer.news()))
  assert.equal(lines.filter((line) => line.startsWith('message')).length, 20)
})

test('without the offline feature the sender is told', async () => {
  const house = await open({ features: WITHOUT_ARCHIVE.filter(({ name }) => name !== 'offline') })
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(message(BERT, 'x', 'chat'))
  assert.deepEqual(await anna.news(), [`message error ${BERT} service-unavailable`])
})

test('a feature can take stanzas, and one that fails harms only the stanza', async () => {
  const seen: string[] = []
  const nosy = chatFeature({
    name: 'nosy',
    summary: '',
    config: v.strictObject({}),
    attach(host) {
      host.hooks.sending.on(({ stanza }) => {
        if (stanza.childText('body') === 'boom') throw new Error('defect')
        return stanza.childText('body') === 'late boom' ? Promise.reject(new Error('defect')) : undefined
      })
      host.hooks.receiving.on(({ stanza, account, session }) => {
        if (stanza.name === 'message') seen.push(`${account.local} ${session?.jid.resource ?? '-'}`)
        return stanza.childText('body') === 'mine' ? 'handled' : undefined
      })
      host.hooks.delivered.on(({ sessions }) => void seen.push(`to ${sessions.length}`))
    },
  })
  const house = await open({ features: [...FEATURES, nosy] })
  const anna: Peer = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  for (const body of ['boom', 'late boom', 'mine', 'yours']) anna.send(message(`${BERT}/hill`, body, 'chat'))
  anna.send(message(BERT, 'all', 'chat'))
  assert.deepEqual(await anna.news(), [
    `message error ${BERT}/hill internal-server-error`,
    `message error ${BERT}/hill internal-server-error`,
  ])
  assert.deepEqual(await bert.news(), [`message chat ${ANNA}/sea 'yours'`, `message chat ${ANNA}/sea 'all'`])
  // The second of those that arrive is looked at while the first one is being kept.
  assert.deepEqual(seen, ['bert hill', 'bert hill', 'bert -', 'to 1', 'to 1'])
})

test('a full disk: the sender is told to try again later, and nothing is taken for kept', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const account = house.store.account.bind(house.store)
  const full = (): Promise<never> => Promise.reject(new StoreError('disk-full', 'no space left'))
  house.store.account = ((definition, id) =>
    new Proxy(account(definition, id), { get: () => full })) as typeof house.store.account
  anna.send(message(BERT, 'x', 'chat'))
  const refused = await anna.next()
  assert.equal(short(refused), `message error ${BERT} resource-constraint`)
  assert.equal(refused.child('error')?.get('type'), 'wait')
  await assert.rejects(anna.rosterSet(`<item jid='${BERT}'/>`), { condition: 'resource-constraint', type: 'wait' })
  house.store.account = account
  await anna.rosterSet(`<item jid='${BERT}'/>`)
})

test('large messages that waited come at the pace of the reader, and lock nobody out', async () => {
  // Together far more than may wait for one client: whoever stored them could otherwise keep Bert from ever logging in again.
  const house = await open({ c2s: { 'max-write-buffer': '512KiB' } })
  await house.login(BERT, 'once')
  const store = house.store.account(offlineStore, 'idbertexampleorg')
  const text = 'x'.repeat(250_000)
  for (let i = 0; i < 60; i++)
    await store.append({
      xml: `<message to='${BERT}' from='${ANNA}/sea' type='chat' id='m${i}'><body>${text}</body></message>`,
      at: 0,
      limit: 100,
    })
  const bert = await house.arrive(BERT, 'hill')
  for (let i = 0; i < 60; i++) {
    const got = await bert.next()
    assert.equal(got.get('id'), `m${i}`)
    assert.equal(got.childText('body')?.length, text.length)
  }
  while ((await store.count()) > 0) await new Promise((resolve) => setImmediate(resolve))
})
