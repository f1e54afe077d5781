// TLS on the way to other servers: what DANE, MTA-STS, REQUIRETLS and the config demand, and what becomes of mail where it is not met.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RecipientResult } from '../../../src/mail/targets/remote/contracts.ts'
import type { ZoneRecords, Zones } from '../../../src/net/dns/testing/index.ts'
import { type Certified, certify, tlsaData } from '../../fixtures/certificates.ts'
import { good, parcelTo, type PeerWish, rig, type RigWish } from './rig.ts'

const code = ([result]: readonly RecipientResult[]): string =>
  `${result?.answer.code ?? ''} ${result?.answer.enhanced ?? ''}`
const levels = ([result]: readonly RecipientResult[]): readonly unknown[] => [result?.mx, result?.tls, result?.how]

const certificate = good('mx.example.net')
const selfSigned = certify({ names: ['mx.example.net'] })

/** A domain with one server at 127.0.0.2; `secure` zones, but for what is said otherwise. */
const domain = (secure: boolean, more: Record<string, ZoneRecords> = {}): Zones => ({
  'example.net': { MX: [[10, 'mx.example.net']], secure },
  'mx.example.net': { A: ['127.0.0.2'], secure },
  ...more,
})

const one = (server: PeerWish): Record<string, PeerWish> => ({ '127.0.0.2': server })

type Tlsa = readonly [number, number, number, string]

/** A secure domain with TLSA records at the port that the rig gets. */
async function daned(
  t: Parameters<typeof rig>[0],
  records: readonly Tlsa[],
  server: PeerWish,
  more: Record<string, ZoneRecords> = {},
  at = 'mx.example.net',
  extra: Partial<RigWish> = {},
) {
  const zones: Record<string, ZoneRecords> = { ...domain(true), ...more }
  const made = await rig(t, { zones, servers: one(server), ...extra })
  zones[`_${made.port}._tcp.${at}`] ??= { TLSA: records, secure: true }
  return made
}

const ee = (of: Certified, selector: 0 | 1 = 1, matching: 0 | 1 | 2 = 1): Tlsa => [
  3,
  selector,
  matching,
  tlsaData(of, selector, matching),
]

test('without policies TLS is used as far as it goes: verified, not verified, in clear', async (t) => {
  const cases: readonly [PeerWish, readonly unknown[]][] = [
    [{ tls: certificate }, ['none', 'authenticated', 'TLSv1.3, certificate']],
    [{ tls: selfSigned }, ['none', 'encrypted', 'TLSv1.3, not authenticated']],
    [{ tls: good('another.example') }, ['none', 'encrypted', 'TLSv1.3, not authenticated']],
    [{}, ['none', 'none', 'not encrypted']],
  ]
  for (const [server, expected] of cases) {
    const { send, peers } = await rig(t, { zones: domain(false), servers: one(server) })
    const results = await send()
    assert.equal(code(results), '250 2.0.0')
    assert.deepEqual(levels(results), expected)
    assert.equal(peers['127.0.0.2']?.received[0]?.serverName, server.tls === undefined ? undefined : 'mx.example.net')
  }
})

test('TLS error fallback: a handshake that fails is followed by a connection in clear, where nobody demands TLS', async (t) => {
  const server = { tls: certificate, brokenTls: true }
  const lax = await rig(t, { zones: domain(false), servers: one(server) })
  const results = await lax.send()
  assert.deepEqual([code(results), ...levels(results)], ['250 2.0.0', 'none', 'none', 'not encrypted'])
  assert.equal(lax.peers['127.0.0.2']?.connections, 2)
  const strict = await rig(t, { zones: domain(false), servers: one(server), config: { tls: 'encrypted' } })
  assert.equal(code(await strict.send()), '451 4.7.5')
  assert.equal(strict.peers['127.0.0.2']?.received.length, 0)
})

