// DKIM: what a receiver makes of signatures, and what a sender makes of a message.

import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { DkimKeys, KeyFailure, parseKeyRecord } from '../../../src/mail/authentication/dkim/key-record.ts'
import { signDkim, type SigningKey, type SignOptions } from '../../../src/mail/authentication/dkim/sign.ts'
import { type DkimResult, verifyDkim } from '../../../src/mail/authentication/dkim/verify.ts'
import { Message } from '../../../src/mail/authentication/message.ts'
import { publicRecord, zoneStrings } from '../../../src/mail/keys/generate.ts'
import { zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'
import { ED25519, edKey, publishing, RSA, rsaKey } from './keys.ts'

const NOW = Date.UTC(2026, 0, 1)
const DOMAIN = 'example.org'

const lines = (text: string): string => text.replace(/\r?\n/g, '\r\n')
const MAIL = lines(`From: Anna <anna@example.org>
To: ben@example.net
Subject: Dinner
  tonight?
Date: Thu, 1 Jan 2026 00:00:00 +0000
Message-ID: <1@example.org>
MIME-Version: 1.0

Hi Ben,\t are you  hungry?

Anna

`)

async function verified(
  mail: string | Uint8Array,
  zones: Zones = publishing(rsaKey(DOMAIN), edKey(DOMAIN)),
  now = NOW,
): Promise<readonly DkimResult[]> {
  const bytes = typeof mail === 'string' ? Buffer.from(mail, 'utf8') : mail
  return (await verifyDkim(Message.of(bytes), { resolver: zoneResolver(zones), now })).signatures
}

async function signed(mail = MAIL, options: Partial<SignOptions> = {}): Promise<string> {
  const fields = await signDkim(Message.of(Buffer.from(mail)), { keys: [rsaKey(DOMAIN)], now: NOW, ...options })
  return `${fields.join('\r\n')}\r\n${mail}`
}

const statuses = async (...asked: Parameters<typeof verified>): Promise<readonly string[]> =>
  (await verified(...asked)).map(({ status }) => status)

describe('examples of the standards', () => {
  test('RFC 6376 appendix A', async () => {
    const mail = lines(`DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`)
    const TXT = [
      'v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB',
    ]
    const [result] = await verified(mail, { 'brisbane._domainkey.example.com': { TXT } })
    assert.equal(result?.status, 'pass', result?.reason)
    assert.equal(result.domain, 'example.com')
    assert.equal(result.identity, 'joe@football.example.com')
  })

  // RFC 8463 appendix A.
  const football = lines(`From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`)
  const zones: Zones = {
    'brisbane._domainkey.football.example.com': {
      TXT: ['v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='],
    },
    'test._domainkey.football.example.com': {
      TXT: [
        'v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB',
      ],
    },
  }

  test('RFC 8463 appendix A: both signatures', async () => {
    const both = lines(`DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
`)
    assert.deepEqual(await statuses(both + football, zones), ['pass', 'pass'])
    assert.deepEqual(await statuses(both + football.replace('dinner', 'lunch'), zones), ['fail', 'fail'])
  })

  test('RFC 8463 appendix A.2: the private key makes what the public one knows', async () => {
    const seed = Buffer.from('nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=', 'base64')
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    assert.equal(publicRecord(key), zones['brisbane._domainkey.football.example.com']?.TXT?.[0])
    const own: SigningKey = { domain: 'football.example.com', selector: 'brisbane', algorithm: 'ed25519-sha256', key }
    assert.deepEqual(await statuses(await signed(football, { keys: [own] }), zones), ['pass'])
  })
})

describe('signing, then verifying', () => {
  for (const header of ['simple', 'relaxed'] as const)
    for (const body of ['simple', 'relaxed'] as const)
      test(`${header}/${body}: both algorithms side by side`, async () => {
        const mail = await signed(MAIL, { keys: [rsaKey(DOMAIN), edKey(DOMAIN)], header, body, lifetime: 3600 })
        const results = await verified(mail)
        assert.deepEqual(
          results.map(({ status, algorithm, selector }) => [status, algorithm, selector]),
          [
            ['pass', 'rsa-sha256', 'r'],
            ['pass', 'ed25519-sha256', 'e'],
          ],
        )
        // What may happen on the way, and what may not.
        const folded = mail.replace('Subject: Dinner\r\n  tonight?', 'subject:  Dinner tonight? ')
        assert.deepEqual(await statuses(folded), header === 'relaxed' ? ['pass', 'pass'] : ['fail', 'fail'])
        const spaced = mail.replace('Hi Ben,\t are', 'Hi Ben, are')
        assert.deepEqual(await statuses(spaced), body === 'relaxed' ? ['pass', 'pass'] : ['fail', 'fail'])
        assert.deepEqual(await statuses(`${mail}\r\n\r\n`), ['pass', 'pass'])
        assert.deepEqual(await statuses(`${mail}PS\r\n`), ['fail', 'fail'])
      })

  test('no line of a signature is longer than mail may have them, none ends in white space', async () => {
    const subject = Array.from({ length: 60 }, (_, i) => `X-Long-Name-Number-${i}: x\r\n`).join('')
    const names = Array.from({ length: 60 }, (_, i) => `X-Long-Name-Number-${i}`)
    const mail = await signed(subject + MAIL, { sign: names, lifetime: 100 })
    for (const line of mail.slice(0, mail.indexOf('X-Long')).split('\r\n')) {
      assert.ok(line.length <= 78, line)
      assert.doesNotMatch(line, /[ \t]$/)
    }
    assert.deepEqual(await statuses(mail), ['pass'])
  })

  test('a field that is signed once more than it occurs cannot be added', async () => {
    const mail = await signed()
    for (const name of ['From', 'Subject', 'To', 'Cc', 'Reply-To', 'Content-Type'])
      assert.deepEqual(await statuses(`${name}: somebody else\r\n${mail}`), ['fail'], name)
    assert.deepEqual(await statuses(`List-Id: <list.example.net>\r\n${mail}`), ['pass'])
    assert.deepEqual(await statuses(`Received: by somebody\r\n${mail}`), ['pass'])
  })

  test('fields that occur twice are signed from the bottom up', async () => {
    const mail = await signed(`Comments: one\r\nComments: two\r\n${MAIL}`, { sign: ['Comments'], oversign: ['From'] })
    assert.deepEqual(await statuses(mail), ['pass'])
    assert.deepEqual(
      await statuses(mail.replace(': one', ': three').replace(': two', ': one').replace(': three', ': two')),
      ['fail'],
    )
    assert.deepEqual(await statuses(`Comments: three\r\n${mail}`), ['pass'])
  })

  test('a message without From is not signed', async () => {
    await assert.rejects(signed('Subject: x\r\n\r\nx\r\n'), TypeError)
  })

  test('any message, with any key, form and body in pieces', async () => {
    const text = fc.string({
      unit: fc.constantFrom('a', ' ', '\t', '\r\n', '\r\n ', 'ü', ':', '\r', 'x y'),
      maxLength: 60,
    })
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.stringMatching(/^[\x20-\x7e]{0,40}$/),
        fc.constantFrom<'simple' | 'relaxed'>('simple', 'relaxed'),
        fc.constantFrom<'simple' | 'relaxed'>('simple', 'relaxed'),
        fc.constantFrom(rsaKey(DOMAIN), edKey(DOMAIN)),
        fc.nat(80),
        async (body, subject, header, bodyForm, key, cut) => {
          const octets = Buffer.from(body)
          const head = Buffer.from(
            `From: anna@example.org\r\nSubject: ${subject}\r\nX: ${subject}\r\n\t${subject} .\r\n\r\n`,
          )
          const pieces = async function* () {
            yield octets.subarray(0, cut)
            yield octets.subarray(cut)
          }
          const whole = Message.of(Buffer.concat([head, octets]))
          const streamed = new Message(whole.fields, pieces)
          const options = { keys: [key], now: NOW, header, body: bodyForm }
          const [field] = await signDkim(streamed, options)
          const mail = Buffer.concat([Buffer.from(`${field}\r\n`), head, octets])
          assert.deepEqual(await statuses(mail), ['pass'])
        },
      ),
      { numRuns: 150 },
    )
  })
})

