// A browser's way to chat, through a whole server: RFC 7395 over the web endpoint.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test, type TestContext } from 'node:test'
import { HandClock } from '../../src/kernel/clock.ts'
import { BASE, type Running, startHouse, temporaryFolder } from './fixture.ts'

const ANNA = { address: 'anna@example.org', password: 'annas secret' }
const BERT = { address: 'bert@example.org', password: 'berts secret' }
const FRAMING = "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
const OPEN = `<open ${FRAMING} to='example.org' version='1.0'/>`

const CONFIG = {
  ...BASE,
  accounts: { ...BASE.accounts, cleartext: 'loopback' as const },
  endpoints: { ...BASE.endpoints, websocket: { 'require-tls': false } },
}

/** What a page does: each message is one element. */
class Page {
  readonly socket: WebSocket
  readonly closed: Promise<number>
  readonly #inbox: string[] = []
  #waiting: ((message: string) => void) | undefined

  constructor(url: string, headers: Record<string, string> = {}) {
    // Node's own takes headers, which no page can set.
    this.socket = new (WebSocket as unknown as new (url: string, options: object) => WebSocket)(url, {
      protocols: ['xmpp'],
      headers,
    })
    this.closed = new Promise((resolve) => this.socket.addEventListener('close', ({ code }) => resolve(code)))
    this.socket.addEventListener('message', ({ data }) => {
      const waiting = this.#waiting
      this.#waiting = undefined
      if (waiting === undefined) this.#inbox.push(String(data))
      else waiting(String(data))
    })
    this.socket.addEventListener('error', () => {})
  }

  static async open(running: Running): Promise<Page> {
    const page = new Page(addressOf(running))
    await new Promise((resolve) => page.socket.addEventListener('open', resolve))
    return page
  }

  send(text: string | Uint8Array<ArrayBuffer>): void {
    this.socket.send(text)
  }

