// Messages fly between clients with stream management while the server is killed, or stopped politely, and started again:
// what was acknowledged is there once. AVISO_CRASH_ROUNDS and AVISO_CRASH_SEED as in crash.test.ts.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { el, NS } from '@aviso/xmpp'
import { ManagedClient } from './managed-client.ts'
import { between, openXmpp, pick, seeded } from './peers.ts'
import { ANNA, BERT, delay, DOMAIN, eventually, Folder, PASSWORD, Server } from './server.ts'

const ROUNDS = Number(process.env['AVISO_CRASH_ROUNDS'] ?? 6)
const SEED = Number(process.env['AVISO_CRASH_SEED'] ?? randomInt(1_000_000))
/** Below what may wait for one client, and in `offline`. */
const MESSAGES_A_ROUND = 300

const CLEO = `cleo@${DOMAIN}`
const DORA = `dora@${DOMAIN}`
const EVERYBODY = [ANNA, BERT, CLEO, DORA]
const RSM = 'http://jabber.org/protocol/rsm'

interface Sent {
  readonly from: string
  readonly to: string
}

class Voyage {
  /** By name: everything that was sent so far. */
  readonly sent = new Map<string, Sent>()
  /** Anna and Bert write, Bert and Anna read; Cleo is away, Dora is offline. */
  readonly anna = new ManagedClient(ANNA)
  readonly bert = new ManagedClient(BERT)
  readonly cleo = new ManagedClient(CLEO)
  /** What Dora got at her logins. */
  readonly dora: string[] = []
  /** What is in the archive, and was lost on the way to a client that was there when the server was killed. */
  readonly archivedOnly = new Set<string>()
  readonly faults: string[] = []
  #next = 0

  get clients(): readonly ManagedClient[] {
    return [this.anna, this.bert, this.cleo]
  }

  get acknowledged(): readonly (readonly [string, Sent])[] {
    return [...this.sent].filter(([name]) => this.clients.some(({ acknowledged }) => acknowledged.has(name)))
  }

  receivedBy(address: string): readonly string[] {
    return this.clients.find((client) => client.address === address)?.received ?? this.dora
  }

  /** Writes to the others until the connection is over. */
  async write(client: ManagedClient, random: () => number): Promise<void> {
    const others = EVERYBODY.filter((address) => address !== client.address)
    for (let left = MESSAGES_A_ROUND; left > 0 && client.connected;) {
      const batch = Array.from({ length: between(random, 1, 8) }, () => ({
        name: `m${++this.#next}`,
        to: pick(random, others),
      }))
      for (const { name, to } of batch) this.sent.set(name, { from: client.address, to })
      client.send(batch)
      left -= batch.length
      // Now and then more is under way.
      if (random() < 0.8) await client.settled()
    }
    while (client.connected) await delay(10)
  }

  /** Everybody is there, Cleo leaves; then messages fly until the server is gone. */
  async round(server: Server, random: () => number, polite: boolean): Promise<void> {
    for (const client of this.clients) if (!client.connected) await client.connect(server.ports)
    await this.cleo.drop()
    const writing = [this.anna, this.bert].map((client) => this.write(client, seeded(between(random, 1, 1e6))))
    await delay(between(random, 50, 700))
    if (polite) this.#expect(await server.stop(), 0, 'the exit status of the server')
    else await server.kill()
    await Promise.all(writing)
  }

