// Clients that do not keep to the rules of SASL2, Bind 2 and tokens, over TLS: each is told, harms nobody else, and gets nowhere.

import assert from 'node:assert/strict'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { test, type TestContext } from 'node:test'
import { tlsChannelBinding, tokenClient, type TokenMechanismName } from '@aviso/sasl'
import { Client, type KeptToken, NS } from '@aviso/xmpp'
import { clientMechanism } from '@aviso/sasl'
import { ANNA, BEN, plain, populated } from './conversations.ts'
import { Talker, type Running } from './fixture.ts'

const ID = 'd4565fa7-4d72-4749-b3d3-740edbf87770'
const HEADER = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>`
const FAILED = /<failure xmlns='urn:xmpp:sasl:2'>[^]*?<\/failure>/
const SUCCESS = /<success xmlns='urn:xmpp:sasl:2'>[^]*?<\/success>/

const open = (t: TestContext): Promise<Running> =>
  populated(t, {
    accounts: { failures: { 'first-delay': '0s', 'longest-delay': '0s', ban: 1000, account: 1000 } },
    endpoints: { c2s: { listen: [], 'listen-tls': ['127.0.0.1:0'] } },
  })

async function secured({ port }: Running): Promise<TLSSocket> {
  const at = { port: port('c2s', 'implicit'), host: '127.0.0.1', servername: 'example.org' }
  const socket = connectTls({ ...at, ALPNProtocols: ['xmpp-client'], rejectUnauthorized: false })
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return socket
}

interface Stranger {
  readonly talker: Talker
  readonly socket: TLSSocket
  readonly features: string
}

async function stranger(t: TestContext, running: Running): Promise<Stranger> {
  const socket = await secured(running)
  t.after(() => socket.destroy())
  const talker = new Talker(socket)
  return { socket, talker, features: await talker.ask(HEADER, /<\/stream:features>/) }
}

const agent = (id = ID): string => `<user-agent id='${id}'><software>Hostile</software></user-agent>`
const initial = (octets: string): string => `<initial-response>${octets}</initial-response>`
const withPassword = (inside: string, { address, password } = ANNA): string =>
  `<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'>${initial(plain(address, password))}${inside}</authenticate>`

/** A login by token, as `tokenClient` makes it for this very connection. */
async function withToken(
  { socket }: Stranger,
  { mechanism, token }: KeptToken,
  { fast = '', inside = '', address = ANNA.address, as = mechanism } = {},
): Promise<string> {
  const binding = tlsChannelBinding(socket, 'client', socket.getPeerX509Certificate()?.raw)
  const client = tokenClient(mechanism as TokenMechanismName, address, Buffer.from(token), binding)
  const octets = Buffer.from((await client.start()) ?? []).toString('base64')
  return `<authenticate xmlns='${NS.sasl2}' mechanism='${as}'>${initial(octets)}${agent()}<fast xmlns='${NS.fast}'${fast}/>${inside}</authenticate>`
}

/** Anna's program gets a token, bound to TLS. */
async function tokenOf(running: Running): Promise<KeptToken> {
  const kept: { token: KeptToken | undefined } = { token: undefined }
  const client = await Client.connect({
    domain: 'example.org',
    secure: true,
    connect: () => secured(running),
    sasl: (names) => clientMechanism(names, { authcid: ANNA.address, password: ANNA.password, secure: true }),
    sasl2: {
      userAgent: { id: ID, software: 'Decent' },
      fast: {
        authcid: ANNA.address,
        keep: (token) => (kept.token = token),
        channelBinding: (socket) =>
          tlsChannelBinding(socket as TLSSocket, 'client', (socket as TLSSocket).getPeerX509Certificate()?.raw),
      },
    },
  })
  await client.close()
  assert.ok(kept.token)
  return kept.token
}

/** Somebody else logs in and is served. */
async function unharmed(t: TestContext, running: Running): Promise<void> {
  const { talker } = await stranger(t, running)
  await talker.ask(withPassword(`<bind xmlns='${NS.bind2}'/>`, BEN), SUCCESS)
  await talker.ask(`<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`, /<iq [^>]*id='p'/)
  talker.socket.destroy()
}

