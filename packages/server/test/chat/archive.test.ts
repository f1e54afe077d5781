// The message archive (XEP-0313) as its owner's devices see it.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { el, type Element, NS, readElement, StanzaError } from '@aviso/xmpp'
import * as fc from 'fast-check'
import { archiveStore } from '../../src/chat/archive/archive.store.ts'
import { bodyText, fold, holdsAll, wordsOf } from '../../src/chat/archive/text.ts'
import { readQuery } from '../../src/chat/archive/query.ts'
import { isWorthArchiving } from '../../src/chat/archive/worth.ts'
import { FEATURES, House, type Peer, short } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CLEO = 'cleo@example.net'
const MAM = NS.mam
const say = (to: string, body: string, more = ''): string =>
  `<message type='chat' to='${to}'><body>${body}</body>${more}</message>`
const form = (fields: Readonly<Record<string, string | readonly string[]>>): string =>
  `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${MAM}</value></field>${Object.entries(fields)
    .map(
      ([name, values]) =>
        `<field var='${name}'>${[values]
          .flat()
          .map((value) => `<value>${value}</value>`)
          .join('')}</field>`,
    )
    .join('')}</x>`
const set = (content: string): string => `<set xmlns='http://jabber.org/protocol/rsm'>${content}</set>`

interface Page {
  readonly bodies: readonly string[]
  readonly ids: readonly string[]
  readonly stamps: readonly string[]
  readonly fin: Element
  readonly first: string
  readonly last: string
  readonly count: string | undefined
  readonly index: string | undefined
  readonly complete: boolean
}

/** Asks the archive; other stanzas that come meanwhile are lost. */
async function ask(peer: Peer, content = ''): Promise<Page> {
  peer.clear()
  const result = await peer.request('set', `<query xmlns='${MAM}' queryid='q'>${content}</query>`)
  const results = peer
    .clear()
    .map((message) => message.child('result', MAM))
    .filter((each) => each !== undefined)
  for (const each of results) assert.equal(each.get('queryid'), 'q')
  const forwarded = results.map((each) => each.child('forwarded', NS.forward))
  const fin = result.child('fin', MAM)
  assert.ok(fin !== undefined)
  const page = fin.child('set', 'http://jabber.org/protocol/rsm')
  return {
    bodies: forwarded.map((each) => each?.child('message', NS.client)?.childText('body') ?? '-'),
    ids: results.map((each) => each.get('id') ?? ''),
    stamps: forwarded.map((each) => each?.child('delay', NS.delay)?.get('stamp') ?? ''),
    fin,
    first: page?.childText('first') ?? '',
    last: page?.childText('last') ?? '',
    count: page?.childText('count'),
    index: page?.child('first')?.get('index'),
    complete: fin.get('complete') === 'true',
  }
}
const refused = (condition: string) => (error: unknown) => error instanceof StanzaError && error.condition === condition

/** Anna has said ten things to Bert, a minute apart: `m0` to `m9`. */
async function tenMessages(): Promise<{ readonly house: House; readonly anna: Peer; readonly bert: Peer }> {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  for (let n = 0; n < 10; n++) {
    anna.send(say(BERT, `m${n}`))
    await anna.sync()
    house.clock.turn(60_000)
  }
  return { house, anna, bert }
}
const NINE = ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm7', 'm8', 'm9']

test('both sides have the conversation, each once and under the id that was told', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const hut = await house.arrive(ANNA, 'hut')
  const bert = await house.arrive(BERT, 'hill')
  await hut.request('set', `<enable xmlns='${NS.carbons}'/>`)
  await anna.news()
  anna.send(say(BERT, 'one'))
  const one = await bert.next()
  assert.deepEqual(
    one.childrenNamed('stanza-id', NS.stanzaId).map((id) => id.get('by')),
    [BERT],
    "the id of the sender's archive is not the reader's business",
  )
  const copy = (await hut.next()).child('sent', NS.carbons)?.child('forwarded', NS.forward)?.child('message', NS.client)
  bert.send(say(`${ANNA}/sea`, 'two'))
  const two = await anna.next()
  assert.equal(two.childText('body'), 'two')

  const annas = await ask(anna)
  const berts = await ask(bert)
  assert.deepEqual(
    [annas.bodies, berts.bodies],
    [
      ['one', 'two'],
      ['one', 'two'],
    ],
  )
  assert.equal(berts.ids[0], one.child('stanza-id', NS.stanzaId)?.get('id'))
  assert.equal(annas.ids[0], copy?.child('stanza-id', NS.stanzaId)?.get('id'))
  assert.equal(annas.ids[1], two.child('stanza-id', NS.stanzaId)?.get('id'))
  assert.deepEqual([annas.complete, annas.count, annas.index], [true, '2', '0'])
  assert.deepEqual([annas.first, annas.last], annas.ids)
  // What one says to oneself is there once.
  anna.send(say(ANNA, 'note'))
  await anna.sync()
  assert.deepEqual((await ask(anna, form({ with: ANNA }))).bodies, ['note'])
})

