// XEP-0114: programs beside the server that answer for domains of their own.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { NS, streamHeader } from '@aviso/xmpp'
import * as v from 'valibot'
import { componentEndpoint } from '../../src/chat/endpoints/component.ts'
import { RawStream, short } from './house.ts'
import { certified, component, Town, type TownHouse } from './s2s/town.ts'

const ECHO = 'echo.one.example'
const COMPONENTS = [{ domain: ECHO, secret: 'shh', name: 'Echo' }]

async function connected(t: TestContext, house: TownHouse, secret = 'shh', domain = ECHO): Promise<RawStream> {
  const raw = await component(t, house, domain, secret)
  await raw.until(/<handshake\/>/)
  return raw
}

test('messages, presence and requests go both ways, under all addresses of its domain', async (t) => {
  const one = await new Town(t).open('one.example', { components: COMPONENTS, features: { version: {} } })
  const echo = await connected(t, one)
  const anna = await one.arrive('anna')
  anna.send(`<message to='wall@${ECHO}/x' type='chat'><body>hello</body></message>`)
  await echo.until(/<message from='anna@one\.example\/r' to='wall@echo\.one\.example\/x'[^>]*><body>hello<\/body>/)
  echo.write(`<message from='wall@${ECHO}/x' to='anna@one.example/r' type='chat'><body>hello!</body></message>`)
  assert.equal(short(await anna.next()), `message chat wall@${ECHO}/x 'hello!'`)
  anna.send(`<presence to='room@${ECHO}/anna'/>`)
  await echo.until(/<presence from='anna@one\.example\/r' to='room@echo\.one\.example\/anna'/)
  echo.write(`<iq type='get' id='v' from='${ECHO}' to='one.example'><query xmlns='jabber:iq:version'/></iq>`)
  await echo.until(/<iq[^>]*to='echo\.one\.example'[^>]*>.*<name>Aviso<\/name>/)
  const asked = anna.request('get', `<ping xmlns='urn:xmpp:ping'/>`, ECHO)
  const [, id = ''] = await echo.until(/<iq[^>]* id='([^']*)'/)
  echo.write(`<iq type='result' id='${id}' from='${ECHO}' to='anna@one.example/r'/>`)
  assert.equal((await asked).get('type'), 'result')
  assert.equal(one.said('a component is connected').length, 1)
  assert.match(
    await one.metrics.text(),
    /aviso_chat_component_stanzas_total\{component="echo\.one\.example",direction="in"\} 3/,
  )
})

test('the domain above tells of it', async (t) => {
  const one = await new Town(t).open('one.example', {
    components: [...COMPONENTS, { domain: 'far.example', secret: 'x' }],
  })
  const anna = await one.arrive('anna')
  const items = await anna.request('get', `<query xmlns='http://jabber.org/protocol/disco#items'/>`, 'one.example')
  assert.deepEqual(
    items.elements[0]?.elements.map((item) => [item.get('jid'), item.get('name')]),
    [[ECHO, 'Echo']],
  )
})

test('who does not know the secret, or is not expected, is refused', async (t) => {
  const one = await new Town(t).open('one.example', { components: COMPONENTS })
  await (await component(t, one, ECHO, 'guess')).until(/<not-authorized/)
  const stranger = new RawStream(connect(one.components, '127.0.0.1'))
  stranger.write(streamHeader({ namespace: NS.componentAccept, to: 'other.example', version: false }))
  await stranger.until(/<host-unknown/)
  const client = new RawStream(connect(one.components, '127.0.0.1'))
  client.open('one.example')
  await client.until(/<invalid-namespace/)
  const hasty = new RawStream(connect(one.components, '127.0.0.1'))
  hasty.write(streamHeader({ namespace: NS.componentAccept, to: ECHO, version: false }))
  await hasty.until(/ id='[^']*'[^>]*>/)
  hasty.write(`<message from='${ECHO}' to='anna@one.example'><body>x</body></message>`)
  await hasty.until(/<not-authorized/)
  const long = new RawStream(connect(one.components, '127.0.0.1'))
  long.write(streamHeader({ namespace: NS.componentAccept, to: ECHO, version: false }))
  await long.until(/ id='[^']*'[^>]*>/)
  long.write(`<handshake>${'a'.repeat(5000)}`)
  await long.until(/<policy-violation/)
  assert.equal(one.said('a component is connected').length, 0)
  assert.equal(one.said('a component was refused').length, 5)
})

test('it speaks for nobody else', async (t) => {
  const one = await new Town(t).open('one.example', { components: COMPONENTS })
  const anna = await one.arrive('anna')
  for (const from of ['one.example', 'bert@one.example', 'evil.example', `x.${ECHO}`, '']) {
    const echo = await connected(t, one)
    echo.write(`<message from='${from}' to='anna@one.example'><body>psst</body></message>`)
    await echo.until(/<invalid-from/)
    await echo.until(/<\/stream:stream>/)
  }
  const echo = await connected(t, one)
  echo.write(`<message from='${ECHO}' id='m'><body>to whom?</body></message>`)
  await echo.until(/<message[^>]*type='error'[^>]*>.*<bad-request/)
  assert.deepEqual(await anna.news(), [])
})

