// What checks and modifiers do to a mail.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MailAddress } from '@aviso/mime'
import { Mailboxes } from '../../../src/mail/mailboxes/mailboxes.ts'
import { Message } from '../../../src/mail/pipeline/message.ts'
import { accept, quarantine, reject } from '../../../src/mail/pipeline/contracts.ts'
import { openHouse, refusal } from './house.ts'

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('checks', () => {
  test('one that throws defers the mail at every stage: 451, never let through', async (t) => {
    const broken = () => Promise.reject(new Error('scanner gone'))
    const thrown = () => {
      throw new Error('scanner gone')
    }
    for (const check of [
      { sender: broken },
      { recipient: broken },
      { content: broken },
      { sender: thrown },
      { recipient: thrown },
      { content: thrown },
    ]) {
      const house = await openHouse(t, { check })
      await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.7.1', /cannot be checked now/))
      assert.deepEqual(await house.mails('anna'), [])
      const line = house.lines.find(({ msg }) => msg === 'a check failed: the mail is deferred')
      assert.equal(line?.['check'], 'test')
      assert.equal(typeof line?.['mail'], 'string')
    }
  })

  test('one that never answers defers the mail when its time is over', async (t) => {
    const house = await openHouse(t, { check: { content: () => new Promise(() => {}) } })
    const refused = assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.7.1'))
    for (let turn = 0; turn < 40; turn++) await soon()
    house.clock.turn(30_000)
    await refused
    assert.deepEqual(await house.mails('anna'), [])
  })

  test('quarantine goes to Junk, whatever the other checks say', async (t) => {
    const house = await openHouse(t, {
      check: { sender: () => quarantine('on a list'), content: () => accept('clean') },
    })
    await house.receive({ to: ['anna@example.org'] })
    assert.deepEqual(await house.mails('anna'), [])
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
    assert.deepEqual(house.lines.find(({ event }) => event === 'mail-accepted')?.['trace'], [
      'test: quarantine (on a list)',
      'test: accept (clean)',
    ])
  })

  test('quarantine goes to the mailbox for junk, whatever its owner calls it; without one it is made anew', async (t) => {
    const house = await openHouse(t, { check: { sender: () => quarantine('a test') } })
    const anna = house.fake.list.get('anna@example.org') ?? assert.fail()
    const mailboxes = house.scope.use(Mailboxes)
    await mailboxes.room.create(anna)
    const opened = mailboxes.open(anna)
    await opened.rename('Junk', 'Spam/Ads')
    await house.receive({ to: ['anna@example.org'] })
    assert.equal((await house.mails('anna', 'Spam/Ads')).length, 1)
    assert.ok(!(await opened.list()).some(({ name, selectable }) => name === 'Junk' && selectable))
    await opened.delete('Spam/Ads')
    await house.receive({ to: ['anna@example.org'] })
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
    assert.equal((await opened.list()).find(({ name }) => name === 'Junk')?.role, 'Junk')
  })

  test('a quarantined mail that waits in the queue ends in Junk too', async (t) => {
    const house = await openHouse(t, { check: { sender: () => quarantine('on a list') } })
    house.faults.set('ben', 'unavailable')
    await house.receive({ to: ['anna@example.org', 'ben@example.org'] })
    house.faults.clear()
    await house.pass(60_000)
    assert.equal((await house.mails('ben', 'Junk')).length, 1)
    assert.deepEqual(await house.mails('ben'), [])
  })

  test('a recipient that is refused leaves the others', async (t) => {
    const house = await openHouse(t, {
      check: {
        recipient: (_mail, { address }) => (address.local === 'ben' ? reject(550, '5.7.1', 'Not him') : accept()),
      },
    })
    const passage = await house.incoming.begin(house.client(), null, {
      body: '7BIT',
      smtpUtf8: false,
      requireTls: false,
    })
    const to = (name: string): Promise<void> => {
      const address = MailAddress.of(name, 'example.org')
      assert.ok(address)
      return passage.recipient(address, {})
    }
    await to('anna')
    await assert.rejects(to('ben'), refusal(550, '5.7.1', /Not him/))
    await passage.data(Message.of(Buffer.from('From: a@b.example\r\n\r\n')))
    assert.equal((await house.mails('anna')).length, 1)
    assert.deepEqual(await house.mails('ben'), [])
  })

  test('loops: a mail with too many Received fields goes in circles', async (t) => {
    const house = await openHouse(t, { config: { incoming: { checks: { loops: { 'max-received': 10 } } } } })
    const hops = (count: number) => `${'Received: from a by b\r\n'.repeat(count)}From: a@b.example\r\n\r\n`
    await house.receive({ to: ['anna@example.org'], message: hops(10) })
    await assert.rejects(
      house.receive({ to: ['anna@example.org'], message: hops(11) }),
      refusal(554, '5.4.6', /circles/),
    )
  })

  test('own-name: nobody else may greet with our names, or with a bare address', async (t) => {
    const house = await openHouse(t)
    const greet = (hello: string, remoteAddress = '192.0.2.7') =>
      house.receive({ to: ['anna@example.org'], client: { hello, remoteAddress } })
    for (const hello of ['mail.example.org', 'MAIL.Example.ORG.', 'example.org', '192.0.2.7', '2001:db8::1'])
      await assert.rejects(greet(hello), refusal(550, '5.7.1'), hello)
    for (const hello of ['mx.example.net', '[192.0.2.7]', '[IPv6:2001:db8::1]', 'localhost']) await greet(hello)
    await greet('mail.example.org', '127.0.0.1')
    await greet('mail.example.org', '::ffff:127.0.0.1')
  })

  test('own-name may quarantine instead', async (t) => {
    const house = await openHouse(t, { config: { incoming: { checks: { 'own-name': { action: 'quarantine' } } } } })
    await house.receive({ to: ['anna@example.org'], client: { hello: 'mail.example.org' } })
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
  })
})

