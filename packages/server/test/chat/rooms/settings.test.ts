// What an administrator sets for all rooms, and how those who are in them notice.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import { PRUNED_EVERY } from '../../../src/chat/archive/shelf.ts'
import type { Peer } from '../house.ts'
import { admin, configure, enter, gather, make, MUC, outcome, ROOM, say, SERVICE, told } from './lobby.ts'

const DAY = 86_400_000

/** A house with these settings of rooms, and three who are online. */
const withRooms = (t: TestContext, rooms: object) => gather(t, ['anna', 'bert', 'dora'], { featureConfig: { rooms } })

const described = async (peer: Peer): Promise<Element> => {
  const { firstElement } = await peer.request('get', `<query xmlns='${NS.discoInfo}'/>`, ROOM)
  assert.ok(firstElement)
  return firstElement
}

const features = (info: Element): readonly (string | undefined)[] =>
  info.childrenNamed('feature').map((feature) => feature.get('var'))

const field = (info: Element, name: string): string | undefined =>
  info
    .child('x', 'jabber:x:data')
    ?.childrenNamed('field')
    .find((each) => each.get('var') === name)
    ?.childText('value')

/** Goes out, and in again; what was said before. */
async function history(peer: Peer, nick: string): Promise<string[]> {
  peer.send(`<presence type='unavailable' to='${ROOM}/${nick}'/>`)
  await told(peer)
  return (await enter(peer, nick)).filter((line) => line.endsWith(' old'))
}

/** Asks the archive; what was said, and whether that is all. */
async function archived(peer: Peer, rest = ''): Promise<{ readonly texts: string[]; readonly complete: boolean }> {
  const answer = await peer.request('set', `<query xmlns='${NS.mam}'>${rest}</query>`, ROOM)
  const texts = peer
    .clear()
    .map((stanza) => stanza.child('result', NS.mam)?.child('forwarded', NS.forward)?.child('message', NS.client))
    .flatMap((message) => message?.childText('body') ?? [])
  return { texts, complete: answer.firstElement?.get('complete') === 'true' }
}

const whisper = async (from: Peer, to: string): Promise<string> => {
  await told(from)
  from.send(`<message type='chat' to='${ROOM}/${to}'><body>psst</body></message>`)
  return (await told(from))[0] ?? 'ok'
}

test('a new room is as the defaults say, whoever makes it, until its owner changes that', async (t) => {
  const { house, anna, bert, dora } = await withRooms(t, {
    defaults: {
      public: true,
      persistent: true,
      moderated: true,
      'public-jids': true,
      'change-subject': true,
      'history-length': 1,
      language: 'nl',
      'presence-broadcast': ['moderator'],
      'private-messages': 'none',
      'slow-mode': 20,
    },
  })
  await make(anna, 'A')
  const info = await described(bert)
  for (const feature of ['muc_public', 'muc_persistent', 'muc_moderated', 'muc_nonanonymous'])
    assert.ok(features(info).includes(feature), feature)
  assert.equal(field(info, 'muc#roominfo_lang'), 'nl')
  assert.equal(field(info, 'muc#roominfo_changesubject'), '1')
  assert.equal(field(info, 'muc#roominfo_slow_mode_duration'), '20')
  for (const body of ['one', 'two']) say(anna, body)
  await told(anna)
  // Addresses are open, and of what was said one message is shown.
  assert.deepEqual(await enter(bert, 'B'), [
    'p cafe/A owner/moderator =anna@example.org/r',
    'p cafe/B none/visitor =bert@example.org/r 110+100+170',
    "m cafe/A 'two' old",
    "m cafe subject ''",
  ])
  assert.deepEqual(await told(anna), [], 'visitors are not seen')
  await enter(dora, 'D')
  assert.equal(await whisper(bert, 'D'), 'm error cafe/D policy-violation')
  await admin(anna, `<item nick='B' role='participant'/>`)
  await told(bert)
  bert.send(`<message type='groupchat' to='${ROOM}'><subject>koffie</subject></message>`)
  assert.deepEqual(await told(bert), ["m cafe/B subject 'koffie'"])
  house.clock.turn(20_000)
  say(bert, 'een')
  say(bert, 'twee')
  assert.deepEqual(await told(bert), ["m cafe/B 'een'", 'm error cafe policy-violation'])
  await configure(anna, { moderatedroom: '0' })
  assert.ok(features(await described(bert)).includes('muc_unmoderated'))
})

