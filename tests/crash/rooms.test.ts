// A busy room while the server is killed, or stopped politely, and started again: what its people were answered is so
// afterwards. AVISO_CRASH_ROUNDS and AVISO_CRASH_SEED as in crash.test.ts.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { type Client, el, type Element, NS, StanzaError } from '@aviso/xmpp'
import { ManagedClient } from './managed-client.ts'
import { between, openXmpp, pick, seeded } from './peers.ts'
import { ANNA, BERT, delay, DOMAIN, eventually, Folder, PASSWORD, Server } from './server.ts'

const ROUNDS = Number(process.env['AVISO_CRASH_ROUNDS'] ?? 6)
const SEED = Number(process.env['AVISO_CRASH_SEED'] ?? randomInt(1_000_000))

const CLEO = `cleo@${DOMAIN}`
const SERVICE = `rooms.${DOMAIN}`
const ROOM = `cafe@${SERVICE}`
const MUC = 'http://jabber.org/protocol/muc'
const RSM = 'http://jabber.org/protocol/rsm'
const FORMS = 'jabber:x:data'
/** People that the room knows, or not. */
const GUESTS = Array.from({ length: 8 }, (_, index) => `guest${index}@far.example`)
const AFFILIATIONS = ['owner', 'admin', 'member', 'outcast', 'none']

/** What was answered last of something, and what was asked for and not answered before the kill: either may be so afterwards. */
class Kept {
  acknowledged: string
  pending: string | undefined

  constructor(value: string) {
    this.acknowledged = value
  }

  async change(to: string, ask: () => Promise<unknown>): Promise<void> {
    this.pending = to
    await ask()
    this.acknowledged = to
    this.pending = undefined
  }

  /** A fault, or nothing; from then on it is what was found. */
  found(value: string, what: string): string | undefined {
    const { acknowledged, pending } = this
    this.acknowledged = value
    this.pending = undefined
    if (value === acknowledged || value === pending) return undefined
    return `${what}: ${value} in place of ${acknowledged}${pending === undefined ? '' : ` or ${pending}`}`
  }
}

/** Somebody in the room, without stream management. */
class Guest {
  readonly client: Client
  readonly heard: Element[] = []
  readonly nick: string

  private constructor(client: Client, nick: string) {
    this.client = client
    this.nick = nick
  }

  static async enter(server: Server, address: string, nick: string): Promise<Guest> {
    const early: Element[] = []
    const to = { take: (stanza: Element): void => void early.push(stanza) }
    const client = await openXmpp(server.ports, address, nick, (stanza) => to.take(stanza))
    const guest = new Guest(client, nick)
    to.take = (stanza) => void guest.heard.push(stanza)
    client.send(el('presence'))
    await guest.join(ROOM)
    return guest
  }

  async join(room: string): Promise<void> {
    this.client.send(el('presence', { to: `${room}/${this.nick}` }, el('x', { xmlns: MUC })))
    await this.hears(`to be in ${room}`, (stanza) => {
      if (stanza.name === 'presence' && stanza.get('type') === 'error') throw new Error(stanza.toString())
      // The subject comes last.
      return stanza.get('from')?.startsWith(room) === true && stanza.child('subject') !== undefined
    })
  }

  ask(type: 'get' | 'set', payload: Element, to = ROOM): Promise<Element> {
    return this.client.request(el('iq', { type, to }, payload))
  }

  configure(fields: Readonly<Record<string, string>>, to = ROOM): Promise<Element> {
    const form = Object.entries({ FORM_TYPE: `${MUC}#roomconfig`, ...fields }).map(([name, value]) =>
      el('field', { var: name }, el('value', {}, value)),
    )
    return this.ask(
      'set',
      el('query', { xmlns: `${MUC}#owner` }, el('x', { xmlns: FORMS, type: 'submit' }, ...form)),
      to,
    )
  }

  /** Says something, and waits until it comes back. */
  async say(name: string, content: Element): Promise<void> {
    this.client.send(el('message', { type: 'groupchat', to: ROOM, id: name }, content))
    await this.hears(name, (stanza) => {
      if (stanza.get('id') === name && stanza.get('type') === 'error') throw new Error(stanza.toString())
      return stanza.get('id') === name && stanza.get('from') === `${ROOM}/${this.nick}`
    })
  }

  async hears(what: string, wanted: (stanza: Element) => boolean): Promise<Element> {
    let over = false
    void this.client.ended().then(() => (over = true))
    return eventually(what, 20_000, () => {
      const at = this.heard.findIndex(wanted)
      if (at >= 0) return this.heard.splice(at, 1)[0]
      if (over) throw new Error('the stream is over')
      return undefined
    })
  }
}

