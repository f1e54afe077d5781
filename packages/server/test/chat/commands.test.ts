// An administrator at work in a chat client: commands (XEP-0050), administration (XEP-0133), announcements.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Element } from '@aviso/xmpp'
import * as v from 'valibot'
import { type FormStage, finished } from '../../src/chat/core/commands.ts'
import { chatFeature } from '../../src/chat/core/contracts.ts'
import { form, FORMS } from '../../src/chat/core/forms.ts'
import { FEATURES, House, type HouseOptions, type Peer, short } from './house.ts'

const houses: House[] = []
const open = async (options: HouseOptions = {}): Promise<House> => {
  const house = await House.open({ real: true, ...options })
  houses.push(house)
  await house.admin.setRole(ANNA, 'admin')
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const COMMANDS = 'http://jabber.org/protocol/commands'
const ADMIN = 'http://jabber.org/protocol/admin'

type Values = Readonly<Record<string, string | readonly string[]>>

const submitted = (values: Values): string =>
  `<x xmlns='${FORMS}' type='submit'>${Object.entries(values)
    .map(
      ([name, value]) =>
        `<field var='${name}'>${[value]
          .flat()
          .map((one) => `<value>${one}</value>`)
          .join('')}</field>`,
    )
    .join('')}</x>`

const send = async (peer: Peer, attributes: string, content = ''): Promise<Element> => {
  const answer = await peer.request(
    'set',
    `<command xmlns='${COMMANDS}' ${attributes}>${content}</command>`,
    'example.org',
  )
  assert.ok(answer.firstElement)
  return answer.firstElement
}

/** Runs a command of one form to its end. */
const run = async (peer: Peer, node: string, values?: Values): Promise<Element> => {
  const first = await send(peer, `node='${node}'`)
  if (values === undefined) return first
  assert.equal(first.get('status'), 'executing')
  return send(peer, `node='${node}' sessionid='${first.get('sessionid')}' action='complete'`, submitted(values))
}
const admin = (peer: Peer, node: string, values?: Values): Promise<Element> => run(peer, `${ADMIN}#${node}`, values)
const valuesOf = (command: Element, name: string): readonly string[] | undefined =>
  command
    .child('x', FORMS)
    ?.childrenNamed('field')
    .find((field) => field.get('var') === name)
    ?.childrenNamed('value')
    .map((value) => value.text())

test('commands are shown to those only who may run them', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const ask = `<query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS}'/>`
  const nodes = async (peer: Peer) =>
    (await peer.request('get', ask, 'example.org')).firstElement?.elements.map((item) => item.get('node')) ?? []
  assert.ok((await nodes(anna)).includes(`${ADMIN}#add-user`))
  assert.ok(!(await nodes(bert)).some((node) => node?.startsWith(ADMIN)))
  await assert.rejects(admin(bert, 'add-user'), { condition: 'forbidden' })
  await assert.rejects(admin(anna, 'no-such'), { condition: 'item-not-found' })
  const info = `<query xmlns='http://jabber.org/protocol/disco#info' node='${ADMIN}#add-user'/>`
  const identity = (await anna.request('get', info, 'example.org')).firstElement?.child('identity')
  assert.deepEqual([identity?.get('type'), identity?.get('name')], ['command-node', 'Add an account'])
  await assert.rejects(bert.request('get', info, 'example.org'), { condition: 'forbidden' })
  // Who is no administrator any more has no way on.
  const started = await admin(anna, 'add-user')
  await house.admin.setRole(ANNA, 'user')
  await assert.rejects(
    send(
      anna,
      `node='${ADMIN}#add-user' sessionid='${started.get('sessionid')}'`,
      submitted({ accountjid: 'x@example.org' }),
    ),
    { condition: 'forbidden' },
  )
})