describe('signatures that do not count', () => {
  /** A signature with tags changed, signed rightly all the same. */
  async function forged(change: (field: string) => string, mail = MAIL): Promise<string> {
    const { signedOctets, selectFields, Field } = await import('../../../src/mail/authentication/message.ts')
    const [field = ''] = await signDkim(Message.of(Buffer.from(mail)), { keys: [rsaKey(DOMAIN)], now: NOW })
    const bare = change(field.replace(/ b=[\s\S]*$/, ' b='))
    const names = (/h=([^;]*)/.exec(bare)?.[1] ?? '').split(':').map((name) => name.trim().toLowerCase())
    const octets = signedOctets(selectFields(Message.of(Buffer.from(mail)), names), Field.of(bare), 'relaxed')
    return `${bare}${sign('sha256', octets, RSA).toString('base64')}\r\n${mail}`
  }
  const cases: readonly (readonly [what: string, change: (field: string) => string, status: string, reason: RegExp])[] =
    [
      ['unchanged', (field) => field, 'pass', /2048-bit/],
      ['another version', (field) => field.replace('v=1', 'v=2'), 'neutral', /version/],
      ['no version', (field) => field.replace('v=1;', ''), 'neutral', /version/],
      ['SHA-1', (field) => field.replace('rsa-sha256', 'rsa-sha1'), 'policy', /rsa-sha1/],
      ['an unknown algorithm', (field) => field.replace('rsa-sha256', 'dsa-sha256'), 'neutral', /algorithm/],
      [
        'an algorithm that is not the key’s',
        (field) => field.replace('rsa-sha256', 'ed25519-sha256'),
        'permerror',
        /another type/,
      ],
      ['an unknown form', (field) => field.replace('relaxed/relaxed', 'relaxed/nowsp'), 'neutral', /canonicalization/],
      ['a tag twice', (field) => field.replace(' b=', ' s=r; b='), 'neutral', /cannot be read/],
      ['tags without a semicolon', (field) => field.replace('; s=r', ' s=r'), 'neutral', /missing/],
      ['no selector', (field) => field.replace('s=r;', ''), 'neutral', /s= is missing/],
      ['i= elsewhere', (field) => field.replace(' b=', ' i=@example.net; b='), 'permerror', /inside/],
      ['i= that only ends alike', (field) => field.replace(' b=', ' i=@badexample.org; b='), 'permerror', /inside/],
      ['i= below d=', (field) => field.replace(' b=', ' i=a@sub.example.org; b='), 'pass', /./],
      ['From is not signed', (field) => field.replace(/from:/g, ''), 'permerror', /From/],
      [
        'expired',
        (field) => field.replace(' b=', ` x=${NOW / 1000 - 1}; b=`).replace(/t=\d+;/, ''),
        'policy',
        /expired/,
      ],
      ['not yet expired', (field) => field.replace(' b=', ` x=${NOW / 1000 + 1}; b=`), 'pass', /./],
      ['expired before it was made', (field) => field.replace(' b=', ` x=${NOW / 1000 - 9}; b=`), 'neutral', /before/],
      ['from the future', (field) => field.replace(/t=\d+/, `t=${NOW / 1000 + 3600}`), 'policy', /future/],
      ['a clock that goes a little ahead', (field) => field.replace(/t=\d+/, `t=${NOW / 1000 + 60}`), 'pass', /./],
      ['another way to the key', (field) => field.replace(' b=', ' q=http; b='), 'neutral', /unknown way/],
      ['a known one among others', (field) => field.replace(' b=', ' q=http:dns/txt; b='), 'pass', /./],
      ['an unknown tag', (field) => field.replace(' b=', ' zz=1; b='), 'pass', /./],
      ['l= that leaves something out', (field) => field.replace(' b=', ' l=5; b='), 'policy', /unsigned/],
      ['l= of the whole body', (field) => field.replace(' b=', ' l=36; b='), 'pass', /./],
      ['l= that is no number', (field) => field.replace(' b=', ' l=x; b='), 'neutral', /number/],
      ['no such key', (field) => field.replace('s=r', 's=nobody'), 'permerror', /no key/],
    ]
  for (const [what, change, status, reason] of cases)
    test(`${what}: ${status}`, async () => {
      const [result] = await verified(await forged(change))
      assert.equal(result?.status, status, result?.reason)
      assert.match(result.reason, reason)
    })

  test('a body that goes on where l= ends is not the signer’s', async () => {
    const mail = await forged((field) => field.replace(' b=', ' l=36; b='))
    const [result] = await verified(`${mail}Click here\r\n`)
    assert.equal(result?.status, 'policy')
  })

  test('the DNS does not answer: temperror, for this signature only', async () => {
    const mail = await signed(MAIL, { keys: [rsaKey(DOMAIN), edKey(DOMAIN)] })
    const zones: Zones = { ...publishing(edKey(DOMAIN)), 'r._domainkey.example.org': { fails: 'silence' } }
    assert.deepEqual(await statuses(mail, zones), ['temperror', 'pass'])
  })

  test('a domain that only tries: its failures say nothing', async () => {
    const zones: Zones = { 'r._domainkey.example.org': { TXT: [`${publicRecord(RSA)}; t=y`] } }
    const mail = await signed()
    const [good] = await verified(mail, zones)
    assert.deepEqual([good?.status, good?.testing], ['pass', true])
    assert.deepEqual(await statuses(`${mail}PS\r\n`, zones), ['neutral'])
  })

  test('t=s: i= must have the very domain', async () => {
    const zones: Zones = { 'r._domainkey.example.org': { TXT: [`${publicRecord(RSA)}; t=s`] } }
    assert.deepEqual(await statuses(await signed(), zones), ['pass'])
    const below = await forged((field) => field.replace(' b=', ' i=a@sub.example.org; b='))
    assert.deepEqual(await statuses(below, zones), ['permerror'])
  })

  test('a domain in U-labels is asked for in A-labels', async () => {
    const key = rsaKey('xn--bcher-kva.example')
    const [field = ''] = await signDkim(Message.of(Buffer.from(MAIL)), { keys: [key], now: NOW })
    const [result] = await verified(`${field.replace('xn--bcher-kva', 'bücher')}\r\n${MAIL}`, publishing(key))
    assert.equal(result?.domain, 'xn--bcher-kva.example')
    assert.equal(result.status, 'fail', 'the field was changed, but the key was found')
  })
})

