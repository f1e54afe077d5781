// The web listener: routes, bodies both ways, proxies in front, pages elsewhere, and clients that mean no good.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request as clientRequest, type RequestOptions } from 'node:http'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import * as v from 'valibot'
import type { Scope } from '../../src/kernel/scope.ts'
import { Bans, Limits, Network } from '../../src/net/contracts.ts'
import { createLimits, limitsConfig } from '../../src/net/limits.ts'
import { createNetwork, type GenerationNetwork } from '../../src/net/listeners.ts'
import { Web, WebError, type WebHandler } from '../../src/net/web/contracts.ts'
import { http } from '../../src/net/web/endpoint.ts'
import { openWeb } from '../../src/net/web/routes.ts'
import { samples } from '../fixtures/metrics.ts'
import { house, Peer, settings, type House } from './fixtures.ts'

interface Served {
  readonly h: House
  readonly port: number
  readonly web: Web
  /** Of the modules that answer. */
  readonly scope: Scope
  readonly network: GenerationNetwork
}

async function served(t: TestContext, config: object = {}, h = house(t)): Promise<Served> {
  const generation = h.root.child('generation')
  const network = await createNetwork(generation, { config: settings() })
  generation.provide(Network, network)
  const banned = new Set(['192.0.2.66'])
  generation.provide(Bans, {
    isBanned: (address) => banned.has(address),
    ban: () => {},
    lift: () => false,
    list: () => [],
  })
  generation.provide(Limits, createLimits(h.clock, v.parse(limitsConfig, { 'http-requests': { rate: 200 } })))
  openWeb(generation)
  const own = { listen: ['127.0.0.1:0'], 'listen-tls': [], ...config }
  const { bound } = await http.create(v.parse(http.config, own), generation.child('http'))
  const port = bound[0]?.port ?? 0
  return { h, port, web: generation.use(Web), scope: generation.child('feature'), network }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

async function ask(
  port: number,
  options: RequestOptions & { readonly body?: string | Readable } = {},
): Promise<Answer> {
  const { body, ...others } = options
  const request = clientRequest({ host: '127.0.0.1', port, agent: false, ...others })
  if (body instanceof Readable) body.pipe(request)
  else request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) }
}

/** Time goes by, second by second. */
async function pass(h: House, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    h.clock.turn(1000)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const saying =
  (what: string): WebHandler =>
  () => ({ body: what })

test('the longest route answers, a host of its own before all others', async (t) => {
  const { port, web, scope } = await served(t)
  web.route(scope, { method: 'GET', path: '/', handle: saying('everything') })
  web.route(scope, { method: 'GET', path: '/files/', handle: ({ rest }) => ({ body: `files: ${rest}` }) })
  web.route(scope, { method: 'GET', path: '/files/list', handle: saying('the list') })
  web.route(scope, { method: 'GET', path: '/files/list', domain: 'example.net', handle: saying('their list') })
  const get = async (path: string, host = 'example.org'): Promise<string> =>
    (await ask(port, { path, headers: { host } })).body
  assert.equal(await get('/elsewhere'), 'everything')
  assert.equal(await get('/files/a%20b/c'), 'files: a b/c')
  assert.equal(await get('/files/list?all'), 'the list')
  assert.equal(await get('/files/list', 'EXAMPLE.net:5280'), 'their list')
  assert.equal(await get('/files/list/more', 'example.net'), 'files: list/more', 'what the host has not is of all')
  assert.equal(await get('/files/../../%2e%2e/etc/passwd'), 'everything', 'no path climbs')
  assert.equal(await get('//evil.example/files/'), 'everything')
})

test('HEAD is GET without its body, OPTIONS tells the methods, others are refused', async (t) => {
  const { port, web, scope, h } = await served(t)
  web.route(scope, { method: 'GET', path: '/hello', handle: saying('hello') })
  const head = await ask(port, { path: '/hello', method: 'HEAD' })
  assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '5', ''])
  const options = await ask(port, { path: '/hello', method: 'OPTIONS' })
  assert.deepEqual([options.status, options.headers.allow], [204, 'GET, HEAD, OPTIONS'])
  const post = await ask(port, { path: '/hello', method: 'POST', body: 'x' })
  assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD, OPTIONS'])
  assert.equal((await ask(port, { path: '/', method: 'TRACE' })).status, 404)
  assert.deepEqual(
    await samples(h, 'aviso_http_requests_total'),
    { 'HEAD 200': 1, 'OPTIONS 204': 1, 'POST 405': 1, 'other 404': 1 },
    'monitoring sees each',
  )
})