test('ids that claim to be of the archive are taken off, others stay', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const id = (by: string): string => `<stanza-id xmlns='${NS.stanzaId}' by='${by}' id='forged'/>`
  anna.send(say(BERT, 'x', id('BERT@Example.ORG') + id(BERT) + id('room@example.net')))
  const kept = (await bert.next()).childrenNamed('stanza-id', NS.stanzaId)
  assert.deepEqual(
    kept.map((each) => [each.get('by'), each.get('id') === 'forged']),
    [
      ['room@example.net', true],
      [BERT, false],
    ],
  )
  // Also of what is not kept.
  anna.send(say(BERT, 'y', `<no-store xmlns='urn:xmpp:hints'/>${id(BERT)}`))
  assert.deepEqual((await bert.next()).childrenNamed('stanza-id', NS.stanzaId), [])
  assert.deepEqual((await ask(bert)).bodies, ['x'])
})

test('pages: forwards, backwards, by index, flipped, and only the count', async () => {
  const { anna } = await tenMessages()
  const forwards = await ask(anna, set('<max>4</max>'))
  assert.deepEqual(
    [forwards.bodies, forwards.complete, forwards.count, forwards.index],
    [['m0', 'm1', 'm2', 'm3'], false, '10', '0'],
  )
  const second = await ask(anna, set(`<max>4</max><after>${forwards.last}</after>`))
  assert.deepEqual([second.bodies, second.index], [['m4', 'm5', 'm6', 'm7'], '4'])
  const third = await ask(anna, set(`<max>4</max><after>${second.last}</after>`))
  assert.deepEqual([third.bodies, third.complete], [['m8', 'm9'], true])
  const latest = await ask(anna, set('<max>3</max><before/>'))
  assert.deepEqual([latest.bodies, latest.complete, latest.index], [['m7', 'm8', 'm9'], false, '7'])
  const earlier = await ask(anna, `${set(`<max>3</max><before>${latest.first}</before>`)}<flip-page/>`)
  assert.deepEqual(earlier.bodies, ['m6', 'm5', 'm4'])
  assert.deepEqual((await ask(anna, set('<max>2</max><index>6</index>'))).bodies, ['m6', 'm7'])
  const counted = await ask(anna, set('<max>0</max>'))
  assert.deepEqual([counted.bodies, counted.count, counted.complete], [[], '10', false])
  for (const wrong of ['<after>nothing</after>', '<before>nothing</before>', '<index>10</index>'])
    await assert.rejects(ask(anna, set(wrong)), refused('item-not-found'))
  for (const wrong of ['<max>-1</max>', '<max>many</max>', '<index>1e3</index>', '<max></max>'])
    await assert.rejects(ask(anna, set(wrong)), refused('bad-request'))
})

test('pages are as large as the config says, where the client does not, and never larger than it allows', async () => {
  const house = await open({ featureConfig: { archive: { page: 2, 'max-page': 3 } } })
  const anna = await house.arrive(ANNA, 'sea')
  for (let n = 0; n < 5; n++) anna.send(say(BERT, `m${n}`))
  await anna.sync()
  assert.deepEqual((await ask(anna)).bodies, ['m0', 'm1'])
  assert.deepEqual((await ask(anna, set('<max>100</max>'))).bodies, ['m0', 'm1', 'm2'])
})

