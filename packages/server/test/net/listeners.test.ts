// Connections come in, generations of the configuration come and go.

import assert from 'node:assert/strict'
import { createServer, connect, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { link } from 'node:fs/promises'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Connection, ListenOptions, Session } from '../../src/net/contracts.ts'
import { openBans } from '../../src/net/bans.ts'
import { createNetwork, type GenerationNetwork } from '../../src/net/listeners.ts'
import { Peer, echo, folder, house, settings, type House } from './fixtures.ts'

const plain = (name: string, address = '127.0.0.1:0', protocol = 'echo'): ListenOptions => ({
  protocol,
  address,
  tls: 'none',
  serve: echo(name),
})

async function generation(
  h: House,
  name: string,
  held = false,
): Promise<{ scope: House['root']; network: GenerationNetwork }> {
  const scope = h.root.child(name)
  return { scope, network: await createNetwork(scope, { config: settings(), held }) }
}

async function occupied(t: TestContext): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('a reload keeps the session that is open and serves new ones', async (t) => {
  const h = house(t)
  const old = await generation(h, 'one')
  const { port } = await old.network.listen(old.scope.child('echo'), plain('old'))
  const anna = Peer.to(port)
  assert.equal(await anna.line(), 'old')

  const fresh = await generation(h, 'two')
  const bound = await fresh.network.listen(fresh.scope.child('echo'), plain('new'))
  assert.equal(bound.port, port, 'port 0 is the same port again')
  const retired = old.network.retire()
  const ben = Peer.to(port)
  assert.equal(await ben.line(), 'new')
  assert.equal(await anna.ask('still here?'), 'old: still here?')
  assert.equal(fresh.network.connections().get('echo'), 2)

  anna.socket.end()
  await retired
  await old.scope.close()
  assert.equal(await ben.ask('and you?'), 'new: and you?')
  assert.equal(await Peer.to(port).line(), 'new')
  assert.equal(fresh.network.bound().length, 1)
})

test('a configuration that does not start gives the address back to the one before', async (t) => {
  const h = house(t)
  const old = await generation(h, 'one')
  const { port } = await old.network.listen(old.scope, plain('old'))
  const broken = await generation(h, 'two', true)
  await broken.network.listen(broken.scope, plain('new'))
  assert.equal(await Peer.to(port).line(), 'old', 'a held generation serves nobody yet')
  await broken.scope.close()
  assert.equal(await Peer.to(port).line(), 'old')
})

test('who comes before everything is up waits and is served', async (t) => {
  const h = house(t)
  const { scope, network } = await generation(h, 'one', true)
  const { port } = await network.listen(scope, plain('ready'))
  const early = Peer.to(port)
  await once(early.socket, 'connect')
  early.socket.write('hello\n')
  network.start()
  assert.equal(await early.line(), 'ready')
  assert.equal(await early.line(), 'ready: hello')
})

