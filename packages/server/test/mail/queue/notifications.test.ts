// What senders are told of their mail.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { simpleParser } from 'mailparser'
import { SmtpError } from '@aviso/smtp'
import { accept, reject } from '../../../src/mail/pipeline/contracts.ts'
import { DAY, greylisted, HOUR, MINUTE, openQueueHouse, unknownUser, unreachable } from './fixture.ts'

const message = (subject = 'Lunch?') =>
  `From: anna@example.org\r\nSubject: ${subject}\r\nMessage-ID: <lunch@example.org>\r\n\r\nAt noon?\r\n`

describe('failure', () => {
  test('M-07: exactly one notification, though a check of its pipeline asks for a client that is not there', async (t) => {
    const asked: string[] = []
    const house = await openQueueHouse(t, {
      known: {
        sender: (mail) => {
          asked.push(mail.client.protocol)
          return mail.client.remoteAddress === '' ? accept() : reject(550, '5.7.23', 'SPF says no')
        },
      },
      config: { local: { checks: { test: true } } },
    })
    house.world.answers.set('far.example', unknownUser())
    await house.anna(['zoe@far.example'], { message: message() })
    await house.settle()
    const reports = await house.reports()
    assert.equal(reports.length, 1)
    assert.deepEqual(asked, ['local'])
    await house.pass(2 * HOUR)
    assert.equal((await house.reports()).length, 1)
    assert.deepEqual(await house.waiting(), [])
  })

  test('says what happened, to whom, what the other server said and what to do; programs read it too (RFC 3464)', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', new SmtpError(550, '5.1.1', 'No such user\r\nX-Evil: yes'))
    await house.anna(['zoe@far.example'], {
      message: message(),
      parameters: { envid: 'q1 7' },
      notify: { 'zoe@far.example': { originalRecipient: { type: 'rfc822', address: 'Zoe@far.example' } } },
    })
    await house.settle()
    const [report = ''] = await house.reports()
    assert.match(report, /^Return-Path: <>\r\n/)
    const parsed = await simpleParser(report)
    assert.equal(parsed.subject, 'Not delivered: Lunch?')
    assert.equal(parsed.from?.text, '"Mail Delivery System" <MAILER-DAEMON@example.org>')
    assert.equal(parsed.inReplyTo, '<lunch@example.org>')
    assert.equal(parsed.headers.get('auto-submitted'), 'auto-replied')
    assert.ok(!/^X-Evil/m.test(report))
    assert.match(parsed.text ?? '', /Your mail "Lunch\?" of Thu, 1 Jan 2026/)
    assert.match(parsed.text ?? '', /zoe@far\.example\n\s+The server mx\.far\.example said: 550 5\.1\.1 No such user/)
    assert.match(parsed.text ?? '', /There is no such address there/)
    const machine = /Content-Type: message\/delivery-status[\s\S]*?\r\n\r\n([\s\S]*?)\r\n--/.exec(report)?.[1] ?? ''
    assert.equal(
      machine,
      [
        'Original-Envelope-Id: q1 7',
        'Reporting-MTA: dns; mail.example.org',
        'Arrival-Date: Thu, 1 Jan 2026 00:00:00 +0000',
        '',
        'Original-Recipient: rfc822; Zoe@far.example',
        'Final-Recipient: rfc822; zoe@far.example',
        'Action: failed',
        'Status: 5.1.1',
        'Remote-MTA: dns; mx.far.example',
        'Diagnostic-Code: smtp; 550 5.1.1 No such user X-Evil: yes',
        'Last-Attempt-Date: Thu, 1 Jan 2026 00:00:00 +0000',
        '',
      ].join('\r\n'),
    )
    assert.match(report, /Content-Type: message\/rfc822\r\n[\s\S]*Subject: Lunch\?[\s\S]*At noon\?/)
  })

  test('X-10, X-11: the code is the other server’s own, in the class of its reply', async (t) => {
    for (const [refusal, status] of [
      [new SmtpError(554, '5.7.26', 'DMARC'), '5.7.26'],
      [new SmtpError(550, undefined, 'no'), '5.0.0'],
      [SmtpError.from({ code: 550, enhanced: '4.2.2', lines: ['mixed'] }), '5.2.2'],
    ] as const) {
      const house = await openQueueHouse(t)
      house.world.answers.set('far.example', refusal)
      await house.anna(['zoe@far.example'])
      await house.settle()
      assert.ok((await house.reports())[0]?.includes(`\r\nStatus: ${status}\r\n`), status)
    }
  })

  test('comes from the domain that the config names', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { 'notification-domain': 'post.example.org' } } })
    house.world.answers.set('far.example', unknownUser())
    await house.anna(['zoe@far.example'])
    await house.settle()
    assert.match((await house.reports())[0] ?? '', /^From: [^\r]*<MAILER-DAEMON@post\.example\.org>\r$/m)
  })

  test('names the recipient that the sender used, not where an alias leads', async (t) => {
    const house = await openQueueHouse(t, {
      config: { queue: { retry: ['1m'], expire: '3m' } },
    })
    house.fake.aliases.set('team@example.org', ['secret@hidden.invalid', 'other@hidden.invalid'])
    await house.anna(['team@example.org'])
    for (let minute = 0; minute < 30; minute++) await house.pass(MINUTE)
    const [report = '', more] = await house.reports()
    assert.match(report, /Final-Recipient: rfc822; team@example\.org\r\n/)
    assert.ok(!report.includes('secret@hidden'))
    assert.equal(report.match(/Final-Recipient/g)?.length, 1, 'and names it once')
    assert.equal(more, undefined)
    assert.deepEqual(await house.waiting(), [])
  })

  test('of mail that an alias sent on with a reverse-path of ours: comes to the sender, and does not show where the alias leads', async (t) => {
    const house = await openQueueHouse(t, { config: { queue: { retry: ['1m'], expire: '3m' } } })
    house.fake.aliases.set('team@example.org', ['secret@hidden.invalid'])
    await house.receive({ from: 'bo@far.example', to: ['team@example.org'] })
    for (let minute = 0; minute < 10; minute++) await house.pass(MINUTE)
    assert.deepEqual(house.world.reached, ['bo@far.example'])
    assert.equal(house.world.got[0]?.sender, '')
    assert.match(house.world.got[0]?.message ?? '', /Final-Recipient: rfc822; team@example\.org\r\n/)
    assert.ok(!(house.world.got[0]?.message ?? '').includes('secret@hidden'))
  })

  test('never for <>, never for NOTIFY=NEVER, and none for a notification that fails', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', unknownUser())
    await house.receive({ from: '', to: ['zoe@far.example'] })
    await house.anna(['yan@far.example'], { notify: { 'yan@far.example': { notify: ['NEVER'] } } })
    await house.anna(['xia@far.example'], { notify: { 'xia@far.example': { notify: ['SUCCESS', 'DELAY'] } } })
    await house.receive({ from: 'bo@far.example', to: ['wim@far.example'] })
    await house.settle()
    await house.pass(MINUTE)
    assert.deepEqual(await house.reports(), [])
    assert.deepEqual(await house.waiting(), [])
    assert.equal((await house.queue.figures()).mails, 0)
    const tried = house.world.deliveries.flat()
    assert.deepEqual(tried, [
      'zoe@far.example',
      'yan@far.example',
      'xia@far.example',
      'wim@far.example',
      'bo@far.example',
    ])
  })

  test('RET=HDRS brings the header back; so does a mail that is large', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', unknownUser())
    await house.anna(['zoe@far.example'], { message: message(), parameters: { ret: 'HDRS' } })
    await house.anna(['zoe@far.example'], {
      message: message() + 'More.\r\n'.repeat(60_000),
      parameters: { ret: 'FULL' },
    })
    await house.until(async () => (await house.reports()).length === 2)
    const reports = await house.reports()
    assert.equal(reports.length, 2)
    for (const report of reports) {
      assert.match(report, /Content-Type: text\/rfc822-headers\r\n[\s\S]*Subject: Lunch\?/)
      assert.ok(!report.includes('At noon?'))
    }
  })

  test('RFC 6533: who writes with UTF-8 reads it in the answer', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', new SmtpError(550, '5.1.1', 'Kein Empfänger'))
    await house.anna(['zoë@far.example'], { message: message('Grüße'), parameters: { smtpUtf8: true } })
    await house.anna(['zoë@far.example'], { message: message() })
    await house.settle()
    const [utf8 = '', ascii = ''] = await house.reports()
    assert.match(utf8, /report-type=global-delivery-status/)
    assert.match(utf8, /Content-Type: message\/global-delivery-status\r\n/)
    assert.match(utf8, /Final-Recipient: utf-8; zoë@far\.example\r\n/)
    assert.match(utf8, /Diagnostic-Code: smtp; 550 5\.1\.1 Kein Empfänger\r\n/)
    assert.match(utf8, /Content-Type: message\/global\r\n/)
    assert.match(ascii, /Final-Recipient: utf-8; zo\\x\{EB\}@far\.example\r\n/)
    assert.match(ascii, /Kein Empf\?nger/)
  })

  test('of a mail to very many, what fails together is told together', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', unknownUser())
    const to = Array.from({ length: 300 }, (_, i) => `u${i}@far.example`)
    await house.anna(to)
    await house.settle()
    await house.pass(MINUTE)
    const reports = await house.reports()
    assert.equal(reports.length, 1)
    assert.equal(reports[0]?.match(/^Final-Recipient/gm)?.length, 300)
    assert.match(reports[0] ?? '', /and 200 more\./)
  })
})

