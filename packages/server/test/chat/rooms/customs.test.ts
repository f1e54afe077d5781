// The customs of rooms, each on its own: nicks that are reserved, voices, what is told of a room and to whom.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import type { Peer } from '../house.ts'
import { admin, configure, enter, gather, make, MUC, outcome, ROOM, say, SERVICE, submitted, told } from './lobby.ts'

const register = (peer: Peer, nick: string): Promise<Element> =>
  peer.request(
    'set',
    `<query xmlns='jabber:iq:register'>${submitted({ 'muc#register_roomnick': nick }, `${MUC}#register`)}</query>`,
    ROOM,
  )

/** The fields of a form, by their names. */
const fieldsOf = (form: Element | undefined): ReadonlyMap<string | undefined, string | undefined> =>
  new Map((form?.childrenNamed('field') ?? []).map((field) => [field.get('var'), field.childText('value')]))

const describe = async (peer: Peer, room = ROOM): Promise<Element> => {
  const { firstElement: query } = await peer.request('get', `<query xmlns='${NS.discoInfo}'/>`, room)
  assert.ok(query)
  return query
}

test('whose nick is reserved gets it whatever he asks for (210), keeps it, and is put out with another one', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'], {
    featureConfig: { rooms: { 'register-unaffiliated': true, 'enforce-nicks': true } },
  })
  await make(anna, 'A')
  await enter(bert, 'B')
  await register(bert, 'Bertie')
  assert.deepEqual(await told(bert), [
    'p cafe/B member/participant 110',
    'p unavailable cafe/B member/none (your nick here is Bertie) 110+307',
  ])
  assert.deepEqual(await enter(bert, 'B'), [
    'p cafe/A owner/moderator',
    'p cafe/Bertie member/participant 110+210+170',
    "m cafe subject ''",
  ])
  bert.send(`<presence to='${ROOM}/B'/>`)
  assert.deepEqual(await told(bert), ['p error cafe/B not-acceptable'])
})

test('a nick may be written as people write; what only deceives or cannot be an address may not', async (t) => {
  const { anna } = await gather(t, ['anna'])
  // muc_nickname_robotface: RFC 7622 allows what came after Unicode 3.2.
  for (const nick of ['🤖', 'Ünï cødé', '李', '&lt;b&gt;&amp;', 'O&apos;Hara']) {
    await make(anna, nick)
    anna.send(`<presence type='unavailable' to='${ROOM}/${nick}'/>`)
    await told(anna)
  }
  for (const nick of ['a&#x202e;b', 'a&#x7f;b', 'a&#xad;b', 'x'.repeat(1024)])
    assert.match((await enter(anna, nick))[0] ?? '', /jid-malformed$/, nick)
  assert.match((await enter(anna, 'x'.repeat(101)))[0] ?? '', /not-acceptable$/)
})

test('who makes a room may give it its password at once', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await enter(anna, 'A', { x: '<password>sesame</password>' })
  await configure(anna)
  assert.deepEqual(await enter(bert, 'B'), ['p error cafe/B not-authorized'])
  assert.equal((await enter(bert, 'B', { x: '<password>sesame</password>' })).length, 3)
})

test('voice: nobody who has it asks for it, and who is denied it stays quiet', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A')
  await enter(bert, 'B')
  const request = `<message to='${ROOM}'>${submitted({ 'muc#role': 'participant' }, `${MUC}#request`)}</message>`
  bert.send(request)
  assert.deepEqual(await told(bert), ['m error cafe not-allowed'], 'everybody has a voice here')
  await configure(anna, { moderatedroom: '1' })
  await enter(dora, 'D')
  dora.send(request)
  await dora.sync()
  assert.equal((await told(bert)).includes('m cafe'), false, 'the form is for moderators')
  assert.ok((await told(anna)).includes('m cafe'))
  const answer = (allow: string) =>
    `<message to='${ROOM}'>${submitted({ 'muc#roomnick': 'D', 'muc#request_allow': allow }, `${MUC}#request`)}</message>`
  anna.send(answer('0'))
  await anna.sync()
  await told(dora)
  say(dora, 'hm')
  assert.deepEqual(await told(dora), ['m error cafe forbidden'])
  anna.send(answer('1'))
  await anna.sync()
  await told(dora)
  say(dora, 'thanks')
  assert.deepEqual(await told(dora), ["m cafe/D 'thanks'"])
  dora.send(request)
  assert.deepEqual(await told(dora), ['m error cafe not-allowed'])
})

