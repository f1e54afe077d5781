// The proxy for bytestreams (XEP-0065): two clients that do not reach each other.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import * as v from 'valibot'
import { streamName } from '../../src/chat/bytestreams/meeting.ts'
import { Handshake, reply } from '../../src/chat/bytestreams/socks5.ts'
import { proxy65 } from '../../src/chat/endpoints/proxy65.ts'
import { Network } from '../../src/net/contracts.ts'
import { FakeNetwork, House, type Peer } from './house.ts'

const ANNA = 'anna@example.org'
const BERT = 'bert@example.org'
const PROXY = 'proxy.example.org'
const BYTESTREAMS = 'http://jabber.org/protocol/bytestreams'

const closing: (() => Promise<unknown>)[] = []
after(async () => {
  for (const close of closing.reverse()) await close()
})

interface Town {
  readonly house: House
  readonly port: number
  readonly sockets: Wire[]
}

async function open(settings: object = {}): Promise<Town> {
  const house = await House.open()
  const network = new FakeNetwork()
  const scope = house.generation.scope.child('proxy')
  scope.provide(Network, network)
  await proxy65.create(v.parse(proxy65.config, { listen: ['127.0.0.1:0'], ...settings }), scope)
  const town: Town = { house, port: network.port, sockets: [] }
  closing.push(async () => {
    for (const { socket } of town.sockets) socket.destroy()
    network.close()
    await house.close()
  })
  return town
}

/** A connection to the proxy, and what came over it. */
class Wire {
  readonly socket: Socket
  received: Buffer = Buffer.alloc(0)
  readonly closed: Promise<void>
  #wake: () => void = () => {}

  constructor({ port, sockets }: Town) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('error', () => {})
    this.closed = new Promise<void>((resolve) => this.socket.on('close', () => resolve()))
    this.socket.on('data', (octets: Buffer) => {
      this.received = Buffer.concat([this.received, octets])
      this.#wake()
    })
    sockets.push(this)
  }

  /** So many octets, once they are there. */
  async take(count: number): Promise<Buffer> {
    while (this.received.length < count) await new Promise<void>((resolve) => (this.#wake = resolve))
    const taken = this.received.subarray(0, count)
    this.received = this.received.subarray(count)
    return taken
  }

  async greet(): Promise<void> {
    this.socket.write(Buffer.from([5, 2, 2, 0]))
    assert.deepEqual([...(await this.take(2))], [5, 0])
  }

  /** Asks for a bytestream; answers what the proxy says. */
  async ask(name: string): Promise<number> {
    this.socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), Buffer.from(name), Buffer.from([0, 0])]))
    const answer = await this.take(7 + name.length)
    assert.equal(answer.toString('latin1', 5, 5 + name.length), name, 'the address is the one that was asked for')
    return answer[1] ?? -1
  }
}

async function arrive(town: Town, name: string): Promise<Wire> {
  const wire = new Wire(town)
  await wire.greet()
  assert.equal(await wire.ask(name), 0)
  return wire
}

const activate = (peer: Peer, sid: string, target: string) =>
  peer.request('set', `<query xmlns='${BYTESTREAMS}' sid='${sid}'><activate>${target}</activate></query>`, PROXY)