describe('delay', () => {
  test('after four hours, once, and not of what was told of already', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', unreachable())
    await house.anna(['zoe@far.example'], { message: message() })
    await house.settle()
    await house.pass(MINUTE)
    house.clock.set(4 * HOUR - 10 * MINUTE)
    await house.pass(8 * MINUTE)
    assert.deepEqual(await house.reports(), [])
    await house.pass(4 * MINUTE)
    const [report = ''] = await house.reports()
    assert.match(report, /\r\nSubject: Still waiting: Lunch\?\r\n/)
    assert.match(report, /\r\nAction: delayed\r\nStatus: 4\.4\.1\r\n/)
    assert.match(report, /\r\nWill-Retry-Until: Tue, 6 Jan 2026 00:00:00 \+0000\r\n/)
    assert.match(report, /you need not send it\s+again/)
    house.clock.set(DAY)
    await house.pass(10 * MINUTE)
    assert.equal((await house.reports()).length, 1)
    house.clock.set(4 * DAY)
    await house.pass(2 * HOUR)
    const reports = await house.reports()
    assert.equal(reports.length, 2)
    assert.match(reports[1] ?? '', /\r\nAction: failed\r\nStatus: 4\.4\.1\r\n/)
    assert.deepEqual(await house.waiting(), [])
  })

  test('not for who did not ask for it, and not where the config says never', async (t) => {
    for (const config of [{}, { queue: { 'delay-warning': '0s' } }]) {
      const house = await openQueueHouse(t, { config })
      house.world.answers.set('far.example', greylisted())
      await house.anna(['zoe@far.example'], { notify: { 'zoe@far.example': { notify: ['FAILURE'] } } })
      if (config.queue !== undefined) await house.anna(['yan@far.example'])
      await house.settle()
      house.clock.set(5 * HOUR)
      await house.pass(3 * MINUTE)
      assert.deepEqual(await house.reports(), [])
    }
  })
})

