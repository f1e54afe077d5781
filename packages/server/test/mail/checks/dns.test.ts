// Checks that ask the DNS, and those that only look at the connection.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TlsFacts } from '../../../src/net/contracts.ts'
import type { ZoneRecords } from '../../../src/net/dns/testing/index.ts'
import { openHouse, refusal } from '../pipeline/house.ts'

const TLS: TlsFacts = {
  protocol: 'TLSv1.3',
  cipher: 'TLS_AES_256_GCM_SHA384',
  serverName: undefined,
  alpn: undefined,
  channelBinding: new Map(),
}
const to = ['anna@example.org']

describe('require-tls', () => {
  test('M-20 RequireTLS: 550 5.7.1 in the clear, taken under TLS', async (t) => {
    const house = await openHouse(t, { config: { incoming: { checks: { 'require-tls': true } } } })
    await assert.rejects(house.receive({ to }), refusal(550, '5.7.1', /TLS/))
    await house.receive({ to, client: { tls: TLS } })
    assert.equal((await house.mails('anna')).length, 1)
  })

  test('mail that no connection brought passes', async (t) => {
    const house = await openHouse(t, { config: { incoming: { checks: { 'require-tls': true } } } })
    await house.receive({ to, client: { remoteAddress: '' } })
  })
})

describe('the shape of an action', () => {
  const plaintext = (action: unknown) =>
    ({ config: { incoming: { checks: { 'require-tls': { plaintext: action } } } } }) as Parameters<typeof openHouse>[1]

  test('a code of one’s own without an enhanced one has x.7.0', async (t) => {
    const house = await openHouse(t, plaintext({ action: 'reject', code: 523, text: 'Mit TLS bitte' }))
    await assert.rejects(house.receive({ to }), refusal(523, '5.7.0', /^Mit TLS bitte$/))
  })

  test('defer has a code of its own', async (t) => {
    const house = await openHouse(t, plaintext('defer'))
    await assert.rejects(house.receive({ to }), refusal(451, '4.7.1'))
  })

  test('quarantine takes the mail into Junk', async (t) => {
    const house = await openHouse(t, plaintext('quarantine'))
    await house.receive({ to })
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
  })

  for (const wrong of [
    'discard',
    { action: 'reject', code: 451 },
    { action: 'defer', code: 550 },
    { action: 'reject', code: 550, enhanced: '4.7.1' },
    { action: 'accept', code: 550 },
    { action: 'reject', text: 'two\nlines' },
  ])
    test(`${JSON.stringify(wrong)} is refused`, async (t) => {
      await assert.rejects(openHouse(t, plaintext(wrong)))
    })
})

describe('sender-mx', () => {
  const dns: Record<string, ZoneRecords> = {
    'mx.example': { MX: [[10, 'mail.mx.example']] },
    'a.example': { A: ['192.0.2.1'] },
    'aaaa.example': { AAAA: ['2001:db8::1'] },
    'null.example': { MX: [[0, '.']], A: ['192.0.2.1'] },
    'txt.example': { TXT: ['nothing else'] },
    'broken.example': { fails: 'SERVFAIL' },
    'half.example': { fails: { A: 'silence' } },
  }
  const cases: readonly (readonly [domain: string, outcome: 'INBOX' | readonly [number, string]])[] = [
    ['mx.example', 'INBOX'],
    ['a.example', 'INBOX'],
    ['aaaa.example', 'INBOX'],
    ['txt.example', [550, '5.1.8']],
    ['nowhere.example', [550, '5.1.8']],
    ['null.example', [550, '5.7.27']],
    ['broken.example', [451, '4.4.3']],
    ['half.example', [451, '4.4.3']],
  ]
  for (const [domain, outcome] of cases)
    test(`${domain}: ${String(outcome)}`, async (t) => {
      const house = await openHouse(t, {
        dns,
        config: { incoming: { checks: { 'sender-mx': { missing: 'reject' } } } },
      })
      const sent = house.receive({ to, from: `bo@${domain}` })
      if (outcome === 'INBOX') await sent
      else await assert.rejects(sent, refusal(...outcome))
    })

  test('a null MX has an action of its own', async (t) => {
    const checks = { 'sender-mx': { missing: 'reject', 'null-mx': 'quarantine' } } as const
    const house = await openHouse(t, { dns, config: { incoming: { checks } } })
    await house.receive({ to, from: 'bo@null.example' })
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
    await assert.rejects(house.receive({ to, from: 'bo@nowhere.example' }), refusal(550, '5.1.8'))
  })

  test('where an address is not enough, an MX is needed; a missing one quarantines by default', async (t) => {
    const house = await openHouse(t, {
      dns,
      config: { incoming: { checks: { 'sender-mx': { 'address-is-enough': false } } } },
    })
    await house.receive({ to, from: 'bo@a.example' })
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
  })

  test('a notification and an address literal pass without a question', async (t) => {
    const house = await openHouse(t, { dns, config: { incoming: { checks: { 'sender-mx': true } } } })
    await house.receive({ to, from: '' })
    await house.receive({ to, from: 'bo@[192.0.2.7]' })
    assert.deepEqual(house.resolver.asked, [])
  })
})

