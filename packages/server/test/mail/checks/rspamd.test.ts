// rspamd, by a stand-in that answers what a test wants. The real one is in tests/interop/filters.test.ts.

import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { Headers as MailHeaders } from '@aviso/mime'
import { headerEdit, parseAnswer } from '../../../src/mail/checks/rspamd/answer.ts'
import { Message } from '../../../src/mail/pipeline/message.ts'
import { MESSAGE, openHouse, type Options, refusal } from '../pipeline/house.ts'

const to = ['anna@example.org', 'ben@example.org']

interface Asked {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly rcpt: readonly string[]
  readonly body: string
}

/** An rspamd that answers this. */
async function rspamd(t: TestContext, answer: object | ((response: ServerResponse) => void)) {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const { headers, url = '' } = request
      asked.push({
        path: url,
        headers,
        rcpt: request.headersDistinct['rcpt'] ?? [],
        body: Buffer.concat(pieces).toString(),
      })
      if (typeof answer === 'function') answer(response)
      else response.end(JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const hostile = fc.constantFrom('a', 'B', ':', ' ', '\t', '\r', '\n', '\r\n', '\0', 'ü')

const open = (t: TestContext, settings: object, more: Options = {}) =>
  openHouse(t, { ...more, config: { incoming: { checks: { rspamd: settings } } } } as Options)

describe('rspamd', () => {
  test('it is told everything of the envelope, and gets the message as it is', async (t) => {
    const { asked, url } = await rspamd(t, { action: 'no action', score: 0.5, symbols: [] })
    const house = await open(
      t,
      { url, password: 'secret', 'settings-id': 'in' },
      { dns: { '7.2.0.192.in-addr.arpa': { PTR: ['mx.example.net'] }, 'mx.example.net': { A: ['192.0.2.7'] } } },
    )
    const id = await house.receive({ to, message: MESSAGE })
    const [{ path, headers, rcpt, body } = assert.fail('not asked')] = asked
    assert.equal(path, '/checkv2')
    assert.equal(body, MESSAGE)
    for (const [name, value] of Object.entries({
      from: 'bo@example.net',
      ip: '192.0.2.7',
      helo: 'mx.example.net',
      hostname: 'mx.example.net',
      'queue-id': id,
      'mta-name': 'mail.example.org',
      'mta-tag': 'aviso',
      flags: 'pass_all',
      password: 'secret',
      'settings-id': 'in',
    }))
      assert.equal(headers[name], value, name)
    assert.deepEqual(
      rcpt.flatMap((one) => one.split(', ')),
      to,
    )
    assert.equal(headers['user'], undefined)
    assert.match((await house.mails('anna'))[0] ?? '', /\r\nX-Spam-Score: 0\.50\r\n/)
  })

  const actions: readonly (readonly [action: string, outcome: 'INBOX' | 'Junk' | readonly [number, string]])[] = [
    ['no action', 'INBOX'],
    ['greylist', 'INBOX'],
    ['add header', 'Junk'],
    ['rewrite subject', 'Junk'],
    ['soft reject', [451, '4.7.1']],
    ['reject', [554, '5.7.1']],
    ['something new', [451, '4.7.1']],
  ]
  for (const [action, outcome] of actions)
    test(`${action}: ${String(outcome)}`, async (t) => {
      const { url } = await rspamd(t, {
        action,
        score: 7,
        required_score: 15,
        symbols: { BAD: { score: 7 }, MEH: { score: 0 } },
      })
      const house = await open(t, { url })
      const sent = house.receive({ to })
      if (typeof outcome === 'string') {
        await sent
        assert.equal((await house.mails('anna', outcome)).length, 1)
      } else await assert.rejects(sent, refusal(...outcome))
      assert.match(JSON.stringify(house.lines), /score 7\.00 of 15: BAD\(7\)/)
    })

  test('each of its actions, and what it adds, is as the config says', async (t) => {
    for (const [action, setting] of [
      ['greylist', 'greylist'],
      ['add header', 'add-header'],
      ['rewrite subject', 'rewrite-subject'],
      ['soft reject', 'soft-reject'],
      ['reject', 'reject'],
    ] as const) {
      const { url } = await rspamd(t, { action, score: 7, symbols: {} })
      const own = await open(t, { url, [setting]: { action: 'reject', code: 571, text: 'As you wish' } })
      await assert.rejects(own.receive({ to }), refusal(571, '5.7.0', /As you wish/), action)
    }
    const answer = { action: 'add header', score: 7, symbols: {}, milter: { add_headers: { 'X-Theirs': 'yes' } } }
    const { url } = await rspamd(t, answer)
    const all = await open(t, { url, 'add-header': 'accept' })
    await all.receive({ to })
    assert.match((await all.mails('anna'))[0] ?? '', /X-Spam-Score: 7[^]*X-Spam-Flag: YES[^]*X-Theirs: yes/)
    const quiet = await open(t, { url, 'add-header': 'accept', 'spam-headers': false, 'edit-header': false })
    await quiet.receive({ to })
    assert.doesNotMatch((await quiet.mails('anna'))[0] ?? '', /X-Spam|X-Theirs/)
  })

  test('what it wants the client to be told is told', async (t) => {
    const { url } = await rspamd(t, {
      action: 'soft reject',
      score: 1,
      messages: { smtp_message: 'Try\r\nagain later' },
    })
    await assert.rejects((await open(t, { url })).receive({ to }), refusal(451, '4.7.1', /^Try again later$/))
  })

  test('the fields that it adds and removes, its signature, and its subject', async (t) => {
    const { url } = await rspamd(t, {
      action: 'rewrite subject',
      score: 8,
      subject: '[SPAM] Grüße',
      'dkim-signature': 'v=1; a=rsa-sha256;\r\n\tb=abc',
      milter: {
        add_headers: {
          'X-Spamd-Bar': { value: '++++', order: 0 },
          'X-Last': { value: 'z', order: 9 },
          'X-Two': ['one', { value: 'two' }],
          'X-Evil': 'a\r\nBcc: x@example.com',
          'No good': 'x',
        },
        remove_headers: { 'X-Old': 0, 'X-Some': 2, 'X-Gone': -1, 'X-None': 1 },
      },
    })
    const house = await open(t, { url })
    await house.receive({
      to,
      message:
        'X-Old: 1\r\nX-Old: 2\r\nX-Some: 1\r\nX-Some: 2\r\nX-Gone: 1\r\nX-Gone: 2\r\nX-Spam-Score: -99\r\nSubject: Hi\r\nFrom: a@b.example\r\n\r\nText\r\n',
    })
    const [mail = ''] = await house.mails('anna', 'Junk')
    const header = mail.slice(mail.indexOf('\r\nX-Spam-Score'))
    assert.equal(
      header,
      '\r\nX-Spam-Score: 8.00\r\nX-Spam-Flag: YES\r\nDKIM-Signature: v=1; a=rsa-sha256;\r\n\tb=abc\r\nX-Spamd-Bar: ++++\r\nX-Two: one\r\nX-Two: two\r\n' +
        'X-Some: 1\r\nX-Gone: 1\r\nSubject: [SPAM] =?UTF-8?B?R3LDvMOfZQ==?=\r\nFrom: a@b.example\r\nX-Last: z\r\n\r\nText\r\n',
    )
  })

  test('sender and recipients are changed only where the config wants that', async (t) => {
    const answer = {
      action: 'no action',
      score: 0,
      milter: { change_from: '<new@example.net>', add_rcpt: ['carl@example.org'], del_rcpt: ['ben@example.org'] },
    }
    const { url } = await rspamd(t, answer)
    const house = await open(t, { url, 'edit-envelope': true })
    await house.receive({ to })
    assert.match((await house.mails('anna'))[0] ?? '', /^Return-Path: <new@example\.net>/)
    assert.equal((await house.mails('ben')).length, 0)
    assert.equal((await house.mails('carl')).length, 1)
    const plain = await open(t, { url })
    await plain.receive({ to })
    assert.equal((await plain.mails('carl')).length, 0)
    assert.match((await plain.mails('anna'))[0] ?? '', /^Return-Path: <bo@example\.net>/)
  })

  const nonsense: readonly (readonly [name: string, (response: ServerResponse) => void])[] = [
    ['no JSON', (response) => response.end('<html>')],
    ['no action', (response) => response.end('{}')],
    ['an error of HTTP', (response) => response.writeHead(500).end('{"error":"out of memory"}')],
    ['somewhere else', (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['too much', (response) => response.end(JSON.stringify({ action: 'no action', x: 'y'.repeat(2_000_000) }))],
    ['a closed connection', (response) => response.destroy()],
  ]
  for (const [name, answer] of nonsense)
    test(`X-02 ${name} defers the mail, or what the config says`, async (t) => {
      const { url } = await rspamd(t, answer)
      await assert.rejects((await open(t, { url })).receive({ to }), refusal(451, '4.7.1', /cannot be checked now/))
      await (await open(t, { url, failure: 'accept' })).receive({ to })
    })

  test('X-20 an rspamd that hangs is given up after its time', async (t) => {
    const { asked, url } = await rspamd(t, () => {})
    const house = await open(t, { url })
    const refused = assert.rejects(house.receive({ to }), refusal(451, '4.7.1'))
    while (asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    house.clock.turn(20_000)
    await refused
  })

  test('whatever fields it wants, each is one field or none', () =>
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: hostile }), fc.string({ unit: hostile })), (fields) => {
        const answer = parseAnswer(JSON.stringify({ action: 'no action', milter: { add_headers: fields } }))
        const message = Message.of(Buffer.from('A: b\r\n\r\nbody'))
        const edited = message.edited([headerEdit(answer, message.header, false)])
        const count = [...MailHeaders.parse(edited.head).fields()].length
        assert.ok(count >= 1 && count <= 1 + Object.keys(fields).length)
        assert.ok(Buffer.from(edited.head).toString('latin1').endsWith('\r\n\r\n'))
      }),
    ))
})