describe('success', () => {
  const asked = (to: string) => ({ [to]: { notify: ['SUCCESS'] as const } })

  test('for who asked: relayed by a server that tells nobody, nothing where that server tells itself', async (t) => {
    const house = await openQueueHouse(t)
    await house.anna(['zoe@far.example', 'yan@far.example'], { notify: asked('zoe@far.example'), message: message() })
    await house.settle()
    const [report = ''] = await house.reports()
    assert.match(report, /\r\nSubject: Delivered: Lunch\?\r\n/)
    assert.match(
      report,
      /Final-Recipient: rfc822; zoe@far\.example\r\nAction: relayed\r\nStatus: 2\.0\.0\r\nRemote-MTA: dns; mx\.far\.example\r\n/,
    )
    assert.ok(!report.includes('yan@far.example'))
    assert.ok(!report.includes('At noon?'))
    house.world.relayed = true
    await house.anna(['zoe@far.example'], { notify: asked('zoe@far.example') })
    await house.settle()
    assert.equal((await house.reports()).length, 1)
  })

  test('of a mailbox here that never waited', async (t) => {
    const house = await openQueueHouse(t)
    await house.anna(['ben@example.org', 'carl@example.org'], { notify: asked('ben@example.org'), message: message() })
    await house.settle()
    const [report = ''] = await house.reports()
    assert.match(report, /Final-Recipient: rfc822; ben@example\.org\r\nAction: delivered\r\nStatus: 2\.0\.0\r\n/)
    assert.ok(!report.includes('carl@'))
    assert.match(report, /Subject: Lunch\?/)
    assert.equal((await house.queue.figures()).mails, 0)
  })
})

