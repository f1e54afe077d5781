// Rules that send mail another way, tables they look in, and what a mail's story tells of it.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { MailAddress } from '@aviso/mime'
import { SmtpError } from '@aviso/smtp'
import { configSchema } from '../../../src/config.ts'
import { ConfigError, loadConfig } from '../../../src/kernel/config/load.ts'
import { Message } from '../../../src/mail/pipeline/message.ts'
import {
  accept,
  finding,
  type MailCheck,
  type MailTarget,
  reject,
  type Routed,
} from '../../../src/mail/pipeline/contracts.ts'
import { STORIES, storyStore } from '../../../src/mail/stories/store.ts'
import { openHouse, type Options, refusal } from './house.ts'

const routed = (incoming: NonNullable<NonNullable<Options['config']>['incoming']>, more: Options = {}): Options => ({
  ...more,
  config: { ...more.config, incoming },
})

describe('routes', () => {
  test('the first rule that fits counts; what none fits goes to the accounts', async (t) => {
    const house = await openHouse(
      t,
      routed(
        {
          routes: [
            { recipient: ['anna@example.org'], sender: ['example.net'], reject: { text: 'Not from there' } },
            { recipient: ['anna@example.org'], deliver: ['accounts'] },
            { recipient: ['example.org'], sender: ['*.example.net'], deliver: ['discard'] },
          ],
          // A target of its own name.
        },
        { config: { targets: { discard: true } } },
      ),
    )
    await assert.rejects(
      house.receive({ from: 'x@example.net', to: ['anna@example.org'] }),
      refusal(554, '5.7.0', /Not from there/),
    )
    await house.receive({ from: 'x@a.example.net', to: ['anna@example.org', 'ben@example.org'] })
    await house.receive({ from: 'x@else.example', to: ['ben@example.org'] })
    assert.equal((await house.mails('anna')).length, 1)
    assert.equal((await house.mails('ben')).length, 1, 'what the rule threw away never arrived')
  })

  test('null sender, postmaster and accounts are patterns of their own', async (t) => {
    const house = await openHouse(
      t,
      routed({
        routes: [
          { sender: ['<>'], recipient: ['ben@example.org'], reject: { code: 550, text: 'No notifications' } },
          { recipient: ['postmaster'], reject: { code: 450, enhanced: '4.7.1', text: 'Later' } },
        ],
      }),
    )
    await assert.rejects(
      house.receive({ from: '', to: ['ben@example.org'] }),
      refusal(550, '5.7.0', /No notifications/),
    )
    await assert.rejects(house.receive({ to: ['PostMaster@example.org'] }), refusal(450, '4.7.1', /Later/))
    await house.receive({ to: ['ben@example.org'] })
  })

  test('a refusal for one recipient leaves the others alone, and no target begun for it gets the mail', async (t) => {
    const house = await openHouse(t, routed({ routes: [{ recipient: ['ben@example.org'], reject: {} }] }))
    const passage = await house.incoming.begin(house.client(), null, {
      body: '7BIT',
      smtpUtf8: false,
      requireTls: false,
    })
    const to = async (local: string): Promise<void> => {
      const address = MailAddress.of(local, 'example.org')
      assert.ok(address)
      await passage.recipient(address, {})
    }
    await assert.rejects(to('ben'), refusal(554, '5.7.0'))
    await to('anna')
    await passage.data(Message.of(Buffer.from('From: a@b.example\r\n\r\n')))
    assert.equal((await house.mails('anna')).length, 1)
    assert.deepEqual(await house.mails('ben'), [])
  })

  test('one of several targets that cannot take the mail now gets it from the queue; the others do not get it twice', async (t) => {
    const taken: string[] = []
    const answers: (SmtpError | undefined)[] = [new SmtpError(451, '4.3.2', 'not now'), undefined]
    const sink: MailTarget = {
      queued: false,
      begin() {
        const routed: Routed[] = []
        return {
          add: (one) => void routed.push(one),
          body() {},
          commit: async () => {
            const failure = answers.shift()
            if (failure === undefined) taken.push(...routed.map(({ address }) => address.toString()))
            return routed.map((one) => ({ routed: one, failure }))
          },
          abort() {},
        }
      },
    }
    const house = await openHouse(
      t,
      routed({ routes: [{ deliver: ['accounts', 'sink'] }] }, { sink, config: { targets: { sink: true } } }),
    )
    await house.receive({ to: ['anna@example.org'] })
    assert.deepEqual(taken, [])
    await house.pass(10 * 60_000)
    assert.deepEqual(taken, ['anna@example.org'])
    assert.equal((await house.mails('anna')).length, 1)
    assert.deepEqual(await house.waiting(), [])
  })

  test('the null sender is asked for in a table by the empty key', async (t) => {
    const routes = [{ sender: [{ table: 'static/nobody' }], reject: { text: 'No notifications' } }]
    const house = await openHouse(t, routed({ routes }, { tables: { 'static/nobody': { entries: { '': 'yes' } } } }))
    await assert.rejects(house.receive({ from: '', to: ['anna@example.org'] }), refusal(554, '5.7.0', /notifications/))
    await house.receive({ to: ['anna@example.org'] })
  })

  test('rules within a rule; spelling of addresses does not matter', async (t) => {
    const house = await openHouse(
      t,
      routed({
        routes: [
          {
            sender: ['BÜCHER.example'],
            routes: [{ recipient: ['ANNA@EXAMPLE.ORG'], reject: { text: 'Too many books' } }],
          },
        ],
      }),
    )
    await assert.rejects(
      house.receive({ from: 'x@xn--bcher-kva.example', to: ['Anna@example.org'] }),
      refusal(554, '5.7.0', /books/),
    )
    await house.receive({ from: 'x@xn--bcher-kva.example', to: ['ben@example.org'] })
  })

  test('our accounts get a copy beside other targets: mailboxes, and what aliases lead to', async (t) => {
    const seen: string[] = []
    const sink: MailTarget = {
      queued: false,
      begin() {
        const all: Routed[] = []
        return {
          add: (one) => void all.push(one),
          body() {},
          commit: async () =>
            all.map((one) => (seen.push(one.address.toString()), { routed: one, failure: undefined })),
          abort() {},
        }
      },
    }
    const house = await openHouse(
      t,
      routed({ routes: [{ deliver: ['sink', 'accounts'] }] }, { sink, config: { targets: { sink: true } } }),
    )
    house.fake.aliases.set('team@example.org', ['anna@example.org', 'ben@example.org'])
    await house.receive({ to: ['team@example.org', 'carl@example.org'] })
    assert.deepEqual(seen, ['team@example.org', 'carl@example.org'])
    for (const one of ['anna', 'ben', 'carl']) assert.equal((await house.mails(one)).length, 1, one)
    await assert.rejects(house.receive({ to: ['zoe@example.org'] }), refusal(550, '5.1.1'))
    assert.equal(seen.length, 2, 'whom the accounts do not know is refused, with no copy for the others')
  })

  test('a table decides; one that cannot be asked means later, never the next rule (X-03)', async (t) => {
    const house = await openHouse(
      t,
      routed(
        { routes: [{ sender: [{ table: 'static/spammers' }], reject: { text: 'On the list' } }] },
        { tables: { 'static/spammers': { entries: { 'bad@example.net': '', 'worse.example': '' } } } },
      ),
    )
    for (const from of ['Bad@example.net', 'anybody@worse.example'])
      await assert.rejects(house.receive({ from, to: ['anna@example.org'] }), refusal(554, '5.7.0', /On the list/))
    await house.receive({ from: 'good@example.net', to: ['anna@example.org'] })
    house.fake.broken = true
    await assert.rejects(house.receive({ from: 'good@example.net', to: ['anna@example.org'] }), refusal(451, '4.3.0'))
  })

  test('a route’s checks see sender, recipient and content, and only mail that takes it', async (t) => {
    const seen: string[] = []
    const check: MailCheck = {
      connection: () => (seen.push('connection'), accept()),
      sender: () => (seen.push('sender'), accept()),
      recipient: (_mail, { address }) => (seen.push(address.local), accept()),
      content: () => (seen.push('content'), reject(550, '5.7.1', 'Not that')),
    }
    const house = await openHouse(
      t,
      routed({ routes: [{ recipient: ['ben@example.org'], checks: { 'test/route': true } }] }, { known: check }),
    )
    await house.receive({ to: ['anna@example.org'] })
    assert.deepEqual(seen, [])
    await assert.rejects(
      house.receive({ to: ['anna@example.org', 'ben@example.org'] }),
      refusal(550, '5.7.1', /Not that/),
    )
    assert.deepEqual(seen, ['connection', 'sender', 'ben', 'content'])
    assert.equal((await house.mails('anna')).length, 1, 'refused for one, refused for all: the client keeps it')
  })

  test('a pipeline within: it sees the addresses as they were rewritten (M-17)', async (t) => {
    const house = await openHouse(
      t,
      routed(
        { routes: [{ recipient: ['old@example.org'], modifiers: { 'test-edit': true }, deliver: ['pipeline/inner'] }] },
        {
          modifierKnown: { recipient: () => [MailAddress.of('anna', 'example.org') as MailAddress] },
          config: { pipelines: { inner: { routes: [{ recipient: ['old@example.org'], reject: {} }] } } },
        },
      ),
    )
    await house.receive({ to: ['old@example.org'] })
    assert.equal((await house.mails('anna')).length, 1)
    await assert.rejects(house.receive({ to: ['ben@example.org', 'nobody@example.org'] }), refusal(550, '5.1.1'))
  })

  test('a pipeline within knows what was found before it: Junk stays Junk, and one field has all results', async (t) => {
    const house = await openHouse(t, {
      check: {
        content({ results }, { header }) {
          if (results.length > 0) return { action: 'accept', results: ['dkim=none'] }
          const odd = header.get('Subject') !== undefined
          return { action: odd ? 'quarantine' : 'accept', why: '', results: ['spf=pass smtp.mailfrom=example.net'] }
        },
      },
      config: {
        incoming: { routes: [{ deliver: ['pipeline/middle'] }] },
        pipelines: {
          middle: { routes: [{ deliver: ['pipeline/inner'] }] },
          inner: { checks: { 'test/inner': true } },
        },
      },
    } as Options)
    const forged = 'Authentication-Results: mail.example.org; spf=fail\r\n'
    await house.receive({ to: ['anna@example.org'], message: `${forged}From: bo@example.net\r\n\r\nHi\r\n` })
    await house.receive({ to: ['anna@example.org'], message: `${forged}Subject: Odd\r\n\r\nHi\r\n` })
    const [mail = '', ...more] = await house.mails('anna')
    const [junk = ''] = await house.mails('anna', 'Junk')
    assert.deepEqual(more, [], 'what a check took for Junk is in no INBOX')
    for (const one of [mail, junk])
      assert.deepEqual(one.match(/^Authentication-Results:.*\r\n(?:\t.*\r\n)*/gm), [
        'Authentication-Results: mail.example.org;\r\n\tspf=pass smtp.mailfrom=example.net;\r\n\tdkim=none\r\n',
      ])
  })

  test('pipelines that send into each other end with later, not with a full stack', async (t) => {
    const house = await openHouse(
      t,
      routed(
        { routes: [{ recipient: ['*'], deliver: ['pipeline/a'] }] },
        {
          config: {
            pipelines: {
              a: { routes: [{ deliver: ['pipeline/b'] }] },
              b: { routes: [{ deliver: ['pipeline/a'] }] },
            },
          },
        },
      ),
    )
    await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.4.6', /circles/))
  })

  test('a target that says nothing of a recipient has not delivered: the client keeps the mail', async (t) => {
    const silent = { queued: false, begin: () => ({ add() {}, body() {}, commit: async () => [], abort() {} }) }
    const house = await openHouse(
      t,
      routed({ routes: [{ deliver: ['sink'] }] }, { sink: silent, config: { targets: { sink: true } } }),
    )
    await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.3.0', /not known/))
  })

  test('a target that is not there keeps the config from starting, and names the nearest', async (t) => {
    await assert.rejects(
      openHouse(t, routed({ routes: [{ deliver: ['mailbx'] }] })),
      /there is no target 'mailbx'; did you mean 'mailbox'/,
    )
    await assert.rejects(
      openHouse(t, routed({ routes: [{ sender: [{ table: 'static/x' }] }] })),
      /there is no table 'static\/x'/,
    )
  })
})

