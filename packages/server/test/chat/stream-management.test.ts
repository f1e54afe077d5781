// Stream management (XEP-0198): what is acknowledged, what is resumed, and what becomes of the rest.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { NS } from '@aviso/xmpp'
import { archiveStore } from '../../src/chat/archive/archive.store.ts'
import { offlineStore } from '../../src/chat/features/offline.store.ts'
import { cut, FEATURES, House, managed, type Peer, RawStream, resume, WITHOUT_ARCHIVE } from './house.ts'

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
const say = (to: string, body: string, more = ''): string =>
  `<message type='chat' to='${to}'><body>${body}</body>${more}</message>`
const body = (text: string): RegExp => new RegExp(`<body>${text}</body>`)

const online = (house: House, bare: string): number => house.chat.directory.account(bare)?.sessions.length ?? 0
const archived = async (house: House, id: string): Promise<number> => {
  const result = await house.store.account(archiveStore, id).query({ filter: {}, page: { max: 0, backwards: false } })
  return result.count ?? -1
}

test('both sides count, and a question is answered', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const { stream } = await managed(house, ANNA, 'sea')
  stream.write(`${say(BERT, 'one')}${say(BERT, 'two')}<r xmlns='${SM}'/>`)
  // The presence counts too.
  await stream.until(/<a xmlns='urn:xmpp:sm:3' h='3'\/>/)
  assert.equal(await archived(house, 'idannaexampleorg'), 2, 'what is acknowledged is safe')
  assert.equal((await bert.next()).childText('body'), 'one')
  stream.write(`<a xmlns='${SM}' h='1'/><r xmlns='${SM}'/>`)
  await stream.until(/<a xmlns='urn:xmpp:sm:3' h='3'\/>/)
  bert.send(say(`${ANNA}/sea`, 'three'))
  await stream.until(/<body>three<\/body>[^]*<r xmlns='urn:xmpp:sm:3'\/>/)
  stream.write(`<a xmlns='${SM}' h='2'/>`)
  bert.send(say(`${ANNA}/sea`, 'four'))
  await stream.until(/<body>four<\/body>[^]*<r xmlns='urn:xmpp:sm:3'\/>/)
  stream.write(`<a xmlns='${SM}' h='9'/>`)
  await stream.until(/<handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='3'\/>/)
})

test('a client that counts less than it got is not asked for ever', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const { stream } = await managed(house, ANNA, 'sea')
  stream.write(`<a xmlns='${SM}' h='1'/><r xmlns='${SM}'/>`)
  await stream.until(/<a xmlns='urn:xmpp:sm:3' h='\d'\/>/)
  bert.send(say(`${ANNA}/sea`, 'one'))
  await stream.until(/<body>one<\/body>[^]*<r xmlns='urn:xmpp:sm:3'\/>/)
  // What it got and did not count stays unacknowledged.
  stream.write(`<a xmlns='${SM}' h='1'/><r xmlns='${SM}'/>`)
  await stream.until(/<a xmlns='urn:xmpp:sm:3' h='\d'\/>/)
  await bert.sync()
  assert.equal(stream.text, '')
  bert.send(say(`${ANNA}/sea`, 'two'))
  await stream.until(/<body>two<\/body>[^]*<r xmlns='urn:xmpp:sm:3'\/>/)
})

test('a client that lost its connection goes on, and has missed nothing', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await house.arrive(BERT, 'hill')
  const first = await managed(house, ANNA, 'sea')
  await bert.news()
  first.stream.write(say(BERT, 'before'))
  await bert.next()
  await cut(house, first)
  assert.equal(online(house, ANNA), 1)
  bert.send(say(`${ANNA}/sea`, 'missed one'))
  bert.send(say(ANNA, 'missed two'))
  for (const show of ['away', 'dnd', 'xa']) bert.send(`<presence><show>${show}</show></presence>`)
  assert.deepEqual(await bert.news(), Array(3).fill(`presence ${BERT}/hill`), 'nobody saw her go')
  // Its own presence and Bert's were read, no more.
  const second = await resume(house, ANNA, first.id, 2)
  const [all] = await second.until(
    /<resumed xmlns='urn:xmpp:sm:3' previd='[^']+' h='2'\/>[^]*<r xmlns='urn:xmpp:sm:3'\/>/,
  )
  assert.match(all, /missed one[^]*missed two/)
  assert.deepEqual(
    [...all.matchAll(/<show>(\w+)<\/show>/g)].map(([, show]) => show),
    ['xa'],
    'the last presence is enough',
  )
  second.write(say(BERT, 'back'))
  assert.equal((await bert.next()).childText('body'), 'back')
  bert.send(say(`${ANNA}/sea`, 'live'))
  await second.until(body('live'))
  assert.equal(await house.store.account(offlineStore, 'idannaexampleorg').count(), 0)
  // What is acknowledged at the next time does not come again.
  second.write(`<a xmlns='${SM}' h='6'/><r xmlns='${SM}'/>`)
  await second.until(/<a xmlns='urn:xmpp:sm:3' h='3'\/>/)
  await cut(house, { stream: second, id: first.id })
  const third = await resume(house, ANNA, first.id, 6)
  await third.until(/<resumed [^>]*h='3'\/>/)
  third.write(`<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`)
  const [rest] = await third.until(/<iq [^>]*id='p'[^>]*>/)
  assert.doesNotMatch(rest, /missed|live/)
})

