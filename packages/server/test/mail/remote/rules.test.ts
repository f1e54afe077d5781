// The rules of remote delivery by themselves: order of servers, records of MTA-STS and DANE, policies, settings, turns.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, assert as check, constantFrom, integer, nat, property, record, string, uint8Array } from 'fast-check'
import * as v from 'valibot'
import { HandClock } from '../../../src/kernel/clock.ts'
import { SeededRandom } from '../../../src/kernel/random.ts'
import { interleaved, sourceFor } from '../../../src/net/dns/addresses.ts'
import { answer, answerOf, Undeliverable } from '../../../src/mail/targets/remote/answers.ts'
import { remoteConfig, ruleFinder } from '../../../src/mail/targets/remote/config.ts'
import { daneMatches, isUsable, names } from '../../../src/net/dane.ts'
import { Destinations } from '../../../src/mail/targets/remote/destinations.ts'
import { parseStsPolicy, stsAllows, stsId } from '../../../src/mail/targets/remote/mta-sts.ts'
import { inOrder } from '../../../src/mail/targets/remote/mx.ts'
import { demandsOf } from '../../../src/mail/targets/remote/policy.ts'
import { certify, tlsaData } from '../../fixtures/certificates.ts'

test('servers are tried by preference, those of the same one in a random order', () => {
  const records = [
    { preference: 20, exchange: 'c' },
    { preference: 10, exchange: 'a' },
    { preference: 10, exchange: 'b' },
    { preference: 30, exchange: 'a' },
  ]
  const seen = new Set<string>()
  const random = new SeededRandom(7)
  for (let i = 0; i < 64; i++)
    seen.add(
      inOrder(records, random)
        .map(({ host }) => host)
        .join(''),
    )
  assert.deepEqual([...seen].sort(), ['abc', 'bac'])
})

test('property: the order keeps preferences and loses no server', () => {
  check(
    property(
      array(record({ preference: nat(3), exchange: constantFrom('a', 'b', 'c', 'd', 'e') }), { maxLength: 12 }),
      integer(),
      (records, seed) => {
        const list = inOrder(records, new SeededRandom(seed))
        assert.deepEqual(new Set(list.map(({ host }) => host)), new Set(records.map(({ exchange }) => exchange)))
        for (const [i, { preference }] of list.entries())
          assert.ok(i === 0 || (list[i - 1]?.preference ?? 0) <= preference)
      },
    ),
  )
})

test('addresses of both families take turns; connections leave from an address of the same family', () => {
  assert.deepEqual(interleaved([1, 3, 5], [2]), [1, 2, 3, 5])
  assert.deepEqual(interleaved([], [2, 4]), [2, 4])
  assert.equal(sourceFor('2001:db8::1', ['192.0.2.1', '2001:db8::9']), '2001:db8::9')
  assert.equal(sourceFor('192.0.2.5', ['192.0.2.1', '2001:db8::9']), '192.0.2.1')
  assert.equal(sourceFor('192.0.2.5', ['2001:db8::9']), undefined)
})

test('X-11 an answer of ours cannot be made of codes that do not fit; one of others is mended', () => {
  assert.throws(() => answer(451, '5.4.0', 'x'), RangeError)
  check(
    property(nat(599), string(), array(string()), (code, enhanced, lines) => {
      const made = answerOf({ code, enhanced, lines })
      assert.equal(made.enhanced[0], String(made.code)[0])
      assert.doesNotMatch(made.text, /[\r\n]/)
    }),
  )
})

test('MTA-STS: exactly one record counts among those that begin with v=STSv1', () => {
  assert.equal(stsId(['v=STSv1; id=20260101;']), '20260101')
  assert.equal(stsId(['google-site-verification=x', 'v=STSv1;id=a', 'v=spf1 -all']), 'a')
  assert.equal(stsId(['v=STSv1 ; id = b ; x=y']), 'b')
  for (const records of [
    [],
    ['v=STSv1; id=1', 'v=STSv1; id=2'],
    ['v=STSv1;'],
    ['v=STSv1; id=not-good'],
    [`v=STSv1; id=${'x'.repeat(33)}`],
    ['v=STSv10; id=1'],
    ['id=1; v=STSv1'],
    [`v=STSv1; id=1;${' '.repeat(2000)}`],
  ])
    assert.equal(stsId(records), undefined, records[0])
})

