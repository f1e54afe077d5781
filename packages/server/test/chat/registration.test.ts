// How people come and go: in-band registration (XEP-0077), invitations (XEP-0379, 0401, 0445), passwords, and names that are not to be had.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Element } from '@aviso/xmpp'
import * as fc from 'fast-check'
import { Accounts } from '../../src/accounts/contracts.ts'
import { skeleton } from '../../src/chat/features/confusables.ts'
import { FORMS } from '../../src/chat/core/forms.ts'
import { Invites } from '../../src/chat/invites/invites.ts'
import { SeededRandom } from '../../src/kernel/random.ts'
import { House, type HouseOptions, type Peer, RawStream } from './house.ts'

const houses: House[] = []
const open = async (registration: object = {}, more: HouseOptions['featureConfig'] = {}): Promise<House> => {
  const house = await House.open({ real: true, featureConfig: { registration, ...more } })
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const bookOf = (house: House, seed = 7): Invites =>
  new Invites(house.store, house.root.use(Accounts), house.clock, new SeededRandom(seed))

/** Somebody who has not logged in. */
class Newcomer {
  readonly stream: RawStream
  #id = 0
  features = ''

  constructor(stream: RawStream) {
    this.stream = stream
  }

  static async at(house: House, domain = 'example.org'): Promise<Newcomer> {
    const newcomer = new Newcomer(new RawStream(await house.socket()))
    newcomer.stream.open(domain)
    newcomer.features = (await newcomer.stream.until(/<stream:features>.*<\/stream:features>/s))[0]
    return newcomer
  }

  /** The answer as XML text. */
  async ask(type: 'get' | 'set', payload: string): Promise<string> {
    const id = `n${++this.#id}`
    this.stream.write(`<iq type='${type}' id='${id}'>${payload}</iq>`)
    return (await this.stream.until(new RegExp(`<iq [^>]*id='${id}'[^>]*(?:/>|>.*?</iq>)`, 's')))[0]
  }

  register(username: string, password = 'pencil'): Promise<string> {
    return this.ask(
      'set',
      `<query xmlns='jabber:iq:register'><username>${username}</username><password>${password}</password></query>`,
    )
  }

  show(token: string): Promise<string> {
    return this.ask('set', `<preauth xmlns='urn:xmpp:pars:0' token='${token}'/>`)
  }
}

const ok = /type='result'/

test('nobody registers unless the administrator wants it so', async () => {
  const house = await open()
  const newcomer = await Newcomer.at(house)
  assert.doesNotMatch(newcomer.features, /features\/iq-register/)
  assert.match(newcomer.features, /urn:xmpp:ibr-token:0/)
  assert.match(await newcomer.ask('get', `<query xmlns='jabber:iq:register'/>`), /<not-allowed/)
  assert.match(await newcomer.register('dora'), /<not-allowed/)
  const closed = await open({ invited: false })
  const raw = await Newcomer.at(closed)
  raw.stream.write(`<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>`)
  await raw.stream.until(/<not-authorized/)
})

test('an open server: the form, the account, the log-in', async () => {
  const house = await open({ open: true, role: 'limited', title: 'Welcome in', instructions: 'Be nice & brief.' })
  const dora = await Newcomer.at(house, 'example.net')
  assert.match(dora.features, /features\/iq-register/)
  const form = await dora.ask('get', `<query xmlns='jabber:iq:register'/>`)
  assert.match(form, /<title>Welcome in<\/title>/)
  assert.match(form, /Be nice &amp; brief\./)
  assert.match(form, /<username\/><password\/>/)
  assert.match(await dora.register('dora', 'pen'), /<not-acceptable.*too short/s)
  assert.match(await dora.register('d o'), /<not-acceptable/)
  assert.match(await dora.register('dora@example.org'), /<not-acceptable/)
  assert.match(await dora.register('cleo'), /<conflict/)
  assert.match(await dora.register('', ''), /<not-acceptable/)
  const fields = [
    ['username', 'dora'],
    ['password', 'pencil'],
  ].map(([name, value]) => `<field var='${name}'><value>${value}</value></field>`)
  assert.match(
    await dora.ask(
      'set',
      `<query xmlns='jabber:iq:register'><x xmlns='${FORMS}' type='submit'>${fields.join('')}</x></query>`,
    ),
    ok,
  )
  assert.equal((await house.admin.showAccount('dora@example.net')).role, 'limited')
  assert.match((await house.admin.audit())[0]?.by ?? '', /registration from 127\.0\.0\.1/)
  await house.login('dora@example.net', 'x')
})

test('one address makes so many accounts, and tries so many times', async () => {
  const house = await open({ open: true, 'per-address': 2, attempts: 5, window: '1h' })
  const newcomer = await Newcomer.at(house)
  assert.match(await newcomer.register('one'), ok)
  assert.match(await newcomer.register('two'), ok)
  assert.match(await newcomer.register('three'), /<resource-constraint/)
  assert.match(await newcomer.register('x', 'bad'), /<resource-constraint|<not-acceptable/)
  assert.match(await newcomer.show('guess'), /<item-not-found/)
  assert.match(await newcomer.show('guess'), /<resource-constraint/, 'guessing counts as well')
  house.clock.turn(3_600_000)
  assert.match(await (await Newcomer.at(house)).register('three'), ok)
})

test('so many accounts are made from anywhere in a time', async () => {
  const house = await open({ open: true, total: 2, window: '10m' })
  const newcomer = await Newcomer.at(house)
  assert.match(await newcomer.register('one'), ok)
  assert.match(await newcomer.register('two'), ok)
  assert.match(await newcomer.register('three'), /<resource-constraint/)
  house.clock.turn(600_000)
  assert.match(await (await Newcomer.at(house)).register('three'), ok)
})

test('what else a stranger sends before the log-in ends the stream', async () => {
  const house = await open({ open: true })
  for (const stanza of [
    `<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>`,
    `<iq type='set' id='1'><query xmlns='jabber:iq:register'/><x xmlns='y'/></iq>`,
    `<message to='${ANNA}'><body>hi</body></message>`,
    `<iq type='result' id='1'><query xmlns='jabber:iq:register'/></iq>`,
  ]) {
    const newcomer = await Newcomer.at(house)
    newcomer.stream.write(stanza)
    await newcomer.stream.until(/<not-authorized/)
  }
})

test('an invitation to an account: good once, for its name, and both are contacts', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const invite = await bookOf(house).make({
    kind: 'account',
    inviter: ANNA,
    address: 'dora@example.org',
    lifetime: 10_000,
  })
  assert.equal(invite.uri, `xmpp:dora@example.org?register;preauth=${invite.token}`)
  const newcomer = await Newcomer.at(house)
  const other = await Newcomer.at(house)
  assert.match(await newcomer.show('nonsense'), /<item-not-found/)
  assert.match(await newcomer.show(invite.token), ok)
  assert.match(await other.show(invite.token), ok)
  assert.match(await newcomer.ask('get', `<query xmlns='jabber:iq:register'/>`), /<username>dora</)
  assert.match(await newcomer.register('dieter'), /<not-acceptable/)
  // Its time is looked at when it is shown, not when the form is filled in (XEP-0445 §3).
  house.clock.turn(11_000)
  assert.match(await newcomer.register('dora', 'pen'), /<not-acceptable/, 'a bad password does not use it up')
  assert.match(await newcomer.register('dora'), ok)
  assert.match(await other.register('dora'), /<not-allowed.*used already/s)
  const third = await Newcomer.at(house)
  assert.match(await third.show(invite.token), /<item-not-found/)
  assert.deepEqual(await anna.news(), ['iq set dora@example.org both'])
  const dora = await house.arrive('dora@example.org', 'x')
  assert.deepEqual(await anna.news(), ['presence dora@example.org/x'])
  assert.deepEqual(await dora.news(), [])
})

