// The stub resolver before a server on loopback that answers, fails, is slow and lies.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Packet } from 'dns-packet'
import * as v from 'valibot'
import { HandClock } from '../../../src/kernel/clock.ts'
import type { Scope } from '../../../src/kernel/scope.ts'
import { DnsError, type Resolver } from '../../../src/net/dns/contracts.ts'
import { dnsConfig, openServers } from '../../../src/net/dns/servers.ts'
import { StubResolver } from '../../../src/net/dns/stub.ts'
import { FakeDns, type FakeDnsOptions, type Zones } from '../../../src/net/dns/testing/index.ts'
import { samples } from '../../fixtures/metrics.ts'
import { testScope } from '../../fixtures/scope.ts'

interface Stage {
  readonly resolver: Resolver
  readonly dns: readonly FakeDns[]
  readonly clock: HandClock
  readonly scope: Scope
}

/** A resolver that knows fake servers, the first one first. */
async function stage(
  t: TestContext,
  servers: readonly { readonly zones: Zones; readonly options?: FakeDnsOptions }[],
  config: v.InferInput<typeof dnsConfig> = {},
): Promise<Stage> {
  const clock = new HandClock()
  const scope = testScope({ clock })
  const dns = await Promise.all(servers.map(({ zones, options }) => FakeDns.start(zones, options)))
  t.after(async () => {
    await scope.close()
    for (const server of dns) await server.close()
  })
  const settings = v.parse(dnsConfig, { servers: dns.map(({ address }) => address), ...config })
  return { resolver: new StubResolver(scope, await openServers(scope, settings), settings), dns, clock, scope }
}

const one = (t: TestContext, zones: Zones, options?: FakeDnsOptions, config?: v.InferInput<typeof dnsConfig>) =>
  stage(t, [options === undefined ? { zones } : { zones, options }], config)

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

const failsWith = (code: DnsError['code']) => (error: unknown) => error instanceof DnsError && error.code === code

const zones: Zones = {
  'example.org': {
    A: ['192.0.2.1', '192.0.2.2'],
    AAAA: ['2001:db8::1'],
    MX: [
      [20, 'b.example.org'],
      [10, 'A.Example.Org'],
    ],
    TXT: [`long ${'x'.repeat(600)}`, ['a', 'b']],
    secure: true,
    ttl: 120,
  },
  '_xmpp._tcp.example.org': { SRV: [[1, 2, 5222, 'chat.example.org']] },
  '_25._tcp.a.example.org': { TLSA: [[3, 1, 1, 'ab'.repeat(32)]], secure: true },
  'null.example': { MX: [[0, '.']] },
  'xn--bcher-kva.example': { A: ['192.0.2.9'] },
  '1.2.0.192.in-addr.arpa': { PTR: ['Mail.Example.Org'] },
  '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa': { PTR: ['six.example.org'] },
  'www.example.org': { CNAME: 'web.example.net', secure: true, ttl: 60 },
  'web.example.net': { A: ['192.0.2.3'], secure: true, ttl: 90 },
  'loop.example': { CNAME: 'pool.example' },
  'pool.example': { CNAME: 'loop.example' },
}

test('every kind of record comes as it stands', async (t) => {
  const { resolver } = await one(t, zones)
  assert.deepEqual(await resolver.a('Example.ORG.'), {
    records: ['192.0.2.1', '192.0.2.2'],
    exists: true,
    secure: true,
    name: 'example.org',
    ttl: 120,
  })
  assert.deepEqual((await resolver.aaaa('example.org')).records, ['2001:db8::1'])
  assert.deepEqual((await resolver.mx('example.org')).records, [
    { preference: 20, exchange: 'b.example.org' },
    { preference: 10, exchange: 'a.example.org' },
  ])
  assert.deepEqual((await resolver.mx('null.example')).records, [{ preference: 0, exchange: '' }])
  assert.deepEqual((await resolver.txt('example.org')).records, [`long ${'x'.repeat(600)}`, 'ab'])
  assert.deepEqual((await resolver.srv('_xmpp._tcp.example.org')).records, [
    { priority: 1, weight: 2, port: 5222, target: 'chat.example.org' },
  ])
  const [tlsa] = (await resolver.tlsa('_25._tcp.a.example.org')).records
  assert.deepEqual([tlsa?.usage, tlsa?.selector, tlsa?.matchingType, tlsa?.data.length], [3, 1, 1, 32])
  assert.deepEqual((await resolver.reverse('192.0.2.1')).records, ['mail.example.org'])
  assert.deepEqual((await resolver.reverse('::ffff:192.0.2.1')).records, ['mail.example.org'])
  assert.deepEqual((await resolver.reverse('2001:db8::1')).records, ['six.example.org'])
  assert.deepEqual((await resolver.a('Bücher.example')).records, ['192.0.2.9'])
  assert.deepEqual((await resolver.cname('www.example.org')).records, ['web.example.net'])
})

