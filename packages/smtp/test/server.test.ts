import assert from 'node:assert/strict'
import { test } from 'node:test'
import { duplexPair } from 'node:stream'
import * as fc from 'fast-check'
import { reply, SmtpError } from '../src/index.ts'
import { HandClock, PeerEnd } from '../src/testing/index.ts'
import { recordingServer, transcript } from './support.ts'

const EHLO = 'EHLO client.example\r\n'
const MAIL = 'MAIL FROM:<anna@example.net>\r\n'
const RCPT = 'RCPT TO:<ben@example.org>\r\n'

/** The codes of all replies in a text, in order: `250 2.1.0`. */
const codes = (text: string): string[] =>
  [...text.matchAll(/^(\d{3})(?: (\d\.\d+\.\d+))?[ \r].*$/gm)].map(([, code, enhanced]) =>
    enhanced ? `${code} ${enhanced}` : `${code}`,
  )

async function talk(octets: string | Buffer, options: Parameters<typeof recordingServer>[0] = {}, secure = false) {
  const room = recordingServer(options)
  const peer = room.connect({ secure })
  const said = await transcript(peer, Buffer.from(octets), [])
  return { ...room, said, codes: codes(said), peer }
}

test('a session from greeting to QUIT', async () => {
  const { said } = await talk(EHLO + 'QUIT\r\n')
  assert.equal(
    said,
    '220 mx.example.org ESMTP ready\r\n250-mx.example.org\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n' +
      '250-CHUNKING\r\n250-BINARYMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-SIZE 52428800\r\n250-LIMITS RCPTMAX=1000 MAILMAX=1000\r\n' +
      '250 HELP\r\n221 2.0.0 Bye\r\n',
  )
})

test('a message arrives octet for octet, its dots taken off', async () => {
  const { delivered, codes, events } = await talk(
    EHLO + MAIL + RCPT + 'DATA\r\n..\r\n...x\r\na.b\r\n..\xff\r\n.\r\nQUIT\r\n'.replace('\xff', 'é'),
  )
  assert.deepEqual(codes, ['220', '250', '250 2.1.0', '250 2.1.5', '354', '250 2.0.0', '221 2.0.0'])
  assert.equal(delivered[0]?.bytes.toString(), '.\r\n..x\r\na.b\r\n.é\r\n')
  assert.equal(delivered[0]?.envelope.reversePath?.address, 'anna@example.net')
  assert.deepEqual(events, ['close'])
})

test('an empty message is a message', async () => {
  const { delivered } = await talk(EHLO + MAIL + RCPT + 'DATA\r\n.\r\nQUIT\r\n')
  assert.equal(delivered[0]?.bytes.length, 0)
})

test('pipelined commands are answered in one write', async () => {
  const { connect } = recordingServer()
  const peer = connect()
  await peer.hear()
  await peer.say(EHLO)
  peer.writes = 0
  await peer.say(MAIL + RCPT + RCPT + 'DATA\r\n', /354.*\r\n/)
  assert.equal(peer.writes, 1)
  await peer.say('hi\r\n.\r\n')
  peer.writes = 0
  assert.deepEqual(codes(await peer.say('RSET\r\nNOOP\r\nVRFY ben\r\nHELP\r\nQUIT\r\n', /221.*\r\n/)), [
    '250 2.0.0',
    '250 2.0.0',
    '252 2.0.0',
    '214 2.0.0',
    '221 2.0.0',
  ])
  assert.equal(peer.writes, 1)
})

