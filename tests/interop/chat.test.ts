// Two people with slixmpp: they log in, add each other, chat, miss each other, and survive a restart of the server.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { demoJourney } from './demo-journey.ts'

describe('chat', () => {
  const clients: ChatClient[] = []
  after(() => Promise.all(clients.map((client) => client.end())))
  const journey = demoJourney()

  const login = async (
    who: 'anna' | 'bert',
    how: 'starttls' | 'tls',
    resource: string,
  ): Promise<{ readonly client: ChatClient; readonly jid: string }> => {
    const client = new ChatClient(journey.demo.reach, journey.demo[who], how, resource)
    clients.push(client)
    const [, jid, mechanism, tls] = await client.next('started')
    assert.equal(jid, `${journey.demo[who].address}/${resource}`)
    assert.match(String(mechanism), /^SCRAM-/)
    assert.equal(tls, 'TLSv1.3')
    return { client, jid: String(jid) }
  }

  test('from strangers to friends, through a restart', { skip: needsSlixmpp() }, async () => {
    const anna = journey.demo.anna.address
    const bert = journey.demo.bert.address
    const a = await login('anna', 'starttls', 'desk')
    const b = await login('bert', 'tls', 'phone')
    a.client.do('roster')
    assert.deepEqual((await a.client.next('roster'))[1], {})
    b.client.do('roster')
    assert.deepEqual((await b.client.next('roster'))[1], {})
    a.client.do('online')
    b.client.do('online', 'away', 'on the train')

    // Anna asks Bert.
    a.client.do('add', bert, 'Bert')
    await a.client.next('push', bert, 'none', null, 'Bert')
    await a.client.next('added', bert)
    a.client.do('presence', bert, 'subscribe')
    await a.client.next('push', bert, 'none', 'subscribe')
    await b.client.next('subscribe', anna)
    b.client.do('presence', anna, 'subscribed')
    await b.client.next('push', anna, 'from')
    await a.client.next('subscribed', bert)
    await a.client.next('push', bert, 'to', null, 'Bert')
    await a.client.next('away', b.jid, 'away', 'on the train')

    // Bert asks back.
    b.client.do('presence', anna, 'subscribe')
    await a.client.next('subscribe', bert)
    a.client.do('presence', bert, 'subscribed')
    await b.client.next('subscribed', anna)
    await b.client.next('push', anna, 'both')
    await a.client.next('push', bert, 'both', null, 'Bert')
    await b.client.next('available', a.jid)

    // They talk: to the bare address, then to the very client; in the order in which it was said.
    a.client.do('say', bert, 'Hallo <Bert> & Grüße 👋')
    await b.client.next('message', anna, 'chat', 'Hallo <Bert> & Grüße 👋', null)
    for (let number = 1; number <= 50; number++) b.client.do('say', a.jid, `answer ${number}`)
    for (let number = 1; number <= 50; number++)
      assert.equal((await a.client.next('message', bert, 'chat'))[3], `answer ${number}`)

    // The server tells what it is, and refuses what it does not know.
    const { domain } = journey.demo.reach
    a.client.do('ping', domain)
    await a.client.next('pong', domain)
    a.client.do('version', domain)
    await a.client.next('version', 'Aviso')
    a.client.do('disco', domain)
    assert.ok(((await a.client.next('disco'))[1] as string[]).includes('urn:xmpp:ping'))
    a.client.do('ping', `nobody@${domain}`)
    await a.client.next('iq-error', 'service-unavailable')

    // Bert goes; what Anna says meanwhile waits for him, through a restart.
    await b.client.end()
    await a.client.next('unavailable', b.jid)
    a.client.do('say', bert, 'while you were away')
    a.client.do('ping', domain)
    await a.client.next('pong', domain)
    assert.equal(await journey.demo.restart(), 0)
    await a.client.next('stream-error', 'system-shutdown')
    await a.client.next('disconnected')
    await a.client.end()

    const again = await login('bert', 'starttls', 'phone')
    again.client.do('roster')
    assert.deepEqual((await again.client.next('roster'))[1], { [anna]: ['both', null, ''] })
    again.client.do('online')
    const [, , , , delay] = await again.client.next('message', anna, 'chat', 'while you were away')
    assert.ok(typeof delay === 'string' && Math.abs(Date.parse(delay) - Date.now()) < 60_000, String(delay))

    // Only once.
    await again.client.end()
    const third = await login('bert', 'tls', 'tablet')
    third.client.do('roster')
    await third.client.next('roster')
    third.client.do('online')
    third.client.do('ping', domain)
    await third.client.next('pong', domain)
    assert.deepEqual(
      third.client.rest.filter(([name]) => name === 'message'),
      [],
    )

    // Anna comes back, sees Bert, and ends the friendship.
    const back = await login('anna', 'tls', 'desk')
    back.client.do('roster')
    assert.deepEqual((await back.client.next('roster'))[1], { [bert]: ['both', null, 'Bert'] })
    back.client.do('online')
    await back.client.next('available', third.jid)
    await third.client.next('available', back.jid)
    back.client.do('remove', bert)
    await back.client.next('push', bert, 'remove')
    await back.client.next('removed', bert)
    await third.client.next('unsubscribe', anna)
    await third.client.next('unsubscribed', anna)
    await third.client.next('unavailable', back.jid)
  })

  test('a cut connection is resumed, and the archive has all of it', { skip: needsSlixmpp() }, async () => {
    const { domain } = journey.demo.reach
    const phone = new ChatClient(journey.demo.reach, journey.demo.anna, 'starttls', 'train', 'managed')
    clients.push(phone)
    const [, jid] = await phone.next('started')
    await phone.next('managed')
    phone.do('online')
    const b = await login('bert', 'tls', 'desk')
    b.client.do('online')
    b.client.do('say', String(jid), 'before the tunnel')
    await phone.next('message', journey.demo.bert.address, 'chat', 'before the tunnel')
    phone.do('cut')
    await phone.next('disconnected')
    for (const word of ['one', 'two', 'three']) b.client.do('say', String(jid), word)
    b.client.do('ping', domain)
    await b.client.next('pong', domain)
    phone.do('reconnect')
    await phone.next('resumed')
    for (const word of ['one', 'two', 'three'])
      assert.equal((await phone.next('message', journey.demo.bert.address, 'chat'))[3], word)
    phone.do('say', journey.demo.bert.address, 'back again')
    await b.client.next('message', journey.demo.anna.address, 'chat', 'back again')
    assert.deepEqual(
      phone.rest.filter(([name]) => name === 'message' || name === 'started'),
      [],
      'nothing comes twice',
    )

    for (const [client, other] of [
      [phone, journey.demo.bert.address],
      [b.client, journey.demo.anna.address],
    ] as const) {
      client.do('history', other, '100')
      const [, found] = await client.next('history')
      assert.deepEqual((found as string[][]).slice(-5), [
        [journey.demo.bert.address, 'before the tunnel'],
        [journey.demo.bert.address, 'one'],
        [journey.demo.bert.address, 'two'],
        [journey.demo.bert.address, 'three'],
        [journey.demo.anna.address, 'back again'],
      ])
    }
    await Promise.all([phone.end(), b.client.end()])
  })

  test('a wrong password is refused; the same resource twice ends the first', { skip: needsSlixmpp() }, async () => {
    const stranger = new ChatClient(journey.demo.reach, { ...journey.demo.anna, password: 'wrong' }, 'starttls', 'x')
    clients.push(stranger)
    await stranger.next('refused')
    await stranger.end()

    const first = await login('anna', 'tls', 'same')
    const second = await login('anna', 'starttls', 'same')
    await first.client.next('stream-error', 'conflict')
    second.client.do('ping', journey.demo.reach.domain)
    await second.client.next('pong')
    await Promise.all([first.client.end(), second.client.end()])
  })
})
