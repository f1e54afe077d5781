// What owners do: settings, and the end of a room.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NS } from '@aviso/xmpp'
import {
  admin,
  brief,
  configure,
  enter,
  gather,
  listed,
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

test('what is said while the room is destroyed does not turn up in the next one', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'], { featureConfig: { rooms: { tombstones: '0s' } } })
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
  const { anna, bert } = await gather(t, ['anna', 'bert'])
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
  const { anna, bert } = await gather(t, ['anna', 'bert'])
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
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A', { whois: 'anyone' })
  assert.deepEqual(await enter(bert, 'B'), [
    'p cafe/A owner/moderator =anna@example.org/r',
    'p cafe/B none/participant =bert@example.org/r 110+100+170',
    "m cafe subject ''",
  ])
  assert.deepEqual(await listed(bert, `affiliation='owner'`), ['anna@example.org'])
  await assert.rejects(listed(bert, `affiliation='outcast'`), /forbidden/)
  await configure(anna, { whois: 'moderators' })
  await told(bert)
  await enter(dora, 'D')
  assert.deepEqual(await told(bert), ['p cafe/D none/participant'])
  await assert.rejects(listed(bert, `affiliation='owner'`), /forbidden/)
})

test('whose presence is shown: visitors may be unseen, members that are away may be seen', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
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

test('a destroyed room says where the others went, and its name is not given away', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
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
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
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
