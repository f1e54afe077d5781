// What an administrator sets about other servers: whom, how long, and how much of it.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { dialbackXml, NS } from '@aviso/xmpp'
import type { Peer } from '../house.ts'
import { gullible, type HouseWish, listening, Stranger, Town } from './town.ts'

/** A server whose DNS names another one that takes connections and says nothing; `heard`: somebody has said something to it. */
async function silence(t: TestContext, s2s: HouseWish['s2s'], direct = false) {
  const town = new Town(t)
  const house = await town.open('one.example', s2s && { s2s })
  const heard = Promise.withResolvers<void>()
  const port = await listening(t, (socket) => socket.on('data', () => heard.resolve()))
  for (const domain of ['silent.example', 'mute.example']) town.announce(domain, port, direct)
  return { town, house, port, heard: heard.promise }
}

const write = (peer: Peer, domain: string, body = 'hi'): void =>
  peer.send(`<message to='x@${domain}' type='chat'><body>${body}</body></message>`)

/** The next error, with its reason. */
async function error(peer: Peer): Promise<string> {
  const stanza = await peer.next()
  const told = stanza.child('error')
  return `${told?.firstElement?.name}: ${told?.childText('text', 'urn:ietf:params:xml:ns:xmpp-stanzas')}`
}

for (const [setting, direct, reason] of [
  ['connect-timeout', true, 'the TLS handshake took too long'],
  ['negotiation-timeout', false, 'connection-timeout: the negotiation took too long'],
  ['reach-timeout', false, 'it took too long'],
] as const)
  test(`a server that says nothing is given up after ${setting}`, async (t) => {
    const { town, house, heard } = await silence(t, { [setting]: '2s' }, direct)
    const anna = await house.arrive('anna')
    write(anna, 'silent.example')
    await heard
    town.clock.turn(1999)
    assert.deepEqual(await anna.news(), [])
    town.clock.turn(1)
    assert.equal(await error(anna), `remote-server-timeout: silent.example cannot be reached: ${reason}`)
  })

test('a server that was not reached is tried again after retry-delay', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: { 'retry-delay': '3s' } })
  const anna = await one.arrive('anna')
  write(anna, 'two.example')
  assert.match(await error(anna), /^remote-server-not-found/)
  const two = await town.open('two.example')
  const bert = await two.arrive('x')
  town.clock.turn(2999)
  write(anna, 'two.example')
  assert.match(await error(anna), /^remote-server-not-found/)
  town.clock.turn(1)
  write(anna, 'two.example', 'there you are')
  assert.equal((await bert.next()).childText('body'), 'there you are')
})

test('a stream is closed when it was idle for idle-timeout', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: { 'idle-timeout': '2m' } })
  const two = await town.open('two.example')
  const anna = await one.arrive('anna')
  const bert = await two.arrive('x')
  write(anna, 'two.example')
  await bert.next()
  town.clock.turn(120_000)
  // They are looked at once a minute.
  await new Promise(setImmediate)
  town.clock.turn(60_000)
  while (one.said('stream to another server closed').length === 0) await new Promise(setImmediate)
})

test('what waits for a server has a size', async (t) => {
  const { house } = await silence(t, { 'queue-octets': '1KiB' })
  const anna = await house.arrive('anna')
  write(anna, 'silent.example', 'x'.repeat(500))
  write(anna, 'silent.example', 'y'.repeat(500))
  assert.equal(await error(anna), 'resource-constraint: too much waits for silent.example already')
})

test('so many other servers are spoken with at a time', async (t) => {
  const { house } = await silence(t, { 'max-connections': 1 })
  const anna = await house.arrive('anna')
  write(anna, 'silent.example')
  write(anna, 'mute.example')
  assert.equal(await error(anna), 'resource-constraint: too many other servers are spoken with')
})

test('so many keys are verified at a time; one that nobody answers for is given up', async (t) => {
  const { house, town, heard } = await silence(t, { 'max-verifications': 1 })
  const shows = async (domain: string): Promise<Stranger> => {
    const stranger = new Stranger(house.servers, domain, 'one.example')
    await stranger.element()
    stranger.stream.send(dialbackXml({ name: 'result', from: domain, to: 'one.example', key: 'abc' }))
    return stranger
  }
  const first = await shows('silent.example')
  await heard
  const second = await shows('mute.example')
  const verdict = await second.element()
  assert.equal(verdict.get('type'), 'error')
  assert.equal(verdict.firstElement?.firstElement?.name, 'resource-constraint')
  town.clock.turn(29_999)
  town.clock.turn(1)
  const late = await first.next()
  assert.ok('ended' in late || late.firstElement?.firstElement?.name === 'remote-server-timeout')
})