describe('keys', () => {
  const record = publicRecord(RSA)
  const small = (bits: number, exponent = 65537): string =>
    publicRecord(generateKeyPairSync('rsa', { modulusLength: bits, publicExponent: exponent }).privateKey)
  const pkcs1 = createPublicKey(RSA).export({ type: 'pkcs1', format: 'der' }).toString('base64')
  test('that can be used', () => {
    assert.deepEqual([parseKeyRecord(record).type, parseKeyRecord(record).bits], ['rsa', 2048])
    for (const text of [
      record.replace('v=DKIM1; k=rsa; ', ''),
      `v=DKIM1; h=sha1:sha256; s=email; n=hello; x=y; p=${pkcs1}`,
      record.replace(/.{70}/g, '$& \t'),
      publicRecord(ED25519),
      `k=ed25519; p=${createPublicKey(ED25519).export({ type: 'spki', format: 'der' }).toString('base64')}`,
      small(1024),
    ])
      assert.ok(parseKeyRecord(text).key, text)
  })

  for (const [what, text, status, reason] of [
    ['revoked', 'v=DKIM1; p=', 'permerror', /revoked/],
    ['without a key', 'v=DKIM1; k=rsa', 'permerror', /no key/],
    ['of another version', record.replace('DKIM1', 'DKIM2'), 'permerror', /version/],
    ['with the version not first', `p=${pkcs1}; v=DKIM1`, 'permerror', /version/],
    ['of an unknown type', record.replace('k=rsa', 'k=dsa'), 'permerror', /type/],
    ['for SHA-1 only', `${record}; h=sha1`, 'permerror', /SHA-256/],
    ['for other services', `${record}; s=tlsrpt`, 'permerror', /mail/],
    ['that is no base64', 'v=DKIM1; p=!!', 'permerror', /read/],
    ['that is no key', 'v=DKIM1; p=AAAA', 'permerror', /RSA/],
    ['of RSA that calls itself Ed25519', record.replace('k=rsa', 'k=ed25519'), 'permerror', /Ed25519/],
    ['of Ed25519 that calls itself RSA', publicRecord(ED25519).replace('ed25519', 'rsa'), 'permerror', /RSA/],
    ['too short', small(768), 'policy', /768 bits/],
    ['an SPF record', 'v=spf1 -all', 'permerror', /./],
    ['of a megabyte', `v=DKIM1; p=${'A'.repeat(2 ** 20)}`, 'permerror', /read/],
  ] as const)
    test(`${what}: ${status}`, () => {
      assert.throws(
        () => parseKeyRecord(text),
        (error) => error instanceof KeyFailure && error.status === status && reason.test(error.message),
      )
    })

  test('several records at one name: none of them', async () => {
    const TXT = [record, record]
    assert.deepEqual(await statuses(await signed(), { 'r._domainkey.example.org': { TXT } }), ['permerror'])
  })

  test('are parsed once', async () => {
    const keys = new DkimKeys()
    assert.equal(keys.parse(record), keys.parse(record))
    assert.throws(() => keys.parse('v=DKIM1; p='), KeyFailure)
    assert.throws(() => keys.parse('v=DKIM1; p='), KeyFailure)
  })

  test('a record is cut into strings that DNS can hold', () => {
    const strings = [...zoneStrings(record).matchAll(/"([^"]*)"/g)].map(([, text = '']) => text)
    assert.ok(strings.length > 1 && strings.every((text) => text.length <= 255))
    assert.equal(strings.join(''), record)
  })
})

