// Anna wants to hear no more of somebody (XEP-0191), and says why (XEP-0377).

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Element } from '@aviso/xmpp'
import * as fc from 'fast-check'
import { BlockList } from '../../src/chat/features/block-list.ts'
import { blockingStore } from '../../src/chat/features/blocking.store.ts'
import { reportsStore } from '../../src/chat/features/reports.store.ts'
import { House, type Peer, short } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const BLOCKING = 'urn:xmpp:blocking'

const items = (jids: readonly string[]): string => jids.map((jid) => `<item jid='${jid}'/>`).join('')
const block = (peer: Peer, ...jids: string[]): Promise<Element> =>
  peer.request('set', `<block xmlns='${BLOCKING}'>${items(jids)}</block>`)
const unblock = (peer: Peer, ...jids: string[]): Promise<Element> =>
  peer.request('set', `<unblock xmlns='${BLOCKING}'>${items(jids)}</unblock>`)
const list = async (peer: Peer): Promise<(string | undefined)[]> =>
  ((await peer.request('get', `<blocklist xmlns='${BLOCKING}'/>`)).firstElement?.elements ?? []).map((item) =>
    item.get('jid'),
  )

test('who is blocked sees nobody, and is answered as if nobody were there', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await anna.news()
  assert.deepEqual(await list(anna), [])
  await block(anna, BERT)
  assert.deepEqual(await list(anna), [BERT])
  assert.deepEqual((await anna.news()).length, 1, 'the push')
  assert.deepEqual(await bert.news(), [`presence unavailable ${ANNA}/sea`])

  for (const to of [ANNA, `${ANNA}/sea`]) {
    bert.send(`<message type='chat' to='${to}'><body>hello?</body></message>`)
    assert.deepEqual(await bert.news(), [`message error ${to} service-unavailable`])
    await assert.rejects(bert.request('get', `<ping xmlns='urn:xmpp:ping'/>`, to), { condition: 'service-unavailable' })
    bert.send(`<presence to='${to}'/><presence type='probe' to='${to}'/>`)
    bert.send(`<message type='error' to='${to}'/><message type='headline' to='${to}'/>`)
    assert.deepEqual(await bert.news(), [], 'no answer at all')
  }
  bert.send(`<presence><show>away</show></presence><presence type='subscribe' to='${ANNA}'/>`)
  await bert.sync()
  anna.send('<presence><show>dnd</show></presence>')
  assert.deepEqual(await anna.news(), [`presence ${ANNA}/sea`], 'only her own')
  assert.deepEqual(
    (await bert.news()).filter((line) => line.includes(ANNA)),
    [],
  )

  // Bert comes anew: her presence is not for him, and his not for her.
  await bert.client.close()
  const again = await house.arrive(BERT, 'hill')
  assert.deepEqual(await anna.news(), [])
  assert.deepEqual(await again.news(), [])

  await unblock(anna, BERT)
  assert.deepEqual(await again.news(), [`presence ${ANNA}/sea`])
  assert.deepEqual(
    (await anna.news()).filter((line) => line.startsWith('presence')),
    [`presence ${BERT}/hill`],
  )
  again.send(`<message type='chat' to='${ANNA}'><body>hello!</body></message>`)
  await again.sync()
  assert.deepEqual(await anna.news(), [`message chat ${BERT}/hill 'hello!'`])
})

test('Anna herself cannot reach whom she has blocked', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await block(anna, BERT)
  anna.clear()
  anna.send(`<message type='chat' id='m' to='${BERT}'><body>hm</body></message>`)
  const error = (await anna.next()).child('error')
  assert.equal(error?.firstElement?.name, 'not-acceptable')
  assert.ok(error?.child('blocked', 'urn:xmpp:blocking:errors'))
  await assert.rejects(anna.request('get', `<ping xmlns='urn:xmpp:ping'/>`, `${BERT}/hill`), {
    condition: 'not-acceptable',
  })
  anna.send(`<presence to='${BERT}'/><presence type='subscribe' to='${BERT}'/>`)
  assert.deepEqual(await anna.news(), [
    `presence error ${BERT} not-acceptable`,
    `presence error ${BERT} not-acceptable`,
  ])
  assert.deepEqual(await bert.news(), [])
})

