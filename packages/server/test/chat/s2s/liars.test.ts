// Servers that lie, steal, hurry, or do not read.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { dialbackXml, el, NS } from '@aviso/xmpp'
import { certify } from '../../fixtures/certificates.ts'
import { short } from '../house.ts'
import { certified, gullible, listening, Stranger, Town } from './town.ts'

const message = (from: string, to = 'anna@one.example'): string =>
  `<message from='${from}' to='${to}' type='chat'><body>psst</body></message>`

test('who has proved one domain may not speak for another', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const anna = await one.arrive('anna')
  const two = new Stranger(one.servers, 'two.example', 'one.example', certified('two.example'))
  const features = await two.element()
  assert.equal(features.child('mechanisms', NS.sasl)?.childText('mechanism'), 'EXTERNAL')
  two.stream.external()
  assert.equal((await two.element()).name, 'authenticated')
  two.stream.send(message('bert@two.example/r'))
  assert.equal(short(await anna.next()), `message chat bert@two.example/r 'psst'`)
  two.stream.send(message('cleo@three.example/r'))
  assert.match(await two.ended(), /^invalid-from/)
  assert.deepEqual(await anna.news(), [])
  assert.equal(one.said('another server lied').length, 1)
})

test('stanzas need addresses, and go to domains of ours', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  for (const [xml, error] of [
    [`<message from='bert@two.example' to='cleo@three.example'/>`, /^host-unknown/],
    [`<message to='anna@one.example'/>`, /^improper-addressing/],
    [`<message from='bert@two.example'/>`, /^improper-addressing/],
    [`<message from='bert@@' to='anna@one.example'/>`, /^improper-addressing/],
  ] as const) {
    const two = new Stranger(one.servers, 'two.example', 'one.example', certified('two.example'))
    await two.element()
    two.stream.external()
    await two.element()
    two.stream.send(xml)
    assert.match(await two.ended(), error)
  }
})

test('without a certificate that is believed there is no EXTERNAL', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  for (const certificate of [undefined, certified('three.example'), certify({ names: ['two.example'] })]) {
    const liar = new Stranger(one.servers, 'two.example', 'one.example', certificate)
    const features = await liar.element()
    assert.equal(features.child('mechanisms', NS.sasl), undefined)
    liar.stream.external()
    assert.equal((await liar.element()).text(), 'invalid-mechanism')
    liar.stream.destroy()
  }
})

test('the certificate of one domain does not log in as another, nor as ours', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = new Stranger(one.servers, 'two.example', 'one.example', certified('two.example', 'three.example'))
  await two.element()
  const authzid = Buffer.from('three.example').toString('base64')
  two.stream.send(el('auth', { xmlns: NS.sasl, mechanism: 'EXTERNAL' }, authzid))
  assert.match(await two.ended(), /^unsupported-stanza-type/, 'the failure comes to a stream that did not ask')
  assert.equal(one.said('stream from another server').length, 0)

  const ourselves = new Stranger(one.servers, 'one.example', 'one.example', certified('one.example'))
  assert.match(await ourselves.ended(), /^policy-violation/)
})

test('an invented key is not believed: the domain is asked', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = await town.open('two.example')
  const anna = await one.arrive('anna')
  const liar = new Stranger(one.servers, 'two.example', 'one.example')
  await liar.element()
  liar.stream.send(dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: 'a'.repeat(64) }))
  const verdict = await liar.element()
  assert.equal(verdict.get('type'), 'invalid')
  assert.equal(await liar.ended(), 'peer')
  assert.deepEqual(await anna.news(), [])
  assert.equal(one.said('another server lied about its domain').length, 1)
  assert.equal(two.said('stream from another server').length, 0, 'asking proves nothing')
})

test('a key that was made for somebody else is worth nothing', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const lax = { 'require-tls': false, 'insecure-domains': ['thief.example'] }
  const two = await town.open('two.example', { s2s: lax })
  const bert = await two.arrive('bert')
  const stolen = Promise.withResolvers<string>()
  town.announce('thief.example', await gullible(t, { key: ({ key }) => stolen.resolve(key) }))
  bert.send(`<message to='x@thief.example'><body>hello</body></message>`)
  const thief = new Stranger(one.servers, 'two.example', 'one.example')
  await thief.element()
  thief.stream.send(dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: await stolen.promise }))
  assert.equal((await thief.element()).get('type'), 'invalid')
})

test('a domain that cannot be asked is not believed, and may try again', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = new Stranger(one.servers, 'two.example', 'one.example')
  const features = await two.element()
  assert.ok(features.child('dialback', NS.dialbackFeature)?.child('errors'))
  for (let attempt = 1; attempt <= 2; attempt++) {
    two.stream.send(dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: 'abc' }))
    const verdict = await two.element()
    assert.equal(verdict.get('type'), 'error')
    assert.ok(verdict.elements[0]?.child('remote-server-not-found', NS.stanzaErrors))
  }
  two.stream.send(dialbackXml({ name: 'result', from: 'two.example', to: 'nobody.example', key: 'abc' }))
  assert.ok((await two.element()).elements[0]?.child('item-not-found', NS.stanzaErrors))
})