test('accounts are made, disabled, given another password, thrown out and deleted', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const dora = 'dora@example.org'
  const wish = { accountjid: dora, password: 'pencil', 'password-verify': 'pencil' }
  await assert.rejects(admin(anna, 'add-user', { ...wish, 'password-verify': 'pen' }), { condition: 'not-acceptable' })
  await assert.rejects(admin(anna, 'add-user', { ...wish, accountjid: 'dora' }), { condition: 'jid-malformed' })
  await assert.rejects(admin(anna, 'add-user', { ...wish, accountjid: 'd@foreign.example' }), {
    condition: 'item-not-found',
  })
  await assert.rejects(admin(anna, 'add-user', { accountjid: dora }), { condition: 'not-acceptable' })
  const made = await admin(anna, 'add-user', wish)
  assert.deepEqual([made.get('status'), made.childText('note')], ['completed', `${dora} was made.`])
  await assert.rejects(admin(anna, 'add-user', wish), { condition: 'conflict' })
  assert.equal((await house.admin.audit())[0]?.by, ANNA, 'the audit names her')

  const first = await house.arrive(dora, 'a')
  await admin(anna, 'change-user-password', { accountjid: dora, password: 'crayon' })
  assert.match(String((await first.ended()).error), /not-authorized/)
  const second = await house.login(dora, 'b', 'crayon')
  const other = await house.login(dora, 'c', 'crayon')
  await admin(anna, 'end-user-session', { accountjids: `${dora}/b` })
  assert.match(String((await second.ended()).error), /policy-violation/)
  await other.sync()
  await admin(anna, 'disable-user', { accountjids: dora })
  await other.ended()
  assert.deepEqual(valuesOf(await admin(anna, 'get-disabled-users-list'), 'disableduserjids'), [dora])
  await assert.rejects(house.login(dora, 'b', 'crayon'))
  await admin(anna, 'reenable-user', { accountjids: dora })
  await house.login(dora, 'b', 'crayon')
  await admin(anna, 'delete-user', { accountjids: [dora, BERT] })
  await assert.rejects(house.admin.showAccount(dora), { code: 'not-found' })
  for (const node of ['delete-user', 'disable-user'])
    await assert.rejects(admin(anna, node, { accountjids: ANNA }), { condition: 'not-allowed' })
})

test('an administrator sees who is there', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  assert.deepEqual(valuesOf(await admin(anna, 'get-registered-users-num'), 'registeredusersnum'), ['3'])
  assert.deepEqual(valuesOf(await admin(anna, 'get-disabled-users-num'), 'disabledusersnum'), ['0'])
  assert.deepEqual(valuesOf(await admin(anna, 'get-online-users-num'), 'onlineusersnum'), ['2'])
  assert.deepEqual(valuesOf(await admin(anna, 'get-online-users-list'), 'onlineuserjids')?.toSorted(), [ANNA, BERT])
  assert.equal(valuesOf(await admin(anna, 'get-registered-users-list'), 'registereduserjids')?.length, 3)
  const roster = (await admin(anna, 'get-user-roster', { accountjid: BERT })).child('x', FORMS)?.childrenNamed('item')
  assert.deepEqual(
    roster?.map((item) => item.elements.map((field) => field.childText('value'))),
    [[ANNA, 'anna', 'both', '']],
  )
  await bert.client.close()
  await anna.sync()
  const stats = await admin(anna, 'user-stats', { accountjid: BERT })
  assert.deepEqual([valuesOf(stats, 'rostersize'), valuesOf(stats, 'onlineresources')], [['1'], []])
  assert.deepEqual(valuesOf(stats, 'lastlogin'), ['2026-01-01T00:00:00.000Z'])
})

test('everybody online is told, or everybody', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await assert.rejects(admin(anna, 'announce', { subject: 'nothing' }), { condition: 'not-acceptable' })
  const told = await admin(anna, 'announce', { subject: 'Tea', announcement: ['It is', 'ready.'] })
  assert.equal(told.childText('note'), '2 accounts were told.')
  const message = await bert.next()
  assert.deepEqual(
    [message.get('from'), message.childText('subject'), message.childText('body')],
    ['example.org', 'Tea', 'It is\nready.'],
  )
  assert.equal((await admin(anna, 'announce-all', { announcement: 'Cake' })).childText('note'), '3 accounts were told.')
  const cleo = await house.login('cleo@example.net', 'city')
  cleo.send('<presence/>')
  assert.equal(short(await cleo.next()), 'presence cleo@example.net/city')
  assert.equal((await cleo.next()).childText('body'), 'Cake')
})

test('the message of the day is said at each login, and outlives a restart', async () => {
  const house = await open({ featureConfig: { motd: { text: 'from the config' } } })
  const bodies = async (bare: string): Promise<(string | undefined)[]> => {
    const peer = await house.login(bare, 'x')
    peer.send('<presence/><presence/>')
    await peer.sync()
    const said = peer.clear().filter(({ name }) => name === 'message')
    await peer.client.close()
    return said.map((message) => message.childText('body'))
  }
  assert.deepEqual(await bodies(BERT), ['from the config'])
  const anna = await house.arrive(ANNA, 'sea')
  await admin(anna, 'set-motd', { motd: ['one', 'two'] })
  assert.deepEqual(await bodies(BERT), ['one\ntwo'])
  assert.deepEqual(valuesOf(await admin(anna, 'edit-motd'), 'motd'), ['one', 'two'])
  await house.crashAndStart()
  assert.deepEqual(await bodies(BERT), ['one\ntwo'])
  await admin(await house.arrive(ANNA, 'sea'), 'delete-motd')
  assert.deepEqual(await bodies(BERT), ['from the config'])
})