test('private messages for moderators only; a member is more than anybody where only members may', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A', { allowpm: 'moderators' })
  await enter(bert, 'B')
  await enter(dora, 'D')
  const whisper = async (from: Peer, to: string): Promise<string> => {
    await told(from)
    from.send(`<message type='chat' to='${ROOM}/${to}'><body>psst</body></message>`)
    return (await told(from))[0] ?? 'ok'
  }
  assert.equal(await whisper(bert, 'D'), 'm error cafe/D policy-violation')
  assert.equal(await whisper(bert, 'A'), 'ok')
  assert.equal(await whisper(anna, 'B'), 'ok')
  await configure(anna, { allowpm: 'affiliated' })
  assert.equal(await whisper(bert, 'D'), 'm error cafe/D policy-violation')
  // By the nick alone, without an address (Prosody's issue 1224).
  await admin(anna, `<item nick='B' affiliation='member'/>`)
  assert.equal(await whisper(bert, 'D'), 'ok')
  assert.deepEqual((await told(dora)).slice(-2), ['p cafe/B member/participant by A', "m chat cafe/B 'psst'"])
})

test('what is shown of the history: what was said, encrypted or marked; not what nobody wants kept', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'], {
    featureConfig: { rooms: { defaults: { archive: false } } },
  })
  await make(anna, 'A')
  const hint = (name: string): string => `<${name} xmlns='urn:xmpp:hints'/>`
  for (const [id, content] of [
    ['text', '<body>hello</body>'],
    ['no-store', `<body>psst</body>${hint('no-store')}`],
    ['no-permanent-store', `<body>psst</body>${hint('no-permanent-store')}`],
    ['encrypted', `<encryption xmlns='urn:xmpp:eme:0' namespace='urn:x' name='X'/>`],
    ['marker', `<displayed xmlns='urn:xmpp:chat-markers:0' id='text'/>`],
    ['store', `<x xmlns='urn:x'/>${hint('store')}`],
    ['typing', `<composing xmlns='http://jabber.org/protocol/chatstates'/>`],
  ])
    anna.send(`<message type='groupchat' to='${ROOM}' id='${id}'>${content}</message>`)
  const heard = (await anna.sync(), anna.clear()).map((stanza) => stanza.get('id'))
  assert.equal(heard.length, 7, 'everybody who is there hears all of it')
  await enter(bert, 'B')
  bert.send(`<presence to='${ROOM}/B'><x xmlns='${MUC}'/></presence>`)
  await bert.sync()
  const shown = bert.clear().filter((stanza) => stanza.child('delay', NS.delay) !== undefined)
  assert.deepEqual(
    shown.map((stanza) => stanza.get('id')),
    ['text', 'encrypted', 'marker', 'store'],
  )
  assert.ok(shown.every((stanza) => stanza.child('delay', NS.delay)?.get('from') === ROOM))
})

test('a room describes itself, and its form has headings', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  const settings = {
    roomname: 'Café',
    roomdesc: 'Coffee &amp; cake',
    lang: 'fr',
    changesubject: '1',
    historylength: '7',
  }
  await make(anna, 'A', settings)
  const info = await describe(bert)
  assert.deepEqual(
    [...(info.child('identity')?.attrs ?? [])],
    [
      ['category', 'conference'],
      ['type', 'text'],
      ['name', 'Café'],
    ],
  )
  const features = info.childrenNamed('feature').map((feature) => feature.get('var'))
  for (const name of [
    `${MUC}#stable_id`,
    `${MUC}#self-ping-optimization`,
    'urn:xmpp:occupant-id:0',
    'urn:xmpp:mam:2#extended',
    'muc_hidden',
    'muc_temporary',
    'muc_open',
    'muc_semianonymous',
    'muc_unmoderated',
    'muc_unsecured',
  ])
    assert.ok(features.includes(name), name)
  const fields = fieldsOf(info.child('x', 'jabber:x:data'))
  assert.equal(fields.get('FORM_TYPE'), `${MUC}#roominfo`)
  assert.equal(fields.get('muc#roominfo_description'), 'Coffee & cake')
  assert.equal(fields.get('muc#roominfo_lang'), 'fr')
  assert.equal(fields.get('muc#roominfo_occupants'), '1')
  assert.equal(fields.get('muc#roominfo_changesubject'), '1')
  assert.equal(fields.get('muc#maxhistoryfetch'), '7')
  const form = (await anna.request('get', `<query xmlns='${MUC}#owner'/>`, ROOM)).firstElement?.child(
    'x',
    'jabber:x:data',
  )
  const headings = form?.childrenNamed('field').filter((field) => field.get('type') === 'fixed') ?? []
  assert.deepEqual(
    headings.map((field) => field.childText('value')),
    ['Room information', 'Access and invitations', 'Who may do what', 'History'],
  )
})

