// XEP-0356: what a component may do in the name of our accounts, and what it may not.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { componentHandshake, NS, streamHeader } from '@aviso/xmpp'
import { RawStream, short } from './house.ts'
import { Town, type TownHouse } from './s2s/town.ts'

const GATE = 'gate.one.example'
const ALL = {
  roster: 'get',
  message: 'outgoing',
  iq: { 'urn:xmpp:ping': 'get', 'http://jabber.org/protocol/disco#info': 'both' },
  presence: 'managed_entity',
}

async function open(
  t: TestContext,
  privileges: Readonly<Record<string, unknown>>,
): Promise<{ town: Town; one: TownHouse; connected(): Promise<RawStream> }> {
  const town = new Town(t)
  const one = await town.open('one.example', { components: [{ domain: GATE, secret: 'shh', privileges }] })
  const connected = async (): Promise<RawStream> => {
    const raw = new RawStream(connect(one.components, '127.0.0.1'))
    t.after(() => raw.socket.destroy())
    raw.write(streamHeader({ namespace: NS.componentAccept, to: GATE, version: false }))
    const [, id = ''] = await raw.until(/ id='([^']*)'[^>]*>/)
    raw.write(`<handshake>${componentHandshake(id, 'shh')}</handshake>`)
    await raw.until(/<handshake\/>/)
    return raw
  }
  return { town, one, connected }
}

const message = (from: string, to = 'anna@one.example', host = 'one.example'): string =>
  `<message from='${GATE}' to='${host}' id='w'><privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>` +
  `<message xmlns='jabber:client' from='${from}' to='${to}' type='chat'><body>told</body></message></forwarded></privilege></message>`

const request = (to: string, inner: string, type = 'get'): string =>
  `<iq from='${GATE}' to='${to}' id='q' type='${type}'><privileged_iq xmlns='urn:xmpp:privilege:2'>${inner}</privileged_iq></iq>`
const ping = (to: string, more = '', type = 'get'): string =>
  `<iq xmlns='jabber:client' type='${type}' to='${to}' id='inner'${more}><ping xmlns='urn:xmpp:ping'/></iq>`

test('a component is told what it may do, and who is there', async (t) => {
  const { one, connected } = await open(t, { 'one.example': ALL })
  const anna = await one.arrive('anna')
  const gate = await connected()
  const [told] = await gate.until(/<message.*?<\/message>/)
  assert.match(told, /from='one\.example'/)
  for (const perm of [
    `<perm access='roster' type='get' push='true'/>`,
    `<perm access='message' type='outgoing'/>`,
    `<perm access='iq'><namespace ns='urn:xmpp:ping' type='get'/>`,
    `<perm access='presence' type='managed_entity'/>`,
  ])
    assert.ok(told.includes(perm), `${perm} in ${told}`)
  await gate.until(/<presence[^>]*from='anna@one\.example\/r'/)
  anna.send('<presence><show>away</show></presence>')
  await gate.until(/<presence[^>]*from='anna@one\.example\/r'[^>]*><show>away/)
  await anna.client.close()
  await gate.until(/<presence[^>]*type='unavailable'/)
})

test('messages in the name of the domain and its accounts, here and elsewhere, and of nobody else', async (t) => {
  const { town, one, connected } = await open(t, { 'one.example': { message: 'outgoing' } })
  const gate = await connected()
  const anna = await one.arrive('anna')
  const two = await town.open('two.example')
  const bert = await two.arrive('bert')
  gate.write(message('one.example'))
  assert.equal(short(await anna.next()), `message chat one.example 'told'`)
  gate.write(message('anna@one.example', 'bert@two.example'))
  assert.equal(short(await bert.next()), `message chat anna@one.example 'told'`)
  for (const from of ['anna@one.example/r', 'bert@two.example', 'nobody@one.example', GATE, '']) {
    gate.write(message(from))
    await gate.until(/<message[^>]*type='error'[^>]*>.*?<forbidden.*?<\/message>/)
  }
  assert.deepEqual([await anna.news(), await bert.news()], [[], []])
})

