// The same card, avatar and bookmarks for old clients and new ones.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { el, NO_CONTEXT, readElement } from '@aviso/xmpp'
import * as fc from 'fast-check'
import { toVcard4, toVcardTemp } from '../../../src/chat/pubsub/vcard4.ts'
import { xmlEntriesStore } from '../../../src/chat/features/xml-entries.store.ts'
import { opener, type Peer } from '../house.ts'
import { arriveWanting, itemsOf, PUBSUB, settled, told, toldBy } from './clients.ts'

const open = opener()

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CLEO = 'cleo@example.net'
const DATA = 'urn:xmpp:avatar:data'
const METADATA = 'urn:xmpp:avatar:metadata'
const VCARD4 = 'urn:ietf:params:xml:ns:vcard-4.0'
const NATIVE = 'urn:xmpp:bookmarks:1'
const STORAGE = 'storage:bookmarks'
const LIMITS = { depth: 20, attributes: 20, prefixes: 5 }

const picture = Buffer.from('\x89PNG a small picture', 'latin1')
const base64 = picture.toString('base64')
const hash = createHash('sha1').update(picture).digest('hex')

const set = (peer: Peer, node: string, id: string, xml: string, options = ''): Promise<unknown> =>
  peer.request(
    'set',
    `<pubsub xmlns='${PUBSUB}'><publish node='${node}'><item id='${id}'>${xml}</item></publish>${options}</pubsub>`,
  )

const setAvatar = async (peer: Peer): Promise<void> => {
  await set(peer, DATA, hash, `<data xmlns='${DATA}'>${base64}</data>`)
  await set(
    peer,
    METADATA,
    hash,
    `<metadata xmlns='${METADATA}'><info id='${hash}' bytes='20' type='image/png'/></metadata>`,
  )
}

const card = async (peer: Peer, to?: string) =>
  (await peer.request('get', `<vCard xmlns='vcard-temp'/>`, to)).firstElement

/** What a presence says of its sender's avatar. */
const photos = async (peer: Peer, sender?: Peer): Promise<(string | undefined)[]> => {
  await sender?.sync()
  await settled(peer)
  return peer
    .clear()
    .filter(({ name, attrs }) => name === 'presence' && attrs.get('type') === undefined)
    .map((presence) => presence.child('x', 'vcard-temp:x:update')?.childText('photo'))
}

test('an avatar that a new client publishes is the photo of the card, and its hash is in presence (XEP-0398)', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await arriveWanting(house, BERT, 'hill', [METADATA])
  const anna = await house.arrive(ANNA, 'sea')
  bert.clear()
  anna.send('<presence><status>hello</status></presence>')
  assert.deepEqual(await photos(bert, anna), [undefined])
  await setAvatar(anna)
  await settled(bert)
  const stanzas = bert.clear()
  assert.deepEqual(stanzas.flatMap(toldBy), [`${ANNA} ${METADATA} ${hash}=`])
  const [again, ...more] = stanzas.filter(({ name }) => name === 'presence')
  assert.equal(more.length, 0)
  assert.equal(again?.child('x', 'vcard-temp:x:update')?.childText('photo'), hash)
  assert.equal(again?.childText('status'), 'hello')
  const photo = (await card(bert, ANNA))?.child('PHOTO')
  assert.deepEqual([photo?.childText('TYPE'), photo?.childText('BINVAL')], ['image/png', base64])
  // Directed presence, too: a room gets the hash.
  anna.send(`<presence to='${bert.full}'/>`)
  assert.deepEqual(await photos(bert, anna), [hash])
  // Other words of the client's: nothing to say yet, something that is old, nothing at all.
  for (const [x, shown] of [
    [`<x xmlns='vcard-temp:x:update'/>`, hash],
    [`<x xmlns='vcard-temp:x:update'><photo>0123</photo></x>`, hash],
    [`<x xmlns='vcard-temp:x:update'><photo/></x>`, ''],
  ] as const) {
    anna.send(`<presence>${x}</presence>`)
    assert.deepEqual(await photos(bert, anna), [shown], x)
  }
  anna.send('<presence/>')
  await photos(bert, anna)
  // A new login knows it from the start.
  const phone = await house.arrive(ANNA, 'phone')
  assert.deepEqual(await photos(bert, phone), [hash])
  // The avatar is taken back, and a new one comes.
  await set(phone, METADATA, 'none', `<metadata xmlns='${METADATA}'/>`)
  assert.deepEqual(new Set(await photos(bert, phone)), new Set(['']))
  assert.equal((await card(anna))?.child('PHOTO'), undefined)
  await setAvatar(phone)
  assert.deepEqual(new Set(await photos(bert, phone)), new Set([hash]))
})