describe('their own way', () => {
  test('M-12: a pipeline whose mail waits, is given back, and comes through the same pipeline starts', async (t) => {
    const house = await openQueueHouse(t, {
      config: {
        pipelines: { round: { routes: [{ recipient: ['*.example'], deliver: ['sink'] }] } },
        local: { routes: [{ recipient: ['*'], deliver: ['pipeline/round'] }] },
      },
    })
    house.world.answers.set('far.example', unknownUser())
    await house.anna(['zoe@far.example'])
    await house.settle()
    assert.equal((await house.reports()).length, 1)
  })

  test('a pipeline that refuses for now gets it later; one that refuses for good ends it', async (t) => {
    let refusal: SmtpError | undefined = new SmtpError(451, '4.7.1', 'not now')
    const house = await openQueueHouse(t, {
      known: {
        sender: () =>
          refusal === undefined ? accept() : { action: refusal.temporary ? 'defer' : 'reject', reply: refusal },
      },
      config: { local: { checks: { test: true } } },
    })
    house.world.answers.set('far.example', unknownUser())
    await house.anna(['zoe@far.example'])
    await house.settle()
    assert.deepEqual(await house.reports(), [])
    refusal = undefined
    for (let minute = 0; minute < 7; minute++) await house.pass(MINUTE)
    assert.equal((await house.reports()).length, 1)
    refusal = new SmtpError(550, '5.7.1', 'never')
    await house.anna(['zoe@far.example'])
    await house.settle()
    await house.pass(MINUTE)
    assert.equal((await house.reports()).length, 1)
    assert.equal((await house.queue.figures()).mails, 0, 'nothing is left of it')
    assert.ok(house.lines.some(({ event }) => event === 'notification-lost'))
  })

  test('killed when it was handed over and not yet crossed out: it is not there twice, in no mailbox and in no queue', async (t) => {
    const house = await openQueueHouse(t)
    house.world.answers.set('far.example', unknownUser())
    house.faults.set('queue.endReport', 'unavailable')
    await house.anna(['zoe@far.example'])
    await house.receive({ from: 'bo@else.example', to: ['yan@far.example'] })
    await house.settle()
    assert.equal((await house.reports()).length, 1)
    assert.deepEqual(house.world.reached, ['bo@else.example'])
    house.faults.clear()
    for (let minute = 0; minute < 3; minute++) await house.pass(MINUTE)
    assert.equal((await house.reports()).length, 1)
    assert.deepEqual(
      house.world.reached,
      ['bo@else.example'],
      'the other server has it once, though it has left the queue',
    )
    assert.equal((await house.queue.figures()).mails, 0)
  })
})
