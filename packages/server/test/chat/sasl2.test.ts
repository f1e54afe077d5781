// SASL2 (XEP-0388) and Bind 2 (XEP-0386): a login and all that a client needs with it, in one round trip.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { NS } from '@aviso/xmpp'
import { House, RawStream } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const PHONE = 'd4565fa7-4d72-4749-b3d3-740edbf87770'

/** Opens a stream and reads its features. */
async function opened(house: House): Promise<{ readonly stream: RawStream; readonly features: string }> {
  const stream = new RawStream(await house.socket())
  stream.open()
  const [features] = await stream.until(/<stream:features>[^]*<\/stream:features>/)
  return { stream, features }
}

const initial = (bare: string, password = 'pencil'): string =>
  `<initial-response>${Buffer.from(`\0${bare}\0${password}`).toString('base64')}</initial-response>`

const authenticate = (bare: string, inside = '', password?: string): string =>
  `<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'>${initial(bare, password)}${inside}</authenticate>`

const agent = (id = PHONE): string =>
  `<user-agent id='${id}'><software>AwesomeXMPP</software><device>Kiva's Phone</device></user-agent>`

const bind = (inside = '', tag = 'AwesomeXMPP'): string => `<bind xmlns='${NS.bind2}'><tag>${tag}</tag>${inside}</bind>`

const sessions = (house: House, bare: string) => house.chat.directory.account(bare)?.sessions ?? []

/** Logs in and answers what follows. */
async function login(house: House, inside: string, bare = ANNA): Promise<{ stream: RawStream; success: string }> {
  const { stream } = await opened(house)
  stream.write(authenticate(bare, inside))
  const [success] = await stream.until(/<success [^]*?<\/success>/)
  return { stream, success }
}

test('one round trip: login, resource, carbons, stream management, and what the archive holds', async () => {
  const house = await open()
  const { stream, features } = await opened(house)
  assert.match(
    features,
    /<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1<\/mechanism><mechanism>PLAIN<\/mechanism><inline><bind xmlns='urn:xmpp:bind:0'><inline>/,
  )
  for (const feature of [NS.carbons, NS.csi, NS.streamManagement])
    assert.ok(features.includes(`<feature var='${feature}'/>`), feature)
  assert.match(features, /<sm xmlns='urn:xmpp:sm:3'\/><\/inline><\/authentication>/)
  const wishes = `<enable xmlns='${NS.carbons}'/><enable xmlns='${NS.streamManagement}' resume='true'/><inactive xmlns='${NS.csi}'/><wish xmlns='urn:unknown'/>`
  stream.write(authenticate(ANNA, agent() + bind(wishes)))
  const [, jid = '', bound = ''] = await stream.until(
    /<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>([^<]+)<\/authorization-identifier><bound xmlns='urn:xmpp:bind:0'>([^]*?)<\/bound><\/success><stream:features>/,
  )
  assert.match(jid, /^anna@example\.org\/AwesomeXMPP\/[\w-]{14}$/)
  assert.equal(jid.includes(PHONE), false)
  assert.match(
    bound,
    /^<metadata xmlns='urn:xmpp:mam:2'\/><enabled xmlns='urn:xmpp:sm:3' id='[^']+' resume='true' max='600'\/>$/,
  )
  const [session] = sessions(house, ANNA)
  assert.equal(session?.full, jid)
  assert.deepEqual(session.userAgent, { id: PHONE, software: 'AwesomeXMPP', device: "Kiva's Phone" })
  assert.notEqual(session.gate, undefined, 'it began inactive')
  // No restart: the next thing is a stanza, and it is counted.
  stream.write(`<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq><r xmlns='${NS.streamManagement}'/>`)
  await stream.until(/<iq [^>]*id='p'[^]*<a xmlns='urn:xmpp:sm:3' h='1'\/>/)
  // Carbons are on.
  const desk = await house.arrive(ANNA, 'desk')
  await house.arrive(BERT, 'hill')
  stream.write(`<active xmlns='${NS.csi}'/>`)
  desk.send(`<message type='chat' to='${BERT}'><body>from the desk</body></message>`)
  await stream.until(/<sent xmlns='urn:xmpp:carbons:2'>[^]*from the desk/)
})

test('without a wish for a resource one is bound as ever, on the same stream', async () => {
  const house = await open()
  const { stream } = await opened(house)
  stream.write(authenticate(ANNA))
  await stream.until(
    /<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>anna@example.org<\/authorization-identifier><\/success><stream:features>[^]*<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'\/>/,
  )
  stream.write(
    `<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>sea</resource></bind></iq>`,
  )
  await stream.until(/<jid>anna@example.org\/sea<\/jid>/)
})

test('an installation has one resource, and is there once', async () => {
  const house = await open()
  const first = await login(house, agent() + bind())
  const second = await login(house, agent() + bind())
  await first.stream.until(/<conflict xmlns/)
  const resource = (text: string): string => /<authorization-identifier>([^<]+)/.exec(text)?.[1] ?? ''
  assert.equal(resource(first.success), resource(second.success))
  // Under another tag it is the same installation still.
  await login(house, agent() + bind('', 'Beta'))
  await second.stream.until(/<conflict xmlns/)
  assert.equal(sessions(house, ANNA).length, 1)
  // Another one, without an id and with a tag that is none.
  const other = await login(house, bind('', 'no\ntag'))
  assert.match(resource(other.success), /^anna@example.org\/\w+$/)
  assert.equal(sessions(house, ANNA).length, 2)
})