test('the server has not noticed that the old connection is dead', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const first = await managed(house, ANNA, 'sea')
  bert.send(say(`${ANNA}/sea`, 'unseen'))
  await first.stream.until(body('unseen'))
  const second = await resume(house, ANNA, first.id, 1)
  await second.until(/<resumed [^>]*h='1'\/>[^]*<body>unseen<\/body>/)
  await first.stream.until(/<conflict xmlns/)
  bert.send(say(`${ANNA}/sea`, 'here'))
  await second.until(body('here'))
  assert.equal(online(house, ANNA), 1)
})

test('a stanza that is being handled when the stream is resumed is counted', async () => {
  const house = await open()
  const first = await managed(house, ANNA, 'sea')
  // A clean slate for the store: its answer is held back by hand.
  let release = (): void => {}
  const account = house.store.account.bind(house.store)
  const slow = new Promise<void>((resolve) => (release = resolve))
  let reached = (): void => {}
  const arrived = new Promise<void>((resolve) => (reached = resolve))
  house.store.account = ((definition: never, id: string) => {
    const calls = account(definition, id)
    if (definition !== archiveStore) return calls
    const archive = account(archiveStore, id)
    const append: typeof archive.append = async (message) => {
      reached()
      await slow
      await archive.append(message)
    }
    return { ...archive, append }
  }) as typeof account
  first.stream.write(say(BERT, 'slowly'))
  await arrived
  const second = await resume(house, ANNA, first.id, 1)
  await first.stream.until(/<conflict xmlns/)
  release()
  await second.until(/<resumed [^>]*h='2'\/>/)
  const result = await account(archiveStore, 'idannaexampleorg').query({
    filter: {},
    page: { max: 9, backwards: false },
  })
  assert.equal(result.messages.length, 1)
})

test('an acknowledgement comes when all before it are safe, and counts none that waits behind', async () => {
  const house = await open()
  const anna = await managed(house, ANNA, 'sea')
  await house.arrive(BERT, 'hill')
  const waiting: (() => void)[] = []
  const account = house.store.account.bind(house.store)
  house.store.account = ((definition: never, id: string) => {
    if (definition !== archiveStore) return account(definition, id)
    const archive = account(archiveStore, id)
    const append: typeof archive.append = async (message) => {
      await new Promise<void>((resolve) => waiting.push(resolve))
      await archive.append(message)
    }
    return { ...archive, append }
  }) as typeof account
  // The second of them needs not to be kept, and is done at once.
  const brief = `<message to='${BERT}/hill' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>`
  anna.stream.write(`${say(`${BERT}/hill`, 'one')}${brief}${say(`${BERT}/hill`, 'two')}<r xmlns='${SM}'/>`)
  while (waiting.length < 4) await new Promise(setImmediate)
  const [session] = house.chat.directory.account(ANNA)?.sessions ?? []
  const before = session?.handled ?? 0
  // The later ones first.
  for (const index of [3, 2, 1]) waiting[index]?.()
  for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
  assert.equal(session?.handled, before)
  waiting[0]?.()
  await anna.stream.until(new RegExp(`<a xmlns='${SM}' h='${before + 3}'/>`))
})

