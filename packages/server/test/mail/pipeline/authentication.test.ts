// Mail authentication on the way of a mail: what a peer is told, what stands in the message, what is signed and sealed on the way out.

import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { Message as Signed } from '../../../src/mail/authentication/message.ts'
import { signDkim } from '../../../src/mail/authentication/dkim/sign.ts'
import { verifyArc } from '../../../src/mail/authentication/arc/verify.ts'
import { verifyDkim } from '../../../src/mail/authentication/dkim/verify.ts'
import { resinfo } from '../../../src/mail/authentication/results.ts'
import { sealArc } from '../../../src/mail/authentication/arc/seal.ts'
import { Keyring, Keys } from '../../../src/mail/keys/keyring.ts'
import { zoneResolver, type Zones } from '../../../src/net/dns/testing/index.ts'
import { Store } from '../../../src/store/contracts.ts'
import { publishing, rsaKey } from '../authentication/keys.ts'
import { openHouse, refusal, type House, type Options } from './house.ts'

type Checks = NonNullable<NonNullable<NonNullable<Options['config']>['incoming']>['checks']>

/** The mail comes from 192.0.2.7, greets as mx.example.net, and is from bo@example.net where not told otherwise. */
const house = (t: TestContext, checks: Checks, zones: Zones = {}): Promise<House> =>
  openHouse(t, { config: { incoming: { checks: checks } }, dns: zones })

const spf = (record: string): Zones => ({ 'example.net': { TXT: [record] } })
const mail = (from = 'bo@example.net'): string => `From: ${from}\r\nSubject: Hello\r\n\r\nIt works.\r\n`
const anna = ['anna@example.org']

/** The Authentication-Results of the one mail that anna has, unfolded. */
async function results(opened: House, mailbox = 'INBOX'): Promise<string> {
  const [text = '', ...more] = await opened.mails('anna', mailbox)
  assert.deepEqual(more, [])
  return /^Authentication-Results: ((?:.*\r\n[ \t])*.*)\r\n/m.exec(text)?.[1]?.replace(/\r\n[ \t]+/g, ' ') ?? ''
}

