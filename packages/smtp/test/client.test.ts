import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import {
  reply,
  SmtpClient,
  SmtpConnectionError,
  SmtpError,
  type ClientOptions,
  type SmtpServerOptions,
} from '../src/index.ts'
import { HandClock, PeerEnd } from '../src/testing/index.ts'
import { recordingServer } from './support.ts'

const message = Buffer.from('Subject: x\r\n\r\n.hidden\r\n..\r\n.\r\n')
const envelope = {
  reversePath: 'anna@example.net',
  recipients: [{ address: 'ben@example.org' }, { address: 'no@example.org' }, { address: 'cleo@example.org' }],
}
const policy: ReturnType<SmtpServerOptions['handler']> = {
  mail: () => {},
  rcpt: ({ path }) => (path.localPart === 'no' ? reply(550, '5.1.1', 'No such user') : undefined),
  data: () => [reply(250, '2.0.0', 'Delivered'), reply(452, '4.2.2', 'Mailbox full')],
}

async function toOurServer(options: Parameters<typeof recordingServer>[0] = {}, client: Partial<ClientOptions> = {}) {
  const room = recordingServer(options)
  const [ours, theirs] = duplexPair()
  room.server.accept(ours)
  return {
    ...room,
    client: await SmtpClient.open({ connect: () => theirs, name: 'client.example', clock: new HandClock(), ...client }),
  }
}

/** A server by script: what it says after each line that fits. */
function scripted(answers: readonly (readonly [line: RegExp, answer: string])[], greeting = '220 hi\r\n') {
  const [ours, theirs] = duplexPair()
  const peer = new PeerEnd(ours)
  const heard: string[] = []
  let rest = ''
  ours.on('data', (octets: Buffer) => {
    const lines = (rest + octets.toString()).split('\r\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      heard.push(line)
      const answer = answers.find(([pattern]) => pattern.test(line))?.[1]
      if (answer !== undefined) ours.write(answer)
      if (answer?.startsWith('421') === true) {
        ours.end()
        return
      }
    }
  })
  ours.write(greeting)
  return { stream: theirs, heard, peer }
}

for (const [way, chunking] of [
  ['BDAT', true],
  ['DATA', false],
] as const) {
  test(`a message for three by ${way}: each gets its own result`, async () => {
    const { client, delivered } = await toOurServer({ policy: { rcpt: policy.rcpt } }, { chunking })
    const results = await client.send(envelope, message)
    assert.deepEqual(
      results.map(
        ({ address, accepted, stage, reply }) => `${address} ${accepted} ${stage} ${reply.code} ${reply.enhanced}`,
      ),
      [
        'ben@example.org true data 250 2.0.0',
        'no@example.org false rcpt 550 5.1.1',
        'cleo@example.org true data 250 2.0.0',
      ],
    )
    assert.deepEqual(delivered[0]?.bytes, message)
    assert.equal(
      (await client.send({ reversePath: null, recipients: [{ address: 'a@b.c' }] }, message))[0]?.accepted,
      true,
    )
    await client.quit()
  })
}

test('LMTP gives each accepted recipient a reply of its own', async () => {
  const { client } = await toOurServer({ kind: 'lmtp', policy }, { kind: 'lmtp' })
  const results = await client.send(envelope, message)
  assert.deepEqual(
    results.map(({ reply }) => reply.code),
    [250, 550, 452],
  )
  await client.quit()
})

test('when nobody is accepted no message is sent, and the next one still can be', async () => {
  for (const chunking of [true, false]) {
    const { client, delivered } = await toOurServer({ policy: { rcpt: policy.rcpt } }, { chunking })
    const results = await client.send({ reversePath: null, recipients: [{ address: 'no@x.y' }] }, message)
    assert.equal(results[0]?.stage, 'rcpt')
    assert.equal(
      (await client.send({ reversePath: null, recipients: [{ address: 'a@x.y' }] }, message))[0]?.accepted,
      true,
    )
    assert.equal(delivered.length, 1)
  }
})

test('DSN, SIZE, 8BITMIME and SMTPUTF8 are used when offered', async () => {
  const { client, delivered } = await toOurServer()
  await client.send(
    {
      reversePath: 'é@example.net',
      ret: 'HDRS',
      envid: 'id 1',
      recipients: [{ address: 'b@x.y', notify: ['NEVER'], originalRecipient: { type: 'rfc822', address: 'c+d@x.y' } }],
    },
    Buffer.from('\r\né'),
  )
  const sent = delivered[0]?.envelope ?? assert.fail()
  assert.deepEqual(sent.parameters, {
    size: 4,
    body: '8BITMIME',
    smtpUtf8: true,
    requireTls: false,
    ret: 'HDRS',
    envid: 'id 1',
  })
  assert.deepEqual(sent.recipients[0]?.parameters, {
    notify: ['NEVER'],
    originalRecipient: { type: 'rfc822', address: 'c+d@x.y' },
  })
})