test('MTA-STS policies: line ends of both kinds, unknown keys passed over, the first of a key counts', () => {
  const text =
    'version: STSv1\nmode: enforce\r\nmode: none\nmx: A.example\nmx: *.b.example\nx-new: thing\nmax_age: 604800\n'
  assert.deepEqual(parseStsPolicy(text), { mode: 'enforce', mx: ['a.example', '*.b.example'], maxAge: 604_800 })
  assert.deepEqual(parseStsPolicy('version: STSv1\nmode: none\nmax_age: 99999999999'), undefined)
  assert.equal(parseStsPolicy('version: STSv1\nmode: none\nmax_age: 9999999999')?.maxAge, 31_557_600)
  for (const bad of [
    '',
    'mode: none\nmax_age: 1',
    'version: STSv2\nmode: none\nmax_age: 1',
    'version: STSv1\nmode: enforce\nmax_age: 1',
    'version: STSv1\nmode: strict\nmx: a\nmax_age: 1',
    'version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 1',
    'version: STSv1\nmode: enforce\nmx: *\nmax_age: 1',
    'version: STSv1\nmode: enforce\nmx: a\nmax_age: soon',
    '<html>',
    `version: STSv1\nmode: enforce\nmax_age: 1\n${'mx: a\n'.repeat(101)}`,
  ])
    assert.equal(parseStsPolicy(bad), undefined, bad.slice(0, 60))
})

test('property: no text makes the readers of MTA-STS throw or dawdle', () => {
  check(
    property(string({ maxLength: 2000 }), (text) => {
      parseStsPolicy(text)
      stsId([text, `v=STSv1;${text}`])
    }),
  )
  const started = performance.now()
  parseStsPolicy(`version: STSv1\nmx:${' \t'.repeat(32_000)}x`)
  parseStsPolicy('a'.repeat(65_536))
  assert.ok(performance.now() - started < 200)
})

test('MTA-STS patterns: the wildcard stands for exactly the first label', () => {
  const policy = (...mx: readonly string[]) => ({ mode: 'enforce' as const, mx, maxAge: 1 })
  assert.equal(stsAllows(policy('mx.example.net'), 'mx.example.net'), true)
  assert.equal(stsAllows(policy('*.example.net'), 'mx.example.net'), true)
  assert.equal(stsAllows(policy('*.example.net.'), 'mx.example.net'), true)
  for (const host of ['a.mx.example.net', 'example.net', 'mx.example.org', 'mxexample.net'])
    assert.equal(stsAllows(policy('*.example.net'), host), false, host)
  assert.equal(stsAllows(policy('*.net'), 'net'), false)
})

test('DANE: the record-matching table for usages 0 to 3, selectors and matching types', () => {
  const ours = certify({ names: ['mx.example.net'] })
  const other = certify({ names: ['mx.example.net'] })
  for (const usage of [0, 1, 2, 3])
    for (const selector of [0, 1] as const)
      for (const matchingType of [0, 1, 2] as const) {
        const made = (of: typeof ours) => ({
          usage,
          selector,
          matchingType,
          data: Buffer.from(tlsaData(of, selector, matchingType), 'hex'),
        })
        const what = `${usage} ${selector} ${matchingType}`
        assert.equal(isUsable(made(ours)), usage >= 2, what)
        assert.equal(names(made(ours), ours.certificate), true, what)
        assert.equal(names(made(other), ours.certificate), false, what)
        if (usage >= 2)
          assert.equal(
            daneMatches([made(ours)], [ours.certificate], ['mx.example.net'], Date.UTC(2026, 0, 1)),
            true,
            what,
          )
      }
  assert.equal(daneMatches([], [ours.certificate], [], 0), false)
  assert.equal(daneMatches([], [], [], 0), false)
})

test('property: no TLSA record makes us throw, and none that is made up matches', () => {
  const ours = certify({ names: ['mx.example.net'] })
  check(
    property(nat(4), nat(3), nat(4), uint8Array({ maxLength: 80 }), (usage, selector, matchingType, data) => {
      const made = { usage, selector, matchingType, data }
      if (isUsable(made)) assert.equal(daneMatches([made], [ours.certificate], ['mx.example.net'], 0), false)
    }),
  )
})

