// Where a mail goes, and what the client is told when it does not get there.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openHouse, refusal } from './house.ts'

const MINUTE = 60_000

describe('routing', () => {
  test('a mail for an account is in its INBOX when the client is told so', async (t) => {
    const house = await openHouse(t)
    const id = await house.receive({ to: ['anna@example.org'] })
    const [mail = ''] = await house.mails('anna')
    assert.match(
      mail,
      new RegExp(
        `^Return-Path: <bo@example\\.net>\\r\\nReceived: from mx\\.example\\.net \\(\\[192\\.0\\.2\\.7\\]\\)\\r\\n\\tby mail\\.example\\.org with ESMTP id ${id}\\r\\n\\tfor <anna@example\\.org>;\\r\\n\\t[^\\r]+\\r\\nFrom: bo`,
      ),
    )
    assert.ok(mail.endsWith('\r\n\r\nIt works.\r\n'))
    assert.deepEqual(await house.waiting(), [])
    const line = house.lines.find(({ event }) => event === 'mail-accepted')
    assert.equal(line?.['session'], 's1')
    assert.equal(line?.['mail'], id)
  })

  test('strangers: nobody of that name 550 5.1.1, other domains 550 5.7.1', async (t) => {
    const house = await openHouse(t)
    await assert.rejects(
      house.receive({ to: ['zoe@example.org'] }),
      refusal(550, '5.1.1', /no mailbox zoe@example.org/),
    )
    await assert.rejects(house.receive({ to: ['zoe@example.com'] }), refusal(550, '5.7.1', /relaying needs a login/))
    await assert.rejects(house.receive({ to: ['zoe@[192.0.2.1]'] }), refusal(550, '5.7.1'))
    house.fake.broken = true
    await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.3.0', /cannot be looked up now/))
  })

  test('our accounts may write to the world, limited ones at home only', async (t) => {
    const house = await openHouse(t)
    house.fake.add('kid', 'limited')
    await house.submit({ as: 'anna', to: ['zoe@example.com', 'ben@example.org'] })
    assert.deepEqual(await house.waiting(), ['zoe@example.com'])
    assert.equal((await house.mails('ben')).length, 1)
    await assert.rejects(
      house.submit({ as: 'kid', to: ['zoe@example.com'] }),
      refusal(550, '5.7.1', /local addresses only/),
    )
    await house.submit({ as: 'kid', to: ['ben@example.org'] })
    assert.equal((await house.mails('ben')).length, 2)
    assert.equal(house.lines.find(({ event }) => event === 'mail-accepted')?.['account'], 'anna@example.org')
  })

  test('an alias leads to accounts and abroad; the queue keeps what goes abroad', async (t) => {
    const house = await openHouse(t, { dns: { 'example.com': { fails: 'SERVFAIL' } } })
    house.fake.aliases.set('team@example.org', ['anna@example.org', 'ben@example.org', 'zoe@example.com'])
    await house.receive({ to: ['team@example.org'] })
    assert.equal((await house.mails('anna')).length, 1)
    assert.equal((await house.mails('ben')).length, 1)
    assert.deepEqual(await house.waiting(), ['zoe@example.com'])
    await house.pass(60 * MINUTE)
    assert.deepEqual(await house.waiting(), ['zoe@example.com'], 'not lost, not delivered at home')
  })

  test('one account under two addresses is one mailbox, and gets one copy', async (t) => {
    const house = await openHouse(t)
    house.fake.aliases.set('info@example.org', ['anna@example.org'])
    await house.receive({ to: ['anna@example.org', 'info@example.org', 'anna@example.org', 'ben@example.org'] })
    assert.equal((await house.mails('anna')).length, 1)
    const [mail = ''] = await house.mails('ben')
    assert.ok(!mail.includes(' for <'), 'Received names nobody where there are several (RFC 5321 section 7.2)')
  })

  test('a notification has the null reverse-path', async (t) => {
    const house = await openHouse(t)
    await house.receive({ from: '', to: ['anna@example.org'] })
    assert.match((await house.mails('anna'))[0] ?? '', /^Return-Path: <>\r\n/)
  })

  test('a Return-Path that came with the mail goes: there is one, and it is ours', async (t) => {
    const house = await openHouse(t)
    const message = 'Return-Path: <boss@example.org>\r\nFrom: bo@example.net\r\nreturn-path:\r\n <x@y>\r\n\r\nHi\r\n'
    await house.receive({ to: ['anna@example.org'], message })
    const [mail = ''] = await house.mails('anna')
    assert.equal(mail.match(/return-path/gi)?.length, 1)
    assert.match(mail, /^Return-Path: <bo@example\.net>\r\n/)
  })

  test('a name in EHLO cannot write fields of its own', async (t) => {
    const house = await openHouse(t)
    const hello = 'x\r\nAuthentication-Results: mail.example.org; spf=pass\r\n'
    await house.receive({ to: ['anna@example.org'], client: { hello } })
    assert.ok(!/^Authentication-Results/m.test((await house.mails('anna'))[0] ?? ''))
  })

  test('HELO is SMTP, EHLO is ESMTP; where a user is stays private', async (t) => {
    const house = await openHouse(t)
    await house.receive({ to: ['anna@example.org'], client: { extended: false } })
    await house.submit({ as: 'ben', to: ['anna@example.org'] })
    const [old = '', ours = ''] = await house.mails('anna')
    assert.match(old, / with SMTP id /)
    assert.match(ours, /\r\nReceived: by mail\.example\.org with ESMTPA id /)
    assert.ok(!ours.includes('192.0.2.7'))
  })
})

