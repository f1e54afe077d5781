// What strangers send: each gets the protocol's own clear answer, and three bystanders, one for each protocol, notice nothing.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectTls } from 'node:tls'
import { after, before, describe, test } from 'node:test'
import { ImapClient } from '@aviso/imap'
import { clientMechanism } from '@aviso/sasl'
import { Client, el } from '@aviso/xmpp'
import { between, dialTls, seeded, Talk } from './peers.ts'
import { ANNA, BERT, delay, DOMAIN, eventually, Folder, PASSWORD, Server, settingsOf, type Settings } from './server.ts'

const endpoints = settingsOf()['endpoints'] as Record<string, Settings>
/** As a server is by default: no logins without TLS. Only who dawdles is sent away sooner. */
const STRICT: Settings = {
  accounts: { cleartext: 'never' },
  endpoints: { ...endpoints, c2s: { ...endpoints['c2s'], 'require-tls': true, 'login-timeout': '3s' } },
}
/** A turn of a bystander's loop; the machine has two cores, and this test uses both. */
const SLOWEST_MS = 3000

/** Somebody who uses the server all the while. */
class Bystander {
  readonly name: string
  slowest = 0
  turns = 0
  failure: unknown
  #stop = false
  readonly #done: Promise<void>

  constructor(name: string, turn: () => Promise<unknown>) {
    this.name = name
    this.#done = this.#run(turn)
  }

  async #run(turn: () => Promise<unknown>): Promise<void> {
    try {
      while (!this.#stop) {
        const began = performance.now()
        await turn()
        this.slowest = Math.max(this.slowest, performance.now() - began)
        this.turns++
        await delay(20)
      }
    } catch (error) {
      this.failure = error
    }
  }

  async leave(): Promise<void> {
    this.#stop = true
    await this.#done
  }
}

const STREAM = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${DOMAIN}' version='1.0'>`

