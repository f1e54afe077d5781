// Clients that mean harm: each gets the error of the RFC, and the others notice nothing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import { type House, opener, type Peer, RawStream } from './house.ts'

const open = opener()

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CSI_INACTIVE = `<inactive xmlns='${NS.csi}'/>`

async function loggedIn(house: House, resource: string): Promise<RawStream> {
  const raw = new RawStream(await house.socket())
  await raw.login(ANNA, resource)
  return raw
}

test('XML that nobody should send ends the stream that it came on, with the error of RFC 6120 §11', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const attributes = Array.from({ length: 300 }, (_, index) => `a${index}='x'`).join(' ')
  const cases: readonly (readonly [what: string, octets: string | Buffer, condition: string])[] = [
    ['depth', `<message>${'<a>'.repeat(100)}`, 'policy-violation'],
    ['attributes', `<message ${attributes}/>`, 'policy-violation'],
    ['an entity', '<message><body>&lol;</body></message>', 'restricted-xml'],
    ['a bomb', `<!DOCTYPE lolz [<!ENTITY lol "lol">]><message/>`, 'restricted-xml'],
    ['a processing instruction', '<?php phpinfo() ?>', 'restricted-xml'],
    ['overlong UTF-8', Buffer.from('<message><body>\xc0\xbc</body></message>', 'latin1'), 'not-well-formed'],
    ['half a character', Buffer.from('<message><body>\xc3</body></message>', 'latin1'), 'not-well-formed'],
    ['NUL', '<message><body>\u0000</body></message>', 'not-well-formed'],
    ['a prefix that is not bound', '<x:message/>', 'bad-namespace-prefix'],
    ['the stream’s own end, nested', '<message></stream:stream></message>', 'not-well-formed'],
  ]
  for (const [index, [what, octets, condition]] of cases.entries()) {
    const raw = await loggedIn(house, `sea${index}`)
    raw.socket.write(octets)
    const [found] = await raw.until(/<stream:error.*<\/stream:stream>/s)
    assert.match(found, new RegExp(`<${condition} `), what)
  }
  assert.deepEqual(await bert.news(), [])
})

test('a whole session, octet by octet, is like any other', async () => {
  const house = await open()
  const bert = await house.arrive(BERT, 'hill')
  const raw = await loggedIn(house, 'sea')
  raw.socket.setNoDelay(true)
  const stanza = Buffer.from(`<message to='${BERT}/hill' type='chat'><body>é😀&amp;<![CDATA[<]]></body></message>`)
  for (const octet of stanza) {
    raw.socket.write(Buffer.of(octet))
    await new Promise(setImmediate)
  }
  assert.equal((await bert.next()).childText('body'), 'é😀&<')
})

test('addresses that are too long, or none: jid-malformed, wherever they stand', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  for (const jid of [
    `${'a'.repeat(1024)}@example.org`,
    `a@${'b'.repeat(64)}.org`,
    `a@example.org/${'r'.repeat(1024)}`,
    'a b@example.org',
    'henry\u2163@example.org',
    'a\u200d@example.org',
    'a@example.org/\u007f',
    'a@@example.org',
    '@example.org',
  ]) {
    const stanzas = [
      `<message to='${jid}'><body>x</body></message>`,
      `<presence to='${jid}'/>`,
      `<presence type='subscribe' to='${jid}'/>`,
    ]
    for (const stanza of stanzas) {
      anna.send(stanza)
      assert.match((await anna.news()).join(), /jid-malformed$/, stanza)
    }
    for (const [payload, condition] of [
      [`<query xmlns='jabber:iq:roster'><item jid='${jid}'/></query>`, 'jid-malformed'],
      [`<block xmlns='urn:xmpp:blocking'><item jid='${jid}'/></block>`, 'jid-malformed'],
    ] as const)
      await assert.rejects(anna.request('set', payload), { condition }, payload)
    await assert.rejects(anna.request('get', `<ping xmlns='urn:xmpp:ping'/>`, jid), { condition: 'jid-malformed' })
  }
  for (const resource of ['\u007f', 'r'.repeat(1024)]) {
    const raw = new RawStream(await house.socket())
    await raw.authenticate(BERT)
    raw.write(`<iq type='set' id='b'><bind xmlns='${NS.bind}'><resource>${resource}</resource></bind></iq>`)
    const [answer] = await raw.until(/<iq .*<\/iq>/s)
    assert.match(answer, /<(?:bad-request|jid-malformed) /)
  }
  assert.deepEqual(await anna.news(), [])
})