test('requests in the name of an account: the answer comes back, of our server and of another', async (t) => {
  const { town, one, connected } = await open(t, { 'one.example': { iq: ALL.iq } })
  const gate = await connected()
  await one.arrive('anna')
  await town.open('two.example')
  for (const server of ['one.example', 'two.example']) {
    gate.write(request('anna@one.example', ping(server)))
    const [answer] = await gate.until(/<iq.*?<\/privilege><\/iq>/)
    assert.match(answer, /^<iq[^>]*type='result'/)
    assert.match(answer, /<privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'><iq /)
    assert.match(answer, new RegExp(`from='${server}'`))
    assert.match(answer, /id='inner'/)
  }
})

test('requests that are not granted are forbidden', async (t) => {
  const { one, connected } = await open(t, { 'one.example': { iq: { 'urn:xmpp:ping': 'get' } } })
  const gate = await connected()
  await one.arrive('anna')
  const version = `<iq xmlns='jabber:client' type='get' to='one.example' id='i'><query xmlns='jabber:iq:version'/></iq>`
  const two = `<iq xmlns='jabber:client' type='get' to='one.example' id='i'><ping xmlns='urn:xmpp:ping'/><x/></iq>`
  for (const xml of [
    request('anna@one.example', version),
    request('anna@one.example', two),
    request('anna@one.example', ping('one.example', '', 'set'), 'set'),
    request('anna@one.example', ping('one.example', '', 'set')),
    request('anna@one.example', ping('one.example', ` from='bert@one.example'`)),
    request('anna@one.example', ping('one.example', ` from='anna@one.example/r'`)),
    request('nobody@one.example', ping('one.example')),
    `<iq from='${GATE}' to='anna@one.example' id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>`,
  ]) {
    gate.write(xml)
    await gate.until(/<iq[^>]*type='error'[^>]*>.*?<forbidden.*?<\/iq>/)
  }
})

test('a request that nobody answers ends in time; an answer of somebody else is none', async (t) => {
  const { town, one, connected } = await open(t, { 'one.example': { iq: ALL.iq } })
  const gate = await connected()
  const anna = await one.arrive('anna')
  gate.write(request('anna@one.example', ping('anna@one.example/r')))
  const asked = await anna.next()
  const bert = await one.arrive('bert')
  bert.send(`<iq type='result' to='anna@one.example' id='${asked.get('id') ?? ''}'/>`)
  await bert.sync()
  town.clock.turn(61_000)
  await gate.until(/<iq[^>]*id='q'[^>]*>.*?<remote-server-timeout.*?<\/iq>/)
})

test('the roster of an account is read, and not written', async (t) => {
  const { one, connected } = await open(t, { 'one.example': { roster: 'get' } })
  const gate = await connected()
  const anna = await one.arrive('anna')
  await anna.rosterSet(`<item jid='nurse@example.net' name='Nurse'/>`)
  gate.write(`<iq from='${GATE}' to='anna@one.example' id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>`)
  await gate.until(/<iq[^>]*type='result'[^>]*>.*?<item jid='nurse@example\.net'[^>]*name='Nurse'/)
  gate.write(
    `<iq from='${GATE}' to='anna@one.example' id='s' type='set'><query xmlns='jabber:iq:roster'><item jid='x@example.net'/></query></iq>`,
  )
  await gate.until(/<iq[^>]*type='error'[^>]*>.*?<forbidden/)
})

test('a component without privileges is told of none, and has none', async (t) => {
  const { one, connected } = await open(t, {})
  const gate = await connected()
  const anna = await one.arrive('anna')
  gate.write(message('anna@one.example'))
  await gate.until(/<message[^>]*type='error'[^>]*>/)
  gate.write(request('anna@one.example', ping('one.example')))
  await gate.until(/<iq[^>]*type='error'[^>]*>/)
  assert.deepEqual(await anna.news(), [])
  assert.ok(!gate.text.includes('<privilege'))
})

/** All that the component was sent until the server has answered a question of its own. */
async function said(gate: RawStream): Promise<string> {
  gate.write(`<iq from='${GATE}' to='one.example' id='zz' type='get'><ping xmlns='urn:xmpp:ping'/></iq>`)
  const [text] = await gate.until(/^[^]*<iq[^>]*id='zz'[^>]*>/)
  return text
}

const roster = (type: 'get' | 'set', item = '', to = 'anna@one.example'): string =>
  `<iq from='${GATE}' to='${to}' id='r' type='${type}'><query xmlns='jabber:iq:roster'>${item}</query></iq>`

test('a component writes the roster of an account: its clients and the component are told', async (t) => {
  const { one, connected } = await open(t, { 'one.example': { roster: 'both' } })
  const gate = await connected()
  await gate.until(/<perm access='roster' type='both' push='true'\/>/)
  const anna = await one.arrive('anna')
  gate.write(roster('set', `<item jid='romeo@example.net' name='Romeo'><group>Friends</group></item>`))
  const told = await said(gate)
  assert.match(told, /<iq[^>]*id='r'[^>]*\/>/)
  assert.match((await anna.news()).join(), /iq set romeo@example\.net none/)
  const [push = ''] = /<iq[^>]*type='set'.*?<\/iq>/.exec(told) ?? []
  assert.match(push, /from='anna@one\.example'/)
  assert.match(push, new RegExp(`to='${GATE.replaceAll('.', '\\.')}'`))
  assert.match(push, /<item jid='romeo@example\.net'[^>]*name='Romeo'[^>]*><group>Friends<\/group><\/item>/)
  // What a client changes, the component hears of too.
  await anna.rosterSet(`<item jid='nurse@example.net' name='Nurse'/>`)
  await gate.until(/<iq[^>]*type='set'.*?<item jid='nurse@example\.net'.*?<\/iq>/)
  // And of accounts that nobody is logged in to.
  await anna.client.close()
  gate.write(roster('set', `<item jid='romeo@example.net' subscription='remove'/>`))
  assert.match(await said(gate), /<item jid='romeo@example\.net' subscription='remove'\/>/)
  gate.write(roster('get'))
  const [read] = await gate.until(/<iq[^>]*type='result'[^>]*><query xmlns='jabber:iq:roster'.*?<\/iq>/)
  assert.match(read, /nurse/)
  assert.doesNotMatch(read, /romeo/)
})

test('what is wrong with a roster set is told, and nothing is changed', async (t) => {
  const { one, connected } = await open(t, { 'one.example': { roster: 'both', 'roster-pushes': false } })
  const gate = await connected()
  await gate.until(/<perm access='roster' type='both' push='false'\/>/)
  one.accounts.add('anna@one.example')
  const wrong: readonly (readonly [string, string])[] = [
    ['', 'bad-request'],
    [`<item jid='a@example.net'/><item jid='b@example.net'/>`, 'bad-request'],
    [`<item jid='@@'/>`, 'jid-malformed'],
    [`<item jid='anna@one.example'/>`, 'not-allowed'],
    [`<item jid='a@example.net'><group>x</group><group>x</group></item>`, 'bad-request'],
    [`<item jid='a@example.net' subscription='remove'/>`, 'item-not-found'],
  ]
  for (const [item, condition] of wrong) {
    gate.write(roster('set', item))
    const [error] = await gate.until(/<iq[^>]*type='error'.*?<\/iq>/)
    assert.ok(error.includes(`<${condition} `), `${condition} in ${error}`)
  }
  gate.write(roster('set', `<item jid='a@example.net'/>`, 'nobody@one.example'))
  await gate.until(/<iq[^>]*type='error'[^>]*>.*?<forbidden.*?<\/iq>/)
  gate.write(roster('set', `<item jid='a@example.net'/>`))
  await gate.until(/<iq[^>]*type='result'[^>]*\/>/)
  gate.write(roster('get'))
  const [, before = ''] = await gate.until(/^(.*?)<iq[^>]*><query xmlns='jabber:iq:roster'><item jid='a@example\.net'/)
  assert.doesNotMatch(before, /type='set'/, 'no push where it is not wished')
})

test('who may write rosters may not read them, and hears of none', async (t) => {
  const { one, connected } = await open(t, { 'one.example': { roster: 'set' } })
  const gate = await connected()
  await gate.until(/<perm access='roster' type='set' push='false'\/>/)
  one.accounts.add('anna@one.example')
  gate.write(roster('get'))
  await gate.until(/<iq[^>]*type='error'[^>]*>.*?<forbidden.*?<\/iq>/)
  gate.write(roster('set', `<item jid='a@example.net'/>`))
  await gate.until(/<iq[^>]*type='result'/)
  gate.write(roster('set', `<item jid='b@example.net'/>`))
  const [said] = await gate.until(/<iq[^>]*type='result'[^>]*>/)
  assert.doesNotMatch(said, /<item/)
})

test('the presence of contacts elsewhere: once each, and again to who connects later', async (t) => {
  const { town, one, connected } = await open(t, { 'one.example': { roster: 'get', presence: 'roster' } })
  const gate = await connected()
  await gate.until(/<perm access='presence' type='roster'\/>/)
  const two = await town.open('two.example')
  const anna = await one.arrive('anna')
  const dora = await one.arrive('dora')
  const romeo = await two.arrive('romeo')
  const stranger = await two.arrive('stranger')
  for (const peer of [anna, dora]) {
    peer.send(`<presence to='romeo@two.example' type='subscribe'/>`)
    while (!/presence subscribe /.test(short(await romeo.next())));
    romeo.send(`<presence to='${peer.bare}' type='subscribed'/>`)
    while (!/presence romeo@two\.example\/r/.test(short(await peer.next())));
  }
  await gate.until(/<presence[^>]*from='romeo@two\.example\/r'/)
  gate.text = ''
  stranger.send(`<presence to='anna@one.example'/>`)
  while (!/stranger/.test(short(await anna.next())));
  romeo.send('<presence><show>away</show></presence>')
  const [away] = await gate.until(/<presence[^>]*from='romeo@two\.example\/r'[^>]*><show>away<\/show><\/presence>/)
  assert.match(away, new RegExp(`to='${GATE.replaceAll('.', '\\.')}'`))
  for (const peer of [anna, dora]) while (!/romeo/.test(short(await peer.next())));
  await anna.sync()
  // Anna has gone, and would see him still.
  await anna.client.close()
  await dora.client.close()
  romeo.send('<presence><show>dnd</show></presence>')
  const [rest] = await gate.until(/^.*?<show>dnd<\/show><\/presence>/)
  assert.doesNotMatch(rest, /stranger|<show>away/)
  gate.socket.destroy()
  const again = await connected()
  await again.until(/<presence[^>]*from='romeo@two\.example\/r'[^>]*><show>dnd/)
  await romeo.client.close()
  await again.until(
    /<presence[^>]*from='romeo@two\.example\/r'[^>]*type='unavailable'|<presence[^>]*type='unavailable'[^>]*from='romeo@two\.example\/r'/,
  )
})

test('contacts’ presence without leave to read rosters keeps the server from starting', async (t) => {
  const problems = async (privileges: object): Promise<string> => {
    try {
      await open(t, { 'one.example': privileges })
      return ''
    } catch (error) {
      return String(error)
    }
  }
  assert.match(await problems({ presence: 'roster' }), /needs leave to read rosters/)
  assert.match(await problems({ presence: 'roster', roster: 'set' }), /needs leave to read rosters/)
  assert.equal(await problems({ presence: 'roster', roster: 'both' }), '')
})
