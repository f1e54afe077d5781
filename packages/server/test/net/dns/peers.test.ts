// The stub resolver before real servers: dnsmasq and unbound, where they are installed.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import * as v from 'valibot'
import { systemClock } from '../../../src/kernel/clock.ts'
import { systemRandom } from '../../../src/kernel/random.ts'
import { DnsError, type Resolver } from '../../../src/net/dns/contracts.ts'
import { dnsConfig, openServers } from '../../../src/net/dns/servers.ts'
import { StubResolver } from '../../../src/net/dns/stub.ts'
import { testScope } from '../../fixtures/scope.ts'

const installed = (program: string): boolean => spawnSync('which', [program]).status === 0

/** A port that is free for UDP and TCP now; below those that the system gives to whoever asks for any, as tests beside this one do. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 30_000)
    const datagrams = createSocket('udp4')
    const streams = createServer()
    try {
      datagrams.bind(port, '127.0.0.1')
      await once(datagrams, 'listening')
      streams.listen(port, '127.0.0.1')
      await once(streams, 'listening')
      return port
    } catch {
      // Somebody has it.
    } finally {
      datagrams.close()
      streams.close()
    }
  }
}

/** Runs a DNS server until the test ends, and makes a resolver that asks it. */
async function behind(t: TestContext, port: number, program: string, parameters: readonly string[]): Promise<Resolver> {
  const server = spawn(program, parameters, { stdio: ['ignore', 'ignore', 'pipe'] })
  let told = ''
  server.stderr.on('data', (octets: Buffer) => (told += octets.toString()))
  const scope = testScope({ clock: systemClock, random: systemRandom })
  t.after(async () => {
    await scope.close()
    server.kill()
    if (server.exitCode === null) await once(server, 'exit')
  })
  const settings = v.parse(dnsConfig, { servers: [`127.0.0.1:${port}`], timeout: '2s' })
  const resolver = new StubResolver(scope, await openServers(scope, settings), settings)
  for (let i = 0; ; i++) {
    try {
      await resolver.a('up.example.org')
      return resolver
    } catch (error) {
      if (!(error instanceof DnsError) || i > 100 || server.exitCode !== null) throw new Error(told, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

test('dnsmasq is understood', { skip: !installed('dnsmasq') }, async (t) => {
  const port = await freePort()
  const resolver = await behind(t, port, 'dnsmasq', [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--no-resolv',
    '--no-hosts',
    '--log-facility=-',
    '--user=root',
    '--pid-file=',
    '--listen-address=127.0.0.1',
    '--bind-interfaces',
    `--port=${port}`,
    '--local=/example.org/',
    '--host-record=up.example.org,192.0.2.1,2001:db8::1',
    '--mx-host=example.org,mx.example.org,10',
    '--cname=www.example.org,up.example.org',
    `--txt-record=example.org,v=spf1 -all,${'y'.repeat(255)},${'z'.repeat(200)}`,
    '--srv-host=_xmpp-client._tcp.example.org,up.example.org,5222,1,2',
    ...Array.from({ length: 100 }, (_, i) => `--txt-record=many.example.org,${i}-${'x'.repeat(100)}`),
  ])
  assert.deepEqual((await resolver.a('UP.example.org')).records, ['192.0.2.1'])
  assert.deepEqual((await resolver.aaaa('up.example.org')).records, ['2001:db8::1'])
  assert.deepEqual((await resolver.mx('example.org')).records, [{ preference: 10, exchange: 'mx.example.org' }])
  assert.deepEqual((await resolver.txt('example.org')).records, [`v=spf1 -all${'y'.repeat(255)}${'z'.repeat(200)}`])
  assert.deepEqual((await resolver.a('www.example.org')).name, 'up.example.org')
  assert.deepEqual((await resolver.srv('_xmpp-client._tcp.example.org')).records, [
    { priority: 1, weight: 2, port: 5222, target: 'up.example.org' },
  ])
  assert.deepEqual((await resolver.reverse('192.0.2.1')).records, ['up.example.org'])
  assert.equal((await resolver.txt('many.example.org')).records.length, 100)
  const missing = await resolver.a('missing.example.org')
  assert.deepEqual([missing.exists, missing.records, missing.secure], [false, [], false])
})

test('unbound is understood', { skip: !installed('unbound') }, async (t) => {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'aviso-unbound-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'unbound.conf')
  await writeFile(
    file,
    `server:
  interface: 127.0.0.1@${port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  local-zone: "example.org." static
  local-data: "example.org. 300 IN SOA ns.example.org. a.example.org. 1 2 3 4 60"
  local-data: "up.example.org. 120 IN A 192.0.2.1"
  local-data: "example.org. IN MX 10 up.example.org."
  local-data: "null.example.org. IN MX 0 ."
  local-data: "_25._tcp.up.example.org. IN TLSA 3 1 1 ${'ab'.repeat(32)}"
remote-control:
  control-enable: no
`,
  )
  const resolver = await behind(t, port, 'unbound', ['-d', '-c', file])
  const answer = await resolver.a('up.example.org')
  assert.deepEqual([answer.records, answer.ttl > 0 && answer.ttl <= 120], [['192.0.2.1'], true])
  assert.deepEqual((await resolver.mx('example.org')).records, [{ preference: 10, exchange: 'up.example.org' }])
  assert.deepEqual((await resolver.mx('null.example.org')).records, [{ preference: 0, exchange: '' }])
  assert.equal((await resolver.tlsa('_25._tcp.up.example.org')).records[0]?.data.length, 32)
  assert.equal((await resolver.a('missing.example.org')).exists, false)
  const none = await resolver.aaaa('up.example.org')
  assert.deepEqual([none.exists, none.records.length], [true, 0])
})
