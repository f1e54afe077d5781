import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setImmediate as pause } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { HandClock } from '../../src/kernel/clock.ts'
import { giveBackAtRest, ThreadAtRest } from '../../src/kernel/rest.ts'
import { testScope } from '../fixtures/scope.ts'

const BUSY = 2_000_000
/** As much as the collection takes. */
const COLLECTING = 500_000
const QUIET = 10_000

/** A process whose processor time is told by hand: microseconds for each of the looks that follow. */
function aProcess(heap = 50 * 2 ** 20): {
  spend(...each: number[]): Promise<void>
  readonly favoured: boolean[]
  /** How often the other threads were told. */
  readonly told: () => number
  end(): Promise<void>
} {
  const clock = new HandClock()
  const scope = testScope({ clock })
  const favoured: boolean[] = []
  let used = 0
  let told = 0
  giveBackAtRest(scope, {
    used: () => used,
    heap: () => heap,
    favourMemory: (memory) => favoured.push(memory),
    begins: () => told++,
  })
  return {
    favoured,
    told: () => told,
    async spend(...each) {
      for (const time of each) {
        used += time
        clock.turn(5_000)
        await pause()
      }
    },
    end: () => scope.close(),
  }
}

test('a process at work is left alone', async () => {
  const process = aProcess()
  await process.spend(BUSY, BUSY, BUSY)
  assert.deepEqual(process.favoured, [])
})

test('once it rests, memory is favoured, for half a minute', async () => {
  const process = aProcess()
  await process.spend(BUSY, QUIET)
  assert.deepEqual(process.favoured, [true])
  await process.spend(QUIET, QUIET, QUIET, QUIET)
  assert.deepEqual(process.favoured, [true])
  await process.spend(QUIET, ...Array.from({ length: 100 }, () => QUIET))
  assert.deepEqual(process.favoured, [true, false])
})

test('the collection itself does not end the rest, and begins none', async () => {
  const process = aProcess()
  await process.spend(COLLECTING, COLLECTING)
  assert.deepEqual(process.favoured, [])
  await process.spend(QUIET, COLLECTING, COLLECTING)
  assert.deepEqual(process.favoured, [true])
})

test('work that comes back has speed at once, and the next rest is used again', async () => {
  const process = aProcess()
  await process.spend(QUIET, BUSY)
  assert.deepEqual(process.favoured, [true, false])
  await process.spend(BUSY, QUIET)
  assert.deepEqual(process.favoured, [true, false, true])
})

test('who stops while it rests leaves nothing behind', async () => {
  const process = aProcess()
  await process.spend(QUIET)
  await process.end()
  assert.deepEqual(process.favoured, [true, false])
})

test('a heap that takes long to collect is left to V8', async () => {
  const process = aProcess(2 ** 30)
  await process.spend(BUSY, QUIET, QUIET)
  assert.deepEqual(process.favoured, [])
})

test('other threads are told once for each rest', async () => {
  const process = aProcess()
  await process.spend(BUSY, QUIET, QUIET, QUIET)
  assert.equal(process.told(), 1)
  await process.spend(...Array.from({ length: 100 }, () => QUIET))
  assert.equal(process.told(), 1)
  await process.spend(BUSY, QUIET)
  assert.equal(process.told(), 2)
})

test('a thread is collected where it has allocated enough since, and not again before that', () => {
  const MIB = 2 ** 20
  let used = 30 * MIB
  let collections = 0
  const thread = new ThreadAtRest({
    used: () => used,
    collect: () => {
      collections++
      used = 20 * MIB
    },
  })
  thread.giveBack()
  thread.giveBack()
  used += MIB
  thread.giveBack()
  assert.equal(collections, 1)
  used += 10 * MIB
  thread.giveBack()
  assert.equal(collections, 2)
  used = 500 * MIB
  thread.giveBack()
  assert.equal(collections, 2, 'a large heap would hold up the next call')
})

test('threads that begin to rest at the same moment all find the collector', async () => {
  const source = `
    import { ThreadAtRest } from ${JSON.stringify(new URL('../../src/kernel/rest.ts', import.meta.url).href)}
    const { parentPort, workerData } = await import('node:worker_threads')
    const gate = new Int32Array(workerData)
    for (let round = 0; round < 100; round++) {
      const uses = [2 ** 23, 0]
      const thread = new ThreadAtRest({ used: () => uses.shift() })
      // All of them in the same moment.
      Atomics.add(gate, 0, 1)
      while (Atomics.load(gate, 0) < THREADS * (round + 1));
      thread.giveBack()
    }
    parentPort.postMessage('done')`
  const threads = 2
  const code = encodeURIComponent(source.replace('THREADS', String(threads)))
  const gate = new SharedArrayBuffer(4)
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL(`data:text/javascript,${code}`), { workerData: gate }),
  )
  try {
    const words = await Promise.all(workers.map((worker) => once(worker, 'message')))
    assert.deepEqual(words, [['done'], ['done']])
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
})
