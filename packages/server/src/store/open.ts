// The store of a server that is alone: SQLite databases in worker threads, blobs as files, a bus in the process.

import { availableParallelism } from 'node:os'
import { Folders, makeFolder } from '../kernel/folders.ts'
import type { Scope } from '../kernel/scope.ts'
import { dirname, join } from 'node:path'
import { BlobKeeper } from './blob-keeper.ts'
import { FileBlobs, RecentBlobs, TemporaryFiles } from './blobs.ts'
import { LocalBus } from './bus.ts'
import { FolderOfFiles } from './files.ts'
import {
  accountTopic,
  type Calls,
  CORE_TOPIC,
  LOST,
  type Operations,
  type Scale,
  type Store,
  type StoreDefinition,
  StoreError,
  type StoreFigures,
} from './contracts.ts'
import { callerOf } from './callers.ts'
import type { Broken, Fault, Waiter } from './calls.ts'
import { databasePath } from './databases.ts'
import { carryOutLeft, hashOf, inlineLane, type Lane, threadLane } from './lanes.ts'
import { Outbox, type SentBatch } from './outbox.ts'
import { storeError } from './sqlite.ts'
import type { Answer, Order } from './worker.ts'

export interface StoreOptions {
  /** The data folder; made if it is missing. */
  readonly folder: string
  readonly definitions: readonly StoreDefinition[]
  /** The module that calls `serveStores(definitions)`. Without it the SQL runs in this thread: for tests and the command line. */
  readonly worker?: URL
  /** Worker threads; default: one a core, four at most. */
  readonly threads?: number
  /** Account databases held open in all; default 64. */
  readonly open?: number
  /** Calls that may wait at the same time before new ones are refused; default 20 000. */
  readonly waiting?: number
}

/** How often the store workers look for what has waited long. */
const TIDY_MS = 2000
/** Of the calls that may wait, the part from which on the store is crowded. */
const CROWDED = 0.25

/** With fewer calls waiting, one more is soon answered. */
const LITTLE = 8

/** Opens the store until `scope` closes. Throws `StoreError` when the folder cannot be used or another server uses it. */
export async function openStore(scope: Scope, options: StoreOptions): Promise<Store> {
  try {
    await makeFolder(options.folder)
  } catch (error) {
    throw storeError(error, options.folder)
  }
  const store = new SqliteStore(scope, options)
  scope.defer(() => store.close())
  await store.ready()
  return store
}

class SqliteStore implements Store {
  readonly blobs: FileBlobs
  readonly bus: LocalBus
  readonly keeper = new BlobKeeper()
  readonly #scope: Scope
  readonly #options: StoreOptions
  readonly #recentBlobs = new RecentBlobs()
  readonly #folders: Folders
  readonly #temporary: TemporaryFiles
  readonly #lanes: Lane[] = []
  readonly #waiting = new Map<number, Waiter>()
  /** Lines that are not known to be safe. */
  readonly #batches = new Map<number, SentBatch>()
  /** How many lines these are, and those that are not sent yet. */
  #appending = 0
  readonly #outboxes: Outbox[] = []
  readonly #callers = new Map<string, new (scale: Scale, database: string) => object>()
  /** The lanes of the databases that came to be used before a lane of their own was up. */
  readonly #placed = new Map<string, number>()
  /** Calls on databases, counted by the hashes of their names. */
  readonly #asked = new Uint32Array(1024)
  /** Calls that may wait. */
  readonly #limit: number
  #nextId = 1
  #flushing = false
  #closed = false

  constructor(scope: Scope, options: StoreOptions) {
    this.#scope = scope
    this.#options = options
    this.#limit = options.waiting ?? 20_000
    this.#temporary = new TemporaryFiles(join(options.folder, 'tmp'), scope.random)
    this.#folders = new Folders(options.folder)
    this.blobs = new FileBlobs(join(options.folder, 'blobs'), this.#folders, this.#temporary, this.#recentBlobs)
    this.bus = new LocalBus(scope.log)
    const threads = options.worker === undefined ? 1 : (options.threads ?? Math.min(4, availableParallelism()))
    for (let lane = 0; lane < threads; lane++) {
      this.#outboxes.push(new Outbox(lane))
      this.#lanes.push(this.#startLane(lane, Math.max(4, Math.ceil((options.open ?? 64) / threads))))
    }
  }

  /** Takes the lock on the core database, so that a second server on this folder fails now and not later. */
  async ready(): Promise<void> {
    try {
      await this.#call('core', 'core', '', 'touch', undefined)
    } catch (error) {
      // There is no such operation; but to find that out, the database was opened.
      if (error instanceof StoreError) throw error
    }
    // The lock is ours: what lies there was left by a process that died.
    await this.#temporary.clear()
    this.#complain(await carryOutLeft(this.#options))
    this.#scope.interval(TIDY_MS, () => {
      for (const lane of this.#lanes) if (lane.started) lane.post({ kind: 'tidy', now: this.#scope.clock.now() })
    })
  }

