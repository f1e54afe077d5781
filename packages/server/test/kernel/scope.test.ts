import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HandClock } from '../../src/kernel/clock.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { type Scope, serviceKey } from '../../src/kernel/scope.ts'
import { testScope } from '../fixtures/scope.ts'

interface Door {
  open: boolean
}
const Door = serviceKey<Door>('door')

/** A promise, and the way to settle it. */
function settled<T>(): { readonly promise: Promise<T>; resolve(value: T): void; reject(error: Error): void } {
  let resolve: (value: T) => void = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('what a scope gave, it takes back', () => {
  test('the last thing first, children in their turn', async () => {
    const root = testScope()
    const undone: string[] = []
    root.defer(() => void undone.push('store'))
    const child = root.child('imap')
    child.defer(() => void undone.push('listener'))
    child.defer(async () => {
      await turns()
      undone.push('sessions')
    })
    root.defer(() => void undone.push('metrics'))
    await root.close()
    assert.deepEqual(undone, ['metrics', 'sessions', 'listener', 'store'])
  })

  test('a clean-up that throws is logged, and the others still run', async () => {
    const { log, lines } = recordingLog()
    const root = testScope({ log })
    let undone = false
    root.defer(() => void (undone = true))
    root.defer(() => Promise.reject(new Error('no such file')))
    root.defer(() => {
      throw new Error('already gone')
    })
    await root.close()
    assert.ok(undone)
    assert.equal(lines.filter(({ msg }) => msg === 'clean-up failed').length, 2)
  })

  test('closing twice waits for the same end; a closed scope gives nothing', async () => {
    const root = testScope()
    const gate = settled<void>()
    root.defer(() => gate.promise)
    const first = root.close()
    const second = root.close()
    assert.ok(root.signal.aborted)
    gate.resolve()
    await Promise.all([first, second])
    for (const take of [
      () => root.child('late'),
      () => root.defer(() => {}),
      () => root.timeout(1, () => {}),
      () => root.provide(Door, { open: true }),
    ])
      assert.throws(take, /is closed/)
  })

  test('a child that closed alone is not closed again, and weighs nothing any more', async () => {
    const root = testScope()
    let undone = 0
    const child = root.child('module')
    child.defer(() => void undone++)
    await child.close()
    await root.close()
    assert.equal(undone, 1)
  })

  test('many thousand timers come and go without a trace', async () => {
    const clock = new HandClock()
    const root = testScope({ clock })
    let fired = 0
    for (let round = 0; round < 20; round++) {
      const waiting = Array.from({ length: 500 }, () => root.timeout(10, () => void fired++))
      for (const timer of waiting.slice(250)) timer.cancel()
      clock.turn(10)
    }
    assert.equal(fired, 5000)
    await root.close()
  })
})

describe('timers', () => {
  test('fire when due, not after the scope closed', async () => {
    const clock = new HandClock()
    const root = testScope({ clock })
    const fired: string[] = []
    root.timeout(100, () => void fired.push('once'))
    root.interval(60, () => void fired.push('again'))
    clock.turn(130)
    await turns()
    assert.deepEqual(fired, ['again', 'once'])
    clock.turn(60)
    assert.deepEqual(fired, ['again', 'once', 'again'])
    await root.close()
    clock.turn(10_000)
    assert.equal(fired.length, 3)
  })

  test('an interval that is still at work is not started again', async () => {
    const clock = new HandClock()
    const root = testScope({ clock })
    const gate = settled<void>()
    let started = 0
    root.interval(10, () => {
      started++
      return gate.promise
    })
    clock.turn(100)
    assert.equal(started, 1)
    gate.resolve()
    await turns()
    clock.turn(10)
    assert.equal(started, 2)
  })

  test('what fails is an error in the log; what the closing interrupted is none', async () => {
    const clock = new HandClock()
    const { log, lines } = recordingLog()
    const root = testScope({ clock, log })
    const gate = settled<void>()
    root.timeout(1, () => Promise.reject(new Error('disk')))
    root.timeout(2, () => gate.promise)
    clock.turn(5)
    await turns()
    const errors = () => lines.filter(({ level }) => level === 'error').map(({ msg }) => msg)
    assert.deepEqual(errors(), ['timer failed'])
    const closing = root.close()
    gate.reject(new Error('the store is closed'))
    await closing
    await turns()
    assert.deepEqual(errors(), ['timer failed'])
  })
})

describe('services', () => {
  test('the nearest one counts; a missing one is named', () => {
    const root = testScope()
    const child = root.child('mail').child('smtp')
    assert.throws(() => child.use(Door), /module 'mail\.smtp' needs the service 'door'/)
    const outer = root.provide(Door, { open: false })
    assert.equal(child.use(Door), outer)
    const inner = child.provide(Door, { open: true })
    assert.equal(child.use(Door), inner)
    assert.equal(root.use(Door), outer)
    assert.throws(() => root.provide(Door, outer), /provided twice/)
  })
})

describe('what is kept across generations', () => {
  const made: Door[] = []
  const make = (scope: Scope): Door => {
    const door = { open: true }
    made.push(door)
    scope.defer(() => void (door.open = false))
    return door
  }

  test('the next generation gets the same one; it goes with the last holder', async () => {
    const root = testScope()
    const [first, second] = [root.child('house'), root.child('house-2')]
    const door = await first.keep(Door, make)
    assert.equal(await second.keep(Door, make), door)
    await first.close()
    assert.ok(door.open)
    await second.close()
    assert.ok(!door.open)
    const again = await root.child('house-3').keep(Door, make)
    assert.notEqual(again, door)
    await root.close()
    assert.ok(!again.open)
  })

  test('one that could not be made fails for all who waited, and is made anew for the next', async () => {
    const root = testScope()
    let closed = 0
    const gate = settled<Door>()
    const broken = (scope: Scope): Promise<Door> => {
      scope.defer(() => void closed++)
      return gate.promise
    }
    const first = root.child('house')
    const waiting = [first.keep(Door, broken), root.child('other').keep(Door, make)]
    gate.reject(new Error('no certificate'))
    for (const one of await Promise.allSettled(waiting)) assert.equal(one.status, 'rejected')
    assert.equal(closed, 1, 'what it had taken already is given back')
    const door = await first.keep(Door, make)
    assert.ok(door.open)
    await root.close()
    assert.ok(!door.open)
  })

  test('a scope that closes while it is being made leaves nothing behind', async () => {
    const root = testScope()
    const first = root.child('house')
    const gate = settled<void>()
    let door: Door | undefined
    const waiting = first.keep(Door, async (scope) => {
      await gate.promise
      return (door = make(scope))
    })
    const refused = assert.rejects(waiting, /is closed/)
    const closing = first.close()
    await turns()
    gate.resolve()
    await Promise.all([closing, refused])
    assert.deepEqual(door, { open: false })
    await root.close()
  })
})
