// XEP-0163: people publish, their contacts hear of it, strangers do not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_PARSER_LIMITS, el, type Element, Jid, readElement } from '@aviso/xmpp'
import { rosterStore } from '../../../src/chat/core/roster.store.ts'
import { Interest, wants } from '../../../src/chat/pubsub/interests.ts'
import { FEATURES, managed, opener, resume } from '../house.ts'
import {
  answerTo,
  arriveWanting,
  INFO,
  itemsOf,
  presenceWanting,
  publish,
  PUBSUB,
  settled,
  told,
  toldBy,
} from './clients.ts'

const open = opener()

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const CLEO = 'cleo@example.net'
const TUNE = 'urn:example:tune'

test('a contact that wants to hear of it is told; its other client, and who does not want to, are not (pep_publish_subscribe)', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await arriveWanting(house, ANNA, 'sea', [TUNE])
  const phone = await house.arrive(ANNA, 'phone')
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE], true)
  const deaf = await house.arrive(BERT, 'vale')
  const cleo = await arriveWanting(house, CLEO, 'city', [TUNE], true)
  for (const peer of [anna, phone, bert, deaf, cleo]) peer.clear()
  await publish(phone, TUNE, 'now', 'Yesterday')
  const news = [`${ANNA} ${TUNE} now=Yesterday`]
  assert.deepEqual(await told(bert), news)
  assert.deepEqual(await told(anna), news)
  for (const peer of [phone, deaf, cleo]) assert.deepEqual(await told(peer), [])
  assert.deepEqual(await itemsOf(bert, TUNE, ANNA), ['now=Yesterday'])
  assert.deepEqual(await itemsOf(anna, TUNE), ['now=Yesterday'])
  await phone.request('set', `<pubsub xmlns='${PUBSUB}'><retract node='${TUNE}'><item id='now'/></retract></pubsub>`)
  assert.deepEqual(await told(bert), [`${ANNA} ${TUNE} -now`])
})

test('who comes gets what was published last, of contacts that are not there too; once', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'one', 'Help')
  await publish(anna, TUNE, 'two', 'Hey Jude')
  await publish(anna, 'urn:example:never', '1', 'quiet', { send_last_published_item: 'never' })
  anna.client.destroy()
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE, 'urn:example:never'])
  const first = await told(bert)
  assert.deepEqual(first, [`${ANNA} ${TUNE} two=Hey Jude`])
  bert.send(presenceWanting([TUNE, 'urn:example:never']))
  assert.deepEqual(await told(bert), [])
  // The server remembers what such clients want, over a restart too: nobody is asked again.
  await house.crashAndStart()
  const again = await arriveWanting(house, BERT, 'hill', [TUNE, 'urn:example:never'], true)
  const messages = again.clear()
  assert.equal(
    messages.some(({ name }) => name === 'iq'),
    false,
  )
  assert.ok(messages.find(({ name }) => name === 'message')?.child('delay', 'urn:xmpp:delay') !== undefined)
})

test('who becomes a contact gets the last item then', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE])
  assert.deepEqual(await told(bert), [])
  bert.send(`<presence type='subscribe' to='${ANNA}'/>`)
  await bert.sync()
  anna.send(`<presence type='subscribed' to='${BERT}'/>`)
  await anna.sync()
  assert.deepEqual(await told(bert), [`${ANNA} ${TUNE} now=Help`])
})

test('who is blocked is told nothing, whichever side has blocked', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  await house.befriend(ANNA, CLEO)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE])
  const cleo = await arriveWanting(house, CLEO, 'city', [TUNE], true)
  await anna.request('set', `<block xmlns='urn:xmpp:blocking'><item jid='${BERT}'/></block>`)
  await cleo.request('set', `<block xmlns='urn:xmpp:blocking'><item jid='${ANNA}'/></block>`)
  await publish(anna, TUNE, 'now', 'Help')
  assert.deepEqual(await told(bert), [])
  assert.deepEqual(await told(cleo), [])
  anna.client.destroy()
  const back = await arriveWanting(house, BERT, 'vale', [TUNE], true)
  assert.deepEqual(await told(back), [])
  await assert.rejects(itemsOf(back, TUNE, ANNA), { condition: 'service-unavailable' })
})

