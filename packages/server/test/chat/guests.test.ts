// People without an account (XEP-0175): they are let in, chat, and leave nothing behind.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { clientMechanism } from '@aviso/sasl'
import { Client, type Element, NS } from '@aviso/xmpp'
import { accountStore } from '../../src/accounts/store.ts'
import { rosterStore } from '../../src/chat/core/roster.store.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { cut, House, type HouseOptions, Peer, RawStream, short } from './house.ts'

const houses: House[] = []
const open = async (options: HouseOptions = {}): Promise<House> => {
  const house = await House.open({ real: true, hosts: { 'example.net': { guests: true } }, ...options })
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const SM = NS.streamManagement
const GUEST = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}@example\.net$/

/** Lets a guest in, as far as his own presence. */
async function arrive(house: House): Promise<Peer> {
  const receiver: { peer: Peer | undefined } = { peer: undefined }
  const client = await Client.connect({
    domain: 'example.net',
    connect: () => house.socket(),
    sasl: (names) => clientMechanism(names, { anonymous: true, secure: true }),
    onStanza: (stanza: Element) => receiver.peer?.take(stanza),
  })
  const peer = new Peer(client)
  receiver.peer = peer
  peer.send('<presence/>')
  await peer.sync()
  peer.clear()
  return peer
}

const rows = (house: House) => house.store.core(accountStore)
const folderOf = (house: House, bare: string): string => {
  const id = (bare.split('@')[0] ?? '').replaceAll('-', '')
  return join(house.folder, 'accounts', id.slice(-2), id)
}

