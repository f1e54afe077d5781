// What the client makes of a message for the server at hand: streamed, in chunks, in seven bits, in ASCII, or not at all.

import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import {
  reply,
  SmtpClient,
  SmtpConnectionError,
  type MessageSource,
  type OutgoingEnvelope,
  type SmtpServerOptions,
} from '../src/index.ts'
import { HandClock } from '../src/testing/index.ts'
import { MemorySpool, recordingServer } from './support.ts'

const to = (...addresses: string[]) => addresses.map((address) => ({ address }))
const envelope: OutgoingEnvelope = { reversePath: 'anna@example.net', recipients: to('ben@example.org') }

/** A message that is never there whole. */
function pieces(text: string | Buffer, size: number): MessageSource & { reads: number } {
  const octets = Buffer.from(text)
  const source = {
    size: octets.length,
    reads: 0,
    async *chunks(from = 0) {
      source.reads++
      for (let at = from; at < octets.length; at += size) {
        await new Promise<void>((resolve) => setImmediate(resolve))
        yield octets.subarray(at, at + size)
      }
    },
  }
  return source
}

async function toOurServer(
  options: Partial<SmtpServerOptions> & Parameters<typeof recordingServer>[0] = {},
  chunking = true,
) {
  const room = recordingServer(options)
  const [ours, theirs] = duplexPair()
  room.server.accept(ours)
  const client = await SmtpClient.open({
    connect: () => theirs,
    name: 'client.example',
    clock: new HandClock(),
    chunking,
  })
  return { ...room, client }
}

/** A server that offers `words`, takes all, and remembers the lines. */
async function server(words: readonly string[], answers: readonly (readonly [RegExp, string])[] = []) {
  const [ours, theirs] = duplexPair()
  const heard: string[] = []
  let message = ''
  let rest = ''
  let inData = false
  const offer = ['x', ...words].map((word, i) => `250${i < words.length ? '-' : ' '}${word}\r\n`).join('')
  ours.on('data', (octets: Buffer) => {
    const lines = (rest + octets.toString('latin1')).split('\r\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const data = inData && line !== '.'
      if (data) message += line + '\r\n'
      else heard.push(line)
      if (data) continue
      inData = line === 'DATA'
      const own = answers.find(([pattern]) => pattern.test(line))?.[1]
      ours.write(own ?? (line.startsWith('EHLO') ? offer : inData ? '354 go\r\n' : '250 ok\r\n'))
    }
  })
  ours.write('220 hi\r\n')
  const client = await SmtpClient.open({ connect: () => theirs, name: 'me.example', clock: new HandClock() })
  return { client, heard, message: () => message }
}

for (const chunking of [true, false]) {
  const way = chunking ? 'BDAT' : 'DATA'

  test(`a large message streams by ${way}, its dots and lines mended on the way`, async () => {
    const text = '.a\n..b\r\n.\r\nc\rd'.repeat(60_000)
    const source = pieces(text, 70_001)
    const { client, delivered } = await toOurServer({ spool: new MemorySpool() }, chunking)
    const [result] = await client.send(envelope, source)
    assert.equal(result?.accepted, true)
    assert.equal(source.reads, 1)
    const expected = text.replace(/\r\n|\r|\n/g, '\r\n') + '\r\n'
    assert.ok(delivered[0]?.bytes.equals(Buffer.from(expected)))
    // The same octets at once give the same message.
    await client.send(envelope, Buffer.from(text))
    assert.ok(delivered[1]?.bytes.equals(Buffer.from(expected)))
    await client.quit()
  })

  test(`a message that breaks off by ${way} is sent to nobody`, async () => {
    const { client, delivered, events } = await toOurServer({}, chunking)
    const broken: MessageSource = {
      size: 1_000_000,
      async *chunks() {
        yield Buffer.alloc(300_000, 65)
        yield Buffer.alloc(300_000, 65)
        throw new Error('the disk is gone')
      },
    }
    await assert.rejects(client.send(envelope, broken), /the disk is gone/)
    assert.equal(client.closed, true)
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([delivered.length, ...events], [0, 'reset', 'close'])
  })
}

test('chunks go ahead of their answers; one that is refused ends the message for all', async () => {
  const { client, delivered } = await toOurServer({ limits: { messageSize: 1_000_000 } })
  // What SIZE would have told at once, were it not for a source that does not know its size.
  const results = await client.send(
    { ...envelope, recipients: to('ben@example.org', 'cleo@example.org') },
    { ...pieces('x'.repeat(99).concat('\n').repeat(20_000), 100_000), size: 0 },
  )
  assert.deepEqual(
    results.map(({ accepted, stage, reply: { code } }) => `${accepted} ${stage} ${code}`),
    ['false data 552', 'false data 552'],
  )
  assert.equal(client.closed, true)
  assert.equal(delivered.length, 0)
})

