// Rules of the administrator's, as those see them whose stanzas they meet.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { el, type Element, Jid } from '@aviso/xmpp'
import { configSchema } from '../../src/config.ts'
import { checkConfig, inlineSource } from '../../src/kernel/config/load.ts'
import { rosterStore } from '../../src/chat/core/roster.store.ts'
import { reportsStore } from '../../src/chat/features/reports.store.ts'
import { RuleDesk, tryRules } from '../../src/chat/rules/desk.ts'
import { Tables } from '../../src/accounts/tables/contracts.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { House, short } from './house.ts'

const houses: House[] = []
const open = async (rules: object, options: NonNullable<Parameters<typeof House.open>[0]> = {}): Promise<House> => {
  const house = await House.open({ ...options, featureConfig: { rules, ...options.featureConfig } })
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CLEO = 'cleo@example.net'

const says = (to: string, body: string, more = ''): string =>
  `<message type='chat' to='${to}'><body>${body}</body>${more}</message>`

test('without rules nothing is asked', async () => {
  const house = await open({})
  assert.equal(house.chat.points.entering.empty, true)
})

test('words that Anna does not say: bounced with the condition and the words of the rule; all else goes on', async () => {
  const { log, lines } = recordingLog('info')
  const house = await open(
    {
      rules: [
        {
          name: 'no pills',
          if: { kind: ['message'], from: ['example.org'], contains: ['PILLS'] },
          unless: { to: [CLEO] },
          do: { bounce: { condition: 'not-acceptable', text: 'not here' } },
        },
        { name: 'no numbers', if: { matches: ['\\b\\d{4,}\\b'] }, do: { drop: true } },
      ],
    },
    { log },
  )
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const cleo = await house.arrive(CLEO, 'town')
  anna.send(says(BERT, 'cheap pills'))
  anna.send(says(CLEO, 'cheap pills'))
  anna.send(says(BERT, 'call 123 today'))
  anna.send(says(BERT, 'call 12345 today'))
  const [bounce, ...more] = (await anna.sync(), anna.clear())
  assert.equal(short(bounce as Element), `message error ${BERT} not-acceptable`)
  assert.match(bounce?.child('error')?.toString() ?? '', /not here/)
  assert.equal(more.length, 0, 'what is dropped is not answered')
  assert.deepEqual(await bert.news(), [`message chat ${ANNA}/sea 'call 123 today'`])
  assert.deepEqual(await cleo.news(), [`message chat ${ANNA}/sea 'cheap pills'`])
  assert.deepEqual(
    lines.filter(({ msg }) => msg === 'a rule has decided').map(({ rule, action }) => [rule, action]),
    [
      ['no pills', 'bounce'],
      ['no numbers', 'drop'],
    ],
  )
  const metrics = await house.root.metrics.text()
  assert.match(metrics, /aviso_chat_rules_total\{rule="no pills",action="bounce"\} 1/)
})

test('long texts do not get past an expression, nor slow it down; what is too long for it is caught by its size', async () => {
  const house = await open({
    rules: [
      { name: 'bait', if: { matches: ['(a+)+win (?:big|more)$', 'prize'] }, do: { drop: true } },
      { name: 'size', if: { 'larger-than': '12KiB' }, do: { bounce: {} } },
    ],
  })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.send(says(BERT, `${'a'.repeat(4500)} prize`))
  anna.send(says(BERT, `${'a'.repeat(4500)}win big`))
  anna.send(says(BERT, 'a'.repeat(14_000)))
  anna.send(says(BERT, 'short'))
  assert.deepEqual(await anna.news(), [`message error ${BERT} policy-violation`])
  assert.deepEqual(await bert.news(), [`message chat ${ANNA}/sea 'short'`])
})

test('a rate is counted when all else holds, for each sender apart', async () => {
  const house = await open({
    rules: [
      {
        name: 'slow',
        if: { kind: ['message'], to: [CLEO], rate: { rate: 2, per: '1m' } },
        do: { bounce: { condition: 'resource-constraint' } },
      },
    ],
  })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const cleo = await house.arrive(CLEO, 'town')
  for (const peer of [anna, bert]) {
    for (let n = 0; n < 5; n++) peer.send(says(ANNA, 'not for Cleo'))
    for (let n = 1; n <= 3; n++) peer.send(says(CLEO, String(n)))
    const refused = (await peer.news()).filter((line) => line.includes('error'))
    assert.deepEqual(refused, [`message error ${CLEO} resource-constraint`])
  }
  assert.equal((await cleo.news()).length, 4)
  house.clock.turn(60_000)
  anna.send(says(CLEO, 'later'))
  await anna.sync()
  assert.deepEqual(await cleo.news(), [`message chat ${ANNA}/sea 'later'`])
})

test('marks, stripped payloads, copies, reports and another address', async () => {
  const house = await open({
    zones: { staff: [CLEO] },
    rules: [
      { name: 'seen', if: { from: [{ zone: 'staff' }] }, do: { pass: true } },
      {
        name: 'bad',
        if: { contains: ['spam'] },
        do: { mark: { name: 'spammer', for: '1h' }, report: 'spam', drop: true },
      },
      { name: 'marked', if: { marked: ['spammer'], kind: ['message'] }, do: { copy: CLEO, redirect: CLEO } },
      { name: 'plain', if: { payload: ['urn:x'] }, do: { strip: ['{urn:x}y'] } },
    ],
  })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const cleo = await house.arrive(CLEO, 'town')
  anna.send(says(BERT, 'one', `<y xmlns='urn:x'/><z xmlns='urn:x'/>`))
  await anna.sync()
  const [first] = (await bert.sync(), bert.clear())
  assert.equal(first?.child('y', 'urn:x'), undefined)
  assert.ok(first?.child('z', 'urn:x'))
  anna.send(says(BERT, 'spam'))
  anna.send(says(BERT, 'spam again'))
  anna.send(says(BERT, 'after it'))
  await anna.sync()
  assert.deepEqual(await bert.news(), [])
  const got = (await cleo.sync(), cleo.clear())
  assert.deepEqual(got.map(short).sort(), [`message chat ${ANNA}/sea 'after it'`, 'message normal example.org'])
  const copy = got.find((message) => message.get('type') === 'normal')
  assert.match(copy?.toString() ?? '', /forwarded.*to='bert@example\.org'.*after it/)
  cleo.send(says(BERT, 'spam, says Cleo'))
  await cleo.sync()
  assert.equal((await bert.news()).length, 1, 'a rule that lets pass ends the matter')
  const reports = await house.store.core(reportsStore).list({ before: 9e15, limit: 10 })
  assert.deepEqual(
    reports.map(({ reported, reporter, reason, text }) => [reported, reporter, reason, text]),
    [[ANNA, BERT, 'urn:xmpp:reporting:spam', 'rule bad']],
    'once an hour',
  )
  house.clock.turn(3_600_001)
  anna.send(says(BERT, 'forgiven'))
  await anna.sync()
  assert.deepEqual(await bert.news(), [`message chat ${ANNA}/sea 'forgiven'`])
})

test('who is in the roster may do more; the roster is asked whether its owner is here or not', async () => {
  const house = await open({
    rules: [
      {
        name: 'contacts only',
        if: { kind: ['message'], 'in-roster': false },
        do: { bounce: { condition: 'subscription-required' } },
      },
      {
        name: 'friends',
        if: { kind: ['iq'], type: ['get'], to: [BERT], subscription: ['none', 'to'] },
        do: { bounce: {} },
      },
    ],
  })
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const cleo = await house.arrive(CLEO, 'town')
  for (let round = 0; round < 2; round++) {
    anna.send(says(BERT, 'hello'))
    assert.deepEqual(await anna.news(), [])
    cleo.send(says(BERT, 'hello'))
    assert.deepEqual(await cleo.news(), [`message error ${BERT} subscription-required`])
    if (round > 0) break
    await house.arrive(BERT, 'hill')
    await anna.news()
  }
  await assert.rejects(cleo.request('get', `<ping xmlns='urn:xmpp:ping'/>`, BERT), { condition: 'policy-violation' })
})

test('the time of day, and the account’s role', async () => {
  const house = await open({
    rules: [
      {
        name: 'night',
        if: { kind: ['message'], role: ['user'], time: { from: '22:00', to: '06:00' } },
        do: { bounce: {} },
      },
    ],
  })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const at = (hours: number, minutes: number): void => {
    const now = new Date(house.clock.now())
    const then = new Date(now)
    then.setHours(hours, minutes, 0, 0)
    if (then <= now) then.setDate(then.getDate() + 1)
    house.clock.turn(then.getTime() - now.getTime())
  }
  const heard: number[] = []
  for (const [hours, minutes] of [
    [21, 59],
    [22, 0],
    [5, 59],
    [6, 0],
  ] as const) {
    at(hours, minutes)
    anna.send(says(BERT, 'hello'))
    await anna.sync()
    heard.push((await bert.news()).length)
  }
  assert.deepEqual(heard, [1, 0, 0, 1])
})

test('the days of the week', async () => {
  const house = await open({
    rules: [{ name: 'weekend', if: { kind: ['message'], time: { days: ['saturday', 'sunday'] } }, do: { bounce: {} } }],
  })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const heard: [day: number, count: number][] = []
  for (let day = 0; day < 7; day++) {
    anna.send(says(BERT, 'hello'))
    await anna.sync()
    heard.push([new Date(house.clock.now()).getDay(), (await bert.news()).length])
    house.clock.turn(86_400_000)
  }
  assert.deepEqual(
    heard.toSorted(([one], [other]) => one - other),
    [
      [0, 0],
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 1],
      [5, 1],
      [6, 0],
    ],
  )
})

