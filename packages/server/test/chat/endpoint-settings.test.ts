// What an administrator sets about the connections of clients: how large, how deep, how long.

import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { after, test } from 'node:test'
import { el } from '@aviso/xmpp'
import { House, RawStream } from './house.ts'

const houses: House[] = []
const open = async (c2s: object, more: object = {}): Promise<House> => {
  const house = await House.open({ c2s, ...more })
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'

const stream = async (house: House): Promise<RawStream> => new RawStream(await house.socket())

/** What is offered before the login. */
async function offered(house: House): Promise<string> {
  const raw = await stream(house)
  raw.open()
  const [features] = await raw.until(/<stream:features>.*<\/stream:features>/s)
  raw.socket.destroy()
  return features
}

test('stanzas have a size, another one before the login; what is larger ends the stream', async () => {
  const house = await open({ 'max-stanza': '2KiB', 'max-stanza-before-login': '3KiB' })
  const raw = await stream(house)
  await raw.login(ANNA, 'sea')
  const message = (letters: number): string => `<message to='${BERT}'><body>${'x'.repeat(letters)}</body></message>`
  raw.write(message(1500) + `<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`)
  await raw.until(/<iq [^>]*id='p'/)
  raw.write(message(2500))
  await raw.until(/<policy-violation .*<\/stream:stream>/s)
  const early = await stream(house)
  early.open()
  await early.until(/<\/stream:features>/)
  early.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='${'X'.repeat(2500)}'/>`)
  await early.until(/<failure .*<invalid-mechanism\/>/)
  early.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='${'X'.repeat(3500)}'/>`)
  await early.until(/<policy-violation .*<\/stream:stream>/s)
})

test('elements may be nested so deep', async () => {
  const house = await open({ 'max-depth': 8 })
  for (const [depth, end] of [
    [7, /<iq [^>]*id='p'/],
    [9, /<policy-violation .*<\/stream:stream>/s],
  ] as const) {
    const raw = await stream(house)
    await raw.login(ANNA, `sea${depth}`)
    const nested = `${'<a>'.repeat(depth - 1)}${'</a>'.repeat(depth - 1)}`
    raw.write(
      `<message to='${BERT}'><x xmlns='urn:x'>${nested}</x></message><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`,
    )
    await raw.until(end)
  }
})

test('who has not logged in when the time is up is cut off', async () => {
  const house = await open({ 'login-timeout': '5s' })
  const raw = await stream(house)
  raw.open()
  await raw.until(/<\/stream:features>/)
  house.clock.turn(4999)
  raw.write(' ')
  assert.equal(raw.text, '')
  house.clock.turn(1)
  await raw.until(/connection-timeout.*<\/stream:stream>/s)
})

test('a client for whom too much waits at once is cut off', async () => {
  const house = await open({ 'max-write-buffer': '32KiB' })
  const anna = await house.arrive(ANNA, 'sea')
  const session = house.chat.directory.session(anna.full)
  assert.ok(session)
  // In one turn, at the end of which all of it is written.
  const message = el('message', {}, el('body', {}, 'x'.repeat(15_000)))
  for (const over of [false, false, true]) {
    session.send(message)
    assert.equal(session.over, over)
  }
  assert.match(String((await anna.ended()).error), /resource-constraint/)
})

test('logins in one round trip, and signed lists of mechanisms, are there unless they are switched off', async () => {
  for (const [settings, sasl2, signed] of [
    [{}, true, true],
    [{ sasl2: false, 'downgrade-protection': false }, false, false],
  ] as const) {
    const house = await open(settings, { real: true })
    assert.equal((await offered(house)).includes(`xmlns='urn:xmpp:sasl:2'`), sasl2)
    const raw = await stream(house)
    raw.open()
    await raw.until(/<\/stream:features>/)
    const first = Buffer.from('n,,n=anna@example.org,r=abcdefghijklmnop').toString('base64')
    raw.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>${first}</auth>`)
    const [, challenge = ''] = await raw.until(/<challenge [^>]*>([^<]*)<\/challenge>/)
    // XEP-0474 §4: the hash of what was offered.
    assert.equal(/,h=/.test(Buffer.from(challenge, 'base64').toString()), signed)
    raw.socket.destroy()
  }
})

test('the network is asked for a silent client as often as is set', async (t) => {
  const house = await open({ 'tcp-keepalive': '33s' })
  const asked = t.mock.method(Socket.prototype, 'setKeepAlive')
  const raw = await stream(house)
  raw.open()
  await raw.until(/<\/stream:features>/)
  assert.deepEqual(
    asked.mock.calls.map((call) => call.arguments),
    [[true, 33_000]],
  )
})
