import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { describe, it } from 'node:test'
import { TLSSocket, connect as connectTls, createSecureContext } from 'node:tls'
import type { ClientMechanism } from '@aviso/sasl'
import {
  AuthenticationError,
  Client,
  NS,
  StanzaError,
  StreamError,
  el,
  type ClientOptions,
  type ServerStreamHandlers,
} from '../src/index.ts'
import { RawPeer } from '../src/testing/index.ts'
import { PLAIN_ANNA, house, opened, streamError, type House } from './stream-house.ts'

const fixture = (name: string): Buffer => readFileSync(new URL(`fixtures/${name}`, import.meta.url))
const cert = fixture('localhost.cert.pem')
const secureContext = createSecureContext({ cert, key: fixture('localhost.key.pem') })

const plain = (user = 'anna', password = 'secret'): ClientMechanism => ({
  name: 'PLAIN',
  start: async () => Buffer.from(`\0${user}\0${password}`),
  next: async () => new Uint8Array(),
  success: async () => {},
})

async function listening(make: (socket: Socket) => void): Promise<{ port: number; close(): void }> {
  const server = createServer({ noDelay: true }, make)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() }
}

const accept = (socket: Duplex): Promise<Duplex> =>
  new Promise((resolve, reject) => {
    const secure = new TLSSocket(socket as Socket, { isServer: true, secureContext })
    secure.once('secure', () => resolve(secure)).once('error', reject)
  })

const encrypt = (socket: Duplex): Promise<Duplex> =>
  new Promise((resolve, reject) => {
    const secure = connectTls({ socket, ca: cert, servername: 'a.example' }, () => resolve(secure))
    secure.once('error', reject)
  })

const dial = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true }, () => resolve(socket))
    socket.once('error', reject)
  })

const echo: Partial<ServerStreamHandlers> = {
  stanza(stanza, stream) {
    if (stanza.name === 'iq' && stanza.child('ping', NS.ping) === undefined) throw StanzaError.of('service-unavailable')
    if (stanza.name === 'iq') stream.send(el('iq', { type: 'result', id: stanza.get('id'), to: String(stream.jid) }))
    else stream.send(stanza.with({ from: String(stream.jid), to: String(stream.jid) }))
  },
}

describe('client and server over loopback', () => {
  const login = (port: number, more: Partial<ClientOptions> = {}): Promise<Client> =>
    Client.connect({
      domain: 'a.example',
      connect: () => dial(port),
      startTls: encrypt,
      sasl: () => plain(),
      resource: 'desk',
      ...more,
    })

  it('STARTTLS, log-in, bind, requests, stanzas, and a clean end', async () => {
    const streams: House[] = []
    const server = await listening((socket) =>
      streams.push(house({ socket, secure: false, starttls: { required: true, start: accept } }, echo)),
    )
    const client = await login(server.port)
    assert.equal(client.jid.toString(), 'anna@a.example/desk')
    assert.ok(streams[0]?.stream.secure && streams[0].stream.socket instanceof TLSSocket)
    assert.equal(
      (await client.request(el('iq', { type: 'get' }, el('ping', { xmlns: NS.ping })))).get('type'),
      'result',
    )
    await assert.rejects(client.request(el('iq', { type: 'get' }, el('x', { xmlns: 'urn:x' }))), StanzaError)
    for (let id = 0; id < 200; id++) client.send(el('message', { id }, el('body', {}, 'grüße 😀'.repeat(100))))
    let count = 0
    for await (const stanza of client) {
      assert.equal(stanza.get('id'), String(count))
      if (++count === 200) break
    }
    await client.close()
    assert.deepEqual(streams[0]?.closed, [{ by: 'peer' }])
    server.close()
  })
  it('direct TLS', async () => {
    const server = await listening((socket) => void accept(socket).then((secure) => house({ socket: secure }, echo)))
    const client = await login(server.port, { secure: true, connect: () => dial(server.port).then(encrypt) })
    assert.equal(client.jid.resource, 'desk')
    await client.close()
    server.close()
  })
  it('a wrong password', async () => {
    const server = await listening(
      (socket) => void house({ socket, secure: false, starttls: { required: true, start: accept } }),
    )
    await assert.rejects(
      login(server.port, { sasl: () => plain('anna', 'guess') }),
      (error) => error instanceof AuthenticationError && error.condition === 'not-authorized',
    )
    server.close()
  })
  it('bytes behind <starttls/> end the stream: nothing said in the clear is heard later', async () => {
    const server = await listening(
      (socket) => void house({ socket, secure: false, starttls: { required: true, start: accept } }),
    )
    const peer = new RawPeer(await dial(server.port))
    await opened(peer)
    peer.send(`<starttls xmlns='${NS.tls}'/>${PLAIN_ANNA}`)
    assert.equal((await streamError(peer)).condition, 'policy-violation')
    server.close()
  })
  it('required encryption: no mechanisms and no log-in before it; optional: both', async () => {
    const server = await listening(
      (socket) => void house({ socket, secure: false, starttls: { required: true, start: accept } }),
    )
    const peer = new RawPeer(await dial(server.port))
    const features = await opened(peer)
    assert.deepEqual(
      features.elements.map((feature) => feature.name),
      ['starttls'],
    )
    assert.ok(features.child('starttls', NS.tls)?.child('required'))
    peer.send(PLAIN_ANNA)
    assert.equal((await streamError(peer)).condition, 'policy-violation')
    server.close()
    const { peer: other } = house({ secure: false, starttls: { required: false, start: accept } })
    assert.deepEqual(
      (await opened(other)).elements.map((feature) => feature.name),
      ['starttls', 'mechanisms', 'limits'],
    )
    other.send(PLAIN_ANNA)
    assert.equal((await other.element()).name, 'success')
  })
  it('a TLS handshake that fails harms this connection alone', async () => {
    const houses: House[] = []
    const server = await listening((socket) =>
      houses.push(house({ socket, secure: false, starttls: { required: true, start: accept } })),
    )
    const peer = new RawPeer(await dial(server.port))
    await opened(peer)
    peer.send(`<starttls xmlns='${NS.tls}'/>`)
    assert.equal((await peer.element()).name, 'proceed')
    peer.send('this is no handshake, whatever else it may be')
    assert.equal((await peer.next()).kind === 'disconnected' || (await peer.next()).kind === 'disconnected', true)
    assert.equal(houses[0]?.closed[0]?.by, 'lost')
    server.close()
  })
  it('the server goes away: requests and readers are told', async () => {
    const streams: House[] = []
    const server = await listening((socket) => streams.push(house({ socket })))
    const client = await Client.connect({ domain: 'a.example', connect: () => dial(server.port), sasl: () => plain() })
    assert.equal(client.jid.resource, 'made')
    const request = client.request(el('iq', { type: 'get' }, el('ping', { xmlns: NS.ping })))
    const next = client.next()
    streams[0]?.stream.close(new StreamError('system-shutdown'))
    await assert.rejects(request, (error) => error instanceof StreamError && error.condition === 'system-shutdown')
    await assert.rejects(next, StreamError)
    assert.equal((await client.ended()).by, 'peer-error')
    server.close()
  })
})