test('the avatar is for those only who may see its nodes', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const [bert, cleo] = [await house.arrive(BERT, 'hill'), await house.arrive(CLEO, 'city')]
  await setAvatar(anna)
  assert.equal((await card(bert, ANNA))?.child('PHOTO')?.childText('BINVAL'), base64)
  await assert.rejects(card(cleo, ANNA), { condition: 'service-unavailable' })
})

test('a hash that is not that of the picture makes no photo', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const other = hash.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))
  await set(anna, DATA, other, `<data xmlns='${DATA}'>${base64}</data>`)
  await set(
    anna,
    METADATA,
    other,
    `<metadata xmlns='${METADATA}'><info id='${other}' bytes='20' type='image/png'/></metadata>`,
  )
  assert.equal((await card(anna))?.child('PHOTO'), undefined)
})

test('a card that an old client sets is a vCard4 and an avatar (vcard_temp); everybody sees it', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await arriveWanting(house, BERT, 'hill', [METADATA, 'urn:xmpp:vcard4'])
  const anna = await house.arrive(ANNA, 'sea')
  const cleo = await house.arrive(CLEO, 'city')
  bert.clear()
  await anna.request(
    'set',
    `<vCard xmlns='vcard-temp'><NICKNAME>Annie</NICKNAME><TEL><WORK/><NUMBER>+1 23</NUMBER></TEL><MAILER>x</MAILER><PHOTO><TYPE>image/x-wrong</TYPE><BINVAL>${base64}</BINVAL></PHOTO></vCard>`,
  )
  const news = await told(bert)
  assert.deepEqual(news.map((line) => line.split('=')[0]).toSorted(), [
    `${ANNA} ${METADATA} ${hash}`,
    `${ANNA} urn:xmpp:vcard4 current`,
  ])
  const seen = await card(cleo, ANNA)
  assert.equal(seen?.childText('FN'), 'Annie', 'clients want a name')
  assert.ok(seen?.child('N') !== undefined)
  assert.deepEqual(
    [seen.child('TEL')?.childText('NUMBER'), seen.child('TEL')?.child('WORK')?.name, seen.childText('MAILER')],
    ['+1 23', 'WORK', 'x'],
  )
  assert.deepEqual(
    [seen.child('PHOTO')?.childText('TYPE'), seen.child('PHOTO')?.childText('BINVAL')],
    ['image/png', base64],
  )
  const new4 = (await cleo.request('get', `<vcard xmlns='${VCARD4}'/>`, ANNA)).firstElement
  assert.equal(new4?.child('nickname')?.childText('text'), 'Annie')
  assert.equal(new4?.child('tel')?.childText('uri'), 'tel:+1%2023')
  assert.equal((await itemsOf(cleo, METADATA, ANNA)).length, 1)
  // The same card again tells nobody of a new avatar.
  await anna.request('set', seen.toString())
  assert.deepEqual(
    (await told(bert)).map((line) => line.split('=')[0]),
    [`${ANNA} urn:xmpp:vcard4 current`],
  )
  // The new form is the old one.
  await anna.request('set', `<vcard xmlns='${VCARD4}'><fn><text>Anna B.</text></fn></vcard>`)
  assert.equal((await card(bert, ANNA))?.childText('FN'), 'Anna B.')
  await assert.rejects(bert.request('set', `<vcard xmlns='${VCARD4}'/>`, ANNA), { condition: 'forbidden' })
  // An empty card takes all of it back.
  await anna.request('set', `<vCard xmlns='vcard-temp'/>`)
  assert.equal((await card(anna))?.children.length, 0)
  await assert.rejects(card(cleo, ANNA), { condition: 'service-unavailable' })
  await assert.rejects(
    anna.request('set', `<vCard xmlns='vcard-temp'><PHOTO><BINVAL>no picture!</BINVAL></PHOTO></vCard>`),
    { condition: 'bad-request' },
  )
})