test('errors are pages for browsers and lines for others; what is thrown is not shown', async (t) => {
  const { port, web, scope, h } = await served(t)
  web.route(scope, {
    method: 'GET',
    path: '/broken',
    handle() {
      throw new Error('the secret is 42')
    },
  })
  web.route(scope, {
    method: 'GET',
    path: '/refused',
    handle: () => Promise.reject(new WebError(410, 'It is <gone>.')),
  })
  const browser = await ask(port, { path: '/refused', headers: { accept: 'text/html,*/*' } })
  assert.equal(browser.status, 410)
  assert.match(browser.body, /<h1>410 Gone<\/h1>\n<p>It is &lt;gone&gt;\./)
  assert.match(String(browser.headers['content-security-policy']), /default-src 'none'/)
  assert.equal((await ask(port, { path: '/refused' })).body, '410 Gone: It is <gone>.\n')
  const broken = await ask(port, { path: '/broken' })
  assert.equal(broken.status, 500)
  assert.doesNotMatch(broken.body, /secret/)
  assert.ok(h.lines.some((line) => line['msg'] === 'a request could not be answered'))
})

test('bodies come and go as streams; more than the route takes is refused', async (t) => {
  const { port, web, scope } = await served(t)
  web.route(scope, {
    method: 'POST',
    path: '/echo',
    maxBody: 1_000_000,
    handle: (request) => ({ headers: { 'content-type': 'text/plain' }, body: request.body() }),
  })
  web.route(scope, {
    method: 'POST',
    path: '/small',
    maxBody: 100,
    handle: async (request) => ({ body: await request.octets(10) }),
  })
  const megabyte = 'x'.repeat(1_000_000)
  assert.equal((await ask(port, { path: '/echo', method: 'POST', body: megabyte })).body.length, 1_000_000)
  const chunked = await ask(port, { path: '/echo', method: 'POST', body: Readable.from([megabyte.slice(1)]) })
  assert.equal(chunked.body.length, 999_999)
  assert.equal((await ask(port, { path: '/small', method: 'POST', body: '0123456789' })).body, '0123456789')
  assert.equal((await ask(port, { path: '/small', method: 'POST', body: 'x'.repeat(101) })).status, 413)
  assert.equal((await ask(port, { path: '/small', method: 'POST', body: 'x'.repeat(11) })).status, 413)
  const lying = await ask(port, { path: '/small', method: 'POST', body: Readable.from(['x'.repeat(11)]) })
  assert.equal(lying.status, 413)
  assert.equal(lying.headers.connection, 'close')
})

test('who waits for our word before a large body gets the refusal and need not send it', async (t) => {
  const { port, web, scope } = await served(t)
  let read = 0
  web.route(scope, {
    method: 'PUT',
    path: '/upload',
    maxBody: 20,
    async handle(request) {
      read = (await request.octets(20)).length
      return { status: 201 }
    },
  })
  const refused = Peer.to(port)
  refused.socket.write('PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\nExpect: 100-continue\r\n\r\n')
  assert.match(await refused.line(), /^HTTP\/1\.1 413 /)
  const taken = Peer.to(port)
  taken.socket.write('PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n')
  assert.match(await taken.line(), /^HTTP\/1\.1 100 /)
  await taken.line()
  taken.socket.write('ok')
  assert.match(await taken.line(), /^HTTP\/1\.1 201 /)
  assert.equal(read, 2)
})

