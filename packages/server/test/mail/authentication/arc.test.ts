// ARC: chains as forwarders make them, and what a receiver believes of them. The cases follow RFC 8617 §5.2 and what its public test suite asks.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { sealArc } from '../../../src/mail/authentication/arc/seal.ts'
import { type ArcResult, verifyArc } from '../../../src/mail/authentication/arc/verify.ts'
import type { SigningKey } from '../../../src/mail/authentication/dkim/sign.ts'
import { Message } from '../../../src/mail/authentication/message.ts'
import { resinfo } from '../../../src/mail/authentication/results.ts'
import { zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'
import { edKey, publishing, rsaKey } from './keys.ts'

const NOW = Date.UTC(2026, 0, 1)
const MAIL = 'From: Anna <anna@example.org>\r\nTo: list@example.net\r\nSubject: Hello\r\n\r\nHi all\r\n'

/** Three forwarders. */
const HOPS: readonly SigningKey[] = [rsaKey('one.example'), edKey('two.example'), rsaKey('three.example')]
const ZONES: Zones = publishing(...HOPS)

const validate = (mail: string, zones = ZONES): Promise<ArcResult> =>
  verifyArc(Message.of(Buffer.from(mail)), { resolver: zoneResolver(zones), now: NOW })

const PASSED = [
  resinfo({
    method: 'dmarc',
    result: 'pass',
    comment: 'a "quote" (and more',
    properties: [['header.from', 'example.org']],
  }),
]

/** The mail with one more set on top; unchanged where none may be added. */
async function sealed(
  mail: string,
  key: SigningKey,
  results: readonly string[] = PASSED,
  zones = ZONES,
): Promise<string> {
  const chain = await validate(mail, zones)
  const message = Message.of(Buffer.from(mail))
  const fields = await sealArc(message, { key, authservId: `mx.${key.domain}`, results, chain, now: NOW })
  return fields === undefined ? mail : `${fields.join('\r\n')}\r\n${mail}`
}

async function chainOf(hops: readonly SigningKey[], mail = MAIL): Promise<string> {
  let current = mail
  for (const hop of hops) current = await sealed(current, hop)
  return current
}

const THREE = await chainOf(HOPS)

describe('a chain', () => {
  test('that nobody began', async () => {
    assert.equal((await validate(MAIL)).status, 'none')
    assert.equal((await validate('')).status, 'none')
  })

  test('of three, each with a key of its own', async () => {
    const { status, instances, oldestPass, sealers, reason } = await validate(THREE)
    assert.deepEqual([status, instances, oldestPass], ['pass', 3, 0], reason)
    assert.deepEqual(
      sealers.map(({ domain, selector }) => [domain, selector]),
      HOPS.map(({ domain, selector }) => [domain, selector]),
    )
    const said = sealers[0]?.results
    assert.equal(said?.authservId, 'mx.one.example')
    assert.equal(said.results[0]?.method, 'dmarc')
    assert.equal(said.results[0]?.properties.get('header.from'), 'example.org')
  })

  test('that a list changed the message in: what came before is believed, and how far back it is the same is told', async () => {
    const changed = (await chainOf(HOPS.slice(0, 2))).replace('Subject: Hello', 'Subject: [list] Hello')
    assert.equal((await validate(changed)).status, 'fail')
    // A list seals what it made of the mail, having seen the chain when it came.
    const message = Message.of(Buffer.from(changed))
    const fields = await sealArc(message, {
      key: HOPS[2] as SigningKey,
      authservId: 'mx.three.example',
      results: PASSED,
      chain: { status: 'pass' },
      now: NOW,
    })
    const { status, oldestPass } = await validate(`${fields?.join('\r\n') ?? ''}\r\n${changed}`)
    assert.deepEqual([status, oldestPass], ['pass', 3])
  })

  test('folded anew and with names in other letters is the same', async () => {
    const refolded = THREE.replaceAll('\r\n\t', '\r\n     ').replaceAll('ARC-Seal', 'arc-SEAL')
    assert.equal((await validate(refolded)).status, 'pass')
  })

  test('with a key that cannot be asked for now is neither right nor wrong', async () => {
    const zones: Zones = { ...ZONES, 'e._domainkey.two.example': { fails: 'silence' } }
    assert.equal((await validate(THREE, zones)).status, 'temperror')
    assert.equal(await sealed(THREE, HOPS[0] as SigningKey, PASSED, zones), THREE, 'and is not sealed')
  })

  test('of fifty is the longest there may be', async () => {
    const fifty = await chainOf(Array.from({ length: 50 }, () => edKey('two.example')))
    const result = await validate(fifty)
    assert.deepEqual([result.status, result.instances], ['pass', 50], result.reason)
    assert.equal(await sealed(fifty, edKey('two.example')), fifty)
    const more = fifty.replace(
      /ARC-Seal: i=50[\s\S]*?(?=ARC-Message)/,
      (field) => `${field}${field.replace('i=50', 'i=51')}`,
    )
    assert.equal((await validate(more)).status, 'fail')
  })
})

describe('a chain that is none', () => {
  const field = (name: string, instance: number): RegExp =>
    new RegExp(`^${name}: i=${instance}\\b(?:.*\\r\\n[ \\t])*.*\\r\\n`, 'm')
  const cases: readonly (readonly [what: string, change: (mail: string) => string, reason: RegExp])[] = [
    ['a seal is gone', (mail) => mail.replace(field('ARC-Seal', 2), ''), /not whole/],
    ['a message signature is gone', (mail) => mail.replace(field('ARC-Message-Signature', 3), ''), /not whole/],
    ['results are gone', (mail) => mail.replace(field('ARC-Authentication-Results', 1), ''), /not whole/],
    [
      'a whole set is gone',
      (mail) =>
        ['ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results'].reduce(
          (left, name) => left.replace(field(name, 2), ''),
          mail,
        ),
      /not whole/,
    ],
    [
      'the first set is gone',
      (mail) =>
        ['ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results'].reduce(
          (left, name) => left.replace(field(name, 1), ''),
          mail,
        ),
      /not whole/,
    ],
    ['a seal twice', (mail) => mail.replace(field('ARC-Seal', 2), '$&$&'), /not whole/],
    ['a number that is none', (mail) => mail.replace('ARC-Seal: i=1', 'ARC-Seal: i=one'), /not whole/],
    ['number nought', (mail) => mail.replace('ARC-Seal: i=1', 'ARC-Seal: i=0'), /not whole/],
    ['the first says that it saw a chain', (mail) => mail.replace(/cv=none/, 'cv=pass'), /cv=/],
    ['a later one says that it saw none', (mail) => mail.replace(/cv=pass/, 'cv=none'), /cv=/],
    ['the last says that it was broken', (mail) => mail.replace(/cv=pass/, 'cv=fail'), /broken before/],
    ['results were changed', (mail) => mail.replace(/dmarc=pass(?![\s\S]*dmarc=pass)/, 'dmarc=fail'), /does not fit/],
    ['the subject was changed', (mail) => mail.replace('Hello', 'Hullo'), /signature 3/],
    ['the body was changed', (mail) => `${mail}PS\r\n`, /body/],
    ['a seal that chooses what it covers', (mail) => mail.replace('ARC-Seal: i=3;', 'ARC-Seal: i=3; h=from;'), /h=/],
    ['a seal with SHA-1', (mail) => mail.replace(/(ARC-Seal: i=3; a=rsa-)sha256/, '$1sha1'), /sha1/],
    ['a seal whose key is nowhere', (mail) => mail.replace(/(ARC-Seal: i=3[^]*?s=)r/, '$1nobody'), /no key/],
    [
      'a signature over a seal',
      (mail) => mail.replace(/(ARC-Message-Signature: i=3[^]*?h=)/, '$1arc-seal:'),
      /ARC-Seal/,
    ],
  ]
  for (const [what, change, reason] of cases)
    test(what, async () => {
      const changed = change(THREE)
      assert.notEqual(changed, THREE)
      const result = await validate(changed)
      assert.equal(result.status, 'fail', result.reason)
      assert.match(result.reason, reason)
      assert.deepEqual(result.sealers, [])
    })

  test('is sealed once as what it is, and then no more', async () => {
    const broken = THREE.replace('Hello', 'Hullo')
    const again = await sealed(broken, HOPS[0] as SigningKey)
    assert.match(again, /^ARC-Seal: i=4;[^]*?cv=fail/)
    const result = await validate(again)
    assert.equal(result.status, 'fail')
    assert.match(result.reason, /broken before set 4/)
    assert.equal(await sealed(again, HOPS[1] as SigningKey), again)
  })

  test('fields without order: the next set has the next number', async () => {
    const odd = `ARC-Seal: i=7; cv=none; a=rsa-sha256; d=x.example; s=x; b=AAAA\r\n${MAIL}`
    assert.match(await sealed(odd, HOPS[0] as SigningKey), /^ARC-Seal: i=8;[^]*?cv=fail/)
  })

  test('thousands of fields are no work', async () => {
    const resolver = zoneResolver(ZONES)
    const many = THREE.slice(0, THREE.indexOf('From:')).repeat(2000)
    const result = await verifyArc(Message.of(Buffer.from(many + MAIL)), { resolver, now: NOW })
    assert.deepEqual([result.status, resolver.asked.length], ['fail', 0])
  })

  test('octets flipped in the sets: never a pass', async () => {
    const end = THREE.indexOf('From:')
    await fc.assert(
      fc.asyncProperty(fc.nat(end - 3), fc.constantFrom('A', 'z', ';', '=', '(', '"', '\u00ff'), async (at, letter) => {
        if (/\s/.test(THREE[at] ?? '') || THREE[at] === letter) return
        const changed = THREE.slice(0, at) + letter + THREE.slice(at + 1)
        if (changed.toLowerCase() === THREE.toLowerCase()) return
        const { status } = await validate(changed)
        assert.notEqual(status, 'pass', changed.slice(Math.max(0, at - 30), at + 30))
      }),
      { numRuns: 300 },
    )
  })
})
