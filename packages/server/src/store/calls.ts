// What goes to the store's threads, and comes back.

import { type Change, type Scale, StoreError } from './contracts.ts'

/** One operation asked for: [call id, scale, database name, store, operation, arguments]. A tuple, as thousands of them cross the threads each second. */
export type Call = readonly [
  id: number,
  scale: Scale,
  database: string,
  store: string,
  operation: string,
  args: unknown,
]

/** What went wrong, as it crosses the threads; `code` where it is a `StoreError`. */
export interface Fault {
  readonly code?: string
  readonly message: string
  readonly stack?: string
}

/** What became of one call. */
export type Outcome =
  readonly [id: number, failed: false, result: unknown] | readonly [id: number, failed: true, error: Fault]

/** Appends of one turn of the event loop, as `Lines` has written them. */
export interface Batch {
  readonly id: number
  readonly octets: Uint8Array<ArrayBuffer>
  /** The databases of its lines, each once: `scale/name`. */
  readonly databases: readonly string[]
}

/** A batch is safe, but for its lines in databases that could not take them. */
export interface BatchOutcome {
  readonly id: number
  /** By database, as `Lines` names it. */
  readonly faults: readonly (readonly [database: string, fault: Fault])[]
}

/** The outcomes of one round and the changes to publish, in the order of their commits: [database, scale, change]. */
export interface Round {
  readonly outcomes: readonly Outcome[]
  readonly batches: readonly BatchOutcome[]
  readonly changes: readonly (readonly [scale: Scale, database: string, change: Change])[]
  /** Calls that were safe already and then failed by their own fault: for the log. */
  readonly broken: readonly Broken[]
}

/** An `append` that failed. */
export interface Broken {
  readonly what: string
  readonly database: string
  readonly message: string
}

/** A round, and the memory of what goes over to the callers with it. */
export interface RoundDone extends Round {
  readonly moving: readonly ArrayBuffer[]
}

export const failure = (id: number, error: unknown): Outcome => [id, true, faultOf(error)]

export function faultOf(error: unknown): Fault {
  if (error instanceof StoreError) return { code: error.code, message: error.message }
  if (error instanceof Error)
    return { message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) }
  return { message: String(error) }
}

/** Who waits for the answer to a call, and in which lane it is. */
export interface Waiter {
  readonly lane: number
  readonly what: string
  resolve(value: unknown): void
  reject(error: Error): void
}
