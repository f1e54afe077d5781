// What the resolver makes of octets, names and files, without a network.

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { encode } from 'dns-packet'
import { array, assert as check, nat, property, string, tuple, uint8Array } from 'fast-check'
import * as v from 'valibot'
import { HandClock } from '../../../src/kernel/clock.ts'
import { SeededRandom } from '../../../src/kernel/random.ts'
import { dnsName, reverseName } from '../../../src/net/dns/names.ts'
import { makeQuery, readReply } from '../../../src/net/dns/packet.ts'
import { follow, negativeTtl, readers } from '../../../src/net/dns/records.ts'
import { dnsConfig, openServers, parseResolvConf, parseServer } from '../../../src/net/dns/servers.ts'
import { testScope } from '../../fixtures/scope.ts'

const query = makeQuery(new SeededRandom(3), 'www.example.org', 'A')

const honest = encode({
  type: 'response',
  id: query.id,
  questions: [{ type: 'A', name: query.name, class: 'IN' }],
  answers: [
    { type: 'CNAME', name: 'www.example.org', ttl: 60, data: 'web.example.net' },
    { type: 'A', name: 'web.example.net', ttl: 60, data: '192.0.2.1' },
    { type: 'TXT', name: 'web.example.net', ttl: 60, data: ['a', 'b'] },
    { type: 'MX', name: 'web.example.net', data: { preference: 1, exchange: 'x.example' } },
    {
      type: 'TLSA',
      name: 'a.example',
      data: { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.alloc(32) },
    },
  ],
})

/** Reads a packet and all that can be read of it. */
function readAll(octets: Buffer): void {
  const reading = readReply(octets, query)
  if (reading.kind !== 'reply') return
  follow(reading.answers, 'www.example.org', 'A')
  negativeTtl(reading.authorities)
  for (const read of Object.values(readers)) read(reading.answers)
}

test('property: no octets make the reader throw', () => {
  check(
    property(uint8Array({ maxLength: 600 }), (octets) => {
      const id = Buffer.alloc(2)
      id.writeUInt16BE(query.id)
      readAll(Buffer.concat([id, Buffer.from(octets)]))
    }),
  )
  check(
    property(
      array(tuple(nat(honest.length - 1), nat(255)), { minLength: 1, maxLength: 6 }),
      nat(honest.length),
      (changes, length) => {
        const octets = Buffer.from(honest.subarray(0, Math.max(12, length)))
        for (const [at, octet] of changes) if (at >= 2 && at < octets.length) octets[at] = octet
        readAll(octets)
      },
    ),
    { numRuns: 2000 },
  )
})

test('a packet of the most records and the longest names takes no noticeable time', () => {
  // Every name points at one of 127 labels: what a hostile server would send to keep us busy.
  const header = Buffer.from([0, 0, 0x81, 0x80, 0, 1, 255, 255, 0, 0, 0, 0])
  header.writeUInt16BE(query.id)
  const reading = readReply(Buffer.concat([header, Buffer.alloc(65_000, 1)]), query)
  assert.equal(reading.kind, 'broken')
})

test('a question is spelled at random and reads the same', () => {
  assert.equal(query.name.toLowerCase(), 'www.example.org')
  assert.notEqual(query.name, makeQuery(new SeededRandom(4), 'www.example.org', 'A').name)
  assert.equal(readReply(honest, query).kind, 'reply')
  assert.equal(readReply(honest, { ...query, type: 'AAAA' }).kind, 'stranger')
  assert.equal(readReply(honest, { ...query, name: query.name.toUpperCase() }).kind, 'doubtful')
})

test('names have one spelling', () => {
  assert.equal(dnsName('Mail.Example.ORG.'), 'mail.example.org')
  assert.equal(dnsName('_dmarc.BÜCHER.example'), '_dmarc.xn--bcher-kva.example')
  assert.equal(dnsName('a。b'), 'a.b')
  for (const name of [
    '',
    '.',
    'a..b',
    '.a',
    `${'x'.repeat(64)}.a`,
    'a.'.repeat(128),
    'tab\there',
    'ü\t',
    'ü%41',
    'ü/x',
    'x'.repeat(5000),
  ])
    assert.equal(dnsName(name), undefined, name)
  check(
    property(string({ unit: 'binary', maxLength: 80 }), (text) => {
      const name = dnsName(text)
      if (name !== undefined) assert.equal(dnsName(name), name)
    }),
  )
})

test('addresses are turned round', () => {
  assert.equal(reverseName('192.0.2.1'), '1.2.0.192.in-addr.arpa')
  assert.equal(reverseName('::1'), `1.${'0.'.repeat(31)}ip6.arpa`)
  assert.equal(reverseName('fe80::1%eth0')?.endsWith('0.8.e.f.ip6.arpa'), true)
  assert.equal(reverseName('example.org'), undefined)
})

test('servers are written with or without a port', () => {
  assert.deepEqual(parseServer('127.0.0.1:5353'), { host: '127.0.0.1', port: 5353 })
  assert.deepEqual(parseServer('::1'), { host: '::1', port: 53 })
  assert.deepEqual(parseServer('[2001:db8::1]:53'), { host: '2001:db8::1', port: 53 })
  for (const text of ['dns.example.org', '127.0.0.1:0', '127.0.0.1:70000', '1.2.3', '[::1', ''])
    assert.equal(parseServer(text), undefined, text)
})

test('resolv.conf: three servers at most, trust-ad, the one on this machine where there is none', () => {
  const text =
    '# resolv\nsearch example.org\nnameserver 192.0.2.1\nnameserver ::1 ; local\nnameserver x\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n'
  assert.deepEqual(
    parseResolvConf(text).map(({ host, trusted }) => [host, trusted]),
    [
      ['192.0.2.1', false],
      ['::1', true],
      ['192.0.2.2', false],
    ],
  )
  assert.deepEqual(parseResolvConf('nameserver 192.0.2.1\noptions edns0 trust-ad\n')[0]?.trusted, true)
  assert.deepEqual(parseResolvConf(''), [{ host: '127.0.0.1', port: 53, trusted: true }])
})

test('beside a trusted server, one that is not is never asked: else who blocks the first would switch DANE off', async () => {
  const scope = testScope()
  const config = v.parse(dnsConfig, { servers: ['192.0.2.1', '127.0.0.1:5353'] })
  assert.deepEqual((await openServers(scope, config)).current(), [{ host: '127.0.0.1', port: 5353, trusted: true }])
  const all = v.parse(dnsConfig, { servers: ['192.0.2.1', '127.0.0.1:5353'], trusted: true })
  assert.equal((await openServers(scope, all)).current().length, 2)
  await scope.close()
})

test('resolv.conf is looked at again', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'aviso-dns-'))
  const clock = new HandClock()
  const scope = testScope({ clock })
  t.after(async () => {
    await scope.close()
    await rm(folder, { recursive: true })
  })
  const file = join(folder, 'resolv.conf')
  const servers = await openServers(scope, v.parse(dnsConfig, {}), file)
  assert.equal(servers.current()[0]?.host, '127.0.0.1')
  await writeFile(file, 'nameserver 192.0.2.5\n')
  clock.turn(30_000)
  while (servers.current()[0]?.host !== '192.0.2.5') await new Promise((resolve) => setImmediate(resolve))
})