const sequences: readonly (readonly [name: string, octets: string, codes: readonly string[]])[] = [
  ['MAIL before EHLO', MAIL, ['503 5.5.1']],
  ['RCPT before MAIL', EHLO + RCPT, ['250', '503 5.5.1']],
  ['DATA before RCPT', EHLO + MAIL + 'DATA\r\n', ['250', '250 2.1.0', '503 5.5.1']],
  ['MAIL twice', EHLO + MAIL + MAIL, ['250', '250 2.1.0', '503 5.5.1']],
  ['EHLO resets', EHLO + MAIL + EHLO + RCPT, ['250', '250 2.1.0', '250', '503 5.5.1']],
  ['RSET resets', EHLO + MAIL + 'RSET\r\n' + RCPT, ['250', '250 2.1.0', '250 2.0.0', '503 5.5.1']],
  ['EHLO without a name', 'EHLO\r\n', ['501 5.5.4']],
  ['LHLO on SMTP', 'LHLO a\r\n', ['500 5.5.1']],
  ['an unknown command', 'FOO\r\n', ['500 5.5.2']],
  ['an empty line', '\r\n', ['500 5.5.2']],
  ['EXPN', EHLO + 'EXPN list\r\n', ['250', '502 5.5.1']],
  ['NUL in a command', 'NOOP \0\r\n', ['500 5.5.2']],
  ['a bare CR in a command', 'NOOP a\rQUIT\r\n', ['500 5.5.2']],
  ['8 bit in a command', 'NOOP é\r\n', ['500 5.5.2']],
  ['a line too long', 'NOOP ' + 'a'.repeat(3000) + '\r\nNOOP\r\n', ['500 5.5.2', '250 2.0.0']],
  ['a line just short enough', 'NOOP ' + 'a'.repeat(2041) + '\r\n', ['250 2.0.0']],
  ['a bad sender', EHLO + 'MAIL FROM:anna\r\n', ['250', '501 5.1.7']],
  ['a bad recipient', EHLO + MAIL + 'RCPT TO:<a@@b>\r\n', ['250', '250 2.1.0', '501 5.1.3']],
  ['an unknown parameter', EHLO + 'MAIL FROM:<> FOO=1\r\n', ['250', '555 5.5.4']],
  ['a UTF-8 sender without SMTPUTF8', EHLO + 'MAIL FROM:<é@b.c>\r\n', ['250', '550 5.6.7']],
  ['a UTF-8 recipient without SMTPUTF8', EHLO + MAIL + 'RCPT TO:<é@b.c>\r\n', ['250', '250 2.1.0', '553 5.6.7']],
  [
    'UTF-8 with SMTPUTF8',
    EHLO + 'MAIL FROM:<é@b.c> SMTPUTF8\r\nRCPT TO:<é@b.c>\r\n',
    ['250', '250 2.1.0', '250 2.1.5'],
  ],
  ['a size too big', EHLO + 'MAIL FROM:<> SIZE=999999999\r\n', ['250', '552 5.3.4']],
  ['REQUIRETLS without TLS', EHLO + 'MAIL FROM:<> REQUIRETLS\r\n', ['250', '555 5.5.4']],
  ['STARTTLS where there is none', EHLO + 'STARTTLS\r\n', ['250', '502 5.5.1']],
  ['AUTH where there is none', EHLO + 'AUTH PLAIN\r\n', ['250', '502 5.5.1']],
  [
    'DATA for a BINARYMIME message',
    EHLO + 'MAIL FROM:<> BODY=BINARYMIME\r\n' + RCPT + 'DATA\r\n',
    ['250', '250 2.1.0', '250 2.1.5', '503 5.5.1'],
  ],
  [
    'DATA behind BDAT',
    EHLO + MAIL + RCPT + 'BDAT 1\r\naDATA\r\n',
    ['250', '250 2.1.0', '250 2.1.5', '250 2.0.0', '503 5.5.1'],
  ],
  ['BDAT without a transaction', EHLO + 'BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n', ['250', '503 5.5.1', '250 2.0.0']],
]

for (const [name, octets, expected] of sequences) {
  test(`${name}: ${expected.at(-1)}`, async () => {
    const { codes } = await talk(octets + 'QUIT\r\n')
    assert.deepEqual(codes, ['220', ...expected, '221 2.0.0'])
  })
}

test('every transcript split at every place gives the same replies and the same message', async () => {
  const message = 'Subject: x\r\n\r\n..dot\r\n.\r\r\n.\n\r\n..\r\n.\r\n'
  const octets = Buffer.from(
    'EHLO a\r\nFOO\r\nMAIL FROM:<é@b.c> SMTPUTF8\r\nRCPT TO:<d@e.f>\r\nDATA\r\n' +
      message +
      'MAIL FROM:<>\r\nRCPT TO:<d@e.f>\r\nBDAT 8\r\n.\r\nQUIT\r' +
      '\n' +
      'BDAT 4 LAST\r\nQ\r\n\r\nRSET\r\n' +
      'MAIL FROM:<>\r\nRCPT TO:<d@e.f>\r\nDATA\r\na\r\n..\r\n.\r\nQUIT\r\n',
  )
  const options = { bareLineEndings: 'normalise' as const }
  const run = async (cuts: readonly number[]): Promise<unknown> => {
    const { connect, delivered } = recordingServer(options)
    const said = await transcript(connect(), octets, cuts)
    return { said, delivered: delivered.map(({ bytes }) => bytes.toString('latin1')) }
  }
  const whole = await run([])
  for (let cut = 1; cut < octets.length; cut++) assert.deepEqual(await run([cut]), whole, `cut at ${cut}`)
  assert.deepEqual(await run([...octets.keys()]), whole, 'octet by octet')
})