test('what cannot stand in the DNS is no name, and nobody is asked', async (t) => {
  const { resolver, dns } = await one(t, zones)
  for (const name of ['a..b', '', `${'a'.repeat(64)}.example`, 'a.'.repeat(130), 'x\u0000y.example', 'not an address'])
    assert.equal((await (name.startsWith('not') ? resolver.reverse(name) : resolver.a(name))).exists, false)
  assert.equal(dns[0]?.queries.length, 0)
})

test('localhost is this machine, whatever the DNS says', async (t) => {
  const { resolver, dns } = await one(t, { localhost: { A: ['192.0.2.66'] } })
  assert.deepEqual((await resolver.a('localhost')).records, ['127.0.0.1'])
  assert.deepEqual((await resolver.aaaa('mail.localhost.')).records, ['::1'])
  assert.equal(dns[0]?.queries.length, 0)
})

test('questions have random ids, ports and spellings, and ask whether the answer is validated', async (t) => {
  const { resolver, dns } = await one(t, { '*.some-long-name.example.org': { A: ['192.0.2.1'] } })
  for (let i = 0; i < 8; i++) await resolver.a(`n${i}.some-long-name.example.org`)
  const queries = dns[0]?.queries ?? []
  assert.equal(queries.length, 8)
  for (const different of ['id', 'port'] as const)
    assert.ok(new Set(queries.map((query) => query[different])).size >= 7, different)
  assert.ok(new Set(queries.map(({ name }) => name.slice(name.indexOf('.')))).size >= 7)
  assert.ok(queries.every(({ wantsAd, edns, transport }) => wantsAd && edns && transport === 'udp'))
})

