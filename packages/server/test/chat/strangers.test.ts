// Somebody whom Anna does not know writes to her: what reaches her, what waits, and what does not come in.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Jid, readElement, type Element } from '@aviso/xmpp'
import * as fc from 'fast-check'
import { Tables } from '../../src/accounts/tables/contracts.ts'
import { contentsOf } from '../../src/chat/features/first-message.ts'
import { strangersStore } from '../../src/chat/features/strangers.store.ts'
import { rosterStore } from '../../src/chat/core/roster.store.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { House, type Peer, short } from './house.ts'

const houses: House[] = []
const open = async (strangers: object = {}, more: object = {}): Promise<House> => {
  const house = await House.open({ featureConfig: { strangers }, ...more })
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const ID = 'idannaexampleorg'
const EVE = 'eve@evil.example/pc'

/** A stanza of somebody on another server; what he is told. */
async function sends(house: House, from: string, xml: string): Promise<string[]> {
  const told: Element[] = []
  const stanza = readElement(xml, { xmlns: 'jabber:client', bindings: [] }, { depth: 20, attributes: 20, prefixes: 5 })
  const origin = { jid: Jid.parse(from), reply: (answer: Element): void => void told.push(answer) }
  await house.chat.receive(stanza.with({ from }), origin)
  return told.map((answer) => {
    const type = answer.child('error')?.get('type')
    return type === undefined ? short(answer) : `${short(answer)} (${type})`
  })
}
const says = (body: string, more = '', to = ANNA): string =>
  `<message type='chat' to='${to}'><body>${body}</body>${more}</message>`

/** What came, without the server's own words. */
const letters = async (peer: Peer): Promise<string[]> =>
  (await peer.news()).filter((line) => !line.startsWith('message example.org'))

test('plain text of a stranger comes; what looks like spam waits until Anna answers, and comes then with its time', async () => {
  const { log, lines } = recordingLog('info')
  const house = await open({}, { log })
  const anna = await house.arrive(ANNA, 'sea')
  assert.deepEqual(await sends(house, EVE, says('Hello Anna')), [])
  assert.deepEqual(await letters(anna), [`message chat ${EVE} 'Hello Anna'`])
  const spam = [
    says('see https://spam.example/'),
    says('a picture', `<x xmlns='jabber:x:oob'><url>https://spam.example/x.jpg</url></x>`),
    says('x'.repeat(5000)),
    says('join us', `<x xmlns='jabber:x:conference' jid='room@evil.example'/>`),
  ]
  for (const message of spam) assert.deepEqual(await sends(house, EVE, message), [], 'Eve is told nothing')
  const [notice, ...more] = await anna.news()
  assert.match(notice ?? '', /^message example\.org 'eve@evil\.example, whom you do not know/)
  assert.deepEqual(more, [], 'one notice a day')
  assert.deepEqual(
    lines
      .filter(({ msg }) => msg === 'a stranger was not let through')
      .map(({ decision, why }) => `${decision} ${why}`),
    ['held links', 'held media', 'held long', 'held invitations'],
  )
  const archived = await anna.request('set', `<query xmlns='urn:xmpp:mam:2'/>`)
  assert.ok(archived)
  assert.equal(
    (await anna.news()).filter((line) => line.startsWith('message')).length,
    2,
    'nor are they in the archive',
  )

  house.clock.turn(60_000)
  anna.send(says('who are you?', '', 'eve@evil.example'))
  await anna.sync()
  const came: Element[] = []
  while (came.length < 4) {
    const stanza = await anna.next()
    if (stanza.get('type') === 'chat') came.push(stanza)
  }
  assert.deepEqual(
    came.map((stanza) => stanza.childText('body')?.slice(0, 8)),
    ['see http', 'a pictur', 'xxxxxxxx', 'join us'],
  )
  assert.equal(came[0]?.child('delay', 'urn:xmpp:delay')?.get('stamp'), '2026-01-01T00:00:00.000Z')
  // From now on Eve is known.
  await sends(house, EVE, says('https://spam.example/again'))
  assert.equal((await letters(anna)).length, 1)
  assert.deepEqual(await house.store.account(strangersStore, ID).senders({ oldest: 0 }), [])
  const metrics = await house.root.metrics.text()
  assert.match(metrics, /aviso_chat_strangers_total\{kind="message",decision="held"\} 4/)
})

test('making Eve a contact lets in what waits, also when it was done elsewhere; a restart forgets nobody', async () => {
  const house = await open()
  await sends(house, EVE, says('https://one.example/'))
  await sends(house, 'zoe@evil.example/pc', says('https://two.example/'))
  await house.store.account(rosterStore, ID).import({ items: [{ contact: 'zoe@evil.example', name: 'Zoe' }] })
  const anna = await house.arrive(ANNA, 'sea', '<presence><priority>-1</priority></presence>')
  anna.send('<presence/>')
  const fromZoe = async (): Promise<Element> => {
    for (;;) {
      const stanza = await anna.next()
      if (stanza.childText('body')?.includes('two.example') === true) return stanza
    }
  }
  await fromZoe()
  anna.send(`<presence type='subscribe' to='eve@evil.example'/>`)
  for (;;) {
    const stanza = await anna.next()
    if (stanza.childText('body')?.includes('one.example') === true) break
  }
  anna.send(says('hi', '', 'ron@evil.example'))
  await anna.sync()
  await house.crashAndStart()
  const again = await house.arrive(ANNA, 'sea')
  await sends(house, 'ron@evil.example/pc', says('https://three.example/'))
  assert.deepEqual(await letters(again), [`message chat ron@evil.example/pc 'https://three.example/'`])
})

test('what a client sends by itself makes nobody known', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(`<message to='${EVE}' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>`)
  anna.send(`<message to='${EVE}' type='error'><body>no</body><error type='cancel'/></message>`)
  anna.send(`<iq type='get' id='v' to='${EVE}'><query xmlns='jabber:iq:version'/></iq>`)
  await anna.sync()
  assert.equal(await house.store.account(strangersStore, ID).knows({ contact: 'eve@evil.example' }), false)
})

test('a room that Anna has joined is no stranger', async () => {
  const house = await open({ text: 'refuse' })
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(`<presence to='room@muc.example/anna'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
  await anna.sync()
  anna.clear()
  const said = `<message type='groupchat' to='${ANNA}/sea'><body>https://all.example/</body></message>`
  assert.deepEqual(await sends(house, 'room@muc.example/ron', said), [])
  assert.deepEqual(await anna.news(), [`message groupchat room@muc.example/ron 'https://all.example/'`])
})

test('an invitation that a room passes on counts as of who invites', async () => {
  const house = await open({ invitations: 'refuse' })
  await house.store.account(rosterStore, ID).import({ items: [{ contact: 'friend@far.example', name: '' }] })
  const anna = await house.arrive(ANNA, 'sea')
  const invites = (who: string): string =>
    `<message to='${ANNA}'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='${who}/pc'/></x></message>`
  assert.deepEqual(await sends(house, 'room@muc.example', invites('eve@evil.example')), [
    `message error ${ANNA} policy-violation (modify)`,
  ])
  assert.deepEqual(await sends(house, 'room@muc.example', invites('friend@far.example')), [])
  assert.deepEqual(await anna.news(), ['message room@muc.example'])
})

test('a room of ours passes on an invitation of ours, and none of a stranger elsewhere', async () => {
  const house = await open({ invitations: 'refuse' })
  const ROOM = 'tea@rooms.example.org'
  const anna = await house.arrive(ANNA, 'sea')
  const invites = (who: string): string =>
    `<message to='${ANNA}'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='${who}'/></x></message>`
  assert.deepEqual(await sends(house, ROOM, invites(BERT)), [])
  assert.deepEqual(await anna.news(), [`message ${ROOM}`])
  assert.deepEqual(await sends(house, ROOM, invites('eve@evil.example/pc')), [
    `message error ${ANNA} policy-violation (modify)`,
  ])
  // A room elsewhere can claim whatever it likes.
  assert.deepEqual(await sends(house, 'tea@rooms.evil.example', invites(BERT)), [
    `message error ${ANNA} policy-violation (modify)`,
  ])
})

/** A message of each kind, with nothing in it that makes it another one too. */
const KINDS = {
  text: says('hello'),
  long: says('x'.repeat(200)),
  links: says('https://x.example/'),
  media: says('look', `<x xmlns='jabber:x:oob'><url>https://x.example/x.jpg</url></x>`),
  encrypted: says('hidden', `<encrypted xmlns='urn:xmpp:omemo:2'/>`),
  invitations: says('come', `<x xmlns='jabber:x:conference' jid='tea@rooms.evil.example'/>`),
  calls: `<message type='chat' to='${ANNA}'><propose xmlns='urn:xmpp:jingle-message:0' id='1'/></message>`,
}

test('every kind of message is delivered, held or refused as the config says', async () => {
  const short = { 'max-text': 100 }
  const others = { long: 'refuse', links: 'refuse', media: 'refuse', encrypted: 'refuse', invitations: 'refuse' }
  const all = Object.keys(KINDS)
  const easy = { long: 'accept', links: 'accept', media: 'accept', encrypted: 'accept', invitations: 'accept' }
  for (const [settings, delivered, held] of [
    [{ ...short }, ['text', 'encrypted', 'calls'], ['long', 'links', 'media', 'invitations']],
    [{ ...short, ...easy }, all, []],
    [{ ...short, ...others, calls: 'refuse' }, ['text'], []],
    [{ ...short, text: 'hold', encrypted: 'hold' }, [], all],
    [{ ...short, text: 'refuse' }, [], []],
    [{}, ['text', 'long', 'encrypted', 'calls'], ['links', 'media', 'invitations']],
  ] as const) {
    const house = await open({ notice: '0s', ...settings })
    const anna = await house.arrive(ANNA, 'sea')
    const came: string[] = []
    const waits: string[] = []
    for (const [kind, message] of Object.entries(KINDS)) {
      const sender = `${kind}@evil.example`
      const told = await sends(house, `${sender}/x`, message)
      const [here] = await anna.news()
      if (here !== undefined) came.push(kind)
      else if (told.length === 0) waits.push(kind)
      else assert.deepEqual(told, [`message error ${ANNA} policy-violation (modify)`])
    }
    const what = JSON.stringify(settings)
    assert.deepEqual(came, delivered, what)
    assert.deepEqual(waits, held, what)
    const senders = await house.store.account(strangersStore, ID).senders({ oldest: 0 })
    assert.deepEqual(
      senders.map(({ sender }) => sender.split('@')[0]).toSorted(),
      [...held].toSorted(),
      'what did not come is there',
    )
  }
})

test('requests to become a contact may be refused altogether, and some are never strangers', async () => {
  const house = await open({
    subscriptions: 'refuse',
    text: 'refuse',
    known: ['*.friends.example', 'tom@evil.example'],
  })
  const anna = await house.arrive(ANNA, 'sea')
  const asks = async (from: string): Promise<string[]> => {
    assert.deepEqual(await sends(house, from, `<presence type='subscribe' to='${ANNA}'/>`), [])
    return anna.news()
  }
  assert.deepEqual(await asks('eve@evil.example'), [])
  for (const friend of ['tom@evil.example', 'ron@all.friends.example']) {
    assert.deepEqual(await asks(friend), [`presence subscribe ${friend}`])
    assert.deepEqual(await sends(house, `${friend}/x`, says('hi')), [])
    assert.deepEqual(await anna.news(), [`message chat ${friend}/x 'hi'`])
  }
})

test('too many requests in a time: by sender, by account and in all', async () => {
  const asks = (house: House, from: string, to = ANNA): Promise<string[]> =>
    sends(house, from, `<presence type='subscribe' to='${to}'/>`)
  const later = (to = ANNA): string[] => [`presence error ${to} resource-constraint (wait)`]
  const house = await open({
    'requests-per-sender': 1,
    'requests-per-account': 2,
    'requests-total': 3,
    'messages-per-sender': 1,
    window: '10s',
  })
  assert.deepEqual(await asks(house, 'a@a.example'), [])
  assert.deepEqual(await asks(house, 'a@a.example', BERT), later(BERT), 'the sender')
  assert.deepEqual(await asks(house, 'b@b.example'), [])
  assert.deepEqual(await asks(house, 'c@c.example'), later(), 'the account')
  assert.deepEqual(await asks(house, 'd@d.example', BERT), [])
  assert.deepEqual(await asks(house, 'e@e.example', BERT), later(BERT), 'all')
  assert.deepEqual(await sends(house, EVE, says('one')), [])
  const refused = [`message error ${ANNA} resource-constraint (wait)`]
  assert.deepEqual(await sends(house, EVE, says('two')), refused)
  house.clock.turn(10_000)
  assert.deepEqual(await sends(house, EVE, says('two')), [], 'the window is over')
  assert.deepEqual(await asks(house, 'a@a.example', BERT), [])
})

test('what is too large to be held is refused, and of those to whom Anna wrote the latest are remembered', async () => {
  const house = await open({ 'max-held-size': '1KiB', correspondents: 2, notice: '0s' })
  const link = (letters: number): string => says(`https://x.example/${'x'.repeat(letters)}`)
  assert.deepEqual(await sends(house, EVE, link(500)), [])
  assert.deepEqual(await sends(house, EVE, link(1000)), [`message error ${ANNA} policy-violation (modify)`])
  const anna = await house.arrive(ANNA, 'sea')
  for (const name of ['one', 'two', 'three']) {
    anna.send(says('hi', '', `${name}@far.example`))
    await anna.sync()
    house.clock.turn(1000)
  }
  await house.crashAndStart()
  const again = await house.arrive(ANNA, 'sea')
  for (const name of ['one', 'two', 'three']) await sends(house, `${name}@far.example/x`, link(1))
  assert.deepEqual(
    await letters(again),
    ['two', 'three'].map((name) => `message chat ${name}@far.example/x 'https://x.example/x'`),
  )
})

test('limits by sender, domain and account: try again later; contacts are not counted', async () => {
  const house = await open({
    'messages-per-sender': 2,
    'messages-per-domain': 3,
    'messages-per-account': 4,
    'messages-total': 5,
  })
  await house.store.account(rosterStore, ID).import({ items: [{ contact: 'friend@evil.example', name: '' }] })
  const limit = `message error ${ANNA} resource-constraint (wait)`
  const from = async (sender: string, to = ANNA): Promise<string[]> => sends(house, sender, says('hi', '', to))
  assert.deepEqual(await from('a@evil.example/x'), [])
  assert.deepEqual(await from('a@evil.example/y'), [])
  assert.deepEqual(await from('a@evil.example/z'), [limit])
  assert.deepEqual(await from('b@evil.example/x'), [])
  assert.deepEqual(await from('c@evil.example/x'), [limit], 'the domain')
  assert.deepEqual(await from('a@other.example/x'), [])
  assert.deepEqual(await from('b@other.example/x'), [limit], 'the account')
  assert.deepEqual(await from('a@third.example/x', BERT), [])
  assert.deepEqual(await from('a@fourth.example/x', BERT), [limit.replace(ANNA, BERT)], 'all')
  for (let n = 0; n < 10; n++) assert.deepEqual(await from('friend@evil.example/x'), [])
  house.clock.turn(3_600_000)
  assert.deepEqual(await from('a@evil.example/x'), [])
})

test('requests to become a contact: so many at a time, whether Anna is here or not; the invited come through', async () => {
  const house = await open({ 'max-requests': 2, 'requests-per-domain': 3 })
  const asks = (from: string): Promise<string[]> => sends(house, from, `<presence type='subscribe' to='${ANNA}'/>`)
  const waiting = async (): Promise<number> => (await house.store.account(rosterStore, ID).requests()).length
  for (const name of ['a', 'b', 'c']) assert.deepEqual(await asks(`${name}@evil.example`), [])
  assert.equal(await waiting(), 2)
  assert.deepEqual(await asks('d@evil.example'), [`presence error ${ANNA} resource-constraint (wait)`])
  const anna = await house.arrive(ANNA, 'sea')
  assert.deepEqual(await asks('e@other.example'), [])
  assert.equal(await waiting(), 2)
  anna.send(`<presence type='unsubscribed' to='a@evil.example'/>`)
  await anna.sync()
  anna.clear()
  assert.deepEqual(await asks('e@other.example'), [])
  assert.deepEqual(await anna.news(), ['presence subscribe e@other.example'])

  const command = await anna.request(
    'set',
    `<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:invite#invite' action='execute'/>`,
    'example.org',
  )
  const token = /preauth=([^<&;]+)/.exec(command.toString())?.[1] ?? ''
  assert.notEqual(token, '')
  const preauth = (secret: string): string =>
    `<presence type='subscribe' to='${ANNA}'><preauth xmlns='urn:xmpp:pars:0' token='${secret}'/></presence>`
  assert.deepEqual(await sends(house, 'f@third.example', preauth('guess')), [])
  await sends(house, 'f@third.example', preauth(token))
  const state = await house.store.account(rosterStore, ID).state({ contact: 'f@third.example' })
  assert.notEqual(state & 2, 0, 'he sees her presence')
})

test('a list of spammers in a table; when it cannot be asked nothing comes through, and contacts always do', async () => {
  let fails = false
  const house = await House.open({ features: [] })
  houses.push(house)
  house.root.provide(Tables, {
    get: () => ({
      lookup: (key) =>
        fails
          ? Promise.reject(new Error('no database'))
          : Promise.resolve(['evil.example', '*.bad.example'].includes(key) ? [''] : []),
    }),
  })
  await house.reload({ featureConfig: { strangers: { blocked: [{ table: 'sql/spammers' }, 'mallory@good.example'] } } })
  await house.store.account(rosterStore, ID).import({ items: [{ contact: 'friend@evil.example', name: '' }] })
  const anna = await house.arrive(ANNA, 'sea')
  const gone = `message error ${ANNA} service-unavailable (cancel)`
  for (const from of [EVE, 'x@sub.bad.example/x', 'mallory@good.example/x']) {
    assert.deepEqual(await sends(house, from, says('hi')), [gone])
    assert.deepEqual(await sends(house, from, `<presence type='subscribe' to='${ANNA}'/>`), [])
    assert.deepEqual(await sends(house, from, `<presence to='${ANNA}'/>`), [])
    assert.deepEqual(
      await sends(house, from, `<iq type='get' id='1' to='${ANNA}/sea'><ping xmlns='urn:xmpp:ping'/></iq>`),
      [`iq error ${ANNA}/sea service-unavailable (cancel)`],
    )
  }
  assert.deepEqual(await anna.news(), [])
  assert.deepEqual(await sends(house, 'friend@evil.example/x', says('hi')), [])
  assert.deepEqual(await sends(house, 'ron@good.example/x', says('hi')), [])
  assert.equal((await anna.news()).length, 2)
  fails = true
  assert.deepEqual(await sends(house, 'tom@good.example/x', says('hi')), [
    `message error ${ANNA} resource-constraint (wait)`,
  ])
  assert.deepEqual(await sends(house, 'friend@evil.example/x', says('hi')), [])
  assert.equal((await anna.news()).length, 1)
})

test('what is held is bounded: by sender, in all, and by time', async () => {
  const house = await open({ 'max-held': 3, 'max-held-per-sender': 2, 'keep-held': '10d', notice: '0s' })
  const spam = (from: string, n: number): Promise<string[]> => sends(house, from, says(`https://${n}.example/`))
  await spam('a@evil.example/x', 1)
  await spam('a@evil.example/x', 2)
  assert.deepEqual(await spam('a@evil.example/x', 3), [`message error ${ANNA} resource-constraint (wait)`])
  await spam('b@evil.example/x', 4)
  await spam('b@evil.example/x', 5)
  assert.deepEqual(await sends(house, 'c@evil.example/x', says('x'.repeat(40_000))), [
    `message error ${ANNA} policy-violation (modify)`,
  ])
  const senders = (): Promise<unknown> =>
    house.store.account(strangersStore, ID).senders({ oldest: house.clock.now() - 10 * 86_400_000 })
  assert.deepEqual(await senders(), [
    { sender: 'b@evil.example', count: 2 },
    { sender: 'a@evil.example', count: 1 },
  ])
  house.clock.turn(11 * 86_400_000)
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(says('hi', '', 'a@evil.example'))
  await anna.sync()
  assert.deepEqual(await letters(anna), [`message error a@evil.example remote-server-not-found`])
})

test('the command lists whose messages are held, and delivers or discards them', async () => {
  const house = await open({ notice: '0s' })
  await sends(house, EVE, says('https://one.example/'))
  await sends(house, 'zoe@evil.example/pc', says('https://two.example/'))
  const anna = await house.arrive(ANNA, 'sea')
  const COMMANDS = 'http://jabber.org/protocol/commands'
  const run = async (action: string, sender: string): Promise<void> => {
    const begun = await anna.request(
      'set',
      `<command xmlns='${COMMANDS}' node='urn:aviso:strangers' action='execute'/>`,
      'example.org',
    )
    assert.match(begun.toString(), /\(1\)/)
    const session = begun.firstElement?.get('sessionid')
    const field = (name: string, value: string): string => `<field var='${name}'><value>${value}</value></field>`
    await anna.request(
      'set',
      `<command xmlns='${COMMANDS}' node='urn:aviso:strangers' sessionid='${session}' action='complete'><x xmlns='jabber:x:data' type='submit'>${field('senders', sender)}${field('action', action)}</x></command>`,
      'example.org',
    )
  }
  await run('discard', 'zoe@evil.example')
  assert.deepEqual(await letters(anna), [])
  await run('deliver', 'eve@evil.example')
  assert.deepEqual(await letters(anna), [`message chat ${EVE} 'https://one.example/'`])
})

test('accounts of our own are strangers to each other only where the config says so', async () => {
  for (const local of [false, true]) {
    const house = await open({ local, links: 'refuse' })
    const anna = await house.arrive(ANNA, 'sea')
    const bert = await house.arrive(BERT, 'hill')
    bert.send(says('https://example.org/'))
    assert.equal((await bert.news()).length, local ? 1 : 0)
    assert.equal((await anna.news()).length, local ? 0 : 1)
  }
})

test('links are found wherever they stand, and ordinary talk is none', () => {
  const message = (body: string): Element =>
    readElement(
      `<message><body/></message>`,
      { xmlns: 'jabber:client', bindings: [] },
      { depth: 9, attributes: 9, prefixes: 5 },
    ).withChildren(
      readElement(
        '<body/>',
        { xmlns: 'jabber:client', bindings: [] },
        { depth: 9, attributes: 9, prefixes: 5 },
      ).withChildren(body),
    )
  const has = (body: string): boolean => contentsOf(message(body), 1e6).has('links')
  for (const link of ['http://x.example', 'HTTPS://X', '(www.x.example)', 'see aesgcm://x#y', 'xmpp:x@y'])
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, rest) => has(`${before} ${link}${rest}`)),
      { numRuns: 50 },
    )
  for (const talk of ['well: yes', 'at 10:30', 'httpsomething', 'e.g. this', 'wwwhat?'])
    assert.equal(has(talk), false, talk)
})
