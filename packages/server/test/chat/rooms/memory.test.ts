// What a room remembers: history, archive, and what of it is taken back; and what outlives the server.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import { RoomHalls } from '../../../src/chat/rooms/administration.ts'
import { databaseOf } from '../../../src/chat/rooms/hall.ts'
import { roomsStore } from '../../../src/chat/rooms/rooms.store.ts'
import { managed, type Peer, resume } from '../house.ts'
import { admin, brief, configure, enter, gather, guests, make, MUC, open, ROOM, say, SERVICE, told } from './lobby.ts'

const MODERATE = 'urn:xmpp:message-moderate:1'
const RETRACT = 'urn:xmpp:message-retract:1'

/** Asks the archive; the messages, shortly, and the answer. */
async function archive(
  peer: Peer,
  fields: Readonly<Record<string, string>> = {},
  rest = '',
): Promise<{ readonly texts: string[]; readonly messages: Element[]; readonly answer: Element }> {
  const form = Object.entries({ FORM_TYPE: NS.mam, ...fields }).map(
    ([name, value]) => `<field var='${name}'><value>${value}</value></field>`,
  )
  const answer = await peer.request(
    'set',
    `<query xmlns='${NS.mam}'><x xmlns='jabber:x:data' type='submit'>${form.join('')}</x>${rest}</query>`,
    ROOM,
  )
  const messages = peer
    .clear()
    .map((stanza) => stanza.child('result', NS.mam)?.child('forwarded', NS.forward)?.child('message', NS.client))
    .filter((message) => message !== undefined)
  return { texts: messages.map(brief), messages, answer }
}

test('history: as much as the room gives, as little as the client wants', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A', { historylength: '5' })
  const start = house.clock.now()
  for (let index = 1; index <= 8; index++) {
    say(anna, `m${index}`)
    await told(anna)
    house.clock.turn(60_000)
  }
  const history = async (wish: string): Promise<string[]> => {
    const lines = await enter(bert, 'B', { x: wish })
    bert.send(`<presence type='unavailable' to='${ROOM}/B'/>`)
    await told(bert)
    return lines.filter((line) => line.includes("'m")).map((line) => /'(m\d)'/.exec(line)?.[1] ?? '')
  }
  assert.deepEqual(await history(''), ['m4', 'm5', 'm6', 'm7', 'm8'])
  assert.deepEqual(await history(`<history maxstanzas='2'/>`), ['m7', 'm8'])
  assert.deepEqual(await history(`<history maxstanzas='0'/>`), [])
  assert.deepEqual(await history(`<history maxstanzas='100000'/>`), ['m4', 'm5', 'm6', 'm7', 'm8'])
  assert.deepEqual(await history(`<history maxchars='0'/>`), [])
  assert.equal((await history(`<history maxchars='1000'/>`)).length, 2)
  assert.deepEqual(await history(`<history seconds='130'/>`), ['m7', 'm8'])
  assert.deepEqual(await history(`<history since='${new Date(start + 5 * 60_000).toISOString()}'/>`), [
    'm6',
    'm7',
    'm8',
  ])
  for (const wrong of [
    `maxstanzas='-1'`,
    `maxstanzas='many'`,
    `seconds='1e9'`,
    `since='yesterday'`,
    `maxchars='9999999999999'`,
  ])
    assert.deepEqual(await enter(bert, 'B', { x: `<history ${wrong}/>` }), ['p error cafe/B bad-request'], wrong)
})

test('the archive: pages, by nick, by word; real addresses only for those who may know', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A')
  await enter(bert, 'B')
  say(anna, 'coffee')
  await anna.sync()
  say(bert, 'tea')
  bert.send(
    `<message type='groupchat' to='${ROOM}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
  )
  await bert.sync()
  anna.send(`<message type='groupchat' to='${ROOM}'><subject>drinks</subject></message>`)
  await anna.sync()
  for (const peer of [anna, bert]) await told(peer)
  const all = await archive(bert)
  assert.deepEqual(all.texts, ["m cafe/A 'coffee'", "m cafe/B 'tea'", "m cafe/A subject 'drinks'"])
  assert.equal(all.answer.firstElement?.get('complete'), 'true')
  assert.ok(
    all.messages.every((message) => message.get('to') === undefined && message.child('x', `${MUC}#user`) === undefined),
  )
  assert.deepEqual((await archive(anna)).texts, [
    "m cafe/A =anna@example.org 'coffee'",
    "m cafe/B =bert@example.org 'tea'",
    "m cafe/A =anna@example.org subject 'drinks'",
  ])
  assert.deepEqual((await archive(bert, { with: `${ROOM}/B` })).texts, ["m cafe/B 'tea'"])
  assert.deepEqual((await archive(bert, { '{urn:xmpp:fulltext:0}fulltext': 'TEA' })).texts, ["m cafe/B 'tea'"])
  const page = await archive(bert, {}, `<set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set>`)
  assert.deepEqual(page.texts, ["m cafe/A subject 'drinks'"])
  assert.equal(page.answer.firstElement?.child('set', 'http://jabber.org/protocol/rsm')?.childText('count'), '3')
  const form = await bert.request('get', `<query xmlns='${NS.mam}'/>`, ROOM)
  assert.equal(form.firstElement?.child('x', 'jabber:x:data')?.get('type'), 'form')
  const ends = await bert.request('get', `<metadata xmlns='${NS.mam}'/>`, ROOM)
  assert.ok(ends.firstElement?.child('start') && ends.firstElement.child('end'))
  // Who may read it.
  assert.equal((await archive(dora)).texts.length, 3, 'an open room has an open archive')
  await configure(anna, { membersonly: '1' })
  await assert.rejects(archive(dora), /forbidden/)
  await configure(anna, { membersonly: '0', passwordprotectedroom: '1', roomsecret: 's' })
  await assert.rejects(archive(dora), /forbidden/)
  await configure(anna, { passwordprotectedroom: '0' })
  await admin(anna, `<item jid='dora@example.org' affiliation='outcast'/>`)
  await assert.rejects(archive(dora), /forbidden/)
})