describe('hostile messages', () => {
  test('a thousand signatures: eight are looked at, the DNS is asked eight times', async () => {
    const [field = ''] = await signDkim(Message.of(Buffer.from(MAIL)), { keys: [rsaKey(DOMAIN)], now: NOW })
    const many = Array.from({ length: 1000 }, (_, i) => field.replace('s=r', `s=s${i}`)).join('\r\n')
    const resolver = zoneResolver({})
    const { signatures, ignored } = await verifyDkim(Message.of(Buffer.from(`${many}\r\n${MAIL}`)), {
      resolver,
      now: NOW,
    })
    assert.deepEqual([signatures.length, ignored, resolver.asked.length], [8, 992, 8])
  })

  test('a header of a hundred thousand fields, an h= that names them all', async () => {
    const names = Array.from({ length: 5000 }, () => 'x').join(':')
    const mail = `DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.org; s=r; h=from:${names}; bh=AAAA; b=AAAA\r\n${'X: y\r\n'.repeat(100_000)}${MAIL}`
    const before = performance.now()
    const [result] = await verified(mail)
    assert.equal(result?.status, 'neutral')
    assert.ok(performance.now() - before < 2000)
  })

  test('a signature of a megabyte', async () => {
    const mail = `DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=r; b=${'A'.repeat(2 ** 20)}\r\n${MAIL}`
    const [result] = await verified(mail)
    assert.deepEqual([result?.status, result?.reason], ['neutral', 'the signature cannot be read'])
  })

  test('whatever stands in the field, the answer is a status and printable text', async () => {
    const part = fc.oneof(
      fc.constantFrom(
        'v=1',
        'a=rsa-sha256',
        'd=example.org',
        's=r',
        'h=from',
        'bh=AAAA',
        'b=AAAA',
        'c=simple',
        'l=1',
        't=1',
        'x=2',
        'i=@example.org',
        ';',
        '\r\n ',
        'q=',
        '=',
      ),
      fc.string({ maxLength: 8 }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 16 }), async (parts) => {
        const field = Buffer.from(`DKIM-Signature: ${parts.join(';').replace(/[\r\n]+(?! )/g, '')}\r\n${MAIL}`)
        for (const { reason, domain, start } of await verified(field)) {
          assert.match(reason, /^[\x20-\x7e]+$/)
          assert.match(domain ?? '', /^[\x21-\x7e]*$/)
          assert.match(start, /^[A-Za-z0-9+/=]{0,8}$/)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('bytes are flipped: never a pass', async () => {
    const mail = Buffer.from(await signed(MAIL, { header: 'simple', body: 'simple', keys: [edKey(DOMAIN)] }))
    const end = mail.length - 4
    await fc.assert(
      fc.asyncProperty(fc.nat(end - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const flipped = Buffer.from(mail)
        flipped[at] = (flipped[at] ?? 0) ^ mask
        const same = flipped.toString('latin1').replace(/[\s]+/g, '') === mail.toString('latin1').replace(/[\s]+/g, '')
        if (!same) assert.notDeepEqual(await statuses(flipped), ['pass'])
      }),
      { numRuns: 400 },
    )
  })
})