test('only addresses of the families that are set are tried', async (t) => {
  for (const [families, record, reached] of [
    ['ipv4', 'A', true],
    ['ipv6', 'A', false],
    ['ipv4', 'AAAA', false],
    ['both', 'A', true],
  ] as const) {
    const town = new Town(t)
    const one = await town.open('one.example', {
      s2s: { families, 'require-tls': false, 'insecure-domains': ['two.example'] },
    })
    const anna = await one.arrive('anna')
    const got = Promise.withResolvers<string>()
    town.announce('two.example', await gullible(t, { stanza: (stanza) => got.resolve(stanza.childText('body') ?? '') }))
    town.zones['xmpp.two.example'] = record === 'A' ? { A: ['127.0.0.1'] } : { AAAA: ['::1'] }
    write(anna, 'two.example', families)
    if (reached) assert.equal(await got.promise, families)
    else assert.equal(await error(anna), 'remote-server-not-found: two.example has no server that can be found')
  }
})

test('the server of a domain may be named without the DNS, which is not asked then', async (t) => {
  const town = new Town(t)
  const got = Promise.withResolvers<string>()
  const port = await gullible(t, { stanza: (stanza) => got.resolve(stanza.childText('body') ?? '') })
  const one = await town.open('one.example', {
    s2s: { routes: { 'two.example': `127.0.0.1:${port}` }, 'require-tls': false, 'insecure-domains': ['two.example'] },
  })
  const anna = await one.arrive('anna')
  write(anna, 'two.example', 'no DNS')
  assert.equal(await got.promise, 'no DNS')
})

test('a domain that must show a certificate must do so where others need none', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', {
    s2s: { 'require-tls': false, 'require-certificate': false, 'secure-domains': ['two.example'] },
  })
  const anna = await one.arrive('anna')
  const got = Promise.withResolvers<string>()
  const port = await gullible(t, { stanza: (stanza) => got.resolve(stanza.get('to') ?? '') })
  for (const domain of ['two.example', 'three.example']) town.announce(domain, port)
  write(anna, 'two.example')
  assert.match(await error(anna), /^remote-server-timeout/)
  write(anna, 'three.example')
  assert.equal(await got.promise, 'x@three.example')
})

test('without dialback it is not offered, and no key is looked at', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: { dialback: false } })
  const two = new Stranger(one.servers, 'two.example', 'one.example')
  assert.equal((await two.element()).child('dialback', NS.dialbackFeature), undefined)
  two.stream.send(dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: 'abc' }))
  const verdict = await two.element()
  assert.equal(verdict.firstElement?.firstElement?.name, 'not-acceptable')
})

test('who has not proved its domain sends no more at once than is set', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: { 'max-stanza-before-auth': '2KiB' } })
  const key = (letters: number): string =>
    dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: 'a'.repeat(letters) })
  const two = new Stranger(one.servers, 'two.example', 'one.example')
  await two.element()
  two.stream.send(key(1000))
  assert.equal((await two.element()).get('type'), 'error', 'it is looked at')
  two.stream.send(key(3000))
  assert.match(await two.ended(), /^policy-violation/)
})

test('a stream on which more waits than is set is given up', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', {
    s2s: { 'max-write-buffer': '16KiB', 'require-tls': false, 'insecure-domains': ['two.example'] },
  })
  const anna = await one.arrive('anna')
  const got = Promise.withResolvers<void>()
  town.announce('two.example', await gullible(t, { stanza: () => got.resolve() }))
  write(anna, 'two.example', 'short')
  await got.promise
  // More than that in one piece: the network cannot have taken it yet.
  write(anna, 'two.example', 'x'.repeat(20_000))
  await anna.sync()
  const [closed] = one.said('stream to another server closed')
  assert.match(String(closed?.['why']), /resource-constraint/)
})