describe('SPF (M-22)', () => {
  const outcomes = {
    none: {},
    neutral: spf('v=spf1 ?all'),
    softfail: spf('v=spf1 ~all'),
    fail: spf('v=spf1 -all'),
    permerror: spf('v=spf1 nothing'),
    temperror: { 'example.net': { fails: 'silence' } },
  } as const satisfies Record<string, Zones>
  for (const [status, zones] of Object.entries(outcomes)) {
    const error = status === 'temperror' || status === 'permerror'
    test(`${status}: each has its own action, and its own reply`, async (t) => {
      const refusing = await house(t, { spf: { [status]: 'reject' } }, zones)
      await assert.rejects(refusing.receive({ to: anna }), refusal(550, error ? '5.7.24' : '5.7.23', /SPF/))
      const deferring = await house(t, { spf: { [status]: 'defer', early: true } }, zones)
      await assert.rejects(deferring.receive({ to: anna }), refusal(451, error ? '4.7.24' : '4.7.23', /SPF/))
      const own = await house(t, { spf: { [status]: { action: 'reject', code: 551, text: 'Go away' } } }, zones)
      await assert.rejects(own.receive({ to: anna }), refusal(551, '5.7.0', /^Go away$/))
      const junk = await house(t, { spf: { [status]: 'quarantine' } }, zones)
      await junk.receive({ to: anna })
      assert.match(
        await results(junk, 'Junk'),
        new RegExp(`^mail.example.org; spf=${status} \\(.*\\) smtp.mailfrom=bo@example.net$`),
      )
      const taking = await house(t, { spf: { [status]: 'accept' } }, zones)
      await taking.receive({ to: anna })
      assert.match(await results(taking), new RegExp(`spf=${status} `))
    })
  }

  test('what is done where nothing is said: a failure is Junk, no answer is later', async (t) => {
    const failing = await house(t, { spf: true }, outcomes.fail)
    await failing.receive({ to: anna })
    assert.equal((await failing.mails('anna', 'Junk')).length, 1)
    const silent = await house(t, { spf: true }, outcomes.temperror)
    await assert.rejects(silent.receive({ to: anna }), refusal(451, '4.7.24'))
    for (const zones of [outcomes.none, outcomes.neutral, outcomes.softfail, outcomes.permerror]) {
      const taking = await house(t, { spf: true }, zones)
      await taking.receive({ to: anna })
      assert.equal((await taking.mails('anna')).length, 1)
    }
  })

  test('a notification is judged by its greeting; a sender overrides a greeting that fails', async (t) => {
    const zones: Zones = { 'mx.example.net': { TXT: ['v=spf1 -all'] }, ...spf('v=spf1 ip4:192.0.2.7 -all') }
    const opened = await house(t, { spf: { fail: 'reject' } }, zones)
    await assert.rejects(opened.receive({ to: anna, from: '' }), refusal(550, '5.7.23', /mx\.example\.net/))
    await opened.receive({ to: anna })
    assert.match(await results(opened), /spf=pass \(.*\) smtp\.mailfrom=bo@example\.net/)
  })

  test('what the domain says to those it refuses is passed on', async (t) => {
    const zones: Zones = {
      ...spf('v=spf1 exp=why.example.net -all'),
      'why.example.net': { TXT: ['%{i} is none of ours'] },
    }
    const opened = await house(t, { spf: { fail: 'reject' } }, zones)
    await assert.rejects(opened.receive({ to: anna }), refusal(550, '5.7.23', /says: 192\.0\.2\.7 is none of ours/))
  })

  test('our own users and our own mail are not asked', async (t) => {
    const opened = await openHouse(t, {
      config: { outgoing: { checks: { spf: { none: 'reject' }, dkim: { none: 'reject' }, dmarc: true } } },
    })
    await opened.submit({ as: 'anna', to: anna })
    assert.equal(await results(opened), '')
    const local = await house(t, { spf: { none: 'reject' }, dmarc: { permerror: 'reject' } })
    await local.receive({ to: anna, message: 'x: y\r\n\r\n', client: { protocol: 'local', remoteAddress: '' } })
    assert.equal((await local.mails('anna')).length, 1)
  })
})

describe('SPF that fails, and DMARC (M-23)', () => {
  const failing = { spf: { fail: 'reject' }, dmarc: { reject: 'accept', quarantine: 'accept' } } as const
  const dmarc = (record: string): Zones => ({ ...spf('v=spf1 -all'), '_dmarc.example.net': { TXT: [record] } })

  test('a policy other than none decides alone', async (t) => {
    for (const policy of ['reject', 'quarantine']) {
      const opened = await house(t, failing, dmarc(`v=DMARC1; p=${policy}`))
      await opened.receive({ to: anna })
      assert.match(await results(opened), /spf=fail .*dmarc=fail/)
    }
  })

  test('none, sp=none for a subdomain, no record, no answer, a From that cannot be read: SPF counts', async (t) => {
    const zones: Zones = {
      ...dmarc('v=DMARC1; p=reject; sp=none'),
      'sub.example.net': { TXT: ['v=spf1 -all'] },
      'example.com': { TXT: ['v=spf1 -all'] },
      '_dmarc.example.com': { fails: 'SERVFAIL' },
    }
    const monitored = await house(t, failing, dmarc('v=DMARC1; p=none'))
    await assert.rejects(monitored.receive({ to: anna }), refusal(550, '5.7.23'))
    const opened = await house(
      t,
      { ...failing, dmarc: { ...failing.dmarc, temperror: 'accept', permerror: 'accept' } },
      zones,
    )
    for (const [from, header] of [
      ['bo@sub.example.net', 'bo@sub.example.net'],
      ['bo@example.net', 'bo@nobody.example'],
      ['bo@example.com', 'bo@example.com'],
      ['bo@example.net', 'nobody'],
    ] as const)
      await assert.rejects(opened.receive({ to: anna, from, message: mail(header) }), refusal(550, '5.7.23'), header)
  })

  test('without the check dmarc nothing is left to it', async (t) => {
    const opened = await house(t, { spf: { fail: 'reject' } }, dmarc('v=DMARC1; p=reject'))
    await assert.rejects(opened.receive({ to: anna }), refusal(550, '5.7.23'))
  })

  test('nor is it when SPF decides early', async (t) => {
    const opened = await house(t, { ...failing, spf: { fail: 'reject', early: true } }, dmarc('v=DMARC1; p=reject'))
    await assert.rejects(opened.receive({ to: anna }), refusal(550, '5.7.23'))
  })
})