  rest(): void {
    this.#flush()
    for (const lane of this.#lanes) if (lane.started) lane.post({ kind: 'rest' })
  }

  account<Ops extends Operations>(definition: StoreDefinition<Ops>, account: string): Calls<Ops> {
    return this.#bind(definition, 'account', account)
  }

  core<Ops extends Operations>(definition: StoreDefinition<Ops>): Calls<Ops> {
    return this.#bind(definition, 'core', 'core')
  }

  service<Ops extends Operations>(definition: StoreDefinition<Ops>, service: string): Calls<Ops> {
    return this.#bind(definition, 'service', service)
  }

  accountBlobs(account: string): FileBlobs {
    return new FileBlobs(join(this.#folderOf(account), 'blobs'), this.#folders, this.#temporary, this.#recentBlobs)
  }

  accountFiles(account: string): FolderOfFiles {
    return new FolderOfFiles(join(this.#folderOf(account), 'files'), this.#folders, this.#temporary)
  }

  #folderOf(account: string): string {
    return dirname(databasePath(this.#options.folder, 'account', account))
  }

  asked(account: string): number {
    return this.#asked[hashOf('account', account) % this.#asked.length] ?? 0
  }

  async eraseAccount(account: string): Promise<void> {
    await this.#order(this.#laneOf('account', account), (id) => ({
      kind: 'erase',
      id,
      account,
      now: this.#scope.clock.now(),
    }))
  }

  get crowded(): boolean {
    return this.#pending > this.#limit * CROWDED
  }

  async figures(): Promise<StoreFigures> {
    let open = 0
    for (const [index, lane] of this.#lanes.entries())
      if (lane.started) open += Number(await this.#order(index, (id) => ({ kind: 'figures', id })))
    return { open, waiting: this.#pending }
  }

  async close(): Promise<void> {
    this.#flush()
    this.#closed = true
    const ends = await Promise.allSettled(
      this.#lanes.map(async (lane, index) => {
        if (!lane.started) return
        try {
          await this.#order(index, (id) => ({ kind: 'close', id }))
        } finally {
          await lane.stop()
        }
      }),
    )
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  #bind<Ops extends Operations>(definition: StoreDefinition<Ops>, scale: Scale, database: string): Calls<Ops> {
    if (definition.scale !== scale)
      throw new Error(`the store ${definition.name} belongs to ${definition.scale} databases, not to ${scale}`)
    let Caller = this.#callers.get(definition.name)
    if (Caller === undefined) {
      Caller = callerOf(definition, (to, name, operation, args) => {
        const { mode, given } = definition.operations[operation] ?? {}
        return mode === 'append'
          ? this.#append(to, name, definition.name, operation, args)
          : this.#call(to, name, definition.name, operation, args, given?.(args as never))
      })
      this.#callers.set(definition.name, Caller)
    }
    return new Caller(scale, database) as Calls<Ops>
  }

  #call(
    scale: Scale,
    database: string,
    store: string,
    operation: string,
    args: unknown,
    given?: readonly (Uint8Array | undefined)[],
  ): Promise<unknown> {
    const refused = this.#refusal()
    if (refused !== undefined) return Promise.reject(refused)
    const lane = this.#askedOf(scale, database)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { lane, resolve, reject, what: `${store}.${operation}` })
      this.#outboxes[lane]?.call([id, scale, database, store, operation, args], given)
      this.#flushSoon()
    })
  }

  #append(scale: Scale, database: string, store: string, operation: string, args: unknown): Promise<unknown> {
    const key = `${scale}/${database}`
    const lane = this.#laneOf(scale, database)
    const outbox = this.#outboxes[lane]
    if (outbox === undefined || scale === 'core' || outbox.asks(key))
      return this.#call(scale, database, store, operation, args)
    const refused = this.#refusal()
    if (refused !== undefined) return Promise.reject(refused)
    try {
      const safe = outbox.append(key, `${store}.${operation}`, args)
      this.#appending++
      this.#askedOf(scale, database)
      if (outbox.full) this.#flush()
      else this.#flushSoon()
      return safe
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Why nothing more can be asked. */
  #refusal(): StoreError | undefined {
    if (this.#closed) return new StoreError('unavailable', 'the store is closed')
    if (this.#pending < this.#limit) return undefined
    return new StoreError('unavailable', 'too much is waiting for the disk: try again later')
  }

  /** Calls and lines that are not answered. */
  get #pending(): number {
    return this.#waiting.size + this.#appending
  }

  /** Counts what is asked of a database, and tells its lane. */
  #askedOf(scale: Scale, database: string): number {
    const hash = hashOf(scale, database)
    const slot = hash % this.#asked.length
    this.#asked[slot] = (this.#asked[slot] ?? 0) + 1
    return this.#laneOf(scale, database, hash)
  }

  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    // Not a microtask: what other sockets ask for in the same turn of the event loop then shares this message, and its sync.
    setImmediate(() => {
      this.#flushing = false
      this.#flush()
    })
  }

