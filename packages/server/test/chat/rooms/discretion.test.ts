// What those learn of a room whom it does not concern: nothing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import type { Peer } from '../house.ts'
import { admin, brief, enter, gather, make, MUC, outcome, ROOM, say, SERVICE, submitted, told } from './lobby.ts'

const register = (peer: Peer, nick: string): Promise<Element> =>
  peer.request(
    'set',
    `<query xmlns='jabber:iq:register'>${submitted({ 'muc#register_roomnick': nick }, `${MUC}#register`)}</query>`,
    ROOM,
  )

const describe = async (peer: Peer, room = ROOM): Promise<Element> => {
  const { firstElement: query } = await peer.request('get', `<query xmlns='${NS.discoInfo}'/>`, room)
  assert.ok(query)
  return query
}

/** What somebody outside can ask of a room and its people, and how each of it is answered. */
const ASKED: Readonly<Record<string, (peer: Peer) => Promise<unknown>>> = {
  archive: (peer) => peer.request('set', `<query xmlns='${NS.mam}'/>`, ROOM),
  'archive ends': (peer) => peer.request('get', `<metadata xmlns='${NS.mam}'/>`, ROOM),
  members: (peer) => peer.request('get', `<query xmlns='${MUC}#admin'><item affiliation='member'/></query>`, ROOM),
  moderators: (peer) => peer.request('get', `<query xmlns='${MUC}#admin'><item role='moderator'/></query>`, ROOM),
  form: (peer) => peer.request('get', `<query xmlns='${MUC}#owner'/>`, ROOM),
  register: (peer) => register(peer, 'Z'),
  version: (peer) => peer.request('get', `<query xmlns='jabber:iq:version'/>`, `${ROOM}/A`),
  'occupant card': (peer) => peer.request('get', `<vCard xmlns='vcard-temp'/>`, `${ROOM}/A`),
  moderate: (peer) =>
    peer.request(
      'set',
      `<moderate xmlns='urn:xmpp:message-moderate:1' id='x'><retract xmlns='urn:xmpp:message-retract:1'/></moderate>`,
      ROOM,
    ),
  picture: (peer) => peer.request('set', `<vCard xmlns='vcard-temp'/>`, ROOM),
}

for (const [what, settings, who, allowed] of [
  ['of an open room', {}, 'a stranger', ['archive', 'archive ends']],
  ['of an open room', {}, 'somebody who is banned', []],
  ['of a room for members', { membersonly: '1' }, 'a stranger', []],
  ['of a room with a password', { passwordprotectedroom: '1', roomsecret: 's' }, 'a stranger', []],
] as const)
  test(`${who}, ${what}: learns nothing that is not for him`, async (t) => {
    const { anna, bert } = await gather(t, ['anna', 'bert'])
    await make(anna, 'A', settings)
    say(anna, 'hidden')
    await admin(anna, `<item jid='dora@example.org' nick='Dora' affiliation='member'/>`)
    if (who === 'somebody who is banned') await admin(anna, `<item jid='bert@example.org' affiliation='outcast'/>`)
    await told(anna)
    for (const [name, ask] of Object.entries(ASKED))
      assert.equal((await outcome(ask(bert))) === 'ok', (allowed as readonly string[]).includes(name), name)
    const listed = await bert.request('get', `<query xmlns='${NS.discoItems}'/>`, ROOM)
    assert.deepEqual(listed.firstElement?.elements, [], 'who is there')
    const list = await bert.request('get', `<query xmlns='${NS.discoItems}'/>`, SERVICE)
    assert.deepEqual(list.firstElement?.elements, [], 'a hidden room is not listed')
    bert.send(`<presence type='probe' to='${ROOM}/A'/>`)
    bert.send(`<message type='groupchat' to='${ROOM}'><body>x</body></message>`)
    bert.send(`<message type='chat' to='${ROOM}/A'><body>x</body></message>`)
    bert.send(`<message to='${ROOM}'><x xmlns='${MUC}#user'><invite to='emil@example.org'/></x></message>`)
    const lines = await told(bert)
    assert.equal(lines.filter((line) => /^[pm] error/.test(line)).length, 4, lines.join('\n'))
    if (!(allowed as readonly string[]).includes('archive'))
      assert.doesNotMatch(lines.join('\n'), /hidden|anna@|owner|Dora/)
    assert.deepEqual(await told(anna), [], 'and nobody hears of it')
  })