test('a stream is resumed with the login: nothing was missed, no features follow, no resource is bound', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const first = await login(house, bind(`<enable xmlns='${NS.streamManagement}' resume='true'/>`))
  const [, id = ''] = /id='([^']+)' resume/.exec(first.success) ?? []
  const full = sessions(house, ANNA)[0]?.full ?? ''
  bert.send(`<message type='chat' to='${full}'><body>missed</body></message>`)
  await first.stream.until(/missed/)
  const { stream } = await opened(house)
  stream.write(authenticate(ANNA, `${bind()}<resume xmlns='${NS.streamManagement}' previd='${id}' h='0'/>`))
  const [all] = await stream.until(/<success [^]*<body>missed<\/body>[^]*<r xmlns='urn:xmpp:sm:3'\/>/)
  assert.match(
    all,
    /^<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>[^<]+<\/authorization-identifier><resumed xmlns='urn:xmpp:sm:3' previd='[^']+' h='0'\/><\/success><message/,
  )
  assert.equal(sessions(house, ANNA).length, 1)
  stream.write(`<message type='chat' to='${BERT}'><body>back</body></message>`)
  assert.equal((await bert.next()).childText('body'), 'back')
})

test("another's stream is not resumed: the client is told, and gets a resource of its own", async () => {
  const house = await open()
  const anna = await login(house, bind(`<enable xmlns='${NS.streamManagement}' resume='true'/>`))
  const [, id = ''] = /id='([^']+)' resume/.exec(anna.success) ?? []
  const bert = await login(house, `${bind()}<resume xmlns='${NS.streamManagement}' previd='${id}' h='0'/>`, BERT)
  assert.match(bert.success, /<failed xmlns='urn:xmpp:sm:3'><item-not-found [^>]*\/>[^]*<\/failed><bound /)
  assert.match(bert.success, /<authorization-identifier>bert@example.org\//)
  assert.equal(sessions(house, ANNA).length, 1)
})

test('what is inline with a failed login is not done, and failures of both kinds are counted together', async () => {
  const house = await open()
  const { stream } = await opened(house)
  stream.write(authenticate(ANNA, bind(), 'wrong'))
  await stream.until(
    /<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'\/><text>[^<]+<\/text><\/failure>/,
  )
  assert.equal(sessions(house, ANNA).length, 0)
  stream.write(
    `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${Buffer.from(`\0${ANNA}\0wrong`).toString('base64')}</auth>`,
  )
  await stream.until(/<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>/)
  stream.write(authenticate(ANNA, bind(), 'wrong again'))
  await stream.until(/<failure [^]*<policy-violation /)
})

test('a client that does not keep to the rules', async () => {
  const house = await open()
  const answers: readonly (readonly [string, RegExp])[] = [
    [`<authenticate xmlns='${NS.sasl2}' mechanism='NONE'/>`, /<invalid-mechanism /],
    [
      `<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'><initial-response>%</initial-response></authenticate>`,
      /<incorrect-encoding /,
    ],
    [authenticate(ANNA, agent('Kiva')), /<malformed-request /],
    [`<response xmlns='${NS.sasl2}'/>`, /<malformed-request /],
    [`<next xmlns='${NS.sasl2}' task='UPGR-SCRAM-SHA-256'/>`, /<malformed-request /],
    [`<abort xmlns='${NS.sasl2}'/>`, /<aborted /],
  ]
  for (const [xml, failure] of answers) {
    const { stream } = await opened(house)
    stream.write(xml)
    const [text] = await stream.until(/<failure [^]*?<\/failure>/)
    assert.match(text, failure)
  }
  for (const xml of [
    authenticate(ANNA),
    `<auth xmlns='${NS.sasl}' mechanism='PLAIN'/>`,
    `<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`,
  ]) {
    const { stream } = await opened(house)
    stream.write(`<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'/>`)
    await stream.until(/<challenge /)
    stream.write(xml)
    await stream.until(/<stream:error><policy-violation /)
  }
  const { stream } = await opened(house)
  stream.write(authenticate(ANNA, `<user-agent id='${PHONE}'><device>${'x'.repeat(20_000)}</device></user-agent>`))
  await stream.until(/<stream:error>/)
  assert.equal(sessions(house, ANNA).length, 0)
})

test('a description that is too long is cut, and nobody else is told of it', async () => {
  const house = await open()
  await login(house, `<user-agent id='${PHONE}'><device>${'x'.repeat(500)}</device></user-agent>${bind()}`)
  assert.equal(sessions(house, ANNA)[0]?.userAgent?.device?.length, 128)
})

test('a stream that was opened in the name of another', async () => {
  const house = await open()
  const stream = new RawStream(await house.socket())
  stream.write(
    `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='${BERT}' to='example.org' version='1.0'>`,
  )
  await stream.until(/<\/stream:features>/)
  stream.write(authenticate(ANNA, bind()))
  await stream.until(/<failure xmlns='urn:xmpp:sasl:2'><invalid-authzid /)
  assert.equal(sessions(house, ANNA).length, 0)
})

test('switched off, there is no SASL2', async () => {
  const house = await open({ c2s: { sasl2: false } })
  const { stream, features } = await opened(house)
  assert.doesNotMatch(features, /authentication/)
  stream.write(authenticate(ANNA))
  await stream.until(/<unsupported-stanza-type /)
})
