// Milters, by a stand-in that speaks libmilter's side of the protocol. A real one (opendkim) is in tests/interop/filters.test.ts.

import assert from 'node:assert/strict'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { Headers } from '@aviso/mime'
import { Changes, decision } from '../../../src/mail/checks/milter/answers.ts'
import { Message } from '../../../src/mail/pipeline/message.ts'
import { ACTIONS, ALL_ACTIONS, MilterError, packet, STEPS, uint32 } from '../../../src/mail/checks/milter/protocol.ts'
import { testFolder } from '../../accounts/tables/fixture.ts'
import { openHouse, type Options, refusal } from '../pipeline/house.ts'

const to = ['anna@example.org', 'ben@example.org']

interface Script {
  /** What it negotiates. */
  readonly version?: number
  readonly actions?: number
  readonly steps?: number
  /** Requests for macros, as they stand behind the negotiation. */
  readonly macros?: readonly Buffer[]
  /** What it answers to a packet; by default it goes on. Undefined: nothing. */
  answer?(letter: string, data: Buffer): readonly Buffer[] | undefined
}

const CONTINUE = packet('c')
const SILENT = {
  C: 'silentConnect',
  H: 'silentHello',
  M: 'silentMail',
  R: 'silentRecipient',
  T: 'silentData',
  L: 'silentHeader',
  N: 'silentEndOfHeaders',
  B: 'silentBody',
} as const

