// XEP-0317: hats that a room has, who gives them to whom, and who sees them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import { createRoomAdmin } from '../../../src/chat/rooms/administration.ts'
import type { Peer } from '../house.ts'
import { admin, enter, gather, guests, make, outcome, ROOM, SERVICE, submitted, told } from './lobby.ts'

const COMMANDS = 'http://jabber.org/protocol/commands'
const HATS = 'urn:xmpp:hats:commands'
const HOST = 'urn:x:host'
const SCRIBE = 'urn:x:scribe'

const ask = (peer: Peer, command: string, attrs = '', content = ''): Promise<Element> =>
  peer.request('set', `<command xmlns='${COMMANDS}' node='${HATS}:${command}' ${attrs}>${content}</command>`, ROOM)

/** Runs a command: by its form, or at once with what is to be filled in. */
async function run(
  peer: Peer,
  command: string,
  fields: Readonly<Record<string, string>>,
  direct = false,
): Promise<void> {
  const filled = submitted(fields, HATS)
  if (direct) return expectDone(await ask(peer, command, '', filled))
  const { firstElement: first } = await ask(peer, command)
  assert.equal(first?.get('status'), 'executing')
  return expectDone(await ask(peer, command, `sessionid='${first.get('sessionid')}'`, filled))
}

const expectDone = (answer: Element): void => assert.equal(answer.firstElement?.get('status'), 'completed')

/** The rows of a table. */
async function rows(peer: Peer, command: string): Promise<(string | undefined)[][]> {
  const { firstElement } = await ask(peer, command)
  const items = firstElement?.child('x', 'jabber:x:data')?.childrenNamed('item') ?? []
  return items.map((item) => item.childrenNamed('field').map((field) => field.childText('value')))
}

/** The hats in the last presence of a nick that somebody was told. */
const worn = (stanzas: readonly Element[], nick: string): string[] | undefined =>
  stanzas
    .findLast((stanza) => stanza.name === 'presence' && stanza.get('from') === `${ROOM}/${nick}`)
    ?.child('hats', 'urn:xmpp:hats:0')
    ?.elements.map((hat) => [hat.get('uri'), hat.get('title'), hat.get('hue')].filter(Boolean).join(' '))

