// The thread around an engine: everything that waits is taken in one go, so that one sync serves all of it.

import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { StoreDefinition } from './contracts.ts'
import type { Batch, Broken, Call, Round } from './calls.ts'
import { ThreadAtRest } from '../kernel/rest.ts'
import { Engine, type EngineOptions } from './engine.ts'

/** What the pool sends: calls to run, an account to erase, a question, time for work that waits, word that the process rests, or the end. */
export type Order =
  | {
      readonly kind: 'calls'
      readonly calls: readonly Call[]
      readonly batch?: Batch | undefined
      readonly now: number
    }
  | { readonly kind: 'erase'; readonly id: number; readonly account: string; readonly now: number }
  | { readonly kind: 'figures'; readonly id: number }
  | { readonly kind: 'tidy'; readonly now: number }
  | { readonly kind: 'rest' }
  | { readonly kind: 'close'; readonly id: number }

/** What the worker answers; `up` once, when it takes orders. */
export type Answer =
  | { readonly kind: 'up' }
  | ({ readonly kind: 'round' } & Round)
  | { readonly kind: 'broken'; readonly broken: readonly Broken[] }
  | { readonly kind: 'done'; readonly id: number; readonly open: number; readonly error?: string }

/** The thread's `workerData`. */
export interface WorkerData extends Omit<EngineOptions, 'definitions'> {
  /** The runs of threads before this one, which died. */
  readonly dead: readonly string[]
}

/** Serves the stores `definitions` in this thread until told to close. The thread's `workerData` are `WorkerData`. */
export function serveStores(definitions: readonly StoreDefinition[]): void {
  const port = parentPort
  if (port === null) throw new Error('serveStores runs in a worker thread only')
  const { dead, ...options } = workerData as WorkerData
  const engine = new Engine({ ...options, definitions })
  const thread = new ThreadAtRest()
  let queue: Order[] = []
  let busy = true
  let resting = false
  port.on('message', (order: Order) => {
    queue.push(order)
    if (!busy) {
      busy = true
      void work().finally(rest)
    }
  })

  /** Nothing waits. Who comes while garbage is collected waits for some tens of milliseconds. */
  function rest(): void {
    busy = false
    if (!resting) return
    // Not in this turn: what has come meanwhile is taken before.
    setImmediate(() => {
      if (busy || !resting) return
      resting = false
      thread.giveBack()
    })
  }

  async function work(): Promise<void> {
    while (takeWaiting(port as MessagePort, queue).length > 0) {
      const orders = queue
      queue = []
      const gathered = new Gathered()
      for (const order of orders) {
        if (order.kind === 'calls') {
          if (!gathered.mayTake(order)) await round(gathered)
          gathered.take(order)
          continue
        }
        await round(gathered)
        if (order.kind === 'rest') resting = true
        else if (order.kind === 'tidy') complain(await engine.tidy(order.now, true))
        else answer(await control(engine, order))
      }
      await round(gathered)
    }
  }

  async function round(gathered: Gathered): Promise<void> {
    if (gathered.empty) return
    const { calls, batches, now } = gathered.give()
    const { moving, ...done } = await engine.run(calls, now, batches)
    answer({ kind: 'round', ...done }, moving)
    complain(await engine.tidy(now, false))
  }

  function complain(broken: readonly Broken[]): void {
    if (broken.length > 0) answer({ kind: 'broken', broken })
  }

  /** What the threads before this one had made safe and not carried out. Cannot that be done now, this thread dies too, and the next one tries. */
  async function takeOver(): Promise<void> {
    for (const run of dead) complain(await engine.replay(run))
    answer({ kind: 'up' })
    await work()
    rest()
  }

  function answer(value: Answer, moving: readonly ArrayBuffer[] = []): void {
    port?.postMessage(value, moving)
  }
  void takeOver()
}

type Calls = Extract<Order, { kind: 'calls' }>

/** What one round is to do. */
class Gathered {
  #calls: Call[] = []
  #batches: Batch[] = []
  #now = 0

  get empty(): boolean {
    return this.#calls.length === 0 && this.#batches.length === 0
  }

  /** False where something would be appended before what was asked of the same database earlier. */
  mayTake({ batch }: Calls): boolean {
    if (batch === undefined || this.#calls.length === 0) return true
    const asked = new Set(this.#calls.map(([, scale, database]) => `${scale}/${database}`))
    return !batch.databases.some((database) => asked.has(database))
  }

  take({ calls, batch, now }: Calls): void {
    for (const call of calls) this.#calls.push(call)
    if (batch !== undefined) this.#batches.push(batch)
    this.#now = now
  }

  give(): { readonly calls: readonly Call[]; readonly batches: readonly Batch[]; readonly now: number } {
    const given = { calls: this.#calls, batches: this.#batches, now: this.#now }
    this.#calls = []
    this.#batches = []
    return given
  }
}

/** Also takes what came in since: while one group was being synced, the next one gathered. */
function takeWaiting(port: MessagePort, queue: Order[]): Order[] {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
    queue.push(next.message as Order)
  return queue
}

async function control(engine: Engine, order: Exclude<Order, { kind: 'calls' | 'tidy' | 'rest' }>): Promise<Answer> {
  try {
    if (order.kind === 'erase') engine.erase(order.account, order.now)
    if (order.kind === 'close') await engine.close()
    return { kind: 'done', id: order.id, open: engine.openDatabases }
  } catch (error) {
    return {
      kind: 'done',
      id: order.id,
      open: engine.openDatabases,
      error: error instanceof Error ? error.message : String(error),
    }
  }
}
