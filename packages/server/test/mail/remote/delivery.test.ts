// Mail on its way to other servers: which server gets it, and what becomes of it when they are down, refuse or break off.

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { SmtpError } from '@aviso/smtp'
import type { RecipientResult } from '../../../src/mail/targets/remote/contracts.ts'
import type { Zones } from '../../../src/net/dns/testing/index.ts'
import { samples } from '../../fixtures/metrics.ts'
import { good, parcelTo, type PeerWish, rig } from './rig.ts'

/** Codes of the results, as `250 2.0.0`. */
const codes = (results: readonly RecipientResult[]): string[] =>
  results.map(({ answer }) => `${answer.code} ${answer.enhanced}`)

const two: Zones = {
  'example.net': {
    MX: [
      [20, 'second.example.net'],
      [10, 'first.example.net'],
    ],
  },
  'first.example.net': { A: ['127.0.0.2'] },
  'second.example.net': { A: ['127.0.0.3'] },
}

const refusing = (code: number, enhanced: string): PeerWish => ({
  policy: () => ({
    connect: () => {
      throw new SmtpError(code, enhanced, 'not you')
    },
  }),
})

const hangUp: PeerWish = { serve: (socket) => socket.destroy() }

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

test('M-13 MTA outbound: the first server of the domain gets both recipients in one session', async (t) => {
  const { courier, peers } = await rig(t, { zones: two, servers: { '127.0.0.2': {}, '127.0.0.3': {} } })
  const parcel = parcelTo(['ben@example.net', 'cleo@example.net'])
  const results = await courier.send(parcel, new AbortController().signal)
  assert.deepEqual(codes(results), ['250 2.0.0', '250 2.0.0'])
  assert.deepEqual(
    results.map(({ address, remote, mx, tls, how, relayed, ambiguous }) => ({
      address,
      remote,
      mx,
      tls,
      how,
      relayed,
      ambiguous,
    })),
    ['ben@example.net', 'cleo@example.net'].map((address) => ({
      address,
      remote: 'first.example.net',
      mx: 'none',
      tls: 'none',
      how: 'not encrypted',
      relayed: true,
      ambiguous: false,
    })),
  )
  assert.equal(peers['127.0.0.2']?.connections, 1)
  const [received] = peers['127.0.0.2']?.received ?? []
  assert.deepEqual(
    received?.envelope.recipients.map(({ path }) => path.domain),
    ['example.net', 'example.net'],
  )
  assert.match(received?.text ?? '', /^From: anna@example\.org\r\n.*Hello Ben\r\n$/s)
  assert.equal(peers['127.0.0.3']?.connections, 0)
})

