// People on two servers: messages, presence and requests across domains.

import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import { Roles } from '../../../src/accounts/roles.ts'
import { type Peer, short } from '../house.ts'
import { certify } from '../../fixtures/certificates.ts'
import { AUTHORITY, certified, gullible, type HouseWish, Stranger, Town } from './town.ts'

/** Nobody vouches for it. */
const SELF = certify({ names: ['one.example', 'two.example'] })

const WAYS: readonly (readonly [name: string, wish: HouseWish, proof: string])[] = [
  ['certificates', {}, 'external'],
  ['certificates, one connection for each way', { s2s: { bidi: false } }, 'external'],
  ['direct TLS', { direct: true }, 'external'],
  ['dialback', { certificate: SELF, s2s: { 'require-certificate': false } }, 'dialback'],
  [
    'dialback, one connection for each way',
    { certificate: SELF, s2s: { 'require-certificate': false, bidi: false } },
    'dialback',
  ],
]

for (const [name, wish, proof] of WAYS)
  describe(`with ${name}`, () => {
    test('messages and requests go both ways', async (t) => {
      const town = new Town(t)
      const one = await town.open('one.example', wish)
      const two = await town.open('two.example', wish)
      const anna = await one.arrive('anna')
      const bert = await two.arrive('bert')
      anna.send(`<message to='bert@two.example' type='chat'><body>over there?</body></message>`)
      const message = await bert.next()
      assert.equal(short(message), `message chat anna@one.example/r 'over there?'`)
      assert.equal(message.xmlns, 'jabber:client')
      bert.send(`<message to='anna@one.example/r' type='chat'><body>here!</body></message>`)
      assert.equal(short(await anna.next()), `message chat bert@two.example/r 'here!'`)
      const info = await anna.request('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, 'two.example')
      assert.equal(info.get('from'), 'two.example')
      assert.ok(info.elements[0]?.childrenNamed('feature').length)
      assert.equal(one.said('stream to another server')[0]?.['proof'], proof)
      assert.equal(two.said('stream from another server')[0]?.['proof'], proof)
      const streams = two.said('stream to another server').length
      assert.equal(streams, wish.s2s?.bidi === false ? 1 : 0, 'the way back takes the same connection where it may')
      const figures = await one.metrics.text()
      assert.match(figures, /aviso_chat_stanzas_total\{peer="server",direction="out",kind="message"\} 1\n/)
      assert.match(figures, /aviso_chat_stanzas_total\{peer="server",direction="in",kind="message"\} 1\n/)
      assert.match(figures, new RegExp(`aviso_chat_s2s_streams_total\\{direction="out",result="${proof}"\\} 1\n`))
      assert.match(figures, /aviso_chat_s2s_links\{state="up"\} 1\n/)
    })
  })

/** The next stanzas, shown shortly, whatever their order. */
const these = async (peer: Peer, count: number): Promise<string[]> => {
  const all: string[] = []
  while (all.length < count) all.push(short(await peer.next()))
  return all.sort()
}

test('Anna and Bert add each other, see each other come and go, and part', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = await town.open('two.example')
  const anna = await one.arrive('anna')
  const bert = await two.arrive('bert')
  anna.send(`<presence type='subscribe' to='bert@two.example'><status>it is me</status></presence>`)
  assert.equal(short(await anna.next()), 'iq set bert@two.example none subscribe')
  const request = await bert.next()
  assert.equal(short(request), 'presence subscribe anna@one.example')
  assert.equal(request.childText('status'), 'it is me')
  bert.send(`<presence type='subscribed' to='anna@one.example'/>`)
  assert.deepEqual(await these(anna, 3), [
    'iq set bert@two.example to',
    'presence bert@two.example/r',
    'presence subscribed bert@two.example',
  ])
  assert.equal(short(await bert.next()), 'iq set anna@one.example from')
  bert.send(`<presence type='subscribe' to='anna@one.example'/>`)
  assert.equal(short(await bert.next()), 'iq set anna@one.example from subscribe')
  assert.equal(short(await anna.next()), 'presence subscribe bert@two.example')
  anna.send(`<presence type='subscribed' to='bert@two.example'/>`)
  assert.equal(short(await anna.next()), 'iq set bert@two.example both')
  assert.deepEqual(await these(bert, 3), [
    'iq set anna@one.example both',
    'presence anna@one.example/r',
    'presence subscribed anna@one.example',
  ])

  // Presence is broadcast; who comes later asks for it and is answered.
  anna.send('<presence><show>away</show></presence>')
  assert.equal((await bert.next()).childText('show'), 'away')
  anna.clear()
  await bert.client.close()
  assert.equal(short(await anna.next()), 'presence unavailable bert@two.example/r')
  const again = await two.arrive('bert', 'second')
  assert.equal(short(await anna.next()), 'presence bert@two.example/second')
  const seen = await again.next()
  assert.equal(short(seen), 'presence anna@one.example/r')
  assert.equal(seen.childText('show'), 'away', 'the probe was answered')

  // They part.
  await again.rosterSet(`<item jid='anna@one.example' subscription='remove'/>`)
  assert.deepEqual(await these(anna, 5), [
    'iq set bert@two.example none',
    'iq set bert@two.example to',
    'presence unavailable bert@two.example/second',
    'presence unsubscribe bert@two.example',
    'presence unsubscribed bert@two.example',
  ])
})