describe('authorised-sender', () => {
  test('the envelope: own addresses and aliases that are one’s own alone', async (t) => {
    const house = await openHouse(t)
    house.fake.aliases.set('info@example.org', ['anna@example.org'])
    house.fake.aliases.set('team@example.org', ['anna@example.org', 'ben@example.org'])
    const from = (sender: string) =>
      house.submit({ as: 'anna', from: sender, to: ['ben@example.org'], message: 'From: anna@example.org\r\n\r\n' })
    await from('anna@example.org')
    await from('info@example.org')
    await from('')
    for (const sender of ['ben@example.org', 'team@example.org', 'anna@example.net'])
      await assert.rejects(from(sender), refusal(553, '5.7.1', /may not send as/), sender)
    await assert.rejects(house.submit({ as: 'nobody', to: [] }), refusal(530, '5.7.0'))
  })

  const cases: readonly (readonly [name: string, header: string, refused?: readonly [number, string]])[] = [
    ['own address', 'From: Anna <anna@example.org>'],
    ['folded, with a comment', 'From: Anna\r\n (me)\r\n <anna@example.org>'],
    ['encoded name', 'From: =?utf-8?q?Ann=C3=A1?= <anna@example.org>'],
    ['a group with one author', 'From: Team: anna@example.org;'],
    ['several authors and their Sender', 'From: anna@example.org, ben@example.org\r\nSender: anna@example.org'],
    ['somebody else', 'From: ben@example.org', [550, '5.7.1']],
    ['somebody else behind our name', 'From: "anna@example.org" <ben@example.org>', [550, '5.7.1']],
    ['somebody else with our Sender', 'From: ben@example.org\r\nSender: anna@example.org', [550, '5.7.1']],
    ['somebody else in a group', 'From: anna: ben@example.org;', [550, '5.7.1']],
    [
      'others, and a Sender who is no author',
      'From: ben@example.org, carl@example.org\r\nSender: anna@example.org',
      [550, '5.7.1'],
    ],
    [
      'several authors, another Sender',
      'From: anna@example.org, ben@example.org\r\nSender: ben@example.org',
      [550, '5.7.1'],
    ],
    ['several authors without Sender', 'From: anna@example.org, ben@example.org', [550, '5.6.0']],
    [
      'several Senders',
      'From: anna@example.org, ben@example.org\r\nSender: anna@example.org\r\nSender: ben@example.org',
      [550, '5.6.0'],
    ],
    ['several From fields', 'From: anna@example.org\r\nFrom: ben@example.org', [550, '5.6.0']],
    ['a second From field in another case', 'From: anna@example.org\r\nFROM : ben@example.org', [550, '5.6.0']],
    ['no From field', 'Subject: x', [550, '5.6.0']],
    ['an empty group', 'From: undisclosed:;', [550, '5.6.0']],
    ['no address', 'From: Anna', [550, '5.6.0']],
    ['an address without domain', 'From: <anna>', [550, '5.6.0']],
  ]
  for (const [name, header, refused] of cases)
    test(`the From field: ${name}`, async (t) => {
      const house = await openHouse(t)
      const sent = house.submit({ as: 'anna', to: ['ben@example.org'], message: `${header}\r\n\r\nHi\r\n` })
      if (refused === undefined) await sent
      else await assert.rejects(sent, refusal(...refused))
      assert.equal((await house.mails('ben')).length, refused === undefined ? 1 : 0)
    })

  test('the From field is not looked at where that is switched off', async (t) => {
    const house = await openHouse(t, {
      config: { outgoing: { checks: { 'authorised-sender': { 'check-header': false } } } },
    })
    await house.submit({ as: 'anna', to: ['ben@example.org'], message: 'From: carl@example.org\r\n\r\n' })
  })
})