const smuggled = 'MAIL FROM:<evil@x.y>\r\nRCPT TO:<c@d.e>\r\nDATA\r\nsmuggled'
for (const end of [
  '\n.\n',
  '\n.\r\n',
  '\r\n.\n',
  '\r.\r',
  '\r\n.\r',
  '\r.\r\n',
  '\n.\r',
  '\r\n\0.\r\n',
  '\r\n.\0\r\n',
  '\r\r\n.\r\r\n',
  '\n\r\n.\n',
]) {
  for (const bareLineEndings of ['reject', 'normalise'] as const) {
    test(`${JSON.stringify(end)} ends no message (${bareLineEndings})`, async () => {
      const { codes, delivered } = await talk(EHLO + MAIL + RCPT + `DATA\r\nhello${end}${smuggled}\r\n.\r\nQUIT\r\n`, {
        bareLineEndings,
      })
      assert.ok(delivered.length <= 1)
      assert.ok(!delivered.some(({ envelope }) => envelope.reversePath?.domain === 'x.y'))
      // A NUL is refused in itself; the line ends around it are as they should be.
      const answer = end.includes('\0') ? '550 5.6.0' : bareLineEndings === 'reject' ? '550 5.6.11' : '250 2.0.0'
      assert.deepEqual(codes.slice(4), ['354', answer, '221 2.0.0'])
      for (const { bytes } of delivered) assert.doesNotMatch(bytes.toString('latin1'), /\r(?!\n)|(?<!\r)\n/)
    })
  }
}

test('BDAT carries chunks and lone dots', async () => {
  const { delivered, codes } = await talk(
    EHLO + 'MAIL FROM:<>\r\n' + RCPT + 'BDAT 5\r\n.\r\n.\rBDAT 3\r\n\n.\rBDAT 1 LAST\r\n\nQUIT\r\n',
  )
  assert.deepEqual(codes.slice(2), ['250 2.1.0', '250 2.1.5', '250 2.0.0', '250 2.0.0', '250 2.0.0', '221 2.0.0'])
  assert.equal(delivered[0]?.bytes.toString('latin1'), '.\r\n.\r\n.\r\n')
})

/** A session that sends one binary message, in chunks of `chunk` octets. */
const binary = (message: string, chunk = 7): Buffer => {
  const octets = Buffer.from(message, 'latin1')
  const pieces: Buffer[] = [Buffer.from(EHLO + 'MAIL FROM:<> BODY=BINARYMIME\r\n' + RCPT)]
  for (let at = 0; at < octets.length; at += chunk)
    pieces.push(
      Buffer.from(`BDAT ${Math.min(chunk, octets.length - at)}${at + chunk >= octets.length ? ' LAST' : ''}\r\n`),
      octets.subarray(at, at + chunk),
    )
  return Buffer.concat([...pieces, Buffer.from('QUIT\r\n')])
}

const MIXED = 'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n'

test('BINARYMIME carries any octets in a part that says it is binary', async () => {
  const message = `${MIXED}Content-Transfer-Encoding: binary\r\n\r\n\0\r\r\n.\r\n\n.\n\xff\r\n--b--\r\n`
  const { delivered, codes } = await talk(binary(message))
  assert.equal(codes.at(-2), '250 2.0.0')
  assert.equal(delivered[0]?.bytes.toString('latin1'), message)
  assert.equal(delivered[0].envelope.parameters.body, 'BINARYMIME')
})