describe('what cannot be delivered comes back', () => {
  const bounce = async (t: TestContext, zones: Town['zones'], more: HouseWish = {}): Promise<string> => {
    const town = new Town(t)
    Object.assign(town.zones, zones)
    const one = await town.open('one.example', more)
    const anna = await one.arrive('anna')
    anna.send(`<message id='m1' to='bert@two.example' type='chat'><body>hello?</body></message>`)
    const error = await anna.next()
    assert.equal(error.get('id'), 'm1')
    assert.equal(error.get('to'), 'anna@one.example/r')
    return short(error)
  }
  const from = 'message error bert@two.example'

  test('there is no such domain', async (t) => {
    assert.equal(await bounce(t, {}), `${from} remote-server-not-found`)
  })
  test('the domain says that it has no chat', async (t) => {
    const zones = {
      '_xmpp-server._tcp.two.example': { SRV: [[0, 0, 0, '.']] },
      'two.example': { A: ['127.0.0.1'] },
    } as const
    assert.equal(await bounce(t, zones), `${from} remote-server-not-found`)
  })
  test('the DNS does not answer', async (t) => {
    const zones = {
      '_xmpp-server._tcp.two.example': { fails: 'SERVFAIL' },
      'two.example': { A: ['127.0.0.1'] },
    } as const
    assert.equal(await bounce(t, zones), `${from} remote-server-timeout`)
  })
  test('nobody listens there', async (t) => {
    const zones = {
      '_xmpp-server._tcp.two.example': { SRV: [[0, 0, 1, 'two.example']] },
      'two.example': { A: ['127.0.0.1'] },
    } as const
    assert.equal(await bounce(t, zones), `${from} remote-server-timeout`)
  })
  test('the domain is blocked', async (t) => {
    assert.equal(await bounce(t, {}, { s2s: { 'blocked-domains': ['*.example'] } }), `${from} not-allowed`)
    assert.equal(await bounce(t, {}, { s2s: { 'allowed-domains': ['three.example'] } }), `${from} not-allowed`)
  })
})