test('a subscription request and a broadcast presence are met by rules as well', async () => {
  const house = await open({
    rules: [
      {
        name: 'no requests',
        if: { kind: ['presence'], type: ['subscribe'], to: ['*.net', 'example.net'] },
        do: { bounce: {} },
      },
      { name: 'no show', if: { kind: ['presence'], type: ['available'], contains: ['boo'] }, do: { drop: true } },
    ],
  })
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.clear()
  anna.send(`<presence type='subscribe' to='${CLEO}'/>`)
  assert.deepEqual(await anna.news(), [`presence error ${CLEO} policy-violation`])
  anna.send('<presence><status>boo</status></presence>')
  await anna.sync()
  assert.deepEqual(await bert.news(), [])
  anna.send('<presence/>')
  await anna.sync()
  assert.deepEqual(await bert.news(), [`presence ${ANNA}/sea`])
})

test('a table that cannot be asked lets nothing through: try again later', async () => {
  let answer: () => Promise<readonly string[]> = async () => []
  const house = await House.open({ features: [] })
  houses.push(house)
  house.root.provide(Tables, { get: () => ({ lookup: async (key) => (key === BERT ? answer() : []) }) })
  const rules = { rules: [{ name: 'listed', if: { to: [{ table: 'sql/bad' }] }, do: { drop: true } }] }
  await house.reload({ featureConfig: { rules } })
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.send(says(BERT, 'first'))
  assert.deepEqual(await anna.news(), [])
  answer = async () => ['']
  anna.send(says(BERT, 'second'))
  assert.deepEqual(await anna.news(), [])
  answer = () => Promise.reject(new Error('no database'))
  anna.send(says(BERT, 'third'))
  const [refusal] = (await anna.sync(), anna.clear())
  assert.equal(refusal?.child('error')?.get('type'), 'wait')
  answer = async () => []
  assert.deepEqual(await bert.news(), [`message chat ${ANNA}/sea 'first'`])
})

