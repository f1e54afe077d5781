// Who may do what: affiliations, roles, settings, the end of a room.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NS } from '@aviso/xmpp'
import {
  admin,
  brief,
  configure,
  enter,
  guests,
  make,
  MUC,
  open,
  ROOM,
  say,
  SERVICE,
  submitted,
  told,
} from './lobby.ts'

const list = async (peer: Parameters<typeof admin>[0], what: string): Promise<(string | undefined)[]> => {
  const answer = await peer.request('get', `<query xmlns='${MUC}#admin'><item ${what}/></query>`, ROOM)
  return answer.firstElement?.childrenNamed('item').map((item) => item.get('jid')) ?? []
}

test('kick and ban: who did it and why is told; who is banned does not come back until he may', async (t) => {
  const house = await open(t)
  const [anna, bert, dora] = await guests(house, 'anna', 'bert', 'dora')
  assert.ok(anna && bert && dora)
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
  const house = await open(t)
  const [anna, bert, dora] = await guests(house, 'anna', 'bert', 'dora')
  assert.ok(anna && bert && dora)
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
  assert.deepEqual(await list(anna, `role='moderator'`), [
    'anna@example.org/r',
    'bert@example.org/r',
    'dora@example.org/r',
  ])
  await admin(bert, `<item jid='bert@example.org' affiliation='none'/>`)
  await assert.rejects(admin(bert, `<item jid='emil@example.org' affiliation='member'/>`), /forbidden/)
})

test('a room always has an owner; a list is changed as a whole or not at all', async (t) => {
  const house = await open(t)
  const [anna] = await guests(house, 'anna')
  assert.ok(anna)
  await make(anna, 'A')
  await assert.rejects(admin(anna, `<item jid='anna@example.org' affiliation='admin'/>`), /conflict/)
  await assert.rejects(
    admin(anna, `<item jid='emil@example.org' affiliation='member'/><item jid='anna@example.org' affiliation='none'/>`),
    /conflict/,
  )
  assert.deepEqual(await list(anna, `affiliation='member'`), [])
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
  await assert.rejects(list(anna, `affiliation='owner'`), /forbidden/)
})