/** Until nothing is written down of guests any more. */
async function erased(house: House): Promise<void> {
  while ((await rows(house).guests()).length > 0) {
    house.clock.turn(100)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function features(house: House, domain: string): Promise<string> {
  const stream = new RawStream(await house.socket())
  stream.open(domain)
  const [text] = await stream.until(/<stream:features>[^]*<\/stream:features>/)
  return text
}

test('a domain of guests offers ANONYMOUS and nothing else, others never do', async () => {
  const house = await open({ featureConfig: { registration: { open: true } } })
  const guests = await features(house, 'example.net')
  assert.deepEqual(
    [...guests.matchAll(/<mechanism>([^<]+)/g)].map(([, name]) => name),
    ['ANONYMOUS', 'ANONYMOUS'],
    'once for each kind of SASL, and no tokens',
  )
  assert.doesNotMatch(guests, /<register|UPGR/)
  const accounts = await features(house, 'example.org')
  assert.doesNotMatch(accounts, /ANONYMOUS/)
  assert.match(accounts, /<register/)
  // cleo has an account there, and no way to chat with it.
  await assert.rejects(house.login('cleo@example.net'), /./)
  const stream = new RawStream(await house.socket())
  stream.open('example.org')
  await stream.until(/<\/stream:features>/)
  stream.write(`<auth xmlns='${NS.sasl}' mechanism='ANONYMOUS'/>`)
  await stream.until(/<failure [^]*<invalid-mechanism/)
})

test('a guest gets an address, chats with those who are here, and is anonymous by his own word', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const guest = await arrive(house)
  assert.match(guest.bare, GUEST)
  guest.send(`<message to='${ANNA}' type='chat'><body>hello</body></message>`)
  assert.equal(short(await anna.next()), `message chat ${guest.full} 'hello'`)
  anna.send(`<message to='${guest.full}' type='chat'><body>who?</body></message>`)
  assert.equal(short(await guest.next()), `message chat ${anna.full} 'who?'`)
  const info = await guest.request('get', `<query xmlns='${NS.discoInfo}'/>`, guest.bare)
  const identity = info.elements[0]?.childrenNamed('identity').find((one) => one.get('category') === 'account')
  assert.equal(identity?.get('type'), 'anonymous')
  const mine = await anna.request('get', `<query xmlns='${NS.discoInfo}'/>`, ANNA)
  const other = mine.elements[0]?.childrenNamed('identity').find((one) => one.get('category') === 'account')
  assert.equal(other?.get('type'), 'registered')
})

test('a guest may neither write to other servers, nor make rooms, upload or register', async () => {
  const house = await open()
  const guest = await arrive(house)
  const refused = async (stanza: string): Promise<string> => {
    guest.send(stanza)
    return short(await guest.next())
  }
  assert.match(await refused(`<message to='dora@example.com' type='chat'><body>hi</body></message>`), /not-allowed/)
  guest.send(`<presence to='dora@example.com' type='subscribe'/>`)
  assert.match((await guest.news()).at(-1) ?? '', /not-allowed/)
  assert.match(
    await refused(`<presence to='cafe@rooms.example.org/me'><x xmlns='http://jabber.org/protocol/muc'/></presence>`),
    /not-allowed/,
  )
  await assert.rejects(
    guest.request('get', `<request xmlns='urn:xmpp:http:upload:0' filename='a.txt' size='3'/>`, 'upload.example.net'),
    /forbidden/,
  )
  await assert.rejects(
    guest.request('get', `<query xmlns='jabber:iq:register'/>`, 'example.net'),
    /service-unavailable/,
  )
})

test('with another role of the config guests may more', async () => {
  const house = await open({ roles: { guest: { allow: ['create-rooms', 'chat-elsewhere'] } } })
  const guest = await arrive(house)
  guest.send(`<presence to='cafe@rooms.example.org/me'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
  assert.match(short(await guest.next()), /^presence cafe@rooms\.example\.org\/me/)
  guest.clear()
  guest.send(`<message to='dora@example.com' type='chat'><body>hi</body></message>`)
  assert.match((await guest.news()).join(), /remote-server-not-found/)
})

test('what was kept of a guest goes with him, and his contacts are told', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const guest = await arrive(house)
  await guest.request('set', `<query xmlns='jabber:iq:private'><notes xmlns='n'>secret</notes></query>`)
  guest.send(`<presence to='${ANNA}' type='subscribe'/>`)
  assert.equal(short(await anna.next()), `presence subscribe ${guest.bare}`)
  for (const type of ['subscribed', 'subscribe']) anna.send(`<presence to='${guest.bare}' type='${type}'/>`)
  await anna.sync()
  guest.send(`<presence to='${ANNA}' type='subscribed'/>`)
  await guest.sync()
  await anna.sync()
  assert.ok(existsSync(folderOf(house, guest.bare)))
  anna.clear()
  await guest.client.close()
  await erased(house)
  const news = (await anna.news()).join('\n')
  assert.match(news, new RegExp(`presence unavailable ${guest.full}`))
  assert.match(news, new RegExp(`presence unsubscribe ${guest.bare}`))
  assert.match(news, new RegExp(`presence unsubscribed ${guest.bare}`))
  assert.equal(existsSync(folderOf(house, guest.bare)), false)
  anna.send(`<message to='${guest.bare}' type='chat'><body>there?</body></message>`)
  assert.match((await anna.news()).join(), /service-unavailable/)
  assert.equal(await house.admin.erased(guest.bare), undefined, 'there is no tombstone')
  assert.deepEqual(
    (await house.admin.listAccounts()).map(({ address }) => address),
    ['anna@example.org', 'bert@example.org', 'cleo@example.net'],
  )
})

test('so many guests at a time, and from one address', async () => {
  const { log, lines } = recordingLog()
  const house = await open({
    log,
    hosts: { 'example.net': { guests: true, 'max-guests': 3, 'guests-per-address': 2 } },
  })
  const first = await arrive(house)
  await arrive(house)
  await assert.rejects(arrive(house), /temporary-auth-failure/)
  assert.match(
    String(lines.find(({ outcome }) => outcome === 'refused')?.['reason']),
    /too many guests from that address/,
  )
  await first.client.close()
  await arrive(house)
  const few = await open({ hosts: { 'example.net': { guests: true, 'max-guests': 1 } } })
  await arrive(few)
  await assert.rejects(arrive(few), /temporary-auth-failure/)
})

test('who logs in and goes without a session leaves no place taken', async () => {
  const house = await open({ hosts: { 'example.net': { guests: true, 'max-guests': 1 } } })
  for (let round = 0; round < 3; round++) {
    const stream = new RawStream(await house.socket())
    stream.open('example.net')
    await stream.until(/<\/stream:features>/)
    stream.write(`<auth xmlns='${NS.sasl}' mechanism='ANONYMOUS'>=</auth>`)
    await stream.until(/<success/)
    await cut(house, { stream, id: '' })
  }
  await arrive(house)
})

/** Begins a managed stream by SASL2. */
async function managed(house: House, more = ''): Promise<{ stream: RawStream; success: string }> {
  const stream = new RawStream(await house.socket())
  stream.open('example.net')
  await stream.until(/<\/stream:features>/)
  const bind = `<bind xmlns='${NS.bind2}'><enable xmlns='${SM}' resume='true'/></bind>`
  stream.write(
    `<authenticate xmlns='${NS.sasl2}' mechanism='ANONYMOUS'><initial-response/>${bind}${more}</authenticate>`,
  )
  const [success] = await stream.until(/<success [^]*?<\/success>/)
  return { stream, success }
}

const addressOf = (success: string): string => /<authorization-identifier>([^<]+)/.exec(success)?.[1] ?? ''

test('a guest who lost his connection comes back as the one that he was', async () => {
  const house = await open({ hosts: { 'example.net': { guests: true, 'max-guests': 2 } } })
  const anna = await house.arrive(ANNA, 'sea')
  const first = await managed(house)
  const [, id = ''] = /id='([^']+)' resume/.exec(first.success) ?? []
  const full = addressOf(first.success)
  assert.match(full.split('/')[0] ?? '', GUEST)
  await cut(house, { stream: first.stream, id })
  anna.send(`<message type='chat' to='${full}'><body>missed</body></message>`)
  await anna.sync()
  const again = await managed(house, `<resume xmlns='${SM}' previd='${id}' h='0'/>`)
  assert.equal(addressOf(again.success), full)
  await again.stream.until(/<body>missed<\/body>/)
  // The one that he came back as was nobody: its place is free.
  const other = await managed(house)
  assert.notEqual(addressOf(other.success), full)
  // Without SASL2 the same.
  await cut(house, { stream: again.stream, id })
  await cut(house, { stream: other.stream, id: '' })
  house.clock.turn(600_001)
  await erased(house)
  const late = await managed(house, `<resume xmlns='${SM}' previd='${id}' h='0'/>`)
  assert.match(late.success, /<failed [^>]*><item-not-found/)
  assert.equal(house.chat.directory.account(full.split('/')[0] ?? ''), undefined)
})

test('nobody resumes an account’s stream as a guest', async () => {
  const house = await open()
  const stream = new RawStream(await house.socket())
  await stream.login(ANNA, 'sea')
  stream.write(`<enable xmlns='${SM}' resume='true'/>`)
  const [, id = ''] = await stream.until(/<enabled xmlns='urn:xmpp:sm:3' id='([^']+)'/)
  const guest = await managed(house, `<resume xmlns='${SM}' previd='${id}' h='0'/>`)
  assert.match(guest.success, /<failed [^>]*><item-not-found/)
  assert.match(addressOf(guest.success), /@example\.net\//)
})

test('nothing is left of guests after a restart, nor after a crash', async () => {
  const house = await open()
  const guest = await arrive(house)
  await guest.request('set', `<query xmlns='jabber:iq:private'><notes xmlns='n'>secret</notes></query>`)
  const { stream, success } = await managed(house)
  stream.write(`<presence/>`)
  await stream.until(/<presence/)
  const folder = folderOf(house, guest.bare)
  assert.ok(existsSync(folder))
  await house.restart()
  assert.deepEqual(await rows(house).guests(), [])
  assert.equal(existsSync(folder), false)
  assert.equal(house.chat.directory.account(addressOf(success).split('/')[0] ?? ''), undefined)

  // A server that was killed has told nobody.
  const lost = { id: 'a'.repeat(32), address: 'lost@example.net' }
  await rows(house).admitGuest(lost)
  await house.store.account(rosterStore, lost.id).load()
  assert.ok(existsSync(folderOf(house, lost.id)))
  assert.equal(await house.admin.recover(), 1)
  assert.equal(existsSync(folderOf(house, lost.id)), false)
  assert.deepEqual(await rows(house).guests(), [])
})

test('guests stay over a reload, and are erased in the rooms of the new config', async () => {
  const house = await open()
  const guest = await arrive(house)
  const before = await house.reload()
  await before.scope.close()
  await guest.sync()
  await arrive(house)
  await guest.client.close()
  while ((await rows(house).guests()).length > 1) {
    house.clock.turn(100)
    await new Promise((resolve) => setImmediate(resolve))
  }
})