test('MX fallback: a server that is down, hangs up, refuses with 4yz or 5yz or breaks off gives way to the next', async (t) => {
  const ways: readonly (PeerWish | undefined)[] = [
    undefined,
    hangUp,
    refusing(421, '4.3.2'),
    refusing(554, '5.7.1'),
    { serve: (socket) => socket.end('220 hello\r\n') },
    { serve: (socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n') },
    { policy: () => ({ hello: () => Promise.reject(new SmtpError(554, '5.7.1', 'not with this name')) }) },
  ]
  for (const way of ways) {
    const servers = { ...(way === undefined ? {} : { '127.0.0.2': way }), '127.0.0.3': {} }
    const { send, peers } = await rig(t, { zones: two, servers })
    assert.deepEqual(codes(await send()), ['250 2.0.0'])
    assert.equal(peers['127.0.0.3']?.received.length, 1)
  }
})

test('a server that is silent gives way when its time is over', async (t) => {
  const servers = { '127.0.0.2': { serve: () => {} }, '127.0.0.3': {} }
  const { send, clock, peers } = await rig(t, { zones: two, servers })
  const sent = send()
  await until(() => peers['127.0.0.2']?.open() === 1)
  await new Promise((resolve) => setImmediate(resolve))
  clock.turn(300_000)
  assert.deepEqual(codes(await sent), ['250 2.0.0'])
})

test('all servers down: later, with the name of the last one', async (t) => {
  const { send } = await rig(t, { zones: two })
  const [result] = await send()
  assert.equal(result?.answer.code, 451)
  assert.match(result.answer.text, /second\.example\.net cannot be reached \(ECONNREFUSED\)/)
  assert.equal(result.remote, 'second.example.net')
})

test('all servers refuse for good: never; one of them only for now: later', async (t) => {
  const both = { '127.0.0.2': refusing(554, '5.7.1'), '127.0.0.3': refusing(554, '5.7.25') }
  assert.deepEqual(codes(await (await rig(t, { zones: two, servers: both })).send()), ['554 5.7.25'])
  const mixed = { '127.0.0.2': refusing(421, '4.3.2'), '127.0.0.3': refusing(550, '5.7.25') }
  assert.deepEqual(codes(await (await rig(t, { zones: two, servers: mixed })).send()), ['421 4.3.2'])
})

test('failures at MAIL, RCPT and DATA are the answer, and no other server is asked (X-01: the turn is given back)', async (t) => {
  const stages: readonly [PeerWish['policy'], string[]][] = [
    [() => ({ mail: () => Promise.reject(new SmtpError(550, '5.7.1', 'no')) }), ['550 5.7.1', '550 5.7.1']],
    [() => ({ mail: () => Promise.reject(new SmtpError(451, '4.7.0', 'no')) }), ['451 4.7.0', '451 4.7.0']],
    [
      () => ({
        rcpt: ({ path }) => {
          if (path.localPart === 'cleo') throw new SmtpError(550, '5.1.1', 'no such user')
        },
      }),
      ['250 2.0.0', '550 5.1.1'],
    ],
    [() => ({ data: () => Promise.reject(new SmtpError(554, '5.6.0', 'no')) }), ['554 5.6.0', '554 5.6.0']],
  ]
  for (const [policy, expected] of stages) {
    const servers = { '127.0.0.2': policy === undefined ? {} : { policy }, '127.0.0.3': {} }
    const { courier, peers } = await rig(t, { zones: two, servers, config: { concurrency: 1 } })
    const parcel = parcelTo(['ben@example.net', 'cleo@example.net'])
    // Again and again: were a turn kept, the second time would wait.
    for (let i = 0; i < 3; i++)
      assert.deepEqual(codes(await courier.send(parcel, new AbortController().signal)), expected)
    assert.equal(peers['127.0.0.3']?.connections, 0)
  }
})

test('552 to RCPT is too many recipients, unless it says that the mailbox is full', async (t) => {
  for (const [enhanced, expected] of [
    ['5.5.3', '452 4.5.3'],
    ['5.2.2', '552 5.2.2'],
  ] as const) {
    const policy: PeerWish['policy'] = () => ({ rcpt: () => Promise.reject(new SmtpError(552, enhanced, 'full')) })
    const { send } = await rig(t, { zones: two, servers: { '127.0.0.2': { policy } } })
    assert.deepEqual(codes(await send()), [expected])
  }
})

test('X-11 the enhanced code is of the class of the reply, whatever the server combines', async (t) => {
  const says = (line: string): PeerWish => ({
    serve: (socket) => {
      socket.write('220 hello\r\n')
      socket.on('data', (octets: Buffer) => {
        for (const command of octets.toString().split('\r\n').filter(Boolean))
          socket.write(command.startsWith('EHLO') ? '250 peer\r\n' : command === 'QUIT' ? '221 bye\r\n' : `${line}\r\n`)
      })
    },
  })
  for (const [line, expected] of [
    ['451 5.4.0 mixed', '451 4.0.0'],
    ['550 4.1.1 mixed', '550 5.0.0'],
    ['550 no enhanced code', '550 5.0.0'],
    ['354 too early', '451 4.5.0'],
  ]) {
    const { send } = await rig(t, { zones: two, servers: { '127.0.0.2': says(line ?? '') } })
    const [code] = codes(await send())
    assert.equal(code, expected, line)
  }
})

test('a connection that breaks before the end of the data: the next server gets it; after it: nobody knows, later', async (t) => {
  const cut = (when: RegExp, answers: (command: string) => string): PeerWish => ({
    serve: (socket) => {
      socket.write('220 hello\r\n')
      let text = ''
      socket.on('data', (octets: Buffer) => {
        text += octets.toString()
        if (when.test(text)) return socket.destroy()
        for (const command of octets.toString().split('\r\n').filter(Boolean)) {
          const answer = answers(command)
          if (answer !== '') socket.write(answer)
        }
        return undefined
      })
    },
  })
  const polite = (command: string): string =>
    /^(?:EHLO|MAIL|RCPT)/.test(command) ? '250 fine\r\n' : command === 'DATA' ? '354 go on\r\n' : ''
  const before = { '127.0.0.2': cut(/MAIL/, polite), '127.0.0.3': {} }
  const first = await rig(t, { zones: two, servers: before })
  assert.deepEqual(codes(await first.send()), ['250 2.0.0'])
  const after = { '127.0.0.2': cut(/\r\n\.\r\n/, polite), '127.0.0.3': {} }
  const second = await rig(t, { zones: two, servers: after })
  const [result] = await second.send()
  assert.deepEqual([result?.answer.code, result?.answer.enhanced, result?.ambiguous], [451, '4.4.2', true])
  assert.equal(second.peers['127.0.0.3']?.connections, 0)
})

test('no MX: the domain itself; null MX: 556 5.1.10; no domain: 550 5.1.2; no address: 550 5.4.4', async (t) => {
  const zones: Zones = {
    'example.net': { A: ['127.0.0.2'] },
    'null.example': { MX: [[0, '.']], A: ['127.0.0.2'] },
    'text.example': { TXT: ['only'] },
    'lost.example': { MX: [[1, 'nowhere.example']] },
    'broken.example': { fails: 'SERVFAIL' },
    'half.example': { MX: [[1, 'broken.example']] },
  }
  const { courier, peers } = await rig(t, { zones, servers: { '127.0.0.2': {} } })
  const send = async (domain: string) =>
    codes(await courier.send(parcelTo([`ben@${domain}`]), new AbortController().signal))[0]
  assert.equal(await send('example.net'), '250 2.0.0')
  assert.equal(await send('null.example'), '556 5.1.10')
  assert.equal(await send('missing.example'), '550 5.1.2')
  assert.equal(await send('text.example'), '550 5.4.4')
  assert.equal(await send('lost.example'), '550 5.4.4')
  assert.equal(await send('broken.example'), '451 4.4.3')
  assert.equal(await send('half.example'), '451 4.4.3')
  assert.equal(await send('no..name'), '550 5.1.2')
  assert.equal(peers['127.0.0.2']?.connections, 1)
})

test('address literals are refused, unless the config allows them', async (t) => {
  const parcel = { recipients: [{ address: 'ben@[127.0.0.2]' }], domain: '[127.0.0.2]' }
  const strict = await rig(t, { zones: {}, servers: { '127.0.0.2': {} } })
  assert.deepEqual(codes(await strict.send(parcel)), ['550 5.1.1'])
  const lax = await rig(t, { zones: {}, servers: { '127.0.0.2': {} }, config: { 'address-literals': true } })
  assert.deepEqual(codes(await lax.send(parcel)), ['250 2.0.0'])
  assert.deepEqual(codes(await lax.send({ ...parcel, domain: '[example]' })), ['550 5.1.1'])
})

test('a mail that leads back here is not sent in circles: by our name, by our address, and never to servers behind us', async (t) => {
  const zones: Zones = {
    'best.example': {
      MX: [
        [5, 'mail.example.org'],
        [10, 'first.example.net'],
      ],
    },
    'backup.example': {
      MX: [
        [5, 'first.example.net'],
        [10, 'mail.example.org'],
        [20, 'second.example.net'],
      ],
    },
    'nat.example': { MX: [[5, 'other-name.example']] },
    'down.example': {
      MX: [
        [5, 'down.example.net'],
        [10, 'mail.example.org'],
        [10, 'first.example.net'],
      ],
    },
    'down.example.net': { A: ['127.0.0.9'] },
    'mail.example.org': { A: ['127.0.0.8'] },
    'other-name.example': { A: ['127.0.0.7'] },
    'first.example.net': { A: ['127.0.0.2'] },
    'second.example.net': { A: ['127.0.0.2'] },
  }
  const config = { 'own-addresses': ['127.0.0.7'] }
  const { courier, peers } = await rig(t, { zones, servers: { '127.0.0.2': {} }, config })
  const send = async (domain: string) =>
    codes(await courier.send(parcelTo([`ben@${domain}`]), new AbortController().signal))[0]
  assert.equal(await send('best.example'), '554 5.4.6')
  assert.equal(await send('nat.example'), '554 5.4.6')
  assert.equal(peers['127.0.0.2']?.connections, 0)
  assert.equal(await send('backup.example'), '250 2.0.0')
  assert.equal(await send('down.example'), '451 4.4.1')
  assert.equal(peers['127.0.0.2']?.received.length, 1)
})

const outside = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

test('an address of this machine is known as ours without being named', { skip: outside === undefined }, async (t) => {
  const zones: Zones = { 'example.net': { MX: [[1, 'us.example']] }, 'us.example': { A: [outside ?? ''] } }
  const { send } = await rig(t, { zones })
  assert.deepEqual(codes(await send()), ['554 5.4.6'])
})

test('names that lead to this machine are not followed, as no other server is here', async (t) => {
  const config = { 'ignored-addresses': ['127.0.0.0/8', '::1'] }
  const { send, peers } = await rig(t, { zones: two, servers: { '127.0.0.2': {} }, config })
  assert.deepEqual(codes(await send()), ['550 5.4.4'])
  assert.equal(peers['127.0.0.2']?.connections, 0)
})

test('IPv6 first, then IPv4; a family can be switched off; one that the DNS does not tell leaves the other', async (t) => {
  const zones: Zones = {
    'example.net': { MX: [[1, 'mx.example.net']] },
    'mx.example.net': { A: ['127.0.0.2'], AAAA: ['::1'] },
    'half.example': { A: ['127.0.0.2'], fails: { AAAA: 'SERVFAIL' } },
  }
  const servers = { '127.0.0.2': {}, '::1': {} }
  const both = await rig(t, { zones, servers })
  await both.send()
  assert.equal(both.peers['::1']?.received.length, 1)
  const four = await rig(t, { zones, servers, config: { families: 'ipv4' } })
  await four.send()
  assert.equal(four.peers['::1']?.received.length, 0)
  assert.ok(!four.dns.asked.includes('AAAA mx.example.net'))
  const onlyFour = await rig(t, { zones, servers: { '127.0.0.2': {} } })
  assert.deepEqual(codes(await onlyFour.send()), ['250 2.0.0'])
  assert.deepEqual(codes(await onlyFour.send({ domain: 'half.example' })), ['250 2.0.0'])
})

test('connections are made from the addresses that the config names', async (t) => {
  const seen: (string | undefined)[] = []
  const servers = {
    '127.0.0.2': {
      serve: (socket: Socket) => {
        seen.push(socket.remoteAddress)
        socket.destroy()
      },
    },
  }
  const { send } = await rig(t, { zones: two, servers, config: { source: ['::1', '127.0.0.77'] } })
  await send()
  assert.deepEqual(seen, ['127.0.0.77'])
})

test('a route override sends a domain, or all below one, where the config says', async (t) => {
  const config = {
    destinations: {
      'example.net': { host: '127.0.0.3' },
      '*.example.net': { host: 'relay.example', tls: 'encrypted' as const },
      'Bücher.example': { host: '127.0.0.2' },
    },
  }
  const zones: Zones = { ...two, 'relay.example': { A: ['127.0.0.2'] } }
  const { courier, peers, dns } = await rig(t, { zones, servers: { '127.0.0.2': {}, '127.0.0.3': {} }, config })
  const send = async (domain: string) =>
    (await courier.send(parcelTo([`ben@${domain}`]), new AbortController().signal))[0]
  assert.equal((await send('Example.NET'))?.remote, '127.0.0.3')
  assert.equal(peers['127.0.0.3']?.received.length, 1)
  const below = await send('a.b.example.net')
  assert.deepEqual([below?.answer.code, below?.answer.enhanced], [451, '4.7.1'])
  assert.match(below?.answer.text ?? '', /relay\.example offers no TLS/)
  assert.equal((await send('xn--bcher-kva.example'))?.answer.code, 250)
  assert.ok(!dns.asked.some((question) => question.startsWith('MX')))
})

test('a connection is used again for the next message, until it has carried enough, or its time is over', async (t) => {
  const servers = { '127.0.0.2': { tls: good('first.example.net') } }
  const { send, peers, clock } = await rig(t, { zones: two, servers, config: { 'reuse-messages': 3 } })
  for (let i = 0; i < 4; i++) assert.deepEqual(codes(await send()), ['250 2.0.0'])
  assert.equal(peers['127.0.0.2']?.connections, 2)
  clock.turn(151_000)
  await send()
  assert.equal(peers['127.0.0.2']?.connections, 3)
  assert.equal(peers['127.0.0.2']?.received.length, 5)
})

test('connections are counted by what assures them, and so are the messages that needed none of their own', async (t) => {
  const zones: Zones = { ...two, 'plain.example': { A: ['127.0.0.3'] } }
  const servers = { '127.0.0.2': { tls: good('first.example.net') }, '127.0.0.3': {} }
  const { send, scope } = await rig(t, { zones, servers, config: { 'reuse-messages': 3 } })
  for (let i = 0; i < 4; i++) await send()
  await send({ domain: 'plain.example' })
  assert.deepEqual(await samples(scope, 'aviso_remote_connections_total'), { 'authenticated none': 2, 'none none': 1 })
  assert.deepEqual(await samples(scope, 'aviso_remote_reused_total'), { '': 2 })
})

test('how many idle connections are kept, and for how long, is as the config says', async (t) => {
  const servers = { '127.0.0.2': {} }
  const none = await rig(t, { zones: two, servers, config: { 'idle-connections': 0 } })
  for (let i = 0; i < 3; i++) await none.send()
  assert.equal(none.peers['127.0.0.2']?.connections, 3)
  const brief = await rig(t, { zones: two, servers, config: { 'idle-time': '10s' } })
  await brief.send()
  brief.clock.turn(9_000)
  await brief.send()
  assert.equal(brief.peers['127.0.0.2']?.connections, 1)
  brief.clock.turn(11_000)
  await brief.send()
  assert.equal(brief.peers['127.0.0.2']?.connections, 2)
})

test('how long other servers are waited for is as the config says: for a handshake, a command, the end of a message', async (t) => {
  const second = { '127.0.0.3': {} }
  let asked = false
  const silent: PeerWish = {
    serve: (socket) => {
      socket.write('220 hello\r\n')
      socket.on('data', () => (asked = true))
    },
  }
  const slow = await rig(t, {
    zones: two,
    servers: { '127.0.0.2': silent, ...second },
    config: { 'command-timeout': '7s' },
  })
  const sent = slow.send()
  await until(() => asked)
  slow.clock.turn(6_999)
  assert.equal(slow.peers['127.0.0.3']?.connections, 0)
  slow.clock.turn(1)
  assert.deepEqual(codes(await sent), ['250 2.0.0'])

  let ended = false
  const endless: PeerWish = { policy: () => ({ data: () => ((ended = true), new Promise<void>(() => {})) }) }
  const late = await rig(t, {
    zones: two,
    servers: { '127.0.0.2': endless, ...second },
    config: { 'submission-timeout': '9s' },
  })
  const confirmed = late.send()
  await until(() => ended)
  await new Promise((resolve) => setImmediate(resolve))
  late.clock.turn(9_000)
  assert.deepEqual(codes(await confirmed), ['451 4.4.2'])
  assert.equal(late.peers['127.0.0.3']?.connections, 0, 'it may have been taken')

  let shaking = 0
  const handshake: PeerWish = {
    serve: (socket) => {
      socket.write('220 hello\r\n')
      socket.on('data', (octets) => {
        if (octets.toString('latin1').startsWith('EHLO')) socket.write('250-hello\r\n250 STARTTLS\r\n')
        else if (octets.toString('latin1').startsWith('STARTTLS')) socket.write('220 go\r\n')
        else shaking++
      })
    },
  }
  const config = { 'connect-timeout': '5s', tls: 'encrypted' } as const
  const hung = await rig(t, {
    zones: two,
    servers: { '127.0.0.2': handshake, '127.0.0.3': { tls: good('second.example.net') } },
    config,
  })
  const given = hung.send()
  await until(() => shaking > 0)
  hung.clock.turn(5_000)
  await until(() => shaking > 1 || (hung.peers['127.0.0.3']?.connections ?? 0) > 0)
  hung.clock.turn(5_000)
  assert.deepEqual(codes(await given), ['250 2.0.0'])
})

test('a kept connection that died meanwhile is replaced, and the message goes once', async (t) => {
  const { send, peers } = await rig(t, { zones: two, servers: { '127.0.0.2': {} } })
  await send()
  peers['127.0.0.2']?.cut()
  assert.deepEqual(codes(await send()), ['250 2.0.0'])
  await until(() => peers['127.0.0.2']?.open() === 1)
  peers['127.0.0.2']?.cut()
  await until(() => peers['127.0.0.2']?.open() === 0)
  assert.deepEqual(codes(await send()), ['250 2.0.0'])
  assert.equal(peers['127.0.0.2']?.received.length, 3)
})

test('a destination gets no more connections at a time than the config allows; who waits too long is put off', async (t) => {
  let busy = 0
  let most = 0
  const release: (() => void)[] = []
  const policy: PeerWish['policy'] = () => ({
    data: async () => {
      most = Math.max(most, ++busy)
      await new Promise<void>((resolve) => release.push(resolve))
      busy--
    },
  })
  const servers = { '127.0.0.2': { policy } }
  const { send, clock } = await rig(t, { zones: two, servers, config: { concurrency: 2 } })
  const sent = Array.from({ length: 4 }, () => send())
  await until(() => release.length === 2)
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(busy, 2)
  release.shift()?.()
  await until(() => release.length === 2)
  clock.turn(30_001)
  assert.deepEqual(codes((await sent[3]) ?? []), ['451 4.4.5'])
  for (const go of release) go()
  assert.deepEqual((await Promise.all(sent.slice(0, 3))).flatMap(codes), ['250 2.0.0', '250 2.0.0', '250 2.0.0'])
  assert.equal(most, 2)
})

test('a rate spreads messages over time', async (t) => {
  const config = { destinations: { 'example.net': { rate: { messages: 2, per: '20s' } } } }
  const { send, clock, peers } = await rig(t, { zones: two, servers: { '127.0.0.2': {} }, config })
  const sent = Array.from({ length: 3 }, () => send())
  await Promise.all(sent.slice(0, 2))
  assert.equal(peers['127.0.0.2']?.received.length, 2)
  clock.turn(10_000)
  assert.deepEqual(codes((await sent[2]) ?? []), ['250 2.0.0'])
})

test('who calls it off is told so, and the server gets nothing', async (t) => {
  const abort = new AbortController()
  const servers = { '127.0.0.2': { serve: () => {} } }
  const { send, peers } = await rig(t, { zones: two, servers })
  const sent = send({}, abort.signal)
  await until(() => peers['127.0.0.2']?.open() === 1)
  abort.abort(new Error('called off'))
  await assert.rejects(sent, /called off/)
  await until(() => peers['127.0.0.2']?.open() === 0)
})

test('an address that would break out of its command is refused for good', async (t) => {
  const { send } = await rig(t, { zones: two, servers: { '127.0.0.2': {} } })
  assert.deepEqual(codes(await send({ recipients: [{ address: 'ben@example.net>\r\nRSET' }] })), ['553 5.1.3'])
})

test('DSN parameters and the null sender go along', async (t) => {
  const { send, peers } = await rig(t, { zones: two, servers: { '127.0.0.2': {} } })
  await send({
    sender: null,
    ret: 'HDRS',
    envid: 'abc+1',
    recipients: [
      {
        address: 'ben@example.net',
        notify: ['SUCCESS', 'FAILURE'],
        originalRecipient: { type: 'rfc822', address: 'ben@old.example' },
      },
    ],
  })
  const [{ envelope } = { envelope: undefined }] = peers['127.0.0.2']?.received ?? []
  assert.equal(envelope?.reversePath, null)
  assert.deepEqual([envelope?.parameters.ret, envelope?.parameters.envid], ['HDRS', 'abc+1'])
  assert.deepEqual(envelope?.recipients[0]?.parameters, {
    notify: ['SUCCESS', 'FAILURE'],
    originalRecipient: { type: 'rfc822', address: 'ben@old.example' },
  })
})