test('the id of an occupant is the same with every nick, and another one in every room', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  const tea = `tea@${SERVICE}`
  await make(anna, 'A')
  await make(anna, 'A', {}, tea)
  const idOf = async (nick: string, room: string): Promise<string | undefined> => {
    await enter(bert, nick, { room })
    const presence = (await anna.sync(), anna.clear()).find((stanza) => stanza.get('from') === `${room}/${nick}`)
    bert.send(`<presence type='unavailable' to='${room}/${nick}'/>`)
    await told(bert)
    await told(anna)
    return presence?.child('occupant-id', 'urn:xmpp:occupant-id:0')?.get('id')
  }
  const id = await idOf('B', ROOM)
  assert.match(id ?? '', /^[\w-]{43}$/)
  assert.equal(await idOf('C', ROOM), id)
  assert.notEqual(await idOf('B', tea), id)
})

test('whose address becomes open is seen with it from the next presence on (172), and not any more once it is closed', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A', { whois: 'anyone' })
  await enter(bert, 'B')
  anna.send(`<presence to='${ROOM}/A'><show>away</show></presence>`)
  await anna.sync()
  assert.deepEqual(await told(bert), ['p cafe/A owner/moderator =anna@example.org/r'])
  await configure(anna, { whois: 'moderators' })
  await told(bert)
  anna.send(`<presence to='${ROOM}/A'/>`)
  await anna.sync()
  assert.deepEqual(await told(bert), ['p cafe/A owner/moderator'])
  bert.send(`<presence type='probe' to='${ROOM}/A'/>`)
  assert.deepEqual(await told(bert), ['p cafe/A owner/moderator'])
})

test('a card and nodes asked of an occupant are those of the account, and are told to be the occupant’s', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await enter(bert, 'B')
  await told(anna)
  const PUBSUB = 'http://jabber.org/protocol/pubsub'
  const options = `<publish-options>${submitted({ 'pubsub#access_model': 'open' }, `${PUBSUB}#publish-options`)}</publish-options>`
  for (const [node, more] of [
    ['urn:x:open', options],
    ['urn:x:private', ''],
  ])
    await anna.request(
      'set',
      `<pubsub xmlns='${PUBSUB}'><publish node='${node}'><item id='1'><x xmlns='urn:x'>seen</x></item></publish>${more}</pubsub>`,
    )
  const items = (node: string): Promise<Element> =>
    bert.request('get', `<pubsub xmlns='${PUBSUB}'><items node='${node}'/></pubsub>`, `${ROOM}/A`)
  const seen = await items('urn:x:open')
  assert.equal(seen.get('from'), `${ROOM}/A`)
  assert.match(seen.toString(), /seen/)
  assert.doesNotMatch(seen.toString(), /anna@/, 'who she is, is not told')
  // In a room one is nobody's contact.
  assert.equal(await outcome(items('urn:x:private')), 'service-unavailable')
  const write = `<pubsub xmlns='${PUBSUB}'><publish node='urn:x:open'><item id='2'><x xmlns='urn:x'/></item></publish></pubsub>`
  assert.equal(await outcome(bert.request('set', write, `${ROOM}/A`)), 'forbidden')
})

test('the archive goes with the room: who makes it anew finds nothing of what was said, or of who was banned', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'], { featureConfig: { rooms: { tombstones: '0s' } } })
  await make(anna, 'A', { persistentroom: '1' })
  say(anna, 'secret')
  anna.send(`<message type='groupchat' to='${ROOM}'><subject>plans</subject></message>`)
  await admin(anna, `<item jid='bert@example.org' affiliation='outcast'/>`)
  await anna.request('set', `<query xmlns='${MUC}#owner'><destroy/></query>`, ROOM)
  house.clock.turn(1)
  assert.deepEqual(await enter(bert, 'B'), [
    'p cafe/B owner/moderator =bert@example.org/r 110+201+170',
    "m cafe subject ''",
  ])
  await configure(bert)
  await told(bert)
  await bert.request('set', `<query xmlns='${NS.mam}'/>`, ROOM)
  assert.deepEqual(
    bert.clear().filter((stanza) => stanza.child('result', NS.mam) !== undefined),
    [],
  )
})
