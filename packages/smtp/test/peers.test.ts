// Real peers of other houses: nodemailer sends to us, smtp-server takes from us.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createTransport } from 'nodemailer'
import { SMTPServer } from 'smtp-server'
import { SmtpClient, systemClock } from '../src/index.ts'
import { recordingServer } from './support.ts'

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

for (const lmtp of [false, true]) {
  test(`nodemailer sends to our ${lmtp ? 'LMTP' : 'SMTP'} server`, async (t) => {
    const { server, delivered, errors } = recordingServer({ kind: lmtp ? 'lmtp' : 'smtp', clock: systemClock })
    const port = await listen(
      t,
      createServer((socket) => server.accept(socket)),
    )
    const transport = createTransport({ host: '127.0.0.1', port, lmtp, ignoreTLS: true })
    for (const text of ['.one\n..two\n.\nthree', 'x'.repeat(300_000)]) {
      const sent = await transport.sendMail({
        from: 'Änne <anna@example.net>',
        to: ['ben@example.org', 'cleo@example.org'],
        subject: 'grüße',
        text,
        dsn: { id: 'some id', return: 'headers', notify: ['failure', 'delay'], recipient: 'anna@example.net' },
      })
      assert.deepEqual(sent.accepted, ['ben@example.org', 'cleo@example.org'])
    }
    transport.close()
    await server.shutdown()
    const [first, second] = delivered
    assert.match(first?.bytes.toString() ?? '', /\r\n\r\n\.one\r\n\.\.two\r\n\.\r\nthree\r\n$/)
    assert.ok((second?.bytes.length ?? 0) > 300_000)
    assert.equal(first?.envelope.parameters.envid, 'some id')
    assert.deepEqual(first.envelope.recipients[1]?.parameters.notify, ['FAILURE', 'DELAY'])
    assert.deepEqual(errors, [])
  })

  test(`our client sends to smtp-server's ${lmtp ? 'LMTP' : 'SMTP'}`, async (t) => {
    const got: Buffer[] = []
    const peer = new SMTPServer({
      lmtp,
      authOptional: true,
      disabledCommands: ['STARTTLS'],
      onRcptTo: ({ address }, _session, done) => done(address.startsWith('no@') ? new Error('no such user') : null),
      onData(stream, session, done) {
        const pieces: Buffer[] = []
        stream.on('data', (piece: Buffer) => pieces.push(piece))
        stream.on('end', () => {
          got.push(Buffer.concat(pieces))
          if (lmtp)
            done(
              null,
              session.envelope.rcptTo.map(({ address }) => `<${address}> done`),
            )
          else done(null, 'done')
        })
      },
    })
    const port = await listen(t, peer.server)
    const client = await SmtpClient.open({
      connect: () => connect(port, '127.0.0.1'),
      name: '[127.0.0.1]',
      kind: lmtp ? 'lmtp' : 'smtp',
    })
    const message = Buffer.from('Subject: hi\r\n\r\n.dot\r\n..\r\n' + 'line of text\r\n'.repeat(20_000))
    for (let i = 0; i < 2; i++) {
      const results = await client.send(
        { reversePath: 'anna@example.net', recipients: ['a@x.y', 'no@x.y', 'b@x.y'].map((address) => ({ address })) },
        message,
      )
      assert.deepEqual(
        results.map(({ stage, accepted }) => `${stage} ${accepted}`),
        ['data true', 'rcpt false', 'data true'],
      )
    }
    await client.quit()
    assert.deepEqual(got, [message, message])
  })
}

test('who sends everything and closes his end still gets all replies', async (t) => {
  const { server, delivered } = recordingServer({
    clock: systemClock,
    policy: { rcpt: () => new Promise((resolve) => void setImmediate(resolve)) },
  })
  const port = await listen(
    t,
    createServer({ allowHalfOpen: true }, (socket) => server.accept(socket)),
  )
  const socket = connect(port, '127.0.0.1')
  let said = ''
  socket.on('data', (octets: Buffer) => (said += octets.toString()))
  socket.end('EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\nhi\r\n.\r\n')
  await once(socket, 'close')
  assert.match(said, /354 .*\r\n250 2\.0\.0 .*\r\n$/)
  assert.equal(delivered.length, 1)
})