test('a binary message goes as it is where BINARYMIME is offered, in base64 where not', async () => {
  const binary =
    'MIME-Version: 1.0\r\nContent-Type: application/x-thing\r\nContent-Transfer-Encoding: binary\r\n\r\n\0a\nb\r\xff'
  const octets = Buffer.from(binary, 'latin1')
  const able = await toOurServer()
  await able.client.send({ ...envelope, body: 'BINARYMIME' }, octets)
  assert.equal(able.delivered[0]?.bytes.toString('latin1'), binary)
  assert.equal(able.delivered[0].envelope.parameters.body, 'BINARYMIME')
  const unable = await toOurServer({ extensions: { binaryMime: false } })
  await unable.client.send({ ...envelope, body: 'BINARYMIME' }, pieces(octets, 10))
  const got = unable.delivered[0]?.bytes.toString('latin1') ?? ''
  assert.match(got, /^Content-Transfer-Encoding: base64\r\n\r\nAGEKYg3\/\r\n$/m)
})

test('a binary message of any size is put into base64 as it is sent, and only where it says that it is binary', async () => {
  const body = Buffer.alloc(
    6_000_000,
    Uint8Array.from({ length: 253 }, (_, i) => i),
  )
  const octets = Buffer.concat([Buffer.from('MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\n'), body])
  const { client, delivered } = await toOurServer({ extensions: { binaryMime: false }, spool: new MemorySpool() })
  const [result] = await client.send({ ...envelope, body: 'BINARYMIME' }, pieces(octets, 65_536))
  assert.equal(result?.accepted, true)
  const text = delivered[0]?.bytes ?? assert.fail()
  assert.equal(delivered[0]?.envelope.parameters.size, text.length)
  assert.deepEqual(Buffer.from(text.subarray(text.indexOf('\r\n\r\n')).toString('latin1'), 'base64'), body)
  // NUL in a part of text is put into base64 with all of it.
  const odd = Buffer.from('MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\na\0b\r\n')
  await client.send({ ...envelope, body: 'BINARYMIME' }, odd)
  assert.match(delivered[1]?.bytes.toString() ?? '', /Encoding: base64\r\n\r\nYQBiDQo=\r\n$/)
})

const eightBit = Buffer.from(
  'MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngrüße\r\n',
)

test('without 8BITMIME a message is put into seven bits, or refused when it is signed', async () => {
  for (const message of [eightBit, pieces(eightBit, 7)]) {
    const { client, heard, message: got } = await server([])
    assert.equal((await client.send(envelope, message))[0]?.accepted, true)
    assert.ok(heard.includes('MAIL FROM:<anna@example.net>'))
    assert.match(got(), /^Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=C3=9Fe\r\n$/m)
  }
  const signed = Buffer.from(
    `MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n${String(eightBit)}\r\n--b--\r\n`,
  )
  const { client, heard } = await server([])
  const [result] = await client.send(envelope, signed)
  assert.deepEqual([result?.stage, result?.reply.code, result?.reply.enhanced], ['local', 554, '5.6.3'])
  assert.deepEqual(heard, ['EHLO me.example'])
  const able = await server(['8BITMIME'])
  assert.equal((await able.client.send(envelope, signed))[0]?.accepted, true)
  assert.ok(able.heard.includes('MAIL FROM:<anna@example.net> BODY=8BITMIME'))
})

test('seven bits are seen without reading a message twice, unless the server cannot take eight', async () => {
  const plain = pieces('hello\r\n', 3)
  await (await server(['8BITMIME'])).client.send(envelope, plain)
  assert.equal(plain.reads, 1)
  await (await server([])).client.send(envelope, plain)
  assert.equal(plain.reads, 3)
})

test('without SMTPUTF8 a domain becomes ASCII; a local part or a header cannot', async () => {
  const { client, heard } = await server(['PIPELINING'])
  const results = await client.send(
    {
      reversePath: 'anna@bücher.example',
      recipients: to('ben@bücher.example', 'änne@example.org', 'cleo@example.org'),
    },
    Buffer.from('hi\r\n'),
  )
  assert.deepEqual(
    results.map(
      ({ address, accepted, reply: { code, enhanced } }) => `${address} ${accepted} ${code} ${enhanced ?? ''}`,
    ),
    ['ben@bücher.example true 250 ', 'änne@example.org false 550 5.6.7', 'cleo@example.org true 250 '],
  )
  assert.deepEqual(heard.slice(1, 4), [
    'MAIL FROM:<anna@xn--bcher-kva.example>',
    'RCPT TO:<ben@xn--bcher-kva.example>',
    'RCPT TO:<cleo@example.org>',
  ])
  const header = await client.send({ ...envelope, smtpUtf8: true }, pieces('Subject: grüße\r\n\r\nhi\r\n', 5))
  assert.deepEqual([header[0]?.stage, header[0]?.reply.enhanced], ['local', '5.6.7'])
  const body = await client.send({ ...envelope, smtpUtf8: true }, pieces('Subject: hi\r\n\r\nhi\r\n', 5))
  assert.equal(body[0]?.accepted, true)
  const sender = await client.send({ ...envelope, reversePath: 'änne@example.net' }, Buffer.from('hi\r\n'))
  assert.equal(sender[0]?.reply.enhanced, '5.6.7')
})

