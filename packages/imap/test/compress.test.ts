// RFC 4978 COMPRESS=DEFLATE, as a client sees it (spec/imap.md §5.4 cases 6 and 10).

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { connect, TLSSocket } from 'node:tls'
import { constants, createDeflateRaw, createInflateRaw, deflateRawSync } from 'node:zlib'
import { compressed } from '../src/server/compression.ts'
import { defaultAlarm } from '../src/server/options.ts'
import { fill, Wire, world, type World } from './harness.ts'

/** A client behind COMPRESS that flushes as it is told. */
class Squeezed {
  readonly #deflate
  readonly #flush: number
  #text = ''
  #more: (() => void) | undefined

  constructor(wire: Wire, flush: number) {
    this.#flush = flush
    this.#deflate = createDeflateRaw()
    const inflate = createInflateRaw()
    this.#deflate.on('data', (chunk) => wire.socket.write(chunk))
    wire.socket.removeAllListeners('data')
    wire.socket.on('data', (chunk) => inflate.write(chunk))
    inflate.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1')
      this.#more?.()
    })
  }

  async send(text: string): Promise<void> {
    this.#deflate.write(Buffer.from(text, 'latin1'))
    await new Promise<void>((resolve) => this.#deflate.flush(this.#flush, resolve))
  }

  async ask(command: string, tag = command.split(' ')[0]): Promise<string> {
    await this.send(`${command}\r\n`)
    const end = new RegExp(`^${tag} [^]*?\r\n`, 'm')
    for (;;) {
      const match = end.exec(this.#text)
      if (match !== null) {
        const heard = this.#text.slice(0, match.index + match[0].length)
        this.#text = this.#text.slice(heard.length)
        return heard
      }
      await new Promise<void>((resolve) => (this.#more = resolve))
    }
  }
}

async function squeezed(
  t: TestContext,
  flush: number,
  options: Parameters<typeof world>[2] = {},
): Promise<{ c: Squeezed; wire: Wire; world: World }> {
  const one = await world(t, {}, options)
  await fill(one.mail, 300)
  const wire = await one.wire()
  await wire.login()
  assert.match(await wire.ask('c compress deflate'), /^c OK /)
  return { c: new Squeezed(wire, flush), wire, world: one }
}

for (const [name, flush] of [
  ['partial', constants.Z_PARTIAL_FLUSH],
  ['sync', constants.Z_SYNC_FLUSH],
  ['full', constants.Z_FULL_FLUSH],
] as const)
  test(`10: a client that uses ${name} flushes is answered at once`, async (t) => {
    const { c } = await squeezed(t, flush)
    assert.match(await c.ask('a SELECT INBOX'), /\* 300 EXISTS\r\n[^]*a OK/)
    assert.equal((await c.ask('b FETCH 1:* (FLAGS BODY.PEEK[])')).match(/^\* \d+ FETCH /gm)?.length, 300)
    assert.match(await c.ask('d COMPRESS DEFLATE'), /^d NO \[COMPRESSIONACTIVE\]/)
    assert.doesNotMatch(await c.ask('e CAPABILITY'), /COMPRESS|UNAUTHENTICATE/)
    assert.match(await c.ask('f UNAUTHENTICATE'), /^f BAD/)
    assert.match(await c.ask(`g APPEND INBOX {400000+}\r\n${'x'.repeat(400_000)}`), /g OK \[APPENDUID 1001 301\]/)
    assert.match(await c.ask('h FETCH 301 BODY[]'), /\{400000\}\r\nx{400000}/)
    await c.send('i IDLE\r\n')
    assert.match(await c.ask('DONE', 'i'), /i OK/)
  })

test('COMPRESS is offered after login only, and takes DEFLATE only', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  assert.doesNotMatch(await c.until('* OK'), /COMPRESS/)
  assert.match(await c.ask('a COMPRESS DEFLATE'), /^a BAD/)
  assert.match(await c.ask('b LOGIN anna secret'), /COMPRESS=DEFLATE/)
  assert.match(await c.ask('c COMPRESS GZIP'), /^c BAD/)
})

test('6: what is piped behind COMPRESS is never taken for something compressed', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  c.send('a COMPRESS DEFLATE\r\nb NOOP\r\n')
  assert.match(await c.until('b '), /^a BAD .*\r\nb OK/)
})

test('over TLS, after STARTTLS: first compressed, then encrypted', async (t) => {
  const psk = Buffer.from('a shared secret')
  const common = { ciphers: 'PSK', maxVersion: 'TLSv1.2' as const }
  const server = { isServer: true, pskCallback: () => psk, ...common }
  const { mail, wire } = await world(
    t,
    {},
    {
      startTls: async (socket) => {
        const secure = new TLSSocket(socket as Socket, server)
        await once(secure, 'secure')
        return secure
      },
    },
  )
  await fill(mail, 300)
  const clear = await wire()
  await clear.until('* OK')
  assert.match(await clear.ask('a STARTTLS'), /^a OK/)
  clear.socket.removeAllListeners('data')
  const socket = connect({
    socket: clear.socket,
    pskCallback: () => ({ psk, identity: 'anna' }),
    checkServerIdentity: () => undefined,
    ...common,
  })
  await once(socket, 'secureConnect')
  const secure = new Wire(socket)
  await secure.ask('b LOGIN anna secret')
  assert.match(await secure.ask('c COMPRESS DEFLATE'), /^c OK/)
  const c = new Squeezed(secure, constants.Z_SYNC_FLUSH)
  assert.match(await c.ask('d SELECT INBOX'), /\* 300 EXISTS/)
  assert.equal((await c.ask('e FETCH 1:* BODY.PEEK[]')).match(/^\* \d+ FETCH /gm)?.length, 300)
  // The end may come while the last words are still being unpacked.
  const ended = once(socket, 'end')
  assert.match(await c.ask('f LOGOUT'), /^\* BYE [^]*f OK/)
  await ended
})

test('octets that are no deflate stream end the session, and so does the end of the stream in the middle of it', async (t) => {
  const { wire, world: w } = await squeezed(t, constants.Z_SYNC_FLUSH)
  wire.socket.write(Buffer.alloc(64, 0xff))
  await w.sessions[0]?.closed
  assert.equal(w.mail.watchers, 0)

  const { wire: other, world: v, c } = await squeezed(t, constants.Z_PARTIAL_FLUSH)
  await c.ask('a SELECT INBOX')
  await c.send('b FETCH 1')
  other.socket.end()
  await v.sessions[0]?.closed
  assert.equal(v.mail.watchers, 0)
})

test('a client that says everything at once, ends its side and reads later still gets all of it', async (t) => {
  const { wire } = await squeezed(t, constants.Z_SYNC_FLUSH)
  const pieces: Buffer[] = []
  wire.socket.removeAllListeners('data')
  wire.socket.on('data', (chunk) => pieces.push(chunk))
  wire.socket.end(deflateRawSync('a SELECT INBOX\r\nb FETCH 1:* BODY.PEEK[]\r\nz LOGOUT\r\n'))
  await once(wire.socket, 'end')
  const inflate = createInflateRaw()
  let text = ''
  inflate.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  inflate.end(Buffer.concat(pieces))
  await once(inflate, 'end')
  assert.equal(text.match(/^\* \d+ FETCH /gm)?.length, 300)
  assert.match(text, /\* BYE .*\r\nz OK/)
})

/** Two ends of a pipe that takes a little at a time. */
function pipe(): [Duplex, Duplex] {
  const make = (): Duplex =>
    new Duplex({
      highWaterMark: 4096,
      allowHalfOpen: true,
      read() {
        const go = waiting.get(this)
        waiting.delete(this)
        go?.()
      },
      write(chunk: Buffer, _encoding, done) {
        const peer = this === left ? right : left
        if (peer.push(chunk)) done()
        else waiting.set(peer, done)
      },
      final(done) {
        const peer = this === left ? right : left
        peer.push(null)
        done()
      },
    })
  const waiting = new Map<Duplex, () => void>()
  const [left, right] = [make(), make()]
  return [left, right]
}

test('little that unpacks to much is unpacked as it is read: memory stays small', async () => {
  const [near, far] = pipe()
  const stream = compressed(near, defaultAlarm)
  const bomb = deflateRawSync(Buffer.alloc(50_000_000), { level: 9 })
  for (let at = 0; at < bomb.length; at += 4096) far.write(bomb.subarray(at, at + 4096))
  let seen = 0
  stream.once('data', (chunk: Buffer) => {
    seen += chunk.length
    stream.pause()
  })
  await once(stream, 'data')
  // Given every chance to run ahead, it keeps to its buffers.
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(stream.readableLength <= 65_536, String(stream.readableLength))
  assert.ok(near.readableLength > 0, 'the socket is not read on')
  stream.on('data', (chunk: Buffer) => (seen += chunk.length))
  stream.resume()
  await new Promise<void>((resolve) => stream.on('data', () => seen >= 50_000_000 && resolve()))
  assert.equal(seen, 50_000_000)
  stream.destroy()
})

test('a peer that does not read stops the writer', async () => {
  const [near, far] = pipe()
  const stream = compressed(near, defaultAlarm)
  const piece = randomBytes(16_384)
  let written = 0
  for (let turn = 0; turn < 500; turn++) {
    while (!stream.writableNeedDrain) {
      stream.write(piece)
      written += piece.length
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(written < 300_000, String(written))
  far.resume()
  await once(stream, 'drain')
  stream.destroy()
})

test('what is written in one turn leaves with few flushes', async () => {
  const [near, far] = pipe()
  const stream = compressed(near, defaultAlarm)
  const heard: Buffer[] = []
  far.on('data', (chunk: Buffer) => heard.push(chunk))
  const inflate = createInflateRaw()
  for (let i = 0; i < 1000; i++) stream.write(`* ${i} FETCH (FLAGS (\\Seen))\r\n`)
  stream.end()
  await once(far, 'end')
  const octets = Buffer.concat(heard)
  // A sync flush is an empty stored block: 00 00 FF FF.
  assert.ok(octets.toString('hex').split('0000ffff').length <= 4)
  let text = ''
  inflate.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  inflate.end(octets)
  await once(inflate, 'end')
  assert.equal(text.split('\r\n').length, 1001)
})

test('a compressor that has nothing to do gives its memory back, and the client notices nothing', async () => {
  const [near, far] = pipe()
  let ring = (): void => assert.fail('no alarm')
  let set = false
  const stream = compressed(near, (call) => {
    ring = call
    return { reset: () => (set = true), stop: () => (set = false) }
  })
  const inflate = createInflateRaw()
  let text = ''
  far.pipe(inflate)
  inflate.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  let expected = ''
  for (let i = 0; i < 5; i++) {
    const line = `* ${i} FETCH (FLAGS (\\Seen) UID ${i * 7})\r\n`.repeat(50)
    expected += line
    stream.write(line)
    while (text.length < expected.length) await once(inflate, 'data')
    assert.equal(set, true)
    ring()
  }
  assert.equal(text, expected)
  stream.end()
  await once(inflate, 'end')
})
