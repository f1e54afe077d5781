// MTA-STS policies: fetched by HTTPS, kept over restarts, fetched anew when they change; and what is counted of TLS for reports.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createSecureContext } from 'node:tls'
import { httpsFetch, StsFetchError } from '../../../src/mail/targets/remote/mta-sts-fetch.ts'
import { zoneResolver, type ZoneRecords } from '../../../src/net/dns/testing/index.ts'
import { certify, type Certified } from '../../fixtures/certificates.ts'
import { authority, good, rig } from './rig.ts'

const text = (mode: string, mx: string, age = 86_400): string =>
  `version: STSv1\nmode: ${mode}\nmx: ${mx}\nmax_age: ${age}\n`

/** A policy host on loopback, and what fetches from it. */
async function host(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  certificate: Certified = good('mta-sts.example.net'),
) {
  const server = createServer({ cert: certificate.chain, key: certificate.keyPem }, answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const fetch = httpsFetch({
    resolver: zoneResolver({ 'mta-sts.example.net': { A: ['127.0.0.1'] } }),
    trust: createSecureContext({ ca: authority.certificate.toString() }),
    port: (server.address() as AddressInfo).port,
  })
  return (domain = 'example.net', signal = new AbortController().signal) => fetch(domain, signal)
}

const failsAs = (type: string) => (error: unknown) => error instanceof StsFetchError && error.type === type

test('a policy is fetched from its well-known place, as plain text', async (t) => {
  const asked: (string | undefined)[] = []
  const fetch = await host(t, (request, response) => {
    asked.push(request.url, request.method)
    response.setHeader('Content-Type', 'Text/Plain; charset=utf-8')
    response.end(text('enforce', 'mx.example.net'))
  })
  assert.equal(await fetch(), text('enforce', 'mx.example.net'))
  assert.deepEqual(asked, ['/.well-known/mta-sts.txt', 'GET'])
})

test('redirects, other answers, other types, too many octets and answers that break off are no policies', async (t) => {
  const plain = (response: ServerResponse): ServerResponse => response.setHeader('Content-Type', 'text/plain')
  const ways: readonly [(response: ServerResponse) => void, string][] = [
    [(response) => response.writeHead(301, { location: 'https://example.org/' }).end(), 'sts-policy-fetch-error'],
    [(response) => response.writeHead(404).end(), 'sts-policy-fetch-error'],
    [(response) => response.writeHead(204).end(), 'sts-policy-fetch-error'],
    [(response) => response.setHeader('Content-Type', 'text/html').end('x'), 'sts-policy-invalid'],
    [(response) => response.end('no type'), 'sts-policy-invalid'],
    [(response) => plain(response).end('x'.repeat(65_537)), 'sts-policy-invalid'],
    [
      (response) => {
        plain(response).setHeader('Content-Length', '100')
        response.write('half')
        setImmediate(() => response.destroy())
      },
      'sts-policy-fetch-error',
    ],
    [(response) => void response.socket?.destroy(), 'sts-policy-fetch-error'],
  ]
  for (const [way, type] of ways) {
    const fetch = await host(t, (_request, response) => way(response))
    await assert.rejects(fetch(), failsAs(type))
  }
  const big = await host(t, (_request, response) => void plain(response).end('x'.repeat(65_536)))
  assert.equal((await big()).length, 65_536)
})

test('the certificate must be good for mta-sts.DOMAIN', async (t) => {
  for (const certificate of [
    certify({ names: ['mta-sts.example.net'] }),
    good('example.net'),
    certify({ names: ['mta-sts.example.net'], issuer: authority, until: new Date('2021-01-01') }),
  ]) {
    const fetch = await host(t, (_request, response) => response.end(), certificate)
    await assert.rejects(fetch(), failsAs('sts-webpki-invalid'))
  }
})

test('a host that is not there, that is silent or that is not wanted any more', async (t) => {
  const fetch = await host(t, () => {})
  await assert.rejects(fetch('elsewhere.example'), failsAs('sts-policy-fetch-error'))
  const abort = new AbortController()
  const silent = fetch('example.net', abort.signal)
  setImmediate(() => abort.abort())
  await assert.rejects(silent, failsAs('sts-policy-fetch-error'))
})

/** A domain whose policy can be changed. */
async function changing(t: TestContext) {
  const zones: Record<string, ZoneRecords> = {
    'example.net': { MX: [[1, 'mx.example.net']] },
    'mx.example.net': { A: ['127.0.0.2'] },
    '_mta-sts.example.net': { TXT: ['v=STSv1; id=1'] },
  }
  const policies: Record<string, string> = { 'example.net': text('enforce', 'other.example') }
  const made = await rig(t, { zones, policies, servers: { '127.0.0.2': {} } })
  const code = async (r = made): Promise<number | undefined> => (await r.send())[0]?.answer.code
  return { ...made, zones, policies, code }
}

test('a policy is fetched once, kept over a restart, and fetched anew when its id changes', async (t) => {
  const { code, fetched, zones, policies, again } = await changing(t)
  assert.equal(await code(), 451)
  assert.equal(await code(), 451)
  assert.equal(fetched.length, 1)
  const restarted = await again()
  assert.equal(await code(restarted), 451)
  assert.equal(fetched.length, 1)
  policies['example.net'] = text('testing', 'other.example')
  assert.equal(await code(restarted), 451)
  zones['_mta-sts.example.net'] = { TXT: ['v=STSv1; id=2'] }
  assert.equal(await code(restarted), 250)
  assert.equal(fetched.length, 2)
})

test('a policy in force is honoured though its record or its host is gone, until it ends', async (t) => {
  const { code, zones, policies, clock, fetched } = await changing(t)
  assert.equal(await code(), 451)
  zones['_mta-sts.example.net'] = { fails: 'SERVFAIL' }
  assert.equal(await code(), 451)
  zones['_mta-sts.example.net'] = {}
  assert.equal(await code(), 451)
  delete policies['example.net']
  zones['_mta-sts.example.net'] = { TXT: ['v=STSv1; id=3'] }
  assert.equal(await code(), 451)
  assert.equal(await code(), 451)
  // What failed is not tried at every message.
  assert.equal(fetched.length, 2)
  clock.turn(300_000)
  assert.equal(await code(), 451)
  assert.equal(fetched.length, 3)
  zones['_mta-sts.example.net'] = {}
  clock.turn(86_400_000)
  assert.equal(await code(), 250)
})

test('a domain whose policy was never to be had is sent to without one', async (t) => {
  const { code, policies, results, clock } = await changing(t)
  delete policies['example.net']
  assert.equal(await code(), 250)
  const day = new Date(clock.now()).toISOString().slice(0, 10)
  const [counted] = await results.day(day, '', 10)
  assert.ok(counted?.sessions.some(({ failure }) => failure?.type === 'sts-policy-fetch-error'))
})

test('a policy that is malformed is none', async (t) => {
  const { code, policies } = await changing(t)
  policies['example.net'] = 'version: STSv1\nmode: enforce\n'
  assert.equal(await code(), 250)
})

test('policies in use are fetched anew once a day, those that nobody uses run out', async (t) => {
  const { code, fetched, clock, policies, zones } = await changing(t)
  policies['example.net'] = text('enforce', 'other.example', 10 * 86_400)
  await code()
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  for (let hour = 0; hour < 26; hour++) {
    clock.turn(3_600_000)
    await settled()
  }
  assert.equal(fetched.length, 2)
  // That fetch was good for another ten days, also when nothing more can be had.
  delete policies['example.net']
  zones['_mta-sts.example.net'] = {}
  clock.turn(9 * 86_400_000)
  await settled()
  assert.equal(await code(), 451)
})

test('who wants the same policy at the same time waits for one fetch', async (t) => {
  const { send, fetched } = await changing(t)
  await Promise.all(Array.from({ length: 10 }, () => send()))
  assert.equal(fetched.length, 1)
})

test('TLS results are counted by day and policy, kept over a restart, and forgotten when reported', async (t) => {
  const { code, policies, results, clock, again, peers } = await changing(t)
  policies['example.net'] = text('testing', 'mx.example.net')
  assert.equal(await code(), 250)
  peers['127.0.0.2']?.cut()
  assert.equal(await code(), 250)
  const day = new Date(clock.now()).toISOString().slice(0, 10)
  const [counted] = await results.day(day, '', 10)
  assert.equal(counted?.domain, 'example.net')
  assert.deepEqual(counted.sessions, [
    {
      count: 2,
      policy: {
        type: 'sts',
        text: ['version: STSv1', 'mode: testing', 'mx: mx.example.net', 'max_age: 86400'],
        mx: ['mx.example.net'],
      },
      failure: {
        type: 'starttls-not-supported',
        reason: '',
        sendingIp: '127.0.0.1',
        receivingHost: 'mx.example.net',
        receivingIp: '127.0.0.2',
      },
    },
  ])
  const restarted = await again()
  assert.equal((await restarted.results.day(day, '', 10)).length, 1)
  assert.deepEqual(await restarted.results.day(day, 'example.net', 10), [])
  await restarted.results.reported(day, 'example.net')
  assert.deepEqual(await restarted.results.day(day, '', 10), [])
})

test('TLS results: what went well and what did not, by its type', async (t) => {
  const certificates: readonly [Certified, string | undefined][] = [
    [good('mx.example.net'), undefined],
    [good('other.example'), 'certificate-host-mismatch'],
    [certify({ names: ['mx.example.net'] }), 'certificate-not-trusted'],
    [certify({ names: ['mx.example.net'], issuer: authority, until: new Date('2021-01-01') }), 'certificate-expired'],
  ]
  for (const [certificate, type] of certificates) {
    const { send, results, clock } = await rig(t, {
      zones: {
        'example.net': { MX: [[1, 'mx.example.net']] },
        'mx.example.net': { A: ['127.0.0.2'] },
        '_mta-sts.example.net': { TXT: ['v=STSv1; id=1'] },
      },
      policies: { 'example.net': text('enforce', 'mx.example.net') },
      servers: { '127.0.0.2': { tls: certificate } },
    })
    assert.equal((await send())[0]?.answer.code, type === undefined ? 250 : 451)
    const [counted] = await results.day(new Date(clock.now()).toISOString().slice(0, 10), '', 10)
    assert.deepEqual(
      counted?.sessions.map(({ failure }) => failure?.type),
      [type],
    )
  }
})
