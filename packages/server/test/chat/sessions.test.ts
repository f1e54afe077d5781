// Log-in, resources, hostile clients, and what becomes of sessions when things change around them.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { HandClock } from '../../src/kernel/clock.ts'
import { createLimits } from '../../src/net/limits.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { chatFeature } from '../../src/chat/core/contracts.ts'
import { sessionSlot } from '../../src/chat/core/session.ts'
import { FEATURES, House, RawStream, short } from './house.ts'
import * as v from 'valibot'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'

const rawStream = async (house: House): Promise<RawStream> => new RawStream(await house.socket())

test('what a client is offered: mechanisms, then bind, roster versioning and the rest', async () => {
  const house = await open()
  const raw = await rawStream(house)
  raw.open()
  const [before] = await raw.until(/<stream:features>.*<\/stream:features>/s)
  assert.match(before, /<mechanism>PLAIN<\/mechanism>/)
  assert.match(
    before,
    /<c xmlns='http:\/\/jabber.org\/protocol\/caps' hash='sha-1' node='https:\/\/example.org' ver='[^']+'\/>/,
  )
  assert.doesNotMatch(before, /<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/)
  raw.write(
    `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from(`\0${ANNA}\0pencil`).toString('base64')}</auth>`,
  )
  await raw.until(/<success/)
  raw.open()
  const [features] = await raw.until(/<stream:features>.*<\/stream:features>/s)
  assert.match(features, /<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/)
  assert.match(features, /<ver xmlns='urn:xmpp:features:rosterver'/)
  assert.match(features, /<sub xmlns='urn:xmpp:features:pre-approval'/)
  assert.match(features, /<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional\/>/)
  raw.socket.destroy()
})

