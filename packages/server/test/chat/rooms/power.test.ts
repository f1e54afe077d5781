// Who may do what: affiliations, roles, voices, invitations.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NS } from '@aviso/xmpp'
import { admin, configure, enter, gather, listed, make, MUC, ROOM, say, submitted, told } from './lobby.ts'

test('kick and ban: who did it and why is told; who is banned does not come back until he may', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A')
  await enter(bert, 'B')
  await told(anna)
  await admin(anna, `<item nick='B' role='none'><reason>too loud</reason></item>`)
  assert.deepEqual(await told(bert), ['p unavailable cafe/B none/none by A (too loud) 110+307'])
  assert.deepEqual(await told(anna), ['p unavailable cafe/B none/none =bert@example.org/r by A (too loud) 307'])
  await enter(bert, 'B')
  await told(anna)
  // By the nick alone.
  await admin(anna, `<item nick='B' affiliation='outcast'><reason>again</reason></item>`)
  assert.deepEqual(await told(bert), ['p unavailable cafe/B outcast/none by A (again) 110+301'])
  assert.deepEqual(await enter(bert, 'B'), ['p error cafe/B forbidden'])
  const answer = await anna.request('get', `<query xmlns='${MUC}#admin'><item affiliation='outcast'/></query>`, ROOM)
  assert.equal(answer.firstElement?.firstElement?.childText('reason'), 'again')
  await told(anna)
  await admin(anna, `<item jid='bert@example.org' affiliation='none'/>`)
  assert.deepEqual(
    await told(anna),
    ['m cafe none =bert@example.org'],
    'who may know is told of those who are not there',
  )
  assert.equal((await enter(bert, 'B')).length, 3)
  await told(anna)
  // A whole server: not the owner, who is more himself.
  await admin(anna, `<item jid='example.org' affiliation='outcast'/>`)
  assert.deepEqual(await told(bert), ['p unavailable cafe/B outcast/none by A 110+301'])
  assert.deepEqual(await enter(dora, 'D'), ['p error cafe/D forbidden'])
  assert.ok((await enter(anna, 'A')).includes('p cafe/A owner/moderator =anna@example.org/r 110+170'))
})

test('every step of the ladder: what each affiliation may change', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A', { moderatedroom: '1' })
  await enter(bert, 'B')
  await enter(dora, 'D')
  await told(anna)
  say(dora, 'may I?')
  assert.deepEqual((await told(dora)).slice(-1), ['m error cafe forbidden'])
  await admin(anna, `<item nick='D' role='participant'/>`)
  say(dora, 'now I may')
  assert.deepEqual((await told(dora)).slice(-1), ["m cafe/D 'now I may'"])
  for (const item of [`jid='x@example.org' affiliation='member'`, `nick='A' role='none'`])
    await assert.rejects(admin(dora, `<item ${item}/>`), /forbidden/)
  await admin(anna, `<item jid='bert@example.org' affiliation='admin'/>`)
  assert.ok((await told(bert)).includes('p cafe/B admin/moderator =bert@example.org/r by A 110'))
  await admin(bert, `<item jid='dora@example.org' affiliation='member'/>`)
  for (const item of [
    `jid='dora@example.org' affiliation='admin'`,
    `jid='dora@example.org' affiliation='owner'`,
    `jid='anna@example.org' affiliation='member'`,
    `nick='A' role='none'`,
    `nick='A' role='visitor'`,
  ])
    await assert.rejects(admin(bert, `<item ${item}/>`), /not-allowed/, item)
  await assert.rejects(admin(bert, `<item jid='bert@example.org' affiliation='outcast'/>`), /conflict/)
  await admin(bert, `<item nick='D' role='moderator'/>`)
  await assert.rejects(admin(dora, `<item nick='B' role='none'/>`), /not-allowed/)
  assert.deepEqual(await listed(anna, `role='moderator'`), [
    'anna@example.org/r',
    'bert@example.org/r',
    'dora@example.org/r',
  ])
  await admin(bert, `<item jid='bert@example.org' affiliation='none'/>`)
  await assert.rejects(admin(bert, `<item jid='emil@example.org' affiliation='member'/>`), /forbidden/)
})

