// Members of a room who are not in it and are spoken to: their phones are woken, by app servers elsewhere (XEP-0357).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import type { Peer } from './house.ts'
import { admin, make, ROOM, say, SERVICE, told } from './rooms/lobby.ts'
import { certified, component, Town, type TownHouse } from './s2s/town.ts'

const PUSH = 'urn:xmpp:push:0'
const PUBSUB = 'http://jabber.org/protocol/pubsub'
const DORA = 'dora@example.org'
const APPS = 'push.example.org'

const open = async (town: Town): Promise<TownHouse> => {
  const house = await town.open('example.org', {
    features: { rooms: {}, push: { content: 'sender' }, csi: {} },
    certificate: certified('example.org', SERVICE),
    components: [{ domain: APPS, secret: 'shh' }],
  })
  town.announce(SERVICE, house.servers)
  return house
}

/** Dora's phone registers with an app server, and goes. */
async function phone(house: TownHouse, app: string): Promise<void> {
  const dora = await house.arrive('dora', 'phone')
  await dora.request('set', `<enable xmlns='${PUSH}' jid='${app}' node='n1'/>`)
  await dora.client.close()
}

/** Anna is in a room that Dora belongs to. */
async function room(house: TownHouse): Promise<Peer> {
  const anna = await house.arrive('anna')
  await make(anna, 'A', { membersonly: '1', persistentroom: '1' })
  await admin(anna, `<item jid='${DORA}' affiliation='member' nick='Dodo'/>`)
  await told(anna)
  return anna
}

/** What a notification says. */
function notification(iq: Element): Readonly<Record<string, string>> {
  const publish = iq.child('pubsub', PUBSUB)?.child('publish')
  const form = publish?.child('item')?.child('notification', PUSH)?.child('x', 'jabber:x:data')
  const fields = form?.childrenNamed('field').map((field) => [field.get('var') ?? '', field.childText('value') ?? ''])
  return { node: publish?.get('node') ?? '', ...Object.fromEntries(fields ?? []) }
}

const MENTIONED = { node: 'n1', FORM_TYPE: 'urn:xmpp:push:summary', 'message-count': '1', 'last-message-sender': ROOM }

test('an app server on another server hears of a mention, and of nothing that was said to others', async (t) => {
  const town = new Town(t)
  const house = await open(town)
  const app = await (await town.open('apps.example')).arrive('app')
  await phone(house, app.full)
  const anna = await room(house)
  say(anna, 'nobody in particular')
  say(anna, 'dodo, are you there?')
  const iq = await app.next()
  assert.deepEqual([iq.name, iq.get('type'), iq.get('from')], ['iq', 'set', DORA])
  assert.deepEqual(notification(iq), MENTIONED)
  app.send(`<iq type='result' id='${iq.get('id')}' to='${DORA}'/>`)
  // What the room keeps is there when she comes.
  const dora = await house.arrive('dora', 'phone')
  await dora.request('set', `<query xmlns='${NS.mam}'/>`, ROOM)
  const bodies = dora
    .clear()
    .map((stanza) => stanza.child('result', NS.mam)?.child('forwarded', NS.forward)?.child('message', NS.client))
    .map((message) => message?.childText('body'))
  assert.deepEqual(bodies, ['nobody in particular', 'dodo, are you there?'])
  assert.deepEqual(app.clear(), [])
})

test('an app server that is a component hears of it too; who is in the room, or was put out of it, is not woken', async (t) => {
  const house = await open(new Town(t))
  const app = await component(t, house, APPS)
  await app.until(/<handshake\/>/)
  await phone(house, APPS)
  const anna = await room(house)
  say(anna, 'Dodo?')
  const [text, id = ''] = await app.until(/<iq [^>]*id='([^']*)'[^>]*>.*?<\/iq>/)
  assert.match(text, /to='push\.example\.org'/)
  assert.match(text, /<publish node='n1'>.*last-message-sender.*cafe@rooms\.example\.org/)
  app.write(`<iq type='result' id='${id}' from='${APPS}' to='${DORA}'/>`)
  // With another client she is in the room herself.
  const dora = await house.arrive('dora', 'desk')
  dora.send(`<presence to='${ROOM}/Dodo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
  await told(dora)
  say(anna, 'hello Dodo')
  assert.ok((await told(anna)).includes("m cafe/A 'hello Dodo'"))
  await dora.client.close()
  await admin(anna, `<item jid='${DORA}' affiliation='outcast'/>`)
  say(anna, 'who was Dodo?')
  await told(anna)
  // A question to the component comes behind all that was meant for it.
  const asked = anna.request('get', `<ping xmlns='urn:xmpp:ping'/>`, APPS)
  const [between, ping = ''] = await app.until(/^.*<iq [^>]*id='([^']*)'[^>]*><ping/)
  assert.doesNotMatch(between, /notification/)
  app.write(`<iq type='result' id='${ping}' from='${APPS}' to='${anna.full}'/>`)
  await asked
})

test('a phone that is in the room and sleeps is woken by whatever is said there', async (t) => {
  const house = await open(new Town(t))
  const app = await component(t, house, APPS)
  const anna = await room(house)
  const dora = await house.arrive('dora', 'phone')
  await dora.request('set', `<enable xmlns='${PUSH}' jid='${APPS}' node='n1'/>`)
  dora.send(`<presence to='${ROOM}/Dodo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
  dora.send(`<inactive xmlns='urn:xmpp:csi:0'/>`)
  await told(dora)
  say(anna, 'news for everybody')
  await app.until(/<publish node='n1'>.*last-message-sender.*cafe@rooms\.example\.org/)
})