test('a room may keep nothing, or not for long', async (t) => {
  const { house, anna } = await gather(t, ['anna'])
  await make(anna, 'A', { enablearchiving: '0', persistentroom: '1' })
  say(anna, 'in the wind')
  await told(anna)
  assert.deepEqual((await archive(anna)).texts, [])
  await configure(anna, { enablearchiving: '1', 'urn:aviso:rooms#archive_days': '2' })
  say(anna, 'for two days')
  await told(anna)
  assert.equal((await archive(anna)).texts.length, 1)
  house.clock.turn(3 * 86_400_000)
  assert.deepEqual((await archive(anna)).texts, [])
})

test('a moderator takes a message back: those in the room are told, and the archive keeps only that', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await enter(bert, 'B')
  say(bert, 'spam')
  await bert.sync()
  const said = (await anna.sync(), anna.clear()).find((stanza) => stanza.childText('body') === 'spam')
  const id = said?.child('stanza-id', NS.stanzaId)?.get('id') ?? ''
  const retract = (which: string): string =>
    `<moderate xmlns='${MODERATE}' id='${which}'><retract xmlns='${RETRACT}'/><reason>spam</reason></moderate>`
  await assert.rejects(bert.request('set', retract(id), ROOM), /forbidden/)
  await assert.rejects(anna.request('set', retract('nothing'), ROOM), /item-not-found/)
  await told(bert)
  await anna.request('set', retract(id), ROOM)
  const [told1] = (await bert.sync(), bert.clear())
  assert.equal(told1?.get('from'), ROOM)
  const retraction = told1.child('retract', RETRACT)
  assert.equal(retraction?.get('id'), id)
  assert.equal(retraction.childText('reason'), 'spam')
  assert.equal(retraction.child('moderated', MODERATE)?.get('by'), `${ROOM}/A`)
  anna.clear()
  const { messages } = await archive(bert)
  const [tombstone, action] = messages
  assert.equal(tombstone?.childText('body'), undefined)
  assert.equal(tombstone?.child('retracted', RETRACT)?.child('moderated', MODERATE)?.get('by'), `${ROOM}/A`)
  assert.ok(tombstone?.child('occupant-id', 'urn:xmpp:occupant-id:0'))
  assert.equal(action?.child('retract', RETRACT)?.get('id'), id)
  await assert.rejects(anna.request('set', retract(id), ROOM), /item-not-found/)
  assert.ok(!(await enter(bert, 'B')).some((line) => line.includes('spam')), 'it is not in the history any more')
})

test('slow mode: who is no moderator waits', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await configure(anna, { 'muc#roomconfig_slow_mode_duration': '20' })
  await enter(bert, 'B')
  say(bert, 'one')
  say(bert, 'two')
  assert.deepEqual(await told(bert), ["m cafe/B 'one'", 'm error cafe policy-violation'])
  bert.send(`<presence type='unavailable' to='${ROOM}/B'/>`)
  await enter(bert, 'B2')
  say(bert, 'with another nick')
  assert.deepEqual((await told(bert)).slice(-1), ['m error cafe policy-violation'])
  house.clock.turn(20_000)
  say(bert, 'three')
  assert.deepEqual(await told(bert), ["m cafe/B2 'three'"])
  say(anna, 'x')
  say(anna, 'y')
  await anna.sync()
  assert.deepEqual(await told(bert), ["m cafe/A 'x'", "m cafe/A 'y'"])
})