describe('reverse-name', () => {
  const all = { missing: 'reject', unconfirmed: 'reject', mismatch: 'reject', 'dns-failure': 'defer' } as const
  const dns: Record<string, ZoneRecords> = {
    '7.2.0.192.in-addr.arpa': { PTR: ['other.example', 'mx.example.net'] },
    'mx.example.net': { A: ['192.0.2.9', '192.0.2.7'] },
    '8.2.0.192.in-addr.arpa': { PTR: ['liar.example'] },
    'liar.example': { A: ['192.0.2.1'] },
    '9.2.0.192.in-addr.arpa': { fails: 'SERVFAIL' },
    '10.2.0.192.in-addr.arpa': { PTR: ['slow.example'] },
    'slow.example': { fails: 'silence' },
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa': { PTR: ['six.example'] },
    'six.example': { AAAA: ['2001:db8:0:0::1'] },
  }
  const cases: readonly (readonly [ip: string, hello: string, result: string, refused?: readonly [number, string]])[] =
    [
      ['192.0.2.7', 'MX.example.net.', 'pass'],
      ['::ffff:192.0.2.7', 'mx.example.net', 'pass'],
      ['2001:db8::1', 'six.example', 'pass'],
      ['192.0.2.7', 'other.example', 'pass', [550, '5.7.25']],
      ['192.0.2.8', 'liar.example', 'fail', [550, '5.7.25']],
      ['192.0.2.11', 'mx.example.net', 'permerror', [550, '5.7.25']],
      ['192.0.2.9', 'mx.example.net', 'temperror', [451, '4.4.3']],
      ['192.0.2.10', 'slow.example', 'temperror', [451, '4.4.3']],
    ]
  for (const [remoteAddress, hello, result, refused] of cases) {
    test(`${remoteAddress} greeting as ${hello}: ${result}${refused === undefined ? '' : `, ${refused.join(' ')}`}`, async (t) => {
      const house = await openHouse(t, { dns, config: { incoming: { checks: { 'reverse-name': all } } } })
      const sent = house.receive({ to, client: { remoteAddress, hello } })
      if (refused === undefined) await sent
      else await assert.rejects(sent, refusal(...refused))
    })
    test(`${remoteAddress} greeting as ${hello}: the result is told where the mail is taken`, async (t) => {
      const accept = { missing: 'accept', unconfirmed: 'accept', mismatch: 'accept', 'dns-failure': 'accept' } as const
      const house = await openHouse(t, { dns, config: { incoming: { checks: { 'reverse-name': accept } } } })
      await house.receive({ to, client: { remoteAddress, hello } })
      const [mail = ''] = await house.mails('anna')
      assert.match(
        mail,
        new RegExp(`Authentication-Results: mail\\.example\\.org;\\r\\n\\tiprev=${result} policy\\.iprev=`),
      )
    })
  }

  test('it is asked once a session', async (t) => {
    const house = await openHouse(t, { dns, config: { incoming: { checks: { 'reverse-name': true } } } })
    await house.receive({ to, client: { remoteAddress: '192.0.2.7' } })
    const asked = house.resolver.asked.length
    await house.receive({ to, client: { remoteAddress: '192.0.2.7' } })
    assert.equal(house.resolver.asked.length, asked)
  })
})

