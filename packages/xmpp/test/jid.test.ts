import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { Jid, JidError } from '../src/index.ts'

describe('addresses that are right', () => {
  const cases: [string, string, string, string][] = [
    ['example.org', '', 'example.org', ''],
    ['Example.ORG.', '', 'example.org', ''],
    ['anna@example.org', 'anna', 'example.org', ''],
    ['Anna@example.org/Phone', 'anna', 'example.org', 'Phone'],
    ['anna@example.org/a/b@c', 'anna', 'example.org', 'a/b@c'],
    ['example.org/anna@x', '', 'example.org', 'anna@x'],
    ['anna@example.org/with space', 'anna', 'example.org', 'with space'],
    ['d\\27artagnan@example.org', 'd\\27artagnan', 'example.org', ''],
    ['juliet+tag!#$%*=?^_`{|}~@example.org', 'juliet+tag!#$%*=?^_`{|}~', 'example.org', ''],
    ['Größe@münchen.example', 'größe', 'xn--mnchen-3ya.example', ''],
    ['fußball@example.org', 'fußball', 'example.org', ''],
    ['ΠΑΥΛΟ@example.org', 'παυλο', 'example.org', ''],
    ['ａｎｎａ@example.org', 'anna', 'example.org', ''],
    ['e\u0301va@example.org', '\u00e9va', 'example.org', ''],
    ['我@例え.example', '我', 'xn--r8jz45g.example', ''],
    ['a@example.org/e\u0301\u00a0♚❤\ufe0f', 'a', 'example.org', '\u00e9 ♚❤'],
    ['a@example.org/👨\u200d👩', 'a', 'example.org', '👨👩'],
    ['a@192.0.2.1', 'a', '192.0.2.1', ''],
    ['a@[2001:DB8::1]/r', 'a', '[2001:db8::1]', 'r'],
    [`${'a'.repeat(1023)}@b`, 'a'.repeat(1023), 'b', ''],
  ]
  for (const [text, local, domain, resource] of cases) {
    it(JSON.stringify(text.slice(0, 40)), () => {
      const jid = Jid.parse(text)
      assert.deepEqual([jid.local, jid.domain, jid.resource], [local, domain, resource])
      assert.ok(Jid.parse(jid.toString()).equals(jid))
    })
  }
})

describe('strings that are no addresses', () => {
  const cases = [
    '',
    '@',
    '/',
    '@example.org',
    'anna@',
    'anna@/r',
    'anna@example.org/',
    'an na@example.org',
    'a"b@example.org',
    'a&b@example.org',
    "a'b@example.org",
    'a:b@example.org',
    'a<b@example.org',
    'a>b@example.org',
    'a@b@example.org',
    'a\u0000@example.org',
    'a@exa mple.org',
    'a@example..org',
    'a@.org',
    'a@example.org/\u0007',
    'a@example.org/\u007f',
    'henry\u2163@example.org',
    '♚@example.org',
    'a\u200d@example.org',
    'a\u00a0b@example.org',
    '\uff20@example.org',
    'a@example.org/\ufffe',
    'a@example.org/\ud800',
    `${'a'.repeat(1024)}@b`,
    `a@b/${'é'.repeat(512)}`,
    `a@${'b'.repeat(64)}.org`,
    `a@${'b.'.repeat(200)}org`,
    'a@[::1',
    'a@[x]',
    'a@example.org:5222',
    'a@\u2100.org',
  ]
  for (const text of cases) it(JSON.stringify(text.slice(0, 40)), () => assert.throws(() => Jid.parse(text), JidError))
})

describe('a Jid', () => {
  const full = Jid.parse('anna@example.org/phone')
  it('has a bare form, and others beside it', () => {
    assert.equal(full.bare.toString(), 'anna@example.org')
    assert.equal(full.bareString, 'anna@example.org')
    assert.deepEqual([full.isFull, full.bare.isFull], [true, false])
    assert.equal(full.withResource('desk').toString(), 'anna@example.org/desk')
    assert.ok(Jid.of('ANNA', 'EXAMPLE.org', 'phone').equals(full))
    assert.equal(JSON.stringify({ full }), '{"full":"anna@example.org/phone"}')
    assert.equal(Jid.tryParse('@'), undefined)
  })
  it('whatever comes in: refused with JidError, or prepared once and for all', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string(),
          fc.string({ unit: fc.constantFrom('a', 'É', '@', '/', '.', ' ', '\u0130', 'ß', '😀') }),
        ),
        (text) => {
          let jid: Jid
          try {
            jid = Jid.parse(text)
          } catch (error) {
            assert.ok(error instanceof JidError)
            return
          }
          assert.equal(Jid.parse(jid.toString()).toString(), jid.toString())
        },
      ),
      { numRuns: 5000 },
    )
  })
})