test('a client that goes away ends the stream that it was being sent', async (t) => {
  const { port, web, scope } = await served(t)
  const endless = new Readable({ read: () => void endless.push(Buffer.alloc(65_536)) })
  const gone = new Promise<void>((resolve) => {
    web.route(scope, {
      method: 'GET',
      path: '/endless',
      handle(request) {
        request.gone.addEventListener('abort', () => resolve())
        return { body: endless }
      },
    })
  })
  const peer = Peer.to(port)
  peer.socket.write('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n')
  await peer.line()
  peer.socket.destroy()
  await gone
  if (!endless.destroyed) await once(endless, 'close')
})

test('pages elsewhere read what is for them', async (t) => {
  const { port, web, scope } = await served(t, { origins: ['https://friend.example'] })
  const seen: boolean[] = []
  web.route(scope, { method: 'GET', path: '/public', crossOrigin: 'any', handle: saying('public') })
  web.route(scope, { method: 'GET', path: '/own', handle: saying('own') })
  web.route(scope, {
    method: 'POST',
    path: '/chat',
    crossOrigin: 'trusted',
    handle({ trustedOrigin }) {
      seen.push(trustedOrigin)
      return { body: 'chat' }
    },
  })
  const shared = async (path: string, origin: string, method = 'GET', more: object = {}): Promise<unknown> =>
    (await ask(port, { path, method, headers: { host: 'chat.example:5280', origin, ...more } })).headers[
      'access-control-allow-origin'
    ]
  assert.equal(await shared('/public', 'https://evil.example'), '*')
  assert.equal(await shared('/own', 'https://friend.example'), undefined)
  assert.equal(await shared('/chat', 'https://friend.example', 'POST'), 'https://friend.example')
  assert.equal(await shared('/chat', 'https://evil.example', 'POST'), undefined)
  assert.equal(await shared('/chat', 'https://chat.example:5280', 'POST'), 'https://chat.example:5280')
  assert.equal(await shared('/chat', 'https://chat.example', 'POST'), undefined, 'another port is another site')
  assert.equal(await shared('/chat', 'null', 'POST'), undefined)
  assert.deepEqual(seen, [true, false, true, false, false])
  const asks = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' }
  const preflight = await ask(port, {
    path: '/chat',
    method: 'OPTIONS',
    headers: { origin: 'https://friend.example', ...asks },
  })
  assert.equal(preflight.headers['access-control-allow-headers'], 'content-type')
  assert.equal(preflight.headers['access-control-allow-methods'], 'OPTIONS, POST')
  assert.equal(await shared('/chat', 'https://evil.example', 'OPTIONS', asks), undefined)
})

test('a trusted proxy tells who the client is; nobody else does', async (t) => {
  const { port, web, scope } = await served(t, { 'trusted-proxies': ['127.0.0.1', '10.0.0.0/8'] })
  web.route(scope, {
    method: 'GET',
    path: '/who',
    handle: ({ remoteAddress, secure, host }) => ({ body: `${remoteAddress} ${secure} ${host}` }),
  })
  const who = async (headers: Record<string, string>): Promise<string> =>
    (await ask(port, { path: '/who', headers: { host: 'inner', ...headers } })).body
  assert.equal(await who({}), '127.0.0.1 false inner')
  assert.equal(await who({ 'x-forwarded-for': '203.0.113.9, 10.1.2.3' }), '203.0.113.9 false inner')
  assert.equal(
    await who({ 'x-forwarded-for': '198.51.100.1, 203.0.113.9', 'x-forwarded-proto': 'https' }),
    '203.0.113.9 true inner',
    'what a client forged stands before what the proxy saw',
  )
  assert.equal(
    await who({ forwarded: 'for=198.51.100.1, for="[2001:db8::7]:4711";proto=https;host="chat.example"' }),
    '2001:db8::7 true chat.example',
  )
  assert.equal(await who({ forwarded: 'for=_hidden' }), '127.0.0.1 false inner')
  assert.match(await who({ 'x-forwarded-for': '192.0.2.66' }), /^403 Forbidden: Your address is banned/)

  const strict = await served(t, { 'trusted-proxies': [] }, house(t))
  strict.web.route(strict.scope, { method: 'GET', path: '/who', handle: (r) => ({ body: r.remoteAddress }) })
  assert.equal(
    (await ask(strict.port, { path: '/who', headers: { 'x-forwarded-for': '203.0.113.9' } })).body,
    '127.0.0.1',
  )
})