test('towards other servers: presence that the server sends in the name of a client is seen, once', async () => {
  const house = await open({
    rules: [{ name: 'hidden', if: { direction: ['out'], to: ['other.example'] }, do: { drop: true } }],
  })
  const gone: string[] = []
  house.chat.points.remote.add(({ stanza }) => {
    gone.push(`${stanza.name} ${stanza.get('to') ?? ''}`)
    return 'handled'
  })
  await house.store.account(rosterStore, 'idannaexampleorg').import({
    items: ['x@other.example', 'y@else.example'].map((contact) => ({ contact, name: '' })),
  })
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(says('x@other.example', 'hello'))
  anna.send(says('Y@else.example', 'hello'))
  anna.send(`<presence type='subscribe' to='z@else.example'/>`)
  await anna.sync()
  assert.deepEqual(gone, [
    'presence y@else.example',
    'presence y@else.example',
    'message y@else.example',
    'presence z@else.example',
  ])
  const text = await house.root.metrics.text()
  // Presence, probe and message for x.
  assert.match(text, /aviso_chat_rules_total\{rule="hidden",action="drop"\} 3/)
})

test('from other servers: bounced to their sender before the account is looked up', async () => {
  const house = await open({
    zones: { away: ['*.bad.example', 'eve@evil.example'] },
    rules: [
      { name: 'away', if: { direction: ['in'], from: [{ zone: 'away' }] }, do: { bounce: { condition: 'forbidden' } } },
    ],
  })
  const anna = await house.arrive(ANNA, 'sea')
  const told: string[] = []
  const receive = async (from: string, to: string): Promise<void> => {
    const message = el('message', { from, to, type: 'chat' }, el('body', {}, 'hi'))
    await house.chat.receive(message, { jid: Jid.parse(from), reply: (answer) => void told.push(short(answer)) })
  }
  await receive('x@much.bad.example/x', ANNA)
  await receive('eve@evil.example/x', 'nobody@example.org')
  await receive('ron@evil.example/x', ANNA)
  await receive('x@bad.example/x', ANNA)
  assert.deepEqual(told, [`message error ${ANNA} forbidden`, 'message error nobody@example.org forbidden'])
  assert.equal((await anna.news()).length, 2)
})