test('a room always has an owner; a list is changed as a whole or not at all', async (t) => {
  const { anna } = await gather(t, ['anna'])
  await make(anna, 'A')
  await assert.rejects(admin(anna, `<item jid='anna@example.org' affiliation='admin'/>`), /conflict/)
  await assert.rejects(
    admin(anna, `<item jid='emil@example.org' affiliation='member'/><item jid='anna@example.org' affiliation='none'/>`),
    /conflict/,
  )
  assert.deepEqual(await listed(anna, `affiliation='member'`), [])
  await assert.rejects(configure(anna, { roomowners: [], roomadmins: ['dora@example.org'] }), /conflict/)
  await assert.rejects(admin(anna, `<item jid='@' affiliation='member'/>`), /jid-malformed/)
  await assert.rejects(admin(anna, `<item nick='nobody' affiliation='member'/>`), /item-not-found/)
  await assert.rejects(admin(anna, `<item jid='x@example.org' affiliation='king'/>`), /bad-request/)
  await admin(
    anna,
    `<item jid='emil@example.org' affiliation='owner'/><item jid='anna@example.org' affiliation='member'/>`,
  )
  assert.deepEqual(await told(anna), ['m cafe owner =emil@example.org', 'p cafe/A member/participant by A 110'])
  await assert.rejects(configure(anna), /forbidden/)
  await assert.rejects(listed(anna, `affiliation='owner'`), /forbidden/)
})

test('an error from one of two clients of a nick makes that one leave, quietly', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await enter(bert, 'B')
  const phone = await house.arrive('bert@example.org', 'phone')
  await enter(phone, 'B')
  await told(bert)
  await told(anna)
  phone.send(
    `<presence type='error' to='${ROOM}/A'><error type='cancel'><gone xmlns='${NS.stanzaErrors}'/></error></presence>`,
  )
  assert.deepEqual(await told(phone), ['p unavailable cafe/B none/none 110+307+333'])
  assert.deepEqual(await told(anna), [])
  say(anna, 'still?')
  await anna.sync()
  assert.deepEqual(await told(bert), ["m cafe/A 'still?'"])
})

test('two owners who take it from each other at the same time: one stays', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await admin(anna, `<item jid='bert@example.org' affiliation='owner'/>`)
  const results = await Promise.allSettled([
    admin(anna, `<item jid='anna@example.org' affiliation='none'/>`),
    admin(bert, `<item jid='bert@example.org' affiliation='none'/>`),
  ])
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

test('voice is asked for, and given', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A', { moderatedroom: '1' })
  await enter(bert, 'B')
  await told(anna)
  const request = submitted({ 'muc#role': 'participant' }, `${MUC}#request`)
  bert.send(`<message to='${ROOM}'>${request}</message>`)
  await bert.sync()
  const [form] = (await anna.sync(), anna.clear())
  const fields = form
    ?.child('x', 'jabber:x:data')
    ?.childrenNamed('field')
    .map((field) => [field.get('var'), field.childText('value')])
  assert.deepEqual(fields?.slice(2, 4), [
    ['muc#jid', 'bert@example.org/r'],
    ['muc#roomnick', 'B'],
  ])
  const grant = submitted({ 'muc#roomnick': 'B', 'muc#request_allow': 'true' }, `${MUC}#request`)
  bert.send(`<message to='${ROOM}'>${grant}</message>`)
  assert.deepEqual(await told(bert), ['m error cafe forbidden'])
  anna.send(`<message to='${ROOM}'>${grant}</message>`)
  assert.deepEqual(await told(anna), ['p cafe/B none/participant =bert@example.org/r'])
})

