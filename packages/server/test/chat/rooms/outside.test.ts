// Rooms and what comes from outside: other servers, many at once, too much of all, and nonsense.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { el, NS } from '@aviso/xmpp'
import * as fc from 'fast-check'
import { Submission } from '../../../src/chat/core/forms.ts'
import { readNick } from '../../../src/chat/rooms/nick.ts'
import { submittedConfig, usualConfig } from '../../../src/chat/rooms/room-config.ts'
import { settingsSchema } from '../../../src/chat/rooms/settings.ts'
import { StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { certified, Town } from '../s2s/town.ts'
import { admin, brief, configure, enter, gather, join, make, MUC, ROOM, say, SERVICE, told } from './lobby.ts'

test('people of another server: they enter, speak and leave, but make no rooms unless they may', async (t) => {
  const town = new Town(t)
  const ours = await town.open('example.org', {
    features: { rooms: {} },
    certificate: certified('example.org', SERVICE),
  })
  const theirs = await town.open('two.example')
  town.announce(SERVICE, ours.servers)
  const anna = await ours.arrive('anna')
  const bert = await theirs.arrive('bert')
  join(bert, 'B')
  assert.equal(brief(await bert.next()), 'p error cafe/B not-allowed')
  await make(anna, 'A', { whois: 'anyone' })
  join(bert, 'B')
  const seen = [brief(await bert.next()), brief(await bert.next()), brief(await bert.next())]
  assert.deepEqual(seen, [
    'p cafe/A owner/moderator =anna@example.org/r',
    'p cafe/B none/participant =bert@two.example/r 110+100+170',
    "m cafe subject ''",
  ])
  await told(anna)
  say(bert, 'from afar')
  assert.equal(brief(await bert.next()), "m cafe/B 'from afar'")
  assert.deepEqual(await told(anna), ["m cafe/B 'from afar'"])
  say(anna, 'welcome')
  const message = await bert.next()
  assert.equal(brief(message), "m cafe/A 'welcome'")
  assert.equal(message.xmlns, NS.client)
  const archive = await bert.request('set', `<query xmlns='${NS.mam}'/>`, ROOM)
  assert.equal(archive.firstElement?.get('complete'), 'true')
  assert.equal(bert.clear().filter((stanza) => stanza.child('result', NS.mam) !== undefined).length, 2)
  bert.client.destroy()
  await told(anna)
  for (;;) {
    const stanza = await anna.next()
    if (stanza.get('type') === 'unavailable') {
      assert.match(brief(stanza), /^p unavailable cafe\/B none\/none =bert@two\.example\/r/)
      break
    }
  }
})

test('a hundred come at once: each sees each, once', async (t) => {
  const { house, anna } = await gather(t, ['anna'])
  await make(anna, 'Anna')
  const names = Array.from({ length: 100 }, (_, index) => `guest${index}@example.org`)
  house.accounts.add(...names)
  const peers = []
  for (const name of names) peers.push(await house.login(name, 'r'))
  peers.forEach((peer, index) => join(peer, `guest-${index}`))
  for (const peer of peers) await peer.sync()
  for (const peer of peers) {
    const nicks = peer
      .clear()
      .filter((stanza) => stanza.name === 'presence')
      .map((stanza) => stanza.get('from'))
    assert.equal(nicks.length, 101)
    assert.equal(new Set(nicks).size, 101)
  }
  assert.equal((await told(anna)).length, 100)
})

test('two make the same room at the same time: one owns it, the other is told to wait', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  join(anna, 'A')
  join(bert, 'B')
  const lines = [...(await told(anna)), ...(await told(bert))].filter((line) => line.startsWith('p'))
  assert.equal(lines.filter((line) => line.includes('owner/moderator') && line.includes('201')).length, 1)
  assert.equal(lines.filter((line) => line.includes('item-not-found')).length, 1)
})

test('who says too much at once, or makes too many rooms, is told to wait', async (t) => {
  const left = new Map([
    ['room-messages', 2],
    ['room-creations', 1],
    ['room-invitations', 0],
  ])
  const { anna } = await gather(t, ['anna'], {
    limits: {
      take: (name) => {
        const some = left.get(name)
        if (some === undefined) return true
        left.set(name, some - 1)
        return some > 0
      },
    },
  })
  await make(anna, 'A')
  for (const body of ['1', '2', '3']) say(anna, body)
  assert.deepEqual(await told(anna), ["m cafe/A '1'", "m cafe/A '2'", 'm error cafe policy-violation'])
  anna.send(`<message to='${ROOM}'><x xmlns='${MUC}#user'><invite to='bert@example.org'/></x></message>`)
  assert.deepEqual(await told(anna), ['m error cafe policy-violation'])
  assert.deepEqual(await enter(anna, 'A', { room: `more@${SERVICE}` }), ['p error more/A policy-violation'])
})