test('stanzas that hurry ahead of the verdict are not taken', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  await town.open('two.example')
  const anna = await one.arrive('anna')
  const hasty = new Stranger(one.servers, 'two.example', 'one.example')
  await hasty.element()
  const key = dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: 'abc' })
  hasty.stream.send(key + key + message('bert@two.example'))
  assert.match(await hasty.ended(), /^not-authorized/)
  // The verdict comes to a stream that is over: before that of somebody who asks later.
  const later = new Stranger(one.servers, 'two.example', 'one.example')
  await later.element()
  later.stream.send(key)
  assert.equal((await later.element()).get('type'), 'invalid')
  assert.deepEqual(await anna.news(), [])
})

test('in the clear, nothing but the way to encryption is heard', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const clear = new Stranger(one.servers, 'two.example', 'one.example', 'no TLS')
  const features = await clear.element()
  assert.deepEqual(
    features.elements.map(({ name }) => name),
    ['starttls'],
  )
  clear.stream.send(dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: 'abc' }))
  assert.match(await clear.ended(), /^policy-violation/)
})

test('a stranger sends little, and does not stay long', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const big = new Stranger(one.servers, 'two.example', 'one.example')
  await big.element()
  big.stream.send(dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: 'a'.repeat(20_000) }))
  assert.match(await big.ended(), /^policy-violation/)
  const slow = new Stranger(one.servers, 'two.example', 'one.example')
  await slow.element()
  town.clock.turn(31_000)
  assert.match(await slow.ended(), /^connection-timeout/)
})

test('a server that stops reading is given up; memory stays bounded, and others are not harmed', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', {
    s2s: { 'require-tls': false, 'insecure-domains': ['deaf.example'], 'max-write-buffer': '256KiB' },
  })
  const two = await town.open('two.example')
  const anna = await one.arrive('anna')
  const bert = await two.arrive('bert')
  town.announce('deaf.example', await gullible(t, { stanza: (_stanza, socket) => void socket.pause() }))
  const body = 'x'.repeat(100_000)
  for (let sent = 0; one.said('stream to another server closed').length === 0; sent++) {
    assert.ok(sent < 500, 'it was never given up')
    anna.send(`<message to='x@deaf.example' type='chat'><body>${body}</body></message>`)
    await anna.sync()
  }
  assert.match(String(one.said('stream to another server closed')[0]?.['why']), /resource-constraint/)
  anna.send(`<message to='bert@two.example' type='chat'><body>still here</body></message>`)
  assert.equal(short(await bert.next()), `message chat anna@one.example/r 'still here'`)
})

test('what waits for a server that is being reached is bounded, and comes back when time is up', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: { 'queue-stanzas': 3 } })
  const anna = await one.arrive('anna')
  town.zones['_xmpp-server._tcp.slow.example'] = { SRV: [[0, 0, 5269, 'xmpp.slow.example']] }
  // Its connections are accepted, and nothing is ever said.
  const connected = Promise.withResolvers<void>()
  const port = await listening(t, (socket) => {
    connected.resolve()
    socket.resume()
  })
  town.announce('slow.example', port)
  for (let i = 1; i <= 4; i++) anna.send(`<message id='m${i}' to='x@slow.example'><body>${i}</body></message>`)
  const full = await anna.next()
  assert.equal(full.get('id'), 'm4')
  assert.equal(short(full), 'message error x@slow.example resource-constraint')
  await connected.promise
  town.clock.turn(61_000)
  for (let i = 1; i <= 3; i++) {
    const back = await anna.next()
    assert.equal(back.get('id'), `m${i}`)
    assert.equal(short(back), 'message error x@slow.example remote-server-timeout')
  }
})

test('from a banned address neither clients nor servers are heard; once the ban is over they are', async (t) => {
  const town = new Town(t)
  let banned = true
  const bans = { isBanned: () => banned, ban: () => {}, lift: () => false, list: () => [] }
  const house = await town.open('one.example', { bans })
  const heard = (port: number): Promise<string> =>
    new Promise((resolve) => {
      let text = ''
      const socket = connect(port, '127.0.0.1', () =>
        socket.write(
          "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='one.example' version='1.0'>",
        ),
      )
      const end = (): void => {
        socket.destroy()
        resolve(text)
      }
      socket.on('data', (data: Buffer) => {
        text += data.toString()
        end()
      })
      socket.on('close', end).on('error', end)
    })
  for (const port of [house.clients, house.servers]) assert.equal(await heard(port), '')
  banned = false
  for (const port of [house.clients, house.servers]) assert.match(await heard(port), /<stream:stream/)
})
