// RFC 6455 and 7395: clients in browsers, decent ones and others.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import * as v from 'valibot'
import { type Connection, Network, type Session } from '../../src/net/contracts.ts'
import { createNetwork } from '../../src/net/listeners.ts'
import { Web } from '../../src/net/web/contracts.ts'
import { http } from '../../src/net/web/endpoint.ts'
import { openWeb } from '../../src/net/web/routes.ts'
import { acceptWebSocket, WebSocket } from '../../src/net/web/websocket.ts'
import { house, settings, type House } from './fixtures.ts'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='

/** A server that says every message back. */
async function parrot(
  t: TestContext,
): Promise<{ readonly port: number; readonly h: House; readonly clients: Set<Client> }> {
  // Who does not answer the server's goodbye would be waited for, on a clock that stands still.
  const clients = new Set<Client>()
  t.after(() => clients.forEach(({ socket }) => socket.destroy()))
  const h = house(t)
  const generation = h.root.child('generation')
  const network = await createNetwork(generation, { config: settings() })
  generation.provide(Network, network)
  openWeb(generation)
  const { bound } = await http.create(
    v.parse(http.config, { listen: ['127.0.0.1:0'], 'listen-tls': [] }),
    generation.child('http'),
  )
  const serve = ({ socket }: Connection, head: Buffer): Session => {
    const ws = new WebSocket(socket, head, { clock: h.clock, maxMessage: 1000, ping: 60_000, closeTimeout: 5000 })
    ws.on('error', () => {})
    ws.on('data', (message: string) => ws.write(message))
    ws.on('end', () => ws.end())
    return {
      shutdown: () =>
        new Promise((resolve) => {
          ws.once('close', () => resolve())
          ws.end()
        }),
    }
  }
  generation.use(Web).route(generation, {
    path: '/ws',
    upgrade: (request) => ({ headers: acceptWebSocket(request, 'xmpp'), serve }),
  })
  return { port: bound[0]?.port ?? 0, h, clients }
}

interface Frame {
  readonly opcode: number
  readonly payload: Buffer
}

