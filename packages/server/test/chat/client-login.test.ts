// The client of @aviso/xmpp logs in to our server: by SASL2 with a resource at once, with tokens, and as ever where there is no SASL2.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { clientMechanism } from '@aviso/sasl'
import { Client, el, type KeptToken, NS, type Sasl2Options } from '@aviso/xmpp'
import { clientKey } from '../../src/accounts/clients.ts'
import { House, type HouseOptions } from './house.ts'

const houses: House[] = []
const open = async (options: HouseOptions = {}): Promise<House> => {
  const house = await House.open({ real: true, ...options })
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const ID = 'd4565fa7-4d72-4749-b3d3-740edbf87770'

/** What a program keeps between its runs. */
class Shelf {
  token: KeptToken | undefined
  readonly kept: (KeptToken | undefined)[] = []

  options(more: Sasl2Options = {}): Sasl2Options {
    return {
      userAgent: { id: ID, software: 'Test', device: 'Desk' },
      tag: 'test',
      fast: {
        authcid: ANNA,
        token: this.token,
        keep: (token) => {
          this.token = token
          this.kept.push(token)
        },
      },
      ...more,
    }
  }
}

/** Logs in; `used` tells the mechanisms of passwords that were used. */
async function login(
  house: House,
  sasl2: Sasl2Options,
  password: string | undefined = 'pencil',
): Promise<{ readonly client: Client; readonly used: readonly string[] }> {
  const used: string[] = []
  const connecting = Client.connect({
    domain: 'example.org',
    resource: 'old-style',
    connect: () => house.socket(),
    sasl2,
    sasl(names) {
      const mechanism = clientMechanism(names, { authcid: ANNA, password: password ?? '', secure: true })
      used.push(mechanism?.name ?? 'none')
      return mechanism
    },
    onStanza: () => {},
  })
  // A failure is held back for a millisecond.
  const state = { over: false }
  const client = connecting.finally(() => (state.over = true))
  client.catch(() => {})
  while (!state.over) {
    await new Promise((resolve) => setImmediate(resolve))
    house.clock.turn(1)
  }
  return { client: await client, used }
}

const ping = (client: Client): Promise<unknown> =>
  client.request(el('iq', { type: 'get' }, el('ping', { xmlns: 'urn:xmpp:ping' })))

test('one round trip: the resource, and what was to be switched on', async () => {
  const house = await open()
  const inline = [el('enable', { xmlns: NS.carbons }), el('enable', { xmlns: NS.streamManagement })]
  const { client, used } = await login(house, { tag: 'test', inline })
  assert.deepEqual(used, ['SCRAM-SHA-1'])
  assert.match(client.jid.toString(), /^anna@example\.org\/test\//)
  assert.ok(client.bound?.child('enabled', NS.streamManagement))
  await ping(client)
  await client.close()
})

test('a token for the next time, counted up with each use', async () => {
  const house = await open()
  const shelf = new Shelf()
  await login(house, shelf.options()).then(({ client }) => client.close())
  const first = shelf.token
  assert.equal(first?.mechanism, 'HT-SHA-256-NONE')
  assert.ok(Date.parse(first.expiry) > house.clock.now())
  for (let count = 1; count <= 3; count++) {
    const { client, used } = await login(house, shelf.options())
    assert.deepEqual(used, [], 'no password was needed')
    assert.equal(shelf.token?.count, count)
    await ping(client)
    await client.close()
  }
  // An old one is followed by a new one.
  house.clock.turn(2 * 86_400_000)
  const { client } = await login(house, shelf.options())
  assert.notEqual(shelf.token?.token, first.token)
  assert.equal(shelf.token?.count, 0)
  await client.close()
  const again = await login(house, shelf.options())
  assert.deepEqual(again.used, [])
})

test('a token that is good no more: it is forgotten, and the password logs in on the same stream', async () => {
  const house = await open()
  const shelf = new Shelf()
  await login(house, shelf.options()).then(({ client }) => client.close())
  await house.admin.revokeClients(ANNA, clientKey(ID))
  const old = shelf.token?.token
  const { client, used } = await login(house, shelf.options())
  assert.deepEqual(used, ['SCRAM-SHA-1'])
  assert.equal(shelf.kept.includes(undefined), true)
  assert.notEqual(shelf.token?.token, old, 'there is a new one')
  await ping(client)
  house.clock.turn(22 * 86_400_000)
  const late = await login(house, shelf.options())
  assert.deepEqual(late.used, ['SCRAM-SHA-1'], 'it had expired')
})

test('without the id of an installation there are no tokens', async () => {
  const house = await open()
  const shelf = new Shelf()
  const { client } = await login(house, shelf.options({ userAgent: { software: 'Test' } }))
  assert.equal(shelf.token, undefined)
  await client.close()
})

test('a wrong password is told as ever', async () => {
  const house = await open()
  await assert.rejects(login(house, { tag: 'test' }, 'guess'), {
    name: 'AuthenticationError',
    condition: 'not-authorized',
  })
})

test('where there is no SASL2, or nothing is bound with it, the client does as it ever did', async () => {
  const house = await open({ c2s: { sasl2: false } })
  const { client, used } = await login(house, new Shelf().options())
  assert.deepEqual(used, ['SCRAM-SHA-1'])
  assert.equal(client.jid.toString(), 'anna@example.org/old-style')
  assert.equal(client.bound, undefined)
  await ping(client)
})
