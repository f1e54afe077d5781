// Peers that mean no good, or are broken, on both sides of the connection.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { duplexPair } from 'node:stream'
import { SmtpClient, SmtpConnectionError, systemClock } from '../src/index.ts'
import { HandClock, PeerEnd } from '../src/testing/index.ts'
import { recordingServer, transcript } from './support.ts'

const EHLO = 'EHLO client.example\r\n'
const START = EHLO + 'MAIL FROM:<anna@example.net>\r\nRCPT TO:<ben@example.org>\r\n'
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function serve(t: TestContext, meet: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on('error', () => {}))
    meet(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('who says all at once and closes that half of the connection gets every reply', async (t) => {
  const { server, delivered } = recordingServer({ clock: systemClock, policy: { rcpt: tick } })
  const port = await serve(t, (socket) => server.accept(socket))
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.end(`${START}${'RCPT TO:<x@example.org>\r\n'.repeat(50)}DATA\r\nhi\r\n.\r\nNOOP\r\n`)
  let said = ''
  for await (const octets of socket) said += String(octets)
  assert.match(said, /^354 .*\r\n250 2\.0\.0 Message accepted\r\n250 2\.0\.0 Ok\r\n$/m)
  assert.equal(said.match(/^250 2\.1\.5/gm)?.length, 51)
  assert.equal(delivered.length, 1)
  await server.shutdown()
})

test('who closes in the middle of a message has sent none', async (t) => {
  const { server, delivered, events } = recordingServer({ clock: systemClock })
  const port = await serve(t, (socket) => server.accept(socket))
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.end(`${START}DATA\r\nhi\r\n.\r`)
  let said = ''
  for await (const octets of socket) said += String(octets)
  assert.match(said, /^354 .*\r\n$/m)
  await server.shutdown()
  assert.deepEqual([delivered.length, ...events], [0, 'reset', 'close'])
})

test('10,000 recipients: taken, each answered in order, in a moment; one more is too many', async () => {
  const rcpts = Array.from({ length: 10_001 }, (_, i) => `RCPT TO:<user${i}@example.org>\r\n`).join('')
  const octets = Buffer.from(`${EHLO}MAIL FROM:<>\r\n${rcpts}DATA\r\nhi\r\n.\r\nQUIT\r\n`)
  const { connect: open, delivered } = recordingServer({ limits: { recipients: 10_000 } })
  const begun = performance.now()
  const said = await transcript(open(), octets, [])
  assert.ok(performance.now() - begun < 5000)
  assert.equal(delivered[0]?.envelope.recipients.length, 10_000)
  assert.equal(delivered[0].envelope.recipients[9999]?.path.localPart, 'user9999')
  assert.equal(said.match(/^250 2\.1\.5/gm)?.length, 10_000)
  assert.equal(said.match(/^452 4\.5\.3/gm)?.length, 1)
})

test('our client sends to 10,000 recipients over a real connection, and hears of each', async (t) => {
  const { server, delivered } = recordingServer({ clock: systemClock, limits: { recipients: 10_000 } })
  const port = await serve(t, (socket) => server.accept(socket))
  const client = await SmtpClient.open({ connect: () => connect(port, '127.0.0.1'), name: 'me.example' })
  const recipients = Array.from({ length: 10_000 }, (_, i) => ({ address: `user${i}@example.org` }))
  const results = await client.send({ reversePath: null, recipients }, Buffer.from('hi\r\n'))
  assert.ok(results.every(({ accepted }, i) => accepted && results[i]?.address === `user${i}@example.org`))
  assert.equal(delivered[0]?.envelope.recipients.length, 10_000)
  await client.quit()
})

test('a client that never reads is not read either', async () => {
  const { server } = recordingServer({ limits: { idleCommands: 10_000_000 } })
  const [ours, theirs] = duplexPair()
  server.accept(ours)
  const noops = Buffer.from('NOOP\r\n'.repeat(10_000))
  let taken = 0
  for (let i = 0; i < 200; i++) {
    if (theirs.write(noops)) taken++
    await tick()
    if (theirs.writableNeedDrain) break
  }
  // It stands still: some ten KiB are on their way in both directions, not megabytes.
  const before = theirs.writableLength
  for (let i = 0; i < 100; i++) await tick()
  assert.ok(theirs.writableNeedDrain)
  assert.equal(theirs.writableLength, before)
  assert.ok(taken < 20, `${taken} blocks of 60 KiB`)
  theirs.destroy()
  ours.destroy()
})

test('a thousand who send octet by octet hold little, and do not keep the next one waiting', async () => {
  const { server, delivered } = recordingServer()
  const slow: PeerEnd[] = []
  for (let i = 0; i < 1000; i++) {
    const [ours, theirs] = duplexPair()
    server.accept(ours)
    const peer = new PeerEnd(theirs)
    slow.push(peer)
    theirs.write(START + 'DATA\r\nS')
  }
  for (let round = 0; round < 5; round++) {
    for (const { stream } of slow) stream.write('x')
    await tick()
  }
  assert.ok(server.bytesInFlight < 10_000)
  const [ours, theirs] = duplexPair()
  server.accept(ours)
  const begun = performance.now()
  await transcript(new PeerEnd(theirs), Buffer.from(`${START}DATA\r\nhi\r\n.\r\nQUIT\r\n`), [])
  assert.ok(performance.now() - begun < 1000)
  assert.equal(delivered.length, 1)
  for (const { stream } of slow) stream.destroy()
  server.destroy()
})

test('a line without end is thrown away, then the connection with it', async () => {
  const { connect: open, server } = recordingServer()
  const said = await transcript(open(), Buffer.alloc(2_000_000, 65), [])
  assert.match(said, /421 4\.7\.0/)
  assert.equal(server.bytesInFlight, 0)
})

test('empty chunks do not go on for ever', async () => {
  const clock = new HandClock()
  const peer = recordingServer({ clock }).connect()
  await peer.hear()
  await peer.say(START, /^250 2\.1\.5/m)
  for (let i = 0; i < 10; i++) {
    clock.turn(290_000)
    assert.match(await peer.say('BDAT 0\r\n'), /^250/)
  }
  clock.turn(290_000)
  await peer.say('BDAT 0\r\n')
  clock.turn(290_000)
  clock.turn(290_000)
  peer.stream.write('BDAT 0\r\n')
  assert.match(await peer.end(), /^421 4\.4\.2/m)
})

test('each command gives a client its whole time again, and silence has an end', async () => {
  const clock = new HandClock()
  const peer = recordingServer({ clock }).connect()
  await peer.hear()
  for (let i = 0; i < 4; i++) {
    assert.match(await peer.say('NOOP\r\n'), /^250/)
    clock.turn(200_000)
  }
  clock.turn(99_000)
  assert.equal(peer.ended, false)
  clock.turn(1_000)
  assert.match(await peer.end(), /^421 4\.4\.2/m)
})

/** A server that says what a test wants, over a real socket. */
async function scripted(t: TestContext, meet: (socket: Socket, line: string) => void, greeting = '220 hi\r\n') {
  const port = await serve(t, (socket) => {
    let rest = ''
    socket.write(greeting)
    socket.on('data', (octets: Buffer) => {
      const lines = (rest + octets.toString('latin1')).split('\r\n')
      rest = lines.pop() ?? ''
      for (const line of lines) meet(socket, line)
    })
  })
  return SmtpClient.open({ connect: () => connect(port, '127.0.0.1'), name: 'me.example' })
}

const envelope = { reversePath: 'a@b.c', recipients: [{ address: 'd@e.f' }] }

test('an MX that resets the connection after the data may have the message: nobody sends it twice in haste', async (t) => {
  const client = await scripted(t, (socket, line) => {
    if (line === '.') socket.resetAndDestroy()
    else if (line === 'DATA') socket.write('354 go\r\n')
    else if (/^(EHLO|MAIL|RCPT)/.test(line)) socket.write('250 ok\r\n')
  })
  await assert.rejects(
    client.send(envelope, Buffer.from('hi\r\n')),
    (error) => error instanceof SmtpConnectionError && error.afterData,
  )
  assert.equal(client.closed, true)
})

test('an MX that refuses in the middle of the data and goes is heard', async (t) => {
  for (const offer of ['250 x\r\n', '250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n']) {
    let got = 0
    const client = await scripted(t, (socket, line) => {
      if (line.startsWith('EHLO')) socket.write(offer)
      else if (line === 'DATA') socket.write('354 go\r\n')
      else if (/^(MAIL|RCPT)/.test(line)) socket.write('250 ok\r\n')
      else if (++got === 1) socket.write('552 5.3.4 much too much\r\n')
      else if (got === 2000) socket.end()
    })
    const large = {
      size: 20_000_000,
      async *chunks() {
        const block = Buffer.from(('x'.repeat(98) + '\r\n').repeat(1000))
        for (let i = 0; i < 200; i++) {
          yield block
          await tick()
        }
      },
    }
    const results = await client.send(envelope, large)
    assert.deepEqual([results[0]?.accepted, results[0]?.stage, results[0]?.reply.code], [false, 'data', 552])
    assert.equal(client.closed, true)
  }
})
