// Random lives of the store: many databases, failing disks, threads that die, and power that goes at any moment. All against a model that is too simple to be wrong.
// AVISO_FUZZ_SECONDS: for how long; AVISO_FUZZ_SEED: with which dice.

import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import { test } from 'node:test'
import { fuzz, type Random } from '@aviso/mime/testing'
import { HandClock } from '../../src/kernel/clock.ts'
import { type Store, StoreError } from '../../src/store/contracts.ts'
import { openStore } from '../../src/store/open.ts'
import { testScope } from '../fixtures/scope.ts'
import { Disk } from './disk.ts'
import { coreLedger, diary, type Fate, ledger, ledgers, type Line, serviceLedger } from './ledger.ts'
import { Model } from './ledger-model.ts'
import { folder, journals } from './power.ts'

const ACCOUNTS = ['anna', 'bert', 'cleo', 'dora', 'emil', 'fred', 'gina']
const SERVICES = ['rooms', 'pubsub']
const TABLES = [
  ...ACCOUNTS.flatMap((name) => [`ledger/${name}`, `diary/${name}`]),
  ...SERVICES.map((name) => `service/${name}`),
  'core/',
]
const worker = new URL('./ledger-worker.ts', import.meta.url)

const turn = (): Promise<void> => new Promise(setImmediate)

class Life {
  readonly #store: Store
  readonly #model: Model
  readonly #random: Random
  readonly #clock: HandClock
  readonly #threads: boolean
  readonly #running = new Set<Promise<void>>()
  /** What went wrong with something that nobody awaits. */
  #wrong: unknown

  constructor(store: Store, model: Model, random: Random, clock: HandClock, threads: boolean) {
    this.#store = store
    this.#model = model
    this.#random = random
    this.#clock = clock
    this.#threads = threads
  }

  #table(name: string) {
    const [kind, database = ''] = name.split('/')
    if (kind === 'ledger') return this.#store.account(ledger, database)
    if (kind === 'diary') return this.#store.account(diary, database)
    return kind === 'service' ? this.#store.service(serviceLedger, database) : this.#store.core(coreLedger)
  }

  /** Everything is as it was acknowledged. */
  async begin(): Promise<void> {
    for (const name of TABLES) this.#model.settle(name, await this.#table(name).all())
  }

  async step(): Promise<void> {
    const random = this.#random
    if (random.once(8)) this.#clock.turn(random.below(15_000))
    else if (random.once(25)) this.#erase(random.pick(ACCOUNTS))
    else {
      const few = random.once(2) ? [random.pick(TABLES), random.pick(TABLES)] : TABLES
      for (let count = 1 + random.below(random.pick([2, 8, 40])); count > 0; count--) {
        this.#something(random.pick(few))
        if (random.once(10)) await turn()
      }
    }
    if (random.once(3)) await turn()
    else if (!random.once(6)) await this.settled()
  }

  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
    if (this.#wrong !== undefined) throw this.#wrong
  }

  #something(name: string): void {
    const random = this.#random
    const table = this.#table(name)
    if (random.once(6)) return this.#look(name)
    if (random.once(12)) return this.#run(table.fails().then(assert.fail, (error: unknown) => fault(error)))
    const attempt = this.#model.attempt(name)
    const { text } = attempt
    const fate = this.#fate()
    const ballast = random.once(15) ? 'x'.repeat(random.pick([1000, 70_000, 600_000])) : ''
    const call = (): Promise<Line | void> => {
      if (fate === 'stays' && random.once(3)) return table.append({ text })
      if (random.once(15)) return table.give({ line: { text, fate }, octets: new Uint8Array(10) })
      return table.add({ text, fate, ballast })
    }
    this.#run(
      call().then(
        (line) => {
          assert.equal(fate, 'stays')
          attempt.state = 'kept'
          if (line !== undefined) attempt.line = line
        },
        (error: unknown) => {
          attempt.state = fault(error) ? 'unsure' : 'refused'
          if (attempt.state === 'refused') assert.equal(fate === 'refused' || fate === 'throws', true, String(error))
        },
      ),
    )
  }

  #fate(): Fate {
    if (this.#threads && this.#random.once(200)) return 'dies'
    if (!this.#random.once(8)) return 'stays'
    return this.#random.pick(['refused', 'throws'])
  }

  #look(name: string): void {
    const check = this.#model.expected(name)
    this.#run(
      this.#table(name)
        .all()
        .then(check, (error: unknown) => assert.equal(fault(error), true, String(error))),
    )
  }

  #erase(account: string): void {
    const erased = this.#model.erasing([`ledger/${account}`, `diary/${account}`])
    this.#run(
      this.#store.eraseAccount(account).then(
        () => erased(true),
        () => erased(false),
      ),
    )
  }

  #run(promise: Promise<unknown>): void {
    const running = promise.then(
      () => {},
      (error: unknown) => void (this.#wrong ??= error),
    )
    this.#running.add(running)
    void running.finally(() => this.#running.delete(running))
  }
}

