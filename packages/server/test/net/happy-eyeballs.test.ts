// RFC 8305: several places, of which some do not answer.

import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { HandClock } from '../../src/kernel/clock.ts'
import { type Connected, connections } from '../../src/net/happy-eyeballs.ts'

const turns = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate)
}

/** A race among places that the test lets answer or fail. */
class Track {
  readonly clock = new HandClock()
  readonly end = new AbortController()
  /** What happened, in order. */
  readonly told: string[] = []
  readonly sockets = new Map<string, Socket>()
  readonly #running = new Map<string, { up(): void; down(why: string): void }>()
  readonly race: AsyncGenerator<Connected<string>, void>

  constructor(places: AsyncIterable<string> | Iterable<string>) {
    this.race = connections(each(places), {
      clock: this.clock,
      signal: this.end.signal,
      connect: (place, signal) =>
        new Promise((resolve, reject) => {
          this.told.push(`try ${place}`)
          signal.addEventListener('abort', () => {
            if (!this.#running.delete(place)) return
            this.told.push(`stop ${place}`)
            reject(signal.reason as Error)
          })
          this.#running.set(place, {
            up: () => {
              const socket = new Socket()
              this.sockets.set(place, socket)
              resolve(socket)
            },
            down: (why) => {
              this.#running.delete(place)
              reject(new Error(why))
            },
          })
        }),
      failed: (place, error) => this.told.push(`failed ${place}: ${error.message}`),
    })
  }

  up(place: string): void {
    this.#running.get(place)?.up()
  }

  down(place: string): void {
    this.#running.get(place)?.down('refused')
  }

  async turn(ms: number): Promise<void> {
    await turns()
    this.clock.turn(ms)
    await turns()
  }

  async next(): Promise<string | undefined> {
    const { done, value } = await this.race.next()
    return done === true ? undefined : value.place
  }
}

async function* each(places: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string, void> {
  yield* places
}

test('a place that is silent costs a quarter of a second, not more; who answers first is taken, the others are stopped', async () => {
  const track = new Track(['six', 'four', 'last'])
  const first = track.next()
  await track.turn(249)
  assert.deepEqual(track.told, ['try six'])
  await track.turn(1)
  assert.deepEqual(track.told, ['try six', 'try four'])
  track.up('four')
  assert.equal(await first, 'four')
  assert.deepEqual(track.told, ['try six', 'try four', 'stop six'])
  await track.turn(10_000)
  assert.equal(track.told.length, 3, 'nobody else is tried while the connection is in use')
  await track.race.return()
})

test('a place that refuses is not waited for', async () => {
  const track = new Track(['six', 'four'])
  const first = track.next()
  await turns()
  track.down('six')
  await turns()
  assert.deepEqual(track.told, ['try six', 'failed six: refused', 'try four'])
  track.up('four')
  assert.equal(await first, 'four')
  await track.race.return()
})

test('where the connection was of no use, those that were stopped come again, then the rest', async () => {
  const track = new Track(['six', 'four', 'last'])
  const first = track.next()
  await track.turn(250)
  track.up('four')
  assert.equal(await first, 'four')
  const second = track.next()
  await turns()
  assert.deepEqual(track.told.slice(3), ['try six'])
  track.down('six')
  await turns()
  assert.deepEqual(track.told.slice(3), ['try six', 'failed six: refused', 'try last'])
  track.up('last')
  assert.equal(await second, 'last')
  assert.equal(await track.next(), undefined)
})

test('two that answer at the same moment: one is taken, the other one closed', async () => {
  const track = new Track(['six', 'four'])
  const first = track.next()
  await track.turn(250)
  track.up('six')
  track.up('four')
  assert.equal(await first, 'six')
  await turns()
  assert.equal(track.sockets.get('four')?.destroyed, true)
  assert.equal(track.sockets.get('six')?.destroyed, false)
  await track.race.return()
})

test('places that become known slowly are tried as they come; a search that fails does not end what is under way', async () => {
  const known = Promise.withResolvers<string>()
  async function* search(): AsyncGenerator<string> {
    yield 'first'
    yield await known.promise
  }
  const track = new Track(search())
  const first = track.next()
  await track.turn(300)
  assert.deepEqual(track.told, ['try first'])
  known.reject(new Error('the DNS is gone'))
  await track.turn(300)
  track.up('first')
  assert.equal(await first, 'first')
  await assert.rejects(track.next(), /the DNS is gone/)
})

test('the end of everything ends the race and every attempt', async () => {
  const track = new Track(['six', 'four'])
  const first = track.next()
  await track.turn(250)
  track.end.abort(new Error('it took too long'))
  await assert.rejects(first, /it took too long/)
  assert.deepEqual(track.told, ['try six', 'try four', 'stop six', 'stop four'])
})

test('nothing that answers: every place is told, then the race is over', async () => {
  const track = new Track(['six', 'four'])
  const first = track.next()
  await track.turn(250)
  track.down('six')
  track.down('four')
  assert.equal(await first, undefined)
  assert.deepEqual(track.told.slice(2), ['failed six: refused', 'failed four: refused'])
  assert.equal(await new Track([]).next(), undefined)
})
