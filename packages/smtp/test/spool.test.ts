// Messages too large for memory: they go through a spool, piece by piece, and nothing of them stays.

import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { MessageBody } from '../src/index.ts'
import { PeerEnd } from '../src/testing/index.ts'
import { MemorySpool, recordingServer, transcript } from './support.ts'

const START = 'EHLO client.example\r\nMAIL FROM:<anna@example.net>\r\nRCPT TO:<ben@example.org>\r\n'
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A message of lines, some with dots, whose header ends after `fields` fields. */
function lines(count: number, fields = 3): string {
  let text = ''
  for (let i = 0; i < count; i++) {
    if (i === fields) text += '\r\n'
    text +=
      i < fields
        ? `X-Field-${i}: ${'y'.repeat(60)}\r\n`
        : `${i % 7 === 0 ? '.' : ''}line ${i} ${'z'.repeat(i % 80)}\r\n`
  }
  return text
}

const stuffed = (text: string): string => text.replace(/(^|\r\n)\./g, '$1..')

test('a large message arrives octet for octet by DATA and by BDAT, however it is cut, and leaves no file', async () => {
  const message = lines(400)
  const wires = [
    `${START}DATA\r\n${stuffed(message)}.\r\nQUIT\r\n`,
    `${START}BDAT 5000\r\n${message.slice(0, 5000)}BDAT ${message.length - 5000} LAST\r\n${message.slice(5000)}QUIT\r\n`,
  ]
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...wires), fc.array(fc.nat(20_000), { maxLength: 6 }), async (wire, at) => {
      const spool = new MemorySpool()
      const { connect, delivered, server } = recordingServer({ spool, limits: { messageInMemory: 2000 } })
      // One cut is always behind the threshold: what comes in one read with its end is in memory anyway.
      const cuts = [...at, 6000].sort((a, b) => a - b)
      const said = await transcript(connect(), Buffer.from(wire), cuts)
      assert.match(said, /^250 2\.0\.0 Message accepted\r\n221/m)
      assert.equal(delivered[0]?.bytes.toString('latin1'), message)
      assert.equal(delivered[0].header, message.slice(0, message.indexOf('\r\n\r\n') + 4))
      assert.equal(spool.written, message.length)
      assert.deepEqual([spool.files, server.bytesInFlight], [0, 0])
    }),
    { numRuns: 60 },
  )
})

test('a small message never meets the spool, and is there whole', async () => {
  const spool = new MemorySpool()
  let bytes: MessageBody['bytes']
  const { connect } = recordingServer({ spool, policy: { data: (_, body) => void (bytes = body.bytes) } })
  await transcript(connect(), Buffer.from(`${START}DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n`), [])
  assert.equal(Buffer.from(bytes ?? []).toString(), 'Subject: x\r\n\r\nhi\r\n')
  assert.equal(spool.written, 0)
})

test('a message of 40 MB holds some hundred KiB of memory', async () => {
  const spool = new MemorySpool()
  const { server, delivered } = recordingServer({ spool, policy: { data: () => {} } })
  const [ours, theirs] = duplexPair()
  const peer = new PeerEnd(theirs)
  server.accept(ours)
  await peer.hear()
  await peer.say(START + 'DATA\r\n', /^354/m)
  const block = Buffer.from(('x'.repeat(998) + '\r\n').repeat(64))
  let most = 0
  theirs.write('Subject: large\r\n\r\n')
  for (let i = 0; i < 625; i++) {
    if (!theirs.write(block)) await new Promise((resolve) => theirs.once('drain', resolve))
    most = Math.max(most, server.bytesInFlight)
  }
  assert.match(await peer.say('.\r\n'), /^250/)
  assert.ok(most < 500_000, `${most} octets`)
  assert.ok(spool.written > 40_000_000)
  assert.deepEqual([spool.files, server.bytesInFlight, delivered.length], [0, 0, 0])
  theirs.destroy()
})

test('a spool without room: 452 at the end of the message, and the session goes on', async () => {
  for (const wire of [`DATA\r\n${stuffed(lines(400))}.\r\n`, `BDAT ${lines(400).length} LAST\r\n${lines(400)}`]) {
    const spool = new MemorySpool()
    spool.room = 5000
    const { connect, delivered, errors, events } = recordingServer({ spool, limits: { messageInMemory: 2000 } })
    const said = await transcript(connect(), Buffer.from(`${START}${wire}NOOP\r\nQUIT\r\n`), [6000, 12_000])
    assert.match(said, /^452 4\.3\.1 Insufficient storage.*\r\n250 2\.0\.0 Ok\r\n221/m)
    assert.deepEqual([delivered.length, spool.files], [0, 0])
    assert.match(String(errors[0]), /no room/)
    assert.deepEqual(events, ['reset', 'close'])
  }
})