test('a token that is bound to TLS: the best binding, and nothing without it', async (t) => {
  const running = await open(t)
  const token = await tokenOf(running)
  assert.equal(token.mechanism, 'HT-SHA-256-EXPR')
  const one = await stranger(t, running)
  assert.match(one.features, /<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</)
  // What was said on one connection is good for nothing on another one.
  const overheard = await withToken(one, token)
  const other = await stranger(t, running)
  assert.match(await other.talker.ask(overheard, FAILED), /<not-authorized /)
  await one.talker.ask(overheard, SUCCESS)
  // Nor can it be used without the binding.
  for (const mechanism of ['HT-SHA-256-NONE', 'HT-SHA-256-ENDP']) {
    const third = await stranger(t, running)
    assert.match(await third.talker.ask(await withToken(third, { ...token, mechanism }), FAILED), /<not-authorized /)
  }
})

test('wrong, old and foreign tokens', async (t) => {
  const running = await open(t)
  const token = await tokenOf(running)
  const tries: readonly (readonly [string, (who: Stranger) => Promise<string>, RegExp])[] = [
    ['another token', (who) => withToken(who, { ...token, token: 'x'.repeat(43) }), /<not-authorized /],
    ['another account', (who) => withToken(who, token, { address: BEN.address }), /<not-authorized /],
    ['nobody', (who) => withToken(who, token, { address: 'nobody@example.org' }), /<not-authorized /],
    [
      'another client',
      async (who) => (await withToken(who, token)).replace(ID, ID.replace('d', 'e')),
      /<not-authorized /,
    ],
    ['no client', async (who) => (await withToken(who, token)).replace(agent(), ''), /<invalid-mechanism /],
    ['no fast', async (who) => (await withToken(who, token)).replace(/<fast [^>]*\/>/, ''), /<invalid-mechanism /],
    ['as a password', (who) => withToken(who, token, { as: 'PLAIN' }), /<invalid-mechanism /],
    ['a count that is none', (who) => withToken(who, token, { fast: ` count='-1'` }), /<malformed-request /],
    [
      'a count without end',
      (who) => withToken(who, token, { fast: ` count='${'9'.repeat(50)}'` }),
      /<malformed-request /,
    ],
  ]
  for (const [what, xml, condition] of tries) {
    const who = await stranger(t, running)
    assert.match(await who.talker.ask(await xml(who), FAILED), condition, what)
  }
  // None of it has spoilt the good one.
  const who = await stranger(t, running)
  await who.talker.ask(await withToken(who, token), SUCCESS)
})

test('a count is good once, and never goes back', async (t) => {
  const running = await open(t)
  const token = await tokenOf(running)
  const use = async (count: number): Promise<boolean> => {
    const who = await stranger(t, running)
    const xml = await withToken(who, token, { fast: ` count='${count}'` })
    return SUCCESS.test(await who.talker.ask(xml, /<\/(?:success|failure)>/))
  }
  const outcomes: boolean[] = []
  for (const count of [5, 5, 4, 6, 1, 6, 7]) outcomes.push(await use(count))
  assert.deepEqual(outcomes, [true, false, false, true, false, false, true])
  // Both at once: one of them.
  const both = await Promise.all([use(8), use(8)])
  assert.deepEqual(both.sort(), [false, true])
})