test('STARTTLS that is offered and refused: in clear where that is allowed, else later', async (t) => {
  const serve: PeerWish['serve'] = (socket) => {
    socket.write('220 hello\r\n')
    socket.on('data', (octets: Buffer) => {
      for (const command of octets.toString().split('\r\n').filter(Boolean))
        if (command.startsWith('EHLO')) socket.write('250-peer\r\n250 STARTTLS\r\n')
        else if (command === 'STARTTLS') socket.write('454 4.7.0 not now\r\n')
        else if (command === 'DATA') socket.write('354 go on\r\n')
        else if (/^(?:MAIL|RCPT|\.$|QUIT)/.test(command)) socket.write('250 2.0.0 fine\r\n')
    })
  }
  const lax = await rig(t, { zones: domain(false), servers: one({ serve }) })
  assert.equal(code(await lax.send()), '250 2.0.0')
  const strict = await rig(t, { zones: domain(false), servers: one({ serve }), config: { tls: 'encrypted' } })
  assert.equal(code(await strict.send()), '451 4.7.1')
})

test('local policy: TLS required missing, present, no fallback; DNSSEC required missing and present', async (t) => {
  const cases: readonly [RigWish['config'], PeerWish, boolean, string][] = [
    [{ tls: 'encrypted' }, {}, false, '451 4.7.1'],
    [{ tls: 'encrypted' }, { tls: selfSigned }, false, '250 2.0.0'],
    [{ tls: 'authenticated' }, { tls: selfSigned }, false, '451 4.7.5'],
    [{ tls: 'authenticated' }, { tls: certificate }, false, '250 2.0.0'],
    [{ mx: 'dnssec' }, {}, false, '451 4.7.0'],
    [{ mx: 'dnssec' }, {}, true, '250 2.0.0'],
    [{ tls: 'authenticated', destinations: { 'example.net': { tls: 'none' } } }, {}, false, '250 2.0.0'],
    [{ destinations: { '*': { tls: 'encrypted' } } }, {}, false, '451 4.7.1'],
  ]
  for (const [config, server, secure, expected] of cases) {
    const { send } = await rig(t, { zones: domain(secure), servers: one(server), ...(config && { config }) })
    assert.equal(code(await send()), expected, JSON.stringify(config))
  }
})

test('DNSSEC level: it is told where the MX answer was validated', async (t) => {
  for (const [secure, mx] of [
    [true, 'dnssec'],
    [false, 'none'],
  ] as const) {
    const { send } = await rig(t, { zones: domain(secure), servers: one({}) })
    assert.equal((await send())[0]?.mx, mx)
  }
})

test('DANE ok: the records name the certificate, whoever signed it', async (t) => {
  for (const [selector, matching] of [
    [0, 0],
    [0, 1],
    [0, 2],
    [1, 0],
    [1, 1],
    [1, 2],
  ] as const) {
    const { send } = await daned(t, [ee(selfSigned, selector, matching)], { tls: selfSigned })
    const results = await send()
    assert.deepEqual([code(results), ...levels(results)], ['250 2.0.0', 'dnssec', 'authenticated', 'TLSv1.3, dane'])
  }
})

test('DANE usage 3 asks neither for names nor for dates', async (t) => {
  const old = certify({ names: ['elsewhere.example'], until: new Date('2021-01-01') })
  const { send } = await daned(t, [ee(old)], { tls: old })
  assert.equal(code(await send()), '250 2.0.0')
})