  /** After a polite stop all go on where they were. */
  async resumed(server: Server): Promise<void> {
    for (const client of this.clients) this.#expect(await client.connect(server.ports), 'resumed', client.address)
    await Promise.all([this.anna.settled(), this.bert.settled()])
    for (const [name] of this.sent)
      if (!this.clients.some(({ acknowledged }) => acknowledged.has(name)) && !this.#unknown.has(name))
        this.faults.push(`${name} was sent again and not acknowledged`)
    await eventually('what was missed', 10_000, () => (this.#missing().length === 0 ? true : undefined)).catch(() => {})
    for (const name of this.#missing()) this.faults.push(`${name} did not come after the resumption`)
  }

  /** After a kill nothing is known of the streams. */
  async begunAnew(server: Server): Promise<void> {
    for (const client of this.clients) this.#expect(await client.connect(server.ports), 'failed', client.address)
    for (const [name] of this.sent)
      if (!this.clients.some(({ acknowledged }) => acknowledged.has(name))) this.#unknown.add(name)
    for (const client of this.clients) await client.settled()
    // What was in the offline store comes now; the rest is in the archive.
    await delay(200)
    for (const name of this.#missing()) this.archivedOnly.add(name)
  }

  /** Sent before a kill and not acknowledged: it may be there or not. */
  readonly #unknown = new Set<string>()

  /** Names that were acknowledged, and that a client with a session has not got. */
  #missing(): readonly string[] {
    return this.acknowledged
      .filter(([name, { to }]) => to !== DORA && !this.archivedOnly.has(name) && !this.receivedBy(to).includes(name))
      .map(([name]) => name)
  }

  async verify(server: Server): Promise<void> {
    await this.#readOffline(server)
    for (const address of EVERYBODY) {
      const archived = counts(await archiveOf(server, address))
      const received = counts(this.receivedBy(address))
      for (const [name, count] of received) if (count > 1) this.faults.push(`${address} got ${name} ${count} times`)
      for (const [name, count] of archived)
        if (count > 1) this.faults.push(`${name} is ${count} times in the archive of ${address}`)
      for (const [name, { from, to }] of this.acknowledged) {
        if (address !== from && address !== to) continue
        if (!archived.has(name)) this.faults.push(`${name} was acknowledged and is not in the archive of ${address}`)
        if (address === DORA && to === DORA && !received.has(name))
          this.faults.push(`${name} was acknowledged and did not wait for ${DORA}`)
      }
    }
    for (const { complaints } of this.clients) this.faults.push(...complaints.splice(0))
    for (const { event, level, msg, err } of server.errors())
      this.faults.push(`log: ${String(level)} ${String(event)} ${String(msg)} ${JSON.stringify(err)}`)
    if (server.stderr !== '') this.faults.push(`standard error: ${server.stderr}`)
  }

  /** Dora logs in: what waits comes once, and at the second time nothing does. */
  async #readOffline(server: Server): Promise<void> {
    for (const again of [false, true]) {
      const before = this.dora.length
      const client = await openXmpp(server.ports, DORA, 'reading', (stanza) => {
        const body = stanza.name === 'message' ? stanza.childText('body') : undefined
        if (body !== undefined) this.dora.push(body)
      })
      client.send(el('presence'))
      const due = this.acknowledged.filter(([, { to }]) => to === DORA).map(([name]) => name)
      for (let tries = 0; tries < 200 && due.some((name) => !this.dora.includes(name)); tries++) await delay(10)
      await delay(100)
      if (again && this.dora.length > before) this.faults.push(`messages for ${DORA} came again`)
      await client.close()
    }
  }

  #expect<T>(found: T, expected: T, what: string): void {
    if (found !== expected) this.faults.push(`${what}: ${String(found)} in place of ${String(expected)}`)
  }
}

function counts(names: Iterable<string>): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const name of names) found.set(name, (found.get(name) ?? 0) + 1)
  return found
}

/** The bodies in an account's archive. */
async function archiveOf(server: Server, address: string): Promise<readonly string[]> {
  const found: string[] = []
  const client = await openXmpp(server.ports, address, 'archive', (stanza) => {
    const message = stanza.child('result', NS.mam)?.child('forwarded', NS.forward)?.child('message', NS.client)
    const body = message?.childText('body')
    if (body !== undefined) found.push(body)
  })
  for (let last = ''; ;) {
    const set = el('set', { xmlns: RSM }, el('max', {}, '250'), last !== '' && el('after', {}, last))
    const answer = await client.request(el('iq', { type: 'set' }, el('query', { xmlns: NS.mam }, set)))
    const fin = answer.child('fin', NS.mam)
    const next = fin?.child('set', RSM)?.childText('last')
    if (next === undefined || fin?.get('complete') === 'true') break
    last = next
  }
  await client.close()
  return found
}

test(`chat: the server is killed or stopped under load, ${ROUNDS} times: what was acknowledged is there once (seed ${SEED})`, async (t) => {
  const folder = new Folder('chat-crash')
  const random = seeded(SEED)
  const voyage = new Voyage()
  let server = await Server.start({ folder: folder.path })
  try {
    await server.makeAccounts()
    for (const address of [CLEO, DORA]) await server.ask('account.add', { address, password: PASSWORD, role: 'user' })
    for (let round = 0; round < ROUNDS; round++) {
      const polite = round % 2 === 1
      await voyage.round(server, random, polite)
      server = await Server.start({ folder: folder.path })
      if (polite) await voyage.resumed(server)
      else await voyage.begunAnew(server)
      await voyage.verify(server)
      assert.deepEqual(voyage.faults, [], `seed ${SEED}, round ${round + 1}, ${polite ? 'stopped' : 'killed'}`)
    }
    t.diagnostic(
      `${voyage.acknowledged.length} of ${voyage.sent.size} messages acknowledged, ${voyage.archivedOnly.size} found in the archive only`,
    )
  } finally {
    for (const client of voyage.clients) await client.drop()
    if (server.running) await server.stop()
    folder.remove()
  }
})