  next(): Promise<string> {
    const message = this.#inbox.shift()
    return message === undefined ? new Promise((resolve) => (this.#waiting = resolve)) : Promise.resolve(message)
  }

  /** The next message that matches; others are passed over. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      const message = await this.next()
      if (pattern.test(message)) return message
    }
  }

  /** `before`: what is done in place of binding a resource. */
  async login({ address, password }: typeof ANNA, before?: () => Promise<void>): Promise<void> {
    this.send(OPEN)
    assert.match(await this.next(), /^<open [^>]*from='example\.org'/)
    assert.match(await this.next(), /^<stream:features xmlns:stream='http:\/\/etherx\.jabber\.org\/streams'>/)
    const secret = Buffer.from(`\0${address}\0${password}`).toString('base64')
    this.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${secret}</auth>`)
    assert.match(await this.next(), /^<success /)
    this.send(OPEN)
    await this.until(/^<stream:features[^]*<bind /)
    if (before !== undefined) return before()
    this.send(
      `<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>page</resource></bind></iq>`,
    )
    assert.match(await this.until(/id='b'/), new RegExp(`<jid>${address}/page</jid>`))
  }
}

const addressOf = (running: Running): string => `ws://127.0.0.1:${running.port('http', 'none')}/xmpp-websocket`

async function started(t: TestContext): Promise<Running> {
  const running = await startHouse(t, CONFIG)
  for (const account of [ANNA, BERT]) await running.house.accounts.admin.createAccount(account)
  return running
}

test('two pages log in, and chat with each other', async (t) => {
  const running = await started(t)
  const page = await Page.open(running)
  await page.login(ANNA)
  page.send(`<presence xmlns='jabber:client'/>`)
  assert.match(await page.until(/^<presence /), /^<presence xmlns='jabber:client' /)
  const other = await Page.open(running)
  await other.login(BERT)
  other.send(`<presence xmlns='jabber:client'/>`)
  await other.until(/^<presence /)
  page.send(`<message xmlns='jabber:client' type='chat' to='${BERT.address}'><body>from a page ✓</body></message>`)
  const got = await other.until(/^<message /)
  assert.match(got, /^<message xmlns='jabber:client' [^>]*from='anna@example\.org\/page'/)
  assert.match(got, /<body>from a page ✓<\/body>/)
  page.send(`<close ${FRAMING}/>`)
  assert.match(await page.until(/^<close /), /^<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'\/>$/)
  assert.equal(await page.closed, 1000)
})

test('who stops the server says so to pages too', async (t) => {
  const running = await started(t)
  const page = await Page.open(running)
  await page.login(ANNA)
  const stopped = running.house.stop()
  assert.match(await page.until(/^<stream:error /), /<system-shutdown /)
  await page.until(/^<close /)
  await page.closed
  await stopped
})

test('a session goes on over another WebSocket, and over a reload', async (t) => {
  const running = await started(t)
  const page = await Page.open(running)
  await page.login(ANNA)
  page.send(`<enable xmlns='urn:xmpp:sm:3' resume='true'/>`)
  const id = / id='([^']+)'/.exec(await page.until(/^<enabled /))?.[1] ?? ''
  page.send(`<presence xmlns='jabber:client'/>`)
  await page.until(/^<presence /)
  await running.house.reload()
  page.send(`<r xmlns='urn:xmpp:sm:3'/>`)
  assert.match(await page.until(/^<a /), /h='1'/, 'it goes on under the config that it began with')
  // The network is gone, and neither side says so.
  const other = await Page.open(running)
  await other.login(BERT)
  const again = await Page.open(running)
  await again.login(ANNA, async () => {
    other.send(`<message xmlns='jabber:client' type='chat' to='${ANNA.address}'><body>meanwhile</body></message>`)
    again.send(`<resume xmlns='urn:xmpp:sm:3' previd='${id}' h='0'/>`)
    assert.match(await again.until(/^<(?:resumed|failed) /), /^<resumed [^>]*h='1'/)
  })
  assert.match(await again.until(/^<message /), /meanwhile/)
  await page.closed
})

test('pages of sites that the config names may chat here', async (t) => {
  const running = await startHouse(t, {
    ...CONFIG,
    endpoints: { ...CONFIG.endpoints, http: { ...CONFIG.endpoints.http, origins: ['https://chat.example.net'] } },
  })
  const page = new Page(addressOf(running), { origin: 'https://chat.example.net' })
  await new Promise((resolve) => page.socket.addEventListener('open', resolve))
  page.send(OPEN)
  assert.match(await page.next(), /^<open /)
  page.send(`<close ${FRAMING}/>`)
  assert.equal(await page.closed, 1000)
  assert.equal(await new Page(addressOf(running), { origin: 'https://example.net' }).closed, 1006)
  assert.equal(await new Page(addressOf(running), { origin: 'null' }).closed, 1006)
})

test('where chat is, how large a message may be and how often a silent page is asked for is as the config says', async (t) => {
  const clock = new HandClock()
  const websocket = { 'require-tls': false, path: '/talk', ping: '10s', 'max-stanza': '4KiB' }
  const config = { ...CONFIG, endpoints: { ...CONFIG.endpoints, websocket } }
  const running = await startHouse(t, config, temporaryFolder(t), { clock })
  const url = `ws://127.0.0.1:${running.port('http', 'none')}/talk`
  const page = new Page(url)
  await new Promise((resolve) => page.socket.addEventListener('open', resolve))
  page.send(`<message><body>${'x'.repeat(5000)}</body></message>`)
  assert.equal(await page.closed, 1009)
  // By hand: what a browser answers by itself is to be seen.
  const silent = connect(running.port('http', 'none'), '127.0.0.1')
  const heads = ['Host: a', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
  const own = ['Sec-WebSocket-Protocol: xmpp', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
  silent.write(`GET /talk HTTP/1.1\r\n${[...heads, ...own].join('\r\n')}\r\n\r\n`)
  const [accepted] = (await once(silent, 'data')) as [Buffer]
  assert.match(accepted.toString(), /^HTTP\/1\.1 101 /)
  // It is looked at as often; who has said nothing since the last time is asked.
  clock.turn(20_000)
  const [ping] = (await once(silent, 'data')) as [Buffer]
  assert.equal(ping[0], 0x89)
  silent.destroy()
})

test('a message may begin with a declaration, and one that is too big ends the connection', async (t) => {
  const running = await started(t)
  const page = await Page.open(running)
  page.send(`<?xml version='1.0' encoding='utf-8'?>\n${OPEN}`)
  assert.match(await page.next(), /^<open /)
  await page.until(/^<stream:features/)
  page.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${'A'.repeat(11_000)}</auth>`)
  assert.match(await page.until(/^<stream:error /), /<policy-violation /)
  await page.closed
  const greedy = await Page.open(running)
  greedy.send(`<open ${FRAMING} to='${'x'.repeat(300_000)}'/>`)
  assert.equal(await greedy.closed, 1009)
})

describe('what is no stream of messages is ended', () => {
  let running: Running
  const cleanups: (() => unknown)[] = []
  before(async () => {
    running = await started({ after: (act: () => unknown) => cleanups.push(act) } as unknown as TestContext)
  })
  after(async () => {
    for (const act of cleanups.reverse()) await act()
  })

  const cases: readonly (readonly [name: string, messages: readonly string[], answer: RegExp])[] = [
    ['a stanza before <open/>', [`<presence xmlns='jabber:client'/>`], /<bad-format /],
    ['a header of the other kind', [`<stream:stream to='example.org'>`], /<bad-format /],
    ['half an element', [OPEN, `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>`], /<(?:bad-format|not-well-formed) /],
    ['the end of a stream of the other kind', [OPEN, `</stream:stream>`], /<bad-format /],
    ['two elements', [OPEN, `<a xmlns='urn:x'/><b xmlns='urn:x'/>`], /<not-well-formed /],
    ['an element and text', [OPEN, `<a xmlns='urn:x'/>text`], /<not-well-formed /],
    ['a comment before the element', [OPEN, `<!-- x --><a xmlns='urn:x'/>`], /<bad-format /],
    ['white space before it', [OPEN, ` <a xmlns='urn:x'/>`], /<bad-format /],
    ['nothing but white space', [OPEN, ' '], /<bad-format /],
    ['an empty message', [OPEN, ''], /<bad-format /],
    ['a second <open/>', [OPEN, OPEN], /<bad-format /],
    ['another element of the framing', [OPEN, `<reopen ${FRAMING}/>`], /<bad-format /],
    ['a document type', [OPEN, `<!DOCTYPE a><a xmlns='x'/>`], /<bad-format /],
    ['another host', [`<open ${FRAMING} to='example.com' version='1.0'/>`], /<host-unknown /],
    ['another version', [`<open ${FRAMING} to='example.org'/>`], /<unsupported-version /],
  ]
  for (const [name, messages, answer] of cases)
    test(name, async () => {
      const page = await Page.open(running)
      for (const message of messages) page.send(message)
      assert.match(await page.until(/^<stream:error /), answer)
      await page.until(/^<close /)
      await page.closed
    })

  test('octets in place of text', async () => {
    const page = await Page.open(running)
    page.send(new Uint8Array(Buffer.from(OPEN)))
    assert.equal(await page.closed, 1003)
  })

  test('a page of another site is not let in', async () => {
    const page = new Page(addressOf(running), { origin: 'https://evil.example' })
    assert.equal(await page.closed, 1006)
    const response = await fetch(addressOf(running).replace('ws:', 'http:'), {
      headers: { origin: 'https://evil.example' },
    })
    assert.ok(response.status >= 400)
  })
})