describe('strangers', () => {
  const folder = new Folder('hostile')
  let server: Server
  let bystanders: readonly Bystander[] = []
  let leave: () => Promise<void> = async () => {}
  let memoryBefore = 0

  before(async () => {
    server = await Server.start({ folder: folder.path, settings: STRICT })
    await server.makeAccounts()
    const imap = new ImapClient(await dialTls(server.ports.imaps))
    await imap.greeting
    await imap.login(BERT, PASSWORD)
    await imap.select('INBOX')
    const socket = await dialTls(server.ports.xmpps)
    const xmpp = await Client.connect({
      domain: DOMAIN,
      secure: true,
      connect: async () => socket,
      sasl: (offer) =>
        clientMechanism(offer, { authcid: 'bert', password: PASSWORD, secure: true, mechanisms: ['SCRAM-SHA-256'] }),
    })
    const smtp = await Talk.open(server.ports.smtp)
    await smtp.hear(/^220 /)
    bystanders = [
      new Bystander('IMAP', () => imap.command('NOOP')),
      new Bystander('XMPP', () =>
        xmpp.request(el('iq', { type: 'get', to: DOMAIN }, el('ping', { xmlns: 'urn:xmpp:ping' }))),
      ),
      new Bystander('SMTP', async () => {
        // A session of its own now and then: idle commands are counted.
        const talk = await Talk.open(server.ports.smtp)
        await talk.hear(/^220 .*\r\n$/)
        await talk.say('EHLO bystander.example\r\n', /^250 .*\r\n$/m)
        await talk.say(`MAIL FROM:<>\r\nRCPT TO:<${BERT}>\r\n`, /^250 2\.1\.5.*\r\n$/m)
        await talk.say('QUIT\r\n', /^221 /)
        talk.close()
      }),
    ]
    leave = async () => {
      await Promise.all(bystanders.map((bystander) => bystander.leave()))
      await imap.logout()
      await xmpp.close()
      smtp.close()
    }
    memoryBefore = rss(server.pid)
  })

  after(async () => {
    if (server.running) await server.stop()
    folder.remove()
  })

  /** One connection: what was said, and what was answered. `close`: the server hangs up afterwards. */
  const story = (
    title: string,
    port: 'smtp' | 'submission' | 'imap' | 'xmpp',
    greeting: RegExp | undefined,
    said: readonly (readonly [said: string, answer: RegExp])[],
    close = false,
  ): void => {
    test(title, async () => {
      const talk = await Talk.open(server.ports[port])
      try {
        if (greeting !== undefined) await talk.hear(greeting)
        for (const [octets, answer] of said) await talk.say(octets, answer)
        if (close) await talk.ended()
      } finally {
        talk.close()
      }
    })
  }

  describe('SMTP', () => {
    const hello = ['EHLO stranger.example\r\n', /^250 .*\r\n$/m] as const
    const stillThere = ['NOOP\r\n', /^250 2\.0\.0/] as const
    const begin = (sender = 'a@b.example'): readonly (readonly [string, RegExp])[] => [
      hello,
      [`MAIL FROM:<${sender}>\r\n`, /^250/],
      [`RCPT TO:<${ANNA}>\r\n`, /^250/],
      ['DATA\r\n', /^354/],
    ]
    const say = (title: string, said: readonly (readonly [string, RegExp])[], close = false): void =>
      story(title, 'smtp', /^220 /, said, close)
    say('an unknown command', [['FROB x\r\n', /^500 5\.5\.2/], stillThere])
    say('a line of 200 000 octets', [
      [`NOOP ${'x'.repeat(200_000)}\r\n`, /^500 5\.5\.2 Line too long\r\n$/],
      stillThere,
    ])
    say('a NUL in a command', [['EHLO a\0b\r\n', /^50[01] /], stillThere])
    say('bad UTF-8 in an address', [hello, ['MAIL FROM:<\xff\xfe@x.example>\r\n', /^5\d\d /], stillThere])
    say('a bare LF in DATA', [...begin(), ['Subject: a\n\nb\r\n.\r\n', /^550 5\.6\.11/], stillThere])
    say('a bare CR in DATA', [...begin(), ['Subject: a\rb\r\n\r\nb\r\n.\r\n', /^550 5\.6\.11/], stillThere])
    for (const end of ['\n.\n', '\n.\r\n', '\r.\r', '\r\n.\n', '\r\n.\r'])
      say(`a mail smuggled behind ${JSON.stringify(end)}`, [
        ...begin(),
        // One answer, to one message: what looks like commands was its text.
        [
          `Subject: a\r\n\r\nb${end}MAIL FROM:<c@d.example>\r\nRCPT TO:<${BERT}>\r\nDATA\r\nsmuggled\r\n.\r\n`,
          /^550 5\.6\.11[^\r\n]*\r\n$/,
        ],
        stillThere,
      ])
    say(
      'commands behind STARTTLS',
      [hello, ['STARTTLS\r\nMAIL FROM:<c@d.example>\r\n', /^421 4\.7\.0[^\r\n]*\r\n$/]],
      true,
    )
    say('a web browser', [['GET / HTTP/1.1\r\nHost: x\r\n\r\n', /^421 4\.7\.0/]], true)
    story('AUTH without TLS', 'submission', /^220 /, [hello, ['AUTH PLAIN AGEAYg==\r\n', /^538 5\.7\.11/]])
    story('mail without AUTH', 'submission', /^220 /, [hello, ['MAIL FROM:<a@b.example>\r\n', /^530 5\.7\.0/]])
    say(
      'nothing but mistakes',
      [
        ...Array.from({ length: 9 }, () => ['FROB\r\n', /^500/] as const),
        ['FROB\r\nFROB\r\n'.repeat(10), /421 4\.7\.0/],
      ],
      true,
    )
  })

  describe('IMAP', () => {
    const stillThere = ['z NOOP\r\n', /^z OK/m] as const
    const say = (title: string, said: readonly (readonly [string, RegExp])[], close = false): void =>
      story(title, 'imap', /^\* OK /, said, close)
    say('an unknown command', [['a FROB\r\n', /^a BAD .*FROB/], stillThere])
    say('no command at all', [['{\r\n', /^(?:\*|\S+) BAD /], stillThere])
    say('a line of 100 000 octets', [[`a NOOP ${'x'.repeat(100_000)}\r\n`, /^a BAD /], stillThere])
    say('a line without an end', [[`a NOOP ${'x'.repeat(3_000_000)}`, /^\* BYE /]], true)
    say('a literal that is too large', [['a LOGIN {100000}\r\n', /^a (?:NO|BAD) .*\r\n$/], stillThere])
    say('a literal that is too large and comes at once', [
      [`a LOGIN {100000+}\r\n${'x'.repeat(100_000)}\r\n`, /^a (?:NO|BAD) /],
      stillThere,
    ])
    say('a literal of 99 gigabytes', [['a LOGIN {99999999999+}\r\n', /^\* BYE /]], true)
    say('a NUL in a command', [['a LOGIN a\0b c\r\n', /^a BAD /], stillThere])
    say('bad UTF-8 in a string', [['a LOGIN "\xff\xfe" c\r\n', /^a BAD /], stillThere])
    say('LOGIN without TLS', [['a LOGIN anna x\r\n', /^a NO \[PRIVACYREQUIRED\]/], stillThere])
    say('AUTHENTICATE without TLS', [['a AUTHENTICATE PLAIN AGEAYg==\r\n', /^a NO \[PRIVACYREQUIRED\]/], stillThere])
    say('commands behind STARTTLS', [['a STARTTLS\r\nb LOGIN x y\r\n', /^\* BYE /]], true)
    say('SELECT before login', [['a SELECT INBOX\r\n', /^a BAD /], stillThere])
    say('nothing but mistakes', [['a FROB\r\n'.repeat(40), /^\* BYE /m]], true)
  })

  describe('XMPP', () => {
    const features = /<\/stream:features>$/
    const error = (condition: string): RegExp => new RegExp(`<stream:error><${condition} .*</stream:stream>$`)
    const say = (title: string, said: readonly (readonly [string, RegExp])[]): void =>
      story(title, 'xmpp', undefined, said, true)
    const opened = (title: string, text: string, condition: string): void =>
      say(title, [
        [STREAM, features],
        [text, error(condition)],
      ])
    say('a web browser', [['GET / HTTP/1.1\r\n\r\n', error('not-well-formed')]])
    say('a DOCTYPE with an entity', [['<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]>', error('restricted-xml')]])
    say('a host that is not served', [[STREAM.replace(DOMAIN, 'other.test'), error('host-unknown')]])
    opened('an end tag that does not match', '<a></b>', 'not-well-formed')
    opened('a comment', '<!-- x -->', 'restricted-xml')
    opened('a NUL', '<message>\0</message>', 'not-well-formed')
    opened('bad UTF-8', '<message>\xff\xfe</message>', 'not-well-formed')
    opened('a stanza without an end', `<message><body>${'x'.repeat(20_000)}`, 'policy-violation')
    opened('elements 200 deep', '<a>'.repeat(200), 'policy-violation')
    opened('a foreign entity', '<message>&foo;</message>', '(?:not-well-formed|restricted-xml)')
    opened('a message before login', `<message to="${BERT}"><body>hi</body></message>`, 'not-authorized')
    opened(
      'auth without TLS',
      "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFubmEAeA==</auth>",
      'policy-violation',
    )
    opened(
      'a stream behind starttls',
      `<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>${STREAM}`,
      'policy-violation',
    )
  })

  test('who logged in is held to limits too: a stanza of 300 KiB ends the stream, a literal of 60 MiB is refused', async () => {
    const socket = await dialTls(server.ports.xmpps)
    const client = await Client.connect({
      domain: DOMAIN,
      secure: true,
      connect: async () => socket,
      sasl: (offer) =>
        clientMechanism(offer, { authcid: 'anna', password: PASSWORD, secure: true, mechanisms: ['SCRAM-SHA-256'] }),
    })
    client.send(`<message to='${BERT}'><body>${'x'.repeat(300_000)}</body></message>`)
    assert.match(String((await client.ended()).error), /policy-violation/)
    const imap = await Talk.openTls(server.ports.imaps)
    await imap.hear(/^\* OK /)
    await imap.say(`a LOGIN ${ANNA} "${PASSWORD}"\r\n`, /^a OK/m)
    await imap.say('b APPEND INBOX {62914560}\r\n', /^b NO \[TOOBIG\]/m)
    await imap.say('c NOOP\r\n', /^c OK/m)
    imap.close()
  })

  test('wrong passwords in series: each is answered later than the one before, and loopback is not banned', async () => {
    const talk = await Talk.openTls(server.ports.imaps)
    await talk.hear(/^\* OK /)
    const waits: number[] = []
    for (let i = 0; i < 4; i++) {
      const began = performance.now()
      await talk.say(`a${i} LOGIN ${ANNA} wrong-${i}\r\n`, /^a\d NO \[AUTHENTICATIONFAILED\]/m)
      waits.push(performance.now() - began)
    }
    talk.close()
    assert.ok(
      (waits[0] ?? 0) >= 200 && (waits[3] ?? 0) >= 1800,
      `250 ms and twice as much each time: ${waits.map(Math.round).join(' ')}`,
    )
    // The owner, who was there before, is not kept out.
    const owner = new ImapClient(await dialTls(server.ports.imaps))
    await owner.greeting
    await owner.login(ANNA, PASSWORD)
    await owner.logout()
  })

  test('slowloris: 300 connections that never finish a line', async () => {
    const { smtp, submission, imap, imaps, xmpp, xmpps } = server.ports
    const talks = await Promise.all(
      Array.from({ length: 300 }, (_, i) => Talk.open([smtp, submission, imap, imaps, xmpp, xmpps][i % 6] ?? smtp)),
    )
    for (let i = 0; i < 10; i++) {
      for (const talk of talks) if (!talk.over) talk.socket.write('<')
      await delay(50)
    }
    // Who does not log in to chat in time is sent away.
    await eventually('the chat clients are sent away', 15_000, () =>
      talks.every(({ over }, i) => i % 6 !== 4 || over) ? true : undefined,
    )
    for (const talk of talks) talk.close()
  })

  test('garbage for every port, with and without TLS', async () => {
    const random = seeded(4711)
    const garbage = (): Buffer =>
      Buffer.from(Array.from({ length: between(random, 1, 3000) }, () => Math.floor(random() * 256)))
    for (const [name, port] of Object.entries(server.ports))
      await Promise.all(
        Array.from({ length: 30 }, async (_, i) => {
          const secure = i % 3 === 0 && /^(?:imaps|xmpps|submissions)$/.test(name)
          const talk = secure ? await Talk.openTls(port) : await Talk.open(port)
          talk.socket.write(garbage())
          talk.socket.write('\r\n\r\n')
          talk.socket.end(garbage())
          await talk.ended(70_000)
          talk.close()
        }),
      )
  })

  test('2,000 connections opened and dropped', async () => {
    const ports = Object.values(server.ports)
    for (let i = 0; i < 2000; i += 100) {
      const talks = await Promise.all(
        Array.from({ length: 100 }, (_, j) => Talk.open(ports[(i + j) % ports.length] ?? 0)),
      )
      for (const [j, talk] of talks.entries()) {
        if (j % 3 === 0) talk.socket.write('E')
        if (j % 2 === 0) talk.socket.resetAndDestroy()
        else talk.close()
      }
    }
    // Handshakes that are broken off on the way.
    for (let i = 0; i < 100; i++) {
      const socket = connectTls({ port: server.ports.imaps, host: '127.0.0.1', rejectUnauthorized: false })
      socket.on('error', () => {})
      await once(socket, 'connect')
      setTimeout(() => socket.destroy(), i % 5)
    }
  })

  test('afterwards: the bystanders noticed nothing, nothing is left over, the log tells of no defect', async () => {
    await eventually('all connections but the bystanders’ are gone', 10_000, async () => {
      const { connections } = (await server.ask('status', undefined)) as {
        connections: Readonly<Record<string, number>>
      }
      return Object.values(connections).reduce((sum, count) => sum + count, 0) <= 5 ? true : undefined
    })
    for (const { name, failure, slowest, turns } of bystanders) {
      assert.equal(failure, undefined, `${name}: ${String(failure)}`)
      assert.ok(turns > 50, `${name}: ${turns} turns`)
      assert.ok(slowest < SLOWEST_MS, `${name}: one turn took ${Math.round(slowest)} ms`)
    }
    await leave()
    const memory = rss(server.pid)
    assert.ok(memory - memoryBefore < 160, `memory grew from ${memoryBefore} to ${memory} MiB`)
    assert.deepEqual(server.errors(), [])
    assert.equal(server.stderr, '')
    assert.equal(await server.stop(), 0)
  })
})