class Evening {
  readonly affiliations = new Map(GUESTS.map((guest) => [guest, new Kept('none')]))
  readonly title = new Kept('')
  readonly subject = new Kept('')
  /** Rooms that were made and destroyed: `there`, `gone`, `never`. */
  readonly others = new Map<string, Kept>()
  /** Messages that came back to who said them, in their order, by who said them. */
  readonly said = new Map<string, string[]>([
    ['anna', []],
    ['bert', []],
  ])
  readonly cleo = new ManagedClient(CLEO)
  readonly faults: string[] = []
  #next = 0

  async begin(server: Server): Promise<void> {
    const anna = await Guest.enter(server, ANNA, 'anna')
    await anna.configure({ 'muc#roomconfig_persistentroom': '1' })
    await anna.client.close()
  }

  /** Everybody is there, and busy, until the server is gone. */
  async round(server: Server, random: () => number, polite: boolean): Promise<void> {
    const anna = await Guest.enter(server, ANNA, 'anna')
    const bert = await Guest.enter(server, BERT, 'bert')
    await this.#seat(server)
    const busy = [
      this.#busy(() => this.#rules(anna, seeded(between(random, 1, 1e6)))),
      this.#busy(() => this.#titles(anna)),
      this.#busy(() => this.#subjects(anna)),
      this.#busy(() => this.#builds(anna)),
      ...[anna, bert].map((guest) => this.#busy(() => this.#talks(guest))),
    ]
    await delay(between(random, 200, 900))
    if (polite) assert.equal(await server.stop(), 0)
    else await server.kill()
    await Promise.all(busy)
    for (const guest of [anna, bert]) guest.client.destroy()
  }

  /** Cleo comes with a managed stream. */
  async #seat(server: Server): Promise<void> {
    if (this.cleo.connected) return
    if ((await this.cleo.connect(server.ports)) !== 'resumed') this.cleo.direct(`${ROOM}/cleo`, el('x', { xmlns: MUC }))
    await this.cleo.settled()
  }

  /** After a polite stop she is in the room still: she missed nothing, speaks without entering, and nobody has seen her go. */
  async resumed(server: Server): Promise<void> {
    const anna = await Guest.enter(server, ANNA, 'anna')
    const name = `anna-away${++this.#next}`
    await anna.say(name, el('body', {}, name))
    this.said.get('anna')?.push(name)
    if ((await this.cleo.connect(server.ports)) !== 'resumed') this.faults.push('the stream was not resumed')
    const still = `still${++this.#next}`
    this.cleo.send([{ name: still, to: ROOM }], 'groupchat')
    const spoken = await anna
      .hears(still, (stanza) => stanza.childText('body') === still)
      .catch((error: unknown) => void this.faults.push(String(error)))
    if (spoken !== undefined && spoken.get('from') !== `${ROOM}/cleo`) this.faults.push(spoken.toString())
    await this.cleo.settled()
    if (!this.cleo.received.includes(name)) this.faults.push(`${name} was missed`)
    const left = anna.heard.find(
      (stanza) => stanza.get('from') === `${ROOM}/cleo` && stanza.get('type') === 'unavailable',
    )
    if (left !== undefined) this.faults.push(left.toString())
    await anna.client.close()
  }

