// What a browser finds on a whole server: where chat is, the page to chat in, and nothing else.

import assert from 'node:assert/strict'
import { request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { BASE, type Running, startHouse } from './fixture.ts'

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  readonly text: string
}

/** Asks as a client does that rewrites no path. */
function ask(
  { port }: Running,
  path: string,
  headers: OutgoingHttpHeaders = { host: 'example.org' },
  method = 'GET',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: port('http', 'none'), path, headers, method, agent: false })
    asked.on('error', reject)
    asked.on('response', (response) => {
      buffer(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body, text: body.toString() }),
        reject,
      )
    })
    asked.end()
  })
}

let running: Running
const cleanups: (() => unknown)[] = []
before(async () => {
  running = await startHouse({ after: (act: () => unknown) => cleanups.push(act) } as unknown as TestContext, {
    ...BASE,
    endpoints: { ...BASE.endpoints, http: { ...BASE.endpoints.http, url: 'https://chat.{host}' } },
    chat: {
      hosts: { 'silent.example': { enabled: false } },
      features: { 'http-upload': { url: 'https://files.{domain}:8443/up/' } },
    },
  })
  await running.house.accounts.admin.addDomain('other.example')
  await running.house.accounts.admin.addDomain('silent.example')
})
after(async () => {
  for (const act of cleanups.reverse()) await act()
})

describe('where the chat of a domain is (XEP-0156)', () => {
  test('as XRD', async () => {
    const { status, headers, text } = await ask(running, '/.well-known/host-meta')
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/xrd+xml; charset=utf-8')
    assert.equal(headers['access-control-allow-origin'], '*', 'every page may read it')
    assert.equal(
      text,
      `<?xml version='1.0' encoding='utf-8'?>
<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>
  <Link rel='urn:xmpp:alt-connections:websocket' href='wss://chat.example.org/xmpp-websocket'/>
  <Link rel='urn:xmpp:alt-connections:xbosh' href='https://chat.example.org/http-bind'/>
</XRD>
`,
    )
  })

  test('as JSON, for each domain its own', async () => {
    const { headers, text } = await ask(running, '/.well-known/host-meta.json', { host: 'OTHER.example:5281' })
    assert.equal(headers['content-type'], 'application/json')
    assert.equal(headers['access-control-allow-origin'], '*')
    assert.deepEqual(JSON.parse(text), {
      links: [
        { rel: 'urn:xmpp:alt-connections:websocket', href: 'wss://chat.other.example/xmpp-websocket' },
        { rel: 'urn:xmpp:alt-connections:xbosh', href: 'https://chat.other.example/http-bind' },
      ],
    })
  })

  test('for domains of others, those without chat and what is no domain there is nothing', async () => {
    for (const host of ['example.com', 'silent.example', '127.0.0.1', '[::1]', 'a_b'])
      for (const path of ['/.well-known/host-meta', '/.well-known/host-meta.json'])
        assert.equal((await ask(running, path, { host })).status, 404, `${host}${path}`)
  })
})

describe('the page to chat in', () => {
  const page = async (): Promise<Answer> => ask(running, '/chat/')
  const version = async (): Promise<string> => /src="([\d.]+)\//.exec((await page()).text)?.[1] ?? ''

  test('is found with and without a slash, and lets nothing in from elsewhere', async () => {
    const { status, headers } = await ask(running, '/chat')
    assert.deepEqual([status, headers.location], [308, '/chat/'])
    const found = await page()
    assert.equal(found.status, 200)
    const policy = String(found.headers['content-security-policy'])
    assert.match(policy, /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/)
    assert.match(
      policy,
      /connect-src 'self' https:\/\/chat\.example\.org https:\/\/files\.example\.org:8443 ws:\/\/example\.org/,
    )
    assert.match(policy, /frame-ancestors 'none'/)
    assert.equal(found.headers['x-content-type-options'], 'nosniff')
    assert.doesNotMatch(found.text, /<script(?! type="module" src)/, 'no script stands in the page itself')
  })

  test('knows the domain and the WebSocket of the address that it was asked at', async () => {
    const settings = async (headers: Record<string, string>): Promise<Record<string, unknown>> => {
      const { text } = await ask(running, '/chat/start.js', headers)
      return JSON.parse(/^converse\.initialize\((.*)\)$/m.exec(text)?.[1] ?? '') as Record<string, unknown>
    }
    const ours = await settings({ host: 'other.example' })
    assert.equal(ours['default_domain'], 'other.example')
    assert.equal(ours['websocket_url'], 'ws://other.example/xmpp-websocket')
    const behind = await settings({
      host: 'localhost:5280',
      'x-forwarded-host': 'chat.example.net',
      'x-forwarded-proto': 'https',
    })
    assert.equal(behind['websocket_url'], 'wss://chat.example.net/xmpp-websocket')
    assert.equal(behind['default_domain'], 'example.org', 'a name of no domain of ours: the first one')
    const hostile = await ask(running, '/chat/start.js', { host: 'a"><script>' })
    assert.equal(hostile.status, 400)
  })

  test('its files are served under their version, packed where the browser takes that', async () => {
    const path = `/chat/${await version()}/converse.min.js`
    const plain = await ask(running, path)
    assert.equal(plain.status, 200)
    assert.equal(plain.headers['content-type'], 'text/javascript; charset=utf-8')
    assert.match(String(plain.headers['cache-control']), /immutable/)
    const packed = await ask(running, path, { host: 'example.org', 'accept-encoding': 'br, gzip' })
    assert.equal(packed.headers['content-encoding'], 'gzip')
    assert.equal(packed.headers.vary, 'Accept-Encoding')
    assert.ok(packed.body.length < plain.body.length / 2)
    assert.ok(gunzipSync(packed.body).equals(plain.body))
    const head = await ask(running, path, { host: 'example.org' }, 'HEAD')
    assert.deepEqual([head.status, head.body.length], [200, 0])
    assert.equal(head.headers['content-length'], String(plain.body.length))
    const picture = await ask(running, `/chat/${await version()}/images/favicon.ico`, {
      host: 'example.org',
      'accept-encoding': 'gzip',
    })
    assert.deepEqual(
      [picture.headers['content-type'], picture.headers['content-encoding']],
      ['image/x-icon', undefined],
    )
  })

  test('nothing but its files is there, however the path is written', async () => {
    const at = `/chat/${await version()}`
    for (const path of [
      `${at}/`,
      `${at}`,
      `${at}/nothing.js`,
      `${at}/images`,
      `${at}/../../../package.json`,
      `${at}/%2e%2e/package.json`,
      `${at}/..%2fpackage.json`,
      `${at}/..%5cpackage.json`,
      `${at}//etc/passwd`,
      `${at}/%2fetc/passwd`,
      `${at}/images/../../package.json`,
      `${at}/constructor`,
      `${at}/__proto__`,
      '/chat/0.0.0/converse.min.js',
      '/chat/package.json',
    ])
      assert.equal((await ask(running, path)).status, 404, path)
    assert.equal((await ask(running, `${at}/%00`)).status, 400)
    assert.equal((await ask(running, `${at}/%ff`)).status, 400)
    assert.equal((await ask(running, at, undefined, 'POST')).status, 405)
  })
})