test('a room that is being set up is there for its owner alone', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await enter(anna, 'A')
  assert.equal(await outcome(describe(bert)), 'item-not-found')
  assert.equal(await outcome(bert.request('get', `<query xmlns='${NS.discoItems}'/>`, ROOM)), 'item-not-found')
  // Whatever is asked of it, it is no more than a room that is not there.
  const requests = {
    ...ASKED,
    card: (peer: Peer) => peer.request('get', `<vCard xmlns='vcard-temp'/>`, ROOM),
    ping: (peer: Peer) => peer.request('get', `<ping xmlns='${NS.ping}'/>`, ROOM),
    registration: (peer: Peer) => peer.request('get', `<query xmlns='jabber:iq:register'/>`, ROOM),
    hats: (peer: Peer) =>
      peer.request(
        'set',
        `<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:hats:commands:list'/>`,
        ROOM,
      ),
    invent: (peer: Peer) => peer.request('get', `<query xmlns='urn:x'/>`, ROOM),
  }
  for (const [name, ask] of Object.entries(requests)) {
    const asked = await outcome(ask(bert))
    const expected =
      name === 'version' || name === 'occupant card'
        ? 'not-acceptable'
        : name === 'invent'
          ? 'service-unavailable'
          : 'item-not-found'
    assert.equal(asked, expected, name)
  }
  for (const stanza of [
    `<message type='groupchat' to='${ROOM}'><body>x</body></message>`,
    `<message type='chat' to='${ROOM}/A'><body>x</body></message>`,
    `<message to='${ROOM}'><x xmlns='${MUC}#user'><decline to='anna@example.org'/></x></message>`,
    `<presence type='probe' to='${ROOM}/A'/>`,
  ]) {
    bert.send(stanza)
    assert.match((await told(bert))[0] ?? '', /item-not-found$/, stanza)
    bert.send(stanza.replaceAll(ROOM, `none@${SERVICE}`))
    assert.match((await told(bert))[0] ?? '', /item-not-found$/, stanza)
  }
  assert.equal((await describe(anna)).child('identity')?.get('name'), 'cafe')
  // An instant room (XEP-0045 §10.1.2).
  await anna.request('set', `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`, ROOM)
  assert.equal((await describe(bert)).child('identity')?.get('name'), 'cafe')
  assert.ok((await enter(bert, 'B')).includes('p cafe/B none/participant 110+170'))
})

test('somebody in a room for members sees no lists, and no address; a moderator does, whatever his affiliation', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A', { membersonly: '1' })
  await admin(
    anna,
    `<item jid='bert@example.org' affiliation='member'/><item jid='dora@example.org' affiliation='member'/>`,
  )
  await enter(bert, 'B')
  const lines = await enter(dora, 'D')
  assert.doesNotMatch(lines.join('\n'), /@example/)
  const list = (peer: Peer, what: string): Promise<string> =>
    outcome(peer.request('get', `<query xmlns='${MUC}#admin'><item ${what}/></query>`, ROOM))
  for (const what of [`affiliation='owner'`, `affiliation='member'`, `affiliation='outcast'`, `role='participant'`])
    assert.equal(await list(dora, what), 'forbidden', what)
  await admin(anna, `<item nick='D' role='moderator'/>`)
  assert.equal(await list(dora, `affiliation='member'`), 'ok')
  assert.equal(await list(dora, `role='participant'`), 'ok')
  assert.equal(await list(dora, `affiliation='outcast'`), 'forbidden')
  await told(bert)
  say(bert, 'hello')
  const [message] = (await bert.sync(), bert.clear())
  assert.ok(message)
  assert.equal(brief(message), "m cafe/B 'hello'")
  assert.doesNotMatch(message.toString().replace(/ to='[^']*'/, ''), /bert@/)
})
