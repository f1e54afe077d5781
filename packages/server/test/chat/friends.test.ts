// Two people find each other: subscriptions, rosters and presence over the wire.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { House, type Peer, short } from './house.ts'

const houses: House[] = []
const open = async (...options: Parameters<typeof House.open>): Promise<House> => {
  const house = await House.open(...options)
  houses.push(house)
  return house
}
after(() => Promise.all(houses.map((house) => house.close())))

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'

const itemsOf = async (peer: Peer): Promise<string[]> => {
  const query = (await peer.roster()).child('query', 'jabber:iq:roster')
  return (query?.childrenNamed('item') ?? []).map((item) =>
    [item.get('jid'), item.get('subscription'), item.get('ask'), item.get('approved') && 'approved']
      .filter((word) => word !== undefined && word !== '')
      .join(' '),
  )
}

test('Anna and Bert add each other and see each other come and go', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')

  anna.send(`<presence type='subscribe' to='${BERT}'><status>it is me</status></presence>`)
  assert.deepEqual(await anna.news(), [`iq set ${BERT} none subscribe`])
  const request = await bert.next()
  assert.equal(short(request), `presence subscribe ${ANNA}`)
  assert.equal(request.childText('status'), 'it is me')
  assert.deepEqual(await itemsOf(bert), [], 'a request alone is no roster item')

  bert.send(`<presence type='subscribed' to='${ANNA}'/>`)
  assert.deepEqual(await bert.news(), [`iq set ${ANNA} from`])
  assert.deepEqual(await anna.news(), [`presence subscribed ${BERT}`, `iq set ${BERT} to`, `presence ${BERT}/hill`])

  bert.send(`<presence type='subscribe' to='${ANNA}'/>`)
  await bert.sync()
  await anna.news()
  anna.send(`<presence type='subscribed' to='${BERT}'/>`)
  assert.deepEqual(await anna.news(), [`iq set ${BERT} both`])
  assert.deepEqual(await bert.news(), [
    `iq set ${ANNA} from subscribe`,
    `presence subscribed ${ANNA}`,
    `iq set ${ANNA} both`,
    `presence ${ANNA}/sea`,
  ])

  anna.send('<presence><show>away</show><priority>5</priority></presence>')
  const away = await bert.next()
  assert.equal(short(away), `presence ${ANNA}/sea`)
  assert.equal(away.childText('show'), 'away')
  assert.equal(away.get('to'), `${BERT}/hill`)

  anna.client.destroy()
  assert.equal(short(await bert.next()), `presence unavailable ${ANNA}/sea`)
})

test('a request waits for its answer at each login, whole, also over a restart', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(
    `<presence type='subscribe' to='${BERT}' id='r7'><nick xmlns='http://jabber.org/protocol/nick'>Änne</nick><preauth xmlns='urn:xmpp:pars:0' token='1tMFqYDdKhfe2pwp'/></presence>`,
  )
  await anna.sync()
  for (let login = 0; login < 2; login++) {
    const bert = await house.login(BERT, 'hill')
    bert.send('<presence/>')
    const stanzas = (await bert.next(), await bert.next())
    assert.equal(short(stanzas), `presence subscribe ${ANNA}`)
    assert.equal(stanzas.childText('nick', 'http://jabber.org/protocol/nick'), 'Änne')
    assert.equal(stanzas.get('id'), 'r7')
    // As it came, an invitation that nobody here has made included.
    assert.equal(stanzas.child('preauth', 'urn:xmpp:pars:0')?.get('token'), '1tMFqYDdKhfe2pwp')
    if (login === 0) await house.crashAndStart()
    else {
      bert.send(`<presence type='unsubscribed' to='${ANNA}'/>`)
      await bert.sync()
      await bert.client.close()
    }
  }
  const bert = await house.login(BERT, 'hill')
  bert.send('<presence/>')
  assert.deepEqual(await bert.news(), [`presence ${BERT}/hill`])
})

test('what was approved beforehand needs no question', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  bert.send(`<presence type='subscribed' to='${ANNA}'/>`)
  assert.deepEqual(await bert.news(), [`iq set ${ANNA} none approved`])
  assert.deepEqual(await anna.news(), [])
  anna.send(`<presence type='subscribe' to='${BERT}'/>`)
  assert.deepEqual(await anna.news(), [
    `iq set ${BERT} none subscribe`,
    `presence subscribed ${BERT}`,
    `iq set ${BERT} to`,
    `presence ${BERT}/hill`,
  ])
  assert.deepEqual(await bert.news(), [`iq set ${ANNA} from approved`])
})

test('who is subscribed already and asks again is answered by the server', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await anna.news()
  anna.send(`<presence type='subscribe' to='${BERT}'/>`)
  // Anna's own server knows that she is subscribed; only the presence comes again.
  assert.deepEqual(await anna.news(), [`presence ${BERT}/hill`])
  assert.deepEqual(await bert.news(), [])
})