test('where new rooms are for members only, a member may bring somebody along if the defaults say so', async (t) => {
  const { anna, bert, dora } = await withRooms(t, { defaults: { 'members-only': true, 'member-invites': true } })
  await make(anna, 'A')
  assert.deepEqual(await enter(bert, 'B'), ['p error cafe/B registration-required'])
  await admin(anna, `<item jid='bert@example.org' affiliation='member'/>`)
  await enter(bert, 'B')
  bert.send(`<message to='${ROOM}'><x xmlns='${MUC}#user'><invite to='dora@example.org'/></x></message>`)
  await told(bert)
  assert.equal(
    (await enter(dora, 'D')).some((line) => line.includes('110')),
    true,
    'she is a member now',
  )
})

test('no room shows more of its history than the server allows, though it was set before', async (t) => {
  const { house, anna, bert } = await withRooms(t, { 'max-history': 4, defaults: { 'history-length': 100 } })
  await make(anna, 'A', { persistentroom: '1' })
  await enter(bert, 'B')
  for (const body of ['1', '2', '3', '4', '5']) say(anna, body)
  await told(anna)
  assert.deepEqual(
    await history(bert, 'B'),
    ['2', '3', '4', '5'].map((body) => `m cafe/A '${body}' old`),
    'the default is one of those that are allowed',
  )
  assert.equal(await outcome(configure(anna, { historylength: '5' })), 'not-acceptable')
  await house.reload({ featureConfig: { rooms: { 'max-history': 2 } } })
  assert.deepEqual(await history(bert, 'B'), ["m cafe/A '4' old", "m cafe/A '5' old"])
})

test('a new room is open at once where rooms are not locked; elsewhere it waits for as long as is set', async (t) => {
  const open = await withRooms(t, { lock: false })
  assert.deepEqual(await enter(open.anna, 'A'), [
    'p cafe/A owner/moderator =anna@example.org/r 110+201+170',
    "m cafe subject ''",
  ])
  assert.equal((await enter(open.bert, 'B')).length, 3, 'it was never configured')
  const locked = await withRooms(t, { 'lock-timeout': '30s' })
  await enter(locked.anna, 'A')
  assert.deepEqual(await enter(locked.bert, 'B'), ['p error cafe/B item-not-found'])
  locked.house.clock.turn(29_999)
  assert.deepEqual(await told(locked.anna), [])
  locked.house.clock.turn(1)
  assert.match((await told(locked.anna))[0] ?? '', /^p unavailable cafe\/A .*nobody has configured the room/)
})

test('administrators of the server own each room where that is set, and no room otherwise', async (t) => {
  for (const [owners, seen] of [
    [true, 'p cafe/D owner/moderator =dora@example.org/r 110+170'],
    [false, 'p cafe/D none/participant 110+170'],
  ] as const) {
    const { house, anna } = await gather(t, ['anna'], { featureConfig: { rooms: { 'admins-are-owners': owners } } })
    house.accounts.list.delete('dora@example.org')
    house.accounts.role = 'admin'
    house.accounts.add('dora@example.org')
    const dora = await house.arrive('dora@example.org', 'r')
    await make(anna, 'A')
    assert.ok((await enter(dora, 'D')).includes(seen), seen)
    assert.equal(await outcome(configure(dora, { roomname: 'Mine' })), owners ? 'ok' : 'forbidden')
  }
})

test('nicks that look like another one’s are taken where the config allows them', async (t) => {
  const { anna, bert } = await withRooms(t, { 'look-alikes': 'allow' })
  await make(anna, 'Anna')
  assert.equal((await enter(bert, 'Аnna')).length, 3, 'with a Cyrillic letter')
})

test('pictures of rooms have a size; where there are none, those from before are not shown', async (t) => {
  const card = (octets: number) =>
    `<vCard xmlns='vcard-temp'><PHOTO><BINVAL>${Buffer.alloc(octets, 'x').toString('base64')}</BINVAL></PHOTO></vCard>`
  const { house, anna, bert } = await withRooms(t, { 'max-avatar': '1KiB' })
  await make(anna, 'A')
  assert.equal(await outcome(anna.request('set', card(1000), ROOM)), 'not-acceptable')
  assert.equal(await outcome(anna.request('set', card(600), ROOM)), 'ok')
  assert.ok(field(await described(bert), 'muc#roominfo_avatarhash'))
  assert.ok((await enter(bert, 'B')).includes('p cafe'), 'the picture is announced')
  await house.reload({ featureConfig: { rooms: { avatars: false } } })
  bert.send(`<presence type='unavailable' to='${ROOM}/B'/>`)
  await told(bert)
  assert.equal((await enter(bert, 'B')).includes('p cafe'), false)
  const info = await described(bert)
  assert.equal(field(info, 'muc#roominfo_avatarhash'), undefined)
  assert.equal(features(info).includes('vcard-temp'), false)
  assert.equal(await outcome(anna.request('set', card(600), ROOM)), 'service-unavailable')
  assert.equal(await outcome(bert.request('get', `<vCard xmlns='vcard-temp'/>`, ROOM)), 'service-unavailable')
})