test('a stanza that nobody sent: which rule decides, and why the others do not', async () => {
  const house = await open({})
  const supposed = { stanza: '<message><body>buy</body></message>', from: 'x@bad.example', to: ANNA }
  await assert.rejects(tryRules(house.generation.scope.use(RuleDesk), supposed), { code: 'not-found' })
  const rules = [
    { name: 'friends', if: { 'in-roster': true }, do: { pass: true } },
    { name: 'hm', if: { direction: ['in'] }, do: { mark: { name: 'far', for: '1h' }, log: 'from afar' } },
    { name: 'buyers', if: { marked: ['far'], contains: ['buy'] }, do: { bounce: {} } },
  ]
  await house.reload({ featureConfig: { rules: { rules } } })
  const desk = house.generation.scope.use(RuleDesk)
  assert.deepEqual(await tryRules(desk, supposed), {
    steps: [
      { rule: 'friends', did: [], why: 'in-roster' },
      { rule: 'hm', did: ["log 'from afar'", 'mark far'] },
      { rule: 'buyers', did: ['bounce with policy-violation'] },
    ],
    rule: 'buyers',
    end: 'bounce with policy-violation',
  })
  const other = await tryRules(desk, { ...supposed, stanza: '<message/>', from: BERT })
  assert.deepEqual([other.rule, other.end], [null, 'pass'])
  for (const wrong of [{ stanza: '<message>' }, { stanza: '<x/>' }, { from: '@' }])
    await assert.rejects(tryRules(desk, { ...supposed, ...wrong }), { code: 'invalid' })
})

test('a domain with rules of its own: those of the sender, of what comes from afar those of the recipient', async () => {
  const bounce = (condition: string): object => ({
    rules: [{ name: condition, if: { kind: ['message'] }, do: { bounce: { condition } } }],
  })
  const house = await House.open({
    featureConfig: { rules: bounce('forbidden') },
    hosts: { 'example.net': { featureConfig: { rules: bounce('not-allowed') } } },
  })
  houses.push(house)
  const anna = await house.arrive(ANNA, 'sea')
  const cleo = await house.arrive(CLEO, 'town')
  anna.send(says(CLEO, 'hi'))
  assert.deepEqual(await anna.news(), [`message error ${CLEO} forbidden`])
  cleo.send(says(ANNA, 'hi'))
  assert.deepEqual(await cleo.news(), [`message error ${ANNA} not-allowed`])
  const told: string[] = []
  for (const to of [ANNA, CLEO]) {
    const message = el('message', { from: 'eve@evil.example', to }, el('body', {}, 'hi'))
    await house.chat.receive(message, {
      jid: Jid.parse('eve@evil.example'),
      reply: (answer) => void told.push(short(answer)),
    })
  }
  assert.deepEqual(told, [`message error ${ANNA} forbidden`, `message error ${CLEO} not-allowed`])
  const desk = house.generation.scope.use(RuleDesk)
  for (const [from, to, rule] of [
    [ANNA, CLEO, 'forbidden'],
    [CLEO, ANNA, 'not-allowed'],
    ['eve@evil.example', CLEO, 'not-allowed'],
  ] as const)
    assert.equal((await tryRules(desk, { stanza: '<message/>', from, to })).rule, rule)
  await assert.rejects(tryRules(desk, { stanza: '<message/>', from: 'a@b.example', to: 'c@d.example' }), {
    code: 'not-found',
  })
})

test('what is wrong with a rule is told with its place', () => {
  const problems = (rules: object): string => {
    const written = { hostname: 'mail.example.org', chat: { features: { rules } } }
    try {
      checkConfig(configSchema, inlineSource(written))
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
  assert.equal(
    problems({
      zones: { z: ['a.example'] },
      rules: [{ name: 'n', if: { from: [{ zone: 'z' }] }, do: { drop: true } }],
    }),
    '',
  )
  for (const [rule, what] of [
    [{ name: 'n', if: { matches: ['(x'] }, do: { drop: true } }, /rules\.0\.if\.matches.*regular expression/s],
    [{ name: 'n', if: { matches: ['(x)\\1'] }, do: { drop: true } }, /regular expression/],
    [{ name: 'n', do: { drop: true, pass: true } }, /one of pass, drop/],
    [{ name: 'n', do: {} }, /does nothing/],
    [{ name: 'n', if: { from: [{ zone: 'q' }] }, do: { drop: true } }, /there is no zone 'q'/],
    [{ name: 'n', if: { form: ['a.example'] }, do: { drop: true } }, /did you mean 'from'/],
    [{ name: 'n', if: { from: ['@@'] }, do: { drop: true } }, /from/],
    [{ name: 'n', if: { time: { from: '25:00' } }, do: { drop: true } }, /such as "22:30"/],
    [{ name: 'n', do: { bounce: { condition: 'nope' } } }, /condition/],
  ] as const)
    assert.match(problems({ rules: [rule] }), what)
})
