// TLS: at once and by STARTTLS, the names, what goes wrong, and what SASL binds to.

import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import * as tls from 'node:tls'
import * as v from 'valibot'
import { readKeyPair } from '../../src/net/certificate-files.ts'
import { Certificates } from '../../src/net/certificates.ts'
import type { Connection } from '../../src/net/contracts.ts'
import { createNetwork } from '../../src/net/listeners.ts'
import { selfSignedCertificate } from '../../src/net/self-signed.ts'
import { endPointHash, tlsConfig } from '../../src/net/tls.ts'
import { Peer, echo, folder, house, selfSigned, settings } from './fixtures.ts'

const careless = { rejectUnauthorized: false } as const

async function secured(socket: Socket, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const client = tls.connect({ socket, ...careless, ...options })
  client.on('error', () => {})
  await once(client, 'secureConnect')
  return client
}

test('STARTTLS: a handshake that fails ends one connection, the others go on', async (t) => {
  const h = house(t)
  const network = await createNetwork(h.root, {
    config: settings(),
    certificates: await selfSigned(t, h.root, 'mx.example.org'),
  })
  const { port } = await network.listen(h.root, {
    protocol: 'smtp',
    address: '127.0.0.1:0',
    tls: 'starttls',
    serve: echo('mx'),
  })
  const [anna, mallory] = [Peer.to(port), Peer.to(port)]
  await Promise.all([anna.line(), mallory.line()])

  assert.equal(await mallory.ask('starttls'), 'go ahead')
  assert.equal(await mallory.ask('this is no handshake at all, whatever the server may think'), '(closed)')

  assert.equal(await anna.ask('hello'), 'mx: hello')
  assert.equal(await anna.ask('starttls'), 'go ahead')
  anna.socket.removeAllListeners('data')
  const safe = new Peer(await secured(anna.socket))
  assert.equal(await safe.ask('and now?'), 'mx: and now?')
  assert.match(await h.metrics.text(), /aviso_tls_failures_total\{protocol="smtp",reason="protocol"\} 1/)
})

test('commands slipped in behind STARTTLS are never taken for commands', async (t) => {
  const h = house(t)
  const network = await createNetwork(h.root, { config: settings(), certificates: await selfSigned(t, h.root) })
  const seen: string[] = []
  const { port } = await network.listen(h.root, {
    protocol: 'smtp',
    address: '127.0.0.1:0',
    tls: 'starttls',
    serve(connection) {
      // Reads one line, as a session that stops reading at STARTTLS does; the rest stays unread in the socket.
      connection.socket.once('readable', () => {
        seen.push(String(connection.socket.read(9)))
        connection.socket.write('go ahead\n')
        connection.startTls().then(
          (socket) => socket.on('data', (octets) => seen.push(octets.toString())),
          () => {},
        )
      })
      return { shutdown: async () => void connection.socket.destroy() }
    },
  })
  const mallory = Peer.to(port)
  mallory.socket.write('starttls\nMAIL FROM:<mallory@example.com>\n')
  assert.equal(await mallory.line(), 'go ahead')
  assert.equal(await mallory.line(), '(closed)')
  assert.deepEqual(seen, ['starttls\n'])
})

test('a peer that never finishes its handshake is cut off', async (t) => {
  const h = house(t)
  const network = await createNetwork(h.root, { config: settings(), certificates: await selfSigned(t, h.root) })
  const { port } = await network.listen(h.root, {
    protocol: 'imaps',
    address: '127.0.0.1:0',
    tls: 'implicit',
    serve: echo('imap'),
  })
  const silent = Peer.to(port)
  await once(silent.socket, 'connect')
  while (network.connections().get('imaps') !== 1) await new Promise((resolve) => setImmediate(resolve))
  h.clock.turn(30_000)
  assert.equal(await silent.line(), '(closed)')
  assert.match(await h.metrics.text(), /aviso_tls_failures_total\{protocol="imaps",reason="timeout"\} 1/)
})

test('damaged records after the handshake end the connection', async (t) => {
  const h = house(t)
  const network = await createNetwork(h.root, { config: settings(), certificates: await selfSigned(t, h.root) })
  const { port } = await network.listen(h.root, {
    protocol: 'imaps',
    address: '127.0.0.1:0',
    tls: 'implicit',
    serve: echo('imap'),
  })
  // A relay, so that something can be written under the encryption.
  const raw = connect(port, '127.0.0.1')
  const { Duplex } = await import('node:stream')
  const pipe = new Duplex({ read() {}, write: (chunk, _encoding, done) => void raw.write(chunk, () => done()) })
  raw.on('data', (octets) => pipe.push(octets)).on('error', () => {})
  const client = tls.connect({ socket: pipe, ...careless })
  client.on('error', () => {})
  await once(client, 'data')
  raw.write(Buffer.concat([Buffer.of(0x17, 3, 3, 0, 32), Buffer.alloc(32)]))
  await once(raw, 'close')
})