describe('a route that is never reached keeps the config from starting', () => {
  const tables = { 'static/a': { entries: { x: '' } }, 'static/b': { entries: { x: '' } } }
  const opened = (t: Parameters<typeof openHouse>[0], ...fits: readonly object[]) =>
    openHouse(t, routed({ routes: fits.map((one) => ({ ...one, deliver: ['accounts'] })) }, { tables }))
  const hidden: readonly (readonly [story: string, before: object, after: object])[] = [
    ['the same twice, spelled otherwise', { sender: ['Bo@BÜCHER.example'] }, { sender: ['bo@xn--bcher-kva.example'] }],
    ['an address behind its domain', { recipient: ['example.org'] }, { recipient: ['anna@example.org'] }],
    ['a domain behind all', { recipient: ['*'] }, { recipient: ['example.org'], sender: ['example.net'] }],
    ['subdomains of a subdomain', { sender: ['*.example'] }, { sender: ['*.b.example', 'x@c.b.example', 'd.example'] }],
    ['some of several', { sender: ['<>', 'example.net'] }, { sender: ['<>'] }],
    ['anything behind a route for everything', {}, { recipient: ['postmaster'] }],
    ['a table twice', { sender: [{ table: 'static/a' }] }, { sender: [{ table: 'static/a' }], account: ['*'] }],
  ]
  for (const [story, before, after] of hidden)
    test(story, async (t) => {
      await assert.rejects(
        opened(t, { recipient: ['other.example'] }, before, after),
        /this route is never reached: route 2 of the list comes before it and takes all of its mail/,
      )
    })

  test('within a rule as well', async (t) => {
    const inner = { recipient: ['anna@example.org'], reject: {} }
    await assert.rejects(
      openHouse(t, routed({ routes: [{ sender: ['a.example'], routes: [inner, inner] }] })),
      /this route is never reached: route 1 of the list/,
    )
  })

  test('the config file is told to be wrong with the line of it, before anything starts', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'aviso-routes-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'aviso.yaml')
    const text = `hostname: mail.example.org
mail:
  incoming:
    routes:
      - { sender: [example.net], deliver: [mailbx] }
      - { sender: [example.net], reject: {} }
  pipelines:
    inner:
      routes:
        - { recipient: [a.example], routes: [{ deliver: [pipeline/iner] }] }
`
    writeFileSync(file, text)
    await assert.rejects(loadConfig(configSchema, file, { environment: {} }), (error) => {
      assert.ok(error instanceof ConfigError)
      assert.deepEqual(
        error.problems.map(({ line, message }) => `${line}: ${message}`),
        [
          "5: there is no target 'mailbx'; did you mean 'mailbox'?",
          '6: this route is never reached: route 1 of the list comes before it and takes all of its mail',
          "10: there is no target 'pipeline/iner'; did you mean 'pipeline/inner'?",
        ],
      )
      return true
    })
  })

  test('one that is for something else too is not hidden', async (t) => {
    const pairs: readonly (readonly [before: object, after: object])[] = [
      [{ recipient: ['anna@example.org'] }, { recipient: ['example.org'] }],
      [{ recipient: ['anna@example.org'] }, { recipient: ['anna@example.org', 'ben@example.org'] }],
      [{ sender: ['example.net'], recipient: ['example.org'] }, { recipient: ['example.org'] }],
      [{ sender: ['*.example'] }, { sender: ['example', '*.other'] }],
      [{ sender: ['b.example'] }, { sender: ['*.b.example'] }],
      [{ sender: ['<>'] }, { sender: ['*'] }],
      [{ recipient: ['postmaster'] }, { recipient: ['postmaster@example.org'] }],
      [{ sender: [{ table: 'static/a' }] }, { sender: [{ table: 'static/b' }] }],
    ]
    for (const [before, after] of pairs) await opened(t, before, after)
  })
})