test('filters: with whom, when, between which, and which', async () => {
  const { house, anna, bert } = await tenMessages()
  bert.send(say(`${ANNA}/sea`, 'answer'))
  anna.send(say(CLEO, 'to Cleo'))
  await Promise.all([anna.sync(), bert.sync()])
  const all = await ask(anna)
  assert.equal(all.bodies.length, 12)
  assert.deepEqual((await ask(anna, form({ with: CLEO }))).bodies, ['to Cleo'])
  assert.deepEqual((await ask(anna, form({ with: `${BERT}/hill` }))).bodies, ['answer'])
  assert.equal((await ask(anna, form({ with: BERT.toUpperCase() }))).bodies.length, 11)
  const [start = '', end = ''] = [all.stamps[3], all.stamps[5]]
  assert.deepEqual((await ask(anna, form({ start, end }))).bodies, ['m3', 'm4', 'm5'])
  assert.deepEqual((await ask(anna, form({ start: '2100-01-01T00:00:00Z' }))).bodies, [])
  assert.deepEqual((await ask(anna, form({ end: '2000-01-01T00:00:00+02:00' }))).bodies, [])
  const [two = '', five = ''] = [all.ids[2], all.ids[5]]
  assert.deepEqual((await ask(anna, form({ 'after-id': two, 'before-id': five }))).bodies, ['m3', 'm4'])
  const within = await ask(anna, form({ 'after-id': two }) + set('<max>2</max><before/>'))
  assert.deepEqual(within.bodies.length, 2)
  assert.deepEqual((await ask(anna, form({ ids: [five, two] }))).bodies, ['m2', 'm5'])
  assert.deepEqual((await ask(anna, form({ 'include-groupchat': 'false', with: CLEO }))).bodies, ['to Cleo'])
  for (const field of ['after-id', 'before-id', 'ids'])
    await assert.rejects(ask(anna, form({ [field]: 'nothing' })), refused('item-not-found'))
  await assert.rejects(ask(anna, form({ start: 'yesterday' })), refused('bad-request'))
  await assert.rejects(ask(anna, form({ with: '@' })), refused('jid-malformed'))
  await assert.rejects(ask(anna, form({ mood: 'bad' })), refused('feature-not-implemented'))
  // Nobody else's archive is shown, and none tells whether there is one.
  await assert.rejects(anna.request('set', `<query xmlns='${MAM}'/>`, BERT), refused('service-unavailable'))
  const ends = (await anna.request('get', `<metadata xmlns='${MAM}'/>`)).child('metadata', MAM)
  assert.deepEqual([ends?.child('start')?.get('id'), ends?.child('end')?.get('id')], [all.ids[0], all.ids.at(-1)])
  assert.equal(ends?.child('start')?.get('timestamp'), all.stamps[0])
  const fields = (await anna.request('get', `<query xmlns='${MAM}'/>`)).child('query', MAM)?.child('x', 'jabber:x:data')
  assert.ok(fields?.childrenNamed('field').some((field) => field.get('var') === 'ids'))
  const cleo = await house.arrive(CLEO, 'x')
  assert.deepEqual((await ask(cleo)).bodies, ['to Cleo'])
})

test('words are found, whatever their case, in pages', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  for (let n = 0; n < 6; n++) anna.send(say(BERT, n % 2 === 0 ? `Grüße &amp; Küsse ${n}` : `nothing ${n}`))
  anna.send(say(CLEO, '<![CDATA[GRÜSSE <b>]]>'))
  const search = (text: string, more = ''): Promise<Page> =>
    ask(anna, form({ '{urn:xmpp:fulltext:0}fulltext': text, ...(more === '' ? {} : { with: more }) }))
  await anna.sync()
  assert.deepEqual((await search('grüße küsse')).bodies, ['Grüße & Küsse 0', 'Grüße & Küsse 2', 'Grüße & Küsse 4'])
  assert.deepEqual((await search('NOTHING 3')).bodies, ['nothing 3'])
  assert.deepEqual((await search('grüße 3')).bodies, [])
  assert.deepEqual((await search('&lt;B&gt;', CLEO)).bodies, ['GRÜSSE <b>'])
  const text = form({ '{urn:xmpp:fulltext:0}fulltext': 'küsse' })
  const latest = await ask(anna, text + set('<max>2</max><before/>'))
  assert.deepEqual([latest.bodies, latest.complete], [['Grüße & Küsse 2', 'Grüße & Küsse 4'], false])
  const rest = await ask(anna, text + set(`<max>2</max><before>${latest.first}</before>`))
  assert.deepEqual([rest.bodies, rest.complete], [['Grüße & Küsse 0'], true])
})