test('a PROXY header before the first request tells the client as well', async (t) => {
  const { port, web, scope } = await served(t, { 'proxy-protocol': ['127.0.0.1'], 'trusted-proxies': [] })
  web.route(scope, { method: 'GET', path: '/who', handle: (r) => ({ body: `${r.remoteAddress}\n` }) })
  const peer = Peer.to(port)
  peer.socket.write('PROXY TCP4 203.0.113.5 192.0.2.1 1234 80\r\nGET /who HTTP/1.0\r\nHost: a\r\n\r\n')
  for (;;) {
    const line = await peer.line()
    assert.notEqual(line, '(closed)')
    if (line === '203.0.113.5') break
  }
})

test('too many requests of one address are refused for a while', async (t) => {
  const { port, web, scope, h } = await served(t)
  web.route(scope, { method: 'GET', path: '/x', handle: saying('x') })
  const statuses = new Set<number>()
  const headers = { 'x-forwarded-for': '203.0.113.9' }
  for (let i = 0; i < 201; i++) statuses.add((await ask(port, { path: '/x', headers })).status)
  assert.deepEqual([...statuses], [200, 429])
  assert.equal((await ask(port, { path: '/x', headers: { 'x-forwarded-for': '203.0.113.10' } })).status, 200)
  h.clock.turn(60_000)
  assert.equal((await ask(port, { path: '/x', headers })).status, 200)
})

