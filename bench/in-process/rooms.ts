// Measures what many hear of at once, in this process and without sockets: a room of many occupants, personal events of somebody with many contacts, and rooms that nobody is in.
// `node scripts/run.cjs bench/in-process/rooms.ts [people] [messages] [rooms]`

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { el, type Element, NS, serialise, Underway } from '@aviso/xmpp'
import { rosterStore } from '../../packages/server/src/chat/core/roster.store.ts'
import type { Session } from '../../packages/server/src/chat/core/session.ts'
import { Interest, wants } from '../../packages/server/src/chat/pubsub/interests.ts'
import { PersonalEvents } from '../../packages/server/src/chat/pubsub/personal-events.ts'
import { RoomHalls } from '../../packages/server/src/chat/rooms/administration.ts'
import { House } from '../../packages/server/test/chat/house.ts'

const PEOPLE = Number(process.argv[2] ?? 500)
const MESSAGES = Number(process.argv[3] ?? 2000)
const ROOMS = Number(process.argv[4] ?? 100_000)
/** Messages that are under way at the same time. */
const IN_FLIGHT = 4
const MUC = 'http://jabber.org/protocol/muc'
const ROOM = 'cafe@rooms.example.org'
const NODE = 'urn:example:tune'
const ANNA = 'anna@example.org'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const house = await House.open({ featureConfig: { rooms: { 'max-rooms': ROOMS + 1 } } })
let delivered = 0
let heard: (stanza: Element | string) => void = () => {}
const sessions: Session[] = []
const names = Array.from({ length: PEOPLE }, (_, index) => `guest${index}@example.org`)
house.accounts.add(...names)
for (const name of names) {
  const account = house.accounts.list.get(name)
  if (account === undefined) throw new Error(name)
  const send = (stanza: Element | string): boolean => {
    // What a stream does with it, up to its buffer.
    delivered += Number((typeof stanza === 'string' ? stanza : serialise(stanza, NS.client)).length > 0)
    heard(stanza)
    return true
  }
  const wire = { send, drained: async () => {}, close: () => {} }
  sessions.push(house.chat.bind(account, 'x', { id: name, wire }))
}
const [first] = sessions
if (first === undefined) throw new Error('nobody is there')

/** Runs, and says what one of `count` costs. */
async function measure(what: string, unit: string, work: () => Promise<void>): Promise<void> {
  collect()
  const [cpu, wall, before] = [process.cpuUsage(), performance.now(), delivered]
  await work()
  const { user, system } = process.cpuUsage(cpu)
  const took = (performance.now() - wall).toFixed(0)
  const count = delivered - before
  const each = (user + system) / count
  console.log(`${what}: ${count} ${unit}, ${each.toFixed(2)} us CPU each (store's threads included), ${took} ms in all`)
}

async function send(session: Session, stanza: Element): Promise<void> {
  const taken = house.chat.take(session, stanza)
  await (taken instanceof Underway ? taken.done : taken)
}
const enter = (session: Session, index: number): Promise<void> =>
  send(session, el('presence', { to: `${ROOM}/n${index}` }, el('x', { xmlns: MUC }, el('history', { maxstanzas: 0 }))))

// What is read at a login is not what is measured.
for (const session of sessions) await send(session, el('iq', { type: 'get', id: 'p' }, el('ping', { xmlns: NS.ping })))
await enter(first, 0)
const form = el('x', { xmlns: 'jabber:x:data', type: 'submit' })
await send(first, el('iq', { type: 'set', id: 'own', to: ROOM }, el('query', { xmlns: `${MUC}#owner` }, form)))
await measure(`${PEOPLE} enter a room`, 'stanzas', async () => {
  for (const [index, session] of sessions.entries()) if (index > 0) await enter(session, index)
})
await measure(`${MESSAGES} messages, archived`, 'deliveries', async () => {
  let said = 0
  const one = async (): Promise<void> => {
    while (said < MESSAGES) {
      const session = sessions[(++said * 7) % PEOPLE] ?? first
      await send(
        session,
        el('message', { type: 'groupchat', to: ROOM, id: `m${said}` }, el('body', {}, 'hello to all of you')),
      )
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, one))
})

const events = house.chat.host(house.generation.scope).find(PersonalEvents, 'example.org')
const anna = house.accounts.list.get(ANNA)
if (events === undefined || anna === undefined) throw new Error('no personal events')
await house.store.account(rosterStore, anna.id).import({ items: names.map((contact) => ({ contact, name: '' })) })
for (const session of sessions) {
  session.presence = '/>'
  session.set(wants, new Interest('x', new Set([NODE])))
}
const EVENTS = 100
// Their block lists, likewise.
for (const session of sessions) await send(session, el('message', { to: `${ANNA}/x` }))
await measure(`${EVENTS} personal events of somebody with ${PEOPLE} contacts`, 'notifications', async () => {
  for (let index = 0; index < EVENTS; index++) {
    const all = new Promise<void>((resolve) => {
      let left = PEOPLE
      heard = () => void (--left === 0 && resolve())
    })
    await events.publish(anna, NODE, [{ id: 'now', xml: `<tune xmlns='${NODE}'>${index}</tune>` }], {})
    await all
  }
  heard = () => {}
})

const hall = house.generation.scope.use(RoomHalls).get('rooms.example.org')
if (hall === undefined) throw new Error('no rooms')
const owner = { jid: ANNA, affiliation: 'owner' as const, nick: '', reason: '', hats: [] }
const heap = (): number => {
  collect()
  return process.memoryUsage().heapUsed / 1024
}
const before = heap()
for (let made = 0; made < ROOMS;) {
  const batch: Promise<unknown>[] = []
  for (const end = Math.min(made + 500, ROOMS); made < end; made++) {
    const config = { ...hall.usual(), persistent: true, public: true, title: `Room ${made}` }
    batch.push(hall.create({ name: `room${made}`, config, affiliations: [owner], locked: false }, () => {}))
  }
  await Promise.all(batch)
}
const after = heap()
console.log(
  `${ROOMS} rooms that stay, nobody in them: ${(after - before).toFixed(0)} KiB of heap more, ${hall.rooms.size} in memory`,
)
await house.close()
