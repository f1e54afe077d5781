// Who runs the calls: threads, each with databases of its own, or in tests this one.

import { Worker } from 'node:worker_threads'
import { randomWord, systemRandom } from '../kernel/random.ts'
import type { Broken } from './calls.ts'
import type { Scale } from './contracts.ts'
import { Engine, type EngineOptions } from './engine.ts'
import { leftJournals } from './journal.ts'
import { journalFolder } from './replay.ts'
import type { Answer, Order, WorkerData } from './worker.ts'

/** The name of a journal. Never the same twice, even where the randomness of a scope repeats. */
const runName = (): string => randomWord(systemRandom, 20)

/** One thread (or, in tests, this one) that runs calls. */
export interface Lane {
  /** False as long as there was nothing to do. */
  readonly started: boolean
  /** False as long as it has never come up: others may take its databases in its place then, and never later, as its journal may have something for them. */
  readonly inUse: boolean
  /** Makes it come up, if it does not already. */
  start(): void
  /** `moving` is the memory that goes over with the order. */
  post(order: Order, moving?: readonly ArrayBuffer[]): void
  stop(): Promise<void>
}

/** Spreads databases over lanes. */
export function hashOf(scale: Scale, database: string): number {
  let hash = scale.length
  for (let i = 0; i < database.length; i++) hash = (hash * 31 + database.charCodeAt(i)) >>> 0
  return hash
}

/** Databases open at the same time while journals of before are carried out. */
const REPLAYED = 16

/** Carries out what lanes of before had made safe and not carried out; answers what could not be. To be called before any other lane is used. */
export async function carryOutLeft({
  folder,
  definitions,
}: Pick<EngineOptions, 'folder' | 'definitions'>): Promise<readonly Broken[]> {
  if (leftJournals(journalFolder(folder)).length === 0) return []
  const engine = new Engine({ folder, definitions, open: REPLAYED, run: runName() })
  try {
    return await engine.replay()
  } finally {
    await engine.close()
  }
}

/** What a thread says, and what becomes of it. */
interface Listener {
  answered(answer: Answer): void
  /** It threw, and is about to end. */
  failed(error: unknown): void
  /** Nothing more comes of it. The next order starts another. */
  ended(): void
}

/** A thread that runs `worker`. It costs some 15 MiB: it is started when there is work for it, and again when it died. */
export function threadLane(
  worker: URL,
  name: string,
  options: Omit<WorkerData, 'run' | 'dead'>,
  { answered, failed, ended }: Listener,
): Lane {
  let current: Worker | undefined
  let inUse = false
  /** The runs of threads that died, until another has taken over what they had made safe. */
  const dead: string[] = []
  const start = (): Worker => {
    const run = runName()
    const thread = new Worker(worker, {
      name,
      workerData: { ...options, run, dead: [...dead] } satisfies WorkerData,
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    })
    thread.on('message', (answer: Answer) => {
      if (answer.kind === 'up') {
        inUse = true
        dead.length = 0
      }
      answered(answer)
    })
    thread.on('error', failed)
    thread.on('exit', () => {
      current = undefined
      dead.push(run)
      ended()
    })
    return thread
  }
  return {
    get started() {
      return current !== undefined
    },
    get inUse() {
      return inUse
    },
    start: () => void (current ??= start()),
    post(order, moving = []) {
      current ??= start()
      current.postMessage(order, moving)
    },
    stop: async () => void (await current?.terminate()),
  }
}

/** Runs the calls in this thread, one round after the other. Values are cloned, as they would be between threads. */
export function inlineLane(options: Omit<EngineOptions, 'run'>, answer: (answer: Answer) => void): Lane {
  const engine = new Engine({ ...options, run: runName() })
  let chain: Promise<void> = Promise.resolve()
  const work = async (order: Order): Promise<void> => {
    // The thread is not its own.
    if (order.kind === 'rest') return
    if (order.kind === 'calls') {
      const { moving, ...round } = await engine.run(order.calls, order.now, order.batch && [order.batch])
      answer({ kind: 'round', ...structuredClone(round, { transfer: [...moving] }) })
    }
    if (order.kind === 'calls' || order.kind === 'tidy') {
      answer({ kind: 'broken', broken: await engine.tidy(order.now, order.kind === 'tidy') })
      return
    }
    let error: string | undefined
    try {
      if (order.kind === 'erase') engine.erase(order.account, order.now)
      if (order.kind === 'close') await engine.close()
    } catch (cause) {
      error = cause instanceof Error ? cause.message : String(cause)
    }
    answer({ kind: 'done', id: order.id, open: engine.openDatabases, ...(error === undefined ? {} : { error }) })
  }
  return {
    started: true,
    inUse: true,
    start: () => undefined,
    post(order, moving = []) {
      const sent = structuredClone(order, { transfer: [...moving] })
      chain = chain.then(() => work(sent))
    },
    stop: () => chain,
  }
}