test('a contact on another server is asked what it wants, told of it, and forgotten when it goes', async () => {
  const house = await open()
  const dora = { jid: Jid.parse('dora@elsewhere.example/d'), reply: () => {} }
  const stranger = { jid: Jid.parse('eve@elsewhere.example/e'), reply: () => {} }
  await house.store
    .account(rosterStore, 'idannaexampleorg')
    .import({ items: [{ contact: dora.jid.bareString, name: '' }] })
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  anna.client.destroy()
  const sent: Element[] = []
  house.chat.points.remote.add(({ stanza }) => {
    if (stanza.name !== 'presence') sent.push(stanza)
    return 'handled'
  })
  const presence = (origin: typeof dora, type?: string): Element =>
    readElement(presenceWanting([TUNE]), { xmlns: 'jabber:client', bindings: [] }, DEFAULT_PARSER_LIMITS).with({
      from: origin.jid.toString(),
      to: ANNA,
      type,
    })
  // Anna is not there: what she has published is.
  await house.chat.receive(presence(stranger), stranger)
  await house.chat.receive(presence(dora), dora)
  const phone = await house.arrive(ANNA, 'phone')
  await settled(phone)
  const questions = sent.splice(0)
  assert.deepEqual(
    questions.map((stanza) => [stanza.name, stanza.get('to')]),
    [['iq', dora.jid.toString()]],
    'strangers are asked nothing',
  )
  const [question] = questions
  assert.ok(question !== undefined)
  await house.chat.receive(answerTo(question, [TUNE]).with({ from: dora.jid.toString() }), dora)
  await settled(phone)
  assert.deepEqual(sent.splice(0).flatMap(toldBy), [`${ANNA} ${TUNE} now=Help`])
  await publish(phone, TUNE, 'now', 'Yesterday')
  await settled(phone)
  const news = sent.splice(0)
  assert.deepEqual(news.flatMap(toldBy), [`${ANNA} ${TUNE} now=Yesterday`])
  assert.equal(news[0]?.get('to'), dora.jid.toString())
  await house.chat.receive(presence(dora, 'unavailable'), dora)
  await publish(phone, TUNE, 'now', 'Let it be')
  await settled(phone)
  assert.deepEqual(sent, [])
})

test('of so many kinds of clients it is remembered what they want; others are asked again', async () => {
  for (const [remembered, asked] of [
    [1, true],
    [2, false],
  ] as const) {
    const house = await open({ featureConfig: { pep: { 'remembered-capabilities': remembered } } })
    for (const kind of ['urn:example:one', 'urn:example:two']) {
      await arriveWanting(house, ANNA, kind, [kind])
      house.clock.turn(1000)
    }
    const again = await house.login(BERT, 'hill')
    await again.roster()
    again.send(presenceWanting(['urn:example:one']))
    await settled(again)
    assert.equal(
      again.clear().some((stanza) => stanza.name === 'iq'),
      asked,
    )
  }
})

test('of so many contacts elsewhere it is remembered what they want', async () => {
  for (const [remembered, told] of [
    [1, ['eve']],
    [2, ['dora', 'eve']],
  ] as const) {
    const house = await open({ featureConfig: { pep: { 'remembered-contacts': remembered } } })
    const origins = ['dora', 'eve'].map((name) => ({ jid: Jid.parse(`${name}@elsewhere.example/d`), reply: () => {} }))
    const items = origins.map(({ jid }) => ({ contact: jid.bareString, name: '' }))
    await house.store.account(rosterStore, 'idannaexampleorg').import({ items })
    const anna = await house.arrive(ANNA, 'sea')
    const sent: Element[] = []
    house.chat.points.remote.add(({ stanza }) => {
      if (stanza.name !== 'presence') sent.push(stanza)
      return 'handled'
    })
    for (const origin of origins) {
      const presence = readElement(
        presenceWanting([TUNE]),
        { xmlns: 'jabber:client', bindings: [] },
        DEFAULT_PARSER_LIMITS,
      )
      const from = origin.jid.toString()
      await house.chat.receive(presence.with({ from, to: ANNA }), origin)
      await settled(anna)
      const question = sent.splice(0)[0]
      // One is asked for both: they claim the same.
      if (question !== undefined) await house.chat.receive(answerTo(question, [TUNE]).with({ from }), origin)
      await settled(anna)
    }
    await publish(anna, TUNE, 'now', 'Help')
    await settled(anna)
    assert.deepEqual(sent.map((stanza) => stanza.get('to')?.split('@')[0]).toSorted(), told)
  }
})