test('a room has a picture', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await enter(bert, 'B')
  const card = `<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO></vCard>`
  await assert.rejects(bert.request('set', card, ROOM), /forbidden/)
  await anna.request('set', card, ROOM)
  const [status, picture] = (await bert.sync(), bert.clear())
  assert.ok(status && picture)
  assert.equal(brief(status), 'm cafe 104')
  const hash = 'aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d'
  assert.equal(picture.child('x', 'vcard-temp:x:update')?.childText('photo'), hash)
  const got = await bert.request('get', `<vCard xmlns='vcard-temp'/>`, ROOM)
  assert.equal(got.firstElement?.child('PHOTO')?.childText('BINVAL'), 'aGVsbG8=')
  const info = await bert.request('get', `<query xmlns='${NS.discoInfo}'/>`, ROOM)
  const fields = info.firstElement?.child('x', 'jabber:x:data')?.childrenNamed('field') ?? []
  assert.equal(fields.find((field) => field.get('var') === 'muc#roominfo_avatarhash')?.childText('value'), hash)
})

test('a restart: rooms are as they were, and those who were in them have time to come back', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A', { persistentroom: '1', roomname: 'Café', whois: 'anyone' })
  await enter(bert, 'B')
  await make(bert, 'B', {}, `temp@${SERVICE}`)
  await admin(anna, `<item jid='dora@example.org' affiliation='member' nick='Dodo'/>`)
  anna.send(`<message type='groupchat' to='${ROOM}'><subject>cake</subject></message>`)
  say(anna, 'before')
  await told(anna)
  await house.crashAndStart()
  const [dora] = await guests(house, 'dora')
  assert.ok(dora)
  assert.deepEqual(await enter(dora, 'Dodo'), [
    'p cafe/A owner/moderator =anna@example.org/r',
    'p cafe/B none/participant =bert@example.org/r',
    'p cafe/Dodo member/participant =dora@example.org/r 110+100+170',
    "m cafe/A 'before' old",
    "m cafe/A subject 'cake' old",
  ])
  say(dora, 'anybody?')
  assert.deepEqual(await told(dora), ["m cafe/Dodo 'anybody?'"], 'who is awaited is not made to leave')
  const [again] = await guests(house, 'anna')
  assert.ok(again)
  assert.equal((await enter(again, 'A'))[2], 'p cafe/A owner/moderator =anna@example.org/r 110+100+170')
  assert.deepEqual(await told(dora), [], 'nobody has seen her leave')
  const info = () => dora.request('get', `<query xmlns='${NS.discoInfo}'/>`, `temp@${SERVICE}`)
  assert.equal((await info()).get('type'), 'result')
  house.clock.turn(10 * 60_000)
  assert.deepEqual(await told(dora), ['p unavailable cafe/B none/none =bert@example.org/r'])
  await assert.rejects(info(), /item-not-found/)
})

test('a client that goes on after a restart of the server is in its rooms still, and has missed nothing', async (t) => {
  const house = await open(t)
  const first = await managed(house, 'anna@example.org', 'sea')
  first.stream.write(`<presence to='${ROOM}/A'><x xmlns='${MUC}'/></presence>`)
  await first.stream.until(/<subject\/>/)
  first.stream.write(
    `<iq type='set' id='c' to='${ROOM}'><query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`,
  )
  await first.stream.until(/<iq [^>]*id='c'/)
  const [bert] = await guests(house, 'bert')
  assert.ok(bert)
  await enter(bert, 'B')
  await first.stream.until(/<presence [^>]*cafe@rooms\.example\.org\/B/)
  await house.restart()
  const [again] = await guests(house, 'bert')
  assert.ok(again)
  assert.equal((await enter(again, 'B'))[0], 'p cafe/A owner/moderator')
  say(again, 'while you were away')
  assert.deepEqual(await told(again), ["m cafe/B 'while you were away'"])
  // Her stanzas: presence, entering, the form.
  const second = await resume(house, 'anna@example.org', first.id, 0)
  await second.until(/<resumed [^>]*h='3'\/>[^]*<body>while you were away<\/body>/)
  second.write(`<message type='groupchat' to='${ROOM}'><body>here I am</body></message>`)
  await second.until(/<body>here I am<\/body>/)
  assert.deepEqual(await told(again), ["m cafe/A 'here I am'"], 'nobody has seen her go or come')
  second.write('</stream:stream>')
  assert.equal(brief(await again.next()), 'p unavailable cafe/A owner/none')
})

