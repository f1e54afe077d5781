// A client that has nothing but requests, through a whole server: XEP-0124 and XEP-0206 over the web endpoint.

import assert from 'node:assert/strict'
import { request as clientRequest, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import type { Config } from '../../src/config.ts'
import { BASE, type Running, startHouse } from './fixture.ts'

const ANNA = { address: 'anna@example.org', password: 'annas secret' }
const BERT = { address: 'bert@example.org', password: 'berts secret' }
const BOSH = "xmlns='http://jabber.org/protocol/httpbind'"
const XBOSH = "xmlns:xmpp='urn:xmpp:xbosh'"

/** A payload that nobody answers. */
const NOTHING = "<iq type='result' id='nothing' to='example.org'/>"

const CONFIG = {
  ...BASE,
  accounts: { ...BASE.accounts, cleartext: 'loopback' as const },
  endpoints: { ...BASE.endpoints, bosh: { 'require-tls': false } },
} satisfies Config

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** One POST, over a connection of its own. */
function post(port: number, body: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = clientRequest({
      host: '127.0.0.1',
      port,
      path: '/http-bind',
      method: 'POST',
      agent: false,
      headers,
    })
    request.on('error', reject)
    request.on('response', (response) => {
      text(response).then(
        (said) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: said }),
        reject,
      )
    })
    request.end(body)
  })
}

/** What a script in a page does: one request is always with the server. */
class Page {
  readonly #port: number
  sid = ''
  rid = 4711
  #inbox = ''
  /** Requests that wait for their answers. */
  readonly #open = new Set<Promise<string>>()
  ended: string | undefined

  constructor(port: number) {
    this.#port = port
  }

