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
    `<perm access='roster' type='get' push='false'/>`,
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