const KEY = rsaKey('example.net')

async function signedMail(text = mail(), options: Partial<Parameters<typeof signDkim>[1]> = {}): Promise<string> {
  const now = Date.UTC(2026, 0, 1)
  return `${(await signDkim(Signed.of(Buffer.from(text)), { keys: [KEY], now, ...options })).join('\r\n')}\r\n${text}`
}

describe('DKIM', () => {
  const zones = publishing(KEY)
  test('a signature that holds is told, with who signed', async (t) => {
    const opened = await house(t, { dkim: true }, zones)
    await opened.receive({ to: anna, message: await signedMail() })
    assert.match(
      await results(opened),
      /dkim=pass \(2048-bit rsa key\) header\.d=example\.net header\.s=r header\.a=rsa-sha256 header\.b=/,
    )
  })

  test('none, broken and not to be verified now: each has its action', async (t) => {
    const opened = await house(t, { dkim: { none: 'reject', broken: 'quarantine' } }, zones)
    await assert.rejects(opened.receive({ to: anna }), refusal(550, '5.7.20'))
    await opened.receive({ to: anna, message: (await signedMail()).replace('works', 'fails') })
    assert.match(await results(opened, 'Junk'), /dkim=fail \(the body was changed\)/)
    const silent = await house(t, { dkim: true }, { 'r._domainkey.example.net': { fails: 'silence' } })
    await assert.rejects(silent.receive({ to: anna, message: await signedMail() }), refusal(451, '4.7.20'))
  })

  test('one that leaves out what it must cover does not count', async (t) => {
    const text = await signedMail(mail(), { oversign: ['From'] })
    const opened = await house(t, { dkim: true }, zones)
    await opened.receive({ to: anna, message: text })
    assert.match(await results(opened), /dkim=policy \(Subject is not signed\)/)
    const lax = await house(t, { dkim: { 'required-fields': [] } }, zones)
    await lax.receive({ to: anna, message: text })
    assert.match(await results(lax), /dkim=pass/)
  })
})