  async open(attributes = ''): Promise<string> {
    const { body } = await post(
      this.#port,
      `<body ${BOSH} ${XBOSH} to='example.org' rid='${this.rid}' wait='60' hold='1' ver='1.6' xml:lang='en' xmpp:version='1.0' ${attributes}/>`,
    )
    this.sid = / sid='([^']+)'/.exec(body)?.[1] ?? ''
    return body
  }

  /** A request that brings something. */
  send(payload: string, attributes = ''): Promise<string> {
    const rid = ++this.rid
    const open = post(
      this.#port,
      `<body ${BOSH} ${XBOSH} rid='${rid}' sid='${this.sid}' ${attributes}>${payload}</body>`,
    ).then(({ body }) => {
      this.#open.delete(open)
      this.#inbox += body
      if (body.includes("type='terminate'")) this.ended = body
      return body
    })
    this.#open.add(open)
    return open
  }

  /** What has come, up to the first match. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.#inbox)
      if (match !== null) {
        const end = match.index + match[0].length
        const taken = this.#inbox.slice(0, end)
        this.#inbox = this.#inbox.slice(end)
        return taken
      }
      if (this.ended !== undefined) throw new Error(`the session ended before ${String(pattern)}: ${this.ended}`)
      await (this.#open.size === 0 ? this.send('') : Promise.race(this.#open))
    }
  }

  async login({ address, password }: typeof ANNA): Promise<void> {
    assert.match(await this.open(), /<stream:features.*<mechanism>PLAIN<\/mechanism>/)
    const secret = Buffer.from(`\0${address}\0${password}`).toString('base64')
    void this.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${secret}</auth>`)
    await this.until(/<success /)
    void this.send('', `to='example.org' xmpp:restart='true'`)
    await this.until(/<stream:features[^]*<bind /)
    // As many clients do, without a namespace for the stanza.
    void this.send(
      `<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>page</resource></bind></iq>`,
    )
    assert.match(await this.until(/<iq [^]*?<\/iq>/), new RegExp(`<jid>${address}/page</jid>`))
  }
}

async function started(t: TestContext, config: Config = CONFIG): Promise<Running & { readonly web: number }> {
  const running = await startHouse(t, config)
  for (const account of [ANNA, BERT]) await running.house.accounts.admin.createAccount(account)
  return Object.assign(running, { web: running.port('http', 'none') })
}

test('two pages log in by requests alone, chat, and leave', async (t) => {
  const { web } = await started(t)
  const page = new Page(web)
  await page.login(ANNA)
  const other = new Page(web)
  await other.login(BERT)
  void other.send('<presence/>')
  await other.until(/<presence [^]*?\/>/)
  void page.send(`<message type='chat' to='${BERT.address}'><body>by request ✓</body></message>`)
  const got = await other.until(/<message [^]*?<\/message>/)
  assert.match(got, /<message xmlns='jabber:client' [^>]*from='anna@example\.org\/page'/)
  assert.match(got, /<body>by request ✓<\/body>/)
  await page.send(`<presence type='unavailable' xmlns='jabber:client'/>`, `type='terminate'`)
  assert.match(await page.send(''), /condition='item-not-found'/, 'the session is gone')
})

test('the first answer tells what the session is', async (t) => {
  const { web } = await started(t)
  const page = new Page(web)
  const answer = await page.open()
  for (const fact of [
    /^<body xmlns='http:\/\/jabber.org\/protocol\/httpbind' /,
    / sid='[a-z0-9]{40}'/,
    / wait='60'/,
    / hold='1'/,
    / requests='2'/,
    / inactivity='60'/,
    / polling='5'/,
    / maxpause='120'/,
    / ver='1\.6'/,
    / from='example\.org'/,
    / authid='[a-z0-9]{20}'/,
    / xmpp:version='1\.0'/,
    / xmpp:restartlogic='true'/,
    / xmlns:stream='http:\/\/etherx\.jabber\.org\/streams'/,
  ])
    assert.match(answer, fact)
})

test('what no session comes of is told in words of BOSH, and as a status to clients of old', async (t) => {
  const { web } = await started(t)
  const ask = async (attributes: string, content = ''): Promise<string> => {
    const { status, body } = await post(web, `<body ${BOSH} ${attributes}>${content}</body>`)
    return `${status} ${/condition='([a-z-]+)'/.exec(body)?.[1] ?? 'none'}`
  }
  assert.equal(await ask(`rid='1' ver='1.6' wait='1' hold='1'`), '200 improper-addressing')
  assert.equal(await ask(`rid='1' ver='1.6' to='example.com' wait='1' hold='1'`), '200 remote-stream-error')
  assert.equal(await ask(`to='example.org' ver='1.6'`), '200 bad-request')
  assert.equal(await ask(`rid='9007199254740993' to='example.org' ver='1.6'`), '200 bad-request')
  assert.equal(await ask(`rid='1' to='example.org' ver='1.6' wait='-1'`), '200 bad-request')
  assert.equal(await ask(`rid='1' to='example.org' ver='1.6'`, 'text'), '200 bad-request')
  assert.equal(await ask(`rid='1' sid='nobody'`), '200 item-not-found')
  for (const hostile of [
    '',
    'nothing',
    `<body ${BOSH} rid='1'`,
    `<body rid='1' to='example.org'/>`,
    `<!DOCTYPE body [<!ENTITY a 'b'>]><body ${BOSH} rid='1' to='example.org'/>`,
    `<body ${BOSH} rid='1' to='example.org'><!-- x --></body>`,
    `<body ${BOSH} rid='1' to='example.org'/><body/>`,
    `<body ${BOSH} rid='1' to='example.org'>${'<a>'.repeat(200)}${'</a>'.repeat(200)}</body>`,
  ])
    assert.match((await post(web, hostile)).body, /condition='bad-request'/, hostile.slice(0, 80))
  assert.equal((await post(web, 'x'.repeat(600_000)).catch(() => ({ status: 413 }))).status, 413)
})

test('pages of other sites are kept out, and no answer can become a page', async (t) => {
  const { web } = await started(t)
  const body = `<body ${BOSH} to='example.org' rid='1' wait='1' hold='1' ver='1.6' content='text/html; charset=utf-8'/>`
  assert.equal((await post(web, body, { origin: 'https://evil.example' })).status, 403)
  const ours = await post(web, body, { origin: `http://127.0.0.1:${web}` })
  assert.equal(ours.headers['content-type'], 'text/xml; charset=utf-8')
  assert.match(String(ours.headers['content-security-policy']), /default-src 'none'; sandbox/)
  assert.equal(ours.headers['access-control-allow-origin'], `http://127.0.0.1:${web}`)
  const plain = await post(web, body.replace('text/html', 'text/plain'))
  assert.equal(plain.headers['content-type'], 'text/plain; charset=utf-8')
})

test('over HTTP in the clear nobody is let in where TLS is wanted', async (t) => {
  const { web } = await started(t, { ...CONFIG, endpoints: { ...CONFIG.endpoints, bosh: true } })
  const body = `<body ${BOSH} to='example.org' rid='1' wait='1' hold='1' ver='1.6'/>`
  assert.equal((await post(web, body)).status, 403)
  assert.match((await post(web, body, { 'x-forwarded-proto': 'https' })).body, / sid='/, 'a proxy in front had TLS')
})

test('a session outlives a reload, and what it has chatted with still finds it', async (t) => {
  const running = await started(t)
  const page = new Page(running.web)
  await page.login(ANNA)
  const first = page.send('')
  const idle = page.send(NOTHING)
  await first
  await running.house.reload()
  assert.match(await idle, /^<body xmlns='[^']*'\/>$/, 'the request that waited is answered at once')
  const other = new Page(running.web)
  await other.login(BERT)
  void other.send(`<message type='chat' to='${ANNA.address}/page'><body>still there?</body></message>`)
  assert.match(await page.until(/<message [^]*?<\/message>/), /still there\?/)
})

test('who stops the server says so to those who wait', async (t) => {
  const running = await started(t)
  const page = new Page(running.web)
  await page.login(ANNA)
  const first = page.send('')
  const waits = page.send(NOTHING)
  // It is answered when the second one has come.
  await first
  const stopped = running.house.stop()
  assert.match(await waits, /type='terminate' condition='remote-stream-error'.*<system-shutdown /)
  await stopped
})

test('one address has only so many sessions', async (t) => {
  const { web } = await started(t, {
    ...CONFIG,
    endpoints: { ...CONFIG.endpoints, bosh: { 'require-tls': false, 'sessions-per-address': 2 } },
  })
  for (const expected of [/ sid='/, / sid='/, /condition='policy-violation'/])
    assert.match(await new Page(web).open(), expected)
})

test('a session is what the config says: how long it waits, how many there are, how much one request brings', async (t) => {
  const bosh = {
    'require-tls': false,
    'max-wait': '10s',
    'max-inactivity': '20s',
    'max-pause': '30s',
    'min-polling': '2s',
    'max-sessions': 1,
    'max-stanza': '8KiB',
  }
  const { web } = await started(t, { ...CONFIG, endpoints: { ...CONFIG.endpoints, bosh } })
  const page = new Page(web)
  const facts = await page.open()
  for (const fact of [/ wait='10'/, / inactivity='20'/, / maxpause='30'/, / polling='2'/]) assert.match(facts, fact)
  assert.match(await new Page(web).open(), /condition='policy-violation'/)
  const large = `<body ${BOSH} rid='${page.rid + 1}' sid='${page.sid}'>${'x'.repeat(16 * 1024)}</body>`
  assert.equal((await post(web, large)).status, 413)
})

test('clients find it by host-meta', async (t) => {
  const { web } = await started(t, {
    ...CONFIG,
    endpoints: { ...CONFIG.endpoints, http: { ...CONFIG.endpoints.http, url: 'https://{host}' } },
  })
  const response = await fetch(`http://127.0.0.1:${web}/.well-known/host-meta.json`, {
    headers: { 'x-forwarded-host': 'example.org' },
  })
  const { links } = (await response.json()) as { links: { rel: string; href: string }[] }
  assert.equal(links.find(({ rel }) => rel === 'urn:xmpp:alt-connections:xbosh')?.href, 'https://example.org/http-bind')
})
