// The pure rules of federation: names in certificates, the order of servers, patterns of domains.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import * as v from 'valibot'
import { s2sConfig } from '../../../src/chat/s2s/config.ts'
import { sorted } from '../../../src/chat/s2s/hops.ts'
import { isFor } from '../../../src/chat/s2s/identity.ts'
import { alternativeNames } from '../../../src/net/alternative-names.ts'
import { Policy } from '../../../src/chat/s2s/policy.ts'
import { SeededRandom } from '../../../src/kernel/random.ts'
import { certify } from '../../fixtures/certificates.ts'

test('names of certificates as Node writes them', () => {
  assert.deepEqual(
    alternativeNames(
      'DNS:a.example, othername:XmppAddr:b.example, othername:SRVName:_xmpp-server.c.example, IP Address:192.0.2.1',
    ),
    [
      ['DNS', 'a.example'],
      ['othername:XmppAddr', 'b.example'],
      ['othername:SRVName', '_xmpp-server.c.example'],
      ['IP Address', '192.0.2.1'],
    ],
  )
  // CVE-2021-44532: a name that looks like two stands in quotes.
  assert.deepEqual(alternativeNames('DNS:"evil.example, DNS:victim.example", DNS:b.example'), [['DNS', 'b.example']])
  assert.deepEqual(alternativeNames('othername:"XmppAddr:x\\u0000, DNS:victim.example"'), [])
  assert.deepEqual(alternativeNames(''), [])
})

test('whatever stands in quotes, no name is taken out of it', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const names = alternativeNames(`URI:${JSON.stringify(`${text}, DNS:victim.example`)}`)
      assert.deepEqual(names, [])
    }),
  )
})

test('a certificate is for its names, a wildcard for one label, a common name for nothing', () => {
  const { certificate } = certify({ names: ['one.example', '*.two.example', '*.example'] })
  for (const domain of ['one.example', 'a.two.example']) assert.ok(isFor(certificate, domain), domain)
  for (const domain of ['two.example', 'a.b.two.example', 'other.example', 'example', 'a.one.example'])
    assert.ok(!isFor(certificate, domain), domain)
})

test('a certificate is for its XMPP addresses', () => {
  const { certificate } = certify({ names: ['web.example'], xmppAddresses: ['chat.example', 'a, DNS:victim.example'] })
  assert.ok(isFor(certificate, 'chat.example'), certificate.subjectAltName)
  assert.ok(isFor(certificate, 'web.example'))
  assert.ok(!isFor(certificate, 'victim.example'), certificate.subjectAltName)
})

test('servers come by priority, at random by weight', () => {
  const record = (priority: number, weight: number) => ({ record: { priority, weight, port: 1, target: 't' } })
  const random = new SeededRandom(5)
  const light = record(1, 1)
  const heavy = record(1, 9)
  const last = record(2, 1000)
  let first = 0
  for (let round = 0; round < 1000; round++) {
    const order = sorted([last, light, heavy], random)
    assert.equal(order[2], last)
    if (order[0] === heavy) first++
  }
  assert.ok(first > 800 && first < 960, String(first))
  assert.equal(sorted([record(0, 0), record(0, 0)], random).length, 2)
})

test('patterns of domains', () => {
  const policy = new Policy(
    v.parse(s2sConfig, {
      'blocked-domains': ['Bad.Example', '*.worse.example'],
      'insecure-domains': ['old.example'],
      'secure-domains': ['bank.example'],
    }),
  )
  assert.deepEqual(
    ['bad.example', 'a.bad.example', 'worse.example', 'a.worse.example', 'a.b.worse.example'].map((domain) =>
      policy.permits(domain),
    ),
    [false, true, true, false, false],
  )
  assert.deepEqual(
    ['old.example', 'new.example'].map((domain) => policy.needsCertificate(domain)),
    [false, true],
  )
  const lax = new Policy(v.parse(s2sConfig, { 'require-certificate': false, 'secure-domains': ['bank.example'] }))
  assert.deepEqual(
    ['bank.example', 'new.example'].map((domain) => lax.needsCertificate(domain)),
    [true, false],
  )
  assert.throws(() => v.parse(s2sConfig, { 'blocked-domains': ['a..example'] }))
})