test('a connection that is lost within a large message takes its file along', async () => {
  const spool = new MemorySpool()
  const { server, events } = recordingServer({ spool, limits: { messageInMemory: 2000 } })
  const [ours, theirs] = duplexPair()
  const peer = new PeerEnd(theirs)
  server.accept(ours)
  await peer.hear()
  await peer.say(START + 'DATA\r\n', /^354/m)
  theirs.write('A: b\r\n\r\n' + 'x\r\n'.repeat(60_000))
  for (let i = 0; i < 40 && spool.written === 0; i++) await tick()
  assert.equal(spool.files, 1)
  theirs.destroy()
  ours.destroy()
  for (let i = 0; i < 40 && spool.files > 0; i++) await tick()
  assert.deepEqual([spool.files, server.bytesInFlight], [0, 0])
  for (let i = 0; i < 10; i++) await tick()
  assert.deepEqual(events, ['reset', 'close'])
})

test('a fault at the end of a large message refuses it, and its file is gone', async () => {
  for (const [end, code] of [
    ['a\rb\r\n', '550 5\\.6\\.11'],
    ['\0\r\n', '550 5\\.6\\.0'],
    ['x'.repeat(2000) + '\r\n', '554 5\\.6\\.0'],
  ] as const) {
    const spool = new MemorySpool()
    const { connect, delivered } = recordingServer({ spool, limits: { messageInMemory: 2000, textLine: 1000 } })
    const octets = Buffer.from(`${START}DATA\r\n${stuffed(lines(300))}${end}.\r\nQUIT\r\n`)
    const said = await transcript(connect(), octets, [6000])
    assert.match(said, new RegExp(`^${code}`, 'm'))
    assert.deepEqual([delivered.length, spool.files], [0, 0])
  }
})

test('the body is over when data has answered, or was disposed of', async () => {
  const spool = new MemorySpool()
  let kept: MessageBody | undefined
  const { connect } = recordingServer({
    spool,
    limits: { messageInMemory: 100 },
    policy: {
      data: async (_, body) => {
        kept = body
        await body.dispose()
        assert.equal(spool.files, 0)
      },
    },
  })
  const said = await transcript(connect(), Buffer.from(`${START}DATA\r\n${stuffed(lines(100))}.\r\nQUIT\r\n`), [1000])
  assert.match(said, /^250 2\.0\.0 Message/m)
  await assert.rejects(async () => {
    for await (const piece of kept?.chunks() ?? []) assert.fail(String(piece))
  }, /gone/)
})

test('header bombs: many fields, one long field, no end; with and without a spool', async () => {
  const limits = { headerSize: 20_000, messageInMemory: 5000 }
  const bombs = ['X: y\r\n'.repeat(4000), `X: ${'y'.repeat(30_000)}\r\n`, `X: y\r\n${' z\r\n'.repeat(6000)}`]
  for (const spool of [undefined, new MemorySpool()]) {
    const options = { limits, ...(spool === undefined ? {} : { spool }) }
    for (const bomb of bombs) {
      for (const text of [bomb, `${bomb}\r\nbody\r\n`]) {
        const { connect, delivered } = recordingServer(options)
        const said = await transcript(connect(), Buffer.from(`${START}DATA\r\n${text}.\r\nQUIT\r\n`), [8000, 19_000])
        assert.match(said, /^552 5\.3\.4 The header/m)
        assert.equal(delivered.length, 0)
      }
    }
    const fits = recordingServer(options)
    const text = 'X: y\r\n'.repeat(3000) + '\r\n' + 'body\r\n'.repeat(5000)
    await transcript(fits.connect(), Buffer.from(`${START}DATA\r\n${text}.\r\nQUIT\r\n`), [8000, 19_000])
    assert.equal(fits.delivered[0]?.header.length, 18_002)
    assert.equal(fits.delivered[0].bytes.length, text.length)
    assert.equal(spool?.files ?? 0, 0)
  }
})