test('an invitation that has expired, or is for another domain, is none', async () => {
  const house = await open()
  const book = bookOf(house)
  const { token } = await book.make({ kind: 'account', domain: 'example.org', lifetime: 1000 })
  assert.match(await (await Newcomer.at(house, 'example.net')).show(token), /<item-not-found/)
  house.clock.turn(1001)
  assert.match(await (await Newcomer.at(house)).show(token), /<item-not-found/)
  await assert.rejects(book.make({ kind: 'account', domain: 'foreign.example' }), { code: 'not-found' })
  await assert.rejects(book.make({ kind: 'contact' }), { code: 'invalid' })
  await assert.rejects(book.make({ kind: 'reset', address: 'nobody@example.org' }), { code: 'not-found' })
  await assert.rejects(book.make({ kind: 'account', address: BERT }), { code: 'exists' })
})

test('who has forgotten the password sets a new one by invitation', async () => {
  const house = await open()
  const { token, uri } = await bookOf(house).make({ kind: 'reset', address: BERT })
  assert.equal(uri, `xmpp:${BERT}?register;preauth=${token}`)
  const newcomer = await Newcomer.at(house)
  assert.match(await newcomer.show(token), ok)
  assert.match(await newcomer.register('anna'), /<not-acceptable/)
  assert.match(await newcomer.register('bert', 'crayon'), ok)
  await house.login(BERT, 'x', 'crayon')
  assert.match(await newcomer.register('bert', 'chalks'), /<not-allowed/)
})