test('around the binary parts a binary message is text like any other', async () => {
  for (const [message, answer] of [
    ['Subject: x\r\nEvil: \nFrom: b@c.example\r\n\r\nhello\r\n', '550 5.6.11'],
    ['Subject: x\r\n\r\nhel\0lo\r\n', '550 5.6.0'],
    [`${MIXED}Content-Transfer-Encoding: 8bit\r\n\r\na\nb\r\n--b--\r\n`, '550 5.6.11'],
    [`${MIXED}Content-Transfer-Encoding: binary\r\n\r\n\0\n--b--\r\n`, '550 5.6.11'],
    [`${MIXED}Content-Transfer-Encoding: base64\r\n\r\n${'A'.repeat(70_000)}\r\n--b--\r\n`, '554 5.6.0'],
  ] as const)
    for (const bareLineEndings of ['reject', 'normalise'] as const) {
      const { delivered, codes } = await talk(binary(message, 4096), { bareLineEndings })
      assert.equal(codes.at(-2), answer, message.slice(0, 200))
      assert.equal(delivered.length, 0)
    }
})

test('a binary message that would be too big in base64 is too big', async () => {
  const message = `Content-Transfer-Encoding: binary\r\n\r\n${'\0'.repeat(800)}`
  assert.equal((await talk(binary(message, 100), { limits: { messageSize: 1200 } })).codes.at(-2), '250 2.0.0')
  const { codes, server } = await talk(binary(message, 2000), { limits: { messageSize: 1000 } })
  assert.equal(codes.at(-2), '552 5.3.4')
  assert.equal(server.bytesInFlight, 0)
})

test('a message too big is refused at its end, by DATA and by BDAT', async () => {
  const limits = { messageSize: 100 }
  const text = 'x'.repeat(98) + '\r\n'
  const start = EHLO + MAIL + RCPT
  assert.equal((await talk(`${start}DATA\r\n${text}.\r\nQUIT\r\n`, { limits })).codes[5], '250 2.0.0')
  const { codes, events } = await talk(`${start}DATA\r\nx${text}.\r\nNOOP\r\nQUIT\r\n`, { limits })
  assert.deepEqual(codes.slice(4), ['354', '552 5.3.4', '250 2.0.0', '221 2.0.0'])
  assert.deepEqual(events, ['reset', 'close'])
  const chunks = await talk(`${start}BDAT 100\r\n${text}BDAT 1\r\nxBDAT 1 LAST\r\nxQUIT\r\n`, { limits })
  assert.deepEqual(chunks.codes.slice(4), ['250 2.0.0', '552 5.3.4', '503 5.5.1', '221 2.0.0'])
  assert.equal(chunks.server.bytesInFlight, 0)
})

test('a message without end is cut off', async () => {
  const { codes, server } = await talk(EHLO + MAIL + RCPT + 'DATA\r\n' + 'x'.repeat(200_000), {
    limits: { messageSize: 1000 },
  })
  assert.deepEqual(codes.slice(4), ['354', '421 4.7.0'])
  assert.equal(server.bytesInFlight, 0)
})

test('a line too long for a message refuses the message', async () => {
  const limits = { textLine: 998 }
  for (const [length, code] of [
    [998, '250 2.0.0'],
    [999, '554 5.6.0'],
  ] as const) {
    const { codes } = await talk(EHLO + MAIL + RCPT + 'DATA\r\n' + 'x'.repeat(length) + '\r\n.\r\nQUIT\r\n', { limits })
    assert.equal(codes[5], code)
  }
})

test('the memory of all sessions is bounded together', async () => {
  const { codes } = await talk(EHLO + MAIL + RCPT + 'DATA\r\n' + 'x'.repeat(2000) + '\r\n.\r\nQUIT\r\n', {
    limits: { bytesInFlight: 1000 },
  })
  assert.equal(codes[5], '452 4.3.1')
})

test('parameters reach the handler', async () => {
  const { delivered } = await talk(
    EHLO +
      'MAIL FROM:<a@b.c> RET=HDRS ENVID=x+2By BODY=8BITMIME\r\nRCPT TO:<d@e.f> NOTIFY=NEVER ORCPT=rfc822;g@h.i\r\nDATA\r\n.\r\nQUIT\r\n',
  )
  const { envelope } = delivered[0] ?? assert.fail()
  assert.deepEqual(envelope.parameters, {
    body: '8BITMIME',
    smtpUtf8: false,
    requireTls: false,
    ret: 'HDRS',
    envid: 'x+y',
  })
  assert.deepEqual(envelope.recipients[0]?.parameters, {
    notify: ['NEVER'],
    originalRecipient: { type: 'rfc822', address: 'g@h.i' },
  })
})

