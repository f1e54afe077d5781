// Connections that are kept for the next message.

import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { ClientPool, reply, SmtpClient, type PoolOptions } from '../src/index.ts'
import { HandClock } from '../src/testing/index.ts'
import { recordingServer } from './support.ts'

const message = Buffer.from('Subject: x\r\n\r\nhi\r\n')
const envelope = { reversePath: 'anna@example.net', recipients: [{ address: 'ben@example.org' }] }
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function house(options: Parameters<typeof recordingServer>[0] = {}, pool: PoolOptions = {}) {
  const room = recordingServer(options)
  const clock = new HandClock()
  const clients: SmtpClient[] = []
  const open = async (): Promise<SmtpClient> => {
    const [ours, theirs] = duplexPair()
    room.server.accept(ours)
    const client = await SmtpClient.open({ connect: () => theirs, name: 'client.example', clock })
    clients.push(client)
    return client
  }
  const kept = new ClientPool({ clock, ...pool })
  return {
    ...room,
    clock,
    clients,
    pool: kept,
    send: (key = 'mx.example.org', more = {}) =>
      kept.use(key, open, (client) => client.send({ ...envelope, ...more }, message)),
  }
}

test('messages to one destination share a connection, with a RSET between; others have their own', async () => {
  const { send, clients, delivered, pool, server } = house()
  for (let i = 0; i < 3; i++) assert.equal((await send())[0]?.accepted, true)
  await send('mx.example.com')
  assert.equal(clients.length, 2)
  assert.equal(delivered.length, 4)
  assert.equal(pool.idle, 2)
  await pool.close()
  await tick()
  assert.equal(server.sessions, 0)
})

test('a connection ends after its share of messages, and when the server takes no more', async () => {
  const ten = house()
  for (let i = 0; i < 21; i++) await ten.send()
  assert.equal(ten.clients.length, 3)
  const three = house({ limits: { transactions: 3 } })
  for (let i = 0; i < 7; i++) assert.equal((await three.send())[0]?.accepted, true)
  assert.equal(three.clients.length, 3)
  await tick()
  assert.equal(three.server.sessions, 1)
})

test('an idle connection is ended in time', async () => {
  const { send, clock, pool, server } = house()
  await send()
  clock.turn(149_999)
  assert.equal(pool.idle, 1)
  clock.turn(1)
  assert.equal(pool.idle, 0)
  await tick()
  await tick()
  assert.equal(server.sessions, 0)
})

test('no more than five wait for one destination, and some for all', async () => {
  const { send, pool, server } = house({}, { idleInAll: 7 })
  await Promise.all(Array.from({ length: 9 }, () => send()))
  assert.equal(pool.idle, 5)
  await Promise.all(Array.from({ length: 4 }, () => send('elsewhere')))
  assert.equal(pool.idle, 7)
  await tick()
  await tick()
  assert.equal(server.sessions, 7)
})

test('a connection that the server closed, or said farewell on, is not used again', async () => {
  const { send, server, clients, pool } = house()
  await send()
  void server.shutdown()
  for (let i = 0; i < 5; i++) await tick()
  assert.equal(pool.idle, 0)
  assert.equal(clients[0]?.closed, true)
})

test('words that nobody asked for make a connection unusable', async () => {
  const [ours, theirs] = duplexPair()
  let lines = 0
  ours.on('data', (octets: Buffer) => {
    for (const line of octets.toString().split('\r\n').slice(0, -1)) {
      lines++
      if (line === 'DATA') ours.write('354 go\r\n')
      // A second answer to the end of the data, which would be taken for that to RSET.
      else if (line === '.') ours.write('250 ok\r\n250 ok\r\n')
      else if (/^(EHLO|MAIL|RCPT|RSET)/.test(line)) ours.write('250 ok\r\n')
    }
  })
  ours.write('220 hi\r\n')
  const clock = new HandClock()
  const pool = new ClientPool({ clock })
  let opened = 0
  const open = (): Promise<SmtpClient> => {
    opened++
    if (opened > 1) return Promise.reject(new Error('a second connection'))
    return SmtpClient.open({ connect: () => theirs, name: 'me', clock })
  }
  const send = () => pool.use('k', open, (client) => client.send(envelope, message))
  assert.equal((await send())[0]?.accepted, true)
  await tick()
  const before = lines
  await assert.rejects(send(), /a second connection/)
  assert.equal(lines, before)
  assert.equal(pool.idle, 0)
})

test('a server that does not answer the RSET is left after 20 seconds', async () => {
  const { send, clients, clock, server } = house()
  await send()
  const [first] = clients
  assert.ok(first)
  // The server stands still: nothing that is written there is read any more.
  for (const event of ['data', 'readable']) first.socket.removeAllListeners(event)
  first.socket.pause()
  const sent = send()
  await tick()
  clock.turn(20_000)
  assert.equal((await sent)[0]?.accepted, true)
  assert.equal(clients.length, 2)
  assert.equal(first.closed, true)
  server.destroy()
})

test('nothing leaks when MAIL is refused, when a message cannot be sent, or when no connection is made', async () => {
  const { send, pool, clients } = house({
    policy: { mail: ({ reversePath }) => (reversePath === null ? reply(451, '4.7.1', 'Not now') : undefined) },
  })
  for (let i = 0; i < 25; i++) {
    const [result] = await send('k', { reversePath: null })
    assert.deepEqual([result?.accepted, result?.stage], [false, 'mail'])
  }
  assert.equal((await send('k'))[0]?.accepted, true)
  assert.equal(clients.length, 3)
  assert.equal(pool.idle, 1)
  await assert.rejects(send('k', { recipients: [{ address: 'a>b@c' }] }), RangeError)
  assert.equal(pool.idle, 0)
  await assert.rejects(
    pool.use(
      'k',
      () => Promise.reject(new Error('no route')),
      async () => {},
    ),
    /no route/,
  )
  assert.ok(clients.every(({ closed }) => closed))
})

test('a pool that closes takes back no connection', async () => {
  const { send, pool, server } = house()
  const sent = send()
  await pool.close()
  assert.equal((await sent)[0]?.accepted, true)
  await tick()
  await tick()
  assert.deepEqual([pool.idle, server.sessions], [0, 0])
})