test('DANE usage 2: an authority of theirs, sent along or not, with names and dates in order', async (t) => {
  const root = certify({ names: ['Their root'], authority: true })
  const between = certify({ names: ['Their authority'], authority: true, issuer: root })
  const leaf = certify({ names: ['mx.example.net'], issuer: between })
  const byDomain = certify({ names: ['example.net'], issuer: between })
  const ta = (of: Certified, selector: 0 | 1, matching: 0 | 1 | 2): Tlsa => [
    2,
    selector,
    matching,
    tlsaData(of, selector, matching),
  ]
  const server = (of: Certified): PeerWish => ({ tls: of })
  const alone = { ...leaf, chain: leaf.certificate.toString() }
  const noAuthority = certify({ names: ['mx.example.net'], issuer: leaf })
  const expired = certify({ names: ['mx.example.net'], issuer: between, until: new Date('2021-01-01') })
  const cases: readonly [string, Tlsa, Certified, string][] = [
    ['in the chain, by its key', ta(between, 1, 1), leaf, '250 2.0.0'],
    ['in the chain, by the certificate', ta(between, 0, 2), leaf, '250 2.0.0'],
    ['the name of the domain', ta(between, 0, 1), byDomain, '250 2.0.0'],
    ['not in the chain, but whole in the record', ta(root, 0, 0), leaf, '250 2.0.0'],
    ['not in the chain, only its key in the record', ta(between, 1, 0), alone, '250 2.0.0'],
    ['not in the chain, and only its hash in the record', ta(root, 1, 1), leaf, '451 4.7.5'],
    ['another name', ta(between, 0, 1), certify({ names: ['other.example'], issuer: between }), '451 4.7.5'],
    ['expired', ta(between, 0, 1), expired, '451 4.7.5'],
    ['signed by one that is no authority', ta(between, 0, 1), noAuthority, '451 4.7.5'],
  ]
  for (const [what, record, of, expected] of cases) {
    const { send } = await daned(t, [record], server(of))
    assert.equal(code(await send()), expected, what)
  }
})

test('DANE mismatch: later, not never; the next server is tried; one fitting record of several is enough', async (t) => {
  const other = certify({ names: ['mx.example.net'] })
  const wrong = await daned(t, [ee(other)], { tls: certificate })
  const results = await wrong.send()
  assert.equal(code(results), '451 4.7.5')
  assert.equal(results[0]?.remote, 'mx.example.net')
  assert.equal(wrong.peers['127.0.0.2']?.received.length, 0)
  const rollover = await daned(t, [ee(other), ee(selfSigned)], { tls: selfSigned })
  assert.equal(code(await rollover.send()), '250 2.0.0')
  const zones: Record<string, ZoneRecords> = {
    ...domain(true),
    'example.net': {
      MX: [
        [10, 'mx.example.net'],
        [20, 'two.example.net'],
      ],
      secure: true,
    },
    'two.example.net': { A: ['127.0.0.3'], secure: true },
  }
  const next = await rig(t, { zones, servers: { '127.0.0.2': { tls: certificate }, '127.0.0.3': { tls: selfSigned } } })
  zones[`_${next.port}._tcp.mx.example.net`] = { TLSA: [ee(other)], secure: true }
  zones[`_${next.port}._tcp.two.example.net`] = { TLSA: [ee(selfSigned)], secure: true }
  assert.equal((await next.send())[0]?.remote, 'two.example.net')
})

test('DANE no TLS, and a TLS handshake error: later, and never in clear', async (t) => {
  const plain = await daned(t, [ee(certificate)], {})
  assert.equal(code(await plain.send()), '451 4.7.1')
  assert.equal(plain.peers['127.0.0.2']?.received.length, 0)
  const broken = await daned(t, [ee(certificate)], { tls: certificate, brokenTls: true })
  assert.equal(code(await broken.send()), '451 4.7.5')
  assert.equal(broken.peers['127.0.0.2']?.connections, 1)
})

test('DANE no record: as if there were none; lookup error: later (a name that hides its records hides an attack)', async (t) => {
  const zones: Record<string, ZoneRecords> = { ...domain(true) }
  const { send, port } = await rig(t, { zones, servers: one({}) })
  assert.equal(code(await send()), '250 2.0.0')
  zones[`_${port}._tcp.mx.example.net`] = { fails: 'SERVFAIL' }
  assert.equal(code(await send()), '451 4.4.3')
  // With an MX answer that anybody can forge, DANE would protect nothing, and its failure harms nobody.
  zones['example.net'] = { MX: [[10, 'mx.example.net']] }
  assert.equal(code(await send()), '250 2.0.0')
})