test('property: what is demanded only grows with what is asked for, but for TLS-Required: No', () => {
  const levels = ['none', 'encrypted', 'authenticated'] as const
  check(
    property(
      constantFrom(...levels),
      constantFrom('none' as const, 'unusable' as const, 'records' as const),
      constantFrom(undefined, 'enforce' as const, 'testing' as const),
      constantFrom(true, false),
      constantFrom(true, false),
      (tls, dane, mode, requireTls, secure) => {
        const demands = demandsOf({
          host: 'mx.example.net',
          secure,
          dane:
            dane === 'none'
              ? { kind: dane }
              : dane === 'unusable'
                ? { kind: dane, base: 'mx.example.net' }
                : { kind: dane, base: 'mx.example.net', names: [], records: [] },
          sts: mode === undefined ? undefined : { mode, mx: ['mx.example.net'], maxAge: 1 },
          local: { mx: 'none', tls },
          requireTls,
          tlsOptional: false,
        })
        if ('refused' in demands) return assert.ok(requireTls && !secure && mode !== 'enforce')
        const least = Math.max(
          levels.indexOf(tls),
          dane === 'records' ? 2 : dane === 'unusable' ? 1 : 0,
          mode === 'enforce' || requireTls ? 2 : 0,
        )
        assert.equal(demands.tls, levels[least])
        return assert.equal(demands.requireTls, requireTls)
      },
    ),
  )
})

test('the settings of a destination: its own entry, the nearest wildcard above it, then those for all', () => {
  const rule = ruleFinder(
    v.parse(remoteConfig, {
      tls: 'encrypted',
      concurrency: 7,
      destinations: {
        'a.example': { concurrency: 1 },
        '*.example': { tls: 'authenticated' },
        '*.b.example': { port: 2525, host: 'Relay.Example.' },
        'BÜCHER.test': { mx: 'dnssec' },
      },
    }),
  )
  assert.deepEqual([rule('a.example').limits.concurrency, rule('a.example').tls], [1, 'encrypted'])
  assert.deepEqual([rule('x.example').limits.concurrency, rule('x.example').tls], [7, 'authenticated'])
  assert.deepEqual([rule('x.b.example').host, rule('x.b.example').port], ['relay.example', 2525])
  assert.equal(rule('b.example').host, undefined)
  assert.equal(rule('xn--bcher-kva.test').mx, 'dnssec')
  assert.deepEqual([rule('other.test').port, rule('other.test').tls], [25, 'encrypted'])
})

test('turns: nothing is left of destinations that nobody uses, whatever way they end', async () => {
  const clock = new HandClock()
  const destinations = new Destinations(clock)
  const limits = { concurrency: 1, rate: { messages: 2, per: 1000 } }
  const forever = new AbortController().signal
  const release = await destinations.turn('a', limits, forever)
  const abort = new AbortController()
  const impatient = destinations.turn('a', limits, abort.signal)
  const late = destinations.turn('a', limits, forever)
  abort.abort(new Error('enough'))
  await assert.rejects(impatient, /enough/)
  clock.turn(30_000)
  await assert.rejects(late, Undeliverable)
  release()
  release()
  await Promise.all(
    Array.from({ length: 1000 }, async (_, i) =>
      (await destinations.turn(`d${i}`, { concurrency: 1, rate: undefined }, forever))(),
    ),
  )
  clock.turn(1000)
  assert.equal(destinations.size, 0)
})

test('property: turns never exceed concurrency, and everybody gets one in the end', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed)
    const clock = new HandClock()
    const destinations = new Destinations(clock)
    const limits = {
      concurrency: 1 + ((random.bytes(1)[0] ?? 0) % 3),
      rate: seed % 2 === 0 ? { messages: 5, per: 100 } : undefined,
    }
    let busy = 0
    let served = 0
    const all = Array.from({ length: 30 }, async () => {
      const release = await destinations.turn('x', limits, new AbortController().signal)
      assert.ok(++busy <= limits.concurrency)
      for (let i = 0; i < (random.bytes(1)[0] ?? 0) % 4; i++) await Promise.resolve()
      busy--
      served++
      release()
    })
    for (let i = 0; i < 60; i++) {
      clock.turn(20)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(all)
    assert.equal(served, 30)
    clock.turn(1000)
    assert.equal(destinations.size, 0)
  }
})
