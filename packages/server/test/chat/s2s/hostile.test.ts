// More of servers that break off, answer what nobody asked, or send too much.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { dialbackXml, NS } from '@aviso/xmpp'
import { short } from '../house.ts'
import { certified, gullible, listening, Stranger, Town, type TownHouse } from './town.ts'

const LAX = { 'require-tls': false, 'insecure-domains': ['two.example'], bidi: false }
const HEADER = `<stream:stream xmlns='${NS.server}' xmlns:stream='${NS.streams}' xmlns:db='${NS.dialback}' id='an-id' from='two.example' to='one.example' version='1.0'>`
const DIALBACK = `<stream:features><dialback xmlns='${NS.dialbackFeature}'/></stream:features>`

/** The server of two.example gives one answer after the other to what it hears. `cut`: it breaks off when all are given. */
async function script(t: TestContext, town: Town, answers: readonly string[], cut: boolean): Promise<void> {
  const port = await listening(t, (socket) => {
    let heard = 0
    socket.on('data', () => {
      const answer = answers[heard++]
      if (answer !== undefined) socket.write(answer)
      if (cut && heard >= answers.length) setImmediate(() => socket.resetAndDestroy())
    })
  })
  town.announce('two.example', port)
}

/** What Anna is told when she writes to Bert. */
async function told(t: TestContext, one: TownHouse): Promise<string> {
  const anna = await one.arrive('anna')
  t.after(() => anna.client.destroy())
  anna.send(`<message id='m' to='bert@two.example' type='chat'><body>hello?</body></message>`)
  const error = await anna.next()
  assert.equal(short(error), 'message error bert@two.example remote-server-timeout')
  assert.equal(error.get('id'), 'm')
  return error.child('error')?.childText('text', NS.stanzaErrors) ?? ''
}

for (const [when, answers] of [
  ['before a word is said', []],
  ['within the header', [HEADER.slice(0, 60)]],
  ['after the features', [HEADER + DIALBACK]],
  ['in the middle of the verdict', [HEADER + DIALBACK, `<db:result from='two.example' to='one.example' type='val`]],
] as const)
  test(`a connection that is reset ${when}: the sender is told, once`, async (t) => {
    const town = new Town(t)
    const one = await town.open('one.example', { s2s: LAX })
    await script(t, town, answers, true)
    assert.match(await told(t, one), /^two\.example cannot be reached: /)
    assert.equal(one.said('another server was not reached').length, 1)
    assert.equal(one.said('a stream could not be opened').length, 0)
  })

for (const [what, answers, why] of [
  ['another protocol', ['220 mail.two.example ESMTP\r\n'], /not-well-formed/],
  ['a header of clients', [HEADER.replace(NS.server, 'jabber:client')], /invalid-namespace/],
  ['a server of before XMPP 1.0', [HEADER.replace(" version='1.0'", '')], /unsupported-version/],
  ['more features than anybody has', [HEADER + `<stream:features>${'<x/>'.repeat(20_000)}`], /policy-violation/],
  ['a stream error', [`${HEADER}<stream:error><host-gone xmlns='${NS.streamErrors}'/></stream:error>`], /host-gone/],
  [
    'a stanza over a stream that is for ours',
    [`${HEADER}${DIALBACK}<message from='bert@two.example' to='anna@one.example'><body>x</body></message>`],
    /not-authorized/,
  ],
  [
    'a verdict about others, then one against us',
    [
      HEADER + DIALBACK,
      dialbackXml({ name: 'result', from: 'three.example', to: 'one.example', type: 'valid' }) +
        dialbackXml({ name: 'result', from: 'two.example', to: 'nobody.example', type: 'valid' }) +
        dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', type: 'invalid' }),
    ],
    /it does not believe who we are \(dialback: invalid\)/,
  ],
  ['a verdict of SASL that nobody asked for', [`${HEADER}${DIALBACK}<success xmlns='${NS.sasl}'/>`], /unsupported/],
] as const)
  test(`who answers with ${what} is left, and the sender is told why`, async (t) => {
    const town = new Town(t)
    const one = await town.open('one.example', { s2s: LAX })
    await script(t, town, answers, false)
    assert.match(await told(t, one), why)
  })

