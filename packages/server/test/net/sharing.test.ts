// One address for everything: port 443, where nothing else gets through.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { streamOpening } from '../../src/chat/endpoints/opening.ts'
import { readClientHello } from '../../src/net/client-hello.ts'
import type { Connection, ListenOptions, Session } from '../../src/net/contracts.ts'
import { createNetwork, type GenerationNetwork } from '../../src/net/listeners.ts'
import { requestOpening } from '../../src/net/web/target.ts'
import { Peer, echo, house, selfSigned, settings, type House } from './fixtures.ts'

/** A port that is free; port 0 would be another one for each. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Says its name and the first line that it hears. */
const listener =
  (name: string) =>
  (connection: Connection): Session => {
    const { socket } = connection
    socket.once('data', (octets: Buffer) => {
      const tls = connection.tls === undefined ? 'in the clear' : (connection.tls.alpn ?? 'no ALPN')
      socket.end(`${name} (${tls}): ${octets.toString().split('\r\n')[0] ?? ''}\n`)
    })
    return { shutdown: () => new Promise((done) => socket.once('close', () => done()).destroy()) }
  }

interface Shared {
  readonly h: House
  readonly port: number
  readonly network: GenerationNetwork
  readonly scope: House['root']
}

async function shared(t: TestContext, some: readonly Partial<ListenOptions>[] = []): Promise<Shared> {
  const h = house(t)
  const scope = h.root.child('generation')
  const certificates = await selfSigned(t, h.root, 'example.org')
  const network = await createNetwork(scope, { config: settings(), certificates })
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const all: readonly Omit<ListenOptions, 'address'>[] = [
    { protocol: 'http', tls: 'implicit', alpn: ['http/1.1'], opening: requestOpening, serve: listener('web') },
    {
      protocol: 'c2s',
      tls: 'implicit',
      alpn: ['xmpp-client'],
      opening: streamOpening('clients'),
      serve: listener('clients'),
    },
    {
      protocol: 's2s',
      tls: 'implicit',
      alpn: ['xmpp-server'],
      opening: streamOpening('servers'),
      clientCertificates: {},
      serve: listener('servers'),
    },
    { protocol: 'imap', tls: 'implicit', alpn: ['imap'], serve: echo('mail') },
    { protocol: 'c2s', tls: 'starttls', opening: streamOpening('clients'), serve: listener('clients') },
    { protocol: 'http', tls: 'none', opening: requestOpening, serve: listener('web') },
  ]
  for (const [at, options] of all.entries()) await network.listen(scope, { ...options, address, ...some[at] })
  return { h, port, network, scope }
}

const tls = (port: number, options: ConnectionOptions = {}): Peer =>
  new Peer(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }))

const CLIENT =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
const SERVER = CLIENT.replace('jabber:client', 'jabber:server')

test('who names a protocol gets it, whatever is said then', async (t) => {
  const { port, network } = await shared(t)
  const said = async (alpn: string): Promise<string> => tls(port, { ALPNProtocols: [alpn] }).ask('hello')
  assert.equal(await said('http/1.1'), 'web (http/1.1): hello')
  assert.equal(await said('xmpp-client'), 'clients (xmpp-client): hello')
  assert.equal(await said('xmpp-server'), 'servers (xmpp-server): hello')
  const imap = tls(port, { ALPNProtocols: ['imap'] })
  assert.equal(await imap.line(), 'mail', 'it speaks first')
  imap.socket.destroy()
  assert.deepEqual(
    network
      .bound()
      .map((bound) => `${bound.protocol} ${bound.tls} ${bound.port === port}`)
      .sort(),
    [
      'c2s implicit true',
      'c2s starttls true',
      'http implicit true',
      'http none true',
      'imap implicit true',
      's2s implicit true',
    ],
  )
})

test('a browser, which names several, gets the one that is spoken here', async (t) => {
  const { port } = await shared(t)
  assert.equal(
    await tls(port, { ALPNProtocols: ['h2', 'http/1.1'] }).ask('GET / HTTP/1.1'),
    'web (http/1.1): GET / HTTP/1.1',
  )
})

test('a protocol that nobody speaks here is refused in the handshake', async (t) => {
  const { port } = await shared(t)
  const peer = tls(port, { ALPNProtocols: ['h2'] })
  assert.equal(await peer.line(), '(closed)')
})

test('who names none is known by the first words', async (t) => {
  const { port } = await shared(t)
  assert.equal(await tls(port).ask('GET / HTTP/1.1'), 'web (no ALPN): GET / HTTP/1.1')
  assert.match(await tls(port).ask(CLIENT), /^clients \(no ALPN\): <\?xml /)
  assert.match(await tls(port).ask(SERVER), /^servers \(no ALPN\): <\?xml /)
})

