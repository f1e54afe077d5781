// Authentication-Results, written and read (RFC 8601).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  arcAuthenticationResults,
  authservId,
  parseResults,
  resinfo,
} from '../../../src/mail/authentication/results.ts'

describe('written', () => {
  test('a value that is no token is quoted, a comment cannot end early', () => {
    assert.equal(
      resinfo({
        method: 'dkim',
        result: 'fail',
        comment: 'he said: ) "no"',
        properties: [
          ['header.d', 'example.org'],
          ['header.b', 'ab+/cd=='],
          ['header.i', undefined],
        ],
      }),
      'dkim=fail (he said: \\) "no") header.d=example.org header.b="ab+/cd=="',
    )
  })

  test('an address is an address', () => {
    assert.equal(
      resinfo({ method: 'spf', result: 'pass', properties: [['smtp.mailfrom', 'anna+x@example.org']] }),
      'spf=pass smtp.mailfrom=anna+x@example.org',
    )
  })

  test('long ones are folded between words', () => {
    const text = resinfo({
      method: 'dkim',
      result: 'pass',
      properties: Array.from({ length: 9 }, (_, i) => [`header.x${i}`, 'y'.repeat(20)] as const),
    })
    assert.ok(text.split('\r\n\t').every((line) => line.length < 80))
  })

  test('whatever a peer chose, it is one field, and reads back', () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 1 }), (comment, value) => {
        const text = resinfo({ method: 'spf', result: 'pass', comment, properties: [['smtp.helo', value]] })
        assert.doesNotMatch(text, /\r\n(?!\t)|\r(?!\n)|(?<!\r)\n|[^\x20-\x7e\r\n\t]/)
        const [result, ...more] = parseResults(`mx.example.org; ${text}`)?.results ?? []
        assert.deepEqual(more, [])
        assert.equal(result?.result, 'pass')
        assert.equal(result.properties.get('smtp.helo'), value.replace(/[^\x20-\x7e]/g, '?'))
      }),
    )
  })

  test('the field of ARC', () => {
    assert.equal(
      arcAuthenticationResults(3, 'mx.example.org', []),
      'ARC-Authentication-Results: i=3;\r\n\tmx.example.org;\r\n\tnone',
    )
  })
})

describe('read', () => {
  test('the examples of RFC 8601 appendix B', () => {
    assert.deepEqual(parseResults('example.org 1; none')?.authservId, 'example.org')
    const parsed = parseResults(`example.com;
                  auth=pass (cram-md5) smtp.auth=sender@example.net;
                  spf=pass smtp.mailfrom=example.net`)
    assert.deepEqual(
      parsed?.results.map(({ method, result, properties }) => [method, result, ...properties]),
      [
        ['auth', 'pass', ['smtp.auth', 'sender@example.net']],
        ['spf', 'pass', ['smtp.mailfrom', 'example.net']],
      ],
    )
    const commented = parseResults(`foo.example.net (foobar) 1 (baz);
                  dkim (Because I like it) / 1 (One yay) = (wait for it) fail
                    policy (A dot can go here) . (like that) expired
                    (this surprised me) = (as I wasn't expecting it) 1362471462`)
    assert.equal(commented?.authservId, 'foo.example.net')
  })

  test('what others write: versions, base64 without quotes, capitals', () => {
    const [result] = parseResults('MX.Example.Org.; DKIM/1=PASS header.b=ab+/c== header.d=example.org')?.results ?? []
    assert.deepEqual([result?.method, result?.result, result?.properties.get('header.b')], ['dkim', 'pass', 'ab+/c=='])
  })

  for (const [value, id] of [
    ['mail.example.org; none', 'mail.example.org'],
    [' (c (d) \\) e) "mail.example.org" ; x', 'mail.example.org'],
    ['MAIL.example.org.;', 'mail.example.org'],
    ['(unclosed mail.example.org', undefined],
    ['', undefined],
    ['; spf=pass', undefined],
    ['"mail.\\example.org"', 'mail.example.org'],
  ] as const)
    test(`${JSON.stringify(value)} is of ${String(id)}`, () => assert.equal(authservId(value), id))

  test('anything, quickly', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('(', ')', '"', '\\', ';', '=', 'a', ' ', '/') }),
        (text) => void parseResults(text),
      ),
    )
    const before = performance.now()
    for (const odd of ['(', '"', '\\', ';', '=', 'a ', '()']) parseResults(`x; ${odd.repeat(100_000)}`)
    assert.ok(performance.now() - before < 1000)
  })
})