test('an error from one of two clients of a nick makes that one leave, quietly', async (t) => {
  const house = await open(t)
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
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
  const house = await open(t)
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
  await make(anna, 'A')
  await admin(anna, `<item jid='bert@example.org' affiliation='owner'/>`)
  const results = await Promise.allSettled([
    admin(anna, `<item jid='anna@example.org' affiliation='none'/>`),
    admin(bert, `<item jid='bert@example.org' affiliation='none'/>`),
  ])
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

test('what is said while the room is destroyed does not turn up in the next one', async (t) => {
  const house = await open(t, { featureConfig: { rooms: { tombstones: '0s' } } })
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
  await make(anna, 'A')
  await enter(bert, 'B')
  const destroyed = anna.request('set', `<query xmlns='${MUC}#owner'><destroy/></query>`, ROOM)
  for (let index = 0; index < 20; index++) say(bert, `late ${index}`)
  await destroyed
  await told(bert)
  house.clock.turn(1)
  assert.deepEqual(await enter(bert, 'B'), [
    'p cafe/B owner/moderator =bert@example.org/r 110+201+170',
    "m cafe subject ''",
  ])
})

test('forms: every field is looked at, and nothing of a wrong one is taken', async (t) => {
  const house = await open(t)
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
  await make(anna, 'A')
  for (const [fields, why] of [
    [{ passwordprotectedroom: '1' }, 'a password is wanted'],
    [{ roomname: 'x', membersonly: 'maybe' }, 'neither true nor false'],
    [{ roomname: 'x', membersonly: ['1', '0'] }, 'neither true nor false'],
    [{ roomname: 'x', whois: 'nobody' }, 'expected one of'],
    [{ roomname: 'x', whois: '' }, 'expected one of'],
    [{ roomname: 'x', presencebroadcast: ['moderator', 'cat'] }, 'no such role'],
    [{ roomname: 'x', historylength: '-1' }, 'a whole number'],
    [{ roomname: 'x', historylength: '201' }, '200 messages at most'],
    [{ roomname: 'x', maxusers: '9999999999' }, 'a whole number'],
    [{ roomname: 'x', maxusers: '5001' }, '5000 people at most'],
    [{ roomname: 'x'.repeat(201) }, 'title'],
    [{ roomname: 'x', roomowners: ['example.org'] }, 'no address of a person'],
  ] as const)
    await assert.rejects(
      configure(anna, fields),
      (error: Error) => error.message.includes('not-acceptable') && error.message.includes(why),
      why,
    )
  const shown = await anna.request('get', `<query xmlns='${MUC}#owner'/>`, ROOM)
  const values = new Map(
    shown.firstElement
      ?.child('x', 'jabber:x:data')
      ?.childrenNamed('field')
      .map((field) => [field.get('var'), field.childText('value')]),
  )
  assert.equal(values.get('muc#roomconfig_roomname'), '', 'nothing of it was taken')
  assert.equal(values.get('muc#roomconfig_roomowners'), 'anna@example.org')
  await told(anna)
  await configure(anna, { 'unknown#field': 'x', passwordprotectedroom: '1', roomsecret: 'sesame' })
  assert.deepEqual(await told(anna), ['m cafe 104'])
  assert.deepEqual(await enter(bert, 'B'), ['p error cafe/B not-authorized'])
  assert.deepEqual(await enter(bert, 'B', { x: '<password>wrong</password>' }), ['p error cafe/B not-authorized'])
  assert.equal((await enter(bert, 'B', { x: '<password>sesame</password>' })).length, 3)
  await assert.rejects(configure(bert), /forbidden/)
  await assert.rejects(bert.request('get', `<query xmlns='${MUC}#owner'/>`, ROOM), /forbidden/)
  const other = submitted({}, 'urn:other')
  await assert.rejects(anna.request('set', `<query xmlns='${MUC}#owner'>${other}</query>`, ROOM), /not-acceptable/)
})

test('changes of the settings are told by their codes', async (t) => {
  const house = await open(t)
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
  await make(anna, 'A')
  await enter(bert, 'B')
  await told(anna)
  for (const [fields, codes] of [
    [{ whois: 'anyone' }, 'm cafe 172'],
    [{ whois: 'moderators' }, 'm cafe 173'],
    [{ enablearchiving: '0' }, 'm cafe 171'],
    [{ enablearchiving: '1', roomname: 'Café' }, 'm cafe 104+170'],
    [{ allowpm: 'none' }, 'm cafe 104'],
  ] as const) {
    await configure(anna, fields)
    assert.deepEqual(await told(bert), [codes])
  }
  await told(anna)
  await configure(anna, { membersonly: '1' })
  assert.deepEqual(await told(bert), ['p unavailable cafe/B none/none 110+322'])
  assert.deepEqual(await enter(bert, 'B'), ['p error cafe/B registration-required'])
  await admin(anna, `<item jid='bert@example.org' affiliation='member'/>`)
  await enter(bert, 'B')
  await told(anna)
  await admin(anna, `<item jid='bert@example.org' affiliation='none'/>`)
  assert.deepEqual(await told(bert), ['p unavailable cafe/B none/none by A 110+321'])
})

test('real addresses are for moderators, or for all where the room says so', async (t) => {
  const house = await open(t)
  const [anna, bert, dora] = await guests(house, 'anna', 'bert', 'dora')
  assert.ok(anna && bert && dora)
  await make(anna, 'A', { whois: 'anyone' })
  assert.deepEqual(await enter(bert, 'B'), [
    'p cafe/A owner/moderator =anna@example.org/r',
    'p cafe/B none/participant =bert@example.org/r 110+100+170',
    "m cafe subject ''",
  ])
  assert.deepEqual(await list(bert, `affiliation='owner'`), ['anna@example.org'])
  await assert.rejects(list(bert, `affiliation='outcast'`), /forbidden/)
  await configure(anna, { whois: 'moderators' })
  await told(bert)
  await enter(dora, 'D')
  assert.deepEqual(await told(bert), ['p cafe/D none/participant'])
  await assert.rejects(list(bert, `affiliation='owner'`), /forbidden/)
})

test('whose presence is shown: visitors may be unseen, members that are away may be seen', async (t) => {
  const house = await open(t)
  const [anna, bert, dora] = await guests(house, 'anna', 'bert', 'dora')
  assert.ok(anna && bert && dora)
  await make(anna, 'A', { moderatedroom: '1', presencebroadcast: ['moderator', 'participant', 'none'] })
  await admin(anna, `<item jid='emil@example.org' nick='Emil' affiliation='member'/>`)
  await told(anna)
  assert.deepEqual(await enter(bert, 'B'), [
    'p cafe/A owner/moderator',
    'p unavailable cafe/Emil member/none',
    'p cafe/B none/visitor 110+170',
    "m cafe subject ''",
  ])
  assert.deepEqual(await told(anna), [])
  await admin(anna, `<item nick='B' role='participant'/>`)
  assert.deepEqual(await told(anna), ['p cafe/B none/participant =bert@example.org/r by A'])
  await admin(anna, `<item nick='B' role='visitor'/>`)
  assert.deepEqual(await told(anna), ['p unavailable cafe/B none/none =bert@example.org/r'])
  // Probes (RFC 6121 §4.3).
  bert.send(`<presence type='probe' to='${ROOM}/A'/>`)
  bert.send(`<presence type='probe' to='${ROOM}/Emil'/>`)
  assert.deepEqual((await told(bert)).slice(-2), ['p cafe/A owner/moderator', 'p unavailable cafe/Emil member/none'])
  dora.send(`<presence type='probe' to='${ROOM}/A'/>`)
  assert.deepEqual(await told(dora), ['p error cafe/A not-acceptable'])
})

test('voice is asked for, and given', async (t) => {
  const house = await open(t)
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
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
  const house = await open(t)
  const [anna, bert, dora] = await guests(house, 'anna', 'bert', 'dora')
  assert.ok(anna && bert && dora)
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
  const house = await open(t, { featureConfig: { rooms: { 'register-unaffiliated': true } } })
  const [anna, bert, dora] = await guests(house, 'anna', 'bert', 'dora')
  assert.ok(anna && bert && dora)
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
  assert.deepEqual(await list(anna, `affiliation='member'`), ['bert@example.org'])
  await configure(anna, { membersonly: '1' })
  await enter(bert, 'Bertie')
  await bert.request('set', `<query xmlns='jabber:iq:register'><remove/></query>`, ROOM)
  assert.deepEqual(await told(bert), ['p unavailable cafe/Bertie none/none 110+321'])
  await assert.rejects(register(dora, 'D'), /registration-required/)
})

test('private messages go where the room allows them', async (t) => {
  const house = await open(t)
  const [anna, bert, dora] = await guests(house, 'anna', 'bert', 'dora')
  assert.ok(anna && bert && dora)
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

test('a destroyed room says where the others went, and its name is not given away', async (t) => {
  const house = await open(t)
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
  await make(anna, 'A')
  await enter(bert, 'B')
  const destroy = `<query xmlns='${MUC}#owner'><destroy jid='tea@${SERVICE}'><reason>no more coffee</reason></destroy></query>`
  await assert.rejects(bert.request('set', destroy, ROOM), /forbidden/)
  await anna.request('set', destroy, ROOM)
  const [end] = (await bert.sync(), bert.clear())
  assert.ok(end)
  assert.equal(brief(end), 'p unavailable cafe/B none/none 110')
  const told1 = end.child('x', `${MUC}#user`)?.child('destroy')
  assert.deepEqual([told1?.get('jid'), told1?.childText('reason')], [`tea@${SERVICE}`, 'no more coffee'])
  bert.send(`<presence to='${ROOM}/B'><x xmlns='${MUC}'/></presence>`)
  const refused = await bert.next()
  const gone = refused.child('error')?.child('gone', NS.stanzaErrors)
  assert.equal(gone?.text(), `xmpp:tea@${SERVICE}?join`)
  assert.equal(refused.child('error')?.childText('text', NS.stanzaErrors), 'no more coffee')
  house.clock.turn(32 * 86_400_000)
  assert.ok((await enter(bert, 'B'))[0]?.includes('owner/moderator'))
})

test('who may make rooms, and which', async (t) => {
  const house = await open(t, {
    featureConfig: { rooms: { create: 'admins', 'allow-public': false, 'allow-persistent': false } },
  })
  const account = house.accounts.list.get('anna@example.org')
  assert.ok(account)
  house.accounts.list.set('anna@example.org', { ...account, role: 'admin' })
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
  assert.deepEqual(await enter(bert, 'B'), ['p error cafe/B not-allowed'])
  await make(anna, 'A', { publicroom: '1', persistentroom: '1' })
  await admin(anna, `<item jid='bert@example.org' affiliation='owner'/>`)
  await configure(anna, { publicroom: '0', persistentroom: '0' })
  await assert.rejects(configure(bert, { publicroom: '1' }), /not-acceptable/)
  await assert.rejects(configure(bert, { persistentroom: '1' }), /not-acceptable/)
})

test('a room that nobody configures goes; one whose making is cancelled goes at once', async (t) => {
  const house = await open(t)
  const [anna, bert] = await guests(house, 'anna', 'bert')
  assert.ok(anna && bert)
  await enter(anna, 'A')
  house.clock.turn(5 * 60_000)
  assert.deepEqual(await told(anna), [
    'p unavailable cafe/A owner/none =anna@example.org/r (nobody has configured the room) 110',
  ])
  await enter(bert, 'B')
  await bert.request('set', `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='cancel'/></query>`, ROOM)
  assert.deepEqual(await told(bert), ['p unavailable cafe/B none/none =bert@example.org/r 110'])
  assert.equal((await enter(anna, 'A')).length, 2, 'it can be made again')
})