test('the list is there at once after the log-in, and counts while Anna is away', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  await block(anna, BERT)
  await anna.client.close()
  await house.crashAndStart()
  const bert = await house.arrive(BERT, 'hill')
  for (let n = 0; n < 2; n++) {
    bert.send(`<message type='chat' to='${ANNA}'><body>${n}</body></message>`)
    assert.deepEqual(await bert.news(), [`message error ${ANNA} service-unavailable`])
  }
  bert.send(`<presence type='subscribe' to='${ANNA}'/>`)
  await bert.news()
  const back = await house.login(ANNA, 'sea')
  back.send(`<message type='chat' to='${BERT}'><body>first</body></message>`)
  assert.deepEqual(await back.news(), [`message error ${BERT} not-acceptable`])
  back.send('<presence/>')
  assert.deepEqual(await back.news(), [`presence ${ANNA}/sea`], 'no message kept, no request')
})

test('a list that cannot be read lets nothing through, in either direction', async () => {
  const house = await open()
  const account = house.accounts.list.get(ANNA)
  assert.ok(account)
  const bert = await house.arrive(BERT, 'hill')
  const { store } = house
  const real = store.account.bind(store)
  let broken = true
  Object.assign(house.store, {
    account: (definition: Parameters<typeof real>[0], id: string) =>
      broken && definition.name === blockingStore.name
        ? { list: () => Promise.reject(new Error('disk on fire')) }
        : real(definition, id),
  })
  bert.send(`<message type='chat' to='${ANNA}'><body>away</body></message>`)
  assert.deepEqual(await bert.news(), [`message error ${ANNA} internal-server-error`])
  const anna = await house.login(ANNA, 'sea')
  anna.send(`<message type='chat' id='x' to='${BERT}'><body>early</body></message>`)
  assert.equal(short(await anna.next()), `message error ${BERT} internal-server-error`)
  assert.deepEqual(await bert.news(), [])
  broken = false
  anna.send(`<message type='chat' to='${BERT}'><body>later</body></message>`)
  await anna.sync()
  assert.deepEqual(await bert.news(), [`message chat ${ANNA}/sea 'later'`])
})

test('other devices that asked for the list are told, and only they', async () => {
  const house = await open()
  const sea = await house.arrive(ANNA, 'sea')
  const hut = await house.arrive(ANNA, 'hut')
  await list(hut)
  sea.clear()
  await block(sea, BERT, 'spam.example')
  await block(sea, BERT)
  await unblock(sea)
  const pushes = (await hut.sync(), hut.clear())
  assert.deepEqual(
    pushes.map((push) => [push.firstElement?.name, ...(push.firstElement?.elements ?? []).map((i) => i.get('jid'))]),
    [['block', BERT, 'spam.example'], ['unblock']],
  )
  assert.ok(pushes.every((push) => push.get('to') === `${ANNA}/hut` && push.get('type') === 'set'))
  assert.deepEqual(await sea.news(), [])
  assert.deepEqual(await list(hut), [])
})

test('a block has rules and limits', async () => {
  const house = await open({ featureConfig: { blocking: { 'max-entries': 2 } } })
  const anna = await house.arrive(ANNA, 'sea')
  await assert.rejects(block(anna), { condition: 'bad-request' })
  await assert.rejects(block(anna, '@@'), { condition: 'jid-malformed' })
  await assert.rejects(block(anna, ANNA), { condition: 'not-allowed' })
  await assert.rejects(block(anna, 'a@x', 'b@x', 'c@x'), { condition: 'resource-constraint' })
  assert.deepEqual(await list(anna), [])
  await block(anna, 'A@X', 'b@x')
  assert.deepEqual(await list(anna), ['a@x', 'b@x'])
  await assert.rejects(block(anna, 'c@x'), { condition: 'resource-constraint' })
})

test('who is blocked may be told nothing at all; what he asks is answered as ever', async () => {
  const house = await open({ featureConfig: { blocking: { 'bounce-messages': false } } })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await block(anna, BERT)
  bert.send(`<message type='chat' to='${ANNA}'><body>hello?</body></message>`)
  assert.deepEqual(await bert.news(), [])
  await assert.rejects(bert.request('get', `<ping xmlns='urn:xmpp:ping'/>`, `${ANNA}/sea`), {
    condition: 'service-unavailable',
  })
  assert.deepEqual(await anna.news(), [])
})