describe('DMARC', () => {
  const zones = (policy: string): Zones => ({
    ...publishing(KEY),
    '_dmarc.example.net': { TXT: [`v=DMARC1; p=${policy}`] },
  })

  test('reject is 550 5.7.1, quarantine is Junk, none is taken', async (t) => {
    const rejecting = await house(t, { dmarc: true }, zones('reject'))
    await assert.rejects(rejecting.receive({ to: anna }), refusal(550, '5.7.1', /DMARC: example\.net does not stand/))
    const quarantining = await house(t, { dmarc: true }, zones('quarantine'))
    await quarantining.receive({ to: anna })
    assert.match(
      await results(quarantining, 'Junk'),
      /dmarc=fail \(p=quarantine dis=quarantine\) header\.from=example\.net policy\.dmarc=quarantine/,
    )
    const monitoring = await house(t, { dmarc: true }, zones('none'))
    await monitoring.receive({ to: anna })
    assert.match(await results(monitoring), /dmarc=fail \(p=none dis=none\)/)
  })

  test('a signature of the author’s domain is enough, whatever the reverse-path; checks that are not on are asked all the same', async (t) => {
    const opened = await house(t, { dmarc: true }, zones('reject'))
    await opened.receive({ to: anna, from: 'list@elsewhere.example', message: await signedMail() })
    assert.match(await results(opened), /^mail\.example\.org; dmarc=pass/)
  })

  test('no answer is later: 451; two From fields are Junk', async (t) => {
    const silent = await house(t, { dmarc: true }, { '_dmarc.example.net': { fails: 'silence' } })
    await assert.rejects(silent.receive({ to: anna }), refusal(451, '4.7.1'))
    const unsure = await house(t, { dmarc: true }, { ...zones('none'), 'example.net': { fails: 'silence' } })
    await unsure.receive({ to: anna })
    assert.match(await results(unsure), /dmarc=temperror/, 'where nothing would be done, nothing is waited for')
    const opened = await house(t, { dmarc: true }, zones('reject'))
    await opened.receive({ to: anna, message: `From: ceo@example.com\r\n${mail()}` })
    assert.match(await results(opened, 'Junk'), /dmarc=permerror \(there is more than one From field\)/)
  })

  test('a list that broke the signature is believed where it is trusted, and only then', async (t) => {
    const list = rsaKey('list.example')
    const now = Date.UTC(2026, 0, 1)
    const results = [resinfo({ method: 'dmarc', result: 'pass', properties: [['header.from', 'example.net']] })]
    const changed = (await signedMail()).replace('Hello', '[list] Hello')
    const seal = (said: readonly string[]) =>
      sealArc(Signed.of(Buffer.from(changed)), {
        key: list,
        authservId: 'list.example',
        results: said,
        chain: { status: 'none' },
        now,
      })
    const sealed = `${(await seal(results))?.join('\r\n') ?? ''}\r\n${changed}`
    const all: Zones = { ...zones('reject'), ...publishing(list) }
    const trusting = await house(t, { dmarc: { 'trusted-sealers': ['list.example'] }, arc: true }, all)
    await trusting.receive({ to: anna, message: sealed })
    assert.equal((await trusting.mails('anna')).length, 1)
    await assert.rejects(
      trusting.receive({ to: anna, message: sealed.replace('works', 'fails') }),
      refusal(550, '5.7.1'),
    )
    const failed = `${(await seal([results[0]?.replace('pass', 'fail') ?? '']))?.join('\r\n') ?? ''}\r\n${changed}`
    await assert.rejects(trusting.receive({ to: anna, message: failed }), refusal(550, '5.7.1'))
    const wary = await house(t, { dmarc: { 'trusted-sealers': ['other.example'] } }, all)
    await assert.rejects(wary.receive({ to: anna, message: sealed }), refusal(550, '5.7.1'))
    const silent = await house(
      t,
      { dmarc: { 'trusted-sealers': ['list.example'] } },
      { ...all, 'r._domainkey.list.example': { fails: 'silence' } },
    )
    await assert.rejects(silent.receive({ to: anna, message: sealed }), refusal(451, '4.7.1'))
  })

  test('in a pipeline within it finds out by itself what no check before it has asked for', async (t) => {
    const opened = await openHouse(t, {
      config: {
        incoming: { checks: { spf: false, dkim: false, dmarc: false }, routes: [{ deliver: ['pipeline/inner'] }] },
        pipelines: { inner: { checks: { dmarc: true } } },
      },
      dns: zones('reject'),
    })
    await assert.rejects(opened.receive({ to: anna }), refusal(550, '5.7.1', /DMARC/))
    await opened.receive({ to: anna, message: await signedMail() })
    assert.match(await results(opened), /^mail\.example\.org; dmarc=pass/)
  })

  test('all four in one field, each asked once', async (t) => {
    const all: Zones = { ...zones('reject'), ...spf('v=spf1 ip4:192.0.2.7 -all') }
    const opened = await house(t, { spf: true, dkim: true, dmarc: true, arc: true }, all)
    await opened.receive({ to: anna, message: await signedMail() })
    assert.match(
      await results(opened),
      /^mail\.example\.org; spf=pass .*; dkim=pass .*; dmarc=pass .*; arc=none \(no ARC sets\)$/,
    )
  })
})

