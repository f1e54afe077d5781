// Domains that have no accounts: what is for them goes to whoever answers for them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { el, Jid, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature, type StanzaEvent } from '../../src/chat/core/contracts.ts'
import { FEATURES, House, short } from './house.ts'

const ANNA = 'anna@example.org'
const ECHO = 'echo.example.org'

const heard: StanzaEvent[] = []

/** Says back what it hears, and knows no requests. */
const echo = chatFeature({
  name: 'echo',
  summary: 'Says back what it hears.',
  config: v.strictObject({ domain: v.optional(v.string(), ECHO) }),
  attach(host, { domain }) {
    host.serve(domain, (event) => {
      heard.push(event)
      const { stanza, origin, to } = event
      if (stanza.name === 'iq') throw StanzaError.of('feature-not-implemented')
      if (stanza.name !== 'message') return undefined
      const answer = stanza.with({ from: to.toString(), to: origin.jid.toString() })
      return host.route(answer, { jid: to, reply: () => {} })
    })
  },
})

const open = (): Promise<House> => House.open({ features: [...FEATURES, echo] })

test('messages, requests and presence for the domain and its addresses reach the service, and its words come back', async (t) => {
  const house = await open()
  t.after(() => house.close())
  heard.length = 0
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(`<message to='wall@${ECHO}/1' type='chat'><body>hello</body></message>`)
  assert.equal(short(await anna.next()), `message chat wall@${ECHO}/1 'hello'`)
  await assert.rejects(anna.request('get', `<query xmlns='urn:x'/>`, ECHO), /feature-not-implemented/)
  anna.send(`<presence to='room@${ECHO}/anna'/>`)
  await anna.sync()
  assert.deepEqual(
    heard.map(({ stanza, origin, to }) => `${stanza.name} ${origin.jid.toString()} ${to.toString()}`),
    [`message ${ANNA}/sea wall@${ECHO}/1`, `iq ${ANNA}/sea ${ECHO}`, `presence ${ANNA}/sea room@${ECHO}/anna`],
  )
})

test('a service that is a contact hears of presence; who was sent presence is told of the end', async (t) => {
  const house = await open()
  t.after(() => house.close())
  heard.length = 0
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(`<presence type='subscribe' to='friend@${ECHO}'/>`)
  await anna.sync()
  const service = { jid: Jid.parse(`friend@${ECHO}`), reply: () => {} }
  for (const type of ['subscribed', 'subscribe'])
    await house.chat.receive(el('presence', { type, from: `friend@${ECHO}`, to: ANNA }), service)
  anna.send(`<presence type='subscribed' to='friend@${ECHO}'/>`)
  anna.send(`<presence to='room@${ECHO}/anna'/>`)
  await anna.sync()
  heard.length = 0
  anna.send('<presence><show>away</show></presence>')
  await anna.sync()
  assert.deepEqual(
    heard.map(({ stanza, to }) => `${stanza.get('type') ?? 'here'} ${to.toString()}`),
    [`here friend@${ECHO}`],
  )
  anna.client.destroy()
  while (heard.length < 3) await new Promise(setImmediate)
  assert.deepEqual(
    heard
      .slice(1)
      .map(({ stanza, to }) => `${stanza.get('type') ?? 'here'} ${to.toString()}`)
      .sort(),
    [`unavailable friend@${ECHO}`, `unavailable room@${ECHO}/anna`],
  )
})

test('a domain is served once, and never one that has accounts', async (t) => {
  const house = await open()
  t.after(() => house.close())
  await assert.rejects(
    house.generate({ features: [...FEATURES, echo], featureConfig: { echo: { domain: 'example.org' } } }),
    /example\.org is served already/,
  )
  assert.equal(house.chat.isServed(ECHO), true)
  assert.equal(house.chat.isServed('example.org'), true)
  assert.equal(house.chat.isServed('other.example'), false)
  const next = await house.reload()
  assert.equal(house.chat.isServed(ECHO), true, 'the next generation serves it beside the one before')
  await next.scope.close()
})
