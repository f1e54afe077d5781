// Who a connection really comes from, told by a proxy in front.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import * as fc from 'fast-check'
import type { Connection, ListenOptions, Session } from '../../src/net/contracts.ts'
import { createNetwork } from '../../src/net/listeners.ts'
import { parseProxyHeader, type ProxyHeader } from '../../src/net/proxy-protocol.ts'
import { Peer, echo, folder, house, selfSigned, settings, type House } from './fixtures.ts'

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

function v2(command: number, family: number, ...rest: (Buffer | number[])[]): Buffer {
  const behind = Buffer.concat(rest.map((part) => Buffer.from(part)))
  const fixed = Buffer.from([command, family, behind.length >> 8, behind.length & 255])
  return Buffer.concat([SIGNATURE, fixed, behind])
}

const four = v2(0x21, 0x11, [192, 0, 2, 7, 10, 0, 0, 1], [0x9c, 0x40, 0, 25])
const six = v2(
  0x21,
  0x21,
  Buffer.from('20010db8000000000000000000000007', 'hex'),
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  [0, 1, 0, 2],
  // A TLV behind the addresses.
  [0x05, 0, 2, 65, 66],
)
const client = { remoteAddress: '192.0.2.7', remotePort: 40_000, localAddress: '10.0.0.1', localPort: 25 }

const headers: readonly (readonly [name: string, octets: Buffer, origin: object | undefined])[] = [
  ['version 1, IPv4', Buffer.from('PROXY TCP4 192.0.2.7 10.0.0.1 40000 25\r\n'), client],
  [
    'version 1, IPv6',
    Buffer.from('PROXY TCP6 2001:DB8:0::7 2001:db8::1 1 65535\r\n'),
    { remoteAddress: '2001:db8::7', remotePort: 1, localAddress: '2001:db8::1', localPort: 65_535 },
  ],
  ['version 1, unknown', Buffer.from('PROXY UNKNOWN whatever it likes\r\n'), undefined],
  ['version 2, IPv4', four, client],
  [
    'version 2, IPv6, with a TLV',
    six,
    { remoteAddress: '2001:db8::7', remotePort: 1, localAddress: '2001:db8::1', localPort: 2 },
  ],
  [
    'version 2, IPv4 in IPv6',
    v2(0x21, 0x21, Buffer.from('00000000000000000000ffffc0000207', 'hex'), Buffer.alloc(16), [0, 1, 0, 2]),
    { remoteAddress: '192.0.2.7', remotePort: 1, localAddress: '::', localPort: 2 },
  ],
  ['version 2, local', v2(0x20, 0x11, [1, 2, 3]), undefined],
  ['version 2, unspecified', v2(0x21, 0x00), undefined],
  [
    'version 2, unix',
    v2(0x21, 0x31, Buffer.alloc(216)),
    { remoteAddress: '', remotePort: 0, localAddress: '', localPort: 0 },
  ],
]

for (const [name, octets, origin] of headers) {
  test(`${name}: read at its end, not before, and no octet more`, () => {
    const whole = Buffer.concat([octets, Buffer.from('EHLO a\r\n')])
    for (let length = 0; length < octets.length; length++)
      assert.deepEqual(parseProxyHeader(whole.subarray(0, length)), { kind: 'more' }, `${length} octets`)
    const expected: ProxyHeader = { kind: 'header', length: octets.length, origin: origin as typeof client | undefined }
    assert.deepEqual(parseProxyHeader(whole), expected)
  })
}

test('anything else is no header', () => {
  const bad: Buffer[] = [
    'EHLO a\r\n',
    'PROXY\r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 40000\r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 40000 25 \r\n',
    'PROXY TCP4 192.0.2.7  10.0.0.1 40000 25\r\n',
    'PROXY TCP4 192.0.2.777 10.0.0.1 40000 25\r\n',
    'PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n',
    'PROXY TCP6 192.0.2.7 10.0.0.1 40000 25\r\n',
    'PROXY TCP6 fe80::1%eth0 fe80::2 40000 25\r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 70000 25\r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 0400 25\r\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    'PROXY TCP4 192.0.2.7 10.0.0.1 40000 25\n' + ' '.repeat(100),
  ].map((text) => Buffer.from(text))
  bad.push(
    v2(0x11, 0x11, Buffer.alloc(12)),
    v2(0x22, 0x11, Buffer.alloc(12)),
    v2(0x21, 0x12, Buffer.alloc(12)),
    v2(0x21, 0x41, Buffer.alloc(12)),
    v2(0x21, 0x11, Buffer.alloc(11)),
    v2(0x21, 0x21, Buffer.alloc(12)),
    v2(0x21, 0x11, Buffer.alloc(4097)),
  )
  for (const octets of bad) assert.deepEqual(parseProxyHeader(octets), { kind: 'bad' }, octets.toString('latin1'))
})

test('random octets throw nothing', () => {
  const octets = fc.tuple(
    fc.constantFrom(SIGNATURE, Buffer.from('PROXY '), Buffer.alloc(0)),
    fc.uint8Array({ maxLength: 60 }),
  )
  fc.assert(
    fc.property(octets, ([start, rest]) => {
      assert.ok(['more', 'bad', 'header'].includes(parseProxyHeader(Buffer.concat([start, rest])).kind))
    }),
    { numRuns: 2000 },
  )
})

