// BINARYMIME (RFC 3030): checks see what came, mailboxes and signatures get text, what is sent on stays as it came.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { MailParameters } from '@aviso/smtp'
import { verifyDkim } from '../../../src/mail/authentication/dkim/verify.ts'
import { Message as Signed } from '../../../src/mail/authentication/message.ts'
import { Keys } from '../../../src/mail/keys/keyring.ts'
import { accept, type Delivery, type Mail, type Message } from '../../../src/mail/pipeline/contracts.ts'
import { zoneResolver } from '../../../src/net/dns/testing/index.ts'
import { rig } from '../remote/rig.ts'
import { openHouse } from './house.ts'

const parameters: Partial<MailParameters> = { body: 'BINARYMIME' }
const OCTETS = 'a\0b\rc\n.\n'
const BASE64 = Buffer.from(OCTETS).toString('base64')

const binary = (octets = OCTETS, from = 'bo@example.net') =>
  `From: ${from}\r\nSubject: Bits\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n` +
  `--b\r\n\r\nHello\r\n--b\r\nContent-Type: application/x-bits\r\nContent-Transfer-Encoding: binary\r\n\r\n${octets}\r\n--b--\r\n`

describe('a binary mail', () => {
  test('is text with base64 in a mailbox, and binary for the checks', async (t) => {
    const seen: string[] = []
    const house = await openHouse(t, {
      check: {
        async content(_mail, message) {
          seen.push(Buffer.from(await message.whole()).toString())
          return accept()
        },
      },
    })
    await house.receive({ to: ['anna@example.org'], message: binary(), parameters })
    assert.deepEqual(seen, [binary()])
    const [mail = ''] = await house.mails('anna')
    assert.ok(mail.endsWith(`x-bits\r\nContent-Transfer-Encoding: base64\r\n\r\n${BASE64}\r\n--b--\r\n`), mail)
    assert.match(mail, /boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n/)
    assert.match(mail, /^Return-Path: <bo@example\.net>\r\nReceived: /)
  })

  test('is signed as text, so that the signature holds wherever it goes', async (t) => {
    const house = await openHouse(t, { working: false })
    const verified = async (text: string): Promise<readonly string[]> => {
      const keys = await house.scope.use(Keys).keys('example.org')
      const resolver = zoneResolver(Object.fromEntries(keys.map(({ name, record }) => [name, { TXT: [record] }])))
      const { signatures } = await verifyDkim(Signed.of(Buffer.from(text)), { resolver, now: house.clock.now() })
      return signatures.map(({ status }) => status)
    }
    for (const octets of [OCTETS, OCTETS.repeat(40_000)]) {
      const message = binary(octets, 'anna@example.org')
      await house.submit({ as: 'anna', to: ['ben@example.org', 'zoe@example.com'], message, parameters })
    }
    const texts = [...(await house.mails('ben')), ...(await house.queued()).filter((text) => text !== '')]
    assert.equal(texts.length, 3, 'the large one waits in a file')
    for (const text of texts) {
      assert.ok(!text.includes('\0'))
      assert.deepEqual(await verified(text), ['pass', 'pass'])
    }
  })

  test('that an alias sends on waits in the queue as it came, also over a restart', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'aviso-binary-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const got: { readonly body: string; readonly text: string }[] = []
    const sink = {
      queued: true,
      begin(mail: Mail): Delivery {
        let kept: Message | undefined
        const routed: Parameters<Delivery['add']>[0][] = []
        return {
          add: (one) => void routed.push(one),
          body: (message) => {
            kept = message
          },
          async commit() {
            got.push({ body: mail.parameters.body, text: Buffer.from((await kept?.whole()) ?? []).toString() })
            return routed.map((one) => ({ routed: one, failure: undefined }))
          },
          abort: () => {},
        }
      },
    }
    const config = {
      targets: { sink: true },
      incoming: { modifiers: { srs: false }, routes: [{ recipient: ['*.example', 'far.example'], deliver: ['sink'] }] },
    }
    const options = { folder, sink, config }
    const house = await openHouse(t, { ...options, working: false })
    const large = OCTETS.repeat(60_000)
    for (const octets of [OCTETS, large])
      await house.receive({ to: ['zoe@far.example'], message: binary(octets), parameters })
    await house.scope.close()
    const again = await openHouse(t, options)
    while (got.length < 2) await again.pass(1000)
    for (const octets of [OCTETS, large])
      assert.ok(got.some(({ body, text }) => body === 'BINARYMIME' && text.endsWith(binary(octets))))
  })

  test('is quarantined as text too', async (t) => {
    const house = await openHouse(t, { check: { content: () => ({ action: 'quarantine', why: 'a test' }) } })
    await house.receive({ to: ['anna@example.org'], message: binary(), parameters })
    assert.ok((await house.mails('anna', 'Junk'))[0]?.includes(BASE64))
  })
})

describe('to another server', () => {
  const octets = Buffer.from(binary())
  const parcel = {
    body: 'BINARYMIME' as const,
    message: {
      size: octets.length,
      // eslint-disable-next-line typescript/require-await -- an iterable of small pieces
      async *chunks(from = 0) {
        for (let at = from; at < octets.length; at += 50) yield octets.subarray(at, at + 50)
      },
    },
  }
  const zones = { 'example.net': { MX: [[10, 'mx.example.net']] }, 'mx.example.net': { A: ['127.0.0.2'] } } as const

  test('that takes BINARYMIME it goes as it is', async (t) => {
    const { send, peers } = await rig(t, { zones, servers: { '127.0.0.2': {} } })
    assert.equal((await send(parcel))[0]?.answer.code, 250)
    const [received] = peers['127.0.0.2']?.received ?? []
    assert.equal(received?.envelope.parameters.body, 'BINARYMIME')
    assert.equal(received?.text, binary())
  })

  test('that does not, it goes in base64', async (t) => {
    const servers = { '127.0.0.2': { options: { extensions: { binaryMime: false } } } }
    const { send, peers } = await rig(t, { zones, servers })
    assert.equal((await send(parcel))[0]?.answer.code, 250)
    const [received] = peers['127.0.0.2']?.received ?? []
    assert.equal(received?.envelope.parameters.body, '7BIT')
    assert.ok(received?.text.includes(`base64\r\n\r\n${BASE64}\r\n--b--\r\n`))
  })
})