test('a word is found wherever it stands, by any reading of the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme', minLength: 1 }), (before, word) => {
      const body = `${before}${word}`
      const xml = readElement('<message><body/></message>', { xmlns: NS.client, bindings: [] }, LIMITS)
      const message = xml.withChildren(
        readElement('<body/>', { xmlns: NS.client, bindings: [] }, LIMITS).withChildren(body),
      )
      // What XML cannot carry was replaced on the way.
      // oxlint-disable-next-line no-control-regex
      if (/[\0-\x1f\ufffe\uffff\ud800-\udfff]/.test(body)) return
      assert.equal(bodyText(message.toString()), `${body}\n`)
      assert.ok(holdsAll(message.toString(), wordsOf(body).slice(0, 0).concat(fold(body))))
    }),
  )
  fc.assert(fc.property(fc.string(), (xml) => typeof bodyText(xml) === 'string'))
  assert.equal(bodyText('<body>&#x110000;&#99999999;&#65;&nope;</body>'), 'A&nope;\n')
})
const LIMITS = { depth: 20, attributes: 20, prefixes: 5 }

test('any query is understood or refused, and asks for no more than is allowed', () => {
  const word = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.constantFrom('', '0', '7', '-1', '1e9', '99999999999', BERT),
  )
  const names = fc.constantFrom(
    'with',
    'start',
    'end',
    'ids',
    'after-id',
    'before-id',
    'include-groupchat',
    '{urn:xmpp:fulltext:0}fulltext',
    'x',
  )
  const fields = fc.array(fc.tuple(names, fc.array(word, { maxLength: 3 })), { maxLength: 4 })
  const paging = fc.array(fc.tuple(fc.constantFrom('max', 'before', 'after', 'index', 'count'), word), { maxLength: 4 })
  fc.assert(
    fc.property(fields, paging, fc.boolean(), (asked, parts, typed) => {
      const query = el(
        'query',
        { xmlns: MAM },
        el(
          'x',
          { xmlns: 'jabber:x:data', type: 'submit' },
          typed && el('field', { var: 'FORM_TYPE' }, el('value', {}, MAM)),
          ...asked.map(([name, values]) =>
            el('field', { var: name }, ...values.map((value) => el('value', {}, value))),
          ),
        ),
        el('set', { xmlns: 'http://jabber.org/protocol/rsm' }, ...parts.map(([name, value]) => el(name, {}, value))),
      )
      try {
        const { page, filter, words } = readQuery(query, { usual: 50, most: 250 })
        assert.ok(page.max >= 0 && page.max <= 250)
        assert.ok(page.index === undefined || page.index >= 0)
        assert.ok((filter.ids?.length ?? 0) <= 100 && (words?.length ?? 0) <= 10)
        assert.ok(filter.start === undefined || Number.isFinite(filter.start))
      } catch (error) {
        assert.ok(error instanceof StanzaError, String(error))
      }
    }),
  )
})