  #flush(): void {
    for (const [index, outbox] of this.#outboxes.entries()) {
      if (outbox.empty) continue
      const batchId = this.#nextId++
      const { calls, moving, batch, sent } = outbox.take(batchId)
      if (sent !== undefined) this.#batches.set(batchId, sent)
      const lane = this.#lanes[index]
      const now = this.#scope.clock.now()
      const lines = batch === undefined ? [] : [batch.octets.buffer]
      try {
        lane?.post({ kind: 'calls', calls, batch, now }, [...moving, ...lines])
      } catch (error) {
        // An argument that cannot be cloned: a defect of the caller, who gets to know.
        for (const [id] of calls) this.#settle(id, (waiting) => waiting.reject(error as Error))
        if (batch !== undefined) lane?.post({ kind: 'calls', calls: [], batch, now }, lines)
      }
    }
  }

  /** Asks something else of a lane, behind the calls that were made. */
  #order(lane: number, make: (id: number) => Order): Promise<unknown> {
    this.#flush()
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { lane, resolve, reject, what: 'control' })
      this.#lanes[lane]?.post(make(id))
    })
  }

  /** The lane of a database: always the same one, as it has the database open. */
  #laneOf(scale: Scale, database: string, hash = hashOf(scale, database)): number {
    if (scale === 'core' || this.#lanes.length === 1) return 0
    const index = hash % this.#lanes.length
    const key = `${scale}/${database}`
    const placed = this.#placed.size > 0 ? this.#placed.get(key) : undefined
    if (placed !== undefined) return placed
    const lane = this.#lanes[index]
    if (lane === undefined || lane.inUse) return index
    // A thread takes tens of milliseconds to start. Who comes meanwhile is served by the one that is up since the start, as long as that has little to do.
    lane.start()
    const chosen = this.#pending < LITTLE ? 0 : index
    this.#placed.set(key, chosen)
    return chosen
  }

  #answer(answer: Answer): void {
    if (answer.kind === 'up') return
    if (answer.kind === 'broken') return this.#complain(answer.broken)
    if (answer.kind === 'round') this.#complain(answer.broken)
    if (answer.kind === 'done') {
      this.#settle(answer.id, (waiting) =>
        answer.error === undefined ? waiting.resolve(answer.open) : waiting.reject(new Error(answer.error)),
      )
      return
    }
    // The feed goes first: who awaited the write then finds the listeners told.
    for (const [scale, database, change] of answer.changes)
      this.bus.publish(
        scale === 'core' ? CORE_TOPIC : scale === 'account' ? accountTopic(database) : `service:${database}`,
        change,
      )
    for (const [id, failed, value] of answer.outcomes) {
      if (!failed) this.#settle(id, (waiting) => waiting.resolve(value))
      else this.#settle(id, (waiting) => waiting.reject(this.#failure(waiting.what, value)))
    }
    for (const outcome of answer.batches)
      this.#settleBatch(outcome.id, (sent) => sent.settle(outcome, (fault) => this.#failure('append', fault)))
  }

  #settleBatch(id: number, how: (sent: SentBatch) => void): void {
    const sent = this.#batches.get(id)
    if (sent === undefined) return
    this.#batches.delete(id)
    this.#appending -= sent.count
    how(sent)
  }

  #complain(broken: readonly Broken[]): void {
    for (const { what, database, message } of broken)
      this.#scope.log.error({ database, err: message }, `${what} could not be carried out: see journal/broken.jsonl`)
  }

  #failure(what: string, { code, message, stack }: Fault): Error {
    if (code !== undefined) return new StoreError(code, message)
    const error = new Error(`${what}: ${message}`)
    if (stack !== undefined) error.stack = stack
    return error
  }

  #settle(id: number, how: (waiting: Waiter) => void): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    how(waiting)
  }

  #startLane(index: number, open: number): Lane {
    const { folder, definitions, worker } = this.#options
    if (worker === undefined) return inlineLane({ folder, definitions, open }, (answer) => this.#answer(answer))
    return threadLane(
      worker,
      `store-${index}`,
      { folder, open },
      {
        answered: (answer) => this.#answer(answer),
        failed: (error) => this.#scope.log.error({ err: error, lane: index }, 'a store worker died'),
        ended: () => {
          this.bus.broadcast({ kind: LOST })
          // Nothing that it had not answered is known to be durable: the callers say "later". The next call starts a new thread.
          const lost = new StoreError('unavailable', 'the store worker died: try again')
          for (const [id, waiting] of this.#waiting)
            if (waiting.lane === index) this.#settle(id, (call) => call.reject(lost))
          for (const [id, sent] of this.#batches)
            if (sent.lane === index) this.#settleBatch(id, (batch) => batch.reject(lost))
        },
      },
    )
  }
}