/** Says who it thinks it talks to. */
const naming = (connection: Connection): Session => {
  connection.socket.write(
    `${connection.remoteAddress} ${connection.remotePort} ${connection.localAddress} ${connection.localPort}\n`,
  )
  return echo('naming')(connection)
}

async function listen(t: TestContext, h: House, options: Partial<ListenOptions> = {}, more = {}) {
  const scope = h.root.child('one')
  const certificates = options.tls === undefined ? undefined : await selfSigned(t, h.root, 'mail.example.org')
  const network = await createNetwork(scope, { config: settings(), certificates, ...more })
  const bound = await network.listen(scope, {
    protocol: 'echo',
    address: '127.0.0.1:0',
    tls: 'none',
    proxies: ['127.0.0.0/8'],
    serve: naming,
    ...options,
  })
  return { port: bound.port, network, scope }
}

test("behind a trusted proxy the client is who the header says; what follows the header is the client's", async (t) => {
  const h = house(t)
  const { port } = await listen(t, h)
  for (const header of [four, Buffer.from('PROXY TCP4 192.0.2.7 10.0.0.1 40000 25\r\n')]) {
    for (const cut of [0, 1, 15, header.length, header.length + 3]) {
      const octets = Buffer.concat([header, Buffer.from('hello\n')])
      const peer = Peer.to(port)
      peer.socket.setNoDelay(true)
      peer.socket.write(octets.subarray(0, cut))
      await new Promise((resolve) => setImmediate(resolve))
      peer.socket.write(octets.subarray(cut))
      assert.equal(await peer.line(), '192.0.2.7 40000 10.0.0.1 25')
      assert.equal(await peer.line(), 'naming')
      assert.equal(await peer.line(), 'naming: hello')
      peer.socket.destroy()
    }
  }
})

test('a health check of the proxy is served as the proxy itself', async (t) => {
  const { port } = await listen(t, house(t))
  const peer = Peer.to(port)
  peer.socket.write(v2(0x20, 0))
  assert.match(await peer.line(), /^127\.0\.0\.1 \d+ 127\.0\.0\.1 /)
})

test('TLS begins behind the header, in the same packet or later', async (t) => {
  const h = house(t)
  const { port } = await listen(t, h, { tls: 'implicit' })
  const raw = connect(port, '127.0.0.1')
  raw.write(six)
  const secure = new Peer(connectTls({ socket: raw, rejectUnauthorized: false, servername: 'mail.example.org' }))
  assert.equal(await secure.line(), '2001:db8::7 1 2001:db8::1 2')
  assert.equal(await secure.line(), 'naming')
  assert.equal(await secure.ask('hello'), 'naming: hello')
})

test('from all others a header is nothing but words', async (t) => {
  const h = house(t)
  const { port } = await listen(t, h, { proxies: ['10.0.0.0/8', 'unix'] })
  const peer = Peer.to(port)
  assert.match(await peer.line(), /^127\.0\.0\.1 /)
  assert.equal(await peer.line(), 'naming')
  assert.equal(
    await peer.ask('PROXY TCP4 192.0.2.7 10.0.0.1 40000 25'),
    'naming: PROXY TCP4 192.0.2.7 10.0.0.1 40000 25',
  )
})

test('a proxy without a header is closed: at once, or after ten seconds of silence', async (t) => {
  const h = house(t)
  const { port, network } = await listen(t, h)
  const wrong = Peer.to(port)
  wrong.socket.write('EHLO a\r\n')
  assert.equal(await wrong.line(), '(closed)')
  const silent = Peer.to(port)
  await once(silent.socket, 'connect')
  while (network.connections().get('echo') !== 1) await new Promise((resolve) => setImmediate(resolve))
  h.clock.turn(10_000)
  assert.equal(await silent.line(), '(closed)')
  assert.equal(network.connections().get('echo') ?? 0, 0)
  assert.ok(h.lines.some((line) => line['msg'] === 'a proxy sent no PROXY header'))
})

test('bans and limits are those of the client, not of the proxy', async (t) => {
  const h = house(t)
  const bans = { isBanned: (address: string) => address === '192.0.2.7', ban() {}, lift: () => true, list: () => [] }
  const { port } = await listen(t, h, {}, { bans })
  const banned = Peer.to(port)
  banned.socket.write(four)
  assert.equal(await banned.line(), '(closed)')
  const welcome = Peer.to(port)
  welcome.socket.write(six)
  assert.match(await welcome.line(), /^2001:db8::7/)
})

test('a unix socket can have a proxy in front, too', async (t) => {
  const h = house(t)
  const file = path.join(await folder(t), 'echo.sock')
  await listen(t, h, { address: `unix:${file}`, proxies: ['unix'] })
  const peer = new Peer(connect(file))
  peer.socket.write(four)
  assert.equal(await peer.line(), '192.0.2.7 40000 10.0.0.1 25')
})

test('connections that have not said whose they are do not keep a server from stopping', async (t) => {
  const h = house(t)
  const { port, network, scope } = await listen(t, h)
  const silent = Peer.to(port)
  await once(silent.socket, 'connect')
  while (network.connections().get('echo') !== 1) await new Promise((resolve) => setImmediate(resolve))
  await scope.close()
  assert.equal(await silent.line(), '(closed)')
})
