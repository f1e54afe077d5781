// Several domains in one server, each with settings of its own.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import * as v from 'valibot'
import { chatConfig } from '../../src/chat/config.ts'
import { validate } from '../../src/kernel/config/validate.ts'
import { Registry } from '../../src/kernel/module.ts'
import { chatModules } from '../../src/chat/modules.ts'
import { House, type HouseOptions, RawStream, short } from './house.ts'

const ANNA = 'anna@example.org'
const CLEO = 'cleo@example.net'
const DISCO = 'http://jabber.org/protocol/disco#info'

const open = async (t: TestContext, options: HouseOptions): Promise<House> => {
  const house = await House.open(options)
  t.after(() => house.close())
  return house
}

test('a feature that is off for one domain is there for the others, and is announced there only', async (t) => {
  const house = await open(t, { hosts: { 'example.net': { featureConfig: { vcard: false, ping: false } } } })
  const anna = await house.arrive(ANNA, 'sea')
  const cleo = await house.login(CLEO, 'lake')
  const vcard = `<vCard xmlns='vcard-temp'/>`
  const known = await anna.request('get', vcard)
  assert.equal(known.get('type'), 'result')
  await assert.rejects(cleo.request('get', vcard), /service-unavailable/)
  await assert.rejects(
    anna.request('get', vcard, CLEO),
    /service-unavailable/,
    'nor is it there for who asks from elsewhere',
  )
  const features = async (domain: string): Promise<string[]> => {
    const info = await anna.request('get', `<query xmlns='${DISCO}'/>`, domain)
    return info.elements[0]?.childrenNamed('feature').map((feature) => feature.get('var') ?? '') ?? []
  }
  assert.ok((await features('example.org')).includes('vcard-temp'))
  const others = await features('example.net')
  assert.equal(others.includes('vcard-temp'), false)
  assert.ok(others.includes('jabber:iq:version'))
})

test('each domain tells the capabilities that it has', async (t) => {
  const house = await open(t, { hosts: { 'example.net': { featureConfig: { vcard: false } } } })
  const ver = async (domain: string): Promise<string> => {
    const raw = new RawStream(await house.socket())
    raw.open(domain)
    const [, hash = ''] = await raw.until(/hash='sha-1'[^>]*ver='([^']+)'/)
    await raw.until(/<\/stream:features>/)
    return hash
  }
  const [org, net] = [await ver('example.org'), await ver('example.net')]
  assert.notEqual(org, net)
  const anna = await house.arrive(ANNA, 'sea')
  for (const [domain, hash] of [
    ['example.org', org],
    ['example.net', net],
  ] as const) {
    const node = `https://${domain}#${hash}`
    const info = await anna.request('get', `<query xmlns='${DISCO}' node='${node}'/>`, domain)
    assert.equal(info.elements[0]?.get('node'), node)
  }
})

test('a domain’s own settings of a feature are in the place of the common ones', async (t) => {
  const house = await open(t, {
    featureConfig: { disco: { name: 'Ours' } },
    hosts: { 'example.net': { featureConfig: { disco: { name: 'The club' } } } },
  })
  const anna = await house.arrive(ANNA, 'sea')
  const name = async (domain: string): Promise<string | undefined> => {
    const info = await anna.request('get', `<query xmlns='${DISCO}'/>`, domain)
    return info.elements[0]
      ?.childrenNamed('identity')
      .find((one) => one.get('category') === 'server')
      ?.get('name')
  }
  assert.equal(await name('example.org'), 'Ours')
  assert.equal(await name('example.net'), 'The club')
})

test('limits of one domain', async (t) => {
  const house = await open(t, { hosts: { 'example.net': { 'sessions-per-account': 1 } } })
  await house.login(ANNA, 'one')
  await house.login(ANNA, 'two')
  await house.login(CLEO, 'one')
  await assert.rejects(house.login(CLEO, 'two'), /resource-constraint/)
})

test('rosters, presence and resources have limits of their own in a domain, and those of all elsewhere', async (t) => {
  const lists = { 'roster-items': 1, 'roster-groups': 1 }
  const house = await open(t, {
    hosts: { 'example.net': { ...lists, 'presence-octets': '1KiB', 'resource-conflict': 'refuse-newer' } },
  })
  const item = (contact: string, groups = 1): string =>
    `<item jid='${contact}@far.example'>${Array.from({ length: groups }, (_, n) => `<group>g${n}</group>`).join('')}</item>`
  for (const [address, limited] of [
    [ANNA, false],
    [CLEO, true],
  ] as const) {
    const told: boolean[] = []
    const refused = (work: Promise<unknown>): Promise<void> =>
      work.then(
        () => void told.push(false),
        () => void told.push(true),
      )
    const peer = await house.arrive(address, 'one')
    await refused(peer.rosterSet(item('a', 2)))
    await peer.rosterSet(item('b'))
    await refused(peer.rosterSet(item('c')))
    peer.send(`<presence><status>${'x'.repeat(2000)}</status></presence>`)
    told.push((await peer.news()).includes('presence error policy-violation'))
    await refused(house.login(address, 'one'))
    assert.deepEqual(told, [limited, limited, limited, limited], address)
  }
})

test('a domain without chat: nobody logs in, and what is for it goes to another server', async (t) => {
  const house = await open(t, { hosts: { 'example.net': { enabled: false } } })
  const raw = new RawStream(await house.socket())
  raw.open('example.net')
  await raw.until(/<host-unknown/)
  const anna = await house.arrive(ANNA, 'sea')
  anna.send(`<message to='${CLEO}' type='chat'><body>there?</body></message>`)
  assert.equal(short(await anna.next()), `message error ${CLEO} remote-server-not-found`)
})

test('a reload that takes chat from a domain ends its sessions', async (t) => {
  const house = await open(t, {})
  const anna = await house.arrive(ANNA, 'sea')
  const cleo = await house.arrive(CLEO, 'lake')
  const before = await house.reload({ hosts: { 'example.net': { enabled: false } } })
  const { error } = await cleo.ended()
  assert.match(String(error), /host-gone/)
  await before.scope.close()
  await anna.sync()
})

test('what the config says wrongly is told with its place', () => {
  const schema = chatConfig(new Registry(chatModules))
  const problems = (written: object): string[] =>
    (validate(schema, written).problems ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)
  assert.deepEqual(problems({ hosts: { 'example.net': { features: { vcard: false, archive: { keep: '30d' } } } } }), [])
  assert.match(
    problems({ hosts: { 'example.net': { features: { vcart: false } } } })[0] ?? '',
    /example\.net\.features\.vcart: there is no .*did you mean 'vcard'/,
  )
  assert.match(
    problems({ hosts: { 'example.net': { features: { archive: { keeep: '30d' } } } } })[0] ?? '',
    /archive\.keeep/,
  )
  assert.match(problems({ hosts: { 'no domain': {} } })[0] ?? '', /expected a domain/)
  const parsed = v.parse(schema, { hosts: { 'EXAMPLE.net': { features: { vcard: false } } } })
  assert.deepEqual([...(parsed.hosts['example.net']?.features.entries() ?? [])], [['vcard', undefined]])
})
