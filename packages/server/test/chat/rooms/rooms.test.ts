// A room from its making to its end: who enters, what is said, who leaves.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { el, NS } from '@aviso/xmpp'
import { admin, brief, configure, enter, gather, guests, join, make, MUC, ROOM, say, SERVICE, told } from './lobby.ts'

test('who enters a room that is not there makes it; others enter when it is configured', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  assert.deepEqual(await enter(anna, 'Anna'), [
    'p cafe/Anna owner/moderator =anna@example.org/r 110+201+170',
    "m cafe subject ''",
  ])
  assert.deepEqual(await enter(bert, 'Bert'), ['p error cafe/Bert item-not-found'])
  await configure(anna)
  assert.deepEqual(await enter(bert, 'Bert'), [
    'p cafe/Anna owner/moderator',
    'p cafe/Bert none/participant 110+170',
    "m cafe subject ''",
  ])
  assert.deepEqual(await told(anna), ['p cafe/Bert none/participant =bert@example.org/r'])
  say(bert, 'coffee?')
  assert.deepEqual(await told(bert), ["m cafe/Bert 'coffee?'"])
  const [message] = (await anna.sync(), anna.clear())
  assert.ok(message)
  assert.equal(brief(message), "m cafe/Bert 'coffee?'")
  assert.equal(message.child('stanza-id', NS.stanzaId)?.get('by'), ROOM)
  assert.match(message.child('occupant-id', 'urn:xmpp:occupant-id:0')?.get('id') ?? '', /^[\w-]{43}$/)
  bert.send(`<presence type='unavailable' to='${ROOM}/Bert'><status>I go</status></presence>`)
  assert.deepEqual(await told(bert), ['p unavailable cafe/Bert none/none 110 "I go"'])
  assert.deepEqual(await told(anna), ['p unavailable cafe/Bert none/none =bert@example.org/r "I go"'])
  say(bert, 'am I there?')
  assert.deepEqual(await told(bert), ['m error cafe not-acceptable'])
})

test('a room that does not stay is gone with the last one, one that stays is not', async (t) => {
  const { anna } = await gather(t, ['anna'])
  const info = (room: string) => anna.request('get', `<query xmlns='${NS.discoInfo}'/>`, room)
  await make(anna, 'A')
  await make(anna, 'A', { persistentroom: '1', publicroom: '1', roomname: 'The stayer' }, `stays@${SERVICE}`)
  for (const room of [ROOM, `stays@${SERVICE}`]) anna.send(`<presence type='unavailable' to='${room}/A'/>`)
  await told(anna)
  await assert.rejects(info(ROOM), /item-not-found/)
  const described = (await info(`stays@${SERVICE}`)).firstElement
  assert.equal(described?.child('identity')?.get('name'), 'The stayer')
  const list = (await anna.request('get', `<query xmlns='${NS.discoItems}'/>`, SERVICE)).firstElement
  assert.deepEqual(
    list?.childrenNamed('item').map((item) => [item.get('jid'), item.get('name')]),
    [[`stays@${SERVICE}`, 'The stayer']],
  )
})

test('nicks: conflict, look-alikes, what nobody can read; a change keeps the role', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'Anna')
  join(bert, 'Anna')
  const refusal = await bert.next()
  assert.equal(brief(refusal), 'p error cafe/Anna conflict')
  assert.ok(refusal.child('x', MUC), 'by this clients know that it is about rooms')
  // Cyrillic letters, capitals, digits.
  for (const nick of ['Аnnа', 'anna', 'ANNA'])
    assert.deepEqual(await enter(bert, nick), [`p error cafe/${nick} conflict`])
  for (const nick of [' x', 'a  b', '&#xa0;']) assert.match((await enter(bert, nick))[0] ?? '', /not-acceptable$/)
  assert.match((await enter(bert, '&#x202e;x'))[0] ?? '', /jid-malformed$/)
  await enter(bert, 'Bert')
  await told(anna)
  await admin(anna, `<item nick='Bert' role='moderator'/>`)
  await told(bert)
  await told(anna)
  bert.send(`<presence to='${ROOM}/Robert'/>`)
  assert.deepEqual(await told(bert), [
    'p unavailable cafe/Bert none/moderator =bert@example.org/r >Robert 110+303',
    'p cafe/Robert none/moderator =bert@example.org/r 110',
  ])
  assert.deepEqual(await told(anna), [
    'p unavailable cafe/Bert none/moderator =bert@example.org/r >Robert 303',
    'p cafe/Robert none/moderator =bert@example.org/r',
  ])
  bert.send(`<presence to='${ROOM}/Anna'/>`)
  assert.deepEqual(await told(bert), ['p error cafe/Anna conflict'])
})