test('a new account is welcomed once, and its watchers are told once, also around a reload', async () => {
  const featureConfig = {
    welcome: { text: 'Hello {user} of {domain}, $& and welcome' },
    'watch-registrations': { watchers: [BERT] },
  }
  const house = await open({ featureConfig })
  await house.reload()
  const bert = await house.arrive(BERT, 'hill')
  await house.admin.createAccount({ address: 'dora@example.org', password: 'pencil' })
  assert.equal((await bert.next()).childText('body'), 'There is a new account: dora@example.org')
  const dora = await house.login('dora@example.org', 'x')
  dora.send('<presence/>')
  assert.equal(short(await dora.next()), 'presence dora@example.org/x')
  assert.equal((await dora.next()).childText('body'), 'Hello dora of example.org, $& and welcome')
  assert.deepEqual(await dora.news(), [])
  assert.deepEqual(await bert.news(), [])
})

test('of all forms that are open the oldest go when there are as many as is set', async () => {
  const house = await open({ features: [...FEATURES, wizard], featureConfig: { commands: { 'max-open': 2 } } })
  const [anna, bert] = [await house.arrive(ANNA, 'sea'), await house.arrive(BERT, 'hill')]
  const begun = async (peer: Peer): Promise<string> => (await send(peer, `node='wizard'`)).get('sessionid') ?? ''
  const [oldest, older, newest] = [await begun(anna), await begun(bert), await begun(bert)]
  const goOn = (peer: Peer, id: string): Promise<Element> =>
    send(peer, `node='wizard' sessionid='${id}'`, submitted({ n: '1' }))
  await assert.rejects(goOn(anna, oldest), { condition: 'bad-request' })
  for (const id of [older, newest]) assert.equal((await goOn(bert, id)).get('status'), 'executing')
})

test('watchers are told of a new account in the words of the config, by the type of message that it names', async () => {
  const text = '{address} is new'
  const house = await open({ featureConfig: { 'watch-registrations': { watchers: [BERT], text, type: 'headline' } } })
  const bert = await house.arrive(BERT, 'hill')
  await house.admin.createAccount({ address: 'dora@example.org', password: 'pencil' })
  assert.equal(short(await bert.next()), `message headline example.org 'dora@example.org is new'`)
})

test('rooms are destroyed, and affiliations in them changed, from a chat client', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  const room = 'cafe@rooms.example.org'
  const muc = 'http://jabber.org/protocol/muc'
  bert.send(`<presence to='${room}/B'><x xmlns='${muc}'/></presence>`)
  await bert.request('set', `<query xmlns='${muc}#owner'>${submitted({})}</query>`, room)
  await admin(anna, 'rooms-affiliation', { room, jid: ANNA, affiliation: 'owner' })
  await anna.request('get', `<query xmlns='${muc}#owner'/>`, room)
  await assert.rejects(admin(anna, 'rooms-affiliation', { room, jid: ANNA, affiliation: 'king' }), /not-acceptable/)
  await bert.sync()
  bert.clear()
  await admin(anna, 'rooms-destroy', { rooms: [room], reason: 'renovation' })
  await bert.sync()
  const goodbye = bert.clear().find((stanza) => stanza.get('type') === 'unavailable')
  assert.equal(goodbye?.child('x', `${muc}#user`)?.child('destroy')?.childText('reason'), 'renovation')
  await assert.rejects(admin(anna, 'rooms-destroy', { rooms: [room] }), /item-not-found/)
  await assert.rejects(admin(bert, 'rooms-destroy', { rooms: [room] }), /forbidden/)
})

/** A command of three forms, for the rules of the framework. */
const wizard = chatFeature({
  name: 'wizard',
  summary: 'Asks three times.',
  config: v.strictObject({}),
  attach(host) {
    const stage = (number: number, sum: number): FormStage => ({
      form: form({ title: `${number}` }, [{ name: 'n', type: 'text-single' }]),
      more: number < 3,
      next: (filled) => {
        const total = sum + Number(filled.text('n'))
        return number < 3 ? stage(number + 1, total) : finished(`${total}`)
      },
    })
    host.command({ node: 'wizard', name: 'Wizard', needs: 'manage-own', run: () => stage(1, 0) })
  },
})