const command = async (peer: Peer, node: string): Promise<Element | undefined> =>
  (await peer.request('set', `<command xmlns='http://jabber.org/protocol/commands' node='${node}'/>`, 'example.org'))
    .firstElement

test('Anna invites a contact from her client; who comes with the token is let in and asked back', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const fields = (await command(anna, 'urn:xmpp:invite#invite'))?.child('x', FORMS)?.childrenNamed('field')
  const uri = fields?.find((field) => field.get('var') === 'uri')?.childText('value') ?? ''
  const token = /^xmpp:anna@example\.org\?roster;preauth=([a-z0-9]{24})$/.exec(uri)?.[1]
  assert.ok(token, uri)
  // It is no invitation to an account here.
  assert.match(await (await Newcomer.at(house)).show(token), /<item-not-found/)
  const bert = await house.arrive(BERT, 'hill')
  bert.send(`<presence type='subscribe' to='${ANNA}'><preauth xmlns='urn:xmpp:pars:0' token='${token}'/></presence>`)
  await bert.sync()
  assert.deepEqual((await bert.news()).filter((line) => line.startsWith('presence')).sort(), [
    `presence ${ANNA}/sea`,
    `presence subscribe ${ANNA}`,
    `presence subscribed ${ANNA}`,
  ])
  bert.send(`<presence type='subscribed' to='${ANNA}'/>`)
  await bert.sync()
  assert.equal((await anna.news()).filter((line) => line.startsWith('iq')).at(-1), `iq set ${BERT} both approved`)
  // Used: the next one with it is a stranger like any other.
  const cleo = await house.arrive('cleo@example.net', 'city')
  cleo.send(`<presence type='subscribe' to='${ANNA}'><preauth xmlns='urn:xmpp:pars:0' token='${token}'/></presence>`)
  await cleo.sync()
  assert.deepEqual(await anna.news(), ['presence subscribe cleo@example.net'])
})

test('an invitation is good for as long as is set; where nobody is to invite, there is no command for it', async () => {
  const command = `<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:invite#invite' action='execute'/>`
  const brief = await open({}, { invites: { lifetime: '10m' } })
  const anna = await brief.arrive(ANNA, 'sea')
  const answer = await anna.request('set', command, 'example.org')
  assert.ok(answer.toString().includes(`<value>${new Date(brief.clock.now() + 600_000).toISOString()}</value>`))
  const none = await open({}, { invites: { contacts: false } })
  const bert = await none.arrive(BERT, 'hill')
  await assert.rejects(bert.request('set', command, 'example.org'), { condition: 'item-not-found' })
})

test('a contact may be let make an account; how many may be invited is limited', async () => {
  const house = await open({}, { invites: { accounts: true, 'max-open': 2 } })
  const anna = await house.arrive(ANNA, 'sea')
  const first = await command(anna, 'urn:xmpp:invite#invite')
  const uri = first?.child('x', FORMS)?.childrenNamed('field')[1]?.childText('value') ?? ''
  assert.match(uri, /;ibr=y$/)
  await command(anna, 'urn:xmpp:invite#invite')
  await assert.rejects(command(anna, 'urn:xmpp:invite#invite'), { condition: 'resource-constraint' })
  const newcomer = await Newcomer.at(house)
  assert.match(await newcomer.show(/preauth=(\w+)/.exec(uri)?.[1] ?? ''), ok)
  assert.match(await newcomer.register('dora'), ok)
  assert.deepEqual(await anna.news(), ['iq set dora@example.org both'])
  // What an erased account has promised is void.
  await house.admin.deleteAccount(ANNA)
  assert.deepEqual(await bookOf(house).list(), [])
})

const set = (peer: Peer, content: string, to?: string): Promise<Element> =>
  peer.request('set', `<query xmlns='jabber:iq:register'>${content}</query>`, to)

test('a new password: the client that sets it stays, the others log in anew (XEP-0077 §3.3)', async () => {
  const house = await open()
  const sea = await house.arrive(ANNA, 'sea')
  const hut = await house.arrive(ANNA, 'hut')
  const form = (await sea.request('get', `<query xmlns='jabber:iq:register'/>`, 'example.org')).firstElement
  assert.ok(form?.child('registered'))
  const change = (name: string, password: string) => `<username>${name}</username><password>${password}</password>`
  await assert.rejects(set(sea, change('bert', 'crayon')), { condition: 'not-allowed' })
  await assert.rejects(set(sea, change('anna', 'pen')), { condition: 'not-acceptable' })
  await assert.rejects(set(sea, ''), { condition: 'bad-request' })
  await assert.rejects(set(sea, '<remove/>'), { condition: 'not-allowed' })
  await set(sea, change('anna', 'crayon'), 'example.org')
  assert.match(String((await hut.ended()).error), /not-authorized/)
  await sea.sync()
  await house.login(ANNA, 'new', 'crayon')
  // Whoever else changes it ends this one too.
  await house.admin.setPassword(ANNA, 'chalks')
  await sea.ended()
})

