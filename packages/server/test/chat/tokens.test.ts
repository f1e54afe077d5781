// Tokens in place of the password (XEP-0484), and forms of the password that a client adds (XEP-0480).

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { clientMechanism, saltedPassword, tokenClient } from '@aviso/sasl'
import { NS } from '@aviso/xmpp'
import type { Form } from '../../src/accounts/config.ts'
import { Accounts, type LoginContext } from '../../src/accounts/contracts.ts'
import { clientKey } from '../../src/accounts/clients.ts'
import { accountStore } from '../../src/accounts/store.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { House, RawStream } from './house.ts'

const houses: House[] = []
const { log, lines } = recordingLog()
const open = async (...forms: Form[]): Promise<House> => {
  const house = await House.open({ real: true, log, ...(forms.length > 0 && { forms }) })
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const PHONE = 'd4565fa7-4d72-4749-b3d3-740edbf87770'
const TABLET = 'd4565fa7-4d72-4749-b3d3-740edbf87771'
const NONE = 'HT-SHA-256-NONE'
const CONTEXT: LoginContext = { protocol: 'imap', session: 's', remoteAddress: '192.0.2.7', secure: true }
const DAY = 86_400_000

const agent = (id: string): string =>
  `<user-agent id='${id}'><software>AwesomeXMPP</software><device>Phone</device></user-agent>`
const WISH = `<request-token xmlns='${NS.fast}' mechanism='${NONE}'/>`

/** What the server says to a login: the end of it, and the stream. */
async function attempt(house: House, xml: string): Promise<{ readonly stream: RawStream; readonly end: string }> {
  const stream = new RawStream(await house.socket())
  stream.open()
  await stream.until(/<\/stream:features>/)
  stream.write(xml)
  const state = { over: false }
  const answer = stream.until(/<(success|failure) [^]*?<\/\1>/).finally(() => (state.over = true))
  // A failure is held back for a millisecond.
  while (!state.over) {
    await new Promise((resolve) => setImmediate(resolve))
    house.clock.turn(1)
  }
  const [end] = await answer
  return { stream, end }
}

const withPassword = (inside: string, bare = ANNA): string =>
  `<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'><initial-response>${Buffer.from(`\0${bare}\0pencil`).toString('base64')}</initial-response>${inside}</authenticate>`

interface Use {
  readonly bare?: string
  readonly id?: string
  readonly fast?: string
  readonly inside?: string
  readonly mechanism?: string
}

async function withToken(house: House, token: string, use: Use = {}): Promise<string> {
  const { bare = ANNA, id = PHONE, fast = '', inside = '', mechanism = NONE } = use
  const client = tokenClient(NONE, bare, Buffer.from(token), undefined)
  const initial = Buffer.from((await client.start()) ?? []).toString('base64')
  const { end } = await attempt(
    house,
    `<authenticate xmlns='${NS.sasl2}' mechanism='${mechanism}'><initial-response>${initial}</initial-response>${agent(id)}<fast xmlns='${NS.fast}'${fast}/>${inside}</authenticate>`,
  )
  const [, data] = /<additional-data>([^<]+)/.exec(end) ?? []
  // The server proves itself.
  if (end.startsWith('<success')) await client.success(Buffer.from(data ?? '', 'base64'))
  return end
}

const tokenOf = (end: string): string | undefined =>
  /<token xmlns='urn:xmpp:fast:0' expiry='[^']+Z' token='([^']+)'\/>/.exec(end)?.[1]

async function given(house: House, id = PHONE): Promise<string> {
  const token = tokenOf((await attempt(house, withPassword(agent(id) + WISH))).end)
  assert.ok(token)
  return token
}

const SUCCESS = /^<success /
const REFUSED = /^<failure [^>]*><not-authorized /

test('a token stands for the password, for its own client only', async () => {
  const house = await open()
  const stream = new RawStream(await house.socket())
  stream.open()
  // Without TLS there is nothing to bind to.
  await stream.until(/<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE<\/mechanism><\/fast><\/inline>/)
  const token = await given(house)
  const end = await withToken(house, token, { inside: `<bind xmlns='${NS.bind2}'><tag>Awesome</tag></bind>` })
  assert.match(end, /<authorization-identifier>anna@example.org\/Awesome\/[^<]+<\/authorization-identifier><bound /)
  assert.equal(tokenOf(end), undefined, 'it is young')
  assert.match(await withToken(house, token), SUCCESS, 'again')
  assert.match(await withToken(house, token, { id: TABLET }), REFUSED)
  assert.match(await withToken(house, token, { bare: BERT }), REFUSED)
  assert.match(await withToken(house, 'another'), REFUSED)
  assert.match(await withToken(house, token, { mechanism: 'HT-SHA-256-ENDP' }), /<invalid-mechanism /)
  assert.match(await withToken(house, token, { mechanism: 'PLAIN' }), /<invalid-mechanism /)
  const audited = lines.filter((line) => line['event'] === 'login' && line['mechanism'] === NONE)
  assert.deepEqual(
    audited.map((line) => line['outcome']),
    ['success', 'success', 'failure', 'failure', 'failure'],
  )
})

test('without an id there is no token, and none that was not asked for', async () => {
  const house = await open()
  assert.equal(tokenOf((await attempt(house, withPassword(WISH))).end), undefined)
  assert.equal(tokenOf((await attempt(house, withPassword(agent(PHONE)))).end), undefined)
  const unknown = `<request-token xmlns='${NS.fast}' mechanism='HT-SHA-256-EXPR'/>`
  assert.equal(tokenOf((await attempt(house, withPassword(agent(PHONE) + unknown))).end), undefined)
})

test('an old token is followed by a new one, and is good until that is used', async () => {
  const house = await open()
  const first = await given(house)
  assert.match(await withToken(house, first), SUCCESS)
  house.clock.turn(DAY)
  const lost = tokenOf(await withToken(house, first))
  assert.ok(lost)
  // It never arrived: the first is good still, and the lost one is not.
  const second = tokenOf(await withToken(house, first))
  assert.ok(second)
  assert.match(await withToken(house, lost), REFUSED)
  assert.match(await withToken(house, second), SUCCESS)
  assert.match(await withToken(house, first), REFUSED)
  house.clock.turn(21 * DAY)
  assert.match(await withToken(house, second), /^<failure [^>]*><credentials-expired /)
})

test('a count is used once', async () => {
  const house = await open()
  const token = await given(house)
  assert.match(await withToken(house, token, { fast: " count='5'" }), SUCCESS)
  assert.match(await withToken(house, token, { fast: " count='5'" }), REFUSED, 'replayed')
  assert.match(await withToken(house, token, { fast: " count='4'" }), REFUSED)
  assert.match(await withToken(house, token, { fast: " count='many'" }), /<malformed-request /)
  assert.match(await withToken(house, token, { fast: " count='6'" }), SUCCESS)
})

test('a client that logs out for good', async () => {
  const house = await open()
  const token = await given(house)
  house.clock.turn(2 * DAY)
  assert.equal(tokenOf(await withToken(house, token, { fast: " invalidate='true'" })), undefined)
  assert.match(await withToken(house, token), REFUSED)
})

test('tokens die with the password, with the account, and by an administrator', async () => {
  const house = await open()
  const before = await given(house)
  await house.admin.setPassword(ANNA, 'pencil')
  assert.match(await withToken(house, before), REFUSED)
  const disabled = await given(house)
  await house.admin.disableAccount(ANNA)
  assert.match(await withToken(house, disabled), REFUSED)
  await house.admin.enableAccount(ANNA)
  assert.match(await withToken(house, disabled), REFUSED, 'it does not come back')
  const [phone, tablet] = [await given(house), await given(house, TABLET)]
  const listed = await house.admin.listClients(ANNA)
  assert.deepEqual(
    listed.map(({ software, device, expires = 0 }) => [
      software,
      device,
      Math.ceil((expires - house.clock.now()) / DAY),
    ]),
    [
      ['AwesomeXMPP', 'Phone', 21],
      ['AwesomeXMPP', 'Phone', 21],
    ],
  )
  assert.doesNotMatch(JSON.stringify(listed), /d4565fa7/)
  // Which one is the tablet's is seen by what is left.
  assert.equal(await house.admin.revokeClients(ANNA, listed[0]?.client.slice(0, 12)), 1)
  const outcomes = [await withToken(house, phone), await withToken(house, tablet, { id: TABLET })]
  assert.equal(outcomes.filter((end) => SUCCESS.test(end)).length, 1)
  assert.equal(await house.admin.revokeClients(ANNA, 'nobody'), 0)
  await assert.rejects(house.admin.revokeClients(ANNA, ''))
  assert.equal(await house.admin.revokeClients(ANNA), 1)
  assert.deepEqual(await house.admin.listClients(ANNA), [])
})

test('a client that is revoked has to go, and the others of the account stay', async () => {
  const house = await open()
  const bind = `<bind xmlns='${NS.bind2}'><tag>Awesome</tag><enable xmlns='${NS.streamManagement}' resume='true'/></bind>`
  const login = (id: string): ReturnType<typeof attempt> => attempt(house, withPassword(agent(id) + WISH + bind))
  const phone = await login(PHONE)
  await login(TABLET)
  const other = await house.arrive(ANNA, 'without an id')
  await house.admin.revokeClients(ANNA, clientKey(PHONE))
  await phone.stream.until(/<stream:error><not-authorized [^]*this client was revoked/)
  const left = house.chat.directory.account(ANNA)?.sessions ?? []
  assert.deepEqual(left.map(({ userAgent }) => userAgent?.id).sort(), [TABLET, undefined])
  await other.sync()
  // After a restart the one that was away is known still.
  await house.restart()
  assert.equal(house.chat.directory.account(ANNA)?.sessions.length, 1)
  await house.admin.revokeClients(ANNA, clientKey(TABLET))
  assert.equal(house.chat.directory.account(ANNA), undefined)
})

test('who logged in before the password was changed gets no token after it', async () => {
  const house = await open()
  const rows = house.store.core(accountStore)
  const account = await rows.accountByAddress(ANNA)
  const token = { account: account?.id ?? '', client: 'c', software: '', device: '', mechanism: NONE, secret: 's' }
  const began = house.clock.now()
  assert.equal(await rows.giveToken({ ...token, expires: began + DAY, began }), true)
  house.clock.turn(1)
  await house.admin.setPassword(ANNA, 'crayon')
  assert.equal(await rows.giveToken({ ...token, expires: began + DAY, began }), false)
})

/** Takes a form away, as for an account from before it was wanted. */
async function without(house: House, form: Form): Promise<void> {
  const rows = house.store.core(accountStore)
  const found = await rows.login(ANNA)
  const secret = found?.credentials['SCRAM-SHA-1'] ?? ''
  await rows.upgradeCredentials({
    id: found?.account.id ?? '',
    proof: { form: 'SCRAM-SHA-1', secret },
    add: {},
    remove: [form],
  })
}

const upgrade = (form: string): string => `<upgrade xmlns='${NS.saslUpgrade}'>UPGR-${form}</upgrade>`

/** Logs in with SCRAM-SHA-1 and asks for an upgrade; answers what the server says then. */
async function scramAsking(house: House, inside: string): Promise<{ stream: RawStream; answer: string }> {
  const stream = new RawStream(await house.socket())
  stream.open()
  const [features] = await stream.until(/<authentication [^]*<inline>/)
  const mechanisms = [...features.matchAll(/<mechanism>([^<]+)/g)].map(([, name = '']) => name)
  await stream.until(/<\/stream:features>/)
  const client = clientMechanism(['SCRAM-SHA-1'], {
    authcid: ANNA,
    password: 'pencil',
    secure: false,
    announced: { mechanisms, bindings: undefined },
  })
  assert.ok(client)
  const first = Buffer.from((await client.start()) ?? []).toString('base64')
  stream.write(
    `<authenticate xmlns='${NS.sasl2}' mechanism='SCRAM-SHA-1'><initial-response>${first}</initial-response>${inside}</authenticate>`,
  )
  const [, challenge = ''] = await stream.until(/<challenge [^>]*>([^<]+)<\/challenge>/)
  // What was offered is signed (XEP-0474); the client compares it.
  assert.match(Buffer.from(challenge, 'base64').toString(), /,i=4096,h=[^,]+$/)
  const response = await client.next(Buffer.from(challenge, 'base64'))
  stream.write(`<response xmlns='${NS.sasl2}'>${Buffer.from(response).toString('base64')}</response>`)
  const [answer] = await stream.until(/<(success|failure|continue) [^]*?<\/\1>/)
  const [, data = ''] = /<additional-data>([^<]+)/.exec(answer) ?? []
  await client.success(Buffer.from(data, 'base64'))
  return { stream, answer }
}

for (const [form, hash] of [
  ['SCRAM-SHA-256', 'SHA-256'],
  ['SCRAM-SHA-512', 'SHA-512'],
] as const) {
  test(`a client that logged in with SCRAM-SHA-1 gives the account ${form}`, async () => {
    const house = await open('SCRAM-SHA-1', form)
    await without(house, form)
    const { stream, answer } = await scramAsking(house, upgrade('SCRAM-SHA-1') + upgrade(form))
    assert.match(answer, new RegExp(`<tasks><task>UPGR-${form}</task></tasks></continue>$`))
    stream.write(`<next xmlns='${NS.sasl2}' task='UPGR-${form}'/>`)
    const [, iterations = '', salt = ''] = await stream.until(
      /<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='(\d+)'>([^<]+)<\/salt><\/task-data>/,
    )
    const salted = await saltedPassword(hash, 'pencil', Buffer.from(salt, 'base64'), Number(iterations))
    stream.write(
      `<task-data xmlns='${NS.sasl2}'><hash xmlns='${NS.scramUpgrade}'>${salted.toString('base64')}</hash></task-data>`,
    )
    await stream.until(/<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>anna@example.org</)
    // Durable before success, and right: the new form logs in.
    const server = house.root.use(Accounts).begin(form, CONTEXT)
    const client = clientMechanism([form], { authcid: ANNA, password: 'pencil', secure: true })
    assert.ok(server && client)
    let step = await server.start(await client.start())
    while (step.kind === 'challenge') step = await server.next(await client.next(step.data))
    assert.equal(step.kind, 'success')
    // There is nothing left to do.
    assert.match((await scramAsking(house, upgrade(form))).answer, SUCCESS)
  })
}

test('an upgrade that is none ends the login, and leaves the account as it was', async () => {
  const house = await open('SCRAM-SHA-1', 'SCRAM-SHA-256')
  await without(house, 'SCRAM-SHA-256')
  for (const [task, hash] of [
    ['UPGR-SCRAM-SHA-256', 'c2hvcnQ='],
    ['UPGR-SCRAM-SHA-512', ''],
  ]) {
    const { stream } = await scramAsking(house, upgrade('SCRAM-SHA-256'))
    stream.write(`<next xmlns='${NS.sasl2}' task='${task}'/>`)
    stream.write(`<task-data xmlns='${NS.sasl2}'><hash xmlns='${NS.scramUpgrade}'>${hash}</hash></task-data>`)
    await stream.until(/<failure xmlns='urn:xmpp:sasl:2'><malformed-request /)
  }
  assert.deepEqual((await house.admin.showAccount(ANNA)).forms, ['SCRAM-SHA-1'])
})

test('a token makes no form of the password', async () => {
  const house = await open('SCRAM-SHA-1', 'SCRAM-SHA-256')
  const token = await given(house)
  await without(house, 'SCRAM-SHA-256')
  assert.match(await withToken(house, token, { inside: upgrade('SCRAM-SHA-256') }), SUCCESS)
})