test('DANE unusable records: TLS there must be, with whomever; usages 0 and 1 are unusable', async (t) => {
  const unusable: readonly Tlsa[] = [
    [0, 1, 1, tlsaData(certificate, 1, 1)],
    [1, 1, 1, tlsaData(certificate, 1, 1)],
    [3, 2, 1, tlsaData(certificate, 1, 1)],
    [3, 1, 3, tlsaData(certificate, 1, 1)],
    [3, 1, 1, 'abcd'],
    [2, 0, 0, 'abcd'],
  ]
  for (const record of unusable) {
    const encrypted = await daned(t, [record], { tls: selfSigned })
    const results = await encrypted.send()
    assert.deepEqual([code(results), results[0]?.tls], ['250 2.0.0', 'encrypted'])
    const plain = await daned(t, [record], {})
    assert.equal(code(await plain.send()), '451 4.7.1')
  }
})

test('DANE: non-AD TLSA is ignored; unauthenticated addresses skip it', async (t) => {
  const other = certify({ names: ['mx.example.net'] })
  const zones: Record<string, ZoneRecords> = { ...domain(true) }
  const { send, port } = await rig(t, { zones, servers: one({ tls: certificate }) })
  zones[`_${port}._tcp.mx.example.net`] = { TLSA: [ee(other)], secure: false }
  assert.equal(code(await send()), '250 2.0.0')
  zones[`_${port}._tcp.mx.example.net`] = { TLSA: [ee(other)], secure: true }
  zones['mx.example.net'] = { A: ['127.0.0.2'], secure: false }
  assert.equal(code(await send()), '250 2.0.0')
  zones['mx.example.net'] = { A: ['127.0.0.2'], secure: true }
  assert.equal(code(await send()), '451 4.7.5')
})

test('DANE with CNAMEs: records at the target, at the original name, and where the target is not secure', async (t) => {
  const alias = (secureTarget: boolean): Record<string, ZoneRecords> => ({
    'mx.example.net': { CNAME: 'host.example', secure: true },
    'host.example': { A: ['127.0.0.2'], secure: secureTarget },
  })
  const atTarget = await daned(t, [ee(selfSigned)], { tls: selfSigned }, alias(true), 'host.example')
  assert.deepEqual(levels(await atTarget.send())[2], 'TLSv1.3, dane')
  // RFC 7672 §8.1: the server is asked for by the name that the records stand at.
  assert.equal(atTarget.peers['127.0.0.2']?.received[0]?.serverName, 'host.example')
  const atOrigin = await daned(t, [ee(selfSigned)], { tls: selfSigned }, alias(true), 'mx.example.net')
  assert.deepEqual(levels(await atOrigin.send())[2], 'TLSv1.3, dane')
  const insecureTarget = await daned(t, [ee(selfSigned)], { tls: selfSigned }, alias(false), 'mx.example.net')
  assert.deepEqual(levels(await insecureTarget.send())[2], 'TLSv1.3, dane')
  const notAsked = await daned(t, [ee(certificate)], { tls: selfSigned }, alias(false), 'host.example')
  assert.deepEqual(levels(await notAsked.send())[2], 'TLSv1.3, not authenticated')
})

test('M-14 Issue321: no MX, a secure address, no TLSA: delivered', async (t) => {
  const { send } = await rig(t, {
    zones: { 'example.net': { A: ['127.0.0.2'], secure: true } },
    servers: one({}),
    config: { mx: 'dnssec' },
  })
  assert.equal(code(await send()), '250 2.0.0')
})

const policyText = (mode: string, ...mx: readonly string[]): string =>
  ['version: STSv1', `mode: ${mode}`, ...mx.map((name) => `mx: ${name}`), 'max_age: 86400', ''].join('\r\n')

