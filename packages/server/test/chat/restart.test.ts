// The server is stopped politely and started again: clients with stream management (XEP-0198) go on where they were.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { NS } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../../src/chat/core/contracts.ts'
import { rosterStore } from '../../src/chat/core/roster.store.ts'
import { offlineStore } from '../../src/chat/features/offline.store.ts'
import { SUSPENDED, suspendedStore } from '../../src/chat/features/suspended.store.ts'
import type { Store } from '../../src/store/contracts.ts'
import { openStore } from '../../src/store/open.ts'
import { stores } from '../../src/stores.ts'
import { testScope } from '../fixtures/scope.ts'
import { cut, FEATURES, House, managed, type RawStream, resume, WITHOUT_ARCHIVE } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const SM = NS.streamManagement
const say = (to: string, body: string): string => `<message type='chat' to='${to}'><body>${body}</body></message>`
const body = (text: string): RegExp => new RegExp(`<body>${text}</body>`)
const online = (house: House, bare: string): number => house.chat.directory.account(bare)?.sessions.length ?? 0

/** The answer to a ping: what came before it. */
async function sync(stream: RawStream): Promise<string> {
  stream.write(`<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>`)
  const [all] = await stream.until(/[^]*<iq [^>]*id='sync'[^>]*>/)
  return all
}

/** How many messages wait for Anna. */
const waiting = (house: House): Promise<number> => house.store.account(offlineStore, 'idannaexampleorg').count()

test('two friends are cut off by an upgrade, come back, and have missed nothing of each other', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await managed(house, ANNA, 'sea', `<presence><show>dnd</show><priority>3</priority></presence>`)
  const bert = await managed(house, BERT, 'hill')
  await sync(anna.stream)
  await sync(bert.stream)
  anna.stream.write(`<iq type='set' id='c'><enable xmlns='${NS.carbons}'/></iq>`)
  anna.stream.write(`<iq type='get' id='ro'><query xmlns='jabber:iq:roster'/></iq>`)
  anna.stream.write(say(BERT, 'one'))
  await bert.stream.until(body('one'))
  bert.stream.write(say(ANNA, 'two'))
  await anna.stream.until(body('two'))
  await house.restart()
  await anna.stream.until(/<system-shutdown [^]*<\/stream:stream>/)
  assert.equal(online(house, ANNA), 1)
  assert.equal(online(house, BERT), 1)
  assert.equal(await waiting(house), 0)

  // Bert is first; he writes to who is not back yet. He has had: his presence, hers, two answers.
  const bert2 = await resume(house, BERT, bert.id, 3)
  await bert2.until(/<resumed [^>]*h='3'\/>/)
  bert2.write(say(ANNA, 'three'))
  const seen = await sync(bert2)
  assert.doesNotMatch(seen, /<presence/, 'nobody saw her go')
  assert.match(seen, /^(?:(?!<iq).)*<body>one<\/body>/, 'he had not acknowledged it')
  assert.equal(await waiting(house), 0)

  // Her stanzas: presence, ping, two requests, the message. His message is the last thing that she had.
  const anna2 = await resume(house, ANNA, anna.id, 5)
  const [all] = await anna2.until(/<resumed [^>]*h='5'\/>[^]*<body>three<\/body>/)
  assert.match(all, /<body>two<\/body>/)
  bert2.write(`<presence><show>away</show></presence>`)
  await anna2.until(/<presence [^>]*hill[^>]*><show>away</)
  // What she had switched on is on, and her presence is what it was.
  const device = await house.arrive(ANNA, 'desk')
  device.send(say(BERT, 'from the desk'))
  await anna2.until(/<sent xmlns='urn:xmpp:carbons:2'>[^]*from the desk/)
  device.send(`<iq type='set' id='rs'><query xmlns='jabber:iq:roster'><item jid='new@example.org'/></query></iq>`)
  await anna2.until(/<iq [^>]*type='set'[^>]*><query xmlns='jabber:iq:roster'[^>]*><item [^>]*new@example\.org/)
  const stranger = await house.arrive(BERT, 'late')
  await stranger.sync()
  assert.equal(house.chat.directory.session(`${ANNA}/sea`)?.priority, 3)
  assert.match(house.chat.directory.session(`${ANNA}/sea`)?.presence ?? '', /<show>dnd</)
})

