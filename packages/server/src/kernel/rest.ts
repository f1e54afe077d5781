// A process that rests gives back memory that it does not use.

import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Scope } from './scope.ts'

/** How often is looked, milliseconds. */
const LOOK_MS = 5_000
/** Shares of one processor: below the first the process begins to rest, from the second on it has work again. Between them lies what the collection itself takes. */
const RESTING = 0.03
const BUSY = 0.25
/** A larger heap is left alone: the pauses grow with it. Octets. */
const LARGEST_HEAP = 192 * 2 ** 20
/** V8 looks every eight seconds whether it may collect, and does so up to three times then. */
const LOOKS_AT_REST = 6

export interface RestOptions {
  /** Processor time that the process has used so far, microseconds. */
  readonly used?: () => number
  /** How large V8's heap is, octets. */
  readonly heap?: () => number
  /** Makes V8 favour little memory, or speed again, in all threads. */
  readonly favourMemory?: (memory: boolean) => void
  /** Tells the other threads that the process rests, once for each rest. */
  readonly begins?: () => void
}

/**
 * Lets V8 collect its garbage and give pages back once the process has become quiet, as it does for a page in a browser's background: step by step, with pauses of some
 * 20 to 50 ms at a heap of 60 MiB (twice that on a busy machine). By itself it never does so in Node: what many logins have left behind would stay until the next load
 * of that size. Each rest is used once: after half a minute V8 favours speed again. In other threads V8 begins with it only after it has collected everything there: see
 * `ThreadAtRest`.
 */
export function giveBackAtRest(
  scope: Scope,
  { used = processorTime, heap = heapSize, favourMemory = favour, begins }: RestOptions = {},
): void {
  let before = used()
  /** How many looks in a row have found it at rest. */
  let looks = 0
  let favoured = false
  const set = (memory: boolean): void => {
    if (memory === favoured) return
    favoured = memory
    favourMemory(memory)
    if (memory) begins?.()
  }
  scope.interval(LOOK_MS, () => {
    const now = used()
    const share = (now - before) / (LOOK_MS * 1000)
    looks = share < (favoured ? BUSY : RESTING) ? looks + 1 : 0
    before = now
    set(looks > 0 && looks < LOOKS_AT_REST && (favoured || (looks === 1 && heap() <= LARGEST_HEAP)))
  })
  scope.defer(() => set(false))
}

function processorTime(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

const heapSize = (): number => getHeapStatistics().total_heap_size

/** V8's own name for it; it asks this flag each time that it looks. */
const favour = (memory: boolean): void => setFlagsFromString(memory ? '--optimize-for-size' : '--no-optimize-for-size')

/** What a thread must have allocated since it was collected last, for another collection. Octets. */
const WORTH_IT = 4 * 2 ** 20
/** A thread is collected in one go: a larger heap would keep it from its next call for too long. Octets. */
const LARGEST_THREAD_HEAP = 64 * 2 ** 20

interface ThreadOptions {
  /** What is used of this thread's heap, octets. */
  readonly used?: () => number
  /** Collects all garbage of this thread. */
  readonly collect?: () => void
}

/** A thread whose garbage nobody collects while it has nothing to do. */
export class ThreadAtRest {
  readonly #used: () => number
  readonly #collect: () => void
  /** What was used after the last collection. */
  #kept = 0

  constructor({ used = heapUsed, collect = collector() }: ThreadOptions = {}) {
    this.#used = used
    this.#collect = collect
  }

  /** Collects this thread's garbage, where there may be enough of it; V8 goes on from there by itself while the process favours memory. To be called when nothing waits for the thread. */
  giveBack(): void {
    const used = this.#used()
    if (used - this.#kept < WORTH_IT || used > LARGEST_THREAD_HEAP) return
    this.#collect()
    this.#kept = this.#used()
  }
}

const heapUsed = (): number => getHeapStatistics().used_heap_size

/**
 * V8's own collector, which Node shows only to programs that are started with a flag. The flag is one for all threads and stays set: a thread that took it back would
 * take it from another one that is just about to look.
 */
function collector(): () => void {
  let collect: ((options: { readonly type: 'major' }) => void) | undefined
  return () => {
    if (collect === undefined) {
      setFlagsFromString('--expose-gc')
      collect = runInNewContext('gc') as typeof collect
    }
    collect?.({ type: 'major' })
  }
}