test('limits of the config hold: rooms, people, what a room knows', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'], {
    featureConfig: {
      rooms: { 'max-rooms': 1, 'max-occupants': 2, 'max-affiliations': 2, 'max-affiliation-changes': 2 },
    },
  })
  await make(anna, 'A')
  assert.deepEqual(await enter(anna, 'A', { room: `more@${SERVICE}` }), ['p error more/A resource-constraint'])
  await enter(bert, 'B')
  assert.deepEqual(await enter(dora, 'D'), ['p error cafe/D service-unavailable'])
  await admin(anna, `<item jid='x@example.org' affiliation='member'/>`)
  await assert.rejects(admin(anna, `<item jid='y@example.org' affiliation='member'/>`), /resource-constraint/)
  const many = [1, 2, 3].map((index) => `<item jid='m${index}@example.org' affiliation='member'/>`).join('')
  await assert.rejects(admin(anna, many), /policy-violation/)
})

test('what a stranger to a room sends it goes nowhere', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A', { persistentroom: '1' })
  const refused = async (xml: string): Promise<string> => {
    bert.send(xml)
    return (await told(bert)).filter((line) => !line.startsWith('iq'))[0] ?? ''
  }
  assert.equal(
    await refused(`<message type='groupchat' to='${ROOM}'><body>x</body></message>`),
    'm error cafe not-acceptable',
  )
  assert.equal(
    await refused(`<message type='chat' to='${ROOM}/A'><body>x</body></message>`),
    'm error cafe/A not-acceptable',
  )
  assert.equal(await refused(`<message to='${ROOM}'><body>x</body></message>`), 'm error cafe service-unavailable')
  assert.equal(
    await refused(`<message to='${ROOM}'><x xmlns='${MUC}#user'><invite to='x@example.org'/></x></message>`),
    'm error cafe not-acceptable',
  )
  assert.equal(
    await refused(`<message type='groupchat' to='never@${SERVICE}'><body>x</body></message>`),
    'm error never item-not-found',
  )
  assert.equal(
    await refused(`<message type='groupchat' to='${SERVICE}'><body>x</body></message>`),
    `m error ${SERVICE} service-unavailable`,
  )
  assert.equal(await refused(`<presence type='subscribe' to='${ROOM}'/>`), 'p unsubscribed cafe')
  assert.equal(await refused(`<presence to='${ROOM}'><x xmlns='${MUC}'/></presence>`), 'p error cafe jid-malformed')
  assert.equal(
    await refused(`<presence to='new@${SERVICE}'><x xmlns='${MUC}'/></presence>`),
    'p error new jid-malformed',
  )
  for (const type of ['unavailable', 'error'])
    assert.equal(await refused(`<presence type='${type}' to='${ROOM}/B'/>`), '')
  for (const query of [
    `<query xmlns='${MUC}#admin'><item affiliation='member'/></query>`,
    `<query xmlns='${MUC}#owner'/>`,
  ])
    await assert.rejects(bert.request('get', query, ROOM), /forbidden/)
  await assert.rejects(configure(bert), /forbidden/)
  await assert.rejects(bert.request('get', `<query xmlns='jabber:iq:register'/>`, ROOM), /not-allowed/)
  assert.deepEqual(await told(anna), [])
})

test('a reload of the config: everybody stays, and the new settings hold', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await enter(bert, 'B')
  await told(anna)
  const before = await house.reload({ featureConfig: { rooms: { create: 'admins' } } })
  say(anna, 'still there?')
  await anna.sync()
  assert.deepEqual(await told(bert), ["m cafe/A 'still there?'"])
  await before.scope.close()
  say(bert, 'yes')
  assert.deepEqual(await told(bert), ["m cafe/B 'yes'"])
  assert.deepEqual(await enter(bert, 'B', { room: `new@${SERVICE}` }), ['p error new/B not-allowed'])
})

test('any form is taken or refused as a whole', () => {
  const settings = v.parse(settingsSchema, {})
  const config = usualConfig(settings)
  const names = [
    'roomname',
    'roomdesc',
    'lang',
    'persistentroom',
    'publicroom',
    'membersonly',
    'allowinvites',
    'maxusers',
    'moderatedroom',
    'whois',
    'changesubject',
    'historylength',
    'passwordprotectedroom',
    'roomsecret',
    'presencebroadcast',
    'allowpm',
    'enablearchiving',
    'slow_mode_duration',
  ]
  const value = fc.oneof(
    fc.constantFrom('0', '1', 'true', 'false', 'none', 'anyone', 'moderators', '-1', '1e9', '99999999999', ''),
    fc.string(),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...names), fc.array(value, { maxLength: 3 })), { maxLength: 6 }),
      (fields) => {
        const x = el(
          'x',
          { xmlns: 'jabber:x:data', type: 'submit' },
          ...fields.map(([name, values]) =>
            el('field', { var: `muc#roomconfig_${name}` }, ...values.map((each) => el('value', {}, each))),
          ),
        )
        const rights = { persistent: true, public: true, maxHistory: 200, maxOccupants: 5000 }
        try {
          const next = submittedConfig(config, new Submission(x), rights)
          assert.ok(next.historyLength <= 200 && next.maxOccupants <= 5000)
          assert.deepEqual(Object.keys(next).sort(), Object.keys(config).sort())
        } catch (error) {
          assert.ok(error instanceof StanzaError && error.condition === 'not-acceptable')
        }
      },
    ),
  )
})

test('any nick is one that can be read, or is refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      try {
        const nick = readNick(text)
        assert.equal(nick, nick.trim())
        assert.match(nick, /[\p{L}\p{N}\p{S}\p{P}]/u)
      } catch (error) {
        assert.ok(error instanceof StanzaError)
      }
    }),
  )
})
