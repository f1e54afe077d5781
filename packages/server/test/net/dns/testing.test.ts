// The fakes themselves: what tests build on must answer as the DNS does.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { AUTHENTIC_DATA, decode, encode } from 'dns-packet'
import { DnsError } from '../../../src/net/dns/contracts.ts'
import { FakeDns, zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'

const zones: Zones = {
  'example.org': { MX: [[10, 'MX.example.org.']], TXT: ['v=spf1 -all', ['two ', 'strings']], secure: true },
  'mx.example.org': { A: ['192.0.2.1'], AAAA: ['2001:db8::1'], secure: true },
  'www.example.org': { CNAME: 'host.example.net', secure: true },
  'host.example.net': { A: ['192.0.2.2'], ttl: 60 },
  'loop.example': { CNAME: 'loop.example' },
  'null.example': { MX: [[0, '.']] },
  'broken.example': { fails: 'SERVFAIL' },
  'half.example': { A: ['192.0.2.3'], fails: { AAAA: 'silence' } },
  '*.wild.example': { A: ['192.0.2.4'] },
  'a.b.deep.example': { A: ['192.0.2.5'] },
  '1.2.0.192.in-addr.arpa': { PTR: ['mx.example.org'] },
}

test('a zone resolver follows CNAMEs; one insecure step makes the answer insecure', async () => {
  const resolver = zoneResolver(zones)
  assert.deepEqual(await resolver.a('WWW.Example.ORG.'), {
    records: ['192.0.2.2'],
    exists: true,
    secure: false,
    name: 'host.example.net',
    ttl: 60,
  })
  assert.deepEqual((await resolver.cname('www.example.org')).records, ['host.example.net'])
  assert.equal((await resolver.cname('www.example.org')).secure, true)
  assert.deepEqual(resolver.asked, ['A www.example.org', 'CNAME www.example.org', 'CNAME www.example.org'])
})

test('a zone resolver tells a name without such records from one that is not there', async () => {
  const resolver = zoneResolver(zones)
  const { exists, records } = await resolver.a('example.org')
  assert.deepEqual([exists, records.length], [true, 0])
  assert.equal((await resolver.a('deep.example')).exists, true)
  const missing = await resolver.tlsa('_25._tcp.mx.example.org')
  assert.deepEqual([missing.exists, missing.secure], [false, true])
  assert.equal((await resolver.a('a..b')).exists, false)
})

test('a zone resolver fails as told', async () => {
  const resolver = zoneResolver(zones)
  await assert.rejects(
    resolver.mx('broken.example'),
    (error) => error instanceof DnsError && error.code === 'server-failure',
  )
  await assert.rejects(resolver.aaaa('half.example'), (error) => error instanceof DnsError && error.code === 'timeout')
  assert.deepEqual((await resolver.a('half.example')).records, ['192.0.2.3'])
  await assert.rejects(resolver.a('loop.example'), DnsError)
  await assert.rejects(resolver.a('example.org', AbortSignal.abort(new Error('enough'))), /enough/)
})

test('a zone resolver knows wildcards, the null MX, joined strings and addresses turned round', async () => {
  const resolver = zoneResolver(zones)
  assert.deepEqual((await resolver.a('x.wild.example')).records, ['192.0.2.4'])
  assert.deepEqual((await resolver.mx('null.example')).records, [{ preference: 0, exchange: '' }])
  assert.deepEqual((await resolver.txt('example.org')).records, ['v=spf1 -all', 'two strings'])
  assert.deepEqual((await resolver.reverse('192.0.2.1')).records, ['mx.example.org'])
})

test('the fake server answers by UDP from its zones', async (t) => {
  const dns = await FakeDns.start(zones)
  t.after(() => dns.close())
  const socket = createSocket('udp4')
  t.after(() => socket.close())
  const [host, port] = dns.address.split(':')
  socket.send(
    encode({ type: 'query', id: 7, flags: 256 | AUTHENTIC_DATA, questions: [{ type: 'MX', name: 'eXample.org' }] }),
    Number(port),
    host,
  )
  const [octets] = (await once(socket, 'message')) as [Buffer]
  const answer = decode(octets)
  assert.equal(answer.questions?.[0]?.name, 'eXample.org')
  assert.deepEqual(answer.answers?.[0]?.type === 'MX' && answer.answers[0].data, {
    preference: 10,
    exchange: 'MX.example.org',
  })
  assert.notEqual((answer.flags ?? 0) & AUTHENTIC_DATA, 0)
  assert.deepEqual(dns.asked, ['MX example.org'])
})