test("a stranger's id, a stale one, one of nobody", async () => {
  const house = await open()
  const anna = await managed(house, ANNA, 'sea')
  await cut(house, anna)
  const thief = await resume(house, BERT, anna.id, 0)
  await thief.until(/<failed xmlns='urn:xmpp:sm:3'><item-not-found [^>]*\/><\/failed>/)
  // It may log in as itself.
  thief.write(`<iq type='set' id='b'><bind xmlns='${NS.bind}'><resource>hill</resource></bind></iq>`)
  await thief.until(/<jid>bert@example\.org\/hill<\/jid>/)
  for (const wrong of [`previd='x'`, `h='1'`, `previd='${anna.id}' h='-1'`, `previd='${anna.id}' h='4294967296'`]) {
    const stream = new RawStream(await house.socket())
    await stream.authenticate(ANNA)
    stream.write(`<resume xmlns='${SM}' ${wrong}/>`)
    await stream.until(/<failed xmlns='urn:xmpp:sm:3'[^>]*><bad-request /)
    stream.socket.destroy()
  }
  const greedy = await resume(house, ANNA, anna.id, 77)
  await greedy.until(/<handled-count-too-high /)
  assert.equal(online(house, ANNA), 1, 'that harms the session not')
  house.clock.turn(599_000)
  assert.equal(online(house, ANNA), 1)
  house.clock.turn(1000)
  assert.equal(online(house, ANNA), 0)
  const late = await resume(house, ANNA, anna.id, 1)
  await late.until(/<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found /)
  const nobody = await resume(house, ANNA, 'never-was', 0)
  await nobody.until(/<failed xmlns='urn:xmpp:sm:3'><item-not-found /)
})

test('what is asked at the wrong time is refused, and harms nothing', async () => {
  const house = await open()
  const early = new RawStream(await house.socket())
  await early.authenticate(ANNA)
  early.write(`<enable xmlns='${SM}'/>`)
  await early.until(/<failed xmlns='urn:xmpp:sm:3'><unexpected-request /)
  const { stream } = await managed(house, ANNA, 'sea')
  stream.write(`<enable xmlns='${SM}'/>`)
  await stream.until(/<failed xmlns='urn:xmpp:sm:3'><unexpected-request /)
  stream.write(`<resume xmlns='${SM}' previd='x' h='0'/>`)
  await stream.until(/<failed xmlns='urn:xmpp:sm:3'><unexpected-request /)
  stream.write(`<r xmlns='${SM}'/>`)
  await stream.until(/<a xmlns='urn:xmpp:sm:3' h='1'\/>/)
  stream.write(`<a xmlns='${SM}' h='all'/>`)
  await stream.until(/<bad-format xmlns/)
})

/** Bodies that come to a client that logs in. */
async function waiting(house: House, bare: string): Promise<readonly string[]> {
  const peer: Peer = await house.login(bare, 'new')
  peer.send('<presence/>')
  await peer.sync()
  await stored(house, 0)
  await peer.sync()
  return peer
    .clear()
    .map((stanza) => stanza.childText('body') ?? '')
    .filter((text) => text !== '')
}

/** Resolves when so many messages wait for Anna. */
async function stored(house: House, count: number): Promise<void> {
  const store = house.store.account(offlineStore, 'idannaexampleorg')
  while ((await store.count()) !== count) await new Promise((resolve) => setImmediate(resolve))
}