/** A milter that follows a script. `said` is what it got, as `M <bo@example.net>`, NULs as `|`. */
async function milter(
  t: TestContext,
  script: Script,
  listen: { path: string } | { port: number; host: string } = { port: 0, host: '127.0.0.1' },
) {
  const said: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let got = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      got = Buffer.concat([got, bytes])
      while (got.length >= 4 && got.length >= 4 + got.readUInt32BE()) {
        const length = got.readUInt32BE()
        const letter = got.toString('latin1', 4, 5)
        const data = Buffer.from(got.subarray(5, 4 + length))
        got = got.subarray(4 + length)
        meet(socket, letter, data)
      }
    })
    socket.on('close', () => said.push('closed'))
  })
  const meet = (socket: Socket, letter: string, data: Buffer): void => {
    if (letter === 'O') {
      const { version = 6, actions = ALL_ACTIONS, steps = 0, macros = [] } = script
      socket.write(packet('O', uint32(version, actions, steps), ...macros))
      return
    }
    said.push(`${letter} ${data.toString('latin1').replace(/\0$/, '').replaceAll('\0', '|')}`)
    if (letter === 'Q' || letter === 'A' || letter === 'D') return
    const answers = script.answer?.(letter, data)
    if (answers === undefined && script.answer !== undefined && letter === HANG) return
    const silent = SILENT[letter as keyof typeof SILENT] as keyof typeof STEPS | undefined
    if (silent !== undefined && ((script.steps ?? 0) & STEPS[silent]) !== 0) return
    for (const one of answers ?? [CONTINUE]) socket.write(one)
  }
  await new Promise<void>((resolve) => server.listen(listen, resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const where = server.address()
  return {
    said,
    sockets,
    address: typeof where === 'string' ? `unix:${where}` : `127.0.0.1:${(where as AddressInfo).port}`,
  }
}

/** The packet that a script which answers `undefined` to it leaves unanswered. */
const HANG = 'E'

const open = (t: TestContext, settings: object, more: Options = {}) =>
  openHouse(t, { ...more, config: { incoming: { checks: { milter: settings } } } } as Options)

const MAIL = 'Subject: Hello\r\nX-Old: 1\r\nX-Old: 2\r\n\twith more\r\nFrom: bo@example.net\r\n\r\nIt works.\r\n'

/** At `letter`, these answers. */
const at = (letter: string, ...answers: readonly Buffer[]) => ({
  answer: (got: string) => (got === letter ? answers : [CONTINUE]),
})
/** At the end of the message, these changes. */
const atEnd = (...changes: readonly Buffer[]) => at('E', ...changes, CONTINUE)

const quiet = async (said: readonly string[]): Promise<void> => {
  for (let turn = 0; turn < 1000 && !said.includes('closed'); turn++)
    await new Promise((resolve) => setTimeout(resolve, 1))
}

describe('milter: what it is shown', () => {
  test('every stage in order, with its macros; then the connection is closed', async (t) => {
    for (const listen of [{ path: join(testFolder(t), 'm') }, { port: 0, host: '127.0.0.1' }]) {
      const { said, address } = await milter(t, {}, listen)
      const house = await open(t, { address })
      const id = await house.receive({ to, message: MAIL })
      await quiet(said)
      assert.deepEqual(said, [
        'D Cj|mail.example.org|_|[192.0.2.7] [192.0.2.7]|v|Aviso|{daemon_name}|smtp|{client_addr}|192.0.2.7|{client_name}|[192.0.2.7]|{client_ptr}|unknown',
        'C [192.0.2.7]|4||192.0.2.7',
        'H mx.example.net',
        `D Mi|${id}|{mail_mailer}|smtp|{mail_host}|example.net|{mail_addr}|bo@example.net`,
        'M <bo@example.net>',
        'D R{rcpt_mailer}|local|{rcpt_host}|example.org|{rcpt_addr}|anna@example.org',
        'R <anna@example.org>',
        'D R{rcpt_mailer}|local|{rcpt_host}|example.org|{rcpt_addr}|ben@example.org',
        'R <ben@example.org>',
        `D Ti|${id}`,
        'T ',
        'L Subject|Hello',
        'L X-Old|1',
        'L X-Old|2\n\twith more',
        'L From|bo@example.net',
        `D Ni|${id}`,
        'N ',
        'B It works.\r\n',
        `D Ei|${id}`,
        'E ',
        'A ',
        'Q ',
        'closed',
      ])
    }
  })

  test('nothing that it does not want, no answer awaited where it gives none, only the macros that it asks for', async (t) => {
    const { said, address } = await milter(t, {
      steps:
        STEPS.noConnect |
        STEPS.noHello |
        STEPS.silentMail |
        STEPS.noRecipient |
        STEPS.noData |
        STEPS.silentHeader |
        STEPS.noEndOfHeaders |
        STEPS.silentBody,
      macros: [uint32(0), Buffer.from('j\0'), uint32(2), Buffer.from('{mail_addr}, i\0'), uint32(5), Buffer.from('\0')],
    })
    const house = await open(t, { address })
    const id = await house.receive({ to, message: MAIL })
    assert.deepEqual(
      said.filter((line) => !/^D [RTN]|^closed|^[AQ] /.test(line)),
      [
        'D Cj|mail.example.org',
        `D Mi|${id}|{mail_addr}|bo@example.net`,
        'M <bo@example.net>',
        'L Subject|Hello',
        'L X-Old|1',
        'L X-Old|2\n\twith more',
        'L From|bo@example.net',
        'B It works.\r\n',
        'E ',
      ],
    )
  })

  test('the name of the client, IPv6, who logged in, and a notification', async (t) => {
    const { said, address } = await milter(t, {})
    const house = await openHouse(t, {
      dns: { '7.2.0.192.in-addr.arpa': { PTR: ['mx.example.net'] }, 'mx.example.net': { A: ['192.0.2.7'] } },
      config: { incoming: { checks: { milter: { address } } }, outgoing: { checks: { milter: { address } } } },
    })
    await house.receive({ to, from: '' })
    await house.receive({ to, client: { remoteAddress: '2001:db8::7' } })
    await house.receive({ to, client: { remoteAddress: '' } })
    await house.submit({ as: 'anna', to })
    assert.ok(said.includes('C mx.example.net|4||192.0.2.7'))
    assert.ok(said.includes('M <>'))
    assert.ok(said.includes('C [2001:db8::7]|6||2001:db8::7'))
    assert.ok(said.includes('C localhost|U'))
    assert.ok(said.some((line) => line.includes('{auth_type}|PLAIN|{auth_authen}|anna@example.org|')))
  })

  test('a large body comes in pieces, and no more of it after "skip"', async (t) => {
    const body = '0123456789abcde\r\n'.repeat(20_000)
    const whole = await milter(t, {})
    await (await open(t, { address: whole.address })).receive({ to, message: `From: a@b.example\r\n\r\n${body}` })
    const pieces = whole.said.filter((line) => line.startsWith('B '))
    assert.equal(pieces.map((line) => line.slice(2)).join(''), body)
    assert.ok(pieces.length > 1 && pieces.every((piece) => piece.length <= 65_537))
    const skipped = await milter(t, at('B', packet('s')))
    const house = await open(t, { address: skipped.address })
    await house.receive({ to, message: `From: a@b.example\r\n\r\n${body}` })
    assert.equal(skipped.said.filter((line) => line.startsWith('B ')).length, 1)
    assert.ok(skipped.said.includes('E '))
  })
})

describe('milter: what it decides', () => {
  const decisions: readonly (readonly [letter: string, answer: Buffer, reply: readonly [number, string, RegExp]])[] = [
    ...['C', 'H', 'M', 'T', 'L', 'N', 'B', 'E'].flatMap(
      (letter) =>
        [
          [letter, packet('r'), [550, '5.7.1', /refused by a filter/]],
          [letter, packet('t'), [451, '4.7.1', /try again later/]],
          [letter, packet('y', '554 5.7.0 Not with 100%% of us'), [554, '5.7.0', /^Not with 100% of us$/]],
        ] as const,
    ),
    ['E', packet('y', '550-5.1.1 one\r\n550 5.1.1 two'), [550, '5.1.1', /^one\ntwo$/]],
    ['E', packet('y', '450'), [450, '4.7.1', /./]],
    ['E', packet('y', '550 4.7.1 classes that differ'), [550, '5.7.1', /differ/]],
    ['E', packet('f'), [451, '4.7.1', /./]],
  ]
  for (const [letter, answer, [code, enhanced, text]] of decisions)
    test(`${answer.toString('latin1', 4).replaceAll('\0', '').replace('\r\n', ' / ')} at ${letter}: ${code} ${enhanced}`, async (t) => {
      const { address } = await milter(t, at(letter, answer))
      const house = await open(t, { address })
      await assert.rejects(house.receive({ to, message: MAIL }), refusal(code, enhanced, text))
      assert.deepEqual(await house.mails('anna'), [])
    })

  test('a refusal at RCPT is that recipient’s alone', async (t) => {
    const { address, said } = await milter(t, {
      answer: (letter, data) => [letter === 'R' && data.includes('ben') ? packet('r') : CONTINUE],
    })
    const house = await open(t, { address })
    await assert.rejects(house.receive({ to: ['ben@example.org'] }), refusal(550, '5.7.1'))
    await house.receive({ to: ['anna@example.org'] })
    assert.equal((await house.mails('anna')).length, 1)
    await quiet(said)
  })

  for (const letter of ['C', 'H', 'M', 'R', 'T', 'L', 'N', 'B', 'E'])
    test(`accept at ${letter}: the mail passes, and the milter sees no more of it; discard: 250, and it is gone`, async (t) => {
      const accepting = await milter(t, at(letter, packet('a')))
      const house = await open(t, { address: accepting.address })
      await house.receive({ to, message: MAIL })
      assert.equal((await house.mails('anna')).length, 1)
      const last = accepting.said.filter((line) => !/^(?:[DAQ] |closed)/.test(line)).at(-1)
      assert.ok(last?.startsWith(letter), last)
      const discarding = await milter(t, at(letter, packet('d')))
      const other = await open(t, { address: discarding.address })
      await other.receive({ to, message: MAIL })
      assert.deepEqual(await other.mails('anna'), [])
    })

  test('"still working" gives it time, but not for ever', async (t) => {
    const patient = await milter(t, at('E', ...Array.from({ length: 20 }, () => packet('p')), CONTINUE))
    await (await open(t, { address: patient.address })).receive({ to })
    const endless = await milter(t, at('E', ...Array.from({ length: 2000 }, () => packet('p'))))
    await assert.rejects((await open(t, { address: endless.address })).receive({ to }), refusal(451, '4.7.1'))
  })
})

describe('milter: what it changes', () => {
  const changed = async (t: TestContext, ...changes: readonly Buffer[]) => {
    const { address } = await milter(t, atEnd(...changes))
    const house = await open(t, { address })
    await house.receive({ to: ['anna@example.org'], message: MAIL })
    const [mail = ''] = await house.mails('anna')
    return { house, mail: mail.slice(mail.indexOf('\r\n', mail.indexOf('for <')) + 2).replace(/^\t[^\r]*\r\n/, '') }
  }

  test('header fields: added, put between others, changed, taken out', async (t) => {
    const { mail } = await changed(
      t,
      packet('h', 'X-End', 'e'),
      packet('i', uint32(1), 'X-Top', 'one\n two'),
      packet('i', uint32(0), 'X-Topmost', 't'),
      packet('i', uint32(3), 'X-Third', '3'),
      packet('i', uint32(99), 'X-Far', 'f'),
      packet('m', uint32(1), 'Subject', 'Other\r\n\tthings'),
      packet('m', uint32(2), 'X-Old', ''),
      packet('m', uint32(1), 'X-New', 'n'),
      packet('m', uint32(5), 'X-Old', ''),
    )
    assert.equal(
      mail,
      'X-Topmost: t\r\nX-Top: one\r\n\ttwo\r\nSubject: Other\r\n\tthings\r\nX-Old: 1\r\nX-Third: 3\r\nFrom: bo@example.net\r\nX-Far: f\r\nX-End: e\r\nX-New: n\r\n\r\nIt works.\r\n',
    )
  })

  test('a value that would be a second field stays in its own', async (t) => {
    const { mail } = await changed(t, packet('h', 'X-A', 'b\r\nX-C: d'))
    assert.ok(mail.includes('\r\nX-A: b\r\n\tX-C: d\r\n'), mail)
  })

  test('the body, in pieces', async (t) => {
    const { mail } = await changed(
      t,
      packet('b', Buffer.from('Another ')),
      packet('h', 'X-A', 'b'),
      packet('b', Buffer.from('body.\r\n')),
    )
    assert.ok(mail.endsWith('\r\nX-A: b\r\n\r\nAnother body.\r\n'), mail)
  })

  test('sender and recipients', async (t) => {
    const { house } = await changed(
      t,
      packet('e', '<new@example.net>', 'BODY=7BIT'),
      packet('+', '<carl@example.org>'),
      packet('2', '<ben@example.org>', 'NOTIFY=NEVER'),
      packet('-', '<anna@example.org>'),
    )
    assert.deepEqual(await house.mails('anna'), [])
    assert.match((await house.mails('carl'))[0] ?? '', /^Return-Path: <new@example\.net>/)
    assert.equal((await house.mails('ben')).length, 1)
    const { house: nobody } = await changed(t, packet('e', '<>'))
    assert.match((await nobody.mails('anna'))[0] ?? '', /^Return-Path: <>/)
  })

  test('quarantine goes to Junk, with everything that was changed', async (t) => {
    const { house } = await changed(t, packet('q', 'looks odd'), packet('h', 'X-A', 'b'))
    assert.match((await house.mails('anna', 'Junk'))[0] ?? '', /X-A: b/)
    assert.match(JSON.stringify(house.lines), /looks odd/)
  })

  test('it sees its message unchanged by itself, and a refusal after changes is a refusal', async (t) => {
    const { address } = await milter(t, at('E', packet('h', 'X-A', 'b'), packet('r')))
    await assert.rejects((await open(t, { address })).receive({ to }), refusal(550, '5.7.1'))
  })
})

describe('milter: whatever it answers', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'X-A', ':', ' ', '\t', '\r', '\n', '\r\n', '\0', '<', '>', '@', '.example', 'ü'),
    maxLength: 12,
  })
  const answer = fc.oneof(
    fc
      .tuple(fc.constantFrom(...'himbe+-2qy'), fc.uint8Array({ maxLength: 40 }))
      .map(([letter, data]) => packet(letter, data)),
    fc
      .tuple(fc.constantFrom('h', 'e', '+', '2', '-', 'q', 'y'), text, text)
      .map(([letter, a, b]) => packet(letter, a, b)),
    fc
      .tuple(fc.constantFrom('i', 'm'), fc.nat(5), text, text)
      .map(([letter, at, a, b]) => packet(letter, uint32(at), a, b)),
  )

  test('it is a change that the message can take, a decision, or a broken protocol', () =>
    fc.assert(
      fc.property(fc.array(answer, { maxLength: 8 }), (answers) => {
        const message = Message.of(Buffer.from(MAIL))
        const changes = new Changes(message.header, ALL_ACTIONS, 1_000_000)
        try {
          for (const bytes of answers) {
            const one = { letter: bytes.toString('latin1', 4, 5), data: bytes.subarray(5) }
            if (decision(one) === undefined) changes.take(one)
          }
        } catch (error) {
          return assert.ok(error instanceof MilterError, String(error))
        }
        const { edit = {} } = changes.verdict(message)
        const edited = message.edited([edit])
        const head = Buffer.from(edited.head).toString('latin1')
        assert.ok(head.endsWith('\r\n\r\n'))
        assert.equal(head.indexOf('\r\n\r\n'), head.length - 4, 'the header ends once')
        const count = [...Headers.parse(edited.head).fields()].length
        assert.ok(count <= 4 + answers.length)
      }),
      { numRuns: 2000 },
    ))
})

