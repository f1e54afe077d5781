// BINARYMIME (RFC 3030) through a whole server: in over each door, out over IMAP.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { connectImap } from '@aviso/imap'
import { clientMechanism } from '@aviso/sasl'
import { SmtpClient } from '@aviso/smtp'
import { ANNA, BEN, populated } from './conversations.ts'

const BITS = Buffer.alloc(
  400_000,
  Uint8Array.from({ length: 256 }, (_, i) => i),
)

const binary = (from: string, bits: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(
      `From: <${from}>\r\nSubject: Bits\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n` +
        '--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n--b\r\nContent-Type: application/x-bits\r\nContent-Transfer-Encoding: binary\r\n\r\n',
    ),
    bits,
    Buffer.from('\r\n--b--\r\n'),
  ])

test('a binary mail comes over each door; IMAP gives its octets out, or base64 to who knows no better', async (t) => {
  const running = await populated(t, { endpoints: { lmtp: { listen: ['127.0.0.1:0'] } } })
  const doors = ['smtp', 'submission', 'lmtp'] as const
  for (const door of doors)
    for (const bits of [BITS.subarray(0, 1000), BITS]) {
      const client = await SmtpClient.open({
        connect: () => connect(running.port(door), '127.0.0.1'),
        name: 'client.example',
        kind: door === 'lmtp' ? 'lmtp' : 'smtp',
      })
      assert.ok(client.extensions.has('BINARYMIME'), door)
      if (door === 'submission')
        await client.authenticate(
          clientMechanism(client.extensions.get('AUTH') ?? [], {
            authcid: BEN.address,
            password: BEN.password,
            secure: true,
          }) ?? assert.fail(),
        )
      const from = door === 'submission' ? BEN.address : 'carl@example.net'
      const [result] = await client.send(
        { reversePath: from, recipients: [{ address: ANNA.address }], body: 'BINARYMIME' },
        binary(from, bits),
      )
      assert.equal(result?.reply.code, 250, `${door}: ${result?.reply.lines.join(' ')}`)
      await client.quit()
    }
  const imap = await connectImap({
    host: '127.0.0.1',
    port: running.port('imap', 'implicit'),
    tlsOptions: { rejectUnauthorized: false },
    auth: { user: ANNA.address, password: ANNA.password },
  })
  const box = await imap.select('INBOX')
  const collect = async (uid: number, section: string, decoded: boolean): Promise<Buffer> => {
    const pieces: Uint8Array[] = []
    const found = await box.download(uid, section, { binary: decoded })
    for await (const piece of found?.content ?? []) pieces.push(piece)
    return Buffer.concat(pieces)
  }
  for (let uid = 1; uid <= doors.length * 2; uid++) {
    const bits = uid % 2 === 1 ? BITS.subarray(0, 1000) : BITS
    assert.deepEqual(await collect(uid, '2', true), bits)
    assert.deepEqual(Buffer.from((await collect(uid, '2', false)).toString('latin1'), 'base64'), bits)
    assert.ok(!(await collect(uid, '', false)).includes(0), 'no NUL for a client without BINARY')
  }
  await imap.logout()
})
