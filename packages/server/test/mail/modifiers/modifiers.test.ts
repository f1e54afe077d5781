// What modifiers make of addresses and headers.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openHouse, type Options, refusal } from '../pipeline/house.ts'

const incoming = (modifiers: object, more: object = {}, options: Options = {}): Options =>
  ({ ...options, config: { incoming: { modifiers, ...more } } }) as Options

describe('replace-recipient', () => {
  const tables = {
    'static/aliases': {
      entries: {
        'old@example.org': 'anna@example.org',
        'Team@Example.ORG': ['anna@example.org', 'ben@example.org', 'ANNA@example.org'],
        info: 'ben',
        'ben@example.org': ['ben@example.org', 'carl@example.org'],
        'bad@example.org': 'not an address@',
      },
    },
  }
  const modifiers = { 'replace-recipient': { table: 'static/aliases' } }

  test('whole address first, then the local part; one becomes several, each once', async (t) => {
    const house = await openHouse(t, incoming(modifiers, {}, { tables }))
    await house.receive({ to: ['old@example.org'] })
    assert.equal((await house.mails('anna')).length, 1)
    await house.receive({ to: ['team@example.org'] })
    assert.equal((await house.mails('anna')).length, 2)
    assert.equal((await house.mails('ben')).length, 1)
    await house.receive({ to: ['info@example.org'] })
    assert.equal((await house.mails('ben')).length, 2, 'a value without @ keeps the domain, and is not looked up again')
    assert.equal((await house.mails('carl')).length, 0)
    await house.receive({ to: ['ben@example.org'] })
    assert.equal((await house.mails('carl')).length, 1)
  })

  test('M-17 ReplaceRcpt: the routes see the new address', async (t) => {
    const routes = [
      { recipient: ['old@example.org'], reject: {} },
      { recipient: ['anna@example.org'], deliver: ['accounts'] },
      { recipient: ['*'], reject: { text: 'no route' } },
    ]
    const house = await openHouse(t, incoming(modifiers, { routes }, { tables }))
    await house.receive({ to: ['old@example.org'] })
    assert.equal((await house.mails('anna')).length, 1)
  })

  test('a value that is no address, and a table that fails, are 451', async (t) => {
    const house = await openHouse(t, incoming(modifiers, {}, { tables }))
    await assert.rejects(house.receive({ to: ['bad@example.org'] }), refusal(451, '4.3.0'))
    const failing = await openHouse(
      t,
      incoming(
        { 'replace-recipient': { table: 'sql-query' } },
        {},
        { tables: { 'sql-query': { path: '/nowhere/x.db', lookup: 'SELECT ?' } } },
      ),
    )
    await assert.rejects(failing.receive({ to: ['anna@example.org'] }), refusal(451, '4.3.0'))
  })

  test('X-03 a table that fails in a route is 451, not another route', async (t) => {
    const routes = [{ recipient: [{ table: 'sql-query' }], reject: {} }]
    const house = await openHouse(
      t,
      incoming({}, { routes }, { tables: { 'sql-query': { path: '/nowhere/x.db', lookup: 'SELECT ?' } } }),
    )
    await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.3.0'))
  })
})

describe('replace-sender', () => {
  test('M-17 ReplaceSender: the reverse-path that is sent on is the new one; notifications have none to replace', async (t) => {
    const tables = { regexp: { pattern: '(.+)@example\\.net', replacement: ['$1@new.example', 'never@example.net'] } }
    const house = await openHouse(t, incoming({ 'replace-sender': { table: 'regexp' } }, {}, { tables }))
    await house.receive({ to: ['anna@example.org'], from: 'bo@example.net' })
    await house.receive({ to: ['anna@example.org'], from: 'bo@example.com' })
    await house.receive({ to: ['anna@example.org'], from: '' })
    assert.deepEqual(
      (await house.mails('anna')).map((mail) => mail.split('\r\n')[0]),
      ['Return-Path: <bo@new.example>', 'Return-Path: <bo@example.com>', 'Return-Path: <>'],
    )
  })

  test('in a route it counts for what takes that route, and for nothing else', async (t) => {
    const tables = { 'static/list': { entries: { 'bo@example.net': 'list@example.org' } } }
    const routes = [
      { recipient: ['ben@example.org'], modifiers: { 'replace-sender': { table: 'static/list' } } },
      {
        recipient: ['carl@example.org'],
        modifiers: { 'replace-sender': { table: 'static/list' } },
        deliver: ['pipeline/in'],
      },
    ]
    const house = await openHouse(t, {
      tables,
      config: { incoming: { routes }, pipelines: { in: {} } },
      dns: { 'example.com': { fails: 'SERVFAIL' } },
    } as Options)
    house.fake.aliases.set('ben@example.org', ['ben@example.org', 'zoe@example.com'])
    const to = ['anna@example.org', 'ben@example.org', 'carl@example.org']
    const id = await house.receive({ to, from: 'bo@example.net' })
    const paths = await Promise.all(
      ['anna', 'ben', 'carl'].map(async (local) => (await house.mails(local))[0]?.split('\r\n')[0]),
    )
    assert.deepEqual(paths, [
      'Return-Path: <bo@example.net>',
      'Return-Path: <list@example.org>',
      'Return-Path: <list@example.org>',
    ])
    assert.equal((await house.queue.list({}, 1))[0]?.sender, 'list@example.org')
    const told = (await house.stories.byId(id))?.steps.filter(({ stage }) => stage === 'modifier')
    assert.deepEqual(
      new Set(told?.map(({ by, did }) => `${by}: ${did}`)),
      new Set(['replace-sender: sender bo@example.net becomes list@example.org']),
    )
  })

  test('a table that fails in a route refuses the recipients that take it, for now', async (t) => {
    const tables = { 'sql-query': { path: '/nowhere/x.db', lookup: 'SELECT ?' } }
    const routes = [{ recipient: ['ben@example.org'], modifiers: { 'replace-sender': { table: 'sql-query' } } }]
    const house = await openHouse(t, incoming({}, { routes }, { tables }))
    await assert.rejects(house.receive({ to: ['anna@example.org', 'ben@example.org'] }), refusal(451, '4.3.0'))
    await house.receive({ to: ['anna@example.org'] })
  })
})