describe('what our own users write', () => {
  test('is signed with keys that are made for it, which the published records verify', async (t) => {
    const opened = await openHouse(t)
    await opened.submit({ as: 'anna', to: anna })
    const [text = ''] = await opened.mails('anna')
    const keys = await opened.scope.use(Keys).keys('example.org')
    const zones = Object.fromEntries(keys.map(({ name, record }) => [name, { TXT: [record] }]))
    // What was put on top at the delivery is not what was signed.
    const { signatures } = await verifyDkim(Signed.of(Buffer.from(text)), {
      resolver: zoneResolver(zones),
      now: opened.clock.now(),
    })
    assert.deepEqual(
      signatures.map(({ status, algorithm, domain }) => [status, algorithm, domain]),
      [
        ['pass', 'rsa-sha256', 'example.org'],
        ['pass', 'ed25519-sha256', 'example.org'],
      ],
    )
    assert.match(text, /x=\d+/)
  })

  test('is signed after all other edits, wherever the config has them', async (t) => {
    const opened = await openHouse(t, { modifier: { edit: () => ({ prepend: ['Reply-To: somebody@example.org'] }) } })
    await opened.submit({ as: 'anna', to: anna })
    const [text = ''] = await opened.mails('anna')
    assert.ok(text.indexOf('DKIM-Signature') < text.indexOf('Reply-To'))
    const keys = await opened.scope.use(Keys).keys('example.org')
    const zones = Object.fromEntries(keys.map(({ name, record }) => [name, { TXT: [record] }]))
    const { signatures } = await verifyDkim(Signed.of(Buffer.from(text)), {
      resolver: zoneResolver(zones),
      now: opened.clock.now(),
    })
    assert.deepEqual(
      signatures.map(({ status }) => status),
      ['pass', 'pass'],
    )
  })

  test('for a domain that is not ours it is not signed, for a subdomain of ours it is', async (t) => {
    const opened = await openHouse(t, { config: { outgoing: { checks: { 'authorised-sender': false } } } })
    for (const [from, signs] of [
      ['anna@example.net', false],
      ['anna@lists.example.org', true],
      ['anna@notexample.org', false],
    ] as const) {
      await opened.submit({ as: 'anna', to: ['ben@example.org'], message: `From: ${from}\r\n\r\nHi\r\n` })
      const text = (await opened.mails('ben')).at(-1) ?? ''
      assert.equal(text.includes('DKIM-Signature'), signs, from)
    }
  })

  test('is signed as the config says: keys, forms, fields, and for how long', async (t) => {
    const sign = async (settings: object, message: string, as = 'anna@example.org') => {
      const opened = await openHouse(t, {
        config: { outgoing: { checks: { 'authorised-sender': false }, modifiers: { dkim: settings } } },
      } as Options)
      await opened.submit({ as: 'anna', to: ['ben@example.org'], message: `From: ${as}\r\n${message}` })
      const [text = ''] = await opened.mails('ben')
      const keys = await opened.scope.use(Keys).keys('example.org')
      const zones = Object.fromEntries(keys.map(({ name, record }) => [name, { TXT: [record] }]))
      const verify = async (changed = text, days = 0) =>
        (
          await verifyDkim(Signed.of(Buffer.from(changed)), {
            resolver: zoneResolver(zones),
            now: opened.clock.now() + days * 86_400_000,
          })
        ).signatures.map(({ status, algorithm }) => `${algorithm} ${status}`)
      return { text, verify }
    }
    const own = await sign(
      { keys: ['ed25519'], lifetime: '1d', header: 'simple', body: 'simple', oversign: ['X-Own'], sign: ['X-Once'] },
      'X-Once: 1\r\nSubject: x\r\n\r\nHi  there\r\n',
    )
    assert.match(own.text, /c=simple\/simple/)
    assert.deepEqual(await own.verify(), ['ed25519-sha256 pass'])
    const changes: readonly (readonly [story: string, text: string, days: number, status: string])[] = [
      ['the day after', own.text, 2, 'policy'],
      ['blanks in the body count', own.text.replace('Hi  there', 'Hi there'), 0, 'fail'],
      ['blanks in the header count', own.text.replace('X-Once: 1', 'X-Once:  1'), 0, 'fail'],
      ['a field that is oversigned was added', own.text.replace('Subject:', 'X-Own: 2\r\nSubject:'), 0, 'fail'],
      ['a field that is signed was changed', own.text.replace('X-Once: 1', 'X-Once: 2'), 0, 'fail'],
      ['a field that is not signed was changed', own.text.replace('Subject: x', 'Subject: y'), 0, 'pass'],
    ]
    for (const [story, text, days, status] of changes)
      assert.deepEqual(await own.verify(text, days), [`ed25519-sha256 ${status}`], story)
    const usual = await sign({ keys: ['ed25519'], lifetime: '0s' }, 'Subject: x\r\n\r\nHi  there\r\n')
    assert.match(usual.text, /c=relaxed\/relaxed/)
    assert.deepEqual(await usual.verify(usual.text.replace('Hi  there', 'Hi there'), 9999), ['ed25519-sha256 pass'])
    const below = await sign({ keys: ['ed25519'], subdomains: false }, '\r\nHi\r\n', 'anna@lists.example.org')
    assert.ok(!below.text.includes('DKIM-Signature'))
  })

  test('what the server itself writes has no sender, and is signed all the same', async (t) => {
    const opened = await openHouse(t, { config: { local: { modifiers: { dkim: { keys: ['ed25519'] } } } } })
    const message = Buffer.from('From: MAILER-DAEMON@example.org\nSubject: Undelivered\n\nSorry\n')
    await opened.transport.send({ from: '', to: anna, message })
    const [text = ''] = await opened.mails('anna')
    assert.match(text, /^Return-Path: <>\r\n[^]*DKIM-Signature: [^;]*;[^]*d=example\.org;/)
  })

  test('only asked what would happen, no keys are made', async (t) => {
    const opened = await openHouse(t)
    await opened.transport.simulate({ from: 'anna@example.org', to: anna, as: 'anna@example.org' })
    assert.deepEqual(await opened.scope.use(Keys).domains(), [])
  })
})

