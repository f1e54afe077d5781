// The thread around an engine: everything that waits is taken in one go, so that one sync serves all of it.

import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { StoreDefinition } from './contracts.ts'
import { type Broken, type Call, Engine, type EngineOptions, type Round } from './engine.ts'

/** What the pool sends: calls to run, an account to erase, a question, time for work that waits, or the end. */
export type Order =
  | { readonly kind: 'calls'; readonly calls: readonly Call[]; readonly now: number }
  | { readonly kind: 'erase'; readonly id: number; readonly account: string }
  | { readonly kind: 'figures'; readonly id: number }
  | { readonly kind: 'tidy'; readonly now: number }
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
  let queue: Order[] = []
  let busy = true
  port.on('message', (order: Order) => {
    queue.push(order)
    if (!busy) {
      busy = true
      void work().finally(() => (busy = false))
    }
  })

  async function work(): Promise<void> {
    while (takeWaiting(port as MessagePort, queue).length > 0) {
      const orders = queue
      queue = []
      let calls: Call[] = []
      let now = 0
      for (const order of orders) {
        if (order.kind === 'calls') {
          for (const call of order.calls) calls.push(call)
          now = order.now
          continue
        }
        if (calls.length > 0) await round(calls, now)
        calls = []
        if (order.kind === 'tidy') complain(await engine.tidy(order.now, true))
        else answer(await control(engine, order))
      }
      if (calls.length > 0) await round(calls, now)
    }
  }

  async function round(calls: readonly Call[], now: number): Promise<void> {
    const { moving, ...done } = await engine.run(calls, now)
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
    busy = false
  }

  function answer(value: Answer, moving: readonly ArrayBuffer[] = []): void {
    port?.postMessage(value, moving)
  }
  void takeOver()
}

/** Also takes what came in since: while one group was being synced, the next one gathered. */
function takeWaiting(port: MessagePort, queue: Order[]): Order[] {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
    queue.push(next.message as Order)
  return queue
}

async function control(engine: Engine, order: Exclude<Order, { kind: 'calls' | 'tidy' }>): Promise<Answer> {
  try {
    if (order.kind === 'erase') engine.erase(order.account)
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