test('who does not come back gets it at the next login, once, with the time when it was said', async () => {
  for (const features of [FEATURES, WITHOUT_ARCHIVE]) {
    const house = await open({ features })
    const bert = await house.arrive(BERT, 'hill')
    const anna = await managed(house, ANNA, 'sea')
    bert.send(say(`${ANNA}/sea`, 'sent'))
    await anna.stream.until(body('sent'))
    await cut(house, anna)
    bert.send(say(ANNA, 'while away'))
    bert.send(`<iq type='get' id='q' to='${ANNA}/sea'><query xmlns='jabber:iq:version'/></iq>`)
    await bert.sync()
    house.clock.turn(600_000)
    const answer = await bert.next()
    assert.equal(answer.get('type'), 'error', 'who asked is told')
    const store = house.store.account(offlineStore, 'idannaexampleorg')
    await stored(house, 2)
    for (const { xml } of await store.page({ after: 0, limit: 9 }))
      assert.match(xml, /<delay [^>]*stamp='2026-01-01T00:00:00/)
    assert.deepEqual(await waiting(house, ANNA), ['sent', 'while away'])
    if (features === FEATURES) assert.ok((await archived(house, 'idannaexampleorg')) >= 2)
  }
})

test('where newer clients are refused a resource that is in use, who has lost his connection gets it back', async () => {
  const house = await open({ chat: { 'resource-conflict': 'refuse-newer' } })
  const { stream } = await managed(house, ANNA, 'sea')
  await assert.rejects(house.login(ANNA, 'sea'), /conflict/)
  stream.socket.destroy()
  for (;;) {
    const [session] = house.chat.directory.account(ANNA)?.sessions ?? []
    if (session?.away === true) break
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal((await house.login(ANNA, 'sea')).full, `${ANNA}/sea`)
})

test('a clean goodbye ends the session at once', async () => {
  const house = await open()
  const anna = await managed(house, ANNA, 'sea')
  anna.stream.write('</stream:stream>')
  await anna.stream.until(/<\/stream:stream>/)
  assert.equal(online(house, ANNA), 0)
  const late = await resume(house, ANNA, anna.id, 0)
  await late.until(/<failed [^>]*><item-not-found /)
})

test('what waits is bounded, for one and for all', async () => {
  const config = { 'stream-management': { queue: 10, 'away-octets': 2000 } }
  const house = await open({ featureConfig: config, features: WITHOUT_ARCHIVE })
  const bert = await house.arrive(BERT, 'hill')
  const anna = await managed(house, ANNA, 'sea')
  await cut(house, anna)
  for (let n = 0; n < 12; n++) bert.send(say(ANNA, `m${n}`))
  await bert.sync()
  assert.equal(online(house, ANNA), 0, 'more than one may have')
  await stored(house, 12)
  const kept = await house.store.account(offlineStore, 'idannaexampleorg').page({ after: 0, limit: 20 })
  assert.deepEqual(
    kept.map(({ xml }) => /<body>(.*)<\/body>/.exec(xml)?.[1]),
    Array.from({ length: 12 }, (_, n) => `m${n}`),
    'in the order in which it was said',
  )

  const longest = await managed(house, 'cleo@example.net', 'one')
  await cut(house, longest)
  const other = await managed(house, 'cleo@example.net', 'two')
  await cut(house, other)
  bert.send(`<message type='headline' to='cleo@example.net/one'><body>${'x'.repeat(900)}</body></message>`)
  bert.send(say('cleo@example.net/two', 'x'.repeat(1500)))
  await bert.sync()
  const left = house.chat.directory.account('cleo@example.net')?.sessions.map(({ jid }) => jid.resource)
  assert.deepEqual(left, ['two'], 'who is away longest is given up')
  bert.send(say('cleo@example.net/two', 'x'.repeat(1900)))
  await bert.sync()
  assert.equal(online(house, 'cleo@example.net'), 0)

  // A client that reads and does not acknowledge goes on, but cannot resume.
  const lazy = await managed(house, BERT, 'lazy')
  for (let n = 0; n < 20; n++) bert.send(say(`${BERT}/lazy`, `m${n}`))
  await lazy.stream.until(body('m19'))
  await cut(house, lazy)
  const refused = await resume(house, BERT, lazy.id, 1)
  await refused.until(/<failed [^>]*><item-not-found /)
})

test('a client that does not acknowledge is cut off, and may come back', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const anna = await managed(house, ANNA, 'sea')
  bert.send(say(`${ANNA}/sea`, 'hello?'))
  await anna.stream.until(body('hello\\?'))
  house.clock.turn(60_000)
  await anna.stream.until(/<connection-timeout xmlns/)
  assert.equal(online(house, ANNA), 1)
  const second = await resume(house, ANNA, anna.id, 1)
  await second.until(/<resumed [^>]*>[^]*hello\?/)
})

test('a stream is resumed after a reload', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const anna = await managed(house, ANNA, 'sea')
  await cut(house, anna)
  const before = await house.reload()
  await before.scope.close()
  bert.send(say(`${ANNA}/sea`, 'across'))
  await bert.sync()
  const second = await resume(house, ANNA, anna.id, 1)
  await second.until(/<resumed [^>]*>[^]*across/)
})