test('what is offered is used: AUTH=, BY=, MT-PRIORITY=, HOLDUNTIL=', async () => {
  const full: OutgoingEnvelope = {
    ...envelope,
    auth: 'anna+x@example.net',
    deliverBy: { seconds: 90.7, late: 'return', trace: true },
    priority: 4,
    holdUntil: new Date('2026-01-05T12:00:00.900Z'),
  }
  const able = await server(['AUTH PLAIN', 'DELIVERBY 60', 'MT-PRIORITY', 'FUTURERELEASE 3600 2026-01-05T12:00:00Z'])
  await able.client.send(full, Buffer.from('hi\r\n'))
  assert.equal(
    able.heard[1],
    'MAIL FROM:<anna@example.net> AUTH=anna+2Bx@example.net BY=90;RT MT-PRIORITY=4 HOLDUNTIL=2026-01-05T12:00:00Z',
  )
  const unable = await server([])
  await unable.client.send(
    { ...envelope, auth: '<>', priority: 4, deliverBy: { seconds: 9, late: 'notify', trace: false } },
    Buffer.from('hi\r\n'),
  )
  assert.equal(unable.heard[1], 'MAIL FROM:<anna@example.net>')
})

test('what the sender insists on is not sent to servers that do not do it', async () => {
  const cases: readonly (readonly [Partial<OutgoingEnvelope>, string, readonly string[]])[] = [
    [{ requireTls: true }, '5.7.30', []],
    [{ deliverBy: { seconds: 60, late: 'return', trace: false } }, '5.3.3', []],
    [{ deliverBy: { seconds: 60, late: 'return', trace: false } }, '5.4.7', ['DELIVERBY 61']],
    [{ deliverBy: { seconds: 0, late: 'return', trace: false } }, '5.4.7', ['DELIVERBY']],
    [{ holdUntil: new Date() }, '5.3.3', []],
    [{}, '5.3.4', ['SIZE 2']],
  ]
  for (const [wish, enhanced, words] of cases) {
    const { client, heard } = await server(words)
    const [result] = await client.send({ ...envelope, ...wish }, Buffer.from('hi\r\n'))
    assert.deepEqual(
      [result?.stage, result?.reply.enhanced, heard.length],
      ['local', enhanced, 1],
      JSON.stringify(wish),
    )
  }
})

test('RCPTDOMAINMAX is kept: the rest is for later', async () => {
  const { client, heard } = await server(['LIMITS RCPTMAX=3 RCPTDOMAINMAX=1'])
  const results = await client.send(
    { reversePath: null, recipients: to('a@x.example', 'b@y.example', 'c@X.example', 'd@x.example', 'e@x.example') },
    Buffer.from('hi\r\n'),
  )
  assert.deepEqual(
    results.map(({ reply: { code } }) => code),
    [250, 452, 250, 250, 452],
  )
  assert.equal(heard.filter((line) => line.startsWith('RCPT')).length, 3)
})

test('a refused chunk does not hide a refused recipient', async () => {
  const { client } = await toOurServer({
    limits: { messageSize: 100_000 },
    policy: { rcpt: ({ path }) => (path.localPart === 'no' ? reply(550, '5.1.1', 'No such user') : undefined) },
  })
  const results = await client.send(
    { reversePath: null, recipients: to('no@x.example', 'yes@x.example') },
    { ...pieces('x\n'.repeat(500_000), 50_000), size: 0 },
  )
  assert.deepEqual(
    results.map(({ stage, reply: { code } }) => `${stage} ${code}`),
    ['rcpt 550', 'data 552'],
  )
})

test('each step has its own patience', async () => {
  const minutes = 60_000
  for (const [silent, patience] of [
    [/^MAIL/, 5],
    [/^RCPT/, 5],
    [/^DATA/, 2],
    [/^\.$/, 10],
  ] as const) {
    const clock = new HandClock()
    const [ours, theirs] = duplexPair()
    let rest = ''
    let asked = (): void => {}
    const quiet = new Promise<void>((resolve) => (asked = resolve))
    ours.on('data', (octets: Buffer) => {
      const lines = (rest + octets.toString()).split('\r\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (silent.test(line)) asked()
        else if (line === 'DATA') ours.write('354 go\r\n')
        else if (/^(EHLO|MAIL|RCPT)/.test(line)) ours.write('250 ok\r\n')
      }
    })
    ours.write('220 hi\r\n')
    const client = await SmtpClient.open({ connect: () => theirs, name: 'me', clock })
    let over = false
    const sent = client.send(envelope, Buffer.from('hi\r\n')).finally(() => (over = true))
    const outcome = assert.rejects(
      sent,
      (error) => error instanceof SmtpConnectionError && error.afterData === (patience === 10),
    )
    await quiet
    await new Promise((resolve) => setImmediate(resolve))
    clock.turn(patience * minutes - 1)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(over, false, String(silent))
    clock.turn(1)
    await outcome
  }
})