test('several clients of one person share a nick; one of them may leave', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A', { whois: 'anyone' })
  await enter(bert, 'B')
  const phone = await house.arrive('bert@example.org', 'phone')
  await told(anna)
  assert.deepEqual(await enter(phone, 'B'), [
    'p cafe/A owner/moderator =anna@example.org/r',
    'p cafe/B none/participant =bert@example.org/r none/participant =bert@example.org/phone 110+100+170',
    "m cafe subject ''",
  ])
  assert.deepEqual(await told(anna), [], 'nobody new has come')
  await told(bert)
  say(anna, 'hello')
  await anna.sync()
  for (const peer of [bert, phone]) assert.deepEqual(await told(peer), ["m cafe/A 'hello'"])
  anna.send(`<message type='chat' to='${ROOM}/B'><body>psst</body></message>`)
  await anna.sync()
  for (const peer of [bert, phone]) assert.deepEqual(await told(peer), ["m chat cafe/A 'psst'"])
  bert.send(`<presence type='unavailable' to='${ROOM}/B'/>`)
  await told(bert)
  // The nick is still there: another client speaks for it now.
  assert.deepEqual(await told(anna), ["m cafe/A 'hello'", 'p cafe/B none/participant =bert@example.org/phone'])
  phone.client.destroy()
  assert.equal(brief(await anna.next()), 'p unavailable cafe/B none/none =bert@example.org/phone')
})

test('a client that believes to be in a room is told that it is not; one that asks again is told all', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  bert.send(`<presence to='${ROOM}/B'/>`)
  assert.deepEqual(await told(bert), ['p error cafe/B item-not-found'])
  await enter(bert, 'B')
  say(anna, 'one')
  await told(anna)
  await told(bert)
  assert.deepEqual(await enter(bert, 'B'), [
    'p cafe/A owner/moderator',
    'p cafe/B none/participant 110+170',
    "m cafe/A 'one' old",
    "m cafe subject ''",
  ])
  assert.deepEqual(await told(anna), [])
  await bert.request('get', `<ping xmlns='urn:xmpp:ping'/>`, `${ROOM}/B`)
  bert.send(`<presence type='unavailable' to='${ROOM}/B'/>`)
  await assert.rejects(bert.request('get', `<ping xmlns='urn:xmpp:ping'/>`, `${ROOM}/B`), /not-acceptable/)
})

test('what cannot be delivered makes its receiver leave, with the reason where addresses are open', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A', { whois: 'anyone' })
  await enter(bert, 'B')
  await told(anna)
  const error = `<error type='cancel'><service-unavailable xmlns='${NS.stanzaErrors}'/><text xmlns='${NS.stanzaErrors}'>no more</text></error>`
  bert.send(`<message type='error' to='${ROOM}/A'>${error}</message>`)
  await bert.sync()
  assert.deepEqual(await told(anna), [
    'p unavailable cafe/B none/none =bert@example.org/r (kicked: service-unavailable: no more) 307+333',
  ])
  await enter(bert, 'B')
  await told(anna)
  const mild = `<error type='modify'><not-acceptable xmlns='${NS.stanzaErrors}'/></error>`
  bert.send(`<message type='error' to='${ROOM}/A'>${mild}</message>`)
  await bert.sync()
  assert.deepEqual(await told(anna), [], 'who only did not like it stays')
})

test('every error that means that a client is gone puts it out (333), and no other does; in a semi-anonymous room nobody learns why', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  const error = (condition: string): string =>
    condition === '' ? '' : `<error type='cancel'><${condition} xmlns='${NS.stanzaErrors}'/></error>`
  for (const [condition, out] of [
    ['gone', true],
    ['internal-server-error', true],
    ['item-not-found', true],
    ['jid-malformed', true],
    ['recipient-unavailable', true],
    ['redirect', true],
    ['remote-server-not-found', true],
    ['remote-server-timeout', true],
    ['service-unavailable', true],
    ['', true],
    ['not-acceptable', false],
    ['policy-violation', false],
    ['undefined-condition', false],
    ['feature-not-implemented', false],
  ] as const) {
    await enter(bert, 'B')
    await told(anna)
    bert.send(`<message type='error' to='${ROOM}/A'>${error(condition)}</message>`)
    await bert.sync()
    const expected = out ? ['p unavailable cafe/B none/none =bert@example.org/r 307+333'] : []
    assert.deepEqual(await told(anna), expected, condition)
  }
})

