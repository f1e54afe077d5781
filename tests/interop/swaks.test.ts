// The feature tour of swaks: each thing that it can do with a server, done with this one. It has no options for DSN or BODY=8BITMIME.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ANNA, BEN, mailOf, populated } from '../../packages/server/test/house/conversations.ts'
import type { Running } from '../../packages/server/test/house/fixture.ts'
import { needs, type Outcome, run } from './programs.ts'

interface Tour {
  readonly running: Running
  readonly socket: string
  /** Runs swaks as a client on this machine. Its output is the whole conversation. */
  swaks(protocol: string, tls: string, ...more: readonly string[]): Promise<Outcome>
  /** As `swaks`; it must succeed. Answers the conversation. */
  takes(protocol: string, tls: string, ...more: readonly string[]): Promise<string>
}

async function tour(t: TestContext): Promise<Tour> {
  // What swaks says of a client that is not on this machine, no DNS shall be asked for.
  const off = { spf: false, dkim: false, dmarc: false, arc: false }
  const any = '127.0.0.1:0'
  const base = await populated(t, {
    mail: { incoming: { checks: off } },
    endpoints: {
      smtp: { listen: [any], xclient: ['127.0.0.1'] },
      submission: { listen: [any], 'listen-tls': [any], xclient: ['127.0.0.1'] },
    },
  })
  const socket = join(base.folder, 'lmtp.sock')
  base.config = {
    ...base.config,
    endpoints: { ...base.config.endpoints, lmtp: { listen: [`unix:${socket}`, any] } },
  }
  await base.house.reload()
  const swaks = (protocol: string, tls: string, ...more: readonly string[]): Promise<Outcome> =>
    run('swaks', [
      ...(protocol === 'unix' ? ['--socket', socket] : ['--server', `127.0.0.1:${base.port(protocol, tls)}`]),
      '--helo',
      'swaks.example',
      '--from',
      'carl@example.net',
      '--timeout',
      '15',
      ...more,
    ])
  return {
    running: base,
    socket,
    swaks,
    async takes(...words) {
      const { status, stdout, stderr } = await swaks(...words)
      assert.equal(status, 0, `${words.join(' ')}\n${stdout}${stderr}`)
      return stdout
    },
  }
}

const to = (...people: readonly { readonly address: string }[]): string[] => [
  '--to',
  people.map(({ address }) => address).join(','),
]
const login = ['--auth-user', ANNA.address, '--auth-password', ANNA.password]

/** The newest mail of Ben. */
const newest = async (running: Running): Promise<string> => (await mailOf(running, BEN)).at(-1) ?? ''