describe('what an alias sends on', () => {
  async function forwarding(t: TestContext, zones: Zones = {}): Promise<House> {
    const opened = await openHouse(t, { working: false, dns: zones, config: { incoming: { checks: { dmarc: true } } } })
    opened.fake.aliases.set('away@example.org', ['someone@elsewhere.example'])
    return opened
  }
  const sender = async (opened: House): Promise<string> => (await opened.queue.list({}, 1))[0]?.sender ?? ''

  test('has a reverse-path of ours, and a notification to it finds its way back; once it has expired, or is made up, it does not', async (t) => {
    const opened = await forwarding(t)
    await opened.receive({ to: ['away@example.org'] })
    const ours = await sender(opened)
    assert.match(ours, /^SRS0=.*=example\.net=bo@example\.org$/)
    await opened.receive({ to: [ours], from: '' })
    assert.ok((await opened.waiting()).includes('bo@example.net'))
    await assert.rejects(opened.receive({ to: [ours.replace('=bo', '=eve')], from: '' }), refusal(550, '5.1.1'))
    opened.clock.turn(30 * 86_400_000)
    await assert.rejects(opened.receive({ to: [ours], from: '' }), refusal(550, '5.7.1', /expired/))
  })

  test('of ours it keeps the sender; a notification keeps none', async (t) => {
    const opened = await forwarding(t)
    await opened.receive({ to: ['away@example.org'], from: '' })
    assert.equal(await sender(opened), '')
  })

  test('is sealed with what was found here, once the key is in the DNS', async (t) => {
    const zones: Record<string, { TXT: string[] }> = {}
    const opened = await forwarding(t, zones)
    await opened.receive({ to: ['away@example.org'], message: await signedMail() })
    assert.ok(
      (await opened.queued()).every((text) => !text.includes('ARC-Seal')),
      'a seal that nobody can verify does harm',
    )
    const [key] = await opened.scope.use(Keys).signing('example.org', ['rsa2048'])
    assert.ok(key)
    zones[key.name] = { TXT: [key.record] }
    opened.clock.turn(120_000)
    await opened.receive({ to: ['away@example.org'], message: await signedMail() })
    const text = (await opened.queued()).find((one) => one.includes('ARC-Seal')) ?? ''
    assert.match(text, /^ARC-Seal: i=1;[^]*?ARC-Authentication-Results: i=1;\r\n\tmail\.example\.org;\r\n\tdmarc=none/)
    const { status, reason } = await verifyArc(Signed.of(Buffer.from(text)), {
      resolver: zoneResolver(zones),
      now: opened.clock.now(),
    })
    assert.equal(status, 'pass', reason)
  })
})