test('a stop says goodbye to everybody at once, and cuts off who does not go', async (t) => {
  const h = house(t)
  const { scope, network } = await generation(h, 'one')
  const { port } = await network.listen(scope.child('polite'), plain('polite'))
  const deaf = {
    protocol: 'deaf',
    address: '127.0.0.1:0',
    tls: 'none',
    serve: ({ socket }: Connection): Session => (socket.write('deaf\n'), { shutdown: () => new Promise(() => {}) }),
  } as const
  const second = await network.listen(scope.child('deaf'), deaf)
  const [polite, stubborn] = [Peer.to(port), Peer.to(second.port)]
  await Promise.all([polite.line(), stubborn.line()])

  const stopped = scope.close()
  assert.equal(await polite.line(), 'bye')
  await polite.closed
  assert.equal(stubborn.socket.destroyed, false)
  h.clock.turn(20_000)
  assert.equal(await stubborn.line(), '(closed)')
  await stopped
  await assert.rejects(once(connect(port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
})

test('one endpoint is retired alone, the others of its generation go on', async (t) => {
  const h = house(t)
  const { scope, network } = await generation(h, 'one')
  const [smtp, imap] = [scope.child('smtp'), scope.child('imap')]
  const first = await network.listen(smtp, plain('smtp', '127.0.0.1:0', 'smtp'))
  const second = await network.listen(imap, plain('imap', '127.0.0.1:0', 'imap'))
  const anna = Peer.to(first.port)
  assert.equal(await anna.line(), 'smtp')
  await network.drained(imap)
  const retired = network.retire(smtp)
  await assert.rejects(once(connect(first.port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
  assert.equal(await anna.ask('still here?'), 'smtp: still here?')
  assert.equal(await Peer.to(second.port).line(), 'imap')
  anna.socket.end()
  await retired
})

test('a session that cannot be served is closed and logged, its neighbour does not notice', async (t) => {
  const h = house(t)
  const { scope, network } = await generation(h, 'one')
  let served = 0
  const { port } = await network.listen(scope, {
    ...plain('fine'),
    serve(connection) {
      if (++served === 2) throw new Error('cannot')
      return echo('fine')(connection)
    },
  })
  const anna = Peer.to(port)
  assert.equal(await anna.line(), 'fine')
  assert.equal(await Peer.to(port).line(), '(closed)')
  assert.equal(await anna.ask('hm'), 'fine: hm')
  const line = h.lines.find(({ msg }) => msg === 'the connection could not be served')
  assert.match(String(line?.['session']), /^[a-z0-9]{10}$/)
})

test('a port in use: the message names the address, who has it, and what to do', async (t) => {
  const h = house(t)
  const { scope, network } = await generation(h, 'one')
  const port = await occupied(t)
  // The other program is this very process, which is told apart; port-owner.test.ts has a foreign one.
  await assert.rejects(network.listen(scope, plain('late', `127.0.0.1:${port}`)), {
    name: 'StartError',
    message: new RegExp(`^echo cannot listen on 127\\.0\\.0\\.1:${port}: .* itself, on an address that overlaps`),
  })
  assert.deepEqual(network.bound(), [])
})

test('an address that this machine does not have', async (t) => {
  const h = house(t)
  const { scope, network } = await generation(h, 'one')
  await assert.rejects(network.listen(scope, plain('far', '192.0.2.77:0')), /this machine has no such address/)
  await assert.rejects(network.listen(scope, plain('odd', 'localhost')), /expected \[::\]:25/)
  await assert.rejects(network.listen(scope, plain('sd', 'systemd:smtp')), /systemd handed none over/)
})

test('two endpoints on one address are told so', async (t) => {
  const h = house(t)
  const { scope, network } = await generation(h, 'one')
  const { port } = await network.listen(scope, plain('a', '127.0.0.1:0', 'smtp'))
  const again = await generation(h, 'two')
  await again.network.listen(again.scope, plain('b', '127.0.0.1:0', 'smtp'))
  await network.listen(scope, plain('c', '127.0.0.1:0', 'smtp')).then((other) => assert.notEqual(other.port, port))
  const fixed = `127.0.0.1:${await freePort()}`
  await network.listen(scope, plain('d', fixed, 'imap'))
  await assert.rejects(network.listen(scope, plain('e', fixed, 'c2s')), /imap and c2s are both to listen on 127/)
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test('a unix socket: a left-over file is replaced, one in use is not', async (t) => {
  const h = house(t)
  const file = path.join(await folder(t), 'lmtp.sock')
  const first = await generation(h, 'one')
  assert.deepEqual(await first.network.listen(first.scope, plain('lmtp', `unix:${file}`)), {
    protocol: 'echo',
    tls: 'none',
    address: file,
    port: 0,
  })
  assert.equal(await new Peer(connect(file)).line(), 'lmtp')

  const other = house(t)
  const second = await generation(other, 'one')
  await assert.rejects(second.network.listen(second.scope, plain('x', `unix:${file}`)), /another program listens there/)
  // As a crash leaves it: a socket's file, and nobody behind it.
  const crashed = createServer().listen(`${file}.gone`)
  await once(crashed, 'listening')
  await link(`${file}.gone`, `${file}.stale`)
  crashed.close()
  await second.network.listen(second.scope, plain('fresh', `unix:${file}.stale`))
  assert.equal(await new Peer(connect(`${file}.stale`)).line(), 'fresh')
})

test('connections beyond the limits are closed at once and counted', async (t) => {
  const h = house(t)
  const config = settings({ connections: 3, 'connections-per-address': 2, trusted: [] })
  const network = await createNetwork(h.root, { config })
  const { port } = await network.listen(h.root, plain('hi'))
  const [one, two] = [Peer.to(port), Peer.to(port)]
  assert.equal(await one.line(), 'hi')
  assert.equal(await two.line(), 'hi')
  assert.equal(await Peer.to(port).line(), '(closed)')
  one.socket.end()
  await one.closed
  assert.equal(await Peer.to(port).line(), 'hi')
  const text = await h.metrics.text()
  assert.match(text, /aviso_connections_refused_total\{protocol="echo",reason="too-many-from-address"\} 1/)
  assert.match(text, /aviso_connections_accepted_total\{protocol="echo"\} 3/)
  assert.match(text, /aviso_connections\{protocol="echo"\} 2/)
})

test('a banned address is closed at accept, a trusted one is served', async (t) => {
  const h = house(t)
  const bans = await openBans(h.root)
  bans.ban('127.0.0.1', 60_000, 'guessed passwords')
  const strict = await createNetwork(h.root, { config: settings({ trusted: [] }), bans })
  const { port } = await strict.listen(h.root, plain('hi'))
  assert.equal(await Peer.to(port).line(), '(closed)')
  h.clock.turn(60_000)
  assert.equal(await Peer.to(port).line(), 'hi')
})