test('everything out of its order', async (t) => {
  const running = await open(t)
  const begins = `<authenticate xmlns='${NS.sasl2}' mechanism='SCRAM-SHA-256'>${initial(Buffer.from('n,,n=anna@example.org,r=abc').toString('base64'))}</authenticate>`
  const ended: readonly (readonly [string, readonly string[]])[] = [
    ['a stanza before the login', [`<message to='${BEN.address}'/>`]],
    ['a stanza in the middle of one', [begins, `<message to='${BEN.address}'/>`]],
    ['a second login in the middle of one', [begins, begins]],
    ['the old way in the middle of the new one', [begins, `<auth xmlns='${NS.sasl}' mechanism='PLAIN'/>`]],
    ['an element that there is none of', [`<proceed xmlns='${NS.sasl2}'/>`]],
  ]
  for (const [what, said] of ended) {
    const { talker } = await stranger(t, running)
    for (const xml of said) talker.socket.write(xml)
    await assert.doesNotReject(talker.expect(/<stream:error>/), what)
    await talker.ended()
  }
  const refused: readonly (readonly [string, RegExp])[] = [
    [`<response xmlns='${NS.sasl2}'>AAAA</response>`, /<malformed-request /],
    [`<abort xmlns='${NS.sasl2}'/>`, /<aborted /],
    [`<next xmlns='${NS.sasl2}' task='UPGR-SCRAM-SHA-512'/>`, /<malformed-request /],
    [`<task-data xmlns='${NS.sasl2}'/>`, /<malformed-request /],
    [`<authenticate xmlns='${NS.sasl2}'/>`, /<invalid-mechanism /],
    [`<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'>${initial('*')}</authenticate>`, /<incorrect-encoding /],
    [
      `<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'><user-agent id='not a UUID'/></authenticate>`,
      /<malformed-request /,
    ],
    [`<authenticate xmlns='${NS.sasl2}' mechanism='EXTERNAL'>${initial('')}</authenticate>`, /<invalid-mechanism /],
    [`<authenticate xmlns='${NS.sasl2}' mechanism='ANONYMOUS'>${initial('')}</authenticate>`, /<invalid-mechanism /],
  ]
  for (const [xml, condition] of refused) {
    const { talker } = await stranger(t, running)
    assert.match(await talker.ask(xml, FAILED), condition)
    // And the stream is as good as before.
    await talker.ask(withPassword(''), SUCCESS)
  }
  // After the login the door is shut.
  const { talker } = await stranger(t, running)
  await talker.ask(withPassword(`<bind xmlns='${NS.bind2}'/>`), SUCCESS)
  talker.socket.write(withPassword('', BEN))
  await talker.expect(/<stream:error>/)
  await unharmed(t, running)
})

test('too much of everything', async (t) => {
  const running = await open(t)
  const large = 'x'.repeat(20_000)
  for (const xml of [
    withPassword(`<user-agent id='${ID}'><device>${large}</device></user-agent>`),
    withPassword(`<bind xmlns='${NS.bind2}'><tag>${large}</tag></bind>`),
    `<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'>${initial('A'.repeat(20_000))}</authenticate>`,
    withPassword('<x>'.repeat(200) + '</x>'.repeat(200)),
    withPassword(`<x ${Array.from({ length: 2000 }, (_, index) => `a${index}='1'`).join(' ')}/>`),
  ]) {
    const { talker } = await stranger(t, running)
    talker.socket.write(xml)
    await talker.expect(/<stream:error>/)
    await talker.ended()
  }
  // Three wrong ones, whichever way, are enough.
  const { talker } = await stranger(t, running)
  for (let tried = 1; tried <= 3; tried++)
    talker.socket.write(withPassword('', { ...ANNA, password: `wrong ${tried}` }))
  await talker.expect(/<failure[^]*<failure[^]*<failure[^]*<policy-violation /)
  await talker.ended()
  await unharmed(t, running)
})

test('what is inline and unknown, doubled or wrong is passed over or refused, and the login stands', async (t) => {
  const running = await open(t)
  const login = async (inside: string): Promise<string> => {
    const { talker } = await stranger(t, running)
    const success = await talker.ask(withPassword(agent() + inside), SUCCESS)
    await talker.ask(
      `<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`,
      /<iq [^>]*id='p'[^>]*type='|<iq [^>]*type='[^>]*id='p'/,
    )
    talker.socket.destroy()
    return success
  }
  const bind = (inside: string): string => `<bind xmlns='${NS.bind2}'>${inside}</bind>`
  assert.match(
    await login(`<what xmlns='urn:unknown'/>${bind(`<what xmlns='urn:unknown'/>`)}`),
    /<bound xmlns='urn:xmpp:bind:0'>/,
  )
  const doubled = await login(bind(`<enable xmlns='${NS.streamManagement}'/>`.repeat(2)))
  assert.equal([...doubled.matchAll(/<enabled /g)].length, 1)
  assert.match(
    await login(`${bind('')}<resume xmlns='${NS.streamManagement}' previd='none' h='0'/>`),
    /<failed [^>]*><item-not-found[^]*<bound /,
  )
  assert.match(
    await login(`${bind('')}<resume xmlns='${NS.streamManagement}'/>`),
    /<failed [^>]*><bad-request[^]*<bound /,
  )
  assert.match(await login(bind('<tag>\u0085</tag>')), /<bound /)
  assert.match(await login(bind('') + bind('')), /<bound /)
  assert.doesNotMatch(await login(`${bind('')}<request-token xmlns='${NS.fast}' mechanism='HT-MD5-NONE'/>`), /<token /)
  await unharmed(t, running)
})
