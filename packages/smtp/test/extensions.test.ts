// What a server offers, to whom; and what trusted neighbours may say of others.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SmtpError, type Peer, type SmtpSession } from '../src/index.ts'
import { recordingServer, transcript } from './support.ts'

const date = (): Date => new Date('2026-01-05T12:00:00.250Z')
const extensions = { deliverBy: 300, priority: 'STANAG4406', futureRelease: 86_400 } as const
const offered = (said: string): string[] => [...said.matchAll(/^250[- ](.*)\r$/gm)].map(([, line]) => line ?? '')

async function talk(octets: string, options: Parameters<typeof recordingServer>[0] = {}, peer: Peer = {}) {
  const room = recordingServer({ date, ...options })
  const said = await transcript(room.connect({ peer, secure: true }), Buffer.from(octets), [])
  return { ...room, said }
}

test('DELIVERBY, MT-PRIORITY and FUTURERELEASE are offered where they are switched on, the last on submission only', async () => {
  const submission = await talk('EHLO a\r\nQUIT\r\n', { kind: 'submission', extensions, requireAuth: false })
  const lines = offered(submission.said)
  assert.ok(lines.includes('DELIVERBY 300'))
  assert.ok(lines.includes('MT-PRIORITY STANAG4406'))
  assert.ok(lines.includes('FUTURERELEASE 86400 2026-01-06T12:00:00Z'))
  const smtp = await talk('EHLO a\r\nMAIL FROM:<> HOLDFOR=60\r\nQUIT\r\n', { extensions })
  assert.doesNotMatch(smtp.said, /FUTURERELEASE/)
  assert.match(smtp.said, /^555 5\.5\.4/m)
  const off = await talk('EHLO a\r\nMAIL FROM:<> BY=60;N\r\nMAIL FROM:<> MT-PRIORITY=3\r\nQUIT\r\n')
  assert.doesNotMatch(off.said, /250.(?:DELIVERBY|MT-PRIORITY|FUTURERELEASE|XCLIENT|XFORWARD)/)
  assert.equal(off.said.match(/^555 5\.5\.4/gm)?.length, 2)
})

test('their parameters reach the handler', async () => {
  const { delivered } = await talk(
    'EHLO a\r\nMAIL FROM:<> BY=600;RT MT-PRIORITY=-3 HOLDFOR=60\r\nRCPT TO:<a@b.c>\r\nDATA\r\n.\r\nQUIT\r\n',
    { kind: 'submission', extensions, requireAuth: false },
  )
  const { deliverBy, priority, holdUntil } = delivered[0]?.envelope.parameters ?? {}
  assert.deepEqual(deliverBy, { seconds: 600, late: 'return', trace: true })
  assert.equal(priority, -3)
  assert.equal(holdUntil?.toISOString(), '2026-01-05T12:01:00.250Z')
})

const proxy = { address: '10.0.0.1', port: 4000 }
const trust = ({ address }: Peer) => (address === '10.0.0.1' ? { xclient: true, xforward: true } : {})

test('strangers are neither offered XCLIENT and XFORWARD nor let do it', async () => {
  const { said } = await talk(
    'EHLO a\r\nXCLIENT ADDR=192.0.2.1\r\nXFORWARD ADDR=192.0.2.1\r\nQUIT\r\n',
    { trust },
    { address: '10.0.0.2' },
  )
  assert.doesNotMatch(said, /250.X/)
  assert.equal(said.match(/^550 5\.7\.0 /gm)?.length, 2)
  const broken = await talk(
    'EHLO a\r\nXCLIENT ADDR=192.0.2.1\r\nQUIT\r\n',
    {
      trust: () => {
        throw new Error('no list')
      },
    },
    proxy,
  )
  assert.match(broken.said, /^550 5\.7\.0/m)
})