test('LMTP answers for each recipient, in order, by name', async () => {
  const { said } = await talk(
    'EHLO a\r\nLHLO a\r\n' +
      MAIL +
      'RCPT TO:<a@x.y>\r\nRCPT TO:<bad@x.y>\r\nRCPT TO:<c@x.y>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n',
    {
      kind: 'lmtp',
      policy: {
        rcpt: ({ path }) => (path.localPart === 'bad' ? reply(550, '5.1.1', 'No such user') : undefined),
        data: () => [reply(250, '2.0.0', 'Delivered'), reply(452, '4.2.2', 'Mailbox full')],
      },
    },
  )
  assert.match(said, /^500 5\.5\.1/m)
  assert.ok(said.endsWith('250 2.0.0 <a@x.y> Delivered\r\n452 4.2.2 <c@x.y> Mailbox full\r\n221 2.0.0 Bye\r\n'), said)
})

test('a throw in a handler is 451 for that command and for nobody else', async () => {
  const broken = new Error('database on fire')
  const { codes, errors, delivered } = await talk(
    EHLO + MAIL + 'RCPT TO:<bug@x.y>\r\nRCPT TO:<no@x.y>\r\n' + RCPT + 'DATA\r\nhi\r\n.\r\nQUIT\r\n',
    {
      policy: {
        rcpt: ({ path }) => {
          if (path.localPart === 'bug') throw broken
          if (path.localPart === 'no') throw new SmtpError(550, '5.1.1', 'No such user')
        },
      },
    },
  )
  assert.deepEqual(codes.slice(3), ['451 4.3.0', '550 5.1.1', '250 2.1.5', '354', '250 2.0.0', '221 2.0.0'])
  assert.deepEqual(errors, [broken])
  assert.equal(delivered[0]?.envelope.recipients.length, 1)
})

test('a policy that cannot be made lets nobody in', async () => {
  const { said } = await talk('', {
    handler: () => {
      throw new Error('no policy')
    },
  })
  assert.match(said, /^421 4\.3\.0/)
})

test('a refused connection hears why', async () => {
  const { said, events } = await talk('', {
    policy: {
      connect: () => {
        throw new SmtpError(550, '5.7.1', 'You are listed')
      },
    },
  })
  assert.equal(said, '554 5.7.1 You are listed\r\n')
  assert.deepEqual(events, ['close'])
})

test('replies carry UTF-8 only to who asked for it, and never a line break', async () => {
  const policy = { data: () => reply(250, '2.0.0', 'naïve\r250 x') }
  const body = RCPT + 'DATA\r\n.\r\nQUIT\r\n'
  assert.match((await talk(EHLO + MAIL + body, { policy })).said, /250 2\.0\.0 na\?ve 250 x\r\n/)
  assert.match((await talk(EHLO + 'MAIL FROM:<> SMTPUTF8\r\n' + body, { policy })).said, /250 2\.0\.0 naïve 250 x\r\n/)
})

test('ten errors end the session; what follows a refused MAIL is no error', async () => {
  const bad = await talk('FOO\r\n'.repeat(20))
  assert.equal(bad.codes.length, 12)
  assert.equal(bad.codes.at(-1), '421 4.7.0')
  const policy = {
    mail: () => {
      throw new SmtpError(550, '5.7.1', 'Not you')
    },
  }
  const unlucky = await talk(EHLO + MAIL + RCPT.repeat(30) + 'DATA\r\nQUIT\r\n', { policy })
  assert.equal(unlucky.codes.at(-1), '221 2.0.0')
})

test('guessing recipients, too many transactions, too many recipients, endless NOOPs', async () => {
  const policy = { rcpt: () => reply(550, '5.1.1', 'No such user') }
  const guess = await talk(EHLO + MAIL + RCPT.repeat(10), { policy, limits: { refusedRecipients: 5 } })
  assert.equal(guess.codes.length, 3 + 5 + 1)
  const many = await talk(EHLO + (MAIL + 'RSET\r\n').repeat(4), { limits: { transactions: 3 } })
  assert.equal(many.codes.at(-1), '421 4.7.0')
  const crowd = await talk(EHLO + MAIL + RCPT.repeat(3) + 'QUIT\r\n', { limits: { recipients: 2 } })
  assert.equal(crowd.codes[5], '452 4.5.3')
  const noops = await talk('NOOP\r\n'.repeat(50), { limits: { idleCommands: 9 } })
  assert.equal(noops.codes.length, 12)
})