test('a storm of clients that want one resource leaves one of them, and nobody sees more than one come', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await house.arrive(BERT, 'hill')
  const storm = await Promise.all(Array.from({ length: 30 }, () => house.login(ANNA, 'sea')))
  const sessions = house.chat.directory.account(ANNA)?.sessions ?? []
  assert.equal(sessions.length, 1)
  const ends: string[] = []
  await Promise.all(
    storm.map(async (peer) => {
      peer.send('<presence/>')
      // Who is gone hears why, who is left is answered.
      await Promise.race([peer.sync().catch(() => undefined), peer.ended()])
      const end = await Promise.race([peer.ended(), Promise.resolve(undefined)])
      if (end !== undefined) ends.push(String(end.error))
    }),
  )
  assert.equal(ends.length, 29)
  assert.ok(ends.every((end) => end.includes('conflict')))
  assert.deepEqual(await bert.news(), [`presence ${ANNA}/sea`])
})

test('a storm of clients is as many as an account may have; the others are told, and may come when there is room', async () => {
  const house = await open({ chat: { 'sessions-per-account': 5 } })
  const storm = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => house.login(ANNA, `r${index}`)))
  assert.equal(storm.filter(({ status }) => status === 'fulfilled').length, 5)
  for (const each of storm)
    if (each.status === 'rejected')
      assert.equal((each.reason as { condition?: string }).condition, 'resource-constraint')
  assert.equal(house.chat.directory.account(ANNA)?.sessions.length, 5)
  await (await house.arrive(BERT, 'hill')).sync()
})

test('a storm of presence: who looks sees all of it, who does not look the last of it', async () => {
  const house = await open()
  house.accounts.add('dora@example.org')
  for (const friend of [BERT, 'dora@example.org']) await house.befriend(ANNA, friend)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const dora = await house.arrive('dora@example.org', 'phone')
  dora.send(CSI_INACTIVE)
  await dora.sync()
  const shown = (stanzas: readonly Element[]): (string | undefined)[] =>
    stanzas.filter((stanza) => stanza.get('from') === anna.full).map((stanza) => stanza.childText('status'))
  const storm = Array.from({ length: 200 }, (_, index) => `<presence><status>${index}</status></presence>`)
  anna.send(storm.join(''))
  await anna.sync()
  await bert.sync()
  assert.deepEqual(
    shown(bert.clear()),
    storm.map((_, index) => `${index}`),
  )
  dora.send(`<active xmlns='${NS.csi}'/>`)
  await dora.sync()
  assert.deepEqual(shown(dora.clear()), ['199'])
})

test('clients that answer every word about subscriptions with another one come to an end', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const REPLY: Readonly<Record<string, string>> = {
    subscribe: 'subscribed',
    subscribed: 'subscribe',
    unsubscribe: 'unsubscribed',
    unsubscribed: 'unsubscribe',
  }
  let said = 0
  /** What came is answered; true where there was something to say. */
  const answer = async (peer: Peer): Promise<boolean> => {
    await peer.sync()
    let spoke = false
    for (const stanza of peer.clear()) {
      const reply = stanza.name === 'presence' ? REPLY[stanza.get('type') ?? ''] : undefined
      if (reply === undefined) continue
      spoke = true
      said++
      peer.send(`<presence type='${reply}' to='${peer === anna ? BERT : ANNA}'/>`)
    }
    return spoke
  }
  for (const begin of ['subscribe', 'unsubscribe']) {
    anna.send(`<presence type='${begin}' to='${BERT}'/>`)
    await anna.sync()
    for (let quiet = 0; quiet < 2;) quiet = [await answer(bert), await answer(anna)].includes(true) ? 0 : quiet + 1
    assert.ok(said < 20, `${said} words after ${begin}`)
  }
  bert.send(`<message to='${ANNA}' type='chat'><body>enough</body></message>`)
  await bert.sync()
  assert.ok((await anna.news()).some((line) => line === `message chat ${BERT}/hill 'enough'`))
})