test('a hat is made, given, changed, taken and destroyed; everybody sees it on whose head it is', async (t) => {
  const { house, anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A', { persistentroom: '1' })
  await enter(bert, 'B')
  await told(anna)
  await run(anna, 'create', { 'hats#uri': HOST, 'hats#title': 'Host', 'hats#hue': '327.25' })
  assert.deepEqual(await told(bert), ['m cafe 104'])
  await run(anna, 'create', { 'hats#uri': SCRIBE, 'hats#title': 'Scribe' }, true)
  await told(bert)
  assert.deepEqual(await rows(bert, 'list'), [
    ['Host', HOST, '327.25'],
    ['Scribe', SCRIBE, ''],
  ])
  await told(anna)
  await run(anna, 'assign', { 'hats#jid': 'bert@example.org', 'hats#uri': HOST })
  await run(anna, 'assign', { 'hats#jid': 'bert@example.org', 'hats#uri': SCRIBE }, true)
  assert.deepEqual(worn((await anna.sync(), anna.clear()), 'B'), [`${HOST} Host 327.25`, `${SCRIBE} Scribe`])
  // Whom the room does not know otherwise may wear one too.
  await run(anna, 'assign', { 'hats#jid': 'dora@example.org', 'hats#uri': HOST })
  await enter(dora, 'D')
  assert.deepEqual(worn((await bert.sync(), bert.clear()), 'D'), [`${HOST} Host 327.25`])
  assert.deepEqual(await rows(anna, 'list-assigned'), [
    ['bert@example.org', 'Host', HOST, '327.25'],
    ['bert@example.org', 'Scribe', SCRIBE, ''],
    ['dora@example.org', 'Host', HOST, '327.25'],
  ])
  bert.clear()
  await run(anna, 'create', { 'hats#uri': HOST, 'hats#title': 'Hostess' })
  const seen = (await bert.sync(), bert.clear())
  assert.deepEqual(worn(seen, 'D'), [`${HOST} Hostess`])
  assert.deepEqual(worn(seen, 'B'), [`${HOST} Hostess`, `${SCRIBE} Scribe`])
  await run(anna, 'unassign', { 'hats#jid': 'bert@example.org', 'hats#uri': SCRIBE }, true)
  assert.deepEqual(worn((await dora.sync(), dora.clear()), 'B'), [`${HOST} Hostess`])
  assert.equal(
    await outcome(run(anna, 'unassign', { 'hats#jid': 'bert@example.org', 'hats#uri': SCRIBE }, true)),
    'item-not-found',
  )
  // What the room knows of hats outlives the server.
  await house.restart()
  const [again] = await guests(house, 'anna')
  assert.ok(again)
  await enter(again, 'A')
  assert.deepEqual(await rows(again, 'list'), [
    ['Scribe', SCRIBE, ''],
    ['Hostess', HOST, ''],
  ])
  const [back] = await guests(house, 'dora')
  assert.ok(back)
  await enter(back, 'D')
  assert.deepEqual(worn((await again.sync(), again.clear()), 'D'), [`${HOST} Hostess`])
  await run(again, 'destroy', { 'hats#uri': HOST })
  assert.equal(worn((await back.sync(), back.clear()), 'D'), undefined)
  assert.deepEqual(await rows(again, 'list-assigned'), [])
})

test('a hat is no reason to say once more why somebody is what he is, or to wake those that are not there', async (t) => {
  const { anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await enter(bert, 'B')
  await admin(anna, `<item jid='bert@example.org' affiliation='member'><reason>he helps</reason></item>`)
  await run(anna, 'create', { 'hats#uri': HOST, 'hats#title': 'Host' })
  await told(anna)
  await told(bert)
  for (const who of ['bert', 'emil'])
    await run(anna, 'assign', { 'hats#jid': `${who}@example.org`, 'hats#uri': HOST }, true)
  assert.deepEqual(await told(bert), ['p cafe/B member/participant 110'])
  assert.deepEqual(await told(anna), ['p cafe/B member/participant =bert@example.org/r'])
})

test('only owners and administrators give hats; who is outside learns nothing of them', async (t) => {
  const { anna, bert, dora } = await gather(t, ['anna', 'bert', 'dora'])
  await make(anna, 'A')
  await enter(bert, 'B')
  await run(anna, 'create', { 'hats#uri': HOST, 'hats#title': 'Host' })
  const hat = { 'hats#jid': 'bert@example.org', 'hats#uri': HOST, 'hats#title': 'Boss' }
  const others: readonly Peer[] = [bert, dora]
  for (const command of ['create', 'destroy', 'assign', 'unassign', 'list-assigned'])
    for (const peer of others) {
      assert.equal(await outcome(ask(peer, command)), 'forbidden', command)
      assert.equal(await outcome(run(peer, command, hat, true)), 'forbidden', command)
    }
  assert.equal(await outcome(ask(bert, 'list')), 'ok')
  assert.equal(await outcome(ask(dora, 'list')), 'forbidden')
  for (const node of ['explode', 'constructor', '__proto__'])
    assert.equal(await outcome(ask(anna, node)), 'item-not-found', node)
  const commands = async (peer: Peer): Promise<(string | undefined)[]> => {
    const list = await peer.request('get', `<query xmlns='${NS.discoItems}' node='${COMMANDS}'/>`, ROOM)
    return list.firstElement?.elements.map((item) => item.get('node')?.slice(HATS.length + 1)) ?? []
  }
  assert.deepEqual(await commands(anna), ['create', 'destroy', 'list', 'assign', 'unassign', 'list-assigned'])
  assert.deepEqual(await commands(bert), ['list'])
  assert.deepEqual(await commands(dora), [])
  const described = await anna.request('get', `<query xmlns='${NS.discoInfo}' node='${HATS}:assign'/>`, ROOM)
  assert.equal(described.firstElement?.child('identity')?.get('type'), 'command-node')
  // Between the form and its answer he is an administrator no more.
  await admin(anna, `<item jid='bert@example.org' affiliation='admin'/>`)
  const { firstElement: form } = await ask(bert, 'assign')
  await admin(anna, `<item jid='bert@example.org' affiliation='none'/>`)
  const late = ask(bert, 'assign', `sessionid='${form?.get('sessionid')}'`, submitted(hat, HATS))
  assert.equal(await outcome(late), 'forbidden')
})

test('what is no hat is refused, and their number has bounds', async (t) => {
  const { anna } = await gather(t, ['anna'])
  await make(anna, 'A')
  for (const [uri, title, hue] of [
    ['', 'Host', ''],
    [HOST, '', ''],
    [HOST, 'x'.repeat(101), ''],
    ['u'.repeat(501), 'Host', ''],
    ['a b', 'Host', ''],
    [HOST, 'Host', 'red'],
    [HOST, 'Host', '361'],
  ] as const)
    assert.equal(
      await outcome(run(anna, 'create', { 'hats#uri': uri, 'hats#title': title, 'hats#hue': hue }, true)),
      'not-acceptable',
      `${uri} ${title} ${hue}`,
    )
  for (let index = 0; index < 50; index++)
    await run(anna, 'create', { 'hats#uri': `urn:x:${index}`, 'hats#title': 'H' }, true)
  assert.equal(await outcome(run(anna, 'create', { 'hats#uri': HOST, 'hats#title': 'H' }, true)), 'resource-constraint')
  const given = (jid: string, uri: string): Promise<string> =>
    outcome(run(anna, 'assign', { 'hats#jid': jid, 'hats#uri': uri }, true))
  for (let index = 0; index < 20; index++) assert.equal(await given('emil@example.org', `urn:x:${index}`), 'ok')
  assert.equal(await given('emil@example.org', 'urn:x:20'), 'resource-constraint')
  assert.equal(await given('emil@example.org', HOST), 'item-not-found')
  assert.equal(await given('example.org', 'urn:x:1'), 'jid-malformed')
  await admin(anna, `<item jid='dora@example.org' affiliation='outcast'/>`)
  assert.equal(await given('dora@example.org', 'urn:x:1'), 'not-allowed')
  const info = await anna.request('get', `<query xmlns='${NS.discoInfo}'/>`, ROOM)
  const fields = info.firstElement?.child('x', 'jabber:x:data')?.childrenNamed('field') ?? []
  assert.match(fields.find((field) => field.get('var') === 'hats#hash')?.childText('value') ?? '', /^[0-9a-f]{40}$/)
})

test('an administrator of the server gives hats too, and they go along with an export', async (t) => {
  const { house, anna, bert } = await gather(t, ['anna', 'bert'])
  await make(anna, 'A')
  await enter(bert, 'B')
  await told(anna)
  const rooms = createRoomAdmin(() => house.generation.scope)
  const hats = [{ uri: HOST, title: 'Host', hue: '10' }]
  await rooms.affiliate({ address: ROOM, jid: 'bert@example.org', affiliation: 'member', hats })
  assert.deepEqual(worn((await anna.sync(), anna.clear()), 'B'), [`${HOST} Host 10`])
  const { config } = await rooms.configure({ address: ROOM, changes: { hats } })
  assert.deepEqual(config.hats, hats)
  const { affiliations } = await rooms.show(ROOM)
  const copy = `copy@${SERVICE}`
  await rooms.import({ address: copy, room: { config, affiliations } })
  const imported = await rooms.show(copy)
  assert.deepEqual(imported.config.hats, hats)
  assert.deepEqual(imported.affiliations.find(({ jid }) => jid === 'bert@example.org')?.hats, hats)
  assert.equal(imported.affiliations.find(({ jid }) => jid === 'anna@example.org')?.affiliation, 'owner')
})