test('requests to occupants find their answers; those for the account reach it', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A')
  await enter(bert, 'B')
  await told(anna)
  const asked = bert.request('get', `<query xmlns='jabber:iq:version'/>`, `${ROOM}/A`)
  const request = await anna.next()
  assert.equal(request.get('from'), `${ROOM}/B`)
  anna.client.send(
    el(
      'iq',
      { type: 'result', id: request.get('id'), to: `${ROOM}/B` },
      el('query', { xmlns: NS.version }, el('name', {}, 'Swift')),
    ),
  )
  const answer = await asked
  assert.equal(answer.get('from'), `${ROOM}/A`)
  assert.equal(answer.firstElement?.childText('name'), 'Swift')
  await anna.request('set', `<vCard xmlns='vcard-temp'><FN>Anna</FN></vCard>`)
  const card = await bert.request('get', `<vCard xmlns='vcard-temp'/>`, `${ROOM}/A`)
  assert.equal(card.firstElement?.childText('FN'), 'Anna')
  await assert.rejects(dora.request('get', `<query xmlns='jabber:iq:version'/>`, `${ROOM}/A`), /not-acceptable/)
  await assert.rejects(bert.request('get', `<query xmlns='jabber:iq:version'/>`, `${ROOM}/Z`), /item-not-found/)
})

test('the subject, and messages that only look like one', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await enter(bert, 'B')
  await told(anna)
  anna.send(`<message type='groupchat' to='${ROOM}'><subject>Cake</subject></message>`)
  await anna.sync()
  assert.deepEqual(await told(bert), ["m cafe/A subject 'Cake'"])
  bert.send(`<message type='groupchat' to='${ROOM}'><subject>Beer</subject></message>`)
  assert.deepEqual(await told(bert), ['m error cafe forbidden'])
  bert.send(`<message type='groupchat' to='${ROOM}'><subject>Hm</subject><body>I say</body></message>`)
  bert.send(`<message type='groupchat' to='${ROOM}'><subject>Hm</subject><thread>t</thread></message>`)
  assert.deepEqual(await told(bert), ["m cafe/B subject 'Hm' 'I say'", "m cafe/B subject 'Hm'"])
  const dora = (await guests(house, 'dora'))[0]
  assert.ok(dora)
  const shown = await enter(dora, 'D')
  assert.deepEqual(shown.slice(-1), ["m cafe/A subject 'Cake' old"])
  assert.ok(shown.includes("m cafe/B subject 'Hm' 'I say' old"))
  await configure(anna, { changesubject: '1' })
  await told(bert)
  bert.send(`<message type='groupchat' to='${ROOM}'><subject>Beer</subject></message>`)
  assert.deepEqual(await told(bert), ["m cafe/B subject 'Beer'"])
})

test('what only rooms may say, nobody else can', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  const fake = `<occupant-id xmlns='urn:xmpp:occupant-id:0' id='x'/><hats xmlns='urn:xmpp:hats:0'><hat uri='u' title='Boss'/></hats><x xmlns='${MUC}#user'><status code='110'/></x>`
  await enter(bert, 'B', { rest: fake })
  const [presence] = (await anna.sync(), anna.clear())
  assert.equal(presence?.childrenNamed('occupant-id', 'urn:xmpp:occupant-id:0').length, 1)
  assert.notEqual(presence.child('occupant-id', 'urn:xmpp:occupant-id:0')?.get('id'), 'x')
  assert.equal(presence.child('hats', 'urn:xmpp:hats:0'), undefined)
  assert.equal(presence.childrenNamed('x', `${MUC}#user`).length, 1)
  say(bert, 'hm', {
    rest: `${fake}<stanza-id xmlns='urn:xmpp:sid:0' by='${ROOM}' id='x'/><delay xmlns='urn:xmpp:delay' from='${ROOM}' stamp='2020-01-01T00:00:00Z'/>`,
  })
  await bert.sync()
  const [message] = (await anna.sync(), anna.clear())
  assert.deepEqual(
    message?.elements.map(({ name }) => name),
    ['body', 'occupant-id', 'stanza-id'],
  )
  assert.notEqual(message.child('stanza-id', NS.stanzaId)?.get('id'), 'x')
  assert.equal(
    message.child('occupant-id', 'urn:xmpp:occupant-id:0')?.get('id'),
    presence.child('occupant-id', 'urn:xmpp:occupant-id:0')?.get('id'),
    'the id of an occupant stays the same',
  )
})