describe('what checks may do', () => {
  const once = (check: MailCheck): Options => ({ check })

  test('results of all checks become one Authentication-Results field, on top', async (t) => {
    const house = await openHouse(
      t,
      once({
        sender: () => ({ action: 'accept', results: ['spf=pass smtp.mailfrom=example.net'] }),
        content: () => ({ action: 'accept', results: ['dkim=none'] }),
      }),
    )
    await house.receive({ to: ['anna@example.org'] })
    const [mail = ''] = await house.mails('anna')
    assert.match(
      mail,
      /^Return-Path: <bo@example.net>\r\nAuthentication-Results: mail.example.org;\r\n\tspf=pass smtp.mailfrom=example.net;\r\n\tdkim=none\r\nReceived: /,
    )
  })

  test('edits: fields added on top and at the end, changed and taken out; another body', async (t) => {
    const house = await openHouse(
      t,
      once({
        content: (_mail, message) => ({
          action: 'accept',
          edit: {
            prepend: ['X-Spam: no'],
            append: ['X-Last: 1'],
            remove: ['X-Gone'],
            change: [
              { name: 'X-Twice', index: 2, value: 'changed' },
              { name: 'X-Never', index: 1, value: 'x' },
            ],
          },
          message: message.withBody(Buffer.from('Another.\r\n')),
        }),
      }),
    )
    await house.receive({
      to: ['anna@example.org'],
      message: 'X-Twice: 1\r\nX-Gone: 1\r\nX-Twice: 2\r\nSubject: S\r\n\r\nBody\r\n',
    })
    const [mail = ''] = await house.mails('anna')
    assert.match(
      mail,
      /\r\nX-Spam: no\r\nX-Twice: 1\r\nX-Twice: changed\r\nSubject: S\r\nX-Last: 1\r\n\r\nAnother.\r\n$/,
    )
  })

  test('discard: the client is told yes, nobody gets anything', async (t) => {
    const house = await openHouse(t, once({ content: () => ({ action: 'discard', why: 'a virus' }) }))
    await house.receive({ to: ['anna@example.org'] })
    assert.deepEqual(await house.mails('anna'), [])
    assert.deepEqual(await house.waiting(), [])
  })

  test('recipients added and taken out after the content was seen', async (t) => {
    const ben = MailAddress.of('ben', 'example.org')
    const anna = MailAddress.of('anna', 'example.org')
    assert.ok(ben)
    assert.ok(anna)
    const house = await openHouse(t, once({ content: () => ({ action: 'accept', add: [ben], remove: [anna] }) }))
    await house.receive({ to: ['anna@example.org', 'carl@example.org'] })
    assert.deepEqual(await house.mails('anna'), [])
    assert.equal((await house.mails('ben')).length, 1)
    assert.equal((await house.mails('carl')).length, 1)
  })

  test('another reverse-path counts for every copy, for what is sent on or goes through another pipeline too', async (t) => {
    const sender = MailAddress.of('new', 'example.org')
    assert.ok(sender)
    const house = await openHouse(t, {
      check: { content: () => ({ action: 'accept', sender }) },
      config: {
        incoming: { routes: [{ recipient: ['ben@example.org'], deliver: ['pipeline/in'] }] },
        pipelines: { in: {} },
      },
      dns: { 'example.com': { fails: 'SERVFAIL' } },
    })
    house.fake.aliases.set('away@example.org', ['zoe@example.com'])
    await house.receive({ to: ['anna@example.org', 'ben@example.org', 'away@example.org'] })
    assert.match((await house.mails('anna'))[0] ?? '', /^Return-Path: <new@example\.org>/)
    assert.match((await house.mails('ben'))[0] ?? '', /^Return-Path: <new@example\.org>/)
    assert.equal((await house.queue.list({}, 1))[0]?.sender, 'new@example.org', 'ours needs no SRS')
  })

  test('a finding is made once for a mail, the connection is judged once a session', async (t) => {
    let made = 0
    let met = 0
    const costly = finding<number>('costly')
    const house = await openHouse(
      t,
      once({
        connection: () => (met++, accept()),
        async sender(mail) {
          return accept(String(await mail.once(costly, async () => ++made)))
        },
        async content(mail) {
          return accept(String(await mail.once(costly, async () => ++made)))
        },
      }),
    )
    await house.receive({ to: ['anna@example.org'] })
    await house.receive({ to: ['anna@example.org'] })
    assert.equal(made, 2)
    assert.equal(met, 1)
  })
})