test('a card and bookmarks from before are moved at the next login', async () => {
  const house = await open()
  const old = `<vCard xmlns='vcard-temp'><FN>Anna</FN><PHOTO><BINVAL>${base64}</BINVAL></PHOTO></vCard>`
  const storage = `<storage xmlns='${STORAGE}'><conference jid='Room@rooms.example' autojoin='1'><nick>A</nick></conference><url url='https://example.org' name='home'/></storage>`
  const entries = [
    { xmlns: 'vcard-temp', name: 'vCard', xml: old },
    { xmlns: STORAGE, name: 'storage', xml: storage },
  ]
  await house.store.account(xmlEntriesStore, 'idannaexampleorg').set({ entries, limit: 10 })
  const bert = await house.arrive(BERT, 'hill')
  assert.equal((await card(bert, ANNA))?.childText('FN'), 'Anna', 'it is there before')
  const anna = await house.arrive(ANNA, 'sea')
  await settled(anna)
  const items = await anna.request('get', `<pubsub xmlns='${PUBSUB}'><items node='${NATIVE}'/></pubsub>`)
  const item = items.child('pubsub', PUBSUB)?.child('items')?.firstElement
  assert.equal(item?.get('id'), 'room@rooms.example')
  assert.equal(item?.firstElement?.childText('nick', NATIVE), 'A')
  assert.equal((await itemsOf(bert, METADATA, ANNA)).length, 1)
  assert.equal((await card(bert, ANNA))?.childText('FN'), 'Anna')
  const left = await house.store
    .account(xmlEntriesStore, 'idannaexampleorg')
    .get({ xmlns: 'vcard-temp', name: 'vCard' })
  assert.equal(left, undefined)
})

const readPrivate = async (peer: Peer): Promise<string> => {
  const result = await peer.request('get', `<query xmlns='jabber:iq:private'><storage xmlns='${STORAGE}'/></query>`)
  return result.firstElement?.firstElement?.toString() ?? ''
}

test('bookmarks: published, two of them, retracted, in all three forms (bookmarks2, empty_bookmarks)', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await arriveWanting(house, ANNA, 'sea', [NATIVE, STORAGE])
  const bert = await arriveWanting(house, BERT, 'hill', [NATIVE, STORAGE], true)
  for (const node of [STORAGE, NATIVE]) await assert.rejects(itemsOf(anna, node), { condition: 'item-not-found' })
  const options = `<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${PUBSUB}#publish-options</value></field><field var='pubsub#persist_items'><value>true</value></field><field var='pubsub#max_items'><value>max</value></field><field var='pubsub#send_last_published_item'><value>never</value></field><field var='pubsub#access_model'><value>whitelist</value></field></x></publish-options>`
  const room = (id: string, more = ''): Promise<unknown> =>
    set(
      anna,
      NATIVE,
      id,
      `<conference xmlns='${NATIVE}' name='Play' autojoin='true'><nick>JC</nick>${more}</conference>`,
      options,
    )
  await room('play@rooms.example', `<extensions><state xmlns='urn:example:state'/></extensions>`)
  await room('orchard@rooms.example')
  assert.deepEqual((await told(anna)).map((line) => line.split(' ')[1]).toSorted(), [STORAGE, STORAGE, NATIVE, NATIVE])
  assert.deepEqual(await told(bert), [], 'they are private')
  await assert.rejects(itemsOf(bert, NATIVE, ANNA), { condition: 'not-allowed' })
  await assert.rejects(itemsOf(bert, STORAGE, ANNA), { condition: 'item-not-found' })
  const one = `<conference jid='play@rooms.example' name='Play' autojoin='true'><nick>JC</nick></conference>`
  const other = one.replace('play@', 'orchard@')
  assert.equal(await readPrivate(anna), `<storage xmlns='${STORAGE}'>${one}${other}</storage>`)
  const asNode = await anna.request('get', `<pubsub xmlns='${PUBSUB}'><items node='${STORAGE}'/></pubsub>`)
  const [item] = asNode.child('pubsub', PUBSUB)?.child('items')?.elements ?? []
  assert.deepEqual([item?.get('id'), item?.firstElement?.elements.length], ['current', 2])

  // An old client changes one, adds one, leaves one out.
  const query = (rooms: string): Promise<unknown> =>
    anna.request('set', `<query xmlns='jabber:iq:private'><storage xmlns='${STORAGE}'>${rooms}</storage></query>`)
  await query(`${one.replace('JC', 'Puck')}<conference jid='new@rooms.example'/>`)
  const lines = (await told(anna)).filter((line) => line.includes(` ${NATIVE} `))
  assert.deepEqual(lines.map((line) => line.split(' ')[2]?.split('=')[0]).toSorted(), [
    '-orchard@rooms.example',
    'new@rooms.example',
    'play@rooms.example',
  ])
  const native = await anna.request(
    'get',
    `<pubsub xmlns='${PUBSUB}'><items node='${NATIVE}'><item id='play@rooms.example'/></items></pubsub>`,
  )
  const play = native.child('pubsub', PUBSUB)?.child('items')?.firstElement?.firstElement
  assert.equal(play?.childText('nick'), 'Puck')
  assert.ok(play?.child('extensions')?.child('state', 'urn:example:state'), 'what old clients do not know stays')
  // By the old node, with an old client's own words for what is no room.
  await set(anna, STORAGE, 'current', `<storage xmlns='${STORAGE}'><url url='https://example.org'/></storage>`)
  assert.deepEqual(await itemsOf(anna, NATIVE), [])
  assert.equal(await readPrivate(anna), `<storage xmlns='${STORAGE}'><url url='https://example.org'/></storage>`)
  await assert.rejects(query(`<conference jid='@@'/>`), { condition: 'jid-malformed' })
  await assert.rejects(query(`<conference jid='a@b'/><conference jid='A@b'/>`), { condition: 'jid-malformed' })
})