test('a crash: who was in rooms is not there any more, and what does not stay is gone', async (t) => {
  const { house, anna } = await gather(t, ['anna'])
  await make(anna, 'A')
  const kept = {
    config: '{}',
    title: '',
    listed: true,
    persistent: false,
    salt: 's',
    locked: false,
    affiliations: [],
    most: 9,
  }
  await house.crashAndStart()
  // What a crash leaves behind that happens now: occupants of the stop before, a room that nobody has left.
  await house.store.service(roomsStore, databaseOf(SERVICE)).create({ ...kept, name: 'left' })
  const [dora] = await guests(house, 'dora')
  assert.ok(dora)
  await enter(dora, 'D', { room: `other@${SERVICE}` })
  const after = house.store.service(roomsStore, databaseOf(SERVICE))
  assert.deepEqual(await after.occupants(), [], 'they are not restored a second time')
  assert.equal((await after.load({ name: 'left' })).room, undefined)
  assert.ok((await after.load({ name: 'cafe' })).room, 'somebody is awaited there')
})

test('rooms that nobody is in are not in memory, and are as they were when somebody comes', async (t) => {
  const { house, anna } = await gather(t, ['anna'], { featureConfig: { rooms: { 'rooms-in-memory': 2 } } })
  const hall = house.generation.scope.use(RoomHalls).get(SERVICE)
  const names = Array.from({ length: 10 }, (_, index) => `room${index}@${SERVICE}`)
  for (const room of names) {
    await make(anna, 'A', { persistentroom: '1', roomname: `The ${room}` }, room)
    say(anna, `in ${room}`, { room })
  }
  await told(anna)
  assert.equal(hall?.rooms.size, 10)
  for (const room of names) anna.send(`<presence type='unavailable' to='${room}/A'/>`)
  await told(anna)
  assert.equal(hall.rooms.size, 2)
  for (const room of names) {
    assert.ok((await enter(anna, 'A', { room })).includes(`m room${names.indexOf(room)}/A 'in ${room}' old`))
    const info: Element = await anna.request('get', `<query xmlns='${NS.discoInfo}'/>`, room)
    assert.equal(info.firstElement?.child('identity')?.get('name'), `The ${room}`)
    anna.send(`<presence type='unavailable' to='${room}/A'/>`)
    await told(anna)
  }
  assert.equal(hall.rooms.size, 2)
})

test('a room that several ask for at once, and nobody keeps in memory, is one room', async (t) => {
  const { house, anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'], {
    featureConfig: { rooms: { 'rooms-in-memory': 0 } },
  })
  await make(anna, 'A', { persistentroom: '1' })
  const hall = house.generation.scope.use(RoomHalls).get(SERVICE)
  assert.ok(hall)
  const stays = async (): Promise<void> => {
    anna.send(`<presence type='unavailable' to='${ROOM}/A'/>`)
    await told(anna)
    assert.equal(hall.rooms.size, 0)
  }
  await stays()
  // Each of them waits for the same room to be read; the first ones let go of it.
  const info = `<query xmlns='${NS.discoInfo}'/>`
  const asked = [anna, dora].map((peer) => peer.request('get', info, ROOM))
  const known = hall.knows('cafe')
  const entered = Promise.all([enter(bert, 'B'), enter(dora, 'D')])
  await Promise.all([...asked, known, entered])
  assert.equal(hall.rooms.size, 1)
  assert.deepEqual([...(hall.rooms.get('cafe')?.occupants.keys() ?? [])].toSorted(), ['B', 'D'])
  say(bert, 'are you there?')
  await bert.sync()
  assert.ok((await told(dora)).includes("m cafe/B 'are you there?'"))
})

test('members that are not there are woken when they are spoken to', async (t) => {
  const mentioned: string[] = []
  const house = await open(t)
  house.chat.host(house.generation.scope).hooks.mentioned.on(({ account, stanza }) => {
    mentioned.push(`${account.address} ${stanza.childText('body') ?? ''}`)
  })
  const [anna] = await guests(house, 'anna')
  assert.ok(anna)
  await make(anna, 'A')
  await admin(anna, `<item jid='dora@example.org' affiliation='member' nick='Dodo'/>`)
  await admin(anna, `<item jid='emil@example.org' affiliation='member'/>`)
  say(anna, 'dodo: are you there?')
  say(anna, 'dodos are birds')
  say(anna, 'has anybody seen Emil?')
  say(anna, 'you', { rest: `<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:dora@example.org'/>` })
  const hall = house.generation.scope.use(RoomHalls).get(SERVICE)
  const id = hall?.rooms.get('cafe')?.idOf('emil@example.org')
  const mention = (attributes: string): string => `<mention xmlns='urn:xmpp:mentions:0' ${attributes}/>`
  say(anna, 'and you', { rest: mention(`occupantid='${id}'`) })
  say(anna, 'you as well', { rest: mention(`jid='dora@example.org'`) })
  say(anna, 'not you', { rest: mention(`mentions='urn:x' occupantid='${id}'`) + mention(`occupantid='x'`) })
  await told(anna)
  assert.deepEqual(mentioned, [
    'dora@example.org dodo: are you there?',
    'emil@example.org has anybody seen Emil?',
    'dora@example.org you',
    'emil@example.org and you',
    'dora@example.org you as well',
  ])
})