test('to remove a contact ends both subscriptions', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  await anna.news()
  await anna.rosterSet(`<item jid='${BERT}' subscription='remove'/>`)
  assert.deepEqual(await anna.news(), [`iq set ${BERT} remove`, `presence unavailable ${BERT}/hill`])
  assert.deepEqual(await bert.news(), [
    `presence unavailable ${ANNA}/sea`,
    `presence unsubscribe ${ANNA}`,
    `iq set ${ANNA} to`,
    `presence unsubscribed ${ANNA}`,
    `iq set ${ANNA} none`,
  ])
  assert.deepEqual(await itemsOf(anna), [])
  await assert.rejects(anna.rosterSet(`<item jid='${BERT}' subscription='remove'/>`), { condition: 'item-not-found' })
})

test('a cancelled subscription: the goodbye comes before the word (§3.2.2)', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const bert = await house.arrive(BERT, 'hill')
  anna.send(`<presence type='unsubscribed' to='${BERT}'/>`)
  await anna.news()
  assert.deepEqual(await bert.news(), [
    `presence unavailable ${ANNA}/sea`,
    `presence unsubscribed ${ANNA}`,
    `iq set ${ANNA} from`,
  ])
})

test('an account that does not exist says nothing to who asks for its presence', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(`<presence type='subscribe' to='nobody@example.org'/>`)
  assert.deepEqual(await anna.news(), ['iq set nobody@example.org none subscribe'])
  anna.send(`<presence type='probe' to='nobody@example.org'/><presence type='probe' to='${BERT}'/>`)
  assert.deepEqual(await anna.news(), ['presence unsubscribed nobody@example.org', `presence unsubscribed ${BERT}`])
})

test('all clients of an account share its roster, and each other’s presence', async () => {
  const house = await open()
  const sea = await house.arrive(ANNA, 'sea')
  const hut = await house.login(ANNA, 'hut')
  await sea.rosterSet(`<item jid='${BERT}' name='Bert &amp; Co'><group>Friends</group></item>`)
  assert.deepEqual(await hut.news(), [], 'who has not asked for the roster gets no pushes')
  assert.deepEqual(await sea.news(), [`iq set ${BERT} none`])
  const item = (await hut.roster()).child('query', 'jabber:iq:roster')?.child('item')
  assert.equal(item?.get('name'), 'Bert & Co')
  assert.equal(item?.childText('group'), 'Friends')
  hut.send('<presence/>')
  assert.deepEqual((await hut.news()).sort(), [`presence ${ANNA}/hut`, `presence ${ANNA}/sea`])
  assert.deepEqual(await sea.news(), [`presence ${ANNA}/hut`])
  hut.send(`<presence type='unavailable'/>`)
  await hut.sync()
  assert.deepEqual(await sea.news(), [`presence unavailable ${ANNA}/hut`])
})

test('a client that comes back gets only what changed (§2.6)', async () => {
  const house = await open()
  const first = await house.arrive(ANNA, 'sea')
  for (let n = 0; n < 10; n++) await first.rosterSet(`<item jid='c${n}@example.net'/>`)
  const version = (await first.roster('')).child('query', 'jabber:iq:roster')?.get('ver')
  assert.ok(version)
  assert.equal((await first.roster(version)).children.length, 0, 'nothing changed')
  await first.rosterSet(`<item jid='c3@example.net' name='Three'/>`)
  await first.rosterSet(`<item jid='c4@example.net' subscription='remove'/>`)
  await first.client.close()

  const second = await house.login(ANNA, 'sea')
  assert.equal((await second.roster(version)).children.length, 0)
  const pushes = [await second.next(), await second.next()]
  assert.deepEqual(pushes.map(short), ['iq set c3@example.net none', 'iq set c4@example.net remove'])
  const [before, now] = pushes.map((push) => push.child('query', 'jabber:iq:roster')?.get('ver'))
  assert.notEqual(before, now)
  // Cut off after the first push: the second one comes again.
  assert.equal((await second.roster(before)).children.length, 0)
  assert.equal(short(await second.next()), 'iq set c4@example.net remove')
  assert.equal((await second.roster(now)).children.length, 0)
  for (const odd of ['', 'nonsense', `${version}9999999`, '-1'])
    assert.equal((await second.roster(odd)).child('query', 'jabber:iq:roster')?.children.length, 9)
})