describe('when mailboxes fail', () => {
  test('one of several: its mail waits in the queue, and is delivered once when it can be', async (t) => {
    const house = await openHouse(t)
    house.faults.set('ben', 'unavailable')
    house.fake.aliases.set('b@example.org', ['ben@example.org'])
    await house.receive({ to: ['anna@example.org', 'ben@example.org', 'b@example.org'] })
    assert.equal((await house.mails('anna')).length, 1)
    assert.deepEqual(await house.waiting(), ['ben@example.org'])
    await house.pass(MINUTE)
    assert.deepEqual(await house.waiting(), ['ben@example.org'], 'still broken')
    house.faults.clear()
    for (let hour = 0; hour < 30; hour++) await house.pass(MINUTE)
    assert.deepEqual(await house.waiting(), [])
    assert.equal((await house.mails('ben')).length, 1)
    assert.match((await house.mails('ben'))[0] ?? '', /^Return-Path: <bo@example\.net>\r\nReceived: /)
    assert.equal((await house.mails('anna')).length, 1)
  })

  test('two accounts behind one alias wait side by side: neither is forgotten', async (t) => {
    const house = await openHouse(t)
    house.fake.aliases.set('team@example.org', ['anna@example.org', 'ben@example.org', 'carl@example.org'])
    house.faults.set('anna', 'unavailable').set('ben', 'unavailable')
    await house.receive({ to: ['team@example.org'] })
    assert.deepEqual(await house.waiting(), ['anna@example.org', 'ben@example.org'])
    await house.pass(MINUTE)
    house.faults.clear()
    await house.pass(6 * MINUTE)
    assert.equal((await house.mails('anna')).length, 1)
    assert.equal((await house.mails('ben')).length, 1)
    assert.deepEqual(await house.waiting(), [])
  })

  test('a mail that cannot be tried does not keep those behind it waiting', async (t) => {
    const house = await openHouse(t)
    house.faults.set('anna', 'unavailable').set('ben', 'unavailable')
    await house.receive({ to: ['anna@example.org', 'carl@example.org'] })
    await house.receive({ to: ['ben@example.org', 'carl@example.org'] })
    await house.pass(MINUTE)
    house.faults.clear()
    const byId = house.fake.byId.bind(house.fake)
    house.fake.byId = (id) => (id === 'anna' ? Promise.reject(new Error('broken row')) : byId(id))
    await house.pass(6 * MINUTE)
    assert.equal((await house.mails('ben')).length, 1)
    assert.deepEqual(await house.waiting(), ['anna@example.org'])
  })

  test('all of them: the client keeps the mail (451), nothing is queued', async (t) => {
    const house = await openHouse(t)
    house.faults.set('anna', 'unavailable').set('ben', 'unavailable')
    await assert.rejects(house.receive({ to: ['anna@example.org', 'ben@example.org'] }), refusal(451, '4.3.0'))
    assert.deepEqual(await house.waiting(), [])
    const failed = house.lines.filter(({ msg }) => msg === 'a mailbox could not take a mail')
    assert.deepEqual(
      failed.map(({ session, account }) => [session, account]),
      [
        ['s1', 'anna'],
        ['s1', 'ben'],
      ],
    )
  })

  test('a full disk is told as such: 452 4.3.1', async (t) => {
    const house = await openHouse(t)
    house.faults.set('anna', 'disk-full')
    await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(452, '4.3.1', /No room left/))
    house.faults.set('queue', 'disk-full')
    await assert.rejects(
      house.submit({ as: 'anna', to: ['zoe@example.com', 'ben@example.org'] }),
      refusal(452, '4.3.1'),
    )
    assert.equal((await house.mails('ben')).length, 0, 'what cannot be queued is not half delivered')
  })

  test('a full mailbox is told as such, 452 4.2.2, and is nothing to be alarmed about', async (t) => {
    const house = await openHouse(t, { config: { quota: { messages: 1 } } })
    await house.receive({ to: ['anna@example.org'] })
    await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(452, '4.2.2', /full/))
    assert.equal((await house.mails('anna')).length, 1)
    assert.deepEqual(
      house.lines.filter(({ level }) => level === 'error'),
      [],
    )
  })

  test('a mail that ends without data leaves nothing', async (t) => {
    const house = await openHouse(t)
    const passage = await house.incoming.begin(house.client(), null, {
      body: '7BIT',
      smtpUtf8: false,
      requireTls: false,
    })
    passage.abort()
    passage.abort()
    assert.deepEqual(await house.mails('anna'), [])
  })

  test('each failure is counted, with its reason, and the waits grow', async (t) => {
    const house = await openHouse(t)
    house.faults.set('ben', 'unavailable')
    await house.receive({ to: ['anna@example.org', 'ben@example.org'] })
    await house.pass(MINUTE)
    const [row] = await house.queue.list({}, 1)
    assert.equal(row?.attempts, 1)
    const left = (row?.nextAttempt ?? 0) - house.clock.now()
    assert.ok(left > 3 * MINUTE && left < 5 * MINUTE, `five minutes, give or take a tenth, from the first: ${left}`)
    assert.deepEqual(row?.error, {
      code: 451,
      enhanced: '4.3.0',
      text: 'The mail cannot be stored now, please try again later',
      remote: '',
    })
  })

  test('of two generations the newest retries; when it goes, the other does again', async (t) => {
    const house = await openHouse(t)
    house.faults.set('ben', 'unavailable')
    await house.receive({ to: ['anna@example.org', 'ben@example.org'] })
    const next = await house.again()
    const attempts = async () => (await house.queue.list({}, 1))[0]?.attempts
    await house.pass(MINUTE)
    assert.equal(await attempts(), 1, 'the first attempt comes at once')
    await house.pass(6 * MINUTE)
    assert.equal(await attempts(), 2, 'one failure is counted once')
    await next.close()
    await house.pass(12 * MINUTE)
    assert.equal(await attempts(), 3)
  })
})

test('addresses beyond ASCII pass through as they are, domains in A-labels', async (t) => {
  const house = await openHouse(t)
  house.fake.add('j\u00f6rg')
  await house.receive({ from: 'b\u00fc@b\u00fccher.example', to: ['j\u00f6rg@example.org'] })
  const [mail = ''] = await house.mails('j\u00f6rg')
  assert.match(mail, /^Return-Path: <b\u00fc@xn--bcher-kva\.example>\r\n/)
  assert.match(mail, /\tfor <j\u00f6rg@example\.org>;/)
})