test('an answer that is too long for UDP is fetched by TCP', async (t) => {
  const many = Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`)
  const { resolver, dns } = await one(t, { 'many.example': { A: many } })
  assert.deepEqual((await resolver.a('many.example')).records, many)
  assert.deepEqual(
    dns[0]?.queries.map(({ transport }) => transport),
    ['udp', 'tcp'],
  )
})

test('the AD bit counts from loopback and from servers that the config trusts, and not otherwise', async (t) => {
  for (const [config, expected] of [
    [{}, true],
    [{ trusted: true }, true],
    [{ trusted: false }, false],
  ] as const) {
    const { resolver } = await one(t, zones, {}, config)
    assert.equal((await resolver.a('example.org')).secure, expected)
    assert.equal((await resolver.mx('nothing.example.org')).secure, expected)
    assert.equal((await resolver.mx('null.example')).secure, false)
  }
  const { resolver } = await one(t, zones, { insecure: true })
  assert.equal((await resolver.a('example.org')).secure, false)
})

test('packets with another id, another question or another spelling are not believed', async (t) => {
  const lie = (packet: Packet, changed: Partial<Packet>): Packet => ({
    ...packet,
    answers: [{ type: 'A', name: 'example.org', data: '192.0.2.66' }],
    ...changed,
  })
  const { resolver, dns } = await one(t, zones, {
    meddle: (_query, answer) => [
      lie(answer, { id: ((answer.id ?? 0) + 1) & 0xffff }),
      lie(answer, { questions: [{ type: 'A', name: 'example.com' }] }),
      lie(answer, { questions: [{ type: 'AAAA', name: answer.questions?.[0]?.name ?? '' }] }),
      lie(answer, { type: 'query' }),
      Buffer.from('rubbish'),
      answer,
    ],
  })
  assert.deepEqual((await resolver.a('example.org')).records, ['192.0.2.1', '192.0.2.2'])
  assert.equal(dns[0]?.queries.length, 1)
})

test('a flood of guesses makes the question go by TCP', async (t) => {
  const { resolver, dns } = await one(t, zones, {
    meddle: ({ transport }, answer) =>
      transport === 'tcp'
        ? [answer]
        : Array.from({ length: 20 }, (_, i) => ({ ...answer, id: ((answer.id ?? 0) + 1 + i) & 0xffff })),
  })
  assert.equal((await resolver.a('example.org')).records.length, 2)
  assert.deepEqual(
    dns[0]?.queries.map(({ transport }) => transport),
    ['udp', 'tcp'],
  )
})

test('a server that does not keep the spelling is asked by TCP, at last in lower case', async (t) => {
  const { resolver, dns } = await one(t, zones, {
    meddle: (_query, answer) => [
      {
        ...answer,
        questions: (answer.questions ?? []).map(({ name, ...rest }) => ({ ...rest, name: name.toLowerCase() })),
      },
    ],
  })
  assert.equal((await resolver.a('example.org')).records.length, 2)
  assert.deepEqual(
    dns[0]?.queries.map(({ transport }) => transport),
    ['udp', 'tcp', 'tcp'],
  )
})

test('records of other names in an answer are not looked at', async (t) => {
  const { resolver } = await one(t, zones, {
    meddle: (_query, answer) => [
      {
        ...answer,
        answers: [
          ...(answer.answers ?? []),
          { type: 'A', name: 'victim.example', data: '192.0.2.66', ttl: 9999 },
          { type: 'A', name: 'example.org.attacker.example', data: '192.0.2.66' },
        ],
        additionals: [{ type: 'A', name: 'example.org', data: '192.0.2.67' }],
      },
    ],
  })
  assert.deepEqual((await resolver.a('example.org')).records, ['192.0.2.1', '192.0.2.2'])
})

test('CNAMEs are followed; every step must be secure, and the shortest life counts', async (t) => {
  const { resolver } = await one(t, zones)
  const answer = await resolver.a('www.example.org')
  assert.deepEqual(answer, { records: ['192.0.2.3'], exists: true, secure: true, name: 'web.example.net', ttl: 60 })
  const none = await resolver.aaaa('www.example.org')
  assert.deepEqual([none.records, none.exists, none.name], [[], true, 'web.example.net'])
})

test('a server that tells the first CNAME only is asked for the rest', async (t) => {
  const { resolver, dns } = await one(t, zones, {
    meddle: (_query, answer) => [{ ...answer, answers: (answer.answers ?? []).slice(0, 1) }],
  })
  assert.deepEqual((await resolver.a('www.example.org')).records, ['192.0.2.3'])
  assert.deepEqual(dns[0]?.asked, ['A www.example.org', 'A web.example.net'])
})

test('CNAMEs that go round, that are endless or that contradict each other are no answer', async (t) => {
  const alias = (name: string, data: string) => ({ type: 'CNAME', name, data, ttl: 60 }) as const
  const ways = [
    [alias('loop.example', 'pool.example'), alias('pool.example', 'loop.example')],
    Array.from({ length: 20 }, (_, i) => alias(i === 0 ? 'loop.example' : `n${i}.example`, `n${i + 1}.example`)),
    [alias('loop.example', 'a.example'), alias('loop.example', 'b.example')],
  ]
  for (const answers of ways) {
    const { resolver } = await one(
      t,
      {},
      {
        meddle: (_query, answer) => [{ ...answer, flags: 0, authorities: [], answers }],
      },
    )
    await assert.rejects(resolver.a('loop.example'), failsWith('bad-answer'))
  }
  // Each answer one step, for ever.
  let step = 0
  const { resolver, dns } = await one(
    t,
    {},
    {
      meddle: ({ name }, answer) => [
        { ...answer, flags: 0, authorities: [], answers: [alias(name.toLowerCase(), `e${++step}.example`)] },
      ],
    },
  )
  await assert.rejects(resolver.a('endless.example'), failsWith('bad-answer'))
  assert.ok((dns[0]?.queries.length ?? 99) <= 10)
})

test('answers are kept as long as they say, also those that there is nothing', async (t) => {
  const { resolver, dns, clock } = await one(t, zones)
  await resolver.a('example.org')
  clock.turn(119_000)
  assert.equal((await resolver.a('EXAMPLE.org')).ttl, 1)
  assert.equal(dns[0]?.queries.length, 1)
  clock.turn(1000)
  await resolver.a('example.org')
  assert.equal(dns[0]?.queries.length, 2)
  await resolver.a('missing.example')
  await resolver.a('missing.example')
  assert.equal(dns[0]?.queries.length, 3)
  clock.turn(300_000)
  await resolver.a('missing.example')
  assert.equal(dns[0]?.queries.length, 4)
})

test('the memory for answers is bounded', async (t) => {
  const { resolver, dns } = await one(t, { '*.example': { TXT: ['x'.repeat(1000)] } }, {}, { cache: '16KiB' })
  for (let i = 0; i < 20; i++) await resolver.txt(`n${i}.example`)
  await resolver.txt('n19.example')
  assert.equal(dns[0]?.queries.length, 20)
  await resolver.txt('n0.example')
  assert.equal(dns[0]?.queries.length, 21)
})

test('who asks the same at the same time waits for one answer', async (t) => {
  const { resolver, dns } = await one(t, zones)
  const answers = await Promise.all(Array.from({ length: 50 }, () => resolver.a('example.org')))
  assert.ok(answers.every(({ records }) => records.length === 2))
  assert.equal(dns[0]?.queries.length, 1)
})

test('a thousand questions at once hold a bounded number of sockets, and all are answered', async (t) => {
  const { resolver } = await one(t, { '*.example': { A: ['192.0.2.1'] } })
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => resolver.a(`n${i}.example`)))
  assert.ok(answers.every(({ records }) => records[0] === '192.0.2.1'))
})

test('who gives up is let go, and the others still get their answer', async (t) => {
  const { resolver, clock, dns } = await one(t, { 'example.org': { fails: 'silence' } })
  const abort = new AbortController()
  const impatient = resolver.a('example.org', abort.signal)
  const patient = resolver.a('example.org')
  await until(() => dns[0]?.queries.length === 1)
  abort.abort(new Error('enough'))
  await assert.rejects(impatient, /enough/)
  clock.turn(3000)
  await until(() => dns[0]?.queries.length === 2)
  clock.turn(3000)
  await assert.rejects(patient, failsWith('timeout'))
})

test('X-20 a server that is silent is given up after its tries, one that hangs everything after the deadline', async (t) => {
  const { resolver, clock, dns } = await one(
    t,
    { '*.example': { fails: 'silence' } },
    {},
    { tries: 10, deadline: '7s' },
  )
  const question = resolver.a('n.example')
  const outcome = assert.rejects(question, failsWith('timeout'))
  for (let tries = 1; tries <= 3; tries++) {
    await until(() => dns[0]?.queries.length === tries)
    clock.turn(3000)
  }
  await outcome
  assert.equal(dns[0]?.queries.length, 3)
})

test('a server that fails or is silent gives way to the next, and is asked last for a while', async (t) => {
  const { resolver, dns, clock } = await stage(t, [
    { zones: { 'example.org': { fails: 'SERVFAIL' }, 'silent.example': { fails: 'silence' } } },
    { zones: { ...zones, 'silent.example': { A: ['192.0.2.7'] } } },
  ])
  assert.equal((await resolver.a('example.org')).records.length, 2)
  const silent = resolver.a('silent.example')
  await until(() => dns[0]?.asked.includes('A silent.example') === true)
  clock.turn(3000)
  assert.deepEqual((await silent).records, ['192.0.2.7'])
  await resolver.mx('example.org')
  assert.deepEqual(dns[0]?.asked, ['A example.org', 'A silent.example'])
})

test('the failure tells what it was', async (t) => {
  const { resolver, dns, scope } = await one(t, {
    'broken.example': { fails: 'SERVFAIL' },
    'no.example': { fails: 'REFUSED' },
    'good.example': { A: ['192.0.2.1'] },
  })
  for (let i = 0; i < 2; i++) await resolver.a('good.example')
  await assert.rejects(resolver.a('broken.example'), failsWith('server-failure'))
  await assert.rejects(resolver.a('no.example'), failsWith('refused'))
  // Who said no is not asked twice.
  assert.equal(dns[0]?.queries.length, 3)
  await dns[0]?.close()
  await assert.rejects(resolver.a('example.org'), failsWith('unreachable'))
  assert.deepEqual(
    await samples(scope, 'aviso_dns_questions_total'),
    { answered: 1, kept: 1, 'server-failure': 1, refused: 1, unreachable: 1 },
    'and monitoring sees it',
  )
})

test('rubbish under the right id is no answer', async (t) => {
  const { resolver } = await one(t, zones, {
    meddle: ({ id }) => [Buffer.from([id >> 8, id & 255, 0x81, 0x80, 0, 1, 255, 255, 0, 0, 0, 0, 1])],
  })
  await assert.rejects(resolver.a('example.org'), failsWith('bad-answer'))
})

test('a server that does not know EDNS is asked without', async (t) => {
  const { resolver, dns } = await one(t, zones, {
    meddle: ({ edns }, answer) => [
      edns ? { ...answer, flags: 1, questions: [], answers: [], additionals: [] } : answer,
    ],
  })
  assert.equal((await resolver.a('example.org')).records.length, 2)
  assert.deepEqual(
    dns[0]?.queries.map(({ edns }) => edns),
    [true, false],
  )
})

test('when the scope closes, questions that are open fail', async (t) => {
  const { resolver, scope, dns } = await one(t, { 'example.org': { fails: 'silence' } })
  const question = resolver.a('example.org')
  await until(() => dns[0]?.queries.length === 1)
  await Promise.all([assert.rejects(question, DnsError), scope.close()])
})