test('who was away before goes on being away, no longer than without the restart', async () => {
  for (const options of [{}, { features: WITHOUT_ARCHIVE }]) {
    const house = await open(options)
    await house.befriend(ANNA, BERT)
    const bert = await house.arrive(BERT, 'hill')
    const anna = await managed(house, ANNA, 'sea')
    await cut(house, anna)
    bert.send(say(ANNA, 'before'))
    await bert.sync()
    house.clock.turn(300_000)
    await house.restart(() => house.clock.turn(200_000))
    // Who logs in now sees her.
    const bert2 = await house.login(BERT, 'hill')
    bert2.send('<presence/>')
    assert.ok((await bert2.news()).includes(`presence ${ANNA}/sea`))
    bert2.send(say(ANNA, 'after'))
    assert.deepEqual(await bert2.news(), [])
    assert.equal(await waiting(house), 0)
    house.clock.turn(99_000)
    assert.deepEqual(await bert2.news(), [])
    house.clock.turn(1000)
    assert.deepEqual(await bert2.news(), [`presence unavailable ${ANNA}/sea`])
    const late = await resume(house, ANNA, anna.id, 1)
    await late.until(/<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found /)
    late.socket.destroy()
    while ((await waiting(house)) < 2) await new Promise((resolve) => setImmediate(resolve))
    const next = await house.login(ANNA, 'next')
    next.send('<presence/>')
    assert.deepEqual(await texts(next), ['before', 'after'], 'once')
  }
})

async function texts(peer: Awaited<ReturnType<House['login']>>): Promise<string[]> {
  const bodies: string[] = []
  while (bodies.length < 2) bodies.push(...([(await peer.next()).childText('body')].filter(Boolean) as string[]))
  await peer.sync()
  return [...bodies, ...peer.clear().flatMap((stanza) => stanza.childText('body') ?? [])]
}

test('who was away for too long when the server is back says goodbye', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await managed(house, ANNA, 'sea')
  await cut(house, anna)
  house.clock.turn(500_000)
  const bert = await managed(house, BERT, 'hill')
  bert.stream.write(say(ANNA, 'there?'))
  await sync(bert.stream)
  await house.restart(() => house.clock.turn(150_000))
  house.clock.turn(0)
  const back = await resume(house, BERT, bert.id, 3)
  await back.until(/<resumed [^]*unavailable/)
  assert.equal(online(house, ANNA), 0)
  while ((await waiting(house)) < 1) await new Promise((resolve) => setImmediate(resolve))
})

test('what an inactive client was spared comes with the rest', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await managed(house, BERT, 'hill')
  const anna = await managed(house, ANNA, 'sea')
  await sync(anna.stream)
  anna.stream.write(`<inactive xmlns='${NS.csi}'/>`)
  await sync(anna.stream)
  bert.stream.write('<presence><show>xa</show></presence>')
  await sync(bert.stream)
  await house.restart()
  const back = await resume(house, ANNA, anna.id, 3)
  await back.until(/<resumed [^]*<show>xa</)
})

test('a stanza that is being handled when the server stops is counted, and what it says is there once', async () => {
  const house = await open()
  const anna = await managed(house, ANNA, 'sea')
  anna.stream.write(Array.from({ length: 50 }, (_, n) => say(BERT, `m${n}`)).join(''))
  // Some are read, some are not.
  await new Promise((resolve) => setImmediate(resolve))
  await house.restart()
  const back = await resume(house, ANNA, anna.id, 1)
  const [, h = ''] = await back.until(/<resumed [^>]*h='(\d+)'/)
  // The client sends again what was not handled.
  back.write(
    Array.from({ length: 50 }, (_, n) => say(BERT, `m${n}`))
      .slice(Number(h) - 1)
      .join(''),
  )
  await sync(back)
  const bert = await house.login(BERT, 'hill')
  bert.send('<presence/>')
  const found: string[] = []
  while (found.length < 50) found.push(...([(await bert.next()).childText('body')].filter(Boolean) as string[]))
  await bert.sync()
  found.push(...bert.clear().flatMap((stanza) => stanza.childText('body') ?? []))
  assert.deepEqual(found.toSorted(), Array.from({ length: 50 }, (_, n) => `m${n}`).toSorted())
})

/** The data folder while no server runs. */
async function aside(house: House, act: (store: Store) => Promise<void>): Promise<void> {
  const scope = testScope()
  await act(await openStore(scope, { folder: house.folder, definitions: stores }))
  await scope.close()
}

test('what came for the account while the server went down comes at the resumption', async () => {
  const house = await open()
  const anna = await managed(house, ANNA, 'sea')
  // It reads the archive when it logs in, not when it goes on.
  anna.stream.write(`<iq type='set' id='q'><query xmlns='${NS.mam}'/></iq>`)
  await anna.stream.until(/<iq [^>]*id='q'/)
  await house.restart(() =>
    aside(house, (store) =>
      store.account(offlineStore, 'idannaexampleorg').append({
        xml: `<message xmlns='jabber:client' type='chat' from='${BERT}/hill' to='${ANNA}'><body>late</body><stanza-id xmlns='${NS.stanzaId}' by='${ANNA}' id='1'/></message>`,
        at: 0,
        limit: 9,
      }),
    ),
  )
  const back = await resume(house, ANNA, anna.id, 2)
  await back.until(/<resumed [^]*<body>late</)
  while ((await waiting(house)) > 0) await new Promise((resolve) => setImmediate(resolve))
  // Once only.
  await cut(house, { stream: back, id: anna.id })
  const again = await resume(house, ANNA, anna.id, 3)
  assert.doesNotMatch(await sync(again), /late/)
})

