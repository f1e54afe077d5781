// Components beside a whole server: a connection outlives a reload, its rules do not.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { clientMechanism } from '@aviso/sasl'
import { Client, componentHandshake, NS, streamHeader } from '@aviso/xmpp'
import type { Config } from '../../src/config.ts'
import { ANNA, BEN, populated } from './conversations.ts'
import { Talker, type Running } from './fixture.ts'

const GATE = 'gate.example.org'
interface Component {
  readonly domain: string
  readonly secret: string
  readonly privileges?: object
}

const withComponents = (...components: Component[]): Partial<Config> => ({
  endpoints: {
    c2s: { listen: ['127.0.0.1:0'], 'listen-tls': [], 'require-tls': false },
    component: { listen: ['127.0.0.1:0'], components },
  },
})

async function reload(running: Running, ...components: Component[]): Promise<void> {
  const endpoints = { ...running.config.endpoints, ...withComponents(...components).endpoints }
  running.config = { ...running.config, endpoints }
  await running.house.reload()
}

async function connected(t: TestContext, running: Running, secret = 'shh'): Promise<Talker> {
  const socket = connect(running.port('component', 'none'), '127.0.0.1')
  t.after(() => socket.destroy())
  const gate = new Talker(socket)
  const opening = await gate.ask(
    streamHeader({ namespace: NS.componentAccept, to: GATE, version: false }),
    / id='[^']*'[^>]*>/,
  )
  const [, id = ''] = / id='([^']*)'[^>]*>$/.exec(opening) ?? []
  await gate.ask(`<handshake>${componentHandshake(id, secret)}</handshake>`, /<handshake\/>|<stream:error>/)
  return gate
}

const login = ({ port }: Running, { address, password }: typeof ANNA): Promise<Client> =>
  Client.connect({
    domain: address.slice(address.indexOf('@') + 1),
    resource: 'r',
    connect: async () => connect(port('c2s'), '127.0.0.1'),
    sasl: (names) => clientMechanism(names, { authcid: address, password, secure: true }),
  })

const roster = `<iq from='${GATE}' to='${ANNA.address}' id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>`

test('what a component may do follows the config, while it stays connected', async (t) => {
  const component = { domain: GATE, secret: 'shh' }
  const running = await populated(t, withComponents(component))
  const gate = await connected(t, running)
  await gate.ask(roster, /<iq[^>]*type='error'/)
  // It is granted something: it is told, and may do it.
  await reload(running, { ...component, privileges: { 'example.org': { roster: 'both' } } })
  await gate.expect(/<perm access='roster' type='both' push='true'\/>/)
  await gate.ask(roster, /<iq[^>]*type='result'[^>]*><query/)
  // Nothing changes: it is told nothing.
  await reload(running, { ...component, privileges: { 'example.org': { roster: 'both' } } })
  const said = await gate.ask(roster, /<iq[^>]*type='result'[^>]*><query/)
  assert.doesNotMatch(said, /<perm/)
  // And it is taken away again.
  await reload(running, component)
  await gate.ask(roster, /<iq[^>]*type='error'/)
  assert.equal(running.house.bound.filter(({ protocol }) => protocol === 'component').length, 1)
})

test('with another secret, or none at all, a component has to go', async (t) => {
  const running = await populated(t, withComponents({ domain: GATE, secret: 'shh' }))
  const gate = await connected(t, running)
  await reload(running, { domain: GATE, secret: 'another' })
  await gate.expect(/<stream:error>.*<reset /)
  await gate.ended()
  const wrong = await connected(t, running)
  await wrong.ended()
  const again = await connected(t, running, 'another')
  await reload(running, { domain: 'other.example.org', secret: 'x' })
  await again.expect(/<stream:error>.*<host-gone /)
  await again.ended()
})

test('contacts of another domain of ours are told of, and strangers are not', async (t) => {
  const privileges = { 'example.org': { roster: 'get' as const, presence: 'roster' as const } }
  const running = await populated(t, withComponents({ domain: GATE, secret: 'shh', privileges }))
  const { admin } = running.house.accounts
  await admin.addDomain('example.net')
  const cleo = { address: 'cleo@example.net', password: 'cleos secret' }
  const dora = { address: 'dora@example.net', password: 'doras secret' }
  for (const person of [cleo, dora]) await admin.createAccount(person)
  const gate = await connected(t, running)
  await gate.expect(/<perm access='presence' type='roster'\/>/)
  const [anna, hers] = [await login(running, ANNA), await login(running, cleo)]
  for (const client of [anna, hers]) client.send('<presence/>')
  await gate.expect(/<presence[^>]*from='anna@example\.org\/r'/)
  anna.send(`<presence to='${cleo.address}' type='subscribe'/>`)
  hers.send(`<presence to='${ANNA.address}' type='subscribed'/>`)
  for await (const stanza of anna) if (stanza.name === 'presence' && stanza.get('from') === `${cleo.address}/r`) break
  const strangers = await login(running, dora)
  strangers.send('<presence/>')
  await strangers.close()
  hers.send('<presence><show>away</show></presence>')
  const said = await gate.expect(/<presence[^>]*from='cleo@example\.net\/r'[^>]*><show>away/)
  assert.doesNotMatch(said, /dora/)
  // Who connects later is told who is there.
  gate.socket.destroy()
  await gate.ended()
  const later = await connected(t, running)
  await later.expect(/<presence[^>]*from='cleo@example\.net\/r'[^>]*><show>away/)
  await hers.close()
  await later.expect(/<presence(?=[^>]*from='cleo@example\.net\/r')(?=[^>]*type='unavailable')/)
  const ben = await login(running, BEN)
  ben.send('<presence/>')
  await later.expect(/<presence[^>]*from='ben@example\.org\/r'/)
  for (const client of [anna, ben]) await client.close()
})