test('bookmarks in the old form are written whole or not at all, and told in one go', async () => {
  const house = await open({ featureConfig: { pep: { 'max-item-octets': 300 } } })
  const anna = await arriveWanting(house, ANNA, 'sea', [NATIVE])
  const write = (content: string): Promise<unknown> =>
    anna.request('set', `<query xmlns='jabber:iq:private'><storage xmlns='${STORAGE}'>${content}</storage></query>`)
  const room = (name: string, title = ''): string => `<conference jid='${name}@rooms.example' name='${title}'/>`
  const url = `<url url='https://example.org'/>`
  await write(room('a') + room('b') + room('c') + url)
  await settled(anna)
  const kept = await readPrivate(anna)
  anna.clear()
  // One is too large: neither the others nor what is gone, nor what is no room, is another one now.
  await assert.rejects(write(room('new') + room('a', 'x'.repeat(400))), { condition: 'not-acceptable' })
  assert.equal(await readPrivate(anna), kept)
  assert.deepEqual(await told(anna), [])
  await write(room('c', 'C') + room('d'))
  await settled(anna)
  const messages = anna.clear().map(toldBy)
  assert.deepEqual(
    messages.map((lines) => lines.map((line) => line.split(' ')[2]?.split('=')[0])),
    [
      ['c@rooms.example', 'd@rooms.example'],
      ['-a@rooms.example', '-b@rooms.example'],
    ],
  )
  assert.doesNotMatch(await readPrivate(anna), /url/)
})

test('without personal events, cards and private XML are kept as they are', async () => {
  const house = await open({ hosts: { 'example.org': { featureConfig: { pep: false } } } })
  const anna = await house.arrive(ANNA, 'sea')
  await anna.request('set', `<vCard xmlns='vcard-temp'><FN>Anna</FN></vCard>`)
  assert.equal((await card(anna))?.toString(), `<vCard xmlns='vcard-temp'><FN>Anna</FN></vCard>`)
  const storage = `<storage xmlns='${STORAGE}'><conference jid='r@rooms'/></storage>`
  await anna.request('set', `<query xmlns='jabber:iq:private'>${storage}</query>`)
  assert.equal(await readPrivate(anna), storage)
  await assert.rejects(itemsOf(anna, NATIVE), { condition: 'service-unavailable' })
  const cleo = await house.arrive(CLEO, 'city')
  await setAvatar(cleo)
  assert.equal((await card(cleo))?.child('PHOTO')?.childText('BINVAL'), base64)
})

test('a card that went to vCard4 and back says the same', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((each) => /^[^\p{C}]+$/u.test(each))
  const property = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('FN', 'NICKNAME', 'URL', 'BDAY', 'TITLE', 'ROLE', 'NOTE', 'JABBERID', 'UID', 'MAILER', 'LABEL'),
        text,
      )
      .map(([name, value]) => el(name, {}, value)),
    fc
      .tuple(text, text)
      .map(([family, given]) =>
        el('N', {}, el('FAMILY', {}, family), el('GIVEN', {}, given), el('MIDDLE'), el('PREFIX'), el('SUFFIX')),
      ),
    fc
      .tuple(fc.boolean(), fc.boolean(), text)
      .map(([home, preferred, number]) =>
        el('TEL', {}, home && el('HOME'), el('CELL'), preferred && el('PREF'), el('NUMBER', {}, number)),
      ),
    text.map((user) => el('EMAIL', {}, el('WORK'), el('USERID', {}, user))),
    fc
      .array(text, { minLength: 1, maxLength: 3 })
      .map(([first = '', ...units]) =>
        el('ORG', {}, el('ORGNAME', {}, first), ...units.map((unit) => el('ORGUNIT', {}, unit))),
      ),
  )
  fc.assert(
    fc.property(fc.array(property, { maxLength: 6 }), (properties) => {
      const before = el('vCard', { xmlns: 'vcard-temp' }, ...properties)
      const between = readElement(toVcard4(before).toString(), NO_CONTEXT, LIMITS)
      assert.equal(toVcardTemp(between).toString(), before.toString())
    }),
  )
})