test('five hundred contacts are told in one go, in the same words', async () => {
  // Only what this needs: the databases of the contacts are not opened.
  const house = await open({ features: FEATURES.filter(({ name }) => name === 'pep' || name === 'ping') })
  const anna = await house.arrive(ANNA, 'sea')
  const names = Array.from({ length: 500 }, (_, index) => `friend${index}@example.net`)
  house.accounts.add(...names)
  await house.store
    .account(rosterStore, 'idannaexampleorg')
    .import({ items: names.map((contact) => ({ contact, name: '' })) })
  const received: string[] = []
  for (const name of names) {
    const account = house.accounts.list.get(name)
    assert.ok(account !== undefined)
    const session = house.chat.bind(account, 'x', {
      id: name,
      wire: {
        send: (stanza) => received.push(String(stanza)) > 0,
        drained: async () => {},
        close: () => {},
      },
    })
    session.presence = '/>'
    session.set(wants, new Interest('x', new Set([TUNE])))
  }
  await publish(anna, TUNE, 'now', 'Help')
  await settled(anna)
  assert.equal(received.length, 500)
  const texts = new Set(received.map((text) => text.replace(/ to='[^']*'/, '')))
  assert.equal(texts.size, 1)
})

test('a client that lies of its capabilities is believed for itself alone', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const liar = await house.login(BERT, 'liar')
  await liar.roster()
  liar.send(presenceWanting([TUNE]))
  let question = await liar.next()
  while (question.name !== 'iq') question = await liar.next()
  const node = question.firstElement?.get('node') ?? ''
  liar.send(
    `<iq type='result' to='${question.get('from')}' id='${question.get('id')}'><query xmlns='${INFO}' node='${node}'><identity category='client' type='pc'/><feature var='urn:example:other+notify'/></query></iq>`,
  )
  await settled(liar)
  // The next client with the same hash is asked again.
  const honest = await arriveWanting(house, BERT, 'honest', [TUNE])
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  await publish(anna, 'urn:example:other', 'x', 'Other')
  assert.deepEqual(await told(honest), [`${ANNA} ${TUNE} now=Help`])
  assert.deepEqual(await told(liar), [`${ANNA} urn:example:other x=Other`])
})

test('a client that does not say what it is wants nothing, and the server does not wait for it for ever', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const silent = await house.login(BERT, 'silent')
  await silent.roster()
  silent.send(presenceWanting([TUNE]))
  await settled(silent)
  assert.ok(silent.clear().some(({ name }) => name === 'iq'))
  const other = await house.login(BERT, 'other')
  await other.roster()
  other.send(presenceWanting([TUNE]))
  await settled(other)
  assert.equal(
    other.clear().some(({ name }) => name === 'iq'),
    false,
  )
  house.clock.turn(30_001)
  await settled(other)
  assert.ok(
    other.clear().some(({ name }) => name === 'iq'),
    'then the next one is asked',
  )
})

test('the features of the generation before go with it, what clients want stays known', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await arriveWanting(house, BERT, 'hill', [TUNE])
  const before = await house.reload()
  await before.scope.close()
  const anna = await house.arrive(ANNA, 'sea')
  bert.clear()
  await publish(anna, TUNE, 'now', 'Help')
  assert.deepEqual(await told(bert), [`${ANNA} ${TUNE} now=Help`])
})

test('a client that goes on after a restart of the server hears of what it wanted to hear of before', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const { stream, id } = await managed(house, BERT, 'hill', presenceWanting([TUNE]))
  const [, question = ''] = await stream.until(/<iq [^>]*id='([^']*)'[^>]*><query [^>]*disco#info/)
  const described = answerTo(el('iq', { from: BERT, id: question }, el('query', { xmlns: INFO, node: 'x' })), [TUNE])
  stream.write(described.toString('jabber:client'))
  const ping = `<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>`
  for (let round = 0; round < 3; round++) {
    stream.write(ping)
    await stream.until(/id='sync'/)
  }
  await house.restart()
  const back = await resume(house, BERT, id, 0)
  await back.until(/<resumed /)
  const anna = await house.arrive(ANNA, 'sea')
  await publish(anna, TUNE, 'now', 'Help')
  await back.until(/<item id='now'><note [^>]*>Help</)
})