test('invitations: for clients of each kind, with the password; a refusal finds back', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A', { membersonly: '1', passwordprotectedroom: '1', roomsecret: 'sesame' })
  const invite = (who: string): string =>
    `<message to='${ROOM}'><x xmlns='${MUC}#user'><invite to='${who}'><reason>cake</reason></invite></x></message>`
  anna.send(invite('bert@example.org'))
  await anna.sync()
  const [message] = (await bert.sync(), bert.clear())
  const x = message?.child('x', `${MUC}#user`)
  assert.equal(message?.childText('body'), `anna@example.org invited you to the room ${ROOM} (cake)`)
  assert.equal(x?.child('invite')?.get('from'), 'anna@example.org')
  assert.equal(x.childText('password'), 'sesame')
  const direct = message.child('x', 'jabber:x:conference')
  assert.deepEqual([direct?.get('jid'), direct?.get('password'), direct?.get('reason')], [ROOM, 'sesame', 'cake'])
  assert.equal((await enter(bert, 'B', { x: '<password>sesame</password>' })).length, 3, 'who is invited is a member')
  bert.send(invite('dora@example.org'))
  assert.deepEqual(await told(bert), ['m error cafe forbidden'])
  await configure(anna, { allowinvites: '1' })
  await told(bert)
  bert.send(invite('dora@example.org'))
  await bert.sync()
  await told(dora)
  dora.send(
    `<message to='${ROOM}'><x xmlns='${MUC}#user'><decline to='bert@example.org'><reason>busy</reason></decline></x></message>`,
  )
  await dora.sync()
  const declined = bert.clear().find((stanza) => stanza.child('x', `${MUC}#user`)?.child('decline') !== undefined)
  assert.equal(declined?.child('x', `${MUC}#user`)?.child('decline')?.get('from'), 'dora@example.org')
  dora.send(`<message to='${ROOM}'><x xmlns='${MUC}#user'><decline to='anna@example.org'/></x></message>`)
  assert.deepEqual(await told(dora), ['m error cafe item-not-found'], 'rooms carry no messages of strangers')
})

test('a nick is reserved, taken by nobody else, and given back', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'], {
    featureConfig: { rooms: { 'register-unaffiliated': true } },
  })
  await make(anna, 'A')
  const register = (peer: typeof anna, nick: string) =>
    peer.request(
      'set',
      `<query xmlns='jabber:iq:register'>${submitted({ 'muc#register_roomnick': nick }, `${MUC}#register`)}</query>`,
      ROOM,
    )
  await register(bert, 'Bertie')
  await assert.rejects(register(dora, 'bertie'), /conflict/)
  await assert.rejects(register(dora, ' '), /not-acceptable/)
  await assert.rejects(register(dora, 'A'), /conflict/)
  assert.deepEqual(await enter(dora, 'Bertie'), ['p error cafe/Bertie conflict'])
  const own = await bert.request('get', `<query xmlns='${NS.discoInfo}' node='x-roomuser-item'/>`, ROOM)
  assert.equal(own.firstElement?.child('identity')?.get('name'), 'Bertie')
  const asked = await bert.request('get', `<query xmlns='jabber:iq:register'/>`, ROOM)
  assert.equal(asked.firstElement?.childText('username'), 'Bertie')
  assert.deepEqual(await listed(anna, `affiliation='member'`), ['bert@example.org'])
  await configure(anna, { membersonly: '1' })
  await enter(bert, 'Bertie')
  await bert.request('set', `<query xmlns='jabber:iq:register'><remove/></query>`, ROOM)
  assert.deepEqual(await told(bert), ['p unavailable cafe/Bertie none/none 110+321'])
  await assert.rejects(register(dora, 'D'), /registration-required/)
})

test('private messages go where the room allows them', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A', { moderatedroom: '1' })
  await enter(bert, 'B')
  await enter(dora, 'D')
  await told(bert)
  const whisper = async (from: typeof anna, to: string): Promise<string> => {
    await told(from)
    from.send(`<message type='chat' to='${ROOM}/${to}'><body>psst</body></message>`)
    return (await told(from))[0] ?? 'ok'
  }
  for (const [policy, visitors, moderator] of [
    ['anyone', 'ok', 'ok'],
    ['participants', 'm error cafe/D policy-violation', 'ok'],
    ['affiliated', 'm error cafe/D policy-violation', 'ok'],
    ['none', 'm error cafe/D policy-violation', 'ok'],
  ] as const) {
    await configure(anna, { allowpm: policy })
    assert.equal(await whisper(bert, 'D'), visitors, policy)
    assert.equal(await whisper(bert, 'A'), moderator, policy)
  }
  assert.equal(await whisper(bert, 'nobody'), 'm error cafe/nobody item-not-found')
  bert.send(`<message type='groupchat' to='${ROOM}/D'><body>hm</body></message>`)
  assert.deepEqual(await told(bert), ['m error cafe/D bad-request'])
})