test('many clients of one account may be away, and not more', async () => {
  const house = await open({ featureConfig: { 'stream-management': { 'away-sessions': 2 } } })
  const clients: Awaited<ReturnType<typeof managed>>[] = []
  for (const resource of ['one', 'two', 'three']) {
    const client = await managed(house, ANNA, resource)
    clients.push(client)
    await cut(house, client)
    house.clock.turn(1000)
  }
  const left = house.chat.directory.account(ANNA)?.sessions.map(({ jid }) => jid.resource)
  assert.deepEqual(left, ['two', 'three'], 'who is away longest is given up')
  const [one, two] = clients
  const refused = await resume(house, ANNA, one?.id ?? '', 1)
  await refused.until(/<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found /)
  const second = await resume(house, ANNA, two?.id ?? '', 1)
  await second.until(/<resumed /)
})

test('of how many sessions it is remembered what was handled', async () => {
  const house = await open({ featureConfig: { 'stream-management': { 'remembered-sessions': 2 } } })
  const ids: string[] = []
  for (const resource of ['one', 'two', 'three']) {
    const client = await managed(house, ANNA, resource)
    ids.push(client.id)
    client.stream.write('</stream:stream>')
    await client.stream.until(/<\/stream:stream>/)
  }
  for (const [place, id] of ids.entries()) {
    const late = await resume(house, ANNA, id, 1)
    await late.until(place === 0 ? /<failed xmlns='urn:xmpp:sm:3'><item/ : /<failed xmlns='urn:xmpp:sm:3' h='1'><item/)
  }
})

test('a phone that can be woken may be away for longer', async () => {
  const house = await open({ featureConfig: { 'stream-management': { 'resume-time-push': '2h' } } })
  const anna = await managed(house, ANNA, 'sea')
  anna.stream.write(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.example.org' node='n'/></iq>`)
  await anna.stream.until(/id='e'/)
  await cut(house, anna)
  house.clock.turn(7_199_000)
  assert.equal(online(house, ANNA), 1)
  house.clock.turn(1000)
  assert.equal(online(house, ANNA), 0)
  // Who takes the registration back is no phone any more.
  const again = await managed(house, ANNA, 'sea')
  again.stream.write(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.example.org' node='n'/></iq>`)
  again.stream.write(`<iq type='set' id='d'><disable xmlns='urn:xmpp:push:0' jid='push.example.org'/></iq>`)
  await again.stream.until(/id='d'/)
  await cut(house, again)
  house.clock.turn(600_000)
  assert.equal(online(house, ANNA), 0)
})

test('a phone whose user is not looking is not woken to acknowledge', async () => {
  const house = await open({ featureConfig: { 'stream-management': { 'inactive-unacknowledged': 3 } } })
  const bert = await house.arrive(BERT, 'hill')
  const anna = await managed(house, ANNA, 'sea')
  await anna.stream.until(/<r xmlns='urn:xmpp:sm:3'\/>/)
  anna.stream.write(`<a xmlns='${SM}' h='1'/><inactive xmlns='${NS.csi}'/><r xmlns='${SM}'/>`)
  await anna.stream.until(/<a xmlns='urn:xmpp:sm:3' h='1'\/>/)
  for (const text of ['one', 'two', 'three']) bert.send(say(`${ANNA}/sea`, text))
  const [all] = await anna.stream.until(/[^]*<r xmlns='urn:xmpp:sm:3'\/>/)
  assert.match(all, /one[^]*two[^]*three/, 'the question comes behind the third')
})

test('who does not answer in time is away, and is given up when the time to come back is over', async () => {
  const house = await open({ featureConfig: { 'stream-management': { 'ack-timeout': '5s', 'resume-time': '20s' } } })
  await house.befriend(ANNA, BERT)
  const anna = new RawStream(await house.socket())
  await anna.login(ANNA, 'sea')
  anna.write(`<enable xmlns='${SM}' resume='true'/>`)
  await anna.until(/<enabled [^>]* max='20'\/>/)
  anna.write('<presence/>')
  await anna.until(/<presence /)
  const bert = await house.arrive(BERT, 'hill')
  await anna.until(/<r xmlns/)
  let lost = false
  const over = new Promise<void>((resolve) =>
    anna.socket.once('close', () => {
      lost = true
      resolve()
    }),
  )
  house.clock.turn(4999)
  await bert.sync()
  assert.equal(lost, false)
  house.clock.turn(1)
  await over
  assert.deepEqual(await bert.news(), [], 'she may come back')
  house.clock.turn(19_999)
  assert.deepEqual(await bert.news(), [])
  house.clock.turn(1)
  assert.deepEqual(await bert.news(), [`presence unavailable ${ANNA}/sea`])
})