describe('subaddress', () => {
  const cases: readonly (readonly [address: string, becomes: string, settings?: object])[] = [
    ['anna+lists@example.org', 'anna@example.org'],
    ['anna+a+b@example.org', 'anna@example.org'],
    ['anna@example.org', 'anna@example.org'],
    ['+anna@example.org', '+anna@example.org'],
    ['anna-lists@example.org', 'anna-lists@example.org'],
    ['anna-lists@example.org', 'anna@example.org', { separators: '+-' }],
    ['anna-marie@example.org', 'anna-marie@example.org', { separators: '+-' }],
    ['anna-marie@example.org', 'anna@example.org', { separators: '+-', 'keep-known': false }],
    ['zoe+x@example.com', 'zoe+x@example.com'],
    ['zoe+x@example.com', 'zoe@example.com', { domains: 'all' }],
  ]
  for (const [address, becomes, settings = {}] of cases)
    test(`${address} becomes ${becomes} with ${JSON.stringify(settings)}`, async (t) => {
      const routes = [
        { recipient: [becomes], deliver: ['discard'] },
        { recipient: ['*'], reject: {} },
      ]
      const house = await openHouse(t, {
        config: { targets: { discard: true }, incoming: { modifiers: { subaddress: settings }, routes } },
      } as Options)
      house.fake.add('anna-marie')
      await house.receive({ to: [address] })
    })
})

describe('header', () => {
  const MAIL =
    'From: bo@example.net\r\nSubject: Hi\r\nX-A: 1\r\nX-A: 2\r\nX-Internal-One: x\r\nX-Internal-Two: x\r\nList-Id: l\r\n\r\nText\r\n'

  test('add, set, add where missing, remove', async (t) => {
    const house = await openHouse(
      t,
      incoming({
        header: {
          add: { 'X-New': ['one', 'Grüße von {sender}'], 'X-Via': '{ip} as {hello}' },
          set: { 'X-A': 'only', Subject: '[outside] {subject}' },
          'add-missing': { 'List-Id': 'ours', 'X-Missing': 'there' },
          remove: ['X-Internal-*'],
        },
      }),
    )
    await house.receive({ to: ['anna@example.org'], message: MAIL })
    const [mail = ''] = await house.mails('anna')
    const before = mail.slice(0, mail.indexOf('Received:'))
    assert.equal(
      before,
      'Return-Path: <bo@example.net>\r\nX-New: one\r\nX-New: =?UTF-8?B?R3LDvMOfZQ==?= von bo@example.net\r\nX-Via: 192.0.2.7 as mx.example.net\r\nX-A: only\r\nSubject: [outside] Hi\r\nX-Missing: there\r\n',
    )
    assert.ok(mail.endsWith('\r\nFrom: bo@example.net\r\nList-Id: l\r\n\r\nText\r\n'), mail)
  })

  test('for forwarded copies only', async (t) => {
    const house = await openHouse(
      t,
      incoming({
        header: { add: { 'X-Kept': 'yes' }, when: 'kept' },
        'header/2': { add: { 'X-Sent-On': 'yes' }, when: 'forwarded' },
      }),
    )
    await house.receive({ to: ['anna@example.org'], message: MAIL })
    const [mail = ''] = await house.mails('anna')
    assert.ok(mail.includes('X-Kept: yes') && !mail.includes('X-Sent-On'))
  })

  test('what a peer chose ends no field', async (t) => {
    const house = await openHouse(
      t,
      incoming({ header: { set: { Subject: 'Re {subject}' }, add: { 'X-H': '{hello}' } } }),
    )
    await house.receive({
      to: ['anna@example.org'],
      client: { hello: 'a\r\nBcc: x' },
      message: 'From: bo@example.net\r\nSubject: a\r\n\tb\rX-Evil: c\r\n\r\nText\r\n',
    })
    const [mail = ''] = await house.mails('anna')
    assert.ok(!/^(?:Bcc|X-Evil):/m.test(mail.replaceAll('\r\n', '\n')), mail)
  })

  for (const wrong of [
    { add: { 'X A': 'b' } },
    { add: { 'X-A': 'b\r\nc' } },
    { add: { 'X-A': '{nothing}' } },
    { remove: ['a:b'] },
  ])
    test(`${JSON.stringify(wrong)} is refused`, async (t) => {
      await assert.rejects(openHouse(t, incoming({ header: wrong })))
    })
})