test('without TLS too, octet by octet', async (t) => {
  const { port } = await shared(t)
  assert.equal(await Peer.to(port).ask('GET / HTTP/1.1'), 'web (in the clear): GET / HTTP/1.1')
  assert.match(await Peer.to(port).ask(CLIENT), /^clients \(in the clear\)/)
  const slow = Peer.to(port)
  slow.socket.setNoDelay(true)
  for (const octet of 'GET / HTTP/1.1\n') {
    slow.socket.write(octet)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.match(await slow.line(), /^web \(in the clear\): GET/)
})

test('nonsense is not listened to for long, and silence not for ever', async (t) => {
  const { port, h } = await shared(t)
  for (const nonsense of [
    '\x00\x01\x02',
    'hello there',
    `<${'a'.repeat(2000)}`,
    '\x16\x03\x01\x00\x00',
    '\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00',
    '\x16\x03\x01\xff\xff',
    '\x16\x02\x01\x00\x05hello',
  ]) {
    const peer = new Peer(connect(port, '127.0.0.1'))
    peer.socket.write(Buffer.from(nonsense, 'latin1'))
    assert.equal(await peer.line(), '(closed)', JSON.stringify(nonsense.slice(0, 20)))
  }
  const silent = Peer.to(port)
  await once(silent.socket, 'connect')
  const half = Peer.to(port)
  half.socket.write(Buffer.from([0x16, 3, 1, 1, 0, 1]))
  await once(half.socket, 'connect')
  const mute = tls(port)
  await once(mute.socket, 'secureConnect')
  // They arrive in their order: the clock is turned when the last one is there.
  while ((await h.metrics.text()).match(/aviso_connections\{protocol="http"\} 1/) === null)
    await new Promise(setImmediate)
  h.clock.turn(60_000)
  for (const peer of [silent, mute, half]) assert.equal(await peer.line(), '(closed)')
})

test('a reload takes the shared address over, and lets go of what is not shared any more', async (t) => {
  const { h, port, network } = await shared(t)
  const idle = tls(port, { ALPNProtocols: ['imap'] })
  assert.equal(await idle.line(), 'mail')
  const fresh = h.root.child('fresh')
  const certificates = await selfSigned(t, h.root, 'example.org')
  const next = await createNetwork(fresh, { config: settings(), certificates })
  await next.listen(fresh, {
    protocol: 'http',
    address: `127.0.0.1:${port}`,
    tls: 'implicit',
    alpn: ['http/1.1'],
    serve: listener('new web'),
  })
  const retired = network.retire()
  assert.equal(await tls(port, { ALPNProtocols: ['http/1.1'] }).ask('hello'), 'new web (http/1.1): hello')
  assert.equal(await idle.ask('still here?'), 'mail: still here?')
  idle.socket.end()
  await retired
})

test('who is banned or has too many connections is not even looked at', async (t) => {
  const h = house(t)
  const scope = h.root.child('generation')
  const network = await createNetwork(scope, { config: settings({ 'connections-per-address': 1, trusted: [] }) })
  const port = await freePort()
  const common = { address: `127.0.0.1:${port}`, serve: listener('it') }
  await network.listen(scope, { ...common, protocol: 'http', tls: 'none', opening: requestOpening })
  await network.listen(scope, { ...common, protocol: 'c2s', tls: 'starttls', opening: streamOpening('clients') })
  const first = Peer.to(port)
  await once(first.socket, 'connect')
  assert.equal(await Peer.to(port).line(), '(closed)', 'one that says nothing counts')
  first.socket.destroy()
})

test('what cannot be told apart may not share', async (t) => {
  const h = house(t)
  const scope = h.root.child('generation')
  const certificates = await selfSigned(t, h.root, 'example.org')
  const network = await createNetwork(scope, { config: settings(), certificates })
  const address = `127.0.0.1:${await freePort()}`
  await network.listen(scope, { protocol: 'http', address, tls: 'implicit', alpn: ['http/1.1'], serve: echo('web') })
  const other = (options: Partial<ListenOptions>): Promise<unknown> =>
    network.listen(scope, { protocol: 'smtp', address, tls: 'starttls', serve: echo('mail'), ...options })
  await assert.rejects(other({}), /smtp are both to listen on .* clients of smtp wait for the server to speak first/)
  await assert.rejects(other({ tls: 'implicit' }), /nothing tells their clients apart/)
  await assert.rejects(
    other({ protocol: 'imap', tls: 'implicit', alpn: ['imap'], proxies: ['127.0.0.1'] }),
    /share .* the same proxy-protocol/,
  )
})

test('a client hello is read in whatever pieces it comes, and never beyond its end', async () => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const arrived = once(server, 'connection')
  const client = connectTls({ port, host: '127.0.0.1', ALPNProtocols: ['one', 'two'], servername: 'example.org' })
  client.on('error', () => {})
  const [socket] = (await arrived) as [Socket]
  const [hello] = (await once(socket, 'data')) as [Buffer]
  assert.deepEqual(readClientHello(hello), { alpn: ['one', 'two'] })
  for (let length = 1; length < hello.length; length++)
    assert.equal(readClientHello(hello.subarray(0, length)), 'more', `${length} octets`)
  assert.deepEqual(readClientHello(Buffer.concat([hello, Buffer.from('more')])), { alpn: ['one', 'two'] })
  // The same message in records of 100 octets.
  const message = hello.subarray(5)
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += 100) {
    const piece = message.subarray(at, at + 100)
    records.push(Buffer.from([0x16, 3, 1, 0, piece.length]), piece)
  }
  assert.deepEqual(readClientHello(Buffer.concat(records)), { alpn: ['one', 'two'] })
  // Whatever is changed in it, it is read or refused.
  for (let at = 0; at < hello.length; at++)
    for (const octet of [0, 1, 0x7f, 0xff]) {
      const changed = Buffer.from(hello)
      changed[at] = octet
      assert.doesNotThrow(() => readClientHello(changed))
    }
  client.destroy()
  socket.destroy()
  await new Promise((resolve) => server.close(resolve))
})