describe('certificates', () => {
  const CASES: readonly (readonly [name: string, certificate: HouseWish['certificate'], why: RegExp])[] = [
    [
      'for another domain',
      certified('three.example'),
      /its certificate is not for two\.example but for three\.example$/,
    ],
    ['that nobody vouches for', certify({ names: ['two.example'] }), /its certificate is self-signed$/],
    [
      'of an authority that nobody knows',
      certify({ names: ['two.example'], issuer: certify({ names: ['Somebody'], authority: true }) }),
      /its certificate comes from an issuer that is not trusted here$/,
    ],
    [
      'of next year',
      certify({ names: ['two.example'], issuer: AUTHORITY, from: new Date('2040-01-01') }),
      /its certificate is not valid yet$/,
    ],
    [
      'that has expired',
      certify({ names: ['two.example'], issuer: AUTHORITY, until: new Date('2021-01-01') }),
      /its certificate has expired$/,
    ],
  ]
  for (const [name, certificate, why] of CASES)
    test(`one ${name} is not enough; an exception in the config makes it do`, async (t) => {
      const town = new Town(t)
      const one = await town.open('one.example')
      const two = await town.open('two.example', { ...(certificate && { certificate }) })
      const anna = await one.arrive('anna')
      const bert = await two.arrive('bert')
      anna.send(`<message to='bert@two.example' type='chat'><body>secret</body></message>`)
      const error = await anna.next()
      assert.equal(short(error), `message error bert@two.example remote-server-timeout`)
      assert.match(error.child('error')?.childText('text', 'urn:ietf:params:xml:ns:xmpp-stanzas') ?? '', why)
      assert.deepEqual(await bert.news(), [])
      // The other way, they cannot show who they are.
      bert.send(`<message to='anna@one.example' type='chat'><body>it is me, really</body></message>`)
      assert.equal(short(await bert.next()), 'message error anna@one.example remote-server-timeout')
      assert.deepEqual(await anna.news(), [])

      const lax = await town.open('lax.example', { s2s: { 'insecure-domains': ['two.example'] } })
      const cleo = await lax.arrive('cleo')
      cleo.send(`<message to='bert@two.example' type='chat'><body>not so secret</body></message>`)
      assert.equal(short(await bert.next()), `message chat cleo@lax.example/r 'not so secret'`)
      bert.send(`<message to='cleo@lax.example/r' type='chat'><body>fine</body></message>`)
      assert.equal(short(await cleo.next()), `message chat bert@two.example/r 'fine'`)
    })

  test('a wildcard stands for one label', async (t) => {
    const town = new Town(t)
    const one = await town.open('one.example')
    const two = await town.open('chat.two.example', { certificate: certified('*.two.example') })
    const anna = await one.arrive('anna')
    const bert = await two.arrive('bert')
    anna.send(`<message to='bert@chat.two.example' type='chat'><body>hello</body></message>`)
    assert.equal(short(await bert.next()), `message chat anna@one.example/r 'hello'`)
    const deep = await town.open('a.b.two.example', { certificate: certified('*.two.example') })
    await deep.arrive('dora')
    anna.send(`<message to='dora@a.b.two.example' type='chat'><body>hello</body></message>`)
    assert.equal(short(await anna.next()), 'message error dora@a.b.two.example remote-server-timeout')
  })
})

test('a server that is reached at its second address only', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = await town.open('two.example')
  town.zones['_xmpp-server._tcp.two.example'] = {
    SRV: [
      [1, 0, 1, 'nobody.two.example'],
      [2, 0, two.servers, 'xmpp.two.example'],
    ],
  }
  town.zones['nobody.two.example'] = { A: ['127.0.0.1'], AAAA: ['::1'] }
  const anna = await one.arrive('anna')
  const bert = await two.arrive('bert')
  anna.send(`<message to='bert@two.example' type='chat'><body>found you</body></message>`)
  assert.equal(short(await bert.next()), `message chat anna@one.example/r 'found you'`)
})

test('an idle stream is closed, and opened again when somebody writes', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = await town.open('two.example')
  const anna = await one.arrive('anna')
  const bert = await two.arrive('bert')
  for (const body of ['first', 'second']) {
    anna.send(`<message to='bert@two.example' type='chat'><body>${body}</body></message>`)
    assert.equal((await bert.next()).childText('body'), body)
    town.clock.turn(31 * 60_000)
    await new Promise(setImmediate)
    town.clock.turn(60_000)
    while (one.said('stream to another server closed').length === (body === 'first' ? 0 : 1))
      await new Promise(setImmediate)
  }
  assert.equal(one.said('stream to another server').length, 2)
})