test('an old server: HELO, one command at a time, no parameters', async () => {
  const { stream, heard } = scripted([
    [/^EHLO/, '502 what?\r\n'],
    [/^\.$/, '250 queued\r\n'],
    [/^(HELO|MAIL|RCPT)/, '250 ok\r\n'],
    [/^DATA/, '354 go\r\n'],
  ])
  const client = await SmtpClient.open({ connect: () => stream, name: 'me.example', clock: new HandClock() })
  const results = await client.send(
    { reversePath: 'a@b.c', recipients: [{ address: 'd@e.f' }], ret: 'FULL' },
    Buffer.from('a\n.b\n'),
  )
  assert.ok(results[0]?.accepted)
  assert.deepEqual(heard, [
    'EHLO me.example',
    'HELO me.example',
    'MAIL FROM:<a@b.c>',
    'RCPT TO:<d@e.f>',
    'DATA',
    'a',
    '..b',
    '.',
  ])
  const utf8 = await client.send({ reversePath: 'é@b.c', recipients: [{ address: 'd@e.f' }] }, message)
  assert.deepEqual([utf8[0]?.stage, utf8[0]?.reply.enhanced], ['local', '5.6.7'])
})

test('a server that says 421 in the middle has answered for all who wait', async () => {
  const { stream } = scripted([
    [/^EHLO/, '250-x\r\n250 PIPELINING\r\n'],
    [/^MAIL/, '250 ok\r\n'],
    [/^RCPT/, '421 4.3.2 going down\r\n'],
  ])
  const client = await SmtpClient.open({ connect: () => stream, name: 'me', clock: new HandClock() })
  const results = await client.send(envelope, message)
  assert.deepEqual(
    results.map(({ reply }) => reply.code),
    [421, 421, 421],
  )
  assert.equal(client.closed, true)
})

test('silence ends in an error that knows whether the message may have been taken', async () => {
  for (const [quiet, afterData] of [
    [/^RCPT/, false],
    [/^\.$/, true],
  ] as const) {
    const clock = new HandClock()
    const { stream, peer } = scripted([
      [quiet, ''],
      [/^EHLO|^MAIL|^RCPT/, '250 ok\r\n'],
      [/^DATA/, '354 go\r\n'],
    ])
    const client = await SmtpClient.open({ connect: () => stream, name: 'me', clock })
    const sent = client.send(envelope, message)
    await peer.hear(afterData ? /^\.\r\n/m : /^RCPT/m)
    await new Promise((resolve) => setImmediate(resolve))
    clock.turn(600_000)
    await assert.rejects(sent, (error) => error instanceof SmtpConnectionError && error.afterData === afterData)
  }
})

test('a server that speaks something else is left', async () => {
  for (const greeting of [
    'HTTP/1.1 400 Bad Request\r\n',
    'x'.repeat(5000) + '\r\n',
    '220-a\r\n'.repeat(300),
    '220-a\r\n250 b\r\n',
  ]) {
    const open = SmtpClient.open({ connect: () => scripted([], greeting).stream, name: 'me', clock: new HandClock() })
    await assert.rejects(open, SmtpConnectionError)
  }
  const refused = SmtpClient.open({
    connect: () => scripted([], '554 5.7.1 go away\r\n').stream,
    name: 'me',
    clock: new HandClock(),
  })
  await assert.rejects(refused, (error) => error instanceof SmtpError && error.enhanced === '5.7.1')
})

test('words put behind the reply to STARTTLS are not believed', async () => {
  const { stream } = scripted([
    [/^EHLO/, '250-x\r\n250 STARTTLS\r\n'],
    [/^STARTTLS/, '220 go\r\n250 injected\r\n'],
  ])
  const client = await SmtpClient.open({ connect: () => stream, name: 'me', clock: new HandClock() })
  await assert.rejects(
    client.startTls(async (socket) => socket),
    SmtpConnectionError,
  )
})

test('an address cannot bring a command of its own', async () => {
  const { client } = await toOurServer()
  for (const address of ['a@b.c>\r\nRSET', 'a@b.c> NOTIFY=NEVER', 'a\0@b.c', '"a"@b.c> NOTIFY=NEVER']) {
    await assert.rejects(client.send({ reversePath: null, recipients: [{ address }] }, message), RangeError)
  }
})

test('RCPTMAX is kept', async () => {
  const { client } = await toOurServer({ limits: { recipients: 2 } })
  const results = await client.send(envelope, message)
  assert.deepEqual(
    results.map(({ stage, reply }) => `${stage} ${reply.code}`),
    ['data 250', 'data 250', 'local 452'],
  )
})
