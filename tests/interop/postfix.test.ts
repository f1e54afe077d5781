// Mail both ways with Postfix, over TLS: what DANE and MTA-STS demand is seen to matter, and mail arrives octet by octet.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, test, type TestContext } from 'node:test'
import { SmtpClient } from '../../packages/smtp/src/index.ts'
import type { ZoneRecords } from '../../packages/server/src/net/dns/testing/index.ts'
import { certify, tlsaData } from '../../packages/server/test/fixtures/certificates.ts'
import { good, rig, type RigWish } from '../../packages/server/test/mail/remote/rig.ts'
import { arrived, awkwardMail } from './mailbox.ts'
import { needsPostfix, Postfix } from './postfix.ts'
import { eventually } from './programs.ts'
import { type DemoJourney, startDemo } from './server.ts'

const certificate = good('mx.example.net')

describe('from us to Postfix', { skip: needsPostfix() }, () => {
  let postfix: Postfix
  before(async () => {
    postfix = await Postfix.start({ certificate: certificate.chain, key: certificate.keyPem })
  })
  after(() => postfix.stop())

  /** Remote delivery to a domain whose server is this Postfix. */
  const courier = (
    t: TestContext,
    secure: boolean,
    more: Record<string, ZoneRecords>,
    policies?: RigWish['policies'],
  ) =>
    rig(t, {
      zones: {
        'example.net': { MX: [[10, 'mx.example.net']], secure },
        'mx.example.net': { A: ['127.0.0.1'], secure },
        ...more,
      },
      config: { port: postfix.port },
      ...(policies && { policies }),
    })

  const message = (subject: string): { size: number; chunks(from?: number): AsyncIterable<Uint8Array> } => {
    const octets = Buffer.from(awkwardMail('anna@example.org', 'ben@example.net', subject))
    return {
      size: octets.length,
      // eslint-disable-next-line typescript/require-await -- an iterable of one piece
      async *chunks(from = 0) {
        yield octets.subarray(from)
      },
    }
  }

  const taken = (subject: string): string | undefined =>
    postfix.mail.find((text) => text.includes(`Subject: ${subject}`))

  const tlsa = (hex: string): Record<string, ZoneRecords> => ({
    [`_${postfix.port}._tcp.mx.example.net`]: { TLSA: [[3, 1, 1, hex]], secure: true },
  })

  test('without policies: encrypted, and every octet arrives', async (t) => {
    const { send } = await courier(t, false, {})
    const [result] = await send({ message: message('plain-policy') })
    assert.equal(result?.answer.code, 250, postfix.log)
    assert.equal(result.how, 'TLSv1.3, certificate')
    const text = await eventually('the mail in its Maildir', () => taken('plain-policy'))
    const sent = awkwardMail('anna@example.org', 'ben@example.net', 'plain-policy').replaceAll('\r\n', '\n')
    assert.ok(text.endsWith(sent), text)
    assert.match(text, /using TLSv1\.3/)
  })

  test('DANE: the record fits', async (t) => {
    const { send } = await courier(t, true, tlsa(tlsaData(certificate, 1, 1)))
    const [result] = await send({ message: message('dane-good') })
    assert.deepEqual(
      [result?.answer.code, result?.mx, result?.tls, result?.how],
      [250, 'dnssec', 'authenticated', 'TLSv1.3, dane'],
    )
  })

  test('DANE: the record does not fit: the mail waits, and Postfix has not seen it', async (t) => {
    const other = certify({ names: ['mx.example.net'] })
    const { send } = await courier(t, true, tlsa(tlsaData(other, 1, 1)))
    const [result] = await send({ message: message('dane-bad') })
    assert.deepEqual([result?.answer.code, result?.answer.enhanced], [451, '4.7.5'])
    assert.equal(taken('dane-bad'), undefined)
  })

  test('MTA-STS: the policy names the server, and its certificate is good', async (t) => {
    const policies = { 'example.net': 'version: STSv1\nmode: enforce\nmx: *.example.net\nmax_age: 86400\n' }
    const { send } = await courier(t, false, { '_mta-sts.example.net': { TXT: ['v=STSv1; id=1'] } }, policies)
    const [result] = await send({ message: message('sts-good') })
    assert.deepEqual([result?.answer.code, result?.mx, result?.tls], [250, 'mtasts', 'authenticated'])
  })

  test('MTA-STS: the policy names another server: the mail waits', async (t) => {
    const policies = { 'example.net': 'version: STSv1\nmode: enforce\nmx: other.example.net\nmax_age: 86400\n' }
    const { send } = await courier(t, false, { '_mta-sts.example.net': { TXT: ['v=STSv1; id=1'] } }, policies)
    const [result] = await send({ message: message('sts-bad') })
    assert.deepEqual([result?.answer.code, result?.answer.enhanced], [451, '4.7.0'])
    assert.equal(taken('sts-bad'), undefined)
  })

  test('addresses in UTF-8, a connection used for many messages, a recipient that is refused', async (t) => {
    const { send } = await courier(t, false, {})
    const [utf8] = await send({
      recipients: [{ address: 'bänd@example.net' }],
      smtpUtf8: true,
      message: message('utf8'),
    })
    assert.equal(utf8?.answer.code, 250, postfix.log)
    for (let i = 0; i < 12; i++) assert.equal((await send({ message: message(`many-${i}`) }))[0]?.answer.code, 250)
    const results = await send({
      recipients: [{ address: 'ben@example.net' }, { address: 'x@[not' }],
      message: message('half'),
    })
    assert.deepEqual(
      results.map(({ answer }) => Math.floor(answer.code / 100)),
      [2, 5],
    )
    await eventually('all of them', () => (taken('many-11') !== undefined && taken('half') !== undefined) || undefined)
  })
})

describe('from Postfix to us', { skip: needsPostfix() }, () => {
  let journey: DemoJourney
  let postfix: Postfix
  before(async () => {
    journey = await startDemo()
    const { reach } = journey.demo
    postfix = await Postfix.start({
      certificate: certificate.chain,
      key: certificate.keyPem,
      relay: {
        port: reach.ports.smtp,
        settings: [
          'smtp_tls_security_level = secure',
          `smtp_tls_CAfile = ${reach.ca}`,
          `smtp_tls_secure_cert_match = localhost`,
        ],
      },
    })
  })
  after(async () => {
    await postfix.stop()
    await journey.stop()
  })

  test('over TLS with a verified certificate, octet by octet', async () => {
    const { bert, reach } = journey.demo
    const client = await SmtpClient.open({ connect: () => connect(postfix.port, '127.0.0.1'), name: 'client.example' })
    const sent = awkwardMail('anna@example.org', bert.address, 'through-postfix')
    const results = await client.send(
      { reversePath: 'anna@example.org', recipients: [{ address: bert.address }] },
      Buffer.from(sent),
    )
    await client.quit()
    assert.equal(results[0]?.accepted, true)
    const came = (await arrived(reach, bert, 'through-postfix')).toString()
    assert.ok(came.endsWith(sent), postfix.log)
    assert.match(came, /^Received: from mx\.example\.net .*?with (?:UTF8)?E?SMTPS? /ms)
    await eventually('Postfix is content', () => /status=sent/.test(postfix.log) || undefined)
  })
})