test('header bombs and nonsense are refused', async (t) => {
  const { port, web, scope } = await served(t)
  web.route(scope, { method: 'GET', path: '/', handle: saying('x') })
  const first = async (octets: string): Promise<string> => {
    const peer = Peer.to(port)
    peer.socket.write(octets)
    return peer.line()
  }
  assert.match(await first(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /)
  assert.match(await first(`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`), /^HTTP\/1\.1 431 /)
  assert.match(await first('EHLO mail.example\r\n\r\n'), /^HTTP\/1\.1 400 /)
  assert.match(await first('GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /, 'no host')
  assert.match(await first('GET / HTTP/1.1\r\nHost: a b\r\n\r\n'), /^HTTP\/1\.1 400 /)
  assert.match(await first('GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 400 /)
  assert.match(await first('GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 400 /)
  const smuggled = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
  assert.match(await first(smuggled), /^HTTP\/1\.1 400 /)
})

test('a header that drips in, a body that stops and a reply that nobody reads end the connection', async (t) => {
  const { port, web, scope, h } = await served(t)
  const reading = new Promise<void>((resolve) => {
    web.route(scope, {
      method: 'POST',
      path: '/body',
      maxBody: 1000,
      async handle(request) {
        setImmediate(resolve)
        return { body: await request.octets(1000) }
      },
    })
  })
  const arrived = new Promise<void>((resolve) => {
    web.route(scope, {
      method: 'GET',
      path: '/large',
      handle() {
        setImmediate(resolve)
        return { body: Buffer.alloc(50_000_000) }
      },
    })
  })
  const silent = Peer.to(port)
  const dripping = Peer.to(port)
  dripping.socket.write('GET / HT')
  const stopping = Peer.to(port)
  stopping.socket.write('POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx')
  const deaf = Peer.to(port)
  deaf.socket.pause()
  deaf.socket.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n')
  await Promise.all([reading, arrived, once(silent.socket, 'connect')])
  await pass(h, 10)
  dripping.socket.write('TP')
  await pass(h, 25)
  assert.equal(await silent.line(), '(closed)')
  assert.match(await dripping.line(), /^HTTP\/1\.1 408 /)
  await stopping.closed
  deaf.socket.resume()
  await deaf.closed
})

test('how long a header may be, and how long it, a body and the next request may take, is as the config says', async (t) => {
  const { port, web, scope, h } = await served(t, {
    'max-header': '2KiB',
    'header-timeout': '3s',
    'stall-timeout': '5s',
    'idle-timeout': '12s',
  })
  const reading = Promise.withResolvers<void>()
  web.route(scope, {
    method: 'POST',
    path: '/',
    maxBody: 1000,
    async handle(request) {
      setImmediate(reading.resolve)
      return { body: `${(await request.octets(1000)).length}\n` }
    },
  })
  const bomb = Peer.to(port)
  bomb.socket.write(`POST / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(3000)}\r\n\r\n`)
  assert.match(await bomb.line(), /^HTTP\/1\.1 431 /)
  const idle = Peer.to(port)
  idle.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx')
  for (let line = ''; line !== '1'; line = await idle.line()) assert.notEqual(line, '(closed)')
  const stopping = Peer.to(port)
  const silent = Peer.to(port)
  await once(silent.socket, 'connect')
  stopping.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx')
  await reading.promise
  const closed: string[] = []
  for (const [name, peer] of Object.entries({ silent, stopping, idle })) void peer.closed.then(() => closed.push(name))
  // They are looked at once a second.
  for (const [peer, seconds] of [
    [silent, 5],
    [stopping, 6],
    [idle, 5],
  ] as const) {
    await pass(h, seconds)
    await peer.closed
  }
  assert.deepEqual(closed, ['silent', 'stopping', 'idle'])
})

test('a connection that has nothing more to ask is closed after a while', async (t) => {
  const { port, web, scope, h } = await served(t)
  web.route(scope, { method: 'GET', path: '/', handle: saying('x\n') })
  const peer = Peer.to(port)
  for (let i = 0; i < 3; i++) {
    peer.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    for (let line = ''; line !== 'x'; line = await peer.line()) assert.notEqual(line, '(closed)')
    await pass(h, 50)
  }
  await pass(h, 62)
  await peer.closed
})

test('a newer config: what runs is answered, idle connections go, new ones are served anew', async (t) => {
  const { port, web, scope, network } = await served(t)
  let answer = (): void => {}
  let hurried = false
  const asked = new Promise<void>((resolve) => {
    web.route(scope, {
      method: 'GET',
      path: '/slow',
      handle(request) {
        request.hurry.addEventListener('abort', () => (hurried = true))
        resolve()
        return new Promise((done) => (answer = () => done({ body: 'at last\n' })))
      },
    })
  })
  const idle = Peer.to(port)
  await once(idle.socket, 'connect')
  const busy = Peer.to(port)
  busy.socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
  await asked
  const retired = network.retire()
  await idle.closed
  assert.equal(hurried, true)
  answer()
  let last = ''
  for (let line = await busy.line(); line !== '(closed)'; line = await busy.line()) last = line
  assert.equal(last, 'at last')
  await retired
})

test('routes go with their scope, and no two modules have the same one', async (t) => {
  const { port, web, scope } = await served(t)
  const feature = scope.child('feature')
  web.route(feature, { method: 'GET', path: '/a', handle: saying('a') })
  assert.throws(
    () => web.route(scope, { method: 'GET', path: '/a', handle: saying('b') }),
    /two modules answer GET \/a/,
  )
  await feature.close()
  assert.equal((await ask(port, { path: '/a' })).status, 404)
  web.route(scope, { method: 'GET', path: '/a', handle: saying('b') })
  assert.equal((await ask(port, { path: '/a' })).body, 'b')
})