test('contacts on other servers are asked anew what they are doing', async () => {
  const told: string[] = []
  const elsewhere = chatFeature({
    name: 'elsewhere',
    summary: 'Other servers.',
    config: v.strictObject({}),
    attach: (host) =>
      host.hooks.remote.on(({ stanza }) => {
        told.push(`${stanza.get('type') ?? ''} ${stanza.get('from') ?? ''} ${stanza.get('to') ?? ''}`)
        return 'handled'
      }),
  })
  const house = await open({ features: [...FEATURES, elsewhere as (typeof FEATURES)[number]] })
  await house.store
    .account(rosterStore, 'idannaexampleorg')
    .import({ items: [{ contact: 'dora@elsewhere.example', name: 'Dora' }] })
  const anna = await managed(house, ANNA, 'sea')
  told.splice(0)
  await house.restart()
  assert.deepEqual(told, [], 'nobody was told that she went')
  const back = await resume(house, ANNA, anna.id, 1)
  await sync(back)
  assert.deepEqual(told, [`probe ${ANNA}/sea dora@elsewhere.example`])
  await cut(house, { stream: back, id: anna.id })
  const again = await resume(house, ANNA, anna.id, 2)
  await sync(again)
  assert.equal(told.length, 1, 'once')
})

test('an account that was deleted or disabled meanwhile does not come back', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await managed(house, ANNA, 'sea')
  await managed(house, 'cleo@example.net', 'x')
  const bert = await managed(house, BERT, 'hill')
  await sync(bert.stream)
  await house.restart(() => {
    const account = house.accounts.list.get(ANNA)
    if (account !== undefined) house.accounts.list.set(ANNA, { ...account, disabled: true })
    house.accounts.list.delete('cleo@example.net')
  })
  house.clock.turn(0)
  assert.equal(online(house, ANNA), 0)
  assert.equal(online(house, 'cleo@example.net'), 0)
  const back = await resume(house, BERT, bert.id, 3)
  await back.until(/<resumed [^]*unavailable/)
  assert.ok(anna.id !== '')
})

test('nothing is made of the sessions a second time after a crash', async () => {
  const house = await open()
  const anna = await managed(house, ANNA, 'sea')
  await house.restart()
  assert.equal(online(house, ANNA), 1)
  assert.deepEqual(
    await house.store.service(suspendedStore, SUSPENDED).take({ domain: 'example.org', characters: 1 }),
    [],
  )
  // Nobody can be resumed of whom nothing is known, and nobody is told what was handled: the client sends all again that was not acknowledged.
  const other = await open()
  const failed = await resume(other, ANNA, anna.id, 1)
  await failed.until(/<failed xmlns='urn:xmpp:sm:3'><item-not-found /)
})

test('two restarts, with a reload between, and a client that does not come back until then', async () => {
  const house = await open()
  const bert = await managed(house, BERT, 'hill')
  const anna = await managed(house, ANNA, 'sea')
  anna.stream.write(`<iq type='set' id='c'><enable xmlns='${NS.carbons}'/></iq>`)
  await anna.stream.until(/id='c'/)
  await house.restart()
  const before = await house.reload()
  await before.scope.close()
  const bert2 = await resume(house, BERT, bert.id, 1)
  bert2.write(say(`${ANNA}/sea`, 'between'))
  await sync(bert2)
  await house.restart()
  const back = await resume(house, ANNA, anna.id, 2)
  await back.until(/<resumed [^>]*h='2'\/>[^]*between/)
  const device = await house.arrive(ANNA, 'desk')
  device.send(say(BERT, 'copied'))
  await back.until(/<sent xmlns='urn:xmpp:carbons:2'>[^]*copied/)
  back.write(`<r xmlns='${SM}'/>`)
  await back.until(/<a xmlns='urn:xmpp:sm:3' h='2'\/>/)
})

test('each domain writes down its own', async () => {
  const own = { featureConfig: { 'stream-management': { 'away-sessions': 5 } } }
  const house = await open({ hosts: { 'example.net': own } })
  const anna = await managed(house, ANNA, 'sea')
  const cleo = await managed(house, 'cleo@example.net', 'moon')
  await house.restart()
  const back = await resume(house, 'cleo@example.net', cleo.id, 1)
  await back.until(/<resumed /)
  back.write(say(ANNA, 'hello'))
  await sync(back)
  const back2 = await resume(house, ANNA, anna.id, 1)
  await back2.until(/<resumed [^]*hello/)
})