test('what is worth keeping', () => {
  const cases: readonly [attributes: string, content: string, kept: boolean][] = [
    [`type='chat'`, '<body>b</body>', true],
    ['', '<body>b</body>', true],
    ['', '<subject>s</subject>', true],
    [`type='headline'`, '<body>b</body>', false],
    [`type='groupchat'`, '<body>b</body>', false],
    [`type='error'`, '<body>b</body>', false],
    [`type='chat'`, `<composing xmlns='http://jabber.org/protocol/chatstates'/>`, false],
    [`type='chat'`, `<encrypted xmlns='eu.siacs.conversations.axolotl'/>`, true],
    [`type='chat'`, `<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>`, true],
    [`type='chat'`, `<markable xmlns='urn:xmpp:chat-markers:0'/>`, false],
    [`type='chat'`, `<received xmlns='urn:xmpp:receipts' id='1'/>`, true],
    [`type='chat'`, `<request xmlns='urn:xmpp:receipts'/>`, false],
    [`type='chat'`, `<reactions xmlns='urn:xmpp:reactions:0' id='1'/>`, true],
    [`type='chat'`, `<retract xmlns='urn:xmpp:message-retract:1' id='1'/>`, true],
    [`type='chat'`, `<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>`, true],
    ['', `<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>`, true],
    ['', `<x xmlns='http://jabber.org/protocol/muc#user'/>`, false],
    [`type='chat'`, `<body>b</body><no-store xmlns='urn:xmpp:hints'/>`, false],
    [`type='chat'`, `<body>b</body><no-permanent-store xmlns='urn:xmpp:hints'/>`, false],
    [`type='chat'`, `<y xmlns='urn:y'/><store xmlns='urn:xmpp:hints'/>`, true],
    [`type='chat'`, `<body>b</body><received xmlns='${NS.carbons}'/>`, false],
    [`type='chat'`, `<body>b</body><private xmlns='${NS.carbons}'/>`, true],
    [`type='chat'`, `<body>b</body><result xmlns='${MAM}'/>`, false],
  ]
  for (const [attributes, content, kept] of cases) {
    const xml = `<message ${attributes}>${content}</message>`
    assert.equal(isWorthArchiving(readElement(xml, { xmlns: NS.client, bindings: [] }, LIMITS)), kept, xml)
  }
})

test('whose messages are kept of an account that has said nothing is as the config says', async () => {
  for (const [usual, kept] of [
    ['never', []],
    ['roster', ['to a friend']],
    ['always', ['to a friend', 'to a stranger']],
  ] as const) {
    const house = await open({ featureConfig: { archive: { default: usual } } })
    await house.befriend(ANNA, BERT)
    const anna = await house.arrive(ANNA, 'sea')
    anna.send(say(BERT, 'to a friend') + say('cleo@example.net', 'to a stranger'))
    await anna.sync()
    assert.deepEqual((await ask(anna)).bodies, kept, usual)
  }
})

test('preferences: whose messages are wanted', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const cleo = await house.arrive(CLEO, 'x')
  const prefs = async (text?: string): Promise<string> =>
    (text === undefined
      ? await anna.request('get', `<prefs xmlns='${MAM}'/>`)
      : await anna.request('set', `<prefs xmlns='${MAM}' ${text}</prefs>`)
    ).firstElement?.toString(MAM) ?? ''
  assert.equal(await prefs(), `<prefs default='always'><always/><never/></prefs>`)
  const talk = async (name: string): Promise<readonly string[]> => {
    anna.send(say(BERT, `${name} to bert`))
    await anna.sync()
    bert.send(say(ANNA, `${name} from bert`))
    cleo.send(say(ANNA, `${name} from cleo`))
    await bert.sync()
    await cleo.sync()
    return (await ask(anna)).bodies.filter((body) => body.startsWith(name)).toSorted()
  }
  await prefs(`default='roster'><always/><never/>`)
  assert.deepEqual(await talk('roster'), ['roster from bert', 'roster to bert'])
  assert.equal(
    await prefs(`default='never'><always><jid>CLEO@example.net</jid></always><never/>`),
    `<prefs default='never'><always><jid>${CLEO}</jid></always><never/></prefs>`,
  )
  assert.deepEqual(await talk('never'), ['never from cleo'])
  await prefs(`default='always'><always/><never><jid>${BERT}</jid></never>`)
  assert.deepEqual(await talk('but'), ['but from cleo'])
  // Also after a restart, and while nobody is online.
  await house.crashAndStart()
  const again = await house.arrive(BERT, 'hill')
  const hers = await house.arrive(CLEO, 'x')
  again.send(say(ANNA, 'away from bert'))
  hers.send(say(ANNA, 'away from cleo'))
  await Promise.all([again.sync(), hers.sync()])
  const back = await house.arrive(ANNA, 'sea')
  assert.deepEqual(
    (await ask(back)).bodies.filter((body) => body.startsWith('away')),
    ['away from cleo'],
  )
  for (const [wrong, why] of [
    ["default='perhaps'>", 'bad-request'],
    [`default='never'><always><jid>@</jid></always>`, 'jid-malformed'],
  ] as const)
    await assert.rejects(back.request('set', `<prefs xmlns='${MAM}' ${wrong}</prefs>`), refused(why))
})