describe('dnsbl', () => {
  const healthy = (zone: string): Record<string, ZoneRecords> => ({ [`2.0.0.127.${zone}`]: { A: ['127.0.0.2'] } })
  const listed = (zone: string, answer = '127.0.0.2', text?: string): Record<string, ZoneRecords> => ({
    [`7.2.0.192.${zone}`]: { A: [answer], ...(text !== undefined && { TXT: [text] }) },
  })
  const zones = { 'bl.example': {}, 'wl.example': { score: -1 } }

  test('M-24 DNSBL: a listed address is refused with 554 5.7.0 and the list’s reason; an allow-list weighs against it', async (t) => {
    const dns = {
      ...healthy('bl.example'),
      ...healthy('wl.example'),
      ...listed('bl.example', '127.0.0.2', 'seen\r\nspamming'),
    }
    const house = await openHouse(t, { dns, config: { incoming: { checks: { dnsbl: { zones, 'reject-at': 1 } } } } })
    await assert.rejects(
      house.receive({ to }),
      refusal(554, '5.7.0', /^192\.0\.2\.7 is listed by bl\.example \(seen spamming\)$/),
    )
    await house.receive({ to, client: { remoteAddress: '192.0.2.8' } })
    const compensated = await openHouse(t, {
      dns: { ...dns, ...listed('wl.example') },
      config: { incoming: { checks: { dnsbl: { zones, 'reject-at': 1 } } } },
    })
    await compensated.receive({ to })
    assert.equal((await compensated.mails('anna')).length, 1)
  })

  test('without reject-at mail goes to Junk', async (t) => {
    const house = await openHouse(t, {
      dns: listed('bl.example'),
      config: { incoming: { checks: { dnsbl: { zones } } } },
    })
    await house.receive({ to })
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
  })

  test('answers weigh differently; one outside the known ones is none', async (t) => {
    const rules = {
      'by-response': [
        { responses: ['127.0.0.2'], score: 1 },
        { responses: ['127.0.0.4/30'], score: 5, text: 'a zombie' },
      ],
    }
    const with_ = async (answer: string) =>
      openHouse(t, {
        dns: listed('bl.example', answer, 'not this text'),
        config: { incoming: { checks: { dnsbl: { zones: { 'bl.example': rules }, 'reject-at': 3 } } } },
      })
    await assert.rejects((await with_('127.0.0.5')).receive({ to }), refusal(554, '5.7.0', /a zombie/))
    const small = await with_('127.0.0.2')
    await small.receive({ to })
    assert.equal((await small.mails('anna', 'Junk')).length, 1)
    const unknown = await with_('127.0.0.99')
    await unknown.receive({ to })
    assert.equal((await unknown.mails('anna')).length, 1)
  })

  test('the name in EHLO and the sender domain, where the list holds domains', async (t) => {
    const names = { 'dbl.example': { 'client-ipv4': false, 'client-ipv6': false, hello: true, sender: true } }
    const config = { incoming: { checks: { dnsbl: { zones: names, 'reject-at': 1 } } } }
    const dns = { 'bad.example.dbl.example': { A: ['127.0.0.2'] } }
    const house = await openHouse(t, { dns, config })
    await assert.rejects(house.receive({ to, from: 'x@bad.example' }), refusal(554, '5.7.0'))
    await assert.rejects(house.receive({ to, client: { hello: 'bad.example' } }), refusal(554, '5.7.0'))
    await house.receive({ to, from: '' })
    assert.ok(house.resolver.asked.every((question) => !question.includes('7.2.0.192')))
  })

  test('IPv6 addresses by their nibbles', async (t) => {
    const name = `1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example`
    const house = await openHouse(t, {
      dns: { [name]: { A: ['127.0.0.3'] } },
      config: { incoming: { checks: { dnsbl: { zones, 'reject-at': 1 } } } },
    })
    await assert.rejects(house.receive({ to, client: { remoteAddress: '2001:db8::1' } }), refusal(554, '5.7.0'))
  })

  test('a list that does not answer, or does not want to, defers where it could matter', async (t) => {
    const dns: Record<string, ZoneRecords> = {
      '7.2.0.192.bl.example': { fails: 'SERVFAIL' },
      ...listed('bl.example.net', '127.255.255.254'),
    }
    const open = (more: object) =>
      openHouse(t, { dns, config: { incoming: { checks: { dnsbl: { zones, ...more } } } } })
    await assert.rejects((await open({})).receive({ to }), refusal(451, '4.7.0'))
    await assert.rejects((await open({ zones: { 'bl.example.net': {} } })).receive({ to }), refusal(451, '4.7.0'))
    const cold = await open({ 'quarantine-at': 5 })
    await cold.receive({ to })
    const lax = await open({ 'dns-failure': 'accept' })
    await lax.receive({ to })
    assert.equal((await lax.mails('anna')).length, 1)
  })

  test('an allow-list that does not answer keeps a listed client waiting, it is not refused for good', async (t) => {
    const house = await openHouse(t, {
      dns: { ...listed('bl.example'), '7.2.0.192.wl.example': { fails: 'REFUSED' } },
      config: { incoming: { checks: { dnsbl: { zones, 'reject-at': 1 } } } },
    })
    await assert.rejects(house.receive({ to }), refusal(451, '4.7.0'))
  })

  test('X-20 a list that hangs is given up after its time', async (t) => {
    const house = await openHouse(t, { check: {}, config: { incoming: { checks: { dnsbl: { zones } } } } })
    house.resolver.a = (_name, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error))
      })
    const refused = assert.rejects(house.receive({ to }), refusal(451, '4.7.0'))
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    house.clock.turn(5000)
    await refused
  })

  test('RFC 5782 §5: a list that lists everything, or not its test entry, is left out and said once', async (t) => {
    const dns: Record<string, ZoneRecords> = {
      '*.bl.example': { A: ['127.0.0.2'] },
    }
    const house = await openHouse(t, { dns, config: { incoming: { checks: { dnsbl: { zones, 'reject-at': 1 } } } } })
    await assert.rejects(house.receive({ to }), refusal(554, '5.7.0'), 'not tested yet')
    await house.pass(1)
    await house.receive({ to, client: { remoteAddress: '192.0.2.8', session: 's2' } })
    await house.pass(3_600_000)
    const said = house.lines.filter(({ msg }) => /left out/.test(String(msg)))
    assert.deepEqual(said.map((line) => line['zone']).toSorted(), ['bl.example', 'wl.example'])
  })

  test('a list that was left out is tested again as often as the config says', async (t) => {
    const dns: Record<string, ZoneRecords> = {}
    const checks = { dnsbl: { zones: { 'bl.example': {} }, 'reject-at': 1, 'test-every': '10m' } }
    const house = await openHouse(t, { dns, config: { incoming: { checks } } })
    await house.pass(1)
    Object.assign(dns, healthy('bl.example'), listed('bl.example'))
    await house.receive({ to, client: { session: 's2' } })
    await house.pass(9 * 60_000)
    await house.receive({ to, client: { session: 's3' } })
    await house.pass(2 * 60_000)
    await assert.rejects(house.receive({ to, client: { session: 's4' } }), refusal(554, '5.7.0'))
  })

  test('a client on this machine is not looked up, mail without a client is not either', async (t) => {
    const house = await openHouse(t, { config: { incoming: { checks: { dnsbl: { zones } } } } })
    await house.receive({ to, client: { remoteAddress: '127.0.0.1' } })
    await house.receive({ to, client: { remoteAddress: '' } })
    assert.deepEqual(house.resolver.asked, [])
  })
})