describe('the standard config', () => {
  test('judges senders by what their domains publish, and writes down what it found', async (t) => {
    const house = await openHouse(t, {
      standard: true,
      dns: {
        'example.net': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] },
        '_dmarc.example.net': { TXT: ['v=DMARC1; p=reject'] },
      },
    })
    await house.receive({ to: ['anna@example.org'] })
    const [mail = ''] = await house.mails('anna')
    assert.match(
      mail,
      /Authentication-Results: mail\.example\.org;[^]*spf=pass[^]*dkim=none[^]*dmarc=pass[^]*Received: /,
    )
    await assert.rejects(
      house.receive({ to: ['anna@example.org'], client: { remoteAddress: '198.51.100.9' } }),
      refusal(550, '5.7.1', /DMARC/),
    )
    // Programs on this machine are judged by their administrator.
    await house.receive({ to: ['anna@example.org'], client: { remoteAddress: '127.0.0.1' } })
    assert.equal((await house.mails('anna')).length, 2)
  })

  test('a DNS that does not answer means later, not yes and not no', async (t) => {
    const house = await openHouse(t, { standard: true, dns: { 'example.net': { fails: 'SERVFAIL' } } })
    await assert.rejects(house.receive({ to: ['anna@example.org'] }), refusal(451, '4.7.24'))
    assert.deepEqual(await house.mails('anna'), [])
  })
})