describe('milter: failures', () => {
  const broken: readonly (readonly [name: string, script: Script])[] = [
    ['a version that is none', { version: 1 }],
    ['a version to come', { version: 7 }],
    ['actions that are unknown', { actions: 0x8000 }],
    ['steps that were not offered', { steps: STEPS.leadingSpace }],
    ['a change that it did not ask for', { actions: ACTIONS.addHeaders, ...atEnd(packet('e', '<a@b.example>')) }],
    ['an answer that is none', at('M', packet('z'))],
    ['a change in the middle', at('M', packet('h', 'X-A', 'b'))],
    ['skip where there is nothing to skip', at('M', packet('s'))],
    ['a reply that is none', at('M', packet('y', 'go away'))],
    ['a reply that would be good news', at('M', packet('y', '250 fine'))],
    ['a field that is none', atEnd(packet('h', 'X A', 'b'))],
    ['an end of the header', atEnd(packet('h', 'X-A', 'b\n\nbody'))],
    ['an address that is none', atEnd(packet('+', '<nobody>'))],
    ['a position that is missing', atEnd(packet('i', Buffer.from('ab')))],
    ['a huge packet', at('M', Buffer.from([0x7f, 0xff, 0xff, 0xff]))],
    ['an empty packet', at('M', Buffer.alloc(4))],
    ['thousands of changes', atEnd(...Array.from({ length: 2500 }, () => packet('h', 'X-A', 'b')))],
  ]
  for (const [name, script] of broken)
    test(`X-02 ${name}: the mail is deferred, or what the config says`, async (t) => {
      const { address, said } = await milter(t, script)
      const house = await open(t, { address })
      await assert.rejects(house.receive({ to, message: MAIL }), refusal(451, '4.7.1'))
      await quiet(said)
      const lax = await open(t, { address, failure: 'accept' })
      await lax.receive({ to, message: MAIL })
      assert.equal((await lax.mails('anna')).length, 1)
    })

  test('nobody there', async (t) => {
    const house = await open(t, { address: `unix:${join(testFolder(t), 'nobody')}` })
    await assert.rejects(house.receive({ to }), refusal(451, '4.7.1', /cannot be checked now/))
  })

  test('one that dies at the end', async (t) => {
    const { address, sockets } = await milter(t, {
      answer(letter) {
        if (letter !== 'E') return [CONTINUE]
        for (const socket of sockets) socket.destroy()
        return []
      },
    })
    await assert.rejects((await open(t, { address })).receive({ to }), refusal(451, '4.7.1'))
  })

  test('X-20 one that hangs is given up after its time', async (t) => {
    const { address, said } = await milter(t, { answer: (letter) => (letter === HANG ? undefined : [CONTINUE]) })
    const house = await open(t, { address, 'end-timeout': '1m' })
    const refused = assert.rejects(house.receive({ to }), refusal(451, '4.7.1'))
    while (!said.includes('E ')) await new Promise((resolve) => setTimeout(resolve, 1))
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    house.clock.turn(60_000)
    await refused
  })

  test('a mail that ends without data, or is refused by another check, leaves no connection behind', async (t) => {
    const { address, said } = await milter(t, {})
    const house = await open(t, { address })
    const passage = await house.incoming.begin(house.client(), null, {
      body: '7BIT',
      smtpUtf8: false,
      requireTls: false,
    })
    passage.abort()
    await quiet(said)
    assert.deepEqual(said.slice(-3), ['A ', 'Q ', 'closed'])
    said.length = 0
    await assert.rejects(house.receive({ to, client: { hello: 'mail.example.org' } }), refusal(550, '5.7.1'))
    await quiet(said)
    assert.equal(said.at(-1), 'closed')
  })
})