test('members that are away are woken by every message, by those that name them, or by none', async (t) => {
  for (const [notify, woken] of [
    ['all', ['hello', 'dora!']],
    ['mentions', ['dora!']],
    ['nothing', []],
  ] as const) {
    const { house, anna } = await gather(t, ['anna'], { featureConfig: { rooms: { notify } } })
    const heard: (string | undefined)[] = []
    house.chat.host(house.generation.scope).hooks.mentioned.on(({ stanza }) => {
      heard.push(stanza.childText('body'))
    })
    await make(anna, 'A')
    await admin(anna, `<item jid='dora@example.org' affiliation='member'/>`)
    for (const body of ['hello', 'dora!']) say(anna, body)
    await told(anna)
    assert.deepEqual(heard, woken, notify)
  }
})

test('the archive of a room: pages as big as is set, no bigger than allowed, for as long as is kept', async (t) => {
  const { house, anna } = await withRooms(t, { 'archive-page': 2, 'archive-max-page': 3, 'archive-keep': '7d' })
  await make(anna, 'A')
  for (const body of ['1', '2', '3', '4']) say(anna, body)
  await told(anna)
  const max = (count: number) => `<set xmlns='http://jabber.org/protocol/rsm'><max>${count}</max></set>`
  assert.deepEqual(await archived(anna), { texts: ['1', '2'], complete: false })
  assert.deepEqual(await archived(anna, max(100)), { texts: ['1', '2', '3'], complete: false })
  house.clock.turn(6 * DAY)
  assert.equal((await archived(anna)).texts.length, 2)
  await configure(anna, { 'urn:aviso:rooms#archive_days': '300' })
  house.clock.turn(2 * DAY)
  assert.deepEqual((await archived(anna)).texts, [], 'an owner keeps nothing for longer')
})

test('the archive of a room has so many messages, the newest', async (t) => {
  const { anna } = await withRooms(t, { 'archive-max-messages': 3 })
  await make(anna, 'A')
  // They are looked through now and then.
  for (let index = PRUNED_EVERY; index > 0; index--) say(anna, `${index} to go`)
  await told(anna)
  assert.deepEqual((await archived(anna)).texts, ['3 to go', '2 to go', '1 to go'])
})

test('who was in a room when the server stopped has as long to come back as is set', async (t) => {
  const { house, anna, bert } = await withRooms(t, { 'return-within': '30s' })
  await make(anna, 'A', { persistentroom: '1' })
  await enter(bert, 'B')
  await house.crashAndStart()
  const dora = await house.arrive('dora@example.org', 'r')
  await enter(dora, 'D')
  house.clock.turn(29_999)
  assert.deepEqual(await told(dora), [])
  house.clock.turn(1)
  assert.deepEqual((await told(dora)).toSorted(), ['p unavailable cafe/A owner/none', 'p unavailable cafe/B none/none'])
})

test('the service has the name that is set, at the domain that is set', async (t) => {
  const { anna } = await withRooms(t, { name: 'Salons', domain: 'salon.{domain}' })
  const items = await anna.request('get', `<query xmlns='${NS.discoItems}'/>`, 'example.org')
  const rooms = items.firstElement?.childrenNamed('item').find((item) => item.get('jid') === 'salon.example.org')
  assert.ok(rooms)
  const { firstElement } = await anna.request('get', `<query xmlns='${NS.discoInfo}'/>`, 'salon.example.org')
  assert.equal(firstElement?.child('identity')?.get('name'), 'Salons')
  assert.match((await enter(anna, 'A', { room: 'cafe@salon.example.org' }))[0] ?? '', /110\+201/)
  assert.equal(
    await outcome(anna.request('get', `<query xmlns='${NS.discoInfo}'/>`, SERVICE)),
    'remote-server-not-found',
  )
})