describe('modifiers', () => {
  test('complete: Date and Message-ID are added where they miss, Bcc goes', async (t) => {
    const house = await openHouse(t, { config: { outgoing: { modifiers: { dkim: false } } } })
    const from = 'From: anna@example.org\r\n'
    const id = await house.submit({
      as: 'anna',
      to: ['ben@example.org'],
      message: `${from}Bcc: carl@example.org,\r\n zoe@example.com\r\nSubject: x\r\nBCC: again@example.com\r\n\r\nBcc: stays\r\n`,
    })
    const [mail = ''] = await house.mails('ben')
    const [header = '', body] = mail.split('\r\n\r\n')
    assert.match(header, /^Date: Thu, 0?1 Jan 2026 00:00:00 \+0000$/m)
    assert.match(header, new RegExp(`^Message-ID: <${id}@mail\\.example\\.org>$`, 'm'))
    assert.ok(!/bcc|zoe|carl|again/i.test(header))
    assert.equal(body, 'Bcc: stays\r\n')
    await house.submit({
      as: 'anna',
      to: ['ben@example.org'],
      message: `${from}Date: Mon, 2 Feb 2026 10:00:00 +0100\r\nMessage-ID: <mine@example.org>\r\n\r\n`,
    })
    const [, whole = ''] = await house.mails('ben')
    assert.equal(whole.match(/^(Date|Message-ID):/gm)?.length, 2)
  })

  const results: readonly (readonly [value: string, stays: boolean])[] = [
    [' mail.example.org; spf=pass', false],
    [' MAIL.example.org 1; spf=pass', false],
    ['\r\n mail.example.org;\r\n spf=pass', false],
    [' (a (nested) \\) comment) mail.example.org; spf=pass', false],
    [' "mail.example.org"; spf=pass', false],
    [' mail.example.org.; spf=pass', false],
    [' mail.example.org(x); spf=pass', false],
    [' mx.example.net; spf=pass', true],
    [' mx.example.net; auth=mail.example.org', true],
    [' (unclosed mail.example.org', true],
    ['', true],
  ]
  for (const [value, stays] of results)
    test(`Authentication-Results that came with the mail (X-04):${JSON.stringify(value)} ${stays ? 'stays' : 'goes'}`, async (t) => {
      const house = await openHouse(t)
      const message = `From: bo@example.net\r\nAuthentication-Results:${value}\r\n\r\nHi\r\n`
      await house.receive({ to: ['anna@example.org'], message })
      assert.equal(((await house.mails('anna'))[0] ?? '').includes('Authentication-Results'), stays)
    })

  test('one that would write more than its field defers the mail: nothing is smuggled in', async (t) => {
    for (const field of ['X-A: b\r\nX-C: d', 'X-A: b\n\nbody', 'X-A: b\r', 'no field', 'X A: b']) {
      const house = await openHouse(t, { modifier: { edit: () => ({ prepend: [field] }) } })
      await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.3.0'), JSON.stringify(field))
      assert.deepEqual(await house.mails('anna'), [])
    }
    const house = await openHouse(t, { modifier: { edit: () => ({ prepend: ['X-A: b;\r\n\tc'] }) } })
    await house.receive({ to: ['anna@example.org'] })
    assert.match((await house.mails('anna'))[0] ?? '', /\r\nX-A: b;\r\n\tc\r\nReceived: /)
  })
})