test('nothing waits for a component that is not there; who says goodbye is not told', async (t) => {
  const one = await new Town(t).open('one.example', { components: COMPONENTS })
  const anna = await one.arrive('anna')
  anna.send(`<message to='${ECHO}' type='chat'><body>anybody?</body></message>`)
  assert.equal(short(await anna.next()), `message error ${ECHO} remote-server-timeout`)
  anna.send(`<presence type='unavailable' to='room@${ECHO}/anna'/>`)
  await assert.rejects(anna.request('get', `<query xmlns='urn:x'/>`, ECHO), /remote-server-timeout/)
  assert.deepEqual(await anna.news(), [])
  const echo = await connected(t, one)
  echo.socket.destroy()
  while (one.said('a component is gone').length === 0) await new Promise(setImmediate)
  anna.send(`<message to='${ECHO}' type='chat'><body>still there?</body></message>`)
  assert.equal(short(await anna.next()), `message error ${ECHO} remote-server-timeout`)
})

test('a second connection is refused, or takes over where the config says so', async (t) => {
  const components = [...COMPONENTS, { domain: 'bot.one.example', secret: 'shh', conflict: 'replace' as const }]
  const one = await new Town(t).open('one.example', { components })
  const first = await connected(t, one)
  await (await component(t, one, ECHO)).until(/<conflict/)
  const anna = await one.arrive('anna')
  anna.send(`<message to='${ECHO}' type='chat'><body>first?</body></message>`)
  await first.until(/first\?/)
  const old = await connected(t, one, 'shh', 'bot.one.example')
  const young = await connected(t, one, 'shh', 'bot.one.example')
  await old.until(/<conflict/)
  anna.send(`<message to='bot.one.example' type='chat'><body>young?</body></message>`)
  await young.until(/young\?/)
})

test('a component that does not read is given up; what is for it comes back', async (t) => {
  const one = await new Town(t).open('one.example', { components: COMPONENTS })
  const echo = await connected(t, one)
  echo.socket.pause()
  const anna = await one.arrive('anna')
  const body = 'x'.repeat(100_000)
  for (let sent = 0; one.said('a component is gone').length === 0; sent++) {
    assert.ok(sent < 500, 'it was never given up')
    anna.send(`<message to='${ECHO}' type='chat'><body>${body}</body></message>`)
    await anna.sync()
  }
  assert.match(String(one.said('a component is gone')[0]?.['why']), /resource-constraint/)
  echo.socket.destroy()
})

test('what a component may send, what may wait for it and how long it may be unknown are as the config says', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', {
    components: COMPONENTS,
    component: { 'max-stanza': '4KiB', 'max-write-buffer': '16KiB', 'handshake-timeout': '3s' },
  })
  const slow = new RawStream(connect(one.components, '127.0.0.1'))
  slow.write(streamHeader({ namespace: NS.componentAccept, to: ECHO, version: false }))
  await slow.until(/<stream:stream [^>]*>/)
  const echo = await connected(t, one)
  town.clock.turn(2999)
  assert.equal(slow.text, '')
  town.clock.turn(1)
  await slow.until(/<connection-timeout .*<\/stream:stream>/s)
  const anna = await one.arrive('anna')
  const says = (letters: number): string =>
    `<message from='${ECHO}' to='anna@one.example/r'><body>${'x'.repeat(letters)}</body></message>`
  echo.write(says(3000))
  assert.equal((await anna.next()).childText('body')?.length, 3000)
  echo.write(says(5000))
  await echo.until(/<policy-violation .*<\/stream:stream>/s)
  const again = await connected(t, one)
  anna.send(`<message to='${ECHO}' type='chat'><body>${'x'.repeat(20_000)}</body></message>`)
  await again.until(/<resource-constraint .*<\/stream:stream>/s)
  assert.match(String(one.said('a component is gone').at(-1)?.['why']), /resource-constraint/)
})

for (const [way, certificate, s2s] of [
  ['certificates', certified('one.example', '*.one.example'), {}],
  ['dialback', undefined, { 'require-certificate': false }],
] as const)
  test(`people on other servers and components reach each other, by ${way}`, async (t) => {
    const town = new Town(t)
    const one = await town.open('one.example', {
      components: COMPONENTS,
      s2s,
      ...(certificate && { certificate }),
    })
    const two = await town.open('two.example', { s2s })
    town.announce(ECHO, one.servers)
    const echo = await connected(t, one)
    const bert = await two.arrive('bert')
    bert.send(`<message to='wall@${ECHO}' type='chat'><body>from afar</body></message>`)
    await echo.until(/<message[^>]*from='bert@two\.example\/r'[^>]*><body>from afar</)
    echo.write(`<message from='wall@${ECHO}' to='bert@two.example' type='chat'><body>welcome</body></message>`)
    assert.equal(short(await bert.next()), `message chat wall@${ECHO} 'welcome'`)
    // It also begins.
    const third = await town.open('three.example', { s2s })
    const cleo = await third.arrive('cleo')
    echo.write(`<message from='${ECHO}' to='cleo@three.example' type='chat'><body>news</body></message>`)
    assert.equal(short(await cleo.next()), `message chat ${ECHO} 'news'`)
    const proof = way === 'certificates' ? 'external' : 'dialback'
    assert.equal(third.said('stream from another server')[0]?.['proof'], proof)
  })

test('settings that make no sense are refused', () => {
  for (const components of [
    [{ domain: 'a b', secret: 'x' }],
    [{ domain: 'a.example', secret: '' }],
    [
      { domain: 'a.example', secret: 'x' },
      { domain: 'A.example', secret: 'y' },
    ],
  ])
    assert.equal(v.safeParse(componentEndpoint.config, { components }).success, false)
})
