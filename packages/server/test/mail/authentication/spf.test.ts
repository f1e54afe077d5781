// SPF, as a client and the domains that it claims see it. The rules are those of RFC 7208; the cases cover what its public test suite asks.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { checkHost, type SpfResult, type SpfStatus } from '../../../src/mail/authentication/spf/check-host.ts'
import { dotted, inNetwork, parseIp, readable } from '../../../src/mail/authentication/spf/address.ts'
import { parseMacros } from '../../../src/mail/authentication/spf/macro.ts'
import { parseSpfRecord, SpfRecords, SpfSyntaxError } from '../../../src/mail/authentication/spf/record.ts'
import { zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'

/** What the clients and names around the domain in question are. */
const AROUND: Zones = {
  'mail.example.org': { A: ['192.0.2.1'], AAAA: ['2001:db8::1'] },
  'other.example.org': { A: ['192.0.2.2'] },
  'mx.example.org': { A: ['192.0.2.3'], MX: [[10, 'mail.example.org']] },
  'late.example.org': { fails: 'silence' },
  'broken.example.org': { fails: 'SERVFAIL' },
  'pass.example.org': { TXT: ['v=spf1 +all'] },
  'fail.example.org': { TXT: ['v=spf1 -all'] },
  'neutral.example.org': { TXT: ['v=spf1 ?all'] },
  'syntax.example.org': { TXT: ['v=spf1 nothing'] },
  'none.example.org': { TXT: ['hello'] },
  '1.2.0.192.in-addr.arpa': { PTR: ['mail.example.org', 'forged.example.net'] },
  'forged.example.net': { A: ['203.0.113.9'] },
}

interface Question {
  readonly record: string | readonly string[]
  readonly ip?: string
  readonly sender?: string
  readonly helo?: string
  readonly zones?: Zones
}

const ask = ({ record, ip = '192.0.2.1', sender = 'anna@d.example.org', helo = 'mail.example.org', zones }: Question) =>
  checkHost({
    ip,
    sender,
    helo,
    resolver: zoneResolver({
      ...AROUND,
      'd.example.org': { TXT: typeof record === 'string' ? [record] : record },
      ...zones,
    }),
    receiver: 'mx.example.com',
    now: 1_700_000_000_000,
  })

const expects = (name: string, status: SpfStatus, question: Question, more?: (result: SpfResult) => void): void =>
  void test(`${name}: ${status}`, async () => {
    const result = await ask(question)
    assert.equal(result.status, status, result.reason)
    more?.(result)
  })

describe('which record', () => {
  expects('none', 'none', { record: [] })
  expects('another TXT record is none of ours', 'none', { record: ['v=spf10 -all', 'v=spf1-all', 'v=spf2.0/pra -all'] })
  expects('two', 'permerror', { record: ['v=spf1 -all', 'v=spf1 +all'] })
  expects('one among others', 'fail', { record: ['hello', 'v=spf1 -all'] })
  expects('version in any case', 'fail', { record: 'V=SPF1 -all' })
  expects('empty', 'neutral', { record: 'v=spf1' })
  expects('several spaces, one at the end', 'fail', { record: 'v=spf1  ip4:198.51.100.1   -all ' })
  expects('DNS is silent', 'temperror', { record: '', zones: { 'd.example.org': { fails: 'silence' } } })
  expects('DNS fails', 'temperror', { record: '', zones: { 'd.example.org': { fails: 'SERVFAIL' } } })
  expects('8-bit', 'permerror', { record: 'v=spf1 a:exämple.org -all' })
  expects('a control character', 'permerror', { record: 'v=spf1 a:\u0007 -all' })
  expects('a TAB is no space', 'permerror', { record: 'v=spf1 a\t-all' })
})

describe('whose policy', () => {
  for (const sender of [
    'anna@example',
    'anna@[192.0.2.1]',
    'anna@a..example.org',
    `anna@${'a'.repeat(64)}.example.org`,
  ])
    expects(`${sender} has none`, 'none', { record: 'v=spf1 -all', sender })
  expects('U-labels are asked for as A-labels', 'fail', {
    record: '',
    sender: 'anna@bücher.example',
    zones: { 'xn--bcher-kva.example': { TXT: ['v=spf1 -all'] } },
  })
  const helo = { 'mail.example.org': { A: ['192.0.2.1'], TXT: ['v=spf1 a -all'] } }
  expects('a notification is judged by its greeting', 'pass', { record: '', sender: '', zones: helo }, (result) => {
    assert.equal(result.identity, 'helo')
    assert.equal(result.domain, 'mail.example.org')
  })
  expects('and fails by it', 'fail', { record: '', sender: '', ip: '192.0.2.2', zones: helo })
  expects('a greeting that is no name has no policy', 'none', { record: '', sender: '', helo: '[192.0.2.1]' })
  expects('a sender overrides its greeting', 'pass', { record: 'v=spf1 +all', helo: 'fail.example.org' })
})

describe('mechanisms', () => {
  const v6 = '2001:db8::1'
  expects('ip4', 'pass', { record: 'v=spf1 ip4:192.0.2.1 -all' })
  expects('ip4 net', 'pass', { record: 'v=spf1 ip4:192.0.0.0/16 -all' })
  expects('ip4 beside', 'fail', { record: 'v=spf1 ip4:192.0.2.0/32 -all' })
  expects('ip4 /0', 'pass', { record: 'v=spf1 ip4:0.0.0.0/0 -all' })
  expects('ip4 is not for IPv6', 'fail', { record: 'v=spf1 ip4:0.0.0.0/0 -all', ip: v6 })
  expects('ip6', 'pass', { record: 'v=spf1 ip6:2001:db8::/33 -all', ip: '2001:db8:7fff::9' })
  expects('ip6 beside', 'fail', { record: 'v=spf1 ip6:2001:db8::/33 -all', ip: '2001:db8:8000::9' })
  expects('ip6 is not for IPv4', 'fail', { record: 'v=spf1 ip6:::/0 -all' })
  expects('a mapped address is IPv4', 'pass', { record: 'v=spf1 ip4:192.0.2.1 -all', ip: '::ffff:192.0.2.1' })
  expects('a mapped address is not IPv6', 'fail', { record: 'v=spf1 ip6:::/0 -all', ip: '::ffff:192.0.2.1' })
  expects('a', 'pass', { record: 'v=spf1 a:mail.example.org -all' })
  expects('a by IPv6', 'pass', { record: 'v=spf1 a:mail.example.org -all', ip: v6 })
  expects('a with two prefixes', 'pass', { record: 'v=spf1 a:mail.example.org/24//64 -all', ip: '2001:db8::ffff' })
  expects('a with a prefix of the other family', 'fail', {
    record: 'v=spf1 a:mail.example.org//0 -all',
    ip: '192.0.2.9',
  })
  expects('a of the domain itself', 'pass', {
    record: '',
    zones: { 'd.example.org': { A: ['192.0.2.1'], TXT: ['v=spf1 a -all'] } },
  })
  expects('mx', 'pass', { record: 'v=spf1 mx:mx.example.org -all' })
  expects('mx never falls back on A', 'fail', { record: 'v=spf1 mx:other.example.org -all', ip: '192.0.2.2' })
  expects('a null MX matches nothing', 'fail', {
    record: 'v=spf1 mx:null.example.org -all',
    zones: { 'null.example.org': { MX: [[0, '.']] } },
  })
  expects('exists', 'pass', {
    record: 'v=spf1 exists:%{i}.list.example.org -all',
    zones: { '192.0.2.1.list.example.org': { A: ['127.0.0.2'] } },
  })
  expects('exists asks for A, by IPv6 too', 'fail', {
    record: 'v=spf1 exists:six.example.org -all',
    ip: v6,
    zones: { 'six.example.org': { AAAA: ['::1'] } },
  })
  expects('ptr', 'pass', { record: 'v=spf1 ptr:example.org -all' })
  expects('ptr compares labels', 'fail', { record: 'v=spf1 ptr:ample.org -all' })
  expects('ptr that does not lead back', 'fail', { record: 'v=spf1 ptr:example.net -all' })
  expects('ptr without names', 'fail', { record: 'v=spf1 ptr:example.org -all', ip: '192.0.2.77' })
  expects('ptr that cannot be asked matches nothing', 'fail', {
    record: 'v=spf1 ptr:example.org -all',
    zones: { '1.2.0.192.in-addr.arpa': { fails: 'silence' } },
  })
  for (const [other, status] of [
    ['pass', 'pass'],
    ['fail', 'softfail'],
    ['neutral', 'softfail'],
    ['late', 'temperror'],
    ['syntax', 'permerror'],
    ['none', 'permerror'],
    ['nobody', 'permerror'],
  ] as const)
    expects(`include of ${other}`, status, { record: `v=spf1 include:${other}.example.org ~all` })
  expects('a name whose look-up fails', 'temperror', { record: 'v=spf1 a:broken.example.org -all' })
  expects('what stands before it counts', 'pass', { record: 'v=spf1 ip4:192.0.2.1 a:broken.example.org -all' })
  expects('what stands behind all is not evaluated', 'softfail', { record: 'v=spf1 ~all a:broken.example.org' })
})

describe('redirect', () => {
  expects('another record counts', 'fail', { record: 'v=spf1 redirect=fail.example.org' })
  expects('all comes first', 'neutral', { record: 'v=spf1 redirect=fail.example.org ?all' })
  expects('to no record', 'permerror', { record: 'v=spf1 redirect=none.example.org' })
  expects('the domain is that of the target', 'pass', {
    record: 'v=spf1 redirect=target.example.org',
    zones: { 'target.example.org': { A: ['192.0.2.1'], TXT: ['v=spf1 a -all'] } },
  })
})

describe('records that cannot be read', () => {
  for (const terms of [
    '-all ip4:192.0.2.1/33',
    'ip4:192.0.2.1/032',
    'ip4',
    'ip4:192.0.2',
    'ip4:192.0.2.1:25',
    'ip4:192.0.2.1//32',
    'ip6:::/129',
    'ip6:g::1',
    'ip6',
    'a:',
    'a:example',
    'a:192.0.2.1',
    'a:example.org:25',
    'a/33',
    'a//129',
    'a:example.-org',
    'a:example.org/24/',
    'all.',
    'all:example.org',
    'all/8',
    'include',
    'include:',
    'include:example.org/24',
    'exists',
    'exists:example.org/24',
    'ptr/24',
    'ptr:',
    'mx:',
    'mx/',
    'redirect=',
    'redirect=a.org redirect=b.org',
    'exp=',
    'exp=a.example exp=b.example',
    'exp=-all',
    '1up=x',
    '=x',
    'x=%',
    'x=%{',
    'x=%{z}',
    'x=%{d0}',
    'a:%{c}.example.org',
    'a:%{r}.example.org',
    'a:%{t}.example.org',
    'a:%(d).example.org',
    '--all',
    'a:%{d',
    'unknown',
  ])
    // prettier-ignore
    test(terms, async () => {
      assert.throws(() => parseSpfRecord(`v=spf1 ${terms}`), SpfSyntaxError)
      // Wherever it stands: the whole record is read before anything of it is believed.
      assert.equal((await ask({ record: `v=spf1 +all ${terms}` })).status, 'permerror')
    })

  test('unknown modifiers are ignored', async () => {
    assert.equal((await ask({ record: 'v=spf1 x-y.z_1=%{d}/%% default=pass -all' })).status, 'fail')
  })
})

describe('macros', () => {
  const expand = async (text: string, more: Partial<Question> = {}): Promise<string | undefined> =>
    (
      await ask({
        record: 'v=spf1 exp=why.example.org -all',
        zones: { 'why.example.org': { TXT: [text] } },
        ip: '192.0.2.77',
        sender: 'strong-bad@d.example.org',
        ...more,
      })
    ).explanation
  for (const [macros, text] of [
    ['%{s}', 'strong-bad@d.example.org'],
    ['%{o}', 'd.example.org'],
    ['%{d}', 'd.example.org'],
    ['%{d4}', 'd.example.org'],
    ['%{d2}', 'example.org'],
    ['%{d1}', 'org'],
    ['%{dr}', 'org.example.d'],
    ['%{d2r}', 'example.d'],
    ['%{l}', 'strong-bad'],
    ['%{l-}', 'strong.bad'],
    ['%{lr}', 'strong-bad'],
    ['%{lr-}', 'bad.strong'],
    ['%{l1r-}', 'strong'],
    ['%{h}', 'mail.example.org'],
    ['%{i}', '192.0.2.77'],
    ['%{ir}', '77.2.0.192'],
    ['%{v}', 'in-addr'],
    ['%{c} %{r} %{t}', '192.0.2.77 mx.example.com 1700000000'],
    ['%{p}', 'unknown'],
    ['100%% of%_it%-', '100% of it%20'],
    ['%{S}', 'strong-bad%40d.example.org'],
  ] as const)
    test(macros, async () => assert.equal(await expand(macros), text))

  test('addresses of the other family', async () => {
    const ip = '2001:db8::cb01'
    assert.equal(await expand('%{c}', { ip }), '2001:db8::cb01')
    assert.equal(
      await expand('%{ir}.%{v}.arpa', { ip }),
      '1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6.arpa',
    )
  })

  test('a name of the client that leads back to it', async () => {
    assert.equal(await expand('%{p}', { ip: '192.0.2.1' }), 'mail.example.org')
  })

  test('an explanation that cannot be had is none, and changes nothing', async () => {
    for (const TXT of [['%{z}'], ['one', 'two'], [], ['naïve']])
      assert.equal(await expand('', { zones: { 'why.example.org': { TXT } } }), undefined)
    assert.equal(await expand('', { zones: { 'why.example.org': { fails: 'silence' } } }), undefined)
  })

  test('what is included explains nothing, what is redirected to does', async () => {
    const zones = {
      'why.example.org': { TXT: ['wrong'] },
      'right.example.org': { TXT: ['right'] },
      'to.example.org': { TXT: ['v=spf1 -all exp=right.example.org'] },
    }
    const explained = async (record: string) => (await ask({ record, zones })).explanation
    assert.equal(await explained('v=spf1 include:to.example.org -all'), undefined)
    assert.equal(await explained('v=spf1 exp=why.example.org redirect=to.example.org'), 'right')
  })

  test('a stranger writes no more than a line', async () => {
    const explanation = await expand('%{s}'.repeat(60), { sender: `${'x'.repeat(60)}@d.example.org` })
    assert.equal(explanation?.length, 400)
  })

  test('a name that is too long loses labels from the left', async () => {
    const long = `${'a'.repeat(40)}.`.repeat(7)
    const result = await ask({
      record: `v=spf1 exists:${long}end.example.org -all`,
      zones: { [`${`${'a'.repeat(40)}.`.repeat(5)}end.example.org`]: { A: ['127.0.0.2'] } },
    })
    assert.equal(result.status, 'pass')
  })

  test('a local part beyond ASCII matches nothing and asks nobody', async () => {
    const result = await ask({ record: 'v=spf1 exists:%{l}.example.org -all', sender: 'ännä@d.example.org' })
    assert.equal(result.status, 'fail')
  })
})

describe('limits', () => {
  const many = (count: number): string => Array.from({ length: count }, () => 'a:mail.example.org').join(' ')
  expects('ten look-ups', 'pass', { record: `v=spf1 ${many(10)} ip4:203.0.113.1 -all`, ip: '203.0.113.1' })
  expects('eleven', 'permerror', { record: `v=spf1 ${many(11)} ip4:203.0.113.1 -all`, ip: '203.0.113.1' })
  expects('what is included counts', 'permerror', {
    record: `v=spf1 ${many(9)} include:more.example.org -all`,
    ip: '203.0.113.1',
    zones: { 'more.example.org': { TXT: [`v=spf1 ${many(1)} -all`] } },
  })
  expects('two void look-ups', 'neutral', { record: 'v=spf1 a:no1.example.org exists:no2.example.org ?all' })
  expects('three', 'permerror', { record: 'v=spf1 a:no1.example.org exists:no2.example.org mx:no3.example.org ?all' })
  expects('an explanation that is not there is not void', 'fail', {
    record: 'v=spf1 a:no1.example.org a:no2.example.org exp=no3.example.org -all',
  })
  expects('it includes itself', 'permerror', { record: 'v=spf1 include:d.example.org -all' })
  expects('it redirects to itself', 'permerror', { record: 'v=spf1 redirect=d.example.org' })
  const eleven = Array.from({ length: 11 }, (_, i) => [i, 'other.example.org'] as const)
  expects('eleven MX records', 'permerror', {
    record: 'v=spf1 mx:many.example.org -all',
    zones: { 'many.example.org': { MX: eleven } },
  })
  test('names of an address beyond the tenth are not looked at', async () => {
    const PTR = [...Array.from({ length: 10 }, (_, i) => `n${i}.example.net`), 'mail.example.org']
    const resolver = zoneResolver({
      ...AROUND,
      'd.example.org': { TXT: ['v=spf1 ptr:example.org ?all'] },
      '1.2.0.192.in-addr.arpa': { PTR },
    })
    const result = await checkHost({ ip: '192.0.2.1', helo: 'x.example.org', sender: 'a@d.example.org', resolver })
    assert.equal(result.status, 'neutral')
    assert.equal(resolver.asked.filter((question) => question.startsWith('A ')).length, 10)
  })
  test('a tree of includes that each include ten is cut at the tenth', async () => {
    const zones: Record<string, { TXT: string[] }> = {}
    for (let i = 0; i < 50; i++)
      zones[`t${i}.example.org`] = {
        TXT: [`v=spf1 include:t${(i + 1) % 50}.example.org include:t${(i + 7) % 50}.example.org -all`],
      }
    const resolver = zoneResolver(zones)
    const result = await checkHost({ ip: '192.0.2.1', helo: 'x.example.org', sender: 'a@t0.example.org', resolver })
    assert.equal(result.status, 'permerror')
    assert.ok(resolver.asked.length <= 11)
  })
  test('a record of a megabyte is no record', async () => {
    assert.equal((await ask({ record: `v=spf1 ${'a '.repeat(500_000)}` })).status, 'permerror')
    assert.throws(() => parseSpfRecord(`v=spf1${' a'.repeat(300)}`), SpfSyntaxError)
  })
  test('giving up is told', async () => {
    const gone = AbortSignal.abort(new Error('gone'))
    const resolver = zoneResolver({})
    await assert.rejects(
      checkHost({ ip: '192.0.2.1', helo: 'x.org', sender: 'a@x.org', resolver, signal: gone }),
      /gone/,
    )
  })
})

describe('whatever is published', () => {
  const soup = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          'v=spf1',
          ' ',
          'a',
          'mx',
          ':',
          '/',
          '%{',
          '}',
          'ir',
          '%',
          '=',
          'include:',
          'redirect=',
          'exp=',
          'ptr',
          '-all',
          '192.0.2.1',
          'x.org',
          '.',
          '//',
        ),
        fc.string({ maxLength: 4 }),
      ),
      { maxLength: 30 },
    )
    .map((parts) => parts.join(''))
  test('is a record, or a syntax error', () => {
    fc.assert(
      fc.property(soup, (text) => {
        try {
          parseSpfRecord(`v=spf1 ${text}`)
        } catch (error) {
          assert.ok(error instanceof SpfSyntaxError)
          assert.match(error.message, /^[\x20-\x7e]*$/)
        }
      }),
    )
  })
  test('gives one of the seven results, and asks the DNS a bounded number of times', async () => {
    await fc.assert(
      fc.asyncProperty(soup, fc.string({ maxLength: 20 }), async (text, local) => {
        const resolver = zoneResolver({ ...AROUND, 'd.example.org': { TXT: [`v=spf1 ${text}`] } })
        const sender = `${local}@d.example.org`
        const { status } = await checkHost({ ip: '192.0.2.1', helo: local, sender, resolver })
        assert.ok(['none', 'pass', 'fail', 'softfail', 'neutral', 'temperror', 'permerror'].includes(status))
        assert.ok(resolver.asked.length < 250)
      }),
      { numRuns: 60 },
    )
  })
  test('macros are read or refused, never anything else', () => {
    fc.assert(fc.property(fc.string(), fc.boolean(), (text, explanation) => void parseMacros(text, explanation)))
  })
  test('is parsed once', () => {
    const records = new SpfRecords()
    assert.equal(records.parse('v=spf1 a -all'), records.parse('v=spf1 a -all'))
    assert.throws(() => records.parse('v=spf1 nothing'), SpfSyntaxError)
    assert.throws(() => records.parse('v=spf1 nothing'), SpfSyntaxError)
  })
})

describe('addresses', () => {
  test('text and octets are the same address', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (octets) => {
        const text = readable(octets)
        const back = parseIp(text)
        const mapped = octets.subarray(0, 10).every((one) => one === 0) && octets[10] === 255 && octets[11] === 255
        assert.deepEqual(back, mapped ? octets.slice(12) : octets, text)
        assert.equal(dotted(octets).length, 63)
      }),
    )
    fc.assert(fc.property(fc.ipV4(), (text) => assert.equal(readable(parseIp(text) ?? new Uint8Array()), text)))
    fc.assert(fc.property(fc.ipV6(), (text) => assert.equal(parseIp(text) === undefined, false, text)))
  })
  test('a network holds what agrees with it in its bits', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        fc.integer({ min: 0, max: 32 }),
        fc.integer({ min: 0, max: 31 }),
        (octets, bits, at) => {
          const other = octets.slice()
          other[at >> 3] = (other[at >> 3] ?? 0) ^ (0x80 >> (at & 7))
          assert.equal(inNetwork(octets, other, bits), at >= bits)
        },
      ),
    )
  })
})