/** A client of WebSockets that keeps no rule by itself. */
class Client {
  readonly socket: Socket
  #octets = Buffer.alloc(0)
  #wake: (() => void) | undefined
  closed = false

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('error', () => {})
    this.socket.on('data', (octets) => {
      this.#octets = Buffer.concat([this.#octets, octets])
      this.#wake?.()
    })
    this.socket.on('close', () => {
      this.closed = true
      this.#wake?.()
    })
  }

  static async open(port: number): Promise<Client> {
    const client = new Client(port)
    assert.match(await client.ask(), /^HTTP\/1\.1 101 /)
    return client
  }

  /** The response to a request for a WebSocket. */
  async ask(headers: Record<string, string> = {}, method = 'GET'): Promise<string> {
    const all = {
      host: 'example.org',
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': KEY,
      'sec-websocket-protocol': 'xmpp',
      ...headers,
    }
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
    this.socket.write(`${method} /ws HTTP/1.1\r\n${lines.join('')}\r\n`)
    for (;;) {
      const end = this.#octets.indexOf('\r\n\r\n')
      if (end >= 0) {
        const head = this.#octets.toString('latin1', 0, end)
        this.#octets = this.#octets.subarray(end + 4)
        return head
      }
      if (this.closed) return ''
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  send(opcode: number, payload: Buffer | string, how: { final?: boolean; masked?: boolean; rsv?: number } = {}): void {
    const { final = true, masked = true, rsv = 0 } = how
    const octets = Buffer.from(payload)
    const mask = Buffer.from([1, 2, 3, 4])
    const extra = octets.length < 126 ? 0 : octets.length < 65_536 ? 2 : 8
    const header = Buffer.alloc(2 + extra)
    header[0] = (final ? 0x80 : 0) | rsv | opcode
    header[1] = (masked ? 0x80 : 0) | (extra === 0 ? octets.length : extra === 2 ? 126 : 127)
    if (extra === 2) header.writeUInt16BE(octets.length, 2)
    if (extra === 8) header.writeBigUInt64BE(BigInt(octets.length), 2)
    const body = masked ? octets.map((octet, index) => octet ^ (mask[index & 3] ?? 0)) : octets
    this.socket.write(Buffer.concat(masked ? [header, mask, body] : [header, body]))
  }

  /** The next frame; `undefined` when the connection is over. */
  async frame(): Promise<Frame | undefined> {
    for (;;) {
      const octets = this.#octets
      const short = (octets[1] ?? 0) & 0x7f
      const at = short === 126 ? 4 : 2
      if (octets.length >= at) {
        const length = short === 126 ? octets.readUInt16BE(2) : short
        if (octets.length >= at + length) {
          this.#octets = octets.subarray(at + length)
          return { opcode: (octets[0] ?? 0) & 0x0f, payload: octets.subarray(at, at + length) }
        }
      }
      if (this.closed) return undefined
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async text(): Promise<string> {
    const frame = await this.frame()
    return frame?.opcode === 1 ? frame.payload.toString() : `no text: ${frame?.opcode}`
  }

  /** The code that the server closes with. */
  async code(): Promise<number> {
    const frame = await this.frame()
    assert.equal(frame?.opcode, 8)
    if (!this.closed) await once(this.socket, 'close')
    return frame.payload.readUInt16BE(0)
  }
}

test('a WebSocket is opened, messages go both ways, and it is closed in order', async (t) => {
  const { port } = await parrot(t)
  const client = new Client(port)
  const response = await client.ask()
  // The example of RFC 6455 §1.3.
  assert.match(response, /\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i)
  assert.match(response, /\r\nsec-websocket-protocol: xmpp/i)
  client.send(1, 'hello')
  assert.equal(await client.text(), 'hello')
  client.send(1, 'ü'.repeat(300))
  assert.equal(await client.text(), 'ü'.repeat(300))
  client.send(9, 'are you there?')
  assert.deepEqual(await client.frame(), { opcode: 10, payload: Buffer.from('are you there?') })
  client.send(8, Buffer.from([3, 232]))
  assert.equal(await client.code(), 1000)
})

test('a message in pieces, with a ping in between, and octet by octet', async (t) => {
  const { port, clients } = await parrot(t)
  const client = await Client.open(port)
  clients.add(client)
  client.send(1, 'one ', { final: false })
  client.send(9, '')
  client.send(0, 'two ', { final: false })
  client.send(0, 'three')
  assert.equal((await client.frame())?.opcode, 10)
  assert.equal(await client.text(), 'one two three')
  client.socket.setNoDelay(true)
  for (const octet of [0x81, 0x82, 0, 0, 0, 0, 0x6f, 0x6b]) {
    client.socket.write(Buffer.from([octet]))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(await client.text(), 'ok')
})

test('what breaks the rules is closed with the code that says why', async (t) => {
  const { port } = await parrot(t)
  const code = async (act: (client: Client) => void): Promise<number> => {
    const client = await Client.open(port)
    act(client)
    return client.code()
  }
  assert.equal(await code((c) => c.send(1, 'x', { masked: false })), 1002)
  assert.equal(await code((c) => c.send(1, 'x', { rsv: 0x40 })), 1002)
  assert.equal(await code((c) => c.send(3, 'x')), 1002)
  assert.equal(await code((c) => c.send(0, 'x')), 1002, 'a piece of nothing')
  assert.equal(await code((c) => c.send(9, 'x', { final: false })), 1002, 'a ping in pieces')
  assert.equal(await code((c) => c.send(9, 'x'.repeat(126))), 1002)
  assert.equal(await code((c) => c.send(2, 'x')), 1003)
  assert.equal(await code((c) => c.send(1, Buffer.from([0xc3, 0x28]))), 1007)
  assert.equal(await code((c) => c.send(1, 'x'.repeat(1001))), 1009)
  const huge = Buffer.from([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])
  assert.equal(await code((c) => c.socket.write(huge)), 1009)
  const pieces = (count: number, size: number) => (c: Client) => {
    for (let i = 0; i < count; i++) c.send(i === 0 ? 1 : 0, 'x'.repeat(size), { final: false })
  }
  assert.equal(await code(pieces(11, 100)), 1009, 'too much in pieces')
  assert.equal(await code(pieces(65, 0)), 1008, 'nothing in too many pieces')
  assert.equal(await code((c) => c.send(8, Buffer.from([3]))), 1002)
  assert.equal(await code((c) => c.send(8, Buffer.from([3, 0xed]))), 1002, 'a code that is never sent')
})

test('what is no request for such a WebSocket gets an answer of HTTP', async (t) => {
  const { port } = await parrot(t)
  const status = async (headers: Record<string, string>): Promise<string> =>
    (await new Client(port).ask(headers)).split(' ')[1] ?? ''
  assert.equal(await status({ 'sec-websocket-version': '8' }), '426')
  assert.equal(await status({ 'sec-websocket-key': 'short' }), '400')
  assert.equal(await status({ 'sec-websocket-protocol': 'chat' }), '400')
  assert.equal(await status({ upgrade: 'h2c' }), '426')
})

test('a client that is silent is asked, and given up when it does not answer', async (t) => {
  const { port, h, clients } = await parrot(t)
  const client = await Client.open(port)
  clients.add(client)
  h.clock.turn(60_000)
  h.clock.turn(60_000)
  assert.equal((await client.frame())?.opcode, 9)
  client.send(10, '')
  client.send(1, 'here')
  assert.equal(await client.text(), 'here')
  h.clock.turn(60_000)
  h.clock.turn(60_000)
  assert.equal((await client.frame())?.opcode, 9)
  h.clock.turn(60_000)
  assert.equal(await client.frame(), undefined)
})
