// The opening side of a stream between servers, against a peer that says what it is told to.

import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { type CloseReason, type Element, PeerStream, type PeerStreamOptions } from '../src/index.ts'
import { HandTimers, memorySockets, RawPeer } from '../src/testing/index.ts'

const HEADER = `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='s1' from='b.example' version='1.0'>`
const STARTTLS = `<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>`
const EXTERNAL = `<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>`
const SUCCESS = `<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>`
const PROCEED = `<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`

async function open(options: Partial<PeerStreamOptions> = {}, takesStanzas = false) {
  const [own, other] = memorySockets()
  const peer = new RawPeer(other)
  const timers = new HandTimers()
  const events: string[] = []
  const stanzas: Element[] = []
  const end = Promise.withResolvers<CloseReason>()
  const stream = new PeerStream(
    { socket: own, secure: true, from: 'a.example', to: 'b.example', requireTls: true, timers, ...options },
    {
      negotiate: (_features, { secure }) => void events.push(`negotiate ${String(secure)}`),
      authenticated: () => void events.push('authenticated'),
      refused: (condition) => void events.push(`refused ${condition}`),
      nonza: (element) => element.name === 'known',
      ...(takesStanzas && { stanza: (stanza: Element) => void stanzas.push(stanza) }),
      closed: (reason) => end.resolve(reason),
    },
  )
  const header = await peer.header()
  assert.equal(header.get('from'), 'a.example')
  assert.equal(header.get('to'), 'b.example')
  return { stream, peer, timers, events, stanzas, ended: end.promise }
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise(setImmediate)
}

test('STARTTLS, then EXTERNAL, then stanzas', async () => {
  const [secured, otherSecured] = memorySockets()
  const { stream, peer, events } = await open({ secure: false, startTls: async (): Promise<Duplex> => secured })
  peer.send(HEADER + STARTTLS)
  assert.equal((await peer.element()).name, 'starttls')
  assert.deepEqual(events, [], 'nothing is negotiated in the clear')
  // What is slipped in behind it in the clear is never seen.
  peer.send(`${PROCEED}${HEADER}${EXTERNAL}`)
  peer.attach(otherSecured)
  await peer.header()
  peer.send(HEADER + EXTERNAL)
  await until(() => events.length > 0)
  assert.deepEqual(events, ['negotiate true'])
  assert.equal(stream.id, 's1')
  stream.external()
  const auth = await peer.element()
  assert.equal(Buffer.from(auth.text(), 'base64').toString(), 'a.example')
  peer.attach(otherSecured)
  peer.send(SUCCESS)
  await peer.header()
  peer.send(HEADER + '<stream:features/>')
  await until(() => events.length > 1)
  assert.equal(events[1], 'authenticated')
  assert.equal(stream.state, 'authenticated')
  stream.send(`<message to='x@b.example'/>`)
  assert.equal((await peer.element()).xmlns, 'jabber:server')
})

const failing: readonly (readonly [
  what: string,
  says: string,
  condition: RegExp,
  options?: Partial<PeerStreamOptions>,
])[] = [
  ['encryption is required and not offered', `${HEADER}<stream:features/>`, /policy-violation/, { secure: false }],
  [
    'STARTTLS is refused',
    `${HEADER}${STARTTLS}<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`,
    /policy-violation/,
    { secure: false, startTls: () => Promise.reject(new Error('not asked')) },
  ],
  ['proceed comes out of turn', `${HEADER}${PROCEED}`, /unsupported-stanza-type/],
  ['success comes without a question', `${HEADER}${EXTERNAL}${SUCCESS}`, /unsupported-stanza-type/],
  ['stanzas come before we are known', `${HEADER}<message/>`, /not-authorized/],
  ['it speaks to clients', HEADER.replace('jabber:server', 'jabber:client'), /invalid-namespace/],
  ['it is of before XMPP 1.0', HEADER.replace(`version='1.0'>`, '>'), /unsupported-version/],
  ['its features are endless', `${HEADER}<stream:features><x xmlns='urn:x'>${'x'.repeat(20_000)}`, /policy-violation/],
  ['it says what nobody knows', `${HEADER}<unknown xmlns='urn:x'/>`, /unsupported-stanza-type/],
]
for (const [what, says, condition, options] of failing)
  test(`ends when ${what}`, async () => {
    const { peer, ended } = await open(options)
    peer.send(says)
    const reason = await ended
    assert.equal(reason.by, 'error')
    assert.match(reason.error?.message ?? '', condition)
  })

test('stanzas the other way only where they were agreed upon', async () => {
  const both = await open({}, true)
  both.peer.send(`${HEADER}<stream:features/>`)
  await until(() => both.events.length > 0)
  both.stream.authenticate()
  both.peer.send(`<message from='x@b.example' to='y@a.example'/>`)
  await until(() => both.stanzas.length > 0)

  const one = await open()
  one.peer.send(`${HEADER}<stream:features/>`)
  await until(() => one.events.length > 0)
  one.stream.authenticate()
  one.peer.send(`<message from='x@b.example' to='y@a.example'/>`)
  assert.match((await one.ended).error?.message ?? '', /not-authorized/)
})

test('a refused certificate is told, and the stream goes on', async () => {
  const { stream, peer, events } = await open()
  peer.send(HEADER + EXTERNAL)
  await until(() => events.length > 0)
  stream.external()
  peer.send(`<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>`)
  await until(() => events.length > 1)
  assert.equal(events[1], 'refused not-authorized')
  assert.equal(stream.state, 'negotiating')
})

test('who says nothing is not waited for', async () => {
  const { peer, timers, ended } = await open()
  peer.send(HEADER)
  timers.turn(60_000)
  assert.match((await ended).error?.message ?? '', /connection-timeout/)
})