test('lists of so many who are away are kept in memory; of others they are read again', async (t) => {
  for (const [cache, readings] of [
    [16, 2],
    [17, 1],
  ] as const) {
    const house = await open({ featureConfig: { blocking: { cache } } })
    const names = Array.from({ length: 17 }, (_, index) => `away${index}@example.org`)
    house.accounts.add(...names)
    const read: string[] = []
    const { store } = house
    const account = store.account.bind(store)
    t.mock.method(store, 'account', (definition: Parameters<typeof account>[0], id: string) => {
      if (definition === blockingStore) read.push(id)
      return account(definition, id)
    })
    const bert = await house.arrive(BERT, 'hill')
    for (const name of [...names, names[0]]) {
      bert.send(`<message type='chat' to='${name}'><body>hello</body></message>`)
      await bert.sync()
    }
    assert.equal(read.filter((id) => id === 'idaway0exampleorg').length, readings, `${cache}`)
  }
})

test('one device of somebody, or a whole domain, can be blocked; the own server cannot', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const hill = await house.arrive(BERT, 'hill')
  const vale = await house.arrive(BERT, 'vale')
  const cleo = await house.arrive('cleo@example.net', 'city')
  await block(anna, `${BERT}/hill`, 'example.net', 'example.org')
  anna.clear()
  await unblock(anna, 'example.org')
  for (const peer of [hill, vale, cleo]) {
    peer.send(`<message type='chat' to='${ANNA}'><body>hi</body></message>`)
    await peer.sync()
  }
  assert.deepEqual(
    (await anna.news()).filter((line) => line.startsWith('message')),
    [`message chat ${BERT}/vale 'hi'`],
  )
  await block(anna, 'example.org')
  await anna.request('get', `<ping xmlns='urn:xmpp:ping'/>`, 'example.org')
  await unblock(anna)
})

test('an invitation that a room passes on does not come past the block', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const cleo = await house.arrive('cleo@example.net', 'city')
  await block(anna, BERT)
  anna.clear()
  // Cleo plays the room.
  for (const from of [`${BERT}/hill`, 'dora@example.net'])
    cleo.send(
      `<message to='${ANNA}'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='${from}'/></x></message>`,
    )
  await cleo.sync()
  assert.equal((await anna.news()).filter((line) => line.startsWith('message')).length, 1)
})

test('a report goes with the block; the oldest make room', async () => {
  const house = await open({ featureConfig: { blocking: { reports: 2 } } })
  const anna = await house.arrive(ANNA, 'sea')
  for (const n of [1, 2, 3])
    await anna.request(
      'set',
      `<block xmlns='${BLOCKING}'><item jid='spam${n}@example.com'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>
       <text>${'x'.repeat(3000)}</text><stanza-id xmlns='urn:xmpp:sid:0' by='${ANNA}' id='i${n}'/><third-party/></report></item></block>`,
    )
  const reports = await house.store.core(reportsStore).list({ before: Number.MAX_SAFE_INTEGER, limit: 10 })
  assert.deepEqual(
    reports.map(({ reporter, reported, reason, text, messages, processing }) => ({
      reporter,
      reported,
      reason,
      text: text.length,
      messages,
      processing,
    })),
    [3, 2].map((n) => ({
      reporter: ANNA,
      reported: `spam${n}@example.com`,
      reason: 'urn:xmpp:reporting:spam',
      text: 2000,
      messages: [{ by: ANNA, id: `i${n}` }],
      processing: ['third-party'],
    })),
  )
  assert.equal(await house.store.core(reportsStore).remove({ id: 'all' }), 2)
})

test('an entry means what XEP-0191 §5 says', () => {
  const part = fc.constantFrom('a', 'b', 'c')
  fc.assert(
    fc.property(
      part,
      part,
      part,
      part,
      part,
      part,
      (local, domain, resource, otherLocal, otherDomain, otherResource) => {
        const bare = `${otherLocal}@${otherDomain}`
        const full = `${bare}/${otherResource}`
        const same = {
          local: local === otherLocal,
          domain: domain === otherDomain,
          resource: resource === otherResource,
        }
        assert.equal(
          new BlockList([`${local}@${domain}/${resource}`]).blocks(bare, full),
          same.local && same.domain && same.resource,
        )
        assert.equal(new BlockList([`${local}@${domain}`]).blocks(bare, full), same.local && same.domain)
        assert.equal(new BlockList([`${domain}/${resource}`]).blocks(bare, full), same.domain && same.resource)
        assert.equal(new BlockList([domain]).blocks(bare, full), same.domain)
        assert.equal(new BlockList([`${local}@${domain}/${resource}`]).blocks(bare), false)
      },
    ),
  )
})