test('with TLS required nothing but STARTTLS is offered, and no password is taken', async () => {
  const house = await open({ c2s: { 'require-tls': true } })
  const raw = await rawStream(house)
  raw.open()
  const [features] = await raw.until(/<stream:features>.*<\/stream:features>/s)
  assert.equal(
    features,
    `<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>`,
  )
  raw.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>`)
  await raw.until(/policy-violation.*<\/stream:stream>/s)
})

test('a domain that is not ours, and an account of another domain', async () => {
  const house = await open()
  const raw = await rawStream(house)
  raw.open('elsewhere.test')
  await raw.until(/host-unknown.*<\/stream:stream>/s)
  const other = await rawStream(house)
  other.open('example.net')
  await other.until(/<\/stream:features>/)
  other.write(
    `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from(`\0${ANNA}\0pencil`).toString('base64')}</auth>`,
  )
  await other.until(/not-authorized.*<\/stream:stream>/s)
})

test('a resource of the client’s choice, or of the server’s', async () => {
  const house = await open()
  assert.equal((await house.login(ANNA, 'sea side')).full, `${ANNA}/sea side`)
  assert.match((await house.login(ANNA)).full, /^anna@example\.org\/[a-z0-9]{12}$/)
  await assert.rejects(house.login(ANNA, 'x'.repeat(1024)), { condition: 'bad-request' })
})

test('the same resource again: the old session is closed, its contacts see it go', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await house.arrive(BERT, 'hill')
  const old = await house.arrive(ANNA, 'sea')
  await bert.news()
  const fresh = await house.arrive(ANNA, 'sea')
  const reason = await old.ended()
  assert.equal(reason.by, 'peer-error')
  assert.match(String(reason.error), /conflict/)
  assert.deepEqual(await bert.news(), [`presence unavailable ${ANNA}/sea`, `presence ${ANNA}/sea`])
  bert.send(`<message to='${ANNA}/sea'><body>still there?</body></message>`)
  assert.equal(short(await fresh.next()), `message ${BERT}/hill 'still there?'`)
})

test('an account may have so many clients, and no more', async () => {
  const house = await open({ chat: { 'sessions-per-account': 2 } })
  await house.login(ANNA, 'a')
  const second = await house.login(ANNA, 'b')
  await assert.rejects(house.login(ANNA, 'c'), { condition: 'resource-constraint' })
  await second.client.close()
  await house.login(ANNA, 'c')
})

for (const kind of ['password', 'disabled', 'deleted'] as const) {
  test(`sessions end when the account is changed: ${kind}`, async () => {
    const house = await open()
    const anna = await house.arrive(ANNA, 'sea')
    const bert = await house.arrive(BERT, 'hill')
    house.accounts.change({ kind, accountId: 'idannaexampleorg', address: ANNA })
    assert.match(String((await anna.ended()).error), /not-authorized/)
    await bert.sync()
  })
}

test('somebody else’s address ends the stream; one’s own in any spelling does not', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const anna = new RawStream(await house.socket())
  await anna.login(ANNA, 'sea')
  anna.write(`<message to='${BERT}/hill' from='Anna@Example.ORG/sea'><body>ok</body></message>`)
  assert.equal(short(await bert.next()), `message ${ANNA}/sea 'ok'`)
  // converse.js names the resource that its page has now, when it has resumed the session of the page before.
  anna.write(`<message to='${BERT}/hill' from='${ANNA}/another'><body>resumed</body></message>`)
  assert.equal(short(await bert.next()), `message ${ANNA}/sea 'resumed'`)
  anna.write(`<message to='${BERT}/hill' from='${BERT}'><body>forged</body></message>`)
  await anna.until(/invalid-from.*<\/stream:stream>/s)
  assert.deepEqual(await bert.news(), [])
})

test('bad requests are refused one by one, and the stream goes on', async () => {
  const house = await open()
  const raw = await rawStream(house)
  await raw.login(ANNA, 'sea')
  const refused = async (xml: string, condition: string): Promise<void> => {
    raw.write(xml)
    const [, found] = await raw.until(/<error type='\w+'><([a-z-]+)[^]*?<\/(?:iq|presence|message)>/)
    assert.equal(found, condition, xml)
  }
  const ping = `<ping xmlns='urn:xmpp:ping'/>`
  await refused(`<iq type='get'>${ping}</iq>`, 'bad-request')
  await refused(`<iq type='get' id=''>${ping}</iq>`, 'bad-request')
  await refused(`<iq id='1'>${ping}</iq>`, 'bad-request')
  await refused(`<iq type='ask' id='1'>${ping}</iq>`, 'bad-request')
  await refused(`<iq type='get' id='1'/>`, 'bad-request')
  await refused(`<iq type='set' id='1'>${ping}${ping}</iq>`, 'bad-request')
  await refused(`<iq type='get' id='1'><what xmlns='urn:never-heard'/></iq>`, 'service-unavailable')
  await refused(`<iq type='get' id='1' to='example.org'><what xmlns='urn:never-heard'/></iq>`, 'service-unavailable')
  await refused(`<iq type='get' id='1' to='${BERT}'>${ping.replace('ping ', 'pong ')}</iq>`, 'service-unavailable')
  await refused(`<iq type='get' id='1' to='nobody@example.org'>${ping}</iq>`, 'service-unavailable')
  await refused(`<iq type='get' id='1' to='${BERT}/gone'>${ping}</iq>`, 'service-unavailable')
  await refused(`<iq type='get' id='1' to='x@elsewhere.test'>${ping}</iq>`, 'remote-server-not-found')
  await refused(`<iq type='get' id='1' to='@'>${ping}</iq>`, 'jid-malformed')
  await refused(`<iq type='get' id='1' to='${BERT}'><query xmlns='jabber:iq:roster'/></iq>`, 'service-unavailable')
  await refused(`<presence type='subscribe'/>`, 'bad-request')
  await refused(`<presence type='dancing' to='${BERT}'/>`, 'bad-request')
  await refused(`<presence><priority>200</priority></presence>`, 'bad-request')
  await refused(`<presence><priority>high</priority></presence>`, 'bad-request')
  await refused(`<presence type='subscribe' to='${ANNA}'/>`, 'not-allowed')
  await refused(`<presence type='subscribe' to='x@elsewhere.test'/>`, 'remote-server-not-found')
  await refused(`<presence to='x@elsewhere.test'/>`, 'remote-server-not-found')
  // Answers that nobody waits for, and errors, are met with silence.
  raw.write(
    `<iq type='result' id='1' to='${BERT}'/><iq type='error' id='2'/><iq type='result' id='3' to='example.org'/>`,
  )
  raw.write(
    `<presence type='error' to='${BERT}'/><presence type='error'/><message type='error' to='x@elsewhere.test'/>`,
  )
  raw.write(`<iq type='get' id='last'>${ping}</iq>`)
  const [all] = await raw.until(/^.*id='last'/s)
  assert.equal(all.match(/<iq/g)?.length, 1)
  assert.doesNotMatch(all, /error/)
})

for (const [what, xml, condition] of [
  ['a huge stanza', `<message to='${BERT}'><body>${'x'.repeat(300_000)}</body></message>`, 'policy-violation'],
  ['elements without end', '<message>' + '<a>'.repeat(100), 'policy-violation'],
  ['an unknown element', `<wave xmlns='urn:hello'/>`, 'unsupported-stanza-type'],
  ['a document type', '<!DOCTYPE a>', 'restricted-xml'],
  ['a comment', '<!-- hello -->', 'restricted-xml'],
  ['something that is not XML', '<message><body></bady></message>', 'not-well-formed'],
] as const) {
  test(`${what} ends one stream, not the others`, async () => {
    const house = await open()
    const bert = await house.arrive(BERT, 'hill')
    const raw = await rawStream(house)
    await raw.login(ANNA, 'sea')
    raw.write(xml)
    await raw.until(new RegExp(`<${condition} .*</stream:stream>`, 's'))
    await bert.sync()
  })
}

test('before log-in stanzas are small and refused', async () => {
  const house = await open()
  const big = await rawStream(house)
  big.open()
  await big.until(/<\/stream:features>/)
  big.write(`<message><body>${'x'.repeat(11_000)}`)
  await big.until(/policy-violation/)
  const early = await rawStream(house)
  early.open()
  await early.until(/<\/stream:features>/)
  early.write(`<message to='${BERT}'><body>x</body></message>`)
  await early.until(/not-authorized/)
})

test('a client that takes its time to log in is cut off', async () => {
  const house = await open()
  const raw = await rawStream(house)
  raw.open()
  await raw.until(/<\/stream:features>/)
  house.clock.turn(60_000)
  await raw.until(/connection-timeout.*<\/stream:stream>/s)
})

test('a client that is too fast is read more slowly, and loses nothing', async () => {
  let tokens = 3
  const house = await open({ limits: { take: (name) => name !== 'c2s-stanzas' || tokens-- > 0 } })
  const bert = await house.login(BERT, 'hill')
  const anna = await house.login(ANNA, 'sea')
  for (let n = 1; n <= 5; n++) anna.send(`<message to='${BERT}/hill'><body>${n}</body></message>`)
  for (const n of ['1', '2', '3']) assert.equal((await bert.next()).childText('body'), n)
  tokens = 100
  const turning = setInterval(() => house.clock.turn(250), 5)
  for (const n of ['4', '5']) assert.equal((await bert.next()).childText('body'), n)
  clearInterval(turning)
})

test('octets are counted as well: a stanza that is larger than all that is let through at once takes its time', async () => {
  const clock = new HandClock()
  const limits = createLimits(clock, { 'c2s-octets': { rate: 1000, per: 1000, burst: 2000 } })
  const house = await open({ limits })
  const bert = await house.login(BERT, 'hill')
  const anna = await house.login(ANNA, 'sea')
  anna.send(`<message to='${BERT}/hill'><body>short</body></message>`)
  anna.send(`<message to='${BERT}/hill'><body>${'long'.repeat(1000)}</body></message>`)
  anna.send(`<message to='${BERT}/hill'><body>after it</body></message>`)
  assert.equal((await bert.next()).childText('body'), 'short')
  let turned = 0
  const turning = setInterval(() => {
    turned += 250
    clock.turn(250)
    house.clock.turn(250)
  }, 5)
  assert.equal((await bert.next()).childText('body')?.length, 4000)
  assert.ok(turned >= 2000, `after ${turned} ms`)
  assert.equal((await bert.next()).childText('body'), 'after it')
  clearInterval(turning)
})

test('two clients that want the same resource: as the config says', async () => {
  const refusing = await open({ chat: { 'resource-conflict': 'refuse-newer' } })
  const first = await refusing.arrive(ANNA, 'sea')
  await assert.rejects(refusing.login(ANNA, 'sea'), /conflict/)
  assert.deepEqual(await first.news(), [], 'the older one is left alone')
  const other = await open({ chat: { 'resource-conflict': 'another-resource' } })
  const one = await other.arrive(ANNA, 'sea')
  const two = await other.login(ANNA, 'sea')
  assert.equal(one.full, `${ANNA}/sea`)
  assert.match(two.full, /^anna@example\.org\/\w{12}$/)
  await one.sync()
  await two.sync()
})

test('a shut-down is announced', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  await Promise.all([...house.network.sessions].map((session) => session.shutdown()))
  assert.match(String((await anna.ended()).error), /system-shutdown/)
})

test('what fails inside is logged once with session and account, and told as internal-server-error', async () => {
  const { log, lines } = recordingLog('error')
  const broken = chatFeature({
    name: 'broken',
    summary: '',
    config: v.strictObject({}),
    attach: (host) => host.iq.get('urn:broken', 'q', ['self'], () => Promise.reject(new Error('defect'))),
  })
  const house = await open({ features: [...FEATURES, broken], log })
  const anna = await house.arrive(ANNA, 'sea')
  await assert.rejects(anna.request('get', `<q xmlns='urn:broken'/>`), { condition: 'internal-server-error' })
  await anna.sync()
  assert.equal(lines.length, 1)
  assert.equal(lines[0]?.account, ANNA)
  assert.match(String(lines[0]?.session), /^s\d+$/)
})

test('a reload: sessions of both generations meet, and all use the new features', async () => {
  const colour = sessionSlot<string>('colour')
  const painter = (name: string) =>
    chatFeature({
      name: 'painter',
      summary: '',
      config: v.strictObject({}),
      attach(host) {
        host.iq.get('urn:paint', 'q', ['self'], (iq) => {
          const before = iq.origin.session?.get(colour)
          iq.origin.session?.set(colour, name)
          if (before === undefined) return iq.result()
          return iq.result(iq.payload.with({ before, now: name }))
        })
      },
    })
  const house = await open({ features: [...FEATURES, painter('red')] })
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  await anna.request('get', `<q xmlns='urn:paint'/>`)

  const before = await house.reload({ ...house.options, features: [...FEATURES, painter('blue')] })
  const bert = await house.arrive(BERT, 'hill')
  assert.deepEqual(await anna.news(), [`presence ${BERT}/hill`])
  anna.send(`<message to='${BERT}' type='chat'><body>old to new</body></message>`)
  assert.equal(short(await bert.next()), `message chat ${ANNA}/sea 'old to new'`)
  bert.send(`<message to='${ANNA}/sea' type='chat'><body>new to old</body></message>`)
  assert.equal(short(await anna.next()), `message chat ${BERT}/hill 'new to old'`)
  const painted = (await anna.request('get', `<q xmlns='urn:paint'/>`)).firstElement
  assert.deepEqual([painted?.get('before'), painted?.get('now')], ['red', 'blue'], 'what was kept is kept')

  const watchers = house.accounts.watchers
  await before.scope.close()
  assert.equal(house.accounts.watchers, watchers / 2, 'the old generation has let go, the new one listens')
  anna.send(`<message to='${BERT}' type='chat'><body>still</body></message>`)
  assert.equal(short(await bert.next()), `message chat ${ANNA}/sea 'still'`)
  await anna.rosterSet(`<item jid='${BERT}' name='B'/>`)
  assert.deepEqual(await anna.news(), [`iq set ${BERT} both`])
})

test('a generation that does not start leaves the one before at work', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const failing = chatFeature({
    name: 'failing',
    summary: '',
    config: v.strictObject({}),
    attach() {
      throw new Error('no')
    },
  })
  await assert.rejects(house.generate({ features: [failing] }))
  await anna.sync()
  assert.match(String(await anna.request('get', `<query xmlns='jabber:iq:version'/>`, 'example.org')), /Aviso/)
})
