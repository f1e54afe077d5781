// Personal events with slixmpp: an avatar that a contact sees, device lists for everybody, bookmarks in all their forms.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { demoJourney } from './demo-journey.ts'

const PICTURE = '\x89PNG a small picture'.slice(1)
const OTHER = 'PNG another picture'
const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex')

describe('personal events', { skip: needsSlixmpp() }, () => {
  const clients: ChatClient[] = []
  after(() => Promise.all(clients.map((client) => client.end())))
  const journey = demoJourney()

  const login = async (who: 'anna' | 'bert', resource: string, ...more: readonly string[]): Promise<ChatClient> => {
    const client = new ChatClient(journey.demo.reach, journey.demo[who], 'tls', resource, 'events', ...more)
    clients.push(client)
    await client.next('started')
    client.do('roster')
    await client.next('roster')
    client.do('online')
    return client
  }

  test('strangers, friends, and what they see of each other', async () => {
    const [anna, bert] = [journey.demo.anna.address, journey.demo.bert.address]
    const a = await login('anna', 'desk')
    const b = await login('bert', 'phone', 'photos')

    // Keys for encryption are there for everybody, once they are published so.
    b.do('get-devices', anna)
    await b.next('iq-error', 'service-unavailable')
    a.do('set-devices', '31415', 'presence')
    await a.next('devices-set')
    await a.next('devices', anna)
    b.do('get-devices', anna)
    await b.next('iq-error', 'service-unavailable')
    a.do('set-devices', '31415', 'open')
    await a.next('iq-error', 'conflict')
    a.do('open-devices', 'open')
    await a.next('devices-opened')
    a.do('set-devices', '27182', 'open')
    await a.next('devices-set')
    b.do('get-devices', anna)
    assert.deepEqual((await b.next('device-list', anna))[2], ['27182'])

    // The keys themselves, as both kinds of OMEMO publish them; a stranger takes those of the device that he wants.
    for (const [kind, device, key] of [
      ['old', '27182', 'b2xk'],
      ['new', '27182', 'bmV3'],
      ['new', '31415', 'b3RoZXI='],
    ] as const) {
      a.do('set-bundle', kind, device, key)
      await a.next('bundle-set')
    }
    b.do('get-bundle', anna, 'old', '27182')
    assert.deepEqual((await b.next('bundle'))[1], [['current', 'b2xk']])
    b.do('get-bundle', anna, 'new', '27182')
    assert.deepEqual((await b.next('bundle'))[1], [['27182', 'bmV3']])
    b.do('get-bundle', anna, 'old', '99')
    await b.next('iq-error', 'service-unavailable')

    // They become friends: Bert is told of what is there already.
    b.do('presence', anna, 'subscribe')
    await a.next('subscribe', bert)
    a.do('set-avatar', PICTURE)
    await a.next('avatar-set', sha1(PICTURE))
    a.do('presence', bert, 'subscribed')
    await b.next('subscribed', anna)
    const [, , shown] = await b.next('avatar', anna)
    assert.deepEqual(shown, [sha1(PICTURE)])
    await b.next('devices', anna)
    b.do('get-avatar', anna, sha1(PICTURE))
    await b.next('picture', PICTURE)
    // Old clients see the same picture, and its hash in presence.
    b.do('get-card', anna)
    await b.next('card', undefined, PICTURE)
    await b.next('photo', anna, sha1(PICTURE))
    // The other way round.
    a.do('set-card', 'Anna', OTHER)
    await a.next('card-set')
    assert.deepEqual((await b.next('avatar', anna))[2], [sha1(OTHER)])
    await b.next('photo', anna, sha1(OTHER))
    b.do('get-avatar', anna, sha1(OTHER))
    await b.next('picture', OTHER)
    b.do('get-card', anna)
    await b.next('card', 'Anna', OTHER)

    // Who comes back later, to another run of the server, is told again.
    await b.end()
    assert.equal(await journey.demo.restart(), 0)
    await a.end()
    const again = await login('bert', 'tablet')
    assert.deepEqual((await again.next('avatar', anna))[2], [sha1(OTHER)])
    assert.deepEqual((await again.next('devices', anna))[2], ['current'])
    again.do('get-devices', anna)
    assert.deepEqual((await again.next('device-list', anna))[2], ['27182'])
    await again.end()
  })

  test('bookmarks of a new client and of two kinds of old ones', async () => {
    const anna = journey.demo.anna.address
    const fresh = await login('anna', 'new')
    const old = await login('anna', 'old')
    // Who is told of one node was asked what he wants to hear of.
    fresh.do('set-devices', '1', 'open')
    await fresh.next('devices-set')
    await old.next('devices', anna)
    fresh.do('bookmark', 'play@rooms.example', 'JC')
    await fresh.next('bookmarked')
    await old.next('bookmarks', anna)
    for (const method of ['xep_0049', 'xep_0223']) {
      old.do('get-bookmarks', method)
      assert.deepEqual((await old.next('bookmark-list'))[1], [['play@rooms.example', 'JC']])
    }
    old.do('set-bookmarks', 'xep_0049', 'play@rooms.example', 'orchard@rooms.example')
    await old.next('bookmarks-set')
    fresh.do('get-native')
    assert.deepEqual(
      new Set((await fresh.next('native'))[1] as string[]),
      new Set(['play@rooms.example', 'orchard@rooms.example']),
    )
    old.do('set-bookmarks', 'xep_0223', 'orchard@rooms.example')
    await old.next('bookmarks-set')
    fresh.do('get-native')
    assert.deepEqual((await fresh.next('native'))[1], ['orchard@rooms.example'])
    fresh.do('unbookmark', 'orchard@rooms.example')
    await fresh.next('unbookmarked')
    old.do('get-bookmarks', 'xep_0049')
    assert.deepEqual((await old.next('bookmark-list'))[1], [])
    await Promise.all([fresh.end(), old.end()])
  })
})