describe('what a program on this machine hands in', () => {
  const own = (body: string) => ({
    from: 'anna@example.org',
    to: ['ben@example.org'],
    message: Buffer.from(`From: anna@example.org\nSubject: x\n\n${body}`, 'latin1'),
  })

  test('has CRLF before it is looked at and signed, and is held to the rules of all other mail', async (t) => {
    const house = await openHouse(t, { config: { 'max-message-size': 200_000 } })
    await house.transport.send(own('one\ntwo\n'))
    const [text = ''] = await house.mails('ben')
    assert.ok(text.endsWith('\r\nSubject: x\r\n\r\none\r\ntwo\r\n'))
    const hash = createHash('sha256').update('one\r\ntwo\r\n').digest('base64')
    assert.ok(text.replaceAll(/\s/g, '').includes(`bh=${hash};`), text)
    for (const [body, told] of [
      ['a\0b\n', /NUL/],
      ['x'.repeat(70_000), /A line has more than 65536/],
      ['x\n'.repeat(150_000), /exceeds the limit of 200000/],
    ] as const)
      await assert.rejects(house.transport.send(own(body)), told)
    assert.equal((await house.mails('ben')).length, 1)
  })
})

describe('the story of a mail', () => {
  test('tells who decided what, by id and by address', async (t) => {
    const house = await openHouse(t, {
      check: {
        content: () => ({ action: 'quarantine', why: 'looks odd' }),
        recipient: (_mail, { address }) => (address.local === 'ben' ? reject(550, '5.7.1', 'Not him') : accept()),
      },
    })
    const id = await house.receive({ to: ['anna@example.org'] })
    const story = await house.stories.byId(id)
    assert.equal(story?.outcome, 'quarantined')
    assert.equal(story?.sender, 'bo@example.net')
    assert.deepEqual(
      story?.steps.map(({ stage, by, did, why }) => [stage, by, did, why].filter((part) => part !== undefined)),
      [
        ['route', 'accounts', 'to mailbox'],
        ['content', 'test', 'quarantine', 'looks odd'],
        ['delivery', 'mailbox', 'delivered'],
      ],
    )
    await assert.rejects(house.receive({ to: ['ben@example.org'] }))
    const [about] = await house.stories.byAddress('ANNA@example.org', 10)
    assert.equal(about?.id, id)
    const [sent] = await house.stories.byAddress('bo@example.net', 10)
    assert.deepEqual(sent, story, 'by its sender too: with all its recipients')
  })

  test('a refused mail has one too, and stories are forgotten in time', async (t) => {
    const house = await openHouse(t, {
      check: { sender: () => reject(550, '5.7.1', 'Not you') },
      config: { stories: '2h' },
    })
    await assert.rejects(house.receive({ from: 'x@evil.example', to: ['anna@example.org'] }), refusal(550, '5.7.1'))
    const [story] = await house.stories.byAddress('x@evil.example', 1)
    assert.equal(story?.outcome, 'rejected')
    assert.deepEqual(story?.steps.at(-1)?.did, '550 5.7.1')
    await house.pass(3_600_000)
    assert.equal((await house.stories.byAddress('x@evil.example', 1)).length, 1)
    await house.pass(3 * 3_600_000)
    assert.deepEqual(await house.stories.byAddress('x@evil.example', 1), [])
  })

  test('simulating asks programs outside of the server only when it is told to: they may remember the mail', async (t) => {
    // Nobody is there: whoever is asked defers the mail.
    const address = '127.0.0.1:1'
    const checks = {
      rspamd: { url: `http://${address}` },
      milter: { address },
      clamav: { address },
      command: { command: '/nowhere' },
    }
    const names = Object.keys(checks)
    const house = await openHouse(t, {
      config: {
        incoming: {
          checks,
          routes: [{ recipient: ['anna@example.org'], checks: { 'command/again': { command: '/nowhere' } } }],
        },
      },
    })
    const supposed = { from: 'bo@example.net', to: ['anna@example.org'] }
    const { refusal: none, steps } = await house.transport.simulate(supposed)
    assert.equal(none, undefined)
    assert.deepEqual(
      steps.filter(({ did }) => did === 'not asked').map(({ by }) => by),
      [...names, 'command/again'],
      'each once',
    )
    for (const name of names) {
      const one = {
        ...checks,
        ...Object.fromEntries(names.filter((other) => other !== name).map((other) => [other, false])),
      }
      const asking = await openHouse(t, { config: { incoming: { checks: one } } })
      assert.equal((await asking.transport.simulate(supposed)).refusal, undefined)
      const { refusal: told, steps: asked } = await asking.transport.simulate({ ...supposed, external: true })
      assert.equal(told?.code, 451, name)
      assert.ok(
        asked.some(({ by, did }) => by === name && did.startsWith('defer')),
        name,
      )
    }
  })

  test('simulating goes through the pipelines that a route leads into, with their checks of the content', async (t) => {
    const sorted = (local: string) => ({ recipient: [`${local}@example.org`], deliver: ['pipeline/inner'] })
    const house = await openHouse(t, {
      known: {
        async content(_mail, message) {
          const bad = Buffer.from(await message.whole()).includes('evil')
          return bad ? reject(550, '5.7.1', 'That is evil') : accept('harmless')
        },
      },
      config: {
        incoming: { routes: [sorted('anna')] },
        pipelines: { inner: { checks: { test: true, command: { command: '/nowhere' } } } },
      },
    })
    const fine = await house.transport.simulate({ from: 'bo@example.net', to: ['anna@example.org'] })
    assert.equal(fine.refusal, undefined)
    const told = fine.steps.map(({ by, did }) => `${by}: ${did}`)
    assert.ok(
      told.includes('pipeline/inner test: accept') && told.includes('pipeline/inner command: not asked'),
      told.join('\n'),
    )
    assert.deepEqual(await house.mails('anna'), [])
    const message = Buffer.from('From: bo@example.net\r\n\r\nevil\r\n')
    const evil = { from: 'bo@example.net', to: ['anna@example.org'], message }
    assert.equal((await house.transport.simulate(evil)).refusal?.code, 550)
    const partly = await house.transport.simulate({ ...evil, to: ['anna@example.org', 'ben@example.org'] })
    assert.equal(partly.refusal, undefined, 'ben would have it')
    assert.ok(partly.steps.some(({ by, did }) => by === 'pipeline/inner test' && did === 'reject 550 5.7.1'))
    await assert.rejects(house.receive({ to: evil.to, message: message.toString() }), refusal(550, '5.7.1'))
  })

  test('is read from the journal of a former edition, which had it in another form', async (t) => {
    const house = await openHouse(t)
    const steps = [{ after: 1, stage: 'delivery', by: 'mailbox', did: 'delivered' }] as const
    const story = {
      id: 'of-before',
      at: house.clock.now(),
      pipeline: 'incoming',
      protocol: 'smtp',
      session: 's',
      remoteAddress: '192.0.2.1',
      account: '',
      sender: 'bo@example.net',
      recipients: ['anna@example.org'],
      size: 10,
      outcome: 'accepted',
      steps,
    } as const
    const calls = house.real.service(storyStore, STORIES)
    await calls.tell({ told: [story], more: [{ id: 'of-before', steps }] })
    assert.deepEqual(await house.stories.byId('of-before'), { ...story, steps: [...steps, ...steps] })
  })

  test('simulating asks everybody and changes nothing', async (t) => {
    const simulated: boolean[] = []
    const house = await openHouse(t, { check: { sender: (mail) => (simulated.push(mail.simulated), accept('fine')) } })
    const answer = await house.transport.simulate({ from: 'bo@example.net', to: ['anna@example.org', 'x@example.org'] })
    assert.equal(answer.refusal, undefined)
    assert.deepEqual(simulated, [true])
    assert.ok(answer.steps.some(({ by, why }) => by === 'test' && why === 'fine'))
    assert.ok(answer.steps.some(({ did, recipient }) => did === '550 5.1.1' && recipient === 'x@example.org'))
    assert.deepEqual(await house.mails('anna'), [])
    assert.deepEqual(await house.stories.byAddress('anna@example.org', 1), [])
    const refused = await house.transport.simulate({ from: '', to: ['x@elsewhere.example'] })
    assert.deepEqual(refused.refusal?.code, 550)
    assert.match(refused.refusal?.text ?? '', /relaying needs a login/)
  })
})
