import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  decodeUtf8AddressXtext,
  decodeXtext,
  encodeUtf8AddressXtext,
  encodeXtext,
  mailbox,
  mailParameters,
  parseForwardPath,
  parseMailbox,
  parseReversePath,
  receivedField,
  recipientParameters,
  SmtpError,
  transmissionType,
} from '../src/index.ts'

const reverse: readonly (readonly [argument: string, address: string | null | undefined])[] = [
  ['FROM:<>', null],
  ['from:<> SIZE=12', null],
  ['FROM:<anna@example.org>', 'anna@example.org'],
  ['FROM: <anna@example.org>', 'anna@example.org'],
  ['FROM:  <anna@example.org>  SIZE=1', 'anna@example.org'],
  ['FROM:<Anna.B+tag@EXAMPLE.org>', 'Anna.B+tag@EXAMPLE.org'],
  ['FROM:<"anna b"@example.org>', '"anna b"@example.org'],
  ['FROM:<"anna"@example.org>', 'anna@example.org'],
  ['FROM:<"a\\"b\\\\c"@example.org>', '"a\\"b\\\\c"@example.org'],
  ['FROM:<"a>b@c"@example.org>', '"a>b@c"@example.org'],
  ['FROM:<""@example.org>', '""@example.org'],
  ['FROM:<@relay.example,@b.example:anna@example.org>', 'anna@example.org'],
  ['FROM:<a@[192.0.2.1]>', 'a@[192.0.2.1]'],
  ['FROM:<a@[IPv6:2001:db8::1]>', 'a@[IPv6:2001:db8::1]'],
  ['FROM:<пётр@пример.рф> SMTPUTF8', 'пётр@пример.рф'],
  ['FROM:<a_b@under_score.example>', 'a_b@under_score.example'],
  ['FROM:anna@example.org', undefined],
  ['FROM:<anna@example.org', undefined],
  ['FROM:<anna@example.org>x', undefined],
  ['FROM:<anna>', undefined],
  ['FROM:<anna@>', undefined],
  ['FROM:<@example.org>', undefined],
  ['FROM:<a..b@example.org>', undefined],
  ['FROM:<.a@example.org>', undefined],
  ['FROM:<a.@example.org>', undefined],
  ['FROM:<a b@example.org>', undefined],
  ['FROM:<a@-example.org>', undefined],
  ['FROM:<a@example..org>', undefined],
  ['FROM:<a@example.org.>', undefined],
  ['FROM:<a@[300.0.0.1]>', undefined],
  ['FROM:<a@[IPv6:::g]>', undefined],
  ['FROM:<"a@example.org>', undefined],
  ['FROM:<@relay.example anna@example.org>', undefined],
  [`FROM:<${'a'.repeat(256)}@example.org>`, undefined],
  [`FROM:<a@${'a'.repeat(64)}.org>`, undefined],
  ['FROM', undefined],
  ['TO:<a@b.c>', undefined],
  ['', undefined],
]

for (const [argument, address] of reverse) {
  test(`MAIL ${argument.slice(0, 60)}`, () => {
    const read = parseReversePath(argument)
    if (address === undefined) assert.equal(read, 'path')
    else assert.ok(typeof read !== 'string' && (read.path?.address ?? null) === address, JSON.stringify(read))
  })
}

test('RCPT knows <postmaster> without a domain, and nobody else', () => {
  const read = parseForwardPath('TO:<Postmaster>')
  assert.ok(typeof read !== 'string')
  assert.deepEqual(read.path, { localPart: 'Postmaster', domain: '', address: 'Postmaster' })
  assert.equal(parseForwardPath('TO:<anna>'), 'path')
  assert.equal(parseForwardPath('TO:<>'), 'path')
})