test('rosters have limits, and items have rules', async () => {
  const house = await open({ chat: { 'roster-items': 3, 'roster-groups': 2 } })
  const anna = await house.arrive(ANNA, 'sea')
  for (const [item, condition] of [
    [`<item jid='x@example.net'><group>a</group><group>a</group></item>`, 'bad-request'],
    [`<item jid='x@example.net'><group/></item>`, 'not-acceptable'],
    [`<item jid='x@example.net'><group>a</group><group>b</group><group>c</group></item>`, 'not-acceptable'],
    [`<item jid='x@example.net' name='${'n'.repeat(1024)}'/>`, 'not-acceptable'],
    [`<item jid='x@@example.net'/>`, 'jid-malformed'],
    [`<item/>`, 'bad-request'],
    [`<item jid='a@example.net'/><item jid='b@example.net'/>`, 'bad-request'],
    ['', 'bad-request'],
    [`<item jid='${ANNA}'/>`, 'not-allowed'],
  ] as const)
    await assert.rejects(anna.rosterSet(item), { condition }, item)
  for (const contact of ['a', 'b', 'c']) await anna.rosterSet(`<item jid='${contact}@example.net'/>`)
  await assert.rejects(anna.rosterSet(`<item jid='d@example.net'/>`), { condition: 'resource-constraint' })
  await anna.rosterSet(`<item jid='c@example.net' name='still to be changed'/>`)
  anna.clear()
  anna.send(`<presence type='subscribe' to='d@example.net'/>`)
  assert.deepEqual(await anna.news(), ['presence error d@example.net resource-constraint'])
})

test('strangers cannot fill a roster with their requests', async () => {
  const house = await open({ chat: { 'roster-items': 2 } })
  house.accounts.add('s1@example.org', 's2@example.org', 's3@example.org')
  for (const stranger of ['s1', 's2', 's3']) {
    const peer = await house.arrive(`${stranger}@example.org`, 'x')
    peer.send(`<presence type='subscribe' to='${BERT}'/>`)
    await peer.sync()
  }
  const bert = await house.arrive(BERT, 'hill')
  await bert.rosterSet(`<item jid='a@example.net'/>`)
  await bert.rosterSet(`<item jid='b@example.net'/>`)
})

test('directed presence: its receiver hears the goodbye, too', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const cleo = await house.arrive('cleo@example.net', 'city')
  anna.send(`<presence to='cleo@example.net'><show>chat</show></presence>`)
  await anna.sync()
  assert.deepEqual(await cleo.news(), [`presence ${ANNA}/sea`])
  anna.client.destroy()
  assert.equal(short(await cleo.next()), `presence unavailable ${ANNA}/sea`)
})

test('directed presence that was taken back is not taken back twice', async () => {
  const house = await open()
  const anna = await house.arrive(ANNA, 'sea')
  const cleo = await house.arrive('cleo@example.net', 'city')
  anna.send(
    `<presence to='cleo@example.net/city'/><presence to='cleo@example.net/city' type='unavailable'/><presence type='unavailable'/>`,
  )
  await anna.sync()
  assert.deepEqual(await cleo.news(), [`presence ${ANNA}/sea`, `presence unavailable ${ANNA}/sea`])
})

test('who probes is told what he may know', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const anna = await house.arrive(ANNA, 'sea')
  const probe = async (): Promise<string[]> => {
    anna.send(`<presence type='probe' to='${BERT}'/>`)
    return anna.news()
  }
  assert.deepEqual(await probe(), [`presence unavailable ${BERT}`])
  await house.arrive(BERT, 'hill', '<presence><show>dnd</show></presence>')
  await anna.news()
  assert.deepEqual(await probe(), [`presence ${BERT}/hill`])
})

test('the contacts of a deleted account are told', async () => {
  const house = await open()
  await house.befriend(ANNA, BERT)
  const bert = await house.arrive(BERT, 'hill')
  const anna = await house.arrive(ANNA, 'sea')
  await bert.news()
  const account = house.accounts.list.get(ANNA)
  assert.ok(account)
  house.accounts.list.delete(ANNA)
  await house.chat.room.erase?.(account)
  assert.match(String((await anna.ended()).error), /not-authorized/)
  assert.deepEqual(await bert.news(), [
    `presence unavailable ${ANNA}/sea`,
    `presence unsubscribe ${ANNA}`,
    `iq set ${ANNA} to`,
    `presence unsubscribed ${ANNA}`,
    `iq set ${ANNA} none`,
  ])
})

test('a presence that would be too much for all contacts is refused', async () => {
  const house = await open({ chat: { 'presence-octets': '1KiB' } })
  await house.befriend(ANNA, BERT)
  const bert = await house.arrive(BERT, 'hill')
  const anna = await house.arrive(ANNA, 'sea')
  await bert.news()
  anna.send(`<presence id='large'><status>${'x'.repeat(1024)}</status></presence>`)
  assert.equal(short(await anna.next()), 'presence error policy-violation')
  assert.deepEqual(await bert.news(), [])
  anna.send(`<presence><status>${'x'.repeat(900)}</status></presence>`)
  assert.deepEqual(await bert.news(), [`presence ${ANNA}/sea`])
})