test('the tour of swaks', { skip: needs('swaks') }, async (t) => {
  const { running, swaks, takes } = await tour(t)

  await t.test('several recipients, one after the other and pipelined', async () => {
    const plain = await takes('smtp', 'starttls', ...to(ANNA, BEN))
    assert.equal(plain.match(/^<- {2}250 2\.1\.5 /gm)?.length, 2)
    const pipelined = await takes('smtp', 'starttls', ...to(ANNA, BEN), '--pipeline')
    assert.match(pipelined, /^ -> MAIL FROM[^\n]*\n -> RCPT[^\n]*\n -> RCPT[^\n]*\n -> DATA\n<- {2}250/m)
    for (const person of [ANNA, BEN]) assert.equal((await mailOf(running, person)).length, 2)
    const { status, stdout } = await swaks('smtp', 'starttls', '--to', 'nobody@example.org', '--pipeline')
    assert.equal(status, 24, stdout)
    assert.match(stdout, /<\*\* 550 5\.1\.1 /)
  })

  await t.test('STARTTLS and TLS from the start; old HELO too', async () => {
    for (const [protocol, tls, flag] of [
      ['smtp', 'starttls', '--tls'],
      ['submission', 'implicit', '--tls-on-connect'],
    ] as const) {
      const own = protocol === 'submission' ? [...login, '--auth', 'PLAIN', '--from', ANNA.address] : []
      const said = await takes(
        protocol,
        tls,
        ...to(BEN),
        flag,
        ...own,
        '--h-From',
        own.length > 0 ? ANNA.address : BEN.address,
      )
      assert.match(said, /=== TLS started with cipher TLSv1\.[23]:/)
    }
    assert.match(await newest(running), /Received:[^;]*with ESMTPSA[^;]*\n\ttls /)
    const old = await takes('smtp', 'starttls', ...to(BEN), '--protocol', 'SMTP')
    assert.match(old, / -> HELO swaks\.example/)
    assert.match(await newest(running), /Received: from swaks\.example [^;]*with SMTP /)
  })

  await t.test(
    'logins: PLAIN and LOGIN in every spelling of the protocol; what is not offered, and what is wrong',
    async () => {
      const own = ['--from', ANNA.address, ...to(BEN)]
      for (const mechanism of ['PLAIN', 'LOGIN']) {
        const said = await takes(
          'submission',
          'starttls',
          ...own,
          '--protocol',
          'ESMTPSA',
          '--auth',
          mechanism,
          ...login,
        )
        assert.match(said, /<~ {2}235 2\.7\.0 /)
        await takes('submission', 'implicit', ...own, '--protocol', 'SSMTPA', '--auth', mechanism, ...login)
      }
      const unknown = await swaks('submission', 'implicit', ...own, '--tls-on-connect', '--auth', 'CRAM-MD5', ...login)
      assert.equal(unknown.status, 28, unknown.stdout)
      const wrong = [...login.slice(0, 3), 'no such secret']
      const refused = await swaks('submission', 'implicit', ...own, '--tls-on-connect', '--auth', 'PLAIN', ...wrong)
      assert.equal(refused.status, 28, refused.stdout)
      assert.match(refused.stdout, /<~\* 535 5\.7\.8 /)
      const stranger = await swaks('submission', 'starttls', ...own)
      assert.equal(stranger.status, 23, stranger.stdout)
      assert.match(stranger.stdout, /<\*\* 530 5\.7\.0 /)
    },
  )

  await t.test('LMTP over TCP and over a unix socket', async () => {
    for (const protocol of ['lmtp', 'unix']) {
      const said = await takes(protocol, 'starttls', ...to(ANNA, BEN), '--protocol', 'LMTP')
      for (const { address } of [ANNA, BEN]) assert.match(said, new RegExp(`<- {2}250 2\\.1\\.5 <${address}>`))
      assert.match(await newest(running), /Received: from swaks\.example[^;]*with LMTP /)
    }
  })

  await t.test('XCLIENT: the client, its greeting, and a login', async () => {
    const client = ['--xclient-addr', '192.0.2.17', '--xclient-name', 'one.example', '--xclient-helo', 'hello.example']
    const said = await takes(
      'smtp',
      'starttls',
      ...to(BEN),
      ...client,
      '--xclient-port',
      '4000',
      '--xclient-proto',
      'ESMTP',
    )
    assert.match(said, / -> XCLIENT /)
    assert.match(await newest(running), /Received: from swaks\.example \(\[192\.0\.2\.17\]\)/)
    const proven = ['--xclient-login', ANNA.address, '--from', ANNA.address]
    await takes('submission', 'starttls', ...to(BEN), ...proven)
    assert.match(await newest(running), /with ESMTPA /)
  })

  await t.test('8-bit text, attachments and fields come as they were sent', async () => {
    const file = join(running.folder, 'picture.bin')
    const octets = Buffer.from(Array.from({ length: 3000 }, (_, i) => i % 256))
    writeFileSync(file, octets)
    const body = 'Grüße aus Köln\n.\n..two dots'
    const fields = ['--header', 'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=', '--add-header', 'X-Tour: yes']
    await takes('smtp', 'starttls', ...to(BEN), '--body', body, ...fields)
    const plain = await newest(running)
    assert.ok(plain.includes('\r\n\r\nGrüße aus Köln\r\n.\r\n..two dots\r\n'), plain)
    assert.match(plain, /^X-Tour: yes\r$/m)
    await takes(
      'smtp',
      'starttls',
      ...to(BEN),
      '--attach-type',
      'image/png',
      '--attach',
      `@${file}`,
      '--attach-body',
      body,
    )
    const attached = await newest(running)
    assert.match(attached, /^Content-Type: multipart\/mixed/m)
    const coded = /filename="?picture\.bin"?[^]*?\r\n\r\n([A-Za-z0-9+/=\r\n]+)\r\n--/.exec(attached)?.[1] ?? ''
    assert.deepEqual(Buffer.from(coded, 'base64'), octets)
  })

  await t.test('who says good-bye in the middle, or none at all, leaves nothing', async () => {
    const before = (await mailOf(running, BEN)).length
    for (const stop of ['CONNECT', 'EHLO', 'MAIL', 'RCPT'])
      await takes('smtp', 'starttls', ...to(BEN), '--quit-after', stop)
    for (const stop of ['MAIL', 'RCPT', 'DATA']) await swaks('smtp', 'starttls', ...to(BEN), '--drop-after', stop)
    assert.equal((await mailOf(running, BEN)).length, before)
    await takes('smtp', 'starttls', ...to(BEN))
    assert.equal((await mailOf(running, BEN)).length, before + 1)
  })

  await t.test('PROXY, both versions; a header that is no header', async () => {
    running.config = {
      ...running.config,
      endpoints: { ...running.config.endpoints, smtp: { listen: ['127.0.0.1:0'], 'proxy-protocol': ['127.0.0.1'] } },
    }
    await running.house.reload()
    const ends = ['--proxy-dest', '192.0.2.1', '--proxy-dest-port', '25', '--proxy-source-port', '4000']
    for (const [version, family, source] of [
      ['1', 'TCP4', '192.0.2.18'],
      ['2', 'AF_INET', '192.0.2.19'],
    ] as const) {
      const said = ['--proxy-version', version, '--proxy-family', family, '--proxy-source', source, ...ends]
      await takes('smtp', 'starttls', ...to(BEN), ...said)
      assert.ok((await newest(running)).includes(`Received: from swaks.example ([${source}])`))
    }
    const bad = await swaks('smtp', 'starttls', ...to(BEN), '--proxy-version', '1', '--proxy', 'TCP4 nonsense')
    assert.notEqual(bad.status, 0)
  })

  assert.deepEqual(
    running.lines.filter(({ level }) => level === 'error'),
    [],
  )
})