test('parameters are read once each, in any case', () => {
  const read = parseForwardPath('TO:<a@b.c> notify=never  ORCPT=rfc822;a+2Bb@c')
  assert.ok(typeof read !== 'string')
  assert.deepEqual(
    [...read.parameters],
    [
      ['NOTIFY', 'never'],
      ['ORCPT', 'rfc822;a+2Bb@c'],
    ],
  )
  for (const bad of ['A=1 A=2', '=1', 'A=', '-A=1', 'A;B'])
    assert.equal(parseForwardPath(`TO:<a@b.c> ${bad}`), 'parameters', bad)
})

test('any address that was put together is read back the same', () => {
  const local = fc.string({ unit: fc.constantFrom(...'ab.@"\\ <>:é,'), minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(local, (localPart) => {
      const made = mailbox(localPart, 'example.org')
      assert.deepEqual(parseMailbox(made.address), made)
      const read = parseReversePath(`FROM:<${made.address}> SIZE=1`)
      assert.ok(typeof read !== 'string')
      assert.deepEqual(read.path, made)
    }),
  )
})

test('no text makes the path parsers throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      parseReversePath(text)
      parseForwardPath('TO:<' + text)
      parseMailbox(text)
    }),
  )
})

test('xtext comes back as it went', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => decodeXtext(encodeXtext(text)) === text))
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-composite', minLength: 1 }), (text) => {
      assert.equal(decodeUtf8AddressXtext(encodeUtf8AddressXtext(text)), text)
    }),
  )
  assert.equal(encodeXtext('a+b=c d'), 'a+2Bb+3Dc+20d')
  for (const bad of ['+', '+2', '+zz', 'a b', '+FF']) assert.equal(decodeXtext(bad), undefined, bad)
  for (const bad of ['\\x{}', '\\x{110000}', '\\x{D800}', '\\y', 'a b'])
    assert.equal(decodeUtf8AddressXtext(bad), undefined, bad)
})

const all = {
  smtpUtf8: true,
  dsn: true,
  chunking: true,
  binaryMime: true,
  requireTls: true,
  auth: true,
  deliverBy: 60,
  priority: true,
  futureRelease: 86_400,
}
const none = {
  smtpUtf8: false,
  dsn: false,
  chunking: false,
  binaryMime: false,
  requireTls: false,
  auth: false,
  deliverBy: false,
  priority: false,
  futureRelease: 0,
}
const now = new Date('2026-01-05T12:00:00Z')
const map = (text: string): Map<string, string> =>
  new Map(
    text
      .split(' ')
      .map((word) => word.split(/=(.*)/s).slice(0, 2) as [string, string])
      .map(([k, v]) => [k, v ?? '']),
  )

test('the parameters of MAIL and RCPT are typed', () => {
  assert.deepEqual(
    mailParameters(map('SIZE=100 BODY=8bitmime SMTPUTF8 REQUIRETLS RET=hdrs ENVID=QQ+2B1 AUTH=<>'), all),
    {
      size: 100,
      body: '8BITMIME',
      smtpUtf8: true,
      requireTls: true,
      ret: 'HDRS',
      envid: 'QQ+1',
      auth: '<>',
    },
  )
  assert.deepEqual(recipientParameters(map('NOTIFY=success,FAILURE ORCPT=rfc822;a+2Bb@c'), all), {
    notify: ['SUCCESS', 'FAILURE'],
    originalRecipient: { type: 'rfc822', address: 'a+b@c' },
  })
})

test('the time of delivery, the priority and the time of release are typed (RFC 2852, 6710, 4865)', () => {
  const read = (text: string) => mailParameters(map(text), all, now)
  assert.deepEqual(read('BY=120;R').deliverBy, { seconds: 120, late: 'return', trace: false })
  assert.deepEqual(read('BY=-5;nt').deliverBy, { seconds: -5, late: 'notify', trace: true })
  assert.equal(read('MT-PRIORITY=-9').priority, -9)
  assert.equal(read('MT-PRIORITY=0').priority, 0)
  assert.deepEqual(read('HOLDFOR=60').holdUntil, new Date('2026-01-05T12:01:00Z'))
  assert.deepEqual(read('HOLDUNTIL=2026-01-05T14:00:00+01:00').holdUntil, new Date('2026-01-05T13:00:00Z'))
  assert.throws(() => read('BY=59;R'), /550|within/)
})