test("XCLIENT makes the session another client's, who meets a policy of its own", async () => {
  const met: (Peer & { hello: string | undefined; login: string | undefined })[] = []
  const seen = (session: SmtpSession) => ({
    ...session.peer,
    hello: session.hello,
    login: session.identity?.authcid,
  })
  const { said, events, delivered } = await talk(
    'EHLO proxy\r\nXCLIENT ADDR=IPV6:2001:db8::7 PORT=99 NAME=mx.example.net LOGIN=anna\r\n' +
      'MAIL FROM:<>\r\nEHLO client.example\r\nMAIL FROM:<>\r\nXCLIENT ADDR=192.0.2.1\r\nRCPT TO:<b@c.d>\r\nDATA\r\n.\r\n' +
      'XCLIENT ADDR=192.0.2.1 LOGIN=[UNAVAILABLE] HELO=other.example PROTO=ESMTP\r\nMAIL FROM:<>\r\nQUIT\r\n',
    {
      trust,
      handler: (session) => ({
        connect: () => void met.push(seen(session)),
        mail: () => void met.push(seen(session)),
        rcpt: () => {},
        data: () => {},
      }),
    },
    proxy,
  )
  assert.match(said, /^250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r$/m)
  const codes = [...said.matchAll(/^(\d{3})(?!-)/gm)].map(([, code]) => code).join(' ')
  assert.equal(codes, '220 250 220 503 250 250 503 250 354 250 220 250 221')
  const client = { address: '2001:db8::7', port: 99, name: 'mx.example.net' }
  const other = { address: '192.0.2.1', port: undefined, name: undefined }
  assert.deepEqual(met, [
    { ...proxy, hello: undefined, login: undefined },
    { ...client, hello: undefined, login: 'anna' },
    { ...client, hello: 'client.example', login: 'anna' },
    { ...other, hello: 'other.example', login: undefined },
    { ...other, hello: 'other.example', login: undefined },
  ])
  assert.deepEqual(events, ['close', 'close', 'reset', 'close'])
  assert.equal(delivered.length, 0)
})

test('a client that the policy does not want is sent away, though the proxy is welcome', async () => {
  const { said } = await talk(
    'XCLIENT ADDR=192.0.2.66\r\nEHLO a\r\nMAIL FROM:<>\r\n',
    {
      trust,
      handler: (session) => ({
        connect: () => {
          if (session.peer.address === '192.0.2.66') throw new SmtpError(550, '5.7.1', 'You are listed')
        },
        mail: () => {},
        rcpt: () => {},
        data: () => {},
      }),
    },
    proxy,
  )
  assert.match(said, /^220 .*\r\n554 5\.7\.1 You are listed\r\n$/)
})

test('LOGIN of XCLIENT is the login that submission asks for', async () => {
  const { said, delivered } = await talk(
    'EHLO p\r\nMAIL FROM:<>\r\nXCLIENT LOGIN=anna+40example.org\r\nEHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n.\r\nQUIT\r\n',
    { trust, kind: 'submission' },
    proxy,
  )
  assert.match(said, /^530 5\.7\.0/m)
  assert.equal(delivered.length, 1)
})

test('attributes that cannot be read change nothing', async () => {
  const bad = [
    '',
    'ADDR',
    'ADDR=',
    'ADDR=999.1.1.1',
    'ADDR=IPV6:1.2.3.4',
    'ADDR=2001:db8::1',
    'PORT=70000',
    'PROTO=HTTP',
    'HELO=a+0D+0AMAIL',
    'DESTADDR=here',
    'COLOUR=red',
    `NAME=${'a'.repeat(300)}`,
  ]
  const { said, events } = await talk(
    bad.map((attributes) => `XCLIENT ${attributes}\r\n`).join('') + 'QUIT\r\n',
    { trust, limits: { errors: 100 } },
    proxy,
  )
  assert.equal(said.match(/^501 5\.5\.4/gm)?.length, bad.length)
  assert.deepEqual(events, ['close'])
})

test('XFORWARD tells of the next mail and of no other', async () => {
  const seen: unknown[] = []
  const { said } = await talk(
    'EHLO f\r\nXFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.9 PORT=[UNAVAILABLE]\r\nXFORWARD HELO=x.example IDENT=4AB SOURCE=REMOTE PROTO=ESMTP\r\n' +
      'MAIL FROM:<>\r\nXFORWARD ADDR=192.0.2.10\r\nRCPT TO:<a@b.c>\r\nDATA\r\n.\r\nMAIL FROM:<>\r\nRSET\r\n' +
      'XFORWARD ADDR=192.0.2.11\r\nRSET\r\nMAIL FROM:<>\r\nQUIT\r\n',
    {
      trust,
      handler: (session) => ({
        mail: () => void seen.push(session.forwarded),
        rcpt: () => {},
        data: () => void seen.push(session.forwarded),
      }),
    },
    proxy,
  )
  assert.equal(said.match(/^503/gm)?.length, 1)
  const first = {
    name: undefined,
    address: '192.0.2.9',
    port: undefined,
    protocol: 'ESMTP',
    hello: 'x.example',
    id: '4AB',
    source: 'REMOTE',
  }
  assert.deepEqual(seen, [first, first, undefined, undefined])
})