/** True for what the store or the disk is to blame for: nobody knows then what became of it. */
const fault = (error: unknown): boolean =>
  error instanceof StoreError && (error.code === 'unavailable' || error.code === 'disk-full')

/** What the power left, and what had been acknowledged then. */
interface Left {
  data: string
  model: Model
}

/** One life of the data folder, ended by a stop or by the power; answers what it leaves. */
async function live({ data, model }: Left, random: Random, clock: HandClock, disk: Disk | undefined): Promise<Left> {
  const scope = testScope({ clock })
  const threads = disk === undefined ? { worker, threads: random.pick([1, 2]) } : {}
  const left: { lost?: Left } = {}
  /** The power goes, and that is all that there is to know. */
  const lose = (): void => {
    if (left.lost !== undefined) return
    const copy = folder()
    if (disk === undefined) cpSync(data, copy, { recursive: true })
    else disk.lose(data, copy, random)
    left.lost = { data: copy, model: model.clone() }
  }
  const ill = random.once(2)
  const weather = (): void => {
    if (disk === undefined) return
    const often = { journal: random.pick([2, 5, 50]), commit: random.pick([2, 5, 50]), log: random.pick([2, 5, 50]) }
    const whole = !ill || random.once(2)
    disk.fails = (what) => !whole && random.once(often[what])
    disk.syncing = random.once(6) ? () => (random.once(3) ? lose() : undefined) : () => {}
  }
  let stopped = false
  try {
    const open = random.pick([4, 6, 64])
    const store = await openStore(scope, { folder: data, definitions: ledgers, open, ...threads })
    const life = new Life(store, model, random, clock, disk === undefined)
    await life.begin()
    for (let steps = 1 + random.below(25); steps > 0 && left.lost === undefined; steps--) {
      weather()
      await life.step()
    }
    const stops = left.lost === undefined && random.once(2)
    if (disk !== undefined && !stops) lose()
    if (disk !== undefined)
      disk.syncing = stops && random.once(2) ? () => (random.once(5) ? lose() : undefined) : () => {}
    await life.settled()
    if (!stops) lose()
    if (disk !== undefined && random.once(2)) disk.fails = () => false
  } finally {
    stopped = await scope.close().then(
      () => true,
      () => false,
    )
    if (disk !== undefined) disk.fails = () => false
  }
  if (left.lost !== undefined) return left.lost
  assert.equal(stopped || ill, true, 'it stops')
  // The power may go right after the stop.
  if (disk !== undefined && random.once(2)) lose()
  return left.lost ?? { data, model }
}

/** Several lives of one data folder. */
async function lives(random: Random, disk: Disk | undefined): Promise<void> {
  let left: Left = { data: folder(), model: new Model() }
  const clock = new HandClock()
  for (let life = 2 + random.below(4); life > 0; life--) left = await live(left, random, clock, disk)
  const scope = testScope({ clock })
  try {
    const store = await openStore(scope, { folder: left.data, definitions: ledgers })
    await new Life(store, left.model, random, clock, false).begin()
    assert.deepEqual(journals(left.data), [], 'nothing is left to replay')
  } finally {
    await scope.close()
  }
}

/** In every run of the tests. */
const SECONDS = 4

test('lives on a disk that fails, with power that goes, in this thread', async (context) => {
  const round = async (random: Random): Promise<void> => {
    const disk = await Disk.of(random)
    try {
      await lives(random, disk)
    } finally {
      disk.restore()
    }
  }
  await fuzz(context, round, SECONDS)
})

test('lives in worker threads that die', async (context) => {
  await fuzz(context, (random) => lives(random, undefined), SECONDS)
})