const sts = (mode: string, ...mx: readonly string[]): Pick<RigWish, 'policies'> & { readonly zones: Zones } => ({
  zones: domain(false, { '_mta-sts.example.net': { TXT: ['v=STSv1; id=1;', 'something else'] } }),
  policies: { 'example.net': policyText(mode, ...mx) },
})

test('MTA-STS match: the server is in the policy and its certificate is good', async (t) => {
  const { send } = await rig(t, { ...sts('enforce', '*.example.net'), servers: one({ tls: certificate }) })
  const results = await send()
  assert.deepEqual(
    [code(results), ...levels(results)],
    ['250 2.0.0', 'mtasts', 'authenticated', 'TLSv1.3, certificate'],
  )
})

test('MTA-STS: a server that is not in the policy is skipped; where none is, the mail waits', async (t) => {
  const made = sts('enforce', 'good.example.net')
  const zones = {
    ...made.zones,
    'example.net': {
      MX: [
        [5, 'mx.example.net'],
        [10, 'good.example.net'],
      ] as const,
    },
    'good.example.net': { A: ['127.0.0.3'] },
  }
  const servers = { '127.0.0.2': { tls: certificate }, '127.0.0.3': { tls: good('good.example.net') } }
  const skipped = await rig(t, { ...made, zones, servers })
  assert.equal((await skipped.send())[0]?.remote, 'good.example.net')
  assert.equal(skipped.peers['127.0.0.2']?.connections, 0)
  const none = await rig(t, { ...sts('enforce', 'good.example.net'), servers: one({ tls: certificate }) })
  assert.equal(code(await none.send()), '451 4.7.0')
})

test('MTA-STS enforce without TLS fails, and needs a certificate that is good; testing and none do not', async (t) => {
  for (const [mode, server, expected] of [
    ['enforce', {}, '451 4.7.1'],
    ['enforce', { tls: selfSigned }, '451 4.7.5'],
    ['enforce', { tls: certificate, brokenTls: true }, '451 4.7.5'],
    ['testing', {}, '250 2.0.0'],
    ['testing', { tls: selfSigned }, '250 2.0.0'],
    ['none', {}, '250 2.0.0'],
  ] as const) {
    const { send } = await rig(t, { ...sts(mode, 'mx.example.net'), servers: one(server) })
    assert.equal(code(await send()), expected, `${mode} ${JSON.stringify(Object.keys(server))}`)
  }
  const off = await rig(t, { ...sts('enforce', 'x.example'), servers: one({}), config: { 'mta-sts': false } })
  assert.equal(code(await off.send()), '250 2.0.0')
})

test('MTA-STS does not overrule DANE: what fails there fails (RFC 8461 §2); what passes there is authenticated', async (t) => {
  const made = sts('enforce', 'mx.example.net')
  const more = { '_mta-sts.example.net': { TXT: ['v=STSv1; id=1'] } }
  const extra = { policies: made.policies ?? {} }
  const other = certify({ names: ['mx.example.net'] })
  const failing = await daned(t, [ee(other)], { tls: certificate }, more, 'mx.example.net', extra)
  assert.equal(code(await failing.send()), '451 4.7.5')
  const passing = await daned(t, [ee(selfSigned)], { tls: selfSigned }, more, 'mx.example.net', extra)
  assert.equal(code(await passing.send()), '250 2.0.0')
})

test('REQUIRETLS strict: the name assured, TLS authenticated, and the server promises the same', async (t) => {
  const without: PeerWish['options'] = { extensions: { requireTls: false } }
  const cases: readonly [string, boolean, PeerWish, string][] = [
    ['all is well', true, { tls: certificate }, '250 2.0.0'],
    ['no assured name', false, { tls: certificate }, '550 5.7.30'],
    ['no TLS', true, {}, '550 5.7.30'],
    ['a certificate that is not good', true, { tls: selfSigned }, '550 5.7.30'],
    ['no promise', true, { tls: certificate, options: without }, '550 5.7.30'],
  ]
  for (const [what, secure, server, expected] of cases) {
    const { send, peers } = await rig(t, { zones: domain(secure), servers: one(server) })
    assert.equal(code(await send({ requireTls: true })), expected, what)
    assert.equal(peers['127.0.0.2']?.received.length, expected.startsWith('250') ? 1 : 0, what)
    for (const { envelope } of peers['127.0.0.2']?.received ?? []) assert.equal(envelope.parameters.requireTls, true)
  }
  const byPolicy = await rig(t, { ...sts('enforce', 'mx.example.net'), servers: one({ tls: certificate }) })
  assert.equal(code(await byPolicy.send({ requireTls: true })), '250 2.0.0')
})