test('a stanza that is too big ends the stream; what came before it is delivered', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: { 'max-stanza': '32KiB' } })
  const anna = await one.arrive('anna')
  const two = new Stranger(one.servers, 'two.example', 'one.example', certified('two.example'))
  await two.element()
  two.stream.external()
  await two.element()
  const message = (body: string): string =>
    `<message from='bert@two.example/r' to='anna@one.example' type='chat'><body>${body}</body></message>`
  two.stream.send(message('small') + message('x'.repeat(40_000)) + message('late'))
  assert.match(await two.ended(), /^policy-violation/)
  assert.equal(short(await anna.next()), `message chat bert@two.example/r 'small'`)
  assert.deepEqual(await anna.news(), [])
})

test('stanzas before any proof, and streams to domains that are not here', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const anna = await one.arrive('anna')
  const early = new Stranger(one.servers, 'two.example', 'one.example', certified('two.example'))
  await early.element()
  early.stream.send(`<message from='bert@two.example' to='anna@one.example'><body>x</body></message>`)
  assert.match(await early.ended(), /^not-authorized/)
  const lost = new Stranger(one.servers, 'two.example', 'nobody.example', certified('two.example'))
  assert.match(await lost.ended(), /^host-unknown/)
  assert.deepEqual(await anna.news(), [])
})

test('the answer to a key counts only for the stream that the key was made for', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: LAX })
  const anna = await one.arrive('anna')
  // The server that answers for two.example says yes, but to another id, for other domains, and then no.
  const { promise: asked, resolve } = Promise.withResolvers<void>()
  const port = await listening(t, (socket) => {
    let heard = 0
    socket.on('data', (octets) => {
      if (heard++ === 0) return void socket.write(HEADER + DIALBACK)
      const id = / id='([^']*)'/.exec(octets.toString())?.[1] ?? ''
      const verdict = { name: 'verify', from: 'two.example', to: 'one.example', id } as const
      socket.write(
        dialbackXml({ ...verdict, id: 'another', type: 'valid' }) +
          dialbackXml({ ...verdict, from: 'three.example', type: 'valid' }) +
          dialbackXml({ ...verdict, type: 'invalid' }) +
          dialbackXml({ ...verdict, type: 'valid' }),
      )
      return resolve()
    })
  })
  town.announce('two.example', port)
  const liar = new Stranger(one.servers, 'two.example', 'one.example', 'no TLS')
  await liar.element()
  liar.stream.send(dialbackXml({ name: 'result', from: 'two.example', to: 'one.example', key: 'abc' }))
  await asked
  assert.equal((await liar.element()).get('type'), 'invalid')
  assert.equal(await liar.ended(), 'peer')
  assert.deepEqual(await anna.news(), [])
})

test('two servers that call each other at the same moment lose nothing', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example')
  const two = await town.open('two.example')
  const anna = await one.arrive('anna')
  const bert = await two.arrive('bert')
  for (let i = 0; i < 5; i++) {
    anna.send(`<message to='bert@two.example' type='chat'><body>${i}</body></message>`)
    bert.send(`<message to='anna@one.example' type='chat'><body>${i}</body></message>`)
  }
  for (let i = 0; i < 5; i++) {
    assert.equal((await bert.next()).childText('body'), String(i))
    assert.equal((await anna.next()).childText('body'), String(i))
  }
  assert.deepEqual([await anna.news(), await bert.news()], [[], []])
})

test('a server that ends a stream which was up is called again; nothing comes twice', async (t) => {
  const town = new Town(t)
  const one = await town.open('one.example', { s2s: LAX })
  const anna = await one.arrive('anna')
  const got: string[] = []
  let wake = (): void => {}
  const port = await gullible(t, {
    stanza(stanza, socket) {
      got.push(stanza.childText('body') ?? '')
      socket.destroy()
      wake()
    },
  })
  town.announce('two.example', port)
  for (const body of ['first', 'second', 'third']) {
    const arrived = new Promise<void>((resolve) => (wake = resolve))
    anna.send(`<message to='bert@two.example' type='chat'><body>${body}</body></message>`)
    await arrived
    while (one.said('stream to another server closed').length < got.length) await new Promise(setImmediate)
  }
  assert.deepEqual(got, ['first', 'second', 'third'])
  assert.equal(one.said('stream to another server').length, 3)
})