describe('keys', () => {
  const kinds = (list: readonly { readonly kind: string; readonly selector: string }[]) =>
    list.map(({ kind, selector }) => `${kind} ${selector}`)

  test('many mails at once make them once; another process finds them', async (t) => {
    const opened = await openHouse(t)
    const keyring = opened.scope.use(Keys)
    const all = await Promise.all(Array.from({ length: 8 }, () => keyring.signing('example.org')))
    assert.deepEqual(new Set(all.map((keys) => keys.map(({ selector }) => selector).join())).size, 1)
    const other = new Keyring(opened.scope.child('other'), opened.scope.use(Store))
    assert.deepEqual(kinds(await other.signing('example.org')), ['rsa2048 20260101r', 'ed25519 20260101e'])
  })

  test('new ones follow old ones without a gap, and old ones stay published for a while', async (t) => {
    const opened = await openHouse(t)
    const keyring = opened.scope.use(Keys)
    await keyring.signing('example.org')
    const day = 86_400_000
    await keyring.follow('example.org', opened.clock.now() + 2 * day)
    assert.deepEqual(kinds(await keyring.signing('example.org')), ['rsa2048 20260101r', 'ed25519 20260101e'])
    assert.equal((await keyring.keys('example.org')).length, 4)
    opened.clock.turn(2 * day)
    assert.deepEqual(kinds(await keyring.signing('example.org')), ['rsa2048 20260101r2', 'ed25519 20260101e2'])
    // Changed one's mind: what has not begun yet never does.
    await keyring.follow('example.org', opened.clock.now() + day)
    await keyring.follow('example.org', opened.clock.now() + day)
    opened.clock.turn(day)
    assert.equal((await keyring.signing('example.org')).length, 2)
  })

  test('one that was made elsewhere takes over at once; what is no key is refused', async (t) => {
    const opened = await openHouse(t)
    const keyring = opened.scope.use(Keys)
    await keyring.signing('example.org')
    const { generateKeyPairSync } = await import('node:crypto')
    const pem = generateKeyPairSync('rsa', { modulusLength: 1024 })
      .privateKey.export({ type: 'pkcs1', format: 'pem' })
      .toString()
    opened.clock.turn(1000)
    await keyring.import('example.org', 'Default', pem)
    assert.deepEqual(kinds(await keyring.signing('example.org')), ['rsa2048 default', 'ed25519 20260101e'])
    await assert.rejects(keyring.import('example.org', 'x', 'hello'), RangeError)
    await assert.rejects(keyring.import('example.org', '..', pem), RangeError)
    assert.equal(await keyring.remove('example.org', 'default'), true)
    assert.equal(await keyring.remove('example.org', 'default'), false)
  })
})