test('REQUIRETLS relaxed: a server that does not promise the same will do', async (t) => {
  const server = { tls: certificate, options: { extensions: { requireTls: false } } }
  const config = { 'require-tls': 'relaxed' as const }
  const { send, peers } = await rig(t, { zones: domain(true), servers: one(server), config })
  assert.equal(code(await send({ requireTls: true })), '250 2.0.0')
  assert.equal(peers['127.0.0.2']?.received[0]?.envelope.parameters.requireTls, false)
  const plain = await rig(t, { zones: domain(true), servers: one({}), config })
  assert.equal(code(await plain.send({ requireTls: true })), '550 5.7.30')
})

test('X-12 REQUIRETLS survives multi-domain messages: one domain whose server does not promise it frees no other', async (t) => {
  const zones: Zones = {
    ...domain(true),
    'other.example': { MX: [[10, 'plain.example']], secure: true },
    'plain.example': { A: ['127.0.0.3'], secure: true },
  }
  const relaxed = { tls: certificate, options: { extensions: { requireTls: false } } }
  const { courier, peers } = await rig(t, {
    zones,
    servers: { '127.0.0.2': relaxed, '127.0.0.3': {} },
    config: { 'require-tls': 'relaxed' },
  })
  const signal = new AbortController().signal
  const first = parcelTo(['ben@example.net'], { requireTls: true })
  assert.equal(code(await courier.send(first, signal)), '250 2.0.0')
  assert.equal(code(await courier.send({ ...first, domain: 'other.example' }, signal)), '550 5.7.30')
  assert.equal(peers['127.0.0.3']?.received.length, 0)
})

test('REQUIRETLS where a server is only down: later', async (t) => {
  const { send } = await rig(t, { zones: domain(true) })
  assert.equal(code(await send({ requireTls: true })), '451 4.4.1')
})

test('TLS-Required: No goes out where policies are not met, unless the config does not heed it; REQUIRETLS goes before it', async (t) => {
  const failing = sts('enforce', 'good.example.net')
  const heeded = await rig(t, { ...failing, servers: one({}), config: { tls: 'authenticated', mx: 'dnssec' } })
  assert.equal(code(await heeded.send({ tlsOptional: true })), '250 2.0.0')
  assert.equal(code(await heeded.send({ tlsOptional: true, requireTls: true })), '451 4.7.0')
  const dane = await daned(t, [ee(certificate)], { tls: selfSigned })
  const results = await dane.send({ tlsOptional: true })
  assert.deepEqual([code(results), results[0]?.tls], ['250 2.0.0', 'encrypted'])
  assert.equal(code(await dane.send()), '451 4.7.5')
  const not = await rig(t, { ...failing, servers: one({}), config: { 'tls-required-no': false } })
  assert.equal(code(await not.send({ tlsOptional: true })), '451 4.7.0')
})

test('a connection in clear or without a good certificate is not used again for a message that demands more', async (t) => {
  const zones: Record<string, ZoneRecords> = { ...domain(true) }
  const { send, peers } = await rig(t, { zones, servers: one({ tls: selfSigned }) })
  await send()
  assert.equal(code(await send({ requireTls: true })), '550 5.7.30')
  await send()
  // REQUIRETLS had its own connection, and the first one was used twice.
  assert.equal(peers['127.0.0.2']?.connections, 2)
  assert.equal(peers['127.0.0.2']?.received.length, 2)
})