test('a command of several forms goes forward, back, and away', async () => {
  const house = await open({
    features: [...FEATURES, wizard],
    featureConfig: { commands: { lifetime: '1m', 'max-open-per-account': 2 } },
  })
  const bert = await house.arrive(BERT, 'hill')
  const other = await house.arrive(BERT, 'vale')
  const first = await send(bert, `node='wizard'`)
  const id = first.get('sessionid') ?? ''
  const step = (action: string, n?: number, peer = bert): Promise<Element> =>
    send(peer, `node='wizard' sessionid='${id}' action='${action}'`, n === undefined ? '' : submitted({ n: String(n) }))
  const title = (command: Element) => command.child('x', FORMS)?.childText('title')
  assert.equal(title(first), '1')
  assert.deepEqual(
    first.child('actions')?.elements.map(({ name }) => name),
    ['next'],
  )
  await assert.rejects(step('prev'), { condition: 'bad-request' })
  await assert.rejects(step('next'), { condition: 'bad-request' }, 'no form')
  await assert.rejects(step('explode', 1), { condition: 'bad-request' })
  await assert.rejects(step('next', 1, other), { condition: 'bad-request' }, 'a session belongs to one client')
  assert.equal(title(await step('next', 1)), '2')
  const third = await step('next', 10)
  assert.deepEqual(
    third.child('actions')?.elements.map(({ name }) => name),
    ['prev', 'complete'],
  )
  assert.equal(title(await step('prev')), '2')
  assert.equal(title(await step('next', 20)), '3')
  await assert.rejects(step('next', 100), { condition: 'bad-request' }, 'this one completes')
  assert.equal((await step('complete', 100)).childText('note'), '121')
  await assert.rejects(step('complete', 100), { condition: 'bad-request' }, 'it is over')

  const second = await send(bert, `node='wizard'`)
  const cancelled = await send(bert, `node='wizard' sessionid='${second.get('sessionid')}' action='cancel'`)
  assert.equal(cancelled.get('status'), 'canceled')

  const late = await send(bert, `node='wizard'`)
  house.clock.turn(61_000)
  await assert.rejects(send(bert, `node='wizard' sessionid='${late.get('sessionid')}'`, submitted({ n: '1' })), {
    condition: 'not-allowed',
  })
  const [oldest] = [
    await send(bert, `node='wizard'`),
    await send(bert, `node='wizard'`),
    await send(bert, `node='wizard'`),
  ]
  await assert.rejects(send(bert, `node='wizard' sessionid='${oldest?.get('sessionid')}'`, submitted({ n: '1' })), {
    condition: 'bad-request',
  })
})

test('a role of the config: some of what administrators may do', async () => {
  const house = await open({
    roles: { helper: { allow: [`command:${ADMIN}#user-stats`], deny: ['invite-contacts'] } },
    featureConfig: {
      rules: { rules: [{ name: 'quiet', if: { role: ['helper'], kind: ['message'] }, do: { bounce: {} } }] },
    },
  })
  const bert = await house.arrive(BERT, 'hill')
  const offered = async (): Promise<string[]> => {
    const query = `<query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS}'/>`
    const { elements } = await bert.request('get', query, 'example.org')
    return elements[0]?.elements.map((item) => item.get('node') ?? '') ?? []
  }
  assert.ok((await offered()).includes('urn:xmpp:invite#invite'))
  await house.admin.setRole(BERT, 'helper')
  const now = await offered()
  assert.equal(now.includes('urn:xmpp:invite#invite'), false)
  assert.deepEqual(
    now.filter((node) => node.startsWith(ADMIN)),
    [`${ADMIN}#user-stats`],
  )
  await assert.rejects(admin(bert, 'delete-user'), /forbidden/)
  assert.equal((await admin(bert, 'user-stats', { accountjid: ANNA })).get('status'), 'completed')
  // The rules know the role as well, of who was here before.
  bert.send(`<message to='${ANNA}' type='chat'><body>hi</body></message>`)
  assert.equal(short(await bert.next()), `message error ${ANNA} policy-violation`)
})

test('a role that may not write to other servers', async () => {
  const house = await open({ roles: { inward: { deny: ['chat-elsewhere'] } } })
  const bert = await house.arrive(BERT, 'hill')
  const wrote = async (): Promise<string> => {
    bert.send(`<message to='dora@example.com' type='chat'><body>hi</body></message>`)
    return short(await bert.next())
  }
  assert.match(await wrote(), /remote-server-not-found/)
  await house.admin.setRole(BERT, 'inward')
  await bert.sync()
  assert.match(await wrote(), /not-allowed/)
  await assert.rejects(bert.request('get', `<ping xmlns='urn:xmpp:ping'/>`, 'example.com'), /not-allowed/)
  bert.send(`<presence to='dora@example.com' type='subscribe'/>`)
  assert.match((await bert.news()).at(-1) ?? '', /presence error dora@example.com not-allowed/)
})

test('rules, registrations and roles that do not fit each other keep the server from starting', async () => {
  const rule = { name: 'r', if: { role: ['helpr'] }, do: { drop: true } }
  await assert.rejects(open({ featureConfig: { rules: { rules: [rule] } } }), /the rule 'r' names the role 'helpr'/)
  await assert.rejects(open({ featureConfig: { registration: { role: 'admin' } } }), /may administer the server/)
  await assert.rejects(open({ featureConfig: { registration: { role: 'usr' } } }), /'usr' is not a role/)
})