test('two clients meet, and what one sends the other gets', async () => {
  const town = await open()
  const anna = await town.house.arrive(ANNA, 'sea')
  const info = await anna.request('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, PROXY)
  assert.match(info.toString(), /category='proxy' type='bytestreams'/)
  const answer = await anna.request('get', `<query xmlns='${BYTESTREAMS}'/>`, PROXY)
  const streamhost = answer.child('query', BYTESTREAMS)?.child('streamhost')
  assert.deepEqual(
    [streamhost?.get('jid'), streamhost?.get('host'), streamhost?.get('port')],
    [PROXY, PROXY, String(town.port)],
  )

  const target = `${BERT}/hill`
  const name = streamName('s1', anna.full, target)
  await assert.rejects(activate(anna, 's1', target), /item-not-found/)
  const hers = await arrive(town, name)
  await assert.rejects(activate(anna, 's1', target), /not-allowed/)
  const his = await arrive(town, name)
  const third = new Wire(town)
  await third.greet()
  assert.equal(await third.ask(name), 2, 'a bytestream is for two')
  await third.closed
  // What is sent too early nobody gets.
  hers.socket.write('early')
  await anna.sync()
  await new Promise((resolve) => setImmediate(resolve))

  const bert = await town.house.arrive(BERT, 'hill')
  await assert.rejects(activate(bert, 's1', anna.full), /item-not-found/, 'the name says who may')
  await activate(anna, 's1', target)
  const content = Buffer.alloc(3_000_000, 'aviso ')
  hers.socket.write(content)
  assert.deepEqual(await his.take(content.length), content)
  his.socket.write('thanks')
  assert.equal((await hers.take(6)).toString(), 'thanks')
  hers.socket.end()
  await Promise.all([hers.closed, his.closed])
  await assert.rejects(activate(anna, 's1', target), /item-not-found/)
})

test('the proxy is for our accounts, and each has so many transfers', async () => {
  const town = await open({ 'transfers-per-account': 1 })
  const cleo = await town.house.arrive('cleo@example.net', 'hill')
  const anna = await town.house.arrive(ANNA, 'sea')
  for (const [index, outcome] of ['given', 'resource-constraint'].entries()) {
    const name = streamName(`s${index}`, anna.full, cleo.full)
    await arrive(town, name)
    await arrive(town, name)
    const asked = activate(anna, `s${index}`, cleo.full)
    if (outcome === 'given') await asked
    else await assert.rejects(asked, new RegExp(outcome))
  }
  await assert.rejects(activate(anna, '', cleo.full), /bad-request/)
  await assert.rejects(activate(anna, 's', 'a@@b'), /bad-request/)
})

test('who waits too long, says nothing or too much is cut', async () => {
  const town = await open({ wait: '2m', 'max-waiting': 1 })
  const silent = new Wire(town)
  await once(silent.socket, 'connect')
  const waiting = await arrive(town, 'a'.repeat(40))
  const full = new Wire(town)
  await full.greet()
  assert.equal(await full.ask('b'.repeat(40)), 1)
  const odd = new Wire(town)
  await odd.greet()
  assert.equal(await odd.ask('www.example.org'), 2, 'this is no proxy to the web')
  for (const octets of [
    [4, 1, 0, 80, 127, 0, 0, 1, 0],
    [5, 1, 2],
    [71, 69, 84, 32],
  ]) {
    const wire = new Wire(town)
    wire.socket.write(Buffer.from(octets))
    await wire.closed
  }
  town.house.clock.turn(15_000)
  await silent.closed
  assert.equal(waiting.socket.destroyed, false)
  town.house.clock.turn(105_000)
  await waiting.closed
  const loud = await arrive(town, 'c'.repeat(40))
  loud.socket.write(Buffer.alloc(200_000))
  await loud.closed
})

test('a transfer is as fast as it may be, and one that stands still ends', async () => {
  const town = await open({ bandwidth: '1MB' })
  const anna = await town.house.arrive(ANNA, 'sea')
  const name = streamName('s', anna.full, ANNA)
  const one = await arrive(town, name)
  const other = await arrive(town, name)
  await activate(anna, 's', ANNA)
  one.socket.write(Buffer.alloc(10_000_000))
  // A second's worth, and what was on the way when that was used up; then a second's worth each second.
  await other.take(1_000_000)
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(other.received.length < 500_000, String(other.received.length))
  let got = other.received.length
  for (let second = 0; got < 9_000_000; second++) {
    assert.ok(second < 30, `${got} octets after ${second} seconds`)
    town.house.clock.turn(1000)
    // The octets take the machine's own time, beside the clock's.
    const due = Math.min(got + 900_000, 9_000_000)
    for (let turn = 0; turn < 50 || (turn < 20_000 && other.received.length < due); turn++)
      await new Promise((resolve) => setImmediate(resolve))
    got = other.received.length
    assert.ok(got <= (second + 2) * 1_000_000 + 500_000, `${got} octets after ${second + 1} seconds`)
  }
  for (let minute = 0; minute < 3; minute++) {
    town.house.clock.turn(60_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all([one.closed, other.closed])
})

test('a handshake may come in any pieces, and be anything', () => {
  const whole = Buffer.concat([Buffer.from([5, 1, 0, 5, 1, 0, 3, 3]), Buffer.from('abc'), Buffer.from([0, 0])])
  for (let cut = 1; cut < whole.length; cut++) {
    const handshake = new Handshake()
    const steps: string[] = []
    for (const piece of [whole.subarray(0, cut), whole.subarray(cut)]) {
      handshake.feed(piece)
      let step = handshake.next()
      for (; step.kind === 'answer'; step = handshake.next()) steps.push('answer')
      if (step.kind !== 'more') steps.push(step.kind === 'request' ? step.name : step.kind)
    }
    assert.deepEqual(steps, ['answer', 'abc'], String(cut))
  }
  assert.deepEqual([...reply('succeeded', 'ab')], [5, 0, 0, 3, 2, 97, 98, 0, 0])
  let seed = 1
  for (let round = 0; round < 2000; round++) {
    const handshake = new Handshake()
    for (let piece = 0; piece < 5; piece++) {
      const octets = Buffer.alloc(200)
      for (let at = 0; at < octets.length; at++) octets[at] = (seed = (seed * 1103515245 + 12345) >>> 0) >>> 24
      if (round % 2 === 0) octets[0] = 5
      handshake.feed(octets)
      for (let step = handshake.next(), steps = 0; step.kind === 'answer'; step = handshake.next())
        assert.ok(++steps < 3)
    }
    assert.notEqual(handshake.next().kind, 'more', 'a thousand octets are more than any handshake')
  }
})