test('a server that was not reached is left alone for a while, then tried again', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const anna = await one.arrive('anna')
  const write = (): void => anna.send(`<message to='bert@two.example' type='chat'><body>hi</body></message>`)
  write()
  assert.equal(short(await anna.next()), 'message error bert@two.example remote-server-not-found')
  const two = await town.open('two.example')
  const bert = await two.arrive('bert')
  write()
  assert.equal(short(await anna.next()), 'message error bert@two.example remote-server-not-found')
  town.clock.turn(11_000)
  write()
  assert.equal((await bert.next()).childText('body'), 'hi')
})

test('guests are no people of other servers’, unless the config lets them write there', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = await town.open('two.example')
  one.accounts.role = 'guest'
  const guest = await one.arrive('guest')
  const bert = await two.arrive('bert')
  for (const to of [guest.full, guest.bare, 'nobody@one.example']) {
    bert.send(`<message to='${to}' type='chat'><body>hello, stranger</body></message>`)
    assert.equal(short(await bert.next()), `message error ${to} service-unavailable`, 'as if there were nobody')
  }
  await assert.rejects(bert.request('get', `<ping xmlns='urn:xmpp:ping'/>`, guest.full), /service-unavailable/)
  bert.send(`<presence to='${guest.bare}' type='subscribe'/>`)
  bert.send(`<presence to='${guest.full}'/>`)
  await bert.request('get', `<ping xmlns='urn:xmpp:ping'/>`, 'one.example')
  assert.deepEqual(await guest.news(), [])

  one.accounts.roles = new Roles({ guest: { allow: ['chat-elsewhere'], deny: [] } })
  bert.send(`<message to='${guest.full}' type='chat'><body>hello, guest</body></message>`)
  assert.equal(short(await guest.next()), `message chat ${bert.full} 'hello, guest'`)
})

test('another server is told how large a stanza may be, on streams of either side (XEP-0478)', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', {
    s2s: {
      'require-tls': false,
      'insecure-domains': ['two.example'],
      'max-stanza': 70_000,
      'max-stanza-before-auth': 5000,
    },
  })
  const limit = (element: Element): string | undefined =>
    element.child('limits', NS.streamLimits)?.childText('max-bytes')
  const stranger = new Stranger(one.servers, 'three.example', 'one.example', 'no TLS')
  assert.equal(
    limit(await stranger.element()),
    '70000',
    'what counts once it has proved itself: by dialback it gets no other features',
  )
  stranger.stream.close()
  // On a stream of ours that takes stanzas both ways there are no features to tell it in.
  const said = Promise.withResolvers<Element>()
  town.announce('two.example', await gullible(t, { bidi: said.resolve }))
  const anna = await one.arrive('anna')
  anna.send(`<message to='bert@two.example' type='chat'><body>hello</body></message>`)
  assert.equal(limit(await said.promise), '70000')
})

test('what is larger than the other server takes comes back, and the stream stays', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = await town.open('two.example', { s2s: { 'max-stanza': 20_000, bidi: false } })
  const anna = await one.arrive('anna')
  const bert = await two.arrive('bert')
  // While the server is being reached, and over a stream that is up.
  for (const what of ['first', 'second']) {
    anna.send(`<message to='bert@two.example' type='chat' id='${what}'><body>${'ö'.repeat(10_000)}</body></message>`)
    anna.send(`<message to='bert@two.example' type='chat'><body>${what}</body></message>`)
    assert.equal(short(await bert.next()), `message chat anna@one.example/r '${what}'`)
    const error = await anna.next()
    assert.equal(short(error), 'message error bert@two.example policy-violation')
    assert.match(error.child('error')?.childText('text', 'urn:ietf:params:xml:ns:xmpp-stanzas') ?? '', /20000 octets/)
  }
  assert.equal(one.said('stream to another server').length, 1)
})