test('a browser is sent away at its first line', async () => {
  const { codes } = await talk('POST / HTTP/1.1\r\nHost: mx\r\n\r\nEHLO a\r\nMAIL FROM:<>\r\n')
  assert.deepEqual(codes, ['220', '421 4.7.0'])
})

test('who is silent for five minutes, or types one command for as long, is let go', async () => {
  for (const drip of ['', 'N']) {
    const clock = new HandClock()
    const peer = recordingServer({ clock }).connect()
    await peer.hear()
    clock.turn(200_000)
    peer.stream.write(drip)
    await new Promise((resolve) => setImmediate(resolve))
    clock.turn(100_000)
    assert.match(await peer.end(), /^421 4\.4\.2/)
  }
})

test('a slow handler does not count against the peer', async () => {
  const clock = new HandClock()
  let go = (): void => {}
  const peer = recordingServer({
    clock,
    policy: { mail: () => new Promise<void>((resolve) => (go = resolve)) },
  }).connect()
  await peer.hear()
  await peer.say(EHLO)
  peer.stream.write(MAIL)
  await new Promise((resolve) => setImmediate(resolve))
  clock.turn(600_000)
  go()
  assert.match(await peer.hear(), /^250 2\.1\.0/)
})

test('a message that drips for over an hour is cut off', async () => {
  const clock = new HandClock()
  const peer = recordingServer({ clock }).connect()
  await peer.hear()
  await peer.say(EHLO)
  await peer.say(MAIL + RCPT + 'DATA\r\n', /354/)
  for (let i = 0; i < 20; i++) {
    clock.turn(200_000)
    peer.stream.write('x')
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.match(await peer.end(), /^421 4\.4\.2/m)
})

test('shutdown: idle sessions go now, a transaction goes to its end', async () => {
  const { server, connect, delivered } = recordingServer()
  const idle = connect()
  const busy = connect()
  await Promise.all([idle.hear(), busy.hear()])
  await busy.say(EHLO)
  await busy.say(MAIL)
  const done = server.shutdown()
  assert.match(await idle.end(), /^421 4\.3\.2/)
  await busy.say(RCPT)
  assert.match(await busy.say('DATA\r\n', /354/), /354/)
  busy.stream.write('hi\r\n.\r\n' + MAIL)
  const said = await busy.end()
  assert.deepEqual(codes(said), ['250 2.0.0', '421 4.3.2'])
  assert.equal(delivered.length, 1)
  await done
  assert.equal(server.sessions, 0)
  assert.match(await connect().end(), /^421 4\.3\.2/)
})

test('a connection lost within a message resets the transaction, once, and frees its memory', async () => {
  const { server, connect, events } = recordingServer()
  const [ours, theirs] = duplexPair()
  const peer = new PeerEnd(theirs)
  const session = server.accept(ours)
  await peer.hear()
  await peer.say(EHLO)
  await peer.say(MAIL + RCPT + 'DATA\r\n', /354/)
  await new Promise<void>((resolve) => theirs.write('x'.repeat(50_000), () => resolve()))
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(server.bytesInFlight > 0)
  assert.equal(session.signal.aborted, false)
  ours.destroy()
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(events, ['reset', 'close'])
  assert.equal(server.bytesInFlight, 0)
  assert.equal(session.signal.aborted, true)
  assert.equal(connect().ended, false)
})

test('random octets never break anything, and leave nothing behind', async () => {
  const words = [
    'EHLO a\r\n',
    'MAIL FROM:<>',
    'RCPT TO:<a@b.c>',
    'DATA\r\n',
    '\r\n',
    '.\r\n',
    'BDAT 5',
    ' LAST',
    'RSET\r\n',
    '\0',
    'AUTH ',
    '\xff',
    '*\r\n',
    ' ',
    'STARTTLS\r\n',
  ]
  const octets = fc.array(
    fc.oneof(
      fc.constantFrom(...words).map((word) => Buffer.from(word, 'latin1')),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 40 },
  )
  await fc.assert(
    fc.asyncProperty(octets, async (pieces) => {
      const { server, connect, errors } = recordingServer()
      const peer = connect()
      for (const piece of pieces) if (!peer.ended) peer.stream.write(piece)
      peer.stream.end()
      await peer.end()
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(server.bytesInFlight, 0)
      assert.deepEqual(errors, [])
      peer.stream.destroy()
    }),
    { numRuns: 300, interruptAfterTimeLimit: 4000 },
  )
})