test('wrong passwords from elsewhere end in a ban, for every protocol; others are let in', async () => {
  const folder = new Folder('ban')
  const server = await Server.start({
    folder: folder.path,
    settings: {
      network: { trusted: ['127.0.0.1'] },
      accounts: { failures: { 'ban-loopback': true, ban: 5, 'first-delay': '1ms', 'first-ban': '1h' } },
    },
  })
  try {
    await server.makeAccounts()
    const attacker = '127.0.0.7'
    for (let i = 0; i < 5; i++) {
      const talk = await Talk.open(server.ports.imap, attacker)
      await talk.hear(/^\* OK /)
      await talk.say(`a LOGIN ${ANNA} wrong-${i}\r\n`, /^a NO \[AUTHENTICATIONFAILED\]/m)
      talk.close()
    }
    const refused = async (): Promise<void> => {
      for (const port of [server.ports.imap, server.ports.smtp, server.ports.submission, server.ports.xmpp]) {
        const talk = await Talk.open(port, attacker)
        await talk.ended()
        assert.equal(talk.heard, '')
        talk.close()
      }
    }
    await refused()
    assert.ok(server.log.some(({ msg, address }) => msg === 'address banned' && address === attacker))
    for (const from of ['127.0.0.1', '127.0.0.8']) {
      const talk = await Talk.open(server.ports.imap, from)
      await talk.hear(/^\* OK /)
      await talk.say(`a LOGIN ${ANNA} "${PASSWORD}"\r\n`, /^a OK/m)
      talk.close()
    }
    assert.equal(await server.stop(), 0)
  } finally {
    if (server.running) await server.kill()
    folder.remove()
  }
})

/** Resident memory in MiB; 0 where the system does not tell. */
function rss(pid: number): number {
  try {
    return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024)
  } catch {
    return 0
  }
}