test('the facts of a session: version, name, ALPN and channel bindings', async (t) => {
  const h = house(t)
  const dir = await folder(t)
  const files = await selfSignedCertificate(dir, ['chat.example.org'], h.clock.now())
  const certificates = new Certificates(h.root, v.parse(tlsConfig, {}), [await readKeyPair(files)], {
    current: () => Buffer.alloc(48, 7),
  })
  const network = await createNetwork(h.root, { config: settings(), certificates })
  const met = Promise.withResolvers<Connection>()
  const { port } = await network.listen(h.root, {
    protocol: 'c2s',
    address: '127.0.0.1:0',
    tls: 'implicit',
    alpn: ['xmpp-client'],
    serve: (connection) => (met.resolve(connection), echo('c2s')(connection)),
  })
  const ca = await readFile(files.certificate)
  const client = tls.connect({
    port,
    host: '127.0.0.1',
    servername: 'chat.example.org',
    ca,
    ALPNProtocols: ['xmpp-client'],
  })
  await once(client, 'secureConnect')
  assert.equal(client.authorized, true)
  const facts = (await met.promise).tls
  assert.deepEqual([facts?.protocol, facts?.serverName, facts?.alpn], ['TLSv1.3', 'chat.example.org', 'xmpp-client'])
  const bindings = facts?.channelBinding
  assert.deepEqual(
    bindings?.get('tls-exporter'),
    client.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)),
  )
  assert.deepEqual(
    bindings?.get('tls-server-end-point'),
    createHash('sha256').update(new X509Certificate(ca).raw).digest(),
  )
  assert.deepEqual(bindings?.get('tls-unique'), client.getFinished())
  assert.deepEqual([bindings?.size, bindings?.get('tls-none')], [3, undefined])
  const over = met.promise.then(({ socket }) => once(socket, 'close'))
  client.destroy()
  await over
  assert.equal(bindings?.get('tls-exporter'), undefined)
})

test('TLS 1.2 is spoken, without an exporter to bind to; TLS 1.1 is not; tickets resume', async (t) => {
  const h = house(t)
  const network = await createNetwork(h.root, { config: settings(), certificates: await selfSigned(t, h.root) })
  const connections: Connection[] = []
  const { port } = await network.listen(h.root, {
    protocol: 'imaps',
    address: '127.0.0.1:0',
    tls: 'implicit',
    serve: (c) => (connections.push(c), echo('imap')(c)),
  })
  const old = await secured(connect(port, '127.0.0.1'), { maxVersion: 'TLSv1.2' })
  const ticket = old.getSession()
  assert.equal(await new Peer(old).line(), 'imap')
  assert.deepEqual([...(connections[0]?.tls?.channelBinding.keys() ?? [])], ['tls-unique', 'tls-server-end-point'])
  const again = await secured(connect(port, '127.0.0.1'), { maxVersion: 'TLSv1.2', ...(ticket && { session: ticket }) })
  assert.equal(again.isSessionReused(), true)
  assert.equal(await new Peer(again).line(), 'imap')
  // The handshake of a resumed session does not prove what that of the first one did.
  assert.deepEqual([...(connections[1]?.tls?.channelBinding.keys() ?? [])], ['tls-server-end-point'])
  again.destroy()
  await assert.rejects(
    secured(connect(port, '127.0.0.1'), { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' }),
  )
})

test('the certificate is chosen by name: exact, then wildcard, then the first', async (t) => {
  const h = house(t)
  const pairs = []
  for (const names of [['mail.example.org'], ['*.example.net'], ['im.example.net']]) {
    const files = await selfSignedCertificate(
      path.join(await folder(t), names[0]?.replace('*', '_') ?? ''),
      names,
      h.clock.now(),
    )
    pairs.push(await readKeyPair(files))
  }
  const certificates = new Certificates(h.root, v.parse(tlsConfig, {}), pairs, { current: () => Buffer.alloc(48, 7) })
  const network = await createNetwork(h.root, { config: settings(), certificates })
  const { port } = await network.listen(h.root, {
    protocol: 'imaps',
    address: '127.0.0.1:0',
    tls: 'implicit',
    serve: echo('imap'),
  })
  const names = async (servername: string | undefined): Promise<string> => {
    const client = await secured(connect(port, '127.0.0.1'), servername === undefined ? {} : { servername })
    const found = client.getPeerCertificate().subject.CN
    client.destroy()
    return String(found)
  }
  assert.equal(await names(undefined), 'mail.example.org')
  assert.equal(await names('MAIL.example.org'), 'mail.example.org')
  assert.equal(await names('im.example.net'), 'im.example.net')
  assert.equal(await names('other.example.net'), '*.example.net')
  assert.equal(await names('a.b.example.net'), 'mail.example.org', 'a wildcard is one label')
  assert.equal(await names('nowhere.test'), 'mail.example.org')
})

test('tls-server-end-point takes the hash of the signature, and SHA-256 for the weak ones', () => {
  for (const [algorithm, hash] of [
    ['sha256WithRSAEncryption', 'sha256'],
    ['ecdsa-with-SHA384', 'sha384'],
    ['sha1WithRSAEncryption', 'sha256'],
    ['md5WithRSAEncryption', 'sha256'],
    ['ED25519', undefined],
    ['rsassaPss', undefined],
    [undefined, undefined],
  ] as const) {
    assert.equal(endPointHash(algorithm), hash, algorithm)
  }
})