  /** Does something again and again until the server is gone. */
  async #busy(act: () => Promise<void>): Promise<void> {
    for (;;)
      try {
        await act()
      } catch (error) {
        // What the server refuses is a fault; that it is gone is not.
        if (
          error instanceof StanzaError &&
          !['remote-server-timeout', 'recipient-unavailable'].includes(error.condition)
        )
          this.faults.push(`refused: ${error.message}`)
        return
      }
  }

  async #rules(anna: Guest, random: () => number): Promise<void> {
    const jid = pick(random, GUESTS)
    const affiliation = pick(random, AFFILIATIONS)
    await this.affiliations
      .get(jid)
      ?.change(affiliation, () =>
        anna.ask('set', el('query', { xmlns: `${MUC}#admin` }, el('item', { jid, affiliation }))),
      )
  }

  async #titles(anna: Guest): Promise<void> {
    const title = `title ${++this.#next}`
    await this.title.change(title, () => anna.configure({ 'muc#roomconfig_roomname': title }))
  }

  async #subjects(anna: Guest): Promise<void> {
    const subject = `subject${++this.#next}`
    await this.subject.change(subject, () => anna.say(subject, el('subject', {}, subject)))
  }

  /** Makes a room that stays, and destroys every second one. */
  async #builds(anna: Guest): Promise<void> {
    const number = ++this.#next
    const room = `room${number}@${SERVICE}`
    const kept = new Kept('never')
    this.others.set(room, kept)
    await kept.change('there', async () => {
      await anna.join(room)
      await anna.configure({ 'muc#roomconfig_persistentroom': '1' }, room)
    })
    if (number % 2 === 0) return
    await kept.change('gone', () => anna.ask('set', el('query', { xmlns: `${MUC}#owner` }, el('destroy')), room))
  }

  async #talks(guest: Guest): Promise<void> {
    const name = `${guest.nick}${++this.#next}`
    await guest.say(name, el('body', {}, name))
    this.said.get(guest.nick)?.push(name)
  }

  async verify(server: Server): Promise<void> {
    const anna = await Guest.enter(server, ANNA, 'anna')
    const fault = (text: string | undefined): void => void (text !== undefined && this.faults.push(text))
    const kept = new Map(GUESTS.map((guest) => [guest, 'none']))
    for (const affiliation of AFFILIATIONS.slice(0, 4)) {
      const list = await anna.ask('get', el('query', { xmlns: `${MUC}#admin` }, el('item', { affiliation })))
      for (const item of list.firstElement?.elements ?? []) kept.set(item.get('jid') ?? '', affiliation)
    }
    for (const [jid, value] of this.affiliations) fault(value.found(kept.get(jid) ?? 'none', jid))
    const disco = (room: string) => anna.ask('get', el('query', { xmlns: NS.discoInfo }), room)
    fault(this.title.found((await disco(ROOM)).firstElement?.child('identity')?.get('name') ?? '', 'the title'))
    anna.client.send(el('presence', { to: `${ROOM}/anna` }, el('x', { xmlns: MUC })))
    const last = await anna.hears(
      'the subject',
      (stanza) => stanza.child('subject') !== undefined && stanza.child('body') === undefined,
    )
    fault(this.subject.found(last.childText('subject') ?? '', 'the subject'))
    for (const [room, value] of this.others) {
      const state = await disco(room).then(
        () => 'there',
        (error: unknown) => (error instanceof StanzaError && error.condition === 'gone' ? 'gone' : 'never'),
      )
      fault(value.found(state, room))
    }
    const archived = await archiveOf(anna)
    for (const [nick, said] of this.said) {
      const own = archived.filter((name) => name.startsWith(nick))
      const known = new Set(said)
      if (new Set(own).size < own.length) this.faults.push(`${nick}: something is in the archive twice`)
      const lost = said.filter((name) => !own.includes(name))
      if (lost.length > 0) this.faults.push(`${nick}: ${lost.join()} came back and is not in the archive`)
      const ordered = own.filter((name) => known.has(name))
      if (ordered.join() !== said.filter((name) => own.includes(name)).join()) this.faults.push(`${nick}: out of order`)
    }
    await anna.client.close()
    this.faults.push(...this.cleo.complaints.splice(0))
    for (const { event, level, msg, err } of server.errors())
      this.faults.push(`log: ${String(level)} ${String(event)} ${String(msg)} ${JSON.stringify(err)}`)
    if (server.stderr !== '') this.faults.push(`standard error: ${server.stderr}`)
  }
}

/** The bodies in the archive of the room. */
async function archiveOf(guest: Guest): Promise<readonly string[]> {
  const found: string[] = []
  for (let last = ''; ;) {
    const set = el('set', { xmlns: RSM }, el('max', {}, '250'), last !== '' && el('after', {}, last))
    guest.heard.length = 0
    const answer = await guest.ask('set', el('query', { xmlns: NS.mam }, set))
    for (const stanza of guest.heard) {
      const message = stanza.child('result', NS.mam)?.child('forwarded', NS.forward)?.child('message', NS.client)
      const body = message?.childText('body')
      if (body !== undefined) found.push(body)
    }
    const fin = answer.child('fin', NS.mam)
    const next = fin?.child('set', RSM)?.childText('last')
    if (next === undefined || fin?.get('complete') === 'true') return found
    last = next
  }
}

test(`rooms: the server is killed or stopped while they are busy, ${ROUNDS} times: all is as it was answered (seed ${SEED})`, async (t) => {
  const folder = new Folder('rooms-crash')
  const random = seeded(SEED)
  const evening = new Evening()
  let server = await Server.start({ folder: folder.path })
  try {
    await server.makeAccounts()
    await server.ask('account.add', { address: CLEO, password: PASSWORD, role: 'user' })
    await evening.begin(server)
    for (let round = 0; round < ROUNDS; round++) {
      const polite = round % 2 === 1
      await evening.round(server, random, polite)
      server = await Server.start({ folder: folder.path })
      if (polite) await evening.resumed(server)
      await evening.verify(server)
      assert.deepEqual(evening.faults, [], `seed ${SEED}, round ${round + 1}, ${polite ? 'stopped' : 'killed'}`)
    }
    const said = [...evening.said.values()].reduce((sum, { length }) => sum + length, 0)
    t.diagnostic(`${said} messages, ${evening.others.size} rooms, ${evening.title.acknowledged}`)
    assert.ok(said > ROUNDS && evening.others.size > 0)
  } finally {
    await evening.cleo.drop()
    if (server.running) await server.stop()
    folder.remove()
  }
})