test('who reads the archive gets nothing twice; who does not, gets what waited', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(say(BERT, 'while you were away'))
  await anna.sync()
  const reader = await house.login(BERT, 'reader')
  assert.deepEqual((await ask(reader)).bodies, ['while you were away'])
  reader.send('<presence/>')
  assert.deepEqual(
    (await reader.news()).filter((line) => line.startsWith('message')),
    [],
  )
  await reader.client.close()

  anna.send(say(BERT, 'again'))
  await anna.sync()
  const other = await house.login(BERT, 'old')
  other.send('<presence/>')
  let got = await other.next()
  while (got.name !== 'message') got = await other.next()
  assert.equal(short(got), `message chat ${ANNA}/sea 'again'`)
})

test('without the offline feature what is archived is enough', async () => {
  const house = await open({ features: FEATURES.filter(({ name }) => name !== 'offline') })
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(say(BERT, 'x'))
  anna.send(say(BERT, 'y', `<no-store xmlns='urn:xmpp:hints'/>`))
  assert.deepEqual(await anna.news(), [`message error ${BERT} service-unavailable`])
  assert.deepEqual((await ask(await house.login(BERT, 'hill'))).bodies, ['x'])
})

test('old messages are not shown, and forgotten in the end', async () => {
  const house = await open({ featureConfig: { archive: { keep: '7d', 'max-messages': 100 } } })
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(say(BERT, 'old'))
  await anna.sync()
  house.clock.turn(8 * 86_400_000)
  assert.deepEqual((await ask(anna)).bodies, [])
  const rows = async (): Promise<number> => {
    const store = house.store.account(archiveStore, 'idannaexampleorg')
    return Number((await store.query({ filter: {}, page: { max: 0, backwards: false } })).count)
  }
  assert.equal(await rows(), 1)
  await (await house.login(ANNA, 'hut')).sync()
  assert.equal(await rows(), 0)
  for (let n = 0; n < 256; n++) anna.send(say(BERT, `n${n}`))
  await anna.sync()
  assert.ok((await rows()) <= 164, String(await rows()))
  assert.deepEqual((await ask(anna, set('<max>1</max><before/>'))).bodies, ['n255'])
})

test('a message is told as delivered only when it is safe: a crash loses none', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  for (const body of NINE) anna.send(say(BERT, body))
  for (const body of NINE) assert.equal((await bert.next()).childText('body'), body)
  await house.crashAndStart()
  assert.deepEqual((await ask(await house.login(BERT, 'hill'))).bodies, NINE)
})

test('what is kept and what is not arrive in the order in which they were sent, and before the sender’s goodbye', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const typing = `<message type='chat' to='${BERT}/hill'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`
  const last = `<message type='headline' to='${BERT}/hill'><body>now</body></message>`
  const others = [`<presence to='${BERT}/hill'/>`, `<iq type='get' to='${BERT}/hill' id='i'><query xmlns='x'/></iq>`]
  anna.send(
    [say(BERT, '1'), typing, say(`${BERT}/hill`, '2'), last, ...others, say(BERT, '3'), '</stream:stream>'].join(''),
  )
  const seen: string[] = []
  while (seen.at(-1) !== 'presence unavailable') {
    const stanza = await bert.next()
    const text = stanza.childText('body') ?? stanza.firstElement?.name
    seen.push([stanza.name, stanza.name === 'message' ? text : stanza.get('type')].join(' ').trim())
  }
  assert.deepEqual(seen, [
    'message 1',
    'message composing',
    'message 2',
    'message now',
    'presence',
    'iq get',
    'message 3',
    'presence unavailable',
  ])
})

test('an archive that cannot be written lets nothing through', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const { store } = house
  const account = store.account.bind(store)
  const broken = { append: () => Promise.reject(new Error('the disk is gone')) }
  store.account = ((definition: never, id: string) =>
    definition === archiveStore
      ? { ...account(archiveStore, id), ...broken }
      : account(definition, id)) as typeof account
  anna.send(say(BERT, 'x'))
  assert.deepEqual(await anna.news(), [`message error ${BERT} internal-server-error`])
  assert.deepEqual(await bert.news(), [])
})