test('what was not offered is 555, what cannot be read is 501', () => {
  const code = (action: () => unknown): number => {
    try {
      action()
    } catch (error) {
      if (error instanceof SmtpError) return error.code
    }
    return 0
  }
  for (const word of [
    'SMTPUTF8',
    'REQUIRETLS',
    'RET=FULL',
    'ENVID=a',
    'AUTH=<>',
    'BY=9;N',
    'MT-PRIORITY=1',
    'HOLDFOR=1',
    'X-FOO=1',
  ]) {
    assert.equal(
      code(() => mailParameters(map(word), none)),
      555,
      word,
    )
  }
  for (const word of [
    'SIZE=a',
    'SIZE',
    'BODY=9BIT',
    'SMTPUTF8=1',
    'RET=ALL',
    'ENVID=+',
    'ENVID=a+0D+0Ab',
    `ENVID=${'a'.repeat(101)}`,
    'BY=0;R',
    'BY=60',
    'BY=1234567890;N',
    'BY=60;X',
    'MT-PRIORITY=10',
    'MT-PRIORITY=-0',
    'MT-PRIORITY=+1',
    'HOLDFOR=86401',
    'HOLDFOR=-1',
    'HOLDFOR=1 HOLDUNTIL=2026-01-05T13:00:00Z',
    'HOLDUNTIL=2026-01-05T11:59:59Z',
    'HOLDUNTIL=2026-01-07T12:00:00Z',
    'HOLDUNTIL=tomorrow',
    'HOLDUNTIL=2026-13-05T12:00:00Z',
  ]) {
    assert.equal(
      code(() => mailParameters(map(word), all, now)),
      501,
      word,
    )
  }
  for (const word of ['NOTIFY=NEVER,DELAY', 'NOTIFY=', 'ORCPT=rfc822', 'ORCPT=rfc822;a+0D', 'ORCPT=;a']) {
    assert.equal(
      code(() => recipientParameters(map(word), all)),
      501,
      word,
    )
  }
  assert.equal(
    code(() => recipientParameters(map('NOTIFY=NEVER'), none)),
    555,
  )
})

test('Received names the recipient only when there is one', () => {
  const clauses = {
    from: { hello: 'mail.example.net', address: '2001:db8::1', name: 'rdns.example.net' },
    by: 'mx.example.org',
    with: transmissionType({ kind: 'submission', extended: true, secure: true, authenticated: true, smtpUtf8: false }),
    id: 'abc',
    tls: 'TLS_AES_256_GCM_SHA384',
    date: new Date(Date.UTC(2026, 0, 5, 7, 8, 9)),
  }
  assert.equal(
    receivedField({ ...clauses, recipients: ['anna@example.org'] }),
    'Received: from mail.example.net (rdns.example.net [IPv6:2001:db8::1])\r\n' +
      '\tby mx.example.org with ESMTPSA id abc\r\n\ttls TLS_AES_256_GCM_SHA384\r\n\tfor <anna@example.org>;\r\n' +
      '\tMon, 5 Jan 2026 07:08:09 +0000\r\n',
  )
  assert.doesNotMatch(receivedField({ ...clauses, recipients: ['a@b.c', 'd@b.c'] }), /for/)
})

test('Received cannot be broken out of', () => {
  const field = receivedField({
    from: { hello: 'a)\r\nX-Evil: (1', address: '1.2.3.4\r\n\r\n', name: '(' },
    by: 'b',
    with: 'SMTP',
    id: 'i',
    recipients: ['a@b\r\nX: y'],
    date: new Date(0),
  })
  assert.equal(
    field
      .split('\r\n')
      .slice(1, -1)
      .every((line) => line.startsWith('\t')),
    true,
    field,
  )
})