test('where the administrator keeps passwords to himself, no client changes one', async () => {
  const house = await open({}, { 'account-management': { 'change-password': false } })
  const anna = await house.arrive(ANNA, 'sea')
  const wish = '<username>anna</username><password>crayon</password>'
  await assert.rejects(set(anna, wish), { condition: 'not-allowed' })
  await house.login(ANNA, 'hut')
})

test('an account is closed by its owner, who hears that it is done; its name rests', async () => {
  const house = await open(
    { open: true },
    { 'account-management': { 'close-account': true }, tombstones: { time: '30d' } },
  )
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await set(bert, '<remove/>')
  assert.match(String((await bert.ended()).error), /not-authorized/)
  await assert.rejects(house.admin.showAccount(BERT), { code: 'not-found' })
  for (let turn = 0; turn < 20 && (await house.admin.erased(BERT)) === undefined; turn++) await anna.sync()
  assert.ok((await anna.news()).includes(`presence unsubscribed ${BERT}`))
  // Who asks for him learns no more than of a name that never was.
  const probed = async (bare: string): Promise<string[]> => {
    anna.send(`<presence type='probe' to='${bare}'/>`)
    anna.send(`<message type='chat' to='${bare}'><body>there?</body></message>`)
    return (await anna.news()).map((line) => line.replaceAll(bare, 'him'))
  }
  assert.deepEqual(await probed(BERT), await probed('nobody@example.org'))
  assert.equal((await probed(BERT))[0], 'presence unsubscribed him')

  const newcomer = await Newcomer.at(house)
  assert.match(await newcomer.register('bert'), /<conflict.*belonged to somebody else/s)
  house.clock.turn(31 * 86_400_000)
  assert.match(await (await Newcomer.at(house)).register('bert'), ok)
})

test('an administrator may give a name anew, unless he binds himself', async () => {
  const house = await open()
  await house.admin.deleteAccount(BERT)
  await house.admin.createAccount({ address: BERT, password: 'pencil' })
  const strict = await open({}, { tombstones: { administrators: true } })
  await strict.admin.deleteAccount(BERT)
  await assert.rejects(strict.admin.createAccount({ address: BERT, password: 'pencil' }), { code: 'exists' })
})

test('a name that looks like another one is refused to who chooses it himself', async () => {
  const house = await open({ open: true, 'per-address': 100 })
  const newcomer = await Newcomer.at(house)
  for (const name of ['аnna', 'ann\u0430', 'b\u0435rt', 'anпа'])
    assert.match(await newcomer.register(name), /<conflict.*looks too much like/s, name)
  assert.match(await newcomer.register('anne'), ok)
  await house.admin.createAccount({ address: 'bеrt@example.org', password: 'pencil' })
})

test('names that speak for the server are given by administrators only, also those that look like them', async () => {
  const house = await open({ open: true, 'per-address': 100 })
  const newcomer = await Newcomer.at(house)
  for (const name of ['postmaster', 'Admin', 'аdmin', 'supp0rt'])
    assert.match(await newcomer.register(name), /<conflict.*not given to everybody/s, name)
  assert.match(await newcomer.register('adminton'), ok)
  await house.admin.createAccount({ address: 'postmaster@example.org', password: 'pencil' })
})

test('which names are reserved is as the config says', async () => {
  const house = await open({ open: true }, { 'reserved-names': { names: ['boss'] } })
  const newcomer = await Newcomer.at(house)
  assert.match(await newcomer.register('boss'), /<(?:conflict|not-acceptable)/)
  assert.match(await newcomer.register('support'), ok)
})

test('skeletons: the same for look-alikes, and stable', () => {
  for (const [one, other] of [
    ['paypal', 'раураl'],
    ['modern', 'modem'],
    ['paul', 'pau1'],
    ['vvilma', 'wilma'],
    ['clara', 'dara'],
    ['jos\u00e9', 'jose\u0301'],
  ] as const)
    assert.equal(skeleton(one), skeleton(other), `${one} ${other}`)
  for (const [one, other] of [
    ['anna', 'anne'],
    ['jose', 'josé'],
  ] as const)
    assert.notEqual(skeleton(one), skeleton(other))
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 30 }),
      (name) => skeleton(name) === skeleton(name.normalize('NFD')),
    ),
  )
})
